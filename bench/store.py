"""A mine-year read from an object store against the same from a folder: seconds by stage, requests, bytes.

The scene of ``bench/many_mines.py`` in a SeaweedFS on loopback (the test extra's), a mine of 5 x 5 km. The store shares
the machine's cores with the computing.

    python bench/store.py [--folder build/bench]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from multiprocessing import Pool
from pathlib import Path

from many_mines import DATES, SIZE, scene, square

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.archive import list_granules
from pipeline.dem_source import DemSource
from pipeline.mine_year import make_year
from pipeline.model import Mine
from pipeline.plan import RunRequest, plan_jobs
from pipeline.settings import Settings
from pipeline.storage import open_store
from tests.seaweed import Seaweed


def made(archive: str, dem: str) -> tuple[float, object]:
    """Seconds and the year, the kernels loaded before."""
    west, south, east, north = square(SIZE - 800.0)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    mine = Mine("bench", "Bench", {"type": "Polygon", "coordinates": [ring]}, "ZAF", "iron ore")
    settings = Settings(margin=0.0, minimum_pairs=2)
    request = RunRequest(archive, "", DemSource((dem,), "ellipsoid"), (2021,), "", settings=settings)
    started = time.perf_counter()
    year = make_year(plan_jobs(request, mine, list_granules(archive))[0])
    return time.perf_counter() - started, year


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="build/bench")
    folder = Path(parser.parse_args().folder) / "many-mines"
    with Pool(1) as pool:
        pool.apply(scene, (folder, DATES, SIZE))
    server = Seaweed((folder / "store").absolute())
    server.start()
    try:
        os.environ |= server.environment
        place = open_store(server.url("slc"))
        for path in sorted((folder / "slc").rglob("*")):
            if path.is_file():
                place.fs.put_file(str(path), f"{place.path}/{path.relative_to(folder / 'slc')}")
        dem = str(folder / "dem.tif")
        made(str(folder / "slc"), dem)
        results = {"folder": made(str(folder / "slc"), dem), "object store": made(server.url("slc"), dem)}
    finally:
        server.stop()
    for name, (seconds, year) in results.items():
        ratio = year.bytes_read / year.window_bytes
        stages = ", ".join(f"{stage} {spent:.2f} s" for stage, spent in year.seconds.items())
        print(f"{name:13s} {seconds:6.2f} s: {stages}")
        print(f"{'':13s} {year.requests} requests, {year.bytes_read / 1e6:.1f} MB, {ratio:.2f} x the windows")
    print(f"object store / folder: {results['object store'][0] / results['folder'][0]:.2f}")


if __name__ == "__main__":
    main()
