"""Models and checkpoints written by earlier releases go on as they did there."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
from river import datasets

from loco_stream import LOCOClassifier, StreamEngine, TaskMonitor, load
from loco_stream.engine.state import export_model, state_sha256

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "v0_1"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


def rows(name, n):
    data = datasets.synth.FriedmanDrift(seed=1) if name == "regressor" else datasets.ImageSegments()
    return list(itertools.islice(data, n))


@pytest.mark.parametrize("name", ["classifier", "deep_alif", "delta_izhikevich", "paper", "regressor"])
def test_a_model_of_version_0_1_goes_on_to_the_bit(name):
    model, data = load(GOLDEN / f"{name}.loco"), rows(name, 405)
    assert [model.predict_one(x) for x, _ in data[300:305]] == EXPECTED[name]["says"]
    for x, y in data[305:]:
        model.learn_one(x, y)
    assert state_sha256(*export_model(model)) == EXPECTED[name]["sha256"]


def test_a_run_of_version_0_1_is_resumed_to_the_bit(tmp_path):
    shutil.copytree(GOLDEN / "run", tmp_path, dirs_exist_ok=True)
    engine = StreamEngine(
        LOCOClassifier(hidden_sizes=(8,), seed=8),
        datasets.ImageSegments(),
        monitor=TaskMonitor(holdout=20, seed=1),
        checkpoint=tmp_path,
        delay=3,
        resume=True,
    )
    report = engine.run(max_samples=200).to_dict()
    found = {key: report[key] for key in ("n_samples", "accuracy")} | {
        "sha256": state_sha256(*export_model(engine.model))
    }
    assert found == EXPECTED["resumed"]
