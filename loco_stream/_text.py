"""Small texts for error messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def counted(n: int, thing: str) -> str:
    """Return a number of things.

    Examples
    --------
    >>> counted(1, "field"), counted(3000, "field")
    ('1 field', '3,000 fields')
    """
    return f"{n:,} {thing}{'s' * (n != 1)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` with up to three similar known words, or an empty text.

    Examples
    --------
    >>> did_you_mean("tau_trase", ["tau", "tau_trace", "tau_trade"])
    "; did you mean 'tau_trade' or 'tau_trace'?"
    >>> did_you_mean("lr", ["learning_rate", "loss"])
    "; did you mean 'learning_rate'?"
    """
    known = list(known)
    spelling = {name.lower(): name for name in known}
    similar = [spelling[name] for name in get_close_matches(word.lower(), spelling, 3, 0.6)]
    similar += [name for name in known if "_" in name and _initials(name) == word.lower()]
    if not similar:
        return ""
    *others, last = map(repr, similar)
    return f"; did you mean {', '.join(others)}{' or ' if others else ''}{last}?"


def _initials(name: str) -> str:
    return "".join(part[:1] for part in name.lower().split("_"))


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Return the first names separated by commas, and the number of the others.

    Examples
    --------
    >>> listed("abcde", limit=3)
    'a, b, c and 2 more'
    """
    every = list(names)
    rest = len(every) - limit
    return ", ".join(every[:limit]) + (f" and {rest} more" if rest > 0 else "")


def has_surrogate(value: object) -> bool:
    r"""Return whether a value is a text with a lone surrogate, which has no UTF-8 encoding.

    Examples
    --------
    >>> has_surrogate("größer"), has_surrogate("\ud800"), has_surrogate(3)
    (False, True, False)
    """
    if not isinstance(value, str) or value.isascii():
        return False
    return any("\ud800" <= letter <= "\udfff" for letter in value)


def one_line(text: str) -> str:
    r"""Return a text without characters that move, colour or break a line: they become escapes.

    Labels and names come from outside, and may hold sequences that a terminal obeys.

    Examples
    --------
    >>> print(one_line("ok\nERROR \x1b[31mall is lost\u202e"))
    ok\nERROR \x1b[31mall is lost\u202e
    """
    if text.isprintable():
        return text
    # the codec unicode_escape would be imported first, for which there may be no file descriptor
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def reason_of(error: BaseException) -> str:
    """Return why something failed: the system's words without its number, or those of the error.

    Examples
    --------
    >>> reason_of(FileNotFoundError(2, "No such file or directory")), reason_of(TimeoutError())
    ('No such file or directory', 'TimeoutError')
    """
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
