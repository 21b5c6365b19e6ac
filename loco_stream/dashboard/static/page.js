"use strict";
// The state of the page, how events change it, and when it is drawn.

const $ = (id) => document.getElementById(id);
const RASTER_SAMPLES = 10, MOST_POINTS = 4096;
let state = {}, course = [], raster = [], chart = null, paused = false, stream = null, last = "";

const newTasks = () => (state.tasks ? state.tasks.tasks.slice(1) : []);
const marks = () => [
  ...(state.tasks ? state.tasks.drifts : []).map((drift) => ({ at: drift.at, kind: "drift" })),
  ...newTasks().map((task) => ({ at: task.start, kind: "task" })),
];

function addPoint(point) {
  const end = course[course.length - 1];
  if (end && end[0] >= point[0]) course[course.length - 1] = point;
  else course.push(point);
  if (course.length > MOST_POINTS) course = course.filter((_, i) => i % 2 === 0);
}

function takeState(whole) {
  if (state.task !== whole.task) dropChart();
  state = whole;
  course = whole.course;
  raster = whole.raster ? [whole.raster] : [];
  showActions(whole.actions || []);
}

function dropChart() {
  if (chart) chart.destroy();
  chart = null;
}

function takeFrame(frame) {
  Object.assign(state, frame);
  if (frame.score) addPoint(frame.score);
  if (frame.raster) raster = [...raster, frame.raster].slice(-RASTER_SAMPLES);
}

function seconds(value) {
  if (value == null) return "–";
  return value < 1 ? Math.round(1000 * value) + " ms" : value < 120 ? value.toFixed(0) + " s" : (value / 60).toFixed(0) + " min";
}

function micros(value) {
  return value == null ? "–" : value < 1000 ? value.toFixed(0) + " µs" : (value / 1000).toFixed(1) + " ms";
}

function showTiles() {
  const regression = state.task === "regression", score = state.score || [];
  $("samples").textContent = count(score[0]);
  $("score-name").textContent = regression ? "error, last window" : "accuracy, last window";
  $("window").textContent = score[1] == null ? "–" : regression ? score[1].toPrecision(3) : percent(score[1]) + " %";
  $("rate").textContent = count(state.rate);
  const latency = state.latency || {};
  $("latency").textContent = micros(latency.p50) + " / " + micros(latency.p99);
  $("lag").textContent = seconds(state.lag);
  $("gaps").textContent = count(state.gaps);
  $("unused").textContent = count(state.unused) + " / " + count(state.masked);
  $("unused-tile").title = (state.said || []).join("\n");
  $("checkpoint").textContent = state.checkpoint_age == null ? "–" : seconds(state.checkpoint_age) + " ago";
  $("drift-count").textContent = state.tasks ? count(state.tasks.drifts.length) : "–";
  $("alarm").hidden = !state.alarm;
  $("alarm").textContent = state.alarm || "";
}

function showEvents() {
  const events = [
    ...state.tasks.drifts.map((d) => [d.at, d.kind === "input" ? "the inputs changed" : d.kind === "boundary"
      ? "a new task begins" : "the concept changed", d.detector]),
    ...newTasks().map((t) => [t.start, (t.task || "a task") + (t.returned ? " is back" : " begins"), "monitor"]),
  ].sort((a, b) => b[0] - a[0]);
  $("events").tBodies[0].replaceChildren(...events.map(([at, ...texts]) => {
    const tr = document.createElement("tr");
    for (const text of [count(at), ...texts]) tr.insertCell().textContent = text;
    return tr;
  }));
}

function draw() {
  if (state.title) { $("title").textContent = state.title; document.title = state.title + " – loco_stream"; }
  $("model").textContent = state.model || "";
  showTiles();
  if (state.task && !chart) chart = makeScoreChart($("score"), state.task === "regression", marks);
  if (chart) {
    chart.setData(chart.series.map((_, column) => course.map((point) => point[column])));
    if (chart.cursor.idx == null) chart.setLegend({ idx: course.length - 1 }); // nobody points at another sample
  }
  if (state.tasks && state.tasks !== draw.tasks) {
    draw.tasks = state.tasks;
    drawMatrix($("matrix"), state.tasks.accuracy_matrix, state.tasks.tasks);
    for (const [id, key] of [["forgetting", "forgetting"], ["bwt", "backward_transfer"], ["average", "average_accuracy"]])
      $(id).textContent = state.tasks[key] == null ? "–" : percent(state.tasks[key]) + (id === "average" ? " %" : " points");
    showEvents();
  }
  $("classes-box").hidden = !state.classes;
  if (state.classes && state.classes !== draw.classes) {
    draw.classes = state.classes;
    drawClasses($("classes"), state.classes.per_class);
    drawConfusion($("confusion"), state.classes.confusion);
  }
  const mixture = Object.entries(state.mixture || {});
  $("mixture-box").hidden = !mixture.length;
  drawBars($("mixture"), mixture, (value) => value.toFixed(2));
  $("raster-box").hidden = $("spikes-box").hidden = !state.raster;
  if (state.raster) {
    drawRaster($("raster"), raster);
    $("raster-note").textContent = `The last samples, side by side, ${state.raster.window} ms each; ` +
      `${state.raster.rows} of ${state.raster.size} neurons from top to bottom.`;
    drawBars($("spikes"), state.spikes.map((value, i) => ["layer " + (i + 1), value]), (value) => value.toFixed(2));
  }
}

// Frames come up to 20 times a second; the page is drawn at most once a screen frame, and not at all while hidden.
let due = false;
function redraw() {
  if (due || paused) return;
  due = true;
  requestAnimationFrame(() => { due = false; draw(); });
}

function showLink() {
  const live = stream && stream.readyState === EventSource.OPEN;
  const text = !live ? "waiting for the engine" : state.ended ? "ended" : !state.title ? "waiting for the first row" : "live";
  if ($("link").textContent !== text) $("link").textContent = text;
  $("link").dataset.state = live ? "live" : "lost";
}

function connect() {
  stream = new EventSource("events" + (last ? "?last=" + encodeURIComponent(last) : ""));
  const take = (handle) => (event) => {
    last = event.lastEventId;
    handle(JSON.parse(event.data));
    redraw();
    showLink();
  };
  stream.addEventListener("state", take(takeState));
  stream.addEventListener("frame", take(takeFrame));
  stream.onopen = showLink;
  stream.onerror = () => {
    showLink();
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 1000); // refused for now; the browser gave up
  };
}

async function press(name) {
  const answer = await fetch("actions/" + encodeURIComponent(name), { method: "POST" });
  if (!answer.ok) $("link").textContent = await answer.text();
}

function showActions(names) {
  $("actions").replaceChildren(...names.map((name, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.title = "Key " + (i + 1);
    button.onclick = () => press(name);
    return button;
  }));
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  draw.tasks = draw.classes = null;
  dropChart(); // the legend keeps the colours it was made with
  redraw();
}

$("theme").onclick = () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", theme);
  setTheme(theme);
};
$("pause").onclick = () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").textContent = paused ? "Go on" : "Pause";
  redraw();
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "p") $("pause").click();
  else if (event.key === "t") $("theme").click();
  else if (/^[1-9]$/.test(event.key)) $("actions").children[event.key - 1]?.click();
});
const system = matchMedia("(prefers-color-scheme: dark)");
const wished = () => localStorage.getItem("theme") || (system.matches ? "dark" : "light");
system.addEventListener("change", () => setTheme(wished()));
setTheme(wished());
connect();
