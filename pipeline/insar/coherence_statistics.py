r"""What speckle does to a sample coherence: how many looks are independent, its bias, its density, and the way back.

The window of an estimate holds N_r x N_a samples, but the image is oversampled and weighted, so neighbours are
correlated. With w(f) = a + (1 - a) cos(2 pi f / B) on \|f\| <= B / 2 (a = 1: no weighting) the correlation of two
samples k apart is

    rho(k) = integral of w(f)^2 cos(2 pi f k / fs) df  /  integral of w(f)^2 df

and the equivalent number of independent looks is, per axis, N^2 / (N + 2 sum over k of (N - k) rho(k)^2).

For true coherence D and L independent looks the sample coherence d has (Touzi et al., IEEE TGRS 37(1), 1999)

    p(d) = 2 (L - 1) (1 - D^2)^L d (1 - d^2)^(L - 2) 2F1(L, L; 1; d^2 D^2)
    E[d] = Gamma(L) Gamma(3/2) / Gamma(L + 1/2) (1 - D^2)^L 3F2(3/2, L, L; L + 1/2, 1; D^2)

The series of E[d] diverges towards D = 1, so the mean is integrated from the density instead, see `expected_coherence`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import hyp2f1

from ..errors import BadInput


def window_autocorrelation(lag, sampling, bandwidth, coefficient):
    """Correlation of two speckle samples ``lag`` samples apart, for a Hamming-weighted band.

    Parameters
    ----------
    lag : array_like
        Distance in samples; fractional lags are allowed, the function is even.
    sampling : float
        Sampling rate, Hz.
    bandwidth : float
        Processed bandwidth, Hz.
    coefficient : float
        Hamming coefficient a of w = a + (1 - a) cos(2 pi f / B): 1 is a rectangular band, 0.54 the classical Hamming
        window.

    Returns
    -------
    ndarray, shape of ``lag``, float64
        In -1..1, 1 at lag 0; NaN where ``lag`` is NaN.

    Raises
    ------
    BadInput
        Where the sampling rate, the bandwidth or the coefficient can't describe a sampled band.
    """
    if not sampling > 0:
        raise BadInput(f"sampling must be a positive rate (Hz), instead got {sampling}")
    if not 0 < bandwidth <= sampling:
        raise BadInput(
            f"bandwidth must be positive and at most the sampling rate {sampling} Hz, instead got {bandwidth}"
        )
    if not 0 < coefficient <= 1:
        raise BadInput(f"Hamming coefficient must lie in 0..1 (0 excluded), instead got {coefficient}")
    x = np.asarray(lag, np.float64) * (bandwidth / sampling)
    a, b = coefficient, 1.0 - coefficient
    # w^2 is a cosine series in f, so each of its terms integrates to a pair of sinc functions
    even = a * a + 0.5 * b * b
    first = a * b * (np.sinc(x - 1.0) + np.sinc(x + 1.0))
    second = 0.25 * b * b * (np.sinc(x - 2.0) + np.sinc(x + 2.0))
    return np.sinc(x) + (first + second) / even


def axis_looks(count, sampling, bandwidth, coefficient) -> float:
    """Independent looks among ``count`` neighbouring samples of one axis; arguments as `window_autocorrelation`."""
    if count < 1 or count != int(count):
        raise BadInput(f"looks must be a positive whole number of samples, instead got {count}")
    lag = np.arange(1, int(count))
    rho = window_autocorrelation(lag, sampling, bandwidth, coefficient)
    return float(count * count / (count + 2.0 * np.sum((count - lag) * rho * rho)))


def equivalent_looks(
    looks: tuple[int, int] = (7, 2),
    *,
    range_sampling_rate: float,
    range_bandwidth: float,
    range_window: float,
    azimuth_frequency: float,
    azimuth_bandwidth: float,
    azimuth_window: float,
) -> float:
    """Equivalent number of independent looks of a range x azimuth window; names and units as in `model.Burst`.

    The number is that of the *intensity* average (METHODS section 2). 7 x 2 gives about 7.4 in IW1, 6.6 in IW2 and
    5.9 in IW3.

    Raises
    ------
    BadInput
        As `window_autocorrelation`, and where a number of looks is not a positive whole number.
    """
    range_looks, azimuth_looks = looks
    return axis_looks(range_looks, range_sampling_rate, range_bandwidth, range_window) * axis_looks(
        azimuth_looks, azimuth_frequency, azimuth_bandwidth, azimuth_window
    )


def coherence_looks(
    looks: tuple[int, int] = (7, 2),
    *,
    range_sampling_rate: float,
    range_bandwidth: float,
    range_window: float,
    azimuth_frequency: float,
    azimuth_bandwidth: float,
    azimuth_window: float,
) -> float:
    """Independent looks that a window's sample coherence behaves as; arguments as `equivalent_looks`.

    The looks of METHODS describe the variance of an average intensity. A coherence divides by the window's own
    energy, which evens out the correlated samples a little, so its bias is that of more looks: 7.9 / 7.1 / 6.4
    instead of 7.4 / 6.6 / 5.9 in IW1 / IW2 / IW3. This is the L for which E[d^2 | D = 0] = 1 / L is exact:

        1 / L = sum of m_i^2,   m_i = integral over t > 0 of l_i / (1 + l_i t) product over j of 1 / (1 + l_j t) dt

    with l_i the eigenvalues of the window's correlation matrix and m_i the mean share of the energy in each. Against
    simulated band-limited speckle E[d] then errs by less than 0.003 at any true coherence, where the looks of METHODS
    err by up to 0.014 (at D = 0, IW3).

    Raises
    ------
    BadInput
        As `equivalent_looks`.
    """
    range_looks, azimuth_looks = looks
    eigenvalues = np.kron(
        _correlation_eigenvalues(range_looks, range_sampling_rate, range_bandwidth, range_window),
        _correlation_eigenvalues(azimuth_looks, azimuth_frequency, azimuth_bandwidth, azimuth_window),
    )
    nodes, weights = np.polynomial.legendre.leggauss(256)
    u = 0.5 * (nodes + 1.0)
    spread = np.outer(u / (1.0 - u), eigenvalues)  # l t with t = u / (1 - u), which takes the half line to 0..1
    survival = np.exp(-np.log1p(spread).sum(axis=1)) * 0.5 * weights / (1.0 - u) ** 2
    share = survival @ (eigenvalues / (1.0 + spread))
    return float(1.0 / np.sum(share**2))


def _correlation_eigenvalues(count, sampling, bandwidth, coefficient):
    """(count,) eigenvalues of the correlation matrix of neighbouring samples, rounding below zero removed."""
    if count < 1 or count != int(count):
        raise BadInput(f"looks must be a positive whole number of samples, instead got {count}")
    index = np.arange(int(count))
    correlation = window_autocorrelation(index[:, None] - index, sampling, bandwidth, coefficient)
    return np.maximum(np.linalg.eigvalsh(correlation), 0.0)


def _log_density(d, square_complement, true, looks):
    """Natural log of p(d) / d from d and 1 - d^2 (given apart, because 1 - d * d loses digits near 1)."""
    true_complement = (1.0 - true) * (1.0 + true)
    # Euler: 2F1(L, L; 1; z) = (1 - z)^(1 - 2L) 2F1(1 - L, 1 - L; 1; z), whose terms are positive and bounded at z = 1
    z = (d * true) ** 2
    complement = square_complement + d * d * true_complement
    series = hyp2f1(1.0 - looks, 1.0 - looks, 1.0, z)
    return (
        np.log(2.0 * (looks - 1.0))
        + looks * np.log(true_complement)
        + (looks - 2.0) * np.log(square_complement)
        + (1.0 - 2.0 * looks) * np.log(complement)
        + np.log(series)
    )


def _check_looks(looks):
    if not 1.0 < looks <= 400.0:
        raise BadInput(
            f"equivalent looks must lie in 1..400 (1 excluded: one look is always coherent), instead got {looks}"
        )


def _check_true(true):
    true = np.asarray(true, np.float64)
    if np.any((true < 0.0) | (true > 1.0)):
        raise BadInput(f"true coherence must lie in 0..1, instead got {true[(true < 0.0) | (true > 1.0)].ravel()[0]}")
    return true


def coherence_pdf(d, true, looks):
    """Probability density of the sample coherence ``d``.

    Parameters
    ----------
    d : array_like
        Sample coherence; the density is 0 outside 0..1 and NaN where ``d`` is NaN.
    true : array_like
        True coherence, 0 <= true < 1; broadcast against ``d``.
    looks : float
        Equivalent (independent) looks, more than 1; not necessarily whole.

    Returns
    -------
    ndarray, float64
        Density per unit of d; with fewer than 2 looks it is infinite at d = 1.

    Raises
    ------
    BadInput
        For a true coherence outside 0..1 or equal to 1, where there is no density, and for too few looks.
    """
    _check_looks(looks)
    true = _check_true(true)
    if np.any(true == 1.0):
        raise BadInput("a true coherence of 1 has no density: the sample coherence is 1; expected true < 1")
    d, true = np.broadcast_arrays(np.asarray(d, np.float64), true)
    inside = (d >= 0.0) & (d <= 1.0)
    x = np.where(inside, d, 0.5)
    with np.errstate(divide="ignore"):  # log 0 at d = 1 is meant: the density is 0 or infinite there
        density = (
            x * np.exp(_log_density(x, (1.0 - x) * (1.0 + x), true, looks)) if looks != 2.0 else _two_looks(x, true)
        )
    return np.where(inside, density, np.where(np.isnan(d), np.nan, 0.0))


def _two_looks(d, true):
    """The density at exactly 2 looks, where 0 * log 0 would spoil the general formula at d = 1."""
    z = (d * true) ** 2
    return 2.0 * d * (1.0 - true * true) ** 2 * (1.0 + z) / (1.0 - z) ** 3


def expected_coherence(true, looks):
    """Mean E[d] of the sample coherence for a true coherence and a number of independent looks.

    E[d] = 1 - integral of (1 - d) p(d), by Gauss-Legendre quadrature in z = atanh(d), where the density has nearly
    the same width 1 / sqrt(2 L) for every true coherence; exact to 1e-9 for 1 < looks <= 400, also where the series
    of METHODS diverges.

    Parameters
    ----------
    true : array_like
        True coherence in 0..1; NaN stays NaN.
    looks : float
        Equivalent looks, more than 1.

    Returns
    -------
    ndarray, shape of ``true``, float64

    Raises
    ------
    BadInput
        For a true coherence outside 0..1 or too few looks.
    """
    _check_looks(looks)
    true = _check_true(true)
    clipped = np.minimum(true, 1.0 - 1e-12)
    centre = np.arctanh(clipped)[..., None]
    reach = 20.0 / np.sqrt(looks)
    nodes, weights = np.polynomial.legendre.leggauss(96)
    low, high = np.maximum(centre - reach, 0.0), centre + reach
    z = low + (high - low) * (0.5 * (nodes + 1.0))
    square_complement = 1.0 / np.cosh(z) ** 2
    d = np.tanh(z)
    log_density = _log_density(d, square_complement, clipped[..., None], looks)
    # 1 - d = (1 - d^2) / (1 + d), and dd = (1 - d^2) dz
    deficit = d * np.exp(log_density + 2.0 * np.log(square_complement)) / (1.0 + d)
    return np.where(true == 1.0, 1.0, 1.0 - 0.5 * (high - low)[..., 0] * (deficit @ weights))


@lru_cache(maxsize=64)
def _debias_table(looks: float):
    """(E[d], D^2) on a grid dense near both ends; E[d] rises strictly, and smoothly with D^2 rather than with D."""
    true = np.sin(np.linspace(0.0, 0.5 * np.pi, 513))
    return expected_coherence(true, looks), true * true


def debias_coherence(d, looks):
    """True coherence whose expected sample coherence is ``d``: the inverse of `expected_coherence`.

    Average first, then invert: the inverse is meant for means over many samples. Below the floor E[d | D = 0] it is 0.

    Parameters
    ----------
    d : array_like
        Mean sample coherence in 0..1.
    looks : float
        Equivalent looks, more than 1.

    Returns
    -------
    ndarray, shape of ``d``, float64
        In 0..1; NaN where ``d`` is NaN. Interpolation error below 1e-5 at any D.

    Raises
    ------
    BadInput
        For a coherence outside 0..1 or too few looks.
    """
    _check_looks(looks)
    d = np.asarray(d, np.float64)
    bad = (d < 0.0) | (d > 1.0 + 1e-6)  # float32 means of ones round up
    if np.any(bad):
        raise BadInput(f"sample coherence must lie in 0..1, instead got {d[bad].ravel()[0]}")
    expected, square = _debias_table(float(looks))
    return np.sqrt(np.interp(d, expected, square, left=0.0, right=1.0))
