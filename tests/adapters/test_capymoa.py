"""Learners for CapyMOA: the same predictions as the estimators, in CapyMOA's own evaluation."""

from __future__ import annotations

import importlib.util
import shutil
import sys

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor

_ABSENT = importlib.util.find_spec("capymoa") is None or shutil.which("java") is None
needs_capymoa = pytest.mark.skipif(_ABSENT, reason="needs CapyMOA and Java")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def adapters():
    return importlib.import_module("loco_stream.adapters.capymoa")


def rows(n=600):
    X = np.random.default_rng(0).normal(size=(n, 3))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def by_dicts(model, X, y, names="012"):
    predictions = []
    for x, target in zip(X.tolist(), y.tolist(), strict=True):
        row = dict(zip(names, x, strict=True))
        predictions.append(model.predict_one(row, in_stream=True))
        model.learn_one(row, target)
    return predictions


@needs_capymoa
def test_prequential_evaluation_sees_the_classifier_s_own_predictions(adapters):
    from capymoa.evaluation import prequential_evaluation
    from capymoa.stream import NumpyStream

    X, y = rows()
    stream = NumpyStream(X, y)
    learner = adapters.CapyMOAClassifier(stream.get_schema(), random_seed=3)
    results = prequential_evaluation(stream, learner, store_predictions=True)
    own = by_dicts(LOCOClassifier(seed=3), X, y)
    assert list(results.predictions()) == own
    # CapyMOA puts a class in the place of the first prediction, which is None
    assert results.cumulative.accuracy() == pytest.approx(100 * np.mean(own == y), abs=0.2)
    assert results.learner == "LOCOClassifier"


@needs_capymoa
def test_prequential_evaluation_sees_the_regressor_s_own_predictions(adapters):
    from capymoa.evaluation import prequential_evaluation
    from capymoa.stream import NumpyStream

    X, _ = rows()
    y = X[:, 0] - 2 * X[:, 1]
    stream = NumpyStream(X, y, target_type="numeric")
    model = LOCORegressor(hidden_sizes=8)
    learner = adapters.CapyMOARegressor(stream.get_schema(), model)
    results = prequential_evaluation(stream, learner, store_predictions=True)
    assert model.n_seen == 0  # a clone learns
    own = by_dicts(LOCORegressor(hidden_sizes=8, seed=1), X, y)
    assert list(results.predictions()) == own


@needs_capymoa
def test_nominal_attributes_are_texts_and_nan_is_missing(adapters, tmp_path):
    from capymoa.stream import stream_from_file

    path = tmp_path / "rows.arff"
    path.write_text(
        "@relation rows\n@attribute colour {red,blue}\n@attribute class {no,yes}\n"
        "@attribute size numeric\n@data\nblue,yes,1.5\n?,no,2\nred,yes,?\n"
    )
    stream = stream_from_file(str(path), class_index=1)
    learner = adapters.CapyMOAClassifier(stream.get_schema())
    for instance in stream:
        learner.train(instance)
    assert learner.model.features == ("colour", "size")
    assert learner.model.categories_["colour"]["distinct"] == 2
    assert learner.model.masked_values == 2
    assert learner.model.classes == (1, 0)


@needs_capymoa
def test_probabilities_have_the_order_of_the_schema(adapters):
    from capymoa.stream import NumpyStream

    X, y = rows(60)
    stream = NumpyStream(X, np.where(y == 1, 2, 0))
    schema = stream.get_schema().from_custom(
        ["0", "1", "2", "target"], "target", {"target": ["a", "b", "c"]}
    )
    learner = adapters.CapyMOAClassifier(schema)
    (first, *others) = list(stream)
    assert learner.predict_proba(first) is None
    assert learner.predict(first) is None
    for instance in others:
        learner.train(instance)
    proba = learner.predict_proba(first)
    assert proba.shape == (3,)
    assert proba[1] == 0.0
    assert proba.sum() == pytest.approx(1.0)
    assert proba.argmax() == learner.predict(first)


@needs_capymoa
def test_a_schema_of_the_other_kind_is_refused(adapters):
    from capymoa.stream import NumpyStream

    X, y = rows(20)
    numeric = NumpyStream(X, X[:, 0], target_type="numeric").get_schema()
    with pytest.raises(ValueError, match="`schema` must have a nominal target, got a numeric one"):
        adapters.CapyMOAClassifier(numeric)
    nominal = NumpyStream(X, y).get_schema()
    with pytest.raises(ValueError, match="`schema` must have a numeric target, got a nominal one"):
        adapters.CapyMOARegressor(nominal)


@needs_capymoa
def test_capymoa_clones_it_from_its_parameters(adapters):
    from capymoa.stream import NumpyStream

    X, y = rows(20)
    stream = NumpyStream(X, y)
    learner = adapters.CapyMOAClassifier(stream.get_schema(), LOCOClassifier(hidden_sizes=8))
    for instance in stream:
        learner.train(instance)
    again = type(learner).from_params(stream.get_schema(), learner.get_params(), random_seed=5)
    assert again.model.n_seen == 0
    assert again.model.get_params()["hidden_sizes"] == 8
    assert again.model.get_params()["seed"] == 5


@needs_capymoa
def test_test_rows_of_ocl_come_from_anywhere(adapters):
    pytest.importorskip("torch")
    ocl = pytest.importorskip("capymoa.ocl.evaluation")
    from capymoa.stream import Schema
    from torch.utils.data import DataLoader, TensorDataset

    X = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32)
    task = np.arange(2000) // 1000
    y = (X[:, 0] > 0).astype(int) + 2 * task
    X[:, 1] += 2 * task  # the tasks overlap
    adapted = adapters.CapyMOAClassifier(
        Schema.from_custom(["a", "b", "y"], "y", {"y": list("0123")})
    )
    X, y = (sys.modules["torch"].from_numpy(array) for array in (X, y))
    parts = [TensorDataset(X[y // 2 == k], y[y // 2 == k]) for k in (0, 1)]
    loaders = [DataLoader(part, batch_size=32) for part in parts]
    metrics = ocl.ocl_train_eval_loop(adapted, loaders, loaders)
    # as the next rows of the stream, those of the first task would be taken for the second's
    assert metrics.accuracy_matrix[1, 0] > 0.7
    assert metrics.ttt.cumulative.accuracy() > 80
