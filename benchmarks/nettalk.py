"""`python -m benchmarks nettalk`.

Reading aloud: from seven letters to the phoneme and the stress of the middle one.
"""

from __future__ import annotations

from typing import Any

import click

from benchmarks import contenders, data
from benchmarks.grid import Grid, percent
from benchmarks.holdout import by_name, nettalk, spread, train_and_test
from benchmarks.options import Settings, common, share_option
from benchmarks.runs import Run

__all__ = ["command", "grids", "measure"]

_NAMES = (
    "default",
    "frozen",
    "majority",
    "softmax",
    "HAT",
    "MLP .05",
    "SLDA",
    "RFF256+RLS",
    "RFF1000+RLS",
)


def measure(
    target: str, contender: str, seed: int, whole: bool, share: float, directory: str | None
) -> dict[str, Any]:
    """Train one contender on four fifths of the words in one pass and test it on the others."""
    train, test = nettalk(directory, target, common=not whole, share=share)
    n_classes = 1 + int(max(train[1].max(), test[1].max()))
    shape = (train[0].shape[1], n_classes)
    return train_and_test(lambda: contenders.make(contender, *shape, seed), train, test)


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return test and prequential accuracy by letter, one table per corpus and target."""
    grouped = by_name(results)
    out = []
    for corpus, target in dict.fromkeys(key[:2] for key in grouped):
        rows = {key[2]: runs for key, runs in grouped.items() if key[:2] == (corpus, target)}
        n = next(iter(rows.values()))[0]["n_samples"]
        title = f"NETtalk, {corpus} words, {target} of a letter, one pass over {n:,} letters"
        grid = Grid(title, ["contender", "new words, %", "prequential, %", "samples/CPU s"])
        for contender, runs in rows.items():
            test, prequential = (
                percent(*spread(runs, key)) for key in ("test_accuracy", "prequential")
            )
            grid.row(contender, test, prequential, f"{spread(runs, 'samples_per_second')[0]:,.0f}")
        grid.mark_best(1, [spread(runs, "test_accuracy")[0] for runs in rows.values()])
        out.append(grid)
    return out


@click.command("nettalk")
@click.option("--only", metavar="A,B", help=f"Contenders: {', '.join(_NAMES)}.")
@click.option("--whole", is_flag=True, help="All 20,007 words instead of the 1000 most common.")
@share_option
@common(seeds=2)
def command(settings: Settings, only: str | None, whole: bool, share: float) -> None:
    """Predict phoneme and stress of the middle of seven letters, in new words; needs --data.

    \b
    Examples
      python -m benchmarks nettalk --data ~/data
      python -m benchmarks nettalk --data ~/data --whole --only default,softmax
    """
    data.require("NETtalk", settings.directory)
    runs = [
        Run(
            f"{'all' if whole else 'common'}/{target}/{contender}/{seed}",
            measure,
            {
                "target": target,
                "contender": contender,
                "seed": seed,
                "whole": whole,
                "share": share,
                "directory": settings.directory,
            },
            f"{contenders.code(contender)} {share}",
        )
        for target in ("phoneme", "stress")
        for contender in contenders.pick(only, _NAMES, "--only")
        for seed in range(settings.seeds if contenders.seeded(contender) else 1)
    ]
    settings.run("nettalk", runs, grids)
