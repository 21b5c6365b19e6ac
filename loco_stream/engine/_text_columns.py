"""Texts that cannot be categories: ids, timestamps, numbers written as texts, and odd cells.

A category needs texts that come again. A column of ids would fill the slots of its feature with
texts that never do, so it is left out and reported. In a column of numbers, a text that has not
come before is an unreadable number: this cell counts as missing, and the column stays.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np

from loco_stream._numbers import to_number
from loco_stream._persistence.content import Config, State
from loco_stream._text import counted
from loco_stream.engine._column_counts import first_sentences
from loco_stream.engine._row import cut
from loco_stream.stream import Block

_log = logging.getLogger("loco_stream.engine.text_columns")

_ROWS = 50  # with a text, after which a column is judged
_REPEATS = 1  # texts among them that may have come before
_NUMBERS = 3  # with which a column must begin to be one of numbers
_MAX_COLUMNS = 4096
_MAX_LENGTH = 64  # characters by which a text is compared


@dataclass(slots=True)
class _OddCells:
    """Texts in a column of numbers.

    n: cells that count as missing
    row, text: the last of them
    texts: up to 50 that have come; one that comes again is a category
    """

    n: int = 0
    row: int = 0
    text: str = ""
    texts: set[str] = field(default_factory=set)

    def keeps(self, text: str, row: int) -> bool:
        """Return whether a text is a category; otherwise its cell is counted as missing."""
        start = text[:_MAX_LENGTH]
        if start in self.texts:
            return True
        if len(self.texts) < _ROWS and not _is_time(text):
            self.texts.add(start)
        self.n += 1
        self.row = row
        self.text = start
        return False


class TextColumns:
    """Leaves out columns of texts that are nearly all distinct, or times.

    A column is judged once: by its first text if that is a time, else by its first 50 texts. A
    column that begins with three numbers is one of numbers: a text that is a time, or that has not
    come before, makes its cell a missing value, and the column stays.

    is_active: whether the model takes texts as categories; otherwise nothing is left out
    used: columns that the user has asked for; they are never left out

    Examples
    --------
    >>> columns = TextColumns(True)
    >>> columns.select({"at": "2026-05-04T10:00:00Z", "colour": "red"})
    {'colour': 'red'}
    >>> columns.sentences()
    ["column 'at' is left out: its texts are times, as '2026-05-04T10:00:00Z'"]
    >>> columns = TextColumns(True)
    >>> [columns.select({"load": load}, row)["load"] for row, load in enumerate([1, 2, 3, "?!"])]
    [1, 2, 3, None]
    >>> columns.sentences()
    ["column 'load' had a text in place of a number in 1 row; the last is row 3: '?!'"]
    """

    def __init__(self, is_active: bool, used: Collection[str] = ()) -> None:
        self._is_active = is_active
        self._used = frozenset(used)
        self._seen: dict[Hashable, tuple[int, set[str]]] = {}  # texts of columns to be judged
        self._judged: set[Hashable] = set()
        self._left_out: dict[Hashable, str] = {}  # column: why

        self._n_numbers: dict[Hashable, int] = {}  # up to 3, before the first text
        self._settled: tuple[Hashable, ...] = ()  # names of a block that begin with numbers
        self._odd: dict[Hashable, _OddCells] = {}
        self._as_texts: dict[Hashable, str] = {}  # an example per column of numbers as texts

    def is_left_out(self, name: Hashable) -> bool:
        """Return whether a column is left out."""
        return name in self._left_out

    def select(self, x: Mapping[Any, Any], row: int = 0) -> Mapping[Any, Any]:
        """Return a row without the columns that are left out; `row` is its number."""
        if not self._is_active:
            return x
        missing = []
        for name, value in x.items():
            if type(value) is not str:
                if self._n_numbers.get(name, 0) < _NUMBERS:
                    self._count_number(name, value)
            elif value and self._is_numeric(name):
                if not self._keeps(name, value, row):
                    missing.append(name)
            elif value and name not in self._judged:
                self._count(name, value)
        if missing:
            x = {**x, **dict.fromkeys(missing)}
        if not self._left_out or self._left_out.keys().isdisjoint(x):
            return x
        return {name: value for name, value in x.items() if name not in self._left_out}

    def select_block(self, block: Block, row: int = 0) -> Iterator[Block]:
        """Yield the rows of a block without the columns that are left out, as `select` does.

        `row` is the number of its first row.

        A block is divided where a column turns out to be left out. A block whose sender waits for
        one reply stays whole.
        """
        left_out = tuple(self._left_out)
        begin = 0
        if self._is_active and block.tag is None:
            block = self._with_numbers(block, row)
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

    def _is_numeric(self, name: Hashable) -> bool:
        """Return whether a column begins with numbers."""
        return self._n_numbers.get(name, 0) >= _NUMBERS

    def _count_number(self, name: Hashable, value: object) -> None:
        """Count a number among the first values of a column."""
        n = self._n_numbers.get(name, 0)
        is_bounded = n or len(self._n_numbers) < _MAX_COLUMNS
        is_open = name not in self._judged and name not in self._seen
        if is_open and is_bounded and to_number(value) == to_number(value):
            self._n_numbers[name] = n + 1

    def _keeps(self, name: Hashable, text: str, row: int) -> bool:
        """Return whether a text in a column of numbers is a category; else its cell is missing."""
        is_first = name not in self._odd
        odd = self._odd.setdefault(name, _OddCells())
        is_kept = odd.keeps(text, row)
        if is_first:
            _log.warning("%s", _odd_sentence(name, odd))
        return is_kept

    def _with_numbers(self, block: Block, row: int) -> Block:
        """Return a block without the texts in its columns of numbers that are no categories."""
        if not block.X.dtype.hasobject:
            self._count_numbers(block)
            return block
        changed = {}
        for j, name in enumerate(block.features):
            cells = block.X[:, j].tolist()
            if self._take_cells(name, cells, row):
                changed[j] = cells
        if not changed:
            return block
        X = block.X.copy()
        for j, cells in changed.items():
            X[:, j] = cells
        return replace(block, X=X)

    def _count_numbers(self, block: Block) -> None:
        """Count the numbers of a block without texts, until all of its columns have enough."""
        if block.features == self._settled:
            return
        for j, name in enumerate(block.features):
            if not self._is_numeric(name):
                numbers = block.X[:, j][~np.isnan(block.X[:, j])]
                for value in numbers[:_NUMBERS].tolist():
                    self._count_number(name, value)
        if all(map(self._is_numeric, block.features)):
            self._settled = block.features

    def _take_cells(self, name: Hashable, cells: list[Any], row: int) -> bool:
        """Take a column up to its first text that is none of a column of numbers.

        Texts that are no categories become None. Return whether there is one.
        """
        if name in self._judged or name in self._seen:
            return False
        is_numeric = self._is_numeric(name)
        if is_numeric and not any(type(cell) is str for cell in cells):
            return False
        changed = False
        for i, cell in enumerate(cells):
            if type(cell) is not str:
                if not is_numeric:
                    self._count_number(name, cell)
                    is_numeric = self._is_numeric(name)
            elif cell and not is_numeric:
                break
            elif cell and not self._keeps(name, cell, row + i):
                cells[i] = None
                changed = True
        return changed

    def _texts_to_judge(self, block: Block) -> Iterator[tuple[int, list[tuple[Hashable, str]]]]:
        """Yield each row with its texts, until no text of a column to be judged is left."""
        columns = {
            name: block.X[:, j].tolist()
            for j, name in enumerate(block.features)
            if name not in self._judged and not self._is_numeric(name)
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
            why = _why_useless(texts, n, text)
            self._judge(name, why)
            if why is None and all(map(_spells_number, texts)):
                self._as_texts[name] = text[:_MAX_LENGTH]
                _log.warning("%s", _as_texts_sentence(name, self._as_texts[name]))

    def _judge(self, name: Hashable, why: str | None) -> None:
        self._seen.pop(name, None)
        self._judged.add(name)
        if why is not None:
            self._left_out[name] = why
            _log.warning("%s; name it in `use` to keep it", self._sentence(name))

    def _sentence(self, name: Hashable) -> str:
        return f"column {name!r} is left out: {self._left_out[name]}"

    def sentences(self) -> list[str]:
        """Return a sentence per column that is left out, and per column with odd cells."""
        odd = sorted(self._odd.items(), key=lambda item: (-item[1].n, str(item[0])))
        found = [self._sentence(name) for name in self._left_out]
        found += [_as_texts_sentence(*item) for item in self._as_texts.items()]
        sentences = [_odd_sentence(*item) for item in odd]
        return [*found, *first_sentences(sentences, "more columns had a text in place of a number")]

    def export_state(self) -> Config:
        """Return everything as plain values, alike from rows and from blocks of them."""
        examples = {name: [text] for name, text in self._as_texts.items()}
        judged = [
            [name, _ROWS, examples.get(name, [])]
            for name in self._judged
            if name not in self._left_out
        ]
        counts = [[name, n, sorted(texts)] for name, (n, texts) in self._seen.items()]
        return {
            "counts": [*sorted(judged, key=str), *counts],
            "left_out": list(map(list, self._left_out.items())),
            "numbers": sorted(map(list, self._n_numbers.items()), key=_name_of),
            "odd": sorted(
                (
                    [name, odd.n, odd.row, odd.text, sorted(odd.texts)]
                    for name, odd in self._odd.items()
                ),
                key=_name_of,
            ),
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self._left_out = dict(state["left_out"])
        judged = {name for name, n, _ in state["counts"] if n >= _ROWS}
        self._judged = judged | set(self._left_out)
        self._as_texts = {
            name: texts[0] for name, n, texts in state["counts"] if n >= _ROWS and texts
        }
        self._seen = {
            name: (n, set(texts)) for name, n, texts in state["counts"] if name not in judged
        }
        self._n_numbers = dict(state["numbers"])
        self._settled = ()
        self._odd = {
            name: _OddCells(n, row, text, set(texts)) for name, n, row, text, texts in state["odd"]
        }


def _name_of(entry: Sequence[Any]) -> str:
    return str(entry[0])


def _odd_sentence(name: Hashable, odd: _OddCells) -> str:
    return (
        f"column {name!r} had a text in place of a number in {counted(odd.n, 'row')}; "
        f"the last is row {odd.row:,}: {odd.text!r}"
    )


def _as_texts_sentence(name: Hashable, text: str) -> str:
    return (
        f"column {name!r} holds numbers written as texts, as {text!r}: "
        "each is a category of its own, and no number"
    )


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
    what = "numbers written as texts" if all(map(_spells_number, texts)) else "texts"
    return f"{len(texts)} of its first {n} {what} are distinct, as {example[:_MAX_LENGTH]!r}"


def _spells_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
