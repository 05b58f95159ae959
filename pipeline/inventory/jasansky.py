"""Jasansky et al., mine-level production 2000-2021 (GeoPackage): places of facilities, tonnes a year by material.

"Ore mined", "Coal mined" and "NM mineral" are `ore`, "Concentrate" and "Clean coal" are `product`; "Ore processed" is
another count of the same ore and is passed over. Streams of one year and commodity (oxide and sulphide ore, two
plants) are added. In 78 % of the facility-years ore mined equals ore processed, in 96 % coal mined equals clean coal:
where a company reports one of them the source fills the other, so an "ore" there may be a product.

A facility is ``COM00661.00``; its sites are ``.01``, ``.02``. Figures stand with the facility. One whose sites lie
within 10 km is one mine, at their centroid; one that is spread wider is a total of several mines and is listed, and
its sites stand alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import shapely

from ..commodities import canonical_commodity
from ..errors import BadInput
from ..model import ProductionFigure
from .contents import Contents
from .record import BadRow, Note, Record, Row, figure, known_commodities, known_country, known_status, position, stated

SOURCE = "Jasansky et al."
SPREAD = 10_000.0  # m: the largest pits are 5 km long, the largest mine polygons 15 km
_DEFINITIONS = {"Ore mined": "ore", "NM mineral": "ore", "Concentrate": "product"}
_COAL = {"Coal mined": "ore", "Clean coal": "product"}
_OWN_ORE = ("O.bulk", "O.oxi", "O.sul", "Con.bulk")  # names no metal: the mine's own


def fits(contents: Contents) -> bool:
    """True for the GeoPackage."""
    return contents.kind == "gpkg" and {"facilities", "minerals", "coal"} <= set(contents.tables)


def is_companion(contents: Contents) -> bool:
    """True for the tables of ids and units beside it: all that is needed of them the GeoPackage repeats."""
    return contents.kind == "csv" and any(
        contents.table(*columns)
        for columns in (("alphanumiso", "iso_alpha3"), ("material_id", "material_name"), ("unit_id", "conv_factor_t"))
    )


def rows(contents: Contents) -> Iterator[tuple[Row, dict]]:
    """Every facility and site, with its production and what its parent's sites say."""
    facilities = [f | {"facility_id": str(f["facility_id"])} for f in contents.tables["facilities"].dicts()]
    production = _production(contents)
    parents = {_base(f["facility_id"]): f for f in facilities if f["facility_id"].endswith(".00")}
    operators = {o["facility_id"]: stated(o["operators"]) for o in contents.tables["ownership"].dicts()}
    for number, cells in enumerate(facilities, start=1):
        key = cells["facility_id"]
        parent = parents.get(_base(key))
        whole = parent is not None and 0 < len(_points(parent)) and _spread(_points(parent)) <= SPREAD
        cells |= {"group": _base(key) if whole else key, "production": production.get(key, [])}
        cells |= {"operator": operators.get(key, "")}
        yield Row(contents.file, number, stated(cells["sub_site_name"]) or stated(cells["facility_name"])), cells


def record(row: Row, cells: dict) -> Record:
    """One facility or site that is a mine."""
    if "Mine" not in cells["facility_type"]:
        raise BadRow(*_other_type(cells["facility_type"]))
    country, unknown = known_country(cells["GID_0"] if stated(cells["GID_0"]) else cells["country"])
    points = _points(cells)
    if len(points) == 0:
        position("", "", country)  # says so
    far = _spread(points)
    if far > SPREAD:
        raise BadRow(
            "several mines",
            f"a total of {len(points)} sites up to {far / 1e3:.0f} km apart, not one mine (limit {SPREAD / 1e3:g} km)",
        )
    lon, lat = position(*points.mean(axis=0)[::-1], country)
    products = (stated(cells["commodities_products"]) or "").split(",")
    chief = stated(cells["primary_commodity"])
    words = products if chief in ("", "Processing", "Other mine") else [chief, *products]
    commodities, why = known_commodities(words)
    figures, left_out = _figures(cells["production"], commodities[0] if commodities else "")
    names = [cells[c] for c in ("facility_name", "facility_other_names", "sub_site_name", "sub_site_other_names")]
    names = names[:2] if stated(cells["sub_site_name"]) == "" else names[2:]
    split = (stated(name) for text in names for name in (stated(text) or "").split(","))
    return Record(
        row,
        SOURCE,
        cells["group"],
        lon,
        lat,
        names=tuple(dict.fromkeys(filter(None, (row.name, *split)))),
        country=country,
        commodities=commodities,
        status=known_status(cells["activity_status"]),
        operator=cells["operator"],
        mine_type=_mine_type(stated(cells["facility_equipment"])),
        exact=len(points) == 1 and "approximate" not in (stated(cells["comment"]) or "").casefold(),
        figures=figures,
        notes=unknown + why + left_out,
    )


def _other_type(kind: str) -> tuple[str, str]:
    if kind in ("Region", "Company"):
        return "several mines", f"facility type is {kind!r}: a total of several mines, not one"
    return "not a mine", f"facility type is {kind!r}: no mine"


def _base(facility: str) -> str:
    return facility.partition(".")[0]


def _points(cells: dict) -> np.ndarray:
    """Distinct (lon, lat) of a facility, (site, 2)."""
    geometry = cells["geometry"]
    return np.unique(shapely.get_coordinates(geometry), axis=0) if geometry is not None else np.empty((0, 2))


def _spread(points: np.ndarray) -> float:
    """Largest distance between points, m; a sphere does."""
    if len(points) < 2:
        return 0.0
    lon, lat = np.radians(points).T
    xyz = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    chord = np.linalg.norm(xyz[:, None] - xyz[None], axis=-1).max()
    return 2 * 6_371_000.0 * math.asin(min(chord / 2, 1.0))


def _production(contents: Contents) -> dict[str, list[tuple]]:
    """(definition, material name or "", year, tonnes, source) of every facility."""
    names = {m["material_id"]: m["material_name"] for m in contents.tables["material_ids"].dicts()}
    found = defaultdict(list)
    for layer, definitions in (("minerals", _DEFINITIONS), ("coal", _COAL)):
        for cells in contents.tables[layer].dicts():
            if cells["type"] in definitions:
                material = "" if cells["material"] in _OWN_ORE else _commodity(names.get(cells["material"], ""))
                found[cells["facility_id"]].append(
                    (definitions[cells["type"]], material, cells["year"], cells["value_tonnes"], cells["source_id"])
                )
    return found


def _commodity(material: str) -> str:
    """Our name of a material; its own, lower-case, where we have none."""
    word = material.casefold().removesuffix(" concentrate").strip()
    word = {"sinter feed": "iron ore", "copper cement": "copper", "manganese carbonate": "manganese"}.get(word, word)
    word = word.removesuffix(" oxide") if word.startswith("manganese") else word
    try:
        return canonical_commodity(word)
    except BadInput:
        return word


def _figures(production: list[tuple], own: str) -> tuple[tuple[ProductionFigure, ...], tuple[Note, ...]]:
    """Figures of one facility, streams of a year and commodity added, in order of year."""
    tonnes, sources, notes = defaultdict(float), defaultdict(set), ()
    for definition, material, year, value, source in production:
        try:
            year = int(year)
        except (TypeError, ValueError):  # absent: None or NaN
            notes += (Note("no year", f"{value} t of {definition} come without a year: left out"),)
            continue
        made, why = figure(value, "t", year, definition=definition, source=SOURCE)
        key = (year, definition, "" if material == own else material)
        notes += why
        for one in made:
            tonnes[key] += one.tonnes
            sources[key].add(source)
    return tuple(
        ProductionFigure(*key[:1], tonnes[key], key[1], f"{SOURCE} ({', '.join(sorted(sources[key]))})", "t", key[2])
        for key in sorted(tonnes)
    ), notes


def _mine_type(equipment: str) -> str:
    words = (equipment or "").casefold()
    surface, below = "open" in words or "surface" in words, "underground" in words
    return "both" if surface and below else "surface" if surface else "underground" if below else ""
