"""Measures of the accuracy matrix R; R[i, j] is the accuracy on task j after training on task i."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._arrays import Float64
from loco_stream.errors import ConfigError, InputError


def average_accuracy(R: ArrayLike) -> float:
    """Return the mean accuracy on all tasks after the last one, `mean_j R[T, j]`.

    Parameters
    ----------
    R
        Accuracy matrix, shape (tasks, tasks). Only its last row is read.

    Raises
    ------
    InputError
        `R` is not square, or an entry that is needed is missing (NaN).

    References
    ----------
    Lopez-Paz, Ranzato: Gradient Episodic Memory for Continual Learning. NeurIPS 2017.

    Examples
    --------
    >>> from loco_stream.metrics import average_accuracy
    >>> round(average_accuracy([[0.9, 0.1], [0.7, 0.8]]), 3)
    0.75
    """
    return float(_known(_square(R)[-1]).mean())


def learning_accuracy(R: ArrayLike) -> float:
    """Return the mean accuracy on each task right after learning it, `mean_i R[i, i]`.

    It measures plasticity alone; retention does not enter.

    Parameters
    ----------
    R
        Accuracy matrix, shape (tasks, tasks). Only its diagonal is read.

    Raises
    ------
    InputError
        `R` is not square, or an entry that is needed is missing (NaN).

    References
    ----------
    Riemer et al.: Learning to Learn without Forgetting by Maximizing Transfer and Minimizing
    Interference. ICLR 2019.

    Examples
    --------
    >>> from loco_stream.metrics import learning_accuracy
    >>> round(learning_accuracy([[0.9, 0.1], [0.7, 0.8]]), 3)
    0.85
    """
    return float(_known(np.diag(_square(R))).mean())


def average_anytime_accuracy(R: ArrayLike, variant: str = "seen") -> float:
    """Return the accuracy averaged over the whole training, `mean_i mean_{j in S_i} R[i, j]`.

    Parameters
    ----------
    R
        Accuracy matrix, shape (tasks, tasks).
    variant
        Tasks S_i that count after task i: "seen" takes tasks 1 to i (Caccia et al.), "all" takes
        every task, also those not learned yet (CapyMOA's `anytime_all_avg`, evaluated at the ends
        of tasks).

    Raises
    ------
    InputError
        `R` is not square, or an entry that is needed is missing (NaN).
    ConfigError
        `variant` is unknown.

    References
    ----------
    Caccia et al.: New Insights on Reducing Abrupt Representation Change in Online Continual
    Learning. ICLR 2022.

    Examples
    --------
    >>> from loco_stream.metrics import average_anytime_accuracy
    >>> round(average_anytime_accuracy([[0.9, 0.1], [0.7, 0.8]]), 3)
    0.825
    >>> round(average_anytime_accuracy([[0.9, 0.1], [0.7, 0.8]], variant="all"), 3)
    0.625
    """
    matrix = _square(R)
    if _variant(variant, ("seen", "all")) == "all":
        return float(_known(matrix).mean())
    return float(np.mean([_known(row[: i + 1]).mean() for i, row in enumerate(matrix)]))


def _change_over_pairs(matrix: Float64) -> float:
    """Return the mean of R[i, j] - R[j, j] over all pairs i > j."""
    below = np.tril_indices(len(matrix), -1)
    return float((_known(matrix[below]) - _known(np.diag(matrix)[below[1]])).mean())


def backward_transfer(R: ArrayLike, variant: str = "final") -> float:
    """Return the effect of later training on earlier tasks, `mean_{j<T} (R[T, j] - R[j, j])`.

    Values below 0 mean forgetting.

    Parameters
    ----------
    R
        Accuracy matrix, shape (tasks, tasks).
    variant
        "final" is the formula of the GEM paper, above. "final_over_all" divides the same sum by T
        instead of T - 1, as the code published with that paper does. "pairs" is the mean of `R[i,
        j] - R[j, j]` over all pairs i > j (Diaz-Rodriguez et al.; CapyMOA's `backward_transfer`).

    Returns
    -------
    float
        0.0 for a single task, where nothing was learned later.

    Raises
    ------
    InputError
        `R` is not square, or an entry that is needed is missing (NaN).
    ConfigError
        `variant` is unknown.

    References
    ----------
    Lopez-Paz, Ranzato: Gradient Episodic Memory for Continual Learning. NeurIPS 2017.
    Diaz-Rodriguez et al.: Don't forget, there is more than forgetting. 2018, arXiv:1810.13166.

    Examples
    --------
    >>> from loco_stream.metrics import backward_transfer
    >>> R = [[0.9, 0.1, 0.1], [0.8, 0.9, 0.2], [0.5, 0.8, 0.9]]
    >>> round(backward_transfer(R), 3)
    -0.25
    >>> round(backward_transfer(R, variant="pairs"), 3)
    -0.2
    """
    matrix = _square(R)
    n_tasks = len(matrix)
    _variant(variant, ("final", "final_over_all", "pairs"))
    if n_tasks == 1:
        return 0.0
    if variant == "pairs":
        return _change_over_pairs(matrix)
    change = _known(matrix[-1, :-1]) - _known(np.diag(matrix)[:-1])
    n = n_tasks if variant == "final_over_all" else n_tasks - 1
    return float(change.sum() / n)


def forward_transfer(
    R: ArrayLike, baseline: ArrayLike | None = None, variant: str = "next"
) -> float:
    """Return the effect of earlier training on new tasks, `mean_{i>=2} (R[i-1, i] - b_i)`.

    Parameters
    ----------
    R
        Accuracy matrix, shape (tasks, tasks), with the entries above the diagonal.
    baseline
        b, the accuracy on each task before any training: shape (tasks,), or one number for all.
        `variant="next"` needs it, `variant="pairs"` takes none.
    variant
        "next" is the formula above. "pairs" is the mean of `R[i, j]` over all pairs i < j, without
        a baseline (Diaz-Rodriguez et al.; CapyMOA's `forward_transfer`).

    Returns
    -------
    float
        0.0 for a single task.

    Raises
    ------
    InputError
        `R` is not square, an entry that is needed is missing (NaN), or `baseline` has another
        number of tasks.
    ConfigError
        `variant` is unknown, or `baseline` and `variant` do not go together.

    References
    ----------
    Lopez-Paz, Ranzato: Gradient Episodic Memory for Continual Learning. NeurIPS 2017.

    Examples
    --------
    >>> from loco_stream.metrics import forward_transfer
    >>> R = [[0.9, 0.3, 0.1], [0.8, 0.9, 0.4], [0.5, 0.8, 0.9]]
    >>> round(forward_transfer(R, baseline=0.1), 3)
    0.25
    >>> round(forward_transfer(R, variant="pairs"), 3)
    0.267
    """
    matrix = _square(R)
    n_tasks = len(matrix)
    if (_variant(variant, ("next", "pairs")) == "next") != (baseline is not None):
        raise ConfigError(
            f"`baseline` must be given with variant='next' and only then, got variant={variant!r}"
        )
    if n_tasks == 1:
        return 0.0
    if variant == "pairs":
        return float(_known(matrix[np.triu_indices(n_tasks, 1)]).mean())
    untrained = _baselines(baseline, n_tasks)
    return float((_known(np.diag(matrix, 1)) - _known(untrained[1:])).mean())


def _baselines(baseline: ArrayLike | None, n_tasks: int) -> Float64:
    """Return one baseline per task."""
    values = np.asarray(baseline, dtype=np.float64)
    if values.shape not in ((), (n_tasks,)):
        raise InputError(
            f"`baseline` must be one number or have shape ({n_tasks},), got shape {values.shape}"
        )
    return np.broadcast_to(values, (n_tasks,))


def forgetting(R: ArrayLike, variant: str = "maximum") -> float:
    """Return the mean fall from the best, `mean_{j<T} (max_{j<=l<T} R[l, j] - R[T, j])`.

    Parameters
    ----------
    R
        Accuracy matrix, shape (tasks, tasks). Only the lower triangle is read.
    variant
        "maximum" compares with the best accuracy that a task ever had, as above. "learned" compares
        with the accuracy right after learning the task, `R[j, j]`; this is the stream forgetting of
        Avalanche and the negative of `backward_transfer`.

    Returns
    -------
    float
        0.0 for a single task. Below 0 if later training helped.

    Raises
    ------
    InputError
        `R` is not square, or an entry that is needed is missing (NaN).
    ConfigError
        `variant` is unknown.

    References
    ----------
    Chaudhry et al.: Riemannian Walk for Incremental Learning. ECCV 2018.

    Examples
    --------
    >>> from loco_stream.metrics import forgetting
    >>> R = [[0.9, 0.1, 0.1], [0.95, 0.9, 0.2], [0.5, 0.8, 0.9]]
    >>> round(forgetting(R), 3)
    0.275
    >>> round(forgetting(R, variant="learned"), 3)
    0.25
    """
    matrix = _square(R)
    if _variant(variant, ("maximum", "learned")) == "learned":
        return -backward_transfer(matrix) if len(matrix) > 1 else 0.0
    if len(matrix) == 1:
        return 0.0
    best = [_known(matrix[j:-1, j]).max() for j in range(len(matrix) - 1)]
    return float((np.array(best) - _known(matrix[-1, :-1])).mean())


def _square(R: ArrayLike) -> Float64:
    """Return `R` as a float64 matrix; raises `InputError` unless it is square."""
    matrix = np.asarray(R, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise InputError(
            "`R` must be a square matrix of accuracies with at least one task, "
            f"got shape {matrix.shape}"
        )
    return matrix


def _known(values: Float64) -> Float64:
    """Return `values`; raises `InputError` if one is missing."""
    if np.isnan(values).any():
        raise InputError(
            "`R` and its baseline must have an accuracy in every entry that this measure needs, "
            "got NaN"
        )
    return values


def _variant(variant: str, allowed: tuple[str, ...]) -> str:
    """Return `variant`; raises `ConfigError` unless it is allowed."""
    if variant not in allowed:
        raise ConfigError(f"`variant` must be one of {', '.join(allowed)}, got {variant!r}")
    return variant
