"""What flows through the engine, and the two protocols at its ends.

A `Source` yields events; the engine answers with `Prediction` objects that every
`Sink` receives. Nothing here knows sockets, files or models.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Ask",
    "Block",
    "Event",
    "Labels",
    "Prediction",
    "Predictions",
    "Sample",
    "Schema",
    "Sink",
    "Source",
]


@dataclass(frozen=True, slots=True)
class Schema:
    """What a source says of its rows; None where it cannot know.

    Examples
    --------
    >>> Schema("classification", ("speed", "load"), ("ok", "worn")).units is None
    True
    """

    task: str | None = None
    features: tuple[str, ...] | None = None
    classes: tuple[Any, ...] | None = None
    units: tuple[str, ...] | None = None
    schema_id: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One row by name. `y` is None while its label is unknown.

    `seq` counts rows of `source` from 0.

    Rows of the same `sequence`, any plain value, are of one event; None says nothing of it. `epoch`
    and `tag` are those of `Block`.

    Examples
    --------
    >>> Sample({"speed": 0.4, "load": 1.2}, "ok", seq=7).t
    nan
    """

    x: Mapping[Hashable, Any]
    y: Any = None
    seq: int = 0
    t: float = math.nan
    source: str = ""
    sequence: Hashable = None
    epoch: int = 0
    tag: Any = None


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of one source as an array.

    `X` is (n_rows, n_features) float32 with NaN for missing, columns named by `features`; `y` holds
    n_rows labels (None where missing) or is None. `seq` and `t` are the first row's; `times`,
    (n_rows,) float64, are those of all rows where they are known, and `sequence` the n_rows ids of
    their events. `epoch` tells runs of the same source apart; `tag` is the source's own, for
    replies, and None when nobody waits for one.

    Examples
    --------
    >>> X = np.array([[0.4, 1.2], [0.5, np.nan]], dtype=np.float32)
    >>> len(Block(X, ["ok", None], ("speed", "load"), seq=7).X)
    2
    """

    X: NDArray[np.float32]
    y: Sequence[Any] | None
    features: tuple[str, ...]
    seq: int = 0
    t: float = math.nan
    source: str = ""
    epoch: int = 0
    tag: Any = None
    times: NDArray[np.float64] | None = None
    sequence: Sequence[Hashable] | None = None

    @property
    def moments(self) -> NDArray[np.float64]:
        """The time of each row, NaN where it is not known."""
        if self.times is not None:
            return self.times
        moments = np.full(len(self.X), math.nan)
        moments[:1] = self.t
        return moments


@dataclass(frozen=True, slots=True)
class Labels:
    """Late labels: `y[i]` belongs to the row `of[i]` of `source` in `epoch`.

    `seq` is the first pair's own.

    Examples
    --------
    >>> Labels(of=[7, 8], y=["ok", "worn"], source="press 3").epoch
    0
    """

    of: Sequence[int]
    y: Sequence[Any]
    seq: int = 0
    source: str = ""
    epoch: int = 0
    tag: Any = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Rows to predict and not to learn; the answer goes back through `Source.reply`.

    `X` is float32 as in `Block`, or an array of objects where there are texts among the values.

    Examples
    --------
    >>> Ask(np.array([[0.4, 1.2]], dtype=np.float32), ("speed", "load"), tag="whom to answer").X.shape
    (1, 2)
    """

    X: NDArray[np.float32]
    features: tuple[str, ...]
    seq: int = 0
    source: str = ""
    tag: Any = None


Event: TypeAlias = Sample | Block | Labels | Ask


class Prediction(NamedTuple):
    """What the model said of a row before it learned it.

    `proba` maps classes to probabilities (None in regression, empty before any class is known).
    `epoch` tells runs of the same source apart, as in `Block`.

    Examples
    --------
    >>> prediction = Prediction(seq=7, y_pred="ok", y="worn", proba={"ok": 0.8, "worn": 0.2})
    >>> prediction.y_pred == prediction.y
    False
    """

    seq: int
    y_pred: Any
    y: Any = None
    proba: Mapping[Any, float] | None = None
    t: float = math.nan
    source: str = ""
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the model said of consecutive rows, each before it learned it.

    Iterating makes a `Prediction` of each.

    `proba` is (n_rows, n_classes), None in regression, with a column for each of `classes`; row i
    knew the first `known[i]` of them. A learner that hands over a block does not pay for its rows.

    Examples
    --------
    >>> proba = np.array([[1.0, 0.0], [0.25, 0.75]])
    >>> block = Predictions(7, [5.0, 6.0], ["ok", "worn"], ["worn", "ok"], proba, ("ok", "worn"), [1, 2])
    >>> [prediction.proba for prediction in block]
    [{'ok': 1.0}, {'ok': 0.25, 'worn': 0.75}]
    >>> len(block.cut(1, 2))
    1
    """

    seq: int
    t: Sequence[float]
    y_pred: Sequence[Any]
    y: Sequence[Any]
    proba: NDArray[np.float64] | None = None
    classes: Sequence[Any] = ()
    known: Sequence[int] = ()
    source: str = ""
    epoch: int = 0

    def __len__(self) -> int:
        """Return the rows."""
        return len(self.y_pred)

    def __iter__(self) -> Iterator[Prediction]:
        """Yield them one by one."""
        table = None if self.proba is None else self.proba.tolist()
        for i, (t, y_pred, y) in enumerate(zip(self.t, self.y_pred, self.y, strict=True)):
            proba = (
                None
                if table is None
                else dict(zip(self.classes[: self.known[i]], table[i], strict=False))
            )
            yield Prediction(self.seq + i, y_pred, y, proba, t, self.source, self.epoch)

    def cut(self, begin: int, end: int) -> Predictions:
        """Return the rows `begin` to `end`."""
        rows = slice(begin, end)
        proba = None if self.proba is None else self.proba[rows]
        return Predictions(
            self.seq + begin,
            self.t[rows],
            self.y_pred[rows],
            self.y[rows],
            proba,
            self.classes,
            self.known[rows],
            self.source,
            self.epoch,
        )


@runtime_checkable
class Source(Protocol):
    """Where rows come from.

    Iterating yields events one by one, or lists of events that belong to one commit. `position`
    says, in plain JSON-able values, how far the stream was handed out; `seek` goes back there (or
    raises `SourceError`); `ack(position)` tells that everything up to it is learned and durable.
    `reply` sends probabilities (n_rows, n_classes) or values (n_rows, 1) back to whoever sent
    `event`, where the transport has a way back. `guarantee` is the one sentence printed at start.

    A live source yields empty lists while nothing comes, so that a stop is honoured. More members
    are read where a source has them: `needs_log`, True when an ack makes the other side forget the
    rows; `stats`, a dict of what came and what was wrong with it, for the report; `skipped`, bad
    rows left out by kind; `last_error`, the last sentence about either; `place`, where the row at
    hand stands, for errors; and `share`, how much of the stream was handed out, from 0 to 1, for
    the time left. A recording may have a `fingerprint` of what was read, in plain values; a resumed
    run hands it to `verify(fingerprint)`, which refuses another recording.

    Examples
    --------
    >>> from loco_stream.connectors import RiverSource
    >>> isinstance(RiverSource("Phishing"), Source)  # one of your own: see `loco_stream.connectors`
    True
    """

    name: str
    guarantee: str

    @property
    def schema(self) -> Schema | None:
        """What is known of the rows; may become known only as they come."""

    @property
    def position(self) -> dict[str, Any]:
        """How far the stream was handed out."""

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield events, or lists of events of one commit; an empty list is a tick."""

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go on behind `position`."""

    def ack(self, position: Mapping[str, Any]) -> None:
        """Take note that everything up to `position` is learned and durable."""

    def reply(self, event: Event, values: NDArray[np.float32], classes: Sequence[Any]) -> None:
        """Send an answer back where the transport can."""

    def close(self) -> None:
        """Free what the source holds."""


@runtime_checkable
class Sink(Protocol):
    """Where results go: called once a scored row, and once at the end with the report.

    More members are read where a sink has them: `kinds`, the records it wants (a set of
    `loco_stream.records.KINDS`; without it, predictions and the report); `event(record)`, which
    takes those that are no prediction; `write_block(predictions)`, which takes the `Predictions` of
    a block together: that costs the learner less; `end(report)`, called of every sink before any is
    closed, so that those that have to wait do so together; `name` and `stats`, a dict of what it
    counted, for the report; `notes`, sentences on what it lost; and `export_state` with
    `restore_state(state)`, which carry what is not delivered through a checkpoint.

    Examples
    --------
    >>> class Count:
    ...     n = 0
    ...     def write(self, prediction):
    ...         self.n += 1
    ...     def close(self, report):
    ...         print(f"{self.n} rows")
    >>> isinstance(Count(), Sink)
    True
    """

    def write(self, prediction: Prediction) -> None:
        """Take one scored row."""

    def close(self, report: Mapping[str, Any]) -> None:
        """Take the report and end."""
