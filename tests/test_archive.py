"""Listing an archive: what is broken is told, what didn't change isn't read again, one granule a recording."""

import dataclasses
import os
import shutil
import time

import numpy as np
import pytest

from pipeline.archive import Coverage, Granule, list_archive, resolve
from pipeline.errors import BadProduct, NoCoverage
from pipeline.storage import open_store

SQUARE = ((22.0, -28.0), (24.0, -28.0), (24.0, -27.0), (22.0, -27.0))
NAME = "S1A_IW_SLC__1SDV_20210304T164325_20210304T164352_036850_04561A_{}"


def manifests(scene, folder, count=8):
    """SAFE folders of the tiny scene with nothing in them but manifests."""
    for product in scene.products[:count]:
        (folder / product.name).mkdir(parents=True)
        shutil.copy2(product / "manifest.safe", folder / product.name)
    return folder


def granule(unique="A1B2", start="2021-03-04T16:43:25", track=1, **more):
    return Granule(np.datetime64(start, "ns"), NAME.format(unique), track, f"slc/{unique}", **more)


def test_all_are_listed_with_what_their_manifests_say(tiny_scene, tmp_path):
    listed = list_archive(manifests(tiny_scene, tmp_path))
    assert [g.name for g in listed.granules] == [p.name.removesuffix(".SAFE") for p in tiny_scene.products]
    assert listed.broken == listed.dropped == ()
    assert all(len(g.footprint) == 4 for g in listed.granules)
    assert len({g.track for g in listed.granules}) == 1


def test_a_broken_product_is_told_and_the_others_go_on(tiny_scene, tmp_path):
    manifests(tiny_scene, tmp_path)
    names = sorted(p.name for p in tmp_path.iterdir())
    (tmp_path / names[0] / "manifest.safe").unlink()
    (tmp_path / names[1] / "manifest.safe").write_text("<torn")
    text = (tmp_path / names[2] / "manifest.safe").read_text()
    (tmp_path / names[2] / "manifest.safe").write_text(text.replace(">IW<", ">EW<"))
    (tmp_path / names[3].replace(".SAFE", ".zip")).write_bytes(b"no zip")
    shutil.rmtree(tmp_path / names[3])
    listed = list_archive(tmp_path)
    reasons = dict(listed.broken)
    assert len(listed.granules) == 4 and sorted(reasons) == [n.removesuffix(".SAFE") for n in names[:4]]
    assert "nothing is there" in reasons[names[0].removesuffix(".SAFE")]
    assert "expected XML" in reasons[names[1].removesuffix(".SAFE")]
    assert "found EW SLC" in reasons[names[2].removesuffix(".SAFE")]
    assert "expected a zip" in reasons[names[3].removesuffix(".SAFE")]
    for name in names[4:]:
        shutil.rmtree(tmp_path / name)
    with pytest.raises(BadProduct, match=r"none of 4 product\(s\) can be used; the first"):
        list_archive(tmp_path)


def test_only_what_changed_is_read_again(tiny_scene, tmp_path):
    first = list_archive(manifests(tiny_scene, tmp_path))
    for path in tmp_path.rglob("manifest.safe"):  # same length, same time: only a reader would see it
        stat = path.stat()
        with open(path, "r+b") as file:
            file.write(b"X" * 40)

        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again = list_archive(tmp_path, known=first.facts)
    assert again.granules == first.granules and again.broken == ()
    path = next(tmp_path.rglob("manifest.safe"))
    path.write_bytes(path.read_bytes() + b" ")
    assert len(list_archive(tmp_path, known=first.facts).broken) == 1


def test_folders_by_day(tiny_scene, tmp_path):
    flat = list_archive(manifests(tiny_scene, tmp_path / "flat"))
    for g in flat.granules:
        day = str(g.start)[:10].split("-")
        place = (tmp_path / "days").joinpath(*day)
        place.mkdir(parents=True)
        shutil.copytree(g.url, place / f"{g.name}.SAFE")
    deep = list_archive(tmp_path / "days")
    assert [(g.name, g.revision) for g in deep.granules] == [(g.name, g.revision) for g in flat.granules]
    assert "/2021/03/04/" in deep.granules[0].url
    (tmp_path / "days/2021/notes").mkdir()
    assert len(list_archive(tmp_path / "days").granules) == 8
    with pytest.raises(NoCoverage, match="no Sentinel-1 IW SLC product found"):
        list_archive(tmp_path / "days/2021/notes")


def test_the_last_processing_counts():
    old, new = granule("AAAA", processed="2021-03-04"), granule("0000", processed="2023-01-01")
    moved = dataclasses.replace(new, start=new.start + np.timedelta64(1, "s"))
    for pair in ([old, new], [new, old], [old, moved]):
        kept, dropped = resolve(pair)
        assert [g.name for g in kept] == [new.name]
        assert dropped == ((old.name, f"{new.name} is a later processing of it"),)


def test_what_lies_there_twice_counts_once():
    folder = granule("AAAA")
    kept, dropped = resolve([dataclasses.replace(folder, url="slc/z.zip"), folder])
    assert kept == (folder,) and dropped == ((folder.name, "it lies there twice"),)


def test_slices_and_other_platforms_are_kept():
    first, second = granule("AAAA"), granule("BBBB", start="2021-03-04T16:43:50")
    other = dataclasses.replace(first, name=first.name.replace("S1A", "S1C"))
    elsewhere = granule("CCCC", track=2)
    kept, dropped = resolve([first, second, other, elsewhere])
    assert len(kept) == 4 and dropped == ()


@pytest.mark.parametrize(
    ("bounds", "seen"),
    [((22.9, -27.6, 23.0, -27.5), True), ((24.02, -27.5, 24.1, -27.4), True), ((25.0, -27.5, 25.1, -27.4), False)],
)
def test_footprints_tell_which_products_see_a_mine(bounds, seen):
    unknown = granule("BBBB")
    found = Coverage([granule("AAAA", footprint=SQUARE), unknown]).over(bounds)
    assert [g.name[-4:] for g in found] == (["AAAA", "BBBB"] if seen else ["BBBB"])


@pytest.mark.parametrize("west", [179.5, -180.5])
def test_a_footprint_across_180_degrees(west):
    across = granule(footprint=((179.0, -17.0), (-179.0, -17.0), (-179.0, -16.0), (179.0, -16.0)))
    assert Coverage([across]).over((west, -16.6, west + 0.1, -16.5)) == [across]
    assert Coverage([across]).over((0.0, -16.6, 0.1, -16.5)) == []


def test_many_mines_and_many_products_take_seconds():
    rng = np.random.default_rng(0)
    corners = np.array(SQUARE) - (23.0, -27.5)
    centers = rng.uniform((-170, -60), (170, 60), (5000, 2))
    products = [granule(f"{k:04X}", footprint=tuple(map(tuple, (corners + c).tolist()))) for k, c in enumerate(centers)]
    started = time.perf_counter()
    coverage = Coverage(products)
    seen = [coverage.over((x, y, x + 0.05, y + 0.05)) for x, y in rng.uniform((-170, -60), (170, 60), (1000, 2))]
    assert time.perf_counter() - started < 20.0  # 0.2 s measured
    assert 0 < np.mean([len(s) for s in seen]) < 5


def test_the_listing_of_a_bucket(s3, tiny_scene, tmp_path):
    folder = manifests(tiny_scene, tmp_path, count=3)
    place = open_store(s3.url("listing"))
    for product in folder.iterdir():
        place.write_bytes(f"{product.name}/manifest.safe", (product / "manifest.safe").read_bytes())
    here, there = list_archive(folder), list_archive(s3.url("listing"))
    assert [(g.name, g.revision, g.footprint) for g in here.granules] == [
        (g.name, g.revision, g.footprint) for g in there.granules
    ]
    assert list_archive(s3.url("listing"), known=there.facts).granules == there.granules
