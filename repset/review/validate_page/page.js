// One frame or clip after the other: joints by clicking, repetitions by counting. Nothing of the labeller is shown.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const BONES = [["shoulder", "elbow"], ["elbow", "wrist"], ["shoulder", "hip"], ["hip", "knee"], ["knee", "ankle"]];
const FIGURE = { shoulder: [36, 92], elbow: [58, 140], wrist: [64, 188], hip: [22, 180], knee: [26, 232], ankle: [28, 284] };
const CROSS = [["left_shoulder", "right_shoulder"], ["left_hip", "right_hip"]];
const IDLE_S = 60; // of one item at most in the forecast of the time that is left

let items = [], at = 0, joints = {}, begun = 0, dragged = null, sending = false;
const done = new Set();
const paces = [];

const word = (name) => name.replaceAll("_", " ");
const current = () => items[at];
const asked = () => current().joints.find((name) => !(name in joints));

function make(name, attributes, parent) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
}

function fault(text) {
  $("fault").textContent = text;
  $("fault").hidden = !text;
}

async function call(path, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}

function drawBody() {
  const box = $("body");
  box.replaceChildren();
  const place = (name) => {
    const [side, part] = [name.split("_")[0], name.split("_")[1]];
    const [x, y] = FIGURE[part];
    return [110 + (side === "left" ? x : -x), y];
  };
  const line = (a, b) => {
    const [p, q] = [place(a), place(b)];
    make("line", { x1: p[0], y1: p[1], x2: q[0], y2: q[1] }, box);
  };
  make("circle", { cx: 110, cy: 48, r: 22, class: "head" }, box);
  for (const side of ["left", "right"]) for (const [a, b] of BONES) line(`${side}_${a}`, `${side}_${b}`);
  for (const [a, b] of CROSS) line(a, b);
  make("text", { x: 34, y: 30 }, box).textContent = "right";
  make("text", { x: 186, y: 30 }, box).textContent = "left";
  const next = asked();
  for (const name of current().joints) {
    const [x, y] = place(name);
    const kind = name === next ? "asked" : !(name in joints) ? "" : joints[name] ? "placed" : "hidden";
    make("circle", { cx: x, cy: y, r: name === next ? 10 : 7, class: kind }, box);
  }
}

function drawPicture() {
  const one = current(), [left, top, width, height] = one.box, box = $("picture");
  box.setAttribute("viewBox", `0 0 ${width} ${height}`);
  box.replaceChildren();
  make("image", { href: one.media, x: 0, y: 0, width, height }, box);
  const size = Math.max(width, height), inside = (name) => [joints[name][0] - left, joints[name][1] - top];
  const pairs = ["left", "right"].flatMap((side) => BONES.map(([a, b]) => [`${side}_${a}`, `${side}_${b}`])).concat(CROSS);
  for (const [a, b] of pairs) {
    if (!joints[a] || !joints[b]) continue;
    const [p, q] = [inside(a), inside(b)];
    make("line", { x1: p[0], y1: p[1], x2: q[0], y2: q[1], class: "bone", "stroke-width": size / 400 }, box);
  }
  const last = Object.keys(joints).filter((name) => joints[name]).at(-1);
  for (const [name, point] of Object.entries(joints)) {
    if (!point) continue;
    const [x, y] = inside(name);
    const side = `dot ${name.split("_")[0]}${name === last ? " last" : ""}`;
    const dot = make("circle", { cx: x, cy: y, r: size / 110, class: side, "stroke-width": size / 500 }, box);
    dot.dataset.joint = name;
    make("title", {}, dot).textContent = word(name);
  }
}

function show() {
  const one = current(), clip = one.kind === "clip";
  $("who").textContent = clip ? "watch the clip to its end" : `frame ${at + 1} of ${items.length}`;
  $("sample").textContent = one.sample;
  $("picture").toggleAttribute("hidden", clip);
  $("clip").hidden = !clip;
  $("guide").hidden = clip;
  $("counting").hidden = !clip;
  if (clip) {
    $("ask").textContent = "How many complete repetitions?";
    $("hint").textContent = "Down and up again counts as one. What is cut off at the beginning or the end does not count.";
  } else {
    const next = asked();
    $("ask").textContent = next ? word(next) : "All joints are placed";
    $("hint").textContent = next ? "Click the middle of the joint, where it would bend." : "Drag what is not right, then press enter.";
    drawPicture();
    drawBody();
  }
  $("hide").disabled = clip || !asked();
  $("undo").disabled = clip || !Object.keys(joints).length;
  $("next").disabled = clip ? $("reps").value === "" : Boolean(asked());
  numbers();
}

function numbers() {
  $("count").textContent = `${done.size} / ${items.length}`;
  const sorted = [...paces].sort((a, b) => a - b);
  const pace = sorted.length ? sorted[Math.floor(sorted.length / 2)] : 18;
  $("left").textContent = Math.ceil((pace * (items.length - done.size)) / 60);
  $("bar").replaceChildren();
  const part = document.createElement("i");
  part.style.width = `${(100 * done.size) / items.length}%`;
  part.style.background = "var(--correct)";
  $("bar").append(part);
}

function open(number) {
  at = number;
  fault("");
  const one = current();
  joints = { ...(one.answer?.joints ?? {}) };
  $("reps").value = one.answer?.reps ?? "";
  $("does").value = one.answer?.does ?? "";
  const clip = $("clip");
  if (one.kind === "clip") {
    clip.src = one.media;
    clip.muted = true;
    clip.play().catch(() => {});
  } else {
    clip.removeAttribute("src");
    clip.load();
  }
  begun = performance.now();
  show();
}

function onward() {
  const next = items.findIndex((one, number) => number > at && !done.has(one.id));
  const first = next >= 0 ? next : items.findIndex((one) => !done.has(one.id));
  if (first >= 0) open(first);
  else finish();
}

async function send(value) {
  if (sending) return;
  sending = true;
  const one = current(), seconds = (performance.now() - begun) / 1000;
  try {
    await call("answer", { id: one.id, seconds, ...value });
    one.answer = value;
    done.add(one.id);
    paces.push(Math.min(seconds, IDLE_S));
    onward();
  } catch (error) {
    fault(error.message);
  } finally {
    sending = false;
  }
}

function next() {
  if ($("next").disabled) return;
  if (current().kind === "clip") send({ reps: Number($("reps").value), does: $("does").value || null });
  else send({ joints });
}

async function finish() {
  try {
    await call("finish", {});
  } catch {
    // the server may be gone before it has answered: it was told
  }
  $("desk").hidden = true;
  $("end").hidden = false;
  $("end-text").textContent = `${done.size} of ${items.length} labelled. The report is being written: see the terminal.`;
}

function place(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform($("picture").getScreenCTM().inverse());
  const [left, top, width, height] = current().box;
  const inside = (value, size) => Math.min(Math.max(value, 0), size);
  return [left + inside(point.x, width), top + inside(point.y, height)];
}

$("picture").addEventListener("pointerdown", (event) => {
  const name = event.target.dataset.joint ?? asked();
  if (!name || event.button) return;
  dragged = name;
  $("picture").setPointerCapture(event.pointerId);
  joints[name] = place(event);
  show();
});
$("picture").addEventListener("pointermove", (event) => {
  if (!dragged) return;
  joints[dragged] = place(event);
  drawPicture();
});
for (const kind of ["pointerup", "pointercancel"]) $("picture").addEventListener(kind, () => {
  dragged = null;
  show();
});

function hide() {
  const name = asked();
  if (name && current().kind === "frame") joints[name] = null;
  show();
}

function undo() {
  const name = current().joints.filter((one) => one in joints).at(-1);
  if (name) delete joints[name];
  show();
}

$("hide").addEventListener("click", hide);
$("undo").addEventListener("click", undo);
$("next").addEventListener("click", next);
$("finish").addEventListener("click", finish);
$("unclear").addEventListener("click", () => send({ reps: null, does: $("does").value || null }));
$("reps").addEventListener("input", show);
$("counting").addEventListener("submit", (event) => {
  event.preventDefault();
  next();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("desk").hidden) return;
  const typing = event.target === $("reps") || event.target === $("does");
  const keys = { h: hide, u: undo, b: () => open(Math.max(at - 1, 0)), n: () => open((at + 1) % items.length) };
  if (event.key === "Enter" && event.target.tagName !== "BUTTON") {
    event.preventDefault();
    next();
  } else if (!typing && keys[event.key]) keys[event.key]();
  else if (!typing && current().kind === "clip" && /^\d$/.test(event.key)) {
    $("reps").focus();
  }
});

call("queue").then((queue) => {
  items = queue.items;
  $("reviewer").textContent = queue.reviewer;
  for (const name of queue.exercises) $("does").append(new Option(word(name), name));
  for (const one of items) if (one.answer) done.add(one.id);
  const first = items.findIndex((one) => !done.has(one.id));
  open(Math.max(first, 0));
}).catch((error) => fault(error.message));
