"""Orbit files of simulated flights, and a web server on loopback whose index pages list them as the public ones do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from pipeline.simulate.layout import Date, Pass, Track, fly

HEAD = """<?xml version="1.0" ?>
<Earth_Explorer_File><Earth_Explorer_Header><Variable_Header><Ref_Frame>EARTH_FIXED</Ref_Frame>
<Time_Reference>UTC</Time_Reference></Variable_Header></Earth_Explorer_Header>
<Data_Block type="xml"><List_of_OSVs count="{}">
"""
TAIL = "</List_of_OSVs></Data_Block>\n</Earth_Explorer_File>\n"
LEAP = np.timedelta64(37, "s")  # TAI - UTC since 2017
SPEED = 7_590.0  # m/s, about, of the satellite


def flight(track: Track, date: Date) -> Pass:
    """The flight of a date of a simulated scene, whose trajectory is exact."""
    return fly(track, date, (track.swath,), "VV")


def eof(
    flown: Pass,
    before: float = 300.0,
    after: float = 300.0,
    along: float = 0.0,
    radial: float = 0.0,
    phase: float = 3.7,
) -> bytes:
    """An orbit file of the flight, vectors every 10 s from ``before`` to ``after`` (s) around the point's overflight.

    ``along``, ``radial``: m that the file's satellite is ahead of and above the true one. Decimals as in real files.
    """
    seconds = np.arange(-before + phase, after, 10.0)
    position, velocity = flown.trajectory.state(seconds)
    if along:
        position, velocity = flown.trajectory.state(seconds + along / float(np.linalg.norm(velocity[0])))
    position = position * (1.0 + radial / np.linalg.norm(position, axis=1, keepdims=True))
    text = HEAD.format(len(seconds))
    for t, p, v in zip(seconds, position, velocity, strict=True):
        utc = flown.epoch + np.timedelta64(round(t * 1e6), "us")
        text += f"<OSV>\n<TAI>TAI={_stamp(utc + LEAP)}</TAI>\n<UTC>UTC={_stamp(utc)}</UTC>\n"
        text += "".join(f'<{n} unit="m">{x:.6f}</{n}>\n' for n, x in zip("XYZ", p, strict=True))
        text += "".join(f'<V{n} unit="m/s">{x:.6f}</V{n}>\n' for n, x in zip("XYZ", v, strict=True))
        text += "<Quality>NOMINAL</Quality>\n</OSV>\n"
    return (text + TAIL).encode()


def eof_name(kind: str, start, stop, created="20240101T000000", platform: str = "S1A") -> str:
    """Name of an orbit file by its validity."""
    first, last = (str(np.datetime64(t, "s")).replace("-", "").replace(":", "") for t in (start, stop))
    return f"{platform}_OPER_AUX_{kind}_OPOD_{created}_V{first}_{last}.EOF"


def precise_name(day, created="20240101T000000", platform: str = "S1A") -> str:
    """Name of the precise orbit file of a day: it begins an hour before and ends an hour after it."""
    midnight = np.datetime64(day, "D").astype("datetime64[s]")
    hour = np.timedelta64(3616, "s")
    return eof_name("POEORB", midnight - hour, midnight + np.timedelta64(86_400, "s") + hour, created, platform)


def restituted_name(flown: Pass, created="20230101T000000") -> str:
    """Name of a restituted orbit file around a flight."""
    reach = np.timedelta64(5_900, "s")
    return eof_name("RESORB", flown.epoch - reach, flown.epoch + reach, created)


def put(folder: Path, name: str, data: bytes) -> Path:
    """Write a file, its folders too."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@dataclass
class Web:
    """What the server was asked. ``faults``: statuses that the next requests of a path get instead of an answer."""

    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    faults: dict[str, list[int]] = field(default_factory=dict)

    def read(self) -> list[str]:
        """Names of the files that were read."""
        return [path.rsplit("/", 1)[-1] for method, path in self.asked if method == "GET" and not path.endswith("/")]

    def pages(self) -> list[str]:
        """Paths of the pages that were asked for."""
        return [path for method, path in self.asked if method == "GET" and path.endswith("/")]


@contextmanager
def web(folder: Path) -> Iterator[Web]:
    """Serve a folder as web servers do: an index page for each folder, with links to sort it and to its parent."""
    state = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path = urlsplit(self.path).path
            state.asked.append((self.command, path))
            here = folder / path.strip("/")
            if state.faults.get(path):
                self.reply(state.faults[path].pop(0), b"fault", "text/plain")
            elif here.is_dir():
                self.reply(200, _page(here), "text/html")
            elif here.is_file():
                self.reply(200, here.read_bytes(), "application/octet-stream")
            else:
                self.reply(404, b"not here", "text/plain")

        do_HEAD = do_GET

        def reply(self, status, body, kind):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def _page(folder: Path) -> bytes:
    rows = "".join(
        f'<tr><td><a href="{p.name}{"/" * p.is_dir()}">{p.name[:20]}..&gt;</a></td></tr>\n'
        for p in sorted(folder.iterdir())
    )
    sort = "<a href='?C=M;O=A'>Last modified</a> <A HREF=/>Parent Directory</A> <a href=\"../\">up</a>"
    away = '<a href="https://elsewhere.invalid/S1A/">elsewhere</a>'
    return f"<html><body><h1>Index</h1>{sort}{away}<table>{rows}</table></body></html>".encode()


def _stamp(instant: np.datetime64) -> str:
    return str(np.datetime64(instant, "us"))
