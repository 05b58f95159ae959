"""Pages: what is written, and that nothing is written twice; what a browser shows of it is in test_pages_browser."""

import io
import json
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyproj import Transformer

from catalog import pages_data as data
from catalog.colours import CLASS_COLOURS, NDAI_RANGE, YEAR_COLOURS, colour_ramp
from catalog.pages import build_pages, web_files
from catalog.publish import annotate
from catalog.report import write_report
from pipeline.cube import open_cube
from pipeline.errors import BadInput, Unavailable
from pipeline.records import write_outcomes
from pipeline.storage import open_store
from pipeline.variables import ACTIVE, INACTIVE, INCOHERENT, NO_DATA

from .product_example import SHAPE
from .site_example import HOSTILE, ITEMS, make_site, page
from .test_report import TRACEBACK, facts, links


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder with its pages, which no test changes, and what was written."""
    root = make_site(tmp_path_factory.mktemp("site"))
    return root, build_pages(root)


@pytest.fixture
def site(built, tmp_path) -> Path:
    """A copy to be changed."""
    return shutil.copytree(built[0], tmp_path / "copy")


def year_colour(years) -> str:
    """Colour of the example's years of activity."""
    code = sum(1 << (2019, 2020, 2021).index(year) for year in years)
    return "#" + "".join(f"{channel:02x}" for channel in YEAR_COLOURS[code][:3])


# --- what is written ---


def test_everything_is_there_and_nothing_is_written_twice(built):
    root, written = built
    assert written == sorted(
        p.relative_to(root).as_posix() for p in [root / "index.html", *(root / "pages").rglob("*.*")]
    )
    layers = ("classes", "colours", "composite", "ndai")
    assert {f"pages/mines/sishen/{year}-{layer}.png" for year in (2020, 2021) for layer in layers} <= set(written)
    assert build_pages(root) == []
    assert build_pages(root, again=True) == []  # drawn again: the same bytes


def test_only_the_mine_that_changed_is_drawn_again(site):
    annotate(site, {("sishen", 2021): {"pitpulse:production": 2_000_000}})
    (site / "pages/mines/musan.json").write_text("untouched")
    assert build_pages(site) == ["pages/mines/sishen.json", "pages/state.json"]
    assert page(site, "sishen")["years"][1]["production"]["value"] == 2_000_000
    assert (site / "pages/mines/musan.json").read_text() == "untouched"


def test_a_new_area_reaches_the_list(site):
    change = {"pitpulse:active_area": 400_000.0, "pitpulse:active_area_interval": [300_000.0, 500_000.0]}
    annotate(site, {("sishen", 2021): change})
    assert "pages/mines.json" in build_pages(site)
    table = json.loads((site / "pages/mines.json").read_text())
    at = table["id"].index("sishen")
    assert [table[name][at] for name in ("area", "low", "high", "change", "sure")] == [400, 300, 500, 280, 1]


def test_a_state_that_cannot_be_read_or_of_other_code_is_made_again(site):
    state = json.loads((site / "pages/state.json").read_text())
    for broken in ("{", json.dumps({"drawer": "other", "mines": state["mines"]}), "[]"):
        (site / "pages/state.json").write_text(broken)
        assert build_pages(site) == ["pages/state.json"]


def test_a_year_shows_what_the_item_and_the_cube_say(built):
    root, _ = built
    mine = page(root, "sishen")
    assert (mine["name"], mine["country"], mine["commodity"]) == ("Sishen", "South Africa", "iron ore")
    first, last = mine["years"]
    assert (first["year"], last["year"]) == (2020, 2021)
    assert last["area"] == [120_000.0, 100_000.0, 150_000.0] and last["pairs"] == [8, 1]
    assert last["production"]["value"] == 1_234_567 and last["production"]["interval"] == [800_000, 1_900_000]
    assert last["emissions"]["confidence"] == "low" and first["production"] is None and first["emissions"] is None
    assert last["rgb_years"] == [2019, 2020, 2021]
    assert {tuple(code["years"]): code["colour"] for code in last["codes"]}[(2019, 2021)] == year_colour((2019, 2021))
    for download in last["downloads"]:
        where = root / download["path"]
        assert where.exists(), download
        if where.is_file():
            assert where.stat().st_size == download["size"]
    pairs = mine["pairs"]
    assert len(pairs["mean"]) == 9  # both example years hold the same pairs, and a pair counts once
    assert pairs["secondary"] == sorted(pairs["secondary"]) and pairs["secondary"][0] == "2021-01-05"
    assert pairs["reason"] == [""] * 8 + ["low stable mean"] and pairs["accepted"] == [True] * 8 + [False]
    assert pairs["baseline"][0] == -90.0 and pairs["baseline"][-1] == 120.0


def test_pictures_show_the_layers(built):
    root, _ = built
    cube = open_cube(
        root / next(d["path"] for d in page(root, "sishen")["years"][1]["downloads"] if d["key"] == "cube")
    )
    picture = np.asarray(Image.open(root / "pages/mines/sishen/2021-classes.png").convert("RGBA"))
    assert picture.shape == (*SHAPE, 4)
    for value in (NO_DATA, INACTIVE, ACTIVE):
        assert (picture[cube["activity"].values == value] == CLASS_COLOURS[value]).all()
    shades = np.asarray(Image.open(root / "pages/mines/sishen/2021-ndai.png").convert("RGBA")).astype(int)
    ndai, ramp = cube["ndai"].values, np.array(list(colour_ramp().values()))
    assert (shades[np.isnan(ndai)] == 0).all()
    known = np.isfinite(ndai)
    wanted = ramp[np.rint(np.clip((ndai[known] - NDAI_RANGE[0]) / np.ptp(NDAI_RANGE), 0, 1) * 255).astype(int)]
    assert np.abs(shades[known] - wanted).max() <= np.abs(ramp[3:] - ramp[:-3]).max()  # half of one of 64 shades


def test_the_folder_may_be_in_memory(built):
    root, _ = built
    store = open_store("memory://pages-test")
    for path in sorted(p for p in root.rglob("*") if p.is_file() and "pages" not in p.parts and p.name != "index.html"):
        store.write_bytes(path.relative_to(root).as_posix(), path.read_bytes())
    for path in build_pages("memory://pages-test"):
        assert store.read_bytes(path) == (root / path).read_bytes()


def test_nothing_that_leads_out_of_the_folder_gets_onto_a_page(site):
    path = site / ITEMS / "sishen-2021.json"
    document = json.loads(path.read_text())
    secret = "s3://AKIAKEY:hunter2@bucket/cube.zarr?token=hunter2"
    document["assets"]["cube"]["href"] = secret
    document["assets"]["more"] = {"href": "../../../outside/hunter2", "title": "more"}
    document["links"].append({"rel": "derived_from", "href": secret})
    document["properties"]["pitpulse:note"] = "hunter2"
    path.write_text(json.dumps(document))
    build_pages(site)
    for written in [site / "index.html", *(site / "pages").rglob("*.*")]:
        assert b"hunter2" not in written.read_bytes(), written
    assert "layers" not in page(site, "sishen")["years"][1]  # nor is it read


def test_every_link_of_a_run_s_report_leads_somewhere(site):
    runs = (
        [facts(), facts("musan")],
        [facts(state="failed", reason=TRACEBACK), facts("hostile", broken=[[HOSTILE, HOSTILE]])],
        [facts("taveuni", "skipped")],
    )
    for outcomes in runs:
        write_report(site, write_outcomes(open_store(site), outcomes), 1764407095.0, 20.0, outcomes)
    pages = sorted((site / "runs").glob("*.html"))
    assert [p.name for p in pages] == ["000001.html", "000002.html", "000003.html", "index.html"]
    for path in pages:
        found = links(path)
        assert len(found) >= 4
        for parts in map(urlsplit, found):
            assert (path.parent / unquote(parts.path)).is_file(), parts
            if parts.query:
                assert (site / f"pages/mines/{unquote(parts.query.removeprefix('id='))}.json").is_file(), parts
    assert "../catalog/mine-activity/sishen-2021.json" in links(site / "runs/000001.html")
    assert build_pages(site) == []  # reports are no pages of it


def test_a_store_that_is_gone_leaves_the_numbers_and_is_tried_again(site):
    place = next(d["path"] for d in page(site, "musan")["years"][0]["downloads"] if d["key"] == "cube")
    (site / place).rename(site / "aside")
    (site / "pages/state.json").unlink()
    build_pages(site)
    assert page(site, "musan")["years"][0]["area"][0] == 120_000.0 and "layers" not in page(site, "musan")["years"][0]
    assert build_pages(site) == []  # tried, still gone
    (site / "aside").rename(site / place)
    assert build_pages(site) == ["pages/mines/musan.json", "pages/state.json"]
    assert "classes" in page(site, "musan")["years"][0]["layers"]


def test_no_catalog_and_foreign_documents_are_named(site):
    with pytest.raises(Unavailable, match="nothing is there"):
        build_pages(site / "nowhere")
    document = json.loads((site / ITEMS / "dark-2021.json").read_text())
    for mine_id in ("../up", ".hidden", "", None, "a?b", "100%"):
        document["properties"]["pitpulse:mine_id"] = mine_id
        with pytest.raises(BadInput, match=r"x\.json: pitpulse:mine_id must be fit for a file's name"):
            data.read_entry(json.dumps(document).encode(), "x.json")
    for foreign in (b"{", b"[]", b"{}", b'{"properties": {"pitpulse:mine_id": "a", "pitpulse:year": null}}'):
        with pytest.raises(BadInput, match=r"x\.json: expected a STAC item .* publish it again"):
            data.read_entry(foreign, "x.json")


# --- its parts ---


@given(st.text(alphabet="./ab:?#\\%@", max_size=30))
def test_a_link_stays_inside_or_is_left_out(href):
    where = data.inside_folder(href, "catalog/mine-activity/a.json")
    assert where is None or not (where.startswith(("/", "..")) or "/../" in where or set(where) & set(":?#\\"))


@pytest.mark.parametrize(
    "code, lon, lat",
    [("EPSG:32734", 21.0, -27.1), ("EPSG:32701", 179.9, -18.0), ("EPSG:32660", -179.97, 9.0)],  # the last two: across
)
def test_the_middle_of_a_grid(code, lon, lat):
    x, y = Transformer.from_crs(4326, code, always_xy=True).transform(lon, lat)
    found = data.place({"properties": {"proj:code": code, "proj:bbox": [x - 600, y - 400, x + 600, y + 400]}})
    assert found == pytest.approx((lon, lat), abs=1e-7)  # degrees
    assert -180 <= found[0] < 180


def test_the_middle_of_a_box_over_the_antimeridian():
    assert data.place({"properties": {}, "bbox": [179.0, -18.0, -179.5, -17.0]}) == pytest.approx((179.75, -17.5))
    assert data.place({"properties": {}, "bbox": [10.0, 40.0, 0, 11.0, 41.0, 9]}) == pytest.approx((10.5, 40.5))
    assert data.place({"properties": {}}) is None


def test_an_outline_follows_the_pixels():
    mask = np.zeros((6, 8), bool)
    mask[1:5, 2:7] = True
    assert rings(data.outline(mask))[0].equals(shapely.box(2, 1, 7, 5))
    assert data.outline(np.zeros((4, 4), bool)) == ""
    y, x = np.mgrid[:200, :200] + 0.5
    ring = (np.hypot(x - 100, y - 100) < 80) & (np.hypot(x - 100, y - 100) > 30)
    outer, inner = sorted(rings(data.outline(ring)), key=lambda r: -r.area)
    assert outer.area - inner.area == pytest.approx(np.pi * (80**2 - 30**2), rel=0.01)
    assert outer.hausdorff_distance(shapely.Point(100, 100).buffer(80, 200)) < 1.5  # pixels
    assert len(outer.exterior.coords) < 80


def rings(path: str) -> list[shapely.Polygon]:
    return [shapely.Polygon([tuple(map(float, p.split(","))) for p in ring.split("L")]) for ring in
            (part.strip("M") for part in path.split("Z") if part)]  # fmt: skip


def test_large_grids_are_thinned_out():
    classes = np.full((10, 5000), INCOHERENT, np.uint8)
    cube = xr.Dataset({"activity": (("y", "x"), classes), "ndai": (("y", "x"), np.full((10, 5000), 0.2, np.float32))})
    found = data.pictures(cube, None, None)
    assert sorted(found) == ["classes", "ndai"] and len(found["classes"]) < 2000
    assert Image.open(io.BytesIO(found["classes"])).size == (1667, 4)


def test_the_largest_sites_are_taken_from_tables_that_can_be_read():
    pairs = {"reference": ["2021-01-01", "2021-01-13"], "secondary": ["2021-01-13", "2021-01-25"]}
    times = {name: [np.datetime64(f"{day}T05:00:00", "us") for day in pairs[f"{name[:-5]}"]]
             for name in ("reference_time", "secondary_time")}  # fmt: skip
    rows = {"site": [], "reference_time": [], "secondary_time": [], "ndai": [], "pixels": []}
    for k in range(9):
        rows["site"] += [f"area-{k}" if k else "stable points"] * 2
        rows["ndai"] += [k / 10, None]
        rows["pixels"] += [10 * k, None]
        rows["reference_time"] += times["reference_time"]
        rows["secondary_time"] += times["secondary_time"]
    sink = io.BytesIO()
    pq.write_table(pa.table(rows), sink)
    other = io.BytesIO()
    pq.write_table(pa.table({"site": ["x"]}), other)
    found = data.site_series([b"PAR1", other.getvalue(), sink.getvalue()], pairs)
    assert found == {f"area-{k}": [k / 10, None] for k in range(3, 9)}


def entry(year, area, low=None, high=None, mine_id="a"):
    return data.Entry("p", "d", mine_id, "A", "ZAF", "coal", year, (area, low, high))


def test_a_change_is_sure_where_the_intervals_do_not_touch():
    line = data.summary([entry(2019, 100.0, 90.0, 110.0), entry(2020, None), entry(2021, 200.0, 150.0, 260.0)], None)
    assert (line["change"], line["sure"], line["shown"], line["years"]) == (100.0, True, 2021, (2019, 2021))
    line = data.summary([entry(2020, 100.0, 90.0, 160.0), entry(2021, 200.0, 150.0, 260.0), entry(2022, None)], None)
    assert (line["change"], line["sure"], line["shown"]) == (100.0, False, 2021)
    assert data.summary([entry(2021, 200.0)], None)["change"] is None
    line = data.summary([entry(2021, None)], (1.0, 2.0))
    assert (line["shown"], line["area"]) == (None, (None, None, None))


def test_the_table_of_mines_says_null_for_what_is_not_known():
    known = data.summary([entry(2020, 1_500_000.0, 1e6, 2e6), entry(2021, 1_000_000.0, 9e5, 1.1e6)], (-70.12345, 3.5))
    unknown = data.summary([entry(2021, None, mine_id="b")], None) | {"country": "XYZ", "commodity": "", "name": "b"}
    table = json.loads(data.table_of_mines([known, unknown], {"ZAF": "South Africa"}))
    assert table["country_words"] == [["XYZ", "XYZ"], ["ZAF", "South Africa"]] and table["commodity_words"] == ["coal"]
    words = {"country": [1, 0], "commodity": [0, -1], "name": ["A", ""]}
    numbers = {
        "lon": [-70123, None],
        "lat": [3500, None],
        "area": [1000, None],
        "low": [900, None],
        "change": [-500, None],
    }
    assert {name: table[name] for name in words | numbers} == words | numbers
    assert json.loads(data.table_of_mines([], {}))["count"] == 0


def test_pages_name_no_host():
    for path, content in web_files().items():
        text = content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text and "//cdn" not in text, path
        assert b"?v=0" not in content
