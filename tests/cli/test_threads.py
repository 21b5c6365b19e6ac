"""The option --threads: the same report and checkpoint with any number of threads."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream._cli import _threads, main
from loco_stream._learner import workers
from loco_stream._options import THREADS, WIDTH_RULES

TIMES = ("samples_per_second", "latency_us", "latency_minute_us")


@pytest.fixture
def wide(tmp_path):
    """Return the URL of 300 rows of 300 numbers and a class."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(300, 301))
    rows[:, -1] = rows[:, 0] > 0.0
    np.save(tmp_path / "wide.npy", rows)
    return f"npy:{tmp_path}/wide.npy?target=-1"


def loco(*words):
    result = CliRunner().invoke(main, [*words, "--set", "hidden_sizes=30", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), result.stderr


@pytest.fixture
def started(monkeypatch):
    """Return the list of numbers of workers that models had, on a machine of four processors."""
    numbers = []
    used = workers.workers
    monkeypatch.setattr(workers, "n_processors", lambda: 4)

    def noted(args, n):
        numbers.append(n)
        return used(args, n)

    monkeypatch.setattr("loco_stream.estimators._core.workers", noted)
    return numbers


def test_the_same_report_with_several_threads(wide, started):
    run = ("run", wide, "--task", "classification")
    one, _ = loco(*run)
    assert not started
    several, log = loco(*run, "--threads", "4")
    assert 3 in started
    assert "--threads" not in log
    for name in TIMES:
        del one[name], several[name]
    assert one == several


def test_a_resumed_run_may_have_other_threads(wide, started, tmp_path):
    run = ("run", wide, "--task", "classification", "--checkpoint", str(tmp_path / "state"))
    loco(*run, "--threads", "2", "--max-samples", "150")
    started.clear()
    loco(*run, "--resume", "--threads", "4")
    assert 3 in started


def test_threads_that_cannot_be_used_are_named(tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text("a,y\n" + "1,x\n2,z\n" * 50)
    _, log = loco("run", f"csv:{table}?target=y", "--threads", "2")
    assert "--threads 2: one thread learned" in log
    assert "rows of more than 256 numbers" in log


def test_a_forecast_says_that_it_uses_one_thread(tmp_path):
    table = tmp_path / "series.csv"
    table.write_text("y\n" + "1\n2\n" * 60)
    _, log = loco("run", f"csv:{table}?target=y", "--forecast", "2", "--threads", "2")
    assert "--threads 2: one thread learned" in log


def test_rows_one_by_one_are_learned_by_one_thread(wide, started):
    _, log = loco("run", wide, "--task", "classification", "--threads", "2", "--delay", "5")
    assert "no --delay" in log


def test_other_numbers_of_threads_are_refused(wide):
    result = CliRunner().invoke(main, ["run", wide, "--threads", "3"])
    assert result.exit_code == 2
    assert "`--threads` must be 1, 2 or 4, got '3'" in result.stderr


def test_the_numbers_of_the_option_are_those_of_the_learner():
    assert tuple(map(int, _threads._NUMBERS)) == THREADS
    assert WIDTH_RULES[-2].most_features == _threads._WIDE
