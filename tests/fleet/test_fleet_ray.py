"""A fleet on Ray has the same models as a fleet in one process."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from loco_stream import Fleet
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import CheckpointError, ConfigError, InputError
from loco_stream.fleet._rows import make_rows
from tests.helpers.fleet_process import SOURCE, rows_of, template, worker_ids

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]
ray = pytest.importorskip("ray")

N_KEYS = 24
N_ROWS = 90


@pytest.fixture(scope="module", autouse=True)
def _one_ray():
    """Start Ray once, which takes seconds."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=100 * 2**20,
    )
    yield
    ray.shutdown()


def alone(X, y):
    model = template()
    model.learn_array(X, y)
    return state_sha256(*export_model(model))


def feed(fleet, start, stop, block=15):
    for at in range(start, stop, block):
        for key in range(N_KEYS):
            X, y = rows_of(key, N_ROWS)
            end = min(at + block, stop)
            fleet.learn(key, X[at:end], y[at:end], source=SOURCE, epoch=1, seq=at)


def wrong(fleet, stop=N_ROWS):
    tables = {key: rows_of(key, N_ROWS) for key in range(N_KEYS)}
    return [
        key
        for key, (X, y) in tables.items()
        if fleet.state_sha256(key) != alone(X[:stop], y[:stop])
    ]


def test_groups_move_when_workers_come_and_go(tmp_path):
    with Fleet(template(), tmp_path, workers=1, block_rows=64) as fleet:
        for n, (workers, stop) in enumerate([(1, 30), (2, 50), (4, 70), (1, 90)]):
            if n:
                fleet.rescale(workers)
            feed(fleet, max(stop - 40, 0), stop)  # half of the rows are repeated
            assert wrong(fleet, stop) == []
        assert fleet.n_repeated > 0
        assert sorted(fleet.keys()) == list(range(N_KEYS))
    with Fleet(None, tmp_path) as fleet:
        assert wrong(fleet) == []


def test_after_kills_of_workers_no_row_is_lost_or_learned_twice(tmp_path):
    with Fleet(
        template(), tmp_path, workers=2, block_rows=32, durability="interval:1000s"
    ) as fleet:
        feed(fleet, 0, 45)
        for pid in worker_ids(fleet):
            os.kill(pid, signal.SIGKILL)
        feed(fleet, 45, N_ROWS)
        X, _ = rows_of(3, N_ROWS)
        os.kill(worker_ids(fleet)[0], signal.SIGKILL)
        assert len(fleet.predict(3, X)) == N_ROWS
        assert wrong(fleet) == []
        assert fleet.n_repeated == 0


def test_a_restarted_worker_does_not_learn_messages_after_a_gap(tmp_path):
    with Fleet(template(), tmp_path, workers=1, durability="interval:1000s") as fleet:
        feed(fleet, 0, 15)
        fleet.flush()
        (worker,) = fleet._backend._workers
        pid = worker_ids(fleet)[0]
        os.kill(pid, signal.SIGSTOP)
        feed(fleet, 15, 30)
        worker.push()
        time.sleep(0.5)
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:  # until it is back, with one message lost
            try:
                ray.get(worker.actor.__ray_call__.remote(lambda _: None))
                break
            except ray.exceptions.RayActorError:
                time.sleep(0.1)
        feed(fleet, 30, N_ROWS)
        assert wrong(fleet) == []


def test_rows_that_a_lost_machine_had_not_synced_are_resent(tmp_path):
    with Fleet(template(), tmp_path, workers=1, key_groups=1, durability="interval:1000s") as fleet:
        feed(fleet, 0, 30)
        fleet.flush()
        before = {path.name: path.read_bytes() for path in (tmp_path / "group-0000").iterdir()}
        feed(fleet, 30, N_ROWS)
        pid = worker_ids(fleet)[0]
        os.kill(pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        for path in (tmp_path / "group-0000").iterdir():  # restore the disk of the last sync
            if path.name != "lock":
                path.write_bytes(before[path.name]) if path.name in before else path.unlink()
        assert wrong(fleet) == []


def test_predictions_and_refusals_equal_those_of_one_process(tmp_path):
    X, y = rows_of(5, N_ROWS)
    model = template()
    with Fleet(template(), tmp_path, workers=2) as fleet:
        assert fleet.predict(5, X[:2]).tolist() == [None, None]
        assert fleet.learn_predict(5, X, y).tolist() == model.learn_predict_array(X, y).tolist()
        assert fleet.predict(5, X).tolist() == model.predict_array(X).tolist()
        assert state_sha256(*export_model(fleet.model(5))) == fleet.state_sha256(5)
        assert fleet.report(5) == {"n_samples": N_ROWS}
        with pytest.raises(InputError, match="must have 3 columns"):
            fleet.learn_predict(5, X[:, :2], y)
        fleet.learn(5, X[:, :2], y)  # in flight, so that it is only counted
        fleet.flush()
        assert fleet.n_refused == 2 * N_ROWS
        assert "must have 3 columns" in fleet.notes[-1]
        with pytest.raises(InputError, match="has no model"):
            fleet.state_sha256("nobody")


def test_rows_that_cannot_be_encoded_affect_no_other_rows(tmp_path):
    X, y = rows_of(5, N_ROWS)
    bad = make_rows(6, X[:2], ["ok", "\ud800"], None, SOURCE, 1, 0)
    with Fleet(template(), tmp_path, workers=1) as fleet:
        fleet.learn(5, X[:40], y[:40])
        fleet.learn(6, X[:2], ["ok", "\ud800"])
        good, refused = fleet.process([make_rows(5, X[40:], y[40:], None, SOURCE, 1, 0), bad])
        assert (len(good.outputs), good.refusal) == (N_ROWS - 40, None)
        assert "cannot store" in refused.refusal
        assert fleet.n_refused == 4
        assert fleet.keys() == [5]
        assert fleet.state_sha256(5) == alone(X, y)


def test_rows_gathered_while_the_disk_fails_are_not_lost(tmp_path):
    X, y = rows_of(5, N_ROWS)
    with Fleet(template(), tmp_path, workers=1, key_groups=1, durability="batch") as fleet:
        fleet.learn(5, X[:10], y[:10])
        fleet.flush()
        (worker,) = fleet._backend._workers
        pid = worker_ids(fleet)[0]
        os.kill(pid, signal.SIGSTOP)
        for at in range(10, 50, 10):  # as many messages as may be in flight
            fleet.learn(5, X[at : at + 10], y[at : at + 10])
            worker.push()
        fleet.learn(5, X[50:], y[50:])
        (tmp_path / "group-0000").rename(tmp_path / "elsewhere")
        os.kill(pid, signal.SIGCONT)
        with pytest.raises(CheckpointError, match="deleted, moved or replaced"):
            worker.push()
        (tmp_path / "elsewhere").rename(tmp_path / "group-0000")
        assert fleet.state_sha256(5) == alone(X, y)


def test_a_missing_directory_raises_a_checkpoint_error(tmp_path):
    X, y = rows_of(5, N_ROWS)
    fleet = Fleet(template(), tmp_path, workers=1, key_groups=1)
    fleet.learn(5, X, y)
    fleet.flush()
    (tmp_path / "group-0000").rename(tmp_path / "elsewhere")
    fleet.learn(5, X, y)
    with pytest.raises(CheckpointError, match="deleted, moved or replaced"):
        fleet.flush()
    (tmp_path / "elsewhere").rename(tmp_path / "group-0000")
    fleet.flush()
    assert fleet.state_sha256(5) == alone(np.vstack([X, X]), y + y)
    fleet.close()


def test_a_missing_cluster_raises_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="`workers` must be 1 or more with `ray_address`"):
        Fleet(template(), tmp_path, ray_address="127.0.0.1:1")
    with Fleet(template(), tmp_path) as fleet, pytest.raises(ConfigError, match="no workers"):
        fleet.rescale(2)
