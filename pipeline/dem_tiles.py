"""Elevation models that lie in tiles of one degree, such as Copernicus GLO-30: which to read, and where is sea.

A tile is named by its south-west corner. The public buckets of the Copernicus DEM, as their readme and the product
handbook say: the first row's centre is on the northern parallel and the first column's on the western meridian, so a
tile's cells reach half a cell beyond it in the north and west and end half a cell short in the south and east; rows are
1" (GLO-90: 3") apart and columns that times 1, 1.5, 2, 3, 5, 10 from 0, 50, 60, 70, 80, 85 degrees of latitude on. Here
that is all read from the files. Heights are above EGM2008. Where all is ocean there is no tile; some land of GLO-30 is
not public either (Armenia, Azerbaijan), which only GLO-90 shows. So where a tile of the first pattern is absent, the
next pattern is asked, and what is in none of them is sea, at height 0. Absent is what the store says is absent
(`errors.Absent`): a refusal or a broken answer is an error, or there would be a sea that isn't there.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from .errors import Absent, BadInput, NoCoverage, Unavailable
from .raster import continuous, widened
from .storage import open_store, public_url

ASKED = 16  # tiles asked for at once
# Degrees: half a cell that a tile is shifted, and what a cubic reaches, of 3" rows and of 30" columns (85 degrees on)
BESIDE = (0.02, 0.004)
_LAYOUT = "Copernicus_DSM_COG_{name}_{{lat}}_00_{{lon}}_00_DEM"
_BUCKET = "https://copernicus-dem-{size}m.s3.eu-central-1.amazonaws.com/{folder}/{folder}.tif"


@dataclass(frozen=True)
class Preset:
    """A public elevation model: its name for people, where its tiles are, what its heights count from, and when it was
    measured."""

    title: str
    patterns: tuple[str, ...]
    datum: str
    epoch: str


def _bucket(size: int, name: int) -> str:
    return _BUCKET.format(size=size, folder=_LAYOUT.format(name=name))


# TanDEM-X took them from December 2010 to January 2015.
PRESETS = {
    "glo30": Preset("Copernicus GLO-30", (_bucket(30, 10), _bucket(90, 30)), "egm2008", "2010-12/2015-01"),
    "glo90": Preset("Copernicus GLO-90", (_bucket(90, 30),), "egm2008", "2010-12/2015-01"),
}
_PLACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, order=True)
class Tile:
    """The south-west corner of a tile, whole degrees: ``-90 <= south < 90``, ``-180 <= west < 180``."""

    south: int
    west: int

    @property
    def name(self) -> str:
        """``N50_E006``."""
        return f"{self.lat}_{self.lon}"

    @property
    def lat(self) -> str:
        """``N50``, ``S05``; the tile south of the equator is ``S01``, the one north of it ``N00``."""
        return f"{'S' if self.south < 0 else 'N'}{abs(self.south):02d}"

    @property
    def lon(self) -> str:
        """``E006``, ``W120``; the tile west of Greenwich is ``W001``, the one east of it ``E000``."""
        return f"{'W' if self.west < 0 else 'E'}{abs(self.west):03d}"


@dataclass(frozen=True)
class Found:
    """What there is over a window: files to read in order of precedence, and what is sea.

    ``revisions``: of every file or tile asked for, ``"absent"`` for what isn't there. ``sea``: tiles that are in no
    pattern, and ``empty``: their bounds, (west, south, east, north) in degrees, longitudes as in the window, grown by
    what tiles are shifted by.
    """

    urls: tuple[str, ...]
    revisions: tuple[tuple[str, str], ...]
    sea: tuple[Tile, ...] = ()
    empty: tuple[tuple[float, float, float, float], ...] = ()


def is_tiled(url: str) -> bool:
    """True for a preset's name and for a pattern with ``{lat}`` and ``{lon}``."""
    return url in PRESETS or bool(_PLACES.search(url))


def title(url: str) -> str:
    """Name of an elevation model for metadata: the preset's title, else the last part of the path or pattern."""
    return PRESETS[url].title if url in PRESETS else public_url(url).rstrip("/").rsplit("/", 1)[-1]


def patterns_of(urls: Iterable[str]) -> tuple[str, ...]:
    """Files and patterns, in order; presets as the patterns they stand for.

    Raises
    ------
    BadInput
        A pattern has another place than ``{lat}`` and ``{lon}``, or lacks one of them.
    """
    found = tuple(p for url in urls for p in (PRESETS[url].patterns if url in PRESETS else (url,)))
    for pattern in found:
        places = set(_PLACES.findall(pattern))
        if places and places != {"lat", "lon"}:
            raise BadInput(
                f"a pattern of DEM tiles must have {{lat}} and {{lon}}, which become N50 and E006, instead got "
                f"{public_url(pattern)!r}; a preset is one of {', '.join(PRESETS)}"
            )
    return found


def tiles_over(bounds) -> list[tuple[Tile, int]]:
    """Tiles that a window touches, from north-west to south-east, and the whole turns that lead to its longitudes.

    Parameters
    ----------
    bounds : (west, south, east, north)
        Degrees; longitudes may run on beyond ±180, as `raster.continuous` makes them.

    Returns
    -------
    list of (Tile, int)
        The tile lies at its own longitude plus 360 degrees times the number.
    """
    west, south, east, north = bounds
    rows = range(max(math.floor(south), -90), min(math.ceil(north), 90))
    columns = range(math.floor(west), math.ceil(east))
    return [(Tile(y, (x + 180) % 360 - 180), (x + 180) // 360) for y in reversed(rows) for x in columns]


class TileIndex:
    """Which tiles there are, asked of each store once; shared by all mines of a run, and safe in threads."""

    def __init__(self, storage_options: dict | None = None):
        self._options = storage_options or {}
        self._known: dict[str, str | Unavailable | None] = {}
        self._asking: dict[str, Lock] = {}
        self._guard = Lock()

    def revision(self, url: str) -> str | None:
        """Size and etag, or size and time, of a file; None where the store says that it isn't there.

        Raises
        ------
        Unavailable
            The store refuses, breaks off or doesn't answer, also after its client's retries.
        """
        with self._guard:
            asking = self._asking.setdefault(url, Lock())
        with asking:
            if url not in self._known:
                self._known[url] = self._ask(url)
        known = self._known[url]
        if isinstance(known, Unavailable):  # a thousand mines don't wait for one silent server a thousand times
            raise known
        return known

    def _ask(self, url: str) -> str | Unavailable | None:
        try:
            return "{} {}".format(*open_store(url, **self._options).state()).strip()
        except Absent:
            return None
        except Unavailable as error:
            return error

    def find(self, urls: Sequence[str], bounds, pad: tuple[float, float] = (0.0, 0.0)) -> Found:
        """The files to read for an area: those named, and the tiles of those patterns that are needed.

        Parameters
        ----------
        urls : sequence of str
            Files, patterns and presets, in order of precedence; a pattern is asked only where one before it lacks a
            tile, and then for the whole window, so that the heights of both meet.
        bounds : (west, south, east, north)
            Degrees, as `raster.read_mosaic`. One of its tiles must be there, unless a file is named.
        pad : (longitude, latitude)
            Degrees on every side that are wanted too.

        Raises
        ------
        NoCoverage
            None of the tiles of ``bounds`` is there, in any pattern.
        Unavailable
            Whether a tile is there can't be told.
        BadInput
            A pattern can't be used.
        """
        patterns = patterns_of(urls)
        needed = continuous(bounds)
        window = tiles_over(widened(widened(needed, pad), BESIDE))
        files = [p for p in patterns if not is_tiled(p)]
        missing = {tile for tile, _ in window}
        read, revisions = [], []
        for pattern in patterns:
            if not is_tiled(pattern):
                read.append(pattern)
                continue
            if not missing:
                continue
            tiles = list(dict.fromkeys(tile for tile, _ in window))
            names = [pattern.format(lat=tile.lat, lon=tile.lon) for tile in tiles]
            there = _together(self.revision, names)
            revisions += [(public_url(name), known or "absent") for name, known in zip(names, there, strict=True)]
            read += [name for name, known in zip(names, there, strict=True) if known]
            missing -= {tile for tile, known in zip(tiles, there, strict=True) if known}
        if not any(map(is_tiled, patterns)):
            return Found(tuple(read), ())
        own = {tile for tile, _ in tiles_over(needed)}
        if own <= missing:
            if files:  # they decide whether the area is covered: a sea there may be a misspelt pattern
                return Found(tuple(read), tuple(revisions))
            tried = ", ".join(public_url(p) for p in patterns)
            raise NoCoverage(
                f"at least one DEM tile of {', '.join(sorted(tile.name for tile in own))} must be there, instead the "
                f"store says of every one that it isn't, in {tried}; check the pattern, or name a DEM of that area"
            )
        corners = [(tile.west + 360 * turn, tile.south) for tile, turn in window if tile in missing]
        empty = tuple(widened((x, y, x + 1, y + 1), BESIDE) for x, y in corners)
        return Found(tuple(read), tuple(revisions), tuple(sorted(missing)), empty)


def _together(ask: Callable[[str], str | None], names: Sequence[str]) -> list[str | None]:
    if len(names) == 1:
        return [ask(names[0])]
    with ThreadPoolExecutor(min(ASKED, len(names))) as pool:
        return list(pool.map(ask, names))


def epoch_of(urls: Sequence[str]) -> str:
    """When the surfaces of the presets among the sources were measured; ``""`` where none is."""
    return ", ".join(dict.fromkeys(PRESETS[url].epoch for url in urls if url in PRESETS))


def datum_of(urls: Sequence[str], datum: str | None) -> str | None:
    """The datum asked for, else that of the presets among the sources.

    Raises
    ------
    BadInput
        It contradicts a preset's.
    """
    for url in map(os.fspath, urls):
        stated = PRESETS[url].datum if url in PRESETS else None
        if stated and datum and datum != stated:
            raise BadInput(f"DEM datum of {url} must be {stated}, instead got {datum}; leave it out")
        datum = datum or stated
    return datum
