"""SIGKILL at random moments: the models equal those of an uninterrupted run.

LOCO_SOAK=1 runs the full count: 1,000 keys, 30 kills of workers and 5 of the driver.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import pytest

from loco_stream import Fleet
from loco_stream.engine._state import export_model, state_sha256
from tests.helpers import fault_table
from tests.helpers.engine_process import SOAK
from tests.helpers.fleet_process import rows_of, start, template, workers_of

N_KEYS, N_ROWS, KILLS, WORKER_KILLS, DRIVER_KILLS = (
    (1000, 200, 30, 30, 5) if SOAK else (100, 200, 4, 3, 1)
)
BLOCK = 20
EVERY = 1000
RESIDENT = 40
WORKERS = 2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200 if SOAK else 600)]
linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="processes are found in /proc"
)


def expected(key):
    model = template()
    model.learn_array(*rows_of(key, N_ROWS))
    return state_sha256(*export_model(model))


def wrong_keys(folder):
    with Fleet(None, folder) as fleet:
        return [key for key in range(N_KEYS) if fleet.state_sha256(key) != expected(key)]


def finished(process):
    """Wait for the end; return how many rows were sent again."""
    output, errors = process.communicate(timeout=3600 if SOAK else 300)
    assert process.returncode == 0, errors
    done, n_repeated, refused = output.split()[-3:]
    assert (done, refused) == ("done", "0")
    return int(n_repeated)


def check(folder, fault, n_faults, n_repeated):
    """Compare all models, and note what the test did."""
    wrong = wrong_keys(folder)
    fault_table.note(
        f"directory: {fault}", n_faults, N_KEYS * N_ROWS, n_repeated, N_KEYS, len(wrong)
    )
    assert wrong == []


def test_kills_of_an_embedded_fleet_change_no_model(tmp_path, processes):
    rng = random.Random(5)
    for _ in range(KILLS):
        process = start(processes, tmp_path, 0, N_KEYS, N_ROWS, BLOCK, EVERY, RESIDENT, 0.0)
        assert "open" in process.stdout.readline()
        time.sleep(rng.uniform(0.0, 2.5))
        process.kill()
        process.communicate()
    last = start(processes, tmp_path, 0, N_KEYS, N_ROWS, BLOCK, EVERY, RESIDENT, 0.0)
    check(tmp_path, "the process is killed", KILLS, finished(last))


@linux
def test_kills_of_workers_and_of_the_driver_change_no_model(tmp_path, processes):
    pytest.importorskip("ray")
    rng = random.Random(6)
    victims = ["worker"] * WORKER_KILLS + ["driver"] * DRIVER_KILLS
    rng.shuffle(victims)

    def begin():
        driver = start(processes, tmp_path, WORKERS, N_KEYS, N_ROWS, BLOCK, EVERY, RESIDENT, 0.01)
        assert "open" in driver.stdout.readline()
        return driver

    driver = begin()
    killed = 0
    while victims:
        time.sleep(rng.uniform(0.2, 3.0))
        if driver.poll() is not None:  # all rows are learned: feed them again
            driver.communicate()
            driver = begin()
        elif victims[-1] == "driver":
            victims.pop()
            driver.kill()
            driver.communicate()
            driver = begin()
            killed += 1
        elif workers := workers_of(driver.pid):
            victims.pop()
            os.kill(rng.choice(workers), signal.SIGKILL)
            killed += 1
    assert killed == WORKER_KILLS + DRIVER_KILLS
    fault = f"{WORKER_KILLS} workers on Ray and {DRIVER_KILLS} drivers are killed"
    check(tmp_path, fault, killed, finished(driver))
