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

const FONT = "12px system-ui, sans-serif";
const axis = () => ({ stroke: () => colour("quiet"), grid: { stroke: () => colour("faint"), width: 1 }, font: FONT,
  labelFont: FONT, labelSize: 20, labelGap: 0, ticks: { stroke: () => colour("line"), size: 5 } });
const line = (label, name, width, dash, text) => ({ label, width, dash, stroke: () => colour(name), spanGaps: true,
  points: { show: false }, value: (plot, value, series, i) => text(before(plot.data[series], i)) });

// A line of another run has no value at most rows of this one (undefined): the one before counts.
function before(values, i) {
  while (i > 0 && values[i] === undefined) i -= 1;
  return values[i];
}

function makeChart(element, height, options, data) {
  const watcher = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height }));
  const hooks = { ...options.hooks, destroy: [() => watcher.disconnect()] };
  const plot = new uPlot({ width: element.clientWidth, height, ...options, hooks }, data, element);
  watcher.observe(element);
  return plot;
}

// Steps between the numbers of rows: no halves.
const WHOLE = Array.from({ length: 9 }, (_, k) => [1, 2, 5].map((n) => n * 10 ** k)).flat();

const RIVAL_DASHES = [[9, 3], [3, 3], [9, 3, 2, 3]];

// One line per score, styled by its role; baselines alternate between two styles.
function scoreLines(scores, own, text) {
  const baselines = scores.filter((score) => score.role === "baseline");
  return scores.map((score) => {
    const words = lineWords(score);
    if (score.role === "window") return line(own ? `${own}, ${words}` : words, "window", 2.4, [], text);
    if (score.role === "overall") return line(words, "overall", 1.5, [], text);
    const style = baselines.indexOf(score) % 2;
    return line(words, ["repeat", "likely"][style], 1.4, [[6, 4], [2, 4]][style], text);
  });
}

// `info` has regression, own (name of the run), scores and rivals; `course` returns the points, `marks` the drifts and tasks; `zoomed`
// is called with the span of rows that was dragged over.
function makeScoreChart(element, info, course, marks, zoomed) {
  const { regression, own, scores, rivals } = info;
  const text = (value) => (value == null ? "–" : regression ? value.toPrecision(3) : percent(value) + " %");
  const lines = [
    ...scoreLines(scores, rivals.length ? own : "", text),
    ...rivals.map((name, i) => line(name, "rival" + (1 + i % 3), 1.8, RIVAL_DASHES[i % 3], text)),
  ];
  const border = (dash) => (!dash || !dash.length ? "solid" : dash[0] < 3 ? "dotted" : "dashed");
  const inView = (plot) => plot.data[1].filter((_, i) => plot.data[0][i] >= plot.scales.x.min);
  const where = (value) => (hasTimes(course()) ? clock(timeAt(course(), value), course()) : "");
  const below = (value) => count(value) + (hasTimes(course()) ? "\n" + where(value) : "");
  return makeChart(element, 300, {
    cursor: { drag: { setScale: false } },
    scales: {
      x: { time: false, range: (plot) => spanOf(course(), plot.data[0]) },
      y: { range: (plot, low, high) => scaleOf(regression, low, high, inView(plot)) },
    },
    axes: [
      { ...axis(), label: "labelled rows", size: () => (hasTimes(course()) ? 46 : 30), space: 90, incrs: WHOLE,
        values: (plot, values) => values.map(below) },
      { ...axis(), size: regression ? 64 : 50, label: SCORE_WORDS[regression ? "regression" : "classification"].axis,
        values: (plot, values) => values.map((v) => (regression ? Number(v.toPrecision(6)) : percent(v, 0) + " %")) },
    ],
    series: [{ label: "row", value: (plot, value) => (value == null ? "–" : count(value) + (where(value) && ", " + where(value))) },
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
    axes: [{ ...axis(), label: "rows", size: 30, incrs: WHOLE, values: (plot, values) => values.map(count) }, { ...axis(), size: 64 }],
    series: [
      { label: "row", value: (plot, value) => count(value) },
      { ...line("true value (dots)", "overall", 0, [], text), points: { show: true, size: 7, fill: () => colour("overall") } },
      line("prediction", "window", 2, [], text),
      line("90 % band from", "quiet", 0.5, [], text), line("to", "quiet", 0.5, [], text),
    ],
    bands: [{ series: [4, 3], fill: `rgba(${colour("heat")}, 0.15)` }],
  }, [[], [], [], [], []]);
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
