"use strict";
// Loads the cards again when something has changed, at most every two seconds.
const REFRESH_MS = 2000;
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

openStream("", { hello: refresh, state: refresh, score: refresh, health: refresh, learning: refresh, event: refresh },
  showConnection);
