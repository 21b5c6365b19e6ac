"""Delayed labels as formulas.

Share of an observation that a late label is, and weights of the members where values are late.
"""

from __future__ import annotations

import numpy as np

from loco_stream.learner.readout import delayed_values
from loco_stream.learner.readout.delayed_values import N_OTHERS
from loco_stream.learner.readout.mixture import DECAY, EARLY
from loco_stream.learner.readout.stacks import STACK_PRIOR
from tests.helpers import naive


class Sequences:
    """Rows of one label that were predicted by one model count as one observation together."""

    def __init__(self):
        self.lengths = []
        self.rows = []
        self.surplus = 0.0
        self.start = 0.0

    def share(self, labels, n_learned, waiting, most=1.0):
        """Return the share of an observation that the last of `labels` is.

        Its row was predicted when `n_learned` rows were learned; `waiting` rows were predicted by
        that model, 0 if that is unknown. `most` is the highest share.
        """
        y = labels[-1]
        if self.rows and self.rows[-1] != (n_learned, y):
            by_chance = chance_run(labels[:-1], self.rows[-1][1])
            if by_chance:
                self.lengths.append(len(self.rows) / by_chance)
            self.rows = []
        self.rows.append((n_learned, y))
        if not self.lengths and waiting:
            self.start = max(self.start, waiting)
        length = np.mean(self.lengths) if self.lengths else self.start
        so_far = len(self.rows) / max(chance_run(labels, y), 1.0)
        share = min(most, 1.0 / max(1.0, length, so_far))
        self.surplus += 1.0 - share
        return share


def chance_run(labels, label):
    """Return the mean length of runs of a label if labels are drawn one by one.

    It is 0 if there is no other label.
    """
    others = sum(each != label for each in labels)
    return len(labels) / others if others else 0.0


class DelayedValues:
    """The mixture of members, both stacks, the mean of those without memory, and of linear ones."""

    def __init__(self, n, settings):
        n_trace = settings.n_trace
        n_linear = settings.n_linear
        self.stack = np.full(n, 1.0 / n)
        self.stack_p = STACK_PRIOR * np.eye(n)
        self.log_weights = np.zeros(n + N_OTHERS)
        self.n_scored = 0.0
        self.best_error = 1.0
        self.in_use = False
        self.linear = np.full(n, 1.0 / n)
        if n_linear:
            self.linear = np.isin(np.arange(n), n_trace + np.arange(n_linear)) / n_linear
        has_memory = np.arange(n) < n_trace - settings.n_memoryless
        counted = ~has_memory if settings.n_memoryless else np.ones(n, bool)
        self.mean = counted / counted.sum()
        self.errors = [0.0]
        self.power = 0.0
        self.product = 0.0

    def experts(self, stack):
        """Return the weight that each expert gives each member, (experts, members)."""
        n = len(stack)
        return np.vstack([np.eye(n), stack, self.stack, self.mean, self.linear])

    def weights(self, stack):
        """Return the weight of each member."""
        return naive.softmax(self.log_weights) @ self.experts(stack) if self.in_use else stack

    def independent_share(self, error):
        """Return the share of an observation that a row is, by the mixture's error."""
        most = delayed_values.MAX_ERROR**0.5
        before = self.errors[-1]
        error = min(max(error, -most), most)
        rate = max(delayed_values.CORRELATION_RATE, 1.0 / len(self.errors))
        self.errors.append(error)
        self.power += rate * (error**2 - self.power)
        self.product += rate * (error * before - self.product)
        correlation = self.product / self.power if self.power else 0.0
        r = np.clip(correlation, 0.0, delayed_values.MAX_CORRELATION)
        return (1.0 - r) / (1.0 + r)

    def learn(self, stack, then, now, error, target, share):
        """Score all experts by what members predicted `then`.

        The second stack learns from what they predict `now`.
        """
        share_here = share * self.independent_share(error)
        self.n_scored += share_here
        decay = min(DECAY, self.n_scored / (self.n_scored + EARLY))
        errors = np.minimum((self.experts(stack) @ then - target) ** 2, delayed_values.MAX_ERROR)
        scale = max(self.best_error, delayed_values.MIN_ERROR)
        rate = share_here * delayed_values.RATE / 2.0 / scale
        self.log_weights = (1.0 - share_here * (1.0 - decay)) * self.log_weights - rate * errors
        rate = share_here * max(delayed_values.ERROR_RATE, 1.0 / max(self.n_scored, 1.0))
        self.best_error += rate * (errors[np.argmax(self.log_weights)] - self.best_error)
        self.stack_p, self.stack = naive.learn_stack(
            self.stack_p, self.stack, now[:, None], np.array([target]), STACK_PRIOR, share
        )
