"""--max-age and --max-pending: how long, and how many, rows wait for labels that come apart."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from loco_stream._cli import main
from loco_stream.engine import _pending
from loco_stream.engine._limited_log import LimitedLog
from loco_stream.fleet import _key_router

SOURCE = "jsonl:rows.jsonl?id=id&target=label"
SMALL = ["--task", "classification", "--set", "hidden_sizes=4"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with six rows, and then the labels of all but the fourth."""
    monkeypatch.chdir(tmp_path)
    for module in (_pending, _key_router):  # whose warnings are limited over a whole process
        monkeypatch.setattr(module, "_limited", LimitedLog(module._limited._log))
    rows = [{"id": i, "device": "press", "a": i % 2} for i in range(6)]
    labels = [{"id": i, "label": "xy"[i % 2]} for i in (0, 1, 2, 4, 5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(x) + "\n" for x in rows + labels))
    return tmp_path


def loco(*words):
    done = CliRunner().invoke(main, [*map(str, words), "--report", "report.json"])
    assert done.exit_code == 0, done.output
    with open("report.json") as file:
        report = json.load(file)
    return done.stderr, [report[key] for key in ("n_samples", "n_pending", "n_expired")]


@pytest.mark.parametrize(
    ("options", "counts", "name"),
    [
        ([], [5, 1, 0], ""),
        (["--max-pending", 2], [2, 0, 4], "`max_pending` rows wait (2)"),
        (["--max-age", 1e-9], [0, 0, 6], "`max_age` (1e-09 s)"),
    ],
)
def test_rows_of_a_run_wait_as_long_and_as_many_as_wanted(folder, options, counts, name):
    log, found = loco("run", SOURCE, *SMALL, *options)
    assert found == counts
    dropped = [line for line in log.splitlines() if "dropped before" in line and "note" not in line]
    assert len(dropped) == bool(name)  # of the same reason, one is logged every 10 s
    assert name in "".join(dropped)
    assert ("note: rows dropped before their label came: " in log) == bool(name)


def test_a_resumed_run_may_wait_for_fewer_rows(folder):
    command = ["run", SOURCE, "--checkpoint", "state"]
    assert loco(*command, *SMALL, "--max-samples", 4)[1] == [0, 4, 0]
    assert loco(*command, "--resume", "--max-pending", 1)[1] == [1, 0, 5]


def test_rows_of_a_fleet_wait_as_long_as_wanted(folder):
    command = ["fleet", SOURCE, "--key", "device", *SMALL]
    assert loco(*command, "--checkpoint", "long")[1] == [5, 1, 0]
    log, found = loco(*command, "--checkpoint", "short", "--max-age", 1e-9)
    assert found == [5, 0, 1]  # the rows of a recording are routed together with their labels
    assert "a row was dropped before its label came" in log
    assert "note: 1 waiting row dropped: no label came within `max_age` (1e-09 s)" in log


def test_a_service_and_its_configuration_have_the_options(folder):
    words = ["serve", "--http", "8080", "--checkpoint", "state", "--max-age", "86400"]
    shown = CliRunner().invoke(main, [*words, "--max-pending", "100000", "--print-config"])
    assert "max-age = 86400.0\nmax-pending = 100000\n" in shown.stdout
    (folder / "a.toml").write_text("checkpoint = 's'\nhttp = 8080\nmax-age = 0")
    refused = CliRunner().invoke(main, ["config", "check", "a.toml", "--command", "serve"])
    assert refused.stderr == "loco-stream: a.toml: `--max-age` must be above 0, got 0\n"


def test_detectors_wait_for_no_labels(folder):
    words = ["fleet", SOURCE, "--key", "device", "--checkpoint", "state", "--watch"]
    refused = CliRunner().invoke(main, [*words, "--max-age", "5"])
    assert refused.exit_code == 2
    assert "`--watch` excludes --max-age: no labels are learned" in refused.stderr
