"""A fleet on Ray: worker actors own key groups.

The driver keeps what is not durable and sends it again.

Ray places workers, restarts those that die and joins machines to a cluster. That each row is
learned once is not left to it: a call is never retried by Ray, and what the driver sends again
carries the numbers of its rows.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from loco_stream.errors import CheckpointError, ConfigError, LocoStreamError
from loco_stream.fleet.backend import Names, Report
from loco_stream.fleet.host import Answer, HostOptions
from loco_stream.fleet.ray_worker import RayWorker
from loco_stream.fleet.rows import Key, Label, Rows, Table, Values, group_of
from loco_stream.persistence.format import decode_plain, encode_plain

__all__ = ["RayBackend"]

_IN_FLIGHT = (
    4  # messages a worker has at most: they keep it busy while the driver waits for another one
)
# messages from which on a worker is busy: blocks then gather, for a call costs more than a block of
# 64 rows
_BUSY = 2
_TOGETHER = 2048  # rows in one message of several blocks
_LOOK_SECONDS = 0.002  # between two looks whether a busy worker has finished something
_KEPT = 64  # messages that may wait to become durable until the next one asks for it
_PATIENCE = 120.0  # seconds in which a dead worker must be back
_MOST_NOTES = 100


_Packed: TypeAlias = tuple[bytes, int]  # the bytes of some rows, and how many they are


@dataclass(slots=True)
class _Sent:
    """A message of one or more blocks that is not known to be durable."""

    number: int
    payloads: list[bytes]
    lengths: list[int]
    predicts: bool
    sync: bool


class _Link:
    """The driver's end of one worker."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray = ray
        self.actor = actor
        self._number = 0
        self._flying: deque[tuple[_Sent, Any]] = deque()
        self._kept: deque[_Sent] = deque()
        self._answers: dict[int, list[Answer]] = {}
        self._looked = 0.0
        self.waiting: list[_Packed] = []  # rows that do not fill a block yet
        self.n_waiting = 0
        self.n_repeated = self.n_refused = 0
        self.notes: deque[str] = deque(maxlen=_MOST_NOTES)

    def put(self, rows: Rows, block_rows: int) -> None:
        """Take rows to be learned.

        They leave when they fill a block, or several while the worker is busy.
        """
        for start in range(0, len(rows), block_rows):
            part = rows if len(rows) <= block_rows else rows.part(slice(start, start + block_rows))
            packed = self.pack(part)
            if isinstance(packed, str):
                continue
            n = self.n_waiting + len(part)
            leaves = n >= block_rows and (n >= _TOGETHER or not self._is_busy())
            if leaves:
                self._make_room()  # what raises does so before the rows are taken
            self.waiting.append(packed)
            self.n_waiting = n
            if leaves:
                self.push()

    def pack(self, rows: Rows) -> _Packed | str:
        """Return the bytes of rows and how many they are.

        If the log cannot hold them they are refused: why.
        """
        try:
            return rows.encode(), len(rows)
        except CheckpointError as error:
            self.n_refused += len(rows)
            self.notes.append(str(error))
            return str(error)

    def _is_busy(self) -> bool:
        if len(self._flying) >= _BUSY and time.monotonic() - self._looked > _LOOK_SECONDS:
            if self._ray.wait([self._flying[0][1]], timeout=0)[0]:
                self._land()
            self._looked = time.monotonic()
        return len(self._flying) >= _BUSY

    def push(self) -> None:
        """Send what waits."""
        if self.waiting:
            self._make_room()
            rows = self.waiting
            self.waiting = []
            self.n_waiting = 0
            self.send(rows)

    def _make_room(self) -> None:
        while len(self._flying) >= _IN_FLIGHT:
            self._land()

    def send(self, rows: Sequence[_Packed], predicts: bool = False, sync: bool = False) -> int:
        """Send a message, once fewer than `_IN_FLIGHT` are under way; returns its number."""
        self._make_room()
        self._number += 1
        payloads = [payload for payload, _ in rows]
        lengths = [n for _, n in rows]
        sent = _Sent(self._number, payloads, lengths, predicts, sync or len(self._kept) >= _KEPT)
        self._kept.append(sent)
        self._launch(sent)
        return self._number

    def drain(self) -> None:
        """Wait until everything sent was learned."""
        while self._flying:
            self._land()

    def answers(self, number: int) -> list[Answer]:
        """Wait for a message and return what was said."""
        while number not in self._answers:
            self._land()
        return self._answers.pop(number)

    def flush(self) -> None:
        """Wait until everything is durable."""
        self.push()
        self.drain()
        while self._kept:
            self.send([], sync=True)
            self.drain()

    def ask(self, what: str, content: Any = None) -> Any:
        """Ask the worker after it has learned everything that was taken."""
        self.push()
        while True:
            self.drain()
            newest = self._number if self._kept else -1
            try:
                answer = self._get(self.actor.ask.remote(what, encode_plain(content), newest))
            except self._ray.exceptions.RayActorError:
                answer = b""
            if answer:
                return decode_plain(answer)
            self._again()

    def _launch(self, sent: _Sent) -> None:
        ref = self.actor.learn.remote(sent.number, sent.payloads, sent.predicts, sent.sync)
        self._flying.append((sent, ref))

    def _land(self) -> None:
        """Wait for the message that was sent first.

        If its worker died, send all again that may be lost.
        """
        sent, ref = self._flying[0]
        try:
            content = self._get(ref)
        except self._ray.exceptions.RayActorError:
            self._again()
            return
        except LocoStreamError:
            self._flying.clear()
            self._again()
            raise
        if (
            not content
        ):  # it died and came back between two messages, and lacks those before this one
            self._again()
            return
        self._flying.popleft()
        self._note(sent, content, again=False)

    def _again(self) -> None:
        """Send every message again that is not durable, one after the other.

        What was learned is left out there.
        """
        self._flying.clear()
        deadline = time.monotonic() + _PATIENCE
        kept: list[_Sent] = []
        content = b""
        while True:
            if not content:
                kept = list(
                    self._kept
                )  # from the first on: nobody knows what the log of a dead machine held
            if not kept:
                return
            sent = kept[0]
            anew = not content
            ref = self.actor.learn.remote(
                sent.number, sent.payloads, sent.predicts, sent is kept[-1], anew
            )
            try:
                content = self._get(ref)
            except self._ray.exceptions.RayActorError as error:
                if time.monotonic() > deadline:
                    raise CheckpointError(
                        f"a worker does not come back: {str(error)[:300]}"
                    ) from error
                time.sleep(0.05)
                content = b""
            if content:
                kept.pop(0)
                self._note(sent, content, again=True)

    def _note(self, sent: _Sent, content: bytes, again: bool) -> None:
        durable, answers, notes = decode_plain(content)
        while self._kept and self._kept[0].number <= durable:
            self._kept.popleft()
        self.notes.extend(notes)
        for i, (_, n_repeated, refusal, _) in answers.items():
            self.n_repeated += 0 if again else n_repeated
            if refusal is not None:
                self.n_refused += sent.lengths[i] - n_repeated
                self.notes.append(refusal)
        if sent.predicts:
            self._answers[sent.number] = [Answer(*answers[i]) for i in range(len(sent.lengths))]
            sent.predicts = False  # it may be learned again, but nobody asks a second time

    def _get(self, ref: Any) -> bytes:
        try:
            content: bytes = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, LocoStreamError):
                raise error.cause from None
            raise
        return content


class RayBackend:
    """Workers on Ray.

    Parameters
    ----------
    path, options
        See `Host`.
    workers, block_rows, address
        See `Fleet`.

    Raises
    ------
    ConfigError
        Ray is missing, or there is no cluster at the address.
    """

    def __init__(
        self, path: Path, options: HostOptions, workers: int, block_rows: int, address: str | None
    ) -> None:
        self._ray, self._own = _connect(address)
        self._options = options
        self._block_rows = block_rows
        # A cluster has a core for each worker; the one that is started here has what this machine
        # has.
        cores = 0 if address is None else 1
        self._actors = self._ray.remote(RayWorker).options(
            max_restarts=-1, max_task_retries=0, num_cpus=cores
        )
        self._arguments = (str(path.resolve()), options)
        self._links = [self._link() for _ in range(workers)]

    def __repr__(self) -> str:
        return f"{len(self._links)} workers on Ray"

    @property
    def notes(self) -> list[str]:
        """What workers found amiss; of refused rows the last hundred."""
        return [note for link in self._links for note in link.notes]

    @property
    def n_repeated(self) -> int:
        """Rows that came again and were not learned twice."""
        return sum(link.n_repeated for link in self._links)

    @property
    def n_refused(self) -> int:
        """Rows that no model could learn."""
        return sum(link.n_refused for link in self._links)

    @property
    def worker_ids(self) -> list[int]:
        """Process ids of the workers, in order."""
        return [int(link.ask("pid")) for link in self._links]

    def learn(self, batch: Sequence[Rows]) -> None:
        """Send rows in blocks; waits while the worker of the next one has all it may have."""
        for rows in batch:
            self._of(rows.key).put(rows, self._block_rows)

    def learn_predict(self, batch: Sequence[Rows]) -> list[Answer]:
        """Send rows to all workers at once, and wait for what they say."""
        parts: dict[int, list[int]] = {}
        for i, rows in enumerate(batch):
            parts.setdefault(self._index(rows.key), []).append(i)
        answers: dict[int, Answer] = {}
        sent: dict[
            int, tuple[int, list[int]]
        ] = {}  # number of the message, and which rows it holds
        for index, members in parts.items():
            link = self._links[index]
            packed = {i: link.pack(batch[i]) for i in members}
            answers |= {i: Answer((), 0, why) for i, why in packed.items() if isinstance(why, str)}
            good = {i: rows for i, rows in packed.items() if not isinstance(rows, str)}
            link.push()
            sent[index] = link.send(list(good.values()), predicts=True), list(good)
        for index, (number, members) in sent.items():
            answers |= zip(members, self._links[index].answers(number), strict=True)
        return [answers[i] for i in range(len(batch))]

    def predict(self, key: Key, X: Table, features: Names) -> list[Label]:
        """Ask the key's worker."""
        rows = Rows(key, X, [], None if features is None else tuple(features), "", 0, range(len(X)))
        said: list[Label] = self._of(key).ask("predict", rows.encode())
        return said

    def values(self, key: Key, X: Table, features: Sequence[Hashable]) -> Values:
        """Ask the key's worker."""
        rows = Rows(key, X, [], tuple(features), "", 0, range(len(X)))
        found = self._of(key).ask("values", rows.encode())
        if found is None:
            return None
        data, shape, kind, classes = found
        return np.frombuffer(data, kind).reshape(shape), classes

    def keys(self) -> list[Key]:
        """Ask every worker."""
        n = len(self._links)
        groups = range(self._options.key_groups)
        owned = [[group for group in groups if group % n == i] for i in range(n)]
        return [
            key
            for link, numbers in zip(self._links, owned, strict=True)
            for key in link.ask("keys", numbers)
        ]

    def state_sha256(self, key: Key) -> str:
        """Ask the key's worker."""
        return str(self._of(key).ask("state_sha256", key))

    def state(self, key: Key) -> bytes:
        """Ask the key's worker."""
        return bytes(self._of(key).ask("state", key))

    def report(self, key: Key) -> Report:
        """Ask the key's worker."""
        return dict(self._of(key).ask("report", key))

    def flush(self) -> None:
        """Wait until all rows are durable; workers finish at the same time."""
        for link in self._links:
            link.push()
        for link in self._links:
            link.flush()

    def checkpoint(self) -> None:
        """Ask every worker."""
        for link in self._links:
            link.ask("checkpoint")

    def rescale(self, workers: int) -> None:
        """Go on with so many workers.

        Groups that get another owner are stored by the old one first.
        """
        self.flush()
        before = len(self._links)
        for i, link in enumerate(self._links):
            groups = range(self._options.key_groups)
            link.ask("release", [g for g in groups if g % before == i and g % workers != i])
        for link in self._links[workers:]:
            self._ray.kill(link.actor)
        self._links = self._links[:workers] + [self._link() for _ in range(workers - before)]

    def close(self) -> None:
        """Let all workers store everything, and end them; ends Ray if it was started here."""
        try:
            self.flush()
            for link in self._links:
                link.ask("close")
        finally:
            for link in self._links:
                self._ray.kill(link.actor)
            if self._own:
                self._ray.shutdown()

    def _link(self) -> _Link:
        return _Link(self._ray, self._actors.remote(*self._arguments))

    def _index(self, key: Key) -> int:
        return group_of(key, self._options.key_groups) % len(self._links)

    def _of(self, key: Key) -> _Link:
        return self._links[self._index(key)]


def _connect(address: str | None) -> tuple[Any, bool]:
    """Return Ray, and whether it was started here."""
    os.environ.setdefault(
        "RAY_USAGE_STATS_ENABLED", "0"
    )  # nothing is told to anybody unless the user wants it
    try:
        import ray
    except ImportError:
        raise ConfigError("workers need Ray: pip install 'loco-stream[ray]'") from None
    if ray.is_initialized():
        return ray, False
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            ray.init(num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"cannot reach Ray at {address}: {str(error)[:300]}") from error
    return ray, True
