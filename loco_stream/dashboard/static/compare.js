"use strict";
// Other runs beside this one. The server of this page reads them; the browser reaches this server alone.

const COMPARE_SECONDS = 2, ANSWER_SECONDS = 20;
let compared = []; // states of the other runs, or an error each

const runName = (run) => `${run.title || "run"} at ${new URL(run.url).host}`;
const modelOf = (run) => run.model + (run.settings ? `(${run.settings})` : ""); // what tells two runs apart
const isComparable = (run, own) => !run.error && run.task === own.task && run.course.length > 0 && hasScore(run, "window");
const hasScore = (run, role) => run.scores.some((score) => score.role === role);

// A score at a point of a run; null if the run has none of that role, as a stream without labels.
function scoreAt(run, point, role) {
  const index = run.scores.findIndex((score) => score.role === role);
  return index < 0 ? null : point[FIRST_SCORE + index];
}

// Lines of the other runs for the score chart: name, rows, and scores over recent rows.
function comparedLines(own) {
  return compared.filter((run) => isComparable(run, own)).map((run) => ({
    name: runName(run), rows: run.course.map((point) => point[0]), values: run.course.map((point) => scoreAt(run, point, "window")),
  }));
}

// The newest row that all compared runs have reached.
function commonRow(own) {
  const ends = [own, ...compared].filter((run) => !run.error && run.course.length).map((run) => run.course[run.course.length - 1][0]);
  return ends.length ? Math.min(...ends) : 0;
}

function comparedRow(run, own, name, at) {
  if (run.error) return [name, "does not answer: " + run.error, "", "", "", "", ""];
  const regression = isNumeric(run.task), end = run.course[run.course.length - 1];
  const value = (role, row) => {
    const point = run.course.findLast((point) => point[0] <= row);
    const score = point ? scoreAt(run, point, role) : null;
    return score == null ? "–" : regression ? short(score, 3) : percent(score) + " %";
  };
  const words = run.task !== own.task ? "another kind of task" : run.ended ? "ended" : "live";
  return [name, words, count(end ? end[0] : 0), value("window", at), value("overall", at),
    run.tasks ? count(run.tasks.drifts.length) : "–", count(run.rate)];
}

function showCompared(own) {
  const box = document.getElementById("compare-box"), score = isNumeric(own.task) ? "error" : "accuracy", at = commonRow(own);
  box.hidden = !own.n_compared;
  if (box.hidden) return;
  const lines = [comparedRow(own, own, `this run: ${own.title}, ${modelOf(own)}`, at),
    ...compared.map((run) => comparedRow(run, own, run.error ? run.url : `${runName(run)}, ${modelOf(run)}`, at))];
  drawValues(document.getElementById("compared"), ["run", "state", "rows", `${score}, recent rows, at row ${count(at)}`,
    `${score} up to row ${count(at)}`, "change alarms", "rows per second"], lines);
}

async function readCompared(done) {
  try {
    const answer = await fetch("compared", { signal: AbortSignal.timeout(1000 * ANSWER_SECONDS) });
    if (answer.ok) compared = await answer.json();
  } catch { /* the next attempt may reach the server */ }
  done();
  setTimeout(readCompared, 1000 * COMPARE_SECONDS, done);
}
