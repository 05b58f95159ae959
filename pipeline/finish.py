"""What needs several of a mine's years: the permanent mask, and with it classes and areas; composites, pictures.

By default a year's classes depend on the other years only through the mask of permanently incoherent ground
(vegetation, water); with ``permanent=year`` or ``none`` not at all; with ``classify=hsv`` through the colours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import xarray as xr

from .activity.area import ActiveArea, active_area, pixel_areas
from .activity.classify import ThreeYears, class_code, classify_year, coherent_pairs, undecidable
from .activity.composite import composite
from .activity.hues import composite_years
from .activity.outline import IndexMap
from .activity.significance import Evidence, Significance
from .cube import grid_of
from .model import Mine
from .series import AZIMUTH_SPACING, RANGE_SPACING, MineSeries, active_sites, mine_series, polygon_sites
from .settings import Settings


@dataclass(frozen=True, eq=False)
class Finished:
    """One complete year. ``pictures``: PNG bytes by name. Where three years are there: ``rgba`` (y, x, 4) uint8 and the
    code of the years of activity ``colours`` (y, x) uint8, with the years in red, green and blue. ``events``: sentences
    about named sites and alerts of the newest pair."""

    cube: xr.Dataset
    area: ActiveArea
    series: MineSeries
    thumbnail: bytes
    pictures: dict[str, bytes]
    events: tuple[str, ...] = ()
    rgba: np.ndarray | None = None
    rgba_years: tuple[int, ...] = ()
    colours: np.ndarray | None = None


@dataclass(frozen=True)
class Published:
    """A year that is published: URLs of its item and cube, its active area with the 95 % interval, m2, and the products
    that it lacks because they couldn't be used."""

    item: str
    cube: str
    area: tuple[float, float, float]
    broken: tuple[str, ...] = ()


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


def finish_years(
    mine: Mine,
    cubes: Sequence[xr.Dataset],
    settings: Settings,
    records: Mapping[int, Sequence[int]] | None = None,
    wanted: Collection[int] | None = None,
) -> list[Finished]:
    """Classes, areas, series and pictures of a mine's years.

    Parameters
    ----------
    mine : Mine
    cubes : sequence of xarray.Dataset
        One a year, rising, on one grid, as `mine_year.make_year` leaves them; ``activity`` and ``activity_score`` are
        filled here.
    settings : Settings
    records : mapping of int to sequence of int, optional
        For a year, the years that decide what is permanently incoherent; those that aren't there don't count. Default
        (and for an empty one): all.
    wanted : collection of int, optional
        Only these years are finished; the others have been before. Default: all.

    Returns
    -------
    list of Finished
        The wanted years, rising. A year has a composite where it and the two before it are there.

    Raises
    ------
    BadInput
        A site of the mine that holds no pixel, or ``hsv`` without three consecutive years.
    """
    by_year = {int(cube.attrs["year"]): cube for cube in cubes}
    years = sorted(by_year)
    counts = [coherent_pairs(c["coherence"].values, c["accepted"].values) for c in (by_year[y] for y in years)]
    counts = [np.stack(part) for part in zip(*counts, strict=True)]
    areas = pixel_areas(grid_of(cubes[0]))
    measured = {}
    wanted = set(years) if wanted is None else set(wanted)
    for year in (y for y in years if y in wanted):
        cube = by_year[year]
        record = [y for y in years if y == year or y in ((records or {}).get(year) or years)]
        seen = [part[[years.index(y) for y in record]] for part in counts]
        permanent = undecidable(*seen, record.index(year), cube["layover_shadow"].values, settings)
        three = _three_years(by_year, year) if settings.classify == "hsv" else None
        found = classify_year(_evidence(cube), cube["ndai"].values, settings, permanent, three)
        cube["activity"].values[...] = found.classes
        if found.significance is not None:
            cube["activity_score"].values[...] = found.significance.z
            cube.attrs |= _test_facts(found.significance)
        measured[year] = active_area(
            found.classes,
            cube["mine"].values == 1,
            areas,
            settings.spacing,
            _index_map(cube, settings),
            settings.legacy_pixel_area,
        )
    return [_finished(mine, by_year, year, measured[year], settings) for year in measured]


def _evidence(cube: xr.Dataset) -> Evidence:
    return Evidence(
        coherence=cube["coherence"].values,
        accepted=cube["accepted"].values,
        reference=cube["stable_reference"].values,
        dates=np.stack([cube["reference_time"].values, cube["secondary_time"].values], axis=1),
        looks=float(cube.attrs["equivalent_looks"]),
        stable=cube["stable_point"].values == 1,
        mine=cube["mine"].values == 1,
        optimism=float(cube.attrs.get("stable_optimism", 0.0)),
    )


def _index_map(cube: xr.Dataset, settings: Settings) -> IndexMap | None:
    """What the outline of worked ground is drawn from; None on grids whose pixels are larger than the windows."""
    range_looks, azimuth_looks = settings.looks
    angle = float(np.nanmean(cube["incidence_angle"].values))
    window = azimuth_looks * AZIMUTH_SPACING, range_looks * RANGE_SPACING / np.sin(angle)
    if settings.spacing > min(window):
        return None
    return IndexMap(cube["ndai"].values, int(cube["accepted"].values.sum()), window)


def _test_facts(found: Significance) -> dict:
    """What the cube's root says of the test, and of the looks that its stable points show."""
    facts = {"test_looks": found.looks, "test_spread": found.spread, "test_limit": found.limit}
    if found.measured is not None:
        facts |= {"calibrated_looks": found.measured.value, "calibrated_looks_error": found.measured.std_error}
    return {name: float(f"{value:.5g}") for name, value in facts.items() if np.isfinite(value)}


def _three_years(by_year: Mapping[int, xr.Dataset], year: int) -> ThreeYears | None:
    years = composite_years(year, by_year)
    return years and ThreeYears(np.stack([by_year[y]["ndai"].values for y in years]), years.index(year))


def _finished(mine: Mine, by_year: Mapping[int, xr.Dataset], year: int, area: ActiveArea, settings: Settings):
    """Series and pictures of one year; onsets, alerts and colours look back at the two years before it."""
    from .pictures import class_picture, composite_picture, ndai_picture, thumbnail  # only workers need its half second

    cube, years = by_year[year], (year - 2, year - 1, year)
    grid, ndai, classes = grid_of(cube), cube["ndai"].values, cube["activity"].values
    sites = polygon_sites(dict(mine.sites), cube) if mine.sites else active_sites(cube, settings)
    series = mine_series([cube], sites, settings)
    known = mine_series([by_year[y] for y in years if y in by_year], sites, settings)
    series = replace(series, sites=known.sites, changes=known.changes, alerts=known.alerts)
    rgba, colours, pictures = None, None, {}
    if all(y in by_year for y in years):
        rgba = composite(
            np.stack([by_year[y]["ndai"].values for y in years]), settings.composite_stretch, settings.composite_order
        )
        colours = class_code([by_year[y]["activity"].values for y in years], settings.composite_order)
        name = f"{mine.id}-{years[0]}-{year}-composite.png"
        pictures[name] = composite_picture(rgba, grid, mine, years, settings)
    pictures[f"{mine.id}-{year}-ndai.png"] = ndai_picture(ndai, grid, mine, year, settings)
    pictures[f"{mine.id}-{year}-classes.png"] = class_picture(classes, grid, mine, year)
    small = thumbnail(ndai if rgba is None else rgba, settings)
    shown = years if settings.composite_order == "oldest-red" else years[::-1]
    events = _events(mine, series, year)
    return Finished(cube, area, series, small, pictures, events, rgba, shown if rgba is not None else (), colours)


def _events(mine: Mine, series: MineSeries, year: int) -> tuple[str, ...]:
    """When the named sites were active in a year, and what its newest pair raised."""
    names = {name for name, _ in mine.sites}
    said = []
    for change in (c for c in series.changes if c["site"] in names):
        if change["onset_after"][:4] > str(year) or (not change["ongoing"] and change["end_before"][:4] < str(year)):
            continue
        start = f"{change['onset_after'][:10]}/{change['onset_before'][:10]}"
        start = "the start of the record" if change["active_from_the_start"] else start
        stop = "on" if change["ongoing"] else f"to {change['end_after'][:10]}/{change['end_before'][:10]}"
        said.append(f"site {change['site']}: active from {start} {stop} (NDAI {change['ndai']:.2f})")
    for alert in (a for a in series.alerts if a["new"]):
        said.append(f"alert at {alert['site']}: NDAI {alert['value']:.2f} above {alert['threshold']:.2f} in two pairs")
    return tuple(said)
