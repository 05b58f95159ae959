"""The command: what a person types and what comes of it, from arguments to files that other programs open."""

import csv
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pystac
import pytest
import xarray as xr
from dask.distributed import LocalCluster
from PIL import Image

from catalog.check import published_versions
from pipeline.archive import file_revision, list_granules, passes
from pipeline.claims import RunClaims
from pipeline.cli import Progress, main
from pipeline.clusters import worker_count
from pipeline.commands.demo import compare
from pipeline.commands.publisher import CatalogPublisher
from pipeline.commands.run import parse_settings
from pipeline.cube import open_cube
from pipeline.errors import AlreadyExists
from pipeline.mine_year import DemSource
from pipeline.mines import read_mines
from pipeline.plan import RunRequest, plan_jobs
from pipeline.run import Outcome, settle
from pipeline.sentinel1.safe import open_product
from pipeline.simulate.demo import demo_scene
from pipeline.storage import open_store

from .tiny_scene import HEIGHT, LATITUDE, LONGITUDE, SETTINGS, WORKED, ring

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
POINT = f"--point={LATITUDE},{LONGITUDE},{HEIGHT}"


def command(*arguments: str, **options) -> subprocess.CompletedProcess:
    """The command in a process of its own."""
    words = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, **options)


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder, by relative path."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def info_json(capsys, *arguments: str) -> dict:
    """What ``info --json`` prints."""
    assert main(["info", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--point", "-27.7,23.0"], ["--point=-27.7,23.0"]])
def test_a_southern_point_is_not_an_option(words, capsys):
    assert main(["info", "nowhere.SAFE", *words]) == 2
    assert "nowhere.SAFE" in capsys.readouterr().err


def test_help_names_every_command_and_imports_nothing_heavy():
    done = command("--help")
    assert done.returncode == 0 and done.stderr == ""
    for name in ("demo", "simulate", "run", "info", "coherence"):
        assert re.search(rf"\n    {name}\s", done.stdout)
    imports = command("--help", env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}).stderr
    assert "argparse" in imports and "numpy" not in imports


def test_without_a_command_the_help_is_printed(capsys):
    assert main([]) == 0
    assert "pitpulse coherence REF.SAFE SEC.SAFE" in capsys.readouterr().out


def test_what_takes_long_says_so(capsys):
    with Progress() as progress:
        progress("geometry")
        time.sleep(2.4)
    assert capsys.readouterr().err.splitlines() == ["  geometry", "  … geometry (2 s)"]


# --- info -----------------------------------------------------------------------------------------


def test_info_lists_the_bursts(tiny_scene, capsys):
    facts = info_json(capsys, str(tiny_scene.products[0]))
    assert {"granule", "platform", "track", "absolute_orbit", "orbit_pass", "processor_version", "bursts"} == set(facts)
    assert facts["granule"] == tiny_scene.products[0].stem and facts["orbit_pass"] == "descending"
    first, second = facts["bursts"]
    keys = {"swath", "index", "burst_id", "polarization", "azimuth_time", "track", "platform", "footprint"}
    assert set(first) == keys
    assert (first["swath"], first["index"], second["index"], first["polarization"]) == ("IW2", 0, 1, "VV")
    numbers = [int(b["burst_id"].split("_")[1]) for b in (first, second)]
    assert first["burst_id"].startswith(f"t{facts['track']:03d}_") and numbers[1] == numbers[0] + 1
    apart = np.datetime64(second["azimuth_time"]) - np.datetime64(first["azimuth_time"])
    assert abs(apart / np.timedelta64(1, "ns") - 2.7585565e9) < 1e3  # ns: annotated to the microsecond
    lon, lat = np.array(first["footprint"]).T
    assert lon.min() < LONGITUDE < lon.max() and lat.min() < LATITUDE < lat.max()
    assert first["footprint"][0] == first["footprint"][-1]


def test_a_point_in_the_overlap_is_seen_twice(tiny_scene, capsys):
    facts = info_json(capsys, str(tiny_scene.products[0]), POINT)
    assert facts["point"]["latitude"] == LATITUDE and facts["point"]["height"] == HEIGHT
    first, second = facts["point"]["bursts"]
    keys = {"swath", "index", "burst_id", "polarization", "line", "sample"}
    assert set(first) == keys | {"azimuth_time", "slant_range_time", "incidence"}
    assert abs(first["line"] - 1400.0) < 1e-3 and abs(first["sample"] - 13_000.0) < 1e-3  # lines, samples: as simulated
    assert abs(second["line"] - (1400.0 - 1342.0)) < 1e-3  # lines: the bursts start 1342 lines apart
    assert abs(second["sample"] - first["sample"]) < 1e-6  # samples
    apart = np.datetime64(second["azimuth_time"]) - np.datetime64(first["azimuth_time"])
    assert (
        abs(apart / np.timedelta64(1, "ns")) < 2e3
    )  # ns: one instant, the burst times are annotated to the microsecond
    assert abs(first["slant_range_time"] - second["slant_range_time"]) < 1e-14  # s
    assert abs(first["incidence"] - 39.7) < 0.2  # degrees: IW2's middle


def test_height_moves_a_point_towards_the_radar(tiny_scene, capsys):
    ground = info_json(capsys, str(tiny_scene.products[0]), POINT)["point"]["bursts"][0]
    default = info_json(capsys, str(tiny_scene.products[0]), f"--point={LATITUDE},{LONGITUDE}")["point"]
    assert default["height"] == 0.0
    moved = ground["sample"] - default["bursts"][0]["sample"]
    assert abs(moved + HEIGHT * np.cos(np.deg2rad(ground["incidence"])) / 2.33) < 5.0  # samples of 2.33 m


def test_a_point_that_no_burst_sees(tiny_scene, capsys):
    assert info_json(capsys, str(tiny_scene.products[0]), "--point=10.0,20.0")["point"]["bursts"] == []


def test_info_as_text(tiny_scene, capsys):
    assert main(["info", str(tiny_scene.products[0]), POINT]) == 0
    text = capsys.readouterr().out
    assert "seen by 2 burst(s)" in text and "line 1400.000 sample 13000.000" in text


def test_info_on_a_real_product_over_a_mine(shared_data, capsys):
    product = sorted((shared_data / "hambach_pair").glob("*.SAFE"))[0]
    facts = info_json(capsys, str(product), "--point=50.892,6.573,0", "--polarization", "VV")
    assert (facts["platform"], facts["track"], facts["orbit_pass"]) == ("S1A", 88, "ascending")
    assert len(facts["bursts"]) == 27
    (seen,) = facts["point"]["bursts"]
    assert (seen["swath"], seen["index"]) == ("IW2", 4)
    # recorded without its height, which moves the sample by 0.3 a metre
    assert abs(seen["line"] - 351) < 5 and abs(seen["sample"] - 22_420) < 100


def test_info_gives_annotated_burst_ids(shared_data, capsys):
    product = sorted((shared_data / "canada_pair").glob("*.SAFE"))[0]
    facts = info_json(capsys, str(product))
    assert facts["track"] == 108
    assert all(b["burst_id"].startswith("t108_") for b in facts["bursts"])


# --- coherence ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair_store(tiny_scene, tmp_path_factory):
    """A pair with its radar groups."""
    out = tmp_path_factory.mktemp("pair") / "pair.zarr"
    assert main(tiny_scene.pair(out, "--radar")) == 0
    return out


def test_coherence_on_the_map(pair_store):
    with xr.open_zarr(pair_store, chunks=None) as found:
        coherence = found["coherence"]
        assert coherence.dims == ("y", "x") and coherence.dtype == np.float32
        assert abs(float(coherence.mean()) - 0.947) < 0.01  # simulated 0.95
        assert found.attrs["looks"] == "7x2 (range x azimuth)" and 5.0 < found.attrs["equivalent_looks"] < 8.0
        assert abs(found.attrs["perpendicular_baseline"] - 60.0) < 1.0  # m, as simulated
        assert found["spatial_ref"].attrs["crs_wkt"].startswith("PROJCRS") or "UTM" in str(found["spatial_ref"].attrs)
        assert float(np.diff(found["x"]).mean()) == 20.0 and found.sizes["x"] * 20.0 > 1400.0  # m


def test_coregistered_samples_for_other_programs(pair_store, tiny_scene):
    bursts = {b.burst_id: b for b in open_product(str(tiny_scene.products[0])).bursts}
    for burst_id, burst in bursts.items():
        with xr.open_zarr(pair_store, group=f"radar/{burst_id}", chunks=None) as group:
            for name, dtype in (("reference", "complex64"), ("secondary", "complex64"), ("line_offset", "float64"),
                                ("sample_offset", "float64")):  # fmt: skip
                assert group[name].dims == ("line", "sample") and group[name].dtype == dtype
            line, sample = group["line"].values, group["sample"].values
            assert line[0] >= 0 and line[-1] < burst.lines and sample[-1] < burst.samples
            assert (np.diff(line) == 1).all() and (np.diff(sample) == 1).all()
            assert abs(float(group["line_offset"].mean())) < 20.0  # lines: simulated a few
            interferogram = (group["reference"] * np.conj(group["secondary"])).values
            good = np.isfinite(interferogram)
            assert good.mean() > 0.9
            phase = np.angle(interferogram[good].mean())
            assert abs(phase) < 0.02  # rad: geometry is all there is
            rows = np.angle(np.nanmean(np.where(good, interferogram, np.nan), axis=0))
            smooth = np.convolve(np.unwrap(rows), np.ones(40) / 40, "valid")
            assert np.ptp(smooth) < 0.15  # rad: no fringe across range
            kept = abs(interferogram[good].mean()) / np.sqrt(
                np.mean(abs(group["reference"].values[good]) ** 2) * np.mean(abs(group["secondary"].values[good]) ** 2)
            )
            assert abs(kept - 0.945) < 0.01


def test_reference_samples_are_those_of_the_product(pair_store, tiny_scene):
    product = open_product(str(tiny_scene.products[0]))
    burst, swath = product.bursts[0], product.swaths[0]
    with xr.open_zarr(pair_store, group=f"radar/{burst.burst_id}", chunks=None) as group:
        line, sample = int(group["line"][3]), int(group["sample"][7])
        found = group["reference"].values[3, 7]
    path = tiny_scene.products[0] / swath.measurement
    start = path.stat().st_size - 4 * swath.lines * swath.samples  # 4 bytes a sample, to the end of the file
    at = start + 4 * ((burst.index * burst.lines + line) * swath.samples + sample)
    raw = np.fromfile(path, "<i2", 2, offset=at)
    assert found == complex(raw[0], raw[1]) and abs(found) > 0.0


def test_without_radar_there_is_only_the_map(tiny_scene, tmp_path, capsys):
    out = tmp_path / "map.zarr"
    assert main(tiny_scene.pair(out, "--looks", "14x4", "--spacing", "40")) == 0
    printed = capsys.readouterr()
    assert not (out / "radar").exists()
    with xr.open_zarr(out, chunks=None) as found:
        assert found.attrs["looks"] == "14x4 (range x azimuth)" and found.attrs["equivalent_looks"] > 15.0
        assert float(np.diff(found["x"]).mean()) == 40.0  # m
    assert "coherence  mean 0.9" in printed.out and str(out) in printed.out
    assert "geometry" in printed.err and "writing" in printed.err


def test_a_wrong_datum_shows_in_the_height(tiny_scene, tmp_path):
    out = tmp_path / "egm.zarr"
    words = [w if w != "ellipsoid" else "egm96" for w in tiny_scene.pair(out, "--radar")]
    assert main(words) == 0
    with xr.open_zarr(out, chunks=None) as found:
        assert "egm96" in found.attrs["dem"]


def test_overwrite_replaces(tiny_scene, pair_store, tmp_path, capsys):
    out = tmp_path / "pair.zarr"
    assert main(tiny_scene.pair(out, "--radar")) == 0
    assert contents(out) == contents(pair_store)  # same input, same bytes
    assert main(tiny_scene.pair(out)) == 2
    assert "exists already" in capsys.readouterr().err and contents(out) == contents(pair_store)
    assert main(tiny_scene.pair(out, "--overwrite")) == 0
    assert not (out / "radar").exists() and (out / "zarr.json").exists()


# --- run ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tiny_scene, tmp_path_factory):
    """The main job on the tiny scene, as a process: its root and what it printed."""
    root = tmp_path_factory.mktemp("run") / "products"
    done = command(*tiny_scene.run(root, *tiny_scene.settings()))
    assert done.returncode == 0, done.stderr
    return root, done


def test_run_says_what_it_did(finished):
    root, done = finished
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tiny 2021: active 0.00 km²") and lines[0].endswith("pairs 3 accepted, 0 rejected")
    area = float(lines[2].split("active ")[1].split(" km²")[0])
    assert abs(area - 0.49) < 0.02  # km2: a quarter of the mine
    assert lines[1] == f"  item {root}/catalog/mine-activity/tiny-2021.json"
    assert "MB (" in lines[-4] and " requests; " in lines[-4]
    assert lines[-3] == f"catalog {root}/catalog/catalog.json"
    assert lines[-1] == f"pages {root}/index.html (shown by: pitpulse serve {root})"
    assert "Tiny mine: 2 year(s) on track" in done.stderr and "coherence 3/3" in done.stderr
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr


def test_run_leaves_only_what_is_published(finished):
    root, _ = finished
    assert sorted(p.name for p in root.iterdir()) == ["catalog", "index.html", "pages", "pictures", "products", "runs"]
    assert not [p for p in root.rglob("*") if p.name.startswith(".")]


def test_the_catalog_opens_with_pystac_and_the_cube_with_xarray(finished):
    catalog = pystac.Catalog.from_file(str(finished[0] / "catalog/catalog.json"))
    items = sorted(catalog.get_child("mine-activity").get_items(recursive=True), key=lambda i: i.id)
    assert {i.id for i in catalog.get_items(recursive=True)} == {i.id for i in items}
    assert [i.id for i in items] == ["tiny-2021", "tiny-2022"]
    item = items[1]
    assert item.properties["pitpulse:pairs_accepted"] == 3
    assert abs(item.properties["pitpulse:active_area"] - 0.49e6) < 0.02e6  # m2
    low, high = item.properties["pitpulse:active_area_interval"]
    assert low < 0.49e6 < high  # m2
    with xr.open_zarr(item.assets["cube"].get_absolute_href(), chunks=None) as cube:
        assert cube.sizes["pair"] == 3 and cube["coherence"].dims == ("pair", "y", "x")
        assert cube.attrs["fingerprint"] == item.properties["pitpulse:fingerprint"]
        assert len(cube.attrs["source_granules"].split()) == 4 and len(cube.attrs["burst_ids"].split()) == 2


def test_a_rerun_is_skipped_and_changes_nothing(finished, tiny_scene, capsys):
    root, _ = finished
    before = contents(root)
    assert main(tiny_scene.run(root, *tiny_scene.settings())) == 0
    printed = capsys.readouterr()
    assert "2 published already, 0 dates to read" in printed.err
    assert printed.out.count("skipped, the same is published (--force makes it again)") == 2
    assert "tiny 2022: active 0.49 km²" in printed.out and "read 0.0 MB in 0 requests" in printed.out
    after = contents(root)
    assert {name for name in before if after[name] != before[name]} == {"runs/metrics.prom"}  # somebody looked
    assert after.keys() == before.keys()


def test_consecutive_slices_are_one_acquisition(finished, tiny_scene, tmp_path):
    done = command(*tiny_scene.run(tmp_path / "out", *tiny_scene.settings(), archive=tiny_scene.slices))
    assert done.returncode == 0, done.stderr
    ours, whole = (next((root / "products/tiny/2022").glob("*.zarr")) for root in (tmp_path / "out", finished[0]))
    with xr.open_zarr(ours, chunks=None) as a, xr.open_zarr(whole, chunks=None) as b:
        assert len(a.attrs["source_granules"].split()) == 8
        np.testing.assert_array_equal(a["coherence"], b["coherence"])
        np.testing.assert_array_equal(a["activity"], b["activity"])


def test_another_scheduler_force_and_a_year_without_dates(finished, tiny_scene, tmp_path):
    root = tmp_path / "products"
    shutil.copytree(finished[0], root)
    before = contents(root / "products")
    words = tiny_scene.run(root, *tiny_scene.settings(), "--years", "2022-2023", "--force")
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        done = command(*words, "--scheduler", cluster.scheduler_address)
        again = command(*words[:-1], "--scheduler", cluster.scheduler_address)
    assert done.returncode == again.returncode == 1  # 2023 is missing
    assert "tiny 2022: active 0.49 km²" in done.stdout
    assert "tiny 2023: invalid: none of" in done.stdout and "make a pair of 2023" in done.stdout
    now = contents(root / "products")
    assert {path: now[path] for path in before} == before  # published cubes never change
    assert len(list((root / "products/tiny/2022").glob("*.zarr"))) == 2
    assert "tiny 2022: active 0.49 km²" in again.stdout and "--force makes it again" in again.stdout
    assert len(list((root / "products/tiny/2022").glob("*.zarr"))) == 2


# --- what follows from published years -------------------------------------------------------------


def with_figures(scene, folder, **figure) -> Path:
    """The tiny mine with a reported figure and a factor, as a file of its own."""
    document = json.loads(scene.mine.read_text())
    reported = {"year": 2022, "tonnes": 1.7e6, "definition": "ore", "source": "report", **figure}
    factor = {"value": 0.01, "level": "asset", "source": "report"}
    document["properties"] |= {"production": [reported], "emission_factors": [factor]}
    path = folder / "with figures.geojson"
    path.write_text(json.dumps(document))
    return path


def test_emissions_of_published_years(finished, tiny_scene, tmp_path, capsys):
    root = tmp_path / "products"
    shutil.copytree(finished[0], root)
    mines = with_figures(tiny_scene, tmp_path)
    words = ["emissions", "--root", str(root), "--inventory", str(mines), "--created", "2026-11-21"]
    assert main([*words, "--out", str(tmp_path / "tables")]) == 0
    printed = capsys.readouterr().out
    assert "tiny 2022: 1.7 Mt (95 %: " in printed and "reported_ore" in printed and "17 kt CO2" in printed
    assert "not assessed, 1 x: nothing reported for 2021, and active area must be positive" in printed
    assert f"2 items changed in {root}" in printed
    item = json.loads((root / "catalog/mine-activity/tiny-2022.json").read_text())["properties"]
    assert item["pitpulse:production"] == 1_700_000 and item["pitpulse:emissions_co2"] == 17_000  # t
    rows = list(csv.DictReader((tmp_path / "tables/sources.csv").read_text().splitlines()))
    assert {row["gas"] for row in rows if row["start_time"].startswith("2022")} >= {"co2", "ch4", "n2o"}
    assert {row["iso3_country"] for row in rows} == {"ZAF"}
    assert main([*words, "--out", str(tmp_path / "tables")]) == 0
    assert f"0 items changed in {root}" in capsys.readouterr().out


def test_a_run_tells_production_where_figures_are_known(finished, tiny_scene, tmp_path, capsys):
    root = tmp_path / "products"
    shutil.copytree(finished[0], root)
    words = tiny_scene.run(root, *tiny_scene.settings())
    words[words.index("--mine") + 1] = str(with_figures(tiny_scene, tmp_path))
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "  ore 1.7 Mt (95 %: 1.54-1.87; reported_ore), CO2 17 kt (" in printed, printed
    words[words.index("--mine") + 1] = str(with_figures(tiny_scene, tmp_path, tonnes=-1.0))
    assert main(words) == 2
    assert "mine tiny: " in capsys.readouterr().err


def test_pictures_of_published_years(finished, tmp_path, capsys):
    items = [str(finished[0] / f"catalog/mine-activity/tiny-{year}.json") for year in (2021, 2022)]
    assert main(["pictures", *items, "--out", str(tmp_path)]) == 0
    names = {p.name for p in tmp_path.glob("*.png")}
    assert {"tiny-2021-ndai.png", "tiny-2022-classes.png", "tiny-series.png", "tiny-areas.png"} <= names
    assert f"{len(names)} pictures in {tmp_path}" in capsys.readouterr().out


def test_inventory_from_the_command(tiny_scene, tmp_path, capsys):
    out, report = tmp_path / "mines.parquet", tmp_path / "report.csv"
    bad = tmp_path / "bad.geojson"
    rows = [({"name": "Nowhere"}, None), ({"name": "Steel works", "commodity": "steel"}, [22.9, -27.6])]
    made = [
        {"type": "Feature", "properties": p, "geometry": xy and {"type": "Point", "coordinates": xy}} for p, xy in rows
    ]
    bad.write_text(json.dumps({"type": "FeatureCollection", "features": made}))
    torn = tmp_path / "torn.xlsx"
    torn.write_bytes(b"PK\x03\x04")
    assert main(["inventory", "import", str(torn), "--out", str(tmp_path / "torn.parquet")]) == 1
    assert "torn.xlsx must be an Excel workbook" in capsys.readouterr().out
    words = ["inventory", "import", str(tiny_scene.mine), str(bad), "--out", str(out), "--report", str(report)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "not placed: no coordinates" in printed and "29 mines" in printed
    assert "Nowhere" in report.read_text() and "steel" in report.read_text()
    assert main(words) == 2 and "exists already" in capsys.readouterr().err
    assert main(["inventory", "list", str(out), "--text", "tiny"]) == 0
    assert capsys.readouterr().out.startswith("tiny ")
    assert main(["inventory", "show", "sishen"]) == 0
    assert "36.2 Mt ore" in capsys.readouterr().out
    assert main(["inventory", "show", "sishn"]) == 2
    assert "has no mine 'sishn'; close are sishen" in capsys.readouterr().err


def test_the_worked_example_runs(finished, tmp_path):
    script = Path(__file__).parents[1] / "docs" / "example.py"
    picture = tmp_path / "example.png"
    words = [sys.executable, str(script), str(finished[0]), str(picture)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "MPLBACKEND": "agg"}, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "tiny-2022" in done.stdout and "grew" in done.stdout and " True" in done.stdout
    with Image.open(picture) as image:
        assert image.width > 900 and len(image.convert("RGB").getcolors(1 << 24)) > 100


# --- what decides whether work is done again ------------------------------------------------------


def jobs_of(scene, years=(2021, 2022), **changes):
    """The plan of the tiny scene."""
    settings = parse_settings(SETTINGS)
    dem = DemSource((str(scene.dem),), "ellipsoid", revision=file_revision(scene.dem))
    request = RunRequest(str(scene.slc), str(scene.mine), dem, years, "", settings=settings)
    request = dataclasses.replace(request, **changes)
    return plan_jobs(request, read_mines(request.mine)[0][0], list_granules(request.archive))


def test_the_plan_knows_the_published_fingerprint(finished, tiny_scene):
    for job in jobs_of(tiny_scene):
        cube = open_cube(next((finished[0] / f"products/tiny/{job.year}").glob("*.zarr")))
        assert cube.attrs["fingerprint"] == job.fingerprint
        assert settle(job, str(finished[0]), CatalogPublisher()) == (job, True)
        forced, done = settle(job, str(finished[0]), CatalogPublisher(), force=True)
        assert not done and forced.force == "1" and forced.fingerprint != job.fingerprint


def test_a_year_depends_on_the_data_of_the_others(tiny_scene):
    both = jobs_of(tiny_scene)
    alone = jobs_of(tiny_scene, years=(2021,))[0]
    assert alone.fingerprint != both[0].fingerprint  # the permanent mask comes of both
    assert both[0].fingerprint != both[1].fingerprint
    granules = list_granules(tiny_scene.slc)
    fewer = [g for g in granules if str(g.start)[:10] != "2022-03-23"]
    request = RunRequest(str(tiny_scene.slc), "", both[0].dem, (2021, 2022), "", settings=both[0].settings)
    less = plan_jobs(request, both[0].mine, fewer)
    assert less[0].dates == both[0].dates and less[0].fingerprint != both[0].fingerprint
    empty = plan_jobs(dataclasses.replace(request, years=(2021, 2022, 2023)), both[0].mine, granules)
    assert [j.fingerprint for j in empty[:2]] == [j.fingerprint for j in both]  # a year without pairs decides nothing


def test_a_new_date_changes_the_newest_year_alone(tiny_scene):
    """Years that are over are each other's record; only where there are two does the newest one count for the first."""
    both, granules = jobs_of(tiny_scene), list_granules(tiny_scene.slc)
    assert [job.record for job in both] == [(2021, 2022), (2021, 2022)] and [j.newest for j in both] == [False, True]
    shift = np.timedelta64(365, "D")
    later = [dataclasses.replace(g, start=g.start + shift) for g in granules if str(g.start)[:4] == "2022"]
    request = RunRequest(str(tiny_scene.slc), "", both[0].dem, (2021, 2022, 2023), "", settings=both[0].settings)
    three = plan_jobs(request, both[0].mine, [*granules, *later])
    fewer = plan_jobs(request, both[0].mine, [*granules, *later[:-1]])
    assert [job.record for job in three] == [(2021, 2022), (2021, 2022), (2021, 2022, 2023)]
    assert [a.fingerprint == b.fingerprint for a, b in zip(three, fewer, strict=True)] == [True, True, False]


@pytest.mark.parametrize("what", ["threshold", "dem", "manifest", "reference"])
def test_a_year_depends_on(tiny_scene, tmp_path, what):
    before = jobs_of(tiny_scene)[1]
    if what == "threshold":
        after = jobs_of(tiny_scene, settings=parse_settings((*SETTINGS, "threshold=0.2")))[1]
    elif what == "dem":
        other = tmp_path / tiny_scene.dem.name
        other.write_bytes(tiny_scene.dem.read_bytes() + b"\0")
        dem = DemSource((str(other),), "ellipsoid", revision=file_revision(other))
        assert dem.name == before.dem.name
        after = jobs_of(tiny_scene, dem=dem)[1]
    else:
        dates = list_granules(tiny_scene.slc)
        if what == "manifest":
            dates[-1] = dataclasses.replace(dates[-1], revision="another")
        else:
            dates = dates[1:]  # another acquisition is the first, and its radar grid that of the stack
        request = RunRequest("", "", before.dem, (2022,), "", settings=before.settings)
        mine = before.mine
        before, after = (plan_jobs(request, mine, d)[0] for d in (list_granules(tiny_scene.slc), dates))
    assert before.fingerprint != after.fingerprint


def test_slices_of_one_pass_stand_together(tiny_scene):
    granules = list_granules(tiny_scene.slices)
    (dates,) = passes(granules).values()
    assert len(granules) == 16 and [len(date) for date in dates] == [2] * 8
    assert all(len(g.revision) == 16 for g in granules) and len({g.revision for g in granules}) == 16


@pytest.mark.parametrize(("cores", "jobs", "expected"), [(2, 3, 1), (2, 2, 2), (2, 31, 2), (1, 5, 1), (16, 3, 3)])
def test_cores_are_shared_between_jobs_and_kernels(cores, jobs, expected):
    assert worker_count(cores, jobs) == expected


# --- demo and simulate ----------------------------------------------------------------------------


def demo_outcome(finished, year: int, **changes) -> tuple[Outcome, dict]:
    """A year of the tiny scene as `compare` takes it, and the truth of its two years."""
    item = str(finished[0] / f"catalog/mine-activity/tiny-{year}.json")
    worked = {"type": "Polygon", "coordinates": [ring(*WORKED)]}
    truth = {"snow_date": "2019-01-01", "activity": {"2021": {}, "2022": {"north_west": worked}}}
    area = tuple(json.loads(Path(item).read_text())["properties"]["pitpulse:active_area_interval"])
    area = (sum(area) / 2, *area)
    return dataclasses.replace(Outcome("k", "tiny", year, "done", item=item, area=area), **changes), truth


def test_compare_agrees_with_the_truth(finished):
    good, truth = demo_outcome(finished, 2022)
    verdicts = compare([demo_outcome(finished, 2021)[0], good], truth)
    assert [ok for ok, _ in verdicts] == [True, True, True, True], verdicts
    assert "quiet year: 0.00% of the mine called active" in verdicts[0][1]
    assert "north_west found on" in verdicts[1][1] and "intersection over union 0.9" in verdicts[3][1]
    assert "truth 0.489 km²" in verdicts[2][1]


def test_compare_can_fail(finished):
    outcome, truth = demo_outcome(finished, 2022)
    quiet = compare([outcome], {**truth, "activity": {}})
    assert [ok for ok, _ in quiet] == [False] and "quiet year: 2" in quiet[0][1]
    lazy = compare([dataclasses.replace(outcome, year=2022, item=demo_outcome(finished, 2021)[0].item)], truth)
    assert [ok for ok, _ in lazy] == [False, True, False]  # the area is the outcome's own
    wrong = compare([dataclasses.replace(outcome, area=(0.52e6, 0.5e6, 0.54e6))], truth)
    assert [ok for ok, _ in wrong] == [True, False, True]
    assert compare([dataclasses.replace(outcome, state="invalid", item="")], truth) == [(False, "2022: no product")]
    snow = {**truth, "snow_date": "2022-03-11"}
    assert compare([outcome], snow)[-1] == (False, "2022: 0 of 2 pairs with the snow date rejected, 0 others")
    pairs = (("2022-02-27", "2022-03-11", "low_stable_mean", 0.3), ("2022-03-11", "2022-03-23", "low_stable_mean", 0.3))
    assert compare([dataclasses.replace(outcome, rejected=pairs)], snow)[-1][0]


def test_the_demo_keeps_its_promises():
    demo = demo_scene()
    years = [int(str(date.day)[:4]) for date in demo.scene.dates]
    assert {year: years.count(year) for year in years} == {2021: 14, 2022: 14, 2023: 14}
    assert demo.activity[demo.quiet_year] == {} and all(demo.activity[year] for year in (2021, 2023))
    assert str(demo.snow_date) in {str(date.day) for date in demo.scene.dates}


def test_simulate_replaces_only_when_asked(tmp_path, capsys):
    (tmp_path / "dem.tif").write_text("mine")
    assert main(["simulate", str(tmp_path)]) == 2
    assert "holds dem.tif already" in capsys.readouterr().err
    assert contents(tmp_path) == {"dem.tif": b"mine"}
    assert issubclass(AlreadyExists, FileExistsError)


# --- several runs over one folder -----------------------------------------------------------------


def test_what_another_run_has_claimed_is_left_to_it(tiny_scene, tmp_path, capsys):
    root = open_store(tmp_path / "o")
    words = tiny_scene.run(tmp_path / "o", *tiny_scene.settings())
    track = next(iter(passes(list_granules(tiny_scene.slc))))
    with RunClaims(root) as other:
        assert other.claim(f"tiny-t{track:03d}")
        assert main(words) == 0
        out = capsys.readouterr().out
        assert "tiny 2021: leased: another run works on this mine" in out and "tiny 2022: leased" in out
        assert not (tmp_path / "o/products").exists()
    assert main(words) == 0
    assert "tiny 2022: active 0.4" in capsys.readouterr().out
    assert [v.state for v in published_versions(tmp_path / "o")] == ["done", "done"]
    assert not (tmp_path / "o/work").exists()
