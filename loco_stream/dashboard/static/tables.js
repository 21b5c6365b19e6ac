"use strict";
// Tables: each function fills the table that it is given.

const tableRow = (cells) => { const tr = document.createElement("tr"); tr.append(...cells); return tr; };
const tableCell = (text) => { const td = document.createElement("td"); td.textContent = text; return td; };
const numberCell = (text) => { const td = tableCell(text); td.className = "num"; return td; };
// A row number, after its mark if it has one and above its time if that is known.
function rowCell(at, t, mark) {
  const td = document.createElement("td"), number = document.createElement("span");
  number.textContent = count(at);
  if (mark) number.className = "key " + mark;
  td.append(number);
  if (t != null) td.append(Object.assign(document.createElement("div"), { className: "quiet", textContent: moment(t) }));
  return td;
}

// A text, above a quiet one if there is one.
function cellAbove(text, below) {
  const td = tableCell(text);
  if (below) td.append(Object.assign(document.createElement("div"), { className: "quiet", textContent: below }));
  return td;
}

const tableHead = (text, scope) => {
  const th = document.createElement("th");
  th.textContent = text;
  th.scope = scope;
  return th;
};
const short = (value, digits = 4) => (value == null ? "–" : Number(value.toPrecision(digits)).toLocaleString("en", { maximumSignificantDigits: digits }));

// A row of column heads, of which all but the first `texts` belong to numbers.
function heads(names, texts = 1) {
  const tr = tableRow(names.map((name) => tableHead(name, "col")));
  [...tr.children].slice(texts).forEach((th) => { th.className = "num"; });
  tr.className = "heads";
  return tr;
}

// The values of a chart: the first column names the line, others are numbers.
function drawValues(table, names, lines) {
  table.replaceChildren(heads(names), ...lines.map(([first, ...values]) => tableRow([tableHead(first, "row"), ...values.map(numberCell)])));
}

// Fills the table below a chart, if it is open; `lines` returns its lines.
function showValues(id, names, lines) {
  const box = document.getElementById(id);
  if (box.open) drawValues(box.querySelector("table"), names, lines());
}

// At most `most` entries of a list, evenly spaced, with the last one.
function thinned(list, most = 25) {
  const step = Math.ceil(list.length / most);
  return list.filter((_, i) => (list.length - 1 - i) % step === 0);
}

// The neurons with a spike in one row, counted from the top of the picture.
const neuronsOf = (sample) => [...new Set(sample.i)].sort((a, b) => a - b).map((i) => i + 1).join(" ") || "none";

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
  const names = taskNames(tasks).slice(-matrix.length), last = matrix[matrix.length - 1];
  const used = last[matrix.length - 1] == null ? matrix.slice(0, -1) : matrix; // the last task has no hold-out yet
  const head = [tableHead("after", "col"), ...names.map((name) => tableHead(name, "col"))];
  const body = matrix.map((values, i) => tableRow([tableHead(names[i], "row"),
    ...values.map((value) => (value == null ? tableCell("") : heat(percent(value, 0), value)))]));
  const foot = tableRow([tableHead("lost, in points", "row"), ...names.map((_, j) => tableCell(forgettingOf(used, j)))]);
  foot.className = "foot";
  table.replaceChildren(tableRow(head), ...body, ...(used.length > 1 ? [foot] : []));
}

// One line per class; a class with recall 0 is highlighted.
function drawClasses(table, scores) {
  const lines = Object.entries(scores).map(([label, score]) => {
    const precision = score.precision == null ? "never predicted" : percent(score.precision);
    const cells = [count(score.support), precision, percent(score.recall), percent(score.f1)].map(numberCell);
    const tr = tableRow([tableHead(label, "row"), ...cells]);
    tr.classList.toggle("missed", score.support > 0 && !score.recall);
    return tr;
  });
  table.replaceChildren(heads(["class", "rows", "precision, %", "recall, %", "F1, %"]), ...lines);
}

function drawTargets(table, scores) {
  drawValues(table, ["target", "mean absolute error", "recent rows", "repeating the last value", "R2", "labels inside the interval, %"],
    Object.entries(scores).map(([name, own]) => [name, ...[own.mae, own.window_mae, own.no_change_mae, own.r2].map((value) => short(value)),
      percent(own.interval_coverage)]));
}

// The pairs of classes that are confused most: [label, prediction, rows, share of the label's rows].
function worstPairs({ labels, matrix }, most = 6) {
  const pairs = matrix.flatMap((counts, i) => {
    const rows = Math.max(1, counts.reduce((sum, n) => sum + n, 0));
    return counts.map((n, j) => [labels[i], labels[j], n, n / rows]).filter(([, , n], j) => n > 0 && j !== i);
  });
  return pairs.sort((a, b) => b[2] - a[2]).slice(0, most);
}

function drawMistakes(table, confusion) {
  const lines = worstPairs(confusion).map(([label, prediction, n, share]) => tableRow([
    tableHead(label, "row"), tableCell(prediction), numberCell(count(n)), numberCell(percent(share))]));
  const head = tableRow(["label", "predicted as", "rows", "% of label"].map((text) => tableHead(text, "col")));
  [...head.children].slice(2).forEach((th) => { th.className = "num"; });
  head.className = "heads";
  table.replaceChildren(head, ...(lines.length ? lines : [tableRow([tableHead("none so far", "row")])]));
}

// Rows by label (lines) and prediction (columns); darker is a larger share of the label's rows.
function drawConfusion(table, { labels, matrix }) {
  const lines = matrix.map((counts, i) => {
    const rows = Math.max(1, counts.reduce((sum, n) => sum + n, 0));
    return tableRow([tableHead(labels[i], "row"), ...counts.map((n) => heat(count(n), n / rows))]);
  });
  const groups = tableHead("predicted as", "colgroup");
  groups.colSpan = Math.max(1, labels.length);
  const head = [tableHead("label", "col"), ...labels.map((label) => tableHead(label, "col"))];
  table.replaceChildren(tableRow([tableCell(""), groups]), tableRow(head), ...lines);
}

function drawFeatures(table, pairs, more) {
  const lines = pairs.map(([name, value]) => tableRow([tableHead(name, "row"), numberCell(value)]));
  const rest = more ? [tableRow([tableHead(`and ${count(more)} more`, "row"), tableCell("")])] : [];
  table.replaceChildren(heads(["input", "value"]), ...lines, ...rest);
}
