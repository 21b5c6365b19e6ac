"""A stream into a fleet."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import Fleet
from loco_stream.cli.main import main
from loco_stream.engine.source_reader import PairSource, SourceReader
from loco_stream.engine.state import export_model, state_sha256
from loco_stream.errors import SourceError
from loco_stream.fleet.by_key import rows_by_key
from loco_stream.fleet.runner import FleetRunner
from loco_stream.stream import Block, Labels, Sample
from tests.helpers.fleet_process import rows_of, template

NAMES = ("device", "a", "b", "c")


def blocks(n_blocks=6, n_rows=50):
    """Blocks of rows of four devices, and the rows of each in order."""
    events, table = [], {}
    for number in range(n_blocks):
        X, y = rows_of(number, n_rows)
        device = (np.arange(n_rows) * 7 + number) % 4
        events.append(Block(np.column_stack([device, X]).astype(np.float32), y, NAMES, number * n_rows, source="plant"))
        for key in range(4):
            rows, labels = table.setdefault(key, ([], []))
            rows += list(X[device == key])
            labels += [label for label, of in zip(y, device, strict=True) if of == key]
    return events, table


def alone(X, y):
    model = template()
    model.learn_array(np.array(X), y, features=NAMES[1:])
    return state_sha256(*export_model(model))


class Heard:
    def __init__(self):
        self.predictions, self.report = [], None

    def write(self, prediction):
        self.predictions.append(prediction)

    def close(self, report):
        self.report = report


def test_each_row_goes_to_the_model_of_its_key_and_is_told(tmp_path):
    events, table = blocks()
    heard = Heard()
    with Fleet(template(), tmp_path) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(events)), "device", [heard]).run()
        assert {key: fleet.state_sha256(key) for key in range(4)} == {key: alone(*table[key]) for key in range(4)}
    assert report["n_samples"] == len(heard.predictions) == 300
    assert {prediction.source for prediction in heard.predictions} == {f"plant/{key}" for key in range(4)}
    assert heard.report == report
    assert {row["key"]: row["n_samples"] for row in report["worst"]} == {key: len(table[key][1]) for key in range(4)}


def test_a_stream_that_begins_again_is_learned_once(tmp_path):
    events, table = blocks()
    for part in (events[:3], events, events[2:]):
        with Fleet(template(), tmp_path) as fleet:
            (tmp_path / "position").unlink(missing_ok=True)  # as if it had not been written before the end
            FleetRunner(fleet, SourceReader(PairSource(part)), "device").run()
    with Fleet(None, tmp_path) as fleet:
        assert [fleet.state_sha256(key) for key in range(4)] == [alone(*table[key]) for key in range(4)]


def test_what_cannot_be_used_is_counted_and_said(tmp_path):
    events = [
        Sample({"device": "x", "a": 1.0}, "ok", 0, source="s"),
        Sample({"a": 1.0}, "ok", 1, source="s"),
        Sample({"device": "x", "a": 1.0}, None, 2, source="s"),
        Sample({"device": 3.0, "a": 1.0}, "ok", 3, source="s"),
        Labels([2], ["ok"], source="s"),
    ]
    with Fleet(template(), tmp_path) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(events)), "device").run()
        assert sorted(fleet.keys(), key=str) == [3, "x"]
    assert [report[name] for name in ("n_samples", "n_without_key", "n_unlabelled", "n_orphaned")] == [2, 1, 1, 1]
    assert len(report["notes"]) == 3


def test_a_key_that_no_row_has_is_refused():
    with pytest.raises(SourceError, match="has no feature 'machine'"):
        rows_by_key(blocks(1)[0], "machine")


def test_the_command_serves_a_fleet(tmp_path):
    events, _ = blocks(2)
    table = tmp_path / "rows.csv"
    lines = [",".join([*NAMES, "kind"])]
    for event in events:
        lines += [",".join(map(str, [*map(float, row), label])) for row, label in zip(event.X, event.y, strict=True)]
    table.write_text("\n".join(lines) + "\n")
    report = tmp_path / "report.json"
    options = ["--checkpoint", str(tmp_path / "state"), "--report", str(report), "--set", "hidden_sizes=8"]
    done = CliRunner().invoke(main, ["serve", "--source", f"csv:{table}?target=kind", "--key", "device", *options])
    assert done.exit_code == 0, done.output
    found = json.loads(report.read_text())
    assert (found["n_samples"], found["n_keys"]) == (100, 4)
    assert {row["key"] for row in found["worst"]} == {0, 1, 2, 3}
    for extra, text in ((["--workers", "2"], "--key"), (["--key", "device", "--http", "1"], "--http")):
        done = CliRunner().invoke(main, ["serve", "--source", f"csv:{table}?target=kind", *options, *extra])
        assert done.exit_code == 2
        assert text in done.output
