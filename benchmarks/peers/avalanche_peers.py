"""Avalanche's own train and eval loops, for `python -m benchmarks avalanche --peers PYTHON`.

This script runs in another environment, with this package beside Avalanche
(`pip install avalanche-lib .`):

    python benchmarks/peers/avalanche_peers.py LEARNER,LEARNER TASKS.npz SEED

TASKS.npz holds `X`, `y`, `X_test` and `y_test`; a task is two classes. It prints JSON: for each
learner the accuracy that Avalanche measured, and CPU seconds.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import class_incremental_benchmark
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.evaluation.metrics import accuracy_metrics, forgetting_metrics
from avalanche.models import SimpleMLP
from avalanche.training import supervised
from avalanche.training.plugins import EvaluationPlugin
from torch.utils.data import TensorDataset

CLASSES = 10
BATCH = 32
OURS = {"default": {}, "frozen": {"rule": "frozen"}}
PRESETS = ("fast", "accurate")
EWC_LAMBDA = 100.0
TRAINED = "Top1_Acc_Epoch/train_phase/train_stream"
TESTED = "Top1_Acc_Stream/eval_phase/test_stream"
FORGOTTEN = "StreamForgetting/eval_phase/test_stream"


def ours(name: str, seed: int, options: dict[str, Any]) -> Any:
    """Return a model of this package as a strategy of Avalanche."""
    from loco_stream import LOCOClassifier
    from loco_stream.adapters.avalanche import AvalancheStrategy

    model = LOCOClassifier.preset(name) if name in PRESETS else LOCOClassifier(**OURS[name])
    return AvalancheStrategy(num_classes=CLASSES, model=model.clone({"seed": seed}), **options)


def make(name: str, n_features: int, seed: int) -> Any:
    """Return a strategy."""
    metrics = (accuracy_metrics(epoch=True, stream=True), forgetting_metrics(stream=True))
    options: dict[str, Any] = {
        "train_mb_size": BATCH,
        "eval_mb_size": 500,
        "evaluator": EvaluationPlugin(*metrics, loggers=[]),
    }
    if name in OURS or name in PRESETS:
        return ours(name, seed, options)
    loss = torch.nn.CrossEntropyLoss()
    if name == "StreamingLDA":
        pixels = torch.nn.Flatten()  # as our models
        size = {"input_size": n_features, "num_classes": CLASSES}
        return supervised.StreamingLDA(slda_model=pixels, criterion=loss, **size, **options)
    net = SimpleMLP(CLASSES, input_size=n_features, hidden_size=256, drop_rate=0.0)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    options |= {"model": net, "optimizer": optimizer, "criterion": loss}
    if name == "Naive":
        return supervised.Naive(**options)
    if name == "EWC":
        return supervised.EWC(ewc_lambda=EWC_LAMBDA, **options)
    size, _, epochs = name.removeprefix("Replay ").partition(" x")
    return supervised.Replay(mem_size=int(size), train_epochs=int(epochs or 1), **options)


def benchmark_of(arrays: dict[str, Any]) -> Any:
    """Return five experiences of two classes each, 0 and 1 first."""
    streams = {}
    for name, end in (("train", ""), ("test", "_test")):
        X = torch.from_numpy(arrays[f"X{end}"].astype(np.float32))
        rows = TensorDataset(X, torch.from_numpy(arrays[f"y{end}"]))
        rows.targets = arrays[f"y{end}"].tolist()
        streams[name] = as_classification_dataset(rows)
    return class_incremental_benchmark(streams, num_experiences=5, class_order=range(CLASSES))


def evaluate(name: str, benchmark: Any, n_features: int, seed: int) -> dict[str, Any]:
    """Learn all experiences and test them all after each."""
    torch.manual_seed(seed)
    strategy = make(name, n_features, seed)
    start = time.process_time()
    hits = 0.0
    rows = 0
    for experience in benchmark.train_stream:
        told = strategy.train(experience)
        hits += told[TRAINED] * len(experience.dataset)
        rows += len(experience.dataset)
        told = strategy.eval(benchmark.test_stream)
    one_pass = strategy.train_epochs == 1  # else the last epoch has seen its rows before
    return {
        "accuracy": 100 * hits / rows if one_pass else None,
        "final": 100 * told[TESTED],
        "forgetting": told[FORGOTTEN],
        "cpu_seconds": time.process_time() - start,
    }


def main(learners: str, path: str, seed: int) -> None:
    """Print the results of all learners."""
    torch.set_num_threads(1)
    with np.load(path) as file:
        arrays = dict(file)
    benchmark = benchmark_of(arrays)
    few = benchmark_of({name: rows[:: len(rows) // 200] for name, rows in arrays.items()})
    results = {}
    for name in learners.split(","):
        evaluate(name, few, arrays["X"].shape[1], seed)  # compiles
        results[name] = evaluate(name, benchmark, arrays["X"].shape[1], seed)
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
