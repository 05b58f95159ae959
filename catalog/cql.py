"""CQL2 filters on columns: text and JSON, evaluated with Arrow kernels and, for geometry, shapely.

A filter is a tree of operators; its value for a row is true, false or null, and only true passes (a null property makes
a comparison null, ``and`` and ``or`` follow Kleene). Text goes through the ``cql2`` parser; what it may be given is
limited first, in `cql_read`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from pipeline.errors import BadInput

from .cql_kernels import (
    ARITHMETIC,
    ARRAYS,
    COMPARISONS,
    SPATIAL,
    TEMPORAL,
    instant,
    kind_of,
    literal_shape,
    without_accents,
)
from .cql_read import shown
from .item_table import PACKED, SHARED

CONFORMANCE = tuple(
    f"http://www.opengis.net/spec/cql2/1.0/conf/{name}"
    for name in (
        "cql2-text",
        "cql2-json",
        "basic-cql2",
        "advanced-comparison-operators",
        "case-insensitive-comparison",
        "accent-insensitive-comparison",
        "basic-spatial-functions",
        "basic-spatial-functions-plus",
        "spatial-functions",
        "temporal-functions",
        "array-functions",
        "property-property",
        "arithmetic",
    )
)
_INNER = frozenset({SHARED, PACKED, "type", "stac_version", "stac_extensions"})
_SHORT = "pitpulse:"  # what may be left out of a name


@dataclass(frozen=True)
class Rows:
    """What a filter is evaluated on: columns of some rows, and a way to their geometries."""

    table: pa.Table
    geometry: Callable[[np.ndarray], np.ndarray]  # shapes of the rows with these places in the table


def names_in(tree) -> set[str]:
    """Names of the properties that a filter asks for."""
    if isinstance(tree, Mapping):
        if isinstance(tree.get("property"), str):
            return {tree["property"]}
        return set().union(*(names_in(value) for value in tree.values()))
    if isinstance(tree, list | tuple):
        return set().union(*(names_in(value) for value in tree))
    return set()


def askable(schema: pa.Schema) -> list[str]:
    """Columns of the index that a filter can name: numbers, text, times, lists of them, and the geometry."""
    return [f.name for f in schema if f.name == "geometry" or (f.name not in _INNER and _plain(f.type))]


def resolve(name: str, names: Sequence[str]) -> str:
    """The column that a property's name stands for; ``pitpulse:`` and ``properties.`` may be left out.

    Raises
    ------
    BadInput
        There is no such property; the message lists those there are.
    """
    bare = name.removeprefix("properties.")
    for candidate in (name, bare, _SHORT + bare):
        if candidate in names:
            return candidate
    short = {n.removeprefix(_SHORT): n for n in names}
    close = [short[n] for n in get_close_matches(bare.removeprefix(_SHORT), list(short), n=2)]
    hint = f"; did you mean {' or '.join(close)}?" if close else ";"
    raise BadInput(f"unknown property {name!r}{hint} known are {', '.join(sorted(names))}")


def evaluate(tree, rows: Rows) -> np.ndarray:
    """Which rows pass a filter, bool, one a row.

    Raises
    ------
    BadInput
        Unknown property or operator, wrong number or kind of arguments.
    """
    value = _value(tree, rows)
    if kind_of(value) not in ("boolean", "null"):
        raise BadInput(f"a filter must be true or false, instead got {shown(tree)}, which is {_kind(value)}")
    if isinstance(value, pa.Scalar):
        return np.full(len(rows.table), bool(value.as_py()))
    return pc.fill_null(value, False).to_numpy(zero_copy_only=False)


def _value(node, rows: Rows):
    """Array or scalar that a node stands for; an interval is a pair of them, a geometry a shape."""
    if isinstance(node, Mapping):
        if "op" in node:
            return _operator(node, rows)
        if "property" in node:
            return _column(node["property"], rows)
        if "interval" in node:
            return _interval([_value(end, rows) for end in node["interval"]])
        if "date" in node or "timestamp" in node:
            return instant(node.get("date", node.get("timestamp")))
        return literal_shape(node)
    if isinstance(node, list | tuple):
        return [_value(inner, rows) for inner in node]
    return pa.scalar(float(node) if isinstance(node, int) and not isinstance(node, bool) else node)


def _column(name: str, rows: Rows):
    column = resolve(name, ["geometry", *rows.table.column_names])
    return column if column == "geometry" else rows.table[column]


def _operator(node: Mapping, rows: Rows):
    op, args = node["op"].lower(), node["args"]
    if op in ("and", "or"):
        return _junction(op, args, rows)
    if op in SPATIAL:
        return _spatial(op, args, rows)
    if op in _NUMBER_OF and len(args) not in _NUMBER_OF[op]:
        raise BadInput(f"{op} takes {' or '.join(map(str, _NUMBER_OF[op]))} arguments, instead got {len(args)}")
    if op not in _NUMBER_OF:
        known = sorted([*_NUMBER_OF, *SPATIAL, "and", "or"])
        raise BadInput(f"unknown operator or function {node['op']!r}; known are {', '.join(known)}")
    values = [_value(arg, rows) for arg in args]
    if op == "not":
        return pc.invert(_need(values[0], "boolean", op, args[0]))
    if op == "isnull":
        return pc.is_null(values[0]) if not isinstance(values[0], str) else pa.scalar(False)
    if op in ("casei", "accenti"):
        text = _need(values[0], "text", op, args[0])
        return pc.utf8_lower(text) if op == "casei" else without_accents(text)
    if op == "like":
        return _like(values, args)
    if op == "between":
        low = _compare(">=", values[0], values[1], node)
        return pc.and_kleene(low, _compare("<=", values[0], values[2], node))
    if op == "in":
        return _in(values, node)
    if op in TEMPORAL:
        return TEMPORAL[op](*(_interval(value, arg) for value, arg in zip(values, args, strict=True)))
    if op in ARRAYS:
        return _arrays(op, values, args, rows)
    if op in ARITHMETIC:
        numbers = [
            pc.cast(_need(value, "number", op, arg), pa.float64()) for value, arg in zip(values, args, strict=True)
        ]
        return ARITHMETIC[op](*numbers) if len(numbers) == 2 else pc.negate(numbers[0])
    return _compare(op, values[0], values[1], node)


_NUMBER_OF = {
    **dict.fromkeys(("not", "isnull", "casei", "accenti"), (1,)),
    **dict.fromkeys((*COMPARISONS, *TEMPORAL, *ARRAYS, *ARITHMETIC, "like", "in"), (2,)),
    "-": (1, 2),
    "between": (3,),
}


def _junction(op: str, args: list, rows: Rows):
    if len(args) < 2:
        raise BadInput(f"{op} takes at least 2 arguments, instead got {len(args)}")
    join = pc.and_kleene if op == "and" else pc.or_kleene
    result = None
    for arg in args:
        value = _need(_value(arg, rows), "boolean", op, arg)
        result = value if result is None else join(result, value)
    return result


def _compare(op: str, left, right, node):
    kinds = {kind_of(left), kind_of(right)} - {"null"}
    if kinds == {"time", "text"}:  # many clients send a time as plain text
        left, right = (
            instant(v.as_py()) if kind_of(v) == "text" and isinstance(v, pa.Scalar) else v for v in (left, right)
        )
        kinds = {kind_of(left), kind_of(right)}
    if "null" in (kind_of(left), kind_of(right)):
        return pa.scalar(None, pa.bool_())
    if len(kinds) > 1 or not kinds <= {"number", "text", "time", "boolean"}:
        raise BadInput(f"can't compare {_kind(left)} with {_kind(right)} in {shown(node)}; compare two of one kind")
    return COMPARISONS[op](left, right)


def _in(values: list, node: Mapping):
    if not isinstance(values[1], list) or not values[1]:
        raise BadInput(f"in takes a value and a list of values, instead got {shown(node)}")
    result = None
    for choice in values[1]:
        same = _compare("=", values[0], choice, node)
        result = same if result is None else pc.or_kleene(result, same)
    return result


def _like(values: list, args: list):
    text, pattern = _need(values[0], "text", "like", args[0]), values[1]
    if not isinstance(pattern, pa.Scalar) or kind_of(pattern) != "text":
        raise BadInput(f"like takes a text and a pattern such as 'iron%', instead got the pattern {shown(args[1])}")
    return pc.match_like(text, pattern.as_py())


def _interval(value, arg=None):
    """Start and end of an instant or an interval; None is open."""
    if isinstance(value, list):
        return tuple(
            None if isinstance(v, pa.Scalar) and v.as_py() in ("..", "", None) else _interval(v)[k]
            for k, v in enumerate(value)
        )
    if isinstance(value, tuple):
        return value
    if isinstance(value, pa.Scalar) and kind_of(value) == "text":
        value = instant(value.as_py())
    if kind_of(value) != "time":
        raise BadInput(f"expected a time or an interval, instead got {shown(arg) if arg is not None else _kind(value)}")
    return value, value


def _arrays(op: str, values: list, args: list, rows: Rows):
    lists = []
    for value, arg in zip(values, args, strict=True):
        if isinstance(value, list):
            if not all(isinstance(item, pa.Scalar) for item in value):
                raise BadInput(f"{op} takes two lists of plain values, instead got {shown(arg)}")
            lists.append([[item.as_py() for item in value]] * len(rows.table))
        elif kind_of(value) == "list":
            lists.append(value.to_pylist())
        else:
            raise BadInput(f"{op} takes two lists, instead got {shown(arg)}")
    test = ARRAYS[op]
    return pa.array(
        [None if a is None or b is None else test(set(a), set(b)) for a, b in zip(*lists, strict=True)], pa.bool_()
    )


def _spatial(op: str, args: list, rows: Rows):
    """Shapes are only made of rows whose bounding box touches the literal's: the rest is known without."""
    if len(args) != 2:
        raise BadInput(f"{op} takes 2 arguments, instead got {len(args)}")
    values = [_value(arg, rows) for arg in args]
    shapes = [value for value in values if isinstance(value, shapely.Geometry)]
    if len(shapes) != 1 or "geometry" not in [v for v in values if isinstance(v, str)]:
        raise BadInput(f"{op} takes the property geometry and one geometry, instead got {shown(args)}")
    near = near_box(rows.table, shapes[0].bounds)
    result = np.full(len(near), op == "s_disjoint")
    places = np.flatnonzero(near)
    if places.size:
        found = rows.geometry(places)
        pair = (found, shapes[0]) if isinstance(values[0], str) else (shapes[0], found)
        result[places] = SPATIAL[op](*pair)
    return pa.array(result)


def near_box(table: pa.Table, bounds) -> np.ndarray:
    """Rows whose bounding box touches west, south, east, north (west <= east); theirs may cross 180 degrees."""
    west, south, east, north = bounds
    box = table["bbox"].combine_chunks()
    xmin, ymin, xmax, ymax = (
        box.field(name).to_numpy(zero_copy_only=False) for name in ("xmin", "ymin", "xmax", "ymax")
    )
    starts, ends = xmin <= east, xmax >= west
    beside = np.where(xmin <= xmax, starts & ends, starts | ends)
    return beside & (ymin <= north) & (ymax >= south)


def _need(value, kind: str, op: str, node):
    if kind_of(value) == "null" and kind == "boolean":
        return pa.scalar(None, pa.bool_())
    if kind_of(value) != kind:
        raise BadInput(f"{op} takes {_KINDS[kind]}, instead got {shown(node)}, which is {_kind(value)}")
    return value


_KINDS = {"boolean": "true or false", "text": "text", "number": "numbers", "time": "a time", "list": "a list",
          "null": "null", "geometry": "a geometry"}  # fmt: skip


def _kind(value) -> str:
    return _KINDS.get(kind_of(value), "something else")


def _plain(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_list(kind) else kind
    return not pa.types.is_nested(kind) and not pa.types.is_binary(kind)


def columns_of(tree, schema: pa.Schema) -> Iterator[str]:
    """Columns that `evaluate` will want: geometry stands for the bounding box."""
    for name in sorted(names_in(tree)):
        column = resolve(name, askable(schema))
        yield "bbox" if column == "geometry" else column
