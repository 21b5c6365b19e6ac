"""SIGKILL, SIGTERM, SIGSTOP: the real command, real sockets, a real source process.

LOCO_SOAK=1 runs the full count: 50 kills of the engine and 20 of the source during 200,000 rows.
"""

from __future__ import annotations

import json
import random
import signal
import time

import pytest
import zmq

from loco_stream._cli._parameters import build_model
from loco_stream.connectors import ZMQSender
from loco_stream.engine._state import export_model, state_sha256
from tests.helpers import foreign
from tests.helpers.engine_process import SOAK, at_work, end, feed, inspect, serve
from tests.helpers.live_source import CLASSES, EPOCH, FEATURES, NAME, table

N_ROWS, ENGINE_KILLS, SOURCE_KILLS = (200_000, 50, 20) if SOAK else (20_000, 5, 2)


def uninterrupted(n):
    """The state of a model that learned all rows from memory, in one call."""
    X, y = table(n)
    model = build_model("classification", 0, {})
    model.learn_predict_array(X, y, features=FEATURES)
    return state_sha256(*export_model(model))


@pytest.mark.slow
@pytest.mark.timeout(14_400 if SOAK else 600)
def test_killed_engines_and_sources_end_in_the_state_of_an_uninterrupted_run(
    tmp_path, processes, address
):
    expected = uninterrupted(N_ROWS)
    chance = random.Random(7)
    kills = ["engine"] * ENGINE_KILLS + ["source"] * SOURCE_KILLS
    chance.shuffle(kills)
    source = feed(processes, address, N_ROWS)
    engine = at_work(serve(processes, address, tmp_path, "--checkpoint-every", "2000"))
    hits = {"engine": 0, "source": 0}
    for victim in kills:
        time.sleep(chance.uniform(0.01, 1.2))
        assert source.poll() is None
        if victim == "source":
            source.kill()
            source.wait()
            hits["source"] += 1
            source = feed(processes, address, N_ROWS)
        else:
            assert engine.poll() is None, engine.stderr.read()
            engine.kill()
            engine.wait()
            hits["engine"] += 1
            engine = at_work(serve(processes, address, tmp_path, "--checkpoint-every", "2000"))
    _, errors = source.communicate(timeout=3600 if SOAK else 240)
    assert source.returncode == 0, errors
    end(engine)
    found = inspect(tmp_path)
    assert hits == {"engine": ENGINE_KILLS, "source": SOURCE_KILLS}
    assert found["n_samples"] == N_ROWS
    assert found["sources"] == {NAME: {str(EPOCH): N_ROWS}}
    assert found["state_sha256"] == expected


@pytest.mark.slow
def test_a_second_signal_ends_at_once_without_loss_of_acknowledged_rows(
    tmp_path, processes, address
):
    X, y = table(3000)
    engine = serve(processes, address, tmp_path)
    with ZMQSender(
        f"tcp://{address}",
        name=NAME,
        features=FEATURES,
        classes=CLASSES,
        reliable=True,
        epoch=EPOCH,
        timeout=120.0,
    ) as sender:
        sender.send(X, y)
        sender.flush()
        engine.send_signal(signal.SIGTERM)
        engine.send_signal(signal.SIGTERM)
        assert engine.wait(timeout=60) in (0, 128 + signal.SIGTERM), engine.stderr.read()
    engine = serve(processes, address, tmp_path)
    with ZMQSender(
        f"tcp://{address}",
        name=NAME,
        features=FEATURES,
        classes=CLASSES,
        reliable=True,
        epoch=EPOCH,
        timeout=120.0,
    ) as sender:
        assert sender.connect() == 3000  # answered only once the log is replayed
    end(engine)
    found = inspect(tmp_path)
    assert found["n_samples"] == 3000
    assert found["state_sha256"] == uninterrupted(3000)


@pytest.mark.slow
def test_a_source_that_hangs_for_a_while_loses_no_row(tmp_path, processes, address):
    engine = serve(processes, address, tmp_path)
    source = feed(processes, address, 20_000)
    time.sleep(3.0)
    source.send_signal(signal.SIGSTOP)
    time.sleep(8.0)  # longer than the heartbeat's timeout
    source.send_signal(signal.SIGCONT)
    _, errors = source.communicate(timeout=240)
    assert source.returncode == 0, errors
    end(engine)
    assert inspect(tmp_path)["state_sha256"] == uninterrupted(20_000)


@pytest.mark.slow
def test_a_service_without_rows_ends_with_a_report(tmp_path, processes, address):
    report = tmp_path / "report.json"
    engine = serve(processes, address, tmp_path / "state", "--report", str(report), "--seed", "3")
    assert "exactly once" in engine.stderr.readline()
    with zmq.Context() as context:
        client = foreign.Client(context, f"tcp://{address}")
        client.send(foreign.hello("silent", 1))
        assert client.socket.poll(60_000)  # it waits for the first row
        client.socket.close()
    end(engine)
    assert json.loads(report.read_text())["n_samples"] == 0


@pytest.mark.slow
def test_a_second_service_on_the_same_folder_or_port_is_refused(tmp_path, processes, address):
    engine = serve(processes, address, tmp_path, "--task", "classification")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("checkpoint-*.loco")) and time.monotonic() < deadline:
        time.sleep(0.1)
    rival = serve(processes, address, tmp_path / "other")
    _, errors = rival.communicate(timeout=60)
    assert rival.returncode == 2
    assert len(errors.strip().splitlines()) == 1
    assert address in errors
    rival = serve(processes, "127.0.0.1:*", tmp_path, "--task", "classification")
    _, errors = rival.communicate(timeout=60)
    assert rival.returncode == 2
    assert "in use by another engine" in errors
    end(engine)


@pytest.mark.slow
def test_binding_to_other_machines_needs_keys(tmp_path, processes):
    engine = serve(processes, "0.0.0.0:5555", tmp_path / "state")
    _, errors = engine.communicate(timeout=60)
    assert engine.returncode == 2
    (sentence,) = errors.strip().splitlines()
    assert "0.0.0.0:5555" in sentence
    assert "CURVE" in sentence
    assert "--keys" in sentence
    assert not (tmp_path / "state").exists()
