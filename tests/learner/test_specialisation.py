"""Most models run a part of the code: constants remove the rest, bit-identically."""

import numpy as np
import pytest
from numba import typeof

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream._compiler.cache import _is_foreign
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.packing import PACKED
from loco_stream._learner import kernel_args
from loco_stream._learner.kernel_args import opened
from loco_stream._learner.settings import Settings
from loco_stream._learner.specialisation import (
    SPECIALISATIONS,
    Plain,
    PlainClassifier,
    PlainRegressor,
    specialised,
)
from tests.helpers import toy_neuron
from tests.helpers.jitted import entry
from tests.helpers.models import arrays_of, assert_same, blobs, parameters, settings_of

packed = pytest.mark.skipif(not PACKED, reason="all models run the same code")


def learned(make=LOCOClassifier, **options):
    """Return a model that has learned some rows, and its predictions."""
    X, y = blobs(40)
    model = make(**parameters(seed=1, **options))
    predicted = list(model.learn_predict_array(X, [float(label) for label in y]))
    return model, [*predicted, model.predict_one(dict(enumerate(X[0])))]


def cell_of(model):
    return model._core._args.args[0]


def test_constants_are_settings():
    for constants in SPECIALISATIONS.values():
        assert constants.group is Settings
        assert constants.values.keys() <= set(Settings._fields)


@pytest.mark.parametrize("width", [5, 700])
@pytest.mark.parametrize(
    "options", [{}, {"hidden_sizes": (6, 4)}, {"rule": "frozen"}, {"neuron": "alif"}]
)
def test_most_models_are_specialised(options, width):
    assert isinstance(specialised(settings_of(width, **options)), PlainClassifier)
    of_values = settings_of(width, regression=True, **options)
    assert isinstance(specialised(of_values), PlainRegressor)
    for regression in (False, True):
        settings = settings_of(width, regression=regression, memory=(1.0, 5.0), **options)
        assert isinstance(specialised(settings), Plain)


@pytest.mark.parametrize(
    "options",
    [
        {"max_delay": 2},
        {"neighbors": 9},
        {"credit": "learned"},
        {"readout": "delta"},
        {"projection": "clusters"},
        {"readout_layers": "last"},
        {"class_weight": "balanced"},
    ],
)
@pytest.mark.parametrize("regression", [False, True])
def test_other_models_run_the_whole_code(regression, options):
    settings = settings_of(5, regression=regression, **options)
    assert specialised(settings) is settings.cell


@packed
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (LOCOClassifier, {}),
        (LOCOClassifier, {"hidden_sizes": (12, 8)}),
        (LOCOClassifier, {"retention": 0.0}),
        (LOCOClassifier, {"dt": 1.0}),
        (LOCOClassifier, {"rule": "np"}),
        (LOCORegressor, {}),
        (LOCORegressor, {"hidden_sizes": (12, 8)}),
        (LOCOClassifier, {"memory": (0.5, 9.0)}),
        (LOCORegressor, {"memory": (0.5, 9.0)}),
    ],
)
def test_the_part_and_the_whole_are_bit_identical(make, options, monkeypatch):
    part, predicted = learned(make, **options)
    assert type(cell_of(part)) in SPECIALISATIONS
    monkeypatch.setattr(kernel_args, "specialised", lambda settings: settings.cell)
    whole, predicted_by_whole = learned(make, **options)
    assert type(cell_of(whole)) not in SPECIALISATIONS
    assert predicted == predicted_by_whole
    assert_same(arrays_of(part), arrays_of(whole))


@kernel
def _choose(settings, out):
    """Call a function that does not exist, unless constants remove the call."""
    if settings.regression or (settings.remembers and out[0] > 0.0):
        out[0] = _no_such_function(settings)  # noqa: F821
    not_settings = out
    out[0] = settings.tau if settings.max_delay == 0 else not_settings.max_delay


@packed
def test_code_behind_constants_is_not_compiled():
    def choose(cell, words, out):
        _choose(opened(cell, words).settings, out)

    model, _ = learned(hidden_sizes=(4,), tau=7.0)
    out = np.zeros(1)
    entry(choose)(*model._core._args.args, out)
    assert out.tolist() == [7.0]


def test_a_neuron_from_outside_is_recognised_inside_a_specialisation():
    assert _is_foreign([typeof(PlainClassifier(toy_neuron.Counter()))])
    assert not _is_foreign([typeof(specialised(settings_of(3)))])
