"""The contract of river's estimators."""

from __future__ import annotations

import pytest
from river import checks, compose, datasets, evaluate, metrics, preprocessing

from loco_stream import LOCOClassifier, LOCORegressor

SMALL = {"hidden_sizes": (16, 8), "seed": 1}


def small(**options):
    return LOCOClassifier(**SMALL | options)


def small_regressor(**options):
    return LOCORegressor(**SMALL | options)


@pytest.mark.parametrize(
    ("model", "n_checks"),
    [(small(), 56), (small_regressor(), 25)],
    ids=["classifier", "regressor"],
)
def test_no_check_of_river_is_skipped(model, n_checks):
    assert not model._unit_test_skips()
    assert len(list(checks.yield_checks(model))) >= n_checks


@pytest.mark.parametrize(
    "model",
    [
        small(),
        small_regressor(),
        *(
            pytest.param(model, marks=pytest.mark.slow)
            for model in (LOCOClassifier(), LOCORegressor())
        ),
    ],
    ids=["small classifier", "small regressor", "classifier", "regressor"],
)
def test_rivers_checks_pass(model):
    checks.check_estimator(model)


def test_a_model_works_in_a_pipeline():
    pipeline = (
        compose.Select("anchor_from_other_domain", "https")
        | preprocessing.StandardScaler()
        | small()
    )
    for x, y in datasets.Phishing().take(200):
        pipeline.predict_one(x)
        pipeline.learn_one(x, y)
    assert pipeline["LOCOClassifier"].n_features_in == 2
    assert set(pipeline.predict_proba_one(x)) == {True, False}


def test_progressive_validation_with_and_without_delay():
    data = list(datasets.Phishing().take(400))
    plain = evaluate.progressive_val_score(data, small(), metrics.Accuracy())
    delayed = evaluate.progressive_val_score(
        [({**x, "moment": i}, y) for i, (x, y) in enumerate(data)],
        compose.Discard("moment") | small(),
        metrics.Accuracy(),
        moment="moment",
        delay=20,
    )
    *_, last = evaluate.iter_progressive_val_score(data, small(), metrics.Accuracy(), step=100)
    assert plain.get() > 0.8
    assert delayed.get() > 0.75
    assert last["Accuracy"].get() == plain.get()


def test_progressive_validation_of_the_regressor():
    score = evaluate.progressive_val_score(
        datasets.TrumpApproval(), small_regressor(), metrics.MAE()
    )
    assert score.get() < 1.0


def test_a_clone_has_learned_nothing():
    model = small()
    model.learn_one({"a": 1.0}, "x")
    clone = model.clone()
    assert clone.n_seen == 0
    assert clone._get_params() == model._get_params()
