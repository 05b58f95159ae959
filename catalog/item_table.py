"""STAC items as rows of a stac-geoparquet table, and back again without loss.

A property is a column of its own, assets are a struct of hrefs, types and roles, the geometry is WKB with a
bounding-box column that covers it (GeoParquet 1.1). Two columns are ours:

- What many items have in common word for word (renders, the cube's variables, descriptions) would be a thousand columns
  with one value. It is once in the file's metadata under `SHARED`, and the column of that name says which of its sets a
  row belongs to.
- What is an item's own but nobody filters by (hrefs, sizes, checksums, statistics, the dates of the pairs) is JSON in
  the column `PACKED`: as columns of their own they make reading a few items three times as slow.

A reader that knows neither sees valid, shorter items. `items_of` puts everything back, null properties included, which
Parquet can't tell from absent ones. Hrefs are relative to the folder of the index, so the published folder can be
moved.
"""

from __future__ import annotations

import hashlib
import json
import marshal
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import shapely
import shapely.geometry

from pipeline.errors import BadInput

FORMAT = 1  # of what the rows share and how it is put together; another one is made anew from the documents
SHARED = "pitpulse:shared"  # a column, and the key of the file's metadata
PACKED = "pitpulse:packed"
GEOPARQUET, STAC_GEOPARQUET = "1.1.0", "1.1.0"
TIMES = ("datetime", "start_datetime", "end_datetime", "created", "updated")
_TIME = pa.timestamp("us", tz="UTC")
_NUMBERS = pa.list_(pa.float64())
BBOX = pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])
# Columns that are there whatever the items say, so that a question for production isn't wrong before the first answer.
DECLARED: dict[str, pa.DataType] = {
    "id": pa.string(),
    "type": pa.string(),  # optional by the specification, but pystac takes no item without it
    "collection": pa.string(),
    "stac_version": pa.string(),
    "stac_extensions": pa.list_(pa.string()),
    "geometry": pa.binary(),
    "bbox": BBOX,
    SHARED: pa.string(),
    PACKED: pa.string(),
    **{name: _TIME for name in TIMES[:3]},
    "pitpulse:mine_id": pa.string(),
    "pitpulse:mine_name": pa.string(),
    "pitpulse:commodity": pa.string(),
    "pitpulse:country": pa.string(),
    "pitpulse:year": pa.int64(),
    "pitpulse:active_area": pa.float64(),
    "pitpulse:active_area_interval": _NUMBERS,
    "pitpulse:active_pixels": pa.int64(),
    "pitpulse:ndai_mean": pa.float64(),
    "pitpulse:pairs_accepted": pa.int64(),
    "pitpulse:pairs_rejected": pa.int64(),
    "pitpulse:production": pa.float64(),
    "pitpulse:production_interval": _NUMBERS,
    "pitpulse:production_confidence": pa.string(),
    "pitpulse:production_basis": pa.string(),
    "pitpulse:production_flags": pa.list_(pa.string()),
    "pitpulse:production_reason": pa.string(),
    "pitpulse:emissions_co2": pa.float64(),
    "pitpulse:emissions_co2_interval": _NUMBERS,
    "pitpulse:emissions_co2_confidence": pa.string(),
    "pitpulse:fingerprint": pa.string(),
    "sar:looks_equivalent_number": pa.float64(),
    "sat:relative_orbit": pa.int64(),
    "version": pa.string(),
}
_CORE = ("type", "stac_version", "stac_extensions", "id", "collection", "geometry", "bbox", "links", "assets")
_OWN_NAMES = frozenset({*_CORE, SHARED, PACKED})
# Properties that are alike in most items. The first has no column; the others have one for filters and other readers,
# but an item is put together faster without it.
_ALIKE_ONLY = frozenset({"renders", "storage:schemes"})
_ALIKE = frozenset({
    "constellation", "instruments", "gsd", "product:type", "insar:processing_dem", "insar:geocoding_dem",
    "processing:level", "processing:software", "processing:lineage", "sar:instrument_mode", "sar:frequency_band",
    "sar:polarizations", "sar:observation_direction", "sar:looks_range", "sar:looks_azimuth",
})  # fmt: skip
_ALIKE_LINKS = frozenset({"root", "collection"})  # a parent is the mine's own
_ASSET_COLUMNS = ("href", "type", "roles")  # for other readers; ours takes them from the packed and the shared part
_ALIKE_FIELDS = frozenset({
    "type", "title", "roles", "description", "bands", "classification:classes", "cube:variables", "zarr:node_type",
    "zarr:zarr_format", "zarr:consolidated", "raster:spatial_resolution", "table:columns", "storage:refs",
})  # fmt: skip
_DIFFER = frozenset({"statistics", "histogram", "count"})  # of a band or a class


def table_of(items: Sequence[Mapping], shared: dict[str, dict]) -> pa.Table:
    """Rows of STAC items, sorted by id, with the columns in a fixed order.

    Parameters
    ----------
    items : sequence of mappings
        STAC 1.1 item documents whose hrefs are relative to the index.
    shared : dict
        Gets what the rows refer to, by the value of their column `SHARED`.

    Raises
    ------
    BadInput
        Two items give one property values of kinds that don't mix, or an item lacks a part that STAC asks for.
    """
    rows = [_split(item) for item in sorted(items, key=lambda item: item["id"])]
    seen: dict[bytes, str] = {}  # the hash of 15 kB of JSON takes 0.2 ms, and it is nearly always the same
    for row, common in rows:
        key = marshal.dumps(common, 2)
        if key not in seen:
            seen[key] = hashlib.sha256(canonical(common)).hexdigest()[:16]
            shared[seen[key]] = common
        row[SHARED] = seen[key]
    names = sorted({name for row, _ in rows for name in row} | DECLARED.keys())
    columns = {name: _column(name, [row.get(name) for row, _ in rows]) for name in names}
    return pa.table({name: column for name, column in columns.items() if not pa.types.is_null(column.type)})


def items_of(table: pa.Table, shared: Mapping[str, Mapping], folder: str = "") -> list[dict]:
    """The STAC items of rows, complete.

    Parameters
    ----------
    table : pyarrow.Table
        Rows from `table_of`; columns may have been left out.
    shared : mapping
        What the rows have in common.
    folder : str
        Absolute URL of the folder that hrefs are relative to; left relative where it is empty.

    Returns
    -------
    list of dict
        For reading: what they have in common (such as the 256 colours of a render) is one object in all of them, which
        makes a page of 1,000 items six times as fast. Copy an item before changing what is inside.
    """
    shapes = _geometries(table)
    rows = table.drop_columns([name for name in ("geometry",) if name in table.column_names]).to_pylist()
    items = []
    for row, shape in zip(rows, shapes, strict=True):
        item = _joined(row, shared.get(row.pop(SHARED, None)) or {})
        item["geometry"] = shape
        if folder:
            for thing in (*item["links"], *item["assets"].values()):
                thing["href"] = absolute(thing["href"], folder)
        items.append(item)
    return items


def item_columns(schema: pa.Schema, properties: Collection[str] | None = None) -> list[str]:
    """Columns that `items_of` needs for whole items, or for items with only some properties."""
    without = {*_ALIKE, "assets", "links", "type", "stac_version", "stac_extensions"}
    names = [name for name in schema.names if name not in without]
    always = {"id", "collection", "geometry", "bbox", SHARED, PACKED, *TIMES}
    return names if properties is None else [name for name in names if name in always or name in properties]


def united(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """One schema that holds the rows of all; columns and the fields of structs in alphabetical order, so that no order
    of arrival shows.

    Raises
    ------
    BadInput
        A column holds kinds that don't mix, such as text and numbers.
    """
    try:
        schema = pa.unify_schemas(list(schemas), promote_options="permissive")
    except pa.ArrowException as error:
        raise BadInput(f"items can't be indexed together: {error}; publish those that differ again") from error
    return pa.schema([pa.field(f.name, _settled(f.type)) for f in sorted(schema, key=lambda f: f.name)])


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with all columns of a united schema; what it doesn't have is null."""
    if table.schema.equals(schema):
        return table
    return pa.concat_tables([schema.empty_table(), table], promote_options="permissive").cast(schema)


def used_schema(table: pa.Table) -> pa.Schema:
    """The schema without columns and fields that are null in every row."""
    used = [pa.field(name, _used(table[name].combine_chunks())) for name in table.column_names]
    return pa.schema([f for f in used if not pa.types.is_null(f.type)])


def parquet_metadata(shared: Mapping[str, Mapping], geometry_types: Iterable[str], bounds) -> dict[str, str]:
    """Key-value metadata of the index: GeoParquet 1.1, stac-geoparquet 1.1 and what the rows share."""
    values = sorted({canonical(value) for common in shared.values() for value in common.values()})
    place = {value: k for k, value in enumerate(values)}
    sets = {
        key: {path: place[canonical(value)] for path, value in sorted(common.items())}
        for key, common in sorted(shared.items())
    }
    column: dict = {
        "encoding": "WKB",
        "geometry_types": sorted(geometry_types),
        "covering": {"bbox": {name: ["bbox", name] for name in ("xmin", "ymin", "xmax", "ymax")}},
    }
    if bounds is not None:
        column["bbox"] = list(bounds)
    geo = {"version": GEOPARQUET, "primary_column": "geometry", "columns": {"geometry": column}}
    return {
        "geo": json.dumps(geo),
        "stac-geoparquet": json.dumps({"version": STAC_GEOPARQUET}),
        SHARED: json.dumps({"format": FORMAT, "values": [json.loads(value) for value in values], "sets": sets}),
    }


def read_shared(metadata: Mapping[bytes, bytes]) -> dict[str, dict]:
    """What the rows of a file share, from its metadata.

    Raises
    ------
    ValueError, KeyError
        The file isn't ours, or of another format.
    """
    stored = json.loads(metadata[SHARED.encode()])
    if stored["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, instead got {stored['format']}")
    return {key: {path: stored["values"][k] for path, k in paths.items()} for key, paths in stored["sets"].items()}


def canonical(value) -> bytes:
    """JSON that depends on the value alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def absolute(href: str, folder: str) -> str:
    """An href below ``folder``, an absolute URL or path without a slash at its end; others stay as they are."""
    if "://" in href or href.startswith("/"):
        return href
    while href.startswith(("./", "../")):
        step, href = href.split("/", 1)
        folder = folder.rsplit("/", 1)[0] if step == ".." else folder
    return f"{folder}/{href}"


def _split(item: Mapping) -> tuple[dict, dict]:
    """A row, and what it shares with others by a path such as ``/assets/cube/bands``."""
    try:
        properties = dict(item["properties"])
        row = {"type": "Feature", **{name: item[name] for name in ("id", "stac_version")}}
        row |= {"collection": item.get("collection"), "stac_extensions": list(item.get("stac_extensions", ()))}
        common: dict = {"/null": sorted(name for name, value in properties.items() if value is None)}
        common |= {"/stac_version": row["stac_version"], "/stac_extensions": row["stac_extensions"]}
        row["geometry"] = shapely.to_wkb(shapely.geometry.shape(item["geometry"]))
        west, south, east, north = item["bbox"]
        row["bbox"] = {"xmin": west, "ymin": south, "xmax": east, "ymax": north}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"item {item.get('id', '?')!r} can't be indexed: expected a STAC item with id, geometry, bbox and "
            f"properties, instead got {error!r}; publish it again"
        ) from error
    reserved = sorted(properties.keys() & _OWN_NAMES)
    if reserved:
        raise BadInput(f"item {row['id']!r} has a property {reserved[0]!r}, which is a name of its own in the index")
    common |= {f"/properties/{name}": properties[name] for name in (_ALIKE | _ALIKE_ONLY) & properties.keys()}
    row |= {
        name: _instant(value) if name in TIMES else value
        for name, value in properties.items()
        if name not in _ALIKE_ONLY
    }
    row["links"] = links = list(item.get("links", ()))
    common["/links"] = [link for link in links if link["rel"] in _ALIKE_LINKS]
    packed: dict = {"links": [link for link in links if link["rel"] not in _ALIKE_LINKS], "assets": {}}
    assets = item.get("assets", {})
    row["assets"] = {key: {name: a[name] for name in _ASSET_COLUMNS if name in a} for key, a in assets.items()}
    for key, asset in assets.items():
        packed["assets"][key] = _packed_fields(key, asset, common)
    row[PACKED] = json.dumps(packed, ensure_ascii=False, separators=(",", ":"))
    return row, common


def _packed_fields(key: str, asset: Mapping, common: dict) -> dict:
    """What is an asset's own; what is alike goes to ``common``."""
    own = {}
    for name, value in asset.items():
        if name not in _ALIKE_FIELDS:
            own[name] = value
            continue
        parts = isinstance(value, list) and bool(value) and all(isinstance(part, Mapping) for part in value)
        if parts and any(_DIFFER & part.keys() for part in value):
            own[name] = [{k: v for k, v in part.items() if k in _DIFFER} for part in value]
            value = [{k: v for k, v in part.items() if k not in _DIFFER} for part in value]
        common[f"/assets/{key}/{name}"] = value
    return own


def _joined(row: dict, common: Mapping) -> dict:
    """The inverse of `_split`, geometry left out."""
    box, packed = row["bbox"], json.loads(row.pop(PACKED))
    item = {
        "type": "Feature",
        "stac_version": common["/stac_version"],
        "stac_extensions": common["/stac_extensions"],
        "id": row["id"],
        "geometry": None,
        "bbox": [box[name] for name in ("xmin", "ymin", "xmax", "ymax")],
        "properties": {},
        "links": [*packed["links"], *map(dict, common["/links"])],  # hrefs are made absolute in place
        "assets": packed["assets"],
        "collection": row.get("collection"),
    }
    properties = item["properties"]
    for name, value in row.items():
        if name not in _CORE and value is not None:
            properties[name] = _text(value) if isinstance(value, datetime) else _present(value)
    for path, value in common.items():
        kind, _, rest = path[1:].partition("/")
        if kind == "null":
            properties |= dict.fromkeys(value)
        elif kind == "properties":
            properties[rest] = value
        elif kind == "assets":
            key, _, name = rest.rpartition("/")
            asset = packed["assets"][key]
            own = asset.get(name)
            asset[name] = [part | rest for part, rest in zip(own, value, strict=True)] if own else value
    return item


def _present(value):
    """A nested value without the fields that are null because another row has them."""
    if isinstance(value, dict):
        return {name: _present(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_present(inner) for inner in value]
    return value


def _column(name: str, values: list) -> pa.Array:
    try:
        return pa.array(values, type=DECLARED.get(name) or _settled(pa.infer_type(values)))
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
        expected = DECLARED.get(name)
        raise BadInput(
            f"items can't be indexed: expected {expected if expected else 'values of one kind'} in {name!r}, "
            f"instead got {str(error).splitlines()[0]}; publish the item that differs again"
        ) from error


def _settled(kind: pa.DataType) -> pa.DataType:
    """A type with its struct fields in order and without those that hold nothing."""
    if pa.types.is_struct(kind) and kind != BBOX:
        inner = [pa.field(f.name, _settled(f.type)) for f in sorted(kind, key=lambda f: f.name)]
        return pa.struct([f for f in inner if not pa.types.is_null(f.type)])
    if pa.types.is_list(kind):
        inner = _settled(kind.value_type)
        return pa.list_(pa.string() if pa.types.is_null(inner) else inner)
    return kind


def _used(array: pa.Array) -> pa.DataType:
    if array.null_count == len(array):
        return pa.null()
    if pa.types.is_struct(array.type) and array.type != BBOX:
        inner = [pa.field(f.name, _used(array.field(k))) for k, f in enumerate(array.type)]
        return pa.struct([f for f in inner if not pa.types.is_null(f.type)])
    if pa.types.is_list(array.type):
        inner = array.flatten()
        return pa.list_(_used(inner)) if len(inner) else pa.list_(pa.null())
    return array.type


def _geometries(table: pa.Table) -> list[dict | None]:
    if "geometry" not in table.column_names:
        return [None] * len(table)
    shapes = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
    return [json.loads(text) for text in shapely.to_geojson(shapes)] if len(shapes) else []


def geometry_types(column: pa.ChunkedArray) -> set[str]:
    """Names of the kinds of geometry in a column of WKB."""
    codes = pc.unique(pc.binary_slice(column, 0, 5)).to_pylist()
    order = {0: "big", 1: "little"}
    return {_KINDS[int.from_bytes(code[1:5], order[code[0]]) % 1000] for code in codes if code}


_KINDS = ("", "Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection")


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise BadInput(f"a time must be written as 2022-07-01T00:00:00Z, instead got {text!r}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
