"""Which dates make pairs: the documented 12-day pairs, 24-day ones where a date is missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .model import Pair
from .settings import Settings

_DAY = np.timedelta64(86_400_000_000_000, "ns")


def temporal_baseline(reference, secondary) -> int:
    """Whole days from one zero-Doppler time to the other, rounded."""
    return round(float((np.datetime64(secondary, "ns") - np.datetime64(reference, "ns")) / _DAY))


def find_pairs(times: Sequence[np.datetime64], settings: Settings, year: int | None = None) -> list[Pair]:
    """Pairs of a stack of dates.

    Every date is taken once as the secondary; its reference is the date that lies within the first interval of
    ``settings.temporal_baselines`` that holds any, the nearest if several do. A date without one makes no pair.

    Parameters
    ----------
    times : sequence of datetime64
        Rising.
    year : int, optional
        Only pairs that belong to it: by their secondary date, or as ``settings.pair_year`` says.

    Returns
    -------
    list of Pair
        Sorted by secondary date.
    """
    pairs = []
    for s in range(len(times)):
        for low, high in settings.temporal_baselines:
            fitting = [r for r in range(s) if low <= temporal_baseline(times[r], times[s]) <= high]
            if fitting:
                pair = Pair(fitting[-1], s)
                owner = times[s if settings.pair_year == "secondary" else fitting[-1]]
                if year is None or np.datetime64(owner, "Y").astype(int) + 1970 == year:
                    pairs.append(pair)
                break
    return pairs


def dates_of(pairs: Sequence[Pair]) -> list[int]:
    """Positions of the dates that the pairs need, rising."""
    return sorted({k for pair in pairs for k in (pair.reference, pair.secondary)})
