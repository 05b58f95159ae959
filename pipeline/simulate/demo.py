"""The demo mine: an open pit four kilometres across, three years, with everything known that the product should find.

Year 1: the western pit and the southern dump are worked. Year 2: nothing moves, and snow lies on one date. Year 3:
the eastern pit and the northern dump. Bare, stable ground elsewhere in the mine, vegetation around it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..constants import WGS84_A
from ..model import EmissionFactor, Mine, ProductionFigure
from .layout import Date, Track
from .rasters import write_raster
from .render import Ground, Surface
from .scene import Scene, Simulated, write_scene
from .terrain import Terrain, fractal_terrain, pit_depth, smoothed

LATITUDE, LONGITUDE, HEIGHT = -27.62, 22.94, 1180.0
FIRST_DAYS = {2021: "2021-03-04", 2022: "2022-02-27", 2023: "2023-02-22"}  # 360 days apart: thirty repeats
DATES_A_YEAR = 14
SNOW_DATE = np.datetime64("2022-04-28")
QUIET_YEAR = 2022

BARE, VEGETATION, WORKED = 0.93, 0.25, 0.05  # γ over 12 days
BARE_REACH = 1.12  # bare ground goes on for 12 % of the radius beyond the mine's polygon
SNOW = 0.32  # κ: pairs with the snow date keep γ·κ = 0.30 even on bare ground
REPORTED_ORE = 2.7e6  # t in 2021, the only year with a report
DUMP_SHARE = 0.7  # of a year's intervals in which its part of the dump is worked, from the first


@dataclass(frozen=True)
class Outline:
    """A rounded shape in local metres: centre, half axes, turn (rad), and a wobble of its radius."""

    east: float
    north: float
    half_east: float
    half_north: float
    turn: float = 0.0
    wobble: float = 0.0

    def radius(self, latitude, longitude) -> NDArray[np.float64]:
        """0 at the centre, 1 on the outline, more outside; same shape as ``latitude`` (degrees)."""
        east = (np.asarray(longitude) - LONGITUDE) * _METRES[0] - self.east
        north = (np.asarray(latitude) - LATITUDE) * _METRES[1] - self.north
        c, s = np.cos(self.turn), np.sin(self.turn)
        x, y = (c * east + s * north) / self.half_east, (c * north - s * east) / self.half_north
        return np.hypot(x, y) / (1.0 + self.wobble * np.cos(3.0 * np.arctan2(y, x)))

    def polygon(self, vertices: int = 96) -> dict:
        """The outline as a GeoJSON polygon, lon/lat degrees."""
        angle = np.linspace(0.0, 2.0 * np.pi, vertices + 1)
        reach = 1.0 + self.wobble * np.cos(3.0 * angle)
        x, y = reach * np.cos(angle) * self.half_east, reach * np.sin(angle) * self.half_north
        c, s = np.cos(self.turn), np.sin(self.turn)
        lon = LONGITUDE + (self.east + c * x - s * y) / _METRES[0]
        lat = LATITUDE + (self.north + s * x + c * y) / _METRES[1]
        ring = [[round(float(a), 7), round(float(b), 7)] for a, b in zip(lon, lat, strict=True)]
        return {"type": "Polygon", "coordinates": [[*ring[:-1], ring[0]]]}


_METRES = (np.deg2rad(1.0) * WGS84_A * np.cos(np.deg2rad(LATITUDE)), np.deg2rad(1.0) * WGS84_A)  # per degree
MINE = Outline(0.0, 0.0, 1900.0, 1750.0, 0.3, 0.05)
PIT = Outline(-420.0, 260.0, 820.0, 560.0, 0.35)
DUMP = Outline(850.0, -560.0, 620.0, 420.0, 0.9)
WORK = {
    2021: {"pit_west": Outline(-690.0, 190.0, 430.0, 360.0), "dump_south": Outline(650.0, -780.0, 330.0, 280.0)},
    2022: {},
    2023: {"pit_east": Outline(-190.0, 330.0, 430.0, 360.0), "dump_north": Outline(1020.0, -340.0, 330.0, 280.0)},
}


@dataclass(frozen=True, eq=False)
class Demo:
    """The demo and what is true of it."""

    scene: Scene
    mine: Mine
    activity: dict[int, dict[str, dict]] = field(repr=False)  # year → name → GeoJSON polygon
    quiet_year: int = QUIET_YEAR
    snow_date: np.datetime64 = SNOW_DATE


def demo_terrain() -> Terrain:
    """Gentle ground with a benched pit 120 m deep and a dump 45 m high; posts every 30 m."""
    ground = fractal_terrain(
        LATITUDE, LONGITUDE, extent=6_000.0, spacing=30.0, roughness=14.0, base=HEIGHT, seed=11
    )  # fmt: skip
    latitude, longitude = ground.latitudes[:, None], ground.longitudes[None, :]
    pit = pit_depth((1.0 - PIT.radius(latitude, longitude)) / 0.55, depth=120.0, bench=20.0)
    dump = pit_depth((1.0 - DUMP.radius(latitude, longitude)) / 0.35, depth=45.0, bench=15.0)
    return smoothed(ground, ground.heights - pit + dump)


def demo_dates(dates_a_year: int = DATES_A_YEAR) -> tuple[Date, ...]:
    """Twelve days apart within a year, with small baselines, timing and Doppler of their own."""
    rng = np.random.default_rng(7)
    dates = []
    for first in FIRST_DAYS.values():
        for k in range(dates_a_year):
            across, along, shift, doppler = rng.normal(0.0, [55.0, 25.0, 1.5, 4.0])
            day = np.datetime64(first) + np.timedelta64(12 * k, "D")
            dates.append(Date(day, round(across, 1), round(along, 1), round(shift, 2), 0.0, round(doppler - 15.0, 1)))
    dates[0] = replace(dates[0], perpendicular_baseline=0.0, parallel_baseline=0.0, line_shift=0.0)
    return tuple(dates)


def demo_surface(terrain: Terrain, dates_a_year: int = DATES_A_YEAR) -> Surface:
    """The demo's ground: γ, κ and backscatter, from outlines that are found once for every burst."""

    @lru_cache(maxsize=32)  # a Ground is one burst's; forty intervals ask for the same outlines
    def within(outline: Outline, reach: float, ground: Ground) -> NDArray[np.bool_]:
        return outline.radius(ground.latitude, ground.longitude) < reach

    def coherence(ground: Ground, start: np.datetime64, stop: np.datetime64):
        """Bare mine, vegetation around, and the parts worked in the year that the interval ends in."""
        gamma = np.where(within(MINE, BARE_REACH, ground), np.float32(BARE), np.float32(VEGETATION))
        year = int(np.datetime64(stop, "Y").astype(int)) + 1970
        elapsed = (np.datetime64(stop, "D") - np.datetime64(FIRST_DAYS[year])).astype(int) / (12.0 * (dates_a_year - 1))
        for name, outline in WORK[year].items():
            if not name.startswith("dump") or elapsed <= DUMP_SHARE:
                gamma[within(outline, 1.0, ground)] = WORKED
        return gamma

    def transparency(ground: Ground, date: np.datetime64) -> float:
        return SNOW if np.datetime64(date, "D") == SNOW_DATE else 1.0

    def backscatter(ground: Ground, date: np.datetime64):
        """Rough walls bright, vegetation darker."""
        power = np.where(within(MINE, BARE_REACH, ground), np.float32(1.0), np.float32(0.6))
        power[within(PIT, 1.0, ground)] = 1.4
        return power

    return Surface(terrain, coherence, transparency, backscatter)


def demo_scene(
    *, dates_a_year: int = DATES_A_YEAR, orbit_pass: str = "descending", swath: str = "IW2", line: float = 750.0,
    bursts: int = 1, margin: float = 600.0, seed: int = 2021,
) -> Demo:  # fmt: skip
    """The demo's scene, mine and truth.

    Parameters
    ----------
    dates_a_year : int
        At least 6, so that the snow date exists; 13 or more keep a dozen pairs a year.
    orbit_pass, swath : str
    line : float
        Where the mine's centre falls in burst 0; near 1400 with ``bursts`` = 2 puts it across the overlap.
    bursts : int
    margin : float
        m of samples around the mine's bounds.
    seed : int
    """
    geometry = MINE.polygon()
    ring = np.array(geometry["coordinates"][0])
    west, south = ring.min(0) - margin / np.array(_METRES)
    east, north = ring.max(0) + margin / np.array(_METRES)
    surface = demo_surface(demo_terrain(), dates_a_year)
    track = Track(LATITUDE, LONGITUDE, HEIGHT, orbit_pass, swath, line, 13_000.0, 0, bursts)
    scene = Scene(
        track, demo_dates(dates_a_year), surface, (float(west), float(south), float(east), float(north)), (swath,),
        seed=seed
    )  # fmt: skip
    mine = Mine(
        "demo-pit", "Demo pit", geometry, "ZAF", "iron ore", "operating",
        production=(ProductionFigure(2021, REPORTED_ORE, "ore", "simulated report", "Mt"),),
        emission_factors=(EmissionFactor(0.0102, "asset", "simulated report"),),
    )  # fmt: skip
    return Demo(scene, mine, {y: {n: o.polygon() for n, o in parts.items()} for y, parts in WORK.items()})


def write_demo(
    demo: Demo, folder: Path | str, workers: int = 2, progress: Callable[[str], None] = lambda _: None
) -> Simulated:
    """The demo on disk: ``slc/*.SAFE``, ``dem.tif`` (ellipsoidal heights), ``mine.geojson``, ``sites.geojson`` (what is
    worked) and ``truth.json``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_raster(demo.scene.surface.terrain, folder / "dem.tif")
    mine = demo.mine
    properties = {name: getattr(mine, name) for name in ("id", "name", "country", "commodity", "status")}
    properties["production"] = [asdict(figure) for figure in mine.production]
    properties["emission_factors"] = [asdict(factor) for factor in mine.emission_factors]
    feature = {"type": "Feature", "properties": properties, "geometry": mine.geometry}
    collection = {"type": "FeatureCollection", "features": [feature]}
    (folder / "mine.geojson").write_text(json.dumps(collection, indent=1) + "\n")
    sites = [
        {"type": "Feature", "properties": {"name": name}, "geometry": geometry}
        for parts in demo.activity.values()
        for name, geometry in parts.items()
    ]
    (folder / "sites.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": sites}, indent=1) + "\n")
    truth = {
        "quiet_year": demo.quiet_year,
        "snow_date": str(demo.snow_date),
        "activity": {str(year): parts for year, parts in demo.activity.items()},
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    return write_scene(demo.scene, folder / "slc", workers, keep_truth=False, progress=progress)
