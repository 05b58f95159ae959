"""Versions of a mine-year: the one that is listed, and those that it replaced.

A published product never changes, its versioned item included; yet a reader who holds an old one should learn that
there is a newer. So the catalog has a copy of every item that was replaced, with ``deprecated`` set and the links that
only the present knows:

    catalog/mine-activity/<item>.json            the version that is listed: predecessor-version
    catalog/superseded/<item>/v<version>.json    one before it: deprecated; latest-, successor-, predecessor-version

The copies follow from what is published and which version is listed, and from nothing else. They are in no catalog's
list, so that a walk and a search find each mine-year once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.storage import Location

from .stac import item_id, item_path, rebase, relinked, target

FOLDER = "catalog/superseded"
ITEM, STATE = ".item.json", ".state.json"
LINKS = ("predecessor-version", "successor-version", "latest-version")


def superseded(root: Location, mine_id: str, year: int, listed: str) -> tuple[dict[str, dict], tuple[str, str] | None]:
    """The copies of all versions of a mine-year but the listed one.

    Parameters
    ----------
    root : Location
        Of the published folder.
    mine_id, year
        Which product.
    listed : str
        Path of the listed version without suffix, ``products/<mine>/<year>/v<version>-<fp8>``.

    Returns
    -------
    copies : dict
        Their documents by path, oldest first.
    before : (str, str) or None
        Path and title of the listed version's predecessor.
    """
    published = _published(root, f"products/{mine_id}/{int(year)}")
    stems = [stem for stem in _in_order(published) if stem != listed]
    places = [(_path(mine_id, year, published[stem]), _title(published[stem])) for stem in stems]
    latest = item_path(mine_id, year), f"{item_id(mine_id, year)}, the latest version"
    chain, copies = [None, *places, latest], {}
    for k, stem in enumerate(stems):
        path = places[k][0]
        copy = rebase(published[stem], stem + ITEM, path)
        copy["id"] = f"{copy['id']}-v{copy['properties']['version']}"  # an id is once in a collection
        copy["properties"] = {**copy["properties"], "deprecated": True}
        links = dict(zip(LINKS, (chain[k], chain[k + 2], latest), strict=True))
        copies[path] = relinked(copy, path, links)
    return copies, places[-1] if places else None


def folder_of(mine_id: str, year: int) -> str:
    """Where the copies of a mine-year are."""
    return f"{FOLDER}/{item_id(mine_id, year)}"


def _published(root: Location, folder: str) -> dict[str, dict]:
    """Versioned items of all finished versions by their path without suffix."""
    names = root.list(folder) if root.exists(folder) else []
    stems = [f"{folder}/{name.removesuffix(STATE)}" for name in names if name.endswith(STATE)]
    return {stem: json.loads(root.read_bytes(stem + ITEM)) for stem in stems} if len(stems) > 1 else {}


def _in_order(published: Mapping[str, Mapping]) -> list[str]:
    """Paths from the first published on; each item names the one that was listed when it was made."""

    def before(stem: str) -> str | None:
        path = target(published[stem], "predecessor-version", stem + ITEM)
        return path.removesuffix(ITEM) if path else None

    def age(stem: str) -> int:
        steps, seen = 0, {stem}
        while (stem := before(stem)) in published and stem not in seen:
            seen.add(stem)
            steps += 1
        return steps

    return sorted(published, key=lambda stem: (age(stem), stem))


def _path(mine_id: str, year: int, document: Mapping) -> str:
    return f"{folder_of(mine_id, year)}/v{document['properties']['version']}.json"


def _title(document: Mapping) -> str:
    return f"{document['id']}, version {document['properties']['version']}"
