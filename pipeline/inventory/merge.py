"""Which rows of several inventories are one mine, and which polygon is whose.

Rows of one source are one mine where the source says so (its id), and never otherwise. Rows of different sources are
one mine where country and commodity go together and

- their names have the same words, within 20 km (a source's first name; within 5 km for its other names),
- one name's words are among the other's, or it is spelled differently, within 5 km (1 km for other names),
- they lie within 300 m, whatever their names: one pit, as far as radar can tell. Names that differ in a number or a
  side ("No. 2", "North") keep them apart.

Best pairs first (first names, then other names, then place; the nearer first), and a mine takes at most one group of
each source. Why these limits: sources disagree by kilometres on where a pit 14 km long lies (Sishen: 5 km), and of the
pairs with the same words 97 % are less than 10 km apart; those at 10-20 km, looked at one by one, were the same mine
where the first names agreed. With one source's points moved by a degree the rule joins at most 2 of 4,745, so names
seldom meet by chance. ICMM's other names are those of neighbours that it merged, and mislead beyond a few kilometres.

A polygon goes to the mine whose point it contains, or else to the nearest within 1 km; of several inside it the best
known takes it (exact place, most figures, nearest to its middle), and the others, which radar can't tell from it, keep
their circle and are listed. A mine takes all its polygons, unless it came with one of its own. A polygon without a mine
becomes one without a name.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.spatial import cKDTree

from . import gem, icmm, jasansky
from .names import APART, LIKE, OTHER, SAME, likeness
from .record import Note, Record, Row

RADIUS = 6_371_000.0  # m; half a per cent of a distance doesn't matter here
FAR, NEAR, CLOSE, HERE = 20_000.0, 5_000.0, 1_000.0, 300.0  # m
BESIDE = 1_000.0  # m from a point to its polygon; of 100 polygons moved by 0.3 degrees 1 finds a mine, 3 within 2 km
FIRST_NAMES, ALIKE, OTHER_NAMES, PLACE = 3, 2, 1, 0  # by what two rows are one mine, the best first

# Whose facts come first. The trackers are checked one by one; ICMM and Jasansky et al. are compiled.
_ORDER = (gem.IRON, gem.COAL, icmm.SOURCE, jasansky.SOURCE)
_STATUSES = ("operating", "construction", "mothballed", "proposed")


@dataclass(frozen=True)
class Joined:
    """One mine: its rows, the best known first, its polygons, and what there is to say of the joining."""

    records: tuple[Record, ...]
    polygons: tuple[Record, ...] = ()
    by_place: tuple[Row, ...] = ()  # rows joined by distance alone: worth a look
    notes: tuple[Note, ...] = ()

    @property
    def placed(self) -> Record:
        """The row whose place counts: the first exact one."""
        return next((r for r in self.records if r.exact), self.records[0])


def rank(record: Record) -> tuple:
    """Sort key of the rows of one mine: ours, then by source, working before planned, in the order of their file."""
    source = _ORDER.index(record.source) + 1 if record.source in _ORDER else 0
    status = _STATUSES.index(record.status) if record.status in _STATUSES else len(_STATUSES)
    return source, status, record.row.file, record.row.number


def join(records: list[Record]) -> list[Joined]:
    """Point rows as mines, in the order of their best rows."""
    groups = defaultdict(list)
    for record in records:
        groups[record.source, record.group].append(record)
    members = [sorted(group, key=rank) for _, group in sorted(groups.items())]
    heads = [group[0] for group in members]
    cluster = list(range(len(heads)))  # of every group: the number of its cluster
    inside = [{number} for number in cluster]  # of every cluster: its groups
    sources = [{head.source} for head in heads]
    alone = set()
    for level, _, i, j in sorted(_candidates(heads), key=lambda c: (-c[0], *c[1:])):
        a, b = sorted((cluster[i], cluster[j]))
        if a == b or sources[a] & sources[b]:
            continue
        if level == PLACE:
            alone.add(max(heads[i], heads[j], key=rank).row)
        inside[a] |= inside[b]
        sources[a] |= sources[b]
        for number in inside[b]:
            cluster[number] = a
        inside[b] = set()
    made = []
    for groups_of in filter(None, inside):
        rows = sorted((r for number in groups_of for r in members[number]), key=rank)
        made.append(Joined(tuple(rows), by_place=tuple(r.row for r in rows if r.row in alone)))
    return sorted(made, key=lambda j: rank(j.records[0]))


def _candidates(heads: list[Record]):
    """(by what, distance in m, i, j) of all pairs that the rule allows."""
    if len(heads) < 2:
        return
    xyz = _earth_fixed([h.lon for h in heads], [h.lat for h in heads])
    pairs = cKDTree(xyz).query_pairs(FAR, output_type="ndarray")
    distance = np.linalg.norm(xyz[pairs[:, 0]] - xyz[pairs[:, 1]], axis=1)
    source = np.unique([h.source for h in heads], return_inverse=True)[1]
    different = source[pairs[:, 0]] != source[pairs[:, 1]]
    for (i, j), d in zip(pairs[different].tolist(), distance[different].tolist(), strict=True):
        a, b = heads[i], heads[j]
        if not _compatible(a, b):
            continue
        level = allowed(a.names, b.names, d)
        if level is not None:
            yield level, d, i, j


def allowed(first: tuple[str, ...], second: tuple[str, ...], distance: float) -> int | None:
    """By what two mines with these names at a ``distance`` (m) are one, or None where they are two.

    Returns
    -------
    int or None
        `FIRST_NAMES` have the same words; the first names are `ALIKE`; `OTHER_NAMES` match; `PLACE` alone.
    """
    chief = likeness(first[0], second[0]) if first and second else OTHER
    if chief == SAME:
        return FIRST_NAMES
    if distance > NEAR:
        return None
    if chief == LIKE:
        return ALIKE
    others = {likeness(a, b) for a in first for b in second}
    if SAME in others or (LIKE in others and distance <= CLOSE):
        return OTHER_NAMES
    return PLACE if distance <= HERE and APART not in others else None


def _compatible(a: Record, b: Record) -> bool:
    if a.country and b.country and a.country != b.country:
        return False
    return not a.commodities or not b.commodities or not set(a.commodities).isdisjoint(b.commodities)


def _earth_fixed(lon, lat) -> np.ndarray:
    """(point, 3), m, on a sphere, of degrees."""
    lon, lat = np.radians(lon), np.radians(lat)
    return RADIUS * np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def give_polygons(mines: list[Joined], polygons: list[Record]) -> list[Joined]:
    """The mines with their polygons, and after them the polygons without a mine."""
    taken, notes, left = defaultdict(list), defaultdict(list), []
    tree = shapely.STRtree([shapely.Point(m.placed.lon, m.placed.lat) for m in mines])
    for polygon in polygons:
        found = [(d, n) for d, n in _beside(polygon, mines, tree) if _fits(polygon, mines[n].records[0])]
        if not found:
            left.append(Joined((polygon,), (polygon,)))
            continue
        inside = [n for d, n in found if d == 0.0]
        best = min(inside, key=lambda n: _claim(mines[n], polygon)) if inside else min(found)[1]
        taken[best].append(polygon)
        for number in inside:
            if number != best:
                text = f"lies in the polygon of {mines[best].records[0].name} ({polygon.row.file}, {polygon.group})"
                notes[number].append(Note("shared polygon", f"{text}: keeps its circle"))
    out = [
        Joined(m.records, tuple(taken[n]), m.by_place, tuple(notes[n])) if n in taken or n in notes else m
        for n, m in enumerate(mines)
    ]
    return out + left


def _claim(mine: Joined, polygon: Record) -> tuple:
    """Sort key of the mines inside one polygon."""
    head = mine.placed
    middle = polygon.geometry.centroid
    away = np.hypot((head.lon - middle.x) * np.cos(np.radians(middle.y)), head.lat - middle.y)
    return not any(r.exact for r in mine.records), -sum(len(r.figures) for r in mine.records), away


def _fits(polygon: Record, head: Record) -> bool:
    return not polygon.country or not head.country or polygon.country == head.country


def _beside(polygon: Record, mines: list[Joined], tree: shapely.STRtree) -> list[tuple[float, int]]:
    """(distance in m, number) of the mines in a polygon or at most `BESIDE` from it."""
    west, south, east, north = polygon.geometry.bounds
    scale = np.cos(np.radians(np.clip((south + north) / 2, -89.0, 89.0)))
    metre = np.degrees(1.0 / RADIUS)
    box = shapely.box(
        west - BESIDE * metre / scale, south - BESIDE * metre, east + BESIDE * metre / scale, north + BESIDE * metre
    )
    numbers = tree.query(box)
    if not numbers.size:
        return []
    flat = shapely.transform(polygon.geometry, lambda xy: xy * (scale / metre, 1.0 / metre))
    heads = [mines[n].placed for n in numbers]
    points = shapely.points([(h.lon * scale / metre, h.lat / metre) for h in heads])
    distance = shapely.distance(points, flat)
    return [(float(d), int(n)) for d, n in zip(distance, numbers, strict=True) if d <= BESIDE]
