"""The prediction mode of models that have one: the stream's next row, or a row from anywhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from inspect import signature


def takes_mode(method: Callable[..., object]) -> bool:
    """Return whether a method has the parameter `in_stream`; models of other libraries do not."""
    return has_parameter(method, "in_stream")


def has_parameter(method: Callable[..., object] | None, name: str) -> bool:
    """Return whether a method has a parameter; False for None and for what has no signature."""
    function = getattr(method, "__func__", None)
    return _has_parameter(method, name) if function is None else _function_has(function, name)


def _has_parameter(function: Callable[..., object] | None, name: str) -> bool:
    try:
        return function is not None and name in signature(function).parameters
    except (TypeError, ValueError):  # methods of compiled classes may have no signature
        return False


_function_has = lru_cache(_has_parameter)  # reading a signature takes longer than a prediction


def mode_arguments(method: Callable[..., object], in_stream: bool | None) -> dict[str, bool | None]:
    """Return the keyword `in_stream` for a method that has it, nothing for others.

    Examples
    --------
    >>> from loco_stream import LOCOClassifier
    >>> mode_arguments(LOCOClassifier().predict_one, False)
    {'in_stream': False}
    >>> mode_arguments({}.get, False)
    {}
    """
    return {"in_stream": in_stream} if takes_mode(method) else {}
