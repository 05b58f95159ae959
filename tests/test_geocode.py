"""Between map and radar: lookups, the owner of a pixel, the look direction, places on the map, and the Alps."""

import numpy as np
import pytest
from pyproj import Geod, Transformer
from scipy import ndimage

from pipeline.dem import read_dem
from pipeline.grid import geographic, utm_grid
from pipeline.insar.coherence_statistics import debias_coherence
from pipeline.insar.geocode import Lookup, grid_north, look_azimuth, lookups
from pipeline.insar.mapping import pixel_times
from pipeline.insar.range_doppler import locate, project
from pipeline.model import Window
from pipeline.sentinel1.safe import open_product
from pipeline.simulate import Date, Scene, Surface, Track, fractal_terrain, write_scene
from pipeline.simulate.layout import fly
from pipeline.stack import make_frame
from tests.chain import run_pair, square

DAY = np.datetime64("2021-01-05")
NEXT = DAY + np.timedelta64(12, "D")
PLACES = [(50.9, 6.57), (-27.74, 23.0)]
PASSES = ["ascending", "descending"]


def bursts_over(latitude, longitude, orbit_pass="descending", line=750.0, count=1, swath="IW2"):
    track = Track(latitude, longitude, 500.0, orbit_pass, swath, line=line, bursts=count)
    return fly(track, Date(DAY), (swath,), "VV").bursts[swath]


def map_points(latitude, longitude, metres):
    lat, lon = geographic(utm_grid(square(latitude, longitude, metres)))
    return lat, lon, np.full(lat.shape, 500.0)


# --- lookups --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("orbit_pass", PASSES)
def test_lookup_and_back(place, orbit_pass):
    (burst,) = bursts_over(*place, orbit_pass)
    latitude, longitude, height = map_points(*place, 1_500.0)
    (lookup,) = lookups([burst], latitude, longitude, height)
    lat, lon = locate(burst.orbit, *pixel_times(burst, lookup.line, lookup.sample), height)
    assert np.abs(lat - latitude).max() * 6.4e6 < 1e-3  # m
    assert np.abs(lon - longitude).max() * 6.4e6 < 1e-3  # m
    middle = tuple(n // 2 for n in latitude.shape)
    # the track is made so that the point lies at line 750, sample 13,000
    assert abs(lookup.line[middle] - 750) < 3 and abs(lookup.sample[middle] - 13_000) < 10


def test_overlaps_are_split_in_the_middle():
    bursts = bursts_over(*PLACES[0], line=1_430.0, count=2)
    latitude, longitude, height = map_points(*PLACES[0], 3_000.0)
    first, second = lookups(bursts, latitude, longitude, height)
    one, other = np.isfinite(first.line), np.isfinite(second.line)
    assert (one ^ other).all()  # every pixel has one owner
    top, bottom = bursts[0].valid_lines
    later = 1_342  # lines from one burst to the next
    middle = 0.5 * (later + top + bottom - 1)
    # a map pixel is 1.4 lines high
    assert abs(first.line[one].max() - middle) < 2.0 and abs(second.line[other].min() + later - middle) < 2.0


def test_pixels_outside_every_burst_or_without_height_have_no_owner():
    (burst,) = bursts_over(*PLACES[0], line=40.0)
    latitude, longitude, height = map_points(*PLACES[0], 1_500.0)
    height[:10] = np.nan
    (lookup,) = lookups([burst], latitude, longitude, height)
    seen = np.isfinite(lookup.line)
    assert not seen[:10].any() and 0.2 < seen.mean() < 0.9
    first, stop = burst.valid_lines
    assert lookup.line[seen].min() > first and lookup.line[seen].max() < stop - 1
    assert np.array_equal(seen, np.isfinite(lookup.sample))
    assert lookups([burst], latitude + 0.1, longitude, height) == []
    assert lookups([], latitude, longitude, height) == []


def test_window_holds_the_lookup_and_stays_in_the_burst():
    (burst,) = bursts_over(*PLACES[0])
    line, sample = np.array([[10.2, np.nan], [12.0, 20.7]]), np.array([[100.5, np.nan], [99.1, 140.0]])
    assert Lookup(burst, line, sample).window((3, 8)) == Window(7, 25, 91, 149)
    assert Lookup(burst, line - 9.0, sample).window((3, 8)) == Window(0, 16, 91, 149)


# --- look direction -------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [*PLACES, (68.0, 20.0), (0.1, 100.0)])
@pytest.mark.parametrize("orbit_pass", PASSES)
def test_a_walk_along_the_look_keeps_the_time_and_lengthens_the_range(place, orbit_pass):
    (burst,) = bursts_over(*place, orbit_pass)
    lat, lon = np.deg2rad(place)
    azimuth = look_azimuth(burst, lat, lon, 0.0)
    step = 2_000.0 / 6.371e6  # 2 km
    north, east = step * np.cos(azimuth), step * np.sin(azimuth) / np.cos(lat)
    t, tau = project(burst.orbit, [lat - north, lat, lat + north], [lon - east, lon, lon + east], 0.0)
    # 2 km along the track are 0.29 s; a degree of azimuth would be 0.005 s
    assert abs(t[2] - t[0]) < 0.003  # s
    assert tau[0] < tau[1] < tau[2]
    assert np.sin(azimuth) > 0 if orbit_pass == "ascending" else np.sin(azimuth) < 0  # eastwards or westwards


@pytest.mark.parametrize("place", [(60.0, 11.9), (60.0, 6.1), (-45.0, 11.9), (10.0, 9.0), (-16.8, -179.95)])
def test_grid_north_is_where_the_map_points(place):
    grid = utm_grid(square(*place, 500.0))
    latitude, longitude = geographic(grid)
    t, (y, x) = grid.affine, tuple(n // 2 for n in grid.shape)
    east, north = t.c + t.a * (x + 0.5), t.f + t.e * (y + 0.5)
    to_geographic = Transformer.from_crs(str(grid.crs), 4326, always_xy=True)
    (lon, lat), (lon2, lat2) = (to_geographic.transform(east, n) for n in (north, north + 100.0))
    expected = Geod(ellps="WGS84").inv(lon, lat, lon2, lat2)[0]
    # the sphere's cosine in place of the ellipsoid's radii costs 0.7 % of 2.5 degrees
    assert abs(np.rad2deg(grid_north(latitude, longitude)) - expected) < 0.03


# --- places on the map ----------------------------------------------------------------------------

HALF = 700.0  # m from the middle of a coherent square to its edges


@pytest.mark.parametrize("place", PLACES, ids=["north", "south"])
@pytest.mark.parametrize("orbit_pass", PASSES)
def test_edges_lie_where_they_are(place, orbit_pass, tmp_path):
    """A square of coherence 0.9 in ground of 0.1, on hills at 900 m: 1.1 km off if their height were missed."""
    west, south, east, north = square(*place, HALF)

    def coherence(ground, start, stop):
        inside = (ground.longitude > west) & (ground.longitude < east)
        return np.where(inside & (ground.latitude > south) & (ground.latitude < north), 0.9, 0.1)

    terrain = fractal_terrain(*place, extent=5_000.0, spacing=30.0, roughness=60.0, base=900.0, seed=5)
    dates = (Date(DAY), Date(NEXT, perpendicular_baseline=60.0))
    track = Track(*place, 900.0, orbit_pass, "IW2")
    made = write_scene(Scene(track, dates, Surface(terrain, coherence), square(*place, 1_500.0), seed=2), tmp_path, 1)
    bbox = square(*place, 1_100.0)
    dataset, _ = run_pair(made.products, terrain, bbox, tmp_path, radar=False)

    latitude, longitude = (np.rad2deg(a) for a in geographic(utm_grid(bbox)))
    metre = HALF / np.array([north - place[0], east - place[1]])
    y, x = (latitude - place[0]) * metre[0], (longitude - place[1]) * metre[1]
    values, looks = dataset["coherence"].values, dataset.attrs["equivalent_looks"]
    for along, across in ((x, y), (y, x)):
        beside = np.abs(across) < HALF - 60.0
        offsets = [edge(values[beside], sign * along[beside] - HALF, looks) for sign in (-1, 1)]
        assert max(map(abs, offsets)) < 10.0  # m: half a pixel; measured 2.7
        assert abs(offsets[1] - offsets[0]) < 10.0  # m: twice the shift of the square; measured 5


def edge(values, distance, looks):
    """Distance at which the debiased mean coherence falls through 0.5, m."""
    bins = np.arange(-100.0, 101.0, 10.0)
    place = np.digitize(distance, bins)
    profile = np.array([debias_coherence(float(values[place == k].mean()), looks) for k in range(1, bins.size)])
    k = int(np.flatnonzero((profile[:-1] >= 0.5) & (profile[1:] < 0.5))[0])
    return bins[k] + 5.0 + 10.0 * (profile[k] - 0.5) / (profile[k] - profile[k + 1])


# --- the Alps -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alps(shared_data):
    """8 x 8 km of the Ötztal in the real annotation of IW2: slopes beyond the incidence on both sides."""
    product = open_product(str(shared_data / "alps"))
    bursts = [b for b in product.bursts if b.swath == "IW2"]
    grid = utm_grid(square(46.83, 10.86, 4_000.0))
    path = str(shared_data / "alps" / "srtm_oetztal.tif")
    dem = read_dem(path, square(46.83, 10.86, 4_200.0), "egm96", margin=5_000.0)
    return grid, make_frame(grid, dem, bursts, (7, 2), 1)


def slope_towards(frame):
    """Rise of the ground along the look, m/m: positive on slopes that face the radar."""
    look = look_azimuth(frame.bursts[0].reference, *frame.center)
    dy, dx = np.gradient(frame.height, 20.0)
    return dx * np.sin(look) - dy * np.cos(look)


def test_every_pixel_of_the_alps_has_a_place(alps):
    _, frame = alps
    assert np.ptp(frame.height) > 1_200.0  # m of relief
    owned = np.stack([np.isfinite(b.lookup.line) for b in frame.bursts])
    assert (owned.sum(axis=0) == 1).all()
    for burst in frame.bursts:
        assert np.isfinite(burst.heights).all()
        assert burst.heights.min() > burst.height_range[0] and burst.heights.max() < burst.height_range[1]
    assert np.all(np.abs(np.rad2deg(frame.incidence_angle) - 38.2) < 0.5)


def test_slopes_that_face_the_radar_are_laid_over(alps):
    _, frame = alps
    layover, shadow = (frame.layover_shadow & 1) > 0, (frame.layover_shadow & 2) > 0
    assert 0.03 < layover.mean() < 0.1  # measured 6 %
    assert shadow.mean() < 0.01  # back slopes steeper than 51 degrees are rare on posts of 90 m
    # by definition: where the ground rises away from the radar faster than the circle of constant range
    active = slope_towards(frame) > np.tan(frame.incidence_angle) + 0.05
    assert active.sum() > 100
    assert layover[active].mean() > 0.97


def test_map_to_radar_and_back_in_the_alps(alps):
    """Map pixel → line and sample → the height that the radar sees there → the same ground, outside layover."""
    grid, frame = alps
    latitude, longitude = geographic(grid)
    clean = ~ndimage.binary_dilation(frame.layover_shadow & 1 > 0, iterations=2)
    gentle = np.arctan(slope_towards(frame)) < frame.incidence_angle - np.deg2rad(15.0)
    (burst,) = frame.bursts
    at = burst.lookup.line - burst.window.line_start, burst.lookup.sample - burst.window.sample_start
    height = ndimage.map_coordinates(burst.heights.astype(float), at, order=3)
    times = pixel_times(burst.reference, burst.lookup.line, burst.lookup.sample)
    lat, lon = locate(burst.reference.orbit, *times, height)
    off = np.hypot(lat - latitude, (lon - longitude) * np.cos(lat)) * 6.371e6  # m
    assert np.median(off[clean]) < 0.01
    # beside layover the height changes by tens of metres a sample, and no interpolation between pixels follows it
    assert np.mean(off[clean] < 1.0) > 0.98
    assert np.mean(off[clean & gentle] < 1.0) > 0.999
    assert (clean & gentle).mean() > 0.75
