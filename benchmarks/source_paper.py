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
from loco_stream.errors import SourceError

__all__ = ["command", "grids", "measure"]

_FEATURES = "fashion features"
_SETS = ("MNIST", "NETtalk phoneme", "NETtalk stress", _FEATURES)
_NEEDS = {"MNIST": "mnist.npz", "NETtalk": "nettalk.npz", _FEATURES: "fashion_features.npz"}
_MNIST_ROWS = 15_000
_CODE = ("benchmarks/source_paper.py", "benchmarks/holdout.py", "benchmarks/data.py")


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
    streams = list(dict.fromkeys(key[0] for key in grouped))
    rules = list(dict.fromkeys(key[1] for key in grouped))
    heads = [f"{s}, {grouped[s, rules[0]][0]['n_samples']:,} rows" for s in streams]
    grid = Grid("test accuracy after one pass, %", ["rule", *heads])
    for rule in rules:
        runs = [grouped[stream, rule] for stream in streams]
        grid.row(rule, *(percent(*spread(r, "test_accuracy")) for r in runs))
    for column, stream in enumerate(streams, start=1):
        means = [spread(grouped[stream, rule], "test_accuracy")[0] for rule in rules]
        grid.mark_best(column, means)
    return [grid]


def _present(names: list[str], directory: str | None) -> list[str]:
    """Return the sets with data on this machine, and print notes on the others."""
    here = []
    for name in names:
        source = name.split(" ")[0] if name.startswith("NETtalk") else name
        try:
            data.find(source, _NEEDS[source], directory)
        except SourceError as error:
            print_missing([str(error)])
        else:
            here.append(name)
    return here


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
        for stream in _present(contenders.pick(sets, _SETS, "--sets"), settings.directory)
        for rule in contenders.pick(only, tuple(RULES), "--only", separator=";")
        for seed in range(settings.seeds)
    ]
    settings.run("paper", runs, grids)
