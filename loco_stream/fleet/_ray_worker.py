"""The worker on Ray: one shard in a process of its own.

Everything that a source sent travels as the records of the log. Nothing of it is pickled, neither
here nor in the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loco_stream._persistence.format import decode_plain, encode_plain
from loco_stream.fleet._home import model_factory
from loco_stream.fleet._rows import KeyRows
from loco_stream.fleet._shard import Shard, ShardOptions
from loco_stream.fleet._storage import open_storage


class RayWorker:
    """A Ray actor; its methods take and return encoded plain values.

    storage: arguments of `open_storage`. A directory must be on a file system that the worker can
        reach.
    options: bounds of the shard
    """

    def __init__(self, storage: Mapping[str, Any], options: ShardOptions) -> None:
        opened = open_storage(**storage)
        self._shard = Shard(opened, model_factory(opened), options)
        self._durable = -1
        self._newest = 0  # number of the last message
        self._n_sent_notes = 0

    def learn(
        self, number: int, payloads: Sequence[bytes], predicts: bool, sync: bool, anew: bool = False
    ) -> bytes:
        """Learn a message; return the last durable message, results by index, and new notes.

        A message after a gap is not learned, because rows in the gap would then count as repeated.
        The return value is empty in this case.

        number: number of the message; messages are numbered from 1
        payloads: the encoded rows
        predicts: whether to return all results; else only those with repeated or refused rows are
            returned
        sync: whether to make everything durable
        anew: whether the messages before this one are durable, so that there is no gap
        """
        if number != self._newest + 1 and not anew:
            return b""
        results = self._shard.learn([KeyRows.decode(payload) for payload in payloads], predicts)
        if sync:
            self._shard.sync()
        self._newest = number
        if self._shard.synced:
            self._durable = number
        notes = self._shard.notes[self._n_sent_notes :]
        self._n_sent_notes = len(self._shard.notes)
        returned = {
            i: [
                list(result.outputs),
                result.n_repeated,
                result.refusal,
                list(result.records),
                result.steps,
            ]
            for i, result in enumerate(results)
            if predicts or result.n_repeated or result.refusal is not None
        }
        return encode_plain([self._durable, returned, notes])

    def query(self, name: str, content: bytes, newest: int) -> bytes:
        """Return the result of one of `_QUERIES` or of a method of the shard.

        The return value is empty if message `newest` has not arrived; -1 stands for any message.
        """
        if newest not in (-1, self._newest):
            return b""
        query = _QUERIES.get(name) or getattr(Shard, name)
        return encode_plain(query(self._shard, *decode_plain(content)))


def _predict(shard: Shard, content: bytes) -> list[Any]:
    rows = KeyRows.decode(content)
    return shard.predict(rows.key, rows.X, rows.features)


def _values(shard: Shard, content: bytes) -> list[Any] | None:
    rows = KeyRows.decode(content)
    found = shard.values(rows.key, rows.X, rows.features or ())
    if found is None:
        return None
    table, classes = found
    return [table.tobytes(), list(table.shape), table.dtype.str, list(classes)]


# The other queries are methods of the shard.
_QUERIES: dict[str, Callable[..., object]] = {
    "predict": _predict,
    "values": _values,
    "checkpoint": lambda shard: list(map(shard.checkpoint, shard.opened)),
}
