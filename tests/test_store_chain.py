"""The whole chain on an object store: SAFE products read from it, products, catalog and index written to it."""

import hashlib
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from catalog import open_mine, search
from catalog.check import problems, published_versions
from pipeline.cube import open_cube
from pipeline.storage import open_store

from .fault_proxy import Fault, FaultProxy
from .runs import RUNS
from .runs import command as words_of
from .seaweed import forget_clients

YEAR = "2022"
# no more than three times each, for a request is tried five times
FAULTS = (
    ("status", "GET", "/manifest.safe", 503),
    ("reset", "GET", "/annotation/", 0),
    ("truncate", "GET", "/measurement/", 100),
    ("slow", "GET", "/measurement/", 0.2),
    ("status", "PUT", "faults/out/catalog/", 500),
    ("reset", "PUT", "faults/out/products/", 0),
    ("lost", "PUT", "faults/out/work/", 0),
    ("slow", "PUT", "faults/out/", 0.2),
)
PARTS = 16  # files under way at once


@pytest.fixture
def uploaded(s3, tiny_scene):
    """One year's products of the tiny scene, and its DEM, in the bucket."""
    place = open_store(s3.url("chain/slc"))
    place.fs.connect()
    if place.exists():  # by the test before
        return s3.url("chain/slc")
    products = [p for p in tiny_scene.products if f"_{YEAR}" in p.name]
    files = [path for product in products for path in product.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(PARTS) as pool:
        list(
            pool.map(
                lambda path: place.fs.put_file(str(path), f"{place.path}/{path.relative_to(tiny_scene.slc)}"), files
            )
        )
    return s3.url("chain/slc")


def words(scene, archive: str, out: str) -> list[str]:
    return scene.run(out, *scene.settings(), "--years", YEAR, archive=archive)


def command(arguments) -> subprocess.CompletedProcess:
    return subprocess.run(words_of(arguments), capture_output=True, text=True)


def test_from_the_store_and_to_it(uploaded, s3, tiny_scene, tmp_path):
    folder = tmp_path / "slc"
    folder.mkdir()
    for product in tiny_scene.products:
        if f"_{YEAR}" in product.name:
            (folder / product.name).symlink_to(product)
    local = command(words(tiny_scene, str(folder), str(tmp_path / "o")))
    remote = command(words(tiny_scene, uploaded, s3.url("chain/out")))
    assert local.returncode == remote.returncode == 0, local.stderr + remote.stderr
    ratio = float(
        next(line for line in remote.stdout.splitlines() if line.startswith("read ")).split("(")[1].split()[0]
    )
    assert ratio <= 1.5, remote.stdout
    (version,) = published_versions(s3.url("chain/out"))
    assert version.state == "done" and problems(s3.url("chain/out"), version) == []
    cubes = [next(Path(tmp_path / "o").rglob("v*.zarr")).as_posix(), f"{s3.url('chain/out')}/{version.stem}.zarr"]
    first, second = (open_cube(url).load() for url in cubes)
    for name in first.data_vars:
        np.testing.assert_array_equal(first[name].values, second[name].values, err_msg=str(name))
    assert [item.id for item in search(s3.url("chain/out"), mine="tiny")] == [f"tiny-{YEAR}"]
    assert open_mine("tiny", s3.url("chain/out"))["ndai"].sizes["year"] == 1
    again = command(words(tiny_scene, uploaded, s3.url("chain/out")))
    assert again.returncode == 0 and "skipped, the same is published" in again.stdout
    left = [
        path for path in open_store(s3.url("chain/out")).fs.find("pitpulse-test/chain/out/work") if path.endswith("n")
    ]
    assert left == []


def published_objects(url: str) -> dict[str, str]:
    """Checksum of every object that a reader may see, but for records of runs and what an index run numbers."""
    place = open_store(url)
    paths = {path.removeprefix(f"{place.path}/") for path in place.fs.find(place.path)}
    numbered = (RUNS, "catalog/read-", "catalog/items", "pages/", "work/")
    names = sorted(name for name in paths if not name.startswith(numbered) and "." in name)
    with ThreadPoolExecutor(PARTS) as pool:
        return dict(zip(names, pool.map(lambda n: hashlib.sha256(place.read_bytes(n)).hexdigest(), names), strict=True))


def test_a_store_that_fails_gives_the_same_in_the_end(uploaded, s3, tiny_scene, monkeypatch):
    """An outage that a run can't outlast; then the same run again, through whatever a network does to a request."""
    out = s3.url("faults/out")
    arguments = words(tiny_scene, uploaded, out)

    def empty():
        place = open_store(out)
        place.fs.rm(place.path, recursive=True)

    with FaultProxy(int(s3.endpoint.rsplit(":", 1)[1])) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)  # always by the proxy: items name the endpoint
        forget_clients()
        whole = command(arguments)
        assert whole.returncode == 0, whole.stderr
        expected = published_objects(out)
        assert any(name.endswith("manifest.json") for name in expected)
        empty()
        proxy.faults[:] = [Fault("status", "PUT", "faults/out/products/", 10**6, 503)]
        outage = command(arguments)
        assert outage.returncode == 1 and ": failed: can't write" in outage.stdout, outage.stdout + outage.stderr
        assert list(published_versions(out)) == []
        proxy.faults[:] = [Fault(kind, method, part, 3, value) for kind, method, part, value in FAULTS]
        again = command(arguments)
        assert again.returncode == 0 and "leased" not in again.stdout, again.stdout + again.stderr
        assert all(fault.done == fault.times for fault in proxy.faults), proxy.faults
        assert published_objects(out) == expected
        record = max(n for n in open_store(out).list("runs") if n.endswith(".jsonl"))
        (line,) = open_store(out).read_bytes(f"runs/{record}").splitlines()
        assert json.loads(line)["retries"] >= 3  # of reads of samples
