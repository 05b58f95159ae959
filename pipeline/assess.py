"""Ore mined and CO2 of every mine-year: what the radar saw, what is reported, and which of the two is used.

Ore that is reported for the year comes first. Without it, the narrowest interval wins among: a product reported for
the year, converted to ore; the mine's own t/m2 of other years times this year's area, from ore or else from product;
the regression of its commodity (METHODS section 6 names them, not their order). None of these: no number, and the
reason in words. One bad mine or row never stops the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real

from .activity import emissions as em
from .activity import production as pr
from .errors import BadInput
from .evidence import Area, Evidence, Facts, Options
from .model import Mine

UNKNOWN = Area(None)


@dataclass(frozen=True)
class Assessment:
    """One mine and year; latitude and longitude in degrees, of the polygon's centroid.

    Where ``production`` or ``emission`` is None, ``reason`` says why; ``notes`` tell which figures were left out.
    """

    mine_id: str
    year: int | None
    name: str = ""
    country: str = ""
    commodity: str = ""
    status: str = ""
    latitude: float | None = None
    longitude: float | None = None
    area: Area = UNKNOWN
    production: pr.Estimate | None = None
    production_confidence: str | None = None
    emission: em.Emission | None = None
    reason: str = ""
    notes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def properties(self) -> dict:
        """STAC properties, t; null where there is no number, and then ``pitpulse:production_reason``."""
        p, e = self.production, self.emission
        out = {
            "pitpulse:production": p and round(p.tonnes),
            "pitpulse:production_interval": [p and round(p.low), p and round(p.high)],
            "pitpulse:production_confidence": self.production_confidence,
            "pitpulse:production_basis": p and p.basis,
            "pitpulse:production_flags": list(p.flags) if p else [],
            "pitpulse:emissions_co2": e and round(e.tonnes),
            "pitpulse:emissions_co2_interval": [e and round(e.low), e and round(e.high)],
            "pitpulse:emissions_co2_confidence": e and e.confidence,
        }
        return out | ({"pitpulse:production_reason": self.reason} if self.reason else {})


def assess(rows: Iterable[Mapping], mines: Iterable[Mine], options: Options | None = None) -> list[Assessment]:
    """Production and emissions of every row.

    Parameters
    ----------
    rows : iterable of mapping
        Properties of the catalog's items: ``pitpulse:mine_id``, ``pitpulse:year``, ``pitpulse:active_area`` (m2) and
        ``pitpulse:active_area_interval``; ``pitpulse:activity_by_month`` (12 numbers) may be there.
    mines : iterable of Mine
        The inventory. Mines without a row count too: their factors enter national and regional means.
    options : Options, optional

    Returns
    -------
    list of Assessment
        One a row, in the order of mine and year, rows that can't be read last; each has numbers or a reason.

    Raises
    ------
    BadInput
        If there is no such ladder, or a row of the table or a conversion that was given can't be used.
    """
    options = options or Options()
    words = em.ladder(options.ladder)
    areas: dict[tuple[str, int], Area] = {}
    unread = []
    for number, row in enumerate(rows):
        mine_id, year, area = _read_row(number, row)
        if year is None:
            unread.append(Assessment(mine_id, None, reason=area.problem))
        elif (mine_id, year) in areas:
            unread.append(Assessment(mine_id, year, reason=f"a second row of {mine_id} {year}; the first is used"))
        else:
            areas[mine_id, year] = area
    evidence = Evidence(mines, areas, options)
    return [_assess_one(evidence, words, key, area) for key, area in sorted(areas.items())] + unread


def _read_row(number: int, row: Mapping) -> tuple[str, int | None, Area]:
    """Mine, year and area of a catalog row; year None where it can't be read."""
    mine_id, year = row.get("pitpulse:mine_id"), row.get("pitpulse:year")
    if not isinstance(mine_id, str) or not mine_id:
        return "", None, Area(None, problem=f"row {number}: expected a pitpulse:mine_id, instead got {mine_id!r}")
    if isinstance(year, bool) or not isinstance(year, Real) or not math.isfinite(year) or int(year) != year:
        return mine_id, None, Area(None, problem=f"row {number}, {mine_id}: expected a pitpulse:year, got {year!r}")
    return mine_id, int(year), _read_area(row)


def _read_area(row: Mapping) -> Area:
    area, interval = row.get("pitpulse:active_area"), row.get("pitpulse:active_area_interval") or (None, None)
    months = row.get("pitpulse:activity_by_month")
    try:
        months = None if months is None else tuple(em.monthly_shares(int(row["pitpulse:year"]), months).tolist())
        values = [math.nan if v is None else float(v) for v in (area, *interval)]
    except (TypeError, ValueError):
        given = f"{area!r}, {interval!r}, {months!r}"
        return Area(None, problem=f"active area, interval and activity by month must be numbers, instead got {given}")
    if len(values) != 3 or not all(map(math.isfinite, values)):
        return Area(None, problem="the active area of the year is not known", months=months)
    try:
        return Area(*values, pr.area_uncertainty(*values), months=months)
    except BadInput as error:
        return Area(*values, problem=str(error), months=months)


def _assess_one(evidence: Evidence, words: em.Ladder, key: tuple[str, int], area: Area) -> Assessment:
    (mine_id, year), facts = key, evidence.facts.get(key[0])
    if facts is None:
        return Assessment(mine_id, year, area=area, reason=f"{mine_id} is not in the inventory; import it there")
    mine, centre = facts.mine, facts.centre or (None, None)
    known = dict(
        name=mine.name, country=mine.country, commodity=facts.commodity or mine.commodity, status=mine.status,
        longitude=centre[0], latitude=centre[1], area=area, notes=facts.notes,
    )  # fmt: skip
    if facts.problem:
        return Assessment(mine_id, year, **known, reason=facts.problem)
    production, reason = _production(evidence, facts, year, area)
    if production is None:
        return Assessment(mine_id, year, **known, reason=reason)
    factor = evidence.factor(facts, year)
    known |= {"production": production, "production_confidence": em.activity_confidence(production, words)}
    if factor is None:
        reason = f"no emission factor of {facts.commodity} for the mine, {mine.country or 'its country'} or its region"
        return Assessment(mine_id, year, **known, reason=reason)
    return Assessment(mine_id, year, **known, emission=em.emission(production, factor, words))


def _production(evidence: Evidence, facts: Facts, year: int, area: Area) -> tuple[pr.Estimate | None, str]:
    """Ore of a mine-year by the best way there is, or None and why there is none."""
    ore = pr.reported(facts.ore, year, "ore")
    if ore:
        return ore, ""
    found, reason = list(_converted(evidence, facts, year)), f"nothing reported for {year}, and {area.problem}"
    if not area.problem:
        found += _by_area(evidence, facts, area)
        fit = evidence.fit(facts.commodity)
        if isinstance(fit, pr.Fit):
            detail = f"{facts.commodity}: {fit.mines} mines, R2 {fit.r2:.2f}"
            found.append(pr.predict(fit, area.area, area.relative, detail=detail))
        else:
            reason = f"nothing reported of the mine, and no regression of {fit}"
    best = min(found, key=lambda e: (e.high / e.low if e.low > 0 else 1.0, em.BASES.index(e.basis)), default=None)
    return best, "" if best else reason


def _converted(evidence: Evidence, facts: Facts, year: int) -> Iterator[pr.Estimate]:
    """Ore behind each product reported for the year."""
    for name, figures in sorted(facts.products.items()):
        product, how = pr.reported(figures, year, "product"), evidence.conversion(facts, name)
        if product and how:
            yield pr.convert(product, how[0], "converted_product", how[1])


def _by_area(evidence: Evidence, facts: Facts, area: Area) -> Iterator[pr.Estimate]:
    """Ore by the mine's own t/m2: from its ore, else from each product of it, converted once, after the ratio."""
    years = evidence.years(facts, facts.ore, "ore")
    if years:
        yield pr.from_ratio(pr.mine_ratio(years), area.area, area.relative, "area_of_mine", detail=_told(years))
        return
    for name, figures in sorted(facts.products.items()):
        years, how = evidence.years(facts, figures, "product"), evidence.conversion(facts, name)
        if years and how:
            product = pr.from_ratio(pr.mine_ratio(years), area.area, area.relative, "area_of_mine", detail=_told(years))
            yield pr.convert(product, how[0], "area_of_mine_by_product", how[1])


def _told(years: Sequence[pr.Year]) -> str:
    return "t/m2 of " + ", ".join(f"{y.year}: {y.ore / y.area:.4g}" for y in years)
