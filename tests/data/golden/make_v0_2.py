"""Make the golden files of format version 2: run in a checkout of commit f667e42, release 0.2.

    PYTHONPATH=. python make_v0_2.py FOLDER

`tests/helpers/golden_runs.py` of today must be importable as `golden_runs`. Each model learns its
first rows and is saved; `expected.npz` holds its predictions for the rows that follow, each made
before that row is learned.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import golden_runs as runs
import numpy as np
from river import compose, preprocessing

from loco_stream import Fleet, LOCOClassifier, LOCORegressor, StreamEngine, TaskMonitor, save

END = runs.SAVED_AFTER + runs.CONTINUED


def models():
    for name, parameters in runs.CLASSIFIERS.items():
        yield name, LOCOClassifier(**parameters)
    for name, parameters in runs.REGRESSORS.items():
        yield name, LOCORegressor(**parameters)


def make_models(folder, expected):
    for name, model in models():
        runs.learn(model, name, 0, runs.SAVED_AFTER)
        save(model, folder / f"{name}.loco")
        expected[name] = runs.learn(model, name, runs.SAVED_AFTER, END)


def make_pipeline(folder, expected):
    model = compose.Pipeline(
        preprocessing.StandardScaler(), LOCOClassifier(hidden_sizes=(12,), seed=41)
    )
    rows, y, _ = runs.named_rows("small")
    predicted = []
    for i, (x, label) in enumerate(zip(rows, y, strict=True)):
        if i == runs.SAVED_AFTER:
            save(model, folder / "pipeline.loco")
        x = {name: 0.0 if value != value else value for name, value in x.items()}
        predicted.append([model.predict_proba_one(x).get(c, 0.0) for c in "abc"])
        model.learn_one(x, label)
    expected["pipeline"] = np.array(predicted[runs.SAVED_AFTER :])


def make_engine(folder, expected):
    """Half of a run with late labels, hold-outs and drift; the other half continues in a copy."""
    rows, y, _ = runs.named_rows("small")
    events = [(x, label) for x, label in zip(rows, y, strict=True)]

    def engine(path, resume):
        monitor = TaskMonitor(holdout=20, seed=1)
        model = LOCOClassifier(hidden_sizes=(12,), seed=42)
        return StreamEngine(model, events, monitor=monitor, checkpoint=path, delay=4, resume=resume)

    engine(folder / "run", False).run(max_samples=runs.SAVED_AFTER)
    shutil.copytree(folder / "run", folder / "resumed")
    again = engine(folder / "resumed", True)
    predicted = []
    again.on(
        "prediction", lambda record: predicted.append([record["proba"].get(c, 0.0) for c in "abc"])
    )
    report = again.run().to_dict()
    shutil.rmtree(folder / "resumed")
    expected["run"] = np.array(predicted)
    expected["run_report"] = np.array(
        [report["n_samples"], report["accuracy"], report["kappa"], report["log_loss"]]
    )


def make_command(folder):
    """The first half of a run of the command, which `tests/cli/test_stored_options.py` resumes."""
    lines = [f"{i % 7},{i * 3 % 5},{'xy'[i % 7 > 3]}" for i in range(120)]
    (folder / "rows.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    options = "--set hidden_sizes=4 --set centroids=0 --window 50 --seed 3 --max-samples 60"
    command = [sys.executable, "-m", "loco_stream", "run", "csv:rows.csv?target=y"]
    subprocess.run([*command, "--checkpoint", "command", *options.split()], cwd=folder, check=True)


def make_fleet(folder, expected):
    X, y, _ = runs.rows_of("small")
    model = LOCOClassifier(hidden_sizes=(8,), seed=43)
    with Fleet(model, folder / "fleet", key_groups=4) as fleet:
        for k, key in enumerate(["press 7", 8, "press 9"]):
            fleet.learn(key, X[k : runs.SAVED_AFTER : 3], y[k : runs.SAVED_AFTER : 3])
    shutil.copytree(folder / "fleet", folder / "resumed")
    with Fleet(None, folder / "resumed", key_groups=4) as fleet:
        for k, key in enumerate(["press 7", 8, "press 9"]):
            rest = slice(runs.SAVED_AFTER + k, END, 3)
            predicted = fleet.learn_predict(key, X[rest], y[rest])
            expected[f"fleet {key}"] = np.array([["abc".index(label)] for label in predicted])
    shutil.rmtree(folder / "resumed")


def make_killed_fleet(folder):
    """A fleet whose process ended without closing it: some rows are only in the logs."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    X, y, _ = runs.rows_of("small")
    fleet = Fleet(
        LOCOClassifier(hidden_sizes=(8,), seed=43),
        folder / "fleet_killed",
        key_groups=4,
        max_resident=2,
        checkpoint_every=120,
        durability="batch",
    )
    for k, key in enumerate(["press 7", 8, "press 9"]):
        part = slice(k, runs.SAVED_AFTER, 3)
        fleet.learn(key, X[part], y[part], source="plant", epoch=1, seq=0)
    os._exit(9)


def main(folder):
    folder.mkdir(parents=True)
    expected = {}
    make_models(folder, expected)
    make_pipeline(folder, expected)
    make_engine(folder, expected)
    make_fleet(folder, expected)
    make_killed_fleet(folder)
    make_command(folder)
    np.savez_compressed(folder / "expected.npz", **expected)


main(Path(sys.argv[1]))
