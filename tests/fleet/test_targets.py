"""A fleet of multi-target regressors: one per key, whose labels are dicts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import Fleet, LOCOClassifier, LOCOMultiTargetRegressor, TaskMonitor, load
from loco_stream._cli.main import main
from loco_stream._problems import TARGETS
from loco_stream.connectors import open_source
from loco_stream.connectors._urls import targets_in
from loco_stream.engine._source_reader import PairSource, SourceReader
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import ConfigError, InputError
from loco_stream.fleet._key_router import KeyRouter
from loco_stream.fleet._operations import FleetOperations, open_fleet
from loco_stream.fleet._rows import KeyRows, read_targets
from loco_stream.fleet._runner import FleetRunner, absolute_error
from loco_stream.stream import Sample
from tests.helpers.fleet_process import abandon, discard_models
from tests.helpers.sinks import Kept

N = 120
KEYS = ("a", "b", "c")
NAMES = ("speed", "load")
NAN = float("nan")


def template():
    return LOCOMultiTargetRegressor(hidden_sizes=8, seed=1)


def rows_of(key):
    """Return rows of a device, and its two targets; every seventh row lacks one."""
    X = np.random.default_rng(ord(key)).normal(size=(N, 2))
    Y = np.column_stack([2.0 * X[:, 0] + X[:, 1], 10.0 - X[:, 1] * (key == "b")])
    Y[3::7, 1] = np.nan
    return X, Y


def dicts(Y):
    return read_targets(Y, ("heat", "flow"))


def alone(key, n=N):
    model = template()
    X, Y = rows_of(key)
    model.learn_array(X[:n], Y[:n], NAMES, ("heat", "flow"))
    return model


def digest(model):
    return state_sha256(*export_model(model))


@pytest.fixture
def url(tmp_path):
    lines = ["device,speed,load,heat,flow"]
    tables = {key: rows_of(key) for key in KEYS}
    for i in range(N):
        for key, (X, Y) in tables.items():
            cells = [*X[i].tolist(), *Y[i].tolist()]
            lines.append(",".join([key, *("" if cell != cell else repr(cell) for cell in cells)]))
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return f"csv:{path}?target=heat,flow"


@pytest.mark.parametrize("monitor", [None, TaskMonitor(problem="regression", holdout=0)])
def test_each_key_has_the_model_of_its_rows(tmp_path, url, monitor):
    sink = Kept()
    with Fleet(template(), tmp_path / "fleet", monitor=monitor) as fleet:
        report = FleetRunner(fleet, SourceReader(open_source(url)), "device", [sink]).run()
        for key in KEYS:
            X, _ = rows_of(key)
            model = alone(key)
            assert fleet.state_sha256(key) == digest(model)
            values = model.predict_array(X[:2], NAMES).tolist()
            rows = [dict(zip(NAMES, row, strict=True)) for row in X[:2].tolist()]
            expected = [dict(zip(("heat", "flow"), row, strict=True)) for row in values]
            assert fleet.predict(key, X[:2], NAMES).tolist() == expected
            assert fleet.predict(key, rows).tolist() == expected
    assert report["task"] == TARGETS
    assert report["n_samples"] == N * len(KEYS)
    assert report["n_rejected"] == 0
    of_b = [row for row in sink.rows if row.source.endswith("/b")]
    assert of_b[0].y_pred is None
    assert set(of_b[9].y_pred) == {"heat", "flow"}
    errors = [absolute_error(row.y, row.y_pred) for row in of_b[1:]]
    (worst,) = [own["error"] for own in report["worst"] if own["key"] == "b"]
    assert worst == pytest.approx(np.mean(errors))


def test_a_key_reports_the_scores_of_each_target_and_their_means(tmp_path):
    with Fleet(template(), tmp_path, monitor=TaskMonitor(problem="regression", holdout=0)) as fleet:
        X, Y = rows_of("b")
        said = fleet.learn_predict("b", X, Y, features=NAMES, targets=("heat", "flow"))
        own = fleet.report("b")
    errors = [
        abs(y["heat"] - y_pred["heat"]) for y, y_pred in zip(dicts(Y)[1:], said[1:], strict=True)
    ]
    assert own["per_target"]["heat"]["mae"] == pytest.approx(np.mean(errors))
    assert own["mae"] == pytest.approx(
        (own["per_target"]["heat"]["mae"] + own["per_target"]["flow"]["mae"]) / 2
    )
    json.dumps(own, allow_nan=False)
    with open_fleet(tmp_path) as fleet:
        (worst,) = FleetOperations(fleet).worst(1)
    assert worst["window_mae"] == own["window_mae"]


def test_arrays_and_dicts_are_the_same_labels(tmp_path):
    X, Y = rows_of("a")
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn("array", X, Y, features=NAMES, targets=("heat", "flow"))
        fleet.learn("dicts", X, dicts(Y), features=NAMES)
        for i, y in enumerate(dicts(Y)):
            fleet.learn("rows", dict(zip(NAMES, X[i].tolist(), strict=True)), y)
        digests = {fleet.state_sha256(key) for key in ("array", "dicts", "rows")}
        assert digests == {digest(alone("a"))}
        fleet.learn("unnamed", X, Y)
        assert fleet.model("unnamed").targets == (0, 1)


@pytest.mark.parametrize("every", [10_000, 50])
def test_a_killed_fleet_continues_bit_identically(tmp_path, url, every):
    events = list(open_source(url))
    for end in (100, 250, len(events)):  # rows that were learned before are skipped
        fleet = Fleet(template(), tmp_path / "fleet", max_resident=1, checkpoint_every=every)
        for event in events[:end]:
            fleet.process(KeyRouter("device").route([event]))
        abandon(fleet)
    with Fleet(None, tmp_path / "fleet") as fleet:
        assert {key: fleet.state_sha256(key) for key in KEYS} == {
            key: digest(alone(key)) for key in KEYS
        }


def test_scores_survive_a_kill(tmp_path, url):
    events = list(open_source(url))
    monitor = TaskMonitor(problem="regression", holdout=0)

    def run(folder, stops):
        with Fleet(template(), folder, monitor=monitor, checkpoint_every=40) as fleet:
            for i, event in enumerate(events):
                fleet.process(KeyRouter("device").route([event]))
                if i in stops:
                    discard_models(fleet)
            return {key: fleet.report(key) for key in KEYS}

    assert run(tmp_path / "killed", {90, 200}) == run(tmp_path / "whole", ())


def test_a_young_model_is_stored_as_its_rows(tmp_path):
    X, Y = rows_of("a")
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn("a", X[:9], Y[:9], features=NAMES, targets=("heat", "flow"))
    with Fleet(None, tmp_path) as fleet:
        assert fleet.state_sha256("a") == digest(alone("a", 9))
        fleet.export("a", tmp_path / "a.loco")
    assert digest(load(tmp_path / "a.loco")) == digest(alone("a", 9))


@pytest.mark.parametrize(
    ("y", "targets"),
    [
        ([1.0], None),
        ([{"heat": "warm"}], None),
        ([{"heat": 1e31}], None),
        ([{}], None),
        ([[NAN, NAN]], None),
        ([[1.0, 2.0]], ("heat",)),
        ([{"heat": 1.0}], ("heat",)),
        ([{"heat": 1.0}, {"heat": 2.0}], None),
        ([{"heat": 1.0}, 2.0], None),
    ],
)
def test_labels_that_are_no_targets_are_refused(tmp_path, y, targets):
    with Fleet(template(), tmp_path) as fleet:
        with pytest.raises(InputError):
            fleet.learn("a", [[0.5, 1.0]], y, targets=targets)
        assert fleet.keys() == []


def test_bad_labels_of_a_stream_are_counted(tmp_path):
    x = {"device": "a", "u": 1.0}
    events = [Sample(x, y, i) for i, y in enumerate([{"heat": 2.0}, 3.0, {"heat": "x"}, {}])]
    with Fleet(template(), tmp_path / "fleet") as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(events)), "device").run()
        assert fleet.report("a")["n_samples"] == 1
    assert (report["n_samples"], report["n_rejected"]) == (1, 3)


def test_what_several_targets_have_not_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holdout=0 with several targets"):
        Fleet(template(), tmp_path / "monitor", monitor=TaskMonitor(problem="regression"))
    with pytest.raises(ConfigError, match="`share` needs a `model` that is a LOCOClassifier"):
        Fleet(template(), tmp_path / "share", share="prior")
    with Fleet(template(), tmp_path / "fleet") as fleet:
        for key in ("a", "b"):
            fleet.learn(key, [[1.0]], [{"heat": 1.0}])
        with pytest.raises(InputError, match="must be a LOCOClassifier or LOCORegressor"):
            fleet.merge(["a", "b"])
        with pytest.raises(
            ConfigError, match="needs a LOCOClassifier, got LOCOMultiTargetRegressor"
        ):
            fleet.set_decision(thresholds={"worn": 0.2})
    with (
        Fleet(LOCOClassifier(hidden_sizes=8, seed=1), tmp_path / "classes") as fleet,
        pytest.raises(InputError, match="`targets` must be None"),
    ):
        fleet.learn("a", [[1.0]], ["ok"], targets=("heat",))


def test_rows_of_the_log_hold_the_targets():
    X, Y = rows_of("a")
    rows = KeyRows("a", X, dicts(Y), NAMES, "s", 1, range(N))
    assert KeyRows.decode(rows.encode()).y == dicts(Y)


def test_frames_name_their_targets():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"heat": [1.0, 2.0], "flow": [3.0, None]})
    assert read_targets(frame, None) == [{"heat": 1.0, "flow": 3.0}, {"heat": 2.0}]


def run(*arguments):
    return CliRunner().invoke(main, ["fleet", *map(str, arguments)], catch_exceptions=False)


def test_the_command_learns_several_targets_and_resumes(tmp_path, url):
    out = tmp_path / "out.jsonl"
    report = tmp_path / "report.json"
    arguments = [url, "--key", "device", "--checkpoint", tmp_path / "fleet", "--seed", "1"]
    arguments += ["--set", "hidden_sizes=8", "--sink", f"jsonl:{out}?only=prediction"]
    done = run(*arguments, "--report", report)
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(records) == N * len(KEYS)
    assert set(records[50]["prediction"]) == {"heat", "flow"}
    found = json.loads(report.read_text())
    assert found["task"] == TARGETS
    assert set(found["worst"][0]["per_target"]) == {"heat", "flow"}
    assert (
        f"500 rows is {found['worst'][0]['error']:.3g}: {found['worst'][0]['key']}" in done.output
    )
    again = run(*arguments)
    assert again.exit_code == 0, again.output
    assert "0 samples in this run, 3 keys" in again.output
    listed = CliRunner().invoke(main, ["fleet", "worst", str(tmp_path / "fleet")])
    assert json.loads(listed.output)[0]["per_target"]["heat"]["mae"] is not None
    with Fleet(None, tmp_path / "fleet") as fleet:
        assert {key: fleet.state_sha256(key) for key in KEYS} == {
            key: digest(alone(key)) for key in KEYS
        }


def test_classes_of_several_targets_are_refused(tmp_path, url):
    folder = tmp_path / "fleet"
    done = run(url, "--key", "device", "--checkpoint", folder, "--task", "classification")
    assert done.exit_code == 2
    assert "must be regression with several targets" in done.output


def test_the_targets_of_a_url_are_known_before_it_is_opened():
    assert targets_in("csv:rows.csv?target=heat,flow&follow=1") == ("heat", "flow")
    assert targets_in("csv:rows.csv?target=heat") == targets_in("csv:rows.csv") == ()
