"""Product facts to a STAC 1.1.0 item, as pure functions; its collection is in `collection`, what lists it in `browse`.

Fields are set directly rather than through pystac's extension classes, which still write older versions of several
extensions. Every href is relative, so the whole folder can be moved or served from anywhere.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping

import numpy as np
import pystac
import xarray as xr
from odc.geo.geobox import GeoBox

from pipeline.activity.area import ActiveArea
from pipeline.cube import grid_of
from pipeline.model import Mine
from pipeline.variables import ACTIVE, VARIABLES

from .assets import ZARR_TYPE, Stored, asset_fields
from .colours import CLASS_COLOURS, NDAI_RANGE, colour_ramp
from .footprint import footprint

CATALOG_ID = "pitpulse"
COLLECTION_ID = "mine-activity"
ITEM_TYPE = "application/geo+json"
STORE = "store"  # key of the one storage scheme
_HOST = "https://stac-extensions.github.io"
EXTENSIONS = tuple(
    f"{_HOST}/{name}/schema.json"
    for name in (
        "projection/v2.0.0",
        "datacube/v2.3.0",
        "raster/v2.0.0",
        "sar/v1.3.0",
        "sat/v1.2.0",
        "insar/v1.0.0",
        "processing/v1.2.0",
        "product/v1.0.0",
        "zarr/v1.1.0",
        "render/v2.0.0",
        "version/v1.2.0",
        "file/v2.1.0",
        "classification/v2.0.0",
    )
)
INSAR = next(url for url in EXTENSIONS if "/insar/" in url)
TABLE = f"{_HOST}/table/v1.2.0/schema.json"
STORAGE = f"{_HOST}/storage/v2.0.0/schema.json"
SCIENTIFIC = f"{_HOST}/scientific/v1.0.0/schema.json"
CATALOG_PATH = "catalog/catalog.json"
COLLECTION_PATH = f"catalog/{COLLECTION_ID}/collection.json"


def item_id(mine_id: str, year: int) -> str:
    """Id of a mine's year: lower case and the same after every reprocessing."""
    return f"{mine_id.lower()}-{int(year)}"


def item_path(mine_id: str, year: int) -> str:
    """Where the item is, from the root of the published folder."""
    return f"catalog/{COLLECTION_ID}/{item_id(mine_id, year)}.json"


def build_item(
    mine: Mine,
    cube: xr.Dataset,
    area: ActiveArea,
    stored: Iterable[Stored],
    *,
    path: str,
    version: str,
    predecessor: str | None = None,
    storage: Mapping | None = None,
) -> pystac.Item:
    """The STAC item of one mine and year.

    Parameters
    ----------
    mine : Mine
    cube : xarray.Dataset
        The published cube; nearly all properties come from its attributes.
    area : ActiveArea
    stored : iterable of Stored
        What was written, with paths from the root of the published folder.
    path : str
        Where this document will be, from the same root; hrefs are relative to it.
    version : str
        Of the product: ``0.1.0-1a2b3c4d``.
    predecessor : str, optional
        Path of the item that this one replaces.
    storage : mapping, optional
        The object store that the assets lie in, as the storage extension describes one.

    Returns
    -------
    pystac.Item
        Same facts, same item: there is no clock in it.
    """
    grid, year, folder = grid_of(cube), int(cube.attrs["year"]), posixpath.dirname(path)
    geometry, bbox = footprint(mine, grid)
    stored = list(stored)
    item = pystac.Item(
        id=item_id(mine.id, year),
        geometry=geometry,
        bbox=bbox,
        datetime=None,
        properties=_properties(mine, cube, grid, area, version),
        stac_extensions=_extensions(cube, stored, storage),
        collection=COLLECTION_ID,
    )
    item.datetime = pystac.utils.str_to_datetime(item.properties["datetime"])
    if storage:
        item.properties["storage:schemes"] = {STORE: dict(storage)}
    for entry in stored:
        href = relative(entry.path, folder)
        for key, fields in asset_fields(entry, cube, grid).items():
            where = {"storage:refs": [STORE]} if storage else {}
            item.add_asset(key, pystac.Asset.from_dict({"href": href, **fields, **where}))
        if entry.kind == "cube":
            item.add_link(pystac.Link("store", href, media_type=ZARR_TYPE, title="root of the Zarr store"))
    above = [("root", CATALOG_PATH), ("parent", COLLECTION_PATH), ("collection", COLLECTION_PATH)]
    item.add_links(pystac.Link(rel, relative(to, folder), media_type=pystac.MediaType.JSON) for rel, to in above)
    if predecessor:
        item.add_link(pystac.Link("predecessor-version", relative(predecessor, folder), media_type=ITEM_TYPE))
    return item


def _extensions(cube: xr.Dataset, stored: Iterable[Stored], storage: Mapping | None) -> list[str]:
    """Those whose fields the item has: a schema may ask for a field that it doesn't."""
    found = [url for url in EXTENSIONS if url != INSAR or cube.attrs.get("dem")]
    return found + [TABLE] * any(entry.columns for entry in stored) + [STORAGE] * bool(storage)


def rebase(document: Mapping, here: str, there: str) -> dict:
    """The same STAC document with its relative hrefs seen from another path; both paths are from the root."""
    old, new = posixpath.dirname(here), posixpath.dirname(there)

    def moved(thing: Mapping) -> dict:
        href = thing["href"]
        if "://" in href or href.startswith("/"):
            return dict(thing)
        return {**thing, "href": relative(posixpath.normpath(posixpath.join(old, href)), new)}

    return {
        **document,
        "links": [moved(link) for link in document["links"]],
        "assets": {key: moved(asset) for key, asset in document["assets"].items()},
    }


def target(document: Mapping, rel: str, here: str) -> str | None:
    """Path from the root that a document's first link of a kind leads to; None where it has none in this folder."""
    for link in document["links"]:
        if link["rel"] == rel and "://" not in link["href"]:
            return posixpath.normpath(posixpath.join(posixpath.dirname(here), link["href"]))
    return None


def relinked(document: Mapping, here: str, links: Mapping[str, tuple[str, str] | None]) -> dict:
    """The document with other links of some kinds: (path from the root, title) by rel, or None for none."""
    kept = [link for link in document["links"] if link["rel"] not in links]
    for rel, where in links.items():
        if where:
            path, title = where
            kind = pystac.MediaType.JSON if rel == "parent" else ITEM_TYPE
            href = relative(path, posixpath.dirname(here))
            kept.append({"rel": rel, "href": href, "type": str(kind), "title": title})
    return {**document, "links": kept}


def relative(path: str, folder: str) -> str:
    """``path`` as seen from ``folder``, both from the same root; starts with ``./`` or ``../``."""
    href = posixpath.relpath(path, folder)
    return href if href.startswith("../") else f"./{href}"


def _properties(mine: Mine, cube: xr.Dataset, grid: GeoBox, area: ActiveArea, version: str) -> dict:
    """All properties of an item."""
    attributes, year = cube.attrs, int(cube.attrs["year"])
    return {
        "title": f"{mine.name or mine.id} {year}",
        # A year has no instant of its own; its middle sorts and filters as people expect.
        "datetime": f"{year}-07-01T00:00:00Z",
        "start_datetime": f"{year}-01-01T00:00:00Z",
        "end_datetime": f"{year}-12-31T23:59:59Z",
        "gsd": float(abs(grid.affine.a)),
        **_sensor(attributes),
        "proj:code": f"EPSG:{grid.crs.epsg}",
        "proj:shape": [int(n) for n in grid.shape],
        "proj:transform": [float(v) for v in tuple(grid.affine)[:6]],
        "proj:bbox": [float(v) for v in grid.boundingbox.bbox],
        "processing:level": "L4",
        "processing:software": {"pitpulse": str(attributes["software"]).split()[-1]},
        "processing:lineage": attributes.get("history", ""),
        "product:type": "mine-activity-year",
        "version": version,
        "pitpulse:mine_id": mine.id,
        "pitpulse:mine_name": mine.name,
        "pitpulse:commodity": mine.commodity,
        "pitpulse:country": mine.country,
        "pitpulse:year": year,
        **_results(cube, area),
        **_method(attributes),
        "pitpulse:fingerprint": attributes["fingerprint"],
        "renders": _renders(),
    }


def _sensor(attributes: Mapping) -> dict:
    """What the radar was and how it looked."""
    range_looks, azimuth_looks = (int(n) for n in str(attributes["looks"]).split()[0].split("x"))
    fields = {
        "constellation": "sentinel-1",
        "instruments": ["c-sar"],
        "sar:instrument_mode": "IW",
        "sar:frequency_band": "C",
        "sar:polarizations": [attributes["polarization"]],
        "sar:observation_direction": "right",
        "sar:looks_range": range_looks,
        "sar:looks_azimuth": azimuth_looks,
        "sar:looks_equivalent_number": float(attributes["equivalent_looks"]),
        "sat:relative_orbit": int(attributes["track"]),
    }
    if attributes.get("orbit_pass"):
        fields["sat:orbit_state"] = attributes["orbit_pass"]
    if attributes.get("broken_granules"):
        fields["pitpulse:broken_granules"] = str(attributes["broken_granules"]).split()
    if attributes.get("orbits"):
        fields["pitpulse:orbits"] = str(attributes["orbits"]).split()
    if attributes.get("dem"):
        fields |= {"insar:processing_dem": attributes["dem"], "insar:geocoding_dem": attributes["dem"]}
    return fields


def _results(cube: xr.Dataset, area: ActiveArea) -> dict:
    """What a query asks for; null where it isn't known."""
    inside = cube["mine"].values == 1
    ndai = cube["ndai"].values[inside & np.isfinite(cube["ndai"].values)]
    accepted = int(cube["accepted"].values.sum())
    return {
        "pitpulse:active_area": _number(area.area, 1),
        "pitpulse:active_area_interval": [_number(area.low, 1), _number(area.high, 1)],
        **_known(area),
        "pitpulse:active_pixels": int(((cube["activity"].values == ACTIVE) & inside).sum()),
        "pitpulse:ndai_mean": _number(float(ndai.mean(dtype=np.float64)) if ndai.size else float("nan"), 4),
        "pitpulse:pairs_accepted": accepted,
        "pitpulse:pairs_rejected": int(cube.sizes["pair"]) - accepted,
    }


def _known(area: ActiveArea) -> dict:
    """Areas (m2) that not every product has: absent where they aren't known."""
    found = {"pitpulse:incoherent_area": area.incoherent, "pitpulse:legacy_area": area.legacy_area}
    return {name: _number(value, 1) for name, value in found.items() if np.isfinite(value)}


def _method(attributes: Mapping) -> dict:
    """How the classes were made: years that differ in it can't be compared."""
    classifier = json.loads(attributes["settings"]).get("classify")
    return {"pitpulse:classifier": classifier} if classifier else {}


def _renders() -> dict:
    """How a browser should draw the assets, without naming a colour map it may not know."""
    classes = {str(value): list(colour) for value, colour in CLASS_COLOURS.items()}
    return {
        "ndai": {
            "title": VARIABLES["ndai"].long_name,
            "assets": ["ndai"],
            "rescale": [list(NDAI_RANGE)],
            "bands": ["ndai"],
            "colormap": colour_ramp(),
        },
        "activity": {
            "title": VARIABLES["activity"].long_name,
            "assets": ["activity"],
            "bands": ["activity"],
            "colormap": classes,
        },
    }


def _number(value: float, digits: int) -> float | None:
    """Rounded, or None where it isn't finite: JSON has no NaN."""
    return round(float(value), digits) if np.isfinite(value) else None
