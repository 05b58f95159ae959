r"""The documented classes: the three-year composite split by hue, saturation and value.

Climate TRACE (Jolleys & Duddy, 2023) splits its red-green-blue composite of three annual indices in HSV space into red,
green, blue, cyan, magenta, yellow, white and black, and counts a year's area from the colours that contain it. It does
not say where the limits are; METHODS section 5 chooses them. With the index stretched to 0..1 over an absolute range,
V the largest of the three channels, S = (V - smallest) / V and the hue H in degrees,

    black    V < hsv_value
    white    S < hsv_saturation, of the others
    else     the sector of 60 degrees that H lies in, about 0 red, 60 yellow, 120 green, 180 cyan, 240 blue, 300 magenta

Every pixel has one colour, and an even hue belongs to the sector that begins there (30 degrees is yellow).

A year's answer depends on the two others. An index of (0.40, 0.20, 0.05) is red, so the second year counts as inactive,
although 0.20 is far above what quiet ground shows; beside two quiet years the same 0.20 is active. That is why this
is not the default.
"""

from __future__ import annotations

import numpy as np

from ..settings import Settings
from .composite import NO_COLOUR, channels

BLACK, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, WHITE = range(8)  # positions in `composite.COLOUR_NAMES`
SECTORS = np.array([RED, YELLOW, GREEN, CYAN, BLUE, MAGENTA], np.uint8)


def hue_code(ndai, settings: Settings):
    """Colour of every pixel from the indices of three years.

    Parameters
    ----------
    ndai : ndarray, (3, y, x), float
        Annual index, oldest year first; NaN where missing.
    settings : Settings
        ``composite_stretch``, ``composite_order``, ``hsv_value``, ``hsv_saturation``.

    Returns
    -------
    ndarray, (y, x), uint8
        Position in ``composite.COLOUR_NAMES``, bit 0 the red year; ``composite.NO_COLOUR`` where a year is missing.

    Raises
    ------
    BadInput
        As `composite.composite`.
    """
    level, known = channels(ndai, settings.composite_stretch, settings.composite_order)
    red, green, blue = level
    value, span = level.max(axis=0), np.ptp(level, axis=0)
    # piecewise as usual: which channel is the largest decides the third of the circle, in units of 60 degrees
    safe = np.where(span > 0.0, span, 1.0)
    hue = np.select(
        [value == red, value == green], [(green - blue) / safe, 2.0 + (blue - red) / safe], 4.0 + (red - green) / safe
    )
    code = SECTORS[np.floor(hue + 0.5).astype(np.int64) % 6]
    code = np.where(span < settings.hsv_saturation * value, WHITE, code)
    code = np.where(value < settings.hsv_value, BLACK, code)
    return np.where(known, code, NO_COLOUR).astype(np.uint8)


def hue_active(code, position: int, order: str):
    """(y, x) bool: the colour contains the channel of a year, 0 the oldest of the three."""
    bit = position if order == "oldest-red" else 2 - position
    return (np.asarray(code) != NO_COLOUR) & (np.asarray(code) >> bit & 1 == 1)


def composite_years(year: int, years) -> tuple[int, int, int] | None:
    """The three consecutive years that decide about one: it and the two before, else around it, else from it on.

    None where no three consecutive years among ``years`` hold it.
    """
    there = set(years)
    for first in (year - 2, year - 1, year):
        if {first, first + 1, first + 2} <= there:
            return first, first + 1, first + 2
    return None
