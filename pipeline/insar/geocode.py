"""From the reference's radar geometry to the mine's map grid.

Each map pixel, at its terrain height, is projected into every burst once per stack: a lookup table of lines and samples. A
pixel that several bursts see belongs to the one in whose valid area it lies deepest, which splits overlaps in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model import Burst, Window
from .range_doppler import project, radar_coordinates


@dataclass(frozen=True, eq=False)
class Lookup:
    """Where one burst sees the pixels of a map grid.

    ``line``, ``sample`` (y, x) float64: fractional, in the burst; NaN for pixels that belong to another burst or that it
    does not see.
    """

    burst: Burst
    line: np.ndarray
    sample: np.ndarray

    def window(self, margin: tuple[int, int]) -> Window:
        """Smallest window of whole pixels that holds the lookup with a margin (lines, samples), clipped to the burst."""
        seen = np.isfinite(self.line)
        line, sample = self.line[seen], self.sample[seen]
        tight = Window(
            int(np.floor(line.min())), int(np.ceil(line.max())) + 1, int(np.floor(sample.min())), int(np.ceil(sample.max())) + 1
        )
        return tight.grown(*margin).clipped(self.burst)


def lookups(bursts, latitude, longitude, height) -> list[Lookup]:
    """Which burst sees which map pixel, and where.

    Parameters
    ----------
    bursts : sequence of Burst
        Reference bursts of one track.
    latitude, longitude : ndarray, (y, x), rad
        Of the map pixels' centres.
    height : ndarray, (y, x), m above the ellipsoid; NaN where unknown.

    Returns
    -------
    list of Lookup
        One for each burst that owns at least one pixel, in the order given.
    """
    depth = np.full((len(bursts), *np.shape(latitude)), -np.inf)
    places = []
    for k, burst in enumerate(bursts):
        line, sample = radar_coordinates(burst, latitude, longitude, height)
        places.append((line, sample))
        depth[k] = _depth(burst, line, sample)
    if not places:
        return []
    owner = np.argmax(depth, axis=0)
    out = []
    for k, (burst, (line, sample)) in enumerate(zip(bursts, places, strict=True)):
        mine = (owner == k) & (depth[k] > 0.0)
        if mine.any():
            out.append(Lookup(burst, np.where(mine, line, np.nan), np.where(mine, sample, np.nan)))
    return out


def _depth(burst: Burst, line, sample):
    """How far inside the valid area a place lies, as a share of a line or of 3.5 samples (about equal on the ground); -inf
    outside. The valid samples are taken as one rectangle: they differ from line to line by a few samples only."""
    first, stop = burst.valid_lines
    valid = burst.first_valid_sample[first:stop] >= 0
    left = burst.first_valid_sample[first:stop][valid]
    right = burst.last_valid_sample[first:stop][valid]
    if not left.size:
        return np.full(np.shape(line), -np.inf)
    with np.errstate(invalid="ignore"):
        inside = np.minimum(
            np.minimum(line - first, stop - 1 - line), np.minimum(sample - left.max(), right.min() - sample) / 3.5
        )
        return np.where(inside > 0.0, inside, -np.inf)


def look_azimuth(burst: Burst, latitude: float, longitude: float, height: float, step: float = 1e-4) -> float:
    """Direction over the ground in which the radar looks, clockwise from north (rad), at one point (rad, m).

    The direction of growing slant range on the surface of constant zero-Doppler time, from two finite differences of
    ``step`` rad.
    """
    lat = np.array([latitude, latitude + step, latitude])
    lon = np.array([longitude, longitude, longitude + step])
    t, _ = project(burst.orbit, lat, lon, height)
    # along constant time: dt = t_n dn + t_e de = 0; the radar looks right, so range grows on the right of the track
    north, east = (t[1] - t[0]) / step, (t[2] - t[0]) / (step * np.cos(latitude))
    heading = np.arctan2(east, north)  # direction in which time grows: along track
    return float((heading + 0.5 * np.pi) % (2.0 * np.pi))
