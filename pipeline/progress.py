"""Lines that tell a waiting person what goes on."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress


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
                self._print(f"… {self._text or 'starting'} ({now - self._since:.0f} s)")

    @staticmethod
    def _print(text: str) -> None:
        with suppress(OSError, ValueError):  # nobody reads: the work goes on
            sys.stderr.write(f"  {text}\n")
            sys.stderr.flush()
