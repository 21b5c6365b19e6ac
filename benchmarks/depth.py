"""`python -m benchmarks depth`: the effect of each part of the rule by number of hidden layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from benchmarks import contenders
from benchmarks.grid import Grid, percent
from benchmarks.holdout import by_name, images, spread, train_and_test
from benchmarks.options import Settings, common
from benchmarks.picture import lines
from benchmarks.runs import Run

__all__ = ["RULES", "command", "grids", "measure"]

# Constructor parameters of each rule. The readout sees the last layer alone, since it could bypass
# the others. The last three have the best rates of a coarse grid for three layers, chosen on a seed
# and rows that are not reported.
RULES: dict[str, dict[str, Any]] = {
    "default": {},
    "frozen": {"rule": "frozen"},
    "learned credit": {"advanced": {"credit": "learned"}},
    "paper's credit": {"advanced": {"credit": "perturbation"}},
    "no projection": {"rule": "np", "learning_rate": 10.0},
    "paper's credit, no projection": {"advanced": {"credit": "perturbation", "orthogonality": 0.0}},
    "np": {"rule": "np", "learning_rate": 0.1, "advanced": {"credit": "perturbation"}},
}


def measure(
    rule: str,
    layers: int,
    seed: int,
    n_samples: int,
    n_test: int,
    readout: str,
    directory: str | None,
) -> dict[str, Any]:
    """Train `layers` hidden layers of 128 in one pass and test."""
    from loco_stream import LOCOClassifier

    _, train, test = images(directory, n_samples, n_test)
    options = RULES[rule]
    advanced = {"readout": readout, "readout_layers": "last", **options.get("advanced", {})}
    parameters = contenders.parameters({**options, "advanced": advanced})
    return train_and_test(
        lambda: LOCOClassifier((128,) * layers, seed=seed, **parameters), train, test
    )


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return test accuracy and spikes per layer on the last row, by depth and rule."""
    grouped = by_name(results)
    depths = sorted({int(key[2]) for key in grouped})
    out = []
    for name in sorted({key[0] for key in grouped}):
        grid = Grid(
            f"{name}, test accuracy, %, readout on the last of n hidden layers",
            ["rule", *map(str, depths)],
        )
        for rule in dict.fromkeys(key[1] for key in grouped):
            cells = [grouped.get((name, rule, str(depth))) for depth in depths]
            grid.row(
                rule, *(percent(*spread(runs, "test_accuracy")) if runs else "-" for runs in cells)
            )
        out.append(grid)
        spikes = Grid(f"{name}, spikes per layer on the last row", ["rule", *map(str, depths)])
        for rule in dict.fromkeys(key[1] for key in grouped):
            cells = [grouped.get((name, rule, str(depth))) for depth in depths]
            spikes.row(
                rule,
                *(f"{spread(runs, 'spikes_per_layer')[0]:.0f}" if runs else "-" for runs in cells),
            )
        out.append(spikes)
    return out


def _picture(results: dict[str, dict[str, Any]], path: Path) -> None:
    series: dict[str, list[tuple[float, float]]] = {}
    for (_, rule, depth), runs in by_name(results).items():
        series.setdefault(rule, []).append((int(depth), 100 * spread(runs, "test_accuracy")[0]))
    lines(
        {rule: sorted(points) for rule, points in series.items()},
        "hidden layers",
        "test accuracy, %",
        path,
    )


@click.command("depth")
@click.option("--only", metavar="A;B", help=f"Rules, separated by semicolons: {'; '.join(RULES)}.")
@click.option(
    "--layers", default="1,3,5,10,15", show_default=True, help="Numbers of hidden layers of 128."
)
@click.option(
    "--samples",
    type=click.IntRange(min=20),
    default=20_000,
    show_default=True,
    help="Training rows.",
)
@click.option(
    "--test",
    "n_test",
    type=click.IntRange(min=20),
    default=10_000,
    show_default=True,
    help="Test rows.",
)
@click.option(
    "--readout",
    type=click.Choice(("recursive", "delta")),
    default="recursive",
    show_default=True,
    help="Of all rules.",
)
@common(seeds=2)
def command(
    settings: Settings, only: str | None, layers: str, samples: int, n_test: int, readout: str
) -> None:
    """Measure the test accuracy of 1 to 15 hidden layers after one pass.

    The data is MNIST, or sklearn's digits without --data. The readout sees the last layer alone.

    \b
    Examples
      python -m benchmarks depth --layers 1,3 --seeds 1
      python -m benchmarks depth --data ~/data --only "frozen;learned credit"
    """
    name = images(settings.directory, samples, n_test)[0]
    rules = contenders.pick(only, tuple(RULES), "--only", separator=";")
    runs = [
        Run(
            f"{name}/{rule}/{depth}/{seed}",
            measure,
            {
                "rule": rule,
                "layers": depth,
                "seed": seed,
                "n_samples": samples,
                "n_test": n_test,
                "readout": readout,
                "directory": settings.directory,
            },
            f"{contenders.code('default')} {samples} {n_test} {readout} {RULES[rule]}",
        )
        for rule in rules
        for depth in contenders.whole_numbers(layers, "--layers")
        for seed in range(settings.seeds)
    ]
    settings.run("depth", runs, grids, _picture)
