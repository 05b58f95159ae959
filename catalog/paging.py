"""Order of items, and the tokens that say where the next page starts.

A token holds the sorting values and the id of the last item, not a number of rows: nothing is lost or repeated where
items come or go between two pages.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import BadInput

from .cql import askable, resolve
from .snapshot import Index

Sorting = list[tuple[str, str]]  # columns, and "ascending" or "descending"


def sorting_of(sort: str | Iterable | None, index: Index) -> Sorting:
    """Columns and directions of ``-year,active_area`` or STAC's ``[{"field": ..., "direction": "desc"}]``.

    Empty for the order of the file, which is that of the ids.

    Raises
    ------
    BadInput
        An unknown property, or one without an order.
    """
    if sort is None:
        return []
    sorting = []
    for entry in sort.split(",") if isinstance(sort, str) else sort:
        if isinstance(entry, Mapping):
            name, down = entry.get("field"), entry.get("direction", "asc") == "desc"
        else:
            name, down = str(entry).strip().lstrip("+-"), str(entry).strip().startswith("-")
        if not isinstance(name, str) or not name:
            raise BadInput(f"sort must name properties such as '-active_area', instead got {entry!r}")
        column = resolve(name, askable(index.schema))
        if pa.types.is_list(index.schema.field(column).type) or column == "geometry":
            raise BadInput(f"can't sort by {name!r}; sort by a number, a text or a time")
        sorting.append((column, "descending" if down else "ascending"))
    return [] if sorting == [("id", "ascending")] else sorting


def token_of(sorting: Sorting, keys: pa.Table) -> str:
    """The token after the item whose sorting columns and id are the one row of ``keys``."""
    values = [keys[name][0].as_py() for name, _ in sorting] + [keys["id"][0].as_py()]
    said = {"by": [f"{name} {direction}" for name, direction in sorting], "after": values}
    text = json.dumps(said, default=lambda moment: moment.isoformat(), separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_token(token: str | None, sorting: Sorting) -> list | None:
    """Sorting values and id that a token holds.

    Raises
    ------
    BadInput
        It is none of ours, or belongs to another order.
    """
    if token is None:
        return None
    try:
        said = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        by, after = said["by"], said["after"]
        if not isinstance(after[-1], str) or len(after) != len(by) + 1:
            raise ValueError("wrong length")
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BadInput(
            f"a page token must be one that a page gave, instead got {token[:40]!r}; start at the first page"
        ) from error
    if by != [f"{name} {direction}" for name, direction in sorting]:
        raise BadInput(f"the page token belongs to the order {by or ['id ascending']}; ask for it with the same sort")
    return after


def comes_after(keys: pa.Table, sorting: Sorting, after: list) -> np.ndarray:
    """Rows beyond the token's, key by key; null is the greatest in both directions."""
    result, same = pa.scalar(False), pa.scalar(True)
    for (name, direction), value in zip([*sorting, ("id", "ascending")], after, strict=True):
        column = keys[name]
        if value is None:
            beyond, equal = pa.scalar(False), pc.is_null(column)
        else:
            scalar = pa.scalar(value).cast(column.type)
            compare = pc.greater if direction == "ascending" else pc.less
            beyond = pc.fill_null(compare(column, scalar), True)
            equal = pc.fill_null(pc.equal(column, scalar), False)
        result = pc.or_(result, pc.and_(same, beyond))
        same = pc.and_(same, equal)
    return result.to_numpy(zero_copy_only=False)
