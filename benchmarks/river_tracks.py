"""`python -m benchmarks river_tracks`: river's own tracks, run by river's own code.

A track of river has data sets and metrics. Each data set that is on this machine is run by
`Track.run`, with our presets and with the models of river's published benchmarks at the settings
given there (benchmarks/config.py of its repository).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from benchmarks import contenders
from benchmarks.grid import Grid
from benchmarks.holdout import by_name
from benchmarks.machine import cpu_seconds, fingerprint
from benchmarks.options import Settings, common, print_missing
from benchmarks.runs import Run

__all__ = ["command", "grids", "measure"]

_TRACKS = ("BinaryClassificationTrack", "MultiClassClassificationTrack", "RegressionTrack")
_OURS = ("default", "fast", "accurate", "frozen")
_SMALLEST_IS_BEST = ("MAE", "RMSE")
_SEED = 42  # of river's suite
_RATE = 0.005  # of river's suite


def _scaled(model: Any) -> Any:
    from river.preprocessing import StandardScaler

    return StandardScaler() | model


def _binary() -> dict[str, Callable[[], Any]]:
    """Return river's models for two classes."""
    from river import forest, linear_model, optim

    return {
        "Logistic regression": lambda: _scaled(
            linear_model.LogisticRegression(optimizer=optim.SGD(_RATE))
        ),
        "AMF": lambda: forest.AMFClassifier(seed=_SEED),
        "ALMA": lambda: _scaled(linear_model.ALMAClassifier()),
    }


def _multiclass() -> dict[str, Callable[[], Any]]:
    """Return river's models for several classes; its suite runs most of them on two as well."""
    from river import dummy, ensemble, forest, naive_bayes, neighbors, tree

    def bagging() -> Any:
        adaptive = tree.HoeffdingAdaptiveTreeClassifier(bootstrap_sampling=False)
        return ensemble.BaggingClassifier(adaptive, seed=_SEED)

    def of_trees(kind: Any) -> Callable[[], Any]:
        return lambda: kind(tree.HoeffdingTreeClassifier(), seed=_SEED)

    return {
        "Naive Bayes": naive_bayes.GaussianNB,
        "Hoeffding tree": tree.HoeffdingTreeClassifier,
        "Hoeffding adaptive tree": lambda: tree.HoeffdingAdaptiveTreeClassifier(seed=_SEED),
        "ARF": lambda: forest.ARFClassifier(seed=_SEED),
        "AMF": lambda: forest.AMFClassifier(seed=_SEED),
        "SRP": lambda: ensemble.SRPClassifier(seed=_SEED),
        "KNN": lambda: _scaled(neighbors.KNNClassifier()),
        "ADWIN bagging": of_trees(ensemble.ADWINBaggingClassifier),
        "AdaBoost": of_trees(ensemble.AdaBoostClassifier),
        "Bagging": bagging,
        "Leveraging bagging": of_trees(ensemble.LeveragingBaggingClassifier),
        "Voting": lambda: ensemble.VotingClassifier(_voters()),
        "last class": dummy.NoChangeClassifier,
    }


def _voters() -> list[Any]:
    from river import linear_model, naive_bayes, neighbors, tree

    return [
        _scaled(linear_model.SoftmaxRegression()),
        naive_bayes.GaussianNB(),
        tree.HoeffdingTreeClassifier(),
        _scaled(neighbors.KNNClassifier()),
    ]


def _regression() -> dict[str, Callable[[], Any]]:
    """Return river's models for values."""
    from river import dummy, ensemble, forest, linear_model, neighbors, rules, stats, tree

    def bagging() -> Any:
        adaptive = tree.HoeffdingAdaptiveTreeRegressor(bootstrap_sampling=False)
        return _scaled(ensemble.BaggingRegressor(adaptive, seed=_SEED))

    return {
        "Linear regression": lambda: _scaled(linear_model.LinearRegression()),
        "Linear regression, l1": lambda: _scaled(linear_model.LinearRegression(l1=1.0)),
        "Linear regression, l2": lambda: _scaled(linear_model.LinearRegression(l2=1.0)),
        "Passive-aggressive, 1": lambda: _scaled(linear_model.PARegressor(mode=1)),
        "Passive-aggressive, 2": lambda: _scaled(linear_model.PARegressor(mode=2)),
        "KNN": lambda: _scaled(neighbors.KNNRegressor()),
        "Hoeffding tree": lambda: _scaled(tree.HoeffdingTreeRegressor()),
        "Hoeffding adaptive tree": lambda: _scaled(tree.HoeffdingAdaptiveTreeRegressor(seed=_SEED)),
        "SGT": tree.SGTRegressor,
        "ARF": lambda: _scaled(forest.ARFRegressor(seed=_SEED)),
        "AMF": lambda: forest.AMFRegressor(seed=_SEED),
        "AMRules": lambda: _scaled(rules.AMRules()),
        "SRP": lambda: _scaled(ensemble.SRPRegressor(seed=_SEED)),
        "Bagging": bagging,
        "EWA": lambda: _scaled(ensemble.EWARegressor(_experts())),
        "mean": lambda: dummy.StatisticRegressor(stats.Mean()),
    }


def _experts() -> list[Any]:
    from river import linear_model, neighbors, rules, tree

    return [
        linear_model.LinearRegression(),
        tree.HoeffdingAdaptiveTreeRegressor(),
        neighbors.KNNRegressor(),
        rules.AMRules(),
    ]


def _peers(track: str) -> dict[str, Callable[[], Any]]:
    if track == "RegressionTrack":
        return _regression()
    return _multiclass() | (_binary() if track == "BinaryClassificationTrack" else {})


def _ours(track: str, name: str) -> Any:
    from loco_stream import LOCOClassifier, LOCORegressor

    kind = LOCORegressor if track == "RegressionTrack" else LOCOClassifier
    if name == "frozen":
        return kind(rule="frozen", seed=_SEED)
    return kind.preset(name, seed=_SEED)


def measure(track: str, dataset: str, model: str) -> dict[str, Any]:
    """Run a model on a data set of a track, and return the track's metrics at the end."""
    from river import datasets, evaluate

    course = getattr(evaluate, track)()
    rows = getattr(datasets, dataset)()
    ours = model in _OURS
    estimator = _ours(track, model) if ours else _peers(track)[model]()
    if ours:
        for x, y in list(rows)[:20]:  # compiles; all are read, which closes the file
            estimator.predict_one(x)
            estimator.learn_one(x, y)
    seconds, states = cpu_seconds(lambda: list(course.run(estimator, rows, n_checkpoints=1)))
    last = states[-1]
    own = {"Step", "Time", "Memory"}
    scores = {name: value.get() for name, value in last.items() if name not in own}
    return {
        "scores": scores,
        "megabytes": last["Memory"] / 1e6,
        "n_samples": rows.n_samples,
        "samples_per_second": rows.n_samples / seconds,
    }


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return one table per data set; the best score of each column is marked."""
    grouped = by_name(results)
    tables = []
    for dataset in dict.fromkeys(key[:2] for key in grouped):
        rows = {key[2]: runs for key, runs in grouped.items() if key[:2] == dataset}
        heads = list(next(iter(rows.values()))[0]["scores"])
        grid = Grid(" of ".join(reversed(dataset)), ["model", *heads, "rows/CPU s"])
        for name, (run,) in rows.items():
            cells = [f"{run['scores'][head]:.4f}" for head in heads]
            grid.row(name, *cells, f"{run['samples_per_second']:,.0f}")
        for column, head in enumerate(heads, start=1):
            scores = [runs[0]["scores"][head] for runs in rows.values()]
            grid.mark_best(column, scores, largest=head not in _SMALLEST_IS_BEST)
        tables.append(grid)
    return tables


def _on_this_machine(track: str) -> tuple[list[str], list[str]]:
    """Return the data sets of a track that need no download, and notes on the others."""
    from river import evaluate

    here = []
    notes = []
    for dataset in getattr(evaluate, track)():
        name = type(dataset).__name__
        if getattr(dataset, "is_downloaded", True):
            here.append(name)
        else:
            notes.append(f"{name}; get it with `river.datasets.{name}().download()`")
    return here, notes


@click.command("river_tracks")
@click.option("--tracks", metavar="A,B", help=f"Tracks of river: {', '.join(_TRACKS)}.")
@common(seeds=1)
def command(settings: Settings, tracks: str | None) -> None:
    """Run river's tracks with our presets and with the models of river's published benchmarks.

    Data sets, metrics and evaluation are river's, as are the settings of its models. Data sets that
    river downloads are left out unless they were downloaded before. Every model has the seed of
    river's benchmarks, 42.

    \b
    Examples
      python -m benchmarks river_tracks
      python -m benchmarks river_tracks --tracks RegressionTrack
    """
    runs = []
    for track in contenders.pick(tracks, _TRACKS, "--tracks"):
        here, notes = _on_this_machine(track)
        print_missing(notes)
        runs += [
            Run(
                f"{track}/{dataset}/{model}/{_SEED}",
                measure,
                {"track": track, "dataset": dataset, "model": model},
                fingerprint() if model in _OURS else fingerprint("benchmarks/river_tracks.py"),
            )
            for dataset in here
            for model in (*_OURS, *_peers(track))
        ]
    settings.run("river_tracks", runs, grids)
