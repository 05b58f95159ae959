"""`plan`, `refresh`, `redrive`: what is new is done and said why; what is known isn't done again."""

import json
import time

import pytest

from pipeline.cli import main
from pipeline.commands.metrics import PATH as METRICS
from pipeline.exposition import known_value
from pipeline.records import newest_outcomes
from pipeline.storage import open_store

SAME = ("--set", "minimum_pairs=2", "--set", "stable_minimum=50")


def archive(scene, folder, count: int):
    """The first products of the tiny scene, as links."""
    folder.mkdir(exist_ok=True)
    for product in scene.products[:count]:
        if not (folder / product.name).exists():
            (folder / product.name).symlink_to(product)


def words(command, scene, tmp_path, *more) -> list[str]:
    return [command, *scene.run(tmp_path / "o", *more, archive=tmp_path / "slc")[1:]]


def said(capsys, arguments, code=0) -> list[str]:
    assert main(arguments) == code
    return capsys.readouterr().out.splitlines()


@pytest.fixture(scope="module")
def made(tiny_scene, tmp_path_factory):
    """Seven of eight products, published; a test that adds the eighth comes after those that need seven."""
    tmp_path = tmp_path_factory.mktemp("plan")
    archive(tiny_scene, tmp_path / "slc", 7)
    assert main(words("run", tiny_scene, tmp_path, *SAME)) == 0
    return tmp_path


def test_nothing_published_yet(tiny_scene, tmp_path, capsys):
    archive(tiny_scene, tmp_path / "slc", 8)
    lines = said(capsys, words("plan", tiny_scene, tmp_path))
    assert lines[0].startswith("tiny-t") and "-2021: make: not published yet; 4 dates, about " in lines[0]
    assert lines[-1].startswith("2 of 2 to make: 8 dates, about ")
    assert not (tmp_path / "o").exists()
    found = json.loads("\n".join(said(capsys, words("plan", tiny_scene, tmp_path, "--json"))))["jobs"]
    assert [row["dates"] for row in found] == [4, 4] and all(row["bytes"] > 1e6 for row in found)


def test_one_year_after_the_other(made, tiny_scene, tmp_path, capsys):
    """The same again is nothing to do; other words and new dates are named; then that is done, once."""
    lines = said(capsys, words("plan", tiny_scene, made, *SAME))
    assert [line.split(": ", 1)[1] for line in lines[:2]] == ["skip: published"] * 2
    assert lines[2].endswith("dates cover the mine, incidence unknown in 2021-2022; no other track covers it.")
    assert lines[3] == "0 of 2 to make: 0 dates, about 0 MB, 0 CPU s"
    other = said(capsys, words("plan", tiny_scene, made, "--set", "minimum_pairs=2", "--set", "stable_minimum=40"))
    assert "make: other settings" in other[0]
    assert "make: forced" in said(capsys, words("plan", tiny_scene, made, *SAME, "--force"))[0]

    before = {p: p.stat().st_mtime_ns for p in made.rglob("*") if p.is_file() and "slc" not in p.parts}
    started = time.perf_counter()
    lines = said(capsys, words("refresh", tiny_scene, made, *SAME))
    assert time.perf_counter() - started < 10.0
    assert lines[0].startswith("read 0.0 MB in 0 requests") and lines[-1] == "2 skipped"
    changed = [p.name for p in before if p.stat().st_mtime_ns != before[p]]
    assert changed == ["metrics.prom"]  # which says that somebody looked
    assert known_value((made / "o" / METRICS).read_text(), "pitpulse_run_success") == 1

    config = {
        "archive": str(made / "slc"), "mine": str(tiny_scene.mine), "dem": str(tiny_scene.dem), "out": str(made / "o"),
        "dem_datum": "ellipsoid", "years": "2021-2022", "settings": {"minimum_pairs": 2, "stable_minimum": 50},
    }  # fmt: skip
    path = tmp_path / "refresh.json"
    path.write_text(json.dumps(config))
    assert said(capsys, ["refresh", "--config", str(path)])[-1] == "2 skipped"
    assert "2021: make: other settings" in said(capsys, ["plan", "--config", str(path), "--set", "threshold=0.3"])[0]

    archive(tiny_scene, made / "slc", 8)
    lines = said(capsys, words("plan", tiny_scene, made, *SAME))
    assert "2022: make: 1 new product(s); 4 dates" in lines[1]
    assert "2021: make: polygon, sites or elevation model changed, or another year of the mine did" in lines[0]
    assert said(capsys, words("refresh", tiny_scene, made, *SAME))[-1] == "2 done"
    assert said(capsys, words("refresh", tiny_scene, made, *SAME))[-1] == "2 skipped"


def test_what_gave_no_product_is_left_until_it_is_driven_again(tiny_scene, tmp_path, capsys):
    archive(tiny_scene, tmp_path / "slc", 4)
    more = ("--years", "2021", "--set", "stable_minimum=1000000")
    assert main([*words("refresh", tiny_scene, tmp_path, *more), "--log-json"]) == 1
    out, err = capsys.readouterr()
    assert "stable" in out.splitlines()[0]
    lines = [json.loads(line) for line in err.splitlines()]
    assert all({"time", "level", "message"} <= line.keys() for line in lines)
    key = next(line["key"] for line in lines if line.get("stage") == "geometry")
    bars = [(line["done"], line["total"]) for line in lines if line.get("stage") == "coherence" and line["key"] == key]
    assert bars[-1] == (3, 3) and any(line["level"] == "warning" and line.get("key") == key for line in lines)
    assert lines[-1]["outcomes"] == {"invalid": 1} and lines[-1]["level"] == "warning"
    page = (tmp_path / "o/runs/000001.html").read_text()
    assert "stable points" in page and "tiny 2021" in page and (tmp_path / "o/runs/index.html").read_text() == page
    metrics = (tmp_path / "o" / METRICS).read_text()
    assert 'pitpulse_run_outcomes{state="invalid"} 1' in metrics and known_value(metrics, "pitpulse_run_success") == 0
    record = sorted((tmp_path / "o/runs").glob("*.jsonl"))
    lines = said(capsys, words("refresh", tiny_scene, tmp_path, *more), code=1)
    assert "tiny 2021: invalid: " in lines[0] and lines[-1] == "1 invalid"
    assert sorted((tmp_path / "o/runs").glob("*.jsonl")) == record  # nothing was tried
    assert "known to give no product" in said(capsys, words("plan", tiny_scene, tmp_path, *more))[0]
    assert said(capsys, words("redrive", tiny_scene, tmp_path, *more), code=1)[-1] == "1 invalid"
    assert len(list((tmp_path / "o/runs").glob("*.jsonl"))) == 2
    better = ("--years", "2021", *tiny_scene.settings())
    assert said(capsys, words("redrive", tiny_scene, tmp_path, *better))[-1] == "1 done"
    assert said(capsys, words("redrive", tiny_scene, tmp_path, *better))[-1] == "nothing to do"
    assert [f["state"] for f in newest_outcomes(open_store(tmp_path / "o")).values()] == ["done"]


def test_a_broken_product_is_told_and_the_mine_goes_on(tiny_scene, tmp_path, capsys):
    archive(tiny_scene, tmp_path / "slc", 4)
    name = tiny_scene.products[4].name
    (tmp_path / "slc" / name).mkdir()
    (tmp_path / "slc" / name / "manifest.safe").write_text("<torn")
    told = f"{name.removesuffix('.SAFE')}: invalid: "
    lines = said(capsys, words("run", tiny_scene, tmp_path, "--years", "2021", *tiny_scene.settings()), code=1)
    assert lines[0].startswith("tiny 2021: active") and any(line.startswith(told) for line in lines)
    assert main(["status", str(tmp_path / "o")]) == 1
    assert told in capsys.readouterr().out


# --- the configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "expected JSON"),
        ("[]", "expected an object with archive"),
        ('{"colour": 1}', "found 'colour'"),
        ('{"settings": []}', "settings must be an object"),
        ('{"archive": 1}', "archive must be text"),
        ('{"dem": [1]}', "dem must be a list of texts"),
        ('{"track": "x"}', "track must be a whole number"),
        ('{"archive": "a", "mine": "b", "dem": "c", "out": "d", "years": "x"}', "--years must be a year"),
    ],
)
def test_a_configuration_that_cannot_be_used(tmp_path, capsys, text, expected):
    path = tmp_path / "c.json"
    path.write_text(text)
    assert main(["refresh", "--config", str(path)]) == 2
    assert expected in capsys.readouterr().err


def test_what_is_missing_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--archive", "a", "--mine", "b"])
    assert "the following arguments are required: --dem, --years, --out" in capsys.readouterr().err
