"""The collection of all mine-years: what its items have in common, from their documents. Pure functions.

Its licence is "other": products carry the terms of the Sentinel data that they are made from, which ask for the notice
that `citation` gives; what a publisher wants beyond that is the publisher's to say. It claims no conformance classes:
those are promises of an API.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

import pystac

from pipeline.errors import BadInput

from .assets import item_assets
from .browse import country_link, link_objects, links_of
from .stac import CATALOG_PATH, COLLECTION_ID, COLLECTION_PATH, EXTENSIONS, SCIENTIFIC, relative

DATA_TERMS = "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"
TITLE = "Mine activity from Sentinel-1 coherence"
DESCRIPTION = (
    "One item per open-pit mine and year: interferometric coherence of all pairs, the normalised difference "
    "activity index (NDAI) and activity classes on a UTM grid, with the active area and its 95 % interval; "
    "production and emissions where figures are known. Below it mines by country. Contains modified "
    "Copernicus Sentinel data; heights in the cubes come from the elevation model that an item names."
)
LISTED = (  # properties whose values are summed up as a list
    "constellation",
    "instruments",
    "gsd",
    "sar:instrument_mode",
    "sar:polarizations",
    "sat:orbit_state",
    "processing:level",
    "product:type",
    "pitpulse:country",
    "pitpulse:commodity",
    "pitpulse:classifier",
)
RANGED = ("pitpulse:year", "pitpulse:active_area", "pitpulse:ndai_mean")  # … and as their smallest and largest
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
_NEEDED = {*LISTED, *RANGED, "start_datetime", "end_datetime", "pitpulse:mine_id", "pitpulse:mine_name"}
_NAVIGATION = {"parent", "prev", "next", "predecessor-version"}


def slim(document: Mapping) -> dict:
    """The part of an item's document that the catalogs above it need: a thirtieth of its bytes."""
    thumbnail = document["assets"].get("thumbnail")
    return {
        "id": document["id"],
        "bbox": document["bbox"],
        "properties": {name: value for name, value in document["properties"].items() if name in _NEEDED},
        "links": [link for link in document["links"] if link["rel"] in _NAVIGATION],
        "assets": {"thumbnail": thumbnail} if thumbnail else {},
    }


def build_collection(items: Iterable[Mapping], known: Mapping | None = None) -> pystac.Collection:
    """The collection of items given as dictionaries (whole or `slim`), and of what ``known``, its last state, covers.

    Its links are sorted by title, its extent and its summaries cover all items; it shrinks only where ``known`` is
    left out.

    Raises
    ------
    BadInput
        There are no items: a collection has to have an extent.
    """
    items, known = sorted(items, key=lambda item: item["id"]), known or {}
    if not items:
        raise BadInput("a collection needs at least one item; publish a mine-year first")
    extent = _extent(items, known)
    collection = pystac.Collection(
        id=COLLECTION_ID,
        title=TITLE,
        description=DESCRIPTION,
        license="other",
        keywords=["mining", "open pit", "Sentinel-1", "SAR", "InSAR", "coherence", "NDAI", "change", "emissions"],
        extent=extent,
        providers=[pystac.Provider.from_dict(dict(provider)) for provider in PROVIDERS],
        summaries=pystac.Summaries(_summaries(items, known.get("summaries", {}))),
        stac_extensions=[SCIENTIFIC, *(url for url in EXTENSIONS if "/zarr/" in url or "/classification/" in url)],
        extra_fields={
            "sci:citation": citation(extent),
            "sci:publications": [dict(p) for p in PUBLICATIONS],
            "item_assets": item_assets(),
        },
        assets=_thumbnail(items, known),
    )
    collection.clear_links()
    up = {"media_type": pystac.MediaType.JSON, "title": "pitpulse"}
    down = [*(links_of(known, COLLECTION_PATH) if known else ()), *map(country_link, items)]
    collection.add_links(
        [
            pystac.Link("root", relative(CATALOG_PATH, posixpath.dirname(COLLECTION_PATH)), **up),
            pystac.Link("parent", relative(CATALOG_PATH, posixpath.dirname(COLLECTION_PATH)), **up),
            pystac.Link("license", DATA_TERMS, title="Terms of the Sentinel data that the products are made from"),
            *map(pystac.Link.from_dict, link_objects([link for link in down if link.rel == "child"], COLLECTION_PATH)),
        ]
    )
    return collection


def citation(extent: pystac.Extent) -> str:
    """How to cite the products, with the notice that the Sentinel terms ask for."""
    first, last = (moment.year for moment in extent.temporal.intervals[0])
    years = str(first) if first == last else f"{first}–{last}"
    return f"pitpulse: {TITLE}. Contains modified Copernicus Sentinel data {years}."


def _extent(items, known: Mapping) -> pystac.Extent:
    """Bounding box and time of the items and of what the collection covered before."""
    boxes = [item["bbox"] for item in items]
    starts = [item["properties"]["start_datetime"] for item in items]
    ends = [item["properties"]["end_datetime"] for item in items]
    if known:
        boxes.append(known["extent"]["spatial"]["bbox"][0])
        starts.append(known["extent"]["temporal"]["interval"][0][0])
        ends.append(known["extent"]["temporal"]["interval"][0][1])
    # Across the antimeridian: all longitudes. Anything narrower would depend on the order in which items come.
    boxes = [[-180.0, box[1], 180.0, box[3]] if box[0] > box[2] else box for box in boxes]
    west, south, east, north = zip(*boxes, strict=True)
    overall = [float(min(west)), float(min(south)), float(max(east)), float(max(north))]
    interval = [pystac.utils.str_to_datetime(min(starts)), pystac.utils.str_to_datetime(max(ends))]
    return pystac.Extent(pystac.SpatialExtent([overall]), pystac.TemporalExtent([interval]))


def _summaries(items, before: Mapping) -> dict:
    """Values that occur, and ranges of numbers."""
    found: dict = {}
    for name in LISTED:
        seen = set(before.get(name, ()))
        for item in items:
            value = item["properties"].get(name)
            seen.update(value if isinstance(value, list) else [value] if value else [])
        found[name] = sorted(seen)
    for name in RANGED:
        values = [item["properties"].get(name) for item in items]
        values += [before[name][end] for end in ("minimum", "maximum") if name in before]
        values = [value for value in values if value is not None]
        found[name] = {"minimum": min(values), "maximum": max(values)} if values else []
    return {name: value for name, value in found.items() if value}


def _thumbnail(items, known: Mapping) -> dict[str, pystac.Asset]:
    """The picture of the collection: that of its first item which has one, by mine and year."""
    shown = [asset for item in items for asset in item["assets"].values() if "thumbnail" in asset.get("roles", ())]
    shown += [asset for asset in known.get("assets", {}).values() if _place(asset) not in map(_place, shown)]
    if not shown:
        return {}
    first = min(shown, key=_place)
    return {"thumbnail": pystac.Asset.from_dict({name: first[name] for name in ("href", "type", "title", "roles")})}


def _place(asset: Mapping) -> tuple[str, ...]:
    """Mine and year of ``../../products/<mine>/<year>/<file>``."""
    return tuple(asset["href"].split("/")[-3:-1])
