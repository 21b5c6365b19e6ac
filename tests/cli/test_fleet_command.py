"""`loco-stream fleet`: each option takes effect or is refused, and a fleet is resumed."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import Fleet, LOCODetector, LOCORegressor, save
from loco_stream._cli import main
from loco_stream.connectors import open_source
from loco_stream.errors import SourceError
from loco_stream.fleet._key_router import check_feature
from tests.helpers.models import classifier

SMALL = ["--set", "hidden_sizes=8"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with rows of two devices; the labels of the second are swapped in the middle."""
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(600, 3))
    lines = ["device,a,b,c,kind"]
    for i, row in enumerate(X):
        swapped = i % 2 and i > 300
        lines.append(f"{i % 2},{','.join(map(str, row))},{int((row[0] > 0) != swapped)}")
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def fleet(*words, source="csv:rows.csv?target=kind"):
    command = ["fleet", source, "--key", "device", "--checkpoint", "state"]
    return CliRunner().invoke(main, [*command, *map(str, words)])


def begun(*words):
    """Run the command, and return the settings of the fleet and the report."""
    done = fleet(*words, "--report", "report.json")
    assert done.exit_code == 0, done.output
    with open("state/fleet.json") as stored, open("report.json") as report:
        return json.load(stored), json.load(report)


def test_each_device_has_a_model(folder):
    stored, report = begun(*SMALL)
    assert (report["n_samples"], report["n_keys"]) == (600, 2)
    assert {row["key"]: row["n_samples"] for row in report["worst"]} == {0: 300, 1: 300}
    assert [row["key"] for row in report["drifted_lately"]] == [1]
    with Fleet(None, folder / "state") as opened:
        assert opened.model(0).hidden_sizes == 8
    assert stored["settings"]["settings"] == ["hidden_sizes=8"]


@pytest.mark.parametrize("mode", [[], ["--watch"]])
def test_a_key_that_is_no_column_is_refused_before_anything_is_written(mode, folder):
    refused = fleet("--key", "devise", *mode)
    assert refused.exit_code != 0
    assert (
        "csv:rows.csv: `key` must be a feature of the rows, got 'devise'; did you mean 'device'? "
        "(features: device, a, b, c)" in refused.output
    )
    assert not (folder / "state").exists()


@pytest.mark.parametrize(
    ("options", "key", "role"),
    [
        ("", "kind", "the label"),
        ("&drop=a", "a", "dropped"),
        ("&id=a", "a", "the id of the row"),
        ("&time=a", "a", "the event time"),
        ("&sequence=a", "a", "the sequence id"),
    ],
)
def test_a_key_that_is_a_column_but_no_feature_is_refused_with_its_role(options, key, role, folder):
    source = open_source(f"csv:rows.csv?target=kind{options}")
    features = ", ".join(source.schema.features)
    message = (
        f"csv:rows.csv: `key` must be a feature of the rows, got '{key}', which is {role} "
        f"(features: {features})"
    )
    with pytest.raises(SourceError, match=f"^{re.escape(message)}$"):
        check_feature(key, source)


def test_a_key_that_is_the_label_is_refused_also_if_columns_are_not_known(folder):
    rows = [{"device": i % 2, "level": i, "kind": "a"} for i in range(4)]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    refused = fleet("--key", "kind", source="jsonl:rows.jsonl?target=kind")
    assert refused.exit_code != 0
    assert "`key` must be a feature of the rows, got 'kind', which is the label" in refused.output
    assert not (folder / "state").exists()


def test_a_fleet_that_waits_for_its_first_rows_has_locked_its_directory(folder, monkeypatch):
    refused = []

    def waits(*reader, **options):
        if not refused:
            refused.append(None)
            refused[0] = fleet(*SMALL)
        return "classification"

    monkeypatch.setattr("loco_stream.engine._task.find_task", waits)
    begun(*SMALL)
    assert "the checkpoint folder state is in use by another engine" in refused[0].stderr


@pytest.mark.parametrize("odd", ["three", "0,0"])
def test_bad_rows_of_the_source_are_counted_noted_and_logged(folder, odd):
    rows = (folder / "rows.csv").read_text().splitlines()
    rows[7] = f"0,1,2,3,{odd}"
    (folder / "rows.csv").write_text("\n".join(rows) + "\n")
    done = fleet(*SMALL, "--task", "regression", "--report", "report.json")
    assert done.exit_code == 0, done.output
    report = json.loads((folder / "report.json").read_text())
    assert (report["n_samples"], report["n_unused"]) == (599, 1)
    noted = "1 row of the source left out; the last error: line 8 of rows.csv"
    assert any(noted in note for note in report["notes"])
    assert noted in done.stderr


def test_a_fleet_without_any_label_names_the_detectors(folder):
    (folder / "rows.csv").write_text("device,a,kind\n" + "1,2,\n" * 9)
    done = fleet(*SMALL, "--task", "classification")
    assert "no row had a label: --watch detects anomalies without any" in done.stderr


def test_a_folder_that_cannot_be_used_is_refused(folder):
    for path in ("rows.csv", "rows.csv/state"):
        refused = fleet("--checkpoint", path)
        assert refused.exit_code == 2
        assert f"cannot use the checkpoint folder {path}: {folder}/rows.csv is a file" in (
            refused.stderr
        )


def test_a_preset_takes_effect(folder):
    begun("--preset", "fast")
    with Fleet(None, folder / "state") as opened:
        assert opened.model(0).hidden_sizes == (64,)


def test_the_seed_reaches_models_and_monitors(folder):
    stored, _ = begun(*SMALL, "--seed", 5, "--holdout", 10)
    assert (stored["watch"]["seed"], stored["watch"]["holdout"]) == (5, 10)
    with Fleet(None, folder / "state") as opened:
        assert opened.model(0).seed == 5


def test_the_drift_detector_reaches_the_monitors(folder):
    stored, report = begun(*SMALL, "--drift-detector", "DDM")
    assert stored["settings"]["drift_detector"] == "DDM"
    assert report["drifted_lately"][0]["drift"]["detector"] in {"DDM", "energy"}


def test_a_template_takes_effect_and_excludes_parameters(folder):
    trained = classifier(hidden_sizes=(8,), receptive_fields=3, seed=1)
    X = np.random.default_rng(1).normal(size=(50, 3))
    trained.learn_array(X, (X[:, 0] > 0).astype(int), features=("a", "b", "c"))
    save(trained, folder / "model.loco")
    for options in (SMALL, ["--preset", "fast"]):
        refused = fleet("--template", "model.loco", *options)
        assert refused.exit_code == 2
        assert "`--template` excludes --preset and --set" in refused.stderr
    _, report = begun("--template", "model.loco", "--on-drift", "tee -a drifts.jsonl")
    assert {row["n_samples"] for row in report["worst"]} == {350}
    assert json.loads((folder / "drifts.jsonl").read_text().splitlines()[0])["key"] == 1
    assert fleet().exit_code == 0  # without the template the fleet continues


def test_the_template_tells_the_task_of_rows_whose_labels_come_later(folder, monkeypatch):
    save(LOCORegressor(hidden_sizes=(8,), seed=1), folder / "model.loco")
    monkeypatch.setattr("loco_stream.engine._task.find_task", lambda reader, **_: None)
    assert "the task cannot be inferred" in fleet(*SMALL).stderr
    _, report = begun("--template", "model.loco")
    assert (report["task"], report["n_samples"]) == ("regression", 600)


def test_a_fleet_is_resumed_with_the_options_it_was_begun_with(folder):
    begun(*SMALL, "--seed", 3)
    assert fleet().exit_code == 0
    assert fleet("--seed", 3).exit_code == 0
    for options, name in (
        (["--seed", 4], "with --seed 3"),
        (["--preset", "fast"], "without --preset"),
        (["--set", "hidden_sizes=9"], "with --set hidden_sizes=8"),
        (["--holdout", 9], "with --holdout 0"),
        (["--drift-detector", "DDM"], "without --drift-detector"),
    ):
        refused = fleet(*options)
        assert refused.exit_code == 2
        assert f"was begun {name}, so" in refused.stderr


def test_a_fleet_of_release_0_2_has_no_stored_options_to_compare(folder):
    begun(*SMALL)
    path = folder / "state" / "fleet.json"
    stored = json.loads(path.read_text())
    del stored["settings"]
    path.write_text(json.dumps(stored))
    assert fleet().exit_code == 0
    assert fleet(*SMALL).exit_code == 0
    refused = fleet("--set", "hidden_sizes=9")
    assert refused.exit_code == 2
    assert "`model` must equal the one" in refused.stderr
    assert "settings" not in json.loads(path.read_text())


def test_a_fleet_that_was_begun_in_python_continues(folder):
    with Fleet(classifier(hidden_sizes=4), folder / "state", key_groups=3) as begun_here:
        begun_here.learn(0, [[0.5, 1.0]], [1])
    again = fleet()
    assert again.exit_code == 0, again.output


def test_labels_are_chosen_by_the_rule_of_the_command(folder):
    begun(*SMALL, "--threshold", "1=1e-9")
    with Fleet(None, folder / "state") as opened:
        assert opened.decision(0) == opened.decision() == {"thresholds": {1: 1e-9}}
    assert fleet().exit_code == 0  # the rule stays
    assert fleet("--cost", "0,1=5").exit_code == 0
    with Fleet(None, folder / "state") as opened:
        assert opened.decision() == {"costs": {(0, 1): 5.0}}
    assert (
        "excludes --threshold: set the rule of the --template"
        in fleet("--workers", 1, "--partitions", 1, "--threshold", "1=0.5").stderr
    )


def test_options_that_need_others_are_refused(folder):
    assert "`--ray` needs --workers" in fleet("--ray", "HOST:1").stderr
    assert "`--dashboard-port` needs --dashboard" in fleet("--dashboard-port", 1).stderr
    assert "`durability` of a fleet must be" in fleet("--durability", "off").stderr
    assert not (folder / "state").exists()


def test_the_page_is_served_while_the_fleet_learns(folder):
    done = fleet(*SMALL, "--dashboard", "--dashboard-port", 0)
    assert done.exit_code == 0
    assert "live page: http://127.0.0.1:" in done.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_workers_learn_the_same(folder):
    pytest.importorskip("ray")
    done = fleet(*SMALL, "--workers", 2, "--report", "report.json")
    assert "2 workers on Ray" in done.stderr
    report = json.loads((folder / "report.json").read_text())
    assert (report["n_samples"], report["n_keys"]) == (600, 2)
    assert [row["key"] for row in report["drifted_lately"]] == [1]


def test_detectors_refuse_options_of_models_that_learn_labels(folder):
    for words in (
        ["--task", "regression"],
        ["--preset", "fast"],
        SMALL,
        ["--holdout", 5],
        ["--drift-detector", "ADWIN"],
        ["--on-drift", "true"],
    ):
        refused = fleet("--watch", *words)
        assert refused.exit_code == 2
        assert f"`--watch` excludes {words[0]}: no labels are learned" in refused.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--on-bad", "stop"],
        ["--keys", "keys"],
        ["--sink", "jsonl:x"],
        ["--control-token", "x"],
    ],
)
def test_workers_with_partitions_refuse_what_they_do_not_have(folder, words):
    refused = fleet("--partitions", 2, "--workers", 1, "--task", "classification", *words)
    assert f"`--partitions` excludes {words[0]}:" in refused.stderr


def test_a_signal_before_workers_read_partitions_ends_like_one_before_the_first_row(
    folder, monkeypatch
):
    def interrupted(*args, **options):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

    monkeypatch.setattr("loco_stream.fleet._partitions.PartitionedFleet", interrupted)
    done = fleet("--partitions", 1, "--workers", 1, "--task", "classification")
    assert done.exit_code == 0
    assert "ended before the first row" in done.stderr


def test_an_interrupted_start_is_one_sentence(folder, monkeypatch):
    def interrupted(location):
        raise KeyboardInterrupt

    monkeypatch.setattr("loco_stream.fleet._home.stored_fleet", interrupted)
    done = fleet()
    assert (done.exit_code, done.stderr) == (1, "loco-stream: interrupted\n")


def test_a_template_must_be_a_model_for_the_labels(folder):
    model = classifier(hidden_sizes=8)
    for row in range(20):
        model.learn_one({"a": row % 2}, row % 2)
    save(model, "model.loco")
    refused = fleet("--template", "model.loco", "--task", "regression")
    assert "`--template` must be a model for regression, got a LOCOClassifier" in refused.stderr
    refused = fleet("--template", "model.loco", "--watch")
    assert "`--template` must be a LOCODetector with --watch" in refused.stderr
    save(LOCODetector(), "detector.loco")
    refused = fleet("--template", "detector.loco")
    assert "`--template` must be a model for classification" in refused.stderr
    refused = fleet("--template", "detector.loco", "--watch", "--every", 20)
    assert "`--template` excludes --every" in refused.stderr


def test_a_fleet_continues_with_the_key_it_was_begun_with(folder):
    begun(*SMALL)
    refused = fleet("--key", "a")
    assert refused.exit_code == 2
    assert "was begun with --key device, so it cannot continue with --key a" in refused.stderr


@pytest.mark.parametrize("share", ["start", "prior"])
def test_devices_share_what_they_learn(folder, share):
    refused = fleet("--share", share)
    assert "`--share` needs --template MODEL" in refused.stderr
    model = classifier(hidden_sizes=8)
    X = np.random.default_rng(1).normal(size=(300, 3))
    model.learn_array(X, (X[:, 0] > 0).astype(int).tolist(), list("abc"))
    save(model, "model.loco")
    stored, report = begun("--template", "model.loco", "--share", share, "--share-every", 200)
    assert stored["share"] == share
    assert stored["shared"] is not None
    assert report["n_samples"] == 600
    assert {"shared_weight" in row for row in report["worst"]} == {share == "prior"}
    assert fleet().exit_code == 0  # goes on with the same share
    assert f"was begun with --share {share}, so" in fleet("--share", "none").stderr
