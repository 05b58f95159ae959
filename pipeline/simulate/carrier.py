"""The phase that the rotating beam of TOPS leaves on every burst, after ESA's note COPE-GSEG-EOPG-TN-14-0025.

    k_s = 2·v·k_psi / λ                            Doppler rate of the steering, v the satellite's speed at mid-burst
    k_t = k_a·k_s / (k_a - k_s)                    Doppler rate in the focused burst
    η_ref(τ) = -f_dc(τ)/k_a(τ) + f_dc(τ_m)/k_a(τ_m)
    φ(η, τ) = π·k_t·(η - η_ref)² + 2π·f_dc·(η - η_ref)

with η counted from the middle line, (lines - 1)/2, τ_m the range time of the middle sample, and k_a and f_dc
polynomials about their own origins. Its derivative, k_t·(η - η_ref) + f_dc, is the centre frequency of the spectrum
at that line.
"""

from __future__ import annotations

import numpy as np

from ..model import Burst
from .orbit import Trajectory


def carrier_phase(burst: Burst, trajectory: Trajectory, line, sample):
    """The TOPS phase in rad at fractional ``line`` and ``sample`` of a burst (any shapes that broadcast), float64."""
    rate, f_dc, origin = _terms(burst, trajectory, sample)
    eta = (np.asarray(line, np.float64) - 0.5 * (burst.lines - 1)) * burst.azimuth_time_interval - origin
    return np.pi * rate * eta**2 + 2.0 * np.pi * f_dc * eta


def centre_frequency(burst: Burst, trajectory: Trajectory, line, sample):
    """Centre of the azimuth spectrum in Hz at ``line`` and ``sample``: the carrier's derivative in closed form."""
    rate, f_dc, origin = _terms(burst, trajectory, sample)
    eta = (np.asarray(line, np.float64) - 0.5 * (burst.lines - 1)) * burst.azimuth_time_interval - origin
    return rate * eta + f_dc


def _terms(burst, trajectory, sample):
    """k_t (Hz/s), f_dc (Hz) and η_ref (s) at every ``sample``."""
    middle = burst.start + 0.5 * (burst.lines - 1) * burst.azimuth_time_interval
    speed = float(np.linalg.norm(trajectory.state(np.array([middle]))[1]))
    steering = 2.0 * speed * burst.steering_rate / burst.wavelength

    def at(s):
        tau = burst.slant_range_time + np.asarray(s, np.float64) / burst.range_sampling_rate
        return burst.azimuth_fm_rate(tau), burst.doppler_centroid(tau)

    k_a, f_dc = at(sample)
    k_mid, f_mid = at(0.5 * (burst.samples - 1))
    return k_a * steering / (k_a - steering), f_dc, f_mid / k_mid - f_dc / k_a
