"""Mine inventories: read what others list, join what is one mine, keep where every fact comes from."""

from .load import (
    BUILTIN,
    FileReport,
    Imported,
    Issue,
    builtin_entries,
    builtin_mines,
    find_mines,
    import_inventory,
)
from .schema import DEFAULT_RADIUS, Entry, SourceRow, read_entries, read_inventory, write_inventory

__all__ = [
    "BUILTIN",
    "DEFAULT_RADIUS",
    "Entry",
    "FileReport",
    "Imported",
    "Issue",
    "SourceRow",
    "builtin_entries",
    "builtin_mines",
    "find_mines",
    "import_inventory",
    "read_entries",
    "read_inventory",
    "write_inventory",
]
