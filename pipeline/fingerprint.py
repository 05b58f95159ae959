"""What a product was made from, as one key: the same inputs give the same key, any change gives another.

A published product is found by this key, so work that was done is not done again and a product is never changed in
place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from . import __version__
from .errors import BadInput
from .model import Mine
from .settings import Settings


@dataclass(frozen=True, order=True)
class Source:
    """One burst of one granule as an input: ``revision`` is an etag or a checksum, ``orbit`` the orbit file's name.

    ``burst_id`` is empty for a whole granule, where mine, reference and DEM decide which of its bursts are read.
    """

    burst_id: str
    granule: str
    revision: str = ""
    orbit: str = "annotation"


def fingerprint(
    mine: Mine,
    year: int,
    sources: Iterable[Source],
    dem: str,
    settings: Settings,
    *,
    context: Iterable[str] = (),
    force: str = "",
    version: str = __version__,
) -> str:
    """SHA-256 (64 hex digits) of everything that a mine-year depends on.

    Parameters
    ----------
    mine : Mine
        Its id, polygon and sites count; its name doesn't.
    year : int
    sources : iterable of Source
        In any order; duplicates count once.
    dem : str
        Which elevation model, with its datum and epoch or checksum.
    settings : Settings
    context : iterable of str
        Fingerprints of the mine's other years, made without context: all years decide together what is permanently
        incoherent, so with other data in one of them the classes of this one may differ.
    force : str
        Any word: a forced rerun has to have another key, or it would be skipped as published.
    version : str
        Of the code.

    Raises
    ------
    BadInput
        There are no sources.
    """
    rows = sorted(set(sources))
    if not rows:
        raise BadInput(f"a fingerprint needs at least one source burst, instead mine {mine.id} has none in {year}")
    content = {
        "mine": mine.id,
        "geometry": mine.geometry,
        "sites": mine.sites,
        "year": int(year),
        "sources": [[row.burst_id, row.granule, row.revision, row.orbit] for row in rows],
        "dem": dem,
        "settings": settings.as_dict(),
        "context": sorted(context),
        "version": version,
        "force": force,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def version_name(key: str, version: str = __version__) -> str:
    """Name of a product version: ``v0.1.0-1a2b3c4d``."""
    return f"v{version}-{key[:8]}"
