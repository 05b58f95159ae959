"""A bucket of DEM tiles as the public ones of the Copernicus DEM are laid out: on a folder, or over loopback HTTP."""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import rasterio
from rasterio import Affine

FOLDER = "Copernicus_DSM_COG_10_{lat}_00_{lon}_00_DEM"
LAYOUT = f"{FOLDER}/{FOLDER}.tif"


def factor(south: int) -> float:
    """How much wider than high, in seconds of arc, the cells of a tile are: the table of the buckets' readme."""
    nearest = south if south >= 0 else -south - 1  # S51 lies from 50 to 51 degrees south
    return next(
        f for limit, f in ((85, 10.0), (80, 5.0), (70, 3.0), (60, 2.0), (50, 1.5), (0, 1.0)) if nearest >= limit
    )


def centres(south: int, west: int, per_degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes, northern parallel first, and longitudes, western meridian first, of a tile's samples, degrees."""
    columns = round(per_degree / factor(south))
    return south + 1 - np.arange(per_degree) / per_degree, west + np.arange(columns) / columns


def write_tile(path: Path, latitude, longitude, heights, **profile) -> None:
    """A tiled GeoTIFF that says pixel-is-point, whose samples lie on the axes."""
    rows, cols = heights.shape
    dy, dx = latitude[0] - latitude[1], longitude[1] - longitude[0]
    kind = {"driver": "GTiff", "count": 1, "height": rows, "width": cols, "dtype": "float32", "tiled": True}
    kind |= {"blockxsize": 128, "blockysize": 128, "crs": "EPSG:4326", **profile}
    transform = Affine(dx, 0.0, longitude[0] - dx / 2, 0.0, -dy, latitude[0] + dy / 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", transform=transform, **kind) as file:
        file.update_tags(AREA_OR_POINT="Point")
        file.write(heights.astype(np.float32), 1)


def make_bucket(root: Path, tiles, surface, per_degree: int = 120) -> str:
    """Write tiles, (south, west) each with its name's letters by hand, and return their pattern."""
    for name, (south, west) in tiles.items():
        lat, lon = name.split("_")
        latitude, longitude = centres(south, west, per_degree)
        heights = surface(latitude[:, None], longitude[None, :])
        write_tile(root / LAYOUT.format(lat=lat, lon=lon), latitude, longitude, heights)
    return f"{root}/{LAYOUT}"


@dataclass
class TileServer:
    """What it was asked, and how it spoils the next answers.

    ``faults``: part of a path, what to do (a status, or ``"reset"``), and how often.
    """

    root: Path
    faults: list[list] = field(default_factory=list)
    asked: list[tuple[str, str, int]] = field(default_factory=list)  # method, path, bytes sent
    url: str = ""

    @property
    def pattern(self) -> str:
        """Pattern of its tiles."""
        return f"{self.url}/{LAYOUT}"

    def count(self, method: str, part: str = "") -> int:
        """Requests of a method whose path has ``part``."""
        return sum(m == method and part in path for m, path, _ in self.asked)

    @property
    def sent(self) -> int:
        """Bytes of files that it has sent."""
        return sum(n for _, _, n in self.asked)


@contextmanager
def serve(root: Path):
    """Answer HEAD and ranged GET on a free port until the end of the block."""
    server_facts = TileServer(root)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path = unquote(self.path)
            with lock:
                fault = next((f for f in server_facts.faults if f[0] in path and f[2] > 0), None)
                if fault:
                    fault[2] -= 1
            if fault and fault[1] == "reset":
                return self.reset()
            file = root / path.lstrip("/")
            if fault or not file.is_file():
                return self.reply(fault[1] if fault else 404, b"", path)
            data = file.read_bytes()
            etag = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"', "Content-Type": "image/tiff"}
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if not wanted:
                return self.reply(200, data, path, etag)
            first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
            part = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            return self.reply(206, data[first : last + 1], path, etag | part)

        do_HEAD = do_GET

        def reply(self, status, body, path, headers=None):
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            sent = 0 if self.command == "HEAD" else len(body)
            with lock:
                server_facts.asked.append((self.command, path, sent))
            if sent:
                self.wfile.write(body)

        def reset(self):
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):  # a connection that was cut on purpose
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        server_facts.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server_facts
        finally:
            server.shutdown()
            thread.join()
