"""The simulator's own range-Doppler geometry: where a pixel looks, and where another date sees that point.

A pixel (t, R) of a date lies on the circle of radius R about the satellite S(t) in the plane normal to its earth-fixed
velocity (zero Doppler). With u the upward and w the right-hand direction in that plane,

    P(θ) = S + R·(-cos θ·u + sin θ·w),

and the ground point is the root of g(θ) = h(P) - z(lat, lon), found by Newton's method with the exact gradient of
the terrain and a bracket to fall back on. Its coordinates in another date follow from (P - S'(t'))·V'(t') = 0 by
Newton's method. Every step is independent of the processor, which goes from map to radar and inverts tables.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..constants import WGS84_A, WGS84_B, WGS84_E2

EP2 = WGS84_E2 / (1.0 - WGS84_E2)  # second eccentricity squared
STEP = 0.02  # m: a Newton step below this leaves about its square times the curvature of the ground, 2e-6 m
# 1 cm along the circle of the own range is 1 cm x baseline / range, 1e-6 m, in the other date's range
LOOSE_STEP = 0.5  # m
REACH = 20_000.0  # m: a longer step has left the neighbourhood of the root


@njit(cache=True, nogil=True)
def _state(series, seconds):
    """Position and velocity (3,) of an orbit series at ``seconds``."""
    t = seconds - series[0]
    position, velocity = np.zeros(3), np.zeros(3)
    for k in range(3):
        for i in range(series[1].shape[1] - 1, -1, -1):
            position[k] = position[k] * t + series[1][k, i]
            velocity[k] = velocity[k] * t + series[2][k, i]
    return position, velocity


@njit(cache=True, nogil=True, inline="always")
def _geodetic(x, y, z):
    """tan of the geodetic latitude, distance from the axis, ellipsoidal height: Bowring's formula, twice."""
    p = np.sqrt(x * x + y * y)
    t = z * WGS84_A / (p * WGS84_B)
    for _ in range(2):
        c = 1.0 / np.sqrt(1.0 + t * t)
        s = t * c
        tan = (z + EP2 * WGS84_B * s * s * s) / (p - WGS84_E2 * WGS84_A * c * c * c)
        t = tan * WGS84_B / WGS84_A
    cos = 1.0 / np.sqrt(1.0 + tan * tan)
    sin = tan * cos
    normal = WGS84_A / np.sqrt(1.0 - WGS84_E2 * sin * sin)
    height = p * cos + z * sin - normal * (1.0 - WGS84_E2 * sin * sin)
    return tan, p, height


@njit(cache=True, nogil=True, inline="always")
def _weights(f, kind):
    """Weights of the four posts around a fraction ``f`` of a post, and their derivatives."""
    if kind == 0:
        return (0.0, 1.0 - f, f, 0.0), (0.0, -1.0, 1.0, 0.0)
    f2 = f * f
    f3 = f2 * f
    if kind == 1:  # cubic convolution, a = -1/2
        w = (-0.5 * f3 + f2 - 0.5 * f, 1.5 * f3 - 2.5 * f2 + 1.0, -1.5 * f3 + 2.0 * f2 + 0.5 * f, 0.5 * f3 - 0.5 * f2)
        d = (-1.5 * f2 + 2.0 * f - 0.5, 4.5 * f2 - 5.0 * f, -4.5 * f2 + 4.0 * f + 0.5, 1.5 * f2 - f)
        return w, d
    g = 1.0 - f
    w = (g * g * g / 6.0, 2.0 / 3.0 - f2 + 0.5 * f3, 2.0 / 3.0 - g * g + 0.5 * g * g * g, f3 / 6.0)
    d = (-0.5 * g * g, -2.0 * f + 1.5 * f2, 2.0 * g - 1.5 * g * g, 0.5 * f2)
    return w, d


@njit(cache=True, nogil=True)
def _height(posts, grid, lat, lon):
    """Terrain height and its derivatives by latitude and longitude (m/rad)."""
    rows, columns = posts.shape
    y = min(max((lat - grid[0]) / grid[2], 0.0), rows - 1.0)
    x = min(max((lon - grid[1]) / grid[3], 0.0), columns - 1.0)
    j, i = min(int(y), rows - 2), min(int(x), columns - 2)
    kind = int(grid[4])
    wy, dy = _weights(y - j, kind)
    wx, dx = _weights(x - i, kind)
    value = by_y = by_x = 0.0
    for a in range(4):
        r = abs(j + a - 1)  # the spline's coefficients continue as a mirror image
        r = 2 * (rows - 1) - r if r > rows - 1 else r
        row = row_x = 0.0
        for b in range(4):
            c = abs(i + b - 1)
            c = 2 * (columns - 1) - c if c > columns - 1 else c
            row += wx[b] * posts[r, c]
            row_x += dx[b] * posts[r, c]
        value += wy[a] * row
        by_y += dy[a] * row
        by_x += wy[a] * row_x
    return value, by_y / grid[2], by_x / grid[3]


@njit(cache=True, nogil=True)
def _clearance(view, distance, theta, terrain):
    """g(θ) in m, its derivative per rad, and the point: (g, slope, flat slope, x, y, z, lat, lon, height)."""
    c, s = np.cos(theta), np.sin(theta)
    x = view[0, 0] + distance * (s * view[2, 0] - c * view[1, 0])
    y = view[0, 1] + distance * (s * view[2, 1] - c * view[1, 1])
    z = view[0, 2] + distance * (s * view[2, 2] - c * view[1, 2])
    tan, p, height = _geodetic(x, y, z)
    lat, lon = np.arctan(tan), np.arctan2(y, x)
    ground, by_lat, by_lon = _height(terrain[0], terrain[1], lat, lon)
    cos = 1.0 / np.sqrt(1.0 + tan * tan)
    sin = tan * cos
    radial = np.sqrt(1.0 - WGS84_E2 * sin * sin)
    north_radius = WGS84_A * (1.0 - WGS84_E2) / (radial * radial * radial) + height
    tx = distance * (c * view[2, 0] + s * view[1, 0])
    ty = distance * (c * view[2, 1] + s * view[1, 1])
    tz = distance * (c * view[2, 2] + s * view[1, 2])
    outward = (tx * x + ty * y) / p
    east = (ty * x - tx * y) / p
    up = outward * cos + tz * sin
    north = tz * cos - outward * sin
    slope = up - by_lat * north / north_radius - by_lon * east / p
    return height - ground, slope, up, x, y, z, lat, lon, height


@njit(cache=True, nogil=True)
def _ground(view, distance, guess, step_limit, terrain):
    """The root θ of the clearance near ``guess``, and the clearance's values within ``step_limit`` m of it."""
    theta = guess
    value = _clearance(view, distance, theta, terrain)
    for _ in range(12):
        if value[1] <= 0.05 * value[2]:
            break
        step = value[0] / value[1]
        if abs(step) * distance > REACH:
            break
        theta -= step
        if abs(step) * distance < step_limit:
            return theta, value
        value = _clearance(view, distance, theta, terrain)
    # the ellipsoid lies up to 21.4 km below the sphere of the equator's radius
    low = _look(view, distance, terrain[1][5] - 23_000.0)
    high = _look(view, distance, terrain[1][6] + 2_000.0)
    for _ in range(50):
        theta = 0.5 * (low + high)
        value = _clearance(view, distance, theta, terrain)
        if value[0] < 0.0:
            low = theta
        else:
            high = theta
    return theta, value


@njit(cache=True, nogil=True)
def _look(view, distance, height):
    """Look angle in rad at which a sphere through the sub-satellite point, raised by ``height``, is met."""
    s = np.sqrt((view[0] ** 2).sum())
    plane = (view[0] * view[1]).sum() / s  # the zero-Doppler plane doesn't quite hold the Earth's centre
    r = WGS84_A + height
    cos = (distance * distance + s * s - r * r) / (2.0 * distance * s * plane)
    return np.arccos(min(max(cos, -1.0), 1.0))


@njit(cache=True, nogil=True)
def _zero_doppler(series, x, y, z, guess):
    """Seconds from the centre of ``series`` at which a point is at zero Doppler, and its distance there.

    A Newton step moves the satellite along its track, so the distance that belongs to the step's start is off by
    half the square of the step: it is taken again after the last step.
    """
    c, e = series[1], series[2]
    last = c.shape[1] - 1
    t = guess
    done = False
    for _ in range(20):
        px = py = pz = vx = vy = vz = ax = ay = az = 0.0
        for i in range(last, -1, -1):
            ax, ay, az = ax * t + vx, ay * t + vy, az * t + vz
            vx, vy, vz = vx * t + e[0, i], vy * t + e[1, i], vz * t + e[2, i]
            px, py, pz = px * t + c[0, i], py * t + c[1, i], pz * t + c[2, i]
        dx, dy, dz = x - px, y - py, z - pz
        if done:
            break
        step = (dx * vx + dy * vy + dz * vz) / (dx * ax + dy * ay + dz * az - vx * vx - vy * vy - vz * vz)
        t -= step
        done = abs(step) < 1e-7  # s; what is left is below 1e-12 s
    return t, np.sqrt(dx * dx + dy * dy + dz * dz)


@njit(cache=True, nogil=True)
def observe(times, distances, own, other, terrain, out):
    """Where the pixels of one date look, and where another date sees the same ground.

    Parameters
    ----------
    times : ndarray, (line,), float64
        Zero-Doppler times, s.
    distances : ndarray, (sample,), float64
        Slant ranges, one-way, m, rising.
    own, other : tuple
        `orbit.local_polynomial` of the date itself and of the other date.
    terrain : tuple
        `Terrain.packed`.
    out : ndarray, (2 or 6, line, sample), float64
        Filled with: zero-Doppler time (s) and slant range (m) in the other date; with 6 layers also latitude and
        longitude (rad), height (m), and 1 where the point is single-valued (0 in and beside layover).

    Notes
    -----
    In layover the radar sees several points in one pixel; the one found is continuous with the pixels before it.
    """
    view = np.empty((3, 3))
    full = out.shape[0] == 6
    middle = 0.5 * (terrain[1][5] + terrain[1][6])
    for line in range(times.size):
        p, v = _state(own, times[line])
        v = v / np.sqrt((v * v).sum())
        up = p - (p * v).sum() * v
        up = up / np.sqrt((up * up).sum())
        view[0], view[1] = p, up
        view[2, 0] = v[1] * up[2] - v[2] * up[1]
        view[2, 1] = v[2] * up[0] - v[0] * up[2]
        view[2, 2] = v[0] * up[1] - v[1] * up[0]
        theta, rate = _look(view, distances[0], middle - 11_000.0), 0.0
        moment = times[line] - other[0]
        for sample in range(distances.size):
            distance = distances[sample]
            found, value = _ground(view, distance, theta + rate, STEP if full else LOOSE_STEP, terrain)
            jump = found - theta
            single = value[1] > 0.15 * value[2]
            c, s = np.cos(found), np.sin(found)
            if sample > 0:
                flat = (distance - distances[sample - 1]) * c / (distance * s)
                single = single and jump > 0.0 and jump < 12.0 * flat
                rate = jump if single else 0.0
            theta = found
            x = view[0, 0] + distance * (s * view[2, 0] - c * view[1, 0])
            y = view[0, 1] + distance * (s * view[2, 1] - c * view[1, 1])
            z = view[0, 2] + distance * (s * view[2, 2] - c * view[1, 2])
            moment, far = _zero_doppler(other, x, y, z, moment)
            out[0, line, sample] = moment + other[0]
            out[1, line, sample] = far
            if full:
                tan, _, height = _geodetic(x, y, z)
                out[2, line, sample] = np.arctan(tan)
                out[3, line, sample] = np.arctan2(y, x)
                out[4, line, sample] = height
                out[5, line, sample] = 1.0 if single else 0.0


def cartesian(latitude, longitude, height):
    """Earth-fixed x, y, z (..., 3) in m of a point: latitude and longitude in rad, height above the ellipsoid in m."""
    latitude, longitude, height = np.broadcast_arrays(latitude, longitude, height)
    sin, cos = np.sin(latitude), np.cos(latitude)
    normal = WGS84_A / np.sqrt(1.0 - WGS84_E2 * sin**2)
    across = (normal + height) * cos
    return np.stack(
        [across * np.cos(longitude), across * np.sin(longitude), (normal * (1 - WGS84_E2) + height) * sin], -1
    )


@njit(cache=True, nogil=True)
def project(latitude, longitude, height, series, out):
    """Radar coordinates of ground points.

    Parameters
    ----------
    latitude, longitude : ndarray, (line, sample), float64
        Degrees.
    height : ndarray, (line, sample), float64
        m above the ellipsoid.
    series : tuple
        `orbit.local_polynomial`.
    out : ndarray, (2, line, sample), float64
        Filled with zero-Doppler time (s) and one-way slant range (m).
    """
    moment = 0.0
    for i in range(latitude.shape[0]):
        for k in range(latitude.shape[1]):
            lat, lon = np.deg2rad(latitude[i, k]), np.deg2rad(longitude[i, k])
            sin = np.sin(lat)
            normal = WGS84_A / np.sqrt(1.0 - WGS84_E2 * sin * sin)
            across = (normal + height[i, k]) * np.cos(lat)
            up = (normal * (1.0 - WGS84_E2) + height[i, k]) * sin
            moment, distance = _zero_doppler(series, across * np.cos(lon), across * np.sin(lon), up, moment)
            out[0, i, k] = moment + series[0]
            out[1, i, k] = distance
