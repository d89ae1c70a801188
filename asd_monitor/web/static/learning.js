"use strict";
// The progress of learning, and when it has ended.
const part = (id) => document.getElementById(id);
const machine = part("learning").dataset.machine;

function showLearning(learning) {
  part("bar").max = learning.required_s;
  part("bar").value = learning.learned_s;
  part("learned").textContent = formatDuration(learning.learned_s);
  part("required").textContent = formatDuration(learning.required_s);
  const doing = sentence(learning.fitting ? "fitting the model: this takes some seconds" : learning.reason);
  if (part("doing").textContent !== doing) part("doing").textContent = doing;
}

// What was found in the learned sound is on the page as the server renders it now.
async function loadFindings() {
  const response = await fetch(location.href);
  if (!response.ok) return;
  const found = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("findings");
  part("findings").replaceWith(document.adoptNode(found));
}

function showEnd(isLearning) {
  if (!isLearning && !part("findings").childElementCount) loadFindings().catch(() => {});
  for (const id of ["progress", "states", "control"]) part(id).hidden = !isLearning;
  part("finished").hidden = isLearning;
}

openStream(`?machine=${encodeURIComponent(machine)}`, {
  hello: (data) => {
    const found = data.machines.find((one) => one.id === machine);
    if (!found) return;
    if (found.state === "LEARNING") showEnd(true);
    else if (found.score || found.model) showEnd(false);
    if (found.learning && found.state === "LEARNING") showLearning(found.learning);
  },
  learning: showLearning,
  state: (change) => { if (change.previous === "LEARNING" && change.state !== "LEARNING") showEnd(false); },
}, showConnection);
