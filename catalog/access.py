"""One line from an id to an xarray dataset: a year of a mine, or all its years. Nothing but metadata is read at once.

import catalog
catalog.open("musan-2022", root="products")
catalog.open_mine("musan", root="products")["ndai"].sel(year=2022).plot()
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

import numpy as np
import pystac
import xarray as xr
from odc.geo.geobox import GeoBox

from pipeline.cube import geozarr_attributes, grid_of, map_dataset, open_cube
from pipeline.errors import BadInput, NoCoverage, Unavailable
from pipeline.storage import Location, open_store
from pipeline.variables import VARIABLES

from .item_table import absolute
from .snapshot import FOLDER, POINTER, open_index, published_root
from .stac import COLLECTION_ID

ITEMS = f"{FOLDER}/{COLLECTION_ID}"
# of an item, put beside the maps of its year: name, long name and unit
_YEARLY = {
    "active_area": ("pitpulse:active_area", "active area", "m2"),
    "ndai_mean": ("pitpulse:ndai_mean", "mean activity index inside the mine", "1"),
    "pairs_accepted": ("pitpulse:pairs_accepted", "accepted pairs", "1"),
}
_NAMED = ("fingerprint", "track", "equivalent_looks")  # attributes of a cube that differ from year to year


def open(
    item: pystac.Item | Mapping | str | os.PathLike,
    root: str | os.PathLike | None = None,
    options: Mapping | None = None,
) -> xr.Dataset:
    """The cube of one mine and year, lazily.

    Parameters
    ----------
    item : pystac.Item, mapping, str or path
        An item, its document, its id, or the URL of its document (anything with a slash, or ending in ``.json``).
    root : str or path, optional
        Root of the published folder, for an id; the environment's ``PITPULSE_ROOT`` where it is left out.
    options : mapping, optional
        Passed to the file system.

    Returns
    -------
    xarray.Dataset
        Dimensions pair, y, x; variables as in `pipeline.variables`. Values are read when they are used.

    Raises
    ------
    NoCoverage
        No item has that id; the message names those that are nearly called so.
    BadInput
        The item has a relative href and nothing says relative to what.
    Unavailable
        The folder, the document or the store can't be read.
    """
    options = dict(options or {})
    if isinstance(item, str | os.PathLike):
        url = os.fspath(item)
        by_url = "/" in url or os.sep in url or url.endswith(".json")
        item = _document(open_store(url, **options)) if by_url else _listed(published_root(root), url, options)
    if isinstance(item, Mapping):
        item = pystac.Item.from_dict(dict(item))
    return _cube(item, options)


def open_mine(
    mine: str,
    root: str | os.PathLike | None = None,
    *,
    years: Iterable[int] | None = None,
    options: Mapping | None = None,
) -> xr.Dataset:
    """All years of a mine in one dataset, lazily.

    Parameters
    ----------
    mine : str
        Its id.
    root : str or path, optional
        Root of the published folder; the environment's ``PITPULSE_ROOT`` where it is left out.
    years : iterable of int, optional
        Only these; all that are published where it is left out.
    options : mapping, optional
        Passed to the file system.

    Returns
    -------
    xarray.Dataset
        Maps are (year, y, x). ``coherence`` is (pair, y, x) with the pairs of all years one after the other, numbered
        anew; ``pair_year`` says whose each is. Years on grids that differ only in extent are put on the grid that
        covers all, without resampling: what a year doesn't cover is missing there (NaN, or the class that says so).
        ``active_area``, ``ndai_mean``, ``pairs_accepted`` (year) come from the items. Arrays are Dask arrays.

    Raises
    ------
    NoCoverage
        The mine, or one of its years, isn't published.
    BadInput
        The years' grids don't fit each other.
    Unavailable
        A document or a store can't be read.
    """
    options = dict(options or {})
    items = _of_mine(published_root(root), mine, options)
    if years is not None:
        wanted = sorted({int(year) for year in years})
        missing = [year for year in wanted if year not in items]
        if missing or not wanted:
            raise NoCoverage(f"mine {mine!r} has no {missing or 'years asked for'}; published are {sorted(items)}")
        items = {year: items[year] for year in wanted}
    cubes = {year: _lazy(_cube(items[year], options)) for year in sorted(items)}
    whole = _common_grid({year: grid_of(cube) for year, cube in cubes.items()}, mine)
    prepared = [_on_year(cube, year, items[year]) for year, cube in cubes.items()]
    return _joined(prepared, whole)


def _listed(root: str | os.PathLike, item: str, options: dict) -> pystac.Item:
    """The item that the catalog lists under an id."""
    location = open_store(root, **options)
    if location.exists(f"{ITEMS}/{item}.json"):
        return _document(location.join(f"{ITEMS}/{item}.json"))
    names = _ids(location, root, options)
    near = get_close_matches(item, names, n=3, cutoff=0.5) or names[:3]
    hint = f"; nearest are {', '.join(near)}" if near else "; nothing is published there"
    raise NoCoverage(f"{location.url} lists no item {item!r}{hint}")


def _of_mine(root: str | os.PathLike, mine: str, options: dict) -> dict[int, pystac.Item]:
    """Items of a mine by year."""
    location = open_store(root, **options)
    names = _ids(location, root, options, mine)
    if not names:
        mines = sorted({re.sub(r"-\d{4}$", "", name) for name in _ids(location, root, options)})
        near = get_close_matches(mine, mines, n=3, cutoff=0.5) or mines[:3]
        hint = f"; nearest are {', '.join(near)}" if near else "; nothing is published there"
        raise NoCoverage(f"{location.url} lists no mine {mine!r}{hint}")
    items = (_document(location.join(f"{ITEMS}/{name}.json")) for name in names)
    return {item.properties["pitpulse:year"]: item for item in items}


def _ids(location: Location, root, options: dict, mine: str | None = None) -> list[str]:
    """Ids of the items of a mine, or of all: from the index, without one from the folder."""
    if location.exists(POINTER):
        index = open_index(root, **options)
        groups = None if mine is None else index.groups("pitpulse:mine_id", mine, mine)
        table = index.columns(["id", "pitpulse:mine_id"], groups)
        pairs = zip(table["id"].to_pylist(), table["pitpulse:mine_id"].to_pylist(), strict=True)
        return [name for name, of in pairs if mine in (None, of)]
    if not location.is_folder(ITEMS):
        raise Unavailable(f"{location.url} has no {ITEMS}: it is no published folder; check the URL")
    names = [name.removesuffix(".json") for name in location.list(ITEMS) if name.endswith(".json")]
    wanted = re.compile(r".+-\d{4}" if mine is None else rf"{re.escape(mine.lower())}-\d{{4}}")
    return [name for name in names if wanted.fullmatch(name)]


def _document(location: Location) -> pystac.Item:
    """An item with absolute hrefs, from its document."""
    try:
        document = json.loads(location.read_bytes())
        place = location.path if location.is_local else str(location.fs.unstrip_protocol(location.path))
        folder = posixpath.dirname(place)
        for thing in (*document["links"], *document["assets"].values()):
            thing["href"] = absolute(thing["href"], folder)
        return pystac.Item.from_dict(document)
    except (ValueError, KeyError, TypeError, pystac.STACError) as error:
        raise BadInput(f"{location.url} is no STAC item ({error!r}); give the URL of an item's document") from error


def _cube(item: pystac.Item, options: dict) -> xr.Dataset:
    asset = item.assets.get("cube")
    if asset is None:
        raise BadInput(f"item {item.id} has no asset 'cube', only {', '.join(item.assets) or 'none'}; is it ours?")
    href = asset.get_absolute_href()
    if href is None or not ("://" in href or os.path.isabs(href)):
        raise BadInput(f"item {item.id} has a relative href and no self link; give its id or the URL of its document")
    try:
        return open_cube(href, **options)
    except Unavailable as error:
        raise Unavailable(f"item {item.id} names a store that can't be opened: {error}") from error


def _lazy(cube: xr.Dataset) -> xr.Dataset:
    """The cube's maps as Dask arrays in the chunks that the store has; what is short stays as it is."""
    names = [name for name in cube.data_vars if "y" in cube[name].dims]
    for name in names:
        cube[name] = cube[name].chunk(cube[name].encoding.get("preferred_chunks") or {})
    return cube


def _common_grid(grids: Mapping[int, GeoBox], mine: str) -> GeoBox:
    """The smallest grid that covers all; they must be parts of one lattice."""
    first_year, first = next(iter(grids.items()))
    for year, grid in grids.items():
        shift = (np.array([grid.affine.c, grid.affine.f]) - [first.affine.c, first.affine.f]) / first.affine.a
        same = grid.crs == first.crs and grid.affine.a == first.affine.a and grid.affine.e == first.affine.e
        if not same or np.abs(shift - np.round(shift)).max() > 1e-6:
            raise BadInput(
                f"years of mine {mine!r} lie on grids that don't fit: {first_year} has {_said(first)}, {year} has "
                f"{_said(grid)}; open them one by one, or name years= that fit"
            )
    boxes = [grid.boundingbox for grid in grids.values()]
    bounds = (min(b.left for b in boxes), min(b.bottom for b in boxes),
              max(b.right for b in boxes), max(b.top for b in boxes))  # fmt: skip
    return GeoBox.from_bbox(bounds, first.crs, resolution=first.resolution, tight=True)


def _said(grid: GeoBox) -> str:
    return f"EPSG:{grid.crs.epsg}, {grid.affine.a:g} m, origin {grid.affine.c:g}, {grid.affine.f:g}"


def _on_year(cube: xr.Dataset, year: int, item: pystac.Item) -> xr.Dataset:
    """A cube whose pairs and maps say which year they are of."""
    cube = cube.drop_vars("pair").assign_coords(pair_year=("pair", np.full(cube.sizes["pair"], year)))
    maps = [name for name in cube.data_vars if cube[name].dims == ("y", "x")]
    for name in maps:
        cube[name] = cube[name].expand_dims(year=[year])
    for name, (source, long_name, units) in _YEARLY.items():
        value = item.properties.get(source)
        said = {"long_name": long_name, "units": units}
        cube[name] = ("year", [np.nan if value is None else float(value)], said)
    low, high = item.properties.get("pitpulse:active_area_interval") or (None, None)
    for name, value in (("active_area_low", low), ("active_area_high", high)):
        said = {"long_name": "95 % bound of the active area", "units": "m2"}
        cube[name] = ("year", [np.nan if value is None else float(value)], said)
    return cube.assign_coords({name: ("year", [cube.attrs[name]]) for name in _NAMED if name in cube.attrs})


def _joined(cubes: list[xr.Dataset], whole: GeoBox) -> xr.Dataset:
    """Years side by side on one grid."""
    place = map_dataset(whole, {}).coords  # y, x and spatial_ref of the whole
    axes = {"y": place["y"], "x": place["x"]}
    fills = {name: VARIABLES[name].fill for name in VARIABLES if VARIABLES[name].fill is not None}
    parts = []
    for cube in cubes:
        if cube.sizes["y"] != whole.shape[0] or cube.sizes["x"] != whole.shape[1]:
            # a hundredth of a pixel: the same centres, however they were rounded
            cube = cube.reindex(axes, method="nearest", tolerance=0.01 * whole.affine.a, fill_value=fills)
        parts.append(cube.assign_coords(place))
    by_year = [name for name in parts[0].data_vars if "year" in parts[0][name].dims]
    yearly = xr.concat([part[by_year] for part in parts], "year", **_CONCAT)
    by_pair = [name for name in parts[0].data_vars if "pair" in parts[0][name].dims]
    pairs = xr.concat([_of_pairs(part[by_pair]) for part in parts], "pair", **_CONCAT)
    joined = xr.merge([yearly.drop_vars(_PAIR_COORDINATES, errors="ignore"), pairs], compat="override", join="exact")
    joined = joined.assign_coords(pair=np.arange(joined.sizes["pair"], dtype=np.int32))
    geo = geozarr_attributes(whole)
    joined.attrs = {k: v for k, v in yearly.attrs.items() if k not in (*_NAMED, "title", "year")} | geo
    return joined


_CONCAT = {
    "data_vars": "minimal",
    "coords": "minimal",
    "compat": "override",
    "join": "exact",
    "combine_attrs": "drop_conflicts",
}
_PAIR_COORDINATES = ("reference_time", "secondary_time", "pair_year")


def _of_pairs(cube: xr.Dataset) -> xr.Dataset:
    return cube.drop_vars([name for name in cube.coords if "year" in cube[name].dims])
