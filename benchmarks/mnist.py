"""`loco-stream bench mnist`: all of MNIST in one pass, ours beside the peers."""

from __future__ import annotations

from typing import Any

import click

from benchmarks import contenders
from benchmarks.grid import Grid, percent
from benchmarks.holdout import by_name, images, spread, train_and_test
from benchmarks.learner import Learner
from benchmarks.options import Settings, common
from benchmarks.runs import Run

__all__ = ["command", "grids", "measure"]

_DEEP: dict[str, Any] = {"readout_layers": "last"}
_OURS: dict[str, dict[str, Any]] = {
    "default": {},
    "frozen": {"rule": "frozen"},
    "256-256, delta readout": {"hidden_sizes": (256, 256), "readout": "delta", "credit": "learned"},
    "learned credit": {"credit": "learned"},
    "3 x 128, last layer read": {"hidden_sizes": (128,) * 3, **_DEEP},
    "10 x 128, last layer read": {"hidden_sizes": (128,) * 10, **_DEEP},
}
_PEERS = ("softmax", "MLP .05", "SLDA", "RFF256+RLS", "RFF1000+RLS")
_NAMES = (*_OURS, *_PEERS)


def _make(name: str, n_features: int, n_classes: int, seed: int) -> Learner:
    if name not in _OURS:
        return contenders.make(name, n_features, n_classes, seed)
    from loco_stream import LOCOClassifier

    model: Learner = LOCOClassifier(**_OURS[name], seed=seed)
    return model


def measure(contender: str, seed: int, n_samples: int, n_test: int, directory: str | None) -> dict[str, Any]:
    """Train one contender in one pass and test it."""
    _, train, test = images(directory, n_samples, n_test)
    shape = (train[0].shape[1], 1 + int(train[1].max()))
    return train_and_test(lambda: _make(contender, *shape, seed), train, test)


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return test and prequential accuracy and throughput of every contender."""
    grouped = by_name(results)
    out = []
    for name in sorted({key[0] for key in grouped}):
        rows = {key[1]: runs for key, runs in grouped.items() if key[0] == name}
        n = next(iter(rows.values()))[0]["n_samples"]
        grid = Grid(f"{name}, one pass over {n:,} samples", ["contender", "test, %", "prequential, %", "samples/CPU s"])
        for contender, runs in rows.items():
            test, prequential = (percent(*spread(runs, key)) for key in ("test_accuracy", "prequential"))
            grid.row(contender, test, prequential, f"{spread(runs, 'samples_per_second')[0]:,.0f}")
        grid.mark_best(1, [spread(runs, "test_accuracy")[0] for runs in rows.values()])
        out.append(grid)
    return out


@click.command("mnist")
@click.option("--only", metavar="A;B", help=f"Contenders, separated by semicolons: {'; '.join(_NAMES)}.")
@click.option("--samples", type=click.IntRange(min=20), default=60_000, show_default=True, help="Training rows.")
@click.option("--test", "n_test", type=click.IntRange(min=20), default=10_000, show_default=True, help="Test rows.")
@common(seeds=2)
def command(settings: Settings, only: str | None, samples: int, n_test: int) -> None:
    """One pass over MNIST (or sklearn's digits without --data), then the test set: accuracy and throughput.

    \b
    Examples
      loco-stream bench mnist --data ~/data
      loco-stream bench mnist --only "default;MLP .05" --seeds 1
    """
    name = images(settings.directory, samples, n_test)[0]
    runs = [
        Run(
            f"{name}/{contender}/{seed}",
            measure,
            {
                "contender": contender,
                "seed": seed,
                "n_samples": samples,
                "n_test": n_test,
                "directory": settings.directory,
            },
            f"{contenders.code(contender)} {_OURS.get(contender, '')} {samples} {n_test}",
        )
        for contender in contenders.pick(only, _NAMES, "--only", separator=";")
        for seed in range(settings.seeds if contenders.seeded(contender) else 1)
    ]
    settings.run("mnist", runs, grids)
