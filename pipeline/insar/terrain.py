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


@njit(cache=True, nogil=True)
def _spline(coefficients, row, column, gradient):
    """Spline value at fractional (row, column); its slope per row and per column into ``gradient`` (2,)."""
    n_row, n_col = coefficients.shape
    if not (-0.5 <= row <= n_row - 0.5 and -0.5 <= column <= n_col - 0.5):
        return np.nan
    i, j = int(math.floor(row)), int(math.floor(column))
    u, v = row - i, column - j
    u1, v1 = 1.0 - u, 1.0 - v
    wu = (u1 * u1 * u1 / 6.0, 2.0 / 3.0 - 0.5 * u * u * (2.0 - u), 2.0 / 3.0 - 0.5 * u1 * u1 * (2.0 - u1), u * u * u / 6.0)
    wv = (v1 * v1 * v1 / 6.0, 2.0 / 3.0 - 0.5 * v * v * (2.0 - v), 2.0 / 3.0 - 0.5 * v1 * v1 * (2.0 - v1), v * v * v / 6.0)
    du = (-0.5 * u1 * u1, u * (1.5 * u - 2.0), -u1 * (1.5 * u1 - 2.0), 0.5 * u * u)
    dv = (-0.5 * v1 * v1, v * (1.5 * v - 2.0), -v1 * (1.5 * v1 - 2.0), 0.5 * v * v)
    value = slope_row = slope_col = 0.0
    inside = 1 <= i < n_row - 2 and 1 <= j < n_col - 2
    for a in range(4):
        line = line_slope = 0.0
        r = i - 1 + a if inside else _mirror(i - 1 + a, n_row)
        for b in range(4):
            c = coefficients[r, j - 1 + b if inside else _mirror(j - 1 + b, n_col)]
            line += wv[b] * c
            line_slope += dv[b] * c
        value += wu[a] * line
        slope_row += du[a] * line
        slope_col += wu[a] * line_slope
    gradient[0], gradient[1] = slope_row, slope_col
    return value


@njit(cache=True, nogil=True)
def _heights_at(latitude, longitude, coefficients, lat0, per_lat, lon0, per_lon):
    out = np.empty(latitude.size)
    gradient = np.empty(2)
    for i in range(out.size):
        out[i] = _spline(coefficients, (latitude[i] - lat0) * per_lat, (longitude[i] - lon0) * per_lon, gradient)
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
    scratch = np.empty((2, 2, out.shape[1]))
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
    start, stop, h0, h1, low, high = limits
    lat0, per_lat, lon0, per_lon = grid
    n_h, n_s = lat_c.shape
    z_scale, z_shift = 2.0 / (h1 - h0), -(h0 + h1) / (h1 - h0)
    lat_h, lon_h = np.empty(n_h), np.empty(n_h)
    gradient = np.empty(2)
    guess = 0.5 * (low + high)
    for i in range(out.size):
        x = (2.0 * (start + i) - (start + stop)) / (stop - start)
        for k in range(n_h):
            a, b = lat_c[k, n_s - 1], lon_c[k, n_s - 1]
            for m in range(n_s - 2, -1, -1):
                a = a * x + lat_c[k, m]
                b = b * x + lon_c[k, m]
            # from here in fractional rows and columns of the posts
            lat_h[k], lon_h[k] = a * per_lat, b * per_lon
        lat_h[0] -= lat0 * per_lat
        lon_h[0] -= lon0 * per_lon
        h = _root(lat_h, lon_h, z_scale, z_shift, low, high, guess, posts, gradient)
        out[i] = h
        if h == h:
            guess = h


@njit(cache=True, nogil=True)
def _root(row_h, col_h, z_scale, z_shift, low, high, guess, posts, gradient):
    """Height at which a pixel's circle of constant range meets the terrain, m; NaN where it leaves the posts."""
    h = min(max(guess, low), high)
    n_h = row_h.size
    for _ in range(60):
        z = h * z_scale + z_shift
        row, col, row_slope, col_slope = row_h[n_h - 1], col_h[n_h - 1], 0.0, 0.0
        for k in range(n_h - 2, -1, -1):
            row_slope = row_slope * z + row
            col_slope = col_slope * z + col
            row = row * z + row_h[k]
            col = col * z + col_h[k]
        miss = _spline(posts, row, col, gradient) - h
        if miss != miss:
            return np.nan
        if abs(miss) < _HEIGHT_TOLERANCE:
            return h
        # the terrain is above the circle at its low end and below it at its high end
        if miss > 0.0:
            low = h
        else:
            high = h
        slope = (gradient[0] * row_slope + gradient[1] * col_slope) * z_scale - 1.0
        step = h - miss / slope if slope != 0.0 else low
        h = step if low < step < high else 0.5 * (low + high)
    return h


def layover_shadow(height, incidence, look_azimuth, spacing):
    """Where a map pixel shares its range with others, or the satellite does not see it.

    From each pixel three straight walks over the height map in the plane of the look: towards the satellite under the line
    of sight (terrain above it: shadow); away from it up the circle of constant range, and towards it down that circle
    (terrain met: layover). The circle is taken as its tangent, which over 2 km of relief is good to the width of a pixel.

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
    """Whether a straight walk from (y, x) that rises (sign 1) or falls (-1) by ``rise`` per step crosses the terrain."""
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


