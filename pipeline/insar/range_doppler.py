"""Zero-Doppler range-Doppler geometry, both ways.

A pixel (azimuth time t, slant range R) sees the point P of the terrain for which

    V(t) . (P - S(t)) = 0,   |P - S(t)| = R,   height(P) = h

with S, V the satellite's position and velocity in the earth-fixed frame. Backward (`project`): P known, Newton on t.
Forward (`locate`): t, R, h known, Newton on the look angle in the zero-Doppler plane. Sentinel-1 looks right.
"""

import math

import numpy as np
from numba import njit

from ..constants import SPEED_OF_LIGHT
from ..model import Burst, Orbit
from .ellipsoid import ecef_to_geodetic, geodetic_to_ecef
from .orbit import arrays, state

_TIME_TOLERANCE = 1e-11  # s: 1e-7 m along track
_HEIGHT_TOLERANCE = 1e-7  # m


@njit(cache=True, nogil=True)
def _project_one(x, y, z, guess, time, position, velocity, out):
    """(azimuth time, slant range in m) of an earth-centred point; NaN where the orbit never stands beside it."""
    t = guess
    # a second beyond the last vector is still interpolation grade: products of 2014 end there
    for _ in range(12):
        if not (time[0] - 1.0 <= t <= time[-1] + 1.0):
            return np.nan, np.nan
        state(t, time, position, velocity, out)
        dx, dy, dz = x - out[0], y - out[1], z - out[2]
        f = out[3] * dx + out[4] * dy + out[5] * dz
        slope = out[6] * dx + out[7] * dy + out[8] * dz - (out[3] ** 2 + out[4] ** 2 + out[5] ** 2)
        step = f / slope
        t -= step
        if abs(step) < _TIME_TOLERANCE:
            break
    return t, math.sqrt(dx * dx + dy * dy + dz * dz)


@njit(cache=True, nogil=True)
def _project(latitude, longitude, height, guess, time, position, velocity):
    n = latitude.size
    azimuth_time, slant_range = np.empty(n), np.empty(n)
    out = np.empty(9)
    for i in range(n):
        x, y, z = geodetic_to_ecef(latitude[i], longitude[i], height[i])
        t, r = _project_one(x, y, z, guess, time, position, velocity, out)
        azimuth_time[i], slant_range[i] = t, r
        if t == t:  # neighbours are near: start from the last solution
            guess = t
    return azimuth_time, slant_range


def project(orbit: Orbit, latitude, longitude, height, guess: float | None = None):
    """When and at what range the satellite stands beside given points.

    Parameters
    ----------
    latitude, longitude : array_like, rad
    height : array_like, m above the ellipsoid
    guess : float, optional
        Seconds from the orbit's epoch to start from; the middle of the orbit by default.

    Returns
    -------
    azimuth_time : ndarray, float64
        Zero-Doppler time, s from ``orbit.epoch``; NaN where it lies outside the state vectors or an input is NaN.
    slant_range_time : ndarray, float64
        Two-way, s; NaN alike.
    """
    lat, lon, h = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (latitude, longitude, height)))
    start = 0.5 * (orbit.time[0] + orbit.time[-1]) if guess is None else float(guess)
    t, r = _project(lat.ravel(), lon.ravel(), h.ravel(), start, *arrays(orbit))
    return t.reshape(lat.shape), (r * (2.0 / SPEED_OF_LIGHT)).reshape(lat.shape)


@njit(cache=True, nogil=True)
def _plane(out, basis):
    """Unit vectors of the zero-Doppler plane: ``basis`` rows are nadir-ward (down) and to the right of the track."""
    v = math.sqrt(out[3] ** 2 + out[4] ** 2 + out[5] ** 2)
    tx, ty, tz = out[3] / v, out[4] / v, out[5] / v
    along = -(out[0] * tx + out[1] * ty + out[2] * tz)
    dx, dy, dz = -out[0] - along * tx, -out[1] - along * ty, -out[2] - along * tz
    d = math.sqrt(dx * dx + dy * dy + dz * dz)
    basis[0, 0], basis[0, 1], basis[0, 2] = dx / d, dy / d, dz / d
    # right = along track x up
    basis[1, 0] = -(ty * dz - tz * dy) / d
    basis[1, 1] = -(tz * dx - tx * dz) / d
    basis[1, 2] = -(tx * dy - ty * dx) / d


@njit(cache=True, nogil=True)
def _locate(azimuth_time, slant_range, height, time, position, velocity):
    n = azimuth_time.size
    latitude, longitude = np.empty(n), np.empty(n)
    out, basis = np.empty(9), np.empty((2, 3))
    last = np.nan
    for i in range(n):
        if azimuth_time[i] != last:
            last = azimuth_time[i]
            state(last, time, position, velocity, out)
            _plane(out, basis)
        latitude[i], longitude[i] = _intersect(out, basis, slant_range[i], height[i])
    return latitude, longitude


@njit(cache=True, nogil=True)
def _intersect(out, basis, r, height):
    """(latitude, longitude) where the circle of range ``r`` in the zero-Doppler plane reaches ``height``; else NaN."""
    s2 = out[0] ** 2 + out[1] ** 2 + out[2] ** 2
    s = math.sqrt(s2)
    # the first guess is a sphere through the ellipsoid's mean radius under the satellite
    _, _, altitude = ecef_to_geodetic(out[0], out[1], out[2])
    sphere = s - altitude + height
    cos_look = (s2 + r * r - sphere * sphere) / (2.0 * s * r)
    if not (-1.0 < cos_look < 1.0):
        return np.nan, np.nan
    look = math.acos(cos_look)
    lat, lon = np.nan, np.nan
    for _ in range(20):
        c, w = math.cos(look), math.sin(look)
        x = out[0] + r * (c * basis[0, 0] + w * basis[1, 0])
        y = out[1] + r * (c * basis[0, 1] + w * basis[1, 1])
        z = out[2] + r * (c * basis[0, 2] + w * basis[1, 2])
        lat, lon, h = ecef_to_geodetic(x, y, z)
        miss = h - height
        if abs(miss) < _HEIGHT_TOLERANCE:
            return lat, lon
        nx, ny, nz = math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)
        slope = r * (
            nx * (-w * basis[0, 0] + c * basis[1, 0])
            + ny * (-w * basis[0, 1] + c * basis[1, 1])
            + nz * (-w * basis[0, 2] + c * basis[1, 2])
        )
        look -= miss / slope
    return np.nan, np.nan


def locate(orbit: Orbit, azimuth_time, slant_range_time, height):
    """Where on Earth a pixel looks, on the right of the track.

    Parameters
    ----------
    azimuth_time : array_like
        s from ``orbit.epoch``.
    slant_range_time : array_like
        Two-way, s.
    height : array_like
        m above the ellipsoid.

    Returns
    -------
    latitude, longitude : ndarray, float64, rad
        NaN where the range never reaches the height.
    """
    t, tau, h = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (azimuth_time, slant_range_time, height)))
    r = tau.ravel() * (0.5 * SPEED_OF_LIGHT)
    lat, lon = _locate(t.ravel(), r, h.ravel(), *arrays(orbit))
    return lat.reshape(t.shape), lon.reshape(t.shape)


def radar_coordinates(burst: Burst, latitude, longitude, height):
    """Fractional, 0-based line and sample of points in a burst; they may lie outside of it.

    Parameters are those of `project`; the two arrays returned have their broadcast shape, NaN as there.
    """
    middle = burst.start + 0.5 * burst.lines * burst.azimuth_time_interval
    t, tau = project(burst.orbit, latitude, longitude, height, guess=middle)
    line = (t - burst.start) / burst.azimuth_time_interval
    sample = (tau - burst.slant_range_time) * burst.range_sampling_rate
    return line, sample


def incidence_angle(orbit: Orbit, azimuth_time, latitude, longitude, height):
    """Angle between the line of sight and the ellipsoid's normal at given points.

    Parameters
    ----------
    azimuth_time : array_like
        Zero-Doppler time of the points, s from ``orbit.epoch`` (from `project`).

    Returns
    -------
    ndarray, float64, rad in 0..pi/2; NaN where an input is NaN.
    """
    t, lat, lon, h = np.broadcast_arrays(
        *(np.asarray(a, np.float64) for a in (azimuth_time, latitude, longitude, height))
    )
    return _incidence(t.ravel(), lat.ravel(), lon.ravel(), h.ravel(), *arrays(orbit)).reshape(t.shape)


@njit(cache=True, nogil=True)
def _incidence(azimuth_time, latitude, longitude, height, time, position, velocity):
    angle = np.empty(azimuth_time.size)
    out = np.empty(9)
    for i in range(angle.size):
        if not (time[0] - 1.0 <= azimuth_time[i] <= time[-1] + 1.0):
            angle[i] = np.nan
            continue
        state(azimuth_time[i], time, position, velocity, out)
        lat, lon = latitude[i], longitude[i]
        x, y, z = geodetic_to_ecef(lat, lon, height[i])
        dx, dy, dz = out[0] - x, out[1] - y, out[2] - z
        up = (dx * math.cos(lat) * math.cos(lon) + dy * math.cos(lat) * math.sin(lon) + dz * math.sin(lat)) / math.sqrt(
            dx * dx + dy * dy + dz * dz
        )
        angle[i] = math.acos(min(up, 1.0))
    return angle
