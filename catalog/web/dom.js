// Elements and words. Every text goes through a text node, so that a name can never become markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const three = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (n) => whole.format(n);
export const number = (value) => (Math.abs(value) >= 1000 ? whole.format(value) : three.format(value)).replace("-", "−");

// Square metres as km²; below 0.001 km² an area is a pixel or two.
export const area = (m2) => `${number(m2 / 1e6)} km²`;
export const span = (low, high, scale = 1) => `${number(low * scale)} to ${number(high * scale)}`;

export function signed(value, text) {
  return value > 0 ? `+${text}` : text;
}

export function tonnes(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${number(value / 1e6)} Mt`;
  return size >= 1e4 ? `${number(value / 1e3)} kt` : `${number(value)} t`;
}

export function bytes(size) {
  if (size === null || size === undefined) return "";
  if (size < 1e3) return `${size} B`;
  return size < 1e6 ? `${number(size / 1e3)} kB` : size < 1e9 ? `${number(size / 1e6)} MB` : `${number(size / 1e9)} GB`;
}

export function degrees(lon, lat) {
  const part = (value, plus, minus) => `${Math.abs(value).toFixed(3)}° ${value < 0 ? minus : plus}`;
  return `${part(lat, "N", "S")}, ${part(lon, "E", "W")}`;
}

// A path from the root of the published folder, as this page sees it.
export const fromRoot = (path) => document.body.dataset.root + path.split("/").map(encodeURIComponent).join("/");

// Data are always asked for anew: the server says that nothing changed, or sends what did.
export async function json(path, more = {}) {
  const response = await fetch(fromRoot(path), { cache: "no-cache", ...more });
  if (!response.ok) throw new Error(`${path} is not there (the server says ${response.status})`);
  return response.json();
}

export function problem(text) {
  const box = byId("problem");
  box.textContent = text;
  box.hidden = false;
}

// Parameters of the address: what is shown can be sent to somebody else.
export function remember(values) {
  const address = new URL(location.href);
  for (const [name, value] of Object.entries(values)) {
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  history.replaceState(null, "", address);
}
