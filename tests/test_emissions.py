"""Emissions, confidence, the assessment of a catalog, and its tables."""

import csv
import io
import json
import math

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.activity.emissions import (
    BASES,
    CONFIDENCES,
    FACTOR_UNCERTAINTY,
    LADDERS,
    LEVELS,
    Factor,
    Ladder,
    activity_confidence,
    co2e,
    emission,
    factor_problem,
    ladder,
    lower,
    mean_factor,
    monthly_shares,
    product_uncertainty,
    region,
    stated_factor,
    step_down,
    total,
)
from pipeline.activity.production import BELOW, estimate
from pipeline.assess import assess
from pipeline.climate_trace import CONFIDENCE, SOURCES, UNCERTAINTY, tables
from pipeline.commands.emissions import EmissionsRequest, emissions
from pipeline.errors import BadInput
from pipeline.evidence import Conversion, Options, TableRow
from pipeline.model import EmissionFactor, Mine, ProductionFigure

CT = LADDERS["ct2023"]
SQUARE = {
    "type": "Polygon",
    "coordinates": [[[22.9, -27.8], [23.0, -27.8], [23.0, -27.7], [22.9, -27.7], [22.9, -27.8]]],
}


def ore(year, tonnes, source="a", commodity=""):
    return ProductionFigure(year, tonnes, "ore", source, commodity=commodity)


def sold(year, tonnes, source="a", commodity=""):
    return ProductionFigure(year, tonnes, "product", source, commodity=commodity)


def factor(value, year=None, level="asset", source="a", uncertainty=None):
    return EmissionFactor(value, level, source, year, uncertainty)


def mine(name, *figures, factors=(), commodity="iron ore", country="ZAF", geometry=SQUARE):
    return Mine(name, name.title(), geometry, country, commodity, "operating", "", figures, tuple(factors))


def row(name, year, area=10e6, spread=0.1, **more):
    interval = [area * (1 - spread), area * (1 + spread)]
    return {"pitpulse:mine_id": name, "pitpulse:year": year, "pitpulse:active_area": area,
            "pitpulse:active_area_interval": interval, **more}  # fmt: skip


def by_key(found):
    return {(a.mine_id, a.year): a for a in found}


# --- arithmetic


def test_product_of_uncertainties_is_exact():
    assert product_uncertainty(0.3, 0.4) == pytest.approx(0.514, abs=5e-4)
    assert product_uncertainty(0.3, 0.0) == 0.3
    rng = np.random.default_rng(0)
    a, b = 1 + 0.3 * rng.standard_normal(1_000_000), 1 + 0.4 * rng.standard_normal(1_000_000)
    assert product_uncertainty(0.3, 0.4) == pytest.approx((a * b).std(), abs=2e-3)  # Monte Carlo error 5e-4


def test_sishen_emissions_as_printed(shared_data):
    """Each printed emission agrees with production x factor within the factor's rounding, none to the tonne."""
    text = (shared_data / "mines" / "climate_trace" / "sishen_table2_transcribed.csv").read_text()
    table = {(r["doc"], r["item"]): float(r["value"]) for r in csv.DictReader(
        line for line in text.splitlines() if not line.startswith("#"))}  # fmt: skip
    off = {}
    for edition, years in (("2023", (2020, 2021, 2022)), ("2025", (2021, 2022, 2023))):
        for year in years:
            mined, rate = table[edition, f"production_t_{year}"], table[edition, f"emission_factor_{year}"]
            printed = table[edition, f"emissions_t_{year}"]
            own = emission(
                estimate(mined, 0.05, math.inf, "reported_ore"), Factor(rate, 0.1, "asset", 1, ""), CT
            ).tonnes
            assert own == pytest.approx(mined * rate, abs=1e-6)  # t
            assert abs(printed - own) <= mined * 5e-5  # t: half of the factor's last digit
            off[edition, year] = round(printed - own)
    assert off == {("2023", 2020): -140, ("2023", 2021): -292, ("2023", 2022): 1524,
                   ("2025", 2021): 260, ("2025", 2022): 1480, ("2025", 2023): 1720}  # t  # fmt: skip
    # the editions disagree with each other: 4.1 % for 2021 with the same production, 4.8 % for 2022 with 12.6 % more
    assert table["2025", "emissions_t_2021"] / table["2023", "emissions_t_2021"] == pytest.approx(1.041, abs=5e-4)
    assert table["2025", "production_t_2022"] / table["2023", "production_t_2022"] == pytest.approx(1.126, abs=5e-4)


def test_the_interval_of_emissions_covers_the_truth():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(2000):
        seen, f = 1e6 * math.exp(0.3 * rng.standard_normal()), 0.01 * math.exp(0.2 * rng.standard_normal())
        relative = math.sqrt(math.expm1(0.2**2))
        found = emission(estimate(seen, 0.3, math.inf, "regression"), Factor(f, relative, "national", 3, ""), CT)
        inside += found.low <= 1e6 * 0.01 <= found.high
    assert inside / 2000 == pytest.approx(0.95, abs=0.015)  # three Monte Carlo errors


def test_few_degrees_of_freedom_widen_and_the_factor_thins_them():
    def width(degrees, rate):
        found = emission(estimate(1e6, 0.3, degrees, "regression"), Factor(0.01, rate, "national", 3, ""), CT)
        return math.log(found.high / found.low)

    assert width(3, 0.2) > width(30, 0.2) > width(math.inf, 0.2)
    assert width(3, 1e-6) / width(math.inf, 1e-6) > width(3, 0.5) / width(math.inf, 0.5)


def test_nothing_mined_emits_nothing():
    found = assess([row("a", 2020)], [mine("a", ore(2020, 0.0), factors=[factor(0.01)])])[0]
    assert (found.production.tonnes, found.emission.tonnes, found.emission.high) == (0.0, 0.0, 0.0)


def test_co2e_leaves_out_what_is_not_known():
    assert co2e({"co2": 100.0, "ch4": None, "n2o": None}, 100) == (100.0, ("co2",))
    assert co2e({"co2": 100.0, "ch4": 2.0, "n2o": 1.0}, 100)[0] == pytest.approx(100 + 2 * 29.8 + 273, abs=1e-9)
    assert co2e({"co2": 100.0, "ch4": 2.0}, 20) == (pytest.approx(100 + 2 * 82.5, abs=1e-9), ("co2", "ch4"))
    assert co2e({"co2": None}, 100) == (None, ())
    with pytest.raises(BadInput, match="must be 100 or 20 years, instead got 50"):
        co2e({"co2": 1.0}, 50)
    with pytest.raises(BadInput, match="gas must be one of co2, ch4, n2o, instead got sf6"):
        co2e({"sf6": 1.0}, 100)


# --- confidence


def test_ladder_2023_and_the_lower_of_two():
    assert [CT.activity[b] for b in BASES] == ["high", "medium", "medium", "medium", "low"]
    assert [CT.factor[level] for level in LEVELS] == ["medium", "low", "very low"]
    assert lower("high", "very low", "medium") == "very low"
    assert [step_down(word) for word in CONFIDENCES] == ["very low", "very low", "low", "medium", "high"]


def test_flags_cost_a_step():
    fine, far = estimate(1e6, 0.3, 9, "regression"), estimate(1e6, 0.3, 9, "regression", flags=(BELOW,))
    assert (activity_confidence(fine, CT), activity_confidence(far, CT)) == ("medium", "low")


def test_a_ladder_that_is_not_known_is_refused_and_one_that_is_given_is_used():
    with pytest.raises(BadInput, match="must be one of ct2023, instead got 'ct2025'; the words of the 2025 edition"):
        ladder("ct2025")
    with pytest.raises(BadInput, match="must be one of ct2023, instead got 'gold'"):
        ladder("gold")
    own = Ladder("own", dict.fromkeys(BASES, "very high"), dict.fromkeys(LEVELS, "high"), "me")
    found = assess([row("a", 2020)], [mine("a", ore(2020, 1e6), factors=[factor(0.01)])], Options(ladder=own))[0]
    assert (found.production_confidence, found.emission.confidence) == ("very high", "high")


@pytest.mark.parametrize(
    ("activity", "of_factor", "words"),
    [({}, dict.fromkeys(LEVELS, "low"), "activity must give each of reported_ore"),
     (dict.fromkeys(BASES, "low"), dict.fromkeys(LEVELS, "so-so"), "factor must give each of asset, national"),
     (dict.fromkeys((*BASES, "guess"), "low"), dict.fromkeys(LEVELS, "low"), "activity must give each")],
)  # fmt: skip
def test_ladders_with_holes(activity, of_factor, words):
    with pytest.raises(BadInput, match=words):
        Ladder("own", activity, of_factor, "me")


# --- factors


def test_stated_factors_of_the_nearest_year():
    known = [factor(0.0095, 2020), factor(0.0102, 2021), factor(0.0106, 2021, source="b"), factor(0.0116, 2023)]
    assert stated_factor(known, "asset", 2020).value == 0.0095
    both = stated_factor(known, "asset", 2021)
    assert both.value == pytest.approx(0.0104, abs=1e-12)
    assert both.relative == pytest.approx(math.hypot(0.1, np.std([0.0102, 0.0106], ddof=1) / 0.0104), abs=1e-12)
    assert stated_factor(known, "asset", 2022).value == pytest.approx(0.0104, abs=1e-12)  # a tie: the earlier year
    assert stated_factor(known, "asset", 2030).value == 0.0116
    assert stated_factor([*known, factor(0.02)], "asset", 2030).value == 0.02  # any year, before another year
    assert stated_factor(known, "national", 2020) is None
    assert stated_factor([factor(0.01, uncertainty=0.3)], "asset", 2020).relative == 0.3


def test_mean_factor_of_other_mines():
    found = mean_factor({"a": 0.01, "b": 0.03}, "national", "ZAF")
    assert (found.value, found.mines) == (pytest.approx(0.02, abs=1e-12), 2)
    prior = math.log1p(FACTOR_UNCERTAINTY["national"] ** 2)
    variance = (4 * prior + 2 * (math.log(3) / 2) ** 2) / 5
    assert found.relative == pytest.approx(math.sqrt(math.expm1(1.5 * variance)), abs=1e-12)
    assert mean_factor({}, "national", "ZAF") is None


def test_hierarchy_of_factors():
    mines = [
        mine("own", ore(2020, 1e6), factors=[factor(0.01)]),
        mine("near", ore(2020, 1e6)),
        mine("far", ore(2020, 1e6), country="NAM"),
        mine("away", ore(2020, 1e6), country="AUS"),
        mine("coal", ore(2020, 1e6), commodity="coal"),
        mine("second", factors=[factor(0.03)]),
        mine("stated", ore(2020, 1e6), factors=[factor(0.05, level="national")]),
    ]
    found = by_key(assess([row(m.id, 2020) for m in mines if m.id != "second"], mines))
    levels = {
        key[0]: a.emission and (a.emission.factor.level, round(a.emission.factor.value, 6)) for key, a in found.items()
    }
    assert levels == {"own": ("asset", 0.01), "near": ("national", 0.02), "far": ("regional", 0.02), "away": None,
                      "coal": None, "stated": ("national", 0.05)}  # fmt: skip
    assert found["own", 2020].emission.confidence == "medium"
    assert found["near", 2020].emission.confidence == "low"
    assert found["far", 2020].emission.confidence == "very low"
    assert found["away", 2020].reason == "no emission factor of iron ore for the mine, AUS or its region"
    assert found["away", 2020].production.tonnes == 1e6


@pytest.mark.parametrize(
    ("bad", "words"),
    [(factor(-0.01), "must be positive"), (factor(math.nan), "must be positive"), (factor(None), "must be positive"),
     (factor(0.01, level="global"), "instead got 'global'"), (factor(0.01, uncertainty=-1.0), "at least 0")],
)  # fmt: skip
def test_bad_factors_are_named_and_left_out(bad, words):
    assert words in factor_problem(bad)
    found = assess([row("a", 2020)], [mine("a", ore(2020, 1e6), factors=[bad])])[0]
    assert words in found.notes[0] and found.emission is None


def test_regions():
    codes = ("ZAF", "chl", "PRK", "DEU", "AUS", "TWN", "XKX", "", "ZZZ")
    places = ["Africa", "Americas", "Asia", "Europe", "Oceania", "Asia", "Europe", "", ""]
    assert [region(code) for code in codes] == places


# --- months and sums


def test_months_share_a_year():
    days = monthly_shares(2020)
    assert days.sum() == pytest.approx(1.0, abs=1e-12) and days[1] == pytest.approx(29 / 366, abs=1e-12)
    shares = monthly_shares(2021, [1.0] * 6 + [0.0] * 5 + [None])
    assert shares.sum() == pytest.approx(1.0, abs=1e-12)
    assert shares[6:11].sum() == 0.0 and shares[11] / shares[0] == pytest.approx(
        6 / 11, abs=1e-12
    )  # the mean of eleven
    assert np.array_equal(monthly_shares(2021, [None] * 12), monthly_shares(2021))
    assert np.array_equal(monthly_shares(2021, [0.0] * 12), monthly_shares(2021))
    for bad in ([1.0] * 11, [-1.0] + [1.0] * 11, [math.inf] * 12):
        with pytest.raises(BadInput, match="must be 12 numbers of at least 0"):
            monthly_shares(2021, bad)


def test_a_sum_shares_its_factors_error():
    activity = estimate(1e6, 0.3, math.inf, "reported_ore")
    shared = Factor(0.01, 0.4, "national", 2, "ZAF")
    one = emission(activity, shared, CT)
    assert total([one])[1:3] == pytest.approx((one.low, one.high), abs=1e-6)  # t
    together = total([one] * 4)
    apart = total([emission(activity, Factor(0.01, 0.4, "asset", 1, str(i)), CT) for i in range(4)])
    assert together[0] == apart[0] == pytest.approx(40_000, abs=1e-9)  # t
    a, f = activity.relative, 0.4
    assert together[3] == pytest.approx(math.sqrt((a**2 + (a * f) ** 2) / 4 + f**2), abs=1e-12)
    assert apart[3] == pytest.approx(one.relative / 2, abs=1e-12)


# --- what is assessed, and how


def test_sishen_of_the_documents_from_reports_and_from_area():
    factors = [factor(0.0095, 2020, source="ct"), factor(0.0102, 2021, source="ct"), factor(0.0116, 2022, source="ct")]
    sishen = mine("sishen", ore(2020, 36.2e6), ore(2021, 37.9e6), ore(2022, 35.0e6), factors=factors)
    areas = {2020: 10_593_100.0, 2021: 11_689_100.0, 2022: 11_039_200.0, 2023: 12_312_300.0}
    found = by_key(assess([row("sishen", y, a) for y, a in areas.items()], [sishen]))
    values = [round(found["sishen", y].emission.tonnes) for y in (2020, 2021, 2022)]
    assert values == [343_900, 386_580, 406_000]  # t
    later = found["sishen", 2023]
    assert later.production.basis == "area_of_mine"
    assert later.production.tonnes == pytest.approx(109.1e6 / 33_321_400 * 12_312_300, abs=1)  # t
    assert later.production.low < 39.1e6 < later.production.high  # what the later edition reports
    assert "2020: 3.417, 2021: 3.242, 2022: 3.17" in later.production.detail
    assert later.properties["pitpulse:production_confidence"] == "medium"
    assert later.properties["pitpulse:emissions_co2"] == round(later.emission.tonnes)


def test_the_order_of_the_ways():
    # peers scatter by a factor of 2.2 about 2 t/m2: wider than a mine's own t/m2, narrower than others' conversion
    peers = [mine(f"p{i}", ore(2020, 2.0 * 1e6 * 3**i * 2.2 ** (-1) ** i)) for i in range(6)]
    rows = [row(p.id, 2020, 1e6 * 3**i) for i, p in enumerate(peers)]
    both = mine("both", sold(2020, 14e6), sold(2021, 15e6), ore(2020, 21e6), ore(2021, 22.5e6), sold(2022, 16e6))
    cases = {
        "reported_ore": (mine("a", ore(2022, 20e6), sold(2022, 9e6)), row("a", 2022)),
        "regression": (mine("b"), row("b", 2022)),
        "area_of_mine": (mine("c", ore(2020, 20e6)), row("c", 2022)),
        "converted_product": (both, row("both", 2022, spread=0.5)),
        "area_of_mine_by_product": (mine("e", sold(2020, 5e6)), row("e", 2022)),
    }
    rows += [row("c", 2020), row("e", 2020), row("both", 2020, spread=0.5)] + [r for _, r in cases.values()]
    mines = [*peers, *(m for m, _ in cases.values())]
    found = by_key(assess(rows, mines))
    for basis in ("reported_ore", "regression", "area_of_mine", "converted_product"):
        m = cases[basis][0]
        assert found[m.id, 2022].production.basis == basis, basis
    assert found["both", 2022].production.tonnes == pytest.approx(24e6, abs=1)  # t: 1.5 t of ore per t
    assert found["e", 2022].production.basis == "regression"
    without = by_key(assess(rows, mines, Options(minimum_mines=50)))
    assert without["e", 2022].production.basis == "area_of_mine_by_product"
    assert without["e", 2022].production_confidence == "low"
    assert without["b", 2022].reason.endswith(
        "no regression of iron ore: a regression needs at least 50 mines with reported ore, instead got 9"
    )


def test_a_table_that_is_given_replaces_the_catalog():
    table = tuple(TableRow(f"m{i}", "Iron", 2019, 1e6 * 2**i, 3e6 * 2**i, "me") for i in range(6))
    found = assess([row("a", 2020, 4e6), row("a", 2021, 1e5), row("a", 2022, 1e9)], [mine("a")], Options(table=table))
    assert [a.production.flags for a in found] == [(), ("below_fitted_range",), ("above_fitted_range",)]
    assert [a.production_confidence for a in found] == ["medium", "low", "low"]
    assert found[0].production.tonnes == pytest.approx(12e6, abs=1)  # t, on the line
    with pytest.raises(
        BadInput, match=r"row 1 of the table \(x 2019\): active_area \(m2\) and ore \(t\) must be positive"
    ):
        assess([row("a", 2020)], [mine("a")], Options(table=(TableRow("x", "coal", 2019, 0.0, 1.0),)))
    with pytest.raises(BadInput, match=r"row 1 of the table \(x 2019\): commodity must be one of"):
        assess([row("a", 2020)], [mine("a")], Options(table=(TableRow("x", "steel", 2019, 1.0, 1.0),)))


def test_conversions_own_then_country_then_region_then_given():
    told = mine("told", ore(2020, 3e6), sold(2020, 1e6))
    cases = [
        mine("near", sold(2021, 1e6)),
        mine("far", sold(2021, 1e6), country="NAM"),
        mine("away", sold(2021, 1e6), country="AUS"),
    ]
    given = (Conversion("iron", "", 2.0, "handbook"),)
    found = by_key(assess([row(m.id, 2021) for m in cases], [told, *cases], Options(conversions=given)))
    texts = [found[m.id, 2021].production.detail.rsplit(", ", 1)[1] for m in cases]
    assert texts == ["mean of 1 mine(s) of ZAF", "mean of 1 mine(s) of Africa", "given (handbook)"]
    assert [round(found[m.id, 2021].production.tonnes) for m in cases] == [3_000_000, 3_000_000, 2_000_000]


@pytest.mark.parametrize(
    ("bad", "words"),
    [(Conversion("coal", "", 0.0, "me"), "conversion 1: ore_per_tonne must be positive, instead got 0.0"),
     (Conversion("steel", "", 1.0, "me"), "conversion 1: commodity must be one of")],
)  # fmt: skip
def test_conversions_that_cant_be_used(bad, words):
    with pytest.raises(BadInput, match=words):
        assess([row("a", 2020)], [mine("a")], Options(conversions=(bad,)))


def test_other_commodities_of_a_mine_are_not_its_ore():
    figures = [
        ore(2020, 5e6, commodity="Copper"),
        ore(2020, 1e6, commodity="polymetallic"),
        sold(2020, 40.0, commodity="silver"),
    ]
    found = assess([row("a", 2020)], [mine("a", *figures, commodity="copper")])[0]
    assert found.production.tonnes == 6e6
    assert found.notes == ("figures of other commodities than copper ore left out: silver",)


def test_a_bad_mine_or_row_is_listed_and_the_others_go_on():
    mines = [
        mine("good", ore(2020, 1e6), factors=[factor(0.01)]),
        mine("strange", ore(2020, 1e6), commodity="unobtainium"),
        mine("minus", ore(2020, -1.0), ore(2020, math.nan)),
        mine("none"),
        mine("shapeless", ore(2020, 1e6), geometry={"type": "Nothing"}),
        mine("good", ore(2020, 9e6)),  # the same id again: the first counts
    ]
    rows = [row(m.id, 2020) for m in mines[:5]]
    rows += [row("good", 2020), row("elsewhere", 2020), {}, {"pitpulse:mine_id": "good", "pitpulse:year": "soon"}]
    rows += [{"pitpulse:mine_id": "none", "pitpulse:year": 2021, "pitpulse:active_area": "big"}, row("none", 2022, 0.0)]
    rows += [{"pitpulse:mine_id": "none", "pitpulse:year": 2023, "pitpulse:active_area_interval": [None, None]}]
    found = assess(rows, mines)
    assert len(found) == len(rows)
    good = [a for a in found if a.production]
    assert [(a.mine_id, a.production.tonnes) for a in good] == [("good", 1e6), ("shapeless", 1e6)]
    assert good[1].latitude is None
    reasons = [a.reason for a in found if not a.production]
    for words in (
        "commodity 'unobtainium' is not known",
        "nothing reported of the mine, and no regression of iron ore: a regression needs at least 5 mines",
        "elsewhere is not in the inventory",
        "a second row of good 2020",
        "row 7: expected a pitpulse:mine_id, instead got None",
        "row 8, good: expected a pitpulse:year, got 'soon'",
        "nothing reported for 2021, and active area, interval and activity by month must be numbers, instead got 'big'",
        "nothing reported for 2022, and active area must be positive (m2), instead got 0",
        "nothing reported for 2023, and the active area of the year is not known",
    ):
        assert any(words in reason for reason in reasons), words
    minus = by_key(found)["minus", 2020]
    assert len(minus.notes) == 2 and "must not be negative" in minus.notes[0]
    assert minus.properties["pitpulse:production"] is None and minus.properties["pitpulse:production_reason"]


@given(st.permutations(range(6)))
def test_the_order_of_the_rows_does_not_matter(order):
    mines = [mine("a", ore(2020, 5e6), factors=[factor(0.01)]), mine("b", ore(2021, 2e6), sold(2021, 1e6))]
    rows = [row(name, year, 1e6 * year) for name in "ab" for year in (2020, 2021, 2022)]
    assert assess([rows[i] for i in order], mines[:: 1 if order[0] % 2 else -1]) == assess(rows, mines)


# --- tables


@pytest.fixture
def found():
    mines = [
        mine("a", ore(2020, 5e6), ore(2021, 6e6), factors=[factor(0.01)]),
        mine("b", ore(2020, 2e6)),
        mine("c", ore(2020, 4e6), commodity="coal", country="DEU"),
        mine("d"),
    ]
    return assess([row(m.id, y) for m in mines for y in (2020, 2021)], mines)


def test_columns_are_climate_traces():
    others = [name for i in range(1, 11) for name in (f"other{i}", f"other{i}_def")]
    assert list(SOURCES) == [
        "source_id", "source_name", "source_type", "iso3_country", "sector", "subsector", "start_time", "end_time",
        "lat", "lon", "geometry_ref", "gas", "emissions_quantity", "temporal_granularity", "activity", "activity_units",
        "emissions_factor", "emissions_factor_units", "capacity", "capacity_units", "capacity_factor",
        "capacity_factor_units", *others, "created_date", "modified_date",
    ]  # fmt: skip


def test_unknown_gases_are_empty_and_never_zero(found):
    rows = tables(found, "2026-01-31")["sources"].rows
    gases = {(r["source_id"], r["start_time"].year, r["gas"]): r["emissions_quantity"] for r in rows}
    assert gases["a", 2020, "co2"] == gases["a", 2020, "co2e_100yr"] == gases["a", 2020, "co2e_20yr"] == 50_000.0
    assert {v for (_, _, gas), v in gases.items() if gas in ("ch4", "n2o")} == {None}
    assert gases["c", 2020, "co2"] is None  # no factor
    assert ("d", 2020, "co2") not in gases


def test_a_row_says_what_it_is(found):
    first = tables(found, "2026-01-31", "2026-02-01")["sources"].rows[0]
    assert (first["sector"], first["subsector"]) == ("mineral-extraction", "iron-mining")
    assert (str(first["start_time"]), str(first["end_time"])) == ("2020-01-01 00:00:00", "2020-12-31 23:59:59")
    assert (first["lat"], first["lon"]) == pytest.approx((-27.75, 22.95), abs=1e-6)  # degrees
    assert (first["activity"], first["activity_units"]) == (5e6, "t of iron ore")
    assert first["emissions_factor_units"] == "t of CO2 per t of iron ore"
    assert first["other6"] < 5e6 < first["other7"] and first["other8"] < 50_000 < first["other9"]
    assert (first["created_date"], first["modified_date"]) == ("2026-01-31", "2026-02-01")
    coal = next(r for r in tables(found, "2026-01-31")["sources"].rows if r["source_id"] == "c")
    assert (coal["sector"], coal["subsector"]) == ("fossil-fuel-operations", "coal-mining")


def test_confidence_and_uncertainty_have_a_row_a_source(found):
    out = tables(found, "2026-01-31")
    words, numbers = out["confidence"].rows, out["uncertainty"].rows
    assert list(CONFIDENCE) == list(UNCERTAINTY)
    assert 5 * len(words) == 5 * len(numbers) == len(out["sources"].rows) == 30  # six mine-years, five gases
    assert words[0]["activity"] == "high" and words[0]["co2_emissions"] == words[0]["total_co2e_100yrgwp"] == "medium"
    assert "ch4_emissions" not in words[0]
    assert (numbers[0]["activity"], numbers[0]["co2_emissions_factor"]) == (0.05, 0.1)
    assert numbers[0]["co2_emissions"] == pytest.approx(product_uncertainty(0.05, 0.1), abs=1e-4)


def test_months_add_up_and_are_trusted_less(found):
    year, months = tables(found, "2026-01-31"), tables(found, "2026-01-31", monthly=True)
    assert len(months["sources"].rows) == 12 * len(year["sources"].rows)
    mine_a = [
        r for r in months["sources"].rows if (r["source_id"], r["gas"], r["start_time"].year) == ("a", "co2", 2020)
    ]
    assert sum(r["emissions_quantity"] for r in mine_a) == pytest.approx(50_000, abs=1)  # t, of twelve rounded to 0.1
    assert [r["temporal_granularity"] for r in mine_a] == ["month"] * 12
    assert str(mine_a[1]["end_time"]) == "2020-02-29 23:59:59"
    annual = year["sources"].rows[0]
    assert mine_a[0]["other9"] / mine_a[0]["other8"] > annual["other9"] / annual["other8"]
    assert (months["confidence"].rows[0]["activity"], months["confidence"].rows[0]["co2_emissions"]) == (
        "medium",
        "low",
    )
    assert months["uncertainty"].rows[0]["activity"] == pytest.approx(product_uncertainty(0.05, 0.3), abs=1e-4)


def test_months_follow_the_radar_where_it_says():
    busy = [1.0] * 6 + [0.0] * 6
    found = assess([row("a", 2021, **{"pitpulse:activity_by_month": busy})], [mine("a", ore(2021, 5e6))])
    rows = [r for r in tables(found, "2026-01-31", monthly=True)["sources"].rows if r["gas"] == "co2"]
    assert sum(r["activity"] for r in rows[:6]) == pytest.approx(5e6, abs=1)  # t
    assert {r["activity"] for r in rows[6:]} == {0.0}


def test_countries_sum_their_sources(found):
    rows = {(r["iso3_country"], r["subsector"], r["start_time"].year, r["gas"]): r
            for r in tables(found, "2026-01-31")["countries"].rows}  # fmt: skip
    one = rows["ZAF", "iron-mining", 2020, "co2"]
    assert one["emissions_quantity"] == pytest.approx(5e6 * 0.01 + 2e6 * 0.01, abs=0.1)  # t
    assert one["emissions_low"] < one["emissions_quantity"] < one["emissions_high"]
    assert one["emissions_expected"] > one["emissions_quantity"]
    assert (one["sources"], one["sources_not_assessed"], one["confidence"]) == (2, 1, "low")
    for key in (("DEU", "coal-mining", 2020, "co2"), ("ZAF", "iron-mining", 2020, "ch4")):
        assert "emissions_quantity" not in rows[key] and "confidence" not in rows[key]
    assert rows["DEU", "coal-mining", 2020, "co2"]["sources_not_assessed"] == 1


def test_a_date_has_to_be_one(found):
    with pytest.raises(BadInput, match="created must be a date such as 2026-01-31, instead got 'today'"):
        tables(found, "today")


# --- the command


def write(out, **more):
    mines = [mine("a", ore(2020, 5e6), factors=[factor(0.01)]), mine("b")]
    said = []
    request = EmissionsRequest(str(out), "2026-01-31", **more)
    return emissions(request, [row("a", 2020), row("b", 2020), row("b", 2021)], mines, said.append), said


def test_the_command_writes_the_same_bytes_twice(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert files == sorted(f"{t}.{kind}" for t in ("sources", "confidence", "uncertainty", "countries", "not_assessed",
                                                   "columns") for kind in ("csv", "parquet"))  # fmt: skip
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_csv_and_parquet_agree(tmp_path):
    write(tmp_path)
    for name in ("sources", "confidence", "uncertainty", "countries", "not_assessed", "columns"):
        text = list(csv.DictReader(io.StringIO((tmp_path / f"{name}.csv").read_text())))
        stored = pa.parquet.read_table(tmp_path / f"{name}.parquet")
        assert stored.column_names == list(text[0])
        for a, b in zip(text, stored.to_pylist(), strict=True):
            assert a == {k: "" if v is None else str(v).removesuffix("+00:00") for k, v in b.items()}
    field = pa.parquet.read_schema(tmp_path / "sources.parquet").field("other5")
    assert field.metadata[b"unit"] == b"m2"
    told = csv.DictReader(io.StringIO((tmp_path / "columns.csv").read_text()))
    meanings = {(r["table"], r["column"]): r["unit"] for r in told}
    assert meanings["sources", "other6"] == "t" and len(meanings) > 90


def test_the_summary_names_numbers_and_reasons():
    _, said = write("memory://emissions/out")
    assert said[0] == "a 2020: 5 Mt (95 %: 4.53-5.51; reported_ore); 50 kt CO2 (40.2-62.2; medium confidence)"
    assert said[1].startswith("not assessed, 2 x: nothing reported of the mine, and no regression of iron ore")
    assert said[2] == "3 mine-years, 1 with production, 1 with CO2"
    assert fsspec.filesystem("memory").exists("/emissions/out/sources.parquet")


def test_the_command_takes_a_table_conversions_and_a_ladder(tmp_path):
    lines = ["mine_id,commodity,year,active_area,ore,source,more"] + [
        f"m{i},iron,2019,{1e6 * 2**i},{3e6 * 2**i},me,x" for i in range(6)
    ]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    names = ("mine_id", "commodity", "year", "active_area", "ore")
    columns = zip(*((f"m{i}", "iron", 2019, 1e6 * 2**i, 3e6 * 2**i) for i in range(6)), strict=True)
    table = pa.table(dict(zip(names, map(list, columns), strict=True)))
    pa.parquet.write_table(table, tmp_path / "table.parquet")
    (tmp_path / "conversions.csv").write_text("commodity,product,ore_per_tonne,source\ncoal,,1.1,me\n")
    words = {
        "name": "own",
        "activity": dict.fromkeys(BASES, "low"),
        "factor": dict.fromkeys(LEVELS, "low"),
        "source": "me",
    }
    (tmp_path / "ladder.json").write_text(json.dumps(words))
    more = {"ladder": str(tmp_path / "ladder.json"), "conversions": str(tmp_path / "conversions.csv")}
    one, _ = write(tmp_path / "one", table=str(tmp_path / "table.csv"), **more)
    two, _ = write(tmp_path / "two", table=str(tmp_path / "table.parquet"), **more)
    assert one == two
    assert one[1].production.tonnes == pytest.approx(30e6, abs=1) and one[0].production_confidence == "low"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("table", "mine_id,year\na,2020\n", "expected rows with mine_id, commodity, year, active_area, ore, instead got"),
     ("table", "mine_id,commodity,year,active_area,ore\na,coal,2020,many,1\n", "row 1: could not convert string to"),
     ("table", "", "expected rows with mine_id"),
     ("conversions", "commodity,product,ore_per_tonne\ncoal,,x\n", "row 1: could not convert"),
     ("ladder", "{}", "expected JSON with name, activity, factor, source"),
     ("ladder", "no", "expected JSON with name, activity, factor, source")],
)  # fmt: skip
def test_files_the_command_cant_use(tmp_path, name, content, words):
    path = tmp_path / f"{name}.{'json' if name == 'ladder' else 'csv'}"
    path.write_text(content)
    with pytest.raises(BadInput, match=words):
        write(tmp_path / "out", **{name: str(path)})


def test_an_empty_catalog_is_an_error():
    with pytest.raises(BadInput, match="the catalog has no mine-year to assess"):
        emissions(EmissionsRequest("memory://emissions/none", "2026-01-31"), [], [], str)
