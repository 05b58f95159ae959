"""Objects of one S3 bucket, or files of one web server: byte ranges, whole objects, and writes, by `obstore`.

Lists and removals stay with s3fs. Reads and writes are what a run spends its time on: 700 ranges of 12 kB cost s3fs 1.9
to 4 ms of the client's own time each, obstore 0.2 ms, so that the lines of a window can be asked for one by one.

What is transient (5xx, too many requests, a connection that is refused, reset or silent) is tried again by the client
with growing pauses; a body that ends early is fetched again here. What is not (absent, refused, taken) is said at once.
Errors come out as builtins without the store's own text where that could name a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import HTTPStore, S3Store

ATTEMPTS = 4  # of one request by the client, and of one range whose body broke off
RETRY = {
    "max_retries": ATTEMPTS,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=4), "base": 2},
}
TIMEOUT = {"connect_timeout": "5s", "timeout": "120s"}
RENEWAL = timedelta(minutes=5)  # how long credentials are used before the environment is asked again
WORKERS = 8  # ranges asked for one by one at a time


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

    def head(self, key: str) -> tuple[int, str]:
        """Size of an object, bytes, and what the store calls this version of it: its etag, else when it was changed."""
        try:
            facts = obstore.head(self._store, key)
        except BaseError as error:
            raise _builtin(error) from None
        return facts["size"], facts.get("e_tag") or facts["last_modified"].isoformat()

    def read(self, key: str) -> bytes:
        """A whole object."""
        return _repeated(lambda: bytes(obstore.get(self._store, key).bytes()))

    def ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list:
        """Bytes ``start:stop`` each, as buffers; concurrently, one request a range; shorter where the object ends."""
        if len(ranges) > 1:
            starts, ends = zip(*ranges, strict=True)
            try:
                return obstore.get_ranges(self._store, key, starts=starts, ends=ends, coalesce=0)
            except BaseError as error:
                if isinstance(_builtin(error), FileNotFoundError | PermissionError):
                    raise _builtin(error) from None
        # One by one only where a body broke off, or a range begins beyond the end.
        with ThreadPoolExecutor(min(WORKERS, len(ranges))) as pool:
            return list(pool.map(lambda part: self._range(key, *part), ranges))

    def write(self, key: str, data: bytes) -> None:
        """Put an object: readers see the old one or the new."""
        _repeated(lambda: obstore.put(self._store, key, data, use_multipart=False))

    def create(self, key: str, data: bytes) -> bool:
        """Put an object unless there is one; exactly one of several rivals gets True.

        Where the answer to our own request was lost, the object is there with our content: that is ours.
        """
        try:
            obstore.put(self._store, key, data, mode="create", use_multipart=False)
            return True
        except (AlreadyExistsError, PreconditionError):
            return self._is(key, data)
        except BaseError as error:
            if "409" in str(error) or "Conflict" in str(error):  # a rival's write is under way
                return False
            if isinstance(_builtin(error), PermissionError) or not self._is(key, data):
                raise _builtin(error) from None
            return True

    def _is(self, key: str, data: bytes) -> bool:
        try:
            return self.read(key) == data
        except FileNotFoundError:
            return False

    def _range(self, key: str, start: int, stop: int):
        try:
            return _repeated(lambda: obstore.get_range(self._store, key, start=start, end=stop))
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


def _repeated(call: Callable):
    """What the call returns; a few more tries where a body broke off."""
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except BaseError as error:
            known = _builtin(error)
            if attempt + 1 == ATTEMPTS or not _broke_off(error):
                raise known from None


def _broke_off(error: BaseError) -> bool:
    text = str(error)
    return any(word in text for word in ("decoding response body", "request or response body", "end of file"))


def _builtin(error: BaseError) -> OSError:
    """The builtin error that says the same, without the store's answer."""
    if isinstance(error, NotFoundError):
        return FileNotFoundError("nothing is there")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return PermissionError("access is refused")
    text = str(error)
    status = re.search(r"\b([45]\d\d) ([A-Z][A-Za-z ]+)", text)
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
