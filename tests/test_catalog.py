"""What is published: item, collection, catalog, files beside the cube, and the order in which they appear."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pystac
import pytest
import rasterio
import shapely
import xarray as xr
from rasterio.enums import ColorInterp

from catalog.assets import Stored, item_assets, parquet_columns
from catalog.cog import layer_cog, rgba_cog
from catalog.collection import build_collection, citation, slim
from catalog.colours import CLASS_COLOURS, NDAI_RANGE, colour_ramp
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
from catalog.stac import build_item, item_id, rebase, relative, relinked, target
from pipeline.activity.area import ActiveArea
from pipeline.errors import BadInput, Unavailable
from pipeline.palette import CLASSES, MISSING, RAMP, ramp, shades, year_colour
from pipeline.pictures import CLASS_STYLE
from pipeline.settings import Settings
from pipeline.variables import NO_DATA, VARIABLES
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
    assert sorted(p.relative_to(folder / "catalog").as_posix() for p in (folder / "catalog").rglob("*.json")) == [
        "catalog.json",
        "commodities/catalog.json",
        "commodities/iron-ore/catalog.json",
        "commodities/iron-ore/prk/catalog.json",
        "commodities/iron-ore/zaf/catalog.json",
        "countries/prk/catalog.json",
        "countries/prk/musan/catalog.json",
        "countries/zaf/catalog.json",
        "countries/zaf/sishen/catalog.json",
        "mine-activity/collection.json",
        "mine-activity/musan-2021.json",
        "mine-activity/sishen-2021.json",
    ]


def test_every_link_and_asset_leads_somewhere_and_is_relative(folder):
    documents = [*folder.glob("catalog/**/*.json"), *folder.glob("products/**/*.item.json")]
    assert len(documents) == 14
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
    # the pit's polygon, 900 x 600 m on the ground, inside a grid of 1200 x 800
    assert (east - west) * 111_320 * np.cos(np.radians(27.7)) == pytest.approx(900, abs=20)
    assert (north - south) * 110_800 == pytest.approx(600, abs=20)  # m; the grid is turned by the convergence
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
        "pitpulse:classifier": "test",
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
    assert not {"pitpulse:incoherent_area", "pitpulse:legacy_area"} & set(properties)  # absent where not known
    known = dataclasses.replace(AREA, incoherent=44_000.04, legacy_area=30_000.0)
    item = build_item(MINE, cube, known, [], path="catalog/k/i.json", version="1-a")
    assert item.properties["pitpulse:incoherent_area"] == 44_000.0  # m2
    assert item.properties["pitpulse:legacy_area"] == 30_000.0


def test_assets_are_what_they_say(folder):
    path = folder / "catalog/mine-activity/sishen-2021.json"
    assets = json.loads(path.read_text())["assets"]
    files = {"ndai", "activity", "composite", "colours", "series", "events", "thumbnail", "manifest"}
    assert set(assets) == {"cube", "cube-xarray"} | files
    assert assets["cube"]["type"] == "application/vnd.zarr; version=3"
    assert assets["cube-xarray"]["type"] == "application/vnd+zarr"
    assert assets["cube"]["href"] == assets["cube-xarray"]["href"]
    assert assets["cube"]["file:size"] == assets["cube-xarray"]["file:size"]
    assert assets["series"]["table:columns"] == [{"name": "site", "type": "string", "description": "name of the site"}]
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


def test_item_assets_are_what_all_items_have(folder):
    assets = json.loads((folder / "catalog/mine-activity/sishen-2021.json").read_text())["assets"]
    common = item_assets()
    assert set(common) == set(assets)
    for key, asset in common.items():
        assert asset["type"] == assets[key]["type"] and asset["roles"] == assets[key]["roles"]
    assert common["cube"]["bands"] == assets["cube"]["bands"]
    classes = [{k: v for k, v in c.items() if k != "count"} for c in assets["activity"]["classification:classes"]]
    assert common["activity"]["classification:classes"] == classes


def test_a_table_that_is_none_is_not_published(tmp_path):
    with pytest.raises(BadInput, match="the time series must be a parquet file, instead got 4 bytes"):
        publish(MINE, example_cube(), AREA, dataclasses.replace(example_extras(), series=b"PAR1"), tmp_path)
    assert already_published(tmp_path, "sishen", 2021, "ab" * 32) is None


def test_columns_say_their_unit():
    kinds = [pa.field("b", pa.float64(), metadata={"long_name": "baseline", "units": "m"}), pa.field("n", pa.int64())]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"b": [1.0], "n": [1]}, schema=pa.schema(kinds)), sink)
    assert parquet_columns(sink.getvalue().to_pybytes()) == (("b", "double", "baseline (m)"), ("n", "int64", ""))


def test_renders_name_bands_that_exist_and_carry_their_colours(folder):
    document = json.loads((folder / "catalog/mine-activity/sishen-2021.json").read_text())
    for render in document["properties"]["renders"].values():
        bands = {band["name"] for key in render["assets"] for band in document["assets"][key]["bands"]}
        assert set(render["bands"]) <= bands and "colormap_name" not in render
    assert len(document["properties"]["renders"]["ndai"]["colormap"]) == 256


# What is left of linear red, green, blue without the cones for long, middle or short waves (Machado et al. 2009).
BLINDNESS = {
    "none": np.eye(3),
    "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lightness(colours, blindness: str) -> np.ndarray:
    """CIE L* (0 to 100) of colours (n, 3) in bytes, as someone sees them."""
    c = np.asarray(colours, float) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    y = np.clip(linear @ np.array(BLINDNESS[blindness]).T, 0, 1) @ [0.2126729, 0.7151522, 0.0721750]
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colours_are_told_apart_by_lightness(blindness):
    shown = lightness(ramp(), blindness)
    assert np.diff(shown[::8]).min() > 1.3  # L*, each 1/32 of the range (2.8 on average): more is lighter, everywhere
    assert shown[0] < 6 and shown[-1] > 91
    classes = np.sort(lightness([colour for value, colour in CLASSES.items() if value != NO_DATA], blindness))
    assert np.diff(classes).min() > 19  # L*
    assert np.abs(lightness([MISSING], blindness) - classes).min() > 3.9  # and it has no hue, which they have


def test_files_pages_and_pictures_have_one_source_of_colours():
    assert {value: colour[:3] for value, colour in CLASS_COLOURS.items() if value} == {
        value: colour for value, colour in CLASSES.items() if value
    }
    assert CLASS_COLOURS[NO_DATA] == (0, 0, 0, 0)  # transparent
    assert [tuple(c[:3]) for c in colour_ramp().values()] == list(map(tuple, ramp()))
    assert tuple(ramp()[0]) == RAMP[0] and tuple(ramp()[-1]) == RAMP[-1] and len(ramp(9)) == 9
    assert list(map(tuple, ramp(9))) == list(RAMP)
    assert NDAI_RANGE == Settings().composite_stretch
    assert {CLASS_STYLE[k][1] for k in range(4)} == {(*(c / 255 for c in CLASSES[k]), 1.0) for k in range(4)}
    assert [year_colour(code) for code in (0, 1, 6)] == [(0, 0, 0), (255, 0, 0), (0, 255, 255)]


def test_shades_are_the_ramp_and_transparent_where_missing():
    image = shades([[0.0, 1.0, np.nan], [-3.0, 7.0, 0.5]])
    assert image.shape == (2, 3, 4) and image.dtype == np.uint8
    np.testing.assert_array_equal(image[0, :2], image[1, :2])
    assert tuple(image[0, 0]) == (*RAMP[0], 255) and tuple(image[0, 1]) == (*RAMP[-1], 255)
    assert tuple(image[0, 2]) == (0, 0, 0, 0) and tuple(image[1, 2]) == (*ramp()[128], 255)


def test_collection_covers_its_items(folder):
    collection = pystac.Collection.from_file(str(folder / "catalog/mine-activity/collection.json"))
    west, south, east, north = collection.extent.spatial.bboxes[0]
    assert west < 23.1 and east > 129 and south < -27 and north > 42
    assert collection.summaries.get_list("pitpulse:country") == ["PRK", "ZAF"]
    document = collection.to_dict(transform_hrefs=False)
    assert set(document["item_assets"]) >= {"cube", "ndai", "activity", "thumbnail"}
    assert document["summaries"]["pitpulse:year"] == {"minimum": 2021, "maximum": 2021}
    assert document["summaries"]["pitpulse:active_area"] == {"minimum": 120_000.0, "maximum": 120_000.0}
    assert document["sci:citation"].endswith("Contains modified Copernicus Sentinel data 2021.")
    assert "conformsTo" not in document  # that is for an API to promise
    picture = folder / "catalog/mine-activity" / document["assets"]["thumbnail"]["href"]
    assert picture.read_bytes() == example_extras().thumbnail and "/products/musan/2021/" in picture.as_posix()


def test_collection_of_slim_items_is_that_of_whole_ones(folder):
    items = listed_items(folder)
    whole = build_collection(items).to_dict(include_self_link=False, transform_hrefs=False)
    assert build_collection(map(slim, items)).to_dict(include_self_link=False, transform_hrefs=False) == whole
    one = build_collection(items[:1]).to_dict(include_self_link=False, transform_hrefs=False)
    both = build_collection(items[1:], one).to_dict(include_self_link=False, transform_hrefs=False)
    assert both == whole
    assert len(json.dumps(slim(items[0]))) < len(json.dumps(items[0])) / 10


def test_citation_spans_the_years(folder):
    items = listed_items(folder)
    items[0]["properties"]["start_datetime"] = "2016-01-01T00:00:00Z"
    assert citation(build_collection(items).extent).endswith("Sentinel data 2016–2021.")


def test_unknown_numbers_are_in_no_range(folder):
    items = listed_items(folder)
    for item in items:
        item["properties"]["pitpulse:active_area"] = None
    summaries = build_collection(items).summaries.to_dict()
    assert "pitpulse:active_area" not in summaries and "pitpulse:ndai_mean" in summaries


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


def test_links_are_replaced_by_kind():
    links = [{"rel": "prev", "href": "./a-1.json"}, {"rel": "root", "href": "../c.json"}]
    changed = relinked({"links": links}, "catalog/k/a-2.json", {"prev": None, "next": ("catalog/k/a-3.json", "3")})
    assert changed["links"] == [
        {"rel": "root", "href": "../c.json"},
        {"rel": "next", "href": "./a-3.json", "type": "application/geo+json", "title": "3"},
    ]
    assert target(changed, "next", "catalog/k/a-2.json") == "catalog/k/a-3.json"
    assert target(changed, "prev", "catalog/k/a-2.json") is None
    assert target({"links": [{"rel": "next", "href": "https://a/b"}]}, "next", "c") is None


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
    mine = json.loads((tmp_path / "catalog/countries/zaf/sishen/catalog.json").read_text())
    assert len([link for link in mine["links"] if link["rel"] == "item"]) == 1


def test_an_older_version_can_be_shown_again(tmp_path):
    first = published(tmp_path).to_dict()
    published(tmp_path, fingerprint="cd" * 32)
    again = show(tmp_path, "sishen", 2021, "ab" * 32).to_dict()
    later = [link for link in again["links"] if link["rel"] == "predecessor-version"]
    assert "cdcdcdcd" in later[0]["href"]  # what was shown before it
    assert {**again, "links": [link for link in again["links"] if link not in later]} == first
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
