"""Files behind the API: whole and in ranges, what is hidden, and that readers open products through it."""

from __future__ import annotations

import email
import json
import os
from http.client import HTTPConnection

import fsspec
import httpx2
import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from catalog.api import ApiSettings, create_app
from catalog.api.ranges import MOST, Unsatisfiable, read_ranges
from catalog.index import update_index
from pipeline.cube import open_cube

from .api_example import problem, publish_example, served

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
BIG = 9_000_000  # bytes; more than is sent as one piece


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Two mines with three years each, and beside them what nobody may see."""
    root = tmp_path_factory.mktemp("files") / "root"
    publish_example(root)
    rng = np.random.default_rng(3)
    for path in ("products/musan/2021/big.tif", "work/secret.txt", ".hidden/a.txt", "products/.part", "secret.txt",
                 "catalog/.tmp.part", "pages/state.json", "pages/index.html"):  # fmt: skip
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(rng.bytes(BIG) if path.endswith("tif") else b"something")
    (root.parent / "outside.json").write_text("{}")
    os.symlink(root.parent / "outside.json", root / "catalog/leads-out.json")
    os.symlink(root / "catalog/catalog.json", root / "catalog/leads-in.json")
    return root


@pytest.fixture
def files(published):
    return TestClient(create_app(published, ApiSettings(fresh_for=7)))


def test_files_come_as_they_are_with_their_types(files, published):
    types = {
        "catalog/catalog.json": "application/json",
        "catalog/mine-activity/collection.json": "application/json",
        "catalog/mine-activity/musan-2021.json": "application/geo+json",
        "catalog/items-1.parquet": "application/vnd.apache.parquet",
        "products/musan/2021/big.tif": "image/tiff; application=geotiff; profile=cloud-optimized",
        "pages/index.html": "text/html; charset=utf-8",
    }
    stem = next((published / "products/musan/2021").glob("*.zarr"))
    chunk = next(path for path in sorted(stem.rglob("c/*")) if path.is_file())
    types |= {str(chunk.relative_to(published)): "application/octet-stream"}
    types |= {str((stem / "zarr.json").relative_to(published)): "application/json"}
    for path, media_type in types.items():
        answer = files.get(f"/files/{path}")
        assert answer.status_code == 200 and answer.headers["content-type"] == media_type, path
        assert answer.content == (published / path).read_bytes(), path
        assert answer.headers["accept-ranges"] == "bytes" and answer.headers["x-content-type-options"] == "nosniff"
        lasting = "immutable" in answer.headers["cache-control"]
        assert lasting == path.startswith("products/") and (lasting or "max-age=7" in answer.headers["cache-control"])


@pytest.mark.parametrize(
    "path",
    [
        "work/secret.txt",
        "secret.txt",
        ".hidden/a.txt",
        "products/.part",
        "catalog/.tmp.part",
        "catalog/read-1.parquet",
        "pages/state.json",
        "catalog/leads-out.json",
        "catalog",
        "catalog/",
        "catalog/mine-activity",
        "products/musan/2021",
        "catalog//catalog.json",
        "catalog/./catalog.json",
        "catalog/../work/secret.txt",
        "catalog/../../outside.json",
        "catalog/%2e%2e/%2e%2e/outside.json",
        "%2e%2e/outside.json",
        "..%2foutside.json",
        "%252e%252e/outside.json",
        "..%5coutside.json",
        "catalog%00.json",
        "catalog/catalog.json%00",
        "catalog/catalog.json%0a",
        "catalog/catalog.json/more",
        "catalog/" + "x" * 300 + ".json",
        "catalog/" + "x/" * 600,
        "/etc/passwd",
        "file:///etc/passwd",
        "catalog/*.json",
        "products/musan/1999/v0.1.0-00000000.zarr/zarr.json",
    ],
)
def test_what_is_not_published_is_not_there(published, path):
    """Asked with the bytes as they stand: a client's own tidying would hide what the server does."""
    with served(published) as url:
        connection = HTTPConnection(url.removeprefix("http://"), timeout=30)
        connection.putrequest("GET", f"/files/{path}", skip_host=False)
        connection.endheaders()
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
    assert answer.status == 404 and "no file is published at" in body["description"]
    assert str(published.parent) not in body["description"]


def test_a_link_inside_the_folder_is_followed(files, published):
    assert files.get("/files/catalog/leads-in.json").content == (published / "catalog/catalog.json").read_bytes()


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=-5", BIG - 5, BIG),
        ("bytes=8999990-", BIG - 10, BIG),
        ("bytes=8999990-99999999999", BIG - 10, BIG),
        (f"bytes=-{10 * BIG}", 0, BIG),
        ("Bytes = 5-9", 5, 10),
        ("bytes=1000-8000000", 1000, 8_000_001),
    ],
)
def test_a_range_is_206_with_its_place(files, published, asked, start, stop):
    data = (published / "products/musan/2021/big.tif").read_bytes()
    answer = files.get("/files/products/musan/2021/big.tif", headers={"Range": asked})
    assert answer.status_code == 206 and answer.content == data[start:stop]
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{BIG}"
    assert int(answer.headers["content-length"]) == stop - start


def test_several_ranges_come_as_parts(files, published):
    data = (published / "products/musan/2021/big.tif").read_bytes()
    answer = files.get("/files/products/musan/2021/big.tif", headers={"Range": "bytes=0-9,100-119,-3"})
    assert answer.status_code == 206 and int(answer.headers["content-length"]) == len(answer.content)
    header = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(header + answer.content).get_payload()
    assert [part["content-range"] for part in parts] == [
        f"bytes 0-9/{BIG}", f"bytes 100-119/{BIG}", f"bytes {BIG - 3}-{BIG - 1}/{BIG}"
    ]  # fmt: skip
    for wanted in (data[:10], data[100:120], data[-3:]):
        assert b"\r\n\r\n" + wanted + b"\r\n--part-" in answer.content


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (f"bytes={BIG}-", f"the file has {BIG} bytes"),
        ("bytes=99999999999-", f"the file has {BIG} bytes"),
        ("bytes=-0", f"the file has {BIG} bytes"),
        ("bytes=0-10,5-20", "ranges that overlap"),
        ("bytes=" + ",".join(f"{k * 10}-{k * 10}" for k in range(MOST + 1)), f"at most {MOST} ranges"),
    ],
)
def test_a_range_that_cannot_be_is_416(files, asked, said):
    answer = files.get("/files/products/musan/2021/big.tif", headers={"Range": asked})
    assert said in problem(answer, 416) and answer.headers["content-range"] == f"bytes */{BIG}"


@pytest.mark.parametrize(
    "asked", ["lines=0-5", "bytes=5-2", "bytes=a-b", "bytes=", "bytes=--5", "0-5", "bytes=" + "9" * 30 + "-"]
)
def test_a_range_that_is_none_is_ignored(files, published, asked):
    answer = files.get("/files/catalog/catalog.json", headers={"Range": asked})
    assert answer.status_code == 200 and answer.content == (published / "catalog/catalog.json").read_bytes()


@given(
    size=st.integers(0, 40), pieces=st.lists(st.tuples(st.integers(0, 45), st.integers(0, 45)), min_size=1, max_size=4)
)
def test_ranges_hold_the_bytes_that_were_asked_for(size, pieces):
    data = bytes(range(size))
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in pieces)
    slow = [data[first : last + 1] for first, last in pieces]
    try:
        found = read_ranges(header, size)
    except Unsatisfiable as error:
        times = [byte for first, last in pieces for byte in range(first, min(last + 1, size))]
        assert not any(slow) or (len(times) > len(set(times)) and "overlap" in str(error))
        return
    if any(last < first for first, last in pieces):
        # one written the wrong way round spoils the header
        assert found is None
        return
    assert [data[start:stop] for start, stop in found] == [piece for piece in slow if piece]


def test_a_part_is_sent_only_of_the_file_that_was_meant(files):
    path = "/files/products/musan/2021/big.tif"
    tag = files.head(path).headers["etag"]
    assert files.get(path, headers={"Range": "bytes=0-9", "If-Range": tag}).status_code == 206
    assert files.get(path, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status_code == 200
    unchanged = files.get(path, headers={"If-None-Match": f'W/"x", {tag}'})
    assert unchanged.status_code == 304 and unchanged.content == b"" and unchanged.headers["etag"] == tag
    assert files.get(path, headers={"If-None-Match": "*"}).status_code == 304
    whole = files.head(path, headers={"Range": "bytes=0-9"})
    assert whole.status_code == 200 and whole.headers["content-length"] == str(BIG) and whole.content == b""


def test_a_file_that_is_replaced_gets_another_tag(tmp_path):
    (tmp_path / "catalog").mkdir()
    files = TestClient(create_app(tmp_path))
    path = tmp_path / "catalog/catalog.json"
    path.write_text("1")
    tag = files.get("/files/catalog/catalog.json").headers["etag"]
    assert files.get("/files/catalog/catalog.json", headers={"If-None-Match": tag}).status_code == 304
    (tmp_path / "new").write_text("2")
    (tmp_path / "new").replace(path)
    assert files.get("/files/catalog/catalog.json", headers={"If-None-Match": tag}).text == "2"
    path.write_text("")
    assert files.get("/files/catalog/catalog.json").content == b""


def test_an_empty_range_request_of_an_empty_file_is_416(tmp_path):
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog/empty.json").write_bytes(b"")
    answer = TestClient(create_app(tmp_path)).get("/files/catalog/empty.json", headers={"Range": "bytes=0-0"})
    assert "the file has 0 bytes" in problem(answer, 416)


def test_an_item_whose_store_is_gone_is_found_and_its_store_is_404(tmp_path):
    root = tmp_path / "root"
    publish_example(root)
    (store,) = (root / "products/musan/2021").glob("*.zarr")
    store.rename(tmp_path / "elsewhere.zarr")
    client = TestClient(create_app(root))
    item = client.get("/collections/mine-activity/items/musan-2021").json()
    said = problem(client.get(item["assets"]["cube"]["href"] + "/zarr.json"), 404)
    assert "ask for its item again" in said and str(tmp_path) not in said
    assert client.get(item["assets"]["ndai"]["href"]).status_code == 200


def test_readers_open_the_assets_of_a_found_item(published):
    with served(published) as url:
        item = httpx2.get(f"{url}/search", params={"ids": "sishen-2021"}).json()["features"][0]
        (store,) = (published / "products/sishen/2021").glob("*.zarr")
        expected = open_cube(str(store)).load()
        with xr.open_zarr(item["assets"]["cube"]["href"]) as cube:
            xr.testing.assert_identical(cube["ndai"].load().drop_attrs(), expected["ndai"].drop_attrs())
        options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
        with rasterio.Env(**options), rasterio.open(item["assets"]["ndai"]["href"]) as image:
            np.testing.assert_array_equal(image.read(1), expected["ndai"].values)
        with fsspec.open(item["assets"]["manifest"]["href"]) as manifest:
            assert json.load(manifest)


def test_a_folder_in_memory_is_served_the_same():
    root = "memory://api-files"
    try:
        publish_example(root)
        client = TestClient(create_app(root, ApiSettings(look_again=0)))
        assert client.get("/ready").json()["items"] == 6
        page = client.get("/search", params={"limit": 4, "sortby": "-pitpulse:year"}).json()
        assert page["numberMatched"] == 6 and len(page["features"]) == 4
        href = page["features"][0]["assets"]["ndai"]["href"]
        whole, part = client.get(href), client.get(href, headers={"Range": "bytes=10-19"})
        assert part.status_code == 206 and part.content == whole.content[10:20]
        tag = whole.headers["etag"]
        assert client.get(href, headers={"If-None-Match": tag}).status_code == 304
        problem(client.get("/files/work/x"), 404)
        assert update_index(root).number == 1
    finally:
        fsspec.filesystem("memory").rm("/api-files", recursive=True)
