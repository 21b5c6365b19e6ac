"""Statistics of the input detector and the onset of a change, in slow numpy."""

from __future__ import annotations

import math

import numpy as np

from loco_stream.drift._concept import _rows_since_rise


class NaiveEnergy:
    """Innovation of the log energy outside the subspace, for at most 64 features."""

    def __init__(self, width, rank):
        self.n = self.n_score = 0
        self.mean = np.zeros(width)
        self.variance = np.zeros(width)
        self.components = []
        self.rank = rank
        self.level = self.spread = self.correlation = self.last = 0.0

    def update(self, x, pace=1.0):
        self.n += 1
        rate = max(1 / self.n, 1 / 1000) * pace
        known = np.isfinite(x)
        deviation = np.where(known, x - self.mean, 0.0)
        usable = self.variance > 1e-24
        z = np.where(usable, deviation / np.sqrt(np.where(usable, self.variance, 1.0)), 0.0)
        rest = np.clip(z, -4, 4)
        bound = np.where(usable, 10 * np.sqrt(self.variance), np.inf)
        deviation = np.clip(deviation, -bound, bound)
        self.mean = self.mean + rate * deviation
        grown = self.variance + rate * ((1 - rate) * deviation**2 - self.variance)
        self.variance = np.where(known, grown, self.variance)
        for i in range(self.rank):
            if i == len(self.components) or np.linalg.norm(self.components[i]) < 1e-12:
                self.components[i:] = [rest]
                rest = np.zeros_like(rest)
                break
            direction = self.components[i] / np.linalg.norm(self.components[i])
            along = rest @ direction
            self.components[i] = (1 - rate) * self.components[i] + rate * along * rest
            rest = rest - along * direction
        return self._innovation(np.log(rest @ rest / len(x) + 1e-3), pace)

    def _innovation(self, level, pace):
        self.n_score += 1
        rate = max(1 / self.n_score, 1 / 1000) * pace
        deviation = np.sqrt(self.spread) + 1e-6
        standard = np.clip((level - self.level) / deviation, -3, 3)
        correlation = np.clip(self.correlation, 0, 0.98)
        innovation = (standard - correlation * self.last) / np.sqrt(1 - correlation**2)
        change = standard * deviation if self.n_score > 50 else level - self.level
        self.level += rate * change
        self.spread += rate * ((1 - rate) * change**2 - self.spread)
        if self.n_score > 2:
            self.correlation += rate * (standard * self.last - self.correlation)
        self.last = standard
        return innovation


def rows_since_rise(errors):
    """Return the tail length with the largest standardised rise of the mean, by trying all."""
    n = len(errors)
    best = -np.inf
    length = n
    for tail in range(1, n):
        rise = np.mean(errors[n - tail :]) - np.mean(errors[: n - tail])
        score = rise * np.sqrt(tail * (n - tail))
        if score > best + 1e-12:
            best = score
            length = tail
    return length


class NaiveConcept:
    """The gate of `ConceptDetector` in plain Python, around any test on errors."""

    def __init__(self, test, two_sided, patience):
        self.test = test
        self.two_sided = two_sided
        self.patience = patience
        self.errors = []
        self.reference = []
        self.running = math.nan
        self.mean = 0.0  # of the reference
        self.waited = -1
        self.peak = 0.0
        self.onset = 0
        self.ratio = 0.0

    def gate(self):
        numbers = [self.running, len(self.reference), self.mean, self.waited, self.peak]
        return [float(number) for number in [*numbers, self.onset, self.ratio]]

    def update(self, error):
        self.test.update(error)
        self.errors = [*self.errors[-511:], error]
        known = not math.isnan(self.running)
        self.running = self.running + (error - self.running) * (1 / 50) if known else float(error)
        if self.waited >= 0:
            self.waited += 1
            self.peak = max(self.peak, self.running)
            if self.running <= (self.mean + self.peak) / 2 or self.waited >= self.patience:
                self.waited = -1
                self.reference = []
                self.mean = 0.0
            return "stable"
        n = len(self.reference)
        usual = (self.mean * n + 1.0) / (n + 2.0)
        step = math.log((1.0 + usual) / 2.0 / usual) if error else -math.log(2.0)
        self.ratio = max(0.0, self.ratio + step)
        is_run = self.ratio > 14.0
        self.reference.append(error)
        self.mean += (error - self.mean) / len(self.reference)
        is_worse = not self.two_sided or self.running > self.mean
        if is_run and not self.test.drift_detected:
            self.test._reset()
        elif not self.test.drift_detected:
            warns = is_worse and self.test.warning_detected
            return "warning" if warns or self.ratio > 7.0 else "stable"
        elif not is_worse:
            self.ratio = 0.0
            self.reference = []
            self.mean = 0.0
            return "stable"
        self.ratio = 0.0
        self.waited = 0
        self.peak = self.running
        # not `rows_since_rise`: among equal rises, rounding decides
        self.onset = _rows_since_rise(np.array(self.errors))
        return "drift"
