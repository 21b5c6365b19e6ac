"""A Home Assistant feeds a service.

`LOCO_HASS=PATH/hass python -m pytest tests/cli/test_home_assistant.py`.

Make PATH for release 2024.3.3, the last one for Python 3.11, by `pip install
homeassistant==2024.3.3 'josepy<2' 'setuptools<80'` in an environment of its own. At its first start
it installs what its integrations need.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tests.helpers import servers
from tests.helpers.engine_process import LOCO, end, start
from tests.helpers.ports import free_port
from tests.helpers.serving import wait_until

HASS = os.environ.get("LOCO_HASS")
USER = ("op", "secret-op")

CONFIGURATION = """\
homeassistant: {{name: plant, latitude: 50, longitude: 8, elevation: 100, time_zone: UTC}}
http: {{server_host: 127.0.0.1, server_port: {hass}}}
api:
config:
input_number:
  speed: {{min: 0, max: 10, step: 0.01}}
  load: {{min: 0, max: 10, step: 0.01}}
automation:
  - alias: row
    trigger: {{platform: state, entity_id: input_number.load}}
    action:
      service: mqtt.publish
      data:
        topic: plant/rows
        qos: 1
        payload: >-
          {{"id": "{{{{ trigger.to_state.last_updated.timestamp() }}}}",
           "speed": {{{{ states('input_number.speed') }}}},
           "load": {{{{ states('input_number.load') }}}}}}
rest_command:
  label:
    url: http://127.0.0.1:{http}/label
    method: POST
    content_type: application/json
    payload: '{{"id": "{{{{ id }}}}", "label": "{{{{ label }}}}"}}'
mqtt:
  sensor:
    - name: press
      state_topic: plant/answers/prediction
      value_template: "{{{{ value_json.prediction }}}}"
      json_attributes_topic: plant/answers/prediction
sensor:
  - platform: rest
    name: rows
    resource: http://127.0.0.1:{http}/ready
    value_template: "{{{{ value_json.n_samples }}}}"
    scan_interval: 1
influxdb:
  api_version: 2
  host: 127.0.0.1
  port: {influx}
  ssl: false
  token: any
  organization: plant
  bucket: plant
  default_measurement: state
  include: {{domains: [input_number]}}
"""


class HomeAssistant:
    """A running Home Assistant, whose REST API is called."""

    def __init__(self, folder, port, processes):
        self.url = f"http://127.0.0.1:{port}"
        # beside this interpreter's modules it would find others than its own
        environment = {name: x for name, x in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run(
            [HASS, "--script", "auth", "-c", str(folder), "add", *USER],
            check=True,
            capture_output=True,
            env=environment,
        )
        command = [HASS, "-c", str(folder)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
        processes.append(process)
        self.process = process
        wait_until(self._answers, 600.0)
        self._token = None
        self._token = self._log_in()

    def _answers(self):
        assert self.process.poll() is None
        try:
            urllib.request.urlopen(f"{self.url}/auth/providers", timeout=30)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def _log_in(self):
        client = {"client_id": f"{self.url}/"}
        begin = {**client, "handler": ["homeassistant", None], "redirect_uri": f"{self.url}/"}
        flow = self.call("/auth/login_flow", begin)["flow_id"]
        login = {**client, "username": USER[0], "password": USER[1]}
        code = self.call(f"/auth/login_flow/{flow}", login)["result"]
        form = urllib.parse.urlencode({**client, "grant_type": "authorization_code", "code": code})
        return self._send("/auth/token", form.encode(), {})["access_token"]

    def call(self, path, body=None):
        """Return the answer to JSON."""
        data = None if body is None else json.dumps(body).encode()
        return self._send(path, data, {"Content-Type": "application/json"})

    def _send(self, path, data, headers):
        if getattr(self, "_token", None):
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self.url + path, data, headers)
        return json.load(urllib.request.urlopen(request, timeout=300))

    def do(self, service, **data):
        self.call(f"/api/services/{service}", data)

    def state(self, entity):
        try:
            return self.call(f"/api/states/{entity}")
        except urllib.error.HTTPError:
            return {"state": None, "attributes": {}}


@pytest.fixture
def broker(tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    server = servers.Mosquitto(folder)
    yield server
    server.stop()


@pytest.mark.skipif(not HASS, reason="LOCO_HASS is the program of Home Assistant")
@pytest.mark.timeout(1200)
def test_rows_labels_and_answers_of_a_home_assistant(tmp_path, processes, broker):
    http, influx, port = free_port(), free_port(), free_port()
    folder = tmp_path / "hass"
    (folder / ".storage").mkdir(parents=True)
    ports = {"hass": port, "http": http, "influx": influx}
    (folder / "configuration.yaml").write_text(CONFIGURATION.format(**ports))
    done = {"done": ["user", "core_config", "analytics", "integration"]}
    header = {"version": 4, "minor_version": 1, "key": "onboarding"}
    (folder / ".storage" / "onboarding").write_text(json.dumps({**header, "data": done}))
    where = f"mqtt://127.0.0.1:{broker.port}/plant"
    source = f"{where}/rows?id=id&labels=plant/labels"
    serve = [*LOCO, "serve", "--task", "classification"]
    engine = [*serve, "--source", source, "--sink", f"{where}/answers", "--http", str(http)]
    lines = tmp_path / "lines.jsonl"
    by_influx = [*serve, "--http", f"{influx}?target=state", "--sink", f"jsonl:{lines}"]
    services = [
        start(processes, *command, "--checkpoint", str(tmp_path / name))
        for name, command in (("rows", engine), ("lines", by_influx))
    ]
    home = HomeAssistant(folder, port, processes)
    flow = home.call("/api/config/config_entries/flow", {"handler": "mqtt"})["flow_id"]
    at = {"broker": "127.0.0.1", "port": broker.port}
    assert home.call(f"/api/config/config_entries/flow/{flow}", at)["type"] == "create_entry"

    def is_subscribed():  # the service, and the sensor
        row = {"id": f"first {time.monotonic()}", "speed": 0.0, "load": 0.0}
        home.do("mqtt/publish", topic="plant/rows", qos=1, payload=json.dumps(row))
        time.sleep(0.5)
        return home.state("sensor.press")["attributes"].get("id") == row["id"]

    wait_until(is_subscribed, 300.0)
    last = home.state("sensor.press")["attributes"]["id"]
    rng = random.Random(1)
    right = 0
    for i in range(60):
        speed, load = rng.uniform(0, 10), rng.uniform(0, 10)
        label = "worn" if speed > 5 else "ok"
        home.do("input_number/set_value", entity_id="input_number.speed", value=round(speed, 2))
        home.do("input_number/set_value", entity_id="input_number.load", value=round(load, 2))

        def answered(last=last):
            return home.state("sensor.press")["attributes"].get("id") not in (None, last)

        wait_until(answered)
        answer = home.state("sensor.press")
        last = answer["attributes"]["id"]
        right += answer["state"] == label
        if i % 2:
            home.do("rest_command/label", id=last, label=label)
        else:
            payload = json.dumps({"id": last, "label": label})
            home.do("mqtt/publish", topic="plant/labels", qos=1, payload=payload)
        time.sleep(0.1)
    wait_until(lambda: home.state("sensor.rows")["state"] == "60")
    assert right > 40
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    ids = [record["id"] for record in records if record["kind"] == "prediction"]
    assert {"speed", "load"} == {found.split("entity_id=")[1].split()[0] for found in ids}
    home.process.send_signal(signal.SIGINT)
    home.process.wait(60)
    for service in services:
        end(service)
    print(f"{right} of 60 right, {len(ids)} lines")
