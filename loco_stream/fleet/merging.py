"""One model of what several learned.

Their readouts without leak add up, and the moments of naive Bayes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import InputError
from loco_stream.estimators._base import LOCOEstimator
from loco_stream.learner.arrays.spec import specs
from loco_stream.learner.arrays.state import (
    CLASS_COUNT,
    CLASS_ROWS,
    COUNT,
    LAST_SEEN,
    MASKED,
    MEAN,
    N_CLASSES,
    N_SEEN,
    SKIPPED,
    SPREAD,
    SQUARES,
    State,
)
from loco_stream.learner.readout.gate import SLOW_MEAN
from loco_stream.learner.readout.naive_bayes import MEMORY, PRIOR
from loco_stream.options import LASTING

__all__ = ["merge"]

Model = TypeVar("Model", bound=LOCOEstimator)
Arrays = dict[str, NDArray[Any]]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Part:
    """A model as plain values and arrays."""

    config: dict[str, Any]
    arrays: Arrays

    @property
    def n_seen(self) -> int:
        return int(self.arrays["counts"][N_SEEN]) if self.arrays else 0


def merge(models: Sequence[Model], template: LOCOEstimator | None = None) -> Model:
    """Return one model of what several learned, each from a copy of the template on.

    Recursive least squares without leak is a sum over rows. With P a member's projector, W its
    weights and p its prior, its information is A = P^-1 = I / p + sum x x' and b = A W = sum x y'.
    That of rows which several models saw is the sum of theirs, less what all of them began with. It
    is exact where all encode a row alike: hidden layers are frozen and drawn from one seed, and the
    template has seen the 300 rows after which scales and gains stand. Models that found their
    scales each by itself are merged in the same way; the result is then near that of one model.

    Moments of naive Bayes add up in the same way. What else is no sum is that of the model with
    most rows: members that forget, weights by log-loss, the shares in which members speak, and
    centroids but for classes that it lacks.

    Parameters
    ----------
    models
        One or more of the same settings and features.
    template
        What they began with; None if they began with nothing.

    Raises
    ------
    InputError
        Their hidden layers learn, they have no member without leak, or they differ in settings or
        features.

    Examples
    --------
    >>> from loco_stream import LOCOClassifier
    >>> parts = [LOCOClassifier(hidden_sizes=(8,), rule="frozen", seed=1) for _ in range(2)]
    >>> parts[0].learn_array([[0.0], [1.0]], ["a", "b"])
    >>> parts[1].learn_array([[2.0]], ["c"])
    >>> whole = merge(parts)
    >>> whole.n_seen, whole.classes
    (3, ('a', 'b', 'c'))
    """
    parts = [_Part(*model.export_state()) for model in models]
    _check(parts)
    classes = list(dict.fromkeys(label for part in parts for label in part.config["classes"]))
    parts = [_with_classes(part, classes) for part in parts]
    base = None
    if template is not None and template.n_seen:
        base = _with_classes(_Part(*template.export_state()), classes)
    largest = max(parts, key=lambda part: part.n_seen)
    arrays = {name: array.copy() for name, array in largest.arrays.items()}
    _add_readouts(arrays, parts, base)
    _add_counts(arrays, parts, base)
    _add_gaussians(arrays, parts, base)
    _gather_centroids(arrays, parts)
    return type(models[0]).from_state(largest.config, arrays)


def _check(parts: Sequence[_Part]) -> None:
    if not parts or any(part.n_seen == 0 for part in parts):
        raise InputError("merge takes one key or more, each with a model that has learned a row")
    first = parts[0]
    parameters = first.config["parameters"]
    for part in parts:
        for name in ("kind", "parameters", "features"):
            if part.config[name] != first.config[name]:
                raise InputError(
                    f"models to merge must have the same {name}, not {first.config[name]!r:.200} and "
                    f"{part.config[name]!r:.200}"
                )
        if part.arrays["bank.projectors"].shape != first.arrays["bank.projectors"].shape:
            raise InputError(
                "models to merge must have come to know their features in the same order"
            )
    if (
        parameters["rule"] != "frozen"
        and parameters["learning_rate"] != 0.0
        and parameters["plastic"] != 0.0
    ):
        raise InputError(
            "merge needs frozen hidden layers, rule='frozen': layers that learn give the same row other traces in each "
            "model, and least squares on other inputs do not add up"
        )
    if parameters["readout"] != "recursive" or first.arrays["bank.members"][0, 0] >= LASTING:
        raise InputError(
            "merge needs readout='recursive' with a member that lasts: leaks must begin with 0, or less than 1e-6"
        )


def _with_classes(part: _Part, classes: list[Hashable]) -> _Part:
    """Return a model whose classes stand in the given order, those it does not know with zeros."""
    known = part.config["classes"]
    if not classes:
        return part
    room = max(2, 1 << (len(classes) - 1).bit_length())
    places = [classes.index(label) for label in known]
    arrays = dict(part.arrays)
    before = arrays["classes"].shape[1]
    for spec in specs(State):
        for axis, name in enumerate(spec.axes):
            if isinstance(name, str) and name.split("*")[-1] == "classes":
                arrays[spec.name] = _moved(arrays[spec.name], axis, before, room, places)
    arrays["counts"] = arrays["counts"].copy()
    arrays["counts"][N_CLASSES] = len(classes)
    return _Part({**part.config, "classes": classes}, arrays)


def _moved(
    array: NDArray[Any], axis: int, before: int, room: int, places: list[int]
) -> NDArray[Any]:
    """Return an array whose blocks of `before` columns have become blocks of `room`, column j at `places[j]`."""
    front = array.shape[:axis]
    length = array.shape[axis]
    back = array.shape[axis + 1 :]
    blocks = length // before
    new = np.zeros((*front, blocks, room, *back), array.dtype)
    old = np.moveaxis(array.reshape(*front, blocks, before, *back), axis + 1, 0)
    np.moveaxis(new, axis + 1, 0)[places] = old[: len(places)]
    return new.reshape(*front, blocks * room, *back)


def _add_readouts(arrays: Arrays, parts: Sequence[_Part], base: _Part | None) -> None:
    """Add up the information of the member without leak; its least-squares columns come first.

    Its inputs are all less new to it then: what the gate knows of that moves along, or it would
    stand open.
    """
    n = arrays["classes"].shape[1]
    own, _ = _information(arrays, n)
    information = [_information(part.arrays, n) for part in parts]
    if base is None:
        inputs = len(arrays["bank.projectors"][0])
        start = np.eye(inputs) / arrays["bank.members"][1, 0], np.zeros((inputs, n))
    else:
        start = _information(base.arrays, n)
    again = len(parts) - 1
    A, b = (
        sum(terms) - again * first
        for terms, first in zip(zip(*information, strict=True), start, strict=True)
    )
    P = np.linalg.inv(A)
    arrays["bank.projectors"][0] = 0.5 * (P + P.T)
    arrays["newness"][SLOW_MEAN] += np.log(
        np.trace(P @ own) / len(own)
    )  # x'x adds up to the information
    arrays["bank.traces"][:, :n] = P @ b


def _information(arrays: Arrays, n: int) -> tuple[Float64, Float64]:
    A: Float64 = np.linalg.inv(arrays["bank.projectors"][0].astype(np.float64))
    return A, A @ arrays["bank.traces"][:, :n].astype(np.float64)


def _add_counts(arrays: Arrays, parts: Sequence[_Part], base: _Part | None) -> None:
    """Add up rows, masked values, skipped steps and rows of each class.

    A class was seen as lately as by any model.
    """
    again = len(parts) - 1
    for row in (N_SEEN, MASKED, SKIPPED):
        first = 0 if base is None else base.arrays["counts"][row]
        arrays["counts"][row] = sum(part.arrays["counts"][row] for part in parts) - again * first
    first = 0 if base is None else base.arrays["classes"][CLASS_COUNT]
    arrays["classes"][CLASS_COUNT] = (
        sum(part.arrays["classes"][CLASS_COUNT] for part in parts) - again * first
    )
    absent = [
        np.where(
            part.arrays["classes"][CLASS_COUNT] > 0,
            part.n_seen - part.arrays["classes"][LAST_SEEN],
            np.inf,
        )
        for part in parts
    ]
    lately = np.min(absent, axis=0)
    seen = np.isfinite(lately)
    arrays["classes"][LAST_SEEN, seen] = arrays["counts"][N_SEEN] - lately[seen]


def _add_gaussians(arrays: Arrays, parts: Sequence[_Part], base: _Part | None) -> None:
    """Add up the rows of each class, their sums and sums of squares.

    Each mean counts a row at 0 besides.
    """
    whole = np.sum([_sums(part.arrays) for part in parts], axis=0)
    if base is not None:
        whole -= (len(parts) - 1) * _sums(base.arrays)
    n, total, power = whole
    means = total / (n + 1.0)
    squares = np.maximum((power - (n + 1.0) * means**2) / np.maximum(n, 1.0), 0.0)
    n = np.minimum(n, MEMORY)
    arrays["gaussians.means"] = means
    arrays["gaussians.squares"] = squares
    arrays["gaussians.moments"][CLASS_ROWS] = n.max(axis=1, initial=0.0)
    arrays["gaussians.moments"][SPREAD] = np.log((n * squares + PRIOR) / (n + PRIOR)).sum(axis=1)


def _gather_centroids(arrays: Arrays, parts: Sequence[_Part]) -> None:
    """Add to the centroids of the model with most rows the most useful ones of classes that it has none of.

    Its stack trusts them as they lie. Those of other models would lie among them, and be copies
    where all had a template.
    """
    n = int(arrays["centroids.n"][0])
    room = len(arrays["centroids.worth"])
    if room == 0:
        return
    known = arrays["centroids.counts"][:n].argmax(axis=1)
    strange = [(part, _strangers(part, known)) for part in parts]
    worth = np.concatenate([part.arrays["centroids.worth"][of] for part, of in strange])
    chosen = np.argsort(-worth, kind="stable")[: max(room - n, room // 2)]
    least_useful = np.argsort(arrays["centroids.worth"][:n], kind="stable")
    free = np.concatenate([np.arange(n, room), least_useful])[: len(chosen)]
    mean, deviation = _scale(arrays)
    places = np.hstack([_raw_places(part.arrays)[:, of] for part, of in strange])
    arrays["centroids.places"][:, free] = ((places - mean) / deviation)[:, chosen]
    for name in ("counts", "worth", "rows"):
        of_all = np.concatenate([part.arrays[f"centroids.{name}"][of] for part, of in strange])
        arrays[f"centroids.{name}"][free] = of_all[chosen]
    arrays["centroids.n"][0] = min(n + len(chosen), room)


def _strangers(part: _Part, known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which of a model's centroids are of classes that are not among the known."""
    own = part.arrays["centroids.counts"][: int(part.arrays["centroids.n"][0])].argmax(axis=1)
    return np.flatnonzero(~np.isin(own, known))


def _raw_places(arrays: Arrays) -> Float64:
    """Return the centroids in units of the features, (features, centroids)."""
    mean, deviation = _scale(arrays)
    return mean + deviation * arrays["centroids.places"].astype(np.float64)


def _scale(arrays: Arrays) -> tuple[Float64, Float64]:
    """Return the mean and the deviation, 1 of a constant, of each feature, (features, 1)."""
    statistics = arrays["statistics"]
    variance = statistics[SQUARES] / np.maximum(statistics[COUNT], 1.0)
    return statistics[MEAN][:, None], np.sqrt(np.where(variance > 0.0, variance, 1.0))[:, None]


def _sums(arrays: Arrays) -> Float64:
    """Return rows, sums and sums of squares of each class and feature, (3, classes, features)."""
    rows = arrays["gaussians.moments"][CLASS_ROWS, :, None]
    means = arrays["gaussians.means"]
    n = np.broadcast_to(rows, means.shape)
    return np.stack([n, (n + 1.0) * means, n * arrays["gaussians.squares"] + (n + 1.0) * means**2])
