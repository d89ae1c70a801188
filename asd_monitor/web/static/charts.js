"use strict";
// Charts of scores and levels. Each is a div.chart with its data's URL; a table or text says the same.
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// Evaluated at each drawing, because the system may change between light and dark.
const paint = (name) => () => colour(name);

function limitsPlugin(markers, mark) {
  return { hooks: { draw: [(plot) => {
    const { ctx, bbox } = plot;
    const x = (at) => plot.valToPos(at, "x", true);
    ctx.save();
    ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
    if (mark) {
      ctx.fillStyle = colour("--strip-warning"); ctx.globalAlpha = 0.18;
      ctx.fillRect(x(mark[0]), bbox.top, Math.max(2, x(mark[1]) - x(mark[0])), bbox.height);
      ctx.globalAlpha = 1;
    }
    for (const event of markers) {
      ctx.fillStyle = colour(event.peak_state === "ALARM" ? "--strip-alarm" : "--strip-warning");
      const left = x(event.opened_s) - 4;
      ctx.beginPath(); ctx.moveTo(left, bbox.top); ctx.lineTo(left + 8, bbox.top); ctx.lineTo(left + 4, bbox.top + 9);
      ctx.fill();
      ctx.fillRect(left + 3.5, bbox.top, 1, bbox.height);
    }
    ctx.restore();
  }] } };
}

// Times of the axis: a date at midnight, months over a year.
function formatAxis(plot, splits, axis, space, step) {
  return splits.map((at) => {
    const date = new Date(1000 * at);
    const month = date.toLocaleDateString("en", { month: "short" });
    const day = `${date.getDate()} ${month}`;
    if (step >= 20 * 86400) return `${month} ${date.getFullYear()}`;
    if (step >= 86400 || (date.getHours() === 0 && date.getMinutes() === 0 && step >= 3600)) return day;
    const time = `${pad(date.getHours())}:${pad(date.getMinutes())}`;
    return step >= 60 ? time : `${time}:${pad(date.getSeconds())}`;
  });
}

function axes() {
  const line = { stroke: paint("--muted"), grid: { stroke: paint("--line"), width: 1 },
    ticks: { stroke: paint("--line") }, font: "12px system-ui, sans-serif" };
  return [{ ...line, values: formatAxis, space: 70, size: 32 }, { ...line, size: 48 }];
}

function scoreSeries() {
  return [
    {},
    { label: "highest", stroke: paint("--strip-unknown"), width: 1, points: { show: false } },
    { label: "usual", stroke: paint("--link"), width: 2, points: { show: false } },
    { label: "lowest", show: true, stroke: "transparent", width: 0, points: { show: false } },
    { label: "threshold", stroke: paint("--limit"), width: 1.5, dash: [8, 5], points: { show: false } },
    { label: "normal up to", stroke: paint("--normal"), width: 1.5, dash: [2, 4], points: { show: false } },
  ];
}

const columns = (rows, names) => [rows.map((row) => row.at), ...names.map((name) => rows.map((row) => row[name]))];

// Leaves a gap where nothing was recorded for several times the usual distance.
function withGaps(rows) {
  const distances = rows.slice(1).map((row, n) => row.at - rows[n].at).sort((a, b) => a - b);
  const usual = distances[Math.floor(distances.length / 2)] || 0;
  return rows.flatMap((row, n) => (n && usual && row.at - rows[n - 1].at > 5 * usual
    ? [{ at: rows[n - 1].at + usual }, row] : [row]));
}

// At least 20 dB, so that small changes look small.
function levelRange(plot, low, high) {
  const middle = (low + high) / 2;
  const half = Math.max(10, 0.6 * (high - low));
  return [middle - half, middle + half];
}

function drawChart(element, rows, options) {
  element.replaceChildren();
  element.classList.toggle("is-empty", rows.length < 2);
  if (rows.length < 2) {
    const text = document.createElement("p");
    text.className = "empty";
    text.textContent = "Nothing recorded in this time yet.";
    element.append(text);
    return null;
  }
  const isLevel = options.kind === "level";
  const names = isLevel ? ["level_dbfs"] : ["highest", "median", "lowest", "threshold", "normal_range"];
  const series = isLevel ? [{}, { label: "level in dB", stroke: paint("--link"), width: 1.5, points: { show: false } }]
    : scoreSeries();
  const plot = new uPlot({
    width: element.clientWidth, height: element.classList.contains("tall") ? 260 : 180,
    series, axes: axes(), legend: { show: false }, cursor: { y: false, drag: { x: true, y: false } },
    bands: isLevel ? [] : [{ series: [1, 3], fill: paint("--track") }],
    scales: {
      x: { time: true, range: options.range ? () => options.range : undefined },
      y: { range: isLevel ? levelRange : undefined },
    },
    plugins: [limitsPlugin(options.markers || [], options.mark)],
  }, columns(withGaps(rows), names), element);
  new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: plot.height })).observe(element);
  element.plot = plot;
  return plot;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const element of document.querySelectorAll(".chart")) element.plot?.redraw();
});

async function load(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.json();
}

async function showChart(element) {
  const { src, from, to, kind, markFrom, markTo, events } = element.dataset;
  const { scores } = await load(`${src}?from=${from}&to=${to}&points=600`);
  let markers = [];
  if (events) {
    const query = new URLSearchParams({ machine: events, from, to, limit: 200 });
    markers = (await load(`/api/v1/events?${query}`)).events;
  }
  drawChart(element, scores, { kind, markers, range: [Number(from), Number(to)],
    mark: markFrom ? [Number(markFrom), Number(markTo)] : null });
}

for (const element of document.querySelectorAll(".chart[data-from]")) {
  showChart(element).catch(() => { element.textContent = "The chart could not be loaded."; });
}
