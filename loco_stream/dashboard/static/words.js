"use strict";
// Words for what the engine names by its terms; the term is shown on hover.

const FOUND_BY = {
  energy: ["the rows lie elsewhere than before", "energy distance between two windows of rows"],
  signature: ["its rows and labels look as they did then", "signature of the task"],
  recall: ["an old readout was right again", "a snapshot of the readout speaks"],
  monitor: ["the monitor", ""],
  given: ["the stream says so", ""],
};

function foundBy(detector) {
  return FOUND_BY[detector] || ["its errors changed", detector + ", a test for changes in a stream of errors"];
}

// "leak 0.0001": a member of the readout that forgets a ten-thousandth of what it knows with each row.
function memoryName(name) {
  const fixed = {
    stack: "all together, for probabilities", "least-squares stack": "all together, for least error",
    "linear logistic": "straight lines, keep everything", "naive Bayes": "each class apart, from few rows",
  }[name];
  const leak = /^(linear, )?leak ([\d.e-]+)$/.exec(name);
  if (!leak) return [fixed || name, name];
  const rows = Number(leak[2]) === 0 ? "keeps everything" : "the last " + count(1 / Number(leak[2])) + " rows";
  return [(leak[1] ? "straight lines, " : "") + rows, name + " a row"];
}

// A task that came before is "again"; the columns of the table must not share a name.
function taskNames(tasks) {
  const seen = new Map();
  return tasks.map((task, i) => {
    const name = task.task || "task " + i, times = seen.get(name) || 0;
    seen.set(name, times + 1);
    return times === 0 ? name : times === 1 ? name + ", again" : `${name}, again (${times + 1})`;
  });
}

const SCORE_WORDS = {
  classification: {
    title: "How often it is right",
    note: "Every row is predicted before it is learned. Dashed lines: what repeating the last label, and always naming " +
      "the likeliest one, would score. Triangles mark drift alarms; short lines mark new tasks. Drag to look closer.",
    axis: "accuracy", tile: "accuracy, last window",
    scales: [["whole", "0 to 100 %"], ["upper", "50 to 100 %"], ["fit", "fit to what is shown"]],
  },
  regression: {
    title: "How far it is off",
    note: "Every row is predicted before it is learned. The mean absolute error, in units of the label: lower is better. " +
      "Dashed line: the error of repeating the last value. Triangles mark drift alarms; short lines mark new tasks. " +
      "Drag to look closer.",
    axis: "mean absolute error", tile: "error, last window",
    scales: [["whole", "from 0"], ["upper", "without peaks"], ["fit", "fit to what is shown"]],
  },
};
const SPANS = [["all", "the whole stream"], ["10000", "the last 10,000 rows"], ["1000", "the last 1,000 rows"]];
const TIME_SPANS = [["3600s", "the last hour"], ["600s", "the last 10 minutes"], ["60s", "the last minute"]];
