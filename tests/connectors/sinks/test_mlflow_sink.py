"""`MLflowSink` against a database of MLflow in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loco_stream import LOCOClassifier, StreamEngine, load
from loco_stream.connectors import MLflowSink, open_sink
from loco_stream.errors import ConfigError
from loco_stream.records import of_status
from loco_stream.stream import Sample, Source
from tests.helpers.models import arrays_of, assert_same

mlflow = pytest.importorskip("mlflow")
pytest.importorskip("alembic")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


class Rows(Source):
    """Rows that end; a run may be stopped within."""

    name = "rows"

    def __init__(self, n):
        self.n = n
        self.row = 0

    @property
    def position(self):
        return {"row": self.row}

    def seek(self, position):
        self.row = position["row"]

    def __iter__(self):
        while self.row < self.n:
            i = self.row
            self.row += 1
            yield Sample({"a": i % 7, "b": i % 3}, ("ok", "worn")[i % 2], i)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Return the URI of a database, whose tables take a while to make, and its artifacts."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder}/mlflow.db"
    client = mlflow.MlflowClient(tracking_uri=uri)
    client.create_experiment("again", artifact_location=str(folder / "again"))
    return uri, client


def runs_of(client, experiment):
    found = client.get_experiment_by_name(experiment)
    return client.search_runs([found.experiment_id])


def model():
    return LOCOClassifier(hidden_sizes=(4,), seed=3, retention=0.5)


def artifact(client, run, path):
    return client.download_artifacts(run.info.run_id, path)


def test_a_run_has_parameters_scores_report_and_model(database, tmp_path):
    uri, client = database
    experiment = tmp_path.name  # another one if the test is run again
    client.create_experiment(experiment, artifact_location=str(tmp_path / "artifacts"))
    sink = open_sink(f"mlflow:{uri}?experiment={experiment}&run=first&linger=60s")
    engine = StreamEngine(model(), Rows(300), [sink], checkpoint=tmp_path / "state")
    sink.write_record(of_status({"n_samples": 0, "accuracy": 0.25, "n_rows": 7}, "rows"))
    report = engine.run()
    assert report["notes"] == []
    (run,) = runs_of(client, experiment)
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    params = run.data.params
    assert (params["model"], params["source"], params["task"]) == (
        "LOCOClassifier",
        "rows",
        "classification",
    )
    assert (params["seed"], params["retention"], params["advanced__credit"]) == (
        "3",
        "0.5",
        "mirror",
    )
    scores = client.get_metric_history(run.info.run_id, "accuracy")
    points = [(point.step, point.value) for point in scores]
    assert points[0] == (0, 0.25)
    assert points[-1] == (300, report["accuracy"])
    assert len(points) > 10
    assert run.data.metrics["roc_auc"] == report["roc_auc"]
    saved = json.loads(Path(artifact(client, run, "report.json")).read_text())
    assert saved["accuracy"] == report["accuracy"]
    loaded = load(artifact(client, run, "model/model.loco"))
    assert_same(arrays_of(loaded), arrays_of(engine.model))


def test_a_short_run_has_the_curve_and_a_resumed_one_continues(database, tmp_path):
    uri, client = database
    for n in (60, 200):
        sink = MLflowSink(uri, experiment="again", linger=60.0)
        engine = StreamEngine(model(), Rows(200), [sink], checkpoint=tmp_path, resume=None)
        engine.run(max_samples=n)
    (run,) = runs_of(client, "again")
    at = {point.step for point in client.get_metric_history(run.info.run_id, "accuracy")}
    assert {60, 200} <= at
    assert len(at) > 20


def test_a_server_that_is_away_is_noted_and_does_not_stop_the_run(database, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    sink = MLflowSink("http://127.0.0.1:9", linger=1.0)
    report = StreamEngine(model(), Rows(20), [sink]).run()
    assert report["n_samples"] == 20
    assert "2 not sent" in report["notes"][0]


def test_what_a_server_refuses_is_counted(database):
    uri, client = database
    client.delete_experiment(client.create_experiment("gone"))
    sink = MLflowSink(uri, experiment="gone", linger=30.0)
    sink.write_record(of_status({"n_samples": 0, "accuracy": 0.25}, "rows"))
    sink.close({})
    assert (sink.stats["refused"], sink.stats["sent"]) == (2, 0)
    assert "state is deleted" in sink.notes[0]


def test_addresses_and_kinds_are_checked():
    with pytest.raises(ConfigError, match="a tracking server or a database, got an empty one"):
        MLflowSink("")
    with pytest.raises(ConfigError, match="`only` must name status and report, got 'prediction'"):
        MLflowSink("sqlite:///a.db", only="prediction")
    sink = MLflowSink("https://user:secret@host/")
    assert "secret" not in sink.name
