"""Streams without labels: rows, alarms, reports, checkpoints, and a detector beside a model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from river import anomaly, preprocessing

from loco_stream import LOCOClassifier, LOCODetector, LOCOForecaster, StreamEngine, load
from loco_stream._persistence import format as persist
from loco_stream.connectors import open_source
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.stream import Block, Sample

N = 600


def table(tmp_path, target=False):
    """Write a table with an outlier in `flow` at row 400; return its URL."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 2))
    X[400, 1] = 12.0
    path = tmp_path / "rows.csv"
    lines = [f"{a},{b},{'ab'[a > 0]}" for a, b in X.tolist()]
    path.write_text("pressure,flow,kind\n" + "\n".join(lines) + "\n")
    return f"csv:{path}?target={'kind' if target else '&drop=kind'}"


def watch(url, records, **options):
    engine = StreamEngine(LOCODetector(seed=1), open_source(url), **options)
    engine.on("anomaly", records.append)
    return engine


def test_a_stream_without_labels_is_watched(tmp_path):
    records = []
    engine = watch(table(tmp_path), records)
    report = engine.run()
    assert report["n_samples"] == N
    assert report["n_alarms"] == len(report["alarms"]) == len(records) >= 1
    assert report["n_pending"] == report["n_unlabelled"] == 0
    found = next(record for record in records if record["at"] == 400)
    low, high = found["expected"]
    assert found["column"] == "flow"
    assert found["value"] == pytest.approx(12.0)
    assert found["seq"] == 400
    assert low < high < 12.0
    assert found["score"] > 2.0
    worst = report["unusual"][0]
    assert (worst["at"], worst["column"]) == (400, "flow")
    assert sum(report["unusual_columns"].values()) == pytest.approx(1.0)
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize("model", [LOCODetector(seed=1), LOCOClassifier((4,), seed=1)])
def test_an_alarm_has_the_id_of_its_row_and_the_kept_fields(model):
    values = np.random.default_rng(0).normal(size=300)
    values[250] = 12.0
    rows = [
        Sample({"flow": x}, None, i, id=f"A{i}", extra={"keep": {"press": 3}})
        for i, x in enumerate(values.tolist())
    ]
    is_beside = isinstance(model, LOCOClassifier)
    records = []
    engine = StreamEngine(model, rows, anomaly=LOCODetector(seed=1) if is_beside else None)
    engine.on("anomaly", records.append)
    engine.run()
    found = next(record for record in records if record["at"] == 250)
    assert (found["id"], found["keep"]) == ("A250", {"press": 3})


def test_nothing_in_the_report_stands_for_missing_labels(tmp_path):
    report = watch(table(tmp_path), []).run().to_dict()
    for name in ("accuracy", "kappa", "confusion", "forgetting", "accuracy_matrix", "tasks"):
        assert name not in report
    assert report["task"] == "watching"
    text = str(watch(table(tmp_path), []).run())
    assert "accuracy" not in text
    assert "alarm at 400" in text


def test_a_report_of_alarms_prints_at_80_columns():
    draws = np.random.default_rng(0)
    X = draws.normal(size=(600, 2))
    X[500] = 15.0
    long = "temperature_of_the_bearing_at_the_outer_ring_of_pump_7_in_hall_12"
    rows = [Sample({long: a, "b": b}, None, i) for i, (a, b) in enumerate(X.tolist())]
    report = StreamEngine(LOCODetector(seed=1), rows).run()
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line.endswith(" ") for line in lines)
    assert "…" not in str(report)  # a long name is folded, not cut
    short = [line for line in lines if line.startswith(" alarm at") and ": b " in line]
    assert all("expected" in line for line in short)  # on one line
    assert repr(report) == f"<Report of list: 600 rows, {report['n_alarms']} alarms>"


def test_blocks_give_what_rows_give(tmp_path):
    rows = [sample.x for sample in open_source(table(tmp_path))]
    X = np.array([list(row.values()) for row in rows], np.float32)
    names = tuple(rows[0])
    by_row, by_block = [], []
    for found, events in (
        (by_row, [Block(X[i : i + 1], None, names, seq=i) for i in range(N)]),
        (by_block, [Block(X[i : i + 100], None, names, seq=i) for i in range(0, N, 100)]),
    ):
        engine = StreamEngine(LOCODetector(seed=1), events)
        engine.on("anomaly", found.append)
        engine.run()
    assert by_row
    assert [(r["at"], r["score"], r["seq"]) for r in by_row] == [
        (r["at"], r["score"], r["seq"]) for r in by_block
    ]


def test_a_resumed_run_is_bit_identical(tmp_path):
    url = table(tmp_path)
    whole, parts = [], []
    first = watch(url, whole)
    report = first.run()
    watch(url, parts, checkpoint=tmp_path / "state").run(max_samples=250)
    resumed = watch(url, parts, checkpoint=tmp_path / "state", resume=True)
    again = resumed.run()
    assert parts == whole
    for name in ("n_samples", "n_alarms", "alarms", "unusual", "unusual_columns", "anomaly_curve"):
        assert again[name] == report[name]
    assert state_sha256(*export_model(resumed.model)) == state_sha256(*export_model(first.model))
    newest = max((tmp_path / "state").glob("checkpoint-*.loco"))
    assert isinstance(load(newest), LOCODetector)


def test_a_detector_stands_beside_a_labelled_stream(tmp_path):
    url = table(tmp_path, target=True)

    def run(anomaly, records=None, **options):
        model = LOCOClassifier(hidden_sizes=(8,), seed=1)
        engine = StreamEngine(model, open_source(url), anomaly=anomaly, **options)
        if records is not None:
            engine.on("anomaly", records.append)
        return engine

    records, parts = [], []
    plain = run(None).run()
    both = run(LOCODetector(seed=1), records).run()
    assert both["accuracy"] == plain["accuracy"]
    assert 400 in [record["at"] for record in records]
    run(LOCODetector(seed=1), parts, checkpoint=tmp_path / "s").run(max_samples=300)
    run(LOCODetector(seed=1), parts, checkpoint=tmp_path / "s", resume=True).run()
    assert parts == records
    with pytest.raises(CheckpointError, match="anomaly detector"):
        run(None, checkpoint=tmp_path / "s", resume=True).run()


@pytest.mark.parametrize("declare", ["confirm", "dismiss"])
@pytest.mark.parametrize("model", [LOCODetector(seed=1), LOCOClassifier((4,), seed=1)])
def test_declared_rows_are_in_the_checkpoint(model, declare, tmp_path):
    options = {} if isinstance(model, LOCODetector) else {"anomaly": LOCODetector(seed=1)}
    url = table(tmp_path, target=bool(options))

    def engine(**more):
        source = open_source(url)
        return StreamEngine(model.clone(), source, checkpoint=tmp_path / "state", **options, **more)

    def look(engine):
        if engine.status["n_samples"] == N and not counts:
            counts.append(getattr(engine, declare)(400, 400))
            newest = max((tmp_path / "state").glob("checkpoint-*.loco"))
            at_once.append(persist.read(newest).config["n_samples"])  # before the run goes on

    counts = []
    at_once = []
    first = engine(watchers=[look])
    first.run()
    assert (counts, at_once) == ([1], [N])
    detector = engine(resume=True)
    detector.run()
    is_unusual = detector.watcher.holder.model.score_one({"flow": 12.0}) > 9.0
    assert is_unusual == (declare == "confirm")


def test_rows_cannot_be_declared_without_a_detector():
    with pytest.raises(ConfigError, match="`anomaly` must be a LOCODetector to declare rows"):
        StreamEngine(LOCOClassifier(), []).confirm(0, 1)


def test_what_is_no_detector_is_refused():
    with pytest.raises(ConfigError, match="`anomaly` must be a LOCODetector"):
        StreamEngine(LOCOClassifier(), [], anomaly=LOCOClassifier())
    with pytest.raises(ConfigError, match="`anomaly` must be None"):
        StreamEngine(LOCODetector(), [], anomaly=LOCODetector())


@pytest.mark.parametrize("model", [LOCODetector(), LOCOForecaster()])
def test_a_pipeline_that_ends_in_a_detector_or_a_forecaster_is_refused(model):
    said = f"must be the {type(model).__name__} alone, got a pipeline .*: remove the steps before"
    with pytest.raises(ConfigError, match=f"`model` {said}"):
        StreamEngine(preprocessing.StandardScaler() | model, [])


def test_other_pipelines_that_end_in_a_detector_are_refused():
    pipeline = preprocessing.StandardScaler() | LOCODetector()
    with pytest.raises(ConfigError, match="`anomaly` must be the LOCODetector alone"):
        StreamEngine(LOCOClassifier(), [], anomaly=pipeline)
    with pytest.raises(ConfigError, match="got HalfSpaceTrees without predict_one"):
        StreamEngine(preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(), [])


def test_a_picture_of_a_watched_stream(tmp_path):
    pytest.importorskip("matplotlib")
    watch(table(tmp_path), []).run().plot(tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 5000
