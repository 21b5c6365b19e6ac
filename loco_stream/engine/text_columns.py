"""Columns of texts that cannot be categories: ids, timestamps, numbers written as texts.

A category needs texts that come again. A column of ids would fill the slots of its feature with
texts that never do, so it is left out and reported.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from loco_stream.engine.row import cut
from loco_stream.persistence.content import Config, State
from loco_stream.stream import Block

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

    def select_block(self, block: Block) -> Iterator[Block]:
        """Yield the rows of a block without the columns that are left out, as `select` does.

        A block is divided where a column turns out to be left out. A block whose sender waits for
        one reply stays whole.
        """
        left_out = tuple(self._left_out)
        begin = 0
        if self._is_active and block.tag is None and block.X.dtype.hasobject:
            for i, texts in self._texts_to_judge(block):
                for name, text in texts:
                    if name not in self._judged:
                        self._count(name, text)
                if len(self._left_out) == len(left_out):
                    continue
                if i > begin:
                    yield _without(cut(block, begin, i), left_out)
                begin = i
                left_out = tuple(self._left_out)
        yield _without(cut(block, begin, len(block.X)) if begin else block, left_out)

    def _texts_to_judge(self, block: Block) -> Iterator[tuple[int, list[tuple[Hashable, str]]]]:
        """Yield each row with its texts, until no text of a column to be judged is left."""
        columns = {
            name: block.X[:, j].tolist()
            for j, name in enumerate(block.features)
            if name not in self._judged
        }
        columns = {
            name: cells for name, cells in columns.items() if any(type(c) is str for c in cells)
        }
        for i in range(len(block.X)):
            if self._judged.issuperset(columns):
                return
            texts = [(name, cells[i]) for name, cells in columns.items()]
            yield i, [(name, cell) for name, cell in texts if type(cell) is str and cell]

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
        if n >= _ROWS:
            self._judge(name, _why_useless(texts, n, text))

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


def _without(block: Block, names: Collection[Hashable]) -> Block:
    """Return a block without some columns."""
    if not names or set(names).isdisjoint(block.features):
        return block
    kept = [j for j, name in enumerate(block.features) if name not in names]
    return replace(block, X=block.X[:, kept], features=tuple(block.features[j] for j in kept))


def _is_time(text: str) -> bool:
    if "-" not in text and ":" not in text:
        return False
    try:
        datetime.fromisoformat(text.strip())
    except ValueError:
        return False
    return True


def _why_useless(texts: set[str], n: int, example: str) -> str | None:
    """Return why the texts of `n` rows cannot be categories, None if they may be."""
    if len(texts) < n - _REPEATS:
        return None
    what = "numbers written as texts" if _are_numbers(texts) else "texts"
    return f"{len(texts)} of its first {n} {what} are distinct, as {example[:_MAX_LENGTH]!r}"


def _are_numbers(texts: Collection[str]) -> bool:
    return all(map(_is_number, texts))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
