"""`python -m benchmarks outlets` end to end with little data."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks.outlets import command


@pytest.mark.slow
def test_runs_with_and_without_a_sink_take_turns(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(command, ["--rows", "2000", "--pairs", "1", "--out", str(tmp_path)])
    if result.exception is not None:
        raise result.exception
    runs = json.loads((tmp_path / "outlets.json").read_text())["runs"]
    for way in ("row by row", "blocks of 64"):
        (turn,) = runs[way]["rounds"]
        assert all(len(spent["bare"]) == len(spent["watched"]) == 15 for spent in turn.values())
        assert turn["subscriber that never reads, all records"]["others"] > 0
    assert runs["drift record at a webhook"]["ms"]
    assert len(runs["HTTP prediction while 500 rows/s are learned"]["ms"]) == 2000
    assert "CPU time of the learner" in result.output
