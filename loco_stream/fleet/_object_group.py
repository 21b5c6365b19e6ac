"""A key group in an object store: a journal of rows and checkpoints, and segments with models."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from loco_stream._persistence.format import decode_plain, encode_plain
from loco_stream.fleet._journal import BASE, RELEASE, FencedError, Journal
from loco_stream.fleet._model_store import ModelStore
from loco_stream.fleet._object_store import ObjectStore
from loco_stream.fleet._rows import Key, KeyRows

_ROWS = "rows"
_REFUSED = "refused"
_SEGMENT_BYTES = 16 << 20
_LIVE_SHARE = 0.5  # a segment with a smaller share of current models is rewritten


class _Place(NamedTuple):
    """Where a model is: the name of its segment, and the bytes in it."""

    segment: str
    offset: int
    length: int


class ObjectGroup:
    """The same as `KeyGroup`, in an object store.

    Rows are buffered until `sync` adds them to the journal as one entry. A checkpoint writes the
    changed models into new segments, and then adds an entry that lists where the model of each key
    is. This entry makes the checkpoint valid: a process that was fenced off leaves nothing behind
    but unused objects.

    store: where the objects are
    number: number of the group
    owner: name of this process in leases
    check: raises an error if this process must not take the group over
    """

    def __init__(
        self, store: ObjectStore, number: int, owner: str, check: Callable[[], None] | None = None
    ) -> None:
        self.number = number
        self.commit = 0
        self.rows_since = 0
        self.saved_at = time.monotonic()
        self.notes: list[str] = []
        self._store = store
        self._journal = group_journal(store, number, owner)
        self._buffer: list[list[Any]] = []  # commit number and payload of rows not in the journal
        self._index: dict[Key, _Place] = {}
        self._segments: dict[str, int] = {}  # bytes of each segment
        self._unused: set[str] = set()  # segments to delete
        self._n_written = 0
        self._changed: set[Key] = set()  # keys whose newest state is in the scratch file
        self._is_fenced = False
        self._scratch = Path(tempfile.mkdtemp(prefix="loco-group-"))
        try:
            self._models = ModelStore(self._scratch / "models.db")
            self._entries = self._journal.take(check)
            self._load_checkpoint()
            self._refused = {
                decode_plain(entry.payload) for entry in self._entries if entry.kind == _REFUSED
            }
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise

    def replay(self) -> Iterator[KeyRows]:
        """Yield the rows logged after the last checkpoint."""
        for entry in self._entries:
            for commit, payload in decode_plain(entry.payload) if entry.kind == _ROWS else ():
                rows = KeyRows.decode(payload)
                self.commit = commit
                self.rows_since += max(len(rows), 1)  # a reset has no row, but changes a model
                if commit not in self._refused:
                    yield rows
        self._entries = []

    def set_aside(self, rows: KeyRows, error: Exception) -> str:
        """Keep the rows appended or replayed last in an object of their own."""
        name = f"{_prefix(self.number)}/refused/{self._journal.token:016d}-{self.commit:012d}"
        self._store.put(name, rows.encode())
        self.sync()
        self._append(_REFUSED, encode_plain(self.commit))
        return (
            f"rows of key {rows.key!r} cannot be learned ({error!r}); they are set aside in {name}"
        )

    def append(self, rows: int, payload: bytes) -> None:
        """Buffer rows, which `sync` makes durable."""
        self.commit += 1
        self.rows_since += rows
        self._buffer.append([self.commit, payload])

    def sync(self) -> None:
        """Make everything appended durable.

        Raises `FencedError` if another process took the group over. Raises `CheckpointError` if the
        store cannot be reached; the next call tries again.
        """
        payload = encode_plain(self._buffer) if self._buffer else None
        self._buffer = []  # from here on the journal keeps it, also after an error
        self._append(_ROWS, payload)

    def get(self, key: Key) -> bytes | None:
        """Return an evicted model; None if there is none."""
        if key in self._changed:
            return self._models.get(key)
        place = self._index.get(key)
        if place is None:
            return None
        return self._store.get_range(self._segment(place.segment), place.offset, place.length)

    def put(self, key: Key, state: bytes) -> None:
        """Keep an evicted model in a scratch file until the next checkpoint."""
        self._models.put(key, state)
        self._changed.add(key)

    def keys(self) -> Iterator[Key]:
        """Yield the keys of the evicted models."""
        return iter(self._index.keys() | self._changed)

    def count(self) -> int:
        """Return the number of evicted models."""
        return len(self._index.keys() | self._changed)

    def checkpoint(self, models: Iterable[tuple[Key, bytes]]) -> None:
        """Store the models that changed, and drop the log before them."""
        self.sync()
        for key, state in models:
            self.put(key, state)
        index, segments = self._write_segments()
        content = {
            "commit": self.commit,
            "index": [[key, *place] for key, place in index.items()],
            "segments": list(map(list, segments.items())),
        }
        self._append(BASE, encode_plain(content))
        self._unused |= self._segments.keys() - segments.keys()
        self._index = index
        self._segments = segments
        self._changed.clear()
        self._models.clear()
        self.rows_since = 0
        self.saved_at = time.monotonic()
        self._store.delete(map(self._segment, self._unused))
        self._unused.clear()

    def close(self) -> None:
        """Sync the log and release the group; a process that was fenced off writes nothing."""
        try:
            if not self._is_fenced:
                self.sync()
                self._append(RELEASE, b"")
        finally:
            self._models.close()
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _load_checkpoint(self) -> None:
        base = next((entry for entry in self._entries if entry.kind == BASE), None)
        if base is None:
            return
        content = decode_plain(base.payload)
        self.commit = content["commit"]
        self._index = {key: _Place(*place) for key, *place in content["index"]}
        self._segments = dict(content["segments"])

    def _append(self, kind: str, payload: bytes | None) -> None:
        """Add an entry that failed before, then this one; remember if the group was taken over."""
        try:
            if payload is None:
                self._journal.flush()
            elif kind == BASE:
                self._journal.append_base(payload)
            else:
                self._journal.append(kind, payload)
        except FencedError:
            self._is_fenced = True
            raise

    def _write_segments(self) -> tuple[dict[Key, _Place], dict[str, int]]:
        """Write changed models, and those of segments that are mostly unused, into new segments.

        Returns the new places of all models, and the segments in use with their sizes.
        """
        index = {key: place for key, place in self._index.items() if key not in self._changed}
        sparse = _sparse(index, self._segments)
        moved = [key for key, place in index.items() if place.segment in sparse]
        segments = {name: size for name, size in self._segments.items() if name not in sparse}
        name = self._new_segment()
        parts: list[bytes] = []
        size = 0
        for key in [*self._changed, *moved]:
            state = self.get(key)
            assert state is not None
            index[key] = _Place(name, size, len(state))
            parts.append(state)
            size += len(state)
            if size >= _SEGMENT_BYTES:
                segments[name] = self._write_segment(name, parts)
                name = self._new_segment()
                parts = []
                size = 0
        if parts:
            segments[name] = self._write_segment(name, parts)
        return index, segments

    def _new_segment(self) -> str:
        """Return a name that no other process uses, because of the fencing token in it."""
        self._n_written += 1
        return f"{self._journal.token:016d}-{self._n_written:08d}"

    def _write_segment(self, name: str, parts: list[bytes]) -> int:
        content = b"".join(parts)
        self._store.put(self._segment(name), content)
        return len(content)

    def _segment(self, name: str) -> str:
        return f"{_prefix(self.number)}/models/{name}"


def group_journal(store: ObjectStore, number: int, owner: str) -> Journal:
    """Return the journal of a group, not taken over."""
    return Journal(store, f"{_prefix(number)}/log", owner)


def _prefix(number: int) -> str:
    return f"group-{number:04d}"


def _sparse(index: Mapping[Key, _Place], segments: Mapping[str, int]) -> set[str]:
    """Return the segments of which too small a share is in use."""
    live = dict.fromkeys(segments, 0)
    for place in index.values():
        live[place.segment] += place.length
    return {name for name, size in segments.items() if live[name] < _LIVE_SHARE * size}
