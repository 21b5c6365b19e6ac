"""`SerialSource` on a pseudo terminal: CSV, JSON, noise, an unplugged device."""

from __future__ import annotations

import os
import tty

import pytest

from loco_stream.connectors import SerialSource, open_source
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Source
from loco_stream.testing import check_source
from tests.helpers.serving import drain


class Device:
    """A pseudo terminal under a fixed name."""

    def __init__(self, path):
        self.path = path
        self.plug()

    def plug(self):
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        self.slave = slave  # kept open: otherwise text written before it is read would be lost

    def send(self, text):
        os.write(self.master, text.encode())

    def unplug(self):
        os.close(self.slave)
        os.close(self.master)
        self.path.unlink()


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path / "ttyUSB0")
    yield device
    if device.path.exists():
        device.unplug()


def rows(events):
    return [(dict(e.x), e.y) for e in events]


def test_lines_under_the_header_of_the_device(device):
    source = open_source(f"serial:{device.path}?baud=9600&target=kind")
    assert isinstance(source, Source)
    device.send("5,ok\r\nspeed,load,kind\r\n0.5,1,ok\r\n0.7,,worn\r\n0.9,1\r\n")
    device.send('speed,load,kind\r\n{"speed": 2, "kind": "ok"}\r\nnoise\r\n3,4,ok\r')
    device.send("\n")
    events = drain(source, lambda e: len(e) == 4)
    assert rows(events) == [
        ({"speed": 0.5, "load": 1}, "ok"),
        ({"speed": 0.7, "load": None}, "worn"),
        ({"speed": 2}, "ok"),
        ({"speed": 3, "load": 4}, "ok"),
    ]
    assert source.stats["without_schema"] == 1  # before the header
    assert source.stats["malformed"] == 2
    assert source.last_error == "a line must have 3 values, one per column, got 1"
    source.close()


def test_the_first_line_under_given_columns_is_dropped(device):
    source = SerialSource(str(device.path), columns=("speed", "y"))
    device.send("5,1\n6,0\n7,1\n")
    assert rows(drain(source, lambda e: len(e) == 2)) == [({"speed": 6}, 0), ({"speed": 7}, 1)]
    source.close()


def test_an_unplugged_device_is_waited_for(device):
    source = SerialSource(str(device.path), target="", idle=5.0)
    device.send("a,b\n1,2\n")
    assert rows(drain(source, lambda e: len(e) == 1)) == [({"a": 1, "b": 2}, None)]
    device.unplug()
    rounds = iter(source)
    assert [next(rounds) for _ in range(3)] == [[]] * 3
    assert source.outage == "the device is unplugged"
    device.plug()
    next(rounds)
    device.send("3,4\n")
    (event,) = drain(source, lambda e: len(e) == 1)
    assert (event.x, event.seq) == ({"a": 3, "b": 4}, 1)
    assert source.outage == ""
    source.close()


def test_bad_ports_and_options_are_refused(tmp_path, device):
    with pytest.raises(SourceError, match=r"cannot open the serial port .*nothing: No such file"):
        SerialSource(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="`baud` must be a whole number"):
        open_source(f"serial:{device.path}?baud=fast")
    with pytest.raises(ConfigError, match="`baud` must be at least 1"):
        SerialSource(str(device.path), baud=0)
    with pytest.raises(ConfigError, match="`columns` must contain the label 'y'"):
        open_source(f"serial:{device.path}?columns=a,b")


def test_the_lifecycle_of_a_device(device):
    text = "speed,kind\n" + "".join(f"{i},{'uv'[i % 2]}\n" for i in range(20))
    check_source(
        lambda: SerialSource(str(device.path), target="kind"),
        n_rows=20,
        send=lambda _: device.send(text),
        resumes=False,
    )
