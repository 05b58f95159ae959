"""What a client may ask for: parameters of GET and bodies of POST, checked, as one value for the search."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.errors import BadInput

from ..cql_read import MAX_DEPTH
from ..criteria import Query

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
MOST_SORTS = 10
MOST_LEVELS = 150  # of JSON: a filter has two a level, and a geometry in it
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_STRICT = ConfigDict(extra="forbid", populate_by_name=True)

Limit = Annotated[int | None, Field(ge=1, description="Items of a page; a larger number than the server's is lowered.")]
Token = Annotated[str | None, Field(max_length=4096, description="Of the next page, as the page before named it.")]
Times = Annotated[
    str | None,
    Field(
        description="An RFC 3339 instant, or start/end, `..` being open.",
        examples=["2022-01-01T00:00:00Z/2022-12-31T23:59:59Z"],
    ),
]


class ItemsParameters(BaseModel):
    """Of GET /collections/{id}/items."""

    model_config = _STRICT
    bbox: Annotated[
        str | None,
        Field(
            description="west,south,east,north in degrees; west > east crosses 180 degrees.", examples=["20,-35,33,-22"]
        ),
    ] = None
    datetime: Times = None
    limit: Limit = None
    token: Token = None
    filter: Annotated[
        str | None,
        Field(
            description="CQL2; /queryables lists the properties.",
            examples=['"pitpulse:country" = \'ZAF\' AND "pitpulse:active_area" > 4000000'],
        ),
    ] = None
    filter_lang: Annotated[Literal["cql2-text", "cql2-json"] | None, Field(alias="filter-lang")] = None
    filter_crs: Annotated[str | None, Field(alias="filter-crs", description=f"Only {CRS84}.")] = None
    sortby: Annotated[
        str | None, Field(description="Properties, with - for descending.", examples=["-pitpulse:active_area"])
    ] = None
    fields: Annotated[
        str | None,
        Field(description="What to keep of an item, or with - to leave out.", examples=["id,properties,-links"]),
    ] = None

    # pystac-client sends it here too
    collections: Annotated[str | None, Field(description="Ids of collections, with commas between.")] = None


class SearchParameters(ItemsParameters):
    """Of GET /search."""

    intersects: Annotated[str | None, Field(description="A GeoJSON geometry.")] = None
    ids: Annotated[str | None, Field(description="Of items, with commas between.")] = None


class SortKey(BaseModel):
    """A property to sort by."""

    model_config = ConfigDict(extra="forbid")
    field: str
    direction: Literal["asc", "desc"] = "asc"


class FieldChoice(BaseModel):
    """What to keep of an item, and what to leave out."""

    model_config = ConfigDict(extra="forbid")
    include: list[str] | None = None
    exclude: list[str] | None = None


class SearchBody(BaseModel):
    """Of POST /search."""

    model_config = _STRICT
    bbox: list[Annotated[float, Field(strict=True, allow_inf_nan=False)]] | None = None
    datetime: Times = None
    intersects: dict | None = None
    ids: list[str] | None = None
    collections: list[str] | str | None = None
    limit: Annotated[int | None, Field(strict=True, ge=1)] = None
    token: Token = None
    filter: Annotated[dict | str | None, Field(description="CQL2 JSON, or text with filter-lang cql2-text.")] = None
    filter_lang: Annotated[Literal["cql2-text", "cql2-json"] | None, Field(alias="filter-lang")] = None
    filter_crs: Annotated[str | None, Field(alias="filter-crs")] = None
    sortby: Annotated[list[SortKey] | None, Field(max_length=MOST_SORTS)] = None
    fields: FieldChoice = FieldChoice()

    @model_validator(mode="before")
    @classmethod
    def _is_sound(cls, given):
        _refuse_unsound(given)
        return given


@dataclass(frozen=True)
class Asked:
    """A search as it was asked for, ready to be answered."""

    query: Query
    sort: str | list[dict] | None
    limit: int | None
    token: str | None
    include: tuple[str, ...] | None  # of an item's members: None for all, empty for the usual ones
    exclude: tuple[str, ...] = ()


def from_parameters(given: ItemsParameters, collection: str | None = None) -> Asked:
    """The search that a GET asks for, in one collection or in those that it names.

    Raises
    ------
    BadInput
        A parameter isn't written as it should be.
    """
    include, exclude = _field_names(given.fields)
    if given.sortby is not None and given.sortby.count(",") >= MOST_SORTS:
        raise BadInput(f"sortby must name at most {MOST_SORTS} properties; leave some out")
    intersects, collections = getattr(given, "intersects", None), _names("collections", given.collections)
    if collection is not None:
        collections = [collection] if collections is None or collection in collections else []
    query = Query(
        bbox=None if given.bbox is None else _numbers(given.bbox),
        datetime=_period(given.datetime),
        ids=_names("ids", getattr(given, "ids", None)),
        collections=collections,
        filter=_filter(given.filter, given.filter_lang or "cql2-text", given.filter_crs),
        intersects=None if intersects is None else _geometry(intersects),
    )
    return Asked(query, given.sortby, given.limit, given.token, include, exclude)


def from_body(given: SearchBody) -> Asked:
    """The search that a POST asks for.

    Raises
    ------
    BadInput
        A member isn't what it should be.
    """
    lang = given.filter_lang or ("cql2-json" if isinstance(given.filter, dict) else "cql2-text")
    query = Query(
        bbox=given.bbox,
        datetime=_period(given.datetime),
        ids=given.ids,
        collections=given.collections,
        filter=_filter(given.filter, lang, given.filter_crs),
        intersects=given.intersects,
    )
    sort = [key.model_dump() for key in given.sortby] if given.sortby else None
    include, exclude = None, ()
    if "fields" in given.model_fields_set:
        chosen = given.fields
        exclude = tuple(chosen.exclude or ())
        # Left out beside an exclude means everything else; null or empty means the usual ones.
        include = tuple(chosen.include or ()) if "include" in chosen.model_fields_set or not exclude else None
    return Asked(query, sort, given.limit, given.token, include, exclude)


def _numbers(text: str) -> list[float]:
    parts = [part.strip() for part in text.split(",")]
    if not all(map(_NUMBER.fullmatch, parts)):
        raise BadInput(f"bbox must be 4 or 6 numbers with commas between, such as 20,-35,33,-22, instead got {text!r}")
    return [float(part) for part in parts]


def _names(what: str, text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise BadInput(f"{what} must be names with commas between, instead got {text!r}")
    return names


def _field_names(text: str | None) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Names to include and to exclude, as in `Asked`; a plus may have come as a space."""
    if text is None:
        return None, ()
    names = [name.strip() for name in text.split(",")]
    exclude = tuple(name[1:] for name in names if name.startswith("-"))
    include = tuple(name.lstrip("+") for name in names if name and name[0] != "-")
    return include or (None if exclude else ()), exclude


def _geometry(text: str) -> dict:
    try:
        shape = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"intersects must be a GeoJSON geometry: {error}") from error
    if not isinstance(shape, dict):
        raise BadInput(f"intersects must be a GeoJSON geometry, instead got {text[:80]!r}")
    return shape


def _refuse_unsound(given) -> None:
    """Refuse JSON that can be read but not written again: nested too deep, or with half a character in a text.

    Raises
    ------
    ValueError
        Which FastAPI makes a 400 of.
    """
    waiting = [(given, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MOST_LEVELS:
            raise ValueError(f"JSON must nest at most {MOST_LEVELS} levels; simplify it")
        if isinstance(value, dict):
            waiting += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            waiting += [(inner, depth + 1) for inner in value]
        elif isinstance(value, str) and not value.isascii():
            value.encode()  # UnicodeEncodeError is a ValueError


def _filter(given: dict | str | None, lang: str, crs: str | None) -> dict | str | None:
    """A filter as `Query` takes it, in the language that was named."""
    if crs not in (None, CRS84):
        raise BadInput(f"filter-crs must be {CRS84}, instead got {crs!r}; leave it out")
    if given is None or isinstance(given, dict):
        if isinstance(given, dict) and lang != "cql2-json":
            raise BadInput("a filter that is an object is cql2-json; say so in filter-lang, or leave that out")
        return _as_published(given)
    is_json = given.lstrip().startswith("{")
    if is_json != (lang == "cql2-json"):
        raise BadInput(
            f"the filter must be {lang}, instead got {given[:80]!r}; set filter-lang to cql2-text or cql2-json"
        )
    return given


def _as_published(node, depth: int = 0):
    """CQL2 JSON as its final version writes ``between``: a draft that clients still send has the bounds in a list."""
    if depth > MAX_DEPTH:  # `read_filter` refuses it
        return node
    if isinstance(node, list):
        return [_as_published(inner, depth + 1) for inner in node]
    if not isinstance(node, dict) or not isinstance(node.get("args"), list):
        return node
    args = [_as_published(inner, depth + 1) for inner in node["args"]]
    if node.get("op") == "between" and len(args) == 2 and isinstance(args[1], list):
        args = [args[0], *args[1]]
    return {**node, "args": args}


def _period(text: str | None) -> list[datetime | None] | None:
    """First and last instant of what RFC 3339 and STAC allow, UTC; None is open.

    Raises
    ------
    BadInput
        It isn't written so, or both ends are open.
    """
    if text is None:
        return None
    ends = text.split("/")
    moments = [None if end in ("", "..") else _moment(end, text) for end in ends]
    if len(ends) > 2 or moments in ([None], [None, None]):
        raise _wrong_time(text)
    return moments if len(ends) == 2 else [moments[0], moments[0]]


def _moment(text: str, said: str) -> datetime:
    if not _MOMENT.fullmatch(text):
        raise _wrong_time(said)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:  # a 30th of February; year 1 in another time zone
        raise _wrong_time(said) from error


def _wrong_time(text: str) -> BadInput:
    return BadInput(
        f"datetime must be an instant such as 2022-07-01T00:00:00Z, or start/end with .. for an open end, "
        f"instead got {text[:80]!r}"
    )
