"""What became of every job of a run, one JSON line each, for machines that watch; and the newest word on each job.

    runs/<n>.jsonl    the outcomes of run n, in the order of its jobs; written once, by exclusive create

    runs/listing.json what the archive listed, so that the next run reads only the manifests that changed
    runs/orbits.json  orbit files that can't be used, so that the next run need not read them to know it

A line holds the state, the reason, seconds and bytes by stage, and the versions of the code that decides the numbers.
Tracebacks of what failed are in it whole: it is the dead letter that tells which mine-years have to be run again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version

from . import __version__
from .errors import Unavailable
from .storage import Location, public_url

FOLDER = "runs"
LISTING = f"{FOLDER}/listing.json"
ORBITS = f"{FOLDER}/orbits.json"
LIBRARIES = ("numpy", "numba", "zarr", "distributed")
ATTEMPTS = 1000  # numbers that rivals may take before us
_NAME = re.compile(r"(\d{6})\.jsonl")


def outcome_line(facts: Mapping) -> str:
    """One outcome as a line of JSON: plain keys, no line break inside, numbers that are missing as null."""
    versions = {"pitpulse": __version__} | {name: version(name) for name in LIBRARIES}
    return json.dumps(_plain({**facts, "versions": versions}), sort_keys=True, ensure_ascii=False, allow_nan=False)


def write_outcomes(root: Location, outcomes: Iterable[Mapping]) -> str:
    """Write the outcomes of one run under the next free number; returns the path from the root.

    Raises
    ------
    Unavailable
        The root can't be written.
    """
    # a file's name in a reason may be no text: as JSON's escape it comes back as it was
    data = "".join(f"{outcome_line(facts)}\n" for facts in outcomes).encode(errors="backslashreplace")
    number = max(_numbers(root), default=0)
    for _ in range(ATTEMPTS):
        number += 1
        path = f"{FOLDER}/{number:06d}.jsonl"
        if root.create_bytes(path, data):
            return path
    raise Unavailable(f"can't write the outcomes of the run to {root.url}/{FOLDER}: {ATTEMPTS} names were taken")


def newest_outcomes(root: Location) -> dict[str, dict]:
    """The last outcome of each job's key, over all runs.

    Raises
    ------
    Unavailable
        A record can't be read, or a line of it is no JSON.
    """
    found: dict[str, dict] = {}
    numbers = sorted(_numbers(root))
    for number in numbers:
        path = f"{FOLDER}/{number:06d}.jsonl"
        for line in root.read_bytes(path).decode(errors="replace").splitlines():
            try:
                facts = json.loads(line)
                found[facts["key"]] = {**facts, "run": number}
            except (ValueError, KeyError, TypeError) as error:
                raise Unavailable(
                    f"{root.url}/{path} holds a line that is no outcome ({error!r}); it is damaged: remove the file"
                ) from error
    # what has no year (a product, a mine that came to none) is named by every run that still finds it so
    return {key: facts for key, facts in found.items() if facts.get("year") != 0 or facts["run"] == numbers[-1]}


def read_listing(root: Location, archive: str) -> dict[str, dict]:
    """What the last run's archive listed, by product; empty where it was another archive, or isn't known."""
    if not root.exists(LISTING):
        return {}
    try:
        listing = json.loads(root.read_bytes(LISTING))
        same = (listing["archive"], listing["version"]) == (public_url(archive), __version__)
        return dict(listing["products"]) if same else {}
    except (ValueError, KeyError, TypeError):
        return {}  # only a shortcut: everything is read again


def write_listing(root: Location, archive: str, products: Mapping[str, Mapping]) -> None:
    """Keep what an archive listed for the next run."""
    document = {"archive": public_url(archive), "version": __version__, "products": products}
    root.write_bytes(LISTING, json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def read_refused_orbits(root: Location, orbits: str) -> dict[str, dict]:
    """What of the orbit files of a place couldn't be used; empty where it was another place, or isn't known."""
    if not root.exists(ORBITS):
        return {}
    try:
        known = json.loads(root.read_bytes(ORBITS))
        same = (known["orbits"], known["version"]) == (public_url(orbits), __version__)
        return (
            {key: {"reason": f["reason"], "state": f["state"]} for key, f in known["refused"].items()} if same else {}
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # only a shortcut: they are tried again


def write_refused_orbits(root: Location, orbits: str, refused: Mapping[str, Mapping]) -> None:
    """Keep it for the next run."""
    document = {"orbits": public_url(orbits), "version": __version__, "refused": refused}
    root.write_bytes(ORBITS, json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def _numbers(root: Location) -> list[int]:
    if not root.exists(FOLDER):
        return []
    return [int(match[1]) for match in map(_NAME.fullmatch, root.list(FOLDER)) if match]


def _plain(value):
    """The value in JSON's own kinds; NaN and infinities are null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
