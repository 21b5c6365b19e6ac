"use strict";
// The state of the page, the events that change it, and when it is drawn.

const $ = (id) => document.getElementById(id);
const RASTER_SAMPLES = 10, MAX_POINTS = 4096, MAX_PREDICTIONS = 80;
let state = {}, course = [], raster = [], predictions = [];
let chart = null, predictionChart = null, paused = false, stream = null, last = "", heardAt = new Date();

const isNumeric = (task) => (task || "").endsWith("regression") || task === "forecasting";
const isRegression = () => isNumeric(state.task);
const changes = () => (state.tasks ? state.tasks.drifts : []);
const newTasks = () => (state.tasks ? state.tasks.tasks.slice(1) : []);
const marks = () => [
  ...changes().map((drift) => ({ at: drift.at, kind: "drift" })),
  ...newTasks().map((task) => ({ at: task.start, kind: "task" })),
];

// Titles, help marks, and the links of both to the guide.
function furnish() {
  for (const section of document.querySelectorAll("section[data-panel]")) {
    const panel = PANELS.find((panel) => panel.id === section.dataset.panel);
    const head = document.createElement("div"), title = document.createElement("h2");
    head.className = "head";
    title.textContent = panel.title;
    title.id = panel.id + "-title";
    section.setAttribute("aria-labelledby", title.id);
    head.append(title, helpMark(panel), ...section.querySelectorAll(":scope > .tools"));
    section.prepend(head);
  }
}

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
  predictions = whole.predictions || [];
  showActions(whole.actions || []);
}

function dropChart() {
  for (const plot of [chart, predictionChart]) if (plot) plot.destroy();
  chart = predictionChart = draw.watch = draw.fan = draw.lines = null;
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
  // the first row has no prediction, and the first intervals are unbounded
  const values = [Number(row.y), Number(row.y_pred), ...row.interval].map((value) => (Number.isFinite(value) ? value : null));
  predictions = [...predictions, [at, ...values]].slice(-MAX_PREDICTIONS);
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

// The value of a score with a role at the newest point, and the words for it.
function scoreOf(role) {
  const scores = state.scores || [], index = scores.findIndex((score) => score.role === role);
  const value = index < 0 ? null : (state.score || course[course.length - 1] || [])[FIRST_SCORE + index];
  const text = value == null ? "–" : isRegression() ? short(value, 3) : percent(value) + " %";
  return { value, text, words: index < 0 ? "" : lineWords(scores[index]) };
}

// The best of the simple rules: what a model has to exceed.
function bestBaseline() {
  const end = state.score || [];
  const rules = (state.scores || []).map((score, i) => ({ score, value: end[FIRST_SCORE + i] }))
    .filter(({ score, value }) => score.role === "baseline" && value != null);
  if (!rules.length) return null;
  return rules.reduce((best, rule) => ((isRegression() ? rule.value < best.value : rule.value > best.value) ? rule : best));
}

const lastAt = (list) => (list.length ? "last at row " + count(list[list.length - 1].at) : "none so far");

function showScoreTiles() {
  const best = bestBaseline(), overall = scoreOf("overall");
  $("score-name").textContent = (SCORE_WORDS[state.task] || {}).tile || "";
  $("window").textContent = scoreOf("window").text;
  $("overall").textContent = overall.value == null ? "" : overall.text + " overall";
  $("baseline").textContent = !best ? "–" : isRegression() ? short(best.value, 3) : percent(best.value) + " %";
  $("baseline-sub").textContent = best ? lineWords(best.score) : "";
  $("coverage-tile").hidden = state.coverage == null;
  $("coverage").textContent = percent(state.coverage) + " %";
}

function showTiles() {
  const unlabelled = state.task === "watching", latency = state.latency || {}, alarms = state.watch ? state.watch.alarms : [];
  const drifts = changes(), newest = alarms[alarms.length - 1];
  $("samples-name").textContent = unlabelled ? "Rows watched" : "Rows learned";
  $("samples").textContent = count((state.score || course[course.length - 1] || [])[0]);
  $("samples-sub").textContent = state.rate == null ? "" : count(state.rate) + " rows/s";
  $("score-tile").hidden = $("baseline-tile").hidden = unlabelled;
  if (!unlabelled) showScoreTiles();
  $("alarms-tile").hidden = !state.watch;
  $("alarm-count").textContent = state.watch ? count(state.watch.n_alarms) : "–";
  $("alarm-sub").textContent = lastAt(alarms) + (newest ? " in " + newest.column : "");
  $("drift-count").textContent = state.tasks ? count(drifts.length) : "–";
  $("drift-sub").textContent = lastAt(drifts);
  $("latency").textContent = micros(latency.p50);
  $("latency-sub").textContent = latency.p99 == null ? "" : "median; slowest 1\u00a0%: " + micros(latency.p99);
  $("lag-tile").hidden = state.lag == null;
  $("lag").textContent = seconds(state.lag);
  $("gaps-tile").hidden = state.gaps == null;
  $("gaps").textContent = count(state.gaps);
  $("unused").textContent = count(state.n_unused);
  $("masked").textContent = count(state.n_masked) + " values missing";
  $("checkpoint-tile").hidden = state.checkpoint_age == null;
  $("checkpoint").textContent = seconds(state.checkpoint_age) + " ago";
  $("alarm").hidden = !state.alarm;
  $("alarm").textContent = state.alarm || "";
}

function showEvents() {
  const names = taskNames(state.tasks.tasks), unlabelled = state.task === "watching";
  const events = [
    ...changes().map((drift) => [drift.at, ...changeWords(drift), unlabelled ? "task" : "drift"]), // as in the chart
    ...(unlabelled ? [] : newTasks().map((t, i) => [t.start, t.returned ? `${t.task || names[i + 1]} is back` : `${names[i + 1]} begins`, t.returned ? "rows from here on are this task again" : "rows from here on are a new task", "task"])),
  ].sort((a, b) => b[0] - a[0]);
  $("events-empty").hidden = events.length > 0;
  $("events-empty").textContent = unlabelled ? EMPTY.watching : EMPTY.changes;
  $("events").hidden = !events.length;
  $("events").tBodies[0].replaceChildren(...events.map(([at, what, how, kind]) => tableRow(
    [rowCell(at, timeAt(course, at), kind), tableCell(what), tableCell(how)])));
}

function showTasks() {
  const tasks = state.tasks, error = tasks.forgetting_se == null ? "" : " ± " + points(tasks.forgetting_se);
  const matrix = tasks.accuracy_matrix, isFilled = matrix.some((row) => row.some((value) => value != null));
  const measure = isRegression() ? "Rows whose error is not among the largest fifth," : "Accuracy";
  $("matrix-empty").hidden = isFilled;
  $("matrix-empty").textContent = EMPTY.matrix;
  $("matrix").hidden = !isFilled;
  if (isFilled) drawMatrix($("matrix"), matrix, tasks.tasks);
  $("matrix-note").textContent = isFilled ? "A task is a part of the stream, from one change to the next. " + measure +
    " in % on each task (columns), measured at the end of each task (lines); ± is a standard error." : "";
  $("average-name").textContent = isRegression() ? "without a large error, over all tasks" : "accuracy over all tasks";
  $("measures").hidden = tasks.forgetting == null || matrix.length < 2; // one task cannot be forgotten
  $("forgetting").textContent = tasks.forgetting == null ? "–" : points(tasks.forgetting) + error + " points";
  $("average").textContent = tasks.average_accuracy == null ? "–" : percent(tasks.average_accuracy) + " %";
  showEvents();
}

function showScore() {
  const { scores } = state, words = SCORE_WORDS[state.task], regression = isRegression();
  const others = comparedLines(state), rivals = [...(state.rivals || []), ...others.map((run) => run.name)];
  const own = others.length ? "this run" : state.model;
  const isEmpty = !course.some((point) => point[FIRST_SCORE] != null);
  $("score-title").textContent = words.title;
  $("score-note").textContent = words.note;
  $("score-empty").hidden = !isEmpty;
  $("score").hidden = $("score-values").hidden = isEmpty;
  $("score-empty").textContent = state.waiting_for || EMPTY.score;
  fillChoices($("span"), [...SPANS, ...(hasTimes(course) ? TIME_SPANS : [])], view.span);
  fillChoices($("scale"), words.scales, view.scale);
  $("whole").hidden = !view.zoom;
  if (isEmpty) return;
  if (chart && draw.lines !== rivals.join("\n")) { chart.destroy(); chart = null; }
  draw.lines = rivals.join("\n");
  const zoomed = (span) => { view.zoom = span; redraw(); };
  if (!chart) chart = makeScoreChart($("score"), { regression, own, scores, rivals }, () => course, marks, zoomed);
  const columns = [0, ...[...scores, ...(state.rivals || [])].map((_, i) => FIRST_SCORE + i)];
  const mine = columns.map((index) => course.map((point) => point[index]));
  chart.setData(others.length ? uPlot.join([mine, ...others.map((run) => [run.rows, run.values])]) : mine);
  // the newest row of this run, unless the pointer selects one
  if (chart.cursor.idx == null) chart.setLegend({ idx: chart.data[0].indexOf(mine[0][mine[0].length - 1]) });
  showScoreValues();
}

function showScoreValues() {
  const [first, end] = spanOf(course, chart.data[0]), text = (value) => (isRegression() ? short(value, 3) : percent(value));
  const unit = isRegression() ? "" : ", %";
  showValues("score-values", ["row", ...chart.series.slice(1).map((line) => line.label + unit)], () => {
    const [rows, ...lines] = chart.data;
    const shown = thinned(rows.map((_, i) => i).filter((i) => rows[i] >= first && rows[i] <= end));
    return shown.map((i) => [count(rows[i]), ...lines.map((values) => text(values[i]))]);
  });
}

function showLast() {
  const row = state.last, regression = isRegression();
  $("last-box").hidden = !row;
  $("predictions-box").hidden = !predictions.length;
  if (!row) return;
  const when = row.t == null ? [] : [["time", new Date(1000 * row.t).toLocaleString("en-GB")]];
  const error = Math.abs(row.y - row.y_pred), several = state.task === "multi-target regression";
  const result = several ? [] : [regression ? ["error", Number.isFinite(error) ? error.toPrecision(3) : "–"] : ["result", row.right ? "correct" : "wrong"]];
  const bounds = regression && row.interval ? [["90 % interval", row.interval.map((v) => (v == null ? "unbounded"
    : v.toPrecision(4))).join(" to ")]] : [];
  drawFacts($("last"), [["predicted", row.y_pred], ["label", row.y], ...result, ...bounds, ...when]);
  drawBars($("proba"), row.proba.map(([label, p]) => [label, p]), (p) => percent(p) + " %", 1);
  drawFeatures($("features"), row.x, row.more);
  if (!predictions.length) return;
  if (!predictionChart) predictionChart = makePredictionChart($("predictions"));
  predictionChart.setData([0, 1, 2, 3, 4].map((index) => predictions.map((point) => point[index])));
  if (predictionChart.cursor.idx == null) predictionChart.setLegend({ idx: predictions.length - 1 });
  showValues("predictions-values", ["row", "true value", "prediction", "90 % band from", "to"], () => thinned(predictions)
    .map(([at, ...values]) => [count(at), ...values.map((value) => short(value))]));
}

function showClasses() {
  const { per_class: scores, confusion } = state.classes, isEmpty = !Object.keys(scores).length;
  $("classes-empty").hidden = !isEmpty;
  $("classes-all").hidden = $("classes-note").hidden = isEmpty;
  drawClasses($("classes"), scores);
  drawMistakes($("mistakes"), confusion);
  drawConfusion($("confusion"), confusion);
}

// Experts that do not count are named in one line.
function showExperts() {
  const isCombined = ([name]) => name.startsWith("combination");
  const members = Object.entries(state.mixture || {}).map(([name, value]) => [memberWords(name), value]);
  const deciding = members.filter(([, value]) => Math.abs(value) >= 0.005);
  const others = members.filter(([, value]) => Math.abs(value) < 0.005).map(([name]) => name);
  $("mixture-box").hidden = !members.length;
  drawBars($("mixture"), deciding.length ? deciding : members, (value) => value.toFixed(2), 1);
  $("mixture-rest").textContent = deciding.length && others.length
    ? (deciding.some(isCombined) ? "These count only through the combination: " : "Without weight now: ") + others.join("; ") + "." : "";
  $("mixture-note").textContent = "Weight of each expert in the latest prediction." +
    (deciding.some(([, value]) => value < 0) ? " Hatched: a negative weight, which corrects the others." : "");
}

function showSpikes() {
  $("raster-box").hidden = !state.raster;
  if (!state.raster) return;
  const isEmpty = !raster.some((sample) => sample.t.length), { window, rows, size } = state.raster, hasRows = course.some(([n]) => n);
  $("raster").hidden = $("raster-values").hidden = isEmpty;
  if (!isEmpty) drawRaster($("raster"), raster);
  $("spikes").hidden = $("spikes-rate").hidden = !hasRows;
  $("raster-note").textContent = !hasRows ? EMPTY.spikes : isEmpty ? "No spike in the latest rows." : "A dot is a spike. Left to right: " +
    `the latest rows in alternating colours, ${window} ms of simulated time each. Top to bottom: ` +
    `${rows === size ? "the" : rows + " of"} ${size} neurons of the last hidden layer.`;
  drawBars($("spikes"), state.spikes.map((value, i) => ["layer " + (i + 1), value]), (value) => value.toFixed(2));
  showValues("raster-values", ["row", "spikes", "neurons that fired"], () => raster.map((sample, i) => [
    i === raster.length - 1 ? "latest" : raster.length - 1 - i + " before", count(sample.t.length), neuronsOf(sample)]));
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

// Shows a part again if its values changed.
function renew(name, show) {
  if (!state[name] || state[name] === draw[name]) return;
  draw[name] = state[name];
  show(state[name]);
}

const PANEL_BOXES = [...document.querySelectorAll("section[data-panel]")];

function draw() {
  if (state.title) { $("title").textContent = state.title; document.title = state.title + " – loco_stream"; }
  $("model").textContent = state.model || "";
  $("about").hidden = !state.note;
  $("note").textContent = state.note || "";
  $("main").dataset.drawn = "";
  $("empty").hidden = Boolean(state.task);
  $("tiles-box").hidden = !state.task;
  $("empty-text").textContent = EMPTY.start;
  if (!state.task) { for (const box of PANEL_BOXES) box.hidden = true; return; }
  const unlabelled = state.task === "watching";
  showTiles();
  $("score-box").hidden = unlabelled;
  $("matrix-box").hidden = unlabelled || !(state.tasks && state.tasks.accuracy_matrix.length); // no rows are kept
  if (state.scores && !unlabelled) showScore();
  for (const id of ["watch-box", "unusual-box", "alarms-box", "blame-box"]) $(id).hidden = !state.watch;
  renew("watch", (watch) => showWatch(watch, changes));
  showLast();
  showUnused();
  $("events-box").hidden = !state.tasks;
  renew("tasks", showTasks);
  $("classes-box").hidden = !state.classes;
  renew("classes", showClasses);
  $("fan-box").hidden = !state.fan;
  renew("fan", showFan);
  $("targets-box").hidden = !state.targets;
  if (state.targets) drawTargets($("targets"), state.targets);
  showCompared({ ...state, course });
  showExperts();
  showSpikes();
}

// Without waiting for the next screen frame; a new chart shows values in its legend from its second drawing on.
function drawNow() {
  draw();
  queueMicrotask(() => { draw.watch = draw.fan = null; draw(); });
}

// Frames arrive up to 20 times per second; the page is drawn at most once per screen frame, and not while hidden.
let due = false;
function redraw() {
  if (due || paused) return;
  due = true;
  requestAnimationFrame(() => { due = false; draw(); });
}

const LINKS = { paused: "paused", lost: "no connection", ended: "ended", live: "live", waiting: "waiting for the first row" };
function showLink() {
  const open = stream && stream.readyState === EventSource.OPEN;
  const rows = (state.score || course[course.length - 1] || [0])[0];
  const link = paused ? "paused" : state.ended ? "ended" : !open ? "lost" : rows ? "live" : "waiting";
  if ($("link").textContent !== LINKS[link]) $("link").textContent = LINKS[link];
  document.body.dataset.link = link; // without an engine the page is grey
  $("stale").hidden = link !== "lost" || !stream;
  $("stale").textContent = `No connection since ${heardAt.toLocaleTimeString("en-GB")}. These are the values of that moment; ` +
    "the page connects again by itself.";
}

function connect() {
  stream = new EventSource("events" + (last ? "?last=" + encodeURIComponent(last) : ""));
  const take = (handle) => (event) => {
    last = event.lastEventId;
    heardAt = new Date();
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

// Paper is white.
let shownTheme = "";
addEventListener("beforeprint", () => {
  shownTheme = document.documentElement.dataset.theme;
  setTheme("light");
  drawNow();
});
addEventListener("afterprint", () => setTheme(shownTheme));

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
  const columns = [["row", 0], ...scores, ["time", TIME], ...rivals];
  saveFile(fileName(".csv"), new Blob([courseAsCsv(course, columns)], { type: "text/csv" }));
};
$("picture").onclick = () => chart && chartAsPicture(chart, `${state.title}: ${$("score-title").textContent}`,
  (blob) => saveFile(fileName(".png"), blob));
$("pause").onclick = () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").textContent = paused ? "Resume" : "Pause";
  showLink();
  redraw();
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "p") $("pause").click();
  else if (event.key === "t") $("theme").click();
  else if (/^[1-9]$/.test(event.key)) $("actions").children[event.key - 1]?.click();
});
for (const values of document.querySelectorAll(".values")) {
  values.addEventListener("toggle", () => { draw.watch = draw.fan = null; redraw(); });
}
// on a phone the values and the worst pairs come first
$("confusion-all").open = $("about").open = matchMedia("(min-width: 761px)").matches;
const system = matchMedia("(prefers-color-scheme: dark)");
const preferred = () => localStorage.getItem("theme") || (system.matches ? "dark" : "light");
system.addEventListener("change", () => setTheme(preferred()));
furnish();
const first = JSON.parse($("first").textContent);
takeState(first);
last = first.event;
setTheme(preferred());
drawNow(); // before anything is on the screen
connect();
if (first.n_compared) readCompared(redraw);
