"""Weights of classes: the answer follows them, what is learned does not."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import LOCOClassifier, LOCORegressor, load, save
from loco_stream.cli.main import main
from loco_stream.errors import ConfigError
from tests.helpers.models import arrays_of, assert_same

SETTINGS = ["balanced", {"fault": 30.0}, {"ok": 0.5, "fault": 4, "never seen": 2.0}]


def rare(n=4000, share=0.02, shift=2.5, seed=0):
    """Draw two clouds of which "fault" is rare."""
    rng = np.random.default_rng(seed)
    fault = rng.random(n) < share
    X = rng.normal(size=(n, 4)) + shift * fault[:, None] / 2
    return X, np.where(fault, "fault", "ok").tolist()


def small(**options):
    return LOCOClassifier(**{"hidden_sizes": (16,), "seed": 1, **options})


def recalls(predicted, y):
    """Return the share of each class that was found, in the second half."""
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


@pytest.mark.parametrize("weights", SETTINGS, ids=str)
def test_what_is_learned_is_the_same_to_the_bit(weights):
    X, y = rare(600, share=0.1)
    plain = small()
    weighted = small(class_weight=weights)
    for model in (plain, weighted):
        model.learn_array(X, y)
    assert_same(arrays_of(plain), arrays_of(weighted))


@pytest.mark.parametrize("weights", SETTINGS, ids=str)
def test_probabilities_are_those_without_weights_times_the_weights(weights):
    X, y = rare(600, share=0.1)
    plain = small()
    weighted = small(class_weight=weights)
    for model in (plain, weighted):
        model.learn_array(X, y)
    factors = np.array(
        [weights.get(label, 1.0) for label in plain.classes]
        if weights != "balanced"
        else [len(y) / (2 * y.count(label)) for label in plain.classes]
    )
    expected = plain.predict_proba_array(X[:50]) * factors
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weighted.predict_proba_array(X[:50]), expected, rtol=1e-12)
    named = [weighted.classes[best] for best in expected.argmax(axis=1)]
    assert weighted.predict_array(X[:50]).tolist() == named
    assert [weighted.predict_one(dict(enumerate(row))) for row in X[:50]] == named


@pytest.mark.parametrize("weights", SETTINGS, ids=str)
def test_every_door_gives_the_same_answers(weights):
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


@pytest.mark.parametrize("weights", SETTINGS, ids=str)
def test_a_copy_goes_on_the_same(weights, tmp_path):
    X, y = rare(400, share=0.1)
    model = small(class_weight=weights)
    model.learn_array(X[:200], y[:200])
    save(model, tmp_path / "model.loco")
    others = [
        load(tmp_path / "model.loco"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
    ]
    expected = model.learn_predict_array(X[200:], y[200:]).tolist()
    for other in others:
        assert other.class_weight == weights
        assert other.learn_predict_array(X[200:], y[200:]).tolist() == expected


def test_a_class_that_comes_later_finds_its_weight():
    X, y = rare(300, share=0.1)
    late = ["ok"] * 100 + y[100:]
    weights = {"fault": 50.0, 7: 3.0}
    by_rows = small(class_weight=weights)
    at_once = small(class_weight=weights)
    for row, label in zip(X, late, strict=True):
        by_rows.learn_one(dict(enumerate(row)), label)
    for extra in range(8):  # more classes than there was room for
        by_rows.learn_one(dict(enumerate(X[extra])), extra)
    at_once.learn_array(X, late)
    at_once.learn_array(X[:8], list(range(8)))
    assert (by_rows.predict_proba_array(X) == at_once.predict_proba_array(X)).all()


def test_a_dict_is_taken_as_it_was():
    weights = {"fault": 50.0}
    X, y = rare(200, share=0.1)
    model = small(class_weight=weights)
    weights["fault"] = 1e-3
    model.learn_array(X, y)
    other = small(class_weight={"fault": 50.0})
    other.learn_array(X, y)
    assert (model.predict_proba_array(X) == other.predict_proba_array(X)).all()


def test_a_regressor_has_none():
    with pytest.raises(
        ConfigError, match="class_weight is 'balanced'; allowed is None: a regressor has no classes"
    ):
        LOCORegressor(class_weight="balanced")


@pytest.mark.parametrize("text", ["balanced", "{'fault': 30.0}"])
def test_the_command_line_sets_them_and_a_resumed_run_has_them(text, tmp_path):
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
