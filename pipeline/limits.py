"""How much a file may claim to be: archives lie in places that anybody may write to, and runs are unattended.

Nothing is allocated, unpacked or looped over before it is held against this table. Nominal figures are those of the
Interferometric Wide swath in the agency's Sentinel-1 Product Definition (S1-RS-MDA-52-7440) and Product Specification
(S1-RS-MDA-52-7441), and of 20 annotations of 2021 to 2025: 9 or 10 bursts of 1,500 to 1,524 lines and 21,632 to 26,818
samples, 17 orbit vectors, 210 or 231 points of the geolocation grid, 11 Doppler and FM-rate records. Precise orbit
files have 9,361 vectors. Limits leave a factor of two at least; what is nominal and beyond one of them means that the
limit is to be raised here, not worked around.
"""

from __future__ import annotations

import math

MIB = 1024 * 1024

# --- XML: a manifest has 45 kB, an annotation 1 MB, a precise orbit file 5 MB ---
MANIFEST_BYTES = 1 * MIB
XML_BYTES = 16 * MIB
XML_MARKS = 600_000  # "<" and "=" together; an orbit file has 300,000. Each may become an object of 100 to 200 bytes
XML_NAMES = 64 * MIB  # characters of all names, were the longest attribute a namespace that each of them repeats
WORD = 200  # characters of a value that isn't a list
FOOTPRINT = 10_000  # characters of a footprint; it has four corners

# --- lists of an annotation ---
BURSTS = 100
RECORDS = 1_000  # orbit vectors, Doppler and FM-rate records
GRID_POINTS = 20_000
COEFFICIENTS = 20  # of a polynomial in range; nominal 3
BURST_LINES = 3_000
BURST_SAMPLES = 60_000
BURST_AREA = 100_000_000  # samples, all lines of a burst; nominal 40 million, 320 MB as complex64
ORBIT_VECTORS = 50_000  # of an orbit file

# --- zips and measurements ---
ZIP_MEMBERS = 10_000  # a product has about 60
MEASUREMENT_BYTES = 4 * 1024 * MIB  # where the offsets of a TIFF end; nominal 1.4 GB
HEADER_BYTES = 4 * MIB  # read of a zip's directory, or of a TIFF beside its samples; nominal 10 kB and 110 kB
STRIP_BYTES = 128 * MIB  # unpacked, of a rewritten measurement that is compressed; nominal one line of 100 kB

# --- documents and rasters ---
JSON_BYTES = 16 * MIB
JSON_LISTS = 500_000  # lists and objects of a document; every vertex of an outline is one of some 150 bytes
VERTICES = 200_000  # of a mine's or a site's outline
IDENTITY = 100  # characters of a mine's id: it names files
RASTER_CELLS = 64_000_000  # of a DEM in the window read; 30 bytes each while it is read
RASTER_BLOCK = 512 * MIB  # a block of a raster is unpacked whole

# --- answers of a STAC API ---
ITEMS = 200_000  # of one search, all pages; 30 years of one mine on all its tracks have 10,000

# --- times and numbers, by the name of their XML element: least and greatest, both allowed ---
FIRST_YEAR, LAST_YEAR = 2000, 2099  # Sentinel-1A flies since 2014; nanoseconds since 1970 end in 2262
RANGES = {
    "azimuthTimeInterval": (1e-5, 1e-1),  # s; nominal 2.056e-3
    "rangeSamplingRate": (1e6, 1e9),  # Hz; 6.435e7
    "radarFrequency": (1e9, 1e11),  # Hz; 5.405e9
    "slantRangeTime": (1e-4, 1e-1),  # s; 5.3e-3 to 6.5e-3
    "t0": (1e-4, 1e-1),
    "azimuthSteeringRate": (-10.0, 10.0),  # degrees a second; 0.98 to 1.59
    "processingBandwidth": (1.0, 1e9),  # Hz; 313 to 5.65e7
    "windowCoefficient": (0.0, 1.0),
    "latitude": (-90.0, 90.0),
    "longitude": (-360.0, 360.0),
    "height": (-1e5, 1e5),  # m
    "incidenceAngle": (0.0, 90.0),
    "linesPerBurst": (1, BURST_LINES),
    "samplesPerBurst": (1, BURST_SAMPLES),
    "numberOfLines": (1, BURSTS * BURST_LINES),
    "numberOfSamples": (1, BURST_SAMPLES),
    "line": (-BURST_LINES, (BURSTS + 1) * BURST_LINES),  # of the geolocation grid
    "pixel": (-BURST_SAMPLES, 2 * BURST_SAMPLES),
    "burstId": (1, 400_000),  # 375,887 in a cycle
    "relativeOrbitNumber": (1, 175),
    "orbitNumber": (1, 10_000_000),
} | {axis: (-1e7, 1e7) for axis in "xyz"}  # m and m/s; an orbit's radius is 7.07e6 m
COEFFICIENT = 1e18  # of a polynomial: at 1 ms from its origin the second power adds 1e12


def within(name: str, value: float) -> bool:
    """True where the value of an XML element lies in its range; never for NaN."""
    low, high = RANGES[name]
    return low <= value <= high


def range_of(name: str) -> str:
    """A range as messages say it: ``"1 to 3000"``."""
    return " to ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in RANGES[name])


def sane(values, limit: float = math.inf) -> bool:
    """True where every number is finite and at most ``limit`` from zero."""
    return all(-limit <= v <= limit and math.isfinite(v) for v in values)
