"""Our own inventories as sources: a GeoJSON of mines (the built-in one is such), and the geoparquet of `schema`.

A feature is a polygon or a point, with ``name`` and, where known, ``id``, ``country``, ``commodity``, ``status``,
``operator``, ``radius`` (m, of a point), ``place`` ("exact" or "approximate"), ``source``, ``production`` (a list of
year, tonnes, definition, source, unit, commodity) and ``emission_factors`` (a list of value, level, source, year).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import shapely
import shapely.geometry

from ..model import EmissionFactor, ProductionFigure
from .contents import Contents
from .record import BadRow, Note, Record, Row, figure, known_commodities, known_country, known_status, position, stated
from .schema import Entry, SourceRow, from_parquet

_FACTS = ("commodity", "country", "name", "place")  # what the source of a feature vouches for
_IDS = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def is_geojson(contents: Contents) -> bool:
    """True for a GeoJSON with features."""
    return contents.kind == "geojson" and contents.document.get("type") in ("FeatureCollection", "Feature")


def geojson_rows(contents: Contents) -> Iterator[tuple[Row, dict]]:
    """Every feature."""
    document = contents.document
    features = document.get("features") if document["type"] == "FeatureCollection" else [document]
    for number, feature in enumerate(features if isinstance(features, list) else [], start=1):
        feature = feature if isinstance(feature, dict) else {}
        facts = feature.get("properties")
        facts = facts if isinstance(facts, dict) else {}
        yield Row(contents.file, number, stated(facts.get("name"))), {"shape": feature.get("geometry"), **facts}


def geojson_record(row: Row, cells: dict) -> Record:
    """One feature that is a mine."""
    if not row.name:
        raise BadRow("no name", "no name; expected a property name")
    geometry = _shape(cells["shape"])
    country, unknown = known_country(cells.get("country"))
    inside = geometry.representative_point()
    lon, lat = position(inside.y, inside.x, country)
    commodities, why = known_commodities([cells.get("commodity")])
    identity = stated(cells.get("id"))
    if identity:
        _check_id(identity)
    source = stated(cells.get("source")) or row.file
    figures, left_out = read_figures(cells.get("production"), source)
    factors, refused = read_factors(cells.get("emission_factors"), source)
    point = geometry.geom_type == "Point"
    return Record(
        row,
        row.file,
        identity or f"{row.number}",
        lon,
        lat,
        names=tuple(dict.fromkeys((row.name, *map(str, _listed(cells.get("other_names")))))),
        country=country,
        commodities=commodities,
        status=known_status(cells.get("status")),
        operator=stated(cells.get("operator")),
        mine_type=stated(cells.get("mine_type")),
        exact=not point or stated(cells.get("place")) == "exact",
        radius=_radius(cells.get("radius")) if point else None,
        geometry=None if point else geometry,
        figures=figures,
        factors=factors,
        id=identity,
        notes=unknown + why + left_out + refused,
        made_of=(SourceRow(source, identity, row.file, row.number, _FACTS),) if source != row.file else (),
    )


def _check_id(identity: str) -> None:
    if not _IDS.fullmatch(identity):  # it becomes part of paths
        raise BadRow("bad id", f"an id must be lower-case words with hyphens, instead got {identity!r}")


def _listed(value) -> list:
    """A property that may hold several values, as a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _shape(document) -> shapely.Geometry:
    if not isinstance(document, dict):
        raise BadRow("no coordinates", "no geometry; expected a polygon or a point in degrees")
    try:
        geometry = shapely.force_2d(shapely.geometry.shape(document))
    except (ValueError, TypeError, LookupError, AttributeError, shapely.errors.ShapelyError) as error:
        raise BadRow("bad coordinates", f"expected the coordinates of a polygon or a point ({error})") from error
    if geometry.is_empty:
        raise BadRow("no coordinates", "no coordinates; expected a polygon or a point in degrees")
    if geometry.geom_type not in ("Point", "Polygon", "MultiPolygon"):
        raise BadRow("bad polygon", f"expected a polygon or a point, instead got a {geometry.geom_type}")
    if not geometry.is_valid:
        raise BadRow(
            "bad polygon", f"expected a polygon that doesn't cross itself: {shapely.is_valid_reason(geometry)}"
        )
    return geometry


def _radius(value) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value <= 100_000.0:
        raise BadRow("bad radius", f"radius must lie in 0..100000 m, instead got {value!r}")
    return float(value)


def read_figures(rows, source: str) -> tuple[tuple[ProductionFigure, ...], tuple[Note, ...]]:
    """The property ``production``: figures, and a note for each that can't be used."""
    figures, notes = (), ()
    for row in _listed(rows):
        try:
            facts = {"definition": row["definition"], "source": row.get("source", source)}
            facts |= {"commodity": row.get("commodity", "")}
            made, why = figure(row["tonnes"], "t", int(row["year"]), **facts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            notes += (
                Note("no figure", f"production must have year, tonnes and definition, instead got {row}: {error}"),
            )
            continue
        unit = row.get("unit", "t")
        figures, notes = figures + tuple(dataclasses.replace(f, unit=unit) for f in made), notes + why
    return figures, notes


def read_factors(rows, source: str) -> tuple[tuple[EmissionFactor, ...], tuple[Note, ...]]:
    """The property ``emission_factors``: factors, and a note for each that can't be used."""
    factors, notes = (), ()
    for row in _listed(rows):
        try:
            factor = EmissionFactor(**{"source": source} | row)
            good = factor.value >= 0.0 and factor.level in ("asset", "national", "regional")
        except TypeError:
            good = False
        if good:
            factors += (factor,)
        else:
            text = "an emission factor must have a value of at least 0 and a level (asset, national, regional)"
            notes += (Note("no factor", f"{text}, instead got {row}"),)
    return factors, notes


def is_parquet(contents: Contents) -> bool:
    """True for a parquet file."""
    return contents.kind == "parquet"


def parquet_rows(contents: Contents) -> Iterator[tuple[Row, Entry]]:
    """Every entry."""
    for number, entry in enumerate(from_parquet(contents.data, contents.url), start=1):
        yield Row(contents.file, number, entry.name), entry


def parquet_record(row: Row, entry: Entry) -> Record:
    """One entry, with what it was made of."""
    if entry.geometry is None or entry.geometry.is_empty:
        raise BadRow("no coordinates", "no coordinates; expected a polygon or a point in degrees")
    _check_id(entry.id)
    country, unknown = known_country(entry.country)
    lon, lat = position(entry.point[1], entry.point[0], country)
    commodities, why = known_commodities([entry.commodity])
    point = entry.geometry.geom_type == "Point"
    return Record(
        row,
        row.file,
        entry.id,
        lon,
        lat,
        names=tuple(dict.fromkeys((entry.name, *entry.other_names))),
        country=country,
        commodities=commodities,
        status=entry.status,
        operator=entry.operator,
        mine_type=entry.mine_type,
        exact=entry.place == "exact",
        radius=entry.radius,
        geometry=None if point else entry.geometry,
        figures=entry.figures + entry.undated,
        factors=entry.factors,
        id=entry.id,
        notes=unknown + why,
        made_of=entry.sources,
    )
