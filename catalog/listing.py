"""What the catalog lists, and the catalogs around it: after one publication, or all anew.

One mine-year touches its own item, the neighbouring years' ``prev`` and ``next``, and those of its mine's, country's
and commodity's catalogs that don't name it yet: for the second year of a mine that is two items, one catalog of a few
lines and the collection. A document is written only where it changes, in one step, and after all that it leads to.

Two publishers that finish together can each miss the other's link in a catalog that they share; whoever starts them
calls `mend_catalog` at the end, which reads the items of their mines. `rebuild_catalog` reads all: 1.3 ms an item.
"""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from pipeline.errors import Unavailable
from pipeline.storage import Location, open_store

from .browse import COMMODITIES, COUNTRIES, Link, Node, branch, build_catalog, links_of, mine_node
from .collection import build_collection, slim
from .stac import COLLECTION_ID, COLLECTION_PATH, item_id, item_path, relinked, target
from .versions import FOLDER as SUPERSEDED
from .versions import folder_of, superseded

ITEMS = f"catalog/{COLLECTION_ID}"
WORKERS = 16  # documents under way at once: an object store answers one in 5 ms and many in hardly more
ROUNDS = 5  # of a rebuild while others publish


def rebuild_catalog(root_url: str | os.PathLike, **options) -> int:
    """Write every catalog, the collection and the links between items anew from the items that are there.

    What leads to no item any more is removed. Returns the number of items.

    Raises
    ------
    BadInput
        There are no items.
    Unavailable
        The root can't be read or written.
    """
    root = open_store(root_url, **options)
    for _ in range(ROUNDS):
        # before the items, so that what others write meanwhile isn't taken for left over
        there = [path for folder in (COUNTRIES, COMMODITIES, SUPERSEDED) for path in _below(root, folder)]
        names = _names(root)
        items = [slim(document) for document in _documents(root, names)]
        old = {posixpath.basename(posixpath.dirname(path)) for path in there if path.startswith(SUPERSEDED)}
        written = _relink(root, items, old) | _write_catalogs(root, items)
        for path in there:
            if path not in written:
                _remove(root, path)
        if _names(root) == names:
            break
    return len(names)


def mend_catalog(root_url: str | os.PathLike, mines: Iterable[str], **options) -> int:
    """Make sure that the items of some mines, by id, are named by their neighbours and by every catalog above them.

    Nothing is removed, and no other mine's items are read. Returns the number of items.

    Raises
    ------
    Unavailable
        The root can't be read or written.
    """
    root, wanted = open_store(root_url, **options), {mine.lower() for mine in mines}
    names = [name for name in _names(root) if name.rpartition("-")[0] in wanted]
    items = [slim(document) for document in _documents(root, names)]
    _relink(root, items, set())
    for _ in range(ROUNDS if items else 0):  # until nobody else has written over what this wrote
        nodes = _nodes(items)
        changed = [_add(root, node, links.values()) for node, links in _lowest_first(nodes)]
        old = json.loads(root.read_bytes(COLLECTION_PATH)) if root.exists(COLLECTION_PATH) else None
        if not put(root, COLLECTION_PATH, _collection(items, old)) and not any(changed):
            break
    return len(items)


def listed_items(root_url: str | os.PathLike, **options) -> list[dict]:
    """The items that the catalog lists, as dictionaries, by id."""
    root = open_store(root_url, **options)
    return sorted(_documents(root, _names(root)), key=lambda item: item["id"])


def annotate(root_url: str | os.PathLike, facts: Mapping[tuple[str, int], Mapping], **options) -> int:
    """Give listed items properties that follow from more than their own year, such as production.

    ``facts``: properties by (mine id, year); those of mine-years that aren't listed are left out. Only the catalog's
    copy changes, in one step each; the published product stays as it is. Returns how many items changed.
    """
    root, changed = open_store(root_url, **options), 0
    listed = set(_names(root))
    for (mine_id, year), more in sorted(facts.items()):
        if f"{item_id(mine_id, year)}.json" in listed:
            document = json.loads(root.read_bytes(item_path(mine_id, year)))
            document["properties"] = {**document["properties"], **more}
            changed += put(root, item_path(mine_id, year), document)
    return changed


def list_item(root: Location, document: Mapping, stem: str) -> dict:
    """Put an item into the catalog in place of what is listed of its mine-year; returns its document as listed.

    Parameters
    ----------
    root : Location
        Of the published folder.
    document : mapping
        The versioned item with its hrefs relative to where the catalog lists it.
    stem : str
        Path of its product without suffix.
    """
    known = document["properties"]
    mine_id, year = known["pitpulse:mine_id"], known["pitpulse:year"]
    here, node = item_path(mine_id, year), mine_node(document)
    copies, before = superseded(root, mine_id, year, stem)
    for path, copy in copies.items():
        put(root, path, copy)
    siblings = {here: Link("item", here, str(year))} | {link.path: link for link in _links(root, node)}
    around = _neighbours(siblings.values())
    document = relinked(document, here, _ways(node, before, around[here]))
    put(root, here, document)
    for path in filter(None, around[here]):
        _turn(root, path[0], {rel: where for rel, where in zip(("prev", "next"), around[path[0]], strict=True)})
    for lower, link in branch(document):
        _add(root, lower, [link])
    old = json.loads(root.read_bytes(COLLECTION_PATH)) if root.exists(COLLECTION_PATH) else None
    put(root, COLLECTION_PATH, _collection([document], old))
    for path in _below(root, folder_of(mine_id, year)):
        if path not in copies:
            _remove(root, path)
    return document


def put(root: Location, path: str, document: Mapping) -> bool:
    """Write a JSON document in one step, unless it is there already; whether it was written."""
    data = json_bytes(document)
    if root.exists(path) and root.read_bytes(path) == data:
        return False
    root.write_bytes(path, data)
    return True


def json_bytes(document: Mapping) -> bytes:
    """JSON that depends on nothing but its content; NaN is refused, as STAC readers refuse it."""
    return (json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _ways(node: Node, before, around) -> dict:
    """Links of a listed item by rel."""
    return {"parent": (node.path, node.title), "predecessor-version": before, "prev": around[0], "next": around[1]}


def _neighbours(links: Iterable[Link]) -> dict[str, tuple[tuple[str, str] | None, ...]]:
    """Path and title of the year before and the year after, by an item's path."""
    ordered = sorted(links, key=lambda link: (int(link.title), link.path))
    ends = [None, *((link.path, link.title) for link in ordered), None]
    return {link.path: (ends[k], ends[k + 2]) for k, link in enumerate(ordered)}


def _relink(root: Location, items: Iterable[Mapping], old: set[str]) -> set[str]:
    """Bring the links of all items up to date; paths of the superseded versions, which are written too."""
    mines: dict[str, list[Link]] = {}
    for item in items:
        mines.setdefault(mine_node(item).path, []).append(branch(item)[0][1])
    around = {path: ends for links in mines.values() for path, ends in _neighbours(links).items()}

    def one(item: Mapping) -> set[str]:
        here, node, copies, before = f"{ITEMS}/{item['id']}.json", mine_node(item), {}, None
        if item["id"] in old or target(item, "predecessor-version", here):
            document = json.loads(root.read_bytes(here))
            known = document["properties"]
            stem = f"products/{known['pitpulse:mine_id']}/{known['pitpulse:year']}/v{known['version']}"
            copies, before = superseded(root, known["pitpulse:mine_id"], known["pitpulse:year"], stem)
            for path, copy in copies.items():
                put(root, path, copy)
        ways = _ways(node, before, around[here])
        if any(target(item, rel, here) != (where and where[0]) for rel, where in ways.items()):
            _turn(root, here, ways)
        return set(copies)

    return set().union(*_each(one, items))


def _write_catalogs(root: Location, items: list[dict]) -> set[str]:
    """Write every catalog and the collection from all items; paths written."""
    nodes = _nodes(items)
    collection = _collection(items, None)  # which refuses to be empty
    *below, (top, its_links) = _lowest_first(nodes)
    _each(lambda entry: put(root, entry[0].path, build_catalog(entry[0], entry[1].values())), below)
    put(root, COLLECTION_PATH, collection)
    put(root, top.path, build_catalog(top, its_links.values()))
    return set(nodes)


def _nodes(items: Iterable[Mapping]) -> dict[str, tuple[Node, dict[str, Link]]]:
    """Every catalog above some items by its path, with the links that they need there."""
    nodes: dict[str, tuple[Node, dict[str, Link]]] = {}
    for item in items:
        for node, link in branch(item):
            nodes.setdefault(node.path, (node, {}))[1][link.path] = link
    return nodes


def _lowest_first(nodes: Mapping[str, tuple[Node, dict[str, Link]]]) -> list[tuple[Node, dict[str, Link]]]:
    return [nodes[path] for path in sorted(nodes, key=lambda path: (-path.count("/"), path))]


def _add(root: Location, node: Node, links: Iterable[Link]) -> bool:
    """Put links into a catalog, keeping those that it has; whether it was written."""
    known, more = {link.path: link for link in _links(root, node)}, {link.path: link for link in links}
    if known | more == known and root.exists(node.path):
        return False
    return put(root, node.path, build_catalog(node, (known | more).values()))


def _links(root: Location, node: Node) -> list[Link]:
    return links_of(json.loads(root.read_bytes(node.path)), node.path) if root.exists(node.path) else []


def _turn(root: Location, path: str, ways: Mapping) -> None:
    """Give a listed item other links."""
    if root.exists(path):
        put(root, path, relinked(json.loads(root.read_bytes(path)), path, ways))


def _collection(items, known) -> dict:
    return build_collection(items, known).to_dict(include_self_link=False, transform_hrefs=False)


def _names(root: Location) -> list[str]:
    """Documents of the listed items, sorted."""
    return [name for name in root.list(ITEMS) if name.endswith(".json") and name != "collection.json"]


def _documents(root: Location, names: list[str]) -> Iterator[dict]:
    """Items one after the other, in parts: a pool's results wait in memory, and 45,000 items would take 13 GB."""
    for start in range(0, len(names), 64 * WORKERS):
        part = [f"{ITEMS}/{name}" for name in names[start : start + 64 * WORKERS]]
        yield from map(json.loads, _each(root.read_bytes, part))


def _each(do: Callable, things: Iterable) -> list:
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(do, things))


def _below(root: Location, folder: str) -> list[str]:
    """Paths of all documents in a folder and the folders in it."""
    if not root.exists(folder):
        return []
    own = root.join(folder).path.strip("/")
    try:
        found = root.fs.find(root.join(folder).path)
    except OSError as error:
        raise Unavailable(f"can't list {root.url}/{folder}: {error}; check that it can be read") from error
    paths = [str(path).strip("/").removeprefix(own) for path in found]
    return sorted(folder + path for path in paths if path.endswith(".json") and "/." not in path)


def _remove(root: Location, path: str) -> None:
    try:
        root.fs.rm_file(root.join(path).path)
    except FileNotFoundError:
        return  # a rival was first
    except OSError as error:
        raise Unavailable(f"can't remove {root.url}/{path}: {error}; remove it by hand") from error
