"""Samples of one burst on every date, from a scene with a history, and the truth that goes with them.

The scene is a field of scatterers on the *reference* burst's radar grid. On date d, with F(p) the position at which
d sees the ground of reference position p, φ the TOPS carriers and R the ranges,

    W_d   = κ_d·W + sqrt(1-κ_d²)·n,        W ← γ·W + sqrt(1-γ²)·n          history; γ between dates, κ of one date
    (snow) x_d   = shape * [ sqrt(σ)·W_d·exp(j(φ_ref(p) - φ_d(F(p)))) + thermal noise ] s_d(q) =
    x_d(F⁻¹(q))·exp(jφ_d(q))·exp(-j·4π/λ·(R_d - R_ref))

A scatterer's phase is thus the same on both dates but for the range: φ_ref - φ_d before the shaping and φ_d after
it cancel at the scatterer. What they leave is physical: the dates' bands sit at different Doppler centroids, and
the part outside the common band decorrelates (9 Hz of 327 Hz cost about 1 %). The range phase is applied after the
shaping by default, so that a baseline costs nothing once the phase is removed; `Ingredients.baseline_decorrelation`
applies it before, as nature does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ..constants import SPEED_OF_LIGHT
from ..errors import BadInput
from ..model import Burst, Window
from .carrier import carrier_phase
from .geometry import observe, project
from .orbit import Trajectory, local_polynomial
from .speckle import burst_shapes, evaluate, on_grid, shaped_modes, white_lines
from .terrain import Terrain

MARGIN = (24, 48)  # lines and samples of scene around a window, for the spectra's tails and the offsets' variation
BLOCK = 64  # lines per call of the geometry kernel


@dataclass(frozen=True)
class Ingredients:
    """What goes into the samples; switching one off isolates its effect in a test.

    Without ``geometry`` every date looks from the reference's position: no offsets, no geometric phase.
    ``noise_power`` is thermal noise relative to a backscatter of 1; 0 switches it off. ``amplitude`` is the digital
    number's root mean square at backscatter 1.
    """

    geometry: bool = True
    carrier: bool = True
    doppler_decorrelation: bool = True
    baseline_decorrelation: bool = False
    quantisation: bool = True
    noise_power: float = 0.003
    amplitude: float = 150.0


DEFAULT_INGREDIENTS = Ingredients()


@dataclass(frozen=True, eq=False)
class Ground:
    """The ground that the reference burst sees: radar positions (1-D) and where they are (line, sample)."""

    line: NDArray[np.float64]
    sample: NDArray[np.float64]
    latitude: NDArray[np.float64] = field(repr=False)  # degrees
    longitude: NDArray[np.float64] = field(repr=False)  # degrees
    height: NDArray[np.float64] = field(repr=False)  # m


Field = float | Callable[..., NDArray | float]


@dataclass(frozen=True, eq=False)
class Surface:
    """What is on the ground and how it changes.

    Every field is a number, or a function of a `Ground` that returns (line, sample) or a number.

    Parameters
    ----------
    terrain : Terrain
    coherence : float or f(ground, start, stop)
        γ that the scene keeps from one date to the next (datetime64), 0…1.
    transparency : float or f(ground, date)
        κ, the share of the scene's field that a date shows; below 1 for snow. A pair's coherence is γ·κ₁·κ₂.
    backscatter : float or f(ground, date)
        Power relative to 1.
    phase : float or f(ground, date)
        Phase in rad that reference·conj(date) gains on top of the geometry.
    """

    terrain: Terrain
    coherence: Field = 1.0
    transparency: Field = 1.0
    backscatter: Field = 1.0
    phase: Field = 0.0


@dataclass(frozen=True, eq=False)
class View:
    """One date's burst and the trajectory it was flown on; seconds count from the epoch of ``burst.orbit``."""

    burst: Burst
    trajectory: Trajectory = field(repr=False)

    @property
    def date(self) -> np.datetime64:
        """Zero-Doppler time of the burst's first line."""
        return self.burst.azimuth_time

    def series(self):
        """The trajectory around this burst as a power series."""
        length = self.burst.lines * self.burst.azimuth_time_interval
        return local_polynomial(self.trajectory, self.burst.start - 5.0, self.burst.start + length + 5.0)

    def axes(self, window: Window) -> tuple[NDArray, NDArray]:
        """Zero-Doppler times (s) and one-way slant ranges (m) of a window, which may leave the burst."""
        b = self.burst
        line = np.arange(window.line_start, window.line_stop)
        sample = np.arange(window.sample_start, window.sample_stop)
        distance = 0.5 * SPEED_OF_LIGHT * (b.slant_range_time + sample / b.range_sampling_rate)
        return b.start + line * b.azimuth_time_interval, distance

    def position(self, seconds, distance) -> tuple[NDArray, NDArray]:
        """Fractional line and sample of a zero-Doppler time and slant range."""
        b = self.burst
        sample = (2.0 / SPEED_OF_LIGHT * distance - b.slant_range_time) * b.range_sampling_rate
        return (seconds - b.start) / b.azimuth_time_interval, sample


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of one date relative to the reference, at the reference's pixels of ``window``.

    Reference pixel (l, s) and the date's (l + line_offset, s + sample_offset) see the same ground, both counted in
    their own burst of the same burst id. ``reference·conj(date)`` carries +``geometric_phase`` = 4π/λ·(R_date -
    R_ref).
    """

    burst_id: str
    date: np.datetime64
    window: Window
    line_offset: NDArray[np.float64] = field(repr=False)  # lines
    sample_offset: NDArray[np.float64] = field(repr=False)  # samples
    geometric_phase: NDArray[np.float64] = field(repr=False)  # rad
    coherence: NDArray[np.float32] = field(repr=False)  # with the date before, without noise and spectral misalignment
    valid: NDArray[np.bool_] = field(repr=False)  # inside the terrain and outside layover, on both dates


@dataclass(frozen=True, eq=False)
class Rendering:
    """One date's samples, int16 (line, sample, 2) or unquantised complex64 (line, sample), and their window."""

    index: int
    window: Window
    samples: NDArray
    truth: Truth


def observe_window(view: View, other: View, window: Window, terrain: Terrain, layers: int, workers: int = 1) -> NDArray:
    """The first 2 or all 6 ``layers`` of `geometry.observe` for a window: (layers, line, sample) float64."""
    times, distances = view.axes(window)
    out = np.empty((layers, times.size, distances.size))
    own, far, packed = view.series(), other.series(), terrain.packed

    def block(k):
        observe(times[k : k + BLOCK], distances, own, far, packed, out[:, k : k + BLOCK])

    _run(block, range(0, times.size, BLOCK), workers)
    return out


def _run(task, items, workers: int) -> None:
    """``task`` on every item, in ``workers`` threads; the kernels and transforms release the interpreter."""
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(task, items):
            pass


@dataclass(frozen=True, eq=False)
class Stage:
    """The scene grid of one burst: the window with its margin, on the reference's lines and samples."""

    reference: View
    window: Window  # what the truth covers
    grid: Window  # the scene: window and margin, an FFT-friendly size
    ground: Ground
    surface: Surface
    inside: NDArray[np.bool_] = field(repr=False)
    workers: int = 1


def make_stage(reference: View, window: Window, surface: Surface, workers: int = 1) -> Stage:
    """Lay the scene grid around ``window`` of the reference burst and find the ground under it."""
    if window.size == 0:
        raise BadInput(f"the window must hold at least one sample of the burst, instead got {window}")
    lines = fft.next_fast_len(window.shape[0] + 2 * MARGIN[0])
    samples = fft.next_fast_len(window.shape[1] + 2 * MARGIN[1])
    first = window.line_start - MARGIN[0], window.sample_start - MARGIN[1]
    grid = Window(first[0], first[0] + lines, first[1], first[1] + samples)
    seen = observe_window(reference, reference, grid, surface.terrain, 6, workers)
    latitude, longitude, height = np.rad2deg(seen[2]), np.rad2deg(seen[3]), seen[4].copy()
    inside = (seen[5] > 0) & surface.terrain.contains(latitude, longitude)
    line = np.arange(grid.line_start, grid.line_stop, dtype=np.float64)
    sample = np.arange(grid.sample_start, grid.sample_stop, dtype=np.float64)
    ground = Ground(line, sample, latitude, longitude, height)
    return Stage(reference, window, grid, ground, surface, inside, workers)


def _value(quantity: Field, *arguments):
    """A field's value: the number itself, or what its function returns."""
    return quantity(*arguments) if callable(quantity) else quantity


def _forward(stage: Stage, view: View) -> tuple[NDArray, NDArray, NDArray]:
    """Where ``view`` sees the stage's ground: line, sample and one-way range difference to the reference (m)."""
    ground, series = stage.ground, view.series()
    out = np.empty((2, *ground.height.shape))

    def block(k):
        rows = slice(k, k + BLOCK)
        project(ground.latitude[rows], ground.longitude[rows], ground.height[rows], series, out[:, rows])

    _run(block, range(0, ground.line.size, BLOCK), stage.workers)
    line, sample = view.position(out[0], out[1])
    return line, sample, out[1] - stage.reference.axes(stage.grid)[1]


def _turned(field_values: NDArray[np.complex64], phase) -> NDArray[np.complex64]:
    """Field times exp(j·phase), the phase reduced to one turn in double precision first."""
    turn = np.remainder(phase, 2.0 * np.pi).astype(np.float32)
    return field_values * np.exp(1j * turn)


def _scene(stage: Stage, view: View, white: NDArray, noise: NDArray | None, mix: Ingredients) -> tuple:
    """Field before shaping, and the line, sample and geometric phase at which ``view`` sees the stage's grid."""
    ground, surface, reference = stage.ground, stage.surface, stage.reference
    line, sample = np.broadcast_arrays(ground.line[:, None], ground.sample[None, :])
    geometric = np.zeros(line.shape)
    if mix.geometry and view is not reference:
        line, sample, longer = _forward(stage, view)
        geometric = 4.0 * np.pi / view.burst.wavelength * longer
    power = _value(surface.backscatter, ground, view.date)
    scene = white * np.sqrt(np.asarray(power, np.float32))
    phase = -np.asarray(_value(surface.phase, ground, view.date), np.float64)
    if mix.carrier and mix.doppler_decorrelation and view is not reference:
        first = carrier_phase(reference.burst, reference.trajectory, ground.line[:, None], ground.sample[None, :])
        phase = phase + first - carrier_phase(view.burst, view.trajectory, line, sample)
    if mix.baseline_decorrelation:
        phase = phase - geometric
    if np.any(phase):
        scene = _turned(scene, phase)
    if noise is not None:
        scene = scene + np.float32(np.sqrt(mix.noise_power)) * noise
    return scene.astype(np.complex64, copy=False), line, sample, geometric


def _date_window(stage: Stage, line: NDArray, sample: NDArray, view: View) -> Window:
    """The window of ``view`` that sees about the same ground as the stage's window, inside the burst."""
    w, g = stage.window, stage.grid
    centre = (w.line_start + w.line_stop) // 2 - g.line_start, (w.sample_start + w.sample_stop) // 2 - g.sample_start
    dl = round(float(line[centre]) - stage.ground.line[centre[0]])
    ds = round(float(sample[centre]) - stage.ground.sample[centre[1]])
    return Window(w.line_start + dl, w.line_stop + dl, w.sample_start + ds, w.sample_stop + ds).clipped(view.burst)


def render_date(stage: Stage, view: View, white: NDArray, noise: NDArray | None, mix: Ingredients) -> tuple:
    """The complex samples of one date, with its window and its truth's arrays on the stage's grid."""
    scene, line, sample, geometric = _scene(stage, view, white, noise, mix)
    window = _date_window(stage, line, sample, view)
    shapes = burst_shapes(stage.reference.burst, *scene.shape)
    modes = shaped_modes(scene, shapes)
    del scene  # a full burst holds 0.3 GB in every complex layer
    moved = mix.geometry and view is not stage.reference
    q_line = np.arange(window.line_start, window.line_stop, dtype=np.float64)[:, None]
    q_sample = np.arange(window.sample_start, window.sample_stop, dtype=np.float64)[None, :]
    if moved:
        back = observe_window(view, stage.reference, window, stage.surface.terrain, 2, stage.workers)
        phase = np.zeros((1, 1))
        if not mix.baseline_decorrelation:
            phase = 4.0 * np.pi / view.burst.wavelength * (back[1] - view.axes(window)[1])
        p_line, p_sample = stage.reference.position(back[0], back[1])
        back[0], back[1] = p_line - stage.grid.line_start, p_sample - stage.grid.sample_start
        values = evaluate(modes, shapes, back, stage.workers)
    else:
        rows = slice(window.line_start - stage.grid.line_start, window.line_stop - stage.grid.line_start)
        columns = slice(window.sample_start - stage.grid.sample_start, window.sample_stop - stage.grid.sample_start)
        values = on_grid(modes, shapes)[rows, columns]
        p_line, p_sample, phase = q_line, q_sample, np.zeros((1, 1))
    if mix.carrier and mix.doppler_decorrelation:
        phase = phase + carrier_phase(view.burst, view.trajectory, q_line, q_sample)
    elif mix.carrier:  # the reference's spectrum, moved with the ground
        phase = phase + carrier_phase(stage.reference.burst, stage.reference.trajectory, p_line, p_sample)
    return window, _turned(values, phase), line, sample, geometric


def quantised(values: NDArray[np.complex64], amplitude: float) -> NDArray[np.int16]:
    """Digital numbers (line, sample, 2) of samples with power about 1, limited to 16 bits."""
    parts = np.stack([values.real, values.imag], -1) * np.float32(amplitude)
    return np.clip(np.rint(parts), -32768, 32767).astype(np.int16)


def _mask_invalid(values: NDArray, window: Window, burst: Burst) -> None:
    """Zero in place what the annotation calls invalid."""
    sample = np.arange(window.sample_start, window.sample_stop)
    first = burst.first_valid_sample[window.line_start : window.line_stop, None]
    last = burst.last_valid_sample[window.line_start : window.line_stop, None]
    values[(first < 0) | (sample < first) | (sample > last)] = 0


def history(
    stage: Stage, dates: Sequence[np.datetime64], seed: int, scene_line: int
) -> Iterator[tuple[NDArray[np.complex64], NDArray | float]]:
    """White scene field of every date and its γ with the date before, on the stage's grid (line, sample).

    Parameters
    ----------
    stage : Stage
    dates : sequence of datetime64
        Rising.
    seed : int
    scene_line : int
        Number of the grid's first line in the scene that all bursts share.
    """
    shape = stage.ground.height.shape
    coherent = None
    for k, date in enumerate(dates):
        fresh = white_lines((seed, 0, k), scene_line, *shape)
        kept = 1.0 if k == 0 else _value(stage.surface.coherence, stage.ground, dates[k - 1], date)
        kept = np.clip(np.asarray(kept, np.float32), 0.0, 1.0)
        coherent = fresh if coherent is None else kept * coherent + np.sqrt(1.0 - kept**2) * fresh
        shown = np.clip(np.asarray(_value(stage.surface.transparency, stage.ground, date), np.float32), 0.0, 1.0)
        seen = coherent
        if np.any(shown < 1.0):
            seen = shown * coherent + np.sqrt(1.0 - shown**2) * white_lines((seed, 1, k), scene_line, *shape)
        yield seen, kept


def render_stack(
    stage: Stage, views: Sequence[View], mix: Ingredients, seed: int, scene_line: int = 0, workers: int = 1
) -> Iterator[Rendering]:
    """Every date's samples and truth, in order.

    Parameters
    ----------
    stage : Stage
        Of one burst; its reference is one of ``views``.
    views : sequence of View
        The same burst (burst id) on every date, in time order.
    mix : Ingredients
    seed : int
        Same seed, same samples.
    scene_line : int
        Number of the reference burst's line 0 in the scene that all bursts share.
    workers : int
        Dates rendered at a time.

    Yields
    ------
    Rendering
    """
    first_line = scene_line + stage.grid.line_start
    shape = stage.ground.height.shape

    def render(index, white, kept):
        view = views[index]
        noise = white_lines((seed, 2, index), first_line, *shape) if mix.noise_power > 0 else None
        window, values, line, sample, geometric = render_date(stage, view, white, noise, mix)
        samples = quantised(values, mix.amplitude) if mix.quantisation else values * np.float32(mix.amplitude)
        _mask_invalid(samples, window, view.burst)
        return Rendering(index, window, samples, _truth(stage, view, line, sample, geometric, kept))

    waiting: deque = deque()
    with ThreadPoolExecutor(workers) as pool:
        for index, (white, kept) in enumerate(history(stage, [v.date for v in views], seed, first_line)):
            waiting.append(pool.submit(render, index, white, kept))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _truth(stage: Stage, view: View, line, sample, geometric, kept) -> Truth:
    """The truth of one date, cut to the stage's window."""
    w, g = stage.window, stage.grid
    rows = slice(w.line_start - g.line_start, w.line_stop - g.line_start)
    columns = slice(w.sample_start - g.sample_start, w.sample_stop - g.sample_start)
    return Truth(
        burst_id=view.burst.burst_id,
        date=view.date,
        window=w,
        line_offset=line[rows, columns] - stage.ground.line[rows, None],
        sample_offset=sample[rows, columns] - stage.ground.sample[None, columns],
        geometric_phase=geometric[rows, columns].copy(),
        coherence=np.broadcast_to(kept, line.shape)[rows, columns].astype(np.float32),
        valid=stage.inside[rows, columns].copy(),
    )
