from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream._learner.readout import recursive_steps
from loco_stream._learner.readout.experts import logistic
from tests.helpers import naive
from tests.helpers.jitted import jitted
from tests.helpers.models import untrained

gain = jitted(recursive_steps.gain)
learn_logistic = jitted(logistic.learn_logistic)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_logistic_member_equals_the_twin(seed):
    rng = np.random.default_rng(seed)
    n = 5
    n_classes = 3
    model = untrained(n - 1, n_classes + 1, hidden_sizes=1).model
    own = model.state.experts.logistic
    work = model.scratch.experts.logistic
    p = logistic.PRIOR * np.eye(n)
    w = np.zeros((n, n_classes))
    for _ in range(15):
        x = rng.normal(size=n).astype(np.float32)
        target = np.eye(n_classes)[rng.integers(n_classes)]
        proba = naive.softmax(x @ w)
        nonzeros = (np.arange(n, dtype=np.int32), n)
        work.step.energy = gain(own.projector, x, 0, n, nonzeros, work.gain)
        learn_logistic(own, work, n, proba, target, n_classes)
        p, w = naive.logistic_update(p, w, x.astype(float), proba, target)
        assert np.allclose(own.weights[:, :n_classes], w, atol=1e-3)
        assert np.allclose(own.projector, p, atol=1e-3)
    assert not np.any(own.weights[:, n_classes])
