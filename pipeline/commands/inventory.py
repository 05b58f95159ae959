"""``pitpulse inventory``: import what others list, look at what is there."""

from __future__ import annotations

import csv
import difflib
import io
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import AlreadyExists, BadInput
from ..inventory import (
    BUILTIN,
    DEFAULT_RADIUS,
    Entry,
    Imported,
    builtin_entries,
    find_mines,
    import_inventory,
    read_entries,
    write_inventory,
)
from ..inventory.schema import area
from ..storage import open_store


@dataclass(frozen=True)
class ImportRequest:
    """What to import: ``report`` is where all issues go as CSV ("": nowhere); ``builtin``: our own mines first."""

    files: tuple[str, ...]
    out: str
    report: str = ""
    radius: float = DEFAULT_RADIUS  # m, around points
    builtin: bool = True
    overwrite: bool = False


@dataclass(frozen=True)
class ListRequest:
    """Which mines to list, of an inventory or ("") of the built-in one."""

    inventory: str = ""
    text: str = ""
    bbox: tuple[float, float, float, float] | None = None
    country: str = ""
    commodity: str = ""
    limit: int = 50


def import_files(request: ImportRequest, say: Callable[[str], None]) -> int:
    """Import inventories into one file; says how every file's rows ended, and where to read why.

    Returns 1 where a whole file could not be read as an inventory; what the others hold is written all the same.

    Raises
    ------
    AlreadyExists
        Something is at ``out`` or ``report`` and ``overwrite`` is false.
    """
    started = time.perf_counter()
    for url in filter(None, (request.out, request.report)):
        if not request.overwrite and open_store(url).exists():
            raise AlreadyExists(f"{url} exists already; choose another, or --overwrite to replace it")
    files = [str(BUILTIN), *request.files] if request.builtin else list(request.files)
    imported = import_inventory(files, request.radius)
    write_inventory(imported.mines, request.out)
    if request.report:
        open_store(request.report).write_bytes("", report_csv(imported).encode())
    for line in summary(imported):
        say(line)
    say(f"written    {request.out}: {len(imported.mines)} mines, {time.perf_counter() - started:.1f} s")
    if request.report:
        say(f"           {request.report}: {len(imported.issues)} issues, each with its row and reason")
    elif imported.issues:
        say("           --report FILE.csv lists each issue with its row and reason")
    return 0 if all(f.family for f in imported.files) else 1


def summary(imported: Imported) -> list[str]:
    """The report in lines: per file, then per kind of issue with an example."""
    lines = [f"{'rows':>6} {'placed':>6} {'joined':>6} {'refused':>7}  file"]
    for f in imported.files:
        kind = f"({f.family})" if f.family else "(no inventory known here)"
        lines.append(f"{f.rows:6d} {f.placed:6d} {f.joined:6d} {f.reported:7d}  {f.file} {kind}")
    counts = Counter((i.effect, i.kind) for i in imported.issues)
    first = {(i.effect, i.kind): i for i in reversed(imported.issues)}
    for (effect, kind), count in sorted(counts.items(), key=lambda c: (c[0][0] != "not placed", -c[1])):
        issue = first[effect, kind]
        where = f"{issue.row.file}, row {issue.row.number}" if issue.row.number else issue.row.file
        lines.append(f"{count:6d} {effect}: {kind}; such as {where} {issue.row.name}: {issue.reason}")
    return lines


def report_csv(imported: Imported) -> str:
    """Every issue as a row: file, row, name, kind, effect, reason."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("file", "row", "name", "kind", "effect", "reason"))
    for i in imported.issues:
        writer.writerow((i.row.file, i.row.number, i.row.name, i.kind, i.effect, i.reason))
    return out.getvalue()


def list_mines(request: ListRequest, say: Callable[[str], None]) -> int:
    """One line for every mine that fits; 1 where none does."""
    mines = find_mines(_entries(request.inventory), request.text, request.bbox, request.country, request.commodity)
    if not mines:
        say("no mine fits")
        return 1
    width = min(max(len(m.id) for m in mines[: request.limit]), 48)
    for mine in mines[: request.limit]:
        lon, lat = mine.point
        years = sorted({f.year for f in mine.figures})
        reported = f"{years[0]}-{years[-1]}" if years else ""
        say(
            f"{mine.id:{width}}  {mine.country or '?':3}  {mine.commodity or '?':18}  {mine.status or '?':11}  "
            f"{lat:8.4f} {lon:9.4f}  {reported:9}  {mine.name}"
        )
    if len(mines) > request.limit:
        say(f"and {len(mines) - request.limit} more; --limit {len(mines)} shows them")
    return 0


def show(identity: str, inventory: str, say: Callable[[str], None]) -> int:
    """All that an inventory ("": the built-in one) knows of a mine, and where each fact comes from.

    Raises
    ------
    BadInput
        No mine has this id; the message names some that are close.
    """
    entries = _entries(inventory)
    mine = next((m for m in entries if m.id == identity), None)
    if mine is None:
        close = [m.id for m in find_mines(entries, identity.replace("-", " "))][:8]
        close = close or difflib.get_close_matches(identity, [m.id for m in entries], n=4)
        hint = f"close are {', '.join(close)}" if close else "`pitpulse inventory list` shows them"
        raise BadInput(f"{inventory or 'the built-in inventory'} has no mine {identity!r}; {hint}")
    for line in describe(mine):
        say(line)
    return 0


def describe(mine: Entry) -> list[str]:
    """An entry in lines."""
    lon, lat = mine.point
    size = f"circle of {mine.radius:g} m" if mine.radius else mine.geometry.geom_type.lower()
    facts = {
        "id": mine.id,
        "name": mine.name,
        "also": "; ".join(mine.other_names),
        "country": mine.country,
        "commodity": mine.commodity,
        "status": mine.status,
        "operator": mine.operator,
        "mining": mine.mine_type,
        "place": f"{lat:.4f}, {lon:.4f} ({mine.place}), {size}, {area(mine.polygon()) / 1e6:.2f} km²",
    }
    lines = [f"{name:10} {text}" for name, text in facts.items() if text]
    for f in (*mine.figures, *mine.undated):
        what = f.commodity or mine.commodity
        lines.append(f"{f.year or 'no year':<10} {f.tonnes / 1e6:10.4g} Mt {f.definition}, {what}; {f.source}")
    for e in mine.factors:
        lines.append(f"{e.year or 'any year':<10} {e.value:10g} t CO2 per t of ore ({e.level}); {e.source}")
    for s in mine.sources:
        took = f": {', '.join(s.facts)}" if s.facts else ""
        lines.append(f"{'from':10} {s.source}, {s.key} ({s.file}, row {s.row}){took}")
    return lines


def _entries(inventory: str) -> Sequence[Entry]:
    return read_entries(inventory) if inventory else builtin_entries()
