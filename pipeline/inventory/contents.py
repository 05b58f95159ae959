"""Files of inventories as plain rows: CSV in any Unicode, Excel, GeoPackage, GeoJSON, told apart by their bytes."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely

from ..errors import BadInput
from ..storage import open_store

LONGEST = 500_000_000  # bytes


@dataclass(frozen=True, eq=False)
class Table:
    """A sheet, a CSV or a layer: named columns of cells, and geometries (degrees) where the layer has them."""

    columns: tuple[str, ...]
    rows: list[tuple] = field(repr=False)
    geometry: np.ndarray | None = field(default=None, repr=False)  # (row,), shapely

    def dicts(self) -> Iterator[dict]:
        """Rows as dictionaries; ``geometry`` among the cells where there is one."""
        for number, row in enumerate(self.rows):
            row = (*row, *[""] * (len(self.columns) - len(row)))  # a short line of a CSV
            cells = dict(zip(self.columns, row, strict=False))
            yield cells if self.geometry is None else cells | {"geometry": self.geometry[number]}

    def has(self, *columns: str) -> bool:
        """True where every named column is there."""
        return set(columns) <= set(self.columns)


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds: its kind ("csv", "xlsx", "gpkg", "geojson", "parquet") and tables by name."""

    url: str
    kind: str
    tables: dict[str, Table] = field(repr=False)
    data: bytes = field(default=b"", repr=False)  # of a parquet file
    document: dict = field(default_factory=dict, repr=False)  # of a GeoJSON
    file: str = ""  # what the report calls it

    def table(self, *columns: str) -> Table | None:
        """The first table that has all the columns."""
        return next((t for t in self.tables.values() if t.has(*columns)), None)


def read_contents(url: str) -> Contents:
    """The rows of a file at a URL.

    Raises
    ------
    Unavailable
        Nothing is there.
    BadInput
        It is longer than 500 MB, or none of the kinds that are read, or broken.
    """
    location = open_store(url)
    data = location.read_bytes(limit=LONGEST)
    if len(data) > LONGEST:
        raise BadInput(f"{location.url} must be at most {LONGEST // 10**6} MB; cut it to the mines you need")
    for magic, reader in ((b"PAR1", _parquet), (b"PK\x03\x04", _xlsx), (b"SQLite format 3\0", _gpkg)):
        if data.startswith(magic):
            return reader(location.url, data)
    text = _decoded(location.url, data)
    return (_geojson if text.lstrip()[:1] == "{" else _csv)(location.url, text)


def _parquet(url: str, data: bytes) -> Contents:
    return Contents(url, "parquet", {}, data)


def _decoded(url: str, data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        codecs = ("utf-16",)
    else:  # the last is what Excel saves a CSV in where it isn't asked for Unicode; binary files hold zero bytes
        codecs = ("utf-8-sig",) if b"\0" in data else ("utf-8-sig", "cp1252")
    for codec in codecs:
        try:
            return data.decode(codec)
        except UnicodeDecodeError:
            continue
    raise BadInput(
        f"{url} must be a CSV, Excel, GeoPackage, GeoJSON or geoparquet file; instead it begins with the bytes "
        f"{data[:8]!r} and is no text"
    )


def _csv(url: str, text: str) -> Contents:
    # comments before the header are ours (the built-in inventory)
    lines = text.splitlines(keepends=True)
    skipped = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header = lines[skipped] if skipped < len(lines) else ""
    delimiter = max(",;\t", key=header.count)
    rows = list(csv.reader(io.StringIO("".join(lines[skipped:]), newline=""), delimiter=delimiter))
    if not rows or len(rows[0]) < 2:
        raise BadInput(f"{url} must be a table with a header, instead its first line is {header.strip()[:80]!r}")
    columns = tuple(cell.strip() for cell in rows[0])
    return Contents(url, "csv", {"": Table(columns, [tuple(r) for r in rows[1:] if any(c.strip() for c in r)])})


def _xlsx(url: str, data: bytes) -> Contents:
    import openpyxl  # lazily: it is needed for imports only

    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, openpyxl.utils.exceptions.InvalidFileException) as error:
        raise BadInput(f"{url} must be an Excel workbook, instead it can't be opened: {error}") from error
    tables = {}
    for sheet in book.worksheets:
        rows = [tuple("" if v is None else str(v) for v in row) for row in sheet.iter_rows(values_only=True)]
        if rows:
            columns = tuple(cell.strip() for cell in rows[0])
            tables[sheet.title] = Table(columns, [r for r in rows[1:] if any(c.strip() for c in r)])
    return Contents(url, "xlsx", tables)


def _gpkg(url: str, data: bytes) -> Contents:
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "inventory.gpkg")  # GDAL warns of a GeoPackage by any other name, or in memory
        path.write_bytes(data)
        try:
            tables = {str(name): _layer(path, str(name)) for name, _ in pyogrio.list_layers(path)}
        except (DataSourceError, DataLayerError) as error:
            raise BadInput(f"{url} must be a GeoPackage, instead it can't be opened: {_line(error)}") from error
    return Contents(url, "gpkg", tables)


def _layer(path: Path, name: str) -> Table:
    import pyogrio.raw

    meta, _, wkb, columns = pyogrio.raw.read(path, layer=name)
    rows = list(zip(*(c.tolist() for c in columns), strict=True))
    geometry = None if wkb is None else shapely.from_wkb(wkb)
    if geometry is not None and meta["crs"] not in (None, "EPSG:4326", "OGC:CRS84"):
        import pyproj

        transformer = pyproj.Transformer.from_crs(meta["crs"], "EPSG:4326", always_xy=True)
        geometry = shapely.transform(geometry, lambda xy: np.stack(transformer.transform(*xy.T), axis=1))
    return Table(tuple(str(f) for f in meta["fields"]), rows, geometry)


def _line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _geojson(url: str, text: str) -> Contents:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{url} must be GeoJSON, instead it isn't JSON: {error}") from error
    return Contents(url, "geojson", {}, document=document)
