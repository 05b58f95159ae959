"""Annotation of one swath and polarisation as XML, with ESA's element names and number formats."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

import numpy as np

from ..constants import SPEED_OF_LIGHT, WGS84_A, WGS84_B
from ..model import Burst, GeolocationGrid, RangePolynomial, Window
from .geometry import cartesian, observe
from .layout import BURST_PERIOD_LINES, SWATHS, Pass
from .render import View
from .terrain import Terrain
from .tiff import SAMPLE_BYTES

PROCESSOR_VERSION = "003.71"
GRID_COLUMNS = 21


@dataclass(frozen=True, eq=False)
class SwathImage:
    """All that one annotation file says."""

    flight: Pass
    bursts: tuple[Burst, ...]
    grid: GeolocationGrid = field(repr=False)
    image_number: int
    absolute_orbit: int
    offset: int  # byte offset of the first burst in the measurement

    @property
    def stop(self) -> np.datetime64:
        """Zero-Doppler time of the last line."""
        last = self.bursts[-1]
        return last.azimuth_time + _nanoseconds((last.lines - 1) * last.azimuth_time_interval)


def _nanoseconds(seconds: float) -> np.timedelta64:
    return np.timedelta64(round(seconds * 1e9), "ns")


def stamp(instant: np.datetime64) -> str:
    """UTC to the microsecond, as ESA prints it."""
    rounded = np.datetime64(instant, "ns") + np.timedelta64(500, "ns")
    return str(rounded.astype("datetime64[us]"))


def geolocation_grid(view_bursts: tuple[View, ...], terrain: Terrain) -> GeolocationGrid:
    """Tie points at the first line of every burst and after the last, `GRID_COLUMNS` across."""
    rows = []
    for k, view in enumerate((*view_bursts, view_bursts[-1])):
        burst = view.burst
        line = burst.lines if k == len(view_bursts) else 0
        columns = np.unique(np.linspace(0, burst.samples - 1, GRID_COLUMNS).round().astype(int))
        seconds, distances = view.axes(Window(line, line + 1, 0, burst.samples))
        seen = np.empty((6, 1, columns.size))
        series = view.series()
        observe(seconds, distances[columns], series, series, terrain.packed, seen)
        position = view.trajectory.state(seconds)[0][0]
        for sample, distance, point in zip(columns, distances[columns], seen[2:5, 0].T, strict=True):
            incidence = _incidence(position, point, distance)
            rows.append((burst.orbit.instant(seconds[0]), distance, k * burst.lines, sample, *point, incidence))
    times, distances, line, sample, latitude, longitude, height, incidence = (
        np.array(c) for c in zip(*rows, strict=True)
    )
    return GeolocationGrid(
        times.astype("datetime64[ns]"),
        2.0 * distances / SPEED_OF_LIGHT,
        line,
        sample,
        np.rad2deg(latitude),
        np.rad2deg(longitude),
        height,
        incidence,
    )


def _incidence(position, seen, distance) -> float:
    """Angle in rad between the line of sight and the ellipsoid's normal at a point (lat, lon in rad, height)."""
    up = np.array([np.cos(seen[0]) * np.cos(seen[1]), np.cos(seen[0]) * np.sin(seen[1]), np.sin(seen[0])])
    return float(np.arccos((position - cartesian(*seen)) @ up / distance))


def annotation_xml(image: SwathImage) -> bytes:
    """The annotation file's bytes."""
    first = image.bursts[0]
    root = ET.Element("product")
    _fill(root, {
        "adsHeader": {
            "missionId": first.platform, "productType": "SLC", "polarisation": first.polarization, "mode": "IW",
            "swath": first.swath, "startTime": stamp(first.azimuth_time), "stopTime": stamp(image.stop),
            "absoluteOrbitNumber": image.absolute_orbit, "missionDataTakeId": 100_000 + image.absolute_orbit,
            "imageNumber": f"{image.image_number:03d}",
        },
        "qualityInformation": {"productQualityIndex": _float(0.0), "qualityDataList": []},
        "generalAnnotation": _general(image),
        "imageAnnotation": {"imageInformation": _information(image), "processingInformation": _processing(first)},
        "dopplerCentroid": {"dcEstimateList": [("dcEstimate", _doppler(b)) for b in image.bursts]},
        "antennaPattern": {"antennaPatternList": []},
        "swathTiming": _timing(image),
        "geolocationGrid": {"geolocationGridPointList": _points(image.grid)},
        "coordinateConversion": {"coordinateConversionList": []},
        "swathMerging": {"swathMergeList": []},
    })  # fmt: skip
    ET.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="utf-8") + b"\n"


def _fill(parent: ET.Element, values: dict) -> None:
    """Children from a dict: a dict nests, a list of (tag, value) gets its count, anything else is text."""
    for tag, value in values.items():
        child = ET.SubElement(parent, tag)
        _put(child, value)


def _put(element: ET.Element, value) -> None:
    if isinstance(value, dict):
        _fill(element, value)
    elif isinstance(value, list):
        element.set("count", str(len(value)))
        for tag, item in value:
            _put(ET.SubElement(element, tag), item)
    elif isinstance(value, np.ndarray):
        element.set("count", str(value.size))
        element.text = " ".join(_number(v) for v in value)
    elif isinstance(value, tuple):  # text with attributes
        element.text = str(value[0])
        for name, attribute in value[1].items():
            element.set(name, str(attribute))
    else:
        element.text = str(value)


def _number(value) -> str:
    return str(int(value)) if isinstance(value, np.integer) else _float(value)


def _float(value: float) -> str:
    """A double with all its digits, in ESA's notation."""
    return f"{value:.15e}"


def _vector(values) -> dict:
    return {axis: _float(v) for axis, v in zip("xyz", values, strict=True)}


def _general(image: SwathImage) -> dict:
    first = image.bursts[0]
    orbit, facts = first.orbit, SWATHS[first.swath]
    vectors = [
        ("orbit", {
            "time": stamp(orbit.instant(orbit.time[k])), "frame": "Earth Fixed",
            "position": _vector(orbit.position[k]), "velocity": _vector(orbit.velocity[k]),
        })
        for k in range(orbit.time.size)
    ]  # fmt: skip
    north = np.array([0.0, 0.0, 1.0])
    position, velocity = (v[0] for v in image.flight.trajectory.state(0.0))
    east = np.cross(north, position)
    heading = np.rad2deg(np.arctan2(velocity @ east / np.linalg.norm(east), velocity @ north))
    return {
        "productInformation": {
            "pass": first.orbit_pass.capitalize(), "timelinessCategory": "Fast-24h", "platformHeading": _float(heading),
            "projection": "Slant Range", "rangeSamplingRate": _float(first.range_sampling_rate),
            "radarFrequency": _float(first.radar_frequency),
            "azimuthSteeringRate": _float(np.rad2deg(first.steering_rate)),
        },
        "downlinkInformationList": [
            ("downlinkInformation", {
                "swath": first.swath, "azimuthTime": stamp(first.azimuth_time), "prf": _float(facts.prf)
            })
        ],
        "orbitList": vectors,
        "attitudeList": [],
        "azimuthFmRateList": [("azimuthFmRate", _fm_rate(b)) for b in image.bursts],
    }  # fmt: skip


def _fm_rate(burst: Burst) -> dict:
    return _polynomial(burst.azimuth_fm_rate, "azimuthFmRatePolynomial")


def _polynomial(value: RangePolynomial, tag: str) -> dict:
    return {"azimuthTime": stamp(value.azimuth_time), "t0": _float(value.t0), tag: np.array(value.coefficients)}


def _doppler(burst: Burst) -> dict:
    record = _polynomial(burst.doppler_centroid, "geometryDcPolynomial")
    record["geometryDcPolynomial"] = np.zeros(3)
    record["dataDcPolynomial"] = np.array(burst.doppler_centroid.coefficients)
    record["dataDcRmsError"] = _float(0.0)
    record["dataDcRmsErrorAboveThreshold"] = "false"
    record["fineDceList"] = []
    return record


def _information(image: SwathImage) -> dict:
    first = image.bursts[0]
    speed = np.linalg.norm(image.flight.trajectory.state(0.0)[1][0])
    ground_speed = speed * WGS84_A / image.flight.trajectory.semi_major_axis
    middle = np.median(np.rad2deg(image.grid.incidence_angle))
    return {
        "productFirstLineUtcTime": stamp(first.azimuth_time), "productLastLineUtcTime": stamp(image.stop),
        "ascendingNodeTime": stamp(image.flight.ascending_node), "anchorTime": stamp(first.azimuth_time),
        "productComposition": "Individual", "sliceNumber": 0, "sliceList": [],
        "slantRangeTime": _float(first.slant_range_time), "pixelValue": "Complex",
        "outputPixels": "16 bit Signed Integer",
        "rangePixelSpacing": f"{0.5 * SPEED_OF_LIGHT / first.range_sampling_rate:.6e}",
        "azimuthPixelSpacing": f"{ground_speed * first.azimuth_time_interval:.6e}",
        "azimuthTimeInterval": _float(first.azimuth_time_interval),
        "azimuthFrequency": _float(first.azimuth_frequency),
        "numberOfSamples": first.samples, "numberOfLines": first.lines * len(image.bursts),
        "zeroDopMinusAcqTime": _float(0.0), "incidenceAngleMidSwath": _float(middle),
    }  # fmt: skip


def _processing(burst: Burst) -> dict:
    def direction(window, bandwidth):
        return {
            "windowType": "Hamming", "windowCoefficient": _float(window), "totalBandwidth": _float(bandwidth),
            "processingBandwidth": _float(bandwidth), "lookBandwidth": _float(bandwidth), "numberOfLooks": 1,
            "lookOverlap": _float(0.0),
        }  # fmt: skip

    return {
        "dcMethod": "Data Analysis", "dcInputData": "Range Compressed", "orbitDataFileUsed": "true",
        "swathProcParamsList": [
            ("swathProcParams", {
                "swath": burst.swath,
                "rangeProcessing": direction(burst.range_window, burst.range_bandwidth),
                "azimuthProcessing": direction(burst.azimuth_window, burst.azimuth_bandwidth),
            })
        ],
        "ellipsoidName": "WGS84", "ellipsoidSemiMajorAxis": _float(WGS84_A),
        "ellipsoidSemiMinorAxis": _float(WGS84_B), "bistaticDelayCorrectionApplied": "true",
        "topsFilterConvention": "Only Echo Lines", "orbitSource": "Auxiliary",
    }  # fmt: skip


def _timing(image: SwathImage) -> dict:
    first = image.bursts[0]
    size = first.lines * first.samples * SAMPLE_BYTES
    node = image.flight.ascending_node
    return {
        "linesPerBurst": first.lines,
        "samplesPerBurst": first.samples,
        "burstList": [("burst", _burst(b, image.offset + k * size, node)) for k, b in enumerate(image.bursts)],
    }


def _burst(burst: Burst, offset: int, node: np.datetime64) -> dict:
    number = int(burst.burst_id.split("_")[1])
    since_node = (burst.azimuth_time - node).astype(np.int64) * 1e-9
    middle = 0.5 * (burst.lines - BURST_PERIOD_LINES) * burst.azimuth_time_interval
    return {
        "azimuthTime": stamp(burst.azimuth_time), "azimuthAnxTime": _float(since_node),
        "sensingTime": stamp(burst.azimuth_time + _nanoseconds(middle)), "byteOffset": offset,
        "firstValidSample": burst.first_valid_sample, "lastValidSample": burst.last_valid_sample,
        "burstId": (number, {"absolute": 375_887 * 100 + number}),
    }  # fmt: skip


def _points(grid: GeolocationGrid) -> list:
    return [
        ("geolocationGridPoint", {
            "azimuthTime": stamp(grid.azimuth_time[k]), "slantRangeTime": _float(grid.slant_range_time[k]),
            "line": int(grid.line[k]), "pixel": int(grid.sample[k]), "latitude": _float(grid.latitude[k]),
            "longitude": _float(grid.longitude[k]), "height": _float(grid.height[k]),
            "incidenceAngle": _float(np.rad2deg(grid.incidence_angle[k])),
            "elevationAngle": _float(0.0),
        })
        for k in range(grid.line.size)
    ]  # fmt: skip
