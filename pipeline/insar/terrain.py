"""Terrain: heights between the posts of a DEM, the height that each radar pixel sees, layover and shadow.

Between posts a cubic B-spline (continuous curvature) through all of them. A radar pixel sees the height h for which
terrain(latitude(h), longitude(h)) = h along its circle of constant range in the zero-Doppler plane: Newton from the
neighbour's height, kept inside a bracket that always holds a root, so that cliffs and layover can't make it diverge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy import ndimage

from .mapping import Mapping

_HEIGHT_TOLERANCE = 1e-4  # m: 1e-8 sample at a perpendicular baseline of 250 m
_LAST_STEP = 0.02  # m: what it leaves is its square times the curvature of the ground, below 1e-4 m
_FAST = {"contract", "reassoc", "nsz"}


@dataclass(frozen=True, eq=False)
class Terrain:
    """Heights above the ellipsoid on a regular latitude/longitude grid, as spline coefficients.

    ``coefficients`` (row, column) float32; row 0, column 0 is the *centre* of the first post at ``latitude_start``,
    ``longitude_start`` (rad); steps in rad, of either sign.
    """

    coefficients: np.ndarray
    latitude_start: float
    latitude_step: float
    longitude_start: float
    longitude_step: float
    lowest: float
    highest: float

    @classmethod
    def from_posts(cls, height, latitude_start, latitude_step, longitude_start, longitude_step) -> Terrain:
        """Prepare posts (row, column) in m, NaN-free; the angles in rad."""
        height = np.asarray(height, np.float64)
        # float32 is 0.1 mm at 1000 m; mirror so that the last posts are reproduced too
        coefficients = ndimage.spline_filter(height, order=3, mode="mirror").astype(np.float32)
        relief = 0.1 * (height.max() - height.min()) + 1.0  # a spline overshoots its posts
        return cls(
            coefficients,
            latitude_start,
            latitude_step,
            longitude_start,
            longitude_step,
            float(height.min() - relief),
            float(height.max() + relief),
        )

    def grid(self):
        """(latitude_start, 1/step, longitude_start, 1/step): what the kernels take beside the coefficients."""
        return self.latitude_start, 1.0 / self.latitude_step, self.longitude_start, 1.0 / self.longitude_step

    def __call__(self, latitude, longitude):
        """Height (m) at points in rad, same shape, float64; NaN outside the posts."""
        lat, lon = np.broadcast_arrays(np.asarray(latitude, np.float64), np.asarray(longitude, np.float64))
        turn = 2.0 * np.pi
        middle = self.longitude_start + 0.5 * self.longitude_step * (self.coefficients.shape[1] - 1)
        lon = middle + (lon - middle + np.pi) % turn - np.pi
        return _heights_at(lat.ravel(), lon.ravel(), self.coefficients, *self.grid()).reshape(lat.shape)


@njit(cache=True, nogil=True)
def _mirror(i, n):
    i = abs(i)
    return 2 * (n - 1) - i if i >= n else i


@njit(cache=True, nogil=True, inline="always")
def _weights(u):
    """Cubic B-spline weights of the four posts around a fraction ``u``, and their slopes."""
    w = 1.0 - u
    weights = (
        w * w * w / 6.0,
        2.0 / 3.0 - 0.5 * u * u * (1.0 + w),
        2.0 / 3.0 - 0.5 * w * w * (1.0 + u),
        u * u * u / 6.0,
    )
    slopes = (-0.5 * w * w, u * (1.5 * u - 2.0), -w * (1.5 * w - 2.0), 0.5 * u * u)
    return weights, slopes


@njit(cache=True, nogil=True, fastmath=_FAST)
def _spline(coefficients, row, column):
    """Spline value at fractional (row, column), and its slope per row and per column; NaN outside the cells."""
    n_row, n_col = coefficients.shape
    if not (-0.5 <= row <= n_row - 0.5 and -0.5 <= column <= n_col - 0.5):
        return np.nan, np.nan, np.nan
    i, j = math.floor(row), math.floor(column)
    (a0, a1, a2, a3), (s0, s1, s2, s3) = _weights(row - i)
    (b0, b1, b2, b3), (t0, t1, t2, t3) = _weights(column - j)
    r0, r1, r2, r3 = _around(i, n_row)
    c0, c1, c2, c3 = _around(j, n_col)
    c = coefficients
    # down the columns first: four values and four slopes by row, then both along the row
    p0, p1, p2, p3 = c[r0, c0], c[r1, c0], c[r2, c0], c[r3, c0]
    q0, q1, q2, q3 = c[r0, c1], c[r1, c1], c[r2, c1], c[r3, c1]
    v0, v1 = a0 * p0 + a1 * p1 + a2 * p2 + a3 * p3, a0 * q0 + a1 * q1 + a2 * q2 + a3 * q3
    d0, d1 = s0 * p0 + s1 * p1 + s2 * p2 + s3 * p3, s0 * q0 + s1 * q1 + s2 * q2 + s3 * q3
    p0, p1, p2, p3 = c[r0, c2], c[r1, c2], c[r2, c2], c[r3, c2]
    q0, q1, q2, q3 = c[r0, c3], c[r1, c3], c[r2, c3], c[r3, c3]
    v2, v3 = a0 * p0 + a1 * p1 + a2 * p2 + a3 * p3, a0 * q0 + a1 * q1 + a2 * q2 + a3 * q3
    d2, d3 = s0 * p0 + s1 * p1 + s2 * p2 + s3 * p3, s0 * q0 + s1 * q1 + s2 * q2 + s3 * q3
    return (
        b0 * v0 + b1 * v1 + b2 * v2 + b3 * v3,
        b0 * d0 + b1 * d1 + b2 * d2 + b3 * d3,
        t0 * v0 + t1 * v1 + t2 * v2 + t3 * v3,
    )


@njit(cache=True, nogil=True, inline="always")
def _around(i, n):
    """The four posts around post ``i``, mirrored at the ends; unsigned, for a signed index is checked for its sign."""
    if 1 <= i < n - 2:
        return np.uintp(i - 1), np.uintp(i), np.uintp(i + 1), np.uintp(i + 2)
    return (
        np.uintp(_mirror(i - 1, n)),
        np.uintp(_mirror(i, n)),
        np.uintp(_mirror(i + 1, n)),
        np.uintp(_mirror(i + 2, n)),
    )


@njit(cache=True, nogil=True)
def _heights_at(latitude, longitude, coefficients, lat0, per_lat, lon0, per_lon):
    out = np.empty(latitude.size)
    for i in range(out.size):
        out[i] = _spline(coefficients, (latitude[i] - lat0) * per_lat, (longitude[i] - lon0) * per_lon)[0]
    return out


def radar_heights(terrain: Terrain, ground: Mapping, lines: tuple[int, int], out: np.ndarray) -> None:
    """Height that each pixel of some lines of a window sees.

    Parameters
    ----------
    terrain : Terrain
    ground : Mapping
        Latitude and longitude over the window, from `mapping.ground_mapping` with heights that hold the terrain's.
    lines : (int, int)
        First line and the one after the last, counted in the burst.
    out : ndarray, (line, sample), float32
        Written: m above the ellipsoid for every sample of ``ground.window``; NaN where the terrain does not reach. In
        layover one of the heights that the pixel mixes.
    """
    window = ground.window
    low, high = terrain.lowest, terrain.highest
    scratch = np.empty((2, ground.coefficients.shape[2], out.shape[1]))
    for row, line in enumerate(range(*lines)):
        c = ground.line_coefficients(line)
        _solve_line(
            c[0],
            c[1],
            (window.sample_start, window.sample_stop, *ground.heights, low, high),
            terrain.coefficients,
            terrain.grid(),
            scratch,
            out[row],
        )


@njit(cache=True, nogil=True)
def _solve_line(lat_c, lon_c, limits, posts, grid, scratch, out):
    """Heights of one line; ``scratch`` (2, height power, sample) float64 is working space."""
    start, stop, h0, h1, low, high = limits
    lat0, per_lat, lon0, per_lon = grid
    rows, columns = scratch
    _powers(lat_c * per_lat, start, stop, rows)
    _powers(lon_c * per_lon, start, stop, columns)
    # from here in fractional rows and columns of the posts
    rows[0] -= lat0 * per_lat
    columns[0] -= lon0 * per_lon
    scales = 2.0 / (h1 - h0), -(h0 + h1) / (h1 - h0)
    guess = before = 0.5 * (low + high)
    for i in range(out.size):
        h = _root(rows, columns, i, scales, low, high, guess, posts)
        out[i] = h
        if h == h:
            guess, before = 2.0 * h - before, h


@njit(cache=True, nogil=True, fastmath=_FAST)
def _powers(coefficients, start, stop, out):
    """Polynomials (height power, sample power) at every sample: what is left of them is a polynomial in height."""
    block = 256  # stays in the first-level cache
    x = np.empty(block)
    n_h, n_s = coefficients.shape
    for first in range(0, out.shape[1], block):
        n = min(block, out.shape[1] - first)
        for i in range(n):
            x[i] = (2.0 * (start + first + i) - (start + stop)) / (stop - start)
        for k in range(n_h):
            value = out[k, first : first + n]
            value[:] = coefficients[k, n_s - 1]
            for m in range(n_s - 2, -1, -1):
                c = coefficients[k, m]
                for i in range(n):
                    value[i] = value[i] * x[i] + c


@njit(cache=True, nogil=True, error_model="numpy")
def _root(rows, columns, at, scales, low, high, guess, posts):
    """Height at which a pixel's circle of constant range meets the terrain, m; NaN where it leaves the posts.

    ``rows``, ``columns`` (height power, sample): where on the posts the circle of sample ``at`` is, by height.
    """
    h = min(max(guess, low), high)
    n_h = rows.shape[0]
    for _ in range(60):
        z = h * scales[0] + scales[1]
        row, col, row_slope, col_slope = rows[n_h - 1, at], columns[n_h - 1, at], 0.0, 0.0
        for k in range(n_h - 2, -1, -1):
            row_slope = row_slope * z + row
            col_slope = col_slope * z + col
            row = row * z + rows[k, at]
            col = col * z + columns[k, at]
        ground, by_row, by_col = _spline(posts, row, col)
        miss = ground - h
        if miss != miss:
            return np.nan
        if abs(miss) < _HEIGHT_TOLERANCE:
            return h
        # the terrain is above the circle at its low end and below it at its high end
        if miss > 0.0:
            low = h
        else:
            high = h
        slope = (by_row * row_slope + by_col * col_slope) * scales[0] - 1.0
        step = -miss / slope  # infinite where the circle runs along the ground
        if not low < h + step < high:
            step = 0.5 * (low + high) - h
        elif abs(step) < _LAST_STEP and slope < -0.2:
            return h + step
        h += step
    return h


def layover_shadow(height, incidence, look_azimuth, spacing):
    """Where a map pixel shares its range with others, or the satellite does not see it.

    From each pixel three straight walks over the height map in the plane of the look: towards the satellite under the
    line of sight (terrain above it: shadow); away from it up the circle of constant range, and towards it down that
    circle (terrain met: layover). The circle is taken as its tangent, which over 2 km of relief is good to the width
    of a pixel.

    Parameters
    ----------
    height : ndarray, (y, x), float, m
        North up, NaN where unknown.
    incidence : ndarray, (y, x), rad
    look_azimuth : float, rad
        Direction in which the radar looks over the ground, clockwise from the grid's north.
    spacing : float, m

    Returns
    -------
    ndarray, (y, x), uint8
        Bit 1 layover, bit 2 shadow; 0 where the height is NaN.
    """
    filled = np.ascontiguousarray(height, dtype=np.float64)
    return _layover_shadow(
        filled, np.asarray(incidence, np.float64), math.sin(look_azimuth), -math.cos(look_azimuth), float(spacing)
    )


@njit(cache=True, nogil=True)
def _layover_shadow(height, incidence, dx, dy, spacing):
    n_y, n_x = height.shape
    out = np.zeros((n_y, n_x), np.uint8)
    lowest, highest = np.nanmin(height), np.nanmax(height)
    for y in range(n_y):
        for x in range(n_x):
            h, angle = height[y, x], incidence[y, x]
            if h != h or angle != angle:
                continue
            sight, circle = spacing / math.tan(angle), spacing * math.tan(angle)
            if _meets(height, y, x, -dy, -dx, sight, highest - h, 1.0):
                out[y, x] |= 2
            if _meets(height, y, x, dy, dx, circle, highest - h, 1.0) or _meets(
                height, y, x, -dy, -dx, circle, h - lowest, -1.0
            ):
                out[y, x] |= 1
    return out


@njit(cache=True, nogil=True)
def _meets(height, y, x, dy, dx, rise, reach, sign):
    """Whether a straight walk that rises (sign 1) or falls (-1) by ``rise`` per step crosses the terrain."""
    n_y, n_x = height.shape
    h = height[y, x]
    steps = int(reach / rise) + 1
    for k in range(1, steps + 1):
        v, u = y + k * dy, x + k * dx
        i, j = int(math.floor(v)), int(math.floor(u))
        if not (0 <= i < n_y - 1 and 0 <= j < n_x - 1):
            return False
        a, b = v - i, u - j
        ground = (1.0 - a) * ((1.0 - b) * height[i, j] + b * height[i, j + 1]) + a * (
            (1.0 - b) * height[i + 1, j] + b * height[i + 1, j + 1]
        )
        if sign * (ground - h) > k * rise:
            return True
    return False
