"""A scene made in seconds: a mine of 1.4 km across the overlap of two bursts, two years of four dates.

The north-western quarter of the mine is worked in 2022. The products exist twice: whole, and cut into two consecutive
slices of one burst each.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.simulate import Date, Scene, Simulated, Surface, Track, fractal_terrain, write_raster, write_scene
from pipeline.simulate.layout import fly
from pipeline.simulate.safe import create_product

LATITUDE, LONGITUDE, HEIGHT = -27.62, 22.94, 1180.0
DAYS = tuple(
    np.datetime64(first) + np.timedelta64(12 * k, "D") for first in ("2021-03-04", "2022-02-27") for k in range(4)
)
BASELINES = (0.0, 60.0, -40.0, 20.0, 35.0, -70.0, 10.0, 50.0)
TRACK = Track(LATITUDE, LONGITUDE, HEIGHT, "descending", "IW2", line=1400.0, bursts=2)
DATES = tuple(Date(day, b, line_shift=0.3 * k) for k, (day, b) in enumerate(zip(DAYS, BASELINES, strict=True)))
SETTINGS = ("minimum_pairs=3", "stable_minimum=50")  # four dates a year make three pairs
METRE = 1.0 / 111_200.0  # degrees
SAMPLE_BYTES = 4


@dataclass(frozen=True)
class TinyScene:
    """Where everything is."""

    slc: Path
    slices: Path
    dem: Path
    mine: Path
    products: tuple[Path, ...]
    bbox: tuple[float, float, float, float]  # of the mine

    def run(self, out, *more: str, archive: Path | None = None) -> list[str]:
        """Arguments of ``pitpulse run``."""
        words = ["run", "--archive", str(archive or self.slc), "--mine", str(self.mine), "--out", str(out)]
        words += ["--dem", str(self.dem), "--dem-datum", "ellipsoid", *more]
        return words if "--years" in more else [*words, "--years", "2021-2022"]

    def settings(self) -> list[str]:
        """``--set`` words that suit so few dates."""
        return [word for setting in SETTINGS for word in ("--set", setting)]

    def pair(self, out, *more: str) -> list[str]:
        """Arguments of ``pitpulse coherence`` for the first two dates over the mine."""
        words = ["coherence", *map(str, self.products[:2]), "--dem", str(self.dem), "--dem-datum", "ellipsoid"]
        return [*words, f"--bbox={','.join(map(str, self.bbox))}", "--out", str(out), *more]


def box(metres: float) -> tuple[float, float, float, float]:
    """West, south, east, north in degrees, ``metres`` to every side of the mine's middle."""
    d, e = metres * METRE, metres * METRE / np.cos(np.deg2rad(LATITUDE))
    return LONGITUDE - e, LATITUDE - d, LONGITUDE + e, LATITUDE + d


def ring(west, south, east, north) -> list[list[float]]:
    """A rectangle as a GeoJSON ring."""
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


WORKED = (box(700.0)[0], LATITUDE, LONGITUDE, box(700.0)[3])  # in 2022: 0.49 km2


def worked_coherence(ground, start, stop):
    """Stable but for the north-western quarter of the mine in 2022."""
    gamma = np.full(ground.latitude.shape, 0.95, np.float32)
    if np.datetime64(stop, "Y") == np.datetime64("2022"):
        west, south, east, north = WORKED
        quarter = (ground.latitude > south) & (ground.latitude < north)
        gamma[quarter & (ground.longitude < east) & (ground.longitude > west)] = 0.05
    return gamma


def make_tiny_scene(folder: Path) -> TinyScene:
    """Render it under ``folder``."""
    terrain = fractal_terrain(LATITUDE, LONGITUDE, extent=5_500.0, spacing=60.0, roughness=15.0, base=HEIGHT, seed=3)
    scene = Scene(TRACK, DATES, Surface(terrain, worked_coherence), box(1_500.0), seed=5)
    made = write_scene(scene, folder / "slc", workers=1)
    write_slices(scene, made, folder / "slices")
    write_raster(terrain, folder / "dem.tif")
    facts = {"id": "tiny", "name": "Tiny mine", "country": "ZAF", "commodity": "iron ore"}
    geometry = {"type": "Polygon", "coordinates": [ring(*box(700.0))]}
    (folder / "mine.geojson").write_text(json.dumps({"type": "Feature", "properties": facts, "geometry": geometry}))
    return TinyScene(
        folder / "slc", folder / "slices", folder / "dem.tif", folder / "mine.geojson", made.products, box(700.0)
    )


def write_slices(scene: Scene, made: Simulated, folder: Path) -> None:
    """The same samples as products of one burst each."""
    folder.mkdir()
    for number, (date, product) in enumerate(zip(scene.dates, made.products, strict=True)):
        flight = fly(scene.track, date, scene.swaths, "VV")
        _, whole = create_product(folder.parent / "again", flight, ("VV",), scene.surface.terrain)
        source = product / "measurement" / whole["IW2", "VV"].path.name
        for k, burst in enumerate(flight.bursts["IW2"]):
            cut = replace(flight, bursts={"IW2": (replace(burst, index=0),)})
            _, files = create_product(folder, cut, ("VV",), scene.surface.terrain)
            window = made.truths[k * len(scene.dates) + number].window
            old, new = whole["IW2", "VV"], files["IW2", "VV"]
            with open(source, "rb") as read, open(new.path, "r+b") as write:
                for line in range(window.line_start, window.line_stop):
                    row = old.width * SAMPLE_BYTES
                    read.seek(old.offset + (k * burst.lines + line) * row)
                    write.seek(new.offset + line * row)
                    write.write(read.read(row))
    shutil.rmtree(folder.parent / "again")
