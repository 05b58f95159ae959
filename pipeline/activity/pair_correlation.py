r"""How much the sample coherences of two pairs have in common, on ground that no one touches.

Pairs of one stack are not independent measurements. Those that share a date share its speckle, and where the ground
keeps its coherence, so do those that share none. For circular Gaussian samples with the coherence matrix g of the
dates, the sample covariances c have E[dc_ij dc_kl*] = g_ik g_jl* / L, and a sample coherence moves to first order by

    d|rho_ij| = Re dc_ij - g_ij (dc_ii + dc_jj) / 2

so that, for real g, with a = g_ij and b = g_kl (delta method; L the independent looks)

    L cov(ij, kl) = (g_ik g_jl + g_il g_jk) / 2 - b (g_ik g_jk + g_il g_jl) / 2 - a (g_ik g_il + g_jk g_jl) / 2
                    + a b (g_ik^2 + g_il^2 + g_jk^2 + g_jl^2) / 4
    L var(ij)     = (1 - a^2)^2 / 2

The correlation does not depend on L. For two pairs (1, 2) and (2, 3) of coherence a and b, with c = g_13, it is

    r = [c (1 - a^2 - b^2) - a b (1 - a^2 - b^2 - c^2) / 2] / [(1 - a^2) (1 - b^2)]

The coherence between dates that make no pair is not measured. Taken here is the least that physics allows: losses
multiply from date to date (g_13 = a b). Then r = a b / 2 for pairs that share a date, and a b g_23^2 / 2 for pairs
(1, 2) and (3, 4) that share none: at 0.9, 0.41 and 0.33. Against simulated stacks of 7 looks that is 9 % too high (a
finite number of looks loosens the tie), so the variance of a sum over 30 pairs comes out 10 % too high: the safe side.

Ground whose coherence stops falling (noise in every image, or a lasting part) ties pairs more closely: at 0.9 and
without any further loss r is 0.59 and 0.45, and the sum's variance three times as large. r rises with c from c = a b
on, so what is taken here is the least; what is missing is measured on the stable points, see `significance`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput

LOWEST, HIGHEST = 0.01, 0.999  # true coherence: a logarithm and a variance are wanted of it
DAY = np.timedelta64(1, "D")


def pair_correlation(true, dates) -> NDArray[np.float64]:
    """Correlation of the sample coherences of every two pairs.

    Parameters
    ----------
    true : array_like, (pair,)
        True coherence of each pair on the ground in question, 0..1.
    dates : array_like, (pair, 2)
        Reference and secondary date of each pair: datetime64, or numbers that rise with time.

    Returns
    -------
    ndarray, (pair, pair), float64
        Symmetric, positive semidefinite, 1 on the diagonal.

    Raises
    ------
    BadInput
        If the shapes differ, a coherence is missing or outside 0..1, or a pair's second date is not later.
    """
    true, dates = np.asarray(true, np.float64), np.asarray(dates)
    if true.ndim != 1 or dates.shape != (true.size, 2):
        raise BadInput(f"dates must be (pair, 2) for {true.shape} coherences, instead got {dates.shape}")
    if not ((true >= 0.0) & (true <= 1.0)).all():
        raise BadInput(f"the pairs' true coherences must lie in 0..1, instead got {true}")
    if np.issubdtype(dates.dtype, np.datetime64):
        dates = (dates - dates.min(initial=np.datetime64("2200-01-01", "ns"))) / DAY
    if not (dates[:, 0] < dates[:, 1]).all():
        raise BadInput("a pair's secondary date must be later than its reference date")
    times, index = np.unique(dates, return_inverse=True)
    index = index.reshape(dates.shape)
    g = _between_dates(np.clip(true, LOWEST, HIGHEST), times, index)
    i, j = index[:, 0], index[:, 1]
    ik, il = g[np.ix_(i, i)], g[np.ix_(i, j)]
    jk, jl = g[np.ix_(j, i)], g[np.ix_(j, j)]
    a, b = g[i, j][:, None], g[i, j][None, :]
    covariance = 0.5 * (ik * jl + il * jk - b * (ik * jk + il * jl) - a * (ik * il + jk * jl))
    covariance += 0.25 * a * b * (ik**2 + il**2 + jk**2 + jl**2)
    scale = np.sqrt(np.diag(covariance))
    return covariance / np.outer(scale, scale)


def _between_dates(true, times, index):
    """(date, date) coherence: losses multiply over the steps between dates.

    A step has the mean loss rate of the shortest pairs that cover it; one that none covers, which a rejected pair
    leaves, has the median rate of all pairs, because the pair was rejected for its weather and not for what the ground
    did.
    """
    span = times[index[:, 1]] - times[index[:, 0]]
    rate = -np.log(true) / span
    loss = np.full(max(times.size - 1, 0), np.median(rate) if rate.size else 0.0)
    for step in range(loss.size):
        covers = (index[:, 0] <= step) & (step < index[:, 1])
        if covers.any():
            loss[step] = rate[covers & (span <= span[covers].min() * 1.01)].mean()
    along = np.concatenate([[0.0], np.cumsum(loss * np.diff(times))])
    return np.exp(-np.abs(along[:, None] - along))
