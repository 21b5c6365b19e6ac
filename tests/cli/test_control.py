from __future__ import annotations

import json
import threading
from urllib.request import urlopen

import pytest
import zmq
from click.testing import CliRunner

from loco_stream.cli import main
from loco_stream.cli.serve import _beside
from loco_stream.connectors.control import Control, order
from loco_stream.engine import StreamEngine
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Sample
from tests.helpers.ports import free_port
from tests.helpers.serving import wait_until
from tests.helpers.standin import ListSource, Means


@pytest.fixture
def control():
    served = Control("tcp://127.0.0.1:*", {"status": lambda: {"n_samples": 5}})
    yield served
    served.close()


def test_a_foreign_client_needs_json_alone(control):
    context = zmq.Context()
    client = context.socket(zmq.REQ)
    client.connect(control.address)
    for sent, ok in (
        (b'{"do": "status"}', True),
        (b"\xff\x00", False),
        (b"[]", False),
        (b'{"do": "explode"}', False),
        (b"", False),
    ):
        client.send(sent)
        assert client.poll(60_000)
        assert json.loads(client.recv())["ok"] is ok
    client.close(linger=0)
    context.term()


def test_what_is_refused_is_a_sentence(control):
    with pytest.raises(SourceError, match="no order 'explode'"):
        order(control.address, "explode")
    with pytest.raises(ConfigError, match="this machine alone"):
        Control("tcp://0.0.0.0:5999", {})
    with pytest.raises(SourceError, match="in use"):
        Control(control.address, {})
    with pytest.raises(SourceError, match="nobody answers"):
        order("ipc:///nowhere/at/all", "status", timeout=0.1)


def scraped(port):
    return urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60).read().decode()


def test_a_running_engine_takes_orders_and_shows_metrics(tmp_path):
    pytest.importorskip("prometheus_client")
    port = free_port()

    def endless():
        i = 0
        while True:
            yield Sample({"a": float(i % 3)}, f"c{i % 3}", i, t=1.0) if i < 300 else []
            i += 1

    class Live(ListSource):
        stats = {"rows": 7, "gaps": 1}  # noqa: RUF012

        def __iter__(self):
            return endless()

    address = f"ipc://{tmp_path}/c"
    engine = StreamEngine(Means(), Live([]), checkpoint=tmp_path / "state")
    runner = threading.Thread(target=engine.run)
    with _beside(engine, port, address):
        assert "loco_rows_learned_total 0.0" in scraped(port)
        runner.start()
        wait_until(lambda: engine.status.get("n_samples", 0) == 300)
        shown = CliRunner().invoke(main, ["control", address, "status"])
        assert json.loads(shown.stdout)["n_samples"] == 300
        text = scraped(port)
        assert "loco_rows_learned_total 300.0" in text
        assert 'loco_transport_total{what="gaps"} 1.0' in text
        assert "loco_latency_seconds_count 300.0" in text
        assert "loco_lag_seconds" in text
        assert "loco_checkpoint_age_seconds" in text
        order(address, "checkpoint")
        wait_until(lambda: list((tmp_path / "state").glob("checkpoint-*00[1-9]*.loco")))
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}"), _beside(engine, port, None):
            pass
        order(address, "stop")
        runner.join(timeout=60)
    assert not runner.is_alive()
