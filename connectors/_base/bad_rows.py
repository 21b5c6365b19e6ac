"""Rows of a recording that cannot be read."""

from __future__ import annotations

from collections import Counter

from loco_stream.errors import ConfigError, SourceError


class BadRows:
    """Raises at a bad row, or counts it.

    Parameters
    ----------
    on_bad
        ``"stop"`` raises at the first bad row, ``"skip"`` counts bad rows by kind.

    Raises
    ------
    ConfigError
        `on_bad` is another word.

    Examples
    --------
    >>> bad = BadRows("skip")
    >>> bad.add("label", "line 7 of rows.csv: label 'x' is not a number")
    >>> dict(bad.counts)
    {'label': 1}
    """

    def __init__(self, on_bad: str) -> None:
        if on_bad not in ("stop", "skip"):
            raise ConfigError(f"`on_bad` must be 'stop' or 'skip', got {on_bad!r}")
        self.on_bad = on_bad
        self.counts: Counter[str] = Counter()
        self.last = ""

    def add(self, kind: str, sentence: str) -> None:
        """Count a bad row.

        Raises
        ------
        SourceError
            `on_bad` is ``"stop"``.
        """
        if self.on_bad == "stop":
            raise SourceError(sentence, option="on_bad")
        self.counts[kind] += 1
        self.last = sentence

    def clear(self) -> None:
        """Reset the counts: the rows will be read again, or an earlier run has counted them."""
        self.counts.clear()
