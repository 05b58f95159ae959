"""What one row of one inventory says, and what could not be used of it.

A row either becomes a `Record` or is refused with a `BadRow`; a record carries `notes` on values that were left out
(an unknown commodity, a negative tonnage, the word "unknown" where a number belongs). Nothing is repaired: a latitude
and a longitude that fit the stated country only when swapped are listed, not swapped.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from shapely.geometry.base import BaseGeometry

from ..commodities import canonical_commodity
from ..errors import BadInput
from ..model import EmissionFactor, ProductionFigure
from .countries import countries, country_code

YEARS = (1800, 2100)
NOTHING = frozenset({"", "unknown", "n/a", "na", "--", "-", "tbd", "nan", "none"})  # words for "not stated"
STATUSES = {
    "active": "operating",
    "inactive": "mothballed",
    "care and maintenance": "mothballed",
    "closed": "retired",
    "project": "proposed",
    "in development": "proposed",
    "exploration": "proposed",
    "advanced exploration": "proposed",
    "under construction": "construction",
}


class BadRow(BadInput):
    """A row that gives no mine; ``kind`` is the short name under which the report counts it."""

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Row:
    """Where a row stands: file, number as a spreadsheet counts (header = 1; features from 1), and the mine's name."""

    file: str
    number: int
    name: str


@dataclass(frozen=True)
class Note:
    """A value of a row that was left out, and why."""

    kind: str
    reason: str


@dataclass(frozen=True)
class Record:
    """A row that is a place where something is dug; a point, or a polygon, in degrees.

    ``group`` names what its source calls one mine: rows of one source and group are joined, rows of one source and
    different groups never. ``exact``: the source has confirmed the place. A production figure of year 0 is one whose
    source states no year.
    """

    row: Row
    source: str
    group: str
    lon: float
    lat: float
    names: tuple[str, ...] = ()  # the first is the source's own; empty for an unnamed polygon
    country: str = ""
    commodities: tuple[str, ...] = ()  # the first is the chief one
    status: str = ""
    operator: str = ""
    mine_type: str = ""  # "surface", "underground", "both"; "" where not known
    exact: bool = False
    radius: float | None = None  # m
    geometry: BaseGeometry | None = field(default=None, repr=False)  # a polygon; None: a point
    figures: tuple[ProductionFigure, ...] = field(default=(), repr=False)
    factors: tuple[EmissionFactor, ...] = field(default=(), repr=False)
    id: str = ""  # given by the source as ours; "": to be made
    notes: tuple[Note, ...] = field(default=(), repr=False)
    made_of: tuple = field(default=(), repr=False)  # of `schema.SourceRow`, where the row is itself a joined mine

    @property
    def name(self) -> str:
        """The source's own name, or ""."""
        return self.names[0] if self.names else ""


def stated(text) -> str:
    """A cell's text, stripped; "" where it is a word for "not stated"."""
    text = "" if text is None else str(text).strip()
    return "" if text.casefold() in NOTHING else text


def number(text) -> float:
    """A cell as a finite number; a typographic minus and thousands commas are read.

    Raises
    ------
    ValueError
        It is a word, empty, or not finite.
    """
    text = str(text).strip().replace("\N{MINUS SIGN}", "-")
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d*)?", text):
        text = text.replace(",", "")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"not finite: {text}")
    return value


def position(latitude, longitude, country: str) -> tuple[float, float]:
    """(lon, lat) in degrees from two cells, checked against the box of the stated country (ISO3, or "").

    Raises
    ------
    BadRow
        Absent, not a number, out of range, swapped, or outside the country.
    """
    if not stated(latitude) or not stated(longitude):
        raise BadRow("no coordinates", "no coordinates; expected a latitude and a longitude in degrees")
    try:
        lat, lon = number(latitude), number(longitude)
    except ValueError:
        raise BadRow(
            "bad coordinates", f"coordinates must be two numbers (degrees), instead got {latitude!r} and {longitude!r}"
        ) from None
    if abs(lat) <= 90.0 and 180.0 < lon <= 360.0:
        lon -= 360.0  # counted eastward all the way round
    box = countries().get(country)
    inside = abs(lat) <= 90.0 and abs(lon) <= 180.0
    if inside and (box is None or box.contains(lon, lat)):
        return lon, lat
    if abs(lon) <= 90.0 and abs(lat) <= 180.0 and (box is None or box.contains(lat, lon)):
        raise BadRow(
            "swapped coordinates",
            f"latitude {lat:g} and longitude {lon:g} lie in {country or 'the valid range'} only when swapped",
        )
    if not inside:
        raise BadRow(
            "bad coordinates",
            f"coordinates must be a latitude in -90..90 and a longitude in -180..180, instead got {lat:g} and {lon:g}",
        )
    raise BadRow(
        "outside its country",
        f"latitude {lat:g}, longitude {lon:g} lies outside {country} "
        f"({box.west:g}..{box.east:g} E, {box.south:g}..{box.north:g} N): the place or the country is wrong",
    )


def known_country(text) -> tuple[str, tuple[Note, ...]]:
    """ISO3 code of a cell, "" with a note where the table doesn't know it."""
    try:
        return (country_code(text) if stated(text) else ""), ()
    except BadInput as error:
        return "", (Note("unknown country", str(error)),)


def known_commodities(words) -> tuple[tuple[str, ...], tuple[Note, ...]]:
    """Our names of cells, chief first, and a note where that is unknown; unknown by-products are passed over."""
    names, notes = [], ()
    for place, word in enumerate(words):
        if not stated(word):
            continue
        try:
            names.append(canonical_commodity(stated(word)))
        except BadInput:
            if place == 0:
                notes = (Note("unknown commodity", f"commodity {stated(word)!r} is none that a mine of ours digs"),)
    # a by-product must not become the chief commodity of a mine whose own is unknown
    return ((), notes) if notes else (tuple(dict.fromkeys(names)), ())


def figure(cell, unit: str, year: int, **facts) -> tuple[tuple[ProductionFigure, ...], tuple[Note, ...]]:
    """The production figure of a cell in ``unit`` ("t", "kt", "Mt"), or a note on why there is none; blank: neither."""
    text = "" if cell is None else str(cell).strip()
    what = f"production of {year}" if year else "production"
    if not text:
        return (), ()
    try:
        tonnes = number(text) * {"t": 1.0, "kt": 1e3, "Mt": 1e6}[unit]
    except ValueError:
        return (), (Note("no figure", f"{what} is {text!r}, not a number of {unit}: taken as missing"),)
    if tonnes < 0.0:
        return (), (Note("negative production", f"{what} must not be negative, instead got {text} {unit}: left out"),)
    if year and not YEARS[0] <= year <= YEARS[1]:
        return (), (Note("bad year", f"year of production must lie in {YEARS[0]}..{YEARS[1]}, instead got {year}"),)
    # 23.4 Mt is 23,400,000 t, not 23,399,999.999999996 t
    return (ProductionFigure(year=year, tonnes=round(tonnes, 3), unit=unit, **facts),), ()


def known_status(text) -> str:
    """Our word for a status; the source's own, lower-case, where we have none."""
    word = stated(text).casefold()
    return STATUSES.get(word, word)
