"""What a folder of Sentinel-1 products holds: granules by track and date, from names and manifests alone.

A product that can't be used is listed with its reason, and the others go on. Of a product that was processed again, or
that lies there twice, one granule remains.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import shapely
import shapely.geometry

from .errors import BadProduct, NoCoverage, PitpulseError, Unavailable, brief
from .limits import FIRST_YEAR, LAST_YEAR, MANIFEST_BYTES
from .sentinel1.annotation import parse_manifest
from .sentinel1.safe import MANIFEST, open_container
from .storage import Location, open_store

READERS = 8  # manifests under way at once
AROUND = 0.03  # degrees, about 3 km, that a footprint may err and a window reach beyond the mine
_GRANULE = re.compile(r"(S1[A-D])_IW_SLC__1S[SD][HV]_(\d{8}T\d{6})_(\d{8}T\d{6})_(\d{6})_[0-9A-F]{6}_[0-9A-F]{4}")
_DAY = re.compile(r"\d{2}|\d{4}")  # folders of a year, a month, a day
_SAME = np.timedelta64(
    1, "s"
)  # processed again it may begin a line earlier: names have whole seconds, a burst takes 2.8


@dataclass(frozen=True, order=True)
class Granule:
    """One product of an archive: when it starts, its name, its track and where it is.

    ``revision`` is a checksum of its manifest, which in turn holds those of all its files. ``footprint``: its corners
    as (lon, lat) degrees, empty where not known. ``processed``: when, as its manifest says. ``orbit_pass``:
    ``"ascending"``, ``"descending"``, or empty where not known.
    """

    start: np.datetime64
    name: str
    track: int
    url: str
    revision: str = ""
    footprint: tuple[tuple[float, float], ...] = field(default=(), compare=False, repr=False)
    processed: str = field(default="", compare=False, repr=False)
    orbit_pass: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class Listed:
    """What an archive holds. ``broken``: name and reason of products that can't be used; ``dropped``: of those that
    another one stands for; ``facts``: for the next listing, see `list_archive`."""

    granules: tuple[Granule, ...]
    broken: tuple[tuple[str, str], ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, dict] = field(default_factory=dict, repr=False)


def list_archive(
    url: str | os.PathLike, storage_options: dict | None = None, known: Mapping[str, dict] | None = None
) -> Listed:
    """Every IW SLC product (SAFE folder or zip) in a folder or in its folders by year, month and day.

    The track is read from each manifest: the formula that gives it from the orbit number changed for S1C.

    Parameters
    ----------
    url : str or path
        Folder, bucket or prefix.
    storage_options : dict, optional
        For the file system.
    known : mapping, optional
        ``facts`` of an earlier listing: the manifest of what hasn't changed since isn't read again.

    Raises
    ------
    Unavailable
        The folder can't be listed.
    NoCoverage
        It holds no product.
    BadProduct
        None of its products can be used; says why of the first.
    """
    location = open_store(url, **(storage_options or {}))
    known, entries = known or {}, list(_entries(location))

    def read(entry: str) -> dict:
        place = location.join(entry)
        try:
            _check_name(entry, place.url)
            state = _state(place)
            before = known.get(entry)
            if before and before.get("state") == state:
                return dict(before)
            return {"state": state, **_facts(place)}
        except PitpulseError as error:
            return {"broken": str(error)}

    with ThreadPoolExecutor(READERS) as pool:
        facts = dict(zip(entries, pool.map(read, entries), strict=True))
    broken = tuple((granule_name(entry), f["broken"]) for entry, f in facts.items() if "broken" in f)
    good = {entry: f for entry, f in facts.items() if "broken" not in f}
    if not facts:
        raise NoCoverage(
            f"{location.url}: no Sentinel-1 IW SLC product found; expected folders S1*_IW_SLC__*.SAFE or zips"
        )
    if not good:
        raise BadProduct(f"none of {len(broken)} product(s) can be used; the first: {broken[0][1]}")
    granules, dropped = resolve(_granule(str(url).rstrip("/"), entry, f) for entry, f in good.items())
    return Listed(granules, broken, dropped, good)


def list_granules(url: str | os.PathLike, storage_options: dict | None = None) -> list[Granule]:
    """The usable products of `list_archive`, by start time."""
    return list(list_archive(url, storage_options).granules)


def resolve(granules: Iterable[Granule]) -> tuple[tuple[Granule, ...], tuple[tuple[str, str], ...]]:
    """One granule of each recording, by start time, and name and reason of those that are dropped.

    Products of one platform and track that start within a second are one recording: the one processed last counts,
    of equal ones the first by name and place. Consecutive slices start 25 s apart.
    """
    kept: list[Granule] = []
    dropped = []
    order = sorted(granules, key=lambda g: (g.name[:3], g.track, g.start))
    for granule in order:
        rival = kept[-1] if kept else None
        same = rival is not None and (rival.name[:3], rival.track) == (granule.name[:3], granule.track)
        if not same or granule.start - rival.start > _SAME or _kind(rival) != _kind(granule):
            kept.append(granule)
            continue
        first, second = sorted((rival, granule), key=lambda g: (g.processed, _reversed(g.name), _reversed(g.url)))
        kept[-1] = second
        why = "it lies there twice" if first.name == second.name else f"{second.name} is a later processing of it"
        dropped.append((first.name, why))
    return tuple(sorted(kept)), tuple(dropped)


def passes(granules: Sequence[Granule]) -> dict[int, list[tuple[Granule, ...]]]:
    """Granules by track, and within it by pass: slices less than 30 minutes apart are one acquisition."""
    tracks: dict[int, list[tuple[Granule, ...]]] = {}
    for granule in sorted(granules):
        dates = tracks.setdefault(granule.track, [])
        if dates and granule.start - dates[-1][-1].start < np.timedelta64(30, "m"):
            dates[-1] = (*dates[-1], granule)
        else:
            dates.append((granule,))
    return tracks


class Coverage:
    """Which granules see an area; made once for all mines of a run."""

    def __init__(self, granules: Sequence[Granule]):
        self._granules = list(granules)
        self._shapes = [_outline(g.footprint) for g in self._granules]
        self._placed = [k for k, outline in enumerate(self._shapes) if outline is not None]
        self._anywhere = [k for k, outline in enumerate(self._shapes) if outline is None]
        self._tree = shapely.STRtree([self._shapes[k] for k in self._placed])

    def over(self, bounds: tuple[float, float, float, float]) -> list[Granule]:
        """Granules whose footprint touches the area (W, S, E, N in degrees) or isn't known, by start time."""
        west, south, east, north = bounds
        found = set(self._anywhere)
        for turn in (-360.0, 0.0, 360.0):  # a footprint across 180 degrees may lie on either side
            area = shapely.box(west - AROUND + turn, south - AROUND, east + AROUND + turn, north + AROUND)
            found |= {self._placed[int(k)] for k in self._tree.query(area, predicate="intersects")}
        return sorted(self._granules[k] for k in found)


def file_revision(url: str | os.PathLike, storage_options: dict | None = None) -> str:
    """What tells two contents of one file apart: a checksum of a local file, else what the store states of it.

    Raises
    ------
    Unavailable
        The file can't be read.
    """
    location = open_store(url, **(storage_options or {}))
    size = location.size()
    if location.is_local:
        return _checksum(location, size)
    return _stated(location, size)


def _entries(location: Location, folder: str = "", depth: int = 3) -> Iterable[str]:
    """Paths of products below a folder, by name."""
    for name in location.list(folder):
        path = f"{folder}/{name}" if folder else name
        if _GRANULE.match(name) and name.upper().endswith((".SAFE", ".ZIP")):
            yield path
        elif depth and _DAY.fullmatch(name) and location.is_folder(path):
            yield from _entries(location, path, depth - 1)


def _check_name(entry: str, url: str) -> None:
    """Refuse a name whose digits are no time: nothing else says when the product starts."""
    try:
        start_of(granule_name(entry))
    except ValueError as error:
        raise BadProduct(f"{url}: expected a time in the product's name, found none ({brief(error)})") from error


def _state(place: Location) -> str:
    """What changes when a product changes: its manifest's, or its zip's."""
    if place.is_folder():
        inner = place.join(MANIFEST)
        place = inner if inner.exists() else place  # a folder around the SAFE folder: its own time
    if place.is_local:
        try:
            stat = os.stat(place.path)
        except OSError as error:  # a link to nothing, or round in a circle
            raise Unavailable(f"can't read {place.url}: {error.strerror}; check the disk") from error
        return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"
    return _stated(place, place.size())


def _stated(place: Location, size: int) -> str:
    facts = place.fs.info(place.path)
    stated = next((facts[name] for name in ("ETag", "etag", "LastModified", "mtime") if facts.get(name)), "")
    return f"{size} {stated}".strip()


def _facts(place: Location) -> dict:
    """What the manifest says, in JSON's kinds."""
    document = open_container(place).read(MANIFEST, MANIFEST_BYTES)
    manifest = parse_manifest(document, f"{place.url}/{MANIFEST}")
    if (manifest.mode, manifest.product_type) != ("IW", "SLC"):
        raise BadProduct(f"{place.url}: expected an IW SLC product, found {manifest.mode} {manifest.product_type}")
    return {
        "track": manifest.start_track,
        "revision": hashlib.sha256(document).hexdigest()[:16],
        "footprint": [list(corner) for corner in manifest.footprint],
        "processed": manifest.processed,
        "orbit_pass": manifest.orbit_pass,
    }


def _granule(url: str, entry: str, facts: Mapping) -> Granule:
    name = granule_name(entry)
    corners = tuple((float(lon), float(lat)) for lon, lat in facts["footprint"])
    words = corners, facts["processed"], facts.get("orbit_pass", "")  # a listing kept before has none
    return Granule(start_of(name), name, facts["track"], f"{url}/{entry}", facts["revision"], *words)


def granule_name(text: str) -> str:
    """The name of an IW SLC at the end of a path or at the start of an id; empty where there is none."""
    match = _GRANULE.match(text.rsplit("/", 1)[-1])
    return match[0] if match else ""


def start_of(name: str) -> np.datetime64:
    """When a granule starts, datetime64[ns], whole seconds: from its name. ValueError where that is no time."""
    day = _GRANULE.match(name)[2]
    if not FIRST_YEAR <= int(day[:4]) <= LAST_YEAR:
        raise ValueError(f"not a time of {FIRST_YEAR} to {LAST_YEAR}: {day}")
    return np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:11]}:{day[11:13]}:{day[13:15]}", "ns")


def _kind(granule: Granule) -> str:
    """Polarizations: ``1SDV``."""
    return granule.name[12:16]


def _reversed(text: str) -> tuple[int, ...]:
    """Sorts texts backwards."""
    return tuple(-ord(letter) for letter in text)


def _outline(corners) -> shapely.geometry.Polygon | None:
    """The polygon of a footprint, its longitudes running on across 180 degrees; None where there is none."""
    if len(corners) < 3:
        return None
    first = corners[0][0]
    ring = [(first + (lon - first + 180.0) % 360.0 - 180.0, lat) for lon, lat in corners]
    return shapely.geometry.MultiPoint(ring).convex_hull


def _checksum(location: Location, size: int) -> str:
    digest, step = hashlib.sha256(), 1 << 24
    for start in range(0, size, step):
        digest.update(location.ranges("", [start], [min(start + step, size)])[0])
    return digest.hexdigest()[:16]
