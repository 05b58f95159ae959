"""The served API as others judge it: stac-api-validator, pystac-client and schemathesis, on 127.0.0.1."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pystac_client
import pytest

from catalog.query import search_table

from .api_example import index_made_up, publish_example, served

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
SCHEMAS = Path(__file__).resolve().parents[2] / "shared" / "stac-schemas"
ITEMS = 1000
VALIDATOR, SCHEMATHESIS = "stac-api-validator==0.6.8", "schemathesis==4.32.5"
# In the validator's process: what it would fetch from the schemas' hosts comes from a folder, anything else that isn't
# this machine is refused.
OFFLINE = """
import io, os, urllib.request
from pathlib import Path
from urllib.parse import urlsplit
from urllib3 import HTTPResponse
from urllib3.connectionpool import HTTPConnectionPool

FOLDER = Path(os.environ["STAC_SCHEMAS"])
plain_open, pool_open = urllib.request.urlopen, HTTPConnectionPool.urlopen

def stored(host, path):
    return io.BytesIO((FOLDER / host / path.lstrip("/")).read_bytes())

def opening(request, *given, **more):
    parts = urlsplit(request if isinstance(request, str) else request.full_url)
    local = parts.hostname in ("127.0.0.1", None)
    return plain_open(request, *given, **more) if local else stored(parts.hostname, parts.path)

def sending(pool, method, url, *given, **more):
    if pool.host == "127.0.0.1":
        return pool_open(pool, method, url, *given, **more)
    return HTTPResponse(stored(pool.host, urlsplit(url).path), {"Content-Type": "application/json"}, 200,
                        preload_content=more.get("preload_content", True))

urllib.request.urlopen, HTTPConnectionPool.urlopen = opening, sending
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with real products, and one with an index of made-up items."""
    real, large = tmp_path_factory.mktemp("real"), tmp_path_factory.mktemp("large")
    publish_example(real)
    index_made_up(large, real, ITEMS)
    return real, large


@pytest.fixture(scope="module")
def server(folders):
    with served(folders[0]) as url:
        yield url


@pytest.fixture(scope="module")
def large(folders):
    with served(folders[1]) as url:
        yield url


def tool(requirement: str) -> list[str]:
    """Command that runs a tool in an environment of its own: its pins clash with those of the tests."""
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv is None:
        pytest.skip(f"{requirement} needs uv, which puts it into an environment of its own")
    name = requirement.partition("==")[0]
    command = [uv, "tool", "run", "--quiet", "--python", sys.executable, "--from", requirement, name]
    if subprocess.run([*command, "--version"], capture_output=True, timeout=120).returncode:
        pytest.skip(f"{requirement} can't be installed here")
    return command


def test_stac_api_validator_finds_no_error(server, tmp_path):
    if not SCHEMAS.is_dir():
        pytest.skip("the STAC schemas are not beside the project")
    command = tool(VALIDATOR)
    (tmp_path / "sitecustomize.py").write_text(OFFLINE)
    classes = ("core", "collections", "features", "item-search", "filter", "item-search#sort", "item-search#fields")
    ring = [[20, -30], [30, -30], [30, -25], [20, -25], [20, -30]]
    given = {
        "--root-url": server,
        "--collection": "mine-activity",
        "--geometry": json.dumps({"type": "Polygon", "coordinates": [ring]}),
        "--fields-nested-property": "properties.pitpulse:year",
    }
    options = [part for pair in (*given.items(), *(("--conformance", c) for c in classes)) for part in pair]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "STAC_SCHEMAS": str(SCHEMAS)}
    run = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300, env=environment)
    assert run.returncode == 0 and "Errors: none" in run.stdout, run.stdout + run.stderr


@pytest.mark.parametrize("limit", [7, 100, 1000])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pystac_client_pages_through_everything(large, limit, method):
    client = pystac_client.Client.open(large)
    found = client.search(collections=["mine-activity"], limit=limit, method=method)
    ids = [item["id"] for item in found.items_as_dicts()]
    assert len(ids) == len(set(ids)) == ITEMS
    assert found.matched() == ITEMS


FILTERS = [
    '"pitpulse:country" = \'ZAF\' AND "pitpulse:year" >= 2022',
    '"pitpulse:active_area" > 2000000 AND "pitpulse:commodity" = \'iron ore\'',
    "\"pitpulse:mine_id\" LIKE 'mine-0001%'",
    '"pitpulse:mine_name" = \'Mine-00007\' OR "pitpulse:ndai_mean" < 0',
    '"pitpulse:production" IS NULL AND "pitpulse:pairs_accepted" > 0',
    '"pitpulse:production" BETWEEN 10000000 AND 30000000',
    '"pitpulse:year" IN (2016, 2018) AND "pitpulse:pairs_rejected" = 1',
    "datetime >= TIMESTAMP('2021-01-01T00:00:00Z') AND \"sar:looks_equivalent_number\" > 7",
    "S_INTERSECTS(geometry, POLYGON((0 -40, 60 -40, 60 0, 0 0, 0 -40)))",
    "NOT (\"pitpulse:country\" = 'AUS')",
]


@pytest.mark.parametrize("text", FILTERS)
def test_a_filter_by_text_by_json_and_on_the_parquet_finds_the_same(large, folders, text):
    import cql2

    client = pystac_client.Client.open(large)
    expected = search_table(folders[1], filter=text, fields=["id"])["id"].to_pylist()
    by_text = client.search(filter=text, filter_lang="cql2-text", limit=300, method="GET", fields=["id"])
    by_json = client.search(filter=cql2.parse_text(text).to_json(), filter_lang="cql2-json", limit=300, fields=["id"])
    assert 0 < len(expected) < ITEMS
    assert [item["id"] for item in by_text.items_as_dicts()] == expected
    assert [item["id"] for item in by_json.items_as_dicts()] == expected


def test_pystac_client_reads_collection_and_queryables(server):
    client = pystac_client.Client.open(server)
    (collection,) = client.get_collections()
    items = list(collection.get_items())
    assert {item.id for item in items} == {
        f"{site}-{year}" for site in ("musan", "sishen") for year in (2020, 2021, 2022)
    }
    assert collection.get_item("musan-2021").properties["pitpulse:year"] == 2021
    assert collection.get_queryables()["properties"]["pitpulse:year"]["type"] == "integer"
    largest = client.search(sortby="-pitpulse:year", max_items=1).item_collection()[0]
    assert largest.properties["pitpulse:year"] == 2022


def test_schemathesis_finds_no_server_error(server, tmp_path):
    command = tool(SCHEMATHESIS)
    options = ["run", f"{server}/api", "--url", server, "--checks", "not_a_server_error,status_code_conformance",
               "--max-examples", "15", "--seed", "1", "--generation-database", "none", "--no-color",
               "--request-timeout", "30"]  # fmt: skip
    run = subprocess.run([*command, *options], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
