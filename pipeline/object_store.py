"""Objects of one S3 bucket, or files of one web server: byte ranges, whole objects, and writes, by `obstore`.

Lists and removals stay with s3fs. Reads and writes are what a run spends its time on: 700 ranges of 12 kB cost s3fs 1.9
to 4 ms of the client's own time each, obstore 0.2 ms, so that the lines of a window can be asked for one by one.

What is transient (5xx, too many requests, a connection that is refused, reset or silent, a body that ends early) is
tried again here with growing pauses, and each further try is told to who counts: the client would try again in silence,
and a store that begins to fail would show as slowness only. What is not (absent, refused, taken) is said at once.
Errors come out as builtins without the store's own text where that could name a key.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import HTTPStore, S3Store

ATTEMPTS = 5  # of one request
PAUSE = 0.1  # s before the second, twice as long each time; up to a half more by chance, against many at once
PATIENCE = 60.0  # s after which nothing is tried again
RETRY = {"max_retries": 0, "retry_timeout": timedelta(seconds=PATIENCE)}  # the client's own
TIMEOUT = {"connect_timeout": "5s", "timeout": "120s"}
_STATUS = re.compile(r"\b([45]\d\d) ([A-Z][A-Za-z ]+)")
RENEWAL = timedelta(minutes=5)  # how long credentials are used before the environment is asked again
WORKERS = 10  # ranges at a time
TRANSIENT = ("error sending request", "timed out", "body", "end of file")  # what the client says where no answer came

Told = Callable[[], None]  # called before each further try


class Bucket:
    """One bucket with the endpoint, the region and the credentials of an s3fs file system.

    Parameters
    ----------
    fs : s3fs.S3FileSystem
        What the user's options and environment made.
    name : str
        Of the bucket.

    Raises
    ------
    PermissionError
        No credentials are found, and access isn't anonymous.
    """

    def __init__(self, fs, name: str):
        fs.connect()
        client = fs.s3
        endpoint, region = client.meta.endpoint_url, client.meta.region_name
        config = {"region": region or "us-east-1"}
        if ".amazonaws.com" not in endpoint:
            config["endpoint"] = endpoint
        if getattr(fs, "req_kw", {}).get("RequestPayer"):
            config["request_payer"] = True
        more = {}
        if fs.anon:
            config["skip_signature"] = True
        else:
            more["credential_provider"] = _credentials(fs)
        options = {**TIMEOUT, "allow_http": endpoint.startswith("http:")}
        self._store = S3Store(name, config=config, client_options=options, retry_config=RETRY, **more)

    def head(self, key: str, told: Told) -> tuple[int, str]:
        """Size of an object, bytes, and what the store calls this version of it: its etag, else when it was changed."""
        facts = _repeated(lambda: obstore.head(self._store, key), told)
        return facts["size"], facts.get("e_tag") or facts["last_modified"].isoformat()

    def read(self, key: str, told: Told) -> bytes:
        """A whole object."""
        return _repeated(lambda: bytes(obstore.get(self._store, key).bytes()), told)

    def ranges(self, key: str, ranges: Sequence[tuple[int, int]], told: Told) -> list:
        """Bytes ``start:stop`` each, as buffers; concurrently, one request a range; shorter where the object ends.

        700 ranges cost the client's processor 0.2 to 0.3 s, asked for by one call or, as here, each by its own: then
        only the one that failed is asked for again.
        """
        if len(ranges) == 1:
            return [self._range(key, *ranges[0], told)]
        with ThreadPoolExecutor(max(1, min(WORKERS, len(ranges)))) as pool:
            return list(pool.map(lambda part: self._range(key, *part, told), ranges))

    def write(self, key: str, data: bytes, told: Told) -> None:
        """Put an object: readers see the old one or the new."""
        _repeated(lambda: obstore.put(self._store, key, data, use_multipart=False), told)

    def create(self, key: str, data: bytes, told: Told) -> bool:
        """Put an object unless there is one; exactly one of several rivals gets True.

        Where the answer to our own request was lost, the object is there with our content: that is ours.
        """
        try:
            _repeated(lambda: obstore.put(self._store, key, data, mode="create", use_multipart=False), told)
            return True
        except FileExistsError:  # for a rival's write that is under way too
            return self._is(key, data, told)
        except PermissionError:
            raise
        except OSError:
            if not self._is(key, data, told):
                raise
            return True

    def _is(self, key: str, data: bytes, told: Told) -> bool:
        try:
            return self.read(key, told) == data
        except FileNotFoundError:
            return False

    def _range(self, key: str, start: int, stop: int, told: Told):
        try:
            return _repeated(lambda: obstore.get_range(self._store, key, start=start, end=stop), told)
        except OSError as error:
            if "416" in str(error):  # it begins beyond the end
                return b""
            raise


class WebServer(Bucket):
    """The files of a web server, by their paths; what it can't do are listings.

    Parameters
    ----------
    origin : str
        ``https://host`` or ``http://host:port``.
    """

    def __init__(self, origin: str):
        options = {**TIMEOUT, "allow_http": origin.startswith("http:")}
        self._store = HTTPStore.from_url(origin, client_options=options, retry_config=RETRY)


def _repeated(call: Callable, told: Told):
    """What the call returns; with growing pauses a few more tries where the failure is transient."""
    first = time.monotonic()
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except BaseError as error:
            late = attempt + 1 == ATTEMPTS or time.monotonic() - first > PATIENCE
            if late or not _is_transient(error):
                raise _builtin(error) from None
        time.sleep(PAUSE * 2**attempt * (1.0 + random.random() / 2.0))
        told()


def _is_transient(error: BaseError) -> bool:
    if not isinstance(error, GenericError):  # absent, refused, taken
        return False
    text = str(error)
    status = _STATUS.search(text)
    if status:
        return status[1].startswith("5") or status[1] in ("408", "429")
    return any(words in text for words in TRANSIENT)


def _builtin(error: BaseError) -> OSError:
    """The builtin error that says the same, without the store's answer."""
    if isinstance(error, NotFoundError):
        return FileNotFoundError("nothing is there")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return PermissionError("access is refused")
    if isinstance(error, AlreadyExistsError | PreconditionError):
        return FileExistsError("it is there already")
    text = str(error)
    status = _STATUS.search(text)
    if status and status[1] == "409":
        return FileExistsError("a rival's write is under way")
    if status and status[1] == "403":
        return PermissionError("access is refused")
    if status:
        return OSError(f"the store answers {status[1]} {status[2].strip()}")
    for words, said in (
        ("error sending request", "the store doesn't answer"),
        ("timed out", "the store doesn't answer in time"),
        ("body", "the store's answer breaks off"),
    ):
        if words in text:
            return OSError(said)
    return OSError(f"the store's client reports {type(error).__name__}")


def _credentials(fs) -> Callable[[], dict]:
    """What obstore asks for credentials: those of the options, else those that botocore finds, renewed as it renews."""
    found = None
    if not (fs.key and fs.secret):
        from botocore.session import Session

        found = Session(profile=fs.storage_options.get("profile")).get_credentials()
        if found is None:
            raise PermissionError("no credentials are found")

    def provide() -> dict:
        if found is None:
            values = (fs.key, fs.secret, fs.token)
        else:
            frozen = found.get_frozen_credentials()
            values = (frozen.access_key, frozen.secret_key, frozen.token)
        named = {"access_key_id": values[0], "secret_access_key": values[1]}
        if values[2]:
            named["token"] = values[2]
        return {**named, "expires_at": datetime.now(UTC) + RENEWAL}

    return provide
