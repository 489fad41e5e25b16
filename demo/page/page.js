// The sentence is the control: a click on a word takes the next one of its group. Pictures of all sentences that are one
// click away are loaded before the click. The address holds the key of the combination and nothing else.
"use strict";

const KEPT = 160; // pictures held decoded
const at = (id) => document.getElementById(id);
const held = new Map(); // file -> its <img>, those used last at the end
const places = new Map(); // key -> [sentence, number in the product]
demo.sentences.forEach((sentence, number) => sentence.keys.forEach((key, place) => places.set(key, [number, place])));
const gapsOf = (sentence) => sentence.parts.filter((_, number) => number % 2);

let chosen = demo.sentences.map((sentence) => gapsOf(sentence).map(() => 0)); // of each sentence, a word for each gap
let now = 0; // which sentence
let open = 0; // which gap's words are listed
let picture = 0; // of the sentence's pictures
let size = demo.sizes.length - 1; // that is chosen to stay
let peek = null; // that is looked at while the pointer rests on it

function keyOf(number, words) {
  const place = gapsOf(demo.sentences[number]).reduce((sum, gap, n) => sum * demo.groups[gap].length + words[n], 0);
  return demo.sentences[number].keys[place];
}

function goTo(key) {
  if (!places.has(key)) return false;
  let [number, place] = places.get(key);
  const words = [];
  for (const gap of gapsOf(demo.sentences[number]).reverse()) {
    const count = demo.groups[gap].length;
    words.unshift(place % count);
    place = Math.floor(place / count);
  }
  now = number;
  chosen[now] = words;
  return true;
}

function load(file) {
  let image = held.get(file);
  if (image) held.delete(file);
  else {
    image = new Image();
    image.alt = "";
    image.src = file;
    image.decode().catch(() => {});
  }
  held.set(file, image);
  if (held.size > KEPT) held.delete(held.keys().next().value);
  return image;
}

function neighbours() {
  const gaps = gapsOf(demo.sentences[now]);
  const near = [];
  gaps.forEach((gap, n) => {
    const count = demo.groups[gap].length;
    const steps = n === open ? [...Array(count).keys()] : [1, count - 1];
    for (const step of steps) near.push(keyOf(now, chosen[now].with(n, (chosen[now][n] + step) % count)));
  });
  demo.sentences.forEach((_, number) => near.push(keyOf(number, chosen[number])));
  return near;
}

function sentenceText() {
  const { parts } = demo.sentences[now];
  const gaps = gapsOf(demo.sentences[now]);
  return parts.map((part, n) => (n % 2 ? demo.groups[part][chosen[now][gaps.indexOf(part)]] : part)).join("");
}

function show({ fades = true } = {}) {
  const key = keyOf(now, chosen[now]);
  const pictures = demo.pictures[key];
  const frame = at("frame");
  let shown;
  if (pictures) {
    const file = pictures[picture % pictures.length][peek ?? size];
    shown = load(file);
    shown.alt = sentenceText();
    shown.className = demo.sizes[peek ?? size] <= 64 ? "coarse" : "";
  } else {
    shown = document.createElement("div");
    shown.className = "card";
    shown.append(Object.assign(document.createElement("b"), { textContent: "No picture here" }));
    shown.append(Object.assign(document.createElement("span"), { textContent: `Left out: ${demo.reasons[demo.leftOut[key]]}.` }));
  }
  fades &&= !matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (fades) shown.classList.add("comes");
  const before = frame.lastElementChild;
  if (before !== shown) {
    frame.replaceChildren(...(before && fades ? [before, shown] : [shown]));
    before?.classList.remove("comes");
    frame.dataset.key = key;
    shown.addEventListener("animationend", () => frame.lastElementChild === shown && frame.replaceChildren(shown), { once: true });
  }
  at("another").hidden = !pictures || pictures.length < 2;
  at("sizes").hidden = !pictures;
  for (const [n, button] of [...at("sizes").children].entries()) button.setAttribute("aria-pressed", n === size);
}

function button(text, does, attributes = {}) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: text, onclick: does });
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function write() {
  const { parts } = demo.sentences[now];
  const gaps = gapsOf(demo.sentences[now]);
  const line = at("sentence");
  const hadFocus = [...line.querySelectorAll(".word")].indexOf(document.activeElement);
  const content = parts.map((part, n) => {
    if (n % 2 === 0) return part;
    const gap = gaps.indexOf(part);
    const word = demo.groups[part][chosen[now][gap]];
    const made = button(word, () => choose(gap, 1), { class: "word", "aria-controls": "words", "aria-expanded": gap === open });
    made.dataset.group = part;
    return made;
  });
  line.replaceChildren(...content);
  if (hadFocus >= 0) line.querySelectorAll(".word")[hadFocus]?.focus();
  const group = gaps[open];
  const list = at("words");
  const listFocus = [...list.children].indexOf(document.activeElement);
  list.setAttribute("aria-label", `words for ${group}`);
  list.replaceChildren(
    ...demo.groups[group].map((word, n) =>
      button(word, () => choose(open, n - chosen[now][open]), { "aria-pressed": n === chosen[now][open] }),
    ),
  );
  if (listFocus >= 0) list.children[listFocus]?.focus();
  const word = list.children[chosen[now][open]];
  list.scrollLeft = word.offsetLeft - (list.clientWidth - word.offsetWidth) / 2; // where they lie in one line
  [...at("kinds").children].forEach((made, n) => made.setAttribute("aria-pressed", n === now));
}

function turn() {
  picture = 0;
  write();
  show();
  at("live").textContent = sentenceText();
  const key = keyOf(now, chosen[now]);
  if (location.hash.slice(1) !== key) history.replaceState(null, "", `#${key}`);
  for (const near of neighbours()) for (const files of (demo.pictures[near] ?? []).slice(0, 1)) load(files[size]);
  for (const files of (demo.pictures[key] ?? []).slice(0, 1)) files.forEach(load);
}

function choose(gap, step) {
  const count = demo.groups[gapsOf(demo.sentences[now])[gap]].length;
  open = gap;
  chosen[now] = chosen[now].with(gap, (((chosen[now][gap] + step) % count) + count) % count);
  turn();
}

function shuffle() {
  const before = keyOf(now, chosen[now]);
  const shown = [...places.keys()].filter((key) => demo.pictures[key] && key !== before);
  if (shown.length) goTo(shown[Math.floor(Math.random() * shown.length)]);
  open = Math.min(open, chosen[now].length - 1);
  turn();
}

at("sentence").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  const gap = [...at("sentence").querySelectorAll(".word")].indexOf(event.target);
  if (!step || gap < 0) return;
  event.preventDefault();
  choose(gap, step);
});
at("shuffle").onclick = shuffle;
at("another").onclick = () => {
  picture += 1;
  show();
};
demo.sizes.forEach((px, n) => {
  const made = button(`${px}`, () => { size = n; peek = null; show({ fades: false }); }, { "aria-label": `${px} pixels` });
  made.onpointerenter = (event) => {
    if (event.pointerType !== "mouse") return;
    peek = n;
    show({ fades: false });
  };
  made.onpointerleave = () => {
    if (peek === null) return;
    peek = null;
    show({ fades: false });
  };
  at("sizes").append(made);
});
if (demo.sentences.length > 1) {
  at("kinds").hidden = false;
  at("kinds").append(...demo.sentences.map((sentence, n) => button(sentence.name.replaceAll("_", " "), () => { now = n; open = chosen[n].length - 1; turn(); })));
}
addEventListener("hashchange", () => goTo(location.hash.slice(1)) && turn());

if (!goTo(location.hash.slice(1))) goTo([...places.keys()].find((key) => demo.pictures[key]));
open = chosen[now].length - 1;
turn();
