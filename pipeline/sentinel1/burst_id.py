r"""Burst numbers: where on the repeat cycle a burst lies, the same for every date, platform and slicing.

    number = 1 + floor(((t_mid - t_anx + (r - 1) T_orb - T_pre) mod T_cycle) / T_beam)

t_mid is the middle of the cycle's IW2 burst, t_anx the ascending node passage that starts relative orbit r. All three
subswaths of one TOPS cycle share the number. Source: ESA, Sentinel-1 Level 1 Detailed Algorithm Definition,
S1-TN-MDA-52-7445, eq. 9-89, with the constants of the burst ID map.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..constants import BURST_BEAM_TIME, BURST_PREAMBLE_TIME, CYCLE_DAYS, ORBIT_TIME, ORBITS_PER_CYCLE

CYCLE_TIME = CYCLE_DAYS * 86_400.0  # s

# s from the middle of a subswath's burst to the middle of the same cycle's IW2 burst, in zero-Doppler time: median over
# annotations of 2014 to 2025, which scatter by 0.01 s. The IW2 middle lies 0.8 to 1.4 s after the number changes.
TO_IW2 = {"IW1": 0.955, "IW2": 0.0, "IW3": -0.961}


def burst_number(
    mid_time: NDArray[np.float64], swath: str, start_track: int, stop_track: int | None = None
) -> NDArray[np.int64]:
    """Number of each burst in the repeat cycle, 1 to 375,888.

    Parameters
    ----------
    mid_time : array_like, (burst,), float64
        Zero-Doppler time of the burst's middle line, s since the ascending node that the annotation names. For a
        product just after a node that may still be the node before; it is recognised.
    swath : {"IW1", "IW2", "IW3"}
        Subswath of these bursts.
    start_track, stop_track : int
        Relative orbit at the product's start and stop. They differ where the product crosses the ascending node.

    Returns
    -------
    ndarray, (burst,), int64
    """
    mid_time = np.asarray(mid_time, np.float64)
    stop_track = start_track if stop_track is None else stop_track
    if stop_track == start_track:
        # A whole orbit after its node a burst would be in the next track: then the node named is the previous orbit's.
        track = np.where(mid_time >= ORBIT_TIME, start_track - 1, start_track)
    else:
        # Such a product lies at the node: times near a whole orbit count from the start track's node.
        track = np.where(mid_time > 0.5 * ORBIT_TIME, start_track, stop_track)
    since_cycle_start = mid_time + TO_IW2[swath] + (track - 1) * ORBIT_TIME - BURST_PREAMBLE_TIME
    return 1 + np.floor(np.mod(since_cycle_start, CYCLE_TIME) / BURST_BEAM_TIME).astype(np.int64)


def burst_track(number: int) -> int:
    """Relative orbit (1 to 175) on which the TOPS cycle of a burst number begins.

    A function of the number alone, so that a burst at the ascending node keeps its id whichever slice it comes in.
    """
    return int((BURST_PREAMBLE_TIME + (number - 1) * BURST_BEAM_TIME) // ORBIT_TIME) % ORBITS_PER_CYCLE + 1


def burst_id(track: int, number: int, swath: str) -> str:
    """Identifier of a burst, as in ``"t088_185683_iw2"``."""
    return f"t{track:03d}_{number:06d}_{swath.lower()}"
