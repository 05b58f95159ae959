"""Clusters by settings: what they accept, one on this machine, one by address, one by job scripts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.clusters import ClusterSettings, WorkerSetup, open_client, read_cluster
from pipeline.errors import BadInput, Unavailable

from .dask_processes import DaskProcesses


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"kind": "cloud"}, "local, address, kubernetes"),
        ({"kind": "local", "workers": 0}, "workers must be a whole number from 1"),
        ({"kind": "local", "workers": True}, "workers"),
        ({"kind": "local", "minimum": 3, "workers": 2}, "minimum 3"),
        ({"kind": "local", "memory": "much"}, "'4GiB'"),
        ({"kind": "local", "address": "tcp://10.0.0.1:8786"}, "has no key address"),
        ({"kind": "address"}, "needs the key address"),
        ({"kind": "kubernetes"}, "needs the key spec"),
        ({"kind": "local", "wokers": 2}, "wokers"),
        ({"options": []}, "options"),
        (4, "must be an address"),
    ],
)
def test_settings_that_cannot_be_used_are_named(values, word):
    with pytest.raises(BadInput, match=word):
        read_cluster(values)


def test_an_address_alone_is_a_cluster():
    assert read_cluster("tcp://10.0.0.1:8786") == ClusterSettings("address", "tcp://10.0.0.1:8786")


def facts_of(client) -> list[dict]:
    """What each worker says of itself."""

    def ask():
        return {name: os.environ.get(name) for name in ("PITPULSE_THREADS", "PITPULSE_STORES")} | {"pid": os.getpid()}

    return list(client.run(ask).values())


def test_workers_of_this_machine(monkeypatch):
    cores = len(os.sched_getaffinity(0))
    with open_client(ClusterSettings(workers=2, memory="1GiB", threads=3)) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        assert [w["memory_limit"] for w in workers.values()] == [2**30] * 2
        assert {w["nthreads"] for w in workers.values()} == {1}
        assert [f["PITPULSE_THREADS"] for f in facts_of(client)] == ["3", "3"]
    with open_client(jobs=1) as client:
        assert [f["PITPULSE_THREADS"] for f in facts_of(client)] == [str(cores)]  # workers x threads fit the machine


def test_adaptive_workers_come_and_go():
    with open_client(ClusterSettings(workers=1, minimum=0), jobs=3) as client:
        assert not client.scheduler_info(n_workers=-1)["workers"]
        assert client.gather(client.map(lambda k: k + 1, range(3))) == [1, 2, 3]
        client.run_on_scheduler(_patient)
        for _ in range(200):
            if not client.scheduler_info(n_workers=-1)["workers"]:
                return
            client.run_on_scheduler(_patient)
        pytest.fail("the worker stayed, though there was nothing to do")


async def _patient(dask_scheduler=None):
    import asyncio

    await asyncio.sleep(0.1)


@pytest.fixture
def scheduler(tmp_path, monkeypatch):
    """Address of a scheduler with one worker, which are processes of their own."""
    monkeypatch.setenv("PITPULSE_STORES", "")
    with DaskProcesses(tmp_path / "dask", workers=1, threads=2) as dask:
        yield dask.address


def test_settings_reach_workers_that_were_started_elsewhere(scheduler, monkeypatch):
    stores = '{"s3://slc/": {"anonymous": true}}'
    monkeypatch.setenv("PITPULSE_STORES", stores)
    said = []
    with open_client(ClusterSettings("address", scheduler, threads=3)) as client:
        client.wait_for_workers(1, timeout=100)
    with open_client(ClusterSettings("address", scheduler, threads=3), say=said.append) as client:
        (facts,) = facts_of(client)
        assert (facts["PITPULSE_THREADS"], facts["PITPULSE_STORES"]) == ("3", stores)
        with pytest.raises(BadInput, match=r"has pitpulse \d.*and this command is pitpulse 0\.0\.0"):
            client.register_plugin(WorkerSetup({}, "pitpulse 0.0.0"))
    assert any("--nthreads 1" in line for line in said) and any("dashboard" in line for line in said)


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("pipeline.clusters.CONNECT", 0.3)
    with pytest.raises(Unavailable, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 ") as caught:
        with open_client(ClusterSettings("address", "tcp://user:word@127.0.0.1:9")):
            pass
    assert "word" not in str(caught.value)


SCRIPT = """
import json, os, sys
from pipeline.clusters import open_client, read_cluster
with open_client(read_cluster(json.loads(sys.argv[1]))) as client:
    client.wait_for_workers(1, timeout=100)
    ask = lambda: [os.environ.get(name) for name in ("PITPULSE_THREADS", "PITPULSE_STORES", "SLURM_JOB_ID")]
    print(json.dumps(list(client.run(ask).values())))
"""
# what Slurm's two commands do with a job script, as far as a client can tell: it runs somewhere else, by a number
SBATCH = """#!/bin/sh
cp "$1" "$0.job"  # it is removed as soon as this command ends
SLURM_JOB_ID=stand-in setsid bash "$0.job" >"$0.log" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -- "-$1"
"""


def test_batch_jobs_are_workers(tmp_path):
    """Real dask-jobqueue and its Slurm job script, on a stand-in for Slurm's commands."""
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    options = {"local_directory": str(tmp_path), "log_directory": str(tmp_path), "walltime": "00:10:00"}
    options |= {"scheduler_options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    cluster = {"kind": "slurm", "workers": 1, "memory": "1GiB", "threads": 1, "options": options}
    words = [sys.executable, "-c", SCRIPT, json.dumps(cluster)]
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PITPULSE_STORES": "{}", "PYTHONPATH": str(Path.cwd()), "PATH": path}
    done = subprocess.run(words, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=200)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["1", "{}", "stand-in"]]


@pytest.mark.parametrize("kind", ["slurm", "kubernetes", "gateway"])
def test_a_library_that_is_missing_is_named(kind, monkeypatch, tmp_path):
    spec = tmp_path / "spec.json"
    spec.write_text('{"kind": "DaskCluster"}')
    more = {"kubernetes": {"spec": str(spec)}, "gateway": {"address": "http://127.0.0.1:9"}}.get(kind, {})
    for name in ("dask_jobqueue", "dask_kubernetes.operator", "dask_gateway"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadInput, match=r"install pitpulse\["):
        with open_client(ClusterSettings(kind, **more)):
            pass


def test_a_manifest_of_another_kind_is_refused(tmp_path):
    spec = tmp_path / "spec.json"
    spec.write_text('{"kind": "Pod"}')
    with pytest.raises(BadInput, match="kind DaskCluster"):
        with open_client(ClusterSettings("kubernetes", spec=str(spec))):
            pass
