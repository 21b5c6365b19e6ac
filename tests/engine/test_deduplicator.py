"""Numbered rows that are sent again are recognised, whatever their order and age."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loco_stream.engine._deduplicator import MAX_PER_CLIENT, MAX_SOURCES, Deduplicator
from loco_stream.errors import SourceError


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@given(st.lists(st.integers(0, 80), max_size=200))
def test_a_row_is_new_once(numbers):
    rows = Deduplicator()
    arrived = set()
    for number in numbers:
        assert rows.is_new("a", number) == (number not in arrived)
        arrived.add(number)
        stored = msgspec.msgpack.decode(msgspec.msgpack.encode(rows.export_state()))
        rows = Deduplicator()
        rows.restore_state(stored)


def test_a_retry_of_any_size_and_age_is_recognised():
    rows = Deduplicator()
    assert all(rows.is_new("a", number) for number in range(5, 10_000))
    assert not any(rows.is_new("a", number) for number in range(5, 10_000))


def test_a_forged_number_does_not_lock_the_source_out():
    rows = Deduplicator()
    assert rows.is_new("a", 1)
    assert rows.is_new("a", 2**63 - 1)
    assert all(rows.is_new("a", number) for number in range(2, 500))


def test_rows_under_too_many_gaps_are_not_decided_on():
    rows = Deduplicator()
    for number in range(0, 400, 2):
        assert rows.is_new("a", number)
    with pytest.raises(SourceError, match="whether it was learned is not known"):
        rows.is_new("a", 1)
    assert not rows.is_new("a", 398)
    assert rows.is_new("a", 397)


def test_one_client_cannot_use_up_the_names():
    clock = Clock()
    rows = Deduplicator(clock)
    for i in range(MAX_PER_CLIENT):
        assert rows.is_new(f"invented {i}", 1, "attacker")
    with pytest.raises(SourceError, match="64 sources of this client"):
        rows.is_new("one more", 1, "attacker")
    assert rows.is_new("honest", 1, "press")
    clock.now += 601
    assert rows.is_new("one more", 1, "attacker")
    assert not rows.is_new("honest", 1, "press")


def test_a_silent_source_with_few_rows_makes_room_for_a_new_one():
    clock = Clock()
    rows = Deduplicator(clock)
    for i in range(MAX_SOURCES):
        for number in range(3 if i else 1):
            rows.is_new(f"s{i}", number, f"client {i}")
    with pytest.raises(SourceError, match="256 sources"):
        rows.is_new("late", 1, "other")
    clock.now += 601
    assert rows.is_new("late", 1, "other")
    assert rows.is_new("s0", 0, "client 0")  # was forgotten
    assert rows.forget("late")
    assert not rows.forget("late")


def test_the_state_of_release_0_2_is_continued():
    rows = Deduplicator()
    rows.restore_state({"a": [100, 0b1011], "b": [3, 0b1111]})
    assert [rows.is_new("a", number) for number in (100, 99, 98, 97)] == [False, False, True, False]
    assert [rows.is_new("b", number) for number in range(5)] == [False] * 4 + [True]
    with pytest.raises(SourceError):
        rows.is_new("a", 36)
