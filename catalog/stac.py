"""Product facts to STAC 1.1.0: item, collection and catalog, as pure functions.

Fields are set directly rather than through pystac's extension classes, which still write older versions of several
extensions. Every href is relative, so the whole folder can be moved or served from anywhere.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

import numpy as np
import pyproj
import pystac
import shapely
import shapely.geometry
import xarray as xr
from odc.geo.geobox import GeoBox

from pipeline.activity.area import ActiveArea
from pipeline.cube import grid_of
from pipeline.errors import BadInput
from pipeline.model import Mine
from pipeline.variables import ACTIVE, VARIABLES

from .assets import ZARR_TYPE, Stored, asset_fields
from .colours import CLASS_COLOURS, NDAI_RANGE, colour_ramp

CATALOG_ID = "pitpulse"
COLLECTION_ID = "mine-activity"
ITEM_TYPE = "application/geo+json"
SUMMARISED = ("pitpulse:country", "pitpulse:commodity")
DATA_TERMS = "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"
EDGE_POINTS = 5  # a side: an edge of 20 km bends by 10 m between its ends
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
SCIENTIFIC = f"{_HOST}/scientific/v1.0.0/schema.json"
PROVIDERS = (
    {"name": "Copernicus / ESA", "roles": ["producer", "licensor"], "url": "https://www.copernicus.eu"},
    {"name": "pitpulse", "roles": ["processor"]},
)
PUBLICATIONS = (
    {
        "doi": "10.3390/rs13091861",
        "citation": "Moon, J.; Lee, H. Remote Sensing 13(9), 1861 (2021)",
    },
    {
        "doi": "10.5194/egusphere-egu2020-12625",
        "citation": "Moon, J.; Seo, M.; Lee, H. EGU General Assembly 2020",
    },
)


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

    Returns
    -------
    pystac.Item
        Same facts, same item: there is no clock in it.
    """
    grid, year, folder = grid_of(cube), int(cube.attrs["year"]), posixpath.dirname(path)
    footprint = _footprint(grid)
    extensions = [url for url in EXTENSIONS if url != INSAR or cube.attrs.get("dem")]
    item = pystac.Item(
        id=item_id(mine.id, year),
        geometry=shapely.geometry.mapping(footprint),
        bbox=[round(v, 7) for v in footprint.bounds],
        datetime=None,
        properties=_properties(mine, cube, grid, area, version),
        stac_extensions=extensions,
        collection=COLLECTION_ID,
    )
    item.datetime = pystac.utils.str_to_datetime(item.properties["datetime"])
    for entry in stored:
        href = relative(entry.path, folder)
        for key, fields in asset_fields(entry, cube, grid).items():
            item.add_asset(key, pystac.Asset.from_dict({"href": href, **fields}))
        if entry.kind == "cube":
            item.add_link(pystac.Link("store", href, media_type=ZARR_TYPE, title="root of the Zarr store"))
    for rel, target, media_type in (
        ("root", "catalog/catalog.json", pystac.MediaType.JSON),
        ("parent", f"catalog/{COLLECTION_ID}/collection.json", pystac.MediaType.JSON),
        ("collection", f"catalog/{COLLECTION_ID}/collection.json", pystac.MediaType.JSON),
        ("predecessor-version", predecessor, ITEM_TYPE),
    ):
        if target:
            item.add_link(pystac.Link(rel, relative(target, folder), media_type=media_type))
    return item


def build_collection(items: Iterable[Mapping], known: Mapping | None = None) -> pystac.Collection:
    """The collection of items given as dictionaries, and of those that ``known``, its last document, lists already.

    Its links are sorted by id, its extent covers all items; it shrinks only where ``known`` is left out.

    Raises
    ------
    BadInput
        There are no items: a collection has to have an extent.
    """
    items = sorted(items, key=lambda item: item["id"])
    if not items:
        raise BadInput("a collection needs at least one item; publish a mine-year first")
    known = known or {}
    collection = pystac.Collection(
        id=COLLECTION_ID,
        title="Mine activity from Sentinel-1 coherence",
        description=(
            "One item per open-pit mine and year: interferometric coherence of all pairs, the normalised difference "
            "activity index (NDAI) and activity classes on a 20 m UTM grid."
        ),
        license="other",
        keywords=["mining", "Sentinel-1", "InSAR", "coherence", "NDAI"],
        extent=_extent(items, known),
        providers=[pystac.Provider.from_dict(dict(provider)) for provider in PROVIDERS],
        summaries=pystac.Summaries({name: _seen(items, known, name) for name in SUMMARISED}),
        stac_extensions=[SCIENTIFIC],
        extra_fields={
            "sci:publications": [dict(p) for p in PUBLICATIONS],
            "item_assets": _item_assets(items) | known.get("item_assets", {}),
        },
    )
    collection.clear_links()
    collection.add_links(
        [
            pystac.Link("root", "../catalog.json", media_type=pystac.MediaType.JSON),
            pystac.Link("parent", "../catalog.json", media_type=pystac.MediaType.JSON),
            pystac.Link("license", DATA_TERMS, title="Terms of the Sentinel data that the products are made from"),
            *(
                pystac.Link("item", href, media_type=ITEM_TYPE, title=title)
                for href, title in sorted(_item_links(items, known).items())
            ),
        ]
    )
    return collection


def build_catalog() -> pystac.Catalog:
    """The root catalog."""
    catalog = pystac.Catalog(
        id=CATALOG_ID,
        title="pitpulse",
        description="Activity of open-pit mines from Sentinel-1 coherence.",
    )
    json = pystac.MediaType.JSON
    catalog.clear_links()
    links = [
        pystac.Link("root", "./catalog.json", media_type=json),
        pystac.Link("child", f"./{COLLECTION_ID}/collection.json", media_type=json, title="Mine activity"),
    ]
    catalog.add_links(links)
    return catalog


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


def relative(target: str, folder: str) -> str:
    """``target`` as seen from ``folder``, both from the same root; starts with ``./`` or ``../``."""
    href = posixpath.relpath(target, folder)
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
        "pitpulse:active_pixels": int(((cube["activity"].values == ACTIVE) & inside).sum()),
        "pitpulse:ndai_mean": _number(float(ndai.mean(dtype=np.float64)) if ndai.size else float("nan"), 4),
        "pitpulse:pairs_accepted": accepted,
        "pitpulse:pairs_rejected": int(cube.sizes["pair"]) - accepted,
    }


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


def _footprint(grid: GeoBox) -> shapely.Polygon:
    """The grid's outline in longitude and latitude, counter-clockwise, 1e-7 degrees (1 cm)."""
    left, bottom, right, top = grid.boundingbox.bbox
    along, back = np.linspace(0, 1, EDGE_POINTS)[:-1], np.linspace(1, 0, EDGE_POINTS)[:-1]
    x = left + (right - left) * np.concatenate([along, np.ones_like(along), back, np.zeros_like(along)])
    y = bottom + (top - bottom) * np.concatenate([np.zeros_like(along), along, np.ones_like(along), back])
    lon, lat = pyproj.Transformer.from_crs(grid.crs.to_wkt(), "EPSG:4326", always_xy=True).transform(x, y)
    return shapely.Polygon(np.round(np.stack([lon, lat], axis=1), 7))


def _extent(items, known: Mapping) -> pystac.Extent:
    """Bounding box and time of the items and of what the collection covered before."""
    boxes = [item["bbox"] for item in items]
    starts = [item["properties"]["start_datetime"] for item in items]
    ends = [item["properties"]["end_datetime"] for item in items]
    if known:
        boxes.append(known["extent"]["spatial"]["bbox"][0])
        starts.append(known["extent"]["temporal"]["interval"][0][0])
        ends.append(known["extent"]["temporal"]["interval"][0][1])
    west, south, east, north = zip(*boxes, strict=True)
    overall = [float(min(west)), float(min(south)), float(max(east)), float(max(north))]
    interval = [pystac.utils.str_to_datetime(min(starts)), pystac.utils.str_to_datetime(max(ends))]
    return pystac.Extent(pystac.SpatialExtent([overall]), pystac.TemporalExtent([interval]))


def _item_links(items, known: Mapping) -> dict[str, str]:
    """href to title of every item."""
    links = {link["href"]: link.get("title", "") for link in known.get("links", ()) if link["rel"] == "item"}
    return links | {f"./{item['id']}.json": item["properties"]["title"] for item in items}


def _item_assets(items) -> dict:
    """Core item_assets: what the assets of the items have in common."""
    common: dict = {}
    for item in items:
        for key, asset in item["assets"].items():
            kept = {name: asset[name] for name in ("type", "description", "roles") if name in asset}
            common.setdefault(key, kept)
    return common


def _seen(items, known: Mapping, name: str) -> list:
    """Values of a property in all items, sorted."""
    before = known.get("summaries", {}).get(name, [])
    return sorted({*before, *(item["properties"][name] for item in items if item["properties"].get(name))})


def _number(value: float, digits: int) -> float | None:
    """Rounded, or None where it isn't finite: JSON has no NaN."""
    return round(float(value), digits) if np.isfinite(value) else None
