"""One way to call any online model, whether its rows come by name or as arrays."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import ConfigError
from loco_stream.estimators.tickets import Ticket
from loco_stream.stream import Block

__all__ = ["Answer", "ModelAdapter", "Observed", "Row", "Spoken", "last_step", "plain", "task_of"]

Array = NDArray[np.float32]


@dataclass(slots=True)
class Row:
    """A row on its way: `x` by name (`features` None), or as one array row with its column names.

    `t` is the event time that is told of it, in a block perhaps that of the first row; `moment` is
    its own, or NaN.
    """

    x: Any
    features: tuple[str, ...] | None = None
    seq: int = 0
    t: float = float("nan")
    source: str = ""
    epoch: int = 0
    sequence: Hashable = None
    moment: float = float("nan")

    @property
    def named(self) -> Mapping[Any, Any]:
        """The row by name; missing values are left out."""
        return self.x if self.features is None else by_name(self.x[0], self.features)


class Answer(NamedTuple):
    """What a model said of a row.

    Its label or value, the probability of the true label, an interval of the value.
    """

    y_pred: Any
    p_true: float | None = None
    interval: tuple[float, float] | None = None


class Spoken(NamedTuple):
    """What a model said of the rows of a block.

    In classification also `proba`, (n_rows, n_classes).

    Row i was predicted when the first `known[i]` of `classes` were known.
    """

    answers: list[Answer]
    proba: NDArray[np.float64] | None = None
    classes: Sequence[Any] = ()
    known: Sequence[int] = ()


class Observed(NamedTuple):
    """What a model said of a row whose label comes later, with the probability of each class, and its ticket."""

    y_pred: Any
    proba: Mapping[Any, float] | None
    interval: tuple[float, float] | None
    ticket: NDArray[np.float64] | None = None


class ModelAdapter:
    """The model's doors by name and, where it has them, by array.

    Parameters
    ----------
    model
        Anything with `predict_one` and `learn_one`, as river defines them. A model with
        `learn_predict_array` gets blocks whole; another gets their rows by name.
    """

    def __init__(self, model: Any) -> None:
        for name in ("predict_one", "learn_one"):
            if not callable(getattr(model, name, None)):
                raise ConfigError(
                    f"model must have predict_one and learn_one, but {type(model).__name__} has no {name}"
                )
        self.model = model
        self.takes_blocks = hasattr(model, "learn_predict_array")
        self._gives_tickets = hasattr(model, "observe_one")  # our own: it also takes times
        self._gives_proba = callable(getattr(model, "predict_proba_one", None))
        self._gives_intervals = hasattr(model, "predict_interval_array")
        self._names_the_likeliest = hasattr(
            model, "learn_predict_proba_array"
        )  # our own: the first of the likeliest

    @property
    def tells_blocks(self) -> bool:
        """Whether `learn_predict` says all that a record of a prediction holds."""
        return self._gives_intervals or self._names_the_likeliest

    @property
    def estimator(self) -> object:
        """The model, or the last step of a pipeline: what has a seed, classes, categories."""
        return last_step(self.model)

    @property
    def features(self) -> tuple[Hashable, ...] | None:
        """The names that the model knows, None where it does not tell."""
        return getattr(self.model, "features", None) if self.takes_blocks else None

    @property
    def takes_text(self) -> bool:
        """Whether texts are inputs.

        What a model of another library makes of them is its own affair.
        """
        return not self.takes_blocks or bool(getattr(self.model, "categories", 0))

    def predict(self, row: Row) -> Any:
        """Return the label or value, None while the model knows nothing."""
        if self._knows_nothing:
            return None
        if row.features is not None and self.takes_blocks:
            return plain(self.model.predict_array(row.x, row.features, **self.at(row))[0])
        y_pred = self.model.predict_one(row.named, *self._when(row))
        return (
            None if isinstance(y_pred, Mapping) else plain(y_pred)
        )  # river: {} means no answer yet

    def answer(self, row: Row, wants_proba: bool) -> tuple[Any, Mapping[Any, float] | None]:
        """Return what `predict` does, and the probability of each class if it is wanted and the model gives any."""
        proba = None
        if wants_proba and self._gives_proba:
            try:
                proba = self.proba(row)
            except NotImplementedError:  # so river's classifiers say that they know labels alone
                self._gives_proba = False
        if proba and self._names_the_likeliest:
            return max(proba, key=proba.__getitem__), proba
        return self.predict(row), proba

    def proba(self, row: Row) -> Mapping[Any, float]:
        """Return the probability of each class."""
        if row.features is not None and self.takes_blocks:
            values = self.model.predict_proba_array(row.x, row.features, **self.at(row))
            return dict(zip(self.model.classes, values[0].tolist(), strict=True))
        return {
            plain(label): float(p)
            for label, p in self.model.predict_proba_one(row.named, *self._when(row)).items()
        }

    def observe(self, row: Row, wants_proba: bool) -> Observed:
        """Return what is said of a row whose label comes later, and what `learn` is to be told of it then."""
        interval = self.interval(row)
        if not self._gives_tickets:
            return Observed(*self.answer(row, wants_proba), interval)
        if row.features is None:
            ticket = self.model.observe_one(row.x, *self._when(row))
        else:
            (ticket,) = self.model.observe_array(row.x, row.features, **self.at(row))
        return self._observed(ticket, wants_proba, interval)

    def enter(self, sequence: Hashable) -> None:
        """Tell the model which event the next row is of; None says nothing of it."""
        if sequence is not None and self._gives_tickets:
            self.model.enter_sequence(sequence)

    def observe_block(self, block: Block, wants_proba: bool) -> list[Observed]:
        """Return for each row of a block what `observe` does, in one call."""
        X = block.X
        features = block.features
        intervals = self.intervals(X, features, **self.context(block))
        if self._gives_tickets:
            tickets = self.model.observe_array(X, features, **self.context(block))
            return [
                self._observed(*pair)
                for pair in zip(tickets, repeat(wants_proba), intervals, strict=False)
            ]
        values, classes = self.values(X, features) if wants_proba else (np.zeros((len(X), 0)), ())
        predicted = [plain(label) for label in self.model.predict_array(X, features).tolist()]
        return [
            Observed(
                y_pred, dict(zip(classes, row, strict=True)) if wants_proba else None, interval
            )
            for y_pred, row, interval in zip(predicted, values.tolist(), intervals, strict=True)
        ]

    def _observed(
        self, ticket: Ticket, wants_proba: bool, interval: tuple[float, float] | None
    ) -> Observed:
        y_pred = None if self._knows_nothing else ticket.prediction
        return Observed(y_pred, ticket.proba if wants_proba else None, interval, ticket.said)

    def _when(self, row: Row) -> tuple[float, ...]:
        """Return the row's time for the doors by name of a model that takes one."""
        return (row.moment,) if self._gives_tickets and row.features is None else ()

    def at(self, row: Row) -> dict[str, Any]:
        """Return the row's time for the doors by array of a model that takes one."""
        return {"t": [row.moment]} if self._gives_tickets and row.moment == row.moment else {}

    def context(self, block: Block) -> dict[str, Any]:
        """Return times and sequences of a block's rows for a model that takes them."""
        if not self._gives_tickets or (
            block.times is None and block.sequence is None and block.t != block.t
        ):
            return {}
        return {"t": block.row_times, "sequence": block.sequence}

    def learn(self, row: Row, y: Any, said: NDArray[np.float64] | None = None) -> None:
        """Learn one labelled row.

        `said` is the ticket that `observe` gave, if the row waited for its label.
        """
        if said is not None:
            self.model.learn_one(Ticket(row.x, row.features, None, None, said), y)
        elif row.features is not None and self.takes_blocks:
            self.model.learn_array(row.x, [y], row.features, **self.at(row))
        else:
            self.model.learn_one(row.named, y, *self._when(row))

    def interval(self, row: Row) -> tuple[float, float] | None:
        """Return what a regression says that the value lies in, None where it says nothing."""
        if not self._gives_intervals:
            return None
        if row.features is not None:
            return self.intervals(row.x, row.features, **self.at(row))[0]
        low, high = self.model.predict_interval_one(row.named, t=row.moment)
        return low, high

    def intervals(
        self, X: Array, features: tuple[str, ...], **at: Any
    ) -> Sequence[tuple[float, float] | None]:
        """Return `interval` of each row of a block."""
        if not self._gives_intervals:
            return [None] * len(X)
        return [
            (low, high)
            for low, high in self.model.predict_interval_array(X, features=features, **at).tolist()
        ]

    @property
    def _knows_nothing(self) -> bool:
        """Whether a regression of our own has no label yet.

        It answers 0.0, which says nothing of it.
        """
        return self._gives_intervals and self.model.n_seen == 0

    def learn_predict(self, block: Block, y: Sequence[Any]) -> Spoken:
        """Test-then-train over a block in one call."""
        X = block.X
        named = {"features": block.features, **self.context(block)}
        if self._gives_intervals:
            first = self._knows_nothing
            values, bounds = self.model.learn_predict_interval_array(X, y, **named)
            answers = [
                Answer(value, None, (low, high))
                for value, (low, high) in zip(values.tolist(), bounds.tolist(), strict=True)
            ]
            return Spoken([Answer(None), *answers[1:]] if first and answers else answers)
        if not self._names_the_likeliest:
            predicted = self.model.learn_predict_array(X, y, **named).tolist()
            return Spoken([Answer(plain(label)) for label in predicted])
        before = len(self.model.classes)
        proba = self.model.learn_predict_proba_array(X, y, **named)
        classes = self.model.classes
        best = proba.argmax(axis=1).tolist()
        place = {label: slot for slot, label in enumerate(classes)}
        slots = [place[plain(label)] for label in y]
        known = _known(slots, before)
        p_true = proba[np.arange(len(slots)), slots].tolist()
        answers = [
            Answer(classes[slot], p) if n else Answer(None)
            for slot, p, n in zip(best, p_true, known, strict=True)
        ]
        return Spoken(answers, proba, classes, known)

    def values(self, X: Array, features: tuple[str, ...], **at: Any) -> tuple[Array, Sequence[Any]]:
        """Return probabilities (n_rows, n_classes) and the classes, or values (n_rows, 1) and no classes.

        `at` is what `at` or `context` says of the rows.
        """
        regression = task_of(self.model) == "regression"
        if self.takes_blocks and regression:
            return np.asarray(
                self.model.predict_array(X, features, **at), dtype=np.float32
            ).reshape(-1, 1), ()
        if self.takes_blocks:
            proba = self.model.predict_proba_array(X, features, **at)
            return np.asarray(proba, dtype=np.float32), list(self.model.classes)
        rows = [by_name(row, features) for row in X]
        if regression:
            return np.array([[self.model.predict_one(row)] for row in rows], dtype=np.float32), ()
        answers = [self.model.predict_proba_one(row) for row in rows]
        classes = list(dict.fromkeys(label for answer in answers for label in answer))
        table = [[answer.get(label, 0.0) for label in classes] for answer in answers]
        return np.array(table, dtype=np.float32).reshape(len(rows), len(classes)), classes


def by_name(values: Array, features: tuple[str, ...]) -> dict[str, float]:
    """One array row as a dict without the missing values."""
    pairs = zip(features, values.tolist(), strict=True)
    return {name: value for name, value in pairs if value == value and value is not None}


def _known(slots: Sequence[int], n: int) -> list[int]:
    """Return how many classes were known before each label came, n before the first.

    Slots are given in order.
    """
    known = []
    for slot in slots:
        known.append(n)
        n = max(n, slot + 1)
    return known


def plain(label: Any) -> Any:
    """Return a label as a plain Python value: numpy scalars fit neither JSON nor a checkpoint."""
    return label.item() if isinstance(label, np.generic) else label


def last_step(model: object) -> object:
    """Return the last step of a pipeline of river, any other model as it is."""
    compose = sys.modules.get("river.compose")
    while compose is not None and isinstance(model, compose.Pipeline):
        model = next(reversed(model.steps.values()))
    return model


def task_of(model: Any) -> str:
    """Tell "classification" from "regression" as river does.

    A model unknown to river by its doors.
    """
    if "river" in sys.modules:
        from river import base

        if isinstance(model, base.Regressor | base.Classifier):
            return "regression" if isinstance(model, base.Regressor) else "classification"
    return "classification" if hasattr(model, "predict_proba_one") else "regression"
