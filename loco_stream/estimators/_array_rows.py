"""Rows of arrays and frames: learned or predicted in one call, in parts where inputs are new."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from loco_stream._arrays import Float64, Int64
from loco_stream._learner.step import HELD_OUT
from loco_stream.estimators._core import ModelCore, check_mode
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
    n_slots: int,
) -> Float64:
    """Learn rows whose features and classes are admitted; return the answers.

    The features that are new are inputs of no row up to the first one that is learned, just as in
    rows by name.

    given, names: the rows, and the feature of each column
    targets: slots of the classes, `HELD_OUT` for rows that are not learned, and target values, (n,)
    predicts: whether each row is predicted before it is learned
    times: as `ModelCore.times_of` returns them
    proba: (n, classes) probabilities, or half widths of intervals, written; empty if not wanted
    n_slots: number of slots before the rows were admitted

    Returns slots or values, (n,) or (n, targets); -1 where no class is predicted.
    """
    may_have_new_texts = given.texts and core.slots.categories.bound
    if may_have_new_texts or n_slots < len(core.slots) or core.n_seen == 0:
        return _RowsInParts(core, given, names, targets, times, proba, n_slots).learn(predicts)
    rows = core.placed(given.numbers, names)
    return core.run(rows, *targets, predicts=predicts, proba=proba, times=times)


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
    check_mode(in_stream)
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


class _RowsInParts:
    """Rows of a table whose new features and texts become inputs when their row is learned.

    Rows by name do the same. Before its first row a model predicts and observes nothing.
    """

    def __init__(
        self,
        core: ModelCore,
        given: Table,
        names: Sequence[Hashable],
        targets: tuple[Int64, Float64],
        times: Float64,
        proba: Float64,
        n_slots: int,
    ) -> None:
        self.core = core
        self.given = given
        self.names = names
        self.labels, self.values = targets
        self.times = times
        self.proba = proba
        self.n_slots = n_slots  # that are inputs so far
        # with no room for texts at all they are masked, and none shares a slot
        texts = given.texts if core.slots.categories.bound else {}
        self.columns = text_columns(names, texts)
        self.answers = core.no_answers(len(self.labels))

    def learn(self, predicts: bool) -> Float64:
        """Learn all rows; return the answers, -1 where not predicted."""
        core = self.core
        n = len(self.labels)
        learned = self.labels != HELD_OUT
        first = int(learned.argmax()) if learned.any() else n
        begin = 0
        if core.n_seen == 0:
            begin = first
            self.n_slots = len(core.slots)
        later = first_rows(self.columns, core.slots.categories, learned)
        for row in sorted({first, *later} - {n}):
            texts = [(column.key, column.text(row)) for column in self.columns]
            if self.n_slots < len(core.slots) or core.slots.has_new_texts(texts):
                self._learn_part(begin, row, predicts)
                if predicts:  # before the new inputs of the row are known
                    self._predict(row)
                core.admit((), texts=texts)
                self.n_slots = len(core.slots)
                self._learn_part(row, row + 1, predicts=False)
                begin = row + 1
        self._learn_part(begin, n, predicts)
        for column in self.columns:
            column.count_shared(core.slots.categories, learned)
        return self.answers

    def _predict(self, row: int) -> None:
        part = slice(row, row + 1)
        rows = self._inputs(part)
        times = self.times[part]
        answers = self.core.run(rows, learns=False, proba=self.proba[part], times=times)
        self.answers[row] = answers[0]

    def _learn_part(self, begin: int, end: int, predicts: bool) -> None:
        for first in range(begin, end, _STRETCH):
            part = slice(first, min(first + _STRETCH, end))
            answers = self.core.run(
                self._inputs(part),
                self.labels[part],
                self.values[part],
                predicts=predicts,
                proba=self.proba[part],
                times=self.times[part],
            )
            if predicts:
                self.answers[part] = answers

    def _inputs(self, part: slice) -> Float64:
        """Return a part of the rows in slot order, masked where a slot is no input yet."""
        rows = self.core.with_texts(self.given, self.names, self.columns, part)
        if self.n_slots == len(self.core.slots):
            return rows
        return np.where(np.arange(rows.shape[1]) < self.n_slots, rows, np.nan)
