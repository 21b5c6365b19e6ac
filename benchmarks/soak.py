"""`python -m benchmarks soak`.

A million samples of a drifting stream: changes of cost, memory and accuracy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks import contenders, data
from benchmarks.grid import Grid, percent
from benchmarks.learner import prequential_accuracy, warm
from benchmarks.machine import cpu_seconds
from benchmarks.options import Settings, common
from benchmarks.picture import lines
from benchmarks.runs import Run

__all__ = ["command", "grids", "measure"]

_BLOCK = 1000
_TENTHS = 10


def _blocks(stream: str, n_blocks: int) -> Iterator[data.Arrays]:
    """Yield blocks of the endless form of a stream."""
    rows = data.endless(stream)
    for _ in range(n_blocks):
        block = list(islice(rows, _BLOCK))
        keys = sorted(block[0][0])
        yield (
            np.array([[float(x[key]) for key in keys] for x, _ in block]),
            np.array([int(y) for _, y in block], dtype=np.int64),
        )


def _resident_bytes() -> int:
    """Return the memory of this process: its present size on Linux, else its peak."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _state(model: Any) -> list[NDArray[Any]]:
    """Return the arrays of a model of this package; peers have none to inspect."""
    export = getattr(model, "export_state", None)
    return list(export()[1].values()) if export else []


def _non_finite(arrays: list[NDArray[Any]]) -> int:
    return sum(int((~np.isfinite(array)).sum()) for array in arrays if array.dtype.kind == "f")


def measure(stream: str, contender: str, seed: int, n_samples: int) -> dict[str, Any]:
    """Predict and learn `n_samples` in blocks; return cost, accuracy and memory of each tenth.

    A second model starts at the last two tenths: if it is better at the end, age costs accuracy.
    """
    n_blocks = max(n_samples // _BLOCK, _TENTHS)
    first = next(_blocks(stream, 1))
    shape = (first[0].shape[1], data.n_classes(stream))
    warm(contenders.make(contender, *shape, seed), *first)
    model = contenders.make(contender, *shape, seed)
    tenths: list[dict[str, Any]] = []
    costs = []
    accuracies = []
    young_accuracies = []
    young = contenders.make(contender, *shape, seed)
    # the initial ranges are plus and minus infinity: only later values are faults
    at_start = None
    blocks = track(
        _blocks(stream, n_blocks),
        f"{contender} on {stream}",
        n_blocks,
        console=Console(stderr=True),
    )
    for number, (X, y) in enumerate(blocks, start=1):
        seconds, predictions = cpu_seconds(partial(model.learn_predict_array, X, y))
        costs.append(seconds)
        accuracies.append(prequential_accuracy(predictions, y))
        if number > n_blocks * (_TENTHS - 2) // _TENTHS:
            young_accuracies.append(prequential_accuracy(young.learn_predict_array(X, y), y))
        if at_start is None:
            at_start = _non_finite(_state(model))
        if number * _TENTHS // n_blocks > len(tenths):
            tenths.append(
                {
                    "microseconds": 1e6 * fmean(costs) / _BLOCK,
                    "accuracy": fmean(accuracies),
                    "resident_bytes": _resident_bytes(),
                    "state_bytes": sum(array.nbytes for array in _state(model)),
                    "non_finite": _non_finite(_state(model)) - at_start,
                }
            )
            costs = []
            accuracies = []
    young_end = fmean(young_accuracies[len(young_accuracies) // 2 :])
    return {"tenths": tenths, "young_accuracy": young_end, "n_samples": n_blocks * _BLOCK}


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the tenths of each run, the last compared with the first or second."""
    out = []
    for key, values in results.items():
        tenths = values["tenths"]
        cost, memory = (
            tenths[-1][name] / tenths[0][name] - 1 for name in ("microseconds", "resident_bytes")
        )
        gain = tenths[-1]["accuracy"] - tenths[1]["accuracy"]
        age = tenths[-1]["accuracy"] - values["young_accuracy"]
        title = (
            f"{key.rpartition('/')[0]}, {values['n_samples']:,} samples: last tenth against the "
            f"first {cost:+.1%} cost, {memory:+.1%} memory; against the second {100 * gain:+.1f} "
            f"points of accuracy, against a model one tenth old {100 * age:+.1f}"
        )
        grid = Grid(
            title,
            ["tenth", "CPU us/sample", "accuracy, %", "resident MB", "state KB", "new non-finite"],
        )
        for number, tenth in enumerate(tenths, start=1):
            sizes = (f"{tenth['resident_bytes'] / 1e6:.1f}", f"{tenth['state_bytes'] / 1e3:.0f}")
            figures = (f"{tenth['microseconds']:.1f}", percent(tenth["accuracy"]), *sizes)
            grid.row(str(number), *figures, str(tenth["non_finite"]))
        out.append(grid)
    return out


def _picture(results: dict[str, dict[str, Any]], path: Path) -> None:
    series = {
        key.rpartition("/")[0]: [
            (n, 100 * tenth["accuracy"]) for n, tenth in enumerate(values["tenths"], start=1)
        ]
        for key, values in results.items()
    }
    lines(series, "tenth of the stream", "prequential accuracy, %", path)


@click.command("soak")
@click.option(
    "--only",
    metavar="A,B",
    default="default,MLP .03",
    show_default=True,
    help="Contenders, as in `python -m benchmarks streams`.",
)
@click.option(
    "--streams",
    "names",
    default="RBFd1e-4,Hyperplane",
    show_default=True,
    help=f"Of {', '.join(data.ENDLESS)}.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=10_000),
    default=1_000_000,
    show_default=True,
    help="Total number of samples.",
)
@common(seeds=1)
def command(settings: Settings, only: str, names: str, samples: int) -> None:
    """Measure cost, memory and accuracy of each tenth of a million drifting samples.

    Non-finite values are counted. A stream may become harder: then the peer loses as much accuracy,
    and a model that started one tenth before the last is no better.

    \b
    Examples
      python -m benchmarks soak
      python -m benchmarks soak --streams RBFd1e-3 --samples 200000
    """
    runs = [
        Run(
            f"{stream}/{contender}/{seed}",
            measure,
            {"stream": stream, "contender": contender, "seed": seed, "n_samples": samples},
            f"{contenders.code(contender)} {samples}",
        )
        for stream in contenders.pick(names, data.ENDLESS, "--streams")
        for contender in contenders.pick(only, contenders.NAMES, "--only")
        for seed in range(settings.seeds)
    ]
    settings.run("soak", runs, grids, _picture)
