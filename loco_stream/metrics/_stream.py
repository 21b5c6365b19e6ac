"""Scores of a finished stream, corrected for what a trivial predictor would score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise

from loco_stream._checks import require_type
from loco_stream.errors import ConfigError, InputError


def kappa(y_true: Sequence[Hashable], y_pred: Sequence[Hashable]) -> float:
    """Return Cohen's kappa, `(p0 - pe) / (1 - pe)`: agreement beyond that of independent labels.

    p0 is the accuracy, `pe = sum_k P(y_true = k) P(y_pred = k)`.

    Parameters
    ----------
    y_true, y_pred
        Labels and predictions in the order of the stream.

    Returns
    -------
    float
        1 is perfect, 0 is chance; also 0 where it is undefined (pe = 1).

    Raises
    ------
    InputError
        The sequences are empty or differ in length.

    References
    ----------
    Cohen: A Coefficient of Agreement for Nominal Scales. 1960.

    Examples
    --------
    >>> from loco_stream.metrics import kappa
    >>> kappa([1, 1, 0, 0], [1, 1, 0, 1])
    0.5
    """
    n = _length(y_true, y_pred)
    true = Counter(y_true)
    predicted = Counter(y_pred)
    chance = sum(count * predicted[label] for label, count in true.items()) / n**2
    return relative_gain(_accuracy(y_true, y_pred), chance)


def kappa_m(y_true: Sequence[Hashable], y_pred: Sequence[Hashable]) -> float:
    """Return kappa-m, `(p0 - pm) / (1 - pm)`: gain over the majority predictor.

    pm is the prequential accuracy of predicting the most frequent label so far (the one seen first
    among equals); its first prediction, before any label, counts as wrong.

    Parameters
    ----------
    y_true, y_pred
        Labels and predictions in the order of the stream.

    Raises
    ------
    InputError
        The sequences are empty or differ in length.

    References
    ----------
    Bifet et al.: Efficient Online Evaluation of Big Data Stream Classifiers. KDD 2015.

    Examples
    --------
    >>> from loco_stream.metrics import kappa_m
    >>> round(kappa_m([1, 1, 1, 0], [1, 1, 1, 1]), 3)
    0.5
    """
    _length(y_true, y_pred)
    seen: Counter[Hashable] = Counter()
    hits = 0
    for label in y_true:
        hits += bool(seen) and max(seen, key=seen.__getitem__) == label
        seen[label] += 1
    return relative_gain(_accuracy(y_true, y_pred), hits / len(y_true))


def kappa_t(y_true: Sequence[Hashable], y_pred: Sequence[Hashable]) -> float:
    """Return kappa-temporal, `(p0 - pt) / (1 - pt)`: gain over repeating the previous label.

    pt is the accuracy of the no-change predictor; its first prediction, before any label, counts as
    wrong. Prefer it where labels come in runs: the other kappas are then too favourable.

    Parameters
    ----------
    y_true, y_pred
        Labels and predictions in the order of the stream.

    Returns
    -------
    float
        Below 0 if repeating the previous label would have been better.

    Raises
    ------
    InputError
        The sequences are empty or differ in length.

    References
    ----------
    Zliobaite et al.: Evaluation Methods and Decision Theory for Classification of Streaming Data
    with Temporal Dependence. Machine Learning 98, 2015.

    Examples
    --------
    >>> from loco_stream.metrics import kappa_t
    >>> kappa_t([1, 1, 1, 0], [1, 1, 1, 1])
    0.5
    >>> kappa_t([0, 0, 1, 1], [1, 0, 0, 0])
    -0.5
    """
    _length(y_true, y_pred)
    repeats = sum(a == b for a, b in pairwise(y_true))
    return relative_gain(_accuracy(y_true, y_pred), repeats / len(y_true))


def fading_accuracy(
    y_true: Sequence[Hashable], y_pred: Sequence[Hashable], fading: float = 0.999
) -> float:
    """Return the accuracy with exponentially fading weights, `sum a^(n-i) hit_i / sum a^(n-i)`.

    Parameters
    ----------
    y_true, y_pred
        Labels and predictions in the order of the stream.
    fading
        a in (0, 1]; the memory is about 1 / (1 - a) rows. .999 suits concepts of several thousand
        rows; use .995 for shorter ones, .9995 for longer.

    Raises
    ------
    InputError
        The sequences are empty or differ in length.
    ConfigError
        `fading` is outside (0, 1].

    References
    ----------
    Gama, Sebastiao, Rodrigues: On Evaluating Stream Learning Algorithms. Machine Learning 90, 2013.

    Examples
    --------
    >>> from loco_stream.metrics import fading_accuracy
    >>> round(fading_accuracy([1, 1, 1], [0, 1, 1], fading=0.5), 3)
    0.857
    """
    _length(y_true, y_pred)
    fading = checked_fading(fading)
    hits = weight = 0.0
    for truth, prediction in zip(y_true, y_pred, strict=True):
        hits = fading * hits + bool(truth == prediction)
        weight = fading * weight + 1.0
    return hits / weight


def checked_fading(fading: float) -> float:
    """Return a fading factor; raises `ConfigError` if it is outside (0, 1]."""
    fading = require_type("fading", fading, "float")
    if not 0.0 < fading <= 1.0:
        raise ConfigError(f"`fading` must be in (0, 1], got {fading}")
    return fading


def relative_gain(accuracy: float, reference: float) -> float:
    """Return `(accuracy - reference) / (1 - reference)`, or 0 for a perfect reference."""
    return (accuracy - reference) / (1.0 - reference) if reference < 1.0 else 0.0


def _accuracy(y_true: Sequence[Hashable], y_pred: Sequence[Hashable]) -> float:
    """Return the share of equal pairs."""
    return sum(bool(a == b) for a, b in zip(y_true, y_pred, strict=True)) / len(y_true)


def _length(y_true: Sequence[Hashable], y_pred: Sequence[Hashable]) -> int:
    """Return the common length, or raise."""
    if len(y_true) != len(y_pred) or not len(y_true):
        raise InputError(
            "`y_true` and `y_pred` must have the same length above 0, "
            f"got {len(y_true)} and {len(y_pred)}"
        )
    return len(y_true)
