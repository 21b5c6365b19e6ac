"""Merges several models into one, each expert in its own way."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeVar

import numpy as np

from loco_stream._arrays import Array
from loco_stream._learner.arrays.allocate import class_capacity
from loco_stream._learner.arrays.spec import specs
from loco_stream._learner.arrays.state import State
from loco_stream._learner.readout.experts import EXPERTS, Merge
from loco_stream._learner.readout.recursive_steps import LASTING_LEAK
from loco_stream._persistence.content import Arrays, Config
from loco_stream.errors import InputError
from loco_stream.estimators._estimator import LOCOEstimator

Model = TypeVar("Model", bound=LOCOEstimator)
_MERGED = ("LOCOClassifier", "LOCORegressor")
_FIELDS = {spec.name: spec.fields for spec in specs(State)}
_COUNTS = _FIELDS["counts"]
_SURPLUS = _FIELDS["delayed"].index("surplus")


@dataclass(frozen=True, slots=True)
class _Part:
    """A model as plain values and arrays."""

    config: Config
    arrays: Arrays

    @property
    def n_seen(self) -> int:
        return int(self.arrays["counts"][_COUNTS.index("n_seen")]) if self.arrays else 0


def merge(
    models: Sequence[Model], template: LOCOEstimator | None = None, *, keep_first: bool = False
) -> Model:
    """Return one model with what several have learned, each from its own copy of a template.

    The moments of the discriminant on the fixed layer, which keeps all classes, and of naive Bayes
    are pooled. They then equal, up to rounding, those of one model that has learned all rows, if
    all models have the same seed and the template has seen the 300 rows after which scales are
    fixed. If each model found its scales by itself, they are only close to it, and so is naive
    Bayes once a class has more than 1,000 rows, since it forgets earlier ones.

    With frozen hidden layers (`rule` "frozen") the least-squares member without leak adds up too.
    Everything else is taken from the model with most rows: hidden layers, members that forget,
    weights of the stacks and the mixture, and centroids except for classes that it lacks.

    Raises `InputError` if the models differ in options or features, their readout is not recursive,
    or they are neither classifiers nor regressors of one target.

    models: one or more of the same options and features
    template: the model that each was copied from; None if they began with nothing
    keep_first: whether everything else is taken from the first model instead. Set it if the first
        model has learned rows of many devices, and each of the others those of one.

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
    main = 0 if keep_first else max(range(len(parts)), key=lambda i: parts[i].n_seen)
    # Classes of the main model come first: slots that its arrays name stay as they are.
    in_order = [parts[main], *sorted(parts, key=lambda part: -part.n_seen)]
    classes = list(dict.fromkeys(label for part in in_order for label in part.config["classes"]))
    parts = [_with_classes(part, classes) for part in parts]
    base = None
    if template is not None and template.n_seen:
        base = _with_classes(_Part(*template.export_state()), classes).arrays
    arrays = {name: array.copy() for name, array in parts[main].arrays.items()}
    merged = Merge(arrays, [part.arrays for part in parts], base, _have_same_traces(parts[main]))
    for expert in EXPERTS:
        expert.merge(merged)
    _add_counts(merged, [part.n_seen for part in parts])
    return type(models[0]).from_state(parts[main].config, arrays)


def _check(parts: Sequence[_Part]) -> None:
    if not parts or any(part.n_seen == 0 for part in parts):
        raise InputError(
            "`keys` must name at least 1 key, and each model must have learned at least 1 row"
        )
    first = parts[0]
    if first.config["kind"] not in _MERGED:
        raise InputError(
            f"models to merge must be a {' or '.join(_MERGED)}, got a {first.config['kind']}"
        )
    options = first.config["parameters"]
    advanced = options["advanced"]
    shapes = _shapes(first)
    for part in parts:
        for name in ("kind", "parameters", "features", "texts"):
            if part.config[name] != first.config[name]:
                what, ours, theirs = _difference(name, first.config[name], part.config[name])
                raise InputError(
                    f"models to merge must have the same {what}, got {ours!r:.200} and "
                    f"{theirs!r:.200}"
                )
        if _shapes(part) != shapes:
            raise InputError(
                f"models to merge must have arrays of one shape, got {shapes} and {_shapes(part)}"
            )
    if advanced["readout"] != "recursive":
        raise InputError(
            f"models to merge must have `readout` 'recursive', got {advanced['readout']!r}"
        )


def _difference(name: str, ours: Any, theirs: Any) -> tuple[str, object, object]:
    """Return what differs: a parameter, or the first entries of two lists, and both values.

    A text is an entry of its feature, its text and its slot.
    """
    if name == "parameters":
        ours, theirs = ({**all_, **all_["advanced"], "advanced": ()} for all_ in (ours, theirs))
        key = next(key for key in ours if ours[key] != theirs[key])
        return f"`{key}`", ours[key], theirs[key]
    if isinstance(ours, list) and isinstance(theirs, list):
        ours, theirs = next((a, b) for a, b in zip_longest(ours, theirs) if a != b)
    return name, ours, theirs


def _shapes(part: _Part) -> list[tuple[int, ...]]:
    """Return the shapes of the projectors, which those of all arrays follow."""
    return [part.arrays[f"experts.least_squares.{name}"].shape for name in ("projectors", "blocks")]


def _have_same_traces(part: _Part) -> bool:
    """Return whether hidden layers are frozen, and a member without leak sums over all rows."""
    options = part.config["parameters"]
    learns = options["learning_rate"] != 0.0 and options["advanced"]["plastic"] != 0.0
    is_frozen = options["rule"] == "frozen" or not learns
    leak = part.arrays["experts.least_squares.leaks"][0]
    return bool(is_frozen and leak < LASTING_LEAK)


def _with_classes(part: _Part, classes: list[Hashable]) -> _Part:
    """Return a model with its classes in the given order; unknown ones are as in a fresh model."""
    known = part.config["classes"]
    if not classes:
        return part
    room = class_capacity(len(classes))
    places = [classes.index(label) for label in known]
    arrays = dict(part.arrays)
    before = len(arrays["classes.n_rows"])
    for spec in specs(State):
        for axis, name in enumerate(spec.axes):
            if isinstance(name, str) and name.split("*")[-1] == "classes":
                fill = spec.start  # of all arrays with classes a number
                arrays[spec.name] = _moved(arrays[spec.name], axis, (before, room), places, fill)
    arrays["counts"] = arrays["counts"].copy()
    arrays["counts"][_COUNTS.index("n_classes")] = len(classes)
    return _Part({**part.config, "classes": classes}, arrays)


def _moved(array: Array, axis: int, widths: tuple[int, int], places: list[int], fill: Any) -> Array:
    """Return an array whose blocks have another width, column j at `places[j]` and others filled.

    `widths` are those of the blocks before and after.
    """
    before, room = widths
    front = array.shape[:axis]
    length = array.shape[axis]
    back = array.shape[axis + 1 :]
    blocks = length // before
    new = np.full((*front, blocks, room, *back), fill, array.dtype)
    old = np.moveaxis(array.reshape(*front, blocks, before, *back), axis + 1, 0)
    np.moveaxis(new, axis + 1, 0)[places] = old[: len(places)]
    return new.reshape(*front, blocks * room, *back)


def _take_patience(merged: Merge) -> None:
    """Take how long a class may be absent, where ours has no row of it, from who has most."""
    most = np.argmax([part["classes.n_rows"] for part in merged.parts], axis=0)
    for c in np.flatnonzero(merged.arrays["classes.n_rows"] == 0.0):
        for name in ("classes.log_gap", "classes.patience"):
            merged.arrays[name][c] = merged.parts[most[c]][name][c]


def _add_counts(merged: Merge, n_seen: Sequence[int]) -> None:
    """Add up rows, observations, masked values, skipped steps and rows of each class."""
    arrays = merged.arrays
    again = len(merged.parts) - 1
    for name in ("n_seen", "n_masked", "n_skipped"):
        index = _COUNTS.index(name)
        first = 0 if merged.base is None else merged.base["counts"][index]
        arrays["counts"][index] = sum(p["counts"][index] for p in merged.parts) - again * first
    first = 0.0 if merged.base is None else merged.base["delayed"][_SURPLUS]
    surplus = sum(p["delayed"][_SURPLUS] for p in merged.parts) - again * first
    arrays["delayed"][_SURPLUS] = surplus
    _take_patience(merged)
    counts = np.sum([part["classes.n_rows"] for part in merged.parts], axis=0)
    if merged.base is not None:
        counts -= again * merged.base["classes.n_rows"]
    arrays["classes.n_rows"] = counts
    _take_latest(merged, n_seen)


def _take_latest(merged: Merge, n_seen: Sequence[int]) -> None:
    """Count a class as seen as recently as by any of the models."""
    arrays = merged.arrays
    absences = [
        np.where(part["classes.n_rows"] > 0, n - part["classes.last_seen"], np.inf)
        for part, n in zip(merged.parts, n_seen, strict=True)
    ]
    absence = np.min(absences, axis=0)
    seen = np.isfinite(absence)
    total = arrays["counts"][_COUNTS.index("n_seen")]
    arrays["classes.last_seen"][seen] = total - absence[seen]
