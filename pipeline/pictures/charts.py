"""Active area and production year by year, in two panels that share their years.

Bars are active areas, divided into the colours of the composite where three years allow it, with their 95 % interval.
Production has its own panel: an axis of its own at the right of the areas would suggest a relation that only its scales
decide. Every reported figure is a point of its own with its source, because sources disagree. A year without data is
hatched: it is missing, not zero.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullFormatter

from ..errors import BadInput
from ..model import ProductionFigure
from .drawing import headline, new_sheet, picture
from .maps import code_colour, years_label

STACK = (  # code, hatch: from the bottom of a bar; the hatch tells two years from one without the colour
    (7, None),
    (3, "//"),
    (5, "\\\\"),
    (6, "xx"),
    (1, None),
    (2, None),
    (4, None),
)
WHOLE = "0.45"  # grey of a bar that is not divided
REST = "0.8"  # ... and of what no colour counts
ESTIMATE = "#0072B2"
FIGURE_STYLE = (("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"), ("0.3", "X"))
DEFINITIONS = {"ore": "ore mined", "product": "product"}
WIDTH, LEFT, RIGHT, PANEL, FOOT, GAP = 1080, 78, 270, 270, 46, 24
BAR = 0.62  # of a year's room
NARROW = 70  # px a year below which numbers stand upright


@dataclass(frozen=True)
class YearArea:
    """Active area of a year, m2, with its 95 % interval (NaN where unknown) and its pixels.

    ``colours``: m2 by code (1..7, bit 0 the red year) of the colours that count in this year; empty where unknown.
    """

    year: int
    area: float
    low: float
    high: float
    pixels: int | None = None
    colours: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class YearProduction:
    """Estimated production of a year, t, with its 95 % prediction interval."""

    year: int
    tonnes: float
    low: float
    high: float


@picture
def activity_chart(
    title: tuple[str, str],
    areas: Sequence[YearArea],
    production: Sequence[YearProduction] = (),
    reported: Sequence[ProductionFigure] = (),
    meaning: Sequence[tuple[str, tuple[int, ...]]] = (),
) -> Figure:
    """Active areas above; below, where there is any, production with what is reported of it.

    Parameters
    ----------
    title : (str, str)
        Headline and the line below it.
    areas : sequence of YearArea
        A year that isn't there, or whose area is NaN, is shown as missing.
    production : sequence of YearProduction
    reported : sequence of ProductionFigure
        Those of years outside the areas' and estimates' range are counted in the legend only.
    meaning : sequence of (str, tuple of int)
        What each code means, as `activity.composite.colour_years` gives it; needed where areas have colours.

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    BadInput
        No area at all, a year twice, a negative value, or colours without their meaning.
    """
    _check(areas, production, reported, meaning)
    known = [a for a in areas if math.isfinite(a.area)]
    years = {a.year for a in areas} | {p.year for p in production}
    years = list(range(min(years), max(years) + 1))
    inside = [f for f in reported if f.year in years]
    panels = 2 if production or inside else 1
    width, height = WIDTH - LEFT - RIGHT, 64 + panels * PANEL + (panels - 1) * GAP + FOOT
    figure = new_sheet(WIDTH, height)
    headline(figure, 18, height, WIDTH - 36, title)
    bottoms = [FOOT + (panels - 1 - k) * (PANEL + GAP) for k in range(panels)]
    axes = [figure.add_axes((LEFT / WIDTH, b / height, width / WIDTH, PANEL / height)) for b in bottoms]
    handles = [_areas(axes[0], known, meaning, width / len(years))]
    _missing(axes[0], set(years) - {a.year for a in known}, "no data")
    if panels == 2:
        handles.append(_production(axes[1], production, inside, len(reported) - len(inside)))
        _missing(axes[1], set(years) - {p.year for p in production} - {f.year for f in inside}, "no figure")
    _frame(axes, years)
    for bottom, entries in zip(bottoms, handles, strict=True):
        figure.legend(handles=entries, loc="upper left", frameon=False, fontsize=8, labelspacing=0.55,
                      bbox_to_anchor=((LEFT + width + 8) / WIDTH, (bottom + PANEL + 6) / height))  # fmt: skip
    return figure


def _check(areas, production, reported, meaning) -> None:
    for what, entries in (("area", areas), ("production estimate", production)):
        years = [entry.year for entry in entries]
        if len(set(years)) != len(years):
            raise BadInput(f"a chart needs one {what} a year, instead got the years {sorted(years)}")
    if not areas:
        raise BadInput("a chart needs the active area of at least one year, instead got none")
    values = [a.area for a in areas] + [p.tonnes for p in production] + [f.tonnes for f in reported]
    if any(value < 0 for value in values):
        raise BadInput(f"areas and production must not be negative, instead got {min(values)}")
    if any(a.colours for a in areas) and len(meaning) != 8:
        raise BadInput(f"colours need the meaning of all 8 codes (activity.composite.colour_years), got {len(meaning)}")


def _areas(axes: Axes, areas, meaning, room: float) -> list:
    """Bars, intervals and numbers, km2; returns the legend."""
    used: set[int | str] = set()
    highest = max((max(a.area, a.high if math.isfinite(a.high) else 0.0) for a in areas), default=0.0)
    unit, word = (1e6, "km²") if highest >= 1e4 else (1.0, "m²")
    bounded = False
    for entry in areas:
        base, parts = 0.0, []
        for code, hatch in STACK:
            if entry.colours.get(code, 0.0) > 0:
                parts.append((code, entry.colours[code], {"facecolor": code_colour(code), "hatch": hatch}))
        rest = entry.area - sum(part for _, part, _ in parts)
        if not entry.colours:
            parts = [("whole", entry.area, {"facecolor": WHOLE})]
        elif rest > 0.001 * entry.area:
            parts.append(("rest", rest, {"facecolor": REST, "hatch": ".."}))
        for key, part, look in parts:
            axes.bar(entry.year, part / unit, BAR, base / unit, edgecolor="black", linewidth=0.7, **look)
            base += part
            used.add(key)
        top = entry.area
        if math.isfinite(entry.low) and math.isfinite(entry.high):
            _interval(axes, entry.year, entry.low, entry.high, unit)
            top, bounded = max(top, entry.high), True
        numbers = f"{entry.area / unit:,.{2 if unit > 1 else 0}f} {word}" + (
            "" if entry.pixels is None else f"\n{entry.pixels:,} pixels"
        )
        axes.annotate(numbers, (entry.year, top / unit), (0, 5), textcoords="offset points", ha="center", va="bottom",
                      fontsize=8, rotation=90 if room < NARROW else 0)  # fmt: skip
    axes.set_ylim(0.0, (1.65 if room < NARROW else 1.25) * (highest / unit or 1.0))
    axes.set_ylabel(f"active area ({word})", fontsize=9.5)
    handles: list = []
    for code, hatch in STACK:
        if code in used:
            name, active = meaning[code]
            handles.append(Patch(facecolor=code_colour(code), hatch=hatch, edgecolor="black", linewidth=0.7,
                                 label=f"{name}: {years_label(active)}"))  # fmt: skip
    for key, label, look in (
        ("whole", "active area", {"facecolor": WHOLE}),
        ("rest", "active, but with no data in\nanother of the three years", {"facecolor": REST, "hatch": ".."}),
    ):
        if key in used:
            handles.append(Patch(edgecolor="black", linewidth=0.7, label=label, **look))
    return [*handles, _interval_handle("black", None, "95 % interval")] if bounded else handles


def _production(axes: Axes, production, reported: Sequence[ProductionFigure], outside: int) -> list:
    """Estimates with their intervals and the reported figures beside them; returns the legend."""
    tops = [p.tonnes for p in production] + [p.high for p in production] + [f.tonnes for f in reported]
    highest = max((v for v in tops if math.isfinite(v)), default=0.0)
    unit, word = next(((u, w) for u, w in ((1e6, "Mt"), (1e3, "kt")) if highest >= u), (1.0, "t"))
    sources = list(dict.fromkeys((f.source, f.definition) for f in sorted(reported, key=_order)))
    handles: list = []
    for entry in production:
        if math.isfinite(entry.tonnes):
            _interval(axes, entry.year - 0.12, entry.low, entry.high, unit, ESTIMATE)
            axes.plot(entry.year - 0.12, entry.tonnes / unit, "o", color=ESTIMATE, markersize=7, label="estimate")
    if production:
        handles.append(_interval_handle(ESTIMATE, "o", "estimated, with its\n95 % prediction interval"))
    for number, (source, definition) in enumerate(sources):
        colour, marker = FIGURE_STYLE[number % len(FIGURE_STYLE)]
        look = {"color": colour, "marker": marker, "linestyle": "none", "markersize": 6.5, "markeredgecolor": "black",
                "markeredgewidth": 0.6}  # fmt: skip
        own = [f for f in reported if (f.source, f.definition) == (source, definition)]
        shift = 0.06 + 0.28 * (number + 0.5) / len(sources)
        label = textwrap.fill(
            f"reported, {DEFINITIONS.get(definition, definition)}: {source}", 30, max_lines=3, placeholder=" …"
        )
        axes.plot([f.year + shift for f in own], [f.tonnes / unit for f in own], **look, label=label)
        handles.append(Line2D([], [], **look, label=label))
    if outside:
        handles.append(Patch(alpha=0.0, label=f"{outside} figure(s) of other years\nnot shown"))
    axes.set_ylim(0.0, 1.12 * highest / unit or 1.0)
    axes.set_ylabel(f"production ({word})", fontsize=9.5)
    return handles


def _order(figure: ProductionFigure):
    return figure.definition, figure.source, figure.year


def _interval(axes: Axes, year: float, low: float, high: float, unit: float, colour="black") -> None:
    if math.isfinite(low) and math.isfinite(high):
        # the interval need not hold the value: the bars are drawn from end to end
        axes.errorbar(year, 0.5 * (low + high) / unit, 0.5 * (high - low) / unit, color=colour, capsize=5,
                      linestyle="none", elinewidth=1.4, capthick=1.4, zorder=4)  # fmt: skip


def _interval_handle(colour, marker, label):
    return Line2D([], [], color=colour, marker=marker or "|", markersize=7, linewidth=1.4, label=label)


def _missing(axes: Axes, years, word: str) -> None:
    """Hatch the years without data, up to the top of the panel."""
    for year in sorted(years):
        axes.axvspan(year - 0.5, year + 0.5, facecolor="0.97", edgecolor="0.75", hatch="///", linewidth=0, zorder=0)
        axes.text(year, 0.5, word, transform=axes.get_xaxis_transform(), rotation=90, ha="center", va="center",
                  fontsize=9, color="0.25", bbox={"facecolor": "white", "edgecolor": "none", "pad": 2.0})  # fmt: skip


def _frame(axes: Sequence[Axes], years: Sequence[int]) -> None:
    step = math.ceil(len(years) / 16)
    shown = years[::step]
    for panel in axes:
        panel.set_xlim(years[0] - 0.5, years[-1] + 0.5)
        panel.xaxis.set_major_locator(FixedLocator(shown))
        last = panel is axes[-1]
        panel.xaxis.set_major_formatter(FixedFormatter([str(y) for y in shown]) if last else NullFormatter())
        panel.yaxis.set_major_locator(MaxNLocator(6))
        panel.yaxis.set_label_coords(-0.068, 0.5)
        panel.tick_params(labelsize=8.5)
        panel.grid(axis="y", color="0.9", linewidth=0.6)
        panel.set_axisbelow(True)
        for boundary in np.arange(years[0] + 0.5, years[-1], 1.0):
            panel.axvline(boundary, color="0.85", linewidth=0.6, zorder=0)
