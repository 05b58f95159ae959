"""A stack: every date of one track on the radar grid of one reference acquisition, and from it coherence on the map.

frame      once per stack: map grid and heights -> which burst sees which pixel -> windows -> height of each radar pixel
coregister once per date:  read the window -> carrier off -> resample by geometry -> carrier back, geometric phase off
coherence  once per pair:  looks x window around each map pixel
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from odc.geo.geobox import GeoBox
from scipy import ndimage

from .dem import Dem
from .errors import NoCoverage
from .grid import geographic
from .insar.baseline import perpendicular_baseline
from .insar.carrier import remove_carrier
from .insar.coherence import coherence_at
from .insar.coherence_statistics import coherence_looks, equivalent_looks
from .insar.geocode import Lookup, grid_north, look_azimuth, lookups
from .insar.mapping import ground_mapping, offset_mapping
from .insar.orbit import check_covers
from .insar.range_doppler import incidence_angle
from .insar.resample import Resampler
from .insar.terrain import Terrain, layover_shadow, radar_heights
from .model import Burst, Pair, Product, Swath, Window
from .sentinel1.measurement import open_measurement
from .settings import Settings
from .storage import open_store

BLOCK = 64  # lines a thread takes at a time


def default_threads() -> int:
    """Threads for the kernels of one job: what the scheduler's worker or the machine gives."""
    return max(1, int(os.environ.get("PITPULSE_THREADS", 0)) or len(os.sched_getaffinity(0)))


def in_blocks(function, start: int, stop: int, threads: int) -> None:
    """Call ``function(first, last)`` over blocks of lines; the kernels release the interpreter lock."""
    blocks = [(k, min(k + BLOCK, stop)) for k in range(start, stop, BLOCK)]
    if threads == 1 or len(blocks) == 1:
        for block in blocks:
            function(*block)
        return
    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(function, *block) for block in blocks]:
            future.result()


@dataclass(frozen=True, eq=False)
class BurstFrame:
    """What stays fixed for one burst of a stack: the window of the reference and the height each of its pixels sees."""

    reference: Burst
    lookup: Lookup
    window: Window
    heights: np.ndarray = field(repr=False)  # (line, sample) float32, m above the ellipsoid
    height_range: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Frame:
    """What stays fixed for a stack."""

    grid: GeoBox
    bursts: tuple[BurstFrame, ...]
    height: np.ndarray = field(repr=False)  # (y, x) m
    incidence_angle: np.ndarray = field(repr=False)  # (y, x) rad; NaN where no burst looks
    layover_shadow: np.ndarray = field(repr=False)  # (y, x) uint8, bit 1 layover, bit 2 shadow
    equivalent_looks: float = 0.0  # that the closed form of a sample coherence holds with, see `make_frame`
    intensity_looks: float = 0.0  # as many as an average of intensities has; 4 % fewer

    @property
    def center(self) -> tuple[float, float, float]:
        """Latitude, longitude (rad) and height (m) of the map's middle, for baselines."""
        latitude, longitude = geographic(self.grid)
        middle = tuple(n // 2 for n in self.grid.shape)
        return float(latitude[middle]), float(longitude[middle]), float(np.nanmedian(self.height))


def terrain_of(dem: Dem) -> tuple[Terrain, np.ndarray]:
    """Spline of a DEM and the cells that hold no height; these take the nearest height, so that the spline exists."""
    height = np.asarray(dem.height, np.float64)
    void = np.isnan(height)
    if void.any():
        nearest = ndimage.distance_transform_edt(void, return_distances=False, return_indices=True)
        height = height[tuple(nearest)]
    return Terrain.from_posts(
        height, dem.latitude_start, dem.latitude_step, dem.longitude_start, dem.longitude_step
    ), void


def map_heights(grid: GeoBox, dem: Dem, terrain: Terrain, void: np.ndarray):
    """Latitude, longitude (rad) and height (m, NaN in voids) of the map's pixel centres: (y, x) each."""
    latitude, longitude = geographic(grid)
    height = terrain(latitude, longitude)
    if void.any():
        row = np.rint((latitude - dem.latitude_start) / dem.latitude_step).astype(int)
        turn = 2.0 * np.pi
        column = np.rint(((longitude - dem.longitude_start + np.pi) % turn - np.pi) / dem.longitude_step).astype(int)
        row, column = np.clip(row, 0, void.shape[0] - 1), np.clip(column, 0, void.shape[1] - 1)
        height[void[row, column]] = np.nan
    return latitude, longitude, height


def make_frame(
    grid: GeoBox, dem: Dem, bursts: Sequence[Burst], looks: tuple[int, int], threads: int | None = None
) -> Frame:
    """Fix the geometry of a stack.

    Parameters
    ----------
    grid : GeoBox
        The mine's map grid.
    dem : Dem
        Heights around it.
    bursts : sequence of Burst
        The reference acquisition's, one polarization.
    looks : (int, int)
        Coherence window, range x azimuth.

    Raises
    ------
    NoCoverage
        No burst sees the map, the DEM does not reach, or an orbit does not cover its burst.
    """
    threads = threads or default_threads()
    terrain, void = terrain_of(dem)
    latitude, longitude, height = map_heights(grid, dem, terrain, void)
    for burst in bursts:
        length = burst.lines * burst.azimuth_time_interval
        check_covers(burst.orbit, burst.start, burst.start + length)
    owned = lookups(bursts, latitude, longitude, height)
    if not owned:
        raise NoCoverage(
            f"no burst of the reference sees the area around {np.rad2deg(latitude.mean()):.4f}, "
            f"{np.rad2deg(longitude.mean()):.4f} (latitude, longitude); expected a product over it: "
            f"`pitpulse info SAFE --point LAT,LON` tells what a product sees"
        )
    heights = (terrain.lowest, terrain.highest)
    frames = tuple(_burst_frame(lookup, terrain, heights, looks, threads) for lookup in owned)
    incidence = np.full(grid.shape, np.nan)
    for frame in frames:
        b = frame.reference
        t = b.start + frame.lookup.line * b.azimuth_time_interval
        seen = np.isfinite(t)
        incidence[seen] = incidence_angle(b.orbit, t[seen], latitude[seen], longitude[seen], height[seen])
    first = frames[0].reference
    middle = tuple(n // 2 for n in grid.shape)
    azimuth = look_azimuth(first, float(latitude[middle]), float(longitude[middle]), float(np.nanmedian(height)))
    azimuth -= grid_north(latitude, longitude)
    hidden = layover_shadow(height, incidence, azimuth, abs(grid.affine.a))
    of_noise, of_intensity = (_looks(frames, looks, rule) for rule in (coherence_looks, equivalent_looks))
    # Halfway between the two rules E[d] errs by less than 0.006 at any true coherence, on the high side, so that noise
    # is debiased to 0. The looks of noise err by 0.002 at 0, which the steep inverse turns into a coherence of 0.045.
    return Frame(grid, frames, height, incidence, hidden, 0.5 * (of_noise + of_intensity), of_intensity)


def _burst_frame(lookup: Lookup, terrain: Terrain, heights, looks, threads) -> BurstFrame:
    window = lookup.window((looks[1] + 1, looks[0] + 1))
    ground = ground_mapping(lookup.burst, window, heights)
    out = np.empty(window.shape, np.float32)

    def block(first, last):
        lines = (window.line_start + first, window.line_start + last)
        radar_heights(terrain, ground, lines, out[first:last])

    in_blocks(block, 0, window.shape[0], threads)
    owned = np.isfinite(lookup.line)
    line = np.rint(lookup.line[owned]).astype(int) - window.line_start
    sample = np.rint(lookup.sample[owned]).astype(int) - window.sample_start
    share = float(np.isnan(out[line, sample]).mean())
    if share > 0.01:
        raise NoCoverage(
            f"the DEM ends inside the radar window of burst {lookup.burst.burst_id}: {share:.1%} of the map pixels see "
            f"no height; expected a DEM that reaches about a kilometre beyond the area (more in mountains)"
        )
    return BurstFrame(lookup.burst, lookup, window, out, heights)


def _looks(frames, looks, rule) -> float:
    """Independent looks by one of two rules; over several swaths the mean weighted by their map pixels."""
    weights, values = [], []
    for frame in frames:
        b = frame.reference
        weights.append(np.isfinite(frame.lookup.line).sum())
        values.append(
            rule(
                looks,
                range_sampling_rate=b.range_sampling_rate,
                range_bandwidth=b.range_bandwidth,
                range_window=b.range_window,
                azimuth_frequency=b.azimuth_frequency,
                azimuth_bandwidth=b.azimuth_bandwidth,
                azimuth_window=b.azimuth_window,
            )
        )
    return float(np.average(values, weights=weights))


@dataclass(frozen=True, eq=False)
class Coregistered:
    """One date of one burst on the reference's window: (line, sample) each; offsets None unless asked for."""

    samples: np.ndarray  # complex64, geometric phase removed; NaN where invalid
    line_offset: np.ndarray | None = None  # secondary minus reference position, float64
    sample_offset: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Acquisition:
    """What one pass recorded: one product, or the consecutive slices that a mine on their border needs.

    Where several hold a burst, that of the first counts.
    """

    products: tuple[Product, ...]

    @property
    def time(self) -> np.datetime64:
        """Zero-Doppler time of the first line, UTC."""
        return min(product.start_time for product in self.products)

    def find(self, burst_id: str, polarization: str) -> tuple[Product, Swath, Burst] | None:
        """Where a burst id is in one polarization; None where the pass lacks it or has only its annotation."""
        for product, swath in self._measured(polarization):
            for burst in swath.bursts:
                if burst.burst_id == burst_id:
                    return product, swath, burst
        return None

    def bursts(self, polarization: str) -> list[Burst]:
        """Every burst with samples of one polarization, each id once."""
        found: dict[str, Burst] = {}
        for _, swath in self._measured(polarization):
            for burst in swath.bursts:
                found.setdefault(burst.burst_id, burst)  # the one that `find` finds
        return list(found.values())

    def _measured(self, polarization: str) -> Iterator[tuple[Product, Swath]]:
        for product in self.products:
            for swath in product.swaths:
                if swath.polarization == polarization and swath.measurement is not None:
                    yield product, swath


@dataclass(frozen=True, eq=False)
class BurstReader:
    """Reads and coregisters bursts of products; holds what a store needs and counts its traffic."""

    storage_options: dict = field(default_factory=dict, repr=False)
    threads: int = field(default_factory=default_threads)
    _open: dict = field(default_factory=dict, repr=False)  # measurements whose header is read, with their location

    def check(self, product: Product, swath: Swath) -> None:
        """Read a measurement's header, which says whether all of it is there; `read` uses it then.

        Raises
        ------
        BadProduct
            As `open_measurement`.
        """
        location = open_store(product.url, **self.storage_options)
        self._open[product.url, swath.measurement] = open_measurement(product, swath, location=location), location

    def read(self, product: Product, swath: Swath, burst: Burst, window: Window) -> tuple[np.ndarray, int, int, int]:
        """Samples of a window, and the requests, bytes and retries they cost; a header that `check` read counts too."""
        if (product.url, swath.measurement) not in self._open:
            self.check(product, swath)
        measurement, location = self._open[product.url, swath.measurement]
        samples = measurement.read(burst, window)
        return samples, *location.traffic.taken()


def resampler(frame: BurstFrame, secondary: Burst) -> Resampler:
    """Geometry and kernels that bring ``secondary`` onto the frame's reference."""
    offsets = offset_mapping(frame.reference, secondary, frame.window, frame.height_range)
    return Resampler.of(frame.reference, secondary, offsets)


def coregister(
    frame: BurstFrame, resample: Resampler, samples: np.ndarray, source: Window, threads: int, offsets: bool = False
) -> Coregistered:
    """Bring one date onto the reference's pixels.

    Parameters
    ----------
    frame : BurstFrame
    resample : Resampler
        From `resampler`.
    samples : ndarray, (line, sample), complex64
        Of ``source`` of the secondary burst; **overwritten** (the carrier is removed in place).
    source : Window
        `Resampler.source_window`, clipped to the burst.
    offsets : bool
        Keep the line and sample offsets.
    """
    shape = frame.window.shape
    out = np.empty(shape, np.complex64)
    kept = (np.empty(shape), np.empty(shape)) if offsets else (None, None)

    def off(first, last):
        remove_carrier(samples[first:last], source.line_start + first, source.sample_start, resample.carrier)

    def on(first, last):
        lines = (frame.window.line_start + first, frame.window.line_start + last)
        parts = [None if a is None else a[first:last] for a in (out, *kept)]
        resample.lines(samples, source, frame.heights[first:last], lines, parts)

    in_blocks(off, 0, samples.shape[0], threads)
    in_blocks(on, 0, shape[0], threads)
    return Coregistered(out, *kept)


@dataclass(frozen=True, eq=False)
class PairCoherence:
    """What the stack yields of a pair; ``coherence`` (y, x) float32, NaN where no window is valid."""

    pair: Pair
    coherence: np.ndarray
    perpendicular_baseline: float  # m
    requests: int  # spent since the last pair
    bytes_read: int
    retries: int


class SampleStore(Protocol):
    """Where coregistered samples of dates are found, and offered to be kept, by the date's position."""

    def find(self, date: int) -> dict[str, np.ndarray] | None:
        """Samples by burst id as an earlier run made them; None where they have to be read."""
        ...

    def offer(self, date: int, samples: dict[str, np.ndarray]) -> None:
        """Keep them or not."""
        ...


class NoStore:
    """Nothing is found and nothing kept."""

    def find(self, date: int) -> None:
        """See `SampleStore`."""

    def offer(self, date: int, samples: dict[str, np.ndarray]) -> None:
        """See `SampleStore`."""


def coherence_stack(
    frame: Frame,
    dates: Sequence[Acquisition],
    pairs: Sequence[Pair],
    settings: Settings,
    reader: BurstReader,
    store: SampleStore | None = None,
) -> Iterator[PairCoherence]:
    """Coherence of every pair on the map grid, in the order of their secondary dates.

    Dates stream: each is read and coregistered once and dropped when no pair needs it any more; the next date is read
    while this one is computed. What ``store`` finds isn't read.
    """
    store = store or NoStore()
    pairs = sorted(pairs, key=lambda p: (p.secondary, p.reference))
    needed = sorted({k for pair in pairs for k in (pair.reference, pair.secondary)})
    last_use = {k: max(n for n, p in enumerate(pairs) if k in (p.reference, p.secondary)) for k in needed}
    held: dict[int, dict[str, Coregistered]] = {}
    spent, done = [0, 0, 0], 0
    with ThreadPoolExecutor(1) as background:

        def ahead(k):
            found = store.find(k)
            return (found, []) if found is not None else (None, _read_date(frame, dates[k], settings, reader))

        upcoming = background.submit(ahead, needed[0]) if needed else None
        for position, k in enumerate(needed):
            found, loaded = upcoming.result()
            if position + 1 < len(needed):
                upcoming = background.submit(ahead, needed[position + 1])
            held[k] = {burst: Coregistered(samples) for burst, samples in (found or {}).items()}
            for burst_frame, resample, source, samples, *traffic in loaded:
                spent = [a + b for a, b in zip(spent, traffic, strict=True)]
                date = coregister(burst_frame, resample, samples, source, reader.threads)
                held[k][burst_frame.reference.burst_id] = date
            if found is None:
                store.offer(k, {burst: date.samples for burst, date in held[k].items()})
            while done < len(pairs) and pairs[done].secondary == k:
                pair = pairs[done]
                first, second = held[pair.reference], held[pair.secondary]
                coherence = map_coherence(frame, first, second, settings.looks, reader.threads)
                across = baseline(frame, dates[pair.reference], dates[pair.secondary], settings.polarization)
                yield PairCoherence(pair, coherence, across, *spent)
                spent, done = [0, 0, 0], done + 1
            held = {n: date for n, date in held.items() if last_use[n] >= done}


def _read_date(frame: Frame, date: Acquisition, settings: Settings, reader: BurstReader) -> list[tuple]:
    """Everything of one date that `coregister` needs, burst by burst; bursts that it lacks are left out."""
    out = []
    for burst_frame in frame.bursts:
        found = date.find(burst_frame.reference.burst_id, settings.polarization)
        if found is None:
            continue
        resample = resampler(burst_frame, found[2])
        source = resample.source_window().clipped(found[2])
        if source.size:
            out.append((burst_frame, resample, source, *reader.read(*found, source)))
    return out


def map_coherence(
    frame: Frame, reference: dict[str, Coregistered], secondary: dict[str, Coregistered], looks, threads: int = 1
) -> np.ndarray:
    """Coherence of a pair on the map grid: (y, x) float32, each pixel from the burst that owns it.

    Parameters
    ----------
    reference, secondary : dict of str to Coregistered
        By burst id; a burst that either lacks leaves its pixels NaN.
    """
    out = np.full(frame.grid.shape, np.nan, np.float32)
    for burst in frame.bursts:
        key = burst.reference.burst_id
        if key not in reference or key not in secondary:
            continue
        line = burst.lookup.line - burst.window.line_start
        sample = burst.lookup.sample - burst.window.sample_start
        r, s = reference[key].samples, secondary[key].samples

        def block(first, last, r=r, s=s, line=line, sample=sample):
            part = coherence_at(r, s, line[first:last], sample[first:last], looks)
            np.copyto(out[first:last], part, where=np.isfinite(part))

        in_blocks(block, 0, out.shape[0], threads)
    return out


def baseline(frame: Frame, reference: Acquisition, secondary: Acquisition, polarization: str) -> float:
    """Perpendicular baseline of two dates at the middle of the map, m; NaN where they share no burst of the frame."""
    for burst in frame.bursts:
        found = [date.find(burst.reference.burst_id, polarization) for date in (reference, secondary)]
        if None not in found:
            return perpendicular_baseline(*(f[2].orbit for f in found), *frame.center)
    return float("nan")
