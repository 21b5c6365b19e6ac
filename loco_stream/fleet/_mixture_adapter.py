"""The model of a key as a trainer sees it: it predicts with a mixture, and learns alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from loco_stream.engine._model_adapter import (
    BlockPredictions,
    ModelAdapter,
    RowPrediction,
    TicketArray,
)
from loco_stream.engine._row import Features, Label, Proba, Row, rows_of
from loco_stream.estimators._classifier import LOCOClassifier
from loco_stream.estimators._decision import Decision
from loco_stream.fleet._rows import Table
from loco_stream.fleet._sharing import Mixture, SharedModel, chosen, probas
from loco_stream.stream import Block


class MixtureAdapter(ModelAdapter):
    """Predicts with the mixture of a key's own model and the shared one.

    model: the key's own model
    shared: the model that all keys share

    Its attributes:
    mixture: the weights. The label of a row adapts them before the row is learned. A label that
        comes late compares what both models predict at that time.
    decision: the rule that chooses a class from the probabilities; None chooses the most probable
        one
    """

    decision: Decision | None = None

    def __init__(self, model: LOCOClassifier, shared: SharedModel) -> None:
        super().__init__(model)
        self.mixture = Mixture()
        self._shared = shared
        self._takes_held_out = False  # the mixture could not leave out a row of a block

    def predict(self, row: Row) -> Label:
        """Return the class that is chosen; None while both models know none."""
        return self._choose(self.predict_proba(row))

    def _choose(self, proba: Proba) -> Label:
        table = np.array([list(proba.values())], np.float64)
        return chosen(table, list(proba), self.decision)[0]

    def predict_proba(self, row: Row) -> Proba:
        """Return the probability of each class."""
        table, classes = self.combined(_table_of(row), row.features, True)
        return dict(zip(classes, table[0].tolist(), strict=True))

    def combined(
        self, X: Table, features: Features | None, in_stream: bool | None
    ) -> tuple[Any, Sequence[Label]]:
        """Return the probabilities of rows (n, n_classes), and the classes."""
        own = probas(self.model, X, features, in_stream)
        return self.mixture.combine(own, self._shared.probas(X, features))

    def observe(self, row: Row, with_proba: bool) -> RowPrediction:
        """Return the prediction of a row whose label comes later; the row enters the context."""
        proba = self.predict_proba(row)
        observed = super().observe(row, False)
        return observed._replace(y_pred=self._choose(proba), proba=proba if with_proba else None)

    def observe_block(self, block: Block, with_proba: bool) -> list[RowPrediction]:
        """Return the result of `observe` for each row of a block."""
        return [self.observe(row, with_proba) for row in rows_of(block)]

    def learn(self, row: Row, y: Label, ticket: TicketArray | None = None) -> None:
        """Adapt the weights to a label, then learn the row."""
        X = _table_of(row)
        own = probas(self.model, X, row.features, True)
        super().learn(row, y, ticket)  # raises for a row that the model refuses
        self.mixture.update(own, self._shared.probas(X, row.features), [y])

    def predict_values(
        self,
        X: Any,
        features: Features,
        context: dict[str, Any],
        in_stream: bool | None = False,
    ) -> tuple[Any, Sequence[Label]]:
        """Return probabilities (n_rows, n_classes) and the classes."""
        return self.combined(X, features or None, in_stream)

    def _test_then_train(
        self, block: Block, y: Sequence[Label], in_detail: bool
    ) -> Iterator[BlockPredictions]:
        others = self._shared.probas(block.X, block.features)
        table = self.model.learn_predict_proba_array(
            block.X, y, block.features, **self.block_context(block)
        )
        proba, classes = self.mixture.update((table, self.model.classes), others, y)
        y_pred = chosen(proba, classes, self.decision)
        known = [len(classes)] * len(y_pred)
        yield BlockPredictions(y_pred, [None] * len(y_pred), proba, classes, known)


def _table_of(row: Row) -> Table:
    """Return the row as a table: an array if it is one, else a list of one row by name."""
    return [row.named] if row.features is None else row.x
