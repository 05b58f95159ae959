"""Running jobs on Dask: one task per (mine, track, year), one that finishes and publishes per mine.

Tasks exchange addresses and small facts, never arrays: a year's cube waits in the run's own folder under ``work/`` of
the root until its mine is finished, and is deleted with it. A task that fails says why in its outcome; others go on.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count, islice

import numpy as np
import xarray as xr
from dask.distributed import Client, Future, as_completed, get_worker
from distributed.scheduler import KilledWorker

from .claims import lives
from .cube import open_cube, write_cube
from .errors import PitpulseError, Unavailable
from .finish import Publisher, finish_years
from .kept import forget_other_stacks, open_kept
from .mine_year import Job, make_year
from .storage import Location, open_store
from .told import Told
from .variables import reason_words

TOPIC = "pitpulse"
GOOD = ("done", "skipped")  # states of a year that is published
MINES_UNDER_WAY = 256  # that the scheduler knows at a time: enough for any cluster, and memory stays flat
ATTEMPTS = 2  # at what failed, in one run


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    ``state``: ``done``; ``skipped``: the same was published before; ``leased``: another run works on this mine;
    ``invalid``: the data don't allow a product, ``reason`` says why; ``failed``: something broke or was out of reach,
    ``reason`` says what, or holds the traceback. ``rejected``: (reference date, secondary date, reason, stable mean)
    per pair left out. ``events``: sentences about named sites and new alerts.
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


def skip(job: Job, root: str, publisher: Publisher, pairs: bool = True) -> Outcome:
    """The outcome of a job whose product is published, from that product; the catalog lists it again.

    ``pairs``: say of its pairs, too, which costs as much again as all the rest.
    """
    found = publisher.show(job.mine, job.year, job.fingerprint, root, job.storage_options)
    facts = {"item": found.item, "cube": found.cube, "area": found.area}
    if pairs:
        facts |= _pair_facts(open_cube(found.cube, **job.storage_options))
    broken = tuple((name, "it could not be used") for name in found.broken)
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
    waiting, under_way, queue = iter(mines.values()), {}, as_completed()

    def start(group: Sequence[Job], attempt: int = 1) -> None:
        years = [_year(client, job, found.get(job.key), root, publisher, work, keep, attempt) for job in group]
        key = _attempt_key(f"publish-{group[0].mine.id}-t{group[0].track:03d}", attempt)
        words = (group, years, root, publisher, keep)
        future = client.submit(finish_task, *words, key=key, pure=False, priority=10)
        under_way[future] = group, years, attempt
        queue.add(future)

    for group in islice(waiting, MINES_UNDER_WAY):
        start(group)
    for future in queue:  # it goes on as long as something is added
        group, years, attempt = under_way.pop(future)
        for outcome in _collect(future, group, years):
            if outcome.key not in found or found[outcome.key].state == "failed":
                found[outcome.key] = outcome
        failed = [found[job.key] for job in group if found[job.key].state == "failed"]
        if failed and attempt < ATTEMPTS and client.status == "running":
            why = failed[0].reason.strip().splitlines()[-1]
            progress(Told(f"{failed[0].key}: failed, tried again: {why}", "warning", key=failed[0].key))
            start(group, attempt + 1)
        else:
            for other in islice(waiting, 1):
                start(other)
    with suppress(OSError):  # the scheduler went away
        client.unsubscribe_topic(TOPIC)
    return [found[job.key] for job in jobs]


def _year(client, job, known: Outcome | None, root, publisher, work, keep, attempt) -> Future | Outcome:
    """The task that makes a year, or the year as it is known: published, or without a product."""
    if known is not None and known.state == "done":  # in the first attempt
        return skip(job, root, publisher)
    if known is not None and known.state != "failed":
        return known
    key = _attempt_key(f"cube-{job.key}", attempt)
    return client.submit(year_task, job, root, work, keep, key=key, pure=False)


def _attempt_key(key: str, attempt: int) -> str:
    return key if attempt == 1 else f"{key}-attempt{attempt}"


def _collect(future: Future, group: Sequence[Job], years: Sequence[Future | Outcome]) -> list[Outcome]:
    """What became of a mine's years, also where a worker died over them or the scheduler went away."""
    try:
        return future.result()
    except KilledWorker as error:
        reason = f"a worker died {error.allowed_failures + 1} times while on {error.task}: had it too little memory?"
    except (CancelledError, OSError) as error:
        reason = f"the Dask scheduler went away ({error}); the same command goes on from what is published"
    outcomes = []
    for job, year in zip(group, years, strict=True):
        blank = Outcome(job.key, job.mine.id, job.year, "failed", reason, fingerprint=job.fingerprint)
        outcomes.append(year if isinstance(year, Outcome) else blank)
    return outcomes


def staged_cube(job: Job, work: str) -> str:
    """URL where a year's cube waits for the other years, below a run's own folder ``work``."""
    return f"{work.rstrip('/')}/{job.key}-{job.fingerprint[:8]}.zarr"


def say(text: str, level: str = "info", **facts) -> None:
    """Progress from inside a task, to whoever started the run; ``facts`` are for machines, see `told`."""
    try:
        get_worker().log_event(TOPIC, Told(text, level, **facts).event())
    except ValueError:  # not on a worker
        return


def year_task(job: Job, root: str, work: str, keep: bool = False) -> Outcome:
    """Make one year's cube and stage it; runs on a worker. ``keep``: coherences are kept below the root."""
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
        kept = open_kept(open_store(root, **job.storage_options), job.mine, job.track, job.stack) if keep else None
        year = make_year(job, progress, kept)
        started = time.perf_counter()
        cube = year.cube
        staged = _stage(cube, job, open_store(root, **job.storage_options), work)
        seconds = {**year.seconds, "stage": time.perf_counter() - started}
    except Unavailable as error:
        say(f"{job.key}: failed: {error}", "error", key=job.key, state="failed")
        return replace(blank, reason=str(error))
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


def _stage(cube: xr.Dataset, job: Job, root: Location, work: str) -> str:
    """Have a year's cube wait in the run's folder; nothing stays there where the run has ended in the meantime."""
    staged, run = staged_cube(job, work), work.rstrip("/").rsplit("/", 1)[-1]
    ended = f"{job.key}: the run {run} has ended, and nobody waits for its cubes"
    if not lives(root, run):
        raise Unavailable(ended)
    write_cube(cube, staged, overwrite=True, **job.storage_options)
    if not lives(root, run):
        with suppress(OSError):
            root.fs.rm(open_store(work, **job.storage_options).path, recursive=True)
        raise Unavailable(ended)
    return staged


def finish_task(
    jobs: Sequence[Job], outcomes: Sequence[Outcome], root: str, publisher: Publisher, keep: bool = False
) -> list[Outcome]:
    """Classes, areas, pictures and items of a mine's years; runs on a worker."""
    outcomes = _without_waiting(jobs, outcomes)
    ready = [(job, o) for job, o in zip(jobs, outcomes, strict=True) if o.state in ("done", "skipped")]
    if not any(outcome.state == "done" for _, outcome in ready):
        return list(outcomes)
    started = time.perf_counter()
    options = ready[0][0].storage_options
    done: dict[str, Outcome] = {}

    def unfinished(state: str, reason: str) -> list[Outcome]:
        """The outcomes where something went wrong: what was published before that is done."""
        new = {o.key: replace(o, state=state, reason=reason) for o in outcomes if o.state == "done"} | done
        return [new.get(o.key, o) for o in outcomes]

    try:
        cubes = [open_cube(outcome.cube, **options).load() for _, outcome in ready]
        mine_id = ready[0][0].mine.id
        say(f"{mine_id}: classes and areas of {len(cubes)} year(s)", mine=mine_id, stage="classes", years=len(cubes))
        records = {job.year: job.record for job, _ in ready}
        wanted = {job.year for job, outcome in ready if outcome.state == "done"}
        finished = finish_years(ready[0][0].mine, cubes, ready[0][0].settings, records, wanted)
        new = sorted((r for r in ready if r[1].state == "done"), key=lambda r: r[0].year)
        for (job, outcome), year in zip(new, finished, strict=True):
            item = publisher.publish(job.mine, year, root, options)
            say(f"{job.key}: published {item}", key=job.key, stage="publish", state="done", item=item)
            area = (year.area.area, year.area.low, year.area.high)
            facts = {"cube": "", "item": item, "area": area, "events": year.events, "pictures": year.pictures}
            done[job.key] = replace(outcome, **facts)
    except PitpulseError as error:
        return unfinished("failed" if isinstance(error, Unavailable) else "invalid", str(error))
    except Exception:
        return unfinished("failed", traceback.format_exc())
    if keep:
        job = ready[0][0]
        forget_other_stacks(open_store(root, **options), job.mine, job.track, job.stack)
    share = (time.perf_counter() - started) / len(ready)
    done = {key: replace(o, seconds={**o.seconds, "publish": share}) for key, o in done.items()}
    return [done.get(o.key, o) for o in outcomes]


def _without_waiting(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes where those years don't count as done that depend on one which failed: without it they would be
    published under the same fingerprint and be something else."""
    failed = {
        replace(job, context=(), force="").fingerprint: job.year
        for job, outcome in zip(jobs, outcomes, strict=True)
        if outcome.state == "failed"
    }
    found = []
    for job, outcome in zip(jobs, outcomes, strict=True):
        waits = sorted(failed[key] for key in failed.keys() & set(job.context)) if outcome.state == "done" else []
        reason = f"waits for {', '.join(map(str, waits))}, which failed"
        found.append(replace(outcome, state="failed", reason=reason, cube="") if waits else outcome)
    return found
