"""Checks of the plain values in a saved model."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from loco_stream._numbers import shown


def check_names(what: str, names: Any) -> list[Hashable]:
    """Return a list of distinct feature names or classes.

    Raises `ValueError` or `TypeError` if it is something else.
    """
    if not isinstance(names, list) or len(set(names)) != len(names):
        raise ValueError(f"`{what}` must be a list of distinct names, got {shown(names)}")
    return names


def check_flag(what: str, flag: Any) -> bool:
    """Return a bool; raises `ValueError` if it is something else."""
    if type(flag) is not bool:
        raise ValueError(f"`{what}` must be True or False, got {shown(flag)}")
    return flag


def check_width(width: Any, n_features: int) -> int:
    """Return how many features the first row had.

    Raises `ValueError` if it is no number of features that the model may have begun with.
    """
    most = max(n_features, 1)
    if type(width) is not int or not 1 <= width <= most:
        raise ValueError(f"`width` must be an integer from 1 to {most}, got {shown(width)}")
    return width
