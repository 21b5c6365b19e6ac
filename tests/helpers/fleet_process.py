"""A process that feeds a fleet all rows of all keys from the begin; what was learned before is left out.

Arguments: folder, workers, keys, rows a key, rows a call, checkpoint_every, max_resident, interval of syncs (s).
"""

from __future__ import annotations

import os
import sys

import numpy as np

from loco_stream import Fleet, LOCOClassifier

SOURCE = "plant"


def template():
    return LOCOClassifier(hidden_sizes=(8,), receptive_fields=3, seed=1)


def rows_of(key, n):
    chance = np.random.default_rng(key)
    X = chance.normal(size=(n, 3)).astype(np.float32)
    return X, np.where(X[:, 0] + X[:, 1] * (key % 3 - 1) > 0, "worn", "ok").tolist()


def feed(fleet, n_keys, n_rows, block):
    table = {key: rows_of(key, n_rows) for key in range(n_keys)}
    for start in range(0, n_rows, block):
        for key, (X, y) in table.items():
            part = slice(start, start + block)
            fleet.learn(key, X[part], y[part], source=SOURCE, epoch=1, seq=start)
    fleet.flush()


def main(folder, workers, n_keys, n_rows, block, every, resident, interval):
    with Fleet(
        template(), folder, int(workers), max_resident=int(resident), checkpoint_every=int(every),
        durability=f"interval:{interval}s",
    ) as fleet:  # fmt: skip
        print("open", os.getpid(), flush=True)
        feed(fleet, int(n_keys), int(n_rows), int(block))
        print("done", fleet.n_repeated, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
