"""Sentinel-1 scenes with known truth, written as complete SAFE trees.

From scratch::

    track = Track(latitude, longitude, height, "descending", "IW2", line=750, sample=13000)
    dates = (Date(np.datetime64("2021-01-05")), Date(np.datetime64("2021-01-17"), perpendicular_baseline=80.0))
    surface = Surface(fractal_terrain(...), coherence=0.8)
    made = write_scene(Scene(track, dates, surface, area=(west, south, east, north)), folder)
    made.products   # SAFE folders, in the order of the dates
    made.truths     # Truth per burst and date: line_offset, sample_offset, geometric_phase, coherence, valid

Into real annotation (annotation and manifest copied, measurement files made)::

    terrain = raster_terrain(dem)
    made = render_into_real([safe_1, safe_2], folder, Surface(terrain, coherence=0.9), Target("IW1", "VV", burst=0))

The demo mine: ``write_demo(demo_scene(), folder)`` makes ``slc/*.SAFE``, ``dem.tif``, ``mine.geojson`` and
``truth.json``.

`Surface` fields (coherence, transparency, backscatter, phase) are numbers or functions of a `Ground` (line, sample,
latitude, longitude, height of the reference burst's pixels) and the date or interval. `Ingredients` switches
geometry, carrier, noise, quantisation and the two spectral decorrelations one by one. The same call with
``Ingredients(geometry=False)`` and the same seed gives the same speckle without offsets and geometric phase: the
ideal that a coregistration is measured against.

In memory, without files: ``render_stack(make_stage(views[0], window, surface), views, ingredients, seed)`` yields
samples and truth; a `View` is a `model.Burst` and a trajectory, ``View(burst, SampledTrajectory(burst.orbit))`` for
a real one.

Nothing here shares geometry or resampling with the processor.
"""

from .demo import Demo, demo_scene, write_demo
from .layout import Date, Track
from .orbit import SampledTrajectory
from .rasters import raster_field, raster_terrain, write_raster
from .real import Target, matching_views, render_into_real
from .render import Ground, Ingredients, Surface, Truth, View, make_stage, render_stack
from .scene import Scene, Simulated, load_truth, save_truth, write_scene
from .terrain import Terrain, flat_terrain, fractal_terrain

__all__ = [
    "Date",
    "Demo",
    "Ground",
    "Ingredients",
    "SampledTrajectory",
    "Scene",
    "Simulated",
    "Surface",
    "Target",
    "Terrain",
    "Track",
    "Truth",
    "View",
    "demo_scene",
    "flat_terrain",
    "fractal_terrain",
    "load_truth",
    "make_stage",
    "matching_views",
    "raster_field",
    "raster_terrain",
    "render_into_real",
    "render_stack",
    "save_truth",
    "write_demo",
    "write_raster",
    "write_scene",
]
