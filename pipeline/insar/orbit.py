"""Position and velocity between state vectors.

Lagrange's polynomial through the eight nearest vectors, position and velocity each by its own. With vectors every 10 s
that is exact to well under a millimetre; a single low-order polynomial through the whole arc is not.
"""

import numpy as np
from numba import njit

from ..errors import NoCoverage
from ..model import Orbit

POINTS = 8


@njit(cache=True, nogil=True)
def state(t, time, position, velocity, out):
    """Write position (m), velocity (m/s) and acceleration (m/s2) at ``t`` into ``out`` (9,).

    The acceleration is the slope of the velocity between the two nearest vectors: good to 1 %, which is all that
    Newton's method needs of it.
    """
    n = time.size
    i = np.searchsorted(time, t)
    first = min(max(i - POINTS // 2, 0), n - POINTS)
    for k in range(6):
        out[k] = 0.0
    for j in range(first, first + POINTS):
        over, under = 1.0, 1.0
        for m in range(first, first + POINTS):
            if m != j:
                over *= t - time[m]
                under *= time[j] - time[m]
        w = over / under
        for k in range(3):
            out[k] += w * position[j, k]
            out[3 + k] += w * velocity[j, k]
    i = min(max(i, 1), n - 1)
    for k in range(3):
        out[6 + k] = (velocity[i, k] - velocity[i - 1, k]) / (time[i] - time[i - 1])


def arrays(orbit: Orbit):
    """(time, position, velocity) as the contiguous float64 arrays that the kernels take."""
    return tuple(np.ascontiguousarray(a, dtype=np.float64) for a in (orbit.time, orbit.position, orbit.velocity))


def check_covers(orbit: Orbit, start: float, stop: float) -> None:
    """Refuse to extrapolate.

    Parameters
    ----------
    start, stop : float
        First and last second needed, from the orbit's epoch.

    Raises
    ------
    NoCoverage
        Fewer than eight vectors, a time outside them, or a gap of more than 30 s between the vectors needed.
    """
    name = f"orbit ({orbit.source})"
    if orbit.time.size < POINTS:
        raise NoCoverage(f"{name} has {orbit.time.size} state vectors, expected at least {POINTS}; use an orbit file")
    if start < orbit.time[0] or stop > orbit.time[-1]:
        raise NoCoverage(
            f"{name} covers {orbit.instant(orbit.time[0])} to {orbit.instant(orbit.time[-1])}, expected "
            f"{orbit.instant(start)} to {orbit.instant(stop)}; use an orbit file that covers the product"
        )
    near = (orbit.time > start - 50.0) & (orbit.time < stop + 50.0)
    gaps = np.diff(orbit.time[near])
    if gaps.size and gaps.max() > 30.0:
        raise NoCoverage(
            f"{name} has a gap of {gaps.max():.0f} s between state vectors, expected 10 s; use an orbit file"
        )


def interpolate(orbit: Orbit, seconds):
    """Position and velocity at many times.

    Parameters
    ----------
    seconds : array_like, (n,)
        Seconds from ``orbit.epoch``, within the vectors.

    Returns
    -------
    position, velocity : ndarray, (n, 3), float64
        m and m/s, earth-fixed.
    """
    seconds = np.atleast_1d(np.asarray(seconds, np.float64))
    check_covers(orbit, float(seconds.min()), float(seconds.max()))
    out = _interpolate(seconds, *arrays(orbit))
    return out[:, :3], out[:, 3:6]


@njit(cache=True, nogil=True)
def _interpolate(seconds, time, position, velocity):
    out = np.empty((seconds.size, 9))
    for i in range(seconds.size):
        state(seconds[i], time, position, velocity, out[i])
    return out
