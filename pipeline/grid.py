"""The map grid of a mine: UTM, north up, pixel edges on multiples of the spacing."""

from __future__ import annotations

import math

import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from pyproj import CRS, Transformer
from shapely import contains_xy, transform
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from .errors import BadInput


def utm_crs(longitude: float, latitude: float) -> CRS:
    """The UTM zone of a point in degrees; latitudes within 84 of the equator."""
    if not (-80.0 <= latitude <= 84.0):
        raise BadInput(f"latitude {latitude:.3f} lies outside UTM (-80..84 degrees)")
    zone = int((longitude + 180.0) // 6.0) % 60 + 1
    return CRS.from_epsg((32600 if latitude >= 0.0 else 32700) + zone)


def utm_grid(bounds: tuple[float, float, float, float], spacing: float = 20.0, margin: float = 0.0) -> GeoBox:
    """The grid that covers an area.

    Parameters
    ----------
    bounds : (west, south, east, north)
        Degrees; east < west, or a longitude beyond 180, crosses the antimeridian.
    spacing : float, m
        Pixel edges lie on multiples of it, so that grids of one zone share their pixels.
    margin : float, m
        Added on every side.

    Returns
    -------
    GeoBox

    Raises
    ------
    BadInput
        Empty or impossible bounds.
    """
    west, south, east, north = bounds
    if east < west:
        east += 360.0
    if not (all(map(math.isfinite, bounds)) and west < east and south < north and east - west < 6.0):
        raise BadInput(f"bounds must be west, south, east, north in degrees, less than 6 wide, instead got {bounds}")
    middle = 0.5 * (west + east)
    crs = utm_crs((middle + 180.0) % 360.0 - 180.0, 0.5 * (south + north))
    to_map = Transformer.from_crs(4326, crs, always_xy=True)
    # the edges bend: twenty points a side hold them to a millimetre of a mine's size
    lon, lat = np.meshgrid(np.linspace(west, east, 20), np.linspace(south, north, 20))
    x, y = to_map.transform(lon, lat)
    left = math.floor((x.min() - margin) / spacing) * spacing
    right = math.ceil((x.max() + margin) / spacing) * spacing
    bottom = math.floor((y.min() - margin) / spacing) * spacing
    top = math.ceil((y.max() + margin) / spacing) * spacing
    return GeoBox.from_bbox(BoundingBox(left, bottom, right, top, crs=crs.to_string()), resolution=spacing, tight=True)


def geographic(grid: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of the pixel centres: (y, x) float64 each, rad."""
    t, (n_y, n_x) = grid.affine, grid.shape
    x = t.c + t.a * (np.arange(n_x) + 0.5)
    y = t.f + t.e * (np.arange(n_y) + 0.5)
    to_geographic = Transformer.from_crs(CRS.from_user_input(str(grid.crs)), 4326, always_xy=True)
    lon, lat = to_geographic.transform(*np.meshgrid(x, y))
    return np.deg2rad(lat), np.deg2rad(lon)


def on_grid(geometry: dict | BaseGeometry, grid: GeoBox) -> BaseGeometry:
    """A polygon in lon/lat degrees as a polygon in the grid's coordinates (m)."""
    geometry = geometry if isinstance(geometry, BaseGeometry) else shape(geometry)
    to_map = Transformer.from_crs(4326, CRS.from_user_input(str(grid.crs)), always_xy=True)
    return transform(geometry, to_map.transform, interleaved=False)


def inside(geometry: dict | BaseGeometry, grid: GeoBox) -> np.ndarray:
    """Pixels whose centre lies in a polygon given in lon/lat degrees: (y, x) bool."""
    t, (n_y, n_x) = grid.affine, grid.shape
    x = t.c + t.a * (np.arange(n_x) + 0.5)
    y = t.f + t.e * (np.arange(n_y) + 0.5)
    return contains_xy(on_grid(geometry, grid), *np.meshgrid(x, y))
