"""A journal in an object store has one writer at a time, whatever the others do."""

from __future__ import annotations

import pytest

obstore = pytest.importorskip("obstore")

from obstore.store import MemoryStore  # noqa: E402

from loco_stream.errors import CheckpointError  # noqa: E402
from loco_stream.fleet._journal import FencedError, Journal  # noqa: E402
from loco_stream.fleet._lease import Lease  # noqa: E402
from loco_stream.fleet._object_group import ObjectGroup  # noqa: E402
from loco_stream.fleet._object_store import ObjectStore  # noqa: E402
from loco_stream.fleet._rows import make_rows  # noqa: E402


def taken(store, owner="one"):
    journal = Journal(store, "log", owner)
    return journal, [(entry.kind, entry.payload) for entry in journal.take()]


def test_a_writer_that_was_taken_over_adds_nothing():
    store = ObjectStore(MemoryStore(), 0.0)
    first, entries = taken(store)
    assert entries == []
    first.append("rows", b"1")
    second, entries = taken(store, "two")
    assert entries == [("fence", b""), ("rows", b"1")]
    with pytest.raises(FencedError, match="another process took over log"):
        first.append("rows", b"2")
    second.append("rows", b"3")
    third, entries = taken(store, "three")
    assert [payload for kind, payload in entries if kind == "rows"] == [b"1", b"3"]
    assert first.token < second.token < third.token


def test_a_writer_paused_over_checkpoints_and_deletions_still_adds_nothing():
    store = ObjectStore(MemoryStore(), 0.0)
    first, _ = taken(store)
    first.append("rows", b"1")
    for name in "ab":
        later, _ = taken(store, name)
        for _ in range(5):
            later.append("rows", b"x")
            later.append_base(b"")
    with pytest.raises(FencedError):
        first.append("rows", b"2")


def test_entries_before_a_base_are_not_read_and_are_deleted():
    store = ObjectStore(MemoryStore(), 0.0)
    journal, _ = taken(store)
    journal.append("rows", b"1")
    journal.append_base(b"all")
    journal.append("rows", b"2")
    _, entries = taken(store)
    assert entries == [("base", b"all"), ("rows", b"2")]
    names = [entry["path"] for chunk in obstore.list(store._store, "log") for entry in chunk]
    assert len(names) == 4  # two fences, the base and the row after it


class Unreachable:
    """Raises at some calls of `obstore.put`, before or after the object was created."""

    def __init__(self, monkeypatch, *fails):
        self._fails = list(fails)
        self._put = obstore.put
        monkeypatch.setattr(obstore, "put", self.put)

    def put(self, *arguments, **options):
        fail = self._fails.pop(0) if self._fails else None
        if fail == "before":
            raise obstore.exceptions.GenericError("connection reset")
        result = self._put(*arguments, **options)
        if fail == "after":
            raise obstore.exceptions.GenericError("connection reset")
        return result


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_entry_whose_reply_was_lost_is_added_once(monkeypatch, when):
    store = ObjectStore(MemoryStore(), 0.0)
    journal, _ = taken(store)
    Unreachable(monkeypatch, when)
    with pytest.raises(CheckpointError, match="cannot write to the object store"):
        journal.append("rows", b"1")
    journal.append("rows", b"2")
    _, entries = taken(store)
    assert [payload for kind, payload in entries if kind == "rows"] == [b"1", b"2"]


def rows(key, seq, n=3):
    return make_rows(key, [[float(seq + i)] for i in range(n)], list(range(n)), None, "s", 1, seq)


def group(store, owner="one"):
    opened = ObjectGroup(store, 3, owner)
    return opened, [list(part.seq) for part in opened.replay()]


def append(opened, *parts):
    for part in parts:
        opened.append(len(part), part.encode())


def test_a_group_replays_synced_rows_and_finds_its_models():
    store = ObjectStore(MemoryStore(), 0.0)
    first, _ = group(store)
    append(first, rows("a", 0), rows("b", 0))
    first.checkpoint([("a", b"A0"), ("b", b"B0")])
    append(first, rows("a", 3))
    first.sync()
    append(first, rows("a", 6))  # never synced: the process is killed
    second, replayed = group(store, "two")
    assert replayed == [[3, 4, 5]]
    assert (second.get("a"), second.get("b"), second.get("c")) == (b"A0", b"B0", None)
    assert (sorted(second.keys()), second.count()) == (["a", "b"], 2)
    second.put("a", b"A1")  # evicted, but not checkpointed
    assert second.get("a") == b"A1"
    with pytest.raises(FencedError):
        first.sync()
    first.close()
    third, replayed = group(store, "three")
    assert replayed == [[3, 4, 5]]
    assert third.get("a") == b"A0"


def test_segments_that_are_mostly_unused_are_rewritten():
    store = ObjectStore(MemoryStore(), 0.0)
    opened, _ = group(store)
    for i in range(20):
        append(opened, rows("a", 3 * i))
        opened.checkpoint([("a", b"A%02d" % i), *([("b", b"B" * 5)] if i == 0 else [])])
    opened.close()
    names = [entry["path"] for chunk in obstore.list(store._store, "group-0003") for entry in chunk]
    assert sum("/models/" in name for name in names) <= 2
    again, _ = group(store)
    assert (again.get("a"), again.get("b")) == (b"A19", b"BBBBB")


def test_rows_that_were_set_aside_are_not_replayed():
    store = ObjectStore(MemoryStore(), 0.0)
    opened, _ = group(store)
    append(opened, rows("a", 0), rows("a", 3))
    assert "set aside in group-0003/refused/" in opened.set_aside(rows("a", 3), ValueError("x"))
    append(opened, rows("a", 6))
    opened.close()
    assert group(store)[1] == [[0, 1, 2], [6, 7, 8]]


def test_a_lease_is_over_when_it_is_not_renewed(monkeypatch):
    store = ObjectStore(MemoryStore(), 0.0)
    one = Lease(store, "one", 1.0)
    other = Lease(store, "other", 1.0)
    assert (other.is_live("one"), other.is_over("one")) == (False, False)
    one.start()
    assert other.is_live("one")
    one._over.set()  # as if the process were paused
    one._thread.join()
    import time

    time.sleep(1.2)
    assert (other.is_live("one"), other.is_over("one")) == (False, True)
    one.end()
    other.end()
