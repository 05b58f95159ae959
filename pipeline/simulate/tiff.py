"""Measurement files: 16-bit complex TIFF, uncompressed, one strip a line, written as a sparse file.

Only the rendered windows take space on disk; the rest of the file is a hole that reads as zero, which is what
Sentinel-1 writes in invalid samples.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput

SAMPLE_BYTES = 4  # two int16
COMPLEX_INTEGER = 5  # TIFF SampleFormat
TAGS = 11
DIRECTORY = 8
ARRAYS = DIRECTORY + 2 + 12 * TAGS + 4


def data_offset(lines: int) -> int:
    """Byte at which the first line's samples start, unless an annotation asks for a later one."""
    return ARRAYS + 8 * lines


def create_measurement(path: Path, lines: int, samples: int, offset: int | None = None) -> int:
    """Make an empty measurement of ``lines`` x ``samples``; returns the byte offset of its first sample."""
    least = data_offset(lines)
    offset = least if offset is None else offset
    if offset < least:
        raise BadInput(f"the first burst's byteOffset must be at least {least} for {lines} lines, instead got {offset}")
    size = offset + lines * samples * SAMPLE_BYTES
    if size >= 2**32:
        raise BadInput(f"a classic TIFF must be smaller than 4 GiB, instead got {size} bytes: {path.name}")
    width = samples * SAMPLE_BYTES
    tags = (
        (256, 4, 1, samples),
        (257, 4, 1, lines),
        (258, 3, 1, 8 * SAMPLE_BYTES),
        (259, 3, 1, 1),  # no compression
        (262, 3, 1, 1),  # black is zero
        (273, 4, lines, ARRAYS),
        (277, 3, 1, 1),
        (278, 3, 1, 1),  # one line a strip
        (279, 4, lines, ARRAYS + 4 * lines),
        (284, 3, 1, 1),
        (339, 3, 1, COMPLEX_INTEGER),
    )
    head = struct.pack("<2sHIH", b"II", 42, DIRECTORY, TAGS)
    head += b"".join(struct.pack("<HHII", *tag) for tag in tags) + struct.pack("<I", 0)
    strips = (offset + width * np.arange(lines, dtype=np.int64)).astype("<u4").tobytes()
    with open(path, "wb") as file:
        file.write(head + strips + np.full(lines, width, "<u4").tobytes())
        os.truncate(file.fileno(), size)
    return offset


def write_window(path: Path, width: int, offset: int, first: tuple[int, int], values: NDArray[np.int16]) -> None:
    """Write ``values`` (line, sample, 2) at (line, sample) ``first`` of a file that is ``width`` samples wide."""
    if values.dtype != np.int16:
        raise BadInput(
            f"a measurement holds 16-bit integers, instead got {values.dtype}: leave quantisation on, and raise the "
            "amplitude where its noise matters"
        )
    with open(path, "r+b") as file:
        for k, row in enumerate(np.ascontiguousarray(values, "<i2")):
            file.seek(offset + ((first[0] + k) * width + first[1]) * SAMPLE_BYTES)
            file.write(row.data)
