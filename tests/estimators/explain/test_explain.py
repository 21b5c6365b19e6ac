"""Explanations: their parts add up to the score, and the features that matter stand first."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream._learner.readout.next_row import HEAD_START
from loco_stream.errors import ConfigError, InputError
from tests.helpers.models import parameters

OPTIONS = (
    {},
    {"hidden_sizes": (16, 12)},
    {"receptive_fields": 1},
    {"readout_layers": "last"},
    {"readout_layers": "hidden"},
    {"readout": "delta"},
    {"memory": (1.0, 20.0)},
    {"neuron": "izhikevich"},
    {"neighbors": 40},
    {"centroids": 0},
)


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    for x in rng.normal(size=(n, 5)).tolist():
        yield dict(zip("abcde", x, strict=True)), x[0] + 0.5 * x[1] > 0.3


def learned(kind, n=250, **options):
    model = kind(**parameters(**{"hidden_sizes": (16,), "seed": 1, **options}))
    for x, y in rows(n):
        model.learn_one(x, 40.0 + 3.0 * x["a"] - x["b"] if kind is LOCORegressor else y)
    return model


def score_of(model, slot):
    """Return a class's log-odds against the mean of the others by the opinions on the last row."""
    core = model._core
    now = core.scratch.now
    n = len(model.classes)
    if core.settings.recursive:
        opinions = now.opinions[:, :n]
        log_weights = core.state.mixture.log_weights
        weights = np.exp(log_weights - log_weights.max())
    else:
        opinions = now.mixed[None, :n]
        weights = np.ones(1)
    logs = np.log(opinions)
    others = (logs.sum(axis=1) - logs[:, slot]) / (n - 1)
    return float(weights @ (logs[:, slot] - others) / weights.sum())


def stack_share(model):
    """Return the share of the answer that the discriminant does not give alone."""
    log_weights = model._core.state.next_row.log_weights[:2]  # the others have context
    if len(log_weights) == 0:
        return 1.0
    return 1.0 / (1.0 + np.exp(log_weights[1] - log_weights[0] - HEAD_START))


def has_votes(model):
    """Return whether centroids or neighbors have outputs."""
    settings = model._core.settings
    return settings.n_outputs > (settings.n_trace + settings.n_linear) * settings.n_losses


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_parts_of_a_class_add_up_to_the_opinions(options):
    model = learned(LOCOClassifier, **options)
    for x, _ in rows(5, seed=7):
        why = model.explain_one(x)
        assert why.prediction == model.predict_one(x)
        expected = score_of(model, model.classes.index(why.prediction))
        assert why.score == pytest.approx(expected, rel=1e-3, abs=1e-3)
        total = why.base + why.before + why.nearest + sum(why.features.values())
        assert why.score == pytest.approx(total)
        assert (why.before != 0.0) == ("memory" in options) or abs(why.before) < 1e-3
        assert (why.nearest != 0.0) == has_votes(model)
        assert why.explained == pytest.approx(stack_share(model))


def test_naive_bayes_is_decomposed():
    model = learned(LOCOClassifier)
    model._core.state.mixture.log_weights[-1] += 1e3
    x = {**dict.fromkeys("abcde", 0.0), "a": 2.0}
    why = model.explain_one(x)
    assert why.experts["naive Bayes"] == pytest.approx(1.0)
    assert next(iter(why.features)) == "a"
    expected = score_of(model, model.classes.index(why.prediction))
    assert why.score == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("options", [o for o in OPTIONS if "neuron" not in o], ids=str)
def test_the_parts_of_a_value_add_up_to_the_value(options):
    model = learned(LOCORegressor, **options)
    for x, _ in rows(5, seed=7):
        why = model.explain_one(x)
        assert why.score == pytest.approx(model.predict_one(x, in_stream=False), rel=1e-4)
        assert why.prediction == model.predict_one(x)


def test_features_that_matter_stand_first_and_the_others_have_small_shares():
    for model in (learned(LOCOClassifier, 1500), learned(LOCORegressor, 1500)):
        first = [
            next(iter(model.explain_one(x).features))
            for x, _ in rows(40, seed=8)
            if abs(x["a"]) > 1
        ]
        assert first.count("a") > 0.8 * len(first)
        shares = model.feature_importances_
        assert sorted(shares, key=shares.get)[-2:] == ["b", "a"]
        assert sum(shares[name] for name in "cde") < 0.25


def test_features_that_matter_only_through_hidden_layers_are_found():
    model = LOCOClassifier(seed=1)
    rng = np.random.default_rng(0)
    for x in rng.normal(size=(3000, 4)).tolist():
        model.learn_one(dict(zip("abcd", x, strict=True)), x[0] * x[1] > 0)
    shares = model.feature_importances_
    assert set(sorted(shares, key=shares.get)[-2:]) == {"a", "b"}


def test_rows_of_arrays_and_frames_are_explained_like_rows_by_name():
    pandas = pytest.importorskip("pandas")
    model = learned(LOCOClassifier)
    rows_ = [x for x, _ in rows(3, seed=5)]
    by_name = [model.explain_one(x).features for x in rows_]
    frame = pandas.DataFrame(rows_)
    assert [why.features for why in model.explain(frame[list("edcba")])] == by_name
    assert [why.features for why in model.explain(frame.to_numpy())] == by_name
    assert model.explain(rows_[0]).features == by_name[0]


def test_texts_count_for_their_feature():
    model = LOCOClassifier(hidden_sizes=(16,), seed=1)
    for i in range(400):
        model.learn_one({"city": ("Rome", "Oslo", "Lima")[i % 3], "n": i % 7}, i % 3 == 1)
    why = model.explain_one({"city": "Oslo", "n": 3})
    assert next(iter(why.features)) == "city"
    assert set(why.features) == {"city", "n"}
    assert model.feature_importances_["city"] > 0.8


@pytest.mark.parametrize("present", ["city", "tone"])
def test_what_spikes_add_is_traced_back_to_the_text_of_the_row(present):
    """A row with one of two texts says nothing of the other feature, nor of earlier rows."""
    model = LOCOClassifier(hidden_sizes=(16,), seed=1)
    words = {"city": ("Rome", "Oslo", "Lima"), "tone": ("dark", "light", "warm")}
    for i in range(400):
        x = {"city": words["city"][i % 3], "tone": words["tone"][i // 3 % 3], "n": float(i % 7)}
        model.learn_one(x, i % 3 == 1)
    for text in words[present]:
        why = model.explain_one({"city": None, "tone": None, "n": 3.0, present: text})
        assert why.before == pytest.approx(0.0, abs=1e-5)
        (absent,) = words.keys() - {present}
        assert why.features[present] != 0.0
        assert why.features[absent] == 0.0


def test_explaining_changes_nothing_of_the_model():
    model = learned(LOCOClassifier, memory=(1.0, 20.0))
    before = pickle.dumps(model.export_state()[1])
    for x, _ in rows(3, seed=9):
        model.explain_one(x)
    assert model.feature_importances_
    assert pickle.dumps(model.export_state()[1]) == before


def test_a_model_that_has_learned_nothing_explains_nothing():
    with pytest.raises(InputError, match="the model has learned nothing"):
        LOCOClassifier().explain_one({"a": 1})
    assert LOCOClassifier().feature_importances_ == {}


def test_a_recalled_model_is_named_and_does_not_count_as_explained():
    model = learned(LOCOClassifier)
    x, _ = next(rows(1, seed=3))
    snapshots = model._core.state.snapshots
    snapshots.ids[0] = 12
    snapshots.posterior[0] = 0.25
    snapshots.posterior[2] = 0.75
    why = model.explain_one(x)
    assert why.experts["earlier model 12"] == pytest.approx(0.75)
    assert why.explained == pytest.approx(0.25 * stack_share(model))
    assert sum(why.experts.values()) == pytest.approx(1.0)
    snapshots.posterior[0] = 0.98
    snapshots.posterior[2] = 0.02
    snapshots.counters.eval_rows = 0  # the snapshot is not evaluated
    why = model.explain_one(x)
    assert "earlier model 12" not in why.experts
    assert why.explained == pytest.approx(stack_share(model))


def test_an_explanation_is_shown_as_text_and_as_a_picture(monkeypatch, tmp_path):
    why = learned(LOCOClassifier).explain_one(dict.fromkeys("abcde", 1.0))
    assert repr(why).startswith("True: score +")
    assert "experts: " in repr(why)
    assert why._repr_png_().startswith(b"\x89PNG")
    assert len(why.plot(tmp_path / "why.png").axes) == 2
    with pytest.raises(ConfigError, match=r"cannot write the picture .*: it is a folder"):
        why.plot(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert why._repr_png_() is None
    with pytest.raises(ConfigError, match="matplotlib"):
        why.plot()
