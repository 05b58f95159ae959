"""The orbit that each product of a run is used with: of an orbit file where one suits, else its annotation's own.

    POEORB that covers the sensing > RESORB that covers it > two POEORB joined > two RESORB joined > annotation

Of one kind the newest creation wins. Choosing takes names alone; files are read once a run, for products that are to be
processed, and only the vectors around the sensing stay. A file that can't be used is told and the next best one taken,
so that a product's fingerprint always names what it was really made with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from .archive import Granule, stop_of
from .errors import BadProduct, NoCoverage, Unavailable
from .insar.orbit import interpolate
from .model import Orbit
from .records import read_refused_orbits
from .sentinel1.orbit_archive import OrbitArchive, list_orbits
from .sentinel1.orbit_files import cut_orbit, join_orbits, parse_file_name
from .sentinel1.orbit_window import orbit_window
from .storage import Location

ANNOTATION = "annotation"
READERS = 4  # files in memory at once
MARGIN = 20.0  # s beyond the sensing in which an orbit is used
# m between two files where they overlap. Real-time solutions have 0.1 m (2D RMS) to keep and mostly stay below 0.05 m.
JOIN_TOLERANCE = 0.2


@dataclass(frozen=True)
class Refusal:
    """Why a file, or a file for one product, isn't used. ``state``: of the files then; empty where it may pass."""

    reason: str
    state: str = ""


@dataclass(eq=False)
class RunOrbits:
    """The orbit files of a run and those of them that can't be used.

    Parameters
    ----------
    archive : OrbitArchive
    refused : dict
        `Refusal` by what is refused: ``"FILE"``, or ``"PRODUCT FILE"`` (or with two files) for one product only. It
        grows by what `read` finds.
    tell : callable
        Called with a line of text for each refusal.
    """

    archive: OrbitArchive
    refused: dict[str, Refusal] = field(default_factory=dict)
    tell: Callable[[str], None] = lambda _: None
    _readable: bool = field(default=False, init=False, repr=False)  # some file was, in this run

    def forget_changed(self) -> None:
        """Drop refusals of files that have changed since, or aren't there any more; tell the others."""
        for key, refusal in list(self.refused.items()):
            names = [word for word in key.split() if parse_file_name(word)]
            if not set(names) <= self.archive.paths.keys() or self._state(names) != refusal.state:
                del self.refused[key]
            else:
                self.tell(f"{key}: left out: {refusal.reason}")

    def assign(self, granules: Iterable[Granule]) -> list[Granule]:
        """The granules with the names of the best files that aren't refused."""
        return [replace(g, orbits=self._choice(g), orbit=None) for g in granules]

    def read(self, granules: Iterable[Granule]) -> dict[str, Granule]:
        """Granules by name with vectors; where a file turns out to be unusable, those of the next best.

        Raises
        ------
        Unavailable
            None of several files could be read: the place is out of reach.
        """
        done: dict[str, Granule] = {}
        waiting = {g.name: g for g in granules}
        while waiting:
            found = self._vectors([g for g in waiting.values() if g.orbits])
            for name, granule in list(waiting.items()):
                if not granule.orbits or name in found:
                    done[name] = replace(granule, orbit=found.get(name))
                    del waiting[name]
            waiting = {g.name: g for g in self.assign(waiting.values())}
        return done

    def _choice(self, granule: Granule) -> tuple[str, ...]:
        for names in self.archive.candidates(granule.name[:3], granule.start, stop_of(granule.name)):
            if not any(key in self.refused for key in (*names, " ".join((granule.name, *names)))):
                return names
        return ()

    def _vectors(self, granules: list[Granule]) -> dict[str, Orbit]:
        """Orbit by granule; for each that is missing, something was refused."""
        users: dict[str, list[Granule]] = {}
        for granule in granules:
            for name in granule.orbits:
                users.setdefault(name, []).append(granule)

        def read(name: str) -> list[Orbit] | BadProduct | Unavailable:
            try:
                data = self.archive.read(name)
                return [orbit_window(data, name, g.start, stop_of(g.name)) for g in users[name]]
            except (BadProduct, Unavailable) as error:
                return error

        with ThreadPoolExecutor(READERS) as pool:
            results = dict(zip(users, pool.map(read, users), strict=True))
        lost = [r for r in results.values() if isinstance(r, Unavailable)]
        self._readable |= len(lost) < len(results)
        if len(lost) > 1 and not self._readable:
            raise lost[0]
        parts: dict[str, list[Orbit]] = {}
        for name, result in results.items():
            if isinstance(result, list):
                for granule, orbit in zip(users[name], result, strict=True):
                    parts.setdefault(granule.name, []).append(orbit)
            else:
                self._refuse((name,), (), result)
        found = {}
        for granule in granules:
            try:
                if len(parts.get(granule.name, ())) == len(granule.orbits):
                    found[granule.name] = sensing_orbit(parts[granule.name], granule.start, stop_of(granule.name))
            except NoCoverage as error:
                self._refuse(granule.orbits, (granule.name,), error)
        return found

    def _refuse(self, names: tuple[str, ...], product: tuple[str, ...], error: Exception) -> None:
        state = "" if isinstance(error, Unavailable) else self._state(names)
        key = " ".join((*product, *names))
        self.refused[key] = Refusal(str(error), state)
        self.tell(f"{key}: left out: {error}")

    def _state(self, names: Iterable[str]) -> str:
        """State of files; empty where it isn't known, so that they are tried again."""
        try:
            return "; ".join(self.archive.state(name) for name in names)
        except Unavailable:
            return ""


def open_orbits(
    url: str, root: Location, seen: Mapping[str, Iterable[Granule]], tell: Callable[[str], None]
) -> RunOrbits:
    """The orbit files of a place for the granules that mines see, without those that ``root`` remembers as unusable.

    Raises
    ------
    Unavailable, NoCoverage
        As `list_orbits`.
    """
    granules = {g for found in seen.values() for g in found}
    archive = list_orbits(url, {(g.name[:3], np.datetime64(g.start, "D")) for g in granules})
    known = {key: Refusal(**facts) for key, facts in read_refused_orbits(root, url).items()}
    orbits = RunOrbits(archive, known, tell)
    orbits.forget_changed()
    without = sorted(g.name for g in orbits.assign(granules) if not g.orbits)
    if without:
        tell(
            f"{archive.url}: {len(without)} of {len(granules)} product(s) have no orbit file and keep their "
            f"annotation's orbit, the first: {without[0]}"
        )
    return orbits


def sensing_orbit(parts: list[Orbit], start: np.datetime64, stop: np.datetime64) -> Orbit:
    """One orbit for a sensing time (UTC) from the vectors of one file or of two that overlap in it.

    Raises
    ------
    NoCoverage
        They don't reach far enough, have a gap, or differ by more than `JOIN_TOLERANCE` where they overlap.
    """
    half = (np.datetime64(stop, "ns") - np.datetime64(start, "ns")) / 2
    orbit = parts[0]
    if len(parts) == 2:
        apart = distance_in_overlap(*parts)
        if not apart <= JOIN_TOLERANCE:
            raise NoCoverage(
                f"expected two orbit files that agree to {JOIN_TOLERANCE} m where they overlap, found {apart:.3f} m"
            )
        orbit = join_orbits(*parts)
    return cut_orbit(orbit, np.datetime64(start, "ns") + half, half / np.timedelta64(1, "s") + MARGIN)


def distance_in_overlap(first: Orbit, second: Orbit) -> float:
    """Greatest distance (m) of two orbits at seven instants of the time that both have; NaN where there is none."""
    begin = max(first.instant(first.time[0]), second.instant(second.time[0]))
    end = min(first.instant(first.time[-1]), second.instant(second.time[-1]))
    if begin > end:
        return float("nan")
    instants = begin + ((end - begin).astype(np.int64) * np.arange(7) // 6).astype("timedelta64[ns]")
    # an end in float seconds may lie a hair outside
    inside = [np.clip(orbit.seconds(instants), *orbit.time[[0, -1]]) for orbit in (first, second)]
    positions = [interpolate(orbit, seconds)[0] for orbit, seconds in zip((first, second), inside, strict=True)]
    return float(np.linalg.norm(positions[0] - positions[1], axis=1).max())


def kind_of(granule: Granule) -> str:
    """``"POEORB"``, ``"RESORB"`` or ``"annotation"``."""
    return parse_file_name(granule.orbits[0]).kind if granule.orbits else ANNOTATION


def orbit_word(granule: Granule) -> str:
    """Names of the orbit files that a granule is used with, joined by ``+``; ``"annotation"`` where there is none."""
    return "+".join(granule.orbits) or ANNOTATION


def count_kinds(granules: Iterable[Granule]) -> str:
    """As ``"POEORB 7, RESORB 1"``, each granule once."""
    counts = Counter(kind_of(g) for g in set(granules))
    return ", ".join(f"{kind} {n}" for kind, n in sorted(counts.items()))


def refusals_to_keep(refused: Mapping[str, Refusal]) -> dict[str, dict]:
    """Those that stay true while the files stay as they are, in JSON's kinds."""
    return {key: {"reason": r.reason, "state": r.state} for key, r in refused.items() if r.state}
