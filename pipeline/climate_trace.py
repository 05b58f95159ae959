"""Assessments as tables in the columns of Climate TRACE's downloads (version 5), and a summary by country.

Five tables: ``sources`` (a row a mine, period and gas), ``confidence`` and ``uncertainty`` (a row a mine and period, a
column a number of the first), ``countries``, and ``not_assessed``, the mine-years without a number and why. A sixth,
``columns``, says what each column holds and in which unit. Nothing is read from the clock: dates are the caller's.

CO2 only: CH4 and N2O have rows with an empty quantity, which in these tables means "not known", and stay out of CO2e.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet

from .activity import emissions as em
from .activity.emissions import Emission
from .activity.production import Z95, Estimate, log_deviation
from .assess import Assessment
from .errors import BadInput

SECTORS = {
    "iron ore": ("mineral-extraction", "iron-mining"),
    "copper ore": ("mineral-extraction", "copper-mining"),
    "bauxite": ("mineral-extraction", "bauxite-mining"),
    "coal": ("fossil-fuel-operations", "coal-mining"),
    "stone": ("mineral-extraction", "rock-quarrying"),
    "limestone": ("mineral-extraction", "rock-quarrying"),
    "dolomite": ("mineral-extraction", "rock-quarrying"),
    "sand and gravel": ("mineral-extraction", "sand-quarrying"),
}
OTHER_SECTOR = ("mineral-extraction", "other-mining-quarrying")
FORMULAS = {"co2": "CO2", "ch4": "CH4", "n2o": "N2O", "co2e_100yr": "CO2e", "co2e_20yr": "CO2e"}

# column: (type, unit, meaning)
_WHO = {
    "source_id": ("s", "", "the mine's id"),
    "source_name": ("s", "", "the mine's name"),
    "source_type": ("s", "", "kind of mine"),
    "iso3_country": ("s", "", "ISO 3166-1 alpha-3"),
    "sector": ("s", "", "Climate TRACE sector"),
    "subsector": ("s", "", "Climate TRACE subsector"),
    "start_time": ("t", "UTC", "first second of the period"),
    "end_time": ("t", "UTC", "last second of the period"),
}
_DATES = {
    "created_date": ("s", "date", "when the source was added, as the caller says"),
    "modified_date": ("s", "date", "when its numbers were last changed, as the caller says"),
}
_OTHER = (
    ("s", "", "mine type"),
    ("s", "", "mine status"),
    ("s", "", "other minerals mined at this asset"),
    ("s", "", "how the activity was found, with warnings and sources"),
    ("f", "m2", "active area of the year, from radar"),
    ("f", "t", "activity, lower end of the 95 % interval"),
    ("f", "t", "activity, upper end of the 95 % interval"),
    ("f", "t", "emissions_quantity, lower end of the 95 % interval"),
    ("f", "t", "emissions_quantity, upper end of the 95 % interval"),
    ("s", "", "level and source of the emission factor"),
)
SOURCES = {
    **_WHO,
    "lat": ("f", "degrees north", "of the mine polygon's centroid"),
    "lon": ("f", "degrees east", "of the mine polygon's centroid"),
    "geometry_ref": ("s", "", "id of the polygon in the inventory"),
    "gas": ("s", "", "co2, ch4, n2o, co2e_100yr or co2e_20yr (AR6; of the gases that are known: CO2)"),
    "emissions_quantity": ("f", "t of the gas", "median estimate; empty: not known"),
    "temporal_granularity": ("s", "", "annual or month"),
    "activity": ("f", "activity_units", "ore mined, median estimate"),
    "activity_units": ("s", "", "unit of activity"),
    "emissions_factor": ("f", "emissions_factor_units", "emissions per activity"),
    "emissions_factor_units": ("s", "", "unit of emissions_factor"),
    "capacity": ("f", "capacity_units", "not known"),
    "capacity_units": ("s", "", "unit of capacity"),
    "capacity_factor": ("f", "capacity_factor_units", "not known"),
    "capacity_factor_units": ("s", "", "unit of capacity_factor"),
    **{
        name: entry
        for i, (kind, unit, text) in enumerate(_OTHER, 1)
        for name, entry in ((f"other{i}", (kind, unit, text)), (f"other{i}_def", ("s", "", f"what other{i} is")))
    },
    **_DATES,
}
_JUDGED = ("capacity", "capacity_factor", "activity", *(f"{gas}_emissions_factor" for gas in em.GASES),
           *(f"{gas}_emissions" for gas in em.GASES), "total_co2e_20yrgwp", "total_co2e_100yrgwp")  # fmt: skip
CONFIDENCE = _WHO | {name: ("s", "", f"confidence in {name}; empty: not known") for name in _JUDGED} | _DATES
UNCERTAINTY = (
    _WHO | {name: ("f", "1", f"relative standard uncertainty of {name}; empty: not known") for name in _JUDGED} | _DATES
)
COUNTRIES = {
    **{name: _WHO[name] for name in ("iso3_country", "sector", "subsector", "start_time", "end_time")},
    "gas": SOURCES["gas"],
    "emissions_quantity": ("f", "t of the gas", "sum of the sources' (medians); empty: not known"),
    "emissions_low": ("f", "t of the gas", "lower end of the sum's 95 % interval"),
    "emissions_high": ("f", "t of the gas", "upper end of the sum's 95 % interval"),
    "emissions_uncertainty": ("f", "1", "relative standard uncertainty of the sum; shared factors err together"),
    "emissions_expected": (
        "f",
        "t of the gas",
        "sum of the sources' means: what sources with wide intervals add up to",
    ),
    "activity": ("f", "activity_units", "sum of the sources' ore mined (medians)"),
    "activity_units": ("s", "", "unit of activity"),
    "sources": ("i", "", "mines in the sum"),
    "sources_not_assessed": ("i", "", "mines with a row in the catalog and no emissions"),
    "confidence": ("s", "", "lowest confidence of a source in the sum"),
}
NOT_ASSESSED = {
    "source_id": _WHO["source_id"],
    "source_name": _WHO["source_name"],
    "iso3_country": _WHO["iso3_country"],
    "commodity": ("s", "", "as the inventory has it"),
    "year": ("i", "", "calendar year; empty: the row has none"),
    "missing": ("s", "", "production or emissions"),
    "reason": ("s", "", "why there is no number"),
    "notes": ("s", "", "figures and factors that were left out, and why"),
}
COLUMNS = {
    "table": ("s", "", "name of a table"),
    "column": ("s", "", "name of a column"),
    "unit": ("s", "", "its unit"),
    "meaning": ("s", "", "what it holds"),
}
_TYPES = {"s": pa.string(), "f": pa.float64(), "i": pa.int64(), "t": pa.timestamp("s", tz="UTC")}


@dataclass(frozen=True)
class Table:
    """Rows by column name, and the columns in order with type, unit and meaning."""

    columns: Mapping[str, tuple[str, str, str]]
    rows: tuple[Mapping[str, object], ...]

    def csv(self) -> bytes:
        """UTF-8, a header, nothing where there is no value; times as ``2020-12-31 23:59:59``, UTC."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow(["" if row.get(name) is None else row[name] for name in self.columns])
        return text.getvalue().encode()

    def parquet(self) -> bytes:
        """The same, typed, with unit and meaning of each column in its metadata."""
        fields = [
            pa.field(name, _TYPES[kind], metadata={"unit": unit, "meaning": meaning})
            for name, (kind, unit, meaning) in self.columns.items()
        ]
        arrays = [pa.array([row.get(f.name) for row in self.rows], f.type) for f in fields]
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), sink, compression="zstd")
        return sink.getvalue().to_pybytes()


@dataclass(frozen=True)
class _Period:
    """A year (``share`` 1) or one of its months."""

    start: datetime.datetime
    end: datetime.datetime
    granularity: str
    share: float

    def relative(self, annual: float) -> float:
        """Relative standard uncertainty of the period's part of an annual number."""
        return annual if self.share == 1.0 else em.product_uncertainty(annual, em.SHARE_UNCERTAINTY)

    def confidence(self, annual: str) -> str:
        """A month is never trusted as much as its year."""
        return annual if self.share == 1.0 else em.step_down(annual)

    def interval(self, annual: Estimate | Emission) -> tuple[float, float]:
        """The 95 % interval of the period's part: as wide as the year's, and the share's uncertainty on top."""
        if self.share == 1.0 or annual.low <= 0.0:
            return annual.low * self.share, annual.high * self.share
        reach = math.log(annual.high / annual.low) / 2
        reach = math.exp(math.hypot(reach, Z95 * log_deviation(em.SHARE_UNCERTAINTY)))
        return annual.tonnes * self.share / reach, annual.tonnes * self.share * reach


def tables(
    assessments: Iterable[Assessment], created: str, modified: str = "", monthly: bool = False
) -> dict[str, Table]:
    """All tables of some assessments.

    Parameters
    ----------
    assessments : iterable of Assessment
        As `assess.assess` returns them.
    created, modified : str
        ISO dates for the columns of that name; ``modified`` is ``created`` where it is left out.
    monthly : bool
        Sources by month: a year's number by the months' share of the radar's activity where the catalog has it, else of
        days. Confidence is one step lower.

    Returns
    -------
    dict of str to Table
        ``sources``, ``confidence``, ``uncertainty``, ``countries``, ``not_assessed`` and ``columns``.

    Raises
    ------
    BadInput
        If a date isn't one.
    """
    dates = {"created_date": _date("created", created), "modified_date": _date("modified", modified or created)}
    assessments = list(assessments)
    found = [a for a in assessments if a.production]
    parts = [(a, period) for a in found for period in _periods(a, monthly)]
    out = {
        "sources": Table(SOURCES, tuple({**row, **dates} for a, p in parts for row in _sources(a, p))),
        "confidence": Table(CONFIDENCE, tuple({**_confidence(a, p), **dates} for a, p in parts)),
        "uncertainty": Table(UNCERTAINTY, tuple({**_uncertainty(a, p), **dates} for a, p in parts)),
        "countries": Table(COUNTRIES, tuple(_countries(assessments))),
        "not_assessed": Table(NOT_ASSESSED, tuple(_not_assessed(a) for a in assessments if a.reason)),
    }
    meanings = tuple(
        {"table": name, "column": column, "unit": unit, "meaning": meaning}
        for name, table in out.items()
        for column, (_, unit, meaning) in table.columns.items()
    )
    return out | {"columns": Table(COLUMNS, meanings)}


def _date(name: str, text: str) -> str:
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except (ValueError, TypeError) as error:
        raise BadInput(f"{name} must be a date such as 2026-01-31, instead got {text!r}") from error


def _year(year: int) -> tuple[datetime.datetime, datetime.datetime]:
    return datetime.datetime(year, 1, 1), datetime.datetime(year, 12, 31, 23, 59, 59)


def _periods(a: Assessment, monthly: bool) -> list[_Period]:
    if not monthly:
        return [_Period(*_year(a.year), "annual", 1.0)]
    shares = em.monthly_shares(a.year).tolist() if a.area.months is None else a.area.months
    starts = [datetime.datetime(a.year, month, 1) for month in range(1, 13)]
    ends = [start - datetime.timedelta(seconds=1) for start in (*starts[1:], datetime.datetime(a.year + 1, 1, 1))]
    return [_Period(start, end, "month", share) for start, end, share in zip(starts, ends, shares, strict=True)]


def _who(a: Assessment, start, end) -> dict:
    sector, subsector = SECTORS.get(a.commodity, OTHER_SECTOR)
    return {
        "source_id": a.mine_id, "source_name": a.name, "source_type": "open pit", "iso3_country": a.country,
        "sector": sector, "subsector": subsector, "start_time": start, "end_time": end,
    }  # fmt: skip


def _sources(a: Assessment, period: _Period) -> list[dict]:
    """A row a gas."""
    p, e, unit = a.production, a.emission, f"t of {a.commodity}"
    low, high = period.interval(p)
    lowest, highest = period.interval(e) if e else (None, None)
    common = _who(a, period.start, period.end) | {
        "lat": _rounded(a.latitude, 6), "lon": _rounded(a.longitude, 6), "geometry_ref": a.mine_id,
        "temporal_granularity": period.granularity, "activity": _rounded(p.tonnes * period.share),
        "activity_units": unit,
    }  # fmt: skip
    told = f"{e.factor.level}: {e.factor.source}" if e else None
    quantities = _quantities(e and e.tonnes * period.share)
    rows = []
    for gas, formula in FORMULAS.items():
        value = quantities[gas]
        known = value is not None
        others = (
            "open pit", a.status or None, None, "; ".join((p.basis, *p.flags, p.detail)),
            _rounded(a.area.area, 1), _rounded(low), _rounded(high),
            _rounded(lowest if known else None), _rounded(highest if known else None), told if known else None,
        )  # fmt: skip
        row = {
            "gas": gas,
            "emissions_quantity": _rounded(value),
            "emissions_factor": e.factor.value if known else None,
            "emissions_factor_units": f"t of {formula} per {unit}",
        }
        for i, (content, (_, of, meaning)) in enumerate(zip(others, _OTHER, strict=True), 1):
            row |= {f"other{i}": content, f"other{i}_def": meaning + (f" ({of})" if of else "")}
        rows.append(common | row)
    return rows


def _quantities(co2: float | None) -> dict[str, float | None]:
    """Every gas of the tables; what isn't known is None."""
    gases = {"co2": co2, "ch4": None, "n2o": None}
    return gases | {f"co2e_{years}yr": em.co2e(gases, years)[0] for years in (100, 20)}


def _confidence(a: Assessment, period: _Period) -> dict:
    e = a.emission
    row = _who(a, period.start, period.end) | {"activity": period.confidence(a.production_confidence)}
    if e:
        word = period.confidence(e.confidence)
        row |= {"co2_emissions_factor": e.factor_confidence, "co2_emissions": word}
        row |= {"total_co2e_20yrgwp": word, "total_co2e_100yrgwp": word}
    return row


def _uncertainty(a: Assessment, period: _Period) -> dict:
    e = a.emission
    row = _who(a, period.start, period.end) | {"activity": _rounded(period.relative(a.production.relative), 4)}
    if e:
        value = _rounded(period.relative(e.relative), 4)
        row |= {"co2_emissions_factor": _rounded(e.factor.relative, 4), "co2_emissions": value}
        row |= {"total_co2e_20yrgwp": value, "total_co2e_100yrgwp": value}
    return row


def _countries(assessments: Sequence[Assessment]) -> list[dict]:
    """A row a country, commodity, year and gas, also where no mine could be assessed."""
    groups = defaultdict(list)
    for a in assessments:
        if a.year is not None:
            groups[a.country, a.commodity, a.year].append(a)
    rows = []
    for (country, commodity, year), members in sorted(groups.items()):
        found = [a for a in members if a.emission]
        value, low, high, relative = em.total([a.emission for a in found]) if found else (None,) * 4
        expected = sum(a.emission.tonnes * math.hypot(1.0, a.emission.relative) for a in found) if found else None
        sector, subsector = SECTORS.get(commodity, OTHER_SECTOR)
        start, end = _year(year)
        common = {
            "iso3_country": country, "sector": sector, "subsector": subsector, "start_time": start, "end_time": end,
            "activity": _rounded(sum(a.production.tonnes for a in found)) if found else None,
            "activity_units": f"t of {commodity}" if commodity else None,
            "sources": len(found),
            "sources_not_assessed": len({a.mine_id for a in members} - {a.mine_id for a in found}),
        }  # fmt: skip
        for gas, quantity in _quantities(value).items():
            row = {"gas": gas}
            if quantity is not None:
                row |= {
                    "emissions_quantity": _rounded(quantity), "emissions_low": _rounded(low),
                    "emissions_high": _rounded(high), "emissions_uncertainty": _rounded(relative, 4),
                    "emissions_expected": _rounded(expected),
                    "confidence": em.lower(*(a.emission.confidence for a in found)),
                }  # fmt: skip
            rows.append(common | row)
    return rows


def _not_assessed(a: Assessment) -> dict:
    return {
        "source_id": a.mine_id, "source_name": a.name, "iso3_country": a.country, "commodity": a.commodity,
        "year": a.year, "missing": "emissions" if a.production else "production", "reason": a.reason,
        "notes": "; ".join(a.notes) or None,
    }  # fmt: skip


def _rounded(value: float | None, digits: int = 1) -> float | None:
    """Rounded (t to 0.1); None stays None."""
    return None if value is None else round(float(value), digits)
