"""A stream into a fleet."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from loco_stream import Fleet, LOCOClassifier, TaskMonitor
from loco_stream.connectors import CSVSource
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._receiver import Receiver
from loco_stream.connectors.ls1._remote_source import RemoteSources
from loco_stream.engine import _repeated_times
from loco_stream.engine._source_reader import PairSource, SourceReader
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import SourceError
from loco_stream.fleet._key_router import KeyRouter
from loco_stream.fleet._metrics import FleetMetrics
from loco_stream.fleet._rows import KeyRows
from loco_stream.fleet._runner import FleetRunner
from loco_stream.stream import Block, Labels, Sample
from tests.helpers.fleet_process import rows_of, template
from tests.helpers.sinks import Kept

NAMES = ("device", "a", "b", "c")


def blocks(n_blocks=6, n_rows=50):
    """Return blocks of rows of four devices, and the rows of each device in order."""
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


def test_each_row_is_learned_by_the_model_of_its_key(tmp_path):
    events, table = blocks()
    collected = Kept()
    with Fleet(template(), tmp_path) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(events)), "device", [collected]).run()
        assert {key: fleet.state_sha256(key) for key in range(4)} == {
            key: alone(*table[key]) for key in range(4)
        }
    assert report["n_samples"] == len(collected.rows) == 300
    assert {prediction.source for prediction in collected.rows} == {
        f"plant/{key}" for key in range(4)
    }
    assert collected.report == report
    assert {row["key"]: row["n_samples"] for row in report["worst"]} == {
        key: len(table[key][1]) for key in range(4)
    }


def test_a_stream_that_restarts_is_learned_once(tmp_path):
    events, table = blocks()
    for part in (events[:3], events, events[2:]):
        with Fleet(template(), tmp_path) as fleet:
            # as if the process had been killed before it wrote the position
            (tmp_path / "position").unlink(missing_ok=True)
            FleetRunner(fleet, SourceReader(PairSource(part)), "device").run()
    with Fleet(None, tmp_path) as fleet:
        assert [fleet.state_sha256(key) for key in range(4)] == [
            alone(*table[key]) for key in range(4)
        ]


def test_a_resumed_fleet_refuses_another_file(tmp_path):
    path = tmp_path / "rows.csv"

    def run():
        reader = SourceReader(CSVSource(path, "y"))
        with Fleet(template(), tmp_path / "fleet") as fleet:
            return FleetRunner(fleet, reader, "device").run()

    rows = [f"{i % 3},{i % 7},{'ab'[i % 2]}\n" for i in range(400)]
    path.write_text("device,a,y\n" + "".join(rows[:300]))
    assert run()["n_samples"] == 300
    path.write_text("device,a,y\n" + "".join(rows))
    assert run()["n_samples"] == 100
    path.write_text("device,a,y\n" + "".join(rows[::-1]))
    with pytest.raises(SourceError, match="its first 400 rows are different"):
        run()


def test_numbers_of_a_stranger_cost_no_row_of_another_key(tmp_path):
    messages = [{"x": {"device": "honest", "a": 1.0 * i}, "y": "on"} for i in range(20)]
    other = {"x": {"device": "stranger", "a": 1.0}, "y": "on"}
    messages.insert(5, {**other, "seq": 2**62})
    messages.insert(10, {**other, "seq": 3})
    receiver = Receiver(RemoteSources(Limits()))
    events = [receiver.take([b"plant", json.dumps(message).encode()]) for message in messages]
    with Fleet(template(), tmp_path) as fleet:
        for part in (events[:7], events[7:]):
            (tmp_path / "position").unlink(missing_ok=True)
            FleetRunner(fleet, SourceReader(PairSource(part)), "device").run()
        assert [fleet.report(key)["n_samples"] for key in ("honest", "stranger")] == [20, 2]


def numbered_by_devices(n=40):
    """Return rows of three devices behind one source, each of which numbers its own rows."""
    receiver = Receiver(RemoteSources(Limits()))
    X, y = rows_of(0, n)
    rows = [
        {"device": f"d{i % 3}", **dict(zip("abc", row.tolist(), strict=True))}
        for i, row in enumerate(X)
    ]
    messages = [{"x": x, "y": y[i], "seq": i // 3} for i, x in enumerate(rows)]
    return [receiver.take([b"plant", json.dumps(message).encode()]) for message in messages]


def test_rows_of_devices_that_number_them_themselves_form_one_part_per_device():
    events = numbered_by_devices()
    assert len({event.epoch for event in events}) > 10
    parts = KeyRouter("device").route(events)
    assert [(rows.key, len(rows)) for rows in parts] == [("d0", 14), ("d1", 13), ("d2", 13)]
    for k, rows in enumerate(parts):
        numbers = [(event.epoch, event.seq) for event in events[k::3]]
        for same in (rows, KeyRows.decode(rows.encode())):
            assert [same.number(i) for i in range(len(same))] == numbers
        part = rows.part(slice(3, None))
        assert [part.number(i) for i in range(len(part))] == numbers[3:]


def test_a_number_that_is_not_larger_begins_another_part():
    x = {"device": "d", "a": 1.0}
    events = [Sample(x, "on", seq, source="s", epoch=e) for e, seq in [(1, 3), (1, 2), (0, 9)]]
    parts = KeyRouter("device").route(events)
    assert [rows.number(0) for rows in parts] == [(1, 3), (1, 2), (0, 9)]


def test_rows_of_devices_that_number_them_themselves_are_learned_once(tmp_path):
    events = numbered_by_devices()
    collected = Kept()
    for part in (events[:20], events, events[15:]):
        with Fleet(template(), tmp_path / "fleet") as fleet:
            (tmp_path / "fleet" / "position").unlink(missing_ok=True)
            FleetRunner(fleet, SourceReader(PairSource(part)), "device", [collected]).run()
            # as a killed process leaves it: the rows are in the logs alone
            shutil.copytree(tmp_path / "fleet", tmp_path / "killed", dirs_exist_ok=True)
    assert len(collected.rows) == len(events)
    assert {(row.extra["key"], row.epoch, row.seq) for row in collected.rows} == {
        (event.x["device"], event.epoch, event.seq) for event in events
    }
    for folder in ("fleet", "killed"):
        with Fleet(None, tmp_path / folder) as fleet:
            for k in range(3):
                model = template()
                for event in events[k::3]:
                    model.learn_one({name: event.x[name] for name in "abc"}, event.y)
                assert fleet.state_sha256(f"d{k}") == state_sha256(*export_model(model))


def test_rows_and_labels_not_used_are_counted(tmp_path):
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
        runner._router.restore_state([])  # earlier rows had the feature
        report = runner.run()
        assert sorted(fleet.keys(), key=str) == [3, "x"]
    counts = ("n_samples", "n_without_key", "n_unlabelled", "n_pending", "n_orphaned", "n_rejected")
    assert [report[name] for name in counts] == [2, 3, 1, 1, 1, 1]
    assert len(report["notes"]) == 3


def drifting(n=600):
    """Yield single rows of two devices; the labels of the second are swapped in the middle."""
    X = np.random.default_rng(0).normal(size=(n, 3))
    for i, row in enumerate(X.tolist()):
        turned = i % 2 and i > n // 2
        yield Sample(
            {"device": i % 2, **dict(zip("abc", row, strict=True))},
            int((row[0] > 0) != turned),
            i,
            source="s",
        )


def test_a_drift_of_a_key_is_emitted_and_reported(tmp_path, caplog):
    caplog.set_level("INFO", "loco_stream.engine")
    collected = Kept("drift")
    with Fleet(template(), tmp_path, monitor=TaskMonitor(holdout=0)) as fleet:
        report = FleetRunner(
            fleet, SourceReader(PairSource(drifting())), "device", [collected]
        ).run()
    assert {record["key"] for record in collected.records} == {1}
    assert collected.records[0]["source"] == "s/1"
    assert collected.records[0]["seq"] > 300
    lines = [line for line in caplog.messages if "detected at row" in line]
    assert lines  # a line without the key would not show which of the devices has changed
    assert all(line.startswith("s/1: the concept changed") for line in lines)
    (device,) = report["drifted_lately"]
    assert (device["key"], device["drift"]["kind"], report["n_drifted_keys"]) == (1, "drift", 1)
    assert "forgetting" in device


def test_single_rows_of_a_recording_share_commits(tmp_path):
    with Fleet(template(), tmp_path, key_groups=1, checkpoint_every=10**6) as fleet:
        FleetRunner(fleet, SourceReader(PairSource(drifting())), "device").run()
        assert fleet._backend._shard.open(0).commit < 100
        assert fleet.report(0)["n_samples"] == 300


def test_rows_before_an_error_of_the_source_are_learned(tmp_path):
    def broken():
        yield from drifting(20)
        raise SourceError("the file is torn")

    sink = Kept()
    with Fleet(template(), tmp_path) as fleet:
        with pytest.raises(SourceError, match="torn"):
            FleetRunner(fleet, SourceReader(PairSource(broken())), "device", [sink]).run()
        assert fleet.report(0)["n_samples"] == 10
    assert len(sink.rows) == sink.report["n_samples"] == 20  # it was closed, and lost no record


def test_sinks_are_told_of_the_run_before_its_first_row(tmp_path):
    class Told(Kept):
        def begin(self, run):
            assert not self.rows
            self.run = run

    sink = Told()
    with Fleet(template(), tmp_path) as fleet:
        FleetRunner(fleet, SourceReader(PairSource(drifting(20))), "device", [sink]).run()
    assert len(sink.rows) == 20
    assert (sink.run["model"], sink.run["task"]) == ("LOCOClassifier", "classification")
    assert sink.run["parameters"]["hidden_sizes"] == template().hidden_sizes
    assert (sink.run["is_live"], sink.run["checkpoint"]) == (False, None)


def test_a_source_that_cannot_be_resumed_is_closed(tmp_path, monkeypatch):
    class Other(PairSource):
        is_closed = False

        def verify(self, fingerprint):
            raise SourceError("the file is another one")

        def close(self):
            self.is_closed = True

    first = PairSource(drifting(20))
    monkeypatch.setattr(PairSource, "fingerprint", {"rows": 20})
    other = Other(drifting(20))
    with Fleet(template(), tmp_path) as fleet:
        FleetRunner(fleet, SourceReader(first), "device").run()
        with pytest.raises(SourceError, match="another one"):
            FleetRunner(fleet, SourceReader(other), "device").run()
    assert other.is_closed


def test_all_rows_are_learned_when_columns_change_and_change_back(tmp_path):
    """Joining rows with the same columns would make the rows between look repeated."""
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


def test_a_sender_that_repeats_one_time_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(_repeated_times, "_SECONDS", 0.0)
    events, _ = blocks()
    source = PairSource([replace(event, times=np.full(50, 1e9 + 7)) for event in events])
    source.is_live = True
    with Fleet(template(), tmp_path) as fleet:
        report = FleetRunner(fleet, SourceReader(source), "device", []).run()
    assert "source 'plant': the last 300 rows have one time" in "\n".join(report["notes"])


def test_an_outage_of_the_source_is_in_report_and_metrics(tmp_path):
    """A broker that was down showed in the log alone."""

    class Lost(PairSource):
        outage = ""

    source = Lost(blocks()[0])
    metrics = FleetMetrics(0.0)
    with Fleet(template(), tmp_path) as fleet:
        runner = FleetRunner(fleet, SourceReader(source), "device", watchers=[metrics])
        assert runner.status()["outage"] is None
        source.outage = "the broker does not answer"
        assert runner.run()["outage"] == "the broker does not answer"
    families = {family.name: family for family in metrics.collect()}
    assert families["loco_source_outage"].samples[0].value == 1


def test_an_unknown_key_feature_is_refused():
    with pytest.raises(SourceError, match=r"must be a feature of the rows .*, got 'machine'"):
        KeyRouter("machine").route(blocks(1)[0])


@pytest.mark.parametrize("in_blocks", [True, False])
@pytest.mark.parametrize("renamed", [{2}, {0, 1, 2, 3}])
def test_columns_that_come_no_longer_are_logged_and_reported(tmp_path, caplog, renamed, in_blocks):
    rng = np.random.default_rng(0)
    events = []
    for i in range(1200):
        key = i % 4
        name = "Temp" if key in renamed and i >= 600 else "temp"
        row = rng.normal(size=2)
        y = "ab"[int(row[0] > 0)]
        if in_blocks:
            X = np.array([[key, *row]])
            events.append(Block(X, [y], ("device", name, "load"), i, source="plant"))
        else:
            x = {"device": key, name: row[0], "load": row[1]}
            events.append(Sample(x, y, i, source="plant"))
    source = PairSource(events)
    source.is_live = True
    with Fleet(template(), tmp_path / "fleet") as fleet:
        runner = FleetRunner(fleet, SourceReader(source), "device")
        with caplog.at_level("WARNING", "loco_stream.fleet"):
            report = runner.run()
            runner._columns._next_check = 0.0
            runner._columns.log_lost()
    who, n = ("key 2: ", 150) if renamed == {2} else ("", 600)
    sentence = (
        f"{who}column 'temp' came with each of the first {n} rows, and with none of the {n} rows "
        "since, which have 'Temp' instead"
    )
    assert sentence in report["notes"]
    assert sum("came with" in note for note in report["notes"]) == 1
    assert sum("came with" in line for line in caplog.messages) == 1


@pytest.mark.parametrize("memory", [None, (1.0, 30.0)])
def test_times_and_sequence_ids_that_models_do_not_get_are_counted(tmp_path, memory):
    rows = [
        Sample({"device": 1, "a": float(i)}, "ok", seq=i + 1, t=5.0 * i if i % 2 else np.nan)
        for i in range(6)
    ]
    rows += [Sample({"device": 1, "a": 0.5}, "ok", seq=7, sequence="run 1")]
    with Fleet(LOCOClassifier(16, memory=memory, seed=1), tmp_path) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(rows)), "device").run()
    assert report["n_out_of_time"] == (4 if memory else 0)
    assert any("sequence id" in note for note in report["notes"]) == bool(memory)


@pytest.mark.parametrize("key", [1e30, -(2.0**63), 2.0**64, 10**400, np.float32(1e20)])
def test_a_number_beyond_64_bits_is_no_key_and_ends_nothing(tmp_path, key):
    rows = [Sample({"device": key, "a": 1.0}, "on", 0), Sample({"device": 7.0, "a": 1.0}, "on", 1)]
    with Fleet(template(), tmp_path, key_groups=4) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(rows)), "device").run()
        assert (report["n_samples"], report["n_without_key"] + report["n_rejected"]) == (1, 1)
        assert list(fleet.keys()) == [7]
