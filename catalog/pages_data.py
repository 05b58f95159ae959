"""What a page shows of a mine, from its items and cubes: numbers, outline, pairs and small pictures.

Everything comes from the published folder. Of an item only what is named here is taken, and of its links only those
that stay inside the folder, so that nothing else (a credential in an absolute link, say) can come onto a page.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import math
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
import xarray as xr
from numpy.typing import NDArray
from PIL import Image
from pyproj import Transformer
from rasterio.io import MemoryFile

from pipeline.cube import grid_of
from pipeline.errors import BadInput
from pipeline.variables import NO_DATA, VARIABLES, reason_words

from .colours import CLASS_COLOURS, NDAI_RANGE, YEAR_COLOURS, colour_ramp

LARGEST = 2048  # pixels a side of a picture; larger grids are thinned out
LEVELS = 64  # shades of the index: more can't be told apart, and cost twice the bytes
COLOUR_BITS = 5  # of each channel of a composite, for the same reason
SITES = 6  # series of sites that a chart can hold, the largest
STABLE_POINTS = "stable points"  # the first "site" of a series: the pair table has it already
SMOOTH = 1.0  # pixels; takes the steps off an outline that follows pixels
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """What the list of mines and the search for changes need of one item."""

    path: str  # of the item's document, from the root
    digest: str  # sha256 of the document
    mine_id: str
    name: str
    country: str
    commodity: str
    year: int
    area: tuple[float | None, float | None, float | None]  # m2: value, low, high


def read_entry(data: bytes, path: str) -> tuple[Entry, dict]:
    """The entry of an item's document, and the document.

    Raises
    ------
    BadInput
        It isn't an item of ours, or names a mine that can't be a file's name.
    """
    try:
        document = json.loads(data)
        known = document["properties"]
        mine_id, year = known["pitpulse:mine_id"], int(known["pitpulse:year"])
    except (ValueError, TypeError, KeyError) as error:
        wanted = "expected a STAC item with pitpulse:mine_id and pitpulse:year"
        raise BadInput(f"{path}: {wanted}, instead got something else ({error}); publish it again") from error
    if not isinstance(mine_id, str) or not mine_id or mine_id.startswith(".") or set(mine_id) & set("/\\?#%"):
        raise BadInput(f"{path}: pitpulse:mine_id must be fit for a file's name, instead got {mine_id!r}")
    words = (str(known.get(f"pitpulse:{word}") or "") for word in ("mine_name", "country", "commodity"))
    name, country, commodity = words
    entry = Entry(
        path, hashlib.sha256(data).hexdigest(), mine_id, name or mine_id, country, commodity, year, _area(known)
    )
    return entry, document


def legend() -> dict:
    """Colours of the classes with their names, and of the index with the range that they span."""
    names = {value: name.replace("_", " ") for value, name in VARIABLES["activity"].flags}
    ramp = [_hex(colour) for colour in list(colour_ramp().values())[::17]]
    classes = [[_hex(CLASS_COLOURS[value]), names[value]] for value in sorted(CLASS_COLOURS) if value != NO_DATA]
    return {"classes": classes, "ndai": {"colours": ramp, "range": list(NDAI_RANGE)}}


def place(document: Mapping) -> tuple[float, float] | None:
    """Longitude (-180 to 180) and latitude of the middle of an item's grid, degrees; None where it doesn't say.

    From the grid and not from the item's box, whose ends lie on either side of the antimeridian for some.
    """
    known = document["properties"]
    code, box = known.get("proj:code"), known.get("proj:bbox")
    if code and box:
        lon, lat = _to_degrees(code).transform((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    elif document.get("bbox"):
        ends = document["bbox"]  # with heights it has six numbers
        (west, south), (east, north) = ends[:2], ends[len(ends) // 2 :][:2]
        lon, lat = west + ((east - west) % 360.0) / 2, (south + north) / 2
    else:
        return None
    if not (math.isfinite(lon) and math.isfinite(lat)):
        return None
    return (float(lon) + 180.0) % 360.0 - 180.0, float(lat)


def year_facts(entry: Entry, document: Mapping) -> dict:
    """What the page says of one year, from the item alone."""
    known = document["properties"]
    track, orbit = known.get("sat:relative_orbit"), known.get("sat:orbit_state")
    return {
        "year": entry.year,
        "item": entry.path,
        "version": known.get("version", ""),
        "track": track,
        "orbit": orbit,
        "area": list(entry.area) if entry.area[0] is not None else None,
        "ndai": _number(known.get("pitpulse:ndai_mean")),
        "pairs": [known.get("pitpulse:pairs_accepted"), known.get("pitpulse:pairs_rejected")],
        "production": _estimate(known, "production"),
        "emissions": _estimate(known, "emissions_co2"),
        "downloads": downloads(document, entry.path),
    }


def composite_facts(document: Mapping) -> dict:
    """Years of the composite's red, green and blue, and what its eight colours mean, as far as the item says."""
    assets = document.get("assets", {})
    bands = (assets.get("composite") or {}).get("bands", [])[:3]
    years = [re.search(r"\d{4}", str(band.get("description") or band.get("name") or "")) for band in bands]
    classes = (assets.get("colours") or {}).get("classification:classes", [])
    # Colours of the picture, not the item's own hints: an old product is drawn in the colours of today.
    shown = [(c.get("value"), re.findall(r"\d{4}", str(c.get("name")))) for c in classes if not c.get("nodata")]
    shown = [(YEAR_COLOURS[code], years) for code, years in shown if code in YEAR_COLOURS]
    return {
        "rgb_years": [int(found[0]) for found in years if found],
        "codes": [{"colour": _hex(colour), "years": list(map(int, active))} for colour, active in shown],
    }


def downloads(document: Mapping, path: str) -> list[dict]:
    """The files and stores of an item that lie inside the published folder: key, title, type, path and size."""
    out = []
    for key, asset in document.get("assets", {}).items():
        where = inside_folder(asset["href"], path)
        if where is not None and key != "cube-xarray":  # the same store a second time
            facts = {"key": key, "title": asset.get("title", key), "type": asset.get("type", ""), "path": where}
            out.append(facts | {"size": asset.get("file:size")})
    return out


def inside_folder(href: str, path: str) -> str | None:
    """A relative href of the document at ``path`` as a path from the root; None for one that leads elsewhere."""
    if ":" in href or href.startswith("/") or set(href) & set("?#\\"):
        return None
    where = posixpath.normpath(posixpath.join(posixpath.dirname(path), href))
    return None if where.startswith("..") else where


def pictures(cube: xr.Dataset, composite: bytes | None, colours: bytes | None) -> dict[str, bytes]:
    """PNGs of a year by layer: classes, ndai and, where their COGs are given, composite and colours."""
    step = _step(cube.sizes["y"], cube.sizes["x"])
    out = {
        "classes": _palette_png(cube["activity"].values[::step, ::step], CLASS_COLOURS),
        "ndai": _palette_png(*_shades(cube["ndai"].values[::step, ::step])),
    }
    if composite is not None:
        image = np.moveaxis(_raster(composite), 0, 2)[::step, ::step].copy()
        cut = 8 - COLOUR_BITS
        image[..., :3] = (image[..., :3] >> cut << cut) | image[..., :3] >> COLOUR_BITS  # 0 and 255 stay what they are
        out["composite"] = _png(Image.fromarray(image))
    if colours is not None:
        out["colours"] = _palette_png(_raster(colours)[0, ::step, ::step], YEAR_COLOURS)
    return out


def year_shape(cube: xr.Dataset) -> dict:
    """Size of the map in pixels, their spacing in metres, and the mine's outline as an SVG path in pixels."""
    grid = grid_of(cube)
    rows, columns = (int(n) for n in grid.shape)
    shape = {"width": columns, "height": rows, "spacing": float(abs(grid.affine.a)), "crs": f"EPSG:{grid.crs.epsg}"}
    return shape | {"outline": outline(cube["mine"].values == 1)}


def outline(mask: NDArray[np.bool_]) -> str:
    """SVG path around the true pixels of a mask (y, x); x and y in pixels from the upper left corner."""
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (rows, starts), (_, stops) = np.nonzero(steps == 1), np.nonzero(steps == -1)  # runs of pixels, row by row
    merged = shapely.union_all(shapely.box(starts, rows, stops, rows + 1))
    parts = []
    for polygon in shapely.get_parts(merged):
        for ring in (polygon.exterior, *polygon.interiors):
            points = np.round(ring.simplify(SMOOTH if len(ring.coords) > 20 else 0.0).coords, 1)[:-1]
            parts.append("M" + "L".join(f"{x:g},{y:g}" for x, y in points) + "Z")
    return "".join(parts)


def pair_rows(cube: xr.Dataset) -> list[tuple]:
    """Pairs of a year: days, baseline (m), mean and spread of the stable points' coherence, accepted, reason."""
    days = (np.datetime_as_string(cube[name].values, "D") for name in ("reference_time", "secondary_time"))
    numbers = (cube[name].values.astype(float) for name in ("perpendicular_baseline", "stable_mean", "stable_std"))
    words = reason_words(cube["reason"].values)
    columns = [*(d.tolist() for d in days), *(n.tolist() for n in numbers), cube["accepted"].values.tolist(), words]
    return list(zip(*columns, strict=True))


def pair_table(rows: Iterable[tuple]) -> dict[str, list]:
    """Columns of the pairs of all years in the order of their later dates; a pair of two years counts once."""
    once = {(row[1], row[0]): row for row in rows}
    ordered = [once[key] for key in sorted(once)]
    names = ("reference", "secondary", "baseline", "mean", "std", "accepted", "reason")
    columns = list(zip(*ordered, strict=True)) or [()] * len(names)
    table = {name: list(values) for name, values in zip(names, columns, strict=True)}
    for name, digits in (("baseline", 1), ("mean", DIGITS), ("std", DIGITS)):
        table[name] = [_number(value, digits) for value in table[name]]
    table["reason"] = ["" if word == "accepted" else word.replace("_", " ") for word in table["reason"]]
    return table


def site_series(tables: Iterable[bytes], pairs: Mapping[str, list]) -> dict[str, list]:
    """Activity index of the largest sites, a number or null for each of the pairs; from the years' parquet tables.

    A table that isn't one is left out: it stands beside the product, and the page can do without.
    """
    index = {key: k for k, key in enumerate(zip(pairs["reference"], pairs["secondary"], strict=True))}
    series: dict[str, list] = {}
    sizes: dict[str, int] = {}
    for data in tables:
        for site, reference, secondary, value, pixels in _series_rows(data):
            at = index.get((str(reference)[:10], str(secondary)[:10]))
            if at is not None and site != STABLE_POINTS:
                series.setdefault(site, [None] * len(index))[at] = _number(value)
                sizes[site] = max(sizes.get(site, 0), int(pixels or 0))
    largest = sorted(sizes, key=lambda site: (-sizes[site], site))[:SITES]
    return {site: series[site] for site in sorted(largest)}


def table_of_mines(latest: Sequence[dict], country_names: Mapping[str, str]) -> bytes:
    """The list of all mines by columns; words by their number in a list of words, lengths and areas as whole numbers.

    ``latest``: of each mine ``id``, ``name``, ``country``, ``commodity``, ``place``, ``years`` (first, last), ``shown``
    (the year of the area, or None), ``area`` (three numbers, m2), ``change`` (m2 or None) and ``sure``.
    """
    out: dict = {"format": 1, "count": len(latest), "years": _span(latest)}
    for word in ("country", "commodity"):
        seen = sorted({mine[word] for mine in latest} - {""})
        at = {text: k for k, text in enumerate(seen)}
        out[f"{word}_words"] = [[text, country_names.get(text, text)] if word == "country" else text for text in seen]
        out[word] = [at.get(mine[word], -1) for mine in latest]
    out["id"] = [mine["id"] for mine in latest]
    out["name"] = ["" if mine["name"] == mine["id"] else mine["name"] for mine in latest]
    for k, name in enumerate(("lon", "lat")):  # 0.001 degrees: 100 m
        out[name] = [None if m["place"] is None else round(m["place"][k] * 1000) for m in latest]
    out["shown"] = [mine["shown"] for mine in latest]
    for k, name in enumerate(("area", "low", "high")):  # 1000 m2
        out[name] = [_thousand(mine["area"][k]) for mine in latest]
    out["change"] = [_thousand(mine["change"]) for mine in latest]
    out["sure"] = [int(mine["sure"]) for mine in latest]
    return (json.dumps(out, separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n").encode()


def summary(entries: Sequence[Entry], at: tuple[float, float] | None) -> dict:
    """A mine's line in the list, from its entries by year: the latest known area, and its change since the one before.

    A change is ``sure`` where the two 95 % intervals don't touch.
    """
    last = entries[-1]
    known = [entry for entry in entries if entry.area[0] is not None]
    change, sure = None, False
    if len(known) > 1:
        (old, old_low, old_high), (new, new_low, new_high) = known[-2].area, known[-1].area
        change = new - old
        if None not in (old_low, old_high, new_low, new_high):
            sure = new_low > old_high or new_high < old_low
    return {
        "id": last.mine_id,
        "name": last.name,
        "country": last.country,
        "commodity": last.commodity,
        "place": at,
        "years": (entries[0].year, last.year),
        "shown": known[-1].year if known else None,
        "area": known[-1].area if known else (None, None, None),
        "change": change,
        "sure": sure,
    }


def _hex(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in colour[:3])


def _span(latest) -> list[int]:
    years = [year for mine in latest for year in mine["years"]]
    return [min(years), max(years)] if years else []


def _area(known: Mapping) -> tuple:
    value, interval = _number(known.get("pitpulse:active_area"), 1), known.get("pitpulse:active_area_interval")
    low, high = _interval(interval) or (None, None)
    return (value, low, high) if value is not None else (None, None, None)


def _estimate(known: Mapping, what: str) -> dict | None:
    """A number in t with all that is said of it; None where nothing is."""
    value = _number(known.get(f"pitpulse:{what}"), 0)
    reason = known.get("pitpulse:production_reason") or ""
    if value is None and not (reason and what == "production"):
        return None
    flags = known.get("pitpulse:production_flags") if what == "production" else None
    words = {name: str(known.get(f"pitpulse:{what}_{name}") or "") for name in ("confidence", "basis")}
    out = {"value": value, "interval": _interval(known.get(f"pitpulse:{what}_interval")), **words}
    return out | {"flags": [str(flag) for flag in flags or ()], "reason": str(reason)}


def _interval(values) -> list[float] | None:
    if not isinstance(values, list) or len(values) != 2:
        return None
    low, high = (_number(value, 1) for value in values)
    return None if low is None or high is None else [low, high]


def _number(value, digits: int = DIGITS) -> float | None:
    """Rounded; None for what isn't a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return round(float(value), digits) if digits else round(value)


def _thousand(value: float | None) -> int | None:
    return None if value is None else round(value / 1000)


@functools.lru_cache(maxsize=256)
def _to_degrees(code: str) -> Transformer:
    return Transformer.from_crs(code, 4326, always_xy=True)  # 20 ms: once a zone and not once a mine


def _series_rows(data: bytes) -> list[tuple]:
    names = ["site", "reference_time", "secondary_time", "ndai", "pixels"]
    try:
        table = pq.read_table(io.BytesIO(data), columns=names)
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return []
    return list(zip(*(table[name].to_pylist() for name in names), strict=True)) if table.num_columns == 5 else []


def _step(rows: int, columns: int) -> int:
    return math.ceil(max(rows, columns) / LARGEST)


def _shades(ndai: NDArray) -> tuple[NDArray[np.uint8], dict[int, tuple[int, ...]]]:
    """Index as numbers 1..LEVELS with their colours; 0 where it is missing."""
    low, high = NDAI_RANGE
    level = np.clip((ndai - low) / (high - low), 0.0, 1.0) * (LEVELS - 1)
    shades = np.where(np.isfinite(ndai), np.rint(np.nan_to_num(level)) + 1, 0).astype(np.uint8)
    ramp = colour_ramp()
    colours = {k + 1: tuple(ramp[str(round(k * 255 / (LEVELS - 1)))]) for k in range(LEVELS)}
    return shades, {0: (0, 0, 0, 0), **colours}


def _palette_png(values: NDArray[np.uint8], colours: Mapping[int, Sequence[int]]) -> bytes:
    """A PNG with a table of colours (red, green, blue, alpha), of which only as many as are needed are stored."""
    order = sorted(colours)
    number = np.zeros(256, np.uint8)
    number[order] = np.arange(len(order))
    image = Image.fromarray(number[values])  # grey until it has a palette
    image.putpalette([channel for key in order for channel in colours[key][:3]])
    return _png(image, transparency=bytes(colours[key][3] for key in order))


def _png(image: Image.Image, **more) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6, **more)  # 9 takes six times as long for 1 to 4 % less
    return buffer.getvalue()


def _raster(data: bytes) -> NDArray[np.uint8]:
    with MemoryFile(data) as file, file.open() as source:
        return source.read()
