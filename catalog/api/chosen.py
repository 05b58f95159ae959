"""The fields extension: what to keep of an item.

A name is a path such as ``properties.pitpulse:year`` or ``assets.ndai.href``; one that is no member of an item, such as
``pitpulse:year`` alone, is a property.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MEMBERS = frozenset(
    ("type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "properties", "links", "assets", "collection")
)
ALWAYS = ("type", "stac_version", "id", "collection")  # without these nobody knows what it is
USUAL = (*ALWAYS, "geometry", "bbox", "links", "assets", "properties.datetime")  # where `fields` is there and empty


def choose(item: Mapping, include: Sequence[str] | None, exclude: Sequence[str]) -> dict:
    """An item with what is included and not excluded, as a new dictionary.

    Parameters
    ----------
    item : mapping
    include : sequence of str, or None
        None for everything; empty for what is usual.
    exclude : sequence of str
        What is included by a name as long or longer stays.
    """
    if include is None:
        kept = dict(item)
    else:
        kept = {name: item[name] for name in ALWAYS if name in item}
        for name in include or USUAL:
            _keep(item, kept, _path(name))
    wanted = [_path(name) for name in include or ()]
    for path in map(_path, exclude):
        asked_for = any(other[: len(path)] == path for other in wanted)
        if not asked_for and (len(path) > 1 or path[0] not in ALWAYS):
            _drop(kept, path)
    return kept


def _path(name: str) -> list[str]:
    path = name.split(".")
    return path if path[0] in MEMBERS else ["properties", *path]


def _keep(source: Mapping, kept: dict, path: Sequence[str]) -> None:
    """Copy what is at a path."""
    first, rest = path[0], path[1:]
    if first not in source:
        return
    if not rest:
        kept[first] = source[first]
    elif isinstance(source[first], Mapping):
        inner = dict(kept.get(first) or {})
        _keep(source[first], inner, rest)
        kept[first] = inner


def _drop(kept: dict, path: Sequence[str]) -> None:
    """Remove what is at a path; what is above it is copied first, since items share it."""
    first, rest = path[0], path[1:]
    if not rest:
        kept.pop(first, None)
    elif isinstance(kept.get(first), Mapping):
        kept[first] = dict(kept[first])
        _drop(kept[first], rest)
