"""Thirty real coherence maps of Mexico City, 2018: 8 x 2 looks, spans of 12 to 132 days, city and hills, no mine."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio

from pipeline.activity.area import active_area
from pipeline.activity.classify import classes, coherent_pairs, threshold_active
from pipeline.activity.ndai import annual_ndai, annual_ndai_debiased
from pipeline.activity.stable_points import select_stable_points
from pipeline.errors import NoStablePoints
from pipeline.insar.coherence_statistics import coherence_looks
from pipeline.settings import Settings
from pipeline.variables import ACTIVE, INACTIVE, NO_DATA

# Spans up to 132 days and 8 x 2 looks in a city: nothing stays above 0.8 in the mean of all pairs but 52 pixels.
# Pixels of 150 m: a block of 200 m is one pixel, so that nothing is thinned.
SETTINGS = Settings(stable_mean=0.7, reject_mean=0.7, looks=(8, 2), spacing=150.0, stable_rule="documented")
LASTING = replace(SETTINGS, stable_rule="lasting")


@pytest.fixture(scope="module")
def stack(shared_data):
    """(names, coherence (30, 60, 100) float32, NaN where missing), by secondary, then reference date."""
    files = (shared_data / "mexico_coherence" / "geotiffs").glob("*_cc.tif")
    files = sorted(files, key=lambda file: (file.name[15:23], file.name[6:14]))
    if len(files) != 30:
        pytest.skip(f"expected 30 coherence rasters of mexico_coherence, found {len(files)}")
    layers = []
    for file in files:
        with rasterio.open(file) as raster:
            layers.append(raster.read(1, masked=True).filled(np.nan))
    return [file.name for file in files], np.array(layers, np.float32)


@pytest.fixture(scope="module")
def everywhere(stack):
    return np.ones(stack[1].shape[1:], bool)


@pytest.fixture(scope="module")
def stable(stack, everywhere):
    return select_stable_points(stack[1], everywhere, SETTINGS)


def test_mean_and_deviation_equal_the_published_ones(stack, shared_data):
    coherence = stack[1]
    seen = np.isfinite(coherence).all(axis=0)
    folder = shared_data / "mexico_coherence" / "coherence_stats"
    for name, ours in (("mean", coherence.mean(0)), ("std", coherence.std(0))):
        with rasterio.open(folder / f"coh_{name}.tif") as raster:
            theirs = raster.read(1)
        np.testing.assert_allclose(ours[seen], theirs[seen], rtol=0, atol=1e-5)  # coherence


@pytest.mark.parametrize("rule", ["documented", "lasting"])
def test_defaults_refuse_ground_that_is_not_stable(stack, everywhere, rule):
    with pytest.raises(NoStablePoints, match=r"only 60 stable points .* at least 100"):
        select_stable_points(stack[1], everywhere, Settings(stable_rule=rule))


def test_stable_points_and_rejection(stack, stable):
    names, coherence = stack
    assert stable.rounds == 3
    assert stable.count == 763
    assert stable.accepted.sum() == 25
    used = coherence[stable.accepted]
    mean = np.nanmean(used[:, stable.mask], axis=0)
    assert mean.min() >= 0.7
    # 96, 132, 72, 108 and 60 days
    lost = [name[6:23] for name, good in zip(names, stable.accepted, strict=True) if not good]
    assert set(stable.reason) == {"accepted", "low_stable_mean"}
    assert lost == [
        "20180106-20180412",
        "20180130-20180412",
        "20180106-20180518",
        "20180506-20180705",
        "20180331-20180717",
    ]


def test_points_that_last(stack, stable, everywhere):
    names, coherence = stack
    time = np.array([np.datetime64(f"{n[15:19]}-{n[19:21]}-{n[21:23]}", "ns") for n in names])
    lasting = select_stable_points(coherence, everywhere, LASTING, time)
    assert (lasting.count, lasting.rounds, int(lasting.accepted.sum())) == (542, 3, 28)
    assert lasting.count == lasting.blocks
    assert lasting.lasting == pytest.approx(0.795, abs=0.005)  # share: one in five of the chosen does not last
    assert lasting.optimism == pytest.approx(0.0037, abs=0.0005)  # coherence
    # spans grow through this network (correlation with time 0.55), which makes two thirds of the slope
    assert lasting.drift == pytest.approx(-0.125, abs=0.005)  # 1/year
    assert lasting.drift_error == pytest.approx(0.047, abs=0.003)
    index = annual_ndai(coherence, lasting, 8).mean
    assert index[lasting.mask].mean() == pytest.approx(0.0, abs=0.005)  # index
    other = annual_ndai(coherence, stable, 8).mean
    assert np.nanmedian(index - other) == pytest.approx(0.010, abs=0.003)  # R_t is 0.008 higher


@pytest.mark.parametrize("estimate", ["median", "huber"])
def test_a_robust_reference_agrees_with_the_mean_on_a_city(stack, everywhere, estimate):
    lasting = select_stable_points(stack[1], everywhere, replace(LASTING, stable_reference=estimate))
    difference = (lasting.reference - lasting.mean)[lasting.accepted]
    assert np.median(difference) == pytest.approx(0.0, abs=1e-6)  # coherence
    assert 0.0 < np.abs(difference).max() < 0.012


def test_rejected_pairs_are_longer(stack, stable):
    spans = []
    for name in stack[0]:
        first, second = (np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:]}") for d in name[6:23].split("-"))
        spans.append(int((second - first) / np.timedelta64(1, "D")))
    spans = np.array(spans)
    assert np.median(spans[~stable.accepted]) > np.median(spans[stable.accepted])
    assert stable.accepted[spans <= 24].all()


def test_index_of_stable_points_is_centred(stack, stable):
    annual = annual_ndai(stack[1], stable, 8)
    on_points = annual.mean[stable.mask]
    assert on_points.mean() == pytest.approx(0.0, abs=0.005)  # index
    assert 0.3 < (on_points < 0).mean() < 0.6  # about half are negative: the sign is kept
    assert np.nanpercentile(annual.mean, 99) == pytest.approx(0.56, abs=0.02)  # index
    assert annual.count.max() == 25


def test_debiased_index_opens_the_scale(stack, stable):
    spectrum = {
        "range_sampling_rate": 64.345241e6,
        "range_bandwidth": 56.5e6,
        "range_window": 0.75,
        "azimuth_frequency": 486.4863103,
        "azimuth_bandwidth": 327.0,
        "azimuth_window": 0.70,
    }
    looks = coherence_looks((8, 2), **spectrum)
    assert looks == pytest.approx(8.9, abs=0.2)  # looks, of 16 samples
    raw = annual_ndai(stack[1], stable, 8).mean
    debiased = annual_ndai_debiased(stack[1], stable, looks, 8)
    np.testing.assert_array_equal(np.isnan(raw), np.isnan(debiased))
    low = raw > 0.3
    assert low.sum() > 100
    assert (debiased[low] > raw[low]).mean() > 0.95
    assert np.nanmax(debiased) == 1.0
    quiet = np.abs(raw) < 0.05
    assert np.abs(debiased[quiet] - raw[quiet]).max() < 0.03  # index


def test_classes_and_area_of_the_stack(stack, stable, everywhere):
    annual = annual_ndai(stack[1], stable, 8)
    kinds = classes(threshold_active(annual.mean, SETTINGS.threshold), np.isfinite(annual.mean))
    assert (kinds == NO_DATA).sum() == np.isnan(annual.mean).sum()
    assert set(np.unique(kinds)) == {NO_DATA, INACTIVE, ACTIVE}
    area = active_area(kinds, everywhere, np.full(kinds.shape, 145.0 * 153.6), 150.0)
    assert 0 < area.low < area.area < area.high < area.observed < area.mine
    coherent, observed = coherent_pairs(stack[1], stable.accepted)
    assert (coherent <= observed).all() and coherent[stable.mask].mean() > 3
