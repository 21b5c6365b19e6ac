"""SIGTERM while requests are under way: each is answered, and what is called learned is kept."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections import Counter
from contextlib import closing

import pytest

from tests.helpers.engine_process import LOCO, at_work, inspect, start
from tests.helpers.ports import free_port

N_CLIENTS = 20
ROWS = 16
LIGHT = ["--set", "hidden_sizes=8", "--set", "rule=frozen"]

pytestmark = pytest.mark.slow


class Client(threading.Thread):
    """Sends rows until the service is gone, and keeps the answers."""

    def __init__(self, port, number):
        super().__init__()
        self.answers = []
        self.unanswered = 0
        self._port = port
        self._rows = [{"x": {"a": float(number), "b": 1.0}, "y": "on"} for _ in range(ROWS)]

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        with closing(connection):
            try:
                while True:
                    self._learn(connection)
            except ConnectionError:  # it was closed before it read the request
                pass
            except (OSError, http.client.HTTPException):
                self.unanswered += 1

    def _learn(self, connection):
        body = json.dumps({"rows": self._rows})
        connection.request("POST", "/learn", body, {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            self.answers.append((answer.status, answer.read()))


@pytest.mark.timeout(300)
def test_requests_under_way_at_sigterm_are_answered(tmp_path, processes):
    port = free_port()
    state = tmp_path / "state"
    http_options = ["--http", f"{port}", "--task", "classification", "--checkpoint", str(state)]
    service = at_work(start(processes, *LOCO, "serve", *http_options, *LIGHT))
    clients = [Client(port, number) for number in range(N_CLIENTS)]
    for client in clients:
        client.start()
    while sum(len(client.answers) for client in clients) < 3 * N_CLIENTS:  # also compiled by then
        assert service.poll() is None, service.stderr.read()
        time.sleep(0.05)
    service.send_signal(signal.SIGTERM)
    for client in clients:
        client.join()
    assert service.wait(60) == 0
    answers = [answer for client in clients for answer in client.answers]
    print(Counter(status for status, _ in answers))
    assert {status for status, _ in answers} <= {200, 503}, answers[-1]
    assert all(json.loads(body)["error"] for status, body in answers if status == 503)
    assert sum(client.unanswered for client in clients) == 0
    learned = sum(json.loads(body)["learned"] for status, body in answers if status == 200)
    assert inspect(state)["n_samples"] >= learned
