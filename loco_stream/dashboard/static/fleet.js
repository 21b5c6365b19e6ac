"use strict";
// The fleet at a glance, refreshed every two seconds, and one device by its key.

const $ = (id) => document.getElementById(id);
const number = (value) => (value == null ? "–" : Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 }));
const REFRESH_MS = 2000;
let shownAt = null; // when the values on the page were loaded
let chosen = null; // the key of the device that was asked for last
let fan = null; // the forecast of the device that is shown, with its errors by step ahead
const ALARM_WORDS = {
  "worst-title": "Highest state score",
  "worst-note": "The devices whose state is least like what they showed before. While nothing changes, few rows reach a score of 2.",
  "drifted-title": "Latest alarms", "drifted-note": "The devices with the latest alarms.",
};

const stored = localStorage.getItem("theme"); // the choice on the page of a run
const isDark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.dataset.theme = isDark ? "dark" : "light";

async function load(path) {
  const response = await fetch(path).catch(() => {
    const since = shownAt ? ` These are the values of ${shownAt.toLocaleTimeString("en-GB")}.` : "";
    throw new Error("No connection." + since);
  });
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

// The error of labels that are classes is a share of rows.
function table(id, devices, isWatching, isShare) {
  const score = isWatching ? "state" : "error", text = isWatching || !isShare ? number : percent;
  const head = heads(["device", "rows", isWatching ? "state score" : isShare ? "wrong, %" : "mean absolute error",
    isWatching ? "last alarm at row" : "last change at row"]);
  const lines = devices.map((device) => {
    const line = document.createElement("tr"), key = cell("th", keyButton(device.key));
    key.scope = "row";
    line.append(key, ...[count(device.n_samples), text(device[score]), count(isWatching ? device.alarm?.at : device.last_drift)].map((text) => cell("td", text, "num")));
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

const share = (value) => percent(value) + " %";
// What is shown of the report of a device: its name there, in words, and as text. What was not measured is left out.
const FACTS = [
  ["n_samples", "rows", count], ["last_drift", "last change at row", count], ["n_alarms", "alarms", count],
  ["window_accuracy", "accuracy, recent rows", share], ["accuracy", "accuracy, all rows", share],
  ["no_change_accuracy", "accuracy of repeating the last label", share], ["majority_accuracy", "accuracy of the most frequent label", share],
  ["window_mae", "mean absolute error, recent rows", number], ["mae", "mean absolute error, all rows", number],
  ["no_change_mae", "error of repeating the last value", number], ["r2", "R2", number],
  ["interval_coverage", "labels inside the 90 % interval", share], ["state", "state score", number],
  ["forgetting", "accuracy lost on earlier tasks, on average", share],
];

function lineTable(title, names, lines, texts) {
  if (!lines.length) return [];
  const table = document.createElement("table"), box = cell("div", table, "scroll");
  Object.assign(box, { tabIndex: 0, role: "region", ariaLabel: "Table: " + title.toLowerCase() });
  table.append(heads(names, texts), ...lines.map((line) => {
    const row = document.createElement("tr");
    row.append(...line.map((text, i) => cell("td", text, i < texts ? "" : "num")));
    return row;
  }));
  return [cell("h3", title), box];
}

function showDevice(device) {
  const facts = FACTS.filter(([name]) => device[name] != null).map(([name, words, text]) => {
    const box = document.createElement("div");
    box.append(cell("dt", words), cell("dd", text(device[name])));
    return box;
  });
  const changes = (device.drifts || []).map((drift) => [count(drift.at), ...changeWords(drift)]);
  const alarms = (device.alarms || []).map((alarm) => [count(alarm.at), alarm.column, typeof alarm.value === "number" ? number(alarm.value) : alarm.value ?? "missing", alarm.score.toFixed(1)]);
  $("device-empty").hidden = true;
  $("device").replaceChildren(...facts);
  $("device-tables").replaceChildren(
    ...lineTable("Changes noticed", ["row", "what changed", "how it was noticed"], changes.reverse(), 3),
    ...lineTable("Alarms", ["row", "input", "value", "score"], alarms.reverse(), 2));
  $("device-report").hidden = false;
  $("device-report").querySelector("pre").textContent = JSON.stringify(device, null, 1);
}

// The forecast of a device, as the page of one forecaster shows it; other fleets have none.
function showForecast(device, forecast, key) {
  fan = null;
  if (forecast) {
    const at = device.n_samples + (device.n_unlabelled || 0); // of the first value to come
    fan = { ...device, ...forecast, at, steps: Object.keys(device.forecast_mae).map(Number) };
  }
  $("fan-box").hidden = !fan;
  if (!fan) return;
  $("fan-note").textContent = `Device ${key}, in units of the label.`;
  showFan(fan);
}

async function open(key) {
  $("text").value = key;
  chosen = key;
  try {
    const device = await load("device?key=" + encodeURIComponent(key));
    if (chosen !== key) return; // another device was chosen meanwhile
    showDevice(device);
    const forecast = device.forecast_mae ? await load("forecast?key=" + encodeURIComponent(key)) : null;
    if (chosen !== key) return;
    showForecast(device, forecast, key);
    $("error").textContent = "";
  } catch (error) {
    if (chosen !== key) return;
    $("fan-box").hidden = true;
    $("error").textContent = error.message;
  }
}

async function refresh() {
  try {
    const fleet = await load("fleet");
    const isWatching = "alarmed_lately" in fleet; // without labels there are alarms in place of errors
    const marked = isWatching ? count(fleet.n_alarmed_keys) + " with an alarm" : count(fleet.n_drifted_keys) + " with a change";
    $("counts").textContent = `${count(fleet.n_samples)} rows of ${count(fleet.n_keys)} devices, ` +
      `models of ${count(fleet.n_resident)} in memory, ${marked}`;
    shownAt = new Date();
    for (const [id, text] of Object.entries(isWatching ? ALARM_WORDS : {})) $(id).textContent = text;
    const isShare = fleet.task === "classification";
    table("worst", fleet.worst, isWatching, isShare);
    table("drifted", isWatching ? fleet.alarmed_lately : fleet.drifted_lately, isWatching, isShare);
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
$("fan-values").addEventListener("toggle", () => { if (fan) showFan(fan); });
$("search").addEventListener("submit", (event) => { event.preventDefault(); open($("text").value); });
refresh();
