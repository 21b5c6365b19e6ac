"""The strategy for Avalanche: the classifier's own predictions, in Avalanche's loops."""

from __future__ import annotations

import importlib
import importlib.util

import numpy as np
import pytest

from loco_stream import LOCOClassifier
from loco_stream.errors import ConfigError

_ABSENT = importlib.util.find_spec("avalanche") is None
needs_avalanche = pytest.mark.skipif(_ABSENT, reason="needs Avalanche")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


@pytest.fixture
def adapter():
    return importlib.import_module("loco_stream.adapters.avalanche")


def rows(n=400):
    """Return rows of two tasks of two classes each, which overlap."""
    X = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    task = np.arange(n) // (n // 2)
    X[:, 1] += 2 * task
    return X, (X[:, 0] > 0).astype(int) + 2 * task


def benchmark_of(X, y):
    import torch
    from avalanche.benchmarks import class_incremental_benchmark
    from avalanche.benchmarks.utils import as_classification_dataset

    tensors = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    tensors.targets = y.tolist()
    streams = dict.fromkeys(("train", "test"), as_classification_dataset(tensors))
    return class_incremental_benchmark(streams, num_experiences=2, class_order=[0, 1, 2, 3])


def quiet():
    from avalanche.evaluation.metrics import accuracy_metrics
    from avalanche.training.plugins import EvaluationPlugin

    return EvaluationPlugin(accuracy_metrics(epoch=True, stream=True), loggers=[])


@needs_avalanche
def test_both_loops_see_the_classifier_s_own_predictions(adapter):
    from torch.utils.data import DataLoader

    X, y = rows()
    benchmark = benchmark_of(X, y)
    strategy = adapter.AvalancheStrategy(
        num_classes=4, model=LOCOClassifier(seed=3), train_mb_size=20, evaluator=quiet()
    )
    own = LOCOClassifier(seed=3)
    for number, experience in enumerate(benchmark.train_stream):
        hits = []
        loader = DataLoader(experience.dataset, batch_size=20)
        for part_X, part_y in ((part[0].numpy(), part[1].numpy()) for part in loader):
            hits += (own.predict_array(part_X, in_stream=True) == part_y).tolist()
            own.learn_array(part_X, part_y)
        told = strategy.train(experience, shuffle=False)
        accuracy = told["Top1_Acc_Epoch/train_phase/train_stream"]
        # before the first label Avalanche sees equal scores, and takes the first class
        assert accuracy == pytest.approx(np.mean(hits), abs=0.051 if number == 0 else 1e-6)
    told = strategy.eval(benchmark.test_stream)
    expected = np.mean(own.predict_array(X, in_stream=False) == y)
    assert told["Top1_Acc_Stream/eval_phase/test_stream"] == pytest.approx(expected)
    # as the next rows of the stream, those of the first task would be taken for the second's
    assert expected > np.mean(own.predict_array(X, in_stream=True) == y) + 0.1
    assert strategy.classifier.n_seen == len(y)


@needs_avalanche
def test_the_loss_is_the_log_loss(adapter):
    import torch

    X, y = rows()
    strategy = adapter.AvalancheStrategy(num_classes=4, evaluator=quiet())
    strategy.classifier.learn_array(X, y)
    strategy.model.eval()
    scores = strategy.model(torch.from_numpy(X))
    proba = strategy.classifier.predict_proba_array(X, in_stream=False)
    assert list(strategy.classifier.classes) != [0, 1, 2, 3]  # the order of appearance
    place = [strategy.classifier.classes.index(label) for label in y.tolist()]
    expected = -np.log(proba[np.arange(len(y)), place]).mean()
    loss = torch.nn.CrossEntropyLoss()(scores, torch.from_numpy(y))
    assert float(loss) == pytest.approx(expected, rel=1e-4)


@needs_avalanche
def test_a_model_that_has_learned_nothing_has_equal_scores(adapter):
    import torch

    strategy = adapter.AvalancheStrategy(num_classes=3, evaluator=quiet())
    scores = strategy.model(torch.zeros(2, 1, 4, 4))
    assert scores.shape == (2, 3)
    assert scores.isfinite().all()
    assert (scores == scores[0, 0]).all()


@needs_avalanche
def test_images_are_flattened_and_a_plugin_may_replay_rows(adapter):
    from avalanche.training.plugins import ReplayPlugin

    X, y = rows()
    benchmark = benchmark_of(np.repeat(X, 2, axis=1).reshape(-1, 1, 2, 2), y)
    strategy = adapter.AvalancheStrategy(
        num_classes=4,
        model=LOCOClassifier(hidden_sizes=8),
        train_mb_size=16,
        plugins=[ReplayPlugin(mem_size=50)],
        evaluator=quiet(),
    )
    strategy.train(benchmark.train_stream)
    assert strategy.classifier.features == (0, 1, 2, 3)
    assert strategy.classifier.n_seen > len(y)


@needs_avalanche
def test_plugins_that_change_gradients_are_refused(adapter):
    from avalanche.training.plugins import EWCPlugin, GEMPlugin

    for plugin in (EWCPlugin(1.0), GEMPlugin(10, 0.5)):
        name = type(plugin).__name__
        with pytest.raises(ConfigError, match=f"`plugins` must not change gradients, got {name}"):
            adapter.AvalancheStrategy(num_classes=2, plugins=[plugin])


@needs_avalanche
def test_a_benchmark_has_a_class(adapter):
    with pytest.raises(ConfigError, match="`num_classes` must be at least 1, got 0"):
        adapter.AvalancheStrategy(num_classes=0)


@needs_avalanche
def test_a_label_beyond_the_classes_is_refused(adapter):
    X, y = rows()
    benchmark = benchmark_of(X, y)
    strategy = adapter.AvalancheStrategy(num_classes=2, train_mb_size=20, evaluator=quiet())
    strategy.train(benchmark.train_stream[0])
    with pytest.raises(
        ConfigError, match="`num_classes` must be above every label, got 2 and label"
    ):
        strategy.train(benchmark.train_stream[1])


@needs_avalanche
def test_a_model_that_has_learned_other_labels_is_refused(adapter):
    model = LOCOClassifier(hidden_sizes=8)
    model.learn_array(np.eye(3), ["worn", 1, 2])
    with pytest.raises(ConfigError, match="labels from 0 to 1 only, got 'worn', 2"):
        adapter.AvalancheStrategy(num_classes=2, model=model)
