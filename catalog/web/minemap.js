// One picture of a mine with its outline, to be moved and zoomed; in pixels of the grid, whose north is up.

import { byId, svg } from "./dom.js?v=0";
import { panZoom } from "./panzoom.js?v=0";

const CLOSEST = 20; // grid pixels across the map at the closest
const TALLEST = "74vh"; // with its switches above it a map should fit the window
const BAR = 130; // px, the longest scale bar

export class MineMap {
  constructor(element) {
    this.element = element;
    const hatch = svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("rect", { width: 6, height: 6, fill: "#ffffff" }), svg("rect", { width: 1.6, height: 6, fill: "#c4cbce" }));
    this.hatch = hatch;
    this.ground = svg("rect", { fill: "url(#hatch)" });
    this.image = svg("image", { x: 0, y: 0, preserveAspectRatio: "none" });
    // White under black: the outline is seen on every colour.
    this.halo = svg("path", { fill: "none", stroke: "#ffffff", "stroke-width": 4.5, "stroke-opacity": 0.85, "stroke-linejoin": "round", "vector-effect": "non-scaling-stroke" });
    this.line = svg("path", { fill: "none", stroke: "#101418", "stroke-width": 2, "stroke-linejoin": "round", "vector-effect": "non-scaling-stroke" });
    this.svg = svg("svg", { role: "img" }, svg("defs", {}, hatch), this.ground, this.image, this.halo, this.line);
    element.prepend(this.svg);
    this.gestures = panZoom(element, {
      pan: (dx, dy) => this.look(this.x - dx / this.scale, this.y - dy / this.scale, this.zoomed),
      zoom: (factor, x, y) => this.zoom(factor, x, y),
      reset: () => this.reset(),
      zoomed: () => this.zoomed > 1.01,
    });
    new ResizeObserver(() => this.shape && this.look(this.x, this.y, this.zoomed)).observe(element);
  }

  // shape: {width, height, spacing, outline}; address: of the picture; words: what a reader who can't see it is told
  show(shape, address, words) {
    const before = this.shape;
    this.shape = shape;
    for (const part of [this.ground, this.image]) {
      part.setAttribute("width", shape.width);
      part.setAttribute("height", shape.height);
    }
    this.image.setAttribute("href", address);
    for (const part of [this.halo, this.line]) part.setAttribute("d", shape.outline);
    this.svg.setAttribute("aria-label", words);
    if (before?.width === shape.width && before?.height === shape.height) return;
    this.element.style.aspectRatio = `${shape.width} / ${shape.height}`;
    this.element.style.maxWidth = `calc(${shape.width / shape.height} * ${TALLEST})`;
    this.reset();
  }

  // x, y: the middle of the view in grid pixels
  look(x, y, zoomed) {
    const { width, height } = this.shape;
    const most = Math.max(1, Math.max(width, height) / CLOSEST);
    this.zoomed = Math.min(Math.max(zoomed, 1), most);
    const [w, h] = [width / this.zoomed, height / this.zoomed];
    this.x = Math.min(Math.max(x, w / 2), width - w / 2);
    this.y = Math.min(Math.max(y, h / 2), height - h / 2);
    this.svg.setAttribute("viewBox", `${this.x - w / 2} ${this.y - h / 2} ${w} ${h}`);
    this.scale = Math.min(this.element.clientWidth / w, this.element.clientHeight / h) || 1;
    this.hatch.setAttribute("patternTransform", `rotate(45) scale(${1 / this.scale})`);
    this.bar();
  }

  zoom(factor, x, y) {
    const old = this.scale;
    const wanted = Math.min(Math.max(this.zoomed * factor, 1), Math.max(this.shape.width, this.shape.height) / CLOSEST);
    const change = 1 / old - 1 / (old * (wanted / this.zoomed));
    const [dx, dy] = [x - this.element.clientWidth / 2, y - this.element.clientHeight / 2];
    this.look(this.x + dx * change, this.y + dy * change, wanted);
  }

  reset() {
    this.look(this.shape.width / 2, this.shape.height / 2, 1);
    this.gestures.touch();
  }

  bar() {
    const metre = this.scale / this.shape.spacing; // px
    const most = Math.min(BAR, this.element.clientWidth / 3) / metre;
    const unit = 10 ** Math.floor(Math.log10(most));
    const length = unit * (most / unit >= 5 ? 5 : most / unit >= 2 ? 2 : 1);
    const line = byId("scalebar").querySelector("span");
    line.style.width = `${length * metre}px`;
    byId("scalebar").replaceChildren(length >= 1000 ? `${length / 1000} km` : `${length} m`, line);
  }
}
