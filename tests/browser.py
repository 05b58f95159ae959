"""A real browser for tests: Debian's chromium, driven over its debugging pipe, and a static file server on loopback.

The DevTools protocol is JSON messages over two file descriptors, each ended by a zero byte; that is little enough to
need no driver package. The browser gets a profile of its own and can resolve no name: what isn't on 127.0.0.1 fails and
is seen to fail.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import http.server
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
PACKAGES = ("chromium", "fonts-dejavu-core")
FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-extensions",
    "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--password-store=basic",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)  # fmt: skip
# Puts the pipe's ends where chromium looks for them, 3 (it reads) and 4 (it writes), and becomes chromium.
LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class BrowserError(RuntimeError):
    """The browser didn't do what it was told."""


def find_browser() -> str:
    """Path of a chromium; on Debian, as root, it is installed where it is missing.

    Raises
    ------
    BrowserError
        There is none, with the reason.
    """
    for name in NAMES:
        if path := shutil.which(name):
            return path
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise BrowserError(f"no browser: none of {', '.join(NAMES)} is on the path; install Debian's chromium")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", *PACKAGES]):
        done = subprocess.run(command, capture_output=True, text=True, env=quiet)
        if done.returncode:
            raise BrowserError(f"no browser: {' '.join(command)} failed: {done.stderr.strip()[-300:]}")
    return shutil.which("chromium") or "/usr/bin/chromium"


@contextlib.contextmanager
def static_server(folder: Path, prefix: str = "/") -> Iterator[str]:
    """URL, ending in a slash, at which a folder is served on a free port of 127.0.0.1; ``prefix`` stands before it."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path):
            if not path.startswith(prefix):
                return str(folder / "not-below-the-prefix")
            return super().translate_path("/" + path.removeprefix(prefix))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Browser:
    """A chromium process; `page` opens tabs. Use as a context manager."""

    def __init__(self, path: str, profile: Path):
        (reads, self._out), (self._in, writes) = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (reads, writes)]  # clear of 3 and 4
        flags = [*FLAGS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        launch = [sys.executable, "-S", "-E", "-c", LAUNCH, *map(str, ends), path, *flags, "about:blank"]
        self._process = subprocess.Popen(launch, pass_fds=ends, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for end in (reads, writes, *ends):
            os.close(end)
        self._answers: dict[int, queue.Queue] = {}
        self._pages: dict[str, Page] = {}
        self._number = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrowserError, OSError):
            self.send("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._reader.join(10)
        os.close(self._out)
        os.close(self._in)

    def send(self, method: str, params: dict | None = None, session: str | None = None, timeout: float = 30) -> dict:
        """Result of a command of the protocol."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params or {}} | ({"sessionId": session} if session else {})
        answer = self._answers[number] = queue.Queue()
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        try:
            result = answer.get(timeout=timeout)
        except queue.Empty:
            raise BrowserError(f"{method}: no answer in {timeout} s") from None
        if "error" in result:
            raise BrowserError(f"{method}: {result['error']['message']}")
        return result["result"]

    def page(self, width: int = 1280, height: int = 900, **more) -> Page:
        """A new tab."""
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.send(f"{domain}.enable")
        page.resize(width, height, **more)
        return page

    def _read(self) -> None:
        buffer = b""
        while block := os.read(self._in, 1 << 16):
            *messages, buffer = (buffer + block).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._answers.pop(message["id"]).put(message)
                elif page := self._pages.get(message.get("sessionId", "")):
                    page.note(message["method"], message["params"])


class Page:
    """A tab, and what went wrong in it: ``requests`` are URLs, ``failures`` and ``errors`` are words."""

    def __init__(self, browser: Browser, session: str):
        self._browser, self._session = browser, session
        self._loaded = threading.Event()
        self.requests: list[str] = []
        self.failures: list[str] = []
        self.errors: list[str] = []
        self.received = 0  # bytes of bodies, as sent

    def send(self, method: str, params: dict | None = None) -> dict:
        """Result of a command in this tab."""
        return self._browser.send(method, params, self._session)

    def note(self, method: str, params: dict) -> None:
        """Keep what an event says."""
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Network.responseReceived" and params["response"]["status"] >= 400:
            self.failures.append(f"{params['response']['status']} {params['response']['url']}")
        elif method == "Network.loadingFailed" and not params.get("canceled"):
            self.failures.append(params["errorText"])
        elif method == "Network.loadingFinished":
            self.received += int(params["encodedDataLength"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])

    def resize(self, width: int, height: int, *, mobile: bool = False, ratio: float = 1.0) -> None:
        """Size of the window in CSS pixels; ``mobile`` with touch, ``ratio`` device pixels to one of them."""
        size = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": mobile}
        self.send("Emulation.setDeviceMetricsOverride", size)
        self.send("Emulation.setTouchEmulationEnabled", {"enabled": mobile})

    def go(self, url: str, until: str = "true") -> None:
        """Open a URL and wait until it is loaded and ``until`` (JavaScript) is true."""
        self._loaded.clear()
        answer = self.send("Page.navigate", {"url": url})
        if answer.get("errorText"):
            raise BrowserError(f"{url}: {answer['errorText']}")
        if not self._loaded.wait(30):
            raise BrowserError(f"{url}: not loaded in 30 s")
        self.wait(until)

    def wait(self, condition: str, seconds: float = 20) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(f"!!({condition})"):
            if time.monotonic() > end:
                raise BrowserError(f"not in {seconds} s: {condition}; errors: {self.errors}, failures: {self.failures}")
            time.sleep(0.03)

    def evaluate(self, expression: str):
        """Value of a JavaScript expression; a promise is waited for."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.send("Runtime.evaluate", asked)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def click(self, x: float, y: float) -> None:
        """Move the mouse to a place of the window and click."""
        at = {"x": x, "y": y}
        self.send("Input.dispatchMouseEvent", {"type": "mouseMoved", **at})
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", {"type": kind, "button": "left", "clickCount": 1, **at})

    def key(self, name: str, text: str = "") -> None:
        """Press a key by its DOM name, such as ``Tab``, ``ArrowRight`` or ``+`` (which is also its text)."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        known = {"key": name, "code": name, "windowsVirtualKeyCode": codes.get(name, 0)}
        known |= {"text": text} if text else {}
        self.send("Input.dispatchKeyEvent", {"type": "keyDown" if text or name == "Enter" else "rawKeyDown", **known})
        self.send("Input.dispatchKeyEvent", {"type": "keyUp", **known})

    def screenshot(self, *, full: bool = False) -> bytes:
        """PNG of the window, or of the whole page."""
        asked: dict = {"format": "png", "captureBeyondViewport": full}
        if full:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            asked["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        return base64.b64decode(self.send("Page.captureScreenshot", asked)["data"])
