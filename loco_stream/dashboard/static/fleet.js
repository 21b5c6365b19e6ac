"use strict";
// The fleet at a glance, refreshed every two seconds, and one device by its key.

const $ = (id) => document.getElementById(id);
const number = (value) => (value == null ? "–" : Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 }));
const count = (value) => (value == null ? "–" : value.toLocaleString("en"));
const REFRESH_MS = 2000;
const ALARM_WORDS = {
  "worst-title": "Highest state score", "worst-note": "The devices whose state is least like what they showed before.",
  "drifted-title": "Latest alarms", "drifted-note": "The devices with the latest alarms.",
};

const stored = localStorage.getItem("theme"); // the choice on the page of a run
const isDark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.dataset.theme = isDark ? "dark" : "light";

async function load(path) {
  const response = await fetch(path);
  const body = await response.json();
  if (!response.ok) throw new Error(body.error);
  return body;
}

function cell(tag, content, name = "") {
  const element = document.createElement(tag);
  element.className = name;
  element.append(content);
  return element;
}

function keyButton(key) {
  const button = cell("button", key);
  button.type = "button";
  button.addEventListener("click", () => open(key));
  return button;
}

function table(id, devices, isWatching) {
  const head = document.createElement("tr");
  const score = isWatching ? "state" : "error", last = isWatching ? "last alarm at row" : "last change at row";
  for (const [i, text] of ["key", "rows", isWatching ? "state score" : "error", last].entries()) {
    const th = cell("th", text, i ? "num" : "");
    th.scope = "col";
    head.append(th);
  }
  const lines = devices.map((device) => {
    const line = document.createElement("tr"), key = cell("th", keyButton(device.key));
    key.scope = "row";
    line.append(key, ...[count(device.n_samples), number(device[score]), count(isWatching ? device.alarm?.at : device.last_drift)].map((text) => cell("td", text, "num")));
    return line;
  });
  const none = document.createElement("tr");
  none.append(cell("td", "none so far"));
  none.firstChild.colSpan = 4;
  const held = $(id).contains(document.activeElement) ? document.activeElement.textContent : null;
  $(id).replaceChildren(head, ...(lines.length ? lines : [none]));
  // the keyboard stays where it was
  if (held != null) [...$(id).querySelectorAll("button")].find((button) => button.textContent === held)?.focus();
}

// One line per value; what holds several values is a text.
function showDevice(device) {
  const facts = Object.entries(device).map(([name, value]) => {
    const box = document.createElement("div");
    const text = typeof value === "number" ? number(value) : typeof value === "string" ? value : JSON.stringify(value);
    box.append(cell("dt", name === "n_samples" ? "rows" : name.replaceAll("_", " ")), cell("dd", Number.isInteger(value) ? count(value) : text));
    return box;
  });
  $("device").replaceChildren(...facts);
}

async function open(key) {
  $("text").value = key;
  try {
    showDevice(await load("device?key=" + encodeURIComponent(key)));
    $("error").textContent = "";
  } catch (error) {
    $("error").textContent = error.message;
  }
}

async function refresh() {
  try {
    const fleet = await load("fleet");
    const isWatching = "alarmed_lately" in fleet; // without labels there are alarms in place of errors
    const marked = isWatching ? count(fleet.n_alarmed_keys) + " with an alarm" : count(fleet.n_drifted_keys) + " with a change";
    $("counts").textContent = `${count(fleet.n_samples)} rows of ${count(fleet.n_keys)} devices, ` +
      `${count(fleet.n_resident)} in memory, ${marked}`;
    for (const [id, text] of Object.entries(isWatching ? ALARM_WORDS : {})) $(id).textContent = text;
    table("worst", fleet.worst, isWatching);
    table("drifted", isWatching ? fleet.alarmed_lately : fleet.drifted_lately, isWatching);
  } catch (error) {
    $("counts").textContent = error.message;
  }
  setTimeout(refresh, REFRESH_MS);
}

for (const section of document.querySelectorAll("section[data-panel]")) {
  section.querySelector(".head").append(helpMark(PANELS.find((panel) => panel.id === section.dataset.panel)));
}
$("text").addEventListener("input", async () => {
  const found = await load("search?text=" + encodeURIComponent($("text").value)).catch(() => []);
  $("found").replaceChildren(...found.map((key) => Object.assign(document.createElement("option"), { value: key })));
});
$("search").addEventListener("submit", (event) => { event.preventDefault(); open($("text").value); });
refresh();
