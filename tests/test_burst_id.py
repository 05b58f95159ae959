"""Burst numbers: closed form, the ascending node, the end of the repeat cycle, and every annotated id there is."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from pipeline.constants import BURST_BEAM_TIME, BURST_PREAMBLE_TIME, ORBIT_TIME
from pipeline.sentinel1.annotation import parse_manifest
from pipeline.sentinel1.burst_id import CYCLE_TIME, TO_IW2, burst_id, burst_number, burst_track

LAST = int(CYCLE_TIME // BURST_BEAM_TIME) + 1  # number of the cycle's last, incomplete beam cycle


def middle(number, swath):
    """Middle of a burst in s since the start of the repeat cycle, where IW2 lies at 0.48 of the beam cycle."""
    return BURST_PREAMBLE_TIME + (number - 1 + 0.48) * BURST_BEAM_TIME - TO_IW2[swath]


def test_format():
    assert burst_id(88, 185683, "IW2") == "t088_185683_iw2"
    assert burst_id(2, 2835, "IW1") == "t002_002835_iw1"


def test_first_burst_of_the_cycle():
    assert burst_number([BURST_PREAMBLE_TIME + 1e-6], "IW2", 1).tolist() == [1]
    assert burst_number([BURST_PREAMBLE_TIME + BURST_BEAM_TIME - 1e-6], "IW2", 1).tolist() == [1]
    assert burst_number([BURST_PREAMBLE_TIME + BURST_BEAM_TIME + 1e-6], "IW2", 1).tolist() == [2]


def test_before_the_preamble_the_last_cycle_goes_on():
    # 0.5 s after the node that starts track 1 the beam cycle that began on track 175 isn't over.
    assert burst_number([0.5], "IW2", 1).tolist() == [LAST - 1]
    assert burst_track(LAST - 1) == 175
    assert burst_number([BURST_PREAMBLE_TIME - 1e-6], "IW2", 1).tolist() == [LAST]  # cut short by number 1


@given(number=st.integers(2, 375_886), swath=st.sampled_from(["IW1", "IW2", "IW3"]), jitter=st.floats(-0.3, 0.3))
def test_number_is_recovered(number, swath, jitter):
    """From the time of any burst, whichever way the product counts it, within 0.3 s of its nominal place."""
    time = middle(number, swath) + jitter
    track = int(time // ORBIT_TIME) + 1
    since_node = time - (track - 1) * ORBIT_TIME
    assert burst_number([since_node], swath, track).tolist() == [number]
    assert burst_track(number) in (track - 1, track)  # the beam cycle may begin before the node
    late = burst_number([since_node + ORBIT_TIME], swath, track)  # the node named is the one before
    assert late.tolist() == [number]


def test_crossing_the_node_counts_on():
    numbers = np.arange(32_215, 32_226)  # the node between tracks 15 and 16 lies at 32,218.9
    since_node = middle(numbers, "IW1") - 14 * ORBIT_TIME
    assert since_node.min() < ORBIT_TIME < since_node.max()
    assert burst_number(since_node, "IW1", 15, 16).tolist() == numbers.tolist()
    # The same where the annotation names the node inside the product: times before it are negative.
    assert burst_number(since_node - ORBIT_TIME, "IW1", 15, 16).tolist() == numbers.tolist()


def test_crossing_from_the_last_track_to_the_first_starts_again():
    times = np.array([middle(375_885, "IW2"), CYCLE_TIME + middle(3, "IW2")]) - 174 * ORBIT_TIME
    assert burst_number(times, "IW2", 175, 1).tolist() == [375_885, 3]


def test_track_of_number_changes_once_an_orbit():
    tracks = np.array([burst_track(n) for n in range(1, 375_888)])
    assert tracks.min() == 1 and tracks.max() == 175
    assert np.count_nonzero(np.diff(tracks)) == 174


def annotated(shared_data: Path):
    """(file, manifest, annotation root) of every annotation that carries burst ids."""
    for path in sorted(shared_data.glob("*/*.SAFE")):
        manifest = parse_manifest((path / "manifest.safe").read_bytes())
        for file in sorted((path / "annotation").glob("*.xml")):
            yield file.name, manifest, fromstring(file.read_bytes())
    for path in sorted(shared_data.glob("annotation_with_orbits/safe_zips/*.zip")):
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if "__MACOSX" not in n]
            manifest = parse_manifest(archive.read(next(n for n in names if n.endswith("manifest.safe"))))
            for name in names:
                if name.endswith(".xml") and name.split("/")[-2] == "annotation":
                    yield name, manifest, fromstring(archive.read(name))


def test_computed_equals_annotated_everywhere(shared_data):
    """All bursts of all annotations since IPF 3.40, with one across the node and one that names the node before."""
    compared = 0
    for name, manifest, root in annotated(shared_data):
        bursts = root.findall("swathTiming/burstList/burst")
        ids = [b.findtext("burstId") for b in bursts]
        if None in ids:
            continue
        image = root.find("imageAnnotation/imageInformation")
        node = np.datetime64(image.findtext("ascendingNodeTime"), "ns")
        start = np.array([b.findtext("azimuthTime") for b in bursts], "datetime64[ns]")
        half = (
            0.5 * (int(root.findtext("swathTiming/linesPerBurst")) - 1) * float(image.findtext("azimuthTimeInterval"))
        )
        time = (start - node).astype(np.int64) / 1e9 + half
        number = burst_number(time, root.findtext("adsHeader/swath"), manifest.start_track, manifest.stop_track)
        assert number.tolist() == [int(i) for i in ids], name
        compared += len(ids)
    assert compared == 244


@pytest.mark.parametrize("swath", ["IW4", "EW1"])
def test_unknown_swath_fails(swath):
    with pytest.raises(KeyError, match=swath):
        burst_number([10.0], swath, 1)
