"""What STAC says of every file that is published."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pystac
import xarray as xr
from odc.geo.geobox import GeoBox

from pipeline.errors import BadInput
from pipeline.variables import DATA_VARIABLES, VARIABLES, Variable

from .colours import NO_CODE, YEAR_COLOURS, hint

ZARR_TYPE = "application/vnd.zarr; version=3"
XARRAY_TYPE = "application/vnd+zarr"  # what xpystac and QGIS look for
PARQUET_TYPE = "application/vnd.apache.parquet"
EVENTS = "When the sites were active, and alerts"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Stored:
    """A published file or store: its kind, its path from the root of the published folder, its size and checksum."""

    kind: str  # cube, ndai, activity, composite, colours, series, events, thumbnail, manifest
    path: str
    size: int
    sha256: str = ""  # "" for a store, whose manifest has one for every object
    years: tuple[int, ...] = ()  # of composite and colours, in the order red, green, blue
    columns: tuple[tuple[str, str, str], ...] = ()  # name, type and description of a table's columns


def asset_fields(entry: Stored, cube: xr.Dataset, grid: GeoBox) -> dict[str, dict]:
    """The assets (without href) that describe one stored thing, by key."""
    fields: dict = {"file:size": entry.size}
    if entry.sha256:
        fields["file:checksum"] = "1220" + entry.sha256  # multihash: sha2-256, 32 bytes
    if entry.kind == "cube":
        return _cube_assets(cube, grid, fields)
    make = {
        "ndai": _ndai,
        "activity": _activity,
        "composite": _composite,
        "colours": _colours,
        "series": _series,
        "events": _events,
        "thumbnail": _thumbnail,
        "manifest": _manifest,
    }[entry.kind]
    return {entry.kind: make(entry, cube, grid) | fields}


def parquet_columns(data: bytes) -> tuple[tuple[str, str, str], ...]:
    """Name, type and description (with its unit) of every column of a parquet file.

    Raises
    ------
    BadInput
        The bytes aren't one.
    """
    try:
        schema = pq.read_schema(io.BytesIO(data))
    except pa.ArrowException as error:
        raise BadInput(f"the time series must be a parquet file, instead got {len(data)} bytes: {error}") from error
    columns = []
    for field in schema:
        said = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        unit = f" ({said['units']})" if said.get("units") not in (None, "", "1") else ""
        columns.append((field.name, str(field.type), (said.get("long_name", "") + unit).strip()))
    return tuple(columns)


def item_assets() -> dict[str, dict]:
    """What the assets of all items have in common, by key: the core field ``item_assets`` of their collection."""
    cog, table = {"type": pystac.MediaType.COG, "roles": ["data"]}, {"type": PARQUET_TYPE, "roles": ["data"]}
    zarr = {"roles": ["data"], "zarr:node_type": "group", "zarr:zarr_format": 3, "zarr:consolidated": True}
    layers = [_band(VARIABLES[name]) for name in DATA_VARIABLES if VARIABLES[name].dims == ("y", "x")]
    json = {"type": pystac.MediaType.JSON, "roles": ["metadata"]}
    return {
        "cube": {**zarr, "type": ZARR_TYPE, "title": "Coherence and activity cube", "bands": layers},
        "cube-xarray": {**zarr, "type": XARRAY_TYPE, "title": "Coherence and activity cube, for xpystac and QGIS"},
        "ndai": {**cog, "title": "NDAI of the year", "bands": [_band(VARIABLES["ndai"])]},
        "activity": {
            **cog,
            "title": "Activity class of the year",
            "bands": [_band(VARIABLES["activity"])],
            "classification:classes": _classes(),
        },
        "composite": {**cog, "title": "NDAI of three years as red, green and blue", "roles": ["visual"]},
        "colours": {**cog, "title": "Years of activity, of three"},
        "series": {**table, "title": "Coherence and NDAI of the stable points and the sites, one row a pair"},
        "events": {"type": pystac.MediaType.JSON, "title": EVENTS, "roles": ["data"]},
        "thumbnail": {"type": pystac.MediaType.PNG, "roles": ["thumbnail"], "title": "Thumbnail"},
        "manifest": {**json, "title": "Key, size and SHA-256 of every object of the cube"},
    }


def _classes(values=None) -> list[dict]:
    """The activity classes with their colours, and how many pixels of ``values`` each has where they are given."""
    classes = []
    for value, name in VARIABLES["activity"].flags:
        said = {"value": value, "name": name, "title": name.replace("_", " ")}
        said |= {"nodata": True} if value == VARIABLES["activity"].fill else {"color_hint": hint(value)}
        classes.append(said if values is None else said | {"count": int((values == value).sum())})
    return classes


def _cube_assets(cube: xr.Dataset, grid: GeoBox, fields: dict) -> dict[str, dict]:
    bands = [_band(VARIABLES[name]) for name in DATA_VARIABLES if VARIABLES[name].dims == ("y", "x")]
    versioned = {
        "type": ZARR_TYPE,
        "title": "Coherence and activity cube",
        "description": "Zarr 3 group with coherence(pair, y, x), one number per pair and the layers of the year.",
        "roles": ["data"],
        "zarr:node_type": "group",
        "zarr:zarr_format": 3,
        "zarr:consolidated": True,
        "raster:spatial_resolution": _spacing(grid),
        "bands": bands,
        "cube:dimensions": _dimensions(cube, grid),
        "cube:variables": {name: _cube_variable(VARIABLES[name]) for name in DATA_VARIABLES},
    }
    plain = {
        "type": XARRAY_TYPE,
        "title": "Coherence and activity cube, for xpystac and QGIS",
        "roles": ["data"],
        "zarr:node_type": "group",
        "zarr:zarr_format": 3,
        "zarr:consolidated": True,
    }
    return {"cube": versioned | fields, "cube-xarray": plain | fields}


def _ndai(entry, cube, grid) -> dict:
    values = cube["ndai"].values
    band = _band(VARIABLES["ndai"])
    if np.isfinite(values).any():
        band["statistics"] = {
            "minimum": round(float(np.nanmin(values)), 6),
            "maximum": round(float(np.nanmax(values)), 6),
            "mean": round(float(np.nanmean(values, dtype=np.float64)), 6),
            "valid_percent": round(100.0 * float(np.isfinite(values).mean()), 3),
        }
    return _cog("NDAI of the year", grid, [band])


def _activity(entry, cube, grid) -> dict:
    fields = _cog("Activity class of the year", grid, [_band(VARIABLES["activity"])])
    return fields | {"classification:classes": _classes(cube["activity"].values)}


def _composite(entry, cube, grid) -> dict:
    names = ("red", "green", "blue", "alpha")
    years = (*entry.years, None)
    bands = [
        {"name": name, "data_type": "uint8", "description": f"NDAI of {year}" if year else "255 where there are data"}
        for name, year in zip(names, years, strict=True)
    ]
    shown = ", ".join(f"{year} {name}" for name, year in zip(names, entry.years, strict=False))
    return _cog(f"Three-year composite ({shown})", grid, bands) | {"roles": ["visual"]}


def _colours(entry, cube, grid) -> dict:
    """Which of three years a pixel was active in, as a code of three bits."""
    classes = []
    for code, colour in YEAR_COLOURS.items():
        years = sorted(year for bit, year in enumerate(entry.years) if code >> bit & 1) if code != NO_CODE else []
        said = {"value": code, "name": "active_" + "_".join(map(str, years or ["none"]))}
        unknown = {"name": "no_data", "nodata": True}
        classes.append(said | (unknown if code == NO_CODE else {"color_hint": "".join(f"{c:02x}" for c in colour[:3])}))
    band = {
        "name": "colours",
        "description": "sum of 1, 2, 4 for activity in " + ", ".join(map(str, entry.years)),
        "data_type": "uint8",
        "nodata": NO_CODE,
    }
    shown = f"{min(entry.years)} to {max(entry.years)}"
    return _cog(f"Years of activity, {shown}", grid, [band]) | {"classification:classes": classes}


def _series(entry, cube, grid) -> dict:
    columns = [
        {"name": name, "type": kind, **({"description": words} if words else {})} for name, kind, words in entry.columns
    ]
    return {
        "type": PARQUET_TYPE,
        "title": "Coherence and NDAI of the stable points and the sites, one row a pair",
        "roles": ["data"],
        **({"table:columns": columns} if columns else {}),
    }


def _events(entry, cube, grid) -> dict:
    return {"type": pystac.MediaType.JSON, "title": EVENTS, "roles": ["data"]}


def _thumbnail(entry, cube, grid) -> dict:
    return {"type": pystac.MediaType.PNG, "title": "Thumbnail", "roles": ["thumbnail"]}


def _manifest(entry, cube, grid) -> dict:
    return {
        "type": pystac.MediaType.JSON,
        "title": "Key, size and SHA-256 of every object of the cube",
        "roles": ["metadata"],
    }


def _cog(title: str, grid: GeoBox, bands: list[dict]) -> dict:
    return {
        "type": pystac.MediaType.COG,
        "title": title,
        "roles": ["data"],
        "raster:spatial_resolution": _spacing(grid),
        "bands": bands,
    }


def _band(variable: Variable) -> dict:
    """Core band object of a variable."""
    band = {"name": variable.name, "description": variable.long_name, "data_type": variable.dtype}
    if variable.is_float:
        band["nodata"] = "nan"
    elif variable.fill is not None:
        band["nodata"] = variable.fill
    if variable.units not in (None, "1"):
        band["unit"] = variable.units
    return band


def _dimensions(cube: xr.Dataset, grid: GeoBox) -> dict:
    left, bottom, right, top = (float(v) for v in grid.boundingbox.bbox)
    spacing, code = _spacing(grid), grid.crs.epsg
    days = cube["secondary_time"].values.astype("datetime64[s]").astype(object)
    return {
        "x": {"type": "spatial", "axis": "x", "extent": [left, right], "step": spacing, "reference_system": code},
        "y": {"type": "spatial", "axis": "y", "extent": [bottom, top], "step": -spacing, "reference_system": code},
        "pair": {
            "type": "ordinal",
            "description": "interferometric pairs by their later date, given here",
            "values": [day.strftime(_TIME) for day in days],
        },
    }


def _cube_variable(variable: Variable) -> dict:
    fields = {
        "dimensions": list(variable.dims),
        "type": "data",
        "description": variable.long_name,
        "data_type": variable.dtype if variable.dtype != "bool" else "other",
    }
    if variable.units not in (None, "1"):
        fields["unit"] = variable.units
    if variable.is_float:
        fields["nodata"] = "nan"
    return fields


def _spacing(grid: GeoBox) -> float:
    return float(abs(grid.affine.a))
