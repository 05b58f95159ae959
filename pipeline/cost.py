"""What an inventory costs in requests, bytes, core hours and storage, from figures measured on this code.

A mine's work is a sum of parts that grow with its dates and its pairs, and all of it with the area of its map. Other
machines, stores and mines differ by a factor: the model is good to about two.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

AREA = 1e8  # m2 of the map that `Figures` were measured on
REPEAT = 12.0  # days between dates of one satellite


@dataclass(frozen=True)
class Figures:
    """Measured on a mine-year of 31 dates over 10 x 10 km in one burst (``bench/mine_year.py``); what is published, on
    one of 5.3 x 5.3 km with five (``bench/many_mines.py``'s scene). Both are simulated: real ground compresses less.

    CPU in seconds of one core; bytes, and requests to the object stores.
    """

    cpu_run: float = 3.8  # a mine, each time it is worked on: geometry, classes, areas, pictures, publishing
    cpu_date: float = 0.40  # a date that is read: coregistered, and its pairs
    samples: float = 3.13e6  # of a date's window: it is turned against the map, and finer than the map
    header: float = 0.4e6  # bytes of a date beside its samples: annotation and the table of strips
    reads_date: float = 914.0  # requests of a date
    writes_run: float = 120.0  # objects written: 61 of a product, 24 of catalog and pages, what is kept
    published_pair: float = 0.26e6  # bytes of a pair in what is published
    published_year: float = 4.2e6  # bytes of a mine-year beside its pairs
    kept: float = 65e6  # bytes kept of a mine, so that a new date costs one read


@dataclass(frozen=True)
class Cost:
    """``cpu`` in s of one core, ``read`` and ``stored`` in bytes, ``requests`` to the stores."""

    cpu: float
    read: float
    requests: float
    stored: float


def backfill(mines: int, years: int, dates: int, area: float = AREA, figures: Figures | None = None) -> Cost:
    """Cost of making ``years`` years of ``dates`` dates each for mines of ``area`` m2 of map."""
    f, scale = figures or Figures(), area / AREA
    read = mines * years * dates
    return Cost(
        cpu=scale * (mines * years * f.cpu_run + read * f.cpu_date),
        read=read * (4.0 * f.samples * scale + f.header),
        requests=read * f.reads_date * scale**0.5 + mines * years * f.writes_run,  # a request reads a line or several
        stored=scale * mines * (years * (dates * f.published_pair + f.published_year) + f.kept),
    )


def refresh(mines: int, dates: float, already: int, area: float = AREA, figures: Figures | None = None) -> Cost:
    """Cost of one refresh that finds ``dates`` new dates a mine, where the year has ``already`` of them.

    A refresh writes the year's product anew under a new version; what it is kept of older versions is the operator's
    choice and counted as one.
    """
    f, scale = figures or Figures(), area / AREA
    read = mines * dates
    return Cost(
        cpu=scale * (mines * f.cpu_run + read * f.cpu_date),
        read=read * (4.0 * f.samples * scale + f.header),
        requests=read * f.reads_date * scale**0.5 + mines * f.writes_run,
        stored=scale * mines * ((already + dates) * f.published_pair + f.published_year),
    )


def table(cost: Cost, cores: int) -> dict[str, float]:
    """The cost in the units that people plan in; hours with so many cores, if nothing waits for the network."""
    return {
        "core_hours": cost.cpu / 3600.0,
        "hours": cost.cpu / 3600.0 / cores,
        "read_tb": cost.read / 1e12,
        "requests_millions": cost.requests / 1e6,
        "stored_tb": cost.stored / 1e12,
        # what the network has to give, so that the cores don't wait
        "mb_per_second": cost.read / 1e6 / max(cost.cpu / cores, 1e-9),
        **{f"raw_{name}": value for name, value in asdict(cost).items()},
    }
