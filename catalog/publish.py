"""Publishing: a mine-year becomes visible in one step and never changes afterwards.

    chunks -> consolidated metadata -> read back and verified -> manifest -> pictures -> versioned item
           -> state document by exclusive create -> item in the catalog -> catalogs -> collection

The state document is the commit: a product without one doesn't exist and is written again, one with it is never
touched. The catalog follows it, and names only what is committed; each of its documents is replaced in one step, so a
reader sees the old product or the new one. A publisher that dies between the two is healed by the next `publish` of the
same key.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pystac
import xarray as xr
from numpy.typing import NDArray

from pipeline.activity.area import ActiveArea
from pipeline.cube import grid_of, open_cube, validate, write_cube
from pipeline.errors import Absent, BadInput
from pipeline.fingerprint import version_name
from pipeline.model import Mine
from pipeline.storage import Location, open_store
from pipeline.zarr_store import manifest_bytes, verify

from .assets import Stored, parquet_columns
from .cog import layer_cog, rgba_cog
from .colours import CLASS_COLOURS, NO_CODE, YEAR_COLOURS
from .listing import annotate, json_bytes, list_item, listed_items, mend_catalog, rebuild_catalog
from .stac import build_item, item_path, rebase
from .storage_scheme import storage_scheme

__all__ = [
    "SUFFIXES",
    "Extras",
    "already_published",
    "annotate",
    "is_published",
    "listed_items",
    "listed_version",
    "mend_catalog",
    "open_item",
    "product_stem",
    "publish",
    "rebuild_catalog",
    "show",
]
SUFFIXES = {
    "cube": ".zarr",
    "manifest": ".manifest.json",
    "ndai": ".ndai.tif",
    "activity": ".activity.tif",
    "composite": ".composite.tif",
    "colours": ".colours.tif",
    "series": ".series.parquet",
    "events": ".events.json",
    "thumbnail": ".thumbnail.png",
    "item": ".item.json",
    "state": ".state.json",
}


@dataclass(frozen=True, eq=False)
class Extras:
    """What stands beside a cube: a PNG; the pairs' time series (parquet); onsets and alerts (for JSON); and of three
    years, named as red, green and blue, the composite (y, x, 4) uint8 and the code of the years in which each pixel was
    active (y, x) uint8."""

    thumbnail: bytes | None = None
    series: bytes | None = None
    events: Mapping | None = None
    composite: NDArray[np.uint8] | None = None
    composite_years: tuple[int, ...] = ()
    colours: NDArray[np.uint8] | None = None

    def __post_init__(self):
        if (self.composite is None) != (not self.composite_years) or len(self.composite_years) not in (0, 3):
            raise BadInput(f"a composite needs the years of red, green and blue, instead got {self.composite_years}")
        if self.colours is not None and not self.composite_years:
            raise BadInput("the colours of three years need composite_years, the years of red, green and blue")


def product_stem(mine_id: str, year: int, key: str) -> str:
    """Path of a product version from the root, without suffix: ``products/<mine>/<year>/v<version>-<fp8>``."""
    return f"products/{mine_id}/{int(year)}/{version_name(key)}"


def already_published(root_url: str | os.PathLike, mine_id: str, year: int, key: str, **options) -> dict | None:
    """The item (as a dictionary) that was published for this fingerprint, or None.

    Raises
    ------
    Unavailable
        The root can't be read.
    BadInput
        Another fingerprint has taken the same eight digits (one chance in four thousand million).
    """
    if not is_published(root_url, mine_id, year, key, **options):
        return None
    stem = product_stem(mine_id, year, key)
    return json.loads(open_store(root_url, **options).read_bytes(stem + SUFFIXES["item"]))


def is_published(root_url: str | os.PathLike, mine_id: str, year: int, key: str, **options) -> bool:
    """True where a version of this fingerprint is published; as `already_published`, by its smallest file alone."""
    root, stem = open_store(root_url, **options), product_stem(mine_id, year, key)
    try:
        state = json.loads(root.read_bytes(stem + SUFFIXES["state"]))
    except Absent:
        return False
    if state["fingerprint"] != key:
        raise BadInput(f"{stem} belongs to fingerprint {state['fingerprint']}, instead of {key}; change a setting")
    return True


def listed_version(root_url: str | os.PathLike, mine_id: str, year: int, key: str, **options) -> dict | None:
    """The item (as a dictionary) where the catalog lists just this version of a mine-year, or None."""
    try:
        document = json.loads(open_store(root_url, **options).read_bytes(item_path(mine_id, year)))
    except Absent:
        return None
    return document if document["properties"]["pitpulse:fingerprint"] == key else None


def publish(
    mine: Mine,
    cube: xr.Dataset,
    area: ActiveArea,
    extras: Extras,
    root_url: str | os.PathLike,
    **options,
) -> pystac.Item:
    """Publish one mine-year, or find that it is published.

    Parameters
    ----------
    mine : Mine
    cube : xarray.Dataset
        A complete cube; its attributes ``year`` and ``fingerprint`` say which product this is.
    area : ActiveArea
    extras : Extras
    root_url : str or path
        Root of the published folder.
    **options
        Passed to the file system.

    Returns
    -------
    pystac.Item
        The item as it is in the catalog, with its self link set, so that ``item.assets["cube"].get_absolute_href()``
        opens in xarray.

    Raises
    ------
    BadInput
        The cube or the composite doesn't keep its promises.
    Unavailable
        The root can't be written, or what was written reads back differently.
    """
    validate(cube)
    year, key = int(cube.attrs["year"]), str(cube.attrs["fingerprint"])
    if cube.attrs["mine_id"] != mine.id:
        raise BadInput(f"the cube is of mine {cube.attrs['mine_id']!r}, instead of {mine.id!r}")
    document = already_published(root_url, mine.id, year, key, **options)
    if document is None:
        root, stem = open_store(root_url, **options), product_stem(mine.id, year, key)
        _write_product(root, root_url, stem, mine, cube, area, extras, options)
    return show(root_url, mine.id, year, key, **options)


def show(root_url: str | os.PathLike, mine_id: str, year: int, key: str, **options) -> pystac.Item:
    """Have the catalog list a published version of a mine-year instead of the one it lists now.

    Returns
    -------
    pystac.Item
        As `publish` returns it.

    Raises
    ------
    BadInput
        No such version is published.
    """
    document = already_published(root_url, mine_id, year, key, **options)
    root, stem, place = open_store(root_url, **options), product_stem(mine_id, year, key), item_path(mine_id, year)
    if document is None:
        raise BadInput(f"{root.url} holds no published {stem}; publish it first")
    document = rebase(document, stem + SUFFIXES["item"], place)
    if root.exists(place):
        listed = json.loads(root.read_bytes(place))["properties"]
        if listed["pitpulse:fingerprint"] == key:  # keeps what `annotate` added
            document["properties"] = listed
    document = list_item(root, document, stem)
    item = pystac.Item.from_dict(document)
    item.set_self_href(f"{root.path if root.is_local else _remote_url(root)}/{place}")
    return item


def open_item(item: pystac.Item | str | os.PathLike, **options) -> xr.Dataset:
    """The cube of an item, lazily; ``item`` is a pystac item with a self link or the URL of its document."""
    if not isinstance(item, pystac.Item):
        location = open_store(item, **options)
        document = json.loads(location.read_bytes())
        item = pystac.Item.from_dict(document)
        item.set_self_href(location.path if location.is_local else _remote_url(location))
    href = item.assets["cube"].get_absolute_href()
    if href is None:
        raise BadInput(f"item {item.id} has a relative href and no self link; give the URL of its document instead")
    return open_cube(href, **options)


def _write_product(root, root_url, stem: str, mine: Mine, cube, area: ActiveArea, extras: Extras, options) -> None:
    """Everything of a product version, in the order that leaves it unfinished until the last."""
    store_path, item_place = stem + SUFFIXES["cube"], stem + SUFFIXES["item"]
    store_url = f"{os.fspath(root_url).rstrip('/')}/{store_path}"
    # What is there without a state document was left by a publisher that died.
    manifest = write_cube(cube, store_url, overwrite=True, **options)
    verify(store_url, manifest, **options)
    cube = open_cube(store_url, **options).load()  # from here on the facts are those that readers will see
    stored = [Stored("cube", store_path, sum(entry.size for entry in manifest))]
    files = {"manifest": manifest_bytes(manifest, store_path.rsplit("/", 1)[-1]), **_beside(cube, extras)}
    for kind, data in files.items():
        root.write_bytes(stem + SUFFIXES[kind], data)
        years = extras.composite_years if kind in ("composite", "colours") else ()
        columns = parquet_columns(data) if kind == "series" else ()
        stored.append(Stored(kind, stem + SUFFIXES[kind], len(data), hashlib.sha256(data).hexdigest(), years, columns))
    key, year = cube.attrs["fingerprint"], int(cube.attrs["year"])
    before = _predecessor(root, item_path(mine.id, year), stem)
    facts = {"version": version_name(key)[1:], "predecessor": before, "storage": storage_scheme(root)}
    item = build_item(mine, cube, area, stored, path=item_place, **facts)
    root.write_bytes(item_place, json_bytes(item.to_dict(include_self_link=False, transform_hrefs=False)))
    state = {"state": "done", "fingerprint": key, "item": item_place}
    root.create_bytes(stem + SUFFIXES["state"], json_bytes(state))  # where a rival was first, it wrote the same


def _beside(cube: xr.Dataset, extras: Extras) -> dict[str, bytes]:
    """Bytes of the layers, tables and pictures beside the cube, by kind."""
    grid = grid_of(cube)
    files = {
        "ndai": layer_cog(cube["ndai"].values, grid, name="ndai", nodata=float("nan")),
        "activity": layer_cog(cube["activity"].values, grid, name="activity", nodata=0, colours=CLASS_COLOURS),
    }
    if extras.composite is not None:
        named = zip(("red", "green", "blue"), extras.composite_years, strict=True)
        files["composite"] = rgba_cog(extras.composite, grid, [*(f"{c} {year}" for c, year in named), "alpha"])
    if extras.colours is not None:
        files["colours"] = layer_cog(extras.colours, grid, name="colours", nodata=NO_CODE, colours=YEAR_COLOURS)
    if extras.series is not None:
        files["series"] = extras.series
    if extras.events is not None:
        files["events"] = json_bytes(extras.events)
    if extras.thumbnail is not None:
        files["thumbnail"] = extras.thumbnail
    return files


def _predecessor(root: Location, place: str, stem: str) -> str | None:
    """Path of the versioned item that the catalog shows now, unless it is this one's."""
    if not root.exists(place):
        return None
    shown = json.loads(root.read_bytes(place))
    path = f"{stem.rsplit('/', 1)[0]}/v{shown['properties']['version']}{SUFFIXES['item']}"
    return path if path != stem + SUFFIXES["item"] else None


def _remote_url(location: Location) -> str:
    """URL of a location that isn't a local file: ``s3://bucket/path``."""
    protocol = location.fs.protocol if isinstance(location.fs.protocol, str) else location.fs.protocol[0]
    return f"{protocol}://{location.path.strip('/')}"
