"""Orbit files: real ones against annotated vectors and against each other, synthetic ones for gaps and leap seconds."""

import numpy as np
import pytest

from pipeline.errors import BadInput, BadProduct, NoCoverage
from pipeline.sentinel1.orbit_files import cut_orbit, join_orbits, parse_file_name, parse_orbit_file
from pipeline.sentinel1.orbit_window import orbit_window
from pipeline.sentinel1.safe import open_product

HEAD = "<Earth_Explorer_File><Earth_Explorer_Header><Variable_Header><Ref_Frame>{}</Ref_Frame>"
HEAD += "<Time_Reference>UTC</Time_Reference></Variable_Header></Earth_Explorer_Header><Data_Block><List_of_OSVs>"
TAIL = "</List_of_OSVs></Data_Block></Earth_Explorer_File>"
RADIUS, RATE = 7_071_000.0, 2 * np.pi / 5924.57  # m, rad/s


def circle(seconds):
    """Position and velocity of a circular orbit, m and m/s."""
    c, s = np.cos(RATE * seconds), np.sin(RATE * seconds)
    return RADIUS * np.stack([c, s, 0 * s], -1), RADIUS * RATE * np.stack([-s, c, 0 * s], -1)


def orbit_file(start="2021-06-24T17:00:00", count=60, drop=(), frame="EARTH_FIXED", leap_after=None, phase=0.0):
    """An orbit file on a circular orbit; ``leap_after`` is the vector after which TAI - UTC grows by a second."""
    text = HEAD.format(frame)
    for k in range(count):
        if k in drop:
            continue
        tai = np.datetime64(start, "us") + np.timedelta64(37, "s") + np.timedelta64(10 * k, "s")
        utc = tai - np.timedelta64(38 if leap_after is not None and k > leap_after else 37, "s")
        p, v = circle(phase + 10.0 * k)
        text += f"<OSV><TAI>TAI={tai}</TAI><UTC>UTC={utc}</UTC>"
        text += "".join(
            f"<{n}>{x!r}</{n}>" for n, x in zip(("X", "Y", "Z", "VX", "VY", "VZ"), map(float, [*p, *v]), strict=True)
        )
        text += "</OSV>"
    return (text + TAIL).encode()


def interpolate(orbit, instants):
    """Eight-point Lagrange positions (instant, 3), written for the test as plainly as can be."""
    found = []
    for x in np.atleast_1d(orbit.seconds(instants)):
        first = int(np.clip(np.searchsorted(orbit.time, x) - 4, 0, len(orbit.time) - 8))
        t, y = orbit.time[first : first + 8], orbit.position[first : first + 8]
        weights = [np.prod([(x - t[k]) / (t[j] - t[k]) for k in range(8) if k != j]) for j in range(8)]
        found.append(np.asarray(weights) @ y)
    return np.array(found)


def names(folder):
    return {name: path for path in sorted(folder.glob("*.EOF")) if (name := parse_file_name(path.name))}


# Mean distance (m) between the annotation's vectors and the orbit file interpolated to their times. The folder's own
# notes have the same six figures under other dates; each pair here is one validity interval and one start time.
DISTANCES = {
    "20141004": 1.173,
    "20141227": 0.079,
    "20220828": 0.019,
    "20220929": 0.024,
    "20221011": 0.719,
    "20221024": 0.005,
}


@pytest.mark.parametrize("date", DISTANCES)
def test_annotated_vectors_against_orbit_file(shared_data, date):
    folder = shared_data / "annotation_with_orbits"
    product = open_product(str(next(folder.glob(f"safe_zips/*_{date}T*.zip"))), "VV")
    orbit = product.bursts[0].orbit
    [path] = [p for n, p in names(folder / "orbits").items() if n.start < product.start_time < n.stop]
    precise = parse_orbit_file(path.read_bytes(), path.name, product.start_time)
    distance = np.linalg.norm(interpolate(precise, orbit.instant(orbit.time)) - orbit.position, axis=1)
    assert abs(distance.mean() - DISTANCES[date]) < 0.001  # m: the figures have three decimals


def test_cut_of_a_real_file_interpolates_as_the_whole(shared_data):
    path = next((shared_data / "annotation_with_orbits" / "orbits").glob("*RESORB*V20230823T141024*"))
    instant = np.datetime64("2023-08-23T15:00:00.123456789")
    whole = parse_orbit_file(path.read_bytes(), path.name)
    part = cut_orbit(orbit_window(path.read_bytes(), path.name, instant, instant), instant)
    assert len(part.time) == 12 + 16  # 120 s at 10 s, and 8 on each side
    assert part.source == path.name
    at = instant + np.arange(-60, 61, 7).astype("timedelta64[s]")
    np.testing.assert_allclose(interpolate(part, at), interpolate(whole, at), rtol=0, atol=1e-6)  # m


def test_two_real_files_joined_at_their_seam(shared_data):
    """Two files that overlap by 0.8 s, against the third that covers their seam."""
    folder = names(shared_data / "annotation_with_orbits" / "orbits")
    early, late, cover = (
        next(parse_orbit_file(p.read_bytes(), n.name) for n, p in folder.items() if f"V{v}" in n.name)
        for v in ("20230823T123139", "20230823T154908", "20230823T141024")
    )
    seam = np.datetime64("2023-08-23T15:49:08.5")
    for orbit in (early, late):
        with pytest.raises(NoCoverage, match="join the next one"):
            cut_orbit(orbit, seam)
    joined = cut_orbit(join_orbits(late, early), seam)  # in either order
    assert 5.0 <= np.diff(joined.time).min() and np.diff(joined.time).max() <= 15.0
    at = seam + np.arange(-60, 61).astype("timedelta64[s]")
    distance = np.linalg.norm(interpolate(joined, at) - interpolate(cover, at), axis=1)
    assert distance.max() < 0.1  # m: two near-real-time solutions agree to a few cm


def test_values_of_a_synthetic_file():
    orbit = parse_orbit_file(orbit_file(), "a.EOF")
    position, velocity = circle(np.arange(60) * 10.0)
    assert orbit.epoch == np.datetime64("2021-06-24T17:00:00")
    np.testing.assert_array_equal(orbit.time, np.arange(60) * 10.0)
    np.testing.assert_allclose(orbit.position, position, rtol=0, atol=1e-8)  # m
    np.testing.assert_allclose(orbit.velocity, velocity, rtol=0, atol=1e-11)  # m/s


def test_midnight_is_no_seam():
    orbit = cut_orbit(
        parse_orbit_file(orbit_file("2021-12-31T23:55:00"), "a.EOF"), np.datetime64("2022-01-01T00:00:00")
    )
    assert orbit.seconds(np.datetime64("2022-01-01T00:00:00")) > 60
    np.testing.assert_allclose(np.diff(orbit.time), 10.0, rtol=0, atol=1e-9)  # s


@pytest.mark.parametrize(("instant", "shift"), [("2016-12-31T23:56:00", 0.0), ("2017-01-01T00:03:00", 1.0)])
def test_leap_second_makes_no_jump(instant, shift):
    """UTC repeats a second inside the file: spacing stays 10 s and UTC is exact on the side that is used."""
    xml = orbit_file("2016-12-31T23:55:00", leap_after=30)
    orbit = parse_orbit_file(xml, "a.EOF", np.datetime64(instant))
    np.testing.assert_array_equal(np.diff(orbit.time), 10.0)
    expected = (np.datetime64(instant) - np.datetime64("2016-12-31T23:55:00")).astype(float) + shift
    np.testing.assert_allclose(
        interpolate(orbit, np.datetime64(instant)), circle(np.array([expected]))[0], rtol=0, atol=1e-3
    )


def test_not_covered_says_what_is_there():
    orbit = parse_orbit_file(orbit_file(), "a.EOF")
    with pytest.raises(NoCoverage, match=r"a\.EOF.*17:00:00 to 2021-06-24T17:09:50"):
        cut_orbit(orbit, np.datetime64("2021-06-24T17:08:30"))
    with pytest.raises(NoCoverage, match="use another orbit file"):
        cut_orbit(orbit, np.datetime64("2021-06-25T17:05:00"))
    assert (
        len(cut_orbit(orbit, np.datetime64("2021-06-24T17:08:10")).time) == 24
    )  # the last instant with 4 vectors after


def test_gap_inside_a_file():
    orbit = parse_orbit_file(orbit_file(drop=(30,)), "a.EOF")
    with pytest.raises(NoCoverage, match=r"gap of 20\.0 s"):
        cut_orbit(orbit, np.datetime64("2021-06-24T17:05:00"))


def test_join_on_one_circle_is_the_circle():
    first = parse_orbit_file(orbit_file(), "a.EOF")
    second = parse_orbit_file(orbit_file("2021-06-24T17:08:04", phase=484.0), "b.EOF")
    joined = join_orbits(first, second)
    spacing = np.diff(joined.time)
    assert joined.source == "a.EOF + b.EOF" and spacing.min() >= 5 and spacing.max() <= 15
    np.testing.assert_allclose(joined.position, circle(joined.time)[0], rtol=0, atol=1e-6)  # m
    assert join_orbits(first, parse_orbit_file(orbit_file("2021-06-24T17:02:00", 20), "c.EOF")) is first


@pytest.mark.parametrize("start", ["2021-06-24T17:10:00", "2021-06-24T17:10:04"])
def test_join_of_adjoining_files_keeps_both(start):
    joined = join_orbits(parse_orbit_file(orbit_file(), "a.EOF"), parse_orbit_file(orbit_file(start), "b.EOF"))
    assert len(joined.time) == 120
    assert np.diff(joined.time).max() < 15


def test_join_refuses_a_gap():
    first, second = (
        parse_orbit_file(orbit_file(s), f"{s}.EOF") for s in ("2021-06-24T17:00:00", "2021-06-24T17:20:00")
    )
    with pytest.raises(NoCoverage, match="ends 610 s before"):
        join_orbits(first, second)


def test_bad_files():
    with pytest.raises(BadProduct, match="frame EARTH_FIXED and UTC, found J2000"):
        parse_orbit_file(orbit_file(frame="J2000"), "a.EOF")
    with pytest.raises(BadProduct, match="8 to 50000 orbit vectors, found 3"):
        parse_orbit_file(orbit_file(count=3), "a.EOF")
    with pytest.raises(BadProduct, match="unreadable"):
        parse_orbit_file(orbit_file()[:500], "a.EOF")
    with pytest.raises(BadProduct, match="numbers and times"):
        parse_orbit_file(orbit_file().replace(b"<X>", b"<X>?", 1), "a.EOF")
    with pytest.raises(BadInput, match="vectors at least 4"):
        cut_orbit(parse_orbit_file(orbit_file(), "a.EOF"), np.datetime64("2021-06-24T17:05:00"), vectors=2)


def test_file_names():
    name = parse_file_name("S1A_OPER_AUX_POEORB_OPOD_20210304T033926_V20141003T225944_20141005T005944.EOF")
    assert (name.platform, name.kind) == ("S1A", "POEORB")
    assert (name.start, name.stop) == (np.datetime64("2014-10-03T22:59:44"), np.datetime64("2014-10-05T00:59:44"))
    assert parse_file_name("manifest.safe") is None
