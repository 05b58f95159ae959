"""The azimuth carrier of a TOPS burst: what steering and Doppler add to the phase of every sample.

    phase(eta, tau) = pi kt (eta - eta_ref)^2 + 2 pi fdc (eta - eta_ref)
    kt = ka ks / (ka - ks),  ks = 2 v k_psi f0 / c,  eta_ref = eta_c(tau) - eta_c(tau_mid),  eta_c = -fdc / ka

eta counts from the burst's mid line, tau is the two-way slant range time; ka (azimuth FM rate) and fdc (Doppler
centroid) are polynomials of tau, each about its own t0. Source: ESA, COPE-GSEG-EOPG-TN-14-0025. Removing the carrier
brings the azimuth spectrum to base band, where samples can be interpolated; it is restored analytically at the
interpolated place.

Phases are carried in turns, so that only the fraction of a turn needs trigonometry.
"""

import math

import numpy as np
from numba import njit

from ..constants import SPEED_OF_LIGHT
from ..model import Burst
from .orbit import interpolate

_FAST = {"contract", "reassoc", "nsz", "arcp"}


def carrier_parameters(burst: Burst) -> np.ndarray:
    """What the kernels need of a burst, packed: float64.

    [0] ks (Hz/s), [1] slant range time of sample 0, [2] seconds per sample, [3] mid line, [4] seconds per line,
    [5] eta_c at mid range, [6] FM t0, [7:10] FM coefficients, [10] Doppler t0, [11:14] Doppler coefficients.
    """
    middle = burst.start + 0.5 * (burst.lines - 1) * burst.azimuth_time_interval
    velocity = interpolate(burst.orbit, middle)[1]
    speed = float(np.linalg.norm(velocity))
    ks = 2.0 * speed * burst.radar_frequency * burst.steering_rate / SPEED_OF_LIGHT
    tau_mid = burst.slant_range_time + 0.5 * (burst.samples - 1) / burst.range_sampling_rate
    eta_mid = -float(burst.doppler_centroid(tau_mid)) / float(burst.azimuth_fm_rate(tau_mid))
    p = np.zeros(14)
    p[:6] = (
        ks,
        burst.slant_range_time,
        1.0 / burst.range_sampling_rate,
        0.5 * (burst.lines - 1),
        burst.azimuth_time_interval,
        eta_mid,
    )
    for at, polynomial in ((6, burst.azimuth_fm_rate), (10, burst.doppler_centroid)):
        if len(polynomial.coefficients) > 3:
            raise ValueError(f"polynomial of degree {len(polynomial.coefficients) - 1}, expected at most 2")
        p[at] = polynomial.t0
        p[at + 1 : at + 1 + len(polynomial.coefficients)] = polynomial.coefficients
    return p


@njit(cache=True, nogil=True, fastmath=_FAST)
def carrier_turns(line, sample, p, out):
    """Add the carrier's phase in turns at fractional places of the burst to ``out``; all (n,) float64."""
    t0, dt = p[1], p[2]
    for i in range(out.size):
        tau = t0 + sample[i] * dt
        x = tau - p[6]
        ka = p[7] + x * (p[8] + x * p[9])
        x = tau - p[10]
        fdc = p[11] + x * (p[12] + x * p[13])
        eta = (line[i] - p[3]) * p[4] + fdc / ka + p[5]
        out[i] += eta * (0.5 * ka * p[0] / (ka - p[0]) * eta + fdc)


@njit(cache=True, nogil=True, fastmath=_FAST)
def rotate(samples, turns, sign):
    """Multiply complex64 ``samples`` by exp(2 pi i sign turns), in place; NaN stays NaN.

    Cosine and sine to 3e-8: reduced to an eighth of a turn, then Taylor, without branches so that the loop vectorises.
    """
    for i in range(samples.size):
        t = turns[i]
        quarter = math.floor(4.0 * t + 0.5)
        x = (t - 0.25 * quarter) * (2.0 * math.pi)
        y = x * x
        c = 1.0 + y * (-0.5 + y * (1.0 / 24.0 + y * (-1.0 / 720.0 + y * (1.0 / 40320.0))))
        s = x * (1.0 + y * (-1.0 / 6.0 + y * (1.0 / 120.0 + y * (-1.0 / 5040.0 + y * (1.0 / 362880.0)))))
        # quarter modulo 4 in floating point: 0 (c, s), 1 (-s, c), 2 (-c, -s), 3 (s, -c)
        q = quarter - 4.0 * math.floor(0.25 * quarter)
        half = math.floor(0.5 * q)
        odd = q - 2.0 * half
        flip = odd + half - 2.0 * odd * half
        cos = (1.0 - 2.0 * flip) * (c + odd * (s - c))
        sin = sign * (1.0 - 2.0 * half) * (s + odd * (c - s))
        re, im = samples[i].real, samples[i].imag
        samples[i] = complex(np.float32(re * cos - im * sin), np.float32(re * sin + im * cos))


@njit(cache=True, nogil=True)
def remove_carrier(samples, line_start, sample_start, parameters):
    """Multiply samples (line, sample) complex64 by the carrier's conjugate, in place; NaN stays NaN.

    ``line_start``, ``sample_start``: place of the first element in its burst.
    """
    block = 512
    line, sample, turns = np.empty(block), np.empty(block), np.empty(block)
    for i in range(samples.shape[0]):
        line[:] = line_start + i
        for first in range(0, samples.shape[1], block):
            n = min(block, samples.shape[1] - first)
            for j in range(n):
                sample[j] = sample_start + first + j
            turns[:] = 0.0
            carrier_turns(line[:n], sample[:n], parameters, turns[:n])
            rotate(samples[i, first : first + n], turns, -1.0)
