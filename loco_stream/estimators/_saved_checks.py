"""Checks of the plain values in a saved model."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from loco_stream.estimators.inputs.slots import plain_label

__all__ = ["check_classes", "check_names", "check_width"]


def check_names(what: str, names: Any) -> list[Hashable]:
    """Return a list of distinct feature names or classes.

    Raises ValueError, TypeError for anything else.
    """
    if not isinstance(names, list) or len(set(names)) != len(names):
        raise ValueError(f"{what} is not a list of distinct names")
    return names


def check_classes(classes: Any, *, regression: bool) -> list[Hashable]:
    """Return the classes of a model: none of a regressor.

    Raises ValueError, TypeError for what cannot be one.
    """
    if regression and classes:
        raise ValueError("a regressor has no classes")
    return [plain_label(label) for label in check_names("classes", classes)]


def check_width(width: Any, n_features: int) -> int:
    """Return how many features the first row had.

    Raises ValueError unless they are among the model's.
    """
    if type(width) is not int or not 1 <= width <= max(n_features, 1):
        raise ValueError(
            f"width is {width!r}; allowed is 1 to {max(n_features, 1)}, the model's features"
        )
    return width
