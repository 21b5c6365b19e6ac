"""What most models have in common is known to the compiler.

It leaves code out, and changes no byte.
"""

import numpy as np
import pytest
from numba import config, njit, typeof

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream._compiler import jit
from loco_stream._compiler.cache import _is_foreign
from loco_stream._compiler.jit import kernel
from loco_stream.learner import kernel_args as packing
from loco_stream.learner.kernel_args import opened
from loco_stream.learner.specialisation import KNOWN, Usual, UsualClassifier, UsualRegressor, told
from loco_stream.options import Settings
from tests.helpers import toy_neuron
from tests.helpers.models import arrays_of, assert_same, blobs

packed = pytest.mark.skipif(
    jit.PLAIN or bool(config.DISABLE_JIT), reason="all models run the same code"
)


def learned(make=LOCOClassifier, **options):
    X, y = blobs(40)
    model = make(seed=1, **options)
    model.answers = list(model.learn_predict_array(X, [float(label) for label in y]))
    model.answers += [model.predict_one(dict(enumerate(X[0])))]
    return model


def test_what_is_known_are_settings():
    assert all(known.keys() <= set(Settings._fields) for known in KNOWN.values())


@pytest.mark.parametrize("width", [5, 700])
@pytest.mark.parametrize(
    "options", [{}, {"hidden_sizes": (6, 4)}, {"rule": "frozen"}, {"neuron": "alif"}]
)
def test_what_is_known_of_most_models(options, width):
    assert isinstance(told(LOCOClassifier(**options)._resolve(width)), UsualClassifier)
    assert isinstance(told(LOCORegressor(**options)._resolve(width)), UsualRegressor)
    for make in (LOCOClassifier, LOCORegressor):
        assert isinstance(told(make(memory=(1.0, 5.0), **options)._resolve(width)), Usual)


@pytest.mark.parametrize(
    "options",
    [
        {"max_delay": 2},
        {"neighbors": 9},
        {"credit": "learned"},
        {"readout": "delta"},
        {"n_input_clusters": 3},
        {"readout_layers": "last"},
    ],
)
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_others_run_the_whole_code(make, options):
    settings = make(**options)._resolve(5)
    assert told(settings) is settings.cell


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
def test_the_part_and_the_whole_learn_the_same_bytes(make, options, monkeypatch):
    part = learned(make, **options)
    assert type(part._handle.door[0]) in KNOWN
    monkeypatch.setattr(packing, "told", lambda settings: settings.cell)
    whole = learned(make, **options)
    assert type(whole._handle.door[0]) not in KNOWN
    assert part.answers == whole.answers
    assert_same(arrays_of(part), arrays_of(whole))


@kernel
def _choose(settings, out):
    """Call what does not exist, unless that is left out."""
    if settings.regression or (settings.remembers and out[0] > 0.0):
        out[0] = _no_such_function(settings)  # noqa: F821
    settings_of_another = out
    out[0] = settings.tau if settings.max_delay == 0 else settings_of_another.max_delay


@packed
def test_code_behind_known_settings_is_not_compiled():
    from loco_stream._compiler.kernels import EntryCompiler

    def choose(cell, words, out):
        _choose(opened(cell, words).settings, out)

    model = learned(hidden_sizes=(4,), tau=7.0)
    out = np.zeros(1)
    njit(_nrt=False, no_cfunc_wrapper=True, pipeline_class=EntryCompiler)(choose)(
        *model._handle.door, out
    )
    assert out.tolist() == [7.0]


def test_a_neuron_from_outside_is_found_within_what_is_usual():
    assert _is_foreign([typeof(UsualClassifier(toy_neuron.Counter()))])
    assert not _is_foreign([typeof(told(LOCOClassifier()._resolve(3)))])
