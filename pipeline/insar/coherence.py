"""Sample coherence of a coregistered pair whose geometric phase is removed.

    rho = | sum over W of r conj(s) | / sqrt( sum over W of |r|^2 . sum over W of |s|^2 )

W is a window of ``looks`` = (range, azimuth) samples. No Goldstein filter comes before it: that filter acts on the
interferogram that is shown or unwrapped and would raise every coherence to its own smoothness.

On the map, the window is taken around the pixel nearest to each map pixel, so that every value is a sample coherence
with exactly the stated looks: interpolating between neighbouring windows would change its statistics from pixel to
pixel.
"""

import math

import numpy as np
from numba import njit

from ..errors import BadInput


def interferogram(reference, secondary):
    """``reference`` times the conjugate of ``secondary``: complex64, NaN where either is."""
    return np.asarray(reference) * np.conj(secondary)


def coherence(reference, secondary, looks: tuple[int, int] = (7, 2)):
    """Sample coherence around every pixel.

    Parameters
    ----------
    reference, secondary : ndarray, (line, sample), complex64
        Coregistered, geometric phase removed; NaN where invalid.
    looks : (int, int)
        Window, range x azimuth samples. An even window is centred half a sample after its pixel.

    Returns
    -------
    ndarray, (line, sample), float32, 0..1
        NaN where the window leaves the array or holds an invalid sample or no power.
    """
    reference, secondary = _checked(reference, secondary, looks)
    line, sample = np.arange(reference.shape[0]), np.arange(reference.shape[1])
    even = (0.5 * (1 - looks[1] % 2), 0.5 * (1 - looks[0] % 2))
    grid = np.broadcast_arrays(line[:, None] + even[0], sample[None, :] + even[1])
    return coherence_at(reference, secondary, *grid, looks)


def coherence_at(reference, secondary, line, sample, looks: tuple[int, int] = (7, 2)):
    """Sample coherence in the window nearest to given positions.

    Parameters
    ----------
    reference, secondary, looks
        As `coherence`.
    line, sample : ndarray, same shape, float
        Fractional array positions (first element is 0, 0) of the windows' centres; NaN gives NaN.

    Returns
    -------
    ndarray, shape of ``line``, float32, 0..1; NaN as `coherence`.
    """
    reference, secondary = _checked(reference, secondary, looks)
    line, sample = np.asarray(line, np.float64), np.asarray(sample, np.float64)
    out = np.empty(line.size, np.float32)
    _coherence_at(reference, secondary, line.ravel(), sample.ravel(), looks[1], looks[0], out)
    return out.reshape(line.shape)


def _checked(reference, secondary, looks):
    reference = np.ascontiguousarray(reference, dtype=np.complex64)
    secondary = np.ascontiguousarray(secondary, dtype=np.complex64)
    if reference.shape != secondary.shape or reference.ndim != 2:
        raise BadInput(
            f"reference and secondary must be (line, sample) arrays of one shape, "
            f"instead got {reference.shape} and {secondary.shape}"
        )
    if min(looks) < 1:
        raise BadInput(f"looks must be two positive numbers (range x azimuth), instead got {looks}")
    return reference, secondary


@njit(cache=True, nogil=True)
def _coherence_at(reference, secondary, line, sample, n_line, n_sample, out):
    rows, columns = reference.shape
    for p in range(out.size):
        out[p] = np.nan
        if not (-1.0 < line[p] < rows and -1.0 < sample[p] < columns):
            continue
        i0 = int(math.floor(line[p] - 0.5 * (n_line - 1) + 0.5))
        j0 = int(math.floor(sample[p] - 0.5 * (n_sample - 1) + 0.5))
        if i0 < 0 or j0 < 0 or i0 + n_line > rows or j0 + n_sample > columns:
            continue
        re = im = power_r = power_s = 0.0
        for i in range(i0, i0 + n_line):
            for j in range(j0, j0 + n_sample):
                a, b = reference[i, j], secondary[i, j]
                ar, ai, br, bi = float(a.real), float(a.imag), float(b.real), float(b.imag)
                re += ar * br + ai * bi
                im += ai * br - ar * bi
                power_r += ar * ar + ai * ai
                power_s += br * br + bi * bi
        power = power_r * power_s
        if power > 0.0:  # also False for NaN
            out[p] = math.sqrt((re * re + im * im) / power)
