"""Orbit files of Sentinel-1 (EOF: POEORB, precise, after three weeks; RESORB, restituted, after three hours).

An annotation's own orbit differs from these by 0.005 to 1.2 m. Vectors come every 10 s in the earth-fixed frame. Time
is counted in TAI, so that a leap second makes no jump, and tied to UTC at the vector nearest the instant asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from ..errors import BadInput, BadProduct, NoCoverage, brief
from ..limits import ORBIT_VECTORS, RANGES, sane
from ..model import Orbit, Product
from .xml_nodes import read_xml, utc

SPACING = 10.0  # s between the vectors of an orbit file
MAX_GAP = 1.5 * SPACING  # s; an eight-point interpolation over more is no longer good to a millimetre
BESIDE = 4  # vectors needed on each side of the time of use, for an eight-point interpolation
FILE_NAME = re.compile(r"(S1[A-Z])_OPER_AUX_(POEORB|RESORB)_OPOD_(\d{8}T\d{6})_V(\d{8}T\d{6})_(\d{8}T\d{6})\.EOF")


@dataclass(frozen=True)
class OrbitFileName:
    """What the name of an orbit file says."""

    name: str
    platform: str  # "S1A"
    kind: str  # "POEORB" or "RESORB"
    created: np.datetime64
    start: np.datetime64  # of validity
    stop: np.datetime64


def parse_orbit_file(xml: bytes, name: str, instant: np.datetime64 | None = None) -> Orbit:
    """All vectors of an orbit file.

    Parameters
    ----------
    xml : bytes
        Content of the file.
    name : str
        How messages, and ``Orbit.source``, call it.
    instant : datetime64, optional
        UTC instant near which the vectors' UTC must be exact; matters only in a file with a leap second in it.

    Raises
    ------
    BadProduct
        Unreadable XML, another frame than the earth-fixed one, or vectors out of order.
    """
    root = read_xml(xml, name)
    frame, scale = (str(root.findtext(f".//{tag}"))[:60] for tag in ("Ref_Frame", "Time_Reference"))
    if (frame, scale) != ("EARTH_FIXED", "UTC"):
        raise BadProduct(f"{name}: expected an orbit file in frame EARTH_FIXED and UTC, found {frame} and {scale}")
    vectors = root.findall(".//List_of_OSVs/OSV")
    if not 2 * BESIDE <= len(vectors) <= ORBIT_VECTORS:
        raise BadProduct(f"{name}: expected {2 * BESIDE} to {ORBIT_VECTORS} orbit vectors, found {len(vectors)}")
    try:
        tai = np.array([utc(v.findtext("TAI", "").removeprefix("TAI=")) for v in vectors])
        values = np.array([[float(v.findtext(k, "")) for k in ("X", "Y", "Z", "VX", "VY", "VZ")] for v in vectors])
        times = tai - _tai_minus_utc(vectors, tai, instant)
    except ValueError as error:
        raise BadProduct(f"{name}: expected numbers and times in every orbit vector, found {brief(error)}") from error
    if np.any(np.diff(times) <= np.timedelta64(0, "ns")) or not sane(values.flat, RANGES["x"][1]):
        raise BadProduct(f"{name}: expected finite orbit vectors in time order, found others; download the file again")
    epoch = times[0].astype("datetime64[s]").astype("datetime64[ns]")
    return Orbit(epoch, (times - epoch).astype(np.int64) / 1e9, values[:, :3], values[:, 3:], source=name)


def cut_orbit(orbit: Orbit, instant: np.datetime64, span: float = 60.0, vectors: int = 8) -> Orbit:
    """The vectors within ``span`` (s) of an instant, and up to ``vectors`` more on each side.

    Raises
    ------
    NoCoverage
        Fewer than 4 vectors before or after the span, or a gap of more than 15 s between vectors.
    """
    if span < 0 or vectors < BESIDE:
        raise BadInput(f"span must be at least 0 s and vectors at least {BESIDE}, instead got {span} and {vectors}")
    middle = float(orbit.seconds(instant))
    first, last = np.searchsorted(orbit.time, [middle - span, middle + span], side="left")
    if first < BESIDE or len(orbit.time) - last < BESIDE:
        margin = np.timedelta64(round((BESIDE - 1) * SPACING), "s")
        ends = orbit.instant(orbit.time[[0, -1]]).astype("datetime64[s]")
        raise NoCoverage(
            f"{orbit.source}: expected an orbit around {np.datetime64(instant, 's')} (and {span:.0f} s + {margin} on "
            f"each side), found {ends[0]} to {ends[1]}; use another orbit file or join the next one"
        )
    part = slice(max(first - vectors, 0), last + vectors)
    gap = np.diff(orbit.time[part]).max()
    if gap > MAX_GAP:
        raise NoCoverage(f"{orbit.source}: expected vectors every {SPACING:.0f} s, found a gap of {gap:.1f} s")
    return _recount(orbit, part)


def join_orbits(first: Orbit, second: Orbit) -> Orbit:
    """One orbit from two files that overlap or adjoin: the first up to the middle of the overlap, the second after it.

    The files are separate solutions with times of their own, a few cm apart: they are switched once, never interleaved,
    and vectors at the switch are 5 to 15 s apart.

    Raises
    ------
    NoCoverage
        There is a gap between them.
    """
    if second.epoch < first.epoch:
        first, second = second, first
    offset = float(first.seconds(second.epoch))
    begin, end = second.time[0] + offset, first.time[-1]
    if begin - end > MAX_GAP:
        raise NoCoverage(
            f"{first.source} ends {begin - end:.0f} s before {second.source} begins: expected at most {MAX_GAP:.0f} s; "
            "use an orbit file that covers the gap"
        )
    if second.time[-1] + offset <= end:
        return first
    keep = first.time <= max(0.5 * (begin + end), begin - MAX_GAP)
    follow = second.time + offset >= first.time[keep][-1] + 0.5 * SPACING
    return Orbit(
        epoch=first.epoch,
        time=np.concatenate([first.time[keep], second.time[follow] + offset]),
        position=np.concatenate([first.position[keep], second.position[follow]]),
        velocity=np.concatenate([first.velocity[keep], second.velocity[follow]]),
        source=f"{first.source} + {second.source}",
    )


def with_orbit(product: Product, orbit: Orbit) -> Product:
    """The product with another orbit in all its bursts; their times are instants, so nothing else changes."""
    swaths = (replace(s, bursts=tuple(replace(b, orbit=orbit) for b in s.bursts)) for s in product.swaths)
    return replace(product, swaths=tuple(swaths))


def parse_file_name(name: str) -> OrbitFileName | None:
    """What the name of an orbit file says; None for other files."""
    match = FILE_NAME.fullmatch(name)
    if match is None:
        return None
    created, start, stop = (
        np.datetime64(f"{t[:4]}-{t[4:6]}-{t[6:11]}:{t[11:13]}:{t[13:]}", "ns") for t in match.groups()[2:]
    )
    return OrbitFileName(name, match[1], match[2], created, start, stop)


def _tai_minus_utc(vectors, tai: np.ndarray, instant: np.datetime64 | None) -> np.timedelta64:
    """Offset at the vector nearest an instant (an hour's error in finding it is harmless: the offset is a step)."""

    def offset(k):
        return tai[k] - utc(vectors[k].findtext("UTC", "").removeprefix("UTC="))

    if instant is None:
        return offset(0)
    nearest = int(np.argmin(np.abs(tai - offset(0) - np.datetime64(instant, "ns"))))
    return offset(nearest)


def _recount(orbit: Orbit, part: slice) -> Orbit:
    """A part of an orbit with its own epoch: small seconds keep kernels exact to the nanosecond."""
    epoch = orbit.instant(orbit.time[part][0]).astype("datetime64[s]").astype("datetime64[ns]")
    seconds = orbit.time[part] - float(orbit.seconds(epoch))
    return replace(orbit, epoch=epoch, time=seconds, position=orbit.position[part], velocity=orbit.velocity[part])
