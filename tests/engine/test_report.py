from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest
from rich.console import Console

from loco_stream.engine._progress import line
from loco_stream.engine._report import Report, jsonable
from loco_stream.errors import ConfigError

RESULTS = {
    "source": "river:Toy",
    "seed": 1,
    "n_samples": 1200,
    "accuracy": 0.91234,
    "kappa": math.nan,
    "drifts": [{"at": 700, "kind": "concept", "detector": "HDDMA"}],
    "latency_us": {"p50": 12.0, "p99": 80.0},
    "samples_per_second": 5000.0,
    "task": "classification",
    "curve": {"at": [1, 2, 3], "window_accuracy": [0.0, 0.5, 0.7], "accuracy": [0.0, 0.5, 0.6]},
    "forgetting": None,
    "n_rejected": 0,
}


def text(report):
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(report.table())
    return console.export_text()


def test_the_documented_keys_come_first_in_their_order():
    report = Report(RESULTS)
    assert list(report)[:4] == ["n_samples", "accuracy", "kappa", "samples_per_second"]
    assert len(report) == len(RESULTS)
    assert report.to_dict()["kappa"] is None


def test_the_table_leaves_out_what_was_not_measured():
    shown = text(Report(RESULTS))
    assert "river:Toy: 1,200 samples" in shown
    assert "0.9123" in shown
    assert "700" in shown
    assert "12 / 80 us" in shown
    assert "kappa" not in shown
    assert "forgetting" not in shown
    assert "refused" not in shown
    many = [{"at": at} for at in range(10)]
    assert "... 5, 6, 7, 8, 9" in text(Report({**RESULTS, "drifts": many, "n_rejected": 7}))


def test_the_time_of_a_block_is_not_shown_as_the_latency_of_a_row():
    blocks = {"latency_us": {"p50": 850_000.0, "p99": 850_000.0, "rows": 5974}}
    shown = str(Report({**RESULTS, **blocks, "latency_minute_us": {"p50": 8e5, "p99": 8.5e5}}))
    assert "block time p50 / p99 (up to 5,974 rows) " in shown
    assert "block time p50 / p99 (up to 5,974 rows), last minute" in shown
    assert "latency" not in shown
    status = {**RESULTS, **blocks, "latency_minute_us": {"p50": 8e5, "p99": 8.5e5}}
    assert "p50/p99 800,000/850,000 us per block" in line(status, 0.0)


def test_the_json_file_is_written_atomically(tmp_path):
    Report(RESULTS).save(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["accuracy"] == 0.91234
    with pytest.raises(ConfigError, match="cannot write the report"):
        Report(RESULTS).save(tmp_path / "no" / "r.json")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_picture_shows_curve_and_drift(tmp_path, task):
    curve = (
        {"at": [1, 2], "window_mae": [2.0, 1.0], "mae": [2.0, 1.5]}
        if task == "regression"
        else RESULTS["curve"]
    )
    report = Report({**RESULTS, "task": task, "curve": curve})
    report.plot(tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    axes = report.plot().axes[0]
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    windowed = next(values for label, values in lines.items() if "recent rows" in label)
    assert windowed == curve["window_mae" if task == "regression" else "window_accuracy"]
    assert list(axes.get_lines()[2].get_xdata()) == [700, 700]


def test_a_picture_that_cannot_be_drawn_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="cannot write the picture"):
        Report(RESULTS).plot(tmp_path / "r.nonsense")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"pip install 'loco-stream\[plot\]'"):
        Report(RESULTS).plot(tmp_path / "r.png")


def test_plain_values():
    value = {"a": np.float32(0.5), 1: (np.arange(2), math.inf), "p": None}
    assert jsonable(value) == {"a": 0.5, "1": [[0, 1], None], "p": None}


def test_what_was_not_used_stands_below_the_table():
    sentence = "column 'Druck' had no usable value in 81 of 3,000 rows"
    shown = str(Report({**RESULTS, "unused": [sentence]})).splitlines()
    assert shown[-1] == f"not used: {sentence}"
    assert max(map(len, shown)) <= 80


def test_a_label_of_any_length_has_one_line():
    score = {"recall": 0.5, "precision": 0.5, "support": 4}
    shown = text(Report({**RESULTS, "per_class": {"x" * 300_000: score, "ok": score}}))
    assert f"label {'x' * 27}...: 4 rows" in shown
    assert "label ok: 4 rows" in shown
    once = text(Report({**RESULTS, "per_class": {"ok": {**score, "support": 1}}}))
    assert "label ok: 1 row " in once
    assert len(shown.splitlines()) < 20


def test_forgetting_is_shown_from_the_second_task_on():
    measured = {"average_accuracy": 0.9, "forgetting": 0.0, "backward_transfer": 0.0}
    one = str(Report({**RESULTS, **measured, "accuracy_matrix": [[0.9]]}))
    two = str(Report({**RESULTS, **measured, "accuracy_matrix": [[0.9, None], [0.9, 0.9]]}))
    for name in ("average accuracy over tasks", "forgetting", "backward transfer"):
        assert name not in one
        assert name in two


def test_the_table_lists_only_rows_that_were_unusual_and_raised_no_alarm():
    def found(at, score, value=1.5):
        return {"at": at, "score": score, "column": "flow", "value": value, "expected": None}

    watched = {"n_alarms": 1, "alarms": [found(5, 4.0, None)], "unusual_columns": {}}
    unusual = [found(5, 4.0, None), found(7, 2.5), found(9, 1.0)]
    shown = str(Report({**RESULTS, **watched, "unusual": unusual}))
    assert "alarm at 5, score 4.0: flow" in shown
    assert "missing" in shown
    assert "unusual row 7" in shown
    assert "unusual row 5" not in shown
    assert "unusual row 9" not in shown


def test_the_expected_band_of_an_alarm_tells_its_ends_apart():
    """It was shown as "expected 1.014e+05 to 1.014e+05"."""
    alarm = {"at": 5, "score": 4.0, "column": "id", "value": 101432.0}
    alarm["expected"] = [101423.0, 101441.0]
    watched = {"n_alarms": 1, "alarms": [alarm], "unusual": [], "unusual_columns": {}}
    shown = str(Report({**RESULTS, **watched}))
    assert "101432, expected 101423 to 101441" in shown
