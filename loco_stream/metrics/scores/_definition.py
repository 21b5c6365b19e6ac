"""The parts of a score: its key in the report, the tally that it reads, and its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

Label: TypeAlias = Any  # a hashable class label, or a number in regression
Interval: TypeAlias = tuple[float, float] | None
State: TypeAlias = Mapping[str, Any]  # plain values


@dataclass(frozen=True, slots=True)
class ReportKey:
    """One entry of the report of a run.

    Parameters
    ----------
    name
        Key in the report.
    description
        What the value is, in a few words.
    unit
        Unit of the value; "" for none.
    prometheus
        Name of the metric without the prefix ``loco_``; "" exports nothing.
    kind
        "gauge", "counter", "flag" (1 while there is a text), "parts" (a counter per entry),
        "shares" (a gauge per entry), "classes" (a gauge per label and score), "targets" (a gauge
        per target and score), "histogram", "list" or "value".
    problem
        The only problem that has the key; "" for all.
    label
        Name of the row in the table of the terminal; "" leaves the key out of the table.
    form
        Format of the value in that row.
    status_only
        Whether the key belongs to the status of a running engine and not to the final report.
    of_detector
        Whether only a run with an anomaly detector has the key.

    Examples
    --------
    >>> ReportKey("lag", "age of the newest row", "s").kind
    'gauge'
    """

    name: str
    description: str
    unit: str = ""
    prometheus: str = ""
    kind: str = "gauge"
    problem: str = ""
    label: str = ""
    form: str = "{:,}"
    status_only: bool = False
    of_detector: bool = False


class ScoredRows(NamedTuple):
    """Labels and predictions of rows in order; see `Prequential.update` for one row.

    Each field has one entry per row.

    Examples
    --------
    >>> ScoredRows(["on", "off"], ["on", "on"], [None, None], [None, None]).slice(0, 1).y_true
    ['on']
    """

    y_true: Sequence[Label]
    y_pred: Sequence[Label]
    p_true: Sequence[float | None]
    interval: Sequence[Interval]

    def slice(self, begin: int, end: int) -> ScoredRows:
        """Return the rows from `begin` up to `end`."""
        rows = slice(begin, end)
        return ScoredRows(
            self.y_true[rows], self.y_pred[rows], self.p_true[rows], self.interval[rows]
        )


class Tally(Protocol):
    """Counters that one or several scores read, updated row by row or with many rows at once.

    Attributes
    ----------
    name
        Key of the counters in a checkpoint.
    saved
        `TypedDict` that describes what `export_state` returns.
    counters
        Names of the attributes that are saved as they are.

    Examples
    --------
    >>> from loco_stream.metrics.scores import SCORES
    >>> tally = SCORES[0].tally(window=10, fading=1.0)
    >>> tally.update("on", "on", None, None)
    >>> SCORES[0].value(tally)
    1.0
    """

    name: ClassVar[str]
    saved: ClassVar[type]
    counters: ClassVar[Sequence[str]] = ()

    def __init__(self, window: int, fading: float) -> None: ...

    def update(
        self, y_true: Label, y_pred: Label, p_true: float | None, interval: Interval
    ) -> None:
        """Count one row; arguments as for `Prequential.update`."""

    def update_many(self, rows: ScoredRows) -> None:
        """Count rows in order: the same as `update` for each, to the last digit."""
        for row in zip(*rows, strict=True):
            self.update(*row)

    def export_state(self) -> State:
        """Return the counters as plain values."""
        return {name: getattr(self, name) for name in self.counters}

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        for name in self.counters:
            setattr(self, name, state[name])


@dataclass(frozen=True, slots=True)
class Score:
    """Definition of one score.

    Parameters
    ----------
    key
        Name, unit and places where the score is shown.
    tally
        Class of the counters that the score reads; scores of the same class share one instance.
    value
        Computes the score from the counters; NaN while there is nothing to measure.
    better
        Which values are better: "higher", "lower", or "" for a score that is no single number.
    chart
        Role in charts: "window" (a score of the latest rows), "overall", "baseline" (what a trivial
        predictor scores), or "" for none.

    Examples
    --------
    >>> from loco_stream.metrics.scores import SCORES
    >>> score = SCORES[0]
    >>> score.key.name, score.better, score.tally.name
    ('accuracy', 'higher', 'hits')
    """

    key: ReportKey
    tally: type[Tally]
    value: Callable[[Any], Any]
    better: Literal["higher", "lower", ""] = ""
    chart: Literal["window", "overall", "baseline", ""] = ""
