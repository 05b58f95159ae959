"""Which track to look from: the one that sees all of the mine most often, and at a good angle.

The angle comes of footprints alone. The incidence angle of an IW product runs from 30.1 to 45.9 degrees (measured on a
real product's geolocation grid) while its tangent grows, nearly, with the distance from the near edge. Sentinel-1 looks
to the right: the near edge lies in the west on ascending passes, in the east on descending ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import shapely

from .archive import Granule, passes
from .errors import BadInput, NoCoverage

NEAR, FAR = 30.1, 45.9  # degrees, incidence at the edges of the IW swath
FULL_SWATH = (200e3, 320e3)  # m on the ground; what is narrower or wider isn't one whole IW product
ANGLES = 4  # dates, about, that an incidence angle is taken from
DEGREE = 111_200.0  # m of latitude


@dataclass(frozen=True)
class TrackSettings:
    """What counts.

    Parameters
    ----------
    full : float
        Share of the area from which on a date covers it.
    close : float
        Tracks with at least ``1 - close`` of the most dates are as good as that one: then the angle decides.
    incidence : float
        Best angle, degrees: the middle of the swath.
    """

    full: float = 0.99
    close: float = 0.10
    incidence: float = 39.0


@dataclass(frozen=True)
class Candidate:
    """What one track offers.

    Parameters
    ----------
    track : int
    orbit_pass : str
        ``"ascending"``, ``"descending"`` or empty where not known.
    dates : int
        Acquisitions in the wanted years that cover the area; those without footprint among them.
    found : int
        All acquisitions in these years.
    share : float
        Most of the area that one of them covers, 0..1.
    incidence : float or None
        Approximate angle in the middle of the area, degrees; None where footprints don't tell.
    assumed : int
        Of ``dates``: acquisitions without footprint, which are taken to cover it.
    """

    track: int
    orbit_pass: str
    dates: int
    found: int
    share: float
    incidence: float | None
    assumed: int


@dataclass(frozen=True)
class TrackChoice:
    """The track, one sentence that says why, and all candidates, the best first."""

    track: int
    reason: str
    candidates: tuple[Candidate, ...]


def choose_track(
    area, granules: Sequence[Granule], years: Collection[int], settings: TrackSettings | None = None
) -> TrackChoice:
    """The track to take for an area.

    Most covering dates come first. Among tracks within 10 % of the most, the incidence nearest 39 degrees (in whole
    degrees; where it isn't known, last), then descending, then the lowest number.

    Parameters
    ----------
    area : tuple of float or shapely geometry
        Bounds (W, S, E, N in degrees; W > E across the antimeridian) or an outline, whose bounds count.
    granules : sequence of Granule
        One of each recording.
    years : collection of int
        Calendar years in which dates count.
    settings : TrackSettings, optional
        What counts.

    Raises
    ------
    BadInput
        No years.
    NoCoverage
        No track covers the area in these years; the message says what was found.
    """
    settings, box = settings or TrackSettings(), _box(area)
    if not years:
        raise BadInput("years must hold at least one year, instead got none")
    candidates = [
        _candidate(track, dates, box, years, settings.full) for track, dates in sorted(passes(granules).items())
    ]
    most = max((c.dates for c in candidates), default=0)
    if not most:
        raise NoCoverage(_nothing(candidates, box, years, settings))
    ranked = sorted(candidates, key=lambda c: _rank(c, most, settings))
    return TrackChoice(ranked[0].track, _reason(ranked, most, years, settings), tuple(ranked))


def _rank(c: Candidate, most: int, settings: TrackSettings) -> tuple:
    behind = 0 if c.dates >= (1.0 - settings.close) * most else most - c.dates
    angle = np.inf if c.incidence is None else round(abs(c.incidence - settings.incidence))
    return behind, angle, c.orbit_pass != "descending", c.track


def _candidate(track: int, dates, box, years: Collection[int], full: float) -> Candidate:
    """Count a track's acquisitions."""
    dates = [date for date in dates if int(str(date[0].start)[:4]) in years]
    shares = [_share(date, box) for date in dates]
    known = [s for s in shares if s is not None]
    some = dates[:: max(1, len(dates) // ANGLES)]  # a track's dates all look from nearly the same place
    angles = [a for date in some for g in date if (a := incidence(g, box.centroid)) is not None]
    kinds = Counter(g.orbit_pass for date in dates for g in date if g.orbit_pass)
    return Candidate(
        track,
        kinds.most_common(1)[0][0] if kinds else "",
        sum(s is None or s >= full for s in shares),
        len(dates),
        float(max(known, default=1.0 if shares else 0.0)),
        float(np.median(angles)) if angles else None,
        len(shares) - len(known),
    )


def _share(date: Sequence[Granule], box) -> float | None:
    """How much of the area the slices of an acquisition cover together; None where one has no footprint."""
    outlines = [outline(g.footprint, box.centroid.x) for g in date]
    if any(o is None for o in outlines):
        return None
    if any(o.covers(box) for o in outlines):
        return 1.0
    seen = shapely.union_all(outlines)
    return seen.intersection(box).area / box.area if box.area else float(seen.covers(box))


def outline(footprint: Sequence[tuple[float, float]], longitude: float = 0.0):
    """A footprint's polygon on the side of the antimeridian where ``longitude`` is; None where there is none."""
    if len(footprint) < 3:
        return None
    hull, middle = _hull(tuple(footprint))
    turns = round((longitude - middle) / 360.0)
    return shapely.transform(hull, lambda c: np.add(c, (360.0 * turns, 0.0))) if turns else hull


@lru_cache(maxsize=200_000)  # every mine in a frame asks for the same
def _hull(footprint: tuple[tuple[float, float], ...]):
    """The polygon around the longitude of its first corner, and its corners' mean longitude."""
    points = np.array(footprint, np.float64)
    points[:, 0] = points[0, 0] + (points[:, 0] - points[0, 0] + 180.0) % 360.0 - 180.0
    return shapely.convex_hull(shapely.multipoints(points)), float(points[:, 0].mean())


def incidence(granule: Granule, point) -> float | None:
    """Approximate incidence angle of a granule at a point (shapely, degrees), in degrees.

    None where the pass or the footprint isn't known, where the footprint isn't that of a whole IW product, or where
    the point lies outside.
    """
    hull = outline(granule.footprint, point.x)
    if hull is None or granule.orbit_pass not in ("ascending", "descending") or not hull.covers(point):
        return None
    east = DEGREE * np.cos(np.deg2rad(point.y))
    ground = shapely.transform(hull, lambda c: (c - (point.x, point.y)) * (east, DEGREE))  # m around the point
    corners = np.array(ground.minimum_rotated_rectangle.exterior.coords)[:4]
    across = max(corners[1] - corners[0], corners[2] - corners[1], key=lambda side: abs(side[0]) / np.hypot(*side))
    width = float(np.hypot(*across))
    if not FULL_SWATH[0] <= width <= FULL_SWATH[1]:
        return None
    unit = across / width * np.sign(across[0])  # to the east
    from_west = -float((corners @ unit).min())
    part = from_west / width if granule.orbit_pass == "ascending" else 1.0 - from_west / width
    low, high = np.tan(np.deg2rad((NEAR, FAR)))
    return float(np.rad2deg(np.arctan(low + np.clip(part, 0.0, 1.0) * (high - low))))


def _box(area):
    west, south, east, north = map(float, area.bounds if hasattr(area, "bounds") else area)
    return shapely.box(west, south, east + 360.0 if east < west else east, north)


def _span(years: Collection[int]) -> str:
    first, last = min(years), max(years)
    return str(first) if first == last else f"{first}-{last}"


def _words(c: Candidate) -> str:
    """``track 36 (descending): 58 of 60 dates cover the mine, incidence about 38 degrees``."""
    kind = f" ({c.orbit_pass})" if c.orbit_pass else ""
    angle = "incidence unknown" if c.incidence is None else f"incidence about {c.incidence:.0f} degrees"
    assumed = f" ({c.assumed} without footprint, taken to cover it)" if c.assumed else ""
    return f"track {c.track}{kind}: {c.dates} of {c.found} dates cover the mine{assumed}, {angle}"


def _reason(ranked: Sequence[Candidate], most: int, years, settings: TrackSettings) -> str:
    """One sentence: the chosen track's figures, and those of the next best."""
    first, *others = [c for c in ranked if c.dates]
    text = f"{_words(first)} in {_span(years)}"
    if not others:
        return f"{text}; no other track covers it."
    enough = [c for c in others if c.dates >= (1.0 - settings.close) * most]
    why = "the best angle among tracks with about as many dates" if enough else "more dates than any other"
    return f"{text}; {why}; the next is {_words(others[0])}."


def _nothing(candidates: Sequence[Candidate], box, years, settings: TrackSettings) -> str:
    where = ", ".join(f"{v:.3f}" for v in box.bounds)
    found = [
        f"track {c.track} with {c.found} dates, which cover at most {c.share:.0%}" for c in candidates if c.found
    ] or ["no date of any track"]
    return (
        f"no track covers {settings.full:.0%} of the area {where} (W, S, E, N) in {_span(years)}; found "
        f"{'; '.join(found)}; take other years, a smaller area or another archive"
    )
