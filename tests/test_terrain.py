"""Terrain: the surface between posts, the height that a radar pixel sees, layover and shadow."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.grid import utm_grid
from pipeline.insar.mapping import ground_mapping, pixel_times
from pipeline.insar.range_doppler import locate, radar_coordinates
from pipeline.insar.terrain import Terrain, layover_shadow, radar_heights
from pipeline.model import Window
from pipeline.simulate import Date, Track, fractal_terrain
from pipeline.simulate.layout import fly
from pipeline.stack import make_frame, map_heights, terrain_of
from tests.chain import as_dem, square

DAY = np.datetime64("2021-01-05")


def burst_over(latitude, longitude, height=0.0, swath="IW2", orbit_pass="descending"):
    """A simulated burst with the point in its middle."""
    return fly(Track(latitude, longitude, height, orbit_pass, swath), Date(DAY), (swath,), "VV").bursts[swath][0]


def middle_window(burst, latitude, longitude, height, lines=60, samples=400):
    line, sample = (int(v) for v in radar_coordinates(burst, np.deg2rad(latitude), np.deg2rad(longitude), height))
    return Window(line - lines // 2, line + lines // 2, sample - samples // 2, sample + samples // 2)


# --- between the posts ----------------------------------------------------------------------------


def posts(shape=(40, 50), seed=1):
    rng = np.random.default_rng(seed)
    return 500.0 + 200.0 * ndimage.gaussian_filter(rng.standard_normal(shape), 2.0)


def test_surface_is_the_spline_through_the_posts():
    height = posts()
    terrain = Terrain.from_posts(height, 0.8, -1e-5, 0.1, 1.3e-5)
    rng = np.random.default_rng(2)
    row, column = rng.uniform(0, 39, 2_000), rng.uniform(0, 49, 2_000)
    got = terrain(0.8 - 1e-5 * row, 0.1 + 1.3e-5 * column)
    expected = ndimage.map_coordinates(height, [row, column], order=3, mode="mirror")
    assert np.abs(got - expected).max() < 2e-4  # m: float32 coefficients
    assert terrain.lowest < expected.min() and terrain.highest > expected.max()


def test_posts_are_reproduced_to_the_last():
    height = posts()
    terrain = Terrain.from_posts(height, 0.8, -1e-5, 0.1, 1.3e-5)
    latitude, longitude = 0.8 - 1e-5 * np.arange(40)[:, None], 0.1 + 1.3e-5 * np.arange(50)[None]
    assert np.abs(terrain(latitude, longitude) - height).max() < 2e-4  # m


def test_beyond_the_outer_cells_there_is_no_height():
    terrain = Terrain.from_posts(posts(), 0.8, -1e-5, 0.1, 1.3e-5)
    assert np.isfinite(terrain(0.8 + 0.49e-5, 0.1 - 0.49 * 1.3e-5))  # half a cell beyond the centre is still the cell
    assert np.isnan(terrain(0.8 + 0.51e-5, 0.1))
    assert np.isnan(terrain(0.8, 0.1 + 49.51 * 1.3e-5))
    assert np.isnan(terrain(np.nan, 0.1))


@given(turns=st.integers(-2, 2), row=st.floats(0.0, 39.0), column=st.floats(0.0, 49.0))
def test_a_turn_of_longitude_changes_nothing(turns, row, column):
    terrain = Terrain.from_posts(posts(), -0.2, -1e-5, np.pi - 2.5e-4, 1e-5)  # across the antimeridian
    latitude, longitude = -0.2 - 1e-5 * row, np.pi - 2.5e-4 + 1e-5 * column
    expected = ndimage.map_coordinates(posts(), [[row], [column]], order=3, mode="mirror")[0]
    # m: the slope is below 0.05 m per thousandth of a post, and longitudes of some turns are good to 1e-10 post
    assert abs(float(terrain(latitude, longitude + turns * 2.0 * np.pi)) - expected) < 1e-3


def test_map_heights_mark_voids_and_keep_their_rims():
    ground = fractal_terrain(10.0, 20.0, extent=3_000.0, spacing=60.0, roughness=80.0, base=400.0, seed=3)
    whole = as_dem(ground)
    grid = utm_grid(square(10.0, 20.0, 1_500.0))
    height = whole.height.copy()
    height[45:55, 40:60] = np.nan
    holed = replace(whole, height=height)
    full = map_heights(grid, whole, *terrain_of(whole))[2]
    latitude, longitude, got = map_heights(grid, holed, *terrain_of(holed))
    row = (np.rad2deg(latitude) - ground.north) / ground.lat_step
    column = (np.rad2deg(longitude) - ground.west) / ground.lon_step
    hole = (row > 44.5) & (row < 54.5) & (column > 39.5) & (column < 59.5)
    assert np.array_equal(np.isnan(got), hole)
    # the spline's memory of what fills the void dies away by 0.27 a post
    far = (row < 36) | (row > 63) | (column < 31) | (column > 68)
    assert np.abs(got - full)[far].max() < 0.02  # m


# --- the height that a pixel sees -----------------------------------------------------------------


@pytest.mark.parametrize("swath", ["IW1", "IW3"])
@pytest.mark.parametrize("place", [(50.9, 6.57, "ascending"), (-27.74, 23.0, "descending")])
def test_radar_heights_lie_on_the_terrain_and_in_the_pixel(swath, place):
    latitude, longitude, orbit_pass = place
    ground = fractal_terrain(latitude, longitude, extent=4_000.0, spacing=30.0, roughness=120.0, base=600.0, seed=4)
    burst = burst_over(latitude, longitude, 600.0, swath, orbit_pass)
    window = middle_window(burst, latitude, longitude, 600.0)
    terrain, _ = terrain_of(as_dem(ground))
    mapping = ground_mapping(burst, window, (terrain.lowest, terrain.highest))
    out = np.empty(window.shape, np.float32)
    radar_heights(terrain, mapping, (window.line_start, window.line_stop), out)
    line, sample = np.mgrid[window.line_start : window.line_stop, window.sample_start : window.sample_stop]
    # exactly: where the pixel's own times and the height found meet the ground
    lat, lon = locate(burst.orbit, *pixel_times(burst, line, sample), out.astype(float))
    assert np.ptp(out) > 50.0  # m: there is relief to solve
    assert np.abs(terrain(lat, lon) - out).max() < 1e-3  # m


def test_lines_may_be_solved_in_any_order():
    ground = fractal_terrain(40.0, 5.0, extent=3_000.0, spacing=30.0, roughness=60.0, base=300.0, seed=4)
    burst = burst_over(40.0, 5.0, 300.0)
    window = middle_window(burst, 40.0, 5.0, 300.0, lines=20)
    terrain, _ = terrain_of(as_dem(ground))
    mapping = ground_mapping(burst, window, (terrain.lowest, terrain.highest))
    whole, single = np.empty(window.shape, np.float32), np.empty((1, window.shape[1]), np.float32)
    radar_heights(terrain, mapping, (window.line_start, window.line_stop), whole)
    radar_heights(terrain, mapping, (window.line_start + 7, window.line_start + 8), single)
    np.testing.assert_array_equal(single[0], whole[7])


def test_where_the_model_ends_pixels_see_nothing():
    ground = fractal_terrain(40.0, 5.0, extent=900.0, spacing=30.0, roughness=20.0, base=300.0, seed=4)
    burst = burst_over(40.0, 5.0, 300.0)
    window = middle_window(burst, 40.0, 5.0, 300.0, samples=1_200)
    terrain, _ = terrain_of(as_dem(ground))
    out = np.empty(window.shape, np.float32)
    mapping = ground_mapping(burst, window, (terrain.lowest, terrain.highest))
    radar_heights(terrain, mapping, (window.line_start, window.line_stop), out)
    assert np.isfinite(out[30, 600]) and np.isnan(out[:, :100]).all() and np.isnan(out[:, -100:]).all()
    frame = make_frame(utm_grid(square(40.0, 5.0, 1_100.0)), as_dem(ground), [burst], (7, 2), 1)
    lookup = frame.bursts[0].lookup
    assert 0.5 < np.isfinite(frame.height).mean() < 0.8
    assert np.array_equal(
        np.isfinite(lookup.line), np.isfinite(frame.height)
    )  # a pixel without height belongs to no burst


def test_a_mine_on_the_antimeridian():
    """A map that is half at 179.99 and half at -179.99 degrees, over heights whose longitudes run on."""
    ground = fractal_terrain(52.0, 180.0, extent=4_000.0, spacing=60.0, roughness=60.0, base=200.0, seed=6)
    burst = burst_over(52.0, 180.0, 200.0)
    frame = make_frame(utm_grid((179.985, 51.992, -179.985, 52.008)), as_dem(ground), [burst], (7, 2), 1)
    seen = frame.bursts[0]
    assert np.isfinite(frame.height).all() and np.isfinite(seen.lookup.line).all() and np.isfinite(seen.heights).all()
    # one kilometre of the map is one kilometre of the radar, without a seam at 180 degrees
    assert np.abs(np.diff(seen.lookup.line, n=2, axis=1)).max() < 0.05  # lines
    # the map's own heights return at the radar pixels that see them
    line = np.rint(seen.lookup.line).astype(int) - seen.window.line_start
    sample = np.rint(seen.lookup.sample).astype(int) - seen.window.sample_start
    assert np.median(np.abs(seen.heights[line, sample] - frame.height)) < 2.0  # m: half a pixel on a slope


# --- layover and shadow ---------------------------------------------------------------------------

INCIDENCE = np.deg2rad(35.0)
SPACING = 5.0  # m
TOP, FOOT = 300.0, 1_500.0  # m: height of the ridge, and where its front begins along the look


def ridge(along):
    """Front slope of 45 degrees, back slope of 70: steeper than the incidence, and than its complement."""
    front, back = along - FOOT, FOOT + TOP + TOP / np.tan(np.deg2rad(70.0)) - along
    return np.clip(np.minimum(front, back * np.tan(np.deg2rad(70.0))), 0.0, TOP)


def expected_limits():
    """Layover's and shadow's first and last position along the look, m, for parallel rays."""
    sin, cos, tan = np.sin(INCIDENCE), np.cos(INCIDENCE), np.tan(INCIDENCE)
    crest = FOOT + TOP
    gained = TOP * cos - TOP * sin  # range by which the crest is nearer than the foot
    behind = gained / (sin + np.tan(np.deg2rad(70.0)) * cos)
    return (FOOT - gained / sin, crest + behind), (crest, crest + TOP * tan)


@pytest.mark.parametrize("azimuth", [90.0, 270.0, 0.0, 180.0, 78.0, 282.0])
def test_layover_and_shadow_of_a_ridge(azimuth):
    look = np.deg2rad(azimuth)
    n = 640
    y, x = np.mgrid[:n, :n]
    middle = 0.5 * n
    along = ((x - middle) * np.sin(look) - (y - middle) * np.cos(look)) * SPACING + 0.5 * n * SPACING
    height = ridge(along)
    mask = layover_shadow(height, np.full(height.shape, INCIDENCE), look, SPACING)
    across = np.abs((x - middle) * np.cos(look) + (y - middle) * np.sin(look)) < 0.25 * n
    for bit, (first, last) in zip((1, 2), expected_limits(), strict=True):
        near_edge = (np.abs(along - first) < 3 * SPACING) | (np.abs(along - last) < 3 * SPACING)
        clear = across & ~near_edge  # walks in whole steps meet an edge to two or three pixels
        expected = (along > first) & (along < last)
        wrong = ((mask & bit) > 0) != expected
        assert not wrong[clear].any(), f"bit {bit}"
        assert (expected & clear).sum() > 5_000


def test_slopes_below_the_limits_are_clean():
    n = 200
    x = np.arange(n) * 20.0
    height = np.tile(np.clip(np.minimum(x - 1_000.0, 2_600.0 - x) * np.tan(np.deg2rad(30.0)), 0.0, None), (n, 1))
    assert height.max() > 400.0
    mask = layover_shadow(height, np.full(height.shape, INCIDENCE), np.deg2rad(90.0), 20.0)
    assert not mask.any()


def test_layover_and_shadow_need_a_height_and_a_burst():
    height = np.tile(ridge(np.arange(640) * SPACING), (40, 1))
    incidence = np.full(height.shape, INCIDENCE)
    height[:10], incidence[30:] = np.nan, np.nan
    mask = layover_shadow(height, incidence, np.deg2rad(90.0), SPACING)
    assert not mask[:10].any() and not mask[30:].any() and mask[15:25].any()
