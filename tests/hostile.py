"""Files made to crash, hang or exhaust their reader, and a process of its own that reads them and measures itself.

As a program: ``python -m tests.hostile FOLDER`` makes every case below a folder, reads it and prints a line of JSON:
the error's class and message, seconds of computing, and the bytes that the process grew by at most.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .test_reader import BURSTS, GRANULE, LINES, SAMPLES, STEM, annotation_xml, digital_numbers, files, tiff

ANNOTATION, SAMPLES_AT = f"annotation/{STEM}.xml", f"measurement/{STEM}.tiff"
GIB = 1024**3
CASES: dict[str, tuple[Callable[[Path], str], str, str]] = {}  # makes it and gives its place; how it is read; expected
INSTANT = np.datetime64("2021-06-24T17:24:52")


def case(kind: str, expected: str, name: str = ""):
    """Register a function that makes a hostile file in a folder; ``expected`` is a pattern of the message."""

    def keep(make):
        CASES[name or make.__name__] = (make, kind, expected)
        return make

    return keep


def folder(root: Path, **changed: bytes) -> Path:
    """A SAFE folder with some files replaced: ``annotation``, ``measurement``, ``manifest``."""
    content = files(tiff(digital_numbers()))
    for word, data in changed.items():
        content[{"annotation": ANNOTATION, "measurement": SAMPLES_AT, "manifest": "manifest.safe"}[word]] = data
    for name, data in content.items():
        path = root / f"{GRANULE}.SAFE" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root / f"{GRANULE}.SAFE"


def sparse(path: Path, size: int, head: bytes = b"") -> None:
    """A file of ``size`` bytes that occupies hardly any."""
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(size)


def bomb(size: int, head: bytes = b"") -> bytes:
    """A raw deflate stream of ``head`` and zeros that unpacks to ``size`` bytes, made without packing them all."""
    unit = 8 * 1024 * 1024
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = packer.compress(bytes(unit)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + zeros * ((size - len(head)) // unit) + b"\x03\x00"


def zipped(root: Path, members: list[tuple]) -> str:
    """A zip written byte by byte: (name, packed bytes, real size, {field: value}) each; crc is not right."""
    out, directory = bytearray(), bytearray()
    for name, data, size, fields in members:
        given = {"method": 0, "flags": 0, "attributes": 0, "offset": len(out), "packed": len(data), "crc": 0} | fields
        text = name.encode()
        facts = (given["flags"], given["method"], 0, 0, given["crc"], given["packed"], size, len(text), 0)
        out += struct.pack("<4s5H3I2H", b"PK\3\4", 20, *facts) + text + data
        directory += struct.pack(
            "<4s6H3I5H2I", b"PK\1\2", 0x0314, 20, *facts, 0, 0, 0, given["attributes"], given["offset"]
        )
        directory += text
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(members), len(members), len(directory), len(out), 0)
    path = root / f"{GRANULE}.zip"
    path.write_bytes(out + directory + end)
    return str(path)


def whole(**changed) -> list[tuple]:
    """The members of a good product, stored."""
    return [
        (f"{GRANULE}.SAFE/{name}", data, len(data), {"crc": zlib.crc32(data)})
        for name, data in files(tiff(digital_numbers()), **changed).items()
    ]


def edit(*pairs: tuple[str, str]) -> bytes:
    """The annotation with some texts replaced, which must be there."""
    text = annotation_xml().decode()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text.encode()


# --- XML --------------------------------------------------------------------------------------------

XML = {
    "two hundred thousand attributes": (
        b"<a " + b" ".join(b'a%d=""' % k for k in range(200_000)) + b"/>",
        "expected at least one <adsHeader>",
    ),
    "as long names as may be": (
        b'<a xmlns="' + b"u" * 1200 + b'">' + b"".join(b"<b%d/>" % k for k in range(50_000)) + b"</a>",
        "expected at least one <adsHeader>",
    ),
    "tags without end": (b"<a>" + b"<b/>" * 3_000_000 + b"</a>", "expected at most 600000 tags and attributes"),
    "attributes without end": (
        b"<a " + b" ".join(b'a%d=""' % k for k in range(610_000)) + b"/>",
        "expected at most 600000 tags and attributes",
    ),
    "a namespace that every tag repeats": (
        b'<a xmlns="' + b"u" * 50_000 + b'">' + b"".join(b"<b%d/>" % k for k in range(20_000)) + b"</a>",
        "short names of namespaces",
    ),
    "a namespace hidden by text": (
        b"<a>=\"<b xmlns='" + b"u" * 50_000 + b"'>" + b"".join(b"<b%d/>" % k for k in range(20_000)) + b"</b></a>",
        "short names of namespaces",
    ),
    "nested without end": (b"<a>" * 50_000 + b"</a>" * 50_000, "expected at least one <adsHeader>"),
    "one long text": (b"<a>" + "\U0001f4a3".encode() + b"x" * 15_000_000 + b"</a>", "expected at least one"),
    "entities in entities": (
        b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">'
        + b"".join(b'<!ENTITY c%d "%s">' % (k, b"&c%d;" % (k - 1) * 10 if k else b"&b;" * 10) for k in range(12))
        + b"]><a>&c11;</a>",
        "document type or entity declaration; refused",
    ),
    "an outer file": (
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>',
        "document type or entity declaration; refused",
    ),
    "two bytes a character": ("<a/>".encode("utf-16"), "expected XML in UTF-8, found bytes of zero"),
    "an encoding that there isn't": (b'<?xml version="1.0" encoding="x-none"?><a/>', "expected XML, found something"),
    "a number beyond floats": (edit((">0.002<", ">1e300<")), "1e-05 to 0.1 in <azimuthTimeInterval>, found 1e\\+300"),
    "no number": (edit((">0.002<", ">nan<")), "1e-05 to 0.1 in <azimuthTimeInterval>, found nan"),
    "a negative interval": (edit((">0.002<", ">-0.002<")), "in <azimuthTimeInterval>, found -0.002"),
    "an infinite rate": (edit((">6.4e7<", ">inf<")), "in <rangeSamplingRate>, found inf"),
    "bursts without end": (
        edit((f">{LINES}</linesPerBurst", ">2147483647</linesPerBurst")),
        "expected 1 to 3000 in <linesPerBurst>, found 2147483647",
    ),
    "lines without end": (
        edit((f">{SAMPLES}</samplesPerBurst", ">9999999999</samplesPerBurst")),
        "expected 1 to 60000 in <samplesPerBurst>",
    ),
    "a burst as large as both allow": (
        edit((f">{LINES}</linesPerBurst", ">3000</linesPerBurst"), (f">{SAMPLES}</samples", ">60000</samples")),
        "expected at most 100000000 samples a burst",
    ),
    "no lines": (edit((f">{LINES}</linesPerBurst", ">0</linesPerBurst")), "1 to 3000 in <linesPerBurst>, found 0"),
    "a thousand digits": (edit((f">{LINES}<", f">{'9' * 1000}<")), "expected at most 200 characters"),
    "one burst too many": (
        edit(("</burstList>", "<burst/>" * 98 + "</burstList>")),
        "expected at most 100 <burstList/burst>, found more",
    ),
    "too many Doppler records": (
        edit(("</dcEstimateList>", "<dcEstimate/>" * 1000 + "</dcEstimateList>")),
        "expected at most 1000 <dopplerCentroid/dcEstimateList/dcEstimate>",
    ),
    "too many orbit vectors": (
        edit(("</orbitList>", "<orbit/>" * 1000 + "</orbitList>")),
        "at most 1000 <generalAnnotation/orbitList/orbit>",
    ),
    "too many grid points": (
        edit(("</geolocationGridPointList>", "<geolocationGridPoint/>" * 20_000 + "</geolocationGridPointList>")),
        "at most 20000 <geolocationGrid/",
    ),
    "a polynomial without end": (
        edit(("<dataDcPolynomial>0.0", f"<dataDcPolynomial>{'1 ' * 3_000_000}")),
        "at most 640 characters in <dataDcPolynomial>",
    ),
    "an infinite coefficient": (edit(("<dataDcPolynomial>0.0", "<dataDcPolynomial>inf")), "expected finite coeff"),
    "valid samples without end": (
        edit(("<firstValidSample>", f"<firstValidSample>{'1 ' * 1_000_000}")),
        "at most 96000 characters in <firstValidSample>",
    ),
    "the year 9999": (edit((str(INSTANT), "9999-06-24T17:24:52")), "expected a UTC time of 2000 to 2099 in <azimuth"),
    "the time of reading": (edit((f"<azimuthTime>{INSTANT}.000000", "<azimuthTime>now")), "expected a UTC time"),
    "bursts before the orbit": (
        edit(("<burst><azimuthTime>2021", "<burst><azimuthTime>2011")),
        "expected bursts between the orbit's ends",
    ),
    "a polarization that is none": (edit((">VV<", ">XX<")), "expected VV or VH or HH or HV in <polarisation>"),
    "a pass that is none": (edit((">Ascending<", ">sideways<")), "expected ascending or descending in <pass>"),
    "a platform that is none": (edit((">S1A<", ">../..<")), "expected a platform such as S1A, found '../..'"),
    "an orbit at infinity": (edit(("<x>7000001.0<", "<x>1e308<")), "expected -1e\\+07 to 1e\\+07 in <x>"),
    "a burst number beyond all": (
        edit(("<firstValid", "<burstId>9999999999999999999999</burstId><firstValid")),
        "1 to 400000 in <burstId>",
    ),
}  # fmt: skip
for _name, (_xml, _expected) in XML.items():
    case("product", f"annotation/{STEM}.xml: .*{_expected}" if "," not in _name else _expected, _name)(
        lambda root, xml=_xml: str(folder(root, annotation=xml))
    )


@case("product", "expected at most 16777216 bytes of XML, found more")
def an_annotation_of_a_gibibyte(root):
    place = folder(root)
    sparse(place / ANNOTATION, GIB, b"<product>")
    return str(place)


@case("product", "manifest.safe: expected at most 1048576 bytes of XML, found more")
def a_manifest_of_a_gibibyte(root):
    place = folder(root)
    sparse(place / "manifest.safe", GIB, b"<a>")
    return str(place)


@case("product", "manifest.safe: expected 1 to 175 in <relativeOrbitNumber>, found 9{60}$")
def a_track_beyond_all(root):
    manifest = files()["manifest.safe"].replace(b">88<", b">" + b"9" * 150 + b"<")
    return str(folder(root, manifest=manifest))


@case("product", "expected one annotation of each swath and polarization, found several iw2-slc-vv")
def a_thousand_annotations(root):
    place = folder(root)
    for k in range(1000):
        (place / "annotation" / f"s1a-iw2-slc-vv-{k}.xml").write_bytes(b"<a/>")
    return str(place)


# --- links and devices ------------------------------------------------------------------------------


def _replaced(root: Path, make: Callable[[Path], None], name: str = ANNOTATION) -> str:
    place = folder(root)
    (place / name).unlink()
    make(place / name)
    return str(place)


@case("product", f"expected the file {ANNOTATION}, found a pipe, a device or a link to no file; refused")
def a_pipe_that_nobody_writes_to(root):
    return _replaced(root, os.mkfifo)


@case("product", f"expected the file {ANNOTATION}, found a pipe")
def a_link_to_a_device_without_end(root):
    return _replaced(root, lambda path: path.symlink_to("/dev/zero"))


@case("product", f"expected the file {ANNOTATION}, found a pipe")
def a_link_to_nothing(root):
    return _replaced(root, lambda path: path.symlink_to(root / "nothing"))


@case("measurement", f"expected the file {SAMPLES_AT}, found a pipe")
def a_link_to_itself(root):
    return _replaced(root, lambda path: path.symlink_to(path), SAMPLES_AT)


@case("product", "expected annotations .*found none; the product is incomplete")
def a_file_for_a_folder(root):
    place = folder(root)
    for path in (place / "annotation").rglob("*.xml"):
        path.unlink()
    (place / "annotation" / "calibration").rmdir()
    (place / "annotation").rmdir()
    (place / "annotation").write_bytes(b"")
    return str(place)


# --- zips -------------------------------------------------------------------------------------------

for _method, _kind in ((12, "bzip2"), (14, "lzma"), (97, "wavpack")):
    case("product", f"stored or deflated, found '.*' packed by {_kind}", f"a zip packed by {_kind}")(
        lambda root, method=_method: zipped(root, [*whole(), ("x", b"", 0, {"method": method})])
    )
for _name, _fields, _expected in (
    ("an encrypted member", {"flags": 1}, "expected an open zip, found the encrypted member 'x'"),
    ("a link in a zip", {"attributes": 0o120777 << 16}, "expected files in the zip, found the link or device 'x'"),
    ("a device in a zip", {"attributes": 0o020666 << 16}, "expected files in the zip, found the link or device 'x'"),
    ("a member that claims more", {"packed": 9}, "of the stored 'x', found 9"),
    ("a member beyond the end", {"method": 8, "packed": 2**31}, "one after the other in .* beyond the end"),
    ("a member within another", {"offset": 40}, "one after the other"),
):
    case("product", _expected, _name)(lambda root, fields=_fields: zipped(root, [*whole(), ("x", b"12345", 5, fields)]))
for _name, _path in (("a way up", "../x"), ("a root", "/x"), ("a drive", "c:x"), ("another slash", "..\\x")):
    case("product", "expected plain relative names in the zip", f"{_name} in a zip")(
        lambda root, path=_path: zipped(root, [*whole(), (path, b"", 0, {})])
    )


@case("product", "expected every name once in the zip, found one twice")
def one_name_twice(root):
    return zipped(root, whole() + whole()[:1])


@case("product", "expected at most 10000 members in the zip, found 30000")
def thirty_thousand_members(root):
    return zipped(root, [(f"{k}", b"", 0, {}) for k in range(30_000)])


@case("product", "expected a zip, found something unreadable .its header asks for more than")
def a_directory_of_a_gibibyte(root):
    path = root / f"{GRANULE}.zip"
    sparse(path, GIB)
    with open(path, "ab") as file:
        file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 9, 9, GIB, 0, 0))
    return str(path)


@case("product", f"annotation/{STEM}.xml: expected at most 16777216 bytes of XML, found more")
def an_annotation_that_unpacks_to_four_gibibytes(root):
    packed = bomb(4 * GIB - 1, b"<product>")
    members = [m for m in whole() if not m[0].endswith(ANNOTATION)]
    return zipped(root, [*members, (f"{GRANULE}.SAFE/{ANNOTATION}", packed, 2**32 - 1, {"method": 8})])


@case("product", f"{ANNOTATION} can't be unpacked .Bad CRC-32|expected XML, found something unreadable")
def an_annotation_longer_than_it_says(root):
    members = [m for m in whole() if not m[0].endswith(ANNOTATION)]
    return zipped(root, [*members, (f"{GRANULE}.SAFE/{ANNOTATION}", bomb(GIB, b"<a/>"), 10, {"method": 8})])


# --- measurements -----------------------------------------------------------------------------------

TAGS = {code: k for k, code in enumerate((256, 257, 258, 259, 262, 273, 277, 278, 279, 339))}


def tagged(code: int, kind: int, count: int, value: int, content: bytes | None = None, **options) -> bytes:
    """A measurement with one tag of its directory replaced."""
    data = bytearray(tiff(digital_numbers(), **options) if content is None else content)
    struct.pack_into("<HHII", data, 10 + 12 * TAGS[code], code, kind, count, value)
    return bytes(data)


MEASUREMENTS = {
    "a width of 2**31": (tagged(256, 4, 1, 2**31), "as annotated, found 21 x 2147483648"),
    "a height of nothing": (tagged(257, 4, 1, 0), "as annotated, found 0 x 2000"),
    "strips of no rows": (tagged(278, 4, 1, 0), "expected 1 strips, found 21 offsets"),
    "strips of negative rows": (tagged(278, 9, 1, 2**32 - 5), "expected a number of rows in a strip, found -5"),
    "strips of two heights": (tagged(278, 3, 2, 0x00010001), "expected 8000 bytes a line, found"),
    "strips beyond the end": (tagged(273, 4, BURSTS * LINES, 4), "truncated|unreadable"),
    "samples of 8 bits": (tagged(258, 3, 1, 8), "expected one 16-bit complex integer a pixel"),
    "a billion offsets": (tagged(273, 4, 2**30, 200), "expected 21 strips, found 0 offsets"),
    "a billion lengths of zero": (tagged(279, 4, 2**31, 0), "expected a TIFF, found something|strips"),
    "no kind that there is": (tagged(256, 99, 1, 2000), "expected a TIFF|as annotated"),
    "a directory that follows itself": (
        tiff(digital_numbers())[:130] + struct.pack("<I", 8) + tiff(digital_numbers())[134:300],
        "truncated|unreadable",
    ),
    "a directory beyond the end": (struct.pack("<2sHI", b"II", 42, 2**32 - 9), "expected a TIFF"),
    "sixty thousand tags": (struct.pack("<2sHIH", b"II", 42, 8, 60_000) + bytes(720_000), "expected a TIFF"),
    "compressed strips longer than they are": (
        tagged(279, 4, BURSTS * LINES, 8, compression=8),
        "truncated|expected compressed strips",
    ),
    "one compressed strip that claims to be short": (
        tiff(digital_numbers(), compression=8, per_strip=2)[:-500],
        "truncated",
    ),
}  # fmt: skip
for _name, (_tiff, _expected) in MEASUREMENTS.items():
    case("measurement", f"{STEM}.tiff.*(?:{_expected})", _name)(
        lambda root, data=_tiff: str(folder(root, measurement=data))
    )


@case("measurement", "expected at most 4294967296 bytes, found 5368709120")
def a_measurement_of_five_gibibytes(root):
    place = folder(root)
    sparse(place / SAMPLES_AT, 5 * GIB, tiff(digital_numbers()))
    return str(place)


@case("measurement", "its header asks for more than the \\d+ bytes that are left to it")
def a_tag_of_four_gibibytes(root):
    place = folder(root)
    sparse(place / SAMPLES_AT, 4 * GIB, tagged(273, 4, 2**30 - 1000, 300))
    return str(place)


@case("measurement", "its header asks for more than")
def a_tag_of_four_gibibytes_that_is_packed(root):
    packed = bomb(4 * GIB - 1, tagged(273, 4, 2**30 - 1000, 300))
    members = [m for m in whole() if not m[0].endswith(SAMPLES_AT)]
    return zipped(root, [*members, (f"{GRANULE}.SAFE/{SAMPLES_AT}", packed, 2**32 - 2, {"method": 8})])


@case("samples", "strip 1[0-9]? ?can't be unpacked|strip \\d+, found|truncated")
def a_strip_that_unpacks_to_a_gibibyte(root):
    values = np.zeros((BURSTS * LINES, SAMPLES, 2), np.int16)
    data = bytearray(tiff(values, compression=8))
    place = len(data)
    packed = zlib.compress(b"")[:2] + bomb(GIB)[:5000]
    data += packed
    start = 8 + 2 + 12 * 10 + 4
    for k in range(BURSTS * LINES):
        struct.pack_into("<I", data, start + 4 * k, place)
        struct.pack_into("<I", data, start + 4 * (BURSTS * LINES + k), len(packed))
    return str(folder(root, measurement=bytes(data)))


# --- orbit files, outlines, settings, heights -------------------------------------------------------


EOF = "S1A_OPER_AUX_POEORB_OPOD_20210714T121054_V20210623T225942_20210625T005942.EOF"


@case("orbit", "expected an orbit file of at most 16777216 bytes, found more")
def an_orbit_file_of_a_gibibyte(root):
    sparse(root / EOF, GIB, b"<Earth_Explorer_File>")
    return str(root / EOF)


@case("orbit", "expected an orbit file of at most 16777216 bytes, found more")
def a_zipped_orbit_file_that_unpacks_too_far(root):
    with zipfile.ZipFile(root / f"{EOF}.zip", "w", zipfile.ZIP_DEFLATED) as archive, archive.open(EOF, "w") as file:
        for _ in range(2):
            file.write(b" " * (16 << 20))
    return str(root / EOF)


@case("orbit", "stored or deflated")
def an_orbit_file_packed_another_way(root):
    with zipfile.ZipFile(root / f"{EOF}.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(EOF, b"<Earth_Explorer_File>")
    return str(root / EOF)


@case("orbit", "expected 8 to 50000 orbit vectors, found 60000")
def an_orbit_without_end(root):
    head = "<Earth_Explorer_File><Ref_Frame>EARTH_FIXED</Ref_Frame><Time_Reference>UTC</Time_Reference><List_of_OSVs>"
    times = "<TAI>TAI=2021-06-24T17:25:28.000000</TAI><UTC>UTC=2021-06-24T17:24:51.000000</UTC>"
    text = head + f"<OSV>{times}</OSV>" * 60_000 + "</List_of_OSVs></Earth_Explorer_File>"
    (root / EOF).write_text(text)
    return str(root / EOF)


@case("orbit", "neither file nor folder")
def an_orbit_file_that_is_a_pipe(root):
    os.mkfifo(root / EOF)
    return str(root / EOF)


def _outline(root: Path, text: str) -> str:
    (root / "mine.geojson").write_text(text)
    return str(root / "mine.geojson")


def _polygon(coordinates: str) -> str:
    return '{"type":"Feature","properties":{"id":"m"},"geometry":{"type":"Polygon","coordinates":' + coordinates + "}}"


@case("mine", "expected at most 16777216 bytes of GeoJSON, found more")
def an_outline_of_a_gibibyte(root):
    sparse(root / "mine.geojson", GIB, b"{")
    return str(root / "mine.geojson")


OUTLINES = {
    "an outline of two million vertices": (
        _polygon("[[" + "[0,1]," * 2_000_000 + "[0,1]]]"),
        "at most 500000 vertices, lists and objects, found 2000006",
    ),
    "an outline of 250,001 vertices": (
        _polygon("[[" + "[0,1]," * 250_000 + "[0,1]]]"),
        "at most 200000 vertices, found 250001",
    ),
    "an outline nested without end": (_polygon("[" * 100_000 + "]" * 100_000), "nested without end"),
    "an outline nested nearly without end": (_polygon("[" * 900 + "]" * 900), "expected the coordinates|found none"),
    "an outline of lists": ("[" + "[]," * 5_000_000 + "[]]", "at most 500000 vertices, lists and objects"),
    "an outline of numbers": ("[" + "1.5," * 3_000_000 + "1]", "expected a Feature"),
    "an outline of no numbers": (_polygon("[[[0,0],[NaN,0],[1,NaN],[0,0]]]"), "mine.geojson"),
    "an outline at infinity": (_polygon("[[[0,0],[1e308,0],[1e308,1e308],[0,0]]]"), "are they swapped"),
    "an outline of integers without end": (_polygon(f"[[[0,0],[{'9' * 4000},0],[1,1],[0,0]]]"), "mine.geojson"),
    "an id without end": ('{"properties":{"id":"' + "m" * 1000 + '"},"geometry":{"type":"Polygon","coordinates":'
                          "[[[0,0],[1,0],[1,1],[0,0]]]}}", "id or name of 1 to 100 letters"),
}  # fmt: skip
for _name, (_text, _expected) in OUTLINES.items():
    case("mine", _expected, _name)(lambda root, text=_text: _outline(root, text))


@case("config", "expected JSON, found lists or objects nested without end")
def settings_nested_without_end(root):
    (root / "refresh.json").write_text('{"a":' * 100_000)
    return str(root / "refresh.json")


@case("config", "expected at most 16777216 bytes of JSON")
def settings_of_a_gibibyte(root):
    sparse(root / "refresh.json", GIB, b"{")
    return str(root / "refresh.json")


def _raster(root: Path, shape, step: float, **options) -> str:
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        options = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": "EPSG:4326", "SPARSE_OK": True} | options
        transform = rasterio.Affine(step, 0.0, 22.0, 0.0, -step, -27.0)
        path = root / "dem.tif"
        with rasterio.open(path, "w", height=shape[0], width=shape[1], transform=transform, **options):
            pass
    return str(path)


@case("dem", "must have at most 64000000 cells in the area, instead it has 1.42e\\+10")
def heights_finer_than_atoms(root):
    return _raster(root, (300_000, 300_000), 1e-6, tiled=True, blockxsize=4096, blockysize=4096, BIGTIFF="YES")


@case("dem", "must have blocks of at most 512 MiB, instead one has 1525")
def heights_in_one_block(root):
    return _raster(root, (20_000, 20_000), 1e-4, blockysize=20_000, compress="deflate")


@case("dem", "must have cells at finite places")
def heights_without_a_place(root):
    return _raster(root, (20, 20), float("inf"))


# --- the reader -------------------------------------------------------------------------------------


def read(kind: str, place: str) -> None:
    """Read a file the way a run does."""
    from pipeline.commands.plan import read_config
    from pipeline.dem import read_dem
    from pipeline.mines import read_mines
    from pipeline.model import Window
    from pipeline.sentinel1.measurement import open_measurement
    from pipeline.sentinel1.orbit_archive import list_orbits
    from pipeline.sentinel1.orbit_window import orbit_window
    from pipeline.sentinel1.safe import open_product

    if kind in ("product", "measurement", "samples"):
        product = open_product(place)
        if kind != "product":
            measurement = open_measurement(product, product.swaths[0])
            if kind == "samples":
                measurement.read(product.bursts[1], Window(0, LINES, 0, SAMPLES))
    elif kind == "orbit":
        orbit_window(list_orbits(Path(place).parent).read(EOF), EOF, INSTANT, INSTANT)
    elif kind == "mine":
        read_mines(place)
    elif kind == "config":
        read_config(place)
    else:
        read_dem(place, (22.1, -27.2, 22.2, -27.1), "ellipsoid")


def _status(word: str) -> int:
    """A line of the kernel's account of this process, bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(word))
    return int(line.split()[1]) * 1024


def main(root: Path) -> None:
    """Every case, one after the other, within 4 GiB of address space beyond what the imports take."""
    good = folder(root / "good")
    read("samples", str(good))  # what is imported late, is now
    for kind, text in (("mine", "{}"), ("config", "[]")):
        (root / "some.json").write_text(text)
        try:
            read(kind, str(root / "some.json"))
        except ValueError:
            pass
    read("dem", _raster(root, (2000, 2000), 1e-3))
    most = _status("VmSize") + 4 * GIB
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for number, (name, (make, kind, _)) in enumerate(CASES.items()):
        (root / str(number)).mkdir()
        place = make(root / str(number))
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
        before, started, found = _status("VmRSS"), time.process_time(), {"error": "", "message": ""}
        try:
            read(kind, place)
        except Exception as error:
            found = {"error": type(error).__name__, "message": str(error)}
        grown = _status("VmHWM") - before
        print(json.dumps({"case": name, **found, "seconds": time.process_time() - started, "grown": grown}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
