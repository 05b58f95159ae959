"""Sites: the parts of a mine that have a time series of their own, by polygon or as connected active areas.

A connected area is joined over corners too (eight neighbours): a bench one pixel wide that runs askew to the grid is
one bench. Areas are numbered by size, the largest first, and at equal size by their first pixel in reading order, so
that the same map gives the same names. They belong to one map: next year's ``area-1`` may be another place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import BadInput

EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class Site:
    """A named part of the map: ``mask`` (y, x) bool, its true area in m2, its middle as fractional (row, column)."""

    name: str
    mask: NDArray[np.bool_] = field(repr=False)
    area: float
    middle: tuple[float, float]

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))


def named_site(name: str, mask, areas) -> Site:
    """A site from a mask.

    Parameters
    ----------
    name : str
    mask : ndarray, (y, x), bool
        For a polygon: pixels whose centre lies inside.
    areas : ndarray, (y, x), float64
        Area of every pixel, m2.

    Raises
    ------
    BadInput
        The site has no name or no pixel, or the shapes differ.
    """
    mask, areas = np.asarray(mask, bool), np.asarray(areas, np.float64)
    if not name:
        raise BadInput("a site must have a name, instead got an empty one")
    if mask.shape != areas.shape or mask.ndim != 2:
        raise BadInput(f"site {name}: mask and areas must be one shape (y, x), instead got {mask.shape}, {areas.shape}")
    if not mask.any():
        raise BadInput(
            f"site {name} holds no pixel of the map: no pixel centre lies inside; check where its polygon is and that "
            "it is larger than a pixel"
        )
    rows, columns = np.nonzero(mask)
    return Site(name, mask, float(areas[mask].sum()), (float(rows.mean()), float(columns.mean())))


def connected_sites(active, areas, minimum_area: float, prefix: str = "area") -> tuple[Site, ...]:
    """Connected active areas, the largest first: ``area-1``, ``area-2``, ...

    Parameters
    ----------
    active : ndarray, (y, x), bool
    areas : ndarray, (y, x), float64
        Area of every pixel, m2.
    minimum_area : float
        Smaller ones are left out, m2.
    prefix : str
        Of the names.

    Raises
    ------
    BadInput
        If the shapes differ.
    """
    active, areas = np.asarray(active, bool), np.asarray(areas, np.float64)
    if active.shape != areas.shape or active.ndim != 2:
        raise BadInput(f"active and areas must be one shape (y, x), instead got {active.shape}, {areas.shape}")
    labels, count = ndimage.label(active, EIGHT_NEIGHBOURS)
    size = np.bincount(labels.ravel(), areas.ravel(), count + 1)[1:]
    # labels rise in reading order, and a millimetre of area is no difference
    order = [k for k in np.argsort(-np.round(size, 3), kind="stable") if size[k] >= minimum_area]
    return tuple(named_site(f"{prefix}-{n}", labels == k + 1, areas) for n, k in enumerate(order, 1))
