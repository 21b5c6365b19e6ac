"""Metrics and spans by OpenTelemetry: in memory, and by OTLP to a server on this machine."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import LOCOClassifier, LOCORegressor, StreamEngine
from loco_stream._cli.main import main
from loco_stream.connectors import CSVSource
from loco_stream.engine._prometheus import EngineCollector
from loco_stream.errors import ConfigError

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from loco_stream.engine.telemetry import Telemetry


def rows(n=200):
    return [({"a": i % 7, "b": i % 3}, ("ok", "worn")[i % 2]) for i in range(n)]


def collected(reader):
    """Return the points of each metric: value by labels."""
    found = {}
    for resource in reader.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = {
                    tuple(sorted(point.attributes.items())): point.value
                    for point in metric.data.data_points
                }
    return found


def scraped(engine):
    """Return the same of what Prometheus scrapes, without counters' suffix and the histogram."""
    found = {}
    for family in EngineCollector(engine).collect():
        if family.type != "histogram":
            found[family.name] = {
                tuple(sorted(sample.labels.items())): sample.value for sample in family.samples
            }
    return found


@pytest.mark.parametrize("is_regression", [False, True])
def test_the_metrics_are_those_for_prometheus(is_regression):
    model = (LOCORegressor if is_regression else LOCOClassifier)(hidden_sizes=(4,), seed=1)
    pairs = [(x, float(len(y))) for x, y in rows()] if is_regression else rows()
    reader = InMemoryMetricReader()
    telemetry = Telemetry(reader=reader, processor=SimpleSpanProcessor(InMemorySpanExporter()))
    engine = StreamEngine(model, pairs, watchers=[telemetry], tracer=telemetry.tracer)
    engine.run()
    expected = {name: points for name, points in scraped(engine).items() if points}
    assert collected(reader) == expected
    assert expected["loco_rows_learned"] == {(): 200}
    assert len(expected) > 30
    telemetry.close()


def test_commits_blocks_and_checkpoints_are_spans(tmp_path):
    rng = np.random.default_rng(0)
    lines = [f"{a},{b},{'ok' if a > 0 else 'worn'}" for a, b in rng.normal(size=(500, 2))]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,kind", *lines]) + "\n")
    spans = InMemorySpanExporter()
    telemetry = Telemetry(reader=InMemoryMetricReader(), processor=SimpleSpanProcessor(spans))
    source = CSVSource(tmp_path / "rows.csv", target="kind")
    model = LOCOClassifier(hidden_sizes=(4,), seed=1)
    engine = StreamEngine(model, source, checkpoint=tmp_path / "state", tracer=telemetry.tracer)
    engine.run()
    telemetry.close()
    found = {}
    for span in spans.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    assert sum(span.attributes["rows"] for span in found["loco.block"]) == 500
    commits = {span.context.span_id: span for span in found["loco.commit"]}
    assert all(span.parent.span_id in commits for span in found["loco.block"])
    numbers = [span.attributes["commit"] for span in found["loco.commit"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert found["loco.checkpoint"][-1].attributes["rows"] == 500


def test_an_engine_with_a_tracer_learns_the_same():
    models = []
    for options in ({}, {"tracer": Telemetry(**memory()).tracer}):
        model = LOCOClassifier(hidden_sizes=(4,), seed=1)
        StreamEngine(model, rows(), **options).run()
        models.append(model)
    plain, traced = (model.predict_proba_array([[1.0, 2.0]]) for model in models)
    assert plain.tobytes() == traced.tobytes()


def memory():
    processor = SimpleSpanProcessor(InMemorySpanExporter())
    return {"reader": InMemoryMetricReader(), "processor": processor}


class _Collected(BaseHTTPRequestHandler):
    bodies: dict[str, list[bytes]]

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.setdefault(self.path, []).append(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        """Log nothing."""


@pytest.fixture
def collector():
    """Serve the paths of an OTLP collector; return its URL and the bodies by path."""
    handler = type("Handler", (_Collected,), {"bodies": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler.bodies
    server.shutdown()
    thread.join()
    server.server_close()


def test_metrics_and_spans_are_exported_by_otlp(collector, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "press-7")
    url, bodies = collector
    telemetry = Telemetry(url)
    model = LOCOClassifier(hidden_sizes=(4,), seed=1)
    StreamEngine(model, rows(), watchers=[telemetry], tracer=telemetry.tracer).run()
    telemetry.close()
    metrics = ExportMetricsServiceRequest.FromString(bodies["/v1/metrics"][-1]).resource_metrics[0]
    names = {metric.name for metric in metrics.scope_metrics[0].metrics}
    assert {"loco_rows_learned", "loco_accuracy", "loco_alarm"} <= names
    spans = ExportTraceServiceRequest.FromString(bodies["/v1/traces"][-1]).resource_spans[0]
    assert spans.scope_spans[0].spans[0].name == "loco.commit"
    resource = {pair.key: pair.value.string_value for pair in spans.resource.attributes}
    assert resource["service.name"] == "press-7"


def test_the_command_exports_too(collector, tmp_path):
    url, bodies = collector
    path = tmp_path / "rows.csv"
    path.write_text("a,kind\n" + "".join(f"{i % 7},{'ab'[i % 2]}\n" for i in range(50)))
    command = ["run", f"csv:{path}?target=kind", "--quiet", "--otlp", url]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert set(bodies) == {"/v1/metrics", "/v1/traces"}


def test_the_command_says_once_that_there_is_no_collector(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(30)))
    command = ["run", f"csv:{path}?target=y", "--otlp", "http://127.0.0.1:1", "--json"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("were not exported to http://127.0.0.1:1: Failed to export") == 1
    assert "HTTPConnectionPool" not in result.stderr


def test_an_endpoint_that_is_no_url_is_refused(tmp_path):
    message = "`endpoint` must be http://HOST:PORT or https://HOST:PORT, got '127.0.0.1:4318'"
    with pytest.raises(ConfigError, match=message):
        Telemetry("127.0.0.1:4318")
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n1,0\n2,1\n")
    command = ["run", f"csv:{path}?target=y", "--otlp", "127.0.0.1:4318"]
    assert f"`--otlp`: {message}" in CliRunner().invoke(main, command).stderr


def exported(bodies):
    """Return the metrics of the last export by name."""
    body = ExportMetricsServiceRequest.FromString(bodies["/v1/metrics"][-1])
    return {
        metric.name: metric
        for scope in body.resource_metrics[0].scope_metrics
        for metric in scope.metrics
    }


def test_the_histogram_of_latencies_is_exported(collector):
    url, bodies = collector
    telemetry = Telemetry(url)
    model = LOCOClassifier(hidden_sizes=(4,), seed=1)
    engine = StreamEngine(model, rows(), watchers=[telemetry])
    engine.run()
    telemetry.close()
    (point,) = exported(bodies)["loco_latency_seconds"].histogram.data_points
    family = next(f for f in EngineCollector(engine).collect() if f.type == "histogram")
    expected = {s.labels["le"]: s.value for s in family.samples if s.name.endswith("_bucket")}
    cumulative = np.cumsum(point.bucket_counts)
    bounds = [f"{bound:.3g}" for bound in point.explicit_bounds]
    assert dict(zip([*bounds, "+Inf"], cumulative, strict=True)) == expected
    assert point.count == cumulative[-1] == 200
    assert point.sum == pytest.approx(engine.latency.total_us * 1e-6)
    assert point.max == pytest.approx(engine.latency.largest_us * 1e-6)
    assert point.max >= point.sum / point.count * (1.0 - 1e-9)


def test_the_commands_for_anomalies_and_fleets_export_too(collector, tmp_path):
    url, bodies = collector
    path = tmp_path / "rows.csv"
    lines = [f"{i % 7},k{i % 3},{'ab'[i % 2]}\n" for i in range(60)]
    path.write_text("a,device,kind\n" + "".join(lines))
    watch = ["watch", f"csv:{path}?drop=kind,device", "--quiet", "--otlp", url]
    assert CliRunner().invoke(main, watch).exit_code == 0
    assert "loco_anomaly_alarms" in exported(bodies)
    assert "/v1/traces" in bodies
    where = ["--key", "device", "--checkpoint", str(tmp_path / "fleet"), "--otlp", url]
    fleet = ["fleet", f"csv:{path}?target=kind", *where, "--set", "hidden_sizes=4", "--quiet"]
    done = CliRunner().invoke(main, fleet)
    assert done.exit_code == 0, done.output
    found = exported(bodies)
    assert found["loco_fleet_keys"].gauge.data_points[0].as_int == 3
    counts = {
        point.attributes[0].value.string_value: point.as_int
        for point in found["loco_fleet_rows"].sum.data_points
    }
    assert counts["samples"] == 60
