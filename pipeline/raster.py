"""Part of one or several rasters, from any URL, on one north-up latitude/longitude grid.

What elevation and geoid models have in common: which cells to read, half a cell of pixel convention, no-data, tiles,
map projections and the antimeridian. GDAL places a raster by the corner of its first cell whatever the file says
(pixel-is-area or pixel-is-point), so a centre is always half a cell further; nothing else here knows of the convention.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio import Affine
from rasterio.enums import Resampling
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window

from .constants import WGS84_A, WGS84_E2
from .errors import BadInput, NoCoverage, Unavailable
from .limits import MIB, RASTER_BLOCK, RASTER_CELLS, sane
from .storage import open_store, public_url

LATLON = pyproj.CRS.from_epsg(4326)
ALIGNED = 1e-3  # cells: tiles whose cells lie nearer than this to the grid's are pasted, not resampled
# Columns resampled at a time. GDAL maps a row by straight lines that may stray 1/8 cell, 2 m of height on a 30 degree
# slope; the error falls with the square of the row's length: 0.03 cell measured with 900 columns, 4e-4 with 32.
STRIP = 32
REACH = 4  # cells that a cubic takes from around its target, and one or two to spare
LOWEST, HIGHEST = -2000.0, 9000.0  # m: no land, and no geoid, lies beyond
METRES = ("", "m", "metre", "metres", "meter", "meters")


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Values on a lat/lon grid, NaN where none is valid; ``covered`` is where a file has a cell, valid or not."""

    values: NDArray[np.float32]
    covered: NDArray[np.bool_]
    grid: GeoBox
    crs: tuple[pyproj.CRS, ...]  # of each file read, with its vertical part where it names one


@dataclass(frozen=True, eq=False)
class _Piece:
    """One file, shifted by a whole number of turns, as (west, south, east, north) in degrees."""

    dataset: rasterio.DatasetReader
    turn: float
    bounds: tuple[float, float, float, float]
    direct: bool  # its cells are north-up cells of a WGS84 lat/lon grid

    @property
    def step(self) -> tuple[float, float]:
        """Cell size in degrees, (longitude, latitude); of a projected raster the size of its metres here."""
        transform = self.dataset.transform
        if self.direct:
            return transform.a, -transform.e
        dx, dy = math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)
        if self.dataset.crs.is_geographic:
            return dx, dy
        metre = self.dataset.crs.linear_units_factor[1]
        sin_lat = math.sin(math.radians(0.5 * (self.bounds[1] + self.bounds[3])))
        n = WGS84_A / math.sqrt(1.0 - WGS84_E2 * sin_lat**2)
        m = n * (1.0 - WGS84_E2) / (1.0 - WGS84_E2 * sin_lat**2)
        east = n * math.sqrt(1.0 - sin_lat**2)
        return math.degrees(dx * metre / east), math.degrees(dy * metre / m)


def read_mosaic(urls, bounds, pad=(0.0, 0.0), storage_options=None, empty=()) -> Mosaic:
    """Read the part of one or several rasters inside ``bounds`` onto one lat/lon grid.

    The grid is that of the finest raster that reaches the bounds. Rasters whose cells coincide with it are copied bit
    by bit; others (other spacing, other phase, map projection, rotated) are resampled once, cubic. The first valid
    value in the order of ``urls`` wins. Only the cells needed are read.

    Parameters
    ----------
    urls : sequence of str
        Local paths or fsspec URLs of anything GDAL reads; the first band counts.
    bounds : (west, south, east, north)
        Degrees. ``east`` < ``west``, or either beyond 180, is across the antimeridian; the grid's longitudes run on.
    pad : (longitude, latitude)
        Degrees on every side that are read if they exist.
    storage_options : dict, optional
        For fsspec: credentials, endpoint.
    empty : sequence of (west, south, east, north)
        Degrees, longitudes as in ``bounds``: where no raster has a cell in one of these, the value is 0.

    Returns
    -------
    Mosaic

    Raises
    ------
    Unavailable
        A URL can't be read.
    BadInput
        It is no raster, has no coordinate reference system or another unit than metres, or can't be read within
        bounded memory: too many cells in the bounds, or blocks that are too large.
    NoCoverage
        No raster reaches the bounds.
    """
    needed = continuous(bounds)
    padded = widened(needed, pad)
    with ExitStack() as stack:
        # the user's environment must not change what a pixel-is-point tag means
        stack.enter_context(rasterio.Env(GTIFF_POINT_GEO_IGNORE=False))
        datasets = [stack.enter_context(open_raster(url, storage_options)) for url in urls]
        pieces = [piece for dataset in datasets for piece in _pieces(dataset, padded)]
        reached = [piece for piece in pieces if _overlap(piece.bounds, padded)]
        if not any(_overlap(bounds, needed) for bounds in (*(piece.bounds for piece in reached), *empty)):
            names = ", ".join(map(public_url, urls))
            have = "; ".join(_show(bounds_of(dataset)) for dataset in datasets)
            raise NoCoverage(
                f"{names} must cover {_show(needed)}, instead it covers {have}; name a raster, or the tiles, of that "
                f"area"
            )
        grid = _grid(reached or pieces, padded, empty)
        mosaic = _assemble(pieces, grid)
    for box in empty:
        rows, cols = _cells(box, grid)
        bare = ~mosaic.covered[rows, cols]
        mosaic.values[rows, cols][bare], mosaic.covered[rows, cols] = 0.0, True
    return mosaic


def widened(bounds, pad) -> tuple[float, float, float, float]:
    """Bounds with ``pad``, (longitude, latitude) degrees, on every side, no further than the poles."""
    west, south, east, north = bounds
    return west - pad[0], max(south - pad[1], -90.0), east + pad[0], min(north + pad[1], 90.0)


def _assemble(pieces, grid: GeoBox) -> Mosaic:
    """All pieces on the grid, the first valid value in their order winning.

    Tiles of one other grid are put together on that, and resampled as one: no seam is the end of a cubic.
    """
    values = np.full(grid.shape, np.nan, np.float32)
    covered = np.zeros(grid.shape, bool)
    for group in _groups(pieces, grid):
        if not group[0].direct or _offset(group[0], grid) is not None:
            for piece in group:
                _paste(piece, grid, values, covered)
            continue
        own = _around_grid(group[0], grid)
        joined, cells = np.full(own.shape, np.nan, np.float32), np.zeros(own.shape, bool)
        for piece in group:
            _paste(piece, own, joined, cells)
        if cells.any():
            new, inside = _warped(_lengthened(joined), cells, own.affine, "EPSG:4326", grid.affine, grid.shape)
            np.copyto(values, new, where=np.isnan(values) & inside)
            covered |= inside
    crs = tuple({id(p.dataset): pyproj.CRS.from_user_input(p.dataset.crs) for p in pieces}.values())
    return Mosaic(values, covered, grid, crs)


def _lengthened(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Columns that end are continued by their last value for the two rows that a cubic asks for.

    GDAL's cubic becomes bilinear where one of its 16 cells is missing. Where the width of the cells changes from one
    parallel to the next, the rows of both lie on the target's: beyond the last one they have no weight, but must exist.
    """
    out = values
    for _ in range(2):
        above, below = np.roll(out, 1, axis=0), np.roll(out, -1, axis=0)
        above[0], below[-1] = np.nan, np.nan
        out = np.where(np.isnan(out), np.where(np.isnan(above), below, above), out)
    return out


def _groups(pieces, grid: GeoBox) -> list[list[_Piece]]:
    """Neighbours in the order of the pieces whose cells lie on one grid, other than the target's."""
    groups: list[list[_Piece]] = []
    for piece in pieces:
        first = groups[-1][0] if groups else None
        joins = first and first.direct and piece.direct and _offset(first, grid) is None
        if joins and _offset(piece, _around_grid(first, grid)) is not None:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _around_grid(piece: _Piece, grid: GeoBox) -> GeoBox:
    """The cells on a piece's own grid, far beyond itself, that a cubic resampling onto ``grid`` reaches."""
    (west, south, east, north), (dx, dy) = grid.boundingbox.bbox, piece.step
    x0, y0 = piece.bounds[0], piece.bounds[3]
    first, last = math.floor((west - x0) / dx) - REACH, math.ceil((east - x0) / dx) + REACH
    top, bottom = math.floor((y0 - north) / dy) - REACH, math.ceil((y0 - south) / dy) + REACH
    affine = Affine(dx, 0.0, x0 + first * dx, 0.0, -dy, y0 - top * dy)
    return GeoBox((bottom - top, last - first), affine, "EPSG:4326")


def continuous(bounds) -> tuple[float, float, float, float]:
    """``bounds`` with ``east`` beyond ``west``, so that 179…-179 is 179…181.

    Raises
    ------
    BadInput
        Not four finite numbers, south of north, in range.
    """
    try:
        west, south, east, north = (float(v) for v in bounds)
    except (TypeError, ValueError) as error:
        raise BadInput(f"bounds must be west, south, east, north in degrees, instead got {bounds!r}") from error
    if east < west:
        east += 360.0
    good = all(map(math.isfinite, (west, south, east, north)))
    if not (good and -90.0 <= south < north <= 90.0 and -360.0 <= west < east <= west + 360.0 <= 720.0):
        raise BadInput(
            f"bounds must be west, south, east, north in degrees, south < north within ±90, instead got {tuple(bounds)}"
        )
    return west, south, east, north


def open_raster(url: str, storage_options=None) -> rasterio.DatasetReader:
    """An open raster of a local path or any fsspec URL, read by byte ranges; errors as in `read_mosaic`."""
    location = open_store(url, **(storage_options or {}))
    size = location.size()

    def opener(path, mode="rb", **_):
        if path != location.path:  # GDAL looks for files beside it
            raise FileNotFoundError(path)
        return location.open(size=size)

    try:
        if location.is_local:  # GDAL's own: side files, .hgt by name
            dataset = rasterio.open(location.path)
        else:
            with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):  # no probing for side files over the network
                dataset = rasterio.open(location.path, opener=opener)
    except RasterioIOError as error:
        raise BadInput(f"{location.url} must be a raster that GDAL reads, such as a GeoTIFF; GDAL: {error}") from error
    _check(dataset, location.url)
    return dataset


def _check(dataset, url):
    """Refuse what would be read wrongly without a word."""
    problem = None
    block = math.prod(dataset.block_shapes[0]) * np.dtype(dataset.dtypes[0]).itemsize
    if dataset.crs is None:
        problem = "must name its coordinate reference system, instead it has none; assign one (such as EPSG:4326)"
    elif (dataset.units[0] or "").strip().lower() not in METRES:
        problem = f"must hold metres, instead its unit is {dataset.units[0]!r}; convert it"
    elif block > RASTER_BLOCK:
        problem = f"must have blocks of at most {RASTER_BLOCK // MIB} MiB, instead one has {block // MIB}; tile it"
    elif not _placed(dataset):
        problem = "must have cells at finite places, instead its transform or projection gives others; correct it"
    if problem:
        dataset.close()
        raise BadInput(f"{url} {problem}")


def _placed(dataset) -> bool:
    """True where the cells have a size and the corners a place on the globe."""
    t = dataset.transform
    try:
        return sane(t) and t.determinant != 0.0 and sane(bounds_of(dataset))
    except (ValueError, ArithmeticError, RasterioError, pyproj.exceptions.ProjError):
        return False


def bounds_of(dataset) -> tuple[float, float, float, float]:
    """(west, south, east, north) of a raster's cells, degrees on WGS84; east may lie beyond 180."""
    if _direct(dataset):
        return tuple(dataset.bounds)
    west, south, east, north = transform_bounds(_horizontal(dataset), "EPSG:4326", *dataset.bounds, densify_pts=21)
    return west, south, east + 360.0 if east < west else east, north


def _horizontal(dataset) -> str:
    """The horizontal part of a raster's CRS as WKT: GDAL would shift heights of a compound one while resampling."""
    crs = pyproj.CRS.from_user_input(dataset.crs)
    return (crs.sub_crs_list[0] if crs.is_compound else crs.to_2d()).to_wkt()


def _direct(dataset) -> bool:
    t = dataset.transform
    crs = pyproj.CRS.from_wkt(_horizontal(dataset))
    return t.b == t.d == 0.0 and t.a > 0.0 > t.e and crs.equals(LATLON, ignore_axis_order=True)


def _overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _pieces(dataset, window):
    """The raster at each turn of longitude at which it, or a cubic beside it, reaches the window: two for a world grid
    at the antimeridian."""
    west, south, east, north = bounds_of(dataset)
    direct = _direct(dataset)
    for turn in (0.0, 360.0, -360.0):
        piece = _Piece(dataset, turn, (west + turn, south, east + turn, north), direct)
        dx, dy = piece.step
        if _overlap(piece.bounds, widened(window, (REACH * dx, REACH * dy))):
            yield piece


def _grid(pieces, window, empty=()) -> GeoBox:
    """Whole cells of the finest piece that enclose the window, as far as any piece or empty box reaches."""
    finest = min(pieces, key=lambda p: (p.step[0] * p.step[1], not p.direct))
    dx, dy = finest.step
    boxes = [*(p.bounds for p in pieces), *empty]
    west, south = max(window[0], min(b[0] for b in boxes)), max(window[1], min(b[1] for b in boxes))
    east, north = min(window[2], max(b[2] for b in boxes)), min(window[3], max(b[3] for b in boxes))
    x0, y0 = (finest.bounds[0], finest.bounds[3]) if finest.direct else (west, north)
    eps = ALIGNED
    _check_cells(max(east - west, 0.0) / dx * (max(north - south, 0.0) / dy), finest.dataset)
    first, last = math.floor((west - x0) / dx + eps), math.ceil((east - x0) / dx - eps)
    top, bottom = math.floor((y0 - north) / dy + eps), math.ceil((y0 - south) / dy - eps)
    shape = (max(bottom - top, 1), max(last - first, 1))
    return GeoBox(shape, Affine(dx, 0.0, x0 + first * dx, 0.0, -dy, y0 - top * dy), "EPSG:4326")


def _paste(piece: _Piece, grid: GeoBox, values, covered):
    """Put the piece's valid values where there are none yet."""
    rows, cols = _cells(piece.bounds, grid)
    if rows.stop <= rows.start or cols.stop <= cols.start:
        return
    offset = _offset(piece, grid)
    if offset is not None:
        # a tile may start or end inside the grid's outermost cells by rounding only
        row, col = rows.start - offset[0], cols.start - offset[1]
        height = min(rows.stop - rows.start, piece.dataset.height - row)
        width = min(cols.stop - cols.start, piece.dataset.width - col)
        rows, cols = slice(rows.start, rows.start + height), slice(cols.start, cols.start + width)
        new = _read(piece.dataset, Window(col, row, width, height))
        inside = True
    else:
        new, inside = _resampled(piece, grid.affine, rows, cols)
    target = values[rows, cols]
    np.copyto(target, new, where=np.isnan(target))
    covered[rows, cols] |= inside


def _cells(bounds, grid: GeoBox) -> tuple[slice, slice]:
    """Rows and columns of the grid whose centres lie in ``bounds``."""
    t = grid.affine
    edges = ((bounds[0] - t.c) / t.a, (bounds[2] - t.c) / t.a, (bounds[3] - t.f) / t.e, (bounds[1] - t.f) / t.e)
    c0, c1, r0, r1 = (math.ceil(edge - 0.5 - ALIGNED) for edge in edges)
    return slice(max(r0, 0), min(r1, grid.shape[0])), slice(max(c0, 0), min(c1, grid.shape[1]))


def _check_cells(cells: float, dataset) -> None:
    """Refuse more cells than fit into memory; also where their number is too large for a number."""
    if not cells <= RASTER_CELLS:
        raise BadInput(
            f"{dataset.name} must have at most {RASTER_CELLS} cells in the area, instead it has {cells:.3g}; "
            "name a coarser raster or a smaller area"
        )


def _offset(piece: _Piece, grid: GeoBox) -> tuple[int, int] | None:
    """(row, column) of the piece's first cell in the grid where its cells coincide with the grid's, else None."""
    if not piece.direct:
        return None
    t, g = piece.dataset.transform, grid.affine
    row, col = (t.f - g.f) / g.e, (t.c + piece.turn - g.c) / g.a
    drift = max(abs(t.a / g.a - 1.0) * piece.dataset.width, abs(t.e / g.e - 1.0) * piece.dataset.height)
    if max(abs(row - round(row)), abs(col - round(col)), drift) > ALIGNED:
        return None
    return round(row), round(col)


def _read(dataset, window: Window) -> NDArray[np.float32]:
    """Values of a window, float32, scale and offset applied, NaN where the file says there are none."""
    _check_cells(window.width * window.height, dataset)
    try:
        raw = dataset.read(1, window=window)
        valid = dataset.read_masks(1, window=window) != 0
    except RasterioIOError as error:
        raise Unavailable(f"can't read the cells of {dataset.name}: {error}; is the file complete?") from error
    values = raw.astype(np.float64) * dataset.scales[0] + dataset.offsets[0]
    # void values such as -32768, -9999 and 32767 are often left without their tag
    valid &= (values > LOWEST) & (values < HIGHEST)
    return np.where(valid, values, np.nan).astype(np.float32)


def _resampled(piece: _Piece, t: Affine, rows: slice, cols: slice) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The piece on part of a grid, cubic, from only the cells that it needs, and where it has cells at all."""
    dataset = piece.dataset
    height, width = rows.stop - rows.start, cols.stop - cols.start
    west, north = t.c - piece.turn + cols.start * t.a, t.f + rows.start * t.e
    box = transform_bounds(
        "EPSG:4326", _horizontal(dataset), west, north + t.e * height, west + t.a * width, north, densify_pts=21
    )
    out = np.full((height, width), np.nan, np.float32)
    inside = np.zeros((height, width), bool)
    window = _around(dataset, box)
    if window is None:
        return out, inside
    values, s = _read(dataset, window), dataset.transform
    corner = (s.a * window.col_off + s.b * window.row_off + s.c, s.d * window.col_off + s.e * window.row_off + s.f)
    source = Affine(s.a, s.b, corner[0], s.d, s.e, corner[1])
    target = Affine(t.a, 0.0, west, 0.0, t.e, north)
    return _warped(values, np.ones(values.shape, bool), source, _horizontal(dataset), target, (height, width))


def _warped(values, covered, source: Affine, crs: str, target: Affine, shape):
    """Values resampled onto a lat/lon grid, cubic, and where they have cells at all, (y, x) each."""
    height, width = shape
    out, inside = np.full(shape, np.nan, np.float32), np.zeros(shape, bool)
    where = {"src_transform": source, "src_crs": crs, "dst_crs": "EPSG:4326"}
    for start in range(0, width, STRIP):
        stop = min(start + STRIP, width)
        part, cells = np.full((height, stop - start), np.nan, np.float32), np.zeros((height, stop - start), np.uint8)
        where["dst_transform"] = target * Affine.translation(start, 0)
        reproject(values, part, src_nodata=np.nan, dst_nodata=np.nan, resampling=Resampling.cubic, **where)
        reproject(covered.astype(np.uint8), cells, resampling=Resampling.nearest, **where)
        out[:, start:stop], inside[:, start:stop] = part, cells != 0
    return out, inside


def _around(dataset, box) -> Window | None:
    """The cells that a cubic resampling onto ``box`` (in the raster's own coordinates) reaches; None for none."""
    inverse = ~dataset.transform
    corners = [(x, y) for x in (box[0], box[2]) for y in (box[1], box[3])]
    cols = [inverse.a * x + inverse.b * y + inverse.c for x, y in corners]
    rows = [inverse.d * x + inverse.e * y + inverse.f for x, y in corners]
    col, row = max(math.floor(min(cols)) - REACH, 0), max(math.floor(min(rows)) - REACH, 0)
    stop_col = min(math.ceil(max(cols)) + REACH, dataset.width)
    stop_row = min(math.ceil(max(rows)) + REACH, dataset.height)
    if stop_col <= col or stop_row <= row:
        return None
    return Window(col, row, stop_col - col, stop_row - row)


def _show(bounds) -> str:
    return "W {:.4f}, S {:.4f}, E {:.4f}, N {:.4f}".format(*bounds)
