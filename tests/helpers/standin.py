"""A nearest-mean classifier and a source of commits, for tests of the engine without a learner."""

from __future__ import annotations

import numpy as np

from loco_stream.errors import InputError
from loco_stream.stream import Source

MAX_FEATURES = 16


class Means:
    """Class means over named features, with every method that the engine calls.

    Updates add a little noise from a saved generator, so that an incomplete state is noticed.
    """

    def __init__(self, seed=0):
        self.seed = seed
        self.features = []
        self.classes = []
        self.sums = np.zeros((0, MAX_FEATURES))
        self.counts = np.zeros(0)
        self.noise = seed + 1

    def _vector(self, x, grow=False):
        for name in sorted(set(map(str, x)) - set(self.features)) if grow else ():
            self.features.append(name)
        v = np.zeros(MAX_FEATURES)
        for name, value in x.items():
            if str(name) in self.features:
                v[self.features.index(str(name))] = value
        return v

    def predict_one(self, x):
        proba = self.predict_proba_one(x)
        return max(proba, key=proba.get) if proba else None

    def predict_proba_one(self, x):
        if not self.classes:
            return {}
        distance = ((self.sums / self.counts[:, None] - self._vector(x)) ** 2).sum(axis=1)
        p = np.exp(-(distance - distance.min()))
        return dict(zip(self.classes, (p / p.sum()).tolist(), strict=True))

    def learn_one(self, x, y):
        if y == "refuse me":
            raise InputError("this label is refused")
        if y not in self.classes:
            self.classes.append(y)
            self.sums = np.vstack([self.sums, np.zeros(MAX_FEATURES)])
            self.counts = np.append(self.counts, 0.0)
        self.noise = (self.noise * 6364136223846793005 + 1442695040888963407) % 2**64
        i = self.classes.index(y)
        self.sums[i] += self._vector(x, grow=True) + (self.noise >> 40) * 1e-12
        self.counts[i] += 1

    def _named(self, X, features):
        return [
            {f: v for f, v in zip(features, row, strict=True) if v == v}
            for row in np.asarray(X).tolist()
        ]

    def predict_array(self, X, features):
        return np.array([self.predict_one(x) for x in self._named(X, features)], dtype=object)

    def predict_proba_array(self, X, features):
        rows = [list(self.predict_proba_one(x).values()) for x in self._named(X, features)]
        return np.array(rows).reshape(len(X), len(self.classes))

    def learn_array(self, X, y, features):
        for x, label in zip(self._named(X, features), y, strict=True):
            self.learn_one(x, label)

    def learn_predict_array(self, X, y, features):
        if "refuse me" in y:
            raise InputError("this label is refused")
        predictions = []
        for x, label in zip(self._named(X, features), y, strict=True):
            predictions.append(self.predict_one(x))
            self.learn_one(x, label)
        return np.array(predictions, dtype=object)

    def export_state(self):
        config = {
            "seed": self.seed,
            "features": list(self.features),  # it is written while rows are learned
            "classes": list(self.classes),
            "noise": self.noise,
        }
        return config, {"sums": self.sums.copy(), "counts": self.counts.copy()}

    @classmethod
    def from_state(cls, config, arrays):
        model = cls(config["seed"])
        model.features = list(config["features"])
        model.classes = list(config["classes"])
        model.noise = config["noise"]
        model.sums = arrays["sums"].copy()
        model.counts = arrays["counts"].copy()
        return model


class ListSource(Source):
    """Commits from a list; it stores the acknowledged positions and the replies."""

    guarantee = "a list"

    def __init__(self, commits, needs_log=False, start=0):
        self.name = "list"
        self.needs_log = needs_log
        self._commits = commits
        self._next = start
        self.acked = []
        self.replies = []
        self.closed = False

    @property
    def position(self):
        return {"commit": self._next}

    def __iter__(self):
        while self._next < len(self._commits):
            self._next += 1
            yield self._commits[self._next - 1]

    def seek(self, position):
        self._next = position["commit"]

    def ack(self, position):
        self.acked.append(position["commit"])

    def reply(self, event, values, classes):
        self.replies.append((event, np.array(values), list(classes)))

    def close(self):
        self.closed = True
