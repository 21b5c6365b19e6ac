"""The rows of the table of a report."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

from loco_stream._persistence.content import State
from loco_stream._text import counted
from loco_stream.engine._watching import UNUSUAL
from loco_stream.metrics._keys import KEYS

Line: TypeAlias = tuple[str, str]  # what is measured, and its value in words

_CLASS_LINES = 10
_LABEL_LENGTH = 30  # characters: a label may be any text
_DRIFTS = 5
_OF_TASKS = frozenset({"average_accuracy", "forgetting", "backward_transfer"})
_LATENCIES = {"latency_us": "", "latency_minute_us": ", last minute"}


def lines(report: State) -> Iterator[Line]:
    """Yield name and value of each row; what was not measured is left out."""
    has_tasks = len(report.get("accuracy_matrix") or ()) > 1
    for key in KEYS:
        value = report.get(key.name)
        if key.name in _OF_TASKS and not has_tasks:
            continue  # a single task cannot be forgotten
        if key.label and value is not None and _is_measured(value, key.kind == "counter"):
            yield key.label, key.form.format(value)
    yield from _class_lines(report)
    yield from _target_lines(report)
    yield from horizon_lines(report)
    yield from _anomaly_lines(report)
    yield from _latency_lines(report)
    if "drifts" in report:
        yield "drifts at", _drifts(report)


def sentences(report: State) -> list[str]:
    """Return what is said below the table."""
    return [f"not used: {sentence}" for sentence in report.get("unused") or ()]


def _is_measured(value: float, is_counter: bool) -> bool:
    return bool(value) if is_counter else not math.isnan(value)


def _drifts(report: State) -> str:
    drifts = report["drifts"]
    rows = ", ".join(f"{drift['at']:,}" for drift in drifts[-_DRIFTS:])
    more = "... " if len(drifts) > _DRIFTS else ""
    return f"{more}{rows}" if rows else "none"


def _latency_lines(report: State) -> Iterator[Line]:
    """Yield a row per measured latency; that of a run below a minute is one."""
    shown = ""
    rows = (report.get("latency_us") or {}).get("rows", 1)
    what = f"block time p50 / p99 (up to {rows:,} rows)" if rows > 1 else "latency p50 / p99"
    for name, when in _LATENCIES.items():
        latency = report.get(name) or {}
        if not latency or math.isnan(latency["p50"]):
            continue
        text = f"{latency['p50']:,.0f} / {latency['p99']:,.0f} us"
        if text != shown:
            shown = text
            yield what + when, text


def _class_lines(report: State) -> Iterator[Line]:
    """Yield a row per label; of many labels, those with the lowest recall."""
    scores = report.get("per_class") or {}
    worst = sorted(
        scores, key=lambda label: (not scores[label]["support"], scores[label]["recall"])
    )[:_CLASS_LINES]
    for label in scores:
        if label in worst:
            yield _class_line(label, scores[label])
    if len(worst) < len(scores):
        yield f"{len(scores) - len(worst)} more labels", "recall is higher"


def _target_lines(report: State) -> Iterator[Line]:
    """Yield a row per target; of many targets, those that are explained least."""
    scores = report.get("per_target") or {}
    worst = sorted(scores, key=lambda name: _order(scores[name]["r2"]))[:_CLASS_LINES]
    for name in scores:
        if name in worst:
            own = scores[name]
            yield f"target {name}", f"mae {own['mae']:.5g}, R2 {own['r2']:.4f}"
    if len(worst) < len(scores):
        yield f"{len(scores) - len(worst)} more targets", "R2 is higher"


def horizon_lines(report: State) -> Iterator[Line]:
    """Yield a row for some of the steps ahead, with the first and the last one."""
    errors = report.get("forecast_mae") or {}
    for step in shown_steps(len(errors)):
        error = errors[str(step)]
        if error is not None and not math.isnan(error):
            last = report["forecast_no_change_mae"][str(step)]
            inside = report["forecast_coverage"][str(step)]
            is_known = inside is not None and not math.isnan(inside)
            covers = f", coverage {inside:.3f}" if is_known else ""
            steps = "step" if step == 1 else "steps"
            yield f"error {step} {steps} ahead", f"{error:.4g}, repeating {last:.4g}{covers}"


def shown_steps(horizon: int) -> list[int]:
    """Return the steps ahead that a table shows.

    Examples
    --------
    >>> shown_steps(24), shown_steps(1), shown_steps(0)
    ([1, 2, 5, 10, 24], [1], [])
    """
    if horizon == 0:
        return []
    return [*(step for step in (1, 2, 5, 10, 25, 50, 100, 250) if step < horizon), horizon]


def _order(value: float) -> float:
    """Return a score to sort by; one that was not measured is the lowest."""
    return -math.inf if math.isnan(value) else value


def _anomaly_lines(report: State) -> Iterator[Line]:
    """Yield the alarms, other rows that were unusual, and the columns that were blamed."""
    if "n_alarms" not in report:
        return
    yield "alarms", f"{report['n_alarms']:,}"
    for finding in report["alarms"][-_DRIFTS:]:
        yield f"alarm at {_place(finding)}", _finding(finding)
    alarmed = {finding["at"] for finding in report["alarms"]}
    for finding in report["unusual"]:
        if finding["score"] >= UNUSUAL and finding["at"] not in alarmed:
            yield f"unusual row {_place(finding)}", _finding(finding)
    for name, share in list(report["unusual_columns"].items())[:_CLASS_LINES]:
        yield f"unusual in {name}", f"{share:.0%} of the unusual rows"


def _place(finding: State) -> str:
    return f"{finding['at']:,}, score {finding['score']:.1f}: {finding['column']}"


def _finding(finding: State) -> str:
    value = "missing" if finding["value"] is None else finding["value"]
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    if finding["expected"] is None:
        return shown
    low, high = finding["expected"]
    return f"{shown}, expected {low:.6g} to {high:.6g}"


def _share(name: str, value: float) -> str:
    return f"no {name}" if math.isnan(value) else f"{name} {value:.1%}"


def _class_line(label: str, score: State) -> Line:
    recall = _share("recall", score["recall"])
    precision = _share("precision", score["precision"])
    shown = label if len(label) <= _LABEL_LENGTH else f"{label[: _LABEL_LENGTH - 3]}..."
    return f"label {shown}: {counted(score['support'], 'row')}", f"{recall}, {precision}"
