"""Limits per key drop and count rows before they are logged."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream.errors import ConfigError
from loco_stream.fleet._limits import KeyLimits
from loco_stream.fleet._rows import LABELS, KeyRows, make_rows


def rows(key, n):
    return make_rows(key, np.zeros((n, 2), np.float32), ["a"] * n, None, "s", 1, 0)


def test_a_key_may_send_bursts_and_its_rate():
    now = [0.0]
    limits = KeyLimits(rows_per_second=2.0, clock=lambda: now[0])
    assert len(limits.admit(rows("a", 15))) == 15
    assert list(limits.admit(rows("a", 15)).seq) == [0, 1, 2, 3, 4]  # 20 in ten seconds
    assert limits.admit(rows("a", 1)) is None
    assert len(limits.admit(rows("b", 20))) == 20
    now[0] = 3.0
    assert len(limits.admit(rows("a", 9))) == 6
    assert limits.n_over_rate == 10 + 1 + 3


def test_further_keys_are_dropped_and_known_ones_are_not():
    limits = KeyLimits(max_keys=2)
    limits.know(["a", "b", "c"])  # models from before the limit
    assert limits.admit(rows("c", 3)) is not None
    assert limits.admit(rows("d", 3)) is None
    assert limits.n_over_keys == 3


def test_late_labels_are_never_dropped():
    limits = KeyLimits(max_keys=1, rows_per_second=1.0, clock=lambda: 0.0)
    labels = KeyRows("x", np.zeros((5, 0)), list("abcde"), None, "s", 1, range(5), kind=LABELS)
    limits.admit(rows("a", 10))
    assert limits.admit(labels) is labels


@pytest.mark.parametrize("options", [{"max_keys": 0}, {"rows_per_second": -1.0}])
def test_a_limit_is_positive(options):
    with pytest.raises(ConfigError, match="must be positive or None"):
        KeyLimits(**options)
