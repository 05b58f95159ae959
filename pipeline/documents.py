"""JSON from places that anybody may write to: of bounded length, and refused in one way whatever is wrong with it."""

from __future__ import annotations

import json

from .errors import BadInput
from .limits import JSON_BYTES
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
        It is longer, nested deeper than Python's recursion goes, or no JSON in UTF-8, 16 or 32.
    Unavailable
        It can't be read.
    """
    location = open_store(url)
    data = location.read_bytes(limit=limit)
    if len(data) > limit:
        raise BadInput(f"{location.url}: expected at most {limit} bytes of {kind}, found more; split the file")
    return parse_json(data, location.url, kind)


def parse_json(data: bytes | str, name: str, kind: str = "JSON") -> object:
    """The same of bytes or text at hand; messages call it ``name``."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise BadInput(f"{name}: expected {kind}, found lists or objects nested without end; refused") from error
    except ValueError as error:
        raise BadInput(f"{name}: expected {kind}, found something else ({error})") from error
