"""One line from an id to a dataset: lazily, all years on one grid, and errors that say what is there instead."""

import json
import os
import shutil
import subprocess
import sys

import fsspec
import numpy as np
import odc.geo.xr  # the accessor
import pystac
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

import catalog
from catalog.index import update_index
from catalog.publish import Extras, publish
from pipeline.errors import BadInput, NoCoverage, Unavailable

from .product_example import AREA, PAIRS, SHAPE, SITES, example_cube, example_extras, example_grid

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
MAPS = ("activity", "coherence_mean", "height", "incidence_angle", "layover_shadow", "mine", "ndai", "ndai_count",
        "ndai_debiased", "ndai_std", "stable_point")  # fmt: skip


def publish_year(root, year, site="musan", cube=None):
    cube = example_cube(site, year, fingerprint=f"{year % 100:02d}" * 32) if cube is None else cube
    extras = example_extras() if dict(cube.sizes) == {"pair": PAIRS, "y": SHAPE[0], "x": SHAPE[1]} else Extras()
    return publish(SITES[site][0], cube, AREA, extras, root)


def moved(year, columns, rows):
    """The example's cube of another year, cut to some columns and rows: another extent on the same lattice."""
    return example_cube("musan", year, fingerprint=f"{year % 100:02d}" * 32).isel(x=columns, y=rows)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("opened")
    for year in (2022, 2020, 2021):
        publish_year(folder, year)
    publish_year(folder, 2021, "sishen")
    update_index(folder)
    return folder


# --- one year ------------------------------------------------------------------------------------------------------


def test_an_item_opens_by_id_document_url_and_value(root, monkeypatch):
    url = f"{root}/catalog/mine-activity/musan-2021.json"
    item = pystac.Item.from_file(url)
    (found,) = catalog.search(root, ids="musan-2021")
    for known in (item, found, found.to_dict(), url):
        assert catalog.open(known).attrs["year"] == 2021
    assert catalog.open("musan-2021", root=root).attrs["mine_id"] == "musan"
    monkeypatch.setenv("PITPULSE_ROOT", str(root))
    cube = catalog.open("musan-2021")
    assert dict(cube.sizes) == {"pair": PAIRS, "y": SHAPE[0], "x": SHAPE[1]}
    expected = example_cube("musan", 2021)["ndai"].values
    np.testing.assert_allclose(cube["ndai"].values, expected, atol=1e-3)  # index, 10 bits kept


def test_the_index_is_not_needed(root, tmp_path):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    for path in (tmp_path / "catalog").glob("*.parquet"):
        path.unlink()
    (tmp_path / "catalog/items.json").unlink()
    assert catalog.open("musan-2021", root=tmp_path).attrs["year"] == 2021
    assert catalog.open_mine("musan", root=tmp_path)["year"].values.tolist() == [2020, 2021, 2022]
    with pytest.raises(NoCoverage, match="lists no mine 'mus'; nearest are musan"):
        catalog.open_mine("mus", root=tmp_path)


# --- all years -----------------------------------------------------------------------------------------------------


def test_all_years_are_one_dataset(root):
    mine = catalog.open_mine("musan", root=root)
    assert dict(mine.sizes) == {"year": 3, "pair": 3 * PAIRS, "y": SHAPE[0], "x": SHAPE[1]}
    assert mine["year"].values.tolist() == [2020, 2021, 2022]
    assert mine["pair"].values.tolist() == list(range(3 * PAIRS))
    assert mine["pair_year"].values.tolist() == [year for year in (2020, 2021, 2022) for _ in range(PAIRS)]
    assert {name: mine[name].dims for name in MAPS} == dict.fromkeys(MAPS, ("year", "y", "x"))
    assert mine["coherence"].dims == ("pair", "y", "x") and mine["accepted"].dims == ("pair",)
    assert mine["fingerprint"].values.tolist() == [f"{year % 100:02d}" * 32 for year in (2020, 2021, 2022)]
    assert mine.attrs["mine_id"] == "musan" and not {"year", "fingerprint", "title"} & mine.attrs.keys()
    assert mine["active_area"].values.tolist() == [AREA.area] * 3 and mine["active_area"].attrs["units"] == "m2"
    assert mine["active_area_low"].values.tolist() == [AREA.low] * 3


def test_all_years_hold_the_values_types_and_place_of_each(root):
    mine = catalog.open_mine("musan", root=root)
    for year in (2020, 2021, 2022):
        cube = catalog.open(f"musan-{year}", root=root).load()
        here = mine.sel(year=year)
        for name in MAPS:
            np.testing.assert_array_equal(here[name].values, cube[name].values)
            assert here[name].dtype == cube[name].dtype and here[name].attrs == cube[name].attrs
        pairs = mine.isel(pair=mine["pair_year"].values == year)
        for name in ("coherence", "accepted", "reason", "stable_mean", "reference_time", "secondary_time"):
            np.testing.assert_array_equal(pairs[name].values, cube[name].values)
            assert pairs[name].dtype == cube[name].dtype
    assert mine.odc.geobox == example_grid("musan")


def test_some_years_may_be_chosen(root):
    assert catalog.open_mine("musan", root=root, years=range(2021, 2023))["year"].values.tolist() == [2021, 2022]
    with pytest.raises(NoCoverage, match=r"mine 'musan' has no \[2019\]; published are \[2020, 2021, 2022\]"):
        catalog.open_mine("musan", root=root, years=(2019, 2020))
    with pytest.raises(NoCoverage, match="has no years asked for"):
        catalog.open_mine("musan", root=root, years=())


def test_opening_reads_no_map(root, tmp_path):
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    gone = 0
    for store in (tmp_path / "products").rglob("*.zarr"):
        for name in (*MAPS, "coherence"):
            gone += sum(path.stat().st_size for path in (store / name / "c").rglob("*") if path.is_file())
            shutil.rmtree(store / name / "c")
    assert gone > 100_000  # bytes
    mine = catalog.open_mine("musan", root=tmp_path)
    assert mine["stable_mean"].values.tolist() == [0.85] * 3 * PAIRS  # what is short is there
    assert catalog.open("musan-2021", root=tmp_path).sizes["pair"] == PAIRS
    assert all(mine[name].chunks is not None for name in (*MAPS, "coherence"))
    assert np.isnan(mine["ndai"].values).all()  # only now the maps are missed: no chunk, no value


def test_years_of_other_extent_lie_on_the_grid_that_covers_all(tmp_path):
    publish_year(tmp_path, 2021, cube=moved(2021, slice(0, 50), slice(10, 40)))
    publish_year(tmp_path, 2022, cube=moved(2022, slice(20, 60), slice(0, 30)))
    mine = catalog.open_mine("musan", root=tmp_path)
    assert mine.odc.geobox == example_grid("musan")
    whole = {year: example_cube("musan", year) for year in (2021, 2022)}
    inside = {2021: (slice(10, 40), slice(0, 50)), 2022: (slice(0, 30), slice(20, 60))}
    for year, (rows, columns) in inside.items():
        for name, missing in (("ndai", np.nan), ("activity", 0), ("stable_point", 255), ("ndai_count", 0)):
            values = mine[name].sel(year=year).values
            expected = np.full(SHAPE, missing, values.dtype)
            expected[rows, columns] = whole[year][name].values[rows, columns]
            np.testing.assert_allclose(values, expected, atol=1e-3)  # 10 bits kept
            assert values.dtype == whole[year][name].dtype
    coherence = mine["coherence"].isel(pair=0).values
    assert np.isnan(coherence[:, 50:]).all() and np.isfinite(coherence[10:, :50]).all()


def test_years_on_grids_that_do_not_fit_are_refused(tmp_path):
    publish_year(tmp_path, 2021)
    other = example_cube("musan", 2022)
    shifted = GeoBox(SHAPE, Affine(20, 0, 521_010, 0, -20, 4_674_800), "EPSG:32652")
    other = other.drop_vars(["x", "y", "spatial_ref"]).assign_coords(odc.geo.xr.xr_coords(shifted, dims=("y", "x")))
    publish_year(tmp_path, 2022, cube=other)
    with pytest.raises(
        BadInput, match=r"grids that don't fit: 2021 has EPSG:32652, 20 m, origin 521000, .*, 2022 has "
    ):
        catalog.open_mine("musan", root=tmp_path)
    assert catalog.open_mine("musan", root=tmp_path, years=[2022])["x"].values[0] == 521_020.0


def test_a_store_elsewhere_opens_the_same(root):
    fs, url = fsspec.filesystem("memory"), "memory://access-test/root"
    try:
        fs.put(str(root) + "/", "/access-test/root/", recursive=True)
        update_index(url)
        mine = catalog.open_mine("musan", root=url)
        np.testing.assert_array_equal(mine["ndai"].values, catalog.open_mine("musan", root=root)["ndai"].values)
        (item,) = catalog.search(url, ids="musan-2021")
        assert catalog.open(item).attrs["year"] == 2021
        assert catalog.open("musan-2021", root=url).attrs["year"] == 2021
    finally:
        fs.rm("/access-test", recursive=True)


# --- bad input -----------------------------------------------------------------------------------------------------


def test_unknown_ids_name_the_nearest(root):
    with pytest.raises(NoCoverage, match="lists no item 'musam-2021'; nearest are musan-2021"):
        catalog.open("musam-2021", root=root)
    with pytest.raises(NoCoverage, match="lists no mine 'sishan'; nearest are sishen"):
        catalog.open_mine("sishan", root=root)


def test_a_missing_store_is_named(root, tmp_path):
    shutil.copytree(root / "catalog", tmp_path / "catalog")
    with pytest.raises(
        Unavailable, match=r"item musan-2021 names a store that can't be opened: can't open .*v0\.1\.0-"
    ):
        catalog.open("musan-2021", root=tmp_path)
    with pytest.raises(Unavailable, match="item musan-2020 names a store that can't be opened"):
        catalog.open_mine("musan", root=tmp_path)


def test_an_item_without_a_place_is_refused(root):
    document = json.loads((root / "catalog/mine-activity/musan-2021.json").read_text())
    with pytest.raises(BadInput, match="item musan-2021 has a relative href and no self link; give its id or the URL"):
        catalog.open(document)
    with pytest.raises(BadInput, match="has no asset 'cube', only thumbnail"):
        catalog.open(document | {"assets": {"thumbnail": document["assets"]["thumbnail"]}})


def test_a_folder_that_is_none_of_ours_is_named(tmp_path, monkeypatch):
    with pytest.raises(Unavailable, match="has no catalog/mine-activity: it is no published folder"):
        catalog.open("musan-2021", root=tmp_path)
    monkeypatch.delenv("PITPULSE_ROOT", raising=False)
    with pytest.raises(BadInput, match=r"no published folder is named; give root=\.\.\. or set PITPULSE_ROOT"):
        catalog.open_mine("musan")
    (tmp_path / "item.json").write_text('{"type": "Feature"}')
    with pytest.raises(BadInput, match=r"item\.json is no STAC item"):
        catalog.open(tmp_path / "item.json")
    with pytest.raises(Unavailable, match=r"nothing\.json: nothing is there"):
        catalog.open(tmp_path / "nothing.json")


def test_importing_catalog_loads_nothing_heavy():
    code = (
        "import sys, catalog; print(sorted({'xarray', 'pyarrow', 'numpy', 'pystac', 'shapely'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
    assert set(catalog.__all__) <= set(dir(catalog))
    with pytest.raises(AttributeError, match="module 'catalog' has no attribute 'nothing'"):
        _ = catalog.nothing
