"""Everything that can be drawn of one mine from its finished cubes, picture by picture.

Maps of every year; composite and the eight colours of three years; coherence and index of stable points and sites over
all years; the chart of areas and production. Each entry of an album is drawn on its own, so that one that fails takes
no other with it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
import shapely
import shapely.geometry
import xarray as xr
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer

from ..activity.area import active_area, pixel_areas
from ..activity.classify import class_code
from ..activity.composite import colour_years, composite
from ..activity.sites import Site, connected_sites
from ..cube import grid_of
from ..errors import BadInput
from ..model import Mine
from ..series import MineSeries, mine_series, polygon_sites
from ..settings import Settings
from ..variables import ACTIVE
from .charts import YearArea, YearProduction, activity_chart
from .codes import code_picture, code_sheet, count_colours
from .maps import class_picture, composite_picture, ndai_picture
from .series import SITES, Pairs, series_picture

SHOWN = ("composite_", "stable_block", "site_", "onset_", "alert_")  # settings of pictures and series begin so
PAIR_COLUMNS = ("reference_time", "secondary_time", "stable_mean", "stable_std", "accepted", "reason")

Entry = tuple[str, Callable[[], dict[str, bytes]]]


@dataclass(frozen=True, eq=False)
class Album:
    """What the pictures of one mine are drawn from.

    Parameters
    ----------
    mine : Mine
        Its outline is drawn; its reported figures are in the chart.
    cubes : sequence of xarray.Dataset
        Finished cubes of one grid, one a year, rising.
    sites : sequence of Site
        Places whose series are drawn, in this order.
    areas, production : sequences
        As `activity_chart`; areas are computed from the classes where there are none.
    """

    mine: Mine
    cubes: Sequence[xr.Dataset]
    sites: Sequence[Site] = ()
    areas: Sequence[YearArea] = ()
    production: Sequence[YearProduction] = ()

    def __post_init__(self):
        years = [year_of(cube) for cube in self.cubes]
        if not years or years != sorted(set(years)):
            raise BadInput(f"pictures of a mine need one cube a year, rising, instead got the years {years}")
        if len({grid_of(cube) for cube in self.cubes}) > 1:
            raise BadInput("pictures of a mine need cubes of one grid; draw those of another grid apart")

    @property
    def grid(self) -> GeoBox:
        """The grid of all cubes."""
        return grid_of(self.cubes[0])

    @property
    def triples(self) -> list[list[xr.Dataset]]:
        """Three cubes each: the only three there are, else every three successive years."""
        if len(self.cubes) == 3:
            return [list(self.cubes)]
        by_year = {year_of(cube): cube for cube in self.cubes}
        wanted = [(y - 2, y - 1, y) for y in by_year]
        return [[by_year[y] for y in years] for years in wanted if all(y in by_year for y in years)]

    def entries(self) -> Iterator[Entry]:
        """(what, function that draws it) of every picture; the function returns PNG bytes by file name."""
        for cube in self.cubes:
            yield f"maps of {year_of(cube)}", lambda cube=cube: self._maps(cube)
        for three in self.triples:
            yield f"composite of {_span(three)}", lambda three=three: self._composite(three)
            yield f"colours of {_span(three)}", lambda three=three: self._colours(three)
        yield "series", self._series
        yield "chart", self._chart

    def _maps(self, cube) -> dict[str, bytes]:
        mine, year, grid = self.mine, year_of(cube), self.grid
        stem = f"{mine.id}-{year}"
        return {
            f"{stem}-ndai.png": ndai_picture(cube["ndai"].values, grid, mine, year, display(cube)),
            f"{stem}-classes.png": class_picture(cube["activity"].values, grid, mine, year),
        }

    def _composite(self, three) -> dict[str, bytes]:
        settings, years = display(three[-1]), [year_of(c) for c in three]
        rgba = composite(
            np.stack([c["ndai"].values for c in three]), settings.composite_stretch, settings.composite_order
        )
        picture = composite_picture(rgba, self.grid, self.mine, years, settings)
        return {f"{self.mine.id}-{_span(three)}-composite.png": picture}

    def _colours(self, three) -> dict[str, bytes]:
        order, years = display(three[-1]).composite_order, [year_of(c) for c in three]
        code, stem = class_code([c["activity"].values for c in three], order), f"{self.mine.id}-{_span(three)}"
        height = three[-1]["height"].values if "height" in three[-1] else None
        out = {f"{stem}-colours.png": code_sheet(code, self.grid, self.mine, years, order, height)}
        for colour in count_colours(code, self.grid, self.mine, years, order):
            out[f"{stem}-{colour.name}.png"] = code_picture(code, self.grid, self.mine, colour, height)
        return out

    def _series(self) -> dict[str, bytes]:
        found = mine_series(self.cubes, self.sites, display(self.cubes[-1]))
        first, last = year_of(self.cubes[0]), year_of(self.cubes[-1])
        title = (self.mine.name or self.mine.id, f"{first}–{last}" if first != last else f"{first}")
        return {f"{self.mine.id}-series{page}.png": data for page, data in series_pages(found, title).items()}

    def _chart(self) -> dict[str, bytes]:
        areas = list(self.areas or map(area_of, self.cubes))
        meaning: Sequence = ()
        if self.triples:
            three = self.triples[-1]
            order, years = display(three[-1]).composite_order, [year_of(c) for c in three]
            meaning = colour_years(years, order)
            code = class_code([c["activity"].values for c in three], order)
            found = count_colours(code, self.grid, self.mine, years, order)
            areas = [
                YearArea(a.year, a.area, a.low, a.high, a.pixels, {c.code: c.area for c in found if a.year in c.years})
                if a.year in years
                else a
                for a in areas
            ]
        words = "active area" + (" and production" if self.production or self.mine.production else "")
        title = (self.mine.name or self.mine.id, f"{words} by year")
        chart = activity_chart(title, areas, self.production, self.mine.production, meaning)
        return {f"{self.mine.id}-areas.png": chart}


def area_of(cube: xr.Dataset) -> YearArea:
    """Active area of a finished cube, from its classes."""
    grid = grid_of(cube)
    found = active_area(cube["activity"].values, cube["mine"].values == 1, pixel_areas(grid), abs(grid.affine.a))
    known = found.observed > 0
    return YearArea(year_of(cube), found.area if known else np.nan, found.low, found.high, found.pixels)


def mine_of(cube: xr.Dataset) -> Mine:
    """The mine as its cube knows it: the outline follows the edges of its pixels.

    Raises
    ------
    BadInput
        No pixel is inside the mine.
    """
    grid, own = grid_of(cube), cube["mine"].values == 1
    if not own.any():
        raise BadInput("no pixel of the cube is inside the mine; give the mine's polygon")
    steps = np.diff(np.pad(own, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (row, start), (_, stop) = np.nonzero(steps == 1), np.nonzero(steps == -1)  # runs of pixels, row by row
    t = grid.affine
    runs = shapely.box(t.c + t.a * start, t.f + t.e * (row + 1), t.c + t.a * stop, t.f + t.e * row)
    to_degrees = Transformer.from_crs(CRS.from_user_input(str(grid.crs)), 4326, always_xy=True)
    outline = shapely.transform(shapely.union_all(runs), to_degrees.transform, interleaved=False)
    facts = {name: str(cube.attrs.get(name) or "") for name in ("country", "commodity")}
    identity = str(cube.attrs["mine_id"])
    return Mine(identity, str(cube.attrs.get("mine_name") or identity), shapely.geometry.mapping(outline), **facts)


def places(mine: Mine, cubes: Sequence[xr.Dataset], settings: Settings) -> tuple[Site, ...]:
    """Places whose series are drawn: the mine's named sites, else the largest areas that any year shows active.

    Areas of different years are one place where one of them lies in the other for more than half; the larger is kept.

    Raises
    ------
    BadInput
        A named site that holds no pixel centre.
    """
    if mine.sites:
        return polygon_sites(dict(mine.sites), cubes[0])
    grid, found = grid_of(cubes[0]), []
    areas = pixel_areas(grid)
    for cube in cubes:
        active = (cube["activity"].values == ACTIVE) & (cube["mine"].values == 1)
        found += connected_sites(active, areas, settings.site_minimum_area, prefix=f"{year_of(cube)}-area")
    kept: list[Site] = []
    taken = np.zeros(grid.shape, bool)
    for site in sorted(found, key=lambda site: -site.area):
        if len(kept) < SITES and taken[site.mask].mean() <= 0.5:
            kept.append(site)
            taken |= site.mask
    return tuple(sorted(kept, key=lambda site: site.name))


def series_pages(series: MineSeries, title: tuple[str, str]) -> dict[str, bytes]:
    """Pictures of a mine's series: one, under the name "", or several of a few sites each, "-1", "-2" ...

    Parameters
    ----------
    series : MineSeries
    title : (str, str)
        Headline, and what the line below it begins with.
    """
    names = list(dict.fromkeys(series.table["site"].to_pylist()))
    rows = {name: series.table.filter(pc.equal(series.table["site"], name)) for name in names}
    pairs = Pairs(*(_column(rows[names[0]], name) for name in PAIR_COLUMNS))
    values = {name: (_column(rows[name], "coherence_mean"), _column(rows[name], "ndai")) for name in names[1:]}
    out = {}
    for start in range(0, max(len(values), 1), SITES):
        shown = {name: values[name] for name in names[1:][start : start + SITES]}
        words = f"{title[1]}: coherence" + (" and activity index" if shown else " of the stable points")
        spans = [span for change in series.changes if change["site"] in shown for span in _spans(change)]
        alerts = [(a["site"], _time(a["second_secondary"]), a["value"]) for a in series.alerts if a["site"] in shown]
        page = "" if len(values) <= SITES else f"-{start // SITES + 1}"
        out[page] = series_picture((title[0], words), pairs, shown, spans, alerts)
    return out


def display(cube: xr.Dataset) -> Settings:
    """The settings that decide how a finished cube is shown, as they are stored with it."""
    stored = json.loads(cube.attrs.get("settings") or "{}")
    known = {f.name for f in dataclasses.fields(Settings) if f.name.startswith(SHOWN)}
    values = {name: value for name, value in stored.items() if name in known}
    return Settings(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def year_of(cube: xr.Dataset) -> int:
    """The year of a cube."""
    return int(cube.attrs["year"])


def _span(cubes) -> str:
    return f"{year_of(cubes[0])}-{year_of(cubes[-1])}"


def _spans(change: Mapping) -> list[tuple]:
    """Onset and end of a change as intervals to shade."""
    out = []
    for word, after, before in (("onset", "onset_after", "onset_before"), ("end", "end_after", "end_before")):
        if change[after] and change[before]:
            early = word == "onset" and change["active_from_the_start"]
            label = "active from the start" if early else word
            out.append((change["site"], _time(change[after]), _time(change[before]), label))
    return out


def _time(text: str) -> np.datetime64:
    return np.datetime64(text.removesuffix("Z"), "s")


def _column(table, name: str):
    """A column as an array; NaN where a number is missing."""
    return table[name].to_numpy()
