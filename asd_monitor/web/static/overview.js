"use strict";
// Scores are shown as they arrive; the cards are loaded again when a state has changed, at most every two seconds.
const REFRESH_MS = 2000;
const SETTLED_MS = 60000; // the strips of the last 24 hours move
let timer = null;
let refreshedAt = 0;

function refresh() {
  if (timer !== null) return;
  const wait = Math.max(0, refreshedAt + REFRESH_MS - Date.now());
  timer = setTimeout(() => {
    timer = null;
    refreshedAt = Date.now();
    document.getElementById("machines").dispatchEvent(new CustomEvent("refresh"));
  }, wait);
}

function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

function showScore(data) {
  const card = document.getElementById(`card-${data.machine}`);
  if (!card) return;
  const numbers = card.querySelector(".numbers");
  if (!numbers || !card.classList.contains(data.state.toLowerCase())) {
    refresh();
    return;
  }
  setText(numbers.querySelector("b"), formatNumber(data.score));
  if (data.state !== "UNKNOWN" && data.reason) setText(card.querySelector(".reason"), sentence(data.reason));
  showGauge(card, data);
}

function showLearning(data) {
  const card = document.getElementById(`card-${data.machine}`);
  const bar = card && card.querySelector("progress");
  if (!bar) {
    refresh();
    return;
  }
  bar.max = data.required_s;
  bar.value = data.learned_s;
  setText(card.querySelector(".learned"), `${formatDuration(data.learned_s)} of ${formatDuration(data.required_s)} learned`);
  setText(card.querySelector(".reason"), sentence(data.reason));
}

// Health is repeated every few seconds; only its changes are shown.
const health = new Map();
function showHealth(data) {
  const text = `${data.state} ${data.reason}`;
  if (health.has(data.machine) && health.get(data.machine) !== text) refresh();
  health.set(data.machine, text);
}

setInterval(() => { if (!document.hidden) refresh(); }, SETTLED_MS);
openStream("", {
  hello: refresh, state: refresh, event: refresh, alarm: refresh, removed: refresh,
  scores: ({ scores }) => scores.forEach(showScore),
  learning: showLearning,
  health: showHealth,
}, showConnection);
