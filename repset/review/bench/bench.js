"use strict";
// The page of `repset review reps`: shows one repetition, sends one decision a key press, fetches the next ones ahead.

const AHEAD = 5, HOLD_MS = 900, LEAST_DEG = 40;
const SIGN = { correct: "✓", incorrect: "✗", unscorable: "?", rejected: "–" };
const WHO = { dataset: "the set says", dataset_estimate: "the set estimates", rule: "the rule says", model: "the model says",
  mediapipe: "the pose model says", human: "a person said" };
const $ = (id) => document.getElementById(id);
const video = $("strip");

let queue = null, index = 0, item = null, bounds = { start: 0, end: 0 }, active = "end";
let shownAt = 0, busy = false, paused = false, hold = 0, url = null;
const ready = new Map();   // id → promise of {item, url}
const paces = [];          // moments of the last decisions, for repetitions a minute

async function ask(path, body) {
  const options = body ? { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } } : {};
  const answer = await fetch(path, options);
  const found = await answer.json().catch(() => ({ error: "The bench does not answer any more. Start it again." }));
  if (!answer.ok || found.error) throw new Error(found.error || `status ${answer.status}`);
  return found;
}

async function load(id, moved) {
  const query = moved ? `?start=${moved.start}&end=${moved.end}` : "";
  const found = await ask(`item/${id}${query}`);
  const answer = await fetch(found.strip);
  if (!answer.ok) throw new Error((await answer.json()).error);
  return { item: found, url: URL.createObjectURL(await answer.blob()) };
}

function prepare(id) {
  if (!ready.has(id)) ready.set(id, load(id).catch((error) => { ready.delete(id); throw error; }));
  return ready.get(id);
}

async function show(at) {
  index = at;
  if (at >= queue.items.length) return finish();
  $("desk").hidden = false; $("end").hidden = true;
  const found = await prepare(queue.items[at].id);
  if (index !== at) return;
  item = found.item; bounds = { start: item.start, end: item.end }; active = "end"; paused = false;
  play(found.url); words(); draw();
  shownAt = performance.now();
  queue.items.slice(at + 1, at + 1 + AHEAD).forEach((next) => prepare(next.id).catch(() => {}));
  for (const [id, promise] of ready) {           // keep a few behind for undo, free the rest
    const far = queue.items.findIndex((one) => one.id === id);
    if (far < at - 3 || far > at + AHEAD + 3) { ready.delete(id); promise.then((old) => URL.revokeObjectURL(old.url)).catch(() => {}); }
  }
}

function play(source) {
  url = source; clearTimeout(hold); hold = 0;
  video.src = source;
  video.play().catch(() => {});
}

function words() {
  const length = (item.last - item.first) / item.fps;
  $("exercise").textContent = item.exercise || "exercise unknown";
  $("speed").textContent = `${length.toFixed(1)} s in ${queue.loop_s} s`;
  $("sample").textContent = item.sample + (item.person ? `, person ${item.person + 1}` : "") + (item.view && item.view !== "unknown" ? `, ${item.view}` : "");
  const done = queue.done[item.id];
  $("who").textContent = done ? "you said" : WHO[item.origin] || item.origin;
  const verdict = done || item.verdict;
  $("verdict").textContent = `${SIGN[verdict] || ""} ${verdict === "rejected" ? "no repetition" : verdict}`;
  $("said").style.setProperty("--now", `var(--${verdict}, var(--soft))`);
  $("message").textContent = item.message;
  const limits = [item.low_deg == null ? "" : `at least ${Math.round(item.low_deg)}°`, item.high_deg == null ? "" : `at most ${Math.round(item.high_deg)}°`];
  $("measured").textContent = item.value_deg == null ? "" : [`${item.signal} ${Math.round(item.value_deg)}°`, ...limits.filter(Boolean)].join(", ");
  document.querySelectorAll(".big").forEach((key) => key.classList.toggle("was", key.dataset.verdict === verdict));
  edges();
}

function edges() {
  for (const name of ["start", "end"]) {
    const key = $(`bound-${name}`), moved = bounds[name] - item[name];
    key.classList.toggle("active", name === active);
    key.querySelector("b").textContent = `${(bounds[name] / item.fps).toFixed(2)} s`;
    key.querySelector("i").textContent = moved ? `${moved > 0 ? "+" : "−"}${Math.abs(moved)} frames` : `frame ${bounds[name]}`;
  }
}

// --- the curve -----------------------------------------------------------------------------------------------------

const BOX = { left: 40, right: 8, top: 12, bottom: 24, width: 560, height: 260 };

function part(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function scales() {
  const size = $("curve").getBoundingClientRect();
  BOX.width = Math.max(size.width, 200); BOX.height = Math.max(size.height, 80);
  $("curve").setAttribute("viewBox", `0 0 ${BOX.width} ${BOX.height}`);
  const values = (item.curve ? item.curve.deg : []).filter((v) => v !== null);
  const all = values.concat([item.low_deg, item.high_deg].filter((v) => v != null));
  let low = Math.min(...all), high = Math.max(...all);
  if (!all.length) { low = 0; high = 180; }
  const room = Math.max((high - low) * 0.12, 4, (LEAST_DEG - (high - low)) / 2);  // a twitch must not fill the chart
  low -= room; high += room;
  const x = (frame) => BOX.left + (frame - item.first) / (item.last - item.first) * (BOX.width - BOX.left - BOX.right);
  const y = (deg) => BOX.top + (high - deg) / (high - low) * (BOX.height - BOX.top - BOX.bottom);
  return { x, y, low, high };
}

function draw() {
  const svg = $("curve"), { x, y, low, high } = scales();
  svg.replaceChildren();
  $("curve-name").textContent = item.curve ? `${item.curve.name}, degrees` : "no angle is known here";
  svg.append(part("rect", { x: x(bounds.start), y: BOX.top, width: Math.max(x(bounds.end) - x(bounds.start), 1), height: BOX.height - BOX.top - BOX.bottom,
    fill: "#56b4e9", opacity: 0.1 }));
  const step = [5, 10, 20, 30, 45, 60].find((s) => (high - low) / s <= 5) || 90;
  for (let deg = Math.ceil(low / step) * step; deg <= high; deg += step) {
    svg.append(part("line", { x1: BOX.left, x2: BOX.width - BOX.right, y1: y(deg), y2: y(deg), stroke: "#2d343e" }));
    svg.append(part("text", { x: BOX.left - 7, y: y(deg) + 4, "text-anchor": "end" }, `${deg}°`));
  }
  const span = (item.last - item.first) / item.fps, second = [0.1, 0.2, 0.5, 1, 2, 5, 10].find((s) => span / s <= 7) || 30;
  for (let at = Math.ceil(item.first / item.fps / second) * second; at * item.fps <= item.last; at += second) {
    svg.append(part("text", { x: x(at * item.fps), y: BOX.height - 6, "text-anchor": "middle" }, `${Number(at.toFixed(1))} s`));
  }
  for (const [name, deg] of [["at least", item.low_deg], ["at most", item.high_deg]]) {
    if (deg == null) continue;
    svg.append(part("line", { x1: BOX.left, x2: BOX.width - BOX.right, y1: y(deg), y2: y(deg), stroke: "#e69f00", "stroke-width": 2, "stroke-dasharray": "7 5" }));
    svg.append(part("text", { x: BOX.width - BOX.right - 4, y: y(deg) - 6, "text-anchor": "end", class: "limit-name" }, `limit: ${name} ${Math.round(deg)}°`));
  }
  let path = "", pen = false;
  (item.curve ? item.curve.deg : []).forEach((deg, n) => {
    if (deg === null) { pen = false; return; }
    path += `${pen ? "L" : "M"}${x(item.first + n + 0.5).toFixed(1)} ${y(deg).toFixed(1)}`;
    pen = true;
  });
  svg.append(part("path", { d: path, fill: "none", stroke: "#56b4e9", "stroke-width": 2.5, "stroke-linejoin": "round" }));
  for (const name of ["start", "end"]) {
    const at = x(bounds[name]), mine = name === active;
    svg.append(part("line", { x1: at, x2: at, y1: BOX.top, y2: BOX.height - BOX.bottom, stroke: mine ? "#eef1f5" : "#7d8896", "stroke-width": mine ? 3 : 2 }));
    svg.append(part("circle", { cx: at, cy: BOX.top + 2, r: mine ? 6 : 4, fill: mine ? "#eef1f5" : "#7d8896" }));
  }
  svg.append(part("line", { id: "head", y1: BOX.top, y2: BOX.height - BOX.bottom, stroke: "#ffffff", "stroke-opacity": 0.55 }));
  svg.append(part("circle", { id: "dot", r: 5, fill: "#12151a", stroke: "#56b4e9", "stroke-width": 2.5, visibility: "hidden" }));
}

function tick() {
  requestAnimationFrame(tick);
  const head = $("head");
  if (!item || !head) return;
  const { x, y } = tick.scale && tick.item === item && tick.width === BOX.width ? tick.scale : (tick.scale = scales());
  tick.item = item; tick.width = BOX.width;
  const frame = item.first + Math.min(video.currentTime / queue.loop_s, 1) * (item.last - item.first);
  head.setAttribute("x1", x(frame)); head.setAttribute("x2", x(frame));
  const deg = item.curve ? item.curve.deg[Math.min(Math.floor(frame - item.first), item.curve.deg.length - 1)] : null;
  const dot = $("dot");
  dot.setAttribute("visibility", deg == null ? "hidden" : "visible");
  if (deg != null) { dot.setAttribute("cx", x(frame)); dot.setAttribute("cy", y(deg)); }
  $("curve-now").textContent = deg == null ? "" : `${Math.round(deg)}°`;
}

// --- what a person does ------------------------------------------------------------------------------------------------

async function decide(verdict) {
  const key = document.querySelector(`[data-verdict="${verdict}"]`);
  if (key) { key.classList.add("hit"); setTimeout(() => key.classList.remove("hit"), 160); }
  const seconds = (performance.now() - shownAt) / 1000;
  await ask("decide", { id: item.id, verdict, start: bounds.start, end: bounds.end, seconds, nonce: crypto.randomUUID() });
  queue.done[item.id] = verdict === "reject" ? "rejected" : verdict;
  paces.push(performance.now());
  progress();
  await show(index + 1);
}

async function undo() {
  const found = await ask("undo", { nonce: crypto.randomUUID() });
  if (found.id === null) return;
  delete queue.done[found.id];
  paces.pop();
  progress();
  await show(queue.items.findIndex((one) => one.id === found.id));
}

async function move(by) {
  const next = { ...bounds };
  next[active] = active === "start"
    ? Math.max(0, Math.min(bounds.start + by, bounds.end - 1))
    : Math.min(item.frames, Math.max(bounds.end + by, bounds.start + 1));
  bounds = next;
  if (bounds.start < item.first || bounds.end > item.last) {
    const kept = { start: item.start, end: item.end }, at = index, wanted = { ...bounds };
    const found = await load(item.id, wanted);
    if (index !== at) return;
    item = { ...found.item, ...kept };
    play(found.url); words();
  }
  edges(); draw(); look();
}

function look() {  // the picture at the boundary that is being moved, then on with the loop
  video.pause();
  const frame = active === "end" ? bounds.end - 1 : bounds.start;
  video.currentTime = Math.min(Math.max((frame + 0.5 - item.first) / (item.last - item.first), 0), 0.999) * queue.loop_s;
  clearTimeout(hold);
  hold = setTimeout(() => { if (!paused) video.play().catch(() => {}); }, HOLD_MS);
}

function pause() {
  paused = !paused;
  if (paused) video.pause(); else video.play().catch(() => {});
}

function choose(name) { active = name; edges(); draw(); look(); }

function progress() {
  const done = Object.values(queue.done), total = queue.items.length;
  $("count").textContent = `${done.length} of ${total}`;
  $("bar").replaceChildren(...["correct", "incorrect", "unscorable", "rejected"].map((name) => {
    const slice = document.createElement("i");
    slice.style.width = `${100 * done.filter((said) => said === name).length / Math.max(total, 1)}%`;
    slice.style.background = `var(--${name}, #5f6875)`;
    return slice;
  }));
  document.querySelector(".progress").setAttribute("aria-valuenow", done.length);
  document.querySelector(".progress").setAttribute("aria-valuemax", total);
  const last = paces.slice(-21);
  if (last.length < 3) return;
  const pace = (last.length - 1) / ((last[last.length - 1] - last[0]) / 60000);
  const minutes = (total - done.length) / pace;
  $("pace").textContent = pace >= 10 ? pace.toFixed(0) : pace.toFixed(1);
  $("left").textContent = minutes < 1 ? `${Math.ceil(minutes * 60)} s` : `${Math.ceil(minutes)} min`;
}

function finish() {
  item = null; video.pause();
  $("desk").hidden = true; $("end").hidden = false;
  const done = Object.values(queue.done), left = queue.items.length - done.length;
  $("end-title").textContent = queue.items.length ? `${done.length} repetitions judged` : "Nothing waits for you here";
  $("end-text").textContent = left ? `${left} skipped: press b to go back. Every decision is in the ledger.` : "Every decision is in the ledger. You can close this page and stop the command.";
}

function fault(error) {
  $("fault").textContent = error.message; $("fault").hidden = false;
  setTimeout(() => { $("fault").hidden = true; }, 6000);
}

const KEYS = {
  1: () => decide("correct"), 2: () => decide("incorrect"), 3: () => decide("unscorable"), x: () => decide("reject"),
  ArrowLeft: (event) => move(event.shiftKey ? -5 : -1), ArrowRight: (event) => move(event.shiftKey ? 5 : 1),
  ArrowUp: () => choose("start"), ArrowDown: () => choose("end"), " ": pause, n: () => show(index + 1),
};

async function act(work) {
  if (busy) return;
  busy = true;
  try { await work(); } catch (error) { fault(error); } finally { busy = false; }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !queue) return;
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const work = name === "u" ? undo : name === "b" ? () => (index > 0 ? show(index - 1) : undefined) : item && KEYS[name];
  if (!work || (event.repeat && !name.startsWith("Arrow"))) return;
  event.preventDefault();
  act(() => work(event));
});
document.querySelectorAll("[data-verdict]").forEach((key) => key.addEventListener("click", () => { key.blur(); if (item) act(() => decide(key.dataset.verdict)); }));
document.querySelectorAll("[data-bound]").forEach((key) => key.addEventListener("click", () => { key.blur(); if (item) choose(key.dataset.bound); }));
window.addEventListener("resize", () => { if (item) { draw(); tick.item = null; } });

(async () => {
  queue = await ask("queue");
  $("reviewer").textContent = queue.reviewer;
  progress(); tick();
  await act(() => show(0));
})().catch(fault);
