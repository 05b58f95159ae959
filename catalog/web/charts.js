// Two kinds of chart as SVG, drawn at the width they are shown at, so that words keep their size on a phone.

import { el, svg } from "./dom.js?v=0";

const MARGIN = { top: 16, right: 16, bottom: 30, left: 62 };
const GAP_DAYS = 45; // a line doesn't bridge more: nothing was seen in between
const DAY = 86_400_000;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// Draw now and whenever the width changes.
export function responsive(box, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (box.clientWidth === width || !box.clientWidth) return;
    width = box.clientWidth;
    box.replaceChildren(draw(width));
  }).observe(box);
  return box;
}

// Values of years with their intervals. years: [{year, value, low, high}], null where missing; ticks in the unit shown.
export function intervalChart(width, { years, scale, unit, format, words, colour, missing }) {
  const height = 270;
  const known = years.filter((y) => y.value !== null);
  const top = Math.max(...known.map((y) => Math.max(y.value, y.high ?? 0) * scale), 1e-9);
  const ticks = niceTicks(0, top, 5);
  const y = linear(0, ticks.at(-1), height - MARGIN.bottom, MARGIN.top + 12);
  const room = (width - MARGIN.left - MARGIN.right) / years.length;
  const x = (k) => MARGIN.left + room * (k + 0.5);
  const bar = Math.min(room * 0.55, 70);
  const parts = [axis(width, ticks, y, unit)];
  years.forEach((entry, k) => {
    if (room > 34 || k % Math.ceil(34 / room) === 0) {
      parts.push(svg("text", { x: x(k), y: height - 9, "text-anchor": "middle" }, String(entry.year)));
    }
    if (entry.value === null) {
      if (room > 50) parts.push(svg("text", { class: "quiet", x: x(k), y: y(0) - 8, "text-anchor": "middle" }, missing));
      return;
    }
    const at = y(entry.value * scale);
    parts.push(svg("rect", { x: x(k) - bar / 2, y: at, width: bar, height: Math.max(y(0) - at, 0.5), fill: colour },
      svg("title", {}, `${entry.year}: ${format(entry)}`)));
    if (entry.low !== null) parts.push(whisker(x(k), y(entry.low * scale), y(entry.high * scale), Math.min(bar / 4, 8)));
  });
  return frame(width, height, words, parts);
}

// Series over time. series: [{name, colour, values, band}], points: [{time: ms, open: bool, words}]; range: [low, high]
export function timeChart(width, { points, series, range, unit, words }) {
  const height = 260;
  const times = points.map((p) => p.time);
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const pad = Math.max((last - first) * 0.02, 10 * DAY);
  const x = linear(first - pad, last + pad, MARGIN.left, width - MARGIN.right);
  const ticks = niceTicks(...range, 5);
  const y = linear(Math.min(range[0], ticks[0]), Math.max(range[1], ticks.at(-1)), height - MARGIN.bottom, MARGIN.top + 12);
  const parts = [axis(width, ticks, y, unit), ...timeAxis(first - pad, last + pad, x, width, height)];
  for (const { values, band, colour, name } of series) {
    for (const run of runs(points, values)) {
      if (band) {
        const edge = (sign, list) => list.map((k) => `${x(times[k]).toFixed(1)},${y(clip(values[k] + sign * (band[k] ?? 0), range)).toFixed(1)}`);
        parts.push(svg("polygon", { points: [...edge(1, run), ...edge(-1, run.slice().reverse())].join(" "), fill: colour, opacity: 0.16 }));
      }
      const line = run.map((k) => `${x(times[k]).toFixed(1)},${y(values[k]).toFixed(1)}`).join(" ");
      parts.push(svg("polyline", { points: line, fill: "none", stroke: colour, "stroke-width": 1.6 }));
    }
    values.forEach((value, k) => {
      if (value === null) return;
      const open = points[k].open;
      parts.push(svg("circle", { cx: x(times[k]).toFixed(1), cy: y(value).toFixed(1), r: open ? 4 : 3.2, fill: open ? "#fff" : colour, stroke: colour, "stroke-width": open ? 1.8 : 0.5 },
        svg("title", {}, `${name}: ${value.toFixed(3)}. ${points[k].words}`)));
    });
  }
  return frame(width, height, words, parts);
}

const kind = (said) => (said === true ? "number" : said);

// head: [name, true for numbers, "wide" for sentences] of each column
export function table(head, rows, caption) {
  return el("div", { class: "tablebox scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", {}, el("caption", { class: "hidden" }, caption),
      el("thead", {}, el("tr", {}, ...head.map(([name, number]) => el("th", { scope: "col", class: kind(number) }, name)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell, k) =>
        k ? el("td", { class: kind(head[k][1]) }, cell) : el("th", { scope: "row" }, cell)))))));
}

// A table that is made when somebody opens it: a long series has hundreds of rows.
export function foldedTable(summary, make) {
  const box = el("details", {}, el("summary", {}, summary));
  box.addEventListener("toggle", () => box.open && box.children.length === 1 && box.append(make()));
  return box;
}

function frame(width, height, words, parts) {
  return svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": words }, ...parts);
}

function axis(width, ticks, y, unit) {
  const digits = Math.max(0, -Math.floor(Math.log10(ticks[1] - ticks[0]) + 1e-9));
  return svg("g", {},
    svg("text", { class: "quiet", x: 10, y: 15 }, unit),
    ...ticks.flatMap((tick) => [
      svg("line", { class: Math.abs(tick) < 1e-9 ? "axis" : "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }),
      svg("text", { x: MARGIN.left - 8, y: y(tick) + 4.5, "text-anchor": "end" }, tick.toFixed(digits).replace("-", "−")),
    ]));
}

// A line for every month, quarter or year; the years' names first, other months where there is room between them.
function timeAxis(first, last, x, width, height) {
  const months = last - first < 500 * DAY ? 1 : last - first < 1300 * DAY ? 3 : 12;
  const start = new Date(first);
  const marks = [];
  for (let month = Math.ceil((start.getUTCMonth() + 1) / months) * months; ; month += months) {
    const time = Date.UTC(start.getUTCFullYear(), month, 1);
    if (time > last) break;
    marks.push({ at: x(time), year: month % 12 === 0 ? new Date(time).getUTCFullYear() : 0, month: MONTHS[month % 12] });
  }
  const taken = [];
  for (const mark of [...marks.filter((m) => m.year), ...marks.filter((m) => !m.year)]) {
    mark.named = mark.at < width - 14 && taken.every((other) => Math.abs(other - mark.at) > 42);
    if (mark.named) taken.push(mark.at);
  }
  return marks.flatMap(({ at, year, month, named }) => [
    svg("line", { class: year ? "axis" : "grid", x1: at, x2: at, y1: MARGIN.top + 12, y2: height - MARGIN.bottom }),
    named && svg("text", { class: year ? "" : "quiet", x: at, y: height - 9, "text-anchor": "middle" }, year ? String(year) : month),
  ]).filter(Boolean);
}

function whisker(x, low, high, half) {
  const stroke = { stroke: "#18222a", "stroke-width": 1.6 };
  return svg("g", {},
    svg("line", { x1: x, x2: x, y1: low, y2: high, ...stroke }),
    svg("line", { x1: x - half, x2: x + half, y1: low, y2: low, ...stroke }),
    svg("line", { x1: x - half, x2: x + half, y1: high, y2: high, ...stroke }));
}

// Neighbouring points that a line may join: accepted, with a value, and not too far apart.
function runs(points, values) {
  const out = [];
  let before = -1;
  points.forEach((point, k) => {
    if (values[k] === null || point.open) return;
    if (before < 0 || point.time - points[before].time > GAP_DAYS * DAY) out.push([]);
    out.at(-1).push(k);
    before = k;
  });
  return out;
}

const clip = (value, [low, high]) => Math.min(Math.max(value, low), high);
const linear = (from, to, a, b) => (value) => a + ((value - from) / (to - from || 1)) * (b - a);

// Steps of 1, 2 or 5 times a power of ten that cover low..high, about as many as wanted.
export function niceTicks(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough * 0.999);
  const out = [];
  for (let k = Math.floor(low / step + 1e-9); k <= Math.ceil(high / step - 1e-9); k++) out.push(k * step);
  return out.length > 1 ? out : [0, step];
}
