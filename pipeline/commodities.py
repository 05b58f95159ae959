"""What mines dig: one name for each commodity, and the words that inventories use for it.

A mine is named after what leaves its pit, not after what a smelter makes of it: "aluminium" and "alumina" are
`bauxite`, "ferronickel" is `nickel ore`. Grades and ranks are not told apart: lignite, steam coal and coking coal are
all `coal`. Words for things that no mine digs ("steel") are unknown here.
"""

from __future__ import annotations

import re

from .errors import BadInput

# Ores of metals: the mass that a pit's emissions are counted on is the ore's, not the metal's.
_ORES = {
    "antimony ore": ("antimony", "sb"),
    "bauxite": ("aluminium", "aluminum", "alumina", "aluminium ore", "bauxite ore", "al"),
    "chromium ore": ("chromium", "chrome", "chromite", "chrome ore", "ferrochrome", "cr"),
    "cobalt ore": ("cobalt", "refined cobalt", "co"),
    "copper ore": ("copper", "copper dominant ore", "copper cathode", "copper cathodes", "copper concentrate", "cu"),
    "gold ore": ("gold", "gold dominant ore", "au"),
    "heavy mineral sands": ("mineral sands", "ilmenite", "rutile", "zircon", "leucoxene", "monazite", "zirconium"),
    "iron ore": ("iron", "ferrous ore", "iron ore concentrate", "iron ore pellets", "iron ore fines", "fe",
                 "magnetite", "hematite", "haematite"),
    "lead ore": ("lead", "lead dominant ore", "pb"),
    "lithium ore": ("lithium", "spodumene", "petalite", "li"),
    "magnesium ore": ("magnesium", "magnesite", "mg"),
    "manganese ore": ("manganese", "ferromanganese", "ferrosilicon manganese", "silicomanganese", "mn"),
    "mercury ore": ("mercury", "hg"),
    "molybdenum ore": ("molybdenum", "ferromolybdenum", "mo"),
    "nickel ore": ("nickel", "ferronickel", "nickel dominant ore", "laterite", "refined nickel", "ni"),
    "niobium ore": ("niobium", "columbite", "columbite, niobium ore", "ferroniobium", "nb"),
    "platinum-group ore": ("platinum", "palladium", "rhodium", "pgm", "platinum group metals", "pt",
                           "platinum group elements", "platinum group metal ore", "pd"),
    "polymetallic ore": ("polymetallic", "bulk metal ore", "oxide ore", "sulphide ore", "other (poly) metallic"),
    "rare-earth ore": ("rare earths", "rare earth", "lanthanides", "rare earth mineral", "rare earth elements"),
    "silver ore": ("silver", "silver dominant ore", "ag"),
    "tantalum ore": ("tantalum", "coltan", "tantalite", "tantalite, tantalum ore", "ta"),
    "tin ore": ("tin", "tin dominant ore", "cassiterite", "sn"),
    "titanium ore": ("titanium", "ti"),
    "tungsten ore": ("tungsten", "wolfram", "w"),
    "uranium ore": ("uranium", "uranium oxide", "u"),
    "vanadium ore": ("vanadium", "v"),
    "zinc ore": ("zinc", "zinc dominant ore", "refined zinc", "zn"),
}  # fmt: skip

_OTHERS = {
    "barite": ("barium", "baryte", "barytes"),
    "borates": ("borate", "boron", "borate minerals"),
    "coal": ("lignite", "brown coal", "hard coal", "thermal coal", "steam coal", "metallurgical coal", "coking coal",
             "bituminous coal", "sub bituminous coal", "subbituminous coal", "other bituminous coal", "anthracite",
             "bituminous", "subbituminous", "thermal bituminous coal", "metallurgical bituminous coal",
             "semi soft coking coal", "hard coking coal", "soft coking coal", "coal (unspecified)",
             "pulverized coal injection", "pulverised coal"),
    "diamonds": ("diamond", "diamond ore", "diamond ore, gems", "diamond ore (unspecified)", "kimberlite"),
    "dolomite": (),
    "fluorspar": ("fluorite",),
    "graphite": ("graphite, natural",),
    "kaolin": (),
    "limestone": (),
    "nepheline": ("nepheline ore", "nepheline syenite"),
    "phosphate rock": ("phosphate", "phosphates", "phosphorite"),
    "potash": ("potassium oxide", "sylvinite"),
    "pyrite": (),
    "sand and gravel": ("sand", "gravel", "aggregates"),
    "stone": ("crushed stone", "dimension stone"),
}  # fmt: skip

ORES = frozenset(_ORES)
COMMODITIES = tuple(sorted(_ORES | _OTHERS))


def _key(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).strip().casefold()


_NAMES = {_key(word): name for name, words in (_ORES | _OTHERS).items() for word in (name, *words)}


def canonical_commodity(text: str) -> str:
    """Our name for a commodity, whatever a source calls it; case, hyphens and spaces don't matter.

    Raises
    ------
    BadInput
        No mine of ours digs that; the message lists what they dig.

    Examples
    --------
    >>> canonical_commodity("Iron"), canonical_commodity("thermal coal"), canonical_commodity("Alumina")
    ('iron ore', 'coal', 'bauxite')
    """
    name = _NAMES.get(_key(text))
    if name is None:
        raise BadInput(f"commodity must be one of {', '.join(COMMODITIES)}, instead got {text!r}")
    return name


def is_ore(commodity: str) -> bool:
    """True where a commodity, by any of its names, is the ore of a metal."""
    return canonical_commodity(commodity) in ORES
