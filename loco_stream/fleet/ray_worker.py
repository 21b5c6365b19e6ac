"""The worker on Ray: one host in a process of its own.

All that a source sent travels as the bytes of the log's own records: nothing of it is pickled, here
or in the driver.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loco_stream.fleet.home import make_maker
from loco_stream.fleet.host import Host, HostOptions
from loco_stream.fleet.rows import Rows
from loco_stream.persistence.format import decode_plain, encode_plain

__all__ = ["RayWorker"]


class RayWorker:
    """What an actor does; each method takes and returns bytes of plain values.

    Parameters
    ----------
    path
        The fleet's directory, which the worker must see.
    options
        Bounds of the host.
    """

    def __init__(self, path: str, options: HostOptions) -> None:
        self._host = Host(Path(path), make_maker(Path(path)), options)
        self._durable = -1
        self._newest = 0  # number of the message that came last
        self._told = 0

    def learn(
        self, number: int, payloads: Sequence[bytes], predicts: bool, sync: bool, anew: bool = False
    ) -> bytes:
        """Learn a message; return the number of the last one that is durable, answers by place, and new notes.

        Unless it `predicts`, only the answers that tell something are returned. Nothing is learned
        and nothing returned if the message before it never came to this process: rows of it would
        count as repeated afterwards. `anew` says that the messages before it are durable.
        """
        if number != self._newest + 1 and not anew:
            return b""
        answers = self._host.learn([Rows.decode(payload) for payload in payloads], predicts)
        if sync:
            self._host.sync()
        self._newest = number
        if self._host.synced:
            self._durable = number
        notes = self._host.notes[self._told :]
        self._told = len(self._host.notes)
        said = {
            i: [list(answer.said), answer.n_repeated, answer.refusal, list(answer.alarms)]
            for i, answer in enumerate(answers)
            if predicts or answer.n_repeated or answer.refusal is not None
        }
        return encode_plain([self._durable, said, notes])

    def ask(self, what: str, content: bytes, newest: int) -> bytes:
        """Answer one question of `_QUESTIONS`.

        Nothing if message `newest` never came here (-1: it need not).
        """
        if newest not in (-1, self._newest):
            return b""
        return encode_plain(_QUESTIONS[what](self._host, decode_plain(content)))


def _predict(host: Host, content: bytes) -> list[Any]:
    rows = Rows.decode(content)
    return host.predict(rows.key, rows.X, rows.features)


def _values(host: Host, content: bytes) -> list[Any] | None:
    rows = Rows.decode(content)
    found = host.values(rows.key, rows.X, rows.features or ())
    if found is None:
        return None
    table, classes = found
    return [table.tobytes(), list(table.shape), table.dtype.str, list(classes)]


_QUESTIONS: dict[str, Any] = {
    "pid": lambda host, _: os.getpid(),
    "predict": _predict,
    "values": _values,
    "keys": lambda host, groups: [key for number in groups for key in host.keys(number)],
    "state_sha256": lambda host, key: host.find(key).state_sha256(),
    "state": lambda host, key: host.find(key).to_bytes(key),
    "report": lambda host, key: host.find(key).report(),
    "release": lambda host, groups: host.release(groups),
    "checkpoint": lambda host, _: host.checkpoint(),
    "close": lambda host, _: host.close(),
}
