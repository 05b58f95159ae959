"""A page about one run, beside its record: what became of its mine-years, what it cost, and what to do next.

    runs/<n>.jsonl    the record, whole
    runs/<n>.html     the page: one file that asks for nothing else, so that it can be sent or kept as it is
    runs/index.html   the newest page

What needs somebody comes first. A page has a size that it can't exceed, whatever a run brought: what doesn't fit is
counted, and is in the record. Every text is escaped, and the page's policy runs no script at all.
"""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib import resources
from urllib.parse import quote

from pipeline import __version__
from pipeline.storage import Location, open_store

from .stac import item_path

FOLDER = "runs"
NEWEST = f"{FOLDER}/index.html"
ROW_BYTES = 110_000  # of all rows without what is folded
FOLDED_BYTES = 50_000  # of all tracebacks and lists that are folded, and of one at most a tenth
GOOD_ROWS = 100  # mine-years that are as they should be: a sample says enough
LINE = 240  # characters of a reason that stand in the table
LATER = "<!--later-->"  # where the link to the next run comes in; no escaped text can hold it
ORDER = ("failed", "invalid", "broken", "leased", "done", "skipped")
NEEDS_SOMEBODY = ORDER[:3]
STAGE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#8d9498")
_PAGE = re.compile(r"(\d{6})\.html")


def write_report(
    root_url: str | os.PathLike, record: str, started: float, seconds: float, outcomes: Sequence[Mapping]
) -> str:
    """Write the page of a run, link it from the one before, and make it the newest; each file in one step.

    Parameters
    ----------
    root_url : str or path
        Root of the published folder.
    record : str
        Path of the run's record from the root, ``runs/<n>.jsonl``.
    started : float
        When the run began, s since 1970.
    seconds : float
        Its wall-clock time.
    outcomes : sequence of mapping
        What the record says of each job, and of those that another run has.

    Returns
    -------
    str
        Path of the page from the root.

    Raises
    ------
    Unavailable
        The root can't be read or written.
    """
    root = open_store(root_url)
    number = int(record.rsplit("/", 1)[-1].removesuffix(".jsonl"))
    others = _numbers(root) - {number}
    before = max((n for n in others if n < number), default=None)
    after = min((n for n in others if n > number), default=None)
    page = report_page(number, started, seconds, outcomes, before, after)
    root.write_bytes(_path(number), page)
    if before is not None:
        old = root.read_bytes(_path(before))
        root.write_bytes(_path(before), old.replace(LATER.encode(), f" · {_later(number)}".encode(), 1))
    if after is None:
        root.write_bytes(NEWEST, page)
    return _path(number)


def report_page(
    number: int,
    started: float,
    seconds: float,
    outcomes: Sequence[Mapping],
    before: int | None = None,
    after: int | None = None,
) -> bytes:
    """The page as HTML, at most about 200 kB; ``before`` and ``after`` are the numbers of the runs beside it."""
    told = Counter(_kind(facts) for facts in outcomes)
    moment = datetime.fromtimestamp(started, UTC)
    styles = (resources.files(__package__) / "web" / "pages.css").read_text()
    policy = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    links = [f'<a href="{before:06d}.html">‹ Run {before}</a>'] if before is not None else []
    links += ['<a href="../index.html">All mines</a>', f'<a href="{number:06d}.jsonl">Record (JSON lines)</a>']
    later = f" · {_later(after)}" if after is not None else LATER
    good = sum(told.values()) == told["done"] + told["skipped"] + told["leased"]
    lead = (
        "Every mine-year asked for is in place."
        if good
        else f"{sum(told[kind] for kind in NEEDS_SOMEBODY)} of {sum(told.values())} outcomes need somebody."
    )
    rows, missing = _rows(outcomes)
    parts = [
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{policy}'; img-src data:; \
base-uri 'none'; form-action 'none'">
<title>Run {number} · pitpulse</title>
<link rel="icon" href="data:,">
<style>{styles}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the run</a>
<header class="top">
  <div class="inner">
    <p class="brand">pitpulse</p>
    <p class="crumbs">{" · ".join(links)}{later}</p>
    <h1>Run {number} of {moment:%Y-%m-%d %H:%M} UTC</h1>
    <p class="lead">{lead}</p>
    <dl class="counts">{_figures(outcomes, told, seconds)}</dl>
  </div>
</header>
<main class="inner report" id="content" tabindex="-1">
<section aria-labelledby="next-title"><h2 id="next-title">What to do next</h2>{_advice(outcomes, told)}</section>
<section aria-labelledby="time-title"><h2 id="time-title">Where the time went</h2>{_time(outcomes, seconds)}</section>
<section aria-labelledby="outcomes-title"><h2 id="outcomes-title">Outcomes</h2>
<div class="tablebox"><table class="mines">
<thead><tr><th scope="col">Mine and year</th><th scope="col">State</th><th scope="col">What was found, or why not</th>
<th scope="col" class="number">Requests</th><th scope="col" class="number">Read</th><th scope="col" class="number">Time\
</th></tr></thead>
<tbody>""",
        *rows,
        f"""</tbody></table></div>{_left_out(missing, number)}</section>
</main>
<footer class="inner"><p>pitpulse {_html(__version__)}. Times are UTC; the seconds of stages are those of workers,
  several of which may run at once.</p></footer>
</body>
</html>
""",
    ]
    return "\n".join(parts).encode()


def _numbers(root: Location) -> set[int]:
    return {int(match[1]) for match in map(_PAGE.fullmatch, root.list(FOLDER)) if match}


def _path(number: int) -> str:
    return f"{FOLDER}/{number:06d}.html"


def _later(number: int) -> str:
    return f'<a href="{number:06d}.html">Run {number} ›</a>'


def _kind(facts: Mapping) -> str:
    """The state, or ``broken`` for a product that lacks what it could have."""
    state = str(facts.get("state"))
    return "broken" if state in ("done", "skipped") and facts.get("broken") else state


def _figures(outcomes: Sequence[Mapping], told: Counter, seconds: float) -> str:
    """Totals as terms and figures."""
    states = Counter(str(facts.get("state")) for facts in outcomes)
    shown = [(state, f"{states[state]:,}") for state in ("done", "skipped", "invalid", "failed", "leased")]
    read, window = _sum(outcomes, "bytes_read"), _sum(outcomes, "window_bytes")
    ratio = f' <span class="more">{read / window:.2f} × the windows</span>' if window else ""
    retries = _sum(outcomes, "retries")
    again = f' <span class="more">{retries:,} again</span>' if retries else ""
    shown += [("read", _size(read) + ratio), ("requests", f"{_sum(outcomes, 'requests'):,}{again}")]
    shown += [("with broken products", f"{told['broken']:,}")] if told["broken"] else []
    shown += [("wall clock", _duration(seconds))]
    return "".join(f"<div><dt>{name.capitalize()}</dt><dd>{value}</dd></div>" for name, value in shown)


def _advice(outcomes: Sequence[Mapping], told: Counter) -> str:
    """What somebody has to do, from what became of the jobs."""
    steps = []
    if told["failed"]:
        steps.append(
            "What failed came upon something that the program didn't expect; its traceback is below. Once the cause is "
            "mended (a full disk, a worker that died, an error in the program), run it again: "
            "<code>pitpulse redrive --config FILE</code>, or the words of this run with <code>redrive</code> for "
            "<code>run</code>. It takes only the mines that need it."
        )
    if any(_kind(facts) == "invalid" and facts.get("year") for facts in outcomes):
        steps.append(
            "What is invalid has data that allow no product, for the reason given. <code>refresh</code> doesn't try "
            "the same data again; new dates it does. After a setting or the mine's outline was mended: "
            "<code>pitpulse redrive</code>."
        )
    if any(_kind(facts) == "invalid" and not facts.get("year") for facts in outcomes):
        steps.append("A mine or a product named without a year was refused as a whole: mend or remove it.")
    if told["broken"]:
        steps.append(
            "Products that can't be used were left out of mine-years that are published without them. Fetch them "
            "again, then <code>pitpulse redrive</code>."
        )
    if told["leased"]:
        steps.append("Another run works on what is leased, and publishes it; nothing is to be done.")
    if _sum(outcomes, "retries") > 0.01 * max(1, _sum(outcomes, "requests")):
        steps.append("More than 1 % of the requests had to be made again: the store is overloaded, or limits the rate.")
    if not steps:
        return "<p>Nothing.</p>"
    return f'<ol class="steps">{"".join(f"<li>{step}</li>" for step in steps)}</ol>'


def _time(outcomes: Sequence[Mapping], seconds: float) -> str:
    """A bar of the stages' shares, and the same in numbers."""
    stages: Counter[str] = Counter()
    for facts in outcomes:
        stages.update({str(k): v for k, v in (facts.get("seconds") or {}).items() if _is_number(v)})
    total = sum(stages.values())
    if total <= 0.0:
        return "<p>Nothing was computed.</p>"
    bars, rows, at = [], [], 0.0
    for place, (stage, spent) in enumerate(stages.items()):
        colour, width = STAGE_COLOURS[place % len(STAGE_COLOURS)], 1000.0 * spent / total
        bars.append(
            f'<rect x="{at:.2f}" y="0" width="{width:.2f}" height="10" fill="{colour}">'
            f"<title>{_html(stage)}: {_duration(spent)}</title></rect>"
        )
        square = f'<rect width="1" height="1" fill="{colour}"/>'
        swatch = f'<svg class="swatch" viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">{square}</svg>'
        rows.append(f"<li>{swatch} {_html(stage)}: {_duration(spent)}, {100.0 * spent / total:.0f} %</li>")
        at += width
    told = f"Workers spent {_duration(total)}, {total / max(seconds, 1e-3):.1f} at a time on average."
    return (
        f'<svg class="timebar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" '
        f'aria-label="Shares of the stages">{"".join(bars)}</svg>'
        f'<ul class="key chartkey">{"".join(rows)}</ul><p class="hint">{told}</p>'
    )


def _rows(outcomes: Sequence[Mapping]) -> tuple[list[str], Counter]:
    """Rows of the table, what needs somebody first, as many as have room; and how many of each kind had none."""
    rows: list[str] = []
    missing: Counter[str] = Counter()
    left, folded, good = ROW_BYTES, FOLDED_BYTES, GOOD_ROWS
    rank = {kind: place for place, kind in enumerate(ORDER)}
    for facts in sorted(outcomes, key=lambda facts: rank.get(_kind(facts), -1)):
        kind = _kind(facts)
        sampled = kind not in NEEDS_SOMEBODY
        if left <= 0 or (sampled and good <= 0):
            missing[kind] += 1
            continue
        more = _folded(facts, min(folded, FOLDED_BYTES // 10))
        row = _row(facts, kind, more)
        folded -= len(more.encode())
        left -= len(row.encode()) - len(more.encode())
        good -= sampled
        rows.append(row)
    return rows, missing


def _row(facts: Mapping, kind: str, more: str) -> str:
    mine, year = str(facts.get("mine", "")), facts.get("year") or 0
    name = _html(_cut(f"{mine} {year}" if year else str(facts.get("key") or mine)))
    if facts.get("item") and year:
        name = f'<a href="../{quote(item_path(mine, int(year)), errors="replace")}">{name}</a>'
    if facts.get("state") in ("done", "skipped") and mine:
        name += f' <a class="quiet" href="../pages/mine.html?id={quote(mine, safe="", errors="replace")}">page</a>'
    state = _html(str(facts.get("state")))
    look = "bad" if kind == "failed" else "warned" if kind in NEEDS_SOMEBODY else ""
    spent = sum(v for v in (facts.get("seconds") or {}).values() if _is_number(v))
    requests, read = (facts.get(name) or 0 for name in ("requests", "bytes_read"))
    retries = f" + {facts['retries']:,}" if facts.get("retries") else ""
    return (
        f'<tr><th scope="row">{name}</th><td data-label="State"><span class="state {look}">{state}</span></td>'
        f'<td class="why" data-label="Result">{_html(_cut(_why(facts)))}{more}</td>'
        f'<td class="number" data-label="Requests">{requests or "–"}{retries}</td>'
        f'<td class="number" data-label="Read">{_size(read) if read else "–"}</td>'
        f'<td class="number" data-label="Time">{_duration(spent) if spent else "–"}</td></tr>'
    )


def _why(facts: Mapping) -> str:
    """One line: what was found, or the end of the reason, where a traceback says what it is."""
    lines = str(facts.get("reason") or "").strip().splitlines()
    if lines:
        return lines[-1]
    if facts.get("state") not in ("done", "skipped"):
        return "no reason is known"
    words = [f"pairs {facts.get('accepted', 0)} accepted, {len(facts.get('rejected') or ())} rejected"]
    area = facts.get("area") or ()
    if len(area) == 3 and all(map(_is_number, area)):
        km2, low, high = (value / 1e6 for value in area)
        words.insert(0, f"active {km2:.2f} km² (95 %: {low:.2f}–{high:.2f})")
    broken = len(facts.get("broken") or ())
    return "; ".join(words + ([f"{broken} product(s) left out"] if broken else []))


def _folded(facts: Mapping, room: int) -> str:
    """Traceback and broken products behind a word to click on, in at most ``room`` bytes; empty where none fit."""
    reason = str(facts.get("reason") or "").strip()
    broken = [f"{name}: {why}" for name, why in facts.get("broken") or ()]
    whole = "\n".join(([reason] if "\n" in reason or len(reason) > LINE else []) + broken)
    if not whole or room < 400:
        return ""
    word = "Left out" if broken else "Traceback" if "Traceback" in reason else "In full"
    text, room = whole, room - 120
    while len(_html(text).encode()) > room:  # what a traceback ends with counts
        text = text[len(text) // 10 + 1 :]
    if text != whole:
        text = f"… {text}"
    return f"<details><summary>{word}</summary><pre>{_html(text)}</pre></details>"


def _left_out(missing: Counter, number: int) -> str:
    if not missing:
        return ""
    counts = ", ".join(f"{missing[kind]:,} {kind}" for kind in ORDER if missing[kind])
    return (
        f'<p class="hint">{sum(missing.values()):,} more are not shown ({counts}); '
        f'<a href="{number:06d}.jsonl">the record</a> has them all.</p>'
    )


def _html(text: str) -> str:
    """Text as it may stand in a page; what can't be encoded (a file's name, say) becomes a question mark."""
    return escape(text.encode(errors="replace").decode())


def _cut(text: str) -> str:
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"


def _sum(outcomes: Iterable[Mapping], name: str) -> int:
    return sum(facts.get(name) or 0 for facts in outcomes)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _size(size: float) -> str:
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


def _duration(seconds: float) -> str:
    if seconds < 60.0:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
