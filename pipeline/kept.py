"""What a mine's stack keeps between runs, so that a new date costs one read and its own pairs.

    kept/<mine>-t<track>/<stack>/dates/<date>.json    when it was taken, and the products that its samples come from
    kept/<mine>-t<track>/<stack>/pairs/<pair>.npz     coherence on the map, as computed, and perpendicular baseline
    kept/<mine>-t<track>/<stack>/samples/<date>.npz   coregistered samples of the newest dates, for pairs to come

``<stack>`` follows from all that fixes the geometry: mine, reference, elevation model, settings and our own sources; so
what is kept is what would be computed, bit by bit. It is no product: anybody may delete it; what is torn is ignored.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from .archive import Granule
from .errors import Unavailable
from .model import Mine
from .settings import Settings
from .storage import Location

FOLDER = "kept"
SOURCES = ("stack.py", "dem.py", "geoid.py", "raster.py", "grid.py", "constants.py", "orbits.py", "insar", "sentinel1")
_TORN = (Unavailable, ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class DateFacts:
    """What is known of a date without opening it: when it began, and the products that its samples come from."""

    time: np.datetime64
    granules: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of one stack, below a folder of its own."""

    place: Location

    def facts(self, date: str) -> DateFacts | None:
        """What is known of a date, by its key."""
        found = self._read(f"dates/{date}.json", json.loads)
        with suppress(KeyError, TypeError, ValueError):
            return DateFacts(np.datetime64(found["time"], "ns"), tuple(found["granules"]))
        return None

    def keep_facts(self, date: str, facts: DateFacts) -> None:
        """Keep what is known of a date."""
        document = {"time": str(facts.time), "granules": list(facts.granules)}
        self.place.write_bytes(f"dates/{date}.json", json.dumps(document, sort_keys=True).encode())

    def pair(self, first: str, second: str) -> tuple[np.ndarray, float] | None:
        """Coherence (y, x) float32 and perpendicular baseline (m) of two dates."""
        found = self._read(f"pairs/{first}-{second}.npz", _arrays)
        with suppress(KeyError, TypeError):
            return found["coherence"], float(found["perpendicular_baseline"])
        return None

    def keep_pair(self, first: str, second: str, coherence: np.ndarray, baseline: float) -> None:
        """Keep what was computed of two dates."""
        data = _packed({"coherence": coherence, "perpendicular_baseline": np.float64(baseline)}, np.savez_compressed)
        self.place.write_bytes(f"pairs/{first}-{second}.npz", data)

    def samples(self, date: str) -> dict[str, np.ndarray] | None:
        """Coregistered samples of a date by burst id: (line, sample) complex64 each."""
        return self._read(f"samples/{date}.npz", _arrays)

    def keep_samples(self, date: str, samples: Mapping[str, np.ndarray]) -> None:
        """Keep a date's coregistered samples."""
        self.place.write_bytes(f"samples/{date}.npz", _packed(samples, np.savez))

    def keep_only(self, dates: Iterable[str]) -> None:
        """Forget the samples of all other dates: no later date pairs with them."""
        wanted = {f"{date}.npz" for date in dates}
        with suppress(Unavailable):
            if self.place.is_folder("samples"):
                for name in self.place.list("samples"):
                    if name not in wanted and not name.startswith("."):
                        with suppress(OSError):
                            self.place.fs.rm_file(self.place.join(f"samples/{name}").path)

    def _read(self, path: str, parse: Callable):
        try:
            return parse(self.place.read_bytes(path)) if self.place.exists(path) else None
        except _TORN:
            return None


def open_kept(root: Location, mine: Mine, track: int, stack: str) -> Kept:
    """What is kept of one stack below the root of the published folder."""
    return Kept(root.join(f"{FOLDER}/{mine.id}-t{track:03d}/{stack}"))


def forget_other_stacks(root: Location, mine: Mine, track: int, stack: str) -> None:
    """Remove what other references, settings or code have kept of a mine's track."""
    folder = f"{FOLDER}/{mine.id}-t{track:03d}"
    with suppress(Unavailable):
        if root.is_folder(folder):
            for name in root.list(folder):
                if name != stack:
                    with suppress(OSError):
                        root.fs.rm(root.join(f"{folder}/{name}").path, recursive=True)


def stack_key(mine: Mine, reference: Iterable[Granule], dem: str, settings: Settings) -> str:
    """Key (16 hex digits) of all that fixes a stack's geometry and coherence."""
    facts = {
        "geometry": mine.geometry,
        "reference": [[g.name, g.revision, *g.orbits] for g in reference],
        "dem": dem,
        "settings": [settings.polarization, settings.looks, settings.spacing, settings.margin],
        "code": _code(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def date_key(date: Iterable[Granule]) -> str:
    """Key of a date: its day, and a checksum (8 hex digits) of its products and their orbit files."""
    date = sorted(date)
    text = json.dumps([[g.name, g.revision, *g.orbits] for g in date])
    return f"{str(date[0].start)[:10]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@cache
def _code() -> str:
    """Checksum of the sources that decide what a coherence is."""
    digest, folder = hashlib.sha256(), Path(str(files(__package__)))
    for name in SOURCES:
        for path in [folder / name] if name.endswith(".py") else sorted((folder / name).rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _packed(arrays: Mapping[str, np.ndarray], save: Callable) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
