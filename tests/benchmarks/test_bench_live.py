"""`python -m benchmarks live` end to end with little data.

It uses real sockets and processes, some of them hostile.
"""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks.dashboard import command as dashboard
from benchmarks.live import command


@pytest.mark.slow
def test_live_measures_latency_throughput_and_hostile_peers(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(
        command,
        ["--rows", "400", "--requests", "40", "--connections", "60", "--out", str(tmp_path)],
    )
    if result.exception is not None:
        raise result.exception
    runs = json.loads((tmp_path / "live.json").read_text())["runs"]
    assert [key for key in runs if key.startswith("latency")] == [
        "latency/reply",
        "latency/reliable",
    ]
    assert all(
        0 < runs["latency/reply"][load]["p50"] <= runs["latency/reply"][load]["p99"]
        for load in ("full", "half")
    )
    rates = [
        runs[f"throughput/{mode}/{block}"] for mode in ("pull", "reliable") for block in (1, 64)
    ]
    assert all(rate["live"] > 0 and rate["memory"] > 0 for rate in rates)
    strangers = runs["hostile/strangers/60"]
    assert strangers["counters"]["rows"] == 400
    assert strangers["counters"]["malformed"] == 0
    assert strangers["counters"]["refused"] > 0
    assert runs["hostile/flood/10"]["counters"]["rows"] == 400
    assert "an honest source beside hostile peers" in result.output


@pytest.mark.slow
def test_runs_with_and_without_the_page_take_turns(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(
        dashboard, ["--rows", "3200", "--pairs", "2", "--out", str(tmp_path)]
    )
    if result.exception is not None:
        raise result.exception
    runs = json.loads((tmp_path / "dashboard.json").read_text())["runs"]
    for way in ("row by row", "blocks of 64"):
        for turn in runs[way]["rounds"]:
            assert all(measured["rows_per_second"] > 0 for measured in turn.values())
            assert turn["page, one reader"]["frames"] >= 1
            assert turn["no page"]["frames"] == turn["page, no reader"]["frames"] == 0
    assert "cost in CPU time" in result.output
    assert "first paint" in result.output
