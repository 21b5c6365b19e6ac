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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loco_stream._persistence.format import decode_plain, encode_plain
from loco_stream.errors import CheckpointError
from loco_stream.fleet._object_store import ObjectStore

BASE = "base"
FENCE = "fence"
RELEASE = "release"
_KEPT_FENCES = 1000  # a writer paused during as many takeovers would no longer be stopped


class FencedError(CheckpointError):
    """Another process took over what this one worked on."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a journal.

    slot: its number
    kind: ``"fence"``, ``"release"``, ``"base"``, or a kind of the user of the journal
    owner: name of the process that wrote it, in leases
    writer: unique name of the `Journal` that wrote it
    payload: content
    fences: in a base: numbers of the fences before it
    """

    slot: int
    kind: str
    owner: str
    writer: str
    payload: bytes
    fences: tuple[int, ...] = ()


class Journal:
    """Takes over, reads and extends a journal.

    store: where the objects are
    prefix: names of the objects are this prefix and a number of 16 digits
    owner: name of this process, in leases

    `token`: the fencing token, which is the number of the fence of this writer
    """

    def __init__(self, store: ObjectStore, prefix: str, owner: str) -> None:
        self._store = store
        self._prefix = prefix
        self._owner = owner
        self._writer = uuid.uuid4().hex
        self.token = -1
        self._next = -1  # no number before `take`
        # content whose creation failed, perhaps only seemingly
        self._unconfirmed: bytes | None = None
        self._fences: list[int] = []
        self._deletable: list[int] = []

    @property
    def exists(self) -> bool:
        """Whether the journal has an object."""
        return self._store.has(self._prefix)

    def last(self) -> Entry | None:
        """Return the newest entry without taking the journal over; None if there is none."""
        slots = self._slots()
        while slots:
            entry = self._read(slots.pop())
            if entry is not None:
                return entry
        return None

    def take(self, check: Callable[[], None] | None = None) -> list[Entry]:
        """Fence all earlier writers; return the newest base, if any, and the entries after it.

        `check`: raises an error if this process must not take the journal. It is called again
        whenever another process has added an entry meanwhile, so that a pause after it does no
        harm.
        """
        while True:
            slots = self._slots()
            if check is not None:
                check()
            if self._claim(slots[-1] + 1 if slots else 0):
                break
        return self._entries_since_base(slots)

    def peek(self) -> Entry | None:
        """Return the newest base without taking the journal over."""
        for slot in reversed(self._slots()):
            entry = self._read(slot)
            if entry is not None and entry.kind == BASE:
                return entry
        return None

    def append_base(self, payload: bytes) -> None:
        """Add a base, which makes all entries before it superfluous, and delete them.

        Errors are those of `append`.
        """
        slot = self._append(
            [BASE, self._owner, self._writer, payload, self._fences[-_KEPT_FENCES:]]
        )
        self._drop_before(slot)

    def append(self, kind: str, payload: bytes) -> None:
        """Add an entry.

        After any other error than `FencedError` the entry is kept and added by `flush` or before
        the next entry.

        Raises `FencedError` if another process took the journal over; nothing was added. Raises
        `CheckpointError` if the store cannot be reached.
        """
        self._append([kind, self._owner, self._writer, payload])

    def _append(self, content: list[Any]) -> int:
        self.flush()
        self._unconfirmed = encode_plain(content)
        self.flush()
        return self._next - 1

    def flush(self) -> None:
        """Add the entry whose addition failed, if any."""
        if self._unconfirmed is None:
            return
        if not self._store.create(self._name(self._next), self._unconfirmed):
            raise FencedError(
                f"another process took over {self._prefix} of the fleet: this one was paused or "
                "cut off for longer than its lease, and what it did since was not stored"
            )
        self._deletable.append(self._next)
        self._next += 1
        self._unconfirmed = None

    def _drop_before(self, slot: int) -> None:
        """Delete the entries before a number, except fences."""
        old = [number for number in self._deletable if number < slot]
        self._store.delete(map(self._name, old))
        self._deletable = [number for number in self._deletable if number >= slot]

    def _claim(self, slot: int) -> bool:
        content = encode_plain([FENCE, self._owner, self._writer, b""])
        if not self._store.create(self._name(slot), content):
            return False
        self.token = slot
        self._next = slot + 1
        self._fences = [slot]
        return True

    def _entries_since_base(self, slots: Sequence[int]) -> list[Entry]:
        entries: list[Entry] = []
        for slot in reversed(slots):
            entry = self._read(slot)
            if entry is None:  # deleted by the writer before, after a base that was read
                continue
            entries.append(entry)
            if entry.kind == BASE:
                break
        entries.reverse()
        fences = {number for entry in entries for number in entry.fences}
        self._fences = sorted(fences | {e.slot for e in entries if e.kind == FENCE}) + self._fences
        kept = set(self._fences)
        self._deletable = [slot for slot in slots if slot not in kept]
        return entries

    def _read(self, slot: int) -> Entry | None:
        content = self._store.get(self._name(slot))
        if content is None:
            return None
        try:
            kind, owner, writer, payload, *fences = decode_plain(content)
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{self._name(slot)} is damaged: {error}") from error
        return Entry(slot, kind, owner, writer, payload, tuple(*fences))

    def _slots(self) -> list[int]:
        names = self._store.names(self._prefix)
        return sorted(int(name.rpartition("/")[2]) for name in names)

    def _name(self, slot: int) -> str:
        return f"{self._prefix}/{slot:016d}"
