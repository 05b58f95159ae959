"""Smooth functions of (line, sample, height) as Chebyshev tensor polynomials.

Where a pixel of the reference looks, and where the secondary sees the same point, are analytic in line, sample and height:
a few hundred exact range-Doppler solutions at Chebyshev nodes fix a polynomial that reproduces them to 1e-7 line or sample
over a whole burst. So terrain enters once, as the height of each reference pixel, and a new date costs a polynomial.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.polynomial import chebyshev

from ..model import Burst, Window
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


def _fit(function, window: Window, heights: tuple[float, float]) -> Mapping:
    """Interpolate ``function(line, sample, height) -> (quantity, ...)`` at Chebyshev nodes."""
    heights = (heights[0] - 1.0, heights[1] + 1.0)  # never an empty interval
    nodes = [np.cos(np.pi * (np.arange(n) + 0.5) / n) for n in NODES]
    spans = ((window.line_start, window.line_stop), (window.sample_start, window.sample_stop), heights)
    axes = [0.5 * (x * (b - a) + a + b) for x, (a, b) in zip(nodes, spans, strict=True)]
    values = np.stack(function(*np.meshgrid(*axes, indexing="ij")))
    inverse = [np.linalg.inv(chebyshev.chebvander(x, x.size - 1)) for x in nodes]
    cheb = np.einsum("al,bs,ch,qlsh->qabc", *inverse, values, optimize=True)
    to_power = [np.stack([_power(k, n) for k in range(n)]) for n in NODES]
    coefficients = np.einsum("qabc,bs,ch->qahs", cheb, to_power[1], to_power[2], optimize=True)
    return Mapping(window, heights, _trimmed(coefficients))


def _trimmed(coefficients: np.ndarray) -> np.ndarray:
    """Without the highest powers of the sample and the height that a small window or a flat terrain does not need."""
    size = np.abs(coefficients).sum(axis=1).max(axis=0)  # (height, sample): most that a power can add
    allowed = 1e-9 * max(1.0, size[0, 0])
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

    return _fit(ground, window, heights)


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

    return _fit(offsets, window, heights)


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
