"""The page about a run: what it says, that nothing in it can run, that it stays small, how runs are linked.

That its links lead to items and pages is in test_pages, what a browser shows in test_pages_browser.
"""

import base64
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from catalog.report import LATER, NEWEST, report_page, write_report
from pipeline.records import newest_outcomes, write_outcomes
from pipeline.storage import open_store

from .site_example import HOSTILE

STARTED = 1764407095.0  # 2025-11-29 09:04:55 UTC
TRACEBACK = (
    "Traceback (most recent call last):\n"
    + "".join(f'  File "/opt/pitpulse/{k}.py", line {k}\n' for k in range(20))
    + "KeyError: 't088'"
)
VOID = {"meta", "link"}


def facts(mine="sishen", state="done", year=2021, **more) -> dict:
    """An outcome as a record holds it."""
    known = {"key": f"{mine}-t088-{year}", "mine": mine, "year": year, "state": state, "reason": "", "item": ""}
    if state in ("done", "skipped"):
        known |= {"accepted": 22, "rejected": [["a", "b", "low", 0.2]], "area": [1.2e6, 1.1e6, 1.4e6], "item": "x"}
    if state == "done":
        known |= {"requests": 700, "bytes_read": 52_000_000, "window_bytes": 50_000_000, "retries": 0,
                  "seconds": {"frame": 1.0, "coherence": 7.0, "publish": 2.0}}  # fmt: skip
    return known | more


class Reader(HTMLParser):
    """What a page holds: links, ids, text by row, and whether every element is closed."""

    def __init__(self, page: bytes):
        super().__init__()
        self.open, self.links, self.ids, self.tags, self.rows, self.text = [], [], [], set(), [], ""
        self.feed(page.decode())
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        given = dict(attrs)
        self.links += [given[name] for name in ("href", "src") if name in given]
        self.ids += [given["id"]] if "id" in given else []
        assert not any(name.startswith("on") or name == "style" for name in given)
        self.rows += [""] if tag == "tr" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
        if "tr" in self.open:
            self.rows[-1] += f" {data}"


def page(outcomes, number=12, **more) -> tuple[bytes, Reader]:
    found = report_page(number, STARTED, 20.0, outcomes, **more)
    return found, Reader(found)


# --- what it says ---------------------------------------------------------------------------------


def test_what_needs_somebody_comes_first():
    states = [facts("a"), facts("b", "skipped"), facts("c", "leased", reason="another run"),
              facts("d", "invalid", reason="12 stable points"), facts("e", "failed", reason=TRACEBACK),
              facts("f", broken=[["S1A_x", "it is truncated"]])]  # fmt: skip
    _, found = page(states)
    assert [row.split()[0] for row in found.rows[1:]] == ["e", "d", "f", "c", "a", "b"]
    assert "3 of 6 outcomes need somebody" in found.text and "Run 12 of 2025-11-29 09:04 UTC" in found.text
    failed = found.rows[1]
    assert failed.split("KeyError")[0].split()[1:3] == ["2021", "failed"] and "/opt/pitpulse/7.py" in failed
    assert "S1A_x: it is truncated" in found.rows[3] and "1 product(s) left out" in found.rows[3]
    assert "active 1.20 km² (95 %: 1.10–1.40); pairs 22 accepted, 1 rejected" in found.rows[5]


def test_totals_and_time_are_those_of_the_outcomes():
    _, found = page([facts("a"), facts("b", retries=40), facts("c", "skipped")])
    for words in ("104.0 MB 1.04 × the windows", "1,400 40 again", "20.0 s", "coherence: 14.0 s, 70 %",
                  "publish: 4.0 s, 20 %", "frame: 2.0 s, 10 %", "Workers spent 20.0 s, 1.0 at a time"):  # fmt: skip
        assert words in re.sub(r"\s+", " ", found.text), words
    data, _ = page([facts("a")])
    widths = [float(w) for w in re.findall(rb'<rect x="[\d.]+" y="0" width="([\d.]+)"', data)]
    assert widths == [100.0, 700.0, 200.0]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (facts(), "Nothing."),
        (facts(state="failed", reason=TRACEBACK), "pitpulse redrive --config FILE"),
        (facts(state="invalid", reason="too few"), "doesn't try the same data again"),
        (facts("S1A_x", "invalid", 0, reason="no manifest"), "refused as a whole"),
        (facts(broken=[["S1A_x", "torn"]]), "Fetch them again, then pitpulse redrive"),
        (facts(state="leased"), "Another run works on what is leased"),
        (facts(retries=8), "More than 1 % of the requests"),
    ],
)
def test_what_to_do_next_follows_from_what_became_of_it(outcome, said):
    text = re.sub(r"\s+", " ", page([outcome])[1].text)
    assert said in text
    assert ("Nothing." in text) == (said == "Nothing.")


def test_records_of_old_and_odd_outcomes_are_shown():
    odd = {"key": "k", "mine": "m", "year": 2021, "state": "unheard-of", "seconds": {"frame": None}, "area": [None] * 3}
    _, found = page([odd, facts(state="failed"), facts(area=[None, None, None], rejected=None), {}])
    assert "unheard-of" in found.text and "no reason is known" in found.text
    assert "Nothing was computed" in page([])[1].text


# --- what can't happen ----------------------------------------------------------------------------


def test_texts_stay_texts():
    breaking = ["</style><script>window.hacked=1</script>", LATER, '" onmouseover="window.hacked=1', "\ud800", HOSTILE]
    for text in breaking:
        outcomes = [
            facts(text, "failed", reason=f"{text}\n{text}", key=text),
            facts(text, broken=[[text, text]], seconds={text: 3.0}),
            facts(text, "invalid", 0, reason=text, key=text),
        ]
        data, found = page(outcomes)
        assert "script" not in found.tags and "img" not in found.tags
        assert data.count(LATER.encode()) == 1
        assert not [link for link in found.links if urlsplit(link).scheme not in ("", "data")]


def test_the_policy_fits_the_styles_and_allows_no_more():
    data, found = page([facts()])
    styles = re.search(rb"<style>(.*?)</style>", data, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(styles).digest()).decode()
    policy = re.search(rb'Content-Security-Policy" content="([^"]*)"', data)[1].decode()
    assert f"style-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy and "script" not in policy
    assert b"http:" not in data and b"https:" not in data and b"url(" not in data and b"@import" not in data
    assert len(set(found.ids)) == len(found.ids)


@pytest.mark.parametrize(
    ("count", "state"), [(200, "done"), (200, "failed"), (200, "mixed"), (45_000, "failed"), (45_000, "mixed")]
)
def test_the_page_stays_small_and_counts_what_it_leaves_out(count, state):
    long = TRACEBACK + "\n" + 'ValueError: "<&>" ' * 400
    outcomes = [
        facts(f"mine-{k}", "failed" if state == "failed" or (state == "mixed" and k % 40 == 0) else "done",
              reason=long if state != "done" else "") for k in range(count)
    ]  # fmt: skip
    data, found = page(outcomes)
    shown = len(found.rows) - 1
    told = re.search(r"([\d,]+) more are not shown", found.text)
    assert len(data) <= 200_000
    assert shown + int(told[1].replace(",", "") if told else 0) == count
    assert shown >= (80 if state == "failed" else 100)
    if state == "mixed":
        failures = sum(" failed " in row for row in found.rows)
        assert failures == (5 if count == 200 else failures) and failures > 4 and found.rows[1].split()[2] == "failed"


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path) -> Path:
    """The reports of three runs."""
    for outcomes in ([facts()], [facts(state="failed", reason=TRACEBACK)], [facts("taveuni")]):
        record = write_outcomes(open_store(tmp_path), outcomes)
        assert write_report(tmp_path, record, STARTED, 20.0, outcomes) == record.replace("jsonl", "html")
    return tmp_path


def links(path: Path) -> list[str]:
    return [link for link in Reader(path.read_bytes()).links if not link.startswith(("data:", "#"))]


def test_runs_are_linked_one_to_the_next(site):
    sides = {n: set(links(site / f"runs/00000{n}.html")) & {f"00000{k}.html" for k in range(9)} for n in (1, 2, 3)}
    assert sides == {1: {"000002.html"}, 2: {"000001.html", "000003.html"}, 3: {"000002.html"}}
    assert (site / NEWEST).read_bytes() == (site / "runs/000003.html").read_bytes()


def test_a_run_that_ends_late_is_not_the_newest(site):
    (site / "runs/000002.html").unlink()
    newest = (site / NEWEST).read_bytes()
    write_report(site, "runs/000002.jsonl", STARTED, 20.0, [facts()])
    assert (site / NEWEST).read_bytes() == newest
    assert {"000001.html", "000003.html"} <= set(links(site / "runs/000002.html"))


def test_reports_of_rivals_are_all_there(tmp_path):
    root = open_store(tmp_path)

    def one(k):
        outcomes = [facts(f"m{k}")]
        return write_report(tmp_path, write_outcomes(root, outcomes), STARTED, 1.0, outcomes)

    with ThreadPoolExecutor(6) as pool:
        paths = set(pool.map(one, range(6)))
    assert len(paths) == 6 and all(Reader((tmp_path / path).read_bytes()).rows for path in paths)
    assert not list(tmp_path.rglob(".*"))  # nothing half-written is left
    assert len(newest_outcomes(root)) == 6  # pages are no records


def test_the_folder_may_be_in_memory(tmp_path):
    url = f"memory://report-{tmp_path.name}"
    root = open_store(url)
    for _ in range(2):
        write_report(url, write_outcomes(root, [facts()]), STARTED, 1.0, [facts()])
    assert root.list("runs") == ["000001.html", "000001.jsonl", "000002.html", "000002.jsonl", "index.html"]
    assert b'<a href="000002.html">Run 2' in root.read_bytes("runs/000001.html")
