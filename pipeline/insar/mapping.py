"""Smooth functions of (line, sample, height) as Chebyshev tensor polynomials.

Where a pixel of the reference looks, and where the secondary sees the same point, are analytic in line, sample and
height: a few hundred exact range-Doppler solutions at Chebyshev nodes fix a polynomial that reproduces them to 1e-7
line or sample over a whole burst. So terrain enters once, as the height of each reference pixel, and a new date costs
a polynomial.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.polynomial import chebyshev

from ..model import Burst, Orbit, Window
from .range_doppler import locate, project

# Nodes along (line, sample, height). Measured over a full burst with 4 km of relief: see tests/test_mapping.py.
NODES = (5, 9, 4)


@dataclass(frozen=True, eq=False)
class Mapping:
    """Polynomials over one window and height range.

    ``coefficients`` (quantity, line, height, sample): Chebyshev along the line, monomials in the normalised height and
    sample, which is what the per-line kernels want.
    """

    window: Window
    heights: tuple[float, float]
    coefficients: np.ndarray

    def line_coefficients(self, line: float) -> np.ndarray:
        """(quantity, height power, sample power): what is left of the polynomials on one line."""
        x = _normalised(line, self.window.line_start, self.window.line_stop)
        basis = chebyshev.chebvander(np.array([x]), self.coefficients.shape[1] - 1)[0]
        return np.einsum("l,qlhs->qhs", basis, self.coefficients)

    def __call__(self, line, sample, height):
        """Values at points: (quantity, ...) float64, NaN where the height is NaN. For tests and small sets."""
        line, sample, height = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (line, sample, height)))
        x = _normalised(line.ravel(), self.window.line_start, self.window.line_stop)
        y = _normalised(sample.ravel(), self.window.sample_start, self.window.sample_stop)
        z = _normalised(height.ravel(), *self.heights)
        n_q, n_l, n_h, n_s = self.coefficients.shape
        values = np.einsum(
            "il,ih,is,qlhs->qi",
            chebyshev.chebvander(x, n_l - 1),
            np.vander(z, n_h, increasing=True),
            np.vander(y, n_s, increasing=True),
            self.coefficients,
            optimize=True,
        )
        return values.reshape(n_q, *line.shape)


def _normalised(value, start, stop):
    return (2.0 * value - (start + stop)) / (stop - start)


def _fit(function, window: Window, heights: tuple[float, float], negligible: float) -> Mapping:
    """Interpolate ``function(line, sample, height)`` -> (quantity, ...) at Chebyshev nodes, to ``negligible``."""
    heights = (heights[0] - 1.0, heights[1] + 1.0)  # never an empty interval
    nodes = [np.cos(np.pi * (np.arange(n) + 0.5) / n) for n in NODES]
    spans = ((window.line_start, window.line_stop), (window.sample_start, window.sample_stop), heights)
    axes = [0.5 * (x * (b - a) + a + b) for x, (a, b) in zip(nodes, spans, strict=True)]
    values = np.stack(function(*np.meshgrid(*axes, indexing="ij")))
    return Mapping(window, heights, _trimmed(_coefficients(nodes, values), negligible))


def _coefficients(nodes, values) -> np.ndarray:
    """Coefficients of a `Mapping` from values (quantity, line, sample, height) at normalised nodes."""
    inverse = [np.linalg.inv(chebyshev.chebvander(x, x.size - 1)) for x in nodes]
    cheb = np.einsum("al,bs,ch,qlsh->qabc", *inverse, values, optimize=True)
    to_power = [np.stack([_power(k, x.size) for k in range(x.size)]) for x in nodes]
    return np.ascontiguousarray(np.einsum("qabc,bs,ch->qahs", cheb, to_power[1], to_power[2], optimize=True))


def _trimmed(coefficients: np.ndarray, negligible: float) -> np.ndarray:
    """Without the highest powers of the sample and the height that a small window or a flat terrain does not need."""
    size = np.abs(coefficients).sum(axis=1).max(axis=0)  # (height, sample): most that a power can add
    allowed = negligible * max(1.0, size[0, 0])
    n_h, n_s = size.shape
    while n_s > 2 and size[:, n_s - 1 :].sum() < allowed:
        n_s -= 1
    while n_h > 2 and size[n_h - 1 :].sum() < allowed:
        n_h -= 1
    return np.ascontiguousarray(coefficients[:, :, :n_h, :n_s])


def _power(k: int, n: int) -> np.ndarray:
    """Monomial coefficients of the k-th Chebyshev polynomial, padded to n."""
    c = chebyshev.cheb2poly(np.eye(k + 1)[k])
    return np.pad(c, (0, n - c.size))


def ground_mapping(burst: Burst, window: Window, heights: tuple[float, float]) -> Mapping:
    """Latitude and longitude (rad) that each pixel would see at a given height.

    Parameters
    ----------
    burst : Burst
    window : Window
        Lines and samples of the burst over which the polynomials must hold.
    heights : (float, float)
        Lowest and highest height above the ellipsoid, m.

    Returns
    -------
    Mapping
        Quantities: latitude, longitude. The longitude is continuous across the antimeridian.
    """

    def ground(line, sample, height):
        t, tau = pixel_times(burst, line, sample)
        latitude, longitude = locate(burst.orbit, t, tau, height)
        middle = longitude.flat[longitude.size // 2]
        return latitude, middle + (longitude - middle + np.pi) % (2.0 * np.pi) - np.pi

    return _fit(ground, window, heights, 1e-10)  # rad: 0.6 mm


def offset_mapping(reference: Burst, secondary: Burst, window: Window, heights: tuple[float, float]) -> Mapping:
    """Line and sample offset, secondary minus reference position of the same ground point, each counted in its burst.

    Parameters as `ground_mapping`, of the reference burst.
    """
    middle = secondary.start + 0.5 * secondary.lines * secondary.azimuth_time_interval

    def offsets(line, sample, height):
        t, tau = pixel_times(reference, line, sample)
        latitude, longitude = locate(reference.orbit, t, tau, height)
        t2, tau2 = project(secondary.orbit, latitude, longitude, height, guess=middle)
        line2 = (t2 - secondary.start) / secondary.azimuth_time_interval
        sample2 = (tau2 - secondary.slant_range_time) * secondary.range_sampling_rate
        return line2 - line, sample2 - sample

    return _fit(offsets, window, heights, 1e-9)  # line, sample


def map_times(orbit: Orbit, latitude, longitude, height, guess: float):
    """Zero-Doppler time and slant range time of every pixel of a map: `project`, a hundred times faster.

    Both are smooth functions of row, column and height, so exact solutions at 8 x 10 pixels and 4 heights fix them.
    Where the polynomial misses a hundred exact solutions by more than 1e-4 line or sample (a map of a continent), or
    the map is too small to gain, every pixel is solved.

    Parameters
    ----------
    latitude, longitude, height : ndarray, (y, x)
        rad and m, of a regular grid in any projection; the height may be NaN.
    guess : float
        As `project`.

    Returns
    -------
    azimuth_time, slant_range_time : ndarray, (y, x), float64
        As `project`; NaN where the height is.
    """
    n_y, n_x = height.shape
    if min(n_y, n_x) < 40 or not np.isfinite(height).any():
        return project(orbit, latitude, longitude, height, guess)
    counts, sizes = (8, 10), (n_y, n_x)
    rows, columns = (
        np.rint(0.5 * (np.cos(np.pi * (np.arange(k) + 0.5) / k) + 1.0) * (n - 1)).astype(int)
        for k, n in zip(counts, sizes, strict=True)
    )
    heights = (float(np.nanmin(height)) - 1.0, float(np.nanmax(height)) + 1.0)
    level = np.cos(np.pi * (np.arange(4) + 0.5) / 4)
    at = np.ix_(rows, columns)
    z = 0.5 * (level * (heights[1] - heights[0]) + sum(heights))
    t, tau = project(orbit, latitude[at][..., None], longitude[at][..., None], z, guess)
    window = Window(0, n_y, 0, n_x)
    nodes = [_normalised(rows, 0, n_y), _normalised(columns, 0, n_x), level]
    # milliseconds and microseconds: half a line and sixty samples
    mapping = Mapping(window, heights, _coefficients(nodes, np.stack([(t - guess) * 1e3, tau * 1e6])))
    out = np.empty((2, n_y, n_x))
    limits = (0.0, float(n_x), *heights)
    for row in range(n_y):
        coefficients = mapping.line_coefficients(row)
        for quantity in (0, 1):
            evaluate_line(coefficients[quantity], 0, limits, height[row], out[quantity, row])
    out[0], out[1] = guess + out[0] * 1e-3, out[1] * 1e-6
    known = np.argwhere(np.isfinite(height))
    check = tuple(known[:: max(1, len(known) // 100)].T)
    exact = project(orbit, latitude[check], longitude[check], height[check], guess)
    if not (np.abs(out[0][check] - exact[0]).max() < 2e-7 and np.abs(out[1][check] - exact[1]).max() < 1.5e-12):
        return project(orbit, latitude, longitude, height, guess)
    return out[0], out[1]


def pixel_times(burst: Burst, line, sample):
    """Zero-Doppler time (s from the orbit's epoch) and two-way slant range time (s) of fractional pixels."""
    azimuth_time = burst.start + np.asarray(line, np.float64) * burst.azimuth_time_interval
    return azimuth_time, burst.slant_range_time + np.asarray(sample, np.float64) / burst.range_sampling_rate


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def evaluate_line(coefficients, sample_start, limits, height, out):
    """One quantity of a `Mapping` along one line.

    Parameters
    ----------
    coefficients : ndarray, (height power, sample power), float64
    sample_start : int
        Sample of the first element; consecutive from there.
    limits : (float, float, float, float)
        Sample start and stop and lowest and highest height of the mapping.
    height : ndarray, (sample,), float32 or float64, m
    out : ndarray, (sample,), float64
        Written; NaN where the height is NaN.
    """
    n_h, n_s = coefficients.shape
    scale, shift = 2.0 / (limits[1] - limits[0]), -(limits[0] + limits[1]) / (limits[1] - limits[0])
    z_scale, z_shift = 2.0 / (limits[3] - limits[2]), -(limits[2] + limits[3]) / (limits[3] - limits[2])
    # in blocks that stay in the first-level cache, one power at a time, so that the loops over samples vectorise
    block = 256
    row, x, z = np.empty(block), np.empty(block), np.empty(block)
    for first in range(0, height.size, block):
        n = min(block, height.size - first)
        value = out[first : first + n]
        h = height[first : first + n]
        for i in range(n):
            x[i] = (sample_start + first + i) * scale + shift
            z[i] = h[i] * z_scale + z_shift
        value[:] = 0.0
        for k in range(n_h - 1, -1, -1):
            row[:] = coefficients[k, n_s - 1]
            for m in range(n_s - 2, -1, -1):
                c = coefficients[k, m]
                for i in range(block):
                    row[i] = row[i] * x[i] + c
            for i in range(n):
                value[i] = value[i] * z[i] + row[i]
