"""A sender process for the kill tests; each row depends on its number only.

Usage: python live_source.py ADDRESS N_ROWS
"""

from __future__ import annotations

import sys
import time

import numpy as np

FEATURES = tuple(f"f{i}" for i in range(8))
CLASSES = ("a", "b", "c")
NAME = "source"
EPOCH = 11
ROWS_PER_SECOND = 2000


def table(n, seed=0):
    """Return rows and their labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = (rng.normal(size=(n, 8)) + y[:, None]).astype(np.float32)
    X[rng.random((n, 8)) < 0.01] = np.nan
    return X, [CLASSES[label] for label in y]


def main(address, n):
    from loco_stream.connectors import ZMQSender

    X, y = table(n)
    sizes = np.random.default_rng(None)  # block boundaries must not matter
    with ZMQSender(
        address,
        name=NAME,
        features=FEATURES,
        classes=CLASSES,
        reliable=True,
        epoch=EPOCH,
        linger=300.0,
        buffer=512,  # so that it does not run ahead of the engine
    ) as sender:
        at = sender.connect()
        while at < n:
            end = min(n, at + int(sizes.integers(1, 200)))
            sender.send(X[at:end], y[at:end])
            time.sleep((end - at) / ROWS_PER_SECOND)
            at = end


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
