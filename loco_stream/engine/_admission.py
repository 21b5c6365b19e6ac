"""Bounds on the names that rows bring to a model, whatever entrance they come through.

A model never forgets a name: each one costs memory, time per row and space in every checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from loco_stream._checks import require_type
from loco_stream._known_names import KnownNames
from loco_stream._numbers import shown
from loco_stream.engine._row import Label, cut
from loco_stream.engine._validation import ValidEvents, n_entries
from loco_stream.errors import ConfigError
from loco_stream.stream import Block, Event, Labels, PredictRequest, Sample

_KIND = "more names than allowed"


@dataclass(frozen=True, slots=True)
class NameBounds:
    """How many names rows may have and bring to a model; None for no bound.

    Parameters
    ----------
    row_features
        Features per row.
    name_bytes
        Length of a name in bytes of UTF-8.
    features, classes
        Names of features, and of classes or targets, that all sources together may bring.
    guest_names
        New features, and new classes, that the sources after the first may bring together. They may
        always bring half as many as the first one did.

    Raises
    ------
    ConfigError
        A bound is below 1.

    Examples
    --------
    >>> from loco_stream.engine import NameBounds
    >>> NameBounds(features=64).features
    64
    """

    row_features: int | None = None
    name_bytes: int | None = None
    features: int | None = None
    classes: int | None = None
    guest_names: int | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            bound = require_type(name, getattr(self, name), "int | None")
            if bound is not None and bound < 1:
                raise ConfigError(f"`{name}` must be None or at least 1, got {bound!r}")


class Admission:
    """Refuses events whose names are beyond the bounds, and remembers the names of the others.

    Examples
    --------
    >>> admission = Admission(NameBounds(features=2))
    >>> valid = ValidEvents([Sample({"a": 1.0}, "on"), Sample({"b": 1.0, "c": 1.0}, "on", 1)])
    >>> admission.admit(valid)
    >>> [sorted(event.x) for event in valid.events], valid.reason
    ([['a']], 'the model must have at most 2 features, got 3 with this row')
    """

    def __init__(self, bounds: NameBounds) -> None:
        self._bounds = bounds
        self._features = KnownNames("features", bounds.features, bounds.guest_names)
        self._classes = KnownNames("classes", bounds.classes, bounds.guest_names)
        self._first: str | None = None
        self._is_open = bounds == NameBounds()
        self._has_classes = True
        self._names: tuple[Hashable, ...] | None = None  # of the last row that was admitted

    def start(self, features: Iterable[Hashable], classes: Iterable[Hashable]) -> None:
        """Take over the names that a model knows already."""
        self._features.add({*features}, is_guest=False)
        self._classes.add({*classes}, is_guest=False)

    def admit(self, valid: ValidEvents, problem: str = "classification") -> None:
        """Move the events whose names are beyond the bounds from the valid to the refused ones.

        Labels are names in a classification, and their keys where there are several targets. The
        values of a regression are none.
        """
        self._has_classes = problem == "classification"
        if self._is_open:
            return
        events = valid.events[:]
        valid.events.clear()
        for event in events:
            for part, fault in self._judged(event):
                if fault is None:
                    valid.events.append(part)
                else:
                    valid.refuse(part, n_entries(part), _KIND, fault)

    def _judged(self, event: Event) -> Iterator[tuple[Event, str | None]]:
        """Yield an event and why it is refused, or its parts if only some of its classes are."""
        fault = self._caught_fault(event)
        if fault is None or not isinstance(event, Block | Labels):
            yield event, fault
            return
        n = n_entries(event)
        if n == 1 or self._caught_fault(replace(event, y=())) is not None:  # its features are
            yield event, fault
            return
        begin = 0
        for row in range(n):
            part = _part(event, row, row + 1)
            if (fault := self._caught_fault(part)) is None:
                continue
            if row > begin:
                yield _part(event, begin, row), None
            yield part, fault
            begin = row + 1
        if n > begin:
            yield _part(event, begin, n), None

    def _caught_fault(self, event: Event) -> str | None:
        try:
            return self._fault(event)
        except Exception as error:  # a name that is no name
            return f"{type(error).__name__}: {error}"

    def _fault(self, event: Event) -> str | None:
        if isinstance(event, PredictRequest):
            return self._width_fault(event.features)
        names = _feature_names(event)
        classes = self._new_classes(event)
        if names == self._names and not classes:
            return None
        fault = self._width_fault(names)
        if fault is not None:
            return fault
        features = {name for name in names if name not in self._features.known}
        is_guest = self._first not in (None, event.source)
        for kind, new in ((self._features, features), (self._classes, classes)):
            fault = kind.fault(new, is_guest, "this row") or self._length_fault(new)
            if fault is not None:
                return fault
        self._first = event.source if self._first is None else self._first
        self._features.add(features, is_guest)
        self._classes.add(classes, is_guest)
        self._names = names or self._names
        return None

    def _new_classes(self, event: Event) -> set[Hashable]:
        if self._bounds.classes is None and self._bounds.name_bytes is None:
            return set()
        labels: Iterable[Label] = ()
        if isinstance(event, Sample):
            labels = (event.y,)
        elif isinstance(event, Block | Labels) and event.y is not None:
            labels = event.y
        names = [y if isinstance(y, Mapping) else (y,) for y in labels if self._is_named(y)]
        return {name for several in names for name in several} - self._classes.known

    def _is_named(self, y: Label) -> bool:
        """Return whether a label is a name, or a mapping from names."""
        return y is not None and (self._has_classes or isinstance(y, Mapping))

    def _width_fault(self, names: Collection[Hashable]) -> str | None:
        most = self._bounds.row_features
        if most is not None and len(names) > most:
            return f"a row must have at most {most} features, got {len(names)}"
        return None

    def _length_fault(self, names: Iterable[Hashable]) -> str | None:
        most = self._bounds.name_bytes
        for name in names:
            if most is not None and isinstance(name, str) and len(name.encode()) > most:
                return f"a name must have at most {most} bytes, got {shown(name)}"
        return None


def _part(event: Block | Labels, begin: int, end: int) -> Block | Labels:
    """Return some rows of a block, or some of several late labels."""
    if isinstance(event, Block):
        return cut(event, begin, end)
    return replace(event, of=event.of[begin:end], y=event.y[begin:end])


def _feature_names(event: Sample | Block | Labels) -> tuple[Hashable, ...]:
    if isinstance(event, Sample):
        return tuple(event.x)
    return event.features if isinstance(event, Block) else ()
