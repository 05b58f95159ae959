"""Samples rendered into real products: annotation and manifest copied, measurement files made and filled.

The annotation is read here by a parser of its own (timing, orbit, polynomials, valid samples: values, no geometry),
so that a mistake in the processor's reader shows as a disagreement.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from defusedxml import ElementTree

from ..errors import BadInput, BadProduct, NoCoverage
from ..model import Burst, GeolocationGrid, Orbit, RangePolynomial, Window
from .layout import LINE_INTERVAL, burst_number
from .orbit import SampledTrajectory
from .render import DEFAULT_INGREDIENTS, Ingredients, Surface, View, make_stage, render_stack
from .safe import Measurement
from .scene import Simulated
from .tiff import create_measurement, write_window


@dataclass(frozen=True, eq=False)
class Annotation:
    """What the simulator needs of one annotation file."""

    path: Path
    bursts: tuple[Burst, ...]
    grid: GeolocationGrid = field(repr=False)
    offset: int  # byte offset of the first burst in the measurement


def read_annotation(path: Path, track: int) -> Annotation:
    """Bursts and tie points of an annotation file; ``track`` is the relative orbit number, which it doesn't hold."""
    root = ElementTree.parse(path).getroot()
    head = root.find("adsHeader")
    if head is None or head.findtext("mode") != "IW" or head.findtext("productType") != "SLC":
        raise BadProduct(f"{path.name} must be the annotation of an IW SLC product")
    orbit = _orbit(root)
    bursts = [_burst(root, orbit, k, element, track) for k, element in enumerate(root.iter("burst"))]
    if not bursts:
        raise BadProduct(f"{path.name} must list at least one burst, instead got none")
    return Annotation(path, tuple(bursts), _grid(root), int(root.find(".//burst").findtext("byteOffset")))


def _time(element, tag: str) -> np.datetime64:
    return np.datetime64(element.findtext(tag), "ns")


def _floats(element, tag: str) -> tuple[float, ...]:
    return tuple(float(v) for v in element.findtext(tag).split())


def _orbit(root) -> Orbit:
    """State vectors, counted from the first line's whole second."""
    epoch = _time(root, "imageAnnotation/imageInformation/productFirstLineUtcTime").astype("datetime64[s]")
    epoch = epoch.astype("datetime64[ns]")
    rows = root.findall("generalAnnotation/orbitList/orbit")
    time = np.array([(_time(r, "time") - epoch).astype(np.int64) * 1e-9 for r in rows])
    vectors = [
        [[float(r.findtext(f"{kind}/{axis}")) for axis in "xyz"] for r in rows] for kind in ("position", "velocity")
    ]
    return Orbit(epoch, time, np.array(vectors[0]), np.array(vectors[1]))


def _nearest(root, list_tag: str, polynomial: str, instant: np.datetime64) -> RangePolynomial:
    """The record of a list whose time is nearest to ``instant``."""
    records = root.findall(f"{list_tag}/*")
    record = min(records, key=lambda r: abs(_time(r, "azimuthTime") - instant))
    return RangePolynomial(_time(record, "azimuthTime"), float(record.findtext("t0")), _floats(record, polynomial))


def _burst(root, orbit: Orbit, index: int, element, track: int) -> Burst:
    general, image = root.find("generalAnnotation/productInformation"), root.find("imageAnnotation/imageInformation")
    processing = root.find("imageAnnotation/processingInformation/swathProcParamsList/swathProcParams")
    swath = root.findtext("adsHeader/swath")
    start, interval = _time(element, "azimuthTime"), float(image.findtext("azimuthTimeInterval"))
    lines = int(root.findtext("swathTiming/linesPerBurst"))
    middle = start + np.timedelta64(round(0.5 * (lines - 1) * interval * 1e9), "ns")
    since_node = (start - _time(image, "ascendingNodeTime")).astype(np.int64) * 1e-9
    number = element.findtext("burstId") or burst_number(track, since_node, swath)
    return Burst(
        burst_id=f"t{track:03d}_{int(number):06d}_{swath.lower()}",
        index=index,
        platform=root.findtext("adsHeader/missionId"),
        swath=swath,
        polarization=root.findtext("adsHeader/polarisation"),
        track=track,
        orbit_pass=general.findtext("pass").lower(),
        azimuth_time=start,
        azimuth_time_interval=interval,
        slant_range_time=float(image.findtext("slantRangeTime")),
        range_sampling_rate=float(general.findtext("rangeSamplingRate")),
        radar_frequency=float(general.findtext("radarFrequency")),
        lines=lines,
        samples=int(root.findtext("swathTiming/samplesPerBurst")),
        first_valid_sample=np.array(element.findtext("firstValidSample").split(), np.int64),
        last_valid_sample=np.array(element.findtext("lastValidSample").split(), np.int64),
        doppler_centroid=_nearest(root, "dopplerCentroid/dcEstimateList", "dataDcPolynomial", middle),
        azimuth_fm_rate=_nearest(root, "generalAnnotation/azimuthFmRateList", "azimuthFmRatePolynomial", middle),
        steering_rate=float(np.deg2rad(float(general.findtext("azimuthSteeringRate")))),
        range_bandwidth=float(processing.findtext("rangeProcessing/processingBandwidth")),
        range_window=float(processing.findtext("rangeProcessing/windowCoefficient")),
        azimuth_bandwidth=float(processing.findtext("azimuthProcessing/processingBandwidth")),
        azimuth_window=float(processing.findtext("azimuthProcessing/windowCoefficient")),
        orbit=orbit,
        footprint=(),
    )


def _grid(root) -> GeolocationGrid:
    points = root.findall("geolocationGrid/geolocationGridPointList/geolocationGridPoint")

    def column(tag, kind=float):
        return np.array([kind(p.findtext(tag)) for p in points])

    return GeolocationGrid(
        np.array([_time(p, "azimuthTime") for p in points]),
        column("slantRangeTime"),
        column("line", int),
        column("pixel", int),
        column("latitude"),
        column("longitude"),
        column("height"),
        np.deg2rad(column("incidenceAngle")),
    )


def relative_orbit_number(manifest: Path) -> int:
    """The relative orbit number that a manifest states."""
    for element in ElementTree.parse(manifest).getroot().iter():
        if element.tag.endswith("}relativeOrbitNumber"):
            return int(element.text)
    raise BadProduct(f"{manifest} must state a relativeOrbitNumber")


def find_annotation(product: Path, swath: str, polarization: str) -> Path:
    """The annotation file of a swath and polarisation, in ``annotation/`` or in the folder itself."""
    pattern = f"s1?-{swath.lower()}-slc-{polarization.lower()}-*.xml"
    found = sorted((product / "annotation").glob(pattern)) or sorted(product.glob(pattern))
    if not found:
        raise BadProduct(f"{product} must hold an annotation {pattern}, instead got none")
    return found[0]


def copied_product(source: Path, folder: Path, annotation: Path) -> Path:
    """A SAFE folder under ``folder`` with the source's manifest and annotations, and no samples yet."""
    name = source.name
    if not name.endswith(".SAFE"):  # loose files: name the product after the annotation
        platform, _, _, _, start, stop, orbit, take, _ = annotation.stem.upper().split("-")
        name = f"{platform}_IW_SLC__1SDV_{start}_{stop}_{orbit}_{take}_0000.SAFE"
    target = folder / name
    (target / "measurement").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "manifest.safe", target / "manifest.safe")
    if (source / "annotation").is_dir():
        shutil.copytree(source / "annotation", target / "annotation", dirs_exist_ok=True)
    else:
        (target / "annotation").mkdir(exist_ok=True)
        for file in source.glob("s1?-*.xml"):
            shutil.copyfile(file, target / "annotation" / file.name)
    return target


@dataclass(frozen=True)
class Target:
    """Which burst to fill: swath, polarisation, the burst's place in the reference product, and a window of it."""

    swath: str = "IW1"
    polarization: str = "VV"
    burst: int = 0
    window: Window | None = None  # the whole burst


def matching_views(products: Sequence[Path], target: Target, reference: int = 0) -> tuple[list[View], list[Annotation]]:
    """The burst of ``target`` on every date, found by its burst id."""
    notes = []
    for product in products:
        track = relative_orbit_number(product / "manifest.safe")
        notes.append(read_annotation(find_annotation(product, target.swath, target.polarization), track))
    if not 0 <= target.burst < len(notes[reference].bursts):
        raise BadInput(f"burst must lie in 0…{len(notes[reference].bursts) - 1}, instead got {target.burst}")
    wanted = notes[reference].bursts[target.burst].burst_id
    views = []
    for note in notes:
        same = [b for b in note.bursts if b.burst_id == wanted]
        if not same:
            held = ", ".join(b.burst_id for b in note.bursts)
            raise NoCoverage(f"{note.path.name} must hold burst {wanted}, instead got {held}")
        views.append(View(same[0], SampledTrajectory(same[0].orbit)))
    return views, notes


def render_into_real(
    sources: Sequence[Path], folder: Path, surface: Surface, target: Target, *, reference: int = 0,
    ingredients: Ingredients = DEFAULT_INGREDIENTS, seed: int = 0, workers: int = 2,
) -> Simulated:  # fmt: skip
    """Real products of one track with simulated samples in one burst.

    Parameters
    ----------
    sources : sequence of Path
        SAFE folders with annotation and manifest, in time order; their own samples, if any, are not read.
    folder : Path
        Gets the copies. A burst rendered there before stays: call again for the next one.
    surface : Surface
    target : Target
    reference : int
        The date on whose grid the scatterers live.
    ingredients : Ingredients
    seed : int
    workers : int
        Threads; dates are rendered one after another. A full burst of two dates takes about 6 GB.

    Returns
    -------
    Simulated
    """
    views, notes = matching_views(sources, target, reference)
    burst = views[reference].burst
    window = (target.window or Window(0, burst.lines, 0, burst.samples)).clipped(burst)
    products, files = [], []
    for source, note in zip(sources, notes, strict=True):
        product = copied_product(Path(source), Path(folder), note.path)
        path = product / "measurement" / f"{note.path.stem}.tiff"
        first = note.bursts[0]
        lines = first.lines * len(note.bursts)
        if not path.exists():
            create_measurement(path, lines, first.samples, note.offset)
        products.append(product)
        files.append(Measurement(path, first.samples, note.offset))
    scene_line = round((burst.start - notes[reference].bursts[0].start) / LINE_INTERVAL)
    stage = make_stage(views[reference], window, surface, workers)
    truths = []
    for done in render_stack(stage, views, ingredients, seed, scene_line, 1):
        view, file = views[done.index], files[done.index]
        place = view.burst.index * view.burst.lines + done.window.line_start, done.window.sample_start
        write_window(file.path, file.width, file.offset, place, done.samples)
        truths.append(done.truth)
    return Simulated(tuple(products), tuple(truths))
