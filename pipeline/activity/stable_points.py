r"""Pixels of the mine that stay coherent, and the pairs in which even they don't.

A stable point has a temporal mean coherence of at least ``stable_mean`` and a temporal standard deviation of at most
``stable_std`` over the accepted pairs; a pair is accepted where the stable points' mean is at least ``reject_mean``
and their standard deviation at most ``reject_std`` (METHODS section 3). Each rule needs the other's result, so they
are applied in turns until nothing changes.

Where to start decides whether that works: one snow date spoils two of ten pairs and lifts the temporal standard
deviation of *every* pixel above 0.1, so the plain rule over all pairs finds nothing. The first candidates are
therefore the pixels whose temporal **median** reaches ``stable_mean``, which fewer than half of the pairs can't
spoil, and, failing that, the upper quartile (a long winter). Every pair is judged anew in every round: a pair lost to
a bad start comes back. A pair that comes and goes for ever is rejected for good, as ``low_stable_mean``.

Rejection feeds on itself where ``reject_mean`` lies above ``stable_mean``: with fewer pairs more and weaker pixels
pass, which lower the means of the pairs that are left. Keep it at or below.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, NoStablePoints
from ..settings import Settings
from ..variables import REASONS

ACCEPTED, LOW_MEAN, HIGH_STD, LOW_MEAN_HIGH_STD, NO_DATA = REASONS[:5]
STARTS = ((0.5, "median"), (0.75, "upper quartile"))


@dataclass(frozen=True, eq=False)
class StablePoints:
    """The fixed point of selection and rejection.

    Parameters
    ----------
    mask : ndarray, (y, x), bool
        True on stable points.
    rounds : int
        Rounds until nothing changed, the confirming one included.
    mean, std : ndarray, (pair,), float64
        Mean and population standard deviation of the coherence over the stable points with a value; NaN without any.
        The mean is the reference R_t of the activity index.
    accepted : ndarray, (pair,), bool
    reason : tuple of str, (pair,)
        A word of `variables.REASONS`; ``"accepted"`` where accepted.
    """

    mask: NDArray[np.bool_] = field(repr=False)
    rounds: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    reason: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of stable points."""
        return int(np.count_nonzero(self.mask))


def select_stable_points(coherence, inside, settings: Settings) -> StablePoints:
    """Stable points of a mine and the pairs that they accept.

    Parameters
    ----------
    coherence : ndarray, (pair, y, x), float32
        Sample coherence in 0..1, NaN where missing.
    inside : ndarray, (y, x), bool
        True inside the mine polygon; only these pixels can be stable points.
    settings : Settings
        ``stable_mean``, ``stable_std``, ``stable_valid``, ``stable_minimum``, ``stable_rounds``, ``reject_mean``,
        ``reject_std``. ``stable_valid`` also asks that a pair has values on that share of the stable points: a pair
        that only brushes the mine has no reference.

    Returns
    -------
    StablePoints

    Raises
    ------
    NoStablePoints
        Fewer than ``stable_minimum`` points, every pair rejected, or no fixed point within ``stable_rounds``.
    BadInput
        Arrays that don't fit each other.
    """
    coherence, inside = np.asarray(coherence), np.asarray(inside, bool)
    if coherence.ndim != 3 or coherence.shape[1:] != inside.shape:
        raise BadInput(
            f"coherence must be (pair, y, x) on the grid of the mine mask {inside.shape}, instead got {coherence.shape}"
        )
    values = coherence[:, inside].astype(np.float64)
    available = int(np.isfinite(values).any(axis=0).sum())
    failure: NoStablePoints | None = None
    for quantile, name in STARTS:
        start = _start(values, quantile, settings)
        if start.sum() < settings.stable_minimum:
            failure = failure or _too_few(name, int(start.sum()), available, len(values), settings)
            continue
        try:
            points, rounds, judged = _fixed_point(values, start, available, settings)
        except NoStablePoints as error:
            failure = failure or error
            continue
        mask = np.zeros(inside.shape, bool)
        mask[inside] = points
        return StablePoints(mask, rounds, *judged)
    raise failure


def _start(values, quantile, settings):
    """(pixel,) bool: the given quantile over pairs reaches ``stable_mean``, with values in enough pairs."""
    pairs, pixels = values.shape
    if not values.size:
        return np.zeros(pixels, bool)
    count = np.isfinite(values).sum(axis=0)
    # sorting puts NaN last; numpy's nanquantile loops over pixels in Python, 100 times slower
    rank = np.rint(quantile * np.maximum(count - 1, 0)).astype(np.int64)
    level = np.sort(values, axis=0)[rank, np.arange(pixels)]
    return (count >= max(settings.stable_valid * pairs, 1)) & (level >= settings.stable_mean)


def _fixed_point(values, points, available, settings):
    """Judge pairs and select points in turns until both stay as they are."""
    locked = np.zeros(len(values), bool)
    judged = _judge(values, points, locked, settings)
    seen: list[NDArray[np.bool_]] = []
    for rounds in range(1, settings.stable_rounds + 1):
        accepted = judged[2]
        if not accepted.any():
            raise _all_rejected(judged, settings)
        selected = _select(values[accepted], settings)
        if selected.sum() < settings.stable_minimum:
            raise _too_few("mean", int(selected.sum()), available, int(accepted.sum()), settings)
        rejudged = _judge(values, selected, locked, settings)
        if np.array_equal(selected, points) and np.array_equal(rejudged[2], accepted):
            return points, rounds, judged
        seen.append(accepted)
        if not np.array_equal(rejudged[2], accepted) and any(np.array_equal(rejudged[2], past) for past in seen):
            # A cycle: pairs at the very threshold flip for ever. They are out for good, which each time leaves fewer.
            cycle = seen[next(i for i, past in enumerate(seen) if np.array_equal(rejudged[2], past)) :]
            locked |= np.any(cycle, axis=0) & ~np.all(cycle, axis=0)
            rejudged = _judge(values, selected, locked, settings)
            seen.clear()
        points, judged = selected, rejudged
    raise NoStablePoints(
        f"stable points did not settle in {settings.stable_rounds} rounds ({int(points.sum())} points, "
        f"{int(judged[2].sum())} of {len(values)} pairs in the last one); raise stable_rounds"
    )


def _select(values, settings):
    """(pixel,) bool: stable over the given pairs."""
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    filled = np.where(finite, values, 0.0)
    safe = np.maximum(count, 1)
    mean = filled.sum(axis=0) / safe
    variance = (np.where(finite, values - mean, 0.0) ** 2).sum(axis=0) / safe
    valid = (count > 0) & (count >= settings.stable_valid * len(values))
    return valid & (mean >= settings.stable_mean) & (np.sqrt(variance) <= settings.stable_std)


def _judge(values, points, locked, settings):
    """(mean, std, accepted, reason) of every pair over the points; ``locked`` pairs stay out."""
    over = values[:, points]
    finite = np.isfinite(over)
    count = finite.sum(axis=1)
    safe = np.maximum(count, 1)
    mean = np.where(finite, over, 0.0).sum(axis=1) / safe
    std = np.sqrt((np.where(finite, over - mean[:, None], 0.0) ** 2).sum(axis=1) / safe)
    covered = (count > 0) & (count >= settings.stable_valid * points.sum())
    low, high = mean < settings.reject_mean, std > settings.reject_std
    # a locked pair flips about the threshold of the mean, which is the only one that moves with the points at this size
    low = low | (locked & ~high)
    reason = np.select(
        [~covered, low & high, low, high], [NO_DATA, LOW_MEAN_HIGH_STD, LOW_MEAN, HIGH_STD], default=ACCEPTED
    )
    missing = count == 0
    mean, std = np.where(missing, np.nan, mean), np.where(missing, np.nan, std)
    return mean, std, reason == ACCEPTED, tuple(str(word) for word in reason)


def _too_few(statistic, found, available, pairs, settings) -> NoStablePoints:
    return NoStablePoints(
        f"only {found} stable points inside the mine (of {available} pixels with data, over {pairs} pairs), at least "
        f"{settings.stable_minimum} are needed (stable_minimum): temporal {statistic} of coherence "
        f">= {settings.stable_mean} (stable_mean), standard deviation <= {settings.stable_std} (stable_std), a value "
        f"in >= {settings.stable_valid:.0%} of pairs (stable_valid). Check that the polygon holds ground that stays "
        "quiet, or relax those settings"
    )


def _all_rejected(judged, settings) -> NoStablePoints:
    mean, std, _, reason = judged
    return NoStablePoints(
        f"all {len(reason)} pairs are rejected by the stable points: the best mean is "
        f"{np.nanmax(mean, initial=-np.inf):.3f} where >= {settings.reject_mean} is needed (reject_mean), the lowest "
        f"standard deviation {np.nanmin(std, initial=np.inf):.3f} where <= {settings.reject_std} is needed "
        "(reject_std). Lower reject_mean or raise reject_std, or add pairs with shorter spans"
    )
