"""Exceptions and warnings of the package; all exceptions derive from `LocoStreamError`."""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "ConfigError",
    "InputError",
    "LocoStreamError",
    "LocoStreamWarning",
    "SourceError",
]


class LocoStreamError(Exception):
    """Base class of all exceptions that this package raises on purpose.

    Parameters
    ----------
    args
        The text.
    option
        Name of the library option that avoids the error, for example ``"on_bad"``; empty if there
        is none. The command adds the flag of that option to the text.
    """

    def __init__(self, *args: object, option: str = "") -> None:
        super().__init__(*args)
        self.option = option


class ConfigError(LocoStreamError, ValueError):
    """A setting is out of its range; the text names it, what it must be, and its value."""


class InputError(LocoStreamError, ValueError):
    """Data passed to a call have the wrong shape, type or value."""


class SourceError(LocoStreamError):
    """A stream cannot be opened, read or understood."""


class CheckpointError(LocoStreamError):
    """A saved file is damaged, of another kind, or of a version that this release cannot read."""


class LocoStreamWarning(UserWarning):
    """Something is probably not what the user intends, for example a column without any number."""
