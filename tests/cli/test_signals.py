"""The second signal ends a process at once, and one line says what was kept."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from loco_stream._cli import _signals, main
from loco_stream._cli._logging import log_to_stderr
from loco_stream._cli._signals import Interrupt, SignalHandler, stop_on_signal
from loco_stream.engine import StreamEngine
from loco_stream.fleet._ray_backend import connect
from loco_stream.fleet._runner import FleetRunner
from loco_stream.stream import Sample
from tests.helpers.serving import wait_until
from tests.helpers.standin import ListSource, Means


class Ended(BaseException):
    """Takes the place of the end of the process."""


def end(code):
    raise Ended(code)


def interrupted(engine, monkeypatch, capsys):
    """Return the code and the line of a process that gets two signals."""
    monkeypatch.setattr(os, "_exit", end)
    handler = SignalHandler()
    handler.engine = engine
    handler(signal.SIGINT, None)
    with log_to_stderr(), pytest.raises(Ended) as ended:
        handler(signal.SIGINT, None)
    (line,) = capsys.readouterr().err.splitlines()
    return ended.value.args[0], line.partition("ended at once, without a report: ")[2]


def engine(folder=None, **options):
    rows = [Sample({"a": float(i)}, "xy"[i % 2], i) for i in range(30)]
    return StreamEngine(Means(), ListSource(rows), checkpoint=folder, **options)


def test_the_line_names_the_last_checkpoint(tmp_path, monkeypatch, capsys):
    done = engine(tmp_path)
    done.run(max_samples=20)
    code, kept = interrupted(done, monkeypatch, capsys)
    assert code == 128 + signal.SIGINT
    assert kept == "nothing after the last checkpoint, at row 20, was kept"
    resumed = engine(tmp_path, resume=True)
    seen = []
    resumed.on("prediction", lambda record: seen.append(resumed.kept))
    resumed.run()
    assert seen[0] == kept


def test_without_a_checkpoint_or_with_a_log_the_line_says_so(tmp_path, monkeypatch, capsys):
    done = engine()
    done.run()
    assert interrupted(done, monkeypatch, capsys)[1] == "nothing was kept"
    logged = engine(tmp_path / "log", durability="batch")
    logged.run()
    kept = interrupted(logged, monkeypatch, capsys)[1]
    assert kept == "the checkpoints and the log are kept"


def test_before_the_engine_nothing_was_learned(monkeypatch, capsys):
    monkeypatch.setattr(os, "_exit", end)
    handler = SignalHandler()
    with pytest.raises(Interrupt):
        handler(signal.SIGTERM, None)
    with log_to_stderr(), pytest.raises(Ended):
        handler(signal.SIGTERM, None)
    assert "nothing was learned" in capsys.readouterr().err


def test_a_terminal_that_is_closed_stops_a_run_once(monkeypatch):
    monkeypatch.setattr(os, "_exit", end)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with stop_on_signal() as handler:
            handler.engine = engine()
            for _ in range(2):  # the kernel sends one, and the shell another
                signal.raise_signal(signal.SIGHUP)
            report = handler.engine.run()
        assert report["interrupted"]
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
        with stop_on_signal() as handler:
            handler.engine = engine()
            signal.raise_signal(signal.SIGHUP)
            report = handler.engine.run()
        assert not report["interrupted"]
    finally:
        signal.signal(signal.SIGHUP, before)


def interrupt(*args, **options):
    raise Interrupt(signal.SIGTERM)


@pytest.mark.parametrize(
    ("command", "code", "line"),
    [
        (("serve", "--http", "8080", "--checkpoint", "state"), 0, "ended before the first row"),
        (
            ("fleet", "csv:r.csv?target=y", "--key", "k", "--checkpoint", "f", "--dashboard"),
            0,
            "ended before the first row",
        ),
        (("run", "csv:r.csv?target=y", "--dashboard"), 1, "stopped before the first row"),
    ],
    ids=lambda given: given[0] if isinstance(given, tuple) else "",
)
def test_a_signal_while_a_server_starts_ends_the_command_without_a_traceback(
    tmp_path, monkeypatch, command, code, line
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.csv").write_text("a,k,y\n" + "1,p,0\n2,q,1\n" * 9)
    monkeypatch.setattr("loco_stream.dashboard._server.ServerThread.__init__", interrupt)
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, line in result.stderr) == (code, True), result.output
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("max_samples", [None, 3])
def test_a_run_that_waits_to_be_stopped_has_processed_all_its_rows(caplog, max_samples):
    rows = [Sample({"a": float(i)}, i % 2) for i in range(max_samples or 3)]
    after = [] if max_samples is None else [Sample({"a": 9.0}, 1)]
    model = Means()
    service = StreamEngine(model, ListSource(rows + after), forever=True, delay=2)
    caplog.set_level("INFO", logger="loco_stream")
    thread = threading.Thread(target=service.run, args=(max_samples,))
    thread.start()
    wait_until(lambda: "waiting" in caplog.text)
    service.stop()
    thread.join()
    assert "is over, after 3 rows; waiting to be stopped" in caplog.text
    assert model.counts.sum() == 3  # with those that `delay` held back
    assert not service.report["interrupted"]


def test_a_fleet_keeps_acknowledged_rows():
    assert "acknowledged rows are kept" in FleetRunner.kept


def test_a_stop_that_takes_seconds_says_what_it_waits_for(monkeypatch, capsys):
    monkeypatch.setattr(_signals, "_PATIENCE", 0.05)
    handler = SignalHandler()
    handler.engine = Source()
    with log_to_stderr():
        handler(signal.SIGTERM, None)
        handler.end()
        handler._timer.join()
        assert not capsys.readouterr().err
        handler = SignalHandler()
        handler.engine = Source()
        handler(signal.SIGTERM, None)
        handler._timer.join()
    (line,) = capsys.readouterr().err.splitlines()
    assert "still stopping: the rows at hand" in line


@ctypes.CFUNCTYPE(None)
def signalled_in_a_callback():
    """Get a signal where exceptions are ignored, as in those of LLVM."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)


class Source:
    stopped = False

    def stop(self):
        self.stopped = True


@pytest.mark.parametrize("is_running", [False, True])
def test_a_signal_in_a_callback_of_a_c_library_is_not_lost(is_running):
    hook = sys.unraisablehook
    source = Source()
    deadline = time.monotonic() + 30

    def wait():
        while not source.stopped and time.monotonic() < deadline:
            time.sleep(0.01)

    with stop_on_signal() as handler:
        signalled_in_a_callback()
        if is_running:  # by now there is something to stop
            handler.engine = source
            wait()
            assert source.stopped
        else:
            with pytest.raises(Interrupt):
                wait()
    assert sys.unraisablehook is hook


def test_ray_replaces_no_handler_of_sigterm(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    ray = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda *args, **options: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    with stop_on_signal() as handler:
        assert connect(None) == (ray, True)
        assert signal.getsignal(signal.SIGTERM) is handler
    assert signal.getsignal(signal.SIGTERM) is before
