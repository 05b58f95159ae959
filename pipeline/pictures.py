"""Pictures that people look at: maps with the mine's outline, and the thumbnail.

Every function returns PNG bytes, and the same arrays give the same bytes: no date, no version and no global matplotlib
state enters them. Colours mean the same at every mine: the stretch is absolute (`Settings.composite_stretch`), and the
colour map (inferno) and the classes keep their order for every kind of colour blindness.
"""

from __future__ import annotations

import io
import math

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from odc.geo.geobox import GeoBox
from PIL import Image

from .activity.composite import colour_years
from .errors import BadInput
from .grid import on_grid
from .model import Mine
from .settings import Settings
from .variables import ACTIVE, INACTIVE, INCOHERENT, NO_DATA

COLOUR_MAP = "inferno"
MISSING = (0.85, 0.85, 0.85, 1.0)  # light grey, in no colour map and in no composite
CLASS_STYLE = (  # value, colour, label: told apart by lightness alone
    (NO_DATA, MISSING, "no data"),
    (INACTIVE, (0.16, 0.24, 0.42, 1.0), "inactive"),
    (ACTIVE, (0.98, 0.75, 0.18, 1.0), "active"),
    (INCOHERENT, (0.36, 0.56, 0.50, 1.0), "never coherent\n(water, vegetation)"),
)
THUMBNAIL_SIZE = 512  # px, the longer side at most
DPI = 120
MAP_INCHES = 6.4  # longer side of the map


def ndai_picture(ndai, grid: GeoBox, mine: Mine, year: int, settings: Settings) -> bytes:
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
    norm = Normalize(*settings.composite_stretch)
    image = _coloured(ndai, settings)
    image[image[..., 3] == 0] = np.rint(255 * np.array(MISSING)).astype(np.uint8)
    figure, side = _map(image, grid, mine, f"{_name(mine)} {year}: mine activity")
    bar = figure.colorbar(
        ScalarMappable(norm, colormaps[COLOUR_MAP]), cax=side.inset_axes((0.0, 0.1, 0.16, 0.8)), extend="both"
    )
    bar.set_label("annual NDAI (0 = as coherent as stable ground)")
    return _png(figure)


def composite_picture(rgba, grid: GeoBox, mine: Mine, years, settings: Settings) -> bytes:
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
    image = np.array(rgba, np.uint8)
    image[image[..., 3] == 0] = np.rint(255 * np.array(MISSING)).astype(np.uint8)
    meaning = colour_years(years, settings.composite_order)
    figure, side = _map(image, grid, mine, f"{_name(mine)} {years[0]}–{years[-1]}: where the ground was worked")
    labels = [_years_label(active) for _, active in meaning]
    colours = [tuple(float(code >> bit & 1) for bit in range(3)) for code in range(len(meaning))]
    order = [7, 1, 2, 4, 3, 5, 6, 0]  # all three, one year each, two years each, none
    _legend(side, [(colours[k], labels[k]) for k in order] + [(MISSING, "no data")], "active in")
    low, high = settings.composite_stretch
    channels = [next(a[0] for n, a in meaning if n == name) for name in ("red", "green", "blue")]
    note = "\n".join(f"{name} = {year}" for name, year in zip(("red", "green", "blue"), channels, strict=True))
    side.text(0.0, 0.0, f"{note}\nbrightness:\nNDAI {low:g} to {high:g}", fontsize=8, va="bottom")
    return _png(figure)


def class_picture(classes, grid: GeoBox, mine: Mine, year: int) -> bytes:
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
    table = np.zeros((len(CLASS_STYLE), 4), np.uint8)
    for value, colour, _ in CLASS_STYLE:
        table[value] = np.rint(255 * np.array(colour))
    if classes.size and classes.max() >= len(table):
        raise BadInput(f"classes must be 0..{len(table) - 1}, instead got {classes.max()}")
    figure, side = _map(table[classes], grid, mine, f"{_name(mine)} {year}: activity classes")
    _legend(side, [(colour, label) for _, colour, label in CLASS_STYLE], "class")
    return _png(figure)


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
    picture = Image.fromarray(np.ascontiguousarray(image))
    longest = max(picture.size)
    if longest > THUMBNAIL_SIZE:
        size = [max(1, round(n * THUMBNAIL_SIZE / longest)) for n in picture.size]
        picture = picture.resize(size, Image.Resampling.BOX)
    elif longest * 2 <= THUMBNAIL_SIZE:
        factor = THUMBNAIL_SIZE // longest
        picture = picture.resize([n * factor for n in picture.size], Image.Resampling.NEAREST)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def _coloured(ndai, settings):
    """(y, x, 4) uint8 in the index's colours, transparent where NaN."""
    ndai = np.asarray(ndai, np.float64)
    low, high = settings.composite_stretch
    known = np.isfinite(ndai)
    level = np.clip((np.where(known, ndai, low) - low) / (high - low), 0.0, 1.0)
    image = colormaps[COLOUR_MAP](level, bytes=True)
    image[~known] = 0
    return image


def _name(mine):
    return mine.name or mine.id


def _years_label(active):
    if not active:
        return "none of the years"
    return "all three years" if len(active) == 3 else " and ".join(str(year) for year in active)


def _map(image, grid, mine, title):
    """A figure with the image on the map, outline, scale bar and north arrow; (figure, axes beside it)."""
    if image.shape[:2] != tuple(grid.shape):
        raise BadInput(f"a picture must have the grid's shape {tuple(grid.shape)}, instead got {image.shape[:2]}")
    box = grid.extent.boundingbox
    span = max(box.span_x, box.span_y)
    width, height = max(MAP_INCHES * box.span_x / span, 2.0), max(MAP_INCHES * box.span_y / span, 3.2)
    total_width, total_height = width + 2.3, height + 0.75
    figure = Figure((total_width, total_height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.15 / total_width, 0.15 / total_height, width / total_width, height / total_height))
    # pixels stay pixels: smoothing would invent detail below the 20 m grid
    axes.imshow(image, extent=(box.left, box.right, box.bottom, box.top), interpolation="nearest")
    _outline(axes, mine, grid)
    axes.set(xlim=(box.left, box.right), ylim=(box.bottom, box.top), xticks=[], yticks=[], aspect="equal")
    _scale_bar(axes, box)
    _north_arrow(axes)
    figure.text(0.15 / total_width, 1 - 0.32 / total_height, title, fontsize=12, weight="bold", va="center")
    left = (0.15 + width + 0.2) / total_width
    side = figure.add_axes((left, 0.15 / total_height, 1.9 / total_width, height / total_height))
    side.axis("off")
    return figure, side


def _outline(axes, mine, grid):
    polygon = on_grid(mine.geometry, grid)
    halo = [withStroke(linewidth=3.2, foreground="black")]
    for part in getattr(polygon, "geoms", [polygon]):
        for ring in (part.exterior, *part.interiors):
            axes.plot(*ring.coords.xy, color="white", linewidth=1.4, path_effects=halo)


def _scale_bar(axes, box):
    """A bar of 1, 2 or 5 times a power of ten, about a quarter of the map."""
    wanted = box.span_x / 4
    power = 10.0 ** math.floor(math.log10(wanted))
    length = max(m * power for m in (1, 2, 5) if m * power <= wanted)
    x, y, tall = box.left + 0.04 * box.span_x, box.bottom + 0.04 * box.span_y, 0.012 * box.span_y
    axes.add_patch(Rectangle((x, y), length, tall, facecolor="white", edgecolor="black", linewidth=0.8, zorder=5))
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    halo = [withStroke(linewidth=2.5, foreground="black")]
    axes.text(
        x + length / 2, y + 1.8 * tall, label, color="white", ha="center", fontsize=9, path_effects=halo, zorder=5
    )


def _north_arrow(axes):
    halo = [withStroke(linewidth=2.5, foreground="black")]
    axes.annotate(
        "N",
        xy=(0.95, 0.97),
        xytext=(0.95, 0.87),
        xycoords="axes fraction",
        ha="center",
        va="center",
        color="white",
        fontsize=11,
        weight="bold",
        path_effects=halo,
        arrowprops={"arrowstyle": "-|>", "color": "white", "linewidth": 1.6, "path_effects": halo},
    )


def _legend(side, entries, title):
    handles = [Patch(facecolor=colour, edgecolor="black", linewidth=0.6, label=label) for colour, label in entries]
    side.legend(handles=handles, title=title, loc="upper left", bbox_to_anchor=(-0.05, 1.0), frameon=False, fontsize=9)


def _png(figure) -> bytes:
    out = io.BytesIO()
    # matplotlib would write its version into the file; the picture must not change with it
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
