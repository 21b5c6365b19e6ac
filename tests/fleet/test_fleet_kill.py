"""SIGKILL at any moment: every key's model stays the one of an uninterrupted run.

LOCO_SOAK=1 runs the full count.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loco_stream import Fleet
from loco_stream.engine.state import export_model, state_sha256
from tests.helpers import fleet_process
from tests.helpers.engine_process import SOAK
from tests.helpers.fleet_process import rows_of, template

N_KEYS, N_ROWS, KILLS = (1000, 200, 30) if SOAK else (100, 200, 4)
BLOCK = 20


def feeder(processes, folder, n_keys, workers=0, every=1000, resident=40):
    arguments = [folder, workers, n_keys, N_ROWS, BLOCK, every, resident, 0.2]
    process = subprocess.Popen(
        [sys.executable, "-m", fleet_process.__name__, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    processes.append(process)
    return process


def expected(key):
    model = template()
    model.learn_array(*rows_of(key, N_ROWS))
    return state_sha256(*export_model(model))


@pytest.mark.slow
@pytest.mark.timeout(7200 if SOAK else 600)
def test_kills_of_an_embedded_fleet_change_no_model(tmp_path, processes):
    chance = random.Random(5)
    for _ in range(KILLS):
        process = feeder(processes, tmp_path, N_KEYS)
        assert "open" in process.stdout.readline()
        time.sleep(chance.uniform(0.0, 2.5))
        process.kill()
        process.communicate()
    last = feeder(processes, tmp_path, N_KEYS)
    said, _ = last.communicate(timeout=3600 if SOAK else 300)
    assert "done" in said
    with Fleet(None, tmp_path) as fleet:
        wrong = [key for key in range(N_KEYS) if fleet.state_sha256(key) != expected(key)]
    assert wrong == []
