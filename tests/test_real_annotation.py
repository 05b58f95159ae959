"""Coregistration on real annotation against the simulator's own geometry and samples: whole bursts of real pairs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipeline.insar.mapping import ground_mapping, offset_mapping
from pipeline.insar.terrain import radar_heights
from pipeline.model import Burst, Window
from pipeline.sentinel1.safe import open_product
from pipeline.simulate import Ingredients, Surface, Target, View, fractal_terrain, raster_terrain, render_into_real
from pipeline.simulate.geometry import observe
from pipeline.simulate.real import matching_views
from pipeline.stack import terrain_of
from tests.chain import as_dem, coregistered_window, correlation, read, window_frame


def morocco_terrain(shared_data, swath):
    return raster_terrain(next((shared_data / "morocco_pair" / "dem").glob(f"*{swath.lower()}*")))


def sources(shared_data, folder) -> list[Path]:
    return sorted((shared_data / folder).glob("*.SAFE"))


def read_bursts(products, swath, views: list[View]) -> list[Burst]:
    """The simulator's bursts as the processor's own reader gives them."""
    out = []
    for product, view in zip(products, views, strict=True):
        bursts = open_product(str(product), "VV", swaths={swath}).bursts
        out.append(next(b for b in bursts if b.burst_id == view.burst.burst_id))
    return out


# --- offsets over whole bursts --------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder, swath, index",
    [("morocco_pair", "IW1", 0), ("morocco_pair", "IW2", 0), ("hambach_pair", "IW2", 4), ("canada_pair", "IW3", 3)],
)
def test_offsets_over_a_whole_burst(shared_data, folder, swath, index):
    """Every tenth line and twentieth sample, over the real DEM in Morocco and 1.5 to 2 km of made relief elsewhere."""
    products = sources(shared_data, folder)
    views, _ = matching_views(products, Target(swath, "VV", index))
    reference, secondary = read_bursts(products, swath, views)
    if folder == "morocco_pair":
        terrain = morocco_terrain(shared_data, swath)
    else:
        lon, lat = np.mean(reference.footprint[:4], axis=0)
        terrain = fractal_terrain(lat, lon, extent=62_000.0, spacing=120.0, roughness=400.0, base=900.0, seed=7)
    line, sample = np.arange(5, reference.lines, 10), np.arange(7, reference.samples, 20)

    whole = Window(0, reference.lines, 0, reference.samples)
    times, distances = views[0].axes(whole)
    seen = np.empty((6, line.size, sample.size))
    observe(times[line], distances[sample], views[0].series(), views[1].series(), terrain.packed, seen)
    there = views[1].position(seen[0], seen[1])
    truth = there[0] - line[:, None], there[1] - sample[None, :]
    valid = (seen[5] > 0) & terrain.contains(np.rad2deg(seen[2]), np.rad2deg(seen[3]))

    spline, _ = terrain_of(as_dem(terrain))
    limits = (spline.lowest, spline.highest)
    ground, offsets = ground_mapping(reference, whole, limits), offset_mapping(reference, secondary, whole, limits)
    heights = np.empty((line.size, reference.samples), np.float32)
    for k, at in enumerate(line):
        radar_heights(spline, ground, (at, at + 1), heights[k : k + 1])
    got = offsets(line[:, None], sample[None, :], heights[:, sample])

    assert valid.mean() > 0.98
    assert np.abs(heights[:, sample] - seen[4])[valid].max() < 5e-3  # m
    assert np.abs(got[0] - truth[0])[valid].max() < 1.2e-4  # lines; measured at most 4e-6
    assert np.abs(got[1] - truth[1])[valid].max() < 4e-4  # samples; measured at most 6e-7


# --- samples: windows in the corners and the middle of a burst ------------------------------------

CORNERS = (
    Window(40, 200, 1_600, 3_100),
    Window(45, 205, 19_000, 20_500),
    Window(670, 830, 10_500, 12_000),
    Window(1_290, 1_450, 1_500, 3_000),
    Window(1_285, 1_445, 18_900, 20_400),
)


@dataclass(frozen=True, eq=False)
class Measured:
    """One window: complex coherence of the reference with the secondary as processed and as it should be."""

    got: complex
    ideal: complex
    same: complex  # processed against generated without geometry
    centre: tuple[float, float]  # line, sample


@pytest.fixture(scope="module")
def windows(shared_data, tmp_path_factory) -> list[Measured]:
    """Coherence 0.9 rendered into the real pair twice, with geometry and with the same speckle left where it is.

    The pair without geometry is the ideal: sample by sample the secondary that a perfect coregistration returns, with
    the same thermal noise and quantised alike, so that what differs is the processor's. Both keep the Doppler centroid
    of the reference: what the difference of the real centroids costs (0.2 to 0.6 %) is physics.
    """
    folder = tmp_path_factory.mktemp("morocco")
    products, terrain = sources(shared_data, "morocco_pair"), morocco_terrain(shared_data, "IW1")
    dem, surface = as_dem(terrain), Surface(terrain, 0.9)
    views, _ = matching_views(products, Target("IW1"))
    reference, secondary = read_bursts(products, "IW1", views)
    mixes = {
        "moved": Ingredients(doppler_decorrelation=False),
        "still": Ingredients(geometry=False, doppler_decorrelation=False),
    }
    out = []
    for k, window in enumerate(CORNERS):
        target = Target("IW1", "VV", 0, window.grown(8, 24))
        moved, still = (
            render_into_real(products, folder / name, surface, target, ingredients=mix, seed=k, workers=1).products
            for name, mix in mixes.items()
        )
        first, second = (read(p, reference.burst_id, window) for p in still)
        got = coregistered_window(window_frame(reference, window, dem), moved[1], secondary).samples
        assert np.array_equal(first, read(moved[0], reference.burst_id, window))
        pairs = ((first, got), (first, second), (second, got))
        centre = (0.5 * (window.line_start + window.line_stop), 0.5 * (window.sample_start + window.sample_stop))
        out.append(Measured(*(correlation(a, b) for a, b in pairs), centre))
    return out


def test_coherence_is_kept(windows):
    for m in windows:
        assert abs(m.ideal) == pytest.approx(0.897, abs=0.003)
        assert abs(m.got) > 0.999 * abs(m.ideal)  # measured 0.99997


def test_samples_are_those_of_the_ideal(windows):
    assert min(abs(m.same) for m in windows) > 0.999  # measured 0.99997


def test_no_phase_is_left_and_no_ramp(windows):
    phase = np.array([np.angle(m.got) - np.angle(m.ideal) for m in windows])
    assert np.abs(phase).max() < 1e-3  # rad
    line, sample = (np.array([m.centre[i] for m in windows]) for i in (0, 1))
    design = np.stack([np.ones(line.size), line / 1_500.0 - 0.5, sample / 22_000.0 - 0.5], axis=1)
    assert np.abs(np.linalg.lstsq(design, phase, rcond=None)[0][1:]).max() < 1e-3  # rad over the burst
