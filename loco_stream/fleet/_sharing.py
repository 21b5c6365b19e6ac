"""Knowledge that the keys of a fleet share.

All keys begin with the scales of one trained template, so that their fixed layers encode a row
alike, whatever their hidden layers learn. The discriminants on these layers (class means, counts
and one precision) are therefore pooled by their moments. There are two ways to use the result.

With *start*, the model of a new key begins as a copy of the merged model: the template, with the
pooled discriminant. What a key adds to it is pooled again, what it began with is not.

With *prior*, a key begins with the scales alone and learns from its rows alone. It predicts with a
mixture of its own model and the pooled discriminant, whose weights follow from how well each
predicted the last rows of this key. A key whose concept contradicts the others soon ignores them.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from loco_stream._arrays import Float64
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.estimators._classifier import LOCOClassifier
from loco_stream.estimators._decision import Decision
from loco_stream.estimators._inputs.tables import Names
from loco_stream.fleet._merging import merge
from loco_stream.fleet._rows import Label, Table

_log = logging.getLogger("loco_stream.fleet.sharing")

_Probas: TypeAlias = tuple[Float64, Sequence[Label]]  # (n, n_classes), and the classes

NONE = "none"
START = "start"
PRIOR = "prior"
MODES = (NONE, START, PRIOR)

_DECAY = 0.9  # of the losses per row: about the last ten rows decide
_FLOOR = 0.02  # added to each probability, so that one surprise does not decide for ever
_SETTLED_ROWS = 300  # rows after which scales and gains of a model are fixed
_SCALES = ("net.gain", "net.drive_power", "net.input_power")


def check_template(template: object, mode: str) -> None:
    """Raise `ConfigError` if models that begin from a template cannot share knowledge."""
    if not isinstance(template, LOCOClassifier):
        raise ConfigError(
            f"`share` needs a `model` that is a LOCOClassifier, got {type(template).__name__}"
        )
    if template.n_seen < _SETTLED_ROWS:
        raise ConfigError(
            f"`share` needs a `model` that has learned {_SETTLED_ROWS} rows or more, so that all "
            f"keys encode a row alike, got {template.n_seen}"
        )
    if mode == PRIOR and template.decision is not None:
        raise ConfigError(
            "`share` 'prior' needs a `model` without a decision, as a key predicts by a mixture, "
            f"got {template.decision}"
        )
    if not template.export_state()[1]["experts.discriminant.means"].size:
        raise ConfigError(
            "`share` needs a `model` with a fixed layer, whose discriminant is pooled, got "
            "fixed_neurons=0"
        )
    if mode == PRIOR:
        try:
            blank_of(template)
        except CheckpointError:
            raise ConfigError(
                "`share` 'prior' needs a `model` whose features and texts all came with its first "
                "row; use 'start'"
            ) from None


def blank_of(template: LOCOClassifier) -> LOCOClassifier:
    """Return an untrained model with the scales and gains of a trained one."""
    blank = template.clone()
    blank.reserve(template.features)
    config, arrays = blank.export_state()
    _, trained = template.export_state()
    settled = {
        name: array.copy()
        for name, array in trained.items()
        if name.startswith(("statistics.", "fixed.")) or name in _SCALES
    }
    return LOCOClassifier.from_state(config, {**arrays, **settled})


def pool(
    template: LOCOClassifier,
    groups: Mapping[str | None, Sequence[LOCOClassifier]],
    start_of: Callable[[str | None], LOCOClassifier | None],
) -> LOCOClassifier:
    """Return the template with what the models of keys have learned since they began.

    template: the model that all keys have their scales from
    groups: models of keys, by what they began with
    start_of: returns what the models of a group began with; None for scales alone
    """
    pooled = template
    inputs = _inputs_of(template)
    n_left_out = 0
    for name, models in groups.items():
        alike = [model for model in models if _inputs_of(model) == inputs]
        n_left_out += len(models) - len(alike)
        if alike:
            pooled = merge([pooled, *alike], start_of(name), keep_first=True)
    if n_left_out:
        _log.warning(
            "models that are left out of what keys share, as they have met features or texts that "
            "the model that keys begin with has not: %d",
            n_left_out,
        )
    return pooled


def _inputs_of(model: LOCOClassifier) -> tuple[Any, Any]:
    """Return the features and texts of a model, in the order of their slots."""
    return model.features, list(model._core.slots.categories)


def _by_discriminant(model: LOCOClassifier) -> LOCOClassifier:
    """Return a copy that answers by its discriminant alone.

    The discriminant answers for dormant classes: here, all are.
    """
    config, arrays = model.export_state()
    dormant = {
        name: np.zeros_like(arrays[name]) for name in ("classes.last_seen", "classes.patience")
    }
    return LOCOClassifier.from_state(config, {**arrays, **dormant})


class PoolSchedule:
    """When knowledge is pooled: rarely enough that it costs little, early enough to help.

    every, seconds: `share_every` and `share_seconds`; see `Fleet`
    bounded: whether rows must always grow by half, which bounds how often they are pooled
    """

    def __init__(self, every: int, seconds: float | None, *, bounded: bool) -> None:
        self.n_rows = 0
        self._every = every
        self._seconds = seconds or math.inf
        self._most = math.inf if bounded else 100 * every
        self._due_at: float = every  # rows
        self._pooled_at = time.monotonic()
        self._n_pooled = 0  # rows at that time

    def is_due(self, n: int) -> bool:
        """Count `n` more rows; return whether it is time to pool."""
        self.n_rows += n
        is_late = time.monotonic() - self._pooled_at >= self._seconds
        return self.n_rows >= self._due_at or (is_late and self.n_rows > self._n_pooled)

    def pooled(self) -> None:
        """Note that knowledge was pooled."""
        self._pooled_at = time.monotonic()
        self._n_pooled = self.n_rows
        self._due_at = self.n_rows + max(min(self.n_rows / 2, self._most), self._every)


class SharedModel:
    """The shared model of a process, which is replaced while keys use it.

    mode: START or PRIOR
    model: the first one
    name: name of its file; None for the template
    """

    def __init__(self, mode: str, model: LOCOClassifier, name: str | None) -> None:
        self.mode = mode
        self.replace(model, name)

    def replace(self, model: LOCOClassifier, name: str | None) -> None:
        """Use another model from now on."""
        self.name = name
        self.model = _by_discriminant(model) if self.mode == PRIOR else model

    @property
    def begins(self) -> bool:
        """Whether new keys begin with a copy of it."""
        return self.mode == START

    def probas(self, X: Table, features: Names) -> _Probas:
        """Return probabilities (n, n_classes) of rows from anywhere, and the classes."""
        return probas(self.model, X, features, False)

    def predict(self, X: Table, features: Names, decision: Decision | None) -> list[Label]:
        """Predict rows by a rule."""
        return chosen(*self.probas(X, features), decision)


class Mixture:
    """The mixture of one key.

    `losses`: decayed log-losses of the key's own model and of the shared model.
    """

    def __init__(self) -> None:
        self.losses = [0.0, 0.0]

    @property
    def shared_weight(self) -> float:
        """Weight of the shared model, from 0 to 1."""
        own, shared = self.losses
        return 1.0 / (1.0 + math.exp(min(shared - own, 700.0)))

    def update(self, own: _Probas, shared: _Probas, y: Sequence[Label]) -> _Probas:
        """Return what the mixture gives each row, adapting the weights to its label afterwards.

        own, shared: probabilities (n, n_classes) of both models before each row was learned, and
            classes
        y: n labels

        Returns probabilities (n, n_classes) and the classes.
        """
        first, second, classes = _aligned(own, shared)
        columns = {label: j for j, label in enumerate(classes)}
        mixed = np.empty_like(first)
        for i, label in enumerate(y):
            share = self.shared_weight
            mixed[i] = (1.0 - share) * first[i] + share * second[i]
            j = columns.get(label)
            if j is not None:
                self.losses = [
                    _DECAY * loss - math.log(table[i, j])
                    for loss, table in zip(self.losses, (first, second), strict=True)
                ]
        return mixed, classes

    def combine(self, own: _Probas, shared: _Probas) -> _Probas:
        """Return the probabilities of the mixture (n, n_classes), and the classes."""
        first, second, classes = _aligned(own, shared)
        return (1.0 - self.shared_weight) * first + self.shared_weight * second, classes


def chosen(table: Float64, classes: Sequence[Label], decision: Decision | None) -> list[Label]:
    """Return the label that a rule chooses for each row; None while there are no classes."""
    if not classes:
        return [None] * len(table)
    slots = table.argmax(axis=1)
    if decision is not None:
        slots = decision.slots(table, classes, np.full(len(table), len(classes)))
    return [classes[j] for j in slots.tolist()]


def probas(model: LOCOClassifier, X: Table, features: Names, in_stream: bool | None) -> _Probas:
    """Return probabilities (n, n_classes) of rows and the classes."""
    classes = model.classes
    if isinstance(X, list):
        rows = [model.predict_proba_one(dict(x), in_stream=in_stream) for x in X]
        return _named_table(rows, classes), classes
    if not classes:
        return np.zeros((len(X), 0)), classes
    return np.asarray(model.predict_proba_array(X, features, in_stream=in_stream)), classes


def _named_table(rows: Sequence[Mapping[Any, float]], classes: Sequence[Label]) -> Float64:
    """Return probabilities by label as a table (n, n_classes)."""
    table = [[row.get(label, 0.0) for label in classes] for row in rows]
    return np.array(table, np.float64).reshape(len(rows), len(classes))


def _aligned(own: _Probas, shared: _Probas) -> tuple[Float64, Float64, list[Label]]:
    """Return both tables with the same columns and no probability of 0, and the classes."""
    classes = list(dict.fromkeys([*own[1], *shared[1]]))
    return _wide(*own, classes), _wide(*shared, classes), classes


def _wide(table: Float64, known: Sequence[Label], classes: Sequence[Label]) -> Float64:
    wide = np.full((len(table), len(classes)), _FLOOR)
    wide[:, [classes.index(label) for label in known]] += table
    normalised: Float64 = wide / np.maximum(wide.sum(axis=1, keepdims=True), _FLOOR)
    return normalised
