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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from shapely.geometry import shape

from ..archive import Coverage, Granule, Listed, is_api, list_archive, passes
from ..assess import Assessment
from ..claims import RunClaims
from ..clusters import ClusterSettings, open_client
from ..dem_source import DemRevisions, DemSource
from ..errors import BadInput, NoCoverage, PitpulseError
from ..mine_year import Job
from ..mines import read_mines, read_sites
from ..model import Mine
from ..orbits import RunOrbits, open_orbits, refusals_to_keep
from ..pairs import dates_of, find_pairs
from ..records import newest_outcomes, read_listing, write_listing, write_outcomes, write_refused_orbits
from ..run import Outcome, run_jobs, settle, skip
from ..settings import Settings
from ..storage import Location, open_store, public_url
from ..told import Told
from ..tracks import choose_track
from .metrics import PATH as METRICS
from .metrics import write_metrics
from .publisher import CatalogPublisher, complete_catalog, publish_report

GOOD = ("done", "skipped")
DEMS_ASKED = 8  # mines whose elevation model is asked for at a time
LEASED = "another run works on this mine; what it publishes is what this one would have"


@dataclass(frozen=True)
class RunRequest:
    """What to run; ``mine`` and ``only`` are those of `mines.read_mines`, ``sites`` the URL of a GeoJSON.

    ``force``: again, even where the same is published. ``repeat``: try again where the same inputs gave no product
    before. ``redrive``: only the mines that have such a year, one that failed, or one that lacks broken products.
    ``keep``: keep coherences, and use those that are kept, so that a new date costs one read (see `kept`).
    ``orbits``: where orbit files are; ``remake_orbits``: whether another orbit file makes another product.
    """

    archive: str
    mine: str
    dem: DemSource
    years: tuple[int, ...]
    out: str
    track: int | None = None
    settings: Settings = field(default_factory=Settings)
    cluster: ClusterSettings | None = None
    force: bool = False
    only: tuple[str, ...] = ()
    sites: str | None = None
    repeat: bool = True
    redrive: bool = False
    keep: bool = False
    orbits: str | None = None
    remake_orbits: bool = True


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run has before it: its mines, a job for each of their years, and outcomes that are known already."""

    mines: tuple[Mine, ...]
    jobs: tuple[Job, ...]
    outcomes: tuple[Outcome, ...]
    listed: Listed
    tracks: Mapping[str, str]  # why this track, by mine
    orbits: RunOrbits | None = None


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


def plan_jobs(request: RunRequest, mine: Mine, granules: Sequence[Granule]) -> list[Job]:
    """One job a year: its dates, those its pairs begin with, and the reference that all years share.

    The reference is the first acquisition of the track: later dates never change it.
    """
    tracks = passes(granules)
    track, _ = pick_track(request, mine, granules)
    if track not in tracks:
        raise NoCoverage(
            f"{request.archive}: no product of track {track}; found tracks {', '.join(map(str, sorted(tracks)))}"
        )
    dates = tracks[track]
    times = [date[0].start for date in dates]
    jobs, paired = [], set()
    for year in request.years:
        needed = dates_of(find_pairs(times, request.settings, year))
        if needed:
            paired.add(year)
        else:  # the job itself says so: the other years go on
            needed = [k for k, t in enumerate(times) if int(str(t)[:4]) == year] or [0]
        acquisitions = tuple(dates[k] for k in needed)
        words = mine, track, year, acquisitions, dates[0], request.dem, request.settings
        jobs.append(Job(*words, remake_orbits=request.remake_orbits))
    alone = {job.year: job.fingerprint for job in jobs if job.year in paired}
    return [_in_context(job, alone) if job.year in paired else job for job in jobs]


def pick_track(request: RunRequest, mine: Mine, granules: Sequence[Granule]) -> tuple[int, str]:
    """The track to look from, and a sentence that says why."""
    if request.track is not None:
        return request.track, f"track {request.track}, as asked."
    try:
        choice = choose_track(shape(mine.geometry), granules, request.years)
        return choice.track, choice.reason
    except NoCoverage as error:
        tracks = passes(granules)
        track = max(tracks, key=lambda t: (len(tracks[t]), -t))
        return track, f"track {track}, with {len(tracks[track])} dates the one with most, though {error}"


def _in_context(job: Job, alone: Mapping[int, str]) -> Job:
    """The job with the years on record, and fingerprints of all other years that its product depends on.

    The record is that of the years which are over, and the year itself: so a new date changes the newest year alone.
    Only where that would be the year by itself does the newest count, too.
    """
    over = {year for year in alone if year != max(alone)}
    record = over | {job.year} if over - {job.year} else set(alone)
    needed = set(alone) if job.settings.classify == "hsv" else {job.year - 2, job.year - 1}
    if job.settings.permanent == "record":
        needed |= record
    context = tuple(key for year, key in alone.items() if year != job.year and year in needed)
    return replace(job, context=context, record=tuple(sorted(record)), newest=job.year == max(alone))


def make_plan(request: RunRequest, progress: Callable[[str], None]) -> Plan:
    """Jobs of all mines from what the archive lists; nothing but manifests is read.

    Raises
    ------
    BadInput, NoCoverage, Unavailable
        For files that can't be used, and where the only mine is seen by no product.
    """
    mines, refused = read_mines(request.mine, request.only)
    if request.sites:
        mines = read_sites(request.sites, mines)
    root = open_store(request.out)
    if request.redrive:
        bad = {f["mine"] for f in newest_outcomes(root).values() if f["state"] not in GOOD or f.get("broken")}
        mines, refused = [mine for mine in mines if mine.id in bad], []
    if is_api(request.archive):
        listed, seen = _search(request, mines)
    else:
        listed = list_archive(request.archive, known=read_listing(root, request.archive))
        coverage = Coverage(listed.granules)
        seen = {mine.id: coverage.over(shape(mine.geometry).bounds) for mine in mines}
    for name, why in listed.dropped:
        progress(Told(f"{name}: left out: {why}", "warning", product=name))
    orbits = open_orbits(request.orbits, root, seen, progress) if request.orbits else None
    if orbits:
        seen = {mine: orbits.assign(granules) for mine, granules in seen.items()}
    jobs, outcomes = _plan_all(request, mines, seen, len(listed.granules))
    outcomes += [Outcome(name, name, 0, "invalid", reason) for name, reason in (*refused, *listed.broken)]
    tracks = {m.id: pick_track(request, m, seen[m.id])[1] for m in mines if seen[m.id]}
    return Plan(tuple(mines), tuple(jobs), tuple(outcomes), listed, tracks, orbits)


def _search(request: RunRequest, mines: Sequence[Mine]) -> tuple[Listed, dict[str, list[Granule]]]:
    """What a STAC API knows of each mine in the years asked for, and in the time before that their pairs begin in."""
    from ..sentinel1.search import search_granules  # its libraries take a while to import

    longest = max(high for _, high in request.settings.temporal_baselines)
    start = np.datetime64(f"{min(request.years)}-01-01") - np.timedelta64(longest, "D")
    stop = np.datetime64(f"{max(request.years)}-12-31T23:59:59")
    found = {m.id: search_granules(request.archive, shape(m.geometry).bounds, start, stop) for m in mines}
    parts = ("granules", "broken", "dropped")
    merged = (tuple(dict.fromkeys(x for one in found.values() for x in getattr(one, part))) for part in parts)
    return Listed(*merged), {mine: list(one.granules) for mine, one in found.items()}


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
            skipped = [skip(job, request.out, publisher) for job, done in settled if done]
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


def with_orbits(request: RunRequest, plan: Plan, publisher: CatalogPublisher, root: Location) -> Sequence[Job]:
    """The jobs with the vectors of their orbit files, those that are published already excepted.

    A file that can't be used is seen here: its products then have another orbit, and their jobs another fingerprint.
    """
    if plan.orbits is None:
        return plan.jobs
    jobs, before, known, read = plan.jobs, refusals_to_keep(plan.orbits.refused), {}, {}
    if not (request.repeat or request.force):
        known = newest_outcomes(root)
    while True:
        todo = [job for job in jobs if request.redrive or not settle(job, request.out, publisher, request.force)[1]]
        todo = [job for job in todo if not never_gave(job, known.get(job.key))]
        missing = {g for job in todo for date in (*job.dates, job.reference) for g in date if g.name not in read}
        if not missing:
            break
        read |= plan.orbits.read(sorted(missing))
        jobs = _with_granules(jobs, read)
    refused = refusals_to_keep(plan.orbits.refused)
    if refused != before:
        write_refused_orbits(root, request.orbits, refused)
    return jobs


def _with_granules(jobs: Sequence[Job], granules: Mapping[str, Granule]) -> list[Job]:
    """The jobs with other facts of their granules, and in the context that follows from it."""

    def swapped(date):
        return tuple(granules.get(g.name, g) for g in date)

    alone = [replace(j, dates=tuple(map(swapped, j.dates)), reference=swapped(j.reference), context=()) for j in jobs]
    stacks: dict[tuple, dict[int, str]] = {}
    for job in alone:
        if job.record:  # it has pairs
            stacks.setdefault((job.mine.id, job.track), {})[job.year] = job.fingerprint
    return [_in_context(j, stacks[j.mine.id, j.track]) if j.record else j for j in alone]


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

    first = [settled(job) for job in planned]
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


def never_gave(job: Job, facts: Mapping | None) -> bool:
    """True where the newest word on a job is that just these inputs don't allow a product."""
    return bool(facts) and facts["state"] == "invalid" and facts.get("fingerprint") == job.fingerprint


def _facts(outcome: Outcome) -> dict:
    """An outcome for the record, without its pictures."""
    facts = dataclasses.asdict(replace(outcome, pictures={}))
    del facts["pictures"]
    return facts


def _plan_all(
    request: RunRequest, mines: Sequence[Mine], seen: Mapping[str, Sequence[Granule]], products: int
) -> tuple[list[Job], list[Outcome]]:
    """Jobs of all mines, and an outcome for each mine that none can be planned for; a mine alone is refused aloud."""
    jobs, outcomes = [], []
    dems = _dems(request.dem, [mine for mine in mines if seen[mine.id]])
    for mine in mines:
        try:
            if not seen[mine.id]:
                raise NoCoverage(
                    f"{public_url(request.archive)}: none of {products} products sees the mine {mine.id}; "
                    f"expected products over {', '.join(f'{v:.3f}' for v in shape(mine.geometry).bounds)} (W, S, E, N)"
                )
            jobs += plan_jobs(replace(request, dem=dems[mine.id]()), mine, seen[mine.id])
        except PitpulseError as error:
            if len(mines) == 1:
                raise
            outcomes.append(Outcome(mine.id, mine.id, 0, "invalid", str(error)))
    return jobs, outcomes


def _dems(dem: DemSource, mines: Sequence[Mine]) -> dict[str, Callable[[], DemSource]]:
    """By mine, what gives its elevation model with the state it is in, or raises what the store says."""
    revisions = DemRevisions(dem)
    with ThreadPoolExecutor(DEMS_ASKED) as pool:
        asked = {mine.id: pool.submit(revisions.over, shape(mine.geometry).bounds) for mine in mines}
    return {name: future.result for name, future in asked.items()}


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
