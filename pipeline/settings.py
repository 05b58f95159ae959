"""Every default that METHODS leaves to us, in one frozen value; each is a setting and is stored with the product."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from .errors import BadInput


@dataclass(frozen=True)
class Settings:
    """Parameters of the main job. `Settings()` is what the documents state, or our choice where they are silent."""

    # pairs
    polarization: str = "VV"
    temporal_baselines: tuple[tuple[int, int], ...] = (
        (11, 13),
        (23, 25),
    )  # days, inclusive; the first that fits is taken
    max_perpendicular_baseline: float = 250.0  # m
    pair_year: str = "secondary"  # a pair belongs to the year of its later date; or "reference"

    # coherence
    looks: tuple[int, int] = (7, 2)  # range x azimuth samples

    # grid
    spacing: float = 20.0  # m
    margin: float = 500.0  # m around the mine's bounds

    # stable points and rejection
    stable_mean: float = 0.8  # temporal mean of a stable point is at least
    stable_std: float = 0.1  # temporal standard deviation of a stable point is at most
    stable_valid: float = 0.75  # share of pairs in which it has a value
    stable_minimum: int = 100  # pixels
    stable_rounds: int = 10
    reject_mean: float = 0.8  # a pair whose stable-point mean is below is rejected
    reject_std: float = 0.2  # ... or whose standard deviation is above
    stable_rule: str = "lasting"  # chosen on one part of the pairs, checked on another; or "documented"
    stable_reference: str = "mean"  # how a pair's stable points make R_t; or "median", "huber"
    stable_block: float = 200.0  # m; stable points are spread over blocks of this size
    stable_block_share: float = 0.05  # no block holds more of them, or than twice an even share if that is more

    # activity
    minimum_pairs: int = 8  # fewer accepted pairs give NaN
    classify: str = "test"  # or "threshold", "hsv"
    threshold: float = 0.15  # NDAI above is active
    false_discovery_rate: float = 0.05  # of the pixels that "test" calls active
    test_combination: str = "squares"  # of the scores of a year's pairs; or "stouffer"
    hsv_value: float = 0.25  # darker is black: active in no year
    hsv_saturation: float = 0.25  # paler is white: active in every year
    permanent: str = "record"  # incoherent ground by all years; "year": by the year alone; "none"
    legacy_pixel_area: float = 100.0  # m2, what the source documents count a pixel as
    composite_order: str = "oldest-red"  # or "newest-red"
    composite_stretch: tuple[float, float] = (0.0, 0.45)

    # sites, and when they were active
    site_minimum_area: float = 10_000.0  # m2; smaller connected active areas are no site
    onset_false_alarm: float = 0.05  # chance that a quiet series shows an onset
    onset_quiet_pairs: int = 4  # so many quiet pairs in a row end an episode
    alert_false_alarm: float = 0.01  # chance that one quiet pair exceeds the alert threshold
    alert_history: int = 6  # accepted pairs before a site can raise an alert

    def __post_init__(self):
        rg, az = self.looks
        if rg < 1 or az < 1:
            raise BadInput(f"looks must be two positive numbers (range x azimuth), instead got {rg}x{az}")
        for name, unit in (("spacing", "m"), ("stable_block", "m"), ("legacy_pixel_area", "m2")):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise BadInput(f"{name} must be positive ({unit}), instead got {value}")
        for name, allowed in (
            ("pair_year", ("secondary", "reference")),
            ("classify", ("test", "threshold", "hsv")),
            ("test_combination", ("squares", "stouffer")),
            ("stable_rule", ("lasting", "documented")),
            ("stable_reference", ("mean", "median", "huber")),
            ("permanent", ("record", "year", "none")),
            ("composite_order", ("oldest-red", "newest-red")),
            ("polarization", ("VV", "VH", "HH", "HV")),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise BadInput(f"{name} must be one of {', '.join(allowed)}, instead got {value!r}")
        shares = ("stable_mean", "stable_std", "stable_valid", "reject_mean", "reject_std")
        for name in (*shares, "hsv_value", "hsv_saturation"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise BadInput(f"{name} must lie in 0..1, instead got {value}")
        for name in ("false_discovery_rate", "onset_false_alarm", "alert_false_alarm"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise BadInput(f"{name} must lie between 0 and 1, instead got {value}")
        if not 0.0 < self.stable_block_share <= 1.0:
            raise BadInput(f"stable_block_share must lie in 0..1 (0 excluded), instead got {self.stable_block_share}")
        if not 0.0 <= self.site_minimum_area < float("inf"):
            raise BadInput(f"site_minimum_area must be at least 0 (m2), instead got {self.site_minimum_area}")
        for name, least in (("onset_quiet_pairs", 1), ("alert_history", 3)):
            if getattr(self, name) < least:
                raise BadInput(f"{name} must be at least {least}, instead got {getattr(self, name)}")
        if not -1.0 <= self.threshold <= 1.0:
            raise BadInput(f"threshold must lie in -1..1 (an NDAI), instead got {self.threshold}")

    def as_dict(self) -> dict:
        """Plain values, for fingerprints and for the product's metadata."""
        return asdict(self)
