// One picture at a time, by keyboard. Every decision is kept by the server before the next picture is shown.
"use strict";

const at = (id) => document.getElementById(id);
const KEYS = { a: "approve", r: "reject", d: "redraw", u: "forget" };
let pictures = [];
let now = 0;

function show() {
  const picture = pictures[now];
  at("images").replaceChildren(
    ...picture.images.map(({ px, sha256 }) => Object.assign(new Image(), { src: `images/${sha256}`, alt: `${picture.prompt}, ${px} pixels` })),
  );
  at("prompt").textContent = picture.prompt;
  at("about").textContent = `${now + 1} of ${pictures.length}, ${picture.state}, NSFW ${picture.nsfw}`;
  at("note").value = "";
  const counts = {};
  for (const { state } of pictures) counts[state] = (counts[state] ?? 0) + 1;
  at("counts").textContent = Object.entries(counts).sort().map(([state, count]) => `${state} ${count}`).join(", ");
  [...at("all").children].forEach((item, n) => {
    item.firstChild.dataset.state = pictures[n].state;
    item.firstChild.setAttribute("aria-label", `${pictures[n].prompt}: ${pictures[n].state}`);
    item.firstChild.setAttribute("aria-current", n === now);
  });
}

function go(to) {
  now = Math.max(0, Math.min(pictures.length - 1, to));
  show();
}

function goToUnseen() {
  const order = [...pictures.keys()].map((n) => (now + 1 + n) % pictures.length);
  const next = order.find((n) => pictures[n].state === "unseen");
  if (next !== undefined) now = next;
  show();
}

async function say(says, note = "") {
  const picture = pictures[now];
  const body = JSON.stringify({ look: picture.look, says, note });
  const answer = await fetch("say", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  if (!answer.ok) return void (at("counts").textContent = `not kept: ${answer.status}`);
  picture.state = (await answer.json()).state;
  if (says === "note" || says === "forget") show();
  else goToUnseen();
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === at("note")) {
    if (event.key === "Enter") say("note", at("note").value).then(() => at("note").blur());
    if (event.key === "Escape") at("note").blur();
    return;
  }
  if (KEYS[event.key]) say(KEYS[event.key]);
  else if (event.key === "ArrowRight") go(now + 1);
  else if (event.key === "ArrowLeft") go(now - 1);
  else if (event.key === ".") goToUnseen();
  else if (event.key === "n") at("note").focus();
  else return;
  event.preventDefault();
});
for (const button of document.querySelectorAll("[data-says]")) button.onclick = () => say(button.dataset.says);

fetch("pictures.json").then((answer) => answer.json()).then((listed) => {
  pictures = listed.pictures;
  if (!pictures.length) return void (at("counts").textContent = "no picture to look at: all are blocked");
  at("all").append(
    ...pictures.map(({ images, group }, n) => {
      const button = Object.assign(document.createElement("button"), { type: "button", onclick: () => go(n) });
      button.append(Object.assign(new Image(), { src: `images/${images.at(-1).sha256}`, alt: "", loading: "lazy" }));
      const item = document.createElement("li");
      item.className = group !== pictures[n - 1]?.group ? "first" : "";
      item.append(button);
      return item;
    }),
  );
  now = pictures.length - 1;
  goToUnseen();
});
