"""Every error the package raises on purpose; all derive from `LocoStreamError`."""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "ConfigError",
    "InputError",
    "LocoStreamError",
    "LocoStreamWarning",
    "SourceError",
    "SourceTimeoutError",
]


class LocoStreamError(Exception):
    """Base of all errors of this package: catch it to catch them all.

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
    """A setting is out of its range; the text names the field, the value and what is allowed."""


class InputError(LocoStreamError, ValueError):
    """Data handed to a call has the wrong shape, type or value."""


class SourceError(LocoStreamError):
    """A stream cannot be opened, read or understood."""


class SourceTimeoutError(SourceError, TimeoutError):
    """Nothing was answered in time."""


class CheckpointError(LocoStreamError):
    """A saved file is damaged, of another kind, or of a version this release cannot read."""


class LocoStreamWarning(UserWarning):
    """Something is probably not as intended.

    Examples are a column without information, and a sender that no engine answers.
    """
