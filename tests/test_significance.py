"""The test of a year against quadrature, simulated stacks with known coherence, and band-limited speckle on the map."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import fft
from scipy.integrate import quad
from scipy.special import betainc, ndtr, ndtri
from scipy.stats import multivariate_normal

from pipeline.activity.looks import calibrated_looks, transformed_variance
from pipeline.activity.pair_correlation import pair_correlation
from pipeline.activity.significance import (
    Evidence,
    coherence_score,
    discovery_limit,
    squares_covariance,
    year_significance,
)
from pipeline.activity.stable_points import select_stable_points
from pipeline.errors import BadInput
from pipeline.insar.coherence import coherence_at
from pipeline.insar.coherence_statistics import coherence_looks, coherence_pdf, debias_coherence
from pipeline.settings import Settings

PAIRS = 30
DEFAULTS = Settings()


def chain_dates(pairs=PAIRS):
    """(pair, 2) dates twelve days apart, each pair from one date to the next."""
    days = np.datetime64("2021-01-03", "ns") + 12 * np.arange(pairs + 1) * np.timedelta64(1, "D")
    return np.stack([days[:-1], days[1:]], axis=1)


# --- correlation of pairs


def simulated_correlation(between, index, looks, size=100_000, seed=0):
    """Correlation matrix of sample coherences of pairs ``index`` of dates with the coherence matrix ``between``."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((len(between), size * looks * 2), dtype=np.float32)
    dates = (np.linalg.cholesky(between).astype(np.float32) @ white).view(np.complex64).reshape(-1, size, looks)
    power = (np.abs(dates) ** 2).sum(-1)
    d = [np.abs((dates[i] * dates[j].conj()).sum(-1)) / np.sqrt(power[i] * power[j]) for i, j in index]
    return np.corrcoef(d)


def test_correlation_equals_simulated_stacks():
    g = np.array([0.9, 0.8, 0.95, 0.85])
    along = np.concatenate([[0.0], np.cumsum(-np.log(g))])
    between = np.exp(-np.abs(along[:, None] - along))
    index = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 2), (1, 3)]
    expected = pair_correlation([between[i, j] for i, j in index], index)
    # asymptotic in the looks: with 30 it holds to 0.02 ...
    np.testing.assert_allclose(expected, simulated_correlation(between, index, 30), rtol=0, atol=0.025)  # correlation
    # ... and with 7 it lies above what happens, by up to a sixth: the safe side
    seven = simulated_correlation(between, index, 7)
    assert (expected - seven > -0.01).all() and (expected - seven < 0.07).all()


def test_correlation_of_pairs_that_share_a_date_or_none():
    r = pair_correlation(np.full(4, 0.9), chain_dates(4))
    np.testing.assert_allclose(r[0], [1.0, 0.9**2 / 2, 0.9**4 / 2, 0.9**6 / 2], rtol=0, atol=1e-12)
    np.testing.assert_allclose(r, pair_correlation(np.full(4, 0.9), [[0, 1], [1, 2], [2, 3], [3, 4]]), atol=1e-12)


def test_a_rejected_pair_leaves_a_step_of_the_usual_loss():
    gap = pair_correlation([0.9, 0.9], [[0, 1], [2, 3]])
    assert gap[0, 1] == pytest.approx(0.9**4 / 2, abs=1e-12)  # correlation
    assert pair_correlation([0.9, 0.9], [[0, 1], [4, 5]])[0, 1] == pytest.approx(0.9**8 / 2, abs=1e-12)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_correlation_is_a_correlation_matrix(true, random):
    dates = [(first := random.randint(0, 20), first + random.randint(1, 4)) for _ in true]
    r = pair_correlation(true, dates)
    np.testing.assert_allclose(np.diag(r), 1.0, rtol=0, atol=1e-9)
    np.testing.assert_allclose(r, r.T, rtol=0, atol=1e-12)
    assert np.linalg.eigvalsh(r).min() > -1e-6


@pytest.mark.parametrize(
    ("true", "dates", "message"),
    [
        ([0.9], [[0, 1], [1, 2]], r"dates must be \(pair, 2\)"),
        ([1.2], [[0, 1]], "true coherences must lie in 0..1"),
        ([np.nan], [[0, 1]], "true coherences must lie in 0..1"),
        ([0.9], [[1, 1]], "secondary date must be later"),
    ],
)
def test_correlation_names_a_bad_argument(true, dates, message):
    with pytest.raises(BadInput, match=message):
        pair_correlation(true, dates)


# --- scores


@pytest.mark.parametrize("looks", [3.0, 6.43, 7.91])
@pytest.mark.parametrize("true", [0.3, 0.8, 0.93, 0.98])
def test_score_is_exact_far_into_the_tail(true, looks):
    def below(d):
        ends = np.linspace(0.0, d, 25)
        parts = [quad(lambda x: float(coherence_pdf(x, true, looks)), a, b, epsabs=0)[0] for a, b in pairwise(ends)]
        return ndtri(sum(parts))

    d = np.array([0.02, 0.1, 0.2, 0.34, 0.5, 0.7, 0.8])
    expected = np.array([below(x) for x in d])
    near = (expected > -8.0) & (expected < 3.0)
    assert near.any()
    np.testing.assert_allclose(coherence_score(d, true, looks)[near], expected[near], rtol=0, atol=1e-3)  # sigma
    assert (coherence_score(d, true, looks)[expected < -8.0] < -7.99).all()


def test_score_without_signal_is_that_of_a_beta_law():
    d = np.linspace(0.05, 0.95, 19)
    expected = ndtri(betainc(1.0, 6.0 - 1.0, d**2))
    np.testing.assert_allclose(coherence_score(d, 0.0, 6.0), expected, rtol=0, atol=1e-3)  # sigma


def test_score_rises_and_keeps_nan():
    score = coherence_score(np.linspace(0.0, 1.0, 501), 0.9, 7.0)
    assert (np.diff(score) >= 0.0).all() and score[0] == -8.0
    assert score[-1] == score[-2]  # above 0.998 a stored coherence says no more
    assert np.isnan(coherence_score(np.nan, 0.9, 7.0))


@pytest.mark.parametrize("c", [-0.7, 0.0, 0.3, 0.9])
def test_covariance_of_squares_equals_the_integral(c):
    x, step = np.linspace(-9.0, 0.0, 901, retstep=True)
    law = multivariate_normal([0.0, 0.0], [[1.0, c], [c, 1.0]])
    density = law.pdf(np.stack(np.meshgrid(x, x), axis=-1))
    expected = (density * np.outer(x**2, x**2)).sum() * step**2 - 0.25
    assert squares_covariance(c) == pytest.approx(expected, abs=2e-4)
    assert squares_covariance(1.0) == pytest.approx(1.25, abs=1e-12)


# --- discoveries


def test_discovery_limit_equals_the_naive_rule():
    rng = np.random.default_rng(2)
    p = np.concatenate([rng.random(400), rng.random(60) * 1e-3, [np.nan] * 9])
    ranked = sorted(p[np.isfinite(p)])
    passing = [value for k, value in enumerate(ranked, 1) if value <= 0.05 * k / len(ranked)]
    assert discovery_limit(p, 0.05) == max(passing)
    assert discovery_limit([0.5, 0.9, np.nan], 0.05) == 0.0
    assert discovery_limit([], 0.05) == 0.0


@given(st.lists(st.floats(1e-12, 1.0), min_size=1, max_size=40), st.floats(0.01, 0.3))
def test_a_higher_rate_finds_no_less(p, rate):
    assert discovery_limit(p, rate) <= discovery_limit(p, rate * 1.5)


# --- looks of a cube


def independent_stack(true, looks, shape, rng):
    """Sample coherence (pair, y, x) of a chain of dates with the coherences ``true`` and whole independent looks."""
    size = (*shape, looks)

    def white():
        parts = rng.standard_normal((2, *size), dtype=np.float32)
        return (parts[0] + 1j * parts[1]).astype(np.complex64)

    field, out = white(), []
    for g in true:
        g = np.broadcast_to(np.asarray(g, np.float32), shape)[..., None]
        after = g * field + np.sqrt(1.0 - g * g) * white()
        power = (np.abs(field) ** 2).sum(-1) * (np.abs(after) ** 2).sum(-1)
        out.append(np.abs((field * after.conj()).sum(-1)) / np.sqrt(power))
        field = after
    return np.array(out, np.float32)


@pytest.mark.parametrize(("true", "looks", "size"), [(0.8, 7, 200_000), (0.93, 5, 200_000)])
def test_variance_of_the_transformed_coherence(true, looks, size):
    d = independent_stack([true], looks, (size, 1), np.random.default_rng(8))
    measured = np.arctanh(np.minimum(d, 0.998).astype(np.float64)).var()
    assert float(transformed_variance(true, looks)) == pytest.approx(measured, rel=0.012)  # 1.2 % is 4 sigma
    assert float(transformed_variance(true, looks)) == pytest.approx(1.0 / (2 * looks - 2), rel=0.03)


@pytest.mark.parametrize("looks", [5, 7, 12])
def test_looks_are_measured_on_ground_of_many_coherences(looks):
    rng = np.random.default_rng(looks)
    ground, weather = rng.uniform(0.84, 0.97, (40, 40)), rng.uniform(0.95, 1.0, (20, 1, 1))
    true = ground * weather
    coherence = independent_stack(true, looks, ground.shape, rng)
    coherence[rng.random(coherence.shape) < 0.05] = np.nan
    mean = true.mean(axis=(1, 2))
    correlation = pair_correlation(mean, chain_dates(20))
    estimate = calibrated_looks(coherence, np.ones(ground.shape, bool), mean, correlation)
    assert estimate.value == pytest.approx(looks, rel=0.05)
    assert (estimate.pixels, estimate.pairs) == (1600, 20)
    assert 0.001 * looks < estimate.std_error < 0.02 * looks


def test_standard_error_of_the_looks_is_their_scatter():
    rng = np.random.default_rng(1)
    correlation, everywhere = pair_correlation([0.9] * 12, chain_dates(12)), np.ones((15, 15), bool)
    found = [
        calibrated_looks(independent_stack([0.9] * 12, 7, (15, 15), rng), everywhere, np.full(12, 0.9), correlation)
        for _ in range(25)
    ]
    values, errors = np.array([f.value for f in found]), np.array([f.std_error for f in found])
    assert 6.7 < values.mean() < 7.05  # looks: the correlation taken off is a little high
    assert 0.6 < values.std() / errors.mean() < 1.5  # 25 draws know a scatter to 14 %


def test_looks_without_an_answer_are_unsure():
    correlation = pair_correlation([0.9] * 5, chain_dates(5))
    still = calibrated_looks(np.full((5, 4, 4), 0.9), np.ones((4, 4), bool), np.full(5, 0.9), correlation)
    assert (still.value, still.std_error) == (100.0, np.inf)
    rng = np.random.default_rng(0)
    wild = np.where(rng.random((5, 9, 9)) < 0.5, 0.0, 0.998)
    assert calibrated_looks(wild, np.ones((9, 9), bool), np.full(5, 0.9), correlation).value < 1.4


def test_looks_need_pairs_and_points():
    correlation = pair_correlation([0.9] * 5, chain_dates(5))
    with pytest.raises(BadInput, match="at least 2 pairs and 2 stable points with values, instead got 5 and 0"):
        calibrated_looks(np.full((5, 4, 4), 0.9), np.zeros((4, 4), bool), np.full(5, 0.9), correlation)
    with pytest.raises(BadInput, match="must be of the same pairs and pixels"):
        calibrated_looks(np.full((4, 4, 4), 0.9), np.ones((4, 4), bool), np.full(5, 0.9), correlation)


# --- the year: false discoveries and power

RANGE_RATE, AZIMUTH_RATE = 64.34523812571428e6, 486.4863102995529  # Hz, IW2 as annotated
RANGE_BAND, RANGE_WINDOW, AZIMUTH_BAND, AZIMUTH_WINDOW = 48.3e6, 0.75, 313.0, 0.75
IW2_LOOKS = coherence_looks(
    (7, 2),
    range_sampling_rate=RANGE_RATE,
    range_bandwidth=RANGE_BAND,
    range_window=RANGE_WINDOW,
    azimuth_frequency=AZIMUTH_RATE,
    azimuth_bandwidth=AZIMUTH_BAND,
    azimuth_window=AZIMUTH_WINDOW,
)
STEP = 20.0 / 14.0, 20.0 / 3.7  # lines and samples a 20 m pixel of the map moves by: windows of 28 x 26 m overlap


def band_limited_stack(true, size, rng):
    """Coherence (pair, y, x) on a 20 m map from IW2 speckle at full resolution; ``true`` per pair, number or (y, x)."""
    lines, samples = (int(size * step) + 14 for step in STEP)
    row = np.minimum((np.arange(lines) / STEP[0]).astype(int), size - 1)
    column = np.minimum((np.arange(samples) / STEP[1]).astype(int), size - 1)

    def weight(count, rate, band, a):
        f = fft.fftfreq(count, 1.0 / rate)
        return np.where(np.abs(f) <= band / 2, a + (1 - a) * np.cos(2 * np.pi * f / band), 0.0)

    shape = np.outer(
        weight(lines, AZIMUTH_RATE, AZIMUTH_BAND, AZIMUTH_WINDOW), weight(samples, RANGE_RATE, RANGE_BAND, RANGE_WINDOW)
    ).astype(np.float32)

    def speckle():
        white = rng.standard_normal((lines, samples, 2), dtype=np.float32).view(np.complex64)[..., 0]
        return fft.ifft2(fft.fft2(white) * shape)

    line, sample = np.meshgrid(
        (np.arange(size) + 0.5) * STEP[0] + 1, (np.arange(size) + 0.5) * STEP[1] + 4, indexing="ij"
    )
    before, out = speckle(), []
    for g in true:
        g = np.broadcast_to(np.asarray(g, np.float32), (size, size))[np.ix_(row, column)]
        after = g * before + np.sqrt(1.0 - g * g) * speckle()
        out.append(coherence_at(before, after, line, sample, (7, 2)))
        before = after
    return np.array(out)


def evidence_of(coherence, looks, settings=DEFAULTS):
    """What the chain hands to the test: stable points over the whole map, all of it a mine."""
    everywhere, dates = np.ones(coherence.shape[1:], bool), chain_dates(len(coherence))
    stable = select_stable_points(coherence, everywhere, settings)
    return Evidence(
        coherence, stable.accepted, stable.reference, dates, looks, stable.mask, everywhere, stable.optimism
    )


def run(coherence, looks, settings=DEFAULTS):
    evidence = evidence_of(coherence, looks, settings)
    return year_significance(evidence, evidence.mine, settings)


@pytest.mark.parametrize("true", [0.93, 0.8])
def test_stable_ground_with_independent_looks_has_no_discoveries(true):
    # 0.8 is the level at which stable points are chosen: half of the ground is, because speckle flattered it
    rng = np.random.default_rng(21)
    results = [run(independent_stack([true] * PAIRS, 7, (40, 40), rng), 7.0) for _ in range(20)]
    # at most 5 % of scenes with any: 5 or more of 20 would happen in 0.3 % of draws
    assert sum(r.active.any() for r in results) <= 4
    z = np.concatenate([r.z.ravel() for r in results])
    for limit in (-2.0, -3.0):
        # heavier than normal by a fifth at 0.93: points chosen for being steady flatter the reference by 0.001, which
        # their optimism doesn't see; lighter at 0.8, where the variance is taken 10 % too high
        assert 0.2 < (z < limit).mean() / ndtr(limit) < 1.6
    assert max(r.spread for r in results) < 0.15  # sigma: homogeneous ground costs no power


def test_stable_ground_with_overlapping_windows_has_no_discoveries():
    rng = np.random.default_rng(22)
    results = [run(band_limited_stack([0.9] * PAIRS, 50, rng), IW2_LOOKS) for _ in range(20)]
    assert sum(r.active.any() for r in results) <= 4
    assert [r.looks for r in results] == pytest.approx([IW2_LOOKS] * 20, rel=0.02)


def worked_scene(rng, size=50, block=10, share=0.2, disturbed=8, quiet=0.9):
    """(true coherence (pair, y, x), worked (y, x)): blocks without any coherence in 8 of 30 intervals."""
    blocks = (size // block, size // block)
    worked = np.zeros(blocks, bool)
    worked.flat[rng.permutation(worked.size)[: round(share * worked.size)]] = True
    rank = rng.random((PAIRS, *blocks)).argsort(axis=0)
    grow = np.ones((block, block), bool)
    true = [np.where(np.kron(worked & (r < disturbed), grow), 0.0, quiet) for r in rank]
    return np.array(true), np.kron(worked, grow)


def touched(worked):
    """Pixels whose windows may hold worked ground, and those whose windows hold nothing else (one pixel's margin)."""
    padded = np.pad(worked, 1, mode="edge")
    views = [padded[i : i + worked.shape[0], j : j + worked.shape[1]] for i in range(3) for j in range(3)]
    return np.any(views, axis=0), np.all(views, axis=0)


def proportions(combination, seeds, quiet=0.9):
    """(false share of the discoveries, found share of the fully worked pixels) of each seed."""
    rng, settings = np.random.default_rng(23), Settings(test_combination=combination)
    found = []
    for _ in range(seeds):
        true, worked = worked_scene(rng, quiet=quiet)
        active = run(band_limited_stack(true, len(worked), rng), IW2_LOOKS, settings).active
        some, all_ = touched(worked)
        found.append(((active & ~some).sum() / max(active.sum(), 1), active[all_].mean()))
    return np.array(found).T


def test_false_discoveries_and_power_beside_worked_ground():
    false, power = proportions("squares", 20)
    assert false.mean() <= 0.05 + 2 * false.std() / np.sqrt(20)
    assert false.mean() > 0.005  # there are some: the limit is not merely far away
    assert power.mean() >= 0.99  # asked: 0.9 where 25 % of the intervals are disturbed


def test_why_stouffers_sum_is_not_the_default():
    false, power = proportions("stouffer", 5)
    assert false.mean() <= 0.05 + 2 * false.std() / np.sqrt(5)
    assert 0.5 < power.mean() < 0.85


def test_ground_of_many_coherences_widens_the_null_and_keeps_the_level():
    rng = np.random.default_rng(24)
    ground = np.clip(rng.normal(0.9, 0.025, (60, 60)), 0.7, 0.98)
    quiet = run(independent_stack([ground] * PAIRS, 7, ground.shape, rng), 7.0)
    assert 0.3 < quiet.spread < 1.0  # sigma
    assert (quiet.p < 0.01).mean() < 0.02
    assert not quiet.active.any()
    # taken as one number, the same ground would be full of discoveries
    worked = [np.where(np.arange(60) < 12, 0.0, ground) if t % 2 else ground for t in range(PAIRS)]
    found = run(independent_stack(worked, 7, ground.shape, rng), 7.0).active
    assert found[:, :12].mean() > 0.98  # half of the intervals
    assert found[:, 12:].mean() < 0.01


def test_fluctuating_ground_takes_the_looks_that_it_shows():
    rng = np.random.default_rng(25)
    true = np.clip(0.9 + 0.03 * rng.standard_normal((PAIRS, 40, 40)), 0.0, 0.99)
    result = run(independent_stack(true, 7, (40, 40), rng), 7.0)
    assert result.looks == result.measured.value < 6.5
    assert not result.active.any()


# --- the year: what it is made of


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(5)
    true = np.full((12, 30, 30), 0.93)
    true[::2, :6, :6] = 0.0
    return evidence_of(independent_stack(true, 7, (30, 30), rng), 7.0)


def test_gaps_equal_the_pixel_without_the_missing_pairs(small):
    coherence = small.coherence.copy()
    coherence[[1, 4], :, 20:] = np.nan
    gaps = year_significance(replace(small, coherence=coherence, looks=6.0), small.mine, Settings())
    fewer = small.accepted.copy()
    fewer[[1, 4]] = False
    short = year_significance(replace(small, accepted=fewer, looks=6.0), small.mine, Settings())
    assert (gaps.spread, short.spread) == (0.0, 0.0)
    # the same pairs give the same answer, but for the correlation over a gap, which neighbours in time tell less well
    np.testing.assert_allclose(gaps.z[:, 20:], short.z[:, 20:], rtol=0, atol=0.05)  # sigma
    assert np.isnan(
        year_significance(replace(small, coherence=coherence), small.mine, Settings(minimum_pairs=11)).z[0, 25]
    )


def test_stouffers_score_equals_the_naive_sum(small):
    settings = Settings(test_combination="stouffer")
    result = year_significance(small, small.mine, settings)
    true = debias_coherence(small.reference - small.optimism, small.looks)
    variance = pair_correlation(true, small.dates).sum()
    assert result.spread == 0.0
    for y, x in ((0, 0), (3, 20), (29, 29)):
        scores = [coherence_score(d, t, result.looks) for d, t in zip(small.coherence[:, y, x], true, strict=True)]
        assert result.z[y, x] == pytest.approx(np.sum(scores) / np.sqrt(variance), abs=2e-3)  # sigma


def test_result_is_what_it_says(small):
    result = year_significance(small, small.mine, Settings())
    assert result.z.dtype == np.float32 and result.p.dtype == np.float64
    np.testing.assert_array_equal(result.active, result.p <= result.limit)
    assert result.active[:6, :6].all() and result.active.mean() < 0.06
    assert result.tested == 900
    np.testing.assert_allclose(result.z, ndtri(result.p), rtol=0, atol=1e-5)  # sigma
    again = year_significance(small, small.mine, Settings())
    assert again.z.tobytes() == result.z.tobytes()


def test_only_candidates_count_among_the_discoveries(small):
    few = np.zeros((30, 30), bool)
    few[20:] = True
    inside, outside = (year_significance(small, c, Settings()) for c in (small.mine, few))
    np.testing.assert_array_equal(inside.p, outside.p)
    assert outside.tested == 300
    assert outside.limit < inside.limit


def test_a_flattered_reference_is_lowered(small):
    plain, lower = (year_significance(replace(small, optimism=o), small.mine, Settings()) for o in (0.0, 0.02))
    assert np.nanmedian(lower.p - plain.p) > 0.05
    unknown = year_significance(replace(small, optimism=np.nan), small.mine, Settings())
    np.testing.assert_array_equal(unknown.p, plain.p)


def test_too_few_pairs_give_nothing(small):
    fewer = small.accepted & (np.arange(12) < 7)
    result = year_significance(replace(small, accepted=fewer), small.mine, Settings())
    assert np.isnan(result.z).all() and not result.active.any() and result.measured is None and result.tested == 0
    nothing = year_significance(replace(small, accepted=np.zeros(12, bool)), small.mine, Settings())
    assert np.isnan(nothing.p).all()


def test_evidence_must_fit(small):
    for name, value in (("accepted", np.ones(3, bool)), ("dates", np.zeros((12, 3))), ("stable", np.ones((2, 2)))):
        with pytest.raises(BadInput, match=f"{name} must have the shape"):
            replace(small, **{name: value})
    with pytest.raises(BadInput, match="candidates must be on the grid"):
        year_significance(small, np.ones((2, 2), bool), Settings())
    with pytest.raises(BadInput, match="every accepted pair needs a reference"):
        year_significance(replace(small, reference=np.full(12, np.nan)), small.mine, Settings())
