"""What STAC says of every file that is published."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pystac
import xarray as xr
from odc.geo.geobox import GeoBox

from pipeline.variables import DATA_VARIABLES, VARIABLES, Variable

from .colours import NO_CODE, YEAR_COLOURS, hint

ZARR_TYPE = "application/vnd.zarr; version=3"
XARRAY_TYPE = "application/vnd+zarr"  # what xpystac and QGIS look for
PARQUET_TYPE = "application/vnd.apache.parquet"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Stored:
    """A published file or store: its kind, its path from the root of the published folder, its size and checksum."""

    kind: str  # cube, ndai, activity, composite, colours, series, thumbnail, manifest
    path: str
    size: int
    sha256: str = ""  # "" for a store, whose manifest has one for every object
    years: tuple[int, ...] = ()  # of composite and colours, in the order red, green, blue


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
        "thumbnail": _thumbnail,
        "manifest": _manifest,
    }[entry.kind]
    return {entry.kind: make(entry, cube, grid) | fields}


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
    return {"cube": versioned | fields, "cube-xarray": plain}


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
    values = cube["activity"].values
    classes = []
    for value, name in VARIABLES["activity"].flags:
        entry_of = {
            "value": value,
            "name": name,
            "title": name.replace("_", " "),
            "count": int((values == value).sum()),
        }
        classes.append(
            entry_of | ({"nodata": True} if value == VARIABLES["activity"].fill else {"color_hint": hint(value)})
        )
    return _cog("Activity class of the year", grid, [_band(VARIABLES["activity"])]) | {
        "classification:classes": classes
    }


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
    return {
        "type": PARQUET_TYPE,
        "title": "Coherence and NDAI of the stable points and the sites, one row a pair",
        "roles": ["data"],
    }


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
