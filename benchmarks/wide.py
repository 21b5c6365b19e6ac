"""`python -m benchmarks wide`.

MNIST in one pass: shuffled, class by class, and with permuted pixels.
"""

from __future__ import annotations

from typing import Any

import click

from benchmarks import contenders, continual, data
from benchmarks.grid import Grid, percent
from benchmarks.holdout import by_name, images, spread, train_and_test
from benchmarks.machine import fingerprint
from benchmarks.options import Settings, common, print_missing, share_option

__all__ = ["command", "grids", "measure"]

_NAMES = (
    "default",
    "frozen",
    "one leak",
    "learned credit",
    "256 neurons",
    "256 neurons frozen",
    contenders.RELEASE,
    "MLP .05",
    "SLDA",
    "RFF1000+RLS",
)
_IID = {"15,000": 15_000, "60,000": 60_000}
_TASKS = {"split": "split MNIST", "permuted": "permuted MNIST"}
_PARTS = (*_IID, *_TASKS)


def measure(
    part: str, contender: str, seed: int, directory: str | None, share: float
) -> dict[str, Any]:
    """Run one contender through one part, which is a pass and a test or a sequence of tasks."""
    if part in _TASKS:
        return continual.measure(_TASKS[part], contender, seed, directory, share)
    _, train, test = images(directory, int(_IID[part] * share), int(10_000 * share))
    shape = (train[0].shape[1], 1 + int(train[1].max()))
    return train_and_test(lambda: contenders.make(contender, *shape, seed), train, test)


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return one table with one row per contender."""
    grouped = by_name(results)
    parts = [part for part in _PARTS if any(key[0] == part for key in grouped)]
    names = list(dict.fromkeys(key[1] for key in grouped))
    columns = [column for part in parts for column in _columns(part)]
    grid = Grid(
        "MNIST, one pass, %, and samples per CPU second",
        ["contender", *(title for title, *_ in columns)],
    )
    for name in names:
        grid.row(name, *(_cell(grouped.get((part, name)), key) for _, part, key in columns))
    for place, (_, part, key) in enumerate(columns, start=1):
        grid.mark_best(
            place,
            [spread(grouped[part, n], key)[0] if (part, n) in grouped else None for n in names],
        )
    return [grid]


def _columns(part: str) -> list[tuple[str, str, str]]:
    """Return the title, part and figure of each column of a part."""
    if part in _TASKS:
        return [
            (f"{part}: final", part, "average_accuracy"),
            (f"{part}: BWT", part, "backward_transfer"),
        ]
    figures = {
        "test": "test_accuracy",
        "prequential": "prequential",
        "samples/s": "samples_per_second",
    }
    return [(f"{part}: {title}", part, key) for title, key in figures.items()]


def _cell(runs: list[dict[str, Any]] | None, key: str) -> str:
    if runs is None:
        return "-"
    mean, deviation = spread(runs, key)
    return f"{mean:,.0f}" if key == "samples_per_second" else percent(mean, deviation)


@click.command("wide")
@click.option("--only", metavar="A,B", help=f"Contenders: {', '.join(_NAMES)}.")
@click.option(
    "--parts", metavar="A;B", help=f"What to measure, separated by semicolons: {'; '.join(_PARTS)}."
)
@share_option
@common(seeds=3)
def command(settings: Settings, only: str | None, parts: str | None, share: float) -> None:
    """Measure accuracy on MNIST in one pass; needs --data.

    The parts are 15,000 and 60,000 rows, five tasks of two classes, and ten tasks of permuted
    pixels.

    \b
    Examples
      python -m benchmarks wide --data ~/data --only default,frozen --parts "15,000;split"
      python -m benchmarks wide --data ~/data --share 0.1 --seeds 1
    """
    data.require("MNIST", settings.directory)
    chosen, absent = contenders.present(contenders.pick(only, _NAMES, "--only"))
    print_missing(absent)
    runs = [
        contenders.run(
            f"{part}/{contender}/{seed}",
            measure,
            {
                "part": part,
                "contender": contender,
                "seed": seed,
                "directory": settings.directory,
                "share": share,
            },
            f"{fingerprint('benchmarks/scenarios.py')} {share}",
        )
        for contender in chosen
        for part in contenders.pick(parts, _PARTS, "--parts", separator=";")
        for seed in range(settings.seeds if contenders.seeded(contender) else 1)
    ]
    settings.run("wide", runs, grids)
