"""A fleet of anomaly detectors: one per key, no labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import Fleet, LOCODetector, TaskMonitor
from loco_stream._cli.main import main
from loco_stream.connectors import open_source
from loco_stream.engine._source_reader import SourceReader
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import ConfigError
from loco_stream.fleet._key_router import KeyRouter
from loco_stream.fleet._metrics import FleetMetrics
from loco_stream.fleet._runner import FleetRunner
from tests.helpers.sinks import Kept

N = 400
KEYS = ("a", "b", "c")


def values():
    """Rows of three devices; `b` has an outlier in its row 300."""
    X = {key: np.random.default_rng(i).normal(size=(N, 2)) for i, key in enumerate(KEYS)}
    X["b"][300, 1] = 12.0
    return X


@pytest.fixture
def table(tmp_path):
    X = values()
    lines = [f"{key},{X[key][i, 0]},{X[key][i, 1]}" for i in range(N) for key in KEYS]
    path = tmp_path / "rows.csv"
    path.write_text("device,pressure,flow\n" + "\n".join(lines) + "\n")
    return f"csv:{path}?target="


def run(fleet, url):
    sink = Kept("anomaly", "prediction")
    report = FleetRunner(fleet, SourceReader(open_source(url)), "device", [sink]).run()
    assert sink.rows == []  # a stream without labels has no predictions
    return report, sink.records


def alone(key):
    """Return the detector of a key that watched its rows alone."""
    detector = LOCODetector(seed=1)
    for u, v in values()[key].tolist():
        detector.learn_one({"pressure": u, "flow": v})
    return detector


def test_each_key_has_the_detector_of_its_rows(tmp_path, table, caplog):
    caplog.set_level("INFO", "loco_stream")
    with Fleet(LOCODetector(seed=1), tmp_path / "fleet") as fleet:
        report, records = run(fleet, table)
        for key in KEYS:
            assert fleet.state_sha256(key) == state_sha256(*export_model(alone(key)))
        assert fleet.report("b")["n_alarms"] >= 1
    assert report["task"] == "watching"
    assert report["n_samples"] == N * len(KEYS)
    assert report["n_pending"] == report["n_unlabelled"] == report["n_expired"] == 0
    assert report["n_alarms"] == len(records)
    found = next(r for r in records if r["key"] == "b" and r["at"] == 300)
    assert f"{found['source']}: alarm at row 300: flow is " in caplog.text
    assert (found["column"], found["kind"]) == ("flow", "anomaly")
    assert found["source"].endswith("/b")
    assert "b" in [own["key"] for own in report["alarmed_lately"]]
    assert all(own["state"] >= 0.0 for own in report["worst"])


def test_a_fleet_that_is_opened_again_continues_bit_identically(tmp_path, table):
    events = list(open_source(table))
    for part in (events[:500], events[500:]):
        router = KeyRouter("device", labelled=False)
        with Fleet(LOCODetector(seed=1), tmp_path / "fleet", max_resident=1) as fleet:
            for event in part:
                fleet.process(router.route([event]))
            hashes = {key: fleet.state_sha256(key) for key in KEYS}
            alarms = fleet.report("b")["alarms"]
    assert hashes == {key: state_sha256(*export_model(alone(key))) for key in KEYS}
    assert any(alarm["at"] == 300 for alarm in alarms)


def test_what_a_detector_has_not_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="`monitor` must be None"):
        Fleet(LOCODetector(), tmp_path, monitor=TaskMonitor())


def test_the_command_watches_each_key_and_resumes(tmp_path, table):
    out = tmp_path / "out.jsonl"
    folder = str(tmp_path / "fleet")
    arguments = ["fleet", table.removesuffix("?target="), "--key", "device"]
    arguments += ["--checkpoint", folder, "--sink", f"jsonl:{out}?only=anomaly"]
    report = tmp_path / "report.json"
    result = CliRunner().invoke(
        main, [*arguments, "--watch", "--report", str(report)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert ("b", 300) in [(record["key"], record["at"]) for record in records]
    assert json.loads(report.read_text())["n_alarms"] == len(records)
    again = CliRunner().invoke(main, arguments, catch_exceptions=False)  # nothing is left to read
    assert again.exit_code == 0, again.output
    refused = CliRunner().invoke(main, [*arguments, "--every", "50"])
    assert refused.exit_code == 2
    assert "so it cannot continue with --every 50" in refused.output


def test_alarms_are_no_rows_in_the_metrics(table, tmp_path):
    metrics = FleetMetrics(0.0)
    with Fleet(LOCODetector(every=1000, seed=1), tmp_path / "fleet") as fleet:
        reader = SourceReader(open_source(table))
        report = FleetRunner(fleet, reader, "device", [], [metrics]).run()
    families = {family.name: family for family in metrics.collect()}
    assert report["n_alarms"] > 0
    assert families["loco_fleet_anomaly_alarms"].samples[0].value == report["n_alarms"]
    assert families["loco_fleet_alarmed_keys"].samples[0].value == report["n_alarmed_keys"]
    assert not {"alarms", "alarmed_keys"} & {
        sample.labels["what"] for sample in families["loco_fleet_rows"].samples
    }
