// The map and the list of all mines.

import { area, byId, count, el, json, number, problem, remember, signed } from "./dom.js?v=0";
import { WorldMap } from "./worldmap.js?v=0";

const ROWS = 50; // shown at a time
// Told apart by all kinds of colour vision (Okabe and Ito); the commonest commodities get them in this order.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#f0e442"];
const OTHER = "#8d9498";
const CHANGES = {
  grew: ["#d55e00", "Grew"],
  shrank: ["#0072b2", "Shrank"],
  same: ["#c9cdcf", "No clear change"],
  unknown: ["#ffffff", "One year, or no interval"],
};
const SORTS = {
  area: (m) => (a, b) => down(m.area[a], m.area[b]),
  grew: (m) => (a, b) => down(m.change[a], m.change[b]),
  shrank: (m) => (a, b) => down(-m.change[a], -m.change[b]),
  name: (m) => (a, b) => m.rank[a] - m.rank[b],
  country: (m) => (a, b) => m.countryRank[a] - m.countryRank[b],
};

const down = (a, b) => (Number.isNaN(a) ? (Number.isNaN(b) ? 0 : 1) : Number.isNaN(b) ? -1 : b - a);
const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
const controls = Object.fromEntries(["query", "commodity", "country", "change", "sort"].map((id) => [id, byId(id)]));
const state = { mines: null, found: [], shown: ROWS, colourBy: "commodity", map: null };

start();

async function start() {
  const land = json("pages/land.json").catch(() => null); // a map without coasts is still a map
  const list = json("pages/mines.json");
  state.map = new WorldMap(byId("map"), { onHover: hover, onPick: pick, onMove: moved });
  land.then((found) => found && state.map.setLand(found));
  try {
    state.mines = columns(await list);
  } catch (error) {
    byId("found").textContent = "";
    problem(`The list of mines can't be shown: ${error.message}.`);
    return;
  }
  prepare();
  recall();
  listen();
  update();
  performance.mark("pitpulse-map");
}

// Columns as they are used: numbers with NaN for what isn't known, m² and degrees.
function columns(table) {
  const numbers = (values, unit) => Float64Array.from(values, (v) => (v === null ? NaN : v * unit));
  const mines = {
    size: table.count,
    years: table.years,
    id: table.id,
    name: table.name.map((name, k) => name || table.id[k]),
    country: table.country,
    countries: table.country_words,
    commodity: table.commodity,
    commodities: table.commodity_words,
    lon: numbers(table.lon, 1e-3),
    lat: numbers(table.lat, 1e-3),
    shown: table.shown,
    area: numbers(table.area, 1e3),
    low: numbers(table.low, 1e3),
    high: numbers(table.high, 1e3),
    change: numbers(table.change, 1e3),
    sure: table.sure,
  };
  mines.kind = mines.id.map((_, k) => {
    if (Number.isNaN(mines.change[k]) || Number.isNaN(mines.low[k])) return "unknown";
    return !mines.sure[k] ? "same" : mines.change[k] > 0 ? "grew" : "shrank";
  });
  return mines;
}

function prepare() {
  const m = state.mines;
  const tally = new Array(m.commodities.length).fill(0);
  for (const k of m.commodity) if (k >= 0) tally[k]++;
  const ranked = [...tally.keys()].sort((a, b) => tally[b] - tally[a] || a - b);
  state.colours = tally.map(() => OTHER);
  ranked.slice(0, COLOURS.length).forEach((k, place) => (state.colours[k] = COLOURS[place]));
  state.ranked = ranked;
  m.commodities.forEach((word, k) => controls.commodity.append(el("option", { value: word }, `${word} (${count(tally[k])})`)));
  const byName = m.countries.map(([code, name]) => [name, code]).sort((a, b) => a[0].localeCompare(b[0], "en"));
  for (const [name, code] of byName) controls.country.append(el("option", { value: code }, name));
  const total = m.area.reduce((sum, value) => sum + (value > 0 ? value : 0), 0);
  const facts = [
    [count(m.size), m.size === 1 ? "Mine" : "Mines"],
    [count(m.countries.length), m.countries.length === 1 ? "Country" : "Countries"],
    [m.years.length ? [...new Set(m.years)].join("–") : "–", "Years"],
    [area(total), "Active in the latest years"],
  ];
  byId("counts").append(...facts.map(([value, name]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  byId("map").setAttribute("aria-label", `World map of ${count(m.size)} mines`);
  state.map.setMines(m);
}

function recall() {
  const address = new URLSearchParams(location.search);
  for (const [id, control] of Object.entries(controls)) {
    const value = address.get(id);
    if (value === null) continue;
    control.value = value;
    if (control.value !== value) control.selectedIndex = 0; // an option that isn't there (any more)
  }
  if (address.get("colour") === "change") {
    state.colourBy = "change";
    document.querySelector("input[name=colour][value=change]").checked = true;
  }
}

function listen() {
  const filters = byId("filters");
  filters.addEventListener("input", () => update());
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(update)); // after the fields are empty
  byId("colour").addEventListener("change", (event) => {
    state.colourBy = event.target.value;
    paint();
    keep();
  });
  document.querySelectorAll("[data-sort]").forEach((button) => {
    button.addEventListener("click", () => {
      controls.sort.value = button.dataset.sort === "grew" && controls.sort.value === "grew" ? "shrank" : button.dataset.sort;
      update();
    });
  });
  byId("more").addEventListener("click", () => {
    const first = state.shown;
    state.shown += ROWS;
    rows(first);
    byId("rows").children[first]?.querySelector("a").focus();
  });
  document.querySelector("[data-do=fit]").addEventListener("click", () => state.map.fitTo(state.found));
  document.addEventListener("keydown", (event) => event.key === "Escape" && hideCard());
}

const keep = () => {
  const values = Object.fromEntries(Object.entries(controls).map(([id, control]) => [id, control.value]));
  remember({ ...values, sort: values.sort === "area" ? "" : values.sort, colour: state.colourBy === "change" ? "change" : "" });
};

function update() {
  const m = state.mines;
  ranks(m, controls.sort.value);
  const words = folded(controls.query.value.trim()).split(/\s+/).filter(Boolean);
  if (words.length) m.text ??= m.id.map((id, k) => folded([id, m.name[k], ...(m.countries[m.country[k]] ?? [])].join(" ")));
  const commodity = m.commodities.indexOf(controls.commodity.value);
  const country = m.countries.findIndex(([code]) => code === controls.country.value);
  const kind = controls.change.value;
  const found = [];
  for (let k = 0; k < m.size; k++) {
    if (commodity >= 0 && m.commodity[k] !== commodity) continue;
    if (country >= 0 && m.country[k] !== country) continue;
    if (kind && m.kind[k] !== kind) continue;
    if (words.length && !words.every((word) => m.text[k].includes(word))) continue;
    found.push(k);
  }
  state.bySize = found.slice().sort(SORTS.area(m));
  state.found = controls.sort.value === "area" ? state.bySize : found.sort(SORTS[controls.sort.value](m));
  state.shown = ROWS;
  rows(0);
  paint();
  keep();
}

// Places in the order of names and of countries; found once, when somebody asks.
function ranks(m, sort) {
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  if (sort === "name" || sort === "country") m.rank ??= places(m.size, (a, b) => compare(m.name[a], m.name[b]));
  if (sort === "country") {
    const name = (k) => m.countries[m.country[k]]?.[1] ?? "\uffff";
    m.countryRank ??= places(m.size, (a, b) => compare(name(a), name(b)) || m.rank[a] - m.rank[b]);
  }
}

function places(size, compare) {
  const out = new Uint32Array(size);
  Array.from({ length: size }, (_, k) => k).sort(compare).forEach((k, place) => (out[k] = place));
  return out;
}

function paint() {
  const m = state.mines;
  const colour = state.colourBy === "change"
    ? (k) => CHANGES[m.kind[k]][0]
    : (k) => state.colours[m.commodity[k]] ?? OTHER;
  const colours = [];
  for (const k of state.bySize) colours[k] = colour(k);
  state.map.show(state.bySize, colours);
  legend();
}

function legend() {
  const m = state.mines;
  const entry = (colour, text) => {
    const mark = el("span", { class: "dot" });
    mark.style.background = colour;
    return el("li", {}, mark, text);
  };
  const named = state.ranked.slice(0, COLOURS.length).map((k) => entry(state.colours[k], m.commodities[k]));
  if (state.ranked.length > COLOURS.length || m.commodity.some((k) => k < 0)) named.push(entry(OTHER, "other or not known"));
  const kinds = Object.values(CHANGES).map(([colour, text]) => entry(colour, text));
  const largest = m.area.reduce((most, value) => (value > most ? value : most), 0);
  const sizes = [1, 0.25, 0.04].map((part) => rounded(largest * part)).filter((value) => value > 0);
  const circles = [...new Set(sizes)].map((value) => {
    const mark = el("span", { class: "ring", "data-area": value });
    return el("li", {}, mark, area(value));
  });
  byId("legend").replaceChildren(
    el("ul", { "aria-label": "Colours" }, state.colourBy === "change" ? kinds : named),
    circles.length ? el("ul", { "aria-label": "Circle areas" }, circles) : "",
  );
  rings();
}

// Circles grow with the zoom, and those of the legend with them.
function rings() {
  for (const mark of document.querySelectorAll(".ring")) {
    mark.style.width = mark.style.height = `${2 * state.map.radius(Number(mark.dataset.area))}px`;
  }
}

function moved() {
  hideCard();
  if (state.mines) rings();
}

// Down to 1, 2 or 5 times a power of ten.
function rounded(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return (value / unit >= 5 ? 5 : value / unit >= 2 ? 2 : 1) * unit;
}

function rows(first) {
  const m = state.mines;
  const part = state.found.slice(first, state.shown).map((k) => el("tr", {},
    el("th", { scope: "row" }, link(k)),
    el("td", { "data-label": "Country" }, m.countries[m.country[k]]?.[1] ?? "–"),
    el("td", { "data-label": "Commodity" }, m.commodities[m.commodity[k]] ?? "–"),
    el("td", { class: "number", "data-label": "Active area" }, areaText(k)),
    el("td", { class: "number", "data-label": "Change" }, changeText(k))));
  if (first) byId("rows").append(...part);
  else byId("rows").replaceChildren(...part);
  const [found, shown] = [state.found.length, Math.min(state.shown, state.found.length)];
  const all = found === m.size ? "" : ` of ${count(m.size)}`;
  byId("found").textContent = m.size === 0
    ? "No mine is published yet."
    : found === 0
      ? "No mine fits. Clear the search and the filters to see all."
      : `${count(found)}${all} ${m.size === 1 ? "mine" : "mines"}${shown < found ? `, the first ${count(shown)} below` : ""}`;
  byId("more").hidden = shown >= found;
  byId("more").textContent = `Show ${count(Math.min(ROWS, found - shown))} more`;
  document.querySelectorAll("[data-sort]").forEach((button) => {
    const on = button.dataset.sort === controls.sort.value || (button.dataset.sort === "grew" && controls.sort.value === "shrank");
    const way = ["name", "country", "shrank"].includes(controls.sort.value) ? "ascending" : "descending";
    button.closest("th").setAttribute("aria-sort", on ? way : "none");
  });
}

const link = (k) => el("a", { href: `pages/mine.html?id=${encodeURIComponent(state.mines.id[k])}` }, state.mines.name[k]);

function areaText(k) {
  const m = state.mines;
  if (Number.isNaN(m.area[k])) return el("span", { class: "quiet" }, "no data");
  const interval = Number.isNaN(m.low[k]) ? "" : `${number(m.low[k] / 1e6)}–${number(m.high[k] / 1e6)}, `;
  return [area(m.area[k]), " ", el("span", { class: "quiet" }, `(${interval}${m.shown[k]})`)];
}

function changeText(k) {
  const m = state.mines;
  if (Number.isNaN(m.change[k])) return el("span", { class: "quiet" }, "–");
  const text = signed(m.change[k], area(m.change[k]));
  if (m.kind[k] === "same" || m.kind[k] === "unknown") return el("span", { class: "quiet" }, text, " (not clear)");
  return el("span", {}, el("span", { class: `arrow ${m.kind[k]}`, "aria-hidden": "true" }, m.change[k] > 0 ? "▲ " : "▼ "), text);
}

function hover(k, x, y) {
  if (state.pinned && k < 0) return;
  byId("map").style.cursor = k < 0 ? "" : "pointer";
  if (k < 0) hideCard();
  else if (k !== state.card) showCard(k, x, y);
}

// A click opens the card to stay: its link is the way to the mine, for a finger too.
function pick(k, x, y) {
  hideCard();
  if (k < 0) return;
  showCard(k, x, y);
  state.pinned = true;
  byId("card").classList.add("pinned");
}

function showCard(k, x, y) {
  const m = state.mines;
  const card = byId("card");
  const facts = [m.commodities[m.commodity[k]], m.countries[m.country[k]]?.[1]].filter(Boolean).join(" · ");
  card.replaceChildren(
    el("p", {}, link(k)),
    facts ? el("p", { class: "quiet" }, facts) : "",
    el("p", {}, areaText(k)),
    el("p", {}, "Change: ", changeText(k)),
  );
  state.card = k;
  state.pinned = false;
  card.classList.remove("pinned");
  card.hidden = false;
  const box = byId("map");
  const [width, height] = [card.offsetWidth, card.offsetHeight];
  const gap = 10 + state.map.radius(m.area[k]);
  card.style.left = `${Math.max(4, Math.min(x - width / 2, box.clientWidth - width - 4))}px`;
  card.style.top = `${y - height - gap > 0 ? y - height - gap : Math.min(y + gap, box.clientHeight - height - 4)}px`;
}

function hideCard() {
  byId("card").hidden = true;
  state.card = -1;
  state.pinned = false;
}
