"""`pitpulse verify` and `status`: what was published is read back, and every mine-year's state is told."""

import shutil

import pytest

from catalog.check import problems, published_versions
from pipeline.cli import main
from pipeline.commands.verify import verify
from pipeline.errors import BadInput
from pipeline.records import write_outcomes
from pipeline.storage import open_store

from .test_catalog import published


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("verify")
    published(root, year=2021)
    published(root, year=2022)
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "root")


def one(root, pattern):
    return next(iter(sorted(root.glob(f"products/*/2021/{pattern}"))))


def test_what_is_whole_is_whole(root, capsys):
    assert main(["verify", str(root)]) == 0
    assert capsys.readouterr().out == "2 products read back, 0 damaged\n"
    assert [v.state for v in published_versions(root)] == ["done", "done"]


@pytest.mark.parametrize(
    "pattern", ["*.zarr/coherence/c/0/0/0", "*.ndai.tif", "*.thumbnail.png", "*.manifest.json", "*.item.json"]
)
def test_a_changed_byte_is_found(root, capsys, pattern):
    path = one(root, pattern)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert main(["verify", str(root)]) == 1
    text = capsys.readouterr().out
    assert "2021: damaged: " in text and "2022: damaged" not in text


@pytest.mark.parametrize("pattern", ["*.zarr/coherence/c/0/0/0", "*.activity.tif"])
def test_what_is_missing_is_found(root, pattern):
    path = one(root, pattern)
    path.unlink()
    version = published_versions(root)[0]
    (problem,) = problems(root, version)
    assert "objects" in problem or path.name in problem


def test_a_file_too_many_is_found(root):
    (one(root, "*.zarr") / "more").write_bytes(b"x")
    assert len(problems(root, published_versions(root)[0])) == 1


def test_status_tells_done_unlisted_and_failed(root, capsys):
    assert main(["status", str(root)]) == 0
    assert capsys.readouterr().out.endswith("2 done\n")
    next(iter(root.glob("catalog/mine-activity/*-2021.json"))).unlink()
    write_outcomes(open_store(root), [{"key": "pit-t001-2023", "state": "failed", "reason": "Traceback\nKeyError: 1"}])
    assert main(["status", str(root)]) == 1
    text = capsys.readouterr().out
    assert "2021: unlisted: products/" in text and "pit-t001-2023: failed: KeyError: 1" in text
    assert text.endswith("1 done, 1 failed, 1 unlisted\n")


@pytest.mark.parametrize("command", ["verify", "status"])
def test_an_empty_or_absent_folder_is_refused(tmp_path, capsys, command):
    for place in (tmp_path, tmp_path / "absent"):
        assert main([command, str(place)]) == 2
    assert "expected the folder" in capsys.readouterr().err


def test_a_folder_without_products_is_refused(root):
    with pytest.raises(BadInput, match="holds no published product"):
        verify(str(root / "catalog"), print, print)
