"""Bursts that the Alaska Satellite Facility cut out of a product: a TIFF and an XML each.

    {granule}/{swath}/{polarization}/{index}.tiff    S1A_IW_SLC__1SDV_…_7C85/IW2/VV/7.tiff
    {granule}/{swath}/{polarization}/{index}.xml

The TIFF holds the samples of one burst as the product's measurement does (16-bit complex integers, one uncompressed
strip a line). The XML is no cut: ``<burst>`` holds ``<manifest>`` with the product's whole manifest, and ``<metadata>``
with one ``<product>``, ``<calibration>`` and ``<noise>`` a swath and polarization, in each ``<swath>``,
``<polarisation>`` and ``<content>``, in which the annotation's elements stand. Which burst it is only the file's name
says: its place in the swath's burst list, from 0.

Sources: the extractor's API (sentinel1-burst-documentation.asf.alaska.edu) for names and index; for the XML what the
readers of ASF's own tools look for (ASFHyP3/burst2safe 1.x, ASFHyP3/hyp3-isce2); the TIFF's format by users' reports.
Tested on replicas made from them; no delivered pair was at hand.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from xml.etree.ElementTree import Element, tostring

import numpy as np

from ..constants import IW_SWATHS
from ..errors import BadProduct, brief
from ..limits import FIRST_YEAR, LAST_YEAR, XML_BYTES
from ..model import Product, Swath
from ..storage import Location, open_store
from .annotation import Manifest, parse_annotation, parse_manifest
from .measurement import read_header
from .safe import POLARIZATIONS, Folder, check_mode, check_polarization, product_of
from .xml_nodes import read_xml

HEAD = 64 * 1024  # bytes: the manifest comes first and has the checksums of all files, so XMLs alike so far are one
MARGIN = np.timedelta64(5, "s")  # a burst may begin that long before the time in the name, which counts otherwise
_FILE = re.compile(r"(0|[1-9]\d?)\.(tiff|xml)")
GRANULE = re.compile(r"(S1[A-D])_IW_SLC__1S[SD][HV]_(\d{8}T\d{6})_(\d{8}T\d{6})_(\d{6})_[0-9A-F]{6}_[0-9A-F]{4}")


@dataclass(frozen=True, order=True)
class BurstFiles:
    """Where one burst lies in its granule's folder, and which of its files are there."""

    polarization: str
    swath: str
    index: int
    present: frozenset[str] = field(compare=False)

    @property
    def name(self) -> str:
        """``IW2/VV/7``."""
        return f"{self.swath}/{self.polarization}/{self.index}"

    @property
    def files(self) -> list[str]:
        """Paths in the folder, the TIFF first."""
        return [f"{self.name}.{kind}" for kind in ("tiff", "xml") if kind in self.present]


@dataclass(frozen=True, eq=False)
class Extracted:
    """What a granule's folder holds: the manifest, a `Swath` for every usable burst, names and reasons of the rest.

    ``revision`` is a checksum of the manifest and of which bursts can be used.
    """

    manifest: Manifest
    swaths: tuple[Swath, ...]
    broken: tuple[tuple[str, str], ...]
    revision: str


def recognises(location: Location) -> bool:
    """True where a folder is named after a granule and has a folder of a swath."""
    return bool(
        GRANULE.fullmatch(location.name) and location.is_folder() and not {*IW_SWATHS}.isdisjoint(location.list())
    )


def find_bursts(location: Location) -> list[BurstFiles]:
    """Every burst of which there is a file, by polarization, swath and index."""
    found = []
    for swath in sorted({*IW_SWATHS} & {*location.list()}):
        for polarization in sorted({*POLARIZATIONS} & {*location.list(swath)}):
            files = [m for name in location.list(f"{swath}/{polarization}") if (m := _FILE.fullmatch(name))]
            for index in sorted({int(m[1]) for m in files}):
                here = frozenset(m[2] for m in files if int(m[1]) == index)
                found.append(BurstFiles(polarization, swath, index, here))
    return sorted(found, key=lambda b: (POLARIZATIONS.index(b.polarization), b.swath, b.index))


def open_product(
    url: str,
    polarization: str | None = None,
    storage_options: dict | None = None,
    swaths: Collection[str] | None = None,
) -> Product:
    """The bursts of a granule that are there, as their annotation says of them; see `products.Reader`.

    Every burst is a `Swath` of its own, since its samples are a file of their own. ``Burst.index`` counts in the
    granule as it does in the whole product. Bursts that can't be used are left out (`read_bursts` tells which).

    Raises
    ------
    BadProduct
        No burst of the polarization can be used, or the folder isn't named after its granule.
    BadInput
        The polarization is none that Sentinel-1 has.
    Unavailable
        The URL can't be read.
    """
    check_polarization(polarization)
    location = open_store(url, **(storage_options or {}))
    found = read_bursts(location, polarization, swaths)
    return product_of(str(url), location.name, found.manifest, found.swaths)


def read_bursts(
    location: Location, polarization: str | None = None, swaths: Collection[str] | None = None
) -> Extracted:
    """Annotations and TIFF headers of a granule's bursts, each checked against the other and the granule's name.

    Parameters
    ----------
    location : Location
        The granule's folder.
    polarization : {"VV", "VH", "HH", "HV"}, optional
        Only this one's bursts. Default: all.
    swaths : collection of str, optional
        Only these swaths', such as ``{"IW2"}``. Default: all. Where the granule has bursts of other swaths alone, the
        manifest comes without any.

    Raises
    ------
    BadProduct
        None of these bursts can be used; says why of the first.
    Unavailable
        A file can't be read.
    """
    if not GRANULE.fullmatch(location.name):
        raise BadProduct(f"{location.url}: expected a folder named after its granule (S1A_IW_SLC__1SDV_…); rename it")
    every = find_bursts(location)
    pairs = [p for p in every if polarization is None or p.polarization == polarization.upper()]
    if not pairs:
        have = ", ".join(sorted({p.polarization for p in every})) or "no burst"
        raise BadProduct(f"{location.url}: expected bursts of {polarization or 'any polarization'}, found {have}")
    wanted = [p for p in pairs if swaths is None or p.swath in {s.upper() for s in swaths}]
    documents, found, broken = _Documents(location), [], []
    manifest = None
    for pair in wanted or pairs:
        try:
            document = _document(documents, pair, location)
            swath = _burst(document, pair, location)
        except BadProduct as error:
            broken.append((pair.name, str(error)))
            continue
        manifest = manifest or document
        if wanted:
            found.append(swath)
        else:
            break
    if manifest is None:
        raise BadProduct(broken[0][1])
    digest = hashlib.sha256(tostring(manifest.element))
    digest.update(" ".join(swath.measurement for swath in found).encode())
    return Extracted(manifest.manifest, tuple(found), tuple(broken), digest.hexdigest()[:16])


@dataclass(eq=False)
class _Document:
    """One XML: its manifest, and the annotations that were asked for."""

    name: str
    root: Element
    element: Element  # the manifest's
    manifest: Manifest
    _swaths: dict[tuple[str, str], Swath] = field(default_factory=dict)

    def annotation(self, swath: str, polarization: str) -> Swath:
        """The whole swath in one polarization, without samples."""
        key = swath, polarization
        if key not in self._swaths:
            self._swaths[key] = parse_annotation(self._content(*key), self.manifest, f"{self.name}: {swath}")
        return self._swaths[key]

    def _content(self, swath: str, polarization: str) -> Element:
        found = []
        for product in self.root.iterfind("metadata/product"):
            here = (product.findtext("swath", "").strip(), product.findtext("polarisation", "").strip().upper())
            content = product.find("content")
            if here == (swath, polarization) and content is not None:
                return content
            found.append(" ".join(here))
        raise BadProduct(
            f"{self.name}: expected the annotation of {swath} {polarization}, found {', '.join(found) or 'none'}; it "
            f"belongs to other bursts: download the pair again"
        )


class _Documents:
    """The XMLs of a granule. All its bursts' are alike: what begins alike and is as long isn't read again."""

    def __init__(self, location: Location):
        self._location = location
        self._known: dict[tuple[int, bytes], _Document] = {}

    def get(self, path: str) -> _Document:
        size, head = self._location.size(path), bytes(self._location.ranges(path, [0], [HEAD])[0])
        if (size, head) not in self._known:
            self._known[size, head] = self._read(path)
        return self._known[size, head]

    def _read(self, path: str) -> _Document:
        name = f"{self._location.url}/{path}"
        root = read_xml(self._location.read_bytes(path, limit=XML_BYTES), name)
        element = root.find("manifest/{*}XFDU")
        if element is None or root.find("metadata") is None:
            raise BadProduct(
                f"{name}: expected a burst's XML with <manifest> and <metadata>, found <{root.tag}> without; download "
                f"the pair again"
            )
        manifest = parse_manifest(element, name)
        check_mode(manifest, name)
        return _Document(name, root, element, manifest)


def _document(documents: _Documents, pair: BurstFiles, location: Location) -> _Document:
    for kind, other in (("tiff", "xml"), ("xml", "tiff")):
        if kind not in pair.present:
            raise BadProduct(
                f"{location.url}/{pair.name}: expected {pair.index}.{kind} beside {pair.index}.{other}, found none; "
                f"download it too"
            )
    return documents.get(f"{pair.name}.xml")


def _burst(document: _Document, pair: BurstFiles, location: Location) -> Swath:
    """The burst as a swath of its own, its TIFF's header checked."""
    whole = document.annotation(pair.swath, pair.polarization)
    _check_granule(document, whole, location.name)
    if pair.index >= len(whole.bursts):
        raise BadProduct(
            f"{document.name}: expected a burst {pair.index} (from 0) in {pair.swath}, found {len(whole.bursts)} bursts"
        )
    burst = whole.bursts[pair.index]
    files = {"annotation": f"{pair.name}.xml", "measurement": f"{pair.name}.tiff"}
    swath = replace(whole, **files, lines=burst.lines, bursts=(burst,))
    read_header(Folder(location).source(swath.measurement), swath, f"{location.url}/{swath.measurement}")
    return swath


def _check_granule(document: _Document, swath: Swath, granule: str) -> None:
    """An XML of another granule would give the samples another time and orbit: refused."""
    platform, start, stop, orbit = GRANULE.fullmatch(granule).groups()
    times = np.array([burst.azimuth_time for burst in swath.bursts])
    found = document.manifest.platform, document.manifest.absolute_orbit
    try:
        inside = name_time(start) - MARGIN <= times.min() and times.max() <= name_time(stop) + MARGIN
    except ValueError as error:
        raise BadProduct(f"{granule}: expected times in the granule's name, found none ({brief(error)})") from error
    if found != (platform, int(orbit)) or not inside:
        raise BadProduct(
            f"{document.name}: expected the annotation of {granule}, found one of {found[0]}, orbit {found[1]}, "
            f"{times.min().astype('datetime64[s]')} to {times.max().astype('datetime64[s]')}; it belongs to another "
            f"granule: download the pair again"
        )


def name_time(text: str) -> np.datetime64:
    """A time as names have it, ``20210304T164325``: datetime64[ns]. ValueError where it is none."""
    if not FIRST_YEAR <= int(text[:4]) <= LAST_YEAR:  # numpy would count some years round the clock
        raise ValueError(f"not a time of {FIRST_YEAR} to {LAST_YEAR}: {text}")
    return np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:11]}:{text[11:13]}:{text[13:15]}", "ns")
