"use strict";
// The state of the page, the events that change it, and when it is drawn.

const $ = (id) => document.getElementById(id);
const RASTER_SAMPLES = 10, MAX_POINTS = 4096, MAX_PREDICTIONS = 200;
let state = {}, course = [], raster = [], predictions = [];
let chart = null, predictionChart = null, paused = false, stream = null, last = "";

const isRegression = () => (state.task || "").endsWith("regression") || state.task === "forecasting";
const newTasks = () => (state.tasks ? state.tasks.tasks.slice(1) : []);
const marks = () => [
  ...(state.tasks ? state.tasks.drifts : []).map((drift) => ({ at: drift.at, kind: "drift" })),
  ...newTasks().map((task) => ({ at: task.start, kind: "task" })),
];

function addPoint(point) {
  const end = course[course.length - 1];
  if (end && end[0] >= point[0]) course[course.length - 1] = point;
  else course.push(point);
  if (course.length > MAX_POINTS) course = course.filter((_, i) => i % 2 === 0);
}

function takeState(whole) {
  if (state.task !== whole.task) dropChart();
  state = whole;
  course = whole.course;
  raster = whole.raster ? [whole.raster] : [];
  predictions = [];
  showActions(whole.actions || []);
}

function dropChart() {
  for (const plot of [chart, predictionChart]) if (plot) plot.destroy();
  chart = predictionChart = draw.watch = draw.fan = null;
  dropWatchCharts();
  dropFan();
}

function takeFrame(frame) {
  Object.assign(state, frame);
  if (frame.score) addPoint(frame.score);
  if (frame.last && frame.last.interval) addPrediction(frame.score[0], frame.last);
  if (frame.raster) raster = [...raster, frame.raster].slice(-RASTER_SAMPLES);
}

function addPrediction(at, row) {
  if (predictions.length && predictions[predictions.length - 1][0] >= at) return;
  const bounds = row.interval.map((bound) => (Number.isFinite(bound) ? bound : null));
  predictions = [...predictions, [at, Number(row.y), Number(row.y_pred), ...bounds]].slice(-MAX_PREDICTIONS);
}

function seconds(value) {
  if (value == null) return "–";
  return value < 1 ? Math.round(1000 * value) + " ms" : value < 120 ? value.toFixed(0) + " s" : (value / 60).toFixed(0) + " min";
}

function micros(value) {
  if (value == null) return "–";
  if (value < 1000) return value.toFixed(0) + " µs";
  return value < 1e6 ? (value / 1000).toFixed(value < 1e4 ? 1 : 0) + " ms" : (value / 1e6).toFixed(1) + " s";
}

function showTiles() {
  const regression = isRegression(), point = state.score || [], scores = state.scores || [];
  if (state.task === "watching") $("samples-name").textContent = "rows";
  $("alarm-count").textContent = state.watch ? count(state.watch.n_alarms) : "–";
  const first = scores.findIndex((score) => score.role === "window"), score = point[FIRST_SCORE + first];
  $("samples").textContent = count(point[0]);
  if (first >= 0) $("score-name").textContent = scores[first].label;
  $("window").textContent = score == null ? "–" : regression ? score.toPrecision(3) : percent(score) + " %";
  $("rate").textContent = count(state.rate);
  const latency = state.latency || {};
  $("latency").textContent = micros(latency.p50) + " / " + micros(latency.p99);
  $("lag").textContent = seconds(state.lag);
  $("gaps").textContent = count(state.gaps);
  $("unused").textContent = count(state.n_unused) + " / " + count(state.n_masked);
  $("coverage-tile").hidden = state.coverage == null;
  $("coverage").textContent = percent(state.coverage) + " %";
  $("checkpoint").textContent = state.checkpoint_age == null ? "–" : seconds(state.checkpoint_age) + " ago";
  $("drift-count").textContent = state.tasks ? count(state.tasks.drifts.length) : "–";
  $("alarm").hidden = !state.alarm;
  $("alarm").textContent = state.alarm || "";
}

function showEvents() {
  const names = taskNames(state.tasks.tasks);
  const events = [
    ...state.tasks.drifts.map((d) => [d.at, d.kind === "input" ? "input drift" : d.kind === "boundary"
      ? "task boundary" : "concept drift", d.detector]),
    ...newTasks().map((t, i) => [t.start, names[i + 1] + (t.returned ? " returns" : " begins"), "monitor"]),
  ].sort((a, b) => b[0] - a[0]);
  const nothing = tableRow([tableCell("–"), tableCell("none yet"), tableCell("")]);
  $("events").tBodies[0].replaceChildren(...(events.length ? [] : [nothing]), ...events.map(([at, what, detector]) => {
    const [words, hover] = detectorWords(detector), how = tableCell(words);
    how.title = hover;
    return tableRow([tableCell(count(at)), tableCell(what), how]);
  }));
}

function showTasks() {
  const tasks = state.tasks, error = tasks.forgetting_se == null ? "" : " ± " + points(tasks.forgetting_se);
  drawMatrix($("matrix"), tasks.accuracy_matrix, tasks.tasks);
  $("events-title").textContent = state.task === "watching" ? "Changes of the inputs" : "Drifts and tasks";
  $("measures").hidden = !tasks.accuracy_matrix.length;
  $("forgetting").textContent = tasks.forgetting == null ? "–" : points(tasks.forgetting) + error + " points";
  $("bwt").textContent = tasks.backward_transfer == null ? "–" : points(tasks.backward_transfer) + " points";
  $("average").textContent = tasks.average_accuracy == null ? "–" : percent(tasks.average_accuracy) + " %";
  showEvents();
}

function showScore() {
  const { scores, model } = state, rivals = state.rivals || [], words = SCORE_WORDS[state.task];
  const regression = isRegression();
  $("score-title").textContent = words.title;
  $("score-note").textContent = words.note;
  fillChoices($("span"), [...SPANS, ...(hasTimes(course) ? TIME_SPANS : [])], view.span);
  fillChoices($("scale"), words.scales, view.scale);
  $("whole").hidden = !view.zoom;
  const zoomed = (span) => { view.zoom = span; redraw(); };
  if (!chart) chart = makeScoreChart($("score"), { regression, model, scores, rivals }, () => course, marks, zoomed);
  const columns = [0, ...[...scores, ...rivals].map((_, i) => FIRST_SCORE + i)];
  chart.setData(columns.map((index) => course.map((point) => point[index])));
  if (chart.cursor.idx == null) chart.setLegend({ idx: course.length - 1 }); // the newest, unless the pointer selects one
}

function showLast() {
  const row = state.last, regression = isRegression();
  $("last-box").hidden = !row;
  $("predictions-box").hidden = !predictions.length;
  if (!row) return;
  const spikes = state.spikes && state.raster ? [["spikes in the last layer", count(state.raster.spikes)]] : [];
  const when = row.t == null ? [] : [["time", new Date(1000 * row.t).toLocaleString("en-GB")]];
  const error = Math.abs(row.y - row.y_pred), several = state.task === "multi-target regression";
  const result = several ? [] : [regression ? ["error", error.toPrecision(3)] : ["result", row.right ? "correct" : "wrong"]];
  const bounds = regression && row.interval ? [["90 % interval", row.interval.map((v) => (v == null ? "unbounded"
    : v.toPrecision(4))).join(" to ")]] : [];
  drawFacts($("last"), [["prediction", row.y_pred], ["label", row.y], ...result, ...bounds, ...spikes, ...when]);
  drawBars($("proba"), row.proba.map(([label, p]) => [label, p]), (p) => percent(p) + " %", 1);
  drawFeatures($("features"), row.x, row.more);
  if (!predictions.length) return;
  if (!predictionChart) predictionChart = makePredictionChart($("predictions"));
  predictionChart.setData([0, 1, 2, 3, 4].map((index) => predictions.map((point) => point[index])));
  if (predictionChart.cursor.idx == null) predictionChart.setLegend({ idx: predictions.length - 1 });
}

function showUnused() {
  const sentences = state.unused || [];
  $("unused-box").hidden = !sentences.length;
  $("unused-list").replaceChildren(...sentences.map((text) => {
    const li = document.createElement("li");
    li.textContent = text;
    return li;
  }));
}

function draw() {
  if (state.title) { $("title").textContent = state.title; document.title = state.title + " – loco_stream"; }
  $("model").textContent = state.model || "";
  showTiles();
  $("note").hidden = !state.note;
  $("note").textContent = state.note || "";
  const unlabelled = state.task === "watching";
  $("score-box").hidden = $("matrix-box").hidden = $("score-tile").hidden = unlabelled;
  if (state.scores && !unlabelled) showScore();
  for (const id of ["watch-box", "alarms-box", "blame-box", "alarms-tile"]) $(id).hidden = !state.watch;
  if (state.watch && state.watch !== draw.watch) {
    draw.watch = state.watch;
    showWatch(state.watch);
  }
  showLast();
  showUnused();
  if (state.tasks && state.tasks !== draw.tasks) {
    draw.tasks = state.tasks;
    showTasks();
  }
  $("classes-box").hidden = !state.classes;
  if (state.classes && state.classes !== draw.classes) {
    draw.classes = state.classes;
    drawClasses($("classes"), state.classes.per_class);
    drawConfusion($("confusion"), state.classes.confusion);
  }
  $("fan-box").hidden = !state.fan;
  if (state.fan && state.fan !== draw.fan) {
    draw.fan = state.fan;
    showFan(state.fan);
  }
  $("targets-box").hidden = !state.targets;
  if (state.targets) drawTargets($("targets"), state.targets);
  const mixture = Object.entries(state.mixture || {}).map(([name, value]) => {
    const [words, hover] = memberWords(name);
    return [words, value, hover];
  });
  $("mixture-box").hidden = !mixture.length;
  drawBars($("mixture"), mixture, (value) => value.toFixed(2));
  $("raster-box").hidden = $("spikes-box").hidden = !state.raster;
  if (state.raster) {
    drawRaster($("raster"), raster);
    $("raster-note").textContent = `The latest rows side by side, ${state.raster.window} ms each; ` +
      `${state.raster.rows} of ${state.raster.size} neurons from top to bottom. One dot per spike.`;
    drawBars($("spikes"), state.spikes.map((value, i) => ["layer " + (i + 1), value]), (value) => value.toFixed(2));
  }
}

// Frames arrive up to 20 times per second; the page is drawn at most once per screen frame, and not while hidden.
let due = false;
function redraw() {
  if (due || paused) return;
  due = true;
  requestAnimationFrame(() => { due = false; draw(); });
}

const LINKS = {
  lost: "waiting for the engine", ended: "ended", live: "live",
  waiting: "waiting for the first row (the first run compiles for about 35 s)",
};
function showLink() {
  const open = stream && stream.readyState === EventSource.OPEN;
  const link = !open ? "lost" : state.ended ? "ended" : !state.title ? "waiting" : "live";
  if ($("link").textContent !== LINKS[link]) $("link").textContent = LINKS[link];
  document.body.dataset.link = link; // the page is dimmed without an engine
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
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 1000); // the browser gave up
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
  dropChart(); // the legend would keep its colours
  redraw();
}

$("theme").onclick = () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", theme);
  setTheme(theme);
};
$("span").onchange = () => { choose({ span: $("span").value, zoom: null }); redraw(); };
$("scale").onchange = () => { choose({ scale: $("scale").value }); redraw(); };
$("whole").onclick = () => { choose({ span: "all", zoom: null }); $("span").value = "all"; redraw(); };
$("score").addEventListener("dblclick", () => { view.zoom = null; redraw(); });
const fileName = (end) => "loco_stream-" + (state.title || "run").replace(/[^\w.-]+/g, "-") + end;
$("csv").onclick = () => {
  const scores = (state.scores || []).map((score, i) => [score.name, FIRST_SCORE + i]);
  const rivals = (state.rivals || []).map((name, i) => [name, FIRST_SCORE + scores.length + i]);
  const columns = [["sample", 0], ...scores, ["time", TIME], ...rivals];
  saveFile(fileName(".csv"), new Blob([courseAsCsv(course, columns)], { type: "text/csv" }));
};
$("picture").onclick = () => chart && chartAsPicture(chart, `${state.title}: ${$("score-title").textContent}`,
  (blob) => saveFile(fileName(".png"), blob));
$("pause").onclick = () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").textContent = paused ? "Resume" : "Pause";
  redraw();
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "p") $("pause").click();
  else if (event.key === "t") $("theme").click();
  else if (/^[1-9]$/.test(event.key)) $("actions").children[event.key - 1]?.click();
});
const system = matchMedia("(prefers-color-scheme: dark)");
const preferred = () => localStorage.getItem("theme") || (system.matches ? "dark" : "light");
system.addEventListener("change", () => setTheme(preferred()));
setTheme(preferred());
connect();
