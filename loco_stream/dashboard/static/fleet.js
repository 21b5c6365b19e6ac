"use strict";
// The fleet at a glance, refreshed every two seconds, and one device by its key.

const $ = (id) => document.getElementById(id);
const number = (value) => (value == null ? "–" : value.toPrecision(3));

async function load(path) {
  const response = await fetch(path);
  const body = await response.json();
  if (!response.ok) throw new Error(body.error);
  return body;
}

function row(cells, tag) {
  const line = document.createElement("tr");
  for (const text of cells) line.appendChild(document.createElement(tag)).textContent = text;
  return line;
}

function table(id, devices) {
  const lines = devices.map((device) => {
    const line = row([device.key, device.n_samples, number(device.error), device.last_drift ?? "–"], "td");
    line.addEventListener("click", () => open(device.key));
    return line;
  });
  $(id).replaceChildren(row(["key", "rows", "error", "last drift at row"], "th"), ...lines);
}

async function open(key) {
  $("text").value = key;
  try {
    $("device").textContent = JSON.stringify(await load("device?key=" + encodeURIComponent(key)), null, 2);
    $("error").textContent = "";
  } catch (error) {
    $("error").textContent = error.message;
  }
}

async function refresh() {
  try {
    const fleet = await load("fleet");
    $("counts").textContent = `${fleet.n_samples} rows, ${fleet.n_keys} keys (${fleet.n_resident} in memory), ${fleet.n_drifted_keys} with drift`;
    table("worst", fleet.worst);
    table("drifted", fleet.drifted_lately);
  } catch (error) {
    $("counts").textContent = error.message;
  }
  setTimeout(refresh, 2000);
}

$("text").addEventListener("input", async () => {
  const found = await load("search?text=" + encodeURIComponent($("text").value)).catch(() => []);
  $("found").replaceChildren(...found.map((key) => Object.assign(document.createElement("option"), { value: key })));
});
$("open").addEventListener("click", () => open($("text").value));
refresh();
