"use strict";
// The part of the page that shows the anomaly detector: scores, inputs with their bands, state, alarms.

const watchCharts = new Map(); // by name of the column
let unusualChart = null;
const TOP = 12; // largest score that is drawn
const FEW = 4; // columns that have the whole width each
const KNOWN = 2; // state score from which a state counts as new

function dropWatchCharts() {
  for (const [plot] of watchCharts.values()) plot.destroy();
  if (unusualChart) unusualChart.destroy();
  unusualChart = null;
  watchCharts.clear();
  document.getElementById("watch-columns").replaceChildren();
}

function make(tag, name, parent) {
  const element = document.createElement(tag);
  element.className = name;
  parent.append(element);
  return element;
}

// The head of a column names it, and says its newest value, or the one under the pointer.
function sayColumn(parts, plot) {
  const [rows, values, low, high] = plot.data, i = plot.cursor.idx ?? rows.length - 1;
  const value = values[i], isKnown = low[i] != null && high[i] != null;
  const isText = values.every((each) => each == null);
  parts.value.textContent = isText ? "holds texts" : value == null ? "missing" : short(value);
  parts.value.classList.toggle("outside", isKnown && value != null && (value < low[i] || value > high[i]));
  parts.expected.textContent = (isKnown ? `expected ${short(low[i])} to ${short(high[i])}` : isText ? "scored by how rare each is" : "nothing expected yet")
    + (plot.cursor.idx == null ? "" : `, row ${count(rows[i])}`);
}

// The clock at a row of the chart, or its number if rows have no times.
function whenOf(plot, row) {
  const t = plot.times && plot.times[row - plot.data[0][0]];
  return t == null ? count(row) : new Date(1000 * t).toLocaleTimeString("en-GB");
}

function makeColumnChart(box, name) {
  const head = make("div", "column-head", box);
  make("h3", "", head).textContent = name;
  const parts = { value: make("span", "", head), expected: make("span", "quiet", head) };
  const element = make("div", "", box), none = () => "";
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", `Latest values of ${name}, expected band, and alarms; the table below has the values`);
  const plot = makeChart(element, 116, {
    legend: { show: false },
    padding: [8, 16, 0, 0],
    cursor: { y: false, sync: { key: "columns" }, drag: { x: false } },
    scales: { x: { time: false } },
    axes: [{ ...axis(), size: 22, space: 80, incrs: WHOLE, values: (plot, values) => values.map((row) => whenOf(plot, row)) },
      { ...axis(), size: 56, space: 22, values: (plot, values) => values.map((value) => short(value, 5)) }],
    series: [{}, line("value", "window", 1.8, [], none), line("from", "quiet", 0.5, [], none), line("to", "quiet", 0.5, [], none)],
    bands: [{ series: [3, 2], fill: () => `rgba(${colour("heat")}, 0.18)` }],
    hooks: {
      draw: [(plot) => drawMarks(plot, plot.alarms || [])],
      setCursor: [(plot) => sayColumn(parts, plot)],
    },
  }, [[], [], [], []]);
  return [plot, parts, element];
}

// One stripe per row, darker the less the state of the stream is known.
function drawState(canvas, scores) {
  const ratio = devicePixelRatio, width = canvas.clientWidth * ratio, height = canvas.clientHeight * ratio;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const ctx = canvas.getContext("2d"), each = width / Math.max(scores.length, 1);
  ctx.clearRect(0, 0, width, height);
  scores.forEach((score, i) => {
    ctx.fillStyle = `rgba(${colour("heat")}, ${Math.min(score / 4, 1).toFixed(2)})`;
    const left = Math.round(i * each); // whole pixels: no seams
    ctx.fillRect(left, 0, Math.round((i + 1) * each) - left, height);
  });
}

function sayState(scores) {
  let since = scores.length;
  while (since > 0 && (scores[since - 1] >= KNOWN) === (scores[scores.length - 1] >= KNOWN)) since -= 1;
  const rows = count(scores.length - since) + (since ? "" : " or more");
  if (!scores.length) return "State of the stream: no row so far";
  const what = scores[scores.length - 1] >= KNOWN ? "new" : "familiar", unit = rows === "1" ? "row" : "rows";
  return `State of the stream: ${what} for ${rows} ${unit}`;
}

// What is unusual about the value of an alarm. A usual value is one too if its course is new: it sticks, or comes out of turn.
function alarmWords({ value, expected }) {
  if (value === "missing") return "no value";
  if (!expected || !isFinite(value)) return "";
  return value > expected[1] ? "too high" : value < expected[0] ? "too low" : "new course";
}

function drawAlarms(table, alarms) {
  table.tBodies[0].replaceChildren(...alarms.slice().reverse().map((alarm) => tableRow([
    rowCell(alarm.at, alarm.t), cellAbove(alarm.column, alarmWords(alarm)), numberCell(isFinite(alarm.value) ? short(Number(alarm.value)) : alarm.value),
    numberCell(alarm.expected ? alarm.expected.map((end) => short(end)).join(" to ") : "–"), numberCell(alarm.score.toFixed(1)),
  ])));
}

function makeUnusualChart(element, marks) {
  const text = (value) => (value == null ? "–" : value.toFixed(1));
  return makeChart(element, 170, {
    scales: { x: { time: false }, y: { range: (plot, low, high) => [0, Math.max(4, high || 0)] } },
    axes: [{ ...axis(), label: "rows", size: 30, incrs: WHOLE, values: (plot, values) => values.map(count) },
      { ...axis(), size: 50, label: "score" }],
    series: [{ label: "row", value: (plot, value) => count(value) }, line("onset", "window", 2, [], text),
      line("state", "overall", 1.3, [], text)],
    hooks: { draw: [(plot) => drawMarks(plot, marks())] },
  }, [[], [], []]);
}

const unusualMarks = (watch, changes) => [
  ...watch.alarms.map((alarm) => ({ at: alarm.at, kind: "drift" })),
  ...changes.map((change) => ({ at: change.at, kind: "task" })),
];

function showUnusual(watch, changes) {
  const { at, onset, state: states } = watch.curve;
  document.getElementById("unusual-empty").hidden = at.length > 1;
  document.getElementById("unusual").hidden = at.length < 2;
  if (at.length < 2) return;
  if (!unusualChart) unusualChart = makeUnusualChart(document.getElementById("unusual"), () => unusualMarks(state.watch, changes()));
  const shown = (scores) => scores.map((score) => Math.min(score, TOP));
  unusualChart.setData([at, shown(onset), shown(states)]);
  if (unusualChart.cursor.idx == null) unusualChart.setLegend({ idx: at.length - 1 });
  showValues("unusual-values", ["row", "onset", "state"], () => thinned(
    at.map((row, i) => [count(row), onset[i].toFixed(1), states[i].toFixed(1)])));
}

function showColumns(watch) {
  const names = watch.columns.map(([name]) => name);
  document.getElementById("watch-columns").classList.toggle("many", names.length > FEW);
  const note = document.getElementById("columns-note");
  note.hidden = names.length >= watch.n_columns;
  note.textContent = `${names.length} of ${count(watch.n_columns)} inputs: those of the latest alarms, then those that were unusual most often.`;
  if ([...watchCharts.keys()].join("\n") !== names.join("\n")) {
    for (const [plot] of watchCharts.values()) plot.destroy();
    watchCharts.clear();
    document.getElementById("watch-columns").replaceChildren();
  }
  if (!watchCharts.size) { // all boxes first: a chart takes the width that its box has then
    const boxes = names.map(() => make("div", "", document.getElementById("watch-columns")));
    names.forEach((name, i) => watchCharts.set(name, makeColumnChart(boxes[i], name)));
  }
  for (const [name, values, low, high] of watch.columns) {
    const [plot, parts, element] = watchCharts.get(name);
    element.hidden = values.every((value) => value == null); // a column of texts
    plot.alarms = watch.at.filter((_, i) => watch.alarm[i] && watch.blame[i] === name).map((at) => ({ at, kind: "drift" }));
    plot.times = watch.t[watch.t.length - 1] == null ? null : watch.t;
    plot.setData([watch.at, values, low, high]);
    sayColumn(parts, plot);
  }
}

// The values of each chart of an input, line by line.
const columnLines = (watch) => watch.columns.filter(([, values]) => values.some((value) => value != null)).flatMap(
  ([name, values, low, high]) => thinned(values.map((value, i) => [
    name, count(watch.at[i]), short(value), short(low[i]), short(high[i])])));

function showWatch(watch, changes) {
  const blamed = Object.entries(watch.unusual), $ = (id) => document.getElementById(id);
  showUnusual(watch, changes);
  showColumns(watch);
  drawState($("watch-state"), watch.state);
  $("state-text").textContent = sayState(watch.state);
  showValues("columns-values", ["input", "row", "value", "expected from", "to"], () => columnLines(watch));
  showValues("state-values", ["row", "state"], () => thinned(
    watch.at.map((row, i) => [count(row), watch.state[i].toFixed(1)])));
  $("alarms-empty").hidden = watch.alarms.length > 0;
  $("alarms").hidden = !watch.alarms.length;
  drawAlarms($("alarms"), watch.alarms);
  $("blame-empty").hidden = blamed.length > 0;
  $("blame-note").hidden = !blamed.length;
  drawBars($("blame"), blamed, (share) => percent(share, 0) + " %", 1);
}
