"""A small synthetic cube with known values and missing pixels, for the tests of cube, catalog and readers."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from odc.geo.geobox import GeoBox
from PIL import Image
from pyproj import Transformer

from catalog.publish import Extras
from pipeline.activity.area import ActiveArea
from pipeline.cube import cube_attributes, template
from pipeline.model import Mine
from pipeline.settings import Settings
from pipeline.variables import ACTIVE, INACTIVE, NO_DATA, reason_codes

SHAPE = (40, 60)


def lonlat(crs: str, *corners: tuple[float, float]) -> dict:
    """GeoJSON polygon through corners in map coordinates (m); longitudes go on beyond 180 degrees."""
    to_degrees = Transformer.from_crs(crs, 4326, always_xy=True)
    points = [to_degrees.transform(x, y) for x, y in (*corners, corners[0])]
    first = points[0][0]
    ring = [[first + (lon - first + 180) % 360 - 180, lat] for lon, lat in points]
    return {"type": "Polygon", "coordinates": [ring]}


_PIT = lonlat("EPSG:32734", (696_100, 6_928_100), (697_000, 6_928_200), (696_800, 6_928_700), (696_200, 6_928_600))
# Sishen lies south of the equator, Musan north and has no polygon; neither grid is square.
SITES = {
    "sishen": (Mine("sishen", "Sishen", _PIT, "ZAF", "iron ore"), "EPSG:32734", (696_000, 6_928_000)),
    "musan": (Mine("musan", "Musan", {}, "PRK", "iron ore"), "EPSG:32652", (521_000, 4_674_000)),
}
# A pit that doesn't exist, across 180 degrees: the antimeridian is 590 m east of its grid's western edge.
_PLANE = "EPSG:32760"
_ACROSS = lonlat(_PLANE, (819_300, 8_140_200), (820_300, 8_140_200), (820_300, 8_140_600), (819_300, 8_140_600))
PLACES = SITES | {"across": (Mine("across", "Across", _ACROSS, "FJI", "gold ore"), _PLANE, (819_200, 8_140_000))}
PAIRS = 9
_NAMED = {"long_name": "name of the site"}
AREA = ActiveArea(120_000.0, 100_000.0, 150_000.0, 200_000.0, 250_000.0, 300)


def example_grid(site: str) -> GeoBox:
    """20 m UTM grid of a site, 40 rows of 60."""
    _, crs, (left, bottom) = PLACES[site]
    return GeoBox.from_bbox((left, bottom, left + SHAPE[1] * 20, bottom + SHAPE[0] * 20), crs, resolution=20)


def example_times(pairs: int = PAIRS):
    """Reference and secondary times, 12 days apart, to the microsecond."""
    start = np.datetime64("2020-12-24T16:45:01.123456", "ns")
    reference = start + np.arange(pairs) * np.timedelta64(12, "D")
    return reference, reference + np.timedelta64(12, "D")


def example_cube(site: str = "sishen", year: int = 2021, fingerprint: str = "ab" * 32):
    """A cube that validates: the first three rows are missing, one corner moves, the last pair is rejected."""
    mine, _, _ = PLACES[site]
    attributes = cube_attributes(
        mine,
        year,
        Settings(),
        track=29,
        equivalent_looks=7.37,
        source_granules=["S1A_IW_SLC__1SDV_B", "S1A_IW_SLC__1SDV_A"],
        fingerprint=fingerprint,
        dem="Copernicus GLO-30",
        orbit_pass="descending",
        burst_ids=["t029_060001_iw1"],
    )
    cube = template(example_grid(site), *example_times(), attributes)
    rng = np.random.default_rng(7)
    coherence = np.clip(rng.normal(0.85, 0.03, (PAIRS, *SHAPE)), 0, 1).astype(np.float32)
    coherence[:, 20:30, 5:25] = np.clip(rng.normal(0.4, 0.1, (PAIRS, 10, 20)), 0, 1)
    coherence[:, :3] = np.nan
    index = (0.85 - coherence) / (0.85 + coherence)
    ndai = index.mean(axis=0)
    layers = {
        "coherence": coherence,
        "ndai": ndai,
        "ndai_debiased": ndai * 1.2,
        "ndai_std": index.std(axis=0),
        "ndai_count": np.isfinite(coherence).sum(axis=0),
        "activity": np.where(np.isnan(ndai), NO_DATA, np.where(ndai > 0.15, ACTIVE, INACTIVE)),
        "activity_score": np.where(np.isnan(ndai), np.nan, -10.0 * ndai),
        "stable_point": ndai < 0.01,
        "coherence_mean": coherence.mean(axis=0),
        "incidence_angle": np.linspace(0.6, 0.65, SHAPE[1]) * np.ones(SHAPE),
        "height": np.linspace(1100, 1350, SHAPE[0])[:, None] * np.ones(SHAPE),
        "layover_shadow": 0,
        "mine": 1,
        "perpendicular_baseline": np.linspace(-90, 120, PAIRS),
        "stable_mean": 0.85,
        "stable_std": 0.05,
        "stable_reference": 0.85,
        "accepted": np.arange(PAIRS) < PAIRS - 1,
        "reason": reason_codes(["accepted"] * (PAIRS - 1) + ["low_stable_mean"]),
    }
    for name, values in layers.items():
        cube[name].values[...] = values
    return cube


def example_extras() -> Extras:
    """A thumbnail, a table and a composite that stand for real ones."""
    buffer = io.BytesIO()
    Image.new("RGBA", (16, 12), (213, 94, 0, 255)).save(buffer, "PNG")
    composite = np.random.default_rng(3).integers(0, 256, (*SHAPE, 4), dtype=np.uint8)
    colours = np.random.default_rng(4).integers(0, 8, SHAPE, dtype=np.uint8)
    table = pa.table({"site": ["stable points"]}, schema=pa.schema([pa.field("site", pa.string(), metadata=_NAMED)]))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    events = {"sites": [], "changes": [], "alerts": []}
    return Extras(buffer.getvalue(), sink.getvalue().to_pybytes(), events, composite, (2019, 2020, 2021), colours)
