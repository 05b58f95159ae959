"""Granules from a STAC API: complete, one of each recording, and never a part of the answer where it fails."""

import dataclasses
import json

import numpy as np
import pytest

from pipeline.archive import Coverage, Granule, list_archive
from pipeline.errors import BadInput, Unavailable
from pipeline.sentinel1.search import SearchSettings, is_api, item_granule, parse_api, search_granules, split_bounds

from .stac_replica import Replica, item_of, serve

SQUARE = ((22.0, -28.0), (24.0, -28.0), (24.0, -27.0), (22.0, -27.0))
MINE = (22.9, -27.7, 23.0, -27.6)
FIRST, LAST = np.datetime64("2021-01-01"), np.datetime64("2022-12-31")
FAST = SearchSettings(backoff=0.01, timeout=10.0)


def granule(k=0, footprint=SQUARE, day="2021-03-04", clock="164325", **more):
    date = np.datetime64(day) + 12 * k
    compact = str(date).replace("-", "")
    name = f"S1A_IW_SLC__1SDV_{compact}T{clock}_{compact}T164352_036850_04561A_{0xA000 + k:04X}"
    start = np.datetime64(f"{date}T{clock[:2]}:{clock[2:4]}:{clock[4:]}", "ns")
    return Granule(start, name, 36, "", f"r{k}", footprint, orbit_pass="descending", **more)


def found(replica, bounds=MINE, settings=FAST, start=FIRST, stop=LAST):
    return search_granules(replica.archive, bounds, start, stop, settings)


@pytest.mark.parametrize(("page", "requests"), [(1, 7), (3, 3), (100, 1)])
def test_all_pages_are_read(page, requests):
    truth = [granule(k) for k in range(7)]
    with serve(Replica([item_of(g) for g in reversed(truth)])) as replica:
        listed = found(replica, settings=dataclasses.replace(FAST, page=page))
    assert [g.name for g in listed.granules] == [g.name for g in truth]
    assert listed.broken == listed.dropped == () and len(replica.asked) == requests


def test_an_item_says_what_a_manifest_says(tiny_scene):
    here = [dataclasses.replace(g, processed="2023-01-05T10:00:00") for g in list_archive(tiny_scene.slc).granules]
    with serve(Replica([item_of(g) for g in here])) as replica:
        there = found(replica, tiny_scene.bbox).granules
    for a, b in zip(here, there, strict=True):
        same = ("start", "name", "track", "footprint", "processed", "orbit_pass")
        assert [getattr(a, n) for n in same] == [getattr(b, n) for n in same]
        assert b.url == f"s3://eodata/Sentinel-1/SAR/IW_SLC__1S/{str(a.start)[:10].replace('-', '/')}/{a.name}.SAFE"
        assert b.revision.endswith(a.revision) and a.orbit_pass == "descending"


def test_only_the_area_and_the_time_asked_for():
    items = [item_of(granule(k)) for k in range(4)]
    with serve(Replica(items)) as replica:
        assert found(replica, (0.0, 0.0, 1.0, 1.0)).granules == ()
        some = found(replica, start=np.datetime64("2021-03-16"), stop=np.datetime64("2021-03-28T23:59:59"))
    assert [g.revision[-2:] for g in some.granules] == ["r1", "r2"]


@pytest.mark.parametrize("fault", [429, 500, 503, 504])
def test_a_transient_fault_is_tried_again(fault):
    with serve(Replica([item_of(granule(k)) for k in range(3)], faults=[fault, fault])) as replica:
        assert len(found(replica, settings=dataclasses.replace(FAST, page=2)).granules) == 3
    assert len(replica.asked) == 2 + 2


def test_a_lasting_fault_is_no_empty_answer():
    with serve(Replica([item_of(granule())], faults=[503] * 20)) as replica:
        with pytest.raises(Unavailable, match=r"can't search http://127\.0\.0\.1:\d+/v1: .*4 attempts"):
            found(replica)
    assert len(replica.asked) == 4


def test_a_refusal_is_not_repeated():
    with serve(Replica([item_of(granule())], faults=[403] * 20)) as replica:
        with pytest.raises(Unavailable, match="status 403"):
            found(replica)
    assert len(replica.asked) == 1


def test_what_is_no_api_is_said():
    with serve(Replica([])) as replica:
        with pytest.raises(Unavailable, match="can't search"):
            search_granules(f"stac+{replica.url}/nothing", MINE, FIRST, LAST, FAST)
    with pytest.raises(Unavailable, match=r"can't search http://127\.0\.0\.1:9"):
        search_granules("stac+http://127.0.0.1:9/v1", MINE, FIRST, LAST, dataclasses.replace(FAST, attempts=2))


def test_pages_that_repeat_end():
    with serve(Replica([item_of(granule())], stuck=True)) as replica:
        with pytest.raises(Unavailable, match="its paging is broken"):
            found(replica)
    assert len(replica.asked) == 2


def test_across_the_antimeridian():
    east = granule(0, ((179.0, -17.0), (180.0, -17.0), (180.0, -16.0), (179.0, -16.0)))
    west = granule(1, ((-180.0, -17.0), (-179.0, -17.0), (-179.0, -16.0), (-180.0, -16.0)))
    cut = item_of(granule(2))
    cut["geometry"] = {
        "type": "MultiPolygon",
        "coordinates": [item_of(g)["geometry"]["coordinates"] for g in (east, west)],
    }
    with serve(Replica([item_of(east), item_of(west), cut])) as replica:
        for bounds in [(179.5, -16.6, -179.5, -16.4), (179.5, -16.6, 180.5, -16.4)]:
            listed = found(replica, bounds)
            assert [g.revision[-2:] for g in listed.granules] == ["r0", "r1", "r2"]
        assert [q["bbox"] for q in replica.asked[:2]] == [[179.5, -16.6, 180.0, -16.4], [-180.0, -16.6, -179.5, -16.4]]
    both = Coverage(listed.granules[2:])
    assert both.over((179.5, -16.6, 179.6, -16.5)) == both.over((-179.6, -16.6, -179.5, -16.5)) == [listed.granules[2]]
    assert both.over((0.0, -16.6, 0.1, -16.5)) == []


def test_the_last_processing_counts():
    old = granule(0, processed="2021-03-04T20:00:00")
    new = dataclasses.replace(old, name=f"{old.name[:-4]}0001", processed="2023-05-01T00:00:00")
    second = granule(0, clock="164350")  # the next slice of the pass
    with serve(Replica([item_of(g) for g in (new, old, second)])) as replica:
        listed = found(replica)
    assert [g.name for g in listed.granules] == [new.name, second.name]
    assert listed.dropped == ((old.name, f"{new.name} is a later processing of it"),)


def test_the_shortest_slices_are_kept():
    first, second = granule(0, clock="164325"), granule(0, clock="164327")  # a burst apart: 2.8 s, cut to seconds
    with serve(Replica([item_of(first), item_of(second)])) as replica:
        listed = found(replica)
    assert [g.name for g in listed.granules] == [first.name, second.name] and listed.dropped == ()


def test_other_products_are_passed_over_and_broken_items_told():
    good, no_track, no_place = (item_of(granule(k)) for k in range(3))
    del no_track["properties"]["sat:relative_orbit"]
    no_place["assets"] = {"thumbnail": {"href": "https://download.invalid/quick-look.png"}}
    other, wide = item_of(granule(3)), item_of(granule(4), **{"sar:instrument_mode": "EW"})
    other["id"], other["assets"] = "S1A_EW_SLC__1SDH_20210304T164325_20210304T164352_036850_04561A_A1B2", {}
    with serve(Replica([good, no_track, no_place, other, wide])) as replica:
        listed = found(replica)
    assert [g.name for g in listed.granules] == [good["id"]]
    reasons = dict(listed.broken)
    assert sorted(reasons) == sorted([no_track["id"], no_place["id"]])
    assert "expected sat:relative_orbit" in reasons[no_track["id"]]
    assert "expected an asset in a .SAFE folder or a zip" in reasons[no_place["id"]]


def test_where_an_item_lies_and_what_its_revision_is():
    item = item_of(granule())
    name = item["id"]
    item["assets"]["Product"]["file:checksum"] = "d501abcd"
    assert item_granule(item).revision == "d501abcd"
    item["assets"] = {
        "zip": {"href": f"https://host.invalid/{name}.zip"},
        "vv": {"href": f"/disk/{name}.SAFE/a/b.tiff"},
    }
    assert item_granule(item).url == f"/disk/{name}.SAFE"
    del item["assets"]["vv"]
    assert item_granule(item).url == f"https://host.invalid/{name}.zip"
    item["id"] = "8a7f"  # some number their products; the file tells
    assert item_granule(json.loads(json.dumps(item))).name == name


def test_names_of_apis():
    assert parse_api("cdse") == ("https://stac.dataspace.copernicus.eu/v1", "sentinel-1-slc")
    assert parse_api("stac+https://host.invalid/a/#slc") == ("https://host.invalid/a", "slc")
    assert parse_api("stac+https://host.invalid/a") == ("https://host.invalid/a", "sentinel-1-slc")
    assert not is_api("s3://bucket/slc") and not is_api("slc")
    with pytest.raises(BadInput, match=r"expected cdse or stac\+https"):
        parse_api("https://host.invalid")


def test_bounds_and_times_are_checked():
    assert split_bounds((10.0, -1.0, 11.0, 1.0)) == [(10.0, -1.0, 11.0, 1.0)]
    assert split_bounds((181.0, -1.0, 182.0, 1.0)) == [(-179.0, -1.0, -178.0, 1.0)]
    with pytest.raises(BadInput, match="bounds must be west, south, east, north"):
        split_bounds((10.0, 2.0, 11.0, 1.0))
    with pytest.raises(BadInput, match="must run from start to stop"):
        search_granules("cdse", MINE, LAST, FIRST)
