"""The whole chain on an object store: SAFE products read from it, products, catalog and index written to it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from catalog import open_mine, search
from catalog.check import problems, published_versions
from pipeline.cube import open_cube
from pipeline.storage import open_store

YEAR = "2022"
PARTS = 16  # files under way at once


@pytest.fixture
def uploaded(s3, tiny_scene):
    """One year's products of the tiny scene, and its DEM, in the bucket."""
    place = open_store(s3.url("chain/slc"))
    place.fs.connect()
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
    return subprocess.run([sys.executable, "-m", "pipeline.cli", *arguments], capture_output=True, text=True)


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
