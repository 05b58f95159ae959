"""Ore mined: printed tables, the ratio estimator, the regression and its prediction interval, conversions."""

import csv
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.activity.production import (
    ABOVE,
    BELOW,
    CONVERSION_SPREAD,
    NO_SLOPE,
    YEAR_SPREAD,
    Year,
    area_uncertainty,
    conversion,
    convert,
    estimate,
    figure_problem,
    fit_log_log,
    from_ratio,
    log_deviation,
    mine_ratio,
    pooled_spread,
    predict,
    reported,
)
from pipeline.errors import BadInput
from pipeline.model import ProductionFigure

PIXEL = 100.0  # m2, what the documents count a pixel as
CLASSES = {  # years whose class counts make a year's total
    "2023": {2020: ("red_2020", "magenta_2020_2022", "yellow_2020_2021", "white_all"),
             2021: ("green_2021", "cyan_2021_2022", "yellow_2020_2021", "white_all"),
             2022: ("blue_2022", "cyan_2021_2022", "magenta_2020_2022", "white_all")},
    "2025": {2021: ("red_2021", "magenta_2021_2023", "yellow_2021_2022", "white_all"),
             2022: ("green_2022", "cyan_2022_2023", "yellow_2021_2022", "white_all"),
             2023: ("blue_2023", "cyan_2022_2023", "magenta_2021_2023", "white_all")},
}  # fmt: skip


@pytest.fixture(scope="module")
def sishen(shared_data):
    """Both editions' table of Sishen as printed: (edition, item) to number."""
    text = (shared_data / "mines" / "climate_trace" / "sishen_table2_transcribed.csv").read_text()
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {(row["doc"], row["item"]): float(row["value"]) for row in rows}


def total(sishen, edition, year):
    return sum(sishen[edition, name] for name in CLASSES[edition][year])


def figure(year, tonnes, definition="ore", source="a", commodity=""):
    return ProductionFigure(year, tonnes, definition, source, commodity=commodity)


# --- the documents' tables


def test_sishen_class_counts_as_printed_disagree_with_their_total_in_one_place(sishen):
    off = {
        (edition, year): total(sishen, edition, year) - sishen[edition, f"total_{year}" + printed]
        for edition, years in CLASSES.items()
        for year in years
        for printed in ["_as_printed" if (edition, year) == ("2023", 2020) else ""]
    }
    assert off.pop(("2023", 2020)) == -5000  # px: 100,931 of parts against 105,931
    assert set(off.values()) == {0}
    assert total(sishen, "2023", 2020) == sishen["2023", "total_2020_sum_of_parts"] == 100_931


def test_sishen_corrected_gives_the_printed_totals(sishen):
    # the pie chart and the total both have red at 48,398: the table's 43,398 is a slip of one digit
    corrected = total(sishen, "2023", 2020) + 48_398 - sishen["2023", "red_2020"]
    assert corrected == sishen["2023", "total_2020_as_printed"]
    areas = [PIXEL * n for n in (corrected, total(sishen, "2023", 2021), total(sishen, "2023", 2022))]
    assert areas == [10_593_100, 11_689_100, 11_039_200]  # m2


def test_sishen_tonnes_per_area(sishen):
    def per_area(edition, year, pixels):
        return mine_ratio([Year(year, sishen[edition, f"production_t_{year}"], PIXEL * pixels)]).value

    printed = {y: per_area("2023", y, total(sishen, "2023", y)) for y in (2020, 2021, 2022)}
    assert printed[2020] == pytest.approx(3.587, abs=5e-4)  # t/m2, from the parts as printed
    assert per_area("2023", 2020, 105_931) == pytest.approx(3.417, abs=5e-4)  # t/m2, corrected
    assert (printed[2021], printed[2022]) == pytest.approx((3.242, 3.171), abs=5e-4)  # t/m2
    later = [per_area("2025", y, total(sishen, "2025", y)) for y in (2021, 2022, 2023)]
    assert later == pytest.approx([2.044, 2.050, 3.176], abs=5e-4)  # t/m2
    # "+10.4 % between 2020 and 2022" is 2020 to 2021; 2021 grows by 59 % from one edition to the next
    assert 116_891 / 105_931 - 1 == pytest.approx(0.104, abs=1e-3)
    assert 110_392 / 105_931 - 1 == pytest.approx(0.042, abs=1e-3)
    assert total(sishen, "2025", 2021) / total(sishen, "2023", 2021) - 1 == pytest.approx(0.586, abs=1e-3)


def test_the_documents_line_over_predicts_sishen(sishen):
    over = [
        (433 * pixels + 8.8e6) / sishen[edition, f"production_t_{year}"] - 1
        for edition, years in CLASSES.items()
        for year in years
        for pixels in [105_931 if (edition, year) == ("2023", 2020) else total(sishen, edition, year)]
    ]
    assert min(over) == pytest.approx(0.51, abs=5e-3)
    assert max(over) == pytest.approx(1.35, abs=5e-3)


def test_the_prior_of_year_to_year_spread_is_what_sishen_shows(sishen):
    squares = []
    for edition, years in CLASSES.items():
        values = [sishen[edition, f"production_t_{y}"] / total(sishen, edition, y) for y in years]
        squares.append(np.var(np.log(values), ddof=1))
    assert math.sqrt(squares[1]) == pytest.approx(0.254, abs=1e-3)  # log scale
    assert math.sqrt(np.mean(squares)) == pytest.approx(YEAR_SPREAD[0], abs=0.02)


# --- figures


def test_reported_is_the_median_and_disagreement_is_uncertainty():
    figures = [figure(2022, 27.0e6, source="a"), figure(2022, 35.0e6, source="b"), figure(2022, 39.4e6, source="c")]
    found = reported(figures, 2022, "ore")
    assert found.tonnes == 35.0e6
    scatter = np.std([27.0, 35.0, 39.4], ddof=1) / 35.0
    assert found.relative == pytest.approx(math.hypot(0.05, scatter), abs=1e-12)
    assert found.flags == ("sources_disagree",)
    assert found.low < 27.0e6 and found.high > 39.4e6
    assert all(text in found.detail for text in ("2.7e+07 t (a)", "3.5e+07 t (b)", "3.94e+07 t (c)"))


def test_ore_and_product_are_kept_apart():
    figures = [figure(2022, 35.0e6), figure(2022, 27.0e6, "product")]
    assert reported(figures, 2022, "ore").tonnes == 35.0e6
    assert reported(figures, 2022, "product").tonnes == 27.0e6
    assert reported(figures, 2021, "ore") is None


def test_one_figure_has_the_stated_uncertainty_and_no_flag():
    found = reported([figure(2020, 36.2e6)], 2020, "ore")
    assert (found.relative, found.flags) == (pytest.approx(0.05, abs=1e-12), ())
    q = 1.959964 * math.sqrt(math.log(1 + 0.05**2))
    assert (found.low, found.high) == pytest.approx((36.2e6 * math.exp(-q), 36.2e6 * math.exp(q)), abs=10)  # t


def test_parts_of_one_source_are_added_and_repeats_averaged():
    parts = [figure(2020, 10e6, commodity="oxide ore"), figure(2020, 5e6, commodity="sulphide ore")]
    assert reported(parts, 2020, "ore").tonnes == 15e6
    assert reported([figure(2020, 10e6), figure(2020, 12e6)], 2020, "ore").tonnes == 11e6


def test_nothing_mined_is_a_figure():
    found = reported([figure(2020, 0.0)], 2020, "ore")
    assert (found.tonnes, found.low, found.high) == (0.0, 0.0, 0.0)
    assert reported([figure(2020, 0.0, source="a"), figure(2020, 0.0, source="b")], 2020, "ore").tonnes == 0.0


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (figure(2019, -3.0), "2019: production must not be negative, instead got -3 t"),
        (figure(2019, math.nan), "2019: no production figure"),
        (figure(2019, None), "2019: no production figure"),
        (figure(2019, 3.0, "waste"), 'must be "ore" or "product", instead got \'waste\''),
    ],
)
def test_bad_figures_are_named(bad, words):
    assert words in figure_problem(bad)


def test_good_figures_have_no_problem():
    assert figure_problem(figure(2019, 0.0)) == figure_problem(figure(2019, 3e6, "product")) == ""


# --- the mine's own t/m2


def test_ratio_estimator_against_the_formula_written_out():
    years = [Year(2019, 30e6, 9e6, 0.05, 0.08), Year(2020, 36e6, 10e6, 0.05, 0.10), Year(2021, 50e6, 12e6, 0.10, 0.06)]
    r = (30 + 36 + 50) / (9 + 10 + 12)
    noise = [0.05**2 + 0.08**2, 0.05**2 + 0.10**2, 0.10**2 + 0.06**2]
    own = sum(math.log(y.ore / (r * y.area)) ** 2 for y in years) - 2 * sum(noise) / 3
    e2 = (4 * 0.2**2 + own) / 6
    w = [9 / 31, 10 / 31, 12 / 31]
    s2 = e2 * (1 + sum(v**2 for v in w)) + 0.07**2 + sum(v**2 * n for v, n in zip(w, noise, strict=True))
    assert own > 0
    found = from_ratio(mine_ratio(years), 11e6, 0.07, "area_of_mine")
    assert found.tonnes == pytest.approx(r * 11e6, abs=1e-3)  # t
    q = stats.t.ppf(0.975, 6) * math.sqrt(s2)
    assert (found.low, found.high) == pytest.approx((r * 11e6 * math.exp(-q), r * 11e6 * math.exp(q)), abs=1)  # t
    assert found.relative == pytest.approx(math.sqrt(math.exp(s2) - 1), abs=1e-12)


def test_one_year_has_the_prior_and_the_areas_only():
    ratio = mine_ratio([Year(2020, 36e6, 10e6, 0.05, 0.10)])
    assert (ratio.value, ratio.spread, ratio.degrees, ratio.count) == (3.6, 0.2, 4, 1)
    assert ratio.error == pytest.approx(math.sqrt(0.2**2 + 0.05**2 + 0.1**2), abs=1e-12)


def test_years_that_agree_narrow_the_interval():
    widths = []
    for n in (1, 2, 4, 8):
        found = from_ratio(mine_ratio([Year(2010 + i, 36e6, 10e6) for i in range(n)]), 10e6, 0.1, "area_of_mine")
        widths.append(found.high / found.low)
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.5 * widths[0]


@pytest.mark.parametrize("years", [1, 2, 5])
def test_the_interval_of_the_mines_own_ratio_covers_the_truth(years):
    """True t/m2 varies by the prior's 20 % from year to year, areas err by 10 %, reports by 5 %."""
    rng = np.random.default_rng(years)
    trials, inside = 1500, 0
    for _ in range(trials):
        area = 10e6 * np.exp(0.3 * rng.standard_normal(years + 1))
        ore = 3.4 * area * np.exp(0.2 * rng.standard_normal(years + 1))
        seen, told = (
            area * np.exp(0.1 * rng.standard_normal(years + 1)),
            ore * np.exp(0.05 * rng.standard_normal(years + 1)),
        )
        ratio = mine_ratio([Year(i, told[i], seen[i], 0.05, 0.1) for i in range(years)])
        found = from_ratio(ratio, seen[-1], 0.1, "area_of_mine")
        inside += found.low <= ore[-1] <= found.high
    # the prior's t with 4 degrees is wider than the simulated normal: 95 % or more, and not everything
    assert 0.94 <= inside / trials <= 0.995


def test_no_year_is_an_error():
    with pytest.raises(BadInput, match="needs a year with reported ore and an active area, instead got none"):
        mine_ratio([Year(2020, 0.0, 1e6)])


def test_area_uncertainty_is_a_quarter_of_the_interval():
    assert area_uncertainty(10e6, 8e6, 12e6) == pytest.approx(4e6 / (2 * 1.959964 * 10e6), abs=1e-6)


@pytest.mark.parametrize(
    ("area", "words"),
    [((0.0, 0.0, 0.0), "active area must be positive"), ((1e6, 2e6, 3e6), "must hold it"),
     ((1e6, math.nan, 3e6), "must hold it"), ((math.nan, 0.0, 1.0), "must be positive")],
)  # fmt: skip
def test_areas_that_say_nothing(area, words):
    with pytest.raises(BadInput, match=words):
        area_uncertainty(*area)


# --- regression


def mines_of(n, rng, years=1, slope=0.8, between=0.5, within=0.0):
    """Rows of n mines: mine, area, ore."""
    area = np.exp(rng.uniform(13, 17, n))
    level = 3.0 + slope * np.log(area) + between * rng.standard_normal(n)
    member = np.repeat(np.arange(n), years)
    return member.astype(str), area[member], np.exp(level[member] + within * rng.standard_normal(n * years))


def test_fit_and_interval_against_least_squares_written_out():
    mines, area, ore = mines_of(9, np.random.default_rng(1))
    fit = fit_log_log(mines, area, ore)
    design = np.column_stack([np.ones(9), np.log(area)])
    solution, rest, *_ = np.linalg.lstsq(design, np.log(ore), rcond=None)
    assert (fit.intercept, fit.slope) == pytest.approx(tuple(solution), abs=1e-9)
    assert fit.residual == pytest.approx(rest[0] / 7, abs=1e-12)
    inverse = np.linalg.inv(design.T @ design)
    assert fit.slope_error == pytest.approx(math.sqrt(rest[0] / 7 * inverse[1, 1]), abs=1e-9)
    assert fit.r2 == pytest.approx(np.corrcoef(np.log(area), np.log(ore))[0, 1] ** 2, abs=1e-9)
    at = np.array([1.0, math.log(2e6)])
    s = math.sqrt(rest[0] / 7 * (1 + at @ inverse @ at))
    found = predict(fit, 2e6)
    assert found.tonnes == pytest.approx(math.exp(at @ solution), rel=1e-9)  # relative: t over four decades
    assert math.log(found.high / found.tonnes) == pytest.approx(stats.t.ppf(0.975, 7) * s, abs=1e-9)
    assert found.flags == ()


def test_years_of_one_mine_are_one_point():
    mines, area, ore = mines_of(7, np.random.default_rng(2))
    once, often = fit_log_log(mines, area, ore), fit_log_log(*(np.repeat(v, 5) for v in (mines, area, ore)))
    assert (often.mines, often.degrees) == (7, 5)
    assert (often.slope, often.residual, often.within) == pytest.approx((once.slope, once.residual, 0.0), abs=1e-12)


@pytest.mark.parametrize(("years", "within"), [(1, 0.0), (4, 0.4)])
def test_the_prediction_interval_covers_a_new_mine(years, within):
    rng = np.random.default_rng(years)
    trials, inside = 1500, 0
    for _ in range(trials):
        mines, area, ore = mines_of(9, rng, years, within=within)
        keep = mines != "8"
        last = np.flatnonzero(~keep)[0]
        found = predict(fit_log_log(mines[keep], area[keep], ore[keep]), area[last])
        inside += found.low <= ore[last] <= found.high
    assert inside / trials == pytest.approx(0.95, abs=0.02)  # three Monte Carlo errors


def test_outside_the_fitted_range_says_so_and_widens():
    mines, area, ore = mines_of(12, np.random.default_rng(3))
    fit = fit_log_log(mines, area, ore)
    inside = predict(fit, math.exp(fit.center))
    below, above = predict(fit, area.min() / 10), predict(fit, area.max() * 10)
    assert (inside.flags, below.flags, above.flags) == ((), (BELOW,), (ABOVE,))
    assert predict(fit, area.min()).flags == predict(fit, area.max()).flags == ()
    width = [math.log(e.high / e.low) for e in (inside, below, above)]
    assert min(width[1:]) > 1.05 * width[0]


def test_area_that_explains_nothing_says_so():
    rng = np.random.default_rng(4)
    assert predict(fit_log_log(*mines_of(8, rng, slope=0.0, between=1.0)), 5e6).flags == (NO_SLOPE,)


def test_the_areas_own_uncertainty_enters_through_the_slope():
    fit = fit_log_log(*mines_of(9, np.random.default_rng(5)))
    sharp, blunt = predict(fit, 2e6), predict(fit, 2e6, 0.3)
    q = stats.t.ppf(0.975, fit.degrees)
    more = (math.log(blunt.high / blunt.tonnes) / q) ** 2 - (math.log(sharp.high / sharp.tonnes) / q) ** 2
    assert more == pytest.approx((fit.slope * 0.3) ** 2, abs=1e-9)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_units_dont_matter(area_unit, ore_unit):
    mines, area, ore = mines_of(6, np.random.default_rng(6))
    one = predict(fit_log_log(mines, area, ore), 2e6)
    other = predict(fit_log_log(mines, area * area_unit, ore * ore_unit), 2e6 * area_unit)
    assert math.log(other.tonnes / ore_unit / one.tonnes) == pytest.approx(0.0, abs=1e-7)
    assert math.log(other.high / other.low) == pytest.approx(math.log(one.high / one.low), abs=1e-7)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((list("aabbc"), [1.0, 2, 3, 4, 5], [1.0, 2, 3, 4, 5]), "at least 5 mines with reported ore, instead got 3"),
        ((list("abcdef"), [2.0] * 6, [1.0, 2, 3, 4, 5, 6]), "mines of different area, instead got 2 m2 for all"),
        ((list("abcde"), [1.0, 2], [1.0, 2]), "must be one length"),
        ((list("abcde"), [1.0, 2, 3, 4, 5], [1.0, 2, 3, 0, math.nan]), "instead got 3"),
        (([], [], []), "instead got 0"),
    ],
)
def test_tables_that_cant_be_fitted(rows, words):
    with pytest.raises(BadInput, match=words):
        fit_log_log(*rows)


# --- product to ore


def test_conversion_is_the_geometric_mean_with_a_pooled_spread():
    ratio = conversion([2.0, 8.0], CONVERSION_SPREAD[1])
    assert ratio.value == pytest.approx(4.0, abs=1e-12)
    spread = math.sqrt((30 * 1.0**2 + 2 * math.log(2) ** 2) / 31)
    assert (ratio.spread, ratio.error, ratio.degrees) == pytest.approx((spread, spread / math.sqrt(2), 31), abs=1e-12)


def test_converting_multiplies_and_widens():
    product = reported([figure(2022, 10e6, "product")], 2022, "product")
    found = convert(product, conversion([1.5], (0.35, 30)), "converted_product", "given (b)")
    assert found.tonnes == pytest.approx(15e6, abs=1e-6)
    s = math.sqrt(log_deviation(0.05) ** 2 + 2 * 0.35**2)
    assert math.log(found.high / found.tonnes) == pytest.approx(stats.t.ppf(0.975, 30) * s, abs=1e-9)
    assert found.detail.endswith("x 1.5 t of ore per t, given (b)")
    nothing = convert(
        reported([figure(2022, 0.0, "product")], 2022, "product"), conversion([1.5], (0.35, 30)), "x", "y"
    )
    assert nothing.tonnes == nothing.high == 0.0


@pytest.mark.parametrize("values", [[], [1.0, 0.0], [math.nan]])
def test_conversions_that_say_nothing(values):
    with pytest.raises(BadInput, match="ore per tonne of product must be positive numbers"):
        conversion(values, (1.0, 30))


# --- small parts


def test_pooled_spread_is_the_prior_without_data_and_the_data_in_the_long_run():
    assert pooled_spread([0.0], 0.0, (0.2, 4), 0) == (0.2, 4)
    deviations = 0.05 * np.random.default_rng(0).standard_normal(10_000)
    assert pooled_spread(deviations, 0.0, (0.2, 4), 9_999)[0] == pytest.approx(0.05, abs=0.002)
    assert pooled_spread([0.1], 1.0, (0.2, 4), 1)[0] == pytest.approx(0.2 * math.sqrt(4 / 5), abs=1e-12)


def test_an_estimate_never_overflows():
    found = estimate(1e6, 1e4, 3, "regression")
    assert math.isfinite(found.high) and found.low > 0 and math.isfinite(found.relative)


def test_leave_one_mine_out_on_real_coal_mines(shared_data):
    """Ore of 59 coal mines on their stated concession areas: the interval holds a mine that the fit never saw."""
    import pyogrio

    source = shared_data / "mines" / "jasansky" / "mine_level_data.gpkg"
    places = pyogrio.read_dataframe(
        source,
        layer="facilities",
        read_geometry=False,
        where="concession_area_sq_km > 0 AND primary_commodity = 'Coal'",
    )
    rows = pyogrio.read_dataframe(source, layer="coal", where="type = 'Coal mined' AND value_tonnes > 0")
    mined = rows.groupby(["facility_id", "year"]).value_tonnes.sum().reset_index()
    table = mined.merge(places[["facility_id", "concession_area_sq_km"]], on="facility_id")
    mines, area = table.facility_id.to_numpy(), 1e6 * table.concession_area_sq_km.to_numpy()
    ore = table.value_tonnes.to_numpy()
    fit = fit_log_log(mines, area, ore)
    assert (fit.mines, ore.size) == (59, 671)
    assert (fit.slope, fit.r2) == pytest.approx((0.39, 0.10), abs=0.01)
    shares = []
    for mine in np.unique(mines):
        out = mines == mine
        found = predict(fit_log_log(mines[~out], area[~out], ore[~out]), area[out][0])
        shares.append(np.mean((ore[out] >= found.low) & (ore[out] <= found.high)))
    assert 0.90 <= np.mean(shares) <= 0.99  # of 59 mines; measured 0.945
