"""From joined rows to one entry of the inventory: whose fact counts, and a stable id."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import shapely

from ..model import ProductionFigure
from .merge import Joined
from .names import LIKE, SAME, likeness
from .record import Record, Row
from .schema import DEFAULT_RADIUS, Entry, SourceRow


def entries_of(mines: Sequence[Joined], radius: float = DEFAULT_RADIUS) -> list[Entry]:
    """Entries in the order of the mines, with ids of their own; ``radius`` (m) is that of points without one."""
    return _with_ids([_entry(mine, radius) for mine in mines], mines)


def _entry(mine: Joined, radius: float) -> Entry:
    """Every fact from the best known row that has it; the place from the first exact one; all figures."""
    records = mine.records
    facts: dict[Row, list[str]] = defaultdict(list)

    def first(fact: str, has):
        record = next((r for r in records if has(r)), None)
        if record is not None:
            facts[record.row].append(fact)
        return record

    named = _named(records)
    facts[named.row].append("name")
    country = first("country", lambda r: r.country)
    commodity = first("commodity", lambda r: r.commodities)
    status = first("status", lambda r: r.status)
    operator = first("operator", lambda r: r.operator)
    mine_type = first("mine_type", lambda r: r.mine_type)
    own = commodity.commodities[0] if commodity else ""
    figures = _figures(records, own)
    for record in records:
        facts[record.row] += ["production"] * bool(record.figures) + ["emission factors"] * bool(record.factors)
    geometry, size, exact, placed = _geometry(mine, radius)
    for record in placed:
        facts[record.row].append("place")
    names = dict.fromkeys(name for r in records for name in r.names)
    rows = [*records, *(p for p in mine.polygons if p is not records[0])]
    return Entry(
        id=next((r.id for r in records if r.id), ""),
        name=named.name or f"unnamed mine {named.group.rpartition(' ')[2]}",
        geometry=geometry,
        country=country.country if country else "",
        commodity=own,
        status=status.status if status else "",
        operator=operator.operator if operator else "",
        mine_type=mine_type.mine_type if mine_type else "",
        other_names=tuple(name for name in names if name != named.name),
        radius=size,
        place="exact" if exact else "approximate",
        figures=tuple(f for f in figures if f.year),
        undated=tuple(f for f in figures if not f.year),
        factors=tuple(dict.fromkeys(f for r in records for f in r.factors)),
        sources=tuple(row for r in rows for row in _source_rows(r, facts[r.row])),
    )


def _named(records: Sequence[Record]) -> Record:
    """The row whose name is taken: ours; else the shortest that is another form of the best known row's."""
    head = records[0]
    if head.id or not head.names:
        return head
    alike = [r for r in records if r.names and likeness(r.name, head.name) in (SAME, LIKE)] or [head]
    return min(alike, key=lambda r: len(r.name))


def _geometry(mine: Joined, radius: float):
    """Geometry, radius of a point, whether the place is exact, and the rows it comes from."""
    records = mine.records
    drawn = [r for r in records if r.geometry is not None][:1] or list(mine.polygons)
    if drawn:
        return shapely.normalize(shapely.union_all([r.geometry for r in drawn])), None, drawn[0].exact, drawn
    at = mine.placed
    size = next((r.radius for r in records if r.radius), radius)
    return shapely.Point(at.lon, at.lat), size, at.exact, [at]


def _figures(records: Sequence[Record], own: str) -> list[ProductionFigure]:
    """All figures, equal ones once, by year; ``commodity`` is empty where it is the mine's own."""
    found = {}
    for record in records:
        chief = record.commodities[0] if record.commodities else own
        for figure in record.figures:
            counted = figure.commodity or chief
            figure = replace(figure, commodity="" if counted == own else counted)
            found.setdefault((figure.year, figure.definition, figure.commodity, figure.source, figure.tonnes), figure)
    return [found[key] for key in sorted(found)]


def _source_rows(record: Record, facts: list[str]) -> tuple[SourceRow, ...]:
    if record.made_of:
        return record.made_of
    return (SourceRow(record.source, record.group, record.row.file, record.row.number, tuple(sorted(facts))),)


def _with_ids(entries: list[Entry], mines: Sequence[Joined]) -> list[Entry]:
    """Ids where none is given: name and country, and the place (hundredths of a degree) where several are called so.

    So an id stays as it is while other mines come and go, unless one of the same name comes.
    """
    made = [entry.id or _slug(f"{entry.name} {entry.country}") for entry in entries]
    counts = Counter(made)
    # a given id is kept by the first that has it
    kept = {identity: number for number, identity in reversed(list(enumerate(made))) if entries[number].id}
    out, used = [], set()
    for number, (entry, identity) in enumerate(zip(entries, made, strict=True)):
        if counts[identity] > 1 and kept.get(identity) != number:
            identity = f"{identity}-{_place(mines[number].records[0])}"
        free = identity
        copy = 2
        while free in used or (free in kept and kept[free] != number):
            free, copy = f"{identity}-{copy}", copy + 1
        used.add(free)
        out.append(replace(entry, id=free))
    return out


def _slug(text: str) -> str:
    # letters that no accent makes
    text = text.casefold().translate(
        str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "’": "", "'": ""})
    )
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "mine"


def _place(record: Record) -> str:
    lat, lon = round(record.lat * 100), round(record.lon * 100)
    return f"{'s' if lat < 0 else 'n'}{abs(lat):04d}{'w' if lon < 0 else 'e'}{abs(lon):05d}"
