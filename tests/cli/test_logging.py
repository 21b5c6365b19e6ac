"""Log records on standard error: levels, formats, and what -q leaves."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
import threading
import warnings
from datetime import datetime

import pytest
from click.testing import CliRunner

from loco_stream._cli import main
from loco_stream._cli._logging import _HANDLER
from loco_stream.engine import StreamEngine
from loco_stream.engine._progress import watch
from loco_stream.errors import LocoStreamWarning
from tests.helpers.serving import wait_until

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR|DEBUG) .+")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a table, of whose 60 rows one is bad."""
    monkeypatch.chdir(tmp_path)
    lines = [f"p{i % 2},{i % 5},{'ab'[i % 5 > 2]}" for i in range(60)]
    lines[30] = "p0,1"
    (tmp_path / "rows.csv").write_text("\n".join(["device,x,y", *lines]) + "\n")
    return tmp_path


def loco(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


SKIP = ["csv:rows.csv?target=y", "--on-bad", "skip", "--set", "hidden_sizes=4"]
COMMANDS = {
    "run": ["run", *SKIP],
    "fleet": ["fleet", *SKIP, "--key", "device", "--checkpoint", "fleet"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_line_of_text_has_time_and_level(folder, command):
    shown = loco(*COMMANDS[command])
    assert shown.exit_code == 0
    lines = shown.stderr.splitlines()
    assert lines
    assert all(LINE.fullmatch(line) for line in lines), lines
    assert any(" INFO csv:rows.csv: " in line for line in lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_json_records_are_one_object_per_line(folder, command):
    shown = loco(*COMMANDS[command], "--log-format", "json")
    assert shown.exit_code == 0
    records = [json.loads(line) for line in shown.stderr.splitlines()]
    assert records
    for record in records:
        assert set(record) == {"time", "level", "logger", "message"}
        assert datetime.fromisoformat(record["time"]).tzinfo is not None
        assert record["logger"].startswith("loco_stream")
    assert records[0]["level"] == "info"
    assert records[0]["message"].startswith("csv:rows.csv: ")


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        ((), {"INFO", "WARNING"}),
        (("--log-level", "warning"), {"WARNING"}),
        (("--log-level", "error"), set()),
        (("-v",), {"INFO", "WARNING", "DEBUG"}),
        (("-q",), set()),
    ],
)
def test_the_level_selects_records(folder, options, levels):
    shown = loco("run", *SKIP, "--json", *options)
    assert {LINE.fullmatch(line)[1] for line in shown.stderr.splitlines()} == levels
    assert ("not used: 1 row left out" in shown.stderr) == ("WARNING" in levels)


def test_verbose_records_name_their_logger(folder):
    assert " INFO loco_stream.cli: csv:rows.csv: " in loco("run", *SKIP, "-v").stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_quiet_prints_nothing(folder, command):
    shown = loco(*COMMANDS[command], "-q", "--sink", "jsonl:out.jsonl", "--report", "r.json")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "")
    assert (folder / "out.jsonl").stat().st_size > 0
    assert json.loads((folder / "r.json").read_text())["n_samples"] == 59


def test_quiet_prints_requested_output_and_errors(folder):
    shown = loco("run", *SKIP, "--quiet", "--json")
    assert json.loads(shown.stdout)["n_samples"] == 59
    assert shown.stderr == ""
    refused = loco("run", "csv:rows.csv?target=y", "--on-bad", "stop", "--quiet")
    assert refused.exit_code == 2
    (sentence,) = refused.stderr.splitlines()
    assert sentence.startswith("loco-stream: line 32 of rows.csv must have 3 fields")


def test_levels_exclude_each_other(folder):
    for options in (("-q", "-v"), ("-q", "--log-level", "info"), ("-v", "--log-level", "info")):
        refused = loco("run", *SKIP, *options)
        assert refused.exit_code == 2
        assert "exclude each other" in refused.stderr


def test_an_error_is_a_json_record(folder):
    refused = loco("run", "csv:rows.csv?target=y", "--on-bad", "stop", "--log-format", "json")
    assert refused.exit_code == 2
    record = json.loads(refused.stderr.splitlines()[-1])
    assert record["level"] == "error"
    assert "--on-bad skip leaves such rows out" in record["message"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["run", "csv:rows.csv", "--log-format", "json", "--seed", "x"], "`--seed` must be"),
        (["run", "csv:rows.csv", "--log-format=json", "--sed", "1"], "has no option --sed"),
        (["run", "--log-format", "json"], "`SOURCE` must be given"),
        (["serve", "--config", "json.toml"], "`serve` has no option 'foo'"),
        (["serve", "--config", "table.toml", "--http", "x"], "`--checkpoint` must be given"),
        (["serve", "--config", "none.toml", "--log-format", "json"], "cannot read none.toml"),
    ],
)
def test_an_error_in_the_command_line_is_a_json_record(folder, words, text):
    (folder / "json.toml").write_text('log-format = "json"\nfoo = 1\n')
    (folder / "table.toml").write_text('[serve]\nlog-format = "json"\n')
    refused = loco(*words)
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert text in json.loads(line)["message"]


def test_the_environment_asks_for_json_before_the_options_are_read(folder, monkeypatch):
    monkeypatch.setenv("LOCO_STREAM_LOG_FORMAT", "json")
    assert json.loads(loco("run", "--foo").stderr)["level"] == "error"
    assert loco("run", "--foo", "--log-format", "text").stderr.startswith("loco-stream: ")


def test_records_of_libraries_and_stray_exceptions_are_json_records(folder, monkeypatch):
    class Broken:
        def __del__(self):
            raise ZeroDivisionError("in a destructor")

    def fail():
        raise ZeroDivisionError("in a thread")

    def disturb(*args):
        logging.getLogger("asyncua").warning("two\nlines")
        thread = threading.Thread(target=fail, name="poller")
        thread.start()
        thread.join()
        Broken()

    # as without pytest, which has a handler for everything
    monkeypatch.setattr(logging.getLogger("asyncua"), "propagate", False)
    monkeypatch.setattr("loco_stream._cli._engine_run.warm_up", disturb)
    shown = loco("run", *SKIP, "--log-format", "json")
    assert shown.exit_code == 0
    records = [json.loads(line) for line in shown.stderr.splitlines()]
    by_level = {record["level"]: record for record in records}
    assert ("asyncua", "two\nlines") in [(r["logger"], r["message"]) for r in records]
    assert by_level["critical"]["message"] == "unexpected error in the thread poller"
    assert "ZeroDivisionError: in a thread" in by_level["critical"]["exception"]
    assert "ZeroDivisionError: in a destructor" in by_level["error"]["exception"]
    assert "asyncua" not in loco("run", *SKIP, "-q").stderr
    assert " WARNING asyncua: two" in loco("run", *SKIP).stderr


def test_a_server_without_file_descriptors_does_not_fill_the_log(capsys):
    for second in range(3):
        for n in range(2000):  # as many as asyncio logs in a second
            message = f"socket.accept() out of system resource\nsocket: {n}"
            record = logging.makeLogRecord({"name": "asyncio", "levelname": "ERROR"})
            record.msg = message if second else f"another error {n}"
            _HANDLER.handle(record)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2001
    assert lines[-1].endswith(r"socket.accept() out of system resource\nsocket: 0")


def test_an_unexpected_error_is_a_json_record_with_its_traceback(folder, monkeypatch):
    def fail(*args):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("loco_stream._cli._engine_run.warm_up", fail)
    broken = loco("run", *SKIP, "--log-format", "json")
    assert broken.exit_code == 1
    record = json.loads(broken.stderr.splitlines()[-1])
    assert record["level"] == "critical"
    assert "ZeroDivisionError: a defect" in record["exception"]


def test_warnings_are_records(folder, monkeypatch):
    def warn(*args):
        warnings.warn("nobody reads this", LocoStreamWarning, stacklevel=1)
        warnings.warn("from elsewhere", DeprecationWarning, stacklevel=1)

    monkeypatch.setattr("loco_stream._cli._engine_run.warm_up", warn)
    shown = loco("run", *SKIP)
    assert " WARNING nobody reads this\n" in shown.stderr
    shown = loco("run", *SKIP, "--log-format", "json")
    messages = [json.loads(line)["message"] for line in shown.stderr.splitlines()]
    assert "nobody reads this" in messages


def test_a_warning_that_many_models_have_is_logged_once(folder, monkeypatch):
    def warn(*args):
        for i in range(6):
            text = f"column {i % 2} of a key"
            warnings.warn(text, LocoStreamWarning, stacklevel=1)

    monkeypatch.setattr("loco_stream._cli._engine_run.warm_up", warn)
    for _ in range(2):  # of each command
        assert loco("run", *SKIP).stderr.count("of a key") == 2


def test_a_command_leaves_the_logger_as_it_was(folder):
    logger = logging.getLogger("loco_stream")
    before = (logger.level, list(logger.handlers))
    loco("run", *SKIP, "-v")
    assert (logger.level, logger.handlers) == before


class Engine:
    """An engine whose alarm a test sets."""

    def __init__(self):
        self.source = None
        self.alarm = None
        self.status = {}


def test_alarms_are_logged_when_they_begin_and_end(caplog):
    engine = Engine()
    with caplog.at_level(logging.INFO, "loco_stream"), watch(engine, quiet=True):
        engine.alarm = "the disk is full"
        wait_until(lambda: "ALARM: the disk is full" in caplog.text)
        engine.alarm = None
        wait_until(lambda: "the alarm is over" in caplog.text)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_without_a_terminal_there_is_no_progress(capsys):
    rows = [({"x": i % 5}, i % 2) for i in range(300)]
    from river import naive_bayes

    StreamEngine(naive_bayes.GaussianNB(), rows).run(progress=True)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--log-format", "json"), ("-q",)])
def test_a_terminal_shows_progress_unless_records_are_json_or_the_run_is_quiet(folder, options):
    ours, theirs = pty.openpty()
    url = "csv:rows.csv?target=y&rate=60"
    command = [sys.executable, "-m", "loco_stream", "run", url, *SKIP[1:], *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        output = b""
        try:
            while part := os.read(ours, 4096):
                output += part
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    assert (b"samples" in output) == (options == ())
    if not options:  # on a terminal, records have no time
        assert b"csv:rows.csv: " in output
        assert re.search(rb"\d{4}-\d\d-\d\dT", output) is None
