"""A forecaster in the engine: scores by step ahead, the fan, blocks, checkpoints."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from loco_stream import LOCOForecaster, LOCORegressor, StreamEngine
from loco_stream._cli.main import main
from loco_stream.connectors import open_source
from loco_stream.engine._forecasting import HorizonScores
from loco_stream.engine._prometheus import EngineCollector
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Block, Sample
from tests.helpers.engine_process import LOCO, end, start
from tests.helpers.serving import wait_until

N = 240
H = 5


def series():
    rng = np.random.default_rng(0)
    y = 10.0 + np.sin(np.arange(N) / 4) + 0.1 * rng.normal(size=N)
    return rng.normal(size=N).tolist(), y.tolist()


def samples(missing=()):
    x, y = series()
    return [Sample({"wind": x[i]}, None if i in missing else y[i], i, float(i)) for i in range(N)]


def blocks(size):
    x, y = series()
    for i in range(0, N, size):
        part = slice(i, i + size)
        times = np.arange(N, dtype=np.float64)[part]
        yield Block(np.array(x[part])[:, None], y[part], ("wind",), i, float(i), times=times)


def model():
    return LOCOForecaster(heads=H, hidden_sizes=8, seed=1)


def run(source, **options):
    engine = StreamEngine(model(), source, **options)
    return engine, engine.run()


def state_of(engine):
    return state_sha256(*export_model(engine.model))


def test_each_step_is_scored_when_its_value_has_come():
    engine, report = run(samples())
    x, y = series()
    twin = model()
    errors = {step: [] for step in range(1, H + 1)}
    last = {step: [] for step in range(1, H + 1)}
    for i in range(N):
        if i:
            xs = [{"wind": x[i]}, *({} for _ in range(H - 1))]
            for step, value in enumerate(twin.forecast(H, xs), 1):
                if i + step - 1 < N:
                    errors[step].append(abs(value - y[i + step - 1]))
                    last[step].append(abs(y[i - 1] - y[i + step - 1]))
        twin.learn_one(y[i], {"wind": x[i]}, float(i))
    for step in range(1, H + 1):
        assert report["forecast_mae"][str(step)] == pytest.approx(np.mean(errors[step]))
        assert report["forecast_no_change_mae"][str(step)] == pytest.approx(np.mean(last[step]))
        assert 0.7 < report["forecast_coverage"][str(step)] <= 1.0
    assert report["forecast_mae"]["1"] == pytest.approx(report["mae"])
    fan = report["forecast"]
    assert fan["forecast"] == pytest.approx(twin.forecast(H, [{}] * H))
    assert fan["history"] == y[-120:]
    assert all(
        low < value < high
        for low, value, high in zip(fan["low"], fan["forecast"], fan["high"], strict=True)
    )
    assert engine.forecasts is not None
    assert "error 5 steps ahead" in str(report)
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_equal_rows(size):
    one, by_row = run(samples())
    other, by_block = run(blocks(size))
    assert state_of(one) == state_of(other)
    for name in ("mae", "curve", "forecast_mae", "forecast_coverage", "forecast"):
        assert by_row.to_dict()[name] == by_block.to_dict()[name]


@pytest.mark.parametrize("source", [samples(), list(blocks(32))], ids=["rows", "blocks"])
def test_a_resumed_run_continues_bit_identically(tmp_path, source):
    whole, report = run(source)
    StreamEngine(model(), source, checkpoint=tmp_path).run(max_samples=101)
    again = StreamEngine(model(), source, checkpoint=tmp_path, resume=True)
    resumed = again.run()
    assert state_of(again) == state_of(whole)
    for name in ("mae", "forecast_mae", "forecast_coverage", "forecast", "n_samples"):
        assert resumed.to_dict()[name] == report.to_dict()[name]


def test_a_missing_value_is_a_step_of_the_series():
    engine, report = run(samples(missing=(50, 51)))
    assert (report["n_rows"], report["n_samples"], report["n_unlabelled"]) == (N, N - 2, 2)
    assert engine.model.n_seen == N
    assert math.isfinite(report["forecast_mae"][str(H)])


def test_prometheus_has_a_gauge_per_step():
    engine, _ = run(samples())
    families = {family.name: family for family in EngineCollector(engine).collect()}
    steps = {s.labels["what"] for s in families["loco_forecast_mean_absolute_error"].samples}
    assert steps == {"1", "2", "3", "4", "5"}


def test_a_delay_is_refused():
    with pytest.raises(ConfigError, match="`delay` must be None or 0 with a forecaster"):
        StreamEngine(model(), samples(), delay=3)


def test_scores_count_only_what_was_forecast():
    scores = HorizonScores(2)
    nothing = np.full((2, 2), np.nan)
    scores.add(np.full(2, np.nan), nothing)
    scores.observe(1.0)
    scores.add(np.array([1.0, 2.0]), np.array([[0.0, 1.0], [0.0, 3.0]]))
    scores.observe(3.0)
    scores.add(np.array([3.5, 4.0]), nothing)
    scores.observe(3.0)
    report = scores.report()
    assert report["forecast_mae"] == {"1": (2.0 + 0.5) / 2, "2": 1.0}
    assert report["forecast_no_change_mae"] == {"1": (2.0 + 0.0) / 2, "2": 2.0}
    assert report["forecast_coverage"] == {"1": 0.0, "2": 1.0}


def test_scores_begin_with_the_first_known_value():
    _, y = series()
    for forecaster in (model(), trained_model()):  # the second has a forecast at once
        rows = [Sample({}, None if i < 3 else y[i], i) for i in range(60)]
        report = StreamEngine(forecaster, rows).run()
        for name in ("forecast_mae", "forecast_no_change_mae"):
            assert all(math.isfinite(error) for error in report[name].values())
        assert report["forecast_no_change_mae"]["1"] == pytest.approx(
            np.abs(np.diff(y[3:60])).mean()
        )


def trained_model():
    forecaster = model()
    forecaster.learn_array([100.0, 101.0])
    return forecaster


@pytest.fixture
def table(tmp_path):
    x, y = series()
    path = tmp_path / "rows.csv"
    lines = [f"{a},{b}" for a, b in zip(x, y, strict=True)]
    path.write_text("wind,level\n" + "\n".join(lines) + "\n")
    return f"csv:{path}?target=level"


def invoke(*arguments):
    result = CliRunner().invoke(main, ["run", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_the_command_forecasts_plots_and_resumes(table, tmp_path):
    picture = tmp_path / "fan.png"
    own = (table, "--json", "--forecast", "6", "--season", "25", "--set", "hidden_sizes=8")
    whole = invoke(*own, "--plot", str(picture))
    assert list(whole["forecast_mae"]) == ["1", "2", "3", "4", "5", "6"]
    assert len(whole["forecast"]["forecast"]) == 6
    assert picture.stat().st_size > 1000
    state = ("--checkpoint", str(tmp_path / "state"))
    invoke(*own, *state, "--max-samples", "100")
    resumed = invoke(table, "--json", *state, "--resume")
    assert resumed["forecast"] == whole["forecast"]
    assert resumed["forecast_mae"] == whole["forecast_mae"]


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def values_alone(request, tmp_path):
    """Return a source whose rows have a time and a value."""
    _, y = series()
    path = tmp_path / f"rows.{request.param}"
    if request.param == "csv":
        lines = [f"{3600 * i},{value}" for i, value in enumerate(y)]
        path.write_text("\n".join(["when,level", *lines]) + "\n")
    elif request.param == "jsonl":
        rows = [{"when": 3600 * i, "level": value} for i, value in enumerate(y)]
        path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    else:
        times = [3600 * i for i in range(N)]
        parquet.write_table(pyarrow.table({"when": times, "level": y}), path)
    return f"{request.param}:{path}?target=level&time=when"


def test_a_table_may_hold_nothing_but_the_values(values_alone):
    _, y = series()
    report = StreamEngine(model(), open_source(values_alone)).run()
    by_hand = StreamEngine(model(), [Sample({}, y[i], i, 3600.0 * i) for i in range(N)]).run()
    assert report["forecast_mae"] == by_hand["forecast_mae"]
    assert report["forecast"]["history"] == y[-120:]


def test_a_table_without_features_is_refused_for_other_models(values_alone):
    with pytest.raises(SourceError, match="must have a feature column besides level, when"):
        StreamEngine(LOCORegressor(), open_source(values_alone))
    result = CliRunner().invoke(main, ["run", values_alone])
    assert result.exit_code == 2
    assert "must have a feature column besides level, when" in result.output


@pytest.mark.parametrize("command", [("serve", "--source"), ("run",)])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--season", "24"], "`--season` needs --forecast"),
        (["--forecast", "3", "--delay", "5"], "`--delay` cannot be combined"),
        (["--forecast", "3", "--threshold", "1=0.5"], "`--threshold` cannot be combined"),
        (["--forecast", "3", "--cost", "1,2=5"], "`--cost` cannot be combined"),
        (["--forecast", "3", "--set", "rule=np"], "must name one of hidden_sizes, memory"),
    ],
)
def test_options_that_do_not_fit_are_refused(table, tmp_path, command, options, message):
    own = [*command, table, "--checkpoint", str(tmp_path / "state"), *options]
    result = CliRunner().invoke(main, own)
    assert result.exit_code == 2
    assert message in result.output


def test_a_service_continues_its_forecast_bit_identically(tmp_path, processes):
    _, y = series()
    path = tmp_path / "rows.csv"
    path.write_text("level\n" + "".join(f"{value}\n" for value in y[:100]))
    log = tmp_path / "predictions.jsonl"
    own = ("--forecast", str(H), "--set", "hidden_sizes=8", "--seed", "1")
    for n, options in ((100, own), (N, ())):  # the second service continues with these options
        with path.open("a") as file:
            file.write("".join(f"{value}\n" for value in y[100:n]))
        service = start(
            processes,
            *(*LOCO, "serve", "--source", f"csv:{path}?target=level&follow=1"),
            *("--checkpoint", str(tmp_path / "state"), "--report", str(tmp_path / "report.json")),
            *("--sink", f"jsonl:{log}?only=prediction", *options),
        )
        # the first one compiles
        wait_until(lambda n=n: log.exists() and len(log.read_text().splitlines()) >= n, 300)
        end(service)
    report = json.loads((tmp_path / "report.json").read_text())
    whole = StreamEngine(model(), [Sample({}, value, i) for i, value in enumerate(y)]).run()
    assert report["n_samples"] == N
    for name in ("mae", "forecast", "forecast_mae", "forecast_coverage"):
        assert report[name] == whole.to_dict()[name]
