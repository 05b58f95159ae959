"""What a run has before it: mines and what the archive has of them, as one job a mine, track and year.

Nothing but manifests and what is published is read here, and nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from shapely.geometry import shape

from .archive import Coverage, Granule, Listed, is_api, list_archive, passes
from .clusters import ClusterSettings
from .dem_source import DemRevisions, DemSource
from .errors import NoCoverage, PitpulseError
from .finish import Publisher
from .mine_year import Job
from .mines import read_mines, read_sites
from .model import Mine
from .orbits import RunOrbits, open_orbits, refusals_to_keep
from .pairs import dates_of, find_pairs
from .records import newest_outcomes, read_listing, write_refused_orbits
from .run import GOOD, Outcome, settle
from .settings import Settings
from .storage import Location, open_store, public_url
from .told import Told
from .tracks import choose_track

DEMS_ASKED = 8  # mines whose elevation model is asked for at a time


@dataclass(frozen=True)
class RunRequest:
    """What to run; ``mine`` and ``only`` are those of `mines.read_mines`, ``sites`` the URL of a GeoJSON.

    ``force``: again, even where the same is published. ``repeat``: try again where the same inputs gave no product
    before. ``redrive``: only the mines that have such a year, one that failed, or one that lacks broken products.
    ``keep``: keep coherences, and use those that are kept, so that a new date costs one read (see `kept`).
    ``tell_pairs``: say of the pairs of years that are published already, too. ``orbits``: where orbit files are;
    ``remake_orbits``: whether another orbit file makes another product.
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
    tell_pairs: bool = True
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
    jobs, outcomes, tracks = _plan_all(request, mines, seen, len(listed.granules))
    outcomes += [Outcome(name, name, 0, "invalid", reason) for name, reason in (*refused, *listed.broken)]
    return Plan(tuple(mines), tuple(jobs), tuple(outcomes), listed, tracks, orbits)


def _search(request: RunRequest, mines: Sequence[Mine]) -> tuple[Listed, dict[str, list[Granule]]]:
    """What a STAC API knows of each mine in the years asked for, and in the time before that their pairs begin in."""
    from .sentinel1.search import search_granules  # its libraries take a while to import

    longest = max(high for _, high in request.settings.temporal_baselines)
    start = np.datetime64(f"{min(request.years)}-01-01") - np.timedelta64(longest, "D")
    stop = np.datetime64(f"{max(request.years)}-12-31T23:59:59")
    found = {m.id: search_granules(request.archive, shape(m.geometry).bounds, start, stop) for m in mines}
    parts = ("granules", "broken", "dropped")
    merged = (tuple(dict.fromkeys(x for one in found.values() for x in getattr(one, part))) for part in parts)
    return Listed(*merged), {mine: list(one.granules) for mine, one in found.items()}


def _plan_all(
    request: RunRequest, mines: Sequence[Mine], seen: Mapping[str, Sequence[Granule]], products: int
) -> tuple[list[Job], list[Outcome], dict[str, str]]:
    """Jobs of all mines; an outcome for each mine that none can be planned for (a mine alone is refused aloud); and by
    mine why it is looked at from this track."""
    jobs, outcomes, tracks = [], [], {}
    dems = _dems(request.dem, [mine for mine in mines if seen[mine.id]])
    for mine in mines:
        try:
            if not seen[mine.id]:
                raise NoCoverage(
                    f"{public_url(request.archive)}: none of {products} products sees the mine {mine.id}; "
                    f"expected products over {', '.join(f'{v:.3f}' for v in shape(mine.geometry).bounds)} (W, S, E, N)"
                )
            track, tracks[mine.id] = pick_track(request, mine, seen[mine.id])
            jobs += plan_jobs(replace(request, dem=dems[mine.id](), track=track), mine, seen[mine.id])
        except PitpulseError as error:
            if len(mines) == 1:
                raise
            outcomes.append(Outcome(mine.id, mine.id, 0, "invalid", str(error)))
    return jobs, outcomes, tracks


def _dems(dem: DemSource, mines: Sequence[Mine]) -> dict[str, Callable[[], DemSource]]:
    """By mine, what gives its elevation model with the state it is in, or raises what the store says."""
    revisions = DemRevisions(dem)
    with ThreadPoolExecutor(DEMS_ASKED) as pool:
        asked = {mine.id: pool.submit(revisions.over, shape(mine.geometry).bounds) for mine in mines}
    return {name: future.result for name, future in asked.items()}


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


def with_orbits(request: RunRequest, plan: Plan, publisher: Publisher, root: Location) -> Sequence[Job]:
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


def never_gave(job: Job, facts: Mapping | None) -> bool:
    """True where the newest word on a job is that just these inputs don't allow a product."""
    return bool(facts) and facts["state"] == "invalid" and facts.get("fingerprint") == job.fingerprint
