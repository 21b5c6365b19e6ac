"""The model of one key, what its sources have sent so far, and, where it is watched, its scores and drifts."""

from __future__ import annotations

import copy
import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from loco_stream.engine.model_adapter import ModelAdapter, Row, plain, task_of
from loco_stream.engine.pending import Pending, Waiting
from loco_stream.engine.report import jsonable
from loco_stream.engine.score import Score
from loco_stream.engine.state import (
    export_model,
    model_of,
    state_sha256,
    with_prefix,
    without_prefix,
)
from loco_stream.errors import CheckpointError
from loco_stream.estimators._base import LOCOEstimator
from loco_stream.fleet._rows import LABELS, LEARN, OBSERVE, Key, Label, Matrix, Rows, Outputs, Table
from loco_stream.monitor import TaskMonitor
from loco_stream.persistence.format import Saved, from_bytes, to_bytes
from loco_stream.records import Record, of_alarm

__all__ = ["KeyedModel", "ModelFactory"]

_KIND = "checkpoint"  # `load` reads the model out of it
_ROWS = "rows"
# rows of a key that wait for labels; whoever sorts rows by key has far fewer wait in all
_WAITING = 10_000
# rows up to which a model rests as its rows: they take a hundredth of the room, and less time to
# learn
_YOUNG = 32


class Watch:
    """Scores, drifts and forgetting of one key: test-then-train around its model.

    Parameters
    ----------
    model
        The key's.
    settings
        Of its `TaskMonitor`, all but the task.

    Attributes
    ----------
    heard
        Records of the drifts and tasks that the rows learned last brought.
    """

    def __init__(self, model: LOCOEstimator, settings: Mapping[str, Any]) -> None:
        task = task_of(model)
        self.adapter, self.score = ModelAdapter(model), Score(task)
        self.monitor = TaskMonitor(**{**settings, "task": task})
        self.n_rows = 0
        self.last_drift: int | None = None
        self.heard: list[Record] = []

    def learn(self, rows: Rows) -> list[Label]:
        """Test, then train; return what was said of each row."""
        said = []
        self.heard = []
        whole = not isinstance(rows.X, list) and not self.monitor.holds_out
        if whole:  # nothing has to happen between two rows
            knows_nothing = self.score.task == "regression" and self.adapter.model.n_seen == 0
            said = _listed(self.adapter.model.learn_predict_array(rows.X, rows.y, rows.features))
            said = (
                [None, *said[1:]] if knows_nothing else said
            )  # its first value is 0.0, which is no answer
        for i, y in enumerate(_listed(rows.y)):
            row = _row(rows, i)
            if not whole:
                said.append(self.adapter.predict(row))
            self._take(row, y, said[i], learns=not whole)
        return said

    def _take(self, row: Row, y: Label, y_pred: Label, learns: bool) -> None:
        self.score.add(y, y_pred)
        if y_pred is not None:
            self._look(row, y, y_pred, row.x)
        if learns:
            self._learn(row, y)
        self._next()

    def observe(self, waiting: Waiting) -> None:
        """Look at a row whose label comes later."""
        self._look(waiting.row, None, waiting.y_pred, waiting.row.x)

    def late(self, waiting: Waiting, y: Label) -> None:
        """Score what was said of a row whose label has come, and learn it."""
        self.score.add(y, waiting.y_pred)
        if waiting.y_pred is not None:
            self._look(waiting.row, y, waiting.y_pred, None)
        self._learn(waiting.row, y, waiting)
        self._next()

    def _look(self, row: Row, y: Label, y_pred: Label, x: object) -> None:
        """Show the monitor an answer, and the row `x` unless it was shown before."""
        alarms = self.monitor.update(y, y_pred, x, self.n_rows, None if x is None else row.features)
        self.last_drift = next(
            (alarm.at for alarm in alarms if alarm.state == "drift"), self.last_drift
        )
        self.heard += [
            record for record in (of_alarm(alarm, row) for alarm in alarms) if record is not None
        ]

    def _learn(self, row: Row, y: Label, waiting: Waiting | None = None) -> None:
        """Learn a row unless it is held out; it still is the one that the next row follows."""
        if not (
            self.monitor.holds_out and self.monitor.hold_out(row.x, y, self.n_rows, row.features)
        ):
            self.adapter.learn(row, y, None if waiting is None else waiting.ticket)
        elif waiting is None:
            self.adapter.observe(row, False)

    def _next(self) -> None:
        self.monitor.rescore(self.adapter.model)
        self.n_rows += 1

    def report(self) -> dict[str, Any]:
        """Return what `StreamEngine` reports of scores, drifts and tasks, and no course over time."""
        return {
            **self.score.prequential.report(),
            **self.monitor.report(),
            "last_drift": self.last_drift,
        }

    def export_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return all but the model."""
        config, arrays = self.monitor.export_state()
        counts = {
            "n_rows": self.n_rows,
            "last_drift": self.last_drift,
            "score": self.score.export_state(),
        }
        return {"monitor": config, "watch": counts}, with_prefix("monitor", arrays)

    def restore_state(self, saved: Saved) -> None:
        """Continue from `export_state`."""
        counts = saved.config["watch"]
        self.n_rows = counts["n_rows"]
        self.last_drift = counts["last_drift"]
        self.score.restore_state(counts["score"])
        self.monitor.restore_state(saved.config["monitor"], without_prefix("monitor", saved.arrays))


def _row(rows: Rows, i: int) -> Row:
    x = rows.X[i]
    names = None
    if not isinstance(rows.X, list):
        x = rows.X[i : i + 1]
        names = tuple(range(rows.X.shape[1])) if rows.features is None else rows.features
    return Row(x, names, int(rows.seq[i]), source=_full_name(rows), epoch=rows.epoch)  # type: ignore[arg-type]


def _full_name(rows: Rows) -> str:
    return f"{rows.source}/{rows.key}"


class ModelFactory:
    """Makes the models of new keys, and those that come back, all like one template.

    Parameters
    ----------
    template
        Each key starts with a copy of it.
    watch
        Settings of each key's `TaskMonitor`; None watches nothing.
    """

    def __init__(self, template: LOCOEstimator, watch: Mapping[str, Any] | None = None) -> None:
        self.template = template
        self._watch = watch
        self._blanks: dict[Any, LOCOEstimator] = {}

    def new(self, rows: Rows) -> KeyedModel:
        """Return the model of a new key whose first rows are these."""
        return self._wrapped(copy.copy(self._blank(rows) if rows.kind == LEARN else self.template))

    def load(self, key: Key, content: bytes) -> KeyedModel:
        """Return a model that was laid to rest, to the bit.

        Raises `CheckpointError` if its bytes are damaged.
        """
        saved = from_bytes(content, f"the model of key {key!r}")
        if saved.kind == _ROWS:
            return self._again(key, saved.config)
        kind, config, arrays = model_of(saved)
        own = type(self.template)
        if kind != own.__name__ or saved.config.get("key") != key:
            raise CheckpointError(
                f"the model of key {key!r} is a {kind} of key {saved.config.get('key')!r}"
            )
        keyed = self._wrapped(own.from_state(config, arrays))
        keyed.restore(saved)
        return keyed

    def _again(self, key: Key, config: Mapping[str, Any]) -> KeyedModel:
        """Return a young model: it learns its rows again."""
        keyed: KeyedModel | None = None
        for payload in config["rows"]:
            rows = Rows.decode(payload)
            keyed = keyed or self.new(rows)
            keyed.learn(rows, False)
        if keyed is None or config.get("key") != key:
            raise CheckpointError(f"the model of key {key!r} is that of key {config.get('key')!r}")
        keyed.changed = False
        return keyed

    def _wrapped(self, model: LOCOEstimator) -> KeyedModel:
        return KeyedModel(model, None if self._watch is None else Watch(model, self._watch))

    def _blank(self, rows: Rows) -> LOCOEstimator:
        """Return the template with its arrays made for the columns of those rows.

        They are then only copied.
        """
        if self.template.n_seen or isinstance(rows.X, list):
            return self.template
        names = rows.features if rows.features is not None else tuple(range(rows.X.shape[1]))
        blank = self._blanks.get(names)
        if blank is None:
            if (
                len(self._blanks) >= 16
            ):  # devices of so many kinds: a source that invents names must not fill memory
                self._blanks.clear()
            blank = self._blanks[names] = copy.copy(self.template)
            blank.reserve(names)
        return blank


class KeyedModel:
    """One key's model on a host.

    Attributes
    ----------
    seen
        Epoch and number of the newest row of each source.
    changed
        Whether it differs from what the group's checkpoint holds.
    group
        Number of its key group.
    """

    group = -1

    def __init__(self, model: LOCOEstimator, watch: Watch | None) -> None:
        self._model = model
        self.watch = watch
        self.seen: dict[str, tuple[int, int]] = {}
        self.changed = True
        self.pending = Pending(
            _WAITING, math.inf
        )  # rows that were predicted and whose labels come later
        self._young: list[Rows] | None = []  # all rows learned so far, as long as they are few
        self._n_young = 0

    @property
    def model(self) -> Any:
        """The estimator."""
        return self._model

    def n_repeated(self, rows: Rows) -> int:
        """Return how many of the rows were learned before.

        Those up to the newest of their source.
        """
        if rows.kind == LABELS:
            return 0
        epoch, newest = self.seen.get(rows.source, (-1, -1))
        if rows.epoch != epoch:
            return len(rows) if rows.epoch < epoch else 0
        return 0 if rows.seq[0] > newest else bisect_right(rows.seq, newest)

    def learn(self, rows: Rows, predicts: bool) -> Outputs:
        """Learn rows; return what was said of each before it, empty if nobody asks.

        Of late labels it is a list of what was said of the row when it came, None where no such row
        waits.

        Raises
        ------
        InputError
            The model cannot take them: nothing was learned.
        """
        self.changed = True
        if rows.kind != LABELS:
            self.seen[rows.source] = rows.epoch, int(rows.seq[-1])
        # rows that are refused amid others cannot be learned so again
        young = self._young
        self._young = None
        said = self._learn(rows, predicts)
        if young is not None and self._n_young + len(rows) <= _YOUNG:
            self._n_young += len(rows)
            self._young = [*young, rows]
        return said

    def _learn(self, rows: Rows, predicts: bool) -> Outputs:
        if rows.kind != LEARN:
            return self._observe(rows) if rows.kind == OBSERVE else self._learn_late(rows)
        if self.watch is not None:
            return self.watch.learn(rows)
        model = self.model
        if isinstance(rows.X, list):
            said = []
            for x, y in zip(rows.X, rows.y, strict=True):
                if predicts:
                    said.append(model.predict_one(x))
                model.learn_one(x, y)
            return said
        if predicts:
            return _listed(model.learn_predict_array(rows.X, rows.y, rows.features))
        model.learn_array(rows.X, rows.y, rows.features)
        return ()

    def _observe(self, rows: Rows) -> list[Label]:
        """Predict rows and let them wait for their labels."""
        adapter = self._adapter()
        said = []
        for i in range(len(rows)):
            row = _row(rows, i)
            observed = adapter.observe(row, False)
            waiting = Waiting(row, observed.y_pred, None, 0.0, observed.interval, observed.ticket)
            self.pending.put(waiting)
            said.append(waiting.y_pred)
            if self.watch is not None:
                self.watch.observe(waiting)
        return said

    def _learn_late(self, rows: Rows) -> list[Label]:
        """Learn rows whose labels have come."""
        adapter = self._adapter()
        said: list[Label] = []
        for of, y in zip(rows.seq, rows.y, strict=True):
            waiting = self.pending.take(_full_name(rows), rows.epoch, int(of))
            said.append(None if waiting is None else [waiting.y_pred])
            if waiting is None or y is None:
                continue
            if self.watch is not None:
                self.watch.late(waiting, y)
            else:
                adapter.learn(waiting.row, y, waiting.ticket)
        return said

    def _adapter(self) -> ModelAdapter:
        if self.watch is None:
            return ModelAdapter(self._model)
        self.watch.heard = []
        return self.watch.adapter

    def values(self, X: Table, features: Sequence[Hashable]) -> tuple[Matrix, Outputs]:
        """Return probabilities of rows (n, classes) and the classes, or values (n, 1) and no classes."""
        return ModelAdapter(self._model).values(X, tuple(features))  # type: ignore[arg-type]

    def predict(self, X: Table, features: Iterable[Hashable] | None) -> list[Label]:
        """Predict rows without learning."""
        if isinstance(X, list):
            return [plain(self.model.predict_one(x)) for x in X]
        return _listed(self.model.predict_array(X, features))

    def state_sha256(self) -> str:
        """SHA-256 of the model's state: that of a model alone that learned the same rows."""
        return state_sha256(*export_model(self.model))

    def to_bytes(self, key: Key) -> bytes:
        """Return everything that must be remembered of the key."""
        if self._young is not None:
            return to_bytes(
                _ROWS, {"key": key, "rows": [rows.encode() for rows in self._young]}, {}
            )
        model, arrays = self.model.export_state()
        watched, watch_arrays = ({}, {}) if self.watch is None else self.watch.export_state()
        seen = {source: list(place) for source, place in self.seen.items()}
        config = {
            "key": key,
            "seen": seen,
            "model": {**model, "kind": type(self.model).__name__},
            **watched,
        }
        if len(self.pending):
            config["pending"] = self.pending.export_state()
        return to_bytes(_KIND, config, {**with_prefix("model", arrays), **watch_arrays})

    def restore(self, saved: Saved) -> None:
        """Take over what `to_bytes` kept beside the model."""
        self._young = None
        self.seen = {source: (epoch, seq) for source, (epoch, seq) in saved.config["seen"].items()}
        if self.watch is not None and "watch" in saved.config:
            self.watch.restore_state(saved)
        if "pending" in saved.config:
            self.pending.restore_state(saved.config["pending"])
        self.changed = False

    def report(self) -> dict[str, Any]:
        """Return rows seen and, where the key is watched, its scores, drifts and forgetting."""
        watched = {} if self.watch is None else self.watch.report()
        plain_report: dict[str, Any] = jsonable({"n_samples": self.model.n_seen, **watched})
        return plain_report


def _listed(answers: Any) -> list[Label]:
    return answers.tolist() if hasattr(answers, "tolist") else list(answers)
