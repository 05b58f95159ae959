"""Claims: one run at a time on a mine, none for ever, nothing left behind."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from pipeline.claims import RunClaims
from pipeline.storage import open_store

DEAD = {"beat": 0.0, "lifetime": 120.0}


@pytest.fixture(params=["file", "memory"])
def root(request, tmp_path):
    return open_store(tmp_path if request.param == "file" else f"memory://claims-{tmp_path.name}")


def put(root, path, facts):
    root.write_bytes(path, json.dumps(facts).encode())


def test_a_claim_keeps_others_out_until_it_is_released(root):
    with RunClaims(root) as first, RunClaims(root) as second:
        assert first.claim("pit-t001")
        assert not second.claim("pit-t001") and second.claim("other-t001")
        first.release("pit-t001")
        assert second.claim("pit-t001")


def test_of_rivals_one_wins(root):
    with ExitStack() as stack:
        runs = [stack.enter_context(RunClaims(root)) for _ in range(8)]
        for k in range(5):
            with ThreadPoolExecutor(8) as pool:
                assert sum(pool.map(lambda run, k=k: run.claim(f"pit-{k}"), runs)) == 1


def test_nothing_is_left(root, tmp_path):
    with RunClaims(root) as run:
        assert run.claim("pit-t001")
        root.write_bytes(f"{run.folder}/pit.zarr/zarr.json", b"{}")
        assert root.exists(f"{run.folder}/alive.json")
    assert [p for p in root.fs.find(root.path) if root.fs.isfile(p)] == []
    assert not root.is_local or list(tmp_path.iterdir()) == []


def test_a_dead_run_holds_nothing_and_what_it_staged_is_removed(root):
    put(root, "work/0dead0/alive.json", DEAD)
    root.write_bytes("work/0dead0/pit.zarr/zarr.json", b"{}")
    put(root, "work/claims/pit-t001/3.json", {"run": "0dead0"})
    root.write_bytes("work/claims/pit-t002/1.json", b"{ torn")
    with RunClaims(root) as run:
        assert not root.exists("work/0dead0")
        assert run.claim("pit-t001") and run.claim("pit-t002")
        assert root.list("work/claims/pit-t001") == ["4.json"]


def test_a_living_run_stays_alive_beyond_its_lifetime(root):
    with RunClaims(root, lifetime=0.6) as first:
        assert first.claim("pit-t001")
        time.sleep(1.5)
        with RunClaims(root) as second:
            assert not second.claim("pit-t001")
        assert root.exists(f"{first.folder}/alive.json")


def test_a_killed_run_of_this_machine_holds_nothing_at_once(root):
    if not root.is_local:
        pytest.skip("another process can't see this one's memory")
    code = (
        "import sys; from pipeline.claims import RunClaims; from pipeline.storage import open_store\n"
        "run = RunClaims(open_store(sys.argv[1])).__enter__(); run.claim('pit-t001'); print(run.run, flush=True)\n"
        "sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, root.path], **pipes) as process:
        name = process.stdout.readline().strip()
        with RunClaims(root) as run:
            assert not run.claim("pit-t001")
            process.kill()
            process.wait()
            assert run.claim("pit-t001")
        with RunClaims(root):
            assert not root.exists(f"work/{name}")
