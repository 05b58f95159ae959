"""Sentinel-1 products as they are delivered: a SAFE folder or a zip of one, at any URL.

Only the manifest and the annotations asked for are read. Samples are read by `measurement`, through the same container.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import BadInput, BadProduct, brief
from ..limits import HEADER_BYTES, MANIFEST_BYTES, MIB, XML_BYTES, ZIP_MEMBERS
from ..model import Product, Swath
from ..storage import Location, open_store
from .annotation import POLARIZATIONS, Manifest, parse_annotation, parse_manifest

MANIFEST = "manifest.safe"
ANNOTATION = re.compile(r"(?:annotation/)?(s1[a-z]-iw[123]-slc-(vv|vh|hh|hv)-[0-9a-z-]+)\.xml", re.IGNORECASE)
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError, struct.error)


class Source(Protocol):
    """One file of a product, wherever it lies."""

    name: str

    def size(self) -> int:
        """Bytes."""
        ...

    def ranges(self, starts: Sequence[int], stops: Sequence[int], max_gap: int | None = None) -> list[memoryview]:
        """Bytes ``starts[i]:stops[i]``; shorter where the file ends before. ``max_gap`` as in `Location.ranges`."""
        ...


class Container(Protocol):
    """Where the files of one product lie."""

    granule: str

    def names(self) -> list[str]:
        """Paths in the product of the manifest, annotations and measurements."""
        ...

    def read(self, name: str, limit: int = XML_BYTES) -> bytes:
        """Content of a small file, of at most ``limit + 1`` bytes: whoever reads it refuses what is longer."""
        ...

    def source(self, name: str) -> Source:
        """A file to read byte ranges from."""
        ...


@dataclass(frozen=True, eq=False)
class _FileSource:
    """A file of its own, or (``offset``) one that lies uncompressed in a larger one."""

    location: Location
    path: str
    name: str
    offset: int = 0
    length: int | None = None

    def size(self) -> int:
        return self.location.size(self.path) if self.length is None else self.length

    def ranges(self, starts, stops, max_gap=None):
        clip = (lambda v: v) if self.length is None else (lambda v: min(v, self.length))  # not into the next member
        begin, stop = ([self.offset + clip(int(v)) for v in values] for values in (starts, stops))
        return self.location.ranges(self.path, begin, stop, max_gap)


@dataclass(frozen=True, eq=False)
class Folder:
    """A SAFE folder; a flat one, with annotations beside the manifest, will do.

    Links are followed, out of the folder too: archives made of links are common. Wherever they lead, there must be a
    file, which is held against the same limits; of what isn't a product's file, no more than 60 characters get into a
    message.
    """

    location: Location

    @property
    def granule(self) -> str:
        """Name of the folder without ``.SAFE``."""
        return _granule(self.location.name)

    def names(self) -> list[str]:
        """See `Container`."""
        top = self.location.list()
        nested = [f"{f}/{n}" for f in ("annotation", "measurement") if f in top for n in self.location.list(f)]
        return [n for n in top if n not in ("annotation", "measurement")] + nested

    def read(self, name: str, limit: int = XML_BYTES) -> bytes:
        """See `Container`."""
        self._check_file(name)
        return self.location.read_bytes(name, limit)

    def source(self, name: str) -> Source:
        """See `Container`."""
        self._check_file(name)
        return _FileSource(self.location, name, name)

    def _check_file(self, name: str) -> None:
        """Refuse what is there, but no file: that is the product's fault, not the disk's."""
        path = f"{self.location.path}/{name}"
        if self.location.is_local and os.path.lexists(path) and not os.path.isfile(path):
            raise BadProduct(
                f"{self.location.url}: expected the file {name}, found a pipe, a device or a link to no file; refused"
            )


class Archive:
    """A zip with one SAFE folder, at any depth. Stored members are read by byte range, deflated ones in a stream."""

    def __init__(self, location: Location):
        self.location = location
        try:
            file = location.open(budget=HEADER_BYTES)
            self._zip = zipfile.ZipFile(file)
        except _UNREADABLE as error:
            raise BadProduct(
                f"{location.url}: expected a zip, found something unreadable ({brief(error)}); download it again"
            ) from error
        file.budget = None  # of members, as much is read as is asked for
        members = self._zip.infolist()
        _check_members(members, location.size(), location.url)
        manifests = [
            m.filename for m in members if re.search(r"(^|/)manifest\.safe$", m.filename) and not _is_litter(m.filename)
        ]
        if len(manifests) != 1:
            raise BadProduct(f"{location.url}: expected one product in the zip, found {len(manifests)} {MANIFEST}")
        self._root = manifests[0].removesuffix(MANIFEST)
        self._members = {
            m.filename.removeprefix(self._root): m
            for m in members
            if m.filename.startswith(self._root) and not m.is_dir() and not _is_litter(m.filename)
        }

    @property
    def granule(self) -> str:
        """Name of the inner folder without ``.SAFE``, or of the zip where there is none."""
        return _granule(self._root.rstrip("/").rsplit("/", 1)[-1] or self.location.name)

    def names(self) -> list[str]:
        """See `Container`."""
        return list(self._members)

    def read(self, name: str, limit: int = XML_BYTES) -> bytes:
        """See `Container`."""
        try:
            with self._zip.open(self._members[name]) as file:
                return _unpacked(file, limit + 1)
        except _UNREADABLE as error:
            raise BadProduct(
                f"{self.location.url}: {name} can't be unpacked ({brief(error)}); download the product again"
            ) from error

    def source(self, name: str) -> Source:
        """See `Container`."""
        member = self._members[name]
        if member.compress_type != zipfile.ZIP_STORED:
            return _StreamSource(self._zip, member, f"{self.location.url}:{name}")
        # The local header repeats the name and has an extra field of its own length: only it says where the data begin.
        header = bytes(self.location.ranges("", [member.header_offset], [member.header_offset + 30])[0])
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise BadProduct(
                f"{self.location.url}: expected a member header before {name}, found none; download it again"
            )
        extra = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        return _FileSource(self.location, "", name, member.header_offset + 30 + extra, member.file_size)


@dataclass(eq=False)
class _StreamSource:
    """A deflated member: going on costs what lies between, going back starts again from the front."""

    archive: zipfile.ZipFile
    member: zipfile.ZipInfo
    name: str
    _file: zipfile.ZipExtFile | None = field(default=None, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def size(self) -> int:
        return self.member.file_size

    def ranges(self, starts, stops, max_gap=None):
        found: list[memoryview] = [memoryview(b"")] * len(starts)
        try:
            with self._lock:
                if self._file is None:
                    self._file = self.archive.open(self.member)
                for i in sorted(range(len(starts)), key=starts.__getitem__):
                    self._file.seek(int(starts[i]))  # reads on in pieces of bounded size
                    found[i] = memoryview(_unpacked(self._file, int(stops[i]) - int(starts[i])))
        except _UNREADABLE as error:
            raise BadProduct(f"{self.name}: can't be unpacked ({brief(error)}); download the product again") from error
        return found


def open_product(
    url: str,
    polarization: str | None = None,
    storage_options: dict | None = None,
    swaths: Collection[str] | None = None,
) -> Product:
    """What a SAFE folder or zip says of itself, without its samples; parameters as of `products.Reader`.

    Returns
    -------
    Product
        Swaths ordered by polarization, then IW1 to IW3; ``measurement`` is None where samples are absent.

    Raises
    ------
    BadProduct
        Not an IW SLC product, no annotation, no such polarization, unreadable or hostile content.
    BadInput
        The polarization is none that Sentinel-1 has.
    Unavailable
        The URL can't be read.
    """
    check_polarization(polarization)
    location = open_store(url, **(storage_options or {}))
    container = open_container(location)
    names = container.names()
    if MANIFEST not in names:
        raise BadProduct(
            f"{location.url}: expected a SAFE product with {MANIFEST}, found none; give the .SAFE folder or its zip"
        )
    manifest = parse_manifest(container.read(MANIFEST, MANIFEST_BYTES), f"{location.url}: {MANIFEST}")
    check_mode(manifest, location.url)
    found = _swaths(container, _of_swaths(names, swaths), manifest, polarization, location.url)
    return product_of(str(url), container.granule, manifest, found)


def product_of(url: str, granule: str, manifest: Manifest, swaths: tuple[Swath, ...]) -> Product:
    """A product with the facts of its manifest."""
    return Product(
        url=url,
        granule=granule,
        platform=manifest.platform,
        track=manifest.start_track,
        absolute_orbit=manifest.absolute_orbit,
        orbit_pass=manifest.orbit_pass,
        processor_version=manifest.processor_version,
        swaths=swaths,
    )


def check_mode(manifest: Manifest, name: str) -> None:
    """`BadProduct` unless it is of an IW SLC product; messages call it ``name``."""
    if (manifest.mode, manifest.product_type) != ("IW", "SLC"):
        raise BadProduct(f"{name}: expected an IW SLC product, found {manifest.mode} {manifest.product_type}")


def check_polarization(polarization: str | None) -> None:
    """`BadInput` unless it is one that Sentinel-1 has, or None."""
    if polarization is not None and polarization.upper() not in POLARIZATIONS:
        raise BadInput(f"polarization must be one of {', '.join(POLARIZATIONS)}, instead got {polarization!r}")


def _of_swaths(names: list[str], swaths: Collection[str] | None) -> list[str]:
    """The product's files without the annotations of other swaths."""
    if swaths is None:
        return names
    wanted = {swath.lower() for swath in swaths}
    matched = ((name, ANNOTATION.fullmatch(name)) for name in names)
    return [name for name, match in matched if not match or match[1].split("-")[1].lower() in wanted]


def open_container(location: Location) -> Container:
    """The product's files: in a folder, in the only ``.SAFE`` folder of a folder, or in a zip."""
    if not location.is_folder():
        return Archive(location)
    folder = Folder(location)
    top = location.list()
    inner = [name for name in top if name.upper().endswith(".SAFE") and name != MANIFEST]
    return Folder(location.join(inner[0])) if MANIFEST not in top and len(inner) == 1 else folder


def _swaths(
    container: Container, names: list[str], manifest: Manifest, polarization: str | None, url: str
) -> tuple[Swath, ...]:
    found = [(match, name) for name in names if (match := ANNOTATION.fullmatch(name))]
    if not found:
        raise BadProduct(
            f"{url}: expected annotations (annotation/s1*-iw*-slc-*.xml), found none; the product is incomplete"
        )
    if polarization is not None:
        have = sorted({match[2].upper() for match, _ in found})
        found = [(match, name) for match, name in found if match[2].upper() == polarization.upper()]
        if not found:
            raise BadProduct(
                f"{url}: expected polarization {polarization.upper()}, found {', '.join(have)}; ask for one of these"
            )
    twice = [key for key, count in Counter(_kind(match) for match, _ in found).items() if count > 1]
    if twice:
        raise BadProduct(f"{url}: expected one annotation of each swath and polarization, found several {twice[0]}")
    tiffs = {
        re.sub(r"\.tiff?$", "", n.removeprefix("measurement/")).lower(): n for n in names if re.search(r"\.tiff?$", n)
    }
    swaths = [
        parse_annotation(container.read(name), manifest, name, tiffs.get(match[1].lower())) for match, name in found
    ]
    return tuple(sorted(swaths, key=lambda s: (POLARIZATIONS.index(s.polarization), s.swath)))


def _kind(annotation: re.Match) -> str:
    """Swath and polarization that the name of an annotation states: ``iw2-slc-vv``."""
    return annotation[1].lower()[4:14]


def _unpacked(file: zipfile.ZipExtFile, size: int) -> bytes:
    """At most ``size`` bytes, a piece at a time: in one step, zipfile would read as many packed ones at once."""
    parts = []
    while size > 0 and (part := file.read(min(size, MIB))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _check_members(members: list[zipfile.ZipInfo], size: int, url: str) -> None:
    """Refuse what leads out of the archive, what claims more than it holds, and what no product needs.

    Members that share bytes or are stored in fewer than they have are how a small zip unpacks to a large one.
    """
    if len(members) > ZIP_MEMBERS:
        raise BadProduct(f"{url}: expected at most {ZIP_MEMBERS} members in the zip, found {len(members)}; refused")
    if len({m.filename for m in members}) < len(members):
        raise BadProduct(f"{url}: expected every name once in the zip, found one twice; refused")
    for member in members:
        name = member.filename
        unsafe = name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/") or len(name) > 1000
        if unsafe or not name.isprintable():
            raise BadProduct(f"{url}: expected plain relative names in the zip, found {name[:80]!r}; refused")
        if member.flag_bits & 1:
            raise BadProduct(f"{url}: expected an open zip, found the encrypted member {name!r}")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BadProduct(f"{url}: expected files in the zip, found the link or device {name!r}; refused")
        stored = member.compress_type == zipfile.ZIP_STORED
        if not stored and member.compress_type != zipfile.ZIP_DEFLATED:
            kind = zipfile.compressor_names.get(member.compress_type, member.compress_type)
            raise BadProduct(
                f"{url}: expected members stored or deflated, found {name!r} packed by {kind}; pack it again"
            )
        if stored and member.compress_size != member.file_size:
            raise BadProduct(
                f"{url}: expected {member.file_size} bytes of the stored {name!r}, found {member.compress_size}"
            )
    order = sorted(members, key=lambda m: m.header_offset)
    begins = [m.header_offset for m in order] + [size]
    for member, stop in zip(order, begins[1:], strict=True):
        if member.header_offset < 0 or member.header_offset + 30 + member.compress_size > stop:
            raise BadProduct(
                f"{url}: expected members one after the other in {size} bytes, found {member.filename!r} to reach into "
                "the next one or beyond the end; refused"
            )


def _is_litter(name: str) -> bool:
    """Files that desktop archivers add."""
    return name.startswith("__MACOSX/") or "/__MACOSX/" in name or name.rsplit("/", 1)[-1].startswith("._")


def _granule(name: str) -> str:
    return re.sub(r"\.(SAFE|zip)$", "", re.sub(r"\.zip$", "", name, flags=re.IGNORECASE), flags=re.IGNORECASE)
