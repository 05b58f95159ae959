"""Coherence and activity index over time: the stable points, the named sites, and which pairs did not count.

A value stands at the pair's later date. Accepted pairs are filled markers, joined only where the time between two
neighbours is covered without a break; a rejected pair is an open marker, its interval is shaded, and its reason stands
in the legend. Sites differ by marker as well as by colour (Okabe and Ito's, safe for colour-blind readers).
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter
from numpy.typing import NDArray

from ..errors import BadInput
from .drawing import headline, line, new_sheet, picture, text_width, write

SITES = 6  # in one picture; more can't be told apart
SITE_STYLE = (
    ("#D55E00", "o"),
    ("#0072B2", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#E69F00", "v"),
    ("#56B4E9", "P"),
)
STABLE = "0.25"  # grey
REJECTED = {  # marker of a reason; every one is open
    "low_stable_mean": "v",
    "high_stable_std": "^",
    "low_stable_mean_and_high_stable_std": "D",
    "no_stable_data": "x",
    "large_perpendicular_baseline": "s",
    "no_coverage": "+",
}
OTHER_REASON = "*"
WIDTH, LEFT, RIGHT = 1080, 70, 262  # px; the legend stands at the right
PANEL, FOOT, GAP = 260, 62, 26
LABEL_ROWS, LABEL_LINE = 6, 17
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class Pairs:
    """The pairs of a series with what the stable points say of them, (pair,) each; any order.

    ``reason`` is ``"accepted"`` or a word that says why not; mean and standard deviation are NaN where not known.
    """

    reference_time: NDArray[np.datetime64]
    secondary_time: NDArray[np.datetime64]
    stable_mean: NDArray[np.float64]
    stable_std: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    reason: Sequence[str]


@picture
def series_picture(
    title: tuple[str, str],
    pairs: Pairs,
    sites: Mapping[str, tuple] | None = None,
    spans: Sequence[tuple] = (),
    alerts: Sequence[tuple] = (),
) -> Figure:
    """Coherence of the stable points and sites above, the sites' activity index below.

    Parameters
    ----------
    title : (str, str)
        Headline and the line below it.
    pairs : Pairs
    sites : mapping of str to (coherence, ndai)
        (pair,) float each, NaN where missing; at most `SITES`.
    spans : sequence of (site, start, stop, label)
        Intervals to shade, such as that of an onset; dates.
    alerts : sequence of (site, time, ndai)
        Marked in the lower panel.

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    BadInput
        No pair, lists of different length, too many sites, or a span or an alert of a site that isn't there.
    """
    sites = sites or {}
    pairs = _checked(pairs, sites, spans, alerts)
    low, high = days(pairs.reference_time).min(), days(pairs.secondary_time).max()
    for _, start, stop, _ in spans:
        low, high = min(low, days(start)), max(high, days(stop))
    margin = max(0.015 * (high - low), 15.0)
    limits = low - margin, high + margin
    width = WIDTH - LEFT - RIGHT
    probe = new_sheet(10, 10)
    labels = _label_rows(probe, spans, limits, width)
    strip = GAP + LABEL_LINE * (1 + max((row for *_, row in labels), default=-1))
    panels = 2 if sites else 1
    height = 64 + panels * PANEL + (panels - 1) * strip + FOOT
    figure = new_sheet(WIDTH, height)
    headline(figure, 18, height, WIDTH - 36, title)
    bottoms = [FOOT + (panels - 1 - k) * (PANEL + strip) for k in range(panels)]
    axes = [figure.add_axes((LEFT / WIDTH, b / height, width / WIDTH, PANEL / height)) for b in bottoms]
    styles = dict(zip(sites, SITE_STYLE, strict=False))
    handles = _stable(axes[0], pairs)
    for name, values in sites.items():
        handles.append(_site(axes, pairs, name, values, styles[name]))
    handles += _rejected(axes, pairs)
    _frame(axes, limits, sites)
    _shade(axes[-1], spans, styles)
    handles += _alerts(axes[-1], alerts, styles)
    if spans:
        handles.append(Patch(facecolor="0.6", alpha=0.4, label="interval of a change,\nin the site's colour"))
        _span_labels(figure, labels, styles, bottoms[1] + PANEL)
    if not pairs.accepted.any():
        axes[0].text(0.5, 0.5, "no pair accepted", transform=axes[0].transAxes, ha="center", va="center", fontsize=10)
    figure.legend(handles=handles, loc="upper left", frameon=False, fontsize=8, handlelength=2.2, labelspacing=0.55,
                  bbox_to_anchor=((LEFT + width + 8) / WIDTH, (height - 58) / height))  # fmt: skip
    return figure


def days(time):
    """Days since 1970, float64."""
    return (np.asarray(time, "datetime64[s]") - np.datetime64("1970-01-01", "s")) / DAY


def joined(pairs: Pairs) -> list[NDArray[np.int64]]:
    """Runs of accepted pairs, in time, in which each begins no later than a day after the one before ends."""
    order = np.flatnonzero(pairs.accepted)
    order = order[np.argsort(pairs.secondary_time[order], kind="stable")]
    if not order.size:
        return []
    breaks = pairs.reference_time[order[1:]] > pairs.secondary_time[order[:-1]] + DAY
    return np.split(order, np.flatnonzero(breaks) + 1)


def month_ticks(limits: tuple[float, float], most: int = 12) -> list[tuple[float, str]]:
    """(day, label) of first days of months: every month, or every 2, 3, 6, 12, 24 … so that there are few enough."""
    first, last = (np.datetime64("1970-01-01") + np.timedelta64(round(limits[k]), "D") for k in (0, 1))
    months = np.arange(first.astype("datetime64[M]") + 1, last.astype("datetime64[M]") + 1)
    number = months.astype(int)  # since January 1970
    steps = (1, 2, 3, 6, *(12 * n for n in range(1, 20)))
    step = next((s for s in steps if (number % s == 0).sum() <= most), steps[-1])
    out = []
    for month in months[number % step == 0]:
        day, index = float(days(month.astype("datetime64[D]"))), int(month.astype(int))
        year = f"{1970 + index // 12}"
        name = MONTHS[index % 12]
        # a year below its January, and below the first tick, which may have no January after it
        out.append((day, year if step >= 12 else f"{name}\n{year}" if index % 12 == 0 or not out else name))
    return out


def _checked(pairs: Pairs, sites, spans, alerts) -> Pairs:
    times = [np.asarray(t, "datetime64[ns]") for t in (pairs.reference_time, pairs.secondary_time)]
    mean, std = (np.asarray(v, np.float64) for v in (pairs.stable_mean, pairs.stable_std))
    pairs = Pairs(*times, mean, std, np.asarray(pairs.accepted, bool), tuple(map(str, pairs.reason)))
    count = times[1].shape
    lengths = {np.shape(v) for v in (*times, mean, std, pairs.accepted, pairs.reason)}
    lengths |= {np.shape(v) for values in sites.values() for v in values}
    if len(lengths) != 1 or len(count) != 1 or not count[0]:
        raise BadInput(f"a series needs one value a pair and at least one pair, instead got lengths {sorted(lengths)}")
    if len(sites) > SITES:
        raise BadInput(f"a series shows at most {SITES} sites, instead got {len(sites)}; make several pictures")
    strange = {entry[0] for entry in (*spans, *alerts)} - set(sites)
    if strange:
        raise BadInput(f"spans and alerts must be of the sites {', '.join(sites)}, instead got {sorted(strange)[0]!r}")
    return pairs


def _lines(pairs, values):
    """Times and values of the accepted pairs with a NaN wherever the line has to break."""
    time, out = [], []
    for run in joined(pairs):
        time += [*days(pairs.secondary_time[run]), np.nan]
        out += [*np.asarray(values, np.float64)[run], np.nan]
    return time, out


def _stable(axes: Axes, pairs: Pairs) -> list:
    """Mean and band of the stable points; a pair without neighbours has its band as a bar."""
    axes.plot(*_lines(pairs, pairs.stable_mean), color=STABLE, marker=".", markersize=6, linewidth=1.2, label="stable")
    for run in joined(pairs):
        x, mean, std = days(pairs.secondary_time[run]), pairs.stable_mean[run], pairs.stable_std[run]
        if run.size > 1:
            axes.fill_between(x, mean - std, np.minimum(mean + std, 1.0), color=STABLE, alpha=0.2, linewidth=0)
        else:
            axes.vlines(x, mean - std, np.minimum(mean + std, 1.0), color=STABLE, alpha=0.35, linewidth=3)
    return [
        Line2D([], [], color=STABLE, marker=".", markersize=6, linewidth=1.2, label="stable points, mean"),
        Patch(facecolor=STABLE, alpha=0.2, label="… ± one standard deviation"),
    ]


def _site(axes: Sequence[Axes], pairs: Pairs, name: str, values, style) -> Line2D:
    colour, marker = style
    size = 4.5 if pairs.accepted.size <= 120 else 3.0
    look = {"color": colour, "marker": marker, "markersize": size, "linewidth": 1.0}
    out = np.flatnonzero(~pairs.accepted)
    for panel, value in zip(axes, values, strict=True):
        panel.plot(*_lines(pairs, value), **look, label=name)
        panel.plot(days(pairs.secondary_time[out]), np.asarray(value, np.float64)[out], **{**look, "linestyle": "none"},
                   markerfacecolor="white", markeredgewidth=0.9, label=f"{name}, rejected")  # fmt: skip
    return Line2D([], [], **look, label=textwrap.fill(name, 28, max_lines=2, placeholder=" …"))


def _rejected(axes: Sequence[Axes], pairs: Pairs) -> list:
    """Shade the intervals of the rejected pairs and mark each by its reason; without a mean it stands at 0."""
    out = np.flatnonzero(~pairs.accepted)
    handles: list = []
    for k in out:
        for panel in axes:
            panel.axvspan(*days([pairs.reference_time[k], pairs.secondary_time[k]]), facecolor="0.93", linewidth=0,
                          zorder=0.5)  # fmt: skip
    for reason in sorted({pairs.reason[k] for k in out}):
        those = np.array([k for k in out if pairs.reason[k] == reason])
        look = {"marker": REJECTED.get(reason, OTHER_REASON), "color": "black", "linestyle": "none", "markersize": 6.5}
        look |= {"markerfacecolor": "white", "markeredgewidth": 1.1}
        label = textwrap.fill(f"rejected: {reason.replace('_', ' ')} ({those.size})", 30)
        axes[0].plot(days(pairs.secondary_time[those]), np.nan_to_num(pairs.stable_mean[those]), **look, label=reason,
                     clip_on=False, zorder=5)  # fmt: skip
        handles.append(Line2D([], [], **look, label=label))
    if handles:
        handles.append(Patch(facecolor="0.9", label="interval of a rejected pair"))
    return handles


def _shade(axes: Axes, spans, styles) -> None:
    """Shade the spans in their sites' colours; those that overlap share the panel's height, so that no colours mix."""
    group: list[tuple] = []
    end = -np.inf
    for span in [*sorted(spans, key=lambda span: (days(span[1]), str(span[0]))), None]:
        if span is None or days(span[1]) > end:
            for k, (site, start, stop, _) in enumerate(group):
                low, high = k / len(group), (k + 1) / len(group)
                axes.axvspan(days(start), days(stop), low, high, facecolor=styles[site][0], alpha=0.3, linewidth=0,
                             zorder=1.5)  # fmt: skip
            group = []
        if span is not None:
            group.append(span)
            end = max(end, days(span[2]))


def _alerts(axes: Axes, alerts, styles) -> list:
    if not alerts:
        return []
    look = {"marker": "o", "color": "black", "linestyle": "none", "markersize": 12, "markerfacecolor": "none"}
    axes.plot([days(time) for _, time, _ in alerts], [value for *_, value in alerts], **look, label="alert", zorder=6)
    return [Line2D([], [], **look, label="alert: two pairs in a row\nabove the site's threshold")]


def _frame(axes: Sequence[Axes], limits, sites) -> None:
    """Limits, ticks, year boundaries and names of the axes."""
    ticks = month_ticks(limits)
    years = range(*(1970 + int(np.floor(v / 365.2425)) for v in limits), 1)
    for panel in axes:
        panel.set_xlim(*limits)
        panel.xaxis.set_major_locator(FixedLocator([day for day, _ in ticks]))
        last = panel is axes[-1]
        panel.xaxis.set_major_formatter(FixedFormatter([label for _, label in ticks]) if last else NullFormatter())
        panel.tick_params(labelsize=8.5)
        panel.grid(axis="y", color="0.9", linewidth=0.6, zorder=0)
        panel.set_axisbelow(True)
        panel.yaxis.set_label_coords(-0.062, 0.5)
        for year in years:
            start = float(days(np.datetime64(f"{year + 1}-01-01")))
            if limits[0] < start < limits[1]:
                panel.axvline(start, color="0.55", linewidth=0.9, zorder=1)
    axes[0].set_ylim(0.0, 1.0)
    axes[0].set_ylabel("coherence", fontsize=9.5)
    if sites:
        values = np.concatenate([np.asarray(ndai, np.float64) for _, ndai in sites.values()])
        known = values[np.isfinite(values)]
        axes[1].set_ylim(max(-1.0, min(-0.1, known.min(initial=0.0) - 0.05)), max(0.55, known.max(initial=0.0) + 0.08))
        axes[1].axhline(0.0, color="0.55", linewidth=0.9, zorder=1)
        axes[1].set_ylabel("NDAI", fontsize=9.5)


def _label_rows(figure, spans, limits, width) -> list[tuple]:
    """(site, label, middle of the span, left end, row), px from the panel's left; where it is too crowded, none.

    From the right to the left, each above all whose line down to their span would otherwise run through it.
    """
    out: list[tuple] = []
    for site, start, stop, label in sorted(spans, key=lambda span: (-days(span[1]), str(span[0]))):
        middle = (0.5 * (days(start) + days(stop)) - limits[0]) / (limits[1] - limits[0]) * width
        needed = 16 + text_width(write(figure, 0, 0, label, 8))
        left = min(max(middle - 8, 0), width - needed)
        row = 1 + max((other for *_, start, other in out if start < left + needed + 10), default=-1)
        if row < LABEL_ROWS:
            out.append((site, label, middle, left, row))
    return out


def _span_labels(figure, labels, styles, bottom) -> None:
    """The labels above the lower panel, each with its site's marker and a line down to its span."""
    for site, label, middle, left, row in labels:
        colour, marker = styles[site]
        y = bottom + 8 + row * LABEL_LINE
        line(figure, (LEFT + middle, LEFT + middle), (bottom, y + 3), color=colour, linewidth=1.0, zorder=1.5)
        line(figure, (LEFT + left + 8,), (y + 5,), color=colour, marker=marker, markersize=4.5)
        write(figure, LEFT + left + 16, y, label, 8)
