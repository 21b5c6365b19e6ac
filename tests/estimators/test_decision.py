"""Decisions change which class is predicted, never the probabilities and never what is learned."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from river import compose, preprocessing

from loco_stream import LOCOClassifier, LOCORegressor, load, save
from loco_stream.errors import CheckpointError, ConfigError, InputError
from tests.helpers.models import arrays_of, assert_same

RULES = [
    {"thresholds": {"fault": 0.1}},
    {"thresholds": {"ok": 0.95, "fault": 0.2, "never seen": 0.5}},
    {"thresholds": {"ok": 1.0, "fault": 0.6, "worn": 1.0}},
    {"costs": {("fault", "ok"): 20.0}},
    {"costs": {("ok", "fault"): 0.0, ("fault", "ok"): 3.0, ("worn", "worn"): 0.5}},
]


def rows(n=400, seed=0):
    """Draw three clouds that overlap; the third class comes late."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, size=n, p=[0.8, 0.12, 0.08])
    kind[: n // 4] = np.minimum(kind[: n // 4], 1)
    kind[:5] = 0
    X = rng.normal(size=(n, 3)) + kind[:, None] / 1.5
    return X, np.array(["ok", "fault", "worn"])[kind].tolist()


def small(rule=None, **options):
    model = LOCOClassifier(**{"hidden_sizes": (12,), "seed": 1, **options})
    if rule is not None:
        model.set_decision(**rule)
    return model


def expected_label(proba, rule):
    """Return what follows from the probabilities of one row, as the documentation says it."""
    if "costs" in rule:
        costs = {
            label: sum(
                p * rule["costs"].get((true, label), float(true != label))
                for true, p in proba.items()
            )
            for label in proba
        }
        return min(costs, key=costs.get)
    thresholds = rule["thresholds"]
    ratios = {label: p / thresholds[label] for label, p in proba.items() if label in thresholds}
    reached = {label: ratio for label, ratio in ratios.items() if ratio >= 1.0}
    free = {label: p for label, p in proba.items() if label not in thresholds}
    chosen = reached or free or ratios
    return max(chosen, key=chosen.get)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_label_follows_from_the_probabilities_as_documented(rule):
    X, y = rows()
    model = small()
    model.learn_array(X, y)
    undecided = model.predict_array(X).tolist()
    probas = [model.predict_proba_one(dict(enumerate(row))) for row in X]
    model.set_decision(**rule)
    assert model.decision == rule
    expected = [expected_label(proba, rule) for proba in probas]
    assert model.predict_array(X).tolist() == expected
    assert [model.predict_one(dict(enumerate(row))) for row in X] == expected
    assert model.decide_array(model.predict_proba_array(X)).tolist() == expected
    assert [model.predict_proba_one(dict(enumerate(row))) for row in X] == probas
    assert expected != undecided
    model.set_decision()
    assert model.decision is None
    assert model.predict_array(X).tolist() == undecided


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_decision_changes_no_bit_of_what_is_learned_and_no_probability(rule):
    X, y = rows()
    plain = small()
    decided = small(rule)
    probas = [model.learn_predict_proba_array(X[:200], y[:200]) for model in (plain, decided)]
    assert probas[0].tobytes() == probas[1].tobytes()
    plain.learn_array(X[200:], y[200:])
    decided.learn_predict_array(X[200:], y[200:])
    assert_same(arrays_of(plain), arrays_of(decided))


@pytest.mark.parametrize("rule", [None, *RULES], ids=str)
def test_blocks_equal_loops(rule):
    X, y = rows()
    one, block = (small(rule) for _ in range(2))
    expected = []
    for row, label in zip(X, y, strict=True):
        x = dict(enumerate(row))
        expected.append(one.predict_one(x, in_stream=True))
        one.learn_one(x, label)
    found = [block.learn_predict_array(X[a:b], y[a:b]).tolist() for a, b in ((0, 90), (90, 400))]
    assert [*found[0], *found[1]] == expected
    assert_same(arrays_of(one), arrays_of(block))


def test_blocks_with_texts_equal_loops():
    X, y = rows(120)
    named = [{"a": row[0], "place": f"room {i % 7}"} for i, row in enumerate(X)]
    pd = pytest.importorskip("pandas")
    one, block = (small(RULES[1]) for _ in range(2))
    expected = []
    for x, label in zip(named, y, strict=True):
        expected.append(one.predict_one(x, in_stream=True))
        one.learn_one(x, label)
    assert block.learn_predict_many(pd.DataFrame(named), pd.Series(y)).tolist() == expected


def test_tickets_sequences_and_explanations_have_the_decided_label():
    X, y = rows()
    rule = {"thresholds": {"fault": 1e-6}}
    model = small(rule, memory=(0.3, 50.0))
    model.learn_array(X, y)
    x = dict(enumerate(X[0]))
    assert model.observe_one(x).prediction == "fault"
    assert {ticket.prediction for ticket in model.observe_array(X[:5])} == {"fault"}
    assert model.predict_sequence(X[:4]) == "fault"
    assert model.explain_one(x).prediction == "fault"
    model.set_decision()
    assert model.explain_one(x).prediction == model.predict_one(x)


def test_a_threshold_that_is_met_exactly_is_reached():
    model = small({"thresholds": {"fault": 0.3}})
    model.learn_array([[0.0], [1.0]], ["ok", "fault"])
    below = np.nextafter(0.3, 0.0)
    assert model.decide_array([[0.7, 0.3], [1.0 - below, below]]).tolist() == ["fault", "ok"]


def test_before_the_first_label_there_is_no_prediction():
    model = small(RULES[0])
    assert model.predict_one({0: 1.0}) is None
    assert model.predict_array([[1.0]]).tolist() == [None]
    assert model.learn_predict_array([[1.0], [2.0]], ["ok", "ok"]).tolist() == [None, "ok"]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_copies_and_files_have_the_decision(rule, tmp_path):
    X, y = rows()
    model = small(rule)
    model.learn_array(X, y)
    save(model, tmp_path / "model.loco")
    others = [
        load(tmp_path / "model.loco"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        copy.copy(model),
    ]
    for other in others:
        assert other.decision == rule
        assert other.predict_array(X).tolist() == model.predict_array(X).tolist()
    assert model.clone().decision == rule
    others[-1].set_decision()
    assert model.decision == rule  # a copy shares nothing


def test_a_pipeline_has_the_decision_of_its_model(tmp_path):
    X, y = rows()
    pipeline = compose.Pipeline(preprocessing.StandardScaler(), small({"thresholds": {"ok": 1.0}}))
    for row, label in zip(X, y, strict=True):
        pipeline.learn_one(dict(enumerate(row)), label)
    save(pipeline, tmp_path / "pipeline.loco")
    for model in (pipeline, load(tmp_path / "pipeline.loco")):
        assert "ok" not in {model.predict_one(dict(enumerate(row))) for row in X}


@pytest.mark.parametrize(
    "given",
    [
        {"thresholds": {}},
        {"thresholds": {"ok": 0.0}},
        {"thresholds": {"ok": 1.5}},
        {"thresholds": {"ok": float("nan")}},
        {"thresholds": {"ok": True}},
        {"thresholds": {None: 0.5}},
        {"thresholds": 0.5},
        {"costs": {}},
        {"costs": {"ok": 1.0}},
        {"costs": {("ok", "fault", "worn"): 1.0}},
        {"costs": {("ok", None): 1.0}},
        {"costs": {("ok", "fault"): -1.0}},
        {"costs": {("ok", "fault"): float("inf")}},
        {"costs": {("ok", "fault"): 1.0}, "thresholds": {"ok": 0.5}},
    ],
    ids=str,
)
def test_impossible_rules_are_refused_and_change_nothing(given):
    model = small(RULES[0])
    with pytest.raises(ConfigError, match=r"`(thresholds|costs)` must be"):
        model.set_decision(**given)
    assert model.decision == RULES[0]


def test_later_changes_of_the_callers_dict_have_no_effect():
    thresholds = {"ok": 0.5}
    model = small({"thresholds": thresholds})
    thresholds["ok"] = 0.9
    model.decision["thresholds"]["ok"] = 0.8
    assert model.decision == {"thresholds": {"ok": 0.5}}


def test_a_table_of_another_shape_is_refused():
    model = small()
    model.learn_array([[0.0], [1.0]], ["ok", "fault"])
    with pytest.raises(InputError, match=r"`proba` must have the shape \(n, 2\), got \(1, 3\)"):
        model.decide_array([[0.1, 0.2, 0.7]])


@pytest.mark.parametrize("n_known", [[1], [1, 2, 2], [None, 2], ["1", "2"], 2, [[1], [2]]])
def test_numbers_of_known_classes_are_one_integer_per_row(n_known):
    model = small()
    model.learn_array([[0.0], [1.0]], ["ok", "fault"])
    with pytest.raises(InputError, match="`n_known` must be 2 integers, one per row, got"):
        model.decide_array([[0.1, 0.9], [0.1, 0.9]], n_known)
    assert model.decide_array([[0.1, 0.9], [0.1, 0.9]], [1, 2]).tolist() == ["ok", "fault"]
    assert len(model.decide_array(np.zeros((0, 2)), [])) == 0


def test_a_damaged_decision_is_refused():
    config, arrays = small(RULES[0]).export_state()
    for damaged in ({"thresholds": [["ok", 2.0]], "costs": []}, {}, [], "ok"):
        with pytest.raises(CheckpointError):
            LOCOClassifier.from_state({**config, "decision": damaged}, arrays)


def test_a_regressor_has_no_decision():
    assert not hasattr(LOCORegressor(), "set_decision")
