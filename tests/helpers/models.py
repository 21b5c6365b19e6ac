"""Models made from flat lists of options, rows to learn, and comparisons of arrays."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields
from typing import Any

import numpy as np

from loco_stream import AdvancedOptions, LOCOClassifier, LOCORegressor, load, save
from loco_stream._learner.arrays.allocate import allocate
from loco_stream._learner.arrays.scratch import allocate_scratch
from loco_stream._learner.arrays.spec import Shapes, build
from loco_stream._learner.kernel_args import KernelArgs, Model
from loco_stream._learner.settings import Settings, resolve
from loco_stream._options import ModelOptions

_ADVANCED = frozenset(declared.name for declared in fields(AdvancedOptions))


def sort_options(**flat: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return constructor parameters and advanced options by name."""
    given = {name: value for name, value in flat.items() if name not in _ADVANCED}
    return given, {name: value for name, value in flat.items() if name in _ADVANCED}


def parameters(**flat: Any) -> dict[str, Any]:
    """Return constructor parameters, the advanced options as `AdvancedOptions`."""
    given, advanced = sort_options(**flat)
    return {**given, "advanced": AdvancedOptions(**advanced)} if advanced else given


def classifier(**flat: Any) -> LOCOClassifier:
    """Return a classifier; `flat` holds constructor parameters and advanced options alike."""
    return LOCOClassifier(**parameters(**flat))


def regressor(**flat: Any) -> LOCORegressor:
    """Return a regressor; see `classifier`."""
    return LOCORegressor(**parameters(**flat))


def model_options(**flat: Any) -> ModelOptions:
    """Return checked options; see `classifier`."""
    return ModelOptions(**parameters(**flat))


def settings_of(n_features: int, *, regression: bool = False, **flat: Any) -> Settings:
    """Return the settings of a model whose first row has `n_features` features."""
    options = model_options(**flat)
    return resolve(options, options.layout_for(n_features), regression=regression, seed_key=0)


def untrained(
    n_features: int, n_classes: int, *, regression: bool = False, **flat: Any
) -> KernelArgs:
    """Return the arrays of a model that knows its features and classes and has learned nothing."""
    options = model_options(**flat)
    layout = options.layout_for(n_features)
    settings = resolve(options, layout, regression=regression, seed_key=1)
    state = allocate(layout, settings, n_features, n_classes)
    state.counts.n_features = n_features
    state.counts.n_classes = n_classes
    return KernelArgs(Model(settings, state, allocate_scratch(layout, settings, state)))


def fresh_group(group: type[Any], **lengths: int) -> Any:
    """Return a group of arrays as a fresh model has it, whose axes have these lengths."""
    shapes = Shapes(None, None, lengths)  # type: ignore[arg-type]
    return build(group, lambda spec: spec.make(shapes))


def blobs(n, n_features=4, n_classes=3, seed=0):
    """Draw noisy rows around one centre per class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    return rng.normal(size=(n_classes, n_features))[y] + 0.7 * rng.normal(size=(n, n_features)), y


def arrays_of(model):
    return model.export_state()[1]


def assert_same(a, b, but=()):
    """Compare two sets of arrays, bit by bit, except for the names in `but`."""
    assert set(a) == set(b)
    changed = [name for name in a if a[name].tobytes() != b[name].tobytes()]
    assert [name for name in changed if name not in but] == []


def assert_copies_continue_identically(model, X, y, folder):
    """Learn more with a model and with its copies by file, pickle and deepcopy."""
    save(model, folder / "model")
    others = [load(folder / "model"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    for other in (model, *others):
        other.learn_array(X, y)
    for other in others:
        assert_same(arrays_of(model), arrays_of(other))


def assert_rows_equal_block(block, single):
    """Learn the same rows as a block, and one by one with predictions in between."""
    X, y = blobs(120)
    block.learn_array(X, y)
    for row, label in zip(X, y, strict=True):
        single.predict_proba_one(dict(enumerate(row)))
        single.learn_one(dict(enumerate(row)), label)
        single.predict_array(X[:3])
    assert_same(arrays_of(block), arrays_of(single))
