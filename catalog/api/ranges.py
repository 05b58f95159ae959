"""Byte ranges of HTTP (RFC 9110, section 14)."""

from __future__ import annotations

import re
from itertools import pairwise

MOST = 32  # ranges of one request; GDAL asks for a handful
_RANGE = re.compile(r"(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII)


class Unsatisfiable(ValueError):
    """No byte of the file is in what was asked, or too many pieces were."""


def read_ranges(header: str, size: int) -> list[tuple[int, int]] | None:
    """Start and stop (exclusive) of the ranges that a header asks for.

    Parameters
    ----------
    header : str
        Such as ``bytes=0-99,-20``.
    size : int
        Of the file, bytes.

    Returns
    -------
    list of (int, int), or None
        In the order asked; None where the header is to be ignored: another unit, or not written as the standard says.

    Raises
    ------
    Unsatisfiable
        All of them begin behind the end of the file, or there are more than `MOST` or they overlap.
    """
    unit, _, listed = header.partition("=")
    if unit.strip().lower() != "bytes" or not listed:
        return None
    found, pieces = [], [piece.strip() for piece in listed.split(",") if piece.strip()]
    if len(pieces) > MOST:
        raise Unsatisfiable(f"at most {MOST} ranges at once, instead got {len(pieces)}")
    for piece in pieces:
        match = _RANGE.fullmatch(piece)
        if match is None:
            return None
        first, last, suffix = match.groups()
        if suffix is not None:
            start, stop = max(0, size - int(suffix)), size
        else:
            start, stop = int(first), min(int(last), size - 1) + 1 if last else size
            if last and int(last) < start:
                return None
        if start < min(stop, size):
            found.append((start, stop))
    if not pieces:
        return None
    if not found:
        raise Unsatisfiable(f"the file has {size} bytes")
    ordered = sorted(found)
    if any(second[0] < first[1] for first, second in pairwise(ordered)):
        raise Unsatisfiable("ranges that overlap; ask for each byte once")
    return found
