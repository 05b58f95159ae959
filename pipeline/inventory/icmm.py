"""ICMM Global Mining Dataset (workbook): mines, smelters and refineries of the world, without production.

Rows whose asset type names no mine are listed as such. Only the confidence "High" counts as an exact place.
"""

from __future__ import annotations

from collections.abc import Iterator

from .contents import Contents
from .record import BadRow, Record, Row, known_commodities, known_country, position, stated

SOURCE = "ICMM Global Mining Dataset"
_COLUMNS = ("ICMMID", "Mine Name", "Latitude", "Longitude", "Asset Type", "Country", "Primary Commodity")


def fits(contents: Contents) -> bool:
    """True for the workbook (or a CSV of its sheet)."""
    return contents.table(*_COLUMNS) is not None


def rows(contents: Contents) -> Iterator[tuple[Row, dict]]:
    """Every facility."""
    for number, cells in enumerate(contents.table(*_COLUMNS).dicts(), start=2):
        yield Row(contents.file, number, cells["Mine Name"].strip()), cells


def record(row: Row, cells: dict) -> Record:
    """One facility that is a mine."""
    if "Mine" not in cells["Asset Type"]:
        raise BadRow("not a mine", f"asset type is {cells['Asset Type']!r}: no mine")
    if not stated(row.name):
        raise BadRow("no name", "no name; expected one")
    country, unknown = known_country(cells["Country"])
    lon, lat = position(cells["Latitude"], cells["Longitude"], country)
    by_products = ";".join(cells.get(c, "") for c in ("Secondary Commodity", "Other Commodities"))
    commodities, why = known_commodities([cells["Primary Commodity"], *by_products.split(";")])
    names = [row.name, *(stated(name) for name in cells.get("Group Names", "").split(";"))]
    return Record(
        row,
        SOURCE,
        cells["ICMMID"].strip() or row.name,
        lon,
        lat,
        names=tuple(dict.fromkeys(filter(None, map(_mended, names)))),
        country=country,
        commodities=commodities,
        exact=cells.get("Confidence Factor", "").strip() == "High",
        notes=unknown + why,
    )


def _mended(name: str) -> str:
    """A name whose UTF-8 was once read as Windows-1252 ("ZofiÃ³wka"), as it was; any other as it is."""
    try:
        return b"".join(map(_byte, name)).decode("utf-8")
    except UnicodeError:
        return name


def _byte(letter: str) -> bytes:
    try:
        return letter.encode("cp1252")
    except UnicodeEncodeError:
        return letter.encode("latin-1")  # five bytes have no letter there and are passed as they are
