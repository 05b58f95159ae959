"""JSON from places that anybody may write to: of bounded length, and refused in one way whatever is wrong with it."""

from __future__ import annotations

import json

from .errors import BadInput, brief
from .limits import JSON_BYTES, JSON_LISTS
from .storage import open_store


def read_json(url: str, kind: str = "JSON", limit: int = JSON_BYTES) -> object:
    """What a JSON file holds.

    Parameters
    ----------
    url : str
        A path or any URL that fsspec knows.
    kind : str
        What the message expects: ``"GeoJSON"``.
    limit : int
        Bytes that it may have.

    Raises
    ------
    BadInput
        It is longer, has too many lists and objects, is nested deeper than Python's recursion goes, or is no JSON in
        UTF-8, 16 or 32.
    Unavailable
        It can't be read.
    """
    location = open_store(url)
    data = location.read_bytes(limit=limit)
    if len(data) > limit:
        raise BadInput(f"{location.url}: expected at most {limit} bytes of {kind}, found more; split the file")
    if (lists := data.count(b"[") + data.count(b"{")) > JSON_LISTS:
        raise BadInput(
            f"{location.url}: expected {kind} of at most {JSON_LISTS} vertices, lists and objects, found {lists}; "
            "split or simplify it"
        )
    try:
        return json.loads(data)
    except RecursionError as error:
        raise BadInput(f"{location.url}: expected {kind}, found lists or objects nested without end") from error
    except ValueError as error:
        raise BadInput(f"{location.url}: expected {kind}, found something else ({brief(error)})") from error
