"""The index: what goes in comes out, the bytes follow from the items, and no item is lost between writers."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import duckdb
import fsspec
import geopandas
import pyarrow.parquet as pq
import pytest
import stac_geoparquet.arrow
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.index import update_index, write_snapshot
from catalog.item_table import item_columns, items_of
from catalog.merge import ROW_GROUP
from catalog.snapshot import POINTER, open_index
from pipeline.errors import BadInput, Unavailable

from .catalog_example import FOLDER, PLACES, document, put

MINES = tuple(PLACES)


def everything(root) -> list[dict]:
    """All items of the index, hrefs relative to it."""
    index = open_index(root)
    return items_of(index.rows(range(index.items), item_columns(index.schema)), index.shared)


def names(root) -> set[str]:
    return {path.name for path in (root / "catalog").iterdir() if path.is_file()}


def as_published(item: dict) -> dict:
    """An item of the index as its document is: without self link, hrefs from the document's own folder."""

    def back(thing):
        href = thing["href"]
        return thing | {
            "href": href.replace("./mine-activity/", "./")
            if "mine-activity" in href
            else "../" + href.removeprefix("./")
        }

    links = sorted((back(link) for link in item["links"] if link["rel"] != "self"), key=lambda link: link["rel"])
    return item | {"links": links, "assets": {key: back(asset) for key, asset in item["assets"].items()}}


@pytest.fixture
def root(tmp_path):
    put(tmp_path, *(document(mine, year) for mine in MINES for year in (2021, 2022)))
    return tmp_path


# --- what goes in comes out ----------------------------------------------------------------------------------------


def test_items_come_back_as_they_were_published(root):
    interval = {
        "production": 3e7,
        "production_interval": [2.5e7, None],
        "production_flags": [],
        "production_basis": "area",
    }
    put(
        root,
        document("musan", 2021, **interval),
        document("kiruna", 2021, production=None, mine_name='Кируна "</script>'),
    )
    update_index(root)
    found = {item["id"]: as_published(item) for item in everything(root)}
    for path in (root / FOLDER).glob("*.json"):
        expected = json.loads(path.read_text())
        expected["links"].sort(key=lambda link: link["rel"])
        assert found[expected["id"]] == expected
    assert found["kiruna-2021"]["properties"]["pitpulse:production"] is None  # said to be unknown
    assert "pitpulse:production" not in found["sishen-2021"]["properties"]  # nothing said


def test_hrefs_lead_from_the_index_to_files(root):
    update_index(root)
    index = open_index(root)
    (item,) = items_of(index.rows([3], item_columns(index.schema)), index.shared, index.folder)
    here = next(link["href"] for link in item["links"] if link["rel"] == "self")
    assert json.loads(Path(here).read_text())["id"] == item["id"]
    assert item["assets"]["cube"]["href"] == f"{root}/products/musan/2022/v0.1.0-abababab.zarr"


def test_unknown_properties_of_any_shape_survive(root):
    odd = {"notes": [{"a": 1}, {"b": "x"}], "depth": {"max": 2.5}, "empty": [], "flag": True}
    put(root, document("musan", 2021, **odd), document("musan", 2022, depth={"min": 1}))
    update_index(root)
    found = {item["id"]: item["properties"] for item in everything(root)}
    assert {k: found["musan-2021"][f"pitpulse:{k}"] for k in odd} == odd
    assert found["musan-2022"]["pitpulse:depth"] == {"min": 1}


@settings(max_examples=25)
@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), st.integers(-5, 5) | st.none(), max_size=3), min_size=1, max_size=4
    )
)
def test_null_and_absent_are_told_apart(tmp_path_factory, facts):
    root = tmp_path_factory.mktemp("nulls")
    put(root, *(document("musan", 2000 + k, **fact) for k, fact in enumerate(facts)))
    update_index(root)
    for item, fact in zip(everything(root), facts, strict=True):
        assert {
            k[-1]: v for k, v in item["properties"].items() if k in ("pitpulse:a", "pitpulse:b", "pitpulse:c")
        } == fact


# --- the same items, the same bytes --------------------------------------------------------------------------------


def test_unchanged_items_are_not_read_and_nothing_is_written(root):
    first = update_index(root)
    assert (first.number, first.items, first.documents_read) == (1, 10, 10)
    before = {path: path.stat().st_mtime_ns for path in (root / "catalog").rglob("*")}
    assert update_index(root) == type(first)(1, 10, 0)
    assert {path: path.stat().st_mtime_ns for path in (root / "catalog").rglob("*")} == before


def test_items_written_again_as_they_were_make_no_new_snapshot(root):
    update_index(root)
    put(root, document("musan", 2021))
    assert update_index(root).documents_read == 1
    assert names(root) == {"items-1.parquet", "items.json", "read-1.parquet"}
    assert update_index(root).documents_read == 0


CHANGES = {
    "changed": lambda root: put(root, document("musan", 2021, active_area=5.0)),
    "first": lambda root: put(root, document("kiruna", 1999)),
    "last": lambda root: put(root, document("vatukoula", 2030)),
    "removed": lambda root: (root / FOLDER / "musan-2021.json").unlink(),
    "new column": lambda root: put(root, document("musan", 2021, quality=[{"name": "x", "score": 1}])),
    "wider column": lambda root: put(root, document("musan", 2021, fraction=0.5)),
    "lost column": lambda root: put(root, document("kiruna", 2022)),
    "lost field": lambda root: put(root, document("kiruna", 2021)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_updated_index_is_the_one_made_anew(tmp_path, change):
    once = [document(mine, year, fraction=1) for mine in MINES for year in (2021, 2022)]
    put(tmp_path, *once, document("kiruna", 2022, only_here="x"), document("kiruna", 2021, part={"a": 1, "b": 2}))
    put(tmp_path, document("kiruna", 2023, part={"a": 1}))
    update_index(tmp_path)
    CHANGES[change](tmp_path)
    snapshot = update_index(tmp_path)
    assert snapshot.number == 2
    updated = (tmp_path / snapshot.path).read_bytes()
    for path in (tmp_path / "catalog").glob("*.*"):
        path.unlink()
    assert (tmp_path / update_index(tmp_path).path).read_bytes() == updated


def test_rows_keep_their_order_over_many_row_groups(tmp_path):
    item = document("musan")
    items = [item | {"id": f"mine-{k:05d}"} for k in range(2 * ROW_GROUP + 10)]
    (tmp_path / "catalog").mkdir()
    write_snapshot(items, tmp_path)
    index = open_index(tmp_path)
    assert index.row_groups == 3 and index.items == len(items)
    wanted = [2 * ROW_GROUP + 9, 0, ROW_GROUP, ROW_GROUP - 1]
    assert index.rows(wanted, ["id"])["id"].to_pylist() == [items[k]["id"] for k in wanted]
    assert index.groups("id", items[ROW_GROUP]["id"], items[ROW_GROUP]["id"]) == [1]
    assert index.columns(["id"], [1])["id"][0].as_py() == items[ROW_GROUP]["id"]
    assert index.positions([0, 2])[[0, -1]].tolist() == [0, 2 * ROW_GROUP + 9]


# --- several writers, and readers meanwhile ------------------------------------------------------------------------


def test_the_last_two_snapshots_stay_and_an_open_reader_goes_on(root):
    update_index(root)
    reader = open_index(root)
    for area in (1.0, 2.0, 3.0):
        put(root, document("musan", 2021, active_area=area))
        update_index(root)
    assert names(root) == {"items-3.parquet", "items-4.parquet", "items.json", "read-3.parquet", "read-4.parquet"}
    assert reader.columns(["pitpulse:active_area"])["pitpulse:active_area"].to_pylist() == [120_000.0] * 10
    assert open_index(root).path == "catalog/items-4.parquet"


def test_writers_at_once_lose_nothing(tmp_path):
    def publish_and_index(k):
        put(tmp_path, document("musan", 2000 + k))
        return update_index(tmp_path)

    with ThreadPoolExecutor(6) as pool:
        snapshots = list(pool.map(publish_and_index, range(18)))
    index = open_index(tmp_path)
    assert index.columns(["pitpulse:year"])["pitpulse:year"].to_pylist() == list(range(2000, 2018))
    assert index.path == max(snapshots, key=lambda s: s.number).path
    assert all(s.items >= 1 for s in snapshots)
    assert update_index(tmp_path).items == 18


class RivalFileSystem(MemoryFileSystem):
    """A store in memory in which another writer gets its turn just before one of our writes."""

    protocol = "rival"
    turns: ClassVar[dict] = {}  # what the rival does before a file of this name is written

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.removeprefix("rival://").strip("/")

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        turn = self.turns.pop(path.rsplit("/", 1)[-1], None)
        if turn:
            turn()
        return super().pipe_file(path, value, mode=mode, **kwargs)


@pytest.mark.parametrize("moment", ["items-1.parquet", "read-1.parquet", "items.json"])
def test_a_rival_that_comes_between_two_steps_loses_nothing(moment):
    fsspec.register_implementation("rival", RivalFileSystem, clobber=True)
    fs, url = RivalFileSystem(), f"rival://rival-{moment}/root"

    def add(year):
        fs.pipe_file(f"/rival-{moment}/root/{FOLDER}/musan-{year}.json", json.dumps(document("musan", year)).encode())

    def rival():
        add(2022)
        assert update_index(url).items == 2

    try:
        add(2021)
        RivalFileSystem.turns[moment] = rival
        update_index(url)
        assert not RivalFileSystem.turns  # it had its turn
        index = open_index(url)
        assert index.columns(["id"])["id"].to_pylist() == ["musan-2021", "musan-2022"]
        assert index.path == f"catalog/items-{1 if moment == 'items-1.parquet' else 2}.parquet"
        assert update_index(url).items == 2
    finally:
        RivalFileSystem.turns.clear()
        fs.rm(f"/rival-{moment}", recursive=True)


@pytest.mark.parametrize("damage", [b"PAR1 nothing", b"format"])
def test_a_snapshot_that_cannot_be_read_is_made_anew(root, damage):
    whole = (root / update_index(root).path).read_bytes()
    old = b'{"format": 1' if b'{"format": 1' in whole else b"no such"
    (root / "catalog/items-1.parquet").write_bytes(
        whole.replace(old, b'{"format": 0') if damage == b"format" else damage
    )
    with pytest.raises(Unavailable, match=r"items-1\.parquet is no index of items .*; run update_index"):
        open_index(root)
    assert update_index(root).number == 2
    assert (root / "catalog/items-2.parquet").read_bytes() == whole


def test_an_open_index_finds_the_newer_one(root):
    update_index(root)
    index = open_index(root)
    assert index.newest() is index
    put(root, document("musan", 2030))
    update_index(root)
    assert index.newest().items == 11 and index.items == 10


def test_a_pointer_to_a_snapshot_that_is_gone_is_named(root):
    update_index(root)
    (root / "catalog/items-1.parquet").unlink()
    with pytest.raises(Unavailable, match=r"names catalog/items-1\.parquet, which isn't there; run update_index"):
        open_index(root)
    assert update_index(root).items == 10


@pytest.mark.parametrize("lost", ["items.json", "read-2.parquet", "both"])
def test_a_writer_that_died_is_healed(root, lost):
    update_index(root)
    put(root, document("musan", 2021, active_area=5.0))
    update_index(root)
    for name in {"both": ("items.json", "read-2.parquet")}.get(lost, (lost,)):
        (root / "catalog" / name).unlink()
    assert update_index(root).number == 2
    assert open_index(root).items == 10
    assert update_index(root).documents_read == 0


def test_a_pointer_that_was_set_back_moves_on(root):
    update_index(root)
    put(root, document("musan", 2021, active_area=5.0))
    update_index(root)
    pointer = root / POINTER
    pointer.write_text(pointer.read_text().replace("items-2", "items-1"))
    assert open_index(root).path == "catalog/items-1.parquet"  # complete, if old
    update_index(root)
    assert open_index(root).path == "catalog/items-2.parquet"


def test_the_index_lives_in_any_store():
    fs = fsspec.filesystem("memory")
    url = "memory://index-test/root"
    try:
        for year in (2021, 2022):
            fs.pipe_file(f"/index-test/root/{FOLDER}/musan-{year}.json", json.dumps(document("musan", year)).encode())
        assert update_index(url).items == 2
        fs.pipe_file(
            f"/index-test/root/{FOLDER}/musan-2021.json", json.dumps(document("musan", active_area=1.0)).encode()
        )
        assert update_index(url).documents_read == 1
        index = open_index(url)
        assert index.folder == "memory:///index-test/root/catalog"
        assert index.columns(["pitpulse:active_area"])["pitpulse:active_area"].to_pylist() == [1.0, 120_000.0]
        assert index.rows([1], ["id"])["id"].to_pylist() == ["musan-2022"]
    finally:
        fs.rm("/index-test", recursive=True)


# --- what other programs read --------------------------------------------------------------------------------------


def test_metadata_are_geoparquet_and_stac_geoparquet(root):
    metadata = pq.read_metadata(root / update_index(root).path).metadata
    geo = json.loads(metadata[b"geo"])
    column = geo["columns"]["geometry"]
    assert geo["version"] == "1.1.0" and geo["primary_column"] == "geometry"
    assert column["encoding"] == "WKB" and column["geometry_types"] == ["MultiPolygon", "Polygon"]
    assert column["covering"]["bbox"]["xmax"] == ["bbox", "xmax"]
    assert (
        column["bbox"][0] == -180 and column["bbox"][2] == 180 and column["bbox"][3] == pytest.approx(67.86, abs=1e-9)
    )
    assert json.loads(metadata[b"stac-geoparquet"]) == {"version": "1.1.0"}


def test_geopandas_reads_it_and_uses_the_bounding_boxes(root):
    path = root / update_index(root).path
    frame = geopandas.read_parquet(path)
    assert frame.crs.to_string() == "OGC:CRS84" and len(frame) == 10
    assert set(geopandas.read_parquet(path, bbox=(129, 42, 130, 43))["id"]) == {"musan-2021", "musan-2022"}


def test_stac_geoparquet_makes_items_of_it(root):
    items = list(stac_geoparquet.arrow.stac_table_to_items(pq.read_table(root / update_index(root).path)))
    assert [item["id"] for item in items] == sorted(f"{mine}-{year}" for mine in MINES for year in (2021, 2022))
    assert items[0]["type"] == "Feature" and items[0]["properties"]["pitpulse:year"] == 2021
    assert items[2]["geometry"]["type"] == "Polygon" and items[2]["assets"]["ndai"]["roles"] == ["data"]


def test_duckdb_queries_it(root):
    path = root / update_index(root).path
    with duckdb.connect() as connection:
        rows = connection.sql(
            f"select id, \"pitpulse:active_area\" from '{path}' where \"pitpulse:country\" = 'FJI' and bbox.ymax > -17"
        ).fetchall()
    assert rows == [("taveuni-2021", 120_000.0), ("taveuni-2022", 120_000.0)]


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "musan-2021.json is no STAC item"),
        ("[]", "musan-2021.json is no STAC item"),
        (
            json.dumps({"type": "Feature", "id": "musan-2021", "links": [], "assets": {}}),
            "item 'musan-2021' can't be indexed",
        ),
    ],
)
def test_a_broken_document_is_named(root, text, message):
    update_index(root)
    (root / FOLDER / "musan-2021.json").write_text(text)
    with pytest.raises(BadInput, match=message):
        update_index(root)
    assert open_index(root).items == 10  # the index of before stands


def test_items_that_do_not_fit_each_other_are_named(root):
    put(root, document("musan", 2021, active_area="much"))
    with pytest.raises(BadInput, match=r"expected double in 'pitpulse:active_area', instead got"):
        update_index(root)
    put(root, document("musan", 2021), document("musan", 2022, grade=3), document("sishen", 2021, grade="high"))
    with pytest.raises(BadInput, match=r"expected values of one kind in 'pitpulse:grade'"):
        update_index(root)


def test_a_kind_that_differs_from_the_old_snapshot_is_named(root):
    put(root, document("musan", 2022, grade=3))
    update_index(root)
    put(root, document("sishen", 2021, grade="high"))
    with pytest.raises(BadInput, match="can't be indexed together"):
        update_index(root)


def test_an_id_must_be_that_of_its_file(root):
    (root / FOLDER / "other-2021.json").write_text(json.dumps(document("musan")))
    with pytest.raises(BadInput, match="expected id 'other-2021', instead got 'musan-2021'"):
        update_index(root)


def test_documents_that_are_no_items_are_left_out(root):
    (root / FOLDER / "by-country.json").write_text(json.dumps({"type": "Catalog", "id": "by-country"}))
    (root / FOLDER / "collection.json").write_text("{}")
    assert update_index(root).items == 10
    assert update_index(root).documents_read == 0


def test_a_time_that_is_none_is_refused(root):
    item = document("musan")
    item["properties"]["datetime"] = "last summer"
    put(root, item)
    with pytest.raises(BadInput, match="a time must be written as 2022-07-01T00:00:00Z, instead got 'last summer'"):
        update_index(root)


def test_a_folder_without_items_or_index_is_named(tmp_path):
    with pytest.raises(Unavailable, match="has no catalog/mine-activity; publish an item first"):
        update_index(tmp_path)
    with pytest.raises(Unavailable, match=r"has no index \(catalog/items.json\); run update_index"):
        open_index(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"), [("{}", "names no snapshot"), ('{"href": "../../etc/passwd"}', "names 'passwd' instead")]
)
def test_a_strange_pointer_is_refused(root, text, message):
    update_index(root)
    (root / POINTER).write_text(text)
    with pytest.raises(Unavailable, match=message):
        open_index(root)


def test_a_file_that_is_no_index_is_refused(root):
    update_index(root)
    (root / "catalog/items-1.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(Unavailable, match=r"items-1\.parquet is no index of items"):
        open_index(root)
