"""Bursts that were cut out of a product: the same geometry and samples as from the product, listed, joined, refused."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from pipeline.archive import Granule, list_archive, passes, resolve
from pipeline.commands.coherence import PairRequest, pair_coherence
from pipeline.commands.run import parse_settings
from pipeline.errors import BadInput, BadProduct, NoCoverage
from pipeline.mine_year import DemSource, make_year, open_acquisition
from pipeline.model import Window
from pipeline.plan import RunRequest, make_plan
from pipeline.sentinel1 import asf, products, safe
from pipeline.sentinel1.measurement import open_measurement
from pipeline.settings import Settings
from pipeline.simulate.layout import Date, Track, fly
from pipeline.simulate.safe import create_product
from pipeline.simulate.terrain import fractal_terrain
from pipeline.stack import BurstReader
from pipeline.storage import open_store

from .asf_replica import metadata_xml, write_burst, write_bursts
from .test_reader import GRANULE, LINES, SAMPLES, annotation_xml, digital_numbers, files, tiff, write_folder
from .tiny_scene import SETTINGS

PLACE = f"{GRANULE}/IW2/VV"


@pytest.fixture(scope="module")
def cut(tiny_scene, tmp_path_factory) -> tuple[Path, ...]:
    """The bursts of the tiny scene's first two products."""
    folder = tmp_path_factory.mktemp("cut")
    return tuple(write_bursts(product, folder) for product in tiny_scene.products[:2])


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A product of three bursts of a few lines, with noise in them."""
    return Path(write_folder(str(tmp_path_factory.mktemp("small")), files(tiff(digital_numbers()))))


@pytest.fixture
def pairs(small, tmp_path) -> Path:
    """An archive with its bursts 0 to 2."""
    write_bursts(small, tmp_path / "slc", [("IW2", k) for k in range(3)])
    return tmp_path / "slc"


def assert_same(first, second):
    """Two frozen values are equal to the last bit, arrays too."""
    assert type(first) is type(second)
    for field in dataclasses.fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if dataclasses.is_dataclass(a):
            assert_same(a, b)
        elif isinstance(a, np.ndarray):
            assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), field.name
        else:
            assert a == b, field.name


def burst_of(product, burst_id):
    return next((s, b) for s in product.swaths for b in s.bursts if b.burst_id == burst_id)


# --- what a burst is ------------------------------------------------------------------------------


def test_bursts_are_those_of_the_product_in_every_field(tiny_scene, cut):
    for path, folder in zip(tiny_scene.products, cut, strict=False):
        whole, parts = safe.open_product(str(path)), products.open_product(str(folder))
        assert [b.index for b in parts.bursts] == [0, 1]
        for first, second in zip(whole.bursts, parts.bursts, strict=True):
            assert_same(first, second)
        for name in ("granule", "platform", "track", "absolute_orbit", "orbit_pass", "processor_version", "start_time"):
            assert getattr(whole, name) == getattr(parts, name), name
        assert_same(whole.swaths[0].geolocation_grid, parts.swaths[0].geolocation_grid)


def test_samples_are_those_of_the_product(small, pairs):
    whole, parts = products.open_product(str(small)), products.open_product(str(pairs / GRANULE))
    reader = BurstReader(threads=1)
    for burst in whole.bursts:
        for window in (Window(0, LINES, 0, SAMPLES), Window(2, 5, 20, 61), Window(3, 4, 1900, 2000)):
            found = reader.read(parts, *burst_of(parts, burst.burst_id), window)[0]
            expected = reader.read(whole, whole.swaths[0], burst, window)[0]
            assert found.tobytes() == expected.tobytes() and np.isfinite(found).any()


def test_a_burst_alone_keeps_its_place_in_the_swath(small, tmp_path):
    write_burst(small, tmp_path, "IW2", 2)
    whole, part = products.open_product(str(small)), products.open_product(str(tmp_path / GRANULE))
    (burst,) = part.bursts
    assert burst.index == 2
    assert_same(whole.bursts[2], burst)
    window = Window(1, 4, 100, 140)
    found = open_measurement(part, part.swaths[0]).read(burst, window)
    assert found.tobytes() == open_measurement(whole, whole.swaths[0]).read(whole.bursts[2], window).tobytes()


def test_a_pair_has_the_same_coherence_and_costs_little_more_than_its_windows(tiny_scene, cut):
    dem = DemSource((str(tiny_scene.dem),), "ellipsoid")
    results = []
    for places in (tiny_scene.products[:2], cut):
        request = PairRequest(*map(str, places), dem, tiny_scene.bbox, radar=True)
        results.append(pair_coherence(request))
    (whole, groups, _), (parts, radar, bytes_read) = results
    assert len(groups) == 2 and np.nanmean(whole["coherence"]) > 0.7
    assert parts["coherence"].values.tobytes() == whole["coherence"].values.tobytes()
    for key, group in groups.items():
        for name in ("reference", "secondary", "line_offset", "sample_offset"):
            assert radar[key][name].values.tobytes() == group[name].values.tobytes()
    windows = 2 * 4 * sum(group["reference"].size for group in groups.values())
    assert windows < bytes_read < 1.5 * windows  # 1.3 measured, for 0.5 MB and four headers


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_tiff_that_gdal_wrote(small, pairs):
    """16-bit complex as GDAL has it, several lines a strip or deflated."""
    numbers = digital_numbers()[LINES : 2 * LINES].astype(np.float32)
    product = products.open_product(str(pairs / GRANULE))
    swath, burst = product.swaths[1], product.swaths[1].bursts[0]
    expected = open_measurement(product, swath).read(burst, Window(0, LINES, 0, SAMPLES))
    path = pairs / GRANULE / swath.measurement
    for more in ({}, {"blockysize": 3}, {"compress": "deflate"}):
        shape = {"width": SAMPLES, "height": LINES, "count": 1, "dtype": "complex_int16"}
        with rasterio.open(path, "w", driver="GTiff", **shape, **more) as file:
            file.write(numbers[..., 0] + 1j * numbers[..., 1], 1)
        found = open_measurement(product, swath).read(burst, Window(0, LINES, 0, SAMPLES))
        assert found.tobytes() == expected.tobytes()


# --- what is asked for ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three_swaths(tmp_path_factory) -> Path:
    """A product of three swaths in two polarizations, of two bursts each, and bursts of it beside it; no signal."""
    folder = tmp_path_factory.mktemp("swaths")
    terrain = fractal_terrain(-27.62, 22.94, extent=5_500.0, spacing=500.0, roughness=15.0, base=1180.0, seed=3)
    track = Track(-27.62, 22.94, 1180.0, "descending", "IW2", bursts=2)
    flight = fly(track, Date(np.datetime64("2021-03-04")), ("IW1", "IW2", "IW3"), "VV")
    product, _ = create_product(folder / "safe", flight, ("VV", "VH"), terrain)
    for swath, index, polarization in (("IW1", 1, "VV"), ("IW2", 0, "VV"), ("IW2", 0, "VH")):
        write_burst(product, folder, swath, index, polarization)
    return folder


def test_swaths_and_polarizations_of_a_granule_are_one_acquisition(three_swaths):
    (listed,) = list_archive(three_swaths).granules
    assert listed.bursts == ("IW1/VV/1", "IW2/VV/0", "IW2/VH/0")
    whole = safe.open_product(str(next((three_swaths / "safe").iterdir())))
    wanted = {(b.swath, b.polarization, b.index): b for b in whole.bursts}
    for polarization, expected in (("VV", [("IW1", "VV", 1), ("IW2", "VV", 0)]), ("VH", [("IW2", "VH", 0)])):
        bursts = open_acquisition([listed.url], Settings(polarization=polarization)).bursts(polarization)
        assert [(b.swath, b.polarization, b.index) for b in bursts] == expected
        for key, burst in zip(expected, bursts, strict=True):
            assert_same(wanted[key], burst)


def test_only_what_is_asked_for_is_opened(three_swaths):
    (listed,) = list_archive(three_swaths).granules
    parts = products.open_product(listed.url, "vv", swaths={"IW2"})
    assert [s.measurement for s in parts.swaths] == ["IW2/VV/0.tiff"]
    assert products.open_product(listed.url, "VV", swaths={"IW3"}).swaths == ()
    with pytest.raises(BadProduct, match="expected bursts of IW3 in VV, found none"):
        open_acquisition([listed.url], Settings(), {"IW3"})
    with pytest.raises(BadProduct, match="expected bursts of HH, found VH, VV"):
        products.open_product(listed.url, "HH")
    with pytest.raises(BadInput, match="polarization must be one of"):
        asf.open_product(listed.url, "XX")


def test_the_reader_is_found_by_what_is_there(small, pairs, tmp_path):
    assert products.reader_of(str(small)) is safe and products.reader_of(str(pairs / GRANULE)) is asf
    assert products.reader_of(str(tmp_path)) is safe and products.reader_of(str(tmp_path / "none")) is safe
    (tmp_path / GRANULE / "IW2").mkdir(parents=True)
    with pytest.raises(BadProduct, match="expected bursts of any polarization, found no burst"):
        products.open_product(str(tmp_path / GRANULE))
    (pairs / GRANULE).rename(pairs / "renamed")
    with pytest.raises(BadProduct, match="expected a folder named after its granule"):
        asf.open_product(str(pairs / "renamed"))


# --- what an archive holds ------------------------------------------------------------------------


def test_an_archive_of_bursts(tiny_scene, cut):
    listed = list_archive(cut[0].parent)
    assert listed.broken == listed.dropped == ()
    whole = {g.name: g for g in list_archive(tiny_scene.slc).granules}
    assert [g.name for g in listed.granules] == [p.name for p in cut]
    for granule in listed.granules:
        assert granule.bursts == ("IW2/VV/0", "IW2/VV/1") and granule.url == str(cut[0].parent / granule.name)
        for name in ("start", "track", "processed", "orbit_pass"):
            assert getattr(granule, name) == getattr(whole[granule.name], name)
        lon, lat = np.mean(granule.footprint, axis=0)
        assert tiny_scene.bbox[0] - 1 < lon < tiny_scene.bbox[2] + 1
        assert tiny_scene.bbox[1] - 0.5 < lat < tiny_scene.bbox[3] + 0.5


def missing_xml(place):
    (place / "1.xml").unlink()


def missing_tiff(place):
    (place / "1.tiff").unlink()


def truncated_tiff(place):
    os.truncate(place / "1.tiff", (place / "1.tiff").stat().st_size - 100)


def no_tiff(place):
    (place / "1.tiff").write_bytes(b'{"message": "accepted"}')  # what is answered as long as the burst is being made


def wider_tiff(place):
    (place / "1.tiff").write_bytes(tiff(np.zeros((LINES, SAMPLES + 1, 2), np.int16)))


def torn_xml(place):
    (place / "1.xml").write_bytes((place / "1.xml").read_bytes()[:3000])


def annotation_alone(place):
    (place / "1.xml").write_bytes(annotation_xml())


def entity(place):
    replace_in(place / "1.xml", "?>\n", '?>\n<!DOCTYPE b [<!ENTITY a "b">]>')


def other_date(place):
    replace_in(place / "1.xml", "2021-06-24T", "2021-06-12T")


def other_slice(place):
    replace_in(place / "1.xml", "T17:2", "T17:1")  # all times but the node's, and the same orbit


def other_orbit(place):
    replace_in(place / "1.xml", ">38485<", ">38310<")


def other_platform(place):
    replace_in(place / "1.xml", "<safe:number>A<", "<safe:number>B<", "number>A<", "number>B<")


def other_polarization(place):
    replace_in(place / "1.xml", ">VV<", ">VH<")


def other_swath(place):
    replace_in(place / "1.xml", "<swath>IW2</swath>", "<swath>IW3</swath>")


def beyond_the_last(place):
    (place / "1.xml").rename(place / "9.xml")
    (place / "1.tiff").rename(place / "9.tiff")


def replace_in(path, *words):
    text = path.read_text()
    for old, new in zip(words[::2], words[1::2], strict=True):
        text = text.replace(old, new)
    assert text != path.read_text()
    path.write_text(text)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (missing_xml, r"IW2/VV/1: expected 1\.xml beside 1\.tiff, found none"),
        (missing_tiff, r"IW2/VV/1: expected 1\.tiff beside 1\.xml, found none"),
        (truncated_tiff, r"1\.tiff is truncated"),
        (no_tiff, r"1\.tiff: expected a TIFF, found something unreadable"),
        (wider_tiff, r"1\.tiff: expected 7 x 2000 samples as annotated, found 7 x 2001"),
        (torn_xml, r"1\.xml: expected XML, found something unreadable"),
        (annotation_alone, r"1\.xml: expected a burst's XML with <manifest> and <metadata>, found <product>"),
        (entity, r"1\.xml: expected plain XML, found a document type"),
        (other_date, r"1\.xml: expected the annotation of S1A.*found one of S1A, orbit 38485, 2021-06-12T17"),
        (other_slice, r"1\.xml: expected the annotation of S1A.*another granule"),
        (other_orbit, r"1\.xml: expected the annotation of S1A.*orbit 38310"),
        (other_platform, r"1\.xml: expected the annotation of S1A.*found one of S1B"),
        (other_polarization, r"1\.xml: expected the annotation of IW2 VV, found IW2 VH"),
        (other_swath, r"1\.xml: expected the annotation of IW2 VV, found IW3 VV"),
        (beyond_the_last, r"xml: expected a burst 9 \(from 0\) in IW2, found 3 bursts"),
    ],
)
def test_a_broken_pair_is_told_and_the_others_go_on(pairs, spoil, reason):
    spoil(pairs / PLACE)
    listed = list_archive(pairs)
    ((name, why),) = listed.broken
    assert name == f"{PLACE}/{9 if spoil is beyond_the_last else 1}"
    with pytest.raises(BadProduct, match=reason):
        raise BadProduct(why)
    (granule,) = listed.granules
    assert granule.bursts == ("IW2/VV/0", "IW2/VV/2")
    assert [b.index for b in products.open_product(granule.url).bursts] == [0, 2]
    assert list_archive(pairs, known=listed.facts) == listed  # it is told again though nothing is read again
    for kind in ("xml", "tiff"):
        for k in (0, 2):
            (pairs / PLACE / f"{k}.{kind}").unlink()
    with pytest.raises(BadProduct, match=reason):
        list_archive(pairs)


def test_what_changed_is_read_again(small, pairs):
    first = list_archive(pairs)
    assert list_archive(pairs, known=first.facts).granules == first.granules
    missing_xml(pairs / PLACE)
    fewer = list_archive(pairs, known=first.facts)
    assert fewer.granules[0].bursts == ("IW2/VV/0", "IW2/VV/2")
    assert fewer.granules[0].revision != first.granules[0].revision
    write_burst(small, pairs, "IW2", 1)
    again = list_archive(pairs, known=fewer.facts)
    assert again.granules == first.granules and again.broken == ()  # the same revision, whenever it was written


def test_of_many_bursts_one_annotation_is_read(pairs):
    for path in (pairs / PLACE).glob("*.xml"):
        with open(path, "a") as file:
            file.write(f"<!--{2_000_000 * '.'}-->")
    location = open_store(str(pairs / GRANULE))
    assert len(asf.read_bursts(location).swaths) == 3
    assert 2_000_000 < location.traffic.bytes_read < 3_000_000


def test_a_mixed_archive_gives_one_acquisition_a_date(tiny_scene, cut, tmp_path):
    """The first date is there whole and as bursts, the second as bursts, the third whole."""
    for place in (tiny_scene.products[0], tiny_scene.products[2], *cut):
        (tmp_path / place.name).symlink_to(place)
    listed = list_archive(tmp_path)
    names = [p.name.removesuffix(".SAFE") for p in tiny_scene.products[:3]]
    assert [g.name for g in listed.granules] == names and [bool(g.bursts) for g in listed.granules] == [
        False,
        True,
        False,
    ]
    assert listed.dropped == ((names[0], f"{names[0]} holds its bursts"),)
    ((_, dates),) = passes(listed.granules).items()
    assert [[g.name for g in date] for date in dates] == [[name] for name in names]
    for date in dates:
        bursts = open_acquisition([g.url for g in date], Settings(), {"IW2"}).bursts("VV")
        assert [b.burst_id for b in bursts] == ["t069_147303_iw2", "t069_147304_iw2"]


def test_a_year_over_a_mixed_archive_is_the_same(tiny_scene, cut, tmp_path):
    for place in (*cut, *tiny_scene.products[2:4]):
        (tmp_path / place.name).symlink_to(place)
    dem, years = DemSource((str(tiny_scene.dem),), "ellipsoid"), []
    for archive in (tiny_scene.slc, tmp_path):
        places = {"archive": str(archive), "mine": str(tiny_scene.mine), "out": str(tmp_path / "out")}
        request = RunRequest(**places, years=(2021,), dem=dem, settings=parse_settings(list(SETTINGS)))
        (job,) = make_plan(request, print).jobs
        years.append(make_year(job))
    whole, mixed = years
    assert [name for name in whole.cube.data_vars if not whole.cube[name].equals(mixed.cube[name])] == []
    assert mixed.bytes_read < 1.5 * mixed.window_bytes  # 1.2 measured


def test_bursts_of_a_granule_in_two_places_are_one_acquisition(small, tmp_path):
    write_bursts(small, tmp_path / "2021", [("IW2", 0), ("IW2", 1)])
    write_bursts(small, tmp_path / "2022", [("IW2", 2), ("IW2", 1)])
    write_bursts(small, tmp_path / "2023", [("IW2", 1)])
    listed = list_archive(tmp_path)
    ((_, (date,)),) = passes(listed.granules).items()
    assert {g.bursts for g in date} == {("IW2/VV/0", "IW2/VV/1"), ("IW2/VV/1", "IW2/VV/2")}
    assert listed.dropped == ((GRANULE, f"{GRANULE} holds its bursts"),)
    acquisition = open_acquisition([g.url for g in date], Settings())
    bursts = acquisition.bursts("VV")
    assert sorted(b.index for b in bursts) == [0, 1, 2]
    assert all(acquisition.find(b.burst_id, "VV")[2] is b for b in bursts)


def part(*bursts, processed="2021", unique="A1B2", start="2021-03-04T16:43:25"):
    name = f"S1A_IW_SLC__1SDV_20210304T164325_20210304T164352_036850_04561A_{unique}"
    return Granule(np.datetime64(start, "ns"), name, 1, f"slc/{name}", processed=processed, bursts=bursts)


def test_bursts_processed_again_stand_for_the_old_ones():
    old, new = part("IW1/VV/0"), part("IW1/VV/0", "IW1/VV/1", processed="2023", unique="C3D4")
    assert resolve([old, new])[0] == resolve([new, old])[0] == (new,)
    more = part("IW1/VV/0", "IW2/VV/0")
    assert set(resolve([more, new])[0]) == {more, new}  # either has one that the other lacks
    whole = part(processed="2020", unique="E5F6")
    kept, dropped = resolve([old, new, whole])
    assert kept == (whole,) and len(dropped) == 2
    later = part("IW1/VV/0", start="2021-03-04T16:43:50")
    assert resolve([whole, later])[0] == (whole, later)  # of the next slice


def test_bursts_in_a_bucket(s3, pairs):
    (pairs / PLACE / "0.xml").unlink()
    place = open_store(s3.url("cut"))
    for path in pairs.rglob("*.*"):
        place.write_bytes(str(path.relative_to(pairs)), path.read_bytes())
    here, there = list_archive(pairs), list_archive(s3.url("cut"))
    assert [dataclasses.replace(g, url="") for g in here.granules] == [
        dataclasses.replace(g, url="") for g in there.granules
    ]
    assert [name for name, _ in there.broken] == [f"{PLACE}/0"]
    assert list_archive(s3.url("cut"), known=there.facts) == there
    first, second = (products.open_product(listed.granules[0].url) for listed in (here, there))
    reader, window = BurstReader(threads=1), Window(1, 6, 300, 1700)
    for swath in second.swaths:
        found, _, bytes_read, _ = reader.read(second, swath, swath.bursts[0], window)
        mine = next(s for s in first.swaths if s.measurement == swath.measurement)
        assert found.tobytes() == reader.read(first, mine, mine.bursts[0], window)[0].tobytes()
        assert bytes_read < 1.5 * 4 * window.size + 16 * 1024  # and a header


def test_an_empty_archive_says_what_is_expected(tmp_path):
    (tmp_path / GRANULE / "other").mkdir(parents=True)
    with pytest.raises(NoCoverage, match=r"of bursts \(IW2/VV/7.tiff, .xml\)"):
        list_archive(tmp_path)


def test_the_replica_is_what_is_documented(small):
    """Not of our reader: what the sources of `asf_replica` say of the XML."""
    from xml.etree import ElementTree

    root = ElementTree.fromstring(metadata_xml(small))
    assert [child.tag for child in root] == ["manifest", "metadata"] and len(root[0]) == 1
    assert [child.tag for child in root[1]] == ["product", "noise", "calibration"]
    assert all(child.attrib["source_filename"].split("-")[-8].lower() == "iw2" for child in root[1])
    assert len(root.findall("metadata/product/content/swathTiming/burstList/burst")) == 3
