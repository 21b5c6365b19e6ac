"""Labels that find their rows by id: early, late, repeated and unknown; one state after a crash."""

from __future__ import annotations

import logging

import pytest

from loco_stream import LOCOClassifier, LOCORegressor, StreamEngine, TaskMonitor
from loco_stream.engine._codec import decode_commit, encode_commit
from loco_stream.engine._pending import PendingRows
from loco_stream.engine._row_ids import RowIds
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.stream import Labels, Sample, Source


class Script(Source):
    """A source that yields given commits, each an event."""

    name = "script"
    guarantee = "exactly once (resumes from the number)"
    labels_from = "the field 'kind'"

    def __init__(self, events, n=None):
        self.events = events
        self.n = len(events) if n is None else n
        self.at = 0

    @property
    def position(self):
        return {"at": self.at}

    def seek(self, position):
        self.at = position["at"]

    def __iter__(self):
        while self.at < self.n:
            self.at += 1
            yield self.events[self.at - 1]


def row(i, y=None, **more):
    return Sample({"a": float(i % 2), "b": float(i % 3)}, y, i, source="rows", id=i, **more)


def label(row_id, y):
    return Labels([row_id], [y], source="labels", by_id=True)


def model(seed=1):
    return LOCOClassifier(hidden_sizes=(4,), seed=seed)


def run(events, **options):
    engine = StreamEngine(model(), Script(events), **options)
    return engine, engine.run().to_dict()


def kinds(i):
    return ("even", "odd")[i % 2]


def test_labels_find_their_rows_whatever_the_type_of_the_id():
    events = [row(1), row(2), label("1", "odd"), label(2.0, "even")]
    _, report = run(events)
    assert (report["n_rows"], report["n_samples"], report["n_pending"]) == (2, 2, 0)


def test_an_early_label_waits_for_its_row():
    engine, report = run([label(1, "odd"), row(1), row(2, "even")])
    assert (report["n_samples"], report["n_labels_early"], report["n_pending"]) == (2, 1, 0)
    assert engine.model.classes == ("odd", "even")


def test_repeated_late_and_unknown_labels_are_counted_and_reported():
    events = [row(1), label(1, "odd"), label(1, "odd"), row(2), row(3), label(2, "even")]
    _, report = run([*events, label(77, "odd")], max_pending=1)
    assert report["n_labels_repeated"] == 1
    assert report["n_labels_late"] == 1  # row 3 displaced row 2
    assert report["n_labels_early"] == 1
    notes = " ".join(report["notes"])
    assert "labels that came again and were not learned twice: 1; the last id: 1" in notes
    assert "labels that came after their row was dropped: 1; the last id: 2" in notes
    assert "labels wait for rows that have not come: 1; the last id: 77" in notes


def test_an_early_label_of_a_row_that_brings_its_own_is_counted():
    engine, report = run([label(1, "odd"), row(1, "even"), row(2, "even")])
    assert (report["n_samples"], report["n_labels_repeated"]) == (2, 1)
    assert engine.model.classes == ("even",)
    assert "labels wait" not in " ".join(report["notes"])


def test_early_labels_are_given_up_after_their_age():
    ids = RowIds(capacity=10, max_age=60.0)
    assert ids.find(5, "ok", now=0.0) is None
    ids.expire(59.0)
    assert (len(ids.export_state()["early"]), ids.counts["n_labels_unknown"]) == (1, 0)
    ids.expire(61.0)
    assert (len(ids.export_state()["early"]), ids.counts["n_labels_unknown"]) == (0, 1)


def test_memory_is_bounded():
    ids = RowIds(capacity=5, max_age=60.0)
    for i in range(100):
        ids.find(i, "ok", now=0.0)
        ids.end(f"row {i}", learned=True)
    assert len(ids.export_state()["early"]) == 5
    assert len(ids.export_state()["used"]) == 5


def test_a_row_that_repeats_an_id_is_not_learned_twice():
    events = [row(1, "odd"), row(1, "odd"), row(2), row(2), label(2, "even")]
    _, report = run(events)
    assert (report["n_samples"], report["n_rows_repeated"]) == (2, 2)


def test_predictions_carry_id_entry_and_kept_fields():
    engine = StreamEngine(model(), Script([row(7, extra={"entry": "3-0", "keep": {"press": 2}})]))
    records = []
    engine.on("prediction", records.append)
    engine.run()
    (record,) = records
    assert (record["id"], record["entry"], record["keep"]) == (7, "3-0", {"press": 2})


def test_a_late_label_emits_the_record_of_its_row_again_with_the_label():
    engine = StreamEngine(model(), Script([row(7), label(7, "odd")]))
    records = []
    engine.on("prediction", records.append)
    engine.run()
    assert [(r["id"], r.get("label")) for r in records] == [(7, None), (7, "odd")]


def test_the_log_holds_ids_and_extras():
    events = [
        row(7, extra={"entry": "1-0"}),
        label(7, "odd"),
        Labels([3], ["odd"], 4, "rows", 1),
        Sample({"a": 1.0}, "odd", 3),
    ]
    found, _, _ = decode_commit(encode_commit(events, {}, 0.0))
    assert [e.by_id for e in found if isinstance(e, Labels)] == [True, False]
    assert (found[0].id, found[0].extra, found[3].id) == (7, {"entry": "1-0"}, None)


@pytest.mark.parametrize("stopped_at", range(1, 12, 3))
def test_a_resumed_run_equals_one_that_was_not_stopped(tmp_path, stopped_at):
    events = [label(3, "odd"), row(1), row(2), label(1, "odd"), row(3), label(2, "even"), row(4)]
    events += [label(2, "even"), row(5, "odd"), row(6), label(6, "even"), label(4, "even")]
    whole, expected = run(events)
    first = StreamEngine(model(), Script(events, stopped_at), checkpoint=tmp_path)
    first.run()
    second = StreamEngine(model(), Script(events), checkpoint=tmp_path, resume=True)
    report = second.run().to_dict()
    for key in ("n_rows", "n_samples", "n_labels_early", "n_labels_repeated", "n_pending"):
        assert report[key] == expected[key], key
    assert state_sha256(*export_model(second.model)) == state_sha256(*export_model(whole.model))


def test_pending_rows_keep_their_ids_in_a_checkpoint():
    engine, _ = run([row(1), row(2)])
    state = engine._trainer.pending.export_state()
    again = PendingRows()
    again.restore_state(state)
    assert again.ids.find("2", "even", 0.0) == ("rows", 0, 2)


# The task of the first label


def late_value(i):
    return label(i, i + 0.5)


def choosing(task):
    kind = LOCORegressor if task == "regression" else LOCOClassifier
    return kind(hidden_sizes=(4,), seed=1), TaskMonitor(holdout=0, problem=task)


def test_the_first_label_chooses_the_model_and_no_row_is_lost():
    events = [row(i) for i in range(20)] + [late_value(i) for i in range(20)]
    events += [row(20), late_value(20)]  # predicted by the regressor: the first row to be scored
    engine = StreamEngine(model(), Script(events), choose=choosing)
    report = engine.run().to_dict()
    assert isinstance(engine.model, LOCORegressor)
    assert (report["task"], report["n_samples"], report["n_pending"]) == ("regression", 21, 0)
    assert report["mae"] is not None


def test_the_chosen_model_survives_a_restart(tmp_path):
    events = [row(i) for i in range(20)] + [late_value(i) for i in range(20)]
    options = {"checkpoint": tmp_path, "settings": {"task": None}, "choose": choosing}
    StreamEngine(model(), Script(events, 30), **options).run()
    settings = {"task": "regression"}
    again = StreamEngine(
        choosing("regression")[0],
        Script(events),
        checkpoint=tmp_path,
        resume=True,
        settings=settings,
    )
    assert again.run()["n_samples"] == 20


def test_while_no_label_has_come_status_report_and_log_say_what_is_missing(caplog):
    events = [Sample({"speed": 1.0, "kind2": "ok"}, None, i) for i in range(1001)]
    engine = StreamEngine(model(), Script(events))
    seen = []
    engine.on("status", seen.append)
    with caplog.at_level(logging.WARNING, "loco_stream.engine"):
        report = engine.run().to_dict()
    sentence = (
        "no label has come in 1,001 rows; the rows have the fields speed, kind2; labels are "
        "expected in the field 'kind'"
    )
    assert engine.status["waiting_for"] == sentence
    assert sentence in report["notes"]
    assert (report["n_rows"], report["n_samples"]) == (1001, 0)
    warned = [r for r in caplog.records if "no label has come in 1,000 rows" in r.getMessage()]
    assert len(warned) == 1
