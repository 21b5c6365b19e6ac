"""`OPCUASource` against the server of its own library."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from loco_stream.connectors import OPCUASource, open_source
from loco_stream.errors import ConfigError, SourceError
from loco_stream.testing import check_source
from tests.helpers.ports import free_port
from tests.helpers.serving import drain

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:asyncua")


class Plant:
    """A server with a folder `Press` of three variables."""

    def __init__(self, port=None, name="Press"):
        self.port = port or free_port()
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.do(self._open())

    def do(self, call):
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(60)

    async def _open(self):
        from asyncua import Server

        self.server = Server()
        await self.server.init()
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/plant")
        index = await self.server.register_namespace("urn:plant")
        press = await self.server.nodes.objects.add_object(f"ns={index};s={self._name}", "Press")
        self.folder = press.nodeid.to_string()
        self.variables = {
            name: await press.add_variable(f"ns={index};s=Press.{name}", name, value)
            for name, value in (("speed", 0.0), ("load", 1.0), ("state", "ok"))
        }
        await self.server.start()

    def set(self, **values):
        from asyncua import ua

        async def work():
            for name, value in values.items():
                if value is None:
                    bad = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSensorFailure))
                    value = ua.DataValue(ua.Variant(0.0), bad)
                await self.variables[name].write_value(value)

        self.do(work())

    def close(self):
        self.do(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def plant():
    plant = Plant()
    yield plant
    plant.close()


def url(plant, **options):
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"opcua://127.0.0.1:{plant.port}/plant?node={plant.folder}&interval=50ms&{query}"


def test_one_row_per_publication_with_the_newest_value_of_every_variable(plant):
    source = open_source(url(plant, target="state"))
    (first,) = drain(source, lambda events: len(events) == 1)
    assert (first.x, first.y, first.seq) == ({"speed": 0.0, "load": 1.0}, "ok", 0)
    assert abs(first.t - time.time()) < 60
    plant.set(speed=2.5, load=3.5, state="worn")
    (second,) = drain(source, lambda events: len(events) == 1)
    assert (second.x, second.y) == ({"speed": 2.5, "load": 3.5}, "worn")
    source.close()


def test_the_lifecycle_of_a_source(plant):
    check_source(lambda: open_source(url(plant, target="state")), n_rows=1)


def test_a_value_of_bad_quality_is_missing(plant):
    source = open_source(url(plant, target="state"))
    drain(source, lambda events: len(events) == 1)
    plant.set(speed=None)
    (row,) = drain(source, lambda events: len(events) == 1)
    assert row.x == {"speed": None, "load": 1.0}
    source.close()


def test_connects_again_after_the_server_was_away():
    plant = Plant()
    source = open_source(url(plant, target="state"))
    drain(source, lambda events: len(events) == 1)
    plant.close()
    drain(source, lambda _: source.outage)
    assert source.outage in (
        "the server has ended the subscription: BadShutdown",
        "the server does not answer",
    )
    plant = Plant(plant.port, "Mill")
    drain(source, lambda _: "has no node" in source.outage)
    plant.close()
    plant = Plant(plant.port)
    plant.set(speed=9.0)
    events = drain(source, lambda events: any(e.x["speed"] == 9.0 for e in events))
    assert events[-1].seq > 0
    assert source.stats["restarts"] >= 1
    assert source.outage == ""
    source.close()
    plant.close()


def test_errors_are_one_sentence(plant):
    where = {"host": "127.0.0.1", "path": "plant", "port": plant.port}
    with pytest.raises(ConfigError, match="`node` must name a variable or a folder, got nothing"):
        OPCUASource(**where)
    with pytest.raises(SourceError, match="has no node 'ns=2;s=Nothing'"):
        OPCUASource(**where, node=["ns=2;s=Nothing"])
    with pytest.raises(SourceError, match=r"`node` must be a node id such as .*, got 'Press'$"):
        OPCUASource(**where, node=["Press"])
    with pytest.raises(
        SourceError, match=r"got 'stat'; did you mean 'state'\? \(variables: speed,"
    ):
        open_source(url(plant, target="stat"))
    with pytest.raises(SourceError, match="cannot reach the OPC UA server"):
        OPCUASource("127.0.0.1", "", port=free_port(), node=["ns=2;s=Press"])
