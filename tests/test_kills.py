"""A run killed at any moment: what the next one publishes is byte for byte what an undisturbed run publishes."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from catalog.check import problems, published_versions

PATIENCE = 120.0  # s until a killed run has come to the word waited for
RUNS = "runs/"  # a record tells seconds, and how often it was tried


def command(words) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli", *words]


def published(root: Path) -> dict[str, str]:
    """Checksum of every file that a reader may see, but for the records of runs and what an index run numbers."""
    found = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        name = str(path.relative_to(root))
        if not name.startswith((RUNS, "catalog/read-", "catalog/items", "pages/")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.fixture(scope="module")
def undisturbed(tiny_scene, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("kills") / "whole"
    subprocess.run(command(tiny_scene.run(root, *tiny_scene.settings())), check=True, capture_output=True)
    return root


def killed_at(words, word: str, log: Path) -> None:
    """Start the command and kill the whole process group when its progress says ``word``."""
    with (
        open(log, "wb") as stderr,
        subprocess.Popen(command(words), stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True) as process,
    ):
        until = time.monotonic() + PATIENCE
        while word not in log.read_text(errors="replace"):
            assert process.poll() is None and time.monotonic() < until, log.read_text(errors="replace")
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("word", ["dates to read", "coherence 1/", "classes and areas", "published "])
def test_a_killed_run_goes_on(tiny_scene, undisturbed, tmp_path, word):
    out = tmp_path / "o"
    words = tiny_scene.run(out, *tiny_scene.settings())
    killed_at(words, word, tmp_path / "log")
    for version in published_versions(out):  # what is visible is whole
        assert problems(out, version) == []
    again = subprocess.run(command(words), capture_output=True, text=True)
    assert again.returncode == 0 and "leased" not in again.stdout, again.stdout + again.stderr
    assert published(out) == published(undisturbed)
    assert not (out / "work").exists()
