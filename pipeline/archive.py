"""What a folder of Sentinel-1 products holds: granules by track and date, from names and manifests alone."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import NoCoverage
from .sentinel1.annotation import parse_manifest
from .sentinel1.safe import MANIFEST, open_container
from .storage import open_store

_GRANULE = re.compile(r"(S1[A-D])_IW_SLC__1S[SD][HV]_(\d{8}T\d{6})_(\d{8}T\d{6})_(\d{6})_[0-9A-F]{6}_[0-9A-F]{4}")


@dataclass(frozen=True, order=True)
class Granule:
    """One product of an archive: when it starts, its name, its track and where it is."""

    start: np.datetime64
    name: str
    track: int
    url: str


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
            manifest = parse_manifest(open_container(place).read(MANIFEST), f"{entry}/{MANIFEST}")
            day = match[2]
            start = np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:11]}:{day[11:13]}:{day[13:15]}", "ns")
            found.append(Granule(start, match[0], manifest.start_track, f"{str(url).rstrip('/')}/{entry}"))
    if not found:
        raise NoCoverage(f"{location.url}: no Sentinel-1 IW SLC product found; expected folders S1*_IW_SLC__*.SAFE or zips")
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
