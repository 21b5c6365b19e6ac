"""A fleet leaves out texts that cannot be categories as an engine does; its key is none of them."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import Fleet
from loco_stream.engine._source_reader import PairSource, SourceReader
from loco_stream.fleet._runner import FleetRunner
from loco_stream.stream import Block, Sample
from tests.helpers.fleet_process import template

ODD = "column 'load' had a text in place of a number in 2 rows; the last is row 45: 'off'"
N = 60
FIRST = 1000  # number that the sender gives its first row


def device_of(i):
    """Return a key; numbers come before the first text, as in a column of numbers."""
    return float(i) if i < 3 else f"d{i % 2}"


def row(i, odd):
    return {"device": device_of(i), "load": odd.get(i, float(i % 5)), "kind": "xy"[i % 2]}


def samples(odd):
    return [Sample(row(i, odd), "ab"[i % 2], FIRST + i) for i in range(N)]


def blocks(odd):
    found = []
    for begin in range(0, N, 15):
        rows = [row(i, odd) for i in range(begin, begin + 15)]
        X = np.array([list(x.values()) for x in rows], object)
        y = ["ab"[i % 2] for i in range(begin, begin + 15)]
        found.append(Block(X, y, tuple(rows[0]), FIRST + begin))
    return found


def run(folder, events, model=None):
    """Learn a stream in a fleet; return the report and the states of the models."""
    with Fleet(model, folder) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(events)), "device").run()
        return report, {key: fleet.state_sha256(key) for key in list(fleet.keys())}


@pytest.mark.parametrize("events", [samples, blocks])
def test_an_odd_cell_in_a_column_of_numbers_is_a_missing_value(tmp_path, events):
    report, states = run(tmp_path / "odd", events({20: "#DIV/0!", 45: "off"}), template())
    assert ODD in report["notes"]
    assert report["n_without_key"] == 0
    assert set(states) == {0, 1, 2, "d0", "d1"}
    assert states == run(tmp_path / "missing", events({20: None, 45: None}), template())[1]


@pytest.mark.parametrize("events", [samples, blocks])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_fleet_that_starts_again_knows_its_columns(tmp_path, events, n):
    given = events({20: "#DIV/0!", 45: "off"})
    _, whole = run(tmp_path / "whole", given, template())
    run(tmp_path / "again", given[:n], template())
    report, states = run(tmp_path / "again", given)
    assert ODD in report["notes"]
    assert states == whole


def test_ids_in_a_text_column_are_left_out(tmp_path):
    events = [Sample({**row(i, {}), "order": f"order {i}"}, "ab"[i % 2], i) for i in range(N)]
    report, _ = run(tmp_path, events, template())
    assert "column 'order' is left out: 50 of its first 50 texts are distinct" in str(
        report["notes"]
    )
