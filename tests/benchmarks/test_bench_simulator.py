from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks.simulator import command


@pytest.mark.slow
def test_the_bench_runs_with_little_data(tmp_path):
    done = CliRunner().invoke(command, ["--repeats", "1", "--calls", "100", "--out", str(tmp_path)])
    assert done.exception is None, done.output
    runs = json.loads((tmp_path / "simulator.json").read_text())["runs"]
    assert runs["W1"]["synaptic_events"] == pytest.approx(540_000, rel=0.05)
    assert runs["density/0.0"]["us_per_sample"] < runs["density/0.4"]["us_per_sample"]
    assert runs["run_many/W1"]["cores"] >= 1
    assert runs["operations"]["accuracy"] > 0.8
    assert runs["operations"]["effective_acs"] < runs["operations"]["dense"]
    assert 8.0 < runs["brette4/1.0"]["rate"] < 12.0
    # 400,000 spikes; four million go through the queue
    assert runs["size/40000"]["mib"]["queue and spikes"] < 32.0
