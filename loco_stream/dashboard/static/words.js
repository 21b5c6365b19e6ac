"use strict";
// Texts of the page: plain words for names that the engine uses.

const REASONS = {
  energy: "recent rows differ from those before",
  signature: "rows look like those of an earlier task",
  recall: "an earlier state of the model predicts better",
  stuck: "it repeats one value for longer than ever before",
  given: "the stream says so",
};
const CHANGES = { concept: "errors rose", input: "inputs changed", boundary: "a new task begins" };

// What a change alarm says: [what changed, how it was noticed].
function changeWords(drift) {
  const names = (drift.features || []).join(", ");
  if (drift.detector === "stuck") return [names + " is stuck", REASONS.stuck];
  const what = CHANGES[drift.kind] || drift.kind;
  const how = REASONS[drift.detector] || (drift.kind === "concept" ? "the model is wrong more often than before" : "");
  return [names ? `${what}: ${names}` : what, how];
}

// A member of the ensemble; what follows its name says how far back it remembers.
function memberWords(name) {
  const fixed = {
    stack: "combination of all (by log-loss)", "least-squares stack": "combination of all (by squared error)",
    "linear logistic": "logistic regression", "naive Bayes": "naive Bayes",
  }[name];
  const leak = /^(linear, )?leak ([\d.e-]+)$/.exec(name);
  if (!leak) return fixed || name;
  const rows = Number(leak[2]) === 0 ? "all rows" : "last " + count(1 / Number(leak[2])) + " rows";
  return (leak[1] ? "least squares on inputs, " : "least squares on spikes, ") + rows;
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

// Short names of the lines; a score without one keeps the name of the report.
const LINE_WORDS = {
  window_accuracy: "recent rows", accuracy: "whole stream", no_change_accuracy: "repeating the last label",
  majority_accuracy: "most frequent label", window_mae: "recent rows", mae: "whole stream",
  no_change_mae: "repeating the last value",
};
const lineWords = (score) => LINE_WORDS[score.name] || score.label;

const SCORE_WORDS = {
  classification: {
    title: "Accuracy over time", tile: "Accuracy, recent", axis: "accuracy",
    note: "Each row is predicted before it is learned. Dashed, dotted: simple rules without a model.",
    scales: [["whole", "0 to 100 %"], ["upper", "50 to 100 %"], ["fit", "fit to data"]],
  },
  regression: {
    title: "Error over time", tile: "Error, recent", axis: "mean absolute error",
    note: "Each row is predicted before it is learned. The mean absolute error is in units of the label; lower is better. " +
      "Dashed: the error of repeating the last value.",
    scales: [["whole", "from 0"], ["upper", "without peaks"], ["fit", "fit to data"]],
  },
};
SCORE_WORDS["multi-target regression"] = {
  ...SCORE_WORDS.regression,
  note: "Each row is predicted before it is learned. The error is the mean over the targets, each in its own units; lower " +
    "is better. Dashed: the error of repeating the last value.",
};
SCORE_WORDS.forecasting = { ...SCORE_WORDS.regression, title: "Error of the next value over time" };
const SPANS = [["all", "whole stream"], ["10000", "last 10,000 rows"], ["1000", "last 1,000 rows"]];
const TIME_SPANS = [["3600s", "last hour"], ["600s", "last 10 minutes"], ["60s", "last minute"]];

const EMPTY = {
  start: "Waiting for the first row. The first run of a version compiles for about 30 s; the charts appear after that.",
  score: "Waiting for the first labelled row: the line begins with it.",
  changes: "None so far. A line appears here when the errors rise or the inputs change.",
  watching: "None so far. A line appears here when the inputs change.",
  matrix: "Rows are being kept for testing. The table begins when the first of them have been predicted again.",
  spikes: "Spikes appear with the first row.",
};
