"""Events, predictions, and the base classes of sources and sinks.

A `Source` yields events; the engine passes a `Prediction` for each scored row to every `Sink`. This
module depends on no transport, file format or model.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import SourceError

__all__ = [
    "MAX_SEQ",
    "Block",
    "Event",
    "Labels",
    "Position",
    "PredictRequest",
    "Prediction",
    "Predictions",
    "Record",
    "Sample",
    "Schema",
    "Sink",
    "Source",
]

MAX_SEQ = 2**63 - 1
"""Largest number of a row: logs and sinks hold it as a signed integer of 64 bits."""

Position: TypeAlias = Mapping[str, Any]  # plain values that JSON can hold
"""How far a stream was read: plain values that JSON can hold."""

Record: TypeAlias = dict[str, Any]
"""What a sink receives besides predictions: a map that JSON can hold; see `loco_stream.records`."""

_NO_COUNTS: Mapping[str, int] = MappingProxyType({})

if TYPE_CHECKING:
    _default = property
else:

    class _default:
        """A read-only property that a subclass or an instance may replace by an attribute."""

        def __init__(self, function: Callable[[Any], Any]) -> None:
            self._function = function
            self.__doc__ = function.__doc__

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            return self if instance is None else self._function(instance)


@dataclass(frozen=True, slots=True)
class Schema:
    """Description of the rows of a source; a field is None where it is not known.

    Parameters
    ----------
    task
        ``"classification"``, ``"regression"`` or ``"multi-target regression"``.
    features
        Column names, if every row has the same ones.
    classes
        Labels that may occur.
    units
        Unit of each feature.
    schema_id
        Identifies the schema at the sender.

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
    """One row as a mapping from feature to value.

    Parameters
    ----------
    x
        Features; None and NaN mean missing.
    y
        The label; None while it is unknown.
    seq
        Row number within `source`, from 0.
    t
        Event time in seconds since 1970-01-01 UTC; NaN if unknown.
    source
        Name of the stream that the row belongs to.
    sequence
        Id of the sequence that the row belongs to: any plain value, None for no sequence.
    epoch
        Distinguishes runs of the same source that number their rows from 0 again.
    tag
        Set by the source if the sender waits for a reply; otherwise None.
    id
        Id of the row in other systems, by which a late label can be matched to it; None without
        one. Ids are unique among the rows of an engine: of two rows with one id, the second is
        dropped.
    extra
        Plain values that the record of its prediction repeats, such as the broker's entry id.

    Examples
    --------
    >>> Sample({"speed": 0.4, "load": 1.2}, "ok", seq=7).t
    nan
    """

    x: Mapping[Any, Any]
    y: Any = None
    seq: int = 0
    t: float = math.nan
    source: str = ""
    sequence: Hashable = None
    epoch: int = 0
    tag: Any = None
    id: Any = None
    extra: Mapping[str, Any] | None = None


def _listed(values: Sequence[Any] | None) -> Sequence[Any] | None:
    """Return an array or series as a list of Python values, with None for NaN; others unchanged."""
    if not hasattr(values, "__array__"):
        return values
    array = np.asarray(values)
    if array.ndim == 0:  # a single value: the validation refuses it
        return values
    cells = array.tolist()
    return [None if isinstance(value, float) and value != value else value for value in cells]


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of one source as an array.

    Parameters
    ----------
    X
        (n_rows, n_features) float32 or float64, NaN means missing; or objects if some values are
        text, None means missing.
    y
        n_rows labels, None for a missing one; None if no row has a label. An array becomes a list,
        in which None stands for NaN.
    features
        Column names.
    seq, t
        Row number and event time of the first row.
    source, epoch, tag
        As in `Sample`.
    times
        (n_rows,) float64 event times, or None if they are not known.
    sequence
        n_rows sequence ids, or None; an array becomes a list.

    Examples
    --------
    >>> X = np.array([[0.4, 1.2], [0.5, np.nan]], dtype=np.float32)
    >>> len(Block(X, ["ok", None], ("speed", "load"), seq=7).X)
    2
    >>> Block(X, np.array([1.5, np.nan]), ("speed", "load")).y
    [1.5, None]
    """

    X: NDArray[Any]
    y: Sequence[Any] | None
    features: tuple[str, ...]
    seq: int = 0
    t: float = math.nan
    source: str = ""
    epoch: int = 0
    tag: Any = None
    times: NDArray[np.float64] | None = None
    sequence: Sequence[Hashable] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "y", _listed(self.y))
        object.__setattr__(self, "sequence", _listed(self.sequence))

    @property
    def row_times(self) -> NDArray[np.float64]:
        """Event time of each row; NaN where it is not known."""
        if self.times is not None:
            return self.times
        times = np.full(len(self.X), math.nan)
        times[:1] = self.t
        return times


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels that arrive after their rows.

    Parameters
    ----------
    of
        Row numbers (`seq`) in `source` and `epoch`; with `by_id`, ids of rows of any source.
    y
        One label per row number or id. Arrays become lists, as in `Block`.
    seq
        Number of the first pair, counted by the sender.
    source, epoch, tag
        As in `Sample`.
    by_id
        Whether `of` holds ids.

    Examples
    --------
    >>> Labels(of=[7, 8], y=["ok", "worn"], source="press 3").epoch
    0
    >>> Labels(of=["order 12"], y=["ok"], by_id=True).source
    ''
    """

    of: Sequence[Any]
    y: Sequence[Any]
    seq: int = 0
    source: str = ""
    epoch: int = 0
    tag: Any = None
    by_id: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", _listed(self.of))
        object.__setattr__(self, "y", _listed(self.y))


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """Rows to predict but not to learn; the result goes to `Source.reply`.

    Parameters
    ----------
    X
        (n_rows, n_features) float32 as in `Block`, or an array of objects if some values are text.
    features
        Column names.
    seq, source, tag
        As in `Sample`.

    Examples
    --------
    >>> X = np.array([[0.4, 1.2]], dtype=np.float32)
    >>> PredictRequest(X, ("speed", "load"), tag="client 1").X.shape
    (1, 2)
    """

    X: NDArray[np.float32]
    features: tuple[str, ...]
    seq: int = 0
    source: str = ""
    tag: Any = None


Event: TypeAlias = Sample | Block | Labels | PredictRequest
"""What a source yields."""


class Prediction(NamedTuple):
    """Prediction for one row, made before the row was learned.

    Parameters
    ----------
    seq, t, source, epoch
        Of the row, as in `Sample`.
    y_pred
        The predicted label or value.
    y
        The true one; None while it is unknown.
    proba
        Probability per class; None in regression, empty before the first label.
    id, extra
        Of the row, as in `Sample`.

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
    id: Any = None
    extra: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions for consecutive rows, each made before its row was learned.

    Iteration yields one `Prediction` per row. A sink that takes the block whole in `write_block`
    spares the learner that work.

    Parameters
    ----------
    seq
        Row number of the first row.
    t, y_pred, y
        One event time, prediction and label per row.
    proba
        (n_rows, n_classes), one column per entry of `classes`; None in regression.
    classes
        Class labels in column order.
    known
        Number of classes known at each row: row i has the first ``known[i]`` columns.
    source, epoch
        As in `Sample`.

    Examples
    --------
    >>> proba = np.array([[1.0, 0.0], [0.25, 0.75]])
    >>> labels = ["ok", "worn"]
    >>> block = Predictions(7, [5.0, 6.0], labels, ["worn", "ok"], proba, labels, [1, 2])
    >>> [prediction.proba for prediction in block]
    [{'ok': 1.0}, {'ok': 0.25, 'worn': 0.75}]
    >>> len(block.slice(1, 2))
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
        """Return the number of rows."""
        return len(self.y_pred)

    def __iter__(self) -> Iterator[Prediction]:
        """Yield the rows one by one."""
        table = None if self.proba is None else self.proba.tolist()
        for i, (t, y_pred, y) in enumerate(zip(self.t, self.y_pred, self.y, strict=True)):
            proba = (
                None
                if table is None
                else dict(zip(self.classes[: self.known[i]], table[i], strict=False))
            )
            yield Prediction(self.seq + i, y_pred, y, proba, t, self.source, self.epoch)

    def slice(self, start: int, stop: int) -> Predictions:
        """Return the rows from `start` up to `stop`."""
        rows = slice(start, stop)
        return Predictions(
            self.seq + start,
            self.t[rows],
            self.y_pred[rows],
            self.y[rows],
            None if self.proba is None else self.proba[rows],
            self.classes,
            self.known[rows],
            self.source,
            self.epoch,
        )


def _named(connector: Source | Sink) -> str:
    return f"<{f'{type(connector).__name__} {connector.name}'.rstrip()}>"


class Source(ABC):
    """Base class of everything that delivers rows.

    Only `position` and `__iter__` must be defined. The other members have defaults; those without
    arguments may be replaced by properties or attributes.

    The engine uses a source in this order:

    1. It reads `name`, `guarantee`, `needs_log`, `schema` and `position`.
    2. To resume, it calls `verify` with the stored `fingerprint`, then `seek` and
       `restore_side_state`.
    3. It iterates, or calls `read_blocks`. Every yielded event, or list of events, is one commit;
       `position` read right after the yield is the position of that commit.
    4. It calls `reply` for events whose sender expects a prediction, and `ack` once a commit is
       learned and durable. Positions are acknowledged in the order in which they were read.
    5. It calls `close`, once, even after an error.

    All calls come from the engine's thread. `loco_stream.testing.check_source` runs a source
    through this lifecycle.

    Attributes
    ----------
    name
        Name in reports and records.
    guarantee
        One sentence on delivery, printed at start: ``"exactly once (resumes from the row
        number)"``.
    is_live
        Whether rows arrive in real time. The engine then does not count waiting as work, a fleet
        commits at once, and the source yields an empty list at least every 0.1 s while nothing
        arrives, so that a stop takes effect.
    needs_log
        Whether rows cannot be read again, as `ack` makes the sender forget them, or the sender
        keeps none. The engine then writes them to its log before it learns them.
    on_bad
        What happens to a bad row: ``"skip"`` (left out and counted) or ``"stop"`` (raises).
    targets
        Names of the targets if a label is a mapping from several to numbers.
    labels_from
        Where labels are expected, such as ``"the field 'y'"``; the engine names it while no label
        comes.
    roles
        What columns are that are not features, such as ``{"y": "the label"}``; errors repeat it.
    used
        Columns that the user has asked for by name. The engine leaves out a column of texts that
        are nearly all distinct, unless it is one of these.
    notes
        Sentences on the rows for the report, such as that texts look like numbers.
    without_features
        Why rows hold nothing but a label, such as ``"y.csv has no column besides y"``; empty if
        they hold more. Only a forecaster learns such rows.

    Examples
    --------
    >>> from loco_stream.stream import Sample, Source
    >>> class Ramp(Source):
    ...     name = "ramp"
    ...     guarantee = "exactly once (resumes from the row number)"
    ...     row = 0
    ...
    ...     @property
    ...     def position(self):
    ...         return {"row": self.row}
    ...
    ...     def seek(self, position):
    ...         self.row = position["row"]
    ...
    ...     def __iter__(self):
    ...         while self.row < 3:
    ...             self.row += 1
    ...             yield Sample({"level": self.row}, self.row > 1, seq=self.row - 1)
    >>> [sample.y for sample in Ramp()]
    [False, True, True]
    """

    name: str = ""
    guarantee: str = ""
    is_live: bool = False
    needs_log: bool = False
    on_bad: str = "skip"
    targets: tuple[str, ...] = ()
    labels_from: str = ""
    roles: Mapping[str, str] = MappingProxyType({})
    used: Collection[str] = ()
    notes: Sequence[str] = ()
    without_features: str = ""

    def __repr__(self) -> str:
        return _named(self)

    @property
    @abstractmethod
    def position(self) -> Position:
        """How far the stream was read, in plain values that JSON can hold."""

    @abstractmethod
    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield events, or lists of events that form one commit; an empty list means no news."""

    def read_blocks(self) -> Iterator[Event | Sequence[Event]]:
        """Yield the rows that iteration yields, in larger blocks where the source can.

        The engine calls this instead of iterating when the model learns whole blocks. `position`
        behaves as during iteration.
        """
        return iter(self)

    @_default
    def schema(self) -> Schema | None:
        """Description of the rows; None until it is known."""
        return None

    def seek(self, position: Position) -> None:
        """Continue after `position`, a value that `position` had in this or an earlier process.

        Raises
        ------
        SourceError
            The source cannot continue there.
        """
        raise SourceError(f"{self.name or type(self).__name__} cannot resume: it defines no `seek`")

    def ack(self, position: Position) -> None:
        """Note that everything up to `position` is learned and durable."""

    def refuse(self, source: str, seq: int, reason: str) -> None:
        """Handle a refused row, which is not learned but acknowledged.

        Called before `ack`, so that a source can tell the sender or keep the row elsewhere; after a
        restart also for rows in the log. By default nothing is done.

        Parameters
        ----------
        source, seq
            Of the row, as in `Sample`.
        reason
            One sentence.
        """

    def repeat(self, source: str, seq: int) -> None:
        """Handle a row that is dropped because its id was seen before; by default nothing is done.

        Parameters
        ----------
        source, seq
            Of the row, as in `Sample`.
        """

    def hold(self, seconds: float, reason: str) -> None:
        """Wait while nothing can be acknowledged.

        Called again and again while the log cannot be written, instead of reading on. A source can
        report it to senders that ask. By default it only waits.

        Parameters
        ----------
        seconds
            How long to wait.
        reason
            One sentence.
        """
        time.sleep(seconds)

    def reply(self, event: Event, values: NDArray[np.float32], classes: Sequence[Any]) -> None:
        """Send a prediction to the sender of `event`.

        Parameters
        ----------
        event
            A `PredictRequest`, or a row with a `tag`.
        values
            (n_rows, n_classes) probabilities, or (n_rows, 1) values in regression.
        classes
            Label of each column; empty in regression.
        """

    def close(self) -> None:
        """Release connections and files; a second call does nothing."""

    @_default
    def stats(self) -> Mapping[str, int]:
        """Counters of the transport for the report, by name."""
        return _NO_COUNTS

    @_default
    def skipped(self) -> Mapping[str, int]:
        """Number of bad rows that were left out, by kind."""
        return _NO_COUNTS

    @_default
    def outage(self) -> str:
        """Why no rows can come, such as a lost connection; empty while they can.

        A service answers ``/ready`` with 503 meanwhile.
        """
        return ""

    @_default
    def last_error(self) -> str:
        """Description of the most recent bad row or message; empty if there was none."""
        return ""

    @_default
    def location(self) -> str:
        """Where the current row stands, such as ``"line 7 of a.csv"``, for error messages."""
        return ""

    @_default
    def progress(self) -> float | None:
        """Share of the stream that was read, from 0 to 1; None if its end is not known."""
        return None

    @_default
    def fingerprint(self) -> Mapping[str, Any] | None:
        """Plain values that identify what was read of a recording; None if there are none."""
        return None

    def verify(self, fingerprint: Mapping[str, Any]) -> None:
        """Check, now or while reading, that this is the recording that `fingerprint` identifies.

        Raises
        ------
        SourceError
            It is another recording.
        """

    def side_state(self) -> Mapping[str, Any] | None:
        """Return state that is not part of the position and belongs to it; None if there is none.

        It is stored in the checkpoint beside the position.
        """
        return None

    def restore_side_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `side_state` returned; an empty mapping if nothing was stored."""


class Sink(ABC):
    """Base class of everything that receives predictions and records.

    Only `write` must be defined. The other members have defaults; those without arguments may be
    replaced by properties or attributes.

    The engine uses a sink in this order:

    1. It reads `name` and `kinds`.
    2. To resume, it calls `restore_state` with what `export_state` returned for this `name`.
    3. It calls `begin` once, before the first row.
    4. For each scored row it calls `write`, or `write_block` for many at once, if `kinds` contains
       ``"prediction"``; for each other record whose kind is in `kinds`, `write_record`.
    5. For each checkpoint it calls `export_state`.
    6. At the end it calls `drain` on every sink, then `close` on every sink, once. The report is
       passed to both and not to `write_record`.

    All calls come from the engine's thread, which waits for them. A sink that raises is removed,
    and the report names it. `loco_stream.testing.check_sink` runs a sink through this lifecycle.

    Attributes
    ----------
    name
        Name in reports, by which the state of a sink is found after a restart.
    guarantee
        One sentence on delivery, printed at start.
    kinds
        Kinds of records that the sink receives, out of `loco_stream.records.KINDS`.

    Examples
    --------
    >>> from loco_stream.stream import Prediction, Sink
    >>> class Count(Sink):
    ...     n = 0
    ...
    ...     def write(self, prediction):
    ...         self.n += 1
    ...
    ...     def close(self, report):
    ...         print(f"{self.n} rows")
    >>> sink = Count()
    >>> sink.write(Prediction(seq=0, y_pred="ok"))
    >>> sink.close({})
    1 rows
    """

    name: str = ""
    guarantee: str = ""
    kinds: frozenset[str] = frozenset({"prediction", "report"})

    def __repr__(self) -> str:
        return _named(self)

    @abstractmethod
    def write(self, prediction: Prediction) -> None:
        """Accept the prediction of one row."""

    def begin(self, run: Mapping[str, Any]) -> None:
        """Accept what is known of a run before its first row.

        Parameters
        ----------
        run
            ``model``: its class name; ``parameters``: those of the model, by name; ``source``,
            ``task`` and ``version``; ``is_live``: of the source; ``checkpoint``: path of the
            checkpoint folder, or None.
        """

    def write_block(self, predictions: Predictions) -> None:
        """Accept the predictions of a block; by default one by one."""
        for prediction in predictions:
            self.write(prediction)

    def write_record(self, record: Record) -> None:
        """Accept a record of a kind other than ``"prediction"`` and ``"report"``."""

    def drain(self, report: Mapping[str, Any]) -> None:
        """Start to finish: no further record will come.

        Returns without waiting, so that sinks that have to wait do so at the same time, in `close`.
        """

    def close(self, report: Mapping[str, Any]) -> None:
        """Accept the report, deliver what is left and release what the sink holds."""

    @_default
    def stats(self) -> Mapping[str, int]:
        """Counters for the report, by name."""
        return _NO_COUNTS

    @_default
    def notes(self) -> Sequence[str]:
        """Sentences on records that were lost, for the report."""
        return ()

    @_default
    def n_lost(self) -> int:
        """Number of records that are neither delivered nor kept for a later run."""
        return 0

    def export_state(self) -> Any:
        """Return what is not delivered yet, in plain values; None if the sink keeps nothing."""
        return None

    def restore_state(self, state: Any) -> None:
        """Take over what `export_state` returned in an earlier process."""
