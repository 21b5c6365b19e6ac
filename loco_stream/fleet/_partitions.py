"""A fleet per partition of a source: workers on Ray read their own partitions.

No row passes through the driver. It stores the template, assigns partitions to workers, and assigns
them anew when a worker is lost or the number of workers changes. A partition has a complete fleet
of its own: position of its source, key groups, logs, lock or lease. Rows are therefore learned
exactly once in the same way as in one process.

All rows of a key must be in one partition. Kafka does this for messages with a key; with Redis the
sender chooses one of several streams by the key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from heapq import nlargest
from typing import Any, Self, TypeAlias

from loco_stream._checks import integer, require
from loco_stream._persistence.files import StrPath
from loco_stream._problems import FORECASTING, TARGETS
from loco_stream.engine._model_adapter import task_of
from loco_stream.engine._report import jsonable
from loco_stream.errors import ConfigError, LocoStreamError
from loco_stream.estimators._estimator import LOCOEstimator
from loco_stream.fleet._fleet import Fleet
from loco_stream.fleet._home import FleetHome, Settings, load_template, stored_fleet
from loco_stream.fleet._limits import KeyLimits
from loco_stream.fleet._ray_backend import connect, result_of
from loco_stream.fleet._runner import FleetReport, FleetRunner
from loco_stream.fleet._storage import open_storage
from loco_stream.monitor import TaskMonitor

_Ray: TypeAlias = Any

_PLACEHOLDER = "{partition}"
_GROUPS = 64  # key groups of all partitions together
_LISTED = 10
_COUNTS = ("n_samples", "n_unlabelled", "n_keys")  # in every report, also without any reply
_WORKERS = integer(1, 10_000)
# Seconds until a worker that does not reply counts as lost. It replies to `status` at once, while
# opening a partition may wait for a lease and replay a log.
_STATUS_SECONDS = 15.0
_MOVE_SECONDS = 180.0
_START_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class PartitionOptions:
    """What a worker needs to run a partition; plain values only.

    source: URL of a source, with ``{partition}`` in place of the number of the partition
    key: the feature that holds the key
    partitions: number of partitions; it cannot be changed later
    checkpoint_every, durability, max_resident, lease, share, share_every: see `Fleet`. The keys of
        one partition share knowledge.
    max_keys, rows_per_second: limits of each partition; see `KeyLimits`
    missing_values, max_age: see `FleetRunner`
    endless: whether to continue after the end of a live source's stream
    """

    source: str
    key: str
    partitions: int
    checkpoint_every: int = 10_000
    durability: str = "interval:1s"
    max_resident: int = 1000
    lease: float = 10.0
    share: str = "none"
    share_every: int = 10_000
    max_keys: int | None = None
    rows_per_second: float | None = None
    missing_values: tuple[float, ...] = ()
    max_age: float = 3600.0
    endless: bool = True

    def check(self) -> None:
        """Raise `ConfigError` if a value is out of its range."""
        if _PLACEHOLDER not in self.source:
            raise ConfigError(f"`source` must contain {_PLACEHOLDER!r}, got {self.source!r}")
        require("partitions", self.partitions, integer(1, 9999))


class _Partition:
    """One partition in a thread of a worker."""

    def __init__(self, location: str, number: int, options: PartitionOptions) -> None:
        from loco_stream.connectors import open_source
        from loco_stream.engine._source_reader import SourceReader

        stored = stored_fleet(location)
        assert stored is not None
        self._fleet = Fleet(
            load_template(open_storage(location)),
            partition_location(location, number),
            key_groups=max(1, _GROUPS // options.partitions),
            max_resident=options.max_resident,
            monitor=stored.monitor,
            checkpoint_every=options.checkpoint_every,
            durability=options.durability,
            lease=options.lease,
            share=options.share,
            share_every=options.share_every,
        )
        try:
            url = options.source.replace(_PLACEHOLDER, str(number))
            source = open_source(url, task=self._fleet.task, endless=options.endless)
            limits = KeyLimits(options.max_keys, options.rows_per_second)
            self._reader = SourceReader(source)
            self._runner = FleetRunner(
                self._fleet,
                self._reader,
                options.key,
                (),
                [self._snapshot],
                limits,
                missing_values=options.missing_values,
                max_age=options.max_age,
            )
        except BaseException:
            self._fleet.close()
            raise
        self._taken_at = 0.0
        self.report: FleetReport = {}
        self.error: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"partition {number}", daemon=True)
        self._thread.start()

    def status(self) -> dict[str, Any]:
        """Return report, error, and whether the stream goes on."""
        report = jsonable(self.report)
        return {"report": report, "error": self.error, "is_running": self._thread.is_alive()}

    def prepare(self) -> None:
        """Store all models while rows are learned, so that little is left to do at the end."""
        self._fleet.checkpoint()

    def stop(self) -> None:
        """End after the rows at hand, make them durable and release the partition."""
        self._runner.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            self.report = self._runner.run()
        except LocoStreamError as error:
            self.error = str(error)
        except Exception as error:
            self.error = repr(error)
        finally:
            try:
                # models that were not prepared are in the log, which the next worker reads
                self._fleet.close(store=not self._reader.is_stopped)
            except LocoStreamError as error:
                self.error = self.error or str(error)

    def _snapshot(self, runner: FleetRunner) -> None:
        if time.monotonic() - self._taken_at > 1.0:
            self.report = {**runner.status(), "worst": runner.worst()}
            self._taken_at = time.monotonic()


class _PartitionWorker:
    """A Ray actor that runs partitions; all arguments and results are plain values.

    A worker without partitions has no lock and no lease, so it can be replaced at any time.
    """

    def __init__(self, location: str, options: PartitionOptions) -> None:
        self._location = location
        self._options = options
        self._partitions: dict[int, _Partition] = {}
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Load compiled code and modules, so that a partition that moves here does not wait."""
        from loco_stream.connectors._urls import check_url
        from loco_stream.engine import _source_reader as source_reader  # noqa: F401

        with suppress(LocoStreamError):  # raised when a partition is opened
            check_url(self._options.source.replace(_PLACEHOLDER, "0"))
        model = load_template(open_storage(self._location)).clone()
        labels = [[0.0], [1.0]] if task_of(model) == TARGETS else [0, 1]
        model.learn_predict_array([[0.0], [1.0]], labels)

    def start(self, number: int) -> bool:
        """Open a partition, and run it in a thread; return True."""
        with self._lock:
            if number not in self._partitions:
                self._partitions[number] = _Partition(self._location, number, self._options)
        return True

    def prepare(self, number: int) -> None:
        """Store the models of a partition, which goes on meanwhile."""
        if (running := self._partitions.get(number)) is not None:
            running.prepare()

    def stop(self, number: int) -> dict[str, Any] | None:
        """Release a partition; return its last status."""
        with self._lock:
            running = self._partitions.pop(number, None)
            if running is None:
                return None
            running.stop()
            return {**running.status(), "is_running": True}

    def status(self) -> dict[int, dict[str, Any]]:
        """Return the status of each partition."""
        return {number: running.status() for number, running in list(self._partitions.items())}


class PartitionedFleet:
    """Runs a fleet per partition of a source, spread over workers on Ray.

    Parameters
    ----------
    model
        What new keys start from; None selects the model that the fleet was begun with.
    location
        A directory, or the URL of an object store; see `Fleet`.
    options
        Source, key and number of partitions.
    workers
        Ray actors.
    monitor
        See `Fleet`.
    ray_address
        Address of a running Ray cluster; None starts one on this machine.
    settings
        See `Fleet`.

    Attributes
    ----------
    notes
        Sentences on workers that were lost.
    n_replaced
        Workers that were lost.
    longest_move
        Longest time in seconds that a partition stopped while it moved to another worker.
    kept
        What is kept if the process ends now, in one clause.

    Raises
    ------
    ConfigError
        An option is invalid, the model is a detector or a forecaster, Ray is not installed, or the
        fleet is in use or was begun with other settings.
    """

    kept = FleetRunner.kept

    def __init__(
        self,
        model: LOCOEstimator | None,
        location: StrPath,
        options: PartitionOptions,
        workers: int = 1,
        *,
        monitor: TaskMonitor | None = None,
        ray_address: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        options.check()
        workers = require("workers", workers, _WORKERS)
        storage = open_storage(location, lease=options.lease)
        given = {**(settings or {}), "partitions": options.partitions}
        self._home = FleetHome(storage, model, _GROUPS, monitor, given, options.share)
        self._options = options
        self._reports: dict[int, FleetReport] = {}
        self._workers: list[_Ray] = []
        self._own = False  # whether Ray was started here
        self._assigned: dict[int, int] = {}  # worker of each partition
        self._ended: set[int] = set()
        self._stopping = threading.Event()
        self.notes: list[str] = []
        self.n_replaced = 0
        self.longest_move = 0.0
        try:
            if self.task in (FORECASTING, "watching"):
                kind = type(self._home.template).__name__
                raise ConfigError(f"`model` must be a classifier or a regressor, got a {kind}")
            self._ray, self._own = connect(ray_address)
            cores = 0 if ray_address is None else 1
            self._actors = self._ray.remote(_PartitionWorker).options(
                max_restarts=0, num_cpus=cores, max_concurrency=4, scheduling_strategy="SPREAD"
            )
            self._n_workers = workers
            self._workers += self._start(workers)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        n = self._options.partitions
        return f"PartitionedFleet({self._home.storage.location!r}, {n} partitions)"

    @property
    def task(self) -> str:
        """Task type of the models."""
        return task_of(self._home.template)

    def assign(self) -> None:
        """Let each partition run on its worker.

        The models of a partition that moves are stored before it stops.
        """
        for number in range(self._options.partitions):
            index = number % self._n_workers
            if number in self._ended or self._assigned.get(number) == index:
                continue
            if (before := self._assigned.get(number)) is not None:
                self._call(before, "prepare", number)
            began = time.monotonic()
            if (before := self._assigned.pop(number, None)) is not None:
                self._note_status(number, self._call(before, "stop", number))
            if self._call(index, "start", number):
                self._assigned[number] = index
                if before is not None:
                    self.longest_move = max(self.longest_move, time.monotonic() - began)

    def poll(self) -> bool:
        """Read the state of all workers, replace lost ones, and return whether any partition runs.

        Raises `LocoStreamError` if a partition failed for a reason that another worker would meet
        too.
        """
        for index in range(len(self._workers)):
            status = self._call(index, "status")
            for number, found in (status or {}).items():
                self._note_status(number, found)
        self.assign()
        return len(self._ended) < self._options.partitions

    def stop(self) -> None:
        """End `run`; may be called from a signal handler or another thread."""
        self._stopping.set()

    def run(self, seconds: float = 1.0) -> FleetReport:
        """Assign all partitions and poll until every stream has ended or `stop` is called."""
        self.assign()
        while self.poll() and not self._stopping.wait(seconds):
            pass
        return self.report()

    def rescale(self, workers: int) -> None:
        """Continue with another number of workers; a partition stops while it moves."""
        workers = require("workers", workers, _WORKERS)
        self._workers += self._start(workers - len(self._workers))
        self._n_workers = workers
        self.assign()
        for worker in self._workers[workers:]:
            self._ray.kill(worker)
        del self._workers[workers:]

    def report(self) -> FleetReport:
        """Return the counts of all partitions, and the ten keys with the largest error."""
        reports = self._reports.values()
        given = (name for report in reports for name in report if name.startswith("n_"))
        counts = {
            name: sum(report.get(name, 0) for report in reports)
            for name in dict.fromkeys((*_COUNTS, *given))
        }
        worst = [found for report in reports for found in report.get("worst", ())]
        return {
            **counts,
            "task": self.task,
            "worst": nlargest(_LISTED, worst, key=lambda found: found["error"] or 0.0),
            "notes": self.notes + [note for r in reports for note in r.get("notes", ())],
        }

    def close(self) -> None:
        """Store all partitions, end the workers, and end Ray if it was started here."""
        with ExitStack() as parts:  # a partition that failed keeps no other from being stored
            parts.callback(self._home.close)
            parts.callback(self._end_workers)
            for number, index in self._assigned.items():
                parts.callback(self._close_partition, number, index)

    def _close_partition(self, number: int, index: int) -> None:
        self._call(index, "prepare", number)
        self._note_status(number, self._call(index, "stop", number))

    def _end_workers(self) -> None:
        for worker in self._workers:
            self._ray.kill(worker)
        if self._own:
            self._ray.shutdown()

    def _start(self, n: int) -> list[_Ray]:
        """Start workers; return when they can take a partition without delay."""
        location = self._home.storage.location
        workers = [self._actors.remote(location, self._options) for _ in range(n)]
        self._ray.get([worker.warm.remote() for worker in workers], timeout=_START_SECONDS)
        return workers

    def _call(self, index: int, name: str, *arguments: int) -> Any:
        """Call a worker; a lost one is replaced, and its partitions are assigned anew later."""
        call = getattr(self._workers[index], name).remote(*arguments)
        seconds = _STATUS_SECONDS if name == "status" else _MOVE_SECONDS
        try:
            return result_of(self._ray, call, seconds)
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.GetTimeoutError) as error:
            self._replace(index, error)
            return None

    def _replace(self, index: int, error: Exception) -> None:
        self.n_replaced += 1
        self.notes.append(f"worker {index} was lost and replaced: {str(error)[:200]}")
        self._ray.kill(self._workers[index])
        (self._workers[index],) = self._start(1)
        self._assigned = {n: i for n, i in self._assigned.items() if i != index}

    def _note_status(self, number: int, status: Mapping[str, Any] | None) -> None:
        if status is None:  # the worker was lost, or does not run the partition
            return
        self._reports[number] = status["report"]
        if status["error"] is not None:
            raise ConfigError(f"partition {number}: {status['error']}")
        if not status["is_running"]:
            self._ended.add(number)


def partition_location(location: StrPath, number: int) -> str:
    """Return where the fleet of a partition is."""
    return f"{str(location).rstrip('/')}/partition-{number:04d}"
