"""Every key of a report: read by report, terminal, Prometheus, page and docs/metrics.md.

Keys of scores come from `loco_stream.metrics.scores`; the others are the table below.
``python -m loco_stream.metrics._keys > docs/metrics.md`` writes the page.
"""

from __future__ import annotations

from collections.abc import Mapping

from loco_stream._problems import FORECASTING, TARGETS, is_numeric
from loco_stream.metrics.scores import SCORES
from loco_stream.metrics.scores._definition import ReportKey

# fmt: off
_OTHERS = (
    ReportKey("n_rows", "rows processed, with and without a label", "rows", "rows", "counter"),
    ReportKey("roc_auc", "mean over the classes of the area under the ROC curve, each class "
              "against all others; probabilities are counted in 512 bins", "fraction",
              "roc_auc", problem="classification", label="ROC AUC", form="{:.4f}"),
    ReportKey("window_roc_auc", "the same over the sliding window", "fraction",
              "window_roc_auc", problem="classification"),
    ReportKey("fading_roc_auc", "the same with weights that fall by 0.1 % per row of age",
              "fraction", "fading_roc_auc", problem="classification"),
    ReportKey("average_precision",
              "mean over the classes of the average precision, from the same bins", "fraction",
              "average_precision", problem="classification", label="average precision",
              form="{:.4f}"),
    ReportKey("window_average_precision", "the same over the sliding window", "fraction",
              "window_average_precision", problem="classification"),
    ReportKey("fading_average_precision",
              "the same with weights that fall by 0.1 % per row of age", "fraction",
              "fading_average_precision", problem="classification"),
    ReportKey("samples_per_second",
              "rows per second of work since the first one: waiting for rows does not count",
              "rows/s", "rows_per_second", label="samples per second of work", form="{:,.0f}"),
    ReportKey("latency_us", "p50 and p99 of the time from the arrival of a row until it is "
              "learned, and the most rows that were learned together: each row of a block, in "
              "which files are read, has the time of the whole block", "us",
              "latency_seconds", "histogram"),
    ReportKey("latency_minute_us", "p50 and p99 of the last minute", "us",
              "latency_last_minute_us", "shares"),
    ReportKey("drifts", "the last 1,000 drift alarms: at, since, kind, detector, task",
              kind="list"),
    ReportKey("tasks", "segments of the stream and the tasks that they belong to", kind="list"),
    ReportKey("accuracy_matrix", "accuracy on the hold-out of segment j at the end of segment i",
              "fraction", kind="list"),
    ReportKey("average_accuracy", "mean accuracy over all tasks now", "fraction",
              "average_accuracy", label="average accuracy over tasks", form="{:.4f}"),
    ReportKey("forgetting", "mean fall of earlier tasks from their best accuracy", "fraction",
              "forgetting", label="forgetting", form="{:.4f}"),
    ReportKey("backward_transfer", "mean change of earlier tasks since they were learned",
              "fraction", "backward_transfer", label="backward transfer", form="{:+.4f}"),
    ReportKey("forward_transfer", "mean accuracy on the first 20 rows of a task minus chance",
              "fraction", "forward_transfer", label="forward transfer", form="{:+.4f}"),
    ReportKey("prediction_modes", "how rows were predicted for the scores, and held-out rows for "
              "the accuracy matrix: as the next row, or as any row; null if the model does not "
              "distinguish them", kind="value"),
    ReportKey("seed", "seed of the model", kind="value"),
    ReportKey("version", "version of loco-stream", kind="value"),
    ReportKey("n_unlabelled", "rows predicted before their label came", "rows",
              "rows_unlabelled", "counter", label="rows without a label"),
    ReportKey("n_held_out", "rows withheld from training to measure forgetting", "rows",
              "rows_held_out", "counter"),
    ReportKey("n_rejected", "rows and late labels refused", "rows", "rows_rejected", "counter",
              label="rows refused"),
    ReportKey("n_unused", "rows and messages not used: `skipped` and `malformed` together", "rows",
              "rows_unused", "counter"),
    ReportKey("unused", "a sentence per kind of input that was not used", kind="list"),
    ReportKey("skipped", "rows and late labels left out, by kind", "rows", "rows_skipped",
              "parts"),
    ReportKey("n_malformed", "messages not understood or refused", "messages",
              "messages_malformed", "counter"),
    ReportKey("malformed", "number of messages not understood or refused, and the last error",
              kind="value"),
    ReportKey("n_masked", "feature values that were missing or not numbers", "values",
              "values_masked", "counter"),
    ReportKey("masked", "share of the rows of a feature with a missing or non-numeric value",
              "fraction", "masked_share", "shares"),
    ReportKey("n_lost_columns", "columns that came with every row and are no longer sent, or "
              "have no values any more; each sender counts", "columns", "columns_lost"),
    ReportKey("n_fill_values", "inputs, and labels that are numbers, that equalled one of "
              "`missing_values` and count as missing", "values", "fill_values", "counter",
              label="fill values"),
    ReportKey("unknown_features", "rows to predict with a feature that the model does not know",
              "rows", "rows_with_unknown_feature", "parts"),
    ReportKey("missing_features", "rows to predict without a feature that the model knows", "rows",
              "rows_without_known_feature", "parts"),
    ReportKey("n_unusable", "predictions of a regression that were not finite numbers", "rows",
              "answers_unusable", "counter", label="predictions that were not numbers"),
    ReportKey("n_alarms", "rows that raised an alarm of the anomaly detector", "rows",
              "anomaly_alarms", "counter", of_detector=True),
    ReportKey("alarms", "the last 1,000 of these alarms: at, t, score, state, column, value, "
              "expected", kind="list", of_detector=True),
    ReportKey("unusual", "the ten rows with the highest onset scores", kind="list",
              of_detector=True),
    ReportKey("unusual_columns", "share of the unusual rows in which a column was blamed",
              "fraction", "unusual_share", "shares", of_detector=True),
    ReportKey("anomaly_curve", "onset and state score over the stream in at most 512 points",
              kind="list", of_detector=True),
    ReportKey("forecast_mae", "mean absolute error of the forecasts by step ahead",
              "units of the label", "forecast_mean_absolute_error", "shares",
              problem=FORECASTING),
    ReportKey("forecast_no_change_mae", "the same of repeating the last value",
              "units of the label", "forecast_no_change_mean_absolute_error", "shares",
              problem=FORECASTING),
    ReportKey("forecast_coverage", "share of values inside their 90 % interval by step ahead",
              "fraction", "forecast_interval_coverage", "shares", problem=FORECASTING),
    ReportKey("forecast", "the last values, and the next ones with their 90 % intervals",
              kind="list", problem=FORECASTING),
    ReportKey("n_set_aside", "commits of the log that could not be learned", "commits",
              "commits_set_aside", "counter", label="commits set aside"),
    ReportKey("n_asked", "rows predicted on request", "rows", "rows_asked", "counter"),
    ReportKey("n_pending", "rows that wait for their label", "rows", "rows_pending"),
    ReportKey("n_expired", "rows dropped before their label came", "rows", "labels_expired",
              "counter"),
    ReportKey("n_orphaned", "labels whose row was dropped or never came", "labels",
              "labels_orphaned", "counter"),
    ReportKey("n_labels_early", "labels by id that came before their row, which learned it then",
              "labels", "labels_early", "counter"),
    ReportKey("n_labels_repeated", "labels by id that came again", "labels", "labels_repeated",
              "counter"),
    ReportKey("n_labels_late", "labels by id that came after their row was dropped", "labels",
              "labels_late", "counter"),
    ReportKey("n_labels_unknown", "labels by id whose row never came", "labels",
              "labels_unknown", "counter"),
    ReportKey("n_rows_repeated", "rows with the id of an earlier row, which were not learned",
              "rows", "rows_repeated", "counter"),
    ReportKey("n_ended", "sinks and watchers that ended with an error", "", "listeners_ended",
              "counter"),
    ReportKey("n_failed_calls", "calls of callbacks that raised", "", "calls_failed", "counter",
              label="failed callbacks"),
    ReportKey("sinks", "records by sink: sent, dropped, refused by the receiver, retried",
              "records", "sink", "parts"),
    ReportKey("n_lost_records", "records that a sink neither delivered nor keeps for a later run",
              "records", "records_lost", "counter", label="records lost by sinks"),
    ReportKey("lost_records", "the same by the name of the sink", kind="list"),
    ReportKey("skipped_updates", "learning steps left out because a value was not finite", "rows",
              "updates_skipped", "counter"),
    ReportKey("backward_times", "rows whose time lay before that of the previous row, for a model "
              "with a memory: the gap counts as a median one", "rows", "rows_with_backward_time",
              "counter"),
    ReportKey("categories",
              "per feature with texts: those with a slot, their limit, values of texts without one",
              kind="list"),
    ReportKey("transport", "counts of the source: rows, gaps, duplicates, ...", "", "transport",
              "parts"),
    ReportKey("alarm",
              "1 while nothing can be stored, or the last 100 rows all failed; in the report, why",
              "", "alarm", "flag"),
    ReportKey("outage", "1 while the source cannot reach its broker, server or device; in the "
              "report, why", "", "source_outage", "flag"),
    ReportKey("notes", "a sentence per problem that did not end the run", kind="list"),
    ReportKey("n_drifts", "drift alarms", "", "drifts", "counter"),
    ReportKey("n_merged_segments", "segments merged into others", "", "segments_merged",
              "counter"),
    ReportKey("n_without_task", "rows without a value in the task column", "rows",
              "rows_without_task", "counter"),
    ReportKey("accuracy_matrix_se", "standard errors of the accuracy matrix", "fraction",
              kind="list"),
    ReportKey("average_accuracy_se", "standard error of `average_accuracy`", "fraction",
              "average_accuracy_standard_error"),
    ReportKey("forgetting_se", "standard error of `forgetting`", "fraction",
              "forgetting_standard_error"),
    ReportKey("backward_transfer_se", "standard error of `backward_transfer`", "fraction",
              "backward_transfer_standard_error"),
    ReportKey("forward_transfer_se", "standard error of `forward_transfer`", "fraction",
              "forward_transfer_standard_error"),
    ReportKey("task",
              "classification, regression, multi-target regression, forecasting or watching",
              kind="value"),
    ReportKey("source", "name of the source", kind="value"),
    ReportKey("interrupted", "whether the run was stopped before the end of its stream",
              kind="value"),
    ReportKey("curve", "the scores over the stream in at most 512 points", kind="list"),
    ReportKey("waiting_for", "what the engine waits for while no label has come", kind="value",
              status_only=True),
    ReportKey("last_drift", "row of the last drift alarm", "row", "last_drift_row",
              status_only=True),
    ReportKey("last_alarm", "row of the last alarm of the anomaly detector", "row",
              "last_anomaly_alarm_row", status_only=True, of_detector=True),
    ReportKey("checkpoint_age", "seconds since the last durable checkpoint", "s",
              "checkpoint_age_seconds", status_only=True),
    ReportKey("lag", "age of the newest row by its event time", "s", "lag_seconds",
              status_only=True),
)
# fmt: on
_N_SAMPLES = ReportKey(
    "n_samples",
    "labelled rows: predicted, scored, and learned or held out; without labels, rows watched",
    "rows",
    "rows_learned",
    "counter",
)

KEYS: tuple[ReportKey, ...] = (_N_SAMPLES, *(score.key for score in SCORES), *_OTHERS)
"""All keys in the order of the report."""


def keys_for(problem: str, *, detector: bool = False) -> list[ReportKey]:
    """Return the keys of a run, in the order of the report.

    problem: "classification", "regression", "multi-target regression" or "forecasting", whose keys
        include those of a regression, or "watching", which always has a detector
    detector: whether the run has an anomaly detector beside its model

    Examples
    --------
    >>> [key.name for key in keys_for("regression") if key.problem][:2]
    ['mae', 'rmse']
    """
    has_detector = detector or problem == "watching"
    problems = ("", problem, *(("regression",) if is_numeric(problem) else ()))
    return [
        key for key in KEYS if key.problem in problems and (has_detector or not key.of_detector)
    ]


def problem_of(status: Mapping[str, object]) -> str:
    """Return the problem of a run, by the scores in its status or report.

    Examples
    --------
    >>> problem_of({"mae": 0.5}), problem_of({"n_alarms": 1})
    ('regression', 'watching')
    """
    if "per_target" in status:
        return TARGETS
    if "forecast_mae" in status:
        return FORECASTING
    if "mae" in status:
        return "regression"
    return "classification" if "accuracy" in status else "watching"


def markdown() -> str:
    """Return docs/metrics.md."""
    lines = [
        "# What a run measures",
        "",
        "Generated by `python -m loco_stream.metrics._keys`. A key with a problem is measured in",
        "that one alone. With several targets, a score of a regression is the mean over the",
        "targets; in forecasting, it is of the next value. A key in italics is part of the status",
        "of a running engine (`loco-stream control ADDR status`), not of the report.",
        "",
        "| key | description | unit | problem | Prometheus |",
        "|---|---|---|---|---|",
        *map(_row, KEYS),
    ]
    return "\n".join(lines) + "\n"


def _row(key: ReportKey) -> str:
    name = f"*{key.name}*" if key.status_only else f"`{key.name}`"
    total = "_total" if key.kind in ("counter", "parts") else ""
    metric = f"`loco_{key.prometheus}{total}`" if key.prometheus else ""
    return f"| {name} | {key.description} | {key.unit} | {key.problem} | {metric} |"


if __name__ == "__main__":
    print(markdown(), end="")
