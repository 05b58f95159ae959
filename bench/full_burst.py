"""One full burst of the real Morocco pair: accuracy against the simulator's truth, CPU seconds per stage, memory.

Prints the largest offset errors, the coherence, the residual phase and its ramp; per stage CPU seconds, ns per sample
and the ratio to a plain memory copy of the same samples. The burst is rendered once under build/bench (a minute or two
and 6 GB of memory, in a process of its own) and reused.

    python bench/full_burst.py [--data ../shared/data] [--threads 2] [--folder build/bench]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from pathlib import Path

import numpy as np

from pipeline.dem import read_dem
from pipeline.insar.coherence import coherence_at
from pipeline.insar.geocode import Lookup
from pipeline.insar.mapping import ground_mapping
from pipeline.insar.terrain import radar_heights
from pipeline.mine_year import open_acquisition
from pipeline.model import Window
from pipeline.raster import bounds_of, open_raster
from pipeline.settings import Settings
from pipeline.simulate import Surface, Target, raster_terrain, render_into_real
from pipeline.stack import BurstFrame, BurstReader, coregister, in_blocks, resampler, terrain_of

COHERENCE = 0.9
COPY_ROUNDS = 5


def dem_path(data: Path) -> Path:
    """The elevation model of the burst."""
    return next((data / "morocco_pair" / "dem").glob("*iw1*"))


def render(data: Path, folder: Path) -> None:
    """Fill the first burst of IW1 on both dates and keep the truth."""
    terrain = raster_terrain(dem_path(data))
    sources = sorted((data / "morocco_pair").glob("*.SAFE"))
    made = render_into_real(sources, folder / "slc", Surface(terrain, COHERENCE), Target("IW1", "VV", 0), seed=5)
    truth = made.truths[1]
    np.savez(folder / "truth.npz", line=truth.line_offset, sample=truth.sample_offset, valid=truth.valid)


class Stages:
    """CPU and wall seconds by name."""

    def __init__(self):
        self.rows: list[tuple[str, float, float]] = []
        self._start()

    def _start(self):
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def lap(self, name: str) -> None:
        """End a stage and begin the next."""
        self.rows.append((name, time.process_time() - self._cpu, time.perf_counter() - self._wall))
        self._start()


class Chain:
    """The processor on one whole burst."""

    def __init__(self, data: Path, folder: Path, threads: int):
        products = sorted((folder / "slc").glob("*.SAFE"))
        self.threads, self.reader = threads, BurstReader(threads=threads)
        self.dates = [open_acquisition((str(p),), Settings(), {"IW1"}) for p in products]
        self.reference = self.dates[0].products[0].swaths[0].bursts[0]
        self.found = [date.find(self.reference.burst_id, "VV") for date in self.dates]
        with open_raster(str(dem_path(data))) as source:
            bounds = bounds_of(source)
        self.dem = read_dem(str(dem_path(data)), bounds, "ellipsoid", margin=0.0)
        self.window = Window(0, self.reference.lines, 0, self.reference.samples)

    def frame(self, window: Window) -> BurstFrame:
        """Heights of every pixel."""
        terrain, _ = terrain_of(self.dem)
        limits = (terrain.lowest, terrain.highest)
        ground = ground_mapping(self.reference, window, limits)
        heights = np.empty(window.shape, np.float32)

        def block(first, last):
            lines = (window.line_start + first, window.line_start + last)
            radar_heights(terrain, ground, lines, heights[first:last])

        in_blocks(block, 0, window.shape[0], self.threads)
        nowhere = np.full((1, 1), np.nan)
        return BurstFrame(self.reference, Lookup(self.reference, nowhere, nowhere), window, heights, limits)

    def secondary(self, frame: BurstFrame, stages: Stages, offsets: bool = False):
        """The second date on the reference's pixels."""
        resample = resampler(frame, self.found[1][2])
        source = resample.source_window().clipped(self.found[1][2])
        stages.lap("offsets")
        samples = self.reader.read(*self.found[1], source)[0]
        stages.lap("read")
        out = coregister(frame, resample, samples, source, self.threads, offsets)
        stages.lap("coregister")
        return out

    def coherence(self, first, second) -> np.ndarray:
        """7 x 2 coherence at every pixel."""
        out = np.empty(first.shape, np.float32)
        sample = np.arange(first.shape[1], dtype=np.float64)

        def block(top, stop):
            line = np.arange(top, stop, dtype=np.float64)[:, None] + 0.5
            at = np.broadcast_arrays(line, sample[None, :])
            out[top:stop] = coherence_at(first, second, *at)

        in_blocks(block, 0, first.shape[0], self.threads)
        return out


def accuracy(first, second, truth) -> None:
    """Against the truth, tile by tile."""
    valid = truth["valid"] & np.isfinite(first) & np.isfinite(second.samples)
    line = np.abs(second.line_offset - truth["line"])[valid]
    sample = np.abs(second.sample_offset - truth["sample"])[valid]
    print(f"valid {valid.mean():.4f} of the burst")
    print(f"line offset    error max {line.max():.1e}, rms {np.sqrt(np.mean(line**2)):.1e} lines (limit 1.2e-4)")
    print(f"sample offset  error max {sample.max():.1e}, rms {np.sqrt(np.mean(sample**2)):.1e} samples (limit 4e-4)")
    product, power = np.zeros((8, 8), np.complex128), np.zeros((2, 8, 8))
    rows, columns = (np.array_split(np.arange(n), 8) for n in first.shape)
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            box = np.s_[r[0] : r[-1] + 1, c[0] : c[-1] + 1]
            a, b = (np.where(valid[box], x[box], 0).astype(np.complex128) for x in (first, second.samples))
            product[i, j] = np.vdot(b, a)
            power[:, i, j] = np.vdot(a, a).real, np.vdot(b, b).real
    whole = product.sum() / np.sqrt(np.prod(power.sum(axis=(1, 2))))
    noise = np.sqrt((1 - abs(whole) ** 2) / (2 * abs(whole) ** 2 * valid.sum()))
    print(f"coherence      {abs(whole):.5f} (truth {COHERENCE} less noise and the Doppler difference)")
    print(f"phase          {np.angle(whole):+.1e} rad (limit 1e-3; speckle {noise * np.sqrt(1.7):.0e})")
    # tiles at the border hold few valid samples
    phase, weight = np.angle(product).ravel(), np.sqrt(np.abs(product)).ravel()
    place = np.linspace(-0.5, 0.5, 8)
    design = np.stack([np.ones(64), np.repeat(place, 8), np.tile(place, 8)], axis=1)
    ramp = np.linalg.lstsq(design * weight[:, None], phase * weight, rcond=None)[0]
    error = noise * np.sqrt(1.7 * 12.0)  # of a slope over a unit interval; 1.7 samples are one independent sample
    print(f"phase ramp     {ramp[1]:+.1e} rad over the lines, {ramp[2]:+.1e} over the samples (speckle {error:.0e})")


def report(stages: Stages, samples: int) -> None:
    """Stages against a plain copy of the same samples, both into memory that is new as into memory that is not."""
    source = np.ones(samples, np.complex64)
    started = time.process_time()
    target = source.copy()
    fresh = time.process_time() - started
    started = time.process_time()
    for _ in range(COPY_ROUNDS):
        np.copyto(target, source)
    copy = (time.process_time() - started) / COPY_ROUNDS
    print(f"{'stage':<12} {'CPU s':>7} {'wall s':>7} {'ns/sample':>10} {'x memory copy':>14}")
    rows = [*stages.rows, ("copy, new", fresh, fresh), ("copy", copy, copy)]
    for name, cpu, wall in rows:
        print(f"{name:<12} {cpu:7.2f} {wall:7.2f} {cpu / samples * 1e9:10.1f} {cpu / copy:14.1f}")
    total = sum(cpu for _, cpu, _ in stages.rows)
    print(f"total {total:.1f} CPU s = {total / 20:.2f} x the target of 20")


def main() -> None:
    """Render once, run twice, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    if not (arguments.data / "morocco_pair").is_dir():
        print(f"{arguments.data}/morocco_pair is not there: name the folder of the reference data with --data")
        return
    folder = arguments.folder / "full-burst"
    if not (folder / "truth.npz").exists():
        folder.mkdir(parents=True, exist_ok=True)
        print("rendering a full burst on two dates, once", flush=True)
        child = multiprocessing.get_context("spawn").Process(target=render, args=(arguments.data, folder))
        child.start()
        child.join()
        if child.exitcode:
            raise SystemExit(child.exitcode)
    chain = Chain(arguments.data, folder, arguments.threads)
    # kernels compile or load on a few lines
    little = chain.frame(Window(600, 632, 0, chain.reference.samples))
    few = chain.secondary(little, Stages(), True).samples
    chain.coherence(few, few)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    stages = Stages()
    frame = chain.frame(chain.window)
    stages.lap("heights")
    second = chain.secondary(frame, stages)
    first = chain.reader.read(*chain.found[0], chain.window)[0]
    stages.lap("read")
    coherence = chain.coherence(first, second.samples)
    stages.lap("coherence")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    asked = (frame.heights.nbytes + first.nbytes + second.samples.nbytes + coherence.nbytes) / 2**30
    print(f"burst {chain.reference.burst_id}, {chain.window.shape[0]} x {chain.window.shape[1]} samples, "
          f"{arguments.threads} threads; mean 7 x 2 coherence {np.nanmean(coherence):.4f}")  # fmt: skip
    report(stages, chain.window.size)
    print(f"peak memory {peak:.2f} GiB: {before:.2f} before, {asked:.2f} in heights, two dates and coherence, "
          f"{peak - before - asked:.2f} beyond (limit 1)\n")  # fmt: skip
    del coherence, second
    accuracy(first, chain.secondary(frame, Stages(), True), np.load(folder / "truth.npz"))


if __name__ == "__main__":
    main()
