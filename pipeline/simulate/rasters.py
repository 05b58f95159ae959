"""DEM rasters: real ones taken as the terrain of a scene, simulated terrain written for the processor to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import Affine
from scipy import ndimage

from ..errors import BadInput
from .render import Ground
from .terrain import Terrain


def raster_terrain(path: Path, interpolant: str = "cubic_spline") -> Terrain:
    """A DEM raster in geographic coordinates as `Terrain`: heights as above the ellipsoid, gaps from the nearest.

    GDAL's transform gives pixel corners; the posts are the pixel centres.
    """
    with rasterio.open(path) as source:
        if source.crs is None or not source.crs.is_geographic:
            raise BadInput(f"{path} must be in geographic coordinates, instead got {source.crs}")
        band, move = source.read(1, masked=True), source.transform
    heights = band.astype(np.float64).filled(np.nan)
    gaps = ~np.isfinite(heights)
    if gaps.any():
        nearest = ndimage.distance_transform_edt(gaps, return_distances=False, return_indices=True)
        heights = heights[tuple(nearest)]
    return Terrain(heights, move.f + 0.5 * move.e, move.c + 0.5 * move.a, move.e, move.a, interpolant)


def write_raster(terrain: Terrain, path: Path) -> None:
    """The posts as a float32 GeoTIFF in EPSG:4326, pixel centres on the posts, heights above the ellipsoid in m."""
    corner = terrain.west - 0.5 * terrain.lon_step, terrain.north - 0.5 * terrain.lat_step
    transform = Affine(terrain.lon_step, 0.0, corner[0], 0.0, terrain.lat_step, corner[1])
    rows, columns = terrain.heights.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=columns, height=rows, count=1, dtype="float32", crs="EPSG:4326",
        transform=transform, compress="deflate", predictor=3,
    ) as target:  # fmt: skip
        target.write(terrain.heights.astype(np.float32), 1)
        target.update_tags(vertical_datum="ellipsoid", units="m")


def raster_field(path: Path, outside: float, order: int = 1) -> Callable[..., np.ndarray]:
    """A raster in geographic coordinates as a field of a `Surface`.

    Parameters
    ----------
    path : Path
    outside : float
        Value where the raster has none: beyond its edge, and where it is NaN or its no-data value.
    order : int
        1 interpolates linearly between pixel centres, 0 takes the nearest pixel (phase).

    Returns
    -------
    callable
        ``f(ground, *dates)`` → (line, sample) float64.
    """
    with rasterio.open(path) as source:
        if source.crs is None or not source.crs.is_geographic:
            raise BadInput(f"{path} must be in geographic coordinates, instead got {source.crs}")
        band, to_pixel = source.read(1, masked=True), ~source.transform
    values = band.astype(np.float64).filled(np.nan)
    values = np.where(np.isfinite(values), values, outside)

    def field(ground: Ground, *dates):
        column, row = to_pixel * (ground.longitude, ground.latitude)
        return ndimage.map_coordinates(values, [row - 0.5, column - 0.5], order=order, cval=outside)

    return field
