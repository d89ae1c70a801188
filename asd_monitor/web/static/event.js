"use strict";
// On a phone the labels inside the pictures are too small to read: these are displayed over them.
for (const axis of document.querySelectorAll(".picture .axis")) {
  showFrequencies(axis, Number(axis.dataset.low), Number(axis.dataset.high));
}

// A cursor over each spectrogram follows its player; a click in the picture seeks.
for (const recording of document.querySelectorAll(".recording")) {
  const player = recording.querySelector("audio");
  const picture = recording.querySelector(".picture");
  if (!player || !picture) continue;
  const cursor = picture.querySelector(".cursor");
  const follow = () => {
    if (!player.duration) return;
    cursor.hidden = player.currentTime === 0 && player.paused;
    cursor.style.left = `${(100 * player.currentTime) / player.duration}%`;
    if (!player.paused) requestAnimationFrame(follow);
  };
  for (const name of ["play", "seeked", "pause", "timeupdate"]) player.addEventListener(name, follow);
  player.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== player) other.pause();
  });
  picture.addEventListener("click", (event) => {
    const { left, width } = picture.getBoundingClientRect();
    if (!player.duration) return;
    player.currentTime = ((event.clientX - left) / width) * player.duration;
    cursor.hidden = false;
  });
}

// While the event lasts, what is shown becomes old; the page is not replaced under a listener.
const news = document.getElementById("news");
if (news) {
  const { event: id, machine } = news.dataset;
  openStream(`?machine=${encodeURIComponent(machine)}`, {
    event: (data) => { if (data.event_id === id) news.hidden = false; },
    state: (data) => { if (data.closed_event_id === id) news.hidden = false; },
  }, () => {});
}
