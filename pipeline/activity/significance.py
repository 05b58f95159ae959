r"""Which pixels were less coherent in a year than the stable points, with a known share of false discoveries.

The hypothesis of a pixel is "as coherent as the stable reference". With R_t the stable points' mean coherence of pair
t, D_t the true coherence that R_t is the biased mean of, and L the looks, a sample coherence d has the lower-tail
probability p_t = P(d | D_t, L) (Touzi et al., IEEE TGRS 37(1), 1999) and the normal score z_t = Phi^-1(p_t). The scores
of the n accepted pairs with a value are combined. Nothing of another year enters.

*The reference is a population.* Stable points differ in their true coherence, and a part of their speckle lasts longer
than the correlation r_tu of pairs (`pair_correlation`) allows for. Both show as a spread of their mean scores beyond
what r_tu explains, which makes a pixel's scores normal with a common part:

    s^2 = max(0, Var over stable points of sum z_t / n - mean of sum r_tu / n^2)
    x_t = z_t / sqrt(1 + s^2),    c_tu = (r_tu + s^2) / (1 + s^2)                  (variance 1, correlation c)

On simulated homogeneous ground s is 0, because r is a little high, and costs nothing.

*Combination.* ``"squares"``, the default: Q = sum of min(x_t, 0)^2, against a gamma law with its mean and variance
(Satterthwaite, Biometrics Bull. 2, 1946; for dependent tests Brown, Biometrics 31, 1975),

    E Q = n / 2,    Var Q = sum over t, u of [(1 + 2 c^2)(pi / 2 + asin c) + 3 c sqrt(1 - c^2)] / (2 pi) - 1 / 4

``"stouffer"``: sum of x_t / sqrt(sum of c_tu), normal (METHODS section 5). Stouffer's sum asks whether the *mean* fell.
Work shows as some pairs without any coherence among others at full coherence, and speckle that lasts from pair to pair
moves the mean most. Of ground disturbed in 8 of 30 intervals (stable 0.9, 7 looks) Stouffer's sum finds 71 %, the
squares all; where stable points differ by 0.03, Stouffer's sum finds nothing and the squares 70 %. Both hold
their level: in 1.2 million simulated pixels the share below 1e-2, 1e-3, 1e-4, 1e-5 was at most 1.3 times that.

*Selection.* Points chosen because they look coherent look more coherent than they are: ``optimism``, which the choice
of lasting points measures, is taken off R_t. Without, ground of 0.8 scores 0.25 below it in the mean and 12 % to 18 %
of the discoveries near that level are false.

*Looks.* Those that the processing implies, or those that the stable points show where these are fewer. Speckle that
lasts and points chosen for being steady make the measured number too high, never too low; ground that varies more than
speckle makes it rightly lower, and too many looks would call that variation activity.

*False discoveries.* Benjamini and Hochberg (JRSS B 57, 1995) at rate q over the pixels that the question is about,
those of the mine that could be active: the largest p that is at most q k / m, k its rank among m, is the limit.
Ground outside the mine takes the same limit, but doesn't count: vegetation around a mine would be thousands of true
discoveries, which raise the limit until the mine is full of false ones. Windows of neighbouring pixels overlap, which
ties their p positively; the rate holds then too (Benjamini and Yekutieli, Ann. Statist. 29, 2001).

What the test does not say: ground of the mine that is quiet, but less coherent than its stable points, *is* less
coherent, and is called active where it isn't permanently incoherent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import gammaincc, ndtr, ndtri

from ..errors import BadInput
from ..insar.coherence_statistics import coherence_pdf, debias_coherence
from ..settings import Settings
from .looks import TOP, LooksEstimate, calibrated_looks
from .pair_correlation import HIGHEST, pair_correlation

STEPS = 1024  # of a table of scores
LIMIT = 8.0  # a single pair's score is cut here
SMALLEST, LARGEST = 1e-300, 0.99997  # probabilities: a year without any score below 0 has no upper tail to speak of


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a year's pairs say about a mine.

    Parameters
    ----------
    coherence : ndarray, (pair, y, x), float32
        Sample coherence in 0..1, NaN where missing.
    accepted : ndarray, (pair,), bool
        Pairs that count.
    reference : ndarray, (pair,), float
        R_t, mean sample coherence of the stable points; NaN only where not accepted.
    dates : ndarray, (pair, 2), datetime64
        Reference and secondary date.
    looks : float
        Equivalent looks that follow from the processing.
    stable : ndarray, (y, x), bool
        Stable points.
    mine : ndarray, (y, x), bool
        Pixels inside the mine.
    optimism : float
        By how much the choice of the stable points flatters R_t; NaN where that was not measured counts as 0.
    """

    coherence: NDArray[np.float32] = field(repr=False)
    accepted: NDArray[np.bool_]
    reference: NDArray[np.float64]
    dates: NDArray[np.datetime64] = field(repr=False)
    looks: float
    stable: NDArray[np.bool_] = field(repr=False)
    mine: NDArray[np.bool_] = field(repr=False)
    optimism: float = 0.0

    def __post_init__(self):
        pairs, *shape = np.shape(self.coherence) if np.ndim(self.coherence) == 3 else (-1,)
        for name, expected in (
            ("accepted", (pairs,)),
            ("reference", (pairs,)),
            ("dates", (pairs, 2)),
            ("stable", tuple(shape)),
            ("mine", tuple(shape)),
        ):
            if np.shape(getattr(self, name)) != expected:
                raise BadInput(
                    f"{name} must have the shape {expected} beside a coherence (pair, y, x) of "
                    f"{np.shape(self.coherence)}, instead got {np.shape(getattr(self, name))}"
                )


@dataclass(frozen=True, eq=False)
class Significance:
    """The test of one year.

    ``z`` (y, x) float32: normal score of ``p``, standard normal on ground as coherent as the reference (cut at 4 above)
    and negative where it is less; NaN with too few pairs. ``p`` (y, x) float64: probability of so little coherence
    under the hypothesis; ``active`` (y, x) bool: at most ``limit``. ``spread``: s of the module's text. ``looks``: that
    the test used; ``measured``: those that the stable points show. ``tested``: pixels among which false discoveries
    are counted.
    """

    z: NDArray[np.float32] = field(repr=False)
    p: NDArray[np.float64] = field(repr=False)
    active: NDArray[np.bool_] = field(repr=False)
    limit: float
    spread: float
    looks: float
    measured: LooksEstimate | None
    tested: int


@lru_cache(maxsize=512)
def _score_table(true: float, looks: float) -> NDArray[np.float64]:
    """(STEPS + 1,) normal score of the sample coherence at u = sqrt(1 - d), u from 0 to 1; it falls.

    Even steps in u are fine where d is near 1 and the score rises fastest. Each tail is summed from its own end, so
    that small probabilities keep their digits.
    """
    d = 1.0 - np.linspace(1.0, 0.0, STEPS + 1) ** 2
    nodes, weights = np.polynomial.legendre.leggauss(4)
    width = np.diff(d)[:, None]
    mass = coherence_pdf(d[:-1, None] + width * 0.5 * (nodes + 1.0), true, looks) * width @ (0.5 * weights)
    mass /= mass.sum()
    below = np.concatenate([[0.0], np.cumsum(mass)])
    above = np.concatenate([np.cumsum(mass[::-1])[::-1], [0.0]])
    lower = ndtri(np.clip(below, SMALLEST, 0.5))
    upper = -ndtri(np.clip(above, SMALLEST, 0.5))
    return np.clip(np.where(below < 0.5, lower, upper), -LIMIT, LIMIT)[::-1].copy()


def coherence_score(d, true: float, looks: float):
    """Normal score of a sample coherence: Phi^-1 of its lower-tail probability.

    Parameters
    ----------
    d : array_like
        Sample coherence in 0..1; above ```looks.TOP``` it counts as that.
    true : float
        True coherence, 0..1 (1 excluded).
    looks : float
        Independent looks, more than 1.

    Returns
    -------
    ndarray, shape of ``d``, float64
        Within -8..8, rising with ``d``, exact to 0.001 below ``TOP``; NaN where ``d`` is NaN.

    Raises
    ------
    BadInput
        As `coherence_statistics.coherence_pdf`.
    """
    d = np.asarray(d, np.float64)
    u = np.sqrt(1.0 - np.clip(d, 0.0, TOP))
    return np.interp(u, np.linspace(0.0, 1.0, STEPS + 1), _score_table(float(true), float(looks)))


@njit(cache=True, nogil=True)
def _sums(coherence, tables, covariance, top):
    """(y, x) each: sum of the tables' values, number of pairs with a value, and the variance of the sum."""
    pairs, rows, columns = coherence.shape
    steps = tables.shape[1] - 1
    total = np.zeros((rows, columns))
    count = np.zeros((rows, columns), np.int64)
    variance = np.full((rows, columns), covariance.sum())
    known = np.zeros((pairs, columns), np.bool_)
    for i in range(rows):
        for t in range(pairs):
            for j in range(columns):
                d = coherence[t, i, j]
                known[t, j] = d == d
                if known[t, j]:
                    u = np.sqrt(1.0 - min(max(d, 0.0), top)) * steps
                    k = min(int(u), steps - 1)
                    total[i, j] += tables[t, k] + (u - k) * (tables[t, k + 1] - tables[t, k])
                    count[i, j] += 1
        for j in range(columns):
            if count[i, j] < pairs:
                variance[i, j] = 0.0
                for t in range(pairs):
                    if known[t, j]:
                        for s in range(pairs):
                            if known[s, j]:
                                variance[i, j] += covariance[t, s]
    return total, count, variance


def discovery_limit(p, rate: float) -> float:
    """Largest p that counts as a discovery (Benjamini-Hochberg); 0 where none does.

    Parameters
    ----------
    p : array_like, (test,)
        Probabilities under the hypothesis, NaN where not tested.
    rate : float
        Share of the discoveries that may be false, in the mean.

    Returns
    -------
    float
    """
    p = np.sort(np.asarray(p, np.float64).ravel())
    p = p[: np.count_nonzero(np.isfinite(p))]  # NaN sorts last
    good = np.flatnonzero(p <= rate * np.arange(1, p.size + 1) / max(p.size, 1))
    return float(p[good[-1]]) if good.size else 0.0


def year_significance(evidence: Evidence, candidates, settings: Settings) -> Significance:
    """Test every pixel of a year.

    Parameters
    ----------
    evidence : Evidence
    candidates : ndarray, (y, x), bool
        Pixels among which false discoveries count: those of the mine that could be active.
    settings : Settings
        ``false_discovery_rate``, ``test_combination``, and ``minimum_pairs``, below which a pixel is not tested.

    Returns
    -------
    Significance
        Without any z where fewer than two stable points have enough accepted pairs.

    Raises
    ------
    BadInput
        If an accepted pair has no reference, or the candidates are not on the grid.
    """
    accepted, candidates = np.asarray(evidence.accepted, bool), np.asarray(candidates, bool)
    if candidates.shape != np.shape(evidence.mine):
        raise BadInput(f"candidates must be on the grid {np.shape(evidence.mine)}, instead got {candidates.shape}")
    optimism = evidence.optimism if np.isfinite(evidence.optimism) else 0.0
    reference = np.asarray(evidence.reference, np.float64)[accepted] - optimism
    if not np.isfinite(reference).all():
        raise BadInput("every accepted pair needs a reference (mean of the stable points), instead got NaN")
    coherence = np.ascontiguousarray(evidence.coherence[accepted], np.float32)
    count = np.isfinite(coherence).sum(axis=0)
    enough = count >= max(settings.minimum_pairs, 2)
    points = np.asarray(evidence.stable, bool) & enough
    if np.count_nonzero(points) < 2:
        missing = np.full(enough.shape, np.nan)
        none = np.zeros(enough.shape, bool)
        return Significance(missing.astype(np.float32), missing, none, 0.0, np.nan, evidence.looks, None, 0)
    true = np.minimum(debias_coherence(np.clip(reference, 0.0, 1.0), evidence.looks), HIGHEST)
    correlation = pair_correlation(true, np.asarray(evidence.dates)[accepted])
    measured = calibrated_looks(coherence, points, true, correlation)
    looks = float(min(evidence.looks, measured.value))
    tables = np.array([_score_table(float(d), looks) for d in true])
    spread = _spread(coherence[:, points], tables, correlation)
    p = _combined(coherence, tables, correlation, spread, settings.test_combination)
    p = np.where(enough, np.clip(p, SMALLEST, LARGEST), np.nan)
    tested = p[candidates & enough]
    limit = discovery_limit(tested, settings.false_discovery_rate)
    return Significance(ndtri(p).astype(np.float32), p, p <= limit, limit, spread, looks, measured, tested.size)


def _spread(points, tables, correlation) -> float:
    """s of the module's text from the coherence (pair, point) of the stable points."""
    total, count, variance = _sums(np.ascontiguousarray(points[:, None]), tables, correlation, TOP)
    excess = np.var(total / count, ddof=1) - np.mean(variance / count**2)
    return float(np.sqrt(max(excess, 0.0)))


def _combined(coherence, tables, correlation, spread, combination):
    """(y, x) lower-tail probability of all pairs together; NaN without any pair."""
    scores = tables / np.sqrt(1.0 + spread**2)
    correlation = (correlation + spread**2) / (1.0 + spread**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        if combination == "stouffer":
            total, _, variance = _sums(coherence, scores, correlation, TOP)
            return ndtr(total / np.sqrt(variance))
        total, count, variance = _sums(coherence, np.minimum(scores, 0.0) ** 2, squares_covariance(correlation), TOP)
        mean = 0.5 * count
        return gammaincc(mean**2 / variance, total * mean / variance)


def squares_covariance(correlation):
    """Covariance of min(x, 0)^2 and min(y, 0)^2 of standard normal x and y; 5/4 where they are the same.

    Parameters
    ----------
    correlation : array_like
        Of x and y, -1..1.

    Returns
    -------
    ndarray, shape of ``correlation``, float64
    """
    c = np.clip(correlation, -1.0, 1.0)
    moment = (1.0 + 2.0 * c * c) * (0.5 * np.pi + np.arcsin(c)) + 3.0 * c * np.sqrt(1.0 - c * c)
    return moment / (2.0 * np.pi) - 0.25
