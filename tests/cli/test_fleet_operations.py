"""`loco-stream fleet status|worst|changed|evict|reset|export|merge`, at rest and running."""

from __future__ import annotations

import json
import shutil
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import Fleet, LOCOClassifier, LOCOForecaster, TaskMonitor, load
from loco_stream._cli import main
from loco_stream._cli._fleet_control import _commands
from loco_stream.connectors._control import Control
from loco_stream.engine._queries import RunnerQueries
from loco_stream.engine._source_reader import SourceReader
from loco_stream.fleet._metrics import FleetMetrics
from loco_stream.fleet._runner import FleetRunner
from loco_stream.stream import Sample, Source
from tests.helpers.ports import free_port


def invoke(*words, code=0):
    done = CliRunner().invoke(main, ["fleet", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def rows(key, n=60):
    X = np.random.default_rng(key).normal(size=(n, 2)).astype(np.float32)
    wrong = np.random.default_rng(9).random(n) < 0.25 * key
    return X, np.where((X[:, 0] > 0) != wrong, "a", "b").tolist()


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A fleet at rest with keys 0, 1 and "two"."""
    folder = tmp_path_factory.mktemp("fleet")
    template = LOCOClassifier(hidden_sizes=(8,), rule="frozen", seed=1)
    with Fleet(template, folder, key_groups=4, monitor=TaskMonitor(holdout=0)) as fleet:
        for number, key in enumerate((0, 1, "two")):
            fleet.learn(key, *rows(number), source="plant", epoch=1, seq=0)
    return folder


def test_status_of_a_fleet_at_rest(begun):
    status = json.loads(invoke("status", begun))
    assert (status["n_keys"], status["n_resident"], status["task"]) == (3, 0, "classification")


def test_the_worst_keys_come_first(begun):
    worst = json.loads(invoke("worst", begun, "-n", 2))
    assert [report["key"] for report in worst] == ["two", 1]
    assert worst[0]["window_accuracy"] < worst[1]["window_accuracy"]
    assert json.loads(invoke("changed", begun)) == []


def test_a_forecast_is_printed_without_the_history_unless_it_is_asked_for(tmp_path):
    with Fleet(LOCOForecaster(heads=2, hidden_sizes=8, seed=1), tmp_path, key_groups=2) as fleet:
        fleet.learn("a", None, np.sin(np.arange(150) / 5))
        expected = fleet.forecast("a", 3)
    found = json.loads(invoke("forecast", tmp_path, "a", "--horizon", 3))
    assert list(found) == ["key", "forecast", "low", "high"]
    assert found["forecast"] == expected
    found = json.loads(invoke("forecast", tmp_path, "a", "--history"))
    assert len(found["history"]) == 120


def test_a_key_is_exported_and_keys_are_merged(begun, tmp_path):
    invoke("export", begun, "two", "--to", tmp_path / "two.loco")
    assert load(tmp_path / "two.loco").n_seen == 60
    invoke("merge", begun, "0", "1", "--to", tmp_path / "both.loco")
    assert load(tmp_path / "both.loco").n_seen == 120
    assert "key 'three' has no model" in invoke(
        "export", begun, "three", "--to", tmp_path / "x", code=2
    )


@pytest.mark.parametrize("words", [["export", "two"], ["merge", "0", "1"]])
def test_a_file_that_cannot_be_written_is_refused_before_the_fleet_is_opened(
    begun, tmp_path, words
):
    order, *keys = words
    missing = tmp_path / "missing" / "x.loco"
    refused = invoke(order, begun, *keys, "--to", missing, code=2)
    assert f"--to: cannot write {missing}: there is no folder {missing.parent}" in refused
    assert "it is a folder" in invoke(order, begun, *keys, "--to", tmp_path, code=2)
    assert "cannot write" in invoke(order, begun, *keys, "--to", "/proc/x.loco", code=2)
    assert "`--to` must be a path, got ''" in invoke(order, begun, *keys, "--to", "", code=2)


def test_a_reset_key_starts_anew_and_learns_no_row_twice(tmp_path):
    template = LOCOClassifier(hidden_sizes=(8,), seed=1)
    X, y = rows(0)
    with Fleet(template, tmp_path, key_groups=4) as fleet:
        fleet.learn(7, X[:40], y[:40], source="plant", epoch=1, seq=0)
    invoke("reset", tmp_path, "7")
    with Fleet(None, tmp_path, key_groups=4) as fleet:
        assert fleet.report(7)["n_samples"] == 0
        fleet.learn(7, X, y, source="plant", epoch=1, seq=0)
        assert (fleet.n_repeated, fleet.report(7)["n_samples"]) == (40, 20)
        assert fleet.counts() == (1, 1)
        assert (fleet.evict([7, 8]), fleet.counts()) == (1, (1, 0))
        assert fleet.report(7)["n_samples"] == 20
    alone = LOCOClassifier(hidden_sizes=(8,), seed=1)
    alone.learn_array(X[40:], y[40:])
    with Fleet(None, tmp_path, key_groups=4) as fleet:
        np.testing.assert_array_equal(fleet.predict(7, X), alone.predict_array(X))


def test_labels_are_chosen_by_rules_of_keys_and_of_all(begun, tmp_path):
    folder = tmp_path / "fleet"
    shutil.copytree(begun, folder)
    assert json.loads(invoke("decide", folder)) == [{"key": None, "thresholds": [], "costs": []}]
    invoke("decide", folder, "--threshold", "b=0.01")
    invoke("decide", folder, "0", "two", "--threshold", "a=0.01", "--threshold", "c=0.5")
    by_key = {report["key"]: report for report in json.loads(invoke("decide", folder, "0", "1"))}
    assert [row["label"] for row in by_key[0]["thresholds"]] == ["a", "c"]
    assert by_key[1]["thresholds"] == [{"label": "b", "probability": 0.01}]
    invoke("decide", folder, "0", "--clear")
    with Fleet(None, folder, key_groups=4) as fleet:
        assert [fleet.decision(key)["thresholds"] for key in (0, 1)] == [{"b": 0.01}] * 2
    assert "excludes --threshold" in invoke(
        "decide", folder, "--clear", "--threshold", "b=1", code=2
    )
    assert "key 'three' has no model" in invoke("decide", folder, "three", "--clear", code=2)


def test_a_directory_without_a_fleet_is_refused(tmp_path):
    assert "there is no fleet in" in invoke("status", tmp_path / "none", code=2)


class Endless(Source):
    """A live source with rows of three keys, then silence until it is stopped."""

    name = "plant"
    is_live = True

    def __init__(self):
        self.row = 0

    @property
    def position(self):
        return {"row": self.row}

    def __iter__(self):
        X, y = rows(0, 90)
        while True:
            if self.row < 90:
                i = self.row
                self.row += 1
                yield Sample({"device": i % 3, "a": float(X[i, 0])}, y[i], i, source="plant")
            else:
                time.sleep(0.02)
                yield []


def test_a_running_fleet_answers_and_obeys(tmp_path):
    queries = RunnerQueries()
    metrics = FleetMetrics(0.0)
    template = LOCOClassifier(hidden_sizes=(8,), rule="frozen", seed=1)
    control = Control(f"ipc://{tmp_path}/c", _commands(queries))
    with Fleet(template, tmp_path / "f", monitor=TaskMonitor(holdout=0)) as fleet:
        source = Endless()
        runner = FleetRunner(fleet, SourceReader(source), "device", (), [queries, metrics])
        thread = threading.Thread(target=runner.run)
        thread.start()
        try:
            deadline = time.monotonic() + 60
            while source.row < 90 and time.monotonic() < deadline:
                time.sleep(0.05)
            address = control.address
            status = json.loads(invoke("status", address))
            assert (status["n_samples"], status["n_keys"], status["n_resident"]) == (90, 3, 3)
            assert len(json.loads(invoke("worst", address, "-n", 2))) == 2
            assert "2 models" in invoke("evict", address, "1", "2", "9")
            invoke("reset", address, "1")
            invoke("decide", address, "2", "--cost", "a,b=1e9")
            invoke("decide", address, "--threshold", "a=0.3")
            (shown,) = json.loads(invoke("decide", address, "2"))
            assert shown["costs"] == [{"true": "a", "predicted": "b", "cost": 1e9}]
            assert json.loads(invoke("decide", address, "0"))[0]["thresholds"][0]["label"] == "a"
            invoke("export", address, "2", "--to", tmp_path / "two.loco")
            assert load(tmp_path / "two.loco").n_seen == 30
            assert "has no model" in invoke("reset", address, "9", code=2)
            families = {family.name: family for family in metrics.collect()}
            assert families["loco_fleet_keys"].samples[0].value == 3
            assert len(families["loco_fleet_key_error"].samples) == 4
        finally:
            runner.stop()
            thread.join()
            control.close()
        assert fleet.report(1)["n_samples"] == 0


def test_limits_metrics_and_control_are_options_of_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["device,a,kind", *(f"{i % 4},{i},{i % 2}" for i in range(40))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    invoke(
        *["csv:rows.csv?target=kind", "--key", "device", "--checkpoint", "state"],
        *["--set", "hidden_sizes=8", "--max-keys", 2, "--max-key-rate", 1e-6, "--report", "r.json"],
        *["--metrics-port", free_port(), "--control", f"ipc://{tmp_path}/c"],
    )
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["n_keys"], report["n_over_keys"]) == (2, 20)
    assert (report["n_samples"], report["n_over_rate"]) == (2, 18)
    assert "20 rows of keys beyond the limit left out" in " ".join(report["notes"])
    assert "`--control-token` needs --control" in invoke(
        "csv:rows.csv", "--key", "device", "--checkpoint", "s", "--control-token", "t", code=2
    )
