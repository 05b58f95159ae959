"""Elevation models: cell centres, tiles, projections, antimeridian, voids, datums and what is refused."""

import math
from pathlib import Path

import fsspec
import numpy as np
import pyproj
import pytest
import rasterio
import tifffile
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import Affine

from pipeline.dem import fill_voids, read_dem
from pipeline.errors import BadInput, NoCoverage, Unavailable
from pipeline.geoid import undulation

WEST, NORTH, STEP, SIZE = 6.0, 51.0, 1.0 / 1200.0, 300  # a quarter of a degree, 3"
BOX = (6.05, 50.80, 6.20, 50.95)


def plane(latitude_deg, longitude_deg):
    """Heights (m) that any interpolation but one at the wrong place reproduces: 100 m per 0.1 degree."""
    return 500.0 + 1000.0 * (latitude_deg - 50.9) + 700.0 * (longitude_deg - 6.1)


def cells(west=WEST, north=NORTH, step=STEP, rows=SIZE, cols=SIZE):
    """Plane heights at the centres of a grid's cells, (y, x), written out by hand."""
    latitude = north - step * (np.arange(rows) + 0.5)
    longitude = west + step * (np.arange(cols) + 0.5)
    return plane(latitude[:, None], longitude[None, :])


def write(path, values, transform=None, crs="EPSG:4326", **profile):
    """A GeoTIFF of one band; returns its path as text."""
    values = np.asarray(values)
    transform = transform or Affine(STEP, 0.0, WEST, 0.0, -STEP, NORTH)
    rows, cols = values.shape
    kind = {"driver": "GTiff", "count": 1, "height": rows, "width": cols, "dtype": values.dtype}
    with rasterio.open(path, "w", crs=crs, transform=transform, **kind, **profile) as file:
        file.write(values, 1)
    return str(path)


def on_grid(dem):
    """The plane at the centres that a Dem states."""
    return plane(np.degrees(dem.latitude)[:, None], np.degrees(dem.longitude)[None, :])


@pytest.fixture(scope="module")
def flat_file(tmp_path_factory):
    return write(tmp_path_factory.mktemp("dem") / "plane.tif", cells().astype(np.float32))


# where the cells are


def test_centres_carry_the_heights(flat_file):
    dem = read_dem(flat_file, BOX, datum="ellipsoid", margin=0.0)
    assert np.abs(dem.height - on_grid(dem)).max() < 1e-4  # m; half a cell would be 0.4 m
    assert dem.latitude_step == pytest.approx(-math.radians(STEP), abs=1e-15)  # rad
    assert dem.longitude_step == pytest.approx(math.radians(STEP), abs=1e-15)  # rad
    assert not dem.filled.any() and dem.void_share == 0.0


@pytest.mark.parametrize("raster_type, shift", [(1, 0.0), (2, 0.5)], ids=["pixel-is-area", "pixel-is-point"])
def test_pixel_convention(tmp_path, raster_type, shift):
    # written by another library: the tie point is the corner of cell 0 for an area, its centre for a point
    path = tmp_path / "convention.tif"
    keys = (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, raster_type, 2048, 0, 1, 4326)
    tie = (0.0, 0.0, 0.0, WEST + shift * STEP, NORTH - shift * STEP, 0.0)
    tags = [
        (33550, "d", 3, (STEP, STEP, 0.0), False),
        (33922, "d", 6, tie, False),
        (34735, "H", len(keys), keys, False),
    ]
    tifffile.imwrite(path, cells().astype(np.float32), extratags=tags, photometric="minisblack")
    dem = read_dem(str(path), BOX, datum="ellipsoid")
    assert np.abs(dem.height - on_grid(dem)).max() < 1e-3  # m


@settings(max_examples=30, deadline=None)
@given(
    west=st.floats(WEST, WEST + 0.2),
    south=st.floats(NORTH - 0.25, NORTH - 0.05),
    width=st.floats(1e-4, 0.05),
    height=st.floats(1e-4, 0.05),
)
def test_any_window_encloses_its_bounds(flat_file, west, south, width, height):
    box = (west, south, west + width, south + height)
    dem = read_dem(flat_file, box, datum="ellipsoid", margin=0.0)
    lat, lon = np.degrees(dem.latitude), np.degrees(dem.longitude)
    half, slack = STEP / 2, 2e-3 * STEP  # degrees
    assert lon[0] - half <= box[0] + slack and lon[-1] + half >= box[2] - slack
    assert lat[0] + half >= box[3] - slack and lat[-1] - half <= box[1] + slack
    # no cell more than it takes
    assert len(lon) <= width / STEP + 2.01 and len(lat) <= height / STEP + 2.01
    assert np.abs(dem.height - on_grid(dem)).max() < 1e-3  # m


def test_margin_is_in_metres(flat_file):
    none, some = (read_dem(flat_file, (6.1, 50.85, 6.12, 50.87), "ellipsoid", margin=m) for m in (0.0, 1000.0))
    geod = pyproj.Geod(ellps="WGS84")

    def distance(a_lat, a_lon, b_lat, b_lon):
        return geod.inv(*np.degrees([a_lon, a_lat, b_lon, b_lat]))[2]

    north = distance(none.latitude[0], none.longitude[0], some.latitude[0], none.longitude[0])
    west = distance(none.latitude[0], none.longitude[0], none.latitude[0], some.longitude[0])
    assert 1000.0 - 95.0 < north < 1000.0 + 110.0  # m; one cell is 93 m
    assert 1000.0 - 60.0 < west < 1000.0 + 80.0  # m; one cell is 59 m


def test_margin_stops_where_the_file_does(flat_file):
    dem = read_dem(flat_file, (WEST, NORTH - 0.05, WEST + 0.05, NORTH), "ellipsoid", margin=5000.0)
    assert np.degrees(dem.longitude[0]) == pytest.approx(WEST + STEP / 2, abs=1e-9)  # degrees
    assert np.isfinite(dem.height).all()


# tiles


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_tiles_equal_the_whole(tmp_path, flat_file, order):
    values, cut = cells().astype(np.float32), (0, 130, SIZE)
    tiles = []
    for i in range(2):
        for j in range(2):
            part = values[cut[i] : cut[i + 1], cut[j] : cut[j + 1]]
            at = Affine(STEP, 0.0, WEST + cut[j] * STEP, 0.0, -STEP, NORTH - cut[i] * STEP)
            tiles.append(write(tmp_path / f"{i}{j}.tif", part, at))
    whole = read_dem(flat_file, BOX, datum="ellipsoid")
    mosaic = read_dem([tiles[i] for i in order], BOX, datum="ellipsoid")
    assert np.array_equal(mosaic.height, whole.height)
    assert mosaic.latitude_start == pytest.approx(whole.latitude_start, abs=1e-12)  # rad
    with pytest.raises(
        NoCoverage, match=r"must cover W 6\.0500, S 50\.8000.*covers \d+% of it; name the missing tiles"
    ):
        read_dem(tiles[:3], BOX, datum="ellipsoid")


def test_tiles_of_other_spacing_are_resampled_to_the_finest(tmp_path):
    # as Copernicus GLO-30 at 50 degrees north: the longitude spacing changes from tile to tile
    rows, wide = 150, STEP * 1.5
    north = write(tmp_path / "n.tif", _wide(NORTH, rows, wide), Affine(wide, 0.0, WEST, 0.0, -STEP, NORTH))
    middle = NORTH - rows * STEP
    south = write(tmp_path / "s.tif", cells(north=middle, rows=rows), Affine(STEP, 0.0, WEST, 0.0, -STEP, middle))
    dem = read_dem([north, south], (6.05, middle - 0.05, 6.2, middle + 0.05), datum="ellipsoid")
    assert dem.longitude_step == pytest.approx(math.radians(STEP), abs=1e-15)  # rad
    assert np.isfinite(dem.height).all()
    error = np.abs(dem.height - on_grid(dem))
    assert error.max() < 0.5  # m: half a cell at the seam, where the cubic has no neighbours
    assert np.median(error) < 1e-3  # m


def _wide(north, rows, wide):
    lat = north - STEP * (np.arange(rows) + 0.5)
    lon = WEST + wide * (np.arange(200) + 0.5)
    return plane(lat[:, None], lon[None, :])


def test_the_first_valid_height_wins(tmp_path):
    old, new = cells().astype(np.float32), (cells() + 50.0).astype(np.float32)
    new[:, 150:] = np.nan
    files = [write(tmp_path / "new.tif", new), write(tmp_path / "old.tif", old)]
    dem = read_dem(files, (WEST, 50.76, WEST + 0.24, 50.99), "ellipsoid", margin=0.0)
    offset = dem.height - on_grid(dem)
    assert np.abs(offset[:, :150] - 50.0).max() < 1e-3 and np.abs(offset[:, 150:]).max() < 1e-3  # m
    assert dem.source == tuple(files)


# projections and the antimeridian


def test_projected_dem(tmp_path):
    # a smooth hill in UTM metres, 30 m cells
    to_utm = pyproj.Transformer.from_crs(4326, 32632, always_xy=True)
    x0, y0 = (round(v, -2) for v in to_utm.transform(WEST, NORTH))
    rows, cols = 400, 360

    def hill(x, y):
        return 300.0 + 200.0 * np.sin((x - x0) / 1500.0) * np.cos((y - y0) / 1200.0)

    values = hill(x0 + 30.0 * (np.arange(cols) + 0.5), (y0 - 30.0 * (np.arange(rows) + 0.5))[:, None])
    path = write(tmp_path / "utm.tif", values, Affine(30.0, 0.0, x0, 0.0, -30.0, y0), "EPSG:32632")
    west, south = 6.03, 50.92
    dem = read_dem(path, (west, south, west + 0.08, south + 0.05), datum="ellipsoid", margin=200.0)
    lon, lat = np.meshgrid(np.degrees(dem.longitude), np.degrees(dem.latitude))
    error = dem.height - hill(*to_utm.transform(lon, lat))
    assert np.nanmax(np.abs(error)) < 0.05  # m; a cell is up to 5 m on these slopes
    assert -dem.latitude_step * 6378137.0 == pytest.approx(30.0, abs=0.3)  # m
    # meridians are 2.3 degrees off the cells' columns here: a corner of the bounding box has no cells
    x, y = np.array([x0, x0, x0 + 30.0 * cols, x0 + 30.0 * cols]), np.array([y0, y0 - 30.0 * rows] * 2)
    lon, lat = to_utm.transform(x, y, direction="INVERSE")
    corner = (lon.min() + 5e-4, lat.max() - 2e-3, lon.min() + 3e-3, lat.max() - 5e-4)
    assert to_utm.transform(corner[2], corner[1])[1] > y0
    with pytest.raises(NoCoverage, match=r"utm\.tif must cover .*instead the part read .*covers \d+% of it"):
        read_dem(path, corner, datum="ellipsoid", margin=3000.0)


def test_across_the_antimeridian(tmp_path):
    rows, cols = 60, 120
    heights = np.arange(2 * cols, dtype=np.float32) + np.zeros((rows, 1), np.float32)
    files = [
        write(tmp_path / "east.tif", heights[:, :cols], Affine(0.01, 0.0, 180.0 - 1.2, 0.0, -0.01, -16.0)),
        write(tmp_path / "west.tif", heights[:, cols:], Affine(0.01, 0.0, -180.0, 0.0, -0.01, -16.0)),
    ]
    crossing = [
        read_dem(files, (west, -16.4, east, -16.2), "ellipsoid", margin=0.0)
        for west, east in ((179.5, -179.5), (179.5, 180.5), (-180.5, -179.5))
    ]
    for dem in crossing:
        assert np.array_equal(dem.height[0], np.arange(70, 170))
        assert dem.longitude_step == pytest.approx(math.radians(0.01), abs=1e-12)  # rad
    assert np.degrees(crossing[0].longitude[[0, -1]]) == pytest.approx([179.505, 180.495], abs=1e-9)  # degrees
    assert np.degrees(crossing[2].longitude[[0, -1]]) == pytest.approx([-180.495, -179.505], abs=1e-9)  # degrees


# voids


def test_small_voids_are_filled_and_marked(tmp_path):
    values = cells().astype(np.float32)
    values[100:104, 100:106] = -32768.0  # 280 x 350 m, never tagged as no-data
    values[150, 150], values[152, 150], values[154, 150] = np.nan, -9999.0, 3.4e38
    dem = read_dem(write(tmp_path / "void.tif", values), (WEST, 50.76, WEST + 0.24, 50.99), "ellipsoid", margin=0.0)
    assert np.abs(dem.height - on_grid(dem)).max() < 1e-3  # m: linear across the void
    assert dem.filled.sum() == 27
    assert dem.void_share == pytest.approx(27 / dem.height.size, abs=1e-12)


def test_large_voids_stay(tmp_path):
    values = cells().round().astype(np.int16)
    values[50:150, 50:150] = -9999  # 9 x 6 km
    path = write(tmp_path / "lake.tif", values, nodata=-9999)
    dem = read_dem(path, (WEST, 50.76, WEST + 0.24, 50.99), "ellipsoid", margin=0.0)
    assert np.isnan(dem.height).sum() == 100 * 100 and not dem.filled.any()
    with pytest.raises(NoCoverage, match=r"must hold heights in W 6\.0600.*all of it is void"):
        read_dem(path, (6.06, 50.90, 6.08, 50.92), "ellipsoid", margin=0.0)


def test_fill_at_the_edge_takes_the_nearest():
    heights = np.full((5, 6), 7.0)
    heights[:2, :2] = np.nan
    assert np.array_equal(fill_voids(heights, (30.0, 30.0)), np.full((5, 6), 7.0))
    assert np.isnan(fill_voids(heights, (30.0, 30.0), reach=20.0)[:2, :2]).all()
    covered = np.ones((5, 6), bool)
    covered[0, 0] = False
    assert np.isnan(fill_voids(heights, (30.0, 30.0), covered)).sum() == 1
    assert np.isnan(fill_voids(np.full((3, 3), np.nan), (30.0, 30.0))).all()


# where it is read from


class Counted(MemoryFileSystem):
    """A memory file system with its own store that counts the bytes handed out."""

    protocol = "counted"
    store = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    taken = 0

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.removeprefix("counted://").strip("/")

    def cat_file(self, path, start=None, end=None, **kwargs):
        data = super().cat_file(path, start=start, end=end, **kwargs)
        Counted.taken += len(data)
        return data

    def _open(self, path, mode="rb", **kwargs):
        assert "r" not in mode, "reads go by byte range"
        return super()._open(path, mode, **kwargs)


def test_only_the_window_is_read(tmp_path):
    fsspec.register_implementation("counted", Counted, clobber=True)
    noise = np.random.default_rng(3).normal(300.0, 50.0, (2400, 2400)).astype(np.float32)
    path = write(
        tmp_path / "tile.tif",
        noise,
        Affine(STEP, 0.0, 5.0, 0.0, -STEP, 52.0),
        tiled=True,
        blockxsize=256,
        blockysize=256,
    )
    content = Path(path).read_bytes()
    fsspec.filesystem("counted").pipe_file("/dem/tile.tif", content)
    Counted.taken = 0
    remote = read_dem("counted://dem/tile.tif", (6.0, 51.0, 6.05, 51.05), "ellipsoid", margin=0.0)
    assert 0 < Counted.taken < 0.1 * len(content)  # 4 of 100 tiles
    assert np.array_equal(remote.height, read_dem(path, (6.0, 51.0, 6.05, 51.05), "ellipsoid", margin=0.0).height)


def test_memory_url_equals_local_path(flat_file):
    fsspec.filesystem("memory").pipe_file("/elevation/plane.tif", Path(flat_file).read_bytes())
    local, remote = (read_dem(u, BOX, "egm96") for u in (flat_file, "memory://elevation/plane.tif"))
    assert np.array_equal(local.height, remote.height)


def test_truncated_file(tmp_path, flat_file):
    path = tmp_path / "cut.tif"
    path.write_bytes(Path(flat_file).read_bytes()[:200_000])
    with pytest.raises((Unavailable, BadInput), match=r"can't read .*cut\.tif|must be a raster"):
        read_dem(str(path), (6.05, 50.76, 6.20, 50.78))


# datums


def test_geoid_heights_become_ellipsoidal(flat_file):
    above_geoid, above_ellipsoid = (read_dem(flat_file, BOX, datum) for datum in ("egm96", "ellipsoid"))
    n = undulation(above_geoid.latitude, above_geoid.longitude)
    assert np.abs(above_geoid.height - above_ellipsoid.height - n).max() < 1e-3  # m, float32 of heights
    assert 45.0 < n.mean() < 48.0  # m, the Lower Rhine
    assert (above_geoid.geoid, above_ellipsoid.geoid) == ("EGM96 15'", "")
    assert read_dem(flat_file, BOX).datum == "egm2008"


@pytest.mark.parametrize(
    "latitude, longitude, expected",
    [  # the test points published with the model's own program (NIMA F477), 15' grid
        (38.628155, 269.779155, -31.628),
        (-14.621217, 305.021114, -2.969),
        (46.874319, 102.448729, -43.575),
        (-23.617446, 133.874712, 15.871),
        (38.625473, 359.9995, 50.066),
        (-0.466744, 0.0023, 17.329),
    ],
)
def test_undulation_at_published_points(latitude, longitude, expected):
    n = undulation([math.radians(latitude)], [math.radians(longitude)])
    assert n[0, 0] == pytest.approx(expected, abs=0.02)  # m


def test_undulation_runs_on_across_the_antimeridian_and_at_the_poles():
    lon = np.radians(np.linspace(179.0, 181.0, 41))
    n = undulation(np.radians([-17.0, 52.0]), lon)
    assert np.abs(np.diff(n, 2, axis=1)).max() < 0.05  # m between 3' steps: no step at 180
    assert np.abs(undulation(np.radians([-17.0, 52.0]), lon - 2 * np.pi) - n).max() < 1e-6  # m
    pole = undulation(np.radians([89.9, 90.0]), np.radians([-170.0, 5.0, 100.0]))
    assert np.ptp(pole[1]) < 0.01 and abs(pole[1].mean() - 13.61) < 0.02  # m


def test_undulation_takes_axes_either_way():
    lat, lon = np.radians(np.linspace(10.0, 11.0, 5)), np.radians(np.linspace(20.0, 22.0, 7))
    assert np.array_equal(undulation(lat[::-1], lon), undulation(lat, lon)[::-1])
    assert np.array_equal(undulation(lat, lon[::-1]), undulation(lat, lon)[:, ::-1])


def test_a_geoid_grid_of_the_user(tmp_path, flat_file):
    lat, lon = 53.0 - 0.05 * np.arange(100), 4.0 + 0.05 * np.arange(100)
    quadratic = 40.0 + (lat[:, None] - 50.0) ** 2 + 0.5 * (lon - 6.0) * (lat[:, None] - 50.0)
    path = write(tmp_path / "geoid.tif", quadratic, Affine(0.05, 0.0, 3.975, 0.0, -0.05, 53.025))
    gtx = tmp_path / "geoid.gtx"
    header = np.array([lat[-1], lon[0], 0.05, 0.05], ">f8").tobytes() + np.array([100, 100], ">i4").tobytes()
    gtx.write_bytes(header + quadratic[::-1].astype(">f4").tobytes())
    for grid in (path, str(gtx)):
        a, b = read_dem(flat_file, BOX, "egm2008", geoid=grid), read_dem(flat_file, BOX, "ellipsoid")
        y, x = np.degrees(a.latitude)[:, None], np.degrees(a.longitude)
        expected = 40.0 + (y - 50.0) ** 2 + 0.5 * (x - 6.0) * (y - 50.0)
        assert np.abs(a.height - b.height - expected).max() < 1e-3  # m
        assert a.geoid == grid
    with pytest.raises(NoCoverage, match=r"geoid\.tif must cover"):
        undulation(np.radians([20.0]), np.radians([6.0]), path)
    with pytest.raises(NoCoverage, match=r"geoid .*geoid\.tif must have a value everywhere"):
        undulation(np.radians([50.0, 54.0]), np.radians([6.0]), path)


def test_los_angeles_heights_above_geoid_and_ellipsoid(shared_data, tmp_path):
    files = [str(shared_data / "geoid" / f"los_angeles_dem_{kind}.tif") for kind in ("geoid", "ellipsoid")]
    box = (-118.05, 33.96, -117.96, 34.04)
    built_in, truth = read_dem(files[0], box, "egm2008"), read_dem(files[1], box, "ellipsoid")
    residual = built_in.height.astype(np.float64) - truth.height
    # EGM96 in place of EGM2008: measured 0.718 m, with 0.016 m of spread
    assert np.abs(residual).max() < 0.8 and residual.std() < 0.03  # m
    with rasterio.open(files[0]) as low, rasterio.open(files[1]) as high:
        grid = write(tmp_path / "egm2008.tif", high.read(1) - low.read(1), low.transform)
    exact = read_dem(files[0], box, "egm2008", geoid=grid)
    assert np.abs(exact.height - truth.height).max() < 1e-3  # m


def test_real_dem_keeps_its_cells(shared_data):
    path = next((shared_data / "morocco_pair" / "dem").glob("dem-b1-s1a-iw1*"))
    dem = read_dem(str(path), (-8.6, 31.6, -8.2, 31.8), "ellipsoid", margin=0.0)
    with rasterio.open(path) as file:
        lon, lat = np.degrees(dem.longitude), np.degrees(dem.latitude)
        points = [(lon[j], lat[i]) for i, j in ((0, 0), (100, 200), (-1, -1), (37, -5))]
        sampled = [v[0] for v in file.sample(points)]
    assert [dem.height[i, j] for i, j in ((0, 0), (100, 200), (-1, -1), (37, -5))] == sampled


# what is refused


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"bounds": (20.0, 50.8, 20.1, 50.9)}, NoCoverage, r"must cover W 20.*instead it covers W 6\.0000, S 50\.7500"),
        ({"bounds": (6.1, 50.8, 6.4, 50.9)}, NoCoverage, r"must cover W 6\.1000.*covers 5\d% of it"),
        ({"bounds": (6.1, 50.9, 6.2, 50.8)}, BadInput, "south < north within ±90"),
        ({"bounds": (6.1, 50.9, 6.2)}, BadInput, "bounds must be west, south, east, north"),
        ({"datum": "navd88"}, BadInput, "DEM datum must be one of egm2008, egm96, ellipsoid, instead got 'navd88'"),
        ({"margin": -1.0}, BadInput, "margin must be zero or more"),
        ({"url": []}, BadInput, "at least one elevation model"),
        ({"url": "/nowhere/dem.tif"}, Unavailable, r"can't read /nowhere/dem\.tif: nothing is there"),
        ({"url": "nosuch://dem.tif"}, BadInput, "can't open nosuch://dem.tif: .*expected a path or"),
        ({"url": __file__}, BadInput, r"test_dem\.py must be a raster"),
    ],
)
def test_refusals(flat_file, change, error, message):
    with pytest.raises(error, match=message):
        read_dem(**({"url": flat_file, "bounds": BOX} | change))


def test_refuses_feet_and_missing_crs(tmp_path):
    feet = write(tmp_path / "feet.tif", cells())
    with rasterio.open(feet, "r+") as file:
        file.units = ("ft",)
    with pytest.raises(BadInput, match="must hold metres, instead its unit is 'ft'"):
        read_dem(feet, BOX)
    bare = write(tmp_path / "bare.tif", cells(), crs=None)
    with pytest.raises(BadInput, match="must name its coordinate reference system"):
        read_dem(bare, BOX)


@pytest.mark.parametrize("crs, stated", [("EPSG:9707", "egm96"), ("EPSG:9518", "egm2008"), ("EPSG:4979", "ellipsoid")])
def test_datum_that_the_file_names(tmp_path, crs, stated):
    path = write(tmp_path / "named.tif", cells().astype(np.float32), crs=crs)
    dem = read_dem(path, BOX)
    assert dem.datum == stated
    assert np.array_equal(dem.height, read_dem(path, BOX, stated).height)
    other = "egm96" if stated != "egm96" else "ellipsoid"
    with pytest.raises(BadInput, match=f"which says {stated} .*instead got {other}"):
        read_dem(path, BOX, other)
