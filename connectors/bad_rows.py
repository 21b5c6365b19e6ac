"""Rows of a recording that cannot be read: they end the run, or are left out and counted."""

from __future__ import annotations

from loco_stream.errors import ConfigError, SourceError

__all__ = ["BadRows", "check_on_bad"]


def check_on_bad(on_bad: str) -> str:
    """Return `on_bad` itself if it is one of the two."""
    if on_bad not in ("stop", "skip"):
        raise ConfigError(f"on_bad must be 'stop' or 'skip', not {on_bad!r}")
    return on_bad


class BadRows:
    """What happens to bad rows, and how many there were of each kind.

    Parameters
    ----------
    on_bad
        ``"stop"`` raises at the first one, ``"skip"`` counts it and goes on.

    Raises
    ------
    ConfigError
        Another word.

    Examples
    --------
    >>> bad = BadRows("skip")
    >>> bad.found("label", "line 7 of rows.csv: label 'x' is not a number")
    >>> bad.counts
    {'label': 1}
    """

    def __init__(self, on_bad: str) -> None:
        self.on_bad = check_on_bad(on_bad)
        self.counts: dict[str, int] = {}
        self.last = ""

    def found(self, kind: str, sentence: str) -> None:
        """Count a bad row.

        Raises
        ------
        SourceError
            Bad rows stop the run.
        """
        if self.on_bad == "stop":
            raise SourceError(sentence, option="on_bad")
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.last = sentence

    def clear(self) -> None:
        """Begin to count anew: the rows so far will be read again, or were counted by an earlier run."""
        self.counts.clear()
