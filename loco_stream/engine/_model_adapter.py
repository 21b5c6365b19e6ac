"""One interface to any online model, whether its rows come by name or as arrays."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from loco_stream._arrays import Float32, Float64
from loco_stream._numbers import plain
from loco_stream._prediction_mode import has_parameter, takes_mode
from loco_stream._problems import FORECASTING, TARGETS
from loco_stream.engine._row import Features, Label, Proba, Row, by_name, cut, row_at
from loco_stream.errors import ConfigError
from loco_stream.estimators._tickets import Ticket
from loco_stream.stream import Block

Model: TypeAlias = Any  # has `predict_one` and `learn_one`
Table: TypeAlias = Float32
Interval: TypeAlias = tuple[float, float] | None
TicketArray: TypeAlias = Float64


class RowPrediction(NamedTuple):
    """The prediction of one row.

    `y_pred` is None while the model has learned nothing. `proba` holds the probability of each
    class, None in regression or where it was not computed. `ticket` is what the model needs to
    learn the row later, when its label comes.
    """

    y_pred: Label
    proba: Proba | None = None
    interval: Interval = None
    ticket: TicketArray | None = None


class BlockPredictions(NamedTuple):
    """Predictions of the rows of a block, each made before the row was learned.

    The first two have one entry per row, as in `RowPrediction`. In classification `proba` is
    (n_rows, n_classes); row i was predicted when the first `known[i]` of `classes` were known.
    """

    y_pred: list[Label]
    interval: list[Interval]
    proba: Float64 | None = None
    classes: Sequence[Label] = ()
    known: Sequence[int] = ()

    def p_true(self, labels: Sequence[Label]) -> list[float | None]:
        """Return the probability of the label of each row; None where no class was known."""
        if self.proba is None or not self.classes:
            return [None] * len(labels)
        slot_of = {label: slot for slot, label in enumerate(self.classes)}
        slots = np.array([slot_of.get(label, -1) for label in labels])
        shares = self.proba[np.arange(len(slots)), slots]
        shares[slots < 0] = 0.0  # the row was not learned, and no other one of its class
        n_unknown = self.known.count(0)
        return [*repeat(None, n_unknown), *shares[n_unknown:].tolist()]


class ModelAdapter:
    """Calls the methods of a model by name, and by array where it has them.

    `model`: anything with `predict_one` and `learn_one`, as river defines them. A model with
    `learn_predict_array` gets whole blocks; another one gets their rows by name.

    `takes_blocks`: whether the model learns whole blocks.
    """

    def __init__(self, model: Model) -> None:
        learner = last_step(model)  # a pipeline has the methods of every kind of model
        for name in ("predict_one", "learn_one"):
            if not callable(getattr(learner, name, None)):
                raise ConfigError(
                    "`model` must have predict_one and learn_one, "
                    f"got {type(learner).__name__} without {name}"
                )
        self.model = model
        self.takes_blocks = hasattr(model, "learn_predict_array")
        self._has_tickets = hasattr(model, "observe_one")  # such a model takes times too
        self._has_mode = takes_mode(model.predict_one)
        self._has_proba = callable(getattr(model, "predict_proba_one", None))
        self._has_intervals = hasattr(model, "predict_interval_array")
        # without a decision, such a model predicts the first of the most probable classes
        self._has_block_proba = hasattr(model, "learn_predict_proba_array")
        self._takes_held_out = has_parameter(
            getattr(model, "learn_predict_array", None), "held_out"
        )

    @property
    def has_full_blocks(self) -> bool:
        """Whether `test_then_train` returns everything that a prediction record holds."""
        return self._has_intervals or self._has_block_proba

    @property
    def estimator(self) -> object:
        """The model, or the last step of a pipeline, which has the seed and the classes."""
        return last_step(self.model)

    @property
    def features(self) -> Features | None:
        """Features that the model knows; None if it does not list them."""
        return getattr(self.model, "features", None) if self.takes_blocks else None

    @property
    def takes_text(self) -> bool:
        """Whether texts are inputs; models of other libraries decide for themselves."""
        return not self.takes_blocks or bool(getattr(self.model, "categories", 0))

    @property
    def classes(self) -> Sequence[Label]:
        """Classes that the model knows; none if it does not list them."""
        known: Sequence[Label] = getattr(self.model, "classes", ()) if self.takes_blocks else ()
        return known

    @property
    def fillers(self) -> Mapping[Hashable, int]:
        """Number of fill values per feature that the model took for missing ones."""
        return getattr(self.estimator, "fillers", {})

    @property
    def n_seen(self) -> int | None:
        """Number of rows that the model has learned; None if it does not count them."""
        return getattr(self.model, "n_seen", None)

    @property
    def _is_untrained_regressor(self) -> bool:
        """Whether the model predicts 0.0 only because it has not learned any row."""
        return self._has_intervals and self.model.n_seen == 0

    def enter_sequence(self, sequence: Hashable) -> None:
        """Announce the sequence of the next row to a model with a context; None is ignored."""
        if sequence is not None and self._has_tickets:
            self.model.enter_sequence(sequence)

    def _mode(self, in_stream: bool | None) -> dict[str, Any]:
        """Return the prediction mode for a model that takes one."""
        return {"in_stream": in_stream} if self._has_mode else {}

    # one row of the stream

    def predict(self, row: Row) -> Label:
        """Return the label or value; None while the model has learned nothing."""
        if self._is_untrained_regressor:
            return None
        if row.features is not None and self.takes_blocks:
            context = {**self.row_time(row), **self._mode(True)}
            return plain(self.model.predict_array(row.x, row.features, **context)[0])
        y_pred = self.model.predict_one(row.named, *self._time_argument(row), **self._mode(True))
        return None if isinstance(y_pred, dict) else plain(y_pred)  # river: {} is no prediction

    def predict_row(self, row: Row, with_proba: bool) -> RowPrediction:
        """Return the prediction with interval and, if wanted and known, probabilities."""
        proba = self.predict_proba(row) if with_proba else None
        if proba and self._has_block_proba and self.model.decision is None:
            y_pred = max(proba, key=proba.__getitem__)
        else:
            y_pred = self.predict(row)
        return RowPrediction(y_pred, proba, self.predict_interval(row))

    def predict_proba(self, row: Row) -> Proba | None:
        """Return the probability of each class; None from a model without probabilities."""
        if not self._has_proba:
            return None
        mode = self._mode(True)
        if row.features is not None and self.takes_blocks:
            values = self.model.predict_proba_array(
                row.x, row.features, **self.row_time(row), **mode
            )
            return dict(zip(self.model.classes, values[0].tolist(), strict=True))
        try:
            proba = self.model.predict_proba_one(row.named, *self._time_argument(row), **mode)
        except NotImplementedError:  # from classifiers of river without probabilities
            self._has_proba = False
            return None
        return {plain(label): float(p) for label, p in proba.items()}

    def predict_interval(self, row: Row) -> Interval:
        """Return the prediction interval of a regression; None if the model has none."""
        if not self._has_intervals:
            return None
        if row.features is not None:
            return self._intervals(row.x, row.features, self.row_time(row))[0]
        interval: Interval = self.model.predict_interval_one(row.named, t=row.own_t)
        return interval or None  # of several targets, none is known

    def observe(self, row: Row, with_proba: bool) -> RowPrediction:
        """Return the prediction of a row whose label comes later; the row enters the context."""
        if not self._has_tickets:
            return self.predict_row(row, with_proba)
        interval = self.predict_interval(row)
        if row.features is None:
            ticket = self.model.observe_one(row.x, *self._time_argument(row))
        else:
            (ticket,) = self.model.observe_array(row.x, row.features, **self.row_time(row))
        return self._from_ticket(ticket, with_proba, interval)

    def _from_ticket(self, ticket: Ticket, with_proba: bool, interval: Interval) -> RowPrediction:
        y_pred = None if self._is_untrained_regressor else ticket.prediction
        return RowPrediction(
            y_pred, ticket.proba if with_proba else None, interval, ticket.predicted
        )

    def learn(self, row: Row, y: Label, ticket: TicketArray | None = None) -> None:
        """Learn a labelled row; `ticket` is the one of `observe` if the row waited."""
        if ticket is not None:
            self.model.learn_one(Ticket(row.x, row.features, None, None, ticket), y)
        elif row.features is not None and self.takes_blocks:
            self.model.learn_array(row.x, [y], row.features, **self.row_time(row))
        else:
            self.model.learn_one(row.named, y, *self._time_argument(row))

    def _time_argument(self, row: Row) -> tuple[float, ...]:
        """Return the row's time for methods by name of a model that takes one."""
        return (row.own_t,) if self._has_tickets and row.features is None else ()

    def row_time(self, row: Row) -> dict[str, Any]:
        """Return the row's time for array methods of a model that takes one."""
        return {"t": [row.own_t]} if self._has_tickets and row.own_t == row.own_t else {}

    # blocks

    def block_context(self, block: Block) -> dict[str, Any]:
        """Return times and sequences of a block's rows for a model that takes them."""
        has_none = block.times is None and block.sequence is None and block.t != block.t
        if not self._has_tickets or has_none:
            return {}
        return {"t": block.row_times, "sequence": block.sequence}

    def observe_block(self, block: Block, with_proba: bool) -> list[RowPrediction]:
        """Return the result of `observe` for each row of a block, in one call."""
        context = self.block_context(block)
        intervals = self._intervals(block.X, block.features, context)
        if self._has_tickets:
            tickets = self.model.observe_array(block.X, block.features, **context)
            rows = zip(tickets, repeat(with_proba), intervals, strict=False)
            return [self._from_ticket(*row) for row in rows]
        predicted = self.model.predict_array(block.X, block.features, **self._mode(True)).tolist()
        probas = self._block_probas(block) if with_proba else [None] * len(block.X)
        return list(map(RowPrediction, map(plain, predicted), probas, intervals))

    def _block_probas(self, block: Block) -> list[Proba | None]:
        values, classes = self.predict_values(block.X, block.features, {}, in_stream=True)
        return [dict(zip(classes, row, strict=True)) for row in values.tolist()]

    def _intervals(self, X: Table, features: Features, context: dict[str, Any]) -> list[Interval]:
        if not self._has_intervals:
            return [None] * len(X)
        bounds = self.model.predict_interval_array(X, features=features, **context)
        return [(low, high) for low, high in bounds.tolist()]

    def test_then_train(
        self,
        block: Block,
        y: Sequence[Label],
        held: Sequence[int] = (),
        in_detail: bool = True,
    ) -> Iterator[BlockPredictions]:
        """Predict and then learn each row of a block; yield the predictions of each call.

        A call that raises leaves the rows of the calls before it learned.

        block, y: the rows and their labels, plain values
        held: rows that are predicted and observed, but not learned; in order
        in_detail: whether there are intervals or probabilities
        """
        if not held:
            yield from self._test_then_train(block, y, in_detail)
            return
        # a model that has learned nothing does not observe rows either
        if self._takes_held_out and self.n_seen:
            yield self._in_one_call(block, y, in_detail, held)
            return
        yield from self._around_held(block, y, held, in_detail)

    def _around_held(
        self, block: Block, y: Sequence[Label], held: Sequence[int], in_detail: bool
    ) -> Iterator[BlockPredictions]:
        """Learn the rows between those that are held out, and observe these one by one."""
        begin = 0
        for i in held:
            if i > begin:
                part = cut(block, begin, i)
                yield from self._test_then_train(part, y[begin:i], in_detail)
            yield self._test(row_at(block, i), in_detail)
            begin = i + 1
        if begin < len(y):
            part = cut(block, begin, len(y))
            yield from self._test_then_train(part, y[begin:], in_detail)

    def _test(self, row: Row, in_detail: bool) -> BlockPredictions:
        """Predict a row and observe it."""
        self.enter_sequence(row.sequence)
        if not in_detail:
            prediction = self.predict(row)
            self.observe(row, False)
            return without_details([prediction])
        y_pred, proba, interval, _ = self.predict_row(row, self._has_block_proba)
        self.observe(row, False)
        predictions = BlockPredictions([y_pred], [interval])
        if proba is None:
            return predictions
        table = np.array([list(proba.values())])
        return predictions._replace(proba=table, classes=self.model.classes, known=[len(proba)])

    def _test_then_train(
        self, block: Block, y: Sequence[Label], in_detail: bool
    ) -> Iterator[BlockPredictions]:
        """Do what `test_then_train` does if no row is held out."""
        yield self._in_one_call(block, y, in_detail, ())

    def _in_one_call(
        self, block: Block, y: Sequence[Label], in_detail: bool, held: Sequence[int]
    ) -> BlockPredictions:
        """Predict and then learn each row; `held` is empty unless the model takes it."""
        named = {"features": block.features, **self.block_context(block)}
        if held:
            named["held_out"] = held
        if self._has_intervals:
            return self._train_regressor(block.X, y, named, in_detail)
        if self._has_block_proba and in_detail:
            return self._train_classifier(block.X, y, named, held)
        predicted = self.model.learn_predict_array(block.X, y, **named).tolist()
        return without_details(list(map(plain, predicted)))

    def _train_regressor(
        self, X: Table, y: Sequence[Label], named: dict[str, Any], in_detail: bool
    ) -> BlockPredictions:
        is_untrained = self._is_untrained_regressor
        if in_detail:
            values, bounds = self.model.learn_predict_interval_array(X, y, **named)
            intervals: list[Interval] = [(low, high) for low, high in bounds.tolist()]
            predictions = without_details(values.tolist())._replace(interval=intervals)
        else:
            values = self.model.learn_predict_array(X, y, **named)
            predictions = without_details(values.tolist())
        if is_untrained and len(X):
            predictions.y_pred[0] = None
            predictions.interval[0] = None
        return predictions

    def _train_classifier(
        self, X: Table, y: Sequence[Label], named: dict[str, Any], held: Sequence[int]
    ) -> BlockPredictions:
        n_known = len(self.model.classes)
        proba = self.model.learn_predict_proba_array(X, y, **named)
        classes = self.model.classes
        known = [n_known] * len(y)
        if len(classes) > n_known:
            known = _known_classes(y, held, classes, n_known)
        y_pred = self._chosen(proba, known)
        if not n_known and len(y):  # nothing is predicted before there is a class
            y_pred[0] = None
        return BlockPredictions(y_pred, [None] * len(y), proba, classes, known)

    def _chosen(self, proba: Float64, known: Sequence[int]) -> list[Label]:
        """Return the label that follows from the probabilities of each row."""
        if self.model.decision is not None:
            return [plain(label) for label in self.model.decide_array(proba, known).tolist()]
        classes = self.model.classes
        return [classes[slot] for slot in proba.argmax(axis=1).tolist()]

    def predict_values(
        self,
        X: Table,
        features: Features,
        context: dict[str, Any],
        in_stream: bool | None = False,
    ) -> tuple[Table, Sequence[Label]]:
        """Return probabilities (n_rows, n_classes) and the classes, or values (n_rows, 1).

        `context` comes from `row_time` or `block_context`. Rows of a request do not belong to the
        stream; with `in_stream`, they are its next ones.
        """
        context = {**context, **self._mode(in_stream)}
        is_regression = task_of(self.model) == "regression"
        if not self.takes_blocks:
            rows = [by_name(row, features) for row in X]
            if is_regression:
                return np.array([[self.model.predict_one(row)] for row in rows], np.float32), ()
            return self._named_probas(rows)
        if is_regression:
            values = np.asarray(self.model.predict_array(X, features, **context), np.float32)
            return values.reshape(-1, 1), ()
        proba = self.model.predict_proba_array(X, features, **context)
        return np.asarray(proba, dtype=np.float32), list(self.model.classes)

    def _named_probas(self, rows: list[Any]) -> tuple[Table, Sequence[Label]]:
        probas = [self.model.predict_proba_one(row) for row in rows]
        classes = list(dict.fromkeys(label for proba in probas for label in proba))
        table = [[proba.get(label, 0.0) for label in classes] for proba in probas]
        return np.array(table, dtype=np.float32).reshape(len(rows), len(classes)), classes


def joined(parts: Sequence[BlockPredictions]) -> BlockPredictions:
    """Join predictions of rows that follow one another; new classes have probability 0 before."""
    if len(parts) == 1:
        return parts[0]
    y_pred = [label for part in parts for label in part.y_pred]
    interval = [interval for part in parts for interval in part.interval]
    if parts[-1].proba is None:
        return BlockPredictions(y_pred, interval)
    known = [n for part in parts for n in part.known]
    classes = parts[-1].classes
    proba = _joined_proba(parts, (len(y_pred), len(classes)))
    return BlockPredictions(y_pred, interval, proba, classes, known)


def _joined_proba(parts: Sequence[BlockPredictions], shape: tuple[int, int]) -> Float64:
    proba = np.zeros(shape)
    begin = 0
    for part in parts:
        if part.proba is not None:
            proba[begin : begin + len(part.y_pred), : part.proba.shape[1]] = part.proba
        begin += len(part.y_pred)
    return proba


def without_details(y_pred: list[Label]) -> BlockPredictions:
    """Return predictions without probabilities and intervals."""
    return BlockPredictions(y_pred, [None] * len(y_pred))


def _known_classes(
    labels: Sequence[Label], held: Sequence[int], classes: Sequence[Label], n: int
) -> list[int]:
    """Return the number of classes known before each label.

    It is `n` before the first label. Rows that are `held` make no class known.
    """
    slot_of = {label: slot for slot, label in enumerate(classes)}
    known = []
    for i, label in enumerate(labels):
        known.append(n)
        if i not in held:
            n = max(n, slot_of[label] + 1)
    return known


def last_step(model: object) -> object:
    """Return the last step of a pipeline of river, and any other model as it is."""
    compose = sys.modules.get("river.compose")
    while compose is not None and isinstance(model, compose.Pipeline):
        model = next(reversed(model.steps.values()))
    return model


def _has_several_targets(model: Model) -> bool:
    """Return whether the labels of a model are dicts."""
    river = sys.modules.get("river.base")
    return river is not None and isinstance(last_step(model), river.MultiTargetRegressor)


def task_of(model: Model) -> str:
    """Return the problem that a model solves, by its class or methods."""
    if hasattr(model, "learn_results_array"):
        return "watching"
    if _has_several_targets(model):
        return TARGETS
    if hasattr(model, "learn_forecast_array"):
        return FORECASTING
    if "river" in sys.modules:
        from river import base

        if isinstance(model, base.Regressor | base.Classifier):
            return "regression" if isinstance(model, base.Regressor) else "classification"
    return "classification" if hasattr(model, "predict_proba_one") else "regression"
