"""What needs all of a mine's years: the permanent mask, and with it classes and areas; then each year is published.

A year's classes depend on the other years only through the mask of permanently incoherent ground (vegetation, water).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xarray as xr

from .activity.area import ActiveArea, active_area, pixel_areas
from .activity.classify import classify, coherent_pairs, permanently_incoherent
from .activity.composite import composite
from .cube import grid_of
from .model import Mine
from .settings import Settings


@dataclass(frozen=True, eq=False)
class Finished:
    """One complete year. ``pictures``: PNG bytes by name; ``rgba`` (y, x, 4) uint8 where three years are there."""

    cube: xr.Dataset
    area: ActiveArea
    thumbnail: bytes
    pictures: dict[str, bytes]
    rgba: np.ndarray | None = None
    rgba_years: tuple[int, ...] = ()


@dataclass(frozen=True)
class Published:
    """A year that is published: URLs of its item and cube, and its active area with the 95 % interval, m2."""

    item: str
    cube: str
    area: tuple[float, float, float]


class Publisher(Protocol):
    """What the command passes in: the catalog under a root. It travels to the workers, so it has to pickle."""

    def published(self, mine: Mine, year: int, key: str, root: str, options: dict) -> bool:
        """True where a product of this fingerprint is there, complete."""
        ...

    def show(self, mine: Mine, year: int, key: str, root: str, options: dict) -> Published:
        """Have the catalog list a product that is published; says where it is."""
        ...

    def publish(self, mine: Mine, finished: Finished, root: str, options: dict) -> str:
        """Publish one finished year; returns its item's URL."""
        ...


def permanent_mask(cubes: Sequence[xr.Dataset], minimum_pairs: int) -> np.ndarray:
    """Ground that no year on record shows coherent: (y, x) bool."""
    counts = [coherent_pairs(c["coherence"].values, c["accepted"].values) for c in cubes]
    return permanently_incoherent(*(np.stack(part) for part in zip(*counts, strict=True)), minimum_pairs)


def finish_years(mine: Mine, cubes: Sequence[xr.Dataset], settings: Settings) -> list[Finished]:
    """Classes, areas and pictures of a mine's years.

    Parameters
    ----------
    mine : Mine
    cubes : sequence of xarray.Dataset
        One a year, rising, on one grid, as `mine_year.make_year` leaves them; ``activity`` is filled here.
    settings : Settings

    Returns
    -------
    list of Finished
        In the order given. A year has a composite where it and the two before it are there.
    """
    from .pictures import class_picture, composite_picture, ndai_picture, thumbnail  # only workers need its half second

    grid = grid_of(cubes[0])
    areas = pixel_areas(grid)
    permanent = permanent_mask(cubes, settings.minimum_pairs)
    by_year = {int(cube.attrs["year"]): cube for cube in cubes}
    out = []
    for year, cube in sorted(by_year.items()):
        cube["activity"].values[...] = classify(cube["ndai"].values, settings, permanent)
        area = active_area(cube["activity"].values, cube["mine"].values == 1, areas, settings.spacing)
        years = (year - 2, year - 1, year)
        rgba, pictures = None, {}
        ndai = cube["ndai"].values
        if all(y in by_year for y in years):
            stack = np.stack([by_year[y]["ndai"].values for y in years])
            rgba = composite(stack, settings.composite_stretch, settings.composite_order)
            pictures[f"{mine.id}-{years[0]}-{year}-composite.png"] = composite_picture(
                rgba, grid, mine, years, settings
            )
        pictures[f"{mine.id}-{year}-ndai.png"] = ndai_picture(ndai, grid, mine, year, settings)
        pictures[f"{mine.id}-{year}-classes.png"] = class_picture(cube["activity"].values, grid, mine, year)
        small = thumbnail(ndai if rgba is None else rgba, settings)
        out.append(Finished(cube, area, small, pictures, rgba, years if rgba is not None else ()))
    return out
