"""Scheduler, workers and command as processes of their own: whichever is killed, what is published is the same."""

import json
import os
import signal
import subprocess
import time

from catalog import search
from catalog.check import problems, published_versions
from pipeline.storage import open_store

from .dask_processes import DaskProcesses
from .runs import command, published, when_it_says


def ends(process, out) -> tuple[int, str]:
    """Exit code and what was said on stdout."""
    code = process.wait(timeout=300)
    return code, out.read_text()


def start(words, folder) -> tuple[subprocess.Popen, "os.PathLike", "os.PathLike"]:
    """The command under way, and the files of its stdout and stderr."""
    folder.mkdir(parents=True)
    out, log = folder / "out", folder / "log"
    with open(out, "wb") as stdout, open(log, "wb") as stderr:
        return subprocess.Popen(command(words), stdout=stdout, stderr=stderr, start_new_session=True), out, log


def test_a_worker_is_killed_and_then_the_client(tiny_scene, undisturbed, tmp_path):
    with DaskProcesses(tmp_path / "dask") as dask:
        words = tiny_scene.run(tmp_path / "a", *tiny_scene.settings(), "--scheduler", dask.address)
        process, out, log = start(words, tmp_path / "first")
        when_it_says("coherence 1/", process, log)
        dask.workers[0].kill()
        code, said = ends(process, out)
        assert code == 0, said + log.read_text() + dask.said()
        assert published(tmp_path / "a") == published(undisturbed)

        dask.add_worker()
        words = tiny_scene.run(tmp_path / "b", *tiny_scene.settings(), "--scheduler", dask.address)
        process, out, log = start(words, tmp_path / "second")
        when_it_says("coherence 1/", process, log)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process, out, log = start(words, tmp_path / "third")  # while the workers still work for the dead one
        code, said = ends(process, out)
        assert code == 0 and "leased" not in said, said + log.read_text() + dask.said()
        assert published(tmp_path / "b") == published(undisturbed)
        assert not (tmp_path / "b" / "work").exists()


def test_the_scheduler_is_killed(tiny_scene, undisturbed, tmp_path):
    root = tmp_path / "o"
    with DaskProcesses(tmp_path / "dask", workers=1) as dask:
        words = tiny_scene.run(root, *tiny_scene.settings(), "--scheduler", dask.address)
        process, out, log = start(words, tmp_path / "first")
        when_it_says("classes and areas", process, log)
        killed = time.monotonic()
        dask.scheduler.kill()
        code, said = ends(process, out)
        assert code == 1 and "the Dask scheduler went away" in said, said + log.read_text()
        assert time.monotonic() - killed < 60.0
        for version in published_versions(root):  # what is visible is whole
            assert problems(root, version) == []
    with DaskProcesses(tmp_path / "again", workers=1) as dask:
        words = tiny_scene.run(root, *tiny_scene.settings(), "--scheduler", dask.address)
        process, out, log = start(words, tmp_path / "second")
        code, said = ends(process, out)
        assert code == 0 and "leased" not in said, said + log.read_text() + dask.said()
    assert published(root) == published(undisturbed)
    assert not (root / "work").exists()


def test_two_refreshes_at_once(tiny_scene, tmp_path):
    """Of every product there is one, made once; the index has them all, whoever was last."""
    mines = tmp_path / "mines.geojson"
    one = json.loads(tiny_scene.mine.read_text())
    features = [{**one, "properties": {**one["properties"], "id": f"pit{k}", "name": f"Pit {k}"}} for k in range(3)]
    mines.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    root = tmp_path / "o"
    with DaskProcesses(tmp_path / "dask") as dask:
        words = ["refresh", *tiny_scene.run(root, *tiny_scene.settings(), "--scheduler", dask.address)[1:]]
        words[words.index("--mine") + 1] = str(mines)
        both = [start(words, tmp_path / name) for name in ("first", "second")]
        ended = [ends(process, out) for process, out, _ in both]
    assert [code for code, _ in ended] == [0, 0], "".join(said for _, said in ended) + both[0][2].read_text()
    place = open_store(str(root))
    lines = [json.loads(x) for n in place.list("runs") if n.endswith(".jsonl")
             for x in place.read_bytes(f"runs/{n}").splitlines()]  # fmt: skip
    made = sorted(facts["key"] for facts in lines if facts["state"] == "done")
    assert len(made) == 6 == len(set(made)), made
    assert sorted(v.state for v in published_versions(root)) == ["done"] * 6
    assert {item.id for item in search(str(root))} == {f"pit{k}-{year}" for k in range(3) for year in (2021, 2022)}
    assert not (root / "work").exists()
