"""Bounds on the names that sources bring to a model, which never forgets one."""

from __future__ import annotations

from collections.abc import Collection, Hashable


class KnownNames:
    """Names of one kind that a model knows.

    what: the kind, "features" or "classes"
    limit: how many names there may be; None for no bound
    guest_names: how many names the sources after the first may bring together; they may always
        bring half as many as the first one did. None for no bound.
    options: the options of both bounds in brackets, as an error shows them

    Examples
    --------
    >>> names = KnownNames("features", limit=None, guest_names=2)
    >>> names.add({"a", "b"}, is_guest=False)
    >>> names.fault({"c", "d", "e"}, is_guest=True, origin="this row")
    'sources after the first must bring at most 2 new features, got 3 with this row'
    """

    def __init__(
        self,
        what: str,
        limit: int | None,
        guest_names: int | None,
        options: tuple[str, str] = ("", ""),
    ) -> None:
        self.known: set[Hashable] = set()
        self._what = what
        self._limit = limit
        self._guest_names = guest_names
        self._options = options
        self._n_from_guests = 0

    def fault(self, new: Collection[Hashable], is_guest: bool, origin: str) -> str | None:
        """Return why new names are beyond the bounds, None if they are not.

        is_guest: whether they come from a source after the first
        origin: what brings them, for the sentence
        """
        if not new:
            return None
        total = len(self.known) + len(new)
        of_limit, of_guests = self._options
        if self._limit is not None and total > self._limit:
            return (
                f"the model must have at most {self._limit} {self._what}{of_limit}, "
                f"got {total} with {origin}"
            )
        if not is_guest or self._guest_names is None:
            return None
        from_guests = self._n_from_guests + len(new)
        allowed = max(self._guest_names, (len(self.known) - self._n_from_guests) // 2)
        if from_guests <= allowed:
            return None
        return (
            f"sources after the first must bring at most {allowed} new {self._what}{of_guests}, "
            f"got {from_guests} with {origin}"
        )

    def add(self, new: Collection[Hashable], is_guest: bool) -> None:
        """Remember new names."""
        self.known.update(new)
        self._n_from_guests += len(new) if is_guest else 0
