"""The published cube: a template with every variable, its validation, and its writing.

    coherence(pair, y, x)  +  one number per pair  +  layers of the year on (y, x)

A cube is made from `template`, filled by the flow, checked by `validate` and written once by `write_cube`. It is
georeferenced three ways, because no single one is read by every program: CF (``spatial_ref`` and ``grid_mapping``), the
GeoZarr conventions ``proj:`` and ``spatial:``, and a ``GeoTransform`` in ``spatial_ref``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
import odc.geo.xr
import xarray as xr
import zarr_cm
from numpy.typing import ArrayLike, NDArray
from odc.geo.geobox import GeoBox

from . import __version__
from .errors import BadInput
from .model import Mine
from .settings import Settings
from .variables import COORDINATES, DATA_VARIABLES, REASONS, VARIABLES, Variable
from .zarr_store import Manifest, read_store, write_store

DAY = np.timedelta64(1, "D")
SOFTWARE = f"pitpulse {__version__}"
REQUIRED_ATTRIBUTES = (
    "title",
    "mine_id",
    "year",
    "track",
    "polarization",
    "looks",
    "equivalent_looks",
    "settings",
    "source_granules",
    "software",
    "fingerprint",
)


def cube_attributes(
    mine: Mine,
    year: int,
    settings: Settings,
    *,
    track: int,
    equivalent_looks: float,
    source_granules: Sequence[str],
    fingerprint: str,
    **more,
) -> dict:
    """Attributes of the cube's root: what it is, what it was made from and how. No clock: same input, same bytes.

    ``more`` adds facts such as ``dem`` or ``burst_ids``; lists of words are joined by blanks.
    """
    range_looks, azimuth_looks = settings.looks
    attributes = {
        "Conventions": "CF-1.11",
        "title": f"{mine.name or mine.id} {year}: Sentinel-1 coherence and mine activity",
        "summary": (
            "Interferometric coherence of Sentinel-1 pairs on the mine's map grid, the normalised difference activity "
            "index (NDAI) that follows from it, and the class of every pixel."
        ),
        "source": "Copernicus Sentinel-1 IW SLC",
        "history": f"{SOFTWARE}: SLC bursts -> coregistration -> coherence -> stable points -> NDAI -> activity",
        "mine_id": mine.id,
        "mine_name": mine.name,
        "country": mine.country,
        "commodity": mine.commodity,
        "year": int(year),
        "track": int(track),
        "polarization": settings.polarization,
        "looks": f"{range_looks}x{azimuth_looks} (range x azimuth)",
        "equivalent_looks": round(float(equivalent_looks), 4),
        "source_granules": " ".join(sorted(set(source_granules))),
        "settings": json.dumps(settings.as_dict(), sort_keys=True),
        "software": SOFTWARE,
        "fingerprint": fingerprint,
    }
    for name, value in more.items():
        attributes[name] = value if isinstance(value, str | int | float) else " ".join(sorted(set(value)))
    return attributes


def map_dataset(grid: GeoBox, layers: Mapping[str, ArrayLike], attributes: Mapping | None = None) -> xr.Dataset:
    """Arrays on a map grid as a dataset that every reader can place.

    Parameters
    ----------
    grid : GeoBox
        North up, with a CRS. Pixels are areas; coordinates are their centres.
    layers : mapping of str to array
        (y, x) or (pair, y, x) each; variables that the cube knows get its long names, units and flags.
    attributes : mapping, optional
        Of the root.

    Raises
    ------
    BadInput
        The grid is rotated or has no CRS, or a layer doesn't have its shape.
    """
    dataset = xr.Dataset(coords=_map_coordinates(grid), attrs=dict(attributes or {}))
    for name, values in layers.items():
        array = np.asarray(values)
        dims = ("pair", "y", "x")[3 - array.ndim :] if array.ndim in (2, 3) else ()
        if array.shape[-2:] != tuple(grid.shape) or not dims:
            raise BadInput(
                f"layer {name!r} must be (y, x) or (pair, y, x) on a grid of {tuple(grid.shape)}, "
                f"instead got {array.shape}"
            )
        known = VARIABLES.get(name)
        dataset[name] = (dims, array, {**(known.attributes if known else {}), "grid_mapping": "spatial_ref"})
    return dataset


def template(
    grid: GeoBox,
    reference_time: ArrayLike,
    secondary_time: ArrayLike,
    attributes: Mapping | None = None,
) -> xr.Dataset:
    """An empty cube: every variable of the table, missing everywhere, with its attributes and coordinates.

    Parameters
    ----------
    grid : GeoBox
        The mine's grid.
    reference_time, secondary_time : array, (pair,), datetime64[ns]
        Zero-Doppler times of the two dates, sorted by (secondary, reference); the temporal baseline follows from them.
    attributes : mapping, optional
        Of the root, from `cube_attributes`.

    Returns
    -------
    xarray.Dataset
        Writable in place: ``cube["coherence"].values[k] = ...``.

    Raises
    ------
    BadInput
        The two lists differ in length or aren't in order.
    """
    reference = np.atleast_1d(np.asarray(reference_time, "datetime64[ns]"))
    secondary = np.atleast_1d(np.asarray(secondary_time, "datetime64[ns]"))
    if reference.shape != secondary.shape or reference.ndim != 1:
        raise BadInput(
            f"reference_time and secondary_time must be lists of one length, "
            f"instead got {reference.shape} and {secondary.shape}"
        )
    order = np.lexsort((reference, secondary))
    if not np.array_equal(order, np.arange(reference.size)):
        raise BadInput("pairs must be sorted by secondary_time, then reference_time; sort them before filling the cube")
    sizes = {"pair": reference.size, "y": grid.shape[0], "x": grid.shape[1]}
    cube = xr.Dataset(coords=_map_coordinates(grid), attrs=dict(attributes or {}))
    pairs = {
        "pair": np.arange(reference.size, dtype=np.int32),
        "reference_time": reference,
        "secondary_time": secondary,
    }
    cube = cube.assign_coords({name: ("pair", values, VARIABLES[name].attributes) for name, values in pairs.items()})
    for name in DATA_VARIABLES:
        variable = VARIABLES[name]
        shape = tuple(sizes[dim] for dim in variable.dims)
        values = np.full(shape, 0 if variable.fill is None else variable.fill, variable.dtype)
        cube[name] = (variable.dims, values, _variable_attributes(variable))
    cube["temporal_baseline"].values[:] = np.round((secondary - reference) / DAY)
    return cube


def validate(cube: xr.Dataset) -> None:
    """Refuse a cube that doesn't keep the table's promises.

    Raises
    ------
    BadInput
        A variable is missing, unknown, or has other dimensions, another type or impossible values; the coordinates are
        not those of a north-up grid with a CRS; a required attribute is missing; an accepted pair has a reason.
    """
    found, expected = set(map(str, cube.variables)), set(VARIABLES)
    if found != expected:
        raise BadInput(
            f"a cube must hold exactly the variables of the table; first difference: {sorted(found ^ expected)[0]}"
        )
    for name, variable in VARIABLES.items():
        _check_variable(variable, cube[name])
    missing = [name for name in REQUIRED_ATTRIBUTES if cube.attrs.get(name) in (None, "")]
    if missing:
        raise BadInput(
            f"a cube must have the attributes {', '.join(REQUIRED_ATTRIBUTES)}; missing: {', '.join(missing)}"
        )
    grid_of(cube)
    if not bool((cube["secondary_time"] > cube["reference_time"]).all()):
        raise BadInput("secondary_time must be later than reference_time in every pair")
    because = cube["reason"].values
    disagree = np.flatnonzero(cube["accepted"].values != (because == REASONS.index("accepted")))
    if disagree.size:
        k = int(disagree[0])
        raise BadInput(
            f"pair {k}: accepted is {bool(cube['accepted'].values[k])} but its reason has code {because[k]}; "
            f"an accepted pair has the code 0 and no other has"
        )


def grid_of(dataset: xr.Dataset) -> GeoBox:
    """The grid of a cube or of any dataset with ``y``, ``x`` and ``spatial_ref``.

    Raises
    ------
    BadInput
        There is no regular north-up grid with a CRS.
    """
    grid = dataset.odc.geobox
    if grid is None or not _north_up(grid) or not _on_grid(dataset, grid):
        raise BadInput("coordinates y and x must be those of a regular north-up grid with a CRS in spatial_ref")
    return grid


def write_cube(cube: xr.Dataset, url: str | os.PathLike, *, overwrite: bool = False, **options) -> Manifest:
    """Validate a cube and write it as a Zarr 3 store that appears when complete; see `zarr_store.write_store`.

    Returns
    -------
    tuple of StoredObject
        The manifest.
    """
    validate(cube)
    return write_map(cube, url, overwrite=overwrite, **options)


def write_map(
    dataset: xr.Dataset,
    url: str | os.PathLike,
    *,
    groups: Mapping[str, xr.Dataset] | None = None,
    overwrite: bool = False,
    **options,
) -> Manifest:
    """Write any dataset on a map grid, with the GeoZarr attributes added; ``groups`` go below it as they are."""
    placed = dataset.assign_attrs(geozarr_attributes(grid_of(dataset)))
    return write_store(placed, url, groups=groups, overwrite=overwrite, **options)


def open_cube(url: str | os.PathLike, **options) -> xr.Dataset:
    """Open a published cube lazily."""
    return read_store(url, **options)


def geozarr_attributes(grid: GeoBox) -> dict:
    """Attributes of the GeoZarr conventions ``proj:`` and ``spatial:`` for a group on ``grid``."""
    crs = grid.crs
    code = None if crs.epsg is None else f"EPSG:{crs.epsg}"
    box = grid.boundingbox
    return zarr_cm.create_many(
        {
            "proj": zarr_cm.proj.create(code=code, wkt2=crs.to_wkt()),
            "spatial": zarr_cm.spatial.create(
                dimensions=["y", "x"],
                transform_type="affine",
                transform=[float(v) for v in tuple(grid.affine)[:6]],
                shape=[int(n) for n in grid.shape],
                bbox=[float(v) for v in (box.left, box.bottom, box.right, box.top)],
                registration="pixel",
            ),
        }
    )


def _north_up(grid: GeoBox) -> bool:
    return grid.crs is not None and grid.axis_aligned and grid.affine.a > 0 and grid.affine.e < 0


def _on_grid(dataset: xr.Dataset, grid: GeoBox) -> bool:
    """Whether y and x are the centres of the grid's pixels, to a thousandth of a pixel.

    The grid may come from the transform in ``spatial_ref`` alone, so that a shifted axis would go unseen.
    """
    columns, rows = np.arange(grid.shape[1]) + 0.5, np.arange(grid.shape[0]) + 0.5
    x, y = grid.affine.c + grid.affine.a * columns, grid.affine.f + grid.affine.e * rows
    if dataset["x"].shape != x.shape or dataset["y"].shape != y.shape:
        return False
    error = max(np.abs(dataset["x"].values - x).max(), np.abs(dataset["y"].values - y).max())
    return bool(error <= 1e-3 * grid.affine.a)


def _map_coordinates(grid: GeoBox) -> dict[str, xr.DataArray]:
    """y, x and spatial_ref of a grid, with CF attributes."""
    if not _north_up(grid):
        raise BadInput("the grid must be north up and have a CRS; build it with odc.geo.geobox.GeoBox.from_bbox")
    coordinates = odc.geo.xr.xr_coords(grid, dims=("y", "x"))
    for axis in ("y", "x"):
        attributes = VARIABLES[axis].attributes if grid.crs.projected else _GEOGRAPHIC[axis]
        coordinates[axis].attrs = {**attributes, "axis": axis.upper()}
    return coordinates


_GEOGRAPHIC = {
    "y": {"long_name": "latitude of the pixel's centre", "standard_name": "latitude", "units": "degrees_north"},
    "x": {"long_name": "longitude of the pixel's centre", "standard_name": "longitude", "units": "degrees_east"},
}


def _variable_attributes(variable: Variable) -> dict:
    """The table's attributes, with the grid mapping where there is a map."""
    mapped = {"grid_mapping": "spatial_ref"} if "x" in variable.dims else {}
    return {**variable.attributes, **mapped}


def _check_variable(variable: Variable, array: xr.DataArray) -> None:
    """Dimensions, type and values of one variable."""
    if array.dims != variable.dims or array.dtype != np.dtype(variable.dtype):
        raise BadInput(
            f"variable {variable.name!r} must be {variable.dtype} {variable.dims}, "
            f"instead got {array.dtype} {array.dims}"
        )
    values: NDArray = array.values
    if values.size == 0:
        raise BadInput(f"variable {variable.name!r} is empty; a cube needs at least one pair and one pixel")
    if array.dtype.kind == "M" and np.isnat(values).any():
        raise BadInput(f"variable {variable.name!r} has dates that are missing; every pair has two dates")
    if variable.name in COORDINATES:
        return
    if variable.flags:
        known = [value for value, _ in variable.flags]
        allowed = range(sum(known) + 1) if variable.bits else known
        strange = np.setdiff1d(np.unique(values), [*allowed, variable.fill])
        if strange.size:
            raise BadInput(f"variable {variable.name!r} must hold {list(allowed)}, instead it holds {strange.tolist()}")
    elif variable.limits is not None:
        low, high = variable.limits
        outside = (values < low - 1e-6) | (values > high + 1e-6) | np.isinf(values)
        if outside.any():
            raise BadInput(
                f"variable {variable.name!r} must lie in {low}..{high}, instead {int(outside.sum())} values don't, "
                f"such as {float(values[outside][0])}"
            )
