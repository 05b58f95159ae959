"""Catalogs by country and by commodity, neighbouring years, versions: after one publication and after a rebuild."""

import hashlib
import json
import posixpath
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from catalog.browse import ROOT, Link, branch, build_catalog, links_of, mine_node, slug
from catalog.collection import slim
from catalog.publish import annotate, listed_items, mend_catalog, product_stem, publish, rebuild_catalog, show
from catalog.storage_scheme import storage_scheme
from pipeline.errors import BadInput, Unavailable
from pipeline.storage import Location, open_store

from .product_example import AREA, PLACES, example_cube, example_extras

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


def published(root, site="sishen", year=2021, key="ab"):
    return publish(PLACES[site][0], example_cube(site, year, key * 32), AREA, example_extras(), root)


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> Path:
    """Sishen with three years, the last in two versions; Across with one; tests only read it."""
    root = tmp_path_factory.mktemp("several")
    for year in (2019, 2020, 2021):
        published(root, "sishen", year)
    published(root, "sishen", 2021, "cd")
    published(root, "across")
    return root


@pytest.fixture
def copy(several, tmp_path) -> Path:
    return shutil.copytree(several, tmp_path / "copy")


def read(root: Path, path: str) -> dict:
    return json.loads((root / "catalog" / path).read_text())


def links(document: dict) -> dict[str, str]:
    return {link["rel"]: link["href"] for link in document["links"]}


def digests(root: Path) -> dict[str, str]:
    """Relative path to SHA-256 of everything in the catalog."""
    files = (p for p in sorted((root / "catalog").rglob("*")) if p.is_file())
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def example(mine="pit", year=2021, country="ZAF", commodity="iron ore", name="") -> dict:
    """An item as far as the catalogs around it care."""
    known = {"pitpulse:mine_id": mine, "pitpulse:mine_name": name or mine.title(), "pitpulse:year": year}
    known |= {"pitpulse:country": country, "pitpulse:commodity": commodity}
    known |= {"start_datetime": f"{year}-01-01T00:00:00Z", "end_datetime": f"{year}-12-31T23:59:59Z"}
    bbox = [1.0, 2.0, 3.0, 4.0]
    return {"id": f"{mine}-{year}", "bbox": bbox, "properties": known, "links": [], "assets": {}, "type": "Feature"}


# --- documents -----------------------------------------------------------------------------------------------------


def test_branches_of_an_item():
    ways = [
        (node.path.removeprefix("catalog/"), link.path.removeprefix("catalog/")) for node, link in branch(example())
    ]
    assert ways == [
        ("countries/zaf/pit/catalog.json", "mine-activity/pit-2021.json"),
        ("countries/zaf/catalog.json", "countries/zaf/pit/catalog.json"),
        ("catalog.json", "mine-activity/collection.json"),
        ("commodities/iron-ore/zaf/catalog.json", "countries/zaf/pit/catalog.json"),
        ("commodities/iron-ore/catalog.json", "commodities/iron-ore/zaf/catalog.json"),
        ("commodities/catalog.json", "commodities/iron-ore/catalog.json"),
        ("catalog.json", "commodities/catalog.json"),
    ]


def test_what_is_not_stated_is_said_so():
    ways = branch(example(country="", commodity=""))
    assert [node.title for node, _ in ways] == ["Pit", "Country not stated", "pitpulse"]
    assert ways[1][0].path == "catalog/countries/unknown/catalog.json"
    assert mine_node(example(country="Å land!")).path == "catalog/countries/a-land/pit/catalog.json"


def test_a_catalog_and_its_links_there_and_back():
    below = [Link("child", f"catalog/countries/zaf/{m}/catalog.json", t) for m, t in (("b", "Beta"), ("a", "alpha"))]
    node = branch(example())[1][0]
    document = build_catalog(node, [*below, below[0]])
    assert [link["title"] for link in document["links"][2:]] == ["alpha", "Beta"]  # as people sort
    assert links(document)["parent"] == "../../mine-activity/collection.json"
    assert sorted(links_of(document, node.path), key=str) == sorted(below, key=str)
    assert "parent" not in links(build_catalog(ROOT, []))


def test_slugs():
    assert [slug(word) for word in ("Iron ore", "niobium (Nb)", "  Å/b ", "무산")] == [
        "iron-ore",
        "niobium-nb",
        "a-b",
        "unknown",
    ]


# --- years and versions --------------------------------------------------------------------------------------------


def test_years_lead_to_their_neighbours(several):
    first, middle, last = (links(read(several, f"mine-activity/sishen-{year}.json")) for year in (2019, 2020, 2021))
    assert "prev" not in first and first["next"] == "./sishen-2020.json"
    assert middle["prev"] == "./sishen-2019.json" and middle["next"] == "./sishen-2021.json"
    assert last["prev"] == "./sishen-2020.json" and "next" not in last
    alone = links(read(several, "mine-activity/across-2021.json"))
    assert not {"prev", "next"} & set(alone)


@pytest.mark.parametrize("order", [(2019, 2020, 2021), (2021, 2019, 2020), (2020, 2021, 2019)])
def test_any_order_of_publishing_ends_alike(several, tmp_path, order):
    published(tmp_path, "across")
    for year in order:
        published(tmp_path, "sishen", year)
    published(tmp_path, "sishen", 2021, "cd")
    assert digests(tmp_path) == digests(several)


def test_a_superseded_version_is_deprecated_and_leads_to_the_new_one(several):
    (path,) = (several / "catalog/superseded").rglob("*.json")
    assert path.parent.name == "sishen-2021" and path.name.endswith("-abababab.json")
    old, new = json.loads(path.read_text()), read(several, "mine-activity/sishen-2021.json")
    assert old["properties"]["deprecated"] is True and "deprecated" not in new["properties"]
    assert old["id"] != new["id"] and old["id"].startswith("sishen-2021-v0.1.0-")
    for rel in ("latest-version", "successor-version"):
        assert links(old)[rel] == "../../mine-activity/sishen-2021.json"
    assert "predecessor-version" not in links(old)
    back = several / "catalog/mine-activity" / links(new)["predecessor-version"]
    assert back.resolve() == path.resolve()
    for asset in old["assets"].values():
        assert "-abababab" in asset["href"] and (path.parent / asset["href"]).exists()
    (item,) = (several / "products/sishen/2021").glob("*-abababab.item.json")
    assert "deprecated" not in json.loads(item.read_text())["properties"]  # what is published stays as it is


def test_three_versions_are_a_chain(copy):
    published(copy, "sishen", 2021, "ef")
    first, second = sorted((copy / "catalog/superseded/sishen-2021").glob("*.json"))
    one, two = (links(json.loads(path.read_text())) for path in (first, second))
    assert one["successor-version"] == f"./{second.name}" and two["predecessor-version"] == f"./{first.name}"
    assert two["successor-version"] == one["latest-version"] == "../../mine-activity/sishen-2021.json"
    listed = links(read(copy, "mine-activity/sishen-2021.json"))
    assert listed["predecessor-version"].endswith(f"sishen-2021/{second.name}")
    show(copy, "sishen", 2021, "ab" * 32)  # the oldest again: the two others are what came before it
    names = [path.name.split("-")[-1] for path in sorted((copy / "catalog/superseded/sishen-2021").glob("*.json"))]
    assert names == ["cdcdcdcd.json", "efefefef.json"]
    before = digests(copy)
    rebuild_catalog(copy)
    assert digests(copy) == before


# --- what one publication touches ----------------------------------------------------------------------------------


def touched(root: Path, do) -> list[str]:
    """Paths below catalog/ that are written meanwhile: every writing makes a new file."""

    def state() -> dict[str, tuple[int, int]]:
        files = (p for p in (root / "catalog").rglob("*") if p.is_file())
        return {p.relative_to(root / "catalog").as_posix(): (p.stat().st_ino, p.stat().st_mtime_ns) for p in files}

    before = state()
    do()
    return sorted(path for path, now in state().items() if before.get(path) != now)


def test_one_year_touches_its_own_branch_alone(copy):
    assert touched(copy, lambda: published(copy, "sishen", 2022)) == [
        "countries/zaf/sishen/catalog.json",
        "mine-activity/collection.json",  # a later end of its interval
        "mine-activity/sishen-2021.json",  # next
        "mine-activity/sishen-2022.json",
    ]
    assert touched(copy, lambda: published(copy, "sishen", 2022)) == []
    assert touched(copy, lambda: rebuild_catalog(copy)) == []


def test_a_new_mine_touches_the_catalogs_above_it(copy):
    assert touched(copy, lambda: published(copy, "musan")) == [
        "commodities/iron-ore/catalog.json",
        "commodities/iron-ore/prk/catalog.json",
        "countries/prk/catalog.json",
        "countries/prk/musan/catalog.json",
        "mine-activity/collection.json",
        "mine-activity/musan-2021.json",
    ]


class Watched(MemoryFileSystem):
    """A store in memory that calls a function after each document of the catalog that is written."""

    protocol = "watched"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]
    written: ClassVar[list] = []  # what is called, with the path

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("watched://", "memory://"))

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        super().pipe_file(path, value, mode=mode, **kwargs)
        for call in self.written if "/catalog/" in path else ():
            call(path)


@pytest.fixture
def watched():
    """URL of an empty root, and the list of what is called."""
    fsspec.register_implementation("watched", Watched, clobber=True)
    Watched.store.clear()
    Watched.written.clear()
    yield "watched://bucket/root", Watched.written
    Watched.store.clear()
    Watched.written.clear()


def test_what_is_named_is_there_before_it_is_named(watched):
    url, calls = watched
    seen = []

    def check(path):
        seen.append(path)
        for link in json.loads(Watched.store[path].getvalue())["links"]:
            if link["rel"] in ("child", "item", "predecessor-version", "prev", "next"):
                place = posixpath.normpath(posixpath.join(posixpath.dirname(path), link["href"]))
                # the root's link to the collection is the last to come true
                assert place in Watched.store or place.endswith("collection.json"), (path, link)

    calls.append(check)
    for year, key in ((2020, "ab"), (2021, "ab"), (2020, "cd"), (2019, "ab")):
        published(url, "sishen", year, key)
    published(url, "across")
    assert len(seen) > 25


# --- all anew ------------------------------------------------------------------------------------------------------


def test_rebuilding_changes_nothing_where_nothing_is_wrong(copy):
    before = digests(copy)
    assert rebuild_catalog(copy) == 4
    assert digests(copy) == before


def test_rebuilding_heals_what_is_missing_wrong_or_left_over(copy):
    before = digests(copy)
    shutil.rmtree(copy / "catalog/countries/zaf")
    shutil.rmtree(copy / "catalog/superseded")
    (copy / "catalog/catalog.json").unlink()
    (copy / "catalog/countries/fji/catalog.json").write_text('{"links": []}')
    for left in ("countries/xxx/gone/catalog.json", "commodities/tin-ore/catalog.json", "superseded/gone-2020/v1.json"):
        path = copy / "catalog" / left
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    item = copy / "catalog/mine-activity/sishen-2020.json"
    document = json.loads(item.read_text())
    document["links"] = [link for link in document["links"] if link["rel"] not in ("prev", "parent")]
    item.write_text(json.dumps(document))
    rebuild_catalog(copy)
    assert set(digests(copy)) == set(before)
    assert {path for path, digest in digests(copy).items() if digest != before[path]} <= {
        "catalog/mine-activity/sishen-2020.json"  # the order of its links
    }
    assert links(read(copy, "mine-activity/sishen-2020.json"))["prev"] == "./sishen-2019.json"


def test_an_item_that_is_taken_away_leaves_no_trace(copy):
    for path in (copy / "catalog/mine-activity").glob("across-*.json"):
        path.unlink()
    (copy / "catalog/mine-activity/sishen-2020.json").unlink()
    assert rebuild_catalog(copy) == 2
    assert (
        not list((copy / "catalog").rglob("fji/**/*.json"))
        and not (copy / "catalog/commodities/gold-ore/catalog.json").exists()
    )
    assert links(read(copy, "mine-activity/sishen-2019.json"))["next"] == "./sishen-2021.json"
    assert read(copy, "mine-activity/collection.json")["summaries"]["pitpulse:country"] == ["ZAF"]


def test_a_mine_that_moves_to_another_country_moves(copy):
    facts = {("across", 2021): {"pitpulse:country": "NZL"}}
    assert annotate(copy, facts) == 1
    rebuild_catalog(copy)
    assert links(read(copy, "mine-activity/across-2021.json"))["parent"] == "../countries/nzl/across/catalog.json"
    assert not (copy / "catalog/countries/fji/catalog.json").exists()
    assert (copy / "catalog/commodities/gold-ore/nzl/catalog.json").exists()


def test_publishers_at_once_are_healed_by_one_rebuild(several, tmp_path):
    jobs = [("sishen", 2019), ("sishen", 2020), ("sishen", 2021), ("across", 2021)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda job: published(tmp_path, *job), jobs))
    published(tmp_path, "sishen", 2021, "cd")
    assert rebuild_catalog(tmp_path) == 4
    assert digests(tmp_path) == digests(several)


def test_mending_reads_and_writes_the_mines_it_is_told_alone(copy):
    before = digests(copy)
    assert mend_catalog(copy, ["sishen", "across", "nobody"]) == 4
    assert digests(copy) == before
    shutil.rmtree(copy / "catalog/countries/zaf/sishen")
    shutil.rmtree(copy / "catalog/countries/fji")
    (copy / "catalog/mine-activity/collection.json").unlink()
    (copy / "catalog/catalog.json").unlink()
    (copy / "catalog/mine-activity/across-2021.json").write_text("never read")
    assert mend_catalog(copy, ["Sishen"]) == 3
    healed = digests(copy)
    changed = {path.removeprefix("catalog/") for path in before if healed.get(path) != before[path]}
    assert changed == {
        "countries/fji/across/catalog.json",
        "countries/fji/catalog.json",
        "mine-activity/across-2021.json",
        "mine-activity/collection.json",
    }
    assert mend_catalog(copy, []) == 0


def test_what_is_published_during_a_rebuild_is_not_lost(watched):
    url, calls = watched
    published(url, "sishen")
    others = ["musan"]

    def publish_another(path):
        if others:
            published(url, others.pop())

    Watched.store.pop("/bucket/root/catalog/countries/zaf/catalog.json")  # so that there is something to write
    calls.append(publish_another)
    assert rebuild_catalog(url) == 2
    collection = json.loads(Watched.store["/bucket/root/catalog/mine-activity/collection.json"].getvalue())
    assert "North Korea" in [link.get("title") for link in collection["links"]]
    assert "/bucket/root/catalog/countries/prk/musan/catalog.json" in Watched.store


def test_a_catalog_of_nothing_is_refused(copy):
    for path in (copy / "catalog/mine-activity").glob("*-20*.json"):
        path.unlink()
    with pytest.raises(BadInput, match="a collection needs at least one item"):
        rebuild_catalog(copy)


def test_a_root_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Unavailable, match=r"can't list .*nowhere/catalog/mine-activity: nothing is there"):
        rebuild_catalog(tmp_path / "nowhere")


def test_in_an_object_store_too(several):
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    try:
        url = "memory://bucket/root"
        for year in (2019, 2020, 2021):
            published(url, "sishen", year)
        published(url, "sishen", 2021, "cd")
        published(url, "across")
        assert rebuild_catalog(url) == 4
        there = fs.find("/bucket/root/catalog")
        found = {p.removeprefix("/bucket/root/"): hashlib.sha256(fs.cat_file(p)).hexdigest() for p in there}
        assert found == digests(several)
        fs.pipe_file("/bucket/root/catalog/countries/xxx/catalog.json", b"{}")
        rebuild_catalog(url)
        assert not fs.exists("/bucket/root/catalog/countries/xxx/catalog.json")
    finally:
        fs.store.clear()


def test_no_document_grows_with_the_number_of_items(tmp_path):
    folder = tmp_path / "catalog/mine-activity"
    folder.mkdir(parents=True)
    number = 300
    for k in range(number):
        item = example(f"pit-{k:04d}", country=("ZAF", "AUS", "CHL")[k % 3])
        (folder / f"{item['id']}.json").write_text(json.dumps(item))
    assert rebuild_catalog(tmp_path) == number
    assert [len(item["links"]) for item in listed_items(tmp_path)] == [1] * number  # parent
    counts = [
        len(links_of(json.loads(p.read_text()), "catalog/x.json")) for p in (tmp_path / "catalog").rglob("c*.json")
    ]
    assert max(counts) == number / 3  # mines of a country
    assert len(slim(example())["properties"]) < 20


# --- where it was published ----------------------------------------------------------------------------------------


class Remote:
    """As much of an object store's driver as says where it is."""

    protocol = ("s3", "s3a")

    def __init__(self, endpoint=None, **client):
        self.endpoint_url, self.client_kwargs = endpoint, client


@pytest.mark.parametrize(
    ("fs", "expected"),
    [
        (
            Remote("https://key:secret@store.example.org:8333/?token=1"),
            {"type": "custom-s3", "platform": "https://store.example.org:8333/{bucket}", "bucket": "products"},
        ),
        (
            Remote(endpoint_url="http://127.0.0.1:8333", region_name="here"),
            {"type": "custom-s3", "platform": "http://127.0.0.1:8333/{bucket}", "bucket": "products", "region": "here"},
        ),
        (
            Remote(region_name="eu-west-1"),
            {
                "type": "aws-s3",
                "platform": "https://{bucket}.s3.{region}.amazonaws.com",
                "bucket": "products",
                "region": "eu-west-1",
            },
        ),
        (Remote(), None),
    ],
)
def test_an_object_store_is_named_without_secrets(fs, expected, monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert storage_scheme(Location(fs, "products/some/root", "s3://products/some/root")) == expected


def test_a_folder_is_no_object_store(tmp_path):
    assert storage_scheme(open_store(tmp_path)) is None
    assert storage_scheme(open_store("memory://a/b")) is None
    assert product_stem("m", 2021, "ab" * 32).startswith("products/m/2021/v")
