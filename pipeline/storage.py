"""Bytes at a URL: one thin layer over fsspec for folders, memory and object stores.

Reads are counted and neighbouring byte ranges are merged where the gap costs less than another request. Whatever fsspec
or the store raises comes out as `Unavailable`, with the URL (never its credentials) and what to do.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from .errors import Absent, BadInput, Unavailable
from .stores import store_options

if TYPE_CHECKING:
    from .object_store import Bucket

# A gap is worth reading over where that takes less time than a request. A local read costs 5 us: at 1 GB/s a few kB.
# A request to an object store takes milliseconds, but many go at once, and bytes may cost money: gaps are read over,
# the smallest first, only as far as they add this share to the bytes asked for.
LOCAL_GAP = 8 * 1024
REMOTE_GAP = 128 * 1024
GAP_SHARE = 0.4
MAX_REQUEST = 8 * 1024 * 1024  # bytes; a longer remote range goes in parallel pieces
_CONNECTING = threading.Lock()
BLOCK = 128 * 1024  # bytes; what `Location.open` fetches at a time: a measurement's header takes 110 kB


class Traffic:
    """Requests made, those made again, bytes read and seconds waited so far; safe to add to from several threads."""

    def __init__(self):
        self.requests = 0
        self.retries = 0
        self.bytes_read = 0
        self.seconds = 0.0
        self._lock = threading.Lock()

    def add(self, requests: int, bytes_read: int, seconds: float = 0.0) -> None:
        """Count ``requests`` that brought ``bytes_read`` bytes in ``seconds``; those of several threads add up."""
        with self._lock:
            self.requests += requests
            self.bytes_read += bytes_read
            self.seconds += seconds

    def retried(self) -> None:
        """Count a request that is made again because the first failed; `requests` doesn't hold it."""
        with self._lock:
            self.retries += 1

    def taken(self) -> tuple[int, int, int]:
        """Requests, bytes and retries since this was last asked; counting begins anew."""
        with self._lock:
            out = self.requests, self.bytes_read, self.retries
            self.requests = self.bytes_read = self.retries = 0
        return out

    def __reduce__(self):
        return Traffic, ()  # a lock doesn't pickle, and a copy in another process counts for itself


@dataclass(frozen=True, eq=False)
class Location:
    """A file or a folder in some store; its methods take paths relative to it, ``""`` being itself."""

    fs: fsspec.AbstractFileSystem = field(repr=False)
    path: str = field(repr=False)
    url: str  # for messages: without credentials and query
    traffic: Traffic = field(default_factory=Traffic, repr=False)

    @property
    def is_local(self) -> bool:
        """True where bytes come from a file of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    @property
    def name(self) -> str:
        """Last component of the path."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    def join(self, path: str) -> Location:
        """The location of ``path`` below this one; it shares the counters."""
        return Location(self.fs, self._full(path), self._url(path), self.traffic) if path else self

    def exists(self, path: str = "") -> bool:
        """True where there is a file or a folder."""
        with self._mapped(path, "read"):
            if not _plain_web(self.fs, self._full(path)):
                return bool(self.fs.exists(self._full(path)))
        try:  # fsspec takes a refusal and a broken server for a file that isn't there
            self.size(path)
        except Absent:
            return False
        return True

    def is_folder(self, path: str = "") -> bool:
        """True where ``path`` is a folder (in an object store: a prefix that has objects)."""
        with self._mapped(path, "read"):
            return bool(self.fs.isdir(self._full(path)))

    def size(self, path: str = "") -> int:
        """Size of a file, bytes."""
        return self.state(path)[0]

    def state(self, path: str = "") -> tuple[int, str]:
        """Size of a file, bytes, and what its store states of this version of it: etag or time; ``""`` for nothing.

        Raises
        ------
        Absent
            The store says that there is no such file.
        Unavailable
            It is refused, or there is no answer: whether there is such a file isn't known.
        """
        with self._mapped(path, "read"):
            self.traffic.add(1, 0)
            if _plain_web(self.fs, self._full(path)):
                bucket, key = self._object(path)
                return bucket.head(key, self.traffic.retried)
            facts = self.fs.info(self._full(path))
        names = ("ETag", "etag", "LastModified", "mtime")
        return int(facts["size"]), str(next((facts[name] for name in names if facts.get(name)), ""))

    def list(self, path: str = "") -> list[str]:
        """Names (not paths) in a folder, sorted."""
        with self._mapped(path, "list"):
            self.traffic.add(1, 0)
            found = self.fs.ls(self._full(path), detail=False)
        own = self._full(path).strip("/")
        return sorted({str(f).rstrip("/").rsplit("/", 1)[-1] for f in found if str(f).strip("/") != own})

    def read_bytes(self, path: str = "", limit: int | None = None) -> bytes:
        """Content of a file; of at most ``limit + 1`` bytes of it, so that a caller can refuse what is too long."""
        if limit is not None:
            return bytes(self.ranges(path, [0], [limit + 1])[0])
        started = time.perf_counter()
        with self._mapped(path, "read"):
            bucket, key = self._object(path)
            data = bucket.read(key, self.traffic.retried) if bucket else self.fs.cat_file(self._full(path))
        self.traffic.add(1, len(data), time.perf_counter() - started)
        return data

    def ranges(
        self, path: str, starts: Sequence[int], stops: Sequence[int], max_gap: int | None = None
    ) -> list[memoryview]:
        """Bytes ``starts[i]:stops[i]`` of a file, for every i, in few requests and concurrently where the store can.

        Parameters
        ----------
        path : str
            The file.
        starts, stops : sequence of int
            Byte offsets, stops exclusive, in any order.
        max_gap : int, optional
            Ranges at most this many bytes apart become one request. Default: 8 KiB on a local disk, else as much, up
            to 128 KiB, as adds no more than 40 % to the bytes asked for.

        Returns
        -------
        list of memoryview
            Views into the merged requests; shorter than asked where the file ends before.
        """
        if max_gap is None:
            max_gap = LOCAL_GAP if self.is_local else affordable_gap(starts, stops)
        merged, place = merge_ranges(starts, stops, max_gap, None if self.is_local else MAX_REQUEST)
        started = time.perf_counter()
        with self._mapped(path, "read"):
            blobs = self._local(path, merged) if self.is_local else self._remote(path, merged)
        self.traffic.add(len(merged), sum(map(len, blobs)), time.perf_counter() - started)
        views = [memoryview(b) for b in blobs] + [memoryview(b"")]  # the last one for empty ranges, whose place is -1
        origins = [a for a, _ in merged] + [0]
        return [views[k][a - origins[k] : b - origins[k]] for k, a, b in zip(place, starts, stops, strict=True)]

    def open(self, path: str = "", block: int = BLOCK, size: int | None = None, budget: int | None = None) -> RangeFile:
        """A read-only seekable file whose every fetch is counted; its size is asked for unless it is known.

        ``budget`` as in `RangeFile`.
        """
        return RangeFile(partial(self.ranges, path), self.size(path) if size is None else size, block, budget)

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file in one step: a reader sees the old content or the new, never a part."""
        with self._mapped(path, "write"):
            if self.is_local:
                with self._temporary(path, data) as temporary:
                    os.replace(temporary, self._full(path))
                return
            bucket, key = self._object(path)
            if bucket:
                bucket.write(key, data, self.traffic.retried)
            else:
                self.fs.pipe_file(self._full(path), data)

    def create_bytes(self, path: str, data: bytes) -> bool:
        """Write a file unless there is one already; exactly one of several rivals gets True."""
        with self._mapped(path, "write"):
            bucket, key = self._object(path)
            if bucket:
                return bucket.create(key, data, self.traffic.retried)
            try:
                if self.is_local:
                    with self._temporary(path, data) as temporary:
                        os.link(temporary, self._full(path))
                else:
                    self.fs.pipe_file(self._full(path), data, mode="create")
            except FileExistsError:
                return False
        return True

    def _object(self, path: str) -> tuple[Bucket | None, str]:
        """The bucket and the key of a path in S3, or the server and the path on it; no bucket elsewhere."""
        full = self._full(path)
        web = _plain_web(self.fs, full)
        if not (web or _speaks_s3(self.fs)):
            return None, ""
        if web:
            parts = urlsplit(full)
            name, key = f"{parts.scheme}://{parts.netloc}", unquote(parts.path).strip("/")
        else:
            name, _, key = full.strip("/").partition("/")
        known = self.fs.__dict__.setdefault("_pitpulse_buckets", {})  # lives as long as the file system does
        with _CONNECTING:  # two threads that connect at once leave one's connection open
            if name not in known:
                from .object_store import Bucket, WebServer  # a tenth of a second that folders don't need

                known[name] = WebServer(name) if web else Bucket(self.fs, name)
        return known[name], key

    def _full(self, path: str) -> str:
        return f"{self.path.rstrip('/')}/{path}" if path else self.path

    def _url(self, path: str) -> str:
        return f"{self.url.rstrip('/')}/{path}" if path else self.url

    def _local(self, path, merged):
        # Opening a pipe would wait for a writer that never comes; a device would give bytes without end.
        flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(self._full(path), flags)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError
            if not stat.S_ISREG(mode):
                raise OSError("it is neither file nor folder but a pipe, socket or device")
            return [_pread(descriptor, a, b) for a, b in merged]
        finally:
            os.close(descriptor)

    def _remote(self, path, merged):
        bucket, key = self._object(path)
        if bucket:
            return bucket.ranges(key, merged, self.traffic.retried)
        full = self._full(path)
        if len(merged) == 1:
            return [self.fs.cat_file(full, start=merged[0][0], end=merged[0][1])]
        blobs = self.fs.cat_ranges([full] * len(merged), [a for a, _ in merged], [b for _, b in merged])
        for blob in blobs:
            if isinstance(blob, BaseException):  # they come back as values
                raise blob
        return blobs

    @contextmanager
    def _temporary(self, path, data) -> Iterator[str]:
        folder = Path(self._full(path)).parent
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)  # mkstemp makes it private; a published file is not
            yield name
        finally:
            Path(name).unlink(missing_ok=True)

    @contextmanager
    def _mapped(self, path: str, verb: str) -> Iterator[None]:
        """What the store raises becomes `Unavailable`."""
        url = self._url(path)
        try:
            yield
        except Unavailable:
            raise
        except FileNotFoundError as error:
            raise Absent(f"can't {verb} {url}: nothing is there; check the spelling of the URL") from error
        except PermissionError as error:
            hint = "its permissions" if self.is_local else "the credentials in the environment"
            raise Unavailable(f"can't {verb} {url}: access is refused; check {hint}") from error
        except IsADirectoryError as error:
            raise Unavailable(f"can't {verb} {url}: it is a folder, not a file; name the file") from error
        except NotADirectoryError as error:
            raise Unavailable(f"can't {verb} {url}: a part of its path is a file, not a folder; move it") from error
        except (OSError, *_store_errors(self.fs)) as error:
            hint = "check the disk" if self.is_local else "check the endpoint, the network and the credentials"
            raise Unavailable(f"can't {verb} {url}: {_reason(error)}; {hint}") from error


class RangeFile(io.RawIOBase):
    """A read-only seekable file over something that serves byte ranges; it keeps the last few blocks it fetched.

    Parameters
    ----------
    ranges : callable
        ``ranges(starts, stops)`` gives a list of bytes-like.
    size : int
        Length of the file, bytes.
    block : int
        Bytes fetched at a time; longer reads go straight through and are not kept.
    budget : int, optional
        Bytes that may be fetched in all, to bound what a header can make its reader do. A read beyond is a
        `ValueError`, before any of it is allocated.
    """

    KEPT = 4

    def __init__(self, ranges: Callable, size: int, block: int = BLOCK, budget: int | None = None):
        self._ranges, self._size, self._block = ranges, size, block
        self.budget = budget
        self._position = 0
        self._blocks: dict[int, memoryview] = {}

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Position, bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` from the start, the position or the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"position must not be negative, instead got {base + offset}")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes from the position on; all where it is negative."""
        left = max(self._size - self._position, 0)
        size = left if size is None or size < 0 else min(size, left)
        if self.budget is not None and size > self.budget + self.KEPT * self._block:
            raise self._overdrawn()
        return super().read(size)

    def readinto(self, buffer) -> int:
        """Fill ``buffer`` from the position on, whole unless the file ends; 0 at the end."""
        view = memoryview(buffer).cast("B")
        start, stop = self._position, min(self._position + len(view), self._size)
        if stop <= start:
            return 0
        if stop - start >= self._block:
            data = self._paid(start, stop)
            view[: len(data)] = data
            self._position += len(data)
            return len(data)
        for number in range(start // self._block, (stop - 1) // self._block + 1):
            origin = number * self._block
            data = self._fetch(number)[max(start - origin, 0) : stop - origin]
            at = self._position - start
            view[at : at + len(data)] = data
            self._position += len(data)
        return self._position - start

    def _fetch(self, number: int) -> memoryview:
        if number not in self._blocks:
            start = number * self._block
            data = self._paid(start, min(start + self._block, self._size))
            while len(self._blocks) >= self.KEPT:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[number] = memoryview(data)
        return self._blocks[number]

    def _paid(self, start: int, stop: int) -> memoryview:
        if self.budget is not None:
            if stop - start > self.budget:
                raise self._overdrawn()
            self.budget -= stop - start
        return self._ranges([start], [stop])[0]

    def _overdrawn(self) -> ValueError:
        return ValueError(f"its header asks for more than the {self.budget} bytes that are left to it")


def open_store(url: str | os.PathLike, **options) -> Location:
    """The file or folder at a URL; nothing is read yet.

    Parameters
    ----------
    url : str or path
        A plain path, or ``file:``, ``memory:``, ``s3:`` or any other URL that fsspec knows.
    **options
        Passed to the file system, beyond what ``PITPULSE_STORES`` says of the URL (see `stores`).

    Raises
    ------
    BadInput
        The URL's protocol is unknown or its driver isn't installed.
    """
    url = os.fspath(url)
    options = {**store_options(url), **options}
    try:
        fs, path = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError) as error:
        raise BadInput(
            f"can't open {public_url(url)}: {_reason(error)}; expected a path or a file:, memory: or s3: URL"
        ) from error
    return Location(fs, str(path).rstrip("/") or "/", public_url(url))


def public_url(url: str) -> str:
    """``url`` without user, password, query and fragment: fit for messages."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rsplit("@", 1)[-1], parts.path, "", ""))


def affordable_gap(starts: Sequence[int], stops: Sequence[int]) -> int:
    """Largest gap (bytes) to read over: all gaps up to it together are at most `GAP_SHARE` of the bytes asked for."""
    spans = sorted((int(a), int(b)) for a, b in zip(starts, stops, strict=True) if b > a)
    gaps, end = [], None
    for start, stop in spans:
        if end is not None and 0 < start - end <= REMOTE_GAP:
            gaps.append(start - end)
        end = stop if end is None else max(end, stop)
    left, best = GAP_SHARE * sum(b - a for a, b in spans), 0
    for gap, group in groupby(sorted(gaps)):  # those of one length together: a limit can't tell them apart
        left -= gap * len(list(group))
        if left < 0:
            break
        best = gap
    return best


def merge_ranges(starts, stops, max_gap: int, max_request: int | None = None):
    """Requests that cover all ranges, and which request holds each.

    Parameters
    ----------
    starts, stops : sequence of int
        Byte offsets, stops exclusive, in any order.
    max_gap : int
        Ranges at most this far apart are joined.
    max_request : int, optional
        Don't join beyond this many bytes. A single range that is longer stays whole.

    Returns
    -------
    merged : list of (int, int)
        Start and stop of each request, ascending.
    place : list of int
        For every input range, the index into ``merged`` that contains it; -1 where it is empty.
    """
    order = sorted(range(len(starts)), key=starts.__getitem__)
    merged: list[list[int]] = []
    place = [-1] * len(order)
    for i in order:
        start, stop = int(starts[i]), int(stops[i])
        if not 0 <= start <= stop:
            raise BadInput(f"a byte range must have 0 <= start <= stop, instead got {start}:{stop}")
        if start == stop:
            continue
        joins = merged and start - merged[-1][1] <= max_gap
        if joins and (
            max_request is None or max(stop, merged[-1][1]) - merged[-1][0] <= max_request or stop <= merged[-1][1]
        ):
            merged[-1][1] = max(merged[-1][1], stop)
        else:
            merged.append([start, stop])
        place[i] = len(merged) - 1
    return [(a, b) for a, b in merged], place


def _pread(descriptor: int, start: int, stop: int) -> bytes:
    """The bytes start:stop; pread may stop early (2 GiB limit, signals), only 0 bytes mean the end."""
    data = os.pread(descriptor, stop - start, start)
    if len(data) == stop - start:
        return data
    parts = [data]
    while parts[-1] and (missing := stop - start - sum(map(len, parts))):
        parts.append(os.pread(descriptor, missing, stop - missing))
    return b"".join(parts)


def _protocols(fs) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def _speaks_s3(fs) -> bool:
    return bool(_protocols(fs) & {"s3", "s3a"})


def _plain_web(fs, full: str) -> bool:
    """True for a path on a web server that takes neither a query nor headers or credentials of the user's."""
    if not _protocols(fs) & {"http", "https"}:
        return False
    parts = urlsplit(full)
    return not (parts.query or "@" in parts.netloc or fs.storage_options)


def _store_errors(fs) -> tuple[type[Exception], ...]:
    """Errors of the store's client that are no OSError."""
    protocols = _protocols(fs)
    if _speaks_s3(fs):
        from botocore.exceptions import BotoCoreError, ClientError

        return BotoCoreError, ClientError
    if protocols & {"http", "https"}:
        from aiohttp import ClientError as HttpError

        return (HttpError,)
    return ()


def _reason(error: BaseException) -> str:
    """One line of what went wrong, or the error's kind where it carries no text."""
    text = getattr(error, "strerror", None) or str(error)
    return text.splitlines()[0] if text else type(error).__name__
