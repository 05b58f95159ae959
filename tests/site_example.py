"""A small published folder for the tests of the pages: one year and two, the antimeridian, hostile names."""

from __future__ import annotations

import json
from pathlib import Path

from catalog.publish import annotate, publish

from .product_example import AREA, SITES, example_cube, example_extras

ITEMS = "catalog/mine-activity"
HOSTILE = "<script>window.hacked=1</script><img src=x onerror='window.hacked=2'> & \"Söhne\" 무산"
LONG = "Complejo-Minero-" + "MuyLargo" * 30
PRODUCTION = {
    "pitpulse:production": 1_234_567,
    "pitpulse:production_interval": [800_000, 1_900_000],
    "pitpulse:production_confidence": "medium",
    "pitpulse:production_basis": "reported_ore",
    "pitpulse:emissions_co2": 45_000,
    "pitpulse:emissions_co2_interval": [20_000, 90_000],
    "pitpulse:emissions_co2_confidence": "low",
}


def make_site(root: Path) -> Path:
    """A published folder: Sishen with two years and estimates, Musan with one, three mines made of Sishen's item."""
    for site, year, key in (("sishen", 2020, "cd" * 32), ("sishen", 2021, "ab" * 32), ("musan", 2021, "ef" * 32)):
        publish(SITES[site][0], example_cube(site, year, key), AREA, example_extras(), root)
    annotate(root, {("sishen", 2021): PRODUCTION})
    add_item(root, "taveuni", **{"pitpulse:mine_name": LONG, "proj:code": "EPSG:32701",
                                 "proj:bbox": [178_000, 8_135_000, 179_200, 8_135_800]})  # fmt: skip
    add_item(root, "hostile", **{"pitpulse:mine_name": HOSTILE, "pitpulse:commodity": "<b>bold</b>",
                                 "proj:bbox": [400_000, 8_000_000, 401_200, 8_000_800]})  # fmt: skip
    add_item(root, "dark", **{"pitpulse:active_area": None, "pitpulse:active_area_interval": [None, None]})
    return root


def add_item(root: Path, mine_id: str, **properties) -> Path:
    """Another mine, with Sishen's files."""
    document = json.loads((root / ITEMS / "sishen-2021.json").read_text())
    document["id"] = f"{mine_id}-2021"
    document["properties"] |= {"pitpulse:mine_id": mine_id, "pitpulse:mine_name": mine_id, **properties}
    path = root / ITEMS / f"{mine_id}-2021.json"
    path.write_text(json.dumps(document))
    return path


def page(root: Path, mine_id: str) -> dict:
    """What the page of a mine was given."""
    return json.loads((root / f"pages/mines/{mine_id}.json").read_text())
