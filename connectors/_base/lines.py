"""Lines of text from files, pipes and files that grow, behind one interface."""

from __future__ import annotations

import gzip
import stat
import zlib
from abc import ABC, abstractmethod
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any
from zlib import crc32

from loco_stream._text import reason_of
from loco_stream.connectors._base.file_follower import FileFollower
from loco_stream.errors import SourceError

MAX_LINE = 8 << 20  # characters: 4096 numbers take a hundredth of it


def shown_path(path: Path) -> str:
    """Return a path as messages name it; ``-`` is standard input."""
    return "standard input" if str(path) == "-" else str(path)


class Lines(ABC):
    """Lines that are read one after the other.

    Attributes
    ----------
    header
        The header of the record that was read last, if the format has one.
    """

    header = ""

    @abstractmethod
    def read(self) -> str:
        """Return the next line, "" at the end.

        Raises
        ------
        SourceError
            The text is damaged, or has a line of more than 8 million characters.
        """

    @abstractmethod
    def use(self, line: str) -> None:
        """Note that a line was assigned to a record; called for each line, in order."""


class TextLines(Lines):
    """Lines of an open text.

    Parameters
    ----------
    path
        Of the text, for error messages.
    file
        The text.
    """

    def __init__(self, path: Path, file: IO[str]) -> None:
        self._where = shown_path(path)
        self._file = file

    def read(self) -> str:
        """Return the next line."""
        return self._whole(self._line())

    def read_text(self, size: int) -> str:
        """Return about `size` characters up to the end of a line; "" at the end."""
        try:
            text = self._file.read(size)
        except (UnicodeError, OSError) as e:
            raise SourceError(f"cannot read {self._where}: {e}") from None
        return self._whole(text + self._line() if text else "")

    @property
    def damage(self) -> Exception | None:
        """Why the rest of a gzip file cannot be read; None while it can."""
        return getattr(getattr(self._file, "buffer", None), "damage", None)

    def _line(self) -> str:
        try:
            line = self._file.readline(MAX_LINE)
        except (UnicodeError, OSError) as e:
            raise SourceError(f"cannot read {self._where}: {e}") from None
        if len(line) == MAX_LINE:
            raise _too_long(self._where)
        return line

    def _whole(self, text: str) -> str:
        """Return a text without the line that damage cuts; raise if nothing is left."""
        if self.damage is None:
            return text
        whole = text[: text.rfind("\n") + 1]
        if not whole:
            raise SourceError(f"cannot read {self._where}: {self.damage}")
        return whole

    def use(self, line: str) -> None:
        """Do nothing."""


class GzipText(gzip.GzipFile):
    """A gzip file that ends where it is damaged, so that what is before it is not lost.

    Attributes
    ----------
    damage
        Why the rest cannot be read; None while it can.
    """

    damage: Exception | None = None

    def read1(self, size: int = -1) -> bytes:
        """Return some bytes, none at the end or at the damage."""
        try:
            return super().read1(size)
        except (EOFError, OSError, zlib.error) as error:
            self.damage = error
            return b""


class FileLines(TextLines):
    """Lines of a file, plain or gzip, with a checksum of those that were used.

    Parameters
    ----------
    path
        The file.
    encoding
        Of the text.

    Raises
    ------
    SourceError
        There is no such file.
    """

    def __init__(self, path: Path, encoding: str) -> None:
        self._path = path
        self._text = _open_text(path, encoding)
        self.checksum = 0
        super().__init__(path, self._text)

    def use(self, line: str) -> None:
        """Add the line to the checksum."""
        self.checksum = crc32(line.encode("utf-8", "surrogatepass"), self.checksum)

    @property
    def progress(self) -> float:
        """Share of the file's bytes that was read."""
        try:
            buffer: Any = self._text.buffer  # of gzip, it wraps the file
            return float(getattr(buffer, "fileobj", buffer).tell() / self._path.stat().st_size)
        except (AttributeError, ValueError):  # closed at its end
            return 1.0

    def close(self) -> None:
        """Close the file."""
        self._text.close()


class FollowedLines(Lines):
    """Lines of a file that grows."""

    def __init__(self, path: Path, follower: FileFollower) -> None:
        self._where = str(path)
        self._follower = follower

    def read(self) -> str:
        """Return the next line; waits for it."""
        line = self._follower.readline(MAX_LINE)
        if len(line) == MAX_LINE:
            raise _too_long(self._where)
        return line

    def use(self, line: str) -> None:
        """Move the cursor after the line."""
        self._follower.use()


def _too_long(where: str) -> SourceError:
    return SourceError(
        f"{where} must have lines of less than {MAX_LINE} characters: is it a table of text?"
    )


def _open_text(path: Path, encoding: str) -> TextIOWrapper:
    try:
        if path.is_dir():
            raise SourceError(f"{path} must be a file, got a folder")
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"{path} must be a regular file, as a table is read more than once")
        if path.suffix == ".gz":
            content = GzipText(path)
            return TextIOWrapper(content, encoding, errors="surrogateescape", newline="")
        return path.open(encoding=encoding, errors="surrogateescape", newline="")
    except OSError as e:
        raise SourceError(f"cannot read {path}: {reason_of(e)}") from None
