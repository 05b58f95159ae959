"""Item documents of many mines, whole as the publisher writes them, in a folder, for the tests of index and search."""

from __future__ import annotations

import copy
import functools
import json
import tempfile
from pathlib import Path

from catalog.publish import publish

from .product_example import AREA, SITES, example_cube, example_extras

FOLDER = "catalog/mine-activity"
PLACES = {  # centre of each mine, degrees
    "sishen": (22.99, -27.74),
    "musan": (129.26, 42.22),
    "kiruna": (20.2, 67.85),
    "vatukoula": (177.85, -17.5),
    "taveuni": (179.999, -16.85),  # its footprint crosses 180 degrees
}
COUNTRIES = {"sishen": "ZAF", "musan": "PRK", "kiruna": "SWE", "vatukoula": "FJI", "taveuni": "FJI"}
WORDS = {"sishen": "iron ore", "musan": "iron ore", "kiruna": "iron ore", "vatukoula": "gold ore", "taveuni": "bauxite"}


@functools.cache
def _published() -> str:
    with tempfile.TemporaryDirectory() as folder:
        publish(SITES["sishen"][0], example_cube("sishen"), AREA, example_extras(), folder)
        return (Path(folder) / FOLDER / "sishen-2021.json").read_text()


def document(mine: str = "sishen", year: int = 2021, **properties) -> dict:
    """A whole item, with its mine's place and facts; ``properties`` without ``pitpulse:``."""
    text = _published().replace("sishen", mine).replace("2021", str(year))
    item = json.loads(text)
    lon, lat = PLACES[mine]
    half = 0.01
    ring = [[lon - half, lat - half], [lon + half, lat - half], [lon + half, lat + half], [lon - half, lat + half]]
    item["geometry"] = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    item["bbox"] = [lon - half, lat - half, lon + half, lat + half]
    if lon + half > 180:
        east = [[-180, lat - half], [lon + half - 360, lat - half], [lon + half - 360, lat + half], [-180, lat + half]]
        west = [[lon - half, lat - half], [180, lat - half], [180, lat + half], [lon - half, lat + half]]
        item["geometry"] = {"type": "MultiPolygon", "coordinates": [[[*r, r[0]]] for r in (west, east)]}
        item["bbox"][2] = lon + half - 360
    item["properties"]["title"] = f"{mine.title()} {year}"
    item["properties"] |= {"pitpulse:country": COUNTRIES[mine], "pitpulse:commodity": WORDS[mine]}
    item["properties"] |= {f"pitpulse:{name}": value for name, value in properties.items()}
    return copy.deepcopy(item)


def put(root: Path, *items: dict) -> None:
    """Write documents as the publisher does: each a new file."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for item in items:
        part = folder / f".{item['id']}.part"
        part.write_text(json.dumps(item, indent=2))
        part.replace(folder / f"{item['id']}.json")
