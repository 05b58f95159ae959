"""What is known of mines and what they tell of each other: usable figures, conversions, emission factors, regressions.

Product becomes ore by the mine's own factor (years with both), else the mean of its country, else of its region, else
one that is given. Emission factors go the same way (`activity.emissions`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import shapely.errors
import shapely.geometry

from .activity import emissions as em
from .activity import production as pr
from .commodities import canonical_commodity, is_ore
from .errors import BadInput
from .model import EmissionFactor, Mine, ProductionFigure

MIXED = "polymetallic ore"  # ore of a mine of several metals, counted together


@dataclass(frozen=True)
class TableRow:
    """Ore (t) mined on an active area (m2) in a year: what regressions are fitted on."""

    mine_id: str
    commodity: str
    year: int
    active_area: float
    ore: float
    source: str = ""


@dataclass(frozen=True)
class Conversion:
    """Ore per tonne of a product of a commodity ("" for a product without a name), where no mine tells."""

    commodity: str
    product: str
    ore_per_tonne: float
    source: str


@dataclass(frozen=True)
class Area:
    """Active area of a mine-year, m2, with its 95 % interval; ``problem`` says why it can't be used, ``months`` may say
    how active each month was."""

    area: float | None
    low: float | None = None
    high: float | None = None
    relative: float = math.nan
    problem: str = ""
    months: tuple[float | None, ...] | None = None


@dataclass(frozen=True)
class Options:
    """How to assess; ``table`` None: the catalog's own mines with reported ore."""

    table: tuple[TableRow, ...] | None = None
    conversions: tuple[Conversion, ...] = ()
    ladder: str | em.Ladder = "ct2023"
    minimum_mines: int = pr.MINIMUM_MINES


@dataclass(frozen=True)
class Facts:
    """A mine with what of its figures and factors can be used.

    ``commodity`` by our name, "" where it is unknown, and then ``problem`` says so. ``products`` by name; ``ratios``:
    ore per tonne of each in the years with both. ``centre``: longitude and latitude of the polygon's centroid, degrees.
    """

    mine: Mine
    commodity: str
    problem: str
    notes: tuple[str, ...]
    ore: tuple[ProductionFigure, ...]
    products: Mapping[str, tuple[ProductionFigure, ...]]
    ratios: Mapping[str, list[float]]
    factors: tuple[EmissionFactor, ...]
    centre: tuple[float, float] | None


def facts_of(mine: Mine) -> Facts:
    """What of a mine can be used, and what not and why."""
    try:
        commodity, problem = canonical_commodity(mine.commodity), ""
    except BadInput:
        commodity, problem = "", f"commodity {mine.commodity!r} is not known; correct it in the inventory"
    notes = [text for text in map(pr.figure_problem, mine.production) if text]
    notes += [text for text in map(em.factor_problem, mine.emission_factors) if text]
    usable = [f for f in mine.production if not pr.figure_problem(f)]
    counted = [f for f in usable if _counts(f, commodity)]
    others = sorted({f.commodity for f in usable} - {f.commodity for f in counted})
    if others:
        notes.append(f"figures of other commodities than {commodity} left out: {', '.join(others)}")
    ore = tuple(f for f in counted if f.definition == "ore")
    products = defaultdict(tuple)
    for figure in counted:
        if figure.definition == "product":
            products[_plain(figure.commodity)] += (figure,)
    factors = tuple(f for f in mine.emission_factors if not em.factor_problem(f))
    ratios = _own_ratios(ore, products)
    return Facts(mine, commodity, problem, tuple(notes), ore, dict(products), ratios, factors, _centre(mine))


def _counts(figure: ProductionFigure, commodity: str) -> bool:
    """True where a figure is of the mine's own commodity: silver of a copper mine isn't."""
    if not figure.commodity or not commodity:
        return True
    try:
        name = canonical_commodity(figure.commodity)
    except BadInput:
        return figure.definition == "product"  # a product's own name ("cathode grade A"): converted under that name
    return name == commodity or (figure.definition == "ore" and name == MIXED and is_ore(commodity))


def _centre(mine: Mine) -> tuple[float, float] | None:
    try:
        point = shapely.geometry.shape(mine.geometry).centroid
    except (ValueError, TypeError, LookupError, AttributeError, shapely.errors.ShapelyError):
        return None
    return None if point.is_empty else (point.x, point.y)


class Evidence:
    """All that is known, looked up by mine, commodity and place; nothing changes after it is made.

    Parameters
    ----------
    mines : iterable of Mine
        The inventory; of two mines with one id the first counts.
    areas : mapping
        (mine id, year) to its active area.
    options : Options
    """

    def __init__(self, mines: Iterable[Mine], areas: Mapping[tuple[str, int], Area], options: Options):
        self.facts: dict[str, Facts] = {}
        for mine in mines:
            if mine.id not in self.facts:
                self.facts[mine.id] = facts_of(mine)
        self._options = options
        self._areas, self._peers = defaultdict(list), defaultdict(list)
        for (mine_id, year), area in sorted(areas.items()):
            if not area.problem:
                self._areas[mine_id].append((year, area))
        for _, facts in sorted(self.facts.items()):
            for place in {facts.mine.country, em.region(facts.mine.country)} - {""}:
                self._peers[facts.commodity, place].append(facts)
        self._given = _given(options.conversions)
        self._table = self._own_table() if options.table is None else _checked(options.table)
        self._shared: dict[tuple, object] = {}

    def years(self, facts: Facts, figures: Sequence[ProductionFigure], definition: str) -> list[pr.Year]:
        """A mine's years with both a report, above 0, and a usable area."""
        out = []
        for year, area in self._areas[facts.mine.id]:
            found = pr.reported(figures, year, definition)
            if found and found.tonnes > 0:
                out.append(pr.Year(year, found.tonnes, area.area, found.relative, area.relative))
        return out

    def fit(self, commodity: str) -> pr.Fit | str:
        """The regression of a commodity, or why there is none."""
        return self._once(("fit", commodity), lambda: self._fitted(commodity))

    def _fitted(self, commodity: str) -> pr.Fit | str:
        rows = [row for row in self._table if row.commodity == commodity]
        columns = ([r.mine_id for r in rows], [r.active_area for r in rows], [r.ore for r in rows])
        try:
            return pr.fit_log_log(*columns, self._options.minimum_mines)
        except BadInput as error:
            return f"{commodity}: {error}"

    def conversion(self, facts: Facts, product: str) -> tuple[pr.Ratio, str] | None:
        """Ore per tonne of a product for a mine, and in words whose factor it is; None where nobody knows."""
        years, mines = pr.COAL_CONVERSION_SPREAD if facts.commodity == "coal" else pr.CONVERSION_SPREAD
        own = facts.ratios.get(product)
        if own:
            return pr.conversion(own, years), f"the mine's own of {len(own)} year(s)"
        for _, place, peers in self._around(facts):
            values = self._once(
                ("ratios", facts.commodity, place, product),
                lambda peers=peers: [
                    pr.conversion(f.ratios[product], years).value for f in peers if product in f.ratios
                ],
            )
            if values:
                return pr.conversion(values, mines), f"mean of {len(values)} mine(s) of {place}"
        given = self._given.get((facts.commodity, product))
        return given and (pr.conversion([given.ore_per_tonne], mines), f"given ({given.source})")

    def factor(self, facts: Facts, year: int) -> em.Factor | None:
        """The emission factor of a mine: its own, else its country's, else its region's; None where nobody knows."""
        own = em.stated_factor(facts.factors, "asset", year)
        if own:
            return own
        for level, place, peers in self._around(facts):
            stated = em.stated_factor(facts.factors, level, year)
            if stated:
                return stated
            mean = self._once(
                ("factor", facts.commodity, place, year),
                lambda level=level, place=place, peers=peers: em.mean_factor(_asset_factors(peers, year), level, place),
            )
            if mean:
                return mean
        return None

    def _once(self, key: tuple, make: Callable):
        """What ``make`` returns, made once: thousands of mines of a country share it."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]

    def _around(self, facts: Facts) -> Iterator[tuple[str, str, list[Facts]]]:
        """Level, place and mines of the same commodity there, by id: first the country, then the region."""
        for level, place in (("national", facts.mine.country), ("regional", em.region(facts.mine.country))):
            yield level, place, self._peers.get((facts.commodity, place), [])

    def _own_table(self) -> tuple[TableRow, ...]:
        """Every mine-year with reported ore and a usable active area."""
        return tuple(
            TableRow(mine_id, facts.commodity, y.year, y.area, y.ore)
            for mine_id, facts in sorted(self.facts.items())
            if facts.commodity
            for y in self.years(facts, facts.ore, "ore")
        )


def _checked(table: Sequence[TableRow]) -> tuple[TableRow, ...]:
    """A table that was given, commodities by our names."""
    out = []
    for number, row in enumerate(table, 1):
        if not (0 < row.active_area < math.inf and 0 < row.ore < math.inf):
            raise BadInput(
                f"row {number} of the table ({row.mine_id} {row.year}): active_area (m2) and ore (t) must be positive, "
                f"instead got {row.active_area} and {row.ore}; remove or correct it"
            )
        try:
            name = canonical_commodity(row.commodity)
        except BadInput as error:
            raise BadInput(f"row {number} of the table ({row.mine_id} {row.year}): {error}") from error
        out.append(TableRow(row.mine_id, name, row.year, row.active_area, row.ore, row.source))
    return tuple(out)


def _given(conversions: Sequence[Conversion]) -> dict[tuple[str, str], Conversion]:
    """Conversions that were given, by commodity and product."""
    out = {}
    for number, c in enumerate(conversions, 1):
        if not 0 < c.ore_per_tonne < math.inf:
            raise BadInput(f"conversion {number}: ore_per_tonne must be positive, instead got {c.ore_per_tonne}")
        try:
            out[canonical_commodity(c.commodity), _plain(c.product)] = c
        except BadInput as error:
            raise BadInput(f"conversion {number}: {error}") from error
    return out


def _own_ratios(ore, products) -> dict[str, list[float]]:
    """Ore per tonne of each product in the years for which a mine reports both."""
    out: dict[str, list[float]] = {}
    for year in sorted({f.year for f in ore}):
        mined = pr.reported(ore, year, "ore")
        for name, figures in sorted(products.items()):
            product = pr.reported(figures, year, "product")
            if product and product.tonnes > 0 and mined.tonnes > 0:
                out.setdefault(name, []).append(mined.tonnes / product.tonnes)
    return out


def _asset_factors(peers: Sequence[Facts], year: int) -> dict[str, float]:
    """The factor of each mine that has one, by id."""
    found = {f.mine.id: em.stated_factor(f.factors, "asset", year) for f in peers if f.factors}
    return {key: factor.value for key, factor in found.items() if factor}


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
