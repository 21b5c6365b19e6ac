"""Check of sinks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from loco_stream.records import KINDS
from loco_stream.stream import Prediction, Predictions, Record, Sink
from loco_stream.testing._lifecycle import (
    check_counts,
    check_sentence,
    require,
    require_argument,
    within,
)

_MAX_CALL = 2.0  # seconds that a call of the learner may take
_SETTLE = 0.1  # seconds without a record after which no more are expected
_N_ROWS = 40
_REPORT = {"source": "check", "n_samples": _N_ROWS, "accuracy": 0.5}
_OTHERS: dict[str, Record] = {
    "drift": {"at": 7, "since": 3, "detector": "ADWIN", "what": "concept"},
    "task": {"at": 9, "since": 8, "detector": "ADWIN", "what": "concept", "task": "task 1"},
    "anomaly": {
        "at": 7,
        "score": 4.5,
        "state": 1.5,
        "column": "flow",
        "value": 9.5,
        "expected": [1.0, 2.0],
    },
    "status": {"status": {"n_samples": 10, "accuracy": 0.5}},
}


def check_sink(
    make_sink: Callable[[], Sink],
    *,
    received: Callable[[], Sequence[object]] | None = None,
    make_unreachable: Callable[[], Sink] | None = None,
    timeout: float = 60.0,
) -> None:
    """Run a sink through its lifecycle, and check what it sends and stores.

    - `write_block` sends the same records as `write`, row by row.
    - Every kind of record in `kinds` is sent, each once.
    - `write`, `write_block`, `write_record`, `drain` and `export_state` return at once, also while
      the receiver is away. `close` returns in time.
    - `export_state` returns plain values, and a new sink sends what `restore_state` gave it.
    - `stats` and `notes` have valid values; nothing is reported as lost while the receiver is
      there, and what is lost otherwise is reported.

    Parameters
    ----------
    make_sink
        Returns a new sink, each with the same name. Its receiver is there.
    received
        Returns what has arrived since its last call, one entry per record, in any form. Without it,
        contents are not checked.
    make_unreachable
        Returns a new sink of the same name whose receiver is away. Without it, the state of
        undelivered records is not checked.
    timeout
        Seconds in which records must arrive, and `close` must return.

    Raises
    ------
    AssertionError
        The sink violates a requirement of `Sink`, which the text names.
    ConfigError
        `make_sink` is something else.

    Examples
    --------
    >>> from loco_stream.stream import Sink
    >>> from loco_stream.testing import check_sink
    >>> class Keep(Sink):
    ...     name = "keep"
    ...     guarantee = "at most once (kept in memory)"
    ...
    ...     def __init__(self, kept):
    ...         self.kept = kept
    ...
    ...     def write(self, prediction):
    ...         self.kept.append(prediction)
    >>> kept = []
    >>> def received():
    ...     new = kept[:]
    ...     kept.clear()
    ...     return new
    >>> check_sink(lambda: Keep(kept), received=received)
    """
    require_argument(callable(make_sink), "make_sink", "a function without arguments", make_sink)
    check = _SinkCheck(make_sink, received, timeout)
    check.declarations()
    check.kinds()
    if "prediction" in check.sink_kinds:
        check.blocks()
    if make_unreachable is not None:
        check.outage(make_unreachable)


class _SinkCheck:
    """Runs sinks and collects what their receiver gets."""

    def __init__(
        self,
        make_sink: Callable[[], Sink],
        received: Callable[[], Sequence[object]] | None,
        timeout: float,
    ) -> None:
        self._make_sink = make_sink
        self._received = received
        self._timeout = timeout
        self.sink_kinds: frozenset[str] = frozenset()

    def declarations(self) -> None:
        """Check the attributes, and that a sink without records can be closed."""
        sink = self._make_sink()
        require(isinstance(sink, Sink), sink, "must derive from loco_stream.stream.Sink")
        check_sentence(sink, "name")
        check_sentence(sink, "guarantee")
        self.sink_kinds = sink.kinds
        _check_kinds(sink)
        self._close(sink)
        self._arrived(sink, 0)
        other = self._make_sink()
        require(
            other.name == sink.name,
            sink,
            f"`name` must be the same after a restart, got {sink.name!r} and {other.name!r}",
        )
        self._close(other)
        self._arrived(other, 0)

    def kinds(self) -> None:
        """Check that one record of each kind arrives."""
        sink = self._make_sink()
        for kind in sorted(sink.kinds & _OTHERS.keys()):
            record = {"kind": kind, "source": "check", "seq": 7, "t": 5.25, **_OTHERS[kind]}
            _call(sink, "write_record", record)
        if "prediction" in sink.kinds:
            _call(sink, "write", Prediction(0, "ok", "worn", {"ok": 0.75}, 5.25, "check"))
        _call(sink, "drain", _REPORT)
        self._close(sink)
        self._check_complete(sink)
        self._arrived(sink, len(sink.kinds - {"report"}))

    def blocks(self) -> None:
        """Check that a block is sent as its rows are, one by one."""
        for block in _blocks():
            _, single = self._sent(len(block), "write", block)
            sink, together = self._sent(len(block), "write_block", [block])
            self._check_complete(sink)
            n_equal = sum(record in together for record in single)  # a report has its own time
            require(
                self._received is None or n_equal >= len(block),
                sink,
                f"`write_block` must send the records of `write`, got {together} and {single}",
            )

    def outage(self, make_unreachable: Callable[[], Sink]) -> None:
        """Check a sink whose receiver is away, and one that takes over its records."""
        sink = make_unreachable()
        block = _blocks()[0]
        written = block if "prediction" in sink.kinds else ()
        for prediction in written:
            _call(sink, "write", prediction)
        others = sorted(sink.kinds & {"drift", "task"})
        for kind in others:
            record = {"kind": kind, "source": "check", "seq": 7, "t": 5.25, **_OTHERS[kind]}
            _call(sink, "write_record", record)
        state = _call(sink, "export_state")
        _check_plain(sink, state)
        before = repr(state)
        if "prediction" in sink.kinds:
            _call(sink, "write_block", block)
        require(before == repr(state), sink, "must not change what `export_state` returned")
        self._close(sink)
        require(bool(sink.notes), sink, "`notes` must report the records that were not sent")
        heir = self._make_sink()
        if state is None:
            self._close(heir)
            return
        heir.restore_state(state)
        self._close(heir)
        self._check_complete(heir)
        # The closed sink may have sent some of them too, while its receiver returned.
        self._arrived(heir, len(written) + len(others), repeats=True)

    def _close(self, sink: Sink) -> None:
        within(self._timeout, f"{type(sink).__name__}: `close`", lambda: sink.close(_REPORT))

    def _check_complete(self, sink: Sink) -> None:
        notes = list(sink.notes)
        require(not notes, sink, f"`notes` must be empty if everything was sent, got {notes}")
        check_counts(sink, "stats")

    def _sent(
        self, n_records: int, method: str, arguments: Iterable[object]
    ) -> tuple[Sink, list[object]]:
        """Return a closed sink whose method was called with each argument, and what arrived."""
        sink = self._make_sink()
        for argument in arguments:
            _call(sink, method, argument)
        self._close(sink)
        return sink, self._arrived(sink, n_records)

    def _arrived(self, sink: Sink, n_records: int, repeats: bool = False) -> list[object]:
        """Return the records that have arrived: `n_records`, and a report if the sink sends it."""
        if self._received is None:
            return []
        arrived: list[object] = []
        deadline = time.monotonic() + self._timeout
        while True:
            time.sleep(_SETTLE)
            new = self._received()
            arrived += new
            if (len(arrived) >= n_records and not new) or time.monotonic() > deadline:
                break
        n_most = len(arrived) if repeats else n_records + ("report" in sink.kinds)
        what = f"must send {n_records} records, {len(arrived)} arrived: {arrived}"
        require(n_records <= len(arrived) <= n_most, sink, what)
        return arrived


def _call(sink: Sink, method: str, *arguments: object) -> object:
    """Call a method that must not keep the learner waiting."""
    began = time.monotonic()
    result: object = getattr(sink, method)(*arguments)
    seconds = time.monotonic() - began
    what = f"`{method}` must not keep the learner waiting, took {seconds:.1f} s"
    require(seconds < _MAX_CALL, sink, what)
    return result


def _blocks() -> list[Predictions]:
    """Return predictions in classification and in regression."""
    chance = np.linspace(0.0, 1.0, _N_ROWS)
    times = [math.nan if i % 5 == 4 else 5.25 + i for i in range(_N_ROWS)]
    labels = [None if i % 3 == 2 else "ok" if i % 2 else "wörn" for i in range(_N_ROWS)]
    classes = Predictions(
        seq=100,
        t=times,
        y_pred=["ok" if p < 0.5 else "wörn" for p in chance],
        y=labels,
        proba=np.column_stack([1.0 - chance, chance]),
        classes=["ok", "wörn"],
        known=[1] + [2] * (_N_ROWS - 1),
        source="check, 1",
    )
    values = Predictions(
        seq=0,
        t=times,
        y_pred=[float(p) for p in chance],
        y=[None if label is None else i / 4 for i, label in enumerate(labels)],
        source="check 2",
        epoch=3,
    )
    return [classes, values]


def _check_plain(sink: Sink, state: object) -> None:
    """Check that a state has only values that a checkpoint can store."""
    if isinstance(state, Mapping):
        for key, value in state.items():
            _check_plain(sink, key)
            _check_plain(sink, value)
    elif isinstance(state, list | tuple):
        for value in state:
            _check_plain(sink, value)
    else:
        is_plain = state is None or isinstance(state, bool | int | float | str | bytes)
        what = f"`export_state` must return plain values, got {type(state).__name__}"
        require(is_plain, sink, what)


def _check_kinds(sink: Sink) -> None:
    kinds = sink.kinds
    require(
        isinstance(kinds, frozenset) and bool(kinds) and kinds <= set(KINDS),
        sink,
        f"`kinds` must be a frozenset of {', '.join(KINDS)}, got {kinds!r}",
    )
