"""Centroids as formulas: lists of places, counts and worth, all distances in float64."""

import numpy as np

from loco_stream._learner.readout.experts import centroids as kernels
from loco_stream._learner.readout.experts._search import FEW, NEAREST
from tests.helpers import naive


class Centroids:
    """At most `size` centroids among standardised rows."""

    def __init__(self, size, n_classes):
        self.size = size
        self.n_classes = n_classes
        self.places = []
        self.counts = []
        self.worth = []
        self.n_rows = []

    def measure(self, z, ranges, given):
        """Measure the distances of a row, which is predicted and learned next.

        `ranges` are those of its features, 0 for one left out; `given` is False where masked.
        """
        self.z = np.array(z)
        self.given = given
        self.measured = given & (np.asarray(ranges) > 0)
        rest = (np.array(self.places).reshape(-1, len(z)) - self.z)[:, self.measured]
        self.squares = ((rest / np.asarray(ranges)[self.measured]) ** 2).sum(axis=1)
        self.order = np.argsort(self.squares, kind="stable")

    def predict(self, known):
        """Return the outputs of few and of many of the nearest, (2, classes)."""
        outputs = np.zeros((2, self.n_classes))
        for row, most in zip(outputs, (FEW, NEAREST), strict=True):
            chosen = self.order[:most]
            if not self.measured.any() or len(chosen) == 0:
                continue
            votes = naive.vote_weights(self.squares[chosen])
            counts = np.array([self.counts[place][:known] for place in chosen])
            shares = votes @ (counts / (counts.sum(axis=1) + kernels.EMPTY_ROWS)[:, None])
            row[:known] = naive.centre_logs(shares / shares.sum())
        return outputs

    def learn(self, label):
        """Learn the class of the row that was measured."""
        if not self.measured.any():
            return
        one_hot = np.eye(self.n_classes)[label]
        if self.places:
            one = self.order[0]
            is_own = int(np.argmax(self.counts[one])) == label
            self.worth = [worth * (1.0 - kernels.WORTH_DECAY) for worth in self.worth]
            self.worth[one] += 1.0 if is_own else -kernels.BLAME
            self.counts[one] = (1.0 - kernels.COUNT_DECAY) * self.counts[one] + one_hot
            if is_own:
                self.n_rows[one] += 1
                rate = max(1.0 / self.n_rows[one], kernels.MIN_RATE)
                step = rate * self.given * (self.z - self.places[one])
                self.places[one] = self.places[one] + step
                return
        start = self.z + kernels.PULL * (self.places[one] - self.z) if self.places else self.z
        new = len(self.places) if len(self.places) < self.size else int(np.argmin(self.worth))
        lists = (
            (self.places, start),
            (self.counts, one_hot),
            (self.worth, 1.0),
            (self.n_rows, 1),
        )
        for kept, value in lists:
            kept[new : new + 1] = [value]
