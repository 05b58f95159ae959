"""The published folder as the server sees it: the newest snapshot of its index, its collection, and readers in a pool.

Nothing is kept that could be wrong for long: every few seconds the pointer is looked at again, and the next request
reads the new snapshot. One that vanishes while it is read is asked for again, once.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, LifoQueue

from pipeline.errors import Unavailable
from pipeline.exposition import Family, gauge
from pipeline.storage import Location

from ..snapshot import FOLDER, POINTER, Index, open_index, pointed
from ..stac import COLLECTION_ID
from .files import START, info_of, tag_of
from .problems import Problem, log
from .settings import ApiSettings

COLLECTION_PATH = f"{FOLDER}/{COLLECTION_ID}/collection.json"
FILES = "/files"  # what an href of the index starts with, before the server's address is put in front of it


@dataclass(frozen=True)
class State:
    """What the folder held when it was last looked at."""

    snapshot: str  # path from the root
    version: str  # changes with everything that an answer may depend on
    written: datetime | None  # the snapshot
    collections: dict[str, dict] = field(repr=False)  # documents by id, links as they are published
    has_pages: bool = False

    @property
    def age(self) -> float | None:
        """Seconds since the snapshot was written."""
        return None if self.written is None else max(0.0, (datetime.now(UTC) - self.written).total_seconds())


class Folder:
    """A published folder that is being served; safe to use from several threads.

    Parameters
    ----------
    root_url, options
        As in `pipeline.storage.open_store`.
    root : Location
        The same, opened.
    settings : ApiSettings
    version : str
        Of the program: answers made by another one are not the same.
    """

    def __init__(self, root_url, options: dict, root: Location, settings: ApiSettings, version: str):
        self.root = root
        self._url, self._options, self._settings, self._program = root_url, options, settings, version
        self._lock = threading.Lock()
        self._state: State | None = None
        self._looked = -float("inf")
        self._items: int | None = None  # of the index last opened
        self.trouble = ""  # why the last look failed, for the log and for readiness
        self._readers: LifoQueue = LifoQueue()
        for _ in range(settings.readers):
            self._readers.put(None)  # opened when needed

    def numbers(self) -> list[Family]:
        """What is known of the index, for monitoring; it reads nothing, so that it answers whatever is going on."""
        state = self._state
        number = None if state is None else int(re.sub(r"\D", "", state.snapshot.rsplit("/", 1)[-1]) or 0)
        return [
            gauge("pitpulse_index_items", "Items in the index.", self._items),
            gauge("pitpulse_index_snapshot", "Number of the index's snapshot that is served.", number),
            gauge("pitpulse_index_age_seconds", "Since the snapshot was written.", state and state.age),
            gauge(
                "pitpulse_index_stale",
                "1 where the folder can't be read now.",
                int(state is None or bool(self.trouble)),
            ),
        ]

    def look(self) -> None:
        """Look what is there, so that `numbers` is up to date even where nobody asks for anything else."""
        with suppress(Unavailable, OSError, Problem):  # the numbers say so
            with self.reading():
                pass

    def state(self, again: bool = False) -> State:
        """What is there now, not older than the settings say.

        Raises
        ------
        Unavailable
            Nothing has ever been read.
        """
        state = self._state
        if state is not None and not again and time.monotonic() - self._looked < self._settings.look_again:
            return state
        # One looks, the others go on with what is known.
        if not self._lock.acquire(blocking=state is None or again):
            return state
        try:
            self._state = self._look()
            self.trouble = ""
        except Unavailable as error:
            if self._state is None:
                raise
            if str(error) != self.trouble:
                log.warning("goes on with %s: %s", self._state.snapshot, error)
            self.trouble = str(error)
        finally:
            self._looked = time.monotonic()
            self._lock.release()
        return self._state

    @contextmanager
    def reading(self) -> Iterator[tuple[State, Index]]:
        """What is there, and its index, which nobody else reads meanwhile.

        Raises
        ------
        Problem
            503: too many searches are under way.
        Unavailable
            There is no index, or it can't be read.
        """
        try:
            reader = self._readers.get(timeout=self._settings.patience)
        except Empty:
            raise Problem(503, "too many searches are under way; ask again in a few seconds") from None
        try:
            state = self.state()
            if reader is None or reader[0] != state.version:
                reader = None
                state, reader = self._open(state)
            yield state, reader[1]
        except (Unavailable, OSError):
            reader = None  # the file may be gone: the next one opens it anew
            raise
        finally:
            self._readers.put(reader)

    def _open(self, state: State) -> tuple[State, tuple[str, Index]]:
        for last in (False, True):
            try:
                index = open_index(self._url, **self._options)
                break
            except OSError:
                if last:
                    raise
                state = self.state(again=True)
        if index.path != state.snapshot:  # a newer one since
            state = self.state(again=True)
        index.folder, self._items = f"{FILES}/{FOLDER}", index.items
        return state, (state.version, index)

    def _look(self) -> State:
        if not self.root.exists(POINTER):
            raise Unavailable(f"{self.root.url} has no index ({POINTER}); publish a mine-year and update the index")
        snapshot = f"{FOLDER}/{pointed(self.root)}"
        index_info = info_of(self.root.join(snapshot))
        if index_info is None:
            raise Unavailable(f"{self.root.url}/{snapshot} is gone; update the index")
        collection_info = info_of(self.root.join(COLLECTION_PATH))
        has_pages = info_of(self.root.join(START)) is not None
        tags = [tag_of(index_info), tag_of(collection_info or {}), str(has_pages), self._program, snapshot]
        version = hashlib.sha256("|".join(tags).encode()).hexdigest()[:20]
        before = self._state
        if before is not None and before.version == version:
            return before
        collections = {}
        if collection_info is not None:
            try:
                collections[COLLECTION_ID] = _without_items(json.loads(self.root.read_bytes(COLLECTION_PATH)))
            except (ValueError, KeyError, TypeError) as error:
                raise Unavailable(f"{self.root.url}/{COLLECTION_PATH} is no collection ({error!r})") from error
        return State(snapshot, version, _written(index_info), collections, has_pages)


def _without_items(document: dict) -> dict:
    """A collection without its links to items and parts: there may be 400,000, and the API has its own way to them."""
    links = [link for link in document["links"] if link["rel"] not in ("item", "child")]
    return {**document, "links": links}


def _written(info: dict) -> datetime | None:
    """When a file was written, as its store tells it."""
    for name in ("LastModified", "mtime", "modified", "created"):
        moment = info.get(name)
        if isinstance(moment, int | float):
            return datetime.fromtimestamp(moment, UTC)
        if isinstance(moment, datetime):
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
