"""Where an item is: the mine's outline in longitude and latitude, as GeoJSON wants it.

The outline and not the grid's frame: the frame is half a kilometre of margin around the mine's bounds, so that a search
by place would find mines that aren't there. Where the data end is said by ``proj:bbox``, ``proj:shape`` and
``proj:transform``. A mine without a polygon has the frame.

Outlines are simplified on the grid, in metres, where the antimeridian is nothing special, and cut there at the end
(RFC 7946, section 3.1.9); the box then has its west east of its east (section 5.2).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyproj
import shapely
import shapely.geometry
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from pipeline.model import Mine

DIGITS = 7  # of degrees: 1 cm
EDGE_POINTS = 5  # a side of the frame: an edge of 20 km bends by 10 m between its ends
DETAIL = 0.5  # pixels that an outline may be off: it can't be seen on the grid
SNAP = 0.01  # m: halves that a source cut at the antimeridian join again


def footprint(mine: Mine, grid: GeoBox) -> tuple[dict, list[float]]:
    """GeoJSON geometry and bounding box of a mine, degrees.

    Parameters
    ----------
    mine : Mine
        Longitudes of its polygon may be on both sides of 180 degrees, or go on beyond.
    grid : GeoBox
        Of its cube, in a projected CRS.

    Returns
    -------
    geometry : dict
        Polygon or MultiPolygon with counter-clockwise shells; cut at the antimeridian.
    bbox : list of float
        West, south, east, north; west > east across the antimeridian.
    """
    to_degrees = pyproj.Transformer.from_crs(grid.crs.to_wkt(), "EPSG:4326", always_xy=True)
    outline = _outline(mine, grid) if mine.geometry else _frame(grid)
    box = grid.boundingbox
    middle, _ = to_degrees.transform((box.left + box.right) / 2, (box.bottom + box.top) / 2)

    def degrees(points):
        lon, lat = to_degrees.transform(points[:, 0], points[:, 1])
        return np.round(np.stack([near(lon, middle), lat], axis=1), DIGITS)  # in one piece, maybe beyond 180

    whole = shapely.transform(outline, degrees)
    west, south, east, north = (float(v) for v in whole.bounds)
    geometry = shapely.geometry.mapping(_cut(whole))
    return _lists(geometry), [_wrapped(west, -180.0), south, _wrapped(east, 180.0), north]


def near(longitude, other: float):
    """The same longitudes within 180 degrees of another."""
    return other + (np.asarray(longitude) - other + 180.0) % 360.0 - 180.0


def _outline(mine: Mine, grid: GeoBox) -> BaseGeometry:
    """The mine's polygon on the grid, m, with no more detail than the grid can show."""
    to_grid = pyproj.Transformer.from_crs("EPSG:4326", grid.crs.to_wkt(), always_xy=True)

    def metres(points):
        lon, lat = points[:, 0], points[:, 1]
        return np.stack(to_grid.transform((lon + 180.0) % 360.0 - 180.0, lat), axis=1)

    polygon = shapely.transform(shapely.force_2d(shapely.geometry.shape(mine.geometry)), metres)
    joined = shapely.union_all(shapely.get_parts(shapely.make_valid(polygon)), grid_size=SNAP)
    simple = joined.simplify(DETAIL * abs(grid.affine.a))
    parts = [part for part in shapely.get_parts(simple) if part.geom_type == "Polygon" and part.area > 0]
    return shapely.MultiPolygon(parts) if len(parts) > 1 else parts[0] if parts else _frame(grid)


def _frame(grid: GeoBox) -> shapely.Polygon:
    """The grid's outline, m."""
    left, bottom, right, top = grid.boundingbox.bbox
    along, back = np.linspace(0, 1, EDGE_POINTS)[:-1], np.linspace(1, 0, EDGE_POINTS)[:-1]
    x = left + (right - left) * np.concatenate([along, np.ones_like(along), back, np.zeros_like(along)])
    y = bottom + (top - bottom) * np.concatenate([np.zeros_like(along), along, np.ones_like(along), back])
    return shapely.Polygon(np.stack([x, y], axis=1))


def _cut(whole: BaseGeometry) -> BaseGeometry:
    """A shape that may lie beyond 180 degrees as parts within, shells counter-clockwise."""
    west, _, east, _ = whole.bounds
    whole = whole if whole.is_valid else shapely.make_valid(whole)  # rounding may close a gap of a centimetre
    parts = [part for part in shapely.get_parts(whole) if part.geom_type == "Polygon"]
    if west < -180.0 or east > 180.0:
        turns = ((-180.0, 0.0), (180.0, -360.0), (-540.0, 360.0))  # west end of a world, and its shift to ours
        worlds = [(shapely.box(start, -90.0, start + 360.0, 90.0), shift) for start, shift in turns]
        parts = [
            shapely.transform(piece, lambda points, shift=shift: np.round(points + np.array([shift, 0.0]), DIGITS))
            for world, shift in worlds
            for piece in shapely.get_parts(shapely.intersection(whole, world))
            if piece.geom_type == "Polygon"
        ]
    # normalised: wherever the source begins its rings, the same outline
    parts = [shapely.geometry.polygon.orient(shapely.normalize(part)) for part in parts]
    return shapely.MultiPolygon(sorted(parts, key=lambda part: part.bounds)) if len(parts) > 1 else parts[0]


def _wrapped(longitude: float, meridian: float) -> float:
    """Within -180..180; the antimeridian itself as ``meridian``, the sign that belongs to this end of a box."""
    found = round((longitude + 180.0) % 360.0 - 180.0, DIGITS)
    return meridian if abs(found) == 180.0 else found


def _lists(geometry: Mapping) -> dict:
    """GeoJSON with lists, as it is read back from JSON."""

    def listed(value):
        return [listed(inner) for inner in value] if isinstance(value, tuple | list) else float(value)

    return {"type": geometry["type"], "coordinates": listed(geometry["coordinates"])}
