"""The index of all items: stac-geoparquet snapshots that are never changed, and a pointer to the newest.

    catalog/items-<n>.parquet   every item of the catalog, sorted by id; written by exclusive create
    catalog/items.json          names the newest snapshot; swapped last
    catalog/read-<n>.parquet    which documents, in which state, snapshot n was made from

A run lists the documents and reads again only those that changed since the newest snapshot; the rest of the rows come
from that snapshot. Same items, same bytes: then nothing is written.

Two writers at once both end well. A number belongs to whoever creates it; the loser starts again from the listing, so
snapshot n + 1 was listed after snapshot n was there and holds all that n holds. A pointer that a slow writer set back
is moved on by the same writer, which looks once more after every swap; one that dies between the two is healed by the
next run. The last two snapshots stay, for readers that have just read the pointer.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import AlreadyExists, BadInput, Unavailable
from pipeline.storage import Location, open_store

from .item_table import table_of
from .merge import ROW_GROUP, merge, packed
from .snapshot import FOLDER, POINTER, Index, newest, pointed, snapshot_path
from .stac import COLLECTION_ID, rebase

ITEMS = f"{FOLDER}/{COLLECTION_ID}"
KEPT = 2  # snapshots
READERS = 16  # documents under way at once in an object store
ATTEMPTS = 50  # numbers that rivals may take before us


@dataclass(frozen=True)
class Snapshot:
    """A published state of the index: its number, how many items it holds and how many documents were read for it."""

    number: int
    items: int
    documents_read: int

    @property
    def path(self) -> str:
        """From the root of the published folder."""
        return snapshot_path(self.number)


def update_index(root_url: str | os.PathLike, **options) -> Snapshot:
    """Bring the index up to the items that the catalog lists now.

    Parameters
    ----------
    root_url : str or path
        Root of the published folder.
    **options
        Passed to the file system.

    Returns
    -------
    Snapshot
        The newest; its number is the old one where no item changed.

    Raises
    ------
    BadInput
        A document isn't a STAC item that fits the others; the message names it.
    Unavailable
        The root can't be read or written.
    """
    root = open_store(root_url, **options)
    for _ in range(ATTEMPTS):
        number = newest(root)
        states, before = _states(root), _read_states(root, number)
        old = _usable(root, number)
        if old is None:
            before = None
        changed = sorted((n for n in states if before is None or before.get(n) != states[n]), key=_stem)
        removed = set() if before is None else before.keys() - states.keys()
        if before is not None and not changed and not removed:
            _point(root)
            return Snapshot(number, old.items, 0)
        bytes_of_old = root.read_bytes(snapshot_path(number)) if old else None
        data, count = _build(root, bytes_of_old if before is not None else None, changed, removed, states)
        if data != bytes_of_old:
            number += 1
            if not root.create_bytes(snapshot_path(number), data):
                continue  # a rival has the number; what it knew and we don't is in the next listing
        root.write_bytes(_states_path(number), _parquet_of(states))
        _point(root)
        _remove_old(root, number)
        return Snapshot(number, count, len(changed))
    raise Unavailable(f"can't update the index of {root.url}: {ATTEMPTS} other writers came first; run it again")


def write_snapshot(items: Iterable[dict], root_url: str | os.PathLike, **options) -> Snapshot:
    """Write the next snapshot from item documents, whose hrefs are relative to the index, without reading any.

    For imports and benchmarks: the next `update_index` reads every document and replaces what is here.
    """
    root, stream, chunks = open_store(root_url, **options), iter(items), []
    while some := list(islice(stream, ROW_GROUP)):
        chunks.append(packed(table_of(some, shared := {}), shared))
    data, count, _ = merge(chunks, None, frozenset())
    number = newest(root) + 1
    if not root.create_bytes(snapshot_path(number), data):
        raise AlreadyExists(f"{root.url}/{snapshot_path(number)} was made meanwhile; run it again")
    _point(root)
    return Snapshot(number, count, 0)


def _usable(root: Location, number: int) -> Index | None:
    """The newest snapshot, where there is one that this version can read."""
    try:
        return Index(root, snapshot_path(number)) if number else None
    except Unavailable:
        return None  # damaged, or of another format: made anew from the documents


def _build(root: Location, old: bytes | None, changed: list[str], removed: set[str], states) -> tuple[bytes, int]:
    """Bytes of the snapshot that follows from the old one and the changed documents."""
    chunks = []
    with ThreadPoolExecutor(1 if root.is_local else READERS) as reader:
        for start in range(0, len(changed), ROW_GROUP):
            names = changed[start : start + ROW_GROUP]
            documents = [d for d in reader.map(lambda name: _document(root, name), names) if d is not None]
            chunks.append(packed(table_of(documents, shared := {}), shared))
    drop = frozenset(map(_stem, [*changed, *removed]))
    data, count, lost = merge(chunks, old, drop)
    if lost:  # a column that nothing uses any more: made anew, so that the bytes follow from the items alone
        return _build(root, None, sorted(states, key=_stem), set(), states)
    return data, count


def _document(root: Location, name: str) -> dict | None:
    """An item with hrefs relative to the index, or None where the document is something else or gone."""
    path = f"{ITEMS}/{name}"
    try:
        data = root.read_bytes(path)
    except Unavailable:
        if root.exists(path):
            raise
        return None
    try:
        document = json.loads(data)
        if document["type"] != "Feature":
            return None
        document = rebase(document, path, POINTER)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{root.url}/{path} is no STAC item ({error!r}); publish it again or remove it") from error
    if document.get("id") != _stem(name):
        raise BadInput(f"{root.url}/{path}: expected id {_stem(name)!r}, instead got {document.get('id')!r}; rename it")
    here = {"rel": "self", "href": f"./{COLLECTION_ID}/{name}", "type": "application/geo+json"}
    document["links"] = [*(link for link in document["links"] if link["rel"] != "self"), here]
    return document


def _states(root: Location) -> dict[str, str]:
    """Name of every document to what changes when it is written again."""
    if not root.is_folder(ITEMS):
        raise Unavailable(f"{root.url} has no {ITEMS}; publish an item first, or check the URL")
    try:
        infos = root.fs.ls(root.join(ITEMS).path, detail=True)
    except OSError as error:
        raise Unavailable(f"can't list {root.url}/{ITEMS}: {error}; check that it can be read") from error
    # an object's ETag; of a file the inode too, since every replacement is a new file
    facts = ("size", "ETag", "mtime", "ino", "created", "LastModified")
    return {
        name: "|".join(str(info.get(fact, "")) for fact in facts)
        for info in infos
        if (name := posixpath.basename(info["name"])).endswith(".json")
        and name != "collection.json"
        and not name.startswith(".")
    }


def _read_states(root: Location, number: int) -> dict[str, str] | None:
    """What snapshot ``number`` was made from, or None where that isn't known."""
    path = _states_path(number)
    if not number or not root.exists(path):
        return None
    try:
        table = pq.read_table(pa.BufferReader(root.read_bytes(path)))
        return dict(zip(table["name"].to_pylist(), table["state"].to_pylist(), strict=True))
    except (pa.ArrowException, KeyError):
        return None  # only a shortcut: everything is read again


def _parquet_of(states: dict[str, str]) -> bytes:
    names = sorted(states)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"name": names, "state": [states[n] for n in names]}), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _point(root: Location) -> None:
    """Let the pointer name the newest snapshot; looks again after writing, since a rival may have made another."""
    while (number := newest(root)) != 0:
        name = posixpath.basename(snapshot_path(number))
        if root.exists(POINTER) and pointed(root) == name:
            return
        text = {"href": f"./{name}", "type": "application/vnd.apache.parquet", "title": "stac-geoparquet of all items"}
        root.write_bytes(POINTER, (json.dumps(text, indent=2) + "\n").encode())


def _remove_old(root: Location, number: int) -> None:
    for name in root.list(FOLDER):
        match = re.fullmatch(r"(?:items|read)-(\d+)\.parquet", name)
        if match and int(match[1]) <= number - KEPT:
            try:
                root.fs.rm_file(root.join(f"{FOLDER}/{name}").path)
            except FileNotFoundError:
                continue  # a rival was first
            except OSError as error:
                raise Unavailable(f"can't remove {root.url}/{FOLDER}/{name}: {error}; remove it by hand") from error


def _states_path(number: int) -> str:
    return f"{FOLDER}/read-{number}.parquet"


def _stem(name: str) -> str:
    return name.removesuffix(".json")
