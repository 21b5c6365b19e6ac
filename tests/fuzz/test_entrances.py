"""Hostile values at every entrance of a running service, with honest rows beside them.

No honest row is lost, honest rows keep half of their rate, and the service starts again after
SIGKILL. LOCO_SOAK=1 sends 200,000 hostile messages in total.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time

import pytest

from tests.helpers import servers
from tests.helpers.children import end_with_parent
from tests.helpers.engine_process import LOCO, SOAK, start
from tests.helpers.entrances import CLIENTS, attack, honest_row
from tests.helpers.ports import free_port

N_HOSTILE = (200_000 if SOAK else 9_000) // len(CLIENTS) + 1
SECONDS = 10.0 if SOAK else 2.0  # of the rate alone
RATE = 2000.0  # hostile messages per second
BLOCK = 64
WINDOW = 512  # honest rows that may wait
LIMITS = ["--limit", "model_features=64", "--limit", "model_classes=64"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if SOAK else 600)]


class Answers:
    """The honest rows in the file of answers, read as it grows."""

    def __init__(self, path):
        self._path = path
        self._file = None
        self._rest = b""
        self.ids = set()
        self.n = 0

    def read(self):
        if self._file is None:
            if not self._path.exists():
                return 0
            self._file = self._path.open("rb")
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            record = json.loads(line)
            if record["source"] == "trusted" or record["source"] == "rows/honest":
                self._take(record["seq"])
            elif str(record.get("id", "")).startswith("h") and "label" in record:
                self._take(record["id"])
        return self.n

    def _take(self, key):
        self.n += 1
        self.ids.add(key)

    def close(self):
        if self._file is not None:
            self._file.close()


class Service:
    """A service with one entrance, its broker and an honest client."""

    def __init__(self, entrance, folder, processes):
        self.entrance = entrance
        self.folder = folder
        self.processes = processes
        self.broker = None
        self.answers_path = folder / "answers.jsonl"
        self.is_pipe = self.entrance in ("jsonl", "influx")
        self.command = self._command()
        self.start()
        self.client = CLIENTS[self.entrance](self.process.stdin if self.is_pipe else self.port)

    def _command(self):
        sink = ["--sink", f"jsonl:{self.answers_path}?only=prediction"]
        common = ["--checkpoint", str(self.folder / "state"), "--task", "classification"]
        common += [*sink, *LIMITS, "--durability", "interval:1s"]
        light = ["--set", "hidden_sizes=8", "--set", "rule=frozen"]
        if self.entrance == "http":
            self.port = free_port()
            return ["serve", "--http", f"{self.port}?target=y&id=id", *common, *light]
        source = self._source()
        if self.entrance == "fleet":
            return ["fleet", source, "--key", "device", *common, *light]
        return ["serve", "--source", source, *common, *light]

    def _source(self):
        name = self.entrance
        fields = "target=y&id=id"
        if name == "zmq":
            self.port = free_port()
            return f"zmq+reliable://127.0.0.1:{self.port}"
        if name == "influx":
            return f"influx:-?{fields}&drop=measurement"
        if name == "jsonl":
            return f"jsonl:-?{fields}"
        self._start_broker(name)
        name = "redis" if name == "fleet" else name
        return f"{name}://127.0.0.1:{self.port}/rows?{fields}"

    def _start_broker(self, name):
        folder = self.folder / "broker"
        folder.mkdir()
        redis = servers.Redis
        kinds = {"redis": redis, "fleet": redis, "mqtt": servers.Mosquitto, "nats": servers.NATS}
        self.broker = servers.Kafka() if name == "kafka" else kinds[name](folder)
        self.port = self.broker.port
        if name == "nats":
            self.broker.add_stream("rows", "rows")
        if name == "kafka":
            self.broker.publish("rows")

    def start(self):
        command = [*LOCO, *self.command]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=end_with_parent,
        )
        self.processes.append(self.process)
        self.errors = []
        started = threading.Event()
        drained = threading.Thread(target=self._drain, args=(self.process, started), daemon=True)
        drained.start()
        if not self.is_pipe:  # a broker keeps no row without a reader
            assert started.wait(400), b"".join(self.errors)

    def _drain(self, process, started):
        with contextlib.suppress(ValueError):  # closed
            for line in process.stderr:
                self.errors.append(line)
                if b"durability" in line or b": acknowledged rows" in line:
                    started.set()

    def attack(self, n):
        """Send hostile messages from a process of the lowest priority, or as a thread to a pipe."""
        if self.is_pipe:
            thread = threading.Thread(target=self._attack_pipe, args=(n,))
            thread.start()
            return thread.is_alive
        command = ["nice", "-n", "19", sys.executable, "-m", "tests.helpers.entrances"]
        arguments = [self.entrance, str(self.port), str(n), str(RATE), "7"]
        hostile = start(self.processes, *command, *arguments)
        self.hostile = hostile
        return lambda: hostile.poll() is None

    def _attack_pipe(self, n):
        attack(self.client, n, RATE, 7)

    def close(self):
        self.client.close()
        for process in self.processes:
            if process.stdin is not None:
                process.stdin.close()
        if self.broker is not None:
            self.broker.stop()


class Traffic:
    """Honest rows, block by block, of which a bounded number waits."""

    def __init__(self, service):
        self.service = service
        self.answers = Answers(service.answers_path)
        self.sent = 0

    def run(self, goes_on):
        """Send while a condition holds; return the rows answered per second."""
        begin, first = time.monotonic(), self.answers.read()
        while goes_on():
            self.step()
        return (self.answers.read() - first) / (time.monotonic() - begin)

    def step(self):
        self.service.client.send([honest_row(i) for i in range(self.sent, self.sent + BLOCK)])
        self.sent += BLOCK
        self.wait(self.sent - WINDOW)

    def wait(self, n, seconds=400):  # the first rows may wait for a compilation
        deadline = time.monotonic() + seconds
        while self.answers.read() < n or len(self.answers.ids) < n:
            assert self.service.process.poll() is None, b"".join(self.service.errors)
            assert time.monotonic() < deadline, f"{n - len(self.answers.ids)} rows have no answer"
            time.sleep(0.005)


def for_seconds(seconds):
    until = time.monotonic() + seconds
    return lambda: time.monotonic() < until


@pytest.mark.parametrize("entrance", CLIENTS)
def test_honest_rows_beside_hostile_messages(entrance, tmp_path, processes):
    service = Service(entrance, tmp_path, processes)
    traffic = Traffic(service)
    warm = itertools.count()
    traffic.run(lambda: next(warm) < 2)
    traffic.wait(traffic.sent)
    alone = traffic.run(for_seconds(SECONDS))
    beside = traffic.run(service.attack(N_HOSTILE))
    after = traffic.run(for_seconds(SECONDS / 2))
    traffic.wait(traffic.sent)
    assert len(traffic.answers.ids) == traffic.answers.n == traffic.sent
    service.process.kill()
    service.process.wait()
    print(
        f"{entrance}: {N_HOSTILE:,} hostile messages, {traffic.sent:,} honest rows of which none "
        f"was lost; {alone:,.0f} rows/s alone, {beside:,.0f} beside, {after:,.0f} after"
    )
    service.start()  # the log holds what the messages left
    if not service.is_pipe:
        for _ in range(8):
            traffic.step()
        traffic.wait(traffic.sent)
    traffic.answers.close()
    service.close()
    assert beside >= 0.5 * min(alone, after)  # other tests use the cores as well
