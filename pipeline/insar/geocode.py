"""From the reference's radar geometry to the mine's map grid.

Each map pixel, at its terrain height, is projected into every burst once per stack: a lookup table of lines and
samples. A pixel that several bursts see belongs to the one in whose valid area it lies deepest, which splits overlaps
in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from ..model import Burst, Window
from .mapping import map_times
from .range_doppler import project

SAMPLES_PER_LINE = 3.5  # on the ground


@dataclass(frozen=True, eq=False)
class Lookup:
    """Where one burst sees the pixels of a map grid.

    ``line``, ``sample`` (y, x) float64: fractional, in the burst; NaN for pixels that belong to another burst or that
    it does not see.
    """

    burst: Burst
    line: np.ndarray
    sample: np.ndarray

    def window(self, margin: tuple[int, int]) -> Window:
        """Smallest window of pixels that holds the lookup with a margin (lines, samples), clipped to the burst."""
        seen = np.isfinite(self.line)
        line, sample = self.line[seen], self.sample[seen]
        tight = Window(
            int(np.floor(line.min())),
            int(np.ceil(line.max())) + 1,
            int(np.floor(sample.min())),
            int(np.ceil(sample.max())) + 1,
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
    shape = np.shape(latitude)
    border = [np.concatenate([a[0], a[-1], a[:, 0], a[:, -1]]) for a in (latitude, longitude)]
    best = np.zeros(shape)
    owner = np.full(shape, -1, np.int32)
    place = np.full((2, *shape), np.nan)
    for swath in {id(burst.orbit): burst.orbit for burst in bursts}.values():
        # the bursts of one annotation share its orbit, and so the zero-Doppler time and range of every pixel
        group = [(k, burst) for k, burst in enumerate(bursts) if burst.orbit is swath]
        group = [(k, burst) for k, burst in group if _near(burst, *border)]
        if not group:
            continue
        t, tau = map_times(swath, latitude, longitude, height, guess=group[len(group) // 2][1].start)
        for k, burst in group:
            timing = (burst.start, 1.0 / burst.azimuth_time_interval, burst.slant_range_time, burst.range_sampling_rate)
            _claim(t, tau, timing, _valid_rectangle(burst), k, best, owner, place)
    out = []
    for k, burst in enumerate(bursts):
        mine = owner == k
        if mine.any():
            out.append(Lookup(burst, *(np.where(mine, axis, np.nan) for axis in place)))
    return out


def _near(burst: Burst, latitude, longitude, margin: float = 0.1) -> bool:
    """Whether a map, by its border, comes within ``margin`` degrees of a footprint: farther than mountains lean."""
    if not burst.footprint:
        return True
    lon, lat = np.array(burst.footprint).T
    lon = lon[0] + (lon - lon[0] + 180.0) % 360.0 - 180.0
    middle, half = 0.5 * (lon.min() + lon.max()), 0.5 * np.ptp(lon)
    margin_lon = margin / max(np.cos(np.deg2rad(np.abs(lat).max())), 0.05)
    apart = (np.rad2deg(longitude) - middle + 180.0) % 360.0 - 180.0
    degrees = np.rad2deg(latitude)
    return bool(
        apart.min() <= half + margin_lon
        and apart.max() >= -half - margin_lon
        and degrees.min() <= lat.max() + margin
        and degrees.max() >= lat.min() - margin
    )


def _valid_rectangle(burst: Burst) -> tuple[float, float, float, float]:
    """First and last line and sample that every valid line has; they differ from line to line by a few samples only."""
    first, stop = burst.valid_lines
    valid = slice(first, stop)
    good = burst.first_valid_sample[valid] >= 0
    if not good.any():
        return 0.0, -1.0, 0.0, -1.0
    left, right = burst.first_valid_sample[valid][good].max(), burst.last_valid_sample[valid][good].min()
    return float(first), float(stop - 1), float(left), float(right)


@njit(cache=True, nogil=True)
def _claim(t, tau, timing, valid, number, best, owner, place):
    """Give a burst the pixels that lie deeper in its valid rectangle than in any burst's before.

    Depth counts in lines, or in 3.5 samples, which is about the same on the ground.
    """
    start, per_line, near, per_sample = timing
    for y in range(t.shape[0]):
        for x in range(t.shape[1]):
            line, sample = (t[y, x] - start) * per_line, (tau[y, x] - near) * per_sample
            depth = min(
                min(line - valid[0], valid[1] - line), min(sample - valid[2], valid[3] - sample) / SAMPLES_PER_LINE
            )
            if depth > best[y, x]:  # False for NaN
                best[y, x], owner[y, x] = depth, number
                place[0, y, x], place[1, y, x] = line, sample


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


def grid_north(latitude, longitude) -> float:
    """Direction of a map's north at its middle, clockwise from true north (rad): up to 3 degrees at a UTM zone's edge.

    ``latitude``, ``longitude`` (y, x) in rad, of the pixel centres, north up.
    """
    y, x = (n // 2 for n in latitude.shape)
    above, below = max(y - 1, 0), min(y + 1, latitude.shape[0] - 1)
    north = latitude[above, x] - latitude[below, x]
    east = (longitude[above, x] - longitude[below, x] + np.pi) % (2.0 * np.pi) - np.pi
    return float(np.arctan2(east * np.cos(latitude[y, x]), north))
