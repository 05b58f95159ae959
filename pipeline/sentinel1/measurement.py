"""Samples of a burst window, read from the measurement TIFF by byte range.

A measurement holds a swath's bursts one below the other (or one alone, where they were cut out) as 16-bit complex
integers, one strip a line, uncompressed: the samples of a window lie in one byte range per line. The header is read
once per `Measurement`; of the rest only what the window needs, neighbouring lines together where the gap between them
costs less than a request.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..errors import BadInput, BadProduct, NoCoverage, brief
from ..limits import HEADER_BYTES, MEASUREMENT_BYTES, STRIP_BYTES
from ..model import Burst, Product, Swath, Window
from ..storage import BLOCK, Location, RangeFile, open_store
from .safe import Source, open_container

SAMPLE = 4  # bytes: two 16-bit integers
CHUNK = 64 * 1024 * 1024  # bytes of whole lines in flight at a time: bounds the memory beside the output
MORE_HEADER = 8 * 1024  # bytes of a header beside its strip tables, at most
UNCOMPRESSED, ZSTD = 1, 50000
DEFLATE = (8, 32946)
# What damage makes a TIFF's reader raise, found by damaging headers at random.
_UNREADABLE = (struct.error, ValueError, LookupError, TypeError, ArithmeticError, AttributeError, MemoryError)


@dataclass(frozen=True, eq=False)
class Measurement:
    """The samples of one swath in one polarization, or of one burst of it: where every line lies.

    Lines count in the measurement, all bursts one below the other. Products of the agency have one uncompressed strip a
    line. Rewritten ones with several lines a strip, or deflate or zstd strips, are read too, by whole strips.
    """

    source: Source = field(repr=False)
    name: str
    lines: int
    samples: int
    dtype: np.dtype
    compression: int
    lines_per_strip: int
    first_burst: int  # index of the burst that comes first: 0, but where bursts were cut out
    offsets: NDArray[np.int64] = field(repr=False)  # (strip,), bytes; 0 with byte count 0: a strip of zeros, not stored
    byte_counts: NDArray[np.int64] = field(repr=False)  # (strip,)

    def read(self, burst: Burst, window: Window, max_gap: int | None = None) -> NDArray[np.complex64]:
        """Samples of a window of a burst.

        Parameters
        ----------
        burst : Burst
            One of this swath's.
        window : Window
            Lines and samples counted in the burst; it must lie in it (`Window.clipped`).
        max_gap : int, optional
            Bytes between lines that are read along rather than asked apart; the store's default if not given.

        Returns
        -------
        ndarray, (line, sample), complex64
            Digital numbers as stored; NaN + NaN j outside the first and last valid sample of each line.

        Raises
        ------
        NoCoverage
            The window has no valid sample.
        BadInput
            The window leaves the burst.
        BadProduct
            A strip that can't be unpacked or ends early.
        """
        if window.size == 0:
            raise NoCoverage(f"window {window} of burst {burst.burst_id} is empty: it doesn't touch the burst")
        if window != window.clipped(burst):
            raise BadInput(
                f"window must lie in the burst's {burst.lines} x {burst.samples}, instead got {window}; clip it first"
            )
        rows = slice(window.line_start, window.line_stop)
        first = np.maximum(burst.first_valid_sample[rows], window.sample_start)
        stop = np.minimum(burst.last_valid_sample[rows] + 1, window.sample_stop)
        wanted = np.flatnonzero((burst.first_valid_sample[rows] >= 0) & (stop > first))
        if wanted.size == 0:
            raise NoCoverage(f"window {window} of burst {burst.burst_id} has no valid sample")
        out = np.full(window.shape, complex(np.nan, np.nan), np.complex64)
        lines = (burst.index - self.first_burst) * burst.lines + window.line_start + wanted
        read = self._read_lines if self.compression == UNCOMPRESSED else self._read_strips
        step = max(1, CHUNK // (self.samples * SAMPLE))
        for k in range(0, wanted.size, step):
            part = wanted[k : k + step]
            span = (first[part], stop[part])
            read(out.view(np.float32), part, lines[k : k + step], span, window.sample_start, max_gap)
        return out

    def _read_lines(self, out, rows, lines, span, origin, max_gap) -> None:
        """Fill rows of ``out`` (line, 2 x sample) float32 from uncompressed strips."""
        first, stop = span
        strip, inside = np.divmod(lines, self.lines_per_strip)
        stored = self.byte_counts[strip] > 0
        begin = self.offsets[strip] + SAMPLE * (inside * self.samples + first)
        end = begin + SAMPLE * (stop - first)
        blobs = iter(self.source.ranges(begin[stored].tolist(), end[stored].tolist(), max_gap))
        for row, a, b, present in zip(rows, first - origin, stop - origin, stored, strict=True):
            if not present:
                out[row, 2 * a : 2 * b] = 0.0
                continue
            blob = next(blobs)
            if len(blob) != SAMPLE * (b - a):
                raise self._truncated(f"{SAMPLE * (b - a)} bytes of a line", f"{len(blob)}")
            out[row, 2 * a : 2 * b] = np.frombuffer(blob, self.dtype)

    def _read_strips(self, out, rows, lines, span, origin, max_gap) -> None:
        """The same from compressed strips: each is fetched and unpacked whole."""
        strips = np.unique(lines // self.lines_per_strip)
        starts = self.offsets[strips]
        blobs = self.source.ranges(starts.tolist(), (starts + self.byte_counts[strips]).tolist(), max_gap)
        content = {int(s): self._unpack(int(s), blob) for s, blob in zip(strips, blobs, strict=True)}
        for row, line, a, b in zip(rows, lines, *span, strict=True):
            strip, inside = divmod(int(line), self.lines_per_strip)
            base = 2 * inside * self.samples
            out[row, 2 * (a - origin) : 2 * (b - origin)] = content[strip][base + 2 * a : base + 2 * b]

    def _unpack(self, strip: int, blob) -> NDArray[np.int16]:
        height = min(self.lines_per_strip, self.lines - strip * self.lines_per_strip)
        expected = height * self.samples * SAMPLE
        if len(blob) == 0 and self.byte_counts[strip] == 0:
            return np.zeros(expected // 2, self.dtype)
        try:
            if self.compression == ZSTD:
                import pyarrow  # only rewritten products need it

                data = pyarrow.decompress(blob, decompressed_size=expected, codec="zstd", asbytes=True)
            else:
                # One byte beyond and no more, whatever the strip claims; it also makes zlib verify its checksum.
                data = zlib.decompressobj().decompress(blob, expected + 1)
        except (zlib.error, OSError, ValueError) as error:
            raise BadProduct(
                f"{self.name}: strip {strip} can't be unpacked ({brief(error)}); download the product again"
            ) from error
        if len(data) != expected:
            raise self._truncated(f"{expected} bytes in strip {strip}", f"{len(data)}")
        return np.frombuffer(data, self.dtype)

    def _truncated(self, expected: str, found: str) -> BadProduct:
        return BadProduct(f"{self.name} is truncated: expected {expected}, found {found}; download the product again")


def open_measurement(
    product: Product, swath: Swath, storage_options: dict | None = None, location: Location | None = None
) -> Measurement:
    """Header of a swath's measurement, checked against its annotation; no samples are read yet.

    Parameters
    ----------
    product : Product
        From `open_product`.
    swath : Swath
        One of its swaths.
    storage_options : dict, optional
        For the file system.
    location : Location, optional
        The product's place where it is open already: its counters then go on.

    Raises
    ------
    BadProduct
        No measurement in the product, another format, or a size that contradicts the annotation or the file.
    """
    if swath.measurement is None:
        raise BadProduct(
            f"{product.url}: expected a measurement of {swath.swath} {swath.polarization}, found only its annotation"
        )
    location = open_store(product.url, **(storage_options or {})) if location is None else location
    source = open_container(location).source(swath.measurement)
    return read_header(source, swath, f"{location.url}: {swath.measurement}")


def read_window(
    product: Product, swath: Swath, burst: Burst, window: Window, storage_options: dict | None = None
) -> NDArray[np.complex64]:
    """One window of a burst, (line, sample) complex64 with invalid samples NaN; see `Measurement.read`.

    For several windows of one swath, `open_measurement` once and read them from it: that reads the header once.
    """
    return open_measurement(product, swath, storage_options).read(burst, window)


def read_header(source: Source, swath: Swath, name: str) -> Measurement:
    """Where the lines of a measurement lie, from its TIFF's header.

    Parameters
    ----------
    source : Source
        The file.
    swath : Swath
        As annotated: the measurement must have its lines and samples.
    name : str
        How messages call it.

    Raises
    ------
    BadProduct
        It is another format, of another size, or contradicts itself or the file.
    """
    size, expected = source.size(), (swath.lines, swath.samples)
    if size > MEASUREMENT_BYTES:
        raise BadProduct(f"{name}: expected at most {MEASUREMENT_BYTES} bytes, found {size}; refused")
    # The tables of a swath's strips take 110 kB, those of a single burst 12 kB: mines are small, their headers count.
    block = min(BLOCK, 1 << (8 * swath.lines + MORE_HEADER).bit_length())
    file = RangeFile(source.ranges, size, block, HEADER_BYTES)
    try:
        with tifffile.TiffFile(file, name=name) as tiff:
            page = tiff.pages.first
            _check_page(page, name, expected)
            measurement = Measurement(
                source=source,
                name=name,
                lines=page.imagelength,
                samples=page.imagewidth,
                dtype=np.dtype(tiff.byteorder + "i2"),
                compression=int(page.compression),
                lines_per_strip=min(page.rowsperstrip or page.imagelength, page.imagelength),
                first_burst=swath.bursts[0].index,
                offsets=np.array(page.dataoffsets, np.int64),
                byte_counts=np.array(page.databytecounts, np.int64),
            )
    except (*_UNREADABLE, tifffile.TiffFileError) as error:
        if isinstance(error, BadProduct):
            raise
        raise BadProduct(
            f"{name}: expected a TIFF, found something unreadable ({brief(error)}); download the product again"
        ) from error
    _check_strips(measurement, size)
    return measurement


def _check_page(page: tifffile.TiffPage, name: str, expected: tuple[int, int]) -> None:
    """The layout that is read, and the size that is annotated."""
    layout = (page.bitspersample, page.sampleformat, page.samplesperpixel)
    if layout != (32, tifffile.SAMPLEFORMAT.COMPLEXINT, 1):
        kind = getattr(page.sampleformat, "name", page.sampleformat)
        raise BadProduct(
            f"{name}: expected one 16-bit complex integer a pixel, "
            f"found {page.samplesperpixel} {kind} of {page.bitspersample} bits"
        )
    if page.is_tiled:
        raise BadProduct(f"{name}: expected strips of whole lines, found tiles; give the product as delivered")
    if page.compression not in (UNCOMPRESSED, ZSTD, *DEFLATE) or page.predictor != 1:
        raise BadProduct(
            f"{name}: expected uncompressed, deflate or zstd strips without predictor, found compression "
            f"{int(page.compression)} and predictor {int(page.predictor)}"
        )
    found = (page.imagelength, page.imagewidth)
    if found != expected:
        raise BadProduct(
            f"{name}: expected {expected[0]} x {expected[1]} samples as annotated, found {found[0]} x {found[1]}"
        )
    if not (isinstance(page.rowsperstrip, int) and page.rowsperstrip >= 0):
        raise BadProduct(f"{name}: expected a number of rows in a strip, found {page.rowsperstrip}")


def _check_strips(m: Measurement, size: int) -> None:
    """Every strip is there, as long as it must be, and inside the file."""
    strips = -(-m.lines // m.lines_per_strip)
    if len(m.offsets) != strips or len(m.byte_counts) != strips:
        raise m._truncated(f"{strips} strips", f"{len(m.offsets)} offsets and {len(m.byte_counts)} byte counts")
    if min(m.offsets.min(), m.byte_counts.min()) < 0:
        raise BadProduct(
            f"{m.name}: expected strips of 0 bytes or more, found negative ones; download the product again"
        )
    end = max(a + b for a, b in zip(m.offsets.tolist(), m.byte_counts.tolist(), strict=True))  # may exceed an int64
    if end > size:
        raise m._truncated(f"{end} bytes", f"{size}")
    height = np.minimum(m.lines_per_strip, m.lines - m.lines_per_strip * np.arange(strips))
    unpacked = height * m.samples * SAMPLE
    if m.compression == UNCOMPRESSED:
        short = (m.byte_counts != 0) & (m.byte_counts < unpacked)
        if short.any():
            raise m._truncated(
                f"{m.samples * SAMPLE} bytes a line", f"{m.byte_counts[short].min()} in strip {np.argmax(short)}"
            )
        return
    # What can't be packed grows by 5 bytes in 16 kB. Longer strips only make their reader fetch them.
    if unpacked.max() > STRIP_BYTES or np.any(m.byte_counts > unpacked + unpacked // 64 + 1024):
        raise BadProduct(
            f"{m.name}: expected compressed strips of at most {STRIP_BYTES} bytes, and no longer than what they hold, "
            f"found {m.byte_counts.max()} bytes for {unpacked.max()}; give the product as delivered"
        )
