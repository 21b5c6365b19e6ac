"""`loco-stream warm` compiles part by part, and says which and how long."""

from __future__ import annotations

import re

from click.testing import CliRunner

from loco_stream._cli import _warm_up
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
    needed = {*_warm_up.COMMON, _warm_up.OF_ALARMS, _warm_up.OF_FORECASTS, _warm_up.OF_TARGETS}
    assert needed <= set(_warm_up.PARTS)


def test_what_is_loaded_is_exempt_from_collections_once(monkeypatch):
    calls = []
    monkeypatch.setattr(_warm_up.gc, "freeze", lambda: calls.append("freeze"))
    watch = _warm_up.freeze_loaded()
    for _ in range(3):
        watch(None)
    assert calls == ["freeze"]
