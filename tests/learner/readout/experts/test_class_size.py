"""Log-odds by the number of rows of each class."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCOClassifier
from loco_stream._learner.readout.experts import class_size
from tests.helpers.jitted import on_model
from tests.helpers.models import untrained

N_CLASSES = 4


predict = on_model(class_size.predict)


def test_a_class_of_few_rows_differs_from_larger_ones_and_these_hardly_from_each_other():
    args = untrained(2, N_CLASSES, hidden_sizes=4)
    args.model.state.classes.n_rows[:3] = [class_size.MANY - 1.0, 2000.0, 9000.0]
    scores = np.zeros(N_CLASSES, np.float32)
    predict(args, np.zeros(0, np.float32), scores)
    assert scores[0] == pytest.approx(-np.log(2.0))
    assert scores[1:3] == pytest.approx(0.0, abs=0.02)
    assert scores[3] == pytest.approx(-np.log(1.0 + class_size.MANY))


def test_many_classes_of_few_rows_are_learned_sooner():
    """Without these log-odds 67 % are correct, with them 70 %."""
    n_classes = 77
    rng = np.random.default_rng(0)
    shares = 1.0 / np.arange(1.0, n_classes + 1.0)
    y = rng.choice(n_classes, 1000, p=shares / shares.sum())
    means = 0.36 * rng.standard_normal((n_classes, 128))
    X = means[y] + 0.85 * rng.standard_normal((1000, 128))
    predicted = LOCOClassifier(seed=1).learn_predict_array(X, y)
    assert np.mean(predicted == y) > 0.685
