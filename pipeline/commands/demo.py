"""``pitpulse demo`` and ``pitpulse simulate``: the demo mine, the main job on it, and the comparison with truth."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyproj
import shapely.geometry

from ..cube import grid_of, open_cube
from ..errors import AlreadyExists, BadInput, Unavailable
from ..grid import inside
from ..simulate.demo import Demo, demo_scene, write_demo
from ..variables import ACTIVE

if TYPE_CHECKING:
    from ..run import Outcome

SCENE = ("slc", "dem.tif", "mine.geojson", "sites.geojson", "truth.json")  # what `simulate` writes
RESULTS = ("products", "catalog", "pictures")  # what `run` writes


def simulate(out: str, overwrite: bool, say: Callable[[str], None], progress: Callable[[str], None], **scene) -> int:
    """Write the demo mine's products: all of them or, where it is interrupted, none.

    Raises
    ------
    AlreadyExists
        An earlier scene is at ``out`` and ``overwrite`` is false.
    """
    if "://" in out:
        raise BadInput(f"simulated products are written to a local folder, instead got {out}")
    if scene.get("dates_a_year", 14) < 6:
        raise BadInput(f"--dates must be at least 6, instead got {scene['dates_a_year']}")
    there = [name for name in SCENE if Path(out, name).exists()]
    if there and not overwrite:
        raise AlreadyExists(
            f"{out} holds {there[0]} already; choose another folder, or --overwrite to replace the scene"
        )
    started = time.perf_counter()
    demo = demo_scene(**scene)
    progress(f"simulating {len(demo.scene.dates)} dates")
    try:
        made = _write_scene(demo, Path(out), progress)
    except OSError as error:
        raise Unavailable(f"can't write {out}: {error.strerror or error}; check the folder and the disk") from error
    say(f"{made} products in {out}/slc, with dem.tif, mine.geojson, sites.geojson, truth.json")
    say(f"{time.perf_counter() - started:.1f} s; next: pitpulse run --archive {out}/slc --mine {out}/mine.geojson "
        f"--dem {out}/dem.tif --dem-datum ellipsoid --years 2021-2023 --out products")  # fmt: skip
    return 0


def _write_scene(demo: Demo, out: Path, progress: Callable[[str], None]) -> int:
    """Write beside the place under a hidden name, then move; returns the number of products."""
    fresh = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=out, prefix=".scene.", suffix=".part"))
    try:
        made = write_demo(demo, staging, progress=progress)
        _remove(out, SCENE)
        for name in SCENE:
            (staging / name).rename(out / name)
        fresh = False
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if fresh:
            with suppress(OSError):  # it holds something
                out.rmdir()
    return len(made.products)


def _remove(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def demo(out: str, scheduler: str | None, say: Callable[[str], None], progress: Callable[[str], None]) -> int:
    """Simulate, run, compare; 0 only where the result agrees with the truth.

    An earlier demo at ``out`` is removed first, so that what is compared was made now.
    """
    from ..clusters import read_cluster
    from ..dem_source import DemSource
    from ..plan import RunRequest
    from .pictures import PicturesRequest, draw
    from .run import execute, summary

    scene = f"{out}/scene"
    if Path(scene, "truth.json").exists():
        _remove(Path(out), RESULTS)
    simulate(scene, True, progress, progress)
    years = (2021, 2022, 2023)
    request = RunRequest(
        archive=f"{scene}/slc",
        mine=f"{scene}/mine.geojson",
        dem=DemSource((f"{scene}/dem.tif",), "ellipsoid"),
        years=years,
        out=out,
        cluster=read_cluster(scheduler) if scheduler else None,
        sites=f"{scene}/sites.geojson",
    )
    outcomes, seconds = execute(request, progress)
    items = tuple(outcome.item for outcome in outcomes if outcome.item)
    if items:
        drawn = draw(PicturesRequest(items, f"{out}/pictures", request.mine, request.sites), progress)
        for line in drawn.failed:
            say(f"no picture: {line}")
    for line in summary(outcomes, out, seconds):
        say(line)
    verdicts = compare(outcomes, json.loads(Path(f"{scene}/truth.json").read_text()))
    say("against the truth:")
    for good, text in verdicts:
        say(f"  {'ok ' if good else 'NOT'} {text}")
    return 0 if verdicts and all(good for good, _ in verdicts) else 1


def compare(outcomes: list[Outcome], truth: dict) -> list[tuple[bool, str]]:
    """(agrees, sentence) for every claim that the simulated truth allows to check."""
    out = []
    for outcome in outcomes:
        if not outcome.item:
            out.append((False, f"{outcome.year}: no product"))
            continue
        cube = open_cube(_cube_of(outcome))
        grid, year = grid_of(cube), str(outcome.year)
        mine = cube["mine"].values == 1
        active = (cube["activity"].values == ACTIVE) & mine
        parts = truth["activity"].get(year, {})
        expected = np.zeros_like(active)
        for name, polygon in parts.items():
            part = inside(polygon, grid) & mine
            expected |= part
            share = active[part].mean()
            out.append((share >= 0.8, f"{year}: {name} found on {share:.0%} of its {part.sum() * 4e-4:.2f} km²"))
        if parts:
            true = ground_area(parts.values())
            estimate, low, high = outcome.area
            text = f"{year}: active area {estimate / 1e6:.3f} km² (95 %: {low / 1e6:.3f}-{high / 1e6:.3f}), truth"
            out.append((abs(estimate / true - 1.0) <= 0.03, f"{text} {true / 1e6:.3f} km²"))
            iou = (active & expected).sum() / (active | expected).sum()
            out.append((iou >= 0.8, f"{year}: active mask against truth: intersection over union {iou:.3f}"))
        else:
            share = active.sum() / mine.sum()
            out.append((share <= 0.01, f"{year}: quiet year: {share:.2%} of the mine called active"))
        snow = {(a, b) for a, b, _, _ in outcome.rejected if truth["snow_date"] in (a, b)}
        if truth["snow_date"].startswith(year):
            others = len(outcome.rejected) - len(snow)
            good = len(snow) == 2 and others == 0
            out.append((good, f"{year}: {len(snow)} of 2 pairs with the snow date rejected, {others} others"))
    return out


def ground_area(polygons) -> float:
    """Area of GeoJSON polygons (lon/lat degrees) that don't overlap, on the WGS84 ellipsoid, m2."""
    ellipsoid = pyproj.Geod(ellps="WGS84")
    shapes = (shapely.geometry.shape(polygon) for polygon in polygons)
    return sum(abs(ellipsoid.geometry_area_perimeter(shape)[0]) for shape in shapes)


def _cube_of(outcome: Outcome) -> str:
    """Where an item's cube is, by way of the item, as any reader would."""
    item = json.loads(Path(outcome.item).read_text())
    return str((Path(outcome.item).parent / item["assets"]["cube"]["href"]).resolve())
