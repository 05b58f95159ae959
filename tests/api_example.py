"""Folders for the tests of the API to serve, and a server in a thread of its own."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn
from starlette.testclient import TestClient

from catalog.api import ApiSettings, create_app
from catalog.index import update_index, write_snapshot
from catalog.publish import annotate, listed_items, publish
from catalog.snapshot import POINTER
from catalog.stac import COLLECTION_ID, item_path, rebase
from pipeline.commands.serve import bound_socket

from .product_example import AREA, SITES, example_cube, example_extras

ITEMS = 300
YEARS = {2020: "a1" * 32, 2021: "b2" * 32, 2022: "c3" * 32}


def publish_example(root: Path | str) -> None:
    """Two mines with three years each, indexed, with properties that stac-api-validator's filters name."""
    for site, (mine, _, _) in SITES.items():
        if site in ("sishen", "musan"):
            for year, fingerprint in YEARS.items():
                cube = example_cube(site, year=year, fingerprint=fingerprint)
                publish(mine, cube, AREA, example_extras(), root)
    foreign = {"eo:cloud_cover": 7.5, "mission": "sentinel-1"}
    annotate(root, {(site, year): foreign for site in ("sishen", "musan") for year in YEARS})
    update_index(root)


def made_up(base: dict, number: int) -> Iterator[dict]:
    """``number`` whole items of mines with nine years each, from one item; same number, same items."""
    rng = np.random.default_rng(11)
    for k in range(number):
        mine, year = f"mine-{k // 9:05d}", 2016 + k % 9
        west, south = rng.uniform((-179.0, -60.0), (178.0, 65.0)).round(5).tolist()
        ring = [[west, south], [west + 0.1, south], [west + 0.1, south + 0.1], [west, south + 0.1], [west, south]]
        area = round(float(rng.lognormal(14.0, 1.0)), 1)
        document = json.loads(json.dumps(base).replace(base["id"], f"{mine}-{year}"))
        document["geometry"] = {"type": "Polygon", "coordinates": [ring]}
        document["bbox"] = [west, south, west + 0.1, south + 0.1]
        document["properties"] |= {
            "datetime": f"{year}-07-01T00:00:00Z",
            "start_datetime": f"{year}-01-01T00:00:00Z",
            "end_datetime": f"{year}-12-31T23:59:59Z",
            "pitpulse:mine_id": mine,
            "pitpulse:mine_name": mine.title(),
            "pitpulse:country": ("ZAF", "AUS", "CHL")[k // 9 % 3],
            "pitpulse:commodity": ("iron ore", "copper ore")[k // 9 % 2],
            "pitpulse:year": year,
            "pitpulse:active_area": area,
            "pitpulse:active_area_interval": [round(0.9 * area, 1), round(1.1 * area, 1)],
            "pitpulse:production": round(20 * area) if k % 3 else None,  # unknown for a third: null has its own order
        }
        yield document


def index_made_up(root: Path, published: Path, number: int) -> None:
    """A folder that holds an index of ``number`` items and nothing else but the collection of another."""
    base = listed_items(published)[0]
    base = rebase(base, item_path("musan", 2020), POINTER)
    folder = root / "catalog" / COLLECTION_ID
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "collection.json").write_bytes((published / f"catalog/{COLLECTION_ID}/collection.json").read_bytes())
    write_snapshot(made_up(copy.deepcopy(base), number), root)


@contextmanager
def served(root, settings: ApiSettings | None = None) -> Iterator[str]:
    """Address of a server on a free port of this machine, in a thread that ends with the block."""
    socket = bound_socket("127.0.0.1", 0)
    config = uvicorn.Config(
        create_app(root, settings), ws="none", lifespan="off", log_level="critical", proxy_headers=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        socket.close()


def problem(response, status: int) -> str:
    """The description of an answer that has to be an error of ours."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body.keys() == {"code", "description"} and response.headers["content-type"] == "application/json"
    return body["description"]


def following(client: TestClient, response) -> list[dict]:
    """Features of a page and of all that follow."""
    found = []
    while True:
        page = response.json()
        found += page["features"]
        assert page["numberReturned"] == len(page["features"])
        link = next((link for link in page["links"] if link["rel"] == "next"), None)
        if link is None:
            return found
        by_post = link.get("method") == "POST"
        response = client.post(link["href"], json=link["body"]) if by_post else client.get(link["href"])
        assert response.status_code == 200
