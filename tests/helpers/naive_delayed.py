"""Delayed labels as formulas.

Share of an observation that a late label is, and weights of the members where values are late.
"""

from __future__ import annotations

import numpy as np

from loco_stream._learner.delayed_labels.weights import LARGEST_LENGTH
from loco_stream._learner.readout import delayed_values
from loco_stream._learner.readout.delayed_values import N_OTHERS
from loco_stream._learner.readout.mixture import DECAY, EARLY
from loco_stream._learner.readout.stacks import FIRST_STACK_PRIOR, STACK_PRIOR
from tests.helpers import naive


class Sequences:
    """Late rows of one label, each predicted before the last was learned, count as few rows."""

    def __init__(self):
        self.lengths = []
        self.rows = []
        self.surplus = 0.0
        self.start = 0.0

    def share(self, labels, n_seen, n_learned, waiting, most=1.0):
        """Return the share of an observation that the last of `labels` is.

        `labels` are of all rows in the order in which they were learned. `n_seen` rows are learned.
        Its row was predicted when `n_learned` rows were; `waiting` rows were predicted by that
        model, 0 if that is unknown. `most` is the highest share.
        """
        y = labels[-1]
        is_new = not self.rows or n_learned == n_seen or y not in labels[-2:-1]
        is_new = is_new or y != self.rows[-1][1]
        came_alone = not is_new and n_learned != self.rows[-1][0]
        if self.rows and is_new:
            by_chance = chance_run(labels[:-1], self.rows[-1][1])
            if by_chance:
                self.lengths.append(len(self.rows) / by_chance)
            self.rows = []
        self.rows.append((n_learned, y))
        if not self.lengths and waiting:
            self.start = max(self.start, waiting)
        length = np.mean(self.lengths) if self.lengths else self.start
        so_far = len(self.rows) / max(chance_run(labels, y), 1.0)
        length = max(1.0, length, so_far)
        if came_alone:
            length = min(length, LARGEST_LENGTH)
        share = min(most, 1.0 / length)
        self.surplus += 1.0 - share
        return share


def chance_run(labels, label):
    """Return the mean length of runs of a label if labels are drawn one by one.

    It is 0 if there is no other label.
    """
    others = sum(each != label for each in labels)
    return len(labels) / others if others else 0.0


class DelayedValues:
    """The mixture of members, both stacks, the mean of those without memory, and of linear ones.

    The second stack is of members without memory, too.
    """

    def __init__(self, n, settings):
        n_trace = settings.n_trace
        n_linear = settings.n_linear
        has_memory = np.arange(n) < n_trace - settings.n_memoryless
        self.can_do_without = settings.n_memoryless > 0
        self.counted = ~has_memory if self.can_do_without else np.ones(n, bool)
        n_counted = self.counted.sum()
        self.stack = np.full(n_counted, 1.0 / n_counted)
        self.stack_p = FIRST_STACK_PRIOR * np.eye(n_counted)
        self.log_weights = np.zeros(n + N_OTHERS)
        self.n_scored = 0.0
        self.best_error = 1.0
        self.in_use = False
        self.linear = np.full(n, 1.0 / n)
        if n_linear:
            self.linear = np.isin(np.arange(n), n_trace + np.arange(n_linear)) / n_linear
        self.mean = self.counted / n_counted
        self.errors = [0.0]
        self.power = 0.0
        self.product = 0.0

    def experts(self, stack):
        """Return the weight that each expert gives each member, (experts, members)."""
        by_now = self.second_stack()
        return np.vstack([np.eye(len(stack)), stack, by_now, self.mean, self.linear])

    def second_stack(self):
        """Return the weight of every member in the second stack."""
        weights = np.zeros(len(self.counted))
        weights[self.counted] = self.stack
        return weights

    def weights(self, stack, without_memory=False):
        """Return the weight of each member, of all experts or of those without a memory.

        While values come at once, hidden layers learn by the mean of both stacks.
        """
        if not self.in_use:
            halves = without_memory and self.can_do_without
            return 0.5 * (stack + self.second_stack()) if halves else stack
        counted = self.is_without_memory() if without_memory else slice(None)
        return naive.softmax(self.log_weights[counted]) @ self.experts(stack)[counted]

    def is_without_memory(self):
        """Return which experts see no member with a memory; all where every member has one."""
        return np.r_[self.counted, not self.can_do_without, np.ones(N_OTHERS - 1, bool)]

    def share_without_memory(self):
        """Return the share of the mixture that experts without a memory have."""
        if not self.can_do_without:
            return 0.0
        return naive.softmax(self.log_weights)[self.is_without_memory()].sum()

    def predict(self, stack, outputs):
        """Return what every expert predicts, (experts,)."""
        return self.experts(stack) @ outputs

    def mix(self, predicted, bounds):
        """Return the output of the mixture; what experts predicted counts within the bounds."""
        return naive.softmax(self.log_weights) @ np.clip(predicted, *bounds)

    def independent_share(self, error):
        """Return the share of an observation that a row is, by the mixture's error."""
        most = delayed_values.MAX_ERROR**0.5
        before = self.errors[-1]
        error = min(max(error, -most), most)
        rate = max(delayed_values.CORRELATION_RATE, 1.0 / len(self.errors))
        self.errors.append(error)
        self.power += rate * (error**2 - self.power)
        self.product += rate * (error * before - self.product)
        return self.evidence_share()

    def evidence_share(self):
        """Return the share of an observation that a row is, by the errors so far."""
        correlation = self.product / self.power if self.power else 0.0
        r = np.clip(correlation, 0.0, delayed_values.MAX_CORRELATION)
        return (1.0 - r) / (1.0 + r)

    def learn(self, predicted, bounds, error, target, share):
        """Score all experts by what they predicted at the time."""
        share_here = share * self.independent_share(error)
        self.n_scored += share_here
        decay = min(DECAY, self.n_scored / (self.n_scored + EARLY))
        lack = np.clip(predicted, *bounds) - target
        errors = np.minimum(lack**2, delayed_values.MAX_ERROR)
        scale = max(self.best_error, delayed_values.MIN_ERROR)
        rate = share_here * delayed_values.RATE / 2.0 / scale
        self.log_weights = (1.0 - share_here * (1.0 - decay)) * self.log_weights - rate * errors
        rate = share_here * max(delayed_values.ERROR_RATE, 1.0 / max(self.n_scored, 1.0))
        self.best_error += rate * (errors[np.argmax(self.log_weights)] - self.best_error)

    def learn_stack(self, now, target, share):
        """Let the second stack learn from what members predict now."""
        self.stack_p, self.stack = naive.learn_stack(
            self.stack_p,
            self.stack,
            now[self.counted, None],
            np.array([target]),
            STACK_PRIOR,
            share,
        )
