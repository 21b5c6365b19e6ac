"""Rows of arrays and frames: learned or predicted in one call, in parts where texts are new."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from loco_stream._arrays import Float64, Int64
from loco_stream._learner.step import HELD_OUT
from loco_stream.estimators._core import ModelCore
from loco_stream.estimators._inputs.categories import first_rows, text_columns
from loco_stream.estimators._inputs.tables import Names, Table

_STRETCH = 4096  # rows with texts that are widened at a time


def learn_table(
    core: ModelCore,
    given: Table,
    names: Sequence[Hashable],
    targets: tuple[Int64, Float64],
    predicts: bool,
    times: Float64,
    proba: Float64,
) -> Float64:
    """Learn rows whose features and classes are admitted; return the answers.

    given, names: the rows, and the feature of each column
    targets: slots of the classes, `HELD_OUT` for rows that are not learned, and target values, (n,)
    predicts: whether each row is predicted before it is learned
    times: as `ModelCore.times_of` returns them
    proba: (n, classes) probabilities, or half widths of intervals, written; empty if not wanted

    Returns slots or values, (n,) or (n, targets); -1 where no class is predicted.
    """
    if given.texts and core.slots.categories.bound:
        answers = _TextRows(core, given, names, targets, times, proba).learn(predicts)
    else:
        rows = core.placed(given.numbers, names)
        answers = core.run(rows, *targets, predicts=predicts, proba=proba, times=times)
    core.warn_of_columns()
    return answers


def predict_table(
    core: ModelCore,
    given: Table,
    features: Names,
    times: Float64,
    columns: int,
    in_stream: bool | None,
    *,
    is_sequence: bool = False,
) -> tuple[Float64, Float64]:
    """Return answers, (n,) or (n, targets), and probabilities or half widths, (n, columns).

    given, features: the rows, and the names of their columns if they are not those of a frame
    times: as `ModelCore.times_of` returns them
    columns: room for classes, or for half widths of intervals
    in_stream: as in `LOCOClassifier.predict_one`
    is_sequence: whether the rows are one sequence, which is then summed up
    """
    n = len(given.numbers)
    given, names = core.named(given, features)
    if core.state is None:
        return core.no_answers(n), np.full((n, columns), np.inf)
    if not core.slots.knows_any(names):
        core.warnings.warn_unknown(names, core.slots.index)
    proba = np.zeros((n, columns))
    answers = core.run(
        core.rows_of(given, names),
        learns=False,
        proba=proba,
        times=times,
        in_stream=in_stream,
        is_sequence=is_sequence,
    )
    return core.decided(answers, proba), proba


class _TextRows:
    """Rows of a table with texts, which get their slots row by row, as rows by name do."""

    def __init__(
        self,
        core: ModelCore,
        given: Table,
        names: Sequence[Hashable],
        targets: tuple[Int64, Float64],
        times: Float64,
        proba: Float64,
    ) -> None:
        self.core = core
        self.given = given
        self.names = names
        self.labels, self.values = targets
        self.times = times
        self.proba = proba
        self.columns = text_columns(names, given.texts)
        self.answers = core.no_answers(len(self.labels))

    def learn(self, predicts: bool) -> Float64:
        """Learn all rows; return the answers, -1 where not predicted."""
        core = self.core
        begin = 0
        learned = self.labels != HELD_OUT
        for row in first_rows(self.columns, core.slots.categories, learned):
            texts = [(column.key, column.text(row)) for column in self.columns]
            if core.slots.has_new_texts(texts):
                self._learn_part(begin, row, predicts)
                if predicts:  # before the new texts of the row are known
                    self._predict(row)
                core.admit((), texts=texts)
                self._learn_part(row, row + 1, predicts=False)
                begin = row + 1
        self._learn_part(begin, len(self.labels), predicts)
        for column in self.columns:
            column.count_shared(core.slots.categories, learned)
        return self.answers

    def _predict(self, row: int) -> None:
        part = slice(row, row + 1)
        rows = self.core.with_texts(self.given, self.names, self.columns, part)
        times = self.times[part]
        answers = self.core.run(rows, learns=False, proba=self.proba[part], times=times)
        self.answers[row] = answers[0]

    def _learn_part(self, begin: int, end: int, predicts: bool) -> None:
        for first in range(begin, end, _STRETCH):
            part = slice(first, min(first + _STRETCH, end))
            answers = self.core.run(
                self.core.with_texts(self.given, self.names, self.columns, part),
                self.labels[part],
                self.values[part],
                predicts=predicts,
                proba=self.proba[part],
                times=self.times[part],
            )
            if predicts:
                self.answers[part] = answers
