"""Files of earlier format versions.

Each is brought up step by step, or refused in one sentence that says what to do.

Whoever changes what a file holds raises `VERSION` and adds one line to `MIGRATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from loco_stream.errors import CheckpointError
from loco_stream.persistence.version_2 import command

__all__ = ["MIGRATIONS", "VERSION", "Migration", "Saved", "check_version", "migrate", "refuse"]

VERSION = 3  # of the files that this release writes: 2 since release 0.2, 3 since release 0.3


@dataclass(frozen=True, slots=True)
class Saved:
    """What a file held: its kind, its plain values and its arrays (writable copies)."""

    kind: str
    config: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


Migration = Callable[[Saved], Saved]


def refuse(advice: str) -> Migration:
    """Return a migration that raises `CheckpointError` with this sentence.

    What a reader of the file is to do.
    """

    def refused(saved: Saved) -> Saved:
        raise CheckpointError(
            f"holds a {saved.kind} of an earlier release, which cannot be brought up: {advice}"
        )

    return refused


MIGRATIONS: Mapping[int, Migration] = {
    1: refuse(
        "its hidden layers learned by the rule of release 0.1, whose numbers mean nothing to this one; go on with it "
        "under release 0.1, or learn the stream anew"
    ),
    2: command.settings,
}
"""What turns the content of a file of that version into content of the next one."""


def check_version(version: int) -> None:
    """Raise `CheckpointError` unless files of that version are known."""
    if version > VERSION:
        raise CheckpointError(
            f"has format version {version}, but this release reads versions up to {VERSION}: update loco-stream"
        )
    if version < VERSION and version not in MIGRATIONS:
        raise CheckpointError(
            f"has format version {version}, which no release of loco-stream wrote"
        )


def migrate(saved: Saved, version: int) -> Saved:
    """Return the content of a file of an earlier version as this release would have written it.

    Raises
    ------
    CheckpointError
        A step on the way refuses it; the sentence begins behind the file's name.
    """
    for step in range(version, VERSION):
        saved = MIGRATIONS[step](saved)
    return saved
