"""Many small mines end to end: throughput with one and two workers, and what a refresh with nothing new takes.

A scene of five dates over 6 x 6 km, simulated once under build/bench, with as many mines of 300 m as asked for. Each
line is a whole command, with its start-up; memory is the command's own, without the workers.

    python bench/many_mines.py [--mines 200] [--folder build/bench]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from multiprocessing import Pool
from pathlib import Path

from mine_year import METRE, scene, square

DATES, SIZE, MINE = 5, 6_000.0, 300.0
SETTINGS = ("minimum_pairs=2", "stable_minimum=20", "margin=0")


def write_mines(path: Path, count: int) -> None:
    """Squares on a lattice over the scene."""
    west, south, east, north = square(SIZE - 800.0)
    side = int(count**0.5 - 1e-9) + 1
    half = 0.5 * MINE * METRE
    features = []
    for k in range(count):
        x = west + (east - west) * (k % side + 0.5) / side
        y = south + (north - south) * (k // side + 0.5) / side
        a, b = half / 0.885, half  # cos of the latitude
        ring = [[x - a, y - b], [x + a, y - b], [x + a, y + b], [x - a, y + b], [x - a, y - b]]
        facts = {"id": f"pit-{k:04d}", "name": f"Pit {k}", "country": "ZAF", "commodity": "iron ore"}
        features.append(
            {"type": "Feature", "properties": facts, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        )
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def timed(name: str, words: list[str], mines: int) -> float:
    """Run the command; print and return its seconds."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    last = said.strip().splitlines()[-1] if said.strip() else ""
    print(
        f"{name:34s} {seconds:7.1f} s  {100 * seconds / mines:6.2f} s per 100 mines  "
        f"{usage.ru_maxrss / 1024:5.0f} MB  exit {os.waitstatus_to_exitcode(status)}  {last}",
        flush=True,
    )
    return seconds


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mines", type=int, default=200)
    parser.add_argument("--folder", default="build/bench")
    arguments = parser.parse_args()
    folder = Path(arguments.folder) / "many-mines"
    with Pool(1) as pool:  # a command begins with the memory of who starts it
        pool.apply(scene, (folder, DATES, SIZE))
    few = max(8, arguments.mines // 5)

    def words(action: str, count: int, out: Path, *more: str) -> list[str]:
        mines = folder / f"mines-{count}.geojson"
        write_mines(mines, count)
        said = [action, "--archive", folder / "slc", "--mine", mines, "--dem", folder / "dem.tif", "--out", out]
        said += ["--dem-datum", "ellipsoid", "--years", "2021", *more]
        return [*map(str, said), *(w for s in SETTINGS for w in ("--set", s))]

    seconds = {}
    shutil.rmtree(folder / "out-1", ignore_errors=True)
    timed("2 mines, loading kernels", words("refresh", 2, folder / "out-1"), 2)
    for workers in (1, 2):
        out, config = folder / f"out-{workers}", folder / f"workers-{workers}.json"
        shutil.rmtree(out, ignore_errors=True)
        # one thread each: two workers are to be twice one, not one whose kernels had both cores
        config.write_text(json.dumps({"cluster": {"kind": "local", "workers": workers, "threads": 1}}))
        name = f"{few} mines, {workers} worker(s)"
        seconds[workers] = timed(name, words("refresh", few, out, "--config", str(config)), few)
    start = timed("start-up: the same again", words("refresh", few, folder / "out-2"), few)
    net = {n: s - start for n, s in seconds.items()}
    print(f"efficiency of two workers: {net[1] / net[2] / 2:.2f} (start-up taken off)")
    out = folder / "out-many"
    shutil.rmtree(out, ignore_errors=True)
    timed(f"{arguments.mines} mines", words("refresh", arguments.mines, out), arguments.mines)
    timed("plan, nothing new", words("plan", arguments.mines, out), arguments.mines)
    timed("refresh, nothing new", words("refresh", arguments.mines, out), arguments.mines)


if __name__ == "__main__":
    main()
