"""What the operators of CQL2 do: with Arrow arrays and scalars, with shapes and with sets."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import shapely
import shapely.geometry

from pipeline.errors import BadInput

COMPARISONS: dict[str, Callable] = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
ARITHMETIC: dict[str, Callable] = {
    "+": pc.add,
    "-": pc.subtract,
    "*": pc.multiply,
    "/": pc.divide,
    "^": pc.power,
    "div": lambda a, b: pc.trunc(pc.divide(a, b)),
    "%": lambda a, b: pc.subtract(a, pc.multiply(b, pc.trunc(pc.divide(a, b)))),
}
SPATIAL: dict[str, Callable] = {
    "s_intersects": shapely.intersects,
    "s_disjoint": shapely.disjoint,
    "s_contains": shapely.contains,
    "s_within": shapely.within,
    "s_equals": shapely.equals,
    "s_touches": shapely.touches,
    "s_crosses": shapely.crosses,
    "s_overlaps": shapely.overlaps,
}
ARRAYS: dict[str, Callable[[set, set], bool]] = {
    "a_equals": operator.eq,
    "a_contains": operator.ge,
    "a_containedby": operator.le,
    "a_overlaps": lambda a, b: bool(a & b),
}
_MARKS = r"\p{Mn}"  # what an accent is, once the letter under it stands alone


def _all(*tests) -> pa.Array:
    result = tests[0]
    for test in tests[1:]:
        result = pc.and_kleene(result, test)
    return result


def _order(kind: Callable, left, right, open_says: bool):
    """A comparison of two ends; an open end lies beyond every other."""
    return pa.scalar(open_says) if left is None or right is None else kind(left, right)


def _lt(left, right):
    return _order(pc.less, left, right, False)


def _eq(left, right):
    return _order(pc.equal, left, right, False)


def _le_open(left, right):
    """``left <= right`` for a start and an end: true where one of them is open."""
    return _order(pc.less_equal, left, right, True)


def _starts_before(a, b):
    """Start of a before that of b."""
    return pa.scalar(b is not None) if a is None else _lt(a, b)


def _ends_before(a, b):
    """End of a before that of b."""
    return pa.scalar(a is not None) if b is None else _lt(a, b)


def _same(a, b):
    return pa.scalar(a is b) if a is None or b is None else pc.equal(a, b)


# a and b are (start, end)
TEMPORAL: dict[str, Callable] = {
    "t_after": lambda a, b: _lt(b[1], a[0]),
    "t_before": lambda a, b: _lt(a[1], b[0]),
    "t_contains": lambda a, b: _all(_starts_before(a[0], b[0]), _ends_before(b[1], a[1])),
    "t_during": lambda a, b: _all(_starts_before(b[0], a[0]), _ends_before(a[1], b[1])),
    "t_equals": lambda a, b: _all(_same(a[0], b[0]), _same(a[1], b[1])),
    "t_disjoint": lambda a, b: pc.invert(TEMPORAL["t_intersects"](a, b)),
    "t_intersects": lambda a, b: _all(_le_open(a[0], b[1]), _le_open(b[0], a[1])),
    "t_finishedby": lambda a, b: _all(_starts_before(a[0], b[0]), _same(a[1], b[1])),
    "t_finishes": lambda a, b: _all(_starts_before(b[0], a[0]), _same(a[1], b[1])),
    "t_meets": lambda a, b: _eq(a[1], b[0]),
    "t_metby": lambda a, b: _eq(a[0], b[1]),
    "t_overlappedby": lambda a, b: TEMPORAL["t_overlaps"](b, a),
    "t_overlaps": lambda a, b: _all(_starts_before(a[0], b[0]), _lt(b[0], a[1]), _ends_before(a[1], b[1])),
    "t_startedby": lambda a, b: _all(_same(a[0], b[0]), _ends_before(b[1], a[1])),
    "t_starts": lambda a, b: _all(_same(a[0], b[0]), _ends_before(a[1], b[1])),
}


def kind_of(value) -> str:
    """number, text, boolean, time, list, geometry, interval or null."""
    if isinstance(value, shapely.Geometry | str):  # the only string is the name of the geometry's column
        return "geometry"
    if isinstance(value, list):
        return "list"
    if isinstance(value, tuple):
        return "interval"
    kind = value.type
    if pa.types.is_null(kind):
        return "null"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_timestamp(kind):
        return "time"
    if pa.types.is_list(kind):
        return "list"
    return "number"


def without_accents(text):
    """Letters without their accents."""
    return pc.replace_substring_regex(pc.utf8_normalize(text, form="NFD"), pattern=_MARKS, replacement="")


def instant(text) -> pa.Scalar:
    """A date or a time as a moment, UTC; a date is its first instant."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise BadInput(f"a time must be written as 2022-07-01 or 2022-07-01T00:00:00Z, instead got {text!r}") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return pa.scalar(moment.astimezone(UTC), pa.timestamp("us", tz="UTC"))


def literal_shape(node: Mapping) -> shapely.Geometry:
    """The shape of GeoJSON, or of ``{"bbox": [...]}``, which may cross 180 degrees."""
    if "bbox" in node:
        return shape_of_box(node["bbox"])
    try:
        shape = shapely.geometry.shape(node)
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
        raise BadInput(f"{str(dict(node))[:80]} is no GeoJSON geometry: {error}") from error
    if shape.is_empty or not all(math.isfinite(v) for v in shape.bounds):
        raise BadInput(f"a geometry must have coordinates, all of them finite, instead got {str(dict(node))[:80]}")
    if not shape.is_valid:
        raise BadInput(f"a geometry must be valid: {shapely.is_valid_reason(shape)}; repair it and ask again")
    return shape


def shape_of_box(box) -> shapely.Geometry:
    """A box of 4 or 6 numbers, degrees; heights are ignored, west > east crosses 180 degrees.

    Raises
    ------
    BadInput
        Other numbers.
    """
    try:
        numbers = [float(v) for v in box]
    except (TypeError, ValueError) as error:
        raise BadInput(f"a bbox must be 4 or 6 numbers: west, south, east, north, instead got {box!r}") from error
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    if len(numbers) != 4 or not all(math.isfinite(v) for v in numbers):
        raise BadInput(f"a bbox must be 4 or 6 numbers: west, south, east, north, instead got {box!r}")
    west, south, east, north = numbers
    if not (-90 <= south <= north <= 90 and -180 <= west <= 180 and -180 <= east <= 180):
        raise BadInput(
            f"a bbox must be west, south, east, north in degrees, south <= north, instead got {box!r}; "
            f"west > east is a box across 180 degrees"
        )
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union(shapely.box(west, south, 180, north), shapely.box(-180, south, east, north))
