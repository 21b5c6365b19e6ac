"""`EventSource`: events of an .npz file are counted in time bins."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream.connectors import open_source
from loco_stream.errors import ConfigError, SourceError
from loco_stream.testing import check_source


def events(folder, **arrays):
    given = {"time": [0.001, 0.004, 0.025, 0.0251, 0.002], "line": [0, 1, 1, 1, 2], **arrays}
    path = folder / "events.npz"
    np.savez(path, **{name: array for name, array in given.items() if array is not None})
    return f"events:{path}"


def test_a_bin_with_events_is_a_row(tmp_path):
    url = events(tmp_path, label=["u", "u", "d", "d", "u"], sequence=[1, 1, 1, 1, 2])
    rows = list(open_source(f"{url}?bin=0.01&lines=4"))
    assert [list(row.x.values()) for row in rows] == [[1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0]]
    assert [(row.y, row.sequence, row.seq) for row in rows] == [
        ("u", 1, 0),
        ("d", 1, 1),
        ("u", 2, 2),
    ]
    assert [row.t for row in rows] == pytest.approx([0.01, 0.03, 0.01])


def test_resumes_from_its_row(tmp_path):
    url = events(tmp_path, sequence=[1, 1, 1, 1, 2])
    source = open_source(url)
    source.seek({"row": 2})
    assert [list(row.x.values()) for row in source] == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({}, "`time` in .* must not decrease within a sequence, got .* after .* at event"),
        ({"line": None}, "must have the arrays time and line, got no 'line'"),
        ({"line": [0, 1, -1, 1, 2]}, "`line` in .* must be whole numbers from 0, got -1"),
        ({"line": [0.5] * 5}, "`line` in .* must be whole numbers from 0, got float64"),
        ({"line": [1, 2]}, "must have one value per event in each array"),
        (
            {"time": [0.0, np.nan, 1.0, 2.0, 3.0]},
            "`time` in .* must be finite numbers, in seconds, got nan",
        ),
    ],
)
def test_bad_arrays_are_refused(tmp_path, arrays, sentence):
    with pytest.raises(SourceError, match=sentence):
        open_source(events(tmp_path, **arrays))


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b[:200] + b"x" * 40 + b[240:], bytes.swapcase]
)
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "events.npz"
    url = events(tmp_path, time=[0.0, 1.0, 2.0, 3.0, 4.0])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SourceError, match="must be an array of numbers"):
        open_source(url)


def test_a_device_is_refused():
    with pytest.raises(SourceError, match="/dev/zero"):
        open_source("events:/dev/zero")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("bin=0", "`bin` must be a number above 0"),
        ("lines=2", "`lines` must be at least 3"),
    ],
)
def test_options_are_checked(tmp_path, query, sentence):
    with pytest.raises(ConfigError, match=sentence):
        open_source(f"{events(tmp_path, time=[0.0, 1.0, 2.0, 3.0, 4.0])}?{query}")


def test_the_lifecycle_of_events(tmp_path):
    n = np.arange(100)
    url = events(tmp_path, time=n * 0.003, line=n % 5, label=n % 2, sequence=n // 50)
    check_source(lambda: open_source(f"{url}?bin=0.01"))
