"""Three years as one colour picture and as eight colours: where the ground was worked in which year.

The stretch is absolute (the same index gives the same colour at every mine and in every year), and the order of the
years is a setting that is stored with the product: Climate TRACE puts the oldest year in red, ML21 the newest.

A colour is a 3-bit code, the sum of 1 where the red year was active, 2 the green and 4 the blue one. Whatever decides
which years were active (`classify`), the eight colours are exclusive and exhaustive, and white counts in every year.
"""

from __future__ import annotations

import numpy as np

from ..errors import BadInput

ORDERS = ("oldest-red", "newest-red")
# The additive mixture of the years that were active, from no year to all three; bit 0 is the red year.
COLOUR_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
NO_COLOUR = 255  # code where a year is unknown


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
    level, known = channels(ndai, stretch, order)
    colour = np.rint(255.0 * level).astype(np.uint8)
    return np.concatenate([colour, np.where(known, np.uint8(255), np.uint8(0))[None]]).transpose(1, 2, 0)


def channels(ndai, stretch: tuple[float, float], order: str):
    """Red, green and blue of three years before they are rounded; arguments and errors as `composite`.

    Returns
    -------
    level : ndarray, (3, y, x), float64
        0..1; 0 where any of the years is missing.
    known : ndarray, (y, x), bool
        Where none is.
    """
    ndai = np.asarray(ndai, np.float64)
    low, high = stretch
    if ndai.ndim != 3 or len(ndai) != 3:
        raise BadInput(f"a composite needs three years (3, y, x), instead got {ndai.shape}")
    if not low < high:
        raise BadInput(f"composite_stretch must rise, instead got {low}..{high}")
    known = np.isfinite(ndai).all(axis=0)
    level = np.where(known, np.clip((ndai - low) / (high - low), 0.0, 1.0), 0.0)
    return level[list(_channel_years(order))], known


def _channel_years(order: str) -> tuple[int, ...]:
    """Which year, counted from the oldest, is red, green and blue."""
    if order not in ORDERS:
        raise BadInput(f"composite_order must be one of {', '.join(ORDERS)}, instead got {order!r}")
    return (0, 1, 2) if order == "oldest-red" else (2, 1, 0)


def year_code(active, known, order: str = "oldest-red"):
    """Eight colours from the answers of any classifier for three years.

    Parameters
    ----------
    active : ndarray, (3, y, x), bool
        Active in each year, oldest first.
    known : ndarray, (3, y, x) or (y, x), bool
        Where there is an answer.
    order : str
        As `composite`.

    Returns
    -------
    ndarray, (y, x), uint8
        Position in ``COLOUR_NAMES``; ``NO_COLOUR`` where any of the years is unknown.

    Raises
    ------
    BadInput
        If there are not three years, shapes differ or the order is unknown.
    """
    active, known = np.asarray(active, bool), np.asarray(known, bool)
    if active.ndim != 3 or len(active) != 3 or known.shape not in (active.shape, active.shape[1:]):
        raise BadInput(f"colours need three years (3, y, x), instead got {active.shape} known on {known.shape}")
    code = sum(active[year].astype(np.uint8) << bit for bit, year in enumerate(_channel_years(order)))
    known = known.all(axis=0) if known.ndim == 3 else known
    return np.where(known, code, NO_COLOUR).astype(np.uint8)


def colour_counts(code, inside=None) -> tuple[int, ...]:
    """Pixels of each of the eight colours, black first; of those ``inside`` (y, x) alone where it is given."""
    code = np.asarray(code)
    chosen = code[code != NO_COLOUR] if inside is None else code[np.asarray(inside, bool) & (code != NO_COLOUR)]
    return tuple(int(n) for n in np.bincount(chosen.ravel(), minlength=len(COLOUR_NAMES)))


def year_pixels(counts, order: str = "oldest-red") -> tuple[int, int, int]:
    """Active pixels of each of the three years, oldest first, from the pixels of the eight colours.

    A year has every colour that contains its channel: its own, two mixtures and white.

    Raises
    ------
    BadInput
        If there are not eight counts, or the order is unknown.
    """
    if len(counts) != len(COLOUR_NAMES):
        raise BadInput(f"counts must be those of {', '.join(COLOUR_NAMES)}, instead got {len(counts)}")
    totals = [0, 0, 0]
    for bit, year in enumerate(_channel_years(order)):
        totals[year] = sum(int(n) for code, n in enumerate(counts) if code >> bit & 1)
    return tuple(totals)


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
    shown = [years[k] for k in _channel_years(order)]
    return tuple(
        (name, tuple(sorted(year for bit, year in enumerate(shown) if code >> bit & 1)))
        for code, name in enumerate(COLOUR_NAMES)
    )
