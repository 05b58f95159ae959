"""Lines on stderr that tell what goes on: to a waiting person, or as JSON to a machine that collects them."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime

from .errors import BadInput
from .told import Told

VARIABLE = "PITPULSE_LOG"


class Progress:
    """Lines on stderr; where the next is long in coming, the last one again with the seconds it has taken so far."""

    INTERVAL = 2.0  # s

    def __init__(self):
        self._text, self._since, self._told = "", time.monotonic(), time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __call__(self, text: str) -> None:
        """Say what was done or what comes now."""
        self._text = text
        self._since = self._told = time.monotonic()
        self._print(text)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            now = time.monotonic()
            if now - self._told >= self.INTERVAL:
                self._told = now
                self._print(self._again(now - self._since))

    def _again(self, seconds: float) -> str:
        """What is said where nothing new is known."""
        return f"… {self._text or 'starting'} ({seconds:.0f} s)"

    def _line(self, text: str) -> str:
        return f"  {text}"

    def _print(self, text: str) -> None:
        with suppress(OSError, ValueError):  # nobody reads: the work goes on
            sys.stderr.write(f"{self._line(text)}\n")
            sys.stderr.flush()


class JsonProgress(Progress):
    """The same as JSON, one object a line: ``time`` (UTC), ``level``, ``message``, and facts where they are known."""

    INTERVAL = 60.0  # s; a machine need not be shown that something moves

    def _again(self, seconds: float) -> str:
        facts = self._text.facts if isinstance(self._text, Told) else {}
        return Told(self._text or "starting", **{**facts, "waited_seconds": round(seconds)})

    def _line(self, text: str) -> str:
        return json_line(text)


def json_line(text: str, level: str = "info") -> str:
    """A line of a log as JSON, without line breaks inside; what the text itself knows of its level counts first."""
    facts, level = (text.facts, text.level) if isinstance(text, Told) else ({}, level)
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": moment, "level": level, "message": str(text), **facts}, ensure_ascii=False)


def wants_json(asked: bool) -> bool:
    """True where JSON is asked for, by the option or by ``PITPULSE_LOG=json``.

    Raises
    ------
    BadInput
        The variable says something else than ``json`` or ``text``.
    """
    word = os.environ.get(VARIABLE) or "text"
    if word not in ("json", "text"):
        raise BadInput(f"{VARIABLE} must be json or text, instead got {word!r}")
    return asked or word == "json"
