"""`python -m benchmarks outlets`.

What sinks cost the learner, how soon a drift is known, how fast HTTP answers.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from types import SimpleNamespace
from typing import Any, ClassVar

import click
import numpy as np

from benchmarks.dashboard import _WAYS, _Rows
from benchmarks.grid import Grid, percent
from benchmarks.live_peers import FEATURES, peer_answer, start_peer
from benchmarks.machine import median
from benchmarks.options import Settings, common
from benchmarks.runs import Run
from loco_stream.stream import Sample, Sink, Source

__all__ = ["command", "cost", "drift_delay", "grids", "predict_time"]

_NONE = "none: the error of this measure"
_NULL = "one that does nothing"
_SINKS = (
    _NONE,
    "dead webhook, drifts",
    _NULL,
    "dead webhook, all records",
    "subscriber that never reads, all records",
)
_BOTH = ("bare", "watched")
_TURN = 128  # rows: what else goes on in a machine changes within tenths of a second
_DEAD = "http://127.0.0.1:9/?linger=0"  # the discard port: nobody listens


class _Nothing(Sink):
    def write(self, prediction: Any) -> None:
        """Take a prediction."""

    def write_block(self, predictions: Any) -> None:
        """Take the predictions of a block."""


class _InTurn(_Rows):
    """Rows of one of two runs that take turns.

    What else goes on in this machine slows both down alike.
    """

    def __init__(
        self, way: str, n: int, mine: threading.Semaphore, others: threading.Semaphore
    ) -> None:
        super().__init__(way, n)
        self.spent: list[float] = []  # CPU seconds of the learner's thread in each turn
        self.took: list[float] = []  # seconds by the clock
        self._mine = mine
        self._others = others
        self._turn = _TURN * len(self._events) // n

    def __iter__(self) -> Iterator[Any]:
        for first in range(0, len(self._events), self._turn):
            self._mine.acquire()
            began = time.thread_time()
            began_at = time.perf_counter()
            yield from self._events[first : first + self._turn]
            self.spent.append(time.thread_time() - began)
            self.took.append(time.perf_counter() - began_at)
            self._others.release()


@contextmanager
def _sinks(kind: str) -> Iterator[list[Any]]:
    """Open the sinks of a kind of run, and receivers that do not read from them."""
    import zmq

    from loco_stream.connectors import open_sink

    with zmq.Context() as context:
        if kind == _NONE:
            yield []
        elif kind == _NULL:
            yield [_Nothing()]
        elif kind.startswith("dead"):
            yield [open_sink(_DEAD + ("&only=drift,task" if kind.endswith("drifts") else ""))]
        else:
            sink: Any = open_sink("zmq+pub://127.0.0.1:*?linger=0")
            subscriber = context.socket(zmq.SUB)
            subscriber.rcvhwm = 10
            subscriber.subscribe("")
            subscriber.connect(sink.address)
            time.sleep(0.2)
            yield [sink]
            subscriber.close(linger=0)


def cost(way: str, kind: str, n: int, bare_first: bool = True) -> dict[str, Any]:
    """Learn n rows twice in turns, without a sink and with one of a kind.

    Returns CPU seconds of the learner's threads in each turn, seconds by the clock, and the CPU
    seconds of all other threads together.
    """
    from loco_stream import LOCOClassifier
    from loco_stream.engine import StreamEngine
    from loco_stream.monitor import TaskMonitor

    first = threading.Semaphore()
    second = threading.Semaphore(0)
    sources = [_InTurn(way, n, first, second), _InTurn(way, n, second, first)]
    bare, watched = sources if bare_first else sources[::-1]
    with _sinks(kind) as sinks:
        engines = [
            StreamEngine(
                LOCOClassifier(seed=0), source, sinks=heard, monitor=TaskMonitor(holdout=0)
            )
            for source, heard in ((bare, []), (watched, sinks))
        ]
        threads = [threading.Thread(target=engine.run) for engine in engines]
        began = time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        others = time.process_time() - began - sum(bare.spent) - sum(watched.spent)
    return {
        "bare": bare.spent,
        "watched": watched.spent,
        "took": [bare.took, watched.took],
        "others": others,
    }


def costs(way: str, n: int, pairs: int) -> dict[str, Any]:
    """Measure all kinds in turn, again and again."""
    for kind in _SINKS:
        cost(way, kind, _TURN)  # compiles
    return {
        "rounds": [
            {kind: cost(way, kind, n, bool(i % 2)) for kind in _SINKS} for i in range(pairs)
        ],
        "n": n,
    }


class _Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    delays: list[float]

    def do_POST(self) -> None:
        """Note how old the row is whose record this is."""
        record = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if record["kind"] == "drift":
            self.delays.append(time.time() - record["t"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Turning(Source):
    """Live rows whose concept turns every 1,000 rows; each has the moment it came as its time."""

    name = "turning"
    guarantee = "rows of this bench"
    position: ClassVar[dict[str, Any]] = {}

    def __init__(self, n: int, rate: float) -> None:
        self._n = n
        self._rate = rate

    def __iter__(self) -> Iterator[Any]:
        X = np.random.default_rng(0).normal(size=(self._n, 4))
        began = time.monotonic()
        for i, x in enumerate(X.tolist()):
            time.sleep(max(0.0, began + i / self._rate - time.monotonic()))
            y = (x[0] + x[1] > 0) != bool(i // 1000 % 2)
            yield Sample(dict(zip("abcd", x, strict=True)), "ny"[y], i, time.time(), self.name)


def drift_delay(n: int, rate: float) -> dict[str, Any]:
    """Return milliseconds from the row of a drift to its record at a webhook.

    The records of all predictions go the same way.
    """
    from loco_stream import LOCOClassifier
    from loco_stream.connectors import open_sink
    from loco_stream.engine import StreamEngine

    delays: list[float] = []
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Receiver", (_Receiver,), {"delays": delays})
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sink = open_sink(f"http://127.0.0.1:{server.server_address[1]}/?only=drift,prediction")
    model = LOCOClassifier(seed=0)
    model.learn_one(dict.fromkeys("abcd", 0.0), "n")  # compiles
    report = StreamEngine(model, _Turning(n, rate), sinks=[sink]).run()
    server.shutdown()
    server.server_close()
    dropped = sink.stats["dropped"]
    return {
        "drifts": len(report["drifts"]),
        "ms": sorted(1000 * delay for delay in delays),
        "dropped": dropped,
    }


def predict_time(n: int, rate: float) -> dict[str, Any]:
    """Return milliseconds of one HTTP prediction for another process while rows are learned."""
    from loco_stream import LOCOClassifier
    from loco_stream.dashboard._http_api import HttpApi
    from loco_stream.engine import StreamEngine

    service = SimpleNamespace(engine=None, status={"n_samples": 0}, alarm=None)
    api = HttpApi(service, 0)
    model = LOCOClassifier(seed=0)
    model.learn_one(dict.fromkeys("abcd", 0.0), "n")
    service.engine = engine = StreamEngine(model, _Turning(60_000, rate))
    thread = threading.Thread(target=engine.run)
    thread.start()
    while (
        engine.status.get("n_samples", 0) < 100
    ):  # compiled: a server that stands still for 5 s loses its clients
        time.sleep(0.1)
    try:
        return peer_answer(start_peer(do="post", url=api.url, n=n, warm=50))
    finally:
        engine.stop()
        thread.join()
        api.close()


def _more(pairs: Iterable[Iterable[Sequence[float]]]) -> float:
    """Return the median of what each turn took more than its neighbour without a sink."""
    return median(
        [watched / bare - 1.0 for pair in pairs for bare, watched in zip(*pair, strict=True)]
    )


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return what each sink costs against its neighbours, and the delays."""
    grid = Grid(
        f"a sink beside a run in memory ({len(FEATURES)} features), CPU time of the learner",
        ["rows", "sink", "us a row without", "with", "more", "by the clock", "other threads, us"],
    )
    for way in _WAYS:
        found = results[way]
        for kind in _SINKS:
            pairs = [turn[kind] for turn in found["rounds"]]
            bare, watched = (
                sorted(chain.from_iterable(pair[whose] for pair in pairs)) for whose in _BOTH
            )
            more = _more((pair[whose] for whose in _BOTH) for pair in pairs)
            clock = _more(pair["took"] for pair in pairs)
            others = median([pair["others"] for pair in pairs]) / found["n"]
            times = (median(bare) / _TURN, median(watched) / _TURN)
            grid.row(
                way,
                kind,
                *(f"{t * 1e6:.1f}" for t in times),
                f"{percent(more)} %",
                f"{percent(clock)} %",
                f"{others * 1e6:.1f}",
            )
    delays = Grid("milliseconds, on loopback", ["what", "n", "p50", "p99", "most"])
    for what in ("drift record at a webhook", "HTTP prediction while 500 rows/s are learned"):
        ms = results[what]["ms"]
        delays.row(
            what,
            str(len(ms)),
            *(f"{ms[min(len(ms) - 1, int(q * len(ms)))]:.2f}" for q in (0.5, 0.99, 1.0)),
        )
    return [grid, delays]


@click.command("outlets")
@click.option(
    "--rows",
    type=click.IntRange(min=256),
    default=9600,
    show_default=True,
    help="Rows of each run.",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Pairs of runs of each kind.",
)
@common(seeds=1)
def command(settings: Settings, rows: int, pairs: int) -> None:
    """Measure the cost of sinks without a receiver, and the delay of records and predictions.

    Two runs in one process take turns of 128 rows, one without a sink and one with it, and each
    turn is compared with its neighbour; the median over all turns is reported. The receiver of the
    drift records is a thread of the same process, which makes their times upper bounds; the client
    that asks for predictions is a process of its own.

    \b
    Examples
      python -m benchmarks outlets
      python -m benchmarks outlets --rows 9600 --pairs 3
    """
    runs = [
        Run(way, costs, {"way": way, "n": rows - rows % _TURN, "pairs": pairs}, f"{rows} {pairs}")
        for way in _WAYS
    ]
    runs.append(
        Run("drift record at a webhook", drift_delay, {"n": rows, "rate": 500.0}, f"{rows}")
    )
    runs.append(
        Run(
            "HTTP prediction while 500 rows/s are learned",
            predict_time,
            {"n": 2000, "rate": 500.0},
            "",
        )
    )
    settings.anew().run("outlets", runs, grids)
