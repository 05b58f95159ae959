"""Writing the index: streams of rows, sorted by id, merged into the bytes of one snapshot."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .item_table import SHARED, fitted, geometry_types, parquet_metadata, read_shared, table_of, united, used_schema

ROW_GROUP = 2048  # rows; a page of items costs decoding the groups it lies in (8 ms each), opening the footer of all
_WITH_STATISTICS = ("id", "pitpulse:mine_id", "pitpulse:year", "datetime",
                    "bbox.xmin", "bbox.ymin", "bbox.xmax", "bbox.ymax")  # fmt: skip
_ALL_DIFFERENT = ("id", "geometry", "href", "title", "fingerprint", "version", "active_area", "packed",
                  "xmin", "ymin", "xmax", "ymax")  # fmt: skip


def merge(chunks: list[bytes], old: bytes | None, drop: frozenset[str]) -> tuple[bytes, int, bool]:
    """Bytes of the snapshot that holds new rows and those of an old snapshot.

    Parameters
    ----------
    chunks : list of bytes
        From `packed`; sorted by id within, and one after the other.
    old : bytes, optional
        The old snapshot.
    drop : set of str
        Ids whose old rows are left out.

    Returns
    -------
    data : bytes
        Follow from the rows and the schema alone, however they came in.
    count : int
        Rows.
    lost : bool
        A column, or a field of a struct, has no value any more, so that the same rows without an old snapshot would
        have given other bytes.
    """
    files = [pq.ParquetFile(pa.BufferReader(data)) for data in ([old] if old is not None else []) + chunks]
    shared: dict = {}
    for file in files:
        shared |= read_shared(file.metadata.metadata)
    schema = united([*(file.schema_arrow.remove_metadata() for file in files), table_of([], {}).schema])
    new = _tables(files[old is not None :])
    kept = _without(_tables(files[:1]), drop) if old is not None else iter(())
    keys, kinds, bounds, used, count = set(), set(), [], [], 0
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, **_encoding(schema)) as writer:
        for table in _rechunked(_merged(kept, new), schema):
            keys.update(pc.unique(table[SHARED]).to_pylist())
            kinds |= geometry_types(table["geometry"])
            bounds.append(_bounds(table["bbox"]))
            used.append(used_schema(table) if old is not None else schema)
            writer.write_table(table, row_group_size=ROW_GROUP)
            count += len(table)
        kept_shared = {key: value for key, value in shared.items() if key in keys}
        writer.add_key_value_metadata(parquet_metadata(kept_shared, kinds, _envelope(bounds)))
    lost = old is not None and not united([*used, table_of([], {}).schema]).equals(schema)
    return sink.getvalue().to_pybytes(), count, lost


def _encoding(schema: pa.Schema) -> dict:
    """Statistics where a search uses them; no dictionary of values that are all different, which cost a third more."""
    leaves = [name for field in schema for name in _leaves(field.name, field.type)]
    return {
        "compression": "zstd",
        "compression_level": 6,
        "write_statistics": [name for name in leaves if name in _WITH_STATISTICS],
        "use_dictionary": [name for name in leaves if not name.endswith(_ALL_DIFFERENT)],
    }


def _leaves(path: str, kind: pa.DataType) -> Iterator[str]:
    if pa.types.is_struct(kind):
        for inner in kind:
            yield from _leaves(f"{path}.{inner.name}", inner.type)
    elif pa.types.is_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    else:
        yield path


def _merged(left: Iterator[pa.Table], right: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Two streams of tables sorted by id as one; no id is in both."""
    a, b = next(left, None), next(right, None)
    while a is not None and b is not None:
        ids_a, ids_b = a["id"].to_pylist(), b["id"].to_pylist()
        bound = min(ids_a[-1], ids_b[-1])
        cut_a, cut_b = bisect_right(ids_a, bound), bisect_right(ids_b, bound)
        both = pa.concat_tables([a.slice(0, cut_a), b.slice(0, cut_b)], promote_options="permissive")
        yield both.sort_by("id") if cut_a and cut_b else both
        a = a.slice(cut_a) if cut_a < len(a) else next(left, None)
        b = b.slice(cut_b) if cut_b < len(b) else next(right, None)
    for rest, stream in ((a, left), (b, right)):
        if rest is not None:
            yield rest
            yield from stream


def _rechunked(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """The same rows in tables of `ROW_GROUP`, whatever they came in: their borders show in the bytes."""
    waiting, count = [], 0
    for table in tables:
        waiting.append(fitted(table, schema))
        count += len(table)
        while count >= ROW_GROUP:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, ROW_GROUP).combine_chunks()
            waiting, count = [whole.slice(ROW_GROUP)], count - ROW_GROUP
    if count:
        yield pa.concat_tables(waiting).combine_chunks()


def _tables(files: Iterable[pq.ParquetFile]) -> Iterator[pa.Table]:
    for file in files:
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group).replace_schema_metadata(None)
            if len(table):
                yield table


def _without(tables: Iterator[pa.Table], ids: frozenset[str]) -> Iterator[pa.Table]:
    gone = pa.array(sorted(ids), pa.string())
    for table in tables:
        table = table.filter(pc.invert(pc.is_in(table["id"], value_set=gone)))
        if len(table):
            yield table


def packed(table: pa.Table, shared: dict) -> bytes:
    """Rows as parquet in memory: a twentieth of their size as arrow."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", compression_level=1) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(parquet_metadata(shared, (), None))
    return sink.getvalue().to_pybytes()


def _bounds(column: pa.ChunkedArray) -> tuple[float, ...]:
    part = {name: pc.struct_field(column, name) for name in ("xmin", "ymin", "xmax", "ymax")}
    if pc.any(pc.greater(part["xmin"], part["xmax"])).as_py():  # across 180 degrees: all around
        return -180.0, pc.min(part["ymin"]).as_py(), 180.0, pc.max(part["ymax"]).as_py()
    return tuple(pc.min(part[n]).as_py() if n.endswith("min") else pc.max(part[n]).as_py() for n in part)


def _envelope(bounds: list[tuple[float, ...]]) -> tuple[float, ...] | None:
    if not bounds:
        return None
    west, south, east, north = zip(*bounds, strict=True)
    return min(west), min(south), max(east), max(north)
