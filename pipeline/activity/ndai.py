r"""The normalised difference activity index: how far a pixel's coherence falls below that of the stable points.

    NDAI_t(x) = (R_t - rho_t(x)) / (R_t + rho_t(x)),    R_t = reference of the stable points    (per pair)
    NDAI(x)   = mean of NDAI_t(x) over the accepted pairs of the year                                     (raw)
    NDAI_debiased(x) = (R - rho(x)) / (R + rho(x)),  R and rho(x) annual means over the accepted pairs, debiased first

(METHODS section 4; Climate TRACE Eq. 1; EGU2020-12625.) The raw index compares with the documents; with 7 x 2 looks it
can't exceed about 0.45, because the sample coherence of fully disturbed ground is still 0.34. About half of the stable
points come out negative: the sign is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..insar.coherence_statistics import debias_coherence
from .stable_points import StablePoints


@dataclass(frozen=True, eq=False)
class AnnualNdai:
    """Statistics over the accepted pairs with a value, (y, x) each.

    ``mean`` and ``std`` float32, NaN where ``count`` (uint16) is below the minimum number of pairs; ``std`` is the
    population standard deviation. ``coherence_mean`` float32 is the mean coherence over the same pairs and NaN in the
    same places.
    """

    mean: NDArray[np.float32] = field(repr=False)
    std: NDArray[np.float32] = field(repr=False)
    count: NDArray[np.uint16] = field(repr=False)
    coherence_mean: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True, eq=False)
class SiteNdai:
    """A site in each pair, (pair,): ``mean`` and population ``std`` of its coherence over the ``pixels`` (int) with a
    value, and the ``index`` of the mean; NaN where there is no pixel."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    pixels: NDArray[np.int64]
    index: NDArray[np.float64]


def ndai(coherence, reference):
    """Activity index of each pair.

    Parameters
    ----------
    coherence : ndarray, (pair, ...), float
        Sample coherence in 0..1, NaN where missing.
    reference : ndarray, (pair,), float
        R_t, the level of the stable points in the pair (`StablePoints.reference`); NaN where it has none.

    Returns
    -------
    ndarray, shape of ``coherence``, its dtype (at least float32)
        In -1..1; NaN where either is missing, and where both are 0.

    Raises
    ------
    BadInput
        If there is not one reference a pair.
    """
    coherence = np.asarray(coherence)
    coherence = coherence.astype(np.result_type(coherence.dtype, np.float32), copy=False)
    reference = np.asarray(reference, coherence.dtype)
    if reference.shape != coherence.shape[:1]:
        raise BadInput(
            f"reference must hold one value for each of {coherence.shape[:1]} pairs, instead got {reference.shape}"
        )
    reference = reference.reshape(-1, *(1,) * (coherence.ndim - 1))
    total = reference + coherence
    return np.divide(reference - coherence, total, out=np.full_like(total, np.nan), where=total > 0)


def annual_ndai(coherence, stable: StablePoints, minimum_pairs: int) -> AnnualNdai:
    """Mean, standard deviation and count of the index over the accepted pairs.

    Parameters
    ----------
    coherence : ndarray, (pair, y, x), float32
        NaN where missing; the pairs of one year.
    stable : StablePoints
        What was accepted, and the reference of each pair.
    minimum_pairs : int
        A pixel with fewer accepted pairs is NaN.

    Raises
    ------
    BadInput
        If the stable points belong to another number of pairs.
    """
    _check_pairs(coherence, stable)
    shape = np.shape(coherence)[1:]
    count = np.zeros(shape, np.uint16)
    mean, square, level = (np.zeros(shape, np.float64) for _ in range(3))
    # pair by pair: the index of a whole year is as large as the cube itself and only its moments are wanted
    for t in np.flatnonzero(stable.accepted):
        rho = np.asarray(coherence[t], np.float64)
        index = ndai(rho[None], stable.reference[t : t + 1])[0]
        good = np.isfinite(index)
        count += good
        # Welford's update, which keeps the variance exact where all values are alike
        step = np.where(good, index - mean, 0.0)
        mean += np.divide(step, count, out=np.zeros(shape), where=good)
        square += np.where(good, step * (index - mean), 0.0)
        level += np.where(good, rho, 0.0)
    safe = np.maximum(count, 1)
    short = count < max(minimum_pairs, 1)
    mean, std, level = (
        np.where(short, np.nan, v).astype(np.float32) for v in (mean, np.sqrt(square / safe), level / safe)
    )
    return AnnualNdai(mean, std, count, level)


def annual_ndai_debiased(coherence, stable: StablePoints, looks: float, minimum_pairs: int):
    """Index of the year from the bias-corrected annual means of coherence; 1 where no true coherence is left.

    Averaging comes first, then the inversion of the bias, then the ratio: the inverse of single samples is itself
    biased (a true 0.10 would come back as 0.19). R is averaged over the same pairs as the pixel, so that a gap in one
    pair moves both alike.

    Parameters
    ----------
    coherence, stable, minimum_pairs : as `annual_ndai`
    looks : float
        Looks that the sample coherence behaves as, see `coherence_statistics.coherence_looks`.

    Returns
    -------
    ndarray, (y, x), float32
        In -1..1; NaN where fewer accepted pairs than the minimum have a value.

    Raises
    ------
    BadInput
        As `annual_ndai`, and for an impossible number of looks.
    """
    _check_pairs(coherence, stable)
    shape = np.shape(coherence)[1:]
    count = np.zeros(shape, np.int64)
    level, reference = np.zeros(shape, np.float64), np.zeros(shape, np.float64)
    for t in np.flatnonzero(stable.accepted):
        rho = np.asarray(coherence[t], np.float64)
        good = np.isfinite(rho)
        count += good
        level += np.where(good, rho, 0.0)
        reference += np.where(good, stable.reference[t], 0.0)
    short = count < max(minimum_pairs, 1)
    safe = np.where(short, np.nan, count)
    level, reference = debias_coherence(level / safe, looks), debias_coherence(reference / safe, looks)
    total = level + reference
    index = np.divide(reference - level, total, out=np.full(shape, np.nan), where=total > 0)
    return index.astype(np.float32)


def site_ndai(coherence, mask, reference) -> SiteNdai:
    """Activity index of a site in each pair: that of its mean coherence.

    Parameters
    ----------
    coherence : ndarray, (pair, y, x), float
        Sample coherence, NaN where missing.
    mask : ndarray, (y, x), bool
        Pixels of the site.
    reference : ndarray, (pair,), float
        R_t.

    Returns
    -------
    SiteNdai

    Raises
    ------
    BadInput
        If the mask is not on the grid, holds no pixel, or there is not one reference a pair.
    """
    coherence, mask = np.asarray(coherence), np.asarray(mask, bool)
    if coherence.ndim != 3 or coherence.shape[1:] != mask.shape or not mask.any():
        raise BadInput(
            f"mask must hold pixels of the grid of a coherence (pair, y, x), instead got {int(mask.sum())} pixels of "
            f"{mask.shape} for {coherence.shape}"
        )
    over = coherence[:, mask].astype(np.float64)
    good = np.isfinite(over)
    pixels = good.sum(axis=1)
    safe = np.where(pixels > 0, pixels, np.nan)
    mean = np.where(good, over, 0.0).sum(axis=1) / safe
    std = np.sqrt((np.where(good, over - mean[:, None], 0.0) ** 2).sum(axis=1) / safe)
    return SiteNdai(mean, std, pixels, ndai(mean, reference))


def site_ndai_debiased(site: SiteNdai, reference, accepted, looks: float) -> float:
    """Bias-corrected index of a site over the accepted pairs with a value: mean over pixels and pairs, then the
    inversion, then the ratio (`annual_ndai_debiased` says why). NaN where there is none; 1 where no true coherence is
    left."""
    use = np.asarray(accepted, bool) & (site.pixels > 0) & np.isfinite(reference)
    if not use.any():
        return np.nan
    level = np.average(site.mean[use], weights=site.pixels[use])
    level, stable = debias_coherence([level, np.average(np.asarray(reference)[use], weights=site.pixels[use])], looks)
    return float((stable - level) / (stable + level)) if stable + level > 0 else np.nan


def shortfall(stable: StablePoints, minimum_pairs: int) -> str:
    """Why a year has no index at all: a sentence, or empty where enough pairs were accepted."""
    accepted = int(np.count_nonzero(stable.accepted))
    if accepted >= minimum_pairs:
        return ""
    return f"{accepted} of {len(stable.accepted)} pairs accepted, at least {minimum_pairs} are needed (minimum_pairs)"


def _check_pairs(coherence, stable):
    if np.ndim(coherence) != 3 or len(coherence) != len(stable.accepted):
        raise BadInput(
            f"coherence must be (pair, y, x) with the {len(stable.accepted)} pairs of the stable points, instead got "
            f"{np.shape(coherence)}"
        )
