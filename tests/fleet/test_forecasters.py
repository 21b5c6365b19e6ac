"""A fleet of forecasters: one series per key."""

from __future__ import annotations

import copy
import json
import os
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream import Fleet, LOCOForecaster, LOCORegressor, TaskMonitor, load, save
from loco_stream._cli._fleet_control import _commands
from loco_stream._cli.main import main
from loco_stream.connectors import open_source
from loco_stream.connectors._control import Control
from loco_stream.dashboard._fleet_page import FleetPage
from loco_stream.engine import StreamEngine
from loco_stream.engine._queries import RunnerQueries
from loco_stream.engine._source_reader import PairSource, SourceReader
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import ConfigError, InputError
from loco_stream.fleet._key_router import KeyRouter
from loco_stream.fleet._partitions import PartitionedFleet, PartitionOptions
from loco_stream.fleet._rows import KeyRows
from loco_stream.fleet._runner import FleetRunner
from loco_stream.stream import Block, Labels, PredictRequest, Sample
from tests.helpers.fleet_process import abandon, discard_models
from tests.helpers.serving import wait_until
from tests.helpers.sinks import Kept

N = 150
H = 4
KEYS = ("a", "b", "c")
NAN = float("nan")


def template():
    return LOCOForecaster(heads=H, hidden_sizes=8, seed=1)


def series(key):
    """Return times, winds and loads of a device; some loads and winds are missing."""
    rng = np.random.default_rng(ord(key))
    wind = rng.normal(size=N)
    load = 10.0 * ord(key) + np.sin(np.arange(N) / 4 + ord(key)) + 0.1 * wind
    load[[20, 21, 90]] = NAN
    wind[[0, 70]] = NAN
    return np.cumsum(rng.uniform(0.5, 1.5, N)), wind[:, None], load


def alone(key, n=N):
    model = template()
    t, X, y = series(key)
    model.learn_array(y[:n], X[:n], ("wind",), t=t[:n])
    return model


def digest(model):
    return state_sha256(*export_model(model))


def right(n=N):
    return {key: digest(alone(key, n)) for key in KEYS}


def digests(fleet):
    return {key: fleet.state_sha256(key) for key in KEYS}


def number(value):
    return None if value != value else float(value)


def samples():
    tables = {key: series(key) for key in KEYS}
    for i in range(N):
        for k, (key, (t, X, y)) in enumerate(tables.items()):
            x = {"device": key, "wind": number(X[i, 0])}
            yield Sample(x, number(y[i]), len(KEYS) * i + k, float(t[i]), "plant")


def blocks(size=10):
    """Yield the same rows as blocks of one key each, with the key as a number."""
    for i in range(0, N, size):
        for k, key in enumerate(KEYS):
            t, X, y = (column[i : i + size] for column in series(key))
            table = np.column_stack([np.full(len(X), float(k)), X])
            seq = len(KEYS) * i + k * size
            yield Block(table, list(map(number, y)), ("device", "wind"), seq, times=t)


@pytest.fixture
def url(tmp_path):
    lines = ["device,wind,at,load"]
    for row in samples():
        cells = [row.x["device"], row.x["wind"], row.t, row.y]
        lines.append(",".join("" if cell is None else str(cell) for cell in cells))
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return f"csv:{path}?target=load&time=at"


@pytest.mark.parametrize("monitor", [None, TaskMonitor(problem="regression", holdout=0)])
def test_each_key_has_the_forecaster_of_its_series(tmp_path, url, monitor):
    sink = Kept("prediction", "drift")
    with Fleet(template(), tmp_path / "fleet", monitor=monitor) as fleet:
        report = FleetRunner(fleet, SourceReader(open_source(url)), "device", [sink]).run()
        assert digests(fleet) == right()
        for key in KEYS:
            model = alone(key)
            xs = [{"wind": 0.5 * i} for i in range(9)]
            assert fleet.forecast(key, 9, xs) == model.forecast(9, xs)
            assert fleet.forecast(key, 9) == model.forecast(9) != model.forecast(9, xs)
            bounds = model.forecast_interval(9, 0.8, xs)
            assert fleet.forecast_interval(key, 9, 0.8, xs) == bounds
            nearest = [model.forecast(1, [{"wind": wind}])[0] for wind in (-1.0, 1.0)]
            assert fleet.predict(key, [[-1.0], [1.0]], ("wind",)).tolist() == nearest
            assert fleet.predict(key, [{"wind": -1.0}]).tolist() == nearest[:1]
            fan = fleet.fan(key)
            assert (fan["forecast"], len(fan["history"])) == (model.forecast(H), 120)
            assert list(zip(fan["low"], fan["high"], strict=True)) == model.forecast_interval(H)
        own = fleet.report("b")
        assert (own.get("mae") is None) == (monitor is None)
        if monitor is not None:  # missing values are not scored
            assert own["mae"] == pytest.approx(own["forecast_mae"]["1"])
    assert report["task"] == "forecasting"
    assert (report["n_samples"], report["n_unlabelled"]) == ((N - 3) * 3, 9)
    assert (report["n_rejected"], report["n_out_of_time"], report["n_pending"]) == (0, 0, 0)
    assert len(sink.rows) == N * len(KEYS)


def test_blocks_rows_and_calls_learn_the_same(tmp_path):
    with Fleet(template(), tmp_path / "blocks") as fleet:
        FleetRunner(fleet, SourceReader(PairSource(blocks())), "device").run()
        assert {key: fleet.state_sha256(i) for i, key in enumerate(KEYS)} == right()
    with Fleet(template(), tmp_path / "calls") as fleet:
        t, X, y = series("a")
        fleet.learn("array", X, y, features=("wind",), t=t)
        for i in range(N):
            fleet.learn("rows", {"wind": X[i, 0]}, y[i], t=t[i])
        assert {fleet.state_sha256(key) for key in ("array", "rows")} == {digest(alone("a"))}
        assert fleet.report("array") == fleet.report("rows")
        bare = template()
        bare.learn_array(y)
        fleet.learn("bare", None, y)
        assert fleet.state_sha256("bare") == digest(bare)


def test_repeated_rows_are_forecast_and_not_learned(tmp_path):
    _, X, y = series("a")
    with Fleet(template(), tmp_path) as fleet:
        for begin in (0, 30):
            part = slice(begin, begin + 40)
            said = fleet.learn_predict("a", X[part], y[part], source="s", seq=begin)
        again = fleet.learn_predict("a", X[60:70], y[60:70], source="s", seq=60)
        assert fleet.n_repeated == 20
        model = template()
        model.learn_array(y[:70], X[:70])
        assert fleet.state_sha256("a") == digest(model)
        expected = [model.forecast(1, [{0: x}])[0] for x in X[60:70, 0]]
        assert again.tolist() == fleet.predict("a", X[60:70]).tolist() == expected
        assert len(said) == 40
        fleet.reset("a")
        assert fleet.predict("a", X[:1]).tolist() == [None]


def test_times_reach_the_models(tmp_path):
    t, X, y = series("a")
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn("with", X, y, features=("wind",), t=t)
        fleet.learn("without", X, y, features=("wind",))
        assert fleet.state_sha256("with") != fleet.state_sha256("without")


def test_errors_by_step_are_those_of_an_engine_and_add_up(tmp_path):
    # Without times: an engine forecasts rows by name for one median gap later.
    rows = [replace(row, t=NAN) for row in samples()]
    alone_ = {}
    for key in KEYS:
        own = [row for row in rows if row.x["device"] == key]
        pairs = [replace(row, x={"wind": row.x["wind"]}, seq=i) for i, row in enumerate(own)]
        alone_[key] = StreamEngine(template(), pairs).run().to_dict()
    with Fleet(template(), tmp_path / "fleet") as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(rows)), "device").run()
        reports = {key: fleet.report(key) for key in KEYS}
    for name in ("forecast_mae", "forecast_no_change_mae", "forecast_coverage"):
        for key in KEYS:
            assert reports[key][name] == pytest.approx(alone_[key][name])
            assert list(reports[key][name]) == [str(step) for step in range(1, H + 1)]
    for step in range(1, H + 1):
        means = [alone_[key]["forecast_mae"][str(step)] for key in KEYS]  # of as many values each
        assert report["forecast_mae"][str(step)] == pytest.approx(np.mean(means), rel=1e-3)
    assert [own["key"] for own in report["worst"]] == sorted(
        KEYS, key=lambda key: -alone_[key]["mae"]
    )


@pytest.mark.parametrize("every", [10_000, 50])
def test_a_killed_fleet_continues_bit_identically(tmp_path, every):
    events = list(samples())
    for end in (100, 250, len(events)):  # rows that were learned before are skipped
        fleet = Fleet(template(), tmp_path / "fleet", max_resident=1, checkpoint_every=every)
        for event in events[:end]:
            fleet.process(KeyRouter("device", is_series=True).route([event]))
        abandon(fleet)
    with Fleet(None, tmp_path / "fleet") as fleet:
        assert digests(fleet) == right()
        assert fleet.forecast("b", 6) == alone("b").forecast(6)


def test_scores_and_history_survive_a_kill(tmp_path):
    def run(folder, stops):
        with Fleet(template(), folder, checkpoint_every=40) as fleet:
            for i, event in enumerate(samples()):
                fleet.process(KeyRouter("device", is_series=True).route([event]))
                if i in stops:
                    discard_models(fleet)
            return {key: (fleet.report(key), fleet.fan(key)) for key in KEYS}

    whole = run(tmp_path / "whole", ())
    assert json.dumps(run(tmp_path / "killed", {90, 200})) == json.dumps(whole)
    with Fleet(None, tmp_path / "whole") as fleet:  # as the store has them
        assert json.dumps({key: (fleet.report(key), fleet.fan(key)) for key in KEYS}) == json.dumps(
            whole
        )


def test_a_young_model_is_stored_as_its_rows(tmp_path):
    t, X, y = series("a")
    with Fleet(template(), tmp_path) as fleet:
        fleet.learn("a", X[:25], y[:25], features=("wind",), t=t[:25])
    with Fleet(None, tmp_path) as fleet:
        assert fleet.state_sha256("a") == digest(alone("a", 25))
        fleet.export("a", tmp_path / "a.loco")
    assert digest(load(tmp_path / "a.loco")) == digest(alone("a", 25))


def test_new_keys_start_from_a_trained_template_and_after_a_reset(tmp_path):
    trained = alone("a")
    expected = copy.copy(trained)
    expected.learn_one(5.0)
    with Fleet(trained, tmp_path) as fleet:
        fleet.learn("new", None, [5.0])
        assert fleet.state_sha256("new") == digest(expected)
        fleet.learn("other", None, [7.0])
        fleet.reset("new")
        assert fleet.state_sha256("new") == digest(alone("a"))
    assert digest(trained) == digest(alone("a"))


def test_a_copy_of_a_forecaster_learns_alone():
    model = alone("a")
    other = copy.copy(model)
    other.learn_array(np.arange(50.0))
    assert digest(model) == digest(alone("a")) != digest(other)


@pytest.mark.parametrize(
    ("y", "t", "message"),
    [
        (["warm"], None, r"`y\[0\]` must be a finite number"),
        ([1.0, "warm"], None, r"`y\[1\]` must be a finite number"),
        ([1e31], None, r"`y\[0\]` must be a finite number"),
        ([1.0], ["noon"], r"`t\[0\]` must be"),
        ([1.0, 2.0], [1.0], "`t` must have 2 values"),
        ([1.0], "noon", "`t` must be a sequence"),
    ],
)
def test_values_and_times_that_are_no_numbers_are_refused(tmp_path, y, t, message):
    with Fleet(template(), tmp_path) as fleet:
        with pytest.raises(InputError, match=message):
            fleet.learn("a", None, y, t=t)
        assert fleet.keys() == []
        assert fleet.n_refused == (len(y) if t is None else 0)
    with Fleet(None, tmp_path) as fleet:  # the log refuses them again
        assert fleet.keys() == []


def test_questions_that_have_no_forecast_are_refused(tmp_path):
    with Fleet(template(), tmp_path / "fleet") as fleet:
        fleet.learn("a", None, [1.0, 2.0])
        fleet.learn("b", None, [1.0])
        with pytest.raises(InputError, match="key 'z' has no model"):
            fleet.forecast("z", 3)
        for horizon in (0, -1, 2.5):
            with pytest.raises(InputError, match="`horizon` must be a positive integer"):
                fleet.forecast("a", horizon)
        with pytest.raises(InputError, match="`xs` must have 2 rows"):
            fleet.forecast("a", 2, [{}])
        with pytest.raises(InputError, match="`x` must be a dict"):
            fleet.forecast("a", 1, [5.0])
        with pytest.raises(InputError, match="must be a LOCOClassifier or LOCORegressor, got a"):
            fleet.merge(["a", "b"])
        with pytest.raises(ConfigError, match="needs a LOCOClassifier, got LOCOForecaster"):
            fleet.set_decision(thresholds={"worn": 0.2})
        assert fleet.predict("z", [{"wind": 1.0}]).tolist() == [None]
    with pytest.raises(ConfigError, match="holdout=0 with a forecaster"):
        Fleet(template(), tmp_path / "monitor", monitor=TaskMonitor(problem="regression"))
    with pytest.raises(ConfigError, match="`share` needs a `model` that is a LOCOClassifier"):
        Fleet(template(), tmp_path / "share", share="prior")
    options = PartitionOptions("csv:rows-{partition}.csv", "device", 2)
    with pytest.raises(ConfigError, match="must be a classifier or a regressor, got a LOCOFore"):
        PartitionedFleet(template(), tmp_path / "parts", options)
    with Fleet(LOCORegressor(hidden_sizes=8, seed=1), tmp_path / "values") as fleet:
        fleet.learn("a", [[1.0]], [1.0])
        with pytest.raises(ConfigError, match="needs a fleet of LOCOForecaster, got LOCORegressor"):
            fleet.forecast("a", 3)
        with pytest.raises(InputError, match="`t` must be None where the task is regression"):
            fleet.learn("a", [[1.0]], [1.0], t=[5.0])


def test_what_a_stream_of_series_cannot_use_is_counted(tmp_path):
    def row(seq, y, **given):
        return Sample({"device": "a"}, y, seq, source="s", **given)

    events = [
        row(0, 1.0),
        row(1, "warm"),
        row(2, None),
        Labels([2], [3.0], source="s"),  # after its row: values are learned in order
        Labels(["early"], [4.0], by_id=True, source="s"),
        row(3, None, id="early"),
        row(4, None, id="late"),
        Labels(["late"], [5.0], by_id=True, source="s"),
        row(5, 6.0, sequence="one"),
        Sample({"wind": 1.0}, 5.0, 6, source="s"),
    ]
    expected = template()
    expected.learn_array([1.0, NAN, 4.0, NAN, 6.0])
    with Fleet(template(), tmp_path / "fleet") as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(events)), "device").run()
        assert fleet.state_sha256("a") == digest(expected)
    counts = {
        "n_samples": 3,
        "n_unlabelled": 2,
        "n_rejected": 1,
        "n_orphaned": 1,
        "n_labels_early": 1,
        "n_labels_late": 1,
        "n_out_of_time": 1,
        "n_without_key": 1,
        "n_pending": 0,
    }
    assert {name: report[name] for name in counts} == counts
    assert report["worst"][0]["error"] is not None
    assert "1 row had a sequence id, which models of a fleet do not get" in report["notes"]
    assert any("`y` must be a number" in note for note in report["notes"])


def test_rows_of_the_log_hold_the_times():
    t, X, y = series("a")
    rows = KeyRows("a", X, y, ("wind",), "s", 1, range(N), times=t)
    found = KeyRows.decode(rows.part(slice(5, 9)).encode())
    assert (found.times.tolist(), found.kind) == (t[5:9].tolist(), "learn")
    assert KeyRows.decode(KeyRows("a", X, y, ("wind",), "s", 1, range(N)).encode()).times is None


def test_a_change_is_a_record_of_its_row(tmp_path):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=300), 50.0 * rng.normal(size=100)]).tolist()
    rows = [
        Sample({"device": key}, 0.0 if key == "b" else value, 2 * i + k, 10.0 * i, "plant")
        for i, value in enumerate(values)
        for k, key in enumerate(("a", "b"))
    ]
    sink = Kept("prediction", "drift")
    monitor = TaskMonitor(problem="regression", holdout=0)
    with Fleet(template(), tmp_path, monitor=monitor) as fleet:
        reader = SourceReader(PairSource(rows))
        report = FleetRunner(fleet, reader, "device", [sink]).run()
    drift = next(record for record in sink.records if record["what"] == "concept")
    assert (drift["key"], drift["source"]) == ("a", "plant/a")
    assert 300 <= drift["at"] < 400
    assert (drift["seq"], drift["t"]) == (2 * drift["at"], 10.0 * drift["at"])
    assert report["drifted_lately"][0]["key"] == "a"


class Asked(PairSource):
    """Rows, then a request; keeps the replies."""

    def __init__(self, events):
        super().__init__(events)
        self.replies = []

    def reply(self, event, values, classes):
        self.replies.append((values.tolist(), list(classes)))


def test_a_request_of_the_stream_gets_the_next_value_of_each_key(tmp_path):
    X = np.array([["a", 1.0], ["b", -1.0], ["z", 0.0]], object)
    source = Asked([*samples(), PredictRequest(X, ("device", "wind"), source="s", tag=1)])
    with Fleet(template(), tmp_path) as fleet:
        FleetRunner(fleet, SourceReader(source), "device").run()
    ((values, classes),) = source.replies
    expected = [[alone("a").forecast(1, [{"wind": 1.0}])[0]]]
    expected += [[alone("b").forecast(1, [{"wind": -1.0}])[0]], [NAN]]
    assert values == pytest.approx(np.array(expected, np.float32), nan_ok=True)
    assert classes == []


def test_a_key_without_a_scored_forecast_has_no_error(tmp_path):
    rows = [Sample({"device": "a"}, 1.0, 0, source="s")]
    with Fleet(template(), tmp_path) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(rows)), "device").run()
    assert report["worst"][0]["error"] is None
    assert report["forecast_mae"] == {str(step): None for step in range(1, H + 1)}


class Live(PairSource):
    """Rows that go on until the test ends."""

    is_live = True

    def __iter__(self):
        yield from samples()
        while True:
            time.sleep(0.01)
            yield []


def test_a_running_fleet_forecasts_over_http_and_the_control_socket(tmp_path):
    queries = RunnerQueries()
    control = Control(f"ipc://{tmp_path}/c", _commands(queries))
    with FleetPage(0) as page, Fleet(template(), tmp_path / "fleet") as fleet:
        runner = FleetRunner(fleet, SourceReader(Live(())), "device", (), [page, queries])
        thread = threading.Thread(target=runner.run)
        thread.start()

        def get(path):
            try:
                with urllib.request.urlopen(page.url + path, timeout=20) as answer:
                    return answer.status, json.loads(answer.read())
            except urllib.error.HTTPError as error:
                return error.code, json.loads(error.read())["error"]

        try:
            wait_until(lambda: get("fleet")[1].get("n_samples") == (N - 3) * len(KEYS))
            model = alone("b")
            status, found = get("forecast?key=b")
            assert (status, found["key"]) == (200, "b")
            assert found["forecast"] == model.forecast(H)
            assert found["history"][-1] == pytest.approx(series("b")[2][-1])
            assert None in found["history"]  # a missing value
            assert get("forecast?key=b&horizon=9")[1]["forecast"] == model.forecast(9)
            bounds = list(zip(found["low"], found["high"], strict=True))
            assert bounds == model.forecast_interval(H)
            assert get("forecast?key=z") == (404, "key 'z' has no model: no row of it was learned")
            for horizon in ("0", "1001", "9" * 30, "soon"):
                status, error = get(f"forecast?key=b&horizon={horizon}")
                assert status == 422
                assert "`horizon` must be an integer from 1 to 1000, got " in error
            done = CliRunner().invoke(main, ["fleet", "forecast", control.address, "b"])
            history = found.pop("history")
            assert json.loads(done.output) == found
            command = ["fleet", "forecast", control.address, "b", "--history"]
            done = CliRunner().invoke(main, command)
            assert json.loads(done.output) == found | {"history": history}
            done = CliRunner().invoke(main, ["fleet", "forecast", control.address, "z"])
            assert (done.exit_code, "has no model" in done.output) == (2, True)
        finally:
            runner.stop()
            thread.join()
            control.close()


def test_a_fleet_of_regressors_has_no_forecast_over_http(tmp_path):
    with FleetPage(0) as page, Fleet(LOCORegressor(hidden_sizes=8, seed=1), tmp_path) as fleet:
        runner = FleetRunner(fleet, SourceReader(Live(())), "device", (), [page])
        thread = threading.Thread(target=runner.run)
        thread.start()
        try:
            with pytest.raises(urllib.error.HTTPError, match="422"):
                urllib.request.urlopen(page.url + "forecast?key=a", timeout=20)
        finally:
            runner.stop()
            thread.join()


def run(*arguments):
    return CliRunner().invoke(main, ["fleet", *map(str, arguments)], catch_exceptions=False)


def test_the_command_forecasts_each_key_and_resumes(tmp_path, url):
    folder = tmp_path / "fleet"
    report = tmp_path / "report.json"
    arguments = [url, "--key", "device", "--checkpoint", folder]
    own = ["--forecast", H, "--seed", 1, "--set", "hidden_sizes=8"]
    table = tmp_path / "rows.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:250]))
    done = run(*arguments, *own, "--report", report)
    assert done.exit_code == 0, done.output
    assert f"error {H} steps ahead over all keys" in done.output
    found = json.loads(report.read_text())
    assert found["task"] == "forecasting"
    assert list(found["forecast_mae"]) == [str(step) for step in range(1, H + 1)]
    assert set(found["worst"][0]["forecast_mae"]) == set(found["forecast_mae"])
    table.write_text("".join(lines))
    again = run(*arguments)  # continues with its first options
    assert again.exit_code == 0, again.output
    assert "in this run, 3 keys" in again.output
    with Fleet(None, folder) as fleet:
        assert digests(fleet) == right()
    shown = json.loads(run("forecast", folder, "c", "--horizon", 7).output)
    assert shown["forecast"] == alone("c").forecast(7)
    refused = run(*arguments, "--forecast", H + 1)
    assert refused.exit_code == 2
    assert f"was begun with --forecast {H}, so" in refused.output


def test_seasons_are_parameters_of_the_command(tmp_path, url):
    own = ["--forecast", H, "--season", 30, "--season", 40, "--set", "hidden_sizes=8"]
    done = run(url, "--key", "device", "--checkpoint", tmp_path / "fleet", *own)
    assert done.exit_code == 0, done.output
    with Fleet(None, tmp_path / "fleet") as fleet:
        assert fleet.model("a").seasons == (30, 40)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--season", 24), "`--season` needs --forecast"),
        (("--forecast", 3, "--watch"), "`--forecast` excludes --watch"),
        (("--forecast", 3, "--share", "prior"), "`--forecast` excludes --share"),
        (
            ("--forecast", 3, "--workers", 1, "--partitions", 2),
            "`--forecast` excludes --partitions",
        ),
        (("--forecast", 3, "--task", "classification"), "cannot be combined with --forecast"),
        (("--forecast", 3, "--set", "rule=np"), "must name one of hidden_sizes, memory, max_delay"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, url, option, message):
    done = run(url, "--key", "device", "--checkpoint", tmp_path / "fleet", *option)
    assert done.exit_code == 2
    assert message in done.output


def test_fleets_of_other_models_are_not_continued(tmp_path, url):
    folder = tmp_path / "fleet"
    begun = run(url, "--key", "device", "--checkpoint", folder, "--set", "hidden_sizes=8")
    assert begun.exit_code == 0, begun.output
    for option in (("--forecast", 3), ("--watch",)):
        done = run(url, "--key", "device", "--checkpoint", folder, *option)
        assert done.exit_code == 2
        assert f"was begun without {option[0]}" in done.output


def test_a_template_of_the_command_is_a_forecaster_of_as_many_steps(tmp_path, url):
    save(alone("a"), tmp_path / "a.loco")
    save(LOCORegressor(), tmp_path / "values.loco")
    arguments = [url, "--key", "device", "--checkpoint", tmp_path / "fleet", "--template"]
    for own in (
        (tmp_path / "values.loco", "--forecast", H),
        (tmp_path / "a.loco", "--forecast", 9),
    ):
        done = run(*arguments, *own)
        assert done.exit_code == 2
        assert "`--template` must be a LOCOForecaster with" in done.output
    done = run(*arguments, tmp_path / "a.loco")
    assert "`--template` is a LOCOForecaster, which needs --forecast N" in done.output
    done = run(*arguments, tmp_path / "a.loco", "--forecast", H)
    assert done.exit_code == 0, done.output


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_workers_on_ray_forecast_the_same(tmp_path):
    pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with Fleet(template(), tmp_path / "fleet", workers=1) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(samples())), "device").run()
        assert digests(fleet) == right()
        xs = [{"wind": np.float32(0.5)}] * 6
        assert fleet.forecast("a", 6, xs) == alone("a").forecast(6, xs)
        with pytest.raises(InputError, match="has no model"):
            fleet.forecast("z", 6)
    assert report["forecast_mae"]["1"] > 0.0
