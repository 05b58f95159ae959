"""A run killed at any moment: what the next one publishes is byte for byte what an undisturbed run publishes."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from catalog.check import problems, published_versions

from .runs import command, published, when_it_says


def killed_at(words, word: str, log: Path) -> None:
    """Start the command and kill the whole process group when its progress says ``word``."""
    with (
        open(log, "wb") as stderr,
        subprocess.Popen(command(words), stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True) as process,
    ):
        when_it_says(word, process, log)
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
