"""Search of the index against a plain Python reading of the same items; CQL2; pages that lose nothing."""

import itertools
import json
import random
from concurrent.futures import ThreadPoolExecutor

import pystac
import pytest
import shapely

from catalog import count, growth, search, search_table
from catalog.cql import CONFORMANCE
from catalog.cql_read import read_filter
from catalog.criteria import Query
from catalog.index import update_index
from catalog.query import page, queryables
from catalog.snapshot import open_index
from pipeline.errors import BadInput, Unavailable

from .catalog_example import PLACES, document, put

YEARS = range(2019, 2024)
BOX_SOUTH_AFRICA = (16, -35, 33, -22)
ACROSS = (179.9, -20, -179.9, -10)


def facts(mine, year):
    """Numbers that differ, some of them missing."""
    k = list(PLACES).index(mine) * 10 + year - 2019
    area = None if k % 7 == 3 else 1e6 + 1e4 * ((k * 37) % 50)
    return {
        "active_area": area,
        "active_area_interval": [None, None] if area is None else [area - 9e3, area + 2e4],
        "production": None if k % 3 else 1e6 * (k % 5),
        "production_flags": ["few_pairs", "snow"][: k % 3],
        "ndai_mean": round(0.01 * k, 4),
    }


DOCUMENTS = {}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched")
    for mine, year in itertools.product(PLACES, YEARS):
        item = document(mine, year, **facts(mine, year))
        item["properties"]["pitpulse:mine_name"] = {"kiruna": "Kiirunavaará"}.get(mine, mine.title())
        item["properties"] |= {
            "datetime": f"{year}-07-01T00:00:00Z",
            "start_datetime": f"{year}-01-01T00:00:00Z",
            "end_datetime": f"{year}-12-31T23:59:59Z",
        }
        DOCUMENTS[item["id"]] = item
    put(folder, *DOCUMENTS.values())
    update_index(folder)
    return folder


@pytest.fixture(scope="module")
def index(root):
    return open_index(root)


def ids(items) -> list[str]:
    return [item.id for item in items]


def those(test) -> list[str]:
    """Ids of the documents whose properties pass, sorted."""
    return sorted(name for name, item in DOCUMENTS.items() if test(item["properties"]))


# --- criteria ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criteria", "test"),
    [
        ({}, lambda p: True),
        ({"mine": "musan"}, lambda p: p["pitpulse:mine_id"] == "musan"),
        ({"mine": ["musan", "sishen"], "years": 2022}, lambda p: p["title"].lower() in ("musan 2022", "sishen 2022")),
        ({"years": range(2020, 2022)}, lambda p: p["pitpulse:year"] in (2020, 2021)),
        ({"country": "ZAF"}, lambda p: p["pitpulse:country"] == "ZAF"),
        ({"country": ["South Africa", "fiji"]}, lambda p: p["pitpulse:country"] in ("ZAF", "FJI")),
        ({"commodity": "Iron"}, lambda p: p["pitpulse:commodity"] == "iron ore"),
        ({"commodity": ["gold", "alumina"]}, lambda p: p["pitpulse:commodity"] in ("gold ore", "bauxite")),
        ({"ids": ["musan-2021", "nothing-2021"]}, lambda p: p["title"] == "Musan 2021"),
        ({"datetime": "2021-03-01"}, lambda p: p["pitpulse:year"] == 2021),
        ({"datetime": "../2020-05-01T00:00:00Z"}, lambda p: p["pitpulse:year"] <= 2020),
        ({"datetime": "2022-12-31/.."}, lambda p: p["pitpulse:year"] >= 2022),
        ({"datetime": ("2020-12-31", "2021-01-01")}, lambda p: p["pitpulse:year"] in (2020, 2021)),
        ({"bbox": BOX_SOUTH_AFRICA}, lambda p: p["pitpulse:mine_id"] == "sishen"),
        ({"bbox": (16, -35, 0, 33, -22, 9000)}, lambda p: p["pitpulse:mine_id"] == "sishen"),
        ({"bbox": ACROSS}, lambda p: p["pitpulse:mine_id"] == "taveuni"),
        ({"bbox": (-180, -17, -179.98, -16)}, lambda p: p["pitpulse:mine_id"] == "taveuni"),
        ({"bbox": (170, -20, -170, 80), "years": 2020}, lambda p: p["title"] in ("Vatukoula 2020", "Taveuni 2020")),
        ({"bbox": (-180, -90, 180, 90)}, lambda p: True),
        ({"bbox": (0, 0, 1, 1)}, lambda p: False),
    ],
)
def test_criteria_find_what_a_plain_reading_finds(root, criteria, test):
    expected = those(test)
    assert ids(search(root, **criteria)) == expected
    assert count(root, **criteria) == len(expected)
    assert search_table(root, **criteria)["id"].to_pylist() == expected


def test_a_box_meets_the_footprint_and_not_only_its_bounding_box(tmp_path):
    item = document("musan")
    lon, lat = PLACES["musan"]
    corners = [(lon, lat - 0.01), (lon + 0.01, lat), (lon, lat + 0.01), (lon - 0.01, lat)]  # a diamond
    item["geometry"] = shapely.geometry.mapping(shapely.Polygon(corners))
    put(tmp_path, item)
    update_index(tmp_path)
    corner = (lon + 0.008, lat + 0.008, lon + 0.02, lat + 0.02)
    assert count(tmp_path, bbox=corner) == 0
    assert count(tmp_path, bbox=(lon + 0.004, lat + 0.004, lon + 0.02, lat + 0.02)) == 1
    assert count(tmp_path, filter=f"s_intersects(geometry, BBOX({','.join(map(str, corner))}))") == 0


def test_items_are_whole_and_their_hrefs_absolute(root):
    (item,) = search(root, ids="taveuni-2021")
    assert isinstance(item, pystac.Item) and item.bbox[0] > item.bbox[2]
    assert item.properties == DOCUMENTS["taveuni-2021"]["properties"]
    assert item.get_self_href() == f"{root}/catalog/mine-activity/taveuni-2021.json"
    assert item.assets["ndai"].href == f"{root}/products/taveuni/2021/v0.1.0-abababab.ndai.tif"
    expected = DOCUMENTS["taveuni-2021"]["assets"]
    assert {key: asset.to_dict() | {"href": ""} for key, asset in item.assets.items()} == {
        key: asset | {"href": ""} for key, asset in expected.items()
    }


def test_changing_an_item_changes_no_other(root):
    one, other = search(root, mine="musan", limit=2)
    one.properties["renders"]["ndai"]["colormap"]["0"] = "changed"
    assert other.properties["renders"]["ndai"]["colormap"]["0"] != "changed"


def test_fields_keep_some_properties(root):
    (item,) = search(root, ids="musan-2021", fields=["active_area", "sat:relative_orbit", "renders"][:2])
    assert set(item.properties) == {
        "pitpulse:active_area",
        "sat:relative_orbit",
        "datetime",
        "start_datetime",
        "end_datetime",
    }
    assert "ndai" in item.assets


def test_a_table_has_short_names_and_intervals_in_two_columns(root):
    table = search_table(
        root, ids=["kiruna-2022", "musan-2021"], fields=["id", "year", "active_area_interval", "production"]
    )
    known = DOCUMENTS["musan-2021"]["properties"]["pitpulse:active_area_interval"]
    rows = table.to_pylist()
    assert table.column_names == ["id", "year", "active_area_low", "active_area_high", "production"]
    assert [rows[1]["active_area_low"], rows[1]["active_area_high"]] == known
    assert rows[0]["id"] == "kiruna-2022" and rows[0]["production"] is None
    assert len(search_table(root, mine="nobody")) == 0


def test_the_folder_may_come_from_the_environment(root, monkeypatch):
    monkeypatch.setenv("PITPULSE_ROOT", str(root))
    assert count(mine="musan") == len(YEARS)
    monkeypatch.delenv("PITPULSE_ROOT")
    with pytest.raises(BadInput, match=r"no published folder is named; give root=\.\.\. or set PITPULSE_ROOT"):
        count(mine="musan")


def test_which_iron_mines_in_south_africa_grew(tmp_path):
    def area(year, value, low, high, mine="sishen"):
        return document(mine, year, active_area=value, active_area_interval=[low, high])

    put(tmp_path, area(2021, 1.0e6, 0.9e6, 1.1e6), area(2022, 1.5e6, 1.4e6, 1.6e6), area(2021, 1e6, 1e6, 1e6, "musan"))
    unsure = [area(2021, 1.0e6, 0.9e6, 1.1e6, "kiruna"), area(2022, 1.1e6, 1.0e6, 1.2e6, "kiruna")]
    unknown = [area(2021, 1.0e6, 0.9e6, 1.1e6, "taveuni"), area(2022, None, None, None, "taveuni")]
    put(tmp_path, *unsure, *unknown)
    update_index(tmp_path)
    grew = growth(2022, tmp_path, country="South Africa", commodity="iron").to_pylist()
    assert [row["mine_id"] for row in grew] == ["sishen"]
    (row,) = grew
    assert (row["area_before"], row["area"], row["growth"], row["grew"]) == (1.0e6, 1.5e6, 0.5e6, True)
    assert row["growth_low"] == pytest.approx(0.5e6 - 2**0.5 * 1e5, abs=1)  # m2; half-widths in quadrature
    assert row["growth_high"] == pytest.approx(0.5e6 + 2**0.5 * 1e5, abs=1)
    everywhere = {row["mine_id"]: row["grew"] for row in growth(2022, tmp_path).to_pylist()}
    assert everywhere == {"sishen": True, "kiruna": False, "taveuni": None}  # musan has one year only
    assert growth(2022, tmp_path, since=2020).num_rows == 0
    with pytest.raises(BadInput, match="since must be a year before 2022, instead got 2022"):
        growth(2022, tmp_path, since=2022)


# --- CQL2 ----------------------------------------------------------------------------------------------------------


def known(p, name):
    return p.get(f"pitpulse:{name}") is not None


SPACE = "POLYGON((129 42, 130 42, 130 43, 129 43, 129 42))"
FILTERS = {
    '"pitpulse:year" = 2022 AND "pitpulse:country" = \'ZAF\'': lambda p: p["title"] == "Sishen 2022",
    "pitpulse:year >= 2022": lambda p: p["pitpulse:year"] >= 2022,
    "year <> 2022": lambda p: p["pitpulse:year"] != 2022,
    "active_area < 1200000": lambda p: known(p, "active_area") and p["pitpulse:active_area"] < 1.2e6,
    "NOT active_area < 1200000": lambda p: known(p, "active_area") and p["pitpulse:active_area"] >= 1.2e6,
    "active_area < 1200000 OR year = 2020": lambda p: (
        p["pitpulse:year"] == 2020 or (known(p, "active_area") and p["pitpulse:active_area"] < 1.2e6)
    ),
    "active_area IS NULL": lambda p: not known(p, "active_area"),
    "production IS NOT NULL AND production > 1": lambda p: known(p, "production") and p["pitpulse:production"] > 1,
    "year BETWEEN 2020 AND 2021": lambda p: p["pitpulse:year"] in (2020, 2021),
    "year NOT BETWEEN 2020 AND 2021": lambda p: p["pitpulse:year"] not in (2020, 2021),
    "mine_id IN ('musan', 'kiruna')": lambda p: p["pitpulse:mine_id"] in ("musan", "kiruna"),
    "mine_id NOT IN ('musan', 'kiruna')": lambda p: p["pitpulse:mine_id"] not in ("musan", "kiruna"),
    "commodity LIKE '%ore'": lambda p: p["pitpulse:commodity"].endswith("ore"),
    "commodity LIKE 'iron_ore'": lambda p: p["pitpulse:commodity"] == "iron ore",
    "commodity LIKE 'Iron%'": lambda p: False,
    "CASEI(commodity) LIKE CASEI('IRON%')": lambda p: p["pitpulse:commodity"] == "iron ore",
    "CASEI(country) = CASEI('zaf')": lambda p: p["pitpulse:country"] == "ZAF",
    "ACCENTI(mine_name) = ACCENTI('Kiirunavaara')": lambda p: p["pitpulse:mine_id"] == "kiruna",
    "pairs_accepted > pairs_rejected": lambda p: True,
    "active_area / 1000000 + 0.01 > 1.3": lambda p: known(p, "active_area") and p["pitpulse:active_area"] > 1.29e6,
    "year % 2 = 0": lambda p: p["pitpulse:year"] % 2 == 0,
    "-year < -2022": lambda p: p["pitpulse:year"] > 2022,
    "(year - 2000) ^ 2 = 441": lambda p: p["pitpulse:year"] == 2021,
    "year div 2 = 1010": lambda p: p["pitpulse:year"] in (2020, 2021),
    "datetime > TIMESTAMP('2021-07-01T00:00:00Z')": lambda p: p["pitpulse:year"] > 2021,
    "datetime <= '2021-07-01'": lambda p: p["pitpulse:year"] <= 2021,
    "T_AFTER(datetime, DATE('2022-01-01'))": lambda p: p["pitpulse:year"] >= 2022,
    "T_BEFORE(datetime, DATE('2020-01-01'))": lambda p: p["pitpulse:year"] < 2020,
    "T_INTERSECTS(INTERVAL(start_datetime, end_datetime), INTERVAL('2021-06-01', '2022-02-01'))": lambda p: (
        p["pitpulse:year"] in (2021, 2022)
    ),
    "T_DURING(INTERVAL(start_datetime, end_datetime), INTERVAL('2020-12-31', '..'))": lambda p: (
        p["pitpulse:year"] > 2020
    ),
    "T_DISJOINT(datetime, INTERVAL('..', '2022-01-01'))": lambda p: p["pitpulse:year"] >= 2022,
    "T_CONTAINS(INTERVAL(start_datetime, end_datetime), DATE('2021-03-01'))": lambda p: p["pitpulse:year"] == 2021,
    "T_EQUALS(datetime, TIMESTAMP('2021-07-01T00:00:00Z'))": lambda p: p["pitpulse:year"] == 2021,
    "T_STARTS(INTERVAL(start_datetime, end_datetime), INTERVAL('2021-01-01', '..'))": lambda p: (
        p["pitpulse:year"] == 2021
    ),
    "A_CONTAINS(production_flags, ('few_pairs', 'snow'))": lambda p: len(p["pitpulse:production_flags"]) == 2,
    "A_OVERLAPS(production_flags, ('snow'))": lambda p: "snow" in p["pitpulse:production_flags"],
    "A_CONTAINEDBY(production_flags, ('few_pairs'))": lambda p: "snow" not in p["pitpulse:production_flags"],
    "A_EQUALS(\"sar:polarizations\", ('VV'))": lambda p: True,
    f"S_INTERSECTS(geometry, {SPACE})": lambda p: p["pitpulse:mine_id"] == "musan",
    f"S_WITHIN(geometry, {SPACE})": lambda p: p["pitpulse:mine_id"] == "musan",
    f"S_DISJOINT(geometry, {SPACE})": lambda p: p["pitpulse:mine_id"] != "musan",
    "S_CONTAINS(geometry, POINT(22.99 -27.74))": lambda p: p["pitpulse:mine_id"] == "sishen",
    "S_WITHIN(POINT(22.99 -27.74), geometry)": lambda p: p["pitpulse:mine_id"] == "sishen",
    "S_CROSSES(geometry, LINESTRING(22 -27.74, 24 -27.74))": lambda p: p["pitpulse:mine_id"] == "sishen",
    "S_OVERLAPS(geometry, BBOX(22.99, -27.74, 24, -27))": lambda p: p["pitpulse:mine_id"] == "sishen",
    "S_TOUCHES(geometry, POINT(23 -27.75))": lambda p: p["pitpulse:mine_id"] == "sishen",
    "S_EQUALS(geometry, POLYGON((0 0, 1 0, 1 1, 0 0)))": lambda p: False,
    "S_INTERSECTS(geometry, BBOX(179.9, -20, -179.9, -10))": lambda p: p["pitpulse:mine_id"] == "taveuni",
    "S_INTERSECTS(geometry, BBOX(-180, -90, 180, 90)) AND NOT (year = 2019 OR year > 2020)": lambda p: (
        p["pitpulse:year"] == 2020
    ),
    "id = 'musan-2021' OR collection = 'other'": lambda p: p["title"] == "Musan 2021",
    "mine_name = 'it''s'": lambda p: False,
    "true": lambda p: True,
    "false": lambda p: False,
    "1 = 2": lambda p: False,
    "year = NULL": lambda p: False,
}


@pytest.mark.parametrize("text", FILTERS)
def test_text_and_json_filters_find_what_a_plain_reading_finds(root, text):
    expected = those(FILTERS[text])
    assert search_table(root, filter=text)["id"].to_pylist() == expected
    tree = read_filter(text)
    if isinstance(tree, dict):
        assert search_table(root, filter=tree)["id"].to_pylist() == expected
        assert search_table(root, filter=json.dumps(tree))["id"].to_pylist() == expected


def test_a_filter_adds_to_the_other_criteria(root):
    found = search_table(root, mine="musan", filter="year > 2021", bbox=(129, 42, 130, 43), country="PRK")
    assert found["id"].to_pylist() == ["musan-2022", "musan-2023"]


def test_every_property_can_be_asked_for(root, index):
    schema = queryables(index)
    assert schema["additionalProperties"] is False and schema["type"] == "object"
    for name in schema["properties"]:
        assert count(index, filter={"op": "isNull", "args": [{"property": name}]}) <= len(DOCUMENTS)
    assert schema["properties"]["pitpulse:year"] == {
        "title": "year",
        "type": "integer",
        "minimum": 2019,
        "maximum": 2023,
    }
    assert schema["properties"]["pitpulse:country"]["enum"] == ["FJI", "PRK", "SWE", "ZAF"]
    assert schema["properties"]["pitpulse:active_area_interval"]["items"] == {"type": "number"}
    assert schema["properties"]["datetime"]["format"] == "date-time"
    contract = ("mine_id mine_name commodity country year active_area active_area_interval ndai_mean pairs_accepted "
                "pairs_rejected production production_interval production_confidence emissions_co2 "
                "emissions_co2_interval emissions_co2_confidence fingerprint")  # fmt: skip
    assert {f"pitpulse:{name}" for name in contract.split()} <= schema["properties"].keys()
    assert {"sar:looks_equivalent_number", "processing:lineage"} <= schema["properties"].keys()
    assert not {"pitpulse:shared", "pitpulse:packed", "assets", "links"} & schema["properties"].keys()


def test_conformance_names_each_class_once():
    assert len(set(CONFORMANCE)) == len(CONFORMANCE) and all(
        name.startswith("http://www.opengis.net/") for name in CONFORMANCE
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yaer = 2022", r"unknown property 'yaer'; did you mean pitpulse:year\? known are collection, .*pitpulse:year"),
        ("nothing = 1", "unknown property 'nothing'; known are collection,"),
        ("year >", "no CQL2 at line 1, column 7: expected .*, instead it ends there"),
        ("year = 2022\n  AND )", r"no CQL2 at line 2, column 7: expected .*, instead got '\)'"),
        ("year = 1; drop table x", "no CQL2 at line 1, column 9"),
        ("", "no CQL2 at line 1, column 1"),
        ("country > 5", "can't compare text with numbers in"),
        ("datetime > 5", "can't compare a time with numbers"),
        ("datetime > 'soon'", "a time must be written as 2022-07-01 or .*, instead got 'soon'"),
        ("year", "a filter must be true or false, instead got .*, which is numbers"),
        ("NOT year", "not takes true or false, instead got"),
        ("year LIKE 'a%'", "like takes text, instead got .*, which is numbers"),
        ("country LIKE commodity", "like takes a text and a pattern such as 'iron%'"),
        ("area(year) = 1", "unknown operator or function 'area'; known are %"),
        ("S_INTERSECTS(geometry, POINT(1 2), POINT(1 2))", "s_intersects takes 2 arguments, instead got 3"),
        ("S_INTERSECTS(year, POINT(1 2))", "s_intersects takes the property geometry and one geometry"),
        ("S_INTERSECTS(geometry, BBOX(1, 2))", "a bbox must be 4 or 6 numbers"),
        ("S_INTERSECTS(geometry, POLYGON((0 0, 1 1, 0 1, 1 0, 0 0)))", "a geometry must be valid: Self-intersection"),
        ("A_CONTAINS(year, (1, 2))", "a_contains takes two lists"),
        ("T_AFTER(year, DATE('2022-01-01'))", "expected a time or an interval"),
        ("active_area_interval = 3", "can't compare a list with numbers"),
        ("geometry = 3", "can't compare a geometry with numbers"),
        ({"op": "=", "args": [{"property": "year"}]}, "= takes 2 arguments, instead got 1"),
        ({"op": "and", "args": [True]}, "and takes at least 2 arguments, instead got 1"),
        ({"op": "=", "args": "year"}, r'filter must be \{"op": name, "args": \[...\]\}'),
        ({"op": "not", "args": [{"foo": 1}]}, r"filter.args\[0\] must be an operator, a property, .*instead got"),
        ({"op": "=", "args": [{"property": 3}, 1]}, r"filter.args\[0\].property must be a name, instead got 3"),
        ({"op": "in", "args": [{"property": "year"}, []]}, "in takes a value and a list of values"),
        (
            {"op": "t_after", "args": [{"interval": ["2022-01-01"]}, {"date": "2022-01-01"}]},
            "interval must have two ends",
        ),
        (
            {"op": "s_within", "args": [{"property": "geometry"}, {"type": "Point", "coordinates": []}]},
            "a geometry must have",
        ),
        (
            {"op": "s_within", "args": [{"property": "geometry"}, {"type": "Polygon", "coordinates": 3}]},
            "is no GeoJSON",
        ),
        (
            {"op": "a_equals", "args": [{"property": "proj:shape"}, [[1]]]},
            "takes two lists of plain values",
        ),
        ('{"op": "=", ', "the filter is no JSON"),
        ("a" * 20_000, "a filter must have at most 10000 characters, instead got 20000"),
        ("(" * 4000 + "year = 1" + ")" * 4000, "the filter nests too many brackets"),
        ("NOT " * 2000 + "year = 1", "the filter nests too many"),
        ("year = " + "-" * 5000 + "1", "the filter nests too many"),
        ("year = " + "1+" * 4000 + "1", "the filter nests too many"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_filter_that_cannot_be_understood_says_why(root, text, message):
    with pytest.raises(BadInput, match=message):
        count(root, filter=text)


def test_json_that_nests_too_deep_is_refused(root):
    tree = {"op": "=", "args": [{"property": "year"}, 1]}
    for _ in range(2000):
        tree = {"op": "not", "args": [tree]}
    with pytest.raises(BadInput, match="a filter must nest at most 50 deep"):
        count(root, filter=tree)
    wide = {"op": "in", "args": [{"property": "year"}, list(range(6000))]}
    with pytest.raises(BadInput, match="at most 5000 parts"):
        count(root, filter=wide)
    with pytest.raises(BadInput, match="the filter is no JSON"):
        count(root, filter='{"op": ' * 100_000)


def test_a_long_outline_is_no_deep_filter(root):
    ring = [(22.99 - 0.5 * (k % 2) - 1, -27.74 + 0.001 * k) for k in range(120)]
    text = ", ".join(f"{lon:.3f} {lat:.3f}" for lon, lat in [(24, -30), *ring, (24, -20), (24, -30)])
    assert count(root, filter=f"S_INTERSECTS(geometry, POLYGON(({text})))") == len(YEARS)


# --- order and pages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", [None, "year", "-year", "-active_area", "production,-year", "-id", "-datetime"])
@pytest.mark.parametrize("limit", [1, 7, 24, 25, 26])
def test_pages_lose_and_repeat_nothing(index, sort, limit):
    found, token, pages = [], None, 0
    while True:
        part = page(index, Query(), sort=sort, limit=limit, token=token)
        found += [item["id"] for item in part.items]
        token, pages = part.next, pages + 1
        assert part.matched == 25
        if token is None:
            break
    assert pages == -(-25 // limit)
    assert found == expected_order(sort)
    assert ids(search(index, sort=sort)) == found


def expected_order(sort) -> list[str]:
    """Ids in order, by stable sorts from the last key to the first; null last."""
    names = sorted(DOCUMENTS)
    for key in reversed((sort or "id").split(",")):
        bare = key.lstrip("-")

        def value(name, bare=bare):
            item = DOCUMENTS[name]
            return (
                item["id"] if bare == "id" else item["properties"].get(bare, item["properties"].get(f"pitpulse:{bare}"))
            )

        have = [name for name in names if value(name) is not None]
        missing = [name for name in names if value(name) is None]
        names = (sorted(have, key=value) if key == bare else stable_reverse(have, value)) + missing
    return names


def stable_reverse(names, value):
    groups = {}
    for name in names:
        groups.setdefault(value(name), []).append(name)
    return [name for key in sorted(groups, reverse=True) for name in groups[key]]


def test_sort_takes_what_stac_sends(index):
    stac = [{"field": "properties.pitpulse:active_area", "direction": "desc"}, {"field": "id", "direction": "asc"}]
    assert ids(search(index, sort=stac, limit=5)) == ids(search(index, sort=["-active_area", "+id"], limit=5))


def test_pages_hold_where_items_come_between_them(tmp_path):
    put(tmp_path, *(document("musan", 2000 + 2 * k) for k in range(5)))
    update_index(tmp_path)
    first = page(open_index(tmp_path), Query(), sort="-year", limit=2)
    put(tmp_path, document("musan", 2007), document("musan", 2001))  # the one before the token, the other after
    update_index(tmp_path)
    index, found = open_index(tmp_path), [item["id"] for item in first.items]
    token = first.next
    while token:
        part = page(index, Query(), sort="-year", limit=2, token=token)
        found, token = found + [item["id"] for item in part.items], part.next
    assert [int(name[-4:]) for name in found] == [2008, 2006, 2004, 2002, 2001, 2000]


def test_an_open_index_serves_several_threads(index):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: ids(search(index, years=2019 + k % 5, sort="-id")), range(40)))
    assert found == [[f"{mine}-{2019 + k % 5}" for mine in sorted(PLACES, reverse=True)] for k in range(40)]


def test_random_questions_agree_between_items_table_and_count(index):
    rng = random.Random(4)
    for _ in range(25):
        parts = rng.sample(list(FILTERS), 2)
        text = f"({parts[0]}) {rng.choice(['AND', 'OR'])} ({parts[1]})"
        table = search_table(index, filter=text, sort="-year")["id"].to_pylist()
        assert ids(search(index, filter=text, sort="-year")) == table
        assert count(index, filter=text) == len(table)


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({"bbox": (1, 2, 3)}, "a bbox must be 4 or 6 numbers"),
        ({"bbox": (0, 10, 1, 5)}, "south <= north"),
        ({"bbox": (0, 0, 400, 5)}, "in degrees"),
        ({"bbox": (0, 0, float("nan"), 5)}, "a bbox must be 4 or 6 numbers"),
        ({"bbox": "everywhere"}, "a bbox must be 4 or 6 numbers"),
        ({"years": "2022"}, "years must be a year or several"),
        ({"years": [2022.5]}, "years must be a year or several"),
        ({"datetime": "yesterday"}, "datetime must be written as"),
        ({"datetime": "../.."}, "datetime must have a start or an end"),
        ({"datetime": "2022-01-01/2021-01-01"}, "datetime must start before it ends"),
        ({"datetime": "2022-01-01/2022-02-01/2022-03-01"}, "datetime must be an instant or start/end"),
        ({"mine": 3}, "mine must be a text or several, instead got 3"),
        ({"ids": [3]}, "ids must be a text or several"),
        ({"country": "Atlantis"}, "country must be an ISO3 code"),
        ({"commodity": "cheese"}, "commodity must be one of"),
        ({"sort": "-assets"}, "unknown property 'assets'"),
        ({"sort": "geometry"}, "can't sort by 'geometry'"),
        ({"sort": "production_flags"}, "can't sort by 'production_flags'"),
        ({"sort": ""}, "sort must name properties"),
        ({"limit": 0}, "limit must be a whole number of at least 1, instead got 0"),
        ({"limit": -3}, "limit must be a whole number"),
        ({"limit": True}, "limit must be a whole number"),
        ({"fields": "year"}, "fields must be a list of property names"),
        ({"fields": ["yaer"]}, r"unknown property 'yaer'; did you mean pitpulse:year\?"),
    ],
    ids=str,
)
def test_criteria_that_cannot_be_understood_say_why(root, criteria, message):
    with pytest.raises(BadInput, match=message):
        search(root, **criteria)


@pytest.mark.parametrize("token", ["nonsense", "", "e30", "W10", "eyJieSI6W10sImFmdGVyIjpbM119"])
def test_a_strange_page_token_is_refused(index, token):
    with pytest.raises(BadInput, match="a page token must be one that a page gave"):
        page(index, Query(), limit=2, token=token)


def test_a_token_of_another_order_is_refused(index):
    token = page(index, Query(), sort="-year", limit=2).next
    with pytest.raises(BadInput, match=r"the page token belongs to the order \['pitpulse:year descending'\]"):
        page(index, Query(), sort="year", limit=2, token=token)


def test_bbox_and_intersects_exclude_each_other():
    with pytest.raises(BadInput, match="bbox or intersects, not both"):
        Query(bbox=(0, 0, 1, 1), intersects={"type": "Point", "coordinates": [0, 0]})


def test_a_geometry_may_be_asked_for(index):
    point = {"type": "Point", "coordinates": [20.2, 67.85]}
    assert [
        item["pitpulse:mine_id"] for item in (i["properties"] for i in page(index, Query(intersects=point)).items)
    ] == (["kiruna"] * len(YEARS))


def test_a_folder_without_index_is_named(tmp_path):
    with pytest.raises(Unavailable, match="has no index"):
        search(tmp_path)
