"""Evicted models: one SQLite file per key group.

Everything that is stored between two checkpoints is one transaction. After a crash the file is as
the last checkpoint left it, and the log holds the rows since.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from loco_stream._persistence.format import decode_plain, encode_plain
from loco_stream.errors import CheckpointError
from loco_stream.fleet._rows import Key

# The names of tables and columns are part of the file format. The index lists the keys without a
# look at the models, which take a hundred kilobytes each.
_TABLES = """
PRAGMA page_size = 16384;
PRAGMA cache_size = -256;
PRAGMA journal_mode = TRUNCATE;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS models (key BLOB PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS names ON models (key);
CREATE TABLE IF NOT EXISTS place
    (one INTEGER PRIMARY KEY CHECK (one = 1), commit_number INTEGER NOT NULL);
INSERT OR IGNORE INTO place VALUES (1, 0);
"""


class ModelStore:
    """The models of one key group, each as bytes.

    Raises `CheckpointError` if the file cannot be opened or is damaged.

    `path`: the file; it is created if absent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._failure(error) from error
        try:
            self._file.executescript(_TABLES)
            (self.commit_number,) = self._file.execute("SELECT commit_number FROM place").fetchone()
            ((verdict,), *_) = self._file.execute("PRAGMA quick_check(1)").fetchall()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            self._file.execute("BEGIN IMMEDIATE")
        except (sqlite3.Error, TypeError) as error:
            self._file.close()
            raise self._failure(error) from error

    def get(self, key: Key) -> bytes | None:
        """Return the model of a key; None if there is none."""
        rows = self._run("SELECT state FROM models WHERE key = ?", encode_plain(key))
        return bytes(rows[0][0]) if rows else None

    def put(self, key: Key, state: bytes) -> None:
        """Store a model; it is durable after the next checkpoint."""
        self._run("INSERT OR REPLACE INTO models VALUES (?, ?)", encode_plain(key), state)

    def keys(self) -> Iterator[Key]:
        """Yield every key that has a model here."""
        for (key,) in self._run("SELECT key FROM models"):
            yield decode_plain(key)

    def count(self) -> int:
        """Return the number of models here."""
        (n,) = self._run("SELECT count(*) FROM models")[0]
        return int(n)

    def clear(self) -> None:
        """Remove all models."""
        self._run("DELETE FROM models")

    def checkpoint(self, commit_number: int, models: Iterable[tuple[Key, bytes]]) -> None:
        """Store `models`; make everything stored durable as the state after a commit of the log."""
        for key, state in models:
            self.put(key, state)
        self._run("UPDATE place SET commit_number = ?", commit_number)
        self._run("COMMIT")
        self.commit_number = commit_number
        self._run("BEGIN IMMEDIATE")

    def close(self) -> None:
        """Close the file; what was stored since the last checkpoint is discarded."""
        self._file.close()

    def _run(self, statement: str, *values: bytes | int) -> list[tuple[Any, ...]]:
        try:
            return self._file.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> CheckpointError:
        return CheckpointError(f"cannot read or write the models in {self._path}: {error}")
