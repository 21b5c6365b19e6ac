"""A decision that is set on a running engine, by its options and by its HTTP API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import numpy as np
import pytest
from click.testing import CliRunner
from river import naive_bayes

from loco_stream import LOCOClassifier, LOCORegressor, StreamEngine, load
from loco_stream._cli._decision import DecisionOptions
from loco_stream._cli.main import main
from loco_stream._persistence.format import read
from loco_stream.connectors import CSVSource
from loco_stream.errors import ConfigError
from tests.dashboard.test_http_labels import Service
from tests.helpers.serving import wait_until

RULE = {"thresholds": {"fault": 0.05}}


@pytest.fixture
def rows(tmp_path):
    """Return the path of a table with a rare class, and its rows."""
    rng = np.random.default_rng(0)
    fault = rng.random(300) < 0.15
    X = np.round(rng.normal(size=(300, 2)) + fault[:, None], 3)
    labels = np.where(fault, "fault", "ok")
    lines = [f"{a},{b},{label}" for (a, b), label in zip(X, labels, strict=True)]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["a,b,kind", *lines]) + "\n")
    pairs = [({"a": a, "b": b}, label) for (a, b), label in zip(X, labels.tolist(), strict=True)]
    return path, pairs


def small():
    return LOCOClassifier(hidden_sizes=(6,), seed=1)


def predictions(model, source, **options):
    engine = StreamEngine(model, source, **options)
    records = []
    engine.on("prediction", records.append)
    report = engine.run()
    return [record["prediction"] for record in records], report


def test_rows_and_blocks_are_predicted_by_the_rule_and_scored_so(rows):
    path, pairs = rows
    plain, plain_report = predictions(small(), pairs)
    model = small()
    model.set_decision(**RULE)
    block_model = small()
    block_model.set_decision(**RULE)
    by_row, report = predictions(model, pairs)
    by_block, block_report = predictions(block_model, CSVSource(path, target="kind"))
    assert by_row == by_block != plain
    assert report["accuracy"] == block_report["accuracy"] != plain_report["accuracy"]
    assert report["roc_auc"] == plain_report["roc_auc"]
    assert by_row.count("fault") > 2 * plain.count("fault")


def test_models_without_such_a_rule_are_refused():
    for model in (LOCORegressor(), naive_bayes.GaussianNB()):
        engine = StreamEngine(model, [({"a": 1.0}, 1.0)])
        with pytest.raises(ConfigError, match="`model` must be a LOCOClassifier"):
            engine.set_decision(**RULE)


# The HTTP API


def get(service, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(service.api.url + "decision", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_the_rule_is_changed_on_a_running_service_and_durable_in_its_answer(rows, tmp_path):
    _, pairs = rows
    with Service(checkpoint=tmp_path / "state") as service:
        body = {"rows": [{"x": x, "y": y} for x, y in pairs[:200]]}
        assert service.post("learn", body)[0] == 200
        wait_until(lambda: service.engine.status["n_samples"] == 200)
        asked = {"rows": [x for x, _ in pairs[200:]]}
        before = service.post("predict", asked)[1]["predictions"]
        thresholds = [
            {"label": "fault", "probability": 0.01},
            {"label": "fualt", "probability": 0.5},
        ]
        status, answer = service.post("decision", {"thresholds": thresholds})
        expected = {"thresholds": thresholds, "costs": [], "unknown_labels": ["fualt"]}
        assert (status, answer) == (200, expected)
        assert get(service) == expected
        newest = max((tmp_path / "state").glob("checkpoint-*.loco"))
        assert read(newest).config["model"]["decision"]["thresholds"][0] == ["fault", 0.01]
        assert load(newest).decision == {"thresholds": {"fault": 0.01, "fualt": 0.5}}
        after = service.post("predict", asked)[1]["predictions"]
        assert [one["proba"] for one in before] == [one["proba"] for one in after]
        assert [one["prediction"] for one in after] == [
            "fault" if one["proba"]["fault"] >= 0.01 else "ok" for one in after
        ]
        costs = [{"true": "ok", "predicted": "fault", "cost": 50.0}]
        assert service.post("decision", {"costs": costs})[1]["costs"] == costs
        assert service.post("decision", {})[1] == {
            "thresholds": [],
            "costs": [],
            "unknown_labels": [],
        }
        assert service.engine.model.decision is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"thresholds": [{"label": "ok", "probability": 2.0}]}, 422),
        ({"thresholds": []}, 422),
        ({"thresholds": [{"label": "ok", "probability": p} for p in (0.2, 0.3)]}, 422),
        ({"costs": [{"true": "ok", "predicted": "worn", "cost": c} for c in (2, 3)]}, 422),
        ({"thresholds": [{"label": 2**65, "probability": 0.5}]}, 422),
        ({"thresholds": [{"label": None, "probability": 0.5}]}, 422),
        ({"thresholds": {"ok": 0.5}}, 400),
        ({"costs": [{"true": "ok", "cost": 1.0}]}, 400),
        ({"rule": 1}, 400),
    ],
    ids=str,
)
def test_an_impossible_rule_is_refused_by_http(body, status):
    with Service() as service:
        assert service.post("decision", body)[0] == status
        assert service.engine.model.decision is None


def test_a_rule_of_too_many_entries_is_refused_by_http():
    with Service() as service:
        thresholds = [{"label": i, "probability": 0.5} for i in range(1025)]
        assert service.post("decision", {"thresholds": thresholds})[0] == 413
        assert service.post("decision", {"thresholds": thresholds[1:]})[0] == 200


def test_the_rule_needs_the_token():
    with Service(token="s" * 43) as service:
        assert service.post("decision", {})[0] == 200
        assert get(service, token="s" * 43)["thresholds"] == []
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(service)
        service.token = "wrong" * 9
        assert service.post("decision", {})[0] == 401


# The command line


def run(*options):
    result = CliRunner().invoke(main, ["run", *options, "--quiet", "--json"])
    return result, json.loads(result.stdout.splitlines()[-1]) if result.exit_code == 0 else None


def test_a_run_is_decided_by_its_options_and_a_resumed_one_keeps_the_rule(rows, tmp_path):
    source = f"csv:{rows[0]}?target=kind"
    answers = tmp_path / "answers.jsonl"
    rule = ["--threshold", "fault=0.05"]
    sink = ["--sink", f"jsonl:{answers}?only=prediction"]
    _, plain = run(source)
    _, whole = run(source, *rule)
    assert whole["accuracy"] != plain["accuracy"]
    state = ["--checkpoint", str(tmp_path / "state")]
    assert run(source, *rule, *state, "--max-samples", "120")[0].exit_code == 0
    _, rest = run(source, *state, "--resume", *sink)
    assert rest["accuracy"] == whole["accuracy"]
    assert load(max((tmp_path / "state").glob("*.loco"))).decision == RULE


def test_a_resumed_run_takes_another_rule(rows, tmp_path):
    source = f"csv:{rows[0]}?target=kind"
    state = ["--checkpoint", str(tmp_path / "state")]
    run(source, "--threshold", "fault=0.05", *state, "--max-samples", "120")
    result, _ = run(source, "--cost", "fault,ok=7", *state, "--resume")
    assert result.exit_code == 0, result.output
    assert load(max((tmp_path / "state").glob("*.loco"))).decision == {
        "costs": {("fault", "ok"): 7}
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threshold", "fault"], "`--threshold` must be LABEL=P, got 'fault'"),
        (["--threshold", "=0.5"], "`--threshold` must be LABEL=P"),
        (["--threshold", "fault=2"], "`--threshold` must be LABEL=P with P above 0 and up to 1"),
        (["--cost", "fault=2"], "`--cost` must be TRUE,PREDICTED=COST, got 'fault=2'"),
        (["--cost", "a,b=2", "--threshold", "a=0.5"], "where `thresholds` are given, got both"),
        (["--threshold", "a=0.5", "--threshold", "a=0.6"], "must have one number for 'a', got two"),
        (["--threshold", "fault=0.5", "--task", "regression"], "need a classification"),
        (["--at-precision", "0.5", "--task", "regression"], "`--at-precision` needs a classific"),
        (["--at-precision", "0.5", "--forecast", "2"], "cannot be combined with --forecast"),
    ],
)
def test_an_impossible_rule_is_refused_by_the_command(rows, options, message):
    result, _ = run(f"csv:{rows[0]}?target=kind", *options)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("options", [["--threshold", "1=0.5"], ["--at-precision", "0.5"]])
def test_several_targets_have_no_classes(tmp_path, options):
    (tmp_path / "rows.csv").write_text("a,heat,flow\n1,2.5,3.5\n2,3.5,4.5\n")
    result, _ = run(f"csv:{tmp_path}/rows.csv?target=heat,flow", *options)
    assert result.exit_code == 2
    assert "a classification, got a multi-target regression" in result.stderr


def test_labels_of_a_rule_that_no_row_had_are_named(rows):
    options = ["--threshold", "fault=0.05", "--threshold", "fualt=0.05"]
    result = CliRunner().invoke(main, ["run", f"csv:{rows[0]}?target=kind", *options])
    assert "--threshold or --cost: no row had the label 'fualt'" in result.stderr


def test_labels_of_numbers_and_texts_with_signs():
    given = DecisionOptions(("1=0.5", "'1'=0.25", "a=b=0.125"), ())
    assert given.rule == {"thresholds": {1: 0.5, "1": 0.25, "a=b": 0.125}}
    assert DecisionOptions((), ("1, ok=3",)).rule == {"costs": {(1, "ok"): 3.0}}
    assert DecisionOptions(("{[]:1}=0.5",), ()).rule == {"thresholds": {"{[]:1}": 0.5}}


def test_a_configuration_file_holds_the_rule(rows, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(f'[run]\nsource = "csv:{rows[0]}?target=kind"\n[run.threshold]\nfault = 0.05\n')
    result = CliRunner().invoke(main, ["run", "--config", str(path), "--print-config"])
    assert "[threshold]\nfault = " in result.stdout, result.output
    _, report = run("--config", str(path))
    _, expected = run(f"csv:{rows[0]}?target=kind", "--threshold", "fault=0.05")
    assert report["accuracy"] == expected["accuracy"]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            {"thresholds": {"fault": 0.05, "worn": 0.3}},
            "'fault' from a probability of 0.05, 'worn' from a probability of 0.3, otherwise "
            "the most probable class without a threshold",
        ),
        (
            {"costs": {("fault", "ok"): 20.0}},
            "that of the least expected cost: 'ok' for 'fault' costs 20; other mistakes cost 1",
        ),
    ],
)
def test_the_log_describes_the_rule_in_words(rule, words, caplog):
    caplog.set_level("INFO", logger="loco_stream")
    engine = StreamEngine(small(), [({"a": 1.0}, "ok")])
    engine.set_decision(**rule)
    engine.set_decision()
    assert [record.getMessage() for record in caplog.records] == [
        f"the predicted class is {words}",
        "the predicted class is the most probable one",
    ]
