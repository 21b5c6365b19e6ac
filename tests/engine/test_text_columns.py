"""Columns of ids, times and numbers written as texts are left out and reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from loco_stream import LOCOClassifier, StreamEngine
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.engine._text_columns import TextColumns
from loco_stream.stream import Block, Sample
from tests.engine.test_row_ids import Script


def rows(n, **columns):
    return [
        Sample({"a": float(i % 2), **{name: make(i) for name, make in columns.items()}}, i % 2, i)
        for i in range(n)
    ]


def run(events, **options):
    source = Script(events)
    source.used = options.pop("used", ())
    engine = StreamEngine(LOCOClassifier(hidden_sizes=(4,), seed=1), source, **options)
    return engine, engine.run().to_dict()


def notes(report):
    return [note for note in report["notes"] if "is left out" in note]


def test_times_are_left_out_from_the_first_row():
    engine, report = run(rows(10, at=lambda i: f"2026-05-04T10:00:{i:02d}Z"))
    assert engine.model.features == ("a",)
    assert notes(report) == [
        "column 'at' is left out: its texts are times, as '2026-05-04T10:00:00Z'"
    ]


def test_ids_are_left_out_once_they_are_nearly_all_distinct():
    _, report = run(rows(200, order=lambda i: f"order {i}"))
    (note,) = notes(report)
    assert note == (
        "column 'order' is left out: 50 of its first 50 texts are distinct, as 'order 49'"
    )
    assert report["categories"]["order"]["shared"] == 0


def test_numbers_written_as_texts_are_named_as_such():
    _, report = run(rows(60, level=lambda i: f"{i / 7:.4f}"))
    assert "50 of its first 50 numbers written as texts are distinct" in notes(report)[0]


def test_categories_that_spell_numbers_are_named(caplog):
    columns = TextColumns(True)
    for i in range(100):
        columns.select({"size": str(i % 7), "colour": "red", "code": f"{i % 3}A"})
    sentence = (
        "column 'size' holds numbers written as texts, as '0': each is a category of its own, "
        "and no number"
    )
    assert columns.sentences() == [sentence]
    assert [record.getMessage() for record in caplog.records] == [sentence]
    again = TextColumns(True)
    again.restore_state(columns.export_state())
    assert again.sentences() == [sentence]


def test_categories_stay():
    _, report = run(rows(200, colour=lambda i: ("red", "blue", "green")[i % 3]))
    assert notes(report) == []


def test_a_column_that_is_asked_for_stays():
    _, report = run(rows(200, order=lambda i: f"order {i}"), used=("order",))
    assert notes(report) == []


def odd(i):
    """Return numbers, with a date, a text that comes again, and one that does not."""
    return {20: "2026-05-04", 30: "low", 31: "low", 32: "low", 40: "?!"}.get(i, i % 7)


ODD = "column 'b' had a text in place of a number in 3 rows; the last is row 40: '?!'"


def test_a_column_of_numbers_outlives_a_date_and_other_odd_cells():
    engine, report = run(rows(60, b=odd))
    assert engine.model.features == ("a", "b")
    assert notes(report) == []
    assert ODD in report["notes"]
    assert report["n_masked"] == 3  # the date, "?!", and "low" before it came again
    assert report["categories"]["b"]["distinct"] == 1


def test_an_odd_cell_is_named_by_the_row_of_the_run():
    """A sender may number its rows by the clock: "the last is row 1,796,231,170,496,249"."""
    events = [replace(row, seq=row.seq + 1_796_231_170_496_209) for row in rows(60, b=odd)]
    _, report = run(events)
    assert ODD in report["notes"]


def test_texts_before_the_third_number_make_a_column_of_texts():
    _, report = run(rows(20, b=lambda i: "2026-05-04" if i == 2 else i))
    assert notes(report) == ["column 'b' is left out: its texts are times, as '2026-05-04'"]


def test_texts_that_a_column_of_numbers_remembers_are_bounded():
    columns = TextColumns(True)
    for row in range(3):
        columns.select({"b": 1.0}, row)
    for row in range(200):
        assert columns.select({"b": f"odd {row}"}, row) == {"b": None}
    assert columns.select({"b": "odd 7"}) == {"b": "odd 7"}
    assert columns.select({"b": "odd 150"}) == {"b": None}
    (state,) = columns.export_state()["odd"]
    assert len(state[-1]) == 50


def test_odd_cells_are_counted_across_a_checkpoint(tmp_path):
    events = rows(60, b=odd)
    whole, expected = run(events)
    first = StreamEngine(
        LOCOClassifier(hidden_sizes=(4,), seed=1), Script(events, 31), checkpoint=tmp_path
    )
    first.run()
    engine, report = run(events, checkpoint=tmp_path, resume=True)
    assert ODD in report["notes"]
    assert report["n_masked"] == expected["n_masked"]
    assert state_sha256(*export_model(engine.model)) == state_sha256(*export_model(whole.model))


def test_a_resumed_run_judges_as_one_that_was_not_stopped(tmp_path):
    events = rows(120, order=lambda i: f"order {i}", colour=lambda i: "red" if i % 2 else "blue")
    _, whole = run(events)
    first = StreamEngine(
        LOCOClassifier(hidden_sizes=(4,), seed=1), Script(events, 30), checkpoint=tmp_path
    )
    first.run()
    _, report = run(events, checkpoint=tmp_path, resume=True)
    assert notes(report) == notes(whole)
    assert report["accuracy"] == whole["accuracy"]


def test_models_of_other_libraries_get_all_columns():
    columns = TextColumns(False)
    x = {"at": "2026-05-04"}
    assert columns.select(x) is x


def test_rows_and_blocks_save_their_columns_alike():
    """The order of the columns was that of their first numbers by row, and that of the block."""
    table = np.array([[None, 1.0, 2.0], *([float(i), 1.0, 2.0] for i in range(4))], object)
    odd = np.array([[1.0, 1.0, "?"], ["#N/A", 1.0, 2.0]], object)
    names = ("a", "b", "c")
    by_row = TextColumns(True)
    in_blocks = TextColumns(True)
    for begin, X in ((0, table), (5, odd)):
        for i, cells in enumerate(X.tolist(), begin):
            by_row.select(dict(zip(names, cells, strict=True)), i)
        list(in_blocks.select_block(Block(X, None, names, begin), begin))
    assert in_blocks.export_state() == by_row.export_state()
    assert in_blocks.sentences() == by_row.sentences()
