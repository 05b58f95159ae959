"""What is published: STAC catalog, items and their assets; and how to find and open them.

import catalog

catalog.search("products", mine="musan")                         # items, from the index alone
catalog.search_table("products", country="ZAF", years=2022)      # a table
catalog.growth(2022, "products", commodity="iron ore")           # which mines grew, with intervals
catalog.open("musan-2022", root="products")                      # a year as xarray.Dataset, lazily
catalog.open_mine("musan", root="products")                      # all years
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .access import open, open_mine
    from .index import update_index
    from .query import count, growth, search, search_table
    from .snapshot import open_index

__all__ = ["count", "growth", "open", "open_index", "open_mine", "search", "search_table", "update_index"]
_HOME = {
    "open": "access",
    "open_mine": "access",
    "update_index": "index",
    "open_index": "snapshot",
    "count": "query",
    "growth": "query",
    "search": "query",
    "search_table": "query",
}


def __getattr__(name: str):
    """Names are found in their modules when they are first used: `import catalog` alone loads nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
