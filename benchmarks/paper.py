"""`python -m benchmarks paper`: the data sets of the paper that LOCO is from, by learning rule.

Ma & Yu (2026, arXiv 2602.22259) train spiking networks on MNIST, NETtalk and Imagenette in batches
over many epochs. Here each set is learned in one pass, row by row, by a model with its defaults and
one rule or another. Imagenette's images are in no package; Fashion-MNIST through the features of a
network that was trained on ImageNet takes its place.
"""

from __future__ import annotations

from typing import Any

import click

from benchmarks import contenders, data, embeddings
from benchmarks.depth import RULES
from benchmarks.grid import Grid, percent
from benchmarks.holdout import by_name, images, nettalk, spread, train_and_test
from benchmarks.machine import fingerprint
from benchmarks.options import Settings, common, print_missing, share_option
from benchmarks.runs import Run

__all__ = ["command", "grids", "measure"]

_FEATURES = "fashion features"
# set -> the data it needs
_SETS = {
    "MNIST": "MNIST",
    "NETtalk phoneme": "NETtalk",
    "NETtalk stress": "NETtalk",
    _FEATURES: _FEATURES,
}
_MNIST_ROWS = 15_000
_CODE = (
    "benchmarks/paper.py",
    "benchmarks/holdout.py",
    "benchmarks/data.py",
    "benchmarks/embeddings.py",
)


def _load(name: str, seed: int, share: float, directory: str | None) -> tuple[data.Arrays, ...]:
    """Return training and test rows."""
    if name == "MNIST":
        return images(directory, int(_MNIST_ROWS * share), int(10_000 * share))[1:]
    if name == _FEATURES:
        return embeddings.load(name, seed, directory, share)
    return nettalk(directory, name.removeprefix("NETtalk "), common=True, share=share)


def measure(
    stream: str, rule: str, seed: int, share: float, directory: str | None
) -> dict[str, Any]:
    """Learn one set in one pass by one rule, and test."""
    from loco_stream import LOCOClassifier

    train, test = _load(stream, seed, share, directory)
    options = contenders.parameters(RULES[rule])
    return train_and_test(lambda: LOCOClassifier(seed=seed, **options), train, test)


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return one table, with a column per set."""
    grouped = by_name(results)
    sizes = {stream: runs[0]["n_samples"] for (stream, _), runs in grouped.items()}
    heads = [f"{stream}, {size:,} rows" for stream, size in sizes.items()]
    grid = Grid("test accuracy after one pass, %", ["rule", *heads])
    found = {
        rule: [
            spread(grouped[stream, rule], "test_accuracy") if (stream, rule) in grouped else (None,)
            for stream in sizes
        ]
        for _, rule in grouped
    }
    for rule, cells in found.items():
        grid.row(rule, *(percent(*cell) for cell in cells))
    for column, compared in enumerate(zip(*found.values(), strict=True), start=1):
        grid.mark_best(column, [cell[0] for cell in compared])
    return [grid]


@click.command("paper")
@click.option("--only", metavar="A;B", help=f"Rules, separated by semicolons: {'; '.join(RULES)}.")
@click.option("--sets", metavar="A,B", help=f"Sets: {', '.join(_SETS)}.")
@share_option
@common(seeds=3)
def command(settings: Settings, only: str | None, sets: str | None, share: float) -> None:
    """Measure LOCO on the data sets of its paper: learned, frozen, perturbed, without projection.

    "paper's credit" is the paper's rule, averaged over rows; "np" is plain node perturbation. Needs
    --data with mnist.npz, nettalk.npz, and what benchmarks/peers/embed.py writes there; sets
    without data are left out. `depth` has the paper's main claim, networks of more than ten layers.

    \b
    Examples
      python -m benchmarks paper --data ~/data --share 0.1 --seeds 1
      python -m benchmarks paper --data ~/data --only "default;frozen"
    """
    chosen = contenders.pick(sets, tuple(_SETS), "--sets")
    here, notes = data.available(dict.fromkeys(_SETS[name] for name in chosen), settings.directory)
    print_missing(notes)
    runs = [
        Run(
            f"{stream}/{rule}/{seed}",
            measure,
            {
                "stream": stream,
                "rule": rule,
                "seed": seed,
                "share": share,
                "directory": settings.directory,
            },
            f"{contenders.code('default')} {fingerprint(*_CODE)} {share} {RULES[rule]}",
        )
        for stream in chosen
        if _SETS[stream] in here
        for rule in contenders.pick(only, tuple(RULES), "--only", separator=";")
        for seed in range(settings.seeds)
    ]
    settings.run("paper", runs, grids)
