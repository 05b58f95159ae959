"""Colours that travel in metadata: of the classes and of the index. Chosen to stay apart for colour-blind readers."""

from __future__ import annotations

import numpy as np

from pipeline.variables import ACTIVE, INACTIVE, INCOHERENT, NO_DATA

# value: (red, green, blue, alpha) and what it means to a reader
CLASS_COLOURS: dict[int, tuple[int, int, int, int]] = {
    NO_DATA: (0, 0, 0, 0),
    INACTIVE: (222, 222, 222, 255),
    ACTIVE: (213, 94, 0, 255),
    INCOHERENT: (86, 180, 233, 255),
}

NO_CODE = 255  # of the code below: one of the years is unknown
# Bit 0, 1, 2 of the code: active in the year shown as red, green, blue; their additive mixtures, none of them black.
YEAR_COLOURS: dict[int, tuple[int, int, int, int]] = {
    **{code: (255 * (code & 1), 255 * (code >> 1 & 1), 255 * (code >> 2 & 1), 255) for code in range(8)},
    NO_CODE: (0, 0, 0, 0),
}

NDAI_RANGE = (0.0, 0.45)  # the raw index of ground that moves all year reaches 0.45 with 7 x 2 looks

# Dark blue to yellow with lightness rising evenly, as wide as possible for all kinds of colour vision.
_ANCHORS = ((0, 32, 77), (60, 77, 110), (124, 123, 120), (188, 175, 111), (255, 234, 70))


def colour_ramp() -> dict[str, list[int]]:
    """The index's colour table: 256 keys ``"0"``…``"255"``, each [red, green, blue, 255]."""
    at = np.linspace(0, 255, len(_ANCHORS))
    channels = [np.interp(np.arange(256), at, [colour[band] for colour in _ANCHORS]) for band in range(3)]
    table = np.round(np.stack(channels, axis=1)).astype(int)
    return {str(i): [*map(int, rgb), 255] for i, rgb in enumerate(table)}


def hint(value: int) -> str:
    """A class's colour as six hex digits."""
    return "".join(f"{channel:02x}" for channel in CLASS_COLOURS[value][:3])
