"""Where a year's activity stage spends its time, as multiples of one pass over the cube's coherence (its mean).

31 pairs of 500 x 500 pixels, a mine of 10 km x 10 km on the 20 m grid. The limit is arithmetic, not memory: every
sample is scored once, and stable points sort each pixel's series.
"""

import time

import numpy as np

from pipeline.activity.area import active_area
from pipeline.activity.classify import classes, coherent_pairs, undecidable
from pipeline.activity.ndai import annual_ndai, annual_ndai_debiased
from pipeline.activity.outline import IndexMap
from pipeline.activity.significance import Evidence, year_significance
from pipeline.activity.stable_points import select_stable_points
from pipeline.settings import Settings

PAIRS, SIZE, LOOKS = 31, 500, 7


def year() -> np.ndarray:
    """Sample coherence (pair, y, x): quiet ground 0.92, a tenth of it worked in every other interval."""
    rng = np.random.default_rng(1)
    coherence = 1.0 - rng.gamma(6.0, 0.08 / 6.0, (PAIRS, SIZE, SIZE)).astype(np.float32)
    coherence[::2, 100:260, 100:260] = rng.beta(2.2, 4.2, (PAIRS // 2 + 1, 160, 160))
    return np.clip(coherence, 0.0, 1.0)


def main() -> None:
    coherence, settings = year(), Settings()
    mine = np.ones(coherence.shape[1:], bool)
    dates = np.datetime64("2022-01-01") + np.arange(PAIRS + 1) * np.timedelta64(12, "D")
    areas = np.full(mine.shape, 400.0)
    state: dict = {}

    def stable():
        state["stable"] = select_stable_points(coherence, mine, settings, dates[1:].astype("datetime64[ns]"))

    def index():
        state["ndai"] = annual_ndai(coherence, state["stable"], settings.minimum_pairs).mean

    def debiased():
        annual_ndai_debiased(coherence, state["stable"], LOOKS, settings.minimum_pairs)

    def mask():
        counts = [np.stack([c, c]) for c in coherent_pairs(coherence, state["stable"].accepted)]
        state["mask"] = undecidable(*counts, 0, np.zeros(mine.shape, np.uint8), settings)

    def test():
        s = state["stable"]
        evidence = Evidence(
            coherence, s.accepted, s.reference, np.stack([dates[:-1], dates[1:]], 1), LOOKS, s.mask, mine, s.optimism
        )
        result = year_significance(evidence, mine & ~state["mask"], settings)
        state["classes"] = classes(result.active, np.isfinite(result.p), state["mask"])

    def area():
        active_area(state["classes"], mine, areas, settings.spacing, IndexMap(state["ndai"], PAIRS))

    steps = (("stable points", stable), ("index", index), ("debiased index", debiased), ("permanent mask", mask),
             ("test and looks", test), ("area and interval", area))  # fmt: skip
    for _, step in steps:
        step()  # compiles
    one_pass = min(_timed(lambda: coherence.mean(axis=0)) for _ in range(3))
    total = 0.0
    for name, step in steps:
        seconds = _timed(step)
        total += seconds
        print(f"{name:18} {seconds:6.2f} s  {seconds / one_pass:6.1f} passes")
    print(f"{'all':18} {total:6.2f} s  {total / one_pass:6.1f} passes of {one_pass:.3f} s")


def _timed(step) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
