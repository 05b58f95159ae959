"""Geodetic and earth-centred coordinates on WGS84.

    x = (N + h) cos(lat) cos(lon),  N = a / sqrt(1 - e2 sin(lat)^2)

The way back starts from Bowring's parametric latitude and repeats it once: exact to 1e-9 m between -10 and 1000 km.
(Bowring, Survey Review 23, 1976.)
"""

import math

import numpy as np
from numba import njit

from ..constants import WGS84_A, WGS84_B, WGS84_E2

_EP2 = WGS84_E2 / (1.0 - WGS84_E2)


@njit(cache=True, nogil=True, inline="always")
def geodetic_to_ecef(latitude, longitude, height):
    """(x, y, z) in m of one point; angles in rad, height above the ellipsoid in m."""
    sin_lat, cos_lat = math.sin(latitude), math.cos(latitude)
    n = WGS84_A / math.sqrt(1.0 - WGS84_E2 * sin_lat * sin_lat)
    return (
        (n + height) * cos_lat * math.cos(longitude),
        (n + height) * cos_lat * math.sin(longitude),
        (n * (1.0 - WGS84_E2) + height) * sin_lat,
    )


@njit(cache=True, nogil=True)
def ecef_to_geodetic(x, y, z):
    """(latitude, longitude, height) of one point: rad, rad, m."""
    p = math.sqrt(x * x + y * y)
    beta = math.atan2(z * WGS84_A, p * WGS84_B)
    latitude = 0.0
    for _ in range(2):
        sin_b, cos_b = math.sin(beta), math.cos(beta)
        latitude = math.atan2(z + _EP2 * WGS84_B * sin_b**3, p - WGS84_E2 * WGS84_A * cos_b**3)
        beta = math.atan2(WGS84_B * math.sin(latitude), WGS84_A * math.cos(latitude))
    sin_lat, cos_lat = math.sin(latitude), math.cos(latitude)
    n = WGS84_A / math.sqrt(1.0 - WGS84_E2 * sin_lat * sin_lat)
    # stable at the poles, where p / cos(lat) is not
    height = p * cos_lat + z * sin_lat - WGS84_A * WGS84_A / n
    return latitude, math.atan2(y, x), height


def ecef(latitude, longitude, height):
    """Earth-centred coordinates of many points.

    Parameters
    ----------
    latitude, longitude : array_like, rad
    height : array_like, m above the ellipsoid

    Returns
    -------
    ndarray, broadcast shape + (3,), float64, m
    """
    sin_lat, cos_lat = np.sin(latitude), np.cos(latitude)
    n = WGS84_A / np.sqrt(1.0 - WGS84_E2 * sin_lat**2)
    xyz = (
        (n + height) * cos_lat * np.cos(longitude),
        (n + height) * cos_lat * np.sin(longitude),
        (n * (1.0 - WGS84_E2) + height) * sin_lat,
    )
    return np.stack(np.broadcast_arrays(*xyz), axis=-1)
