"""Rows in time: what an estimator remembers of the last ones, and rows whose label comes later."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from loco_stream.errors import InputError
from loco_stream.estimators._base import LOCOEstimator
from loco_stream.estimators.explain.result import Explanation
from loco_stream.estimators.inputs.categories import text_columns
from loco_stream.estimators.inputs.row_times import NO_MOMENTS
from loco_stream.estimators.inputs.slots import plain_label, require_mapping
from loco_stream.estimators.inputs.tables import Table, frame_columns, table
from loco_stream.estimators.tickets import Ticket
from loco_stream.learner.arrays.scratch import CLEAN_FOR
from loco_stream.learner.arrays.state import IS_TIMED, LABEL, N_BACKWARD, N_CLASSES, N_FEATURES
from loco_stream.learner.delayed_labels.pending import ticket_size
from loco_stream.numbers import LARGEST, require_number
from loco_stream.options import Settings

__all__ = ["ContextualEstimator"]


class ContextualEstimator(LOCOEstimator):
    """What both estimators do with rows that follow one another, or that wait for their label."""

    @property
    def backward_times(self) -> int:
        """Number of rows whose time lay before that of the row they followed.

        Each counted as one gap later.
        """
        return 0 if self._state is None else int(self._state.memory.clock[N_BACKWARD])

    def reset_context(self) -> None:
        """Make the next row a first one: nothing of the rows before is left to it."""
        with self._lock:
            self._sequence = None
            if self._state is not None and self._scratch is not None:
                memory = self._state.memory
                memory.kept.fill(0.0)
                memory.ring.fill(0.0)
                memory.clock[IS_TIMED] = 0.0
                memory.steps[LABEL] = -1.0
                self._scratch.flags[CLEAN_FOR] = -1

    def enter_sequence(self, sequence: Hashable) -> None:
        """Make the next row a first one, unless it is of the same sequence as the last one.

        Parameters
        ----------
        sequence
            The id of the event that the next row is of, any hashable value but NaN; what
            `sequence=` gives a row of an array.

        Raises
        ------
        InputError
            It is not hashable, or NaN.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=16, memory=(0.3, 50.0))
        >>> for run, level in [("a", 0.1), ("a", 0.2), ("b", 0.9)]:
        ...     model.enter_sequence(run)
        ...     model.learn_one({"level": level}, level > 0.5)
        """
        name = plain_label(sequence)
        with self._lock:
            if name != self._sequence:
                self.reset_context()
                self._sequence = name

    def observe_one(self, x: Mapping[Any, Any], t: float | None = None) -> Ticket:
        """Take note of a row whose label comes later, or never.

        It is the one that the next row follows.

        Parameters
        ----------
        x
            The row. Features and classes unknown so far are not learned from it.
        t
            Its time, as in `learn_one`.

        Returns
        -------
        Ticket
            What was said of the row; hand it to `learn_one` in place of the row when the label has
            come.

        Raises
        ------
        InputError
            x is no mapping, or t no number.
        """
        require_mapping(x)
        x = dict(x)
        moment = self._moment(t)
        with self._lock:
            if self.n_seen == 0:
                return self._blank(x, None)
            if self._slots.fill(x, self._row[0]) and not self._slots.knows_any(x):
                self._notices.strange(x, self._slots.index)
            return self._observe(self._row, moment, [x], None)[0]

    def observe_array(
        self,
        X: ArrayLike,
        features: Iterable[Hashable] | None = None,
        *,
        t: ArrayLike | None = None,
        sequence: Iterable[Any] | None = None,
    ) -> list[Ticket]:
        """Take note of rows in order, as `observe_one` does of one.

        See `learn_array` for the parameters.

        Raises
        ------
        InputError
            As `predict_array` does.
        """
        given = table(X)
        n = len(given.numbers)
        with self._lock:
            names = tuple(self._names(given.numbers.shape[1], features))
            moments, last = self._moments(t, sequence, n)
            rows = (
                [given.numbers[i : i + 1] for i in range(n)]
                if not given.texts
                else _by_name(given, names)
            )
            columns = None if given.texts else names
            if self.n_seen == 0:
                return [self._blank(row, columns) for row in rows]
            if not self._slots.knows_any(names):
                self._notices.strange(names, self._slots.index)
            self._sequence = last
            placed = self._with_texts(given, names, text_columns(names, given.texts), 0, n)
            return self._observe(placed, moments, rows, columns)

    def explain(
        self, X: Any, features: Iterable[Hashable] | None = None
    ) -> Explanation | list[Explanation]:
        """Explain the answer to each row of an array or frame, or to one row by name.

        See `explain_one`.

        Parameters
        ----------
        X
            One mapping, or rows as `predict_array` takes them.
        features
            Names of the columns; those of a frame are known.

        Raises
        ------
        InputError
            As `explain_one` and `predict_array` do.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier
        >>> model = LOCOClassifier(hidden_sizes=(8,), seed=1)
        >>> model.learn_array([[i % 10, i % 7] for i in range(200)], [i % 10 > 4 for i in range(200)])
        >>> [why.prediction for why in model.explain([[9, 3], [0, 3]])]
        [True, False]
        """
        if isinstance(X, Mapping):
            return self.explain_one(X)
        if features is None and hasattr(X, "columns"):
            features = frame_columns(X)
        given = table(X)
        with self._lock:
            names = tuple(self._names(given.numbers.shape[1], features))
            return [self.explain_one(row) for row in _by_name(given, names)]

    def _observe(
        self,
        placed: NDArray[np.float64],
        moments: NDArray[np.float64],
        rows: list[Any],
        names: tuple[Hashable, ...] | None,
    ) -> list[Ticket]:
        """Observe rows in slot order; `rows` are the same as they came."""
        settings = self._settings
        state = self._state
        assert settings is not None
        assert state is not None
        said = np.zeros((len(rows), ticket_size(settings, *state.counts[[N_CLASSES, N_FEATURES]])))
        proba = np.zeros((len(rows), state.classes.shape[1]))
        answers = self._run(placed, learns=False, moments=moments, proba=proba, tickets=said)
        if self._regression:
            return [
                Ticket(x, names, float(answers[i]), None, said[i], self._origin)
                for i, x in enumerate(rows)
            ]
        return [
            Ticket(
                x,
                names,
                self._classes[int(answers[i])],
                dict(zip(self._classes, proba[i].tolist(), strict=False)),
                said[i],
                self._origin,
            )
            for i, x in enumerate(rows)
        ]

    def _blank(self, x: Any, names: tuple[Hashable, ...] | None) -> Ticket:
        """Return the ticket of a row that came before anything was learned."""
        prediction, proba = (0.0, None) if self._regression else (None, dict[Hashable, float]())
        return Ticket(x, names, prediction, proba, np.zeros(0), self._origin)

    def _learn_ticket(self, ticket: Ticket, y: Any) -> None:
        """Learn a row whose label has come, from what was said of it at the time."""
        label = () if self._regression else (plain_label(y),)
        value = require_number("y", y) if self._regression else 0.0
        with self._lock:
            self._check_ticket(ticket)
            tickets = ticket.said[None, :]
            slots = self._admit(
                ticket.x if ticket.features is None else ticket.features, label
            ) or [0]
            if ticket.features is None:
                self._learn_row(ticket.x, slots[0], value, NO_MOMENTS, tickets)
                return
            row = self._placed(table(ticket.x).numbers, ticket.features)
            self._run(row, np.array(slots), np.array([value]), predicts=False, tickets=tickets)
            self._judge()

    def _check_ticket(self, ticket: Ticket) -> None:
        """Refuse a ticket of another model, and numbers that compiled code would misread."""
        said = ticket.said
        settings = self._settings
        if None not in (ticket.origin, self._origin) and ticket.origin is not self._origin:
            raise InputError(
                "the ticket is not one of this model but of another; learn the row itself"
            )
        if len(said) == 0:
            return
        sound = (
            settings is not None
            and said.ndim == 1
            and said.dtype == np.float64
            and said.flags.c_contiguous
        )
        if sound and bool((np.abs(said) <= LARGEST).all()):
            known = int(said[0])
            most = 1 if self._regression else len(self._classes)
            if (
                0 <= known <= most
                and settings is not None
                and self._fits(settings, len(said), known)
            ):
                return
        raise InputError("the ticket is not one of this model; learn the row itself")

    def _fits(self, settings: Settings, length: int, n_classes: int) -> bool:
        """Return whether a ticket of so many classes, and no more features than are known now, has that length."""
        beyond = length - ticket_size(settings, n_classes, 0)
        if settings.max_delay == 0:
            return beyond == 0
        features, rest = divmod(beyond, settings.max_delay * settings.n_fields)
        return rest == 0 and 1 <= features <= len(self._slots)


def _by_name(given: Table, names: tuple[Hashable, ...]) -> list[dict[Hashable, Any]]:
    """Return rows that hold texts by name."""
    rows = [dict(zip(names, row, strict=True)) for row in given.numbers.tolist()]
    for j, column in given.texts.items():
        for row, text in zip(rows, column, strict=True):
            row[names[j]] = text
    return rows
