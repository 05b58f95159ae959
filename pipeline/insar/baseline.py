"""Perpendicular baseline: how far apart the two satellites pass, across the line of sight."""

import numpy as np

from ..constants import SPEED_OF_LIGHT
from ..model import Orbit
from .ellipsoid import ecef
from .orbit import interpolate
from .range_doppler import project


def perpendicular_baseline(
    reference: Orbit, secondary: Orbit, latitude: float, longitude: float, height: float
) -> float:
    """Component of the baseline across the reference's line of sight, in the zero-Doppler plane, at one ground point.

    Parameters
    ----------
    reference, secondary : Orbit
    latitude, longitude : float, rad
    height : float, m above the ellipsoid

    Returns
    -------
    float
        m; negative where the secondary passes on the side of a larger look angle: the sign that annotated baselines of
        other processors carry. NaN where a satellite never stands beside the point.
    """
    point = ecef(latitude, longitude, height)
    t_r, tau_r = project(reference, latitude, longitude, height)
    t_s, _ = project(secondary, latitude, longitude, height)
    if not (np.isfinite(t_r) and np.isfinite(t_s)):
        return float("nan")
    position_r, velocity = (a[0] for a in interpolate(reference, t_r))
    position_s = interpolate(secondary, t_s)[0][0]
    baseline = position_s - position_r
    along = velocity / np.linalg.norm(velocity)
    baseline = baseline - along * (baseline @ along)
    sight = (point - position_r) / (0.5 * SPEED_OF_LIGHT * float(tau_r))
    parallel = float(baseline @ sight)
    across = baseline - parallel * sight
    # up and away from the ground point: the way the look angle grows
    up = np.cross(sight, along)
    return float(np.copysign(np.linalg.norm(across), -(across @ up)))
