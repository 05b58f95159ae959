"""Global Energy Monitor: the iron ore tracker (map CSV and workbook) and the coal mine map (CSV).

Iron ore production is in thousand tonnes a year ("ttpa") and counts what leaves the mine: for Sishen it equals the
saleable product that its owner reports, so it is taken as `product`. Coal is in million tonnes, and the map states no
year for it. Both name owners, which stand in for the operator. Rows of one coal mine id (a mine and its extensions)
are one mine; the iron tracker's two forms share the address of the mine's page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .contents import Contents
from .record import BadRow, Note, Record, Row, figure, known_country, known_status, position, stated

IRON = "Global Energy Monitor, iron ore"
COAL = "Global Energy Monitor, coal"
_WORKBOOK = {  # the workbook's columns by the map's
    "GEM wiki page URL": "url",
    "Asset name (English)": "name-(english)",
    "Asset name (other language)": "name-(other-language)",
    "Country/Area": "country/area",
    "Operating status": "status",
    "Owner": "owner",
    "Coordinates": "coordinates",
    "Coordinate accuracy": "coordinate-accuracy",
    "Production 2023 (ttpa)": "production-2023-(ttpa)",
    "Production 2022 (ttpa)": "production-2022-(ttpa)",
}
_PRODUCTION = re.compile(r"production-(\d{4})-\(ttpa\)", re.IGNORECASE)
_TYPES = {"underground_and_surface": "both"}


def is_iron(contents: Contents) -> bool:
    """True for the iron ore tracker, as CSV or workbook."""
    return _iron_table(contents) is not None


def iron_rows(contents: Contents) -> Iterator[tuple[Row, dict]]:
    """Every asset of the iron ore tracker."""
    for number, cells in enumerate(_iron_table(contents).dicts(), start=2):
        cells = {_map_column(column): cell for column, cell in cells.items()}
        yield Row(contents.file, number, cells["name-(english)"]), cells


def iron_record(row: Row, cells: dict) -> Record:
    """One asset of the iron ore tracker."""
    country, notes = known_country(cells["country/area"])
    latitude, _, longitude = cells["coordinates"].partition(",")
    lon, lat = position(latitude, longitude, country)
    figures = ()
    for column, cell in cells.items():
        if (match := _PRODUCTION.fullmatch(column)) and cell.strip() not in ("", "N/A"):
            made, why = figure(cell, "kt", int(match[1]), definition="product", source=IRON)
            figures, notes = figures + made, notes + why
    others = re.sub(r"\([^)]*\)", "", stated(cells["name-(other-language)"]))  # the language in brackets
    return Record(
        row,
        IRON,
        cells["url"].strip() or row.name,
        lon,
        lat,
        names=_names(row.name, *others.split(",")),
        country=country,
        commodities=("iron ore",),
        status=known_status(cells["status"]),
        operator=_owner(cells["owner"]),
        exact=cells["coordinate-accuracy"].strip() == "exact",
        figures=figures,
        notes=notes,
    )


def _iron_table(contents: Contents):
    return contents.table("name-(english)", "coordinates", "country/area", "url") or contents.table(
        "Asset name (English)", "Coordinates", "Country/Area", "GEM wiki page URL"
    )


def _map_column(column: str) -> str:
    # the years of production move on with the editions
    match = re.fullmatch(r"Production (\d{4}) \(ttpa\)", column)
    return f"production-{match[1]}-(ttpa)" if match else _WORKBOOK.get(column, column)


def is_coal(contents: Contents) -> bool:
    """True for the coal mine map."""
    return contents.table("project", "coal_type", "mine_type", "lat", "lng") is not None


def coal_rows(contents: Contents) -> Iterator[tuple[Row, dict]]:
    """Every row of the coal mine map."""
    table = contents.table("project", "coal_type", "mine_type", "lat", "lng")
    for number, cells in enumerate(table.dicts(), start=2):
        yield Row(contents.file, number, cells["project"]), cells


def coal_record(row: Row, cells: dict) -> Record:
    """One row of the coal mine map; its production comes without a year (0)."""
    country, notes = known_country(cells["country"])
    lon, lat = position(cells["lat"], cells["lng"], country)
    figures, why = figure(cells["production"], "Mt", 0, definition="product", source=COAL)
    if figures:
        why += (Note("no year", f"production of {cells['production']} Mt comes without a year: kept as undated"),)
    kind = stated(cells["mine_type"])
    return Record(
        row,
        COAL,
        cells["id"].strip() or row.name,
        lon,
        lat,
        names=_names(row.name),
        country=country,
        commodities=("coal",),
        status=known_status(cells["status"]),
        operator=_owner(cells["owner"]),
        mine_type=_TYPES.get(kind, kind),
        exact=True,
        figures=figures,
        notes=notes + why,
    )


def _names(*texts: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(n for text in texts if (n := stated(text))))
    if not names:
        raise BadRow("no name", "no name; expected one")
    return names


def _owner(text: str) -> str:
    """Owners without their shares: "A [60%]; B [40%]" → "A; B"."""
    return stated(re.sub(r"\s*\[[^\]]*\]", "", text))
