"""`python -m benchmarks time`: the streams are what they say, and inputs and answers never look ahead."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from benchmarks import temporal, temporal_data
from benchmarks.temporal_data import TimedStream
from benchmarks.temporal_inputs import INPUTS
from loco_stream.errors import SourceError


@pytest.fixture
def archive(tmp_path):
    """Write a wheel with two small recordings in the format of aeon's."""
    with zipfile.ZipFile(tmp_path / "aeon-0-py3-none-any.whl", "w") as wheel:
        for folder, labels in (("BasicMotions", "ab"), ("JapaneseVowels", "12")):
            lines = [f"{i},{i + 1}:{-i},{-i - 1}:{label}" for i in range(6) for label in labels]
            for part in ("TRAIN", "TEST"):
                text = "\n".join(["#about", "@dimensions 2", "@data", *lines])
                wheel.writestr(f"aeon/datasets/data/{folder}/{folder}_{part}.ts", text)
    return tmp_path


def test_the_sign_is_that_of_a_sum_that_fades_in_real_time():
    stream = temporal_data.load("ew-sign", 0)
    left = np.exp(-(stream.t[40] - stream.t[:41]) / 10.0)
    assert stream.y[40] == (left @ stream.X[:41, 0] > 0)


def test_xor3_needs_the_row_three_before():
    stream = temporal_data.load("xor3", 0)
    bits = stream.X[:, 0] > 0
    assert np.mean((bits[3:] ^ bits[:-3]) == stream.y[3:]) > 0.999


def test_the_values_of_mackey_and_glass_lie_six_steps_ahead():
    stream = temporal_data.load("Mackey-Glass", 0)
    assert stream.y[:-6].tolist() == stream.X[6:, 0].tolist()


def test_recordings_come_out_of_the_wheel_in_the_order_of_a_shuffle(archive):
    stream = temporal_data.load("motions", 0, archive)
    assert (len(stream.begins), stream.X.shape, stream.n_classes) == (24, (48, 2), 2)
    assert sorted(stream.X[:, 0].tolist()) == sorted([i + d for i in range(6) for d in (0, 1)] * 4)
    assert stream.X.tolist() != temporal_data.load("motions", 1, archive).X.tolist()


def test_without_the_wheel_recordings_are_left_out_and_named(tmp_path):
    here, notes = temporal_data.available(["motions", "xor3"], tmp_path)
    assert here == ["xor3"]
    assert "pip download --no-deps aeon" in notes[0]
    with pytest.raises(SourceError, match="BasicMotions is not here"):
        temporal_data.load("motions", 0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", INPUTS)
def test_inputs_know_no_later_row_and_no_other_event(name):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), np.zeros(40, np.int64)
    begins = np.array([0, 25])
    whole = INPUTS[name](TimedStream(X, y, begins=begins), 0)
    changed = X.copy()
    changed[30:] += 9.0
    assert INPUTS[name](TimedStream(changed, y, begins=begins), 0)[:30].tolist() == whole[:30].tolist()
    if name in ("rows", "5 lags", "10 lags", "filters"):  # those that do not scale by all rows so far
        assert INPUTS[name](TimedStream(X[25:], y[25:], begins=np.array([0])), 0).tolist() == whole[25:].tolist()


@pytest.mark.parametrize(("contender", "stream"), [("memory", "motions"), ("linear, 5 lags", "vowels")])
def test_events_are_answered_one_by_one(archive, contender, stream):
    found = temporal.measure(stream, contender, 0, str(archive))
    assert 0.0 <= found["score"] <= 1.0


def test_late_labels_are_learned_after_as_many_rows():
    class Told:
        def __init__(self):
            self.asked = []

        def learn_array(self, X, y):
            self.asked += [("learn", value) for value in y.tolist()]

        def predict_array(self, X):
            self.asked.append(("predict", X[0, 0]))
            return np.zeros(1)

    model = Told()
    timed = TimedStream(np.arange(4.0)[:, None], np.arange(4), delay=2)
    temporal._ask_rival(model, timed.X, timed)
    steps = [("predict", 0), ("predict", 1), ("learn", 0), ("predict", 2), ("learn", 1), ("predict", 3)]
    assert model.asked == steps
