"""Streams with known change points, for judging drift detectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import scenarios

__all__ = ["ERRORS", "INPUTS", "Verdict", "errors", "inputs", "judge", "jump"]

# error rate on a known concept, and the increase on a new one
_BASE = 0.1
_RISE = 0.4
_MEMORY = 1000.0  # samples after which a learner has relearned all but 1/e of a new concept
_RECALL = 100.0  # the same for a concept that was learned before
_GAP = 4000  # samples between changes


@dataclass(frozen=True, slots=True)
class Verdict:
    """A detector's result on one stream.

    `delays` has one entry per change that was found; `missed` counts the other changes and `false`
    the false alarms.
    """

    delays: list[int]
    missed: int
    false: int
    n: int


def judge(alarms: Sequence[int], changes: Sequence[int], n: int) -> Verdict:
    """Match alarms with changes.

    The first alarm at or after a change and before the next one detects that change. All other
    alarms are false.

    Examples
    --------
    >>> judge([50, 110, 130, 420], [100, 200, 300], 500)
    Verdict(delays=[10, 120], missed=1, false=2, n=500)
    """
    delays = []
    found = 0
    for change, end in zip(changes, [*changes, n][1:], strict=True):
        first = next((alarm for alarm in alarms if change <= alarm < end), None)
        if first is not None:
            delays.append(first - change)
            found += 1
    return Verdict(delays, len(changes) - found, len(alarms) - found, n)


def jump(
    before: float, after: float, seed: int, at: int = 1000, n: int = 3000
) -> NDArray[np.int64]:
    """Return `n` errors whose rate jumps from `before` to `after` at sample `at`."""
    rate = np.where(np.arange(n) < at, before, after)
    return (np.random.default_rng(seed).random(n) < rate).astype(np.int64)


def errors(name: str, seed: int) -> tuple[NDArray[np.int64], list[int]]:
    """Return the errors of a learner on the stream `name`, and where its concept changes."""
    novelty, changes = ERRORS[name]()
    rate = _BASE + _RISE * novelty if changes else novelty
    return (np.random.default_rng(seed).random(len(rate)) < rate).astype(np.int64), changes


def _gradual(
    width: int, gap: int, n_changes: int
) -> Callable[[], tuple[NDArray[np.float64], list[int]]]:
    """Return a stream of concepts, each replacing the last over `width` samples (1 is abrupt).

    The share of the new concept grows as a sigmoid; the learner lags by `_MEMORY` samples.
    """

    def novelty() -> tuple[NDArray[np.float64], list[int]]:
        changes = [gap * (k + 1) for k in range(n_changes)]
        t = np.arange(gap * (n_changes + 1))
        share = sum(
            1.0 / (1.0 + np.exp(np.clip(-4.0 * (t - c - width / 2) / width, -50, 50)))
            for c in changes
        )
        return _lag(np.asarray(share), np.full(len(t), _MEMORY)), changes

    return novelty


def _recurring() -> tuple[NDArray[np.float64], list[int]]:
    """Return A-B-A-B-A-B; from the third visit on relearning is ten times faster than learning."""
    changes = [_GAP * (k + 1) for k in range(5)]
    t = np.arange(_GAP * 6)
    share = np.searchsorted(changes, t, side="right").astype(np.float64)
    return _lag(share, np.where(share >= 2, _RECALL, _MEMORY)), changes


def _lag(share: NDArray[np.float64], memory: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lag of a learner behind `share`, at most 1."""
    known = 0.0
    ahead = np.empty(len(share))
    for i, (now, horizon) in enumerate(zip(share.tolist(), memory.tolist(), strict=True)):
        ahead[i] = min(1.0, abs(now - known))
        known += (now - known) / horizon
    return ahead


def _stationary(rate: float) -> Callable[[], tuple[NDArray[np.float64], list[int]]]:
    return lambda: (np.full(50_000, rate), [])


ERRORS: dict[str, Callable[[], tuple[NDArray[np.float64], list[int]]]] = {
    "abrupt": _gradual(1, _GAP, 5),
    "gradual 100": _gradual(100, _GAP, 5),
    "gradual 1000": _gradual(1000, _GAP, 5),
    "gradual 10000": _gradual(10_000, 20_000, 2),
    "recurring": _recurring,
    "none .05": _stationary(0.05),
    "none .2": _stationary(0.2),
    "none .4": _stationary(0.4),
}


def inputs(name: str, seed: int, directory: str | None) -> tuple[NDArray[Any], list[int]]:
    """Return the inputs of the stream `name` (n, features), and where they change."""
    return INPUTS[name](np.random.default_rng(seed), directory)


Generator = np.random.Generator


def _permuted(rng: Generator, _: str | None) -> tuple[NDArray[Any], list[int]]:
    X = _mixed(rng, 24_000, 16)
    for start in range(4000, 24_000, 4000):
        X[start:] = X[start:, rng.permutation(16)]
    return X, list(range(4000, 24_000, 4000))


def _shifted(rng: Generator, _: str | None) -> tuple[NDArray[Any], list[int]]:
    X = _mixed(rng, 24_000, 16)
    for start in range(4000, 24_000, 4000):
        X[start:] += 2.0 * X.std(axis=0) * (rng.random(16) < 0.25)
    return X, list(range(4000, 24_000, 4000))


def _mixed(rng: Generator, n: int, width: int) -> NDArray[Any]:
    return np.asarray(rng.standard_normal((n, width)) @ rng.standard_normal((width, width)))


def _repeating(rng: Generator, _: str | None) -> tuple[NDArray[Any], list[int]]:
    X = rng.standard_normal((50_000, 8))
    for i in range(1, len(X)):
        X[i] += 0.9 * X[i - 1]
    return X, []


def _images(scenario: str) -> Callable[[Generator, str | None], tuple[NDArray[Any], list[int]]]:
    def stream(rng: Generator, directory: str | None) -> tuple[NDArray[Any], list[int]]:
        tasks = [
            task.X[rng.permutation(len(task.X))] for task in scenarios.build(scenario, directory)
        ]
        return np.concatenate(tasks), np.cumsum([len(X) for X in tasks])[:-1].tolist()

    return stream


def _shuffled_images(rng: Generator, directory: str | None) -> tuple[NDArray[Any], list[int]]:
    X, _ = _images("split MNIST")(rng, directory)
    return X[rng.permutation(len(X))], []


INPUTS: dict[str, Callable[[Generator, str | None], tuple[NDArray[Any], list[int]]]] = {
    "permuted features": _permuted,
    "shifted features": _shifted,
    "permuted MNIST": _images("permuted MNIST"),
    "split MNIST": _images("split MNIST"),
    "none: MNIST": _shuffled_images,
    "none: Gaussian": lambda rng, _: (_mixed(rng, 50_000, 9), []),
    "none: log-normal": lambda rng, _: (np.exp(rng.standard_normal((50_000, 6))), []),
    "none: repeating": _repeating,
}
