"""Pages in a real browser: what is shown, that mouse, finger and keyboard work, and that nobody else is asked."""

import io
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyproj import Proj

from catalog import pages_data as data
from catalog.colours import CLASS_COLOURS
from catalog.pages import build_pages, web_files
from catalog.report import write_report
from pipeline.cube import open_cube
from pipeline.records import write_outcomes
from pipeline.storage import open_store
from pipeline.variables import ACTIVE

from .browser import Browser, BrowserError, find_browser, static_server
from .product_example import SHAPE
from .site_example import HOSTILE, LONG, make_site, page
from .test_report import facts

READY = "document.querySelector('#rows tr, #downloads tr') || !document.querySelector('#problem').hidden"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder with its pages, which no test changes."""
    root = make_site(tmp_path_factory.mktemp("site"))
    build_pages(root)
    return root


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    try:
        path = find_browser()
    except BrowserError as error:
        pytest.skip(str(error))
    with Browser(path, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def url(built):
    """The folder on a plain server, below a path."""
    with static_server(built, "/some/where/") as address:
        yield address


def clean(tab, url) -> bool:
    """Whether nothing failed, nothing was complained about, and nobody else was asked."""
    assert tab.errors == [] and tab.failures == []
    assert [r for r in tab.requests if not r.startswith(url)] == []
    return len(tab.requests) > 0


def colour_at(tab, x: float, y: float) -> tuple[int, ...]:
    return Image.open(io.BytesIO(tab.screenshot())).convert("RGB").getpixel((round(x), round(y)))


def test_the_map_shows_each_mine_at_its_place(browser, url):
    tab = browser.page(1280, 1000)
    tab.go(url, READY)
    tab.wait("performance.getEntriesByName('pitpulse-map').length")
    left, top, width, height = tab.evaluate(
        "(r => [r.left, r.top, r.width, r.height])(document.querySelector('#map canvas').getBoundingClientRect())"
    )
    equal_earth = Proj("+proj=eqearth +R=1")  # independent of our script
    across, up = equal_earth(180, 0)[0], equal_earth(0, 90)[1]
    scale = min((width - 16) / (2 * across), (height - 16) / (2 * up))
    table = json.loads(tab.evaluate("fetch('pages/mines.json').then(r => r.text())"))
    places = {
        mine: (lon / 1000, lat / 1000) for mine, lon, lat in zip(table["id"], table["lon"], table["lat"], strict=True)
    }
    assert places["musan"] == pytest.approx((129.264, 42.222), abs=0.01)  # degrees
    for mine in ("musan", "taveuni", "hostile"):
        x, y = equal_earth(*places[mine])
        x, y = left + width / 2 + x * scale, top + height / 2 - y * scale
        found = np.array(colour_at(tab, x, y), int)
        assert np.abs(found - (233, 240, 243)).max() > 60, mine  # not the sea
        assert np.abs(found - (251, 250, 246)).max() > 60, mine  # not the land
        tab.click(x, y)
        assert tab.evaluate("document.querySelector('#card a').getAttribute('href')") == f"pages/mine.html?id={mine}"
    assert clean(tab, url)


def test_the_list_is_searched_filtered_and_sorted(browser, url):
    tab = browser.page(1280, 1000)
    tab.go(f"{url}?query=SOHNE", READY)  # an accent doesn't matter; the address holds the search
    assert tab.evaluate("document.querySelector('#rows th').textContent") == HOSTILE
    assert tab.evaluate("document.querySelectorAll('#rows tr').length") == 1
    tab.evaluate("document.querySelector('#clear').click()")
    tab.wait("document.querySelectorAll('#rows tr').length === 5")
    tab.evaluate(select("sort", "name"))
    names = tab.evaluate("[...document.querySelectorAll('#rows th')].map(cell => cell.textContent)")
    assert names == [HOSTILE, LONG, "dark", "Musan", "Sishen"]
    tab.evaluate(select("country", "PRK"))
    assert tab.evaluate("document.querySelector('#found').textContent") == "1 of 5 mines"
    assert tab.evaluate("[...document.querySelectorAll('#rows th')].map(cell => cell.textContent)") == ["Musan"]
    assert "country=PRK" in tab.evaluate("location.search")
    tab.evaluate(select("commodity", "<b>bold</b>"))
    assert "No mine fits" in tab.evaluate("document.querySelector('#found').textContent")
    assert clean(tab, url)


def select(name: str, value: str) -> str:
    return (f"(s => {{ s.value = {json.dumps(value)}; s.dispatchEvent(new Event('input', {{bubbles: true}})) }})"
            f"(document.querySelector('#{name}'))")  # fmt: skip


def test_a_name_is_text_and_never_markup(browser, url):
    tab = browser.page(375, 800, mobile=True)
    for path in ("", "pages/mine.html?id=hostile"):
        tab.go(url + path, READY)
        assert tab.evaluate("window.hacked ?? 0") == 0
        assert tab.evaluate("document.querySelectorAll('main img, header img, main b, main script').length") == 0
    assert tab.evaluate("document.querySelector('#name').textContent") == HOSTILE
    assert "<b>bold</b>" in tab.evaluate("document.querySelector('#facts').textContent")
    assert clean(tab, url)


def test_another_year_and_layer_change_the_picture(browser, url):
    tab = browser.page(1280, 1000)
    tab.go(f"{url}pages/mine.html?id=sishen", READY)
    x, y, width = tab.evaluate(
        "(r => [r.left, r.top, r.width])(document.querySelector('#map image').getBoundingClientRect())"
    )
    active = (x + 15 / SHAPE[1] * width, y + 25 / SHAPE[1] * width)  # row 25, column 15 of the example
    tab.wait("performance.getEntriesByType('resource').some(e => e.name.includes('2021-classes.png'))")
    seen = {}
    for layer, year in (("classes", 2021), ("ndai", 2021), ("ndai", 2020), ("composite", 2020)):
        tab.evaluate(f"document.querySelector('input[name=layer][value={layer}]').click()")
        tab.evaluate(f"document.querySelector('input[name=year][value=\"{year}\"]').click()")
        tab.wait(f"document.querySelector('#map image').getAttribute('href').includes('{year}-{layer}.png')")
        tab.evaluate("document.querySelector('#map image').decode?.() ?? new Promise(r => setTimeout(r, 100))")
        seen[layer, year] = colour_at(tab, *active)
        words = tab.evaluate("document.querySelector('#map svg').getAttribute('aria-label')")
        assert f"in {year}" in words and "0.12 km²" in words
        assert str(year) in tab.evaluate("document.querySelector('#data-year').textContent")
    assert seen["classes", 2021] == CLASS_COLOURS[ACTIVE][:3]
    assert len({seen["classes", 2021], seen["ndai", 2021], seen["composite", 2020]}) == 3
    assert "year=2020" in tab.evaluate("location.search") and "layer=composite" in tab.evaluate("location.search")
    assert "2019 in red" in tab.evaluate("document.querySelector('#caption').textContent")
    assert clean(tab, url)


def test_a_mine_page_says_the_numbers(browser, url):
    tab = browser.page(1280, 1000)
    tab.go(f"{url}pages/mine.html?id=sishen", READY)
    text = tab.evaluate("document.querySelector('#body').innerText + document.querySelector('#figures').innerText")
    for words in ("1.23 Mt", "800 kt to 1.9 Mt", "45 kt", "medium", "low confidence", "reported ore", "0.1 to 0.15"):
        assert words in text, words
    assert tab.evaluate("document.querySelectorAll('#series circle').length") == 9
    assert tab.evaluate("document.querySelectorAll('#areas rect').length") == 2
    tab.evaluate("document.querySelector('#series summary').click()")
    tab.wait("document.querySelectorAll('#series tbody tr').length === 9")
    assert "no: low stable mean" in tab.evaluate("document.querySelector('#series tbody').innerText")
    hrefs = tab.evaluate("[...document.querySelectorAll('#downloads a, #stac a')].map(a => a.href)")
    assert len(hrefs) >= 10
    asked = f"Promise.all({json.dumps(hrefs)}.map(h => fetch(h).then(r => r.status)))"
    assert set(tab.evaluate(asked)) == {200}
    tab.go(f"{url}pages/mine.html?id=dark", READY)
    assert "no data" in tab.evaluate("document.querySelector('#areas').innerText")
    assert clean(tab, url)


@pytest.mark.filterwarnings("ignore")  # what readers over http warn of is theirs
def test_the_snippet_opens_the_cube(browser, built, url):
    tab = browser.page()
    tab.go(f"{url}pages/mine.html?id=musan", READY)
    snippet = tab.evaluate("document.querySelector('#snippet').textContent")
    names: dict = {}
    exec(snippet.replace('cube["ndai"].plot()', ""), names)
    cube = open_cube(
        built / next(d["path"] for d in page(built, "musan")["years"][0]["downloads"] if d["key"] == "cube")
    )
    np.testing.assert_array_equal(names["cube"]["ndai"].values, cube["ndai"].values)


@pytest.mark.parametrize(
    "path", ["", "pages/mine.html?id=sishen", "pages/mine.html?id=taveuni", "pages/mine.html?id=hostile"]
)
def test_a_phone_scrolls_in_one_direction_only(browser, url, path):
    tab = browser.page(375, 800, mobile=True, ratio=2)
    tab.go(url + path, READY)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert tab.evaluate("[document.documentElement.scrollWidth, visualViewport.width]") == [375, 375]
    assert tab.evaluate(SMALL) == []
    assert clean(tab, url)


def test_the_keyboard_reaches_everything(browser, url):
    tab = browser.page(1280, 1000)
    tab.go(f"{url}pages/mine.html?id=sishen", READY)
    tab.evaluate("document.querySelector('input[name=year]:checked').focus()")
    tab.key("ArrowLeft")
    tab.wait("document.querySelector('#map image').getAttribute('href').includes('2020-')")
    tab.evaluate("document.querySelector('#map').focus()")
    before = tab.evaluate("document.querySelector('#map svg').getAttribute('viewBox')").split()
    tab.key("+", "+")
    after = tab.evaluate("document.querySelector('#map svg').getAttribute('viewBox')").split()
    assert float(after[2]) == pytest.approx(float(before[2]) / 1.6, abs=0.01)  # grid pixels across
    tab.key("ArrowRight")
    moved = tab.evaluate("document.querySelector('#map svg').getAttribute('viewBox')").split()
    assert float(moved[0]) > float(after[0])
    tab.key("0", "0")
    assert tab.evaluate("document.querySelector('#map svg').getAttribute('viewBox')").split() == before
    tab.go(url, READY)
    tab.evaluate("document.body.focus()")
    for _ in range(2):
        tab.key("Tab")
    assert tab.evaluate("document.activeElement.id") == "query"  # after the link that skips to the list
    assert clean(tab, url)


SMALL = """
[...document.querySelectorAll('text, p, td, th, li, dd, dt')]
  .filter((e) => e.textContent.trim() && parseFloat(getComputedStyle(e).fontSize) < 12).map((e) => e.textContent)
"""
CONTRAST = """
(() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length && (c[3] ?? 1) > 0.8) return c;
    }
    return [255, 255, 255];
  };
  const out = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest('.hidden, .skip') || e.previousElementSibling?.disabled) continue;
    const style = getComputedStyle(e);
    const ink = rgb(e instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(e))].sort((p, q) => q - p);
    if ((a + 0.05) / (b + 0.05) < 4.5) out.push(`${e.tagName} ${e.textContent.trim().slice(0, 30)}`);
  }
  return out;
})()
"""


@pytest.mark.parametrize("path", ["", "pages/mine.html?id=sishen"])
def test_names_and_contrast_for_those_who_need_them(browser, url, path):
    tab = browser.page(1280, 1000)
    tab.go(url + path, READY)
    assert tab.evaluate(CONTRAST) == []
    nodes = tab.send("Accessibility.getFullAXTree")["nodes"]
    asking = {
        "button",
        "link",
        "textbox",
        "searchbox",
        "combobox",
        "radio",
        "image",
        "img",
        "checkbox",
        "heading",
        "table",
    }
    roles = [(n["role"]["value"], n.get("name", {}).get("value", "").strip()) for n in nodes if not n.get("ignored")]
    assert len([r for r in roles if r[0] in asking]) > 15
    assert [r for r in roles if r[0] in asking - {"table"} and not r[1]] == []
    levels = tab.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].filter(e => e.checkVisibility()).map(e => +e.tagName[1])"
    )
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in pairwise(levels))


@pytest.mark.parametrize("address", ["", "?id=", "?id=../../catalog/catalog", "?id=.hidden", "?id=no-such-mine"])
def test_an_address_of_no_mine_says_so(browser, url, address):
    tab = browser.page()
    tab.go(f"{url}pages/mine.html{address}", READY)
    assert "list of all mines" in tab.evaluate("document.querySelector('#problem').textContent")
    assert not any("catalog/catalog" in r for r in tab.requests if "mine.html" not in r)
    assert tab.evaluate("document.querySelector('#body').hidden")


def test_45_000_mines(browser, tmp_path):
    rng = np.random.default_rng(5)
    areas, lon, lat = (
        np.exp(rng.normal(12.5, 1.6, 45_000)),
        rng.uniform(-180, 180, 45_000),
        rng.uniform(-55, 70, 45_000),
    )
    lines = []
    for k, (area, x, y) in enumerate(zip(areas.tolist(), lon.tolist(), lat.tolist(), strict=True)):
        year = data.Entry("", "", f"mine-{k}", "", "ZAF", "coal", 2024, (area, area * 0.7, area * 1.4))
        lines.append(data.summary([year], (x, y)))
    for path, content in {**web_files(), "pages/mines.json": data.table_of_mines(lines, {})}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    tab = browser.page(1280, 1000)
    with static_server(tmp_path) as url:
        tab.go(url, "performance.getEntriesByName('pitpulse-map').length")
        assert tab.evaluate("performance.getEntriesByName('pitpulse-map')[0].startTime") < 10_000  # ms; 600 measured
        assert tab.received < 5_000_000  # bytes, uncompressed
        assert "45,000 mines, the first 50 below" in tab.evaluate("document.querySelector('#found').textContent")
        largest = tab.evaluate("document.querySelector('#rows a').href")
        assert largest.endswith(f"id=mine-{int(areas.argmax())}")
        tab.evaluate("document.querySelector('#more').click()")
        assert tab.evaluate("document.querySelectorAll('#rows tr').length") == 100
        tab.evaluate(select("query", "mine-31999"))
        assert tab.evaluate("document.querySelectorAll('#rows tr').length") == 1
        assert clean(tab, url)


def test_a_run_s_report_shows_it_all_asks_for_nothing_and_runs_nothing(browser, tmp_path):
    bad = [
        facts(HOSTILE, "failed", reason=f"{HOSTILE}\n{HOSTILE}"),
        facts(broken=[[HOSTILE, LONG]], seconds={HOSTILE: 1}),
    ]
    for outcomes in (bad, [facts()]):
        write_report(tmp_path, write_outcomes(open_store(tmp_path), outcomes), 1764407095.0, 20.0, outcomes)
    with static_server(tmp_path, "/some/where/") as address:
        for width, mobile in ((1280, False), (380, True)):
            tab = browser.page(width, 900, mobile=mobile)
            tab.go(f"{address}runs/000001.html")
            assert tab.requests == [f"{address}runs/000001.html"] and tab.errors == [] and tab.failures == []
            assert tab.evaluate("window.hacked === undefined && document.documentElement.scrollWidth") == width
            assert tab.evaluate("getComputedStyle(document.querySelector('.top')).backgroundColor") == "rgb(18, 51, 63)"
            assert tab.evaluate("document.querySelector('.timebar rect').getBoundingClientRect().width") > 0.9 * (
                width - 40
            )
            assert tab.evaluate("document.querySelector('details').open") is False
            assert tab.evaluate("document.querySelector('td.why').innerText").startswith(HOSTILE)
        tab.evaluate("[...document.querySelectorAll('.crumbs a')].find(a => a.textContent.includes('Run 2')).click()")
        tab.wait("document.title.startsWith('Run 2')")
