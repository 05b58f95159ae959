"""The job: one mine, one track, one year, from products to a cube that lacks only what other years decide.

open the dates -> frame -> coherence of every pair -> stable points and rejection -> NDAI
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from shapely.geometry import shape

from .activity.ndai import annual_ndai, annual_ndai_debiased
from .activity.stable_points import StablePoints, select_stable_points
from .archive import Granule
from .cube import cube_attributes, template
from .dem import Dem, read_dem
from .errors import BadProduct, NoCoverage
from .fingerprint import Source, fingerprint
from .grid import inside, utm_grid
from .model import Mine
from .pairs import find_pairs
from .sentinel1.safe import open_product
from .settings import Settings
from .stack import Acquisition, BurstReader, Frame, coherence_stack, make_frame
from .variables import reason_codes

DEM_MARGIN = 3000.0  # m beyond the area: mountains lean by their height
DEM_TURN = 0.3  # ... and of the area's size, because the radar's window is turned against the map


@dataclass(frozen=True)
class DemSource:
    """Where heights come from: one or several URLs, and their vertical datum."""

    urls: tuple[str, ...]
    datum: str | None = None
    geoid: str | None = None
    epoch: str = ""
    revision: str = ""  # of the files' contents

    @property
    def name(self) -> str:
        """For metadata."""
        return " ".join(url.rstrip("/").rsplit("/", 1)[-1] for url in self.urls) + f" ({self.datum or 'stated datum'})"

    @property
    def key(self) -> str:
        """For fingerprints: the name and all that decides which heights come of it."""
        return " | ".join((self.name, self.geoid or "", self.epoch, self.revision))


@dataclass(frozen=True)
class Job:
    """One mine, track and year. ``dates``: per acquisition its products, rising in time; the year's and those that its
    pairs begin with. ``reference`` is the acquisition whose radar grid all years of the stack share."""

    mine: Mine
    track: int
    year: int
    dates: tuple[tuple[Granule, ...], ...] = field(repr=False)
    reference: tuple[Granule, ...] = field(repr=False)
    dem: DemSource
    settings: Settings = field(default_factory=Settings)
    context: tuple[str, ...] = ()  # fingerprints of the other years, which the permanent mask depends on too
    force: str = ""  # a forced rerun has a word of its own here
    storage_options: dict = field(default_factory=dict, repr=False, hash=False)

    @property
    def key(self) -> str:
        """A readable name, unique within a run."""
        return f"{self.mine.id}-t{self.track:03d}-{self.year}"

    @property
    def fingerprint(self) -> str:
        """Of all that the year's product depends on, known before anything but manifests was read.

        The reference counts as a source. Being the first of its track, it can't be taken for another of them.
        """
        granules = {g for date in (*self.dates, self.reference) for g in date}
        sources = [Source("", g.name, g.revision) for g in granules]
        return fingerprint(
            self.mine, self.year, sources, self.dem.key, self.settings, context=self.context, force=self.force
        )


@dataclass(frozen=True, eq=False)
class Year:
    """What a job yields. ``cube`` lacks only ``activity``; ``seconds`` per stage."""

    cube: xr.Dataset
    stable_rounds: int
    requests: int
    bytes_read: int
    seconds: dict[str, float]
    window_bytes: int  # of the samples that the windows hold, all dates: what reading would cost at least


def open_acquisition(urls, settings: Settings, swaths=None, storage_options=None) -> Acquisition:
    """The products of one pass, only the annotations of the wanted polarization and swaths."""
    products = tuple(open_product(url, settings.polarization, storage_options, swaths=swaths) for url in urls)
    if len({product.track for product in products}) > 1:
        raise BadProduct(f"products of one date must share a track, instead got {[p.granule for p in products]}")
    for product in products:
        if all(swath.measurement is None for swath in product.swaths):
            raise BadProduct(
                f"{product.url}: expected measurements of {settings.polarization}, found only annotation; "
                f"it is incomplete"
            )
    return Acquisition(products)


def read_heights(dem: DemSource, bounds, storage_options=None) -> Dem:
    """Heights that must cover ``bounds`` (W, S, E, N in degrees), and what there is of the ground around."""
    west, south, east, north = bounds
    size = max(north - south, (east - west) % 360.0) * 111_200.0
    margin = DEM_MARGIN + DEM_TURN * size
    return read_dem(
        dem.urls, bounds, dem.datum, margin=margin, geoid=dem.geoid, epoch=dem.epoch, storage_options=storage_options
    )


def open_frame(mine: Mine, reference: Acquisition, dem: DemSource, settings: Settings, storage_options=None) -> Frame:
    """The fixed geometry of a mine's stack on one track."""
    bounds = shape(mine.geometry).bounds
    grid = utm_grid(bounds, settings.spacing, settings.margin)
    heights = read_heights(dem, bounds, storage_options)
    return make_frame(grid, heights, reference.bursts(settings.polarization), settings.looks)


def make_year(job: Job, progress: Callable[[str, int, int], None] = lambda *_: None) -> Year:
    """Run one job.

    Parameters
    ----------
    job : Job
    progress : callable
        Called with the stage's name, how many are done and how many there are.

    Raises
    ------
    NoCoverage
        The products, the DEM or an orbit don't cover the mine, or no dates make a pair of the year.
    BadProduct
        A product that can't be used.
    NoStablePoints
        The mine has too few stable points to normalise with.
    """
    clock, seconds, settings = time.perf_counter(), {}, job.settings

    def lap(stage):
        nonlocal clock
        now = time.perf_counter()
        seconds[stage] = seconds.get(stage, 0.0) + now - clock
        clock = now

    options = {"storage_options": job.storage_options or None}
    reference = open_acquisition([g.url for g in job.reference], settings, **options)
    frame = open_frame(job.mine, reference, job.dem, settings, **options)
    lap("frame")
    swaths = {b.reference.swath for b in frame.bursts}
    with ThreadPoolExecutor(4) as pool:
        urls = [[granule.url for granule in date] for date in job.dates]
        dates = list(pool.map(lambda date: open_acquisition(date, settings, swaths, **options), urls))
    _check_dates(job, frame, dates)
    pairs = find_pairs([date.time for date in dates], settings, job.year)
    if not pairs:
        spans = " or ".join(f"{a}-{b}" for a, b in settings.temporal_baselines)
        raise NoCoverage(f"none of {len(dates)} dates make a pair of {job.year}; expected dates {spans} days apart")
    lap("annotation")
    coherence = np.full((len(pairs), *frame.grid.shape), np.nan, np.float32)
    baselines = np.full(len(pairs), np.nan)
    reader = BurstReader(job.storage_options)
    requests = bytes_read = 0
    for k, result in enumerate(coherence_stack(frame, dates, pairs, settings, reader)):
        coherence[k], baselines[k] = result.coherence, result.perpendicular_baseline
        requests, bytes_read = requests + result.requests, bytes_read + result.bytes_read
        progress("coherence", k + 1, len(pairs))
    lap("coherence")
    used = [dates[k] for k in sorted({n for p in pairs for n in (p.reference, p.secondary)})]
    cube = _cube(job, frame, dates, pairs, _granules(frame, used, settings))
    stable = _fill(cube, coherence, baselines, frame, job)
    lap("activity")
    window_bytes = 4 * sum(b.window.size for b in frame.bursts) * len(used)
    return Year(cube, stable.rounds, requests, bytes_read, seconds, window_bytes)


def _check_dates(job: Job, frame: Frame, dates) -> None:
    for date in dates:
        if all(date.find(b.reference.burst_id, job.settings.polarization) is None for b in frame.bursts):
            wanted = ", ".join(b.reference.burst_id for b in frame.bursts)
            found = sorted({b.burst_id for b in date.bursts(job.settings.polarization)})
            raise NoCoverage(
                f"{date.products[0].granule}: expected a burst of {wanted} in {job.settings.polarization}, found "
                f"{', '.join(found[:3]) or 'none'}; products of one stack must be of one track and cover the mine"
            )


def _granules(frame: Frame, dates, settings: Settings) -> list[str]:
    """Names of the products that samples are read from, each once."""
    found = [date.find(burst.reference.burst_id, settings.polarization) for date in dates for burst in frame.bursts]
    return list(dict.fromkeys(product.granule for product, _, _ in filter(None, found)))


def _cube(job: Job, frame: Frame, dates, pairs, granules) -> xr.Dataset:
    times = [np.array([dates[getattr(p, end)].time for p in pairs]) for end in ("reference", "secondary")]
    attributes = cube_attributes(
        job.mine,
        job.year,
        job.settings,
        track=job.track,
        equivalent_looks=frame.equivalent_looks,
        source_granules=granules,
        fingerprint=job.fingerprint,
        dem=job.dem.name,
        burst_ids=[b.reference.burst_id for b in frame.bursts],
        reference_granule=[g.name for g in job.reference],
        platforms=[name[:3] for name in granules],
        source_revisions=[f"{g.name}:{g.revision}" for date in (*job.dates, job.reference) for g in date],
        intensity_looks=round(frame.intensity_looks, 4),
        orbit_pass=frame.bursts[0].reference.orbit_pass,
    )
    return template(frame.grid, *times, attributes)


def _fill(cube: xr.Dataset, coherence, baselines, frame: Frame, job: Job) -> StablePoints:
    """Write everything that this year alone decides into the cube."""
    settings, grid = job.settings, frame.grid
    mine = inside(job.mine.geometry, grid)
    eligible = ~(np.abs(baselines) > settings.max_perpendicular_baseline)
    covered = np.isfinite(coherence[:, mine]).any(axis=1)
    use = np.flatnonzero(eligible & covered)
    if use.size == 0:
        raise NoCoverage(
            f"no pair of {len(baselines)} covers the mine within {settings.max_perpendicular_baseline} m of "
            f"perpendicular baseline (max_perpendicular_baseline)"
        )
    stable = select_stable_points(coherence[use], mine, settings, cube["secondary_time"].values[use])
    annual = annual_ndai(coherence[use], stable, settings.minimum_pairs)
    n = len(baselines)
    reasons = np.array(["no_coverage"] * n, dtype=object)
    reasons[~eligible] = "large_perpendicular_baseline"
    reasons[use] = stable.reason
    mean, std, reference = (np.full(n, np.nan) for _ in range(3))
    mean[use], std[use], reference[use] = stable.mean, stable.std, stable.reference
    accepted = np.zeros(n, bool)
    accepted[use] = stable.accepted
    values = {
        "coherence": coherence,
        "ndai": annual.mean,
        "ndai_debiased": annual_ndai_debiased(coherence[use], stable, frame.equivalent_looks, settings.minimum_pairs),
        "ndai_std": annual.std,
        "ndai_count": annual.count,
        "coherence_mean": annual.coherence_mean,
        "stable_point": stable.mask,
        "incidence_angle": frame.incidence_angle,
        "height": frame.height,
        "layover_shadow": frame.layover_shadow,
        "mine": mine,
        "perpendicular_baseline": baselines,
        "stable_mean": mean,
        "stable_std": std,
        "stable_reference": reference,
        "accepted": accepted,
        "reason": reason_codes(reasons),
    }
    for name, value in values.items():
        cube[name].values[...] = value
    cube.attrs |= _stable_facts(stable)
    return stable


def _stable_facts(stable: StablePoints) -> dict:
    """What the cube's root says of the stable points; what could not be found is left out."""
    facts = {
        "stable_points": stable.count,
        "stable_blocks": stable.blocks,
        "stable_lasting": stable.lasting,
        "stable_optimism": stable.optimism,
        "stable_drift_per_year": stable.drift,
        "stable_drift_error": stable.drift_error,
    }
    return {name: round(float(v), 5) if isinstance(v, float) else int(v) for name, v in facts.items() if np.isfinite(v)}
