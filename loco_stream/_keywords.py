"""Constructors that name what an unknown keyword may mean."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
Self = TypeVar("Self")
Explanation: TypeAlias = Callable[[str, str, Sequence[str]], str]


def explains_keywords(
    explain: Explanation,
) -> Callable[[Callable[Concatenate[Self, P], None]], Callable[Concatenate[Self, P], None]]:
    """Return a decorator of `__init__`.

    `explain`: ``(keyword, name of the class, known keywords) -> text of the TypeError``.
    """

    def decorate(
        init: Callable[Concatenate[Self, P], None],
    ) -> Callable[Concatenate[Self, P], None]:
        known = list(inspect.signature(init).parameters)[1:]  # without self

        @wraps(init)
        def checked(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> None:
            for name in kwargs:
                if name not in known:
                    raise TypeError(explain(name, type(self).__name__, known))
            init(self, *args, **kwargs)

        return checked

    return decorate
