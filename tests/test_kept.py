"""What is kept between runs: a new date costs one read, and the product is what it would have been, bit by bit."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from pipeline.archive import list_granules
from pipeline.cli import main
from pipeline.commands.run import parse_settings
from pipeline.kept import date_key, open_kept, stack_key
from pipeline.mine_year import DemSource, make_year
from pipeline.mines import read_mines
from pipeline.plan import RunRequest, plan_jobs
from pipeline.storage import open_store

SAME = ("--set", "minimum_pairs=2", "--set", "stable_minimum=50")


@pytest.fixture(scope="module")
def jobs(tiny_scene):
    """The job of 2022 with three of its four dates, and with all."""
    dem = DemSource((str(tiny_scene.dem),), "ellipsoid")
    settings = parse_settings(["minimum_pairs=2", "stable_minimum=50"])
    request = RunRequest("", "", dem, (2022,), "", settings=settings)
    mine, granules = read_mines(str(tiny_scene.mine))[0][0], list_granules(tiny_scene.slc)
    return [plan_jobs(request, mine, part)[0] for part in (granules[:7], granules)]


@pytest.fixture
def kept(jobs, tmp_path):
    return open_kept(open_store(tmp_path), jobs[0].mine, jobs[0].track, jobs[0].stack)


def equal(first, second) -> None:
    """Datasets are the same, to the bit and to the attribute."""
    assert first.attrs == second.attrs and set(first.variables) == set(second.variables)
    for name in first.variables:
        np.testing.assert_array_equal(first[name].values, second[name].values, err_msg=name)


def test_a_new_date_costs_one_read(jobs, kept):
    plain = make_year(jobs[1])
    before = make_year(jobs[0], kept=kept)
    assert before.window_bytes == plain.window_bytes * 3 // 4
    after = make_year(jobs[1], kept=kept)
    equal(plain.cube, after.cube)
    assert after.window_bytes == plain.window_bytes // 4
    assert after.bytes_read < 0.3 * plain.bytes_read and after.requests < 0.3 * plain.requests
    again = make_year(jobs[1], kept=kept)
    equal(plain.cube, again.cube)
    assert (again.window_bytes, again.bytes_read, again.requests) == (0, 0, 0)


def test_only_the_newest_samples_are_kept(jobs, kept):
    make_year(jobs[1], kept=kept)
    days = sorted(name[:10] for name in kept.place.list("samples"))
    assert days == ["2022-03-11", "2022-03-23", "2022-04-04"]  # 24 days and less before the last
    assert len(kept.place.list("pairs")) == 3 and len(kept.place.list("dates")) == 4


@pytest.mark.parametrize("what", ["pairs", "samples", "dates"])
def test_what_is_torn_is_made_again(jobs, kept, what):
    plain = make_year(jobs[1], kept=kept).cube
    for name in kept.place.list(what):
        data = kept.place.read_bytes(f"{what}/{name}")
        kept.place.write_bytes(f"{what}/{name}", data[: len(data) // 2])
    equal(plain, make_year(jobs[1], kept=kept).cube)
    shutil.rmtree(kept.place.join(what).path)
    equal(plain, make_year(jobs[1], kept=kept).cube)


def test_the_key_follows_what_decides(jobs):
    job = jobs[1]
    keys = {job.stack, jobs[0].stack}
    assert len(keys) == 1  # dates don't decide
    other = dataclasses.replace(job.reference[0], revision="another")
    keys |= {
        stack_key(job.mine, [other], job.dem.key, job.settings),
        stack_key(job.mine, job.reference, "other dem", job.settings),
        stack_key(job.mine, job.reference, job.dem.key, dataclasses.replace(job.settings, spacing=40.0)),
        stack_key(dataclasses.replace(job.mine, geometry={}), job.reference, job.dem.key, job.settings),
    }
    assert len(keys) == 5
    same = dataclasses.replace(job.settings, threshold=0.3)
    assert stack_key(job.mine, job.reference, job.dem.key, same) == job.stack
    assert date_key(job.dates[-1]).startswith("2022-04-04-")
    assert date_key([dataclasses.replace(job.dates[-1][0], revision="x")]) != date_key(job.dates[-1])


def test_a_refresh_reads_the_new_date_alone(tiny_scene, tmp_path, capsys):
    def refresh(count, out):
        (tmp_path / "slc").mkdir(exist_ok=True)
        for product in tiny_scene.products[:count]:
            if not (tmp_path / "slc" / product.name).exists():
                (tmp_path / "slc" / product.name).symlink_to(product)
        assert main(["refresh", *tiny_scene.run(out, *SAME, archive=tmp_path / "slc")[1:]]) == 0
        assert "2 done" in capsys.readouterr().out
        record = sorted((out / "runs").glob("*.jsonl"))[-1]
        return [json.loads(line) for line in record.read_text().splitlines()]

    refresh(7, tmp_path / "a")
    first, second = refresh(8, tmp_path / "a")
    assert first["bytes_read"] == first["requests"] == 0  # its record changed, its coherences didn't
    assert 0 < second["bytes_read"] < 1.5 * second["window_bytes"]
    whole = refresh(8, tmp_path / "b")[1]
    assert second["window_bytes"] == whole["window_bytes"] // 4
    for version in (tmp_path / "b/products").glob("*/*/*.zarr"):
        here = tmp_path / "a" / version.relative_to(tmp_path / "b")
        for path in (p for p in version.rglob("*") if p.is_file()):
            assert (here / path.relative_to(version)).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "a/kept").glob("*/*"))) == 1
