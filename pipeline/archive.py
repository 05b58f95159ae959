"""What a folder of Sentinel-1 products holds: granules by track and date, from names and manifests alone."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import NoCoverage
from .sentinel1.annotation import parse_manifest
from .sentinel1.safe import MANIFEST, open_container
from .storage import Location, open_store

_GRANULE = re.compile(r"(S1[A-D])_IW_SLC__1S[SD][HV]_(\d{8}T\d{6})_(\d{8}T\d{6})_(\d{6})_[0-9A-F]{6}_[0-9A-F]{4}")


@dataclass(frozen=True, order=True)
class Granule:
    """One product of an archive: when it starts, its name, its track and where it is.

    ``revision`` is a checksum of its manifest, which in turn holds those of all its files.
    """

    start: np.datetime64
    name: str
    track: int
    url: str
    revision: str = ""


def list_granules(url: str | os.PathLike, storage_options: dict | None = None) -> list[Granule]:
    """Every IW SLC product (SAFE folder or zip) directly in a folder, by start time.

    The track is read from each manifest: the formula that gives it from the orbit number changed for S1C.

    Raises
    ------
    Unavailable
        The folder can't be listed.
    NoCoverage
        It holds no product.
    """
    location = open_store(url, **(storage_options or {}))
    found = []
    for entry in location.list():
        match = _GRANULE.match(entry)
        if match and entry.upper().endswith((".SAFE", ".ZIP")):
            place = location.join(entry)
            document = open_container(place).read(MANIFEST)
            manifest = parse_manifest(document, f"{entry}/{MANIFEST}")
            day = match[2]
            start = np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:11]}:{day[11:13]}:{day[13:15]}", "ns")
            where, revision = f"{str(url).rstrip('/')}/{entry}", hashlib.sha256(document).hexdigest()[:16]
            found.append(Granule(start, match[0], manifest.start_track, where, revision))
    if not found:
        raise NoCoverage(
            f"{location.url}: no Sentinel-1 IW SLC product found; expected folders S1*_IW_SLC__*.SAFE or zips"
        )
    return sorted(found)


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
    facts = location.fs.info(location.path)
    stated = next((facts[name] for name in ("ETag", "etag", "LastModified", "mtime") if facts.get(name)), "")
    return f"{size} {stated}".strip()


def _checksum(location: Location, size: int) -> str:
    digest, step = hashlib.sha256(), 1 << 24
    for start in range(0, size, step):
        digest.update(location.ranges("", [start], [min(start + step, size)])[0])
    return digest.hexdigest()[:16]
