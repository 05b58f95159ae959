"""Datasets to Zarr 3 and back: one encoding for everything that pitpulse writes, and a commit that hides half a store.

A store is encoded in memory (compressed: a mine-year is tens of MB), so its keys, sizes and checksums are known before
the first byte leaves. Then it appears at once. On a local disk it is written beside its place under a temporary name
and renamed. In an object store, which can't rename, the root ``zarr.json`` goes last and by exclusive create: no Zarr
reader opens a group without it, so an unfinished store is not there, and of two writers one wins.

Same dataset, same bytes: no clock, no random names, one thread a chunk in the compressor.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from .errors import AlreadyExists, BadInput, Unavailable
from .storage import Location, open_store
from .stores import store_options
from .variables import VARIABLES, chunk_shape

ROOT = "zarr.json"
_OURS = re.compile(r"(.+/)?(zarr\.json|c(/\d+)*)")  # a document or a chunk
WRITERS = 8  # objects in flight; each is 1-10 MB
TIME_UNITS = "microseconds since 1970-01-01"  # exact for Sentinel-1's annotation times, integer, no leap in 2,900 years


@dataclass(frozen=True, order=True)
class StoredObject:
    """One object of a store: its key below the store's root, its size in bytes and its SHA-256 in hex."""

    key: str
    size: int
    sha256: str


Manifest = tuple[StoredObject, ...]


def bit_round(values: NDArray[np.float32], keep_bits: int) -> NDArray[np.float32]:
    """Values with all but ``keep_bits`` bits of their mantissa rounded to zero, half to even.

    Parameters
    ----------
    values : ndarray, any shape, float32
        NaN and infinities are kept.
    keep_bits : int
        1..23. The relative error is at most 2**-(keep_bits + 1).

    Returns
    -------
    ndarray, same shape, float32

    Raises
    ------
    BadInput
        Another type, or bits out of range.
    """
    values = np.asarray(values)
    if values.dtype != np.float32:
        raise BadInput(f"values to bit-round must be float32, instead got {values.dtype}")
    if not 1 <= keep_bits <= 23:
        raise BadInput(f"keep_bits must lie in 1..23, instead got {keep_bits}")
    drop = 23 - keep_bits
    if not drop:
        return values.copy()
    bits = np.ascontiguousarray(values).view(np.uint32)
    half = np.uint32((1 << (drop - 1)) - 1)
    rounded = bits + (half + ((bits >> np.uint32(drop)) & np.uint32(1)))
    rounded &= np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)
    result = rounded.view(np.float32)
    return np.where(np.isfinite(values), result, values).reshape(values.shape)


def encode_store(dataset: xr.Dataset, groups: Mapping[str, xr.Dataset] | None = None) -> dict[str, bytes]:
    """Every object of the Zarr store that holds ``dataset`` at its root and ``groups`` below, sorted by key.

    Variables that `VARIABLES` knows are rounded and filled as it says; others are stored as they are, with NaN where a
    float is missing.
    Metadata is consolidated in every group and last in the root.
    """
    groups = dict(groups or {})
    memory: dict = {}
    store = zarr.storage.MemoryStore(memory)
    for path, content in {"": dataset, **groups}.items():
        prepared = content.map(_rounded, keep_attrs=True)
        prepared.attrs = dict(content.attrs)
        for name in prepared.variables:
            prepared[name].encoding = {}
        encoding = {str(name): _encoding(str(name), prepared[name].variable) for name in prepared.variables}
        prepared.to_zarr(store, group=path or None, mode="a", zarr_format=3, consolidated=False, encoding=encoding)
    return _consolidated({key: memory[key].to_bytes() for key in sorted(memory)})


def write_store(
    dataset: xr.Dataset,
    url: str | os.PathLike,
    *,
    groups: Mapping[str, xr.Dataset] | None = None,
    overwrite: bool = False,
    **options,
) -> Manifest:
    """Write ``dataset`` (and ``groups``, by path) as one Zarr 3 store that appears when it is complete.

    Parameters
    ----------
    dataset : xarray.Dataset
        The root group.
    url : str or path
        Where the store will be: a path or a ``file:``, ``memory:``, ``s3:`` URL.
    groups : mapping of str to xarray.Dataset, optional
        Groups below the root, such as ``radar/t088_185683_iw2``.
    overwrite : bool
        Replace what is there. A local store is replaced in one step, one in an object store is gone meanwhile.
    **options
        Passed to the file system.

    Returns
    -------
    tuple of StoredObject
        The manifest, sorted by key.

    Raises
    ------
    AlreadyExists
        Something is at ``url`` and ``overwrite`` is false, or a rival was first.
    Unavailable
        The URL can't be written.
    """
    location = open_store(url, **options)
    _check_place(location, overwrite)
    objects = encode_store(dataset, groups)
    if location.is_local:
        _write_local(location, objects, overwrite)
    else:
        _write_remote(location, objects, overwrite)
    return manifest_of(objects)


def manifest_of(objects: Mapping[str, bytes]) -> Manifest:
    """Key, size and SHA-256 of every object, sorted by key."""
    return tuple(StoredObject(k, len(objects[k]), hashlib.sha256(objects[k]).hexdigest()) for k in sorted(objects))


def manifest_bytes(manifest: Iterable[StoredObject], store: str) -> bytes:
    """The manifest as JSON; ``store`` is the store's name beside it."""
    entries = [asdict(entry) for entry in sorted(manifest)]
    total = sum(entry["size"] for entry in entries)
    return (json.dumps({"store": store, "size": total, "objects": entries}, indent=1) + "\n").encode()


def verify(url: str | os.PathLike, manifest: Iterable[StoredObject], **options) -> None:
    """Read every object back and compare it with the manifest; nothing more and nothing less may be there.

    Raises
    ------
    Unavailable
        An object is missing, unreadable, different or unexpected.
    """
    location = open_store(url, **options)
    manifest = tuple(manifest)
    found = _keys(location)
    expected = {entry.key for entry in manifest}
    if found != expected:
        odd = sorted(found ^ expected)
        raise Unavailable(
            f"{location.url} must hold {len(expected)} objects, instead it holds {len(found)}; "
            f"first difference: {odd[0]}"
        )

    def check(entry: StoredObject) -> None:
        data = location.read_bytes(entry.key)
        if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise Unavailable(
                f"{location.url}/{entry.key} differs from what was written; the store is damaged: write it again"
            )

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(check, manifest))


def read_store(url: str | os.PathLike, group: str | None = None, **options) -> xr.Dataset:
    """Open a store (or one group) lazily, with ``spatial_ref`` and the pair's dates as coordinates.

    Raises
    ------
    Unavailable
        There is no complete Zarr store at ``url``.
    """
    location = open_store(url, **options)
    try:
        # a store and not a URL: zarr 3.4 has a memory: of its own, which is not fsspec's
        target = (
            location.path
            if location.is_local
            else zarr.storage.FsspecStore.from_url(
                os.fspath(url), storage_options={**store_options(os.fspath(url)), **options}, read_only=True
            )
        )
        return xr.open_zarr(
            target,
            group=group,
            zarr_format=3,
            consolidated=True,
            chunks=None,
        )
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable(
            f"can't open {location.url}{'/' + group if group else ''}: no complete Zarr 3 store is there ({error})"
        ) from error


def _rounded(array: xr.DataArray) -> xr.DataArray:
    """The array with the table's bits kept."""
    variable = VARIABLES.get(str(array.name))
    if variable is None or variable.keep_bits is None or array.dtype != np.float32:
        return array
    return array.copy(data=bit_round(array.values, variable.keep_bits))


def _encoding(name: str, variable: xr.Variable) -> dict:
    """Chunks, compressor and both fill values of one variable."""
    known = VARIABLES.get(name)
    dtype = np.dtype("int64") if variable.dtype.kind == "M" else variable.dtype
    encoding: dict = {
        "chunks": chunk_shape(variable.dims, variable.shape, dtype.itemsize),
        "compressors": (
            BloscCodec(typesize=dtype.itemsize, cname="zstd", clevel=5, shuffle="bitshuffle", blocksize=0),
        ),
    }
    if variable.dtype.kind == "M":
        return encoding | {"units": TIME_UNITS, "calendar": "proleptic_gregorian", "dtype": "int64"}
    if variable.dtype.kind == "c":
        return encoding | {"fill_value": np.array(complex("nan+nanj"), dtype)[()]}
    if variable.dtype.kind == "f" and name not in variable.dims:
        nan = np.array("nan", dtype)[()]
        return encoding | {"fill_value": nan, "_FillValue": nan}
    if known is not None and known.fill is not None and variable.dtype.kind in "iu":
        encoding["fill_value"] = int(known.fill)
    return encoding | {"_FillValue": None}


def _consolidated(objects: dict[str, bytes]) -> dict[str, bytes]:
    """The same objects with, in every group's document, the documents of all that is below it.

    Written here because zarr-python warns at each call that Zarr 3 hasn't settled this, and a warning can't be silenced
    for one thread alone. Every reader that is tested uses it.
    """
    documents = {key: json.loads(data) for key, data in objects.items() if key.rsplit("/", 1)[-1] == ROOT}
    result = dict(objects)
    for key, document in documents.items():
        if document["node_type"] != "group":
            continue
        prefix = key.removesuffix(ROOT)
        below = {
            name.removeprefix(prefix).removesuffix(f"/{ROOT}"): child
            for name, child in documents.items()
            if name.startswith(prefix) and name != key
        }
        inline = {"kind": "inline", "must_understand": False, "metadata": below}
        result[key] = json.dumps(document | {"consolidated_metadata": inline}, indent=1).encode()
    return result


def _check_place(location: Location, overwrite: bool) -> None:
    """Refuse a place that holds a store, unless asked, and one that holds anything else, asked or not."""
    if location.is_local and location.exists() and not location.is_folder():
        raise _exists(location)
    found = _keys(location)
    foreign = sorted(key for key in found if not _OURS.fullmatch(key))
    if foreign:
        raise AlreadyExists(
            f"{location.url} holds {foreign[0]}, which is no part of a Zarr store and would be lost; "
            f"choose another place"
        )
    if not overwrite and (location.exists() if location.is_local else ROOT in found):
        raise _exists(location)


def _exists(location: Location) -> AlreadyExists:
    return AlreadyExists(f"{location.url} exists already; choose another place or ask for it to be overwritten")


def _keys(location: Location) -> set[str]:
    """Keys of all objects below a location."""
    try:
        found = location.fs.find(location.path)
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise Unavailable(f"can't list {location.url}: {error}") from error
    start = len(location.path.rstrip("/")) + 1
    return {key for path in found if (key := str(path)[start:])}  # some stores list an empty folder as itself


def _write_local(location: Location, objects: Mapping[str, bytes], overwrite: bool) -> None:
    """Write beside the target under a hidden name, then rename."""
    target = Path(location.path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
    except OSError as error:
        raise Unavailable(f"can't write {location.url}: {error.strerror}; check the folder's permissions") from error
    old = staging.with_suffix(".old")
    try:
        staging.chmod(0o755)  # mkdtemp makes it private; a published store is not
        place = open_store(staging)
        for key, data in objects.items():
            place.write_bytes(key, data)
        if target.exists():
            if not overwrite:
                raise _exists(location)
            target.rename(old)  # a reader finds nothing only between these two renames
        staging.rename(target)
    except OSError as error:
        if isinstance(error, AlreadyExists | Unavailable):
            raise
        raise Unavailable(f"can't write {location.url}: {error.strerror or error}") from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _write_remote(location: Location, objects: Mapping[str, bytes], overwrite: bool) -> None:
    """Write all but the root document, then the root document by exclusive create."""
    leftovers = _keys(location)
    if leftovers:
        # The root first: from there on no reader opens what is being removed. Leftovers without a root come from a
        # writer that died; a chunk of its would fill in where ours has none.
        if ROOT in leftovers and not overwrite:
            raise _exists(location)
        if ROOT in leftovers:
            location.fs.rm_file(f"{location.path}/{ROOT}")
        location.fs.rm([f"{location.path}/{key}" for key in sorted(leftovers - {ROOT})])
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda key: location.write_bytes(key, objects[key]), [k for k in objects if k != ROOT]))
    if not location.create_bytes(ROOT, objects[ROOT]):
        raise _exists(location)
