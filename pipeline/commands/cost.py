"""``pitpulse cost``: what an inventory would cost to make once, and to keep up to date."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from shapely.geometry import shape

from ..cost import AREA, Cost, backfill, refresh, table
from ..errors import BadInput
from ..grid import utm_grid
from ..mines import read_mines
from ..settings import Settings


@dataclass(frozen=True)
class CostRequest:
    """How many mines (or which, by file), their area of map in km2 each, years, dates a year, and cores at hand."""

    mines: tuple[int, ...]
    file: str = ""
    area: float = AREA / 1e6
    years: int = 5
    dates: int = 31
    cores: int = 16
    new: float = 2.5  # dates since the last refresh: a month's

    def __post_init__(self) -> None:
        for name, least in (("area", 0.01), ("years", 1), ("dates", 2), ("cores", 1), ("new", 0.01)):
            if not getattr(self, name) >= least:
                raise BadInput(f"--{name} must be at least {least}, instead got {getattr(self, name)}")
        if any(count < 1 for count in self.mines):
            raise BadInput(f"--mines must be at least 1, instead got {min(self.mines)}")


def cost(request: CostRequest, as_json: bool, say: Callable[[str], None]) -> int:
    """Print the cost of a backfill and of a refresh."""
    counts, area = request.mines, request.area * 1e6
    if request.file:
        mines, _ = read_mines(request.file)
        settings = Settings()
        grids = (utm_grid(shape(m.geometry).bounds, settings.spacing, settings.margin) for m in mines)
        areas = [float(np.prod(grid.shape)) * settings.spacing**2 for grid in grids]
        counts, area = (len(mines),), float(np.mean(areas))
    rows = []
    for mines in counts:
        for what, made in (
            (f"{request.years} year(s)", backfill(mines, request.years, request.dates, area)),
            (f"refresh, {request.new:g} dates", refresh(mines, request.new, request.dates // 2, area)),
        ):
            rows.append((mines, what, made))
    if as_json:
        say(json.dumps([{"mines": m, "what": w, **table(made, request.cores)} for m, w, made in rows], indent=1))
        return 0
    for line in _lines(rows, request.cores, area):
        say(line)
    return 0


def _lines(rows: Sequence[tuple[int, str, Cost]], cores: int, area: float) -> list[str]:
    lines = [f"maps of {area / 1e6:.0f} km2 each; {cores} cores; from measured figures, good to about a factor of two"]
    head = ("core hours", f"h on {cores}", "read TB", "M requests", "stored TB", "MB/s needed")
    lines.append(f"{'mines':>7s}  {'':24s}" + "".join(f"{word:>13s}" for word in head))
    for mines, what, made in rows:
        t = table(made, cores)
        values = (t["core_hours"], t["hours"], t["read_tb"], t["requests_millions"], t["stored_tb"], t["mb_per_second"])
        lines.append(f"{mines:7,d}  {what:24s}" + "".join(f"{value:13,.2f}" for value in values))
    return lines
