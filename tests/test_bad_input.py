"""What the command says to input that it can't use: what, what was expected, what to do; and nothing half-written."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.errors import BadInput
from pipeline.mines import read_mines, read_sites
from pipeline.simulate import write_raster
from pipeline.simulate.terrain import flat_terrain

from .tiny_scene import HEIGHT, LATITUDE, LONGITUDE, box, ring

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
PARTS = re.compile(r"(^\.|\.part$|\.old$)")


def refused(capsys, words, *expected: str, code: int = 2) -> str:
    """Run the command, which must say all of ``expected`` (regular expressions) and fail without a traceback."""
    assert main([str(w) for w in words]) == code
    printed = capsys.readouterr()
    said = [line for line in printed.err.splitlines() if not line.startswith("  ")]
    text = " ".join(said) if code == 2 else printed.out
    assert "Traceback" not in printed.err + printed.out
    if code == 2:
        assert len(said) == 1 and said[0].startswith("pitpulse: ") and printed.out == ""
    for pattern in expected:
        assert re.search(pattern, text), f"{pattern!r} is not in {text!r}"
    return text


def usage(capsys, words, *expected: str) -> None:
    """As `refused`, where the argument parser answers."""
    with pytest.raises(SystemExit, match="2"):
        main([str(w) for w in words])
    text = capsys.readouterr().err
    assert "Traceback" not in text
    for pattern in expected:
        assert re.search(pattern, text), f"{pattern!r} is not in {text!r}"


def changed(words, name: str, value) -> list[str]:
    """The arguments with another value for an option."""
    words = list(words)
    if name in words:
        words[words.index(name) + 1] = str(value)
        return words
    return [f"{name}={value}" if w.startswith(f"{name}=") else w for w in words]


def clone(product: Path, folder: Path, **files) -> Path:
    """A product of links to another's files, some of them replaced (None: left out)."""
    target = folder / product.name
    for path in sorted(product.rglob("*")):
        place = target / path.relative_to(product)
        if path.is_dir():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        kind = path.parent.name if path.parent != product else path.stem
        if kind not in files:
            place.symlink_to(path)
        elif files[kind] is not None:
            place.write_bytes(files[kind](path.read_bytes()))
    return target


def edited(old: str, new: str):
    """A change of a text file, which must have something to change."""

    def change(data: bytes) -> bytes:
        text = data.decode()
        assert re.search(old, text), old
        return re.sub(old, new, text).encode()

    return change


def leftovers(folder: Path) -> list[str]:
    """What a reader could take for a product or stumble over."""
    return [p.relative_to(folder).as_posix() for p in folder.rglob("*")]


def unpublished(folder: Path) -> list[str]:
    """The same of a run that made nothing, beside what it leaves: the record that says why, its page, numbers."""
    left = set(leftovers(folder))
    record = {"o", "o/runs"}
    record |= {f"o/runs/{name}" for name in
               ("000001.jsonl", "000001.html", "index.html", "listing.json", "metrics.prom")}  # fmt: skip
    assert record <= left
    facts = [json.loads(line) for line in (folder / "o/runs/000001.jsonl").read_text().splitlines()]
    assert facts and all(f["state"] == "invalid" and f["reason"] for f in facts)
    return sorted(left - record)


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ("50.9", "--point must be LAT,LON or LAT,LON,HEIGHT .*instead got '50.9'"),
        ("a,b", "--point must be LAT,LON"),
        ("1,2,3,4", "--point must be LAT,LON"),
        ("nan,3", "a point must be LAT,LON in degrees"),
        ("122.94,-27.6", "instead got 122.94,-27.6; are they swapped"),
    ],
)
def test_point(tiny_scene, capsys, point, expected):
    refused(capsys, ["info", tiny_scene.products[0], f"--point={point}"], expected)


@pytest.mark.parametrize(
    ("bbox", "expected"),
    [
        ("1,2,3", "--bbox must be W,S,E,N in degrees, instead got '1,2,3'"),
        ("1,2,3,x", "--bbox must be W,S,E,N"),
        ("22.9,-27.5,23.0,-27.7", "with S < N, instead got S -27.5 and N -27.7"),
        ("-27.7,122.9,-27.5,123.0", "are they swapped"),
        ("22.95,-27.63,22.93,-27.61", "W < E"),
        ("nan,-27.63,22.93,-27.61", "in degrees"),
    ],
)
def test_bbox(tiny_scene, tmp_path, capsys, bbox, expected):
    refused(capsys, changed(tiny_scene.pair(tmp_path / "o.zarr"), "--bbox", bbox), expected)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("looks", ["7", "0x2", "7x", "axb", "-7x2", "7x2x1"])
def test_looks(tiny_scene, tmp_path, capsys, looks):
    words = tiny_scene.pair(tmp_path / "o.zarr", f"--looks={looks}")
    refused(capsys, words, f"--looks must be RANGExAZIMUTH such as 7x2, instead got '{looks}'")


@pytest.mark.parametrize("spacing", ["0", "-20", "nan"])
def test_spacing(tiny_scene, tmp_path, capsys, spacing):
    refused(capsys, tiny_scene.pair(tmp_path / "o.zarr", f"--spacing={spacing}"), "spacing must be positive")


@pytest.mark.parametrize("years", ["22", "2022-2020", "2010", "2022-", "twenty"])
def test_years(tiny_scene, tmp_path, capsys, years):
    words = tiny_scene.run(tmp_path / "o", "--years", years)
    refused(capsys, words, f"--years must be a year or FIRST-LAST from 2014 on, instead got '{years}'")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("threshold", "--set must be NAME=VALUE with a name of polarization, .*instead got 'threshold'"),
        ("tau=0.2", "--set must be NAME=VALUE .*instead got 'tau=0.2'"),
        ("threshold=high", "--set threshold: expected a value like 0.15, instead got 'high'"),
        ("threshold=2", r"threshold must lie in -1\.\.1"),
        ("looks=7", r"--set looks: expected a value like \[7, 2\]"),
        ("looks=[7]", "looks"),
        ("looks=[7,true]", "looks"),
        ('temporal_baselines=["a"]', "temporal_baselines"),
        ("minimum_pairs=2.5", "minimum_pairs"),
        ("minimum_pairs=true", "minimum_pairs: expected a value like 8"),
        ("threshold=NaN", "threshold"),
        ("classify=magic", "classify must be one of"),
    ],
)
def test_settings(tiny_scene, tmp_path, capsys, setting, expected):
    refused(capsys, tiny_scene.run(tmp_path / "o", "--set", setting), expected)
    assert leftovers(tmp_path) == []


def test_unknown_words(tiny_scene, tmp_path, capsys):
    usage(capsys, ["info", tiny_scene.products[0], "--polarization", "XX"], "invalid choice: 'XX' .*VV.*VH")
    usage(capsys, ["publish"], "invalid choice: 'publish'")
    usage(capsys, ["run", "--archive", "x"], "the following arguments are required: --mine, --dem, --years, --out")
    usage(capsys, changed(tiny_scene.pair(tmp_path / "o"), "--dem-datum", "navd88"), "invalid choice: 'navd88'")


# --- products -------------------------------------------------------------------------------------


def test_a_truncated_measurement(tiny_scene, tmp_path, capsys):
    first = clone(tiny_scene.products[0], tmp_path / "slc", measurement=lambda data: data[: len(data) // 3])
    words = tiny_scene.pair(tmp_path / "o.zarr")
    words[1] = str(first)
    refused(capsys, words, r"measurement/s1a-iw2-slc-vv.*tiff", "expected", "download")
    assert not (tmp_path / "o.zarr").exists() and [p.name for p in tmp_path.iterdir()] == ["slc"]


def test_a_truncated_measurement_is_left_out_and_told(tiny_scene, tmp_path, capsys):
    for product in tiny_scene.products[:7]:
        clone(product, tmp_path / "slc")
    bad = clone(tiny_scene.products[7], tmp_path / "slc", measurement=lambda data: data[: len(data) // 3])
    name = bad.name.removesuffix(".SAFE")
    settings = ("--set", "minimum_pairs=2", "--set", "stable_minimum=50")
    words = tiny_scene.run(tmp_path / "o", *settings, archive=tmp_path / "slc")
    text = refused(capsys, words, f"left out {name}: .*20220404.*measurement", code=1)
    assert "tiny 2021: active 0.00" in text and "tiny 2022: active 0.4" in text and "pairs 2 accepted" in text
    made = sorted(p.name for p in (tmp_path / "o").iterdir())
    assert made == ["catalog", "index.html", "pages", "pictures", "products", "runs"]
    assert f"left out {name}: it could not be used" in refused(capsys, words, "skipped", code=1)
    shutil.rmtree(bad)
    clone(tiny_scene.products[7], tmp_path / "slc")  # downloaded again
    assert main(["redrive", *words[1:]]) == 0
    assert "pairs 3 accepted" in capsys.readouterr().out
    assert main(["redrive", *words[1:]]) == 0
    assert capsys.readouterr().out.endswith("nothing to do\n")


def test_an_annotation_that_is_missing_or_broken(tiny_scene, tmp_path, capsys):
    missing = clone(tiny_scene.products[0], tmp_path / "a", annotation=None)
    refused(capsys, ["info", missing], re.escape(str(missing)), r"expected annotations \(annotation/", "incomplete")
    broken = clone(tiny_scene.products[0], tmp_path / "b", annotation=lambda data: data[:2000])
    refused(capsys, ["info", broken], r"annotation/s1a-iw2-slc-vv.*xml", "expected")
    no_manifest = clone(tiny_scene.products[0], tmp_path / "c", manifest=None)
    refused(capsys, ["info", no_manifest], "expected a SAFE product with manifest.safe, found none")


def test_no_measurement(tiny_scene, tmp_path, capsys):
    empty = clone(tiny_scene.products[0], tmp_path / "a", measurement=None)
    words = tiny_scene.pair(tmp_path / "o.zarr")
    words[1] = str(empty)
    refused(capsys, words, "expected measurements of VV, found only annotation; it is incomplete")


def test_another_mode(tiny_scene, tmp_path, capsys):
    other = clone(tiny_scene.products[0], tmp_path, manifest=edited(">IW<", ">EW<"))
    refused(capsys, ["info", other], "expected an IW SLC product, found EW SLC")


def test_a_polarization_that_is_not_there(tiny_scene, tmp_path, capsys):
    words = [tiny_scene.products[0], "--polarization", "VH"]
    refused(capsys, ["info", *words], "expected polarization VH, found VV; ask for one of these")
    words = tiny_scene.run(tmp_path / "o", "--polarization", "VH")
    refused(capsys, words, "tiny 2021: invalid: .*expected polarization VH, found VV", code=1)
    assert unpublished(tmp_path) == []


def test_an_orbit_with_a_gap(tiny_scene, tmp_path, capsys):
    def keep_three(data: bytes) -> bytes:
        parts = re.split(r"(?=<orbit>)", data.decode())
        assert len(parts) > 10
        last = parts[-1].split("</orbit>", 1)
        return "".join([*parts[:4], "</orbit>".join(["", last[1]]).removeprefix("</orbit>")]).encode()

    product = clone(tiny_scene.products[0], tmp_path / "slc", annotation=keep_three)
    words = tiny_scene.pair(tmp_path / "o.zarr")
    words[1] = str(product)
    refused(capsys, words, "orbit|state vectors")
    assert not (tmp_path / "o.zarr").exists()


def test_dates_that_do_not_belong_together(tiny_scene, tmp_path, capsys):
    words = tiny_scene.pair(tmp_path / "o.zarr")
    words[2] = words[1]
    refused(capsys, words, "reference and secondary must be two dates, instead both start at 2021-03-04T")
    track = edited(r"(relativeOrbitNumber[^>]*>)\d+", r"\g<1>171")
    other = clone(tiny_scene.products[1], tmp_path / "slc", manifest=track)
    words[2] = str(other)
    refused(
        capsys, words, "must be of one track, instead .*_20210304T.* is of track 69 and .*_20210316T.* of track 171"
    )
    assert not (tmp_path / "o.zarr").exists()


def test_slices_without_a_common_burst(tiny_scene, tmp_path, capsys):
    slices = sorted(tiny_scene.slices.iterdir())
    words = tiny_scene.pair(tmp_path / "o.zarr")
    words[1:3] = [str(slices[0]), str(slices[3])]
    refused(capsys, words, "shares no burst over the area with", "expected t069_")


# --- area, mine and heights -----------------------------------------------------------------------


def test_an_area_that_the_products_do_not_see(tiny_scene, tmp_path, capsys):
    write_raster(flat_terrain(-20.0, 30.0, 100.0, 0.5), tmp_path / "dem.tif")
    words = changed(tiny_scene.pair(tmp_path / "o.zarr"), "--bbox", "29.99,-20.01,30.01,-19.99")
    words = changed(words, "--dem", tmp_path / "dem.tif")
    refused(capsys, words, "no burst of the reference sees the area around -20.0", "pitpulse info SAFE --point")
    assert leftovers(tmp_path) == ["dem.tif"]


def test_a_dem_that_does_not_cover(tiny_scene, tmp_path, capsys):
    write_raster(flat_terrain(LATITUDE, LONGITUDE, HEIGHT, 0.004), tmp_path / "dem.tif")
    words = changed(tiny_scene.pair(tmp_path / "o.zarr"), "--dem", tmp_path / "dem.tif")
    refused(capsys, words, "dem.tif", "cover|reach")
    words = changed(tiny_scene.run(tmp_path / "o"), "--dem", tmp_path / "dem.tif")
    refused(capsys, words, "tiny 2021: invalid: .*dem.tif", code=1)
    assert unpublished(tmp_path) == ["dem.tif"]


def test_a_dem_that_is_none(tiny_scene, tmp_path, capsys):
    (tmp_path / "dem.tif").write_bytes(b"not a raster")
    words = changed(tiny_scene.pair(tmp_path / "o.zarr"), "--dem", tmp_path / "dem.tif")
    refused(capsys, words, "dem.tif")
    words = changed(words, "--dem", tmp_path / "absent.tif")
    refused(capsys, words, "absent.tif")
    refused(
        capsys,
        changed(tiny_scene.run(tmp_path / "o"), "--dem", tmp_path / "absent.tif"),
        "absent.tif: nothing is there",
    )
    assert leftovers(tmp_path) == ["dem.tif"]


SQUARE = {"type": "Polygon", "coordinates": [ring(*box(700.0))]}
SWAPPED = {"type": "Polygon", "coordinates": [[[lat, lon] for lon, lat in ring(122.9, -27.7, 123.0, -27.6)]]}
UTM = {"type": "Polygon", "coordinates": [ring(690_000.0, 6_940_000.0, 691_000.0, 6_941_000.0)]}
BOW = {"type": "Polygon", "coordinates": [[[22.9, -27.7], [23.0, -27.6], [23.0, -27.7], [22.9, -27.6], [22.9, -27.7]]]}
NAMED = {"id": "m"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("rubbish", "expected GeoJSON, found something else"),
        ("[1, 2]", "expected a Feature"),
        ("{}", "expected a Feature with a Polygon or MultiPolygon in lon/lat, found None"),
        ('{"features": 3}', "expected a Feature"),
        ({"type": "FeatureCollection", "features": []}, "found 0 features"),
        ({"type": "FeatureCollection", "features": [1]}, "expected a Feature"),
        ({"type": "Feature", "properties": NAMED, "geometry": None}, "Polygon"),
        ({"type": "Feature", "properties": NAMED, "geometry": {"type": "Point", "coordinates": [1, 2]}}, "Polygon"),
        ({"type": "Feature", "properties": NAMED, "geometry": {"type": "Polygon"}}, "Polygon"),
        ({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": []}}, "Polygon, found none"),
        ({"geometry": {"type": "Polygon", "coordinates": [[["a", "b"]]]}}, "Polygon, found some"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}}, "Polygon, found some"),
        ({"type": "Feature", "properties": NAMED, "geometry": SWAPPED}, "are they swapped"),
        ({"type": "Feature", "properties": NAMED, "geometry": UTM}, "in a projection"),
        ({"type": "Feature", "properties": NAMED, "geometry": BOW}, "doesn't cross itself, found: Self-intersection"),
        ({"type": "Feature", "properties": {"id": "***"}, "geometry": SQUARE}, "expected a property id or name"),
        ({"type": "Feature", "properties": [1], "geometry": SQUARE}, "properties"),
    ],
)  # fmt: skip
def test_mines(tiny_scene, tmp_path, capsys, document, expected):
    path = tmp_path / "mine.geojson"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    refused(capsys, changed(tiny_scene.run(tmp_path / "o"), "--mine", path), "mine.geojson", expected)
    assert leftovers(tmp_path) == ["mine.geojson"]


def test_a_mine_may_be_a_multipolygon(tmp_path):
    geometry = {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]}
    path = tmp_path / "two words.geojson"
    path.write_text(json.dumps({"type": "Feature", "properties": None, "geometry": geometry}))
    ((mine,), refused) = read_mines(str(path))
    assert (mine.id, mine.geometry, refused) == ("two-words", geometry, [])
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="expected GeoJSON, found something else"):
        read_mines(str(path))


def features(*entries) -> str:
    """A FeatureCollection of (properties, geometry)."""
    made = [{"type": "Feature", "properties": p, "geometry": g} for p, g in entries]
    return json.dumps({"type": "FeatureCollection", "features": made})


def test_bad_mines_among_good_ones_are_listed(tmp_path):
    path = tmp_path / "mines.geojson"
    rows = [
        ({"id": "a"}, SQUARE),
        ({"id": "b"}, SWAPPED),
        ({"name": "C pit"}, None),
        ({"id": "A"}, SQUARE),
        (None, BOW),
    ]
    path.write_text(features(*rows))
    mines, refused = read_mines(str(path))
    assert [mine.id for mine in mines] == ["a"]
    assert [name for name, _ in refused] == ["b", "C pit", "A", "feature 5"]
    expected = ("are they swapped", "found None", "two mines have the id 'a'", "cross itself")
    assert all(text in reason for text, (_, reason) in zip(expected, refused, strict=True))
    assert read_mines(str(path), ["a"]) == (mines, [])
    with pytest.raises(BadInput, match=r"expected mines nowhere, found a"):
        read_mines(str(path), ["nowhere"])
    path.write_text(features(*rows[1:3]))
    with pytest.raises(BadInput, match=r"none of 2 features is a mine; the first: .* swapped"):
        read_mines(str(path))


def test_the_other_mines_go_on(tiny_scene, tmp_path, capsys):
    facts, geometry = (json.loads(tiny_scene.mine.read_text())[k] for k in ("properties", "geometry"))
    elsewhere = {"type": "Polygon", "coordinates": [ring(29.99, -20.01, 30.01, -19.99)]}
    path = tmp_path / "mines.geojson"
    path.write_text(features(({"id": "far"}, elsewhere), (facts, geometry), ({"id": "torn"}, BOW)))
    words = changed(tiny_scene.run(tmp_path / "o", *tiny_scene.settings(), "--years", "2022"), "--mine", path)
    assert main(words) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("tiny 2022: active 0.49 km²") for line in lines)
    assert any(line.startswith("far: invalid: ") and "none of 8 products" in line for line in lines)
    assert any(line.startswith("torn: invalid: ") and "cross itself" in line for line in lines)
    assert [p.name for p in (tmp_path / "o/catalog/mine-activity").glob("*-2022.json")] == ["tiny-2022.json"]


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        ([({}, SQUARE)], "expected a property name at every site"),
        ([({"name": "x"}, UTM)], "in a projection"),
        ([({"name": "x"}, {"type": "Polygon", "coordinates": [ring(30, -20, 31, -19)]})], "site 'x' lies outside of m"),
        ([({"name": "x"}, SQUARE)] * 2, "two sites of m are named 'x'"),
    ],
)
def test_sites(tmp_path, sites, expected):
    (tmp_path / "mine.geojson").write_text(features((NAMED, SQUARE)))
    mines, _ = read_mines(str(tmp_path / "mine.geojson"))
    path = tmp_path / "sites.geojson"
    path.write_text(features(*sites))
    with pytest.raises(BadInput, match=re.escape(expected)):
        read_sites(str(path), mines)
    path.write_text(features(({"name": "north dump"}, SQUARE)))
    assert read_sites(str(path), mines)[0].sites == (("north dump", SQUARE),)


def test_a_mine_elsewhere(tiny_scene, tmp_path, capsys):
    path = tmp_path / "mine.geojson"
    geometry = {"type": "Polygon", "coordinates": [ring(29.99, -20.01, 30.01, -19.99)]}
    path.write_text(json.dumps({"type": "Feature", "properties": NAMED, "geometry": geometry}))
    write_raster(flat_terrain(-20.0, 30.0, 100.0, 0.5), tmp_path / "dem.tif")
    words = changed(changed(tiny_scene.run(tmp_path / "o"), "--mine", path), "--dem", tmp_path / "dem.tif")
    refused(capsys, words, r"none of 8 products sees the mine m; expected products over 29\.990")
    assert sorted(leftovers(tmp_path)) == ["dem.tif", "mine.geojson"]


def test_too_few_stable_points_is_said(tiny_scene, tmp_path, capsys):
    words = tiny_scene.run(tmp_path / "o", "--set", "stable_minimum=1000000", "--years", "2021")
    refused(capsys, words, "tiny 2021: invalid: .*stable", "1000000", code=1)
    assert unpublished(tmp_path) == []


# --- archives and URLs ----------------------------------------------------------------------------


def test_an_archive_without_products(tiny_scene, tmp_path, capsys):
    (tmp_path / "slc").mkdir()
    words = tiny_scene.run(tmp_path / "o", archive=tmp_path / "slc")
    refused(capsys, words, "no Sentinel-1 IW SLC product found; expected folders")
    refused(
        capsys, tiny_scene.run(tmp_path / "o", archive=tmp_path / "absent"), "can't list .*absent: nothing is there"
    )
    refused(capsys, tiny_scene.run(tmp_path / "o", "--track", "12"), "no product of track 12; found tracks 69")
    assert leftovers(tmp_path) == ["slc"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/nowhere/S1A.SAFE", "can't read /nowhere/S1A.SAFE"),
        ("ftpp://host/S1A.SAFE", "expected a path or a file:, memory: or s3: URL"),
        ("http://127.0.0.1:9/S1A.SAFE", "can't (read|list) http://127.0.0.1:9/S1A.SAFE"),
        ("http://user:secret@127.0.0.1:9/S1A.SAFE", r"can't (read|list) http://127\.0"),
        ("s3://bucket/S1A.SAFE", "can't (read|list) s3://bucket/S1A.SAFE"),
    ],
)
def test_a_url_that_cannot_be_read_fails_fast(url, expected):
    environment = {**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a"}
    environment |= {"AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "x", "AWS_EC2_METADATA_DISABLED": "true"}
    started = time.monotonic()
    words = [sys.executable, "-m", "pipeline.cli", "info", url]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "secret" not in done.stderr
    assert re.search(expected, done.stderr), done.stderr
    assert time.monotonic() - started < 30.0  # s, importing included: refused connections aren't retried for minutes


def test_a_scheduler_that_does_not_answer(tiny_scene, tmp_path, capsys):
    words = tiny_scene.run(tmp_path / "o", "--scheduler", "tcp://127.0.0.1:9")
    refused(capsys, words, "no Dask scheduler answers at tcp://127.0.0.1:9", "check the address")
    refused(capsys, changed(words, "--scheduler", "gopher//x"), "no Dask scheduler answers at gopher//x")
    assert leftovers(tmp_path) == []


# --- writing --------------------------------------------------------------------------------------


def test_places_that_cannot_be_written(tiny_scene, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    refused(capsys, tiny_scene.pair(tmp_path / "file/o.zarr"), "can't (write|read) .*file/o.zarr", "folder|permissions")
    refused(capsys, tiny_scene.run(tmp_path / "file/o"), "can't write .*file/o", "a part of its path is a file")
    refused(capsys, ["simulate", tmp_path / "file/o"], "can't write .*file/o")
    refused(capsys, ["simulate", "s3://bucket/o"], "simulated products are written to a local folder")
    assert leftovers(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "no folder"


def test_a_folder_without_permission(tiny_scene, tmp_path):
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere, and setpriv, which gives that up, is not installed")
    # read-only to root too, once it has given up the capability to override permissions
    drop = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.getuid() == 0 else []
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    for words in (tiny_scene.pair(closed / "o.zarr"), tiny_scene.run(closed / "o")):
        command = [*drop, sys.executable, "-m", "pipeline.cli", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert re.search(r"pitpulse: can't write .*closed/o.*ermission", done.stderr), done.stderr
    assert leftovers(closed) == []


def test_output_that_exists(tiny_scene, tmp_path, capsys):
    out = tmp_path / "o.zarr"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    refused(capsys, tiny_scene.pair(out), "o.zarr exists already; give another --out, or --overwrite")
    refused(capsys, tiny_scene.pair(out, "--overwrite"), "holds letter.txt, which is no part of a Zarr store")
    assert leftovers(tmp_path) == ["o.zarr", "o.zarr/letter.txt"]


def test_a_disk_that_is_full(tiny_scene, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if os.getuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system of 64 kB can't be mounted here")
    try:
        command = [sys.executable, "-m", "pipeline.cli", *tiny_scene.pair(small / "o.zarr", "--radar")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert leftovers(small) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert re.search(r"pitpulse: can't write .*o\.zarr.*No space left", done.stderr), done.stderr


# --- interrupts -----------------------------------------------------------------------------------


def interrupted(words, word: str, delay: float, whole_group: bool) -> str:
    """Start the command, interrupt it once it has said ``word``, and see that all of it ends, quietly."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    said = ""
    for line in process.stderr:
        said += line
        if word in line:
            break
    time.sleep(delay)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, said + rest
    assert "Traceback" not in rest and "pitpulse: interrupted" in rest, rest
    patience = time.monotonic() + 10.0
    while alive(process.pid) and time.monotonic() < patience:
        time.sleep(0.1)
    assert alive(process.pid) == []
    return rest


def alive(session: int) -> list[str]:
    """Processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z" and int(fields[3]) == session:
            found.append(path.parent.name)
    return found


@pytest.mark.parametrize(
    ("word", "delay", "whole_group"),
    [("dates to read", 0.2, True), ("coherence 1/", 0.0, True), ("classes and areas", 0.1, False)],
)
def test_an_interrupted_run(tiny_scene, tmp_path, word, delay, whole_group):
    out = tmp_path / "o"
    interrupted(tiny_scene.run(out, *tiny_scene.settings()), word, delay, whole_group)
    left = leftovers(tmp_path)
    assert not [path for path in left if PARTS.search(path.rsplit("/", 1)[-1]) or "/work" in path]
    for item in out.glob("catalog/mine-activity/tiny-*.json"):  # what was published before the end is whole
        asset = json.loads(item.read_text())["assets"]["cube"]["href"]
        assert (item.parent / asset / "zarr.json").exists()


def test_an_interrupted_pair(tiny_scene, tmp_path):
    interrupted(tiny_scene.pair(tmp_path / "o.zarr", "--radar"), "geometry", 0.2, True)
    assert leftovers(tmp_path) == []


def test_an_interrupted_simulation(tmp_path):
    interrupted(["simulate", str(tmp_path / "scene"), "--dates", "6"], "simulating", 1.0, True)
    assert leftovers(tmp_path) == []
