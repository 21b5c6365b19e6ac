"""`LSLSource` against a real outlet on this machine."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

_CONFIG = Path(tempfile.mkdtemp()) / "lsl_api.cfg"
_CONFIG.write_text(
    "[multicast]\nResolveScope = machine\nListenAddress = 127.0.0.1\n"
    "[lab]\nKnownPeers = {127.0.0.1}\n[log]\nlevel=-3\n"
)
os.environ["LSLAPICFG"] = str(_CONFIG)  # read when the library is loaded

import pylsl  # noqa: E402

from loco_stream.connectors import LSLSource, open_source  # noqa: E402
from loco_stream.errors import ConfigError, SourceError  # noqa: E402
from loco_stream.stream import Source  # noqa: E402
from loco_stream.testing import check_source  # noqa: E402


def outlet(name, labels=("Fz", "Cz", "label"), fmt=pylsl.cf_float32):
    info = pylsl.StreamInfo(name, "EEG", len(labels), 250, fmt, f"loco-{name}")
    channels = info.desc().append_child("channels")
    for label in labels:
        channels.append_child("channel").append_child_value("label", label)
    return pylsl.StreamOutlet(info)


class Pushing:
    """Pushes rows once a consumer is there."""

    def __init__(self, out, rows):
        self._thread = threading.Thread(target=self._run, args=(out, rows))

    @staticmethod
    def _run(out, rows):
        assert out.wait_for_consumers(60)
        for row in rows:
            out.push_sample(row)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._thread.join()


def test_rows_are_blocks_with_the_channel_labels():
    out = outlet("loco-rows")
    source = open_source("lsl:loco-rows?target=label&max=50")
    assert isinstance(source, Source)
    assert source.schema.features == ("Fz", "Cz")
    assert "may lose rows" in source.guarantee
    sent = [
        [float(i), float("nan") if i == 3 else 0.5, i % 2 if i != 4 else float("nan")]
        for i in range(50)
    ]
    with Pushing(out, sent):
        blocks = [block for block in source if block]
    table = np.vstack([b.X for b in blocks])
    np.testing.assert_array_equal(table, np.array(sent, np.float32)[:, :2])
    labels = [y for b in blocks for y in b.y]
    assert labels == [None if i == 4 else i % 2 for i in range(50)]
    assert [b.seq for b in blocks] == list(np.cumsum([0, *(len(b.X) for b in blocks[:-1])]))
    assert abs(blocks[0].t - time.time()) < 60
    assert all(len(block.times) == len(block.X) and block.times[0] == block.t for block in blocks)
    assert source.position == {"row": 50}
    assert source.stats == {"rows": 50, "masked": 1}
    source.seek({"row": 70})
    assert source.position == {"row": 70}
    source.close()


def test_streams_without_labels_and_with_values():
    out = outlet("loco-plain", ("a", "a", ""))
    source = LSLSource("loco-plain", max=5)
    assert source.schema.features == ("a", "1", "2")
    assert source.schema.task is None
    with Pushing(out, [[1, 2, 3]] * 5):
        blocks = [block for block in source if block]
    assert all(b.y is None for b in blocks)
    assert sum(len(b.X) for b in blocks) == 5
    source.close()
    source = LSLSource("loco-plain", -1, task="regression", max=2)
    with Pushing(out, [[1, 2, 0.5]] * 2):
        assert [y for block in source if block for y in block.y] == [0.5, 0.5]
    source.close()


@pytest.mark.slow
def test_bad_streams_and_channels_are_refused():
    out = outlet("loco-errors")
    with pytest.raises(
        SourceError,
        match=r"must be a channel, got 'lable'; did you mean 'label'\? \(channels: Fz, Cz, label\)",
    ):
        LSLSource("loco-errors", "lable")
    for target in ("--3", "9" * 5000):
        with pytest.raises(SourceError, match="must be a channel, got '"):
            LSLSource("loco-errors", target)
    with pytest.raises(
        SourceError, match=r"no LSL stream named 'loco-error' .* did you mean 'loco-errors'"
    ):
        LSLSource("loco-error", wait=0.5)
    words = outlet("loco-words", ("m",), pylsl.cf_string)
    with pytest.raises(SourceError, match="must be numeric, got text"):
        LSLSource("loco-words")
    single = outlet("loco-single", ("m",))
    with pytest.raises(SourceError, match="must have a channel besides that of the label"):
        LSLSource("loco-single", "m")
    with pytest.raises(ConfigError, match="`wait` must be a number above 0"):
        open_source("lsl:x?wait=0")
    del out, words, single


def test_an_empty_list_is_yielded_while_no_row_arrives():
    out = outlet("loco-idle")
    source = LSLSource("loco-idle")
    assert next(iter(source)) == []
    source.close()
    del out


def test_the_lifecycle_of_a_stream():
    out = outlet("loco-lifecycle")

    def push(_):
        assert out.wait_for_consumers(60)
        for i in range(20):
            out.push_sample([float(i), 0.5, i % 2])

    check_source(
        lambda: open_source("lsl:loco-lifecycle?target=label"),
        n_rows=20,
        send=push,
        resumes=False,
    )
