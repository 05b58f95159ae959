"""Where the simulated satellite is: trajectories in the earth-fixed frame, and the local polynomial that kernels evaluate.

Two kinds. `CircularTrajectory` is analytic: a circle in the inertial frame,

    r_i(t) = (a + radial)·(cos u, sin u cos i, sin u sin i) + cross·w,   u = u0 + n·(t - t0),   n = sqrt(GM / a³)

turned into the earth-fixed frame by the Earth's rotation, r = Rz(-(ωt - λ))·r_i, whose velocity therefore carries the term
-ω × r. It *is* the truth; an annotation that lists it is rounded and sampled. `SampledTrajectory` follows the state vectors
of a real annotation by Hermite interpolation (position and velocity), a scheme the processor doesn't use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.polynomial import chebyshev, polynomial
from numpy.typing import NDArray
from scipy.interpolate import KroghInterpolator

from ..constants import EARTH_GM, EARTH_ROTATION_RATE
from ..errors import NoCoverage
from ..model import Orbit

SEMI_MAJOR_AXIS = 7_070_930.0  # m, 693 km above the equator
INCLINATION = np.deg2rad(98.1817)  # sun-synchronous at that height
VECTOR_SPACING = 10.0  # s between annotated state vectors


class Trajectory(Protocol):
    """Anything that knows where the satellite is."""

    def state(self, seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Position (time, 3) in m and velocity (time, 3) in m/s, earth-fixed, at ``seconds`` (time,)."""
        ...


@dataclass(frozen=True)
class CircularTrajectory:
    """A circular orbit that crosses the equator northward at ``node_time`` above ``node_longitude``.

    Parameters
    ----------
    node_time : float
        Seconds since the epoch that the caller counts from.
    node_longitude : float
        Earth-fixed longitude of the ascending node, rad.
    radial, cross : float
        Constant offset in m from the nominal orbit: away from the Earth, and to the left of the flight direction. The mean
        motion stays that of the nominal orbit, so that two dates keep a constant baseline.
    """

    node_time: float
    node_longitude: float
    radial: float = 0.0
    cross: float = 0.0
    semi_major_axis: float = SEMI_MAJOR_AXIS
    inclination: float = INCLINATION

    @property
    def mean_motion(self) -> float:
        """Angular rate in the orbit plane, rad/s."""
        return float(np.sqrt(EARTH_GM / self.semi_major_axis**3))

    def state(self, seconds):
        """Position and velocity, earth-fixed; see `Trajectory`."""
        t = np.atleast_1d(np.asarray(seconds, np.float64)) - self.node_time
        n, i, radius = self.mean_motion, self.inclination, self.semi_major_axis + self.radial
        cos_u, sin_u = np.cos(n * t), np.sin(n * t)
        normal = np.array([0.0, -np.sin(i), np.cos(i)])  # r × v: left of the flight direction for an observer standing up
        position = radius * np.stack([cos_u, sin_u * np.cos(i), sin_u * np.sin(i)], -1) + self.cross * normal
        velocity = radius * n * np.stack([-sin_u, cos_u * np.cos(i), cos_u * np.sin(i)], -1)
        angle = self.node_longitude - EARTH_ROTATION_RATE * t
        c, s = np.cos(angle), np.sin(angle)
        turned = [_turn(v, c, s) for v in (position, velocity)]
        turned[1] -= EARTH_ROTATION_RATE * np.stack([-turned[0][:, 1], turned[0][:, 0], np.zeros_like(c)], -1)
        return turned[0], turned[1]


def _turn(vectors, c, s):
    """Vectors (time, 3) turned about z by the angle with cosine ``c`` and sine ``s``."""
    x, y, z = vectors[:, 0], vectors[:, 1], vectors[:, 2]
    return np.stack([c * x - s * y, s * x + c * y, z], -1)


@dataclass(frozen=True, eq=False)
class SampledTrajectory:
    """The orbit of an annotation: Hermite interpolation through the six state vectors nearest to the asked span."""

    orbit: Orbit
    vectors: int = 6

    def state(self, seconds):
        """Position and velocity, earth-fixed; `NoCoverage` outside the state vectors."""
        t = np.atleast_1d(np.asarray(seconds, np.float64))
        times = self.orbit.time
        if t.min() < times[0] or t.max() > times[-1]:
            raise NoCoverage(
                f"the orbit ({self.orbit.source}) covers {times[0]:.3f}…{times[-1]:.3f} s after its epoch, "
                f"instead got {t.min():.3f}…{t.max():.3f} s; take an orbit file that covers the burst"
            )
        count = min(self.vectors, times.size)
        first = int(np.searchsorted(times, t.mean())) - count // 2
        pick = slice(min(max(first, 0), times.size - count), None)
        node = times[pick][:count]
        scale = np.median(np.diff(node))
        x = np.repeat((node - node.mean()) / scale, 2)
        values = np.empty((2 * count, 3))
        values[0::2] = self.orbit.position[pick][:count]
        values[1::2] = self.orbit.velocity[pick][:count] * scale
        hermite = KroghInterpolator(x, values)
        at = (t - node.mean()) / scale
        return hermite(at), hermite.derivative(at) / scale


def local_polynomial(trajectory: Trajectory, start: float, stop: float, degree: int = 7) -> tuple[float, NDArray]:
    """A trajectory over a few seconds as a power series for the kernels.

    Parameters
    ----------
    trajectory : Trajectory
    start, stop : float
        Seconds since the epoch. Over 30 s the series departs from an orbit by less than 1e-7 m.
    degree : int

    Returns
    -------
    centre : float
        Seconds since the epoch that the series is about.
    coefficients : ndarray, (3, degree + 1), float64
        x, y, z in m per s**power, rising powers.
    """
    centre, half = 0.5 * (start + stop), 0.5 * (stop - start)
    nodes = np.cos(np.pi * (np.arange(2 * degree) + 0.5) / (2 * degree))
    position, _ = trajectory.state(centre + half * nodes)
    fit = chebyshev.chebfit(nodes, position, degree)
    power = np.stack([_padded(chebyshev.cheb2poly(fit[:, k]), degree + 1) for k in range(3)])
    return centre, np.ascontiguousarray(power / half ** np.arange(degree + 1))


def _padded(values, size):
    """``values`` with zeros appended up to ``size``: the conversion drops trailing zeros."""
    return np.concatenate([values, np.zeros(size - values.size)])


def series_state(series: tuple[float, NDArray], seconds):
    """Position, velocity and acceleration (time, 3) of a `local_polynomial`, m, m/s and m/s²."""
    centre, coefficients = series
    x = np.atleast_1d(np.asarray(seconds, np.float64)) - centre
    order = (coefficients.T, polynomial.polyder(coefficients.T), polynomial.polyder(coefficients.T, 2))
    return tuple(polynomial.polyval(x, c).T for c in order)


def annotated_orbit(trajectory: Trajectory, epoch: np.datetime64, start: float, stop: float) -> Orbit:
    """State vectors every 10 s around start…stop, with the decimals of a real annotation (1e-6 m and 1e-6 m/s).

    Six vectors lie on either side of the span, as many as any interpolation needs.
    """
    first = np.floor(start / VECTOR_SPACING) - 6
    last = np.ceil(stop / VECTOR_SPACING) + 6
    time = VECTOR_SPACING * np.arange(first, last + 1)
    position, velocity = trajectory.state(time)
    return Orbit(np.datetime64(epoch, "ns"), time, np.round(position, 6), np.round(velocity, 6))
