"""Explanations: their parts add up to what the readout says, and they name what matters."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.errors import ConfigError, InputError
from loco_stream.learner.readout.snapshots import HEARING

SETTINGS = (
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


def learned(kind, n=250, **settings):
    model = kind(**{"hidden_sizes": (16,), "seed": 1, **settings})
    for x, y in rows(n):
        model.learn_one(x, 40.0 + 3.0 * x["a"] - x["b"] if kind is LOCORegressor else y)
    return model


def score_of(model, slot):
    """The answer's log-odds against the mean of the others, by what the experts said of the last row."""
    answers = model._scratch.answers
    settings = model._settings
    bank = model._state.bank
    if not settings.recursive:
        said = model._scratch.vectors[2:3, : len(model.classes)]  # the readout's probabilities
        say = np.ones(1)
    else:
        said = answers.experts[:, : len(model.classes)]
        say = np.exp(bank.evidence - bank.evidence.max())
    logs = np.log(said)
    others = (logs.sum(axis=1) - logs[:, slot]) / (logs.shape[1] - 1)
    return float(say @ (logs[:, slot] - others) / say.sum())


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_parts_of_a_class_add_up_to_what_the_experts_say(settings):
    model = learned(LOCOClassifier, **settings)
    for x, _ in rows(5, seed=7):
        why = model.explain_one(x)
        assert why.prediction == model.predict_one(x)
        assert why.score == pytest.approx(
            score_of(model, model.classes.index(why.prediction)), rel=1e-3, abs=1e-3
        )
        assert why.score == pytest.approx(
            why.base + why.before + why.nearest + sum(why.features.values())
        )
        assert (why.before != 0.0) == ("memory" in settings) or abs(why.before) < 1e-3
        assert (why.nearest != 0.0) == (model._settings.n_says > 0)
        assert why.explained == pytest.approx(1.0)


def test_what_naive_bayes_says_is_taken_apart_too():
    model = learned(LOCOClassifier)
    model._state.bank.evidence[-1] += 1e3
    x = {**dict.fromkeys("abcde", 0.0), "a": 2.0}
    why = model.explain_one(x)
    assert why.memories["naive Bayes"] == pytest.approx(1.0)
    assert next(iter(why.features)) == "a"
    assert why.score == pytest.approx(
        score_of(model, model.classes.index(why.prediction)), rel=1e-4
    )


@pytest.mark.parametrize("settings", [s for s in SETTINGS if "neuron" not in s], ids=str)
def test_the_parts_of_a_value_add_up_to_the_value(settings):
    model = learned(LOCORegressor, **settings)
    for x, _ in rows(5, seed=7):
        why = model.explain_one(x)
        assert why.score == pytest.approx(why.prediction, rel=1e-4)


def test_what_matters_stands_first_and_what_does_not_is_small():
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


def test_what_only_spikes_can_tell_is_found():
    model = LOCOClassifier(seed=1)
    rng = np.random.default_rng(0)
    for x in rng.normal(size=(3000, 4)).tolist():
        model.learn_one(dict(zip("abcd", x, strict=True)), x[0] * x[1] > 0)
    shares = model.feature_importances_
    assert set(sorted(shares, key=shares.get)[-2:]) == {"a", "b"}


def test_rows_of_arrays_and_frames_are_explained_as_by_name():
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


def test_explaining_changes_nothing_of_the_model():
    model = learned(LOCOClassifier, memory=(1.0, 20.0))
    before = pickle.dumps(model.export_state()[1])
    for x, _ in rows(3, seed=9):
        model.explain_one(x)
    assert model.feature_importances_
    assert pickle.dumps(model.export_state()[1]) == before


def test_nothing_learned_is_said_in_words():
    with pytest.raises(InputError, match="nothing has been learned"):
        LOCOClassifier().explain_one({"a": 1})
    assert LOCOClassifier().feature_importances_ == {}


def test_a_recalled_model_is_named_and_not_taken_for_explained():
    model = learned(LOCOClassifier)
    x, _ = next(rows(1, seed=3))
    speakers = model._state.recall.speakers
    if len(speakers) < 3:
        pytest.skip("this release keeps no snapshots by default")
    model._state.recall.births[0] = 12
    speakers[0] = 0.25
    speakers[2] = 0.75
    why = model.explain_one(x)
    assert why.memories["old model 12"] == pytest.approx(0.75)
    assert why.explained == pytest.approx(0.25)
    assert sum(why.memories.values()) == pytest.approx(1.0)
    speakers[0] = 0.98
    speakers[2] = 0.02
    model._state.recall.clock[HEARING] = 0  # so that it was not asked
    why = model.explain_one(x)
    assert "old model 12" not in why.memories
    assert why.explained == 1.0


def test_it_is_shown_as_text_and_as_a_picture(monkeypatch, tmp_path):
    why = learned(LOCOClassifier).explain_one(dict.fromkeys("abcde", 1.0))
    assert repr(why).startswith("True: score +")
    assert "spoken by" in repr(why)
    assert why._repr_png_().startswith(b"\x89PNG")
    assert len(why.plot(tmp_path / "why.png").axes) == 2
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert why._repr_png_() is None
    with pytest.raises(ConfigError, match="matplotlib"):
        why.plot()
