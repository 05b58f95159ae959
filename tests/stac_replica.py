"""A STAC API on loopback that answers as Copernicus' catalogue does: items of granules, item search, pages."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from shapely.geometry import box, shape

from pipeline.archive import Granule

COLLECTION = "sentinel-1-slc"
CONFORMS = [f"https://api.stacspec.org/v1.0.0/{part}" for part in ("core", "item-search", "ogcapi-features")]


def item_of(granule: Granule, **properties) -> dict:
    """A granule as an item: its facts as properties, its files as assets in a bucket."""
    stamp = f"{granule.start}"[:19] + "Z"
    year, month, day = stamp[:10].split("-")
    folder = f"s3://eodata/Sentinel-1/SAR/IW_SLC__1S/{year}/{month}/{day}/{granule.name}.SAFE"
    ring = [list(p) for p in (*granule.footprint, granule.footprint[0])]
    facts = {
        "datetime": stamp,
        "platform": f"sentinel-1{granule.name[2].lower()}",
        "sar:instrument_mode": "IW",
        "sat:relative_orbit": granule.track,
        "sat:orbit_state": granule.orbit_pass,
        "created": "2024-01-01T00:00:00Z",
        "updated": f"2024-01-02T00:00:00Z {granule.revision}",
    }
    if granule.processed:
        facts["processing:datetime"] = f"{granule.processed}Z"
    download = f"https://download.invalid/odata/v1/Products({granule.name[-4:]})/$value"
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": granule.name,
        "collection": COLLECTION,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {**facts, **properties},
        "links": [],
        "assets": {
            "Product": {"href": download, "alternate": {"s3": {"href": folder}}},
            "safe_manifest": {"href": f"{folder}/manifest.safe"},
            "thumbnail": {"href": "https://download.invalid/quick-look.png"},
        },
    }


@dataclass
class Replica:
    """What it holds and what it was asked. ``faults``: statuses that the next searches get instead of an answer."""

    items: list[dict]
    faults: list[int] = field(default_factory=list)
    asked: list[dict] = field(default_factory=list)
    stuck: bool = False  # every page names the first as the next
    url: str = ""

    @property
    def archive(self) -> str:
        """Its name for the command."""
        return f"stac+{self.url}#{COLLECTION}"

    def answer(self, words: dict) -> dict:
        """A page of a search."""
        area = box(*words["bbox"])
        first, last = words["datetime"].split("/")
        found = [
            item
            for item in self.items
            if item["collection"] in words["collections"]
            and first <= item["properties"]["datetime"] <= last
            and shape(item["geometry"]).intersects(area)
        ]
        at, limit = int(words.get("token", 0)), int(words["limit"])
        links = []
        if at + limit < len(found) or self.stuck:
            body = {**words, "token": 0 if self.stuck else at + limit}
            links = [{"rel": "next", "method": "POST", "href": f"{self.url}/search", "body": body}]
        return {"type": "FeatureCollection", "features": found[at : at + limit], "links": links}

    def landing(self) -> dict:
        """The root document."""
        links = [{"rel": rel, "href": self.url} for rel in ("root", "self")]
        search = {"rel": "search", "type": "application/geo+json", "href": f"{self.url}/search"}
        links += [{**search, "method": method} for method in ("GET", "POST")]
        facts = {"type": "Catalog", "id": "replica", "description": "a replica", "stac_version": "1.1.0"}
        return {**facts, "conformsTo": CONFORMS, "links": links}


@contextmanager
def serve(replica: Replica):
    """Answer on a free port until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            parts = urlsplit(self.path)
            if parts.path.rstrip("/") != "/v1/search":
                return self.reply(200 if parts.path.rstrip("/") == "/v1" else 404, replica.landing())
            words = {key: values[0] for key, values in parse_qs(parts.query).items()}
            words["bbox"] = [float(v) for v in words["bbox"].split(",")]
            return self.search({**words, "collections": words["collections"].split(",")})

        def do_POST(self):
            self.search(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def search(self, words):
            replica.asked.append(words)
            if replica.faults:
                return self.reply(replica.faults.pop(0), {"description": "not now"})
            return self.reply(200, replica.answer(words))

        def reply(self, status, document):
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        replica.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield replica
        finally:
            server.shutdown()
            thread.join()
