"""Report, status, Prometheus, terminal and docs have the keys of the table, and no others."""

from __future__ import annotations

import errno
import math
import socket
import socketserver
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from rich.console import Console
from river import datasets, linear_model, naive_bayes, preprocessing

from loco_stream import LOCOClassifier, LOCODetector, LOCOMultiTargetRegressor
from loco_stream._problems import TARGETS
from loco_stream.engine import Report, StreamEngine
from loco_stream.metrics._keys import KEYS, keys_for, markdown
from loco_stream.metrics.scores import scores_for
from loco_stream.monitor import TaskMonitor
from tests.helpers.ports import free_port


def engine(task, **options):
    monitor = TaskMonitor(problem=task, share=0.1)
    options["monitor"] = monitor
    if task == "classification":
        return StreamEngine(naive_bayes.GaussianNB(), datasets.Phishing(), **options)
    model = preprocessing.StandardScaler() | linear_model.LinearRegression()
    return StreamEngine(model, datasets.ChickWeights(), task=task, **options)


@pytest.mark.parametrize("detector", [False, True])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_report_and_status_have_the_keys_of_the_table(task, detector):
    run = engine(task, anomaly=LOCODetector(seed=1) if detector else None)
    before = set(run.status)
    report = run.run()
    keys = keys_for(task, detector=detector)
    names = {key.name for key in keys if not key.status_only}
    assert set(report) == names
    assert list(report) == [key.name for key in KEYS if key.name in names]
    assert set(run.status) == before
    assert set(run.status) - names == {key.name for key in keys if key.status_only}
    assert {key.name for key in keys if key.prometheus} <= set(run.status)
    assert names - set(Report.empty(task, "s")) == {
        key.name for key in keys if key.of_detector and not key.status_only
    }
    assert {score.key.name for score in scores_for(task)} <= set(run.status)


def test_a_report_says_in_which_mode_rows_were_predicted():
    rows = [({"a": float(i % 7)}, i % 7 > 3) for i in range(30)]
    modes = {"scores": "next row", "accuracy_matrix": "any row"}
    model = LOCOClassifier(hidden_sizes=4, seed=1)
    for each in (model, preprocessing.StandardScaler() | model.clone()):
        assert StreamEngine(each, rows).run()["prediction_modes"] == modes
    assert StreamEngine(naive_bayes.GaussianNB(), rows).run()["prediction_modes"] is None
    several = [(x, {"b": x["a"]}) for x, _ in rows]
    report = StreamEngine(LOCOMultiTargetRegressor(hidden_sizes=4, seed=1), several).run()
    assert report["prediction_modes"] is None


@pytest.mark.parametrize("task", ["classification", "regression", TARGETS])
def test_prometheus_has_every_number_of_the_table_and_no_other(task):
    prometheus = pytest.importorskip("prometheus_client")
    from loco_stream.engine._prometheus import EngineCollector

    run = engine("regression" if task == TARGETS else task)
    run.run()
    filled = {"parts": {"x": 1}, "shares": {"x": 1}, "classes": {"x": {"recall": 0.5}}}
    filled["targets"] = {"x": {"mae": 0.5}}
    status = {key.name: filled.get(key.kind, 1.0) for key in KEYS}
    run._board.status = status | {"notes": [], "alarm": run.alarm}  # a new alarm makes a copy
    own = {"classification": "accuracy", "regression": "mae", TARGETS: "per_target"}
    tells = ("accuracy", "mae", "per_target", "forecast_mae")
    for name in tells:  # a status of a regression has its scores, also with several targets
        if name != own[task] and not (task == TARGETS and name == "mae"):
            del run.status[name]
    registry = prometheus.CollectorRegistry()
    registry.register(EngineCollector(run))
    shown = {family.name: family for family in registry.collect()}
    exported = {
        f"loco_{key.prometheus}": key for key in keys_for(task, detector=True) if key.prometheus
    }
    assert set(shown) == set(exported)
    for name, key in exported.items():
        assert shown[name].documentation == key.description
        assert shown[name].samples


def test_the_terminal_shows_every_key_with_a_label():
    for task in ("classification", "regression"):
        report = engine(task).run()
        two_tasks = {"accuracy_matrix": [[0.5, None], [0.5, 0.5]]}
        report = Report({**report, **(two_tasks if task == "classification" else {})})
        labels = [key.label for key in keys_for(task) if key.label and key.kind == "gauge"]
        text = str(report)
        for label in labels:
            measured = report[next(key.name for key in KEYS if key.label == label)]
            assert (label in text) == (measured is not None and not math.isnan(measured))
        console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        with console.file:
            console.print(report.table())
        lines = [line.rstrip() for line in console.export_text().rstrip().splitlines()]
        assert lines == text.splitlines()


def test_names_are_unique_and_every_key_is_described():
    assert len({key.name for key in KEYS}) == len(KEYS)
    exported = [key.prometheus for key in KEYS if key.prometheus]
    assert len(set(exported)) == len(exported)
    assert all(
        key.description
        and key.kind
        in (
            *("gauge", "counter", "flag", "parts", "shares", "classes", "targets"),
            *("histogram", "list", "value"),
        )
        for key in KEYS
    )


def test_the_docs_page_is_generated_from_the_table():
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    if not page.parent.is_dir():
        pytest.skip("not run from a checkout")
    assert page.read_text() == markdown(), "python -m loco_stream.metrics._keys > docs/metrics.md"


@pytest.mark.slow
def test_metrics_are_served_to_local_names_in_a_few_threads():
    pytest.importorskip("prometheus_client")
    import socket
    import threading

    from loco_stream.engine._prometheus import EngineCollector, serve_metrics

    run = engine("classification")
    port = free_port()
    end = serve_metrics(EngineCollector(run), port)
    try:
        address = f"http://127.0.0.1:{port}/metrics"
        for host in (f"127.0.0.1:{port}", "localhost", f"LOCALHOST:{port}"):
            assert (
                b"loco_rows_learned_total"
                in urlopen(Request(address, headers={"Host": host}), timeout=60).read()
            )
        for host in (
            "evil.example",
            f"evil.example:{port}",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
        ):
            with pytest.raises(HTTPError, match="403"):
                urlopen(Request(address, headers={"Host": host}), timeout=60)
        before = threading.active_count()
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
        assert b"loco_rows_learned_total" in urlopen(address, timeout=3).read()
        assert threading.active_count() <= before + 16
        closed = 0
        for one in silent[:34]:
            one.settimeout(3)
            closed += one.recv(1) == b""
        assert closed == 34  # the oldest ones
    finally:
        began = time.monotonic()
        end()
        assert time.monotonic() - began < 3
    for one in silent:
        one.close()
    elsewhere = serve_metrics(EngineCollector(run), port, host="0.0.0.0")
    try:
        assert (
            b"loco_"
            in urlopen(Request(address, headers={"Host": "farm.example"}), timeout=60).read()
        )
    finally:
        elsewhere()


def test_the_server_of_metrics_waits_while_no_connection_can_be_accepted(monkeypatch):
    from loco_stream.engine._prometheus import EngineCollector, serve_metrics

    tries = []

    def fail(server):
        tries.append(server)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socketserver.TCPServer, "get_request", fail)
    port = free_port()
    end = serve_metrics(EngineCollector(engine("classification")), port)
    with socket.create_connection(("127.0.0.1", port)):
        time.sleep(0.5)
    end()
    assert 1 <= len(tries) <= 10
