r"""Areas on the ground: what a pixel of a projected grid really covers, and how much of the mine is active.

A pixel of a conformal grid covers spacing^2 / k^2 on the ellipsoid, k the projection's point scale (0.9996 on the
central meridian of UTM: grid areas are 0.08 % small there, and 0.2 % large at a zone's edge on the equator). A pixel
belongs to the mine where its centre lies inside the polygon: pixels half inside and half outside cancel, and no pixel
counts twice.

With the year's index the area is that of the worked ground's outline, and the interval covers its errors, edges above
all (`outline`). Without it the area is what the active pixels cover, which is more where ground is worked in patches,
and the interval is a spatial block bootstrap: squares of about 200 m are drawn with replacement. That says how much
the area owes to a few patches, not how well the mine's own area is known. On 200 simulated mines, classified by `test`,
it covered the truth in 88 % of cases (27 % where the ground is worked in narrow benches) at a mean width of 1.3 times
the truth; the outline's covers it in 95 % at a mean width of 0.06.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyproj
from odc.geo.geobox import GeoBox

from ..errors import BadInput
from ..variables import ACTIVE, INACTIVE, INCOHERENT, NO_DATA
from .outline import IndexMap, outline_area

BLOCK = 200.0  # m
MINIMUM_BLOCKS = 20
REPLICATES = 1000
LATTICE = 64  # pixels between points at which the scale is computed exactly


@dataclass(frozen=True)
class ActiveArea:
    """Active area of a mine in one year, m2 on the ellipsoid.

    ``area`` is the worked ground's, ``low`` and ``high`` bound it with 95 %, NaN where no pixel was observed.
    ``observed`` is the part of the polygon that has a class, ``mine`` all of it: an area is never extrapolated to what
    was not observed. ``pixels`` are those called active, ``mapped`` what they cover, equal to ``area`` where no index
    was given; ``legacy_area`` is their number times the setting of that name, the source documents' arithmetic.
    ``incoherent`` is the ground inside that can't be decided.
    """

    area: float
    low: float
    high: float
    observed: float
    mine: float
    pixels: int
    mapped: float = np.nan
    legacy_area: float = np.nan
    incoherent: float = np.nan


def pixel_areas(geobox: GeoBox):
    """Area of every pixel on the WGS84 ellipsoid.

    Parameters
    ----------
    geobox : GeoBox
        North-up grid in a projected CRS with metres.

    Returns
    -------
    ndarray, (y, x), float64
        m2; relative error below 1e-6 on a UTM grid with pixels up to 100 m.

    Raises
    ------
    BadInput
        If the CRS is not projected.
    """
    if geobox.crs is None or not geobox.crs.projected:
        raise BadInput(f"areas need a grid in a projected CRS (UTM), instead got {geobox.crs}")
    crs = pyproj.CRS.from_user_input(geobox.crs.to_wkt())
    lattice = [np.unique(np.append(np.arange(0, n, LATTICE), max(n - 1, 0))) for n in geobox.shape]
    rows, columns = np.meshgrid(*lattice, indexing="ij")
    t = geobox.affine
    x, y = t.c + t.a * (columns + 0.5), t.f + t.e * (rows + 0.5)
    longitude, latitude = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(x, y)
    scale = pyproj.Proj(crs).get_factors(longitude, latitude).areal_scale
    # scale varies by 1e-4 over 10 km and is nearly quadratic: linear interpolation over 64 pixels leaves 1e-7
    along = np.array([np.interp(np.arange(geobox.shape[1]), lattice[1], row) for row in np.atleast_2d(scale)])
    full = np.array([np.interp(np.arange(geobox.shape[0]), lattice[0], column) for column in along.T]).T
    return abs(t.a * t.e) / full


def active_area(
    classes, inside, areas, spacing: float, index: IndexMap | None = None, legacy_pixel_area: float = 100.0
) -> ActiveArea:
    """Active area inside the mine with its 95 % interval; same input, same bytes.

    Parameters
    ----------
    classes : ndarray, (y, x), uint8
        As `classify.classify`.
    inside : ndarray, (y, x), bool
        Pixels of the mine.
    areas : ndarray, (y, x), float64
        Area of every pixel, m2.
    spacing : float
        Pixel spacing, m.
    index : IndexMap, optional
        The year's index, which finds edges within pixels. Without it, or where less than 50 pixels are quiet, the
        area is what the active pixels cover.
    legacy_pixel_area : float
        What the source documents count a pixel as, m2.

    Returns
    -------
    ActiveArea

    Raises
    ------
    BadInput
        If the shapes differ, no pixel is inside, or the legacy pixel area is not positive.
    """
    classes, inside, areas = _checked(classes, inside, areas, index, legacy_pixel_area)
    observed, active = inside & (classes != NO_DATA), inside & (classes == ACTIVE)
    total, seen, mapped, unknown = (
        float(areas[k].sum()) for k in (inside, observed, active, inside & (classes == INCOHERENT))
    )
    pixels = int(active.sum())
    rest = (seen, total, pixels, mapped, pixels * float(legacy_pixel_area), unknown)
    if not observed.any():
        return ActiveArea(0.0, np.nan, np.nan, *rest)
    rng = _generator(observed, active)
    outlined = None
    if index is not None:
        decided = active | (inside & (classes == INACTIVE))
        outlined = outline_area(index, decided & ~active, active, np.where(decided, areas, 0.0), spacing, rng)
    if outlined is None:
        low, high = _interval(*_block_sums(observed, active, areas, max(int(BLOCK / spacing), 1)), rng)
        outlined = mapped, low * seen, high * seen
    return ActiveArea(*outlined, *rest)


def _checked(classes, inside, areas, index, legacy_pixel_area):
    """The first three as arrays, or a named complaint."""
    classes, inside, areas = np.asarray(classes), np.asarray(inside, bool), np.asarray(areas, np.float64)
    shapes = [classes.shape, inside.shape, areas.shape] + ([] if index is None else [np.shape(index.index)])
    if len(set(shapes)) > 1:
        raise BadInput(f"classes, inside, areas and index must be one shape, instead got {', '.join(map(str, shapes))}")
    if not inside.any():
        raise BadInput(
            "no pixel centre lies inside the mine polygon: it is outside the cube or smaller than a pixel; check the "
            "polygon or use a finer spacing"
        )
    if not legacy_pixel_area > 0:
        raise BadInput(f"legacy_pixel_area must be positive (m2), instead got {legacy_pixel_area}")
    return classes, inside, areas


def _generator(observed, active):
    """A random generator that depends on the data alone."""
    seed = hashlib.sha256(np.packbits(np.stack([observed, active])).tobytes()).digest()
    return np.random.default_rng(int.from_bytes(seed[:8], "big"))


def _block_sums(observed, active, areas, size):
    """(active, observed) area of every block that was observed; blocks shrink until a small mine has enough of them."""
    rows, columns = np.nonzero(observed)
    while True:
        key = (rows // size) * (observed.shape[1] // size + 1) + columns // size
        _, block = np.unique(key, return_inverse=True)
        if size == 1 or block.max() + 1 >= MINIMUM_BLOCKS:
            break
        size = max(size // 2, 1)
    weight = areas[rows, columns]
    return np.bincount(block, weight * active[rows, columns]), np.bincount(block, weight)


def _interval(active, observed, rng):
    """2.5 and 97.5 percentile of the active share over resampled blocks."""
    share = np.empty(REPLICATES)
    for i in range(REPLICATES):
        drawn = rng.integers(0, len(active), len(active))
        share[i] = active[drawn].sum() / observed[drawn].sum()
    low, high = np.quantile(share, (0.025, 0.975))
    return float(low), float(high)
