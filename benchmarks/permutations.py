"""`python -m benchmarks permutations`.

Input-permuted MNIST, a new permutation of the pixels every 5,000 rows, and label-permuted MNIST, a
new permutation of the labels every 2,500 rows.

The protocol follows Elsayed & Mahmood (2024), who introduced the optimizer UPGD: each row is
predicted before it is learned, task boundaries are not marked, and accuracy is measured over the
whole stream. They permuted the labels of EMNIST, which has 47 classes.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import contenders, data
from benchmarks.continual_net import ContinualMLP
from benchmarks.grid import Grid, percent
from benchmarks.holdout import by_name, spread
from benchmarks.learner import Learner, correct, warm
from benchmarks.machine import cpu_seconds, fingerprint
from benchmarks.mlp import first_weights
from benchmarks.options import Settings, common, print_missing
from benchmarks.picture import lines
from benchmarks.upgd import UPGDClassifier, UPGDOptions

__all__ = ["command", "grids", "measure"]

# The authors' choice for permuted pixels, and that for permuted labels (of EMNIST).
_UPGD = {
    "UPGD for inputs": UPGDOptions(0.01, decay=0.01, kept=0.9999, noise=0.1),
    "UPGD for labels": UPGDOptions(0.01, decay=0.0, kept=0.9, noise=0.001),
}
# Step, and mature units replaced per row and unit: continual backpropagation (Dohare et al. 2024).
# They were chosen on forty other permutations, as were the steps of plain backpropagation: .01 for
# inputs, .03 for labels.
_CONTINUAL = {"continual for inputs": (0.01, 1e-4), "continual for labels": (0.03, 1e-4)}
_N_HIDDEN = 64  # as the contenders "MLP"
_RIVALS = (*_UPGD, *_CONTINUAL)
_RIVAL_CODE = [
    f"benchmarks/{name}.py" for name in ("upgd", "continual_net", "regression_net", "mlp")
]
_NAMES = (
    "default",
    "frozen",
    "one leak",
    "learned credit",
    "256 neurons",
    contenders.RELEASE,
    "MLP .05",
    "MLP .03",
    "MLP .01",
    *_RIVALS,
    "RFF256+RLS",
)
# Release 0.1 learns 500 rows per second.
_DEFAULT = tuple(name for name in _NAMES if name != contenders.RELEASE)

_ROWS = {"inputs": 5000, "labels": 2500}  # per permutation, as published


def _make(contender: str, n_features: int, seed: int) -> Learner:
    if contender in _UPGD:
        w1, w2 = first_weights(n_features, _N_HIDDEN, 10, seed)
        return UPGDClassifier(w1, w2, _UPGD[contender], seed)
    if contender in _CONTINUAL:
        rate, replaced = _CONTINUAL[contender]
        w1, w2 = first_weights(n_features, _N_HIDDEN, 10, seed)
        return ContinualMLP(w1, w2, rate, replaced, seed)
    return contenders.make(contender, n_features, 10, seed)


def measure(
    kind: str, contender: str, seed: int, count: int, rows: int, directory: str | None
) -> dict[str, Any]:
    """Predict and learn `count` permutations of `rows` images each; return the accuracies.

    `kind` is what is permuted, "inputs" or "labels".
    """
    (X, y), _ = data.load_mnist(directory)
    draw = np.random.RandomState(0)  # data, not the model
    warm(_make(contender, X.shape[1], seed), X, y)
    model = _make(contender, X.shape[1], seed)
    accuracies = []
    seconds = 0.0
    for _ in range(count):
        chosen = draw.choice(len(y), min(rows, len(y)), replace=False)
        if kind == "inputs":
            images = X[chosen][:, draw.permutation(X.shape[1])]
            labels = y[chosen]
        else:
            images = X[chosen]
            labels = draw.permutation(10)[y[chosen]]
        spent, predictions = cpu_seconds(partial(model.learn_predict_array, images, labels))
        accuracies.append(correct(predictions, labels)[0] / len(labels))
        seconds += spent
    return {
        "accuracy": float(np.mean(accuracies)),
        "last_tenth": float(np.mean(accuracies[-max(1, count // 10) :])),
        "accuracies": accuracies,
        "samples_per_second": count * rows / seconds,
    }


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the accuracy over the whole stream and its last tenth, and the throughput."""
    grouped = by_name(results)
    kinds = dict.fromkeys(kind for kind, _ in grouped)
    return [
        _grid(kind, {name: runs for (k, name), runs in grouped.items() if k == kind})
        for kind in kinds
    ]


def _grid(kind: str, grouped: dict[str, list[dict[str, Any]]]) -> Grid:
    numbers = sorted({len(run["accuracies"]) for runs in grouped.values() for run in runs})
    times = " or ".join(map(str, numbers))
    title = f"MNIST with {times} permutations of the {kind}, % predicted before learning"
    grid = Grid(title, ["contender", "whole stream", "last tenth", "samples/CPU s"])
    for contender, runs in grouped.items():
        cells = [percent(*spread(runs, key)) for key in ("accuracy", "last_tenth")]
        grid.row(contender, *cells, f"{spread(runs, 'samples_per_second')[0]:,.0f}")
    for column, key in enumerate(("accuracy", "last_tenth"), start=1):
        grid.mark_best(column, [spread(runs, key)[0] for runs in grouped.values()])
    return grid


def _picture(results: dict[str, dict[str, Any]], path: Path) -> None:
    series = {
        f"{name}, {kind}": runs[0]["accuracies"] for (kind, name), runs in by_name(results).items()
    }
    points = {
        name: [(i + 1, 100 * a) for i, a in enumerate(values)] for name, values in series.items()
    }
    lines(points, "permutation", "accuracy, %", path)


@click.command("permutations")
@click.option(
    "--only",
    metavar="A,B",
    help=f"Contenders: {', '.join(_NAMES)} (all but the slow {contenders.RELEASE}).",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Permutations; published: 200.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=20),
    help="Rows per permutation; default: 5000 for inputs, 2500 for labels.",
)
@click.option("--permute", metavar="A,B", help="What is permuted: inputs, labels (both).")
@common(seeds=1)
def command(
    settings: Settings, only: str | None, count: int, rows: int | None, permute: str | None
) -> None:
    """Measure accuracy on permuted MNIST, each row predicted and then learned.

    Published for 200 permutations of the inputs (%): AdamW 71.9, UPGD 77.9 (Elsayed & Mahmood
    2024); of the labels for EMNIST alone. Needs --data.

    \b
    Examples
      python -m benchmarks permutations --data ~/data --only default,frozen
      python -m benchmarks permutations --data ~/data --count 200
    """
    data.require("MNIST", settings.directory)
    chosen, absent = contenders.present(
        contenders.pick(only, _NAMES, "--only") if only else _DEFAULT
    )
    print_missing(absent)
    rivals = fingerprint(*_RIVAL_CODE)
    runs = [
        contenders.run(
            f"{kind}/{contender}/{seed}",
            measure,
            {
                "kind": kind,
                "contender": contender,
                "seed": seed,
                "count": count,
                "rows": rows or _ROWS[kind],
                "directory": settings.directory,
            },
            f"{count} {rows or _ROWS[kind]} {rivals if contender in _RIVALS else ''}".strip(),
        )
        for kind in contenders.pick(permute, tuple(_ROWS), "--permute")
        for contender in chosen
        for seed in range(settings.seeds if contenders.seeded(contender) else 1)
    ]
    settings.run("permutations", runs, grids, _picture)
