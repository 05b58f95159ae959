"""Countries as inventories name them: ISO codes, and boxes that tell a swapped latitude from a right one."""

from __future__ import annotations

import csv
import functools
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput

TABLE = Path(__file__).parents[1] / "data" / "countries.csv"
MARGIN = 0.5  # degrees around a box: the boxes are whole degrees, and coordinates of a coast are coarse


@dataclass(frozen=True)
class Country:
    """ISO 3166-1 alpha-3 code, names, and a box in degrees; ``west > east`` where it lies right across 180 degrees."""

    iso3: str
    west: float
    south: float
    east: float
    north: float
    names: tuple[str, ...]

    def contains(self, lon: float, lat: float) -> bool:
        """True where a point (degrees) is in the box or at most `MARGIN` outside."""
        width = (self.east - self.west) % 360.0
        return (
            self.south - MARGIN <= lat <= self.north + MARGIN
            and (lon - self.west + MARGIN) % 360.0 <= width + 2 * MARGIN
        )


@functools.cache
def countries() -> dict[str, Country]:
    """Every country of our table by its ISO3 code."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    table = {}
    for row in csv.reader(lines[1:]):
        iso3, *box = row[:5]
        # a name may hold a comma ("Congo, Democratic Republic of the")
        table[iso3] = Country(iso3, *map(float, box), tuple(",".join(row[5:]).split("|")))
    return table


@functools.cache
def _codes() -> dict[str, str]:
    return {_key(name): c.iso3 for c in countries().values() for name in (c.iso3, *c.names)}


def _key(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.casefold().replace("’", "'"))
    return " ".join("".join(c for c in letters if not unicodedata.combining(c)).split())


def country_code(text: str) -> str:
    """ISO3 code of a country by name or code; case and accents don't matter.

    Raises
    ------
    BadInput
        The table (``pipeline/data/countries.csv``) doesn't have it.
    """
    code = _codes().get(_key(text))
    if code is None:
        raise BadInput(f"country must be an ISO3 code or a country's English name, instead got {text!r}")
    return code
