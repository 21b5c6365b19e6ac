"""Runs of MLflow: parameters, scores over time, the report, and the model file."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias
from uuid import uuid4

from loco_stream._checks import checks_types
from loco_stream.connectors._base.buffered_sink import BufferedSink, RefusedError, digest, encode
from loco_stream.connectors._base.connector import Connector, Extra
from loco_stream.errors import ConfigError
from loco_stream.stream import Record

Client: TypeAlias = Any  # a mlflow.MlflowClient, whose type is not known without the extra

_EXTRA = Extra("mlflow", "mlflow-skinny>=3.1", "mlflow")
_NOT_MEASURED = frozenset({"kind", "t", "seq"})  # numbers that every record has
_BATCH = 100  # parameters that a server takes together,
_METRICS = 1000  # and points
_LONGEST_VALUE = 6000  # characters of a parameter
_FINAL = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "PERMISSION_DENIED", "RESOURCE_DOES_NOT_EXIST")
_MODEL = "model.loco"
_TAG = "loco_stream.run"


class MLflowSink(BufferedSink):
    """Writes the run of an engine as a run of MLflow.

    Parameters are those of the model, with source, task and version. The numbers of the status are
    logged every 5 s at the count of labelled rows, and at the end the scores since then. The report
    is the artifact ``report.json``. With a checkpoint folder, the newest checkpoint is the artifact
    ``model/model.loco``, which `loco_stream.load` reads. A resumed run continues its run of MLflow.
    The telemetry of the library is off unless ``MLFLOW_DISABLE_TELEMETRY`` is set to ``false``.

    Parameters
    ----------
    uri
        Tracking server ``http://HOST:PORT``, or database such as ``sqlite:///mlflow.db``, for which
        alembic and sqlalchemy are installed. Credentials come from the variables of MLflow.
    experiment
        Name of the experiment; created if absent.
    run
        Name of the run. By default MLflow makes one up.
    options
        Those of `BufferedSink`.

    Raises
    ------
    ConfigError
        There is no URI, or `only` names a kind of record that MLflow has no place for.
    SourceError
        The library is not installed.

    Examples
    --------
    The sink sends parameters, scores and the report to a server on this machine:

    >>> from loco_stream import LOCOClassifier, StreamEngine
    >>> from loco_stream.connectors import MLflowSink, open_source
    >>> def learn():
    ...     sink = MLflowSink("http://127.0.0.1:5000", experiment="press")
    ...     StreamEngine(LOCOClassifier(), open_source("river:Phishing"), sinks=[sink]).run()
    """

    guarantee = "at least once (a number that is sent again is the same point)"
    default_kinds: ClassVar[frozenset[str]] = frozenset({"status", "report"})

    @checks_types
    def __init__(
        self,
        uri: str,
        *,
        experiment: str = "loco-stream",
        run: str | None = None,
        **options: Any,
    ) -> None:
        if not uri:
            raise ConfigError("`uri` must be a tracking server or a database, got an empty one")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._mlflow = _EXTRA.load()
        self.errors = (OSError, self._mlflow.exceptions.MlflowException)
        shown = uri.partition("://")[0] if "@" in uri else uri
        super().__init__(f"mlflow:{shown}/{experiment}#{digest(uri)}", **options)
        if not self.kinds <= self.default_kinds:
            kinds = ",".join(sorted(self.kinds))
            raise ConfigError(f"mlflow: `only` must name status and report, got {kinds!r}")
        self._uri = uri
        self._experiment = experiment
        self._run_name = run
        self._key = uuid4().hex  # the tag by which a resumed run finds its run of MLflow
        self._run_id = ""
        self._client: Client = None
        self._facts: Mapping[str, Any] = {}
        self._step = -1  # rows at the last status
        self._model_sent = ""

    # Called by the engine

    def begin(self, run: Mapping[str, Any]) -> None:
        """Keep what becomes the parameters of the run."""
        super().begin(run)
        self._facts = dict(run)

    def export_state(self) -> Any:
        """Return the tag of the run, and the records that are not delivered."""
        return {"run": self._key, "records": super().export_state()}

    def restore_state(self, state: Any) -> None:
        """Continue a run, and queue what an earlier process had not delivered."""
        self._key = state["run"]
        super().restore_state(state["records"])

    # Run by the thread

    def send(self, records: Sequence[Record]) -> None:
        """Log records in their order."""
        try:
            client = self._connected()
            for record in records:
                if record["kind"] == "status":
                    self._log_status(client, record)
                else:
                    self._log_report(client, record)
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code in _FINAL:
                raise RefusedError(str(error)) from None
            raise

    def disconnect(self) -> None:
        """Forget the client; the run stays."""
        self._client = None

    def _connected(self) -> Client:
        """Return the client once the run exists."""
        if self._client is not None:
            return self._client
        client = self._mlflow.MlflowClient(tracking_uri=self._uri)
        self._enter_run(client)
        self._client = client
        return client

    def _enter_run(self, client: Client) -> None:
        """Create the run, or continue the one with this tag."""
        found = client.get_experiment_by_name(self._experiment)
        where = found.experiment_id if found else client.create_experiment(self._experiment)
        runs = client.search_runs([where], f"tags.`{_TAG}` = '{self._key}'", max_results=1)
        if runs:
            self._run_id = runs[0].info.run_id
            client.update_run(self._run_id, status="RUNNING")
            return
        run = client.create_run(where, run_name=self._run_name, tags={_TAG: self._key})
        self._run_id = run.info.run_id
        self._log_parameters(client)

    def _log_parameters(self, client: Client) -> None:
        own = {name: self._facts.get(name) for name in ("model", "source", "task", "version")}
        every = {**own, **self._facts.get("parameters", {})}
        params = [
            self._mlflow.entities.Param(name, str(value)[:_LONGEST_VALUE])
            for name, value in every.items()
        ]
        for at in range(0, len(params), _BATCH):
            client.log_batch(self._run_id, params=params[at : at + _BATCH])

    def _log_status(self, client: Client, record: Record) -> None:
        self._step = record["seq"]
        self._log_numbers(client, [(record["seq"], _numbers(record["status"]))], record["t"])
        self._log_model(client)

    def _log_report(self, client: Client, record: Record) -> None:
        report = record["report"]
        end = record["seq"]
        since = [point for point in _curve(report.get("curve", {})) if self._step < point[0] < end]
        self._log_numbers(client, [*since, (end, _numbers(report))], record["t"])
        client.log_text(self._run_id, encode(report).decode(), "report.json")
        self._log_model(client)
        client.set_terminated(
            self._run_id, status="KILLED" if report.get("interrupted") else "FINISHED"
        )

    def _log_numbers(
        self, client: Client, points: Iterable[tuple[int, Mapping[str, float]]], t: float | None
    ) -> None:
        """Log numbers by name at counts of rows."""
        stamp = int(1000 * (time.time() if t is None else t))
        metric = self._mlflow.entities.Metric
        each = [metric(name, x, stamp, at) for at, numbers in points for name, x in numbers.items()]
        for begin in range(0, len(each), _METRICS):
            client.log_batch(self._run_id, metrics=each[begin : begin + _METRICS])

    def _log_model(self, client: Client) -> None:
        """Upload the newest checkpoint, if there is one that was not uploaded yet."""
        folder = self._facts.get("checkpoint")
        files = [] if folder is None else sorted(Path(folder).glob("checkpoint-*.loco"))
        if not files or files[-1].name == self._model_sent:
            return
        with tempfile.TemporaryDirectory() as room:
            copy = Path(room) / _MODEL
            shutil.copyfile(files[-1], copy)
            client.log_artifact(self._run_id, str(copy), "model")
        self._model_sent = files[-1].name


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite single numbers of a status or report."""
    return {
        name: float(value)
        for name, value in values.items()
        if name not in _NOT_MEASURED
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


def _curve(curve: Mapping[str, Sequence[float]]) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the points of a curve of scores: the number of rows, and the scores there."""
    names = [name for name in curve if name != "at"]
    for i, at in enumerate(curve.get("at", ())):
        scores = {name: curve[name][i] for name in names}
        yield int(at), {name: x for name, x in scores.items() if math.isfinite(x)}


CONNECTORS = (
    Connector(
        "mlflow",
        MLflowSink,
        {
            "mlflow:http://127.0.0.1:5000?experiment=NAME": MLflowSink.guarantee,
            "mlflow:sqlite:///mlflow.db?experiment=NAME": MLflowSink.guarantee,
        },
        extra=_EXTRA,
    ),
)
