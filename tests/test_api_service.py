"""The server around the STAC API: caching and transport, health and numbers, trouble in the folder, the command."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from catalog.api import ApiSettings, create_app
from catalog.api.folder import Folder
from catalog.api.guard import Guard, Metrics
from catalog.api.problems import Problem
from catalog.index import update_index
from catalog.publish import annotate
from pipeline.commands.serve import ServeRequest, bound_socket, serve
from pipeline.errors import BadInput, Unavailable
from pipeline.storage import open_store

from .api_example import ITEMS, index_made_up, problem, publish_example, served

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
BASE = "http://testserver"
IMMEDIATE = ApiSettings(look_again=0)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Two mines with three years each; tests only read it."""
    root = tmp_path_factory.mktemp("api")
    publish_example(root)
    return root


@pytest.fixture(scope="module")
def indexed(published, tmp_path_factory):
    """An index of 300 made-up items; tests only read it."""
    root = tmp_path_factory.mktemp("indexed")
    index_made_up(root, published, ITEMS)
    return root


@pytest.fixture
def own(published, tmp_path):
    """A copy of the published folder that a test may change."""
    return shutil.copytree(published, tmp_path / "own")


@pytest.fixture
def api(published):
    return TestClient(create_app(published))


# Caching and transport


def test_an_answer_that_the_client_has_is_not_sent_again(own):
    client = TestClient(create_app(own, IMMEDIATE))
    paths = ("/", "/collections", "/search?limit=2", "/collections/mine-activity/items/musan-2021", "/queryables")
    tags = {path: client.get(path).headers["etag"] for path in paths}
    for path, tag in tags.items():
        again = client.get(path, headers={"If-None-Match": f'"other", {tag}'})
        assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == tag
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
        assert client.get(path, headers={"If-None-Match": tag, "Host": "elsewhere.org"}).status_code == 200
    assert "max-age=60" in client.get("/search").headers["cache-control"]
    annotate(own, {("musan", 2021): {"pitpulse:production": 1.0}})
    update_index(own)
    for path, tag in tags.items():
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 200
    changed = client.get("/collections/mine-activity/items/musan-2021").json()
    assert changed["properties"]["pitpulse:production"] == 1.0


@pytest.mark.parametrize("path", ["/", "/search?limit=3", "/files/catalog/catalog.json", "/api", "/nothing", "/health"])
def test_head_is_get_without_the_body(api, path):
    get, head = api.get(path), api.head(path)
    assert head.content == b"" and head.status_code == get.status_code
    same = ("content-type", "content-length", "etag", "cache-control")
    assert [head.headers.get(name) for name in same] == [get.headers.get(name) for name in same]


def test_gzip_is_used_where_it_is_taken(published):
    with served(published) as url, httpx2.Client() as client:
        for path in ("/search", "/files/catalog/mine-activity/collection.json"):
            packed = client.send(
                client.build_request("GET", url + path, headers={"Accept-Encoding": "gzip"}), stream=True
            )
            raw = b"".join(packed.iter_raw())
            plain = client.get(url + path, headers={"Accept-Encoding": "gzip;q=0"})
            assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
            assert gzip.decompress(raw) == plain.content and len(raw) < 0.5 * len(plain.content)
            assert "Accept-Encoding" in packed.headers["vary"]


def test_other_sites_may_read(api):
    origin = {"Origin": "https://browser.example"}
    asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    allowed = api.options("/search", headers=asked)
    assert allowed.status_code == 200 and "POST" in allowed.headers["access-control-allow-methods"]
    for path, status in (("/search", 200), ("/search?limit=0", 400), ("/files/none", 404)):
        answer = api.get(path, headers=origin)
        assert answer.status_code == status and answer.headers["access-control-allow-origin"] == "*"
    assert "Content-Range" in api.get("/", headers=origin).headers["access-control-expose-headers"]
    refused = api.options("/search", headers={**origin, "Access-Control-Request-Method": "DELETE"})
    assert refused.status_code == 400


def test_forwarded_headers_count_only_where_they_are_trusted(published):
    given = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "example.org", "X-Forwarded-Prefix": "/mines"}
    own_link = [TestClient(create_app(published, ApiSettings(trust_forwarded=trusted))).get("/", headers=given).json()
                ["links"][0]["href"] for trusted in (False, True)]  # fmt: skip
    assert own_link == [f"{BASE}/", "https://example.org/mines/"]
    fixed = TestClient(create_app(published, ApiSettings(public_url="https://mines.example/api/")))
    page = fixed.get("/search", params={"limit": 1}, headers=given).json()
    hrefs = [link["href"] for link in page["links"]] + [a["href"] for a in page["features"][0]["assets"].values()]
    assert all(href.startswith("https://mines.example/api/") for href in hrefs)
    trusting = TestClient(create_app(published, ApiSettings(trust_forwarded=True)))
    assert "no usable host" in problem(trusting.get("/", headers={"X-Forwarded-Prefix": "/a?b"}), 400)


# The service


def test_the_description_names_every_address_and_no_other_host(api):
    document = api.get("/api").json()
    assert document["openapi"].startswith("3.1") and "422" not in json.dumps(document)
    assert {"/", "/search", "/collections/{collection_id}/items", "/queryables", "/files/{path}"} <= document[
        "paths"
    ].keys()
    page = api.get("/api.html")
    assert "<script" not in page.text and "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page.text)
    assert "pitpulse:country" in page.text


def test_health_readiness_and_numbers(own):
    client = TestClient(create_app(own, IMMEDIATE))
    assert client.get("/health").json() == {"status": "ok"}
    ready = client.get("/ready").json()
    assert (
        ready["items"] == 6 and ready["snapshot"] == "catalog/items-1.parquet" and 0 <= ready["index_age_seconds"] < 600
    )
    client.get("/collections/mine-activity/items/musan-2021")
    client.get("/collections/mine-activity/items/none")
    client.request("BREW", "/coffee")
    text = client.get("/metrics").text
    route = "/collections/{collection_id}/items/{item_id}"
    assert f'pitpulse_requests_total{{route="{route}",method="GET",status="200"}} 1' in text
    assert f'pitpulse_requests_total{{route="{route}",method="GET",status="404"}} 1' in text
    assert 'pitpulse_requests_total{route="other",method="other",status="404"} 1' in text
    for status in (200, 404):
        assert f'pitpulse_request_seconds_count{{route="{route}",status="{status}"}} 1' in text


def test_metrics_are_what_prometheus_reads(published):
    client = TestClient(create_app(published, IMMEDIATE))
    for k in range(30):  # addresses that nobody knows are one label
        client.get(f"/nowhere-{k}")
        client.get(f"/collections/made-up-{k}")
        client.get(f"/files/x{k}%22")
    found = {f.name: f for f in text_string_to_metric_families(client.get("/metrics").text)}
    assert found["pitpulse_index_stale"].samples[0].value == 0 and "pitpulse_index_items" not in found
    answer = client.get("/metrics")  # it has looked since
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {f.name: f for f in text_string_to_metric_families(answer.text)}
    assert found["pitpulse_index_items"].samples[0].value == 6
    assert 0 <= found["pitpulse_index_age_seconds"].samples[0].value < 3600
    pointed = re.search(r"items-(\d+)\.parquet", (published / "catalog/items.json").read_text())
    assert found["pitpulse_index_snapshot"].samples[0].value == int(pointed[1])
    routes = {s.labels["route"] for s in found["pitpulse_requests"].samples}
    assert routes == {"other", "/collections/{collection_id}", "/files/{path:path}", "/metrics"}
    histogram = found["pitpulse_request_seconds"]
    assert histogram.type == "histogram"
    for labels in ({"route": "other", "status": "404"}, {"route": "/metrics", "status": "200"}):
        own = [s for s in histogram.samples if labels.items() <= s.labels.items()]
        buckets = [s.value for s in own if s.name.endswith("_bucket")]
        total = next(s.value for s in own if s.name.endswith("_count"))
        assert buckets == sorted(buckets) and len(buckets) == 9 and buckets[-1] == total
        assert total == (30 if labels["route"] == "other" else 1)


def test_metrics_say_that_the_folder_broke(own):
    client = TestClient(create_app(own, IMMEDIATE))
    client.get("/metrics")
    (own / "catalog/items.json").unlink()
    client.get("/metrics")
    found = {f.name: f for f in text_string_to_metric_families(client.get("/metrics").text)}
    assert found["pitpulse_index_stale"].samples[0].value == 1 and found["pitpulse_index_items"].samples[0].value == 6


def test_without_an_index_the_server_lives_and_says_what_to_do(tmp_path, published):
    root = tmp_path / "empty"
    root.mkdir()
    client = TestClient(create_app(root, IMMEDIATE))
    assert client.get("/health").status_code == 200
    for path in ("/", "/ready", "/search", "/collections", "/queryables", "/collections/mine-activity/items/a"):
        answer = client.get(path)
        said = problem(answer, 503)
        assert str(tmp_path) not in said and "ask again" in said and answer.headers["retry-after"]
    shutil.copytree(published, root, dirs_exist_ok=True)
    assert client.get("/ready").json()["items"] == 6
    assert client.get("/search").json()["numberMatched"] == 6


def test_a_folder_that_breaks_is_served_as_it_was_and_reported(own):
    client = TestClient(create_app(own, IMMEDIATE))
    assert client.get("/search").json()["numberMatched"] == 6
    pointer = (own / "catalog/items.json").read_bytes()
    for broken in (b"", b"null", b'{"href": "../../../etc/passwd"}', b'{"href": "./items-99.parquet"}'):
        (own / "catalog/items.json").write_bytes(broken)
        assert client.get("/search").json()["numberMatched"] == 6
        stale = client.get("/ready")
        assert stale.status_code == 503 and stale.json()["status"] == "stale"
        fresh = TestClient(create_app(own, IMMEDIATE)).get("/search")
        assert str(own) not in problem(fresh, 503) and "passwd" not in fresh.text
    (own / "catalog/items-100.parquet").write_bytes(b"PAR1 no parquet PAR1")
    (own / "catalog/items.json").write_text('{"href": "./items-100.parquet"}')
    assert str(own) not in problem(TestClient(create_app(own, IMMEDIATE)).get("/search"), 503)
    (own / "catalog/items.json").write_bytes(pointer)
    assert client.get("/ready").status_code == 200


def test_a_store_that_does_not_answer_is_503_and_gives_no_secret_away():
    unreachable = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}
    options = {"key": "KEY-ID", "secret": "TOP-SECRET", "skip_instance_cache": True, **unreachable}
    client = TestClient(create_app("s3://bucket/published", IMMEDIATE, options))
    assert client.get("/health").status_code == 200
    for path in ("/ready", "/search", "/files/catalog/catalog.json"):
        said = problem(client.get(path), 503)
        assert not any(word in said for word in ("KEY-ID", "SECRET", "127.0.0.1", "bucket"))


def test_many_at_once_get_what_one_gets(indexed):
    client = TestClient(create_app(indexed, ApiSettings(look_again=0, readers=2)))
    paths = [
        f"/search?limit=20&filter=%22pitpulse:year%22%3D{2016 + k % 9}&sortby=-pitpulse:active_area" for k in range(36)
    ]
    alone = {path: client.get(path).content for path in paths[:9]}
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda path: client.get(path).content, paths))
    assert together == [alone[path] for path in paths]


def test_who_waits_too_long_is_told_to_come_again(indexed):
    folder = Folder(indexed, {}, open_store(indexed), ApiSettings(readers=1, patience=0.05), "1")
    with folder.reading() as (_, index):
        assert index.items == ITEMS
        with pytest.raises(Problem, match="too many searches are under way") as caught, folder.reading():
            pass
    assert caught.value.status == 503
    with folder.reading() as (_, again):
        assert again is index


def test_a_mistake_of_ours_is_500_and_says_nothing_of_it():
    async def failing(scope, receive, send):
        raise RuntimeError("secret /home/somebody")

    metrics = Metrics()
    client = TestClient(Guard(failing, ApiSettings(), metrics))
    said = problem(client.get("/x"), 500)
    assert "secret" not in said and "it is logged" in said
    assert 'status="500"} 1' in metrics.text()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_limit": 0}, "max_limit must be at least 1"),
        ({"default_limit": 20, "max_limit": 10}, "default_limit must be at most max_limit 10"),
        ({"fresh_for": -1}, "fresh_for must not be negative"),
        ({"public_url": "example.org"}, "public_url must start with http"),
    ],
)
def test_settings_that_contradict_are_refused(wrong, said):
    with pytest.raises(BadInput, match=said):
        ApiSettings(**wrong)


# The command


def test_the_command_serves_until_it_is_terminated(published):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "import sys; from pipeline.commands.serve import ServeRequest, serve\n"
        "sys.exit(serve(ServeRequest(sys.argv[1], port=int(sys.argv[2])), lambda text: print(text, flush=True)))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(published), str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    try:
        assert f"at http://127.0.0.1:{port}/" in process.stdout.readline()
        assert httpx2.get(f"http://127.0.0.1:{port}/ready", timeout=30).json()["items"] == 6
        with pytest.raises(Unavailable, match=f"port {port}: .*choose another with --port"):
            bound_socket("127.0.0.1", port)
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM) and "Traceback" not in err


@pytest.mark.parametrize(
    ("host", "port", "kind", "said"),
    [
        ("127.0.0.1", 70_000, BadInput, "port must be between 0 and 65535"),
        ("192.0.2.1", 0, Unavailable, "can't listen on 192.0.2.1"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_refused(published, host, port, kind, said):
    with pytest.raises(kind, match=said):
        serve(ServeRequest(str(published), host=host, port=port), lambda text: None)
