"""The application: which address answers what."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

from fastapi import FastAPI, Query, Request
from starlette.background import BackgroundTask
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from pipeline import __version__
from pipeline.exposition import MEDIA_TYPE
from pipeline.storage import open_store

from ..cql import CONFORMANCE as CQL2
from ..query import queryables
from .answers import Caller, packed
from .asked import ItemsParameters, SearchBody, SearchParameters, from_body, from_parameters
from .files import serve_file
from .finding import found_items, known_collection, next_by_get, next_by_post, one_item
from .folder import Folder
from .guard import Guard, Metrics
from .links import DESCRIPTION, GEOJSON, JSON, SCHEMA, collection_document, landing, link
from .problems import HANDLED, respond
from .reference import ERRORS, describe, page_of
from .settings import ApiSettings

_STAC, _OGC = "https://api.stacspec.org/v1.0.0", "http://www.opengis.net/spec"
CONFORMANCE = (
    *(f"{_STAC}/{name}" for name in ("core", "collections", "ogcapi-features", "item-search")),
    *(f"{_STAC}/{part}#{name}" for part in ("item-search", "ogcapi-features") for name in ("sort", "fields")),
    f"{_STAC}-rc.4/item-search#filter",
    f"{_STAC}-rc.4/ogcapi-features#filter",
    f"{_OGC}/ogcapi-features-1/1.0/conf/core",
    f"{_OGC}/ogcapi-features-1/1.0/conf/oas30",
    f"{_OGC}/ogcapi-features-1/1.0/conf/geojson",
    f"{_OGC}/ogcapi-features-3/1.0/conf/filter",
    f"{_OGC}/ogcapi-features-3/1.0/conf/features-filter",
    f"{_OGC}/ogcapi-features-3/1.0/conf/queryables",
    *CQL2,
)


def create_app(
    root_url: str | os.PathLike, settings: ApiSettings | None = None, options: Mapping | None = None
) -> FastAPI:
    """An ASGI application that serves a published folder, reading only.

    Parameters
    ----------
    root_url : str or path
        Root of the published folder: a path, or a ``file:``, ``memory:`` or ``s3:`` URL.
    settings : ApiSettings, optional
    options : mapping, optional
        Passed to the file system.

    Returns
    -------
    fastapi.FastAPI
        It starts whether or not the folder has an index yet: ``/ready`` says.

    Raises
    ------
    BadInput
        The URL's protocol is unknown.
    """
    settings, options = settings or ApiSettings(), dict(options or {})
    root = open_store(root_url, **options)
    folder, metrics = Folder(root_url, options, root, settings, __version__), Metrics()
    # Its own pages would fetch scripts from another host.
    app = FastAPI(
        title="pitpulse", version=__version__, openapi_url=None, docs_url=None, redoc_url=None, responses=ERRORS
    )
    for kind in HANDLED:
        app.add_exception_handler(kind, respond)
    _add_catalog(app, folder, settings)
    _add_search(app, folder, settings)
    _add_service(app, folder, metrics)
    _add_files(app, folder, settings)
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD", "POST", "OPTIONS"],
        allow_headers=["Content-Type", "Range", "If-Range", "If-None-Match"],
        expose_headers=["ETag", "Content-Range", "Accept-Ranges", "Content-Length"],
        max_age=86400,
    )
    return app


def _add_catalog(app: FastAPI, folder: Folder, settings: ApiSettings) -> None:
    @app.get("/", tags=["Catalog"], summary="Landing page")
    def root_catalog(request: Request) -> Response:
        """Where clients start; a browser is sent to the map."""
        caller, state = Caller.of(request, settings), folder.state()
        if state.has_pages and _wants_html(request):
            return RedirectResponse(f"{caller.base}/files/index.html", 303, {"Vary": "Accept"})
        answer = caller.answer(state, lambda: landing(state, caller.base, settings, CONFORMANCE), JSON)
        answer.headers["Vary"] = "Accept, Accept-Encoding"
        return answer

    @app.get("/conformance", tags=["Catalog"], summary="What the server conforms to")
    def conformance(request: Request) -> Response:
        return packed(request, {"conformsTo": list(CONFORMANCE)}, {}, JSON)

    @app.get("/collections", tags=["Catalog"], summary="Collections")
    def collections(request: Request) -> Response:
        caller, state = Caller.of(request, settings), folder.state()

        def make() -> dict:
            found = [collection_document(document, caller.base) for document in state.collections.values()]
            links = [link("self", f"{caller.base}/collections", JSON), link("root", f"{caller.base}/", JSON)]
            return {"collections": found, "links": links, "numberMatched": len(found), "numberReturned": len(found)}

        return caller.answer(state, make, JSON)

    @app.get("/collections/{collection_id}", tags=["Catalog"], summary="A collection")
    def collection(collection_id: str, request: Request) -> Response:
        caller, state = Caller.of(request, settings), folder.state()
        document = known_collection(state, collection_id)
        return caller.answer(state, lambda: collection_document(document, caller.base), JSON)

    @app.get("/queryables", tags=["Search"], summary="Properties that a filter may name")
    def all_queryables(request: Request) -> Response:
        return _queryables(request, "/queryables", None)

    @app.get("/collections/{collection_id}/queryables", tags=["Search"], summary="Those of a collection")
    def collection_queryables(collection_id: str, request: Request) -> Response:
        return _queryables(request, f"/collections/{collection_id}/queryables", collection_id)

    def _queryables(request: Request, path: str, collection_id: str | None) -> Response:
        caller = Caller.of(request, settings)
        with folder.reading() as (state, index):
            if collection_id is not None:
                known_collection(state, collection_id)
            return caller.answer(state, lambda: {"$id": caller.base + path, **queryables(index)}, SCHEMA)


def _add_search(app: FastAPI, folder: Folder, settings: ApiSettings) -> None:
    @app.get("/search", tags=["Search"], summary="Search for items")
    def search(request: Request, given: Annotated[SearchParameters, Query()]) -> Response:
        caller = Caller.of(request, settings)
        own = [link("root", f"{caller.base}/", JSON), link("self", _self(caller, "/search"), GEOJSON)]
        return found_items(folder, caller, from_parameters(given), own, next_by_get(caller, "/search"))

    @app.post("/search", tags=["Search"], summary="Search for items with a body")
    def search_by_body(request: Request, given: SearchBody) -> Response:
        caller = Caller.of(request, settings)
        body = given.model_dump(by_alias=True, exclude_unset=True)
        own = [link("root", f"{caller.base}/", JSON)]
        return found_items(folder, caller, from_body(given), own, next_by_post(caller, "/search", body))

    @app.get("/collections/{collection_id}/items", tags=["Search"], summary="Items of a collection")
    def items(collection_id: str, request: Request, given: Annotated[ItemsParameters, Query()]) -> Response:
        caller = Caller.of(request, settings)
        known_collection(folder.state(), collection_id)
        place = f"/collections/{collection_id}"
        own = [
            link("root", f"{caller.base}/", JSON),
            link("self", _self(caller, f"{place}/items"), GEOJSON),
            link("collection", f"{caller.base}{place}", JSON),
        ]
        asked = from_parameters(given, collection_id)
        return found_items(folder, caller, asked, own, next_by_get(caller, f"{place}/items"))

    @app.get("/collections/{collection_id}/items/{item_id}", tags=["Search"], summary="An item")
    def item(collection_id: str, item_id: str, request: Request) -> Response:
        return one_item(folder, Caller.of(request, settings), collection_id, item_id)


def _add_service(app: FastAPI, folder: Folder, metrics: Metrics) -> None:
    @app.get("/api", tags=["Service"], summary="OpenAPI description")
    def description(request: Request) -> Response:
        return packed(request, describe(app), {"Cache-Control": "public, max-age=3600"}, DESCRIPTION)

    @app.get("/api.html", tags=["Service"], summary="The same, to read")
    def reference() -> Response:
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(page_of(describe(app)), 200, policy, "text/html; charset=utf-8")

    @app.get("/health", tags=["Service"], summary="Whether the server is alive")
    async def health(request: Request) -> Response:  # needs no thread, which searches may all be using
        return packed(request, {"status": "ok"}, {"Cache-Control": "no-store"}, JSON)

    @app.get("/ready", tags=["Service"], summary="Whether it can answer, and how old its index is")
    def ready(request: Request) -> Response:
        with folder.reading() as (state, index):
            age = None if state.age is None else round(state.age, 1)
            known = {"items": index.items, "snapshot": state.snapshot, "index_age_seconds": age}
        # What was read before still answers, but nothing new will be seen.
        status = "stale" if folder.trouble else "ok"
        answer = packed(request, {"status": status, **known}, {"Cache-Control": "no-store"}, JSON)
        answer.status_code = 503 if folder.trouble else 200
        return answer

    # Needs no thread either: a server that is overloaded is when its numbers are wanted. It looks at the folder after
    # it has answered, so that the index's numbers are at most one question old.
    @app.get("/metrics", tags=["Service"], summary="Requests, seconds and errors, and the index, for Prometheus")
    async def numbers() -> Response:
        text = metrics.text(*folder.numbers())
        return PlainTextResponse(text, 200, {"Cache-Control": "no-store"}, MEDIA_TYPE, BackgroundTask(folder.look))


def _add_files(app: FastAPI, folder: Folder, settings: ApiSettings) -> None:
    @app.get("/files/{path:path}", tags=["Files"], summary="A published file, or byte ranges of it")
    def file(path: str, request: Request) -> Response:
        if path in ("", "pages/"):  # what a folder's page is
            return serve_file(folder.root, path + "index.html", request, settings.fresh_for)
        return serve_file(folder.root, path, request, settings.fresh_for)


def _self(caller: Caller, path: str) -> str:
    query = caller.request.url.query
    return f"{caller.base}{path}{'?' if query else ''}{query}"


def _wants_html(request: Request) -> bool:
    """True for a person's browser: it names HTML, and before JSON."""
    accepted = request.headers.get("accept", "").lower()
    json_place = accepted.find("json")
    return "text/html" in accepted and (json_place < 0 or accepted.find("text/html") < json_place)
