"""``pitpulse emissions``: published mine-years and an inventory in, tables of production and emissions out."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..activity.emissions import Ladder
from ..activity.production import MINIMUM_MINES
from ..assess import Assessment, assess
from ..climate_trace import tables
from ..errors import BadInput
from ..evidence import Conversion, Options, TableRow
from ..model import Mine
from ..storage import open_store

SHOWN = 20  # mine-years that the summary prints; the tables have all


@dataclass(frozen=True)
class EmissionsRequest:
    """What to write and how.

    ``created`` and ``modified`` are ISO dates for the tables. ``table`` (CSV or parquet: mine_id, commodity, year,
    active_area in m2, ore in t, source) is what regressions are fitted on instead of the catalog's own mines;
    ``conversions`` (commodity, product, ore_per_tonne, source) serve where no mine tells how much ore a product takes.
    ``ladder`` is the name of a confidence ladder or the URL of one as JSON (name, activity, factor, source).
    """

    out: str
    created: str
    modified: str = ""
    table: str | None = None
    conversions: str | None = None
    ladder: str = "ct2023"
    minimum_mines: int = MINIMUM_MINES
    monthly: bool = False


def emissions(
    request: EmissionsRequest, rows: Iterable[Mapping], mines: Iterable[Mine], say: Callable[[str], None]
) -> list[Assessment]:
    """Assess, write every table as CSV and parquet under ``out``, and say what came of it.

    Parameters
    ----------
    request : EmissionsRequest
    rows : iterable of mapping
        Properties of the catalog's items, as `assess.assess` takes them.
    mines : iterable of Mine
        The inventory.
    say : callable
        Gets one line at a time.

    Returns
    -------
    list of Assessment

    Raises
    ------
    BadInput
        If there are no rows, or a table, a ladder or a date can't be used.
    """
    rows = list(rows)
    if not rows:
        raise BadInput("the catalog has no mine-year to assess; publish one first (pitpulse run)")
    options = Options(
        table=None if request.table is None else _table(request.table),
        conversions=() if request.conversions is None else _conversions(request.conversions),
        ladder=_ladder(request.ladder),
        minimum_mines=request.minimum_mines,
    )
    found = assess(rows, mines, options)
    written = tables(found, request.created, request.modified, request.monthly)
    root = open_store(request.out)
    for name, table in written.items():
        root.write_bytes(f"{name}.csv", table.csv())
        root.write_bytes(f"{name}.parquet", table.parquet())
    for line in summary(found):
        say(line)
    say(f"tables {request.out.rstrip('/')}/ ({', '.join(written)}; CSV and parquet)")
    return found


def summary(found: Sequence[Assessment]) -> list[str]:
    """What a person wants to know at the end: the largest emitters, then what could not be assessed and why."""
    shown = sorted((a for a in found if a.production), key=lambda a: (-a.production.tonnes, a.mine_id, a.year))
    lines = []
    for a in shown[:SHOWN]:
        p, e = a.production, a.emission
        text = f"{a.mine_id} {a.year}: {_mt(p.tonnes)} Mt (95 %: {_mt(p.low)}-{_mt(p.high)}; {p.basis}"
        text += "".join(f", {flag}" for flag in p.flags) + ")"
        if e:
            text += f"; {e.tonnes / 1e3:.4g} kt CO2 ({e.low / 1e3:.3g}-{e.high / 1e3:.3g}; {e.confidence} confidence)"
        lines.append(text)
    if len(shown) > SHOWN:
        lines.append(f"… and {len(shown) - SHOWN} more")
    without = Counter(a.reason for a in found if a.reason)
    lines += [f"not assessed, {n} x: {reason}" for reason, n in sorted(without.items(), key=lambda i: (-i[1], i[0]))]
    lines.append(
        f"{len(found)} mine-years, {len(shown)} with production, {sum(a.emission is not None for a in found)} with CO2"
    )
    return lines


def _mt(tonnes: float) -> str:
    return f"{tonnes / 1e6:.3g}"


def _ladder(choice: str) -> str | Ladder:
    if not choice.endswith(".json"):
        return choice
    try:
        return Ladder(**json.loads(open_store(choice).read_bytes()))
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"{choice}: expected JSON with name, activity, factor, source; instead got: {error}") from error


def _table(url: str) -> tuple[TableRow, ...]:
    kinds = {"mine_id": str, "commodity": str, "year": int, "active_area": float, "ore": float}
    return tuple(TableRow(**row) for row in _rows(url, kinds))


def _conversions(url: str) -> tuple[Conversion, ...]:
    kinds = {"commodity": str, "product": str, "ore_per_tonne": float}
    return tuple(Conversion(**row) for row in _rows(url, kinds))


def _rows(url: str, kinds: Mapping[str, type]) -> list[dict]:
    """Rows of a CSV or parquet, the columns asked for, converted; ``source`` may be missing."""
    data = open_store(url).read_bytes()
    if data[:4] == b"PAR1":
        import pyarrow as pa
        import pyarrow.parquet

        records = pyarrow.parquet.read_table(pa.BufferReader(data)).to_pylist()
    else:
        records = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    missing = [name for name in kinds if not records or name not in records[0]]
    if missing:
        raise BadInput(f"{url}: expected rows with {', '.join(kinds)}, instead got none with {', '.join(missing)}")
    out = []
    for number, record in enumerate(records, 1):
        try:
            row = {name: kind(record[name]) for name, kind in kinds.items()}
        except (TypeError, ValueError) as error:
            raise BadInput(f"{url}, row {number}: {error}; correct the row") from error
        out.append(row | {"source": str(record.get("source") or url)})
    return out
