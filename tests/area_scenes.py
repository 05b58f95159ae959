"""Simulated mine-years with a known disturbed area: speckle, windows and map grid as the chain has them.

Scatterers live on the radar's samples (3.7 m of ground range x 14 m of azimuth), drop their correlation wherever the
ground is worked in an interval, and pass through the band of IW2, so that neighbouring samples are as alike as real
ones. Coherence is then taken in 7 x 2 windows around the pixels of a map that is turned by 11 degrees. Shapes are
drawn on a 2.5 m raster of their own, which is where the truth is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import fft, ifft

from pipeline.insar.coherence import coherence_at

SPACING, FINE = 20.0, 2.5  # m: the map, the truth
HEIGHT, WIDTH = 3000.0, 2000.0  # m
RANGE, AZIMUTH = 3.7, 14.0  # m on the ground between samples
TURN = np.deg2rad(11.0)
BAND = ((0.751, 0.75), (0.643, 0.75))  # bandwidth / sampling and Hamming coefficient, range and azimuth, IW2
SUB = 4  # parts of a sample in azimuth, whose resolution is coarser than the shapes
PAIRS = 30
FAMILIES = ("pit", "benches", "dumps", "mixed", "cut", "gaps")


@dataclass(frozen=True, eq=False)
class Scene:
    """``coherence`` (pair, y, x) float32; ``inside`` and ``worked_share`` (y, x): the mine, and how much of every pixel
    was really worked; ``truth`` m2 inside the mine; ``quiet`` the undisturbed ground's coherence."""

    coherence: np.ndarray
    inside: np.ndarray
    worked_share: np.ndarray
    truth: float
    quiet: float


def _axes(step):
    return [np.arange(step / 2, length, step) for length in (HEIGHT, WIDTH)]


def _rectangle(y, x, centre, size, angle):
    v, u = y[:, None] - centre[0], x[None, :] - centre[1]
    along, across = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    return (np.abs(along) <= size[0] / 2) & (np.abs(across) <= size[1] / 2)


def _blob(y, x, centre, radius, rng):
    """A disc whose radius wobbles by about a fifth."""
    v, u = y[:, None] - centre[0], x[None, :] - centre[1]
    around = np.arctan2(v, u)
    wobble = sum(0.15 / k * np.cos(k * around + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5))
    return np.hypot(u, v) <= radius * (1 + wobble)


def _place(rng, edge=250.0):
    return rng.uniform(edge, HEIGHT - edge), rng.uniform(edge, WIDTH - edge)


def _shapes(family, rng, fine):
    """Label of every 2.5 m cell: 0 quiet, else the patch that it belongs to."""
    y, x = _axes(fine)
    label = np.zeros((y.size, x.size), np.int16)
    if family in ("pit", "mixed", "cut", "gaps"):
        pit = _blob(y, x, (rng.uniform(1200, 1800), rng.uniform(850, 1150)), rng.uniform(200, 450), rng)
        # benches of a pit are worked at their own pace
        label[pit] = 1 + (np.broadcast_to(y[:, None], pit.shape)[pit] // 200).astype(int) % 4
    if family == "benches":
        for k in range(rng.integers(8, 20)):
            size = (rng.uniform(150, 400), rng.uniform(40, 60))
            label[_rectangle(y, x, _place(rng), size, rng.uniform(0, np.pi))] = 1 + k
    if family in ("dumps", "mixed"):
        for k in range(rng.integers(5, 15)):
            side = rng.uniform(50, 100)
            size = (side, side * rng.uniform(0.7, 1.0) if side > 75 else side)
            label[_rectangle(y, x, _place(rng), size, rng.uniform(0, np.pi))] = 5 + k
    return label


def _band_limited(field):
    """White noise through the range and azimuth bands, power kept."""
    for axis, (band, a) in zip((1, 0), BAND, strict=True):
        f = np.fft.fftfreq(field.shape[axis])
        w = np.where(np.abs(f) <= band / 2, a + (1 - a) * np.cos(2 * np.pi * f / band), 0.0).astype(np.float32)
        w /= np.sqrt(np.mean(w**2))
        field = ifft(fft(field, axis=axis) * (w[:, None] if axis == 0 else w), axis=axis)
    return field.astype(np.complex64)


def _noise(rng, shape):
    """Circular complex Gaussian of power 1."""
    real = rng.standard_normal((*shape, 2), np.float32) * np.float32(np.sqrt(0.5))
    return real.view(np.complex64)[..., 0]


def _radar_grid():
    """Radar (line, sample) of the map's pixel centres, and map (y, x) of every sub-sample, (line, SUB, sample)."""
    c, s = np.cos(TURN), np.sin(TURN)
    y, x = np.meshgrid(*_axes(SPACING), indexing="ij")
    line = (c * y - s * x + s * WIDTH) / AZIMUTH + 3
    sample = (s * y + c * x) / RANGE + 6
    lines, samples = int(line.max()) + 4, int(sample.max()) + 8
    a = (np.arange(lines * SUB) + 0.5) / SUB - 0.5 - 3
    a, r = np.meshgrid(a * AZIMUTH - s * WIDTH, (np.arange(samples) - 6) * RANGE, indexing="ij")
    at = (c * a + s * r).reshape(lines, SUB, samples), (c * r - s * a).reshape(lines, SUB, samples)
    return line, sample, at


def make_scene(family: str, seed: int, share=(0.2, 1.0), quiet=(0.8, 0.93)) -> Scene:
    """One mine-year; every patch has its own share of disturbed intervals, drawn from ``share``."""
    rng = np.random.default_rng([seed, FAMILIES.index(family)])
    label = _shapes(family, rng, FINE)
    gamma = rng.uniform(*quiet)
    patches = int(label.max())
    disturbed = np.zeros((PAIRS, patches + 1), np.float32)
    for k in range(1, patches + 1):
        disturbed[rng.permutation(PAIRS)[: round(PAIRS * rng.uniform(*share))], k] = 1.0
    line, sample, (y, x) = _radar_grid()
    inside_map = (y >= 0) & (y < HEIGHT) & (x >= 0) & (x < WIDTH)
    index = [np.clip((v / FINE).astype(int), 0, n - 1) for v, n in zip((y, x), label.shape, strict=True)]
    worked = np.where(inside_map, label[tuple(index)], 0)
    scatterers = _noise(rng, (worked.shape[0], worked.shape[2]))
    before = _band_limited(scatterers)
    coherence = np.empty((PAIRS, *line.shape), np.float32)
    for t in range(PAIRS):
        kept = (gamma * (1.0 - disturbed[t][worked].mean(axis=1))).astype(np.float32)
        scatterers = kept * scatterers + np.sqrt(1 - kept**2) * _noise(rng, kept.shape)
        after = _band_limited(scatterers)
        coherence[t] = coherence_at(before, after, line, sample)
        before = after
    polygon = np.ones(label.shape, bool)
    if family == "cut":
        # through the pit, with quiet ground inside: a mine without any has no reference
        polygon = _blob(*_axes(FINE), (rng.uniform(900, 1100), rng.uniform(900, 1100)), rng.uniform(600, 800), rng)
    if family == "gaps":
        holes = rng.random(line.shape) < 0.03
        holes |= _blob(*_axes(SPACING), (rng.uniform(1200, 1800), rng.uniform(850, 1150)), 60.0, rng)
        coherence[:, holes] = np.nan
    step = int(SPACING / FINE)
    inside = polygon[step // 2 :: step, step // 2 :: step]
    share_of = ((label > 0).reshape(line.shape[0], step, line.shape[1], step)).mean(axis=(1, 3))
    return Scene(coherence, inside, share_of, float(((label > 0) & polygon).sum() * FINE**2), gamma)
