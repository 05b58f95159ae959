"""A Dask scheduler and workers as processes of their own on loopback, each of which may be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 60.0  # s until a process is there
DASK = (sys.executable, "-m", "distributed.cli.dask_scheduler"), (sys.executable, "-m", "distributed.cli.dask_worker")


class DaskProcesses:
    """A context manager; ``workers`` are Popen objects, without nannies: what is killed stays dead."""

    def __init__(self, folder: Path, workers: int = 2, threads: int = 1):
        self.folder, self.count, self.threads = folder, workers, threads
        self.scheduler: subprocess.Popen | None = None
        self.workers: list[subprocess.Popen] = []
        self.address = ""
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> DaskProcesses:
        file = self.folder / "scheduler.json"
        words = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", file]
        self.scheduler = self._start(DASK[0], words)
        until = time.monotonic() + PATIENCE
        while not self.address:
            assert self.scheduler.poll() is None and time.monotonic() < until, self.said()
            try:
                self.address = json.loads(file.read_text())["address"]
            except (OSError, ValueError):
                time.sleep(0.02)
        for _ in range(self.count):
            self.add_worker()
        return self

    def __exit__(self, *_) -> None:
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                process.kill()
            process.wait()

    def add_worker(self) -> None:
        """One more, which runs as many jobs at once as it has threads."""
        words = [self.address, "--host", "127.0.0.1", "--nthreads", self.threads, "--no-dashboard", "--no-nanny"]
        self.workers.append(self._start(DASK[1], words))

    def said(self) -> str:
        """The processes' log."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def _start(self, command, words) -> subprocess.Popen:
        env = {**os.environ, "PITPULSE_THREADS": "1", "PYTHONPATH": str(ROOT)}
        env["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] = "False"
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(
                [*command, *map(str, words)], stdout=log, stderr=log, env=env, cwd=self.folder, start_new_session=True
            )
