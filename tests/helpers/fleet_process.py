"""A process that feeds a fleet all rows of all keys from the begin.

What was learned before is left out.

Arguments: folder, workers, keys, rows a key, rows a call, checkpoint_every, max_resident, seconds
between two calls.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from loco_stream import AdvancedOptions, Fleet, LOCOClassifier

SOURCE = "plant"


def template():
    return LOCOClassifier(hidden_sizes=(8,), seed=1, advanced=AdvancedOptions(receptive_fields=3))


def rows_of(key, n):
    chance = np.random.default_rng(key)
    X = chance.normal(size=(n, 3)).astype(np.float32)
    return X, np.where(X[:, 0] + X[:, 1] * (key % 3 - 1) > 0, "worn", "ok").tolist()


def feed(fleet, n_keys, n_rows, block, pause=0.0):
    table = {key: rows_of(key, n_rows) for key in range(n_keys)}
    for start in range(0, n_rows, block):
        for key, (X, y) in table.items():
            part = slice(start, start + block)
            fleet.learn(key, X[part], y[part], source=SOURCE, epoch=1, seq=start)
            time.sleep(pause)
    fleet.flush()


def start(processes, *arguments):
    """Start such a process; it says "open" when it begins to learn, and "done" at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.fleet_process", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    processes.append(process)
    return process


def workers_of(driver):
    """Return the ids of the processes of Ray that work for a driver, and descend from it."""
    parents = {}
    workers = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            if b"RayWorker" in (folder / "cmdline").read_bytes():
                workers.append(int(folder.name))
        except (OSError, ValueError):
            continue  # it has ended meanwhile
    return [worker for worker in workers if driver in _line(worker, parents)]


def _line(process, parents):
    line = []
    while process in parents:
        process = parents[process]
        line.append(process)
    return line


def main(folder, workers, n_keys, n_rows, block, every, resident, pause):
    with Fleet(
        template(),
        folder,
        int(workers),
        max_resident=int(resident),
        checkpoint_every=int(every),
        durability="interval:0.2s",
    ) as fleet:
        print("open", os.getpid(), flush=True)
        feed(fleet, int(n_keys), int(n_rows), int(block), float(pause))
        print("done", fleet.n_repeated, fleet.n_refused, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
