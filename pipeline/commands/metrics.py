"""What a run tells a monitoring system: ``runs/metrics.prom`` in the published folder, written anew by every run.

For node_exporter's textfile collector (a link to the file) or any web server that a scraper reaches. Everything is a
gauge: the numbers are those of the last run, and the moments outlive it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .. import __version__
from ..exposition import Family, Sample, exposition, gauge, known_value
from ..records import FOLDER
from ..run import Outcome
from ..storage import Location

PATH = f"{FOLDER}/metrics.prom"
STATES = ("done", "skipped", "invalid", "failed", "leased")
LAST = "pitpulse_run_last_timestamp_seconds"
COMPLETED = "pitpulse_run_last_completed_timestamp_seconds"
SUCCEEDED = "pitpulse_run_last_success_timestamp_seconds"


def write_metrics(
    root: Location, now: float, seconds: float, outcomes: Sequence[Outcome] | None, success: bool = False
) -> None:
    """Write what a run has to tell, in one step.

    Parameters
    ----------
    root : Location
        Of the published folder.
    now : float
        When the run ended, s since 1970.
    seconds : float
        How long it took.
    outcomes : sequence of Outcome or None
        None where it broke off before they were known.
    success : bool
        Whether every mine-year asked for is there, and whole.

    Raises
    ------
    Unavailable
        The root can't be read or written.
    """
    before = root.read_bytes(PATH).decode(errors="replace") if root.exists(PATH) else ""
    completed = now if outcomes is not None else known_value(before, COMPLETED)
    succeeded = now if success else known_value(before, SUCCEEDED)
    families = [
        gauge(LAST, "When the last run ended, however it ended.", now),
        gauge(COMPLETED, "When a run last came to its end, whether or not every mine-year has a product.", completed),
        gauge(SUCCEEDED, "When a run last ended with every mine-year in place and no product left out.", succeeded),
        gauge("pitpulse_run_completed", "1 where the last run came to its end.", int(outcomes is not None)),
        gauge("pitpulse_run_success", "1 where every mine-year is in place (exit code 0).", int(success)),
        gauge("pitpulse_run_duration_seconds", "Wall-clock time of the last run.", round(seconds, 3)),
        Family("pitpulse_run_info", "gauge", "Version of the program.", (Sample(1, {"version": __version__}),)),
        *([] if outcomes is None else _of_outcomes(outcomes)),
    ]
    root.write_bytes(PATH, exposition(families).encode())


def _of_outcomes(outcomes: Sequence[Outcome]) -> list[Family]:
    counts = Counter(outcome.state for outcome in outcomes)
    states = tuple(Sample(counts[state], {"state": state}) for state in STATES)
    stages: Counter[str] = Counter()
    for outcome in outcomes:
        stages.update(outcome.seconds)
    seconds = tuple(Sample(round(spent, 3), {"stage": stage}) for stage, spent in stages.items())
    sums = {
        "requests": ("requests", "Requests for samples in the last run."),
        "retries": ("retries", "Requests for samples made again because the first failed."),
        "read_bytes": ("bytes_read", "Bytes of samples read in the last run."),
        "window_bytes": ("window_bytes", "Bytes of the samples that the mines' windows hold."),
    }
    return [
        Family("pitpulse_run_outcomes", "gauge", "Mine-years and products of the last run by what became of them.",
               states),
        Family("pitpulse_run_stage_seconds", "gauge", "Seconds that workers spent in each stage.", seconds),
        *(
            gauge(f"pitpulse_run_{name}", meaning, sum(getattr(outcome, attribute) for outcome in outcomes))
            for name, (attribute, meaning) in sums.items()
        ),
        gauge("pitpulse_run_broken_products", "Products left out because they can't be used.",
              len({name for outcome in outcomes for name, _ in outcome.broken})),
    ]  # fmt: skip
