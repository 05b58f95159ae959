"""``pitpulse plan``: what a run would do and why, with what it would cost; and the file that a refresh is told by."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from shapely.geometry import shape

from ..clusters import read_cluster
from ..cost import backfill
from ..cube import SOFTWARE
from ..documents import read_json
from ..errors import BadInput
from ..grid import utm_grid
from ..mine_year import Job
from ..orbits import ANNOTATION, count_kinds, kind_of
from ..plan import RunRequest, make_plan, never_gave
from ..records import newest_outcomes
from ..run import settle
from ..storage import open_store
from .publisher import CatalogPublisher, listed_attributes

TEXTS = ("archive", "mine", "sites", "dem_datum", "geoid", "years", "out", "polarization", "scheduler", "orbits")
CONFIGURED = (*TEXTS, "only", "dem", "track", "cluster", "workers", "remake_orbits")


def plan(request: RunRequest, as_json: bool, say: Callable[[str], None], progress: Callable[[str], None]) -> int:
    """Print what `run` would do; exit code 1 where a mine or a product can't be used, as there."""
    made = make_plan(request, progress)
    publisher, known = CatalogPublisher(), newest_outcomes(open_store(request.out))
    rows = []
    for job in made.jobs:
        settled, done = settle(job, request.out, publisher, request.force)
        before = never_gave(settled, known.get(job.key)) and not request.repeat and not request.force
        action = "skip" if done or before else "make"
        why = "published" if done else "known to give no product" if before else reason(settled, request)
        dates = 0 if action == "skip" else len(job.dates)
        track = made.tracks[job.mine.id]
        orbits = count_kinds(g for date in (*job.dates, job.reference) for g in date)
        facts = {"track": track, "orbits": orbits, "action": action, "why": why, "dates": dates}
        rows.append({"key": job.key, **facts, **expected(job, dates)})
    nothing = {"dates": 0, "bytes": 0, "seconds": 0.0}
    rows += [{"key": o.key, "action": "leave", "why": o.reason, **nothing} for o in made.outcomes]
    for line in [json.dumps({"jobs": rows}, indent=1)] if as_json else _lines(rows):
        say(line)
    return 1 if made.outcomes else 0


def reason(job: Job, request: RunRequest) -> str:
    """Why a job has to be done, compared with what the catalog lists of its mine and year."""
    before = listed_attributes(request.out, job.mine.id, job.year)
    if before is None:
        return "not published yet"
    if job.force:
        return "forced"
    if before.get("software") != SOFTWARE:
        return f"new code: {before.get('software')} made the one that is listed"
    if before.get("settings") != json.dumps(job.settings.as_dict(), sort_keys=True):
        return "other settings"
    if int(before.get("track", -1)) != job.track:
        return f"another track, {job.track} instead of {before.get('track')}"
    old = dict(word.rsplit(":", 1) for word in str(before.get("source_revisions", "")).split())
    new = {g.name: g.revision for date in (*job.dates, job.reference) for g in date}
    more, gone = new.keys() - old.keys(), old.keys() - new.keys()
    if more or gone:
        counted = ((more, "new product(s)"), (gone, "product(s) gone"))
        return ", ".join(f"{len(names)} {what}" for names, what in counted if names)
    changed = sorted(name for name in new if new[name] != old[name])
    if changed:
        return f"new revision of {changed[0]}" + (f" and {len(changed) - 1} more" if len(changed) > 1 else "")
    if words := _other_orbits(job, before):
        return words
    if before.get("dem") != job.dem.name:
        return "another elevation model"
    return "polygon, sites or elevation model changed, or another year of the mine did"


def _other_orbits(job: Job, before: Mapping) -> str:
    """Which orbits count as others than those of the listed product; empty where none does."""
    old = dict(word.rsplit(":", 1) for word in str(before.get("source_orbits", "")).split())
    granules = {g.name: g for date in (*job.dates, job.reference) for g in date}
    made = {name: replace(g, orbits=_files(old.get(name, ""))) for name, g in granules.items()}
    others = sorted(n for n, g in granules.items() if job.orbit_word(g) != job.orbit_word(made[n]))
    if not others:
        return ""
    first = others[0]
    change = f"{kind_of(granules[first])} instead of {kind_of(made[first])}"
    if kind_of(granules[first]) == kind_of(made[first]):
        change = f"another {kind_of(granules[first])} file"
    return f"other orbits of {len(others)} product(s): {change} for {first}"


def _files(word: str) -> tuple[str, ...]:
    return tuple(name for name in word.split("+") if name and name != ANNOTATION)


def expected(job: Job, dates: int) -> dict[str, float]:
    """Bytes to read and CPU seconds of a job, from measured figures; a factor of two may be missing."""
    grid = utm_grid(shape(job.mine.geometry).bounds, job.settings.spacing, job.settings.margin)
    area = float(np.prod(grid.shape)) * job.settings.spacing**2
    made = backfill(1, 1, dates, area)
    return {"bytes": round(made.read), "seconds": round(made.cpu if dates else 0.0, 1)}


def _lines(rows: Sequence[Mapping]) -> list[str]:
    lines = []
    for row in rows:
        cost = f"; {row['dates']} dates, about {row['bytes'] / 1e6:.0f} MB, {row['seconds']:.0f} CPU s"
        lines.append(f"{row['key']}: {row['action']}: {row['why']}{cost if row['dates'] else ''}")
    lines += dict.fromkeys(f"{row['key'].rsplit('-', 1)[0]}: {row['track']}" for row in rows if "track" in row)
    doing = [row for row in rows if row["action"] == "make"]
    mega, seconds = sum(row["bytes"] for row in doing) / 1e6, sum(row["seconds"] for row in doing)
    dates = sum(row["dates"] for row in doing)
    lines.append(f"{len(doing)} of {len(rows)} to make: {dates} dates, about {mega:.0f} MB, {seconds:.0f} CPU s")
    return lines


def read_config(url: str) -> dict:
    """What a refresh is told by: a JSON object with the options of ``pitpulse run`` by name, and ``settings``.

    Raises
    ------
    BadInput
        It is something else, or names an option that there isn't.
    """
    config = read_json(url)
    if not isinstance(config, dict):
        raise BadInput(f"{url}: expected an object with {', '.join(CONFIGURED)}, settings; found another kind")
    strange = sorted(set(config) - {*CONFIGURED, "settings"})
    if strange:
        raise BadInput(f"{url}: expected the names {', '.join(CONFIGURED)}, settings; found {strange[0]!r}")
    if not isinstance(config.get("settings", {}), dict):
        raise BadInput(f"{url}: settings must be an object of names and values, instead got {config['settings']!r}")
    for name in ("dem", "only"):
        if isinstance(config.get(name), str):
            config[name] = [config[name]]
    for name in TEXTS:
        if name in config and not isinstance(config[name], str):
            raise BadInput(f"{url}: {name} must be text, instead got {config[name]!r}")
    for name in ("dem", "only"):
        if not (isinstance(config.get(name, []), list) and all(isinstance(w, str) for w in config.get(name, []))):
            raise BadInput(f"{url}: {name} must be a list of texts, instead got {config[name]!r}")
    for name in ("track", "workers"):
        if not isinstance(config.get(name, 1), int):
            raise BadInput(f"{url}: {name} must be a whole number, instead got {config[name]!r}")
    if "cluster" in config:
        read_cluster(config["cluster"])
    if not isinstance(config.get("remake_orbits", True), bool):
        raise BadInput(f"{url}: remake_orbits must be true or false, instead got {config['remake_orbits']!r}")
    return config
