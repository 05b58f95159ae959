"""Reader: containers (folder, zip, memory), annotation, measurement by byte range, and what is refused.

The synthetic product is written here, byte by byte; the real ones come from the shared folder.
"""

import io
import itertools
import logging
import struct
import zipfile
import zlib

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BadInput, BadProduct, NoCoverage, Unavailable
from pipeline.model import Window
from pipeline.sentinel1 import annotation as annotation_module
from pipeline.sentinel1.annotation import parse_annotation, parse_manifest
from pipeline.sentinel1.measurement import open_measurement, read_window
from pipeline.sentinel1.safe import open_product
from pipeline.storage import REMOTE_GAP, open_store

BURSTS, LINES, SAMPLES = 3, 7, 2000
GRANULE = "S1A_IW_SLC__1SDV_20210624T172451_20210624T172518_038485_048A9C_A58F"
STEM = "s1a-iw2-slc-vv-20210624t172452-20210624t172518-038485-048a9c-005"
START = np.datetime64("2021-06-24T17:24:52.000000")
INTERVAL = 2.0e-3  # s
BEAM = 2_758_000  # microseconds from burst to burst
NODE = START - np.timedelta64(818_000_000, "us")  # as for track 88: the first burst is 187,166
IDS = (187166, 187167, 187168)

MANIFEST = """<?xml version="1.0"?>
<x:XFDU xmlns:x="urn:x" xmlns:safe="http://www.esa.int/safe/sentinel-1.0" xmlns:s="urn:s">
<safe:platform><safe:familyName>SENTINEL-1</safe:familyName><safe:number>A</safe:number><s:mode>{mode}</s:mode></safe:platform>
<safe:orbitReference><safe:orbitNumber type="start">38485</safe:orbitNumber>
<safe:relativeOrbitNumber type="start">88</safe:relativeOrbitNumber>
<safe:relativeOrbitNumber type="stop">88</safe:relativeOrbitNumber><s:pass>ASCENDING</s:pass></safe:orbitReference>
<s:productType>{kind}</s:productType><safe:software name="Sentinel-1 IPF" version="003.31"/></x:XFDU>"""


def valid_samples():
    """First and last valid sample per line: the same for every burst, invalid at both ends."""
    first, last = np.full(LINES, -1), np.full(LINES, -1)
    first[1:-1], last[1:-1] = 30, SAMPLES - 50
    first[3], last[3] = 35, SAMPLES - 60
    return first, last


def orbit_xml(count=17):
    text = ""
    for k in range(count):
        time = START + np.timedelta64(10 * k - 70, "s") + np.timedelta64(324_203, "us")
        xyz = "".join(f"<{a}>{v!r}</{a}>" for a, v in zip("xyz", (7e6 + k, 1e5 * k, 0.0), strict=True))
        text += f"<orbit><time>{time}</time><frame>Earth Fixed</frame>"
        text += f"<position>{xyz}</position><velocity>{xyz}</velocity></orbit>"
    return text


def records_xml(tag, polynomial, count, shift=0):
    """Doppler or FM-rate records at the bursts' beginnings; the first coefficient is the record's number."""
    text = ""
    for k in range(count):
        time = START + np.timedelta64(k * BEAM + shift, "us")
        text += f"<{tag}><azimuthTime>{time}</azimuthTime><t0>5.3e-3</t0>{polynomial(k)}</{tag}>"
    return text


def grid_xml():
    text = ""
    for row, column in itertools.product(range(BURSTS + 1), (0, SAMPLES // 2, SAMPLES - 1)):
        time = START + np.timedelta64(row * BEAM, "us")
        text += f"<geolocationGridPoint><azimuthTime>{time}</azimuthTime><slantRangeTime>5.3e-3</slantRangeTime>"
        text += f"<line>{row * LINES}</line><pixel>{column}</pixel><latitude>{50 + 0.2 * row}</latitude>"
        text += (
            f"<longitude>{6 + column / SAMPLES}</longitude><height>100.0</height><incidenceAngle>36.0</incidenceAngle>"
        )
        text += "</geolocationGridPoint>"
    return text


def bursts_xml(ids):
    first, last = (" ".join(map(str, v)) for v in valid_samples())
    text = ""
    for k in range(BURSTS):
        given_id = f'<burstId absolute="1">{ids[k]}</burstId>' if ids else ""
        text += f"<burst><azimuthTime>{START + np.timedelta64(k * BEAM, 'us')}</azimuthTime>{given_id}"
        text += f"<firstValidSample>{first}</firstValidSample><lastValidSample>{last}</lastValidSample></burst>"
    return text


def annotation_xml(ids=None, mode="IW", old_fm_rate=False, fm_records=BURSTS, pol="VV"):
    """A complete annotation, no longer than the reader needs."""

    def fm_rate(k):
        if old_fm_rate:
            return f"<c0>{-2300.0 - k}</c0><c1>4.5e5</c1><c2>-7.9e7</c2>"
        return f"<azimuthFmRatePolynomial>{-2300.0 - k} 4.5e5 -7.9e7</azimuthFmRatePolynomial>"

    def doppler(k):
        poly = f"{float(k)} 2.0 3.0"
        return f"<geometryDcPolynomial>99 0 0</geometryDcPolynomial><dataDcPolynomial>{poly}</dataDcPolynomial>"

    window = "<windowType>Hamming</windowType><windowCoefficient>0.75</windowCoefficient>"
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<product><adsHeader><missionId>S1A</missionId><productType>SLC</productType><polarisation>{pol}</polarisation>
<mode>{mode}</mode><swath>IW2</swath></adsHeader>
<generalAnnotation><productInformation><pass>Ascending</pass><rangeSamplingRate>6.4e7</rangeSamplingRate>
<radarFrequency>5.405e9</radarFrequency><azimuthSteeringRate>0.98</azimuthSteeringRate></productInformation>
<orbitList>{orbit_xml()}</orbitList>
<azimuthFmRateList>{records_xml("azimuthFmRate", fm_rate, fm_records, 1000)}</azimuthFmRateList></generalAnnotation>
<imageAnnotation><imageInformation><ascendingNodeTime>{NODE}</ascendingNodeTime><slantRangeTime>5.3e-3</slantRangeTime>
<azimuthTimeInterval>{INTERVAL}</azimuthTimeInterval><numberOfSamples>{SAMPLES}</numberOfSamples>
<numberOfLines>{LINES * BURSTS}</numberOfLines></imageInformation><processingInformation><swathProcParamsList>
<swathProcParams><swath>IW2</swath>
<rangeProcessing>{window}<processingBandwidth>4.83e7</processingBandwidth></rangeProcessing>
<azimuthProcessing>{window}<processingBandwidth>313.0</processingBandwidth></azimuthProcessing>
</swathProcParams></swathProcParamsList></processingInformation></imageAnnotation>
<dopplerCentroid><dcEstimateList>{records_xml("dcEstimate", doppler, BURSTS, 2000)}</dcEstimateList></dopplerCentroid>
<swathTiming><linesPerBurst>{LINES}</linesPerBurst><samplesPerBurst>{SAMPLES}</samplesPerBurst>
<burstList>{bursts_xml(ids)}</burstList></swathTiming>
<geolocationGrid><geolocationGridPointList>{grid_xml()}</geolocationGridPointList></geolocationGrid></product>"""
    return text.encode()


def digital_numbers():
    """(line, sample, 2) int16, the same every time."""
    return np.random.default_rng(5).integers(-32768, 32768, (BURSTS * LINES, SAMPLES, 2)).astype(np.int16)


def tiff(values, order="<", big=False, per_strip=1, compression=1, bits=32, kind=5, sparse=()):
    """A TIFF as bytes: header, directory, strip tables, strips. ``sparse`` strips aren't stored (offset, count 0)."""
    packer = {1: bytes, 8: zlib.compress, 50000: lambda b: pyarrow.compress(b, codec="zstd", asbytes=True), 5: bytes}[
        compression
    ]
    lines, samples = values.shape[:2]
    raw = values.astype(order + "i2")
    strips = [packer(raw[k : k + per_strip].tobytes()) for k in range(0, lines, per_strip)]
    strips = [b"" if k in sparse else s for k, s in enumerate(strips)]
    word, count_word, entry = ("Q", "Q", "HHQ") if big else ("I", "H", "HHI")
    head = 16 if big else 8
    tables = head + struct.calcsize("<" + count_word) + 10 * (20 if big else 12) + struct.calcsize("<" + word)
    width = struct.calcsize("<" + word)
    data = tables + 2 * width * len(strips)
    starts = np.cumsum([data] + [len(s) for s in strips[:-1]])
    offsets = [0 if k in sparse else int(v) for k, v in enumerate(starts)]
    long = 16 if big else 4
    tags = [(256, 4, 1, samples), (257, 4, 1, lines), (258, 3, 1, bits), (259, 3, 1, compression), (262, 3, 1, 1)]
    tags += [(273, long, len(strips), tables), (277, 3, 1, 1), (278, 4, 1, per_strip)]
    tags += [(279, long, len(strips), tables + width * len(strips)), (339, 3, 1, kind)]
    out = (b"II" if order == "<" else b"MM") + (
        struct.pack(order + "HHHQ", 43, 8, 0, head) if big else struct.pack(order + "HI", 42, head)
    )
    out += struct.pack(order + count_word, len(tags))
    for code, tag_type, count, value in tags:
        inline = {3: "H", 4: "I", 16: "Q"}[tag_type]
        fits = count * struct.calcsize("<" + inline) <= width
        packed = struct.pack(order + inline, value) if fits else struct.pack(order + word, value)
        out += struct.pack(order + entry, code, tag_type, count) + packed.ljust(width, b"\0")
    out += struct.pack(order + word, 0) + struct.pack(f"{order}{len(offsets)}{word}", *offsets)
    return out + struct.pack(f"{order}{len(strips)}{word}", *map(len, strips)) + b"".join(strips)


def files(measurement=None, annotation=None, mode="IW", kind="SLC"):
    """The product's files by path."""
    found = {"manifest.safe": MANIFEST.format(mode=mode, kind=kind).encode()}
    found[f"annotation/{STEM}.xml"] = annotation_xml() if annotation is None else annotation
    found["annotation/calibration/noise.xml"] = b"<noise/>"
    if measurement is not None:
        found[f"measurement/{STEM}.tiff"] = measurement
    return found


def write_folder(root, content):
    """Write to a store and give its URL."""
    for path, data in content.items():
        open_store(f"{root}/{GRANULE}.SAFE").write_bytes(path, data)
    return f"{root}/{GRANULE}.SAFE"


def write_zip(root, content, compression=zipfile.ZIP_STORED, prefix=f"{GRANULE}.SAFE/"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for path, data in content.items():
            archive.writestr(prefix + path, data)
    open_store(root).write_bytes(f"{GRANULE}.zip", buffer.getvalue())
    return f"{root}/{GRANULE}.zip"


numbers = itertools.count()


@pytest.fixture(
    params=["folder", "memory folder", "flat", "parent", "stored zip", "deflated zip", "nested zip", "memory zip"]
)
def place(request, tmp_path):
    """A function that writes a product into one kind of container and gives its URL."""
    root = f"memory://reader-{next(numbers)}" if "memory" in request.param else str(tmp_path)
    if "zip" in request.param:
        compression = zipfile.ZIP_DEFLATED if request.param == "deflated zip" else zipfile.ZIP_STORED
        prefix = f"safe/deeper/{GRANULE}.SAFE/" if request.param == "nested zip" else f"{GRANULE}.SAFE/"
        return lambda content: write_zip(root, content, compression, prefix)
    if request.param == "flat":
        return lambda content: write_folder(
            root, {k if "cal" in k else k.split("/")[-1]: v for k, v in content.items()}
        )
    if request.param == "parent":
        return lambda content: write_folder(root, content).rsplit("/", 1)[0]
    return lambda content: write_folder(root, content)


def truth(values, burst, window):
    """What a window must be: samples as complex64, NaN where invalid; line by line."""
    first, last = valid_samples()
    out = np.full(window.shape, np.nan + 1j * np.nan, np.complex64)
    for row, line in enumerate(range(window.line_start, window.line_stop)):
        for column, sample in enumerate(range(window.sample_start, window.sample_stop)):
            if first[line] >= 0 and first[line] <= sample <= last[line]:
                re, im = values[burst * LINES + line, sample]
                out[row, column] = complex(re, im)
    return out


WHOLE = Window(0, LINES, 0, SAMPLES)


class TestContainers:
    """Every kind of container gives the same product and the same samples."""

    def test_product(self, place):
        product = open_product(place(files(tiff(digital_numbers()))))
        assert product.granule == GRANULE
        assert (product.platform, product.track, product.absolute_orbit) == ("S1A", 88, 38485)
        assert (product.orbit_pass, product.processor_version) == ("ascending", "003.31")
        assert [(s.swath, s.polarization, len(s.bursts)) for s in product.swaths] == [("IW2", "VV", BURSTS)]
        assert product.swaths[0].measurement.endswith(f"{STEM}.tiff")

    def test_samples(self, place):
        values = digital_numbers()
        product = open_product(place(files(tiff(values))), "vv")
        [swath] = product.swaths
        measurement = open_measurement(product, swath)
        for index, window in ((2, WHOLE), (0, Window(2, 5, 20, 60)), (1, Window(1, 2, 1900, 2000))):  # backwards too
            found = measurement.read(swath.bursts[index], window)
            assert found.dtype == np.complex64
            np.testing.assert_array_equal(found, truth(values, index, window))

    def test_truncated_measurement(self, place):
        product = open_product(place(files(tiff(digital_numbers())[:-1000])))
        with pytest.raises(BadProduct, match=r"005\.tiff is truncated: expected \d+ bytes, found \d+"):
            open_measurement(product, product.swaths[0])

    def test_metadata_without_measurement(self, place):
        product = open_product(place(files()))
        assert product.swaths[0].measurement is None
        with pytest.raises(BadProduct, match="expected a measurement of IW2 VV, found only its annotation"):
            read_window(product, product.swaths[0], product.bursts[0], WHOLE)

    def test_no_such_polarization(self, place):
        url = place(files())
        with pytest.raises(BadProduct, match="expected polarization VH, found VV"):
            open_product(url, "VH")

    def test_no_annotation(self, place):
        url = place({"manifest.safe": files()["manifest.safe"], "preview/quick-look.png": b""})
        with pytest.raises(BadProduct, match="expected annotations"):
            open_product(url)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("per_strip", "compression"), [(1, 1), (4, 1), (1, 8), (4, 50000)])
def test_tiff_layouts(tmp_path, order, big, per_strip, compression):
    values = digital_numbers()
    product = open_product(write_folder(str(tmp_path), files(tiff(values, order, big, per_strip, compression))))
    window = Window(1, LINES, 100, 400)
    for index, burst in enumerate(product.bursts):
        found = read_window(product, product.swaths[0], burst, window)
        np.testing.assert_array_equal(found, truth(values, index, window))


@pytest.mark.parametrize("compression", [1, 8])
def test_strips_that_are_not_stored_are_zero(tmp_path, compression):
    values = digital_numbers()
    product = open_product(write_folder(str(tmp_path), files(tiff(values, compression=compression, sparse=(8, 9)))))
    values[8:10] = 0
    found = read_window(product, product.swaths[0], product.bursts[1], WHOLE)
    np.testing.assert_array_equal(found, truth(values, 1, WHOLE))


@given(
    line=st.tuples(st.integers(0, LINES), st.integers(0, LINES)),
    sample=st.tuples(st.integers(0, SAMPLES), st.integers(0, SAMPLES)),
    index=st.integers(0, BURSTS - 1),
)
def test_any_window(synthetic, line, sample, index):
    """Any window is the cut of the whole burst, or has nothing valid."""
    product, measurement, whole = synthetic
    window = Window(*sorted(line), *sorted(sample))
    expected = whole[index][window.line_start : window.line_stop, window.sample_start : window.sample_stop]
    if np.isfinite(expected).any():
        np.testing.assert_array_equal(measurement.read(product.bursts[index], window), expected)
    else:
        with pytest.raises(NoCoverage, match=r"no valid sample|empty"):
            measurement.read(product.bursts[index], window)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    values = digital_numbers()
    product = open_product(write_folder(str(tmp_path_factory.mktemp("safe")), files(tiff(values))))
    whole = [truth(values, k, WHOLE) for k in range(BURSTS)]
    return product, open_measurement(product, product.swaths[0]), whole


def test_window_outside_the_burst(synthetic):
    product, measurement, _ = synthetic
    with pytest.raises(BadInput, match="window must lie in the burst's 7 x 2000"):
        measurement.read(product.bursts[0], Window(0, LINES + 1, 0, 10))


def test_only_the_window_is_read(tmp_path):
    """A narrow window of a wide swath: a request a line and no byte more; the header within two blocks."""
    lines, samples = 7, 40_000
    values = np.zeros((BURSTS * lines, samples, 2), np.int16)
    xml = annotation_xml().replace(b">2000<", b">40000<")
    url = write_folder(str(tmp_path), files(tiff(values), xml))
    product, location = open_product(url), open_store(url)
    measurement = open_measurement(product, product.swaths[0], location=location)
    header = location.traffic.bytes_read
    assert header <= 2 * 128 * 1024
    before = location.traffic.requests
    measurement.read(product.bursts[1], Window(1, 6, 100, 600))
    assert location.traffic.bytes_read - header == 5 * 500 * 4 and location.traffic.requests - before == 5


def test_away_from_the_disk_lines_are_joined_only_within_the_budget():
    url = write_folder(f"memory://reader-{next(numbers)}", files(tiff(digital_numbers())))
    product, location = open_product(url), open_store(url)
    measurement = open_measurement(product, product.swaths[0], location=location)
    for max_gap, requests in ((None, 5), (REMOTE_GAP, 1), (0, 5)):
        before, read = location.traffic.requests, location.traffic.bytes_read
        measurement.read(product.bursts[0], Window(1, 6, 100, 600), max_gap=max_gap)
        assert location.traffic.requests - before == requests
        if requests == 5:
            assert location.traffic.bytes_read - read == 5 * 500 * 4


class TestAnnotation:
    """What the annotation says, in our units."""

    def parse(self, **options):
        manifest = parse_manifest(MANIFEST.format(mode="IW", kind="SLC").encode())
        return parse_annotation(annotation_xml(**options), manifest, "annotation/a.xml")

    def test_values_and_units(self):
        burst = self.parse().bursts[1]
        assert (burst.index, burst.swath, burst.polarization, burst.platform) == (1, "IW2", "VV", "S1A")
        assert (burst.track, burst.orbit_pass) == (88, "ascending")
        assert burst.azimuth_time == START + np.timedelta64(BEAM, "us")
        assert burst.steering_rate == pytest.approx(0.98 * np.pi / 180, abs=1e-15)  # rad/s
        assert (burst.range_bandwidth, burst.azimuth_bandwidth) == (4.83e7, 313.0)
        assert (burst.range_window, burst.azimuth_window) == (0.75, 0.75)
        first, last = valid_samples()
        np.testing.assert_array_equal(burst.first_valid_sample, first)
        np.testing.assert_array_equal(burst.last_valid_sample, last)
        assert burst.valid_lines == (1, LINES - 1)

    def test_orbit_epoch_is_a_whole_second(self):
        orbit = self.parse().bursts[0].orbit
        assert orbit.epoch == START - np.timedelta64(70, "s")
        np.testing.assert_allclose(orbit.time, 10.0 * np.arange(17) + 0.324203, rtol=0, atol=1e-12)  # s
        np.testing.assert_array_equal(orbit.position[:, 1], 1e5 * np.arange(17))

    @pytest.mark.parametrize("old", [False, True])
    def test_polynomials_of_the_nearest_record(self, old):
        bursts = self.parse(old_fm_rate=old).bursts
        assert [b.azimuth_fm_rate.coefficients for b in bursts] == [(-2300.0 - k, 4.5e5, -7.9e7) for k in range(BURSTS)]
        assert [b.doppler_centroid.coefficients for b in bursts] == [(float(k), 2.0, 3.0) for k in range(BURSTS)]
        assert bursts[0].azimuth_fm_rate(5.3e-3 + 1e-6) == pytest.approx(-2300.0 + 0.45 - 7.9e-5, abs=1e-9)  # Hz/s

    def test_list_that_misses_the_last_burst(self):
        rates = [b.azimuth_fm_rate.coefficients[0] for b in self.parse(fm_records=BURSTS - 1).bursts]
        assert rates == [-2300.0, -2301.0, -2301.0]

    def test_footprint_goes_by_time(self):
        """Rows lie a beam cycle apart and 0.2 degrees; a burst of 7 lines lasts 14 ms."""
        ring = self.parse().bursts[1].footprint
        assert ring[0] == ring[-1] and len(ring) == 5
        high = 50.2 + 0.2 * LINES * INTERVAL / (BEAM * 1e-6)
        np.testing.assert_allclose([p[1] for p in ring], [50.2, 50.2, high, high, 50.2], rtol=0, atol=1e-9)  # degrees
        far = 6 + (SAMPLES - 1) / SAMPLES
        np.testing.assert_allclose([p[0] for p in ring], [6, far, far, 6, 6], rtol=0, atol=1e-9)  # degrees

    def test_burst_id_computed(self):
        assert [b.burst_id for b in self.parse().bursts] == [f"t088_{n}_iw2" for n in IDS]

    def test_burst_id_annotated(self, caplog):
        assert [b.burst_id for b in self.parse(ids=IDS).bursts] == [f"t088_{n}_iw2" for n in IDS]
        assert caplog.messages == []

    def test_annotated_id_wins_and_says_so(self, caplog):
        with caplog.at_level(logging.WARNING, annotation_module.__name__):
            bursts = self.parse(ids=(187166, 187169, 187168)).bursts
        assert bursts[1].burst_id == "t088_187169_iw2"
        assert caplog.messages == [
            "annotation/a.xml: burst number 187169 annotated, 187167 computed; the annotated one is kept"
        ]


BROKEN = {
    "other mode": (b"<mode>IW<", b"<mode>EW<", "expected an IW SLC annotation of IW1, IW2, IW3, found EW SLC IW2"),
    "no value": (b"<radarFrequency>5.405e9</radarFrequency>", b"", "expected a value in <radarFrequency>, found none"),
    "no number": (b">5.405e9<", b">five<", "expected a number in <radarFrequency>, found 'five'"),
    "not finite": (b">5.405e9<", b">nan<", "expected 1e\\+09 to 1e\\+11 in <radarFrequency>, found nan"),
    "zero interval": (b">0.002<", b">0<", "expected 1e-05 to 0.1 in <azimuthTimeInterval>, found 0.0"),
    "no bursts": (b"<burstList>", b"<burstList/><other>", "unreadable"),
    "lines": (
        b"<numberOfLines>21<",
        b"<numberOfLines>20<",
        "expected 3 bursts of 7 x 2000 to fill the image, found 20",
    ),
    "short list": (b"<firstValidSample>-1 ", b"<firstValidSample>", "expected 7 first and last valid samples, found 6"),
    "beyond the line": (b"1950", b"2950", "expected valid samples below 2000, found 2950"),
    "frame": (b"Earth Fixed", b"GM2000", "expected orbit vectors in the frame 'Earth Fixed'"),
    "window": (b"Hamming", b"Kaiser", "expected the window Hamming or None, found 'Kaiser'"),
    "cut short": (b"</product>", b"", "expected XML, found something unreadable"),
    "entities": (
        b"<product>",
        b'<!DOCTYPE p [<!ENTITY a "b">]><product>',
        "document type or entity declaration; refused",
    ),
    "no time": (b"<time>2021", b"<time>20x1", "expected a UTC time of 2000 to 2099 in <time>"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_annotation(tmp_path, case):
    old, new, message = BROKEN[case]
    xml = annotation_xml()
    assert old in xml
    url = write_folder(str(tmp_path), files(annotation=xml.replace(old, new)))
    with pytest.raises(BadProduct, match=message):
        open_product(url)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 64, "kind": 6}, "expected one 16-bit complex integer a pixel, found 1 COMPLEXIEEEFP of 64 bits"),
        ({"kind": 2}, "expected one 16-bit complex integer a pixel, found 1 INT of 32 bits"),
        ({"compression": 5}, "expected uncompressed, deflate or zstd strips without predictor, found compression 5"),
    ],
)
def test_other_tiffs_are_refused(tmp_path, options, message):
    product = open_product(write_folder(str(tmp_path), files(tiff(digital_numbers(), **options))))
    with pytest.raises(BadProduct, match=message):
        open_measurement(product, product.swaths[0])


def test_tiff_of_another_size(tmp_path):
    product = open_product(write_folder(str(tmp_path), files(tiff(digital_numbers()[:-1]))))
    with pytest.raises(BadProduct, match="expected 21 x 2000 samples as annotated, found 20 x 2000"):
        open_measurement(product, product.swaths[0])


@pytest.mark.parametrize("content", [b"", b"II*\0", b"no TIFF at all", tiff(digital_numbers())[:300]])
def test_unreadable_tiff(tmp_path, content):
    product = open_product(write_folder(str(tmp_path), files(content)))
    with pytest.raises(BadProduct, match=r"005\.tiff"):
        open_measurement(product, product.swaths[0])


@pytest.mark.parametrize("damage", [slice(-20000, -16000), slice(-9000, -8900)])
def test_damaged_strip(tmp_path, damage):
    """The second damage unpacks to the right length: only the checksum tells."""
    content = bytearray(tiff(digital_numbers(), compression=8))
    content[damage] = bytes(damage.stop - damage.start)
    product = open_product(write_folder(str(tmp_path), files(bytes(content))))
    with pytest.raises(BadProduct, match=r"strip \d+ can't be unpacked"):
        read_window(product, product.swaths[0], product.bursts[2], WHOLE)


class TestRefused:
    """What is no product, with a message that says so."""

    def test_other_product_types(self, tmp_path):
        with pytest.raises(BadProduct, match="expected an IW SLC product, found EW GRD"):
            open_product(write_folder(str(tmp_path), files(mode="EW", kind="GRD")))

    def test_nothing_there(self, tmp_path):
        with pytest.raises(Unavailable, match=r"none\.SAFE: nothing is there"):
            open_product(str(tmp_path / "none.SAFE"))

    def test_folder_without_manifest(self, tmp_path):
        with pytest.raises(BadProduct, match=r"expected a SAFE product with manifest\.safe, found none"):
            open_product(str(tmp_path))

    def test_no_zip(self, tmp_path):
        (tmp_path / "a.zip").write_bytes(b"something else")
        with pytest.raises(BadProduct, match="expected a zip, found something unreadable"):
            open_product(str(tmp_path / "a.zip"))

    def test_zip_cut_short(self, tmp_path):
        url = write_zip(str(tmp_path), files())
        data = open_store(url).read_bytes()
        open_store(url).write_bytes("", data[:-100])
        with pytest.raises(BadProduct, match="expected a zip, found something unreadable"):
            open_product(url)

    def test_two_products_in_a_zip(self, tmp_path):
        twice = {f"{k}.SAFE/{path}": data for k in "ab" for path, data in files().items()}
        with pytest.raises(BadProduct, match=r"expected one product in the zip, found 2 manifest\.safe"):
            open_product(write_zip(str(tmp_path), twice, prefix=""))

    @pytest.mark.parametrize("name", ["../evil", "a/../../b", "/etc/x", "a\\b", "c:x", "a\nb", "x" * 1001])
    def test_names_that_lead_out(self, tmp_path, name):
        with pytest.raises(BadProduct, match="expected plain relative names in the zip"):
            open_product(write_zip(str(tmp_path), files() | {name: b""}, prefix=""))

    def test_xml_that_unpacks_without_end(self, tmp_path):
        huge = b"<a>" + bytes(17 * 1024 * 1024)
        with pytest.raises(BadProduct, match="expected at most 16777216 bytes of XML, found more"):
            open_product(write_zip(str(tmp_path), files(annotation=huge), zipfile.ZIP_DEFLATED))

    def test_polarization_that_is_none(self):
        with pytest.raises(BadInput, match="polarization must be one of VV, VH, HH, HV, instead got 'XX'"):
            open_product("anything", "XX")

    def test_unknown_protocol(self):
        with pytest.raises(BadInput, match=r"can't open nowhere://u/x: .*expected a path or a file:"):
            open_product("nowhere://user:secret@u/x?token=1")


class TestRealProducts:
    """The real annotations; their samples are absent or zero."""

    def test_all_open(self, shared_data, caplog):
        urls = [*shared_data.glob("*/*.SAFE"), shared_data / "alps"]
        urls += shared_data.glob("annotation_with_orbits/safe_zips/*.zip")
        assert len(urls) == 16
        for url in urls:
            product = open_product(str(url))
            for burst in product.bursts:
                assert burst.platform == product.platform and len(burst.orbit.time) >= 16
                middle = burst.azimuth_time + np.timedelta64(
                    int(burst.lines / 2 * burst.azimuth_time_interval * 1e9), "ns"
                )
                for record in (burst.doppler_centroid, burst.azimuth_fm_rate):
                    assert abs(record.azimuth_time - middle) < np.timedelta64(3, "s")
                assert -2700 < burst.azimuth_fm_rate(burst.slant_range_time) < -1900  # Hz/s
        assert caplog.messages == []  # annotated burst ids agree with computed ones

    def test_the_same_ground_has_the_same_id(self, shared_data):
        first, second = (open_product(str(p)) for p in sorted(shared_data.glob("hambach_pair/*.SAFE")))
        assert [b.burst_id for b in first.bursts] == [b.burst_id for b in second.bursts]
        hambach = [b.burst_id for b in first.bursts if b.swath == "IW2" and b.index == 4]
        assert hambach == ["t088_187170_iw2"]

    def test_footprint_contains_its_grid_points(self, shared_data):
        from shapely import Point, Polygon

        product = open_product(str(next(shared_data.glob("hambach_pair/*20210624*.SAFE"))))
        burst = next(b for b in product.bursts if b.swath == "IW2" and b.index == 4)
        assert Polygon(burst.footprint).contains(Point(6.573, 50.892))  # the Hambach pit, line 351 of about 1500

    def test_node_crossing(self, shared_data):
        product = open_product(str(next(shared_data.glob("annotation_with_orbits/safe_zips/*_20221024T*.zip"))))
        ids = [b.burst_id for b in product.bursts if b.swath == "IW2"]
        assert product.track == 15
        assert ids[:5] == [f"t015_{n:06d}_iw2" for n in range(32216, 32220)] + ["t016_032220_iw2"]

    def test_real_measurement_of_zeros(self, shared_data):
        url = str(next(shared_data.glob("morocco_pair/*20230904*.SAFE")))
        product = open_product(url, "VV")
        swath = product.swaths[0]
        found = read_window(product, swath, swath.bursts[3], Window(0, 200, 0, 3000))
        valid = np.isfinite(found)
        expected = swath.bursts[3].first_valid_sample[:200, None] <= np.arange(3000)
        np.testing.assert_array_equal(valid, expected & (swath.bursts[3].first_valid_sample[:200, None] >= 0))
        assert np.all(found[valid] == 0)
