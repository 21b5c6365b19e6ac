"""Late labels, written down plainly.

What share of an observation each is, and who is trusted with late values.
"""

from __future__ import annotations

import numpy as np

from loco_stream.learner.readout import delayed_values as late_values
from loco_stream.learner.readout.mixture import EARLY, FADE
from loco_stream.options import N_OTHERS, STACK_PRIOR
from tests.helpers import naive


class Events:
    """Rows of one label that were predicted by one model: one observation together."""

    def __init__(self):
        self.lengths = []
        self.rows = []
        self.surplus = 0.0
        self.start = 0.0

    def share(self, labels, n_learned, waiting, asked=1.0):
        """Return the share of the last of all labels so far, whose row was predicted after so many were learned.

        `waiting` rows were predicted by that model, if that is known.
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
        usual = np.mean(self.lengths) if self.lengths else self.start
        share = min(asked, 1.0 / max(1.0, usual, len(self.rows) / max(chance_run(labels, y), 1.0)))
        self.surplus += 1.0 - share
        return share


def chance_run(labels, label):
    """Return how long runs of a label are if labels are drawn one by one.

    0 if there is no other.
    """
    others = sum(each != label for each in labels)
    return len(labels) / others if others else 0.0


class LateValues:
    """The mixture of members, of both stacks, of the mean of all and of that of the linear ones."""

    def __init__(self, n, n_trace, n_linear):
        self.stack, self.stack_p = np.full(n, 1.0 / n), STACK_PRIOR * np.eye(n)
        self.evidence = np.zeros(n + N_OTHERS)
        self.count = 0.0
        self.error = 1.0
        self.in_use = False
        self.linear = np.full(n, 1.0 / n)
        if n_linear:
            self.linear = np.isin(np.arange(n), n_trace + np.arange(n_linear)) / n_linear
        self.errors = [0.0]
        self.power = 0.0
        self.product = 0.0

    def experts(self, stack):
        """Return how each expert weighs the members, (experts, members)."""
        n = len(stack)
        return np.vstack([np.eye(n), stack, self.stack, np.full(n, 1.0 / n), self.linear])

    def weights(self, stack):
        """Return how much each member counts."""
        return naive.softmax(self.evidence) @ self.experts(stack) if self.in_use else stack

    def own_share(self, error):
        """Return what share of an observation a row is, given the mixture's error."""
        most = late_values.LARGEST**0.5
        before = self.errors[-1]
        error = min(max(error, -most), most)
        pace = max(late_values.ALIKE_PACE, 1.0 / len(self.errors))
        self.errors.append(error)
        self.power += pace * (error**2 - self.power)
        self.product += pace * (error * before - self.product)
        r = np.clip(self.product / self.power if self.power else 0.0, 0.0, late_values.MOST_ALIKE)
        return (1.0 - r) / (1.0 + r)

    def learn(self, stack, said, now, error, target, share):
        """Judge all experts by what members said, then learn the second stack from what they say now."""
        own = share * self.own_share(error)
        self.count += own
        fade = min(FADE, self.count / (self.count + EARLY))
        errors = np.minimum((self.experts(stack) @ said - target) ** 2, late_values.LARGEST)
        rate = own * late_values.RATE / 2.0 / max(self.error, late_values.LEAST)
        self.evidence = (1.0 - own * (1.0 - fade)) * self.evidence - rate * errors
        pace = own * max(late_values.PACE, 1.0 / max(self.count, 1.0))
        self.error += pace * (errors[np.argmax(self.evidence)] - self.error)
        self.stack_p, self.stack = naive.stack_update(
            self.stack_p, self.stack, now[:, None], np.array([target]), STACK_PRIOR, share
        )
