"""Constructor parameters: declared once, documented, and fixed after construction."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields

import numpy as np
import pytest

from loco_stream import (
    AdvancedOptions,
    LOCOClassifier,
    LOCODetector,
    LOCOForecaster,
    LOCOMultiTargetRegressor,
    LOCORegressor,
)
from loco_stream._options import DEFAULTS, ModelOptions
from loco_stream.errors import ConfigError
from loco_stream.estimators._parameters import MOVED
from tests.helpers.models import arrays_of, assert_same, blobs

KINDS = [LOCOClassifier, LOCORegressor]
CASES = [(kind, name) for kind in KINDS for name in kind._parameters]
OTHER_VALUES = {
    "hidden_sizes": (3,),
    "rule": "np",
    "learning_rate": 1.0,
    "class_weight": "balanced",
    "retention": 0.1,
    "memory": (1.0, 2.0),
    "max_delay": 1,
    "neighbors": 7,
    "centroids": 0,
    "categories": 3,
    "neuron": "alif",
    "seed": 5,
    "advanced": AdvancedOptions(credit="learned"),
}


def documented(kind):
    """Return the text of each name in the section of the parameters."""
    text = inspect.getdoc(kind)
    section = text.split("Parameters\n----------\n")[1].split("\n\n")[0]
    entries = re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?)+)", section, re.MULTILINE)
    return {name: " ".join(body.split()) for names, body in entries for name in names.split(", ")}


@pytest.mark.parametrize("kind", KINDS)
def test_the_parameters_are_those_of_the_signature(kind):
    assert kind._parameters == tuple(inspect.signature(kind).parameters)
    assert set(kind()._get_params()) == set(kind._parameters)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_parameter_is_an_option_with_the_same_default(kind, name):
    assert name in {declared.name for declared in fields(ModelOptions)}
    default = inspect.signature(kind).parameters[name].default
    if name == "advanced":
        assert default is None
        assert kind().advanced == DEFAULTS.advanced == AdvancedOptions()
    else:
        assert default == getattr(DEFAULTS, name)
        assert getattr(kind(), name) == default


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_parameter_is_documented(kind, name):
    assert len(documented(kind)[name]) > 20


def test_every_advanced_option_is_documented():
    texts = documented(AdvancedOptions)
    assert list(texts) == [declared.name for declared in fields(AdvancedOptions)]
    assert min(map(len, texts.values())) > 20


def test_the_options_are_the_parameters_of_both_estimators_together():
    assert [declared.name for declared in fields(ModelOptions)] == [*LOCOClassifier._parameters]
    regressor = [n for n in LOCOClassifier._parameters if n not in ("class_weight", "retention")]
    assert [*LOCORegressor._parameters] == regressor


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_parameter_is_stored_as_given_and_reaches_the_model(kind, name):
    if kind is LOCORegressor and name == "centroids":
        return  # only None and 0 are allowed
    value = OTHER_VALUES[name]
    model = kind(**{name: value})
    assert getattr(model, name) is value
    assert getattr(model._core.options, name) == value
    assert getattr(model.clone(), name) == value


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_setting_a_parameter_after_construction_raises(kind, name):
    model = kind(hidden_sizes=(4,), seed=1)
    before = getattr(model, name)
    advice = "call `set_class_weight`" if name == "class_weight" else "make a new model"
    message = f"`{name}` of {kind.__name__} must not be set after construction; {advice}"
    for value in (OTHER_VALUES[name], before):
        with pytest.raises(ConfigError, match=re.escape(message)):
            setattr(model, name, value)
    assert getattr(model, name) is before
    model.note = "other attributes are free"


def test_a_model_whose_parameter_could_not_be_set_learns_as_before():
    X, y = blobs(40)
    model, other = (LOCOClassifier(hidden_sizes=(4,), seed=1) for _ in range(2))
    model.learn_array(X[:20], y[:20])
    with pytest.raises(ConfigError):
        model.class_weight = {0: 9.0}
    model.learn_array(X[20:], y[20:])
    other.learn_array(X, y)
    assert_same(arrays_of(model), arrays_of(other))
    assert np.array_equal(model.predict_proba_array(X), other.predict_proba_array(X))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [declared.name for declared in fields(AdvancedOptions)])
def test_a_moved_keyword_raises_and_names_its_new_place(kind, name):
    assert name in MOVED
    message = f"`{name}` moved: pass advanced=AdvancedOptions({name}=...) to {kind.__name__}"
    with pytest.raises(TypeError, match=re.escape(message)):
        kind(**{name: getattr(AdvancedOptions(), name)})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (LOCOClassifier, "`antithetic` was removed: pairs of opposite perturbations"),
        (LOCORegressor, "`n_perturbations` was removed: a row is perturbed once"),
        (LOCORegressor, "`class_weight` is a parameter of LOCOClassifier only"),
        (LOCOForecaster, "`horizon` is an argument of `LOCOForecaster.forecast`; `heads` is"),
        (LOCOForecaster, "`lags` cannot be chosen: a forecast is made from the last 24 values"),
        (LOCOForecaster, "`season_length` is called `seasons`"),
        (LOCOMultiTargetRegressor, "`targets` is not needed: LOCOMultiTargetRegressor finds"),
        (LOCODetector, "`threshold` is not set directly: `every` is"),
        (LOCOClassifier, "`n_neurons` is called `hidden_sizes`"),
        (LOCOClassifier, "`lr` is called `learning_rate`"),
        (LOCODetector, "`random_state` is called `seed`"),
    ],
)
def test_a_keyword_of_another_release_estimator_or_library_raises_with_a_hint(make, text):
    name = text.split("`")[1]
    with pytest.raises(TypeError, match=f"^{re.escape(text)}"):
        make(**{name: 1})


def test_a_hint_at_a_parameter_that_the_estimator_lacks_is_not_given():
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'lr'"):
        LOCODetector(lr=0.1)


@pytest.mark.parametrize(
    ("kind", "most", "rest"),
    [
        (LOCOClassifier, 7, "; `neighbors` and what follows need a keyword"),
        (LOCORegressor, 5, "; `neighbors` and what follows need a keyword"),
        (AdvancedOptions, 0, "; `credit` and what follows need a keyword"),
        (LOCODetector, 3, ""),
    ],
)
def test_too_many_positional_arguments_raise_and_name_the_first_that_needs_a_keyword(
    kind, most, rest
):
    text = f"{kind.__name__}() must have at most {most} positional arguments, got {most + 1}{rest}"
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        kind(*[None] * (most + 1))


@pytest.mark.parametrize(
    ("make", "meant"),
    [
        (lambda: LOCOClassifier(hiden_sizes=3), "did you mean 'hidden_sizes'?"),
        (lambda: LOCOForecaster(head=3), "did you mean 'heads'?"),
        (lambda: LOCODetector(evry=50), "did you mean 'every'"),
        (
            lambda: LOCORegressor(crdit="mirror"),
            "did you mean 'credit', an option of advanced=AdvancedOptions(...)?",
        ),
        (lambda: AdvancedOptions(crdit="mirror"), "did you mean 'credit'?"),
        (
            lambda: AdvancedOptions(hiden_sizes=3),
            "did you mean 'hidden_sizes', a parameter of the estimator?",
        ),
        (
            lambda: AdvancedOptions(hidden_sizes=3),
            "`hidden_sizes` is no option of AdvancedOptions: pass hidden_sizes=... to the",
        ),
    ],
)
def test_a_misspelt_or_misplaced_keyword_names_what_it_may_mean(make, meant):
    with pytest.raises(TypeError, match=re.escape(meant)):
        make()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"seed": np.int64(3)}, 3),
        ({"seed": np.uint64(2**64 - 1)}, 2**64 - 1),
        ({"hidden_sizes": (np.int32(4), 8)}, (4, 8)),
        ({"retention": np.float32(0.5)}, 0.5),
        ({"class_weight": {"a": np.float64(2.0)}}, {"a": 2.0}),
        ({"memory": [np.float64(0.5), np.int8(50)]}, [0.5, 50]),
        ({"advanced": AdvancedOptions(gain=np.float32(3.0))}, AdvancedOptions(gain=3.0)),
    ],
)
def test_numbers_of_numpy_are_kept_as_those_of_python(given, kept):
    ((name, _),) = given.items()
    model = LOCOClassifier(**given)
    assert repr(getattr(model, name)) == repr(kept)
    assert repr(getattr(model._core.options, name)) == repr(kept)


def test_other_estimators_take_numbers_of_numpy_too():
    assert repr(LOCODetector(seed=np.int64(3)).seed) == "3"
    forecaster = LOCOForecaster(heads=np.int8(3), seasons=(np.int64(4),))
    assert repr((forecaster.heads, forecaster.seasons)) == "(3, (4,))"


@pytest.mark.parametrize("value", [np.float64(3.0), np.True_, np.array([3]), "3"])
def test_a_seed_is_an_integer(value):
    with pytest.raises(ConfigError, match="`seed` must be None or an integer"):
        LOCOClassifier(seed=value)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_keyword_raises(kind):
    with pytest.raises(TypeError, match="unexpected keyword argument 'sizes'"):
        kind(sizes=3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("advanced", ["learned", {"credit": "learned"}, AdvancedOptions])
def test_advanced_must_be_advanced_options(kind, advanced):
    message = f"`advanced` must be None or an AdvancedOptions, got {advanced!r}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        kind(advanced=advanced)


@pytest.mark.parametrize("kind", KINDS)
def test_presets(kind):
    model = kind.preset("fast", seed=3)
    assert type(model) is kind
    assert (model.hidden_sizes, model.seed) == ((64,), 3)
    with pytest.raises(
        ConfigError, match="must be one of the presets 'fast', 'default', 'accurate', got 'slow'"
    ):
        kind.preset("slow")


@pytest.mark.parametrize("sizes", [8, [8], (8,), [8, 4]])
def test_hidden_sizes_may_be_a_number_a_list_or_a_tuple(sizes):
    X, y = blobs(20)
    plain = LOCOClassifier(hidden_sizes=(8, 4) if sizes == [8, 4] else (8,), seed=1)
    model = LOCOClassifier(hidden_sizes=sizes, seed=1)
    for each in (plain, model):
        each.learn_array(X, y)
    assert model.hidden_sizes is sizes
    assert type(model.clone().hidden_sizes) is type(sizes)
    assert_same(arrays_of(plain), arrays_of(model))
    again = LOCOClassifier.from_state(*model.export_state())
    assert again.hidden_sizes == sizes
    assert_same(arrays_of(again), arrays_of(model))
