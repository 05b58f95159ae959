"""What a run tells a monitoring system, read by Prometheus' own parser; and progress as JSON lines."""

import io
import json
import math
import pickle
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.cli import main
from pipeline.commands.metrics import PATH, write_metrics
from pipeline.commands.run import run
from pipeline.errors import BadInput, Unavailable
from pipeline.exposition import Family, Sample, exposition, gauge, known_value
from pipeline.mine_year import DemSource
from pipeline.plan import RunRequest
from pipeline.progress import JsonProgress, Progress, wants_json
from pipeline.run import Outcome
from pipeline.storage import open_store
from pipeline.told import Told

OUTCOMES = (
    Outcome("a", "a", 2021, "done", requests=700, bytes_read=10**7, window_bytes=9 * 10**6, retries=3,
            broken=(("S1A_x", "torn"),), seconds={"frame": 1.5, "coherence": 20.0}),
    Outcome("b", "b", 2021, "done", requests=300, bytes_read=10**6, seconds={"frame": 0.5, "publish": 2.0},
            broken=(("S1A_x", "torn"),)),
    Outcome("c", "c", 2021, "failed", "Traceback"),
    Outcome("d", "d", 2021, "leased"),
)  # fmt: skip


def read(text: str) -> dict:
    """Value by name and labels, as Prometheus' parser understands the text."""
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation and family.type != "unknown" for family in families)
    return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


@pytest.fixture(params=["file", "memory"])
def root(request, tmp_path):
    return open_store(tmp_path if request.param == "file" else f"memory://metrics-{tmp_path.name}")


# --- the format -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word", ["plain", 'quote " inside', "back\\slash", "line\nbreak", "\\n", "무산 ü", '{a="b"} 1']
)
def test_a_label_comes_back_as_it_was(word):
    text = exposition([Family("x", "gauge", f"Of {word}", (Sample(1.5, {"a": word, "b": "c"}),))])
    (family,) = text_string_to_metric_families(text)
    assert family.samples[0].labels == {"a": word, "b": "c"} and family.samples[0].value == 1.5
    assert len(text.splitlines()) == 3


def test_numbers_come_back_as_they_were():
    for value in (0, 3, 10**15, 0.1, 1e-9, -2.5, 1764407095.123, math.inf, -math.inf):
        assert read(exposition([gauge("x", "X", value)])) == {("x",): value}
    assert math.isnan(read(exposition([gauge("x", "X", math.nan)]))[("x",)])
    assert exposition([gauge("x", "X", None)]) == ""


def test_a_value_is_found_in_a_text_and_nonsense_is_not():
    text = exposition(
        [gauge("x_long", "X", 1), gauge("x", "X", 2.5), Family("y", "gauge", "Y", (Sample(1, {"a": "b"}),))]
    )
    assert known_value(text, "x") == 2.5 and known_value(text, "x_long") == 1.0
    assert known_value(text, "y") is None and known_value("x torn", "x") is None and known_value("", "x") is None


# --- a run ----------------------------------------------------------------------------------------


def test_a_run_is_told(root):
    write_metrics(root, 1000.5, 12.25, OUTCOMES)
    found = read(root.read_bytes(PATH).decode())
    states = {
        state: found["pitpulse_run_outcomes", state] for state in ("done", "skipped", "invalid", "failed", "leased")
    }
    assert states == {"done": 2, "skipped": 0, "invalid": 0, "failed": 1, "leased": 1}
    stages = {key[1]: value for key, value in found.items() if key[0] == "pitpulse_run_stage_seconds"}
    assert stages == {"frame": 2.0, "coherence": 20.0, "publish": 2.0}
    sums = {name: found[f"pitpulse_run_{name}",] for name in ("requests", "retries", "read_bytes", "window_bytes")}
    assert sums == {"requests": 1000, "retries": 3, "read_bytes": 11_000_000, "window_bytes": 9_000_000}
    assert found["pitpulse_run_broken_products",] == 1 and found["pitpulse_run_duration_seconds",] == 12.25
    assert found["pitpulse_run_last_timestamp_seconds",] == found["pitpulse_run_last_completed_timestamp_seconds",]
    assert found["pitpulse_run_completed",] == 1 and found["pitpulse_run_success",] == 0
    assert ("pitpulse_run_last_success_timestamp_seconds",) not in found  # never


def test_the_last_good_moments_outlive_bad_runs(root):
    write_metrics(root, 1000.0, 1.0, OUTCOMES[3:], True)
    write_metrics(root, 2000.0, 1.0, OUTCOMES)
    write_metrics(root, 3000.0, 1.0, None)
    found = read(root.read_bytes(PATH).decode())
    names = ("last", "last_completed", "last_success")
    assert [found[f"pitpulse_run_{name}_timestamp_seconds",] for name in names] == [3000.0, 2000.0, 1000.0]
    assert found["pitpulse_run_completed",] == found["pitpulse_run_success",] == 0
    assert not any(key[0] == "pitpulse_run_outcomes" for key in found)  # they aren't known
    root.write_bytes(PATH, b"\xff torn")
    write_metrics(root, 4000.0, 1.0, OUTCOMES[3:], True)
    assert read(root.read_bytes(PATH).decode())["pitpulse_run_last_success_timestamp_seconds",] == 4000.0


def request(folder, archive) -> RunRequest:
    return RunRequest(str(archive), "sishen", DemSource((str(folder / "dem.tif"),)), (2021,), str(folder / "out"))


def test_a_run_that_breaks_off_says_so_where_one_was_before(tmp_path):
    wanted = request(tmp_path, tmp_path / "absent")
    with pytest.raises((Unavailable, BadInput)):
        run(wanted, print, print)
    assert not (tmp_path / "out").exists()  # nothing is made of a spelling mistake
    root = open_store(tmp_path / "out")
    write_metrics(root, 1000.0, 1.0, OUTCOMES[:0], True)
    with pytest.raises((Unavailable, BadInput)):
        run(wanted, print, print)
    found = read(root.read_bytes(PATH).decode())
    assert found["pitpulse_run_completed",] == 0 and found["pitpulse_run_last_timestamp_seconds",] > 1e9
    assert found["pitpulse_run_last_success_timestamp_seconds",] == 1000.0


# --- lines for machines ---------------------------------------------------------------------------


def test_what_is_told_is_a_text_that_survives_the_way():
    told = Told("a: coherence 3/12", "warning", key="a", done=3)
    assert told == "a: coherence 3/12" and f"{told}" == "a: coherence 3/12"
    for copy in (pickle.loads(pickle.dumps(told)), Told.of(json.loads(json.dumps(told.event())))):
        assert (copy, copy.level, copy.facts) == (told, "warning", {"key": "a", "done": 3})


def test_progress_as_json_is_an_object_a_line(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with JsonProgress() as progress:
        progress("plain\nwords")
        progress(Told("a: coherence 3/12", "warning", key="a", stage="coherence", done=3, total=12))
    first, second = map(json.loads, sys.stderr.getvalue().splitlines())
    assert (first["level"], first["message"]) == ("info", "plain\nwords") and first["time"].endswith("Z")
    facts = {"level": "warning", "key": "a", "stage": "coherence", "done": 3, "total": 12}
    assert {name: second[name] for name in facts} == facts


def test_a_long_silence_is_told_with_what_was_said_last(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    for kind in (JsonProgress, Progress):
        monkeypatch.setattr(kind, "INTERVAL", 0.05)
        with kind() as progress:
            progress(Told("a: coherence 3/12", key="a"))
            progress._stop.wait(0.3)
    lines = sys.stderr.getvalue().splitlines()
    again = json.loads(lines[1])
    assert (again["message"], again["key"], again["waited_seconds"]) == ("a: coherence 3/12", "a", 0)
    assert lines[-1].startswith("  … a: coherence 3/12 (0 s)")


def test_who_asks_for_json_gets_it_even_for_what_ends_the_command(tmp_path, capsys, monkeypatch):
    words = ["run", "--archive", str(tmp_path / "absent"), "--mine", "sishen", "--dem", "dem.tif", "--years", "2021"]
    words += ["--out", str(tmp_path / "out")]
    assert main([*words, "--log-json"]) == 2
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert line["level"] == "error" and "absent" in line["message"]
    assert main(words) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("pitpulse: ")
    monkeypatch.setenv("PITPULSE_LOG", "json")
    assert main(words) == 2
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["level"] == "error"
    monkeypatch.setenv("PITPULSE_LOG", "xml")
    assert main(words) == 2
    assert "PITPULSE_LOG must be json or text, instead got 'xml'" in capsys.readouterr().err
    with pytest.raises(BadInput, match="PITPULSE_LOG"):
        wants_json(True)
