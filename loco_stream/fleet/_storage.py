"""Where a fleet stores its models and logs.

The interface, and the implementation in a directory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from loco_stream._persistence.files import StrPath, atomic_write
from loco_stream._text import reason_of
from loco_stream.engine._checkpoint import FLEET_HEADER, CheckpointFolder, locked
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.fleet._key_group import KeyGroup

if TYPE_CHECKING:
    from loco_stream.fleet._object_group import ObjectGroup
    from loco_stream.fleet._object_storage import ObjectStorage

_TEMPLATE = "template.loco"
_POSITION = "position"


Group: TypeAlias = "KeyGroup | ObjectGroup"
"""The stored models and the log of one key group."""

Storage: TypeAlias = "DirectoryStorage | ObjectStorage"
"""The storage of one fleet."""


class DirectoryStorage:
    """A directory, with locks against a second process.

    `path`: the directory; a `CheckpointFolder` is locked already
    """

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)
        self.location = str(self.path)
        self._folder = path if isinstance(path, CheckpointFolder) else None

    def lock(self) -> None:
        """Lock the directory, which is created if absent.

        Raises `ConfigError` if another process works in it, or it holds the run of an engine.
        """
        self._folder = locked(self._folder or self.path)
        if self._folder.is_used and self.read_header() is None:
            self.release()
            raise ConfigError(
                f"{self.path} holds the run of an engine; a fleet needs a folder of its own"
            )

    def release(self) -> None:
        """Unlock the directory."""
        if self._folder is not None:
            self._folder.release()
            self._folder = None

    def read_header(self) -> bytes | None:
        """Return the content of fleet.json; None if there is no such file."""
        return self._read(FLEET_HEADER)

    def write_header(self, content: bytes) -> None:
        """Replace fleet.json."""
        self._write(FLEET_HEADER, content)

    def read_model(self, name: str = _TEMPLATE) -> bytes:
        """Return the content of the file of the template or of the shared model."""
        content = self._read(name)
        if content is None:
            raise CheckpointError(f"there is no {name} in {self.path}")
        return content

    def write_template(self, content: bytes) -> None:
        """Write template.loco."""
        self._write(_TEMPLATE, content)

    def read_position(self) -> bytes | None:
        """Return the content of the file with the position; None if there is none."""
        return self._read(_POSITION)

    def write_position(self, content: bytes) -> None:
        """Replace the file with the position."""
        self._write(_POSITION, content)

    def write_shared(self, name: str, content: bytes) -> None:
        """Write the file of a shared model."""
        self._write(name, content)

    def delete_shared(self, name: str) -> None:
        """Delete the file of a shared model."""
        (self.path / name).unlink(missing_ok=True)

    def list_groups(self) -> list[int]:
        """Return the numbers of the groups whose directory exists."""
        numbers = [group.name.removeprefix("group-") for group in self.path.glob("group-*")]
        return sorted(int(number) for number in numbers if number.isdecimal())

    def has_group(self, number: int) -> bool:
        """Whether the directory of a group exists."""
        return self._group(number).exists()

    def open_group(self, number: int) -> Group:
        """Open the directory of a group."""
        return KeyGroup(self._group(number), number)

    def worker(self, name: str) -> dict[str, Any]:
        """Return the absolute path; file locks need no names."""
        return {"location": str(self.path.resolve())}

    def is_alive(self, name: str) -> bool:
        """Return True: the lock of a process ends with it."""
        return True

    def close(self) -> None:
        """Do nothing: file locks need no renewal."""

    def _group(self, number: int) -> Path:
        return self.path / f"group-{number:04d}"

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CheckpointError(f"cannot read {self.path / name}: {reason_of(error)}") from error

    def _write(self, name: str, content: bytes) -> None:
        path = self.path / name
        try:
            atomic_write(path, content, mode=0o600)
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {reason_of(error)}") from error


def open_storage(location: StrPath, owner: str | None = None, lease: float = 10.0) -> Storage:
    """Return the storage at a location; nothing is written yet.

    location: a directory, or the URL of an object store: ``s3://BUCKET/PREFIX``, ``gs://...``,
        ``az://...``
    owner: name of the process in leases; None takes a new one
    lease: seconds after which an object store counts a process that does not renew its lease as
        dead
    """
    if not isinstance(location, str | os.PathLike):
        raise ConfigError(f"`directory` must be a path or a URL, got {type(location).__name__}")
    if "://" not in os.fspath(location):
        return DirectoryStorage(location)
    from loco_stream.fleet._object_storage import ObjectStorage

    return ObjectStorage(os.fspath(location), owner, lease)
