"""What a folder of Sentinel-1 products holds: granules by track and date, from names and manifests alone.

A product that can't be used is listed with its reason, and the others go on. Of a product that was processed again, or
that lies there twice, one granule remains. Bursts that were cut out of a product are one granule with its name; where
the product itself is there, it stands for them.
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
from .limits import MANIFEST_BYTES
from .model import Orbit
from .sentinel1 import asf
from .sentinel1.annotation import Manifest, parse_manifest
from .sentinel1.asf import GRANULE
from .sentinel1.safe import MANIFEST, check_mode, open_container
from .storage import Location, open_store

COLLECTION = "sentinel-1-slc"
PRESETS = {"cdse": f"stac+https://stac.dataspace.copernicus.eu/v1#{COLLECTION}"}  # STAC APIs by name
READERS = 8  # manifests under way at once
AROUND = 0.03  # degrees, about 3 km, that a footprint may err and a window reach beyond the mine
_ONE_PASS = 30 * 60 * 1_000_000_000  # ns; an orbit takes 99 minutes
_DAY = re.compile(r"\d{2}|\d{4}")  # folders of a year, a month, a day
_SAME = np.timedelta64(
    1, "s"
)  # processed again it may begin a line earlier: names have whole seconds, a burst takes 2.8


def is_api(archive: str) -> bool:
    """True where an archive is the name of a STAC API rather than of a folder."""
    return archive in PRESETS or archive.startswith(("stac+https://", "stac+http://"))


@dataclass(frozen=True, order=True)
class Granule:
    """One product of an archive: when it starts, its name, its track and where it is.

    ``revision`` is a checksum of its manifest, which in turn holds those of all its files. ``footprint``: its corners
    as (lon, lat) degrees, empty where not known. ``processed``: when, as its manifest says. ``orbit_pass``:
    ``"ascending"``, ``"descending"``, or empty where not known. ``orbits``: names of the orbit files that stand for its
    annotated orbit, empty where none does; ``orbit``: what was read of them, see `orbits`. ``bursts``: where not
    the whole product is there but bursts of it, which, as ``"IW2/VV/7"``; its footprint and revision are theirs.
    """

    start: np.datetime64
    name: str
    track: int
    url: str
    revision: str = ""
    footprint: tuple[tuple[float, float], ...] = field(default=(), compare=False, repr=False)
    processed: str = field(default="", compare=False, repr=False)
    orbit_pass: str = field(default="", compare=False, repr=False)
    orbits: tuple[str, ...] = field(default=(), compare=False)
    orbit: Orbit | None = field(default=None, compare=False, repr=False)
    bursts: tuple[str, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Listed:
    """What an archive holds. ``broken``: name and reason of products that can't be used, or of single bursts, named
    ``"S1A_…_7C85/IW2/VV/7"``; ``dropped``: of those that another one stands for; ``facts``: for the next listing, see
    `list_archive`."""

    granules: tuple[Granule, ...]
    broken: tuple[tuple[str, str], ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, dict] = field(default_factory=dict, repr=False)


def list_archive(
    url: str | os.PathLike, storage_options: dict | None = None, known: Mapping[str, dict] | None = None
) -> Listed:
    """Every IW SLC product (SAFE folder or zip, folder of bursts) in a folder or in its folders by year, month and day.

    The track is read from each manifest: the formula that gives it from the orbit number changed for S1C. Of bursts
    their annotation and the TIFFs' headers are read too, since any of them may be missing or broken.

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

    # a disk answers at once, and threads would only wait for each other: 1 ms a manifest instead of 2
    with ThreadPoolExecutor(1 if location.is_local else READERS) as pool:
        facts = dict(zip(entries, pool.map(read, entries), strict=True))
    broken = [(granule_name(entry), f["broken"]) for entry, f in facts.items() if "broken" in f]
    broken += [(f"{granule_name(entry)}/{n}", why) for entry, f in facts.items() for n, why in f.get("lacking", ())]
    good = {entry: f for entry, f in facts.items() if "broken" not in f}
    if not facts:
        raise NoCoverage(
            f"{location.url}: no Sentinel-1 IW SLC product found; expected folders S1*_IW_SLC__*.SAFE, zips, or "
            f"folders S1*_IW_SLC__* of bursts (IW2/VV/7.tiff, .xml)"
        )
    if not good:
        raise BadProduct(f"none of {len(broken)} product(s) can be used; the first: {broken[0][1]}")
    granules, dropped = resolve(_granule(str(url).rstrip("/"), entry, f) for entry, f in good.items())
    return Listed(granules, tuple(broken), dropped, good)


def list_granules(url: str | os.PathLike, storage_options: dict | None = None) -> list[Granule]:
    """The usable products of `list_archive`, by start time."""
    return list(list_archive(url, storage_options).granules)


def resolve(granules: Iterable[Granule]) -> tuple[tuple[Granule, ...], tuple[tuple[str, str], ...]]:
    """One granule of each recording, by start time, and name and reason of those that are dropped.

    Products of one platform and track that start within a second are one recording: the one processed last counts,
    of equal ones the first by name and place. Consecutive slices start 25 s apart. A whole product stands for bursts
    of its recording, and bursts for those that are among them; other bursts are kept beside each other.
    """
    kept: list[Granule] = []
    dropped = []
    order = sorted(granules, key=lambda g: (g.name[:3], g.track, g.start))
    for granule in (g for g in order if not g.bursts):
        rival = kept[-1] if kept else None
        same = rival is not None and (rival.name[:3], rival.track) == (granule.name[:3], granule.track)
        if not same or granule.start - rival.start > _SAME or _kind(rival) != _kind(granule):
            kept.append(granule)
            continue
        first, second = sorted((rival, granule), key=lambda g: (g.processed, _reversed(g.name), _reversed(g.url)))
        kept[-1] = second
        why = "it lies there twice" if first.name == second.name else f"{second.name} is a later processing of it"
        dropped.append((first.name, why))
    parts = sorted((g for g in order if g.bursts), key=lambda g: (g.processed, len(g.bursts)), reverse=True)
    there: dict[tuple, list[Granule]] = {}
    for granule in (*kept, *parts):  # of bursts those processed last come first
        others = there.setdefault((granule.name[:3], granule.track, _kind(granule)), [])
        rival = next((g for g in others if granule.bursts and _holds(g, granule)), None)
        if rival:
            dropped.append((granule.name, f"{rival.name} holds its bursts"))
            continue
        others.append(granule)
    return tuple(sorted(g for others in there.values() for g in others)), tuple(dropped)


def _holds(granule: Granule, part: Granule) -> bool:
    """True where a granule of the same platform and track is of the same recording and has all bursts of a part."""
    has_all = not granule.bursts or {*part.bursts} <= {*granule.bursts}
    return has_all and abs(granule.start - part.start) <= _SAME


def passes(granules: Sequence[Granule]) -> dict[int, list[tuple[Granule, ...]]]:
    """Granules by track, and within it by pass: slices less than 30 minutes apart are one acquisition."""
    starts = np.array([granule.start for granule in granules], "M8[ns]")
    if not (starts[1:] > starts[:-1]).all():
        granules = sorted(granules, key=_order)
        starts = np.array([granule.start for granule in granules], "M8[ns]")
    tracks: dict[int, list[tuple[Granule, ...]]] = {}
    last: dict[int, int] = {}
    for granule, start in zip(granules, starts.astype(np.int64).tolist(), strict=True):
        dates = tracks.setdefault(granule.track, [])
        if dates and start - last[granule.track] < _ONE_PASS:
            dates[-1] = (*dates[-1], granule)
        else:
            dates.append((granule,))
        last[granule.track] = start
    return tracks


def _order(granule: Granule) -> tuple:
    """What granules are sorted by, as they compare; a thousand mines sort them a thousand times."""
    return granule.start.astype("M8[ns]").item(), granule.name, granule.track, granule.url, granule.revision


class Coverage:
    """Which granules see an area; made once for all mines of a run."""

    def __init__(self, granules: Sequence[Granule]):
        self._granules = sorted(granules, key=_order)
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
        return [self._granules[k] for k in sorted(found)]


def file_revision(url: str | os.PathLike, storage_options: dict | None = None) -> str:
    """What tells two contents of one file apart: a checksum of a local file, else what the store states of it.

    Raises
    ------
    Unavailable
        The file can't be read.
    """
    location = open_store(url, **(storage_options or {}))
    if location.is_local:
        return _checksum(location, location.size())
    return _stated(location)


def _entries(location: Location, folder: str = "", depth: int = 3) -> Iterable[str]:
    """Paths of products below a folder, by name."""
    for name in location.list(folder):
        path = f"{folder}/{name}" if folder else name
        if GRANULE.match(name) and name.upper().endswith((".SAFE", ".ZIP")):
            yield path
        elif GRANULE.fullmatch(name) and asf.recognises(location.join(path)):
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
    """What changes when a product changes: its manifest's, its zip's, or that of every file of its bursts."""
    if asf.recognises(place):
        files = [file for pair in asf.find_bursts(place) for file in pair.files]
        states = [f"{file} {_file_state(place.join(file))}" for file in files]
        return hashlib.sha256("\n".join(states).encode()).hexdigest()
    if place.is_folder():
        inner = place.join(MANIFEST)
        place = inner if inner.exists() else place  # a folder around the SAFE folder: its own time
    return _file_state(place)


def _file_state(place: Location) -> str:
    if place.is_local:
        try:
            stat = os.stat(place.path)
        except OSError as error:  # a link to nothing, or round in a circle
            raise Unavailable(f"can't read {place.url}: {error.strerror}; check the disk") from error
        return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"
    return _stated(place)


def _stated(place: Location) -> str:
    return "{} {}".format(*place.state()).strip()


def _facts(place: Location) -> dict:
    """What the manifest says, in JSON's kinds."""
    if asf.recognises(place):
        return _burst_facts(asf.read_bursts(place))
    document = open_container(place).read(MANIFEST, MANIFEST_BYTES)
    manifest = parse_manifest(document, f"{place.url}/{MANIFEST}")
    check_mode(manifest, place.url)
    return _manifest_facts(manifest, hashlib.sha256(document).hexdigest()[:16], manifest.footprint)


def _manifest_facts(manifest: Manifest, revision: str, footprint) -> dict:
    return {
        "track": manifest.start_track,
        "revision": revision,
        "footprint": [list(corner) for corner in footprint],
        "processed": manifest.processed,
        "orbit_pass": manifest.orbit_pass,
    }


def _burst_facts(found: asf.Extracted) -> dict:
    """The same of bursts that were cut out, which see less than the manifest says; and which can't be used, and why."""
    corners = dict.fromkeys(corner for swath in found.swaths for corner in swath.bursts[0].footprint)
    facts = _manifest_facts(found.manifest, found.revision, corners)
    names = [swath.measurement.removesuffix(".tiff") for swath in found.swaths]
    return {**facts, "bursts": names, "lacking": [list(words) for words in found.broken]}


def _granule(url: str, entry: str, facts: Mapping) -> Granule:
    name = granule_name(entry)
    corners = tuple((float(lon), float(lat)) for lon, lat in facts["footprint"])
    # a listing kept before has none of the last two
    words = corners, facts["processed"], facts.get("orbit_pass", "")
    known = start_of(name), name, facts["track"], f"{url}/{entry}", facts["revision"]
    return Granule(*known, *words, bursts=tuple(facts.get("bursts", ())))


def granule_name(text: str) -> str:
    """The name of an IW SLC at the end of a path or at the start of an id; empty where there is none."""
    match = GRANULE.match(text.rsplit("/", 1)[-1])
    return match[0] if match else ""


def start_of(name: str) -> np.datetime64:
    """When a granule starts, datetime64[ns], whole seconds: from its name. ValueError where that is no time."""
    return asf.name_time(GRANULE.match(name)[2])


def stop_of(name: str) -> np.datetime64:
    """When a granule ends, likewise."""
    return asf.name_time(GRANULE.match(name)[3])


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
