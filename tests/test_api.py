"""The STAC API: documents and links, searches, pages and fields, and what it answers to bad questions."""

from __future__ import annotations

import json
import shutil

import httpx2
import pystac
import pytest
from starlette.testclient import TestClient

from catalog.api import ApiSettings, create_app
from catalog.api.chosen import choose
from catalog.index import update_index
from catalog.publish import annotate
from catalog.query import search_table

from .api_example import ITEMS, following, index_made_up, made_up, problem, publish_example

pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
BASE = "http://testserver"
IMMEDIATE = ApiSettings(look_again=0)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Two mines with three years each; tests only read it."""
    root = tmp_path_factory.mktemp("api")
    publish_example(root)
    return root


@pytest.fixture(scope="module")
def indexed(published, tmp_path_factory):
    """An index of 300 made-up items; tests only read it."""
    root = tmp_path_factory.mktemp("indexed")
    index_made_up(root, published, ITEMS)
    return root


@pytest.fixture
def own(published, tmp_path):
    """A copy of the published folder that a test may change."""
    return shutil.copytree(published, tmp_path / "own")


@pytest.fixture
def api(published):
    return TestClient(create_app(published))


@pytest.fixture
def many(indexed):
    return TestClient(create_app(indexed))


# Documents and links


def test_every_link_of_the_landing_page_answers(api):
    page = api.get("/").json()
    assert pystac.Catalog.from_dict(page).id == "pitpulse"
    assert "https://api.stacspec.org/v1.0.0/item-search" in page["conformsTo"]
    assert page["conformsTo"] == api.get("/conformance").json()["conformsTo"]
    rels = {link["rel"] for link in page["links"]}
    assert {"self", "root", "data", "search", "service-desc", "service-doc", "conformance", "child"} <= rels
    for link in page["links"]:
        answer = api.post(link["href"], json={}) if link.get("method") == "POST" else api.get(link["href"])
        assert answer.status_code == 200, link
        assert answer.headers["content-type"].split(";")[0] == link["type"].split(";")[0], link


def test_a_browser_is_sent_to_the_map_once_there_is_one(own):
    client = TestClient(create_app(own, IMMEDIATE), follow_redirects=False)
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    assert client.get("/", headers=browser).status_code == 200
    (own / "index.html").write_text("<!doctype html><title>map</title>")
    answer = client.get("/", headers=browser)
    assert answer.status_code == 303 and answer.headers["location"] == f"{BASE}/files/index.html"
    assert client.get("/", headers={"Accept": "application/json"}).status_code == 200
    assert client.get("/files/").text == client.get("/files/index.html").text == "<!doctype html><title>map</title>"
    item = client.get("/collections/mine-activity/items/musan-2021").json()
    assert f"{BASE}/files/pages/mine.html?id=musan" in {link["href"] for link in item["links"]}


def test_the_collection_leads_to_its_items_through_the_api(api):
    (found,) = api.get("/collections").json()["collections"]
    assert found == api.get("/collections/mine-activity").json()
    assert pystac.Collection.from_dict(found).id == "mine-activity"
    by_rel = {link["rel"]: link["href"] for link in found["links"]}
    assert not {"item", "child"} & by_rel.keys()
    assert by_rel["items"] == f"{BASE}/collections/mine-activity/items"
    assert all(link["href"].startswith(("http://", "https://")) for link in found["links"])
    assert api.get(by_rel["canonical"]).json()["id"] == "mine-activity"


def test_an_item_has_absolute_links_and_every_asset_is_there(api, published):
    item = api.get("/collections/mine-activity/items/musan-2021").json()
    plain = json.loads((published / "catalog/mine-activity/musan-2021.json").read_text())
    assert item["properties"] == plain["properties"] and item["geometry"] == plain["geometry"]
    assert item["assets"].keys() == plain["assets"].keys()
    for asset in item["assets"].values():
        assert asset["href"].startswith(f"{BASE}/files/products/musan/2021/")
        suffix = "/zarr.json" if asset["href"].endswith(".zarr") else ""
        assert api.head(asset["href"] + suffix).status_code == 200
    for link in item["links"]:
        suffix = "/zarr.json" if link["href"].endswith(".zarr") else ""
        if link["href"].startswith(BASE):
            assert api.get(link["href"] + suffix).status_code == 200, link
    by_rel = {link["rel"]: link["href"] for link in item["links"]}
    assert by_rel["self"] == f"{BASE}/collections/mine-activity/items/musan-2021"
    assert by_rel["collection"] == by_rel["parent"] == f"{BASE}/collections/mine-activity"
    assert api.get(by_rel["canonical"]).json()["id"] == "musan-2021"


def test_queryables_are_the_real_properties_with_their_types(api):
    for path in ("/queryables", "/collections/mine-activity/queryables"):
        answer = api.get(path)
        found = answer.json()
        assert found["$id"] == BASE + path and answer.headers["content-type"] == "application/schema+json"
        assert found["properties"]["pitpulse:year"] == {
            "title": "year", "type": "integer", "minimum": 2020, "maximum": 2022
        }  # fmt: skip
        assert found["properties"]["pitpulse:active_area"]["type"] == "number"
        assert found["properties"]["pitpulse:country"]["enum"] == ["PRK", "ZAF"]
        assert found["properties"]["mission"]["type"] == "string"  # whatever the items have


@pytest.mark.parametrize("path", ["", "/items", "/queryables", "/items/musan-2021"])
def test_an_unknown_collection_is_named_with_those_there_are(api, path):
    assert "known are mine-activity" in problem(api.get(f"/collections/mines{path}"), 404)


def test_an_unknown_item_and_an_unknown_address_are_404(api):
    assert "no item 'musan-1999'" in problem(api.get("/collections/mine-activity/items/musan-1999"), 404)
    assert "there is nothing at /nothing" in problem(api.get("/nothing"), 404)
    assert "only reads" in problem(api.delete("/collections/mine-activity/items/musan-2021"), 405)


# Searches


def test_get_and_post_find_the_same_as_the_index(many, indexed):
    text = '"pitpulse:country" = \'ZAF\' AND "pitpulse:active_area" > 1000000'
    tree = {"op": "and", "args": [{"op": "=", "args": [{"property": "pitpulse:country"}, "ZAF"]},
                                  {"op": ">", "args": [{"property": "pitpulse:active_area"}, 1_000_000]}]}  # fmt: skip
    expected = search_table(indexed, filter=text, fields=["id"])["id"].to_pylist()
    assert 0 < len(expected) < ITEMS
    for response in (
        many.get("/search", params={"filter": text}),
        many.get("/search", params={"filter": json.dumps(tree), "filter-lang": "cql2-json"}),
        many.get("/collections/mine-activity/items", params={"filter": text}),
        many.post("/search", json={"filter": tree}),
        many.post("/search", json={"filter": text, "filter-lang": "cql2-text"}),
    ):
        assert response.json()["numberMatched"] == len(expected)
        assert [item["id"] for item in following(many, response)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\"pitpulse:mine_id\" = 'mine-00003'", 9),
        ('"pitpulse:mine_id" = \'mine-00003\' AND "pitpulse:year" > 2020', 4),
        ("\"pitpulse:mine_id\" = 'mine-00003' AND \"pitpulse:mine_id\" = 'mine-00004'", 0),
        ("\"pitpulse:mine_id\" = 'mine-00003' OR id = 'mine-00004-2016'", 10),
        ("NOT (\"pitpulse:mine_id\" = 'mine-00003')", ITEMS - 9),
        ("id = 'mine-00004-2016' AND \"pitpulse:mine_id\" = 'mine-00003'", 0),
        ("id = 'mine-00004-2016'", 1),
        ("'mine-00003' = \"pitpulse:mine_id\"", 9),
    ],
)
def test_an_id_in_a_filter_is_found_like_any_other_value(many, text, expected):
    found = following(many, many.get("/search", params={"filter": text}))
    assert len(found) == many.get("/search", params={"filter": text}).json()["numberMatched"] == expected


def test_between_is_taken_with_the_bounds_in_a_list(many):
    property_ = {"property": "pitpulse:year"}
    final = {"op": "between", "args": [property_, 2018, 2019]}
    draft = {"op": "not", "args": [{"op": "between", "args": [property_, [2018, 2019]]}]}
    inside = many.post("/search", json={"filter": final}).json()["numberMatched"]
    outside = many.post("/search", json={"filter": draft}).json()["numberMatched"]
    assert inside > 0 and inside + outside == ITEMS


def test_place_time_and_ids_restrict_together(many, indexed):
    (item,) = many.get("/search", params={"ids": "mine-00003-2019"}).json()["features"]
    west, south, east, north = item["bbox"]
    box = ",".join(map(str, (west + 0.01, south + 0.01, east - 0.01, north - 0.01)))
    ids = search_table(indexed, bbox=[float(v) for v in box.split(",")], years=2019, fields=["id"])["id"].to_pylist()
    assert "mine-00003-2019" in ids
    given = {"bbox": box, "datetime": "2019-02-01T00:00:00Z/2019-03-01T00:00:00+01:00"}
    assert [f["id"] for f in many.get("/search", params=given).json()["features"]] == ids
    shape = {"intersects": json.dumps(item["geometry"]), "datetime": "2019-06-01T12:00:00.5z"}
    assert "mine-00003-2019" in {f["id"] for f in many.get("/search", params=shape).json()["features"]}
    assert many.get("/search", params={**given, "datetime": "../2015-12-31T23:59:59Z"}).json()["features"] == []
    assert many.get("/search", params={"collections": "others"}).json()["numberMatched"] == 0
    assert many.get("/collections/mine-activity/items", params={"collections": "mine-activity"}).json()["features"]


@pytest.mark.parametrize("limit", [7, 50, 299, 300, 1000])
@pytest.mark.parametrize("sort", [None, "-pitpulse:production,+pitpulse:year"])
def test_pages_lose_and_repeat_nothing(many, indexed, limit, sort):
    given = {"limit": limit, **({"sortby": sort} if sort else {})}
    expected = search_table(indexed, sort=sort, fields=["id"])["id"].to_pylist()
    assert [item["id"] for item in following(many, many.get("/search", params=given))] == expected
    body = {"limit": limit}
    if sort:
        body["sortby"] = [{"field": "pitpulse:production", "direction": "desc"}, {"field": "pitpulse:year"}]
    assert [item["id"] for item in following(many, many.post("/search", json=body))] == expected


def test_a_new_index_between_two_pages_loses_and_repeats_nothing(own, published):
    """Items that stay are all seen once, whatever comes, goes or changes meanwhile."""
    client = TestClient(create_app(own, IMMEDIATE))
    folder = own / "catalog/mine-activity"
    first = client.get("/search", params={"limit": 2, "fields": "id"}).json()
    assert [item["id"] for item in first["features"]] == ["musan-2020", "musan-2021"]
    base = json.loads((folder / "musan-2020.json").read_text())
    for name in ("aaa-2020", "sishen-2019"):  # one before the token, one behind it
        changed = {**base, "id": name, "properties": {**base["properties"], "pitpulse:mine_id": name[:-5]}}
        (folder / f"{name}.json").write_text(json.dumps(changed))
    (folder / "musan-2021.json").unlink()  # the one the token names
    annotate(own, {("sishen", 2021): {"pitpulse:production": 5.0}})
    assert update_index(own).number == 2
    link = next(link["href"] for link in first["links"] if link["rel"] == "next")
    rest = [item["id"] for item in following(client, client.get(link))]
    assert rest == ["musan-2022", "sishen-2019", "sishen-2020", "sishen-2021", "sishen-2022"]


def test_next_keeps_everything_that_was_asked(many):
    given = {"limit": "3", "filter": '"pitpulse:year" = 2018', "fields": "id,-links", "sortby": "-id"}
    page = many.get("/search", params=given).json()
    href = next(link["href"] for link in page["links"] if link["rel"] == "next")
    assert dict(httpx2.URL(href).params).items() >= given.items()
    body = {"limit": 3, "filter-lang": "cql2-text", "filter": '"pitpulse:year" = 2018', "ids": None}
    link = next(link for link in many.post("/search", json=body).json()["links"] if link["rel"] == "next")
    assert link["method"] == "POST" and link["body"].items() >= body.items() and link["body"]["token"]


def test_a_page_is_never_longer_than_the_limit_allows(published):
    client = TestClient(create_app(published, ApiSettings(default_limit=2, max_limit=4)))
    assert client.get("/search").json()["numberReturned"] == 2
    page = client.get("/search", params={"limit": 10**12}).json()
    assert page["numberReturned"] == 4 and page["numberMatched"] == 6
    assert client.post("/search", json={"limit": 10**12}).json()["numberReturned"] == 4


def test_fields_choose_what_comes(many):
    def first(**given):
        return many.get("/search", params={"limit": 1, **given}).json()["features"][0]

    whole = first()
    assert first(fields="properties.pitpulse:year,-properties.title")["properties"] == {"pitpulse:year": 2016}
    assert first(fields="-assets,-properties.renders").keys() == whole.keys() - {"assets"}
    assert "renders" in first()["properties"]  # what is left out of one page is in the next
    assert first(fields="").keys() >= {"id", "geometry", "bbox", "links", "assets", "properties"}
    assert first(fields="")["properties"] == {"datetime": whole["properties"]["datetime"]}
    body = {"limit": 1, "fields": {"include": ["properties"], "exclude": ["properties.renders", "links"]}}
    found = many.post("/search", json=body).json()["features"][0]
    assert found["properties"] == {k: v for k, v in whole["properties"].items() if k != "renders"}
    assert "links" not in found


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (None, [], {"id": "a", "links": [1], "properties": {"x": 1, "y": {"z": 2}}}),
        (None, ["id", "links", "nothing.at.all"], {"id": "a", "properties": {"x": 1, "y": {"z": 2}}}),
        (["x"], ["properties"], {"id": "a", "properties": {"x": 1}}),
        (["properties.y.z", "q"], [], {"id": "a", "properties": {"y": {"z": 2}}}),
        (["properties"], ["y.z"], {"id": "a", "properties": {"x": 1, "y": {}}}),
        (["links"], ["links"], {"id": "a", "links": [1]}),
    ],
)
def test_the_more_exact_name_wins(include, exclude, expected):
    item = {"id": "a", "links": [1], "properties": {"x": 1, "y": {"z": 2}}}
    before = json.dumps(item)
    found = choose(item, include, exclude)
    assert {k: v for k, v in found.items() if v != {}} == {k: v for k, v in expected.items() if v != {}}
    assert json.dumps(item) == before


# Bad input

BAD_GET = [
    ("limit=0", "limit: Input should be greater than or equal to 1"),
    ("limit=-5", "greater than or equal to 1"),
    ("limit=ten", "limit: Input should be a valid integer"),
    ("token=-1", "page token must be one that a page gave"),
    ("token=%00%ff", "page token"),
    ("token=eyJieSI6W10sImFmdGVyIjpbMV19", "page token"),
    ("sortby=-pitpulse:year&token=eyJieSI6W10sImFmdGVyIjpbIm11c2FuLTIwMjAiXX0", "ask for it with the same sort"),
    ("datetime=2022-01-01", "datetime must be an instant such as"),
    ("datetime=../..", "datetime must be"),
    ("datetime=2022-02-30T00:00:00Z", "datetime must be"),
    ("datetime=0001-01-01T00:00:00%2B23:59", "datetime must be"),
    ("datetime=2022-01-01T00:00:00Z/2021-01-01T00:00:00Z", "start before it ends"),
    ("bbox=1,2,3", "4 or 6 numbers"),
    ("bbox=1,2,3,nan", "4 or 6 numbers"),
    ("bbox=0,50,1,-50", "south <= north"),
    ("bbox=0,0,1,1&intersects=%7B%7D", "bbox or intersects, not both"),
    ("intersects=%7B%22type%22:%22Point%22%7D", "is no GeoJSON geometry"),
    ("intersects=[1]", "intersects must be a GeoJSON geometry"),
    ("ids=a,,b", "ids must be names with commas between"),
    ("filter=pitpulse:year%20%3D", "no CQL2 at line 1, column"),
    ("filter=%22pitpulse:years%22%3D2020", "unknown property 'pitpulse:years'; did you mean"),
    ("filter=%22pitpulse:year%22%3D'x'", "can't compare"),
    ("filter=%22pitpulse:year%22%3D2020&filter-lang=cql2-json", "the filter must be cql2-json"),
    ("filter=%7B%22op%22:%22=%22%7D&filter-lang=cql2-json", '"args"'),
    ("filter=%22pitpulse:year%22%3D2020&filter-lang=cql", "filter-lang: Input should be"),
    ("filter=%22pitpulse:year%22%3D2020&filter-crs=EPSG:3857", "filter-crs must be"),
    ("filter=" + "(" * 400, "nests too many"),
    ("filter=" + "x" * 10_001, "at most 10000 characters"),
    (
        "filter-lang=cql2-json&filter=%7B%22op%22:%22=%22,%22args%22:[%7B%22property%22:%22id%22%7D,%22%5Cud800%22]%7D",
        "can't",
    ),
    ("sortby=nothing", "unknown property 'nothing'"),
    ("sortby=" + ",".join(["id"] * 11), "at most 10 properties"),
    ("colections=x", "unknown parameter 'colections'"),
]


@pytest.mark.parametrize(("query", "said"), BAD_GET)
def test_a_bad_question_by_get_is_400_and_says_why(api, query, said):
    assert said in problem(api.get(f"/search?{query}"), 400)


deep: dict = {"op": "not", "args": [True]}
for _ in range(60):
    deep = {"op": "not", "args": [deep]}

BAD_POST = [
    (b"{", "the body is no JSON: Expecting property name"),
    (b"[]", "valid dictionary"),
    (b"\xff\xfe", "body"),
    (b"[" * 50_000, "body"),
    ({"limit": "10"}, "limit: Input should be a valid integer"),
    ({"limit": True}, "limit"),
    ({"bbox": "1,2,3,4"}, "bbox: Input should be a valid list"),
    ({"bbox": ["1", 2, 3, 4]}, "bbox.0"),
    (b'{"bbox": [NaN, 0, 1, 1]}', "bbox.0"),
    ({"fields": None}, "fields"),
    ({"fields": {"includes": []}}, "unknown parameter 'fields.includes'"),
    ({"sortby": [{"field": "id", "direction": "down"}]}, "direction"),
    ({"sortby": "id"}, "sortby: Input should be a valid list"),
    ({"query": {}}, "unknown parameter 'query'"),
    ({"filter": deep}, "nest at most 50 deep"),
    ({"filter": {"op": "=", "args": [{"property": "pitpulse:year"}, 10**400]}}, "can't be evaluated"),
    ({"filter": {"op": "boom", "args": []}}, "unknown operator or function 'boom'"),
    ({"filter": {}}, "must be an operator"),
    ({"filter": {"op": "=", "args": [1, 1]}, "filter-lang": "cql2-text"}, "is cql2-json"),
    ({"intersects": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]]}}, "must be valid"),
    ({"intersects": {"type": "Circle"}}, "is no GeoJSON geometry"),
    ({"token": 5}, "token"),
    (b'{"limit": ' + b"[" * 900 + b"]" * 900 + b"}", "nest at most 150 levels"),
    (b'{"intersects": ' + b'{"geometries": [' * 90 + b"]}" * 90 + b"}", "nest at most 150 levels"),
    (b'{"ids": ["\\ud800"]}', "surrogates not allowed"),
    (b'{"filter": {"op": "=", "args": [{"property": "id"}, "\\ud800"]}}', "surrogates not allowed"),
    (b'{"limit": ' + b"9" * 5000 + b"}", "body"),
]


@pytest.mark.parametrize(("body", "said"), BAD_POST)
def test_a_bad_question_by_post_is_400_and_says_why(api, body, said):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = api.post("/search", content=content, headers={"Content-Type": "application/json"})
    assert said in problem(answer, 400)


def test_what_is_too_long_is_refused_before_it_is_read(api):
    assert "at most 262144 bytes" in problem(api.post("/search", content=b" " * 300_000), 413)

    def pieces():
        yield b'{"ids": ["'
        for _ in range(300):
            yield b"x" * 1024
        yield b'"]}'

    assert "at most 262144 bytes" in problem(
        api.post("/search", content=pieces(), headers={"Content-Type": "application/json"}), 413
    )
    assert "POST /search" in problem(api.get("/search", params={"ids": "x" * 20_000}), 414)


@pytest.mark.parametrize("host", ["evil.org/<script>", "a b", "x:123456", ""])
def test_a_host_that_is_none_makes_no_link(api, host):
    assert "no usable host" in problem(api.get("/", headers={"Host": host}), 400)


def test_made_up_items_are_the_same_each_time(published):
    base = json.loads((published / "catalog/mine-activity/musan-2020.json").read_text())
    assert list(made_up(base, 20)) == list(made_up(base, 20))
    assert len({item["id"] for item in made_up(base, 20)}) == 20
