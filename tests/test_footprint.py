"""Outlines in longitude and latitude: their place, their detail, and what happens at 180 degrees."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer

from catalog.collection import build_collection
from catalog.footprint import footprint, near
from pipeline.model import Mine

from .product_example import PLACES, example_grid, lonlat

WGS84 = Geod(ellps="WGS84")


def mine(geometry: dict) -> Mine:
    return Mine("m", "M", geometry)


def area(geometry: dict) -> float:
    """m2 on the ellipsoid."""
    return sum(
        abs(WGS84.geometry_area_perimeter(part)[0]) for part in shapely.get_parts(shapely.geometry.shape(geometry))
    )


def covers(bbox, lon, lat) -> bool:
    """Whether a GeoJSON box, which may cross the antimeridian, covers a point."""
    west, south, east, north = bbox
    inside = west <= lon <= east if west <= east else lon >= west or lon <= east
    return bool(inside and south <= lat <= north)


def test_without_a_polygon_it_is_the_grid():
    grid = example_grid("musan")
    geometry, bbox = footprint(mine({}), grid)
    shape = shapely.geometry.shape(geometry)
    assert geometry["type"] == "Polygon" and shape.exterior.is_ccw
    assert bbox == pytest.approx(shape.bounds, abs=1e-9)  # degrees
    assert area(geometry) == pytest.approx(1200 * 800, rel=1e-3)  # m2; UTM scale 0.9996


def test_a_mine_has_its_outline_and_its_own_box():
    known, _, _ = PLACES["sishen"]
    geometry, bbox = footprint(known, example_grid("sishen"))
    expected = shapely.geometry.shape(known.geometry)
    shape = shapely.geometry.shape(geometry)
    assert shape.symmetric_difference(expected).area < 1e-4 * expected.area  # of 600 m, 1 cm
    assert bbox == pytest.approx(expected.bounds, abs=1e-7)  # degrees: 1 cm


def test_holes_and_parts_are_kept():
    crs, grid = "EPSG:32734", example_grid("sishen")
    x, y = 696_000, 6_928_000
    whole = lonlat(crs, (x + 100, y + 100), (x + 700, y + 100), (x + 700, y + 700), (x + 100, y + 700))
    hole = lonlat(crs, (x + 300, y + 300), (x + 300, y + 500), (x + 500, y + 500), (x + 500, y + 300))
    part = lonlat(crs, (x + 900, y + 100), (x + 1100, y + 100), (x + 1100, y + 300))
    rings = [[whole["coordinates"][0], hole["coordinates"][0]], part["coordinates"]]
    geometry, _ = footprint(mine({"type": "MultiPolygon", "coordinates": rings}), grid)
    assert geometry["type"] == "MultiPolygon" and sorted(len(p) for p in geometry["coordinates"]) == [1, 2]
    assert area(geometry) == pytest.approx(600 * 600 - 200 * 200 + 200 * 200 / 2, rel=1e-3)  # m2


def test_detail_below_half_a_pixel_is_left_out():
    crs, (x, y) = "EPSG:32734", (696_600, 6_928_400)
    angle = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    radius = 300 + 4 * np.sin(60 * angle)  # m: waves of 4 m, with pixels of 20
    corners = list(zip(x + radius * np.cos(angle), y + radius * np.sin(angle), strict=True))
    geometry, _ = footprint(mine(lonlat(crs, *corners)), example_grid("sishen"))
    assert len(geometry["coordinates"][0]) < 100
    to_map = Transformer.from_crs(4326, crs, always_xy=True)
    ring = np.stack(to_map.transform(*np.array(geometry["coordinates"][0]).T), axis=1)
    distance = shapely.hausdorff_distance(shapely.LinearRing(ring), shapely.LinearRing(corners))
    assert distance < 10.1  # m


@pytest.mark.parametrize("turn", [0.0, 360.0, -360.0])
@pytest.mark.parametrize("cut", [False, True])
def test_across_the_antimeridian(cut, turn):
    known, _, _ = PLACES["across"]
    polygon = shapely.geometry.shape(known.geometry)
    assert polygon.bounds[0] < 180 < polygon.bounds[2]  # the source goes on beyond
    if cut:  # as RFC 7946 wants it of the source
        east = shapely.box(180, -90, 540, 90)
        halves = [polygon.difference(east), shapely.transform(polygon & east, lambda p: p - np.array([360, 0]))]
        polygon = shapely.MultiPolygon(halves)
    source = shapely.geometry.mapping(shapely.transform(polygon, lambda p: p + np.array([turn, 0.0])))
    geometry, bbox = footprint(mine(source), example_grid("across"))
    shape = shapely.geometry.shape(geometry)
    assert geometry["type"] == "MultiPolygon" and len(shape.geoms) == 2 and shape.is_valid
    assert all(part.exterior.is_ccw for part in shape.geoms)
    assert max(part.bounds[2] - part.bounds[0] for part in shape.geoms) < 0.01  # degrees, of 1000 m
    assert {part.bounds[2] for part in shape.geoms} >= {180.0} and {part.bounds[0] for part in shape.geoms} >= {-180.0}
    assert area(geometry) == pytest.approx(1000 * 400, rel=3e-3)  # m2
    west, south, east, north = bbox
    assert west > east and 179.99 < west < 180 and -180 < east < -179.99 and south < north
    assert geometry == footprint(known, example_grid("across"))[0]  # however the source writes it


def test_the_grid_across_the_antimeridian_is_cut_too():
    geometry, bbox = footprint(mine({}), example_grid("across"))
    assert geometry["type"] == "MultiPolygon" and bbox[0] > bbox[2]
    assert area(geometry) == pytest.approx(1200 * 800, rel=3e-3)  # m2


@pytest.mark.parametrize(("west", "expected"), [(180.0, (-180.0, -179.99)), (179.99, (179.99, 180.0))])
def test_a_mine_that_ends_at_the_antimeridian_is_whole(west, expected):
    ring = [[west, -16.8], [west + 0.01, -16.8], [west + 0.01, -16.79], [west, -16.79], [west, -16.8]]
    left = 819_789 + (west - 180) * 106_600  # m a degree
    grid = GeoBox.from_bbox((left - 200, 8_140_000, left + 1300, 8_141_500), "EPSG:32760", resolution=20)
    geometry, bbox = footprint(mine({"type": "Polygon", "coordinates": [ring]}), grid)
    assert (bbox[0], bbox[2]) == pytest.approx(expected, abs=2e-7)  # degrees
    assert bbox[0] < bbox[2]
    assert area(geometry) == pytest.approx(area({"type": "Polygon", "coordinates": [ring]}), rel=1e-4)


def test_the_collection_of_such_items_covers_all_longitudes():
    facts = {"start_datetime": "2021-01-01T00:00:00Z", "end_datetime": "2021-12-31T23:59:59Z", "pitpulse:mine_id": "m"}
    one = {"id": "a", "bbox": [10.0, 1.0, 11.0, 2.0], "properties": facts, "assets": {}}
    two = {"id": "b", "bbox": [179.9, -17.0, -179.9, -16.0], "properties": facts, "assets": {}}
    assert build_collection([one]).extent.spatial.bboxes == [[10.0, 1.0, 11.0, 2.0]]
    assert build_collection([one, two]).extent.spatial.bboxes == [[-180.0, -17.0, 180.0, 2.0]]


@settings(max_examples=60, deadline=None)
@given(st.floats(-0.02, 0.02), st.floats(-60, 60), st.floats(0.001, 0.03))
def test_every_outline_is_valid_and_inside_its_box(offset, latitude, width):
    lon = 180.0 + offset
    crs = f"EPSG:{32600 if latitude >= 0 else 32700}".replace("00", "60" if offset < 0 else "01")
    ring = [[lon, latitude], [lon + width, latitude], [lon + width, latitude + width], [lon, latitude + width]]
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(near(lon, 0), latitude)
    grid = GeoBox.from_bbox((x - 500, y - 500, x + 4500, y + 4500), crs, resolution=20)
    geometry, bbox = footprint(mine({"type": "Polygon", "coordinates": [[*ring, ring[0]]]}), grid)
    shape = shapely.geometry.shape(geometry)
    assert shape.is_valid and all(part.exterior.is_ccw for part in shapely.get_parts(shape))
    assert all(covers(bbox, *point) for point in shapely.get_coordinates(shape))
    assert all(-180 <= point[0] <= 180 for point in shapely.get_coordinates(shape))
    assert (bbox[0] > bbox[2]) == (offset < -1e-6 < 1e-6 < offset + width)
    shrunk = width * width * 111_000**2 * np.cos(np.radians(latitude))
    assert area(geometry) == pytest.approx(shrunk, rel=0.2)  # m2; outlines of 100 m lose corners of half a pixel


def test_near_is_within_half_a_turn():
    np.testing.assert_allclose(near([179.0, -179.0, 0.0], -179.5), [-181.0, -179.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(near([-179.9], 179.9), [180.1], atol=1e-12)
