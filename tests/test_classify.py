"""Classes, colours and composites: analytic cases, the documents' own counts, and what each setting lets in."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.activity.classify import (
    ThreeYears,
    classes,
    classify_year,
    coherent_pairs,
    permanently_incoherent,
    undecidable,
)
from pipeline.activity.composite import (
    COLOUR_NAMES,
    NO_COLOUR,
    colour_counts,
    colour_years,
    composite,
    year_code,
    year_pixels,
)
from pipeline.activity.hues import composite_years, hue_active, hue_code
from pipeline.activity.significance import Evidence
from pipeline.errors import BadInput
from pipeline.settings import Settings
from pipeline.variables import ACTIVE, INACTIVE, INCOHERENT, LAYOVER, NO_DATA, SHADOW

LOOKS = 7


def sample_coherence(true, rng, looks=LOOKS):
    """Sample coherence of every element of ``true`` from ``looks`` independent complex Gaussian pairs."""
    true = np.asarray(true, np.float64)
    r, n = (rng.standard_normal((*true.shape, looks)) + 1j * rng.standard_normal((*true.shape, looks)) for _ in "rn")
    s = true[..., None] * r + np.sqrt(1 - true[..., None] ** 2) * n
    power = (np.abs(r) ** 2).sum(-1) * (np.abs(s) ** 2).sum(-1)
    return (np.abs((r * s.conj()).sum(-1)) / np.sqrt(power)).astype(np.float32)


def evidence_of(coherence, quiet):
    """Evidence of a year with the given quiet ground as stable points; every pixel is the mine's."""
    pairs = len(coherence)
    days = np.datetime64("2021-01-03", "ns") + 12 * np.arange(pairs + 1) * np.timedelta64(1, "D")
    reference = np.array([c[quiet].mean(dtype=np.float64) for c in coherence])
    dates = np.stack([days[:-1], days[1:]], axis=1)
    return Evidence(coherence, np.ones(pairs, bool), reference, dates, float(LOOKS), quiet, np.ones(quiet.shape, bool))


# --- classes


def test_classes_are_exclusive_and_exhaustive():
    active = np.array([[True, False, True, True, False]])
    observed = np.array([[True, True, False, True, False]])
    permanent = np.array([[False, False, False, True, True]])
    result = classes(active, observed, permanent)
    assert result.tolist() == [[ACTIVE, INACTIVE, NO_DATA, INCOHERENT, NO_DATA]]
    assert result.dtype == np.uint8
    assert classes(active, observed)[0, 3] == ACTIVE


def test_class_shapes_must_fit():
    with pytest.raises(BadInput, match="must be one shape"):
        classes(np.ones((2, 2), bool), np.ones((2, 2), bool), np.ones((2, 3), bool))


# --- ground that can't be decided


def three_years(seed=0, pairs=12):
    """True coherence (year, pair, y, x) of four strips: quiet, vegetation, worked at 80 %, dug all of two years."""
    rng = np.random.default_rng(seed)
    true = np.full((3, pairs, 4, 400), 0.9)
    true[:, :, 1] = 0.25
    true[:, :, 2][rng.random((3, pairs, 400)) < 0.8] = 0.0
    true[:2, :, 3] = 0.0
    return true, rng


def three_years_of_counts():
    true, rng = three_years()
    counts = [coherent_pairs(sample_coherence(year, rng), np.ones(len(year), bool)) for year in true]
    return tuple(np.stack(part) for part in zip(*counts, strict=True))


def test_vegetation_is_told_from_working_ground_by_the_years_together():
    coherent, observed = three_years_of_counts()
    share = permanently_incoherent(coherent, observed, 8).mean(axis=1)
    assert share[0] == 0.0  # quiet
    assert share[1] > 0.95  # vegetation
    assert share[2] < 0.05  # ground worked in four of five intervals
    assert share[3] == 0.0  # ground worked without a break, then left alone for a year
    assert not permanently_incoherent(coherent[:1], observed[:1], 8).any()  # one year can't tell
    assert not permanently_incoherent(coherent, observed, 13).any()  # nor can years with too few pairs


def test_a_quiet_year_in_a_long_series_is_quiet_ground():
    coherent, observed = np.zeros((30, 1, 1), int), np.full((30, 1, 1), 30)
    coherent[4] = 28
    assert not permanently_incoherent(coherent, observed, 8).any()
    coherent[4] = 2
    assert permanently_incoherent(coherent, observed, 8).all()


def test_only_accepted_pairs_with_a_value_count():
    coherence = np.array([0.9, 0.9, np.nan, 0.5], np.float32).reshape(4, 1, 1)
    coherent, observed = coherent_pairs(coherence, [True, False, True, True])
    assert (coherent.item(), observed.item()) == (1, 2)


def test_counts_must_fit():
    with pytest.raises(BadInput, match="one flag a pair"):
        coherent_pairs(np.ones((3, 2, 2)), [True, True])
    with pytest.raises(BadInput, match=r"one shape \(year, y, x\)"):
        permanently_incoherent(np.zeros((2, 2)), np.zeros((2, 2)), 8)
    with pytest.raises(BadInput, match=r"layover_shadow must be \(2, 2\)"):
        undecidable(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), 0, np.zeros((3, 3), np.uint8), Settings())


def test_what_each_rule_for_permanent_ground_costs():
    coherent, observed = three_years_of_counts()
    clear = np.zeros((4, 400), np.uint8)
    record, year, none = (
        undecidable(coherent, observed, 0, clear, Settings(permanent=rule)).mean(axis=1)
        for rule in ("record", "year", "none")
    )
    assert record[1] > 0.95 and record[3] == 0.0
    # of twelve pairs none may be coherent: a year alone loses the ground that is dug all through it, and chance ...
    assert year[0] == 0.0 and year[1] > 0.8 and year[3] > 0.95
    assert year[2] < 0.2  # ... some of what is worked in four of five intervals: 0.8^12 = 7 %
    assert (none == 0.0).all()


def test_a_year_alone_asks_no_other_year():
    coherent, observed = three_years_of_counts()
    clear, settings = np.zeros((4, 400), np.uint8), Settings(permanent="year")
    alone = undecidable(coherent[1:2], observed[1:2], 0, clear, settings)
    np.testing.assert_array_equal(undecidable(coherent, observed, 1, clear, settings), alone)
    assert not undecidable(coherent, observed, 1, clear, replace(settings, minimum_pairs=13)).any()


@pytest.mark.parametrize("rule", ["record", "year", "none"])
def test_layover_and_shadow_are_never_decided(rule):
    seen = np.array([[0, LAYOVER, SHADOW, LAYOVER | SHADOW, 255]], np.uint8)
    coherent = observed = np.full((2, 1, 5), 12)
    hidden = undecidable(coherent, observed, 0, seen, Settings(permanent=rule))
    assert hidden.tolist() == [[False, True, True, True, False]]


# --- one entry for every classifier


@pytest.fixture(scope="module")
def year():
    """A worked strip (rows < 5), layover (rows 5 to 7), quiet ground below."""
    rng = np.random.default_rng(3)
    true = np.full((12, 30, 40), 0.93)
    true[::2, :5] = 0.0
    quiet = np.zeros((30, 40), bool)
    quiet[10:, :39] = True
    hidden = np.zeros((30, 40), bool)
    hidden[5:8] = True
    coherence = sample_coherence(true, rng)
    coherence[5:, :, 39] = np.nan
    return evidence_of(coherence, quiet), hidden


def test_the_test_makes_the_classes(year):
    evidence, hidden = year
    result = classify_year(evidence, None, Settings(classify="test"), hidden)
    assert (result.classes[:5, :39] == ACTIVE).mean() > 0.95
    assert (result.classes[5:8, :39] == INCOHERENT).all()
    assert (result.classes[8:, :39] == INACTIVE).mean() > 0.98
    assert (result.classes[:, 39] == NO_DATA).all()  # 5 pairs, 8 are needed
    assert result.significance.tested == 27 * 39


def test_another_year_does_not_move_the_test(year):
    evidence, hidden = year
    alone = classify_year(evidence, None, Settings(classify="test"), hidden)
    shape = hidden.shape
    rng = np.random.default_rng(9)
    for level in (0.0, 0.3, 0.44):
        others = ThreeYears(np.stack([np.full(shape, level), np.zeros(shape), rng.random(shape)]), 1)
        beside = classify_year(evidence, others.ndai[0], Settings(classify="test"), hidden, others)
        np.testing.assert_array_equal(beside.classes, alone.classes)
        assert beside.significance.z.tobytes() == alone.significance.z.tobytes()


def test_threshold_on_the_index(year):
    evidence, hidden = year
    index = np.full(hidden.shape, 0.1)
    index[0], index[1, 0], index[6, 0] = 0.3, np.nan, 0.4
    result = classify_year(evidence, index, Settings(classify="threshold", threshold=0.15), hidden)
    assert result.significance is None
    assert (result.classes[0] == ACTIVE).all() and (result.classes[2:5] == INACTIVE).all()
    assert (result.classes[1, 0], result.classes[6, 0]) == (NO_DATA, INCOHERENT)


def test_hues_make_the_classes_of_one_of_three_years(year):
    evidence, hidden = year
    index = np.zeros((3, *hidden.shape))
    index[0, 0], index[1, 0], index[:, 1], index[2, 2] = 0.40, 0.35, 0.40, np.nan
    by_year = [
        classify_year(evidence, None, Settings(classify="hsv"), hidden, ThreeYears(index, k)).classes for k in range(3)
    ]
    assert [int(c[0, 0]) for c in by_year] == [ACTIVE, ACTIVE, INACTIVE]  # yellow
    assert all((c[1] == ACTIVE).all() and (c[2] == NO_DATA).all() for c in by_year)  # white; a year missing
    assert all((c[5:8] == INCOHERENT).all() and (c[8:] == INACTIVE).all() for c in by_year)


def test_hues_need_three_years(year):
    with pytest.raises(BadInput, match="classify=hsv needs three consecutive years"):
        classify_year(year[0], None, Settings(classify="hsv"))


# --- hues


def naive_colour(three, settings=None):
    """Colour name of one pixel by the standard library's HSV."""
    low, high = 0.0, 0.45
    rgb = [min(max((v - low) / (high - low), 0.0), 1.0) for v in three]
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    if value < 0.25:
        return "black"
    if saturation < 0.25:
        return "white"
    return ("red", "yellow", "green", "cyan", "blue", "magenta")[int(np.floor((hue * 360 + 30) / 60)) % 6]


def test_every_index_has_the_colour_of_the_naive_rule():
    rng = np.random.default_rng(12)
    index = rng.uniform(-0.1, 0.6, (3, 60, 60))
    code = hue_code(index, Settings())
    expected = [[naive_colour(index[:, y, x]) for x in range(60)] for y in range(60)]
    assert np.array(COLOUR_NAMES)[code].tolist() == expected
    assert set(code.ravel()) == set(range(8))


def test_pure_colours_carry_their_years():
    for code, name in enumerate(COLOUR_NAMES):
        index = np.array([0.4 if code >> bit & 1 else 0.0 for bit in range(3)]).reshape(3, 1, 1)
        found = hue_code(index, Settings()).item()
        assert COLOUR_NAMES[found] == name
        assert [hue_active([found], k, "oldest-red").item() for k in range(3)] == [
            bool(code >> b & 1) for b in range(3)
        ]


def test_why_hues_are_not_the_default():
    three = np.array([0.40, 0.20, 0.05]).reshape(3, 1, 1)
    code = hue_code(three, Settings()).item()
    assert COLOUR_NAMES[code] == "red"
    # an index of 0.20 is an active year by the threshold, and by hue too beside other years
    assert not hue_active([code], 1, "oldest-red").item()
    assert three[1].item() > Settings().threshold
    beside_quiet_years = hue_code(np.array([0.02, 0.20, 0.02]).reshape(3, 1, 1), Settings())
    assert hue_active(beside_quiet_years, 1, "oldest-red").item()


def test_the_order_of_the_years_is_honoured():
    index = np.array([0.4, 0.02, 0.03]).reshape(3, 1, 1)
    oldest, newest = (hue_code(index, Settings(composite_order=o)).item() for o in ("oldest-red", "newest-red"))
    assert (COLOUR_NAMES[oldest], COLOUR_NAMES[newest]) == ("red", "blue")
    assert [hue_active([newest], k, "newest-red").item() for k in range(3)] == [True, False, False]


def test_limits_are_settings_and_missing_stays_missing():
    index = np.array([[[0.20, 0.40, np.nan]], [[0.02, 0.34, 0.1]], [[0.02, 0.33, 0.1]]])
    assert hue_code(index, Settings())[0].tolist() == [1, 7, NO_COLOUR]
    assert hue_code(index, Settings(hsv_value=0.6))[0, 0] == 0
    assert hue_code(index, Settings(hsv_saturation=0.1))[0, 1] == 1
    assert not hue_active([NO_COLOUR], 0, "oldest-red").any()


@given(st.tuples(*[st.floats(-1, 1)] * 3))
def test_hues_are_exclusive_and_exhaustive(three):
    assert 0 <= hue_code(np.array(three).reshape(3, 1, 1), Settings()).item() < 8


def test_which_three_years_decide():
    assert composite_years(2022, [2020, 2021, 2022, 2023]) == (2020, 2021, 2022)
    assert composite_years(2021, [2020, 2021, 2022, 2023]) == (2020, 2021, 2022)
    assert composite_years(2020, [2020, 2021, 2022, 2023]) == (2020, 2021, 2022)
    assert composite_years(2021, [2020, 2021, 2023]) is None


# --- eight colours


def test_code_of_any_classifier():
    active = np.array([[[1, 0, 1, 1]], [[0, 0, 1, 1]], [[0, 1, 1, 0]]], bool)
    known = np.ones((3, 1, 4), bool)
    known[2, 0, 3] = False
    assert year_code(active, known)[0].tolist() == [1, 4, 7, NO_COLOUR]
    assert year_code(active, known, "newest-red")[0].tolist() == [4, 1, 7, NO_COLOUR]
    assert year_code(active, known[0]).dtype == np.uint8


@pytest.mark.parametrize("order", ["oldest-red", "newest-red"])
def test_a_years_pixels_are_those_of_its_colours(order):
    rng = np.random.default_rng(0)
    active, known, inside = rng.random((3, 20, 20)) < 0.4, rng.random((20, 20)) < 0.9, rng.random((20, 20)) < 0.7
    counts = colour_counts(year_code(active, known, order), inside)
    assert sum(counts) == (known & inside).sum()
    assert year_pixels(counts, order) == tuple((active & known & inside).sum(axis=(1, 2)))
    assert sum(colour_counts(year_code(active, known, order))) == known.sum()


def test_years_of_the_documents_own_counts():
    # Sishen 2020 to 2022, Climate TRACE Table 2 with red corrected from 43,398, on which the pie chart and total agree
    counts = dict(red=48_398, green=40_088, blue=47_177, cyan=28_779, magenta=9_509, yellow=23_097, white=24_927)
    in_order = [counts.get(name, 0) for name in COLOUR_NAMES]
    assert year_pixels(in_order) == (105_931, 116_891, 110_392)
    in_order[1] = 43_398
    assert year_pixels(in_order)[0] == 100_931  # as printed


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: year_code(np.ones((2, 4, 4), bool), np.ones((4, 4), bool)), "colours need three years"),
        (lambda: year_code(np.ones((3, 4, 4), bool), np.ones((4, 5), bool)), "colours need three years"),
        (lambda: year_code(np.ones((3, 4, 4), bool), np.ones((4, 4), bool), "red"), "composite_order must be one of"),
        (lambda: year_pixels([1, 2, 3]), "counts must be those of black, red"),
        (lambda: year_pixels([0] * 8, "red"), "composite_order must be one of"),
        (lambda: hue_code(np.ones((2, 4, 4)), Settings()), "needs three years"),
    ],
)
def test_colours_name_a_bad_argument(call, message):
    with pytest.raises(BadInput, match=message):
        call()


# --- settings


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("classify", "magic", "classify must be one of test, threshold, hsv"),
        ("permanent", "all", "permanent must be one of record, year, none"),
        ("test_combination", "fisher", "test_combination must be one of squares, stouffer"),
        ("false_discovery_rate", 0.0, "false_discovery_rate must lie between 0 and 1"),
        ("false_discovery_rate", float("nan"), "false_discovery_rate must lie between 0 and 1"),
        ("hsv_value", 1.5, "hsv_value must lie in 0..1"),
        ("hsv_saturation", -0.1, "hsv_saturation must lie in 0..1"),
        ("legacy_pixel_area", 0.0, r"legacy_pixel_area must be positive \(m2\)"),
        ("stable_rule", "best", "stable_rule must be one of lasting, documented"),
        ("stable_reference", "mode", "stable_reference must be one of mean, median, huber"),
        ("stable_block", -1.0, r"stable_block must be positive \(m\)"),
        ("stable_block_share", 0.0, "stable_block_share must lie in 0..1"),
        ("site_minimum_area", -1.0, "site_minimum_area must be at least 0"),
        ("onset_false_alarm", 1.0, "onset_false_alarm must lie between 0 and 1"),
        ("onset_quiet_pairs", 0, "onset_quiet_pairs must be at least 1"),
        ("alert_history", 2, "alert_history must be at least 3"),
    ],
)
def test_settings_name_a_bad_value(name, value, message):
    with pytest.raises(BadInput, match=message):
        Settings(**{name: value})


# --- composite


def test_composite_is_absolute_and_keeps_missing_apart():
    index = np.array([[[0.45, 0.0, 0.225, np.nan, -0.3]], [[0.0, 0.9, 0.0, 0.4, 0.0]], [[0.0, 0.0, 0.45, 0.4, 0.0]]])
    picture = composite(index, (0.0, 0.45))
    assert picture.shape == (1, 5, 4) and picture.dtype == np.uint8
    expected = [[255, 0, 0, 255], [0, 255, 0, 255], [128, 0, 255, 255], [0, 0, 0, 0], [0, 0, 0, 255]]
    assert picture[0].tolist() == expected


def test_order_turns_the_channels():
    index = np.random.default_rng(0).random((3, 4, 5))
    oldest, newest = composite(index), composite(index, order="newest-red")
    np.testing.assert_array_equal(oldest[..., :3], newest[..., 2::-1])


def test_colours_name_their_years():
    oldest = dict(colour_years((2020, 2021, 2022)))
    assert oldest["red"] == (2020,) and oldest["blue"] == (2022,) and oldest["cyan"] == (2021, 2022)
    assert oldest["black"] == () and oldest["white"] == (2020, 2021, 2022)
    newest = dict(colour_years((2020, 2021, 2022), "newest-red"))
    assert newest["red"] == (2022,) and newest["yellow"] == (2021, 2022)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: composite(np.ones((2, 4, 4))), "needs three years"),
        (lambda: composite(np.ones((3, 4, 4)), (0.4, 0.4)), "composite_stretch must rise"),
        (lambda: composite(np.ones((3, 4, 4)), order="red"), "composite_order must be one of"),
        (lambda: colour_years((2020, 2021)), "needs three years"),
        (lambda: colour_years((2020, 2021, 2022), "red"), "composite_order must be one of"),
    ],
)
def test_composite_names_a_bad_argument(call, message):
    with pytest.raises(BadInput, match=message):
        call()
