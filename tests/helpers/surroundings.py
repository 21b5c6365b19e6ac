"""What the commands of a section need: brokers, a device, files, services, and senders of rows."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np

from loco_stream import LOCOClassifier, save
from loco_stream.connectors import ZMQSender
from loco_stream.connectors._control import send_command
from loco_stream.errors import SourceError
from tests.helpers import servers
from tests.helpers.ports import free_port
from tests.helpers.serving import wait_until

__all__ = ["LASTING", "Section", "write_files"]

LASTING = re.compile(r"(?:redis-server|mosquitto|mosquitto_sub|loco-stream (?:serve|fleet))\b")
# by port: text that shows the need for a broker, what starts it, and the command that does
_BROKERS = {
    "6379": (r"redis", lambda folder: servers.Redis(folder), "redis-server"),
    "1883": (r"mqtt:|mosquitto_", lambda folder: servers.Mosquitto(folder), "mosquitto"),
    "4222": (r"nats://", lambda folder: servers.NATS(folder / "nats"), "nats-server"),
    "9092": (r":9092", lambda folder: servers.Kafka(), "kafka-server-start"),
    "8086": (r":8086", lambda folder: servers.Influx(folder), "influxd"),
}
_CLIENTS = {
    "redis-server": "6379",
    "redis-cli": "6379",
    "mosquitto": "1883",
    "mosquitto_pub": "1883",
    "mosquitto_sub": "1883",
    "influx": "8086",
}
_OPTIONS = {"6379": {"redis-server": "--port", "redis-cli": "-p"}, "8086": {"influx": "-port"}}


def write_files(folder, text):
    """Write the tables and the model that a page presupposes."""
    rng = np.random.default_rng(0)
    speed = rng.random(300)
    load = 3 * rng.random(300)
    kinds = np.where(speed * load > 0.7, "worn", "ok")
    rows = [
        f"{i},{i // 20},{s:.3f},{w:.3f},{kind}"
        for i, (s, w, kind) in enumerate(zip(speed, load, kinds, strict=True))
    ]
    (folder / "rows.csv").write_text("\n".join(["at,run,speed,load,kind", *rows]) + "\n")
    lines = [
        json.dumps({"speed": s, "load": w, "kind": str(kind)})
        for s, w, kind in zip(speed, load, kinds, strict=True)
    ]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    for name in ("rows.csv", "rows.jsonl"):
        subprocess.run(["gzip", "-k", name], cwd=folder, check=True)
    table = np.column_stack([np.arange(300.0), np.arange(300) // 20, speed, load, kinds == "worn"])
    np.save(folder / "rows.npy", table)
    events = {
        "time": np.arange(300) / 100,
        "line": rng.integers(0, 4, 300),
        "label": np.arange(300) // 30 % 2,
    }
    np.savez(folder / "recording.npz", **events)
    if "--template model.loco" in text:
        model = LOCOClassifier.preset("fast", seed=1)
        for i in range(300):  # after which scales are fixed, as shared knowledge needs
            model.learn_one({"speed": 0.01 * (i % 90), "load": 1.2}, ("ok", "worn")[i % 2])
        save(model, folder / "model.loco")


class _Program:
    """A program in the background, and its output."""

    def __init__(self, line, folder, log, environment):
        self.line = line
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self):
        return self.log.read_text()

    def wait_for_output(self, seconds=120.0):
        deadline = time.monotonic() + seconds
        while not self.output and time.monotonic() < deadline:
            assert self.process.poll() is None, f"{self.line} ended at once"
            time.sleep(0.05)

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


class Section:
    """The brokers, services and listeners of one section of a page, which end with it.

    Parameters
    ----------
    text
        The commands of the section. Brokers that they use but do not start run from the beginning.
    folder, environment, ports
        Those of the reader.
    """

    def __init__(self, text, folder, environment, ports):
        self._folder = folder
        self._environment = environment
        self._ports = ports
        self._remove_state()
        self._home = Path(tempfile.mkdtemp(prefix="loco"))  # socket paths must be short
        self._services = []
        self._others = []
        self._feeds = {}
        self._paths = {"/run/loco.sock": str(self._home / "sock")}
        self._device = None
        self._brokers = []
        for port, (shows, start, command) in _BROKERS.items():
            if re.search(shows, text) and not re.search(rf"^\$ {command}\b", text, re.M):
                self._brokers.append(start(self._home))
                ports.take(port, self._brokers[-1].port)
        if "/dev/ttyUSB0" in text:
            self._plug_in()

    def swap(self, line):
        """Return a command with the ports and paths of this test."""
        for path, own in self._paths.items():
            line = line.replace(path, own)
        program = line.split()[0]
        line = line.replace("mqtt://127.0.0.1/", "mqtt://127.0.0.1:1883/")
        if (port := _CLIENTS.get(program)) is not None:
            line = line.replace(
                program, f"{program} {_OPTIONS.get(port, {}).get(program, '-p')} {port}", 1
            )
        return self._ports.free(line)

    def launch(self, line):
        """Start a service, a broker or a listener."""
        line = self.swap(line)
        n = len(self._services) + len(self._others)
        log = self._home / f"output-{n}"
        if not line.startswith("loco-stream "):
            program = _Program(line, self._folder, log, self._environment)
            self._others.append(program)
            program.wait_for_output(seconds=5.0)
            return
        self._end_services()
        if "--dashboard" in line:
            line += f" --dashboard-port {free_port()}"
        control = re.search(r"--control (\S+)", line)
        address = control[1] if control else None
        if address is None and line.startswith("loco-stream serve"):
            address = f"ipc://{self._home}/control-{n}"
            line += f" --control {address}"
        program = _Program(line, self._folder, log, self._environment)
        self._services.append((program, address))
        program.wait_for_output()
        if address is not None:
            wait_until(
                lambda: (
                    self._status(program, address).get("phase")
                    in ("waiting for the first row", "running")
                )
            )
        self._feed(program, 20)

    def listen(self, code):
        """Start a Python program in the background."""
        path = self._home / f"program-{len(self._others)}.py"
        path.write_text(self._ports.free(code))
        self._others.append(
            _Program(
                f"{sys.executable} -u {path}",
                self._folder,
                path.with_suffix(".log"),
                self._environment,
            )
        )
        time.sleep(0.5)

    def finish(self):
        """Let every listener receive something and every service learn a row, then end all."""
        listeners = [
            other
            for other in self._others
            if re.search(r"print\(|mosquitto_sub", self._code(other))
        ]
        for service, _ in self._services:
            self._feed(service, 2000 if listeners else 0)
        for listener in listeners:
            wait_until(lambda listener=listener: listener.output)
            assert "Traceback" not in listener.output, listener.output
        self._end_services()

    def leave(self):
        """End everything that still runs."""
        for program in [*(service for service, _ in self._services), *self._others]:
            program.end(signal.SIGKILL)
        for broker in self._brokers:
            broker.stop()
        if self._device is not None:
            self._device.set()
        shutil.rmtree(self._home, ignore_errors=True)
        self._remove_state()

    def _remove_state(self):
        """Remove what was learned: sections are independent."""
        for state in ("state", "fleet"):
            shutil.rmtree(self._folder / state, ignore_errors=True)

    def _code(self, program):
        path = program.line.split()[-1]
        return Path(path).read_text() if path.endswith(".py") else program.line

    def _feed(self, service, n):
        """Send n rows to a service over ZeroMQ, with labels that are swapped halfway.

        One without that source gets a row over HTTP.
        """
        found = re.search(r"zmq\+reliable://(\S+)", service.line)
        alone = re.search(r"serve --http (\d+)", service.line)
        if n and alone is not None and "--source" not in service.line:
            row = urllib.request.Request(
                f"http://127.0.0.1:{alone[1]}/learn",
                b'{"x": {"speed": 1}, "y": "ok"}',
                {"Content-Type": "application/json"},
            )
            urllib.request.urlopen(row).close()
        if found is None or not n:
            return
        rng = np.random.default_rng(n)
        name = f"press-{n}"
        with ZMQSender(
            f"tcp://{found[1]}", name=name, classes=["ok", "worn"], reliable=True
        ) as sender:
            for i, (speed, load) in enumerate(rng.random((n, 2)).tolist()):
                row = {"speed": speed, "load": load, "device": "press 7"}
                sender.send(row, "worn" if (speed > 0.5) != (i > n // 2) else "ok")
            sender.flush()

    def _end_services(self):
        for service, address in self._services:
            self._wait_until_it_has_learned(service, address)
            assert service.end(signal.SIGINT) == 0, f"{service.line}\n{service.output}"
        self._services.clear()

    def _wait_until_it_has_learned(self, service, address):
        def learned():
            status = self._status(service, address)
            return (
                "acknowledged rows are on disk" in service.output
                if status is None
                else status.get("n_samples", 0)
            )

        wait_until(learned)

    def _status(self, service, address):
        """Return the status of a service: None without a control socket, {} without an answer."""
        assert service.process.poll() is None, f"{service.line}\n{service.output}"
        try:
            return None if address is None else send_command(address, "status")
        except SourceError:
            return {}

    def _plug_in(self):
        """Simulate a device at a serial port, which sends rows until the section ends."""
        master, slave = os.openpty()
        self._paths["/dev/ttyUSB0"] = os.ttyname(slave)
        self._device = threading.Event()

        def send():
            while not self._device.wait(0.05):
                os.write(master, b"512,1\r\n100,0\r\n")

        threading.Thread(target=send, daemon=True).start()
