"use strict";
// Title, help and paragraph of each panel; docs/page.md and the page's own guide are made of it. The list is JSON.
const PANELS = [
  {
    "id": "tiles",
    "title": "At a glance",
    "help": "The state of the run in numbers.",
    "more": "The first tiles say how well the model predicts, and how well the simplest rule would: repeating the last label or value, or always predicting the most frequent label. The others say how fast rows are learned, how old the newest row is by its own time, how many numbered rows did not arrive, and how many rows or values could not be used. A tile that does not apply to the run is left out.",
    "see": "metrics.md"
  },
  {
    "id": "score",
    "title": "Accuracy over time",
    "help": "How many rows the model predicts correctly, each before it learns the row's label.",
    "more": "The thick line is the accuracy over the latest rows, the thin one over the whole stream. Dashed lines are what simple rules reach without a model; a useful model stays clearly above them. A triangle marks a change alarm, a short line at the bottom the start of a new task. Numbers below the chart are rows, and times where rows have some. Drag over the chart to zoom, double-click to return. For numbers as labels, the chart shows the mean absolute error in units of the label: lower is better.",
    "see": "concepts.md"
  },
  {
    "id": "changes",
    "title": "Changes noticed",
    "help": "Each alarm about a change of the stream, with its reason and the inputs that moved most.",
    "more": "Three kinds of change are noticed. The inputs changed: recent rows differ from those before, and the named inputs moved most. The errors rose: the same inputs now have other labels, or rows of a new kind came. An input is stuck: it repeats one value for longer than ever before. After a change, the following rows count as a new task, or as an earlier task that is back.",
    "see": "concepts.md"
  },
  {
    "id": "forgetting",
    "title": "What was forgotten",
    "help": "Accuracy on rows of each earlier task that were kept for testing, measured again after every later task.",
    "more": "A column is a task, a line is a moment: the end of that task. Read a column from top to bottom: numbers that stay equal mean that nothing was forgotten. The last line is the loss in percentage points, from the best value of the column to the newest. A few rows of each task are kept out of training for this. With numbers as labels, a row counts as right if its error is not among the largest fifth.",
    "see": "concepts.md"
  },
  {
    "id": "experts",
    "title": "Which experts decide",
    "help": "The model has several experts that learn at different speeds; bars show how much each counts in the prediction.",
    "more": "Each expert predicts on its own. Some remember all rows, some only the latest ones, some use the spikes of the hidden layers and some the inputs alone. The weights follow their recent errors: after a change, experts with a short memory take over, later those with a long one. A hatched bar is a negative weight, which corrects another expert.",
    "see": "concepts.md"
  },
  {
    "id": "spikes",
    "title": "Spikes of the network",
    "help": "One dot per spike: from left to right the latest rows, from top to bottom neurons of the last hidden layer.",
    "more": "A healthy network is sparse: each row lights another pattern of a few neurons. A layer that is always silent, or one that always fires, tells rows apart badly. The bars below are the mean number of spikes per neuron and row in each hidden layer.",
    "see": "concepts.md"
  },
  {
    "id": "classes",
    "title": "Scores by class",
    "help": "How reliable predictions of each class are (precision), and how many of its rows are found (recall).",
    "more": "Precision: of the rows predicted as this class, the share that are. Recall: of the rows of this class, the share that were predicted so. F1 is one number for both. A class in bold red was never predicted correctly. The list of mistakes names the pairs of classes that are confused most. The large table counts all rows by label and prediction; correct ones are on the diagonal.",
    "see": "metrics.md"
  },
  {
    "id": "last",
    "title": "Latest labelled row",
    "help": "The newest row whose label is known, what the model predicted for it, and its inputs.",
    "more": "The prediction was made before the label was learned. Bars show the most probable labels.",
    "see": "probabilities.md"
  },
  {
    "id": "predictions",
    "title": "Latest predictions",
    "help": "Predicted and true values of recent rows; the shaded band should hold 90 % of the true values.",
    "more": "All values are in units of the label. A true value outside of the band was surprising; if more than one in ten is, the band is too narrow at the moment.",
    "see": "probabilities.md"
  },
  {
    "id": "fan",
    "title": "Forecast",
    "help": "The latest values and the forecast of the next ones; the shaded band should hold 90 % of them.",
    "more": "The table has the mean absolute error of each step ahead, beside the error of repeating the last value. A forecast is useful as far ahead as its error is the smaller one.",
    "see": "forecasting.md"
  },
  {
    "id": "targets",
    "title": "Scores by target",
    "help": "The error of each predicted number, in its own units, beside the error of repeating its last value.",
    "more": "R2 is the share of the variation that is predicted: 1 is perfect, 0 is no better than the mean.",
    "see": "metrics.md"
  },
  {
    "id": "unusual",
    "title": "How unusual the stream was",
    "help": "The score of the most unusual rows since the start; an alarm is raised where something new begins.",
    "more": "The thick line is the onset score, which peaks where something begins that was not there before. The thin line is the state score, which stays high while the stream stays in a state that is new. Scores are -log10 of a probability: 2 means that 1 row in 100 is as unusual, 3 means 1 in 1,000. No labels are needed.",
    "see": "watching.md"
  },
  {
    "id": "columns",
    "title": "Inputs and what was expected",
    "help": "The latest 200 rows of each input, with the band in which 99 % of the values were expected.",
    "more": "The band is a forecast made from the rows before. A triangle marks an alarm for which this input is the reason. The strip below shows for each row how familiar the state of the stream is: it stays dark for as long as a fault lasts, up to 300 rows.",
    "see": "watching.md"
  },
  {
    "id": "alarms",
    "title": "Alarms",
    "help": "Each alarm with the input that caused it, the value that came and the values that were expected.",
    "more": "The newest alarm is the first. In the first thousand rows there are more alarms, because most values are new. After that, about one alarm per 1,000 rows is raised by default.",
    "see": "watching.md"
  },
  {
    "id": "blame",
    "title": "Inputs behind unusual rows",
    "help": "Of all unusual rows so far, the share for which each input is the reason.",
    "more": "A row counts as unusual if its onset score is above 2: 1 row in 100 is. An input that is named far more often than others is worth a look: its sensor may be noisy.",
    "see": "watching.md"
  },
  {
    "id": "compared",
    "title": "Compared runs",
    "help": "This run beside those of the pages named by --compare.",
    "more": "The accuracy chart has a line for each run, at its own row numbers. Runs can be compared if they learn the same stream.",
    "see": "page.md"
  },
  {
    "id": "unused",
    "title": "Data not used",
    "help": "Everything that came and could not be used, with the reason.",
    "more": "Nothing is dropped silently: each kind of row or value that was not used has a sentence here and a counter in the report.",
    "see": "unused.md"
  },
  {
    "id": "worst",
    "title": "Fleet: largest error",
    "help": "The ten devices with the largest error over about their last 500 rows.",
    "more": "The error is the share of wrong predictions, or the mean absolute error where labels are numbers. In a fleet of detectors, which needs no labels, the list has the devices with the highest mean state score. A key opens its device.",
    "see": "scale.md"
  },
  {
    "id": "drifted",
    "title": "Fleet: latest changes",
    "help": "The ten devices whose errors or inputs changed last.",
    "more": "Row numbers count the rows of the device. In a fleet of detectors the list has the devices with the latest alarms.",
    "see": "scale.md"
  },
  {
    "id": "device",
    "title": "Fleet: one device",
    "help": "The counts and scores of one device, found by a part of its key.",
    "more": "Scores count the rows of this device alone. The names are those of the report.",
    "see": "metrics.md"
  }
];
