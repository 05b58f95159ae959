"""What a search asks for, and which rows of the index answer it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from pipeline.commodities import canonical_commodity
from pipeline.errors import BadInput

from .cql import Rows, columns_of, evaluate, near_box
from .cql_kernels import literal_shape, shape_of_box
from .cql_read import read_filter
from .snapshot import Index


@dataclass(frozen=True)
class Query:
    """Criteria of a search, all of which must hold; `query.search` explains them. ``intersects`` is a GeoJSON geometry,
    ``collections`` ids of collections."""

    bbox: Sequence[float] | None = None
    years: int | Iterable[int] | None = None
    datetime: str | datetime | Sequence | None = None
    ids: str | Iterable[str] | None = None
    mine: str | Iterable[str] | None = None
    country: str | Iterable[str] | None = None
    commodity: str | Iterable[str] | None = None
    filter: str | Mapping | None = None
    intersects: Mapping | None = None
    collections: str | Iterable[str] | None = None

    def __post_init__(self):
        if self.bbox is not None and self.intersects is not None:
            raise BadInput("a search takes bbox or intersects, not both; leave one out")


def matching(index: Index, query: Query) -> np.ndarray:
    """Numbers of the rows that meet all criteria, ascending, int64.

    Raises
    ------
    BadInput
        A criterion can't be understood.
    """
    texts = {
        "id": _texts("ids", query.ids),
        "pitpulse:mine_id": _texts("mine", query.mine),
        "collection": _texts("collections", query.collections),
        "pitpulse:country": _countries(query.country),
        "pitpulse:commodity": _commodities(query.commodity),
    }
    values: dict = {name: pa.array(found, pa.string()) for name, found in texts.items() if found is not None}
    years = _years(query.years)
    if years is not None:
        values["pitpulse:year"] = pa.array(years, pa.int64())
    tree = None if query.filter is None else read_filter(query.filter)
    shape = shape_of_box(query.bbox) if query.bbox is not None else None
    shape = literal_shape(query.intersects) if query.intersects is not None else shape
    period = _period(query.datetime)
    names = {*values, *(columns_of(tree, index.schema) if tree is not None else ())}
    names |= {"bbox"} if shape is not None else set()
    names |= {"datetime", "start_datetime", "end_datetime"} if period else set()
    groups = _groups(index, texts)
    positions = index.positions(groups)
    if not names and tree is None:
        return positions
    rows = _at(index, index.columns(sorted(names) or ["pitpulse:year"], groups), positions)
    for name, wanted in values.items():
        rows, positions = _kept(index, rows, positions, pc.is_in(rows.table[name], value_set=wanted))
    if period:
        rows, positions = _kept(index, rows, positions, _in_period(rows.table, *period))
    if tree is not None:
        rows, positions = _kept(index, rows, positions, pa.array(evaluate(tree, rows)))
    if shape is not None:
        rows, positions = _kept(index, rows, positions, pa.array(_touching(rows, shape, query.bbox is not None)))
    return positions


def _groups(index: Index, texts: Mapping) -> list[int]:
    """Row groups that may hold the ids or mines asked for: those of few are found by the statistics."""
    groups = set(range(index.row_groups))
    for name in ("id", "pitpulse:mine_id"):
        wanted = texts[name]
        if wanted is not None and len(wanted) <= 100:
            groups &= {group for value in set(wanted) for group in index.groups(name, value, value)}
    return sorted(groups)


def _at(index: Index, table: pa.Table, positions: np.ndarray) -> Rows:
    def geometry(places):
        column = index.rows(positions[places].tolist(), ["geometry"])["geometry"]
        return shapely.from_wkb(column.to_numpy(zero_copy_only=False))

    return Rows(table, geometry)


def _kept(index: Index, rows: Rows, positions, keep) -> tuple[Rows, np.ndarray]:
    mask = pc.fill_null(keep, False)
    positions = positions[mask.to_numpy(zero_copy_only=False)]
    return _at(index, rows.table.filter(mask), positions), positions


def _touching(rows: Rows, shape, is_box: bool) -> np.ndarray:
    """Rows whose footprint touches a shape. Inside a box, the bounding box is enough to know."""
    parts = shapely.get_parts(shape)
    bounds = [part.bounds for part in parts] if is_box else [shape.bounds]
    near = np.logical_or.reduce([near_box(rows.table, box) for box in bounds])
    inside = np.zeros(len(near), bool)
    if is_box:
        inside = np.logical_or.reduce([_inside(rows.table, box) for box in bounds])
    places = np.flatnonzero(near & ~inside)
    if places.size:
        near[places] = shapely.intersects(rows.geometry(places), shape)
    return near


def _inside(table: pa.Table, bounds) -> np.ndarray:
    box = table["bbox"].combine_chunks()
    xmin, ymin, xmax, ymax = (box.field(n).to_numpy(zero_copy_only=False) for n in ("xmin", "ymin", "xmax", "ymax"))
    west, south, east, north = bounds
    return (xmin <= xmax) & (west <= xmin) & (xmax <= east) & (south <= ymin) & (ymax <= north)


def _in_period(table: pa.Table, start: datetime | None, end: datetime | None) -> pa.Array:
    first = pc.coalesce(table["start_datetime"], table["datetime"])
    last = pc.coalesce(table["end_datetime"], table["datetime"])
    kind = pa.timestamp("us", tz="UTC")
    keep = pa.array(np.ones(len(table), bool))
    if end is not None:
        keep = pc.and_(keep, pc.less_equal(first, pa.scalar(end, kind)))
    if start is not None:
        keep = pc.and_(keep, pc.greater_equal(last, pa.scalar(start, kind)))
    return keep


def _texts(what: str, value) -> list[str] | None:
    if value is None:
        return None
    found = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    if not all(isinstance(text, str) for text in found):
        raise BadInput(f"{what} must be a text or several, instead got {value!r}")
    return found


def _countries(value) -> list[str] | None:
    names = _texts("country", value)
    if names is None:
        return None
    from pipeline.inventory.countries import country_code  # reads a table of names

    return [name if len(name) == 3 and name.isupper() else country_code(name) for name in names]


def _commodities(value) -> list[str] | None:
    """Our name of each, and what was asked, for an item that was published under another."""
    names = _texts("commodity", value)
    return None if names is None else sorted({*map(canonical_commodity, names), *names})


def _years(value) -> list[int] | None:
    if value is None:
        return None
    found = list(value) if isinstance(value, Iterable) else [value]
    if not all(
        isinstance(year, int | np.integer) and not isinstance(year, bool) and 0 < year < 10_000 for year in found
    ):
        raise BadInput(f"years must be a year or several, such as 2022 or range(2020, 2023), instead got {value!r}")
    return [int(year) for year in found]


def _period(value) -> tuple[datetime | None, datetime | None] | None:
    """First and last instant, UTC; None is open."""
    if value is None:
        return None
    if isinstance(value, str) and "/" in value:
        ends = value.split("/")
    else:
        ends = [value, value] if isinstance(value, str | date) else list(value)
    if len(ends) != 2:
        raise BadInput(f"datetime must be an instant or start/end, instead got {value!r}")
    start, end = _end(ends[0], value, last=False), _end(ends[1], value, last=True)
    if start is None and end is None:
        raise BadInput(
            f"datetime must have a start or an end, instead got {value!r}; leave it out to ask for all times"
        )
    if start is not None and end is not None and start > end:
        raise BadInput(f"datetime must start before it ends, instead got {value!r}")
    return start, end


def _end(value, said, last: bool) -> datetime | None:
    """One end of a period; the last instant of a day for the later one."""
    if value in (None, "", ".."):
        return None
    try:
        moment = datetime.fromisoformat(value.replace("z", "Z")) if isinstance(value, str) else value
        day_only = not isinstance(moment, datetime) or (isinstance(value, str) and len(value) <= 10)
        if not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day)
    except (ValueError, AttributeError, TypeError) as error:
        raise BadInput(
            f"datetime must be written as 2022-07-01 or 2022-07-01T00:00:00Z, or as start/end, instead got {said!r}"
        ) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment + timedelta(days=1, microseconds=-1) if day_only and last else moment
