"""Running jobs on Dask: one task per (mine, track, year), one that finishes and publishes per mine.

Tasks exchange addresses and small facts, never arrays: a year's cube waits in the run's own folder under ``work/`` of
the root until its mine is finished, and is deleted with it. A task that fails says why in its outcome; others go on.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing import active_children

import numpy as np
import xarray as xr
from dask.distributed import Client, LocalCluster, as_completed, get_worker

from .cube import open_cube, write_cube
from .errors import PitpulseError, Unavailable
from .finish import Publisher, finish_years
from .kept import forget_other_stacks, open_kept
from .mine_year import Job, make_year
from .storage import open_store
from .told import Told
from .variables import reason_words

TOPIC = "pitpulse"


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    ``state``: ``done``; ``skipped``: the same was published before; ``leased``: another run works on this mine;
    ``invalid``: the data don't allow a product,
    ``reason`` says why; ``failed``: something broke, ``reason`` holds the traceback. ``rejected``: (reference date,
    secondary date, reason, stable mean) per pair left out. ``events``: sentences about named sites and new alerts.
    ``cube``: where the year's cube is, staged or published.
    """

    key: str
    mine: str
    year: int
    state: str
    reason: str = ""
    accepted: int = 0
    rejected: tuple[tuple[str, str, str, float], ...] = ()
    area: tuple[float, float, float] = (np.nan, np.nan, np.nan)  # m2: estimate, 95 % interval
    events: tuple[str, ...] = ()
    item: str = ""
    cube: str = ""
    fingerprint: str = ""
    requests: int = 0
    bytes_read: int = 0
    window_bytes: int = 0
    retries: int = 0  # requests made again because the first failed
    broken: tuple[tuple[str, str], ...] = ()  # name and reason of products that were left out
    seconds: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict, repr=False)


@contextmanager
def dask_client(scheduler: str | None = None, jobs: int = 1) -> Iterator[Client]:
    """A client of the scheduler at an address, or of a local cluster that ends with it.

    Raises
    ------
    Unavailable
        No scheduler answers at the address.
    """
    scheduler = scheduler or os.environ.get("DASK_SCHEDULER_ADDRESS")
    if scheduler:
        try:
            client = Client(scheduler, timeout="10s")
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"no Dask scheduler answers at {scheduler} ({error}); check the address, or leave --scheduler and "
                f"DASK_SCHEDULER_ADDRESS out for a local cluster"
            ) from error
        with client:
            yield client
        return
    cores = len(os.sched_getaffinity(0))
    workers = worker_count(cores, jobs)
    with ExitStack() as stack:
        with interrupts_held():
            cluster = LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # any free port: None would insist on 8787, on every interface
                env={"PITPULSE_THREADS": str(cores // workers)},
                silence_logs=logging.CRITICAL + 1,  # a client that was interrupted is "critical" to its scheduler
            )
            client = Client(cluster)
            stack.callback(_close, client, cluster)
            _start_workers(cluster, workers)
            client.wait_for_workers(workers, timeout=120)
        yield client


def _start_workers(cluster: LocalCluster, number: int) -> None:
    """Start worker processes that an interrupt doesn't reach.

    A key press interrupts every process of the terminal, and each worker would say so at length; they end with the
    cluster. Only an ignored signal stays so in a child, so for some hundredths of a second a press is lost.
    """
    ours, others = threading.current_thread() is threading.main_thread(), len(active_children())
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ours else None
    try:
        cluster.scale(number)
        patience = time.monotonic() + 5.0
        while len(active_children()) < others + number and time.monotonic() < patience:
            time.sleep(0.005)
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def _close(client: Client, cluster: LocalCluster) -> None:
    with interrupts_held():
        client.close()
        cluster.close()


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let an interrupt wait until the block is done: a cluster that is half started or half closed can't be closed."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) != signal.default_int_handler:
        yield
        return
    waiting = []
    signal.signal(signal.SIGINT, lambda *_: waiting.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if waiting:
        raise KeyboardInterrupt


def worker_count(cores: int, jobs: int) -> int:
    """Worker processes of a local cluster; the cores are shared out to them as threads of the kernels.

    Of all counts the one whose rounds of jobs end first, where 30 % of a year's time stay however many threads it has
    (measured on the demo's: 2.4 s with one thread, 1.6 s with two); the smaller where two are equal.
    """
    return min(range(1, max(1, min(cores, jobs)) + 1), key=lambda n: -(-jobs // n) * (0.3 + 0.7 / (cores // n)))


def settle(job: Job, root: str, publisher: Publisher, force: bool = False) -> tuple[Job, bool]:
    """The job as it is to be run, and whether its product is published already.

    Forced reruns count up, so that each has a fingerprint of its own; what isn't forced finds the latest of them.
    """
    latest = job
    for attempt in count():
        candidate = replace(job, force=str(attempt) if attempt else "")
        if not publisher.published(job.mine, job.year, candidate.fingerprint, root, job.storage_options):
            return (candidate, False) if force or not attempt else (latest, True)
        latest = candidate


def skip(job: Job, root: str, publisher: Publisher) -> Outcome:
    """The outcome of a job whose product is published, from that product; the catalog lists it again."""
    found = publisher.show(job.mine, job.year, job.fingerprint, root, job.storage_options)
    cube = open_cube(found.cube, **job.storage_options)
    facts = {"item": found.item, "cube": found.cube, "area": found.area, **_pair_facts(cube)}
    broken = tuple((name, "it could not be used") for name in cube.attrs.get("broken_granules", "").split())
    return Outcome(job.key, job.mine.id, job.year, "skipped", broken=broken, fingerprint=job.fingerprint, **facts)


def run_jobs(
    jobs: Sequence[Job],
    root: str,
    publisher: Publisher,
    client: Client,
    work: str,
    progress: Callable[[str], None] = lambda _: None,
    skipped: Sequence[Outcome] = (),
    keep: bool = False,
) -> list[Outcome]:
    """Run jobs and publish what they make.

    Parameters
    ----------
    jobs : sequence of Job
    root : str
        URL of the published folder.
    publisher : Publisher
        It runs on the workers.
    client : dask.distributed.Client
    work : str
        URL of a folder that is this run's alone, for cubes that wait for the other years.
    progress : callable
        Called with a line of text when something was done.
    skipped : sequence of Outcome
        Of those jobs that are not to be run, from `skip`: their cubes count in what the other years' classes depend on.

    Returns
    -------
    list of Outcome
        In the order of the jobs.
    """
    client.subscribe_topic(TOPIC, lambda event: progress(Told.of(event[1])))
    found: dict[str, Outcome] = {outcome.key: outcome for outcome in skipped}
    mines: dict[tuple, list[Job]] = {}
    for job in jobs:
        mines.setdefault((job.mine.id, job.track), []).append(job)
    finishing = []
    for (mine, track), group in mines.items():
        years = [
            found.get(job.key)
            or client.submit(year_task, job, work, root if keep else None, key=f"cube-{job.key}", pure=False)
            for job in group
        ]
        key = f"publish-{mine}-t{track:03d}"
        words = (group, years, root, publisher, keep)
        finishing.append(client.submit(finish_task, *words, key=key, pure=False, priority=10))
    for future in as_completed(finishing):
        found.update({outcome.key: outcome for outcome in future.result()})
    client.unsubscribe_topic(TOPIC)
    return [found[job.key] for job in jobs]


def staged_cube(job: Job, work: str) -> str:
    """URL where a year's cube waits for the other years, below a run's own folder ``work``."""
    return f"{work.rstrip('/')}/{job.key}-{job.fingerprint[:8]}.zarr"


def say(text: str, level: str = "info", **facts) -> None:
    """Progress from inside a task, to whoever started the run; ``facts`` are for machines, see `told`."""
    try:
        get_worker().log_event(TOPIC, Told(text, level, **facts).event())
    except ValueError:  # not on a worker
        return


def year_task(job: Job, work: str, keep: str | None = None) -> Outcome:
    """Make one year's cube and stage it; runs on a worker. ``keep``: root below which coherences are kept."""
    blank = Outcome(job.key, job.mine.id, job.year, "failed", fingerprint=job.fingerprint)
    last = 0.0

    def progress(stage, done, total):
        nonlocal last
        now = time.monotonic()
        if now - last > 2.0 or done == total:
            last = now
            say(f"{job.key}: {stage} {done}/{total}", key=job.key, stage=stage, done=done, total=total)

    say(f"{job.key}: geometry, {len(job.dates)} dates", key=job.key, stage="geometry", dates=len(job.dates))
    try:
        kept = open_kept(open_store(keep, **job.storage_options), job.mine, job.track, job.stack) if keep else None
        year = make_year(job, progress, kept)
        started = time.perf_counter()
        cube = year.cube
        staged = staged_cube(job, work)
        write_cube(cube, staged, overwrite=True, **job.storage_options)
        seconds = {**year.seconds, "stage": time.perf_counter() - started}
    except PitpulseError as error:
        say(f"{job.key}: invalid: {error}", "warning", key=job.key, state="invalid")
        return replace(blank, state="invalid", reason=str(error))
    except Exception as error:
        say(f"{job.key}: failed: {error!r}", "error", key=job.key, state="failed")
        return replace(blank, reason=traceback.format_exc())
    return replace(
        blank,
        state="done",
        cube=staged,
        requests=year.requests,
        bytes_read=year.bytes_read,
        window_bytes=year.window_bytes,
        retries=year.retries,
        broken=year.broken,
        seconds=seconds,
        **_pair_facts(cube),
    )


def _pair_facts(cube: xr.Dataset) -> dict:
    """What an outcome says of a cube's pairs."""
    accepted = cube["accepted"].values.astype(bool)
    dates = [np.datetime_as_string(cube[n].values, "D") for n in ("reference_time", "secondary_time")]
    words, means = reason_words(cube["reason"].values), cube["stable_mean"].values
    left_out = np.flatnonzero(~accepted)
    rejected = tuple((str(dates[0][k]), str(dates[1][k]), words[k], float(means[k])) for k in left_out)
    return {"accepted": int(accepted.sum()), "rejected": rejected}


def finish_task(
    jobs: Sequence[Job], outcomes: Sequence[Outcome], root: str, publisher: Publisher, keep: bool = False
) -> list[Outcome]:
    """Classes, areas, pictures and items of a mine's years; runs on a worker."""
    ready = [(job, o) for job, o in zip(jobs, outcomes, strict=True) if o.state in ("done", "skipped")]
    if not any(outcome.state == "done" for _, outcome in ready):
        return list(outcomes)
    started = time.perf_counter()
    options = ready[0][0].storage_options
    try:
        cubes = [open_cube(outcome.cube, **options).load() for _, outcome in ready]
        mine_id = ready[0][0].mine.id
        say(f"{mine_id}: classes and areas of {len(cubes)} year(s)", mine=mine_id, stage="classes", years=len(cubes))
        records = {job.year: job.record for job, _ in ready}
        wanted = {job.year for job, outcome in ready if outcome.state == "done"}
        finished = finish_years(ready[0][0].mine, cubes, ready[0][0].settings, records, wanted)
        done = {}
        new = sorted((r for r in ready if r[1].state == "done"), key=lambda r: r[0].year)
        for (job, outcome), year in zip(new, finished, strict=True):
            item = publisher.publish(job.mine, year, root, options)
            say(f"{job.key}: published {item}", key=job.key, stage="publish", state="done", item=item)
            area = (year.area.area, year.area.low, year.area.high)
            done[job.key] = replace(outcome, item=item, area=area, events=year.events, pictures=year.pictures)
    except PitpulseError as error:
        return [replace(o, state="invalid", reason=str(error)) if o.state == "done" else o for o in outcomes]
    except Exception:
        reason = traceback.format_exc()
        return [replace(o, state="failed", reason=reason) if o.state == "done" else o for o in outcomes]
    if keep:
        job = ready[0][0]
        forget_other_stacks(open_store(root, **options), job.mine, job.track, job.stack)
    share = (time.perf_counter() - started) / len(ready)
    return [
        replace(done[o.key], cube="", seconds={**o.seconds, "publish": share}) if o.key in done else o for o in outcomes
    ]
