"""CapyMOA's own evaluation, for `python -m benchmarks capymoa --peers PYTHON`.

This script runs in another environment, with Java and with this package beside CapyMOA
(`pip install 'capymoa[torch-cpu]' .`):

    python benchmarks/peers/capymoa_peers.py LEARNER,LEARNER STREAM SEED

STREAM is `AGRAWAL` or a file of arrays: `X` (rows, features) and `y` (rows,), codes or values. A
file with `X_test` and `y_test` besides holds tasks of two classes each. Learners have their own
defaults. It prints JSON: for each learner what CapyMOA measured, and CPU seconds of the process
with all threads of its Java machine.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from typing import Any

import numpy as np

AGRAWAL = "MOA's Agrawal"
ROWS = 20_000
OURS = {"default": {}, "frozen": {"rule": "frozen"}}
PRESETS = ("fast", "accurate")
CLASSIFIERS = {
    "NaiveBayes": "NaiveBayes",
    "HoeffdingTree": "HoeffdingTree",
    "KNN": "KNN",
    "SAMkNN": "SAMkNN",
    "ARF100": "AdaptiveRandomForestClassifier",
    "SRP100": "StreamingRandomPatches",
}
REGRESSORS = {
    "FIMTDD": "FIMTDD",
    "KNNRegressor": "KNNRegressor",
    "ARF100": "AdaptiveRandomForestRegressor",
    "SOKNL": "SOKNL",
}


def ours(name: str, schema: Any, seed: int) -> Any:
    """Return a model of this package as a learner of CapyMOA."""
    from loco_stream import LOCOClassifier, LOCORegressor
    from loco_stream.adapters.capymoa import CapyMOAClassifier, CapyMOARegressor

    numeric = schema.is_regression()
    model = LOCORegressor if numeric else LOCOClassifier
    learner = CapyMOARegressor if numeric else CapyMOAClassifier
    chosen = model.preset(name) if name in PRESETS else model(**OURS[name])
    return learner(schema, chosen, random_seed=seed)


def make(name: str, schema: Any, seed: int) -> Any:
    """Return a learner for rows in order."""
    from capymoa import classifier, regressor

    if name in OURS or name in PRESETS:
        return ours(name, schema, seed)
    if schema.is_regression():
        return getattr(regressor, REGRESSORS[name])(schema=schema, random_seed=seed)
    kind = getattr(classifier, CLASSIFIERS[name])
    if name in {"NaiveBayes", "KNN", "HoeffdingTree"}:  # not random
        return kind(schema=schema)
    return kind(schema=schema, random_seed=seed)


def make_continual(name: str, schema: Any, seed: int) -> Any:
    """Return a learner for tasks one after the other."""
    from capymoa.classifier import Finetune
    from capymoa.core.torch.ann import Perceptron
    from capymoa.ocl import strategy
    from torch.optim import Adam

    if name in {"SLDA", "NCM"}:
        return getattr(strategy, name)(schema)
    if name == "Finetune" or name.startswith("ER "):
        net = Finetune(schema, Perceptron, partial(Adam, lr=0.01), random_seed=seed)
        if name == "Finetune":
            return net
        size, _, repeat = name.removeprefix("ER ").partition(" x")
        return strategy.ExperienceReplay(net, int(size), int(repeat or 1))
    return make(name, schema, seed)


def open_stream(arrays: dict[str, Any] | None) -> Any:
    """Return a stream of CapyMOA; None: that of Agrawal."""
    from capymoa.stream import NumpyStream

    if arrays is None:
        from capymoa.stream.drift import AbruptDrift, DriftStream
        from capymoa.stream.generator import AgrawalGenerator

        before, after = (
            AgrawalGenerator(i, classification_function=k) for i, k in ((1, 1), (2, 5))
        )
        return DriftStream(stream=[before, AbruptDrift(ROWS // 2), after])
    kind = "categorical" if arrays["y"].dtype.kind in "iu" else "numeric"
    return NumpyStream(arrays["X"], arrays["y"], target_type=kind)


def prequential(name: str, arrays: dict[str, Any] | None, seed: int) -> dict[str, Any]:
    """Predict and learn every row in order in CapyMOA's evaluation."""
    from capymoa.evaluation import prequential_evaluation

    stream = open_stream(arrays)
    schema = stream.get_schema()
    prequential_evaluation(stream, make(name, schema, seed), max_instances=20)  # compiles
    start = time.process_time()
    results = prequential_evaluation(stream, make(name, schema, seed), max_instances=ROWS)
    seconds = time.process_time() - start
    cumulative = results.cumulative
    n = cumulative.get_instances_seen()
    scores = ("rmse", "mae", "r2") if schema.is_regression() else ("accuracy", "kappa")
    return {
        **{score: float(getattr(cumulative, score)()) for score in scores},
        "n_samples": n,
        "cpu_seconds": seconds,
        "samples_per_second": n / seconds,
    }


def ocl(name: str, arrays: dict[str, Any], seed: int) -> dict[str, Any]:
    """Learn five tasks of two classes, and test all of them after each."""
    import torch
    from capymoa.ocl.evaluation import ocl_train_eval_loop
    from capymoa.stream import Schema

    torch.set_num_threads(1)  # as all others
    train = (arrays["X"], arrays["y"])
    test = (arrays["X_test"], arrays["y_test"])
    names = [str(i) for i in range(train[0].shape[1])]
    labels = {"label": [str(i) for i in range(10)]}
    schema = Schema.from_custom([*names, "label"], "label", labels)
    loaders = [_loaders(*rows) for rows in (train, test)]
    few = [_loaders(*(part[:: len(part) // 200] for part in rows)) for rows in (train, test)]
    ocl_train_eval_loop(make_continual(name, schema, seed), *few)  # compiles
    start = time.process_time()
    metrics = ocl_train_eval_loop(make_continual(name, schema, seed), *loaders)
    return {
        "accuracy": metrics.ttt.cumulative.accuracy(),
        "final": 100 * float(metrics.accuracy_final),
        "backward": float(metrics.backward_transfer),
        "cpu_seconds": time.process_time() - start,
    }


def _loaders(X: Any, y: Any) -> list[Any]:
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    X, y = torch.from_numpy(X.astype(np.float32)), torch.from_numpy(y)
    tasks = (y // 2 == task for task in range(5))
    return [DataLoader(TensorDataset(X[rows], y[rows]), batch_size=32) for rows in tasks]


def main(learners: str, stream: str, seed: int) -> None:
    """Print the results of all learners."""
    arrays = None
    if stream != AGRAWAL:
        with np.load(stream) as file:
            arrays = dict(file)
    evaluate = ocl if arrays and "X_test" in arrays else prequential
    print(json.dumps({name: evaluate(name, arrays, seed) for name in learners.split(",")}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
