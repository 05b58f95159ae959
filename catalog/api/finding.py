"""Searches, answered: a page of items with the link to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import urlencode

import pyarrow as pa
from starlette.responses import Response

from pipeline.errors import BadInput, NoCoverage

from ..cql_read import read_filter
from ..criteria import Query
from ..query import Page, page
from ..snapshot import Index
from .answers import Caller
from .asked import Asked
from .chosen import choose
from .folder import Folder, State
from .links import GEOJSON, item_document, link

_INDEXED = {"id": "ids", "pitpulse:mine_id": "mine"}  # by these the index is sorted: few of its rows are read
Next = Callable[[str], dict]  # the link to the next page, from its token


def found_items(folder: Folder, caller: Caller, asked: Asked, own: list[dict], following: Next) -> Response:
    """The answer to a search; ``own`` are links of the page itself.

    Raises
    ------
    BadInput
        A filter, an order or a token that can't be understood.
    """
    limit = min(asked.limit or caller.settings.default_limit, caller.settings.max_limit)
    with folder.reading() as (state, index):

        def make() -> dict:
            return _feature_collection(_searched(index, asked, limit), state, caller, asked, own, following)

        return caller.answer(state, make, GEOJSON)


def one_item(folder: Folder, caller: Caller, collection: str, name: str) -> Response:
    """The answer to the question for an item.

    Raises
    ------
    NoCoverage
        There is none.
    """
    with folder.reading() as (state, index):
        known_collection(state, collection)

        def make() -> dict:
            found = page(index, Query(ids=[name], collections=[collection]), limit=1).items
            if not found:
                raise NoCoverage(
                    f"collection {collection} has no item {name[:80]!r}; its ids are like mine-2022, "
                    f"{caller.base}/search finds them"
                )
            return item_document(found[0], caller.base, state.has_pages)

        return caller.answer(state, make, GEOJSON)


def known_collection(state: State, name: str) -> dict:
    """The document of a collection.

    Raises
    ------
    NoCoverage
        There is none of that name.
    """
    if name not in state.collections:
        known = ", ".join(state.collections) or "none yet"
        raise NoCoverage(f"there is no collection {name[:80]!r}; known are {known}")
    return state.collections[name]


def next_by_get(caller: Caller, path: str) -> Next:
    """The next page of a GET: the same parameters and the token."""
    given = [(name, value) for name, value in caller.request.query_params.multi_items() if name != "token"]
    return lambda token: link("next", f"{caller.base}{path}?{urlencode([*given, ('token', token)])}", GEOJSON)


def next_by_post(caller: Caller, path: str, body: dict) -> Next:
    """The next page of a POST: the same body and the token."""
    return lambda token: link(
        "next", f"{caller.base}{path}", GEOJSON, method="POST", body={**body, "token": token}, merge=False
    )


def _searched(index: Index, asked: Asked, limit: int) -> Page:
    try:
        return page(index, _narrowed(asked.query), sort=asked.sort, limit=limit, token=asked.token)
    except (pa.ArrowException, OverflowError, RecursionError, UnicodeError) as error:
        # Numbers that no column can hold, halves of characters, patterns that are too long: of the question, not of
        # the index.
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"the search can't be evaluated: {said}; simplify the filter or the token") from error


def _narrowed(query: Query) -> Query:
    """The same search, with an id or a mine that its filter demands said outright: 20 ms instead of 70 of 405,000."""
    if query.filter is None:
        return query
    tree = read_filter(query.filter)
    query = replace(query, filter=tree)
    is_and = isinstance(tree, Mapping) and str(tree.get("op")).lower() == "and"
    for part in tree["args"] if is_and else [tree]:
        if isinstance(part, Mapping) and part.get("op") == "=" and len(part["args"]) == 2:
            prop, value = part["args"]
            name = _INDEXED.get(prop.get("property")) if isinstance(prop, Mapping) else None
            if name and isinstance(value, str) and getattr(query, name) is None:
                query = replace(query, **{name: [value]})
    return query


def _feature_collection(found: Page, state: State, caller: Caller, asked: Asked, own, following: Next) -> dict:
    items = (item_document(item, caller.base, state.has_pages) for item in found.items)
    return {
        "type": "FeatureCollection",
        "features": [choose(item, asked.include, asked.exclude) for item in items],
        "links": [*own, *([following(found.next)] if found.next else [])],
        "numberMatched": found.matched,
        "numberReturned": len(found.items),
    }
