"""Input that was not used is counted, reported, and kept in checkpoints."""

from __future__ import annotations

import math
import re
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from loco_stream import LOCOClassifier, StreamEngine
from loco_stream.engine import Report
from loco_stream.engine._data_quality import DataQuality
from loco_stream.engine._source_reader import PairSource
from loco_stream.engine._text_columns import TextColumns
from loco_stream.errors import LocoStreamWarning
from loco_stream.stream import Block, PredictRequest, Sample

ROWS = [
    ({"a": float(i), "b": None if i % 4 == 0 else 1.0, "c": "text" if i < 20 else math.nan}, i % 2)
    for i in range(40)
]


class Messages(PairSource):
    """A source that counts messages."""

    def __init__(self, malformed, last_error):
        super().__init__([])
        self.stats = {"malformed": malformed, "rejected": 1}
        self.last_error = last_error


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        (1, False),
        (1.5, False),
        (True, False),
        (np.float32(2), False),
        (Decimal("1.5"), False),
        (None, True),
        (math.nan, True),
        (math.inf, True),
        ("7", True),
        (np.float64("nan"), True),
        (Decimal("NaN"), True),
        (date(2026, 1, 1), True),
        (np.datetime64("2026-01-01"), True),
        (b"7", True),
    ],
)
def test_a_value_is_masked_if_and_only_if_it_is_not_a_number(value, masked):
    quality = DataQuality(PairSource([]), takes_text=False)
    for row in ({"a": 1.0, "v": value}, {"v": value}, {"v": value, "w": 3}):
        quality.count_row(row)
    assert quality.report()["masked"] == ({"v": 1.0} if masked else {})


def test_texts_are_not_masked_for_a_model_that_takes_them():
    quality = DataQuality(PairSource([]), takes_text=True)
    quality.count_row({"a": "red", "b": None})
    assert quality.report()["masked"] == {"b": 1.0}


def test_shares_refer_to_the_rows_with_the_feature():
    quality = DataQuality(PairSource([]), takes_text=False)
    for i in range(60):
        quality.count_row({"a": None if i % 3 == 0 else 1.0} if i % 2 else {"a": 1.0, "b": None})
    quality.count_block(np.array([[np.nan, 1.0], [np.nan, 2.0]], np.float32), ("c", "b"))
    assert quality.report()["masked"] == {
        "a": pytest.approx(10 / 60),
        "b": pytest.approx(30 / 32),
        "c": 1.0,
    }


def test_invented_names_do_not_fill_the_memory():
    quality = DataQuality(PairSource([]), takes_text=False)
    for i in range(10_000):
        quality.count_row({f"f{i}": None})
        quality.count_request((f"g{i}",), ("a",), 1)
    report = quality.report()
    assert (len(report["masked"]), len(report["unknown_features"]), report["missing_features"]) == (
        4096,
        64,
        {"a": 10_000},
    )
    assert len("".join(report["unused"])) < 2000


def test_unused_input_is_in_report_table_and_prometheus():
    report = StreamEngine(
        LOCOClassifier(seed=0, categories=0),
        [*ROWS, Sample({"a": 1e31, "b": 0.0, "c": 0.0}, 1)],
        strict=False,
    ).run()
    assert report["masked"] == {"b": 0.25, "c": 1.0}
    assert (report["skipped"], report["n_unused"]) == ({"value out of range": 1}, 1)
    text = " ".join(str(report).split())
    assert "column 'c' had no usable number in any of 40 rows" in text
    assert "1 row left out (1 value out of range); the last error: feature 'a' must be" in text
    assert Report.empty("classification", "s")["masked"] == {}


def test_requests_with_other_features_are_reported():
    rows = [Block(np.ones((9, 2), np.float32), [i % 2 for i in range(9)], ("speed", "load"))]
    asks = [
        PredictRequest(np.ones((3, 2), np.float32), ("velocity", "load")),
        Sample({"velocity": 1.0}),
        Sample({"speed": 1.0, "load": 1}),
    ]
    with pytest.warns(LocoStreamWarning, match="'velocity'"):
        report = StreamEngine(
            LOCOClassifier(seed=0), [*asks[2:], *rows, asks[1], asks[0], asks[2]]
        ).run()
    assert report["unknown_features"] == {"velocity": 4}
    assert report["missing_features"] == {"speed": 4, "load": 1}
    assert "rows to predict had unknown features: 'velocity' (4 rows)" in report["unused"]


def test_counts_of_messages_continue_in_the_next_process():
    quality = DataQuality(Messages(2, "first"), takes_text=False)
    quality.count_row({"a": None})
    quality.skip({"label": 2}, "no label")
    again = DataQuality(Messages(4, ""), takes_text=False)
    again.restore_state(quality.export_state())
    report = again.report()
    assert report["malformed"] == {"n": 8, "last": "first"}
    assert (report["masked"], report["skipped"], report["n_unused"]) == (
        {"a": 1.0},
        {"label": 2},
        10,
    )


def test_a_resumed_run_reports_all_rows(tmp_path):
    whole = StreamEngine(LOCOClassifier(seed=0), ROWS, strict=False).run()
    options = {"checkpoint": tmp_path / "state", "strict": False}
    StreamEngine(LOCOClassifier(seed=0), ROWS, **options).run(17)
    report = StreamEngine(LOCOClassifier(seed=0), ROWS, **options, resume=True).run()
    assert report["masked"] == whole["masked"]
    assert report["unused"] == whole["unused"]


def test_fill_values_are_missing_and_reported():
    rng = np.random.default_rng(4)
    rows = [({"a": float(v), "b": 1.0}, "on" if v > 0 else "off") for v in rng.normal(size=400)]
    for i in (50, 150, 390):
        rows[i][0]["a"] = -9999.0
    report = StreamEngine(LOCOClassifier(hidden_sizes=(4,), seed=0), rows).run()
    (sentence,) = [text for text in report["unused"] if "fill values" in text]
    assert sentence.startswith("column 'a' had 3 fill values")


def test_a_feature_that_came_always_and_comes_no_longer_is_named():
    quality = DataQuality(PairSource([]), takes_text=True)
    for i in range(500):
        x = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}
        gone = {"b": i >= 300, "c": i % 2 == 0 or i >= 300, "d": i >= 450}  # d: not for long
        quality.count_row({name: 1.0 for name in x if not gone.get(name)})
    lost = "column 'b' came with each of the first 300 rows, and with none of the {n} rows since"
    assert quality.report()["unused"] == [lost.format(n=200)]
    again = DataQuality(PairSource([]), takes_text=True)
    again.restore_state(quality.export_state())
    for _ in range(150):
        again.count_row({"c": 1.0, "d": 1.0})
    sentence = (
        "column 'a' came with each of the first 500 rows, and with none of the 150 rows since"
    )
    assert again.report()["unused"] == [sentence, lost.format(n=350)]


def test_a_feature_that_comes_without_values_from_some_row_on_is_named():
    """It died without a word where the sender went on naming it; `d` is sparse, `e` came back."""
    rows = [
        {
            "a": float(i),
            "b": None if i >= 300 else 1.0,
            "c": None if i >= 450 else 1.0,
            "d": 1.0 if i % 10 == 0 and i < 300 else None,
            "e": None if 300 <= i < 499 else 1.0,
        }
        for i in range(500)
    ]
    sentence = (
        "column 'b' had a usable value in each of the first 300 rows, and in none of the 200 rows "
        "since"
    )
    by_row = DataQuality(PairSource([]), takes_text=True)
    for x in rows:
        by_row.count_row(x)
    assert by_row.newly_lost() == [sentence]
    assert by_row.report()["n_lost_columns"] == 1
    in_blocks = DataQuality(PairSource([]), takes_text=True)
    X = np.array([list(x.values()) for x in rows], np.float32)
    for begin in range(0, 500, 64):
        in_blocks.count_block(X[begin : begin + 64], tuple(rows[0]))
    assert in_blocks.newly_lost() == [sentence]
    for cut in (250, 300, 310, 499):
        first = DataQuality(PairSource([]), takes_text=True)
        for x in rows[:cut]:
            first.count_row(x)
        resumed = DataQuality(PairSource([]), takes_text=True)
        resumed.restore_state(first.export_state())
        for x in rows[cut:]:
            resumed.count_row(x)
        assert resumed.report() == by_row.report()


def test_a_column_of_texts_that_is_left_out_is_not_lost():
    columns = TextColumns(True)
    quality = DataQuality(PairSource([]), True, columns.is_left_out)
    for i in range(800):
        x = {"a": 1.0, "note": f"text {i}" if i % 10 == 0 else None}
        quality.count_row(columns.select(x, i))
    assert columns.is_left_out("note")
    assert quality.newly_lost() == []


@pytest.mark.parametrize("is_live", [True, False])
def test_a_column_that_is_renamed_is_logged_once_while_a_service_runs(is_live, caplog):
    class Rows(PairSource):
        name = "rows"

        def __iter__(self):
            for i in range(900):
                yield Sample({"temperature" if i >= 600 else "temp": float(i), "b": 1.0}, i % 2)
                if i == 799:  # the status is renewed once per second
                    engine._board.refresh(engine)
                    found.extend(engine.status["unused"])
                    logged.extend(caplog.messages)

    found = []
    logged = []
    rows = Rows([])
    rows.is_live = is_live
    engine = StreamEngine(LOCOClassifier(hidden_sizes=(4,), seed=0), rows)
    with caplog.at_level("WARNING", "loco_stream.engine"):
        report = engine.run()
    renamed = re.compile(
        "column 'temp' came with each of the first 600 rows, and with none of the (.*) rows since, "
        "which have 'temperature' instead"
    )
    assert [bool(renamed.fullmatch(sentence)) for sentence in found] == [True]
    assert [bool(renamed.fullmatch(line)) for line in logged] == [True] * is_live
    assert [line for line in caplog.messages if "came with" in line] == logged
    assert [renamed.fullmatch(sentence)[1] for sentence in report["unused"]] == ["300"]
    assert report["n_lost_columns"] == 1


@pytest.mark.parametrize("in_blocks", [True, False])
def test_a_column_that_one_of_several_senders_renames_is_named(in_blocks):
    quality = DataQuality(PairSource([]), takes_text=True)
    for i in range(400):
        for sender in "abc":
            names = ("Temp" if sender == "b" and i >= 150 else "temp", "load")
            load = np.nan if sender == "c" and i >= 250 else 2.0
            if in_blocks:
                quality.count_block(np.array([[1.0, load]]), names, sender)
            else:
                quality.count_row(dict(zip(names, (1.0, load), strict=True)), sender)
    lost = quality.newly_lost()
    assert lost == [
        "source 'b': column 'temp' came with each of the first 150 rows, and with none of the 250 "
        "rows since, which have 'Temp' instead",
        "source 'c': column 'load' had a usable value in each of the first 250 rows, and in none "
        "of the 150 rows since",
    ]
    assert quality.report()["n_lost_columns"] == 2
    assert set(lost) <= set(quality.report()["unused"])
    assert quality.newly_lost() == []


def test_after_a_resume_no_feature_is_named_that_did_not_come_with_every_row():
    quality = DataQuality(PairSource([]), takes_text=True)
    for i in range(500):
        quality.count_row({"a" if i % 5 < 3 else "b": 1.0})
    again = DataQuality(PairSource([]), takes_text=True)
    again.restore_state(quality.export_state())
    for _ in range(150):
        again.count_row({"b": 1.0})
    assert again.report()["unused"] == []
