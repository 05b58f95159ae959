"""Two validators that are not ours, offline, on every document that is published; and pystac walks every path.

Between them they read items, superseded versions, the collection and every catalog, of mines with and without missing
facts, on both sides of the equator, across the antimeridian, and in an object store.
"""

import importlib
import json
import logging
from pathlib import Path

import pystac
import pytest
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from catalog.assets import Stored
from catalog.publish import annotate, publish
from catalog.stac import build_item
from pipeline.model import Mine

from .product_example import AREA, PLACES, example_cube, example_extras

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The item .* is deprecated:pystac.errors.DeprecatedWarning"),  # as it should be
]
ROOT = Path(__file__).resolve().parents[1]
SCHEME = {"type": "custom-s3", "platform": "https://store.example.org/{bucket}", "bucket": "products"}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Three mines; one with two years, the later in three versions and with an estimate."""
    folder = tmp_path_factory.mktemp("published")
    for site, (mine, _, _) in PLACES.items():
        publish(mine, example_cube(site), AREA, example_extras(), folder)
    mine = PLACES["across"][0]
    for year, key in ((2020, "ab"), (2021, "cd"), (2021, "ef")):
        publish(mine, example_cube("across", year, key * 32), AREA, example_extras(), folder)
    annotate(folder, {("across", 2021): {"pitpulse:production": 3.5e7, "pitpulse:production_confidence": "medium"}})
    return folder


@pytest.fixture(scope="module")
def documents(root) -> list[Path]:
    """Every STAC document below the root."""
    found = sorted([*root.glob("catalog/**/*.json"), *root.glob("products/**/*.item.json")])
    commodities, countries, mines, listed, old = 1 + 2 + 3, 3, 3, 4, 2
    assert len(found) == 2 + commodities + countries + mines + listed + old + (listed + old)
    return found


@pytest.fixture(scope="module")
def schemas() -> dict[str, Path]:
    """URL to file of every schema that the documents name."""
    folder = ROOT.parent / "shared" / "stac-schemas"
    if not folder.is_dir():
        pytest.skip(f"STAC schemas not found at {folder}; without them validation needs the network")
    return {f"https://{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*.json")}


@pytest.fixture(scope="module")
def validator(schemas) -> JsonSchemaSTACValidator:
    """pystac's, which knows the schemas and needs nobody."""
    validator = JsonSchemaSTACValidator()
    validator.schema_cache |= {url: json.loads(path.read_text()) for url, path in schemas.items()}
    return validator


def test_pystac_finds_every_document_valid(documents, validator):
    for path in documents:
        thing = pystac.read_file(str(path))
        checked = pystac.validation.validate(thing, validator=validator)
        extensions = thing.stac_extensions or []
        assert len(checked) == 1 + len(extensions), path  # the core and every extension it names


def test_stac_valid_finds_every_document_valid(documents, schemas):
    validate = importlib.import_module("stac_validator.validate")
    mapping = {url: str(path) for url, path in schemas.items()}
    for path in documents:
        check = validate.StacValidate(str(path), schema_map=dict(mapping))
        assert check.run(), (path.name, check.message)
        assert check.message[0]["valid_stac"] and check.message[0]["version"] == "1.1.0"


def test_pystac_sees_an_error(root, validator):
    item = pystac.read_file(str(root / "catalog/mine-activity/sishen-2021.json"))
    item.properties["sar:looks_range"] = "seven"
    with pytest.raises(pystac.errors.STACValidationError, match=r"sar/v1.3.0"):
        pystac.validation.validate(item, validator=validator)


def test_stac_valid_sees_an_error(root, schemas, tmp_path):
    validate = importlib.import_module("stac_validator.validate")
    document = json.loads((root / "catalog/mine-activity/sishen-2021.json").read_text())
    document["properties"]["proj:shape"] = ["a", "b"]
    (tmp_path / "item.json").write_text(json.dumps(document))
    mapping = {url: str(path) for url, path in schemas.items()}
    check = validate.StacValidate(str(tmp_path / "item.json"), schema_map=mapping)
    assert not check.run() and not check.message[0]["valid_stac"]


def test_items_with_little_known_are_valid(validator):
    cube = example_cube("musan")
    del cube.attrs["dem"], cube.attrs["orbit_pass"]
    stored = [Stored("cube", "products/a.zarr", 3)]
    item = build_item(Mine("musan", "", {}), cube, AREA, stored, path="catalog/k/i.json", version="1-a")
    assert len(pystac.validation.validate(item, validator=validator)) == 1 + len(item.stac_extensions)


def test_an_item_in_an_object_store_says_which(validator):
    stored = [Stored("cube", "products/a.zarr", 3), Stored("ndai", "products/a.tif", 3, "00" * 32)]
    path = "catalog/k/i.json"
    item = build_item(PLACES["musan"][0], example_cube("musan"), AREA, stored, path=path, version="1-a", storage=SCHEME)
    assert item.properties["storage:schemes"] == {"store": SCHEME}
    assert {key: asset.extra_fields["storage:refs"] for key, asset in item.assets.items()} == {
        "cube": ["store"],
        "cube-xarray": ["store"],
        "ndai": ["store"],
    }
    checked = pystac.validation.validate(item, validator=validator)
    assert any("storage/v2.0.0" in url for url in checked)


def test_every_path_from_the_root_leads_to_the_items(root):
    ways = walk(pystac.Catalog.from_file(str(root / "catalog/catalog.json")))
    assert ways == {
        "across-2020": [
            "By commodity > Gold ore > Gold ore, Fiji > Across",
            "Mine activity from Sentinel-1 coherence > Fiji > Across",
        ],
        "across-2021": [
            "By commodity > Gold ore > Gold ore, Fiji > Across",
            "Mine activity from Sentinel-1 coherence > Fiji > Across",
        ],
        "musan-2021": [
            "By commodity > Iron ore > Iron ore, North Korea > Musan",
            "Mine activity from Sentinel-1 coherence > North Korea > Musan",
        ],
        "sishen-2021": [
            "By commodity > Iron ore > Iron ore, South Africa > Sishen",
            "Mine activity from Sentinel-1 coherence > South Africa > Sishen",
        ],
    }


def test_the_collection_has_each_item_once_and_from_it_one_finds_back(root):
    catalog = pystac.Catalog.from_file(str(root / "catalog/catalog.json"))
    collection = catalog.get_child("mine-activity")
    items = list(collection.get_items(recursive=True))
    assert sorted(item.id for item in items) == ["across-2020", "across-2021", "musan-2021", "sishen-2021"]
    for item in items:
        alone = pystac.read_file(item.get_self_href())  # as a search returns it: with no walk before
        assert alone.get_collection().id == "mine-activity" and alone.get_root().id == "pitpulse"
        mine = alone.get_parent()
        assert mine.id == f"mine-{item.id.split('-')[0]}"
        assert mine.get_parent().get_parent().id == "mine-activity"
        assert item.id in {other.id for other in mine.get_items()}


def test_pystac_client_opens_the_static_catalog(root, caplog):
    client = importlib.import_module("pystac_client").Client
    with pytest.warns(UserWarning), caplog.at_level(logging.ERROR):
        opened = client.open(str(root / "catalog/catalog.json"))
        assert {item.id for item in opened.get_items(recursive=True)} == {p.stem for p in listed(root)}


def listed(root: Path) -> list[Path]:
    return [p for p in (root / "catalog/mine-activity").glob("*.json") if p.stem != "collection"]


def walk(catalog: pystac.Catalog, way: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Titles on every way to each item."""
    found: dict[str, list[str]] = {}
    for item in catalog.get_items():
        found.setdefault(item.id, []).append(" > ".join(way))
    for child in catalog.get_children():
        for key, ways in walk(child, (*way, child.title)).items():
            found.setdefault(key, []).extend(ways)
    return dict(sorted(found.items()))
