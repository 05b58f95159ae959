"""``pitpulse pictures``: everything that a person would rather look at, from published items or cubes."""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import xarray as xr

from ..cube import grid_of, open_cube
from ..errors import BadInput, PitpulseError, Unavailable
from ..mines import read_mines, read_sites
from ..model import Mine
from ..pictures.album import PAIR_COLUMNS, Album, area_of, display, mine_of, places, year_of
from ..pictures.charts import YearArea, YearProduction
from ..storage import open_store

LAYERS = ("coherence", "ndai", "activity", "mine", "stable_point", "incidence_angle")
NEEDED = (*LAYERS, *PAIR_COLUMNS, "temporal_baseline", "perpendicular_baseline")
FACTS = ("mine_id", "year", "track", "looks", "equivalent_looks")


@dataclass(frozen=True)
class PicturesRequest:
    """Which items (URLs of their JSON) or cubes to draw, and where to.

    ``mines``: a GeoJSON or an inventory with outlines and reported production; without one the outline follows the
    cube's own pixels. ``sites``: a GeoJSON of named polygons; without one the series show connected active areas.
    """

    sources: tuple[str, ...]
    out: str
    mines: str = ""
    sites: str = ""


@dataclass(frozen=True)
class Drawn:
    """Paths of what was drawn, below the folder asked for, and a line for each thing that failed."""

    paths: tuple[str, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Source:
    """A cube that was opened, and what its item says of it (nothing, where it was given without one)."""

    url: str
    cube: xr.Dataset
    properties: dict


def pictures(request: PicturesRequest, say: Callable[[str], None], progress: Callable[[str], None]) -> int:
    """Draw and say what came of it; 1 where something failed."""
    drawn = draw(request, progress)
    for line in drawn.failed:
        say(f"failed: {line}")
    say(f"{len(drawn.paths)} pictures in {request.out}")
    return 1 if drawn.failed or not drawn.paths else 0


def draw(request: PicturesRequest, progress: Callable[[str], None] = lambda _: None) -> Drawn:
    """Draw everything that the sources allow; what fails doesn't stop the rest.

    Raises
    ------
    BadInput
        No source, or ``mines`` or ``sites`` can't be read.
    Unavailable
        The folder can't be written.
    """
    if not request.sources:
        raise BadInput("expected at least one item or cube to draw, instead got none")
    out = open_store(request.out)
    known = {mine.id: mine for mine in read_mines(request.mines)[0]} if request.mines else {}
    sources, failed = _opened(request.sources)
    mines = {identity: known.get(identity) or mine_of(first.cube) for identity, first in _first(sources).items()}
    if request.sites and mines:
        mines = {mine.id: mine for mine in read_sites(request.sites, list(mines.values()))}
    paths: list[str] = []
    for identity, mine in mines.items():
        own = [s for s in sources if s.cube.attrs["mine_id"] == identity]
        try:
            album = _album(mine, own)
        except PitpulseError as error:
            failed.append(f"{identity}: {error}")
            continue
        for what, make in album.entries():
            progress(f"{identity}: {what}")
            try:
                made = make()
            except PitpulseError as error:
                failed.append(f"{identity}: {what}: {error}")
                continue
            for name, data in made.items():
                out.write_bytes(name, data)
                paths.append(name)
    return Drawn(tuple(paths), tuple(failed))


def open_source(url: str) -> Source:
    """The cube of an item, or a cube.

    Raises
    ------
    BadInput
        The document is no item with a cube, or the cube lacks what pictures need.
    Unavailable
        Nothing can be read there.
    """
    location, properties, cube_url = open_store(url), {}, url
    if not location.is_folder():
        document = _document(url)
        href = ((document.get("assets") or {}).get("cube") or {}).get("href")
        if not isinstance(href, str):
            raise BadInput(f"{url}: expected an item with an asset 'cube', found a {document.get('type')!r} without")
        properties, cube_url = document.get("properties") or {}, beside(url, href)
    cube = open_cube(cube_url)
    missing = [name for name in NEEDED if name not in cube.variables]
    missing += [name for name in FACTS if not cube.attrs.get(name)]
    if missing:
        raise BadInput(f"{cube_url}: expected a finished cube, this one lacks {', '.join(missing)}")
    grid_of(cube)
    return Source(url, cube, properties)


def beside(url: str, href: str) -> str:
    """The URL that a document at ``url`` means by ``href``."""
    if "://" in href or href.startswith("/"):
        return href
    scheme, mark, path = url.rpartition("://")
    return scheme + mark + posixpath.normpath(posixpath.join(posixpath.dirname(path), href))


def _document(url: str) -> dict:
    try:
        document = json.loads(open_store(url).read_bytes())
    except ValueError as error:
        raise BadInput(f"{url}: expected a STAC item in JSON or a cube, found something else ({error})") from error
    if not isinstance(document, dict):
        raise BadInput(f"{url}: expected a STAC item in JSON, found a {type(document).__name__}")
    return document


def _opened(urls: Sequence[str]) -> tuple[list[Source], list[str]]:
    """Sources by mine and year, each year once, and what failed."""
    sources: dict[tuple[str, int], Source] = {}
    failed = []
    for url in urls:
        try:
            source = open_source(url)
        except PitpulseError as error:
            failed.append(str(error))
            continue
        key = (source.cube.attrs["mine_id"], year_of(source.cube))
        if key in sources:
            failed.append(f"{url}: {key[0]} {key[1]} is given already, by {sources[key].url}; draw it apart")
        else:
            sources[key] = source
    return [sources[key] for key in sorted(sources)], failed


def _first(sources: Sequence[Source]) -> dict[str, Source]:
    return {s.cube.attrs["mine_id"]: s for s in reversed(sources)}


def _album(mine: Mine, sources: Sequence[Source]) -> Album:
    cubes = [_loaded(source) for source in sources]
    album = Album(mine, cubes)  # checks that the cubes go together before masks of one are laid on another
    return replace(
        album,
        sites=places(mine, cubes, display(cubes[-1])),
        areas=[_area(source) for source in sources],
        production=[p for p in map(_production, sources) if p],
    )


def _loaded(source: Source) -> xr.Dataset:
    """The cube with everything but the coherence in memory."""
    try:
        rest = source.cube.drop_vars("coherence").load()
    except (OSError, ValueError, RuntimeError) as error:
        raise Unavailable(f"{source.url}: can't read the cube ({error}); is it complete?") from error
    return rest.assign(coherence=source.cube["coherence"])


def _area(source: Source) -> YearArea:
    """Active area as the item states it, else from the classes."""
    p = source.properties
    area, interval = p.get("pitpulse:active_area"), p.get("pitpulse:active_area_interval") or (None, None)
    if area is None:
        return area_of(source.cube)
    low, high = (math.nan if v is None else float(v) for v in interval)
    return YearArea(year_of(source.cube), float(area), low, high, p.get("pitpulse:active_pixels"))


def _production(source: Source) -> YearProduction | None:
    """Estimated production as the item states it."""
    p = source.properties
    tonnes, interval = p.get("pitpulse:production"), p.get("pitpulse:production_interval") or (None, None)
    if tonnes is None:
        return None
    low, high = (math.nan if v is None else float(v) for v in interval)
    return YearProduction(year_of(source.cube), float(tonnes), low, high)
