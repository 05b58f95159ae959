r"""The outline of worked ground, finer than the pixels, and how far its area may be off.

A coherence window is larger than a pixel (28 x 26 m against 20 x 20 m), so a map of significant pixels is not a map of
worked ground: a window that touches a pit by a tenth is less coherent with certainty. On simulated mines the pixels
that `test` calls active cover 1.13 times the truth for a pit, 1.5 times for dumps and benches of 50 to 100 m. The
outline is drawn here where the index says that half of the window was worked:

    w(x)    index minus that of quiet ground (null); a rise linear in how often the ground was worked
    seeds   w, smoothed over 3 x 3 pixels, above 6.5 times the spread of quiet ground; of these, connected ones that
            somewhere hold 3 x 3 pixels of which at least 4 are called active: with few pairs the index of quiet
            ground has a long upper tail, with scattered peaks
    c(x)    w of ground worked all through, nearby: sum of G w^3 over sum of G w^2 on the seeds, G a Gaussian of 1 pixel
    worked  where w / c, interpolated between pixels, is above HALF; gaps of one or two pixels between worked ground are
            closed, because the rim of a busy bench hides a calm one beside it

*Null*: centre and spread of the index over ground that no class calls active, from the shortest half of its values and
from those below it, so that missed activity (always above) has no say.

*Interval*: a parametric bootstrap with what the estimate takes for the truth. Windows are laid over the outline, the
grid shifted at random and every window moved within the radar's line spacing; each covered share f gives an index

    c ((4 h - 1) f + (2 - 4 h) f^2) + noise,        h = the response of a window that is half worked

which goes through the same steps. If the areas that come out are B, the area is 2 A - mean(B), and its interval from
2 A - B_97.5 to 2 A - B_2.5: bias and spread in one. Noise has the variance s^2 + 0.085 / n c f (n pairs; measured
within 6 % on simulated benches) and the correlation of overlapping windows. h is not one number: it differs from patch
to patch by more than that noise (the speckle of a window weighs its halves, and lasts; the causes were not separated),
so it is drawn as a smooth field of 0.69 +- 0.14, which moves an edge by 4 m. Mean and spread come from
simulation (tests/area_scenes.py; 20 m pixels, quiet coherence 0.8 to 0.93, 20 to 100 % of the intervals disturbed):
fitted on 198 scenes, they covered the truth in 93.5 % of 200 others, without bias (pits 97 %, dumps 94 %, benches
91 %).
Pixels much larger or smaller than a window need them fitted anew.

Not in the interval: a wrong polygon or DEM, ground that can't be decided (permanently incoherent, layover), pixels
without data, quiet ground that differs from the stable points by more than its neighbours do, patches so small (below
about 45 m) or so calm (below a fifth of the intervals at coherence 0.8) that no window shows them, and a reference that
is itself wrong, which happens where a mine has hardly any quiet ground.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, convolve1d, gaussian_filter, grey_closing, label

from ..errors import BadInput

PARTS = 4  # of a pixel, per axis: the outline's raster
HALF, HALF_SPREAD = 0.69, 0.14  # response of a half worked window, and how it differs from patch to patch
HALF_LENGTH = 7  # pixels over which it stays alike
DETECTION = 6.5  # spreads of quiet ground; its mean index has a long upper tail, which 4 would let in
MINIMUM_ACTIVE = 4  # of 3 x 3 pixels; a worked patch of 45 m shows on at least so many
WORKED_NOISE = 0.085  # variance of the index of one pair over ground that is worked in it, over its mean
NEIGHBOUR = 0.16  # weight that gives noise the correlation of neighbouring windows, 0.3
BLUR = 2.0  # m that the impulse response adds to a window
LINE = 14.0  # m between radar lines: windows sit on them, pixels don't
REPLICATES, SAME_WINDOWS = 100, 2
MARGIN = 12  # pixels around the mine, and around its worked ground, that are looked at
MINIMUM_QUIET = 50  # pixels
EMPTY = np.zeros((1, 1), np.uint8)


@dataclass(frozen=True, eq=False)
class IndexMap:
    """What a year says about how often the ground moved.

    Parameters
    ----------
    index : ndarray, (y, x), float
        Annual NDAI (`ndai.annual_ndai`), NaN where missing.
    pairs : int
        Accepted pairs of the year.
    window : (float, float)
        Size of the coherence window on the ground, m, along y and x. 7 x 2 samples are 28 m along the track, which
        is roughly y, and 23 to 30 m across.
    """

    index: NDArray[np.floating] = field(repr=False)
    pairs: int
    window: tuple[float, float] = (28.0, 26.0)

    def __post_init__(self):
        if self.pairs < 0 or not all(size > 0 for size in self.window):
            raise BadInput(
                f"an index map needs a number of pairs and a window (m, m), instead got {self.pairs} and {self.window}"
            )


def quiet_ground(values) -> tuple[float, float]:
    """Centre and spread of the larger part of ``values`` (any shape, finite), blind to outliers above.

    The centre is the mean of the shortest half; the spread is the normalised median distance of values below it.
    """
    v = np.sort(np.asarray(values, np.float64).ravel())
    half = v.size // 2
    first = int(np.argmin(v[half:] - v[: v.size - half]))
    centre = float(v[first : first + half + 1].mean())
    below = centre - v[v < centre]
    return centre, 1.4826 * float(np.median(below)) if below.size else 0.0


@njit(cache=True, nogil=True)
def _traced(ratio, weight, fine):
    """Weighted area where the bilinear interpolation of ``ratio`` is at least 1; written to ``fine`` unless 1 x 1."""
    rows, columns = ratio.shape
    total = 0.0
    for i in range(rows):
        for j in range(columns):
            highest = 0.0
            for a in range(max(i - 1, 0), min(i + 2, rows)):
                for b in range(max(j - 1, 0), min(j + 2, columns)):
                    highest = max(highest, ratio[a, b])
            if highest < 1.0:
                continue
            count = 0
            for a in range(PARTS):
                y = (a + 0.5) / PARTS - 0.5
                i1 = min(max(i + (1 if y > 0 else -1), 0), rows - 1)
                for b in range(PARTS):
                    x = (b + 0.5) / PARTS - 0.5
                    j1 = min(max(j + (1 if x > 0 else -1), 0), columns - 1)
                    here = (1 - abs(x)) * ratio[i, j] + abs(x) * ratio[i, j1]
                    there = (1 - abs(x)) * ratio[i1, j] + abs(x) * ratio[i1, j1]
                    if (1 - abs(y)) * here + abs(y) * there >= 1.0:
                        count += 1
                        if fine.size > 1:
                            fine[i * PARTS + a, j * PARTS + b] = 1
            total += weight[i, j] * count / PARTS**2
    return total


@njit(cache=True, nogil=True)
def _covered(fine, near, shift_y, shift_x, half, out):
    """Share of every window that ``fine`` fills; shifts and ``half`` sizes in its cells, windows not ``near`` get 0."""
    rows, columns = fine.shape
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0.0
            if not near[i, j]:
                continue
            y0 = (i + 0.5) * PARTS + shift_y[i, j] - half[0]
            x0 = (j + 0.5) * PARTS + shift_x - half[1]
            y1, x1 = y0 + 2 * half[0], x0 + 2 * half[1]
            for a in range(max(int(np.floor(y0)), 0), min(int(np.ceil(y1)), rows)):
                high = min(y1, a + 1.0) - max(y0, float(a))
                for b in range(max(int(np.floor(x0)), 0), min(int(np.ceil(x1)), columns)):
                    if fine[a, b]:
                        out[i, j] += high * (min(x1, b + 1.0) - max(x0, float(b)))
            out[i, j] /= 4.0 * half[0] * half[1]


def _smooth(w):
    for axis in (0, 1):
        w = convolve1d(w, [0.25, 0.5, 0.25], axis=axis)
    return w


def _box_count(mask):
    """How many of the 3 x 3 pixels around each are in a mask."""
    count = mask.astype(np.int64)
    for axis in (0, 1):
        count = convolve1d(count, [1, 1, 1], axis=axis, mode="constant")
    return count


def _noise(rng, shape):
    """Standard normal noise, correlated like overlapping windows."""
    noise = rng.standard_normal(shape)
    for axis in (0, 1):
        noise = convolve1d(noise, [NEIGHBOUR, 1.0, NEIGHBOUR], axis=axis, mode="wrap")
    return noise / (1.0 + 2.0 * NEIGHBOUR**2)


def _half_responses(rng, shape):
    """(y, x) response of half worked windows: independent on a coarse lattice, linear between, equal variance."""
    weights = []
    for n in shape:
        at = np.arange(n) / HALF_LENGTH + rng.uniform()
        near = np.maximum(1.0 - np.abs(at[:, None] - np.arange(int(at[-1]) + 2)), 0.0)
        weights.append(near / np.sqrt((near**2).sum(axis=1, keepdims=True)))
    lattice = rng.standard_normal((weights[0].shape[1], weights[1].shape[1]))
    return HALF + HALF_SPREAD * (weights[0] @ lattice @ weights[1].T)


def _trace(w, spread, weight, fine=EMPTY, confirmed=None):
    """Area (weight) inside the outline; also the level of fully worked ground and the seeds, (y, x) both."""
    seeds = _smooth(w) > DETECTION * spread
    if confirmed is not None:
        parts, _ = label(seeds, np.ones((3, 3)))
        seeds &= np.isin(parts, parts[confirmed & seeds])
    sure = np.where(seeds, np.maximum(w, 0.0), 0.0)
    square = gaussian_filter(sure**2, 1.0, truncate=3.0)
    # of a Gaussian's far tail only rounding is left
    known = square > 1e-12
    level = np.divide(gaussian_filter(sure**3, 1.0, truncate=3.0), square, out=np.zeros_like(w), where=known)
    region = binary_dilation(seeds, np.ones((5, 5), bool)) & known
    ratio = np.divide(w, HALF * level, out=np.zeros_like(w), where=region)
    return _traced(grey_closing(ratio, size=(3, 3)), weight, fine), level, seeds


def _filled(index, seen, centre):
    """Index minus ``centre``; gaps take the weighted mean of what lies around them."""
    w = np.where(seen, index - centre, 0.0)
    if seen.all():
        return w
    near = gaussian_filter(seen.astype(np.float64), 1.0)
    return np.where(seen, w, np.divide(gaussian_filter(w, 1.0), near, out=np.zeros_like(w), where=near > 1e-3))


def _around(mask, *maps):
    """The part of each map that holds ``mask`` and a margin."""
    part = tuple(slice(max(int(k.min()) - MARGIN, 0), int(k.max()) + MARGIN + 1) for k in np.nonzero(mask))
    return [np.asarray(one)[part] for one in maps]


def outline_area(year: IndexMap, quiet, active, weight, spacing: float, rng) -> tuple[float, float, float] | None:
    """Area of the worked ground with its 95 % interval.

    Parameters
    ----------
    year : IndexMap
    quiet : ndarray, (y, x), bool
        Pixels to take the null from: of the mine, decided, not active.
    active : ndarray, (y, x), bool
        Pixels called active.
    weight : ndarray, (y, x), float64
        Area of every pixel that counts, m2; 0 elsewhere.
    spacing : float
        Pixel spacing, m.
    rng : numpy.random.Generator

    Returns
    -------
    area, low, high : float
        m2; None where there is too little quiet ground to know its spread. All 0 where nothing stands out.
    """
    if np.count_nonzero(quiet) < MINIMUM_QUIET:
        return None
    index, quiet, active, weight = _around(quiet | (weight > 0), year.index, quiet, active, weight)
    seen = np.isfinite(index)
    quiet = quiet & seen
    if np.count_nonzero(quiet) < MINIMUM_QUIET:
        return None
    centre, spread = quiet_ground(index[quiet])
    w = _filled(index.astype(np.float64), seen, centre)
    smooth_spread = quiet_ground(_smooth(w)[quiet])[1]
    confirmed = _box_count(active) >= MINIMUM_ACTIVE
    seeds = _trace(w, smooth_spread, weight, confirmed=confirmed)[2]
    if not seeds.any():
        return 0.0, 0.0, 0.0
    w, weight, confirmed = _around(seeds, w, weight, confirmed)
    fine = np.zeros(tuple(PARTS * n for n in w.shape), np.uint8)
    area, level, seeds = _trace(w, smooth_spread, weight, fine, confirmed)
    near = binary_dilation(seeds, np.ones((9, 9), bool))
    half = tuple((size + BLUR) / spacing * PARTS / 2 for size in year.window)
    again, share = np.empty(REPLICATES), np.empty(w.shape)
    for k in range(REPLICATES):
        if k % SAME_WINDOWS == 0:
            shift = rng.uniform(-0.5, 0.5, 2) * PARTS
            lines = rng.uniform(-0.5, 0.5, w.shape) * (LINE / spacing * PARTS)
            _covered(fine, near, shift[0] + lines, shift[1], half, share)
            h = _half_responses(rng, w.shape)
            mean = level * share * ((4 * h - 1) + (2 - 4 * h) * share)
            deviation = np.sqrt(spread**2 + WORKED_NOISE / max(year.pairs, 1) * np.maximum(mean, 0.0))
        again[k] = _trace(mean + deviation * _noise(rng, w.shape), smooth_spread, weight)[0]
    most, least = np.quantile(again, (0.975, 0.025))
    return tuple(float(np.clip(2 * area - b, 0.0, weight.sum())) for b in (again.mean(), most, least))
