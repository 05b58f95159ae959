"""The inventory's one schema, and its geoparquet file.

A row is a mine: id, names, country, commodity, status, operator, type of mining, geometry (a polygon, or a point with
a ``radius`` in m), how sure its place is, production figures and emission factors with their sources, and under
``sources`` the rows of other inventories that it was made of, each with the facts that were taken from it. GeoParquet
1.1 with WKB in lon/lat (OGC:CRS84); the same mines give the same bytes.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pyproj
import shapely
import shapely.geometry
from shapely.geometry.base import BaseGeometry

from ..errors import BadInput
from ..model import EmissionFactor, Mine, ProductionFigure
from ..storage import open_store

DEFAULT_RADIUS = 2500.0  # m: around a point without a polygon; the median mine polygon would fit into 270 m, the
# largest pits are 5 km long, and stable ground beside the pit is needed too
_CORNERS = 72  # of a circle: its area is 0.1 % small
_GEOD = pyproj.Geod(ellps="WGS84")


@dataclass(frozen=True)
class SourceRow:
    """A row of another inventory that a mine was made of, and the facts taken from it ("place", "name", ...)."""

    source: str
    key: str  # the source's own id
    file: str
    row: int
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One mine of an inventory.

    ``geometry`` is a shapely Polygon, MultiPolygon or Point (degrees); ``radius`` (m) goes with a point.
    ``undated`` holds production figures whose source states no year (their ``year`` is 0).
    """

    id: str
    name: str
    geometry: BaseGeometry = field(repr=False)
    country: str = ""
    commodity: str = ""
    status: str = ""
    operator: str = ""
    mine_type: str = ""  # "surface", "underground", "both"
    other_names: tuple[str, ...] = ()
    radius: float | None = None
    place: str = "approximate"  # or "exact"
    figures: tuple[ProductionFigure, ...] = field(default=(), repr=False)
    undated: tuple[ProductionFigure, ...] = field(default=(), repr=False)
    factors: tuple[EmissionFactor, ...] = field(default=(), repr=False)
    sources: tuple[SourceRow, ...] = field(default=(), repr=False)

    @property
    def point(self) -> tuple[float, float]:
        """(lon, lat), degrees: the point, or one inside the polygon."""
        at = self.geometry if self.geometry.geom_type == "Point" else self.geometry.representative_point()
        return at.x, at.y

    def polygon(self) -> BaseGeometry:
        """The polygon, or the geodesic circle around the point."""
        if self.geometry.geom_type != "Point":
            return self.geometry
        return circle(*self.point, self.radius or DEFAULT_RADIUS)

    def mine(self) -> Mine:
        """The mine as the rest of pitpulse knows it: always a polygon, dated figures only."""
        return Mine(
            id=self.id,
            name=self.name,
            geometry=json.loads(shapely.to_geojson(self.polygon())),
            country=self.country,
            commodity=self.commodity,
            status=self.status,
            operator=self.operator,
            production=self.figures,
            emission_factors=self.factors,
        )


def circle(lon: float, lat: float, radius: float) -> shapely.Polygon:
    """The geodesic circle of ``radius`` m around a point (degrees), 72 corners, counter-clockwise.

    It is drawn in one piece: near 180 degrees its longitudes run on past it.
    """
    if not 0.0 < radius <= 100_000.0:
        raise BadInput(f"radius must lie in 0..100000 m, instead got {radius:g}")
    azimuths = [-360.0 * k / _CORNERS for k in range(_CORNERS)]
    lons, lats, _ = _GEOD.fwd([lon] * _CORNERS, [lat] * _CORNERS, azimuths, [radius] * _CORNERS)
    lons = lon + (np.array(lons) - lon + 180.0) % 360.0 - 180.0
    return shapely.polygons(np.round(np.stack([lons, lats], axis=1), 7))


def area(geometry: BaseGeometry) -> float:
    """Geodesic area of a polygon (degrees), m²."""
    return abs(_GEOD.geometry_area_perimeter(geometry)[0])


def write_inventory(entries: Sequence[Entry], url: str) -> None:
    """Write entries as GeoParquet 1.1, in order of their ids, in one step.

    Raises
    ------
    BadInput
        Two entries have one id.
    """
    entries = sorted(entries, key=lambda e: e.id)
    for a, b in itertools.pairwise(entries):
        if a.id == b.id:
            raise BadInput(f"ids of an inventory must differ, instead {a.name!r} and {b.name!r} are both {a.id!r}")
    open_store(url).write_bytes("", to_parquet(entries))


def to_parquet(entries: Sequence[Entry]) -> bytes:
    """The bytes of a GeoParquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    geometries = [e.geometry for e in entries]
    columns = {name: [getattr(e, name) for e in entries] for name in _TEXTS}
    columns |= {
        "other_names": [list(e.other_names) for e in entries],
        "geometry": [shapely.to_wkb(g) for g in geometries],
        "radius": [e.radius for e in entries],
        "figures": [[_dated(f) for f in (*e.figures, *e.undated)] for e in entries],
        "emission_factors": [[asdict(f) for f in e.factors] for e in entries],
        "sources": [[asdict(s) | {"facts": list(s.facts)} for s in e.sources] for e in entries],
    }
    about = {"encoding": "WKB", "geometry_types": sorted({g.geom_type for g in geometries})}
    if geometries:
        about["bbox"] = [round(float(v), 7) for v in shapely.total_bounds(geometries)]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": about}}
    table = pa.table(columns, schema=_schema()).replace_schema_metadata({"geo": json.dumps(geo, sort_keys=True)})
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


_TEXTS = ("id", "name", "country", "commodity", "status", "operator", "mine_type", "place")


def _schema():
    import pyarrow as pa

    text = pa.string()
    figure = pa.struct([("year", pa.int32()), ("tonnes", pa.float64()), *((n, text) for n in _FIGURE_TEXTS)])
    factor = [("value", pa.float64()), ("level", text), ("source", text), ("year", pa.int32())]
    source = [("source", text), ("key", text), ("file", text), ("row", pa.int32()), ("facts", pa.list_(text))]
    return pa.schema(
        [
            *((name, text) for name in _TEXTS),
            ("other_names", pa.list_(text)),
            ("geometry", pa.binary()),
            ("radius", pa.float64()),
            ("figures", pa.list_(figure)),
            ("emission_factors", pa.list_(pa.struct([*factor, ("uncertainty", pa.float64())]))),
            ("sources", pa.list_(pa.struct(source))),
        ]
    )


_FIGURE_TEXTS = ("unit", "definition", "commodity", "source")


def _dated(figure: ProductionFigure) -> dict:
    return asdict(figure) | {"year": figure.year or None}


def read_entries(url: str) -> list[Entry]:
    """The entries of an inventory file at a URL.

    Raises
    ------
    Unavailable
        Nothing is there.
    BadInput
        It is no geoparquet with at least id, name and geometry.
    """
    location = open_store(url)
    return from_parquet(location.read_bytes(), location.url)


def read_inventory(url: str) -> list[Mine]:
    """The mines of an inventory file at a URL; points come as circles."""
    return [entry.mine() for entry in read_entries(url)]


def from_parquet(data: bytes, name: str) -> list[Entry]:
    """The entries in the bytes of a file; ``name`` is for messages."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{name} must be a geoparquet file, instead it can't be read: {error}") from error
    missing = {"id", "name", "geometry"} - set(table.column_names)
    if missing or b"geo" not in (table.schema.metadata or {}):
        raise BadInput(
            f"{name} must be an inventory: GeoParquet with id, name and geometry, instead "
            + (f"it lacks {', '.join(sorted(missing))}" if missing else "its metadata say nothing of a geometry")
        )
    try:
        return [_entry(row) for row in table.to_pylist()]
    except (shapely.errors.ShapelyError, TypeError, KeyError) as error:
        raise BadInput(f"{name} must be an inventory, instead a row of it can't be understood: {error}") from error


def _entry(row: dict) -> Entry:
    figures = [ProductionFigure(**f | {"year": f["year"] or 0}) for f in row.get("figures") or ()]
    texts = {n: row.get(n) or "" for n in _TEXTS}
    return Entry(
        **texts | {"place": texts["place"] or "approximate"},
        geometry=shapely.from_wkb(row["geometry"]),
        other_names=tuple(row.get("other_names") or ()),
        radius=row.get("radius"),
        figures=tuple(f for f in figures if f.year),
        undated=tuple(f for f in figures if not f.year),
        factors=tuple(EmissionFactor(**f) for f in row.get("emission_factors") or ()),
        sources=tuple(SourceRow(**s | {"facts": tuple(s["facts"] or ())}) for s in row.get("sources") or ()),
    )
