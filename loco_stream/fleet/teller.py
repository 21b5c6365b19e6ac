"""Answers for those who ask a stream: each row is answered by the model of its key."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from loco_stream.engine.source_reader import cut
from loco_stream.errors import SourceError
from loco_stream.fleet.by_key import KeySorter
from loco_stream.fleet.fleet import Fleet
from loco_stream.fleet.rows import Key, Matrix, Said
from loco_stream.stream import Block, Event, PredictRequest

__all__ = ["Teller"]

_Answer: TypeAlias = tuple[Matrix, Said]  # one a row, and the classes


class Teller:
    """Answers questions, and blocks whose sender waits for what is said of their rows before they are learned.

    Parameters
    ----------
    fleet
        Whose models answer.
    sorter
        Tells keys.
    reply
        Called with an event, values and classes.

    Attributes
    ----------
    n_asked, n_without_key
        Rows of questions, and those of them that had no key.
    """

    def __init__(
        self, fleet: Fleet, sorter: KeySorter, reply: Callable[[Event, Matrix, Said], None]
    ) -> None:
        self._fleet = fleet
        self._sorter = sorter
        self._reply = reply
        self.n_asked = self.n_without_key = 0

    def steps(self, events: Sequence[Event]) -> Iterator[list[Event]]:
        """Yield events to be learned, and answer in between, each answer from all that came before it."""
        some: list[Event] = []
        for event in events:
            if isinstance(event, PredictRequest):
                if some:
                    yield some
                    some = []
                self.n_asked += len(event.X)
                self._ask(event)
            elif isinstance(event, Block) and event.tag is not None:
                if some:
                    yield some
                    some = []
                yield from self._block(event)
            else:
                some.append(event)
        if some:
            yield some

    def _ask(self, event: PredictRequest) -> None:
        try:
            keys, X, names = self._sorter.keys(event.X, event.features)
        except SourceError:  # who asks so must not end the stream
            keys = [None] * len(event.X)
            X = event.X
            names = event.features
        self.n_without_key += keys.count(None)
        self._reply(event, *_joined([self._values(keys, X, names)]))

    def _block(self, event: Block) -> Iterator[list[Event]]:
        """Yield a block in stretches in which no key comes twice, so that no row is answered by what it teaches."""
        keys, X, names = self._sorter.keys(event.X, event.features)
        answers = []
        begin = 0
        for end in _ends(keys, whole=event.y is None):
            answers.append(self._values(keys[begin:end], X[begin:end], names))
            yield [cut(event, begin, end)]
            begin = end
        self._reply(event, *_joined(answers))

    def _values(self, keys: Sequence[Key | None], X: Matrix, names: Sequence[Hashable]) -> _Answer:
        """Return an answer for each row and the classes of all.

        A class that the key's model does not know has probability 0, and a key without model no
        class, or no number.
        """
        members: dict[Key, list[int]] = {}
        for i, key in enumerate(keys):
            if key is not None:
                members.setdefault(key, []).append(i)
        found = {key: self._fleet.values(key, X[rows], names) for key, rows in members.items()}
        known = {
            label: None for values in found.values() if values is not None for label in values[1]
        }
        columns = {label: j for j, label in enumerate(known)}
        regression = self._fleet.task == "regression"
        shape = (len(keys), 1 if regression else len(columns))
        table = np.full(shape, math.nan if regression else 0.0, np.float32)
        for key, values in found.items():
            if values is not None:
                places = [0] if regression else [columns[label] for label in values[1]]
                table[np.ix_(members[key], places)] = values[0]
        return table, list(columns)


def _ends(keys: Sequence[Key | None], *, whole: bool) -> list[int]:
    """Return where stretches without a repeated key end.

    One stretch if the `whole` may be answered at once.
    """
    ends: list[int] = []
    seen: set[Key | None] = set()
    for i, key in enumerate(keys):
        if not whole and key is not None and key in seen:
            ends.append(i)
            seen = set()
        seen.add(key)
    return [*ends, len(keys)]


def _joined(answers: Sequence[_Answer]) -> _Answer:
    """Put answers with classes of their own together."""
    classes = list(dict.fromkeys(label for _, known in answers for label in known))
    if not classes:
        return np.vstack([table for table, _ in answers]), []
    joined = []
    for table, known in answers:
        wide = np.zeros((len(table), len(classes)), np.float32)
        wide[:, [classes.index(label) for label in known]] = table
        joined.append(wide)
    return np.vstack(joined), classes
