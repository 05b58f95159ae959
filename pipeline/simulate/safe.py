"""SAFE trees on disk: names, manifest, and the files that a product holds."""

from __future__ import annotations

import xml.etree.ElementTree as ET
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..model import GeolocationGrid
from .annotation import PROCESSOR_VERSION, SwathImage, annotation_xml, geolocation_grid, stamp
from .layout import Pass
from .render import View
from .terrain import Terrain
from .tiff import create_measurement, data_offset

NAMESPACES = {
    "xfdu": "urn:ccsds:schema:xfdu:1",
    "gml": "http://www.opengis.net/gml",
    "safe": "http://www.esa.int/safe/sentinel-1.0",
    "s1": "http://www.esa.int/safe/sentinel-1.0/sentinel-1",
    "s1sarl1": "http://www.esa.int/safe/sentinel-1.0/sentinel-1/sar/level-1",
}
# the first absolute orbit of relative orbit 1, modulo 175, per platform
ORBIT_SHIFT = {"S1A": 73, "S1B": 27, "S1C": 172, "S1D": 73}
MISSION_START = np.datetime64("2014-04-03")


@dataclass(frozen=True, eq=False)
class Measurement:
    """One empty measurement file: where it lies, how wide it is, and the byte offset of its first sample."""

    path: Path
    width: int
    offset: int


def compact(instant: np.datetime64) -> str:
    """``20210624T172451``: the instant cut to the second, as in product names."""
    return str(np.datetime64(instant, "s")).replace("-", "").replace(":", "")


def absolute_orbit(flight: Pass) -> int:
    """An absolute orbit number that belongs to the relative one and grows with the date."""
    cycles = int((np.datetime64(flight.date.day, "D") - MISSION_START).astype(int) // 12)
    return ORBIT_SHIFT.get(flight.date.platform, 73) + flight.track - 1 + 175 * max(cycles, 0)


def granule_name(flight: Pass, start: np.datetime64, stop: np.datetime64, polarizations: tuple[str, ...]) -> str:
    """The product's name; its last four digits follow from the rest."""
    kind = {("VV",): "SV", ("HH",): "SH"}.get(polarizations, "DH" if "HH" in polarizations else "DV")
    orbit = absolute_orbit(flight)
    name = f"{flight.date.platform}_IW_SLC__1S{kind}_{compact(start)}_{compact(stop)}_{orbit:06d}_{orbit + 100_000:06X}"
    return f"{name}_{zlib.crc32(name.encode()) & 0xFFFF:04X}"


def create_product(
    folder: Path, flight: Pass, polarizations: tuple[str, ...], terrain: Terrain
) -> tuple[Path, dict[tuple[str, str], Measurement]]:
    """Write a product without samples: manifest, annotations, and sparse measurements of zeros.

    Parameters
    ----------
    folder : Path
        Gets the ``.SAFE`` folder.
    flight : Pass
        The date's bursts; every polarisation has the same.
    polarizations : tuple of str
        ``("VV",)`` or ``("VV", "VH")``.
    terrain : Terrain
        For the geolocation grid's heights.

    Returns
    -------
    Path
        The ``.SAFE`` folder.
    dict
        `Measurement` by (swath, polarisation).
    """
    images = {}
    number = 0
    for polarization in polarizations:
        for swath, bursts in flight.bursts.items():
            number += 1
            grid = geolocation_grid(tuple(View(b, flight.trajectory) for b in bursts), terrain)
            offset = data_offset(bursts[0].lines * len(bursts))
            here = tuple(replace(b, polarization=polarization) for b in bursts)
            images[swath, polarization] = SwathImage(flight, here, grid, number, absolute_orbit(flight), offset)
    start = min(i.bursts[0].azimuth_time for i in images.values())
    stop = max(i.stop for i in images.values())
    product = folder / f"{granule_name(flight, start, stop, polarizations)}.SAFE"
    (product / "annotation").mkdir(parents=True, exist_ok=True)
    (product / "measurement").mkdir(exist_ok=True)
    files, measurements = [], {}
    for key, image in images.items():
        stem = _stem(image)
        (product / "annotation" / f"{stem}.xml").write_bytes(annotation_xml(image))
        path = product / "measurement" / f"{stem}.tiff"
        first = image.bursts[0]
        create_measurement(path, first.lines * len(image.bursts), first.samples, image.offset)
        measurements[key] = Measurement(path, first.samples, image.offset)
        files += [f"annotation/{stem}.xml", f"measurement/{stem}.tiff"]
    (product / "manifest.safe").write_bytes(_manifest(flight, images, files))
    return product, measurements


def _stem(image: SwathImage) -> str:
    """``s1a-iw2-slc-vv-20210624t172452-20210624t172518-038485-048a9c-005``."""
    first = image.bursts[0]
    span = f"{compact(first.azimuth_time)}-{compact(image.stop)}".lower()
    take = f"{image.absolute_orbit:06d}-{image.absolute_orbit + 100_000:06x}-{image.image_number:03d}"
    return f"{first.platform.lower()}-{first.swath.lower()}-slc-{first.polarization.lower()}-{span}-{take}"


def _corners(grid: GeolocationGrid) -> list[tuple[float, float]]:
    """(latitude, longitude) of the four corners, in order around."""
    rows = [grid.line == grid.line.min(), grid.line == grid.line.max()]
    picks = []
    for k, row in enumerate(rows):
        where = np.flatnonzero(row)
        ends = [where[np.argmin(grid.sample[where])], where[np.argmax(grid.sample[where])]]
        picks += ends if k == 0 else ends[::-1]
    return [(float(grid.latitude[i]), float(grid.longitude[i])) for i in picks]


def _manifest(flight: Pass, images: dict, files: list[str]) -> bytes:
    """manifest.safe: platform, orbit, times, footprint, processor and the list of files."""
    for prefix, uri in NAMESPACES.items():
        ET.register_namespace(prefix, uri)
    root = ET.Element(_q("xfdu:XFDU"), {"version": "esa/safe/sentinel-1.0/sentinel-1/sar/level-1/slc/standard/iwdp"})
    ET.SubElement(root, "informationPackageMap")
    section = ET.SubElement(root, "metadataSection")
    _processing(section)
    _platform(section, flight, images)
    _orbit(section, flight)
    start = min(i.bursts[0].azimuth_time for i in images.values())
    stop = max(i.stop for i in images.values())
    general = _wrap(section, "generalProductInformation")
    product = ET.SubElement(general, _q("s1sarl1:standAloneProductInformation"))
    for polarization in sorted({p for _, p in images}, reverse=True):
        ET.SubElement(product, _q("s1sarl1:transmitterReceiverPolarisation")).text = polarization
    ET.SubElement(product, _q("s1sarl1:productType")).text = "SLC"
    period = ET.SubElement(_wrap(section, "acquisitionPeriod"), _q("safe:acquisitionPeriod"))
    ET.SubElement(period, _q("safe:startTime")).text = stamp(start)
    ET.SubElement(period, _q("safe:stopTime")).text = stamp(stop)
    frame = ET.SubElement(_wrap(section, "measurementFrameSet"), _q("safe:frameSet"))
    outline = ET.SubElement(ET.SubElement(frame, _q("safe:frame")), _q("safe:footPrint"))
    outline.set("srsName", "http://www.opengis.net/gml/srs/epsg.xml#4326")
    corners = _corners(next(iter(images.values())).grid)
    ET.SubElement(outline, _q("gml:coordinates")).text = " ".join(f"{y:.6f},{x:.6f}" for y, x in corners)
    objects = ET.SubElement(root, "dataObjectSection")
    for name in files:
        schema = "s1Level1ProductSchema" if name.startswith("annotation") else "s1Level1MeasurementSchema"
        kind = "text/xml" if name.endswith("xml") else "application/octet-stream"
        item = ET.SubElement(objects, "dataObject", {"ID": Path(name).stem.replace("-", ""), "repID": schema})
        stream = ET.SubElement(item, "byteStream", {"mimeType": kind})
        ET.SubElement(stream, "fileLocation", {"locatorType": "URL", "href": f"./{name}"})
    ET.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="utf-8") + b"\n"


def _q(name: str) -> str:
    """A tag with its namespace spelt out."""
    prefix, local = name.split(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def _wrap(section, name: str):
    """A metadataObject named ``name``, down to its xmlData."""
    holder = ET.SubElement(section, "metadataObject", {"ID": name, "classification": "DESCRIPTION", "category": "DMD"})
    wrap = ET.SubElement(holder, "metadataWrap", {"mimeType": "text/xml", "vocabularyName": "SAFE"})
    return ET.SubElement(wrap, "xmlData")


def _processing(section) -> None:
    processing = ET.SubElement(_wrap(section, "processing"), _q("safe:processing"), {"name": "SLC simulation"})
    facility = ET.SubElement(
        processing, _q("safe:facility"), {"name": "pitpulse", "organisation": "pitpulse simulator"}
    )
    ET.SubElement(facility, _q("safe:software"), {"name": "Sentinel-1 IPF", "version": PROCESSOR_VERSION})


def _platform(section, flight: Pass, images: dict) -> None:
    platform = ET.SubElement(_wrap(section, "platform"), _q("safe:platform"))
    ET.SubElement(platform, _q("safe:familyName")).text = "SENTINEL-1"
    ET.SubElement(platform, _q("safe:number")).text = flight.date.platform[-1]
    extension = ET.SubElement(ET.SubElement(platform, _q("safe:instrument")), _q("safe:extension"))
    mode = ET.SubElement(extension, _q("s1sarl1:instrumentMode"))
    ET.SubElement(mode, _q("s1sarl1:mode")).text = "IW"
    for swath in sorted({s for s, _ in images}):
        ET.SubElement(mode, _q("s1sarl1:swath")).text = swath


def _orbit(section, flight: Pass) -> None:
    orbit = ET.SubElement(_wrap(section, "measurementOrbitReference"), _q("safe:orbitReference"))
    for tag, value in (("orbitNumber", absolute_orbit(flight)), ("relativeOrbitNumber", flight.track)):
        for kind in ("start", "stop"):
            ET.SubElement(orbit, _q(f"safe:{tag}"), {"type": kind}).text = str(value)
    extension = ET.SubElement(orbit, _q("safe:extension"))
    properties = ET.SubElement(extension, _q("s1:orbitProperties"))
    ET.SubElement(properties, _q("s1:pass")).text = next(iter(flight.bursts.values()))[0].orbit_pass.upper()
    ET.SubElement(properties, _q("s1:ascendingNodeTime")).text = stamp(flight.ascending_node)
