"""Mine inventories: what is read, what is joined, what is reported, and that nothing gets lost on the way."""

import csv
import dataclasses
import io
import json
import math
from collections import Counter

import geopandas
import numpy as np
import openpyxl
import pandas
import pyarrow.parquet as pq
import pytest
import shapely
import shapely.geometry
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands.inventory import ImportRequest, ListRequest, import_files, list_mines, report_csv, show
from pipeline.commodities import COMMODITIES, ORES, canonical_commodity, is_ore
from pipeline.errors import AlreadyExists, BadInput, Unavailable
from pipeline.inventory import (
    BUILTIN,
    Entry,
    builtin_entries,
    builtin_mines,
    find_mines,
    import_inventory,
    read_entries,
    read_inventory,
    write_inventory,
)
from pipeline.inventory import icmm as icmm_family
from pipeline.inventory.contents import read_contents
from pipeline.inventory.countries import countries, country_code
from pipeline.inventory.merge import FIRST_NAMES, OTHER_NAMES, PLACE, allowed, join
from pipeline.inventory.names import APART, LIKE, OTHER, SAME, likeness
from pipeline.inventory.record import BadRow, number, position
from pipeline.inventory.schema import area, circle, to_parquet
from pipeline.model import EmissionFactor, ProductionFigure
from pipeline.storage import open_store

IRON_HEADER = (
    "country/area,name-(english),name-(other-language),status,owner,coordinates,coordinate-accuracy,url,"
    "production-2023-(ttpa),production-2022-(ttpa)"
)
COAL_HEADER = "id,country,project,status,owner,production,mine_type,coal_type,lat,lng"
ICMM_HEADER = (
    "ICMMID,Confidence Factor,Mine Name ,Group Names,Latitude,Longitude,Asset Type,Country,Primary Commodity,"
    "Secondary Commodity,Other Commodities"
)


# -- names of commodities and countries


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Iron", "iron ore"),
        ("iron ore ", "iron ore"),
        ("THERMAL COAL", "coal"),
        ("sub-bituminous_coal", "coal"),
        ("Alumina", "bauxite"),
        ("ferronickel", "nickel ore"),
        ("Copper dominant ore", "copper ore"),
    ],
)
def test_commodities_have_one_name(text, name):
    assert canonical_commodity(text) == name


def test_every_canonical_name_is_its_own_and_unknown_ones_are_named():
    assert [canonical_commodity(c) for c in COMMODITIES] == list(COMMODITIES)
    assert set(COMMODITIES) > ORES
    assert is_ore("bauxite") and is_ore("Iron") and not is_ore("coal")
    with pytest.raises(BadInput, match=r"commodity must be one of antimony ore, .*zinc ore, instead got 'steel'"):
        canonical_commodity("steel")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("South Africa", "ZAF"),
        ("türkiye", "TUR"),
        ("Côte d’Ivoire", "CIV"),
        ("Dem. Rep. Congo", "COD"),
        ("Congo, Democratic Republic of the", "COD"),
        ("Republic of the Congo", "COG"),
        ("prk", "PRK"),
    ],
)
def test_countries_by_name_and_code(text, code):
    assert country_code(text) == code


def test_country_boxes():
    table = countries()
    assert table["USA"].contains(-157.0, 21.0) and table["USA"].contains(173.0, 52.9)  # across 180 degrees
    assert not table["USA"].contains(0.0, 45.0)
    assert table["FJI"].contains(-179.5, -17.0) and table["FJI"].contains(178.0, -17.8)
    assert not table["FJI"].contains(170.0, -17.0)
    assert all(c.south < c.north and c.west != c.east for c in table.values())
    with pytest.raises(BadInput, match=r"country must be an ISO3 code .*instead got 'Atlantis'"):
        country_code("Atlantis")


# -- cells


def test_numbers_of_cells():
    assert number("\N{MINUS SIGN}23.5") == -23.5
    assert number(" 1,234,567.5 ") == 1234567.5
    for word in ("unknown", ">0", "--", "", "1,5", "nan", "inf"):
        with pytest.raises(ValueError):
            number(word)


@pytest.mark.parametrize(
    ("lat", "lon", "country", "kind", "reason"),
    [
        ("", "23", "ZAF", "no coordinates", "expected a latitude and a longitude"),
        ("unknown", "23", "ZAF", "no coordinates", "expected a latitude and a longitude"),
        ("41.0, -0.6", "-0.6", "ESP", "bad coordinates", "must be two numbers"),
        ("22.99", "-27.74", "ZAF", "swapped coordinates", "lie in ZAF only when swapped"),
        ("129.26", "42.24", "", "swapped coordinates", "lie in the valid range only when swapped"),
        ("-121.99", "256.3", "USA", "bad coordinates", r"instead got -121\.99 and 256\.3"),
        ("-20.5", "129.9", "NCL", "outside its country", "lies outside NCL"),
    ],
)
def test_bad_places_are_told_apart(lat, lon, country, kind, reason):
    with pytest.raises(BadRow, match=reason) as caught:
        position(lat, lon, country)
    assert caught.value.kind == kind


@given(st.sampled_from(sorted(countries())), st.floats(0, 1), st.floats(0, 1))
def test_a_point_in_its_country_is_taken_as_it_is(code, u, v):
    box = countries()[code]
    lat = box.south + u * (box.north - box.south)
    lon = (box.west + v * ((box.east - box.west) % 360) + 180) % 360 - 180
    got = position(repr(lat), repr(lon), code)
    assert got == (lon, lat)


def test_longitudes_counted_to_360():
    assert position("-23.0", "291.0", "CHL") == (-69.0, -23.0)


# -- names


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("Sishen Iron Sishen Mine", "Sishen", SAME),
        ("Hambach Coal Mine", "HAMBACH", SAME),
        ("Mt Whaleback", "Mount Whaleback Mine", SAME),
        ("MMI Musan Mine", "Musan", LIKE),
        ("Silewara Colliery", "Silwara", LIKE),
        ("Kuzembaev", "Kuzembaeva Coal Mine", LIKE),
        ("Shaanxi Fugu Xinyang Coal Mine", "Shaanxi Fugu Xintian Coal Mine", OTHER),
        ("Sishen", "Sishen South", OTHER),
        ("Zhundong No. 2 Coal Mine", "Zhundong No.3 Mine", APART),
        ("North Antelope", "South Antelope", APART),
        ("Division II", "Division 2", SAME),
        ("Escondida", "Spence", OTHER),
        ("", "", OTHER),
    ],
)
def test_likeness_of_names(a, b, expected):
    assert likeness(a, b) == expected == likeness(b, a)


def test_the_rule_of_joining():
    assert allowed(("Sishen",), ("Sishen Mine",), 19_000.0) == FIRST_NAMES
    assert allowed(("Hongyuan",), ("Fujiawa", "Hongyuan"), 6_000.0) is None  # another name, too far
    assert allowed(("Hongyuan",), ("Fujiawa", "Hongyuan"), 4_000.0) == OTHER_NAMES
    assert allowed(("Kiruna",), ("Kirrunavarra",), 250.0) == PLACE
    assert allowed(("Kiruna",), ("Kirrunavarra",), 400.0) is None
    assert allowed(("Mangli 2",), ("Mangli 3",), 10.0) is None


# -- small files of every kind


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return str(path)


def iron(folder, *rows, name="iron.csv"):
    return write(folder, name, "\n".join((IRON_HEADER, *rows)))


def coal(folder, *rows):
    return write(folder, "coal.csv", "\n".join((COAL_HEADER, *rows)), "utf-16")


def icmm(folder, *rows):
    return write(folder, "icmm.csv", "\n".join((ICMM_HEADER, *rows)))


def geojson(folder, *features, name="mines.geojson"):
    document = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "geometry": g, "properties": p} for g, p in features],
    }
    return write(folder, name, json.dumps(document))


def point(lon, lat):
    return {"type": "Point", "coordinates": [lon, lat]}


def square(lon, lat, half=0.02):
    return json.loads(shapely.to_geojson(shapely.box(lon - half, lat - half, lon + half, lat + half)))


def by_id(imported):
    return {m.id: m for m in imported.mines}


def kinds(imported):
    return Counter((i.effect, i.kind) for i in imported.issues)


def assert_accounted(imported):
    for f in imported.files:
        refused = sum(i.effect == "not placed" and i.row.number > 0 for i in imported.issues if i.row.file == f.file)
        assert f.placed + f.joined + f.reported == f.rows, f
        assert f.reported == refused, f
    placed = sum(f.placed for f in imported.files)
    assert placed == len(imported.mines)


SISHEN = (
    "South Africa,Sishen Iron Sishen Mine,,operating,Sishen Co [76.0%]; X Ltd [24%],"
    '"-27.7379, 22.9964",exact,u/s,25400,27000'
)


def test_iron_tracker_units_owner_and_missing_words(tmp_path):
    made = import_inventory(
        [
            iron(
                tmp_path,
                SISHEN,
                'North Korea,MMI Musan Mine,무산광산 (Korean),operating,unknown,"42.24, 129.26",exact,u/m,unknown,>0',
                'Brazil,Alto Mine,,proposed,--,"-20.0, -43.9",approximate,u/a,N/A,',
            )
        ]
    )
    assert_accounted(made)
    mines = by_id(made)
    sishen = mines["sishen-iron-sishen-mine-zaf"]
    assert [(f.year, f.tonnes, f.unit, f.definition) for f in sishen.figures] == [
        (2022, 27e6, "kt", "product"),
        (2023, 25.4e6, "kt", "product"),
    ]  # t
    assert sishen.operator == "Sishen Co; X Ltd" and sishen.country == "ZAF" and sishen.place == "exact"
    musan = mines["mmi-musan-mine-prk"]
    assert musan.figures == () and musan.operator == "" and musan.other_names == ("무산광산",)
    assert mines["alto-mine-bra"].place == "approximate" and mines["alto-mine-bra"].status == "proposed"
    # "unknown" and ">0" are missing with a reason; a blank and "N/A" say nothing
    assert [i.reason.split(":")[0] for i in made.issues] == [
        "production of 2023 is 'unknown', not a number of kt",
        "production of 2022 is '>0', not a number of kt",
    ]


def test_coal_map_extensions_are_one_mine_and_undated_figures_stay_apart(tmp_path):
    made = import_inventory(
        [
            coal(
                tmp_path,
                "M7,Germany,Hambach Coal Mine,proposed,RWE Power AG,,surface,Lignite,50.88,6.57",
                "M7,Germany,Hambach Coal Mine,operating,RWE,23.61,underground_and_surface,Lignite,50.8918,6.5734",
            )
        ]
    )
    assert_accounted(made)
    (mine,) = made.mines
    assert (mine.status, mine.mine_type, mine.commodity) == ("operating", "both", "coal")
    assert mine.figures == () and [(f.year, f.tonnes, f.unit) for f in mine.undated] == [(0, 23.61e6, "Mt")]
    assert mine.mine().production == ()  # no year: nothing that a regression could use
    assert made.files[0].placed == 1 and made.files[0].joined == 1
    assert mine.point == (6.5734, 50.8918)  # the working mine's, not the extension's


def test_icmm_reports_what_is_no_mine_and_mends_letters(tmp_path):
    made = import_inventory(
        [
            icmm(
                tmp_path,
                "I1,High,KWK ZofiÃ³wka,Wujek,49.97,18.62,Mine,Poland,coal,,",
                "I2,High,Ilo,,-17.5,-71.36,Smelter;Refinery,Peru,copper,,",
                "I3,Very Low,Odd,,\N{MINUS SIGN}23.89,30.69,Mine;Plant,South Africa,unobtainium,gold,",
                "I4,High,Tanami,,-20.5,129.9,Mine,New Caledonia,gold,,",
                "I5,High,Somewhere,,1.0,30.0,Mine,Atlantis,gold,,",
            )
        ]
    )
    assert_accounted(made)
    mines = by_id(made)
    assert mines["kwk-zofiowka-pol"].name == "KWK Zofiówka" and mines["kwk-zofiowka-pol"].other_names == ("Wujek",)
    assert mines["odd-zaf"].commodity == "" and mines["odd-zaf"].point[1] == -23.89
    assert mines["somewhere"].country == ""
    assert kinds(made) == {
        ("not placed", "not a mine"): 1,
        ("not placed", "outside its country"): 1,
        ("left out", "unknown commodity"): 1,
        ("left out", "unknown country"): 1,
    }


def test_every_bad_row_is_listed_by_file_row_name_and_reason(tmp_path):
    path = geojson(
        tmp_path,
        (point(22.9964, -27.7379), {"name": "Good", "country": "ZAF", "commodity": "iron"}),
        (None, {"name": "Nowhere"}),
        (point(-27.7379, 22.9964), {"name": "Swapped", "country": "ZAF"}),
        (point(10.0, 200.0), {"name": "Pole"}),
        (point(10.0, 50.0), {}),
        ({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, {"name": "Line"}),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}, {"name": "Bowtie"}),
        (point(10.0, 50.0), {"name": "Shouting", "id": "NOT an id"}),
        (point(10.0, 50.0), {"name": "Huge", "radius": 1e7}),
        (
            point(23.5, -28.5),
            {
                "name": "Minus",
                "commodity": "tea",
                "country": "Narnia",
                "production": [{"year": 2020, "tonnes": -5, "definition": "ore"}, {"tonnes": 5}],
                "emission_factors": [{"value": -1, "level": "asset"}],
            },
        ),
    )
    made = import_inventory([path])
    assert_accounted(made)
    listed = {(i.row.number, i.row.name): i.kind for i in made.issues if i.effect == "not placed"}
    assert listed == {
        (2, "Nowhere"): "no coordinates",
        (3, "Swapped"): "swapped coordinates",
        (4, "Pole"): "bad coordinates",
        (5, ""): "no name",
        (6, "Line"): "bad polygon",
        (7, "Bowtie"): "bad polygon",
        (8, "Shouting"): "bad id",
        (9, "Huge"): "bad radius",
    }
    assert {i.row.file for i in made.issues} == {"mines.geojson"}
    left_out = [i.kind for i in made.issues if i.effect == "left out"]
    assert sorted(left_out) == ["negative production", "no factor", "no figure", "unknown commodity", "unknown country"]
    assert set(by_id(made)) == {"good-zaf", "minus"}  # the import went on
    rows = list(csv.DictReader(io.StringIO(report_csv(made))))
    assert len(rows) == 13 and rows[0]["name"] == "Nowhere" and rows[0]["row"] == "2"


def jasansky(folder):
    """A GeoPackage with a mine, a mine of two near sites, a total of far ones, a smelter, and bad figures."""
    path = folder / "production.gpkg"
    places = {
        "COM00001.00": ("Sishen", None, "Mine", [(22.9849, -27.7818)]),
        "COM00002.00": ("Twin", None, "Mine", [(22.0, -28.0), (22.02, -28.0)]),
        "COM00002.01": ("Twin", "Twin East", "Mine", [(22.02, -28.0)]),
        "COM00003.00": ("Far Mines", None, "Mine", [(24.0, -28.0), (25.0, -28.0)]),
        "COM00003.01": ("Far Mines", "Near One", "Mine", [(24.0, -28.0)]),
        "COM00003.02": ("Far Mines", "Lost", "Mine", []),
        "COM00004.00": ("Smeltery", None, "Smelter", [(23.0, -29.0)]),
        "COM00005.00": ("Whole Region", None, "Region", [(23.0, -29.0)]),
    }
    facts = dict.fromkeys(
        ("facility_other_names", "sub_site_other_names", "facility_equipment", "activity_status", "comment"), None
    )
    frame = [
        {"facility_id": k, "facility_name": a, "sub_site_name": b, "facility_type": c, "primary_commodity": "Iron"}
        | {"commodities_products": "Iron ore", "country": "South Africa", "GID_0": "ZAF"} | facts
        for k, (a, b, c, _) in places.items()
    ]  # fmt: skip
    geometry = [shapely.MultiPoint(p) if p else shapely.Point() for *_, p in places.values()]
    geopandas.GeoDataFrame(frame, geometry=geometry, crs=4326).to_file(path, layer="facilities", engine="pyogrio")
    import pyogrio

    def table(layer, columns, *rows):
        made = pandas.DataFrame([dict(zip(columns, row, strict=True)) for row in rows], columns=columns)
        pyogrio.write_dataframe(made, path, layer=layer, append=False)

    columns = ("facility_id", "year", "type", "material", "value_tonnes", "source_id")
    table(
        "minerals",
        columns,
        ("COM00001.00", 2019.0, "Ore mined", "O.Fe", 20e6, "d1"),
        ("COM00001.00", 2019.0, "Ore mined", "O.bulk", 9e6, "d1"),  # a second stream of its ore
        ("COM00001.00", 2019.0, "Ore mined", "O.Cu", 1e6, "d2"),
        ("COM00001.00", 2019.0, "Ore processed", "O.Fe", 29e6, "d1"),
        ("COM00001.00", 2019.0, "Concentrate", "Con.Fe", 12e6, "d1"),
        ("COM00001.00", 2020.0, "Ore mined", "O.Fe", -4.0, "d1"),
        ("COM00001.00", None, "Ore mined", "O.Fe", 4.0, "d1"),
    )
    table("coal", columns, ("COM00002.00", 2019.0, "Clean coal", "F.coal", 3e6, "d3"))
    names = {"O.Fe": "Ferrous ore", "O.bulk": "Bulk metal ore", "O.Cu": "Copper dominant ore", "F.coal": "Coal"}
    names |= {"Con.Fe": "Iron ore concentrate"}
    table("material_ids", ("material_id", "material_name"), *names.items())
    table("ownership", ("facility_id", "operators"), ("COM00001.00", "Kumba"))
    return str(path)


def test_facilities_their_sites_and_streams(tmp_path):
    made = import_inventory([jasansky(tmp_path)])
    assert_accounted(made)
    mines = by_id(made)
    assert set(mines) == {"sishen-zaf", "twin-zaf", "near-one-zaf"}
    sishen = mines["sishen-zaf"]
    assert [(f.year, f.definition, f.tonnes, f.commodity) for f in sishen.figures] == [
        (2019, "ore", 29e6, ""),  # two streams of iron ore; ore processed is another count of the same
        (2019, "ore", 1e6, "copper ore"),
        (2019, "product", 12e6, ""),
    ]
    assert sishen.figures[0].source == "Jasansky et al. (d1)" and sishen.operator == "Kumba"
    twin = mines["twin-zaf"]
    assert twin.figures[0].commodity == "coal" and twin.figures[0].definition == "product"
    assert kinds(made) == {
        ("not placed", "several mines"): 2,
        ("not placed", "no coordinates"): 1,
        ("not placed", "not a mine"): 1,
        ("left out", "negative production"): 1,
        ("left out", "no year"): 1,
    }
    assert "2 sites up to 98 km apart" in next(i.reason for i in made.issues if i.row.name == "Far Mines")


def test_sources_are_joined_and_every_fact_keeps_its_source(tmp_path):
    made = import_inventory(
        [
            iron(tmp_path, SISHEN),
            icmm(tmp_path, "I1,High,Sishen Mine,Khumani,-27.748,22.9996,Mine,South Africa,iron ore,,"),
            jasansky(tmp_path),
        ]
    )
    assert_accounted(made)
    (mine,) = find_mines(made.mines, "sishen")
    assert mine.name == "Sishen" and mine.id == "sishen-zaf"
    assert [f.source for f in mine.figures] == ["Jasansky et al. (d1)"] * 1 + ["Jasansky et al. (d2)"] + [
        "Jasansky et al. (d1)",
        "Global Energy Monitor, iron ore",
        "Global Energy Monitor, iron ore",
    ]
    taken = {s.source: s.facts for s in mine.sources}
    assert taken["Jasansky et al."] == ("name", "production")
    assert "place" in taken["Global Energy Monitor, iron ore"] and taken["ICMM Global Mining Dataset"] == ()


def test_two_rows_of_one_source_are_never_joined(tmp_path):
    rows = [f"I{n},High,Santa Rosa,,-12.0,-77.00{n},Mine,Peru,gold,," for n in (1, 2)]
    made = import_inventory([icmm(tmp_path, *rows)])
    assert len(made.mines) == 2
    # ids tell them apart by place, and by number where even that is the same
    assert sorted(m.id for m in made.mines) == ["santa-rosa-per-s1200w07700", "santa-rosa-per-s1200w07700-2"]


def test_neighbours_by_number_country_or_commodity_stay_apart(tmp_path):
    made = import_inventory(
        [
            coal(
                tmp_path,
                "M1,China,Daliu No. 1 Coal Mine,operating,,,surface,,39.0,110.0",
                "M2,China,Border Coal Mine,operating,,,surface,,47.0,90.0",
            ),
            icmm(
                tmp_path,
                "I1,High,Daliu No.2,,39.0,110.0,Mine,China,coal,,",
                "I2,High,Border,,47.0,90.0,Mine,Mongolia,coal,,",
                "I3,High,Daliu No. 1,,39.0,110.0,Mine,China,gold,,",
            ),
        ]
    )
    assert len(made.mines) == 5 and not any(f.joined for f in made.files)


def test_a_join_by_place_alone_is_listed(tmp_path):
    made = import_inventory(
        [
            coal(tmp_path, "M1,Kazakhstan,Lenin Shaft,operating,,,surface,,49.7,72.8"),
            icmm(tmp_path, "I1,High,Tentek,,49.701,72.8,Mine,Kazakhstan,coal,,"),
        ]
    )
    assert len(made.mines) == 1
    (issue,) = made.issues
    assert (issue.effect, issue.kind, issue.row.file) == ("look", "joined by place", "icmm.csv")
    assert "Lenin Shaft" in issue.reason


def polygons(folder, *shapes, name="polygons.gpkg"):
    frame = {"ISO3_CODE": ["ZAF"] * len(shapes), "id": range(100, 100 + len(shapes))}
    path = folder / name
    geopandas.GeoDataFrame(frame, geometry=list(shapes), crs=4326).to_file(path, engine="pyogrio")
    return str(path)


def test_polygons_go_to_their_mines(tmp_path):
    rows = [
        ("Inside", 23.0, -28.0, {"place": "exact"}),
        ("Beside", 24.0, -28.0, {}),  # its polygon begins 0.5 km east
        ("Far", 25.0, -28.0, {}),  # ... 2 km east
        ("First", 26.0, -28.0, {}),
        ("Best", 26.005, -28.0, {"production": [{"year": 2020, "tonnes": 1, "definition": "ore"}]}),
    ]
    km = 1 / (111.32 * math.cos(math.radians(28)))  # degrees of longitude
    shapes = [
        shapely.box(22.99, -28.01, 23.01, -27.99),
        shapely.box(23.015, -28.005, 23.019, -27.995),  # 1.5 km from the point, but
        shapely.box(24.0 + 0.5 * km, -28.01, 24.02, -27.99),
        shapely.box(25.0 + 2.0 * km, -28.01, 25.04, -27.99),
        shapely.box(25.99, -28.01, 26.01, -27.99),
        shapely.Polygon([(27, -28), (28, -27), (28, -28), (27, -27)]),
    ]
    made = import_inventory(
        [
            geojson(tmp_path, *((point(x, y), {"name": n, "country": "ZAF", **p}) for n, x, y, p in rows)),
            polygons(tmp_path, *shapes),
        ]
    )
    assert_accounted(made)
    mines = {m.name: m for m in made.mines}
    assert mines["Inside"].geometry.equals(shapes[0])
    assert mines["Beside"].geometry.equals(shapes[2]) and mines["Beside"].radius is None
    assert mines["Far"].geometry.geom_type == "Point" and mines["Far"].radius == 2500.0
    assert mines["Best"].geometry.equals(shapes[4])  # of two inside one polygon the better known has it
    assert mines["First"].geometry.geom_type == "Point"
    assert [m.geometry for m in made.mines if m.name.startswith("unnamed mine")] == [
        shapely.normalize(shapes[1]),
        shapely.normalize(shapes[3]),
    ]
    shared = [i for i in made.issues if i.kind == "shared polygon"]
    assert [i.row.name for i in shared] == ["First"] and "Best" in shared[0].reason
    assert [i.kind for i in made.issues if i.effect == "not placed"] == ["bad polygon"]


def test_a_mine_takes_several_polygons_and_keeps_its_own(tmp_path):
    pit, dump = shapely.box(22.99, -28.01, 23.0, -28.0), shapely.box(23.004, -28.01, 23.008, -28.0)
    files = polygons(tmp_path, pit, dump)
    named = {"name": "Pit", "country": "ZAF"}
    (mine,) = import_inventory([geojson(tmp_path, (point(22.999, -28.005), named)), files]).mines
    assert mine.geometry.geom_type == "MultiPolygon" and mine.geometry.equals(shapely.union(pit, dump))
    own = square(23.0, -28.0)
    (mine,) = import_inventory([geojson(tmp_path, (own, named), name="own.geojson"), files]).mines
    assert mine.geometry.equals(shapely.geometry.shape(own))


def test_polygons_in_another_projection_come_in_degrees(tmp_path):
    box = shapely.box(22.99, -28.01, 23.0, -28.0)
    path = tmp_path / "utm.gpkg"
    frame = geopandas.GeoDataFrame({"ISO3_CODE": ["ZAF"]}, geometry=[box], crs=4326).to_crs(32734)
    frame.to_file(path, engine="pyogrio")
    (mine,) = import_inventory([str(path)]).mines
    assert shapely.hausdorff_distance(mine.geometry, box) < 1e-7  # degrees: a centimetre


# -- files


def test_unknown_files_are_listed_and_the_import_goes_on(tmp_path):
    files = [
        write(tmp_path, "table.csv", "a,b\n1,2\n"),
        write(tmp_path, "words.txt", "nothing to see"),
        write(tmp_path, "broken.json", "{"),
        iron(tmp_path, SISHEN, name="really.txt"),  # known by its content
    ]
    for name, data in (
        ("noise.bin", b"\x00\x01\xff\xfe\x00"),
        ("x.xlsx", b"PK\x03\x04 no"),
        ("x.gpkg", b"SQLite format 3\0no"),
        ("x.parquet", b"PAR1no"),
    ):
        (tmp_path / name).write_bytes(data)
        files.append(str(tmp_path / name))
    made = import_inventory(files)
    assert_accounted(made)
    assert len(made.mines) == 1
    reasons = {i.row.file: i.reason for i in made.issues if i.kind == "unknown file"}
    assert set(reasons) == {
        "table.csv", "words.txt", "broken.json", "noise.bin", "x.xlsx", "x.gpkg", "x.parquet"
    }  # fmt: skip
    assert "is no inventory known here" in reasons["table.csv"]
    assert "must be a CSV, Excel" in reasons["noise.bin"]
    assert "must be an Excel workbook" in reasons["x.xlsx"]
    assert "must be a GeoPackage" in reasons["x.gpkg"]
    assert "must be a geoparquet file" in reasons["x.parquet"]


def test_nothing_to_import(tmp_path):
    with pytest.raises(BadInput, match=r"table\.csv is no inventory known here"):
        import_inventory([write(tmp_path, "table.csv", "a,b\n1,2\n")])
    with pytest.raises(BadInput, match="expected at least one inventory file, instead got none"):
        import_inventory([])
    with pytest.raises(Unavailable, match="nothing is there"):
        import_inventory([str(tmp_path / "absent.csv")])


def test_two_files_of_one_name_and_a_file_given_twice(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = iron(tmp_path / "a", SISHEN), iron(tmp_path / "b", SISHEN.replace("25400", "25500"))
    made = import_inventory([first, second, first])
    assert_accounted(made)
    assert [(f.rows, f.placed, f.joined) for f in made.files] == [(1, 1, 0), (1, 0, 1)]
    assert [f.tonnes for f in made.mines[0].figures] == [27e6, 25.4e6, 25.5e6]  # t; equal ones once, others both


def test_a_workbook_is_read_like_its_csv(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "About"
    sheet = book.create_sheet("External")
    sheet.append(ICMM_HEADER.split(","))
    sheet.append(["I1", "High", "Sishen", None, -27.748, 22.9996, "Mine", "South Africa", "iron ore", None, None])
    book.save(tmp_path / "book.xlsx")
    from_book = import_inventory([str(tmp_path / "book.xlsx")]).mines[0]
    from_csv = import_inventory([icmm(tmp_path, "I1,High,Sishen,,-27.748,22.9996,Mine,South Africa,iron ore,,")]).mines[
        0
    ]
    plain = {"sources": ()}
    assert dataclasses.replace(from_book, **plain) == dataclasses.replace(from_csv, **plain)


# -- the geoparquet


def an_entry(**changes):
    facts = {
        "id": "pit-zaf",
        "name": "Pit",
        "geometry": shapely.Point(23.0, -27.7),
        "country": "ZAF",
        "commodity": "iron ore",
        "status": "operating",
        "operator": "Ops",
        "mine_type": "surface",
        "other_names": ("Grube",),
        "radius": 3000.0,
        "place": "exact",
        "figures": (ProductionFigure(2020, 36.2e6, "ore", "CT", "Mt"),),
        "undated": (ProductionFigure(0, 1.5e6, "product", "GEM", "Mt", "coal"),),
        "factors": (EmissionFactor(0.0095, "asset", "CT", 2020, 0.1), EmissionFactor(0.01, "national", "X")),
    }
    return Entry(**facts | changes)


def test_an_inventory_survives_its_file():
    box = shapely.box(22.9, -27.8, 23.0, -27.7)
    entries = [an_entry(), an_entry(id="a-box", geometry=box, radius=None, figures=(), undated=(), factors=())]
    url = "memory://inventory/mines.parquet"
    write_inventory(entries, url)
    assert read_entries(url) == sorted(entries, key=lambda e: e.id)
    first = open_store(url).read_bytes()
    write_inventory(entries[::-1], url)
    assert open_store(url).read_bytes() == first  # order of input doesn't matter
    mine = read_inventory(url)[1]
    assert mine.id == "pit-zaf" and mine.production == entries[0].figures
    assert mine.emission_factors == entries[0].factors
    assert mine.geometry["type"] == "Polygon"


def test_other_programs_open_it(tmp_path):
    path = tmp_path / "m.parquet"
    box = shapely.box(22.9, -27.8, 23.0, -27.7)
    write_inventory([an_entry(), an_entry(id="a-box", geometry=box, radius=None)], str(path))
    frame = geopandas.read_parquet(path)
    assert frame.crs == "OGC:CRS84" and list(frame["id"]) == ["a-box", "pit-zaf"]
    assert frame.geometry[0].equals(box)
    assert frame["figures"][1][0]["year"] == 2020 and frame["figures"][1][1]["year"] is None  # not stated
    geo = json.loads(pq.read_schema(path).metadata[b"geo"])
    assert geo["version"] == "1.1.0" and geo["primary_column"] == "geometry"
    assert geo["columns"]["geometry"]["geometry_types"] == ["Point", "Polygon"]
    assert geo["columns"]["geometry"]["bbox"] == [22.9, -27.8, 23.0, -27.7]


def test_a_geoparquet_by_hand_needs_three_columns_only(tmp_path):
    frame = geopandas.GeoDataFrame({"id": ["x"], "name": ["X"]}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
    frame.to_parquet(tmp_path / "hand.parquet")
    (mine,) = read_inventory(str(tmp_path / "hand.parquet"))
    assert (mine.id, mine.name, mine.country, mine.production) == ("x", "X", "", ())
    frame.drop(columns="name").to_parquet(tmp_path / "poor.parquet")
    with pytest.raises(BadInput, match=r"must be an inventory: GeoParquet with id, name and geometry.*lacks name"):
        read_entries(str(tmp_path / "poor.parquet"))


def test_ids_of_an_inventory_differ():
    with pytest.raises(BadInput, match=r"ids of an inventory must differ, instead 'Pit' and 'Two' are both 'pit-zaf'"):
        write_inventory([an_entry(), an_entry(name="Two")], "memory://inventory/twice.parquet")


def test_an_inventory_imports_into_the_same_inventory(tmp_path):
    first = import_inventory([iron(tmp_path, SISHEN), polygons(tmp_path, shapely.box(22.99, -27.75, 23.0, -27.73))])
    write_inventory(first.mines, str(tmp_path / "one.parquet"))
    again = import_inventory([str(tmp_path / "one.parquet")])
    assert_accounted(again)
    assert again.mines == first.mines
    # and with its sources beside it everything joins: no mine twice
    all_files = [str(tmp_path / n) for n in ("one.parquet", "iron.csv", "polygons.gpkg")]
    assert [m.id for m in import_inventory(all_files).mines] == [m.id for m in first.mines]


@pytest.mark.parametrize(("lon", "lat"), [(22.9964, -27.7379), (-179.99, 52.0), (179.99, -16.5), (20.0, 84.0)])
def test_circles_are_geodesic(lon, lat):
    ring = circle(lon, lat, 3000.0)
    assert ring.is_valid and ring.exterior.is_ccw
    assert area(ring) == pytest.approx(math.pi * 3000.0**2, rel=2e-3)  # 72 corners: 0.13 % small
    assert ring.contains(shapely.Point(lon, lat))
    west, _, east, _ = ring.bounds
    assert east - west < 1.0  # degrees: in one piece across 180
    with pytest.raises(BadInput, match=r"radius must lie in 0..100000 m, instead got 0"):
        circle(lon, lat, 0.0)


# -- the built-in inventory


def test_the_builtin_inventory():
    mines = {m.id: m for m in builtin_mines()}
    assert 24 <= len(mines) <= 40
    assert {"sishen", "kolomela", "musan", "hambach", "bingham-canyon", "chuquicamata", "escondida"} <= set(mines)
    assert all(m.country in countries() and m.commodity in COMMODITIES for m in mines.values())
    for entry in builtin_entries():
        assert countries()[entry.country].contains(*entry.point), entry.id
        assert entry.sources[0].source not in ("", "mines.geojson"), entry.id  # a source is named for every row
    assert import_inventory([str(BUILTIN)]).issues == ()


def test_the_builtin_sishen_reproduces_the_printed_tables(shared_data):
    sishen = next(m for m in builtin_mines() if m.id == "sishen")
    table = shared_data / "mines" / "climate_trace" / "sishen_table2_transcribed.csv"
    rows = [r for r in csv.reader(table.read_text().splitlines()) if not r[0].startswith("#")][1:]
    printed = {(doc, item): float(value) for doc, item, value in rows}
    produced = {(f.source[-4:], f"production_t_{f.year}"): f.tonnes for f in sishen.production}
    factors = {(e.source[-4:], f"emission_factor_{e.year}"): e.value for e in sishen.emission_factors}
    wanted = {k: v for k, v in printed.items() if k[1].startswith(("production_t", "emission_factor"))}
    assert produced | factors == wanted and len(wanted) == 12
    for (doc, item), tonnes in produced.items():
        year = item[-4:]
        # printed emissions are the product, to three digits
        expected = printed[doc, f"emissions_t_{year}"]
        assert tonnes * factors[doc, f"emission_factor_{year}"] == pytest.approx(expected, rel=0.005)


def test_finding_mines():
    mines = builtin_entries()
    assert [m.id for m in find_mines(mines, "SISHEN iron")] == ["sishen"]
    assert [m.id for m in find_mines(mines, "belchatow")] == ["belchatow"]
    assert {m.id for m in find_mines(mines, country="Germany")} == {"hambach", "garzweiler", "inden"}
    assert {m.id for m in find_mines(mines, country="ZAF", commodity="iron")} == {"sishen", "kolomela"}
    assert [m.id for m in find_mines(mines, bbox=(120.0, 40.0, 135.0, 45.0))] == ["musan"]
    # from 110 east across 180 degrees to 100 west, north of the equator
    assert {m.id for m in find_mines(mines, bbox=(110.0, 0.0, -100.0, 89.0))} == {
        "musan", "mirny", "bingham-canyon", "morenci"
    }  # fmt: skip
    assert find_mines(mines, "no such pit") == []
    with pytest.raises(BadInput, match="bbox must be W,S,E,N"):
        find_mines(mines, bbox=(0.0, 10.0, 1.0, 5.0))
    with pytest.raises(BadInput, match="commodity must be one of"):
        find_mines(mines, commodity="tea")


# -- the command


def test_the_command_imports_reports_lists_and_shows(tmp_path):
    lines = []
    bad = 'South Africa,Swapped Mine,,operating,X,"22.9, -27.7",exact,u/w,1,1'
    out, report = str(tmp_path / "m.parquet"), str(tmp_path / "r.csv")
    request = ImportRequest((iron(tmp_path, SISHEN, bad),), out, report)
    assert import_files(request, lines.append) == 0
    text = "\n".join(lines)
    assert "swapped coordinates; such as iron.csv, row 3 Swapped Mine" in text
    assert f"{len(builtin_entries())} mines" in text  # Sishen joined the built-in one
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 2
    with pytest.raises(AlreadyExists, match=r"m\.parquet exists already"):
        import_files(request, lines.append)
    assert import_files(dataclasses.replace(request, overwrite=True, builtin=False), lines.append) == 0
    assert len(read_entries(out)) == 1

    shown = []
    assert show("sishen", "", shown.append) == 0
    text = "\n".join(shown)
    assert "2022             39.4 Mt ore, iron ore; Climate TRACE mineral extraction 2025" in text
    assert "0.0095 t CO2 per t of ore (asset)" in text
    with pytest.raises(BadInput, match="the built-in inventory has no mine 'sishn'; close are sishen"):
        show("sishn", "", shown.append)

    listed = []
    assert list_mines(ListRequest(country="ZAF", limit=1), listed.append) == 0
    assert len(listed) == 2 and "and 2 more" in listed[1]
    assert list_mines(ListRequest(text="nowhere at all"), listed.append) == 1


# -- the real files


FILES = (
    "gem/giomt_map_2024-11-25.csv",
    "gem/GIOMT_Nov2024_V1.xlsx",
    "gem/Coal_Mine_Data_for_Map_2024-04-26.csv",
    "icmm/global-mining-dataset.xlsx",
    "jasansky/mine_level_data.gpkg",
    "jasansky/country_ids.csv",
    "maus_tang_demo/mining_polygons_combined_demo.gpkg",
    "climate_trace/sishen_table2_transcribed.csv",
)


@pytest.fixture(scope="module")
def real(shared_data):
    return import_inventory([str(BUILTIN), *(str(shared_data / "mines" / f) for f in FILES)])


def test_every_row_of_the_real_files_is_accounted_for(real):
    assert_accounted(real)
    rows = {f.file: (f.rows, f.reported) for f in real.files}
    assert rows == {
        "mines.geojson": (len(builtin_entries()), 0),
        "giomt_map_2024-11-25.csv": (890, 0),
        "GIOMT_Nov2024_V1.xlsx": (890, 0),
        "Coal_Mine_Data_for_Map_2024-04-26.csv": (5393, 7),
        "global-mining-dataset.xlsx": (8508, 513),
        "mine_level_data.gpkg": (2398, 853),
        "country_ids.csv": (0, 0),
        "mining_polygons_combined_demo.gpkg": (100, 0),
        "sishen_table2_transcribed.csv": (0, 0),
    }
    refused = Counter(i.kind for i in real.issues if i.effect == "not placed" and i.row.number)
    assert refused == {
        "no coordinates": 466,
        "not a mine": 768,
        "several mines": 114,
        "outside its country": 23,  # Australian mines that the source puts in New Caledonia
        "bad coordinates": 2,
    }
    assert sum(f.rows for f in real.files) == len(builtin_entries()) + 890 + 890 + 5393 + 8508 + 2398 + 100


def test_well_known_mines_are_one_mine_each(real):
    mines = by_id(real)
    sishen = mines["sishen"]
    figures = {(f.year, f.definition, f.source.split(" (")[0]): round(f.tonnes / 1e6, 2) for f in sishen.figures}  # Mt
    gem, jas = "Global Energy Monitor, iron ore", "Jasansky et al."
    assert figures[2022, "product", gem] == 27.0 and figures[2023, "product", gem] == 25.4
    ore = [figures[year, "ore", jas] for year in range(2013, 2021)]
    assert ore == [30.94, 35.54, 31.39, 28.38, 31.12, 29.25, 29.17, 25.35]
    for identity, word in (("sishen", "Sishen"), ("musan", "Musan"), ("hambach", "Hambach"), ("kolomela", "Kolomela")):
        called = [m.id for m in real.mines if word in m.name]
        assert called == [identity]
    assert {s.source for s in mines["musan"].sources} >= {gem, "ICMM Global Mining Dataset"}
    assert [f.tonnes for f in mines["hambach"].undated] == [23.61e6]  # t
    assert area(mines["kolomela"].geometry) / 1e6 == pytest.approx(21.44, abs=0.01)  # km²
    assert len({s.source for s in mines["kolomela"].sources}) == 5


def test_the_real_inventory_is_one_file_with_ids_of_its_own(real, tmp_path):
    data = to_parquet(sorted(real.mines, key=lambda e: e.id))
    assert len(data) < 3e6  # bytes
    (tmp_path / "all.parquet").write_bytes(data)
    entries = read_entries(str(tmp_path / "all.parquet"))
    assert len({e.id for e in entries}) == len(entries) == len(real.mines) > 10_000
    assert entries == sorted(real.mines, key=lambda e: e.id)
    assert all(e.id == e.id.lower() and e.id.isascii() for e in entries)
    assert all(e.country in countries() for e in entries)


def test_the_rule_seldom_joins_by_chance(shared_data):
    """With one source moved by a degree, every join is chance; as they stand, thousands join."""
    both = []
    for family, file in ((None, FILES[2]), (icmm_family, FILES[3])):
        both.append(_records(family, str(shared_data / "mines" / file)))
    coal_rows, icmm_rows = both
    true = _joined(coal_rows + icmm_rows)
    moved = [dataclasses.replace(r, lon=r.lon + 1 / np.cos(np.radians(r.lat))) for r in icmm_rows]
    assert true > 3400  # 3479 on these files
    assert _joined(coal_rows + moved) <= 4


def _records(family, path):
    from pipeline.inventory import gem

    rows, record = (family.rows, family.record) if family else (gem.coal_rows, gem.coal_record)
    made = []
    for row, cells in rows(read_contents(path)):
        try:
            made.append(record(row, cells))
        except BadRow:
            continue
    return made


def _joined(records):
    return sum(len({r.source for r in mine.records}) > 1 for mine in join(records))
