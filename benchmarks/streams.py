"""`python -m benchmarks streams`: prequential accuracy of every contender on every stream."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import click
import numpy as np

from benchmarks import contenders, data
from benchmarks.grid import Grid, percent
from benchmarks.learner import prequential_accuracy, warm
from benchmarks.machine import cpu_seconds, fingerprint
from benchmarks.options import Settings, common, find_interpreter, print_missing
from benchmarks.picture import scatter
from benchmarks.runs import Run
from benchmarks.subprocesses import run_json

__all__ = ["command", "grids", "measure", "measure_peer", "summary"]

# A thousand random features are for images; on these streams they would take most of the time.
_NAMES = tuple(name for name in contenders.NAMES if name != "RFF1000+RLS")

_MOA = " (MOA)"
_PEERS = tuple(f"{learner}{_MOA}" for learner in ("SAMkNN", "ARF100", "SRP100", "SGBT"))
_PEER_CODE = ("benchmarks/peers/streams_peers.py", "benchmarks/data.py")
_SCRIPT = Path(__file__).parent / "peers" / "streams_peers.py"


def measure(stream: str, contender: str, seed: int, directory: str | None) -> dict[str, Any]:
    """Predict, score and learn one stream, after compiling with a temporary model."""
    X, y = data.load(stream, directory)
    shape = (X.shape[1], int(y.max()) + 1)
    warm(contenders.make(contender, *shape, seed), X, y)
    model = contenders.make(contender, *shape, seed)
    seconds, predictions = cpu_seconds(lambda: model.learn_predict_array(X, y))
    return {
        "accuracy": prequential_accuracy(predictions, y),
        "n_samples": len(y),
        "cpu_seconds": seconds,
        "samples_per_second": len(y) / seconds,
    }


def measure_peer(
    stream: str, learner: str, seed: int, python: str, directory: str | None
) -> dict[str, Any]:
    """Run a learner of MOA in another environment on one stream."""
    X, y = data.load(stream, directory)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.npz"
        np.savez(path, X=X, y=y)
        words = [python, str(_SCRIPT), learner, str(path), str(seed)]
        return run_json(words, f"`--peers` {python!r} could not run {learner}")


def summary(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return accuracy (mean, standard deviation) and mean throughput by contender and stream."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for key, values in results.items():
        stream, contender, _ = key.split("/")
        grouped[contender, stream].append(values)
    table: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for (contender, stream), runs in grouped.items():
        accuracies = [run["accuracy"] for run in runs]
        table[contender][stream] = {
            "accuracy": fmean(accuracies),
            "deviation": stdev(accuracies) if len(runs) > 1 else 0.0,
            "samples_per_second": fmean(run["samples_per_second"] for run in runs),
        }
    return dict(table)


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the results in percent, one row per contender, with the best of each stream marked."""
    rows = summary(results)
    streams = list(dict.fromkeys(stream for row in rows.values() for stream in row))
    columns = ["contender", *streams, "mean", "samples/s"]
    grid = Grid(
        "prequential accuracy, % (± standard deviation over seeds); the mean is over the twelve",
        columns,
    )
    means = [_mean(row, streams) for row in rows.values()]
    for (contender, row), mean in zip(rows.items(), means, strict=True):
        cells = [
            percent(row[s]["accuracy"], row[s]["deviation"] or None) if s in row else "-"
            for s in streams
        ]
        speed = fmean(cell["samples_per_second"] for cell in row.values())
        grid.row(contender, *cells, "-" if mean is None else f"{100 * mean:.2f}", f"{speed:,.0f}")
    for column, stream in enumerate(streams, start=1):
        grid.mark_best(
            column, [row[stream]["accuracy"] if stream in row else None for row in rows.values()]
        )
    grid.mark_best(len(streams) + 1, means)
    return [grid]


def _mean(row: dict[str, dict[str, float]], streams: list[str]) -> float | None:
    """Return the mean accuracy over the twelve streams, or None if one is missing."""
    twelve = [stream for stream in streams if stream not in data.BESIDE] or streams
    return fmean(row[s]["accuracy"] for s in twelve) if all(s in row for s in twelve) else None


def _picture(results: dict[str, dict[str, Any]], path: Path) -> None:
    rows = summary(results)
    longest = max(len(row) for row in rows.values())
    points = {
        name: (
            fmean(cell["samples_per_second"] for cell in row.values()),
            100 * fmean(cell["accuracy"] for cell in row.values()),
        )
        for name, row in rows.items()
        if len(row) == longest and name not in {"no-change", "majority"}  # far below the others
    }
    labels = ("samples per CPU second (mean over streams)", "mean prequential accuracy, %")
    scatter(points, *labels, path, ours=contenders.VARIANTS.keys() & points.keys())


def _run(stream: str, contender: str, seed: int, peers: str | None, directory: str | None) -> Run:
    key = f"{stream}/{contender}/{seed}"
    arguments = {"stream": stream, "seed": seed, "directory": directory}
    if contender in _PEERS:
        peer_arguments = {**arguments, "learner": contender.removesuffix(_MOA), "python": peers}
        return Run(key, measure_peer, peer_arguments, fingerprint(*_PEER_CODE))
    return contenders.run(key, measure, {**arguments, "contender": contender})


@click.command("streams")
@click.option("--only", metavar="A,B", help=f"Contenders: {', '.join(_NAMES)}.")
@click.option("--streams", "names", metavar="A,B", help=f"Streams: {', '.join(data.STREAMS)}.")
@click.option(
    "--peers",
    callback=find_interpreter,
    metavar="PYTHON",
    help=f"Interpreter of an environment with capymoa and Java: adds {', '.join(_PEERS)}; all "
    "streams take hours.",
)
@common(seeds=3)
def command(settings: Settings, only: str | None, names: str | None, peers: str | None) -> None:
    """Measure accuracy and throughput of the default, its ablations and peers on all streams.

    Accuracy is prequential: each sample is predicted, scored, then learned. An interrupted run
    continues where it stopped.

    \b
    Examples
      python -m benchmarks streams --streams Phishing,digits --only default,frozen,ARF10
      python -m benchmarks streams --data ~/data --jobs 2
      python -m venv moa && moa/bin/pip install capymoa
      python -m benchmarks streams --only "default,SAMkNN (MOA)" --peers moa/bin/python --seeds 1
    """
    here, notes = data.available(
        contenders.pick(names, data.STREAMS, "--streams"), settings.directory
    )
    allowed = (*_NAMES, *_PEERS) if peers else _NAMES
    chosen, absent = contenders.present(contenders.pick(only, allowed, "--only"))
    print_missing(notes + absent)
    runs = [
        _run(stream, contender, seed, peers, settings.directory)
        for contender in chosen
        for stream in here
        for seed in range(settings.seeds if contenders.seeded(contender) else 1)
    ]
    settings.run("streams", runs, grids, _picture)
