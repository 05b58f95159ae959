"""A proxy on loopback in front of a server that spoils chosen answers, and counts."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


@dataclass
class Fault:
    """Spoil the next ``times`` requests of a method whose path contains ``part``.

    ``kind``: ``"status"`` answers ``value`` and forwards nothing; ``"slow"`` waits ``value`` seconds; ``"truncate"``
    cuts the body after ``value`` bytes; ``"reset"`` cuts the connection before forwarding, ``"lost"`` after it: the
    server has done what was asked, and the client doesn't learn it.
    """

    kind: str
    method: str
    part: str
    times: int = 1
    value: float = 0.0
    done: int = 0


@dataclass
class FaultProxy:
    """Forward to ``127.0.0.1:port``; a context manager."""

    port: int
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)  # method and path of every request
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> FaultProxy:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else every body waits 40 ms behind its headers

            def do_any(self):
                proxy._answer(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # a client that hangs up is what is being tested
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        """URL to give to the client."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def count(self, method: str, part: str = "") -> int:
        """Requests seen of a method whose path contains ``part``."""
        with self._lock:
            return sum(m == method and part in path for m, path in self.seen)

    def _fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.seen.append((method, path))
            for fault in self.faults:
                if fault.method == method and fault.part in path and fault.done < fault.times:
                    fault.done += 1
                    return fault
        return None

    def _answer(self, handler) -> None:
        fault = self._fault(handler.command, handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        kind = fault.kind if fault else ""
        if kind == "status":
            return _reply(handler, int(fault.value), {}, b"<Error><Code>SlowDown</Code></Error>")
        if kind == "reset":
            return _reset(handler)
        if kind == "slow":
            time.sleep(fault.value)
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
            for name, value in handler.headers.items():  # Host too: it is part of what is signed
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            data, headers = answer.read(), {k: v for k, v in answer.getheaders() if k.lower() not in HOP}
            if handler.command == "HEAD":
                headers["Content-Length"] = answer.getheader("Content-Length") or "0"
        finally:
            connection.close()
        if kind == "lost":
            return _reset(handler)
        return _reply(handler, answer.status, headers, data, int(fault.value) if kind == "truncate" else None)


def _reply(handler, status: int, headers: dict, body: bytes, cut: int | None = None) -> None:
    handler.send_response_only(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    if "Content-Length" not in headers:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body if cut is None else body[:cut])
    if cut is not None:
        handler.wfile.flush()
        _reset(handler)


def _reset(handler) -> None:
    """Cut the connection hard: the client's next read fails."""
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.shutdown(socket.SHUT_RDWR)
