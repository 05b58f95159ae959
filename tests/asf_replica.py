"""Burst products as the Alaska Satellite Facility's extractor delivers them, cut out of a SAFE folder.

Written from what is documented of them, not from what our reader expects:

- Names ``{granule}/{subswath}/{polarization}/{burst_index}.{file_type}``, file types tiff and xml: the extractor's API
  specification, sentinel1-burst-documentation.asf.alaska.edu.
- ``burst_index`` counts from 0: ASFHyP3/hyp3-isce2, which asks for the number of a burst minus one.
- The XML's ``manifest`` (first) with the ``xfdu:XFDU``, and ``metadata`` (second) with ``product``, ``noise``,
  ``calibration`` for each swath, each with the attribute ``source_filename`` (a bare file name) and the elements
  ``swath``, ``polarisation`` and ``content``, which has the children of the original's root: what
  ASFHyP3/burst2safe (utils: the sub-XML of the metadata) and hyp3-isce2 (its burst metadata) look up.
- The root is ``burst``; the annotation is the whole swath's, not the burst's: notes of two independent users.
- One XML serves all bursts of a granule and polarization: burst2safe keeps it under that name.
- The TIFF has ``linesPerBurst`` x ``samplesPerBurst`` 16-bit complex integers, one uncompressed strip a line:
  burst2safe (shape, CInt16), and a user's note (strips).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import tifffile

from pipeline.simulate.tiff import create_measurement

SAMPLE_BYTES = 4
ANNOTATION = re.compile(r"s1.-(iw\d)-slc-(..)-.*\.xml")


def metadata_xml(safe: Path, polarizations=("VV",)) -> bytes:
    """The XML that goes with every burst of a SAFE folder's granule."""
    root = ET.Element("burst")
    ET.SubElement(root, "manifest").append(ET.parse(safe / "manifest.safe").getroot())
    metadata = ET.SubElement(root, "metadata")
    for path in sorted((safe / "annotation").glob("*.xml")):
        swath, polarization = (text.upper() for text in ANNOTATION.fullmatch(path.name).groups())
        if polarization not in polarizations:
            continue
        annotation = ET.parse(path).getroot()
        header = annotation.find("adsHeader")
        for kind in ("product", "noise", "calibration"):
            name = path.name if kind == "product" else f"{kind}-{path.name}"
            holder = ET.SubElement(metadata, kind, {"source_filename": name})
            ET.SubElement(holder, "swath").text = swath
            ET.SubElement(holder, "polarisation").text = polarization
            ET.SubElement(holder, "content").extend(annotation if kind == "product" else [header])
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="utf-8")


def write_burst(safe: Path, folder: Path, swath: str, index: int, polarization: str = "VV", xml: bytes = b"") -> Path:
    """One pair below ``folder``; returns the TIFF's path. ``xml``: what `metadata_xml` gave, not to make it again."""
    place = folder / safe.name.removesuffix(".SAFE") / swath / polarization
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{index}.xml").write_bytes(xml or metadata_xml(safe, (polarization,)))
    names = f"s1?-{swath.lower()}-slc-{polarization.lower()}-*"
    timing = ET.parse(next((safe / "annotation").glob(names))).getroot().find("swathTiming")
    lines, samples = (int(timing.findtext(name)) for name in ("linesPerBurst", "samplesPerBurst"))
    source, target = next((safe / "measurement").glob(names)), place / f"{index}.tiff"
    offset, width = create_measurement(target, lines, samples), samples * SAMPLE_BYTES
    with tifffile.TiffFile(source) as tiff:
        strips = tiff.pages.first.dataoffsets[index * lines : (index + 1) * lines]
    with open(source, "rb") as read, open(target, "r+b") as write:
        for line, strip in enumerate(strips):
            read.seek(strip)
            row = read.read(width)
            if row.count(0) < width:  # what is zero stays a hole: the file is 150 MB else
                write.seek(offset + line * width)
                write.write(row)
    return target


def write_bursts(safe: Path, folder: Path, bursts=(("IW2", 0), ("IW2", 1))) -> Path:
    """The pairs of several bursts of a granule; returns the granule's folder."""
    xml = metadata_xml(safe)
    for swath, index in bursts:
        write_burst(safe, folder, swath, index, xml=xml)
    return folder / safe.name.removesuffix(".SAFE")
