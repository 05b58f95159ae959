"""Where the simulated satellite is: earth-fixed trajectories, and the local polynomial that kernels evaluate.

Two kinds. `CircularTrajectory` is analytic: a circle in the inertial frame,

    r_i(t) = (a + radial)·(cos u, sin u cos i, sin u sin i) + cross·w,   u = u0 + n·(t - t0),   n = sqrt(GM / a³)

turned into the earth-fixed frame by the Earth's rotation, r = Rz(-(ωt - λ))·r_i, whose velocity therefore carries
the term -ω × r. It *is* the truth; an annotation that lists it is rounded and sampled. `SampledTrajectory` follows
the state vectors of a real annotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.polynomial import chebyshev, polynomial
from numpy.typing import NDArray
from scipy.interpolate import BarycentricInterpolator

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
        Constant offset in m from the nominal orbit: away from the Earth, and to the left of the flight direction.
        The mean motion stays that of the nominal orbit, so that two dates keep a constant baseline.
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
        normal = np.array(
            [0.0, -np.sin(i), np.cos(i)]
        )  # r × v: left of the flight direction for an observer standing up
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
    """The orbit of an annotation: one polynomial through the ten state vectors around the asked span.

    Positions and velocities are interpolated apart, because ESA does so: in products of 2021 the annotated velocity
    differs from the derivative of the positions by 9 mm/s, and only the annotated one reproduces the tie points'
    zero-Doppler times (to 1e-3 line; the derivative misses by 0.03). State vectors carry noise of some 0.01 mm
    across the track and, from times cut to 1 µs, mm along it: that is how far two good interpolations of the same
    vectors differ.
    """

    orbit: Orbit
    vectors: int = 10

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
        first = min(max(first, 0), times.size - count)
        pick = slice(first, first + count)
        middle = times[pick].mean()
        x, at = (times[pick] - middle) / VECTOR_SPACING, (t - middle) / VECTOR_SPACING
        vectors = np.concatenate([self.orbit.position[pick], self.orbit.velocity[pick]], axis=1)
        found = BarycentricInterpolator(x, vectors, rng=0)(at)
        return found[:, :3], found[:, 3:]


Series = tuple[float, NDArray[np.float64], NDArray[np.float64]]


def local_polynomial(trajectory: Trajectory, start: float, stop: float, degree: int = 7) -> Series:
    """A trajectory over a few seconds as power series for the kernels.

    Parameters
    ----------
    trajectory : Trajectory
    start, stop : float
        Seconds since the epoch. Over 30 s the series departs from an orbit by less than 1e-7 m.
    degree : int

    Returns
    -------
    centre : float
        Seconds since the epoch that the series are about.
    position, velocity : ndarray, (3, degree + 1), float64
        x, y, z in m or m/s per s**power, rising powers.
    """
    centre, half = 0.5 * (start + stop), 0.5 * (stop - start)
    nodes = np.cos(np.pi * (np.arange(2 * degree) + 0.5) / (2 * degree))
    return centre, *(_power_series(nodes, v, degree, half) for v in trajectory.state(centre + half * nodes))


def _power_series(nodes, values, degree, half) -> NDArray[np.float64]:
    """Coefficients (3, degree + 1) per s**power of ``values`` (node, 3) at Chebyshev ``nodes`` of ± ``half`` s."""
    fit = chebyshev.chebfit(nodes, values, degree)
    power = np.zeros((3, degree + 1))
    for k in range(3):
        row = chebyshev.cheb2poly(fit[:, k])  # drops trailing zeros
        power[k, : row.size] = row
    return power / half ** np.arange(degree + 1)


def acceleration(trajectory: Trajectory, seconds: float) -> NDArray[np.float64]:
    """Earth-fixed acceleration (3,) in m/s², from the velocities within a second."""
    centre, _, velocity = local_polynomial(trajectory, seconds - 1.0, seconds + 1.0)
    return np.array([polynomial.polyval(seconds - centre, polynomial.polyder(row)) for row in velocity])


def annotated_orbit(trajectory: Trajectory, epoch: np.datetime64, start: float, stop: float) -> Orbit:
    """State vectors every 10 s around start…stop, with the decimals of a real annotation (1e-6 m and 1e-6 m/s).

    Six vectors lie on either side of the span, as many as any interpolation needs.
    """
    first = np.floor(start / VECTOR_SPACING) - 6
    last = np.ceil(stop / VECTOR_SPACING) + 6
    time = VECTOR_SPACING * np.arange(first, last + 1)
    position, velocity = trajectory.state(time)
    return Orbit(np.datetime64(epoch, "ns"), time, np.round(position, 6), np.round(velocity, 6))
