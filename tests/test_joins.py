"""Single rows joined to blocks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from loco_stream._joins import join_blocks
from loco_stream.stream import Block, Labels, PredictRequest

A = ("a",)
B = ("b",)


def block(seq, n=1, y=True, source="s", epoch=0, tag=None, features=A):
    X = np.arange(seq, seq + n, dtype=np.float32).reshape(-1, 1)
    return Block(
        X, list(range(seq, seq + n)) if y else None, features, seq, float(seq), source, epoch, tag
    )


def test_rows_that_follow_each_other_become_one_block():
    (joined,) = join_blocks([block(3), block(4, 2), block(6)])
    assert joined.X[:, 0].tolist() == [3, 4, 5, 6]
    assert (joined.y, joined.seq, joined.t, joined.features) == ([3, 4, 5, 6], 3, 3.0, A)
    (joined,) = join_blocks([block(1, y=False), block(2, y=False)])
    assert joined.y is None


def test_other_events_stay_separate_and_in_order():
    events = [
        block(1),
        block(3),
        block(4, source="t"),
        block(5, source="t", epoch=1),
        block(6, y=False, source="t", epoch=1),
        block(7, source="t", epoch=1, tag=0),
        block(8, source="t", epoch=1),
        Labels([1], [2], 9, "t", 1),
        block(10, source="t", epoch=1),
        block(11, source="t", epoch=1, features=B),
        PredictRequest(np.ones((1, 1)), A, 12, "t"),
    ]
    assert join_blocks(events) == events
    assert join_blocks([]) == []


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), max_size=30))
def test_no_row_is_lost_or_moved(parts):
    events = []
    seq = 1
    for n, gap, labelled in parts:
        seq += gap
        events.append(block(seq, n, labelled))
        seq += n
    rows = [
        (float(x), y)
        for e in events
        for x, y in zip(e.X[:, 0], e.y or [None] * len(e.X), strict=True)
    ]
    after = join_blocks(events)
    assert [
        (float(x), y)
        for e in after
        for x, y in zip(e.X[:, 0], e.y or [None] * len(e.X), strict=True)
    ] == rows
    assert all(e.X[0, 0] == e.seq for e in after)
