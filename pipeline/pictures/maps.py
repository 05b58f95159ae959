"""Maps that people look at: a year's index, its classes, three years as colours; and the thumbnail.

Colours mean the same at every mine: the stretch is absolute (`Settings.composite_stretch`), and the colours of index
and classes (`palette`) keep their order for every kind of colour blindness. Legend, scale and north stand beside the
map, where a small or a narrow mine has room for them and nothing is hidden.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from matplotlib.transforms import Bbox, IdentityTransform, TransformedBbox
from odc.geo.geobox import GeoBox
from PIL import Image
from shapely.geometry.base import BaseGeometry

from ..activity.composite import colour_years
from ..errors import BadInput
from ..grid import on_grid
from ..model import Mine
from ..palette import CLASSES, ramp, shades, year_colour
from ..palette import MISSING as MISSING_COLOUR
from ..settings import Settings
from ..variables import ACTIVE, INACTIVE, INCOHERENT, NO_DATA
from .drawing import BLACK, LINE, box, encode_png, headline, legend, line, new_sheet, paste, picture, write


def in_units(colour) -> tuple[float, float, float, float]:
    """A colour of bytes as matplotlib takes it: red, green, blue, alpha in 0..1."""
    red, green, blue = (channel / 255 for channel in colour)
    return red, green, blue, 1.0


COLOUR_MAP = ListedColormap(ramp() / 255.0, name="pitpulse-ndai")
MISSING = in_units(MISSING_COLOUR)
CLASS_STYLE = tuple(  # value, colour, label
    (value, in_units(CLASSES[value]), label)
    for value, label in (
        (NO_DATA, "no data"),
        (INACTIVE, "inactive"),
        (ACTIVE, "active"),
        (INCOHERENT, "never coherent\n(water, vegetation)"),
    )
)
THUMBNAIL_SIZE = 512  # px, the longer side at most
MAP_SIZE = 800  # px, the longer side at most
SMALLEST = (420, 430)  # px, of the room for a map: titles and legend need it where the map doesn't
EDGE, TITLE, COLUMN = 18, 64, 224  # px around, above and beside a map


@picture
def ndai_picture(ndai, grid: GeoBox, mine: Mine, year: int, settings: Settings) -> Figure:
    """Map of a year's activity index with a colour bar.

    Parameters
    ----------
    ndai : ndarray, (y, x), float
        Annual index; NaN is drawn grey.
    grid : GeoBox
        Its grid, projected, metres.
    mine : Mine
        Name and outline.
    year : int
    settings : Settings
        ``composite_stretch``: the limits of the colours.

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    BadInput
        If array and grid differ in shape.
    """
    image = filled(_coloured(ndai, settings))

    def side(figure, x, top, bottom):
        _colour_bar(figure, x, top, bottom, settings)

    return map_figure(image, grid, mine, f"{year}: activity index", side)


@picture
def composite_picture(rgba, grid: GeoBox, mine: Mine, years, settings: Settings) -> Figure:
    """Map of three years as red, green and blue, with what each of the eight colours means.

    Parameters
    ----------
    rgba : ndarray, (y, x, 4), uint8
        As `activity.composite.composite`, transparent where a year is missing.
    grid, mine : as `ndai_picture`
    years : sequence of three int
        Oldest first.
    settings : Settings
        ``composite_order`` and ``composite_stretch``, which the legend states.

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    BadInput
        If array and grid differ in shape, or there are not three years.
    """
    meaning = colour_years(years, settings.composite_order)
    order = [7, 1, 2, 4, 3, 5, 6, 0]  # all three, one year each, two years each, none
    entries = [(code_colour(k), years_label(meaning[k][1])) for k in order] + [(MISSING, "no data")]
    low, high = settings.composite_stretch
    note = [f"{name} = {active[0]}" for name, active in (meaning[k] for k in (1, 2, 4))]
    note += ["brightness:", f"NDAI {low:g} to {high:g}"]

    def side(figure, x, top, bottom):
        bottom = legend(figure, x, top, "active in", entries)
        write(figure, x, bottom - LINE, "\n".join(note), 8, va="top", color="0.25", linespacing=1.3)

    return map_figure(filled(rgba), grid, mine, f"{years[0]}–{years[-1]}: where the ground was worked", side)


@picture
def class_picture(classes, grid: GeoBox, mine: Mine, year: int) -> Figure:
    """Map of a year's classes with a legend.

    Parameters
    ----------
    classes : ndarray, (y, x), uint8
        Values of `variables`: no data, inactive, active, permanently incoherent.
    grid, mine, year : as `ndai_picture`

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    BadInput
        If array and grid differ in shape, or the array holds another class.
    """
    classes = np.asarray(classes)
    if classes.size and classes.max() >= len(CLASS_STYLE):
        raise BadInput(f"classes must be 0..{len(CLASS_STYLE) - 1}, instead got {classes.max()}")
    table = np.array([in_bytes(colour)[:3] for _, colour, _ in sorted(CLASS_STYLE)])

    def side(figure, x, top, bottom):
        legend(figure, x, top, "class", [(colour, label) for _, colour, label in CLASS_STYLE])

    return map_figure(table[classes], grid, mine, f"{year}: activity classes", side)


def thumbnail(image, settings: Settings) -> bytes:
    """A small plain picture of a year: no text, no outline, transparent where nothing is known.

    Parameters
    ----------
    image : ndarray, (y, x) float or (y, x, 4) uint8
        An annual index, or a composite.
    settings : Settings
        ``composite_stretch`` for an index.

    Returns
    -------
    bytes
        An RGBA PNG of at most 512 px a side, north up; small maps are enlarged by a whole factor.

    Raises
    ------
    BadInput
        For an array of another shape.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = _coloured(image, settings)
    if image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8 or not image.size:
        raise BadInput(f"a thumbnail needs (y, x) float or (y, x, 4) uint8, instead got {image.shape} {image.dtype}")
    return encode_png(resized(image, (THUMBNAIL_SIZE, THUMBNAIL_SIZE)))


def map_figure(image, grid: GeoBox, mine: Mine, title: str, side: Callable) -> Figure:
    """A map with title, outline, frame, scale and north.

    Parameters
    ----------
    image : ndarray, (y, x, 3), uint8
    grid : GeoBox
    mine : Mine
    title : str
        Below the mine's name.
    side : callable
        Draws what stands beside the map: called with the figure, x, top and bottom of the free column (px).

    Raises
    ------
    BadInput
        If image and grid differ in shape.
    """
    pixels = _fitting(image, grid, (MAP_SIZE, MAP_SIZE))
    height, width = pixels.shape[:2]
    room = max(width, SMALLEST[0]), max(height, SMALLEST[1])
    total = (room[0] + COLUMN + 2 * EDGE, room[1] + TITLE + EDGE)
    figure = new_sheet(*total)
    place = Place(grid, EDGE, total[1] - TITLE - height, width, height)
    place_map(figure, pixels, place, on_grid(mine.geometry, grid))
    headline(figure, EDGE, total[1], total[0] - 2 * EDGE, (mine.name or mine.id, title))
    x = EDGE + width + 20
    side(figure, x, total[1] - TITLE, EDGE + 70)
    scale_and_north(figure, place, x, EDGE)
    return figure


@dataclass(frozen=True)
class Place:
    """Where a map stands on the sheet, px."""

    grid: GeoBox
    left: float
    bottom: float
    width: float
    height: float

    @property
    def metre(self) -> float:
        """Pixels of the sheet a metre of the grid."""
        return self.width / self.grid.extent.boundingbox.span_x

    def pixels(self, x, y):
        """Map coordinates to pixels of the sheet."""
        area = self.grid.extent.boundingbox
        across, up = self.width / area.span_x, self.height / area.span_y
        return self.left + (np.asarray(x) - area.left) * across, self.bottom + (np.asarray(y) - area.bottom) * up


def place_map(figure: Figure, pixels, place: Place, polygon: BaseGeometry, outline: float = 1.4) -> None:
    """Pixels, outline and frame; ``pixels`` have the place's size, ``polygon`` the grid's coordinates."""
    paste(figure, pixels, place.left, place.bottom)
    window = TransformedBbox(Bbox.from_bounds(place.left, place.bottom, place.width, place.height), IdentityTransform())
    # a bend of less than half a pixel isn't seen but takes its time
    polygon = polygon.simplify(0.3 / place.metre)
    for part in getattr(polygon, "geoms", [polygon]):
        for ring in (part.exterior, *part.interiors):
            x, y = place.pixels(*ring.coords.xy)
            for colour, width in (("black", outline + 1.8), ("white", outline)):  # seen on light and on dark ground
                line(
                    figure, x, y, color=colour, linewidth=width, solid_joinstyle="round", solid_capstyle="round"
                ).set_clip_box(window)
    box(figure, place.left, place.bottom, place.width, place.height, zorder=4)


def scale_and_north(figure: Figure, place: Place, x: float, bottom: float, width: float = 150.0) -> None:
    """A bar of 1, 2 or 5 times a power of ten of at most ``width`` px, and an arrow to the north beside it."""
    power = 10.0 ** math.floor(math.log10(width / place.metre))
    length = max(m * power for m in (1, 2, 5) if m * power * place.metre <= width)
    bar = length * place.metre
    box(figure, x, bottom + 2, bar, 7, facecolor="white", linewidth=0.8)
    figure.add_artist(Rectangle((x, bottom + 2), bar / 2, 7, transform=IdentityTransform(), facecolor="black"))
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    write(figure, x + bar / 2, bottom + 15, label, ha="center")
    tip, half = x + width + 26, 6
    arrow = [(tip - half, bottom + 20), (tip, bottom + 40), (tip + half, bottom + 20), (tip, bottom + 25)]
    figure.add_artist(Polygon(arrow, transform=IdentityTransform(), facecolor="black", linewidth=0))
    write(figure, tip, bottom + 2, "N", 10.5, ha="center", weight="bold")


def resized(image, limit: tuple[int, int], smallest: int = 1):
    """An image of at most (x, y) px: enlarged by the largest whole factor that fits, else reduced by averaging."""
    height, width = image.shape[:2]
    factor = min(limit[0] / width, limit[1] / height)
    if factor >= 1:
        return np.repeat(np.repeat(image, int(factor), axis=0), int(factor), axis=1)
    size = max(smallest, round(width * factor)), max(smallest, round(height * factor))
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.BOX))


def filled(rgba):
    """(y, x, 3) uint8: what is transparent becomes the grey of missing values."""
    rgba = np.asarray(rgba, np.uint8)
    return np.where(rgba[..., 3:] == 0, in_bytes(MISSING)[:3], rgba[..., :3])


def in_bytes(colour):
    """A colour of numbers in 0..1 as uint8."""
    return np.rint(255 * np.array(colour)).astype(np.uint8)


def code_colour(code: int) -> tuple[float, float, float]:
    """The additive colour of a three-bit code; bit 0 is red."""
    return in_units(year_colour(code))[:3]


def years_label(active: Sequence[int]) -> str:
    """``(2020, 2022)`` as words."""
    if not active:
        return "none of the years"
    return "all three years" if len(active) == 3 else " and ".join(str(year) for year in active)


def _fitting(image, grid, limit):
    if image.shape[:2] != tuple(grid.shape):
        raise BadInput(f"a picture must have the grid's shape {tuple(grid.shape)}, instead got {image.shape[:2]}")
    return resized(image, limit)


def _coloured(ndai, settings):
    """(y, x, 4) uint8 in the index's colours, transparent where NaN."""
    ndai = np.asarray(ndai, np.float64)
    low, high = settings.composite_stretch
    return shades((ndai - low) / (high - low))


def _colour_bar(figure, x, top, bottom, settings):
    """The colours of the index from top to bottom, with numbers, and the grey of missing values below."""
    low, high = settings.composite_stretch
    bottom, top, width = bottom + 2 * LINE, top - 14, 24
    height = int(min(top - bottom, 420))
    bottom = int(top - height)
    paste(figure, np.repeat(ramp(height)[::-1, None], width, axis=1), x, bottom)
    box(figure, x, bottom, width, height)
    steps = 5 if height < 300 else 9
    for k in range(steps + 1):
        y = bottom + round(height * k / steps)
        mark = {0: "≤ ", steps: "≥ "}.get(k, "")
        line(figure, (x + width, x + width + 5), (y, y), color=BLACK, linewidth=0.7)
        write(figure, x + width + 9, y, f"{mark}{low + (high - low) * k / steps:.2f}", va="center_baseline")
    middle = bottom + height / 2
    write(figure, x + 104, middle, "annual NDAI\n(0: as coherent as stable ground)", ha="center", va="center",
          rotation=90, linespacing=1.4)  # fmt: skip
    legend(figure, x, bottom + 4, "", [(MISSING, "no data")])
