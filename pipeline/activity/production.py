r"""Ore mined in a year, from reports where there are any and from the active area where there are none.

Everything is multiplicative (a mine digs twice or half as much, never a negative mass), so errors live on the log
scale: an estimate is a median P with a log standard deviation s, its 95 % interval P exp(-+ q s), q the quantile of
Student's t for the degrees of freedom behind s, and its relative standard uncertainty sqrt(exp(s^2) - 1).

A mine with reported ore (METHODS section 6), over its years i with ore P_i and active area A_i:

    r = sum P_i / sum A_i  (t/m2),     P = r A,     s^2 = e^2 (1 + sum w_i^2) + a^2 + sum w_i^2 (a_i^2 + p_i^2)

w_i = A_i / sum A; a, a_i and p_i the relative uncertainties of areas and reports. e is how much a mine's t/m2 changes
from year to year: its own scatter less what a_i and p_i explain, pooled with the prior YEAR_SPREAD. One year alone says
nothing of e, and two next to nothing: the prior keeps them honest.

A mine without: ordinary least squares of y = ln P on x = ln A over the n mines of its commodity. Years of one mine are
not independent, so each mine is one point, the mean over its years; w^2 is the variance within mines, which a mean of k
years hides in part and a single year shows in full:

    P = exp(alpha + beta ln A),   s^2 = v (1 + 1/n + (x - xbar)^2 / Sxx) + w^2 (1 - mean 1/k) + beta^2 a^2

with v the residual variance and n - 2 degrees of freedom: the prediction interval, not that of the line (Draper and
Smith, Applied Regression Analysis, chapter 1). The source documents' own straight lines through tonnes and pixels give
no interval and over-predict Sishen by 51 to 135 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from ..errors import BadInput
from ..model import ProductionFigure

# Chosen. One reported figure: weighing, moisture, business years that aren't calendar years.
REPORT_UNCERTAINTY = 0.05
# Priors: log standard deviation, and the degrees of freedom that it counts for.
# t/m2 of one mine from year to year: Sishen's printed tables, the only ones, have 0.04 (2020-22) and 0.25 (2021-23),
# pooled 0.18 with 4 degrees.
YEAR_SPREAD = (0.20, 4)
# Ore per tonne of product: first from year to year at one mine, then between mines. Measured on the mine-level data of
# Jasansky et al.: coal 0.13 and 0.18 (the 41 mines whose two figures aren't one), metals and concentrates 0.26-0.62 and
# 0.9-1.7 (20 to 247 mines each).
CONVERSION_SPREAD = ((0.35, 30), (1.0, 30))
COAL_CONVERSION_SPREAD = ((0.13, 30), (0.18, 30))
MINIMUM_MINES = 5  # of a regression: with fewer, t makes the interval span four orders of magnitude
Z95 = 1.959963984540054

BELOW, ABOVE = "below_fitted_range", "above_fitted_range"
NO_SLOPE = "slope_not_significant"


@dataclass(frozen=True)
class Estimate:
    """A positive quantity (t), median and 95 % interval.

    ``relative`` is the relative standard uncertainty, ``degrees`` the degrees of freedom behind it, ``basis`` how it
    was found (`emissions.Ladder` names them), ``flags`` warnings in fixed words, ``detail`` the sources in words.
    """

    tonnes: float
    low: float
    high: float
    relative: float
    degrees: float
    basis: str
    flags: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class Year:
    """Ore (t) and active area (m2) of one mine and year, with their relative standard uncertainties."""

    year: int
    ore: float
    area: float
    ore_relative: float = REPORT_UNCERTAINTY
    area_relative: float = 0.0


@dataclass(frozen=True)
class Ratio:
    """A ratio (t/m2, or t of ore per t of product): median, log standard deviations, and how many values made it.

    ``spread`` is that of a single new year or mine around it, with ``degrees``; ``error`` that of the ratio itself.
    """

    value: float
    spread: float
    error: float
    degrees: float
    count: int


@dataclass(frozen=True)
class Fit:
    """Log-log regression of ore (t) on active area (m2) of one commodity: see the module.

    ``residual`` is v, ``within`` w^2 (1 - mean 1/k), ``r2`` on the log scale over the mines' points, ``slope_error``
    the slope's standard error; areas in m2.
    """

    slope: float
    intercept: float
    mines: int
    center: float
    sxx: float
    residual: float
    within: float
    slope_error: float
    r2: float
    smallest_area: float
    largest_area: float

    @property
    def degrees(self) -> int:
        """Of freedom of the residual variance."""
        return self.mines - 2


def log_deviation(relative: float) -> float:
    """Log standard deviation of a lognormal with this relative standard uncertainty."""
    return math.sqrt(math.log1p(relative**2))


def estimate(tonnes: float, deviation: float, degrees: float, basis: str, **more) -> Estimate:
    """An `Estimate` from a median, a log standard deviation and its degrees of freedom (may be inf)."""
    q = float(stdtrit(degrees, 0.975)) if math.isfinite(degrees) else Z95
    # beyond exp(350) the interval says "anything" all the same; squaring it must not overflow
    reach, variance = math.exp(min(q * deviation, 350.0)), min(deviation**2, 350.0)
    return Estimate(
        tonnes, tonnes / reach, tonnes * reach, math.sqrt(math.expm1(variance)), degrees, basis, **more
    )  # fmt: skip


def area_uncertainty(area: float, low: float, high: float) -> float:
    """Relative standard uncertainty of an area from its 95 % interval, all m2.

    Raises
    ------
    BadInput
        If the area isn't positive or the interval doesn't hold it.
    """
    if not (0.0 < area < math.inf):
        raise BadInput(f"active area must be positive (m2), instead got {area:g}; production needs some activity")
    if not (0.0 <= low <= area <= high < math.inf):
        raise BadInput(f"the interval of an active area must hold it, instead got {area:g} in [{low:g}, {high:g}] m2")
    return (high - low) / (2.0 * Z95 * area)


def figure_problem(figure: ProductionFigure) -> str:
    """Why a figure can't be used, in words; "" where it can. 0 t is a figure: the mine stood still."""
    tonnes = figure.tonnes
    if tonnes is None or not math.isfinite(tonnes):
        return f"{figure.year}: no production figure ({figure.source}); left out"
    if tonnes < 0:
        return f"{figure.year}: production must not be negative, instead got {tonnes:g} t ({figure.source}); left out"
    if figure.definition not in ("ore", "product"):
        return f'{figure.year}: a figure must be "ore" or "product", instead got {figure.definition!r}; left out'
    return ""


def reported(figures: Sequence[ProductionFigure], year: int, definition: str) -> Estimate | None:
    """What was reported for a year under one definition: the median of the figures.

    No source is taken to be the right one. With three or more, the median shrugs off one wrong unit; the scatter of
    the figures enters the uncertainty beside `REPORT_UNCERTAINTY`. What one source states under different names
    (oxide and sulphide ore) are parts and are added up first; what it states twice under one name is averaged.

    Parameters
    ----------
    figures : sequence of ProductionFigure
        Usable ones (`figure_problem`), of one mine and one product.
    year : int
    definition : str
        ``"ore"`` or ``"product"``.

    Returns
    -------
    Estimate or None
        Basis ``"reported_ore"`` or ``"reported_product"``; its ``detail`` names every figure and source. None where no
        figure is of this year and definition.
    """
    chosen = [f for f in figures if f.year == year and f.definition == definition]
    if not chosen:
        return None
    parts: dict[str, dict[str, list[float]]] = {}
    for figure in chosen:
        parts.setdefault(figure.source, {}).setdefault(figure.commodity, []).append(float(figure.tonnes))
    values = np.array([sum(float(np.mean(v)) for v in named.values()) for named in parts.values()])
    middle = float(np.median(values))
    detail = f"{definition}: " + "; ".join(f"{v:.6g} t ({s})" for s, v in zip(parts, values, strict=True))
    basis = f"reported_{definition}"
    if middle == 0.0:
        return Estimate(0.0, 0.0, float(values.max()), 0.0, math.inf, basis, (), detail)
    scatter = float(values.std(ddof=1)) / middle if values.size > 1 else 0.0
    flags = ("sources_disagree",) if scatter > 2 * REPORT_UNCERTAINTY else ()
    deviation = log_deviation(math.hypot(REPORT_UNCERTAINTY, scatter))
    return estimate(middle, deviation, math.inf, basis, flags=flags, detail=detail)


def pooled_spread(deviations, explained: float, prior: tuple[float, float], degrees: int) -> tuple[float, float]:
    """Standard deviation of log deviations, pooled with a prior.

    Parameters
    ----------
    deviations : array_like, (value,), float
        From their own centre, log scale.
    explained : float
        Sum of squares that known errors account for; what is left is at least 0.
    prior : (float, float)
        Log standard deviation where there is nothing to go by, and the degrees of freedom that it counts for.
    degrees : int
        Of freedom of ``deviations``.

    Returns
    -------
    (float, float)
        The standard deviation and its degrees of freedom.
    """
    own = max(float(np.sum(np.square(deviations))) - explained, 0.0)
    total = prior[1] + degrees
    return math.sqrt((prior[1] * prior[0] ** 2 + own) / total), float(total)


def mine_ratio(years: Sequence[Year]) -> Ratio:
    """t/m2 of one mine from its years with reported ore: the ratio estimator of the module.

    Raises
    ------
    BadInput
        If no year has positive ore and area.
    """
    good = [y for y in years if y.ore > 0 and y.area > 0]
    if not good:
        raise BadInput("t/m2 of a mine needs a year with reported ore and an active area, instead got none")
    ore, area = np.array([y.ore for y in good]), np.array([y.area for y in good])
    noise = np.array([y.ore_relative**2 + y.area_relative**2 for y in good])
    value, weight, n = ore.sum() / area.sum(), area / area.sum(), len(good)
    spread, degrees = pooled_spread(np.log(ore / (value * area)), (n - 1) * noise.mean(), YEAR_SPREAD, n - 1)
    error = math.sqrt(float(np.sum(weight**2 * (spread**2 + noise))))
    return Ratio(float(value), spread, error, degrees, n)


def from_ratio(ratio: Ratio, area: float, area_relative: float, basis: str, **more) -> Estimate:
    """Ore of another year of the same mine from its active area (m2) and t/m2."""
    deviation = math.sqrt(ratio.spread**2 + ratio.error**2 + area_relative**2)
    return estimate(ratio.value * area, deviation, ratio.degrees, basis, **more)


def conversion(ratios, prior: tuple[float, float]) -> Ratio:
    """Ore per tonne of product: geometric mean of one value per year of a mine, or of one per mine.

    The geometric mean, because the ratio spreads by a factor of e between mines and an arithmetic mean follows the
    poorest deposit alone. ``prior``: how the values spread, as in `CONVERSION_SPREAD`.

    Raises
    ------
    BadInput
        If there is no value, or one that isn't positive.
    """
    ratios = np.asarray(ratios, np.float64)
    if ratios.size == 0 or not np.all((ratios > 0) & np.isfinite(ratios)):
        raise BadInput(f"ore per tonne of product must be positive numbers, instead got {ratios.tolist()}")
    logs, n = np.log(ratios), ratios.size
    spread, degrees = pooled_spread(logs - logs.mean(), 0.0, prior, n - 1)
    return Ratio(float(np.exp(logs.mean())), spread, spread / math.sqrt(n), degrees, n)


def convert(product: Estimate, ratio: Ratio, basis: str, where: str) -> Estimate:
    """Ore behind a reported product; ``where`` says in words whose factor it is."""
    deviation = math.sqrt(log_deviation(product.relative) ** 2 + ratio.spread**2 + ratio.error**2)
    detail = f"{product.detail}; x {ratio.value:.4g} t of ore per t, {where}"
    if product.tonnes == 0.0:
        return replace(product, basis=basis, detail=detail)
    return estimate(
        product.tonnes * ratio.value, deviation, ratio.degrees, basis, flags=product.flags, detail=detail
    )  # fmt: skip


def fit_log_log(mines, area, ore, minimum: int = MINIMUM_MINES) -> Fit:
    """Regression of one commodity's ore on active area, one point a mine.

    Parameters
    ----------
    mines : array_like, (row,), str
        Whose year a row is.
    area, ore : array_like, (row,), float
        m2 and t. Rows that aren't both positive and finite are left out: they have no logarithm.
    minimum : int
        Mines needed; at least 3.

    Raises
    ------
    BadInput
        If lengths differ, too few mines are left, or all have one area.
    """
    mines, area, ore = np.asarray(mines, str), np.asarray(area, np.float64), np.asarray(ore, np.float64)
    if not mines.shape == area.shape == ore.shape or mines.ndim != 1:
        raise BadInput(f"mines, area and ore must be one length, instead got {mines.shape}, {area.shape}, {ore.shape}")
    good = (area > 0) & (ore > 0) & np.isfinite(area) & np.isfinite(ore)
    names, member, count = np.unique(mines[good], return_inverse=True, return_counts=True)
    n = names.size
    if n < max(minimum, 3):
        raise BadInput(f"a regression needs at least {max(minimum, 3)} mines with reported ore, instead got {n}")
    log_area, log_ore = np.log(area[good]), np.log(ore[good])
    x, y = np.bincount(member, log_area) / count, np.bincount(member, log_ore) / count
    center, sxx = float(x.mean()), float(np.sum((x - x.mean()) ** 2))
    if sxx <= 1e-12 * n:
        raise BadInput(f"a regression needs mines of different area, instead got {math.exp(center):.4g} m2 for all")
    slope = float(np.sum((x - center) * y)) / sxx
    rest = y - y.mean() - slope * (x - center)
    residual = float(np.sum(rest**2)) / (n - 2)
    years = log_ore - slope * log_area
    inner = years - (np.bincount(member, years) / count)[member]
    free = int(count.sum()) - n
    within = float(np.sum(inner**2)) / free * float(1.0 - np.mean(1.0 / count)) if free else 0.0
    scatter = float(np.sum((y - y.mean()) ** 2))
    return Fit(
        slope, float(y.mean()) - slope * center, n, center, sxx, residual, within, math.sqrt(residual / sxx),
        1.0 - float(np.sum(rest**2)) / scatter if scatter > 0 else math.nan,
        math.exp(float(x.min())), math.exp(float(x.max())),
    )  # fmt: skip


def predict(fit: Fit, area: float, area_relative: float = 0.0, basis: str = "regression", detail: str = "") -> Estimate:
    """Ore of a mine of which nothing is reported, with the prediction interval of the module.

    Outside the areas that were fitted the interval widens by the formula and a flag says so; where the slope's own 95 %
    interval holds 0 another flag says that area explains nothing here.
    """
    x = math.log(area)
    leverage = 1.0 / fit.mines + (x - fit.center) ** 2 / fit.sxx
    deviation = math.sqrt(fit.residual * (1.0 + leverage) + fit.within + (fit.slope * area_relative) ** 2)
    # the fit's ends went through a logarithm and back: their last digits don't count
    below, above = area < fit.smallest_area * (1 - 1e-9), area > fit.largest_area * (1 + 1e-9)
    flags = [name for name, true in ((BELOW, below), (ABOVE, above)) if true]
    if fit.slope <= float(stdtrit(fit.degrees, 0.975)) * fit.slope_error:
        flags.append(NO_SLOPE)
    tonnes = math.exp(fit.intercept + fit.slope * x)
    return estimate(tonnes, deviation, fit.degrees, basis, flags=tuple(flags), detail=detail)
