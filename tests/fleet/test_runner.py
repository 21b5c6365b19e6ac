"""A stream into a fleet."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import Fleet, LOCOClassifier, TaskMonitor, save
from loco_stream.cli.main import main
from loco_stream.engine.source_reader import PairSource, SourceReader
from loco_stream.engine.state import export_model, state_sha256
from loco_stream.errors import SourceError
from loco_stream.fleet.by_key import KeySorter
from loco_stream.fleet.runner import FleetRunner
from loco_stream.stream import Block, Labels, Sample, Sink
from tests.helpers.fleet_process import rows_of, template

NAMES = ("device", "a", "b", "c")


def blocks(n_blocks=6, n_rows=50):
    """Blocks of rows of four devices, and the rows of each in order."""
    events = []
    table = {}
    for number in range(n_blocks):
        X, y = rows_of(number, n_rows)
        device = (np.arange(n_rows) * 7 + number) % 4
        events.append(
            Block(
                np.column_stack([device, X]).astype(np.float32),
                y,
                NAMES,
                number * n_rows,
                source="plant",
            )
        )
        for key in range(4):
            rows, labels = table.setdefault(key, ([], []))
            rows += list(X[device == key])
            labels += [label for label, of in zip(y, device, strict=True) if of == key]
    return events, table


def alone(X, y):
    model = template()
    model.learn_array(np.array(X), y, features=NAMES[1:])
    return state_sha256(*export_model(model))


class Heard(Sink):
    def __init__(self):
        self.predictions = []
        self.report = None

    def write(self, prediction):
        self.predictions.append(prediction)

    def close(self, report):
        self.report = report


class HeardDrifts(Sink):
    kinds = frozenset({"drift"})

    def __init__(self):
        self.records = []

    def write(self, prediction):
        raise AssertionError("predictions are not among `kinds`")

    def write_record(self, record):
        self.records.append(record)


def test_each_row_goes_to_the_model_of_its_key_and_is_told(tmp_path):
    events, table = blocks()
    heard = Heard()
    with Fleet(template(), tmp_path) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(events)), "device", [heard]).run()
        assert {key: fleet.state_sha256(key) for key in range(4)} == {
            key: alone(*table[key]) for key in range(4)
        }
    assert report["n_samples"] == len(heard.predictions) == 300
    assert {prediction.source for prediction in heard.predictions} == {
        f"plant/{key}" for key in range(4)
    }
    assert heard.report == report
    assert {row["key"]: row["n_samples"] for row in report["worst"]} == {
        key: len(table[key][1]) for key in range(4)
    }


def test_a_stream_that_begins_again_is_learned_once(tmp_path):
    events, table = blocks()
    for part in (events[:3], events, events[2:]):
        with Fleet(template(), tmp_path) as fleet:
            (tmp_path / "position").unlink(
                missing_ok=True
            )  # as if it had not been written before the end
            FleetRunner(fleet, SourceReader(PairSource(part)), "device").run()
    with Fleet(None, tmp_path) as fleet:
        assert [fleet.state_sha256(key) for key in range(4)] == [
            alone(*table[key]) for key in range(4)
        ]


def test_what_cannot_be_used_is_counted_and_said(tmp_path):
    events = [
        Sample({"device": "x", "a": 1.0}, "ok", 0, source="s"),
        Sample({"a": 1.0}, "ok", 1, source="s"),
        Sample({"device": "x", "a": 1.0}, None, 2, source="s"),
        Sample({"device": 3.0, "a": 1.0}, "ok", 3, source="s"),
        Labels([7], ["ok"], source="s"),
        Sample({"device": "x", "a": 1e300}, "ok", 4, source="s"),
        Block(np.zeros((2, 1), np.float32), ["ok", "ok"], ("a",), 5, source="s"),
    ]
    with Fleet(template(), tmp_path) as fleet:
        runner = FleetRunner(fleet, SourceReader(PairSource(events)), "device")
        runner._sorter.restore_state([])  # other rows had the feature before
        report = runner.run()
        assert sorted(fleet.keys(), key=str) == [3, "x"]
    counts = ("n_samples", "n_without_key", "n_unlabelled", "n_pending", "n_orphaned", "n_rejected")
    assert [report[name] for name in counts] == [2, 3, 1, 1, 1, 1]
    assert len(report["notes"]) == 3


def drifting(n=600):
    """Single rows of two devices; what the labels of the second mean turns around in the middle."""
    X = np.random.default_rng(0).normal(size=(n, 3))
    for i, row in enumerate(X.tolist()):
        turned = i % 2 and i > n // 2
        yield Sample(
            {"device": i % 2, **dict(zip("abc", row, strict=True))},
            int((row[0] > 0) != turned),
            i,
            source="s",
        )


def test_a_drift_of_a_key_is_told_and_reported(tmp_path):
    heard = HeardDrifts()
    with Fleet(template(), tmp_path, monitor=TaskMonitor(holdout=0)) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(drifting())), "device", [heard]).run()
    assert {record["key"] for record in heard.records} == {1}
    assert heard.records[0]["source"] == "s/1"
    assert heard.records[0]["seq"] > 300
    (device,) = report["drifted_lately"]
    assert (device["key"], device["drift"]["kind"], report["n_drifted_keys"]) == (1, "drift", 1)
    assert "forgetting" in device


def test_single_rows_of_a_recording_are_logged_together(tmp_path):
    with Fleet(template(), tmp_path, key_groups=1, checkpoint_every=10**6) as fleet:
        FleetRunner(fleet, SourceReader(PairSource(drifting())), "device").run()
        assert fleet._backend._host.open(0).commit < 100
        assert fleet.report(0)["n_samples"] == 300


def test_rows_before_an_error_of_the_source_are_learned(tmp_path):
    def broken():
        yield from drifting(20)
        raise SourceError("the file is torn")

    with Fleet(template(), tmp_path) as fleet:
        with pytest.raises(SourceError, match="torn"):
            FleetRunner(fleet, SourceReader(PairSource(broken())), "device").run()
        assert fleet.report(0)["n_samples"] == 10


def test_rows_whose_columns_change_and_change_back_are_all_learned(tmp_path):
    """All of one commit, so that rows of the same columns could be put together, and those between taken for old."""
    X, y = rows_of(0, 30)
    device = np.zeros((30, 1), np.float32)
    wide = np.hstack([device, X])
    narrow = np.hstack([device, X[:, :2]])
    events = [
        Block(wide[:10], y[:10], NAMES, 0, source="plant"),
        Block(narrow[10:20], y[10:20], NAMES[:3], 10, source="plant"),
        Block(wide[20:], y[20:], NAMES, 20, source="plant"),
    ]
    model = template()
    for event in events:
        model.learn_array(event.X[:, 1:], event.y, features=event.features[1:])
    with Fleet(template(), tmp_path) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(events)), "device").run()
        assert (report["n_samples"], report["n_repeated"]) == (30, 0)
        assert fleet.state_sha256(0) == state_sha256(*export_model(model))


def test_a_key_that_no_row_has_is_refused():
    with pytest.raises(SourceError, match="no feature 'machine'"):
        KeySorter("machine").sort(blocks(1)[0])


def serve(tmp_path, events, *extra):
    """Run the command on those rows; return what it printed, and its report."""
    table = tmp_path / "rows.csv"
    report = tmp_path / "report.json"
    with table.open("w") as file:
        rows = csv.writer(file)
        rows.writerow([*NAMES, "kind"])
        rows.writerows([*event.x.values(), event.y] for event in events)
    options = ["--checkpoint", str(tmp_path / "state"), "--report", str(report), "--key", "device"]
    done = CliRunner().invoke(
        main, ["serve", "--source", f"csv:{table}?target=kind", *options, *extra]
    )
    assert done.exit_code == 0, done.output
    return done.output, json.loads(report.read_text())


def test_the_command_starts_from_a_template_and_tells_drifts(tmp_path):
    trained = LOCOClassifier(hidden_sizes=(8,), receptive_fields=3, seed=1)
    X, _ = rows_of(0, 50)
    trained.learn_array(X, X[:, 0] > 0, features=NAMES[1:])
    save(trained, tmp_path / "model.loco")
    told = tmp_path / "told"
    extra = [
        "--template",
        str(tmp_path / "model.loco"),
        "--on-drift",
        f"tee -a {told}",
        "--dashboard",
    ]
    said, report = serve(tmp_path, drifting(), *extra, "--dashboard-port", "0")
    assert "live page: http://127.0.0.1:" in said
    assert {row["n_samples"] for row in report["worst"]} == {350}
    assert [row["key"] for row in report["drifted_lately"]] == [1]
    assert json.loads(told.read_text().splitlines()[0])["key"] == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_command_serves_with_workers(tmp_path):
    pytest.importorskip("ray")
    said, report = serve(tmp_path, drifting(), "--workers", "2", "--set", "hidden_sizes=8")
    assert "2 workers on Ray" in said
    assert (report["n_samples"], report["n_keys"]) == (600, 2)
    assert [row["key"] for row in report["drifted_lately"]] == [1]


def test_the_command_serves_a_fleet(tmp_path):
    events, _ = blocks(2)
    table = tmp_path / "rows.csv"
    lines = [",".join([*NAMES, "kind"])]
    for event in events:
        lines += [
            ",".join(map(str, [*map(float, row), label]))
            for row, label in zip(event.X, event.y, strict=True)
        ]
    table.write_text("\n".join(lines) + "\n")
    report = tmp_path / "report.json"
    options = [
        "--checkpoint",
        str(tmp_path / "state"),
        "--report",
        str(report),
        "--set",
        "hidden_sizes=8",
    ]
    done = CliRunner().invoke(
        main, ["serve", "--source", f"csv:{table}?target=kind", "--key", "device", *options]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(report.read_text())
    assert (found["n_samples"], found["n_keys"]) == (100, 4)
    assert {row["key"] for row in found["worst"]} == {0, 1, 2, 3}
    for extra, text in (
        (["--workers", "2"], "--key"),
        (["--key", "device", "--http", "1"], "--http"),
    ):
        done = CliRunner().invoke(
            main, ["serve", "--source", f"csv:{table}?target=kind", *options, *extra]
        )
        assert done.exit_code == 2
        assert text in done.output


@pytest.mark.parametrize("memory", [None, (1.0, 30.0)])
def test_times_and_events_that_models_do_not_get_are_counted_and_said(tmp_path, memory):
    rows = [
        Sample({"device": 1, "a": float(i)}, "ok", seq=i + 1, t=5.0 * i if i % 2 else np.nan)
        for i in range(6)
    ]
    rows += [Sample({"device": 1, "a": 0.5}, "ok", seq=7, sequence="run 1")]
    with Fleet(LOCOClassifier(16, memory=memory, seed=1), tmp_path) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(rows)), "device").run()
    assert report["n_out_of_time"] == (4 if memory else 0)
    assert any("the id of an event" in note for note in report["notes"]) == bool(memory)
