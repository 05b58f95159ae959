"""Files of the published folder over HTTP: whole, or the byte ranges that readers of COGs and Parquet ask for.

Only what is published is served: `catalog`, `products`, `pages` and `index.html`. What stands beside them (the working
store, leases) and names that start with a dot don't exist for a client, and no folder is listed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pipeline.errors import Unavailable
from pipeline.storage import Location

from ..stac import COLLECTION_ID
from .problems import Problem, log
from .ranges import Unsatisfiable, read_ranges

PUBLISHED = ("catalog", "products", "pages")
START = "index.html"
AT_ONCE = 4 * 1024 * 1024  # bytes read and sent as one piece
WORTH_PACKING = 1024  # bytes
_PRIVATE = re.compile(r"read-\d+\.parquet|state\.json")  # what index and pages remember for themselves
_ITEM = re.compile(rf"catalog/{COLLECTION_ID}/(?!collection\.json)[^/]+\.json|products/.+\.item\.json")
_TYPES = {
    "tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "png": "image/png",
    "svg": "image/svg+xml",
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
}
_PACKED = frozenset(("json", "svg", "html", "css", "js", "csv"))


@dataclass(frozen=True)
class Found:
    """A file that may be served."""

    place: Location
    path: str  # from the root
    size: int
    tag: str  # changes with the content

    @property
    def suffix(self) -> str:
        """What its name ends in, without the dot."""
        return self.path.rsplit("/", 1)[-1].rpartition(".")[2].lower()

    @property
    def media_type(self) -> str:
        """For Content-Type."""
        return (
            "application/geo+json"
            if _ITEM.fullmatch(self.path)
            else _TYPES.get(self.suffix, "application/octet-stream")
        )


def serve_file(root: Location, path: str, request: Request, fresh_for: int) -> Response:
    """The answer to a request for a file.

    Raises
    ------
    Problem
        404 where nothing is published there, 416 where no byte is in the range.
    """
    found = _find(root, path)
    # A product is written once under its name; everything else may be replaced.
    caching = "public, max-age=31536000, immutable" if path.startswith("products/") else f"public, max-age={fresh_for}"
    headers = {"ETag": f'"{found.tag}"', "Cache-Control": caching, "Accept-Ranges": "bytes"}
    packs = found.suffix in _PACKED and WORTH_PACKING <= found.size <= AT_ONCE
    if packs:
        headers["Vary"] = "Accept-Encoding"
    if matches(request.headers.get("if-none-match", ""), found.tag):
        return Response(status_code=304, headers=headers)
    ranges = _asked(request, found)
    if ranges is not None:
        return _part(found, ranges, headers)
    if packs and accepts_gzip(request):
        packed = gzip.compress(_read(found, 0, found.size), 6, mtime=0)
        headers |= {"Content-Encoding": "gzip", "ETag": f'"{found.tag}-gzip"'}
        return Response(packed, 200, headers, found.media_type)
    return _whole(found, headers, request.scope.get("pitpulse.head", False))


def matches(header: str, tag: str) -> bool:
    """True where If-None-Match names a tag, whichever way it was packed."""
    named = {part.strip().removeprefix("W/").strip('"').removesuffix("-gzip") for part in header.split(",")}
    return tag in named or "*" in named


def accepts_gzip(request: Request) -> bool:
    """True where the client takes gzip."""
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = part.partition(";")
        if name.strip() in ("gzip", "*"):
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", quality)
    return False


def tag_of(info: dict) -> str:
    """A digest that changes when a file is written again; an object's own tag where it has one."""
    facts = ("ETag", "size", "mtime", "ino", "created", "LastModified")
    return hashlib.sha256("|".join(str(info.get(fact, "")) for fact in facts).encode()).hexdigest()[:20]


def info_of(place: Location) -> dict | None:
    """What the store knows of a file, or None where there is none (or a folder).

    Raises
    ------
    Unavailable
        The store doesn't answer.
    """
    try:
        info = place.fs.info(place.path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:  # a store that may not list says so of what isn't there, too
        log.warning("access to %s is refused: nothing is there, or the credentials are wrong", place.url)
        return None
    except ValueError:  # a name that no file can have
        return None
    except Exception:  # of the store's client, which needn't be an OSError
        place.size()  # asks again, through the layer that knows them all: `Unavailable`
        raise
    return info if info.get("type") == "file" else None


def _find(root: Location, path: str) -> Found:
    """The file at a path, if it may be seen."""
    parts = path.split("/")
    plain = len(path) <= 1024 and all(map(_plain, parts))
    public = path == START or (len(parts) > 1 and parts[0] in PUBLISHED)
    hidden = _PRIVATE.fullmatch(parts[-1]) and parts[0] in ("catalog", "pages")
    info = None
    if plain and public and not hidden:
        place = root.join(path)
        info = info_of(place) if _inside(root, place) else None
    if info is None:
        shown = path if len(path) <= 120 else path[:117] + "..."
        raise Problem(
            404,
            f"no file is published at {shown!r}: a product may have been replaced since its link was written, so ask "
            f"for its item again; folders are not listed, of a Zarr store open zarr.json",
        )
    return Found(place, path, int(info["size"]), tag_of(info))


def _plain(part: str) -> bool:
    """True for a part of a path that may name something published, in any store."""
    shown = bool(part) and part[0] != "." and "\\" not in part and part.isprintable()
    return shown and len(part.encode(errors="replace")) <= 255


def _inside(root: Location, place: Location) -> bool:
    """False for a link of the file system that leads out of the folder."""
    if not root.is_local:
        return True
    home = os.path.realpath(root.path)
    return os.path.realpath(place.path).startswith(home.rstrip(os.sep) + os.sep)


def _asked(request: Request, found: Found) -> list[tuple[int, int]] | None:
    """Ranges that a request asks for; None for the whole file."""
    header, condition = request.headers.get("range"), request.headers.get("if-range")
    if (
        header is None
        or request.scope.get("pitpulse.head", False)
        or (condition is not None and condition.strip() != f'"{found.tag}"')
    ):
        return None
    try:
        return read_ranges(header, found.size)
    except Unsatisfiable as error:
        where = {"Content-Range": f"bytes */{found.size}"}
        raise Problem(416, f"can't send {header[:80]!r} of {found.path}: {error}", where) from error


def _whole(found: Found, headers: dict, head: bool) -> Response:
    if head:
        return Response(None, 200, {**headers, "Content-Length": str(found.size)}, found.media_type)
    if found.size <= AT_ONCE:
        return Response(_read(found, 0, found.size), 200, headers, found.media_type)
    headers = {**headers, "Content-Length": str(found.size)}
    return StreamingResponse(_pieces(found, 0, found.size), 200, headers, found.media_type)


def _part(found: Found, ranges: list[tuple[int, int]], headers: dict) -> Response:
    """206: one range as it is, several as multipart/byteranges."""
    if len(ranges) == 1:
        start, stop = ranges[0]
        headers = {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{found.size}"}
        if stop - start <= AT_ONCE:
            return Response(_read(found, start, stop), 206, headers, found.media_type)
        headers["Content-Length"] = str(stop - start)
        return StreamingResponse(_pieces(found, start, stop), 206, headers, found.media_type)
    border = f"part-{found.tag}"
    heads = [
        f"\r\n--{border}\r\nContent-Type: {found.media_type}\r\n"
        f"Content-Range: bytes {start}-{stop - 1}/{found.size}\r\n\r\n".encode()
        for start, stop in ranges
    ]
    end = f"\r\n--{border}--\r\n".encode()
    length = sum(map(len, heads)) + sum(stop - start for start, stop in ranges) + len(end)

    def content() -> Iterator[bytes]:
        for head, (start, stop) in zip(heads, ranges, strict=True):
            yield head
            yield from _pieces(found, start, stop)
        yield end

    headers = {**headers, "Content-Length": str(length)}
    return StreamingResponse(content(), 206, headers, f"multipart/byteranges; boundary={border}")


def _pieces(found: Found, start: int, stop: int) -> Iterator[bytes]:
    for place in range(start, stop, AT_ONCE):
        yield _read(found, place, min(place + AT_ONCE, stop))


def _read(found: Found, start: int, stop: int) -> bytes:
    data = bytes(found.place.ranges("", [start], [stop])[0])
    if len(data) != stop - start:  # replaced between the question for its size and this
        log.warning("%s has become shorter while it was read", found.path)
        raise Unavailable(f"{found.place.url} changed while it was read")
    return data
