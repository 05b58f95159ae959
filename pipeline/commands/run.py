"""``pitpulse run``: an archive and a mine in, published years out."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..archive import Granule, list_granules, passes
from ..errors import BadInput, NoCoverage
from ..finish import Finished
from ..mine_year import DemSource, Job
from ..model import Mine
from ..pairs import dates_of, find_pairs
from ..run import Outcome, dask_client, run_jobs
from ..settings import Settings
from ..storage import open_store


@dataclass(frozen=True)
class RunRequest:
    """What to run; ``mine`` is the URL of a GeoJSON."""

    archive: str
    mine: str
    dem: DemSource
    years: tuple[int, ...]
    out: str
    track: int | None = None
    settings: Settings = Settings()
    scheduler: str | None = None


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
        number = isinstance(default, int | float)
        if number != (isinstance(value, int | float) and not isinstance(value, bool)) or (
            isinstance(default, tuple) != isinstance(value, list)
        ):
            raise BadInput(f"--set {name}: expected a value like {json.dumps(default)}, instead got {text!r}")
        values[name] = tuple(tuple(v) if isinstance(v, list) else v for v in value) if isinstance(value, list) else value
    try:
        return Settings(**values)
    except (TypeError, ValueError) as error:
        raise BadInput(f"--set: {error}") from error


def read_mine(url: str) -> Mine:
    """The mine of a GeoJSON: a Feature, or a FeatureCollection with one."""
    location = open_store(url)
    try:
        document = json.loads(location.read_bytes())
    except ValueError as error:
        raise BadInput(f"{url}: expected GeoJSON, found something else ({error})") from error
    features = document.get("features", [document]) if isinstance(document, dict) else []
    if len(features) != 1 or (features[0].get("geometry") or {}).get("type") not in ("Polygon", "MultiPolygon"):
        raise BadInput(f"{url}: expected one Feature with a Polygon or MultiPolygon in lon/lat, found {len(features)} features")
    feature = features[0]
    facts = feature.get("properties") or {}
    name = str(facts.get("name") or facts.get("id") or location.name.rsplit(".", 1)[0])
    identity = re.sub(r"[^a-z0-9]+", "-", str(facts.get("id") or name).lower()).strip("-")
    if not identity:
        raise BadInput(f"{url}: expected a property id or name with letters or digits, found {facts!r}")
    corners = np.array(_positions(feature["geometry"]["coordinates"]))
    if corners.size == 0 or np.abs(corners[:, 1]).max() > 90.0 or np.abs(corners[:, 0]).max() > 360.0:
        raise BadInput(f"{url}: expected longitude, latitude in degrees; are they swapped, or in a projection?")
    return Mine(identity, name, feature["geometry"], str(facts.get("country") or ""), str(facts.get("commodity") or ""))


def _positions(coordinates):
    """All [lon, lat] of nested GeoJSON coordinates."""
    if coordinates and isinstance(coordinates[0], int | float):
        return [coordinates[:2]]
    return [position for part in coordinates for position in _positions(part)]


def plan_jobs(request: RunRequest, mine: Mine, granules: Sequence[Granule]) -> list[Job]:
    """One job a year: its dates, those its pairs begin with, and the reference that all years share.

    The reference is the first acquisition of the track: later dates never change it.
    """
    tracks = passes(granules)
    track = request.track if request.track is not None else max(tracks, key=lambda t: (len(tracks[t]), -t))
    if track not in tracks:
        raise NoCoverage(f"{request.archive}: no product of track {track}; found tracks {', '.join(map(str, sorted(tracks)))}")
    dates = tracks[track]
    times = [date[0].start for date in dates]
    jobs = []
    for year in request.years:
        needed = dates_of(find_pairs(times, request.settings, year))
        if not needed:  # the job itself says so: the other years go on
            needed = [k for k, t in enumerate(times) if int(str(t)[:4]) == year] or [0]
        urls = tuple(tuple(granule.url for granule in dates[k]) for k in needed)
        reference = tuple(granule.url for granule in dates[0])
        jobs.append(Job(mine, track, year, urls, reference, request.dem, request.settings, request.years))
    return jobs


def publish_finished(mine: Mine, finished: Finished, root: str, options: dict) -> str:
    """The publisher that the runner calls on its workers; returns the item's address."""
    from catalog.publish import Pictures, publish
    from catalog.stac import ActiveArea

    area = ActiveArea(finished.area.area, finished.area.low, finished.area.high)
    pictures = Pictures(finished.thumbnail, finished.rgba, finished.rgba_years)
    return publish(mine, finished.cube, area, pictures, root, **options).get_self_href()


def execute(request: RunRequest, progress: Callable[[str], None]) -> tuple[list[Outcome], float]:
    """Plan, run and publish; the outcomes and the seconds it took. Pictures are written under ``pictures/`` of the root."""
    started = time.perf_counter()
    mine = read_mine(request.mine)
    _check_writable(request.out)
    jobs = plan_jobs(request, mine, list_granules(request.archive))
    progress(f"{mine.name}: {len(jobs)} year(s) on track {jobs[0].track}, {sum(len(j.dates) for j in jobs)} dates to read")
    with dask_client(request.scheduler, len(jobs)) as client:
        outcomes = run_jobs(jobs, request.out, publish_finished, client, progress)
    root = open_store(request.out)
    for outcome in outcomes:
        for name, data in outcome.pictures.items():
            root.write_bytes(f"pictures/{name}", data)
    if any(o.item for o in outcomes):
        from catalog.publish import rebuild_catalog

        rebuild_catalog(request.out)
    return outcomes, time.perf_counter() - started


def _check_writable(out: str) -> None:
    """Fail before the work rather than after it."""
    root = open_store(out)
    name = f"work/.write-test-{os.getpid()}"
    root.write_bytes(name, b"")
    root.fs.rm(f"{root.path}/{name}")


def run(request: RunRequest, say: Callable[[str], None], progress: Callable[[str], None]) -> int:
    """Run and say what came of it; exit code 1 where a year is missing."""
    outcomes, seconds = execute(request, progress)
    for line in summary(outcomes, request.out, seconds):
        say(line)
    return 0 if all(o.state == "done" for o in outcomes) else 1


def summary(outcomes: Sequence[Outcome], out: str, seconds: float) -> list[str]:
    """What a person wants to know at the end."""
    lines = []
    for o in outcomes:
        if o.state != "done":
            lines.append(f"{o.mine} {o.year}: {o.state}: {o.reason.strip()}")
            continue
        area, low, high = (v / 1e6 for v in o.area)
        lines.append(
            f"{o.mine} {o.year}: active {area:.2f} km² (95 %: {low:.2f}-{high:.2f}); "
            f"pairs {o.accepted} accepted, {len(o.rejected)} rejected"
        )
        lines += [f"  rejected {a} / {b}: {why} (stable mean {mean:.2f})" for a, b, why, mean in o.rejected]
        lines.append(f"  item {o.item}")
    read, window = sum(o.bytes_read for o in outcomes), sum(o.window_bytes for o in outcomes)
    ratio = f" ({read / window:.2f} x the windows)" if window else ""
    lines.append(f"read {read / 1e6:.1f} MB{ratio} in {sum(o.requests for o in outcomes)} requests; {seconds:.1f} s in all")
    if any(o.state == "done" for o in outcomes):
        lines.append(f"catalog {out.rstrip('/')}/catalog/catalog.json")
        lines.append(f"pictures {out.rstrip('/')}/pictures/")
    return lines
