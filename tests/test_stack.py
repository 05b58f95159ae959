"""The whole chain against simulated scenes: offsets, coherence, phase and its statistics on the map, merged bursts."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.commands.coherence import PairRequest, pair_coherence
from pipeline.errors import NoCoverage
from pipeline.grid import geographic, utm_grid
from pipeline.insar.coherence_statistics import debias_coherence, expected_coherence
from pipeline.mine_year import DemSource, open_acquisition
from pipeline.model import Pair
from pipeline.settings import Settings
from pipeline.simulate import (
    Date,
    Ingredients,
    Scene,
    Surface,
    Track,
    fractal_terrain,
    write_raster,
    write_scene,
)
from pipeline.stack import Acquisition, BurstReader, coherence_stack, make_frame
from tests.chain import as_dem, compare, correlation, read, run_pair, square

LAT, LON, HEIGHT = 50.9, 6.57, 300.0
DAY = np.datetime64("2021-01-05")
NEXT = DAY + np.timedelta64(12, "D")
SWATHS = ("IW1", "IW2", "IW3")


def rough(latitude=LAT, longitude=LON, roughness=120.0, extent=6_500.0):
    """Hills with slopes up to 30 degrees."""
    return fractal_terrain(latitude, longitude, extent=extent, spacing=30.0, roughness=roughness, base=HEIGHT, seed=3)


# --- one burst: what geometry costs ---------------------------------------------------------------


@pytest.fixture(scope="module", params=SWATHS)
def hills(request, tmp_path_factory):
    """True coherence 0.95, baseline 200 m over hills: the pair, and the same speckle generated without geometry."""
    folder = tmp_path_factory.mktemp(request.param)
    track = Track(LAT, LON, HEIGHT, "ascending", request.param)
    dates = (Date(DAY), Date(NEXT, perpendicular_baseline=200.0))
    terrain = rough()
    scene = Scene(track, dates, Surface(terrain, 0.95), square(LAT, LON, 1_900.0), (request.param,), seed=4)
    made = write_scene(scene, folder / "pair", workers=1)
    still = write_scene(replace(scene, ingredients=Ingredients(geometry=False)), folder / "still", workers=1)
    dataset, groups = run_pair(made.products, terrain, square(LAT, LON, 1_200.0), folder)
    ((burst_id, group),) = groups.items()
    compared = compare(group, made.truths[1])
    ideal = [read(product, burst_id, compared.window) for product in still.products]
    return dataset, compared, ideal


def test_offsets_over_hills(hills):
    _, c, _ = hills
    assert c.valid.mean() > 0.99
    assert np.abs(c.line_error[c.valid]).max() < 1.2e-4  # lines; measured 5e-6
    assert np.abs(c.sample_error[c.valid]).max() < 4e-4  # samples; measured 6e-7


def test_hills_and_baseline_cost_less_than_a_hundredth(hills):
    dataset, c, ideal = hills
    assert abs(dataset.attrs["perpendicular_baseline"]) == pytest.approx(200.0, abs=1.0)  # m
    assert np.array_equal(ideal[0], c.reference)
    got, best = (abs(correlation(a, b, c.valid)) for a, b in ((c.reference, c.secondary), ideal))
    assert best == pytest.approx(0.947, abs=0.002)  # 0.95 less thermal noise of 0.3 %
    assert best - got < 0.01  # measured 0.002
    # the same speckle, moved there and back
    assert abs(correlation(ideal[1], c.secondary, c.valid)) > 0.995


def test_no_fringe_is_left(hills):
    _, c, ideal = hills
    got, best = (np.angle(correlation(a, b, c.valid)) for a, b in ((c.reference, c.secondary), ideal))
    assert abs(got - best) < 1e-3  # rad
    product = np.where(c.valid, c.reference * np.conj(c.secondary), 0.0)
    tiles = [part for row in np.array_split(product, 4, 0) for part in np.array_split(row, 5, 1)]
    # a tile of 9,000 samples has a phase noise of 0.004 rad
    assert max(abs(np.angle(part.sum())) for part in tiles) < 0.1


def test_a_known_shift_is_recovered_by_geometry(tmp_path):
    """A secondary whose raster begins 0.3 line and 0.7 sample later sees the same ground that much earlier in it."""
    terrain = rough()
    dates = (Date(DAY), Date(NEXT, line_shift=0.3, sample_shift=0.7))
    scene = Scene(Track(LAT, LON, HEIGHT, "ascending", "IW2"), dates, Surface(terrain, 0.9), square(LAT, LON, 800.0))
    made = write_scene(scene, tmp_path, workers=1)
    _, groups = run_pair(made.products, terrain, square(LAT, LON, 400.0), tmp_path)
    ((_, group),) = groups.items()
    assert np.abs(group["line_offset"].values + 0.3).max() < 0.01  # lines; start times are kept to 5e-4 line
    assert np.abs(group["sample_offset"].values + 0.7).max() < 0.01  # samples
    c = compare(group, made.truths[1])
    assert abs(correlation(c.reference, c.secondary, c.valid)) > 0.885  # 0.897 is the ideal


# --- the map: sample coherence as theory has it ---------------------------------------------------

LEVELS = (0.0, 0.3, 0.5, 0.7, 0.9)
BAND = 800.0  # m of northing


def level_of(latitude):
    """Number of the coherence band at a latitude in degrees, and the distance to the band's edge in m."""
    north = (np.asarray(latitude) - LAT) * 111_250.0 + 2.5 * BAND
    band = np.floor(north / BAND)
    return band, np.minimum(north - band * BAND, (band + 1) * BAND - north)


def banded(ground, start, stop):
    band, _ = level_of(ground.latitude)
    return np.array(LEVELS)[np.clip(band, 0, 4).astype(int)]


@pytest.fixture(scope="module", params=SWATHS)
def bands(request, tmp_path_factory):
    """Mean sample coherence of five bands of true coherence on the map, and the looks that the map states."""
    folder = tmp_path_factory.mktemp("bands")
    terrain = rough(roughness=30.0)
    dates = (Date(DAY), Date(NEXT, perpendicular_baseline=40.0))
    area = square(LAT, LON, 2_600.0)
    mix = Ingredients(noise_power=0.0)
    track = Track(LAT, LON, HEIGHT, "descending", request.param)
    scene = Scene(track, dates, Surface(terrain, banded), area, (request.param,), ingredients=mix, seed=11)
    made = write_scene(scene, folder, workers=1)
    west, _, east, _ = square(LAT, LON, 2_350.0)
    bbox = (west, LAT - 2.4 * BAND / 111_250.0, east, LAT + 2.4 * BAND / 111_250.0)
    dataset, _ = run_pair(made.products, terrain, bbox, folder, radar=False)
    latitude = np.rad2deg(geographic(utm_grid(bbox))[0])
    band, edge = level_of(latitude)
    coherence = dataset["coherence"].values
    means = [float(coherence[(band == k) & (edge > 60.0)].mean()) for k in range(5)]
    return means, dataset.attrs["equivalent_looks"]


def test_mean_sample_coherence_is_that_of_theory(bands):
    means, looks = bands
    # 7,000 map pixels a band: their mean is known to 0.003
    np.testing.assert_allclose(means, expected_coherence(np.array(LEVELS), looks), rtol=0, atol=0.01)


def test_debiased_means_are_the_truth(bands):
    means, looks = bands
    np.testing.assert_allclose(debias_coherence(np.array(means), looks), LEVELS, rtol=0, atol=0.02)


# --- several bursts -------------------------------------------------------------------------------


def two_bursts():
    """The mine lies in the middle of the overlap of two bursts of IW1: 1,342 lines apart, valid 21 to 1,481."""
    return Track(LAT, LON, HEIGHT, "ascending", "IW1", line=1_422.0, bursts=2), ("IW1",)


def two_swaths():
    """... of IW1 and IW2, whose valid samples overlap by 600."""
    return Track(LAT, LON, HEIGHT, "descending", "IW1", line=1_000.0, sample=21_309.0), ("IW1", "IW2")


@pytest.fixture(scope="module", params=[two_bursts, two_swaths], ids=["bursts", "swaths"])
def merged(request, tmp_path_factory):
    """A frame over two bursts and what it was made from: (frame, acquisitions)."""
    folder = tmp_path_factory.mktemp("merged")
    track, swaths = request.param()
    terrain = rough()
    scene = Scene(
        track,
        (Date(DAY), Date(NEXT, perpendicular_baseline=-60.0, line_shift=1.4)),
        Surface(terrain, 0.8),
        square(LAT, LON, 1_900.0),
        swaths,
        seed=8,
    )
    made = write_scene(scene, folder, workers=1, keep_truth=False)
    dates = [open_acquisition((str(product),), Settings()) for product in made.products]
    frame = make_frame(utm_grid(square(LAT, LON, 1_300.0)), as_dem(terrain), dates[0].bursts("VV"), (7, 2), 1)
    return frame, dates


def one_pair(frame, dates):
    (pair,) = coherence_stack(frame, dates, [Pair(0, 1)], Settings(), BurstReader(threads=1))
    return pair.coherence


def test_two_bursts_make_one_map(merged):
    frame, dates = merged
    coherence = one_pair(frame, dates)
    assert len(frame.bursts) == 2
    assert np.isfinite(coherence).all()
    owned = [np.isfinite(b.lookup.line) for b in frame.bursts]
    assert not (owned[0] & owned[1]).any() and (owned[0] | owned[1]).all()
    means = [coherence[here].mean() for here in owned]
    assert min(here.sum() for here in owned) > 3_000
    # 0.8 in 6 to 7 looks; a mean of 3,000 pixels is known to 0.003
    assert abs(means[0] - means[1]) < 0.015
    assert np.mean(means) == pytest.approx(expected_coherence(0.797, frame.equivalent_looks), abs=0.01)
    seam = near(owned[0]) & near(owned[1])
    assert seam.sum() > 200
    assert coherence[seam].mean() == pytest.approx(np.mean(means), abs=0.03)


def near(mask, pixels=2):
    """Pixels within a few of a mask."""
    out = mask.copy()
    for _ in range(pixels):
        grown = out.copy()
        grown[1:] |= out[:-1]
        grown[:-1] |= out[1:]
        grown[:, 1:] |= out[:, :-1]
        grown[:, :-1] |= out[:, 1:]
        out = grown
    return out


def test_the_owner_changes_in_the_middle_of_the_overlap(merged):
    frame, _ = merged
    first, second = frame.bursts
    b = first.reference
    if first.reference.swath == second.reference.swath:
        last, expected, tolerance = np.nanmax(first.lookup.line), 0.5 * (1_342 + 21 + 1_481), 2.0  # lines: a map pixel
    else:
        shift = (second.reference.slant_range_time - b.slant_range_time) * b.range_sampling_rate
        last, expected, tolerance = np.nanmax(first.lookup.sample), 0.5 * (shift + 1_081 + 21_603), 8.0  # samples
    assert abs(last - expected) < tolerance


def test_a_date_without_one_of_the_bursts_leaves_its_pixels_empty(merged):
    frame, dates = merged
    lost = frame.bursts[1].reference.burst_id
    product = dates[1].products[0]
    swaths = tuple(replace(s, bursts=tuple(b for b in s.bursts if b.burst_id != lost)) for s in product.swaths)
    poorer = Acquisition((replace(product, swaths=swaths),))
    coherence, whole = one_pair(frame, [dates[0], poorer]), one_pair(frame, dates)
    kept = np.isfinite(frame.bursts[0].lookup.line)
    np.testing.assert_array_equal(coherence[kept], whole[kept])
    assert np.isnan(coherence[~kept]).all()


# --- what cannot be done --------------------------------------------------------------------------


def test_an_area_that_the_products_do_not_see_is_named(tmp_path):
    terrain = rough(extent=3_000.0)
    scene = Scene(
        Track(LAT, LON, HEIGHT, "ascending", "IW2"),
        (Date(DAY), Date(NEXT)),
        Surface(terrain),
        square(LAT, LON, 300.0),
    )
    made = write_scene(scene, tmp_path, workers=1, keep_truth=False)
    far = rough(LAT + 3.0, LON, extent=5_000.0)
    write_raster(far, tmp_path / "far.tif")
    dem = DemSource((str(tmp_path / "far.tif"),), "ellipsoid")
    products = tuple(map(str, made.products))
    with pytest.raises(NoCoverage, match=r"no burst of the reference sees the area around 53\.9"):
        pair_coherence(PairRequest(*products, dem, square(LAT + 3.0, LON, 500.0)))
    small = rough(extent=1_200.0)
    write_raster(small, tmp_path / "small.tif")
    with pytest.raises(NoCoverage, match=r"(the DEM ends inside the radar window|must cover)"):
        pair_coherence(
            PairRequest(*products, replace(dem, urls=(str(tmp_path / "small.tif"),)), square(LAT, LON, 1_150.0))
        )
