"""Lists of spikes are checked and grouped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loco_stream.neurons import _spikes as spikes
from loco_stream.neurons._spikes import NO_ROOM, first_bad_event
from tests.helpers.jitted import jitted_module


@given(st.lists(st.integers(1, 70), max_size=12), st.sampled_from([np.float32, np.float64]))
def test_events_are_grouped_by_time(sizes, dtype):
    times = np.repeat(np.arange(len(sizes)), sizes).astype(dtype)
    group_times = np.full(12, -1.0, dtype)
    ends = np.zeros(12, np.int64)
    assert jitted_module(spikes).group_events(times, group_times, ends) == len(sizes)
    assert ends[: len(sizes)].tolist() == np.cumsum(sizes).tolist()
    assert group_times[: len(sizes)].tolist() == list(range(len(sizes)))
    if len(sizes) > 1:
        assert (
            jitted_module(spikes).group_events(times, group_times[: len(sizes) - 1], ends)
            == NO_ROOM
        )


@pytest.mark.parametrize(
    ("times", "indices", "bad"),
    [
        ([], [], -1),
        ([0.0, 1.0, 1.0, 5.0], [0, 3, 3, 1], -1),
        ([-1.0, 1.0], [0, 0], 0),
        ([np.nan], [0], 0),
        ([0.0, np.nan, 2.0], [0, 0, 0], 1),
        ([0.0, 2.0, 1.0], [0, 0, 0], 2),
        ([0.0, 5.5], [0, 0], 1),
        ([0.0, np.inf], [0, 0], 1),
        ([0.0, 1.0, 2.0], [0, 4, 0], 1),
        ([0.0, 1.0, 2.0], [0, 1, -1], 2),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_first_bad_event_is_found(times, indices, bad, dtype):
    for kind in (np.int32, np.int64):
        assert first_bad_event(np.array(times, dtype), np.array(indices, kind), 4, 5.0) == bad
