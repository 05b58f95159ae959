"""Elevation models as ellipsoidal heights on one lat/lon grid.

The radar geometry wants heights above the WGS84 ellipsoid, elevation models state heights above a geoid, and 30 m lie
between the two. So a DEM is read together with its vertical datum, and what comes out has only one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .constants import WGS84_A
from .dem_tiles import Tile, TileIndex, datum_of, epoch_of
from .errors import BadInput, NoCoverage
from .geoid import BUILT_IN, undulation
from .raster import Mosaic, continuous, read_mosaic
from .storage import public_url

DATUMS = ("egm2008", "egm96", "ellipsoid")
MAX_VOID = 500.0  # m from its rim that a void is filled


@dataclass(frozen=True, eq=False)
class Dem:
    """Ellipsoidal heights on a regular north-up latitude/longitude grid.

    Parameters
    ----------
    height : ndarray, (y, x), float32, m
        Above the WGS84 ellipsoid; NaN in voids too large to fill and in parts of the margin that no file reaches.
    filled : ndarray, (y, x), bool
        True where the height was interpolated across a void.
    latitude_start, longitude_start : float, rad
        The **centre** of the first row and of the first column.
    latitude_step, longitude_step : float, rad
        From one row or column to the next; the latitude step is negative. Longitudes run on across the antimeridian.
    source : tuple of str
        What was read, in order of precedence.
    datum : str
        The vertical datum of the source: ``"egm2008"``, ``"egm96"`` or ``"ellipsoid"``.
    geoid : str
        The undulations added: a file, the built-in grid, or ``""`` for none.
    epoch : str
        When the surface was measured, as its caller states it; ``""`` where unknown.
    void_share : float
        Share of the cells inside the bounds asked for that had no height, filled or not.
    sea : tuple of Tile
        Tiles that no store has: there the height above the geoid is 0.
    """

    height: NDArray[np.float32] = field(repr=False)
    filled: NDArray[np.bool_] = field(repr=False)
    latitude_start: float
    latitude_step: float
    longitude_start: float
    longitude_step: float
    source: tuple[str, ...]
    datum: str
    geoid: str
    epoch: str
    void_share: float
    sea: tuple[Tile, ...] = ()

    @property
    def latitude(self) -> NDArray[np.float64]:
        """Cell centres, (y,), rad, from north to south."""
        return self.latitude_start + self.latitude_step * np.arange(self.height.shape[0])

    @property
    def longitude(self) -> NDArray[np.float64]:
        """Cell centres, (x,), rad, from west to east."""
        return self.longitude_start + self.longitude_step * np.arange(self.height.shape[1])


def read_dem(
    url: str | Sequence[str],
    bounds: tuple[float, float, float, float],
    datum: str | None = None,
    margin: float = 1000.0,
    geoid: str | None = None,
    epoch: str = "",
    storage_options: dict | None = None,
) -> Dem:
    """Read ellipsoidal heights of an area from one or several elevation models.

    Voids up to about `MAX_VOID` from rim to middle are filled by linear interpolation between their rims, and marked;
    larger ones (lakes, the sea of some models) stay NaN. Tiles are put together, the first valid height in the order
    given wins; a model in a map projection, or on another grid than the finest tile, is resampled once, cubic.

    Parameters
    ----------
    url : str, path or sequence of them
        Local path or fsspec URL of a GeoTIFF (or anything else that GDAL reads), or several; ``"glo30"``, ``"glo90"``
        or a pattern with ``{lat}`` and ``{lon}`` for tiles of one degree, see `dem_tiles`.
    bounds : (west, south, east, north)
        Degrees; across the antimeridian either east < west or a longitude beyond 180. All of it must be covered.
    datum : str, optional
        ``"egm2008"``, ``"egm96"`` or ``"ellipsoid"``. Default: what the file's CRS says, else ``"egm2008"``.
    margin : float, m
        Read beyond the bounds, as far as there is anything.
    geoid : str, optional
        Path or URL of a grid of undulations (GeoTIFF, GTX) in place of the built-in EGM96, which also stands in for
        EGM2008.
    epoch : str
        When the surface was measured; kept with the heights, not interpreted. Default: a preset's.
    storage_options : dict, optional
        For fsspec: credentials, endpoint.

    Returns
    -------
    Dem

    Raises
    ------
    NoCoverage
        The files don't cover the bounds, or hold nothing but void there; or the geoid doesn't; or no tile is there.
    BadInput
        Unknown datum, one that contradicts the file, bounds or margin out of range, not a raster, not in metres.
    Unavailable
        A URL can't be read.
    """
    urls = _check(url, datum, margin)
    needed, datum, epoch = continuous(bounds), datum_of(urls, datum), epoch or epoch_of(urls)
    pad = margin_degrees(margin, needed)
    found = TileIndex(storage_options).find(urls, needed, pad)
    mosaic = read_mosaic(found.urls, needed, pad, storage_options, found.empty)
    urls = tuple(map(public_url, found.urls))  # fit for messages and for the product's metadata
    datum = _datum(datum, mosaic, urls)
    inside = _inside(mosaic, needed, urls)
    void = np.isnan(mosaic.values)
    if void[inside].all():
        raise NoCoverage(
            f"{', '.join(urls)} must hold heights in {_show(needed)}, instead all of it is void; name another DEM"
        )
    t = mosaic.grid.affine
    metres = math.radians(1.0) * WGS84_A
    cell = (-t.e * metres, max(t.a * metres * math.cos(math.radians(t.f)), 1e-3))
    height = fill_voids(mosaic.values, cell, mosaic.covered)
    dem = Dem(
        height=height,
        filled=void & ~np.isnan(height),
        latitude_start=math.radians(t.f + 0.5 * t.e),
        latitude_step=math.radians(t.e),
        longitude_start=math.radians(t.c + 0.5 * t.a),
        longitude_step=math.radians(t.a),
        source=urls,
        datum=datum,
        geoid="",
        epoch=epoch,
        void_share=float(void[inside].mean()),
        sea=found.sea,
    )
    if datum == "ellipsoid":
        return dem
    height = (height + undulation(dem.latitude, dem.longitude, geoid, storage_options)).astype(np.float32)
    return replace(dem, height=height, geoid=public_url(geoid) if geoid else BUILT_IN)


def _check(url, datum, margin) -> tuple[str, ...]:
    """The URLs as text; BadInput for arguments that can't be used."""
    urls = tuple(map(os.fspath, (url,) if isinstance(url, str | os.PathLike) else url))
    if not urls:
        raise BadInput("url must name at least one elevation model, instead got an empty list")
    if not (math.isfinite(margin) and margin >= 0.0):
        raise BadInput(f"margin must be zero or more (m), instead got {margin}")
    if datum is not None and datum not in DATUMS:
        raise BadInput(f"DEM datum must be one of {', '.join(DATUMS)}, instead got {datum!r}")
    return urls


def margin_degrees(margin: float, bounds) -> tuple[float, float]:
    """A margin in m as (longitude, latitude) degrees, on the side nearer to the pole."""
    latitude = math.degrees(margin / WGS84_A) * 1.01  # a degree near the equator is 0.7 % shorter than on the sphere
    cos_lat = math.cos(math.radians(min(max(abs(bounds[1]), abs(bounds[3])) + latitude, 89.9)))
    return latitude / cos_lat, latitude


def _datum(datum: str | None, mosaic: Mosaic, urls) -> str:
    """The vertical datum asked for, checked against what the files' CRS say."""
    for crs in mosaic.crs:
        stated = None
        if crs.is_compound:
            name = crs.sub_crs_list[1].name.upper()
            stated = next((d for d in ("egm2008", "egm96") if d.upper() in name.replace(" ", "")), None)
        elif len(crs.axis_info) == 3:
            stated = "ellipsoid"
        if stated and datum and stated != datum:
            raise BadInput(
                f"DEM datum must agree with the CRS of {', '.join(urls)}, which says {stated} ({crs.name}), "
                f"instead got {datum}; leave it out or correct the file"
            )
        datum = datum or stated
    return datum or "egm2008"


def _inside(mosaic: Mosaic, needed, urls) -> tuple[slice, slice]:
    """Rows and columns whose cells touch the bounds; NoCoverage where one of them is in no file."""
    t, (rows, cols) = mosaic.grid.affine, mosaic.grid.shape
    eps = 1e-3  # cells
    c0, c1 = math.floor((needed[0] - t.c) / t.a + eps), math.ceil((needed[2] - t.c) / t.a - eps)
    r0, r1 = math.floor((needed[3] - t.f) / t.e + eps), math.ceil((needed[1] - t.f) / t.e - eps)
    inside = (slice(max(r0, 0), min(r1, rows)), slice(max(c0, 0), min(c1, cols)))
    if r0 < 0 or c0 < 0 or r1 > rows or c1 > cols or not mosaic.covered[inside].all():
        have = (t.c, t.f + t.e * rows, t.c + t.a * cols, t.f)
        share = mosaic.covered[inside].sum() / ((r1 - r0) * (c1 - c0))
        raise NoCoverage(
            f"{', '.join(urls)} must cover {_show(needed)}, instead the part read is {_show(have)} and covers "
            f"{share:.0%} of it; name the missing tiles too, or a smaller area"
        )
    return inside


def fill_voids(height, cell, covered=True, reach: float = MAX_VOID) -> NDArray[np.float32]:
    """Heights with the small voids filled, linear between their rims; voids deeper than ``reach`` stay as they are.

    Parameters
    ----------
    height : ndarray, (y, x), float, m
        NaN in voids.
    cell : (float, float), m
        Height and width of a cell.
    covered : ndarray, (y, x), bool
        Only cells where it is True are filled.
    reach : float, m
        Largest distance from the middle of a void to its rim.

    Returns
    -------
    ndarray, (y, x), float32, m
    """
    out = np.array(height, np.float32)
    void = np.isnan(out)
    if not void.any() or void.all():
        return out
    label, count = ndimage.label(void)
    depth = ndimage.maximum(ndimage.distance_transform_edt(void, sampling=cell), label, np.arange(count + 1))
    small = void & (np.asarray(depth)[label] <= reach)
    rim = ndimage.binary_dilation(small, np.ones((3, 3), bool)) & ~void
    target = small & covered
    if not target.any():
        return out
    from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator  # slow to import, and seldom needed

    scale = np.asarray(cell, np.float64)
    known, wanted = np.argwhere(rim) * scale, np.argwhere(target) * scale
    values = out[rim].astype(np.float64)
    filled = np.full(len(wanted), np.nan)
    if len(known) >= 4 and np.ptp(known, axis=0).min() > 0.0:
        filled = LinearNDInterpolator(known, values)(wanted)
    # a void at the grid's edge has no rim beyond it
    edge = np.isnan(filled)
    if edge.any():
        filled[edge] = NearestNDInterpolator(known, values)(wanted[edge])
    out[target] = filled
    return out


def _show(bounds) -> str:
    return "W {:.4f}, S {:.4f}, E {:.4f}, N {:.4f}".format(*bounds)
