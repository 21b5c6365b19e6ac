"""Each demo's stated outcome, without a page; the demo's own exit code says whether it held."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import webbrowser

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream.cli import main
from loco_stream.demos import DEMOS
from loco_stream.demos.gestures import GESTURES, record
from loco_stream.demos.machine import Caught, outcome
from loco_stream.demos.rotor import (
    AFTER_OVERHAUL,
    BEFORE,
    FAULTS,
    FEATURES,
    ORDERS,
    RARE,
    SHAFT,
    UNITS,
    Hall,
)
from loco_stream.demos.stage import browser_at_hand
from loco_stream.stream import Prediction


def play(*words, folder="."):
    command = [sys.executable, "-m", "loco_stream", "demo", *map(str, words), "--headless"]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=500, cwd=folder, check=False
    )


def hits(*spans):
    """Rows with the given shares of right answers, evenly spread."""
    return [bool(hit) for n, share in spans for hit in np.diff(np.floor(np.arange(n + 1) * share))]


def test_every_demo_has_help_that_says_what_to_look_at():
    for name in DEMOS:
        text = CliRunner().invoke(main, ["demo", name, "--help"]).output
        assert "Look at" in text
        assert "--headless" in text


@pytest.mark.parametrize(
    ("terminal", "variables", "browser", "expected"),
    [
        (True, {"DISPLAY": ":0"}, True, True),
        (True, {"BROWSER": "x"}, True, True),
        (True, {}, True, False),
        (True, {"DISPLAY": ":0"}, False, False),
        (True, {"DISPLAY": ":0", "CI": "true"}, True, False),
        (False, {"DISPLAY": ":0"}, True, False),
    ],
)
def test_the_page_is_offered_to_a_person_with_a_browser_alone(
    monkeypatch, terminal, variables, browser, expected
):
    def get():
        if not browser:
            raise webbrowser.Error
        return webbrowser.GenericBrowser("x")

    monkeypatch.setattr(webbrowser, "get", get)
    monkeypatch.setattr(sys, "platform", "linux")
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert browser_at_hand() is expected


def test_in_a_pipe_nothing_is_asked():
    command = [sys.executable, "-m", "loco_stream", "demo", "machine", "--ask"]
    done = subprocess.run(
        command, input="y\n", capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == done.stderr == ""


def at_a_terminal(words, answer, folder):
    """Run the command at a terminal with a browser that writes down what it is asked to open."""
    browser = folder / "browser"
    browser.write_text('#!/bin/sh\necho "$1" >> opened\n')
    browser.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "loco_stream", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env={**environment, "BROWSER": str(browser)},
    ) as process:
        os.close(theirs)
        os.write(ours, answer)
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:  # how Linux says that nobody holds the other end any more
            pass
    os.close(ours)
    assert process.returncode == 0, said
    opened = folder / "opened"
    return said.decode(), opened.read_text().split() if opened.exists() else []


def test_a_no_at_the_terminal_opens_nothing(tmp_path):
    said, opened = at_a_terminal(["demo", "machine", "--ask"], b"\n", tmp_path)
    assert "Watch it live in your browser?" in said
    assert opened == []


@pytest.mark.slow
def test_a_yes_at_the_terminal_opens_the_page_and_the_demo_ends_by_itself(tmp_path):
    words = ["demo", "machine", "--ask", "--seconds", "6", "--port", "0"]
    said, opened = at_a_terminal(words, b"y\n", tmp_path)
    assert len(opened) == 1
    assert f"live page: {opened[0]}" in said
    assert "6,000 rows" in said


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "feature"),
    [
        ("loose foot", "shaft 3x"),
        ("unbalance", "shaft 1x"),
        ("misalignment", "shaft 2x"),
        ("outer ring", "envelope 3.6x"),
        ("inner ring", "envelope 5.4x"),
    ],
)
def test_each_fault_sounds_where_the_physics_says(fault, feature):
    X, y = Hall().rows(0, 3000, BEFORE)
    column = X[:, FEATURES.index(feature)]
    ill, healthy = (column[[label == name for label in y]] for name in (fault, "healthy"))
    assert np.median(ill) > np.median(healthy) + 0.25


@pytest.mark.slow
def test_the_rare_fault_is_rare_and_the_others_as_frequent_as_each_other():
    _, y = Hall().rows(0, 20_000, BEFORE)
    shares = {fault: y.count(fault) / len(y) for fault in FAULTS}
    assert abs(shares.pop(RARE) - 0.005) < 0.002
    assert max(shares.values()) - min(shares.values()) < 0.02


def test_what_is_said_of_the_rare_fault(capsys):
    caught = Caught()
    for y, y_pred in [
        ("healthy", RARE),
        (RARE, "healthy"),
        (RARE, RARE),
        (RARE, "unbalance"),
        (RARE, RARE),
    ]:
        caught.write(Prediction(0, y_pred, y))
    caught.close(None)
    assert capsys.readouterr().out.splitlines() == [
        "row 2: the first loose foot is caught, after 1 that were not",
        "since then 2 of 3 were caught",
    ]


def test_after_the_overhaul_the_outer_ring_sounds_like_the_old_inner_ring():
    assert BEFORE.balls * (1 + BEFORE.ratio) / 2 == pytest.approx(
        AFTER_OVERHAUL.balls * (1 - AFTER_OVERHAUL.ratio) / 2, rel=0.01
    )
    X, y = Hall().rows(0, 600, AFTER_OVERHAUL)
    column = X[:, FEATURES.index("envelope 5.4x")]
    of = {name: np.median(column[[label == name for label in y]]) for name in set(FAULTS) & set(y)}
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
@pytest.mark.parametrize(
    ("demo", "options", "says"),
    [
        ("events", ("--recording", "rec"), "rec must end in .npz"),
        ("events", ("--recording", "away/rec.npz"), "--recording: cannot write away/rec.npz"),
        ("events", ("--plot", "away/events.png"), "--plot: cannot write away/events.png"),
        ("recurring", ("--plot", "recurring.txt"), "must end in one of .png"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_run(tmp_path, demo, options, says):
    done = play(demo, *options, folder=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_events_are_told_apart_by_memory_alone(tmp_path):
    done = play("events", "--seconds", 10, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "events.png").stat().st_size > 10_000
    assert (tmp_path / "events.npz").stat().st_size < 1_000_000


def test_gestures_are_a_function_of_seed_and_number_and_pass_through_the_same_places():
    events = record(40, seed=3)
    more = record(50, seed=3)
    assert all((more[name][: len(events[name])] == events[name]).all() for name in events)
    assert set(events["label"]) == set(GESTURES)
    left, right = (
        np.bincount(events["line"][events["label"] == name], minlength=64) > 0
        for name in ("left", "right")
    )
    assert np.mean(left == right) > 0.8


@pytest.mark.slow
def test_deep_learns_through_ten_layers():
    done = play("deep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("yes ") == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("river", "--seconds", 5), ("river", "ChickWeights", "--seconds", 10)]
)
def test_river_beats_the_simple_guesses(words):
    done = play(*words)
    assert done.returncode == 0, done.stdout + done.stderr


def test_over_ssh_the_offer_says_how_to_see_the_page(monkeypatch):
    from loco_stream.demos.river import command

    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 51234 10.0.0.7 22")
    said = CliRunner().invoke(command, ["--ask"])
    assert said.exit_code == 0
    assert "`loco-stream demo river` shows this live" in said.output
    assert re.search(r"ssh -N -L 8765:127\.0\.0\.1:8765 \S+@10\.0\.0\.7\n", said.output)
    monkeypatch.delenv("SSH_CONNECTION")
    assert CliRunner().invoke(command, ["--ask"]).output == ""
