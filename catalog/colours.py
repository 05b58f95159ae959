"""Colours that travel in metadata and files, with their transparency; `pipeline.palette` chooses them."""

from __future__ import annotations

from pipeline.palette import CLASSES, ramp, year_colour
from pipeline.settings import Settings
from pipeline.variables import NO_DATA

# value: (red, green, blue, alpha); a map lies on others, so that what is missing is transparent
CLASS_COLOURS: dict[int, tuple[int, int, int, int]] = {
    value: (*colour, 255) if value != NO_DATA else (0, 0, 0, 0) for value, colour in CLASSES.items()
}

NO_CODE = 255  # of the code below: one of the years is unknown
# Bit 0, 1, 2 of the code: active in the year shown as red, green, blue; their additive mixtures, none of them black.
YEAR_COLOURS: dict[int, tuple[int, int, int, int]] = {
    **{code: (*year_colour(code), 255) for code in range(8)},
    NO_CODE: (0, 0, 0, 0),
}

# What the pictures span too: the raw index of ground that moves all year reaches 0.45 with 7 x 2 looks.
NDAI_RANGE: tuple[float, float] = Settings().composite_stretch


def colour_ramp() -> dict[str, list[int]]:
    """The index's colour table: 256 keys ``"0"``…``"255"``, each [red, green, blue, 255]."""
    return {str(i): [*map(int, rgb), 255] for i, rgb in enumerate(ramp())}


def hint(value: int) -> str:
    """A class's colour as six hex digits."""
    return "".join(f"{channel:02x}" for channel in CLASS_COLOURS[value][:3])
