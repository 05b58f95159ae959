"""The record of a run: one JSON line an outcome, one file a run, the newest word on each job."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.errors import Unavailable
from pipeline.records import newest_outcomes, outcome_line, write_outcomes
from pipeline.storage import open_store

FACTS = {"key": "pit-t001-2021", "state": "failed", "reason": "line one\nline two", "area": (math.nan, 1.0, math.inf)}


@pytest.fixture(params=["file", "memory"])
def root(request, tmp_path):
    return open_store(tmp_path if request.param == "file" else f"memory://records-{tmp_path.name}")


def test_a_line_is_json_without_breaks_and_says_the_versions():
    line = outcome_line(FACTS)
    facts = json.loads(line)
    assert "\n" not in line
    assert facts["reason"] == "line one\nline two" and facts["area"] == [None, 1.0, None]
    assert {"pitpulse", "numpy", "numba", "zarr", "distributed"} == set(facts["versions"])


def test_the_newest_word_counts(root):
    assert newest_outcomes(root) == {}
    other = {"key": "other", "state": "done"}
    assert write_outcomes(root, [FACTS, other]) == "runs/000001.jsonl"
    assert write_outcomes(root, [{**FACTS, "state": "done", "reason": ""}]) == "runs/000002.jsonl"
    found = newest_outcomes(root)
    assert found["pit-t001-2021"]["state"] == "done" and found["other"]["state"] == "done"
    assert len(root.read_bytes("runs/000001.jsonl").splitlines()) == 2


def test_what_has_no_year_is_told_by_the_last_run_alone(root):
    torn = {"key": "S1A_x", "year": 0, "state": "invalid"}
    write_outcomes(root, [torn])
    assert newest_outcomes(root)["S1A_x"]["state"] == "invalid"
    write_outcomes(root, [FACTS])
    assert list(newest_outcomes(root)) == [FACTS["key"]]


def test_rivals_lose_nothing(root):
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda k: write_outcomes(root, [{"key": f"k{k}", "state": "done"}]), range(8)))
    assert len(set(paths)) == 8
    assert set(newest_outcomes(root)) == {f"k{k}" for k in range(8)}


def test_a_damaged_record_is_named(root):
    root.write_bytes("runs/000001.jsonl", b'{"key": "a", "state": "done"}\n{"key": "b", "st')
    with pytest.raises(Unavailable, match=r"runs/000001\.jsonl holds a line that is no outcome"):
        newest_outcomes(root)


def test_a_name_that_is_no_text_loses_no_record(root):
    reason = b"/data/caf\xe9.tiff".decode(errors="surrogateescape")
    write_outcomes(root, [{"key": "a", "state": "failed", "reason": reason}])
    assert newest_outcomes(root)["a"]["reason"] == reason
