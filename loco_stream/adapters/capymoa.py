"""Learners for CapyMOA's evaluation; importing this module starts CapyMOA and its Java machine."""

from __future__ import annotations

import sys
from typing import Any, Self

import numpy as np

from loco_stream._arrays import Float64
from loco_stream.errors import ConfigError
from loco_stream.estimators._classifier import LOCOClassifier
from loco_stream.estimators._regressor import LOCORegressor

try:
    from capymoa.base import Classifier, Regressor
    from capymoa.core import Instance, LabeledInstance, RegressionInstance
    from capymoa.stream import Schema
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "capymoa":
        raise
    raise ConfigError(
        "learners for CapyMOA need CapyMOA: pip install 'loco-stream[capymoa]'"
    ) from error


class CapyMOAClassifier(Classifier):
    """`LOCOClassifier` as a classifier of CapyMOA.

    Nominal attributes become texts, and NaN is a missing value. In `capymoa.ocl`, which must be
    imported before the learner is made, rows that are tested between those of the stream are
    predicted with ``in_stream=False``.

    Parameters
    ----------
    schema
        Schema of the stream.
    model
        Model whose parameters are used; a clone of it learns. None: a `LOCOClassifier` with its
        defaults.
    random_seed
        Seed of the clone.

    Raises
    ------
    ConfigError
        The schema has no classes, or CapyMOA is not installed, which importing the module raises.

    Examples
    --------
    >>> import numpy as np
    >>> from capymoa.evaluation import prequential_evaluation
    >>> from capymoa.stream import NumpyStream
    >>> X = np.random.default_rng(0).normal(size=(1000, 3))
    >>> stream = NumpyStream(X, (X[:, 0] * X[:, 1] > 0).astype(int))
    >>> learner = CapyMOAClassifier(stream.get_schema())
    >>> prequential_evaluation(stream, learner, window_size=500).cumulative.accuracy() > 80
    True
    """

    def __init__(
        self, schema: Schema, model: LOCOClassifier | None = None, random_seed: int = 1
    ) -> None:
        super().__init__(schema, random_seed)
        if schema.is_regression():
            raise ConfigError("`schema` must have a nominal target, got a numeric one")
        self.model = (model or LOCOClassifier()).clone({"seed": random_seed})
        self._row = _Rows(schema)
        self._in_stream: bool | None = True
        events = sys.modules.get("capymoa.ocl.events")
        if events is not None:  # loaded with PyTorch: its evaluation calls `attach_with` of these
            events.Handler.register(type(self))

    def __str__(self) -> str:
        """Return the name that CapyMOA's results show."""
        return type(self.model).__name__

    def train(self, instance: LabeledInstance) -> None:
        """Learn one row."""
        self.model.learn_one(self._row(instance), int(instance.y_index))

    def predict(self, instance: Instance) -> int | None:
        """Return the index of the predicted class; None before the first label."""
        label: int | None = self.model.predict_one(self._row(instance), in_stream=self._in_stream)
        return label

    def predict_proba(self, instance: Instance) -> Float64 | None:
        """Return the probability of each class of the schema; None before the first label."""
        known = self.model.predict_proba_one(self._row(instance), in_stream=self._in_stream)
        if not known:
            return None
        proba = np.zeros(self.schema.get_num_classes())
        proba[list(known)] = list(known.values())
        return proba

    def attach_with(self, dispatcher: Any) -> Self:
        """Predict test rows as rows from anywhere; `ocl_train_eval_loop` calls it."""
        from capymoa.ocl.evaluation.events import TestBegin, TestEnd

        dispatcher.subscribe(TestBegin, lambda event: setattr(self, "_in_stream", False))
        dispatcher.subscribe(TestEnd, lambda event: setattr(self, "_in_stream", True))
        return self


class CapyMOARegressor(Regressor):
    """`LOCORegressor` as a regressor of CapyMOA.

    The target of the schema must be numeric; otherwise as `CapyMOAClassifier`.
    """

    def __init__(
        self, schema: Schema, model: LOCORegressor | None = None, random_seed: int = 1
    ) -> None:
        super().__init__(schema, random_seed)
        if not schema.is_regression():
            raise ConfigError("`schema` must have a numeric target, got a nominal one")
        self.model = (model or LOCORegressor()).clone({"seed": random_seed})
        self._row = _Rows(schema)

    def __str__(self) -> str:
        """Return the name that CapyMOA's results show."""
        return type(self.model).__name__

    def train(self, instance: RegressionInstance) -> None:
        """Learn one row."""
        self.model.learn_one(self._row(instance), float(instance.y_value))

    def predict(self, instance: Instance) -> float:
        """Return the predicted value; 0.0 before the first row."""
        value: float = self.model.predict_one(self._row(instance), in_stream=True)
        return value


class _Rows:
    """Instances of a schema as dicts of numbers and texts."""

    def __init__(self, schema: Schema) -> None:
        header = schema.get_moa_header()
        inputs = (i for i in range(header.numAttributes()) if i != header.classIndex())
        self.names = [str(header.attribute(i).name()) for i in inputs]
        self.texts = {
            str(name): [str(text) for text in texts]
            for name, texts in schema.get_nominal_attributes().items()
        }

    def __call__(self, instance: Instance) -> dict[str, Any]:
        row: dict[str, Any] = dict(zip(self.names, instance.x.tolist(), strict=True))
        for name, texts in self.texts.items():
            code = row[name]
            row[name] = None if np.isnan(code) else texts[int(code)]
        return row
