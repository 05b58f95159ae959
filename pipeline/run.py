"""Running jobs on Dask: one task per (mine, track, year), one that finishes and publishes per mine.

Tasks exchange addresses and small facts, never arrays: a year's cube waits under ``work/`` of the root until its mine is
finished, and is deleted then. A task that fails says why in its outcome; the others go on.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from dask.distributed import Client, LocalCluster, as_completed, get_worker

from .cube import open_cube, write_cube
from .errors import PitpulseError
from .finish import Publisher, finish_years
from .mine_year import Job, make_year
from .storage import open_store
from .variables import reason_words

TOPIC = "pitpulse"


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    ``state``: ``done``; ``invalid``: the data don't allow a product, ``reason`` says why; ``failed``: something broke,
    ``reason`` holds the traceback. ``rejected``: (reference date, secondary date, reason, stable mean) per pair left out.
    """

    key: str
    mine: str
    year: int
    state: str
    reason: str = ""
    accepted: int = 0
    rejected: tuple[tuple[str, str, str, float], ...] = ()
    area: tuple[float, float, float] = (np.nan, np.nan, np.nan)  # m2: estimate, 95 % interval
    item: str = ""
    staged: str = ""
    requests: int = 0
    bytes_read: int = 0
    window_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict, repr=False)


@contextmanager
def dask_client(scheduler: str | None = None, jobs: int = 1) -> Iterator[Client]:
    """A client of the scheduler at an address, or of a local cluster that ends with it.

    The local cluster has one worker process per core, at most one per job; the cores left over go to the kernels' threads.
    """
    scheduler = scheduler or os.environ.get("DASK_SCHEDULER_ADDRESS")
    if scheduler:
        with Client(scheduler, timeout="30s") as client:
            yield client
        return
    cores = len(os.sched_getaffinity(0))
    workers = max(1, min(cores, jobs))
    threads = {"PITPULSE_THREADS": str(max(1, cores // workers))}
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, env=threads, silence_logs=40
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def run_jobs(
    jobs: Sequence[Job],
    root: str,
    publisher: Publisher,
    client: Client,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Outcome]:
    """Run jobs and publish what they make.

    Parameters
    ----------
    jobs : sequence of Job
    root : str
        URL of the published folder.
    publisher : callable
        See `finish.Publisher`; it runs on the workers.
    client : dask.distributed.Client
    progress : callable
        Called with a line of text when something was done.

    Returns
    -------
    list of Outcome
        In the order of the jobs.
    """
    client.subscribe_topic(TOPIC, lambda event: progress(event[1]))
    mines: dict[tuple, list[Job]] = {}
    for job in jobs:
        mines.setdefault((job.mine.id, job.track), []).append(job)
    finishing = []
    for (mine, track), group in mines.items():
        years = [client.submit(year_task, job, root, key=f"cube-{job.key}", pure=False) for job in group]
        key = f"publish-{mine}-t{track:03d}"
        finishing.append(client.submit(finish_task, group, years, root, publisher, key=key, pure=False, priority=10))
    found: dict[str, Outcome] = {}
    for future in as_completed(finishing):
        found.update({outcome.key: outcome for outcome in future.result()})
    client.unsubscribe_topic(TOPIC)
    return [found[job.key] for job in jobs]


def say(text: str) -> None:
    """Progress from inside a task, to whoever started the run."""
    try:
        get_worker().log_event(TOPIC, text)
    except ValueError:  # not on a worker
        return


def year_task(job: Job, root: str) -> Outcome:
    """Make one year's cube and stage it; runs on a worker."""
    blank = Outcome(job.key, job.mine.id, job.year, "failed")
    last = 0.0

    def progress(stage, done, total):
        nonlocal last
        now = time.monotonic()
        if now - last > 2.0 or done == total:
            last = now
            say(f"{job.key}: {stage} {done}/{total}")

    try:
        year = make_year(job, progress)
        started = time.perf_counter()
        cube = year.cube
        staged = f"{root.rstrip('/')}/work/{job.key}-{cube.attrs['fingerprint'][:8]}.zarr"
        write_cube(cube, staged, overwrite=True, **job.storage_options)
        seconds = {**year.seconds, "stage": time.perf_counter() - started}
    except PitpulseError as error:
        say(f"{job.key}: invalid: {error}")
        return replace(blank, state="invalid", reason=str(error))
    except Exception:
        return replace(blank, reason=traceback.format_exc())
    accepted = cube["accepted"].values
    dates = [np.datetime_as_string(cube[n].values, "D") for n in ("reference_time", "secondary_time")]
    words, means = reason_words(cube["reason"].values), cube["stable_mean"].values
    rejected = tuple(
        (str(dates[0][k]), str(dates[1][k]), words[k], float(means[k])) for k in np.flatnonzero(~accepted)
    )
    return replace(
        blank,
        state="done",
        accepted=int(accepted.sum()),
        rejected=rejected,
        staged=staged,
        requests=year.requests,
        bytes_read=year.bytes_read,
        window_bytes=year.window_bytes,
        seconds=seconds,
    )


def finish_task(jobs: Sequence[Job], outcomes: Sequence[Outcome], root: str, publisher: Publisher) -> list[Outcome]:
    """Classes, areas, pictures and items of a mine's years; runs on a worker."""
    ready = [(job, o) for job, o in zip(jobs, outcomes, strict=True) if o.state == "done"]
    if not ready:
        return list(outcomes)
    started = time.perf_counter()
    options = ready[0][0].storage_options
    try:
        cubes = [open_cube(outcome.staged, **options).load() for _, outcome in ready]
        finished = finish_years(ready[0][0].mine, cubes, ready[0][0].settings)
        done = {}
        for (job, outcome), year in zip(sorted(ready, key=lambda r: r[0].year), finished, strict=True):
            item = publisher(job.mine, year, root, options)
            say(f"{job.key}: published {item}")
            area = (year.area.area, year.area.low, year.area.high)
            done[job.key] = replace(outcome, item=item, area=area, pictures=year.pictures)
        for _, outcome in ready:
            location = open_store(outcome.staged, **options)
            location.fs.rm(location.path, recursive=True)
    except PitpulseError as error:
        return [replace(o, state="invalid", reason=str(error)) if o.state == "done" else o for o in outcomes]
    except Exception:
        reason = traceback.format_exc()
        return [replace(o, state="failed", reason=reason) if o.state == "done" else o for o in outcomes]
    share = (time.perf_counter() - started) / len(ready)
    return [
        replace(done[o.key], staged="", seconds={**o.seconds, "publish": share}) if o.key in done else o for o in outcomes
    ]
