"use strict";
// Drawing: each function draws its arguments into one element.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const percent = (value, digits = 1) => (value == null ? "–" : (100 * value).toFixed(digits));
const count = (value) => (value == null ? "–" : Math.round(value).toLocaleString("en"));
const points = (value) => (100 * value).toFixed(1).replace(/^-0.0$/, "0.0");

// Drifts are triangles at the top with a line down, new tasks are short lines at the bottom.
function drawMarks(plot, marks) {
  const { ctx, bbox } = plot, ratio = devicePixelRatio;
  ctx.save();
  for (const mark of marks) {
    const x = Math.round(plot.valToPos(mark.at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    const drift = mark.kind === "drift", top = bbox.top, bottom = bbox.top + bbox.height;
    ctx.strokeStyle = ctx.fillStyle = colour(drift ? "drift" : "task");
    ctx.lineWidth = (drift ? 1 : 3) * ratio;
    ctx.setLineDash(drift ? [4 * ratio, 3 * ratio] : []);
    ctx.beginPath();
    ctx.moveTo(x, drift ? top : bottom - 14 * ratio);
    ctx.lineTo(x, bottom);
    ctx.stroke();
    if (drift) {
      ctx.beginPath();
      ctx.moveTo(x - 5 * ratio, top);
      ctx.lineTo(x + 5 * ratio, top);
      ctx.lineTo(x, top + 9 * ratio);
      ctx.fill();
    }
  }
  ctx.restore();
}

const axis = () => ({ stroke: () => colour("quiet"), grid: { stroke: () => colour("line"), width: 1 },
  ticks: { stroke: () => colour("line") } });
const line = (label, name, width, dash, text) => ({ label, width, dash, stroke: () => colour(name), spanGaps: true,
  points: { show: false }, value: (plot, value) => text(value) });

function makeChart(element, height, options, data) {
  const watcher = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height }));
  const hooks = { ...options.hooks, destroy: [() => watcher.disconnect()] };
  const plot = new uPlot({ width: element.clientWidth, height, ...options, hooks }, data, element);
  watcher.observe(element);
  return plot;
}

const RIVAL_DASHES = [[9, 3], [3, 3], [9, 3, 2, 3]];

// One line per score, styled by its role; baselines alternate between two styles.
function scoreLines(scores, model, text) {
  const baselines = scores.filter((score) => score.role === "baseline");
  return scores.map((score) => {
    if (score.role === "window") return line(model ? `${model}, ${score.label}` : score.label, "window", 2.2, [], text);
    if (score.role === "overall") return line(score.label, "overall", 1.5, [], text);
    const style = baselines.indexOf(score) % 2;
    return line(score.label, ["repeat", "likely"][style], 1.2, [[6, 4], [2, 4]][style], text);
  });
}

// `info` has regression, model, scores and rivals; `course` returns the points, `marks` the drifts and tasks; `zoomed`
// is called with the span of samples that was dragged over.
function makeScoreChart(element, info, course, marks, zoomed) {
  const { regression, model, scores, rivals } = info;
  const text = (value) => (value == null ? "–" : regression ? value.toPrecision(3) : percent(value) + " %");
  const lines = [
    ...scoreLines(scores, rivals.length ? model : "", text),
    ...rivals.map((name, i) => line(name, "rival" + (1 + i % 3), 1.5, RIVAL_DASHES[i % 3], text)),
  ];
  const border = (dash) => (!dash || !dash.length ? "solid" : dash[0] < 3 ? "dotted" : "dashed");
  const inView = (plot) => plot.data[1].filter((_, i) => plot.data[0][i] >= plot.scales.x.min);
  const where = (value) => (hasTimes(course()) ? clock(timeAt(course(), value), course()) : "");
  return makeChart(element, 320, {
    cursor: { drag: { setScale: false } },
    scales: {
      x: { time: false, range: () => spanOf(course()) },
      y: { range: (plot, low, high) => scaleOf(regression, low, high, inView(plot)) },
    },
    axes: [
      { ...axis(), label: "samples", size: 56, space: 80,
        values: (plot, values) => values.map((value) => count(value) + "\n" + where(value)) },
      { ...axis(), size: 64, label: SCORE_WORDS[regression ? "regression" : "classification"].axis,
        values: (plot, values) => values.map((v) => (regression ? Number(v.toPrecision(6)) : percent(v, 0) + " %")) },
    ],
    series: [{ label: "sample", value: (plot, value) => count(value) + (value != null && where(value) && ", " + where(value)) },
      ...lines],
    legend: { markers: { dash: (plot, i) => border(plot.series[i].dash) } },
    hooks: {
      draw: [(plot) => drawMarks(plot, marks())],
      setSelect: [(plot) => {
        const { left, width } = plot.select;
        if (width > 4) zoomed([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
        plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      }],
    },
  }, [[], ...lines.map(() => [])]);
}

// Label, prediction and interval of the latest rows of a regression.
function makePredictionChart(element) {
  const text = (value) => (value == null ? "–" : value.toPrecision(4));
  return makeChart(element, 220, {
    scales: { x: { time: false } },
    axes: [{ ...axis(), label: "samples", values: (plot, values) => values.map(count) }, { ...axis(), size: 64 }],
    series: [
      { label: "sample", value: (plot, value) => count(value) },
      line("label", "overall", 1.5, [4, 3], text), line("prediction", "window", 2, [], text),
      line("interval, lower bound", "quiet", 0.5, [], text), line("upper bound", "quiet", 0.5, [], text),
    ],
    bands: [{ series: [4, 3], fill: `rgba(${colour("heat")}, 0.15)` }],
  }, [[], [], [], [], []]);
}

const tableRow = (cells) => { const tr = document.createElement("tr"); tr.append(...cells); return tr; };
const tableCell = (text) => { const td = document.createElement("td"); td.textContent = text; return td; };
const tableHead = (text, scope) => {
  const th = document.createElement("th");
  th.textContent = text;
  th.scope = scope;
  return th;
};

// A cell of a heat map, with its number.
function heat(text, share) {
  const td = tableCell(text), dark = document.documentElement.dataset.theme === "dark";
  td.style.background = `rgba(${colour("heat")}, ${(0.08 + 0.92 * Math.max(0, share)).toFixed(2)})`;
  td.style.color = share > (dark ? 0.55 : 0.92) === dark ? "#000" : "#fff";
  return td;
}

// Forgetting of one task in points: best accuracy before minus accuracy now. Their mean is the forgetting.
function forgettingOf(matrix, j) {
  const values = matrix.slice(j).map((row) => row[j]);
  if (values.length < 2 || values.includes(null)) return "";
  const fall = 100 * (Math.max(...values.slice(0, -1)) - values[values.length - 1]);
  return fall.toFixed(1).replace("-0.0", "0.0");
}

// Rows: after learning task i. Columns: hold-out of task j. Darker is more accurate.
function drawMatrix(table, matrix, tasks) {
  if (!matrix.length) { table.replaceChildren(tableRow([tableCell("this run withholds no rows")])); return; }
  const names = taskNames(tasks).slice(-matrix.length), last = matrix[matrix.length - 1];
  const used = last[matrix.length - 1] == null ? matrix.slice(0, -1) : matrix; // the last task has no hold-out yet
  const head = [tableHead("after task \\ on task", "col"), ...names.map((name) => tableHead(name, "col"))];
  const body = matrix.map((values, i) => tableRow([tableHead(names[i], "row"),
    ...values.map((value) => (value == null ? tableCell("") : heat(percent(value, 0), value)))]));
  const foot = tableRow([tableHead("forgetting, points", "row"), ...names.map((_, j) => tableCell(forgettingOf(used, j)))]);
  foot.className = "foot";
  table.replaceChildren(tableRow(head), ...body, ...(used.length > 1 ? [foot] : []));
}

// One line per class; a class with recall 0 is highlighted.
function drawClasses(table, scores) {
  const names = ["class", "rows", "precision, %", "recall, %", "F1, %"].map((name) => tableHead(name, "col"));
  const lines = Object.entries(scores).map(([label, score]) => {
    const precision = score.precision == null ? "never predicted" : percent(score.precision);
    const cells = [count(score.support), precision, percent(score.recall), percent(score.f1)].map(tableCell);
    const tr = tableRow([tableHead(label, "row"), ...cells]);
    tr.classList.toggle("missed", score.support > 0 && !score.recall);
    return tr;
  });
  table.replaceChildren(tableRow(names), ...lines);
}

function drawTargets(table, scores) {
  const heads = ["target", "mean absolute error", "last window", "repeating", "R2", "90 % interval holds, %"];
  const number = (value) => (value == null ? "–" : value.toPrecision(4));
  const lines = Object.entries(scores).map(([name, own]) => tableRow([tableHead(name, "row"),
    ...[own.mae, own.window_mae, own.no_change_mae, own.r2].map((value) => tableCell(number(value))),
    tableCell(own.interval_coverage == null ? "–" : percent(own.interval_coverage))]));
  table.replaceChildren(tableRow(heads.map((name) => tableHead(name, "col"))), ...lines);
}

// Rows by label (lines) and prediction (columns); darker is a larger share of the label's rows.
function drawConfusion(table, { labels, matrix }) {
  const lines = matrix.map((counts, i) => {
    const rows = Math.max(1, counts.reduce((sum, n) => sum + n, 0));
    return tableRow([tableHead(labels[i], "row"), ...counts.map((n) => heat(count(n), n / rows))]);
  });
  const head = [tableHead("label \\ prediction", "col"), ...labels.map((label) => tableHead(label, "col"))];
  table.replaceChildren(tableRow(head), ...lines);
}

function drawFeatures(table, pairs, more) {
  const lines = pairs.map(([name, value]) => tableRow([tableHead(name, "row"), tableCell(value)]));
  table.replaceChildren(...lines, ...(more ? [tableRow([tableHead(`and ${count(more)} more`, "row"), tableCell("")])] : []));
}

// Pairs of a name and a text.
function drawFacts(list, facts) {
  list.replaceChildren(...facts.map(([name, text]) => {
    const box = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = text;
    box.append(dt, dd);
    return box;
  }));
}

// Entries are a name, a value, and a text to show on hover.
function drawBars(list, entries, text, whole = 1e-9) {
  const most = Math.max(whole, ...entries.map(([, value]) => Math.abs(value)));
  while (list.children.length > entries.length) list.lastChild.remove();
  entries.forEach(([name, value, hover], i) => {
    if (!list.children[i]) {
      const box = document.createElement("div");
      box.innerHTML = '<dt></dt><dd class="track"><div class="fill"></div></dd><dd></dd>';
      list.append(box);
    }
    const [dt, track, dd] = list.children[i].children;
    dt.textContent = name;
    dt.title = hover || "";
    track.firstChild.style.width = (100 * Math.abs(value) / most).toFixed(1) + "%";
    track.firstChild.classList.toggle("negative", value < 0);
    dd.textContent = text(value);
  });
}

function drawRaster(canvas, samples) {
  const ratio = devicePixelRatio, width = canvas.clientWidth * ratio, height = canvas.clientHeight * ratio;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const ctx = canvas.getContext("2d"), each = width / samples.length;
  ctx.clearRect(0, 0, width, height);
  samples.forEach((sample, k) => {
    ctx.fillStyle = colour("line");
    ctx.fillRect(Math.round(k * each), 0, ratio, height);
    ctx.fillStyle = colour(k % 2 ? "overall" : "window");
    const step = height / sample.rows, dot = Math.max(1.5 * ratio, Math.min(step * 0.8, 4 * ratio));
    sample.t.forEach((t, s) => ctx.fillRect((k + t / (sample.window * 1.05)) * each + ratio, sample.i[s] * step, dot, dot));
  });
}
