"""Speckle with the spectrum of focused Sentinel-1 bursts, and its evaluation between samples.

White circular Gaussian noise of unit power is shaped by w = a + (1 - a)·cos(2πf/B) for |f| ≤ B/2 in both directions
(METHODS §2); |w|² is the power spectrum, and what makes 7 × 2 samples fewer than 14 looks. The shaped field is a
finite Fourier sum, so its value at *any* position is that sum: `evaluate` computes it with a non-uniform FFT to
1e-6, without an interpolation kernel of our own.
"""

from __future__ import annotations

from dataclasses import dataclass

import finufft
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ..model import Burst

NUFFT_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Shape:
    """The window of one direction on a periodic axis of ``size`` samples: modes inside the band, and weights."""

    size: int
    modes: NDArray[np.int64]  # rising from -m to m
    weights: NDArray[np.float64]  # scaled so that white noise of power 1 keeps power 1

    @property
    def index(self) -> NDArray[np.int64]:
        """Place of every mode in the order of `scipy.fft.fft`."""
        return self.modes % self.size


def hamming_shape(size: int, sampling: float, bandwidth: float, coefficient: float) -> Shape:
    """The Hamming-weighted band of width ``bandwidth`` (Hz) on an axis sampled at ``sampling`` (Hz)."""
    top = min(int(np.floor(0.5 * bandwidth / sampling * size)), (size - 1) // 2)
    modes = np.arange(-top, top + 1)
    frequency = modes * sampling / size
    weights = coefficient + (1.0 - coefficient) * np.cos(2.0 * np.pi * frequency / bandwidth)
    return Shape(size, modes, weights / np.sqrt(np.sum(weights**2) / size))


def burst_shapes(burst: Burst, lines: int, samples: int) -> tuple[Shape, Shape]:
    """Azimuth and range `Shape` of a burst on a grid of ``lines`` x ``samples``."""
    azimuth = hamming_shape(lines, burst.azimuth_frequency, burst.azimuth_bandwidth, burst.azimuth_window)
    return azimuth, hamming_shape(samples, burst.range_sampling_rate, burst.range_bandwidth, burst.range_window)


def shaped_modes(white: NDArray[np.complex64], shapes: tuple[Shape, Shape]) -> NDArray[np.complex64]:
    """Fourier coefficients (azimuth mode, range mode) of ``white`` (line, sample) inside the band, weighted."""
    azimuth, along = shapes
    rows = fft.fft(white, axis=1)[:, along.index] * (along.weights / along.size).astype(np.float32)
    return fft.fft(rows, axis=0)[azimuth.index] * (azimuth.weights / azimuth.size).astype(np.float32)[:, None]


def on_grid(modes: NDArray[np.complex64], shapes: tuple[Shape, Shape]) -> NDArray[np.complex64]:
    """The shaped field at the grid's own samples, (line, sample) complex64."""
    azimuth, along = shapes
    columns = np.zeros((azimuth.size, along.modes.size), modes.dtype)
    columns[azimuth.index] = modes
    rows = np.zeros((azimuth.size, along.size), modes.dtype)
    rows[:, along.index] = fft.ifft(columns, axis=0, norm="forward")
    return fft.ifft(rows, axis=1, norm="forward", overwrite_x=True)


def evaluate(
    modes: NDArray[np.complex64], shapes: tuple[Shape, Shape], at: NDArray[np.float64], threads: int = 1
) -> NDArray[np.complex64]:
    """The shaped field at fractional grid positions.

    Parameters
    ----------
    modes : ndarray, (azimuth mode, range mode)
        From `shaped_modes`.
    shapes : tuple of Shape
    at : ndarray, (2, ...), float64
        Fractional lines and samples of the grid; the field repeats with the grid's size. Used as working space.
    threads : int

    Returns
    -------
    ndarray, shape of ``at[0]``, complex64
        Error below 1e-5 of the field's power. Double precision inside: in single, a position among 23,000 samples
        is only known to 3e-3.
    """
    azimuth, along = shapes
    at[0] *= 2.0 * np.pi / azimuth.size
    at[1] *= 2.0 * np.pi / along.size
    x, y = np.ascontiguousarray(at[0].ravel()), np.ascontiguousarray(at[1].ravel())
    values = finufft.nufft2d2(
        x, y, np.ascontiguousarray(modes, np.complex128), eps=NUFFT_TOLERANCE, isign=1, nthreads=threads
    )
    return values.astype(np.complex64).reshape(at[0].shape)


def white_lines(seed: tuple[int, ...], first: int, lines: int, samples: int) -> NDArray[np.complex64]:
    """White circular Gaussian noise of power 1, (line, sample); a line depends on ``seed`` and its own number only.

    Two overlapping bursts that ask for the same scene lines hence get the same field.
    """
    out = np.empty((lines, 2 * samples), np.float32)
    for k in range(lines):
        generator = np.random.Generator(np.random.SFC64([*seed, first + k + 2**31]))
        generator.standard_normal(dtype=np.float32, out=out[k])
    out *= np.float32(np.sqrt(0.5))
    return out.view(np.complex64)
