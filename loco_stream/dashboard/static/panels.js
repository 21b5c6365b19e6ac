"use strict";
// Title, help and paragraph of each panel; docs/page.md and the page's own guide are made of it. The list is JSON.
const PANELS = [
  {
    "id": "tiles",
    "title": "At a glance",
    "help": "The state of the run in numbers.",
    "more": "Accuracy and error are those of the latest 500 rows, or as many as `score_window` says. Without a model: what the best simple rule reaches, which is to repeat the last label or value, or always to predict the most frequent label. Change alarms: how often the inputs or the errors changed for good. Delay until learned: from the arrival of a row until the model has learned it, in the last minute; half of the rows took less. Age on arrival: how old the newest row was when it came, by its own time. Rows lost: numbers that are missing in the sequence of the sender. Rows not used: rows that could not be read or were refused. Values missing: inputs that had no usable value. A tile that does not apply to the run is left out.",
    "see": "metrics.md"
  },
  {
    "id": "score",
    "title": "Accuracy over time",
    "help": "How many rows the model predicts correctly, each before it learns the row's label.",
    "more": "The thick line is the accuracy over the latest rows (500 by default), the thin one over the whole stream. Dashed and dotted lines are what simple rules reach without a model; a useful model stays clearly above them. A triangle marks a change alarm, a short line at the bottom the start of a new task. Numbers below the chart are rows, and times where rows have some. Drag over the chart to zoom, double-click to return. For numbers as labels, the chart shows the mean absolute error in units of the label: lower is better.",
    "see": "concepts.md"
  },
  {
    "id": "changes",
    "title": "Changes noticed",
    "help": "Each alarm about a lasting change of the stream, with its reason and the inputs that moved most.",
    "more": "Three kinds of change are noticed. The inputs changed: recent rows differ from those before, and the named inputs moved most. The errors rose: the same inputs now have other labels, or rows of a new kind came. An input is stuck: it repeats one value for longer than ever before. A task is a part of the stream, from one change to the next. Its first row can be a little before its alarm, which needs some rows to be sure. A task that is like an earlier one counts as that one again.",
    "see": "concepts.md"
  },
  {
    "id": "forgetting",
    "title": "What was forgotten",
    "help": "Accuracy on rows of each earlier task that were kept for testing, measured again after every later task.",
    "more": "A task is a part of the stream, from one change to the next. Each column is a task; each line was measured at the end of a task. Read a column from top to bottom: if the numbers stay equal, nothing was forgotten. The last line is the loss in percentage points, from the best value of the column to the newest. Forgotten on average is the mean of these losses without the newest task, with its standard error: a loss below two standard errors can be chance. A few rows of each task are kept out of training for this. With numbers as labels, a row counts as right if its error is not among the largest fifth.",
    "see": "concepts.md"
  },
  {
    "id": "experts",
    "title": "Which experts decide",
    "help": "The model has several experts that learn at different speeds; bars show how much each counts in the prediction.",
    "more": "Each expert predicts on its own. Some remember all rows, some only the latest ones. Some use the spikes of the hidden layers, some the inputs alone. Two others combine all of them, fitted to the log-loss or to the squared error; if such a combination has all the weight, no single expert decides. The weights follow their recent errors: after a change, experts with a short memory take over, later those with a long one. A hatched bar is a negative weight, which corrects another expert.",
    "see": "concepts.md"
  },
  {
    "id": "spikes",
    "title": "Spikes of the network",
    "help": "One dot per spike: from left to right the latest rows, from top to bottom neurons of the last hidden layer.",
    "more": "A healthy network is sparse: each row activates a different small set of neurons. A layer that is always silent, or always fires, distinguishes rows poorly. The bars below are the spikes of the latest row, divided by the neurons of each hidden layer. The network sees each row for some milliseconds of simulated time, so a dot further right in its column is a later spike.",
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
    "more": "The table has the mean absolute error of each step ahead, beside the error of repeating the last value. A forecast is useful for the steps at which its error is the smaller one.",
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
    "more": "The onset score (thick line) peaks where something begins that was not there before. The state score (thin line) stays high while the stream stays in a new state. Scores are means of -log10 of probabilities: while nothing changes, fewer than 1 row in 100 has an onset score of 2 or more. No labels are needed.",
    "see": "watching.md"
  },
  {
    "id": "columns",
    "title": "Inputs and what was expected",
    "help": "The latest 200 rows of each input, with the band in which 99 % of the values were expected.",
    "more": "Of more than 12 inputs, those of the latest alarms have charts, then those that were unusual most often. The band is a forecast made from the rows before. A triangle marks an alarm for which this input is the reason. Numbers below the charts are rows, or times where rows have some. The strip below shows for each row how familiar the state of the stream is: it stays dark for as long as a fault lasts, up to 300 rows.",
    "see": "watching.md"
  },
  {
    "id": "alarms",
    "title": "Alarms",
    "help": "Each alarm with its time, the input that caused it, its value, what was expected, and its score.",
    "more": "An alarm marks the row where something unusual begins. The newest is the first. \"New course\" means that the value is within the expected band, but its course is not: it is stuck, or comes out of sequence. A change of the inputs that lasts is listed under \"Changes noticed\". In the first thousand rows there are more alarms, because most values are new. After that, about one alarm per 1,000 rows is raised by default.",
    "see": "watching.md"
  },
  {
    "id": "blame",
    "title": "Inputs behind unusual rows",
    "help": "Of all unusual rows so far, the share for which each input is the reason.",
    "more": "A row counts as unusual if its onset score is above 2. While nothing changes, fewer than 1 row in 100 is. An input that is named far more often than others is worth a look: its sensor may be noisy.",
    "see": "watching.md"
  },
  {
    "id": "compared",
    "title": "Compared runs",
    "help": "This run beside those of the pages named by --compare.",
    "more": "The accuracy chart has a line for each run, at its own row numbers. Brackets after a model list its settings that differ from the defaults. Scores are compared at the newest row that all runs have reached. Runs can be compared if they learn the same stream.",
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
    "more": "The error is the share of wrong predictions in %, or the mean absolute error where labels are numbers. In a fleet of detectors, which needs no labels, the list has the devices with the highest mean state score. A key opens its device.",
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
    "more": "Scores count the rows of this device alone, recent rows being the latest 500. What was not measured is left out; the whole report is below.",
    "see": "metrics.md"
  }
];
