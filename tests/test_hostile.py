"""Files from untrusted places: refused with their reason, within bounded memory and time; the others go on."""

import json
import re
import subprocess
import sys

import pytest

from pipeline import errors

from .conftest import ROOT
from .hostile import CASES

MEMORY = 400 * 1024**2  # bytes that reading may add; the longest annotation, all tags, takes 300 MB
SECONDS = 20.0


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What a process of its own says of every case, by name."""
    words = [sys.executable, "-W", "ignore", "-m", "tests.hostile", str(tmp_path_factory.mktemp("hostile"))]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return {facts["case"]: facts for facts in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", CASES)
def test_refused_with_its_reason_within_bounds(outcomes, name):
    found, expected = outcomes[name], CASES[name][2]
    assert issubclass(getattr(errors, found["error"], Exception), errors.PitpulseError), found
    assert re.search(expected, found["message"]) and len(found["message"]) < 1500
    assert found["grown"] < MEMORY
    assert found["seconds"] < SECONDS
