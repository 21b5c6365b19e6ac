"""Covers, tails, runs and the onset score of one column in plain Python."""

from __future__ import annotations

import math
from itertools import groupby

import numpy as np

from loco_stream._novelty import runs, tails
from loco_stream._novelty.columns import FIRST_RESIDUAL
from loco_stream._novelty.state import CAPACITY, NUMBER, VALUES_HELD, WARMUP


def naive_cover(rows, capacity, order):
    """Return sizes and distances of a cover; `order` sorts points before they merge."""
    points = []
    radius = 0.0
    sizes = []
    distances = []

    def near(point, others):
        return min((math.dist(point, other) for other in others), default=0.0)

    for row in rows:
        d = near(row, points)
        distances.append(d)
        if not points or d > radius:
            while len(points) == capacity:
                points = order(points)
                gaps = sorted(near(p, points[:i] + points[i + 1 :]) for i, p in enumerate(points))
                radius = max(radius, gaps[capacity // 4]) * (1.0 + 1e-7)
                kept = points[:1]
                for p in points[1:]:
                    if near(p, kept) > radius:
                        kept.append(p)
                points = kept
            points = [*points, row]
        sizes.append(len(points))
    return sizes, distances, radius


def naive_tail(distances, capacity):
    """Return the score of each distance before it is learned."""
    scores = []
    for i, d in enumerate(distances):
        before = np.sort(distances[:i])[-capacity:]
        if i < tails.MIN_DISTANCES:
            scores.append(0.0)
            continue
        k = min(max(tails.FEWEST, int(tails.SHARE * i)), len(before))
        top = before[-k:]
        excess = (top - top[0]).mean()
        level = math.log10((i + 1) / (k + 1))
        if d > top[0]:
            share = (d - top[0]) / (k * excess) if excess > 0 else math.inf
            beyond = k * math.log10(1 + share)
            scores.append(min(level + beyond, tails.MOST))
        else:
            scores.append(level * d / top[0] if top[0] > 0 else 0.0)
    return scores


def naive_onset(values, forecasts):
    """Return the onset score of each row of one column of numbers that do not repeat."""
    values = np.asarray(values)
    residuals = values - forecasts
    first = values[:WARMUP]
    scale = first.std()
    known = residuals[FIRST_RESIDUAL:WARMUP]
    heights = 0.1 * scale / known.std() * residuals
    ratios = np.sign(values) * np.log1p(np.abs(values) / scale)
    changes = np.diff(values, prepend=values[0])
    errors = residuals / _usual_errors(residuals)
    views = [
        _view([(v,) for v in values], sorted, WARMUP),
        _view([(v,) for v in ratios], sorted, WARMUP),
        _view(list(zip(values, heights, strict=True)), list, WARMUP),
        _view([(v,) for v in changes], sorted, WARMUP),
        _view([(v,) for v in errors[FIRST_RESIDUAL:]], sorted, WARMUP - FIRST_RESIDUAL),
    ]
    onset = np.zeros(len(values))
    for i in range(WARMUP, len(values)):
        before = values[:i]
        squares = np.sum((before - before.mean()) ** 2)
        correlation = 1.0 - 0.5 * np.sum(np.diff(before) ** 2) / squares
        weight = max((correlation - 0.8) / 0.2, 0.0)
        weights = [1.0, 1.0, 1.0, weight, weight]
        onset[i] = np.average([view[i - WARMUP] for view in views], weights=weights)
    return onset


def _usual_errors(residuals):
    """Return the mean absolute residual before each row: of the warm-up, then fading."""
    usual = np.full(len(residuals), np.abs(residuals[FIRST_RESIDUAL:WARMUP]).mean())
    for i in range(WARMUP, len(residuals) - 1):
        usual[i + 1] = 0.98 * usual[i] + 0.02 * abs(residuals[i])
    return usual


def _view(rows, order, n_before):
    """Return the scores of a view; of the first `n_before` rows only the cover learns."""
    _, distances, _ = naive_cover(rows, CAPACITY, order)
    return naive_tail(distances[n_before:], CAPACITY)


def naive_runs(cells):
    """Return the score of each cell (kind, number) for a run that is too long.

    A number is compared with all numbers of the column; a value of a column of at most
    `VALUES_HELD` values also with its own runs.
    """
    scores = []
    for i, cell in enumerate(cells):
        before = cells[:i]
        score = 0.0
        if len(set(before)) <= VALUES_HELD:
            run, ended = _run_of(before, cell)
            own = [n for value, n in ended if value == cell]
            if len(own) >= runs.LEAST_RUNS and run > runs.TIMES_LONGEST * (max(own) - 1):
                score = _score_of(run, own, 2.0)
        if cell[0] == NUMBER:
            run, ended = _run_of([old for old in before if old[0] == NUMBER], cell)
            lengths = [n for _, n in ended]
            if lengths and run > max(lengths) - 1:
                score = max(score, _score_of(run, lengths, 3.0))
        scores.append(score)
    return scores


def _run_of(before, cell):
    """Return how often a cell repeats the last one, and the runs that have ended."""
    found = [(value, len(list(run))) for value, run in groupby(before)]
    run = found[-1][1] if found and found[-1][0] == cell else 0
    return run, found[:-1]


def _score_of(run, lengths, others):
    """Return -log10 of the probability that a run lasts, by how often others went on."""
    if run == 0:
        return 0.0
    share = (sum(lengths) - len(lengths) + 1) / (sum(lengths) + others)
    return min(-run * math.log10(share), tails.MOST)
