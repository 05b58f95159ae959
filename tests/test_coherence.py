"""Coherence: identities, a slow reference, the bias that theory predicts, and a real pair."""

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.insar.coherence import coherence, coherence_at, interferogram


def speckle(shape, true, seed=0):
    """Two white circular Gaussian fields of a given coherence."""
    rng = np.random.default_rng(seed)
    a, b = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape) for _ in range(2))
    return a.astype(np.complex64), (true * a + np.sqrt(1 - true**2) * b).astype(np.complex64)


def slow_coherence(reference, secondary, first_line, first_sample, looks):
    r = reference[first_line : first_line + looks[1], first_sample : first_sample + looks[0]].astype(complex)
    s = secondary[first_line : first_line + looks[1], first_sample : first_sample + looks[0]].astype(complex)
    return abs(np.sum(r * np.conj(s))) / np.sqrt(np.sum(np.abs(r) ** 2) * np.sum(np.abs(s) ** 2))


@pytest.mark.parametrize("looks", [(7, 2), (3, 3), (1, 1), (14, 4)])
def test_equals_the_definition(looks):
    r, s = speckle((20, 40), 0.6)
    got = coherence(r, s, looks)
    first = (10 - (looks[1] - 1) // 2, 20 - (looks[0] - 1) // 2)
    assert abs(got[10, 20] - slow_coherence(r, s, *first, looks)) < 1e-6


def test_positions_between_pixels_take_the_nearest_window():
    r, s = speckle((30, 60), 0.6)
    # two lines, seven samples: the window of lines 4, 5 is centred on 4.5, of samples 10..16 on 13
    expected = slow_coherence(r, s, 4, 10, (7, 2))
    for line, sample in ((4.5, 13.0), (4.02, 12.51), (4.98, 13.49)):
        assert abs(coherence_at(r, s, np.array([line]), np.array([sample]))[0] - expected) < 1e-6


@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), phase=st.floats(-3.0, 3.0))
def test_identical_images_are_coherent_whatever_their_scale_and_phase(seed, scale, phase):
    r, _ = speckle((4, 9), 1.0, seed)
    got = coherence(r, (r * scale * np.exp(1j * phase)).astype(np.complex64))
    assert np.nanmin(got) > 1.0 - 1e-5


def test_stays_within_zero_and_one_and_marks_what_it_cannot_know():
    r, s = speckle((12, 30), 0.3)
    r[6, 15] = np.nan
    s[:, :3] = 0.0
    got = coherence(r, s)
    assert np.nanmax(got) <= 1.0 and np.nanmin(got) >= 0.0
    holes = np.argwhere(np.isnan(got[2:-2, 8:-8]))
    assert len(holes) == 14  # every window that holds the invalid sample, no other
    assert np.isnan(got[-1]).all() and np.isnan(got[:, :3]).all()  # windows that leave the array
    no_power = coherence(np.zeros((4, 20), np.complex64), np.zeros((4, 20), np.complex64))
    assert np.isnan(no_power).all()
    assert np.isnan(coherence_at(r, s, np.array([np.nan, 5.0]), np.array([5.0, np.nan]))).all()


def test_a_ramp_that_is_not_removed_biases_low():
    r, s = speckle((400, 400), 0.9)
    ramp = np.exp(1j * np.linspace(0, 60 * np.pi, 400)).astype(np.complex64)
    assert np.nanmean(coherence(r, s)) - np.nanmean(coherence(r, s * ramp)) > 0.05


def test_bad_input_is_named():
    r, s = speckle((4, 9), 1.0)
    with pytest.raises(BadInput, match=r"one shape, instead got \(4, 9\) and \(4, 8\)"):
        coherence(r, s[:, :8])
    with pytest.raises(BadInput, match="looks must be two positive numbers"):
        coherence(r, s, (0, 2))


@pytest.fixture(scope="module")
def amsterdam(shared_data):
    """A real coregistered pair over a city, flat-earth and topographic phase removed: (reference, secondary)."""
    out = []
    for folder, day in (("20230331-coreg.znap", "31Mar2023"), ("20230319-coreg.znap", "19Mar2023")):
        group = zarr.open_group(str(shared_data / "amsterdam_pair" / folder), mode="r", zarr_format=2)
        out.append((group[f"i_VV_{day}"][:] + 1j * group[f"q_VV_{day}"][:]).astype(np.complex64))
    return out


@pytest.mark.parametrize("looks, expected", [((14, 4), 0.751), ((7, 2), 0.758)])
def test_amsterdam(amsterdam, looks, expected):
    reference, secondary = amsterdam
    assert reference.shape == (84, 338)
    assert abs(np.nanmean(coherence(reference, secondary, looks)) - expected) < 0.01


def test_amsterdam_shifted_control_is_incoherent(amsterdam):
    """The same images 20 lines and 80 samples apart: what is left is the bias of few looks."""
    reference, secondary = amsterdam
    control = secondary[20:, 80:], reference[:-20, :-80]
    assert np.nanmean(coherence(*control, (14, 4))) <= 0.20
    assert abs(np.nanmean(coherence(*control, (7, 2))) - 0.32) < 0.03


def test_amsterdam_interferogram_is_smooth_where_it_is_coherent(amsterdam):
    reference, secondary = amsterdam
    phase = interferogram(reference, secondary)
    turned = phase[:, 1:] * np.conj(phase[:, :-1])
    strong = coherence(reference, secondary, (14, 4))[:, 1:] > 0.9
    assert np.abs(np.angle(turned[strong])).mean() < 1.0  # rad from sample to sample; random phase gives 1.57
