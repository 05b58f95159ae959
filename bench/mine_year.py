"""A mine-year: 31 dates over 10 x 10 km in one burst, from a local folder to a published item.

Prints seconds, samples per second and the ratio to a plain memory copy of the same samples, per stage. The scene is
simulated once under build/bench (about two minutes) and reused.

    python bench/mine_year.py [--dates 31] [--size 10000] [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import time
from pathlib import Path

import numpy as np

from pipeline.archive import list_granules
from pipeline.mine_year import DemSource, make_year
from pipeline.model import Mine
from pipeline.plan import RunRequest, plan_jobs
from pipeline.settings import Settings
from pipeline.simulate import Date, Scene, Surface, Track, fractal_terrain, write_scene
from pipeline.simulate.rasters import write_raster

LATITUDE, LONGITUDE = -27.74, 22.99
METRE = 1.0 / 111_194.9  # degrees


def square(size: float) -> tuple[float, float, float, float]:
    """West, south, east, north in degrees of a square of ``size`` m."""
    half_lat, half_lon = 0.5 * size * METRE, 0.5 * size * METRE / np.cos(np.deg2rad(LATITUDE))
    return LONGITUDE - half_lon, LATITUDE - half_lat, LONGITUDE + half_lon, LATITUDE + half_lat


def scene(folder: Path, dates: int, size: float) -> None:
    """Write the products once."""
    done = folder / "done"
    if done.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    terrain = fractal_terrain(
        LATITUDE, LONGITUDE, extent=0.75 * size + 5000, spacing=30.0, roughness=60.0, base=1200.0, seed=1
    )
    rng = np.random.default_rng(2)
    first = np.datetime64("2020-12-26")
    passes = tuple(
        Date(first + np.timedelta64(12 * k, "D"), perpendicular_baseline=round(float(b), 1))
        for k, b in enumerate(rng.normal(0.0, 60.0, dates))
    )
    print(f"simulating {dates} dates, once", flush=True)
    write_scene(
        Scene(
            Track(LATITUDE, LONGITUDE, 1200.0, "descending", "IW2"),
            passes,
            Surface(terrain, coherence=0.93),
            square(size + 1500.0),
            seed=3,
        ),
        folder / "slc",
        keep_truth=False,
    )
    write_raster(terrain, folder / "dem.tif")
    done.write_text("")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dates", type=int, default=31)
    parser.add_argument("--size", type=float, default=10_000.0, help="m")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", default="build/bench")
    arguments = parser.parse_args()
    os.environ["PITPULSE_THREADS"] = str(arguments.threads)
    folder = Path(arguments.folder) / f"mine-year-{arguments.dates}-{arguments.size:.0f}"
    scene(folder, arguments.dates, arguments.size)

    west, south, east, north = square(arguments.size)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    mine = Mine("bench", "Bench", {"type": "Polygon", "coordinates": [ring]}, "ZAF", "iron ore")
    dem = DemSource((str(folder / "dem.tif"),), "ellipsoid")
    request = RunRequest(str(folder / "slc"), "", dem, (2021,), str(folder / "out"), settings=Settings(margin=0.0))
    for attempt in ("compiling or loading kernels", "measured"):
        shutil.rmtree(folder / "out", ignore_errors=True)
        started = time.perf_counter()
        cpu = time.process_time()
        job = plan_jobs(request, mine, list_granules(request.archive))[0]
        planned = time.perf_counter() - started
        year = make_year(job)
        seconds = {"plan": planned, **year.seconds}
        clock = time.perf_counter()
        _publish(mine, year, request)
        seconds["publish"] = time.perf_counter() - clock
        total = time.perf_counter() - started
        print(f"\n{attempt}: {total:.1f} s wall, {time.process_time() - cpu:.1f} s CPU")
    report(year, seconds, total, len(job.dates))


def _publish(mine, year, request) -> None:
    from pipeline.commands.publisher import CatalogPublisher
    from pipeline.finish import finish_years

    for finished in finish_years(mine, [year.cube], request.settings):
        CatalogPublisher().publish(mine, finished, request.out, {})


def report(year, seconds: dict, total: float, dates: int) -> None:
    """Stages against a plain copy of the same samples."""
    samples = year.window_bytes // 4
    source = np.ones(samples // dates, np.complex64)
    target = np.empty_like(source)
    np.copyto(target, source)
    clock = time.perf_counter()
    for _ in range(5):
        np.copyto(target, source)
    copy = (time.perf_counter() - clock) / 5 * dates
    print(f"window {samples / dates / 1e6:.2f} M samples a date, {dates} dates; cube {dict(year.cube.sizes)}")
    print(f"read {year.bytes_read / 1e6:.0f} MB = {year.bytes_read / year.window_bytes:.2f} x the windows' (1.5), "
          f"{year.requests} requests")  # fmt: skip
    print(f"{'stage':<12} {'s':>7} {'M samples/s':>12} {'x memory copy':>14}")
    for stage, value in seconds.items():
        print(f"{stage:<12} {value:7.2f} {samples / value / 1e6:12.1f} {value / copy:14.1f}")
    print(f"{'copy':<12} {copy:7.2f} {samples / copy / 1e6:12.1f} {1.0:14.1f}")
    print(f"total {total:.1f} s = {total / 20:.2f} x the target of 20 s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB (target 2)")


if __name__ == "__main__":
    main()
