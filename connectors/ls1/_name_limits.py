"""Bounds on the names that sources bring to the model, which never forgets one."""

from __future__ import annotations

from collections.abc import Collection

from loco_stream.connectors.ls1._limits import Limits
from loco_stream.errors import SourceError


class _SenderNames:
    """Known names of one kind, features or classes."""

    def __init__(self, what: str, limit: int, guest_names: int) -> None:
        self.what = what
        self.known: set[str] = set()
        self._limit = limit
        self._guest_names = guest_names
        self._n_from_guests = 0  # from sources after the first

    def new(self, source: str, names: Collection[str], is_guest: bool) -> set[str]:
        """Return the names that are new, if they are within the bounds."""
        new = set(names) - self.known
        total = len(self.known) + len(new)
        if total > self._limit:
            raise SourceError(
                f"the model must have at most {self._limit} {self.what} (model_{self.what}), "
                f"got {total} with source {source!r}"
            )
        allowed = max(self._guest_names, (len(self.known) - self._n_from_guests) // 2)
        if is_guest and new and self._n_from_guests + len(new) > allowed:
            raise SourceError(
                f"sources after the first must bring at most {allowed} new {self.what} "
                f"(guest_names), got {len(new)} from source {source!r} besides "
                f"{self._n_from_guests} from others"
            )
        return new

    def add(self, new: set[str], is_guest: bool) -> None:
        """Remember new names."""
        self.known |= new
        self._n_from_guests += len(new) if is_guest else 0


class NameLimits:
    """Features and classes that the model knows.

    Parameters
    ----------
    limits
        `model_features` and `model_classes` bound all names, `guest_names` those of the sources
        after the first.

    Examples
    --------
    >>> names = NameLimits(Limits(guest_names=2))
    >>> names.add("press", ("a", "b"), ("ok", "worn"))
    >>> names.check("stranger", ("a", "c", "d", "e"), ())
    Traceback (most recent call last):
    loco_stream.errors.SourceError: sources after the first must bring at most 2 new features ...
    """

    def __init__(self, limits: Limits) -> None:
        self._features = _SenderNames("features", limits.model_features, limits.guest_names)
        self._classes = _SenderNames("classes", limits.model_classes, limits.guest_names)
        self._first: str | None = None

    def check(self, source: str, features: Collection[str], classes: Collection[str]) -> None:
        """Check names without adding them.

        Raises
        ------
        SourceError
            There are more than the bounds allow.
        """
        self._new(source, features, classes)

    def add(self, source: str, features: Collection[str], classes: Collection[str]) -> None:
        """Add the names of rows that are about to be learned.

        Raises
        ------
        SourceError
            There are more than the bounds allow.
        """
        if self._features.known.issuperset(features) and self._classes.known.issuperset(classes):
            return
        new_features, new_classes = self._new(source, features, classes)
        self._first = self._first or source
        is_guest = self._first != source
        self._features.add(new_features, is_guest)
        self._classes.add(new_classes, is_guest)

    def _new(
        self, source: str, features: Collection[str], classes: Collection[str]
    ) -> tuple[set[str], set[str]]:
        is_guest = self._first not in (None, source)
        new_features = self._features.new(source, features, is_guest)
        return new_features, self._classes.new(source, classes, is_guest)
