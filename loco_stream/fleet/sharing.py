"""Knowledge that the keys of a fleet share: one merged model, weighted by each key for itself.

The models of all keys encode a row alike: their hidden layers are frozen, and they begin with the
scales and gains of one trained template, but without its readout. Their readouts can therefore be
pooled into one *shared model*. Each key predicts with a mixture of two: its own model, which learns
from its rows alone, and the shared model. The weights follow from how well each predicted the last
rows of this key, so that a key whose concept contradicts the others soon ignores them. What a key
has learned does not depend on the others: only its predictions do.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import ConfigError
from loco_stream.estimators.classifier import LOCOClassifier
from loco_stream.fleet._rows import Label, Outputs, Table

__all__ = ["Mixture", "SharedModel", "blank_of", "check_template"]

_Probas: TypeAlias = NDArray[np.float64]

_DECAY = 0.9  # of the losses per row: about the last ten rows decide
_FLOOR = 0.02  # added to each probability, so that one surprise does not decide for ever
_SETTLED_ROWS = 300  # rows after which scales and gains of a model are fixed
_SCALES = ("net.gain", "net.drive_power", "net.input_power")


def check_template(template: object) -> None:
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
    if template.decision is not None:
        raise ConfigError(
            "`share` needs a `model` without a decision, as a key predicts by a mixture, "
            f"got {template.decision}"
        )
    if template.rule != "frozen":
        raise ConfigError(
            f"`share` needs a `model` with `rule` 'frozen', got {template.rule!r}: readouts of "
            "hidden layers that learn cannot be merged"
        )


def blank_of(template: LOCOClassifier) -> LOCOClassifier:
    """Return an untrained model with the scales and gains of a trained one."""
    blank = template.clone()
    blank.reserve(template.features)
    config, arrays = blank.export_state()
    _, trained = template.export_state()
    settled = {
        name: array.copy()
        for name, array in trained.items()
        if name.startswith("statistics.") or name in _SCALES
    }
    return LOCOClassifier.from_state(config, {**arrays, **settled})


class SharedModel:
    """The shared model of a process, which is replaced while keys use it.

    Parameters
    ----------
    model
        The first one: the template.
    """

    def __init__(self, model: LOCOClassifier) -> None:
        self.model = model

    def probas(
        self, X: Table, features: Iterable[Hashable] | None
    ) -> tuple[_Probas, Sequence[Label]]:
        """Return probabilities (n, n_classes) and the classes."""
        return probas(self.model, X, features)

    def predict(self, X: Table, features: Iterable[Hashable] | None) -> list[Label]:
        """Predict rows."""
        table, classes = self.probas(X, features)
        return [classes[j] for j in table.argmax(axis=1).tolist()]


class Mixture:
    """The mixture of one key.

    Parameters
    ----------
    losses
        Decayed log-losses of the key's own model and of the shared model.
    """

    def __init__(self, losses: Sequence[float] = (0.0, 0.0)) -> None:
        self.losses = [float(loss) for loss in losses]

    @property
    def share(self) -> float:
        """Weight of the shared model, from 0 to 1."""
        own, shared = self.losses
        return 1.0 / (1.0 + math.exp(min(shared - own, 700.0)))

    def update(
        self,
        own: tuple[_Probas, Sequence[Label]],
        shared: tuple[_Probas, Sequence[Label]],
        y: Sequence[Label],
    ) -> list[Label]:
        """Predict each row, then adapt the weights to its label.

        Parameters
        ----------
        own, shared
            Probabilities (n, n_classes) of both models before each row was learned, and classes.
        y
            n labels.
        """
        first, second, classes = _aligned(own, shared)
        columns = {label: j for j, label in enumerate(classes)}
        predictions: list[Label] = []
        for i, label in enumerate(y):
            share = self.share
            mixed = (1.0 - share) * first[i] + share * second[i]
            predictions.append(classes[int(mixed.argmax())] if classes else None)
            j = columns.get(label)
            if j is not None:
                self.losses = [
                    _DECAY * loss - math.log(table[i, j])
                    for loss, table in zip(self.losses, (first, second), strict=True)
                ]
        return predictions

    def combine(
        self, own: tuple[_Probas, Sequence[Label]], shared: tuple[_Probas, Sequence[Label]]
    ) -> tuple[_Probas, Outputs]:
        """Return the probabilities of the mixture (n, n_classes), and the classes."""
        first, second, classes = _aligned(own, shared)
        return (1.0 - self.share) * first + self.share * second, classes


def probas(
    model: LOCOClassifier, X: Table, features: Iterable[Hashable] | None
) -> tuple[_Probas, Sequence[Label]]:
    """Return probabilities (n, n_classes) of rows and the classes."""
    classes = model.classes
    if isinstance(X, list):
        return named_table([model.predict_proba_one(dict(x)) for x in X], classes), classes
    if not classes:
        return np.zeros((len(X), 0)), classes
    return np.asarray(model.predict_proba_array(X, features)), classes


def named_table(rows: Sequence[Mapping[Any, float]], classes: Sequence[Label]) -> _Probas:
    """Return probabilities by label as a table (n, n_classes)."""
    table = [[row.get(label, 0.0) for label in classes] for row in rows]
    return np.array(table, np.float64).reshape(len(rows), len(classes))


def _aligned(
    own: tuple[_Probas, Sequence[Label]], shared: tuple[_Probas, Sequence[Label]]
) -> tuple[_Probas, _Probas, list[Label]]:
    """Return both tables with the same columns and no probability of 0, and the classes."""
    classes = list(dict.fromkeys([*own[1], *shared[1]]))
    return _wide(*own, classes), _wide(*shared, classes), classes


def _wide(table: _Probas, known: Sequence[Label], classes: Sequence[Label]) -> _Probas:
    wide = np.full((len(table), len(classes)), _FLOOR)
    wide[:, [classes.index(label) for label in known]] += table
    normalised: _Probas = wide / np.maximum(wide.sum(axis=1, keepdims=True), _FLOOR)
    return normalised
