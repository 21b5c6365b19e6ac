"""Names of the problems that a stream poses, and labels of one or several targets.

Imported by the command for `--help`, and therefore without numpy.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

Label: TypeAlias = Any

TARGETS = "multi-target regression"
"""The label of a row is a mapping from target to number."""

FORECASTING = "forecasting"
"""A regression in which the label of a row is the next value of one series."""

PROBLEMS = ("classification", "regression", TARGETS, FORECASTING, "watching")
"""Every problem; "watching" has no labels."""

OF_RIVER = {"Regression": "regression", "Multi-output regression": TARGETS}
"""Problems by the name of a river dataset's task; all others are classification."""
_PLAIN = frozenset({str, int, float, bool, type(None)})  # of these, `plain_label` changes nothing


def is_numeric(problem: str) -> bool:
    """Return whether labels are numbers, or mappings from target to number."""
    return problem in ("regression", TARGETS, FORECASTING)


def known_targets(y: Mapping[Hashable, object]) -> dict[Hashable, float]:
    """Return the targets that have a value, as numbers.

    Examples
    --------
    >>> known_targets({"heat": 20, "flow": None, "load": float("nan")})
    {'heat': 20.0}
    """
    from loco_stream._numbers import plain, to_number

    numbers = {plain(name): to_number(value) for name, value in y.items()}
    return {name: value for name, value in numbers.items() if value == value}


def plain_label(y: Label) -> Label:
    """Return a label as a Python value, and a mapping of targets without the missing ones."""
    if type(y) in _PLAIN:
        return y
    from loco_stream._numbers import plain

    return known_targets(y) if isinstance(y, Mapping) else plain(y)


def plain_labels(labels: Sequence[Label]) -> list[Label]:
    """Return `plain_label` of each label."""
    if _PLAIN.issuperset(map(type, labels)):
        return list(labels)
    return [plain_label(y) for y in labels]


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list.

    Examples
    --------
    >>> split_names("heat, flow"), split_names("")
    (('heat', 'flow'), ())
    """
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
