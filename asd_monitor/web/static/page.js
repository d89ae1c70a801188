"use strict";
// Shows times in the viewer's zone, with its offset, also in parts of the page that are replaced.
const pad = (number) => String(number).padStart(2, "0");

function formatOffset(date) {
  const minutes = -date.getTimezoneOffset();
  if (minutes === 0) return "UTC";
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? "-" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}`;
}

function formatTime(date) {
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return `${day} ${time} ${formatOffset(date)}`;
}

function showTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    const text = Number.isNaN(date.getTime()) ? element.textContent : formatTime(date);
    if (element.textContent !== text) element.textContent = text;
  }
}

function showZone() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const offset = formatOffset(new Date());
  const name = !timeZone || timeZone === offset ? offset : `${timeZone.replaceAll("_", " ")} (${offset})`;
  for (const element of document.querySelectorAll(".zone")) element.textContent = `Times are in your zone: ${name}`;
}

// One stream for each page, closed while the page is hidden: browsers allow few connections.
function openStream(query, handlers, onConnection) {
  openStreamAt(`/api/v1/live${query}`, handlers, onConnection);
}

function openStreamAt(path, handlers, onConnection) {
  let source = null;
  const close = () => { if (source) source.close(); source = null; };
  const open = () => {
    close();
    source = new EventSource(path);
    source.onopen = () => onConnection(true);
    source.onerror = () => {
      onConnection(false);
      if (source && source.readyState === EventSource.CLOSED) setTimeout(update, 5000);
    };
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (message) => handle(JSON.parse(message.data)));
    }
  };
  const update = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", update);
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) update(); });
  update();
}

function showConnection(isConnected) {
  const banner = document.getElementById("connection");
  if (banner) banner.hidden = isConnected;
}

// Labels of the logarithmic frequency axis of a spectrogram.
function showFrequencies(axis, low, high) {
  if (axis.childElementCount) return;
  for (const hz of [100, 500, 1000, 2000, 5000, 10000].filter((hz) => hz > low && hz < 0.9 * high)) {
    const label = document.createElement("span");
    label.textContent = hz >= 1000 ? `${hz / 1000} kHz` : `${hz} Hz`;
    label.style.bottom = `${(100 * Math.log(hz / low)) / Math.log(high / low)}%`;
    axis.append(label);
  }
}

showZone();
showTimes();
new MutationObserver(showTimes).observe(document.body, { childList: true, characterData: true, subtree: true });
