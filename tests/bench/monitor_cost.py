"""What watching costs: CPU time of test-then-train, row by row, with and without a TaskMonitor and its hold-outs.

Run: python tests/bench/monitor_cost.py
Prints medians over five pairs measured in turn (machines are shared), on the A-B-A-B Agrawal stream, 9 features.
"""

import statistics
import time

import numpy as np

from loco_stream import LOCOClassifier, TaskMonitor
from loco_stream.bench import scenarios


def stream():
    """Return rows, labels and names."""
    tasks = scenarios.build("A-B-A-B labels")
    X = np.concatenate([task.X for task in tasks]).astype(np.float32)
    return X, np.concatenate([task.y for task in tasks]).tolist(), tuple(f"f{i}" for i in range(X.shape[1]))


def run(X, y, features, monitor):
    """Return CPU microseconds a sample."""
    model = LOCOClassifier(seed=0)
    model.learn_array(X[:50], y[:50], features)
    start = time.process_time()
    for i, label in enumerate(y):
        x = X[i : i + 1]
        y_pred = model.predict_array(x, features)[0]
        if monitor is None:
            model.learn_array(x, [label], features)
            continue
        monitor.update(label, int(y_pred), x, i, features)
        if not monitor.hold_out(x, label, i, features):
            model.learn_array(x, [label], features)
        monitor.rescore(model)
    return 1e6 * (time.process_time() - start) / len(y)


def main():
    """Measure and print."""
    X, y, features = stream()
    run(X[:300], y[:300], features, TaskMonitor())  # compiles
    rows = [
        [run(X, y, features, make()) for make in (lambda: None, lambda: TaskMonitor(holdout=0), TaskMonitor)]
        for _ in range(5)
    ]
    plain, watched, held = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"us a sample: plain {plain:.1f}, holdout=0 {watched:.1f}, default {held:.1f}")
    for name, cost in (("holdout=0", watched), ("default", held)):
        print(f"{name}: {100 * (1 - plain / cost):.1f} % of throughput")


if __name__ == "__main__":
    main()
