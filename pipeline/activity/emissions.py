r"""Emissions of a mine-year from the ore mined and an emission factor, with uncertainty and confidence.

    E = A f,     (sE/E)^2 = (sA/A)^2 + (sf/f)^2 + (sA/A)^2 (sf/f)^2

the exact variance of a product of independent quantities (Goodman, J. Am. Stat. Assoc. 55, 1960): 30 % and 40 % give
51.4 %, not the 12 % of a product of uncertainties taken literally. Interval: lognormal, as in `production`; the
degrees of freedom are the activity's, thinned by the factor's part of the variance (Welch and Satterthwaite).

The factor f (t of CO2 per t of ore mined) is the asset's own; without one, the mean over the mines of its country and
commodity, then of its region. Mining carries CO2 only. CH4 and N2O are null: nobody looked. They are left out of CO2e,
which therefore equals CO2 until they are known; a 0 would claim that there are none.

Confidence of emissions is the lower of that of activity and factor (METHODS section 6, Climate TRACE 2023).
"""

from __future__ import annotations

import calendar
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import BadInput
from ..model import EmissionFactor
from .production import Z95, Estimate, estimate, log_deviation, pooled_spread

GASES = ("co2", "ch4", "n2o")
# IPCC AR6, table 7.15; methane of fossil origin
GWP100 = {"co2": 1.0, "ch4": 29.8, "n2o": 273.0}
GWP20 = {"co2": 1.0, "ch4": 82.5, "n2o": 273.0}

CONFIDENCES = ("very low", "low", "medium", "high", "very high")
LEVELS = ("asset", "national", "regional")
# Chosen where a source states none. Sishen's six printed factors scatter by 7 %; for means of other mines no source
# gives a figure, and with two mines or more their own scatter takes part.
FACTOR_UNCERTAINTY = {"asset": 0.10, "national": 0.30, "regional": 0.40}
# Chosen: how far a month's true share may be from its share of the radar's activity or of the days.
SHARE_UNCERTAINTY = 0.30

_REGIONS = {
    "Africa": """
        AGO BDI BEN BFA BWA CAF CIV CMR COD COG COM CPV DJI DZA EGY ERI ESH ETH GAB GHA GIN GMB GNB GNQ IOT
        KEN LBR LBY LSO MAR MDG MLI MOZ MRT MUS MWI MYT NAM NER NGA REU RWA SDN SEN SHN SLE SOM SSD STP SWZ
        SYC TCD TGO TUN TZA UGA ZAF ZMB ZWE
    """,
    "Americas": """
        ABW AIA ARG ATG BES BHS BLM BLZ BMU BOL BRA BRB CAN CHL COL CRI CUB CUW CYM DMA DOM ECU FLK GLP GRD
        GRL GTM GUF GUY HND HTI JAM KNA LCA MAF MEX MSR MTQ NIC PAN PER PRI PRY SLV SPM SUR SXM TCA TTO URY
        USA VCT VEN VGB VIR
    """,
    "Asia": """
        AFG ARE ARM AZE BGD BHR BRN BTN CHN CYP GEO HKG IDN IND IRN IRQ ISR JOR JPN KAZ KGZ KHM KOR KWT LAO
        LBN LKA MAC MDV MMR MNG MYS NPL OMN PAK PHL PRK PSE QAT SAU SGP SYR THA TJK TKM TLS TUR TWN UZB VNM
        YEM
    """,
    "Europe": """
        ALA ALB AND AUT BEL BGR BIH BLR CHE CZE DEU DNK ESP EST FIN FRA FRO GBR GGY GIB GRC HRV HUN IMN IRL
        ISL ITA JEY LIE LTU LUX LVA MCO MDA MKD MLT MNE NLD NOR POL PRT ROU RUS SJM SMR SRB SVK SVN SWE UKR
        VAT XKX
    """,
    "Oceania": """
        ASM AUS CCK COK CXR FJI FSM GUM KIR MHL MNP NCL NFK NIU NRU NZL PCN PLW PNG PYF SLB TKL TON TUV UMI
        VUT WLF WSM
    """,
}
# UN M49 macro-regions; Taiwan and Kosovo, which M49 doesn't list apart, by where they lie
REGIONS = {code: name for name, codes in _REGIONS.items() for code in codes.split()}


@dataclass(frozen=True)
class Ladder:
    """How much a number is to be trusted, by how it was found: words of `CONFIDENCES`.

    ``activity`` by the basis of an `Estimate`, ``factor`` by its level.
    """

    name: str
    activity: Mapping[str, str]
    factor: Mapping[str, str]
    source: str

    def __post_init__(self):
        for what, words, needed in (("activity", self.activity, BASES), ("factor", self.factor, LEVELS)):
            wrong = {k: v for k, v in words.items() if v not in CONFIDENCES or k not in needed}
            missing = [k for k in needed if k not in words]
            if wrong or missing:
                raise BadInput(
                    f"ladder {self.name!r}: {what} must give each of {', '.join(needed)} one of "
                    f"{', '.join(CONFIDENCES)}, instead got {dict(words)}"
                )


# How an activity was found, best first: bases of `Estimate`.
BASES = ("reported_ore", "converted_product", "area_of_mine", "regression", "area_of_mine_by_product")
LADDERS = {
    "ct2023": Ladder(
        "ct2023",
        {
            "reported_ore": "high",
            "converted_product": "medium",  # "scaled from non-ore of the year"
            "area_of_mine": "medium",  # "InSAR-derived"
            "regression": "medium",
            "area_of_mine_by_product": "low",  # rests on another year's non-ore
        },
        {"asset": "medium", "national": "low", "regional": "very low"},
        "Climate TRACE, Mining and Quarrying Emissions Using InSAR Retrievals (2023)",
    )
}


@dataclass(frozen=True)
class Factor:
    """An emission factor to use, t of CO2 per t of ore; ``relative`` is its relative standard uncertainty."""

    value: float
    relative: float
    level: str
    mines: int
    source: str


@dataclass(frozen=True)
class Emission:
    """CO2 of a mine-year, t: value with its 95 % interval, relative standard uncertainty, and confidence in words."""

    tonnes: float
    low: float
    high: float
    relative: float
    factor: Factor
    activity_confidence: str
    factor_confidence: str
    confidence: str


def ladder(choice: str | Ladder) -> Ladder:
    """A confidence ladder by name, or the one given.

    The 2025 edition's ladder is in a document that could not be read here, so there is none of that name: whoever has
    it passes its words as a `Ladder`.

    Raises
    ------
    BadInput
        There is none of that name.
    """
    if isinstance(choice, Ladder):
        return choice
    if choice not in LADDERS:
        more = "; the words of the 2025 edition are not known here: pass them as a ladder" if choice == "ct2025" else ""
        raise BadInput(f"confidence ladder must be one of {', '.join(LADDERS)}, instead got {choice!r}{more}")
    return LADDERS[choice]


def lower(*words: str) -> str:
    """The lowest of some confidences."""
    return min(words, key=CONFIDENCES.index)


def step_down(word: str) -> str:
    """The next lower confidence; there is nothing below "very low"."""
    return CONFIDENCES[max(CONFIDENCES.index(word) - 1, 0)]


def region(country: str) -> str:
    """UN M49 macro-region of an ISO 3166-1 alpha-3 code; "" where unknown."""
    return REGIONS.get(country.upper(), "")


def product_uncertainty(activity: float, factor: float) -> float:
    """Relative standard uncertainty of a product of independent quantities from theirs: exact, see the module."""
    return math.sqrt(activity**2 + factor**2 + (activity * factor) ** 2)


def factor_problem(factor: EmissionFactor) -> str:
    """Why a factor can't be used, in words; "" where it can."""
    if not (factor.value is not None and 0.0 < factor.value < math.inf):
        return f"emission factor must be positive (t CO2 per t ore), instead got {factor.value} ({factor.source})"
    if factor.level not in LEVELS:
        return f"emission factor must be one of {', '.join(LEVELS)}, instead got {factor.level!r} ({factor.source})"
    if factor.uncertainty is not None and not (0.0 <= factor.uncertainty < math.inf):
        return f"a factor's uncertainty must be at least 0, instead got {factor.uncertainty} ({factor.source})"
    return ""


def stated_factor(factors: Sequence[EmissionFactor], level: str, year: int) -> Factor | None:
    """The factor that sources state for a level: of the year, else for any year, else of the nearest (the earlier one).

    Where several state one for that year it is their median, and their scatter enters the uncertainty.
    """
    mine = [f for f in factors if f.level == level]
    if not mine:
        return None

    def distance(f: EmissionFactor) -> tuple[float, int]:
        return (0.5, 0) if f.year is None else (abs(f.year - year), f.year)

    best = min(map(distance, mine))
    chosen = [f for f in mine if distance(f) == best]
    values = np.array([f.value for f in chosen])
    middle = float(np.median(values))
    scatter = float(values.std(ddof=1)) / middle if values.size > 1 else 0.0
    stated = max(FACTOR_UNCERTAINTY[level] if f.uncertainty is None else f.uncertainty for f in chosen)
    when = "any year" if chosen[0].year is None else str(chosen[0].year)
    source = "; ".join(f"{f.value:g} ({f.source}, {when})" for f in chosen)
    return Factor(middle, math.hypot(stated, scatter), level, 1, source)


def mean_factor(values: Mapping[str, float], level: str, where: str) -> Factor | None:
    """Arithmetic mean over mines, as the documents have it, for a mine that isn't among them.

    Its uncertainty is that of one further mine: the scatter between mines, pooled with `FACTOR_UNCERTAINTY` (it counts
    for 4 degrees of freedom), and the error of the mean.

    Parameters
    ----------
    values : mapping
        Mine id to its factor, t/t.
    level : str
        ``"national"`` or ``"regional"``.
    where : str
        Country or region, for the source.
    """
    if not values:
        return None
    factors, n = np.array([values[key] for key in sorted(values)]), len(values)
    logs = np.log(factors)
    spread, _ = pooled_spread(logs - logs.mean(), 0.0, (log_deviation(FACTOR_UNCERTAINTY[level]), 4), n - 1)
    relative = math.sqrt(math.expm1(spread**2 * (1.0 + 1.0 / n)))
    return Factor(float(factors.mean()), relative, level, n, f"mean of {n} mine(s) of {where}")


def activity_confidence(activity: Estimate, words: Ladder) -> str:
    """How much an activity is to be trusted.

    Any flag (outside the range that its regression was fitted on, a slope that isn't significant, sources that
    disagree) costs one step: chosen, the documents don't say.
    """
    word = words.activity[activity.basis]
    return step_down(word) if activity.flags else word


def emission(activity: Estimate, factor: Factor, words: Ladder) -> Emission:
    """CO2 from ore mined and a factor, with interval and confidence: see the module."""
    trust, belief = activity_confidence(activity, words), words.factor[factor.level]
    relative = product_uncertainty(activity.relative, factor.relative)
    value, a, f = activity.tonnes * factor.value, log_deviation(activity.relative), log_deviation(factor.relative)
    if value == 0.0:
        low, high = 0.0, activity.high * factor.value
    else:
        thinner = ((a**2 + f**2) / a**2) ** 2 if a > 0 else math.inf
        spread = estimate(value, math.hypot(a, f), activity.degrees * thinner, activity.basis)
        low, high = spread.low, spread.high
    return Emission(value, low, high, relative, factor, trust, belief, lower(trust, belief))


def co2e(quantities: Mapping[str, float | None], horizon: int) -> tuple[float | None, tuple[str, ...]]:
    """CO2 equivalent (t) of the gases that are known, and which ones went in; None where none is known.

    Parameters
    ----------
    quantities : mapping
        Gas ("co2", "ch4", "n2o") to t, None where unknown.
    horizon : int
        100 or 20 years.
    """
    if horizon not in (100, 20):
        raise BadInput(f"horizon of a warming potential must be 100 or 20 years, instead got {horizon}")
    potential = GWP100 if horizon == 100 else GWP20
    unknown = [gas for gas in quantities if gas not in potential]
    if unknown:
        raise BadInput(f"gas must be one of {', '.join(GASES)}, instead got {', '.join(unknown)}")
    known = tuple(gas for gas in GASES if quantities.get(gas) is not None)
    return (sum(potential[gas] * quantities[gas] for gas in known) if known else None), known


def monthly_shares(year: int, activity=None):
    """Share of each month in a year.

    Parameters
    ----------
    year : int
    activity : array_like, (12,), float, optional
        How active each month was (the pairs' mean NDAI, say), NaN where no pair saw it: such months get the mean of
        the others. Without it, or where it is 0 throughout, a month's share is its share of days.

    Returns
    -------
    ndarray, (12,), float64
        Sums to 1.

    Raises
    ------
    BadInput
        If there aren't twelve, or one is negative.
    """
    days = np.array([calendar.monthrange(year, month)[1] for month in range(1, 13)], np.float64)
    if activity is None:
        return days / days.sum()
    activity = np.array([np.nan if v is None else v for v in activity], np.float64)
    if activity.shape != (12,) or np.any(activity < 0) or np.any(np.isinf(activity)):
        raise BadInput(f"activity by month must be 12 numbers of at least 0, instead got {activity.tolist()}")
    seen = np.isfinite(activity)
    if not seen.any() or activity[seen].sum() == 0:
        return days / days.sum()
    weight = np.where(seen, activity, activity[seen].mean()) * days
    return weight / weight.sum()


def total(emissions: Sequence[Emission]) -> tuple[float, float, float, float]:
    """Sum over mines with its 95 % interval and relative standard uncertainty: (t, low, high, relative).

    Activities of different mines are taken as independent. A factor that several mines share (one national mean) errs
    for all of them together, so its part adds up linearly. One mine's sum has that mine's interval.
    """
    value = float(sum(e.tonnes for e in emissions))
    if value == 0.0:
        return 0.0, 0.0, float(sum(e.high for e in emissions)), 0.0
    # the interval of a sum takes each mine as wide as its own: few degrees of freedom made that wider than `relative`
    wide = [math.sqrt(math.expm1(min((math.log(e.high / e.low) / (2 * Z95)) ** 2, 350.0))) if e.low > 0 else 0.0
            for e in emissions]  # fmt: skip
    relative = _relative_sum(emissions, [e.relative for e in emissions], value)
    reach = math.exp(Z95 * log_deviation(_relative_sum(emissions, wide, value)))
    return value, value / reach, value * reach, relative


def _relative_sum(emissions: Sequence[Emission], relatives: Sequence[float], value: float) -> float:
    shared: dict[Factor, float] = {}
    variance = 0.0
    for e, relative in zip(emissions, relatives, strict=True):
        shared[e.factor] = shared.get(e.factor, 0.0) + e.tonnes
        variance += e.tonnes**2 * (relative**2 - e.factor.relative**2)
    variance += sum((tonnes * factor.relative) ** 2 for factor, tonnes in shared.items())
    return math.sqrt(variance) / value
