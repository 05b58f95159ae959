"""Which orbit files there are, in a folder, a bucket or behind an HTTP index, and which of them suit an acquisition.

A listing is made once a run: names hold mission, kind, creation and validity, so that nothing is opened to choose.
Public ones lie flat (``aux_poeorb/``, ``AUX_RESORB/``) or by kind, mission, year and month (``POEORB/S1A/2024/01/``),
plain or as ``.EOF.zip``. Sources: the mission's auxiliary-file naming convention and README of the public buckets.
"""

from __future__ import annotations

import io
import os
import re
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..errors import BadProduct, NoCoverage
from ..limits import XML_BYTES
from ..storage import Location, open_store
from .orbit_files import OrbitFileName, parse_file_name

KINDS = ("POEORB", "RESORB")  # the better one first
DEPTH = 6  # folders below the one that is named
MARGIN = np.timedelta64(60, "s")  # that a file reaches beyond the sensing: vectors before and after to interpolate with
MONTHS = 1  # beside those wanted: folders may go by creation, three weeks later, and files begin the day before
_MISSION = re.compile(r"S1[A-Z]")
_OTHER = re.compile(r".*\.(EOF|ZIP|SAFE|XML|TXT|HTML?|TIFF?|JSON|MD|PDF|GZ|TGZ)", re.IGNORECASE)  # no folder


class Store(Protocol):
    """What a listing and a reader need of a place; `storage.Location` and `orbit_http.HttpIndex` are such."""

    def list(self, path: str = "") -> list[str]:
        """Names in a folder."""
        ...

    def is_folder(self, path: str = "") -> bool:
        """True where it is one."""
        ...

    def read_bytes(self, path: str = "", limit: int | None = None) -> bytes:
        """At most ``limit + 1`` bytes of a file."""
        ...

    def state(self, path: str) -> str:
        """What changes when the file does."""
        ...


@dataclass(frozen=True, eq=False)
class OrbitArchive:
    """The orbit files of a place, and which of them suit an acquisition.

    ``paths``: place by the file's name. ``limit``: bytes that a file may have, packed and unpacked.
    """

    store: Store = field(repr=False)
    url: str
    paths: dict[str, str] = field(repr=False)
    _tables: dict[tuple[str, str], _Table] = field(repr=False)
    limit: int = XML_BYTES

    def candidates(self, platform: str, start: np.datetime64, stop: np.datetime64) -> Iterator[tuple[str, ...]]:
        """Names of one file, or of two to be joined, that cover a sensing time; the best first.

        Parameters
        ----------
        platform : str
            ``"S1A"``: files of another never count.
        start, stop : datetime64
            UTC, of the sensing; a file must reach `MARGIN` beyond both.

        Yields
        ------
        tuple of str
            POEORB, RESORB, two POEORB that overlap, two RESORB; of one kind those of the newest creation first, of
            equal ones the first by name. The same files give the same order.
        """
        first, last = np.datetime64(start, "ns") - MARGIN, np.datetime64(stop, "ns") + MARGIN
        tables = [self._tables[platform, kind] for kind in KINDS if (platform, kind) in self._tables]
        for table in tables:
            yield from ((f.name,) for f in table.covering(first, last))
        for table in tables:
            yield from ((a.name, b.name) for a, b in table.joined(first, last))

    def read(self, name: str) -> bytes:
        """Content of a file, unpacked.

        Raises
        ------
        BadProduct
            It is too long, or no zip with one orbit file.
        Unavailable
            It can't be read.
        """
        path = self.paths[name]
        data = self.store.read_bytes(path, self.limit)
        if path.upper().endswith(".ZIP") and len(data) <= self.limit:
            data = _unpacked(data, name, self.limit)
        if len(data) > self.limit:
            raise BadProduct(f"{name}: expected an orbit file of at most {self.limit} bytes, found more; refused")
        return data

    def state(self, name: str) -> str:
        """What changes when a file does; `Unavailable` where it can't be asked."""
        return self.store.state(self.paths[name])


def list_orbits(
    url: str | os.PathLike, wanted: Iterable[tuple[str, np.datetime64]] = (), storage_options: dict | None = None
) -> OrbitArchive:
    """Every orbit file below a folder, a bucket's prefix or an HTTP index.

    Parameters
    ----------
    url : str or path
        As ``orbits/``, ``s3://s1-orbits/``, ``https://host/aux_poeorb/``.
    wanted : iterable of (str, datetime64)
        Platform and sensing time of acquisitions: folders of other missions, years and months aren't listed.
        Default: all are.
    storage_options : dict, optional
        For the file system.

    Raises
    ------
    Unavailable
        A folder or page can't be listed; never a part of the listing instead.
    NoCoverage
        There is no orbit file.
    """
    url = os.fspath(url)
    store: Store
    if url.lower().startswith(("http://", "https://")):
        from .orbit_http import HttpIndex  # its libraries take a while to import

        store = HttpIndex(url)
    else:
        store = _Files(open_store(url, **(storage_options or {})))
    scope = _Scope.of(wanted)
    paths: dict[str, str] = {}
    for path in _walk(store, scope):
        name = _orbit_name(path)
        rank = (path.upper().endswith(".ZIP"), path)  # the plain one of twins
        if name not in paths or rank < (paths[name].upper().endswith(".ZIP"), paths[name]):
            paths[name] = path
    files = [parse_file_name(name) for name in sorted(paths)]
    if not files:
        raise NoCoverage(
            f"{store.url}: no orbit file found; expected S1*_OPER_AUX_POEORB_OPOD_*.EOF or RESORB ones, plain or as "
            ".EOF.zip, in the folder or its folders"
        )
    tables = {key: _Table.of(f for f in files if (f.platform, f.kind) == key) for key in _keys(files)}
    return OrbitArchive(store, store.url, paths, tables)


@dataclass(frozen=True, eq=False)
class _Table:
    """Files of one mission and kind by the start of their validity."""

    files: tuple[OrbitFileName, ...]
    starts: np.ndarray
    longest: np.timedelta64

    @classmethod
    def of(cls, files: Iterable[OrbitFileName]) -> _Table:
        files = tuple(sorted(files, key=lambda f: (f.start, f.name)))
        return cls(files, np.array([f.start for f in files]), max(f.stop - f.start for f in files))

    def covering(self, first: np.datetime64, last: np.datetime64) -> list[OrbitFileName]:
        found = [f for f in self._around(first, first) if f.stop >= last]
        return sorted(found, key=lambda f: (_backwards(f.created), f.name))

    def joined(self, first: np.datetime64, last: np.datetime64) -> list[tuple[OrbitFileName, OrbitFileName]]:
        near = self._around(first, last)
        pairs = [
            (a, b)
            for a in near
            for b in near
            if a.start <= first and a.stop < last and b.start > first and b.stop >= last and b.start < a.stop
        ]
        return sorted(pairs, key=lambda p: (*sorted(_backwards(f.created) for f in p)[::-1], p[0].name, p[1].name))

    def _around(self, first: np.datetime64, last: np.datetime64) -> tuple[OrbitFileName, ...]:
        """Those that begin at ``last`` or before and may reach beyond ``first``."""
        low = np.searchsorted(self.starts, first - self.longest, side="left")
        return self.files[low : np.searchsorted(self.starts, last, side="right")]


@dataclass(frozen=True)
class _Scope:
    """Missions and months that are wanted; empty: all."""

    missions: frozenset[str] = frozenset()
    months: frozenset[str] = frozenset()  # "2024-01"

    @classmethod
    def of(cls, wanted: Iterable[tuple[str, np.datetime64]]) -> _Scope:
        pairs = set(wanted)
        months = {np.datetime64(t, "M") + step for _, t in pairs for step in range(-MONTHS, MONTHS + 1)}
        return cls(frozenset(p for p, _ in pairs), frozenset(map(str, months)))

    def __contains__(self, path: str) -> bool:
        """False for a folder that can hold nothing wanted."""
        if not self.missions:
            return True
        parts = path.upper().split("/")
        if any(_MISSION.fullmatch(part) and part not in self.missions for part in parts):
            return False
        year = next((k for k, part in enumerate(parts) if re.fullmatch(r"20\d{2}", part)), None)
        if year is None:
            return True
        month = parts[year + 1] if len(parts) > year + 1 and re.fullmatch(r"\d{2}", parts[year + 1]) else ""
        return any(wanted.startswith(f"{parts[year]}-{month}") for wanted in self.months)


@dataclass(frozen=True, eq=False)
class _Files:
    """A `Location` as a `Store`."""

    location: Location

    @property
    def url(self) -> str:
        return self.location.url

    def list(self, path: str = "") -> list[str]:
        return self.location.list(path)

    def is_folder(self, path: str = "") -> bool:
        return self.location.is_folder(path)

    def read_bytes(self, path: str = "", limit: int | None = None) -> bytes:
        return self.location.read_bytes(path, limit)

    def state(self, path: str) -> str:
        size = self.location.size(path)
        facts = self.location.fs.info(self.location.join(path).path)
        names = ("ETag", "etag", "LastModified", "mtime", "created")
        stated = next((facts[name] for name in names if facts.get(name)), "")
        return f"{size} {stated}".strip()


def _walk(store: Store, scope: _Scope, folder: str = "", depth: int = DEPTH) -> Iterator[str]:
    """Paths of orbit files below a folder."""
    for name in store.list(folder):
        path = f"{folder}/{name}" if folder else name
        if _orbit_name(name):
            if scope.missions and name[:3] not in scope.missions:
                continue
            yield path
        elif depth and not name.startswith(".") and not _OTHER.fullmatch(name) and path in scope:
            if store.is_folder(path):
                yield from _walk(store, scope, path, depth - 1)


def _orbit_name(path: str) -> str:
    """The orbit file's name at the end of a path, without ``.zip``; empty where there is none."""
    name = re.sub(r"\.zip$", "", path.rsplit("/", 1)[-1], flags=re.IGNORECASE)
    try:
        return name if parse_file_name(name) else ""
    except ValueError:  # a name of the right form with no such date
        return ""


def _unpacked(data: bytes, name: str, limit: int) -> bytes:
    """The only orbit file in a zip, at most a byte beyond what is allowed of it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [m for m in archive.infolist() if m.filename.rsplit("/", 1)[-1] == name and not m.is_dir()]
            if len(members) != 1 or members[0].flag_bits & 1:
                raise BadProduct(f"{name}.zip: expected {name} in it, once and open, found {len(members)}")
            if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BadProduct(f"{name}.zip: expected it stored or deflated; download it again")
            with archive.open(members[0]) as file:
                return file.read(limit + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        if isinstance(error, BadProduct):
            raise
        raise BadProduct(f"{name}.zip can't be unpacked ({error}); download it again") from error


def _keys(files: Collection[OrbitFileName]) -> list[tuple[str, str]]:
    return sorted({(f.platform, f.kind) for f in files})


def _backwards(instant: np.datetime64) -> int:
    """Sorts the newest first."""
    return -int(np.datetime64(instant, "s").astype(np.int64))
