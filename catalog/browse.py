"""Catalogs for people who click: country, mine, year; and commodity, country, mine, year. Pure functions.

    catalog/catalog.json                                       the root
    catalog/mine-activity/collection.json                      the collection: a link a country
    catalog/countries/<country>/catalog.json                   a link a mine
    catalog/countries/<country>/<mine>/catalog.json            a link a year, to the item in the collection's folder
    catalog/commodities/catalog.json                           a link a commodity
    catalog/commodities/<commodity>/catalog.json               a link a country
    catalog/commodities/<commodity>/<country>/catalog.json     a link a mine, to its one catalog above

The collection has no link of its own to any item: 45,000 of them would be 7 MB, written again with every mine-year.
From the collection each item is reached once; from the root a second time by its commodity.
"""

from __future__ import annotations

import functools
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pystac

from .stac import CATALOG_ID, CATALOG_PATH, COLLECTION_ID, COLLECTION_PATH, ITEM_TYPE, relative

COUNTRIES, COMMODITIES = "catalog/countries", "catalog/commodities"
COMMODITIES_PATH = f"{COMMODITIES}/catalog.json"
UNKNOWN = "unknown"  # folder of mines whose country isn't stated


@dataclass(frozen=True)
class Node:
    """A catalog: where it is, what it is called, and the path of the one above it ("" for the root)."""

    path: str
    id: str
    title: str
    description: str
    parent: str


@dataclass(frozen=True)
class Link:
    """A link of a catalog to what is below it: ``child`` or ``item``, path from the root, title."""

    rel: str
    path: str
    title: str


ROOT = Node(
    CATALOG_PATH,
    CATALOG_ID,
    "pitpulse",
    "Activity of open-pit mines from Sentinel-1 coherence: by country (the collection, with every item once), and by "
    "commodity (the same items again).",
    "",
)
_COLLECTION = Link("child", COLLECTION_PATH, "Mine activity, by country")


def branch(item: Mapping) -> list[tuple[Node, Link]]:
    """Every catalog on the ways from the root to an item, the collection left out, lowest first, with its link down."""
    known = item["properties"]
    mine, name = mine_node(item), known.get("pitpulse:mine_name") or known["pitpulse:mine_id"]
    country = _country(item)
    links = [
        (mine, Link("item", f"catalog/{COLLECTION_ID}/{item['id']}.json", str(known["pitpulse:year"]))),
        (country, Link("child", mine.path, name)),
        (ROOT, _COLLECTION),
    ]
    commodity = known.get("pitpulse:commodity")
    if not commodity:
        return links
    word = commodity[:1].upper() + commodity[1:]
    every = Node(COMMODITIES_PATH, "commodities", "By commodity", "Mines by what they dig.", CATALOG_PATH)
    folder = f"{COMMODITIES}/{slug(commodity)}"
    what = Node(
        f"{folder}/catalog.json", f"commodity-{slug(commodity)}", word, f"{word}: mines by country.", every.path
    )
    where = Node(
        f"{folder}/{_folder(item)}/catalog.json",
        f"{what.id}-{_folder(item)}",
        f"{word}, {country.title}",
        f"{word}: mines in {country.title}.",
        what.path,
    )
    return [
        *links,
        (where, Link("child", mine.path, name)),
        (what, Link("child", where.path, country.title)),
        (every, Link("child", what.path, word)),
        (ROOT, Link("child", every.path, every.title)),
    ]


def mine_node(item: Mapping) -> Node:
    """The catalog of an item's mine."""
    known, country = item["properties"], _country(item)
    mine_id = known["pitpulse:mine_id"].lower()
    name, what = known.get("pitpulse:mine_name") or mine_id, known.get("pitpulse:commodity")
    said = f"{name} ({what})" if what else name
    path = f"{posixpath.dirname(country.path)}/{mine_id}/catalog.json"
    return Node(path, f"mine-{mine_id}", name, f"{said}, {country.title}: one item a year.", country.path)


def country_link(item: Mapping) -> Link:
    """The collection's link towards an item."""
    country = _country(item)
    return Link("child", country.path, country.title)


def build_catalog(node: Node, links: Iterable[Link]) -> dict:
    """The document of a catalog; its links are sorted by title and path, and of two to one path the last counts."""
    folder = posixpath.dirname(node.path)
    upwards = [("root", CATALOG_PATH, "pitpulse")] + [("parent", node.parent, "")] * bool(node.parent)
    return {
        "type": "Catalog",
        "id": node.id,
        "stac_version": pystac.get_stac_version(),
        "title": node.title,
        "description": node.description,
        "links": [
            *(
                {"rel": rel, "href": relative(path, folder), "type": str(pystac.MediaType.JSON)}
                | ({"title": title} if title else {})
                for rel, path, title in upwards
            ),
            *link_objects(links, node.path),
        ],
    }


def link_objects(links: Iterable[Link], here: str) -> list[dict]:
    """Links downwards as they stand in the document at ``here``."""
    folder, once = posixpath.dirname(here), {link.path: link for link in links}
    return [
        {
            "rel": link.rel,
            "href": relative(link.path, folder),
            "type": ITEM_TYPE if link.rel == "item" else str(pystac.MediaType.JSON),
            "title": link.title,
        }
        for link in sorted(once.values(), key=lambda link: (link.title.casefold(), link.path))
    ]


def links_of(document: Mapping, here: str) -> list[Link]:
    """The links downwards of a document at ``here``: the inverse of `link_objects`."""
    folder = posixpath.dirname(here)
    return [
        Link(link["rel"], posixpath.normpath(posixpath.join(folder, link["href"])), link.get("title", ""))
        for link in document["links"]
        if link["rel"] in ("child", "item")
    ]


def slug(text: str) -> str:
    """A word as a folder: lower case, letters and digits with hyphens between."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or UNKNOWN


def _country(item: Mapping) -> Node:
    code = item["properties"].get("pitpulse:country") or ""
    folder, name = _folder(item), _country_names().get(code, code) or "Country not stated"
    path = f"{COUNTRIES}/{folder}/catalog.json"
    return Node(path, f"country-{folder}", name, f"Mines: {name}.", COLLECTION_PATH)


def _folder(item: Mapping) -> str:
    return slug(item["properties"].get("pitpulse:country") or UNKNOWN)


@functools.cache
def _country_names() -> dict[str, str]:
    """English names by ISO3 code."""
    from pipeline.inventory.countries import countries  # its package brings a second of imports

    return {code: country.names[0] for code, country in countries().items()}
