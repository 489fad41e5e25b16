"use strict";

// Veiled pairs: unpacked on a click, as text and never as HTML; packed away again on the next.
function unpack(veil) {
  const bytes = Uint8Array.from(atob(veil.dataset.veil), (character) => character.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

function show(veil, room) {
  const content = unpack(veil);
  if (content.image && content.image.startsWith("data:image/")) {
    const image = document.createElement("img");
    image.src = content.image;
    image.alt = content.alt || "";
    room.append(image);
  }
  for (const [name, text] of Object.entries(content)) {
    if (name === "image" || name === "alt") continue;
    const line = document.createElement("p");
    line.className = name;
    line.dir = "auto";
    line.textContent = text;
    room.append(line);
  }
}

for (const veil of document.querySelectorAll("[data-veil]")) {
  const button = veil.querySelector("button");
  const room = veil.querySelector(".unveiled");
  const label = button.textContent;
  button.addEventListener("click", () => {
    const opening = room.hidden;
    room.replaceChildren();
    if (opening) show(veil, room);
    room.hidden = !opening;
    button.setAttribute("aria-expanded", String(opening));
    button.textContent = opening ? "Hide again" : label;
  });
}

// The buttons above the images.
function fits(tile, wanted) {
  if (wanted === "held") return tile.dataset.held === "yes";
  return wanted === "" || wanted === "group:" + tile.dataset.group;
}

for (const button of document.querySelectorAll("[data-filter]")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("[data-filter]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    for (const more of document.querySelectorAll(".more.samples")) more.open = more.open || button.dataset.filter !== "";
    for (const tile of document.querySelectorAll(".samples .tile")) tile.hidden = !fits(tile, button.dataset.filter);
  });
}
