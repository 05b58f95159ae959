"""What every picture is drawn with: a sheet measured in pixels, text, legend, and PNG bytes.

Positions are pixels from the lower left corner. Maps are laid out without matplotlib's axes: a map's pixels are a whole
number of screen pixels each, so that they are all of one size, and nothing is drawn that isn't seen. The PNG encoder
knows that a map repeats its rows: each row is stored as its difference from the row above, which deflates to fewer
bytes than the usual choice among five filters, in a third of the time.
"""

from __future__ import annotations

import functools
import struct
import threading
import zlib
from collections.abc import Callable, Iterable

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import IdentityTransform

DPI = 120  # px an inch; texts are given in points (1/72 inch)
LINE = 19  # px from one line of legend to the next
SWATCH = (26, 12)  # px
COMPRESSION = 5
BLACK = (0.0, 0.0, 0.0, 1.0)
_PIXELS = IdentityTransform()
_LOCK = threading.Lock()
_STYLE = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}


def picture(draw: Callable[..., Figure]) -> Callable[..., bytes]:
    """Turn a function that makes a figure into one that returns it as PNG bytes; the figure's stays in ``__wrapped__``.

    A style that the program around has set doesn't show: same arrays, same bytes.
    """

    @functools.wraps(draw)
    def drawn(*args, **kwargs) -> bytes:
        # the style is global in matplotlib: two threads that swap it at the same time would leave the wrong one
        with _LOCK, matplotlib.rc_context(_STYLE):
            figure = draw(*args, **kwargs)
            figure.canvas.draw()
            # the sheet is white and opaque, a fourth channel would only be larger; no date, no version
            return encode_png(np.asarray(figure.canvas.buffer_rgba())[..., :3])

    return drawn


class _Pixels(Artist):
    """An image drawn pixel for pixel: matplotlib's own artists resample even where nothing changes."""

    zorder = 0

    def __init__(self, image, x, y):
        super().__init__()
        height, width = image.shape[:2]
        self._image = np.full((height, width, 4), 255, np.uint8)
        self._image[..., :3] = image[::-1]  # the renderer counts rows from below
        self._at = round(x), round(y)

    def draw(self, renderer):
        """Called by the figure."""
        state = renderer.new_gc()
        renderer.draw_image(state, *self._at, self._image)
        state.restore()


def new_sheet(width: float, height: float) -> Figure:
    """An empty white figure of so many pixels."""
    figure = Figure((round(width) / DPI, round(height) / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def write(figure: Figure, x: float, y: float, text: str, size: float = 9.0, **style) -> Text:
    """Text with its baseline (or what ``va`` says) at a place."""
    return figure.text(x, y, text, fontsize=size, transform=_PIXELS, **style)


def paste(figure: Figure, image, x: float, y: float) -> None:
    """An image (y, x, 3) uint8, its lower left pixel at a place; below everything else."""
    figure.add_artist(_Pixels(image, x, y))


def box(figure: Figure, x: float, y: float, width: float, height: float, **style) -> Rectangle:
    """A rectangle; a thin black edge unless ``style`` says otherwise."""
    # 0.6 pt is one pixel; the renderer moves the line to the next one, which with these offsets lies outside the place
    style = {"edgecolor": "black", "facecolor": "none", "linewidth": 0.6, **style}
    corner = (x - 0.75, y - 0.25)
    return figure.add_artist(Rectangle(corner, width + 1, height + 1, transform=_PIXELS, **style))


def line(figure: Figure, x, y, **style) -> Line2D:
    """A line through places."""
    return figure.add_artist(Line2D(x, y, transform=_PIXELS, **style))


def text_width(text: Text) -> float:
    """Width of a drawn text, px."""
    return text.get_window_extent(text.get_figure(root=True).canvas.get_renderer()).width


def shorten(text: Text, width: float) -> Text:
    """Cut a text, with an ellipsis, until it fits into a width (px)."""
    words = text.get_text()
    keep = len(words)
    while keep > 1 and text_width(text) > width:
        keep = min(keep - 1, int(keep * width / text_width(text)) + 1)
        text.set_text(words[:keep].rstrip() + "…")
    return text


def headline(figure: Figure, x: float, top: float, width: float, words: tuple[str, str]) -> None:
    """A bold title and a plain line below it."""
    shorten(write(figure, x, top - 27, words[0], 12.5, weight="bold"), width)
    shorten(write(figure, x, top - 49, words[1], 9.5, color="0.25"), width)


def legend(figure: Figure, x: float, top: float, title: str, entries: Iterable[tuple]) -> float:
    """A title and one swatch with its label a line; returns the height below the last.

    Parameters
    ----------
    entries : iterable of (colour, label)
        A label may have several lines.
    """
    y = top - LINE
    write(figure, x, y + 4, title, 9.5, color="0.25")
    for colour, label in entries:
        y -= LINE
        box(figure, x, y + 2, *SWATCH, facecolor=colour)
        write(figure, x + SWATCH[0] + 9, y + SWATCH[1] + 3, label, va="top", linespacing=1.15)
        y -= (LINE - 1) * label.count("\n")
    return y


def encode_png(image) -> bytes:
    """PNG bytes of an image; only the image decides them.

    Parameters
    ----------
    image : ndarray, (y, x, 3) or (y, x, 4), uint8
        RGB, or RGBA with its alpha not multiplied in.
    """
    height, width, channels = image.shape
    rows = np.ascontiguousarray(image).reshape(height, width * channels)
    lines = np.empty((height, 1 + rows.shape[1]), np.uint8)
    lines[:, 0] = 2  # filter "up": the difference from the row above, modulo 256
    lines[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
    per_metre = round(DPI / 0.0254)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 6, 0, 0, 0)),
            _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), COMPRESSION)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
