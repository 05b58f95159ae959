"""The table, the cube's template and validation, and the store: bytes, visibility, refusals."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from pipeline.cube import (
    cube_attributes,
    grid_of,
    map_dataset,
    open_cube,
    template,
    validate,
    write_cube,
    write_map,
)
from pipeline.errors import AlreadyExists, BadInput, Unavailable
from pipeline.fingerprint import Source, fingerprint, version_name
from pipeline.model import Mine
from pipeline.settings import Settings
from pipeline.variables import (
    DATA_VARIABLES,
    LARGEST_CHUNK,
    REASONS,
    VARIABLES,
    chunk_shape,
    reason_codes,
    reason_words,
)
from pipeline.zarr_store import bit_round, encode_store, manifest_bytes, read_store, verify, write_store

from .product_example import PAIRS, SHAPE, example_cube, example_grid, example_times

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


@pytest.fixture
def memory():
    """A clean in-memory file system, the stand-in for an object store: no rename, exclusive create."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    yield fs
    fs.store.clear()


class FailingFileSystem(MemoryFileSystem):
    """An object store that refuses every write after the first few."""

    protocol = "failing"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]
    left: ClassVar[int] = 10**9

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        if type(self).left <= 0:
            raise OSError("connection lost")
        type(self).left -= 1
        super().pipe_file(path, value, mode=mode, **kwargs)


@pytest.fixture
def failing():
    fsspec.register_implementation("failing", FailingFileSystem, clobber=True)
    FailingFileSystem.store.clear()
    yield FailingFileSystem
    FailingFileSystem.store.clear()
    FailingFileSystem.left = 10**9


# --- table ---------------------------------------------------------------------------------------------------------


def test_every_variable_of_the_table_is_described():
    for name, variable in VARIABLES.items():
        assert variable.name == name
        assert variable.attributes["long_name"]
        if variable.is_float and name not in ("y", "x"):
            assert np.isnan(variable.fill) and variable.units
        if variable.flags:
            values = [value for value, _ in variable.flags]
            assert values == sorted(set(values))
            assert len(variable.attributes["flag_meanings"].split()) == len(values)


def test_no_unit_is_decoded_as_a_time_span_by_xarray():
    # "days" would come back as timedelta64 from xarray; "d" is the same unit to UDUNITS
    assert VARIABLES["temporal_baseline"].units == "d"


@pytest.mark.parametrize(
    ("dims", "shape", "itemsize", "expected"),
    [
        (("pair", "y", "x"), (31, 500, 500), 4, (4, 500, 500)),  # 4 MB
        (("pair", "y", "x"), (3, 100, 100), 4, (3, 100, 100)),  # all of it
        (("pair", "y", "x"), (31, 1500, 1500), 4, (1, 1500, 1500)),  # 9 MB
        (("pair", "y", "x"), (31, 2000, 2000), 4, (1, 1000, 2000)),  # 16 MB is cut in two
        (("y", "x"), (500, 400), 1, (500, 400)),
        (("pair",), (31,), 8, (31,)),
        ((), (), 4, ()),
    ],
)
def test_chunks(dims, shape, itemsize, expected):
    assert chunk_shape(dims, shape, itemsize) == expected


@given(st.integers(1, 60), st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([1, 4, 8]))
def test_chunks_never_exceed_the_limit_nor_the_array(pairs, height, width, itemsize):
    chunks = chunk_shape(("pair", "y", "x"), (pairs, height, width), itemsize)
    assert itemsize * np.prod(chunks) <= LARGEST_CHUNK + itemsize * width  # one row of rounding up
    assert all(1 <= c <= n for c, n in zip(chunks, (pairs, height, width), strict=True))
    assert chunks[2] == width


def test_reasons_there_and_back():
    assert reason_words(reason_codes(REASONS)) == REASONS
    assert reason_codes(["", "low_stable_mean"]).tolist() == [0, 1]


def test_unknown_reason_is_refused():
    with pytest.raises(BadInput, match=r"reason must be one of accepted, .* instead got 'snow'"):
        reason_codes(["snow"])


# --- bit rounding --------------------------------------------------------------------------------------------------


def test_bit_round_analytic():
    values = np.array([1.0, 1.0 + 2**-7, 1.0 + 2**-8, 1.0 + 3 * 2**-8, -0.3, 0.0], np.float32)
    # 7 bits: 1 + 2**-8 is a tie and goes to the even 1, 1 + 3 * 2**-8 a tie that goes to 1 + 2**-6
    expected = [1.0, 1.0 + 2**-7, 1.0, 1.0 + 2**-6, -0.30078125, 0.0]
    np.testing.assert_array_equal(bit_round(values, 7), np.array(expected, np.float32))


def test_bit_round_keeps_what_is_not_a_number():
    values = np.array([np.nan, np.inf, -np.inf, np.float32(3.4e38)], np.float32)
    rounded = bit_round(values, 7)
    assert np.isnan(rounded[0]) and rounded[1] == np.inf and rounded[2] == -np.inf


def test_bit_round_of_all_bits_is_identity():
    values = np.random.default_rng(0).normal(size=100).astype(np.float32)
    np.testing.assert_array_equal(bit_round(values, 23), values)


@given(st.lists(st.floats(-1e6, 1e6, width=32, allow_subnormal=False), min_size=1), st.integers(1, 23))
def test_bit_round_error_is_bounded_and_rounding_twice_changes_nothing(values, keep):
    values = np.array(values, np.float32)
    rounded = bit_round(values, keep)
    assert np.all(np.abs(rounded.astype(float) - values) <= np.abs(values.astype(float)) * 2.0 ** -(keep + 1))
    np.testing.assert_array_equal(bit_round(rounded, keep), rounded)


def test_bit_round_refuses_other_types():
    with pytest.raises(BadInput, match="must be float32, instead got float64"):
        bit_round(np.zeros(3), 7)
    with pytest.raises(BadInput, match=r"keep_bits must lie in 1..23, instead got 0"):
        bit_round(np.zeros(3, np.float32), 0)


# --- template and validation ---------------------------------------------------------------------------------------


def test_template_is_complete_and_missing_everywhere():
    cube = template(example_grid("sishen"), *example_times())
    assert set(cube.data_vars) == set(DATA_VARIABLES)
    assert dict(cube.sizes) == {"pair": PAIRS, "y": SHAPE[0], "x": SHAPE[1]}
    assert np.isnan(cube["coherence"]).all() and np.isnan(cube["ndai"]).all()
    assert (cube["activity"] == 0).all() and (cube["mine"] == 255).all() and not cube["accepted"].any()
    np.testing.assert_array_equal(cube["temporal_baseline"], 12)  # days
    assert cube["coherence"].attrs["grid_mapping"] == "spatial_ref"


def test_template_coordinates_are_pixel_centres():
    grid = example_grid("musan")
    cube = template(grid, *example_times())
    assert float(cube["x"][0]) == 521_010.0  # m, half a pixel from the left edge
    assert float(cube["y"][0]) == 4_674_000.0 + SHAPE[0] * 20 - 10  # m, half a pixel below the top
    assert grid_of(cube) == grid


def test_template_refuses_bad_pairs():
    reference, secondary = example_times()
    with pytest.raises(BadInput, match=r"must be lists of one length, instead got \(9,\) and \(8,\)"):
        template(example_grid("musan"), reference, secondary[:-1])
    with pytest.raises(BadInput, match="pairs must be sorted by secondary_time"):
        template(example_grid("musan"), reference[::-1], secondary[::-1])


def test_a_rotated_grid_is_refused():
    grid = example_grid("musan").rotate(10)
    with pytest.raises(BadInput, match="the grid must be north up"):
        template(grid, *example_times())


def test_attributes_say_what_it_is_and_have_no_clock():
    mine = Mine("m", "M", {}, "ZAF", "gold")
    facts = {"track": 5, "equivalent_looks": 7.4, "source_granules": ["b", "a", "b"], "fingerprint": "f"}
    attributes = cube_attributes(mine, 2021, Settings(), **facts, burst_ids=["t2", "t1"])
    assert attributes == cube_attributes(mine, 2021, Settings(), **facts, burst_ids=["t1", "t2"])
    assert attributes["source_granules"] == "a b" and attributes["burst_ids"] == "t1 t2"
    assert attributes["looks"].startswith("7x2") and attributes["equivalent_looks"] == 7.4
    assert json.loads(attributes["settings"])["spacing"] == 20.0
    assert all(isinstance(value, str | int | float) for value in attributes.values())  # fits netCDF too


def test_example_validates():
    validate(example_cube())


BREAKS = {
    "missing variable": (lambda c: c.drop_vars("ndai"), "first difference: ndai"),
    "unknown variable": (lambda c: c.assign(extra=c["ndai"]), "first difference: extra"),
    "type": (lambda c: c.assign(ndai=c["ndai"].astype("float64")), "'ndai' must be float32 .* instead got float64"),
    "dimensions": (lambda c: c.assign(ndai=c["ndai"].T), r"'ndai' must be float32 .* instead got .*\('x', 'y'\)"),
    "range": (lambda c: c.assign(coherence=c["coherence"] + np.float32(0.5)), r"'coherence' must lie in 0.0..1.0"),
    "infinite": (lambda c: c.assign(ndai=c["ndai"].where(c["ndai"] < 0.1, np.inf)), "'ndai' must lie in"),
    "class": (lambda c: c.assign(activity=c["activity"] + np.uint8(9)), "'activity' must hold .* instead it holds"),
    "attribute": (lambda c: c.assign_attrs(fingerprint=""), "missing: fingerprint"),
    "order of dates": (lambda c: c.assign_coords(reference_time=c["secondary_time"]), "must be later than reference"),
    "reason": (lambda c: c.assign(accepted=~c["accepted"]), "pair 0: accepted is False but its reason has code 0"),
    "dates": (
        lambda c: c.assign_coords(reference_time=c["reference_time"].where(c["pair"] > 0)),
        "'reference_time' has dates that are missing",
    ),
    "grid": (lambda c: c.assign_coords(x=c["x"] ** 2), "must be those of a regular north-up grid"),
    "south up": (lambda c: c.isel(y=slice(None, None, -1)), "must be those of a regular north-up grid"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_broken_cubes_are_refused(name):
    break_it, message = BREAKS[name]
    with xr.set_options(keep_attrs=True), pytest.raises(BadInput, match=message):
        validate(break_it(example_cube()))


def test_layers_must_fit_the_grid():
    with pytest.raises(BadInput, match=r"layer 'coherence' must be \(y, x\) .* instead got \(3, 3\)"):
        map_dataset(example_grid("sishen"), {"coherence": np.zeros((3, 3), np.float32)})


# --- store ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_what_is_written_is_read(kind, tmp_path, memory):
    url = tmp_path / "a" / "c.zarr" if kind == "local" else "memory://bucket/c.zarr"
    cube = example_cube()
    manifest = write_cube(cube, url)
    verify(url, manifest)
    found = open_cube(url)
    assert found["coherence"].dtype == np.float32 and found["activity"].dtype == np.uint8
    np.testing.assert_array_equal(np.isnan(found["coherence"]), np.isnan(cube["coherence"]))
    assert float(abs(found["coherence"] - cube["coherence"]).max()) <= 0.002  # 7 bits below 1
    assert float(abs(found["ndai"] - cube["ndai"]).max()) <= 0.00025  # 10 bits below 0.5
    assert float(abs(found["height"] - cube["height"]).max()) <= 0.01  # m, 16 bits below 2048 m
    for name in ("activity", "accepted", "reason", "reference_time", "secondary_time", "temporal_baseline", "x", "y"):
        np.testing.assert_array_equal(found[name], cube[name])
    assert set(found.coords) == {"pair", "reference_time", "secondary_time", "y", "x", "spatial_ref"}
    assert grid_of(found) == grid_of(cube)


def test_same_cube_same_bytes():
    assert encode_store(example_cube()) == encode_store(example_cube())


def test_the_same_store_from_many_threads_at_once():
    cube = example_cube()
    with ThreadPoolExecutor(4) as pool:  # nor a warning from any of them: warnings are errors here
        stores = list(pool.map(lambda _: encode_store(cube), range(8)))
    assert all(store == stores[0] for store in stores)


def test_the_store_is_plain_zarr_3(tmp_path):
    write_cube(example_cube(), tmp_path / "c.zarr")
    group = zarr.open_group(tmp_path / "c.zarr", mode="r")
    assert group.metadata.zarr_format == 3 and group.metadata.consolidated_metadata is not None
    for name, array in group.arrays():
        document = json.loads((tmp_path / "c.zarr" / name / "zarr.json").read_text())
        assert [codec["name"] for codec in document["codecs"]] == ["bytes", "blosc"]  # no sharding, no crc32c
        assert "_FillValue" not in document["attributes"] or document["fill_value"] == "NaN"
        if array.dtype.kind == "f" and name not in ("x", "y"):
            assert document["fill_value"] == "NaN" and "_FillValue" in document["attributes"]
    assert group["coherence"].chunks == (PAIRS, *SHAPE)
    assert group["activity"].fill_value == 0 and group["mine"].fill_value == 255


def test_nothing_else_is_left_beside_a_local_store(tmp_path):
    write_cube(example_cube(), tmp_path / "c.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["c.zarr"]
    assert (tmp_path / "c.zarr").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_an_existing_store_is_kept_unless_asked(kind, tmp_path, memory):
    url = str(tmp_path / "c.zarr") if kind == "local" else "memory://bucket/c.zarr"
    first = write_cube(example_cube(), url)
    other = example_cube(fingerprint="cd" * 32)
    other["activity"].values[:] = 0  # a chunk that is all missing isn't stored: an old one must not shine through
    with pytest.raises(AlreadyExists, match=r"c.zarr exists already; choose another place"):
        write_cube(other, url)
    verify(url, first)
    second = write_cube(other, url, overwrite=True)
    verify(url, second)
    assert int(open_cube(url)["activity"].max()) == 0
    if kind == "local":
        assert [path.name for path in tmp_path.iterdir()] == ["c.zarr"]


@pytest.mark.parametrize("kind", ["local", "memory"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_other_peoples_files_are_never_replaced(kind, overwrite, tmp_path, memory):
    url = str(tmp_path / "home") if kind == "local" else "memory://bucket/home"
    fs, path = fsspec.core.url_to_fs(url)
    fs.makedirs(path)
    fs.makedirs(f"{path}/letters")
    fs.pipe_file(f"{path}/letters/thesis.tex", b"years of work")
    with pytest.raises(AlreadyExists, match=r"home holds letters/thesis.tex, which is no part of a Zarr store"):
        write_cube(example_cube(), url, overwrite=overwrite)
    assert fs.cat_file(f"{path}/letters/thesis.tex") == b"years of work"


def test_a_file_is_never_replaced(tmp_path):
    (tmp_path / "c.zarr").write_text("a file")
    with pytest.raises(AlreadyExists, match=r"c.zarr exists already"):
        write_cube(example_cube(), tmp_path / "c.zarr", overwrite=True)
    assert (tmp_path / "c.zarr").read_text() == "a file"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Unavailable, match=r"can't write .*file/c.zarr"):
        write_cube(example_cube(), tmp_path / "file" / "c.zarr")


@pytest.mark.parametrize("writes", [0, 1, 20, 48])
def test_a_writer_that_dies_leaves_nothing_to_read_and_can_be_repeated(failing, writes):
    url, cube = "failing://bucket/c.zarr", example_cube()
    failing.left = writes
    with pytest.raises(Unavailable, match=r"can't write failing://bucket/c.zarr"):
        write_cube(cube, url)
    with pytest.raises(Unavailable, match="no complete Zarr 3 store is there"):
        read_store(url)
    failing.left = 10**9
    cube["activity"].values[:] = 0
    verify(url, write_cube(cube, url))


def test_verify_sees_a_flipped_bit_a_missing_and_a_strange_object(tmp_path):
    manifest = write_cube(example_cube(), tmp_path / "c.zarr")
    chunk = tmp_path / "c.zarr" / "ndai" / "c" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[-1] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(Unavailable, match="ndai/c/0/0 differs from what was written"):
        verify(tmp_path / "c.zarr", manifest)
    chunk.rename(chunk.with_name("1"))
    with pytest.raises(Unavailable, match="first difference: ndai/c/0/0"):
        verify(tmp_path / "c.zarr", manifest)


def test_manifest_lists_every_object(tmp_path):
    manifest = write_cube(example_cube(), tmp_path / "c.zarr")
    document = json.loads(manifest_bytes(manifest, "c.zarr"))
    files = {
        p.relative_to(tmp_path / "c.zarr").as_posix(): p for p in Path(tmp_path / "c.zarr").rglob("*") if p.is_file()
    }
    assert {entry["key"] for entry in document["objects"]} == set(files)
    for entry in document["objects"]:
        data = files[entry["key"]].read_bytes()
        assert entry["size"] == len(data) and entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert document["size"] == sum(path.stat().st_size for path in files.values())


def test_opening_what_is_not_there(tmp_path):
    with pytest.raises(Unavailable, match=r"can't open .*nothing.zarr: no complete Zarr 3 store is there"):
        open_cube(tmp_path / "nothing.zarr")


def test_a_map_with_radar_groups(tmp_path):
    rng = np.random.default_rng(2)
    samples = (rng.normal(size=(30, 50)) + 1j * rng.normal(size=(30, 50))).astype(np.complex64)
    samples[0] = np.nan
    radar = xr.Dataset(
        {
            "reference": (("line", "sample"), samples),
            "secondary": (("line", "sample"), samples.conj()),
            "line_offset": (("line", "sample"), rng.normal(size=(30, 50))),
            "sample_offset": (("line", "sample"), rng.normal(size=(30, 50))),
        },
        coords={"line": np.arange(100, 130), "sample": np.arange(2000, 2050)},
        attrs={"burst_id": "t088_185683_iw2"},
    )
    layer = map_dataset(example_grid("musan"), {"coherence": np.full(SHAPE, 0.5, np.float32)}, {"title": "a pair"})
    manifest = write_map(layer, tmp_path / "p.zarr", groups={"radar/t088_185683_iw2": radar})
    verify(tmp_path / "p.zarr", manifest)
    assert open_cube(tmp_path / "p.zarr")["coherence"].dims == ("y", "x")
    found = read_store(tmp_path / "p.zarr", group="radar/t088_185683_iw2")
    xr.testing.assert_identical(found.load(), radar)  # complex and float64 are not rounded
    tree = xr.open_datatree(tmp_path / "p.zarr", engine="zarr", chunks=None)
    assert tree["radar/t088_185683_iw2"]["reference"].dtype == np.complex64
    below = zarr.open_group(tmp_path / "p.zarr", mode="r", use_consolidated=True)
    assert below["radar/t088_185683_iw2/line_offset"].shape == (30, 50)
    walked = zarr.open_group(tmp_path / "p.zarr", mode="r", use_consolidated=False)
    assert {name for name, _ in below.members(max_depth=None)} == {name for name, _ in walked.members(max_depth=None)}


def test_a_dataset_without_a_grid_is_refused(tmp_path):
    with pytest.raises(BadInput, match="must be those of a regular north-up grid"):
        write_map(xr.Dataset({"a": ("y", np.zeros(3))}), tmp_path / "a.zarr")
    assert not list(tmp_path.iterdir())


def test_any_dataset_can_be_stored(tmp_path):
    plain = xr.Dataset({"a": ("n", np.arange(5)), "t": ("n", np.arange(5).astype("datetime64[D]").astype("M8[ns]"))})
    write_store(plain, tmp_path / "a.zarr")
    xr.testing.assert_identical(read_store(tmp_path / "a.zarr").load(), plain)


def test_geographic_grids_have_geographic_axes():
    grid = GeoBox.from_bbox((22.9, -27.8, 23.0, -27.7), "EPSG:4326", resolution=0.001)
    dataset = map_dataset(grid, {"coherence": np.zeros(grid.shape, np.float32)})
    assert dataset["x"].attrs["standard_name"] == "longitude" and dataset["y"].attrs["units"] == "degrees_north"


# --- fingerprint ---------------------------------------------------------------------------------------------------

MINE = Mine("m", "M", {"type": "Point", "coordinates": [1.0, 2.0]})
SOURCES = (Source("t1_iw1", "A", "e1", "POE1"), Source("t1_iw1", "B", "e2", "POE2"))


def test_fingerprint_is_the_same_for_the_same_inputs():
    key = fingerprint(MINE, 2021, SOURCES, "dem", Settings())
    assert len(key) == 64 and int(key, 16) >= 0
    assert key == fingerprint(MINE, 2021, [*SOURCES[::-1], SOURCES[0]], "dem", Settings())
    assert key == fingerprint(Mine("m", "renamed", MINE.geometry), 2021, SOURCES, "dem", Settings())
    assert version_name(key, "1.2.3") == f"v1.2.3-{key[:8]}"


@settings(max_examples=20)
@given(st.sampled_from(["mine", "shape", "year", "source", "orbit", "dem", "settings", "version", "force"]))
def test_fingerprint_changes_with_every_input(what):
    base = {"mine": MINE, "year": 2021, "sources": SOURCES, "dem": "dem", "settings": Settings()}
    changes = {
        "mine": {"mine": Mine("n", "M", MINE.geometry)},
        "shape": {"mine": Mine("m", "M", {"type": "Point", "coordinates": [1.0, 2.1]})},
        "year": {"year": 2022},
        "source": {"sources": SOURCES[:1]},
        "orbit": {"sources": (SOURCES[0], Source("t1_iw1", "B", "e2", "RES2"))},
        "dem": {"dem": "other"},
        "settings": {"settings": Settings(spacing=10.0)},
        "version": {"version": "9"},
        "force": {"force": "again"},
    }
    assert fingerprint(**{**base, **changes[what]}) != fingerprint(**base)


def test_fingerprint_needs_a_source():
    with pytest.raises(BadInput, match="needs at least one source burst, instead mine m has none in 2021"):
        fingerprint(MINE, 2021, [], "dem", Settings())
