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

    # activity
    minimum_pairs: int = 8  # fewer accepted pairs give NaN
    classify: str = "threshold"
    threshold: float = 0.15  # NDAI above is active
    composite_order: str = "oldest-red"  # or "newest-red"
    composite_stretch: tuple[float, float] = (0.0, 0.45)

    def __post_init__(self):
        rg, az = self.looks
        if rg < 1 or az < 1:
            raise BadInput(f"looks must be two positive numbers (range x azimuth), instead got {rg}x{az}")
        if not 0 < self.spacing < float("inf"):
            raise BadInput(f"spacing must be positive (m), instead got {self.spacing}")
        for name, allowed in (
            ("pair_year", ("secondary", "reference")),
            ("classify", ("threshold",)),
            ("composite_order", ("oldest-red", "newest-red")),
            ("polarization", ("VV", "VH", "HH", "HV")),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise BadInput(f"{name} must be one of {', '.join(allowed)}, instead got {value!r}")
        for name in ("stable_mean", "stable_std", "stable_valid", "reject_mean", "reject_std"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise BadInput(f"{name} must lie in 0..1, instead got {value}")
        if not -1.0 <= self.threshold <= 1.0:
            raise BadInput(f"threshold must lie in -1..1 (an NDAI), instead got {self.threshold}")

    def as_dict(self) -> dict:
        """Plain values, for fingerprints and for the product's metadata."""
        return asdict(self)
