"""Stable points and activity index: analytic cases, naive references, simulated truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.activity.ndai import annual_ndai, annual_ndai_debiased, ndai, shortfall, site_ndai, site_ndai_debiased
from pipeline.activity.stable_points import StablePoints, select_stable_points
from pipeline.errors import BadInput, NoStablePoints
from pipeline.insar.coherence_statistics import debias_coherence, expected_coherence
from pipeline.settings import Settings

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


def dates(pairs):
    """Secondary dates 12 days apart."""
    return np.datetime64("2021-01-03T17:00", "ns") + np.arange(pairs) * np.timedelta64(12, "D")


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
    settings = Settings(stable_rule="documented")
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
    for pairs in (0, 1):
        with pytest.raises(NoStablePoints, match=f"at least 2 pairs, instead got {pairs}"):
            select_stable_points(np.full((pairs, 20, 20), 0.9), np.ones((20, 20), bool), Settings())


def test_shapes_must_fit():
    with pytest.raises(BadInput, match=r"coherence must be \(pair, y, x\) on the grid of the mine mask"):
        select_stable_points(np.ones((3, 4, 5)), np.ones((4, 4), bool), Settings())
    with pytest.raises(BadInput, match="time must hold one date for each of 3 pairs"):
        select_stable_points(np.ones((3, 4, 4)), np.ones((4, 4), bool), Settings(), dates(2))


def flipping_stack():
    """Pair 0 is refused by the points that it leaves stable, and wanted by those that are stable without it."""
    coherence = np.full((4, 20, 20), 0.9, np.float32)
    coherence[0, :10] = 0.74  # A: stable with or without pair 0, in which its mean is too low
    coherence[1:, 10:] = 0.82
    coherence[0, 10:] = 1.0  # B: so much better in pair 0 that it varies too much with it
    return coherence


def test_a_pair_that_flips_for_ever_is_out_for_good():
    settings = Settings(stable_std=0.075, reject_std=0.5, stable_rule="documented")
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


# --- points that last, spread over the mine


def changing_scene(seed, pairs=30, size=60):
    """Coherence, true coherence and kind of ground: 0 uneven but steady, 1 a pit, 2 benches dug once or twice, 3 drift.

    True coherence of the ground is 0.65 to 0.97 in patches of three pixels; weather takes up to 6 % of a pair, snow 70
    % of two.
    """
    rng = np.random.default_rng(seed)
    ground = np.kron(rng.beta(10, 1.5, (size // 3, size // 3)), np.ones((3, 3)))
    true = np.repeat(np.clip(ground, 0.3, 0.97)[None], pairs, axis=0)
    kind = np.zeros((size, size), int)
    true[:, :12] = np.where(rng.random((pairs, 12, size)) < 0.6, 0.05, 0.9)
    kind[:12] = 1
    for _ in range(6):
        y, x, t = rng.integers(14, size - 10), rng.integers(0, size - 10), rng.integers(12, pairs - 1)
        true[:, y : y + 8, x : x + 8] = 0.95
        true[t : t + rng.integers(1, 3), y : y + 8, x : x + 8] = 0.05
        kind[y : y + 8, x : x + 8] = 2
    for _ in range(4):
        y, x = rng.integers(14, size - 15), rng.integers(0, size - 12)
        true[:, y : y + 12, x : x + 12] = np.linspace(0.97, rng.uniform(0.6, 0.8), pairs)[:, None, None]
        kind[y : y + 12, x : x + 12] = 3
    true *= (1 - 0.06 * rng.random(pairs) ** 2)[:, None, None]
    true[7:9] *= 0.3
    return sample_coherence(true, rng), true, kind


def test_lasting_points_are_purer_and_their_reference_truer():
    found = {"documented": [], "lasting": []}
    for seed in range(3):
        coherence, true, kind = changing_scene(seed)
        for rule, rows in found.items():
            stable = select_stable_points(coherence, np.ones(kind.shape, bool), Settings(stable_rule=rule), dates(30))
            assert np.flatnonzero(~stable.accepted).tolist() == [7, 8]  # snow
            steady = expected_coherence(true[stable.accepted][:, stable.mask & (kind == 0)], LOOKS).mean(axis=1)
            error = stable.reference[stable.accepted] - steady
            share = [np.mean(kind[stable.mask] == k) for k in (2, 3)]
            rows.append((*share, abs(error[-5:].mean() - error[:5].mean()), abs(stable.drift), stable.count))
    documented, lasting = (np.mean(found[rule], axis=0) for rule in ("documented", "lasting"))
    assert lasting[0] < 0.5 * documented[0]  # benches dug once or twice
    assert lasting[1] < 0.25 * documented[1]  # ground that drifts
    assert lasting[1] < 0.02 < 0.08 < documented[1]
    assert lasting[2] < 0.004 < 0.01 < documented[2]  # coherence: what the reference itself drifts against the truth
    assert lasting[3] < documented[3]  # 1/year
    assert lasting[4] > 0.75 * documented[4]  # points: what it costs


def test_lasting_is_what_both_halves_say():
    coherence, _, kind = changing_scene(9)
    settings = Settings(stable_block=20.0)  # blocks of a pixel: nothing is thinned
    stable = select_stable_points(coherence, np.ones(kind.shape, bool), settings)
    used = coherence[stable.accepted].astype(np.float64)
    cut = (len(used) + 1) // 2

    def steady(values):
        return (values.mean(0) >= settings.stable_mean) & (values.std(0) <= settings.stable_std)

    every, early, late = steady(used), steady(used[:cut]), steady(used[cut:])
    change = used[:cut].mean(0) - used[cut:].mean(0)
    near = np.abs(change - np.median(change[every])) <= 1.5 * 0.1 * np.sqrt(1 / cut + 1 / (len(used) - cut))
    np.testing.assert_array_equal(stable.mask, every & early & late & near)
    lasts = early & late & near
    assert stable.lasting == pytest.approx(
        (lasts.sum() / early.sum() + lasts.sum() / late.sum()) / 2, abs=1e-12
    )  # share
    optimism = (change[early].mean() - change[late].mean()) / 2
    assert stable.optimism == pytest.approx(optimism, abs=1e-12)  # coherence
    assert 0.005 < stable.optimism < 0.05  # choosing flatters


def test_few_pairs_cannot_be_halved():
    true, rng = mine_year(pairs=3)
    coherence, inside = sample_coherence(true, rng), np.ones(true.shape[1:], bool)
    lasting = select_stable_points(coherence, inside, Settings(stable_block=20.0))
    documented = select_stable_points(coherence, inside, Settings(stable_rule="documented"))
    np.testing.assert_array_equal(lasting.mask, documented.mask)
    assert np.isnan([lasting.lasting, documented.lasting, lasting.optimism]).all()


def test_too_few_lasting_points_name_the_rule():
    coherence = np.full((10, 20, 20), 0.9, np.float32)
    coherence[:5, ::2] = 0.99  # half of the ground rises, half falls: nothing lasts
    coherence[5:, 1::2] = 0.99
    inside = np.ones((20, 20), bool)
    assert select_stable_points(coherence, inside, Settings(stable_rule="documented")).count == 400
    with pytest.raises(NoStablePoints, match=r"only 0 stable .* both halves of the pairs \(stable_rule = lasting"):
        select_stable_points(coherence, inside, Settings(stable_std=0.05))


def one_full_block():
    """Quiet ground over 10 x 10 blocks of 200 m: one is full, the others have five pixels each."""
    quiet = np.zeros((100, 100), bool)
    quiet[::5, ::20] = quiet[::10, 10::20] = True
    quiet[30:40, 50:60] = True
    coherence = np.full((12, 100, 100), 0.2, np.float32)
    coherence[:, quiet] = 0.9
    return coherence, quiet


def test_no_block_dominates():
    coherence, quiet = one_full_block()
    inside = np.ones(quiet.shape, bool)
    documented = select_stable_points(coherence, inside, Settings(stable_rule="documented"))
    lasting = select_stable_points(coherence, inside, Settings())
    np.testing.assert_array_equal(documented.mask, quiet)
    assert documented.fullest_block == 100 and documented.fullest_block > 0.2 * documented.count
    assert lasting.fullest_block <= 0.05 * lasting.count
    full = np.zeros_like(quiet)
    full[30:40, 50:60] = True
    np.testing.assert_array_equal(lasting.mask & ~full, quiet & ~full)  # the others are left alone
    rows = np.flatnonzero((lasting.mask & full).any(axis=1))
    assert rows.min() < 33 and rows.max() > 36  # thinned over its area, not cut off
    assert documented.blocks == lasting.blocks == 100


def test_a_small_mine_keeps_what_it_needs():
    coherence = np.full((6, 12, 14), 0.9, np.float32)  # 240 x 280 m: four blocks, one of them full
    stable = select_stable_points(coherence, np.ones((12, 14), bool), Settings())
    assert stable.count >= 100 and stable.blocks == 4
    one = select_stable_points(coherence[:, :10, :10], np.ones((10, 10), bool), Settings())
    assert one.count == one.fullest_block == 100 and one.blocks == 1


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1.0), st.integers(1, 300))
def test_spreading_keeps_its_promise(seed, share, minimum):
    rng = np.random.default_rng(seed)
    inside = rng.random((40, 50)) < rng.random((4, 5)).repeat(10, 0).repeat(10, 1)
    if inside.sum() < minimum:
        return
    coherence = np.full((4, 40, 50), 0.9, np.float32)
    settings = Settings(stable_block_share=share, stable_minimum=minimum)
    stable = select_stable_points(coherence, inside, settings)
    assert not (stable.mask & ~inside).any() and stable.count >= minimum
    blocks = stable.mask.reshape(4, 10, 5, 10).sum(axis=(1, 3))
    occupied = inside.reshape(4, 10, 5, 10).any(axis=(1, 3))
    assert ((blocks > 0) == occupied).all()
    limit = max(share, 2 / occupied.sum())
    # thinned to the share, unless the minimum needs the next step of the cap
    assert blocks.max() <= max(limit * stable.count, np.ceil(minimum / occupied.sum()), 1) + 1e-9 or (
        np.minimum(inside.reshape(4, 10, 5, 10).sum(axis=(1, 3)), blocks.max() - 1).sum() < minimum
    )


def test_drift_of_the_reference():
    time = dates(20)
    years = (time - time[0]) / np.timedelta64(31_557_600, "s")
    noise = 0.004 * np.random.default_rng(0).standard_normal(20)
    level = 0.9 - 0.05 * years + noise
    coherence = np.repeat(level, 400).reshape(20, 20, 20)
    stable = select_stable_points(coherence, np.ones((20, 20), bool), Settings(), time)
    slope, covariance = np.polyfit(years, level, 1, cov=True)
    assert stable.drift == pytest.approx(slope[0], abs=1e-6)  # 1/year
    assert stable.drift_error == pytest.approx(np.sqrt(covariance[0, 0]), abs=1e-6)
    without = select_stable_points(coherence, np.ones((20, 20), bool), Settings())
    assert np.isnan([without.drift, without.drift_error]).all()


# --- robust reference


def wet_pair(seed=0, share=0.2):
    """A year on homogeneous ground of 0.9 with some weather; in pair 12 a fifth of the mine is wet."""
    rng = np.random.default_rng(seed)
    true = np.full((20, 30, 30), 0.9) * (1 - 0.08 * rng.random(20))[:, None, None]
    expected = expected_coherence(true[:, 0, 0], LOOKS)
    true[12, : int(30 * share)] = 0.3
    return sample_coherence(true, rng), expected


@pytest.mark.parametrize(("estimate", "pulled"), [("mean", 0.088), ("median", 0.020), ("huber", 0.033)])
def test_a_robust_reference_is_pulled_less_and_keeps_the_level_of_a_mean(estimate, pulled):
    wet, others = [], []
    for seed in range(3):
        coherence, expected = wet_pair(seed)
        settings = Settings(
            stable_reference=estimate, stable_rule="documented", stable_std=0.2, reject_mean=0.7, reject_std=0.4
        )
        stable = select_stable_points(coherence, np.ones((30, 30), bool), settings)
        assert stable.accepted.all()
        error = stable.reference - expected
        wet.append(-error[12])
        others.append(np.delete(error, 12))
        plain = coherence[:, stable.mask].astype(np.float64).mean(axis=1)
        np.testing.assert_allclose(stable.mean, plain, rtol=0, atol=1e-6)  # stays the mean
    assert np.mean(wet) == pytest.approx(pulled, abs=0.006)  # coherence
    assert np.abs(np.mean(others)) < 0.001 and np.std(others) < 0.004  # coherence: no skewness left
    # so that it may be debiased as a mean
    assert debias_coherence(stable.reference[0], LOOKS) == pytest.approx(debias_coherence(expected[0], LOOKS), abs=0.01)


def test_a_plain_median_would_not_do():
    d = sample_coherence(np.full((40_000,), 0.8), np.random.default_rng(0))
    assert np.median(d) - d.mean() == pytest.approx(0.021, abs=0.002)  # coherence
    assert debias_coherence(np.median(d), LOOKS) == pytest.approx(0.822, abs=0.003)


def test_a_robust_reference_survives_gaps_and_ties():
    coherence = np.full((6, 20, 20), 0.9, np.float32)
    coherence[2, :4] = np.nan
    coherence[3] = np.nan
    for estimate in ("median", "huber"):
        stable = select_stable_points(coherence, np.ones((20, 20), bool), Settings(stable_reference=estimate))
        np.testing.assert_allclose(np.delete(stable.reference, 3), 0.9, rtol=0, atol=1e-6)  # coherence
        assert np.isnan(stable.reference[3]) and stable.reason[3] == "no_stable_data"


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


def test_index_follows_the_reference_not_the_mean():
    coherence = np.full((9, 1, 1), 0.6, np.float32)
    stable = replace(stable_of(np.full(9, 0.8)), reference=np.full(9, 0.9))
    assert annual_ndai(coherence, stable, 8).mean[0, 0] == pytest.approx(0.2, abs=1e-6)  # index
    truth = debias_coherence([0.9, 0.6], 7.0)
    debiased = (truth[0] - truth[1]) / (truth[0] + truth[1])
    assert annual_ndai_debiased(coherence, stable, 7.0, 8)[0, 0] == pytest.approx(debiased, abs=1e-6)


def test_site_is_its_mean_coherence():
    coherence = np.random.default_rng(0).random((5, 6, 7)).astype(np.float32)
    mask = np.zeros((6, 7), bool)
    mask[2:4, 1:5] = True
    coherence[1, 2, 1], coherence[3, 2:4] = np.nan, np.nan
    reference = np.array([0.9, 0.8, 0.85, 0.9, np.nan])
    site = site_ndai(coherence, mask, reference)
    assert site.pixels.tolist() == [8, 7, 8, 0, 8]
    for t in range(5):
        values = [v for v in coherence[t][mask].astype(float) if np.isfinite(v)]
        mean = np.mean(values) if values else np.nan
        np.testing.assert_allclose([site.mean[t]], [mean], rtol=0, atol=1e-12)  # coherence
        np.testing.assert_allclose([site.std[t]], [np.std(values) if values else np.nan], rtol=0, atol=1e-12)
        index = (reference[t] - mean) / (reference[t] + mean)
        np.testing.assert_allclose([site.index[t]], [index], rtol=0, atol=1e-12)
    for bad in (np.zeros((6, 7), bool), np.ones((5, 7), bool)):
        with pytest.raises(BadInput, match="mask must hold pixels of the grid"):
            site_ndai(coherence, bad, reference)


def test_average_first_then_invert():
    coherence = sample_coherence(np.full((30, 40, 40), 0.10), np.random.default_rng(6))
    mask, reference = np.ones((40, 40), bool), np.full(30, float(expected_coherence(0.9, LOOKS)))
    site = site_ndai(coherence, mask, reference)
    assert debias_coherence(site.mean.mean(), LOOKS) == pytest.approx(0.10, abs=0.02)  # true coherence
    assert debias_coherence(coherence, LOOKS).mean() == pytest.approx(0.19, abs=0.01)
    index = site_ndai_debiased(site, reference, np.ones(30, bool), LOOKS)
    assert index == pytest.approx((0.9 - 0.1) / (0.9 + 0.1), abs=0.03)  # index; 0.65 if inverted first
    assert np.isnan(site_ndai_debiased(site, reference, np.zeros(30, bool), LOOKS))


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
