"""One model takes rows one by one and another takes them in blocks, in any order of calls."""

from __future__ import annotations

import copy
import math
import pickle
import tempfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from loco_stream import load, save
from tests.helpers.models import arrays_of, assert_same, classifier, regressor

NAMES = tuple("abcdefghijkl")
CLASSES = [f"class {i}" for i in range(20)]

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 30)
moods = st.sampled_from(["plain", "plain", "holes", "far", "constant"])
modes = st.sampled_from([None, True, False])


class RowsAndBlocks(RuleBasedStateMachine):
    """What both have learned agrees bit by bit after every call."""

    make = staticmethod(classifier)
    options: ClassVar[dict[str, object]] = {}
    timed = False
    texts = False

    def __init__(self):
        super().__init__()
        self.by_row = self.make(hidden_sizes=8, seed=1, **self.options)
        self.by_block = self.make(hidden_sizes=8, seed=1, **self.options)
        self.tickets = []
        self.n_names = 3
        self.n_classes = 2
        self.now = 0.0

    @property
    def regression(self):
        return self.make is regressor

    def draw(self, seed, n, mood):
        """Return rows, targets, names and times."""
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, self.n_names))
        if mood == "holes":
            X[rng.random(X.shape) < 0.3] = math.nan
        elif mood == "far":
            X *= 10.0 ** rng.integers(-3, 12, X.shape)
        elif mood == "constant":
            X[:] = X[0]
        target = np.nansum(X[:, :2], axis=1)
        if self.texts:
            words = [None if math.isnan(v) else f"word {int(v * 3.0) % 7}" for v in X[:, 0]]
            X = X.astype(object)
            X[:, 0] = words
        y = target.tolist()
        if not self.regression:
            of_row = np.clip(target + 0.3 * rng.normal(size=n), -9.0, 9.0)
            y = [CLASSES[int(abs(v) * 7.0) % self.n_classes] for v in of_row]
        t = [None] * n
        if self.timed:
            t = (self.now + np.cumsum(rng.choice([0.0, 0.5, 1.0, 40.0], n))).tolist()
            self.now = t[-1]
        return X, y, NAMES[: self.n_names], t

    def dicts(self, X, names):
        return [dict(zip(names, row.tolist(), strict=True)) for row in X]

    def times(self, t):
        return t if self.timed else None

    def check(self):
        assert_same(arrays_of(self.by_row), arrays_of(self.by_block))

    @rule(seed=seeds, n=sizes, mood=moods)
    def learn(self, seed, n, mood):
        X, y, names, t = self.draw(seed, n, mood)
        for x, label, time in zip(self.dicts(X, names), y, t, strict=True):
            self.by_row.learn_one(x, label, t=time)
        self.by_block.learn_array(X, y, names, t=self.times(t))
        self.check()

    @rule(seed=seeds, n=sizes, mood=moods)
    def predict_and_learn(self, seed, n, mood):
        X, y, names, t = self.draw(seed, n, mood)
        expected = []
        for x, label, time in zip(self.dicts(X, names), y, t, strict=True):
            expected.append(self.by_row.predict_one(x, t=time, in_stream=True))
            self.by_row.learn_one(x, label, t=time)
        predicted = self.by_block.learn_predict_array(X, y, names, t=self.times(t))
        assert predicted.tolist() == expected
        self.check()

    @rule(seed=seeds, n=sizes, mood=moods, in_stream=modes)
    def predict(self, seed, n, mood, in_stream):
        if "memory" in self.options:
            n = 1  # the rows of a block follow each other, those of several calls do not
        X, _, names, t = self.draw(seed, n, mood)
        expected = [
            self.by_row.predict_one(x, t=time, in_stream=in_stream)
            for x, time in zip(self.dicts(X, names), t, strict=True)
        ]
        predicted = self.by_block.predict_array(X, names, t=self.times(t), in_stream=in_stream)
        assert predicted.tolist() == expected
        self.check()

    @rule(seed=seeds, n=sizes, mood=moods)
    def observe(self, seed, n, mood):
        X, y, names, t = self.draw(seed, n, mood)
        single = [
            self.by_row.observe_one(x, t=time)
            for x, time in zip(self.dicts(X, names), t, strict=True)
        ]
        block = self.by_block.observe_array(X, names, t=self.times(t))
        self.tickets.extend(zip(single, block, y, strict=True))
        self.check()

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), n=st.integers(1, 10))
    def labels_come(self, data, n):
        for _ in range(min(n, len(self.tickets))):
            at = data.draw(st.integers(0, len(self.tickets) - 1))
            single, block, label = self.tickets.pop(at)
            self.by_row.learn_one(single, label)
            self.by_block.learn_one(block, label)
        self.check()

    @rule(way=st.sampled_from(["pickle", "deepcopy", "file"]), which=st.booleans())
    def go_on_with_a_copy(self, way, which):
        name = "by_row" if which else "by_block"
        model = getattr(self, name)
        if way == "pickle":
            other = pickle.loads(pickle.dumps(model))
        elif way == "deepcopy":
            other = copy.deepcopy(model)
        else:
            with tempfile.TemporaryDirectory() as folder:
                save(model, Path(folder) / "model")
                other = load(Path(folder) / "model")
        setattr(self, name, other)
        self.check()

    @precondition(lambda self: self.n_names < len(NAMES))
    @rule(n=st.integers(1, 3))
    def more_features(self, n):
        self.n_names = min(self.n_names + n, len(NAMES))

    @precondition(lambda self: self.n_classes < len(CLASSES))
    @rule(n=st.integers(1, 6))
    def more_classes(self, n):
        self.n_classes = min(self.n_classes + n, len(CLASSES))

    @rule()
    def reset_context(self):
        self.by_row.reset_context()
        self.by_block.reset_context()
        self.check()


KINDS = {
    "classifier": (classifier, {}, ()),
    "neighbors and centroids": (classifier, {"neighbors": 5, "centroids": 3}, ()),
    "memory": (classifier, {"memory": (0.3, 20.0), "max_delay": 4}, ("timed",)),
    "balanced": (classifier, {"class_weight": "balanced", "retention": 1.0}, ()),
    "texts": (classifier, {"categories": 4}, ("texts",)),
    "regressor": (regressor, {}, ("texts",)),
    "regressor with a memory": (regressor, {"memory": (0.3, 20.0), "max_delay": 4}, ("timed",)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_blocks_agree_whatever_the_order_of_calls(kind):
    make, options, traits = KINDS[kind]
    members = {"make": staticmethod(make), "options": options} | dict.fromkeys(traits, True)
    machine = type("Machine", (RowsAndBlocks,), members)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=30, deadline=None)
    )
