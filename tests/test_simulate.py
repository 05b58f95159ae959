"""The simulator against physics, real annotation and closed forms: it is the truth the processor is tested with."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.constants import SPEED_OF_LIGHT
from pipeline.errors import BadInput, BadProduct, NoCoverage
from pipeline.model import Window
from pipeline.simulate import (
    Date,
    Ingredients,
    Scene,
    Surface,
    Target,
    Terrain,
    Track,
    View,
    flat_terrain,
    fractal_terrain,
    load_truth,
    raster_field,
    raster_terrain,
    render_into_real,
    save_truth,
    write_raster,
    write_scene,
)
from pipeline.simulate.carrier import carrier_phase, centre_frequency
from pipeline.simulate.demo import MINE, SNOW_DATE, WORK, demo_scene
from pipeline.simulate.geometry import cartesian, project
from pipeline.simulate.layout import SWATHS, burst_number, fly, nominal_orbit
from pipeline.simulate.orbit import CircularTrajectory, SampledTrajectory, annotated_orbit, local_polynomial
from pipeline.simulate.real import find_annotation, read_annotation, relative_orbit_number
from pipeline.simulate.render import make_stage, observe_window, render_stack
from pipeline.simulate.speckle import burst_shapes, evaluate, hamming_shape, on_grid, shaped_modes, white_lines
from pipeline.simulate.tiff import create_measurement, write_window

# a measurement is in radar geometry: it has no georeference to find
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

LAT, LON = -27.74, 23.0
TRACK = Track(LAT, LON, 1200.0, "descending", "IW2", 750, 13_000)
DAY = np.datetime64("2021-01-05")
NEXT = DAY + np.timedelta64(12, "D")
LATER = DAY + np.timedelta64(24, "D")
CLEAN = Ingredients(noise_power=0.0, quantisation=False)
REAL = ("alps", "canada_pair", "hambach_pair", "morocco_pair")


def rough(interpolant="cubic_spline"):
    terrain = fractal_terrain(LAT, LON, extent=6_000, spacing=60, roughness=60, base=1200, seed=1)
    return replace(terrain, interpolant=interpolant)


def views(*dates, track=TRACK, swath=None, burst=0):
    swath = swath or track.swath
    flights = [fly(track, d, (swath,), "VV") for d in dates]
    return [View(f.bursts[swath][burst], f.trajectory) for f in flights]


def small_scene(**changes):
    dates = (Date(DAY), Date(NEXT, perpendicular_baseline=60.0, line_shift=1.3, doppler=-18.0))
    scene = Scene(TRACK, dates, Surface(rough(), coherence=0.8), (LON - 0.004, LAT - 0.004, LON + 0.004, LAT + 0.004))
    return replace(scene, **changes)


def coherence(a, b):
    return np.vdot(b, a) / np.sqrt(np.sum(np.abs(a) ** 2) * np.sum(np.abs(b) ** 2))


# --- orbit ------------------------------------------------------------------------------------------------------------


def test_circular_velocity_is_the_derivative_of_the_position():
    orbit = CircularTrajectory(12.0, 0.7, radial=40.0, cross=-90.0)
    t, h = np.array([-900.0, 0.0, 700.0]), 0.05
    ahead, behind = orbit.state(t + h)[0], orbit.state(t - h)[0]
    np.testing.assert_allclose((ahead - behind) / (2 * h), orbit.state(t)[1], atol=2e-6)  # m/s
    assert np.linalg.norm(orbit.state(t)[1], axis=1) == pytest.approx(7590, abs=60)  # m/s, Earth rotation included


def test_local_polynomial_follows_the_orbit():
    orbit = CircularTrajectory(0.0, 0.0)
    centre, position, velocity = local_polynomial(orbit, 300.0, 330.0)
    t = np.linspace(300.0, 330.0, 31)
    powers = (t - centre)[:, None] ** np.arange(position.shape[1])
    np.testing.assert_allclose(powers @ position.T, orbit.state(t)[0], atol=1e-7)  # m
    np.testing.assert_allclose(powers @ velocity.T, orbit.state(t)[1], atol=1e-8)  # m/s


def test_sampled_orbit_returns_the_analytic_one():
    orbit = CircularTrajectory(-700.0, 1.0)
    listed = annotated_orbit(orbit, np.datetime64("2021-01-05"), 0.0, 27.0)
    t = np.linspace(0.0, 27.0, 55)
    position, velocity = SampledTrajectory(listed).state(t)
    np.testing.assert_allclose(position, orbit.state(t)[0], atol=2e-6)  # m; the vectors are rounded to 1e-6 m
    np.testing.assert_allclose(velocity, orbit.state(t)[1], atol=2e-6)  # m/s
    with pytest.raises(NoCoverage, match=r"covers -60.000…90.000 s"):
        SampledTrajectory(listed).state(np.array([95.0]))


@pytest.mark.parametrize("orbit_pass", ["ascending", "descending"])
@pytest.mark.parametrize("latitude", [-50.0, 0.0, 60.0])
def test_nominal_orbit_sees_the_point(orbit_pass, latitude):
    track = Track(latitude, 100.0, 300.0, orbit_pass, "IW1", 300, 9_000)
    view = views(Date(DAY), track=track)[0]
    seen = np.empty((2, 1, 1))
    project(*(np.full((1, 1), v) for v in (latitude, 100.0, 300.0)), view.series(), seen)
    line, sample = view.position(seen[0, 0, 0], seen[1, 0, 0])
    assert line == pytest.approx(300, abs=1e-3)  # lines; start times are kept to 1 µs
    assert sample == pytest.approx(9_000, abs=1e-3)
    position, velocity = (v[0] for v in view.trajectory.state(seen[0, 0]))
    assert (velocity[2] > 0) == (orbit_pass == "ascending")
    right = np.cross(velocity, position)
    assert (cartesian(np.deg2rad(latitude), np.deg2rad(100.0), 300.0) - position) @ right > 0


@pytest.mark.parametrize("baseline", [-150.0, 30.0, 200.0])
def test_requested_baselines_are_flown(baseline):
    here, there = views(Date(DAY), Date(NEXT, perpendicular_baseline=baseline, parallel_baseline=12.0))
    point = cartesian(np.deg2rad(LAT), np.deg2rad(LON), 1200.0)
    positions = []
    for view in (here, there):
        seen = np.empty((2, 1, 1))
        project(*(np.full((1, 1), v) for v in (LAT, LON, 1200.0)), view.series(), seen)
        positions.append(view.trajectory.state(seen[0, 0])[0][0])
    sight = (point - positions[0]) / np.linalg.norm(point - positions[0])
    gap = positions[1] - positions[0]
    assert gap @ sight == pytest.approx(12.0, abs=0.02 * abs(baseline))  # m
    across = gap - (gap @ sight) * sight
    assert np.linalg.norm(across) == pytest.approx(abs(baseline), rel=0.01)
    assert (across @ positions[0] > 0) == (baseline < 0)


def test_track_that_cannot_be_flown():
    with pytest.raises(BadInput, match="orbit_pass must be ascending or descending"):
        replace(TRACK, orbit_pass="up")
    with pytest.raises(BadInput, match=r"burst must lie in 0…0"):
        replace(TRACK, burst=1)
    with pytest.raises(BadInput, match="within ±75 degrees"):
        replace(TRACK, latitude=85.0)
    assert nominal_orbit(TRACK)[1] == pytest.approx(np.deg2rad(34.0), abs=0.03)  # look angle of mid IW2


# --- geometry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolant", ["linear", "cubic_spline"])
def test_observed_points_satisfy_the_three_equations(interpolant):
    terrain = rough(interpolant)
    here, there = views(Date(DAY), Date(NEXT, perpendicular_baseline=120.0))
    window = Window(740, 752, 12_900, 13_100)
    seen = observe_window(here, there, window, terrain, 6)
    times, distances = here.axes(window)
    points = cartesian(seen[2], seen[3], seen[4])
    own_position, own_velocity = here.trajectory.state(times)
    sight = points - own_position[:, None]
    np.testing.assert_allclose(np.linalg.norm(sight, axis=-1), np.broadcast_to(distances, sight.shape[:2]), atol=1e-7)
    doppler = np.einsum("lsk,lk->ls", sight, own_velocity) / 7590.0
    np.testing.assert_allclose(doppler, 0.0, atol=1e-6)  # m along track; a line is 14 m
    rows = (np.rad2deg(seen[2]) - terrain.north) / terrain.lat_step
    columns = (np.rad2deg(seen[3]) - terrain.west) / terrain.lon_step
    order = {"linear": 1, "cubic_spline": 3}[interpolant]
    expected = ndimage.map_coordinates(terrain.heights, [rows, columns], order=order, mode="mirror")
    # m; the last Newton step of up to 2 cm leaves its square times the curvature, or a kink of the linear surface
    np.testing.assert_allclose(seen[4], expected, atol=1e-5 if order == 3 else 1e-2)
    quick = observe_window(here, there, window, terrain, 2)  # stops earlier: see LOOSE_STEP
    np.testing.assert_allclose(quick[0], seen[0], atol=2e-9)  # s; a line is 2e-3 s
    np.testing.assert_allclose(quick[1], seen[1], atol=2e-5)  # m; a sample is 2.3 m
    position, velocity = there.trajectory.state(seen[0].ravel())
    sight = points.reshape(-1, 3) - position
    np.testing.assert_allclose(np.linalg.norm(sight, axis=1), seen[1].ravel(), atol=1e-7)
    np.testing.assert_allclose(np.sum(sight * velocity, 1) / 7590.0, 0.0, atol=1e-6)


def test_forward_and_backward_mapping_agree():
    terrain = rough()
    here, there = views(Date(DAY), Date(NEXT, perpendicular_baseline=150.0, line_shift=2.4))
    window = Window(700, 720, 12_800, 12_900)
    stage = make_stage(here, window, Surface(terrain))
    truth = list(render_stack(stage, [here, there], CLEAN, 0))[1].truth
    back = observe_window(there, here, window, terrain, 2)
    line, sample = here.position(back[0], back[1])
    # the offsets at the positions found backward, read from the forward ones
    at = [line - window.line_start, sample - window.sample_start]
    inner = (at[0] > 2) & (at[0] < 17) & (at[1] > 2) & (at[1] < 97)
    own = np.indices(line.shape).astype(float) + np.array([window.line_start, window.sample_start])[:, None, None]
    for k, offset in enumerate((truth.line_offset, truth.sample_offset)):
        read = ndimage.map_coordinates(offset, at, order=5, mode="nearest")
        found = own[k] - (line, sample)[k]
        np.testing.assert_allclose(read[inner], found[inner], atol=2e-5)  # lines or samples, quintic reading included


def test_layover_is_flagged_and_survives():
    posts = np.full((41, 41), 100.0)
    posts[18:23, 18:23] = 1500.0  # a tower: walls far steeper than the incidence angle
    terrain = Terrain(posts, LAT + 0.01, LON - 0.01, -0.0005, 0.0005)
    view = views(Date(DAY), track=replace(TRACK, height=100.0))[0]
    seen = observe_window(view, view, Window(700, 800, 12_700, 13_300), terrain, 6)
    assert np.isfinite(seen).all()
    assert 0.02 < np.mean(seen[5] == 0) < 0.6
    flat = observe_window(view, view, Window(700, 720, 12_700, 13_300), flat_terrain(LAT, LON, 100.0), 6)
    assert np.all(flat[5] == 1)
    np.testing.assert_allclose(flat[4], 100.0, atol=1e-6)  # m


def test_every_interpolant_agrees_on_band_limited_ground():
    smooth = ndimage.gaussian_filter(rough().heights, 2.0)
    view = views(Date(DAY))[0]
    heights = [
        observe_window(view, view, Window(740, 745, 12_900, 13_100), replace(rough(kind), heights=smooth), 6)[4]
        for kind in ("linear", "cubic_convolution", "cubic_spline")
    ]
    assert np.abs(heights[1] - heights[2]).max() < 0.1  # m
    assert np.abs(heights[0] - heights[2]).max() < 1.0


def real_annotations(shared_data):
    for folder in REAL:
        yield from sorted((shared_data / folder).rglob("s1?-iw?-slc-*.xml"))


def test_tie_points_of_real_annotation(shared_data):
    checked = 0
    for path in real_annotations(shared_data):
        note = read_annotation(path, 1)
        orbit, grid = note.bursts[0].orbit, note.grid
        interval, sampling = note.bursts[0].azimuth_time_interval, note.bursts[0].range_sampling_rate
        trajectory = SampledTrajectory(orbit)
        times = orbit.seconds(grid.azimuth_time)
        for row in np.unique(grid.line):
            k = grid.line == row
            seen = np.empty((2, 1, k.sum()))
            series = local_polynomial(trajectory, times[k].min() - 3.0, times[k].max() + 3.0)
            project(grid.latitude[None, k], grid.longitude[None, k], grid.height[None, k], series, seen)
            assert np.abs(seen[0, 0] - times[k]).max() / interval < 1.5e-3, path.name  # lines; 1 µs is 5e-4
            tau = 2.0 * seen[1, 0] / SPEED_OF_LIGHT
            assert np.abs(tau - grid.slant_range_time[k]).max() * sampling < 2e-5, path.name  # samples
        checked += 1
    assert checked >= 15


def test_burst_numbers_of_real_annotation(shared_data):
    checked = 0
    for folder in ("morocco_pair", "canada_pair"):
        for product in sorted((shared_data / folder).glob("*.SAFE")):
            track = relative_orbit_number(product / "manifest.safe")
            for path in sorted((product / "annotation").glob("s1*.xml")):
                node = next(e for e in path.read_text().splitlines() if "<ascendingNodeTime>" in e)
                node = np.datetime64(node.split(">")[1].split("<")[0], "ns")
                for burst in read_annotation(path, track).bursts:
                    since = (burst.azimuth_time - node).astype(np.int64) * 1e-9
                    assert int(burst.burst_id.split("_")[1]) == burst_number(track, since, burst.swath)
                    checked += 1
    assert checked > 50


# --- carrier ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("swath", list(SWATHS))
def test_carrier_sweeps_as_the_beam_is_steered(swath):
    view = views(Date(DAY, doppler=20.0), track=replace(TRACK, swath=swath))[0]
    burst, h = view.burst, 0.25
    line = np.linspace(10, burst.lines - 10, 7)[:, None]
    sample = np.linspace(0, burst.samples - 1, 5)[None, :]
    phases = [carrier_phase(burst, view.trajectory, line + d, sample) for d in (-h, h)]
    numerical = (phases[1] - phases[0]) / (2 * h * burst.azimuth_time_interval) / (2 * np.pi)
    np.testing.assert_allclose(numerical, centre_frequency(burst, view.trajectory, line, sample), atol=1e-3)  # Hz
    middle = 0.5 * (burst.lines - 1), 0.5 * (burst.samples - 1)
    assert centre_frequency(burst, view.trajectory, *middle) == pytest.approx(20.0, abs=1.0)  # Hz, its Doppler centroid
    sweep = np.ptp(centre_frequency(burst, view.trajectory, np.array([0, burst.lines - 1]), middle[1]))
    assert 4200 < sweep < 5700  # Hz over a burst: some 3 s at 1.5 to 1.8 kHz/s
    far = burst.slant_range_time + np.array([0.0, burst.samples / burst.range_sampling_rate])
    near_value, far_value = burst.azimuth_fm_rate(far)
    assert near_value < far_value < 0


def test_fm_rate_is_that_of_real_annotation(shared_data):
    product = sorted((shared_data / "hambach_pair").glob("*.SAFE"))[0]
    real = read_annotation(find_annotation(product, "IW2", "VV"), 88).bursts[4]
    ours = views(Date(DAY), track=Track(50.89, 6.57, 0.0, "ascending", "IW2"))[0].burst
    tau = real.slant_range_time + np.linspace(0, real.samples, 5) / real.range_sampling_rate
    np.testing.assert_allclose(ours.azimuth_fm_rate(tau), real.azimuth_fm_rate(tau), rtol=5e-3)


# --- speckle ----------------------------------------------------------------------------------------------------------


def equivalent_looks(burst, range_looks, azimuth_looks):
    """METHODS §2, by direct integration."""
    looks = 1.0
    for n, fs, bandwidth, a in (
        (range_looks, burst.range_sampling_rate, burst.range_bandwidth, burst.range_window),
        (azimuth_looks, burst.azimuth_frequency, burst.azimuth_bandwidth, burst.azimuth_window),
    ):
        f = np.linspace(-bandwidth / 2, bandwidth / 2, 4001)
        w2 = (a + (1 - a) * np.cos(2 * np.pi * f / bandwidth)) ** 2
        rho = [np.sum(w2 * np.cos(2 * np.pi * f * k / fs)) / np.sum(w2) for k in range(1, n)]
        looks *= n**2 / (n + 2 * sum((n - k) * r**2 for k, r in enumerate(rho, 1)))
    return looks


@pytest.mark.parametrize("swath", list(SWATHS))
def test_spectrum_and_equivalent_looks(swath):
    burst = views(Date(DAY), track=replace(TRACK, swath=swath))[0].burst
    shapes = burst_shapes(burst, 480, 1400)
    field = on_grid(shaped_modes(white_lines((1,), 0, 480, 1400), shapes), shapes)
    assert np.mean(np.abs(field) ** 2) == pytest.approx(1.0, abs=0.01)
    power = np.abs(np.fft.fft2(field)) ** 2
    for axis, fs, band, a in (
        (0, burst.azimuth_frequency, burst.azimuth_bandwidth, burst.azimuth_window),
        (1, burst.range_sampling_rate, burst.range_bandwidth, burst.range_window),
    ):
        spectrum = power.mean(1 - axis)
        f = np.fft.fftfreq(spectrum.size, 1 / fs)
        inside = np.abs(f) <= band / 2
        assert spectrum[~inside].max() < 1e-6 * spectrum.max()
        expected = (a + (1 - a) * np.cos(2 * np.pi * f[inside] / band)) ** 2
        ratio = spectrum[inside] / expected
        assert np.std(ratio / ratio.mean()) < 0.08  # speckle of the periodogram
        assert abs(np.polyfit(np.abs(f[inside]) / band, ratio / ratio.mean(), 1)[0]) < 0.06
    # intensity over a 2 x 7 box varies as 1/sqrt(equivalent looks)
    box = ndimage.uniform_filter(np.abs(field) ** 2, (2, 7))[8:-8:4, 16:-16:14]
    measured = (box.mean() / box.std()) ** 2
    assert measured == pytest.approx(equivalent_looks(burst, 7, 2), rel=0.06)


def test_field_between_samples_is_its_fourier_sum():
    shapes = hamming_shape(36, 486.0, 327.0, 0.7), hamming_shape(50, 64.3, 56.5, 0.75)
    modes = shaped_modes(white_lines((5,), 0, 36, 50), shapes)
    rng = np.random.default_rng(3)
    at = rng.uniform(-3, 60, (2, 40))
    found = evaluate(modes, shapes, at.copy())
    for k in range(40):
        waves = [np.exp(2j * np.pi * s.modes * p / s.size) for s, p in zip(shapes, at[:, k], strict=True)]
        assert abs(found[k] - waves[0] @ modes @ waves[1]) < 2e-5  # of a field with power 1
    whole = np.indices((36, 50)).astype(float)
    np.testing.assert_allclose(evaluate(modes, shapes, whole), on_grid(modes, shapes), atol=2e-5)


@settings(max_examples=20, deadline=None)
@given(first=st.integers(-2000, 15_000), cut=st.integers(1, 9))
def test_a_scene_line_does_not_depend_on_the_burst_that_asks(first, cut):
    whole = white_lines((3, 0, 1), first, 10, 8)
    np.testing.assert_array_equal(whole[cut:], white_lines((3, 0, 1), first + cut, 10 - cut, 8))
    assert not np.array_equal(whole, white_lines((4, 0, 1), first, 10, 8))


# --- rendering --------------------------------------------------------------------------------------------------------

FLAT = flat_terrain(LAT, LON, 1200.0)
WINDOW = Window(600, 800, 12_700, 13_500)


def still(surface, *dates, mix=CLEAN, window=WINDOW, seed=1):
    """Samples of dates that all fly the nominal orbit."""
    looks = views(*dates)
    stage = make_stage(looks[0], window, surface)
    return [done.samples for done in render_stack(stage, looks, mix, seed)]


def deramped(view, samples, w=WINDOW):
    line, sample = np.arange(w.line_start, w.line_stop)[:, None], np.arange(w.sample_start, w.sample_stop)[None]
    return samples * np.exp(-1j * carrier_phase(view.burst, view.trajectory, line, sample))


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.8, 1.0])
def test_coherence_between_dates_is_the_one_asked_for(gamma):
    a, b = still(Surface(FLAT, coherence=gamma), Date(DAY), Date(NEXT))
    assert np.mean(np.abs(a) ** 2) == pytest.approx(150.0**2, rel=0.02)
    assert abs(coherence(a, b)) == pytest.approx(gamma, abs=4 * max(1 - gamma**2, 1e-4) / np.sqrt(60_000))
    if gamma:
        assert abs(np.angle(coherence(a, b))) < 0.03


def test_history_snow_phase_and_noise():
    def snow(ground, date):
        return 0.4 if np.datetime64(date, "D") == NEXT else 1.0

    def phase(ground, date):
        return 0.7 if np.datetime64(date, "D") == LATER else 0.0

    surface = Surface(FLAT, 0.9, snow, 1.0, phase)
    a, b, c = still(surface, Date(DAY), Date(NEXT), Date(LATER))
    assert abs(coherence(a, b)) == pytest.approx(0.36, abs=0.015)
    assert abs(coherence(b, c)) == pytest.approx(0.36, abs=0.015)
    assert abs(coherence(a, c)) == pytest.approx(0.81, abs=0.01)  # the ground below the snow kept its scatterers
    assert np.angle(coherence(a, c)) == pytest.approx(0.7, abs=0.02)  # rad, of reference·conj(secondary)
    noisy = still(Surface(FLAT, 1.0), Date(DAY), Date(NEXT), mix=replace(CLEAN, noise_power=0.25))
    assert abs(coherence(*noisy)) == pytest.approx(0.8, abs=0.01)  # 1 / (1 + 0.25)


def test_coherence_and_backscatter_follow_maps():
    def half(ground, start, stop):
        return np.where(ground.sample[None, :] < 13_100, 0.1, 0.9) * np.ones((ground.line.size, 1))

    def bright(ground, date):
        return np.where(ground.latitude > LAT + 0.0063, 4.0, 1.0)  # the boundary falls in mid-window

    a, b = still(Surface(FLAT, half, 1.0, bright), Date(DAY), Date(NEXT))
    assert abs(coherence(a[:, :380], b[:, :380])) == pytest.approx(0.1, abs=0.02)
    assert abs(coherence(a[:, 420:], b[:, 420:])) == pytest.approx(0.9, abs=0.01)
    assert np.mean(np.abs(a[:50]) ** 2) / np.mean(np.abs(a[-50:]) ** 2) == pytest.approx(4.0, rel=0.1)  # north first


@pytest.mark.parametrize("shift", [0.0, 9.0, -30.0])
def test_doppler_difference_costs_what_the_bands_do_not_share(shift):
    dates = Date(DAY, doppler=-15.0), Date(NEXT, doppler=-15.0 + shift)
    looks = views(*dates)
    a, b = still(Surface(FLAT), *dates)
    burst = looks[0].burst
    f = np.linspace(-200, 200, 8001)

    def w(f):
        weights = burst.azimuth_window + (1 - burst.azimuth_window) * np.cos(2 * np.pi * f / burst.azimuth_bandwidth)
        return np.where(np.abs(f) <= burst.azimuth_bandwidth / 2, weights, 0.0)

    expected = np.sum(w(f) * w(f - shift)) / np.sum(w(f) ** 2)
    assert abs(coherence(a, b)) == pytest.approx(expected, abs=3e-3)

    def centre(view, samples):  # Hz
        base = deramped(view, samples)
        return np.angle(np.vdot(base[:-1], base[1:])) / (2 * np.pi) * burst.azimuth_frequency

    for view, samples in zip(looks, (a, b), strict=True):  # both spectra sit where their own annotation says
        assert centre(view, samples) == pytest.approx(0.0, abs=1.0)
    kept = still(Surface(FLAT), *dates, mix=replace(CLEAN, doppler_decorrelation=False))
    assert abs(coherence(*kept)) == pytest.approx(1.0, abs=1e-5)
    assert centre(looks[1], kept[1]) == pytest.approx(-shift, abs=1.0)  # the reference's band


def sinc_read(image, line, sample, taps=16, beta=9.0):
    """Slow reference: Kaiser-windowed sinc of 2 x ``taps`` samples at fractional positions."""
    whole = np.floor(line).astype(int), np.floor(sample).astype(int)

    def weights(fraction):
        d = fraction[None] - np.arange(1 - taps, taps + 1)[:, None, None]
        return np.sinc(d) * np.i0(beta * np.sqrt(np.clip(1 - (d / taps) ** 2, 0, 1))) / np.i0(beta)

    wl, ws = weights(line - whole[0]), weights(sample - whole[1])
    out = np.zeros(line.shape, complex)
    for i in range(2 * taps):
        row = sum(ws[k] * image[whole[0] + i + 1 - taps, whole[1] + k + 1 - taps] for k in range(2 * taps))
        out += wl[i] * row
    return out


def test_second_date_is_the_first_seen_from_elsewhere():
    looks = views(
        Date(DAY), Date(NEXT, perpendicular_baseline=110.0, parallel_baseline=15.0, line_shift=1.6, doppler=-19.0)
    )
    window = Window(700, 790, 12_900, 13_150)
    stage = make_stage(looks[0], window, Surface(rough()))
    mix = replace(CLEAN, doppler_decorrelation=False)
    a, b = render_stack(stage, looks, mix, 4)
    inner = np.s_[24:-24, 24:-24]
    truth, view = b.truth, looks[1]
    line = np.arange(window.line_start, window.line_stop)[:, None] + truth.line_offset
    sample = np.arange(window.sample_start, window.sample_stop)[None] + truth.sample_offset
    assert np.ptp(truth.sample_offset) > 0.03 and truth.valid.all()
    line, sample = line[inner], sample[inner]
    read = sinc_read(deramped(view, b.samples, b.window), line - b.window.line_start, sample - b.window.sample_start)
    second = read * np.exp(1j * carrier_phase(view.burst, view.trajectory, line, sample))
    second = second * np.exp(1j * truth.geometric_phase[inner])
    first = a.samples[inner]
    assert (
        np.linalg.norm(first - second) / np.linalg.norm(first) < 4e-3
    )  # the slow reader's own error at the band's edge
    assert abs(np.angle(coherence(first, second))) < 1e-3  # rad
    assert abs(coherence(first, second)) > 0.99999


def test_known_shift_is_the_offset():
    here, there = views(Date(DAY), Date(NEXT, line_shift=0.3, sample_shift=0.7))
    stage = make_stage(here, Window(700, 720, 13_000, 13_050), Surface(rough()))
    truth = list(render_stack(stage, [here, there], CLEAN, 0))[1].truth
    np.testing.assert_allclose(truth.line_offset, -0.3, atol=5e-4)  # lines; the start is kept to 1 µs
    np.testing.assert_allclose(truth.sample_offset, -0.7, atol=1e-6)
    np.testing.assert_allclose(truth.geometric_phase, 0.0, atol=1e-5)  # rad


def test_without_geometry_nothing_moves():
    looks = views(Date(DAY), Date(NEXT, perpendicular_baseline=200.0, line_shift=5.0, doppler=-15.0))
    stage = make_stage(looks[0], Window(700, 760, 13_000, 13_200), Surface(rough()))
    mix = replace(CLEAN, geometry=False)
    a, b = render_stack(stage, looks, mix, 2)
    assert b.window == a.window and not b.truth.line_offset.any() and not b.truth.geometric_phase.any()
    assert abs(coherence(a.samples, b.samples) - 1.0) < 1e-5
    bare = list(render_stack(stage, looks, replace(mix, carrier=False), 2))
    np.testing.assert_allclose(bare[0].samples, bare[1].samples, atol=1e-3)


def test_baseline_decorrelation_is_a_choice():
    dates = Date(DAY), Date(NEXT, perpendicular_baseline=500.0)
    looks = views(*dates)
    stage = make_stage(looks[0], Window(650, 700, 12_800, 13_300), Surface(FLAT))
    measured = []
    for choice in (False, True):
        done = list(render_stack(stage, looks, replace(CLEAN, baseline_decorrelation=choice), 2))[1]
        spectrum = deramped(looks[1], done.samples, done.window)
        measured.append(np.angle(np.vdot(spectrum[:, :-1], spectrum[:, 1:])) / (2 * np.pi))
    rate = np.mean(np.diff(done.truth.geometric_phase, axis=1)) / (2 * np.pi)
    assert abs(rate) > 0.02  # cycles per sample: 500 m are a good part of the 7 km that decorrelate everything
    assert measured[0] == pytest.approx(-rate, abs=3e-3)  # the phase moves the spectrum
    assert measured[1] == pytest.approx(0.0, abs=3e-3)  # the spectrum stays where the radar puts it


# --- files ------------------------------------------------------------------------------------------------------------


def test_measurement_file_is_a_sparse_complex_tiff(tmp_path):
    path = tmp_path / "a.tiff"
    offset = create_measurement(path, 3000, 2000)
    values = np.arange(24, dtype=np.int16).reshape(3, 4, 2) - 7
    write_window(path, 2000, offset, (1500, 900), values)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert page.dataoffsets[:2] == (offset, offset + 8000)
        assert page.tags["SampleFormat"].value in (5, (5,)) and page.rowsperstrip == 1 and page.compression == 1
    with rasterio.open(path) as source:
        assert source.dtypes == ("complex_int16",)
        read = source.read(1)
    expected = np.zeros((3000, 2000), complex)
    expected[1500:1503, 900:904] = values[..., 0] + 1j * values[..., 1]
    np.testing.assert_array_equal(read, expected)
    assert path.stat().st_blocks * 512 < 200_000 < path.stat().st_size
    with pytest.raises(BadInput, match="leave quantisation on"):
        write_window(path, 2000, offset, (0, 0), np.ones((2, 2), np.complex64))
    with pytest.raises(BadInput, match="byteOffset must be at least"):
        create_measurement(tmp_path / "b.tiff", 3000, 2000, 1000)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    return write_scene(small_scene(swaths=("IW1", "IW2"), polarizations=("VV", "VH")), folder, 1)


def test_product_reads_back(written):
    product = written.products[1]
    flight = fly(TRACK, small_scene().dates[1], ("IW1", "IW2"), "VV")
    for swath in ("IW1", "IW2"):
        note = read_annotation(find_annotation(product, swath, "VV"), flight.track)
        made, found = flight.bursts[swath][0], note.bursts[0]
        for name in (
            "burst_id", "platform", "track", "orbit_pass", "azimuth_time", "azimuth_time_interval", "slant_range_time",
            "range_sampling_rate", "radar_frequency", "lines", "samples", "range_bandwidth", "range_window",
            "azimuth_bandwidth", "azimuth_window", "polarization", "swath",
        ):  # fmt: skip
            assert getattr(found, name) == getattr(made, name), name
        assert found.steering_rate == pytest.approx(made.steering_rate, rel=1e-14)
        assert found.doppler_centroid.coefficients == made.doppler_centroid.coefficients
        assert found.azimuth_fm_rate.coefficients == made.azimuth_fm_rate.coefficients
        np.testing.assert_array_equal(found.first_valid_sample, made.first_valid_sample)
        np.testing.assert_array_equal(found.last_valid_sample, made.last_valid_sample)
        # the epochs differ, the vectors don't
        np.testing.assert_allclose(found.orbit.position, made.orbit.position, atol=1e-9)
        assert found.orbit.instant(found.orbit.time[0]) == made.orbit.instant(made.orbit.time[0])
        with tifffile.TiffFile(sorted((product / "measurement").glob(f"*-{swath.lower()}-slc-vv-*.tiff"))[0]) as file:
            assert file.pages[0].dataoffsets[0] == note.offset
            assert file.pages[0].shape == (made.lines, made.samples)


def test_product_names_and_manifest(written):
    first, second = written.products
    assert first.name.startswith("S1A_IW_SLC__1SDV_20210105T0") and first.suffix == ".SAFE" and len(first.name) == 72
    track = relative_orbit_number(first / "manifest.safe")
    assert track == relative_orbit_number(second / "manifest.safe")
    orbit = int(first.name.split("_")[7])
    assert (orbit - 73) % 175 + 1 == track  # ESA's formula for S1A
    text = (first / "manifest.safe").read_text()
    assert "<s1:pass>DESCENDING</s1:pass>" in text and 'version="003.71"' in text
    assert len(list((first / "annotation").glob("*.xml"))) == 4  # two swaths, two polarisations
    points = text.split("<gml:coordinates>")[1].split("<")[0].split()
    latitude = [float(p.split(",")[0]) for p in points]
    assert len(points) == 4 and min(latitude) < LAT < max(latitude)


def test_tie_points_lie_on_the_terrain(written):
    note = read_annotation(find_annotation(written.products[0], "IW2", "VV"), 1)
    grid, terrain = note.grid, rough()
    assert grid.line.size == 42
    inside = terrain.contains(grid.latitude, grid.longitude)
    assert np.all(np.diff(grid.incidence_angle[:21]) > 0)
    assert np.rad2deg(grid.incidence_angle).min() > 34 and np.rad2deg(grid.incidence_angle).max() < 44
    assert np.all(grid.height[~inside] > terrain.heights.min() - 1.0)


def test_same_scene_gives_the_same_bytes(tmp_path):
    def digest(folder, workers):
        write_scene(small_scene(), folder, workers)
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return [(p.name, hashlib.sha256(p.read_bytes()[:200_000]).hexdigest(), _window_digest(p)) for p in files]

    assert digest(tmp_path / "a", 1) == digest(tmp_path / "b", 2)


def _window_digest(path):
    if path.suffix != ".tiff":
        return ""
    with rasterio.open(path) as source:
        block = source.read(1, window=((600, 900), (12_500, 13_500)))
    assert np.any(block)
    return hashlib.sha256(block.tobytes()).hexdigest()


def test_a_mine_across_two_bursts(tmp_path):
    track = replace(TRACK, line=1420.0, bursts=2)
    area = (LON - 0.004, LAT - 0.006, LON + 0.004, LAT + 0.006)
    dates = (Date(DAY), Date(NEXT, perpendicular_baseline=50.0, line_shift=0.4))
    made = write_scene(Scene(track, dates, Surface(rough()), area, ingredients=CLEAN_INT), tmp_path, 1)
    assert len({t.burst_id for t in made.truths}) == 2 and len(made.truths) == 4
    flight = fly(track, dates[0], ("IW2",), "VV")
    first, second = flight.bursts["IW2"]
    path = sorted((made.products[0] / "measurement").glob("*.tiff"))[0]
    one, two = (next(t for t in made.truths if t.burst_id == b.burst_id).window for b in (first, second))
    top = two.line_start  # scene line 1342 + top in the first burst
    lines = one.line_stop - 1342 - top
    assert lines > 40
    with rasterio.open(path) as source:
        columns = (one.sample_start, one.sample_stop)
        upper = source.read(1, window=((1342 + top, one.line_stop), columns))
        lower = source.read(1, window=((first.lines + top, first.lines + top + lines), columns))
    sample = np.arange(*columns)[None]
    trajectory = flight.trajectory
    upper = upper * np.exp(
        -1j * carrier_phase(first, trajectory, np.arange(1342 + top, one.line_stop)[:, None], sample)
    )
    lower = lower * np.exp(-1j * carrier_phase(second, trajectory, np.arange(top, top + lines)[:, None], sample))
    assert abs(coherence(upper, lower)) > 0.995  # one field, seen by both bursts; the spectra's tails differ


CLEAN_INT = Ingredients(noise_power=0.0)


def test_invalid_borders_stay_zero(tmp_path):
    track = replace(TRACK, line=40.0)
    made = write_scene(small_scene(track=track), tmp_path, 1)
    path = sorted((made.products[0] / "measurement").glob("*.tiff"))[0]
    with rasterio.open(path) as source:
        block = source.read(1, window=((0, 60), (12_900, 13_100)))
    first = SWATHS["IW2"].valid_lines[0]
    assert not block[:first].any()
    assert np.mean(block[first:] != 0) > 0.99


def test_truth_survives_the_disk(tmp_path, written):
    truth = written.truths[-1]
    again = load_truth(save_truth(truth, tmp_path))
    assert (again.burst_id, again.date, again.window) == (truth.burst_id, truth.date, truth.window)
    for name in ("line_offset", "sample_offset", "geometric_phase", "coherence", "valid"):
        np.testing.assert_array_equal(getattr(again, name), getattr(truth, name))


def test_terrain_survives_the_disk(tmp_path):
    terrain = rough()
    write_raster(terrain, tmp_path / "dem.tif")
    again = raster_terrain(tmp_path / "dem.tif")
    np.testing.assert_allclose(again.heights, terrain.heights, atol=1e-4)  # m, float32
    assert (again.north, again.west) == pytest.approx((terrain.north, terrain.west), abs=1e-12)  # degrees
    assert (again.lat_step, again.lon_step) == pytest.approx((terrain.lat_step, terrain.lon_step), abs=1e-15)


def test_a_raster_as_a_field_of_the_surface(tmp_path):
    terrain = rough()
    write_raster(terrain, tmp_path / "a.tif")
    view = views(Date(DAY))[0]
    stage = make_stage(view, Window(740, 745, 12_900, 12_940), Surface(replace(terrain, interpolant="linear")))
    field = raster_field(tmp_path / "a.tif", -5.0)
    np.testing.assert_allclose(field(stage.ground, DAY), stage.ground.height, atol=2e-2)  # m, linear as the terrain
    away = replace(stage.ground, latitude=stage.ground.latitude + 2.0)
    np.testing.assert_array_equal(field(away, DAY), -5.0)


def test_scenes_that_make_no_sense(tmp_path):
    with pytest.raises(BadInput, match="dates must rise"):
        small_scene(dates=(Date(DAY), Date(DAY)))
    with pytest.raises(BadInput, match="swaths must hold the track's IW2"):
        small_scene(swaths=("IW1",))
    with pytest.raises(NoCoverage, match="no burst of IW2 sees the area"):
        write_scene(small_scene(area=(LON + 3.0, LAT, LON + 3.1, LAT + 0.1)), tmp_path)
    with pytest.raises(BadInput, match="interpolant must be one of linear"):
        rough("sinc")
    with pytest.raises(BadInput, match="heights must be finite"):
        Terrain(np.full((5, 5), np.nan), 0.0, 0.0, -1.0, 1.0)
    with pytest.raises(BadProduct, match="must hold an annotation"):
        find_annotation(tmp_path, "IW1", "VV")


# --- real annotation and demo -----------------------------------------------------------------------------------------


def test_samples_into_real_annotation(shared_data, tmp_path):
    folder = shared_data / "morocco_pair"
    terrain = raster_terrain(next((folder / "dem").glob("*iw1*")))
    window = Window(700, 800, 9_000, 9_400)
    sources = sorted(folder.glob("*.SAFE"))
    made = render_into_real(sources, tmp_path, Surface(terrain, 0.9), Target("IW1", "VV", 0, window), workers=1)
    truth = made.truths[1]
    assert truth.burst_id == "t052_110431_iw1" and truth.valid.all()
    assert 5.0 < truth.sample_offset.mean() < 6.5 and abs(truth.line_offset.mean()) < 0.2
    for source, product in zip(sources, made.products, strict=True):
        assert product.name == source.name and (product / "manifest.safe").exists()
        path = sorted((product / "measurement").glob("*iw1*.tiff"))[0]
        with rasterio.open(path) as measurement:
            assert measurement.shape == (13563, 23055)
            block = measurement.read(1, window=((720, 780), (9_020, 9_380)))
        assert np.sqrt(np.mean(np.abs(block) ** 2)) == pytest.approx(150.0, rel=0.05)
        with tifffile.TiffFile(path) as file:
            assert file.pages[0].dataoffsets[0] == 108819  # as the annotation says
    with pytest.raises(NoCoverage, match="must hold burst"):
        other = sorted((shared_data / "hambach_pair").glob("*.SAFE"))[0]
        render_into_real([sources[0], other], tmp_path / "x", Surface(terrain), Target("IW1", "VV", 0, window))


def test_older_products_and_loose_files(shared_data, tmp_path):
    ground = flat_terrain(50.892, 6.573, 150.0)
    window = Window(330, 370, 22_300, 22_500)
    sources = sorted((shared_data / "hambach_pair").glob("*.SAFE"))
    made = render_into_real(sources, tmp_path, Surface(ground), Target("IW2", "VV", 4, window), workers=1)
    assert made.truths[1].burst_id == made.truths[0].burst_id
    assert made.truths[1].burst_id.startswith("t088_") and made.truths[1].burst_id.endswith("_iw2")
    assert abs(made.truths[1].line_offset.mean()) < 3.0  # lines: bursts are synchronised to a few milliseconds
    steep = raster_terrain(shared_data / "alps" / "srtm_oetztal.tif")
    target = Target("IW2", "VH", 2, Window(1000, 1040, 7_000, 7_300))
    made = render_into_real([shared_data / "alps"], tmp_path, Surface(steep), target, workers=1)
    assert made.products[0].name == "S1B_IW_SLC__1SDV_20210401T052622_20210401T052650_026269_032297_0000.SAFE"
    assert 0.3 < made.truths[0].valid.mean() <= 1.0
    path = sorted((made.products[0] / "measurement").glob("*.tiff"))[0]
    lines = read_annotation(find_annotation(made.products[0], "IW2", "VH"), 168).bursts[0].lines
    with rasterio.open(path) as source:
        assert not source.read(1, window=((1000, 1040), (7_000, 7_300))).any()  # burst 0 stays empty
        assert source.read(1, window=((2 * lines + 1000, 2 * lines + 1040), (7_000, 7_300))).any()


def test_demo_truth_is_consistent():
    demo = demo_scene()
    days = [np.datetime64(d.day, "D") for d in demo.scene.dates]
    gaps = np.diff(days).astype(int)
    assert len(days) == 42 and set(gaps) == {12, 204} and np.all((np.array(days) - days[0]).astype(int) % 12 == 0)
    assert SNOW_DATE in days and str(SNOW_DATE)[:4] == str(demo.quiet_year)
    assert demo.activity[demo.quiet_year] == {}
    for parts in WORK.values():
        for outline in parts.values():
            ring = np.array(outline.polygon()["coordinates"][0])
            assert MINE.radius(ring[:, 1], ring[:, 0]).max() < 0.95
            assert outline.radius(ring[:, 1], ring[:, 0]) == pytest.approx(np.ones(len(ring)), abs=5e-5)
    view = views(Date(DAY), track=demo.scene.track)[0]
    stage = make_stage(view, Window(560, 940, 12_300, 13_700), demo.scene.surface)
    active = demo.scene.surface.coherence(stage.ground, days[0], days[1]).astype(float)
    quiet = demo.scene.surface.coherence(stage.ground, days[14], days[15]).astype(float)
    assert set(np.unique(active).round(2).tolist()) == {0.05, 0.25, 0.93}
    assert set(np.unique(quiet).round(2).tolist()) == {0.25, 0.93}
    heights = stage.ground.height[stage.inside]
    assert np.ptp(heights) > 120 and stage.inside.mean() > 0.98
