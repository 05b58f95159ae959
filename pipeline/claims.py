"""Who works on what: several runs over one published folder, without a database.

    work/<run>/alive.json        the run's heartbeat, written again every few seconds
    work/<run>/…                 where its unfinished cubes wait
    work/claims/<what>/<n>.json  the n-th claim on a mine's track, by exclusive create; it names its run

A claim holds as long as its run's heart beats, so nothing has to be renewed mine by mine, and a run that is killed
holds nothing for longer than `LIFETIME`; on the same machine it holds nothing from that moment on. Claims spare double
work; they do not guard what is published, which is committed by exclusive create whoever comes first. The machines'
clocks must agree to a fraction of the lifetime.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from .errors import Absent, Unavailable
from .storage import Location

logger = logging.getLogger(__name__)

FOLDER = "work"
CLAIMS = f"{FOLDER}/claims"
ALIVE = "alive.json"
LIFETIME = 120.0  # s without a heartbeat until a run counts as dead


class RunClaims:
    """One run's claims, as a context manager; at its end the run leaves nothing behind.

    Parameters
    ----------
    root : Location
        Of the published folder.
    lifetime : float
        s without a heartbeat until others may take what this run has claimed.
    """

    def __init__(self, root: Location, lifetime: float = LIFETIME):
        self.root, self.lifetime, self.run = root, lifetime, uuid4().hex[:12]
        self._held: dict[str, str] = {}  # what is claimed: path of the claim
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, daemon=True)

    @property
    def folder(self) -> str:
        """Path from the root of what this run alone writes; it is gone when the run ends."""
        return f"{FOLDER}/{self.run}"

    def __enter__(self) -> RunClaims:
        self._beat()
        self._thread.start()
        self._bury_the_dead()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()
        for what in list(self._held):
            self.release(what)
        _remove_folder(self.root, self.folder)
        _remove_empty(self.root, CLAIMS, FOLDER)

    def claim(self, what: str) -> bool:
        """Take ``what`` (a plain name); False where a living run has it. Of several rivals one gets True.

        Raises
        ------
        Unavailable
            The root can't be read or written.
        """
        folder = f"{CLAIMS}/{what}"
        numbers = _numbers(self.root, folder)
        if any(self._is_held(f"{folder}/{n}.json") for n in numbers):
            return False
        path = f"{folder}/{max(numbers, default=0) + 1}.json"
        if not self.root.create_bytes(path, json.dumps({"run": self.run}).encode()):
            return False  # a rival was first
        self._held[what] = path
        for n in numbers:  # of runs that are dead
            _remove_file(self.root, f"{folder}/{n}.json")
        return True

    def release(self, what: str) -> None:
        """Let others have ``what`` again."""
        path = self._held.pop(what, None)
        if path:
            _remove_file(self.root, path)
            _remove_empty(self.root, path.rsplit("/", 1)[0])

    def _is_held(self, path: str) -> bool:
        run = (_read(self.root, path) or {}).get("run")
        return isinstance(run, str) and run != self.run and lives(self.root, run)

    def _bury_the_dead(self) -> None:
        """Remove what runs that are dead have staged; one that began this very moment has no heartbeat yet."""
        if not self.root.is_folder(FOLDER):
            return
        for name in self.root.list(FOLDER):
            place = f"{FOLDER}/{name}"
            if name in (self.run, "claims"):
                continue
            with suppress(Unavailable):  # whether it lives can't be told
                if self.root.exists(f"{place}/{ALIVE}") and not lives(self.root, name):
                    _remove_folder(self.root, place)

    def _beat(self) -> None:
        facts = {"beat": time.time(), "lifetime": self.lifetime, "host": socket.gethostname()}
        facts |= {"pid": os.getpid(), "process": _process(os.getpid())}
        self.root.write_bytes(f"{self.folder}/{ALIVE}", json.dumps(facts).encode())

    def _beat_on(self) -> None:
        while not self._stop.wait(self.lifetime / 6.0):
            try:
                self._beat()
            except Unavailable as error:  # the store is away: the next beat may reach it
                logger.warning("the run's heartbeat was not written: %s", error)


def lives(root: Location, run: str) -> bool:
    """True where a run's heart beats.

    Raises
    ------
    Unavailable
        That can't be told: the store is out of reach.
    """
    facts = _read(root, f"{FOLDER}/{run}/{ALIVE}")
    try:
        here = facts is not None and facts.get("host") == socket.gethostname()
        if not facts or (here and facts.get("process") != _process(facts.get("pid"))):
            return False  # gone, or killed on this machine: no need to wait
        return time.time() - facts["beat"] < facts["lifetime"]
    except (KeyError, TypeError):
        return False


def _read(root: Location, path: str) -> dict | None:
    """What a file of ours says; None where it is gone, or says nothing."""
    try:
        facts = json.loads(root.read_bytes(path))
    except (Absent, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def _process(pid) -> str | None:
    """What tells a process of this machine from later ones of the same number; None where it runs no more."""
    try:
        fields = Path(f"/proc/{int(pid)}/stat").read_text().rsplit(")", 1)[1].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, ValueError, TypeError, IndexError):
        return None
    return f"{boot} {fields[19]}" if fields[0] not in "ZX" else None


def _numbers(root: Location, folder: str) -> list[int]:
    if not root.is_folder(folder):
        return []
    with suppress(Unavailable):  # removed meanwhile
        names = (name.removesuffix(".json") for name in root.list(folder) if name.endswith(".json"))
        return sorted(int(name) for name in names if name.isdigit())
    return []


def _remove_file(root: Location, path: str) -> None:
    with suppress(OSError):  # gone already; what stays names a run that is dead
        root.fs.rm_file(root.join(path).path)


def _remove_folder(root: Location, folder: str) -> None:
    with suppress(OSError):
        root.fs.rm(root.join(folder).path, recursive=True)


def _remove_empty(root: Location, *folders: str) -> None:
    """On a disk remove folders that hold nothing; an object store has none."""
    if root.is_local:
        for folder in folders:
            with suppress(OSError):  # it holds something, or isn't there
                os.rmdir(Path(root.path, folder))
