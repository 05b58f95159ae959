"""Search of the index: which items, in what order, a page at a time; as STAC items or as a table. No server.

from catalog import search, search_table, growth
search("products", mine="musan")                                   # items
search_table("products", country="South Africa", years=2022)       # a pyarrow table
growth(2022, "products", country="ZAF", commodity="iron")          # who grew, with intervals
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime as Moment

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import BadInput

from .cql import askable, resolve
from .criteria import Query, matching
from .item_table import item_columns, items_of
from .paging import comes_after, read_token, sorting_of, token_of
from .snapshot import Index, open_index, published_root

TABLE = (
    "id",
    "mine_id",
    "mine_name",
    "country",
    "commodity",
    "year",
    "active_area",
    "active_area_interval",
    "ndai_mean",
    "pairs_accepted",
    "pairs_rejected",
    "production",
    "production_interval",
    "production_confidence",
    "emissions_co2",
    "emissions_co2_interval",
    "emissions_co2_confidence",
)
_PREFIX = "pitpulse:"


@dataclass(frozen=True)
class Page:
    """Items of one page as documents, how many match in all, and the token of the next page (None at the end)."""

    items: list[dict]
    matched: int
    next: str | None


def search(
    root: str | os.PathLike | Index | None = None,
    *,
    bbox: Sequence[float] | None = None,
    years: int | Iterable[int] | None = None,
    datetime: str | Moment | Sequence | None = None,
    ids: str | Iterable[str] | None = None,
    mine: str | Iterable[str] | None = None,
    country: str | Iterable[str] | None = None,
    commodity: str | Iterable[str] | None = None,
    filter: str | Mapping | None = None,
    sort: str | Iterable | None = None,
    limit: int | None = None,
    fields: Iterable[str] | None = None,
    options: Mapping | None = None,
) -> list:
    """Items of a published folder, from its index alone; what is given must all hold.

    Parameters
    ----------
    root : str, path or Index, optional
        Root of the published folder; the environment's ``PITPULSE_ROOT`` where it is left out. An open `Index` saves
        opening it for every search.
    bbox : 4 or 6 numbers, optional
        West, south, east, north, degrees; west > east is a box across 180 degrees. Items whose footprint touches it.
    years : int or iterable of int, optional
    datetime : str, datetime or pair, optional
        An instant or an interval (``2021-01-01/2022-06-30``, ``../2020``); items whose year touches it.
    ids, mine : str or iterable of str, optional
        Ids of items, ids of mines.
    country : str or iterable of str, optional
        ISO3 codes or English names.
    commodity : str or iterable of str, optional
        Any name that `pipeline.commodities` knows, such as "iron".
    filter : str or mapping, optional
        CQL2 text or JSON; ``pitpulse:`` may be left out of a property's name.
    sort : str or iterable, optional
        Properties, with ``-`` for descending; id last and where nothing is said. Null comes last either way.
    limit : int, optional
        At most so many; all where it is left out.
    fields : iterable of str, optional
        Properties to keep, beside id, geometry, times, links and assets; all where it is left out.
    options : mapping, optional
        Passed to the file system.

    Returns
    -------
    list of pystac.Item
        With absolute hrefs.

    Raises
    ------
    BadInput
        A criterion can't be understood: what was expected and found.
    Unavailable
        There is no index at ``root``.
    """
    import marshal

    import pystac  # 0.1 s that a table doesn't need

    index = _index(root, options)
    query = Query(bbox, years, datetime, ids, mine, country, commodity, filter)
    found = page(index, query, sort=sort, limit=limit, fields=fields).items
    # Items share what they have in common, pystac's may be changed. Its own copying takes three times as long.
    copies = (marshal.loads(marshal.dumps(item)) for item in found)
    return [pystac.Item.from_dict(item, preserve_dict=False, migrate=False) for item in copies]


def search_table(
    root: str | os.PathLike | Index | None = None,
    *,
    sort: str | Iterable | None = None,
    limit: int | None = None,
    fields: Iterable[str] = TABLE,
    options: Mapping | None = None,
    **criteria,
) -> pa.Table:
    """The same as `search`, as a table: one row an item, ``pitpulse:`` left out of the names, an interval
    ``x_interval`` as ``x_low`` and ``x_high``.

    Parameters
    ----------
    root, sort, limit, options, **criteria
        As in `search`.
    fields : iterable of str
        Properties, in the order of the columns.

    Returns
    -------
    pyarrow.Table
        ``.to_pandas()`` makes a DataFrame. Missing is null.
    """
    index = _index(root, options)
    names = [resolve(name, index.schema.names) for name in _listed("fields", fields)]
    positions, _ = _positions(index, Query(**criteria), sorting_of(sort, index), None)
    return _flat(index.rows(positions[: _limited(limit)].tolist(), list(dict.fromkeys(names))), names)


def count(root: str | os.PathLike | Index | None = None, *, options: Mapping | None = None, **criteria) -> int:
    """How many items `search` would find."""
    return len(matching(_index(root, options), Query(**criteria)))


def page(
    index: Index,
    query: Query,
    *,
    sort: str | Iterable | None = None,
    limit: int | None = None,
    token: str | None = None,
    fields: Iterable[str] | None = None,
) -> Page:
    """One page of items as documents, and the token of the next.

    A token holds the last item's sorting values and id, so that pages lose and repeat nothing while items stay as they
    are, even where the next one is read from a newer snapshot; an item that comes or changes meanwhile is where its
    values put it.

    Parameters
    ----------
    index : Index
    query : Query
    sort, limit, fields
        As in `search`.
    token : str, optional
        `Page.next` of the page before, with the same ``sort``.

    Returns
    -------
    Page
        Items for reading: copy one before changing what is inside.

    Raises
    ------
    BadInput
        Also for a token that isn't one of ours, or belongs to another order.
    """
    sorting, size = sorting_of(sort, index), _limited(limit)
    kept = None if fields is None else {resolve(name, index.schema.names) for name in _listed("fields", fields)}
    positions, matched = _positions(index, query, sorting, read_token(token, sorting))
    chosen = positions[:size]
    rows = index.rows(chosen.tolist(), item_columns(index.schema, kept))
    last = None
    if len(chosen) < len(positions):
        keys = index.rows(chosen[-1:].tolist(), ["id", *(name for name, _ in sorting)])
        last = token_of(sorting, keys)
    items = items_of(rows, index.shared, index.folder)
    if kept is not None:
        kept |= {"datetime", "start_datetime", "end_datetime"}
        for item in items:
            item["properties"] = {name: value for name, value in item["properties"].items() if name in kept}
    return Page(items, matched, last)


def growth(
    year: int, root: str | os.PathLike | Index | None = None, *, since: int | None = None, **criteria
) -> pa.Table:
    """How the active area of mines changed from ``since`` (the year before where it is left out) to ``year``.

    The interval of the difference has half-widths that add in quadrature, as those of independent errors do. Two years
    of a mine share what makes their areas err in the same direction, so it is rather too wide than too narrow.

    Parameters
    ----------
    year, since : int
    root, **criteria
        As in `search_table`; not ``years``.

    Returns
    -------
    pyarrow.Table
        One row a mine that has both years, largest growth first: ``mine_id``, ``mine_name``, ``country``,
        ``commodity``, ``area_before``, ``area``, ``growth``, ``growth_low``, ``growth_high`` (m2, 95 %) and ``grew``:
        true where even ``growth_low`` is above zero, null where an area or an interval isn't known.
    """
    since = year - 1 if since is None else since
    if since >= year:
        raise BadInput(f"since must be a year before {year}, instead got {since}")
    table = search_table(root, years=(since, year), **criteria).to_pandas()
    both = table[table["year"] == year].merge(table[table["year"] == since], on="mine_id", suffixes=("", "_before"))
    change = both["active_area"] - both["active_area_before"]
    low = change - np.hypot(
        both["active_area"] - both["active_area_low"], both["active_area_high_before"] - both["active_area_before"]
    )
    high = change + np.hypot(
        both["active_area_high"] - both["active_area"], both["active_area_before"] - both["active_area_low_before"]
    )
    names = ["mine_id", "mine_name", "country", "commodity"]
    result = both[names].assign(
        area_before=both["active_area_before"],
        area=both["active_area"],
        growth=change,
        growth_low=low,
        growth_high=high,
    )
    found = pa.Table.from_pandas(result, preserve_index=False)
    found = found.append_column("grew", pc.greater(found["growth_low"], 0.0))
    return found.sort_by([("growth", "descending"), ("mine_id", "ascending")])


def queryables(index: Index) -> dict:
    """JSON Schema of the properties that a filter may name, from the columns that are there.

    Types come from the file; year, country and commodity say which values occur.
    """
    properties: dict = {
        "geometry": {"title": "Footprint", "$ref": "https://geojson.org/schema/Geometry.json"},
    }
    for name in askable(index.schema):
        if name != "geometry":
            title = name.removeprefix(_PREFIX).replace("_", " ").replace(":", " ")
            properties[name] = {"title": title, **_json_type(index.schema.field(name).type)}
    for name in (f"{_PREFIX}{short}" for short in ("country", "commodity")):
        values = sorted(v for v in pc.unique(index.columns([name])[name]).to_pylist() if v)
        if 0 < len(values) <= 300:
            properties[name]["enum"] = values
    years = pc.min_max(index.columns([f"{_PREFIX}year"])[f"{_PREFIX}year"]).as_py()
    if years["min"] is not None:
        properties[f"{_PREFIX}year"] |= {"minimum": years["min"], "maximum": years["max"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "title": "Properties of mine-years",
        "properties": properties,
        "additionalProperties": False,
    }


def _index(root, options: Mapping | None) -> Index:
    return root if isinstance(root, Index) else open_index(published_root(root), **(options or {}))


def _positions(index: Index, query: Query, sorting, after) -> tuple[np.ndarray, int]:
    """Rows that match and come after the token, in order; and how many match in all."""
    found = matching(index, query)
    matched = len(found)
    if not sorting:
        if after is not None and matched:
            ids = (
                index.rows(found.tolist(), ["id"])["id"] if matched < 1000 else index.columns(["id"])["id"].take(found)
            )
            found = found[pc.greater(ids, after[-1]).to_numpy(zero_copy_only=False)]
        return found, matched
    names = list(dict.fromkeys([*(name for name, _ in sorting), "id"]))
    keys = index.columns(names).take(found)
    if after is not None:
        keep = comes_after(keys, sorting, after)
        found, keys = found[keep], keys.filter(pa.array(keep))
    order = pc.sort_indices(keys, sort_keys=[*sorting, ("id", "ascending")])  # null last
    return found[order.to_numpy()], matched


def _limited(limit: int | None) -> int | None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise BadInput(f"limit must be a whole number of at least 1, instead got {limit!r}")
    return limit


def _listed(what: str, names) -> list[str]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise BadInput(f"{what} must be a list of property names, instead got {names!r}")
    return list(names)


def _flat(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Columns under short names, intervals as two."""
    columns: dict = {}
    for name in names:
        short, values = name.removeprefix(_PREFIX), table[name]
        if short.endswith("_interval"):
            stem = short.removesuffix("_interval")
            columns[f"{stem}_low"], columns[f"{stem}_high"] = (_element(values, k) for k in (0, 1))
        else:
            columns[short] = values
    return pa.table(columns)


def _element(values: pa.ChunkedArray, k: int) -> pa.Array:
    """Number k of every list; null where there is no list."""
    lists = values.combine_chunks()
    whole = pc.equal(pc.list_value_length(lists), 2)
    safe = pc.if_else(pc.fill_null(whole, False), lists, pa.scalar([None, None], lists.type))
    return pc.list_element(safe, k)


def _json_type(kind: pa.DataType) -> dict:
    if pa.types.is_list(kind):
        return {"type": "array", "items": _json_type(kind.value_type)}
    if pa.types.is_timestamp(kind):
        return {"type": "string", "format": "date-time"}
    for said, test in (
        ("boolean", pa.types.is_boolean),
        ("integer", pa.types.is_integer),
        ("number", pa.types.is_floating),
    ):
        if test(kind):
            return {"type": said}
    return {"type": "string"}
