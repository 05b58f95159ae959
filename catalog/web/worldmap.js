// The world in the Equal Earth projection (Šavrič, Patterson and Jenny 2019): areas keep their proportions, so that a
// circle's area and a country's can be compared. Drawn on a canvas: without a graphics card 45,000 circles take 0.1 to
// 0.3 s, 6,000 take 20 ms.

import { panZoom } from "./panzoom.js?v=0";

const [A1, A2, A3, A4] = [1.340264, -0.081106, 0.000893, 0.003796];
const HALF = Math.sqrt(3) / 2;
const RIGHT = Math.PI / (HALF * A1); // x of 180° on the equator
const TOP = project(0, 90)[1];
const DEEPEST = 400; // times the whole world; mines.json is exact to 100 m
const LARGEST = 17; // px, radius of the largest mine with the whole world in view
const SMALLEST = 2; // px
const CROWD = 5000; // mines, above which small circles are drawn smaller and without an edge while seen from far
const DRAFT = 6000; // circles drawn while the map moves, the largest; the others follow when it rests
const REST = 140; // ms
const PATH_SCALE = 1000; // Path2D keeps single precision
const INK = "rgba(18, 24, 28, 0.85)";

export function project(lon, lat) {
  const t = Math.asin(HALF * Math.sin((lat * Math.PI) / 180));
  const t2 = t * t;
  const t6 = t2 * t2 * t2;
  const x = ((lon * Math.PI) / 180) * Math.cos(t) / (HALF * (A1 + 3 * A2 * t2 + t6 * (7 * A3 + 9 * A4 * t2)));
  return [x, t * (A1 + A2 * t2 + t6 * (A3 + A4 * t2))];
}

export class WorldMap {
  // onHover(index or -1, x, y) and onPick(index or -1, x, y): which mine is there
  constructor(element, { onHover, onPick, onMove }) {
    this.element = element;
    this.canvas = element.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.onMove = onMove;
    this.mines = null;
    this.land = null;
    this.order = [];
    this.sprites = new Map();
    this.zoomed = 1;
    [this.cx, this.cy] = [0, 0];
    this.gestures = panZoom(element, {
      pan: (dx, dy) => this.pan(dx, dy),
      zoom: (factor, x, y) => this.zoom(factor, x, y),
      reset: () => this.look(0, 0, 1),
      zoomed: () => this.zoomed > 1.01,
      hover: (x, y) => onHover(x === null ? -1 : this.find(x, y), x, y),
      tap: (x, y) => onPick(this.find(x, y), x, y),
    });
    new ResizeObserver(() => this.resize()).observe(element);
    matchMedia("print").addEventListener("change", () => this.resize());
    this.resize();
  }

  setLand({ scale, rings }) {
    this.land = new Path2D();
    for (const ring of rings) {
      let [x, y] = [0, 0];
      for (let k = 0; k < ring.length; k += 2) {
        [x, y] = [x + ring[k], y + ring[k + 1]];
        const [px, py] = project(x / scale, y / scale);
        this.land[k ? "lineTo" : "moveTo"](px * PATH_SCALE, -py * PATH_SCALE);
      }
      this.land.closePath();
    }
    this.draw();
  }

  // mines: {lon, lat: degrees (NaN: unknown), area: m² (NaN: unknown)}, arrays of one length
  setMines(mines) {
    const size = mines.lon.length;
    this.mines = mines;
    [this.x, this.y] = [new Float64Array(size), new Float64Array(size)];
    let largest = 0;
    for (let k = 0; k < size; k++) {
      [this.x[k], this.y[k]] = project(mines.lon[k], mines.lat[k]);
      if (mines.area[k] > largest) largest = mines.area[k];
    }
    this.unit = LARGEST / Math.sqrt(largest || 1e6);
  }

  // Which mines, largest first, and the colour of each.
  show(order, colours) {
    [this.order, this.colours] = [order, colours];
    this.crowded = order.length > CROWD;
    this.sprites.clear();
    this.draw();
  }

  // Radius in px of an area in m²; grows slowly with the zoom, so that neighbours come apart.
  radius(area) {
    const least = this.crowded ? Math.min(1.25 * this.zoomed ** 0.25, SMALLEST) : SMALLEST;
    return area > 0 ? Math.max(least, this.unit * Math.sqrt(area) * this.zoomed ** 0.35) : least + 0.5;
  }

  resize() {
    const [width, height] = [this.element.clientWidth, this.element.clientHeight];
    if (!width || !height) return;
    this.ratio = Math.min(Math.max(window.devicePixelRatio || 1, matchMedia("print").matches ? 2 : 1), 3);
    [this.width, this.height] = [width, height];
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    this.fit = Math.min((width - 16) / (2 * RIGHT), (height - 16) / (2 * TOP));
    this.sprites.clear();
    this.paint(); // at once: a canvas whose size was set is empty
  }

  get scale() {
    return this.fit * this.zoomed;
  }

  // Place on the element (px) of a point of the projection.
  toScreen(x, y) {
    return [this.width / 2 + (x - this.cx) * this.scale, this.height / 2 - (y - this.cy) * this.scale];
  }

  look(cx, cy, zoomed) {
    this.zoomed = Math.min(Math.max(zoomed, 1), DEEPEST);
    const free = 1 - 1 / this.zoomed; // at full extent the world stays in the middle
    this.cx = Math.min(Math.max(cx, -RIGHT * free), RIGHT * free);
    this.cy = Math.min(Math.max(cy, -TOP * free), TOP * free);
    this.onMove?.();
    this.moving = true;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      this.moving = false;
      this.draw();
    }, REST);
    this.draw();
  }

  pan(dx, dy) {
    this.look(this.cx - dx / this.scale, this.cy + dy / this.scale, this.zoomed);
  }

  zoom(factor, x, y) {
    const wanted = Math.min(Math.max(this.zoomed * factor, 1), DEEPEST);
    const [dx, dy] = [x - this.width / 2, this.height / 2 - y];
    const change = 1 / this.scale - 1 / (this.fit * wanted);
    this.look(this.cx + dx * change, this.cy + dy * change, wanted);
  }

  // Bring mines into view, with room around them.
  fitTo(indices) {
    let [west, east, south, north] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const k of indices) {
      if (!(Number.isFinite(this.x[k]) && Number.isFinite(this.y[k]))) continue;
      [west, east] = [Math.min(west, this.x[k]), Math.max(east, this.x[k])];
      [south, north] = [Math.min(south, this.y[k]), Math.max(north, this.y[k])];
    }
    if (west > east) return;
    const room = 80;
    const across = Math.max(east - west, 0.05);
    const down = Math.max(north - south, 0.05);
    const scale = Math.min((this.width - room) / across, (this.height - room) / down);
    this.look((west + east) / 2, (south + north) / 2, scale / this.fit);
    this.gestures.touch();
  }

  // The topmost mine at a place of the element, -1 where there is none; small circles are easier to hit than to see.
  find(x, y) {
    let [best, nearest] = [-1, Infinity];
    for (const k of this.order) {
      const [px, py] = this.toScreen(this.x[k], this.y[k]);
      const away = Math.hypot(px - x, py - y) - this.radius(this.mines.area[k]);
      if (away <= 4 && (away <= 0 || away <= nearest)) [best, nearest] = [k, Math.max(away, 0)];
    }
    return best;
  }

  draw() {
    this.waiting ??= requestAnimationFrame(() => this.paint());
  }

  paint() {
    cancelAnimationFrame(this.waiting);
    this.waiting = undefined;
    if (!this.width) return;
    const { context: c, ratio } = this;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const s = (this.scale * ratio) / PATH_SCALE;
    const [ox, oy] = this.toScreen(0, 0);
    c.setTransform(s, 0, 0, s, ox * ratio, oy * ratio);
    const px = ratio / s;
    this.globe ??= outline();
    this.lines ??= graticule();
    c.fillStyle = "#e9f0f3";
    c.fill(this.globe);
    if (this.land) {
      c.fillStyle = "#fbfaf6";
      c.strokeStyle = "#a9b3b5";
      c.lineWidth = 0.7 * px;
      c.lineJoin = "round";
      c.fill(this.land, "evenodd");
      c.stroke(this.land);
    }
    c.strokeStyle = "rgba(60, 90, 105, 0.13)";
    c.lineWidth = 0.8 * px;
    c.stroke(this.lines);
    c.strokeStyle = "#9fb0b7";
    c.lineWidth = px;
    c.stroke(this.globe);
    if (this.mines) this.paintMines();
  }

  paintMines() {
    const { context: c, ratio } = this;
    c.setTransform(1, 0, 0, 1, 0, 0);
    const [w, h] = [this.width, this.height];
    const order = this.moving ? this.order.slice(0, DRAFT) : this.order;
    for (const k of order) {
      const x = w / 2 + (this.x[k] - this.cx) * this.scale;
      const y = h / 2 - (this.y[k] - this.cy) * this.scale;
      if (!(x > -60 && y > -60 && x < w + 60 && y < h + 60)) continue; // NaN too: a mine without a place
      const sprite = this.sprite(this.radius(this.mines.area[k]), this.colours[k], !(this.mines.area[k] >= 0));
      c.drawImage(sprite, Math.round(x * ratio - sprite.width / 2), Math.round(y * ratio - sprite.height / 2));
    }
  }

  // A circle drawn once for every colour and half pixel of radius: copying it is cheaper than drawing.
  sprite(radius, colour, hollow) {
    const key = `${Math.round(radius * 2)}${hollow ? "o" : ""}${colour}`;
    let found = this.sprites.get(key);
    if (!found) {
      const r = (Math.round(radius * 2) / 2) * this.ratio;
      const size = 2 * Math.ceil(r + this.ratio) + 1;
      found = Object.assign(document.createElement("canvas"), { width: size, height: size });
      const c = found.getContext("2d");
      c.beginPath();
      c.arc(size / 2, size / 2, r, 0, 2 * Math.PI);
      c.globalAlpha = 0.82;
      c.fillStyle = hollow ? "#ffffff" : colour;
      c.fill();
      c.globalAlpha = 1;
      c.strokeStyle = INK;
      c.lineWidth = (radius > 3 ? 1 : 0.6) * this.ratio;
      if (radius >= SMALLEST) c.stroke();
      this.sprites.set(key, found);
    }
    return found;
  }
}

function outline() {
  const path = new Path2D();
  const to = (lon, lat, first) => {
    const [x, y] = project(lon, lat);
    path[first ? "moveTo" : "lineTo"](x * PATH_SCALE, -y * PATH_SCALE);
  };
  for (let lat = -90; lat <= 90; lat += 2) to(-180, lat, lat === -90);
  for (let lat = 90; lat >= -90; lat -= 2) to(180, lat, false);
  path.closePath();
  return path;
}

function graticule() {
  const path = new Path2D();
  const line = (points) => points.forEach(([lon, lat], k) => {
    const [x, y] = project(lon, lat);
    path[k ? "lineTo" : "moveTo"](x * PATH_SCALE, -y * PATH_SCALE);
  });
  for (let lon = -150; lon <= 150; lon += 30) line(Array.from({ length: 91 }, (_, k) => [lon, -90 + 2 * k]));
  for (let lat = -60; lat <= 60; lat += 30) line([[-180, lat], [180, lat]]);
  return path;
}
