"""What the XML of a Sentinel-1 product says, as frozen values: its manifest and its annotations.

There is one annotation per swath and polarization. Angles come out in rad, times as UTC datetime64[ns]. The formats of
all processor versions since 2014 are read: the azimuth FM rate as three elements (c0, c1, c2; IPF before 2.43) or as a
polynomial, burst ids given (IPF 3.40 on) or computed.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from ..constants import IW_SWATHS, ORBITS_PER_CYCLE
from ..errors import BadProduct
from ..limits import (
    BURST_AREA,
    BURST_LINES,
    BURSTS,
    COEFFICIENT,
    COEFFICIENTS,
    FOOTPRINT,
    GRID_POINTS,
    MANIFEST_BYTES,
    MEASUREMENT_BYTES,
    WORD,
    XML_BYTES,
    sane,
)
from ..model import Burst, GeolocationGrid, Orbit, RangePolynomial, Swath
from .burst_id import burst_id, burst_number, burst_track
from .xml_nodes import Node, read_xml

logger = logging.getLogger(__name__)

POLARIZATIONS = ("VV", "VH", "HH", "HV")
PASSES = ("ascending", "descending")
_PLATFORM = re.compile(r"S1[A-Z]")


@dataclass(frozen=True)
class Manifest:
    """What only the manifest says of a product, or says best."""

    platform: str  # "S1A"
    mode: str  # "IW"
    product_type: str  # "SLC"
    orbit_pass: str  # "ascending" or "descending", at the product's start
    start_track: int  # relative orbit; it changes with the ascending node, so a product may have two
    stop_track: int
    absolute_orbit: int  # at the start
    processor_version: str  # IPF, "003.40"; "" where not stated
    footprint: tuple[tuple[float, float], ...] = ()  # corners, (lon, lat) degrees; empty where not stated
    processed: str = ""  # when the processing ended, UTC; "" where not stated


def parse_manifest(xml: bytes | Element, name: str = "manifest.safe") -> Manifest:
    """The facts of a ``manifest.safe``.

    Parameters
    ----------
    xml : bytes or Element
        Content of the file, or its root element.
    name : str
        How messages call it.

    Raises
    ------
    BadProduct
        Unreadable or hostile XML, or a fact is missing or out of range.
    """
    root = _root(xml, name, MANIFEST_BYTES)
    platform = root.one(".//{*}platform")
    orbits = root.one(".//{*}orbitReference")
    tracks = {n.element.get("type"): n for n in orbits.all("{*}relativeOrbitNumber")}
    start = tracks.get("start", next(iter(tracks.values()))).integer(".")
    versions = [
        n.element.get("version", "")
        for n in root.all(".//{*}software", required=False)
        if "IPF" in n.element.get("name", "")
    ]
    return Manifest(
        platform=_platform("S1" + platform.text("{*}number"), name),
        mode=platform.text(".//{*}mode"),
        product_type=root.text(".//{*}productType"),
        orbit_pass=orbits.word(".//{*}pass", PASSES),
        start_track=start,
        stop_track=tracks["stop"].integer(".") if "stop" in tracks else start,
        absolute_orbit=orbits.integer("{*}orbitNumber"),
        processor_version=versions[0][:WORD] if versions else "",
        footprint=_corners(root),
        processed=next((n.element.get("stop", "")[:WORD] for n in root.all(".//{*}processing", required=False)), ""),
    )


def _platform(text: str, name: str) -> str:
    if not _PLATFORM.fullmatch(text.upper()):
        raise BadProduct(f"{name}: expected a platform such as S1A, found {text[:60]!r}")
    return text.upper()


def _corners(root: Node) -> tuple[tuple[float, float], ...]:
    """The frame's corners; none where they can't be read: they only tell which products may see a mine."""
    nodes = root.all(".//{*}footPrint/{*}coordinates", required=False)
    text = (nodes[0].element.text or "") if nodes else ""
    try:
        pairs = [tuple(map(float, pair.split(","))) for pair in text.split()] if len(text) <= FOOTPRINT else []
        corners = tuple((lon, lat) for lat, lon in pairs)
    except ValueError:
        return ()
    good = all(-90.0 <= lat <= 90.0 and -360.0 <= lon <= 360.0 for lon, lat in corners)
    return corners if good else ()


def parse_annotation(xml: bytes | Element, manifest: Manifest, name: str, measurement: str | None = None) -> Swath:
    """The values of one annotation: a swath in one polarization with its bursts.

    Parameters
    ----------
    xml : bytes or Element
        Content of the annotation, or an element that holds what its root does.
    manifest : Manifest
        Facts of the product it belongs to.
    name : str
        Its path in the product; messages call it so.
    measurement : str, optional
        Path of its samples in the product.

    Returns
    -------
    Swath
        Bursts in time order. Each has the Doppler and the FM-rate record nearest its middle line, and shares one orbit.

    Raises
    ------
    BadProduct
        Unreadable XML, a missing or malformed element, another mode than IW SLC, or sizes that contradict each other.
    """
    root = _root(xml, name)
    header, image, timing = root.one("adsHeader"), root.one("imageAnnotation/imageInformation"), root.one("swathTiming")
    swath, mode, product_type = header.text("swath"), header.text("mode"), header.text("productType")
    if (mode, product_type) != ("IW", "SLC") or swath not in IW_SWATHS:
        raise BadProduct(
            f"{name}: expected an IW SLC annotation of {', '.join(IW_SWATHS)}, found {mode} {product_type} {swath}"
        )
    records = timing.all("burstList/burst", most=BURSTS)
    lines, samples = timing.integer("linesPerBurst"), timing.integer("samplesPerBurst")
    if lines * samples > BURST_AREA or lines * samples * len(records) > MEASUREMENT_BYTES // 4:
        raise BadProduct(
            f"{name}: expected at most {BURST_AREA} samples a burst and {MEASUREMENT_BYTES // 4} in all, "
            f"found {len(records)} bursts of {lines} x {samples}; refused"
        )
    if image.integer("numberOfLines") != lines * len(records) or image.integer("numberOfSamples") != samples:
        raise BadProduct(
            f"{name}: expected {len(records)} bursts of {lines} x {samples} to fill the image, "
            f"found {image.integer('numberOfLines')} x {image.integer('numberOfSamples')}"
        )
    grid = _geolocation_grid(root)
    return Swath(
        swath=swath,
        polarization=header.word("polarisation", POLARIZATIONS),
        annotation=name,
        measurement=measurement,
        lines=lines * len(records),
        samples=samples,
        bursts=_bursts(root, manifest, grid),
        geolocation_grid=grid,
    )


def _root(xml: bytes | Element, name: str, limit: int = XML_BYTES) -> Node:
    return Node(xml if isinstance(xml, Element) else read_xml(xml, name, limit), name)


def _bursts(root: Node, manifest: Manifest, grid: GeolocationGrid) -> tuple[Burst, ...]:
    common = _common(root, manifest)
    lines, interval = common["lines"], common["azimuth_time_interval"]
    doppler = _range_polynomials(root.all("dopplerCentroid/dcEstimateList/dcEstimate"), "dataDcPolynomial")
    fm_rate = _range_polynomials(
        root.all("generalAnnotation/azimuthFmRateList/azimuthFmRate"), "azimuthFmRatePolynomial"
    )
    records = root.all("swathTiming/burstList/burst", most=BURSTS)
    times = np.array([r.time("azimuthTime") for r in records])
    if np.any(np.diff(times) <= np.timedelta64(0, "ns")):
        raise BadProduct(f"{root.name}: expected bursts in time order, found {times.astype(str).tolist()}")
    first, last = common["orbit"].instant(common["orbit"].time[[0, -1]])
    if not first <= times[0] <= times[-1] <= last:
        raise BadProduct(f"{root.name}: expected bursts between the orbit's ends, {first} and {last}, found others")
    middle = times + np.timedelta64(round(0.5 * (lines - 1) * interval * 1e9), "ns")
    identities = _identities(root, records, middle, manifest)
    bursts = []
    for index, record in enumerate(records):
        first, last = _valid_samples(record, lines, common["samples"])
        bursts.append(
            Burst(
                burst_id=identities[index][0],
                track=identities[index][1],
                index=index,
                azimuth_time=times[index],
                first_valid_sample=first,
                last_valid_sample=last,
                doppler_centroid=_nearest(doppler, middle[index]),
                azimuth_fm_rate=_nearest(fm_rate, middle[index]),
                footprint=_footprint(grid, times[index], lines * interval),
                **common,
            )
        )
    return tuple(bursts)


def _common(root: Node, manifest: Manifest) -> dict:
    """The fields that all bursts of an annotation share."""
    header, image, timing = root.one("adsHeader"), root.one("imageAnnotation/imageInformation"), root.one("swathTiming")
    product = root.one("generalAnnotation/productInformation")
    processing = root.all("imageAnnotation/processingInformation/swathProcParamsList/swathProcParams")
    swath = header.text("swath")
    own = next((p for p in processing if p.text("swath") == swath), None)
    if own is None:
        raise BadProduct(
            f"{root.name}: expected processing parameters of {swath}, found {[p.text('swath') for p in processing]}"
        )
    interval, rate = image.number("azimuthTimeInterval"), product.number("rangeSamplingRate")
    return {
        "platform": _platform(header.text("missionId"), root.name),
        "swath": swath,
        "polarization": header.word("polarisation", POLARIZATIONS),
        "orbit_pass": product.word("pass", PASSES),
        "azimuth_time_interval": interval,
        "slant_range_time": image.number("slantRangeTime"),
        "range_sampling_rate": rate,
        "radar_frequency": product.number("radarFrequency"),
        "lines": timing.integer("linesPerBurst"),
        "samples": timing.integer("samplesPerBurst"),
        "steering_rate": float(np.deg2rad(product.number("azimuthSteeringRate"))),
        "range_bandwidth": own.number("rangeProcessing/processingBandwidth"),
        "range_window": _window_coefficient(own.one("rangeProcessing")),
        "azimuth_bandwidth": own.number("azimuthProcessing/processingBandwidth"),
        "azimuth_window": _window_coefficient(own.one("azimuthProcessing")),
        "orbit": _orbit(root),
    }


def _window_coefficient(processing: Node) -> float:
    """Hamming coefficient of the spectral window; 1 (no weighting) where there is none."""
    kind = processing.text("windowType").lower()
    if kind == "none":
        return 1.0
    if kind != "hamming":
        raise BadProduct(
            f"{processing.name}: expected the window Hamming or None, found {processing.text('windowType')!r}"
        )
    return processing.number("windowCoefficient")


def _orbit(root: Node) -> Orbit:
    vectors = root.all("generalAnnotation/orbitList/orbit")
    frames = {v.text("frame") for v in vectors}
    if frames != {"Earth Fixed"}:
        raise BadProduct(f"{root.name}: expected orbit vectors in the frame 'Earth Fixed', found {sorted(frames)}")
    times = np.array([v.time("time") for v in vectors])
    if len(times) < 4 or np.any(np.diff(times) <= np.timedelta64(0, "ns")):
        raise BadProduct(f"{root.name}: expected at least 4 orbit vectors in time order, found {len(times)}")
    epoch = times[0].astype("datetime64[s]").astype("datetime64[ns]")
    return Orbit(
        epoch=epoch,
        time=(times - epoch).astype(np.int64) / 1e9,
        position=np.array([[v.number(f"position/{axis}") for axis in "xyz"] for v in vectors]),
        velocity=np.array([[v.number(f"velocity/{axis}") for axis in "xyz"] for v in vectors]),
    )


def _range_polynomials(records: list[Node], tag: str) -> list[RangePolynomial]:
    polynomials = []
    for record in records:
        if record.element.find(tag) is not None:
            coefficients = record.vector(tag, np.float64, COEFFICIENTS).tolist()
        else:  # IPF before 2.43 writes the FM rate as three elements
            coefficients = [record.convert(c, float, "a number") for c in ("c0", "c1", "c2")]
        if not sane(coefficients, COEFFICIENT):
            raise BadProduct(f"{record.name}: expected finite coefficients in <{tag}>, found {coefficients}")
        polynomials.append(RangePolynomial(record.time("azimuthTime"), record.number("t0"), tuple(coefficients)))
    return polynomials


def _nearest(records: list[RangePolynomial], instant: np.datetime64) -> RangePolynomial:
    """The record nearest in time; by time and never by position, since lists may miss a burst or have one more."""
    return min(records, key=lambda record: abs(record.azimuth_time - instant))


def _valid_samples(record: Node, lines: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    first, last = (record.vector(f"{end}ValidSample", np.int64, BURST_LINES) for end in ("first", "last"))
    if first.shape != (lines,) or last.shape != (lines,):
        raise BadProduct(
            f"{record.name}: expected {lines} first and last valid samples, found {first.size} and {last.size}"
        )
    valid = (first >= 0) & (last >= first)
    if np.any(last[valid] >= samples):
        raise BadProduct(f"{record.name}: expected valid samples below {samples}, found {last[valid].max()}")
    return np.where(valid, first, -1), np.where(valid, last, -1)


def _identities(root: Node, records: list[Node], middle: np.ndarray, manifest: Manifest) -> list[tuple[str, int]]:
    """Burst id and track of each burst: the annotated number where there is one, else the computed one."""
    swath = root.text("adsHeader/swath")
    node = root.time("imageAnnotation/imageInformation/ascendingNodeTime")
    since_node = (middle - node).astype(np.int64) / 1e9
    computed = burst_number(since_node, swath, manifest.start_track, manifest.stop_track)
    identities = []
    for record, number in zip(records, computed.tolist(), strict=True):
        if record.element.find("burstId") is not None:
            annotated = record.integer("burstId")
            if annotated != number:
                logger.warning(
                    "%s: burst number %d annotated, %d computed; the annotated one is kept",
                    root.name,
                    annotated,
                    number,
                )
            number = annotated
        # Next to the node the number's track may be the one before or after the manifest's; farther off it is wrong.
        track = burst_track(number)
        if not any((track - t + 1) % ORBITS_PER_CYCLE <= 2 for t in (manifest.start_track, manifest.stop_track)):
            track = manifest.start_track
        identities.append((burst_id(track, number, swath), track))
    return identities


def _geolocation_grid(root: Node) -> GeolocationGrid:
    points = root.all("geolocationGrid/geolocationGridPointList/geolocationGridPoint", most=GRID_POINTS)

    def column(read, dtype):
        return np.array([read(p) for p in points], dtype)

    return GeolocationGrid(
        azimuth_time=column(lambda p: p.time("azimuthTime"), "datetime64[ns]"),
        slant_range_time=column(lambda p: p.number("slantRangeTime"), np.float64),
        line=column(lambda p: p.integer("line"), np.int64),
        sample=column(lambda p: p.integer("pixel"), np.int64),
        latitude=column(lambda p: np.deg2rad(p.number("latitude")), np.float64),
        longitude=column(lambda p: np.deg2rad(p.number("longitude")), np.float64),
        height=column(lambda p: p.number("height"), np.float64),
        incidence_angle=column(lambda p: np.deg2rad(p.number("incidenceAngle")), np.float64),
    )


def _footprint(grid: GeolocationGrid, start: np.datetime64, duration: float) -> tuple[tuple[float, float], ...]:
    """Closed ring of (lon, lat) degrees around a burst: near and far edge, interpolated in time between grid rows.

    In time and not in line, because bursts overlap: a burst ends after the grid row of the next burst's first line.
    Longitudes go on beyond 180 where the burst crosses the antimeridian.
    """
    first, last = grid.sample == grid.sample.min(), grid.sample == grid.sample.max()
    ends = []
    for edge in (first, last):
        order = np.argsort(grid.azimuth_time[edge], kind="stable")
        seconds = (grid.azimuth_time[edge][order] - start).astype(np.int64) / 1e9
        lon = np.unwrap(np.rad2deg(grid.longitude[edge][order]), period=360.0)
        lat = np.rad2deg(grid.latitude[edge][order])
        ends.append([(float(np.interp(t, seconds, lon)), float(np.interp(t, seconds, lat))) for t in (0.0, duration)])
    ring = [ends[0][0], ends[1][0], ends[1][1], ends[0][1], ends[0][0]]
    lons = np.unwrap([lon for lon, _ in ring], period=360.0).tolist()
    return tuple((lon, lat) for lon, (_, lat) in zip(lons, ring, strict=True))
