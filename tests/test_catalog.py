"""What is published: item, collection, catalog, files beside the cube, and the order in which they appear."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pystac
import pytest
import rasterio
import shapely
import xarray as xr
from rasterio.enums import ColorInterp

from catalog.assets import Stored
from catalog.cog import layer_cog, rgba_cog
from catalog.colours import CLASS_COLOURS, colour_ramp
from catalog.publish import (
    SUFFIXES,
    Extras,
    already_published,
    annotate,
    listed_items,
    open_item,
    product_stem,
    publish,
    rebuild_catalog,
    show,
)
from catalog.stac import build_collection, build_item, item_id, rebase, relative
from pipeline.activity.area import ActiveArea
from pipeline.errors import BadInput, Unavailable
from pipeline.variables import VARIABLES
from pipeline.zarr_store import StoredObject, verify

from .product_example import AREA, PAIRS, SHAPE, SITES, example_cube, example_extras, example_grid

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
MINE = SITES["sishen"][0]


def published(root, site="sishen", **changes):
    """The example, published below ``root``."""
    return publish(SITES[site][0], example_cube(site, **changes), AREA, example_extras(), root)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A root with two mines; tests only read it."""
    root = tmp_path_factory.mktemp("published")
    for site in SITES:
        published(root, site)
    return root


def files(root: Path) -> dict[str, str]:
    """Relative path to SHA-256 of every file."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


# --- layout and documents ------------------------------------------------------------------------------------------


def test_layout(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["catalog", "products"]
    stem = f"products/sishen/2021/{product_stem('sishen', 2021, 'ab' * 32).rsplit('/', 1)[-1]}"
    for suffix in SUFFIXES.values():
        assert (folder / (stem + suffix)).exists(), suffix
    assert sorted(p.name for p in (folder / "catalog/mine-activity").iterdir()) == [
        "collection.json",
        "musan-2021.json",
        "sishen-2021.json",
    ]


def test_catalog_walks_from_the_root_to_both_items(folder):
    catalog = pystac.Catalog.from_file(str(folder / "catalog/catalog.json"))
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    assert set(items) == {"sishen-2021", "musan-2021"}
    assert items["musan-2021"].get_collection().id == "mine-activity"
    assert items["musan-2021"].get_root().id == "pitpulse"


def test_every_link_and_asset_leads_somewhere_and_is_relative(folder):
    documents = [*folder.glob("catalog/**/*.json"), *folder.glob("products/**/*.item.json")]
    assert len(documents) == 6
    for path in documents:
        document = json.loads(path.read_text())
        things = [*document["links"], *document.get("assets", {}).values()]
        for thing in things:
            if thing.get("rel") == "license":
                continue
            assert thing["href"].startswith("."), thing
            assert (path.parent / thing["href"]).exists(), thing


def test_the_folder_can_be_moved(folder, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    shutil.rmtree(moved / "products/musan")
    found = open_item(moved / "catalog/mine-activity/sishen-2021.json")
    assert dict(found.sizes) == {"pair": PAIRS, "y": SHAPE[0], "x": SHAPE[1]}
    with pytest.raises(Unavailable, match="no complete Zarr 3 store is there"):
        open_item(moved / "catalog/mine-activity/musan-2021.json")


def test_xarray_opens_the_asset_in_one_call(folder):
    item = pystac.Item.from_file(str(folder / "catalog/mine-activity/musan-2021.json"))
    cube = xr.open_zarr(item.assets["cube"].get_absolute_href(), chunks=None)
    np.testing.assert_allclose(cube["ndai"], example_cube("musan")["ndai"], atol=2.5e-4)  # bit rounding


def test_item_says_where_and_when(folder):
    item = pystac.Item.from_file(str(folder / "catalog/mine-activity/sishen-2021.json"))
    footprint = shapely.geometry.shape(item.geometry)
    assert footprint.exterior.is_ccw and footprint.is_valid
    assert item.bbox == pytest.approx(footprint.bounds, abs=1e-7)  # degrees
    west, south, east, north = item.bbox
    assert 22.9 < west < east < 23.1 and -27.9 < south < north < -27.7  # Sishen
    # 1200 x 800 m on the ground
    assert (east - west) * 111_320 * np.cos(np.radians(27.7)) == pytest.approx(1200, abs=20)
    assert (north - south) * 110_800 == pytest.approx(800, abs=30)  # m; the grid is turned by the convergence
    assert item.datetime.year == 2021 and item.properties["start_datetime"] == "2021-01-01T00:00:00Z"
    assert item.properties["proj:code"] == "EPSG:32734"
    assert item.properties["proj:transform"] == [20.0, 0.0, 696_000.0, 0.0, -20.0, 6_928_800.0]
    assert item.properties["proj:shape"] == list(SHAPE)


def test_item_says_what_a_query_asks(folder):
    properties = json.loads((folder / "catalog/mine-activity/sishen-2021.json").read_text())["properties"]
    cube = example_cube()
    expected = {
        "pitpulse:mine_id": "sishen",
        "pitpulse:mine_name": "Sishen",
        "pitpulse:commodity": "iron ore",
        "pitpulse:country": "ZAF",
        "pitpulse:year": 2021,
        "pitpulse:active_area": 120_000.0,
        "pitpulse:active_area_interval": [100_000.0, 150_000.0],
        "pitpulse:active_pixels": int((cube["activity"] == 2).sum()),
        "pitpulse:pairs_accepted": PAIRS - 1,
        "pitpulse:pairs_rejected": 1,
        "pitpulse:fingerprint": "ab" * 32,
        "sar:looks_range": 7,
        "sar:looks_azimuth": 2,
        "sar:looks_equivalent_number": 7.37,
        "sat:relative_orbit": 29,
        "sat:orbit_state": "descending",
        "insar:processing_dem": "Copernicus GLO-30",
    }
    assert {name: properties[name] for name in expected} == expected
    assert properties["pitpulse:ndai_mean"] == pytest.approx(float(cube["ndai"].mean()), abs=2e-4)
    assert not {"created", "updated"} & set(properties)  # no clock


def test_assets_are_what_they_say(folder):
    path = folder / "catalog/mine-activity/sishen-2021.json"
    assets = json.loads(path.read_text())["assets"]
    files = {"ndai", "activity", "composite", "colours", "series", "thumbnail", "manifest"}
    assert set(assets) == {"cube", "cube-xarray"} | files
    assert assets["cube"]["type"] == "application/vnd.zarr; version=3"
    assert assets["cube-xarray"]["type"] == "application/vnd+zarr"
    assert assets["cube"]["href"] == assets["cube-xarray"]["href"]
    for key, asset in assets.items():
        if key.startswith("cube"):
            continue
        data = (path.parent / asset["href"]).read_bytes()
        assert asset["file:size"] == len(data)
        assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
    manifest = json.loads((path.parent / assets["manifest"]["href"]).read_text())
    assert manifest["size"] == assets["cube"]["file:size"]
    assert [b["description"] for b in assets["composite"]["bands"][:3]] == [f"NDAI of {y}" for y in (2019, 2020, 2021)]
    counted = {c["name"]: c["count"] for c in assets["activity"]["classification:classes"]}
    assert sum(counted.values()) == SHAPE[0] * SHAPE[1] and counted["no_data"] == 3 * SHAPE[1]
    years = {c["value"]: (c["name"], c.get("color_hint")) for c in assets["colours"]["classification:classes"]}
    assert years[1] == ("active_2019", "ff0000") and years[6] == ("active_2020_2021", "00ffff")
    assert years[0] == ("active_none", "000000") and years[255] == ("no_data", None)
    with rasterio.open(path.parent / assets["colours"]["href"]) as source:
        assert source.nodata == 255 and source.colormap(1)[5] == (255, 0, 255, 255)


def test_facts_of_several_years_are_added_to_the_listed_item_alone(tmp_path):
    published(tmp_path)
    kept = {p: p.read_bytes() for p in (tmp_path / "products").rglob("*.item.json")}
    facts = {("sishen", 2021): {"pitpulse:production": 3.5e7}, ("elsewhere", 2021): {"pitpulse:production": 1.0}}
    assert annotate(tmp_path, facts) == 1
    assert annotate(tmp_path, facts) == 0  # nothing new, nothing written
    (item,) = listed_items(tmp_path)
    assert item["properties"]["pitpulse:production"] == 3.5e7
    assert kept == {p: p.read_bytes() for p in (tmp_path / "products").rglob("*.item.json")}
    show(tmp_path, "sishen", 2021, "ab" * 32)  # as a rerun does that finds the year published
    assert listed_items(tmp_path) == [item]
    published(tmp_path, fingerprint="cd" * 32)  # another product knows nothing of it
    assert "pitpulse:production" not in listed_items(tmp_path)[0]["properties"]


def test_renders_name_bands_that_exist_and_carry_their_colours(folder):
    document = json.loads((folder / "catalog/mine-activity/sishen-2021.json").read_text())
    for render in document["properties"]["renders"].values():
        bands = {band["name"] for key in render["assets"] for band in document["assets"][key]["bands"]}
        assert set(render["bands"]) <= bands and "colormap_name" not in render
    assert len(document["properties"]["renders"]["ndai"]["colormap"]) == 256


def test_colour_ramp_gets_lighter_evenly():
    table = np.array([rgba[:3] for rgba in colour_ramp().values()], float)
    lightness = table @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(lightness) >= 0) and lightness[-1] - lightness[0] > 150
    assert len({tuple(colour) for colour in CLASS_COLOURS.values()}) == 4


def test_collection_covers_its_items(folder):
    collection = pystac.Collection.from_file(str(folder / "catalog/mine-activity/collection.json"))
    west, south, east, north = collection.extent.spatial.bboxes[0]
    assert west < 23.1 and east > 129 and south < -27 and north > 42
    assert collection.summaries.get_list("pitpulse:country") == ["PRK", "ZAF"]
    assert set(collection.to_dict()["item_assets"]) >= {"cube", "ndai", "activity", "thumbnail"}


def test_rebuilding_the_catalog_changes_nothing(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    before = files(copy)
    assert rebuild_catalog(copy) == 2
    assert files(copy) == before


def test_an_empty_collection_is_refused():
    with pytest.raises(BadInput, match="a collection needs at least one item"):
        build_collection([])


def test_ids_are_lower_case():
    assert item_id("Sishen", 2021) == "sishen-2021"


def test_relative_and_rebase():
    assert relative("catalog/a/b.json", "catalog/a") == "./b.json"
    assert relative("products/x.tif", "catalog/a") == "../../products/x.tif"
    document = {
        "links": [{"rel": "license", "href": "https://a/b"}, {"rel": "root", "href": "../../catalog/c.json"}],
        "assets": {"x": {"href": "./x.tif"}},
    }
    there = rebase(document, "products/m/i.json", "catalog/k/i.json")
    assert [link["href"] for link in there["links"]] == ["https://a/b", "../c.json"]
    assert there["assets"]["x"]["href"] == "../../products/m/x.tif"
    assert rebase(there, "catalog/k/i.json", "products/m/i.json") == document


def test_missing_facts_are_null_and_not_nan():
    cube = example_cube()
    cube["ndai"].values[:] = np.nan
    unknown = ActiveArea(*[float("nan")] * 5, 0)
    item = build_item(MINE, cube, unknown, [Stored("ndai", "a.tif", 3, "00")], path="catalog/k/i.json", version="1-a")
    properties = item.properties
    assert properties["pitpulse:active_area"] is None and properties["pitpulse:ndai_mean"] is None
    assert properties["pitpulse:active_area_interval"] == [None, None]
    assert "statistics" not in item.assets["ndai"].extra_fields["bands"][0]


def test_an_unnamed_dem_leaves_the_insar_extension_out():
    cube = example_cube()
    del cube.attrs["dem"], cube.attrs["orbit_pass"]
    item = build_item(MINE, cube, AREA, [], path="catalog/k/i.json", version="1-a")
    assert not any("insar" in url for url in item.stac_extensions)
    assert not {"insar:processing_dem", "sat:orbit_state"} & set(item.properties)


# --- pictures ------------------------------------------------------------------------------------------------------


def test_layer_cog_holds_the_layer():
    grid, values = example_grid("sishen"), example_cube()["ndai"].values
    data = layer_cog(values, grid, name="ndai", nodata=float("nan"))
    assert data == layer_cog(values, grid, name="ndai", nodata=float("nan"))
    with rasterio.MemoryFile(data) as memory, memory.open() as source:
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert source.crs.to_epsg() == 32734 and source.transform[:6] == tuple(grid.affine)[:6]
        assert np.isnan(source.nodata) and source.descriptions == ("ndai",)
        np.testing.assert_array_equal(source.read(1), values)


def test_class_cog_has_its_colours():
    grid, values = example_grid("sishen"), example_cube()["activity"].values
    data = layer_cog(values, grid, name="activity", nodata=0, colours=CLASS_COLOURS)
    with rasterio.MemoryFile(data) as memory, memory.open() as source:
        assert source.colorinterp == (ColorInterp.palette,) and source.nodata == 0
        assert source.colormap(1)[2][:3] == CLASS_COLOURS[2][:3]
        np.testing.assert_array_equal(source.read(1), values)


def test_composite_cog_has_alpha_and_years():
    pictures = example_extras()
    data = rgba_cog(pictures.composite, example_grid("sishen"), ["red 2019", "green 2020", "blue 2021", "alpha"])
    with rasterio.MemoryFile(data) as memory, memory.open() as source:
        assert source.colorinterp[3] == ColorInterp.alpha and source.descriptions[0] == "red 2019"
        np.testing.assert_array_equal(np.moveaxis(source.read(), 0, 2), pictures.composite)


def test_large_layers_have_overviews_of_valid_values_only():
    grid = example_grid("sishen").expand((700, 900))
    values = np.full(grid.shape, 0.25, np.float32)
    values[::2] = np.nan
    with rasterio.MemoryFile(layer_cog(values, grid, name="ndai", nodata=float("nan"))) as memory:
        with memory.open(overview_level=0) as source:
            np.testing.assert_array_equal(source.read(1), np.float32(0.25))


def test_layers_off_the_grid_are_refused():
    with pytest.raises(BadInput, match=r"layer 'ndai' must have the grid's shape \(40, 60\), instead got \(3, 3\)"):
        layer_cog(np.zeros((3, 3), np.float32), example_grid("sishen"), name="ndai", nodata=0)
    with pytest.raises(BadInput, match=r"a composite must be uint8 of shape \(40, 60, 4\), instead got float64"):
        rgba_cog(np.zeros((40, 60, 4)), example_grid("sishen"), "rgba")


def test_a_composite_needs_three_years():
    with pytest.raises(BadInput, match="the colours of three years need composite_years"):
        Extras(colours=np.zeros((1, 1), np.uint8))
    with pytest.raises(BadInput, match=r"needs the years of red, green and blue, instead got \(2020,\)"):
        Extras(composite=np.zeros((1, 1, 4), np.uint8), composite_years=(2020,))


# --- publishing ----------------------------------------------------------------------------------------------------


def test_same_input_same_bytes(folder, tmp_path):
    for site in SITES:
        published(tmp_path, site)
    assert files(tmp_path) == files(folder)


def test_publishing_in_another_order_gives_the_same_catalog(folder, tmp_path):
    for site in reversed(SITES):
        published(tmp_path, site)
    assert files(tmp_path) == files(folder)


def test_publishing_twice_changes_nothing(tmp_path):
    first = published(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.zarr/**/*")}
    contents = files(tmp_path)
    other = dataclasses.replace(AREA, area=9.0)
    again = publish(MINE, example_cube(), other, Extras(), tmp_path)  # other facts, same fingerprint: skipped
    assert again.to_dict() == first.to_dict()
    assert files(tmp_path) == contents
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.zarr/**/*")} == before


def test_already_published(tmp_path):
    assert already_published(tmp_path, "sishen", 2021, "ab" * 32) is None
    published(tmp_path)
    assert already_published(tmp_path, "sishen", 2021, "ab" * 32)["id"] == "sishen-2021"
    assert already_published(tmp_path, "sishen", 2022, "ab" * 32) is None
    with pytest.raises(BadInput, match="belongs to fingerprint abab"):
        already_published(tmp_path, "sishen", 2021, "ab" * 4 + "cd" * 28)


def test_a_new_version_stands_beside_the_old_and_points_at_it(tmp_path):
    published(tmp_path)
    old = {path: digest for path, digest in files(tmp_path).items() if path.startswith("products")}
    item = published(tmp_path, fingerprint="cd" * 32)
    assert item.id == "sishen-2021"
    now = files(tmp_path)
    assert {path: now[path] for path in old} == old  # nothing published has changed
    link = next(link for link in item.links if link.rel == "predecessor-version")
    place = tmp_path / "catalog/mine-activity" / link.get_href(transform_href=False)
    assert json.loads(place.read_text())["properties"]["pitpulse:fingerprint"] == "ab" * 32
    assert open_item(item).attrs["fingerprint"] == "cd" * 32
    collection = json.loads((tmp_path / "catalog/mine-activity/collection.json").read_text())
    assert len([link for link in collection["links"] if link["rel"] == "item"]) == 1


def test_an_older_version_can_be_shown_again(tmp_path):
    first = published(tmp_path)
    published(tmp_path, fingerprint="cd" * 32)
    again = show(tmp_path, "sishen", 2021, "ab" * 32)
    assert again.to_dict() == first.to_dict()
    listed = json.loads((tmp_path / "catalog/mine-activity/sishen-2021.json").read_text())
    assert listed["properties"]["pitpulse:fingerprint"] == "ab" * 32
    with pytest.raises(BadInput, match=r"holds no published products/sishen/2021/v.*-efefefef; publish it first"):
        show(tmp_path, "sishen", 2021, "ef" * 32)


@pytest.mark.parametrize("kept", ["nothing", "cube", "all but the state"])
def test_what_a_dead_publisher_left_is_written_again(tmp_path, kept):
    published(tmp_path)
    complete = files(tmp_path)
    stem = tmp_path / product_stem("sishen", 2021, "ab" * 32)
    for kind, suffix in SUFFIXES.items():
        path = Path(f"{stem}{suffix}")
        if kind == "state" or (kind != "cube" and kept != "all but the state"):
            path.unlink()
        elif kind == "cube" and kept == "nothing":
            shutil.rmtree(path)
        elif kind == "cube":
            (path / "ndai/c/0/0").unlink()
    shutil.rmtree(tmp_path / "catalog")
    assert already_published(tmp_path, "sishen", 2021, "ab" * 32) is None
    published(tmp_path)
    assert files(tmp_path) == complete


def test_a_publisher_that_died_before_the_catalog_is_healed(tmp_path):
    published(tmp_path)
    complete = files(tmp_path)
    shutil.rmtree(tmp_path / "catalog")
    published(tmp_path)
    assert files(tmp_path) == complete


def test_publishing_to_an_object_store():
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    try:
        item = published("memory://bucket/root")
        assert open_item(item).sizes["pair"] == PAIRS
        assert open_item("memory://bucket/root/catalog/mine-activity/sishen-2021.json").attrs["year"] == 2021
        stem = "memory://bucket/root/" + product_stem("sishen", 2021, "ab" * 32)
        manifest = json.loads(fs.cat_file(stem + ".manifest.json"))
        assert len(manifest["objects"]) == 2 * len(VARIABLES) + 1
        verify(stem + ".zarr", [StoredObject(**entry) for entry in manifest["objects"]])
    finally:
        fs.store.clear()


def test_an_item_without_a_place_cannot_be_resolved(folder):
    document = json.loads((folder / "catalog/mine-activity/sishen-2021.json").read_text())
    with pytest.raises(BadInput, match="item sishen-2021 has a relative href and no self link"):
        open_item(pystac.Item.from_dict(document))


def test_a_cube_of_another_mine_is_refused(tmp_path):
    with pytest.raises(BadInput, match="the cube is of mine 'sishen', instead of 'musan'"):
        publish(SITES["musan"][0], example_cube("sishen"), AREA, example_extras(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_cube_that_breaks_its_promises_is_not_published(tmp_path):
    cube = example_cube()
    cube["coherence"].values[0, 5, 5] = 1.5
    with pytest.raises(BadInput, match="'coherence' must lie in"):
        publish(MINE, cube, AREA, example_extras(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_root_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Unavailable, match=r"can't (write|read) .*/file/"):
        published(tmp_path / "file")


def test_a_composite_that_does_not_fit_leaves_the_product_unpublished(tmp_path):
    pictures = dataclasses.replace(example_extras(), composite=np.zeros((3, 3, 4), np.uint8))
    with pytest.raises(BadInput, match="a composite must be uint8 of shape"):
        publish(MINE, example_cube(), AREA, pictures, tmp_path)
    assert already_published(tmp_path, "sishen", 2021, "ab" * 32) is None
    assert not (tmp_path / "catalog").exists()
