"use strict";
// The list of events follows the machines, and has keys: j and k move, a acknowledges, n marks as normal; Enter is the link's own.
const KINDS = { a: "ack", n: "normal" };

function rows() {
  return [...document.querySelectorAll("#found .event")];
}

function chosenRow() {
  return document.activeElement ? document.activeElement.closest("#found .event") : null;
}

function move(step) {
  const all = rows();
  const index = all.indexOf(chosenRow());
  const next = index < 0 ? 0 : Math.max(0, Math.min(all.length - 1, index + step));
  if (all.length) all[next].querySelector("a").focus();
}

async function judge(kind) {
  const row = chosenRow();
  if (!row) return;
  const id = row.dataset.event;
  const response = await fetch(`/api/v1/events/${encodeURIComponent(id)}/notes`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ kind }),
  });
  if (!response.ok) {
    location.href = `/events/${encodeURIComponent(id)}#judging`; // the form there says what is wrong
    return;
  }
  await loadAgain();
}

// The list is loaded again when something has changed, unless events are being chosen in it.
const WRITTEN_MS = 1500; // until a change is in the history
let timer = null;

async function loadAgain() {
  const row = chosenRow();
  await htmx.ajax("GET", location.href, { target: "#found", select: "#found", swap: "outerHTML" });
  const same = row && rows().find((other) => other.dataset.event === row.dataset.event);
  if (same) same.querySelector("a").focus();
}

function onChange() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    if (!document.querySelector("#found input:checked")) loadAgain();
  }, WRITTEN_MS);
}

openStream("", { hello: onChange, state: onChange, event: onChange, alarm: onChange }, () => {});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), select, textarea")) return;
  if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
  else if (KINDS[event.key] && chosenRow()) judge(KINDS[event.key]);
  else return;
  event.preventDefault();
});
