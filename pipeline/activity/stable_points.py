r"""Pixels of the mine that stay coherent, and the pairs in which even they don't.

The documented rule (METHODS section 3): a stable point has a temporal mean coherence of at least ``stable_mean`` and a
temporal standard deviation of at most ``stable_std`` over the accepted pairs; a pair is accepted where the stable
points' mean is at least ``reject_mean`` and their standard deviation at most ``reject_std``. Each rule needs the
other's result, so they are applied in turns until nothing changes.

Where to start decides whether that works: one snow date spoils two of ten pairs and lifts the temporal standard
deviation of *every* pixel above 0.1, so the plain rule over all pairs finds nothing. The first candidates are
therefore the pixels whose temporal **median** reaches ``stable_mean``, which fewer than half of the pairs can't
spoil, and, failing that, the upper quartile (a long winter). Every pair is judged anew in every round: a pair lost to
a bad start comes back. A pair that comes and goes for ever is rejected for good, as ``low_stable_mean``.

Rejection feeds on itself where ``reject_mean`` lies above ``stable_mean``: with fewer pairs more and weaker pixels
pass, which lower the means of the pairs that are left. Keep it at or below.

``stable_rule = "lasting"`` asks more of a point. The accepted pairs are cut into an earlier and a later half; a point
passes the rule over all pairs, is chosen on either half alone, and the other half confirms it: the rule holds there
too, and the point's mean has moved against that of the other points by no more than

    LASTING_CHANGE * stable_std * sqrt(1 / n_1 + 1 / n_2)        (n_1, n_2 pairs; 0.054 for 30 pairs)

Halves, not every other pair: what spoils a reference is ground that changes (a bench that is dug late in the year,
ground that loses coherence month by month), and both of two interleaved parts contain the change. They also share
every date, so that their speckle agrees. What it costs: of ground near ``stable_mean`` fewer points pass.

Lasting points are then spread over the mine: in blocks of ``stable_block`` (m) no block keeps more than
``stable_block_share`` of all points, or twice an even share where that is more; a fuller block keeps points evenly
over its area. A block is not thinned below what ``stable_minimum`` needs, so that a small mine still works.

The reference R_t is the mean over the points, or (``stable_reference``) their median or Huber estimate, which a patch
of wet or worked points pulls less. Sample coherence is skewed: at true coherence 0.8 and 7 looks the median lies 0.021
above the mean (0.012 at 0.9), which would lift the index of all ground by 0.013 and debias to 0.822; Huber's estimate
lies 0.011 above. Both are therefore moved by the year's typical difference, the median over accepted pairs of
(mean - estimate): R_t keeps the level of a mean and may be debiased as one. With 20 % of the points wet in one pair
(0.3 instead of 0.9) its R_t falls by 0.088 with the mean, 0.033 with Huber's estimate, 0.020 with the median.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, NoStablePoints
from ..settings import Settings
from ..variables import REASONS

ACCEPTED, LOW_MEAN, HIGH_STD, LOW_MEAN_HIGH_STD, NO_DATA = REASONS[:5]
STARTS = ((0.5, "median"), (0.75, "upper quartile"))
LASTING_CHANGE = 1.5  # standard errors of the least steady point that the rule accepts
LASTING_PAIRS = 4  # accepted pairs below which two halves say nothing; the documented rule stands alone then
HUBER = 1.345  # standard deviations beyond which a point counts less; 95 % efficient on Gaussian values
YEAR = np.timedelta64(31_557_600, "s")  # Julian


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
    accepted : ndarray, (pair,), bool
    reason : tuple of str, (pair,)
        A word of `variables.REASONS`; ``"accepted"`` where accepted.
    reference : ndarray, (pair,), float64
        R_t of the activity index, at the level of a mean; where not given, ``mean``.
    blocks, fullest_block : int
        Blocks that hold stable points, and how many points the fullest of them holds.
    lasting : float
        Share of the points chosen on one half of the accepted pairs that the other half confirms, averaged over both
        directions; NaN where nothing was checked (``documented``, or fewer than 4 accepted pairs).
    optimism : float
        By how much the mean coherence of points chosen on one half is higher there than on the other half, averaged
        over both directions, which takes a common drift out: what plain selection would flatter R_t by. NaN as above.
    drift, drift_error : float
        Slope of R_t over the accepted pairs and its standard error, 1/year, by least squares with independent
        residuals (a season makes the true error larger); NaN without dates or with fewer than 3 accepted pairs.
    """

    mask: NDArray[np.bool_] = field(repr=False)
    rounds: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    reason: tuple[str, ...]
    reference: NDArray[np.float64] | None = None
    blocks: int = 0
    fullest_block: int = 0
    lasting: float = np.nan
    optimism: float = np.nan
    drift: float = np.nan
    drift_error: float = np.nan

    def __post_init__(self):
        if self.reference is None:
            object.__setattr__(self, "reference", self.mean)

    @property
    def count(self) -> int:
        """Number of stable points."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, eq=False)
class _Stack:
    """What the rounds work on: coherence (pair, pixel) float64 inside the mine, each pixel's block, the settings."""

    values: NDArray[np.float64]
    block: NDArray[np.int64]
    settings: Settings

    @property
    def available(self) -> int:
        """Pixels with a value in any pair."""
        return int(np.isfinite(self.values).any(axis=0).sum())


def select_stable_points(coherence, inside, settings: Settings, time=None) -> StablePoints:
    """Stable points of a mine and the pairs that they accept.

    Parameters
    ----------
    coherence : ndarray, (pair, y, x), float32
        Sample coherence in 0..1, NaN where missing; pairs in the order of their dates.
    inside : ndarray, (y, x), bool
        True inside the mine polygon; only these pixels can be stable points.
    settings : Settings
        All that begin with ``stable_`` and ``reject_``, and ``spacing``. ``stable_valid`` also asks that a pair has
        values on that share of the stable points: a pair that only brushes the mine has no reference.
    time : ndarray, (pair,), datetime64, optional
        A date of each pair, for the drift.

    Returns
    -------
    StablePoints

    Raises
    ------
    NoStablePoints
        Fewer than two pairs, fewer than ``stable_minimum`` points, every pair rejected, or no fixed point within
        ``stable_rounds``.
    BadInput
        Arrays that don't fit each other.
    """
    coherence, inside = np.asarray(coherence), np.asarray(inside, bool)
    if coherence.ndim != 3 or coherence.shape[1:] != inside.shape:
        raise BadInput(
            f"coherence must be (pair, y, x) on the grid of the mine mask {inside.shape}, instead got {coherence.shape}"
        )
    if time is not None and np.shape(time) != (len(coherence),):
        raise BadInput(f"time must hold one date for each of {len(coherence)} pairs, instead got {np.shape(time)}")
    if len(coherence) < 2:
        raise NoStablePoints(
            f"stable points need at least 2 pairs, instead got {len(coherence)}: one can't tell how steady a pixel is. "
            "Add dates"
        )
    stack = _Stack(coherence[:, inside].astype(np.float64), _blocks(inside, settings), settings)
    failure: NoStablePoints | None = None
    for quantile, name in STARTS:
        start = _start(stack.values, quantile, settings)
        if start.sum() < settings.stable_minimum:
            failure = failure or _too_few(name, int(start.sum()), stack, len(stack.values))
            continue
        try:
            points, rounds, judged = _fixed_point(stack, start)
        except NoStablePoints as error:
            failure = failure or error
            continue
        mask = np.zeros(inside.shape, bool)
        mask[inside] = points
        return _describe(StablePoints(mask, rounds, *judged), stack, points, time)
    raise failure


def _blocks(inside, settings):
    """(pixel,) int64: number of the block that each pixel inside lies in."""
    size = max(int(round(settings.stable_block / settings.spacing)), 1)
    rows, columns = np.nonzero(inside)
    return (rows // size) * (inside.shape[1] // size + 1) + columns // size


def _start(values, quantile, settings):
    """(pixel,) bool: the given quantile over pairs reaches ``stable_mean``, with values in enough pairs."""
    if not values.size:
        return np.zeros(values.shape[1], bool)
    count = np.isfinite(values).sum(axis=0)
    # sorting puts NaN last; numpy's nanquantile loops over pixels in Python, 100 times slower
    rank = np.rint(quantile * np.maximum(count - 1, 0)).astype(np.int64)
    level = np.sort(values, axis=0)[rank, np.arange(rank.size)]
    return (count >= _fewest(values, settings)) & (level >= settings.stable_mean)


def _fixed_point(stack, points):
    """Judge pairs and select points in turns until both stay as they are."""
    values, settings = stack.values, stack.settings
    locked = np.zeros(len(values), bool)
    judged = _judge(values, points, locked, settings)
    seen: list[NDArray[np.bool_]] = []
    for rounds in range(1, settings.stable_rounds + 1):
        accepted = judged[2]
        if not accepted.any():
            raise _all_rejected(judged, settings)
        selected = _select(stack, accepted)
        if selected.sum() < settings.stable_minimum:
            raise _too_few("mean", int(selected.sum()), stack, int(accepted.sum()))
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


def _select(stack, accepted):
    """(pixel,) bool: the points of the rule that the settings name, over the accepted pairs."""
    over, settings = stack.values[accepted], stack.settings
    points = _steady(over, settings, _fewest(over, settings))[0]
    if settings.stable_rule == "documented":
        return points
    if len(over) >= LASTING_PAIRS:
        points &= _confirm(over, points, settings)[0]
    return _spread(points, stack.block, settings)


def _steady(values, settings, fewest):
    """(pixel,) bool: the documented rule over the given pairs; (pixel,) the temporal mean; (pixel,) values it is of."""
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    filled = np.where(finite, values, 0.0)
    safe = np.maximum(count, 1)
    mean = filled.sum(axis=0) / safe
    variance = (np.where(finite, values - mean, 0.0) ** 2).sum(axis=0) / safe
    return (count >= fewest) & (mean >= settings.stable_mean) & (np.sqrt(variance) <= settings.stable_std), mean, count


def _fewest(values, settings):
    """Pairs in which a pixel has to have a value."""
    return max(settings.stable_valid * len(values), 1)


def _confirm(values, points, settings):
    """Choose on either half of the pairs, check on the other.

    Returns (pixel,) bool of what lasts, the share of the chosen that does, and the optimism of choosing.
    """
    cut = (len(values) + 1) // 2
    halves = values[:cut], values[cut:]
    # gaps are judged over all pairs: a summer without data is no change
    (early, first, n_1), (late, second, n_2) = (_steady(half, settings, LASTING_PAIRS // 2) for half in halves)
    change = first - second
    common = np.median(change[points]) if points.any() else 0.0
    limit = LASTING_CHANGE * settings.stable_std * np.sqrt(1.0 / np.maximum(n_1, 1) + 1.0 / np.maximum(n_2, 1))
    last = early & late & (np.abs(change - common) <= limit)
    if not (early.any() and late.any()):
        return last, 0.0, np.nan
    share = 0.5 * (last.sum() / early.sum() + last.sum() / late.sum())
    seen = (n_1 > 0) & (n_2 > 0)
    gain = [change[chosen & seen].mean() if (chosen & seen).any() else np.nan for chosen in (early, late)]
    return last, float(share), float(0.5 * (gain[0] - gain[1]))


def _spread(points, block, settings):
    """The points with full blocks thinned evenly, so that no block dominates; the module says by how much."""
    chosen = np.flatnonzero(points)
    if chosen.size == 0:
        return points
    _, block, size = np.unique(block[chosen], return_inverse=True, return_counts=True)
    limit = max(settings.stable_block_share, 2.0 / size.size)
    cap = np.arange(1, size.max() + 1)
    total = np.minimum(np.sort(size)[:, None], cap).sum(axis=0)
    # the largest block's share rises with the cap, so the allowed caps come first
    allowed = np.count_nonzero(cap <= limit * total)
    needed = np.searchsorted(total, min(settings.stable_minimum, chosen.size)) + 1
    keep = np.minimum(size, max(allowed, needed))[block]
    order = np.argsort(block, kind="stable")
    rank = np.empty(chosen.size, np.int64)
    rank[order] = np.arange(chosen.size) - np.repeat(np.cumsum(size) - size, size)
    thinned = np.zeros_like(points)
    # of every n pixels of a block in reading order, the k that lie evenly
    thinned[chosen[(rank + 1) * keep // size[block] > rank * keep // size[block]]] = True
    return thinned


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


def _describe(stable, stack, points, time) -> StablePoints:
    """The same points with their reference, spread, lasting share and drift."""
    settings, accepted = stack.settings, stable.accepted
    reference = _reference(stack.values[:, points], stable, settings)
    size = np.unique(stack.block[points], return_counts=True)[1]
    lasting = optimism = np.nan
    if settings.stable_rule == "lasting" and accepted.sum() >= LASTING_PAIRS:
        over = stack.values[accepted]
        _, lasting, optimism = _confirm(over, _steady(over, settings, _fewest(over, settings))[0], settings)
    drift, error = (np.nan, np.nan) if time is None else _slope(np.asarray(time)[accepted], reference[accepted])
    spread = {"blocks": int(size.size), "fullest_block": int(size.max())}
    lasts = {"lasting": lasting, "optimism": optimism, "drift": drift, "drift_error": error}
    return replace(stable, reference=reference, **spread, **lasts)


def _reference(values, stable, settings):
    """(pair,) R_t from coherence (pair, point), by the estimate that the settings name, at the level of a mean."""
    if settings.stable_reference == "mean":
        return stable.mean
    good = np.isfinite(values).any(axis=1)
    location = np.full(len(values), np.nan)
    location[good] = np.nanmedian(values[good], axis=1)
    if settings.stable_reference == "huber":
        location[good] = _huber(values[good], location[good])
    return np.minimum(location + np.median((stable.mean - location)[stable.accepted]), 1.0)


def _huber(values, location):
    """(pair,) Huber's estimate of location of each row, its scale the median absolute deviation about the start."""
    finite = np.isfinite(values)
    scale = 1.4826 * np.nanmedian(np.abs(values - location[:, None]), axis=1)
    reach = np.where(scale > 0.0, HUBER * scale, np.inf)[:, None]  # more than half alike: the plain mean
    filled = np.where(finite, values, 0.0)
    for _ in range(50):
        away = np.abs(filled - location[:, None])
        weight = np.where(finite, np.minimum(1.0, reach / np.maximum(away, 1e-12)), 0.0)
        moved = (weight * filled).sum(axis=1) / weight.sum(axis=1)
        done = np.abs(moved - location).max() < 1e-7
        location = moved
        if done:
            break
    return location


def _slope(time, level):
    """Least-squares slope per year and its standard error."""
    years = (time - time.min()) / YEAR if time.size else np.empty(0)
    centred = years - years.mean() if time.size else years
    spread = float(centred @ centred)
    if time.size < 3 or spread == 0.0:
        return np.nan, np.nan
    slope = float(centred @ level) / spread
    residual = level - level.mean() - slope * centred
    return slope, float(np.sqrt(residual @ residual / (time.size - 2) / spread))


def _too_few(statistic, found, stack, pairs) -> NoStablePoints:
    settings = stack.settings
    halves = settings.stable_rule == "lasting" and statistic == "mean" and pairs >= LASTING_PAIRS
    asked = "in both halves of the pairs (stable_rule = lasting; documented asks less) " if halves else ""
    return NoStablePoints(
        f"only {found} stable points inside the mine (of {stack.available} pixels with data, over {pairs} pairs), at "
        f"least {settings.stable_minimum} are needed (stable_minimum): {asked}temporal {statistic} of coherence "
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
