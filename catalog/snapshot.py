"""Reading the index: the newest snapshot that the pointer names, its columns and its rows."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Sequence
from itertools import accumulate
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import BadInput, Unavailable
from pipeline.storage import Location, open_store

from .item_table import read_shared

FOLDER = "catalog"
ROOT_VARIABLE = "PITPULSE_ROOT"
POINTER = f"{FOLDER}/items.json"
BATCH = 16  # row groups decoded at once
_SNAPSHOT = re.compile(r"items-(\d+)\.parquet")


class Index:
    """One snapshot, open for reading; made by `open_index`.

    Attributes
    ----------
    path : str
        Of the snapshot, from the root.
    folder : str
        Absolute path or URL of the folder that its hrefs are relative to.
    items : int
        How many items it holds.
    schema : pyarrow.Schema
    shared : mapping
        What rows have in common, for `item_table.items_of`.
    """

    def __init__(self, root: Location, path: str):
        self.root, self.path, self._one_at_a_time = root, path, Lock()
        folder = root.join(FOLDER).path
        self.folder = folder if root.is_local else str(root.fs.unstrip_protocol(folder))
        try:
            if root.is_local:
                self._file = pq.ParquetFile(root.join(path).path, memory_map=True)
            else:
                self._file = pq.ParquetFile(pa.PythonFile(root.open(path), mode="r"), pre_buffer=True)
            self.schema = self._file.schema_arrow
            self.shared = read_shared(self._file.metadata.metadata)
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"{root.url}/{path} is no index of items ({error}); run update_index") from error
        self.items = self._file.metadata.num_rows
        metadata = self._file.metadata
        sizes = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
        self._starts = [0, *accumulate(sizes)]  # first row of every group

    def newest(self) -> Index:
        """This index, or that of the newest snapshot where the pointer has moved on; costs reading the pointer."""
        return self if self.path == f"{FOLDER}/{pointed(self.root)}" else _newest_index(self.root)

    @property
    def row_groups(self) -> int:
        """Their number."""
        return len(self._starts) - 1

    def columns(self, names: Sequence[str], groups: Sequence[int] | None = None) -> pa.Table:
        """Whole columns, of all rows or of some row groups, in the order of the file."""
        return self._read(range(self.row_groups) if groups is None else groups, names)

    def positions(self, groups: Sequence[int]) -> NDArray[np.int64]:
        """Row numbers of whole row groups, as `columns` returns their rows."""
        return np.concatenate([np.arange(self._starts[g], self._starts[g + 1]) for g in groups] or [np.arange(0)])

    def rows(self, positions: Sequence[int], names: Sequence[str] | None = None) -> pa.Table:
        """Some rows, by number and in that order, with all columns or those named."""
        wanted = np.unique(np.asarray(positions, np.int64))
        group_of = np.searchsorted(self._starts, wanted, side="right") - 1
        groups = np.unique(group_of)
        parts = [self._read([], names)]
        for some in (groups[k : k + BATCH] for k in range(0, len(groups), BATCH)):
            inside = wanted[np.isin(group_of, some)]
            origin = np.searchsorted(self.positions(some), inside)  # place among the rows that are read
            parts.append(self._read(some, names).take(origin))
        return pa.concat_tables(parts).take(np.searchsorted(wanted, positions))

    def groups(self, column: str, low: str | None = None, high: str | None = None) -> list[int]:
        """Row groups that may hold ``low <= column <= high``, by their statistics."""
        metadata, schema, found = self._file.metadata, self._file.schema, []
        place = next(k for k in range(len(schema)) if schema.column(k).path == column)
        for group in range(metadata.num_row_groups):
            stats = metadata.row_group(group).column(place).statistics
            known = stats is not None and stats.has_min_max
            if not known or ((high is None or stats.min <= high) and (low is None or stats.max >= low)):
                found.append(group)
        return found

    def _read(self, groups: Sequence[int], names: Sequence[str] | None) -> pa.Table:
        columns = None if names is None else list(names)
        with self._one_at_a_time:  # a server asks from several threads, and a remote file has one position
            return self._file.read_row_groups([int(group) for group in groups], columns=columns, use_threads=True)


def open_index(root_url: str | os.PathLike, **options) -> Index:
    """The newest snapshot of a published folder's index.

    Raises
    ------
    Unavailable
        There is no index, or it can't be read.
    """
    return _newest_index(open_store(root_url, **options))


def _newest_index(root: Location) -> Index:
    for _ in range(2):  # a snapshot that is gone when it is opened is two behind: the pointer has moved on
        if not root.exists(POINTER):
            raise Unavailable(f"{root.url} has no index ({POINTER}); run update_index on it, or check the URL")
        path = f"{FOLDER}/{pointed(root)}"
        if root.exists(path):
            return Index(root, path)
    raise Unavailable(f"{root.url}/{POINTER} names {path}, which isn't there; run update_index")


def published_root(root: str | os.PathLike | None) -> str | os.PathLike:
    """Root of the published folder: as given, else what the environment's ``PITPULSE_ROOT`` says.

    Raises
    ------
    BadInput
        Neither says.
    """
    root = os.environ.get(ROOT_VARIABLE) if root is None else root
    if not root:
        raise BadInput(f"no published folder is named; give root=... or set {ROOT_VARIABLE} in the environment")
    return root


def snapshot_path(number: int) -> str:
    """Path of a snapshot from the root."""
    return f"{FOLDER}/items-{number}.parquet"


def newest(root: Location) -> int:
    """Number of the newest snapshot in the folder, 0 where there is none."""
    if not root.is_folder(FOLDER):
        return 0
    return max((int(m[1]) for m in map(_SNAPSHOT.fullmatch, root.list(FOLDER)) if m), default=0)


def pointed(root: Location) -> str:
    """File name of the snapshot that the pointer names."""
    try:
        name = posixpath.basename(json.loads(root.read_bytes(POINTER))["href"])
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"{root.url}/{POINTER} names no snapshot ({error!r}); run update_index") from error
    if not _SNAPSHOT.fullmatch(name):
        raise Unavailable(f"{root.url}/{POINTER} names {name!r} instead of a snapshot; run update_index")
    return name
