"""The claims of each demo, in a headless run whose exit code shows whether they hold."""

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

from loco_stream._cli import main
from loco_stream.demos import DEMOS
from loco_stream.demos._demo import has_browser
from loco_stream.demos._gestures import GESTURES, record
from loco_stream.demos._rotor import (
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
from loco_stream.demos.machine import RareFaults, outcome
from loco_stream.stream import Prediction


def play(*words, folder="."):
    command = [sys.executable, "-m", "loco_stream", "demo", *map(str, words), "--headless"]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=500, cwd=folder, check=False
    )


def hits(*spans):
    """Return hits with the given accuracies, evenly spread."""
    return [bool(hit) for n, share in spans for hit in np.diff(np.floor(np.arange(n + 1) * share))]


def test_the_help_of_every_demo_says_what_to_look_at():
    for name in DEMOS:
        text = CliRunner().invoke(main, ["demo", name, "--help"]).output
        assert "Look at" in text
        assert "--headless" in text
        assert f"loco-stream demo {name}" in text


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
def test_the_page_is_offered_only_at_a_terminal_with_a_browser(
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
    assert has_browser() is expected


def test_without_a_browser_nothing_is_asked_and_the_page_is_named():
    command = [sys.executable, "-m", "loco_stream", "demo", "machine", "--ask"]
    done = subprocess.run(
        command, input="y\n", capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    assert done.stdout.endswith(
        "demo machine` shows a demo live. Its page is http://127.0.0.1:8765/.\n"
    )
    assert "live page:" not in done.stdout  # nothing was started


def at_a_terminal(words, answer, folder):
    """Run the command at a terminal with a browser that records what it opens."""
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
        output = b""
        try:
            while part := os.read(ours, 4096):
                output += part
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0, output
    opened = folder / "opened"
    return output.decode(), opened.read_text().split() if opened.exists() else []


def test_a_no_at_the_terminal_opens_nothing(tmp_path):
    output, opened = at_a_terminal(["demo", "machine", "--ask"], b"\n", tmp_path)
    assert "Watch it live in your browser?" in output
    assert opened == []


@pytest.mark.slow
def test_a_yes_at_the_terminal_opens_the_page(tmp_path):
    words = ["demo", "machine", "--ask", "--seconds", "6", "--port", "0"]
    output, opened = at_a_terminal(words, b"y\n", tmp_path)
    assert len(opened) == 1
    assert f"live page: {opened[0]}" in output
    assert "6,000 rows" in output


def test_the_claims_of_the_machine_demo_can_fail():
    good = hits((2000, 0.96), (300, 0.5), (1700, 0.97), (2000, 0.95))
    assert [holds for holds, _ in outcome(good, [2100, 4010], 2000, 4000)] == [True, True, True]
    assert [holds for holds, _ in outcome(good, [1990, 2600], 2000, 4000)] == [False, True, True]
    forgot = hits((2000, 0.96), (2000, 0.5), (2000, 0.9))
    assert [holds for holds, _ in outcome(forgot, [2100], 2000, 4000)] == [True, False, False]


def test_rows_of_the_hall_depend_on_seed_and_number_alone():
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
def test_each_fault_raises_its_feature(fault, feature):
    X, y = Hall().rows(0, 3000, BEFORE)
    column = X[:, FEATURES.index(feature)]
    ill, healthy = (column[[label == name for label in y]] for name in (fault, "healthy"))
    assert np.median(ill) > np.median(healthy) + 0.25


@pytest.mark.slow
def test_the_rare_fault_is_rare_and_the_others_are_balanced():
    _, y = Hall().rows(0, 20_000, BEFORE)
    shares = {fault: y.count(fault) / len(y) for fault in FAULTS}
    assert abs(shares.pop(RARE) - 0.005) < 0.002
    assert max(shares.values()) - min(shares.values()) < 0.02


def test_the_rare_fault_is_counted(capsys):
    faults = RareFaults()
    for y, y_pred in [
        ("healthy", RARE),
        (RARE, "healthy"),
        (RARE, RARE),
        (RARE, "unbalance"),
        (RARE, RARE),
    ]:
        faults.write(Prediction(0, y_pred, y))
    faults.close({})
    assert capsys.readouterr().out.splitlines() == [
        "row 2: the first loose foot is found, after 1 missed ones",
        "since then 2 of 3 were found",
    ]


def test_after_the_overhaul_the_outer_ring_has_the_frequency_of_the_old_inner_ring():
    assert BEFORE.balls * (1 + BEFORE.ratio) / 2 == pytest.approx(
        AFTER_OVERHAUL.balls * (1 - AFTER_OVERHAUL.ratio) / 2, rel=0.01
    )
    X, y = Hall().rows(0, 600, AFTER_OVERHAUL)
    column = X[:, FEATURES.index("envelope 5.4x")]
    of = {name: np.median(column[[label == name for label in y]]) for name in set(FAULTS) & set(y)}
    assert max(of, key=of.get) == "outer ring"
    assert min(ORDERS) * SHAFT > 8.0  # the resolution is 8 Hz


@pytest.mark.slow
def test_machine_detects_recovers_and_retains():
    done = play("machine", "--seconds", 6)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("yes ") == 3
    assert re.search(r" \d+ us per row,", done.stdout)
    assert "rows/s" not in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_recurring_retains_the_first_concepts(tmp_path):
    done = play("recurring", "--seconds", 20, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "recurring.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("demo", "options", "error"),
    [
        ("events", ("--recording", "rec"), "rec must end in .npz"),
        ("events", ("--recording", "away/rec.npz"), "--recording: cannot write away/rec.npz"),
        ("events", ("--plot", "away/events.png"), "--plot: cannot write away/events.png"),
        ("recurring", ("--plot", "recurring.txt"), "must end in one of .png"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_before_the_run(tmp_path, demo, options, error):
    done = play(demo, *options, folder=tmp_path)
    assert done.returncode == 2
    assert error in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_only_memory_distinguishes_the_gestures(tmp_path):
    done = play("events", "--seconds", 10, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "events.png").stat().st_size > 10_000
    assert (tmp_path / "events.npz").stat().st_size < 1_000_000


def test_gestures_depend_on_seed_and_number_and_pass_through_the_same_pixels():
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
def test_river_beats_the_baselines(words):
    done = play(*words)
    assert done.returncode == 0, done.stdout + done.stderr


def test_over_ssh_the_offer_names_a_tunnel(monkeypatch):
    from loco_stream.demos.river import command

    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 51234 10.0.0.7 22")
    result = CliRunner().invoke(command, ["--ask"])
    assert result.exit_code == 0
    assert "demo river` shows a demo live" in result.output
    assert re.search(r"ssh -N -L 8765:127\.0\.0\.1:8765 \S+@10\.0\.0\.7\n", result.output)
    monkeypatch.delenv("SSH_CONNECTION")
    assert "ssh" not in CliRunner().invoke(command, ["--ask"]).output
