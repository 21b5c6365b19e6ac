"""A fleet in an object store, whose processes share no file system."""

from __future__ import annotations

import math
import time
import uuid
from functools import partial
from typing import Any

from loco_stream._persistence.format import decode_plain, encode_plain
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.fleet._journal import BASE, RELEASE, Entry, FencedError, Journal
from loco_stream.fleet._lease import Lease
from loco_stream.fleet._object_group import ObjectGroup, group_journal
from loco_stream.fleet._object_store import ObjectStore

_TEMPLATE = "template.loco"
_SLACK = 3.0  # seconds; the store's clock shows whole seconds
_POLL = 0.3  # seconds


class ObjectStorage:
    """The storage of a fleet under a prefix of an object store.

    The store must create an object only if its name is free (``If-None-Match: *``), and list an
    object as soon as it is created. Amazon S3, Google Cloud Storage and Azure Blob Storage do.

    Raises `ConfigError` if `location` names no object store.

    location: URL of the prefix. Credentials and the endpoint are those of the environment, for
        example ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL``.
    owner: name of this process in leases; None takes a new one. A worker that is started again has
        the name of the worker before it, and so does not wait for that one's lease.
    lease: seconds after which a process that does not renew its lease counts as dead
    """

    def __init__(self, location: str, owner: str | None = None, lease: float = 10.0) -> None:
        self.location = location
        self._store = ObjectStore.open(location)
        self._owner = owner or uuid.uuid4().hex
        self._seconds = lease
        self._lease = Lease(self._store, self._owner, lease)
        self._journal = Journal(self._store, "fleet", self._owner)
        self._is_locked = False
        self._header: bytes | None = None
        self._position: bytes | None = None

    def lock(self) -> None:
        """Take the fleet over when the lease of the process before, if it was killed, is over."""
        deadline = math.inf
        while (left := self._time_left()) >= 0.0:
            deadline = min(deadline, time.monotonic() + left + _SLACK)
            if time.monotonic() > deadline:
                raise ConfigError(f"the fleet in {self.location} is in use by another process")
            time.sleep(_POLL)
        self._lease.start()
        self._lease.forget_old()
        for entry in self._journal.take():
            if entry.kind == BASE:
                self._load(entry)
        self._is_locked = True

    def release(self) -> None:
        """Release the fleet for another process."""
        if self._is_locked:
            self._is_locked = False
            try:
                self._journal.append(RELEASE, b"")
            finally:
                self._lease.end()

    def read_header(self) -> bytes | None:
        """Return the settings of the fleet; None if there is no fleet."""
        if not self._is_locked:
            entry = self._journal.peek()
            if entry is not None:
                self._load(entry)
        return self._header

    def write_header(self, content: bytes) -> None:
        """Replace the settings."""
        self._header = content
        self._write()

    def read_model(self, name: str = _TEMPLATE) -> bytes:
        """Return the content of the object of the template or of the shared model."""
        content = self._store.get(name)
        if content is None:
            raise CheckpointError(f"there is no {name} in {self.location}")
        return content

    def write_template(self, content: bytes) -> None:
        """Store the file of the model that new keys start from."""
        self._store.put(_TEMPLATE, content)

    def read_position(self) -> bytes | None:
        """Return the position of the source; None if there is none."""
        return self._position

    def write_position(self, content: bytes) -> None:
        """Replace the position; raises `FencedError` if another process took the fleet over."""
        self._position = content
        self._write()

    def write_shared(self, name: str, content: bytes) -> None:
        """Write the object with a shared model."""
        self._store.put(name, content)

    def delete_shared(self, name: str) -> None:
        """Delete the object with a shared model."""
        self._store.delete([name])

    def list_groups(self) -> list[int]:
        """Return no group: nobody moves single objects by hand."""
        return []

    def has_group(self, number: int) -> bool:
        """Whether a group was ever opened."""
        return group_journal(self._store, number, self._owner).exists

    def open_group(self, number: int) -> ObjectGroup:
        """Take a group over, unless the lease of the process before is live.

        Raises `FencedError` if another process took the whole fleet over, while this one was
        paused. Raises `ConfigError` if another process works on the group.
        """
        self._lease.start()
        group = ObjectGroup(self._store, number, self._owner, partial(self._check_group, number))
        try:
            self._check_fleet()  # this process may have been paused before it took the group
        except BaseException:
            group.close()
            raise
        return group

    def _check_group(self, number: int) -> None:
        """Raise an error if the fleet or a group belongs to another process."""
        self._check_fleet()
        last = group_journal(self._store, number, self._owner).last()
        is_taken = last is not None and last.kind != RELEASE and last.owner != self._owner
        if last is not None and is_taken and self._lease.is_live(last.owner):
            raise ConfigError(f"group {number} of {self.location} is in use by another process")

    def worker(self, name: str) -> dict[str, Any]:
        """Return the arguments of `open_storage` for a worker of this fleet."""
        owner = f"{self._owner}.{name}"
        return {"location": self.location, "owner": owner, "lease": self._seconds}

    def is_alive(self, name: str) -> bool:
        """Whether a worker of this fleet has renewed its lease, or has none yet."""
        return not self._lease.is_over(f"{self._owner}.{name}")

    def close(self) -> None:
        """End renewing the lease."""
        self._lease.end()

    def _check_fleet(self) -> None:
        """Raise `FencedError` if the fleet belongs to another process than this one or its driver.

        Otherwise a process that was paused could open groups that its successor has not opened yet.
        """
        last = self._journal.last()
        if last is not None and last.owner != self._owner.partition(".")[0]:
            raise FencedError(
                f"another process took over the fleet in {self.location}: this one was paused or "
                "cut off for longer than its lease"
            )

    def _time_left(self) -> float:
        """Return the seconds until the lease of the process before is over, negative without."""
        last = self._journal.last()
        if last is None or last.kind == RELEASE or last.owner == self._owner:
            return -1.0
        left = self._lease.left(last.owner)
        return -1.0 if left is None else left

    def _load(self, state: Entry) -> None:
        content = decode_plain(state.payload)
        self._header = content["header"]
        self._position = content["position"]

    def _write(self) -> None:
        content = {"header": self._header, "position": self._position}
        self._journal.append_base(encode_plain(content))
