"""Freeze what Avalanche and CapyMOA compute from accuracy matrices.

Both are far too heavy for the tests.

Made with (Python 3.11, a Java runtime for CapyMOA):
    python -m venv /tmp/oracle && /tmp/oracle/bin/pip install avalanche-lib==0.6.0 capymoa==0.15.1
    /tmp/oracle/bin/python tests/data/make_continual_oracles.py > tests/data/continual_oracles.json
"""

import json
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
import torch
from avalanche.evaluation.metrics import Forgetting, ForwardTransfer
from capymoa.ocl.evaluation._evaluator import _OCLEvaluator

ROWS = 200  # test samples a task, so that accuracies are multiples of 1 / 200


def avalanche(R: np.ndarray, baseline: np.ndarray) -> dict[str, float]:
    """Feed the two standalone metrics in the order in which training would."""
    forgetting = Forgetting()
    transfer = ForwardTransfer()
    for task, accuracy in enumerate(baseline):
        transfer.update(task, float(accuracy), initial=True)
    for i in range(len(R)):
        forgetting.update(i, float(R[i, i]), initial=True)
        for j in range(i):
            forgetting.update(j, float(R[i, j]))
        if i + 1 < len(R):
            transfer.update(i + 1, float(R[i, i + 1]))
    return {
        "avalanche_forgetting": float(np.mean(list(forgetting.result().values()))),
        "avalanche_forward_transfer": float(np.mean(list(transfer.result().values()))),
    }


def capymoa(hits: np.ndarray) -> dict[str, float]:
    """Fill the evaluator's confusion counts and let it build its metrics."""
    n_tasks = len(hits)
    evaluator = _OCLEvaluator(n_tasks, 1, 2)
    for i in range(n_tasks):
        for j in range(n_tasks):
            evaluator.cm[i, 0, j, 0, 0] = int(hits[i, j])
            evaluator.cm[i, 0, j, 0, 1] = ROWS - int(hits[i, j])
    built = evaluator.build(SimpleNamespace(windowed=None), torch.zeros(n_tasks + 1))
    names = (
        "backward_transfer",
        "forward_transfer",
        "accuracy_final",
        "accuracy_all_avg",
        "accuracy_seen_avg",
    )
    return {f"capymoa_{name}": float(getattr(built, name)) for name in names}


def main() -> None:
    """Print the table as JSON."""
    cases = []
    for n_tasks in (2, 3, 5, 10):
        rng = np.random.default_rng(n_tasks)
        hits = rng.integers(0, ROWS + 1, size=(n_tasks, n_tasks))
        baseline = rng.integers(0, ROWS // 4, size=n_tasks) / ROWS
        R = hits / ROWS
        values = {**avalanche(R, baseline), **capymoa(hits)}
        cases.append({"R": R.tolist(), "baseline": baseline.tolist(), "values": values})
    made_with = {name: version(name) for name in ("avalanche-lib", "capymoa", "torch", "numpy")}
    print(json.dumps({"made_with": made_with, "matrices": cases}))


if __name__ == "__main__":
    main()
