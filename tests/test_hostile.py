"""Files from untrusted places: refused with their reason, within bounded memory and time; the others go on."""

import io
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import errors
from pipeline.archive import list_archive
from pipeline.model import Window
from pipeline.sentinel1.annotation import parse_annotation, parse_manifest
from pipeline.sentinel1.measurement import open_measurement, read_header
from pipeline.sentinel1.orbit_files import cut_orbit, parse_orbit_file
from pipeline.sentinel1.safe import open_product

from .conftest import ROOT
from .hostile import CASES, GIB, INSTANT, XML, bomb, folder, sparse, zipped
from .test_orbit_files import orbit_file
from .test_reader import BURSTS, GRANULE, LINES, SAMPLES, annotation_xml, digital_numbers, files, tiff

MEMORY = (
    400 * 1024**2
)  # bytes that reading may add; 250 MB measured: all that XML may have is a namespace that every tag repeats
SECONDS = 20.0  # of computing; waiting without end ends the process below


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What a process of its own says of every case, by name."""
    words = [sys.executable, "-W", "ignore", "-m", "tests.hostile", str(tmp_path_factory.mktemp("hostile"))]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return {facts["case"]: facts for facts in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", CASES)
def test_refused_with_its_reason_within_bounds(outcomes, name):
    found, expected = outcomes[name], CASES[name][2]
    assert issubclass(getattr(errors, found["error"], Exception), errors.PitpulseError), found
    assert re.search(expected, found["message"]) and len(found["message"]) < 1500
    assert found["grown"] < MEMORY
    assert found["seconds"] < SECONDS


# --- damage at random -------------------------------------------------------------------------------

EVIL = (
    "",
    "nan",
    "inf",
    "-1",
    "0",
    "1e308",
    "9" * 30,
    "-9223372036854775808",
    "9999-01-01T00:00:00",
    "NaT",
    "a b",
    "<",
    "\0",
)
VALUE = re.compile(rb">([^<>]+)<")
MANIFEST = files()["manifest.safe"]
FACTS = parse_manifest(MANIFEST)


@st.composite
def damaged(draw, content: bytes, reach: int | None = None):
    """Content with up to six bytes of its first ``reach`` changed, and sometimes cut."""
    data = bytearray(content)
    places = st.integers(0, min(reach or len(data), len(data)) - 1)
    for place, byte in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        data[place] = byte
    cut = draw(st.one_of(st.none(), st.integers(0, len(data))))
    return bytes(data[:cut])


@st.composite
def misstated(draw, xml: bytes):
    """XML in which one to three values are something else."""
    found = list(VALUE.finditer(xml))
    picks = draw(st.lists(st.sampled_from(found), min_size=1, max_size=3, unique_by=lambda m: m.start()))
    for match in sorted(picks, key=lambda m: -m.start()):
        value = draw(st.sampled_from(EVIL)).encode()
        xml = xml[: match.start(1)] + value + xml[match.end(1) :]
    return xml


def refuses_or_reads(reader, *words) -> None:
    """No other error comes out than those that a run tells as a reason."""
    try:
        reader(*words)
    except errors.PitpulseError as error:
        assert 10 < len(str(error)) < 2000


@given(st.one_of(damaged(annotation_xml()), misstated(annotation_xml()), misstated(annotation_xml(old_fm_rate=True))))
def test_any_annotation(xml):
    refuses_or_reads(parse_annotation, xml, FACTS, "annotation/a.xml")


@given(st.one_of(damaged(MANIFEST), misstated(MANIFEST)))
def test_any_manifest(xml):
    refuses_or_reads(parse_manifest, xml)


ORBIT = orbit_file("2021-06-24T17:22:00", count=36)


@given(st.one_of(damaged(ORBIT), misstated(ORBIT)))
def test_any_orbit_file(xml):
    refuses_or_reads(lambda: cut_orbit(parse_orbit_file(xml, "a.EOF", INSTANT), INSTANT, 10.0))


class Bytes:
    """A file of a product, at hand."""

    name = "a.tiff"

    def __init__(self, data: bytes):
        self.data = data

    def size(self):
        """Bytes."""
        return len(self.data)

    def ranges(self, starts, stops, max_gap=None):
        """Views, shorter where the file ends."""
        return [memoryview(self.data)[a:b] for a, b in zip(starts, stops, strict=True)]


TIFFS = [
    tiff(digital_numbers(), order=order, big=big, per_strip=rows, compression=packed)
    for order, big, rows, packed in (("<", False, 1, 1), (">", True, 1, 1), ("<", False, 4, 8), ("<", False, 4, 50000))
]
SWATH = parse_annotation(annotation_xml(), FACTS, "annotation/a.xml")


@given(st.sampled_from(TIFFS).flatmap(lambda data: damaged(data, 700)))
def test_any_measurement(data):
    def samples():
        header = read_header(Bytes(data), SWATH, "a.tiff")
        assert header.read(SWATH.bursts[1], Window(0, LINES, 0, SAMPLES)).shape == (LINES, SAMPLES)

    refuses_or_reads(samples)


def zip_of(compression) -> bytes:
    """A product without measurement."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for path, data in files().items():
            archive.writestr(f"{GRANULE}.SAFE/{path}", data)
    return buffer.getvalue()


ZIPS = [zip_of(zipfile.ZIP_STORED), zip_of(zipfile.ZIP_DEFLATED)]


@given(st.data())
def test_any_zip(data):
    whole = data.draw(st.sampled_from(ZIPS))
    tail = data.draw(damaged(whole[-900:]))  # its directory
    fsspec.filesystem("memory").pipe_file("/hostile/a.zip", data.draw(damaged(whole[:-900], 300)) + tail)
    refuses_or_reads(open_product, "memory://hostile/a.zip")


# --- an archive -------------------------------------------------------------------------------------


def test_an_archive_of_which_half_is_hostile(tmp_path):
    """Good products stay, every hostile one is told with its reason, and nothing takes long."""
    names = [GRANULE.replace("20210624T", f"202106{day:02d}T") for day in range(1, 15)]
    good = names[:4]
    for name in good:
        (tmp_path / f"{name}.SAFE").mkdir()
        (tmp_path / f"{name}.SAFE/manifest.safe").write_bytes(MANIFEST)
    rest = iter(names[4:])
    hostile = {}

    def add(expected, make, ending=".SAFE", name=None):
        name = name or next(rest)
        hostile[name] = expected
        make(tmp_path / f"{name}{ending}")

    def manifest(make):
        return lambda path: (path.mkdir(), make(path / "manifest.safe"))

    def packed(size, **fields):
        return lambda path: path.write_bytes(
            Path(
                zipped(tmp_path, [("a.SAFE/manifest.safe", bomb(size, b"<a>"), size, {"method": 8} | fields)])
            ).read_bytes()
        )

    add("at most 1048576 bytes of XML", manifest(lambda path: sparse(path, GIB)))
    add("document type or entity declaration", manifest(lambda path: path.write_bytes(XML["entities in entities"][0])))
    add("found a pipe, a device or a link to no file", manifest(os.mkfifo))
    add("found a pipe, a device or a link to no file", manifest(lambda path: path.symlink_to("/dev/zero")))
    add("expected 1 to 175 in <relat", manifest(lambda path: path.write_bytes(MANIFEST.replace(b">88<", b">999<"))))
    add("can't read .*: No such file or directory", lambda path: path.symlink_to(tmp_path / "nothing"), ".zip")
    add("at most 1048576 bytes of XML", packed(4 * GIB - 1), ".zip")
    add("the encrypted member", packed(100, flags=1), ".zip")
    add("packed by bzip2", packed(100, method=12), ".zip")
    add("beyond the end; refused", packed(100, packed=2**31), ".zip")
    strange = GRANULE.replace("20210624T172451", "20219999T999999")
    add("expected a time in the product's name", Path.mkdir, name=strange)
    far = GRANULE.replace("20210624T172451", "99990624T172451")
    add("expected a time in the product's name", Path.mkdir, name=far)
    (tmp_path / f"{GRANULE}.zip").unlink()  # where the zips were made
    started = time.process_time()
    listed = list_archive(tmp_path)
    assert time.process_time() - started < SECONDS
    assert [g.name for g in listed.granules] == good
    reasons = dict(listed.broken)
    assert sorted(reasons) == sorted(hostile)
    for name, expected in hostile.items():
        assert re.search(expected, reasons[name]), reasons[name]


def test_a_product_of_links_is_read(tmp_path):
    """Archives are made of links, also to what lies elsewhere."""
    place = folder(tmp_path / "store")
    linked = tmp_path / f"{GRANULE}.SAFE"
    for path in place.rglob("*"):
        if path.is_file():
            (linked / path.relative_to(place)).parent.mkdir(parents=True, exist_ok=True)
            (linked / path.relative_to(place)).symlink_to(path)
    product = open_product(str(linked))
    assert open_measurement(product, product.swaths[0]).lines == BURSTS * LINES
