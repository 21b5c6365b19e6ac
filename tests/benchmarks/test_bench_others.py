"""Benches on other people's ground: CapyMOA's evaluation and river's tracks."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from benchmarks import avalanche, capymoa, others_evaluation, river_tracks
from loco_stream.errors import ConfigError


def test_capymoa_s_results_make_a_table_per_kind_of_score():
    results = {
        "ImageSegments/default/0": {"accuracy": 94.0, "cpu_seconds": 1.0},
        "ImageSegments/KNN/0": {"accuracy": 90.0, "cpu_seconds": 2.0},
        "FriedmanDrift/default/0": {"rmse": 1.5, "cpu_seconds": 1.0},
        "FriedmanDrift/SOKNL/0": {"rmse": 1.25, "cpu_seconds": 5.0},
        "digits, five tasks/default/0": {"accuracy": 86.0, "final": 97.0, "cpu_seconds": 3.0},
    }
    accuracy, rmse, tasks = capymoa.grids(results)
    assert accuracy.rows == [["default", "94.0", "1"], ["KNN", "90.0", "2"]]
    assert accuracy.marked == {(0, 1)}
    assert rmse.rows == [["default", "1.50", "1"], ["SOKNL", "1.25", "5"]]
    assert rmse.marked == {(1, 1)}  # the smallest
    assert tasks.columns[1:3] == [
        "digits, five tasks: while learned",
        "digits, five tasks: at the end",
    ]
    assert tasks.rows == [["default", "86.0", "97.0", "3"]]


def test_an_environment_without_capymoa_is_named(tmp_path):
    arguments = ["--peers", "false", "--streams", "ImageSegments", "--only", "KNN"]
    with pytest.raises(ConfigError, match="`--peers` 'false' could not run KNN on ImageSegments"):
        CliRunner().invoke(
            capymoa.command,
            [*arguments, "--out", str(tmp_path)],
            catch_exceptions=False,
        )


def test_a_strategy_that_makes_more_passes_has_no_accuracy_while_it_learns():
    results = {
        "digits, five tasks/default/0": {"accuracy": 88.0, "final": 97.0, "cpu_seconds": 3.0},
        "digits, five tasks/default/1": {"accuracy": 90.0, "final": 98.0, "cpu_seconds": 5.0},
        "digits, five tasks/Replay 1000 x10/0": {
            "accuracy": None,
            "final": 98.0,
            "cpu_seconds": 9.0,
        },
    }
    (grid,) = avalanche.grids(results)
    assert grid.rows == [
        ["default", "89.0 ±1.4", "97.5 ±0.7", "4"],
        ["Replay 1000 x10", "-", "98.0", "9"],
    ]
    assert grid.marked == {(0, 1), (1, 2)}


def test_an_environment_without_avalanche_is_named(tmp_path):
    arguments = ["--peers", "false", "--streams", "digits, five tasks", "--only", "Naive"]
    with pytest.raises(ConfigError, match="`--peers` 'false' could not run Naive on digits"):
        CliRunner().invoke(
            avalanche.command, [*arguments, "--out", str(tmp_path)], catch_exceptions=False
        )


def test_the_five_tasks_on_digits_do_not_share_rows():
    arrays = others_evaluation.five_tasks(others_evaluation.DIGITS, None)
    assert arrays["X"].shape == (1347, 64)
    assert arrays["X_test"].shape == (450, 64)
    assert arrays["X"].max() == 1.0
    assert set(arrays["y_test"].tolist()) == set(range(10))


def test_river_s_tracks_leave_out_what_would_be_downloaded():
    here, notes = river_tracks._on_this_machine("BinaryClassificationTrack")
    assert {"Bananas", "Phishing"} <= set(here)
    assert "SMTP" not in here
    assert any("`river.datasets.SMTP().download()`" in note for note in notes)


@pytest.mark.slow
def test_river_s_tracks_run_river_s_models_and_ours():
    keys = [("RegressionTrack", "ChickWeights", model) for model in ("fast", "mean")]
    results = {"/".join([*key, "42"]): river_tracks.measure(*key) for key in keys}
    (grid,) = river_tracks.grids(results)
    assert grid.title == "ChickWeights of RegressionTrack"
    assert grid.columns == ["model", "MAE", "RMSE", "R2", "rows/CPU s"]
    assert [row[0] for row in grid.rows] == ["fast", "mean"]
    assert {(0, 1), (0, 2), (0, 3)} <= grid.marked
