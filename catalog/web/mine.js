// The page of one mine: what to show is in the address (id, year, layer).

import { area, byId, bytes, degrees, el, fromRoot, json, number, problem, remember, signed, span, tonnes } from "./dom.js?v=0";
import { foldedTable, intervalChart, responsive, table, timeChart } from "./charts.js?v=0";
import { MineMap } from "./minemap.js?v=0";

const LAYERS = {
  classes: "Classes",
  ndai: "Activity index",
  composite: "Three years",
  colours: "Years active",
};
const SITE_COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const state = { mine: null, year: null, layer: "classes", map: null };

start();

async function start() {
  const address = new URLSearchParams(location.search);
  const id = address.get("id") ?? "";
  if (!id || /[/\\]|^\./.test(id)) return stop("The address names no mine. Choose one from the list of all mines.");
  try {
    state.mine = await json(`pages/mines/${id}.json`);
  } catch (error) {
    return stop(`The mine “${id}” can't be shown: ${error.message}. Choose one from the list of all mines.`);
  }
  const { years } = state.mine;
  state.year = years.find((y) => String(y.year) === address.get("year")) ?? years.findLast((y) => y.layers?.length) ?? years.at(-1);
  state.layer = LAYERS[address.get("layer")] ? address.get("layer") : "classes";
  head();
  byId("body").hidden = false;
  state.map = new MineMap(byId("map"));
  switches();
  areas();
  estimates();
  series();
  show();
}

function stop(text) {
  byId("name").textContent = "No mine";
  problem(text);
}

function head() {
  const { mine } = state;
  document.title = `${mine.name} · pitpulse`;
  byId("name").textContent = mine.name;
  const last = mine.years.at(-1);
  const facts = [mine.commodity, mine.country, mine.place && degrees(...mine.place), last.track && `track ${last.track}${last.orbit ? `, ${last.orbit}` : ""}`];
  byId("facts").textContent = facts.filter(Boolean).join(" · ");
  const known = mine.years.filter((y) => y.area);
  const figures = [];
  if (known.length) {
    const [value, low, high] = known.at(-1).area;
    figures.push([`Active area ${known.at(-1).year}`, area(value), low === null ? "" : span(low, high, 1e-6)]);
  }
  if (known.length > 1) {
    const [old, now] = known.slice(-2);
    const clear = [...old.area, ...now.area].every((v) => v !== null) && (now.area[1] > old.area[2] || now.area[2] < old.area[1]);
    figures.push([`Change since ${old.year}`, signed(now.area[0] - old.area[0], area(now.area[0] - old.area[0])), clear ? "the intervals don't touch" : "not clear: the intervals overlap"]);
  }
  for (const [key, name] of [["production", "Ore mined"], ["emissions", "CO₂"]]) {
    const year = mine.years.findLast((y) => y[key] && y[key].value !== null);
    if (!year) continue;
    const { value, interval, confidence } = year[key];
    figures.push([`${name} ${year.year}`, tonnes(value), [interval && `${tonnes(interval[0])} to ${tonnes(interval[1])}`, confidence && `${confidence} confidence`].filter(Boolean).join(", ")]);
  }
  byId("figures").replaceChildren(...figures.map(([name, value, more]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value, more ? el("div", { class: "more" }, more) : ""))));
}

function radio(name, value, text) {
  return el("label", {}, el("input", { type: "radio", name, value }), el("span", {}, text));
}

function switches() {
  const { years } = state.mine;
  const layers = Object.keys(LAYERS).filter((layer) => years.some((y) => y.layers?.includes(layer)));
  if (!layers.includes(state.layer)) state.layer = layers[0] ?? "classes";
  byId("layers").append(...layers.map((layer) => radio("layer", layer, LAYERS[layer])));
  byId("years").append(...years.map((y) => radio("year", y.year, String(y.year))));
  byId("layers").addEventListener("change", (event) => {
    state.layer = event.target.value;
    // A composite belongs to the last of its years, so not every year has one.
    if (!state.year.layers?.includes(state.layer)) state.year = years.findLast((y) => y.layers?.includes(state.layer)) ?? state.year;
    show();
  });
  byId("years").addEventListener("change", (event) => {
    state.year = years.find((y) => String(y.year) === event.target.value);
    if (!state.year.layers?.includes(state.layer) && state.year.layers?.length) state.layer = "classes";
    show();
  });
}

function show() {
  const { mine, year, layer } = state;
  for (const input of document.querySelectorAll("input[name=layer]")) {
    input.checked = input.value === layer;
  }
  for (const input of document.querySelectorAll("input[name=year]")) {
    input.checked = input.value === String(year.year);
    const there = mine.years.find((y) => String(y.year) === input.value).layers?.includes(layer);
    input.disabled = !there && (layer === "composite" || layer === "colours") && !input.checked;
  }
  const drawn = year.layers?.includes(layer);
  byId("map").hidden = !drawn;
  if (drawn) {
    state.map.show(year, picture(year, layer), `${LAYERS[layer]} of ${mine.name} in ${year.year}. ${areaWords(year)}`);
    for (const other of mine.years) if (other.layers?.includes(layer)) new Image().src = picture(other, layer);
  }
  byId("caption").replaceChildren(...caption(year, layer, drawn));
  downloads(year);
  remember({ year: year.year === mine.years.at(-1).year ? "" : year.year, layer: layer === "classes" ? "" : layer });
}

// The version in the address: a picture that was drawn again is not taken from the browser's cache.
const picture = (year, layer) => `${fromRoot(`pages/mines/${state.mine.id}/${year.year}-${layer}.png`)}?v=${encodeURIComponent(year.version)}`;

function areaWords(year) {
  if (!year.area) return "The active area is not known.";
  const [value, low, high] = year.area;
  return `Active area ${area(value)}${low === null ? "" : ` (95 %: ${span(low, high, 1e-6)} km²)`}.`;
}

function swatch(colour, text, kind = "") {
  const mark = el("span", { class: `swatch ${kind}` });
  if (colour) mark.style.background = colour;
  return el("li", {}, mark, text);
}

function caption(year, layer, drawn) {
  if (!drawn) return [el("p", { class: "notice" }, `There is no picture of ${year.year}: its cube could not be read when this page was made.`)];
  const key = el("ul", { class: "key", "aria-label": "Legend" });
  const parts = [el("p", {}, el("strong", {}, `${year.year}. `), areaWords(year))];
  const nothing = swatch("", "no data", "hatched");
  const own = swatch("", "outline of the mine", "outlined");
  if (layer === "classes") {
    parts.push(key);
    key.append(...state.mine.legend.classes.map(([colour, name]) => swatch(colour, name)), nothing, own);
  } else if (layer === "ndai") {
    const { colours, range } = state.mine.legend.ndai;
    const ramp = el("span", { class: "ramp", role: "img", "aria-label": `from ${range[0]} (darkest) to ${range[1]} (lightest)` });
    ramp.style.background = `linear-gradient(90deg, ${colours.join(", ")})`;
    parts.push(ramp, el("div", { class: "ends" }, el("span", {}, `${range[0]} undisturbed`), el("span", {}, `${range[1]} or more`)), key);
    parts.push(el("p", { class: "quiet" }, "How much less coherent the ground was than stable ground nearby, mean of the year. Vegetation is high too; the classes set it apart."));
    key.append(nothing, own);
  } else {
    parts.push(key, ...composed(year, layer));
    const codes = layer === "colours" ? year.codes : [];
    key.append(...codes.map(({ colour, years }) => swatch(colour, years.length ? years.join(", ") : "in none of the years")));
    if (layer === "composite") key.append(...year.rgb_years.map((y, k) => swatch(["#ff0000", "#00ff00", "#0000ff"][k], `${y} in ${["red", "green", "blue"][k]}`)));
    key.append(nothing, own);
  }
  parts.push(el("p", { class: "quiet" }, `${number(year.spacing)} m pixels, ${year.crs}, ${year.width} × ${year.height}.`));
  return parts;
}

function composed(year, layer) {
  const text = layer === "composite"
    ? "The index of three years, one in each colour, added as light: yellow, magenta and cyan are two of the years, white all three, black none."
    : "In which of the three years a pixel was active.";
  return [el("p", { class: "quiet" }, text, " Red and green are hard to tell apart for some readers; the classes of each year show the same in colours that are not.")];
}

function areas() {
  const { years } = state.mine;
  const all = everyYear(years, (y) => ({ value: y.area?.[0] ?? null, low: y.area?.[1] ?? null, high: y.area?.[2] ?? null }));
  const words = `Active area by year in km². ${years.map((y) => `${y.year}: ${y.area ? area(y.area[0]) : "no data"}`).join("; ")}`;
  const format = (y) => `${area(y.value)}${y.low === null ? "" : ` (${span(y.low, y.high, 1e-6)})`}`;
  const box = el("div");
  if (years.some((y) => y.area)) responsive(box, (width) => intervalChart(width, { years: all, scale: 1e-6, unit: "km²", format, words, colour: "#e39a62", missing: "no data" }));
  const rows = years.map((y) => [
    String(y.year), y.area ? area(y.area[0]) : "no data", y.area && y.area[1] !== null ? span(y.area[1], y.area[2], 1e-6) : "–",
    y.ndai === null ? "–" : y.ndai.toFixed(3), `${y.pairs[0] ?? "–"}`, `${y.pairs[1] ?? "–"}`]);
  byId("areas").append(box, el("p", { class: "hint" }, "Bars: active area inside the mine; whiskers: 95 % interval."),
    table([["Year"], ["Active area", true], ["95 % interval, km²", true], ["Mean index", true], ["Pairs used", true], ["Pairs rejected", true]], rows, "Active area by year"));
}

// Years from the first to the last, those without an item too: what is missing is seen.
function everyYear(years, make) {
  const out = [];
  for (let year = years[0].year; year <= years.at(-1).year; year++) {
    const found = years.find((y) => y.year === year);
    out.push({ year, ...(found ? make(found) : { value: null, low: null, high: null }) });
  }
  return out;
}

function estimates() {
  const { years } = state.mine;
  if (!years.some((y) => y.production || y.emissions)) return;
  byId("output").hidden = false;
  const pair = el("div", { class: "pair" });
  for (const [key, name, colour] of [["production", "Ore mined", "#5c9cc4"], ["emissions", "CO₂ emitted", "#8d9498"]]) {
    const known = years.filter((y) => y[key] && y[key].value !== null);
    if (!known.length) continue;
    const all = everyYear(years, (y) => ({ value: y[key]?.value ?? null, low: y[key]?.interval?.[0] ?? null, high: y[key]?.interval?.[1] ?? null }));
    const most = Math.max(...all.map((y) => y.high ?? y.value ?? 0));
    const [scale, unit] = most >= 1e6 ? [1e-6, "Mt"] : most >= 1e4 ? [1e-3, "kt"] : [1, "t"];
    const format = (y) => `${tonnes(y.value)}${y.low === null ? "" : ` (${tonnes(y.low)} to ${tonnes(y.high)})`}`;
    const words = `${name} by year. ${known.map((y) => `${y.year}: ${tonnes(y[key].value)}`).join("; ")}`;
    pair.append(el("div", {}, el("h3", {}, name), responsive(el("div"), (width) => intervalChart(width, { years: all, scale, unit, format, words, colour, missing: "no figure" }))));
  }
  const cells = (estimate) => (!estimate || estimate.value === null
    ? ["–", "–", "–"]
    : [tonnes(estimate.value), estimate.interval ? `${tonnes(estimate.interval[0])} to ${tonnes(estimate.interval[1])}` : "–", estimate.confidence || "–"]);
  const rows = years.map((y) => [String(y.year), ...cells(y.production), basis(y.production), ...cells(y.emissions)]);
  byId("estimates").append(pair, el("p", { class: "hint" }, "Whiskers: 95 % interval. Estimates follow from the active area, or are what was reported: see the basis."),
    table([["Year"], ["Ore", true], ["95 % interval", true], ["Confidence"], ["Basis", "wide"], ["CO₂", true], ["95 % interval", true], ["Confidence"]], rows, "Production and emissions by year"));
}

function basis(estimate) {
  const said = estimate && [estimate.basis, ...estimate.flags].filter(Boolean).map((word) => word.replaceAll("_", " "));
  return said?.join("; ") || estimate?.reason || "–";
}

function series() {
  const { pairs, sites } = state.mine;
  const size = pairs.secondary.length;
  if (!size) {
    byId("series").append(el("p", {}, "No pair is known of this mine."));
    return;
  }
  const points = pairs.secondary.map((day, k) => ({
    time: Date.parse(day),
    open: !pairs.accepted[k],
    words: `${pairs.reference[k]} to ${day}${pairs.accepted[k] ? "" : `, rejected: ${pairs.reason[k]}`}`,
  }));
  const rejected = pairs.accepted.filter((yes) => !yes).length;
  const stable = { name: "stable points", colour: "#0072b2", values: pairs.mean, band: pairs.std };
  const words = `Mean coherence of the stable points in ${size} pairs from ${pairs.reference[0]} to ${pairs.secondary.at(-1)}; ${rejected} rejected.`;
  const key = (entries) => el("ul", { class: "key chartkey", "aria-label": "Legend" }, ...entries);
  byId("series").append(
    el("h3", {}, "Coherence of the stable points"),
    responsive(el("div"), (width) => timeChart(width, { points, series: [stable], range: [0, 1], unit: "coherence", words })),
    key([dot("#0072b2", "mean, at the later date"), swatch("rgba(0,114,178,.16)", "± standard deviation"), ...(rejected ? [dot("#fff", `pair rejected (${rejected})`)] : [])]));
  const names = Object.keys(sites);
  if (names.length) {
    const drawn = names.map((name, k) => ({ name, colour: SITE_COLOURS[k], values: sites[name] }));
    const values = drawn.flatMap((s) => s.values).filter((v) => v !== null);
    const range = [Math.min(0, ...values), Math.max(0.1, ...values)];
    byId("series").append(
      el("h3", {}, "Activity index of the sites"),
      responsive(el("div"), (width) => timeChart(width, { points, series: drawn, range, unit: "index", words: `Activity index of ${names.join(", ")} in ${size} pairs.` })),
      key(drawn.map((s) => dot(s.colour, s.name))));
  }
  const head = [["Reference"], ["Secondary"], ["Baseline, m", true], ["Stable points", true], ["Std", true], ["Used"], ...names.map((name) => [name, true])];
  const three = (value) => (value === null ? "–" : value.toFixed(3));
  byId("series").append(foldedTable(`Table of the ${size} pairs`, () => table(head, points.map((_, k) => [
    pairs.reference[k], pairs.secondary[k], pairs.baseline[k] === null ? "–" : pairs.baseline[k].toFixed(0).replace("-", "−"), three(pairs.mean[k]), three(pairs.std[k]),
    pairs.accepted[k] ? "yes" : `no: ${pairs.reason[k]}`, ...names.map((name) => three(sites[name][k]))]), "Pairs")));
}

function dot(colour, text) {
  const mark = el("span", { class: "dot" });
  mark.style.background = colour;
  return el("li", {}, mark, text);
}

function downloads(year) {
  byId("data-year").textContent = String(year.year);
  const cube = year.downloads.find((d) => d.key === "cube");
  const full = (path) => new URL(fromRoot(path), location.href.split(/[?#]/)[0]).href;
  const item = full(year.item);
  byId("snippet").textContent = cube
    ? `# pip install xarray zarr fsspec aiohttp\nimport xarray as xr\n\ncube = xr.open_zarr("${full(cube.path)}")\ncube["ndai"].plot()\n`
    : "# this year has no cube in this folder\n";
  byId("copy").onclick = () => copy(byId("snippet").textContent, byId("snippet"));
  byId("downloads").replaceChildren(...year.downloads.map((d) => {
    const store = d.type.startsWith("application/vnd.zarr");
    const name = d.path.split("/").at(-1);
    const more = store ? [" (a folder) ", el("button", { type: "button", class: "small", onclick: () => copy(full(d.path)) }, "Copy address")] : [];
    return el("tr", {}, el("th", { scope: "row" }, d.title),
      el("td", { class: "path" }, el("a", { href: fromRoot(store ? `${d.path}/zarr.json` : d.path) }, name), ...more),
      el("td", { class: "number" }, bytes(d.size)));
  }));
  const links = [["STAC item of the year", item], ["STAC collection", full(state.mine.collection)], ["STAC catalog", full("catalog/catalog.json")]];
  byId("stac").replaceChildren(...links.map(([name, href]) => el("li", {}, el("a", { href }, name))));
}

async function copy(text, shown = null) {
  try {
    await navigator.clipboard.writeText(text);
    byId("copied").textContent = "Copied.";
    byId("copy").textContent = "Copied";
    setTimeout(() => (byId("copy").textContent = "Copy"), 2000);
  } catch {
    // Without https a browser keeps its clipboard shut: select, so that a key copies it.
    if (shown) getSelection().selectAllChildren(shown);
    byId("copied").textContent = "Selected; press Ctrl+C to copy.";
  }
}
