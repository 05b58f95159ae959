"""Import of inventories: every file read, every row accounted for.

A row ends in one of three ways: *placed* (it is a mine, or the best known row of one), *joined* (it is a mine that
another row places), or *reported* (it gives no mine, and the report says why). The three add up to the file's rows.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import shapely

from ..commodities import canonical_commodity
from ..errors import BadInput
from ..model import Mine
from ..storage import public_url
from . import gem, icmm, jasansky, own, polygons
from .contents import Contents, read_contents
from .countries import country_code
from .entries import entries_of
from .merge import Joined, give_polygons, join
from .record import BadRow, Record, Row
from .schema import DEFAULT_RADIUS, Entry

BUILTIN = Path(__file__).parents[1] / "data" / "mines.geojson"
NOT_PLACED, LEFT_OUT, LOOK = "not placed", "left out", "look"  # what became of what an issue speaks of


@dataclass(frozen=True)
class Family:
    """A kind of inventory: how to know its files, their rows, and what a row says."""

    name: str
    fits: Callable[[Contents], bool]
    rows: Callable[[Contents], Iterator[tuple[Row, Any]]]
    record: Callable[[Row, Any], Record]


def _no_rows(_: Contents) -> Iterator[tuple[Row, Any]]:
    return iter(())


# The first that fits: any GeoPackage with polygons is the last but one.
FAMILIES = (
    Family(gem.IRON, gem.is_iron, gem.iron_rows, gem.iron_record),
    Family(gem.COAL, gem.is_coal, gem.coal_rows, gem.coal_record),
    Family(icmm.SOURCE, icmm.fits, icmm.rows, icmm.record),
    Family(jasansky.SOURCE, jasansky.fits, jasansky.rows, jasansky.record),
    Family("tables of Jasansky et al.", jasansky.is_companion, _no_rows, jasansky.record),
    Family("inventory", own.is_parquet, own.parquet_rows, own.parquet_record),
    Family("GeoJSON", own.is_geojson, own.geojson_rows, own.geojson_record),
    Family(polygons.SOURCE, polygons.fits, polygons.rows, polygons.record),
)


@dataclass(frozen=True)
class Issue:
    """What could not be used, or should be looked at: where it stands, a short kind, the reason, and what became of it.

    ``effect`` is "not placed" (the row gives no mine), "left out" (a value of a row that is used) or "look" (nothing
    is lost).
    """

    row: Row
    kind: str
    reason: str
    effect: str


@dataclass(frozen=True)
class FileReport:
    """A file, what it was taken for, and how its rows ended: ``placed + joined + reported == rows``."""

    file: str
    family: str
    rows: int
    placed: int
    joined: int
    reported: int


@dataclass(frozen=True)
class Imported:
    """The mines of several inventories, each once, and the report."""

    mines: tuple[Entry, ...]
    files: tuple[FileReport, ...]
    issues: tuple[Issue, ...]


def import_inventory(files: Sequence[str], radius: float = DEFAULT_RADIUS) -> Imported:
    """Read inventories, join what is one mine, and account for every row.

    Parameters
    ----------
    files : sequence of str
        Paths or URLs, in any order; each is known by its content. `BUILTIN` may be among them.
    radius : float
        m; of the circle around a mine of which only a point is known.

    Returns
    -------
    Imported
        Mines in order of source and row; files as given; issues by file and row.

    Raises
    ------
    Unavailable
        A file isn't there.
    BadInput
        None of the files is an inventory.
    """
    labels = _labels([str(url) for url in files])
    read = {label: _read(url, label) for label, url in labels.items()}
    if not any(r.family for r in read.values()):
        reasons = "; ".join(i.reason for r in read.values() for i in r.issues)
        raise BadInput(reasons or "expected at least one inventory file, instead got none")
    records = [record for r in read.values() for record in r.records]
    points = [r for r in records if r.source != polygons.SOURCE]
    mines = give_polygons(join(points), [r for r in records if r.source == polygons.SOURCE])
    placed = Counter(mine.records[0].row.file for mine in mines)
    reports = tuple(
        FileReport(label, r.family, r.rows, placed[label], len(r.records) - placed[label], r.rows - len(r.records))
        for label, r in read.items()
    )
    issues = [i for r in read.values() for i in r.issues] + [i for mine in mines for i in _remarks(mine)]
    order = {label: number for number, label in enumerate(labels)}
    issues.sort(key=lambda i: (order[i.row.file], i.row.number))
    return Imported(tuple(entries_of(mines, radius)), reports, tuple(issues))


@dataclass(frozen=True)
class _Read:
    family: str  # "" where the file is no inventory
    rows: int
    records: list[Record]
    issues: list[Issue]


def _labels(urls: Sequence[str]) -> dict[str, str]:
    """URL by what the report calls it: the file's name, or all of it where two are called so; each file once."""
    urls = list(dict.fromkeys(urls))
    names = [url.rstrip("/").rsplit("/", 1)[-1] for url in urls]
    return {(name if names.count(name) == 1 else public_url(url)): url for name, url in zip(names, urls, strict=True)}


def _read(url: str, label: str) -> _Read:
    """The rows of one file; a file that is no inventory gives an issue."""
    try:
        contents = replace(read_contents(url), file=label)
        family = next((f for f in FAMILIES if f.fits(contents)), None)
        if family is None:
            raise BadInput(f"{label} is no inventory known here; expected {', '.join(f.name for f in FAMILIES)}")
        rows = list(family.rows(contents))
    except BadInput as error:
        return _Read("", 0, [], [Issue(Row(label, 0, ""), "unknown file", str(error), NOT_PLACED)])
    records, issues = [], []
    for row, cells in rows:
        try:
            record = family.record(row, cells)
        except BadRow as error:
            issues.append(Issue(row, error.kind, str(error), NOT_PLACED))
            continue
        records.append(record)
        issues += [Issue(row, note.kind, note.reason, LEFT_OUT) for note in record.notes]
    return _Read(family.name, len(rows), records, issues)


def _remarks(mine: Joined) -> Iterator[Issue]:
    """What there is to look at in a joined mine."""
    head = mine.records[0]
    for row in mine.by_place:
        others = ", ".join(dict.fromkeys(r.name for r in mine.records if r.row != row))
        yield Issue(row, "joined by place", f"joined with {others} by distance alone: is it the same mine?", LOOK)
    for note in mine.notes:
        yield Issue(head.row, note.kind, note.reason, LOOK)


@functools.cache
def builtin_entries() -> tuple[Entry, ...]:
    """The built-in inventory: well-known pits, so that nobody starts from nothing."""
    return import_inventory([str(BUILTIN)]).mines


def builtin_mines() -> list[Mine]:
    """The mines of the built-in inventory, their points as circles."""
    return [entry.mine() for entry in builtin_entries()]


def find_mines(
    mines: Sequence[Entry],
    text: str = "",
    bbox: tuple[float, float, float, float] | None = None,
    country: str = "",
    commodity: str = "",
) -> list[Entry]:
    """The mines that fit all that is asked, in their order.

    Parameters
    ----------
    mines : sequence of Entry
        Of an inventory.
    text : str
        Words that must all occur in id, names or operator; case and accents don't matter.
    bbox : (float, float, float, float), optional
        West, south, east, north in degrees (west > east: across 180 degrees) that the geometry must touch.
    country, commodity : str
        By any name that inventories use.

    Raises
    ------
    BadInput
        Unknown country or commodity, or a bbox upside down.
    """
    iso3 = country_code(country) if country else ""
    dug = canonical_commodity(commodity) if commodity else ""
    wanted = _plain(text).split()
    boxes = _boxes(bbox) if bbox else None
    return [
        mine
        for mine in mines
        if (not iso3 or mine.country == iso3)
        and (not dug or mine.commodity == dug)
        and all(word in _plain(" ".join((mine.id, mine.name, *mine.other_names, mine.operator))) for word in wanted)
        and (boxes is None or shapely.intersects(boxes, mine.geometry))
    ]


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.casefold().replace("ł", "l"))
    return "".join(c for c in letters if not unicodedata.combining(c))


def _boxes(bbox: tuple[float, float, float, float]) -> shapely.Geometry:
    west, south, east, north = bbox
    if not (-90.0 <= south <= north <= 90.0 and -180.0 <= west <= 180.0 and -180.0 <= east <= 180.0):
        raise BadInput(
            f"bbox must be W,S,E,N in degrees with S <= N, instead got {west:g},{south:g},{east:g},{north:g}"
        )
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union_all([shapely.box(west, south, 180.0, north), shapely.box(-180.0, south, east, north)])
