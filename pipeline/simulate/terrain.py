"""Terrain of a simulated scene: heights above the ellipsoid on a regular latitude-longitude grid of posts.

A post is a *point* (pixel centre). Between posts the truth is a stated interpolant, by default the cubic B-spline
through the posts, which is smooth to the second derivative. The synthetic terrains are band-limited to about four
posts a cycle, so that any decent interpolation of the same posts gives the same surface.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from ..errors import BadInput

INTERPOLANTS = ("linear", "cubic_convolution", "cubic_spline")


@dataclass(frozen=True, eq=False)
class Terrain:
    """Heights on posts, and how to read between them.

    Parameters
    ----------
    heights : ndarray, (lat, lon), float64
        m above the WGS84 ellipsoid, finite.
    north, west : float
        Latitude and longitude of post [0, 0], degrees.
    lat_step, lon_step : float
        Degrees from one post to the next; ``lat_step`` is negative for the usual north-up order.
    interpolant : str
        One of `INTERPOLANTS`. Beyond the outer posts the height stays that of the edge.
    """

    heights: NDArray[np.float64] = field(repr=False)
    north: float
    west: float
    lat_step: float
    lon_step: float
    interpolant: str = "cubic_spline"

    def __post_init__(self):
        if self.interpolant not in INTERPOLANTS:
            raise BadInput(f"interpolant must be one of {', '.join(INTERPOLANTS)}, instead got {self.interpolant!r}")
        if self.heights.ndim != 2 or min(self.heights.shape) < 4:
            raise BadInput(f"terrain must be at least 4 x 4 posts, instead got shape {self.heights.shape}")
        if not np.isfinite(self.heights).all():
            raise BadInput("terrain heights must be finite: fill the gaps of the DEM before simulating with it")

    @property
    def latitudes(self) -> NDArray[np.float64]:
        """Latitude of every row of posts, degrees."""
        return self.north + self.lat_step * np.arange(self.heights.shape[0])

    @property
    def longitudes(self) -> NDArray[np.float64]:
        """Longitude of every column of posts, degrees."""
        return self.west + self.lon_step * np.arange(self.heights.shape[1])

    @cached_property
    def packed(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What kernels read: coefficients (lat, lon) and [north, west, lat_step, lon_step (rad), kind, low, high]."""
        kind = INTERPOLANTS.index(self.interpolant)
        posts = np.asarray(self.heights, np.float64)
        low, high = posts.min(), posts.max()
        if kind == 2:
            posts = ndimage.spline_filter(posts, order=3, mode="mirror")
        angles = np.deg2rad([self.north, self.west, self.lat_step, self.lon_step])
        return np.ascontiguousarray(posts), np.array([*angles, float(kind), low, high])

    def contains(self, latitude, longitude) -> NDArray[np.bool_]:
        """True where a point (degrees) lies inside the outer posts."""
        y = (np.asarray(latitude) - self.north) / self.lat_step
        x = (np.asarray(longitude) - self.west) / self.lon_step
        rows, columns = self.heights.shape
        return (y >= 0) & (y <= rows - 1) & (x >= 0) & (x <= columns - 1)


def flat_terrain(latitude: float, longitude: float, height: float = 0.0, extent: float = 1.0) -> Terrain:
    """A plain ``height`` m above the ellipsoid, ``extent`` degrees to every side of a point."""
    posts = np.full((9, 9), float(height))
    return Terrain(posts, latitude + extent, longitude - extent, -extent / 4, extent / 4)


def local_metres(terrain: Terrain, latitude: float, longitude: float) -> tuple[NDArray, NDArray]:
    """North and east distance (lat, 1), (1, lon) of the posts from a point, m, on a sphere of 6,371 km: for drawing."""
    metre = np.deg2rad(1.0) * 6_371_000.0
    north = (terrain.latitudes - latitude)[:, None] * metre
    east = (terrain.longitudes - longitude)[None, :] * metre * np.cos(np.deg2rad(latitude))
    return north, east


def fractal_terrain(
    latitude: float, longitude: float, *, extent: float, spacing: float, roughness: float, base: float, seed: int
) -> Terrain:
    """Rough ground: a random surface with power spectrum k^-3.2, cut off at four posts a cycle.

    Parameters
    ----------
    latitude, longitude : float
        Centre, degrees.
    extent : float
        m from the centre to every edge.
    spacing : float
        m between posts.
    roughness : float
        Standard deviation of the heights, m.
    base : float
        Mean height above the ellipsoid, m.
    seed : int
    """
    metre = np.deg2rad(1.0) * 6_371_000.0
    n = 2 * int(np.ceil(extent / spacing)) + 1
    lat_step, lon_step = spacing / metre, spacing / metre / np.cos(np.deg2rad(latitude))
    rng = np.random.default_rng(seed)
    k = np.hypot(fft.fftfreq(n)[:, None], fft.fftfreq(n)[None, :])
    shape = np.where((k > 0) & (k < 0.25), 1.0, 0.0) * np.maximum(k, 1.0 / n) ** -1.6
    surface = fft.ifft2(fft.fft2(rng.standard_normal((n, n))) * shape).real
    surface *= roughness / surface.std()
    half = n // 2
    return Terrain(base + surface, latitude + half * lat_step, longitude - half * lon_step, -lat_step, lon_step)


def smoothed(terrain: Terrain, heights: NDArray[np.float64]) -> Terrain:
    """The same posts with other ``heights``, low-passed so that nothing is shorter than about four posts a cycle."""
    soft = ndimage.gaussian_filter(heights, 0.9, mode="nearest")
    return Terrain(soft, terrain.north, terrain.west, terrain.lat_step, terrain.lon_step, terrain.interpolant)


def pit_depth(distance: NDArray, *, depth: float, bench: float) -> NDArray[np.float64]:
    """Depth in m of an open pit whose rim lies at ``distance`` 0 and whose floor at 1: equal benches of ``bench`` m.

    Each bench is half flat, half wall: a staircase as dug, not a cone.
    """
    steps = max(1, round(depth / bench))
    x = np.clip(distance, 0.0, 1.0) * steps
    stair = np.floor(x) + np.clip(2.0 * (x - np.floor(x)) - 0.5, 0.0, 1.0)
    return depth * stair / steps
