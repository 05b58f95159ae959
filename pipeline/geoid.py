"""Height of the geoid above the ellipsoid, from the built-in EGM96 grid or from any geoid grid that a user names.

    h = H + N(latitude, longitude)

with h above the WGS84 ellipsoid, H above the geoid (what elevation models state), N the undulation.

``data/egm96_15.tif`` holds EGM96 every 15' in whole centimetres: every third node of the model's 5' grid (public
domain; NASA, NIMA and Ohio State University). Interpolated by the bicubic spline used here it meets the 5' grid to
0.004 m RMS and 0.030 m at most. No wheel carries EGM2008 beyond degree 150, so EGM96 stands in for it unless ``geoid``
names a grid. At eight points with published values of EGM2008 it errs by 0.56 m RMS, by 1.29 m at most (at the north
pole), by 0.72 m at Los Angeles; in high mountains it may be more. One metre of height moves the offset between two
acquisitions with a baseline of 150 m by about 1e-4 of a sample, and a geoid's error is the same for all of a mine.
"""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray

from .errors import NoCoverage
from .raster import Mosaic, read_mosaic

BUILT_IN = "EGM96 15'"
_PAD = 1.0  # degrees read around: four nodes of the built-in grid, so that the spline's ends are far


def undulation(latitude, longitude, geoid: str | None = None, storage_options=None) -> NDArray[np.float64]:
    """Height of the geoid above the WGS84 ellipsoid at every crossing of two axes.

    Parameters
    ----------
    latitude : array_like, (y,), rad
        Monotonic either way.
    longitude : array_like, (x,), rad
        Monotonic; continuous across the antimeridian.
    geoid : str, optional
        Path or fsspec URL of a grid of undulations in metres (GeoTIFF, GTX); the built-in EGM96 by default.
    storage_options : dict, optional
        For fsspec.

    Returns
    -------
    ndarray, (y, x), float64, m

    Raises
    ------
    NoCoverage
        The grid doesn't cover the axes or has no value there.
    Unavailable, BadInput
        As `raster.read_mosaic`.
    """
    lat, lon = np.degrees(np.asarray(latitude, np.float64)), np.degrees(np.asarray(longitude, np.float64))
    bounds = (lon.min(), lat.min(), lon.max(), lat.max())
    # an axis of one value still needs an area to read
    bounds = (bounds[0] - 1e-6, max(bounds[1] - 1e-6, -90.0), bounds[2] + 1e-6, min(bounds[3] + 1e-6, 90.0))
    if geoid is not None:
        mosaic = read_mosaic([geoid], bounds, (_PAD, _PAD), storage_options)
        return _interpolate(mosaic, lat, lon, geoid)
    with as_file(files(__package__) / "data" / "egm96_15.tif") as path:
        mosaic = read_mosaic([str(path)], bounds, (_PAD, _PAD))
    return _interpolate(mosaic, lat, lon, BUILT_IN)


def _interpolate(mosaic: Mosaic, lat, lon, name: str) -> NDArray[np.float64]:
    """Bicubic spline through the nodes of a north-up grid, at (lat) x (lon) in degrees."""
    t, (rows, cols) = mosaic.grid.affine, mosaic.grid.shape
    node_lon = t.c + t.a * (np.arange(cols) + 0.5)
    node_lat = t.f + t.e * (np.arange(rows) + 0.5)
    # a node is good for half a cell around it
    if (
        lon.min() < node_lon[0] - 0.5 * t.a
        or lon.max() > node_lon[-1] + 0.5 * t.a
        or lat.max() > node_lat[0] - 0.5 * t.e
        or lat.min() < node_lat[-1] + 0.5 * t.e
        or not np.isfinite(mosaic.values).all()
    ):
        raise NoCoverage(
            f"geoid {name} must have a value everywhere in W {lon.min():.4f}, S {lat.min():.4f}, E {lon.max():.4f}, "
            f"N {lat.max():.4f}, instead it ends or has holes there; name a grid that covers it"
        )
    from scipy.interpolate import RectBivariateSpline  # slow to import, and only workers need it

    order = (min(3, rows - 1), min(3, cols - 1))
    spline = RectBivariateSpline(node_lat[::-1], node_lon, mosaic.values[::-1], kx=order[0], ky=order[1])
    south_up, eastward = lat[0] <= lat[-1], lon[0] <= lon[-1]
    n = spline(lat if south_up else lat[::-1], lon if eastward else lon[::-1])
    return n[:: 1 if south_up else -1, :: 1 if eastward else -1]
