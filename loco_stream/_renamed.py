"""Arguments of earlier releases: each fails with a sentence that names its replacement."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def renamed(**names: str) -> Callable[[Function], Function]:
    """Return a decorator that refuses old keywords, `old="new"`; the signature stays as it is.

    The decorated function raises `TypeError` if it is called with an old keyword.

    Examples
    --------
    >>> @renamed(colour="color")
    ... def paint(color):
    ...     return color
    >>> paint(colour="red")
    Traceback (most recent call last):
    TypeError: `colour` of paint was renamed in release 0.3: use `color`
    """

    def decorator(function: Function) -> Function:
        owner = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

        @wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            for old in names.keys() & kwargs.keys():
                raise TypeError(
                    f"`{old}` of {owner} was renamed in release 0.3: use `{names[old]}`"
                )
            return function(*args, **kwargs)

        return cast("Function", checked)

    return decorator
