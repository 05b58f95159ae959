"""What the truth tests share: simulated products through the processor, and its results beside the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.commands.coherence import PairRequest, pair_coherence
from pipeline.dem import Dem
from pipeline.insar.geocode import Lookup
from pipeline.insar.mapping import ground_mapping
from pipeline.insar.terrain import radar_heights
from pipeline.mine_year import DemSource
from pipeline.model import Window
from pipeline.sentinel1.safe import open_product
from pipeline.simulate import write_raster
from pipeline.stack import BurstFrame, BurstReader, coregister, resampler, terrain_of


def square(latitude: float, longitude: float, metres: float) -> tuple[float, float, float, float]:
    """(west, south, east, north) in degrees, ``metres`` from a point to every side."""
    d = metres / 111_200.0
    e = d / np.cos(np.deg2rad(latitude))
    return longitude - e, latitude - d, longitude + e, latitude + d


def as_dem(terrain) -> Dem:
    """The simulator's posts as the processor's elevation model."""
    start, step = np.deg2rad([terrain.north, terrain.west]), np.deg2rad([terrain.lat_step, terrain.lon_step])
    heights = terrain.heights.astype(np.float32)
    void = np.zeros(heights.shape, bool)
    return Dem(heights, void, start[0], step[0], start[1], step[1], ("simulated",), "ellipsoid", "", "", 0.0)


def run_pair(products, terrain, bbox, folder: Path, *, radar: bool = True):
    """A pair through `pair_coherence`, the simulator's terrain as a file: the map, and the radar groups by burst id."""
    path = folder / "dem.tif"
    if not path.exists():
        write_raster(terrain, path)
    request = PairRequest(*map(str, products[:2]), DemSource((str(path),), "ellipsoid"), bbox, radar=radar)
    dataset, groups, _ = pair_coherence(request)
    return dataset, {key.split("/")[1]: group for key, group in groups.items()}


@dataclass(frozen=True, eq=False)
class Compared:
    """A radar group and the truth on their common pixels; arrays (line, sample)."""

    reference: np.ndarray
    secondary: np.ndarray
    line_error: np.ndarray  # lines
    sample_error: np.ndarray  # samples
    valid: np.ndarray  # truth holds and both samples are finite
    window: Window


def compare(group, truth) -> Compared:
    """Cut a radar group of `pair_coherence` and a simulator's truth to their common pixels."""
    line, sample, w = group["line"].values, group["sample"].values, truth.window
    l0, l1 = max(line[0], w.line_start), min(line[-1] + 1, w.line_stop)
    s0, s1 = max(sample[0], w.sample_start), min(sample[-1] + 1, w.sample_stop)
    here = (slice(l0 - line[0], l1 - line[0]), slice(s0 - sample[0], s1 - sample[0]))
    there = (slice(l0 - w.line_start, l1 - w.line_start), slice(s0 - w.sample_start, s1 - w.sample_start))
    r, s = group["reference"].values[here], group["secondary"].values[here]
    return Compared(
        r,
        s,
        group["line_offset"].values[here] - truth.line_offset[there],
        group["sample_offset"].values[here] - truth.sample_offset[there],
        truth.valid[there] & np.isfinite(r) & np.isfinite(s),
        Window(int(l0), int(l1), int(s0), int(s1)),
    )


def correlation(reference, secondary, where=True) -> complex:
    """Complex coherence of two sample arrays over all pixels of ``where``."""
    r, s = (np.where(where, a, 0.0).astype(np.complex128) for a in (reference, secondary))
    return np.vdot(s, r) / np.sqrt(np.vdot(r, r).real * np.vdot(s, s).real)


def read(product, burst_id: str, window: Window, polarization: str = "VV") -> np.ndarray:
    """Samples of a window of one burst of a product."""
    opened = open_product(str(product), polarization)
    for swath in opened.swaths:
        for burst in swath.bursts:
            if burst.burst_id == burst_id:
                return BurstReader(threads=1).read(opened, swath, burst, window)[0]
    raise KeyError(burst_id)


def window_frame(burst, window: Window, dem: Dem) -> BurstFrame:
    """The fixed geometry of any window of a burst, without a map."""
    terrain, _ = terrain_of(dem)
    limits = (terrain.lowest, terrain.highest)
    heights = np.empty(window.shape, np.float32)
    lines = (window.line_start, window.line_stop)
    radar_heights(terrain, ground_mapping(burst, window, limits), lines, heights)
    nowhere = np.full((1, 1), np.nan)
    return BurstFrame(burst, Lookup(burst, nowhere, nowhere), window, heights, limits)


def coregistered_window(frame: BurstFrame, product, burst):
    """The secondary's samples and offsets on the frame's window; `Coregistered`."""
    resample = resampler(frame, burst)
    source = resample.source_window().clipped(burst)
    return coregister(frame, resample, read(product, burst.burst_id, source, burst.polarization), source, 1, True)
