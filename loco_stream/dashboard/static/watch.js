"use strict";
// The part of the page that shows the anomaly detector: columns with their bands, state, alarms.

const watchCharts = new Map(); // by name of the column

function dropWatchCharts() {
  for (const plot of watchCharts.values()) plot.destroy();
  watchCharts.clear();
  document.getElementById("watch-columns").replaceChildren();
}

function makeColumnChart(name) {
  const element = document.createElement("div"), text = (value) => (value == null ? "–" : value.toPrecision(5));
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", `Latest values of ${name}, expected band, and alarms`);
  document.getElementById("watch-columns").append(element);
  const alarm = { ...line("alarm", "drift", 0, [], text), points: { show: true, size: 11, fill: () => colour("drift") } };
  return makeChart(element, 150, {
    title: name,
    scales: { x: { time: false } },
    axes: [{ ...axis(), values: (plot, values) => values.map(count) }, { ...axis(), size: 64 }],
    series: [
      { label: "row", value: (plot, value) => count(value) }, line("value", "window", 1.6, [], text),
      line("expected, lowest", "quiet", 0.5, [], text), line("highest", "quiet", 0.5, [], text), alarm,
    ],
    bands: [{ series: [3, 2], fill: `rgba(${colour("heat")}, 0.15)` }],
  }, [[], [], [], [], []]);
}

// One stripe per row, darker the less the state of the stream is known.
function drawState(canvas, scores) {
  const ratio = devicePixelRatio, width = canvas.clientWidth * ratio, height = canvas.clientHeight * ratio;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const ctx = canvas.getContext("2d"), each = width / Math.max(scores.length, 1);
  ctx.clearRect(0, 0, width, height);
  scores.forEach((score, i) => {
    ctx.fillStyle = `rgba(${colour("heat")}, ${Math.min(score / 4, 1).toFixed(2)})`;
    ctx.fillRect(i * each, 0, Math.ceil(each), height);
  });
}

function drawAlarms(table, alarms) {
  const nothing = [tableRow(["–", "none yet", "", "", ""].map(tableCell))];
  const rows = alarms.slice().reverse().map((alarm) => tableRow([
    count(alarm.at), alarm.column, alarm.value,
    alarm.expected ? alarm.expected.map((end) => end.toPrecision(4)).join(" to ") : "–", alarm.score.toFixed(1),
  ].map(tableCell)));
  table.tBodies[0].replaceChildren(...(rows.length ? rows : nothing));
}

function showWatch(watch) {
  const names = watch.columns.map(([name]) => name);
  if ([...watchCharts.keys()].join("\n") !== names.join("\n")) dropWatchCharts();
  for (const [name, values, low, high] of watch.columns) {
    if (!watchCharts.has(name)) watchCharts.set(name, makeColumnChart(name));
    const alarms = values.map((value, i) => (watch.alarm[i] && watch.blame[i] === name ? value : null));
    const plot = watchCharts.get(name);
    plot.setData([watch.at, values, low, high, alarms]);
    if (plot.cursor.idx == null) plot.setLegend({ idx: watch.at.length - 1 });
  }
  drawState(document.getElementById("watch-state"), watch.state);
  drawAlarms(document.getElementById("alarms"), watch.alarms);
  drawBars(document.getElementById("blame"), Object.entries(watch.unusual), (share) => percent(share, 0) + " %", 1);
}
