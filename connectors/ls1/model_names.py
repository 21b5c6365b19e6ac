"""The names that sources have brought to the model.

It never forgets one, so their number is bounded.
"""

from __future__ import annotations

from collections.abc import Collection

from loco_stream.connectors.ls1.limits import Limits
from loco_stream.errors import SourceError

__all__ = ["ModelNames"]


class _Names:
    """The names of one kind (features or classes), and how many of them came from sources after the first."""

    def __init__(self, what: str, most: int, guest_names: int) -> None:
        self.what = what
        self._most = most
        self._guest_names = guest_names
        self.known: set[str] = set()
        self.from_guests = 0

    def check(self, source: str, names: Collection[str], guest: bool) -> set[str]:
        """Return the names that are new."""
        new = set(names) - self.known
        total = len(self.known) + len(new)
        if total > self._most:
            raise SourceError(
                f"source {source!r} would bring the model to {total} {self.what}; "
                f"{self._most} (model_{self.what}) are allowed"
            )
        allowed = max(self._guest_names, (len(self.known) - self.from_guests) // 2)
        if guest and new and self.from_guests + len(new) > allowed:
            raise SourceError(
                f"source {source!r} would bring {len(new)} new {self.what} to the model; the sources after the first "
                f"may bring {allowed} (guest_names), and {self.from_guests} are taken"
            )
        return new

    def add(self, new: set[str], guest: bool) -> None:
        """Take names over."""
        self.known |= new
        self.from_guests += len(new) if guest else 0


class ModelNames:
    """Features and classes known to the model.

    Parameters
    ----------
    limits
        `model_features` and `model_classes` bound all names, `guest_names` those of the sources
        after the first.

    Examples
    --------
    >>> names = ModelNames(Limits(guest_names=2))
    >>> names.add("press", ("a", "b"), ("ok", "worn"))
    >>> names.check("stranger", ("a", "c", "d", "e"), ())
    Traceback (most recent call last):
    loco_stream.errors.SourceError: source 'stranger' would bring 3 new features to the model; ...
    """

    def __init__(self, limits: Limits) -> None:
        self._features = _Names("features", limits.model_features, limits.guest_names)
        self._classes = _Names("classes", limits.model_classes, limits.guest_names)
        self._first: str | None = None

    def check(
        self, source: str, features: Collection[str], classes: Collection[str]
    ) -> tuple[set[str], set[str]]:
        """Return the features and the classes that are new to the model.

        Raises
        ------
        SourceError
            They are more than the bounds allow.
        """
        guest = self._first not in (None, source)
        return self._features.check(source, features, guest), self._classes.check(
            source, classes, guest
        )

    def add(self, source: str, features: Collection[str], classes: Collection[str]) -> None:
        """Take over the names of rows that are about to be learned.

        Raises
        ------
        SourceError
            They are more than the bounds allow.
        """
        if self._features.known.issuperset(features) and self._classes.known.issuperset(classes):
            return
        new_features, new_classes = self.check(source, features, classes)
        self._first = self._first or source
        guest = self._first != source
        self._features.add(new_features, guest)
        self._classes.add(new_classes, guest)
