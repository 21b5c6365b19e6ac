"""A live sender whose rows keep one time is announced once."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest

from loco_stream.engine import StreamEngine, _repeated_times
from loco_stream.engine._repeated_times import RepeatedTimes
from loco_stream.stream import Block, Sample
from tests.helpers.standin import ListSource, Means


@pytest.fixture
def clock(monkeypatch):
    """Return a list with the monotonic time."""
    now = [0.0]
    monkeypatch.setattr(_repeated_times.time, "monotonic", lambda: now[0])
    return now


def rows(times, clock, *, rows_per_second=2, sender=""):
    """Return what counted these times, which came at a steady rate."""
    counted = RepeatedTimes(is_live=True)
    for t in times:
        clock[0] += 1 / rows_per_second
        counted.add(Sample({"a": 1.0}, t=t, source=sender))
    return counted


def test_one_time_for_a_minute_and_a_hundred_rows_is_logged_once(clock, caplog):
    counted = rows([1e9 + 1, *[1e9 + 7] * 400], clock, sender="press")
    (record,) = caplog.records
    assert record.getMessage() == (
        "source 'press': the last 121 rows have one time, 1000000007.000: does a clock stand still?"
    )
    assert list(counted.sentences()) == [record.getMessage().replace("121", "400")]
    counted.add(Sample({"a": 1.0}, t=1e9 + 8, source="press"))
    assert not list(counted.sentences())


@pytest.mark.parametrize(
    "times",
    [
        [1e9 + i for i in range(400)],
        [math.nan] * 400,
        [1_764_720_000.0] * 400,  # a date
        [1e9 + 7] * 100,  # less than a minute
    ],
)
def test_times_that_move_and_dates_are_not(times, clock, caplog):
    rows(times, clock)
    assert not caplog.records


def test_a_clock_that_was_never_set_is(clock, caplog):
    rows([0.0] * 400, clock)
    assert len(caplog.records) == 1


def test_blocks_are_counted_by_their_rows(clock, caplog):
    counted = RepeatedTimes(is_live=True)
    X = np.ones((60, 1), np.float32)
    for times in (np.arange(60.0), np.full(60, 59.0), np.full(60, 59.0), np.full(60, 59.0)):
        clock[0] += 40
        counted.add(Block(X, None, ("a",), times=times))
    (record,) = caplog.records
    assert "the last 121 rows have one time, 59.000" in record.getMessage()


def test_an_engine_notes_it_for_a_live_source_only(monkeypatch, caplog):
    monkeypatch.setattr(_repeated_times, "_SECONDS", 0.0)
    samples = [Sample({"a": float(i)}, "xy"[i % 2], i, t=1e9 + 7) for i in range(300)]
    for is_live in (True, False):
        caplog.clear()
        source = ListSource(samples)
        source.is_live = is_live
        with caplog.at_level(logging.WARNING):
            report = StreamEngine(Means(), source).run()
        noted = [note for note in report["notes"] if "have one time" in note]
        assert len(noted) == len([r for r in caplog.records if "one time" in r.message]) == is_live
