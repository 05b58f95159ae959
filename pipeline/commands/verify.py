"""``pitpulse verify`` and ``pitpulse status``: is what is published whole, and what became of every mine-year."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..errors import BadInput
from ..records import newest_outcomes
from ..storage import open_store
from .publisher import published_versions, verify_version

BAD = ("failed", "invalid")


def verify(root: str, say: Callable[[str], None], progress: Callable[[str], None]) -> int:
    """Read every published product back and compare it with its manifest; exit code 1 where one is damaged.

    Raises
    ------
    BadInput
        Nothing is published there.
    """
    versions = _versions(root)
    damaged = 0
    for version in versions:
        progress(f"reading {version.stem}")
        for problem in verify_version(root, version):
            damaged += 1
            say(f"{version.mine} {version.year}: damaged: {problem}")
    say(f"{len(versions)} products read back, {damaged} damaged")
    return 1 if damaged else 0


def status(root: str, say: Callable[[str], None]) -> int:
    """One line a mine-year: done, superseded, or the newest outcome where it came to no product; 1 where any is bad."""
    location = open_store(root)
    if not location.exists():
        raise BadInput(f"{location.url}: nothing is there; expected the folder or URL that a run published to")
    versions, outcomes = published_versions(root), newest_outcomes(location)
    if not versions and not outcomes:
        raise BadInput(f"{location.url} holds no published product and no run's record; check the URL")
    counts: Counter[str] = Counter()
    for version in versions:
        counts[version.state] += 1
        say(f"{version.mine} {version.year}: {version.state}: {version.stem}")
    for key, facts in sorted(outcomes.items()):
        if facts["state"] in BAD:
            counts[facts["state"]] += 1
            reason = (facts.get("reason") or "").strip().splitlines()
            say(f"{key}: {facts['state']}: {reason[-1] if reason else 'no reason is known'}")
    say(", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "nothing to tell")
    return 1 if any(counts[state] for state in BAD) else 0


def _versions(root: str):
    location = open_store(root)
    if not location.exists():
        raise BadInput(f"{location.url}: nothing is there; expected the folder or URL that a run published to")
    versions = published_versions(root)
    if not versions:
        raise BadInput(f"{location.url} holds no published product; check the URL")
    return versions
