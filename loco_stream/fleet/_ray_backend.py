"""A fleet on Ray: worker actors own key groups, and the driver resends what is not durable.

Ray places workers, restarts those that die and adds machines to a cluster. It does not ensure that
each row is learned once: no call is retried by Ray, and the rows that the driver resends carry
their numbers.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from loco_stream._persistence.format import decode_plain, encode_plain
from loco_stream.errors import CheckpointError, ConfigError, LocoStreamError
from loco_stream.estimators._inputs.tables import Names
from loco_stream.fleet._ray_worker import RayWorker
from loco_stream.fleet._rows import Key, KeyRows, Label, Table, Values, group_of
from loco_stream.fleet._shard import LearnResult, ShardOptions
from loco_stream.fleet._storage import Storage

# messages in flight per worker: they keep it busy while the driver waits for another worker
_IN_FLIGHT = 4
# messages from which on a worker counts as busy; blocks are then joined, because a call costs more
# than a block of 64 rows
_BUSY = 2
_JOINED_ROWS = 2048  # rows in one message of several blocks
_POLL_SECONDS = 0.002  # between two checks whether a busy worker has finished a message
_MAX_UNSYNCED = 64  # messages that may be volatile until the next one requests a sync
_RESTART_TIMEOUT = 120.0  # seconds until a dead worker must be back
_MAX_NOTES = 100
_LEASE_CHECK = 5.0  # seconds without a reply until the lease of a worker is checked


_Ray: TypeAlias = Any  # the module, an actor, or a reference: Ray has no types
_Packed: TypeAlias = tuple[bytes, int]  # encoded rows, and their number


@dataclass(slots=True)
class _Message:
    """One or more blocks of rows that are not known to be durable."""

    number: int
    payloads: list[bytes]
    lengths: list[int]
    predicts: bool
    sync: bool


class _WorkerHandle:
    """The driver's end of one worker."""

    def __init__(self, ray: _Ray, start: Callable[[], _Ray], is_alive: Callable[[], bool]) -> None:
        self._ray = ray
        self._start = start
        self._is_alive = is_alive
        self.actor = start()
        self._has_started = False  # a lease is taken with the first group
        self._number = 0
        self._in_flight: deque[tuple[_Message, _Ray]] = deque()
        self._unsynced: deque[_Message] = deque()
        self._results: dict[int, list[LearnResult]] = {}
        self._polled_at = 0.0
        self._gathered: list[_Packed] = []  # rows that do not fill a block yet
        self._n_gathered = 0
        self.n_repeated = 0
        self.n_refused = 0
        self.notes: deque[str] = deque(maxlen=_MAX_NOTES)

    def put(self, rows: KeyRows, block_rows: int) -> None:
        """Take rows to learn.

        They are sent when they fill a block, or several blocks while the worker is busy.
        """
        for start in range(0, len(rows), block_rows):
            part = rows if len(rows) <= block_rows else rows.part(slice(start, start + block_rows))
            packed = self.pack(part)
            if isinstance(packed, str):
                continue
            n = self._n_gathered + len(part)
            is_full = n >= block_rows and (n >= _JOINED_ROWS or not self._is_busy())
            if is_full:
                self._make_room()  # an error is raised before the rows are taken
            self._gathered.append(packed)
            self._n_gathered = n
            if is_full:
                self.push()

    def pack(self, rows: KeyRows) -> _Packed | str:
        """Return encoded rows and their number; for rows that the log cannot hold, a sentence."""
        try:
            return rows.encode(), len(rows)
        except CheckpointError as error:
            self.n_refused += len(rows)
            self.notes.append(str(error))
            return str(error)

    def _is_busy(self) -> bool:
        is_due = time.monotonic() - self._polled_at > _POLL_SECONDS
        if len(self._in_flight) >= _BUSY and is_due:
            if self._ray.wait([self._in_flight[0][1]], timeout=0)[0]:
                self._receive()
            self._polled_at = time.monotonic()
        return len(self._in_flight) >= _BUSY

    def push(self) -> None:
        """Send the rows that are gathered."""
        if self._gathered:
            self._make_room()
            rows = self._gathered
            self._gathered = []
            self._n_gathered = 0
            self.send(rows)

    def _make_room(self) -> None:
        while len(self._in_flight) >= _IN_FLIGHT:
            self._receive()

    def send(self, rows: Sequence[_Packed], predicts: bool = False, sync: bool = False) -> int:
        """Send a message as soon as the worker may have one more; return its number."""
        self._make_room()
        self._number += 1
        payloads = [payload for payload, _ in rows]
        lengths = [n for _, n in rows]
        sync = sync or len(self._unsynced) >= _MAX_UNSYNCED
        message = _Message(self._number, payloads, lengths, predicts, sync)
        self._unsynced.append(message)
        self._in_flight.append((message, self._call(message)))
        return self._number

    def drain(self) -> None:
        """Wait until everything sent is learned."""
        while self._in_flight:
            self._receive()

    def results(self, number: int) -> list[LearnResult]:
        """Wait for a message and return its results."""
        while number not in self._results:
            self._receive()
        return self._results.pop(number)

    def flush(self) -> None:
        """Wait until everything is durable."""
        self.push()
        self.drain()
        while self._unsynced:
            self.send([], sync=True)
            self.drain()

    def query(self, name: str, *arguments: object) -> Any:
        """Query the worker after it has learned everything taken before."""
        content = encode_plain(arguments)
        self.push()
        while True:
            self.drain()
            newest = self._number if self._unsynced else -1
            try:
                reply = self._get(self.actor.query.remote(name, content, newest))
            except self._ray.exceptions.RayActorError:
                reply = b""
            if reply:
                return decode_plain(reply)
            self._resend()

    def _call(self, message: _Message, sync: bool | None = None, anew: bool = False) -> _Ray:
        sync = message.sync if sync is None else sync
        return self.actor.learn.remote(
            message.number, message.payloads, message.predicts, sync, anew
        )

    def _receive(self) -> None:
        """Wait for the oldest message; if its worker died, resend everything that may be lost."""
        message, ref = self._in_flight[0]
        try:
            content = self._get(ref)
        except self._ray.exceptions.RayActorError:
            self._resend()
            return
        except LocoStreamError:
            self._in_flight.clear()
            self._resend()
            raise
        if not content:  # the worker was restarted and lacks the messages before this one
            self._resend()
            return
        self._in_flight.popleft()
        self._take(message, content, again=False)

    def _resend(self) -> None:
        """Resend every message that is not durable; the worker skips rows that it has learned."""
        self._in_flight.clear()
        deadline = time.monotonic() + _RESTART_TIMEOUT
        messages: list[_Message] = []
        content = b""
        while True:
            if not content:
                # start over: what the log of a lost machine held is unknown
                messages = list(self._unsynced)
            if not messages:
                return
            message = messages[0]
            ref = self._call(message, sync=message is messages[-1], anew=not content)
            try:
                content = self._get(ref)
            except self._ray.exceptions.RayActorError as error:
                if time.monotonic() > deadline:
                    raise CheckpointError(
                        f"a worker did not restart within {_RESTART_TIMEOUT:g} s; see the logs of "
                        f"Ray: {str(error)[:300]}"
                    ) from error
                time.sleep(0.05)
                content = b""
            if content:
                messages.pop(0)
                self._take(message, content, again=True)

    def _count(self, message: _Message, results: Mapping[int, Any], again: bool) -> None:
        for i, (_, n_repeated, refusal, *_) in results.items():
            self.n_repeated += 0 if again else n_repeated
            if refusal is not None:
                self.n_refused += message.lengths[i] - n_repeated
                self.notes.append(refusal)

    def _take(self, message: _Message, content: bytes, again: bool) -> None:
        """Store the reply to a message; `again` marks one that was resent."""
        durable, results, notes = decode_plain(content)
        while self._unsynced and self._unsynced[0].number <= durable:
            self._unsynced.popleft()
        self.notes.extend(notes)
        self._count(message, results, again)
        if message.predicts:
            self._results[message.number] = [
                LearnResult(*results[i]) for i in range(len(message.lengths))
            ]
            message.predicts = False  # a second reply to it is not needed

    def _get(self, ref: _Ray) -> bytes:
        """Return the reply of the worker; start another worker if this one's lease is over.

        A paused or unreachable process is neither alive nor dead for Ray. The new worker fences it
        off in the storage.
        """
        while True:
            try:
                content: bytes = result_of(self._ray, ref, _LEASE_CHECK)
            except self._ray.exceptions.GetTimeoutError:
                if self._has_started and not self._is_alive():
                    self._replace()
                    raise self._ray.exceptions.RayActorError() from None
            else:
                self._has_started = True
                return content

    def _replace(self) -> None:
        self._ray.kill(self.actor)
        self.actor = self._start()
        self._has_started = False


def _of_key(name: str) -> Callable[..., Any]:
    """Return a method that queries the worker of a key."""

    def query(self: RayBackend, key: Key, *arguments: object) -> Any:
        return self._worker_of(key).query(name, key, *arguments)

    return query


def _of_all(name: str) -> Callable[..., None]:
    """Return a method that queries every worker."""

    def query(self: RayBackend, *arguments: object) -> None:
        for worker in self._workers:
            worker.query(name, *arguments)

    return query


class RayBackend:
    """Workers on Ray.

    Raises `ConfigError` if Ray is not installed, or there is no cluster at the address.

    storage, options: see `Shard`
    workers, block_rows, address: see `Fleet`
    """

    def __init__(
        self,
        storage: Storage,
        options: ShardOptions,
        workers: int,
        block_rows: int,
        address: str | None,
    ) -> None:
        self._ray, self._own = connect(address)
        self._options = options
        self._block_rows = block_rows
        # a cluster has a core per worker; a Ray started here shares the cores of this machine
        cores = 0 if address is None else 1
        self._actors = self._ray.remote(RayWorker).options(
            max_restarts=-1, max_task_retries=0, num_cpus=cores
        )
        self._storage = storage
        self._workers = [self._start(i) for i in range(workers)]

    def __repr__(self) -> str:
        return f"{len(self._workers)} workers on Ray"

    @property
    def notes(self) -> list[str]:
        """The latest notes of the workers."""
        return [note for worker in self._workers for note in worker.notes]

    @property
    def n_repeated(self) -> int:
        """Rows that arrived again and were not learned twice."""
        return sum(worker.n_repeated for worker in self._workers)

    @property
    def n_refused(self) -> int:
        """Rows that no model could learn."""
        return sum(worker.n_refused for worker in self._workers)

    def learn(self, batch: Sequence[KeyRows]) -> None:
        """Send rows in blocks; waits while the worker of the next one has too many in flight."""
        for rows in batch:
            self._worker_of(rows.key).put(rows, self._block_rows)

    def learn_predict(self, batch: Sequence[KeyRows]) -> list[LearnResult]:
        """Send rows to all workers at once, and wait for the results."""
        parts: dict[int, list[int]] = {}
        for i, rows in enumerate(batch):
            parts.setdefault(self._index(rows.key), []).append(i)
        results: dict[int, LearnResult] = {}
        sent: dict[int, tuple[int, list[int]]] = {}  # number of the message, and the rows in it
        for index, members in parts.items():
            worker = self._workers[index]
            packed = {i: worker.pack(batch[i]) for i in members}
            refused = {i: text for i, text in packed.items() if isinstance(text, str)}
            results |= {i: LearnResult((), 0, text) for i, text in refused.items()}
            good = {i: part for i, part in packed.items() if not isinstance(part, str)}
            worker.push()
            sent[index] = worker.send(list(good.values()), predicts=True), list(good)
        for index, (number, members) in sent.items():
            results |= zip(members, self._workers[index].results(number), strict=True)
        return [results[i] for i in range(len(batch))]

    def predict(self, key: Key, X: Table, features: Names) -> list[Label]:
        """Query the key's worker."""
        rows = KeyRows(
            key, X, [], None if features is None else tuple(features), "", 0, range(len(X))
        )
        outputs: list[Label] = self._worker_of(key).query("predict", rows.encode())
        return outputs

    def values(self, key: Key, X: Table, features: Sequence[Hashable]) -> Values:
        """Query the key's worker."""
        rows = KeyRows(key, X, [], tuple(features), "", 0, range(len(X)))
        found = self._worker_of(key).query("values", rows.encode())
        if found is None:
            return None
        data, shape, dtype, classes = found
        return np.frombuffer(data, dtype).reshape(shape), classes

    fan = _of_key("fan")
    decide = _of_key("decide")
    reset = _of_key("reset")
    state = _of_key("state")
    state_sha256 = _of_key("state_sha256")
    report = _of_key("report")
    share = _of_all("share")
    follow = _of_all("follow")
    checkpoint = _of_all("checkpoint")

    def keys(self) -> list[Key]:
        """Query every worker."""
        return [key for worker, groups in self._owned() for key in worker.query("keys", groups)]

    def counts(self) -> tuple[int, int]:
        """Query every worker."""
        counts = [worker.query("counts", groups) for worker, groups in self._owned()]
        return sum(n_keys for n_keys, _ in counts), sum(n_resident for _, n_resident in counts)

    def evict(self, keys: Sequence[Key]) -> int:
        """Let each key's worker evict its model."""
        return sum(self._worker_of(key).query("evict", [key]) for key in keys)

    def _owned(self) -> list[tuple[_WorkerHandle, list[int]]]:
        """Return each worker and the numbers of its groups."""
        n = len(self._workers)
        groups = range(self._options.key_groups)
        return [(worker, list(groups[i::n])) for i, worker in enumerate(self._workers)]

    def flush(self) -> None:
        """Wait until all rows are durable; the workers finish in parallel."""
        for worker in self._workers:
            worker.push()
        for worker in self._workers:
            worker.flush()

    def rescale(self, workers: int) -> None:
        """Continue with another number of workers; the old owner stores a group before it moves."""
        self.flush()
        before = len(self._workers)
        for i, (worker, groups) in enumerate(self._owned()):
            worker.query("release", [group for group in groups if group % workers != i])
        for worker in self._workers[workers:]:
            self._ray.kill(worker.actor)
        self._workers = self._workers[:workers] + [self._start(i) for i in range(before, workers)]

    def close(self, *, store: bool) -> None:
        """Store everything or sync the logs; end all workers, and Ray if it was started here."""
        try:
            self.flush()
            for worker in self._workers:
                worker.query("close", store)
        finally:
            for worker in self._workers:
                self._ray.kill(worker.actor)
            if self._own:
                self._ray.shutdown()

    def _start(self, index: int) -> _WorkerHandle:
        name = str(index)

        def start() -> _Ray:
            return self._actors.remote(self._storage.worker(name), self._options)

        return _WorkerHandle(self._ray, start, partial(self._storage.is_alive, name))

    def _index(self, key: Key) -> int:
        return group_of(key, self._options.key_groups) % len(self._workers)

    def _worker_of(self, key: Key) -> _WorkerHandle:
        return self._workers[self._index(key)]


def result_of(ray: _Ray, ref: _Ray, seconds: float) -> Any:
    """Return what a worker returned, or raise the error of this package that it raised."""
    try:
        return ray.get(ref, timeout=seconds)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, LocoStreamError):
            raise error.cause from None
        raise


def connect(address: str | None) -> tuple[_Ray, bool]:
    """Return Ray, and whether it was started here."""
    # no usage statistics are sent unless the user sets the variable
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ConfigError("workers need Ray: pip install 'loco-stream[ray]'") from None
    if ray.is_initialized():
        return ray, False
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        with _kept_signal_handler():
            if address is None:
                # "local": not a cluster that happens to run on this machine
                ray.init(
                    "local",
                    num_cpus=1,
                    include_dashboard=False,
                    object_store_memory=100 * 2**20,
                    **quiet,
                )
            else:
                ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"cannot reach Ray at {address}: {str(error)[:300]}") from error
    return ray, True


@contextmanager
def _kept_signal_handler() -> Iterator[None]:
    """Keep the handler of SIGTERM, if there is one: Ray installs its own, which ends at once."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and callable(handler):
            signal.signal(signal.SIGTERM, handler)
