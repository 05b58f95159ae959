"""The eight colours of three years, each on its own: which ground was worked in exactly these years, and how much.

A colour stands on dark ground where it is light and on light ground where it is dark, so that it is seen by lightness
alone; its name and its years are written at it. Only the mine's own pixels are coloured and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from odc.geo.geobox import GeoBox

from ..activity.area import pixel_areas
from ..activity.composite import colour_years
from ..errors import BadInput
from ..grid import inside, on_grid
from ..model import Mine
from .drawing import LINE, box, headline, legend, new_sheet, picture, write
from .maps import (
    EDGE,
    Place,
    code_colour,
    in_bytes,
    map_figure,
    place_map,
    resized,
    scale_and_north,
    years_label,
)

ORDER = (0, 1, 2, 4, 3, 5, 6, 7)  # none, one year each, two years each, all three
LIGHT, DARK = 0.90, 0.24  # grey of the mine's other pixels, below a dark and below a light colour
UNKNOWN = (0.6, 0.6, 0.6)  # ... of those without data in a year: between the two
AROUND = 0.97  # ... of everything outside the mine
RELIEF = 0.10  # how much slopes lighten and darken it
SHEET_WIDTH = 1080  # px
GAP, CAPTION = 16, 66  # px between panels and above each
LAYOUTS = ((4, 2, 340), (2, 4, 240))  # columns, rows, tallest map (px): the second for wide mines
_SUN = np.array([-1.0, 1.0, 1.4]) / np.sqrt(1.0 + 1.0 + 1.4**2)  # east, north, up: light from the north-west


@dataclass(frozen=True)
class Colour:
    """One of the eight colours: its code, its name, the years it stands for, and its pixels and m2 in the mine."""

    code: int
    name: str
    years: tuple[int, ...]
    pixels: int
    area: float


def count_colours(code, grid: GeoBox, mine: Mine, years: Sequence[int], order: str) -> tuple[Colour, ...]:
    """The eight colours with what each covers in the mine, from black to white by code.

    Parameters
    ----------
    code : ndarray, (y, x), uint8
        0..7, bit 0 the red year; anything else: no data, or ground that can't be decided.
    grid : GeoBox
    mine : Mine
    years : sequence of three int
        Oldest first.
    order : str
        ``"oldest-red"`` or ``"newest-red"``: which year is bit 0.

    Raises
    ------
    BadInput
        If code and grid differ in shape, there are not three years, or the order is unknown.
    """
    code = _checked(code, grid)
    own, areas = inside(mine.geometry, grid), pixel_areas(grid)
    return tuple(
        Colour(k, name, active, int((own & (code == k)).sum()), float(areas[own & (code == k)].sum()))
        for k, (name, active) in enumerate(colour_years(years, order))
    )


@picture
def code_sheet(code, grid: GeoBox, mine: Mine, years, order: str = "oldest-red", height=None) -> Figure:
    """One sheet with a small map for each of the eight colours.

    Parameters
    ----------
    code, grid, mine, years, order : as `count_colours`
    height : ndarray, (y, x), float, optional
        m; drawn as a faint relief.

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    BadInput
        As `count_colours`.
    """
    colours = count_colours(code, grid, mine, years, order)
    shape = np.shape(code)
    narrow, wide = LAYOUTS
    columns, rows, limit = wide if _fit(shape, wide)[1] > 1.5 * _fit(shape, narrow)[1] else narrow
    (width, tall), _ = _fit(shape, (columns, rows, limit))
    cell = (SHEET_WIDTH - 2 * EDGE - (columns - 1) * GAP) / columns
    total = SHEET_WIDTH, 64 + rows * (tall + CAPTION + GAP) + 44
    figure = new_sheet(*total)
    span = f"{years[0]}–{years[-1]}" if len(set(np.diff(years))) == 1 else ", ".join(map(str, years))
    headline(
        figure, EDGE, total[1], total[0] - 2 * EDGE, (mine.name or mine.id, f"{span}: each colour of the composite")
    )
    polygon, own, relief = on_grid(mine.geometry, grid), inside(mine.geometry, grid), _relief(height, grid)
    for position, k in enumerate(ORDER):
        row, column = divmod(position, columns)
        left = EDGE + column * (cell + GAP)
        top = total[1] - 64 - row * (tall + CAPTION + GAP)
        pixels = resized(_panel(np.asarray(code), k, own, relief), (width, tall))
        place = Place(grid, round(left), round(top - CAPTION - pixels.shape[0]), pixels.shape[1], pixels.shape[0])
        _caption(figure, colours[k], left, top)
        place_map(figure, pixels, place, polygon, outline=0.9)
    legend(figure, EDGE, 46, "", [(UNKNOWN, "no data in one of the years, or never coherent")])
    scale_and_north(figure, place, SHEET_WIDTH - EDGE - 190, 8)
    return figure


@picture
def code_picture(code, grid: GeoBox, mine: Mine, colour: Colour, height=None) -> Figure:
    """A map of its own for one of the eight colours.

    Parameters
    ----------
    code, grid, mine, height : as `code_sheet`
    colour : Colour
        One of those that `count_colours` returns.

    Returns
    -------
    bytes
        A PNG.
    """

    def side(figure, x, top, bottom):
        entries = [(code_colour(colour.code), f"{years_label(colour.years)}\n{_amount(colour, newline=True)}")]
        below = legend(figure, x, top, "active in", [*entries, (_ground(colour.code), "the mine, otherwise")])
        legend(figure, x, below + LINE, "", [(UNKNOWN, "no data in a year,\nor never coherent")])

    own = inside(mine.geometry, grid)
    image = _panel(_checked(code, grid), colour.code, own, _relief(height, grid))
    return map_figure(image, grid, mine, f"{colour.name}: active in {years_label(colour.years)}", side)


def _checked(code, grid):
    code = np.asarray(code)
    if code.shape != tuple(grid.shape):
        raise BadInput(f"a code must have the grid's shape {tuple(grid.shape)}, instead got {code.shape}")
    return code


def _fit(shape, layout):
    """Room of one map (px) in a layout, and the scale that it is drawn at there."""
    columns, _, limit = layout
    width = int((SHEET_WIDTH - 2 * EDGE - (columns - 1) * GAP) / columns)
    scale = min(width / shape[1], limit / shape[0])
    whole = int(scale) if scale >= 1 else scale
    return (width, max(1, round(shape[0] * whole))), whole


def _ground(code: int) -> tuple[float, float, float]:
    """Grey of the mine's other pixels: far from the colour in lightness."""
    red, green, blue = code_colour(code)
    return ((DARK if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else LIGHT),) * 3


def _panel(code, wanted: int, own, relief):
    """(y, x, 3) uint8: the pixels of one code in its colour over grey ground."""
    ground = np.where(own, _ground(wanted)[0], AROUND)
    # light may only darken light ground and lighten dark ground: the colour has to stay apart from it
    shaded = np.clip(ground + relief * np.where(ground > 0.5, 1.0, 0.6), 0.0, 1.0)
    image = np.repeat(np.rint(255 * shaded).astype(np.uint8)[..., None], 3, axis=2)
    image[own & (code > 7)] = in_bytes(UNKNOWN)
    image[own & (code == wanted)] = in_bytes(code_colour(wanted))
    return image


def _relief(height, grid):
    """(y, x) in -RELIEF..RELIEF: how much lighter a slope is than flat ground; 0 where the height is unknown."""
    if height is None:
        return np.zeros(grid.shape)
    height = np.asarray(height, np.float64)
    if height.shape != tuple(grid.shape):
        raise BadInput(f"height must have the grid's shape {tuple(grid.shape)}, instead got {height.shape}")
    if min(height.shape) < 2:
        return np.zeros(grid.shape)
    down, east = np.gradient(height, abs(grid.affine.e), abs(grid.affine.a))  # rows count southwards
    # normal of the surface: (-dz/dx, -dz/dnorth, 1)
    light = (-east * _SUN[0] + down * _SUN[1] + _SUN[2]) / np.sqrt(1.0 + east**2 + down**2)
    return np.clip(np.nan_to_num(2.0 * (light - _SUN[2])), -1.0, 1.0) * RELIEF


def _caption(figure, colour: Colour, left: float, top: float) -> None:
    box(figure, left, top - 20, 26, 12, facecolor=code_colour(colour.code))
    write(figure, left + 35, top - 19, colour.name, 10, weight="bold")
    write(figure, left, top - 39, years_label(colour.years), 9)
    write(figure, left, top - 57, _amount(colour), 8.5, color="0.25")


def _amount(colour: Colour, newline: bool = False) -> str:
    return f"{colour.pixels:,} pixels{chr(10) if newline else ', '}{colour.area / 1e6:.2f} km²"
