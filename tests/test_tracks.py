"""The choice of a track: dates first, then the angle, then descending, then the number; and why."""

import dataclasses
import itertools

import numpy as np
import pytest
import shapely

from pipeline.archive import Granule, list_archive
from pipeline.errors import BadInput, NoCoverage
from pipeline.sentinel1.annotation import parse_annotation, parse_manifest
from pipeline.tracks import choose_track, incidence

MINE = (22.9, -27.7, 23.0, -27.6)
WIDTH = 2.5  # degrees of longitude: 246 km at this latitude
YEARS = (2021,)


def swath(west, south=-28.5, north=-26.8, width=WIDTH):
    return ((west, south), (west + width, south), (west + width, north), (west, north))


def dates(track, count, footprint, orbit_pass="descending", first="2021-01-05", clock="16:43:25"):
    """Acquisitions every six days."""
    made = []
    for k in range(count):
        day = np.datetime64(first) + 6 * k
        stamp = f"{day}T{clock}".replace("-", "").replace(":", "")
        name = f"S1A_IW_SLC__1SDV_{stamp}_{stamp}_036850_04561A_{track:02X}{k:02X}"
        made.append(
            Granule(np.datetime64(f"{day}T{clock}", "ns"), name, track, "", "r", footprint, orbit_pass=orbit_pass)
        )
    return made


MIDDLE = swath(22.95 - WIDTH / 2)  # the mine in the middle: 38.9 degrees


def test_most_dates_come_first():
    far = swath(22.85)  # descending: the mine at the western, far edge
    choice = choose_track(MINE, dates(36, 10, MIDDLE) + dates(7, 12, far), YEARS)
    assert choice.track == 7 and [c.track for c in choice.candidates] == [7, 36]
    assert choice.reason == (
        "track 7 (descending): 12 of 12 dates cover the mine, incidence about 45 degrees in 2021; more dates than any "
        "other; the next is track 36 (descending): 10 of 10 dates cover the mine, incidence about 39 degrees."
    )


def test_the_angle_decides_between_nearly_as_many():
    near = swath(23.05 - WIDTH)  # descending: the near edge is the eastern one
    choice = choose_track(MINE, dates(36, 9, MIDDLE) + dates(7, 10, near), YEARS)
    assert choice.track == 36 and "the best angle among tracks with about as many dates" in choice.reason
    assert [round(c.incidence) for c in choice.candidates] == [39, 31]


def test_then_descending_then_the_lowest_number():
    both = dates(7, 5, MIDDLE, "ascending") + dates(36, 5, MIDDLE) + dates(50, 5, MIDDLE)
    assert [c.track for c in choose_track(MINE, both, YEARS).candidates] == [36, 50, 7]
    for order in itertools.permutations([both[:5], both[5:10], both[10:]]):
        assert choose_track(MINE, list(itertools.chain(*order)), YEARS) == choose_track(MINE, both, YEARS)


def test_a_known_angle_comes_before_an_unknown_one():
    choice = choose_track(MINE, dates(7, 5, MIDDLE, "") + dates(36, 5, swath(22.85)), YEARS)
    assert [(c.track, c.incidence is None) for c in choice.candidates] == [(36, False), (7, True)]
    assert "incidence unknown" in choice.reason


def test_only_dates_that_cover_the_mine_in_the_wanted_years_count():
    half = swath(22.95)  # the western half is missing
    many = dates(7, 20, half)
    few = dates(36, 3, MIDDLE) + dates(36, 30, MIDDLE, first="2022-01-05")
    choice = choose_track(shapely.box(*MINE), many + few, YEARS)
    facts = {c.track: (c.dates, c.found, round(c.share, 6)) for c in choice.candidates}
    assert choice.track == 36 and facts == {36: (3, 3, 1.0), 7: (0, 20, 0.5)}
    assert choice.reason.endswith("no other track covers it.")


def test_slices_cover_it_together():
    first, second = swath(21.7, south=-28.5, north=-27.65), swath(21.7, south=-27.65, north=-26.0)
    slices = dates(36, 4, first, clock="16:43:25") + dates(36, 4, second, clock="16:43:50")
    (candidate,) = choose_track(MINE, slices, YEARS).candidates
    assert (candidate.dates, candidate.found) == (4, 4) and candidate.share == pytest.approx(1.0, abs=1e-9)
    with pytest.raises(NoCoverage):
        choose_track(MINE, slices[:4], YEARS)


def test_what_has_no_footprint_is_taken_to_cover_it_and_said():
    choice = choose_track(MINE, dates(36, 4, MIDDLE) + dates(36, 2, (), first="2021-06-05"), YEARS)
    assert choice.candidates[0].dates == 6 and choice.candidates[0].assumed == 2
    assert "6 of 6 dates cover the mine (2 without footprint, taken to cover it)" in choice.reason


def test_no_track_covers_it():
    found = dates(7, 4, swath(22.95)) + dates(36, 3, swath(60.0)) + dates(50, 3, MIDDLE, first="2019-01-05")
    with pytest.raises(NoCoverage) as caught:
        choose_track(MINE, found, (2021, 2022))
    assert str(caught.value) == (
        "no track covers 99% of the area 22.900, -27.700, 23.000, -27.600 (W, S, E, N) in 2021-2022; found track 7 "
        "with 4 dates, which cover at most 50%; track 36 with 3 dates, which cover at most 0%; take other years, a "
        "smaller area or another archive"
    )
    with pytest.raises(NoCoverage, match="found no date of any track"):
        choose_track(MINE, [], YEARS)
    with pytest.raises(BadInput, match="at least one year"):
        choose_track(MINE, found, ())


def test_a_point_is_an_area_too():
    point = (22.95, -27.65, 22.95, -27.65)
    assert choose_track(point, dates(36, 2, MIDDLE), YEARS).track == 36
    with pytest.raises(NoCoverage):
        choose_track(point, dates(36, 2, swath(60.0)), YEARS)


@pytest.mark.parametrize(
    "mine", [(179.9, -16.6, -179.9, -16.5), (179.9, -16.6, 180.1, -16.5), (-180.1, -16.6, -179.9, -16.5)]
)
def test_across_the_antimeridian(mine):
    west, east = 178.8, -178.9
    across = ((west, -17.5), (east, -17.5), (east, -15.8), (west, -15.8))
    (candidate,) = choose_track(mine, dates(36, 3, across), YEARS).candidates
    assert candidate.dates == 3 and 35.0 < candidate.incidence < 41.0


def test_the_angle_falls_from_near_to_far_on_either_pass():
    def angles(orbit_pass):
        (granule,) = dates(36, 1, MIDDLE, orbit_pass)
        west = MIDDLE[0][0]
        points = [shapely.Point(west + part * WIDTH, -27.65) for part in (0.001, 0.5, 0.999)]
        return [incidence(granule, p) for p in points]

    assert angles("ascending") == pytest.approx([30.1, 39.0, 45.9], abs=0.2)  # degrees
    assert angles("descending") == pytest.approx([45.9, 39.0, 30.1], abs=0.2)
    (granule,) = dates(36, 1, MIDDLE)
    assert incidence(granule, shapely.Point(30.0, -27.65)) is None  # outside
    assert (
        incidence(dataclasses.replace(granule, footprint=swath(22.0, width=0.9)), shapely.Point(22.5, -27.65)) is None
    )


def test_the_angle_of_a_real_product(shared_data):
    """Against the geolocation grids of all three swaths, at every point of them."""
    folder = next(iter(sorted(shared_data.glob("hambach_pair/S1A_IW_SLC__1SDV_20210624*.SAFE"))))
    granule = next(g for g in list_archive(folder.parent).granules if g.name == folder.name.removesuffix(".SAFE"))
    manifest = parse_manifest((folder / "manifest.safe").read_bytes())
    errors = []
    for path in sorted(folder.glob("annotation/s1a-iw?-slc-vv-*.xml")):
        grid = parse_annotation(path.read_bytes(), manifest, path.name).geolocation_grid
        for lon, lat, angle in np.rad2deg([grid.longitude, grid.latitude, grid.incidence_angle]).T:
            guess = incidence(granule, shapely.Point(lon, lat))
            errors += [] if guess is None else [guess - angle]
    assert len(errors) > 500 and np.abs(errors).max() < 0.5  # degrees; 0.37 measured
