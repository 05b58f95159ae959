"""Every published version of every mine-year, and whether its files still are what was published."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import Unavailable
from pipeline.storage import Location, open_store
from pipeline.zarr_store import StoredObject, verify

from .publish import SUFFIXES
from .stac import item_path

FOLDER = "products"
MULTIHASH = "1220"  # sha2-256, 32 bytes


@dataclass(frozen=True, order=True)
class Version:
    """One published version of a mine-year. ``state``: ``done``, ``superseded``, or ``unlisted`` where its publisher
    died before the catalog named it: the next run of the same lists it."""

    mine: str
    year: int
    stem: str  # path from the root without suffix
    state: str


def published_versions(root_url: str | os.PathLike, **options) -> list[Version]:
    """All complete versions, sorted by mine, year and path.

    Raises
    ------
    Unavailable
        The root can't be read.
    """
    root, found = open_store(root_url, **options), []
    for mine in _names(root, FOLDER):
        for year in _names(root, f"{FOLDER}/{mine}"):
            if not year.isdigit():
                continue
            names, listed = _names(root, f"{FOLDER}/{mine}/{year}"), _listed(root, mine, int(year))
            for name in names:
                if name.endswith(SUFFIXES["state"]):
                    stem = f"{FOLDER}/{mine}/{year}/{name.removesuffix(SUFFIXES['state'])}"
                    state = "unlisted" if listed is None else "done" if stem == listed else "superseded"
                    found.append(Version(mine, int(year), stem, state))
    return sorted(found)


def problems(root_url: str | os.PathLike, version: Version, **options) -> list[str]:
    """What of a version differs from what was published, one sentence a file; empty where all of it is whole."""
    root = open_store(root_url, **options)
    return list(_problems(root, f"{os.fspath(root_url).rstrip('/')}", version, options))


def _problems(root: Location, root_url: str, version: Version, options) -> Iterator[str]:
    try:
        item = json.loads(root.read_bytes(version.stem + SUFFIXES["item"]))
        manifest = json.loads(root.read_bytes(version.stem + SUFFIXES["manifest"]))
        objects = [StoredObject(**entry) for entry in manifest["objects"]]
        files = {name: asset for name, asset in item["assets"].items() if "file:checksum" in asset}
    except (Unavailable, ValueError, KeyError, TypeError) as error:
        yield f"its item or manifest can't be read ({error}); publish it again with --force"
        return
    try:
        verify(f"{root_url}/{version.stem}{SUFFIXES['cube']}", objects, **options)
    except Unavailable as error:
        yield str(error)
    folder = version.stem.rsplit("/", 1)[0]
    for asset in files.values():
        path = f"{folder}/{asset['href'].removeprefix('./')}"
        try:
            digest = hashlib.sha256(root.read_bytes(path)).hexdigest()
        except Unavailable as error:
            yield str(error)
            continue
        if asset["file:checksum"] != MULTIHASH + digest:
            yield f"{root.url}/{path} differs from what was published"


def _names(root: Location, folder: str) -> list[str]:
    return [name for name in root.list(folder) if not name.startswith(".")] if root.is_folder(folder) else []


def _listed(root: Location, mine: str, year: int) -> str | None:
    """Path, without suffix, of the version that the catalog shows."""
    place = item_path(mine, year)
    if not root.exists(place):
        return None
    return f"{FOLDER}/{mine}/{year}/v{json.loads(root.read_bytes(place))['properties']['version']}"
