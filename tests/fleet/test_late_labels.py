"""Late labels and prediction requests: a fleet equals one engine per device."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loco_stream import (
    Fleet,
    LOCOClassifier,
    LOCOMultiTargetRegressor,
    LOCORegressor,
    StreamEngine,
    TaskMonitor,
)
from loco_stream._persistence.format import decode_plain, encode_plain
from loco_stream.connectors import open_sink
from loco_stream.engine._row_ids import COUNTERS
from loco_stream.engine._source_reader import PairSource, SourceReader
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.fleet._key_router import KeyRouter
from loco_stream.fleet._runner import FleetRunner
from loco_stream.stream import Block, Labels, PredictRequest, Sample, Sink
from tests.helpers.fleet_process import discard_models, rows_of, template

NAMES = ("device", "a", "b", "c")


class RequestSource(PairSource):
    """A recording of events that keeps the replies."""

    def __init__(self, events):
        super().__init__(events)
        self.replies = []

    def reply(self, event, values, classes):
        self.replies.append((event.tag, np.array(values), list(classes)))


class Collector(Sink):
    """A sink that keeps predictions."""

    def __init__(self):
        self.rows = []

    def write(self, prediction):
        self.rows.append((prediction.source, prediction.seq, prediction.y_pred, prediction.y))

    def close(self, report):
        pass


def classes_of(X, y):
    return y


def numbers_of(X, y):
    return X[:, 0].tolist()


def targets_of(X, y):
    """Return two targets per row, of which every fifth row lacks one."""
    pairs = [{"heat": float(a + b), "flow": float(c)} for a, b, c in X]
    return [{"heat": y["heat"]} if i % 5 == 4 else y for i, y in enumerate(pairs)]


def stream(n_blocks=12, n_rows=20, named=False, label=classes_of):
    """Return blocks of three devices, every second one without labels.

    The labels of half of these blocks arrive later, in random order.
    """
    events = []
    labels = []
    for number in range(n_blocks):
        X, y = rows_of(number, n_rows)
        labels.append(label(X, y))
        y = labels[-1]
        device = np.arange(n_rows) % 3
        table = np.column_stack([device, X]).astype(np.float32)
        seq = number * 100
        late = number % 2
        if named:
            rows = [dict(zip(NAMES, map(float, row), strict=True)) for row in table]
            events += [
                Sample(x, None if late else y[i], seq + i, source="plant")
                for i, x in enumerate(rows)
            ]
        else:
            events.append(Block(table, None if late else y, NAMES, seq, source="plant"))
        if number % 4 == 3:
            order = np.random.default_rng(number).permutation(n_rows).tolist()
            of = [seq - 200 + i for i in order]
            late_labels = [labels[number - 2][i] for i in order]
            events.append(Labels(of, late_labels, seq=seq + 50, source="plant"))
    return events


def of_device(events, device):
    """Return the events of one device, without the feature that holds the key."""
    mine = set()
    kept = []
    for event in events:
        if isinstance(event, Block):
            rows = np.flatnonzero(event.X[:, 0] == device)
            mine |= {event.seq + int(i) for i in rows}
            for i in rows:
                y = None if event.y is None else [event.y[i]]
                kept.append(
                    Block(
                        event.X[i : i + 1, 1:],
                        y,
                        NAMES[1:],
                        event.seq + int(i),
                        source=event.source,
                    )
                )
        elif isinstance(event, Sample):
            if event.x["device"] == device:
                mine.add(event.seq)
                x = {name: event.x[name] for name in NAMES[1:]}
                kept.append(Sample(x, event.y, event.seq, source=event.source))
        else:
            pairs = [(of, y) for of, y in zip(event.of, event.y, strict=True) if of in mine]
            kept.append(Labels(*zip(*pairs, strict=True), source=event.source))
    return kept


def alone(model, events, device):
    """Run one device through an engine; return digest, predictions and report."""
    collected = Collector()
    engine = StreamEngine(model, RequestSource(of_device(events, device)), [collected])
    report = engine.run()
    return state_sha256(*export_model(engine.model)), collected.rows, report.to_dict()


def several():
    return LOCOMultiTargetRegressor(hidden_sizes=8, seed=1)


MODELS = {
    "classifier": (template, classes_of),
    "memory": (lambda: LOCOClassifier(hidden_sizes=8, memory=(0.5, 20.0), seed=1), classes_of),
    "regressor": (lambda: LOCORegressor(hidden_sizes=8, seed=1), numbers_of),
    "targets": (several, targets_of),
}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_late_labels_are_learned_as_by_one_engine_per_device(tmp_path, name, named):
    make, label = MODELS[name]
    events = stream(named=named, label=label)
    collected = Collector()
    scores = ("accuracy",) if label is classes_of else ("mae", "window_mae")
    monitor = TaskMonitor(holdout=0, problem="regression" if "mae" in scores else "classification")
    with Fleet(make(), tmp_path, max_resident=2, monitor=monitor) as fleet:
        report = FleetRunner(
            fleet, SourceReader(RequestSource(events)), "device", [collected]
        ).run()
        for device in range(3):
            digest, told, found = alone(make(), events, device)
            assert fleet.state_sha256(device) == digest
            assert [row[1:] for row in collected.rows if row[0] == f"plant/{device}"] == [
                row[1:] for row in told
            ]
            own = fleet.report(device)
            for score in ("n_samples", *scores):
                assert own[score] == found[score]
            if label is targets_of:
                assert own["per_target"]["flow"]["mae"] == found["per_target"]["flow"]["mae"]
    labels = sum(len(event.of) for event in events if isinstance(event, Labels))
    assert (report["n_unlabelled"], report["n_orphaned"], report["n_expired"]) == (120, 0, 0)
    assert report["n_samples"] == 120 + labels
    assert report["n_pending"] == 120 - labels


@pytest.mark.parametrize("name", ["classifier", "targets"])
def test_rows_with_late_labels_are_learned_once(tmp_path, name):
    """The stream restarts at several points, as after kills between log and position."""
    make, label = MODELS[name]
    events = stream(label=label)
    for cut in (3, 5, 9, len(events)):
        with Fleet(make(), tmp_path, max_resident=1, checkpoint_every=30) as fleet:
            (tmp_path / "position").unlink(missing_ok=True)
            FleetRunner(fleet, SourceReader(RequestSource(events[:cut])), "device").run()
            discard_models(fleet)
    with Fleet(None, tmp_path) as fleet:
        for device in range(3):
            assert fleet.state_sha256(device) == alone(make(), events, device)[0]


def test_pending_rows_survive_a_restart(tmp_path):
    events = stream()
    for end in (2, 4, 9, len(events)):  # a recording continues where it was acknowledged
        with Fleet(template(), tmp_path) as fleet:
            report = FleetRunner(fleet, SourceReader(RequestSource(events[:end])), "device").run()
            assert report["n_orphaned"] == 0
    with Fleet(None, tmp_path) as fleet:
        assert fleet.n_repeated == 0
        for device in range(3):
            assert fleet.state_sha256(device) == alone(template(), events, device)[0]


def test_requests_are_predicted_by_the_model_of_each_row(tmp_path):
    events = [event for event in stream(4) if isinstance(event, Block) and event.y is not None]
    X, _ = rows_of(99, 4)
    keys = np.array([0, 2, 7, math.nan], np.float32)  # known, known, unknown, none
    ask = PredictRequest(
        np.column_stack([keys, X]).astype(np.float32), NAMES, source="plant", tag="me"
    )
    keyless = PredictRequest(X, NAMES[1:], source="plant", tag="nobody")
    source = RequestSource([*events, ask, keyless])
    with Fleet(template(), tmp_path) as fleet:
        report = FleetRunner(fleet, SourceReader(source), "device").run()
        (tag, values, classes), (_, none, _) = source.replies
        assert (tag, report["n_asked"], report["n_without_key"]) == ("me", 8, 5)
        for row, key in ((0, 0), (1, 2)):
            model = fleet.model(key)
            table = model.predict_proba_array(X[row : row + 1], in_stream=False)
            expected = dict(zip(model.classes, table[0].astype(np.float32), strict=True))
            assert dict(zip(classes, values[row], strict=True)) == expected
        assert not values[2:].any()
        assert none.shape == (4, 0)


def test_requests_for_several_targets_have_a_column_per_target(tmp_path):
    X, _ = rows_of(99, 3)
    rows = [Sample({"device": 0, "a": 1.0, "b": 0.0, "c": 0.0}, {"heat": 2.0}, 0, source="plant")]
    rows += [Sample({"device": 1, "a": 1.0, "b": 0.0, "c": 0.0}, {"flow": 7.0}, 1, source="plant")]
    table = np.column_stack([[0, 1, 2], X]).astype(np.float32)
    source = RequestSource([*rows, PredictRequest(table, NAMES, source="plant", tag="me")])
    with Fleet(several(), tmp_path) as fleet:
        FleetRunner(fleet, SourceReader(source), "device").run()
        expected = [fleet.predict(key, X[key : key + 1], NAMES[1:])[0] for key in (0, 1)]
    ((_, values, targets),) = source.replies
    assert targets == ["heat", "flow"]
    assert values[0, 0] == np.float32(expected[0]["heat"])
    assert values[1, 1] == np.float32(expected[1]["flow"])
    assert np.isnan(values).tolist() == [[False, True], [True, False], [True, True]]


def test_replies_to_tagged_blocks_are_made_before_the_rows_are_learned(tmp_path):
    events = [event for event in stream(6) if isinstance(event, Block) and event.y is not None]
    tagged = [
        Block(event.X, event.y, NAMES, event.seq, source="plant", tag=event.seq) for event in events
    ]
    source = RequestSource(tagged)
    collected = Collector()
    with Fleet(template(), tmp_path) as fleet:
        FleetRunner(fleet, SourceReader(source), "device", [collected]).run()
        for device in range(3):
            assert fleet.state_sha256(device) == alone(template(), events, device)[0]
    assert [tag for tag, _, _ in source.replies] == [event.seq for event in events]
    predicted = {seq: y_pred for _, seq, y_pred, _ in collected.rows}
    for tag, values, classes in source.replies[1:]:
        assert [classes[j] for j in values.argmax(axis=1)] == [
            predicted[tag + i] for i in range(len(values))
        ]


def test_rows_without_a_label_expire(tmp_path):
    router = KeyRouter("device", capacity=10)
    events = [Sample({"device": 1, "a": float(i)}, None, i, source="s") for i in range(25)]
    with Fleet(template(), tmp_path) as fleet:
        fleet.process(router.route(events))
        assert (len(router), router.n_expired) == (10, 15)
        assert len(fleet._backend._shard.find(1).pending) == 10
        fleet.process(router.route([Labels([3, 20], ["ok", "ok"], source="s")]))
        assert (len(router), router.n_orphaned) == (9, 1)
        assert fleet.report(1)["n_samples"] == 1


def test_no_row_of_a_single_key_is_lost_while_it_may_wait(tmp_path):
    n = 10_100
    X = np.column_stack([np.ones(n), np.arange(n) % 2]).astype(np.float32)
    router = KeyRouter("device")
    model = LOCOClassifier(hidden_sizes=(1,), seed=1)
    with Fleet(model, tmp_path) as fleet:
        fleet.process(router.route([Block(X, None, ("device", "a"), source="s")]))
        assert (len(router), router.n_expired) == (n, 0)
        labels = ["ok"] * 200
        fleet.process(router.route([Labels(range(200), labels, source="s")]))
        assert fleet.report(1)["n_samples"] == 200


def slowly(events):
    for event in events:
        time.sleep(0.004)
        yield event


def serve(folder, n_blocks, name):
    """Learn the stream from where it was acknowledged; the killed processes call this."""
    make, label = MODELS[name]
    with Fleet(
        make(), folder, max_resident=2, checkpoint_every=500, durability="interval:0.2s"
    ) as fleet:
        print("open", flush=True)
        report = FleetRunner(
            fleet, SourceReader(PairSource(slowly(stream(n_blocks, label=label)))), "device"
        ).run()
        print(report["n_rejected"], report["n_pending"], flush=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["classifier", "targets"])
def test_kills_with_pending_labels_change_no_model(tmp_path, processes, name):
    make, label = MODELS[name]
    rng = random.Random(7)
    n_blocks = 240
    code = (
        "import sys; from tests.fleet.test_late_labels import serve; "
        "serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])"
    )
    for kill in (True, True, True, False):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(n_blocks), name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        processes.append(process)
        assert "open" in process.stdout.readline()
        if kill:
            time.sleep(rng.uniform(0.3, 2.0))
            process.kill()
        output, _ = process.communicate(timeout=300)
    assert output.split() == ["0", "1200"]  # labels of 60 of 120 blocks arrive
    events = stream(n_blocks, label=label)
    with Fleet(None, tmp_path) as fleet:
        for device in range(3):
            assert fleet.state_sha256(device) == alone(make(), events, device)[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", ["classifier", "targets"])
def test_late_labels_and_requests_with_workers(tmp_path, name):
    pytest.importorskip("ray")
    make, label = MODELS[name]
    events = stream(label=label)
    X, _ = rows_of(99, 2)
    ask = PredictRequest(
        np.column_stack([[0, 1], X]).astype(np.float32), NAMES, source="plant", tag="me"
    )
    replies = []
    for workers in (0, 2):
        source = RequestSource([*events, ask])
        with Fleet(make(), tmp_path / str(workers), workers) as fleet:
            report = FleetRunner(fleet, SourceReader(source), "device").run()
            assert report["n_samples"] == 120 + 60
            for device in range(3):
                assert fleet.state_sha256(device) == alone(make(), events, device)[0]
        replies.append(source.replies)
    assert replies[0][0][2] == replies[1][0][2]
    assert np.array_equal(replies[0][0][1], replies[1][0][1])


def test_predictions_of_a_fleet_carry_what_joins_them(tmp_path):
    def row(i, y=None):
        device = f"press {i % 2}"
        extra = {"entry": f"{i}-0", "keep": {"order": i}}
        return Sample({"device": device, "a": float(i)}, y, i, 5.0 + i, "s", id=i, extra=extra)

    events = [row(0), row(1), Labels([2, "1"], ["ok", "worn"], source="late", by_id=True), row(2)]
    events += [row(1), row(3, "ok")]
    events += [Labels([1, 0, 99], ["ok", "worn", "ok"], source="late", by_id=True)]
    out = tmp_path / "out.jsonl"
    with Fleet(template(), tmp_path / "fleet") as fleet:
        sinks = [open_sink(f"jsonl:{out}?only=prediction")]
        report = FleetRunner(fleet, SourceReader(RequestSource(events)), "device", sinks).run()
    records = [json.loads(line) for line in out.read_text().splitlines()]
    said = [(record["id"], record.get("label")) for record in records]
    assert [row for row in said if row[1] is None] == [(0, None), (2, None), (1, None)]
    assert sorted(row for row in said if row[1]) == [(0, "worn"), (1, "worn"), (2, "ok"), (3, "ok")]
    for record in records:
        i = record["id"]
        assert (record["key"], record["source"]) == (f"press {i % 2}", f"s/press {i % 2}")
        assert (record["entry"], record["keep"], record["t"]) == (f"{i}-0", {"order": i}, 5.0 + i)
    assert (report["n_samples"], report["n_pending"]) == (4, 0)
    counts = {name: report[name] for name in COUNTERS if report[name]}
    assert counts == {"n_labels_early": 2, "n_labels_repeated": 1, "n_rows_repeated": 1}
    assert any("the last id: 99" in note for note in report["notes"])


def test_a_label_that_is_repeated_before_its_row_is_learned_once(tmp_path):
    """After a crash, two topics of a broker may come in another order than before."""
    row = Sample({"device": "p", "a": 1.0}, None, 0, source="s", id=7)
    label = Labels([7], ["ok"], source="late", by_id=True)
    with Fleet(template(), tmp_path) as fleet:
        for events, n_learned in (([row], 0), ([label, row], 1), ([row, label], 1)):
            fleet.process(KeyRouter("device").route(events))  # the router of the time before
            assert fleet.report("p")["n_samples"] == n_learned


def test_early_labels_and_used_ids_survive_a_restart():
    row = Sample({"device": "p", "a": 1.0}, None, 0, source="s", id=7, extra={"entry": "e"})
    router = KeyRouter("device")
    router.route([row, Labels([8], ["early"], source="late", by_id=True)])
    again = KeyRouter("device")
    again.restore_state(decode_plain(encode_plain(router.export_state())))
    new, late = again.route([row, replace(row, id=8, seq=1)])
    assert (new.kind, list(new.seq)) == ("observe", [1])
    assert (late.kind, late.y, list(late.seq)) == ("labels", ["early"], [1])
    (found,) = again.route([Labels([7], ["late"], source="late", by_id=True)])
    assert (found.y, found.infos[0].id, found.infos[0].extra) == (["late"], 7, {"entry": "e"})
    assert again.ids.counts["n_rows_repeated"] == 1


def test_a_waiting_row_is_encoded_once_however_often_it_is_stored():
    row = Sample({"device": "p", "a": 1.0}, None, 0, source="s", id=7, extra={"entry": "e"})
    router = KeyRouter("device")
    router.route([row])
    (first,) = router.export_state()["pending"]
    router.route([replace(row, id=8, seq=1)])
    assert router.export_state()["pending"][0] is first
    assert decode_plain(bytes(first))[:4] == ["s", 0, 0, "p"]


def test_labels_find_the_rows_of_their_keys_by_id():
    router = KeyRouter("device")
    rows = [Sample({"device": f"p{i % 2}", "a": i}, None, i, source="s", id=i) for i in range(4)]
    router.route(rows)
    again = KeyRouter("device")
    again.restore_state(decode_plain(encode_plain(router.export_state())))
    found = again.route([Labels(["3", 0, 9], ["x", "y", "z"], source="labels", by_id=True)])
    assert [(part.key, part.source, list(part.y), list(part.seq)) for part in found] == [
        ("p1", "s", ["x"], [3]),
        ("p0", "s", ["y"], [0]),
    ]
    assert (len(again), again.n_orphaned, again.ids.counts["n_labels_early"]) == (2, 0, 1)
