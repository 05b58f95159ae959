"""DEM tiles of one degree: their names, seams and spacings, the sea, what stores answer, and what is read of them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import rasterio

from pipeline.archive import Granule
from pipeline.cli import main
from pipeline.dem import read_dem
from pipeline.dem_source import DemRevisions, DemSource
from pipeline.dem_tiles import PRESETS, Tile, TileIndex, patterns_of, tiles_over
from pipeline.errors import Absent, BadInput, NoCoverage, Unavailable
from pipeline.geoid import undulation
from pipeline.storage import open_store

from .dem_replica import LAYOUT, TileServer, centres, make_bucket, serve, write_tile
from .seaweed import BUCKET
from .stac_replica import Replica, item_of
from .stac_replica import serve as serve_api

EXACT = 2e-3  # m: heights are float32, and GDAL places cells to 1e-4 of one
STEP = 1 / 120  # degrees between the rows of the replica's tiles


def around(latitude, longitude):
    """Heights (m) of a surface that a cubic reproduces, with slopes that make half a cell 4 m and more."""

    def surface(lat, lon):
        y, x = lat - latitude, lon - longitude
        return 500.0 + 1000.0 * y + 700.0 * x + 300.0 * y * x + 400.0 * x**2 - 250.0 * y**2

    return surface


def error_of(dem, surface):
    """Heights less the surface at the centres that the Dem states, (y, x), m."""
    lat, lon = np.degrees(dem.latitude)[:, None], np.degrees(dem.longitude)[None, :]
    return dem.height.astype(np.float64) - surface(lat, lon)


@pytest.fixture(scope="module")
def corner(tmp_path_factory):
    """Four tiles that meet at 46 N 7 E, the surface they are sampled from, and their bucket."""
    tiles = {"N46_E006": (46, 6), "N46_E007": (46, 7), "N45_E006": (45, 6), "N45_E007": (45, 7)}
    root, surface = tmp_path_factory.mktemp("corner"), around(46.0, 7.0)
    return root, make_bucket(root, tiles, surface), surface


CORNER = (6.8, 45.8, 7.2, 46.2)


# which tiles


@pytest.mark.parametrize(
    "bounds, names",
    [
        ((6.2, 50.1, 6.4, 50.3), ["N50_E006"]),
        ((6.8, 49.9, 7.1, 50.1), ["N50_E006", "N50_E007", "N49_E006", "N49_E007"]),
        ((-0.1, -0.1, 0.1, 0.1), ["N00_W001", "N00_E000", "S01_W001", "S01_E000"]),
        ((-70.2, -24.4, -70.1, -24.3), ["S25_W071"]),
        ((179.9, -16.6, 180.1, -16.4), ["S17_E179", "S17_W180"]),
        ((-180.1, 65.1, -179.9, 65.2), ["N65_E179", "N65_W180"]),
        ((10.0, 89.5, 11.0, 90.0), ["N89_E010"]),
        ((7.0, 45.0, 8.0, 46.0), ["N45_E007"]),
    ],
)
def test_tiles_are_named_by_their_south_west_corner(bounds, names):
    assert [tile.name for tile, _ in tiles_over(bounds)] == names


def test_longitudes_run_on():
    assert tiles_over((179.9, -16.6, 180.1, -16.4)) == [(Tile(-17, 179), 0), (Tile(-17, -180), 1)]
    assert tiles_over((-180.1, -16.6, -179.9, -16.4)) == [(Tile(-17, 179), -1), (Tile(-17, -180), 0)]


def test_presets_name_the_public_objects():
    # as the buckets' readme and the registry's users write them
    n50 = "Copernicus_DSM_COG_10_N50_00_E006_00_DEM/Copernicus_DSM_COG_10_N50_00_E006_00_DEM.tif"
    s25 = "Copernicus_DSM_COG_30_S25_00_W071_00_DEM/Copernicus_DSM_COG_30_S25_00_W071_00_DEM.tif"
    fine, coarse = (p.format(lat="N50", lon="E006") for p in PRESETS["glo30"].patterns)
    assert fine == f"https://copernicus-dem-30m.s3.eu-central-1.amazonaws.com/{n50}"
    assert coarse == f"https://copernicus-dem-90m.s3.eu-central-1.amazonaws.com/{n50.replace('COG_10', 'COG_30')}"
    tile = tiles_over((-70.2, -24.4, -70.1, -24.3))[0][0]
    assert PRESETS["glo90"].patterns[0].format(lat=tile.lat, lon=tile.lon).endswith(f"/{s25}")


# where the heights are


def test_seams_have_no_row_twice_and_none_missing(corner):
    _, pattern, surface = corner
    dem = read_dem(pattern, CORNER, "ellipsoid", margin=0.0)
    assert np.abs(error_of(dem, surface)).max() < EXACT
    assert dem.height.shape == (49, 49)  # 0.4 degrees of 48 cells, cut half a cell off: one more
    whole = np.round(np.degrees(dem.latitude) / STEP, 6)
    assert np.array_equal(whole, np.round(whole))  # a centre on the parallel, as the tiles have it
    assert {Path(url).name[22:34] for url in dem.source} == {
        "N46_00_E006_",
        "N46_00_E007_",
        "N45_00_E006_",
        "N45_00_E007_",
    }
    assert dem.sea == () and not dem.filled.any()


@pytest.mark.parametrize("latitude, names", [(50, ("N50", "N49")), (60, ("N60", "N59")), (-50, ("S50", "S51"))])
def test_where_the_spacing_changes(tmp_path, latitude, names):
    surface = around(latitude, 7.0)
    tiles = {f"{names[0]}_{lon}": (latitude, west) for lon, west in (("E006", 6), ("E007", 7))}
    tiles |= {f"{names[1]}_{lon}": (latitude - 1, west) for lon, west in (("E006", 6), ("E007", 7))}
    widths = {len(centres(latitude - k, 6, 120)[1]) for k in (0, 1)}
    assert len(widths) == 2  # the replica's spacing does change here
    dem = read_dem(
        make_bucket(tmp_path, tiles, surface), (6.8, latitude - 0.2, 7.2, latitude + 0.2), "ellipsoid", 500.0
    )
    assert dem.longitude_step == pytest.approx(math.radians(1 / max(widths)), abs=1e-12)  # rad: the finer of the two
    assert np.abs(error_of(dem, surface)).max() < EXACT  # at the meridian's seam of the wider tiles too


@pytest.mark.parametrize("west, south", [(6.9996, 49.99), (7.0001, 49.99), (7.0001, 50.0001), (6.9996, 50.0001)])
def test_a_window_that_begins_at_a_seam_has_what_lies_beyond(tmp_path, west, south):
    # 3" tiles: the first cells of N50 E007 begin half a cell, 0.0004 and 0.0006 degrees, beyond the meridian and end as
    # much above the parallel; a cubic there reaches into the neighbours, and without them would err by 0.04 m
    def bowl(lat, lon):
        return 500.0 + 1e5 * (lon - 7.0) ** 2 + 700.0 * (lat - 50.0)

    tiles = {"N50_E006": (50, 6), "N50_E007": (50, 7), "N49_E006": (49, 6), "N49_E007": (49, 7)}
    pattern = make_bucket(tmp_path, tiles, bowl, per_degree=1200)
    dem = read_dem(pattern, (west, south, 7.02, 50.02), "ellipsoid", margin=0.0)
    assert np.abs(error_of(dem, bowl)).max() < EXACT


def test_at_the_equator_and_greenwich(tmp_path):
    surface = around(0.0, 0.0)
    tiles = {"N00_E000": (0, 0), "N00_W001": (0, -1), "S01_E000": (-1, 0), "S01_W001": (-1, -1)}
    dem = read_dem(make_bucket(tmp_path, tiles, surface), (-0.2, -0.2, 0.2, 0.2), "ellipsoid", margin=0.0)
    assert dem.height.shape == (49, 49) and np.abs(error_of(dem, surface)).max() < EXACT


@pytest.mark.parametrize("bounds", [(179.8, -16.6, -179.8, -16.4), (-180.2, -16.6, -179.8, -16.4)])
def test_across_the_antimeridian(tmp_path, bounds):
    surface = around(-16.5, 180.0)
    pattern = make_bucket(tmp_path, {"S17_E179": (-17, 179)}, surface)
    make_bucket(tmp_path, {"S17_W180": (-17, -180)}, lambda lat, lon: surface(lat, lon + 360.0))
    dem = read_dem(pattern, bounds, "ellipsoid", margin=0.0)
    turn = 360.0 if bounds[0] < 0.0 else 0.0
    assert np.abs(error_of(dem, lambda lat, lon: surface(lat, lon + turn))).max() < EXACT
    assert dem.height.shape == (25, 49)


# what isn't there


def test_an_absent_tile_is_sea(tmp_path, corner):
    _, _, surface = corner
    coast = make_bucket(tmp_path, {"N46_E006": (46, 6), "N45_E006": (45, 6)}, surface)
    dem = read_dem(coast, CORNER, "egm2008", margin=2000.0)
    n = undulation(dem.latitude, dem.longitude)
    lon = np.degrees(dem.longitude)
    at_sea = lon > 7.0 - STEP / 2
    assert at_sea.any() and not at_sea.all()
    assert np.abs(dem.height - n)[:, at_sea].max() < 1e-4  # m: height 0 above the geoid
    assert np.abs(error_of(dem, surface) - n)[:, ~at_sea].max() < EXACT
    assert dem.sea == (Tile(45, 7), Tile(46, 7)) and dem.void_share == 0.0
    # an island on one tile of four, its sea on every side
    island = make_bucket(tmp_path / "island", {"N46_E006": (46, 6)}, surface)
    dem = read_dem(island, CORNER, "ellipsoid", margin=0.0)
    assert dem.height.shape == (49, 49) and np.isfinite(dem.height).all()
    assert np.count_nonzero(dem.height) == 24 * 24  # rows above 46 N, columns west of 7 E


def test_no_tile_at_all_is_an_error(tmp_path, corner):
    _, pattern, _ = corner
    wrong = pattern.replace("COG_10", "COG_99")
    with pytest.raises(NoCoverage, match=r"of N45_E006, N45_E007, N46_E006, N46_E007 must be there.*COG_99.*check the"):
        read_dem(wrong, CORNER, "ellipsoid")
    # that a neighbour is there doesn't make the mine's own tile a sea
    shore = make_bucket(tmp_path, {"N46_E006": (46, 6)}, around(46.0, 7.0))
    with pytest.raises(NoCoverage, match="N46_E007 must be there"):
        read_dem(shore, (7.01, 46.1, 7.02, 46.11), "ellipsoid", margin=3000.0)


def test_where_the_fine_model_lacks_land_the_coarse_one_has_it(tmp_path):
    surface = around(40.0, 46.0)  # as GLO-30 without Armenia
    three = {"N40_E045": (40, 45), "N39_E045": (39, 45), "N39_E046": (39, 46)}
    fine = make_bucket(tmp_path / "fine", three, surface, per_degree=360)
    coarse = make_bucket(tmp_path / "coarse", {**three, "N40_E046": (40, 46)}, surface, per_degree=120)
    both = read_dem([fine, coarse], (45.9, 39.9, 46.1, 40.1), "ellipsoid", margin=300.0)
    error = error_of(both, surface)
    assert np.isfinite(error).all() and np.abs(error).max() < EXACT  # also in the cells between the two
    assert both.latitude_step == pytest.approx(-math.radians(1 / 360), abs=1e-12)  # rad
    assert both.sea == () and sum("coarse" in url for url in both.source) == 4
    alone = read_dem([fine, coarse], (45.2, 39.2, 45.3, 39.3), "ellipsoid", margin=0.0)
    assert not any("coarse" in url for url in alone.source)


def test_a_file_before_the_tiles(tmp_path, corner):
    _, pattern, surface = corner
    lat, lon = 46.05 - np.arange(12) * STEP, 6.9 + np.arange(24) * STEP
    write_tile(
        tmp_path / "newer.tif", lat, lon, surface(lat[:, None], lon[None, :]) - 80.0, blockxsize=16, blockysize=16
    )
    dem = read_dem([str(tmp_path / "newer.tif"), pattern], CORNER, "ellipsoid", margin=0.0)
    error = error_of(dem, surface)
    assert (
        np.count_nonzero(np.abs(error + 80.0) < EXACT) == 12 * 24
        and np.count_nonzero(np.abs(error) < EXACT) == 49**2 - 288
    )
    # tiles that aren't there make no sea around a file
    with pytest.raises(NoCoverage, match=r"newer\.tif must cover"):
        read_dem([str(tmp_path / "newer.tif"), pattern.replace("COG_10", "COG_99")], CORNER, "ellipsoid")


# what the store answers


@pytest.fixture
def served(corner):
    with serve(corner[0]) as server:
        yield server


def test_over_http_as_from_the_folder(corner, served: TileServer):
    local = read_dem(corner[1], CORNER, "ellipsoid")
    remote = read_dem(served.pattern, CORNER, "ellipsoid")
    assert np.array_equal(local.height, remote.height)
    coast = read_dem(served.pattern, (7.9, 45.4, 8.05, 45.5), "ellipsoid", margin=0.0)  # 404 for E008
    assert coast.sea == (Tile(45, 8),) and (coast.height[:, -1] == 0.0).all()


def test_a_bucket_as_the_folder(corner, s3):
    for path in corner[0].rglob("*N4[56]_00_E00[67]*.tif"):
        if "N45_00_E007" not in path.name:
            open_store(f"s3://{BUCKET}/dem/{path.relative_to(corner[0])}").write_bytes("", path.read_bytes())
    dem = read_dem(f"s3://{BUCKET}/dem/{LAYOUT}", CORNER, "ellipsoid", margin=0.0)
    assert dem.sea == (Tile(45, 7),) and np.count_nonzero(dem.height) == 49**2 - 25**2
    local = read_dem(corner[1], CORNER, "ellipsoid", margin=0.0)
    assert np.array_equal(dem.height[:24], local.height[:24])
    with pytest.raises(NoCoverage, match=r"in s3://pitpulse-test/elsewhere/.*check the pattern"):
        read_dem(f"s3://{BUCKET}/elsewhere/{LAYOUT}", CORNER, "ellipsoid")


@pytest.mark.parametrize("fault", [403, 500, "reset"])
def test_a_refusal_or_a_broken_server_makes_no_sea(served: TileServer, fault):
    served.faults.append(["N46_00_E007", fault, 1000])
    with pytest.raises(Unavailable, match=r"can't read http://127\.0\.0\.1.*N46_00_E007") as caught:
        read_dem(served.pattern, CORNER, "ellipsoid")
    assert not isinstance(caught.value, Absent)
    tries = 1000 - served.faults[0][2]
    assert tries == 1 if fault == 403 else tries > 3  # what may pass is tried again
    place = open_store(served.pattern.format(lat="N46", lon="E007"))
    with pytest.raises(Unavailable):
        place.exists()


@pytest.mark.parametrize("fault", [500, 503, "reset"])
def test_what_passes_is_tried_again(corner, served: TileServer, fault):
    served.faults.append(["N46_00_E007", fault, 2])
    remote = read_dem(served.pattern, CORNER, "ellipsoid")
    assert served.faults[0][2] == 0
    assert np.array_equal(remote.height, read_dem(corner[1], CORNER, "ellipsoid").height)


def test_only_what_a_window_needs_is_read(tmp_path):
    noise = np.random.default_rng(3).normal(300.0, 50.0, (1200, 1200))
    latitude, longitude = centres(46, 6, 1200)  # a GLO-90 tile whole
    path = tmp_path / LAYOUT.format(lat="N46", lon="E006")
    write_tile(path, latitude, longitude, noise, blockxsize=256, blockysize=256, compress="deflate")
    # 0.4 degrees: 480 cells, 4 blocks of 256 where it touches no other
    bounds = (6.0 + 255.6 / 1200, 47.0 - 767.4 / 1200, 6.0 + 767.4 / 1200, 47.0 - 255.6 / 1200)
    with serve(tmp_path) as server:
        dem = read_dem(server.pattern, bounds, "ellipsoid", margin=0.0)
        assert dem.height.shape == (512, 512)
        assert np.array_equal(dem.height, noise[256:768, 256:768].astype(np.float32))
        assert dem.height.nbytes * 0.8 < server.sent < 2 * dem.height.nbytes
        assert server.sent < 0.5 * path.stat().st_size
        assert not any("E007" in name or "N45" in name for _, name, n in server.asked if n)


# what decides whether a product is made again


def test_a_tile_is_asked_once_for_all_mines(tmp_path):
    make_bucket(tmp_path, {"N46_E006": (46, 6), "N46_E007": (46, 7)}, around(46.0, 7.0))
    boxes = [(6.1 + 0.02 * k, 46.3, 6.12 + 0.02 * k, 46.32) for k in range(80)]
    with serve(tmp_path) as server:
        dem = DemSource((server.pattern,))
        revisions = DemRevisions(dem)
        before = [revisions.over(box).key for box in boxes]
        assert server.count("HEAD") == len(server.asked) == 2  # for 80 mines; both tiles are there
        again = DemRevisions(dem)
        assert [again.over(box).key for box in boxes] == before
        write_tile(tmp_path / LAYOUT.format(lat="N46", lon="E007"), *centres(46, 7, 120), np.ones((120, 120)))
        changed = DemRevisions(dem)
        after = [changed.over(box).key for box in boxes]
    moved = [a != b for a, b in zip(before, after, strict=True)]
    assert not any(moved[:35]) and all(moved[48:])  # mines of the other tile aren't made again


def test_a_tile_that_appears_counts(tmp_path, corner):
    _, _, surface = corner
    pattern = make_bucket(tmp_path, {"N46_E006": (46, 6)}, surface)
    box = (6.9, 46.4, 6.99, 46.5)
    before = DemRevisions(DemSource((pattern,))).over(box)
    make_bucket(tmp_path, {"N46_E007": (46, 7)}, surface)
    after = DemRevisions(DemSource((pattern,))).over(box)
    assert before.name == after.name and before.key != after.key and "absent" in before.key


def test_a_failure_is_asked_once_too(served: TileServer):
    served.faults.append(["N46", 403, 1000])
    revisions = DemRevisions(DemSource((served.pattern,)))
    for _ in range(5):
        with pytest.raises(Unavailable, match="access is refused"):
            revisions.over((6.3, 46.3, 6.4, 46.4))
    assert 1000 - served.faults[0][2] == 1


def test_the_facts_of_a_preset():
    dem = DemSource(("glo30",))
    assert dem.name == "Copernicus GLO-30 (egm2008, geoid EGM96 15', 2010-12/2015-01)"
    own = DemSource(("glo30",), geoid="s3://grids/egm2008-1.gtx")
    assert "geoid egm2008-1.gtx" in own.name and own.key != dem.key
    assert DemSource(("a/b/dem.tif",), "ellipsoid").name == "dem.tif (ellipsoid)"


# heights above the ellipsoid

# EGM2008 as published: its own test output (37 N, the poles), the agency's calculator (two), GeoidEval egm2008-1
PUBLISHED = [
    (37.0, -119.0, -26.151),
    (90.0, 0.0, 14.899),
    (-90.0, 0.0, -30.150),
    (42.244169, -83.506643, -34.89),
    (33.27639, -112.28222, -30.86),
    (50.0, 5.0, 46.8542),
    (0.0, 0.0, 17.226),
    (20.0, 50.0, -30.7048),
]


def test_the_built_in_geoid_stands_in_for_egm2008_to_the_stated_accuracy():
    errors = [undulation([math.radians(y)], [math.radians(x)])[0, 0] - n for y, x, n in PUBLISHED]
    # measured: 0.56 m RMS, 1.29 m at the north pole
    assert np.abs(errors).max() < 1.3 and math.hypot(*errors) / math.sqrt(len(errors)) < 0.6  # m


def test_real_copernicus_heights_in_tiles(shared_data, tmp_path):
    # real GLO-30 cells around 34 N 118 W, cut as the public tiles are, against the same above the ellipsoid (EGM2008)
    files = [shared_data / "geoid" / f"los_angeles_dem_{kind}.tif" for kind in ("geoid", "ellipsoid")]
    with rasterio.open(files[0]) as low, rasterio.open(files[1]) as high:
        heights, t = low.read(1), low.transform
        write_tile(tmp_path / "n.tif", *axes(heights, t), high.read(1) - heights)
    latitude, longitude = axes(heights, t)
    for lat, rows in (("N34", latitude > 34.0 + 1e-6), ("N33", latitude <= 34.0 + 1e-6)):
        for lon, cols in (("W119", longitude < -118.0 - 1e-6), ("W118", longitude >= -118.0 - 1e-6)):
            path = tmp_path / LAYOUT.format(lat=lat, lon=lon)
            write_tile(path, latitude[rows], longitude[cols], heights[np.ix_(rows, cols)])
    box = (-118.03, 33.97, -117.97, 34.03)
    truth = read_dem(str(files[1]), box, "ellipsoid", margin=0.0)
    built_in = read_dem(f"{tmp_path}/{LAYOUT}", box, "egm2008", margin=0.0)
    assert len(built_in.source) == 4 and built_in.height.shape == truth.height.shape
    residual = built_in.height.astype(np.float64) - truth.height
    assert np.abs(residual).max() < 0.8 and residual.std() < 0.03  # m: EGM96 in place of EGM2008, 0.72 m here
    exact = read_dem(f"{tmp_path}/{LAYOUT}", box, "egm2008", margin=0.0, geoid=str(tmp_path / "n.tif"))
    assert np.abs(exact.height - truth.height).max() < 1e-3  # m


def axes(values, t):
    return t.f + t.e * (np.arange(values.shape[0]) + 0.5), t.c + t.a * (np.arange(values.shape[1]) + 0.5)


# the command


def test_a_plan_asks_for_tiles_and_says_what_is_missing(tmp_path, capsys):
    flat = make_bucket(tmp_path / "dem", {"S28_E022": (-28, 22)}, lambda lat, lon: 1180.0 + 0.0 * lat * lon)
    features = [mine("inland", 22.5, -27.5), mine("nowhere", 23.5, -27.5)]
    (tmp_path / "mines.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    granules = [item_of(granule(k)) for k in range(4)]
    with serve_api(Replica(granules)) as api:
        words = [
            "plan",
            "--archive",
            api.archive,
            "--mine",
            str(tmp_path / "mines.geojson"),
            "--years",
            "2021",
            "--json",
        ]
        words += ["--out", str(tmp_path / "out"), "--dem"]
        assert main([*words, flat]) == 1
        rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)["jobs"]}
        assert rows["inland-t036-2021"]["action"] == "make"
        assert rows["nowhere"]["action"] == "leave" and "S28_E023 must be there" in rows["nowhere"]["why"]
        with serve(tmp_path / "dem") as tiles:
            tiles.faults.append(["S28_00_E022", 403, 9])
            assert main([*words, tiles.pattern]) == 1
        rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)["jobs"]}
        assert "access is refused" in rows["inland"]["why"] and "S28_E023" in rows["nowhere"]["why"]
        assert main([*words, "s3://dem/{lat}.tif"]) == 2
        assert "must have {lat} and {lon}" in capsys.readouterr().err


def mine(name, west, south):
    ring = [[west, south], [west + 0.02, south], [west + 0.02, south + 0.02], [west, south + 0.02], [west, south]]
    facts = {"id": name, "name": name, "country": "ZAF", "commodity": "iron ore"}
    return {"type": "Feature", "properties": facts, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def granule(k):
    day = str(np.datetime64("2021-03-04") + 12 * k)
    name = (
        f"S1A_IW_SLC__1SDV_{day.replace('-', '')}T164325_{day.replace('-', '')}T164352_036850_04561A_{0xA000 + k:04X}"
    )
    square = ((22.0, -28.0), (24.0, -28.0), (24.0, -27.0), (22.0, -27.0))
    return Granule(np.datetime64(f"{day}T16:43:25", "ns"), name, 36, "", f"r{k}", square, orbit_pass="descending")


@pytest.mark.parametrize(
    "urls, datum, message",
    [
        (("glo30",), "egm96", "DEM datum of glo30 must be egm2008, instead got egm96"),
        (("s3://b/{lat}.tif",), None, r"must have \{lat\} and \{lon\}.*instead got 's3://b/\{lat\}\.tif'"),
        (("s3://b/{lat}{lon}{x}.tif",), None, "preset is one of glo30, glo90"),
    ],
)
def test_what_is_refused(urls, datum, message):
    with pytest.raises(BadInput, match=message):
        DemSource(urls, datum)


def test_files_alone_ask_nothing():
    found = TileIndex().find(("/nowhere/a.tif", "/nowhere/b.tif"), (6.0, 50.0, 6.1, 50.1))
    assert found.urls == ("/nowhere/a.tif", "/nowhere/b.tif") and found.revisions == found.empty == ()
    assert patterns_of(("/nowhere/a.tif", "glo90")) == ("/nowhere/a.tif", *PRESETS["glo90"].patterns)
