"""``pitpulse coherence``: one pair, with nothing else set up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ..cube import map_dataset, write_map
from ..dem_source import DemSource, read_heights
from ..errors import BadInput, NoCoverage, Unavailable
from ..grid import utm_grid
from ..mine_year import open_acquisition
from ..settings import Settings
from ..stack import BurstReader, Coregistered, Frame, baseline, coregister, make_frame, map_coherence, resampler
from ..storage import open_store
from .checks import check_bbox


@dataclass(frozen=True)
class PairRequest:
    """What to compute: two products, an area in degrees, and how."""

    reference: str
    secondary: str
    dem: DemSource
    bbox: tuple[float, float, float, float]
    looks: tuple[int, int] = (7, 2)
    spacing: float = 20.0
    polarization: str = "VV"
    radar: bool = False


def parse_looks(text: str) -> tuple[int, int]:
    """``"7x2"`` → (7, 2)."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.strip().isdigit() and int(p) > 0 for p in parts):
        raise BadInput(f"--looks must be RANGExAZIMUTH such as 7x2, instead got {text!r}")
    return int(parts[0]), int(parts[1])


def pair_coherence(
    request: PairRequest, progress: Callable[[str], None] = lambda _: None
) -> tuple[xr.Dataset, dict[str, xr.Dataset], int]:
    """Coherence of a pair on the map, its radar groups by path (empty unless asked for), and the bytes read.

    Raises
    ------
    NoCoverage
        The products share no burst over the area, or the DEM does not cover it.
    """
    check_bbox(request.bbox)
    settings = Settings(looks=request.looks, spacing=request.spacing, polarization=request.polarization)
    reference, secondary = (open_acquisition((url,), settings) for url in (request.reference, request.secondary))
    if reference.time == secondary.time:
        raise BadInput(f"reference and secondary must be two dates, instead both start at {reference.time}")
    tracks = [date.products[0].track for date in (reference, secondary)]
    if tracks[0] != tracks[1]:
        raise BadInput(
            f"reference and secondary must be of one track, instead {reference.products[0].granule} is of track "
            f"{tracks[0]} and {secondary.products[0].granule} of track {tracks[1]}"
        )
    grid = utm_grid(request.bbox, request.spacing)
    dem = read_heights(request.dem, request.bbox)
    progress("geometry")
    frame = make_frame(grid, dem, reference.bursts(settings.polarization), settings.looks)
    reader = BurstReader()
    first, second, groups, bytes_read = {}, {}, {}, 0
    for burst in frame.bursts:
        key = burst.reference.burst_id
        found = [date.find(key, settings.polarization) for date in (reference, secondary)]
        if found[1] is None:
            continue
        progress(f"burst {key}: {burst.window.shape[0]} x {burst.window.shape[1]} samples")
        resample = resampler(burst, found[1][2])
        source = resample.source_window().clipped(found[1][2])
        if source.size == 0:
            continue
        a, _, n_a, _ = reader.read(*found[0], burst.window)
        b, _, n_b, _ = reader.read(*found[1], source)
        bytes_read += n_a + n_b
        first[key] = Coregistered(a)
        second[key] = coregister(burst, resample, b, source, reader.threads, offsets=request.radar)
        if request.radar:
            groups[f"radar/{key}"] = radar_group(frame, burst, first[key], second[key])
    if not second:
        raise NoCoverage(
            f"{secondary.products[0].granule} shares no burst over the area with {reference.products[0].granule}; "
            f"expected {', '.join(b.reference.burst_id for b in frame.bursts)} in both: are they of one track?"
        )
    coherence = map_coherence(frame, first, second, settings.looks, reader.threads)
    if not np.isfinite(coherence).any():
        raise NoCoverage("no valid samples under the area in both products; expected a measurement with signal there")
    attributes = _attributes(request, frame, reference, secondary, settings)
    dataset = map_dataset(
        grid, {"coherence": coherence, "incidence_angle": frame.incidence_angle.astype(np.float32)}, attributes
    )
    return dataset, groups, bytes_read


def _attributes(request, frame: Frame, reference, secondary, settings) -> dict:
    return {
        "title": "Sentinel-1 coherence of one pair",
        "reference_granule": reference.products[0].granule,
        "secondary_granule": secondary.products[0].granule,
        "reference_time": str(reference.time),
        "secondary_time": str(secondary.time),
        "track": reference.products[0].track,
        "polarization": settings.polarization,
        "looks": f"{request.looks[0]}x{request.looks[1]} (range x azimuth)",
        "equivalent_looks": round(frame.equivalent_looks, 4),
        "intensity_looks": round(frame.intensity_looks, 4),
        "perpendicular_baseline": round(baseline(frame, reference, secondary, settings.polarization), 3),
        "dem": request.dem.name,
    }


def radar_group(frame: Frame, burst, first: Coregistered, second: Coregistered) -> xr.Dataset:
    """The coregistered samples of one burst and where they came from, on lines and samples of the reference burst."""
    dims, w = ("line", "sample"), burst.window
    return xr.Dataset(
        {
            "reference": (dims, first.samples, {"long_name": "samples of the reference date"}),
            "secondary": (
                dims,
                second.samples,
                {"long_name": "samples of the secondary date, coregistered, geometric phase removed"},
            ),
            "line_offset": (
                dims,
                second.line_offset,
                {"long_name": "line of the secondary minus line of the reference"},
            ),
            "sample_offset": (
                dims,
                second.sample_offset,
                {"long_name": "sample of the secondary minus sample of the reference"},
            ),
        },
        coords={
            "line": (
                "line",
                np.arange(w.line_start, w.line_stop),
                {"long_name": "line of the reference burst, from 0"},
            ),
            "sample": (
                "sample",
                np.arange(w.sample_start, w.sample_stop),
                {"long_name": "sample of the burst, from 0"},
            ),
        },
        attrs={
            "burst_id": burst.reference.burst_id,
            "azimuth_time": str(burst.reference.azimuth_time),
            "azimuth_time_interval": burst.reference.azimuth_time_interval,
            "slant_range_time": burst.reference.slant_range_time,
            "range_sampling_rate": burst.reference.range_sampling_rate,
            "radar_frequency": burst.reference.radar_frequency,
        },
    )


def coherence(
    request: PairRequest, out: str, overwrite: bool, say: Callable[[str], None], progress: Callable[[str], None]
) -> None:
    """Compute a pair and write it; says what it did."""
    started = time.perf_counter()
    if not overwrite and open_store(out).exists():
        raise Unavailable(f"{out} exists already; give another --out, or --overwrite to replace it")
    dataset, groups, bytes_read = pair_coherence(request, progress)
    progress("writing")
    write_map(dataset, out, groups=groups, overwrite=overwrite)
    values = dataset["coherence"].values
    attributes = dataset.attrs
    say(
        f"pair       {attributes['reference_time'][:10]} / {attributes['secondary_time'][:10]}, "
        f"track {attributes['track']}"
    )
    say(f"baseline   {attributes['perpendicular_baseline']:.1f} m perpendicular")
    say(f"coherence  mean {np.nanmean(values):.3f} over {np.isfinite(values).sum()} of {values.size} pixels")
    say(f"looks      {attributes['looks']}, {attributes['equivalent_looks']:.2f} equivalent")
    say(f"read       {bytes_read / 1e6:.1f} MB in {time.perf_counter() - started:.1f} s")
    say(f"written    {out}" + "".join(f"\n           {out}/{path}" for path in groups))
