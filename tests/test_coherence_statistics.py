"""Statistics of the sample coherence against quadrature, series and speckle that share nothing with the module."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betainc, gammaln

from pipeline.errors import BadInput
from pipeline.insar.coherence_statistics import (
    coherence_looks,
    coherence_pdf,
    debias_coherence,
    equivalent_looks,
    expected_coherence,
    window_autocorrelation,
)

RANGE_RATE, AZIMUTH_RATE = 64.34523812571428e6, 486.4863102995529  # Hz, as annotated
# processed bandwidth (Hz) and Hamming coefficient, range and azimuth, as annotated
SWATHS = {
    "IW1": (56.5e6, 0.75, 327.0, 0.70),
    "IW2": (48.3e6, 0.75, 313.0, 0.75),
    "IW3": (42.78991840322842e6, 0.75, 314.0, 0.75),
}


def spectrum_of(swath):
    range_bandwidth, range_window, azimuth_bandwidth, azimuth_window = SWATHS[swath]
    return {
        "range_sampling_rate": RANGE_RATE,
        "range_bandwidth": range_bandwidth,
        "range_window": range_window,
        "azimuth_frequency": AZIMUTH_RATE,
        "azimuth_bandwidth": azimuth_bandwidth,
        "azimuth_window": azimuth_window,
    }


# --- correlation of neighbours


@pytest.mark.parametrize("swath", SWATHS)
def test_autocorrelation_equals_the_integral_of_the_spectrum(swath):
    bandwidth, a, *_ = SWATHS[swath]

    def power(f):
        return (a + (1 - a) * np.cos(2 * np.pi * f / bandwidth)) ** 2

    lags = np.array([0.0, 0.3, 0.5, 1.0, 1.7, 2.0, 6.0, 13.4])
    half = bandwidth / 2
    total = quad(power, -half, half)[0]
    slow = [
        quad(lambda f, k=k: power(f) * np.cos(2 * np.pi * f * k / RANGE_RATE), -half, half, limit=200)[0] / total
        for k in lags
    ]
    fast = window_autocorrelation(lags, RANGE_RATE, bandwidth, a)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-8)  # correlation, no unit
    assert fast[0] == 1.0


def test_full_unweighted_band_is_white():
    rho = window_autocorrelation(np.arange(8), 100.0, 100.0, 1.0)
    np.testing.assert_allclose(rho, np.eye(8)[0], rtol=0, atol=1e-15)  # correlation


@given(st.floats(-50, 50), st.floats(0.1, 1.0), st.floats(0.5, 1.0))
def test_autocorrelation_is_even_and_bounded(lag, bandwidth, coefficient):
    here = window_autocorrelation(lag, 1.0, bandwidth, coefficient)
    assert here == pytest.approx(window_autocorrelation(-lag, 1.0, bandwidth, coefficient), abs=1e-12)
    assert abs(here) <= 1.0 + 1e-12


def test_autocorrelation_keeps_nan():
    assert np.isnan(window_autocorrelation([np.nan, 1.0], 2.0, 1.0, 0.75)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0, 0.75), "sampling must be a positive rate"),
        ((1.0, 2.0, 0.75), "bandwidth must be positive and at most the sampling rate"),
        ((1.0, 0.0, 0.75), "bandwidth must be positive"),
        ((2.0, 1.0, 0.0), "Hamming coefficient must lie in"),
        ((2.0, 1.0, 1.2), "Hamming coefficient must lie in"),
    ],
)
def test_autocorrelation_names_a_bad_argument(arguments, message):
    with pytest.raises(BadInput, match=message):
        window_autocorrelation(1, *arguments)


# --- looks


@pytest.mark.parametrize(("swath", "documented"), [("IW1", 7.4), ("IW2", 6.6), ("IW3", 5.9)])
def test_equivalent_looks_of_the_documented_window(swath, documented):
    assert equivalent_looks((7, 2), **spectrum_of(swath)) == pytest.approx(documented, abs=0.05)  # looks, as rounded


def test_one_sample_is_one_look():
    assert equivalent_looks((1, 1), **spectrum_of("IW2")) == pytest.approx(1.0, abs=1e-12)  # looks
    assert coherence_looks((1, 1), **spectrum_of("IW2")) == pytest.approx(1.0, abs=1e-9)


def test_white_samples_are_all_independent():
    white = dict.fromkeys(("range_sampling_rate", "range_bandwidth", "azimuth_frequency", "azimuth_bandwidth"), 5.0)
    white |= {"range_window": 1.0, "azimuth_window": 1.0}
    assert equivalent_looks((7, 2), **white) == pytest.approx(14.0, abs=1e-9)  # looks
    assert coherence_looks((7, 2), **white) == pytest.approx(14.0, abs=1e-6)


@pytest.mark.parametrize("looks", [(0, 2), (7, 0), (2.5, 2)])
@pytest.mark.parametrize("function", [equivalent_looks, coherence_looks])
def test_looks_must_be_whole(function, looks):
    with pytest.raises(BadInput, match="looks must be a positive whole number"):
        function(looks, **spectrum_of("IW1"))


@pytest.mark.parametrize("looks", [(7, 2), (14, 4), (3, 1)])
def test_coherence_looks_lie_between_equivalent_looks_and_samples(looks):
    spectrum = spectrum_of("IW2")
    assert equivalent_looks(looks, **spectrum) < coherence_looks(looks, **spectrum) < looks[0] * looks[1]


# --- the law for independent looks


def series_mean(true, looks, terms=4000):
    """E[d] by the mixture of beta laws: sum over j of negative-binomial weights times a beta moment."""
    j = np.arange(terms)
    log = gammaln(looks + j) - gammaln(looks) - gammaln(j + 1) + looks * np.log1p(-true * true)
    log += 2 * j * np.log(true) if true > 0 else np.where(j > 0, -np.inf, 0.0)
    return np.sum(np.exp(log + gammaln(j + 1.5) + gammaln(looks + j) - gammaln(j + 1) - gammaln(looks + j + 0.5)))


@pytest.mark.parametrize("looks", [1.0001, 1.05, 2.0, 2.5, 5.9, 7.42, 14.0, 50.3, 200.0])
def test_expected_coherence_equals_the_series(looks):
    for true in (0.0, 0.05, 0.3, 0.5, 0.8, 0.9):
        assert float(expected_coherence(true, looks)) == pytest.approx(series_mean(true, looks), abs=1e-9)


@pytest.mark.parametrize(("looks", "floor"), [(6, 0.369), (7, 0.341), (14, 0.239)])
def test_floor_of_the_documents(looks, floor):
    assert float(expected_coherence(0.0, looks)) == pytest.approx(floor, abs=1e-3)  # coherence


@pytest.mark.parametrize(("sample", "true"), [(0.40, 0.253), (0.36, 0.142), (0.80, 0.792)])
def test_debiased_values_of_the_documents(sample, true):
    assert float(debias_coherence(sample, 7.0)) == pytest.approx(true, abs=1e-3)  # coherence


@pytest.mark.parametrize(("true", "mean", "std"), [(0.8, 0.808, 0.101), (0.5, 0.552, 0.175)])
def test_moments_of_the_density(true, mean, std):
    d = np.linspace(0.0, 1.0, 20001)
    p = coherence_pdf(d, true, 7.0)
    first, second = np.trapezoid(p * d, d), np.trapezoid(p * d * d, d)
    assert np.trapezoid(p, d) == pytest.approx(1.0, abs=1e-6)  # probability
    assert first == pytest.approx(mean, abs=1e-3)  # coherence
    assert np.sqrt(second - first**2) == pytest.approx(std, abs=1e-3)  # coherence


@pytest.mark.parametrize("looks", [1.5, 2.0, 6.4, 60.0, 200.0])
def test_density_without_signal_is_a_beta_law(looks):
    # for D = 0 the square of d is Beta(1, L - 1)
    d = np.linspace(0.01, 0.95, 50)
    steps = [quad(lambda x: float(coherence_pdf(x, 0.0, looks)), 0.0, top, epsabs=1e-10)[0] for top in d[::10]]
    np.testing.assert_allclose(steps, betainc(1.0, looks - 1.0, d[::10] ** 2), rtol=0, atol=1e-7)  # probability


def test_density_outside_and_missing():
    p = coherence_pdf([-0.1, 0.0, 1.0, 1.1, np.nan], 0.5, 7.0)
    np.testing.assert_array_equal(p, [0.0, 0.0, 0.0, 0.0, np.nan])
    assert float(coherence_pdf(1.0, 0.5, 1.5)) == np.inf
    assert float(coherence_pdf(1.0, 0.5, 2.0)) == pytest.approx(float(coherence_pdf(1.0 - 1e-9, 0.5, 2.0)), abs=1e-6)


def test_ends_of_the_scale():
    assert expected_coherence([0.999, 1.0], 7.0) == pytest.approx([0.9990002, 1.0], abs=1e-6)
    np.testing.assert_array_equal(debias_coherence([0.0, 0.2, 1.0, np.nan], 7.0), [0.0, 0.0, 1.0, np.nan])
    assert np.isnan(expected_coherence([np.nan], 7.0)).all()


@given(st.floats(0.0, 1.0), st.sampled_from([1.05, 2.0, 5.9, 7.42, 30.0, 200.0]))
def test_debias_inverts_the_mean(true, looks):
    assert float(debias_coherence(expected_coherence(true, looks), looks)) == pytest.approx(true, abs=1e-5)  # coherence


def test_averaging_comes_before_inverting():
    rng = np.random.default_rng(7)
    a, b = (rng.standard_normal((2, 200_000, 7)).view() for _ in range(2))
    r, n = a[0] + 1j * a[1], b[0] + 1j * b[1]
    s = 0.10 * r + np.sqrt(1 - 0.01) * n
    d = np.abs((r * s.conj()).sum(1)) / np.sqrt((np.abs(r) ** 2).sum(1) * (np.abs(s) ** 2).sum(1))
    # a true 0.10: inverting the mean returns it, the mean of inverted samples is near twice as high
    assert float(debias_coherence(d.mean(), 7.0)) == pytest.approx(0.10, abs=0.01)  # coherence
    assert debias_coherence(d, 7.0).mean() > 0.18


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expected_coherence(0.5, 1.0), "equivalent looks must lie in"),
        (lambda: expected_coherence(1.2, 7.0), "true coherence must lie in 0..1, instead got 1.2"),
        (lambda: coherence_pdf(0.5, 1.0, 7.0), "no density"),
        (lambda: coherence_pdf(0.5, -0.1, 7.0), "true coherence must lie"),
        (lambda: debias_coherence(1.5, 7.0), "sample coherence must lie in 0..1, instead got 1.5"),
        (lambda: debias_coherence(0.5, 0.0), "equivalent looks must lie in"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(BadInput, match=message):
        call()


# --- band-limited speckle as Sentinel-1 records it


def speckle_coherence(swath, trues, size, seed):
    """Mean of |coherence| over 2 x 7 boxes of simulated Hamming-weighted, oversampled speckle, per true coherence."""
    range_bandwidth, range_window, azimuth_bandwidth, azimuth_window = SWATHS[swath]

    def weight(rate, bandwidth, a):
        f = np.fft.fftfreq(size, 1.0 / rate)
        return np.where(np.abs(f) <= bandwidth / 2, a + (1 - a) * np.cos(2 * np.pi * f / bandwidth), 0.0)

    w = np.outer(
        weight(AZIMUTH_RATE, azimuth_bandwidth, azimuth_window), weight(RANGE_RATE, range_bandwidth, range_window)
    )
    rng = np.random.default_rng(seed)

    def scene():
        noise = rng.standard_normal((size, size)) + 1j * rng.standard_normal((size, size))
        field = np.fft.ifft2(np.fft.fft2(noise) * w)
        return field / np.sqrt(np.mean(np.abs(field) ** 2))

    def box(x):
        c = np.pad(x.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        return c[2:, 7:] - c[:-2, 7:] - c[2:, :-7] + c[:-2, :-7]

    r, n = scene(), scene()
    means = []
    for true in trues:
        s = true * r + np.sqrt(1 - true**2) * n
        means.append((np.abs(box(r * s.conj())) / np.sqrt(box(np.abs(r) ** 2) * box(np.abs(s) ** 2))).mean())
    return np.array(means)


@pytest.mark.parametrize("swath", SWATHS)
def test_coherence_of_simulated_speckle(swath):
    trues = np.array([0.0, 0.3, 0.5, 0.7, 0.9])
    measured = speckle_coherence(swath, trues, 1024, seed=3)
    looks = coherence_looks((7, 2), **spectrum_of(swath))
    np.testing.assert_allclose(measured, expected_coherence(trues, looks), rtol=0, atol=0.004)  # coherence
    np.testing.assert_allclose(debias_coherence(measured[1:], looks), trues[1:], rtol=0, atol=0.01)  # coherence
    # the intensity's looks miss by more at low coherence: why the coherence has a number of its own
    intensity = equivalent_looks((7, 2), **spectrum_of(swath))
    misses = np.abs(expected_coherence(trues, intensity) - measured)
    assert 0.007 < misses[0] < 0.018
    assert misses[-1] < 0.003
