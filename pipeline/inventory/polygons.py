"""Outlines of mining areas (Maus et al.; Tang & Werner): any GeoPackage whose layer holds polygons.

They carry a country and a number, no name and no commodity. Maus et al. outline all ground that mining uses, Tang &
Werner pits, dumps and ponds one by one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from .contents import Contents, Table
from .record import BadRow, Record, Row, known_country, position, stated

SOURCE = "mine polygons"
_KINDS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


def fits(contents: Contents) -> bool:
    """True for a GeoPackage with polygons."""
    return contents.kind == "gpkg" and _table(contents) is not None


def _table(contents: Contents) -> Table | None:
    for table in contents.tables.values():
        if table.geometry is not None and np.isin(shapely.get_type_id(table.geometry), _KINDS).any():
            return table
    return None


def rows(contents: Contents) -> Iterator[tuple[Row, dict]]:
    """Every polygon, its columns in lower case."""
    for number, cells in enumerate(_table(contents).dicts(), start=1):
        cells = {column.casefold(): cell for column, cell in cells.items()}
        yield Row(contents.file, number, _first(cells, "name", "mine_name") or f"polygon {_key(cells, number)}"), cells


def record(row: Row, cells: dict) -> Record:
    """One polygon; its point is one inside it."""
    polygon = cells["geometry"]
    if polygon is None or polygon.is_empty:
        raise BadRow("no coordinates", "no polygon; expected one in degrees")
    if shapely.get_type_id(polygon) not in _KINDS:
        raise BadRow("bad polygon", f"expected a polygon, instead got a {polygon.geom_type}")
    if not polygon.is_valid:
        raise BadRow("bad polygon", f"expected a polygon that doesn't cross itself: {shapely.is_valid_reason(polygon)}")
    country, notes = known_country(_first(cells, "iso3_code", "iso3", "gid_0", "country_name", "country"))
    inside = polygon.representative_point()
    lon, lat = position(inside.y, inside.x, country)
    name = _first(cells, "name", "mine_name")
    return Record(
        row,
        SOURCE,
        f"{row.file} {_key(cells, row.number)}",
        lon,
        lat,
        names=(name,) if name else (),
        country=country,
        exact=True,
        geometry=shapely.force_2d(polygon),
        notes=notes,
    )


def _first(cells: dict, *columns: str) -> str:
    return next((text for c in columns if (text := stated(cells.get(c)))), "")


def _key(cells: dict, number: int) -> str:
    return _first(cells, "id", "fid") or str(number)
