"""The detector beside a stream: scores rows, keeps what was unusual, and emits anomaly records."""

from __future__ import annotations

import heapq
import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from loco_stream._persistence.content import Config, State
from loco_stream.engine._row import Row, row_of, rows_of
from loco_stream.metrics._curve import Curve
from loco_stream.records import Record, of_anomaly
from loco_stream.stream import Block, Sample

if TYPE_CHECKING:
    from loco_stream.estimators._detector import LOCODetector
    from loco_stream.estimators._detector_core import RowResults

UNUSUAL = 2.0  # onset score from which a row is unusual: fewer than 1 in 100 normal rows are

_log = logging.getLogger("loco_stream.engine.watching")

_MAX_ALARMS = 1000  # kept for the report
_MOST_UNUSUAL = 10
_MAX_SHOWN = 200  # rows kept for the page


def is_detector(model: object) -> bool:
    """Return whether a model detects anomalies and learns without labels."""
    return hasattr(model, "learn_results_array")


class DetectorAdapter:
    """Runs an anomaly detector as the model of an engine; its prediction is the onset score.

    It has the members of `ModelAdapter` that the engine uses for a model without labels. `model` is
    the current detector, which a resumed run replaces.
    """

    takes_blocks = False
    takes_text = True
    has_full_blocks = False
    features = None
    classes = ()
    fillers: Mapping[Hashable, int] = {}

    def __init__(self, model: LOCODetector) -> None:
        self.model = model

    @property
    def estimator(self) -> object:
        """The detector."""
        return self.model

    def enter_sequence(self, sequence: Hashable) -> None:
        """Do nothing: a detector watches one stream."""

    def row_time(self, row: Row) -> dict[str, Any]:
        """Return nothing: a request has no time."""
        return {}

    def block_context(self, block: Block) -> dict[str, Any]:
        """Return nothing: a request has no time."""
        return {}

    def predict_values(
        self,
        X: Any,
        features: Sequence[Hashable],
        context: dict[str, Any],
        in_stream: bool | None = False,
    ) -> tuple[Any, Sequence[Any]]:
        """Return the onset score of each row, (n, 1), and no classes; it has one mode."""
        import numpy as np

        scores = [self.model.score_one(dict(zip(features, row, strict=True))) for row in X]
        return np.array(scores, np.float32).reshape(-1, 1), ()


class Watcher:
    """Scores rows with a detector before it learns them.

    Its counts are plain values in bounded memory; the detector is stored beside them.

    holder: has the detector, which may also stand beside a model
    logs_source: whether the log line of an alarm begins with the source of the row, which ends with
        the key in a fleet

    Its attributes:
    n_rows, n_alarms: rows scored, and alarms raised
    last_alarm: the row of the last alarm; None before one
    """

    def __init__(self, holder: DetectorAdapter, *, logs_source: bool = False) -> None:
        self.holder = holder
        self._logs_source = logs_source
        self.n_rows = 0
        self.n_alarms = 0
        self.last_alarm: int | None = None
        self.alarms: deque[Config] = deque(maxlen=_MAX_ALARMS)
        self.shown: deque[Config] = deque(maxlen=_MAX_SHOWN)
        self._unusual: list[tuple[float, int, Config]] = []  # a heap, the least unusual first
        self._blamed: Counter[Hashable] = Counter()
        self._curve = Curve()
        self._peak = (0.0, 0.0)  # the largest scores since the last point of the curve
        self._emit: Callable[[Record], None] | None = None

    def on_alarm(self, emit: Callable[[Record], None]) -> None:
        """Pass the record of every alarm to a function."""
        self._emit = emit

    def score(self, rows: Sequence[Row], results: RowResults) -> list[float]:
        """Keep what the detector found in rows; return the state score of each."""
        self._note(results, rows)
        return results.scores[:, 1].tolist()  # type: ignore[no-any-return]

    def take(self, event: Sample | Block) -> None:
        """Score the rows of an event, then learn them.

        Raises `InputError` if the detector refuses a row.
        """
        detector = self.holder.model
        if isinstance(event, Sample):
            t = None if math.isnan(event.t) else event.t
            self._note(detector.learn_results(event.x, t), [row_of(event, event.x)])
            return
        rows = rows_of(event)
        if rows:
            times = [row.own_t for row in rows]
            self._note(detector.learn_results_array(event.X, times, event.features), rows)

    def _note(self, results: RowResults, rows: Sequence[Row]) -> None:
        """Keep what was unusual in rows, and emit their alarms."""
        scores = results.scores.tolist()
        for i, row in enumerate(rows):
            onset, state, alarm = scores[i]
            at = self.n_rows
            self.n_rows += 1
            self._draw(at, onset, state)
            if i >= len(rows) - _MAX_SHOWN:
                self._show(results, i, row, scores[i])
            least = self._unusual[0][0] if len(self._unusual) == _MOST_UNUSUAL else 0.0
            if not alarm and onset < UNUSUAL and onset <= least:
                continue
            finding = _finding(results, i, row, at)
            self._count(finding, onset, least)
            if alarm:
                self._raise(finding, row)

    def _draw(self, at: int, onset: float, state: float) -> None:
        """Add a point to the curve: the largest scores since the point before."""
        self._peak = (max(self._peak[0], onset), max(self._peak[1], state))
        if (at + 1) % self._curve.stride == 0:
            self._curve.add((at, *self._peak))
            self._peak = (0.0, 0.0)

    def _count(self, finding: Config, onset: float, least: float) -> None:
        """Count the blamed column, and keep the finding if it is one of the most unusual."""
        if onset >= UNUSUAL:
            column = finding["column"]
            self._blamed[column] += 1
        if onset > least:
            heapq.heappush(self._unusual, (onset, -finding["at"], finding))
            if len(self._unusual) > _MOST_UNUSUAL:
                heapq.heappop(self._unusual)

    def _raise(self, finding: Config, row: Row) -> None:
        self.n_alarms += 1
        self.last_alarm = finding["at"]
        self.alarms.append(finding)
        where = f"{row.source}: " if self._logs_source else ""
        _log.info("%s%s", where, sentence(finding))
        if self._emit is not None:
            self._emit(of_anomaly(finding, row))

    def _show(self, results: RowResults, i: int, row: Row, scores: Sequence[float]) -> None:
        """Keep a row for the page."""
        named = row.named
        self.shown.append(
            {
                "at": self.n_rows - 1,
                "t": None if math.isnan(row.t) else row.t,
                "scores": [scores[0], scores[1]],
                "alarm": scores[2] > 0.0,
                "column": results.blame(i),
                "x": {str(name): _number(named.get(name)) for name in results.names},
                "expected": {str(name): list(band) for name, band in results.expected(i).items()},
            }
        )

    def report(self) -> Config:
        """Return counts, alarms, the most unusual rows, and the share of each column."""
        unusual = sorted(self._unusual, key=lambda item: (-item[0], -item[1]))
        return {
            "n_alarms": self.n_alarms,
            "alarms": list(self.alarms),
            "unusual": [finding for _, _, finding in unusual],
            "unusual_columns": self.shares(),
        }

    def shares(self) -> dict[str, float]:
        """Return the share of the unusual rows in which each column was blamed."""
        n = sum(self._blamed.values())
        ranked = sorted(self._blamed.items(), key=lambda item: -item[1])
        return {str(name): count / n for name, count in ranked}

    def counters(self) -> Config:
        """Return the numbers of the status."""
        return {"n_alarms": self.n_alarms, "last_alarm": self.last_alarm}

    def curve_report(self) -> Config:
        """Return onset and state score over the stream as columns."""
        return self._curve.columns(("at", "onset", "state"))

    def export_state(self) -> Config:
        """Return everything but the detector as plain values."""
        return {
            "n_rows": self.n_rows,
            "n_alarms": self.n_alarms,
            "last_alarm": self.last_alarm,
            "alarms": list(self.alarms),
            "unusual": [list(item) for item in self._unusual],
            "blamed": [list(item) for item in self._blamed.items()],
            **self._curve.export_state(),
            "peak": list(self._peak),
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self.n_rows = state["n_rows"]
        self.n_alarms = state["n_alarms"]
        self.last_alarm = state["last_alarm"]
        self.alarms = deque(state["alarms"], maxlen=_MAX_ALARMS)
        self._unusual = [(onset, at, finding) for onset, at, finding in state["unusual"]]
        self._blamed = Counter(dict(state["blamed"]))
        self._curve.restore_state(state)
        self._peak = (state["peak"][0], state["peak"][1])


def sentence(finding: State) -> str:
    """Return an alarm in words.

    A value within the expected band may be an alarm too: it repeats for longer than ever, or comes
    at a place of the course where it never was.

    Examples
    --------
    >>> found = {"at": 70, "score": 4.25, "column": "flow", "value": 9.0, "expected": [1.0, 2.5]}
    >>> sentence(found)
    'alarm at row 70: flow is 9, expected 1 to 2.5 (score 4.2)'
    >>> sentence(found | {"value": None})
    'alarm at row 70: flow is missing, expected 1 to 2.5 (score 4.2)'
    >>> sentence(found | {"value": 2.0})
    'alarm at row 70: flow is 2, within the expected 1 to 2.5, but its course is new (score 4.2)'
    """
    value = finding["value"]
    shown = "missing" if value is None else str(value)
    if isinstance(value, float):
        shown = f"{value:.6g}"
    text = f"alarm at row {finding['at']:,}: {finding['column']} is {shown}"
    if finding["expected"] is not None:
        low, high = finding["expected"]
        band = f"{low:.6g} to {high:.6g}"
        if isinstance(value, int | float) and low <= value <= high:
            text += f", within the expected {band}, but its course is new"
        else:
            text += f", expected {band}"
    return f"{text} (score {finding['score']:.1f})"


def _finding(results: RowResults, i: int, row: Row, at: int) -> Config:
    """Return what was unusual in a row, as plain values."""
    column = results.blame(i)
    value = row.named.get(column)
    onset, state, _ = results.scores[i].tolist()
    expected = results.expected(i).get(column)
    return {
        "at": at,
        "t": None if math.isnan(row.t) else row.t,
        "score": onset,
        "state": state,
        "column": column,
        "value": _plain(value),
        "expected": None if expected is None else list(expected),
    }


def _plain(value: Any) -> Any:
    """Return a cell as a value that JSON can hold; a missing one is None."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    return _number(value)


def _number(value: Any) -> float | None:
    """Return a cell as a number for the page; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
