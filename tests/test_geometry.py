"""Ellipsoid, orbit and range-Doppler geometry: closed forms, identities, and every real geolocation grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from pipeline.constants import EARTH_GM, EARTH_ROTATION_RATE
from pipeline.errors import NoCoverage
from pipeline.insar.baseline import perpendicular_baseline
from pipeline.insar.ellipsoid import ecef, ecef_to_geodetic
from pipeline.insar.orbit import interpolate
from pipeline.insar.range_doppler import incidence_angle, locate, project, radar_coordinates
from pipeline.model import Orbit
from pipeline.sentinel1.safe import open_product
from pipeline.simulate import Date, Track
from pipeline.simulate.layout import fly


def circular_orbit(radius=7_071_000.0, inclination=98.18, step=10.0, count=17, node=0.3, phase=0.0):
    """State vectors of a circular orbit seen from the turning earth, with exact velocities."""
    time = step * np.arange(count)
    rate = np.sqrt(EARTH_GM / radius**3)
    u, i = rate * time + 0.8 + phase, np.deg2rad(inclination)
    o = node - EARTH_ROTATION_RATE * time
    cos_u, sin_u, cos_o, sin_o = np.cos(u), np.sin(u), np.cos(o), np.sin(o)
    x, y = cos_u, sin_u * np.cos(i)
    dx, dy = -sin_u * rate, cos_u * np.cos(i) * rate
    w = -EARTH_ROTATION_RATE
    position = np.stack([cos_o * x - sin_o * y, sin_o * x + cos_o * y, sin_u * np.sin(i)], -1) * radius
    velocity = (
        np.stack(
            [
                cos_o * dx - sin_o * dy + w * (-sin_o * x - cos_o * y),
                sin_o * dx + cos_o * dy + w * (cos_o * x - sin_o * y),
                cos_u * np.sin(i) * rate,
            ],
            -1,
        )
        * radius
    )
    return Orbit(np.datetime64("2021-06-24T17:24:00", "ns"), time, position, velocity)


def test_ecef_equals_proj():
    rng = np.random.default_rng(1)
    lat, lon, h = rng.uniform(-90, 90, 500), rng.uniform(-180, 180, 500), rng.uniform(-500, 9000, 500)
    expected = np.stack(Transformer.from_crs(4979, 4978, always_xy=True).transform(lon, lat, h), -1)
    assert np.abs(ecef(np.deg2rad(lat), np.deg2rad(lon), h) - expected).max() < 1e-8  # m


@given(
    latitude=st.floats(-np.pi / 2, np.pi / 2),
    longitude=st.floats(-3.14, 3.14),
    height=st.floats(-10_000.0, 1_000_000.0),
)
def test_geodetic_round_trip(latitude, longitude, height):
    lat, lon, h = ecef_to_geodetic(*ecef(latitude, longitude, height))
    assert abs(lat - latitude) < 1e-12  # rad: 6 micrometres
    assert abs((lon - longitude) * np.cos(latitude)) < 1e-12
    assert abs(h - height) < 1e-7  # m


def test_orbit_between_vectors_equals_the_circle():
    orbit = circular_orbit()
    fine = circular_orbit(step=1.0, count=161)
    position, velocity = interpolate(orbit, fine.time)
    assert np.abs(position - fine.position)[40:120].max() < 1e-5  # m
    assert np.abs(velocity - fine.velocity)[40:120].max() < 1e-8  # m/s


def test_orbit_refuses_to_extrapolate_and_to_bridge_gaps():
    orbit = circular_orbit()
    with pytest.raises(NoCoverage, match=r"covers 2021-06-24T17:24:00\.000000000 to .* expected"):
        interpolate(orbit, 170.0)
    keep = np.r_[0:6, 11:17]
    gappy = Orbit(orbit.epoch, orbit.time[keep], orbit.position[keep], orbit.velocity[keep])
    with pytest.raises(NoCoverage, match="gap of 60 s"):
        interpolate(gappy, 80.0)
    with pytest.raises(NoCoverage, match="7 state vectors, expected at least 8"):
        interpolate(Orbit(orbit.epoch, orbit.time[:7], orbit.position[:7], orbit.velocity[:7]), 10.0)


@given(time=st.floats(40.0, 120.0), slant_range=st.floats(800e3, 960e3), height=st.floats(-400.0, 8000.0))
def test_locate_then_project_is_the_identity(time, slant_range, height):
    orbit = circular_orbit()
    tau = 2.0 * slant_range / 299_792_458.0
    latitude, longitude = locate(orbit, time, tau, height)
    t, back = project(orbit, latitude, longitude, height)
    assert abs(t - time) < 1e-9  # s: 4e-7 line
    assert abs(back - tau) < 1e-15  # s: 6e-8 sample


def test_located_points_lie_right_of_the_track_at_the_range():
    orbit = circular_orbit()
    latitude, longitude = locate(orbit, 80.0, 6e-3, 250.0)
    position, velocity = (a[0] for a in interpolate(orbit, 80.0))
    sight = ecef(latitude, longitude, 250.0) - position
    assert abs(np.linalg.norm(sight) - 6e-3 * 299_792_458.0 / 2) < 1e-5  # m
    assert abs(sight @ velocity) / np.linalg.norm(velocity) < 1e-5  # m along track
    assert sight @ np.cross(velocity, position) > 0.0  # right of the track


def test_what_no_orbit_sees_is_nan():
    orbit = circular_orbit()
    assert np.isnan(locate(orbit, 80.0, 2e-3, 0.0)).all()  # the range never reaches the ground
    assert np.isnan(project(orbit, np.nan, 0.1, 0.0)).all()
    latitude, longitude = locate(orbit, 150.0, 6e-3, 0.0)
    short = Orbit(orbit.epoch, orbit.time[:9], orbit.position[:9], orbit.velocity[:9])
    assert np.isnan(project(short, latitude, longitude, 0.0)).all()


def test_incidence_of_a_point_below_is_zero_and_grows_outwards():
    orbit = circular_orbit()
    tau = 2.0 * np.array([750e3, 800e3, 900e3]) / 299_792_458.0
    latitude, longitude = locate(orbit, 80.0, tau, 0.0)
    angle = incidence_angle(orbit, 80.0, latitude, longitude, 0.0)
    assert (np.diff(angle) > 0.1).all()
    # law of cosines with the point's own distance from the centre; the ellipsoid's normal leans by up to 0.19 degrees
    radius, earth = 7_071_000.0, np.linalg.norm(ecef(latitude, longitude, 0.0), axis=-1)
    cosine = (radius**2 - earth**2 - (tau * 149_896_229.0) ** 2) / (2 * earth * tau * 149_896_229.0)
    assert np.abs(np.rad2deg(angle - np.arccos(cosine))).max() < 0.2


def test_perpendicular_baseline_of_a_sideways_step():
    reference = circular_orbit()
    latitude, longitude = (float(v) for v in locate(reference, 80.0, 6e-3, 0.0))
    position, velocity = interpolate(reference, 80.0)
    sight = ecef(latitude, longitude, 0.0) - position[0]
    sight /= np.linalg.norm(sight)
    across = np.cross(sight, velocity[0] / np.linalg.norm(velocity[0]))
    moved = Orbit(reference.epoch, reference.time, reference.position - 150.0 * across, reference.velocity)
    assert abs(perpendicular_baseline(reference, moved, latitude, longitude, 0.0) - 150.0) < 0.05  # m
    along = Orbit(reference.epoch, reference.time, reference.position + 150.0 * sight, reference.velocity)
    assert abs(perpendicular_baseline(reference, along, latitude, longitude, 0.0)) < 0.05  # m
    assert perpendicular_baseline(reference, reference, latitude, longitude, 0.0) == 0.0


@pytest.mark.parametrize("asked", [-150.0, 80.0])
@pytest.mark.parametrize("orbit_pass", ["ascending", "descending"])
def test_simulated_baseline_has_the_requested_size_and_sign(asked, orbit_pass):
    track = Track(-27.7, 23.0, 1200.0, orbit_pass)
    first, second = (
        fly(track, Date(np.datetime64(day), perpendicular_baseline=b), ("IW2",), "VV").bursts["IW2"][0].orbit
        for day, b in (("2021-01-05", 0.0), ("2021-01-17", asked))
    )
    point = (np.deg2rad(-27.7), np.deg2rad(23.0), 1200.0)
    assert abs(perpendicular_baseline(first, second, *point) - asked) < 0.01 * abs(asked)  # m


def product_urls(folder):
    """Every product with real annotation."""
    return [
        *sorted(folder.glob("*_pair/*.SAFE")),
        folder / "alps",
        *sorted(folder.glob("annotation_with_orbits/**/*.zip")),
    ]


# Processors of 2014 (IPF 2.3x) computed the grid with an orbit that the annotation does not carry: the annotated
# vectors miss the grid by a constant time and range of the size of an orbit correction, in all three swaths alike.
OTHER_ORBIT = {
    "S1A_IW_SLC__1SDV_20141004T031312_20141004T031339_002674_002FB6_07B5": (0.09, 0.02, 1.3),
    "S1A_IW_SLC__1SDV_20141227T062619_20141227T062642_003901_004AF0_13F8": (0.006, 0.02, 0.5),
}


def test_geolocation_grid_of_every_real_annotation(shared_data):
    seen = 0
    for url in product_urls(shared_data):
        product = open_product(str(url))
        limits = OTHER_ORBIT.get(product.granule, (2e-3, 1e-4, 0.5))
        for swath in product.swaths:
            grid, burst = swath.geolocation_grid, swath.bursts[0]
            t, tau = project(burst.orbit, grid.latitude, grid.longitude, grid.height)
            annotated = burst.orbit.seconds(grid.azimuth_time)
            line = np.abs(t - annotated) / burst.azimuth_time_interval
            sample = np.abs(tau - grid.slant_range_time) * burst.range_sampling_rate
            latitude, longitude = locate(burst.orbit, annotated, grid.slant_range_time, grid.height)
            miss = np.linalg.norm(
                ecef(latitude, longitude, grid.height) - ecef(grid.latitude, grid.longitude, grid.height), axis=-1
            )
            name = f"{product.granule} {swath.swath} {swath.polarization}"
            assert np.percentile(line, 99) < limits[0], name  # lines
            assert np.percentile(sample, 99) < limits[1], name  # samples
            assert miss.max() < limits[2], name  # m
            angle = incidence_angle(burst.orbit, t, grid.latitude, grid.longitude, grid.height)
            # the annotation's angle is against a sphere of the local radius: up to 0.04 degrees off the ellipsoid's
            # normal
            assert np.rad2deg(np.abs(angle - grid.incidence_angle)).max() < 0.05, name
            seen += 1
    assert seen == 46


def test_old_products_differ_by_a_constant_shift(shared_data):
    """What is left after one time and one range per swath is the grid's rounding: another orbit, not geometry."""
    for name in OTHER_ORBIT:
        product = open_product(str(shared_data / "annotation_with_orbits" / "safe_zips" / f"{name}.zip"))
        for swath in product.swaths:
            grid, burst = swath.geolocation_grid, swath.bursts[0]
            t, tau = project(burst.orbit, grid.latitude, grid.longitude, grid.height)
            line = (t - burst.orbit.seconds(grid.azimuth_time)) / burst.azimuth_time_interval
            sample = (tau - grid.slant_range_time) * burst.range_sampling_rate
            assert np.std(line) < 0.01, swath.swath
            assert np.std(sample) < 0.01, swath.swath


@pytest.mark.parametrize("folder, expected", [("hambach_pair", 50.2), ("canada_pair", -122.0)])
def test_baseline_of_real_pairs(shared_data, folder, expected):
    reference, secondary = (open_product(str(p), "VV") for p in sorted((shared_data / folder).glob("*.SAFE")))
    values = []
    for k, burst in enumerate(reference.bursts):
        lon, lat = np.deg2rad(np.mean(burst.footprint[:4], axis=0))
        values.append(perpendicular_baseline(burst.orbit, secondary.bursts[k].orbit, lat, lon, 0.0))
    assert abs(np.mean(values) - expected) < 3.0  # m: it changes by 15 m over the swaths


def test_mines_lie_in_the_bursts_where_they_are_seen(shared_data):
    """Hambach and its neighbours, from the positions recorded by another program (heights not recorded)."""
    product = open_product(str(sorted((shared_data / "hambach_pair").glob("*20210624*.SAFE"))[0]), "VV")
    bursts = next(s for s in product.swaths if s.swath == "IW2").bursts
    line, sample = radar_coordinates(bursts[4], np.deg2rad(50.892), np.deg2rad(6.573), 0.0)
    assert abs(line - 351) < 15 and abs(sample - 22420) < 150
