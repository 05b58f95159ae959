"""The index of items and its search at 45,000 and 405,000 items: seconds to write, bytes, and seconds to answer.

Items are made up but whole: nine assets, checksums, statistics and renders, as the publisher writes them. Times of a
search include opening the index and making the items; the file is in the page cache.

    python bench/catalog_search.py [--items 45000 405000] [--folder build/bench/catalog] [--documents 2000]
    python bench/catalog_search.py --ask build/bench/catalog/405000 --items 405000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from catalog.assets import Stored
from catalog.index import update_index, write_snapshot
from catalog.query import count, search, search_table
from catalog.snapshot import POINTER
from catalog.stac import build_item, item_path, rebase
from pipeline.activity.area import ActiveArea
from pipeline.cube import cube_attributes, template
from pipeline.model import Mine
from pipeline.settings import Settings

COMMODITIES = ("iron ore", "copper ore", "gold ore", "coal", "bauxite", "limestone")
COUNTRIES = ("ZAF", "AUS", "BRA", "CHL", "CHN", "IND", "USA", "PRK", "CAN", "DEU")
YEARS = range(2016, 2025)
KINDS = ("cube", "ndai", "activity", "composite", "colours", "series", "thumbnail", "manifest")
SUFFIX = {"cube": ".zarr", "ndai": ".ndai.tif", "activity": ".activity.tif", "composite": ".composite.tif",
          "colours": ".colours.tif", "series": ".series.parquet", "thumbnail": ".thumbnail.png",
          "manifest": ".manifest.json"}  # fmt: skip


def example(year: int) -> dict:
    """A whole item of one mine and year, with hrefs relative to the index."""
    mine = Mine("MINE", "MINE", {}, "COUNTRY", "COMMODITY")
    grid = GeoBox.from_bbox((696_000, 6_928_000, 706_000, 6_938_000), "EPSG:32734", resolution=20)
    attributes = cube_attributes(
        mine, year, Settings(), track=29, equivalent_looks=7.37, source_granules=["S1A"], fingerprint="f" * 64,
        dem="Copernicus GLO-30", orbit_pass="descending",
    )  # fmt: skip
    start = np.datetime64(f"{year - 1}-12-24T16:45:01", "ns") + np.arange(30) * np.timedelta64(12, "D")
    cube = template(grid, start, start + np.timedelta64(12, "D"), attributes)
    cube["ndai"].values[...] = 0.1
    stored = [
        Stored(kind, f"products/MINE/{year}/v0.1.0-ffffffff{SUFFIX[kind]}", 1, "" if kind == "cube" else "0" * 64,
               (year - 2, year - 1, year) if kind in ("composite", "colours") else ())
        for kind in KINDS
    ]  # fmt: skip
    path = item_path("MINE", year)
    item = build_item(mine, cube, ActiveArea(1.0, 0.5, 1.5, 1.0, 1.0, 1), stored, path=path, version="0.1.0-ffffffff")
    document = json.loads(json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False)))
    return rebase(document, path, POINTER)


def synthetic(number: int, seed: int = 5) -> Iterator[dict]:
    """``number`` items of ``number / 9`` mines in nine years, sorted by id."""
    templates = {year: example(year) for year in YEARS}
    rng = np.random.default_rng(seed)
    for m in range(-(-number // len(YEARS))):
        place = rng.uniform((-170.0, -55.0), (170.0, 65.0))
        what, where = COMMODITIES[rng.integers(len(COMMODITIES))], COUNTRIES[rng.integers(len(COUNTRIES))]
        area = float(rng.lognormal(14.0, 1.0))
        for year in YEARS[: number - m * len(YEARS)]:
            area *= float(rng.lognormal(0.02, 0.1))
            yield _item(templates[year], f"mine-{m:06d}", year, place, (what, where, area), rng)


def _item(base: dict, mine: str, year: int, place, facts, rng) -> dict:
    what, where, area = facts
    unique = hashlib.sha256(f"{mine}{year}".encode()).hexdigest()
    ring = np.asarray(base["geometry"]["coordinates"][0])
    ring = np.round(ring - ring.mean(axis=0) + place, 7)
    known = rng.random() < 0.3
    properties = {
        **base["properties"],
        "title": f"{mine} {year}",
        "version": f"0.1.0-{unique[:8]}",
        "pitpulse:mine_id": mine,
        "pitpulse:mine_name": mine.title(),
        "pitpulse:commodity": what,
        "pitpulse:country": where,
        "pitpulse:active_area": round(area, 1),
        "pitpulse:active_area_interval": [round(0.9 * area, 1), round(1.1 * area, 1)],
        "pitpulse:active_pixels": int(area / 400),
        "pitpulse:ndai_mean": round(float(rng.uniform(0, 0.5)), 4),
        "pitpulse:production": round(20 * area) if known else None,
        "pitpulse:production_interval": [round(16 * area), round(25 * area)] if known else [None, None],
        "pitpulse:production_flags": [],
        "pitpulse:fingerprint": unique,
    }
    assets = {}
    for key, asset in base["assets"].items():
        asset = {**asset, "href": asset["href"].replace("MINE", mine).replace("ffffffff", unique[:8])}
        if "file:size" in asset:
            asset["file:size"] = int(rng.integers(10_000, 9_000_000))
        if "file:checksum" in asset:
            asset["file:checksum"] = "1220" + hashlib.sha256(f"{key}{unique}".encode()).hexdigest()
        assets[key] = asset
    assets["ndai"]["bands"] = [assets["ndai"]["bands"][0] | {"statistics": {"mean": round(float(rng.random()), 6)}}]
    return {
        **base,
        "id": f"{mine}-{year}",
        "geometry": {"type": "Polygon", "coordinates": [ring.tolist()]},
        "bbox": [*ring.min(axis=0).tolist(), *ring.max(axis=0).tolist()],
        "properties": properties,
        "assets": assets,
    }


def timed(label: str, work: Callable, repeat: int = 7, limit: float | None = None):
    """Print the median wall and processor time of ``work``, and the limit on the first where there is one."""
    wall, processor = [], []
    for _ in range(repeat):
        start = time.perf_counter(), time.process_time()
        result = work()
        wall.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    middle, busy = sorted(wall)[repeat // 2], sorted(processor)[repeat // 2]
    said = "" if limit is None else f"   (limit {1e3 * limit:.0f} ms: {'kept' if middle <= limit else 'MISSED'})"
    found = f"{len(result)} found" if hasattr(result, "__len__") else f"{result}"
    print(f"  {label:42s} {1e3 * middle:9.1f} ms  cpu {1e3 * busy:8.1f} ms   {found}{said}", flush=True)
    return result


def measure(number: int, folder: Path) -> None:
    """Write an index of ``number`` items and ask it."""
    root = folder / str(number)
    shutil.rmtree(root, ignore_errors=True)
    (root / "catalog").mkdir(parents=True)
    start = time.perf_counter()
    snapshot = write_snapshot(synthetic(number), root)
    seconds, size = time.perf_counter() - start, (root / snapshot.path).stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{number} items: made and written in {seconds:.1f} s, {size / 1e6:.1f} MB, peak {peak:.2f} GB", flush=True)
    subprocess.run(
        [sys.executable, __file__, "--ask", str(root), "--items", str(number)], check=True
    )  # a fresh process


def ask(root: Path, number: int) -> None:
    """Time the questions that the catalog promises an answer to."""
    mine = f"mine-{number // len(YEARS) // 2:06d}"
    text = '"pitpulse:country" = \'ZAF\' AND "pitpulse:year" = 2022 AND "pitpulse:active_area" > 4000000'
    timed("mine id, all its years as items", lambda: search(root, mine=mine), limit=0.05)
    timed("one id", lambda: search(root, ids=[f"{mine}-2020"]), limit=0.05)
    timed("year and area, CQL2 text, table", lambda: search_table(root, filter=text), limit=1.0)
    timed("year and area, CQL2 text, items", lambda: search(root, filter=text, limit=100), limit=1.0)
    timed("year and area, count", lambda: count(root, filter=text), limit=1.0)
    timed("box and year, 100 items", lambda: search(root, bbox=(20, -35, 33, -22), years=2022, limit=100), limit=1.0)
    timed("largest ten of a year", lambda: search(root, years=2022, sort="-active_area", limit=10), limit=1.0)
    timed("iron in South Africa, table of all years", lambda: search_table(root, country="ZAF", commodity="iron ore"))
    timed("first 1,000 items", lambda: search(root, limit=1000))


def documents(number: int, folder: Path) -> None:
    """Index ``number`` documents of a folder, then one that changed."""
    root = folder / "documents"
    shutil.rmtree(root, ignore_errors=True)
    for item in synthetic(number):
        path = root / "catalog" / "mine-activity" / f"{item['id']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rebase(item, POINTER, f"catalog/mine-activity/{path.name}"), indent=2))
    print(f"{number} documents of {path.stat().st_size / 1e3:.0f} kB", flush=True)
    timed("index from nothing", lambda: update_index(root), repeat=1)
    path.write_text(path.read_text().replace('"pitpulse:active_pixels": ', '"pitpulse:active_pixels": 1'))
    timed("index after one change", lambda: update_index(root), repeat=1)
    timed("index after none", lambda: update_index(root), repeat=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[45_000, 405_000])
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--folder", type=Path, default=Path("build/bench/catalog"))
    parser.add_argument("--ask", type=Path, help="only ask an index that is there, of --items items")
    arguments = parser.parse_args()
    if arguments.ask:
        return ask(arguments.ask, arguments.items[0])
    documents(arguments.documents, arguments.folder)
    for number in arguments.items:
        measure(number, arguments.folder)


if __name__ == "__main__":
    main()
