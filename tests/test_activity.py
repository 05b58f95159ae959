"""Stable points, activity index, classes, areas and composite: analytic cases, naive references, simulated truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from pyproj import Geod, Transformer

from pipeline.activity.area import active_area, pixel_areas
from pipeline.activity.classify import classes, classify, coherent_pairs, permanently_incoherent
from pipeline.activity.composite import colour_years, composite
from pipeline.activity.ndai import annual_ndai, annual_ndai_debiased, ndai, shortfall
from pipeline.activity.stable_points import StablePoints, select_stable_points
from pipeline.errors import BadInput, NoStablePoints
from pipeline.insar.coherence_statistics import expected_coherence
from pipeline.settings import Settings
from pipeline.variables import ACTIVE, INACTIVE, INCOHERENT, NO_DATA

LOOKS = 7


def sample_coherence(true, rng, looks=LOOKS):
    """Sample coherence of every element of ``true`` from ``looks`` independent complex Gaussian pairs."""
    true = np.asarray(true, np.float64)
    r, n = (rng.standard_normal((*true.shape, looks)) + 1j * rng.standard_normal((*true.shape, looks)) for _ in "rn")
    s = true[..., None] * r + np.sqrt(1 - true[..., None] ** 2) * n
    power = (np.abs(r) ** 2).sum(-1) * (np.abs(s) ** 2).sum(-1)
    return (np.abs((r * s.conj()).sum(-1)) / np.sqrt(power)).astype(np.float32)


def mine_year(pairs=12, size=40, seed=0):
    """A year over a mine: stable ground 0.93, a pit (rows < 10) always disturbed, vegetation 0.25 (rows >= 35)."""
    true = np.full((pairs, size, size), 0.93)
    true[:, :10] = 0.0
    true[:, 35:] = 0.25
    return true, np.random.default_rng(seed)


def stable_of(mean, accepted=None, shape=(1, 1)):
    """A StablePoints made by hand."""
    mean = np.asarray(mean, np.float64)
    accepted = np.ones(mean.shape, bool) if accepted is None else np.asarray(accepted, bool)
    return StablePoints(np.ones(shape, bool), 1, mean, np.zeros_like(mean), accepted, ("accepted",) * mean.size)


# --- stable points


def test_quiet_year_accepts_every_pair_and_finds_the_quiet_ground():
    true, rng = mine_year()
    inside = np.ones(true.shape[1:], bool)
    stable = select_stable_points(sample_coherence(true, rng), inside, Settings())
    assert stable.accepted.all()
    assert set(stable.reason) == {"accepted"}
    assert not stable.mask[:10].any()  # the pit
    assert not stable.mask[35:].any()  # vegetation
    assert stable.mask[10:35].mean() > 0.95
    np.testing.assert_allclose(stable.mean, expected_coherence(0.93, LOOKS), rtol=0, atol=0.01)  # coherence


def test_result_is_a_fixed_point_by_its_definition():
    true, rng = mine_year(seed=4)
    coherence = sample_coherence(true, rng)
    coherence[3] *= 0.5
    settings = Settings()
    inside = np.zeros(true.shape[1:], bool)
    inside[:, 5:30] = True
    stable = select_stable_points(coherence, inside, settings)
    used = coherence[stable.accepted].astype(np.float64)
    expected = inside & (used.mean(0) >= settings.stable_mean) & (used.std(0) <= settings.stable_std)
    np.testing.assert_array_equal(stable.mask, expected)
    over = coherence[:, stable.mask].astype(np.float64)
    np.testing.assert_allclose(stable.mean, over.mean(1), rtol=0, atol=1e-12)  # coherence
    np.testing.assert_allclose(stable.std, over.std(1), rtol=0, atol=1e-12)
    kept = (over.mean(1) >= settings.reject_mean) & (over.std(1) <= settings.reject_std)
    np.testing.assert_array_equal(stable.accepted, kept)
    assert stable.rounds <= settings.stable_rounds


def test_a_snow_date_is_rejected_although_it_spoils_every_plain_standard_deviation():
    true, rng = mine_year(pairs=10)
    true[4:6] *= 0.2
    coherence = sample_coherence(true, rng)
    quiet = coherence[:, 15:30]
    assert (quiet.std(0) > 0.1).all()  # the plain rule over all pairs finds nothing
    stable = select_stable_points(coherence, np.ones(true.shape[1:], bool), Settings())
    assert np.flatnonzero(~stable.accepted).tolist() == [4, 5]
    assert stable.reason[4:6] == ("low_stable_mean", "low_stable_mean")
    assert stable.mask[15:30].mean() > 0.95


def test_a_long_winter_is_rejected_from_the_upper_quartile():
    true, rng = mine_year(pairs=15)
    true[:8] *= 0.2
    stable = select_stable_points(sample_coherence(true, rng), np.ones(true.shape[1:], bool), Settings())
    assert np.flatnonzero(stable.accepted).tolist() == list(range(8, 15))


def test_patchy_snow_is_rejected_by_its_spread():
    true, rng = mine_year()
    true[2, :, 30:] *= 0.1
    settings = Settings(reject_mean=0.6)
    stable = select_stable_points(sample_coherence(true, rng), np.ones(true.shape[1:], bool), settings)
    assert stable.reason[2] == "high_stable_std"
    assert stable.std[2] > 0.2
    assert stable.accepted.sum() == 11


def test_a_pair_that_brushes_the_mine_has_no_reference():
    true, rng = mine_year()
    coherence = sample_coherence(true, rng)
    coherence[1, :, 5:] = np.nan
    coherence[7] = np.nan
    stable = select_stable_points(coherence, np.ones(true.shape[1:], bool), Settings())
    assert stable.reason[1] == stable.reason[7] == "no_stable_data"
    assert np.isfinite(stable.mean[1]) and np.isnan(stable.mean[7]) and np.isnan(stable.std[7])
    assert stable.accepted.sum() == 10


def test_points_with_gaps_need_enough_pairs():
    coherence = np.full((8, 20, 20), 0.9, np.float32)
    coherence[:2, :, :3] = np.nan  # 6 of 8 pairs: enough
    coherence[:3, :, 3:5] = np.nan  # 5 of 8: not
    stable = select_stable_points(coherence, np.ones((20, 20), bool), Settings(stable_valid=0.75))
    # the first pairs still cover more than 75 % of the points, so they count among the eight
    assert stable.accepted.all()
    assert stable.mask[:, :3].all() and not stable.mask[:, 3:5].any()


def test_only_the_inside_counts():
    coherence = np.full((5, 20, 20), 0.9, np.float32)
    inside = np.zeros((20, 20), bool)
    inside[:12] = True
    stable = select_stable_points(coherence, inside, Settings())
    np.testing.assert_array_equal(stable.mask, inside)
    assert stable.count == 240


def test_too_few_points_names_count_thresholds_and_setting():
    coherence = np.full((9, 12, 12), 0.9, np.float32)
    inside = np.zeros((12, 12), bool)
    inside[:3] = True
    with pytest.raises(NoStablePoints, match=r"only 36 stable points.*at least 100.*stable_minimum.*>= 0.8.*<= 0.1"):
        select_stable_points(coherence, inside, Settings())


def test_all_pairs_rejected_says_the_best():
    coherence = np.full((9, 12, 12), 0.75, np.float32)
    with pytest.raises(NoStablePoints, match=r"all 9 pairs are rejected.*best mean is 0.750.*reject_mean"):
        select_stable_points(coherence, np.ones((12, 12), bool), Settings(stable_mean=0.7))


def test_nothing_inside_and_no_pairs():
    with pytest.raises(NoStablePoints, match="only 0 stable points"):
        select_stable_points(np.full((3, 4, 4), 0.9), np.zeros((4, 4), bool), Settings())
    with pytest.raises(NoStablePoints, match="over 0 pairs"):
        select_stable_points(np.empty((0, 4, 4)), np.ones((4, 4), bool), Settings())


def test_shapes_must_fit():
    with pytest.raises(BadInput, match=r"coherence must be \(pair, y, x\) on the grid of the mine mask"):
        select_stable_points(np.ones((3, 4, 5)), np.ones((4, 4), bool), Settings())


def flipping_stack():
    """Pair 0 is refused by the points that it leaves stable, and wanted by those that are stable without it."""
    coherence = np.full((4, 20, 20), 0.9, np.float32)
    coherence[0, :10] = 0.74  # A: stable with or without pair 0, in which its mean is too low
    coherence[1:, 10:] = 0.82
    coherence[0, 10:] = 1.0  # B: so much better in pair 0 that it varies too much with it
    return coherence


def test_a_pair_that_flips_for_ever_is_out_for_good():
    settings = Settings(stable_std=0.075, reject_std=0.5)
    stable = select_stable_points(flipping_stack(), np.ones((20, 20), bool), settings)
    assert stable.mean[0] >= settings.reject_mean  # by these points it would come back
    assert stable.accepted.tolist() == [False, True, True, True]
    assert stable.reason[0] == "low_stable_mean"
    assert stable.mask.all()


def test_no_settling_is_an_error():
    true, rng = mine_year(pairs=10)
    true[4:6] *= 0.2
    with pytest.raises(NoStablePoints, match=r"did not settle in 1 rounds .* raise stable_rounds"):
        select_stable_points(
            sample_coherence(true, rng), np.ones(true.shape[1:], bool), Settings(stable_rounds=1, stable_valid=0.5)
        )


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.floats(0.3, 0.9))
def test_any_stack_settles_or_says_why(seed, pairs, level):
    rng = np.random.default_rng(seed)
    coherence = np.clip(level + 0.2 * rng.standard_normal((pairs, 6, 6)), 0, 1).astype(np.float32)
    coherence[rng.random(coherence.shape) < 0.1] = np.nan
    settings = Settings(stable_minimum=2, stable_mean=0.6, stable_std=0.25, reject_mean=0.6, stable_valid=0.5)
    try:
        stable = select_stable_points(coherence, np.ones((6, 6), bool), replace(settings, stable_rounds=40))
    except NoStablePoints as error:
        assert "did not settle" not in str(error)
        return
    assert stable.accepted.any() and stable.count >= 2
    assert ((stable.mean >= 0.6) | ~stable.accepted).all()


# --- index


def test_index_of_one_pair():
    rho = np.array([[[0.8, 0.2, 0.0, np.nan]]])
    np.testing.assert_allclose(ndai(rho, [0.8])[0, 0], [0.0, 0.6, 1.0, np.nan], rtol=0, atol=1e-12)  # index
    assert ndai(rho.astype(np.float32), [0.8]).dtype == np.float32
    assert np.isnan(ndai(np.zeros((1, 1)), [0.0])).all()
    assert np.isnan(ndai(np.full((1, 1), 0.5), [np.nan])).all()


@given(st.floats(0.01, 1), st.floats(0, 1))
def test_index_is_bounded_and_odd(reference, rho):
    index = float(ndai(np.array([rho]), np.array([reference]))[0])
    assert -1 <= index <= 1
    assert (index > 0) == (reference > rho) or reference == pytest.approx(rho, abs=1e-15)


def test_index_needs_one_reference_a_pair():
    with pytest.raises(BadInput, match="reference must hold one value"):
        ndai(np.ones((3, 2, 2)), [0.9, 0.9])


def test_annual_mean_equals_the_naive_loop():
    rng = np.random.default_rng(5)
    coherence = rng.random((11, 6, 7)).astype(np.float32)
    coherence[rng.random(coherence.shape) < 0.2] = np.nan
    accepted = rng.random(11) < 0.8
    stable = stable_of(0.8 + 0.1 * rng.random(11), accepted)
    annual = annual_ndai(coherence, stable, 5)
    for y, x in np.ndindex(6, 7):
        pairs = [t for t in range(11) if accepted[t] and np.isfinite(coherence[t, y, x])]
        values = [(stable.mean[t] - coherence[t, y, x]) / (stable.mean[t] + coherence[t, y, x]) for t in pairs]
        assert annual.count[y, x] == len(values)
        if len(values) < 5:
            assert np.isnan([annual.mean[y, x], annual.std[y, x], annual.coherence_mean[y, x]]).all()
            continue
        assert annual.mean[y, x] == pytest.approx(np.mean(values), abs=1e-6)  # index
        assert annual.std[y, x] == pytest.approx(np.std(values), abs=1e-6)
        assert annual.coherence_mean[y, x] == pytest.approx(coherence[pairs, y, x].mean(), abs=1e-6)  # coherence


def test_too_few_pairs_are_nan_with_a_reason():
    coherence = np.full((9, 2, 2), 0.5, np.float32)
    coherence[0, 0, 0] = np.nan
    stable = stable_of(np.full(9, 0.9), [True] * 8 + [False])
    annual = annual_ndai(coherence, stable, 8)
    assert np.isnan(annual.mean).tolist() == [[True, False], [False, False]]
    assert np.isnan(annual_ndai_debiased(coherence, stable, 7.0, 8)).tolist() == [[True, False], [False, False]]
    assert shortfall(stable, 8) == ""
    assert "8 of 9 pairs accepted, at least 10" in shortfall(stable, 10)


def test_raw_index_tops_out_at_the_bias_floor():
    rng = np.random.default_rng(1)
    coherence = sample_coherence(np.zeros((40, 30, 30)), rng)
    stable = stable_of(np.full(40, 0.9))
    floor = float(expected_coherence(0.0, LOOKS))
    raw = annual_ndai(coherence, stable, 8).mean.mean()
    # the mean of ratios lies a little above the ratio of means, because the index is convex in rho
    assert 0.0 < raw - (0.9 - floor) / (0.9 + floor) < 0.05  # index
    pooled = annual_ndai_debiased(coherence.reshape(40 * 900, 1, 1), stable_of(np.full(36_000, 0.9)), LOOKS, 8)
    assert pooled[0, 0] == pytest.approx(1.0, abs=0.12)  # a true 0.05 is left of 36,000 samples at most


@pytest.mark.parametrize("true", [0.3, 0.5, 0.7])
def test_debiased_index_recovers_the_truth(true):
    coherence = sample_coherence(np.full((20_000, 1, 1), true), np.random.default_rng(2))
    reference = float(expected_coherence(0.9, LOOKS))
    stable = stable_of(np.full(len(coherence), reference))
    debiased = float(annual_ndai_debiased(coherence, stable, LOOKS, 8)[0, 0])
    assert debiased == pytest.approx((0.9 - true) / (0.9 + true), abs=0.01)  # index


def test_debiased_reference_follows_the_gaps_of_the_pixel():
    coherence = np.full((10, 1, 2), 0.85, np.float32)
    mean = np.array([0.85] * 8 + [0.95] * 2)
    coherence[8:, 0, 0] = np.nan
    debiased = annual_ndai_debiased(coherence, stable_of(mean), 7.0, 8)
    assert debiased[0, 0] == pytest.approx(0.0, abs=1e-6)  # index
    assert debiased[0, 1] > 0.005


def test_index_measures_how_often_ground_moved():
    rng = np.random.default_rng(3)
    raw = []
    for share in (0.0, 0.5, 1.0):
        true = np.where(rng.random((30, 40, 40)) < share, 0.0, 0.9)
        coherence = sample_coherence(true, rng)
        raw.append(annual_ndai(coherence, stable_of(np.full(30, float(expected_coherence(0.9, 7)))), 8).mean.mean())
    assert raw[1] == pytest.approx((raw[0] + raw[2]) / 2, abs=0.01)  # index: linear in the share of intervals
    assert raw[0] == pytest.approx(0.0, abs=0.015)


def test_pairs_must_match():
    for function in (lambda c, s: annual_ndai(c, s, 1), lambda c, s: annual_ndai_debiased(c, s, 7.0, 1)):
        with pytest.raises(BadInput, match="with the 4 pairs of the stable points"):
            function(np.ones((3, 2, 2)), stable_of(np.ones(4)))


# --- classes


def test_classes_are_exclusive_and_exhaustive():
    index = np.array([[0.3, 0.1, np.nan, 0.4, np.nan, -0.2]])
    permanent = np.array([[False, False, False, True, True, False]])
    result = classify(index, Settings(threshold=0.15), permanent)
    assert result.tolist() == [[ACTIVE, INACTIVE, NO_DATA, INCOHERENT, NO_DATA, INACTIVE]]
    assert result.dtype == np.uint8
    assert classify(index, Settings())[0, 3] == ACTIVE


def test_class_shapes_must_fit():
    with pytest.raises(BadInput, match="must be one shape"):
        classes(np.ones((2, 2), bool), np.ones((2, 2), bool), np.ones((2, 3), bool))


def three_years(seed=0, pairs=12):
    """True coherence (year, pair, y, x) of four strips: quiet, vegetation, worked at 80 %, dug all of two years."""
    rng = np.random.default_rng(seed)
    true = np.full((3, pairs, 4, 400), 0.9)
    true[:, :, 1] = 0.25
    true[:, :, 2][rng.random((3, pairs, 400)) < 0.8] = 0.0
    true[:2, :, 3] = 0.0
    return true, rng


def test_vegetation_is_told_from_working_ground_by_the_years_together():
    true, rng = three_years()
    counts = [coherent_pairs(sample_coherence(year, rng), np.ones(len(year), bool)) for year in true]
    coherent, observed = (np.stack(part) for part in zip(*counts, strict=True))
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


# --- areas


def box_of(epsg, left, bottom, width, height, spacing):
    bounds = BoundingBox(left, bottom, left + width, bottom + height, crs=f"EPSG:{epsg}")
    return GeoBox.from_bbox(bounds, resolution=spacing, tight=True)


@pytest.mark.parametrize(
    ("epsg", "left", "bottom"),
    [(32632, 495_000, 5_600_000), (32632, 800_000, 100_000), (32734, 695_000, 6_925_000), (32633, 300_000, 8_700_000)],
    ids=["central meridian", "zone edge at the equator", "south", "far north"],
)
def test_pixel_areas_equal_geodesic_areas(epsg, left, bottom):
    grid = box_of(epsg, left, bottom, 10_000, 7_000, 20)
    areas = pixel_areas(grid)
    to_geographic = Transformer.from_crs(epsg, 4326, always_xy=True)
    geod = Geod(ellps="WGS84")

    def geodesic(x0, x1, y0, y1, n):
        x, y = np.linspace(x0, x1, n), np.linspace(y0, y1, n)
        ring_x = np.concatenate([x, np.full(n, x1), x[::-1], np.full(n, x0)])
        ring_y = np.concatenate([np.full(n, y0), y, np.full(n, y1), y[::-1]])
        return abs(geod.polygon_area_perimeter(*to_geographic.transform(ring_x, ring_y))[0])

    whole = geodesic(left, left + 10_000, bottom, bottom + 7_000, 200)
    assert areas.sum() / whole == pytest.approx(1.0, abs=1e-6)  # relative
    for row, column in ((0, 0), (101, 333), (349, 499)):
        x, top = left + 20 * column, bottom + 7_000 - 20 * row
        assert areas[row, column] == pytest.approx(geodesic(x, x + 20, top - 20, top, 4), abs=4e-3)  # m2 of 400
    assert abs(areas.mean() / 400 - 1) > 1e-4  # the grid's own 400 m2 would be wrong by more


def test_areas_need_a_projected_grid():
    grid = GeoBox.from_bbox(BoundingBox(6, 50, 7, 51, crs="EPSG:4326"), resolution=0.01)
    with pytest.raises(BadInput, match="projected CRS"):
        pixel_areas(grid)


def checkerboard(size=60):
    inside = np.ones((size, size), bool)
    kinds = np.full((size, size), INACTIVE, np.uint8)
    kinds[10:40, 10:40] = ACTIVE
    return kinds, inside, np.full((size, size), 400.0)


def test_active_area_is_the_sum_of_its_pixels():
    kinds, inside, areas = checkerboard()
    inside[:20] = False
    kinds[50:] = NO_DATA
    kinds[45, :5] = INCOHERENT
    result = active_area(kinds, inside, areas, 20.0)
    assert result.pixels == 20 * 30
    assert result.area == pytest.approx(20 * 30 * 400.0, abs=1e-6)  # m2
    assert result.mine == pytest.approx(40 * 60 * 400.0, abs=1e-6)
    assert result.observed == pytest.approx(30 * 60 * 400.0, abs=1e-6)
    assert 0 < result.low < result.area < result.high < result.observed


def test_same_input_gives_the_same_interval():
    assert active_area(*checkerboard(), 20.0) == active_area(*checkerboard(), 20.0)


def test_interval_of_extremes():
    kinds, inside, areas = checkerboard()
    none = active_area(np.full_like(kinds, INACTIVE), inside, areas, 20.0)
    assert (none.area, none.low, none.high) == (0.0, 0.0, 0.0)
    every = active_area(np.full_like(kinds, ACTIVE), inside, areas, 20.0)
    assert every.low == pytest.approx(every.area, abs=1e-3) and every.high == pytest.approx(every.area, abs=1e-3)
    unseen = active_area(np.zeros_like(kinds), inside, areas, 20.0)
    assert unseen.area == 0.0 and unseen.observed == 0.0 and np.isnan([unseen.low, unseen.high]).all()


def test_interval_covers_the_truth_of_patchy_activity():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        # independent 200 m patches, each active with 30 %: the expected area is known
        patches = rng.random((12, 12)) < 0.3
        kinds = np.where(np.kron(patches, np.ones((10, 10), bool)), ACTIVE, INACTIVE).astype(np.uint8)
        result = active_area(kinds, np.ones(kinds.shape, bool), np.full(kinds.shape, 400.0), 20.0)
        covered += result.low <= 0.3 * result.mine <= result.high
    assert covered >= 52  # of 60, 57 expected; below 52 by chance in 1 % of draws


def test_clustered_activity_is_less_certain_than_scattered():
    rng = np.random.default_rng(1)
    clustered, inside, areas = checkerboard()
    scattered = np.where(rng.random(clustered.shape) < 0.25, ACTIVE, INACTIVE).astype(np.uint8)
    widths = [(r.high - r.low) for r in (active_area(k, inside, areas, 20.0) for k in (clustered, scattered))]
    assert widths[0] > 3 * widths[1]


def test_tiny_mine_still_has_blocks():
    kinds = np.full((6, 6), INACTIVE, np.uint8)
    kinds[:3] = ACTIVE
    result = active_area(kinds, np.ones((6, 6), bool), np.full((6, 6), 400.0), 20.0)
    assert result.low < result.area < result.high


def test_area_arguments_must_fit():
    kinds, inside, areas = checkerboard()
    with pytest.raises(BadInput, match="must be one shape"):
        active_area(kinds, inside[:5], areas, 20.0)
    with pytest.raises(BadInput, match="no pixel centre lies inside"):
        active_area(kinds, np.zeros_like(inside), areas, 20.0)


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
