"""MOA's strongest learners through CapyMOA, for `python -m benchmarks streams --peers PYTHON`.

This script runs in another environment with Java (`pip install capymoa`), which does not need
loco_stream:

    python benchmarks/peers/streams_peers.py LEARNER STREAM.npz SEED

The file holds `X` (rows, features) and `y` (rows,) codes. Each row is predicted, then learned, with
the learner's own defaults. It prints JSON: accuracy, and CPU seconds of the process with all
threads of its Java machine.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

LEARNERS = {
    "SAMkNN": "SAMkNN",
    "ARF100": "AdaptiveRandomForestClassifier",
    "SRP100": "StreamingRandomPatches",
    "SGBT": "StreamingGradientBoostedTrees",
}


def main(name: str, path: str, seed: int) -> dict[str, Any]:
    """Predict and learn every row in order."""
    from capymoa import classifier
    from capymoa.stream import NumpyStream

    with np.load(path) as file:
        stream = NumpyStream(file["X"], file["y"], target_type="categorical")
    learner = getattr(classifier, LEARNERS[name])(schema=stream.get_schema(), random_seed=seed)
    right = n = 0
    start = time.process_time()
    while stream.has_more_instances():
        instance = stream.next_instance()
        right += learner.predict(instance) == instance.y_index
        learner.train(instance)
        n += 1
    seconds = time.process_time() - start
    return {
        "accuracy": right / n,
        "n_samples": n,
        "cpu_seconds": seconds,
        "samples_per_second": n / seconds,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
