"""Weights of classes act on the answer and not on what is learned."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from loco_stream import LOCOClassifier, LOCORegressor, load, save
from loco_stream._cli.main import main
from loco_stream.errors import ConfigError
from tests.helpers.models import arrays_of, assert_same

WEIGHTS = ["balanced", {"fault": 30.0}, {"ok": 0.5, "fault": 4, "never seen": 2.0}]


def rare(n=4000, share=0.02, shift=2.5, seed=0):
    """Draw two clouds; the class "fault" is rare."""
    rng = np.random.default_rng(seed)
    fault = rng.random(n) < share
    X = rng.normal(size=(n, 4)) + shift * fault[:, None] / 2
    return X, np.where(fault, "fault", "ok").tolist()


def small(**options):
    return LOCOClassifier(**{"hidden_sizes": (16,), "seed": 1, **options})


def recalls(predicted, y):
    """Return the recall of each class in the second half."""
    predicted = np.array(predicted)[len(y) // 2 :]
    y = np.array(y)[len(y) // 2 :]
    return np.array([np.mean(predicted[y == label] == label) for label in ("fault", "ok")])


def test_a_balanced_model_finds_the_rare_class():
    X, y = rare()
    plain = recalls(small().learn_predict_array(X, y), y)
    balanced = recalls(small(class_weight="balanced").learn_predict_array(X, y), y)
    assert plain[0] < 0.5
    assert balanced[0] > 0.75
    assert balanced.mean() > plain.mean() + 0.15


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_weights_change_no_bit_of_what_is_learned(weights):
    X, y = rare(600, share=0.1)
    plain = small()
    weighted = small(class_weight=weights)
    for model in (plain, weighted):
        model.learn_array(X, y)
    assert_same(arrays_of(plain), arrays_of(weighted))


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_probabilities_are_multiplied_by_the_weights_and_normalised(weights):
    X, y = rare(600, share=0.1)
    plain = small()
    weighted = small(class_weight=weights)
    for model in (plain, weighted):
        model.learn_array(X, y)
    if weights == "balanced":
        factors = np.array([len(y) / (2 * y.count(label)) for label in plain.classes])
    else:
        factors = np.array([weights.get(label, 1.0) for label in plain.classes])
    expected = plain.predict_proba_array(X[:50]) * factors
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weighted.predict_proba_array(X[:50]), expected, rtol=1e-12)
    labels = [weighted.classes[best] for best in expected.argmax(axis=1)]
    assert weighted.predict_array(X[:50]).tolist() == labels
    assert [weighted.predict_one(dict(enumerate(row))) for row in X[:50]] == labels


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_rows_blocks_and_frames_have_the_same_predictions(weights):
    pd = pytest.importorskip("pandas")
    X, y = rare(300, share=0.1)
    one, block, frame = (small(class_weight=weights) for _ in range(3))
    expected = []
    for row, label in zip(X, y, strict=True):
        expected.append(one.predict_one(dict(enumerate(row))))
        one.learn_one(dict(enumerate(row)), label)
    assert block.learn_predict_array(X, y).tolist()[10:] == expected[10:]
    frame.learn_many(pd.DataFrame(X), pd.Series(y))
    assert frame.predict_many(pd.DataFrame(X[:40])).tolist() == block.predict_array(X[:40]).tolist()
    assert_same(arrays_of(one), arrays_of(frame))


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_a_copy_has_the_weights(weights, tmp_path):
    X, y = rare(400, share=0.1)
    model = small(class_weight=weights)
    model.learn_array(X[:200], y[:200])
    save(model, tmp_path / "model.loco")
    others = [
        load(tmp_path / "model.loco"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        copy.copy(model),
    ]
    expected = model.learn_predict_array(X[200:], y[200:]).tolist()
    for other in others:
        assert other.class_weight == weights
        assert other.learn_predict_array(X[200:], y[200:]).tolist() == expected


def test_a_class_that_comes_later_gets_its_weight():
    X, y = rare(300, share=0.1)
    late = ["ok"] * 100 + y[100:]
    weights = {"fault": 50.0, 7: 3.0}
    by_rows = small(class_weight=weights)
    by_block = small(class_weight=weights)
    for row, label in zip(X, late, strict=True):
        by_rows.learn_one(dict(enumerate(row)), label)
    for extra in range(8):  # more classes than there was room for
        by_rows.learn_one(dict(enumerate(X[extra])), extra)
    by_block.learn_array(X, late)
    by_block.learn_array(X[:8], list(range(8)))
    assert (by_rows.predict_proba_array(X) == by_block.predict_proba_array(X)).all()


@pytest.mark.parametrize("by_method", [False, True])
def test_later_changes_of_the_callers_dict_have_no_effect(by_method):
    weights = {"fault": 50.0}
    X, y = rare(200, share=0.1)
    if by_method:
        model = small()
        model.set_class_weight(weights)
    else:
        model = small(class_weight=weights)
    weights["fault"] = 1e-3
    model.learn_array(X, y)
    other = small(class_weight={"fault": 50.0})
    other.learn_array(X, y)
    assert (model.predict_proba_array(X) == other.predict_proba_array(X)).all()


def test_a_regressor_has_no_weights():
    with pytest.raises(TypeError, match="`class_weight` is a parameter of LOCOClassifier only"):
        LOCORegressor(class_weight="balanced")
    assert not hasattr(LOCORegressor(), "set_class_weight")


# Changed later


@pytest.mark.parametrize("before", [None, *WEIGHTS], ids=str)
@pytest.mark.parametrize("after", [None, *WEIGHTS], ids=str)
@pytest.mark.parametrize("n_seen", [0, 1, 200])
def test_weights_set_later_equal_weights_of_the_constructor(before, after, n_seen):
    X, y = rare(300, share=0.1)
    changed = small(class_weight=before)
    made_so = small(class_weight=after)
    changed.learn_array(X[:n_seen], y[:n_seen])
    made_so.learn_array(X[:n_seen], y[:n_seen])
    changed.set_class_weight(after)
    assert changed.class_weight == after
    assert changed.predict_array(X[:30]).tolist() == made_so.predict_array(X[:30]).tolist()
    predicted = [m.learn_predict_array(X[n_seen:], y[n_seen:]).tolist() for m in (changed, made_so)]
    assert predicted[0] == predicted[1]
    assert changed.predict_proba_array(X).tobytes() == made_so.predict_proba_array(X).tobytes()
    (config, arrays), (expected, expected_arrays) = changed.export_state(), made_so.export_state()
    assert config == expected
    assert_same(arrays, expected_arrays)


def test_weights_set_later_take_effect_at_once():
    X, y = rare(400, share=0.1)
    model = small(memory=(0.3, 50.0))
    model.learn_array(X[:300], y[:300])
    before = model.predict_proba_array(X[300:])
    fault = model.classes.index("fault")
    model.set_class_weight({"fault": 20.0})
    expected = before.copy()
    expected[:, fault] *= 20.0
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba_array(X[300:]), expected, rtol=1e-12)
    model.set_class_weight(None)
    assert model.predict_proba_array(X[300:]).tobytes() == before.tobytes()


def test_weights_set_later_are_saved_copied_and_cloned(tmp_path):
    X, y = rare(300, share=0.1)
    weights = {"fault": 20.0}
    model = small()
    model.learn_array(X[:200], y[:200])
    model.set_class_weight(weights)
    save(model, tmp_path / "model.loco")
    others = [
        load(tmp_path / "model.loco"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        copy.copy(model),
    ]
    expected = model.predict_proba_array(X[200:])
    for other in others:
        assert other.class_weight == weights
        assert other.predict_proba_array(X[200:]).tobytes() == expected.tobytes()
    assert model.clone().class_weight == weights
    others[-1].set_class_weight(None)
    assert model.class_weight == weights  # a copy shares nothing


@pytest.mark.parametrize("weights", ["fair", {}, {"fault": 0.0}, 3, pd.Series([1.0, 2.0])])
def test_impossible_weights_are_refused_and_change_nothing(weights):
    X, y = rare(100, share=0.1)
    model = small(class_weight={"fault": 2.0})
    model.learn_array(X, y)
    before = model.predict_proba_array(X)
    with pytest.raises(ConfigError, match="`class_weight` must be None, 'balanced', or a dict"):
        model.set_class_weight(weights)
    assert model.class_weight == {"fault": 2.0}
    assert (model.predict_proba_array(X) == before).all()


# The command line


@pytest.mark.parametrize("text", ["balanced", "{'fault': 30.0}"])
def test_the_command_line_sets_weights_and_a_resumed_run_keeps_them(text, tmp_path):
    X, y = rare(300, share=0.1)
    lines = [
        "a,b,c,d,kind",
        *(f"{','.join(map(str, row))},{label}" for row, label in zip(X, y, strict=True)),
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    source = f"csv:{tmp_path / 'rows.csv'}?target=kind"
    options = ["run", source, "--quiet", "--json", "--set", f"class_weight={text}"]
    whole = CliRunner().invoke(main, options)
    assert whole.exit_code == 0, whole.output
    state = ["--checkpoint", str(tmp_path / "state")]
    first = CliRunner().invoke(main, [*options, *state, "--max-samples", "120"])
    rest = CliRunner().invoke(main, ["run", source, "--quiet", "--json", *state, "--resume"])
    assert first.exit_code == rest.exit_code == 0, rest.output
    accuracies = [json.loads(run.stdout.splitlines()[-1])["accuracy"] for run in (whole, rest)]
    assert accuracies[0] == accuracies[1]
