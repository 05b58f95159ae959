"""The few vectors of an orbit file that an acquisition needs, found by bisection of its bytes.

A day's file has 9,361 vectors in 4.4 MB, of which some 20 are needed: the rest is never parsed. What is cut out is a
small document of its own, read as any other XML. TAI, which has no leap seconds, is what is searched by.
"""

from __future__ import annotations

import re

import numpy as np

from ..errors import BadProduct
from ..limits import XML_BYTES
from ..model import Orbit
from .orbit_files import parse_orbit_file
from .xml_nodes import utc

EXTRA = np.timedelta64(
    180, "s"
)  # of vectors beyond the sensing, so that a file that begins in it has enough to join by
_HEAD = 64 * 1024  # bytes that everything before the vectors fits in
_OPEN, _CLOSE, _TAI = b"<OSV>", b"</OSV>", b"TAI="
_STAMP = 26  # 2023-08-23T14:11:00.657814


def orbit_window(data: bytes, name: str, start: np.datetime64, stop: np.datetime64) -> Orbit:
    """The vectors of an orbit file around an acquisition.

    Parameters
    ----------
    data : bytes
        Content of the whole file.
    name : str
        How messages, and ``Orbit.source``, call it.
    start, stop : datetime64
        UTC, of the sensing.

    Returns
    -------
    Orbit
        What there is from `EXTRA` before to `EXTRA` after it: the last or first vectors where the file ends or begins
        there. Only these are checked.

    Raises
    ------
    BadProduct
        It is no orbit file, is cut off, or declares a document type or entities. Files with fewer vectors than they
        count are in use: what isn't there is found when the orbit is used.
    """
    start, stop = np.datetime64(start, "ns"), np.datetime64(stop, "ns")
    document = window_document(data, name, start - EXTRA, stop + EXTRA)
    return parse_orbit_file(document, name, start + (stop - start) / 2)


def window_document(data: bytes, name: str, start: np.datetime64, stop: np.datetime64) -> bytes:
    """An orbit file with only the vectors from ``start`` to ``stop`` (UTC), and those next to them.

    Raises
    ------
    BadProduct
        As `orbit_window`.
    """
    if len(data) > XML_BYTES:
        raise BadProduct(f"{name}: expected at most {XML_BYTES} bytes of XML, found more; it isn't an orbit file")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise BadProduct(f"{name}: expected plain XML, found a document type or entity declaration; refused")
    first, last = data.find(_OPEN), data.rfind(_CLOSE)
    if not 0 <= first < min(last, _HEAD):
        raise BadProduct(f"{name}: expected an orbit file with vectors (<OSV>), found none; download it again")
    head = data[:first]
    if not data.rstrip().endswith(b"</Earth_Explorer_File>"):
        raise BadProduct(f"{name}: expected </Earth_Explorer_File> at its end, found it cut off; download it again")
    offset = _stamp(data, first, name, b"TAI=") - _stamp(data, first, name, b"UTC=")
    low = _at(data, first, last, start + offset, name)
    high = _at(data, first, last, stop + offset, name)
    begin = max(data.rfind(_OPEN, 0, low), first)
    end = data.find(_CLOSE, high)
    end = (end if end >= 0 else last) + len(_CLOSE)
    facts = b"".join(_element(head, tag) for tag in (b"Ref_Frame", b"Time_Reference"))
    return b"".join(
        (b"<Orbit><Header>", facts, b"</Header><List_of_OSVs>", data[begin:end], b"</List_of_OSVs></Orbit>")
    )


def _at(data: bytes, first: int, last: int, instant: np.datetime64, name: str) -> int:
    """Offset of the first vector not before an instant (TAI), or of the last one."""
    low, high = first, data.rfind(_OPEN, 0, last)  # a vector begins at high
    while low < high:
        middle = data.find(_OPEN, (low + high) // 2)
        if middle >= high:  # none begins between: step through the one or two that are left
            middle = low
        if _stamp(data, middle, name, _TAI) < instant:
            following = data.find(_OPEN, middle + 1)
            if following < 0:
                break
            low = following
        else:
            high = middle
    return low


def _stamp(data: bytes, vector: int, name: str, scale: bytes) -> np.datetime64:
    """Time of the vector that begins at an offset."""
    end = data.find(_CLOSE, vector)
    at = data.find(scale, vector, end)
    try:
        if at < 0:
            raise ValueError("none")
        return utc(data[at + len(scale) : at + len(scale) + _STAMP].split(b"<")[0].decode())
    except ValueError as error:
        kind = scale.decode().rstrip("=")
        raise BadProduct(f"{name}: expected a {kind} time in every orbit vector, found {error}") from error


def _element(head: bytes, tag: bytes) -> bytes:
    match = re.search(rb"<" + tag + rb">\s*([A-Za-z0-9_ ]*)\s*</" + tag + rb">", head)
    return b"<" + tag + b">" + (match[1] if match else b"") + b"</" + tag + b">"
