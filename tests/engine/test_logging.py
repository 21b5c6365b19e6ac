"""The engine logs its start, checkpoints, end and losses, and prints nothing."""

from __future__ import annotations

import logging
import random

import pytest

from loco_stream.engine import StreamEngine
from loco_stream.engine._limited_log import AlarmLines, LimitedLog
from loco_stream.errors import ConfigError, SourceError
from loco_stream.monitor import DriftAlarm, TaskMonitor
from loco_stream.stream import Sample
from tests.helpers.standin import ListSource, Means


def rows(n, bad=()):
    return [Sample({"a": 1e31 if i in bad else float(i)}, f"c{i % 2}", i) for i in range(n)]


def messages(caplog, level):
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_a_run_logs_its_start_its_checkpoints_and_its_end(tmp_path, caplog, capsys):
    caplog.set_level(logging.INFO, "loco_stream")
    StreamEngine(Means(), ListSource(rows(20)), checkpoint=tmp_path).run(max_samples=10)
    first = messages(caplog, logging.INFO)
    assert first[0].startswith("Means on ")
    assert any(text.startswith("checkpoint 10 in ") for text in first)
    assert first[-1] == "the run ended after 10 rows"
    caplog.clear()
    StreamEngine(Means(), ListSource(rows(20)), checkpoint=tmp_path, resume=True).run()
    again = messages(caplog, logging.INFO)
    assert any(text.startswith("resuming from ") for text in again)
    assert "resumed at commit 10, after 10 samples" in again
    assert {record.name for record in caplog.records} == {
        "loco_stream.engine.checkpoint",
        "loco_stream.engine.commits",
        "loco_stream.engine.core",
        "loco_stream.engine.store",
    }
    assert capsys.readouterr() == ("", "")


class Broken(ListSource):
    """Raises after 15 rows."""

    def __iter__(self):
        for event in super().__iter__():
            if event.seq == 15:
                raise SourceError("the line is cut")
            yield event


def test_only_a_run_that_learned_a_row_logs_where_it_was_stopped(tmp_path, caplog):
    caplog.set_level(logging.INFO, "loco_stream")
    with pytest.raises(ConfigError, match="nothing to resume"):
        StreamEngine(Means(), ListSource(rows(20)), checkpoint=tmp_path / "no", resume=True).run()
    assert not any("the run" in text for text in messages(caplog, logging.INFO))
    folder = tmp_path / "state"
    with pytest.raises(SourceError, match="cut"):
        StreamEngine(Means(), Broken(rows(20))).run()
    assert messages(caplog, logging.INFO)[-1] == "the run was stopped before the end after 15 rows"
    StreamEngine(Means(), ListSource(rows(15)), checkpoint=folder).run()
    caplog.clear()
    with pytest.raises(SourceError, match="cut"):
        StreamEngine(Means(), Broken(rows(20)), checkpoint=folder, resume=True).run()
    assert any(text.startswith("resumed at commit 15") for text in messages(caplog, logging.INFO))
    assert not any("the run" in text for text in messages(caplog, logging.INFO))


def test_refused_rows_are_warned_of_at_a_bounded_rate(caplog):
    report = StreamEngine(Means(), ListSource(rows(500, bad=range(100, 400))), strict=False).run()
    warnings = messages(caplog, logging.WARNING)
    assert report["n_rejected"] == 300
    assert warnings == [
        "1 row or late label refused: feature 'a' must be a number from -1e+30 to 1e+30, got 1e+31"
    ]


def test_a_limited_log_counts_what_it_leaves_out(caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("loco_stream.engine._limited_log.time.monotonic", lambda: now[0])
    log = LimitedLog(logging.getLogger("loco_stream.test"))
    for second in (0, 1, 2, 11):
        now[0] = float(second)
        log.warning("lost %d", second)
    log.warning("another")
    assert messages(caplog, logging.WARNING) == [
        "lost 0",
        "lost 11 (2 more since the last such message)",
        "another",
    ]


def test_a_warning_that_lasts_is_one_line(caplog):
    caplog.set_level(logging.INFO, "loco_stream")
    lines = AlarmLines(logging.getLogger("loco_stream.test"))

    def alarm(at, state, kind="concept", detector="HDDMA"):
        lines.add(DriftAlarm(at, kind, detector, state, at))

    for at in (100, 100, 100, 300, 799):
        alarm(at, "warning")
    alarm(800, "warning", "input", "energy")
    alarm(801, "drift")
    alarm(802, "warning")
    alarm(1302, "warning")
    told = messages(caplog, logging.INFO)
    assert [text.split(":")[0] for text in told if "warning" in text] == [
        "warning at row 100",
        "warning at row 800",
        "warning at row 802",
        "warning at row 1,302",
    ]
    assert len(told) == 5


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_errors_that_flap_about_a_threshold_are_not_logged_again_and_again(caplog, seed):
    caplog.set_level(logging.INFO, "loco_stream")
    chance = random.Random(seed)
    flips = [chance.random() < (0.05 if i < 1000 else 0.15) for i in range(2500)]
    stream = [Sample({"a": float(i % 2)}, f"c{(i + flips[i]) % 2}", i) for i in range(2500)]
    StreamEngine(Means(), ListSource(stream)).run()
    warnings = [text for text in messages(caplog, logging.INFO) if text.startswith("warning at")]
    assert 1 <= len(warnings) <= 2


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_debug_shows_every_commit(caplog, level):
    caplog.set_level(level, "loco_stream")
    StreamEngine(Means(), ListSource(rows(3))).run()
    assert len(messages(caplog, logging.DEBUG)) == (3 if level == logging.DEBUG else 0)


def test_a_task_column_that_no_row_has_is_logged_once(caplog):
    events = [Sample({"room": i % 7, "heat": 1.0}, f"c{i % 2}", i) for i in range(1200)]
    monitor = TaskMonitor(tasks="column:rom")
    engine = StreamEngine(Means(), ListSource(events), monitor=monitor)
    report = engine.run()
    sentence = "no row has had a value in the task column 'rom' so far; did you mean 'room'?"
    assert messages(caplog, logging.WARNING) == [sentence]
    assert sentence in report["notes"]
