"""`python -m benchmarks rare`.

Detection and ranking of a class that makes up 1 % or 0.1 % of the rows.
"""

from __future__ import annotations

from typing import Any

import click
import numpy as np

from benchmarks import contenders, imbalanced
from benchmarks.grid import Grid, with_deviation
from benchmarks.holdout import by_name, spread
from benchmarks.machine import fingerprint
from benchmarks.options import Settings, common, print_missing
from benchmarks.probabilities import bins, calibration_error, log_loss, prequential

__all__ = ["command", "grids", "measure"]

_NAMES = (
    "default",
    "balanced",
    "frozen",
    "fast part alone",
    contenders.OVER_SAMPLED,
    contenders.RELEASE,
    "LogReg",
    "LogReg over-sampled",
    "LogReg under-sampled",
    "GaussianNB",
    "HAT",
    "ARF10",
)
_FALSE_ALARMS = 0.01
# figure -> title, digits, whether larger is better
_FIGURES = {
    "auc": ("area under the ROC curve", 3, True),
    "average_precision": ("average precision", 3, True),
    "recall": ("recall at 1 % false alarms", 3, True),
    "balanced_accuracy": ("mean recall of both classes, predicting the likelier one", 3, True),
    "log_loss": ("log-loss, nats", 4, False),
    "calibration_error": ("expected calibration error of the rare class", 4, False),
}


def measure(stream: str, contender: str, seed: int, n_samples: int) -> dict[str, Any]:
    """Predict the probabilities of each sample before learning it, and score the last half."""
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    X, y = imbalanced.load(stream, n_samples, seed)
    model = contenders.by_dicts(contenders.make(contender, X.shape[1], 2, seed))
    half = n_samples // 2
    proba = np.clip(prequential(model, X, y, 2)[half:], 0.0, 1.0)
    y = y[half:]
    if not 0 < y.sum() < len(y):
        return dict.fromkeys(_FIGURES)
    rare = proba[:, 1]
    false, found, _ = roc_curve(y, rare)
    return {
        "auc": float(roc_auc_score(y, rare)),
        "average_precision": float(average_precision_score(y, rare)),
        "recall": float(found[false <= _FALSE_ALARMS].max()),
        "balanced_accuracy": float(
            ((rare[y == 1] > 0.5).mean() + (rare[y == 0] <= 0.5).mean()) / 2.0
        ),
        "log_loss": log_loss(proba[np.arange(len(y)), y]),
        "calibration_error": calibration_error(bins(rare, y == 1)),
    }


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return one table per figure: contenders by streams."""
    grouped = by_name({key: run for key, run in results.items() if run["auc"] is not None})
    streams, names = ([*dict.fromkeys(key[place] for key in grouped)] for place in (0, 1))
    out = []
    for key, (title, digits, largest) in _FIGURES.items():
        grid = Grid(
            f"{title}, last half (± standard deviation over seeds)", ["contender", *streams]
        )
        cells = {at: spread(runs, key) for at, runs in grouped.items()}
        for name in names:
            found = [cells.get((stream, name), (None, None)) for stream in streams]
            grid.row(name, *(with_deviation(mean, deviation, digits) for mean, deviation in found))
        for column, stream in enumerate(streams, start=1):
            grid.mark_best(
                column, [cells.get((stream, name), (None,))[0] for name in names], largest
            )
        out.append(grid)
    return out


@click.command("rare")
@click.option("--only", metavar="A,B", help=f"Contenders: {', '.join(_NAMES)}.")
@click.option("--streams", "names", metavar="A,B", help=f"Streams: {', '.join(imbalanced.RARE)}.")
@click.option(
    "--samples",
    type=click.IntRange(min=200),
    default=20_000,
    show_default=True,
    help="Rows per stream.",
)
@common(seeds=5)
def command(settings: Settings, only: str | None, names: str | None, samples: int) -> None:
    """Measure how well a rare class is ranked and found.

    The measures (ROC, precision, recall, log-loss, calibration) are over the last half of each
    stream. A seed draws the data as well as the model.

    \b
    Examples
      python -m benchmarks rare --streams "1 % shift 2" --seeds 1
      python -m benchmarks rare --only default,frozen,LogReg
    """
    chosen, absent = contenders.present(contenders.pick(only, _NAMES, "--only"))
    print_missing(absent)
    runs = [
        contenders.run(
            f"{stream}/{contender}/{seed}",
            measure,
            {"stream": stream, "contender": contender, "seed": seed, "n_samples": samples},
            f"{fingerprint('benchmarks/imbalanced.py', 'benchmarks/probabilities.py')} {samples}",
        )
        for contender in chosen
        for stream in contenders.pick(names, tuple(imbalanced.RARE), "--streams")
        for seed in range(settings.seeds)
    ]
    settings.run("rare", runs, grids)
