"""Migrations of files from each format version to the next one.

Whoever changes what a file holds raises `VERSION` and adds one entry to `MIGRATIONS`;
`tests/persistence/test_saved_schema.py` fails otherwise. `migration_steps` has the building blocks.
"""

from __future__ import annotations

from collections.abc import Mapping

from loco_stream._persistence.content import Saved
from loco_stream._persistence.migration_steps import Migration, in_order, refuse
from loco_stream._persistence.version_2.command import settings
from loco_stream._persistence.version_2.engine import CHECKPOINTS
from loco_stream._persistence.version_2.models import MODELS
from loco_stream.errors import CheckpointError

VERSION = 3  # of the files that this release writes: 1 release 0.1, 2 release 0.2, 3 release 0.3

MIGRATIONS: Mapping[int, Migration] = {
    1: refuse(
        "its hidden layers were trained by the rule of release 0.1, which this release does not "
        "have; continue under release 0.1, or train a new model on the stream"
    ),
    2: in_order(MODELS, CHECKPOINTS, settings),
}
"""Version of a file: what turns its content into content of the next version."""


def check_version(version: int) -> None:
    """Raise `CheckpointError` unless files of that version are known."""
    if version > VERSION:
        raise CheckpointError(
            f"has format version {version}, but this release reads versions up to {VERSION}: "
            "update loco-stream"
        )
    if version < VERSION and version not in MIGRATIONS:
        raise CheckpointError(
            f"has format version {version}, which no release of loco-stream wrote"
        )


def migrate(saved: Saved, version: int) -> Saved:
    """Return the content of a file of an earlier version as this release would have written it.

    Raises `CheckpointError` if a step refuses the content, or a part that it needs is missing or
    damaged. The sentence continues one that begins with the file's name.
    """
    for step in range(version, VERSION):
        try:
            saved = MIGRATIONS[step](saved)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise CheckpointError(f"is damaged: {error!r}") from error
    return saved
