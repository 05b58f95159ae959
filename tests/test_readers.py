"""Programs that are not ours open the published product and see the same CRS, transform, missing pixels and values.

One product south and one north of the equator and one across the antimeridian, all with missing rows. A reader is
skipped only where it isn't installed.
"""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import xarray as xr
import zarr_cm

from catalog.publish import publish
from pipeline.cube import open_cube

from .product_example import AREA, PAIRS, PLACES, SHAPE, example_cube, example_extras, example_grid

LAYERS = ("ndai", "ndai_debiased", "coherence_mean", "height", "incidence_angle")  # float maps of the cube
GDAL_ZARR3 = (
    3,
    11,
)  # the first GDAL that knows Zarr 3 as it was settled: before, its "bytes" codec was called "endian"

pytestmark = [
    # odc-geo, rioxarray, rasterix with affine 3
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    for site, (mine, _, _) in PLACES.items():
        publish(mine, example_cube(site), AREA, example_extras(), folder)
    return folder


@pytest.fixture(params=PLACES)
def site(request) -> str:
    return request.param


@pytest.fixture
def item(root, site) -> pystac.Item:
    return pystac.Item.from_file(str(root / f"catalog/mine-activity/{site}-2021.json"))


@pytest.fixture
def store(item) -> str:
    return item.assets["cube"].get_absolute_href()


@pytest.fixture
def truth(store) -> xr.Dataset:
    return open_cube(store).load()


@pytest.fixture
def epsg(site) -> int:
    return int(PLACES[site][1].split(":")[1])


@pytest.fixture
def transform(site) -> tuple[float, ...]:
    return tuple(example_grid(site).affine)[:6]


def test_truth_is_what_was_published(truth, site):
    expected = example_cube(site)
    assert int(np.isnan(truth["ndai"]).sum()) == 3 * SHAPE[1]
    np.testing.assert_allclose(truth["ndai"], expected["ndai"], atol=2.5e-4)  # bit rounding
    np.testing.assert_array_equal(truth["activity"], expected["activity"])


def test_xarray(store, truth):
    cube = xr.open_zarr(store, chunks=None)
    xr.testing.assert_identical(cube.load(), truth)
    assert cube["ndai"].dtype == np.float32 and cube["activity"].dtype == np.uint8 and cube["accepted"].dtype == bool
    assert cube["temporal_baseline"].dtype == np.float64
    every = xr.open_zarr(store, chunks=None, decode_coords="all")
    assert every["ndai"].encoding["grid_mapping"] == "spatial_ref" and "spatial_ref" in every.coords


def test_attributes_of_variables_fit_netcdf_too(truth):
    # a list of words or a JSON object in an attribute would stop a user from saving a layer elsewhere
    for name, variable in truth.variables.items():
        for key, value in variable.attrs.items():
            assert isinstance(value, str | int | float | list), (name, key)
    assert json.loads(truth.attrs["settings"])["looks"] == [7, 2]


def test_rioxarray(store, site, truth, epsg, transform):
    importlib.import_module("rioxarray")
    cube = xr.open_zarr(store, chunks=None)
    for name in LAYERS:
        layer = cube[name]
        assert layer.rio.crs.to_epsg() == epsg
        assert tuple(layer.rio.transform())[:6] == transform
        assert np.isnan(layer.rio.nodata)
        np.testing.assert_array_equal(layer, truth[name])
    assert cube["activity"].rio.nodata == 0 and cube["mine"].rio.nodata == 255
    assert cube["coherence"].rio.bounds() == example_bounds(transform)
    # GDAL gives a map of longitudes across the antimeridian no width; any projected one is right
    other = cube["ndai"].rio.reproject("EPSG:3832" if site == "across" else "EPSG:4326")
    assert np.isfinite(other).sum() > 0.5 * np.isfinite(truth["ndai"]).sum()


def test_odc_geo(store, site, epsg):
    import odc.geo.xr  # noqa: F401

    cube = xr.open_zarr(store, chunks=None)
    assert cube.odc.geobox == example_grid(site) and cube["coherence"].odc.geobox == example_grid(site)
    assert cube.odc.crs.epsg == epsg
    assert np.isnan(cube["ndai"].odc.nodata) and cube["activity"].odc.nodata == 0


def test_rasterix(store, truth, transform, epsg):
    rasterix = importlib.import_module("rasterix")
    cube = rasterix.assign_index(xr.open_zarr(store, chunks=None))
    assert tuple(cube.xindexes["x"].transform())[:6] == transform
    assert cube.proj.crs.to_epsg() == epsg  # through xproj, which comes with it
    np.testing.assert_array_equal(cube["x"], truth["x"])
    np.testing.assert_array_equal(cube["y"], truth["y"])
    np.testing.assert_array_equal(cube["ndai"], truth["ndai"])
    x, y = float(truth["x"][10]), float(truth["y"][25])
    assert float(cube["ndai"].sel(x=x, y=y, method="nearest")) == float(truth["ndai"][25, 10])


def gdal_name(store: str, scratch: Path) -> str:
    """The store for the GDAL at hand: itself, or for a GDAL before 3.11 a copy in which one codec has its draft name.

    The wheel of rasterio for Python 3.11 carries GDAL 3.10, for 3.12 and later GDAL 3.12.
    """
    if tuple(int(n) for n in rasterio.__gdal_version__.split(".")[:2]) >= GDAL_ZARR3:
        return store
    copy = scratch / "draft.zarr"
    shutil.copytree(store, copy)
    for path in copy.rglob("zarr.json"):
        document = json.loads(path.read_text())
        document.pop("consolidated_metadata", None)
        for codec in document.get("codecs", ()):
            if codec["name"] == "bytes":
                codec |= {"name": "endian", "configuration": {"endian": "little"}}
        path.write_text(json.dumps(document))
    return str(copy)


def test_gdal_through_rasterio(store, truth, epsg, transform, tmp_path):
    name = gdal_name(store, tmp_path)
    for layer in (*LAYERS, "activity", "mine", "ndai_count"):
        with rasterio.open(f'ZARR:"{name}":/{layer}') as source:
            assert source.crs.to_epsg() == epsg
            assert tuple(source.transform)[:6] == transform
            expected = {"activity": 0, "mine": 255, "ndai_count": 0}.get(layer)
            assert np.isnan(source.nodata) if expected is None else source.nodata == expected
            np.testing.assert_array_equal(source.read(1), truth[layer])
    with rasterio.open(f'ZARR:"{name}":/coherence') as source:
        assert source.count == PAIRS and source.crs.to_epsg() == epsg
        np.testing.assert_array_equal(source.read(), truth["coherence"])
        assert not source.read_masks(1)[:3].any() and source.read_masks(1)[3:].all()
    with rasterio.open(f'ZARR:"{name}":/accepted') as source:
        np.testing.assert_array_equal(source.read(1).ravel(), truth["accepted"])


def test_cogs_through_rasterio(item, truth, epsg, transform):
    for layer, nodata in (("ndai", np.nan), ("activity", 0)):
        with rasterio.open(item.assets[layer].get_absolute_href()) as source:
            assert source.crs.to_epsg() == epsg and tuple(source.transform)[:6] == transform
            np.testing.assert_equal(source.nodata, nodata)
            np.testing.assert_array_equal(source.read(1), truth[layer])
    with rasterio.open(item.assets["composite"].get_absolute_href()) as source:
        assert source.crs.to_epsg() == epsg and source.count == 4


def test_xpystac(item, truth):
    importlib.import_module("xpystac")
    item.make_asset_hrefs_absolute()  # xpystac takes an href as it stands
    cube = xr.open_dataset(item.assets["cube-xarray"], engine="stac", chunks=None)
    xr.testing.assert_identical(cube.load(), truth)
    layer = xr.open_dataset(item.assets["ndai"], engine="stac", chunks=None)["band_data"]
    np.testing.assert_array_equal(layer[0], truth["ndai"])


def test_titiler_xarray(store, truth, epsg):
    reader = importlib.import_module("titiler.xarray.io").Reader
    with reader(store, variable="ndai") as source:
        assert source.crs.to_epsg() == epsg
        assert tuple(source.bounds) == tuple(np.array(truth.attrs["spatial:bbox"]))
        image = source.preview(max_size=None).array
        np.testing.assert_array_equal(image.mask[0], np.isnan(truth["ndai"]))
        np.testing.assert_array_equal(image[0].filled(0), truth["ndai"].fillna(0))
        tile = source.tile(*tile_over(truth, epsg))
        assert tile.array.count() > 0
    with reader(store, variable="coherence", sel=["pair=3"]) as source:
        image = source.preview(max_size=None).array
        np.testing.assert_array_equal(image[0].filled(0), truth["coherence"].sel(pair=3).fillna(0))


def test_zarr_conventions(store, transform, epsg):
    metadata = json.loads((Path(store) / "zarr.json").read_text())
    document = {key: metadata[key] for key in ("zarr_format", "node_type", "attributes")}
    assert zarr_cm.proj.validate_group_metadata(document)
    assert zarr_cm.spatial.validate_group_metadata(document)
    _, found = zarr_cm.extract_all(document["attributes"])
    assert found["proj"]["proj:code"] == f"EPSG:{epsg}" and found["proj"]["proj:wkt2"].startswith("PROJCRS")
    assert tuple(found["spatial"]["spatial:transform"]) == transform
    assert tuple(found["spatial"]["spatial:shape"]) == SHAPE


def example_bounds(transform) -> tuple[float, ...]:
    """(left, bottom, right, top) of a grid with the example's shape."""
    a, _, left, _, e, top = transform
    return left, top + e * SHAPE[0], left + a * SHAPE[1], top


def tile_over(truth, epsg) -> tuple[int, int, int]:
    """x, y and zoom of the web map tile over the middle of the product."""
    from pyproj import Transformer

    lon, lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform(truth["x"].mean(), truth["y"].mean())
    n = 2**13
    x, y = (lon + 180) / 360 * n, (1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * n
    return int(x), int(y), 13
