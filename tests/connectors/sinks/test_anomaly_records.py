"""Records of kind anomaly in the forms of sinks."""

from __future__ import annotations

from loco_stream.connectors import open_sink
from loco_stream.connectors.sinks.influx_sink import line

RECORD = {
    "kind": "anomaly",
    "source": "pump",
    "seq": 206,
    "t": 2.0,
    "at": 206,
    "score": 7.5,
    "state": 2.5,
    "column": "flow",
    "value": 39.0,
    "expected": [1.0, 2.0],
}


def test_a_point_has_scores_column_value_and_band():
    text = line(RECORD, 0.0)
    for field in (
        "score=7.5",
        "state=2.5",
        'column="flow"',
        "value=39.0",
        "expected_low=1.0",
        "expected_high=2.0",
    ):
        assert field in text
    text = line({**RECORD, "value": "shut", "expected": None}, 0.0)
    assert 'value_text="shut"' in text
    assert "expected" not in text


def test_a_point_has_the_key_of_a_fleet_and_the_id_of_a_row_as_texts():
    text = line({**RECORD, "key": 3, "id": "A7"}, 0.0)
    assert ',key="3"' in text
    assert ',id="A7"' in text


def test_a_command_takes_anomalies_by_default():
    assert "anomaly" in open_sink("exec:cat").kinds
