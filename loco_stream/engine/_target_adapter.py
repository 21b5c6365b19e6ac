"""The interface of the engine to a model of several targets, whose labels are dicts."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from loco_stream._arrays import Array
from loco_stream._numbers import plain
from loco_stream._persistence.content import Config, State
from loco_stream._problems import plain_label
from loco_stream.engine._model_adapter import (
    BlockPredictions,
    ModelAdapter,
    RowPrediction,
    TicketArray,
)
from loco_stream.engine._row import Features, Label, Row, by_name, cut
from loco_stream.estimators._tickets import Ticket
from loco_stream.stream import Block

Bounds: TypeAlias = dict[Hashable, tuple[float, float]]
Table: TypeAlias = Array
Intervals: TypeAlias = Any  # `Bounds`, or None; a model of one target has a pair in its place
Context: TypeAlias = dict[str, Any]


class TargetAdapter(ModelAdapter):
    """Calls a `MultiTargetRegressor` of river, or one of this package by array.

    Predictions and intervals are dicts by target; they are None while no target is known.
    """

    @property
    def classes(self) -> Sequence[Label]:
        """Targets that the model knows; none if it does not list them."""
        known: Sequence[Label] = getattr(self.model, "targets", ()) if self.takes_blocks else ()
        return known

    def predict(self, row: Row) -> Label:
        """Return the value of each target; None while the model has learned nothing."""
        if row.features is not None and self.takes_blocks:
            values = self.model.predict_array(row.x, row.features, **self.row_time(row))
            predicted = dict(zip(self.classes, values[0].tolist(), strict=True))
        else:
            predicted = self.model.predict_one(row.named, *self._time_argument(row))
        return {plain(name): plain(value) for name, value in predicted.items()} or None

    def _from_ticket(self, ticket: Ticket, with_proba: bool, interval: Intervals) -> RowPrediction:
        return RowPrediction(ticket.prediction or None, None, interval, ticket.predicted)

    def learn(self, row: Row, y: Label, ticket: TicketArray | None = None) -> None:
        """Learn a labelled row; `ticket` is the one of `observe` if the row waited."""
        if ticket is None and row.features is not None and self.takes_blocks:
            names, values = self._matrix([y])
            self.model.learn_array(row.x, values, row.features, names, **self.row_time(row))
        else:
            super().learn(row, y, ticket)

    def _intervals(self, X: Table, features: Features, context: Context) -> list[Intervals]:
        if not self._has_intervals:
            return [None] * len(X)
        bounds = self.model.predict_interval_array(X, features=features, **context)
        return [_bounds(self.classes, row) for row in bounds.tolist()]

    def _matrix(self, labels: Sequence[Mapping[Hashable, float]]) -> tuple[list[Label], Table]:
        """Return the targets, those of the model first, and their values, NaN where missing."""
        names = list(dict.fromkeys([*self.classes, *(name for y in labels for name in y)]))
        slot_of = {name: j for j, name in enumerate(names)}
        values = np.full((len(labels), len(names)), np.nan)
        for i, y in enumerate(labels):
            for name, value in y.items():
                values[i, slot_of[name]] = value
        return names, values

    def _test_then_train(
        self, block: Block, y: Sequence[Label], in_detail: bool
    ) -> Iterator[BlockPredictions]:
        """Do what `test_then_train` does, in one call while no new target comes."""
        labels = [plain_label(label) for label in y]
        starts = _first_rows(labels, self.classes)
        for begin, end in zip(starts, [*starts[1:], len(labels)], strict=True):
            part = cut(block, begin, end) if len(starts) > 1 else block
            yield self._train_together(part, labels[begin:end], in_detail)

    def _train_together(
        self, block: Block, labels: Sequence[Mapping[Hashable, float]], in_detail: bool
    ) -> BlockPredictions:
        """Predict and then learn rows of which only the first one may have new targets."""
        n_known = len(self.classes)
        names, Y = self._matrix(labels)
        named = {"features": block.features, "targets": names, **self.block_context(block)}
        bounds: Sequence[Intervals] = [None] * len(labels)
        if in_detail:
            values, ends = self.model.learn_predict_interval_array(block.X, Y, **named)
            bounds = ends.tolist()
        else:
            values = self.model.learn_predict_array(block.X, Y, **named)
        y_pred: list[Label] = []
        intervals: list[Intervals] = []
        for row, ends in zip(values.tolist(), bounds, strict=True):
            known = names[:n_known]  # before the row
            y_pred.append(dict(zip(known, row, strict=False)) or None)
            intervals.append(None if ends is None else _bounds(known, ends[:n_known]))
            n_known = len(names)
        return BlockPredictions(y_pred, intervals)

    def predict_values(
        self,
        X: Table,
        features: Features,
        context: Context,
        in_stream: bool | None = False,
    ) -> tuple[Table, Sequence[Label]]:
        """Return values (n_rows, n_targets) and the targets; see `ModelAdapter`."""
        if self.takes_blocks:
            values = self.model.predict_array(X, features, **context, **self._mode(in_stream))
            return np.asarray(values, np.float32), list(self.classes)
        rows = [self.model.predict_one(by_name(row, features)) for row in X]
        targets = list(dict.fromkeys(name for row in rows for name in row))
        table = [[row.get(name, np.nan) for name in targets] for row in rows]
        return np.array(table, np.float32).reshape(len(rows), len(targets)), targets


def _bounds(names: Sequence[Hashable], row: Sequence[Sequence[float]]) -> Bounds | None:
    """Return the interval of each target in a row; None if there is no target."""
    return {name: (low, high) for name, (low, high) in zip(names, row, strict=True)} or None


def _first_rows(labels: Sequence[Mapping[Hashable, float]], known: Iterable[Hashable]) -> list[int]:
    """Return the first row, and each row that brings a target."""
    seen = set(known)
    starts = [0]
    for i, y in enumerate(labels):
        if not seen.issuperset(y):
            seen.update(y)
            starts.append(i)
    return list(dict.fromkeys(starts))


class TargetSummary:
    """One number for the label and one for the prediction of a row, for tests of change.

    Each target is standardised by its mean and deviation so far. The summary of a label is the mean
    over its targets, and the summary of a prediction differs from it by the mean absolute error.
    """

    def __init__(self) -> None:
        self._targets: dict[Hashable, list[float]] = {}  # n, mean, sum of squared deviations

    def update(self, y: Mapping[Hashable, float], y_pred: Label) -> tuple[float, float | None]:
        """Return the summaries of a label and of its prediction, then count the label.

        The second is None if no target was predicted.
        """
        levels = []
        errors = []
        for name, value in y.items():
            n, mean, squares = own = self._targets.setdefault(name, [0.0, 0.0, 0.0])
            scale = (squares / n) ** 0.5 if squares > 0.0 else 1.0
            levels.append((value - mean) / scale)
            if y_pred is not None and name in y_pred:
                errors.append(abs(value - y_pred[name]) / scale)
            own[0] = n + 1.0
            own[1] = mean + (value - mean) / (n + 1.0)
            own[2] = squares + (value - mean) * (value - own[1])
        level = sum(levels) / len(levels)
        return level, level - sum(errors) / len(errors) if errors else None

    def export_state(self) -> Config:
        """Return everything as plain values."""
        return {"targets": [[name, *own] for name, own in self._targets.items()]}

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self._targets = {name: list(own) for name, *own in state["targets"]}
