"""``pitpulse run``: an archive and a mine in, published years out."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ..assess import Assessment
from ..claims import RunClaims
from ..clusters import open_client
from ..errors import BadInput, PitpulseError
from ..mine_year import Job
from ..model import Mine
from ..plan import RunRequest, make_plan, never_gave, with_orbits
from ..records import newest_outcomes, write_listing, write_outcomes
from ..run import GOOD, Outcome, run_jobs, settle, skip
from ..settings import Settings
from ..storage import Location, open_store
from ..told import Told
from .metrics import PATH as METRICS
from .metrics import write_metrics
from .publisher import CatalogPublisher, complete_catalog, publish_report

ASKED = 16  # mine-years that the store is asked about at a time
LEASED = "another run works on this mine; what it publishes is what this one would have"


def parse_years(text: str) -> tuple[int, ...]:
    """``"2020-2022"`` → (2020, 2021, 2022)."""
    match = re.fullmatch(r"(\d{4})(?:-(\d{4}))?", text.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not (2014 <= first <= last <= 2100):
        raise BadInput(f"--years must be a year or FIRST-LAST from 2014 on, instead got {text!r}")
    return tuple(range(first, last + 1))


def parse_settings(assignments: Sequence[str], **known) -> Settings:
    """``NAME=VALUE`` words as settings; values are JSON or plain words."""
    fields = {f.name: f for f in dataclasses.fields(Settings)}
    values = dict(known)
    for word in assignments:
        name, _, text = word.partition("=")
        if name not in fields or not text:
            raise BadInput(f"--set must be NAME=VALUE with a name of {', '.join(fields)}, instead got {word!r}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        default = fields[name].default
        if not _is_like(value, default):
            raise BadInput(f"--set {name}: expected a value like {json.dumps(default)}, instead got {text!r}")
        values[name] = (
            tuple(tuple(v) if isinstance(v, list) else v for v in value) if isinstance(value, list) else value
        )
    try:
        return Settings(**values)
    except (TypeError, ValueError) as error:
        raise BadInput(f"--set: {error}") from error


def _is_like(value, default) -> bool:
    """True where a value from JSON can stand for a setting: of its kind, finite, a list where it is one."""
    if isinstance(default, tuple):
        free = isinstance(default[0], tuple)  # as many intervals as wanted, but a pair of numbers stays one
        same = isinstance(value, list) and (len(value) > 0 if free else len(value) == len(default))
        return same and all(_is_like(v, default[0]) for v in value)
    if isinstance(default, str):
        return isinstance(value, str)
    kinds = int if isinstance(default, int) else int | float
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)


def execute(request: RunRequest, progress: Callable[[str], None]) -> tuple[list[Outcome], float]:
    """Plan, run and publish; the outcomes and the seconds it took. Pictures go under ``pictures/`` of the root."""
    started, moment, record = time.perf_counter(), time.time(), ""
    plan = make_plan(request, progress)
    outcomes, publisher = list(plan.outcomes), CatalogPublisher()
    with _writable(request.out) as root:
        planned = with_orbits(request, plan, publisher, root)
        with RunClaims(root) as claims:
            settled, others = _share_out(request, planned, publisher, claims)
            jobs = [job for job, _ in settled]
            with ThreadPoolExecutor(ASKED) as pool:
                done = [job for job, done in settled if done]
                skipped = list(pool.map(lambda job: skip(job, request.out, publisher, request.tell_pairs), done))
            dates = sum(len(job.dates) for job, done in settled if not done)
            progress(_announcement(plan.mines, planned, len(skipped), dates))
            made = skipped
            if dates:
                work = f"{request.out.rstrip('/')}/{claims.folder}"
                try:
                    with open_client(request.cluster, len(jobs) - len(skipped), progress) as client:
                        made = run_jobs(jobs, request.out, publisher, client, work, progress, skipped, request.keep)
                finally:
                    _clear_parts(jobs, root, publisher)
                record = write_outcomes(root, map(_facts, [*made, *outcomes]))
                write_listing(root, request.archive, plan.listed.facts)
        outcomes += others
        try:
            for outcome in made:
                for name, data in outcome.pictures.items():
                    root.write_bytes(f"pictures/{name}", data)
            if any(o.item for o in made):
                made = _told(made, complete_catalog(request.out, plan.mines))
        finally:
            seconds = time.perf_counter() - started
            if record:
                path = publish_report(request.out, record, moment, seconds, list(map(_facts, [*made, *outcomes])))
                progress(f"report {root.url}/{path}")
    return made + outcomes, seconds


def _share_out(
    request: RunRequest, planned: Sequence[Job], publisher: CatalogPublisher, claims: RunClaims
) -> tuple[list[tuple[Job, bool]], list[Outcome]]:
    """Jobs that are this run's, each with whether it is published already; outcomes of those that another run has, or
    that aren't tried again.

    A mine's track is claimed as a whole, since its years are finished together. What is claimed is settled again: the
    run that had it may just have published it.
    """

    lacking = set()
    if request.redrive:  # a product that was mended may look the same from outside
        lacking = {key for key, facts in newest_outcomes(open_store(request.out)).items() if facts.get("broken")}

    def settled(job: Job) -> tuple[Job, bool]:
        return settle(job, request.out, publisher, request.force or job.key in lacking)

    def stack(job: Job) -> str:
        return f"{job.mine.id}-t{job.track:03d}"

    with ThreadPoolExecutor(ASKED) as pool:  # a store answers many questions in hardly more time than one
        first = list(pool.map(settled, planned))
    known = {} if request.repeat or request.force else newest_outcomes(open_store(request.out))
    as_before = [job for job, done in first if not done and never_gave(job, known.get(job.key))]
    first = [(job, done) for job, done in first if job not in as_before]
    ours = {name: claims.claim(name) for name in dict.fromkeys(stack(job) for job, done in first if not done)}
    leased = [job for job, done in first if not done and not ours[stack(job)]]
    mine = [(job, done) if done else settled(job) for job, done in first if done or ours[stack(job)]]
    others = [Outcome(job.key, job.mine.id, job.year, "leased", LEASED) for job in leased]
    for job in as_before:
        others.append(Outcome(job.key, job.mine.id, job.year, "invalid", known[job.key]["reason"]))
    return mine, others


def _facts(outcome: Outcome) -> dict:
    """An outcome for the record, without its pictures."""
    facts = dataclasses.asdict(replace(outcome, pictures={}))
    del facts["pictures"]
    return facts


def _announcement(mines: Sequence[Mine], jobs: Sequence[Job], published: int, dates: int) -> str:
    who = mines[0].name or mines[0].id if len(mines) == 1 else f"{len(mines)} mines"
    tracks = ", ".join(str(track) for track in sorted({job.track for job in jobs}))
    return f"{who}: {len(jobs)} year(s) on track {tracks}, {published} published already, {dates} dates to read"


def _told(outcomes: Sequence[Outcome], assessed: Sequence[Assessment]) -> list[Outcome]:
    """The outcomes with a sentence about production and emissions where they are known."""
    texts = {}
    for a in assessed:
        if a.production:
            p, e = a.production, a.emission
            text = f"ore {p.tonnes / 1e6:.3g} Mt (95 %: {p.low / 1e6:.3g}-{p.high / 1e6:.3g}; {p.basis})"
            texts[a.mine_id, a.year] = text + (
                f", CO2 {e.tonnes / 1e3:.3g} kt ({e.confidence} confidence)" if e else ""
            )
    return [replace(o, events=(*o.events, texts[o.mine, o.year])) if (o.mine, o.year) in texts else o for o in outcomes]


def _clear_parts(jobs: Sequence[Job], root: Location, publisher: CatalogPublisher) -> None:
    """Remove what a publisher that was killed left under hidden names; what it had finished stays."""
    if not root.is_local:
        return
    for job in jobs:
        stem = Path(root.path, publisher.stem(job.mine, job.year, job.fingerprint))
        for left in stem.parent.glob(f".{stem.name}.*"):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _writable(out: str) -> Iterator[Location]:
    """The root, found writable before the work rather than after it; a local folder that stays empty is removed."""
    root = open_store(out)
    name = f".write-test-{os.getpid()}"
    root.write_bytes(name, b"")
    root.fs.rm(f"{root.path}/{name}")
    try:
        yield root
    finally:
        if root.is_local:
            with suppress(OSError):  # it holds something
                os.rmdir(root.path)


def run(request: RunRequest, say: Callable[[str], None], progress: Callable[[str], None], brief: bool = False) -> int:
    """Run and say what came of it; exit code 1 where a year, or a product in it, is missing.

    ``brief``: say nothing of what was published before.
    """
    started = time.perf_counter()
    try:
        outcomes, seconds = execute(request, progress)
    except BaseException:
        _tell_broken_off(request.out, time.perf_counter() - started)
        raise
    good = all(o.state in (*GOOD, "leased") and not o.broken for o in outcomes)
    counts = Counter(o.state for o in outcomes)
    counted = ", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "nothing to do"
    root = open_store(request.out)
    if root.exists():  # a folder that stayed empty is gone
        write_metrics(root, time.time(), seconds, outcomes, good)
    level = "info" if good else "error" if counts["failed"] else "warning"
    progress(Told(f"ended: {counted}", level, stage="end", seconds=round(seconds, 1), outcomes=dict(counts)))
    told = [o for o in outcomes if o.state != "skipped"] if brief else outcomes
    for line in summary(told, request.out, seconds):
        say(line)
    if brief:
        say(counted)
    return 0 if good else 1


def _tell_broken_off(out: str, seconds: float) -> None:
    """Have the metrics say that a run broke off, where a run has been before; nothing else is made of it."""
    with suppress(PitpulseError):  # what broke the run off is what is told
        root = open_store(out)
        if root.exists(METRICS):
            write_metrics(root, time.time(), seconds, None)


def summary(outcomes: Sequence[Outcome], out: str, seconds: float) -> list[str]:
    """What a person wants to know at the end."""
    lines = []
    for o in outcomes:
        if o.state not in GOOD:
            when = f" {o.year}" if o.year else ""  # a mine that never came to its years
            lines.append(f"{o.mine}{when}: {o.state}: {o.reason.strip()}")
            continue
        area, low, high = (v / 1e6 for v in o.area)
        lines.append(
            f"{o.mine} {o.year}: active {area:.2f} km² (95 %: {low:.2f}-{high:.2f}); "
            f"pairs {o.accepted} accepted, {len(o.rejected)} rejected"
            + ("; skipped, the same is published (--force makes it again)" if o.state == "skipped" else "")
        )
        lines += [f"  left out {name}: {why}" for name, why in o.broken]
        lines += [f"  rejected {a} / {b}: {why} (stable mean {mean:.2f})" for a, b, why, mean in o.rejected]
        lines += [f"  {text}" for text in o.events]
        lines.append(f"  item {o.item}")
    read, window = sum(o.bytes_read for o in outcomes), sum(o.window_bytes for o in outcomes)
    ratio = f" ({read / window:.2f} x the windows)" if window else ""
    lines.append(
        f"read {read / 1e6:.1f} MB{ratio} in {sum(o.requests for o in outcomes)} requests; {seconds:.1f} s in all"
    )
    if any(o.state in GOOD for o in outcomes):
        lines.append(f"catalog {out.rstrip('/')}/catalog/catalog.json")
        lines.append(f"pictures {out.rstrip('/')}/pictures/")
        lines.append(f"pages {out.rstrip('/')}/index.html (shown by: pitpulse serve {out})")
    return lines
