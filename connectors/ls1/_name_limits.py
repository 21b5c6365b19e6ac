"""Bounds on the names that sources bring to the model, which never forgets one."""

from __future__ import annotations

from collections.abc import Collection

from loco_stream._known_names import KnownNames
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.errors import SourceError


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
        guests = limits.guest_names
        of_guests = " (guest_names)"
        self._features = KnownNames(
            "features", limits.model_features, guests, (" (model_features)", of_guests)
        )
        self._classes = KnownNames(
            "classes", limits.model_classes, guests, (" (model_classes)", of_guests)
        )
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
        """Return the names that are new, if they are within the bounds."""
        is_guest = self._first not in (None, source)
        new_features = set(features) - self._features.known
        new_classes = set(classes) - self._classes.known
        for kind, new in ((self._features, new_features), (self._classes, new_classes)):
            fault = kind.fault(new, is_guest, f"source {source!r}")
            if fault is not None:
                raise SourceError(fault)
        return new_features, new_classes
