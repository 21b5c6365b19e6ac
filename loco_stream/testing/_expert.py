"""The check of readout experts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from loco_stream._arrays import Array, Float64
from loco_stream._learner.arrays.spec import specs
from loco_stream._learner.readout.ensemble import FIRST_OPINION
from loco_stream._learner.readout.experts import EXPERTS, Expert
from loco_stream._learner.readout.next_row import ENSEMBLE
from loco_stream.errors import LocoStreamError
from loco_stream.estimators._classifier import LOCOClassifier
from loco_stream.estimators._explain.relevance import contributions
from loco_stream.estimators._regressor import LOCORegressor
from loco_stream.estimators._saving import load, save
from loco_stream.fleet._merging import merge
from loco_stream.testing._lifecycle import require_argument

Model: TypeAlias = Any  # a LOCOClassifier or a LOCORegressor
Parameters: TypeAlias = dict[str, Any]  # constructor parameters
_KINDS = {"classification": LOCOClassifier, "regression": LOCORegressor}
_N = 120  # rows
_N_INTERPRETED = 12
_CODE = "from loco_stream.testing import _expert; _expert.print_digest()"


def check_expert(expert: Expert, **parameters: Any) -> None:
    """Check a readout expert against everything that a model requires of it.

    For code inside this repository: the expert must be in `EXPERTS`, since the arrays of a model
    are joined from that table when the package is imported. The checks cover the definition, the
    number of its outputs, opinions that are probabilities, predictions that change no state, rows
    and blocks, saved models, new features and classes, explanations, merging, and kernels that
    give the same bytes compiled and interpreted. Takes about a minute, most of it for compiling.

    Parameters
    ----------
    expert
        The definition.
    parameters
        Constructor parameters of the models in which the expert takes part, for example
        ``neighbors=50``; plain values.

    Raises
    ------
    AssertionError
        Something is wrong; the message names it.
    ConfigError
        `expert` is something else.

    Examples
    --------
    >>> from loco_stream._learner.readout.experts import EXPERTS
    >>> from loco_stream.testing import check_expert
    >>> check_expert(EXPERTS[1])
    """
    require_argument(isinstance(expert, Expert), "expert", "an Expert", expert)
    _check_definition(expert)
    problems = [name for name in _KINDS if _takes_part(expert, name, parameters)]
    _require(problems, expert, f"has no outputs, scores, opinions or log-odds with {parameters}")
    for problem in problems:
        _check_learning(expert, problem, parameters)
        _check_blocks(expert, problem, parameters)
        _check_saving(expert, problem, parameters)
        _check_growth(expert, problem, parameters)
        _check_merging(expert, problem, parameters)
        _check_interpreted(expert, problem, parameters)


def _require(condition: object, expert: Expert, message: str) -> None:
    if not condition:
        raise AssertionError(f"expert {expert.name!r} {message}")


def _check_definition(expert: Expert) -> None:
    _require(expert.name.isidentifier(), expert, "must have an identifier as its name")
    _require(
        any(own is expert for own in EXPERTS),
        expert,
        "must be in EXPERTS of loco_stream._learner.readout.experts",
    )
    n_same = sum(own.name == expert.name for own in EXPERTS)
    _require(n_same == 1, expert, "must have a name of its own")
    for group in (expert.state, expert.scratch):
        try:
            list(specs(group))
        except TypeError as error:
            raise AssertionError(f"expert {expert.name!r}: {error}") from error


# Models


def _make(problem: str, parameters: Parameters) -> Model:
    return _KINDS[problem](**{"hidden_sizes": (6,), "seed": 1, **parameters})


def _rows(problem: str, n: int = _N) -> tuple[Float64, list[Any]]:
    """Return rows of three features with a label or value that depends on two of them."""
    X = np.random.default_rng(0).normal(size=(n, 3))
    if problem == "regression":
        return X, (X[:, 0] - 2.0 * X[:, 1]).tolist()
    names = np.array(["low", "middle", "high"])
    return X, names[np.digitize(X[:, 0] + X[:, 1], (-0.5, 0.5))].tolist()


def _trained(problem: str, parameters: Parameters, n: int = _N) -> Model:
    model = _make(problem, parameters)
    model.learn_array(*_rows(problem, n))
    return model


def _takes_part(expert: Expert, problem: str, parameters: Parameters) -> bool:
    blocks = _blocks(expert, _trained(problem, parameters, 3))
    return any(array.size for array in blocks)


class _Blocks(NamedTuple):
    """What an expert wrote for the last row of a model, (blocks, classes) each."""

    outputs: Array
    scores: Array
    opinions: Array
    log_odds: Array


def _blocks(expert: Expert, model: Model) -> _Blocks:
    core = model._core
    settings, _, scratch = core.model
    now = scratch.now
    before = EXPERTS[: [other.name for other in EXPERTS].index(expert.name)]

    def part(array: Any, name: str, first: int = 0) -> Array:
        start = first + sum(getattr(other, name)(settings) for other in before)
        n = getattr(expert, name)(settings)
        _require(
            isinstance(n, int) and n >= 0,
            expert,
            f"`{name}` must return an integer from 0, got {n!r}",
        )
        block: Array = array[start : start + n, : core.n_outputs]
        return block

    capacity = len(scratch.target)
    return _Blocks(
        part(now.outputs.reshape(-1, capacity), "n_outputs"),
        part(now.scores.reshape(-1, capacity), "n_scores"),
        part(now.opinions, "n_opinions", FIRST_OPINION),
        part(now.log_odds, "n_log_odds", ENSEMBLE + 1),
    )


def _own_arrays(expert: Expert, model: Model) -> dict[str, Array]:
    prefix = f"experts.{expert.name}."
    _, arrays = model.export_state()
    return {name: array for name, array in arrays.items() if name.startswith(prefix)}


def _digest_of(model: Model) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(model.export_state()[1].items()):
        digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()


# Checks of one problem


def _check_learning(expert: Expert, problem: str, parameters: Parameters) -> None:
    """Check what the expert writes for each row, what it learns, and its explanation."""
    X, y = _rows(problem)
    model = _make(problem, parameters)
    model.learn_array(X[:10], y[:10])
    _check_names(expert, problem, model)
    start = {name: array.copy() for name, array in _own_arrays(expert, model).items()}
    for x, label in zip(X[10:], y[10:], strict=True):
        row = dict(enumerate(x.tolist()))
        before = _digest_of(model)
        model.predict_one(row)
        _check_written(expert, _blocks(expert, model))
        _check_explanation(expert, model, row)
        _require(_digest_of(model) == before, expert, "changes its state when a row is predicted")
        model.learn_one(row, label)
    now = _own_arrays(expert, model)
    is_same = all(now[name].tobytes() == start[name].tobytes() for name in start)
    _require(not start or not is_same, expert, "learns nothing: its state stays as it was")


def _check_names(expert: Expert, problem: str, model: Model) -> None:
    core = model._core
    count = "n_outputs" if problem == "regression" else "n_opinions"
    n = getattr(expert, count)(core.settings)
    names = list(expert.names(core.layout, core.settings))
    _require(
        n == 0 or len(names) == n,
        expert,
        f"must have one name per {count[2:-1]} in {problem}, got {names} for {n}",
    )


def _check_written(expert: Expert, blocks: _Blocks) -> None:
    for name, array in blocks._asdict().items():
        _require(np.isfinite(array).all(), expert, f"must write finite {name}, got {array}")
    opinions = blocks.opinions
    are_probabilities = (opinions >= 0.0).all() and np.allclose(opinions.sum(axis=1), 1.0)
    _require(
        not len(opinions) or are_probabilities,
        expert,
        f"must write opinions that are probabilities, got {opinions}",
    )


def _check_explanation(expert: Expert, model: Model, row: dict[int, float]) -> None:
    """Check that what the expert adds to the score of each class is what it wrote."""
    core = model._core
    n_classes = core.n_outputs
    model.explain_one(row)
    blocks = _blocks(expert, model)
    settings, state, scratch = core.model
    for own, weighting, part in contributions(settings, state, scratch, n_classes):
        if own is not expert:
            continue
        explained = (
            np.sum(part.inputs, axis=0)
            + np.sum(part.present, axis=0)
            + part.other
            + np.zeros(n_classes)
        )
        expected = weighting.outputs @ blocks.outputs + weighting.scores @ blocks.scores
        if not core.regression:  # what all classes get alike does not count
            explained -= explained.mean()
            expected -= expected.mean()
        _require(
            np.allclose(explained, expected, rtol=1e-3, atol=1e-3),
            expert,
            f"`contribution` must add up to what it wrote, {expected}, got {explained}",
        )


def _check_blocks(expert: Expert, problem: str, parameters: Parameters) -> None:
    X, y = _rows(problem)
    rows = _make(problem, parameters)
    for x, label in zip(X, y, strict=True):
        rows.learn_one(dict(enumerate(x.tolist())), label)
    block = _trained(problem, parameters)
    same = _digest_of(rows) == _digest_of(block)
    _require(same, expert, "learns other numbers from rows one by one than from a block")


def _check_saving(expert: Expert, problem: str, parameters: Parameters) -> None:
    X, y = _rows(problem)
    model = _trained(problem, parameters)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.loco"
        save(model, path)
        try:
            restored = load(path)
        except LocoStreamError as error:
            raise AssertionError(
                f"expert {expert.name!r} refuses its own state: {error}"
            ) from error
    for one in (model, restored):
        one.learn_array(X, y)
    same = _digest_of(model) == _digest_of(restored)
    _require(same, expert, "continues with other numbers after its model was saved and loaded")


def _check_growth(expert: Expert, problem: str, parameters: Parameters) -> None:
    """Check rows with features and classes that appear later."""
    model = _trained(problem, parameters)
    rng = np.random.default_rng(1)
    for i in range(40):
        row = dict(enumerate(rng.normal(size=3 + i // 10).tolist()))
        model.learn_one(row, float(i) if problem == "regression" else f"class {i % 9}")
        model.predict_one(row)
        _check_written(expert, _blocks(expert, model))
    _require(model.skipped_updates == 0, expert, "refuses rows with new features or classes")


def _check_merging(expert: Expert, problem: str, parameters: Parameters) -> None:
    X, y = _rows(problem)
    models = [_make(problem, {**parameters, "rule": "frozen"}) for _ in range(2)]
    half = len(X) // 2
    models[0].learn_array(X[:half], y[:half])
    models[1].learn_array(X[half:], y[half:])
    merged = merge(models)
    merged.predict_one(dict(enumerate(X[0].tolist())))
    _check_written(expert, _blocks(expert, merged))


# Compiled and interpreted


def _check_interpreted(expert: Expert, problem: str, parameters: Parameters) -> None:
    order = json.dumps([problem, parameters])
    digests = [_digest_in_child(expert, order, environment) for environment in _environments()]
    _require(
        digests[0] == digests[1],
        expert,
        f"learns other numbers compiled than interpreted in {problem}",
    )


def _environments() -> Iterator[dict[str, str]]:
    for disabled in ("0", "1"):
        paths = os.pathsep.join(path for path in sys.path if path)
        yield {**os.environ, "NUMBA_DISABLE_JIT": disabled, "PYTHONPATH": paths}


def _digest_in_child(expert: Expert, order: str, environment: dict[str, str]) -> str:
    child = subprocess.run(
        [sys.executable, "-c", _CODE],
        input=order,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = child.stderr.strip().splitlines() or [""]
    _require(child.returncode == 0, expert, f"fails in a process of its own: {lines[-1]}")
    return child.stdout


def print_digest() -> None:
    """Train the model that standard input describes and print the digest of its state."""
    problem, parameters = json.load(sys.stdin)
    model = _trained(problem, parameters, _N_INTERPRETED)
    print(_digest_of(model))
