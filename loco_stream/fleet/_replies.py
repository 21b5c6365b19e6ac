"""Replies to prediction requests in a stream: the model of its key predicts each row."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from loco_stream._problems import TARGETS, is_numeric
from loco_stream.engine._row import cut
from loco_stream.errors import SourceError
from loco_stream.fleet._fleet import Fleet
from loco_stream.fleet._key_router import KeyRouter
from loco_stream.fleet._rows import Key, Matrix, Outputs
from loco_stream.stream import Block, Event, PredictRequest

_Reply: TypeAlias = tuple[Matrix, Outputs]  # values of each row, and the classes of the columns
_Predicted: TypeAlias = tuple[list[int], _Reply]  # numbers of rows, and what is predicted of them


class Replies:
    """Replies to requests, and to blocks whose sender wants the predictions of their rows.

    fleet: the models
    router: finds the keys of rows
    reply: called with an event, values and classes

    Its attributes:
    n_requested: rows of prediction requests
    n_without_key: those of them without a key
    """

    def __init__(
        self, fleet: Fleet, router: KeyRouter, reply: Callable[[Event, Matrix, Outputs], None]
    ) -> None:
        self._fleet = fleet
        self._router = router
        self._reply = reply
        # value of a class or target that the model of a key does not know
        self._unknown = math.nan if is_numeric(fleet.task) else 0.0
        self.n_requested = 0
        self.n_without_key = 0

    def steps(self, events: Sequence[Event]) -> Iterator[list[Event]]:
        """Yield events to learn, and reply in between; a reply follows all events before it."""
        to_learn: list[Event] = []
        for event in events:
            if not isinstance(event, PredictRequest) and not (
                isinstance(event, Block) and event.tag is not None
            ):
                to_learn.append(event)
                continue
            if to_learn:
                yield to_learn
                to_learn = []
            if isinstance(event, PredictRequest):
                self.n_requested += len(event.X)
                self._reply_to_request(event)
            else:
                yield from self._reply_to_block(event)
        if to_learn:
            yield to_learn

    def _reply_to_request(self, event: PredictRequest) -> None:
        try:
            keys, X, names = self._router.keys(event.X, event.features)
        except SourceError:  # a request without keys must not end the stream
            keys = [None] * len(event.X)
            X = event.X
            names = event.features
        self.n_without_key += keys.count(None)
        self._reply(event, *self._joined(len(X), self._values(keys, X, names, range(len(X)))))

    def _reply_to_block(self, event: Block) -> Iterator[list[Event]]:
        """Yield a block in pieces without a repeated key, each predicted before it is learned."""
        keys, X, names = self._router.keys(event.X, event.features)
        predictions: list[_Predicted] = []
        begin = 0
        for end in _ends(keys, whole=event.y is None):
            predictions += self._values(keys, X, names, range(begin, end))
            yield [cut(event, begin, end)]
            begin = end
        self._reply(event, *self._joined(len(X), predictions))

    def _values(
        self,
        keys: Sequence[Key | None],
        X: Matrix,
        names: Sequence[Hashable],
        rows: Iterable[int],
    ) -> list[_Predicted]:
        """Return what the model of each key predicts of its rows among `rows`.

        A key without a model, or no key, has the prediction of the shared model, if there is one.
        """
        rows_by_key: dict[Key | None, list[int]] = {}
        for i in rows:
            rows_by_key.setdefault(keys[i], []).append(i)
        predictions = []
        for key, members in rows_by_key.items():
            values = self._fleet.values(key, X[members], names)
            if values is not None:
                predictions.append((members, values))
        return predictions

    def _joined(self, n: int, predictions: Sequence[_Predicted]) -> _Reply:
        """Return the values of `n` rows, and the classes or targets of all.

        A class that the key's model does not know has probability 0, and a target that it does not
        know is NaN. A row without a prediction has 0 for every class, or NaN.
        """
        if self._fleet.task not in ("classification", TARGETS):
            table = np.full((n, 1), math.nan, np.float32)
            for rows, (numbers, _) in predictions:
                table[rows] = numbers
            return table, []
        outputs = dict.fromkeys(label for _, (_, labels) in predictions for label in labels)
        columns = {label: j for j, label in enumerate(outputs)}
        table = np.full((n, len(columns)), self._unknown, np.float32)
        for rows, (probabilities, labels) in predictions:
            places = [columns[label] for label in labels]
            table[np.ix_(rows, places)] = probabilities
        return table, list(columns)


def _ends(keys: Sequence[Key | None], *, whole: bool) -> list[int]:
    """Return where pieces without a repeated key end.

    With `whole` there is one piece, because no row is learned in between.
    """
    ends: list[int] = []
    seen: set[Key | None] = set()
    for i, key in enumerate(keys):
        if not whole and key is not None and key in seen:
            ends.append(i)
            seen = set()
        seen.add(key)
    return [*ends, len(keys)]
