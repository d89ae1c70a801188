"use strict";
// Level meters of the microphones, and which of them reacts when one is tapped.
const TAP_DB = 12;
const SLOW = 0.05;
const HOLD_MS = 4000;

const rows = new Map();
for (const row of document.querySelectorAll(".input[data-key]")) {
  rows.set(row.dataset.key, {
    row,
    name: row.querySelector("label").textContent,
    meter: row.querySelector("meter"),
    value: row.querySelector(".value"),
    box: row.querySelector(".meter"),
    list: row.querySelector(".warnings"),
    usual: null,
    shown: "",
  });
}
let reactedAt = -HOLD_MS;

function showWarnings(entry, warnings) {
  const text = warnings.join("\n");
  if (entry.shown === text) return;
  entry.shown = text;
  entry.list.replaceChildren(...warnings.map((warning) => {
    const item = document.createElement("li");
    item.textContent = warning;
    return item;
  }));
  entry.list.hidden = warnings.length === 0;
}

function show(levels) {
  let loudest = null;
  let rise = TAP_DB;
  for (const [key, entry] of rows) {
    const level = levels[key];
    entry.box.hidden = !level || level.level_dbfs === null;
    if (!level) continue;
    showWarnings(entry, level.warnings);
    if (level.level_dbfs === null) continue;
    entry.meter.value = level.level_dbfs;
    entry.value.textContent = `${Math.round(level.level_dbfs)} dB`;
    if (entry.usual === null) entry.usual = level.level_dbfs;
    if (level.level_dbfs - entry.usual > rise) {
      rise = level.level_dbfs - entry.usual;
      loudest = entry;
    }
    entry.usual += SLOW * (level.level_dbfs - entry.usual);
  }
  const now = performance.now();
  if (loudest) {
    reactedAt = now;
    for (const entry of rows.values()) entry.row.classList.toggle("tapped", entry === loudest);
    document.getElementById("reacts").textContent = `${loudest.name} reacts.`;
  } else if (now - reactedAt > HOLD_MS) {
    for (const entry of rows.values()) entry.row.classList.remove("tapped");
    document.getElementById("reacts").textContent = "";
  }
}

if (rows.size) openStreamAt("/setup/meters", { levels: show }, showConnection);
