"""One table of what a run measures: report, terminal, Prometheus, page and docs/metrics.md read it.

A new metric is its computation and one line here; ``python -m loco_stream.metrics.keys >
docs/metrics.md`` writes the page anew.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KEYS", "Key", "keys_of", "markdown", "scores_of"]

_ACCURACY = "{:.4f}"
_DIGITS = "{:.5g}"


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of the report.

    Parameters
    ----------
    name
        Under which the report has it.
    what
        What it is, in a few words.
    unit
        Of the value; "" for what has none.
    prometheus
        Name of the metric without ``loco_``; "" for what is no number.
    kind
        "gauge", "counter", "flag" (1 while there is a text), "parts" (a counter for each entry),
        "shares" (a gauge for each entry), "classes" (a gauge for each score of each label),
        "histogram", "list" or "value".
    task
        The task that has it; "" for both.
    label, form
        Name and format of the row in the terminal's table; "" leaves it out.
    page
        Its place among the scores of the page, from 1; 0 leaves it out.
    momentary
        It is of the running engine's status and not of the report at the end.
    """

    name: str
    what: str
    unit: str = ""
    prometheus: str = ""
    kind: str = "gauge"
    task: str = ""
    label: str = ""
    form: str = "{:,}"
    page: int = 0
    momentary: bool = False


_HIT = "classification"
_FIT = "regression"

# fmt: off
KEYS = (
    Key("n_samples", "labelled rows predicted, scored, and learned or held out", "rows", "rows_learned", "counter"),
    Key("accuracy", "share of right answers", "fraction", "accuracy", task=_HIT, label="accuracy", form=_ACCURACY,
        page=2),
    Key("kappa", "agreement beyond chance", "fraction", "kappa", task=_HIT, label="kappa", form=_ACCURACY),
    Key("kappa_m", "share of the way from the most frequent label to no error", "fraction", "kappa_m", task=_HIT,
        label="kappa against the most frequent label", form=_ACCURACY),
    Key("kappa_t", "share of the way from repeating the last label to no error", "fraction", "kappa_t", task=_HIT,
        label="kappa against the last label", form=_ACCURACY),
    Key("no_change_accuracy", "accuracy of repeating the last label", "fraction", "no_change_accuracy", task=_HIT,
        label="accuracy of repeating the last label", form=_ACCURACY, page=3),
    Key("majority_accuracy", "accuracy of the most frequent label so far", "fraction", "majority_accuracy", task=_HIT,
        label="accuracy of the most frequent label", form=_ACCURACY, page=4),
    Key("window_accuracy", "accuracy in the last window", "fraction", "window_accuracy", task=_HIT,
        label="accuracy in the last window", form=_ACCURACY, page=1),
    Key("fading_accuracy", "accuracy, older rows fading by 0.1 % a row", "fraction", "fading_accuracy", task=_HIT),
    Key("log_loss", "mean log-loss of the label's probability, charged as 1e-6 at least", "nats", "log_loss", task=_HIT,
        label="log-loss", form=_ACCURACY),
    Key("per_class", "precision, recall, F1 and rows of each of the first 100 labels", "fraction, rows", "class",
        "classes", task=_HIT),
    Key("confusion", "the first 30 labels, and rows by label (lines) and answer (columns)", "rows", kind="value",
        task=_HIT),
    Key("mae", "mean absolute error", "units of the label", "mean_absolute_error", task=_FIT,
        label="mean absolute error", form=_DIGITS, page=2),
    Key("rmse", "root mean squared error", "units of the label", "root_mean_squared_error", task=_FIT,
        label="root mean squared error", form=_DIGITS),
    Key("r2", "share of the labels' variance explained", "fraction", "r2", task=_FIT, label="R2", form=_ACCURACY),
    Key("no_change_mae", "mean absolute error of repeating the last value", "units of the label",
        "no_change_mean_absolute_error", task=_FIT, label="error of repeating the last value", form=_DIGITS, page=3),
    Key("window_mae", "mean absolute error in the last window", "units of the label", "window_mean_absolute_error",
        task=_FIT, label="mean absolute error in the last window", form=_DIGITS, page=1),
    Key("fading_mae", "mean absolute error, older rows fading by 0.1 % a row", "units of the label",
        "fading_mean_absolute_error", task=_FIT),
    Key("interval_coverage", "share of labels inside the 90 % prediction interval", "fraction", "interval_coverage",
        task=_FIT, label="inside the 90 % interval", form=_ACCURACY),
    Key("samples_per_second", "rows over the time since the first one, waiting left out", "rows/s", "rows_per_second",
        label="samples a second", form="{:,.0f}"),
    Key("latency_us", "p50 and p99 from a row's arrival to predicted, scored and learned", "us", "latency_seconds",
        "histogram"),
    Key("latency_minute_us", "p50 and p99 of the last minute", "us", "latency_last_minute_us", "shares"),
    Key("drifts", "the last 1,000 alarms: at, since, kind, detector, task", kind="list"),
    Key("tasks", "the segments of the stream and the tasks they belong to", kind="list"),
    Key("accuracy_matrix", "accuracy on segment j's hold-out at the end of segment i", "fraction", kind="list"),
    Key("average_accuracy", "mean accuracy over tasks now", "fraction", "average_accuracy",
        label="average accuracy over tasks", form=_ACCURACY),
    Key("forgetting", "mean fall of earlier tasks from their best", "fraction", "forgetting", label="forgetting",
        form=_ACCURACY),
    Key("backward_transfer", "mean change of earlier tasks since they were learned", "fraction", "backward_transfer",
        label="backward transfer", form="{:+.4f}"),
    Key("forward_transfer", "mean accuracy on the first 20 rows of a task less chance", "fraction", "forward_transfer",
        label="forward transfer", form="{:+.4f}"),
    Key("seed", "of the model", kind="value"),
    Key("version", "of this package", kind="value"),
    Key("n_unlabelled", "rows predicted whose label had not come", "rows", "rows_unlabelled", "counter",
        label="rows without a label"),
    Key("n_held_out", "rows withheld from training to measure forgetting", "rows", "rows_held_out", "counter"),
    Key("n_rejected", "rows and late labels refused", "rows", "rows_rejected", "counter", label="rows refused"),
    Key("n_unused", "rows and messages that brought nothing: `skipped` and `malformed` together", "rows", "rows_unused",
        "counter"),
    Key("unused", "a sentence for each kind of thing that came in and was not used", kind="list"),
    Key("skipped", "rows and late labels left out, by kind", "rows", "rows_skipped", "parts"),
    Key("n_malformed", "messages not understood or refused", "messages", "messages_malformed", "counter"),
    Key("malformed", "how many messages were not understood or refused, and the last sentence about one", kind="value"),
    Key("n_masked", "feature values that were missing or no number", "values", "values_masked", "counter"),
    Key("masked", "share of a feature's rows in which its value was missing or no number", "fraction",
        "masked_share", "shares"),
    Key("unknown_features", "rows to predict with a feature that the model does not know", "rows",
        "rows_with_unknown_feature", "parts"),
    Key("missing_features", "rows to predict without a feature that the model knows", "rows",
        "rows_without_known_feature", "parts"),
    Key("n_unusable", "answers of a regression that were no number", "rows", "answers_unusable", "counter",
        label="answers that were no number"),
    Key("n_set_aside", "commits of the log that could not be learned", "commits", "commits_set_aside", "counter",
        label="commits set aside"),
    Key("n_asked", "rows predicted on request", "rows", "rows_asked", "counter"),
    Key("n_pending", "rows that wait for their label", "rows", "rows_pending"),
    Key("n_expired", "rows that left before their label came", "rows", "labels_expired", "counter"),
    Key("n_orphaned", "labels whose row had left or never came", "labels", "labels_orphaned", "counter"),
    Key("n_ended", "sinks and watchers that ended with an error", "", "listeners_ended", "counter"),
    Key("n_failed_calls", "calls of callbacks that raised", "", "calls_failed", "counter", label="failed callbacks"),
    Key("sinks", "records by sink: sent, dropped, refused by the receiver, tries again", "records", "sink", "parts"),
    Key("skipped_updates", "learning steps left out as not finite", "rows", "updates_skipped", "counter"),
    Key("categories", "of each feature with texts: distinct ones, how many may be, values that share", kind="list"),
    Key("transport", "counted by the source: rows, gaps, duplicates, ...", "", "transport", "parts"),
    Key("alarm", "1 while the disk refuses the log or a checkpoint; in the report, the sentence", "", "alarm", "flag"),
    Key("notes", "a sentence for each thing that was passed over", kind="list"),
    Key("n_drifts", "drift alarms", "", "drifts", "counter"),
    Key("n_merged_segments", "segments merged into others", "", "segments_merged", "counter"),
    Key("n_without_task", "rows whose task column is missing", "rows", "rows_without_task", "counter"),
    Key("accuracy_matrix_se", "standard errors of the accuracy matrix", "fraction", kind="list"),
    Key("average_accuracy_se", "its standard error", "fraction", "average_accuracy_standard_error"),
    Key("forgetting_se", "its standard error", "fraction", "forgetting_standard_error"),
    Key("backward_transfer_se", "its standard error", "fraction", "backward_transfer_standard_error"),
    Key("forward_transfer_se", "its standard error", "fraction", "forward_transfer_standard_error"),
    Key("task", "classification or regression", kind="value"),
    Key("source", "name of the source", kind="value"),
    Key("interrupted", "whether the run was stopped before its stream ended", kind="value"),
    Key("curve", "the course of the scores in at most 512 points", kind="list"),
    Key("last_drift", "row of the last drift alarm", "row", "last_drift_row", momentary=True),
    Key("checkpoint_age", "seconds since the last durable checkpoint", "s", "checkpoint_age_seconds", momentary=True),
    Key("lag", "age of the newest row by its event time", "s", "lag_seconds", momentary=True),
)
# fmt: on


def keys_of(task: str) -> list[Key]:
    """Return the keys of one kind of task, in the order of the report.

    Examples
    --------
    >>> [key.name for key in keys_of("regression") if key.page]
    ['mae', 'no_change_mae', 'window_mae']
    """
    return [key for key in KEYS if key.task in ("", task)]


def scores_of(task: str) -> list[str]:
    """Return the names of the page's scores.

    Windowed, overall, repeating the label, the most frequent label.

    Examples
    --------
    >>> scores_of("regression")
    ['window_mae', 'mae', 'no_change_mae', '']
    """
    places = {key.page: key.name for key in keys_of(task)}
    return [places.get(place, "") for place in (1, 2, 3, 4)]


def markdown() -> str:
    """Return the table for people."""
    lines = [
        "# What a run measures",
        "",
        "Made from `loco_stream/metrics/keys.py`. `classification` and `regression` say which task has a key; a key in",
        "italics is of the running engine's status (`loco-stream control ADDR status`) and not of the report.",
        "",
        "| key | what it is | unit | task | Prometheus |",
        "|---|---|---|---|---|",
    ]
    for key in KEYS:
        name = f"*{key.name}*" if key.momentary else f"`{key.name}`"
        exported = f"`loco_{key.prometheus}{'_total' if key.kind in ('counter', 'parts') else ''}`"
        lines.append(
            f"| {name} | {key.what} | {key.unit} | {key.task} | {exported if key.prometheus else ''} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
