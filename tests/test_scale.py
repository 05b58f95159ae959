"""A thousand mines: the plan is there in seconds, and its memory doesn't grow with what it looks at."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from pipeline.archive import list_archive
from pipeline.records import write_listing
from pipeline.storage import open_store

FRAMES, DATES = 50, 60  # products: 3,000
MINES = 1_000
SECONDS, MEGABYTES = 10.0, 400.0

MEASURE = """
import json, resource, sys, time
from pipeline.cli import main
import pipeline.commands.plan
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.process_time()
code = main(json.loads(sys.argv[1]))
used = time.process_time() - started
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(json.dumps({"code": code, "seconds": round(used, 2), "grown": grown}), file=sys.stderr)
"""


def write_archive(folder: Path, template: str) -> list[tuple[float, float]]:
    """Products with nothing but a manifest each: frames side by side, all on one track; their middles."""
    corners = re.search(r"<gml:coordinates>(.*?)</gml:coordinates>", template)[1]
    middles = []
    for frame in range(FRAMES):
        west, south = -120.0 + 4.0 * frame, -30.0
        middles.append((west + 1.25, south + 0.75))
        ring = f"{south},{west} {south},{west + 2.5} {south + 1.5},{west + 2.5} {south + 1.5},{west}"
        text = template.replace(corners, ring)
        for date in range(DATES):
            day = np.datetime64("2020-09-04") + 12 * date
            stamp = str(day).replace("-", "")
            start, stop = f"{stamp}T16{frame:02d}25", f"{stamp}T16{frame:02d}52"
            name = f"S1A_IW_SLC__1SDV_{start}_{stop}_{36000 + date:06d}_{frame:06X}_{date:04X}.SAFE"
            (folder / name).mkdir(parents=True)
            (folder / name / "manifest.safe").write_text(text)
    return middles


def write_mines(path: Path, middles) -> None:
    features = []
    for k in range(MINES):
        lon, lat = middles[k % FRAMES]
        x, y = lon - 0.5 + 0.05 * (k // FRAMES), lat
        ring = [[x, y], [x + 0.02, y], [x + 0.02, y + 0.02], [x, y + 0.02], [x, y]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": {"id": f"pit-{k:04d}"}, "geometry": geometry})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def test_a_plan_of_a_thousand_mines(tiny_scene, tmp_path):
    template = (tiny_scene.products[0] / "manifest.safe").read_text()
    middles = write_archive(tmp_path / "slc", template)
    write_mines(tmp_path / "mines.geojson", middles)
    archive = str(tmp_path / "slc")
    write_listing(open_store(tmp_path / "o"), archive, list_archive(archive).facts)  # as any run leaves it
    words = tiny_scene.run(tmp_path / "o", "--years", "2021", "--json", archive=tmp_path / "slc")
    words[0], words[words.index("--mine") + 1] = "plan", str(tmp_path / "mines.geojson")
    done = subprocess.run([sys.executable, "-c", MEASURE, json.dumps(words)], capture_output=True, text=True)
    found = json.loads(done.stderr.splitlines()[-1])
    jobs = json.loads(done.stdout)["jobs"]
    assert found["code"] == 0 and len(jobs) == MINES, done.stderr[-3000:]
    assert {row["action"] for row in jobs} == {"make"} and {row["dates"] for row in jobs} == {31 + 1}
    assert found["seconds"] <= SECONDS, found
    assert found["grown"] <= MEGABYTES, found
