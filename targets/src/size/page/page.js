
"use strict";
// Kinds of nodes; the first four are numbered by the program that wrote the data.
const DIR = 0, FILE = 1, PACKAGE = 2, UNOWNED = 3, MORE = 4;
const GAP = 2, LABEL = 18;          // pixels between tiles, and of a label's line
const SMALLEST = 160, MOST = 200;   // square pixels that a tile has at least, tiles at once
const NESTED = 500, DEEPEST = 3;    // square pixels below which tiles within tiles are left out, and how deep they go
const RESULTS = 30;

const data = JSON.parse(document.getElementById("data").textContent);
const element = id => document.getElementById(id);
const map = element("map");

// A view's nodes, linked. What the data left out of a node becomes one more child.
const views = data.views.map(view => {
  const nodes = view.nodes.map(([parent, label, bytes, files, kind]) => ({parent, label, bytes, files, kind, children: []}));
  nodes.forEach((node, number) => {
    node.parent = number === 0 ? null : nodes[node.parent];
    node.parent?.children.push(node);
  });
  for (const node of nodes) {
    if (node.children.length === 0) continue;
    const left = node.children.reduce((left, child) =>
      ({bytes: left.bytes - child.bytes, files: left.files - child.files}), {bytes: node.bytes, files: node.files});
    if (left.files > 0) node.children.push({...left, label: `${count(left.files)} smaller`, parent: node, kind: MORE, children: []});
    node.children.sort((a, b) => b.bytes - a.bytes);
  }
  return {title: view.title, root: nodes[0], nodes, place: nodes[0]};
});
let view = views[0];
let shown = [];                     // the tiles on the map: {node, x, y, w, h, button}

function count(number, what) {
  const digits = number.toLocaleString("en");
  return what === undefined ? digits : `${digits} ${what}${number === 1 ? "" : "s"}`;
}

function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 100000 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function share(node, whole) {
  return whole.bytes > 0 ? `${(100 * node.bytes / whole.bytes).toFixed(1)} %` : "0 %";
}

function trail(node) {
  const places = [];
  for (let at = node; at; at = at.parent) places.unshift(at);
  return places;
}

function path(node) {
  const labels = trail(node).slice(1).map(place => place.label);
  return view.root.kind === DIR && view === views[0] ? "/" + labels.join("/") : labels.join(" › ") || view.root.label;
}

// What a tile has room for: a package's files are labelled with their paths.
function name(node) {
  return node.label.length > 1 ? node.label.slice(node.label.lastIndexOf("/") + 1) : node.label;
}

function word(node) {
  return {[DIR]: "directory", [FILE]: "file", [PACKAGE]: "package"}[node.kind];
}

function describe(node, name) {
  const files = node.kind === FILE ? null : count(node.files, "file");
  return [name, word(node), size(node.bytes), `${share(node, view.root)} of all`, files].filter(Boolean).join(", ");
}

// Squarified treemap (Bruls, Huizing, van Wijk): rows along the shorter side, each filled while its tiles get squarer.
function squarify(items, box) {
  const tiles = [];
  let {x, y, w, h} = box;
  let left = items.reduce((sum, item) => sum + item.weight, 0);
  for (let first = 0; first < items.length;) {
    const side = Math.min(w, h), scale = w * h / left;
    let end = first, sum = 0, worst = Infinity;
    while (end < items.length) {
      const more = sum + items[end].weight, depth = more * scale / side;
      const longest = ratio(items[first].weight * scale / depth, depth);
      const next = Math.max(longest, ratio(items[end].weight * scale / depth, depth));
      if (next > worst) break;
      [sum, worst, end] = [more, next, end + 1];
    }
    const depth = sum * scale / side;
    for (let at = 0; first < end; first++) {
      const {node, weight} = items[first], length = weight * scale / depth;
      tiles.push(w >= h ? {node, x, y: y + at, w: depth, h: length} : {node, x: x + at, y, w: length, h: depth});
      at += length;
    }
    if (w >= h) [x, w] = [x + depth, Math.max(w - depth, 0.001)]; else [y, h] = [y + depth, Math.max(h - depth, 0.001)];
    left -= sum;
  }
  return tiles;
}

function ratio(a, b) {
  return Math.max(a / b, b / a);
}

// Nodes that stand for several.
function together(nodes, place) {
  const sum = name => nodes.reduce((sum, node) => sum + node[name], 0);
  return {label: `${count(nodes.length)} more`, parent: place, kind: MORE, bytes: sum("bytes"), files: sum("files"), children: nodes};
}

// A place's children as tiles of the map, each big enough to be seen and hit; beyond the most, one tile stands for the rest.
function layOut(place, box) {
  const nodes = place.children.filter(child => child.bytes > 0);
  if (nodes.length > MOST) nodes.push(together(nodes.splice(MOST - 1), place));
  const least = place.bytes * SMALLEST / (box.w * box.h);
  const weighed = nodes.map(node => ({node, weight: Math.max(node.bytes, least)}));
  return squarify(weighed.sort((a, b) => b.weight - a.weight), box);
}

// The same within a tile, where what is small is only a grey rest.
function sketch(place, box) {
  const nodes = place.children.filter(child => child.bytes / place.bytes * box.w * box.h >= NESTED);
  const rest = together(place.children.slice(nodes.length), place);
  if (rest.bytes > 0) nodes.push({...rest, children: []});
  return squarify(nodes.map(node => ({node, weight: node.bytes})).sort((a, b) => b.weight - a.weight), box);
}

function draw({node, x, y, w, h}, tag, hue, level) {
  const tile = document.createElement(tag);
  const isRest = node.kind === MORE || node.kind === UNOWNED;
  tile.className = `tile${isRest ? " rest" : ""}${node.children.length > 0 ? " in" : ""}`;
  tile.node = node;
  w = Math.max(w - GAP, 1);
  h = Math.max(h - GAP, 1);
  for (const [name, value] of Object.entries({left: x, top: y, width: w, height: h})) tile.style[name] = `${value}px`;
  tile.style.setProperty("--hue", hue);
  tile.style.setProperty("--level", level);
  if (w < 28 || h < LABEL) return tile;
  const text = tile.appendChild(document.createElement("span"));
  text.className = "text";
  text.appendChild(document.createElement("bdi")).textContent = name(node);
  const bytes = document.createElement("span");
  bytes.className = "size";
  bytes.textContent = ` ${size(node.bytes)}`;
  text.append(bytes);
  const box = {x: 3, y: LABEL + 1, w: w - 6, h: h - LABEL - 4};
  if (level < DEEPEST && node.kind !== MORE && node.children.length > 0 && node.bytes > 0 && box.w > 20 && box.h > 12)
    for (const inner of sketch(node, box)) {
      const child = draw(inner, "span", hue, level + 1);
      child.ariaHidden = "true";
      tile.append(child);
    }
  return tile;
}

// Shows a place, and puts the focus on the tile that stands for a node (or holds it), if one is named.
function show(place, focus) {
  view.place = place;
  const box = {x: 0, y: 0, w: map.clientWidth, h: map.clientHeight};
  map.replaceChildren();
  shown = box.w > 0 && box.h > 0 ? layOut(place, box) : [];
  shown.forEach((tile, rank) => {
    tile.button = draw(tile, "button", Math.round(250 + rank * 137.5) % 360, 0);
    tile.button.type = "button";
    tile.button.tabIndex = -1;
    const what = tile.node.children.length > 0 ? "" : tile.node.kind === FILE ? "" : ", too small to go into";
    tile.button.ariaLabel = describe(tile.node, tile.node.label) + what;
    map.append(tile.button);
  });
  const holds = tile => tile.node === focus || tile.node.kind === MORE && (tile.node.children.includes(focus) || tile.node.label === focus?.label);
  const at = focus === undefined ? undefined : shown.find(tile => tile.node === focus) ?? shown.find(holds);
  if (shown.length > 0) (at ?? shown[0]).button.tabIndex = 0;
  map.hidden = shown.length === 0;
  element("nothing").hidden = shown.length > 0;
  element("nothing").textContent = place.files > 0 ? "All files here are empty." : "There are no files here.";
  map.ariaLabel = `What is in ${path(place)}`;
  element("trail").replaceChildren(...trail(place).map(step => {
    const item = document.createElement("li");
    const link = item.appendChild(document.createElement(step === place ? "span" : "button"));
    link.append(document.createElement("bdi"));
    link.firstChild.textContent = step.label;
    if (step === place) link.ariaCurrent = "location"; else link.addEventListener("click", () => enter(step, place));
    return item;
  }));
  tell(place);
  return at ?? shown[0];
}

function enter(place, focus) {
  const tile = show(place, focus);
  tile?.button.focus();
  element("news").textContent = `${describe(place, path(place))}; ${count(shown.length, "tile")}`;
}

function leave() {
  if (view.place.parent) enter(view.place.parent, view.place);
}

// A node found by its name may be in a tile of small ones, or in one within that.
function reveal(node) {
  let tile = show(node.parent ?? node, node);
  while (tile && tile.node.kind === MORE && tile.node.children.includes(node)) tile = show(tile.node, node);
  enter(view.place, node);
}

function tell(node) {
  element("detail").textContent = describe(node, path(node));
}

function choose(next) {
  view = next;
  for (const button of element("views").children) button.ariaPressed = String(button.view === view);
  show(view.place);
}

// The tile next to another in a direction: the nearest beyond its edge, least off its middle.
function beside(tile, [dx, dy]) {
  const middle = [tile.x + tile.w / 2, tile.y + tile.h / 2];
  let best, least = Infinity;
  for (const other of shown) {
    const ahead = dx > 0 ? other.x - tile.x - tile.w : dx < 0 ? tile.x - other.x - other.w
      : dy > 0 ? other.y - tile.y - tile.h : tile.y - other.y - other.h;
    if (other === tile || ahead < -1) continue;
    const [from, to, at] = dx !== 0 ? [other.y, other.y + other.h, middle[1]] : [other.x, other.x + other.w, middle[0]];
    const off = Math.max(from - at, at - to, 0);
    if (ahead + 2 * off < least) [best, least] = [other, ahead + 2 * off];
  }
  return best;
}

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

function target(key, tile) {
  const rank = shown.indexOf(tile);
  switch (key) {
    case "Home": return shown[0];
    case "End": return shown.at(-1);
    case "PageDown": return shown[rank + 1];
    case "PageUp": return shown[rank - 1];
    default: return ARROWS[key] && beside(tile, ARROWS[key]);
  }
}

map.addEventListener("click", event => {
  const node = event.target.closest("button")?.node;
  if (node?.children.length > 0) enter(node);
});
map.addEventListener("pointerover", event => {
  const node = event.target.closest(".tile")?.node;
  if (node) tell(node);
});
map.addEventListener("pointerleave", () => tell(document.activeElement.node ?? view.place));
map.addEventListener("focusin", event => {
  for (const tile of shown) tile.button.tabIndex = tile.button === event.target ? 0 : -1;
  tell(event.target.node);
});
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const isSearch = event.target.closest("search") !== null;
  const tile = shown.find(tile => tile.button === event.target);
  const next = tile && target(event.key, tile);
  if (isSearch) searchKey(event);
  else if (event.key === "/") { event.preventDefault(); element("query").focus(); }
  else if (event.key === "Escape" || event.key === "Backspace") { event.preventDefault(); leave(); }
  else if (next) { event.preventDefault(); next.button.focus(); }
});
new ResizeObserver(() => {
  const focused = document.activeElement.node;
  const tile = show(view.place, focused);
  if (focused) tile?.button.focus();
}).observe(document.body);

// Search: parts of names, or of paths where there is a slash.
const query = element("query"), found = element("found");

function search() {
  const words = query.value.trim().toLowerCase();
  found.hidden = words === "";
  if (found.hidden) return found.replaceChildren();
  const text = words.includes("/") ? path : node => node.label;
  const hits = view.nodes.filter(node => node.parent && text(node).toLowerCase().includes(words)).sort((a, b) => b.bytes - a.bytes);
  const rows = hits.slice(0, RESULTS).map(node => {
    const row = document.createElement("li"), button = row.appendChild(document.createElement("button"));
    for (const text of [path(node), size(node.bytes)]) button.appendChild(document.createElement("span")).textContent = text;
    button.type = "button";
    button.addEventListener("click", () => { close(); reveal(node); });
    return row;
  });
  const more = document.createElement("li");
  more.className = "more";
  more.textContent = hits.length === 0 ? "Nothing has such a name." : `and ${count(hits.length - RESULTS)} more`;
  found.replaceChildren(...rows, ...(hits.length === 0 || hits.length > RESULTS ? [more] : []));
}

function close() {
  query.value = "";
  search();
}

function searchKey(event) {
  const stops = [query, ...found.querySelectorAll("button")], at = stops.indexOf(event.target);
  const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
  if (step) stops[at + step]?.focus();
  else if (event.key === "Enter" && event.target === query) stops[1]?.click();
  else if (event.key === "Escape") { close(); enter(view.place); }
  else return;
  event.preventDefault();
}

query.addEventListener("input", search);
document.addEventListener("pointerdown", event => { if (!event.target.closest("search")) found.hidden = true; });

document.title = `${data.name}: sizes`;
element("name").textContent = data.name;
element("facts").textContent = [data.platform, size(view.root.bytes), count(view.root.files, "file")].filter(Boolean).join(" · ");
element("views").hidden = views.length < 2;
element("views").append(...views.map(each => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = each.title;
  button.view = each;
  button.addEventListener("click", () => choose(each));
  return button;
}));
choose(view);
