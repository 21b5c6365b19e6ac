"""The plain values of a checkpoint have the declared names and types, and others are refused."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from loco_stream import (
    LOCOClassifier,
    LOCODetector,
    LOCOForecaster,
    LOCOMultiTargetRegressor,
    LOCORegressor,
    TaskMonitor,
)
from loco_stream._cli.inspect import command as inspect
from loco_stream.engine import StreamEngine
from loco_stream.engine._checkpoint import newest
from loco_stream.engine._checkpoint_schema import Checkpoint
from loco_stream.errors import CheckpointError
from loco_stream.stream import Labels, Sample
from tests.helpers.mutants import joined, signed, split
from tests.helpers.saved_schema import undeclared


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("monitor", "alarms", "states"), {"concept": "stable"}),
        (("monitor", "settings", "tasks"), []),
        (("monitor", "timeline", "segments", 0, "task"), 7),
        (("monitor", "timeline", "segments", 0, "goal"), "x"),
        (("monitor", "timeline", "matrix_counts"), [[1]]),
        (("monitor", "timeline", "pending", 0, 1), list("abcdefgh")),
        (("monitor", "unexamined", 0, 0), []),
        (("monitor", "features"), ["a", "a"]),
        (("measures", "prequential", "tallies", "hits", "majority"), "w"),
        (("measures", "prequential", "tallies", "hits", "n_correct"), [1]),
        (("measures", "prequential", "tallies", "confusion", "pairs", 0, 0), 5),
        (("trainer", "n_samples"), [1]),
        (("events", "quality"), True),
        (("undelivered",), 2),
        (("position",), 0.5),
        (("skip",), None),
        (("model", "shared"), 0.5),
    ],
)
def test_a_value_of_another_type_is_refused_before_a_row_is_learned(tmp_path, path, value):
    make = {"checkpoint": tmp_path, "task": "classification"}
    rows = [({"a": float(i % 3)}, "xyz"[i % 3]) for i in range(44)]  # some wait to be examined
    StreamEngine(LOCOClassifier(hidden_sizes=(4,)), rows, **make).run()
    newest = max(tmp_path.glob("checkpoint-*.loco"))
    header, arrays = split(newest.read_bytes()[:-32])
    place = header["config"]
    for key in path[:-1]:
        place = place[key]
    assert path[-1] in place or isinstance(place, list)
    place[path[-1]] = value
    newest.write_bytes(signed(joined(header, arrays)))
    for other in set(tmp_path.glob("checkpoint-*.loco")) - {newest}:
        other.unlink()
    with pytest.raises(CheckpointError):
        StreamEngine(LOCOClassifier(hidden_sizes=(4,)), rows, resume=True, **make).run()
    shown = CliRunner().invoke(inspect, [str(newest), "--json"])
    assert json.loads(shown.output)["fault"]


def saved_config(folder, model, events, **options):
    """Return the plain values of the checkpoint at the end of a run."""
    StreamEngine(model, events, checkpoint=folder, strict=False, **options).run()
    return newest(folder)[1].config


def changing_rows(n, regression=False):
    """Return rows whose labels turn around half-way."""
    rows = []
    for i in range(n):
        a = float(i % 7)
        turned = (i >= n // 2) != (i % 3 == 0)
        rows.append(({"a": a, "b": "text"}, a * 2.0 + turned if regression else "xy"[turned]))
    return rows


ROW = {"a": 0.5, "b": 1.0}
RUNS = {
    "forecaster": (LOCOForecaster(hidden_sizes=4), [({}, float(i % 3)) for i in range(40)], {}),
    "detector": (LOCODetector(), [(ROW, None)] * 40, {}),
    "detector beside": (LOCOClassifier(), [(ROW, "on")] * 40, {"anomaly": LOCODetector()}),
    "targets": (LOCOMultiTargetRegressor(), [(ROW, {"p": 1.0, "q": 2.0})] * 40, {}),
    "regression": (LOCORegressor(), [(ROW, 1.5)] * 40, {}),
    "delay": (LOCOClassifier(), [(ROW, "on")] * 40, {"delay": 3}),
}


@pytest.mark.parametrize("kind", RUNS)
def test_the_checkpoint_of_any_run_can_be_restored(tmp_path, kind):
    model, rows, options = RUNS[kind]
    StreamEngine(model, rows, checkpoint=tmp_path, **options).run()
    shown = CliRunner().invoke(inspect, [str(tmp_path), "--json"])
    assert json.loads(shown.output)["fault"] is None


@pytest.mark.parametrize("kind", ["held out", "regression", "late labels", "delay"])
def test_a_checkpoint_has_exactly_the_declared_fields(tmp_path, kind):
    model = LOCOClassifier(hidden_sizes=(4,), seed=1)
    monitor = {"holdout": 20, "share": 0.3, "min_segment": 50}
    if kind == "regression":
        model = LOCORegressor(hidden_sizes=(4,), seed=1)
        rows = changing_rows(600, regression=True)
        monitor = TaskMonitor(problem=kind, **monitor)
        config = saved_config(tmp_path, model, rows, task=kind, monitor=monitor)
    elif kind == "late labels":
        rows = changing_rows(600)
        events = [Sample(x, None, i) for i, (x, _) in enumerate(rows)]
        labels = [Labels([i], [y]) for i, (_, y) in enumerate(rows[:500])]
        config = saved_config(tmp_path, model, [*events, *labels])
    else:
        delay = 5 if kind == "delay" else None
        monitor = TaskMonitor(**monitor)
        config = saved_config(tmp_path, model, changing_rows(600), monitor=monitor, delay=delay)
    assert sorted(set(undeclared(config, Checkpoint))) == []


def test_fields_that_are_not_declared_are_found(tmp_path):
    config = saved_config(tmp_path, LOCOClassifier(hidden_sizes=(4,)), changing_rows(50))
    config["trainer"]["n_new"] = 1
    del config["monitor"]["timeline"]["segments"][0]["goal"]
    assert sorted(undeclared(config, Checkpoint)) == [
        "checkpoint.monitor.timeline.segments[].goal",
        "checkpoint.trainer.n_new",
    ]
