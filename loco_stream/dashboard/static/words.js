"use strict";
// Texts of the page: labels for names that the engine uses. The name itself is shown on hover.

const DETECTOR_WORDS = {
  energy: ["input distribution changed", "energy distance between two windows of rows"],
  signature: ["same signature as an earlier task", "class means of the inputs"],
  recall: ["an earlier snapshot predicts better", "a snapshot of the readout took over"],
  monitor: ["task monitor", ""],
  given: ["given by the stream", ""],
};

function detectorWords(detector) {
  return DETECTOR_WORDS[detector] || ["error rate rose", detector + ", a test on the stream of errors"];
}

// For example "leak 0.0001": least squares that forget a ten-thousandth with each row.
function memberWords(name) {
  const fixed = {
    stack: "ensemble, by log-loss", "least-squares stack": "ensemble, by squared error",
    "linear logistic": "logistic regression", "naive Bayes": "naive Bayes",
  }[name];
  const leak = /^(linear, )?leak ([\d.e-]+)$/.exec(name);
  if (!leak) return [fixed || name, name];
  const rows = Number(leak[2]) === 0 ? "all rows" : "last " + count(1 / Number(leak[2])) + " rows";
  return [(leak[1] ? "least squares without hidden layers, " : "least squares, ") + rows, name + " per row"];
}

// Names of tasks for the table; a task that returns gets a name of its own.
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
    title: "Accuracy",
    note: "Every row is predicted before it is learned. Dashed lines are baselines: repeating the last label, and always " +
      "predicting the most frequent label. Triangles mark drifts, short lines mark new tasks. Drag to zoom.",
    axis: "accuracy",
    scales: [["whole", "0 to 100 %"], ["upper", "50 to 100 %"], ["fit", "fit to data"]],
  },
  regression: {
    title: "Mean absolute error",
    note: "Every row is predicted before it is learned. The error is in units of the label; lower is better. The dashed " +
      "line is a baseline: repeating the last value. Triangles mark drifts, short lines mark new tasks. Drag to zoom.",
    axis: "mean absolute error",
    scales: [["whole", "from 0"], ["upper", "without peaks"], ["fit", "fit to data"]],
  },
};
SCORE_WORDS["multi-target regression"] = {
  ...SCORE_WORDS.regression,
  note: "Every row is predicted before it is learned. The error is the mean over the targets, each in its own units. The " +
    "dashed line is a baseline: repeating the last value. Triangles mark drifts, short lines mark new tasks. Drag to zoom.",
};
SCORE_WORDS.forecasting = {
  ...SCORE_WORDS.regression,
  title: "Mean absolute error of the next value",
};
const SPANS = [["all", "whole stream"], ["10000", "last 10,000 rows"], ["1000", "last 1,000 rows"]];
const TIME_SPANS = [["3600s", "last hour"], ["600s", "last 10 minutes"], ["60s", "last minute"]];
