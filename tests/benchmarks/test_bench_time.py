"""`python -m benchmarks time`: streams follow their definitions, and nothing looks ahead."""

from __future__ import annotations

import sys
import zipfile
from collections import deque

import numpy as np
import pytest

from benchmarks import temporal, temporal_data
from benchmarks.peers import time_peers
from benchmarks.temporal_data import TimedStream
from benchmarks.temporal_inputs import INPUTS
from loco_stream.errors import ConfigError, SourceError


@pytest.fixture
def archive(tmp_path):
    """Write a wheel with two small recordings in the format of aeon."""
    with zipfile.ZipFile(tmp_path / "aeon-0-py3-none-any.whl", "w") as wheel:
        for folder, labels in (("BasicMotions", "ab"), ("JapaneseVowels", "12")):
            lines = [f"{i},{i + 1}:{-i},{-i - 1}:{label}" for i in range(6) for label in labels]
            for part in ("TRAIN", "TEST"):
                text = "\n".join(["#about", "@dimensions 2", "@data", *lines])
                wheel.writestr(f"aeon/datasets/data/{folder}/{folder}_{part}.ts", text)
    return tmp_path


def test_the_label_is_the_sign_of_a_sum_that_fades_in_real_time():
    stream = temporal_data.load("ew-sign", 0)
    left = np.exp(-(stream.t[40] - stream.t[:41]) / 10.0)
    assert stream.y[40] == (left @ stream.X[:41, 0] > 0)


def test_xor3_needs_the_row_three_before():
    stream = temporal_data.load("xor3", 0)
    bits = stream.X[:, 0] > 0
    assert np.mean((bits[3:] ^ bits[:-3]) == stream.y[3:]) > 0.999


def test_targets_of_mackey_glass_are_six_steps_ahead():
    stream = temporal_data.load("Mackey-Glass", 0)
    assert stream.y[:-6].tolist() == stream.X[6:, 0].tolist()


def test_recordings_of_the_wheel_are_shuffled(archive):
    stream = temporal_data.load("motions", 0, archive)
    assert (len(stream.begins), stream.X.shape, stream.n_classes) == (24, (48, 2), 2)
    assert sorted(stream.X[:, 0].tolist()) == sorted([i + d for i in range(6) for d in (0, 1)] * 4)
    assert stream.X.tolist() != temporal_data.load("motions", 1, archive).X.tolist()


def test_without_the_wheel_recordings_are_left_out_and_named(tmp_path):
    here, notes = temporal_data.available(["motions", "xor3"], tmp_path)
    assert here == ["xor3"]
    assert "pip download --no-deps aeon" in notes[0]
    with pytest.raises(SourceError, match="BasicMotions is not on this machine"):
        temporal_data.load("motions", 0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", INPUTS)
def test_inputs_hold_no_later_row_and_no_other_event(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    y = np.zeros(40, np.int64)
    begins = np.array([0, 25])
    whole = INPUTS[name](TimedStream(X, y, begins=begins), 0)
    changed = X.copy()
    changed[30:] += 9.0
    assert (
        INPUTS[name](TimedStream(changed, y, begins=begins), 0)[:30].tolist() == whole[:30].tolist()
    )
    if name in ("rows", "5 lags", "10 lags", "filters"):  # not scaled by all rows so far
        assert (
            INPUTS[name](TimedStream(X[25:], y[25:], begins=np.array([0])), 0).tolist()
            == whole[25:].tolist()
        )


@pytest.mark.parametrize(
    ("contender", "stream"), [("memory", "motions"), ("linear, 5 lags", "vowels")]
)
def test_events_are_predicted_one_by_one(archive, contender, stream):
    found = temporal.measure(stream, contender, 0, str(archive))
    assert 0.0 <= found["score"] <= 1.0


def test_late_labels_are_learned_after_as_many_rows():
    class Recorder:
        def __init__(self):
            self.calls = []

        def learn_array(self, X, y):
            self.calls += [("learn", value) for value in y.tolist()]

        def predict_array(self, X):
            self.calls.append(("predict", X[0, 0]))
            return np.zeros(1)

    model = Recorder()
    timed = TimedStream(np.arange(4.0)[:, None], np.arange(4), delay=2)
    temporal._run_rival(model, timed.X, timed)
    steps = [
        ("predict", 0),
        ("predict", 1),
        ("learn", 0),
        ("predict", 2),
        ("learn", 1),
        ("predict", 3),
    ]
    assert model.calls == steps


class Windowed:
    """Predict the first value of a row; note each call with the rows of the window before."""

    def __init__(self):
        self.window = deque(maxlen=time_peers.WINDOW)
        self.calls = []

    def _note(self, what, x):
        self.calls.append((what, *(row[0] for row in self.window), x[0]))
        self.window.append(list(x.values()))

    def predict_one(self, x):
        self._note("predict", x)
        return x[0]

    def learn_one(self, x, y):
        assert y == 10 * x[0]
        self._note("learn", x)


def _run_peer(n, delay=0, begins=None):
    """Run the peer's script on rows 0, 1, ... with labels ten times as large."""
    model = Windowed()
    rows = [{0: i} for i in range(n)]
    labels = [10 * i for i in range(n)]
    answers = time_peers.learn_stream(model, model.window, rows, labels, delay, begins)
    return answers, model.calls


def test_the_peer_scales_a_row_by_the_rows_up_to_it():
    X = np.random.default_rng(0).normal(3.0, 2.0, (20, 2))
    rows = time_peers.scaled(X.tolist())
    assert rows[0] == {0: 0.0, 1: 0.0}
    assert list(rows[19].values()) == pytest.approx((X[19] - X.mean(axis=0)) / X.std(axis=0))
    assert time_peers.scaled(X[:5].tolist()) == rows[:5]


def test_the_peer_sees_ten_rows_that_end_with_the_predicted_one():
    answers, calls = _run_peer(12)
    assert answers == list(range(12))
    assert calls[:4] == [("predict", 0), ("learn", 0), ("predict", 0, 1), ("learn", 0, 1)]
    assert calls[-2:] == [("predict", *range(2, 12)), ("learn", *range(2, 12))]


def test_the_peer_learns_late_labels_with_the_rows_of_their_time():
    _, calls = _run_peer(4, delay=2)
    assert [(what, rows[-1]) for what, *rows in calls] == [
        ("predict", 0),
        ("predict", 1),
        ("learn", 0),
        ("predict", 2),
        ("learn", 1),
        ("predict", 3),
    ]
    assert calls[2:4] == [("learn", 0), ("predict", 0, 1, 2)]


def test_the_peer_predicts_an_event_before_its_label_and_from_its_own_rows():
    answers, calls = _run_peer(5, begins=[0, 3])
    assert answers == [0, 3]
    assert calls[2:4] == [("predict", 0, 1, 2), ("learn", 0)]
    assert calls[6:] == [("predict", 3), ("predict", 3, 4), ("learn", 3), ("learn", 3, 4)]


def test_predictions_of_the_peer_are_scored_like_all_others(archive, monkeypatch):
    given = []

    def run_json(command, failure):
        with np.load(command[2]) as file:
            given.append({name: file[name] for name in file})
        return {"predictions": [0] * 24, "samples_per_second": 5.0}

    monkeypatch.setattr(temporal, "run_json", run_json)
    found = temporal.measure_peer("motions", 0, "python", str(archive))
    assert found["score"] == 0.5
    assert found["samples_per_second"] == 5.0
    timed = temporal_data.load("motions", 0, archive)
    assert found["second_half"] == np.mean(timed.y[timed.begins][12:] == 0)
    assert given[0]["begins"].tolist() == timed.begins.tolist()
    assert (given[0]["X"].shape, given[0]["delay"]) == ((48, 2), 0)


def test_a_peer_that_cannot_run_is_an_error(tmp_path):
    arguments = [
        "--streams",
        "xor3",
        "--only",
        "LSTM (deep-river)",
        "--seeds",
        "1",
        "--out",
        str(tmp_path),
    ]
    with pytest.raises(ConfigError, match=r"`--only` must name some of .*, got 'LSTM"):
        temporal.command(arguments, standalone_mode=False)
    with pytest.raises(
        ConfigError, match=r"`--peers` .* could not run LSTM .*: ModuleNotFoundError: .*deep_river"
    ):
        temporal.command([*arguments, "--peers", sys.executable], standalone_mode=False)
