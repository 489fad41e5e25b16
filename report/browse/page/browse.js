// Pairs as cards, by keyboard. Whatever strangers wrote is set as text; a label is kept before the next pair is shown.
"use strict";

const at = (id) => document.getElementById(id);
const made = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
const KEYS = "123456789abcdefghijklnopqrstuwxyz"; // of labels, in their order; without those that do something else
let pairs = [];
let further = -1;
let now = 0;

async function post(what, content) {
  const answer = await fetch(what, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
  if (!answer.ok) throw new Error(`${what}: ${answer.status}`);
  return answer.json();
}

function fill(card, pair) {
  const image = Object.assign(new Image(), { src: `image/${pair.part}/${pair.row}`, alt: "stored picture", loading: "lazy" });
  const values = document.createElement("dl");
  for (const [name, value] of Object.entries(pair.values)) values.append(made("dt", "", name), made("dd", "", String(value)));
  card.querySelector(".pair").replaceChildren(image, made("p", "caption", pair.caption), made("p", "quiet url", pair.url), values);
}

async function unveil(pair) {
  if (!pair.veiled) return;
  const answer = await fetch(`words/${pair.part}/${pair.row}`);
  if (!answer.ok) return void (at("told").textContent = `not there: ${answer.status}`);
  Object.assign(pair, await answer.json(), { veiled: false });
  fill(pair.card, pair);
}

function card(pair, n) {
  const item = document.createElement("li");
  pair.card = item;
  item.onclick = () => go(n);
  const body = made("div", "pair");
  item.append(body);
  if (pair.veiled) {
    const veil = made("button", "veil", "sensitive: V shows it");
    veil.type = "button";
    veil.onclick = () => unveil(pair);
    body.append(veil);
  } else fill(item, pair);
  const fate = pair.rule ? `dropped by ${pair.rule}: is that right?` : pair.failed.length ? `fails ${pair.failed.join(", ")}` : "kept";
  item.append(made("p", pair.failed.length ? "failed" : "quiet", fate));
  pair.choices.forEach((choice, number) => {
    const button = made("button", "choice", `${KEYS[number] ?? ""} ${choice}`);
    button.type = "button";
    button.setAttribute("aria-pressed", pair.label === choice);
    button.onclick = () => label(pair, choice);
    item.append(button);
  });
  return item;
}

function tell() {
  const labelled = pairs.filter((pair) => pair.label).length;
  at("told").textContent = `${pairs.length} pairs${further < 0 ? "" : ", M for more"}, ${labelled} labelled, at ${pairs.length ? now + 1 : 0}`;
}

function go(to) {
  if (!pairs.length) return tell();
  pairs[now]?.card.removeAttribute("aria-current");
  now = Math.max(0, Math.min(pairs.length - 1, to));
  pairs[now].card.setAttribute("aria-current", "true");
  pairs[now].card.scrollIntoView({ block: "nearest" });
  tell();
}

async function label(pair, choice) {
  try {
    pair.label = (await post("label", { key: pair.key, rule: pair.rule, label: choice })).label;
  } catch (error) {
    return void (at("told").textContent = `not kept: ${error.message}`);
  }
  [...pair.card.querySelectorAll(".choice")].forEach((button, n) => button.setAttribute("aria-pressed", pair.choices[n] === choice));
  go(pairs.indexOf(pair) + 1);
}

async function ask(begin) {
  at("told").textContent = "looking";
  const said = { where: at("where").value, state: at("state").value, begin };
  const found = await post("ask", said).catch((error) => ({ error: error.message }));
  if (found.error) return void (at("told").textContent = found.error);
  if (!begin) {
    pairs = [];
    now = 0;
    at("pairs").replaceChildren();
  }
  const first = pairs.length;
  further = found.next;
  pairs.push(...found.pairs);
  at("pairs").append(...found.pairs.map((pair, n) => card(pair, first + n)));
  go(first);
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === at("where") || event.target === at("state")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const pair = pairs[now];
  if (event.key === "ArrowRight") go(now + 1);
  else if (event.key === "ArrowLeft") go(now - 1);
  else if (event.key === "/") at("where").focus();
  else if (event.key === "m" && further >= 0) ask(further);
  else if (pair && event.key === "v") unveil(pair);
  else if (pair && event.key.length === 1 && pair.choices[KEYS.indexOf(event.key)]) label(pair, pair.choices[KEYS.indexOf(event.key)]);
  else return;
  event.preventDefault();
});
at("ask").onsubmit = (event) => {
  event.preventDefault();
  at("where").blur();
  ask(0);
};
at("where").onkeydown = (event) => {
  if (event.key === "Enter") at("ask").onsubmit(event);
};
at("state").onchange = () => ask(0);

fetch("about.json").then((answer) => answer.json()).then((about) => {
  document.title = `Pairs of ${about.folder}`;
  if (about.sample) at("ask").hidden = true;
  at("where").value = about.where;
  ask(0);
});
