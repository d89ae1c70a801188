"use strict";
// Numbers and words as the server writes them, for parts of pages that follow the live data.
const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) : "");

function formatNumber(value) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

function formatDuration(seconds) {
  const total = Math.round(Math.max(0, seconds));
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  for (let n = 0; n < units.length; n += 1) {
    const [unit, length] = units[n];
    if (total < length && unit !== "s") continue;
    const rest = n < 3 ? Math.floor((total % length) / units[n + 1][1]) : 0;
    return `${Math.floor(total / length)} ${unit}${rest ? ` ${rest} ${units[n + 1][0]}` : ""}`;
  }
  return "";
}

function gaugeParts({ score, normal_range: usual, threshold }) {
  const limits = [usual, threshold].filter((value) => value !== null);
  if (!limits.length) return null;
  const low = Math.min(0, ...limits, score ?? 0);
  const high = low + 1.3 * (Math.max(...limits) - low);
  return (value) => (value === null ? null : 100 * Math.min(1, Math.max(0, (value - low) / (high - low))));
}

function showGauge(element, data) {
  const svg = element.querySelector("svg.gauge");
  const position = gaugeParts(data);
  if (!svg || !position) return;
  const set = (selector, name, value) => {
    const element = svg.querySelector(selector);
    if (element && value !== null) element.setAttribute(name, value);
  };
  set(".usual", "width", position(data.normal_range));
  set(".limit", "x", position(data.threshold));
  const now = svg.querySelector(".now");
  now.toggleAttribute("hidden", data.score === null);
  set(".now", "x", data.score === null ? null : Math.max(0, position(data.score) - 0.6));
}
