"""Three annual indices as one colour picture: where the ground was worked in which year.

The stretch is absolute (the same index gives the same colour at every mine and in every year), and the order of the
years is a setting that is stored with the product: Climate TRACE puts the oldest year in red, ML21 the newest.
"""

from __future__ import annotations

import numpy as np

from ..errors import BadInput

ORDERS = ("oldest-red", "newest-red")
# The additive mixture of the years that were active, from no year to all three; bit 0 is the red year.
COLOUR_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


def composite(ndai, stretch: tuple[float, float] = (0.0, 0.45), order: str = "oldest-red"):
    """RGBA picture of three years.

    Parameters
    ----------
    ndai : ndarray, (year, y, x), float
        Annual index of three years, oldest first; NaN where missing.
    stretch : (float, float)
        Index shown as 0 and as 255.
    order : str
        ``"oldest-red"``: red, green, blue are oldest, middle, newest; ``"newest-red"``: the reverse.

    Returns
    -------
    ndarray, (y, x, 4), uint8
        Alpha is 0, and the colour black, where any of the years is missing: with a year unknown any colour would lie.

    Raises
    ------
    BadInput
        If there are not three years, the stretch is empty or the order unknown.
    """
    ndai = np.asarray(ndai)
    low, high = stretch
    if ndai.ndim != 3 or len(ndai) != 3:
        raise BadInput(f"a composite needs three years (3, y, x), instead got {ndai.shape}")
    if not low < high:
        raise BadInput(f"composite_stretch must rise, instead got {low}..{high}")
    if order not in ORDERS:
        raise BadInput(f"composite_order must be one of {', '.join(ORDERS)}, instead got {order!r}")
    known = np.isfinite(ndai).all(axis=0)
    level = np.where(known, (ndai - low) / (high - low), 0.0)
    colour = np.rint(255.0 * np.clip(level, 0.0, 1.0)).astype(np.uint8)
    colour = colour if order == "oldest-red" else colour[::-1]
    return np.concatenate([colour, np.where(known, np.uint8(255), np.uint8(0))[None]]).transpose(1, 2, 0)


def colour_years(years, order: str = "oldest-red") -> tuple[tuple[str, tuple[int, ...]], ...]:
    """What each of the eight colours means: (colour name, years active), from black to white.

    Parameters
    ----------
    years : sequence of three int
        Oldest first.
    order : str
        As `composite`.

    Raises
    ------
    BadInput
        As `composite`.
    """
    if len(years) != 3:
        raise BadInput(f"a composite needs three years, instead got {tuple(years)}")
    if order not in ORDERS:
        raise BadInput(f"composite_order must be one of {', '.join(ORDERS)}, instead got {order!r}")
    channels = tuple(years) if order == "oldest-red" else tuple(years)[::-1]
    return tuple(
        (name, tuple(sorted(year for bit, year in enumerate(channels) if code >> bit & 1)))
        for code, name in enumerate(COLOUR_NAMES)
    )
