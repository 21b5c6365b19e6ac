"""What the page shows of a stream without labels."""

from __future__ import annotations

import json

import numpy as np

from loco_stream import LOCODetector, StreamEngine
from loco_stream.dashboard._engine_frames import EngineFrames
from loco_stream.dashboard.page import _task
from loco_stream.stream import Sample


def test_a_frame_holds_columns_bands_and_alarms():
    X = np.random.default_rng(0).normal(size=(500, 2))
    X[480, 1] = 15.0
    rows = [
        Sample({"flow": a, "heat": b, "mode": "on"}, None, i) for i, (a, b) in enumerate(X.tolist())
    ]
    engine = StreamEngine(LOCODetector(seed=1), rows)
    engine.run()
    frames = EngineFrames([])
    assert _task(engine) == "watching"
    watch = frames.frame(engine)["watch"]
    assert "watch" not in frames.frame(engine)  # at most twice a second
    json.dumps(watch, allow_nan=False)
    assert watch["at"] == list(range(300, 500))
    assert [column[0] for column in watch["columns"]] == ["flow", "heat", "mode"]
    _, values, low, high = watch["columns"][1]
    assert values[180] == 15.0
    assert low[180] < high[180] < 15.0
    assert watch["columns"][2][1] == [None] * 200
    assert watch["alarm"][180]
    assert watch["blame"][180] == "heat"
    assert watch["alarms"][-1]["column"] == "heat"
    assert frames.point(engine)[0] == 500
