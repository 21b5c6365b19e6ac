"use strict";
// Pictures: each function draws one part of the state into one element and knows nothing of where it came from.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const percent = (value, digits = 1) => (value == null ? "–" : (100 * value).toFixed(digits));
const count = (value) => (value == null ? "–" : Math.round(value).toLocaleString("en"));

// Drift alarms as triangles at the top with a line down, task boundaries as short lines from the bottom.
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

function makeScoreChart(element, regression, marks) {
  const lines = [
    ["last window", "window", 2, []],
    ["all so far", "overall", 1.5, []],
    ["repeating the last label", "repeat", 1.2, [6, 4]],
    ["the likeliest label", "likely", 1.2, [2, 4]],
  ].slice(0, regression ? 3 : 4);
  const text = (value) => (value == null ? "–" : regression ? value.toPrecision(3) : percent(value) + " %");
  const axis = () => ({ stroke: () => colour("quiet"), grid: { stroke: () => colour("line"), width: 1 },
    ticks: { stroke: () => colour("line") } });
  const options = {
    width: element.clientWidth, height: 300,
    scales: { x: { time: false }, y: regression ? {} : { range: [0, 1] } },
    axes: [
      { ...axis(), label: "samples", values: (plot, values) => values.map(count) },
      { ...axis(), size: 60, label: regression ? "mean absolute error" : "accuracy",
        values: (plot, values) => values.map((v) => (regression ? v : (100 * v).toFixed(0) + " %")) },
    ],
    series: [
      { label: "sample", value: (plot, value) => count(value) },
      ...lines.map(([label, name, width, dash]) => ({
        label, width, dash, stroke: () => colour(name), points: { show: false }, spanGaps: true,
        value: (plot, value) => text(value),
      })),
    ],
    legend: { markers: { dash: (plot, i) => ["", "solid", "solid", "dashed", "dotted"][i] } },
    hooks: { draw: [(plot) => drawMarks(plot, marks())], destroy: [() => watcher.disconnect()] },
  };
  const watcher = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 300 }));
  const plot = new uPlot(options, [[], ...lines.map(() => [])], element);
  watcher.observe(element);
  return plot;
}

// Rows: after task i. Columns: on task j. Dark means accurate; the number says it too.
function drawMatrix(table, matrix, tasks) {
  const row = (cells) => { const tr = document.createElement("tr"); tr.append(...cells); return tr; };
  const cell = (tag, text) => { const td = document.createElement(tag); td.textContent = text; return td; };
  const names = tasks.slice(-matrix.length).map((task, i) => task.task || "task " + i);
  const head = row([cell("th", "after \\ on"), ...names.map((name) => cell("th", name))]);
  const body = matrix.map((values, i) => row([
    cell("th", names[i]),
    ...values.map((value) => {
      const td = cell("td", value == null ? "" : percent(value, 0));
      if (value != null) {
        td.style.background = `rgba(${colour("heat")}, ${(0.08 + 0.92 * Math.max(0, value)).toFixed(2)})`;
        const dark = document.documentElement.dataset.theme === "dark";
        td.style.color = value > (dark ? 0.55 : 0.92) === dark ? "#000" : "#fff";
      }
      return td;
    }),
  ]));
  table.replaceChildren(...(matrix.length ? [head, ...body] : [row([cell("td", "no sample is withheld in this run")])]));
}

// One line a label; one that is never found stands out.
function drawClasses(table, scores) {
  const head = document.createElement("thead"), body = document.createElement("tbody");
  const line = (parent, tag, texts) => {
    const tr = parent.insertRow();
    for (const text of texts) { const cell = document.createElement(tag); cell.textContent = text; tr.append(cell); }
    return tr;
  };
  line(head, "th", ["label", "rows", "found, %", "right, %", "F1, %"]);
  for (const [label, score] of Object.entries(scores)) {
    const never = score.precision == null;
    const tr = line(body, "td", [label, count(score.support), percent(score.recall), never ? "never the answer"
      : percent(score.precision), percent(score.f1)]);
    tr.classList.toggle("missed", score.support > 0 && !score.recall);
  }
  table.replaceChildren(head, body);
}

// Rows by label (lines) and answer (columns), darker the larger the share of the label's rows.
function drawConfusion(table, { labels, matrix }) {
  const cell = (tag, text) => { const td = document.createElement(tag); td.textContent = text; return td; };
  const row = (cells) => { const tr = document.createElement("tr"); tr.append(...cells); return tr; };
  const lines = matrix.map((counts, i) => {
    const rows = Math.max(1, counts.reduce((sum, n) => sum + n, 0));
    return row([cell("th", labels[i]), ...counts.map((n) => {
      const td = cell("td", count(n)), dark = document.documentElement.dataset.theme === "dark";
      td.style.background = `rgba(${colour("heat")}, ${(0.08 + 0.92 * n / rows).toFixed(2)})`;
      td.style.color = n / rows > (dark ? 0.55 : 0.92) === dark ? "#000" : "#fff";
      return td;
    })]);
  });
  table.replaceChildren(row([cell("th", "label \\ answer"), ...labels.map((label) => cell("th", label))]), ...lines);
}

function drawBars(list, entries, text) {
  const most = Math.max(1e-9, ...entries.map(([, value]) => Math.abs(value)));
  while (list.children.length > entries.length) list.lastChild.remove();
  entries.forEach(([name, value], i) => {
    if (!list.children[i]) {
      const box = document.createElement("div");
      box.innerHTML = '<dt></dt><dd class="track"><div class="fill"></div></dd><dd></dd>';
      list.append(box);
    }
    const [dt, track, dd] = list.children[i].children;
    dt.textContent = name;
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
