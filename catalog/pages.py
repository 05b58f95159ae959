"""Pages for people: a world map with a list of the mines, and a page for each of them.

    <root>/index.html                       the map
    <root>/pages/mine.html?id=...           a mine
    <root>/pages/*.js, pages.css, land.json what both need; the same for every catalog
    <root>/pages/mines.json                 all mines, by columns
    <root>/pages/mines/<id>.json, <id>/     a mine's numbers, and its pictures by year
    <root>/pages/state.json                 what each mine was drawn from

Made from the published folder alone, and only files: any static web server shows them, below any path. Only mines whose
items changed are drawn again, and a file is written only where its bytes change.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import xarray as xr

from pipeline.cube import open_cube
from pipeline.errors import BadInput, Unavailable
from pipeline.storage import Location, open_store

from . import pages_data as data
from .colours import YEAR_COLOURS
from .stac import COLLECTION_ID

FOLDER = "pages"
STATE = f"{FOLDER}/state.json"
TABLE = f"{FOLDER}/mines.json"
SERVED = (".html", ".css", ".js", ".json", ".svg")
READERS = 8  # documents read at once: an object store answers one in 5 ms and many in hardly more
DRAWERS = 4  # mines drawn at once: reading waits, and compressing a picture lets others run
SAVE_EVERY = 200  # mines after which the state is kept, so that an interrupted first build goes on where it was
NEEDED = ("activity", "ndai", "mine", "perpendicular_baseline", "stable_mean", "stable_std", "accepted", "reason")


def build_pages(root_url: str | os.PathLike, *, again: bool = False, **options) -> list[str]:
    """Write the pages of a published folder, or bring them up to date.

    Parameters
    ----------
    root_url : str or path
        Root of the published folder.
    again : bool
        Draw every mine again, whether or not its items changed.
    **options
        Passed to the file system.

    Returns
    -------
    list of str
        Paths from the root that were written, sorted; empty where all was up to date. A mine with a cube that can't be
        read gets its page without that year's pictures, and is tried again the next time.

    Raises
    ------
    Unavailable
        There is no catalog, or the root can't be read or written.
    BadInput
        A document in the catalog isn't an item of ours.
    """
    root = open_store(root_url, **options)
    mines, latest = _mines(root)
    drawer, written = _drawer(), []
    state = {} if again else _state(root, drawer)
    kept = {mine_id: digest for mine_id, digest in state.items() if mine_id in mines}
    digests = {mine_id: _digest(entry.digest for entry in entries) for mine_id, entries in mines.items()}
    changed = [mine_id for mine_id in mines if kept.get(mine_id) != digests[mine_id]]
    with ThreadPoolExecutor(DRAWERS) as pool:
        for start in range(0, len(changed), SAVE_EVERY):
            part = changed[start : start + SAVE_EVERY]
            drawn = pool.map(lambda mine_id: _draw(root, root_url, mines[mine_id], options), part)
            for mine_id, (paths, complete) in zip(part, drawn, strict=True):
                written += paths
                kept[mine_id] = digests[mine_id] if complete else ""
            written += _put(root, STATE, _json({"drawer": drawer, "mines": kept}))
    written += _put(root, STATE, _json({"drawer": drawer, "mines": kept}))
    written += _put(root, TABLE, data.table_of_mines(latest, _country_names()))
    for path, content in web_files().items():  # last: the first page that anyone opens finds everything there
        written += _put(root, path, content)
    return sorted(set(written))


def web_files() -> dict[str, bytes]:
    """Pages, styles, scripts and coastline by their path from the root of a published folder.

    Pages name scripts and styles with their checksum, so that no browser mixes those of two versions.
    """
    folder = resources.files(__package__) / "web"
    files = {f.name: f.read_bytes() for f in folder.iterdir() if f.name.endswith(SERVED)}
    version = _digest(hashlib.sha256(files[name]).hexdigest() for name in sorted(files))[:8]
    out = {}
    for name in sorted(files, key=lambda name: (name.endswith(".html"), name)):
        content = files[name]
        if name.endswith((".html", ".js")):
            content = re.sub(rb"\?v=0\b", f"?v={version}".encode(), content)
        out["index.html" if name == "index.html" else f"{FOLDER}/{name}"] = content
    return out


def _mines(root: Location) -> tuple[dict[str, list[data.Entry]], list[dict]]:
    """Entries of every mine by year, and the mines' lines in the list, both by id.

    Documents are read one after the other and let go: one takes 90 kB, 45,000 would take 4 GB.
    """
    found: dict[str, list[data.Entry]] = {}
    places: dict[str, tuple[int, tuple[float, float] | None]] = {}
    for entry, document in _documents(root):
        found.setdefault(entry.mine_id, []).append(entry)
        if entry.mine_id not in places or entry.year > places[entry.mine_id][0]:
            places[entry.mine_id] = entry.year, data.place(document)
    mines = {mine_id: sorted(found[mine_id], key=lambda entry: entry.year) for mine_id in sorted(found)}
    return mines, [data.summary(entries, places[mine_id][1]) for mine_id, entries in mines.items()]


def _documents(root: Location) -> Iterator[tuple[data.Entry, dict]]:
    """Every item that the catalog lists, as `publish.listed_items` does, but one at a time."""
    folder = f"catalog/{COLLECTION_ID}"
    paths = [f"{folder}/{name}" for name in root.list(folder) if name.endswith(".json") and name != "collection.json"]
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(paths), 64 * READERS):  # in parts: a pool's results wait in memory
            part = paths[start : start + 64 * READERS]
            for path, content in zip(part, pool.map(root.read_bytes, part), strict=True):
                yield data.read_entry(content, path)


def _draw(root: Location, root_url, entries: Sequence[data.Entry], options: Mapping) -> tuple[list[str], bool]:
    """Write a mine's pictures and numbers; the paths written, and whether all of its cubes could be read."""
    mine_id, written, rows, tables, years = entries[-1].mine_id, [], [], [], []
    complete, at = True, None
    for entry in entries:
        _, document = data.read_entry(root.read_bytes(entry.path), entry.path)
        facts, at = data.year_facts(entry, document), data.place(document) or at
        paths = {asset["key"]: asset["path"] for asset in facts["downloads"]}
        try:
            cube = _cube(root_url, paths, options)
        except (Unavailable, BadInput):  # a store that is gone or broken: its numbers are still known
            complete = False
        else:
            images = data.pictures(cube, _optional(root, paths, "composite"), _optional(root, paths, "colours"))
            folder = f"{FOLDER}/mines/{mine_id}"
            for layer, image in images.items():
                written += _put(root, f"{folder}/{entry.year}-{layer}.png", image)
            facts |= {"layers": sorted(images), **data.composite_facts(document)} | data.year_shape(cube)
            rows += data.pair_rows(cube)
            tables += filter(None, [_optional(root, paths, "series")])
        years.append(facts)
    pairs, last = data.pair_table(rows), entries[-1]
    page = {
        "id": mine_id,
        "name": last.name,
        "country": _country_names().get(last.country, last.country),
        "commodity": last.commodity,
        "place": [round(degrees, 4) for degrees in at] if at else None,
        "collection": f"catalog/{COLLECTION_ID}/collection.json",
        "legend": data.legend(),
        "years": years,
        "pairs": pairs,
        "sites": data.site_series(tables, pairs),
    }
    return written + _put(root, f"{FOLDER}/mines/{mine_id}.json", _json(page)), complete


def _cube(root_url, paths: Mapping[str, str], options: Mapping) -> xr.Dataset:
    """What a page needs of a year's cube, loaded."""
    if "cube" not in paths:
        raise BadInput("the item has no cube in this folder")
    with open_cube(f"{os.fspath(root_url).rstrip('/')}/{paths['cube']}", **options) as cube:
        missing = [name for name in NEEDED if name not in cube]
        if missing:
            raise BadInput(f"{paths['cube']}: expected the variables {', '.join(missing)}; publish it again")
        return cube[list(NEEDED)].load()


def _optional(root: Location, paths: Mapping[str, str], kind: str) -> bytes | None:
    """A file that may be missing."""
    if kind not in paths or not root.exists(paths[kind]):
        return None
    return root.read_bytes(paths[kind])


def _country_names() -> dict[str, str]:
    """English names by ISO3 code."""
    from pipeline.inventory.countries import (
        countries,
    )  # brings geopandas: a second that `import catalog` can do without

    return {code: country.names[0] for code, country in countries().items()}


def _drawer() -> str:
    """Checksum of the code that draws and of its colours: where it is another, every picture may be."""
    folder = resources.files(__package__)
    sources = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("pages.py", "pages_data.py")]
    return _digest([*sources, json.dumps(data.legend()), json.dumps(YEAR_COLOURS)])


def _state(root: Location, drawer: str) -> dict[str, str]:
    """Digest of each mine as it was last drawn; empty where other code drew it, or where it can't be read."""
    if not root.exists(STATE):
        return {}
    try:
        state = json.loads(root.read_bytes(STATE))
        return dict(state["mines"]) if state["drawer"] == drawer else {}
    except (ValueError, KeyError, TypeError):  # not ours, or cut off: drawing again heals it
        return {}


def _put(root: Location, path: str, content: bytes) -> list[str]:
    """Write a file unless it holds this already; the path where it was written."""
    if root.exists(path) and root.size(path) == len(content) and root.read_bytes(path) == content:
        return []
    root.write_bytes(path, content)
    return [path]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _json(document: Mapping) -> bytes:
    return (json.dumps(document, separators=(",", ":"), allow_nan=False, ensure_ascii=False) + "\n").encode()
