"""Constructors that name what an unknown keyword may mean, and what needs a keyword."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
Self = TypeVar("Self")
Constructor: TypeAlias = Callable[Concatenate[Self, P], None]
Explanation: TypeAlias = Callable[[str, str, Sequence[str]], str]


def explains_keywords(
    explain: Explanation,
) -> Callable[[Constructor[Self, P]], Constructor[Self, P]]:
    """Return a decorator of `__init__`.

    `explain`: ``(keyword, name of the class, known keywords) -> text of the TypeError``.
    """

    def decorate(
        init: Constructor[Self, P],
    ) -> Constructor[Self, P]:
        parameters = list(inspect.signature(init).parameters.values())[1:]  # without self
        known = [parameter.name for parameter in parameters]

        @wraps(init)
        def checked(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> None:
            _check_number(len(args), type(self).__name__, parameters)
            for name in kwargs:
                if name not in known:
                    raise TypeError(explain(name, type(self).__name__, known))
            init(self, *args, **kwargs)

        return checked

    return decorate


def _check_number(n: int, owner: str, parameters: Sequence[inspect.Parameter]) -> None:
    """Raise `TypeError` if there are more positional arguments than parameters that take one."""
    by_keyword = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    most = len(parameters) - len(by_keyword)
    if n > most:
        rest = f"; `{by_keyword[0]}` and what follows need a keyword" if by_keyword else ""
        raise TypeError(f"{owner}() must have at most {most} positional arguments, got {n}{rest}")
