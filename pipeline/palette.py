"""The colours of everything that is drawn: classes, index, years, missing. One source for pictures, files and pages.

The index runs from near black over violet and red to a light sand. Its lightness (L*) rises from 4 to 94, evenly for
full colour vision and at no place with less than half of that pace for readers who see no red, no green or no blue, so
that more is lighter for everyone. The classes are at least 20 L* apart, which tells them apart without any hue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .variables import ACTIVE, INACTIVE, INCOHERENT, NO_DATA

Colour = tuple[int, int, int]

MISSING: Colour = (217, 217, 217)  # light grey, in no ramp and in no composite; where a file can, it is transparent
CLASSES: dict[int, Colour] = {
    NO_DATA: MISSING,
    INACTIVE: (41, 61, 107),
    ACTIVE: (250, 191, 46),
    INCOHERENT: (92, 143, 128),
}
# The index at 0, 1/8 … 1 of its range.
RAMP: tuple[Colour, ...] = (
    (5, 14, 29),
    (26, 32, 87),
    (95, 33, 120),
    (150, 49, 118),
    (216, 43, 114),
    (247, 93, 101),
    (250, 149, 112),
    (252, 195, 143),
    (253, 236, 199),
)


def ramp(levels: int = 256) -> NDArray[np.uint8]:
    """The index's colours, (level, 3) uint8, from the lowest value of its range to the highest."""
    at, shown = np.linspace(0.0, 1.0, len(RAMP)), np.linspace(0.0, 1.0, levels)
    channels = [np.interp(shown, at, [colour[band] for colour in RAMP]) for band in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def shades(level) -> NDArray[np.uint8]:
    """Colours (…, 4) uint8 of an index that is scaled to 0..1; what lies outside has the end's, NaN is transparent."""
    level = np.asarray(level, np.float64)
    known = np.isfinite(level)
    number = np.rint(np.clip(np.where(known, level, 0.0), 0.0, 1.0) * 255).astype(np.uint8)
    image = np.concatenate([ramp()[number], np.full((*level.shape, 1), 255, np.uint8)], axis=-1)
    image[~known] = 0
    return image


def year_colour(code: int) -> Colour:
    """The additive mixture of a code of three bits: bit 0 red, bit 1 green, bit 2 blue."""
    return 255 * (code & 1), 255 * (code >> 1 & 1), 255 * (code >> 2 & 1)
