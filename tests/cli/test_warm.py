"""`loco-stream warm` compiles part by part, and says which and how long."""

from __future__ import annotations

import re
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from loco_stream._cli import _warm_up
from loco_stream._cli._signals import Interrupt
from loco_stream._cli.main import main


def test_warm_names_each_part(monkeypatch):
    used = []
    parts = [_warm_up.Part(name, lambda name=name: used.append(name)) for name in ("one", "two")]
    monkeypatch.setattr(_warm_up, "PARTS", parts)
    result = CliRunner().invoke(main, ["warm"])
    assert result.exit_code == 0, result.output
    assert used == ["one", "two"]
    assert re.findall(r"^(\w+): (.*)$", result.output, re.M) == [
        ("one", "already compiled"),
        ("two", "already compiled"),
    ]


def test_what_is_compiled_is_reported_with_its_seconds(monkeypatch):
    seconds = iter([0.0, 2.5])
    monkeypatch.setattr("loco_stream._compiler.timing.compile_seconds", lambda: next(seconds))
    ((part, took),) = _warm_up.used([_warm_up.Part("a step", lambda: None)])
    assert part.name == "a step"
    assert took > 0.0


def test_warm_compiles_all_that_a_command_does():
    needed = {*_warm_up.STEPS.values(), _warm_up.OF_DRIFTS, _warm_up.OF_ALARMS}
    assert needed <= set(_warm_up.PARTS)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["the learning step of a regression", "the monitor of drift"]),
        (["--forecast", "2"], ["the learning step of a forecast", "the monitor of drift"]),
        (
            ["--task", "classification", "--watch"],
            ["the learning step", "the monitor of drift", "the detector of anomalies"],
        ),
    ],
)
def test_a_run_compiles_what_its_labels_need(options, names, tmp_path, monkeypatch):
    """A first regression compiled the step of classes before its own: 42 s in place of 18 s."""
    used = []
    monkeypatch.setattr("loco_stream._cli._engine_run.warm_up", used.extend)
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n1,0.5\n2,1.5\n3,0.5\n")
    result = CliRunner().invoke(main, ["run", f"csv:{path}?target=y", *options, "--quiet"])
    assert result.exit_code == 0, result.output
    assert [part.name for part in used] == names


@pytest.mark.parametrize(("first", "name"), [("0.5", " of a regression"), ("a", "")])
def test_a_service_compiles_what_its_first_labels_need(first, name, tmp_path, monkeypatch):
    """A service of values compiled the step of classes, and then its own."""
    used = []

    def end(parts):
        used.extend(parts)
        raise Interrupt

    monkeypatch.setattr("loco_stream._cli.serve.warm_up", used.extend)
    monkeypatch.setattr("loco_stream._cli._engine_run.warm_up", end)
    path = tmp_path / "rows.csv"
    path.write_text(f"a,y\n1,{first}\n2,1.5\n")
    command = ["serve", "--source", f"csv:{path}?target=y", "--checkpoint", str(tmp_path / "state")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    steps = {part.name for part in used if part != _warm_up.OF_DRIFTS}
    assert steps == {f"the learning step{name}"}


def test_what_is_compiled_while_rows_are_learned_is_logged(tmp_path, monkeypatch):
    """Code for `memory` took a minute, in which a run without a terminal logged nothing."""

    @contextmanager
    def compiles(callback):
        callback()
        yield

    path = tmp_path / "rows.csv"
    path.write_text("a,y\n1,0\n2,1\n")
    monkeypatch.setattr("loco_stream._compiler.timing.notify_when_compiling", compiles)
    monkeypatch.setattr("loco_stream._cli._engine_run.warm_up", lambda parts: None)
    result = CliRunner().invoke(main, ["run", f"csv:{path}?target=y"])
    assert "compiling what the options need, once on this machine" in result.stderr


def test_what_is_loaded_is_exempt_from_collections_once(monkeypatch):
    calls = []
    monkeypatch.setattr(_warm_up.gc, "freeze", lambda: calls.append("freeze"))
    watch = _warm_up.freeze_loaded()
    for _ in range(3):
        watch(None)
    assert calls == ["freeze"]
