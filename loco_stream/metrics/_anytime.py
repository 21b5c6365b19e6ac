"""Measures of whole accuracy curves, which show drops that evaluation at task ends misses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._arrays import Float64
from loco_stream._checks import require_type
from loco_stream.errors import ConfigError, InputError


def minimum_accuracy(curves: ArrayLike, ends: Sequence[int]) -> float:
    """Return min-ACC, the mean over earlier tasks of their lowest accuracy after training.

    `min-ACC = mean_{j<k} min_{n > end_j} A[n, j]`, where k is the number of tasks learned so far,
    the current one included.

    Parameters
    ----------
    curves
        A, shape (evaluations, tasks): row n holds the accuracies on all tasks at evaluation n.
        Evaluate often, or the drop right after a task switch is missed.
    ends
        Row in which training ended, for each task before the current one; increasing.

    Raises
    ------
    InputError
        `curves` is not a finite matrix, or `ends` does not fit it.

    References
    ----------
    De Lange et al.: Continual Evaluation for Lifelong Learning: Identifying the Stability Gap. ICLR
    2023.

    Examples
    --------
    >>> from loco_stream.metrics import minimum_accuracy
    >>> round(minimum_accuracy([[0.9, 0.1], [0.2, 0.6], [0.7, 0.8]], ends=[0]), 3)
    0.2
    """
    matrix = _curves(curves)
    n_rows, n_tasks = matrix.shape
    _check_ends(ends, n_rows, n_tasks)
    return float(np.mean([matrix[end + 1 :, task].min() for task, end in enumerate(ends)]))


def worst_case_accuracy(curves: ArrayLike, ends: Sequence[int]) -> float:
    """Return WC-ACC, `A[last, k] / k + (1 - 1/k) min-ACC`.

    It combines the accuracy on the current task now with the lowest ones of the earlier tasks.

    Parameters
    ----------
    curves
        A, shape (evaluations, tasks), as for `minimum_accuracy`.
    ends
        As for `minimum_accuracy`; the current task k is the one after them.

    Raises
    ------
    InputError
        `curves` is not a finite matrix, or `ends` does not fit it.

    References
    ----------
    De Lange et al.: Continual Evaluation for Lifelong Learning: Identifying the Stability Gap. ICLR
    2023.

    Examples
    --------
    >>> from loco_stream.metrics import worst_case_accuracy
    >>> round(worst_case_accuracy([[0.9, 0.1], [0.2, 0.6], [0.7, 0.8]], ends=[0]), 3)
    0.5
    """
    worst = minimum_accuracy(curves, ends)
    current = _curves(curves)[-1, len(ends)]
    share = 1.0 / (len(ends) + 1)
    return float(share * current + (1.0 - share) * worst)


def windowed_forgetting(curves: ArrayLike, window: int = 10) -> float:
    """Return WF, the mean over tasks of the largest drop within `window` consecutive evaluations.

    `WF = mean_j max_{m < n, n - m < window} (A[m, j] - A[n, j])`, 0 for a curve that never falls.

    Parameters
    ----------
    curves
        A, shape (evaluations, tasks).
    window
        Evaluations that a drop may span. De Lange et al. report 10 (sudden) and 100 (slow).

    Raises
    ------
    InputError
        `curves` is not a finite matrix.
    ConfigError
        `window` is below 2.

    References
    ----------
    De Lange et al.: Continual Evaluation for Lifelong Learning: Identifying the Stability Gap. ICLR
    2023.

    Examples
    --------
    >>> from loco_stream.metrics import windowed_forgetting
    >>> round(windowed_forgetting([[0.9], [0.5], [0.8], [0.3]], window=2), 3)
    0.5
    """
    return float((_recent_best(_curves(curves), window) - _curves(curves)).max(axis=0).mean())


def windowed_plasticity(curves: ArrayLike, window: int = 10) -> float:
    """Return WP, the mean over tasks of the largest gain within `window` consecutive evaluations.

    `WP = mean_j max_{m < n, n - m < window} (A[n, j] - A[m, j])`, 0 for a curve that never rises.

    Parameters
    ----------
    curves
        A, shape (evaluations, tasks).
    window
        Evaluations that a gain may span.

    Raises
    ------
    InputError
        `curves` is not a finite matrix.
    ConfigError
        `window` is below 2.

    References
    ----------
    De Lange et al.: Continual Evaluation for Lifelong Learning: Identifying the Stability Gap. ICLR
    2023.

    Examples
    --------
    >>> from loco_stream.metrics import windowed_plasticity
    >>> round(windowed_plasticity([[0.9], [0.5], [0.8], [0.3]], window=2), 3)
    0.3
    """
    return windowed_forgetting(-_curves(curves), window)


def _check_ends(ends: Sequence[int], n_rows: int, n_tasks: int) -> None:
    if not 0 < len(ends) < n_tasks:
        raise InputError(
            f"`ends` must name between 1 and {n_tasks - 1} earlier tasks of {n_tasks}, "
            f"got {len(ends)}"
        )
    if list(ends) != sorted(set(ends)) or not (ends[0] >= 0 and ends[-1] < n_rows - 1):
        raise InputError(
            f"`ends` must be strictly increasing row numbers of `curves` from 0 to {n_rows - 2}, "
            f"got {list(ends)}"
        )


def _recent_best(matrix: Float64, window: int) -> Float64:
    """Return the running maximum of each column over `window` rows."""
    window = require_type("window", window, "int")
    if window < 2:
        raise ConfigError(f"`window` must be at least 2 evaluations, got {window}")
    window = min(window, len(matrix))
    padding = np.full((window - 1, matrix.shape[1]), -np.inf)
    views = np.lib.stride_tricks.sliding_window_view(np.vstack([padding, matrix]), window, axis=0)
    best: Float64 = views.max(axis=-1)
    return best


def _curves(curves: ArrayLike) -> Float64:
    """Return `curves` as a float64 matrix; raises `InputError` if it is none."""
    matrix = np.asarray(curves, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise InputError(f"`curves` must have shape (evaluations, tasks), got {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise InputError("`curves` must hold finite accuracies only, got NaN or infinity")
    return matrix
