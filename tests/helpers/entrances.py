"""Clients of every entrance of a service: honest rows, and messages with hostile values.

Usage, for hostile messages from a process of its own: python -m tests.helpers.entrances NAME PORT
SEED

It reads numbers of messages from its standard input, a line each, and answers each with the line
`sent`. Numbers that wait are taken together, so that a busy machine does not make it the slowest.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import random
import sys
import threading
import time

import zmq

from loco_stream.errors import SourceError
from tests.helpers import foreign
from tests.helpers.hostile_values import FORMS, TEXTS, VALUES, hostile_map


def honest_row(i):
    return {"id": f"h{i}", "a": float(i % 5), "b": 1.0, "y": "on" if i % 2 else "off"}


def body(rng):
    return rng.choice(FORMS)(rng)


def text(rng):
    return rng.choice(TEXTS).encode("utf-8", "surrogatepass")


class Client:
    """Sends honest rows, and hostile messages."""

    PER_ROW = 1.0  # hostile messages for each honest row

    def pump(self):
        """Send what waits in the client; called while answers are waited for."""


class RedisClient(Client):
    """Entries of the stream `rows`: a body, or fields."""

    def __init__(self, port):
        import redis

        self._client = redis.Redis(port=port)

    def send(self, rows):
        with self._client.pipeline() as pipe:
            for row in rows:
                pipe.xadd("rows", {"data": json.dumps(row)})
            pipe.execute()

    def attack(self, rng, n):
        with self._client.pipeline() as pipe:
            self._add_hostile(pipe, rng, n)
            pipe.execute()

    def _add_hostile(self, pipe, rng, n):
        for _ in range(n):
            fields = {"data": body(rng)}
            if rng.random() < 0.3:
                value = json.dumps(rng.choice(VALUES)).encode("utf-8", "surrogatepass")
                fields = {"a": b"1", "y": b"on", rng.choice(["a", "y", "id", "seq"]): value}
                fields[text(rng)] = text(rng)
            pipe.xadd("rows", fields)

    def close(self):
        self._client.close()


class FleetClient(RedisClient):
    """Entries of the stream `rows` with one of 64 devices, whose model learns them.

    Of hostile messages a third has no device.
    """

    PER_ROW = float(os.environ.get("LOCO_HOSTILE_PER_ROW", "1"))

    def send(self, rows):
        super().send([{**row, "device": f"honest{i % 64}"} for i, row in enumerate(rows)])

    def attack(self, rng, n):
        n_without = n // 3
        with self._client.pipeline() as pipe:
            for _ in range(n - n_without):
                whole = hostile_map(rng)
                device = rng.choice([*VALUES, f"d{rng.randrange(1000)}"])
                where = whole["x"] if isinstance(whole.get("x"), dict) else whole
                content = json.dumps({**whole, "x": {**where, "device": device}})
                pipe.xadd("rows", {"data": content.encode("utf-8", "surrogatepass")})
            self._add_hostile(pipe, rng, n_without)
            pipe.execute()


class KafkaClient(Client):
    """Records of the topic `rows`, with keys and headers."""

    def __init__(self, port):
        from confluent_kafka import Producer

        # The broker of the tests takes one message per batch.
        settings = {"bootstrap.servers": f"127.0.0.1:{port}", "batch.num.messages": 1}
        self._producer = Producer(settings | {"linger.ms": 0, "log_level": 0})

    def send(self, rows):
        for row in rows:
            self._producer.produce("rows", json.dumps(row))
        assert self._producer.flush(60) == 0

    def attack(self, rng, n):
        for _ in range(n):
            headers = {rng.choice(["label", "x"]): text(rng)} if rng.random() < 0.3 else {}
            key = text(rng) if rng.random() < 0.3 else None
            value = body(rng) if rng.random() < 0.98 else None
            self._producer.produce("rows", value, key=key, headers=headers)
        assert self._producer.flush(60) == 0

    def close(self):
        self._producer.flush(60)


class MQTTClient(Client):
    """Messages of quality of service 1 to the topic `rows`."""

    def __init__(self, port):
        from paho.mqtt import client as mqtt

        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _publish(self, bodies):
        for one in [self._client.publish("rows", body, qos=1) for body in bodies]:
            one.wait_for_publish(60)

    def send(self, rows):
        self._publish([json.dumps(row) for row in rows])

    def attack(self, rng, n):
        self._publish([body(rng) for _ in range(n)])

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


class NATSClient(Client):
    """Messages of the subject `rows`."""

    def __init__(self, port):
        import nats

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._client = self._do(nats.connect(f"nats://127.0.0.1:{port}"))
        self._stream = self._client.jetstream()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def _publish(self, bodies):
        async def publish():
            await asyncio.gather(
                *(self._stream.publish("rows", body, timeout=60) for body in bodies)
            )

        self._do(publish())

    def send(self, rows):
        self._publish([json.dumps(row).encode() for row in rows])

    def attack(self, rng, n):
        self._publish([body(rng) for _ in range(n)])

    def close(self):
        self._do(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class ZMQClient(Client):
    """Readable and binary messages of a DEALER."""

    def __init__(self, port):
        self._port = port
        self._context = zmq.Context()
        self._client = None
        self._sender = None

    def send(self, rows):
        from loco_stream.connectors import ZMQSender

        if self._sender is None:
            where = f"tcp://127.0.0.1:{self._port}"
            self._sender = ZMQSender(
                where, name="trusted", classes=["on", "off"], reliable=True, timeout=60.0
            )
        for row in rows:
            self._sender.send({"a": row["a"], "b": row["b"]}, row["y"])

    def pump(self):
        with contextlib.suppress(SourceError):  # not all rows are acknowledged yet
            self._sender.flush(0)

    def attack(self, rng, n):
        if self._client is None:
            self._client = foreign.Client(self._context, f"tcp://127.0.0.1:{self._port}")
            self._client.socket.sndtimeo = 1000
            self._client.send(foreign.hello("s", 1), foreign.schema("s", ["a", "b"], ["on", "off"]))
        for _ in range(n):
            one = body(rng)
            source = rng.choice([b"s", b"s", b"other", text(rng)])
            parts = [source, one]
            if one.startswith(b"LS1\0") and len(one) > foreign.HEADER.size:
                parts = [source, one[: foreign.HEADER.size], one[foreign.HEADER.size :]]
            with contextlib.suppress(zmq.Again):
                self._client.send(parts)
        self._client.answers()

    def close(self):
        for one in (self._sender, self._client and self._client.socket):
            if one is not None:
                one.close()
        self._context.term()


class HTTPClient(Client):
    """Requests to every path that takes a body."""

    PER_ROW = 0.125  # a hostile message is a request, while a request carries 64 honest rows
    PATHS = ("/learn", "/learn", "/predict", "/label", "/write", "/api/v2/write", "/decision")

    def __init__(self, port):
        self._port = port
        self._open()

    def _open(self):
        self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)

    def post(self, path, content, kind="application/json"):
        try:
            self._connection.request("POST", path, content, {"Content-Type": kind})
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._open()
            raise

    def send(self, rows):
        rows = [{"id": r["id"], "x": {"a": r["a"], "b": r["b"]}, "y": r["y"]} for r in rows]
        deadline = time.monotonic() + 120
        status = 503
        answer = b"not answered"
        while status == 503:  # sent again, as a client does: a row with an id is learned once
            assert time.monotonic() < deadline, answer
            try:
                status, answer = self.post("/learn", json.dumps({"rows": rows}))
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
        assert status == 200, (status, answer)
        assert json.loads(answer)["refused"] == 0, answer

    def attack(self, rng, n):
        for _ in range(n):
            with contextlib.suppress(OSError, http.client.HTTPException):
                path = rng.choice(self.PATHS)
                kind = rng.choice(["application/json"] * 9 + ["text/plain"])
                self.post(path, hostile_request(rng, path), kind)

    def close(self):
        self._connection.close()


def hostile_request(rng, path):
    """Return the body of a request with a field of any value, or a damaged one."""
    if "write" in path and rng.random() < 0.8:
        return hostile_line(rng)
    row = hostile_map(rng)
    if rng.random() < 0.4:
        row[rng.choice(["id", "source", "label", "labels", "rows"])] = rng.choice(VALUES)
    whole = row
    if rng.random() < 0.3:
        whole = {rng.choice(["rows", "labels"]): [row, rng.choice([row, rng.choice(VALUES)])]}
    if path == "/decision" and rng.random() < 0.5:
        whole = {rng.choice(["thresholds", "costs"]): {"on": rng.choice(VALUES)}}
    content = bytearray(json.dumps(whole).encode("utf-8", "surrogatepass"))
    if rng.random() < 0.25:
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


def hostile_line(rng):
    """Return a line of InfluxDB's protocol with a part of any value."""
    parts = {"measurement": "press", "tag": "site=a", "field": "a=1,b=2", "time": "1700000000"}
    for _ in range(rng.randint(1, 2)):
        value = str(rng.choice(VALUES)).encode("utf-8", "surrogatepass").decode("latin-1")
        name = rng.choice(list(parts))
        parts[name] = rng.choice([value, f"{parts[name]}{value}", f"a={value}", f'y="{value}"'])
    tags = f"{parts['measurement']},{parts['tag']}"
    line = f'{tags} {parts["field"]},y="on" {parts["time"]}'
    return line.encode("latin-1", "replace")


class PipeClient(Client):
    """Lines on the standard input of the service."""

    def __init__(self, pipe):
        self._pipe = pipe

    def _write(self, lines):
        self._pipe.write(b"".join(line + b"\n" for line in lines))
        self._pipe.flush()

    def send(self, rows):
        self._write([json.dumps(row).encode() for row in rows])

    def attack(self, rng, n):
        self._write([self._hostile(rng).replace(b"\n", b" ") for _ in range(n)])

    def _hostile(self, rng):
        return body(rng)

    def close(self):
        pass


class LineClient(PipeClient):
    """Lines of InfluxDB's protocol on the standard input of the service."""

    def send(self, rows):
        form = 'press,id={id} a={a},b={b},y="{y}" {time}'
        first = 1_700_000_000_000_000_000
        self._write([form.format(**row, time=first + int(row["id"][1:])).encode() for row in rows])

    def _hostile(self, rng):
        return hostile_line(rng)


CLIENTS = {
    "redis": RedisClient,
    "kafka": KafkaClient,
    "mqtt": MQTTClient,
    "nats": NATSClient,
    "zmq": ZMQClient,
    "http": HTTPClient,
    "jsonl": PipeClient,
    "influx": LineClient,
    "fleet": FleetClient,
}


def main(name, port, seed):
    """Send as many hostile messages as each line of the standard input says."""
    client = CLIENTS[name](int(port))
    rng = random.Random(int(seed))
    rest = b""
    while new := os.read(sys.stdin.fileno(), 1 << 16):
        *numbers, rest = (rest + new).split(b"\n")
        client.attack(rng, sum(map(int, numbers)))
        print("sent\n" * len(numbers), end="", flush=True)
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
