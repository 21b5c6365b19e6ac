"""`loco-stream watch`, and `run --watch`."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import suppress
from urllib.request import urlopen

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import load
from loco_stream._cli.main import main
from loco_stream.connectors._control import send_command
from loco_stream.errors import SourceError
from tests.helpers.engine_process import LOCO, start
from tests.helpers.ports import free_port
from tests.helpers.serving import wait_until


@pytest.fixture
def rows(tmp_path):
    X = np.random.default_rng(0).normal(size=(500, 2))
    X[300, 1] = 12.0
    path = tmp_path / "rows.csv"
    lines = [f"{a},{b},{'ab'[a > 0]}" for a, b in X.tolist()]
    path.write_text("pressure,flow,kind\n" + "\n".join(lines) + "\n")
    return path


def test_watch_needs_no_label_and_tells_sinks_and_a_command(rows, tmp_path):
    out, command = tmp_path / "out.jsonl", tmp_path / "command.jsonl"
    arguments = ["watch", f"csv:{rows}?drop=kind", "--json", "--seed", "1"]
    arguments += ["--sink", f"jsonl:{out}?only=anomaly", "--on-alarm", f"tee -a {command}"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.splitlines()[-1])
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert report["n_samples"] == 500
    assert [record["at"] for record in records] == [alarm["at"] for alarm in report["alarms"]]
    assert any(r["at"] == 300 and r["column"] == "flow" for r in records)
    assert [json.loads(line)["at"] for line in command.read_text().splitlines()] == [
        record["at"] for record in records
    ]


def test_watch_resumes_with_the_stored_options(rows, tmp_path):
    url = f"csv:{rows}?drop=kind"
    whole = CliRunner().invoke(main, ["watch", url, "--json", "--every", "200"])
    state = str(tmp_path / "state")
    first = ["watch", url, "--checkpoint", state, "--every", "200", "--max-samples", "200"]
    assert CliRunner().invoke(main, first).exit_code == 0
    again = CliRunner().invoke(main, ["watch", url, "--checkpoint", state, "--resume", "--json"])
    assert again.exit_code == 0, again.output
    other = CliRunner().invoke(main, [*first, "--resume", "--seed", "5"])
    assert other.stderr.endswith("was begun with --seed 0, so it cannot continue with --seed 5\n")
    reports = [json.loads(run.stdout.splitlines()[-1]) for run in (whole, again)]
    assert reports[0]["alarms"] == reports[1]["alarms"]
    assert reports[0]["unusual"] == reports[1]["unusual"]


def test_run_watches_beside_learning(rows, tmp_path):
    out = tmp_path / "out.jsonl"
    arguments = ["run", f"csv:{rows}?target=kind", "--json", "--watch"]
    result = CliRunner().invoke(main, [*arguments, "--sink", f"jsonl:{out}?only=anomaly"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["accuracy"] > 0.5
    assert 300 in [json.loads(line)["at"] for line in out.read_text().splitlines()]


def test_options_of_the_detector_need_watch(rows):
    result = CliRunner().invoke(main, ["run", f"csv:{rows}?target=kind", "--every", "50"])
    assert result.exit_code == 2
    assert "`--every` needs --watch" in result.output


def test_run_without_labels_names_watch(rows):
    result = CliRunner().invoke(main, ["run", f"csv:{rows}?target=&drop=kind"])
    assert "loco-stream watch" in result.output


def test_a_limit_holds_for_rows_that_are_watched(rows):
    arguments = ["watch", f"csv:{rows}?drop=kind", "--limit", "model_features=1"]
    stopped = CliRunner().invoke(main, arguments)
    assert stopped.exit_code == 2
    assert "the model must have at most 1 features, got 2" in stopped.stderr


@pytest.mark.slow
def test_watch_shows_metrics_while_it_runs(tmp_path, processes):
    pytest.importorskip("prometheus_client")
    port = free_port()
    path = tmp_path / "rows.csv"
    path.write_text("pressure,flow\n" + "1.0,2.0\n" * 100)
    command = [*LOCO, "watch", f"csv:{path}?follow=1", "--metrics-port", str(port)]
    watch = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    processes.append(watch)

    def has_rows():
        assert watch.poll() is None, watch.stderr.read()
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            return b"loco_rows_learned_total 100.0" in page.read()

    wait_until(has_rows, 300)
    watch.send_signal(signal.SIGINT)
    assert watch.wait(60) == 0, watch.stderr.read()


@pytest.mark.slow
def test_a_running_watch_takes_feedback(tmp_path, processes):
    address = f"ipc://{tmp_path}/c"
    state = tmp_path / "state"
    path = tmp_path / "rows.csv"
    values = np.random.default_rng(0).normal(size=500)
    values[[300, 400]] = 12.0
    path.write_text("flow\n" + "".join(f"{value}\n" for value in values))
    command = ["watch", f"csv:{path}?follow=1", "--control", address]

    def ask(*words):
        return send_command(
            address, words[0], 60.0, **dict(zip(("t0", "t1"), words[1:], strict=False))
        )

    watch = start(processes, *LOCO, *command, "--checkpoint", str(state))
    wait_until(lambda: ask("status").get("n_samples") == 500, 300)
    assert ask("confirm", 300, 300) == {"ok": True, "n_rows": 1}
    with pytest.raises(SourceError, match="some of the last rows"):
        ask("dismiss", 900, 901)
    with pytest.raises(SourceError, match="there is no command 'decide'"):
        ask("decide")
    watch.kill()
    watch.wait()
    detector = load(max(state.glob("checkpoint-*.loco")))
    assert detector.score_one({"flow": 12.0}) == 10.0
    watch = start(processes, *LOCO, *command)
    wait_until(lambda: ask("status").get("n_samples") == 500, 300)
    with pytest.raises(SourceError, match="there is no command 'checkpoint'"):
        ask("checkpoint")
    assert ask("stop") == {"ok": True}
    assert watch.wait(60) == 0, watch.stderr.read()


def test_the_network_options_of_watch_need_a_port(rows):
    result = CliRunner().invoke(main, ["watch", f"csv:{rows}", "--allow-host", "plant"])
    assert result.exit_code == 2
    assert result.stderr == "loco-stream: `--allow-host` needs --dashboard or --metrics-port\n"
