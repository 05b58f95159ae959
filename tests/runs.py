"""Whole runs of the command in processes of their own, and what they publish."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 120.0  # s until a run has come to the word waited for
RUNS = "runs/"  # a record tells seconds, and how often it was tried


def command(words) -> list[str]:
    """``pitpulse`` with these words."""
    return [sys.executable, "-m", "pipeline.cli", *words]


def published(root: Path) -> dict[str, str]:
    """Checksum of every file that a reader may see, but for the records of runs and what an index run numbers."""
    found = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        name = str(path.relative_to(root))
        if not name.startswith((RUNS, "catalog/read-", "catalog/items", "pages/")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def when_it_says(word: str, process: subprocess.Popen, log: Path) -> None:
    """Wait until its progress says a word."""
    until = time.monotonic() + PATIENCE
    while word not in log.read_text(errors="replace"):
        assert process.poll() is None and time.monotonic() < until, log.read_text(errors="replace")
        time.sleep(0.005)
