"""A process that feeds a fleet all rows of all keys from the beginning.

The fleet skips rows that it has learned before. Arguments: directory, workers, keys, rows per key,
rows per call, checkpoint_every, max_resident, seconds between two calls.
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
    random = np.random.default_rng(key)
    X = random.normal(size=(n, 3)).astype(np.float32)
    return X, np.where(X[:, 0] + X[:, 1] * (key % 3 - 1) > 0, "worn", "ok").tolist()


def feed(fleet, n_keys, n_rows, block, pause=0.0):
    table = {key: rows_of(key, n_rows) for key in range(n_keys)}
    for begin in range(0, n_rows, block):
        for key, (X, y) in table.items():
            part = slice(begin, begin + block)
            fleet.learn(key, X[part], y[part], source=SOURCE, epoch=1, seq=begin)
            time.sleep(pause)
    fleet.flush()


def discard_models(fleet):
    """Close the groups of a fleet in this process without storing models, as a kill would."""
    shard = fleet._backend._shard
    for number in list(shard._groups):
        shard._drop(number)


def abandon(fleet):
    """Leave a fleet in this process as a killed process would."""
    discard_models(fleet)
    fleet._home.close()


def worker_ids(fleet):
    """Return the process ids of the workers of a fleet on Ray."""
    import ray

    workers = fleet._backend._workers
    for worker in workers:
        worker.query("counts", [])  # waits for workers that are started again
    return ray.get([worker.actor.__ray_call__.remote(lambda _: os.getpid()) for worker in workers])


def start(processes, *arguments):
    """Start the process; it prints "open" when it begins to learn, and "done" at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.fleet_process", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    processes.append(process)
    return process


def workers_of(driver, name=b"RayWorker"):
    """Return the ids of the Ray worker processes that descend from a driver."""
    parents = {}
    workers = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
            if name in (folder / "cmdline").read_bytes():
                workers.append(int(folder.name))
        except (OSError, ValueError):
            continue  # the process has ended
    return [worker for worker in workers if driver in _ancestors(worker, parents)]


def _ancestors(process, parents):
    ancestors = []
    while process in parents:
        process = parents[process]
        ancestors.append(process)
    return ancestors


def main(folder, workers, n_keys, n_rows, block, every, resident, pause):
    with Fleet(
        template(),
        folder,
        int(workers),
        max_resident=int(resident),
        checkpoint_every=int(every),
        durability="interval:0.2s",
        lease=4.0,
    ) as fleet:
        print("open", os.getpid(), flush=True)
        feed(fleet, int(n_keys), int(n_rows), int(block), float(pause))
        print("done", fleet.n_repeated, fleet.n_refused, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
