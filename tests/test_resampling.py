"""Carrier, interpolation kernels and the mapping polynomials, each against a slow reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.insar.carrier import carrier_parameters, carrier_turns, remove_carrier, rotate
from pipeline.insar.mapping import evaluate_line, ground_mapping, offset_mapping, pixel_times
from pipeline.insar.range_doppler import locate, radar_coordinates
from pipeline.insar.resample import FRACTIONS, Resampler, kernel_table
from pipeline.model import Burst, Orbit, RangePolynomial, Window

from .test_geometry import circular_orbit

# sampling, bandwidth (Hz), Hamming coefficient, as annotated
RANGE = {"IW1": (64.345238e6, 56.5e6, 0.75), "IW2": (64.345238e6, 48.3e6, 0.75), "IW3": (64.345238e6, 42.8e6, 0.75)}
AZIMUTH = {"IW1": (486.486, 327.0, 0.70), "IW2": (486.486, 313.0, 0.75), "IW3": (486.486, 314.0, 0.70)}


def make_burst(orbit=None, swath="IW1", doppler=(12.0, 2e4, -3e7), shift=(0.0, 0.0), lines=300, samples=600) -> Burst:
    """A small burst on a circular orbit; ``shift`` moves its first pixel in lines and samples."""
    fs, b_r, a_r = RANGE[swath]
    prf, b_a, a_a = AZIMUTH[swath]
    dt = 1.0 / prf
    start = np.datetime64("2021-06-24T17:25:20", "ns") + np.timedelta64(round(shift[0] * dt * 1e9), "ns")
    tau = 5.33e-3 + shift[1] / fs
    valid = np.full(lines, 0)
    return Burst(
        burst_id=f"t088_185683_{swath.lower()}",
        index=0,
        platform="S1A",
        swath=swath,
        polarization="VV",
        track=88,
        orbit_pass="ascending",
        azimuth_time=start,
        azimuth_time_interval=dt,
        slant_range_time=tau,
        range_sampling_rate=fs,
        radar_frequency=5.405000454e9,
        lines=lines,
        samples=samples,
        first_valid_sample=valid,
        last_valid_sample=valid + samples - 1,
        doppler_centroid=RangePolynomial(start, 5.338e-3, doppler),
        azimuth_fm_rate=RangePolynomial(start, 5.334e-3, (-2331.0, 4.5e5, -7.8e7)),
        steering_rate=np.deg2rad(1.590368784),
        range_bandwidth=b_r,
        range_window=a_r,
        azimuth_bandwidth=b_a,
        azimuth_window=a_a,
        orbit=orbit or circular_orbit(),
        footprint=(),
    )


def carrier_reference(burst: Burst, line: float, sample: float) -> float:
    """The carrier in rad, written out as METHODS does, in plain Python floats."""
    from pipeline.insar.orbit import interpolate

    tau = burst.slant_range_time + sample / burst.range_sampling_rate
    middle = burst.slant_range_time + 0.5 * (burst.samples - 1) / burst.range_sampling_rate
    speed = np.linalg.norm(
        interpolate(burst.orbit, burst.start + 0.5 * (burst.lines - 1) * burst.azimuth_time_interval)[1]
    )
    ks = 2.0 * speed * burst.steering_rate / burst.wavelength
    ka, fdc = float(burst.azimuth_fm_rate(tau)), float(burst.doppler_centroid(tau))
    kt = ks / (1.0 - ks / ka)
    reference = float(burst.doppler_centroid(middle)) / float(burst.azimuth_fm_rate(middle)) - fdc / ka
    eta = (line - 0.5 * (burst.lines - 1)) * burst.azimuth_time_interval - reference
    return np.pi * kt * eta**2 + 2.0 * np.pi * fdc * eta


def test_carrier_equals_the_formula():
    burst = make_burst(lines=1500, samples=23000)
    rng = np.random.default_rng(0)
    line, sample = rng.uniform(0, 1500, 50), rng.uniform(0, 23000, 50)
    turns = np.zeros(50)
    carrier_turns(line, sample, carrier_parameters(burst), turns)
    expected = [carrier_reference(burst, a, b) for a, b in zip(line, sample, strict=True)]
    assert np.abs(2 * np.pi * turns - expected).max() < 1e-7  # rad


def test_rotation_over_many_turns():
    turns = np.r_[np.random.default_rng(0).uniform(-1e5, 1e5, 20_000), np.arange(-8, 9) / 8.0, np.arange(-3, 4)]
    samples = np.ones(turns.size, np.complex64)
    rotate(samples, turns, 1.0)
    assert np.abs(samples - np.exp(2j * np.pi * turns)).max() < 2e-7
    rotate(samples, turns, -1.0)
    assert np.abs(samples - 1.0).max() < 3e-7


def test_removing_the_carrier_keeps_nan_and_amplitude():
    burst = make_burst()
    samples = np.full((5, 40), 3.0 + 4.0j, np.complex64)
    samples[2, 7] = np.nan
    remove_carrier(samples, 100, 50, carrier_parameters(burst))
    assert np.isnan(samples[2, 7]) and np.isnan(samples).sum() == 1
    samples[2, 7] = 5.0
    assert np.abs(np.abs(samples) - 5.0).max() < 1e-5
    assert abs(np.angle(samples[0, 0] / (3 + 4j) * np.exp(1j * carrier_reference(burst, 100, 50)))) < 1e-5  # rad


def band_limited(n, spectrum, rng):
    """(signal at whole samples, function of fractional position): a flat random band, as a sum of its Fourier modes."""
    sampling, bandwidth, _ = spectrum
    modes = np.arange(-(n // 2), n // 2)
    modes = modes[np.abs(modes) * sampling / n <= bandwidth / 2]
    amplitude = rng.standard_normal(modes.size) + 1j * rng.standard_normal(modes.size)

    def at(position):
        return np.exp(2j * np.pi * np.outer(position, modes) / n) @ amplitude / np.sqrt(2 * modes.size)

    return at(np.arange(n)), at


@pytest.mark.parametrize(
    "spectrum", [*RANGE.values(), *AZIMUTH.values()], ids=[*RANGE, *(f"{k} azimuth" for k in AZIMUTH)]
)
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3, 0.5, 0.77, 1.0])
def test_flat_band_survives_a_shift(spectrum, shift):
    """The whole processed band with equal power, which is harder than the Hamming-weighted one that is really there."""
    table = kernel_table(*spectrum)
    taps = table.shape[1]
    signal, at = band_limited(1024, spectrum, np.random.default_rng(2))
    first = np.arange(taps, 1000 - taps)
    got = sum(table[round(shift * FRACTIONS), k] * signal[first - taps // 2 + 1 + k] for k in range(taps))
    truth = at(first + shift)
    error = (got - truth) / np.sqrt(np.mean(np.abs(truth) ** 2))
    # an error of relative power e moves amplitude and phase by sqrt(e / 2) RMS each
    assert np.sqrt(np.mean(np.abs(error) ** 2) / 2) < 0.01  # amplitude RMS, and phase in rad RMS
    gain = np.vdot(truth, got) / np.vdot(truth, truth)
    assert abs(abs(gain) - 1.0) < 2e-3 and abs(np.angle(gain)) < 5e-4  # rad


def test_tables_are_short_and_interpolate_the_samples_themselves():
    assert [kernel_table(*RANGE[s]).shape[1] for s in RANGE] == [16, 10, 8]
    assert {kernel_table(*AZIMUTH[s]).shape[1] for s in AZIMUTH} == {8}
    table = kernel_table(*RANGE["IW2"])
    # to the noise floor that keeps the equations well conditioned
    assert abs(table[0, 4] - 1.0) < 1e-3 and np.abs(np.delete(table[0], 4)).max() < 1e-3
    assert np.allclose(table[::-1, ::-1], table, atol=1e-6)  # a shift by f from one side is 1 - f from the other


def orbits():
    """Two circular orbits that pass some 200 m apart."""
    return circular_orbit(), circular_orbit(radius=7_071_120.0, node=0.3 - 2e-5)


@pytest.mark.parametrize("heights", [(0.0, 60.0), (-100.0, 4000.0)])
def test_mappings_equal_the_exact_geometry(heights):
    first, second = orbits()
    reference = make_burst(first, lines=1500, samples=23000)
    secondary = make_burst(second, shift=(3.0, 11.0), lines=1500, samples=23000)
    window = Window(0, 1500, 0, 23000)
    rng = np.random.default_rng(5)
    line, sample, height = rng.uniform(0, 1500, 2000), rng.uniform(0, 23000, 2000), rng.uniform(*heights, 2000)
    latitude, longitude = locate(first, *pixel_times(reference, line, sample), height)
    expected = radar_coordinates(secondary, latitude, longitude, height)
    got = offset_mapping(reference, secondary, window, heights)(line, sample, height)
    assert np.abs(got[0] - (expected[0] - line)).max() < 1e-6  # lines
    assert np.abs(got[1] - (expected[1] - sample)).max() < 1e-6  # samples
    lat, lon = ground_mapping(reference, window, heights)(line, sample, height)
    assert 6.4e6 * np.hypot(lat - latitude, (lon - longitude) * np.cos(latitude)).max() < 1e-3  # m


def test_line_evaluation_equals_the_mapping():
    first, second = orbits()
    reference, secondary = make_burst(first), make_burst(second)
    window = Window(20, 280, 30, 590)
    mapping = offset_mapping(reference, secondary, window, (0.0, 900.0))
    height = np.random.default_rng(0).uniform(0.0, 900.0, 560).astype(np.float32)
    height[17] = np.nan
    out = np.empty(560)
    for quantity in (0, 1):
        evaluate_line(mapping.line_coefficients(123)[quantity], 30, (30.0, 590.0, *mapping.heights), height, out)
        expected = mapping(123, np.arange(30, 590), height)[quantity]
        assert np.isnan(out[17]) and np.nanmax(np.abs(out - expected)) < 1e-9


@given(quantity=st.sampled_from([0, 1]), line=st.floats(0, 300), sample=st.floats(0, 600), height=st.floats(0, 900))
def test_identical_bursts_have_no_offset(quantity, line, sample, height):
    burst = make_burst()
    mapping = offset_mapping(burst, burst, Window(0, 300, 0, 600), (0.0, 900.0))
    assert abs(mapping(line, sample, height)[quantity]) < 1e-7


def resampled(reference, secondary, samples, heights=None):
    """The whole chain of one date: carrier off, resampled, carrier and geometry put right; and the offsets."""
    window = Window(0, reference.lines, 0, reference.samples)
    mapping = offset_mapping(reference, secondary, window, (0.0, 100.0))
    r = Resampler.of(reference, secondary, mapping)
    samples = samples.copy()
    remove_carrier(samples, 0, 0, r.carrier)
    out = np.empty(window.shape, np.complex64)
    offsets = np.empty(window.shape), np.empty(window.shape)
    if heights is None:
        heights = np.full(window.shape, 50.0, np.float32)
    r.lines(samples, Window(0, secondary.lines, 0, secondary.samples), heights, (0, reference.lines), (out, *offsets))
    return out, *offsets


def scene(burst, line, sample, rng_seed=4):
    """A band-limited field at fractional positions (1-D each), a product of two axes, and the carrier there."""
    fs, prf = RANGE[burst.swath], AZIMUTH[burst.swath]
    rng = np.random.default_rng(rng_seed)
    _, across = band_limited(2048, (fs[0], fs[1], 1.0), rng)
    _, along = band_limited(1024, (prf[0], prf[1], 1.0), rng)
    turns = np.zeros((line.size, sample.size))
    grid = np.broadcast_arrays(line[:, None], sample[None, :])
    carrier_turns(grid[0].ravel(), grid[1].ravel(), carrier_parameters(burst), turns.reshape(-1))
    return np.outer(along(line + 300.0), across(sample + 400.0)), turns


@pytest.mark.parametrize("swath", ["IW1", "IW2", "IW3"])
def test_known_shift_is_recovered_and_undone(swath):
    """One path, the raster started 0.3 line and 0.7 sample later: geometry must find it, resampling undo it."""
    reference = make_burst(swath=swath, lines=200, samples=300)
    later = make_burst(swath=swath, lines=200, samples=300, shift=(0.3, 0.7))
    line, sample = np.arange(200.0), np.arange(300.0)
    field, _ = scene(later, line + 0.3, sample + 0.7)
    _, turns = scene(later, line, sample)
    out, line_offset, sample_offset = resampled(
        reference, later, (field * np.exp(2j * np.pi * turns)).astype(np.complex64)
    )
    assert np.abs(line_offset + 0.3).max() < 1e-5  # lines; the start is rounded to a nanosecond: 5e-7
    assert np.abs(sample_offset + 0.7).max() < 1e-5  # samples
    truth, _ = scene(later, line, sample)
    _, turns = scene(later, line - 0.3, sample - 0.7)
    truth = truth * np.exp(2j * np.pi * turns)
    core = (slice(12, -12), slice(20, -20))
    error = (out - truth)[core] / np.sqrt(np.mean(np.abs(truth[core]) ** 2))
    # the geometric phase of equal paths is nil, so what is left is interpolation and carrier
    assert np.sqrt(np.mean(np.abs(error) ** 2) / 2) < 0.01
    # only the carrier: phase of the whole against the truth, and along the lines
    for part in np.array_split(out[core] * np.conj(truth[core]), 4):
        assert abs(np.angle(part.sum())) < 0.005  # rad


def test_invalid_samples_spread_no_further_than_the_kernel():
    reference = make_burst(swath="IW3", lines=60, samples=80)
    samples = np.ones((60, 80), np.complex64)
    samples[30, 40] = np.nan
    out, _, _ = resampled(reference, reference, samples)
    bad = np.argwhere(np.isnan(out[10:-10, 10:-10])) + 10
    assert bad.size and np.abs(bad - [30, 40]).max() <= 4
    assert np.isnan(out[0, 0])  # taps beyond the burst


def test_source_window_holds_every_tap():
    first, second = orbits()
    reference, secondary = make_burst(first), make_burst(second, shift=(-4.0, 9.0))
    window = Window(40, 200, 50, 400)
    r = Resampler.of(reference, secondary, offset_mapping(reference, secondary, window, (0.0, 800.0)))
    source = r.source_window()
    samples = np.ones(source.shape, np.complex64)
    out = np.empty(window.shape, np.complex64)
    heights = np.random.default_rng(0).uniform(0.0, 800.0, window.shape).astype(np.float32)
    r.lines(samples, source, heights, (40, 200), (out, None, None))
    assert np.isfinite(out).all()


def test_orbit_epochs_do_not_matter():
    """A secondary whose orbit counts from another day: midnight between the dates changes nothing."""
    first, second = orbits()
    moved = Orbit(second.epoch - np.timedelta64(3600, "s"), second.time + 3600.0, second.position, second.velocity)
    window = Window(0, 300, 0, 600)
    a = offset_mapping(make_burst(first), make_burst(second), window, (0.0, 500.0))(100.0, 200.0, 250.0)
    b = offset_mapping(make_burst(first), make_burst(moved), window, (0.0, 500.0))(100.0, 200.0, 250.0)
    assert np.abs(a - b).max() < 1e-6
