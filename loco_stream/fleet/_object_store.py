"""The few operations that a fleet needs from an object store, each repeated until it succeeds."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from loco_stream.errors import CheckpointError, ConfigError

try:
    import obstore
    from obstore import exceptions
    from obstore.store import from_url
except ImportError as error:
    raise ConfigError(
        "a fleet in an object store needs obstore: pip install 'loco-stream[objects]'"
    ) from error

T = TypeVar("T")
_Store: TypeAlias = Any  # a store of obstore
_Missing = (exceptions.NotFoundError, FileNotFoundError)
_Taken = (exceptions.AlreadyExistsError, exceptions.PreconditionError)


class ObjectStore:
    """Objects under a prefix.

    A lost connection leaves open whether an object was written. obstore then gives up where the
    write depends on a condition; here it is repeated, since each object has one possible content.

    store: of obstore
    patience: seconds for which an operation is repeated while the store cannot be reached
    """

    def __init__(self, store: _Store, patience: float = 60.0) -> None:
        self._store = store
        self.patience = patience

    @classmethod
    def open(cls, url: str) -> ObjectStore:
        """Return the store at a URL.

        Raises `ConfigError` if `url` names no object store.
        """
        retries: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
        try:
            return cls(from_url(url, retry_config=retries))
        except (exceptions.BaseError, ValueError, TypeError) as error:
            raise ConfigError(f"cannot open the object store {url}: {error}") from error

    def get(self, name: str) -> bytes | None:
        """Return the content of an object; None if there is none."""
        found = self.get_dated(name)
        return None if found is None else found[0]

    def get_dated(self, name: str) -> tuple[bytes, datetime] | None:
        """Return the content of an object and when it was written, by the store's clock."""

        def get() -> tuple[bytes, datetime]:
            found = obstore.get(self._store, name)
            return bytes(found.bytes()), found.meta["last_modified"]

        try:
            return self._repeat("read", get)
        except _Missing:
            return None

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return a part of an object."""
        try:
            return self._repeat(
                "read",
                lambda: bytes(obstore.get_range(self._store, name, start=start, length=length)),
            )
        except _Missing:
            raise CheckpointError(f"the object store lacks {name}") from None

    def put(self, name: str, content: bytes) -> None:
        """Write an object, whether or not it exists."""
        self._repeat("write to", lambda: obstore.put(self._store, name, content))

    def create(self, name: str, content: bytes) -> bool:
        """Create an object; return False if there is one with other content."""

        def create() -> object:
            return obstore.put(self._store, name, content, mode="create", use_multipart=False)

        try:
            self._repeat("write to", create)
        except _Taken:  # perhaps by this call, if its first reply was lost
            return self.get(name) == content
        return True

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; missing ones are no error."""
        listed = list(names)

        def delete() -> None:
            with suppress(*_Missing):
                obstore.delete(self._store, listed)

        if listed:
            self._repeat("delete from", delete)

    def names(self, prefix: str) -> list[str]:
        """Return the names of all objects in a folder, sorted."""

        def names() -> list[str]:
            chunks = obstore.list(self._store, prefix)
            return sorted(entry["path"] for chunk in chunks for entry in chunk)

        return self._repeat("list", names)

    def has(self, prefix: str) -> bool:
        """Whether a folder holds an object."""

        def has() -> bool:
            return any(len(chunk) for chunk in obstore.list(self._store, prefix, chunk_size=1))

        return self._repeat("list", has)

    def _repeat(self, what: str, operation: Callable[[], T]) -> T:
        """Run an operation until it succeeds or `patience` is over.

        Raises `CheckpointError` if the store cannot be reached, or refuses access.
        """
        deadline = time.monotonic() + self.patience
        wait = 0.05
        while True:
            try:
                return operation()
            except (*_Missing, *_Taken):
                raise
            except exceptions.BaseError as error:
                is_lost = isinstance(error, exceptions.GenericError | exceptions.JoinError)
                if not is_lost or time.monotonic() + wait > deadline:
                    reason = str(error).partition("\n")[0]
                    raise CheckpointError(f"cannot {what} the object store: {reason}") from error
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(2 * wait, 2.0)
