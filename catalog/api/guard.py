"""What every request passes: limits on its size, HEAD as GET without a body, a count, and the one catch-all."""

from __future__ import annotations

import threading
import time
from collections import Counter

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.exposition import Family, Sample, exposition

from .problems import log, problem_response
from .settings import ApiSettings

BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # s


class Metrics:
    """Requests and their seconds since the start, by route and status; safe to add to from several threads.

    A route is the template (``/collections/{collection_id}``), never the address: what clients make up can't become a
    label, so that there are at most as many series as routes, times statuses, times buckets.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._requests: Counter = Counter()  # (route, method, status)
        self._seconds: Counter = Counter()  # (route, status)
        self._buckets: Counter = Counter()  # (route, status, upper bound)

    def add(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request; status 0 is one whose client went away before any answer."""
        with self._lock:
            self._requests[route, method, status] += 1
            self._seconds[route, status] += seconds
            for bound in BUCKETS:
                if seconds <= bound:
                    self._buckets[route, status, bound] += 1

    def text(self, *more: Family) -> str:
        """In Prometheus' text format, with further numbers of the moment."""
        with self._lock:
            requests, seconds, buckets = dict(self._requests), dict(self._seconds), dict(self._buckets)
        counted = tuple(
            Sample(number, {"route": route, "method": method, "status": str(status)})
            for (route, method, status), number in sorted(requests.items())
        )
        timed = []
        for route, status in sorted(seconds):
            labels = {"route": route, "status": str(status)}
            total = sum(number for key, number in requests.items() if (key[0], key[2]) == (route, status))
            for bound in BUCKETS:
                number = buckets.get((route, status, bound), 0)
                timed.append(Sample(number, {**labels, "le": str(bound)}, "_bucket"))
            timed.append(Sample(total, {**labels, "le": "+Inf"}, "_bucket"))
            timed.append(Sample(round(seconds[route, status], 6), labels, "_sum"))
            timed.append(Sample(total, labels, "_count"))
        return exposition(
            (
                Family("pitpulse_requests_total", "counter", "Requests answered.", counted),
                Family("pitpulse_request_seconds", "histogram", "Seconds until the last byte.", tuple(timed)),
                *more,
            )
        )


class Guard:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, settings: ApiSettings, metrics: Metrics):
        self.app, self.settings, self.metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method, start, status, end = scope["method"], time.perf_counter(), 0, None
        # Both are free text of the client: a label must not be.
        label = method if method in ("GET", "HEAD", "POST", "OPTIONS") else "other"
        head = method == "HEAD"
        if head:
            scope = {**scope, "method": "GET", "pitpulse.head": True}

        async def sending(message: Message) -> None:
            nonlocal status, end
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-content-type-options", b"nosniff")]
            elif head:
                message = {**message, "body": b""}
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                end = time.perf_counter()  # what an answer leaves to be done in the background isn't waited for

        try:
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal(scope, receive, sending)
            else:
                await self.app(scope, _limited(receive, self.settings.max_body), sending)
        except ClientDisconnect:
            log.debug("the client of %s went away", scope["path"])
        except Exception:
            log.exception("%s %s", method, scope["path"])
            if status:
                raise  # half an answer is out: the server must cut the connection, so that it isn't taken for whole
            await problem_response(500)(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.add(route, label, status, (end or time.perf_counter()) - start)

    def _refusal(self, scope: Scope):
        # The router takes an address that ends in a line feed for the one without.
        if any(ord(letter) < 32 for letter in scope["path"]):
            return problem_response(404, "no file is published at an address with control characters")
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not length.isdigit() or len(length) > 18 or int(length) > self.settings.max_body:
            return problem_response(413, _too_long(self.settings.max_body), {"Connection": "close"})
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > self.settings.max_url:
            return problem_response(
                414, f"an address must have at most {self.settings.max_url} characters; use POST /search for long ones"
            )
        return None


def _too_long(limit: int) -> str:
    return f"a body must have at most {limit} bytes; simplify the geometry or ask for fewer ids"


def _limited(receive: Receive, limit: int) -> Receive:
    """The body of a request, up to a limit: one sent in chunks doesn't say its length before."""
    read = 0

    async def receiving() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise HTTPException(413, _too_long(limit))  # the one kind that FastAPI lets pass while it reads a body
        return message

    return receiving
