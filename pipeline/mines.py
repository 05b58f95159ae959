"""The mines of a run: from a GeoJSON, an inventory or the built-in one; and the places in them to be watched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import shapely
import shapely.geometry

from .documents import read_json
from .errors import BadInput, brief
from .inventory.own import read_factors, read_figures
from .limits import IDENTITY, VERTICES
from .model import Mine
from .storage import open_store

# What coordinates that are none make shapely raise: letters, too few, nested too deep, integers too long for a float.
_UNSHAPELY = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)
_WANTED = "expected a Feature with a Polygon or MultiPolygon in lon/lat"


def read_mines(source: str, only: Sequence[str] = ()) -> tuple[list[Mine], list[tuple[str, str]]]:
    """Mines of a file, and those that it names but that can't be used.

    Parameters
    ----------
    source : str
        Path or URL of a GeoJSON (one Feature, or a FeatureCollection) or of an inventory (``.parquet``), or the id of
        a mine of the built-in inventory.
    only : sequence of str
        Ids of the mines that are wanted; all where it is empty.

    Returns
    -------
    mines : list of Mine
        Each with a polygon and an id of its own.
    refused : list of (str, str)
        Name and reason of the features that can't be used, where others can.

    Raises
    ------
    BadInput
        For a file that is something else, one whose only feature can't be used, and for ids that aren't there.
    """
    refused: list[tuple[str, str]] = []
    if source.lower().endswith((".parquet", ".geoparquet")):
        from .inventory import read_inventory  # geopandas costs a second that a GeoJSON doesn't need

        mines = list(read_inventory(source))
    elif re.fullmatch(r"[a-z0-9-]+", source) and not open_store(source).exists():
        mines = [_builtin(source)]
    else:
        mines, refused = _from_geojson(source)
    if only:
        missing = sorted(set(only) - {mine.id for mine in mines})
        if missing:
            raise BadInput(f"{source}: expected mines {', '.join(missing)}, found {_some(m.id for m in mines)}")
        mines, refused = [mine for mine in mines if mine.id in set(only)], []
    return mines, refused


def read_sites(url: str, mines: Sequence[Mine]) -> list[Mine]:
    """The mines with the named polygons of a GeoJSON added as sites, each to the mine that it touches.

    Raises
    ------
    BadInput
        For a file that is something else, a site without a name or with another's, and one outside every mine.
    """
    found: dict[str, list] = {mine.id: list(mine.sites) for mine in mines}
    shapes = {mine.id: shapely.geometry.shape(mine.geometry) for mine in mines}
    for feature in _features(url):
        name = str((feature.get("properties") or {}).get("name") or "").strip()
        if not name:
            raise BadInput(
                f"{url}: expected a property name at every site, found {repr(feature.get('properties'))[:200]}"
            )
        _check_polygon(url, feature.get("geometry"))
        polygon = shapely.geometry.shape(feature["geometry"])
        at = [mine for mine, outline in shapes.items() if outline.intersects(polygon)]
        if not at:
            raise BadInput(f"{url}: site {name!r} lies outside of {_some(found)}; check its coordinates")
        for mine in at:
            if name in dict(found[mine]):
                raise BadInput(f"{url}: two sites of {mine} are named {name!r}; give each a name of its own")
            found[mine].append((name, feature["geometry"]))
    return [replace(mine, sites=tuple(found[mine.id])) for mine in mines]


def _builtin(identity: str) -> Mine:
    from .inventory import builtin_mines

    known = {mine.id: mine for mine in builtin_mines()}
    if identity not in known:
        raise BadInput(
            f"{identity}: nothing is there, and no mine of the built-in inventory has this id; known are "
            f"{', '.join(sorted(known))}"
        )
    return known[identity]


def _from_geojson(url: str) -> tuple[list[Mine], list[tuple[str, str]]]:
    """Mines and refusals of a GeoJSON; the only feature is refused by raising."""
    features = _features(url)
    mines: dict[str, Mine] = {}
    refused = []
    for number, feature in enumerate(features):
        try:
            mine = _mine(url, feature)
            if mine.id in mines:
                raise BadInput(f"{url}: two mines have the id {mine.id!r}; give each an id of its own")
        except BadInput as error:
            if len(features) == 1:
                raise
            facts = feature.get("properties") or {}
            named = facts.get("id") or facts.get("name") if isinstance(facts, dict) else None
            refused.append((str(named or f"feature {number + 1}"), str(error)))
        else:
            mines[mine.id] = mine
    if not mines:
        raise BadInput(f"{url}: none of {len(features)} features is a mine; the first: {refused[0][1]}")
    return list(mines.values()), refused


def _features(url: str) -> list[dict]:
    document = read_json(url, "GeoJSON")
    features = document.get("features", [document]) if isinstance(document, dict) else None
    if not isinstance(features, list) or not features or not all(isinstance(f, dict) for f in features):
        found = f"{len(features)} features" if isinstance(features, list) else type(features or document).__name__
        raise BadInput(f"{url}: {_WANTED}, or a FeatureCollection of such, found {found}")
    return features


def _mine(url: str, feature: dict) -> Mine:
    _check_polygon(url, feature.get("geometry"))
    facts = feature.get("properties") or {}
    if not isinstance(facts, dict):
        raise BadInput(
            f"{url}: expected properties as an object with id, name, country, commodity, found {repr(facts)[:200]}"
        )
    name = str(facts.get("name") or facts.get("id") or open_store(url).name.rsplit(".", 1)[0])
    identity = re.sub(r"[^a-z0-9]+", "-", str(facts.get("id") or name).lower()).strip("-")
    if not 0 < len(identity) <= IDENTITY:
        found = str(facts)[:200]
        raise BadInput(f"{url}: expected a property id or name of 1 to {IDENTITY} letters or digits, found {found}")
    words = {key: str(facts.get(key) or "") for key in ("country", "commodity", "status", "operator")}
    source = str(facts.get("source") or open_store(url).name)
    figures, notes = read_figures(facts.get("production"), source)
    factors, refused = read_factors(facts.get("emission_factors"), source)
    if notes or refused:
        raise BadInput(f"{url}: mine {identity}: {(notes + refused)[0].reason}")
    return Mine(identity, name, feature["geometry"], **words, production=figures, emission_factors=factors)


def _check_polygon(url: str, geometry) -> None:
    """Refuse what isn't a proper polygon in degrees."""
    kind = geometry.get("type") if isinstance(geometry, dict) else geometry
    if kind not in ("Polygon", "MultiPolygon"):
        raise BadInput(f"{url}: {_WANTED}, found {repr(kind)[:60]}")
    try:
        polygon = shapely.geometry.shape(geometry)
    except (*_UNSHAPELY, shapely.errors.ShapelyError) as error:
        raise BadInput(f"{url}: expected the coordinates of a {kind}, found something else ({brief(error)})") from error
    if polygon.is_empty:
        raise BadInput(f"{url}: expected the coordinates of a {kind}, found none")
    vertices = int(shapely.get_num_coordinates(polygon))
    if vertices > VERTICES:
        raise BadInput(f"{url}: expected a {kind} of at most {VERTICES} vertices, found {vertices}; simplify it")
    west, south, east, north = polygon.bounds
    if not (-90.0 <= south <= north <= 90.0 and -360.0 <= west <= east <= 360.0):
        raise BadInput(f"{url}: expected longitude, latitude in degrees; are they swapped, or in a projection?")
    if not polygon.is_valid:
        raise BadInput(
            f"{url}: expected a {kind} that doesn't cross itself, found: {shapely.is_valid_reason(polygon)}; repair it"
        )


def _some(names) -> str:
    names = sorted(names)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "none"
