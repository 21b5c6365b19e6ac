"""A resumed run continues with the options that it was begun with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream._cli import main
from loco_stream.engine._checkpoint import newest

# Release 0.2 did not have them: gaps are estimated, and the parts without neurons are not read.
NEW = {
    "model/classes.log_gap",
    "model/classes.patience",
    "model/experts.discriminant.total",
    "model/fixed.n_rows",
    "model/past.moments",
    "model/scale_guard.n_recent",
    "model/scale_guard.recent",
}
# Release 0.2 took each change into the projectors at once, later releases a few together.
PROJECTORS = {
    f"model/experts.least_squares.{name}"
    for name in ("counters", "pending", "projectors", "linear_pending", "linear_projectors")
}
# Its stack of outputs moved more slowly in the first rows, which counts in what mixes its answer.
STACKED = {
    "model/calibration.log_weights",
    "model/mixture.log_weights",
    "model/stacks.projector",
    "model/stacks.weights",
}
GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "v0_2" / "command"


@pytest.fixture
def loco(tmp_path, monkeypatch):
    """Return a function that runs the command in a folder with a table of 120 rows."""
    monkeypatch.chdir(tmp_path)
    lines = [f"{i % 7},{i * 3 % 5},{'xy'[i % 7 > 3]}" for i in range(120)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")

    def run(*words):
        command = ["run", "csv:rows.csv?target=y", "--checkpoint", "state", *map(str, words)]
        return CliRunner().invoke(main, command)

    return run


def settings(folder):
    shown = CliRunner().invoke(main, ["inspect", str(folder), "--json"])
    return json.loads(shown.stdout)["settings"]


def test_options_not_given_are_those_of_the_first_run(loco):
    first = ["--set", "hidden_sizes=4", "--score-window", 50, "--drift-detector", "DDM"]
    assert loco(*first, "--max-samples", 60).exit_code == 0
    assert loco("--resume").exit_code == 0
    stored = settings("state")
    assert (stored["score_window"], stored["drift_detector"]) == (50, "DDM")
    other = loco("--resume", "--drift-detector", "EDDM")
    assert other.exit_code == 2
    begun = "state was begun with --drift-detector DDM, so it cannot continue with --drift-detector"
    assert other.stderr == f"loco-stream: {begun} EDDM\n"


def test_other_options_are_refused_as_they_are_typed(loco):
    assert loco("--set", "hidden_sizes=4", "--set", "rule=np", "--max-samples", 60).exit_code == 0
    for words, refusal in (
        (["--set", "rule=np"], "with --set hidden_sizes=4 --set rule=np, so it cannot continue"),
        (["--preset", "fast"], "without --preset, so it cannot continue with --preset fast"),
        (["--watch"], "without --watch"),
        (["--forecast", 3], "without --forecast"),
    ):
        other = loco("--resume", *words)
        assert other.exit_code == 2
        assert f"state was begun {refusal}" in other.stderr


def test_other_columns_of_the_source_are_named_and_another_label_is_refused(loco, tmp_path):
    assert loco("--set", "hidden_sizes=4", "--max-samples", 60).exit_code == 0
    wide = ["run", "csv:rows.csv?target=b", "--checkpoint", "state", "--resume"]
    refused = CliRunner().invoke(main, wide)
    assert refused.stderr.splitlines()[-1] == (
        "loco-stream: state was begun with labels from column 'y', so it cannot continue with "
        "labels from column 'b'"
    )
    (tmp_path / "rows.csv").rename(tmp_path / "moved.csv")
    moved = ["csv:moved.csv?target=y" if word == wide[1] else word for word in wide]
    assert "rows come from csv:moved.csv; before the resume, from csv:rows.csv" in (
        CliRunner().invoke(main, [*moved, "--max-samples", "70"]).stderr
    )
    (tmp_path / "moved.csv").rename(tmp_path / "rows.csv")
    narrow = [*wide, "--report", "r.json"]
    narrow[1] = "csv:rows.csv?target=y&drop=a"
    done = CliRunner().invoke(main, narrow)
    assert done.exit_code == 0, done.output
    note = "features that rows had before the resume, and no longer have: a"
    assert f"{note}; what was learned of them is kept" in done.stderr
    assert any(
        text.startswith(note) for text in json.loads((tmp_path / "r.json").read_text())["notes"]
    )
    narrow[1] = "csv:rows.csv?target=y"
    done = CliRunner().invoke(main, narrow)
    assert "features that rows have since the resume, and had not before: a" in done.stderr


def test_a_column_names_the_tasks_of_the_whole_run(loco, tmp_path):
    lines = [
        f"{i % 7},{'press' if 40 <= i < 90 else 'lathe'},{'xy'[i % 7 > 3]}" for i in range(120)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(["a,machine,y", *lines]) + "\n")
    first = loco("--tasks", "column:machine", "--set", "hidden_sizes=4", "--max-samples", 60)
    assert first.exit_code == 0, first.stderr
    assert loco("--resume", "--report", "r.json").exit_code == 0
    report = json.loads((tmp_path / "r.json").read_text())
    tasks = [(task["task"], task["start"], task["end"]) for task in report["tasks"]]
    assert tasks == [("lathe", 0, 40), ("press", 40, 90), ("lathe", 90, None)]
    assert "was begun with --tasks column:machine," in loco("--resume", "--tasks", "none").stderr
    for value in ("column:", "given"):
        refused = loco("--tasks", value)
        assert refused.exit_code == 2
        assert f"`--tasks` must be auto, none or column:NAME, got '{value}'" in refused.stderr


def test_a_resumed_run_is_watched_without_another_watch(loco):
    """`--on-alarm` and `--every` needed a --watch that was stored."""
    assert "`--every` needs --watch" in loco("--every", 500).stderr
    assert loco("--watch", "--set", "hidden_sizes=4", "--max-samples", 60).exit_code == 0
    assert loco("--resume", "--on-alarm", "true").exit_code == 0
    other = loco("--resume", "--every", 500)
    assert "begun with --every 1000, so it cannot continue with --every 500" in other.stderr


def test_a_task_column_that_no_row_has_is_named(loco, tmp_path):
    (tmp_path / "rows.csv").write_text("a,machine,y\n" + "1,press,x\n2,lathe,z\n" * 20)
    done = loco("--tasks", "column:machin", "--set", "hidden_sizes=4")
    assert done.exit_code == 0, done.stderr
    missing = "no row has had a value in the task column 'machin' so far"
    assert f"{missing}; did you mean 'machine'?" in done.stderr


def test_a_run_of_release_0_2_continues_with_its_score_window(loco, tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "state")
    assert settings("state")["score_window"] == 50
    assert "begun with --score-window 50, so" in loco("--resume", "--score-window", 60).stderr
    assert "begun without --drift-detector" in loco("--resume", "--drift-detector", "DDM").stderr
    assert "begun with --tasks auto, so" in loco("--resume", "--tasks", "none").stderr
    resumed = loco("--resume", "--report", "r.json")
    assert resumed.exit_code == 0, resumed.stderr
    assert json.loads((tmp_path / "r.json").read_text())["n_samples"] == 120
    assert settings("state")["settings"] == ["hidden_sizes=4", "centroids=0"]


def test_a_resumed_run_of_release_0_2_ends_like_an_uninterrupted_one(loco, tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "state")
    loco("--resume")
    options = ["--set", "hidden_sizes=4", "--set", "centroids=0", "--score-window", "50"]
    options += ["--set", "fixed_neurons=0"]  # which release 0.2 did not have
    source = "csv:rows.csv?target=y"
    command = ["run", source, "--checkpoint", "whole", "--seed", "3", *options]
    assert CliRunner().invoke(main, command).exit_code == 0
    resumed = newest("state")[1].arrays
    whole = newest("whole")[1].arrays
    assert resumed.keys() == whole.keys()
    for name in resumed.keys() - NEW - PROJECTORS - STACKED:
        if name.startswith("model/"):
            # its hidden layers received other changes of the readout
            np.testing.assert_allclose(resumed[name], whole[name], 0.1, 0.1, err_msg=name)
