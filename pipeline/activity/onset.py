r"""When a site became active and when it stopped, from its activity index, and whether a new pair raises an alert.

**Noise.** The index of quiet ground scatters about a level mu of its own (0 where the site is as coherent as the stable
points, 0.06 for true coherence 0.8 against 0.9). With rho = R (1 - mu) / (1 + mu) its standard deviation is

    sigma^2 = (2 R / (R + rho)^2 * (1 - rho^2))^2 / (2 (L - 1) W) + patch^2

L independent looks, W coherence windows that the site holds, patch what the stable points show: how far quiet blocks of
ground go their own way from pair to pair, beyond speckle. mu is that of the lowest cluster: the three lowest values
first, then all within 3.5 sigma of their median, until nothing changes. A site that was worked in nine of ten intervals
has its level from the tenth; where the lowest cluster lies above 0.3 the site was never quiet and nothing is said.

**Onset and end.** CUSUM of the log-likelihood ratio of "worked in half of the intervals" against "quiet" (Page 1954):

    l_t = log(1/2 + f_1(y_t) / (2 f_0(y_t))),    S_t = max(0, S_(t-1) + l_t)

f_0 is Student's density with 5 degrees of freedom about mu (sample coherence is skewed, skewness 1.2 and kurtosis 5.5
for a site of 50 m), f_1 rises linearly from 0 at mu to 1 at the end of the scale: ground that was worked shows it. An
episode is declared where S reaches log(n / ``onset_false_alarm``), n pairs, which by Ville's inequality a quiet series
passes at most that often. It began with the first pair after the last zero of S. A quiet interval costs log 2, so that
pauses of the work don't end an episode: it ends at the highest point of the sum before a fall of
(``onset_quiet_pairs`` - 1/2) log 2, the half for what the ripple of so many quiet pairs gives back. The confidence of
an onset is its share of the likelihood of all onsets possible since the episode before.

Measured on simulated dumps of 50 m (7 x 2 windows, 30 pairs, quiet coherence 0.9 and 0.8, worked in all or 70 % of the
intervals): onset within one pair of the truth in 97 to 100 % of the cases, an onset in less than 1 % of quiet series.
Smaller dumps are harder: 99 and 76 % at 35 m (quiet coherence 0.9 and 0.8), 90 and 59 % at 25 m, one pixel or two.
Change-point search by exact segmentation (PELT with squared loss, its penalty tuned to the known noise) finds 95 to
100 % of the onsets, but cuts the work itself into up to nine segments, which then have to be told apart.

**Alert.** Two accepted pairs in a row above mu + t_5(1 - ``alert_false_alarm``) sigma, level and noise from the pairs
before the two. One pair above may be a wet day. On the quiet series above an alert comes once in 800 to 2400 new pairs:
the speckle of pairs that share a date is correlated, 0.3 to 0.4, else it were once in 10,000.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, lgamma, log, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from ..errors import BadInput
from ..settings import Settings

TAIL = 5.0  # degrees of freedom of the quiet index
CLUSTER = 3.5  # sigma about the median that belongs to the quiet level
FIRST = 3  # lowest values to begin with, and the fewest pairs that have a level
NEVER_QUIET = 0.3  # lowest level that can't be quiet ground: coherence below half of the stable points'
SMALLEST_NOISE = 0.005  # of the index: a cube keeps coherence to 0.002
TOGETHER = np.timedelta64(12, "h")  # dates closer than this are one pass


@dataclass(frozen=True, eq=False)
class IndexSeries:
    """One site's activity index over the pairs, in the order of their dates, (pair,) each.

    Parameters
    ----------
    site : str
    index : float64
        `ndai.site_ndai`; NaN where missing.
    reference : float64
        R_t.
    accepted : bool
        Pairs that count; the others leave gaps.
    reference_time, secondary_time : datetime64
    speckle : float
        As `speckle_noise`, of the site.
    patch : float
        Standard deviation of the index of quiet ground beyond speckle, see `patch_noise`.
    """

    site: str
    index: NDArray[np.float64] = field(repr=False)
    reference: NDArray[np.float64] = field(repr=False)
    accepted: NDArray[np.bool_] = field(repr=False)
    reference_time: NDArray[np.datetime64] = field(repr=False)
    secondary_time: NDArray[np.datetime64] = field(repr=False)
    speckle: float
    patch: float = 0.0

    def __post_init__(self):
        n = np.shape(self.index)
        others = (self.reference, self.accepted, self.reference_time, self.secondary_time)
        if len(n) != 1 or any(np.shape(other) != n for other in others):
            raise BadInput(f"site {self.site}: a series must hold one value a pair, instead got {n} index values "
                           f"beside {', '.join(str(np.shape(other)) for other in others)}")  # fmt: skip
        if np.any(np.diff(self.secondary_time) < np.timedelta64(0, "s")):
            raise BadInput(f"site {self.site}: pairs must be in the order of their secondary dates; sort them")

    @property
    def usable(self) -> NDArray[np.int64]:
        """Positions of the accepted pairs with an index."""
        return np.flatnonzero(np.asarray(self.accepted, bool) & np.isfinite(self.index) & np.isfinite(self.reference))


@dataclass(frozen=True)
class Quiet:
    """Level and standard deviation of a site's index while nothing happens; pairs that say so."""

    level: float
    noise: float
    pairs: int


@dataclass(frozen=True)
class Episode:
    """A time of activity; pairs by their position in the series.

    ``onset`` and ``end`` are the intervals (first and last instant) in which activity began and ended: the two dates of
    a pair, or wider (``onset_widened``, ``end_widened``) where rejected or missing pairs lie before the onset or after
    the end. ``begun`` is False where the first usable pair is active already: the onset lies in it or before. ``end``
    is None while the episode goes on. ``confidence``: probability that the onset lies in its interval, given that there
    was one. ``index``: mean over the usable pairs from the first to the last.
    """

    first: int
    last: int
    onset: tuple[np.datetime64, np.datetime64]
    end: tuple[np.datetime64, np.datetime64] | None
    begun: bool
    onset_widened: bool
    end_widened: bool
    confidence: float
    index: float


@dataclass(frozen=True)
class Alert:
    """Two consecutive accepted pairs above the threshold; pairs by their position in the series."""

    site: str
    first_pair: int
    second_pair: int
    first_value: float
    value: float
    threshold: float
    level: float
    noise: float


def speckle_noise(looks: float, windows: float) -> float:
    """Standard deviation of atanh of a mean coherence: 1 / sqrt(2 (looks - 1) windows).

    Parameters
    ----------
    looks : float
        Independent looks of a window, more than 1.
    windows : float
        Independent windows averaged; less than 1 counts as 1.

    Raises
    ------
    BadInput
        For too few looks.
    """
    if not looks > 1.0:
        raise BadInput(f"looks must be more than 1, instead got {looks}")
    return 1.0 / sqrt(2.0 * (looks - 1.0) * max(windows, 1.0))


def patch_noise(coherence, blocks, reference, looks: float, window: float) -> float:
    """How far the index of quiet blocks of ground goes its own way from pair to pair, beyond speckle.

    Parameters
    ----------
    coherence : ndarray, (pair, point), float
        Of the stable points in the accepted pairs; NaN where missing.
    blocks : ndarray, (point,), int
        Block that each point lies in.
    reference : ndarray, (pair,), float
        R_t of the same pairs.
    looks : float
        Independent looks of a window.
    window : float
        Pixels that make one independent window. The speckle that both leave in a block's mean is taken out.

    Returns
    -------
    float
        Standard deviation of the index; 0 with fewer than two blocks of ten points or three pairs.

    Raises
    ------
    BadInput
        Arrays that don't fit each other.
    """
    coherence, blocks, reference = np.asarray(coherence, np.float64), np.asarray(blocks), np.asarray(reference)
    if coherence.ndim != 2 or coherence.shape != (*reference.shape, *blocks.shape):
        raise BadInput(f"coherence must be (pair, point) of {reference.shape} pairs and {blocks.shape} points, "
                       f"instead got {coherence.shape}")  # fmt: skip
    _, block, size = np.unique(blocks, return_inverse=True, return_counts=True)
    full = size >= 10
    if full.sum() < 2 or reference.size < 3:
        return 0.0
    finite = np.isfinite(coherence)
    filled = np.where(finite, coherence, 0.0)
    count, total = (
        np.array([np.bincount(block, row, size.size) for row in rows])[:, full] for rows in (finite, filled)
    )
    size = size[full]
    level = np.divide(total, count, out=np.full(count.shape, np.nan), where=count >= 0.5 * size)
    seen = np.isfinite(level).any(axis=0)
    level, size = level[:, seen], size[seen]
    if size.size < 2:
        return 0.0
    index = (reference[:, None] - level) / (reference[:, None] + level)
    residual = index - np.nanmean(index, axis=0)
    degrees = np.isfinite(residual).sum() * (1.0 - 1.0 / reference.size) * (1.0 - 1.0 / size.size)
    middle = float(np.mean(reference))
    speckle = [_index_noise(0.0, middle, speckle_noise(looks, n / window)) ** 2 for n in size]
    return sqrt(max(float(np.nansum(residual**2)) / degrees - float(np.mean(speckle)), 0.0))


def quiet_level(series: IndexSeries, pairs=None) -> Quiet | None:
    """Level and noise of the site while it is quiet, from its lowest cluster of values.

    Parameters
    ----------
    series : IndexSeries
    pairs : ndarray of int, optional
        Positions to look at; all usable pairs if None.

    Returns
    -------
    Quiet or None
        None with fewer than 3 pairs, and where the site was never quiet.
    """
    pairs = series.usable if pairs is None else np.asarray(pairs)
    if pairs.size < FIRST:
        return None
    values, reference = series.index[pairs], float(np.mean(series.reference[pairs]))
    level, members = float(np.sort(values)[:FIRST].mean()), np.zeros(values.size, bool)
    while True:
        noise = _total_noise(level, reference, series)
        within = values <= level + CLUSTER * noise
        if not (within & ~members).any():
            break
        members |= within
        level = float(np.median(values[members]))
    if level > NEVER_QUIET:
        return None
    count = int(members.sum())
    spread = 1.4826 * float(np.median(np.abs(values[members] - level)))
    return Quiet(level, max(noise, spread) * sqrt(1.0 + 1.0 / count), count)


def find_episodes(series: IndexSeries, settings: Settings) -> tuple[Episode, ...]:
    """Times of activity of a site, earliest first; none where it was quiet throughout, or never.

    Parameters
    ----------
    series : IndexSeries
    settings : Settings
        ``onset_false_alarm``, ``onset_quiet_pairs``.
    """
    usable, quiet = series.usable, quiet_level(series)
    if quiet is None:
        return ()
    gain = _log_ratio(series.index[usable], quiet)
    alarm, fall = log(usable.size / settings.onset_false_alarm), (settings.onset_quiet_pairs - 0.5) * log(2.0)
    episodes, total, begin, t = [], 0.0, 0, 0
    while t < usable.size:
        total += gain[t]
        if total <= 0.0:
            total, begin = 0.0, t + 1
        if total < alarm:
            t += 1
            continue
        last, ended = _last_active(gain, t, fall)
        since = episodes[-1][1] + 1 if episodes else 0
        episodes.append((begin, last, ended, _onset_share(gain[since : last + 1], begin - since)))
        total, begin, t = 0.0, last + 1, last + 1
        if not ended:
            break
    return tuple(_episode(series, usable, *found) for found in episodes)


def find_alerts(series: IndexSeries, settings: Settings) -> tuple[Alert, ...]:
    """Every alert that the series would have raised as its pairs arrived, each from the pairs before it alone.

    One alert an episode: after an alert the site is silent until ``onset_quiet_pairs`` pairs in a row stay below.

    Parameters
    ----------
    series : IndexSeries
    settings : Settings
        ``alert_false_alarm``, ``alert_history``, ``onset_quiet_pairs``.
    """
    usable, reach = series.usable, float(stdtrit(TAIL, 1.0 - settings.alert_false_alarm))
    found, calm, armed = [], 0, True
    for i in range(settings.alert_history + 1, usable.size):
        quiet = quiet_level(series, usable[: i - 1])
        if quiet is None:
            continue
        threshold = quiet.level + reach * quiet.noise
        before, value = (float(series.index[usable[k]]) for k in (i - 1, i))
        calm = calm + 1 if value <= threshold else 0
        armed = armed or calm >= settings.onset_quiet_pairs
        if armed and min(before, value) > threshold:
            pair = int(usable[i - 1]), int(usable[i])
            found.append(Alert(series.site, *pair, before, value, threshold, quiet.level, quiet.noise))
            armed = False
    return tuple(found)


def new_alert(series: IndexSeries, settings: Settings) -> Alert | None:
    """The alert that the newest pair of the series raises, or None; a rejected pair raises none."""
    alerts = find_alerts(series, settings)
    newest = len(series.index) - 1
    return alerts[-1] if alerts and alerts[-1].second_pair == newest else None


def _index_noise(level, reference, speckle) -> float:
    """Standard deviation that speckle gives the index of ground at ``level``."""
    rho = min(max(reference * (1.0 - level) / (1.0 + level), 0.0), 0.99)
    return 2.0 * reference / (reference + rho) ** 2 * (1.0 - rho * rho) * speckle


def _total_noise(level, reference, series) -> float:
    patch = max(series.patch, SMALLEST_NOISE)
    return sqrt(_index_noise(level, reference, series.speckle) ** 2 + patch * patch)


def _log_ratio(index, quiet):
    """(pair,) gain of the sum: worked in half of the intervals against quiet."""
    scale = exp(lgamma(0.5 * (TAIL + 1.0)) - lgamma(0.5 * TAIL)) / sqrt(TAIL * pi) / quiet.noise
    above = index - quiet.level
    calm = scale * (1.0 + (above / quiet.noise) ** 2 / TAIL) ** (-0.5 * (TAIL + 1.0))
    worked = 2.0 * np.maximum(above, 0.0) / (1.0 - quiet.level) ** 2
    return np.log(0.5 + 0.5 * worked / calm)


def _last_active(gain, start, fall):
    """Position of the highest sum from ``start`` on, before it falls by ``fall``; and whether it fell."""
    total, best, last = 0.0, 0.0, start
    for t in range(start + 1, gain.size):
        total += gain[t]
        if total > best:
            best, last = total, t
        elif best - total >= fall:
            return last, True
    return last, False


def _onset_share(gain, begin) -> float:
    """Likelihood of an onset at ``begin`` as a share of that of all onsets in the stretch.

    An onset is the first pair that was worked, so that pair counts with f_1 / f_0 alone, those after it as in the sum.
    """
    ratio = np.maximum(2.0 * np.exp(np.minimum(gain, 700.0)) - 1.0, 1e-300)
    weight = np.cumsum(gain[::-1])[::-1] - gain + np.log(ratio)
    return float(1.0 / np.exp(weight - weight[begin]).sum())


def _episode(series, usable, begin, last, ended, confidence) -> Episode:
    first, final = int(usable[begin]), int(usable[last])
    start, stop = series.reference_time[first], series.secondary_time[final]
    early = late = False
    if begin > 0:
        known = series.secondary_time[usable[begin - 1]]
        early = bool(start - known > TOGETHER)
        start = known if early else start
    if last + 1 < usable.size:
        known = series.reference_time[usable[last + 1]]
        late = ended and bool(known - stop > TOGETHER)
        stop = known if late else stop
    return Episode(
        first=first,
        last=final,
        onset=(start, series.secondary_time[first]),
        end=(series.reference_time[final], stop) if ended else None,
        begun=begin > 0,
        onset_widened=early,
        end_widened=late,
        confidence=confidence,
        index=float(series.index[usable[begin : last + 1]].mean()),
    )
