"""STAC documents with links that lead through the server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from starlette.requests import Request

from ..snapshot import FOLDER
from ..stac import CATALOG_ID, COLLECTION_ID
from .folder import FILES, State
from .problems import Problem
from .settings import ApiSettings

JSON, GEOJSON, SCHEMA = "application/json", "application/geo+json", "application/schema+json"
QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
DESCRIPTION = "application/vnd.oai.openapi+json;version=3.1"
_HOST = re.compile(r"[A-Za-z0-9.\-_]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?", re.ASCII)
_PREFIX = re.compile(r"(/[A-Za-z0-9._~\-]+)*/?", re.ASCII)
_OWN = frozenset(("self", "root", "parent", "collection", "items", "canonical"))
_LISTED = re.compile(rf"{FILES}/{FOLDER}/{COLLECTION_ID}/([^/]+)\.json")


def base_of(request: Request, settings: ApiSettings) -> str:
    """Address that links start with, without a slash at its end.

    Raises
    ------
    Problem
        400: the request's host can't be one.
    """
    if settings.public_url:
        return settings.public_url.rstrip("/")
    headers, scheme, prefix = request.headers, request.url.scheme, request.scope.get("root_path", "")
    host = headers.get("host", "")
    if settings.trust_forwarded:
        # Of several proxies the first entry is what the client saw.
        host = headers.get("x-forwarded-host", host).split(",")[0].strip()
        scheme = headers.get("x-forwarded-proto", scheme).split(",")[0].strip().lower()
        prefix = headers.get("x-forwarded-prefix", prefix).split(",")[0].strip()
    if not _HOST.fullmatch(host) or scheme not in ("http", "https") or not _PREFIX.fullmatch(prefix):
        raise Problem(400, "the request names no usable host; send a Host header such as example.org:8080")
    return f"{scheme}://{host}{prefix.rstrip('/')}"


def link(rel: str, href: str, media_type: str, title: str = "", **more) -> dict:
    """A link; no title where it is empty."""
    return {"rel": rel, "href": href, "type": media_type, **({"title": title} if title else {}), **more}


def landing(state: State, base: str, settings: ApiSettings, conformance: tuple[str, ...]) -> dict:
    """The catalog that clients start at."""
    links = [
        link("self", f"{base}/", JSON, "This page"),
        link("root", f"{base}/", JSON, "pitpulse"),
        link("conformance", f"{base}/conformance", JSON, "What this server conforms to"),
        link("data", f"{base}/collections", JSON, "Collections"),
        link("search", f"{base}/search", GEOJSON, "Search for items", method="GET"),
        link("search", f"{base}/search", GEOJSON, "Search for items", method="POST"),
        link(QUERYABLES, f"{base}/queryables", SCHEMA, "Properties that a filter may name"),
        link("service-desc", f"{base}/api", DESCRIPTION, "OpenAPI"),
        link("service-doc", f"{base}/api.html", "text/html", "How to ask"),
        link("canonical", f"{base}{FILES}/{FOLDER}/catalog.json", JSON, "The same catalog as plain files"),
    ]
    for name, document in state.collections.items():
        links.append(link("child", _collection(base, name), JSON, document.get("title", "")))
    if state.has_pages:
        links.append(link("alternate", f"{base}{FILES}/index.html", "text/html", "World map and pages of the mines"))
    return {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": CATALOG_ID,
        "title": "pitpulse",
        "description": (
            f"Activity of open-pit mines from Sentinel-1 coherence. Pages hold {settings.default_limit} items unless "
            f"`limit` says otherwise, and at most {settings.max_limit}."
        ),
        "conformsTo": list(conformance),
        "links": links,
    }


def collection_document(document: Mapping, base: str) -> dict:
    """A collection whose items are found through the server."""
    name, static = document["id"], f"{FILES}/{FOLDER}/{document['id']}"
    links = [
        link("self", _collection(base, name), JSON, "This collection"),
        link("root", f"{base}/", JSON, "pitpulse"),
        link("parent", f"{base}/", JSON, "pitpulse"),
        link("items", f"{_collection(base, name)}/items", GEOJSON, "Items"),
        link(QUERYABLES, f"{_collection(base, name)}/queryables", SCHEMA, "Properties that a filter may name"),
        link("canonical", f"{base}{static}/collection.json", JSON, "The same as a plain file"),
        *({**old, "href": _below(base, static, old["href"])} for old in document["links"] if old["rel"] not in _OWN),
    ]
    assets = {
        key: {**asset, "href": _below(base, static, asset["href"])} for key, asset in document.get("assets", {}).items()
    }
    return {**document, "links": links, **({"assets": assets} if assets else {})}


def item_document(item: Mapping, base: str, has_pages: bool) -> dict:
    """An item of the index, its hrefs absolute; the item itself stays as it is."""
    name = item["collection"] or COLLECTION_ID
    here = f"{_collection(base, name)}/items/{quote(item['id'], safe='')}"
    links = [
        link("self", here, GEOJSON),
        link("root", f"{base}/", JSON),
        link("parent", _collection(base, name), JSON),
        link("collection", _collection(base, name), JSON),
    ]
    for old in item["links"]:
        if old["rel"] == "self":
            links.append(link("canonical", _moved(base, old["href"]), GEOJSON, "The same as a plain file"))
        elif old["rel"] not in _OWN:
            links.append({**old, "href": _neighbour(base, old["href"])})
    mine = item["properties"].get("pitpulse:mine_id")
    if has_pages and mine:
        href = f"{base}{FILES}/pages/mine.html?id={quote(mine, safe='')}"
        links.append(link("alternate", href, "text/html", "Page of the mine"))
    assets = {key: {**asset, "href": _moved(base, asset["href"])} for key, asset in item["assets"].items()}
    return {**item, "links": links, "assets": assets}


def _collection(base: str, name: str) -> str:
    return f"{base}/collections/{quote(name, safe='')}"


def _moved(base: str, href: str) -> str:
    """An href of the index, which starts with `FILES`; those of other hosts stay."""
    return f"{base}{href}" if href.startswith(f"{FILES}/") else href


def _neighbour(base: str, href: str) -> str:
    """The same, where a listed item (the year before, say) becomes the API's."""
    listed = _LISTED.fullmatch(href)
    if listed and listed[1] != "collection":
        return f"{_collection(base, COLLECTION_ID)}/items/{listed[1]}"
    return _moved(base, href)


def _below(base: str, folder: str, href: str) -> str:
    """A relative href of a document in a folder."""
    if "://" in href or href.startswith("/"):
        return href
    while href.startswith(("./", "../")):
        step, href = href.split("/", 1)
        folder = folder.rpartition("/")[0] if step == ".." else folder
    return f"{base}{folder}/{href}"
