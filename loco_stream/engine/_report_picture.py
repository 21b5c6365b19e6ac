"""The picture of a report: the scores over the stream, with the alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loco_stream._persistence.content import State
from loco_stream._persistence.outputs import new_figure
from loco_stream._problems import TARGETS
from loco_stream.engine._measures import curve_scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_AXES = {
    "regression": "mean absolute error (units of the label)",
    TARGETS: "mean absolute error, mean over the targets",
    "classification": "accuracy (fraction)",
}


def draw(report: State, title: str) -> Figure:
    """Return the picture of a report.

    Raises `ConfigError` if matplotlib is missing.
    """
    figure = new_figure(figsize=(9, 4))
    axes = figure.add_subplot()
    if report.get("task") == "watching":
        _draw_anomalies(axes, report)
    elif "forecast" in report:
        _draw_fan(axes, report["forecast"], report["n_rows"])
    else:
        _draw_scores(axes, report)
    for i, drift in enumerate(report.get("drifts", ())):
        name = "drift" if i == 0 else None
        axes.axvline(drift["at"], color="tab:red", lw=0.8, alpha=0.7, label=name)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    return figure


def _draw_scores(axes: Axes, report: State) -> None:
    """Draw the score over the stream."""
    problem = report.get("task", "classification")
    windowed, overall = curve_scores(problem)
    label = _AXES[problem]
    curve = report["curve"]
    axes.plot(curve["at"], curve[windowed], lw=1.2, label=f"{label} of recent rows")
    axes.plot(curve["at"], curve[overall], lw=1.2, ls="--", label=f"{label}, overall")
    if problem == "classification":
        axes.set_ylim(0, 1)
    axes.set(xlabel="samples", ylabel=label)


def _draw_fan(axes: Axes, fan: State, n: int) -> None:
    """Draw the last values, the forecast of the next ones, and its interval."""
    history = fan["history"]
    past = range(n - len(history), n)
    ahead = range(n, n + len(fan["forecast"]))
    axes.plot(past, history, lw=1.2, color="tab:gray", label="series")
    axes.plot(ahead, fan["forecast"], lw=1.4, color="tab:blue", label="forecast")
    axes.fill_between(ahead, fan["low"], fan["high"], alpha=0.2, label="90 % interval")
    axes.set_xlim(left=n - len(history))
    axes.set(xlabel="rows", ylabel="value")


def _draw_anomalies(axes: Axes, report: State) -> None:
    """Draw onset and state score of the detector over the stream, with its alarms."""
    curve = report["anomaly_curve"]
    alarms = report["alarms"]
    axes.plot(curve["at"], curve["state"], lw=0.8, color="tab:gray", label="state score")
    axes.plot(curve["at"], curve["onset"], lw=1.0, color="tab:blue", label="onset score")
    at = [alarm["at"] for alarm in alarms]
    axes.plot(at, [alarm["score"] for alarm in alarms], "v", color="tab:red", label="alarm")
    axes.set(xlabel="rows", ylabel="-log10 of the probability")
