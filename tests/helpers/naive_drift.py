"""Statistics of the input detector and the onset of a change, in slow numpy."""

from __future__ import annotations

import numpy as np


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
