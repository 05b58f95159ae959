"""Sentinel-1 scenes with known truth, written as complete SAFE trees.

From scratch::

    track = Track(latitude, longitude, height, "descending", "IW2", line=750, sample=13000)
    dates = (Date(np.datetime64("2021-01-05")), Date(np.datetime64("2021-01-17"), perpendicular_baseline=80.0))
    surface = Surface(fractal_terrain(...), coherence=0.8)
    made = write_scene(Scene(track, dates, surface, area=(west, south, east, north)), folder)
    made.products   # SAFE folders, in the order of the dates
    made.truths     # Truth per burst and date: line_offset, sample_offset, geometric_phase, coherence, valid

Into real annotation: `render_into_real`. The demo mine: `demo.demo_scene`. Ingredients (geometry, carrier, noise, quantisation, …)
switch off one by one with `Ingredients`. Nothing here shares geometry or resampling with the processor.
"""

from .layout import Date, Track
from .render import Ground, Ingredients, Surface, Truth, View
from .scene import Scene, Simulated, write_scene
from .terrain import Terrain, flat_terrain, fractal_terrain

__all__ = [
    "Date",
    "Ground",
    "Ingredients",
    "Scene",
    "Simulated",
    "Surface",
    "Terrain",
    "Track",
    "Truth",
    "View",
    "flat_terrain",
    "fractal_terrain",
    "write_scene",
]
