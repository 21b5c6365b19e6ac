"""`run` on a source of several targets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream._cli.main import main


@pytest.fixture
def url(tmp_path):
    X = np.random.default_rng(0).normal(size=(200, 2))
    lines = [f"{u},{v},{2 * u},{10 - v}" for u, v in X.tolist()]
    path = tmp_path / "rows.csv"
    path.write_text("u,v,heat,flow\n" + "\n".join(lines) + "\n")
    return f"csv:{path}?target=heat,flow"


def run(*arguments):
    result = CliRunner().invoke(main, ["run", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_the_number_of_targets_chooses_the_model(url, tmp_path):
    picture = tmp_path / "run.png"
    report = run(url, "--seed", "1", "--set", "hidden_sizes=8", "--plot", str(picture))
    assert report["task"] == "multi-target regression"
    assert set(report["per_target"]) == {"heat", "flow"}
    assert picture.stat().st_size > 1000


def test_a_resumed_run_is_the_same(url, tmp_path):
    own = ("--seed", "1", "--set", "hidden_sizes=8", "--task", "regression")
    whole = run(url, *own)
    state = ("--checkpoint", str(tmp_path / "state"))
    run(url, *own, *state, "--max-samples", "80")
    assert run(url, *state, "--resume")["per_target"] == whole["per_target"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--task", "classification"], "must be regression with several targets"),
        (["--holdout", "20"], "`--holdout` must be 0 with several targets, got 20"),
    ],
)
def test_options_that_do_not_fit_several_targets_are_refused(url, option, message):
    result = CliRunner().invoke(main, ["run", url, *option])
    assert result.exit_code == 2
    assert message in result.output
