"""Warnings about the data: columns that bring nothing, doubtful names and classes, unknown rows."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Collection, Hashable, Iterable

from loco_stream._arrays import Float64
from loco_stream._text import listed
from loco_stream.errors import LocoStreamWarning
from loco_stream.estimators._inputs.slots import FeatureSlots

_ROWS = 100  # before a column is judged: fewer values may all be missing by chance
_FRACTIONS = 20  # classes that may be measured values
_SHOWN = 5  # names in one sentence
_PACKAGE = "loco_stream."
# what names of columns end in whose numbers are names: machine_id, MACHINE_ID, errorCode, id
_OF_NAMES = re.compile(r"((^|[^a-zA-Z])(?i:id|code|nr|zip)|[a-z](Id|ID|Code|Nr|Zip))$", re.ASCII)


class DataWarnings:
    """Warns once per column, and once of rows without known features.

    takes_texts: whether the model has categories
    due: number of rows at which the next column is judged
    """

    def __init__(self, *, takes_texts: bool = True) -> None:
        self._takes_texts = takes_texts
        self._columns: dict[Hashable, int] = {}
        self._categories: frozenset[Hashable] = frozenset()
        self.due = math.inf
        self._warned_unknown = False
        self._n_fractions = 0.0  # among the classes; below 0 once they were named

    def copy(self) -> DataWarnings:
        """Return the same in an object of its own."""
        made = DataWarnings()
        made.__dict__.update(self.__dict__, _columns=self._columns.copy())
        return made

    def watch(self, columns: Iterable[Hashable], n_seen: int) -> None:
        """Judge new columns after the next 100 rows."""
        self._columns.update(dict.fromkeys(columns, n_seen + _ROWS))
        self.due = min(self._columns.values(), default=math.inf)

    def ignore(self, columns: Iterable[Hashable]) -> None:
        """Judge none of these columns."""
        for column in columns:
            self._columns.pop(column, None)
        self.due = min(self._columns.values(), default=math.inf)

    def suspect_names(self, columns: frozenset[Hashable]) -> None:
        """Take the numbers of columns for names: a frame has them as categories."""
        self._categories |= columns

    def watch_classes(self, labels: Iterable[Hashable]) -> None:
        """Count new classes that may be measured values."""
        self._n_fractions += sum(isinstance(y, float) and not y.is_integer() for y in labels)
        if self._n_fractions >= _FRACTIONS:
            self.due = 0

    def judge(self, n_seen: int, slots: FeatureSlots, counts: Float64) -> None:
        """Warn of columns whose first 100 rows held no input or perhaps names, and of classes.

        counts: number of values of each slot
        """
        over = [column for column, due in self._columns.items() if due <= n_seen]
        for column in over:
            del self._columns[column]
        self.due = min(self._columns.values(), default=math.inf)
        if self._n_fractions >= _FRACTIONS:
            self._n_fractions = -math.inf
            _warn(
                f"{_FRACTIONS} classes are numbers with a fraction: if they are measured values, "
                "use LOCORegressor"
            )
        for column in over:
            if column not in slots.index:
                _warn(
                    f"`categorical_features` names {column!r}, which none of the first {_ROWS} "
                    "rows has"
                )
            elif not slots.is_input(counts, column):
                texts = ", and no text for which a slot was left," if self._takes_texts else ""
                _warn(
                    f"column {column!r} held no number{texts} in its first {_ROWS} rows: nothing "
                    "is learned from it"
                )
            elif (
                self._takes_texts and self._may_be_names(column) and slots.is_number(counts, column)
            ):
                _warn(
                    f"column {column!r} holds numbers: if they are names, list it in "
                    "`categorical_features` of AdvancedOptions, or leave it out"
                )

    def _may_be_names(self, column: Hashable) -> bool:
        is_called_so = isinstance(column, str) and _OF_NAMES.search(column)
        return column in self._categories or bool(is_called_so)

    def warn_unknown(self, names: Collection[Hashable], known: Collection[Hashable]) -> None:
        """Warn once that a row to predict has no feature that the model knows."""
        if not self._warned_unknown and names:
            self._warned_unknown = True
            _warn(
                f"the row to predict has none of the model's features: it has {_some(names)}, "
                f"the model has {_some(known) or 'none'}"
            )


def warn_of_labels(option: str, labels: Iterable[Hashable], known: Collection[Hashable]) -> None:
    """Warn of labels that an option names and no row had, unless no class is known yet."""
    unknown = [label for label in labels if label not in known]
    if known and unknown:
        _warn(f"`{option}`: no row had the label {_some(unknown)}; the model has {_some(known)}")


def _some(names: Collection[Hashable]) -> str:
    return listed(map(repr, names), _SHOWN)


def _warn(text: str) -> None:
    """Warn at the line outside of this package that led here."""
    level = 1
    frame = sys._getframe().f_back
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        level += 1
        frame = frame.f_back
    warnings.warn(text, LocoStreamWarning, stacklevel=level + 1)
