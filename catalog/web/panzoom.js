// Moving and zooming with mouse, finger and keyboard; what it means is up to the map.

const STEP = 1.6; // a press of a button or a key
const STILL = 5; // px that a click may move

// map: {pan(dx, dy), zoom(factor, x, y), reset(), tap(x, y), hover(x, y) or hover(null), zoomed()}
export function panZoom(element, map) {
  const fingers = new Map();
  let moved = 0;
  let gap = 0;

  const here = (event) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const ours = (event) => !event.target.closest("button, a, .card");
  const touch = () => {
    // At full extent a finger scrolls the page past the map; zoomed in, it moves the map.
    element.style.touchAction = map.zoomed() ? "none" : "pan-y";
  };
  const zoom = (factor, x = element.clientWidth / 2, y = element.clientHeight / 2) => {
    map.zoom(factor, x, y);
    touch();
  };
  const reset = () => {
    map.reset();
    touch();
  };

  element.addEventListener("pointerdown", (event) => {
    if (!ours(event) || event.button > 0) return;
    fingers.set(event.pointerId, here(event));
    moved = fingers.size > 1 ? Infinity : 0;
    gap = spread(fingers);
  });
  element.addEventListener("pointermove", (event) => {
    const at = here(event);
    const before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") map.hover?.(...(ours(event) ? at : [null]));
      return;
    }
    moved += Math.hypot(at[0] - before[0], at[1] - before[1]);
    if (moved > STILL && !element.hasPointerCapture(event.pointerId)) element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at);
    if (moved <= STILL) return;
    map.pan((at[0] - before[0]) / fingers.size, (at[1] - before[1]) / fingers.size);
    if (fingers.size === 2) {
      const wide = spread(fingers);
      const [a, b] = fingers.values();
      if (gap > 0 && wide > 0) zoom(wide / gap, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
      gap = wide;
    }
  });
  const lift = (event) => {
    const known = fingers.delete(event.pointerId);
    gap = spread(fingers);
    if (known && event.type === "pointerup" && moved <= STILL) map.tap?.(...here(event));
  };
  element.addEventListener("pointerup", lift);
  element.addEventListener("pointercancel", lift);
  element.addEventListener("pointerleave", () => map.hover?.(null));
  element.addEventListener("wheel", (event) => {
    // Only in focus, or the page couldn't be scrolled past the map; a pinch on a touch pad comes with ctrlKey.
    if (!event.ctrlKey && !element.contains(document.activeElement)) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : event.ctrlKey ? 0.01 : 0.002)), ...here(event));
  }, { passive: false });
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (steps[event.key]) map.pan(...steps[event.key]);
    else if (event.key === "+" || event.key === "=") zoom(STEP);
    else if (event.key === "-") zoom(1 / STEP);
    else if (event.key === "0") reset();
    else return;
    event.preventDefault();
  });
  element.addEventListener("click", (event) => {
    const what = event.target.closest("button")?.dataset.do;
    if (what === "in") zoom(STEP);
    if (what === "out") zoom(1 / STEP);
    if (what === "reset") reset();
  });
  touch();
  return { touch };
}

function spread(fingers) {
  if (fingers.size !== 2) return 0;
  const [a, b] = fingers.values();
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}
