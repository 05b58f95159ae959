"""``pitpulse run``: an archive and a mine in, published years out."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import shapely
import shapely.geometry

from ..archive import Granule, file_revision, list_granules, passes
from ..errors import BadInput, NoCoverage
from ..finish import Finished, Published
from ..mine_year import DemSource, Job
from ..model import Mine
from ..pairs import dates_of, find_pairs
from ..run import Outcome, clear_work, dask_client, run_jobs, settle, skip
from ..settings import Settings
from ..storage import Location, open_store

GOOD = ("done", "skipped")


@dataclass(frozen=True)
class RunRequest:
    """What to run; ``mine`` is the URL of a GeoJSON. ``force``: again, even where the same is published."""

    archive: str
    mine: str
    dem: DemSource
    years: tuple[int, ...]
    out: str
    track: int | None = None
    settings: Settings = field(default_factory=Settings)
    scheduler: str | None = None
    force: bool = False


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


def read_mine(url: str) -> Mine:
    """The mine of a GeoJSON: a Feature, or a FeatureCollection with one."""
    location = open_store(url)
    try:
        document = json.loads(location.read_bytes())
    except ValueError as error:
        raise BadInput(f"{url}: expected GeoJSON, found something else ({error})") from error
    features = document.get("features", [document]) if isinstance(document, dict) else None
    if not isinstance(features, list) or len(features) != 1 or not isinstance(features[0], dict):
        found = f"{len(features)} features" if isinstance(features, list) else type(features or document).__name__
        raise BadInput(f"{url}: expected one Feature with a Polygon or MultiPolygon in lon/lat, found {found}")
    feature = features[0]
    _check_polygon(url, feature.get("geometry"))
    facts = feature.get("properties") or {}
    if not isinstance(facts, dict):
        raise BadInput(f"{url}: expected properties as an object with id, name, country, commodity, found {facts!r}")
    name = str(facts.get("name") or facts.get("id") or location.name.rsplit(".", 1)[0])
    identity = re.sub(r"[^a-z0-9]+", "-", str(facts.get("id") or name).lower()).strip("-")
    if not identity:
        raise BadInput(f"{url}: expected a property id or name with letters or digits, found {facts!r}")
    return Mine(identity, name, feature["geometry"], str(facts.get("country") or ""), str(facts.get("commodity") or ""))


def _check_polygon(url: str, geometry) -> None:
    """Refuse what isn't a proper polygon in degrees."""
    kind = geometry.get("type") if isinstance(geometry, dict) else geometry
    if kind not in ("Polygon", "MultiPolygon"):
        raise BadInput(f"{url}: expected a Feature with a Polygon or MultiPolygon in lon/lat, found {kind!r}")
    try:
        polygon = shapely.geometry.shape(geometry)
    except (ValueError, TypeError, LookupError, AttributeError, shapely.errors.ShapelyError) as error:
        raise BadInput(f"{url}: expected the coordinates of a {kind}, found something else ({error})") from error
    if polygon.is_empty:
        raise BadInput(f"{url}: expected the coordinates of a {kind}, found none")
    west, south, east, north = polygon.bounds
    if not (-90.0 <= south <= north <= 90.0 and -360.0 <= west <= east <= 360.0):
        raise BadInput(f"{url}: expected longitude, latitude in degrees; are they swapped, or in a projection?")
    if not polygon.is_valid:
        raise BadInput(
            f"{url}: expected a {kind} that doesn't cross itself, found: {shapely.is_valid_reason(polygon)}; repair it"
        )


def plan_jobs(request: RunRequest, mine: Mine, granules: Sequence[Granule]) -> list[Job]:
    """One job a year: its dates, those its pairs begin with, and the reference that all years share.

    The reference is the first acquisition of the track: later dates never change it.
    """
    tracks = passes(granules)
    track = request.track if request.track is not None else max(tracks, key=lambda t: (len(tracks[t]), -t))
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
        jobs.append(Job(mine, track, year, acquisitions, dates[0], request.dem, request.settings))
    alone = {job.year: job.fingerprint for job in jobs if job.year in paired}
    return [
        replace(job, context=tuple(key for year, key in alone.items() if year != job.year))
        if job.year in paired
        else job
        for job in jobs
    ]


class CatalogPublisher:
    """The catalog for the runner, which knows it as a `finish.Publisher`."""

    def published(self, mine: Mine, year: int, key: str, root: str, options: dict) -> bool:
        """See `finish.Publisher`."""
        from catalog.publish import already_published

        return already_published(root, mine.id, year, key, **options) is not None

    def show(self, mine: Mine, year: int, key: str, root: str, options: dict) -> Published:
        """See `finish.Publisher`."""
        from catalog.publish import show

        item = show(root, mine.id, year, key, **options)
        values = (item.properties["pitpulse:active_area"], *item.properties["pitpulse:active_area_interval"])
        area = tuple(np.nan if v is None else v for v in values)
        return Published(item.get_self_href(), item.assets["cube"].get_absolute_href(), area)

    def publish(self, mine: Mine, finished: Finished, root: str, options: dict) -> str:
        """See `finish.Publisher`."""
        from catalog.publish import Pictures, publish

        pictures = Pictures(finished.thumbnail, finished.rgba, finished.rgba_years)
        return publish(mine, finished.cube, finished.area, pictures, root, **options).get_self_href()


def execute(request: RunRequest, progress: Callable[[str], None]) -> tuple[list[Outcome], float]:
    """Plan, run and publish; the outcomes and the seconds it took. Pictures go under ``pictures/`` of the root."""
    started = time.perf_counter()
    mine = read_mine(request.mine)
    granules = list_granules(request.archive)
    dem = replace(request.dem, revision=" ".join(file_revision(url) for url in request.dem.urls))
    publisher = CatalogPublisher()
    with _writable(request.out) as root:
        settled = [
            settle(job, request.out, publisher, request.force)
            for job in plan_jobs(replace(request, dem=dem), mine, granules)
        ]
        jobs = [job for job, _ in settled]
        outcomes = [skip(job, request.out, publisher) for job, done in settled if done]
        dates = sum(len(job.dates) for job, done in settled if not done)
        progress(
            f"{mine.name}: {len(jobs)} year(s) on track {jobs[0].track}, {len(outcomes)} published already, "
            f"{dates} dates to read"
        )
        if dates:
            try:
                with dask_client(request.scheduler, len(jobs) - len(outcomes)) as client:
                    outcomes = run_jobs(jobs, request.out, publisher, client, progress, outcomes)
            finally:
                clear_work(jobs, request.out)
                _clear_parts(jobs, root)
        for outcome in outcomes:
            for name, data in outcome.pictures.items():
                root.write_bytes(f"pictures/{name}", data)
        if any(o.item for o in outcomes):
            from catalog.publish import rebuild_catalog

            rebuild_catalog(request.out)
    return outcomes, time.perf_counter() - started


def _clear_parts(jobs: Sequence[Job], root: Location) -> None:
    """Remove what a publisher that was killed left under hidden names; what it had finished stays."""
    from catalog.publish import product_stem

    if not root.is_local:
        return
    for job in jobs:
        stem = Path(root.path, product_stem(job.mine.id, job.year, job.fingerprint))
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


def run(request: RunRequest, say: Callable[[str], None], progress: Callable[[str], None]) -> int:
    """Run and say what came of it; exit code 1 where a year is missing."""
    outcomes, seconds = execute(request, progress)
    for line in summary(outcomes, request.out, seconds):
        say(line)
    return 0 if all(o.state in GOOD for o in outcomes) else 1


def summary(outcomes: Sequence[Outcome], out: str, seconds: float) -> list[str]:
    """What a person wants to know at the end."""
    lines = []
    for o in outcomes:
        if o.state not in GOOD:
            lines.append(f"{o.mine} {o.year}: {o.state}: {o.reason.strip()}")
            continue
        area, low, high = (v / 1e6 for v in o.area)
        lines.append(
            f"{o.mine} {o.year}: active {area:.2f} km² (95 %: {low:.2f}-{high:.2f}); "
            f"pairs {o.accepted} accepted, {len(o.rejected)} rejected"
            + ("; skipped, the same is published (--force makes it again)" if o.state == "skipped" else "")
        )
        lines += [f"  rejected {a} / {b}: {why} (stable mean {mean:.2f})" for a, b, why, mean in o.rejected]
        lines.append(f"  item {o.item}")
    read, window = sum(o.bytes_read for o in outcomes), sum(o.window_bytes for o in outcomes)
    ratio = f" ({read / window:.2f} x the windows)" if window else ""
    lines.append(
        f"read {read / 1e6:.1f} MB{ratio} in {sum(o.requests for o in outcomes)} requests; {seconds:.1f} s in all"
    )
    if any(o.state in GOOD for o in outcomes):
        lines.append(f"catalog {out.rstrip('/')}/catalog/catalog.json")
        lines.append(f"pictures {out.rstrip('/')}/pictures/")
    return lines
