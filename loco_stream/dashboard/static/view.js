"use strict";
// The part of the course that is shown, and its export as a file. Choices survive redraws and reloads.

// A point of the course: rows, time in s since 1970, the scores of `state.scores`, the scores of the rivals.
const TIME = 1, FIRST_SCORE = 2;
const view = { span: "all", scale: "whole", zoom: null, ...JSON.parse(localStorage.getItem("view") || "{}") };

function choose(change) {
  Object.assign(view, change);
  localStorage.setItem("view", JSON.stringify({ span: view.span, scale: view.scale }));
}

const hasTimes = (course) => course.length > 0 && course[course.length - 1][TIME] != null;

// First and last row to show; `rows` are those of all lines, the compared ones included.
function spanOf(course, rows) {
  if (view.zoom) return view.zoom;
  if (!rows.length) return [0, 1];
  const first = rows[0], last = Math.max(rows[rows.length - 1], first + 1), end = course[course.length - 1];
  if (view.span === "all" || !end) return [first, last];
  if (!view.span.endsWith("s")) return [Math.max(first, last - Number(view.span)), last];
  if (end[TIME] == null) return [first, last];
  const since = end[TIME] - Number(view.span.slice(0, -1));
  const inside = course.find((point) => point[TIME] >= since);
  return [Math.min(inside[0], last - 1), last];
}

// Lowest and highest score to show for the given values.
function scaleOf(regression, lowest, highest, values) {
  if (!regression && view.scale !== "fit") return [view.scale === "upper" ? 0.5 : 0, 1];
  if (lowest == null || highest == null) return [0, 1];
  if (view.scale === "upper") {
    const sorted = values.filter((value) => value != null).sort((a, b) => a - b);
    highest = sorted[Math.floor(0.9 * sorted.length)] ?? highest;
  }
  const low = regression && view.scale !== "fit" ? 0 : lowest, margin = 0.05 * (highest - low || Math.abs(highest) || 1);
  return [low === 0 ? 0 : low - margin, regression ? highest + margin : Math.min(1, highest + margin)];
}

// The time of a sample, interpolated between points of the course.
function timeAt(course, sample) {
  let low = 0, high = course.length - 1;
  if (high < 0 || sample < course[0][0] || sample > course[high][0]) return null;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (course[middle][0] <= sample) low = middle; else high = middle;
  }
  const [a, b] = [course[low], course[high]];
  if (a[TIME] == null || b[TIME] == null) return null;
  const part = b[0] > a[0] ? (sample - a[0]) / (b[0] - a[0]) : 0;
  return a[TIME] + part * (b[TIME] - a[TIME]);
}

// Hours and minutes; with seconds for a short course, and the date for a long one.
function clock(seconds, course) {
  if (seconds == null) return "";
  const first = course.find((point) => point[TIME] != null); // times before a resume are unknown
  const length = course[course.length - 1][TIME] - first[TIME], date = new Date(1000 * seconds);
  if (length > 2 * 86400) return date.toLocaleDateString("en", { day: "numeric", month: "short", year: "2-digit" });
  return date.toLocaleTimeString("en-GB", length > 7200 ? { hour: "2-digit", minute: "2-digit" } : {});
}

// A moment in a table: today's by the clock, others with their date.
function moment(seconds) {
  const date = new Date(1000 * seconds), isToday = date.toDateString() === new Date().toDateString();
  return isToday ? date.toLocaleTimeString("en-GB") : date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

function fillChoices(select, choices, chosen) {
  const key = JSON.stringify(choices);
  if (select.dataset.key === key) return;
  select.dataset.key = key;
  select.replaceChildren(...choices.map(([value, text]) => new Option(text, value, false, value === chosen)));
}

function saveFile(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A text that begins like a formula is kept from being one.
const quoted = (text) => {
  const plain = /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
};

// `columns` are pairs of a name and an index into a point.
function courseAsCsv(course, columns) {
  const lines = course.map((point) => columns.map(([, index]) => point[index] ?? "").join(","));
  return [columns.map(([name]) => quoted(name)).join(","), ...lines].join("\n") + "\n";
}

// The chart as an image, with title and legend.
function chartAsPicture(plot, title, done) {
  const source = plot.ctx.canvas, ratio = devicePixelRatio, head = 62 * ratio;
  const canvas = document.createElement("canvas"), ctx = canvas.getContext("2d");
  canvas.width = source.width;
  canvas.height = source.height + head;
  ctx.fillStyle = colour("card");
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.drawImage(source, 0, head);
  ctx.font = `600 ${15 * ratio}px system-ui, sans-serif`;
  ctx.fillStyle = colour("ink");
  ctx.fillText(title, 12 * ratio, 24 * ratio);
  ctx.font = `${13 * ratio}px system-ui, sans-serif`;
  let x = 12 * ratio;
  for (const series of plot.series.slice(1)) {
    ctx.strokeStyle = series.stroke();
    ctx.lineWidth = 2.5 * ratio;
    ctx.setLineDash((series.dash || []).map((d) => d * ratio));
    ctx.beginPath();
    ctx.moveTo(x, 44 * ratio);
    ctx.lineTo(x + 26 * ratio, 44 * ratio);
    ctx.stroke();
    ctx.fillText(series.label, x + 32 * ratio, 48 * ratio);
    x += 52 * ratio + ctx.measureText(series.label).width;
  }
  canvas.toBlob(done);
}
