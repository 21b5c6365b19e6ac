"""Make the golden files of format version 0.1: run with version 0.1.0 installed.

    python make_golden_0_1.py FOLDER

Each model learns 300 rows of river's ImageSegments (or FriedmanDrift) and is saved; `expected.json`
holds what it says of the next five rows, and the SHA-256 of its state after learning 100 more.
"""

import itertools
import json
import sys
from pathlib import Path

from river import datasets

from loco_stream import LOCOClassifier, LOCORegressor, StreamEngine, TaskMonitor, save
from loco_stream.engine.state import export_model, state_sha256

MODELS = {
    "classifier": LOCOClassifier(hidden_sizes=(16,), seed=3),
    "deep_alif": LOCOClassifier(
        hidden_sizes=(8, 8, 8), neuron="alif", rule="np", readout_layers="last", seed=4
    ),
    "delta_izhikevich": LOCOClassifier(
        hidden_sizes=(6,), neuron="izhikevich", readout="delta", rank=2, seed=5
    ),
    "paper": LOCOClassifier(
        hidden_sizes=(12,), credit="perturbation", antithetic=True, leaks=(0.0, 1e-3), seed=6
    ),
    "regressor": LOCORegressor(hidden_sizes=(16,), seed=7),
}


def rows(name, n):
    data = datasets.synth.FriedmanDrift(seed=1) if name == "regressor" else datasets.ImageSegments()
    return list(itertools.islice(data, n))


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, model in MODELS.items():
        data = rows(name, 405)
        for x, y in data[:300]:
            model.predict_one(x)
            model.learn_one(x, y)
        save(model, folder / f"{name}.loco")
        says = [model.predict_one(x) for x, _ in data[300:305]]
        for x, y in data[305:405]:
            model.learn_one(x, y)
        expected[name] = {"says": says, "sha256": state_sha256(*export_model(model))}
    model = LOCOClassifier(hidden_sizes=(8,), seed=8)
    monitor = TaskMonitor(holdout=20, seed=1)
    engine = StreamEngine(
        model, datasets.ImageSegments(), monitor=monitor, checkpoint=folder / "run", delay=3
    )
    engine.run(max_samples=400)
    expected["run"] = {
        "n_samples": engine.status["n_samples"],
        "sha256": state_sha256(*export_model(engine.model)),
    }
    again = StreamEngine(
        LOCOClassifier(hidden_sizes=(8,), seed=8),
        datasets.ImageSegments(),
        monitor=TaskMonitor(holdout=20, seed=1),
        checkpoint=folder.parent / "resumed",
        delay=3,
        resume=True,
    )
    import shutil

    shutil.copytree(folder / "run", folder.parent / "resumed", dirs_exist_ok=True)
    report = again.run(max_samples=200).to_dict()
    expected["resumed"] = {
        "n_samples": report["n_samples"],
        "accuracy": report["accuracy"],
        "sha256": state_sha256(*export_model(again.model)),
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


main(Path(sys.argv[1]))
