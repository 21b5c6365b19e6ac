"""Whatever one row raises, it is set aside with the reason and the stream goes on."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from enum import Enum

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._messages import read_message, read_row
from loco_stream.connectors.ls1._receiver import Receiver
from loco_stream.connectors.ls1._remote_source import RemoteSources
from loco_stream.engine import StreamEngine
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.engine._validation import validate_events
from loco_stream.errors import InputError, SourceError
from loco_stream.monitor import TaskMonitor
from loco_stream.stream import MAX_SEQ, Block, Labels, Sample
from tests.helpers.standin import ListSource, Means

LABELS = ("on", "off")
TOO_LARGE = (2**63, 2**64 - 1, 2**64, 10**400, -1, 1.5, "7", None)


class Fragile(Means):
    """Raises at some labels before it learns anything."""

    def learn_one(self, x, y):
        if y == "raise":
            raise ZeroDivisionError("deep inside")
        super().learn_one(x, y)

    def learn_predict_array(self, X, y, features):
        if "raise" in y:
            raise ZeroDivisionError("deep inside")
        return super().learn_predict_array(X, y, features)

    @property
    def n_seen(self):
        return int(self.counts.sum())


def rows(n=20):
    return [Sample({"a": i * 0.1}, LABELS[i % 2], i) for i in range(n)]


def run(commits, folder=None, model=None, **options):
    source = ListSource(commits, needs_log=folder is not None)
    options = {"resume": None, "strict": False, **options}
    engine = StreamEngine(model or Fragile(), source, checkpoint=folder, **options)
    return engine, engine.run()


def sha(engine):
    return state_sha256(*export_model(engine.model))


def quarantined(folder):
    text = (folder / "quarantine.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("seq", TOO_LARGE)
def test_a_number_that_no_log_can_hold_refuses_its_row_alone(tmp_path, seq):
    good = rows()
    clean, _ = run(good)
    dirty, report = run([*good[:9], Sample({"a": 1.0}, "on", seq), *good[9:]], tmp_path)
    assert (report["n_samples"], report["n_rejected"]) == (20, 1)
    assert sha(dirty) == sha(clean)
    assert dirty.source.acked == list(range(1, 22))
    (record,) = quarantined(tmp_path)
    assert "`seq` must be" in record["reason"]
    assert record["y"] == "'on'"
    again, report = run([], tmp_path)
    assert (report["n_samples"], sha(again)) == (20, sha(clean))


@pytest.mark.parametrize("seq", [2**64, 10**400])  # one with bit 63 set is a predict request
def test_no_message_form_carries_such_a_number(seq):
    body = b'{"x": {"a": 1}, "y": "on", "seq": %d}' % seq
    for read in (read_row, read_message):
        with pytest.raises(SourceError):
            read(body)


def test_a_row_without_number_after_the_largest_one_restarts_the_numbers():
    receiver = Receiver(RemoteSources(Limits()))

    def take(row):
        return receiver.take([b"s", json.dumps(row).encode()])

    assert take({"x": {"a": 1}, "y": "on", "seq": MAX_SEQ}).seq == MAX_SEQ
    assert [take({"x": {"a": 1}, "y": "on"}).seq for _ in range(3)] == [0, 1, 2]
    assert receiver.sources.stats["restarts"] == 1


def test_blocks_and_labels_with_such_numbers_are_refused():
    X = np.zeros((2, 1), np.float32)
    events = [
        Block(X, ["on", "off"], ("a",), MAX_SEQ),
        Block(X, ["on", "off"], ("a",), MAX_SEQ - 1),
        Labels([2**63], ["on"]),
        Labels([0], ["on"], seq=2**70),
    ]
    valid = validate_events(events, "classification")
    assert [event.seq for event in valid.events] == [MAX_SEQ - 1]
    assert valid.n_refused == 4


def test_a_complex_label_is_refused_whether_there_is_a_log_or_not():
    valid = validate_events([Sample({"a": 1.0}, 2j), Labels([0], [2j])], "classification")
    assert valid.n_refused == 2
    assert "that is not complex, or true or false, got 2j" in valid.refused[0][1]


class Fault(Enum):
    CRACK = 1
    DENT = 2


UNSTORABLE = [
    date(2026, 5, 1),
    Fault.CRACK,
    frozenset({1}),
    (1, Decimal(2)),
    1 + 2j,
]


@pytest.mark.parametrize("y", UNSTORABLE)
@pytest.mark.parametrize("as_block", [False, True])
def test_a_class_that_no_checkpoint_holds_is_refused_when_its_row_is_read(tmp_path, y, as_block):
    good = rows()
    clean, _ = run(good)
    bad = Sample({"a": 1.0}, y, 99)
    if as_block:
        bad = Block(np.ones((1, 1), np.float32), [y], ("a",), 99)
    dirty, report = run([*good[:9], bad, *good[9:]], tmp_path, durability="off")
    assert (report["n_samples"], report["n_rejected"]) == (20, 1)
    assert sha(dirty) == sha(clean)
    (record,) = quarantined(tmp_path)
    assert record["reason"].startswith("`y` must be a text, a number")
    again, report = run([], tmp_path)
    assert (report["n_samples"], sha(again)) == (20, sha(clean))


def test_such_a_class_is_learned_where_nothing_is_stored_and_else_ends_a_strict_run(tmp_path):
    events = [({"a": float(i % 2)}, [Fault.CRACK, Fault.DENT][i % 2]) for i in range(20)]
    model = LOCOClassifier(hidden_sizes=4, seed=1)
    StreamEngine(model, events).run()
    assert model.classes == (Fault.CRACK, Fault.DENT)
    stored = StreamEngine(LOCOClassifier(hidden_sizes=4, seed=1), events, checkpoint=tmp_path)
    with pytest.raises(InputError, match=r"got <Fault.CRACK: 1> of type Fault$"):
        stored.run()


def other_values(i, **fields):
    return Sample({"a": Decimal(i), "day": date(2026, 5, 1 + i)}, seq=i, **fields)


WAITING = [
    (lambda i: other_values(i, y=Decimal(i % 2)), {"delay": 5}),
    (lambda i: other_values(i, id=Decimal(i)), {}),
    (lambda i: Labels([f"r{i}"], [Decimal(i)], i, by_id=True), {"task": "regression"}),
    (
        lambda i: Block(np.array([[Decimal(i), date(2026, 5, 1)]]), [Decimal(i)], ("a", "day"), i),
        {"delay": 5},
    ),
]


@pytest.mark.parametrize(("make", "options"), WAITING)
@pytest.mark.parametrize("needs_log", [False, True])
def test_decimals_and_dates_that_wait_are_in_a_checkpoint(tmp_path, make, options, needs_log):
    source = ListSource([make(i) for i in range(12)], needs_log=needs_log)
    model = LOCORegressor if "task" in options else LOCOClassifier
    engine = StreamEngine(
        model(hidden_sizes=4, seed=1), source, checkpoint=tmp_path, checkpoint_every=4, **options
    )
    assert engine.run()["n_rejected"] == 0


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"x": {date(2026, 5, 1): 1.0}}, "the name of a feature"),
        ({"sequence": date(2026, 5, 1)}, "`sequence`"),
        ({"extra": {"at": date(2026, 5, 1)}}, "a value of `extra`"),
        ({"t": date(2026, 5, 1)}, "`t`"),
    ],
)
def test_a_row_is_refused_for_what_no_checkpoint_holds(tmp_path, fields, what):
    event = Sample(**{"x": {"a": 1.0}, "y": "on", "seq": 20, **fields})
    _, report = run([*rows(), event], tmp_path)
    assert (report["n_samples"], report["n_rejected"]) == (20, 1)
    (record,) = quarantined(tmp_path)
    assert record["reason"].startswith(f"{what} must be a ")


@pytest.mark.parametrize("y", [b"crack", (1, "dent"), np.str_("crack"), np.int8(3)])
def test_classes_that_a_checkpoint_holds_are_learned(y):
    valid = validate_events([Sample({"a": 1.0}, y)], "classification", is_stored=True)
    assert (len(valid.events), valid.n_refused) == (1, 0)


@pytest.mark.parametrize(
    "event",
    [
        Sample({"a": 1.0}, "\ud800", 3),
        Sample({"\udfff": 1.0}, "on", 3),
        Sample({"a": "x\ud800"}, "on", 3),
        Sample({"a": 1.0}, frozenset({object()}), 3),
        Sample({"a": 1.0}, "on", 3, sequence=object()),
        Sample({"a": 1.0}, "on", 3, t=object()),
        Sample({"a": 1.0}, "on", 3, source=b"\xff", epoch=object()),
    ],
)
def test_what_the_log_cannot_hold_is_set_aside(tmp_path, event):
    good = rows()
    clean, _ = run(good)
    dirty, report = run([[*good[:9], event, *good[9:]]], tmp_path)
    assert (report["n_samples"], report["n_rejected"]) == (20, 1)
    assert sha(dirty) == sha(clean)
    assert len(quarantined(tmp_path)) == 1


def test_every_row_of_a_block_whose_label_is_bad_is_kept_with_its_own_reason(tmp_path):
    labels = ["on", [1], "off", 2**70, "on"]
    commits = [block_of(labels), Sample({"a": 1.0}, None, 5), Labels([5], [2**71])]
    _, report = run(commits, tmp_path)
    assert (report["n_samples"], report["n_rejected"]) == (3, 3)
    first, second, late = quarantined(tmp_path)
    assert [first["seq"], second["seq"], late["of"]] == ["1", "3", "[5]"]
    assert "got list" in first["reason"]
    assert str(2**70)[:9] in second["reason"]
    assert str(2**71)[:9] in late["reason"]


def test_a_validation_that_raises_refuses_one_row(tmp_path):
    class Row(dict):
        def items(self):
            raise RuntimeError("no items today")

    _, report = run([*rows(), Sample(Row(a=1.0), "on", 20)], tmp_path)
    assert (report["n_samples"], report["n_rejected"]) == (20, 1)
    with pytest.raises(InputError, match="no items today"):
        run([Sample(Row(a=1.0), "on", 20)], strict=True)


@pytest.mark.parametrize("form", ["samples", "block"])
def test_a_row_that_the_model_cannot_learn_is_set_aside(tmp_path, form):
    labels = ["raise" if i == 7 else LABELS[i % 2] for i in range(20)]
    commits = [Sample({"a": i * 0.1}, y, i) for i, y in enumerate(labels)]
    if form == "block":
        X = np.array([[i * 0.1] for i in range(20)], np.float32)
        commits = [Block(X, labels, ("a",))]
    clean, _ = run([row for i, row in enumerate(rows()) if i != 7])
    dirty, report = run(commits, tmp_path)
    assert (report["n_samples"], report["n_rejected"]) == (19, 1)
    assert report["skipped"] == {"failed": 1}
    (record,) = quarantined(tmp_path)
    assert (record["reason"], record["seq"]) == ("ZeroDivisionError: deep inside", "7")
    if form == "samples":
        assert sha(dirty) == sha(clean)
    assert any("quarantine.jsonl" in note for note in report["notes"])


def block_of(labels):
    X = np.array([[i * 0.1] for i in range(len(labels))], np.float32)
    return Block(X, labels, ("a",))


@pytest.mark.parametrize("label", ["raise", "refuse me"])
def test_rows_before_one_that_fails_are_learned_once_amid_rows_that_are_held_out(label):
    """A part with rows that are held out is learned in several calls, and a later one fails."""
    labels = [label if i == 100 else LABELS[i % 2] for i in range(200)]
    samples = [Sample({"a": x}, labels[i], i) for i, (x,) in enumerate(block_of(labels).X.tolist())]
    by_row, rows_report = run(samples, monitor=TaskMonitor(holdout=50, share=0.2))
    by_block, report = run([block_of(labels)], monitor=TaskMonitor(holdout=50, share=0.2))
    for name in ("accuracy", "accuracy_matrix", "tasks", "skipped", "n_held_out"):
        assert report[name] == rows_report[name]
    assert sha(by_block) == sha(by_row)
    assert (report["n_samples"], report["n_rejected"]) == (199, 1)
    assert by_block.model.n_seen == report["n_samples"] - report["n_held_out"]


@pytest.mark.parametrize("n_done", [0, 3])
def test_rows_that_a_failed_call_has_learned_are_not_learned_again(tmp_path, n_done):
    class Halting(Fragile):
        def learn_predict_array(self, X, y, features):
            if "halt" in y:
                super().learn_predict_array(X[:n_done], y[:n_done], features)
                raise ZeroDivisionError("deep inside")
            return super().learn_predict_array(X, y, features)

    labels = ["halt" if i == 5 else LABELS[i % 2] for i in range(10)]
    engine, report = run([block_of(labels)], tmp_path, Halting())
    n_lost = 10 if n_done else 0  # which rows the model knows cannot be told
    assert (report["n_samples"], report["n_rejected"]) == (10 - n_lost, n_lost)
    assert engine.model.n_seen == (n_done or 10)


class Breaking(TaskMonitor):
    """Takes rows one by one, and raises at one of them, which the model has learned already."""

    error: type[Exception]

    def update_rows(self, *group):
        return False

    def update_row(self, rows, i, y, y_pred, index):
        if index == 100 and rows.X[i, 0] < 10.05:
            raise self.error("deep inside")
        return super().update_row(rows, i, y, y_pred, index)


@pytest.mark.parametrize("error", [ZeroDivisionError, InputError])
def test_rows_of_a_part_whose_examination_raises_are_counted_once(tmp_path, error):
    monitor = Breaking(holdout=50, share=0.2)
    monitor.error = error
    engine, report = run([block_of([LABELS[i % 2] for i in range(200)])], tmp_path, monitor=monitor)
    assert (report["n_samples"], report["n_rejected"]) == (172, 28)
    (record,) = quarantined(tmp_path)
    assert (record["seq"], record["rows"]) == ("100", 28)
    held = sum(len(segment.hold.rows) for segment in monitor._timeline.segments)
    assert report["n_held_out"] == held
    n_held_of_lost = 200 - held - engine.model.n_seen
    assert 0 <= n_held_of_lost < 28


def test_a_replay_sets_the_same_rows_aside_as_the_run_did(tmp_path):
    commits = [Sample({"a": i * 0.1}, "raise" if i % 5 == 2 else "on", i) for i in range(20)]
    source = ListSource(commits, needs_log=True)
    first = StreamEngine(Fragile(), source, checkpoint=tmp_path, strict=False)
    first._finish = lambda: None  # killed: the log alone holds the rows
    first.run()
    again, report = run([], tmp_path)
    assert sha(again) == sha(first)
    assert (report["n_samples"], report["n_rejected"], report["n_set_aside"]) == (16, 4, 0)


def test_a_strict_run_ends_at_the_row():
    with pytest.raises(ZeroDivisionError):
        run([Sample({"a": 1.0}, "raise")], strict=True)


def test_a_label_whose_row_cannot_be_learned_is_set_aside():
    commits = [Sample({"a": 0.5}, None, i) for i in range(3)]
    _, report = run([*commits, Labels([0, 1, 2], ["on", "raise", "off"])])
    assert (report["n_samples"], report["n_rejected"]) == (2, 1)


def test_an_alarm_is_raised_when_every_row_fails():
    _, report = run([Sample({"a": 1.0}, "raise", i) for i in range(100)])
    assert "the last 100 rows failed: ZeroDivisionError" in report["alarm"]
    _, report = run([*(Sample({"a": 1.0}, "raise", i) for i in range(100)), *rows(1)])
    assert report["alarm"] is None


def test_a_position_that_cannot_be_stored_does_not_end_the_run(tmp_path):
    class Odd(ListSource):
        @property
        def position(self):
            return {"commit": self._next, "odd": 2**64 if self._next == 3 else 0}

    engine = StreamEngine(Fragile(), Odd(rows(), needs_log=True), checkpoint=tmp_path, strict=False)
    report = engine.run()
    assert report["n_samples"] == 20
    assert any("a position cannot be stored" in note for note in report["notes"])


def test_the_file_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("loco_stream.engine._quarantine.MAX_BYTES", 1000)
    bad = [Sample({"a": 1e31}, "on", i) for i in range(50)]
    _, report = run(bad, tmp_path)
    assert report["n_rejected"] == 50
    assert 500 < (tmp_path / "quarantine.jsonl").stat().st_size <= 1000
