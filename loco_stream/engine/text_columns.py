"""Columns of texts that cannot be categories: ids, timestamps, numbers written as texts.

A category needs texts that come again. A column of ids would fill the slots of its feature with
texts that never do, so it is left out and reported.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Hashable, Mapping
from datetime import datetime
from typing import Any

from loco_stream.persistence.content import Config, State

__all__ = ["TextColumns"]

_log = logging.getLogger(__name__)

_ROWS = 50  # with a text, after which a column is judged
_REPEATS = 1  # texts among them that may have come before
_MAX_COLUMNS = 4096
_MAX_LENGTH = 64  # characters by which a text is compared


class TextColumns:
    """Leaves out columns of texts that are nearly all distinct, or times.

    A column is judged once: by its first text if that is a time, else by its first 50 texts.

    Parameters
    ----------
    is_active
        Whether the model takes texts as categories; otherwise nothing is left out.
    used
        Columns that the user has asked for; they are never left out.

    Examples
    --------
    >>> columns = TextColumns(True)
    >>> columns.select({"at": "2026-05-04T10:00:00Z", "colour": "red"})
    {'colour': 'red'}
    >>> columns.sentences()
    ["column 'at' is left out: its texts are times, as '2026-05-04T10:00:00Z'"]
    """

    def __init__(self, is_active: bool, used: Collection[str] = ()) -> None:
        self._is_active = is_active
        self._used = frozenset(used)
        self._seen: dict[Hashable, tuple[int, set[str]]] = {}  # texts of columns to be judged
        self._judged: set[Hashable] = set()
        self._left_out: dict[Hashable, str] = {}  # column: why

    def select(self, x: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """Return a row without the columns that are left out."""
        if not self._is_active:
            return x
        for name, value in x.items():
            if type(value) is str and value and name not in self._judged:
                self._count(name, value)
        if not self._left_out or self._left_out.keys().isdisjoint(x):
            return x
        return {name: value for name, value in x.items() if name not in self._left_out}

    def _count(self, name: Hashable, text: str) -> None:
        if name in self._used or len(self._judged) + len(self._seen) >= _MAX_COLUMNS:
            self._judged.add(name)
            return
        n, texts = self._seen.setdefault(name, (0, set()))
        if not n and _is_time(text):
            self._judge(name, f"its texts are times, as {text[:_MAX_LENGTH]!r}")
            return
        n += 1
        texts.add(text[:_MAX_LENGTH])
        self._seen[name] = n, texts
        if n < _ROWS:
            return
        if len(texts) < n - _REPEATS:
            self._judge(name, None)
            return
        what = "numbers written as texts" if _are_numbers(texts) else "texts"
        example = f"{text[:_MAX_LENGTH]!r}"
        self._judge(name, f"{len(texts)} of its first {n} {what} are distinct, as {example}")

    def _judge(self, name: Hashable, why: str | None) -> None:
        self._seen.pop(name, None)
        self._judged.add(name)
        if why is not None:
            self._left_out[name] = why
            _log.warning("%s; name it in `use` to keep it", self._sentence(name))

    def _sentence(self, name: Hashable) -> str:
        return f"column {name!r} is left out: {self._left_out[name]}"

    def sentences(self) -> list[str]:
        """Return a sentence per column that is left out."""
        return [self._sentence(name) for name in self._left_out]

    def export_state(self) -> Config:
        """Return everything as plain values."""
        judged = [[name, _ROWS, []] for name in self._judged if name not in self._left_out]
        counts = [[name, n, sorted(texts)] for name, (n, texts) in self._seen.items()]
        return {
            "counts": [*sorted(judged, key=str), *counts],
            "left_out": [list(item) for item in self._left_out.items()],
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self._left_out = dict(state["left_out"])
        judged = {name for name, n, _ in state["counts"] if n >= _ROWS}
        self._judged = judged | set(self._left_out)
        self._seen = {
            name: (n, set(texts)) for name, n, texts in state["counts"] if name not in judged
        }


def _is_time(text: str) -> bool:
    if "-" not in text and ":" not in text:
        return False
    try:
        datetime.fromisoformat(text.strip())
    except ValueError:
        return False
    return True


def _are_numbers(texts: Collection[str]) -> bool:
    return all(map(_is_number, texts))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
