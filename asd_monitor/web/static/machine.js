"use strict";
// The machine's page while it is open: state, score, level and spectrogram follow the stream.
const live = document.getElementById("live");
const machine = live.dataset.machine;
const SPAN_S = 900;
const COLUMNS = 600;
const HISTORY_DELAY_MS = 2500; // the history is written once a second
const byId = (id) => document.getElementById(id);

let latestState = null;
let isRefreshing = false;

function showState(state, reason) {
  byId("reason").textContent = sentence(reason);
  refreshState(state);
}

const isStateShown = () => byId("state").querySelector(".state").classList.contains(latestState);

// The state may change again while the page is fetched: repeat until the newest one is shown.
async function refreshState(state) {
  latestState = state.toLowerCase();
  if (isRefreshing) return;
  isRefreshing = true;
  try {
    while (!isStateShown()) {
      await replaceParts(["state", "since", "gauge", "learned", "latest", "event", "unlearned"]);
      if (!isStateShown()) await new Promise((resolve) => { setTimeout(resolve, 500); });
    }
  } finally {
    isRefreshing = false;
  }
}

// Parts that change with the state are taken from the page as the server renders it now.
async function replaceParts(ids) {
  const response = await fetch(location.href);
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const id of ids) byId(id).replaceWith(document.adoptNode(page.getElementById(id)));
}

function showEvidence({ headline, url }) {
  const link = byId("event").firstElementChild;
  link.textContent = sentence(headline) || link.textContent;
  link.href = url;
  setTimeout(() => replaceParts(["latest"]), HISTORY_DELAY_MS);
}

function loudness({ level_dbfs: level, quality }) {
  if (level === null) return "no sound";
  const word = quality === "clipped" || level > -3 ? "too loud" : level < -70 ? "very quiet" : "good";
  return `${level.toFixed(0)} dB, ${word}`;
}

// A form in which someone may be typing stays; it says which mode it names.
function showMode(mode) {
  byId("mode").textContent = mode;
  if (!document.querySelector("#naming details[open]")) replaceParts(["naming"]);
}

function showScore(data) {
  byId("score").textContent = formatNumber(data.score);
  byId("verdict").textContent = data.verdict.word;
  byId("sentence").textContent = sentence(data.verdict.sentence);
  byId("normal-range").textContent = formatNumber(data.normal_range);
  byId("threshold").textContent = formatNumber(data.threshold);
  if (byId("mode").textContent !== data.mode) showMode(data.mode);
  byId("mode-row").hidden = !data.mode;
  byId("level").value = data.level_dbfs ?? -90;
  byId("level-text").textContent = loudness(data);
  if (data.state !== "UNKNOWN" && data.reason) byId("reason").textContent = sentence(data.reason);
  showGauge(byId("gauge"), data);
  addScore(data);
}

function showMachine(data) {
  showState(data.state, data.reason);
  if (data.score) showScore(data.score);
  if (data.sound) showSound(data.sound);
}

function showSound(data) {
  byId("sound").textContent = `${data.device}: ${data.state}${data.reason ? ` – ${data.reason}` : ""}`;
}

function showLearning(data) {
  const bar = byId("learning");
  if (!bar) return;
  bar.max = data.required_s;
  bar.value = data.learned_s;
  byId("learning-text").textContent =
    `${formatDuration(data.learned_s)} of ${formatDuration(data.required_s)}: ${data.reason}`;
}

// The chart of the last minutes.
let rows = [];
let plot = null;
const recent = byId("recent");

function addScore(data) {
  rows.push({ at: data.at, highest: data.score, median: data.score, lowest: data.score, threshold: data.threshold,
    normal_range: data.normal_range });
  rows = rows.filter((row) => row.at > data.at - SPAN_S);
  if (plot) plot.setData(columns(withGaps(rows), ["highest", "median", "lowest", "threshold", "normal_range"]));
  else if (rows.length > 1) plot = drawChart(recent, rows, { kind: "score" });
}

async function loadRecent() {
  const now = Date.now() / 1000;
  const { scores } = await load(`${recent.dataset.src}?from=${now - SPAN_S}&to=${now + 60}&points=900`);
  const known = new Set(rows.map((row) => row.at.toFixed(2)));
  rows = [...scores.filter((row) => !known.has(row.at.toFixed(2))), ...rows].sort((a, b) => a.at - b.at);
  plot = drawChart(recent, rows, { kind: "score" });
}

// The spectrogram: columns arrive about every two seconds and are drawn evenly.
const canvas = byId("waterfall");
const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const waiting = [];
const VIRIDIS = "440154482475414487355f8d2a788e21918c22a88444bf707ad151bddf26fde725".match(/../g)
  .map((text) => parseInt(text, 16));

function viridis(value) {
  const position = (value / 255) * 10;
  const first = Math.min(9, Math.floor(position));
  const part = position - first;
  return [0, 1, 2].map((n) => VIRIDIS[3 * first + n] * (1 - part) + VIRIDIS[3 * first + 3 + n] * part);
}
const PALETTE = Array.from({ length: 256 }, (_, value) => viridis(Math.max(0, Math.min(255, (value - 40) * 1.45))));

function showColumns(data) {
  const bytes = Uint8Array.from(atob(data.data), (character) => character.charCodeAt(0));
  for (let first = 0; first < bytes.length; first += 64) waiting.push(bytes.subarray(first, first + 64));
  if (data.is_past) drawColumns(waiting.length);
  showFrequencies(byId("frequencies"), data.low_hz, data.high_hz);
}

function drawColumns(count) {
  const context = canvas.getContext("2d");
  const drawn = waiting.splice(0, count);
  if (!drawn.length) return;
  context.drawImage(canvas, -drawn.length, 0);
  const image = context.createImageData(drawn.length, 64);
  drawn.forEach((column, x) => column.forEach((value, band) => {
    const [red, green, blue] = PALETTE[value];
    image.data.set([red, green, blue, 255], 4 * ((63 - band) * drawn.length + x));
  }));
  context.putImageData(image, COLUMNS - drawn.length, 0);
}

if (canvas) {
  // Faster while many columns wait, so that the picture stays close to the present.
  if (isCalm) setInterval(() => drawColumns(waiting.length), 1000);
  else setInterval(() => drawColumns(waiting.length > 45 ? 3 : 1), 100);
  setInterval(() => {
    canvas.setAttribute("aria-label", `Spectrogram of the last 60 seconds. Level ${byId("level-text").textContent}, `
      + `${byId("verdict").textContent}.`);
  }, 10000);
}

const mine = (handle) => (data) => { if (data.machine === machine) handle(data); };
openStream(`?machine=${encodeURIComponent(machine)}${live.dataset.sound ? "&spectrogram=1" : ""}`, {
  hello: (data) => data.machines.filter(({ id }) => id === machine).forEach(showMachine),
  state: mine((data) => showState(data.state, data.reason)),
  score: mine((data) => { showScore(data); refreshState(data.state); }),
  health: mine(showSound),
  learning: mine(showLearning),
  event: mine(showEvidence),
  columns: mine(showColumns),
  removed: mine(() => { location.href = "/"; }),
}, showConnection);
loadRecent().catch(() => {});
