"""Centroids as formulas: lists of places, counts and worth, all distances in float64."""

import numpy as np

from loco_stream.learner.readout import centroids as kernels
from loco_stream.learner.readout.neighbors import LEAST, SOFTNESS
from loco_stream.options import FEW, NEAREST


class Centroids:
    """At most `size` of them.

    Rows are standardised, and `spans` their features' ranges, 0 for those left out.
    """

    def __init__(self, size, n_classes):
        self.size = size
        self.n_classes = n_classes
        self.places = []
        self.counts = []
        self.worth = []
        self.rows = []

    def look(self, z, spans, given):
        """Measure the row that is asked and learned about next.

        `given` says which of its features are not masked.
        """
        self.z = np.array(z)
        self.given = given
        self.measured = given & (np.asarray(spans) > 0)
        rest = (np.array(self.places).reshape(-1, len(z)) - self.z)[:, self.measured]
        self.squares = ((rest / np.asarray(spans)[self.measured]) ** 2).sum(axis=1)
        self.order = np.argsort(self.squares, kind="stable")

    def say(self, known):
        """Return what few and many say, (2, classes)."""
        said = np.zeros((2, self.n_classes))
        for row, most in zip(said, (FEW, NEAREST), strict=True):
            chosen = self.order[:most]
            if not self.measured.any() or len(chosen) == 0:
                continue
            squares = self.squares[chosen]
            furthest = squares[-1]
            votes = (
                furthest / (squares + SOFTNESS * furthest) if furthest > 0 else np.ones(len(chosen))
            )
            counts = np.array([self.counts[place][:known] for place in chosen])
            shares = votes @ (counts / (counts.sum(axis=1) + kernels.DOUBT)[:, None])
            logs = np.log(np.maximum(shares / shares.sum(), LEAST))
            row[:known] = logs - logs.mean()
        return said

    def learn(self, label):
        """Learn the class of the row that was looked at."""
        if not self.measured.any():
            return
        if self.places:
            one = self.order[0]
            own = int(np.argmax(self.counts[one])) == label
            self.worth = [worth * (1.0 - kernels.WORTH_FADE) for worth in self.worth]
            self.worth[one] += 1.0 if own else -kernels.BLAME
            self.counts[one] = (1.0 - kernels.COUNT_FADE) * self.counts[one] + np.eye(
                self.n_classes
            )[label]
            if own:
                self.rows[one] += 1
                rate = max(1.0 / self.rows[one], kernels.SLOWEST)
                self.places[one] = self.places[one] + rate * self.given * (
                    self.z - self.places[one]
                )
                return
        start = self.z + kernels.PULL * (self.places[one] - self.z) if self.places else self.z
        new = len(self.places) if len(self.places) < self.size else int(np.argmin(self.worth))
        lists = (
            (self.places, start),
            (self.counts, np.eye(self.n_classes)[label]),
            (self.worth, 1.0),
            (self.rows, 1),
        )
        for kept, value in lists:
            kept[new : new + 1] = [value]
