"""Check of sources."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from loco_stream.stream import Block, Event, Position, PredictRequest, Schema, Source
from loco_stream.testing._lifecycle import (
    check_counts,
    check_sentence,
    in_thread,
    is_json,
    require,
    require_argument,
    within,
)
from loco_stream.testing._rows import RowTexts, event_fault, rows_of

SideState: TypeAlias = Mapping[str, object]

_MAX_SILENCE = 2.0  # seconds; 0.1 are documented, a machine may be busy
_N_EMPTY = 3  # empty commits after the last row of a live source, in which nothing may follow


def check_source(
    make_source: Callable[[], Source],
    *,
    n_rows: int | None = None,
    send: Callable[[Source], object] | None = None,
    resumes: bool = True,
    timeout: float = 60.0,
) -> None:
    """Run a source through its lifecycle, and check what it yields and stores.

    - Every event is valid, and no two rows have the same source, epoch and number.
    - `position`, the side state and `fingerprint` are JSON values that do not change afterwards.
    - A new source yields the same rows again, and the remaining rows after `seek` to any position.
    - `ack` does not move the position, and accepts a position twice.
    - A live source yields at least an empty list while nothing arrives.
    - `schema`, `stats`, `skipped`, `last_error`, `location` and `progress` have valid values.
    - `close` may be called twice, also before anything was read.

    Parameters
    ----------
    make_source
        Returns a new source at the start of the same rows.
    n_rows
        Number of rows, late labels and requests that the source yields. A live source needs it.
    send
        Function that is called with each new source in a thread of its own, to send the rows.
    resumes
        Whether rows can be read again from a position; False if they exist once, as in a pipe.
    timeout
        Seconds in which all rows of one source must arrive.

    Raises
    ------
    AssertionError
        The source violates a requirement of `Source`, which the text names.
    ConfigError
        `make_source` is something else.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from loco_stream.connectors import NPYSource
    >>> from loco_stream.testing import check_source
    >>> path = f"{tempfile.mkdtemp()}/rows.npy"
    >>> np.save(path, np.eye(100))
    >>> check_source(lambda: NPYSource(path, target=0), n_rows=100)
    """
    require_argument(
        callable(make_source), "make_source", "a function without arguments", make_source
    )
    check = _SourceCheck(make_source, n_rows, send, timeout)
    check.run(_check_declarations)
    first = check.run(lambda source: check.read(source, n_rows))
    if not resumes:
        return
    rows = [row for commit in first for row in commit.rows]
    check.repeat(rows)
    for n_commits in sorted({1, len(first) // 2, len(first) - 1, len(first)} - {0, -1}):
        check.resume(first[:n_commits], rows)


@dataclass(slots=True)
class _Commit:
    """What one item of the iteration held, and what a checkpoint stores after it."""

    rows: list[RowTexts]
    position: Position
    side_state: SideState | None
    fingerprint: SideState | None
    json: str = field(init=False)

    def __post_init__(self) -> None:
        self.json = self.to_json()

    def to_json(self) -> str:
        return json.dumps([self.position, self.side_state, self.fingerprint])


class _SourceCheck:
    """Reads sources of the same rows, each in a thread of its own that must end in time."""

    def __init__(
        self,
        make_source: Callable[[], Source],
        n_rows: int | None,
        send: Callable[[Source], object] | None,
        timeout: float,
    ) -> None:
        self._make_source = make_source
        self._n_rows = n_rows
        self._send = send or (lambda source: None)
        self._timeout = timeout
        self.is_live = False

    def run(self, function: Callable[[Source], list[_Commit]]) -> list[_Commit]:
        """Call a function with a new source, and close it twice."""

        def with_source() -> list[_Commit]:
            source = self._make_source()
            require(
                isinstance(source, Source), source, "must derive from loco_stream.stream.Source"
            )
            self.is_live = source.is_live
            try:
                return function(source)
            finally:
                source.close()
                source.close()

        return within(self._timeout, "reading the source", with_source)

    def compare(
        self, read: Callable[[Source], list[_Commit]], expected: Sequence[RowTexts], what: str
    ) -> None:
        """Check that a new source yields the expected rows."""

        def read_and_compare(source: Source) -> list[_Commit]:
            commits = read(source)
            rows = [row for commit in commits for row in commit.rows]
            difference = _difference(rows, expected, with_times=not self.is_live)
            require(not difference, source, f"{what}, but {difference}")
            return commits

        self.run(read_and_compare)

    def restart(self, source: Source, n_rows: int | None) -> list[_Commit]:
        """Read one commit, return to the start with the same source, and read everything."""
        start = copy.deepcopy(source.position)
        iterator = iter(source)
        next(iterator, None)
        _close(iterator)
        source.seek(start)
        source.restore_side_state({})
        return self.read(source, n_rows)

    def repeat(self, rows: Sequence[RowTexts]) -> None:
        """Check that a new source yields all rows, and one that is read twice too."""
        n_rows = self._n_rows
        self.compare(lambda source: self.read(source, n_rows), rows, "yields the rows again")
        if not self.is_live:
            self.compare(
                lambda source: self.restart(source, n_rows), rows, "yields them from the start"
            )

    def resume(self, done: Sequence[_Commit], rows: Sequence[RowTexts]) -> None:
        """Check that a new source continues after the last commit of `done`."""
        position, side_state, fingerprint = json.loads(done[-1].json)
        n_done = sum(len(commit.rows) for commit in done)

        def read(source: Source) -> list[_Commit]:
            if fingerprint is not None:
                source.verify(fingerprint)
            source.seek(position)
            source.restore_side_state(side_state or {})
            require(
                source.position == position,
                source,
                f"must have the position that `seek` was given, {position}, got {source.position}",
            )
            return self.read(source, None if self._n_rows is None else len(rows) - n_done)

        self.compare(read, rows[n_done:], f"continues at {position}")

    def read(self, source: Source, n_rows: int | None) -> list[_Commit]:
        """Read and acknowledge all rows of a source, and check every commit."""
        require(n_rows is not None or not source.is_live, source, "is live: `n_rows` must be given")
        commits: list[_Commit] = []
        sending = in_thread(lambda: self._send(source))
        iterator = iter(source)
        last_progress = 0.0
        for events in _items(source, iterator, n_rows):
            _check_sent(sending)
            commits.append(_read_commit(source, events))
            _ack(source, commits[-1].position)
            last_progress = _check_progress(source, last_progress)
        _close(iterator)
        _check_sent(sending, self._timeout)
        _check_commits(source, commits, n_rows)
        return commits


def _check_sent(sending: Future[object], seconds: float = 0.0) -> None:
    """Raise what a call of `send` raised within some seconds."""
    wait([sending], seconds)
    if sending.done():
        sending.result()


def _check_declarations(source: Source) -> list[_Commit]:
    check_sentence(source, "name")
    check_sentence(source, "guarantee")
    for member in ("is_live", "needs_log"):
        value = getattr(source, member)
        require(isinstance(value, bool), source, f"`{member}` must be True or False, got {value!r}")
    require(
        source.on_bad in ("stop", "skip"),
        source,
        f"`on_bad` must be 'stop' or 'skip', got {source.on_bad!r}",
    )
    return []


def _items(
    source: Source, iterator: Iterator[Event | Sequence[Event]], n_rows: int | None
) -> Iterator[Sequence[Event]]:
    """Yield lists of events up to the end of the source; of a live one, up to `n_rows` rows."""
    n_read = 0
    n_empty = 0
    began = time.monotonic()
    for item in iterator:
        silence = time.monotonic() - began
        if source.is_live and n_read:
            what = f"must yield at least an empty list every 0.1 s, took {silence:.1f} s"
            require(silence < _MAX_SILENCE, source, what)
        events = [item] if isinstance(item, Event) else item
        require(isinstance(events, Sequence), source, event_fault(item))
        yield events
        n_read += sum(len(list(rows_of(event))) for event in events)
        n_empty = 0 if events else n_empty + 1
        if source.is_live and n_read >= (n_rows or 0) and n_empty >= _N_EMPTY:
            return
        began = time.monotonic()


def _read_commit(source: Source, events: Sequence[Event]) -> _Commit:
    for event in events:
        fault = event_fault(event)
        require(not fault, source, fault)
        if event.tag is not None:
            _reply(source, event)
    position = copy.copy(source.position)
    side_state = source.side_state()
    fingerprint = source.fingerprint
    stored = {"position": position, "side_state": side_state, "fingerprint": fingerprint}
    for member, value in stored.items():
        require(is_json(value), source, f"`{member}` must be a JSON value, got {value!r}")
    _check_members(source)
    rows = [row for event in events for row in rows_of(event)]
    return _Commit(rows, position, side_state, fingerprint)


def _reply(source: Source, event: Event) -> None:
    n_rows = len(event.X) if isinstance(event, Block | PredictRequest) else 1
    schema = source.schema or Schema()
    classes = () if schema.task == "regression" else schema.classes or ("a", "b")
    values = np.full((n_rows, len(classes) or 1), 1 / (len(classes) or 1), dtype=np.float32)
    source.reply(event, values, classes)


def _ack(source: Source, position: Position) -> None:
    before = json.dumps(source.position)
    source.ack(position)
    source.ack(position)
    after = json.dumps(source.position)
    require(before == after, source, f"`ack` must not move the position, {before} became {after}")


def _check_members(source: Source) -> None:
    check_counts(source, "stats")
    check_counts(source, "skipped")
    for member in ("last_error", "location"):
        text = getattr(source, member)
        require(isinstance(text, str), source, f"`{member}` must be a text, got {text!r}")
    schema = source.schema
    require(
        schema is None or (isinstance(schema, Schema) and schema.task in _TASKS),
        source,
        f"`schema` must be a Schema with a known task, or None, got {schema!r}",
    )


_TASKS = (None, "classification", "regression")


def _check_progress(source: Source, last: float) -> float:
    progress = source.progress
    if progress is None:
        return last
    require(
        last <= progress <= 1.0,
        source,
        f"`progress` must rise from 0 to 1, got {progress} after {last}",
    )
    return progress


def _check_commits(source: Source, commits: Sequence[_Commit], n_rows: int | None) -> None:
    keys = [row.key for commit in commits for row in commit.rows]
    if n_rows is not None:
        require(len(keys) == n_rows, source, f"must yield {n_rows} rows, got {len(keys)}")
    require(
        len(set(keys)) == len(keys),
        source,
        "must give every row of a source and epoch a number of its own in `seq`",
    )
    for commit in commits:
        require(
            commit.to_json() == commit.json,
            source,
            f"must not change a `position` that was read: {commit.json} became {commit.to_json()}",
        )


def _close(iterator: Iterator[object]) -> None:
    close = getattr(iterator, "close", None)  # a generator has it
    if close is not None:
        close()


def _difference(rows: Sequence[RowTexts], expected: Sequence[RowTexts], with_times: bool) -> str:
    """Return how rows differ from those expected; the event times of live rows may."""
    for i, (row, other) in enumerate(zip(rows, expected, strict=False)):
        one = row if with_times else row._replace(t=other.t)
        if one != other:
            return f"row {i} is {one}, not {other}"
    if len(rows) != len(expected):
        return f"{len(rows)} rows came instead of {len(expected)}"
    return ""
