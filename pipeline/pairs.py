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
    pairs, instants = [], np.array(times, "M8[ns]")
    first, last = 0, len(instants)
    if year is not None:  # years before and after have no part in it, but for what the longest interval reaches
        reach = np.timedelta64(max(high for _, high in settings.temporal_baselines) + 1, "D")
        ends = np.datetime64(f"{year}-01-01") - reach, np.datetime64(f"{year + 1}-01-01") + reach
        first, last = np.searchsorted(instants, np.array(ends, "M8[ns]"))
    for s in range(int(first), int(last)):
        days = np.rint((instants[s] - instants[first:s]) / _DAY)  # as `temporal_baseline`, of all earlier ones at once
        for low, high in settings.temporal_baselines:
            fitting = np.flatnonzero((low <= days) & (days <= high))
            if fitting.size:
                pair = Pair(int(first + fitting[-1]), s)
                owner = instants[s if settings.pair_year == "secondary" else pair.reference]
                if year is None or np.datetime64(owner, "Y").astype(int) + 1970 == year:
                    pairs.append(pair)
                break
    return pairs


def dates_of(pairs: Sequence[Pair]) -> list[int]:
    """Positions of the dates that the pairs need, rising."""
    return sorted({k for pair in pairs for k in (pair.reference, pair.secondary)})
