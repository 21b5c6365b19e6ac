"""A journal in an object store, which one writer at a time extends.

The journal is a sequence of objects with consecutive numbers. An object is only ever created, with
the condition that its name is free (``If-None-Match: *``), so that each number has one writer. A
process that takes the journal over creates a *fence* at the next free number. From then on the
writer before it cannot add anything: its next number is taken. The number of the fence is the
fencing token.

A writer that was paused for long must not find its next number free again. That number is the one
of the fence that came after it, so fences are kept when the objects before a checkpoint are
deleted.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.persistence.format import decode_plain, encode_plain

try:
    import obstore
    from obstore import exceptions
except ImportError as error:
    raise ConfigError(
        "a fleet in an object store needs obstore: pip install 'loco-stream[objects]'"
    ) from error

__all__ = ["FENCE", "RELEASE", "Entry", "FencedError", "Journal", "store_errors"]

Store: TypeAlias = Any  # a store of obstore

FENCE = "fence"
RELEASE = "release"
_KEPT_FENCES = 1000  # a writer paused during as many takeovers would no longer be stopped


class FencedError(CheckpointError):
    """Another process took over what this one worked on."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a journal.

    Attributes
    ----------
    slot
        Its number.
    kind
        ``"fence"``, ``"release"``, or a kind of the user of the journal.
    owner
        Name of the process that wrote it, in leases.
    writer
        Unique name of the `Journal` that wrote it.
    payload
        Content.
    """

    slot: int
    kind: str
    owner: str
    writer: str
    payload: bytes


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Raise `CheckpointError` for errors of the store, which obstore has retried before."""
    try:
        yield
    except exceptions.BaseError as error:
        raise CheckpointError(f"cannot {what} the object store: {str(error)[:400]}") from error


class Journal:
    """Takes over, reads and extends a journal.

    Parameters
    ----------
    store
        Of obstore.
    prefix
        Names of the objects are this prefix and a number of 16 digits.
    owner
        Name of this process, in leases.
    """

    def __init__(self, store: Store, prefix: str, owner: str) -> None:
        self._store = store
        self._prefix = prefix
        self._owner = owner
        self._writer = uuid.uuid4().hex
        self._token = -1
        self._next = -1  # no number before `take`
        # content whose creation failed, perhaps only seemingly
        self._unconfirmed: bytes | None = None
        self._fences: list[int] = []
        self._deletable: list[int] = []

    @property
    def token(self) -> int:
        """The fencing token: the number of the fence of this writer."""
        return self._token

    @property
    def exists(self) -> bool:
        """Whether the journal has an object."""
        with store_errors("list"):
            return any(
                len(chunk) for chunk in obstore.list(self._store, self._prefix, chunk_size=1)
            )

    def last(self) -> Entry | None:
        """Return the newest entry without taking the journal over; None if there is none."""
        slots = self._slots()
        while slots:
            entry = self._read(slots.pop())
            if entry is not None:
                return entry
        return None

    def take(self, is_base: Callable[[Entry], bool]) -> list[Entry]:
        """Fence all earlier writers; return the newest base entry, if any, and those after it.

        Parameters
        ----------
        is_base
            Whether all entries before one may be ignored: it is a checkpoint.
        """
        slots = self._slots()
        while not self._claim(slots[-1] + 1 if slots else 0):
            slots = self._slots()
        return self._entries_since_base(slots, is_base)

    def peek(self, is_base: Callable[[Entry], bool]) -> Entry | None:
        """Return the newest base entry without taking the journal over."""
        for slot in reversed(self._slots()):
            entry = self._read(slot)
            if entry is not None and is_base(entry):
                return entry
        return None

    def append(self, kind: str, payload: bytes) -> int:
        """Add an entry and return its number.

        After any other error than `FencedError` the entry is kept and added by `flush` or before
        the next entry.

        Raises
        ------
        FencedError
            Another process took the journal over; nothing was added.
        CheckpointError
            The store cannot be reached.
        """
        self.flush()
        self._unconfirmed = encode_plain([kind, self._owner, self._writer, payload])
        self.flush()
        return self._next - 1

    def flush(self) -> None:
        """Add the entry whose addition failed, if any."""
        if self._unconfirmed is None:
            return
        if not self._create(self._next, self._unconfirmed):
            raise FencedError(
                f"another process took over {self._prefix} of the fleet: this one was paused or "
                "cut off for longer than its lease, and what it did since was not stored"
            )
        self._deletable.append(self._next)
        self._next += 1
        self._unconfirmed = None

    def drop_before(self, slot: int) -> None:
        """Delete the entries before a number, except fences."""
        old = [number for number in self._deletable if number < slot]
        if old:
            with store_errors("delete from"):
                obstore.delete(self._store, [self._name(number) for number in old])
        self._deletable = [number for number in self._deletable if number >= slot]

    @property
    def fences(self) -> list[int]:
        """Numbers of the fences, which a base entry must list for `take_fences`."""
        return self._fences[-_KEPT_FENCES:]

    def know_fences(self, fences: Sequence[int]) -> None:
        """Never delete these numbers."""
        self._fences = sorted({*fences, *self._fences})
        kept = set(self._fences)
        self._deletable = [number for number in self._deletable if number not in kept]

    def _claim(self, slot: int) -> bool:
        content = encode_plain([FENCE, self._owner, self._writer, b""])
        if not self._create(slot, content):
            return False
        self._token = slot
        self._next = slot + 1
        self._fences = [slot]
        return True

    def _create(self, slot: int, content: bytes) -> bool:
        """Create an object; return False if it exists, unless an earlier try has created it."""
        with store_errors("write to"):
            try:
                obstore.put(
                    self._store, self._name(slot), content, mode="create", use_multipart=False
                )
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                return bytes(obstore.get(self._store, self._name(slot)).bytes()) == content
        return True

    def _entries_since_base(
        self, slots: Sequence[int], is_base: Callable[[Entry], bool]
    ) -> list[Entry]:
        entries: list[Entry] = []
        for slot in reversed(slots):
            entry = self._read(slot)
            if entry is None:  # deleted by the writer before, after a checkpoint that was read
                continue
            entries.append(entry)
            if is_base(entry):
                break
        entries.reverse()
        self._fences = [entry.slot for entry in entries if entry.kind == FENCE] + self._fences
        kept = set(self._fences)
        self._deletable = [slot for slot in slots if slot not in kept]
        return entries

    def _read(self, slot: int) -> Entry | None:
        with store_errors("read"):
            try:
                content = bytes(obstore.get(self._store, self._name(slot)).bytes())
            except (exceptions.NotFoundError, FileNotFoundError):
                return None
        try:
            kind, owner, writer, payload = decode_plain(content)
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{self._name(slot)} is damaged: {error}") from error
        return Entry(slot, kind, owner, writer, payload)

    def _slots(self) -> list[int]:
        with store_errors("list"):
            names = [
                entry["path"]
                for chunk in obstore.list(self._store, self._prefix)
                for entry in chunk
            ]
        return sorted(int(name.rpartition("/")[2]) for name in names)

    def _name(self, slot: int) -> str:
        return f"{self._prefix}/{slot:016d}"
