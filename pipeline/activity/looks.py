r"""How many independent looks the coherence of a cube behaves as, measured on its stable points.

The looks that follow from the annotation's bandwidths (`coherence_statistics`) hold for speckle alone. What a cube
holds may vary more (resampling, noise, ground that changes a little) and its own stable points say by how much: the
variance that their coherence shows from pair to pair is what L looks give,

    residual variance of atanh(rho) = Var(atanh d | D, L)

atanh makes the variance nearly the same at every coherence (2 % from D = 0.8 to 0.95 at 7 looks, where that of d itself
falls by a factor of ten), so stable points of different coherence may be pooled. Each pixel's mean and each pair's
mean are taken off first, for ground differs and weather too; with P pixels, n pairs and the correlation r of pairs
(`pair_correlation`), which hides a part of the noise in the pixels' means, what is left has the expectation

    E[sum of squares] = (P - 1) (sum of s_t^2 - sum of r_tu s_t s_u / n),   s_t^2 = Var(atanh d | D_t, L)

and L is where it equals the measured sum. On simulated stacks that is 1 % to 3 % low, because r is a little high. It
comes out high where speckle lasts longer than r allows for (8 % with noise of 3 % in every image, 15 % where half of
the rest never decays), where points were chosen for being steady (5 % at 0.9, 18 % at 0.8), and where a pair loses
coherence without gaining noise, as to a baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import BadInput
from ..insar.coherence_statistics import coherence_pdf

TOP = 0.998  # where sample coherences are cut: a stored one is a multiple of 1/256 there
FEWEST, MOST = 1.1, 100.0  # looks, the range that is searched
START, STEPS = 7.0, 50
ROUNDS = 4  # of taking off the means; complete data need one
BLOCK = 3  # pixels: windows of 7 x 2 overlap on neighbouring pixels of a 20 m grid, not farther


@dataclass(frozen=True)
class LooksEstimate:
    """Equivalent looks of a cube: the value, its standard error, and the stable points and pairs it comes from."""

    value: float
    std_error: float
    pixels: int
    pairs: int


def transformed_variance(true, looks: float):
    """Variance of atanh of the sample coherence, cut at ``TOP``.

    Parameters
    ----------
    true : array_like
        True coherence in 0..1 (1 excluded).
    looks : float
        Independent looks, more than 1.

    Returns
    -------
    ndarray, shape of ``true``, float64
        About 1 / (2 L - 2) at high coherence.

    Raises
    ------
    BadInput
        As `coherence_statistics.coherence_pdf`.
    """
    true = np.asarray(true, np.float64)[..., None]
    nodes, weights = np.polynomial.legendre.leggauss(128)
    centre, reach = np.arctanh(true), 12.0 / np.sqrt(looks - 0.5)
    low, high = np.maximum(centre - reach, 0.0), centre + reach
    x = low + (high - low) * (0.5 * (nodes + 1.0))
    mass = coherence_pdf(np.tanh(x), true, looks) / np.cosh(x) ** 2 * weights
    mass /= mass.sum(axis=-1, keepdims=True)
    x = np.minimum(x, np.arctanh(TOP))
    mean = (mass * x).sum(axis=-1, keepdims=True)
    return (mass * (x - mean) ** 2).sum(axis=-1)


def calibrated_looks(coherence, stable, true, correlation) -> LooksEstimate:
    """Equivalent looks from the residual variance of the stable points.

    Parameters
    ----------
    coherence : ndarray, (pair, y, x), float
        Accepted pairs only; NaN where missing.
    stable : ndarray, (y, x), bool
        Stable points.
    true : ndarray, (pair,)
        True coherence of the stable points in each pair.
    correlation : ndarray, (pair, pair)
        As `pair_correlation`.

    Returns
    -------
    LooksEstimate
        ``std_error`` counts neighbouring pixels as one. Infinite, with the value at an end of 1.1..100, where the
        points vary more or less than any number of looks explains.

    Raises
    ------
    BadInput
        If shapes differ, or fewer than two pairs or two stable points have values.
    """
    coherence, stable = np.asarray(coherence), np.asarray(stable, bool)
    true, correlation = np.asarray(true, np.float64), np.asarray(correlation, np.float64)
    pairs = len(coherence)
    if coherence.shape != (pairs, *stable.shape) or true.shape != (pairs,) or correlation.shape != (pairs, pairs):
        raise BadInput(
            f"coherence {coherence.shape}, stable {stable.shape}, true {true.shape} and correlation "
            f"{correlation.shape} must be of the same pairs and pixels"
        )
    value = np.arctanh(np.minimum(coherence[:, stable].astype(np.float64), TOP))
    known = np.isfinite(value)
    use = known.sum(axis=0) >= 2
    value, known = value[:, use], known[:, use]
    pixels = int(use.sum())
    if pairs < 2 or pixels < 2:
        raise BadInput(f"looks need at least 2 pairs and 2 stable points with values, instead got {pairs} and {pixels}")
    squares = (_residuals(value, known) ** 2).sum(axis=0)
    weight = known.T.astype(np.float64)

    def expected(looks):
        s = np.sqrt(transformed_variance(true, looks))
        tied = ((weight * s) @ correlation * (weight * s)).sum(axis=1)
        own = weight @ s**2 - tied / weight.sum(axis=1)
        return own.sum() * (pixels - 1) / pixels

    total, looks = squares.sum(), START
    for _ in range(STEPS):
        # the expectation falls nearly as 1 / (L - 1), so that this is Newton's step and a few are enough
        ratio = expected(looks) / total if total > 0.0 else np.inf
        looks = float(np.clip(1.0 + (looks - 1.0) * ratio, FEWEST, MOST))
        if looks in (FEWEST, MOST):
            return LooksEstimate(looks, np.inf, pixels, pairs)
        if abs(ratio - 1.0) < 1e-6:
            break
    error = (looks - 1.0) * _sum_error(squares, stable, use) / total
    return LooksEstimate(looks, float(error), pixels, pairs)


def _residuals(value, known):
    """(pair, pixel) values without the means of pairs and pixels; 0 where unknown."""
    left = np.where(known, value, 0.0)
    for _ in range(1 if known.all() else ROUNDS):
        for axis in (1, 0):
            count = np.maximum(known.sum(axis=axis, keepdims=True), 1)
            left = np.where(known, left - left.sum(axis=axis, keepdims=True) / count, 0.0)
    return left


def _sum_error(squares, stable, use):
    """Standard error of the sum of the pixels' squares, with blocks of neighbours as the units that vary."""
    rows, columns = (place[use] // BLOCK for place in np.nonzero(stable))
    _, block = np.unique(rows * (stable.shape[1] // BLOCK + 1) + columns, return_inverse=True)
    over = np.bincount(block, squares - squares.mean())
    blocks = len(over)
    return np.sqrt(np.sum(over**2) * blocks / max(blocks - 1, 1))
