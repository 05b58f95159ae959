"""A whole scene: dates of one track over one surface, written as SAFE products with their truth beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..errors import BadInput, NoCoverage
from ..model import Window
from .geometry import project
from .layout import Date, Track, fly
from .render import DEFAULT_INGREDIENTS, Ingredients, Surface, Truth, View, make_stage, render_stack
from .safe import compact, create_product
from .tiff import write_window

TRUTH_ARRAYS = ("line_offset", "sample_offset", "geometric_phase", "coherence", "valid")


@dataclass(frozen=True, eq=False)
class Scene:
    """What to simulate.

    Parameters
    ----------
    track : Track
    dates : tuple of Date
        Rising.
    surface : Surface
    area : tuple of float
        West, south, east, north in degrees: what gets samples, in every burst that sees it. The rest of the files
        is zero.
    swaths, polarizations : tuple of str
        Of the products; only swaths that see the area get samples.
    ingredients : Ingredients
    seed : int
        Same scene, same bytes.
    reference : int
        The date on whose grid the scatterers live and that the truth is relative to.
    """

    track: Track
    dates: tuple[Date, ...]
    surface: Surface = field(repr=False)
    area: tuple[float, float, float, float]
    swaths: tuple[str, ...] = ("IW2",)
    polarizations: tuple[str, ...] = ("VV",)
    ingredients: Ingredients = DEFAULT_INGREDIENTS
    seed: int = 0
    reference: int = 0

    def __post_init__(self):
        days = [np.datetime64(d.day, "D") for d in self.dates]
        if not days or any(b <= a for a, b in pairwise(days)):
            raise BadInput(f"dates must rise and hold at least one, instead got {[str(d) for d in days]}")
        if not 0 <= self.reference < len(days):
            raise BadInput(f"reference must be a date's number, 0…{len(days) - 1}, instead got {self.reference}")
        if self.track.swath not in self.swaths:
            raise BadInput(f"swaths must hold the track's {self.track.swath}, instead got {self.swaths}")


@dataclass(frozen=True, eq=False)
class Simulated:
    """What `write_scene` made: the products in the order of the dates, and the truth per burst and date."""

    products: tuple[Path, ...]
    truths: tuple[Truth, ...]


def area_window(view: View, surface: Surface, area: tuple[float, float, float, float]) -> Window:
    """The window of a burst that sees an area (W, S, E, N in degrees) at any height, cut to valid samples."""
    west, south, east, north = area
    heights = surface.terrain.heights
    lon, lat, height = np.meshgrid(
        np.linspace(west, east, 5), np.linspace(south, north, 5), [heights.min(), heights.max()], indexing="ij"
    )
    seen = np.empty((2, 1, lon.size))
    project(lat.reshape(1, -1), lon.reshape(1, -1), height.reshape(1, -1), view.series(), seen)
    line, sample = view.position(seen[0], seen[1])
    window = Window(
        int(np.floor(line.min())),
        int(np.ceil(line.max())) + 1,
        int(np.floor(sample.min())),
        int(np.ceil(sample.max())) + 1,
    ).clipped(view.burst)
    top, bottom = view.burst.valid_lines
    left, right = view.burst.first_valid_sample.max(), view.burst.last_valid_sample.max() + 1
    return Window(
        max(window.line_start, top),
        max(min(window.line_stop, bottom), max(window.line_start, top)),
        max(window.sample_start, int(left)),
        max(min(window.sample_stop, int(right)), max(window.sample_start, int(left))),
    )


def write_scene(
    scene: Scene,
    folder: Path | str,
    workers: int = 2,
    keep_truth: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Simulated:
    """Write every date of a scene as a SAFE product under ``folder``.

    Parameters
    ----------
    scene : Scene
    folder : Path
        Made where absent; products of the same name are overwritten.
    workers : int
        Dates rendered at a time.
    keep_truth : bool
        Hold the truth's arrays in the result; many dates of a large window need the memory.
    progress : callable
        Called with a line of text when a date of a burst is written.

    Returns
    -------
    Simulated

    Raises
    ------
    NoCoverage
        No burst of the scene sees its area.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    flights = [fly(scene.track, date, scene.swaths, scene.polarizations[0]) for date in scene.dates]
    made = [create_product(folder, flight, scene.polarizations, scene.surface.terrain) for flight in flights]
    truths: list[Truth] = []
    for swath in scene.swaths:
        for burst in range(scene.track.bursts):
            views = [View(f.bursts[swath][burst], f.trajectory) for f in flights]
            window = area_window(views[scene.reference], scene.surface, scene.area)
            if window.size == 0:
                continue
            first = flights[scene.reference].bursts[swath][0]
            lines = (views[scene.reference].burst.start - first.start) / first.azimuth_time_interval
            for polarization in scene.polarizations:
                files = [m[swath, polarization] for _, m in made]
                name = f"{swath} burst {burst} {polarization}"
                for truth in _render(scene, views, window, files, (polarization, round(lines), workers)):
                    truths.append(truth)
                    progress(f"{name}: {np.datetime_as_string(truth.date, 'D')} written")
    if not truths:
        raise NoCoverage(
            f"no burst of {', '.join(scene.swaths)} sees the area {scene.area}; move it or the track's point"
        )
    return Simulated(tuple(p for p, _ in made), tuple(truths) if keep_truth else ())


def _render(scene: Scene, views: list[View], window: Window, files: list, how: tuple) -> Iterator[Truth]:
    """Samples of one burst and polarisation into every date's measurement."""
    polarization, scene_line, workers = how
    stage = make_stage(views[scene.reference], window, scene.surface, workers)
    seed = scene.seed * 4 + scene.polarizations.index(polarization)
    for done in render_stack(stage, views, scene.ingredients, seed, scene_line, workers):
        burst, file = views[done.index].burst, files[done.index]
        first = burst.index * burst.lines + done.window.line_start, done.window.sample_start
        write_window(file.path, file.width, file.offset, first, done.samples)
        yield done.truth


def save_truth(truth: Truth, folder: Path | str) -> Path:
    """One truth as ``truth_<burst id>_<date>.npz`` under ``folder``, all arrays in full precision."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"truth_{truth.burst_id}_{compact(truth.date)}.npz"
    arrays = {name: getattr(truth, name) for name in TRUTH_ARRAYS}
    w = truth.window
    window = np.array([w.line_start, w.line_stop, w.sample_start, w.sample_stop])
    np.savez(path, burst_id=truth.burst_id, date=truth.date, window=window, **arrays)
    return path


def load_truth(path: Path | str) -> Truth:
    """The inverse of `save_truth`."""
    with np.load(path) as file:
        window = Window(*(int(v) for v in file["window"]))
        arrays = {name: file[name] for name in TRUTH_ARRAYS}
        return Truth(str(file["burst_id"]), np.datetime64(file["date"][()], "ns"), window, **arrays)
