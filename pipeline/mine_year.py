"""The job: one mine, one track, one year, from products to a cube that lacks only what other years decide.

open the dates -> frame -> coherence of every pair -> stable points and rejection -> NDAI
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from shapely.geometry import shape

from .activity.ndai import annual_ndai, annual_ndai_debiased
from .activity.stable_points import StablePoints, select_stable_points
from .archive import Granule
from .cube import cube_attributes, template
from .dem_source import DemSource, read_heights
from .errors import BadProduct, NoCoverage, Unavailable
from .fingerprint import Source, fingerprint
from .grid import inside, utm_grid
from .kept import DateFacts, Kept, date_key, stack_key
from .model import Mine, Pair
from .orbits import ANNOTATION, kind_of, orbit_word
from .pairs import find_pairs
from .sentinel1.orbit_files import with_orbit
from .sentinel1.products import open_product
from .settings import Settings
from .stack import Acquisition, BurstReader, Frame, PairCoherence, coherence_stack, make_frame
from .variables import reason_codes


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
    record: tuple[int, ...] = ()  # years that decide what is permanently incoherent; empty: all there are
    newest: bool = True  # no later year has pairs: dates to come may pair with this year's
    force: str = ""  # a forced rerun has a word of its own here
    remake_orbits: bool = True  # another orbit file makes another product; else only a file instead of none does
    storage_options: dict = field(default_factory=dict, repr=False, hash=False)

    @property
    def key(self) -> str:
        """A readable name, unique within a run."""
        return f"{self.mine.id}-t{self.track:03d}-{self.year}"

    @property
    def stack(self) -> str:
        """Key of what all years of the mine's track share, for what is kept of them."""
        return stack_key(self.mine, self.reference, self.dem.key, self.settings)

    @property
    def fingerprint(self) -> str:
        """Of all that the year's product depends on, known before anything but manifests was read.

        The reference counts as a source. Being the first of its track, it can't be taken for another of them.
        """
        granules = {g for date in (*self.dates, self.reference) for g in date}
        sources = [Source("", g.name, g.revision, self.orbit_word(g)) for g in granules]
        return fingerprint(
            self.mine, self.year, sources, self.dem.key, self.settings, context=self.context, force=self.force
        )

    def orbit_word(self, granule: Granule) -> str:
        """What counts of the orbit that a product is used with."""
        word = orbit_word(granule)
        return word if self.remake_orbits or word == ANNOTATION else "file"


@dataclass(frozen=True, eq=False)
class Year:
    """What a job yields. ``cube`` lacks only ``activity``; ``seconds`` per stage."""

    cube: xr.Dataset
    stable_rounds: int
    requests: int
    bytes_read: int
    seconds: dict[str, float]
    window_bytes: int  # of the samples that the windows hold, all dates read: what reading would cost at least
    broken: tuple[tuple[str, str], ...] = ()  # name and reason of products that were left out
    retries: int = 0  # of requests for samples


def open_acquisition(urls, settings: Settings, swaths=None, storage_options=None, orbits=None) -> Acquisition:
    """The products of one pass, only the annotations of the wanted polarization and swaths.

    ``orbits``: for each URL one that stands for the annotation's, or None.
    """
    opened = [open_product(url, settings.polarization, storage_options, swaths=swaths) for url in urls]
    if orbits:
        opened = [with_orbit(p, orbit) if orbit else p for p, orbit in zip(opened, orbits, strict=True)]
    products = tuple(p for p in opened if p.swaths)  # of bursts that were cut out none may be of these swaths
    if not products:
        raise BadProduct(
            f"{opened[0].url}: expected bursts of {', '.join(sorted(swaths))} in {settings.polarization}, found none"
        )
    if len({product.track for product in products}) > 1:
        raise BadProduct(f"products of one date must share a track, instead got {[p.granule for p in products]}")
    for product in products:
        if all(swath.measurement is None for swath in product.swaths):
            raise BadProduct(
                f"{product.url}: expected measurements of {settings.polarization}, found only annotation; "
                f"it is incomplete"
            )
    return Acquisition(products)


def open_date(granules: Sequence[Granule], settings: Settings, swaths=None, storage_options=None) -> Acquisition:
    """The same of a date's granules, each with the orbit that was chosen for it.

    Raises
    ------
    Unavailable
        An orbit file was chosen and not read: what was published when the run began has gone since.
    """
    for granule in granules:
        if granule.orbits and granule.orbit is None:
            raise Unavailable(
                f"{granule.name}: expected the vectors of {orbit_word(granule)}, found none; run it again"
            )
    orbits = [granule.orbit for granule in granules]
    return open_acquisition([granule.url for granule in granules], settings, swaths, storage_options, orbits)


def open_frame(mine: Mine, reference: Acquisition, dem: DemSource, settings: Settings, storage_options=None) -> Frame:
    """The fixed geometry of a mine's stack on one track."""
    bounds = shape(mine.geometry).bounds
    grid = utm_grid(bounds, settings.spacing, settings.margin)
    heights = read_heights(dem, bounds, storage_options)
    return make_frame(grid, heights, reference.bursts(settings.polarization), settings.looks)


def make_year(job: Job, progress: Callable[[str, int, int], None] = lambda *_: None, kept: Kept | None = None) -> Year:
    """Run one job.

    Parameters
    ----------
    job : Job
    progress : callable
        Called with the stage's name, how many are done and how many there are.
    kept : Kept, optional
        What earlier runs kept of the stack; what it lacks is computed and kept. The result is the same, bit by bit.

    Raises
    ------
    NoCoverage
        The products, the DEM or an orbit don't cover the mine, or no dates make a pair of the year.
    BadProduct
        The reference can't be used, or so many products can't that no pair is left. A single one is left out and told.
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
    reference = open_date(job.reference, settings, **options)
    frame = open_frame(job.mine, reference, job.dem, settings, **options)
    lap("frame")
    stack = _Stack(job, frame, kept)
    pairs = stack.pairs()
    lap("annotation")
    coherence = np.full((len(pairs), *frame.grid.shape), np.nan, np.float32)
    baselines = np.full(len(pairs), np.nan)
    requests = bytes_read = retries = done = 0
    for k, found in enumerate(stack.known(pairs)):
        if found is not None:
            (coherence[k], baselines[k]), done = found, done + 1
    place = {pair: k for k, pair in enumerate(pairs)}
    for result in stack.compute():
        k = place[result.pair]
        coherence[k], baselines[k] = result.coherence, result.perpendicular_baseline
        requests, bytes_read, done = requests + result.requests, bytes_read + result.bytes_read, done + 1
        retries += result.retries
        progress("coherence", done, len(pairs))
    lap("coherence")
    cube = _cube(job, frame, stack, pairs)
    stable = _fill(cube, coherence, baselines, frame, job)
    lap("activity")
    window_bytes = 4 * sum(b.window.size for b in frame.bursts) * len(stack.read)
    return Year(cube, stable.rounds, requests, bytes_read, seconds, window_bytes, tuple(stack.broken), retries)


class _Stack:
    """The dates of a job: what is kept of them, what has to be opened, and which can't be used."""

    def __init__(self, job: Job, frame: Frame, kept: Kept | None):
        self._job, self._frame, self._kept = job, frame, kept
        self._reader = BurstReader(job.storage_options)
        self._keys = [date_key(date) for date in job.dates]
        self._facts = [kept.facts(key) if kept else None for key in self._keys]
        self._opened: dict[int, Acquisition] = {}
        self._missing: list[Pair] = []
        self._found: dict[Pair, tuple[np.ndarray, float]] = {}
        self.broken: list[tuple[str, str]] = []  # granule and reason
        self.read: set[int] = set()  # dates whose samples were read
        self._dates = list(range(len(job.dates)))  # those that can be used

    def pairs(self) -> list[Pair]:
        """The year's pairs by the dates' positions in the job; all that they need is open, and what is broken left out.

        Raises
        ------
        NoCoverage
            There is none, or a date doesn't belong to the stack.
        BadProduct
            There is none because of the products that can't be used.
        """
        self._open([k for k in self._dates if self._facts[k] is None])
        while True:
            times = [self._facts[k].time for k in self._dates]
            pairs = [
                Pair(self._dates[p.reference], self._dates[p.secondary])
                for p in find_pairs(times, self._job.settings, self._job.year)
            ]
            self._missing = [p for p in pairs if not self._is_kept(p)]
            needed = {k for p in self._missing for k in (p.reference, p.secondary)}
            closed = sorted(needed - self._opened.keys())
            if not closed:
                break
            self._open(closed)
        if not pairs:
            if self.broken:
                raise BadProduct(self.broken[0][1])
            spans = " or ".join(f"{a}-{b}" for a, b in self._job.settings.temporal_baselines)
            raise NoCoverage(
                f"none of {len(self._dates)} dates make a pair of {self._job.year}; expected dates {spans} days apart"
            )
        return pairs

    def known(self, pairs: Sequence[Pair]) -> Iterator[tuple[np.ndarray, float] | None]:
        """Coherence and baseline of the pairs that are kept, None for the others."""
        missing = set(self._missing)
        for pair in pairs:
            yield None if pair in missing else self._found.pop(pair)

    def compute(self) -> Iterator[PairCoherence]:
        """The others; they are kept then, and so are samples that a later date may pair with."""
        dates = [self._opened.get(k) for k in range(len(self._keys))]
        for result in coherence_stack(self._frame, dates, self._missing, self._job.settings, self._reader, self):
            if self._kept:
                first, second = (self._keys[k] for k in (result.pair.reference, result.pair.secondary))
                self._kept.keep_pair(first, second, result.coherence, result.perpendicular_baseline)
            yield result
        if self._kept and self._job.newest:
            self._kept.keep_only(self._keys[k] for k in self._newest())

    def granules(self, pairs: Sequence[Pair]) -> list[str]:
        """Names of the products that the pairs' samples come from, each once."""
        used = sorted({k for p in pairs for k in (p.reference, p.secondary)})
        return list(dict.fromkeys(name for k in used for name in self._facts[k].granules))

    def time(self, k: int) -> np.datetime64:
        """Zero-Doppler time of a date's first line."""
        return self._facts[k].time

    def find(self, date: int) -> dict[str, np.ndarray] | None:
        """See `stack.SampleStore`."""
        found = self._kept.samples(self._keys[date]) if self._kept else None
        if found is None:
            self.read.add(date)
        return found

    def offer(self, date: int, samples: dict[str, np.ndarray]) -> None:
        """See `stack.SampleStore`."""
        if self._kept and self._job.newest and date in self._newest():
            self._kept.keep_samples(self._keys[date], samples)

    def _newest(self) -> list[int]:
        """Dates that one still to come may pair with."""
        longest = np.timedelta64(max(high for _, high in self._job.settings.temporal_baselines), "D")
        last = self._facts[self._dates[-1]].time
        return [k for k in self._dates if self._facts[k].time > last - longest]

    def _is_kept(self, pair: Pair) -> bool:
        if pair not in self._found and self._kept:
            found = self._kept.pair(self._keys[pair.reference], self._keys[pair.secondary])
            if found is not None and found[0].shape == tuple(self._frame.grid.shape):
                self._found[pair] = found
        return pair in self._found

    def _open(self, dates: Sequence[int]) -> None:
        """Open dates; those that can't be used are left out and told."""
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(self._try, dates))
        for k, result in zip(dates, results, strict=True):
            if isinstance(result, BadProduct):
                self._dates.remove(k)
                self.broken += [(granule.name, str(result)) for granule in self._job.dates[k]]
                continue
            _check_date(self._job, self._frame, result)
            self._opened[k] = result
            if self._facts[k] is None:
                names = _granules(self._frame, [result], self._job.settings)
                self._facts[k] = DateFacts(result.time, tuple(names))
                if self._kept:
                    self._kept.keep_facts(self._keys[k], self._facts[k])

    def _try(self, k: int) -> Acquisition | BadProduct:
        """A date whose measurements are whole, as far as their headers tell."""
        settings = self._job.settings
        swaths = {b.reference.swath for b in self._frame.bursts}
        try:
            date = open_date(self._job.dates[k], settings, swaths, self._job.storage_options or None)
            found = [date.find(b.reference.burst_id, settings.polarization) for b in self._frame.bursts]
            for product, swath in dict.fromkeys((f[0], f[1]) for f in found if f is not None):
                self._reader.check(product, swath)
            return date
        except BadProduct as error:
            return error


def _check_date(job: Job, frame: Frame, date: Acquisition) -> None:
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


def _cube(job: Job, frame: Frame, stack: _Stack, pairs) -> xr.Dataset:
    granules = stack.granules(pairs)
    times = [np.array([stack.time(getattr(p, end)) for p in pairs]) for end in ("reference", "secondary")]
    sources = [g for date in (*job.dates, job.reference) for g in date]
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
        source_revisions=[f"{g.name}:{g.revision}" for g in sources],
        source_orbits=[f"{g.name}:{orbit_word(g)}" for g in sources],
        orbits=[kind_of(g) for g in sources],
        broken_granules=sorted(name for name, _ in stack.broken),
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
