"""Each demo's stated outcome, without a page; the demo's own exit code says whether it held."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream.cli import main
from loco_stream.demos import DEMOS
from loco_stream.demos.machine import outcome
from loco_stream.demos.rotor import AFTER_OVERHAUL, BEFORE, FAULTS, FEATURES, ORDERS, SHAFT, UNITS, Hall


def play(*words, folder="."):
    command = [sys.executable, "-m", "loco_stream", "demo", *map(str, words), "--headless"]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=folder, check=False)


def hits(*spans):
    """Rows with the given shares of right answers, evenly spread."""
    return [bool(hit) for n, share in spans for hit in np.diff(np.floor(np.arange(n + 1) * share))]


def test_every_demo_has_help_that_says_what_to_look_at():
    for name in DEMOS:
        text = CliRunner().invoke(main, ["demo", name, "--help"]).output
        assert "Look at" in text
        assert "--headless" in text


def test_a_demo_that_fails_says_so():
    good = hits((2000, 0.96), (300, 0.5), (1700, 0.97), (2000, 0.95))
    assert [holds for holds, _ in outcome(good, [2100, 4010], 2000, 4000)] == [True, True, True]
    assert [holds for holds, _ in outcome(good, [1990, 2600], 2000, 4000)] == [False, True, True]
    forgot = hits((2000, 0.96), (2000, 0.5), (2000, 0.9))
    assert [holds for holds, _ in outcome(forgot, [2100], 2000, 4000)] == [True, False, False]


def test_the_hall_is_a_function_of_seed_and_row_and_bounded():
    X, y = Hall(seed=4).rows(40, 20, BEFORE)
    again, labels = Hall(seed=4).rows(40, 20, BEFORE)
    assert X.tobytes() == again.tobytes()
    assert y == labels
    assert X.shape == (20, len(FEATURES)) == (20, len(UNITS))
    assert np.isfinite(X).all()
    assert set(y) <= set(FAULTS)


@pytest.mark.parametrize(
    ("fault", "feature"),
    [("unbalance", "shaft 1x"), ("misalignment", "shaft 2x"), ("outer ring", "envelope 3.6x"),
     ("inner ring", "envelope 5.4x")],
)  # fmt: skip
def test_each_fault_sounds_where_the_physics_says(fault, feature):
    X, y = Hall().rows(0, 600, BEFORE)
    column = X[:, FEATURES.index(feature)]
    ill, healthy = (column[[label == name for label in y]] for name in (fault, "healthy"))
    assert np.median(ill) > np.median(healthy) + 0.25


def test_after_the_overhaul_the_outer_ring_sounds_like_the_old_inner_ring():
    assert BEFORE.balls * (1 + BEFORE.ratio) / 2 == pytest.approx(
        AFTER_OVERHAUL.balls * (1 - AFTER_OVERHAUL.ratio) / 2, rel=0.01
    )
    X, y = Hall().rows(0, 600, AFTER_OVERHAUL)
    column = X[:, FEATURES.index("envelope 5.4x")]
    of = {name: np.median(column[[label == name for label in y]]) for name in FAULTS}
    assert max(of, key=of.get) == "outer ring"
    assert min(ORDERS) * SHAFT > 8.0  # the shaft is told from zero at a resolution of 8 Hz


@pytest.mark.slow
def test_machine_notices_recovers_and_keeps():
    done = play("machine", "--seconds", 6)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("yes ") == 3
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_recurring_knows_what_returns(tmp_path):
    done = play("recurring", "--seconds", 20, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "recurring.png").stat().st_size > 10_000


@pytest.mark.slow
def test_deep_learns_through_ten_layers():
    done = play("deep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("yes ") == 2


@pytest.mark.slow
@pytest.mark.parametrize("words", [("river", "--seconds", 5), ("river", "ChickWeights", "--seconds", 10)])
def test_river_beats_the_simple_guesses(words):
    done = play(*words)
    assert done.returncode == 0, done.stdout + done.stderr
