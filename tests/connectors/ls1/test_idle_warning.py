"""A sender without an engine warns, and does not hang."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from loco_stream.connectors import ZMQSender
from loco_stream.connectors.ls1 import _sender as sender_module
from loco_stream.connectors.ls1._idle_warning import IdleWarning
from loco_stream.errors import LocoStreamWarning, SourceError, SourceTimeoutError
from tests.helpers.ports import free_address


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_each_silence_of_five_seconds_warns_once():
    clock = Clock()
    warning = IdleWarning("tcp://10.0.0.1:5555", clock)
    clock.now = 4.9
    warning.check()
    clock.now = 5.0
    with pytest.warns(LocoStreamWarning, match="no answer from tcp://10.0.0.1:5555 for 5 s"):
        warning.check()
    clock.now = 500.0
    warning.check()
    warning.reset()
    clock.now = 504.0
    warning.check()
    clock.now = 506.0
    with pytest.warns(LocoStreamWarning):
        warning.check()


@pytest.mark.slow
@pytest.mark.parametrize("reliable", [False, True])
def test_a_sender_without_an_engine_warns_and_names_the_address(reliable):
    address = f"tcp://{free_address()}"
    sender = ZMQSender(
        address,
        features=["a"],
        classes=["x"],
        reliable=reliable,
        buffer=128,
        timeout=6.0,
        linger=0.5,
    )

    def send_many():
        for _ in range(200):
            sender.send([1.0], "x")

    with (
        pytest.warns(LocoStreamWarning, match=f"no answer from {address}"),
        pytest.raises(SourceError, match=address),
    ):
        send_many()
    began = time.monotonic()
    if reliable:
        with pytest.raises(SourceError, match=r"acked all rows within 0.5 s"):
            sender.close()
    sender.close()
    assert time.monotonic() - began < 60.0


def test_flush_and_predict_end_without_an_engine(monkeypatch):
    monkeypatch.setattr(sender_module, "_WAIT_SECONDS", 0.2)
    sender = ZMQSender(
        f"tcp://{free_address()}", features=["a"], classes=["x"], reliable=True, linger=0.0
    )
    sender.send([1.0], "x")
    with pytest.raises(SourceError, match=r"no engine at tcp://.* acked all rows within 0.2 s"):
        sender.flush()
    with pytest.raises(SourceError, match=r"within 0.1 s"):
        sender.flush(0.1)
    with pytest.raises(TimeoutError, match=r"no engine at tcp://.* replied within 0.2 s"):
        sender.predict([1.0])
    with pytest.raises(SourceTimeoutError, match=r"replied within 0.1 s"):
        sender.predict_proba([1.0], timeout=0.1)
    with suppress(SourceError):
        sender.close()
