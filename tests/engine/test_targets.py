"""Rows with several targets: scores, blocks, late labels, checkpoints and records."""

from __future__ import annotations

import json

import numpy as np
import pytest
from river import linear_model, multioutput

from loco_stream import LOCOMultiTargetRegressor, StreamEngine, TaskMonitor
from loco_stream._problems import TARGETS
from loco_stream.connectors import CSVSource, open_source
from loco_stream.engine._inbox import Inbox, InboxSource
from loco_stream.engine._prometheus import EngineCollector
from loco_stream.engine._source_reader import SourceReader
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.engine._target_adapter import TargetAdapter, TargetSummary
from loco_stream.errors import ConfigError, InputError
from loco_stream.metrics import Prequential
from loco_stream.stream import Block, Labels, Sample

N = 300
NAMES = ("u", "v")


def rows(n=N, seed=0):
    """Rows of two features; the second target is missing in every seventh row."""
    X = np.random.default_rng(seed).normal(size=(n, 2))
    for i, (u, v) in enumerate(X.tolist()):
        y = {"heat": 2.0 * u + v, "flow": 10.0 - v}
        yield {"u": u, "v": v}, ({"heat": y["heat"]} if i % 7 == 3 else y)


def model():
    return LOCOMultiTargetRegressor(hidden_sizes=8, seed=1)


def samples(pairs=None):
    return [Sample(x, y, seq, float(seq)) for seq, (x, y) in enumerate(pairs or rows())]


def blocks(size):
    pairs = list(rows())
    for begin in range(0, N, size):
        part = pairs[begin : begin + size]
        X = np.array([list(x.values()) for x, _ in part])
        times = np.arange(begin, begin + len(part), dtype=np.float64)
        yield Block(X, [y for _, y in part], NAMES, begin, float(begin), times=times)


def run(source, **options):
    engine = StreamEngine(model(), source, **options)
    records = []
    engine.on("prediction", records.append)
    return engine, engine.run(), records


def state_of(engine):
    return state_sha256(*export_model(engine.model))


def test_each_target_is_scored_and_the_scores_are_their_means():
    _, report, records = run(samples())
    assert report["task"] == TARGETS
    assert report["n_samples"] == N
    own = report["per_target"]
    assert set(own) == {"heat", "flow"}
    assert report["mae"] == pytest.approx((own["heat"]["mae"] + own["flow"]["mae"]) / 2)
    errors = [abs(record["label"]["heat"] - record["prediction"]["heat"]) for record in records[1:]]
    assert own["heat"]["mae"] == pytest.approx(np.mean(errors))
    assert own["heat"]["r2"] > 0.5
    assert own["flow"]["r2"] > 0.5
    assert records[0]["prediction"] is None
    assert set(records[5]["prediction"]) == {"heat", "flow"}
    json.dumps(report.to_dict(), allow_nan=False)
    assert "target heat" in str(report)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_equal_rows(size):
    one, by_row, rows_of_one = run(samples())
    other, by_block, rows_of_other = run(blocks(size))
    assert rows_of_one == rows_of_other
    assert state_of(one) == state_of(other)
    for name in ("mae", "rmse", "r2", "window_mae", "interval_coverage", "per_target", "curve"):
        assert by_row.to_dict()[name] == by_block.to_dict()[name]


def test_a_target_may_begin_later():
    pairs = [(x, {"heat": y["heat"]} if i < 100 else y) for i, (x, y) in enumerate(rows())]
    X = np.array([list(x.values()) for x, _ in pairs])
    block = Block(X, [y for _, y in pairs], NAMES, times=np.arange(N, dtype=np.float64))
    one, by_row, of_rows = run(samples(pairs))
    other, by_block, of_block = run([block])
    assert set(of_rows[99]["prediction"]) == {"heat"}
    assert set(of_rows[150]["prediction"]) == {"heat", "flow"}
    assert of_rows == of_block
    assert state_of(one) == state_of(other)
    assert by_row["per_target"] == by_block["per_target"]


@pytest.mark.parametrize("in_blocks", [True, False])
def test_rows_that_lack_a_target_are_counted(in_blocks, tmp_path):
    lines = ["u,v,heat,flow,never"]
    for i, (x, y) in enumerate(rows(200)):
        flow = y.get("flow", "") if i else ""
        lines.append(f"{x['u']},{x['v']},{y['heat']},{flow},")
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    reader = SourceReader(CSVSource(path, "heat,flow,never"), in_blocks=in_blocks)
    report = StreamEngine(model(), reader).run()
    tail = "rows, which had no value of it or came before its first one"
    assert report["unused"] == [
        f"target 'never' was not scored in 199 of 199 {tail}",  # row 0 has no prediction
        f"target 'flow' was not scored in 30 of 199 {tail}",  # 29 lack it, row 1 has the first one
    ]
    assert "not used" in str(report)


def test_targets_that_all_rows_have_are_not_named():
    pairs = [(x, {"heat": y["heat"], "flow": x["v"]}) for x, y in rows()]
    assert run(samples(pairs))[1]["unused"] == []


@pytest.mark.parametrize("source", [list(samples()), list(blocks(64))], ids=["rows", "blocks"])
def test_a_resumed_run_continues_bit_identically(tmp_path, source):
    whole, report, _ = run(source)
    StreamEngine(model(), source, checkpoint=tmp_path).run(max_samples=130)
    again = StreamEngine(model(), source, checkpoint=tmp_path, resume=True)
    resumed = again.run()
    assert state_of(again) == state_of(whole)
    for name in ("n_samples", "mae", "per_target", "curve", "drifts"):
        assert resumed.to_dict()[name] == report.to_dict()[name]


def test_late_labels_are_dicts(tmp_path):
    late = []
    for i, (x, y) in enumerate(rows(60)):
        late.append(Sample(x, None, i, float(i), id=f"row {i}"))
        if i >= 5:
            label = list(rows(60))[i - 5][1]
            late.append(Labels([f"row {i - 5}"], [label], i, by_id=True))
        assert y
    whole = StreamEngine(model(), late)
    report = whole.run()
    assert report["n_samples"] == 55
    assert report["n_pending"] == 5
    assert set(report["per_target"]) == {"heat", "flow"}
    StreamEngine(model(), late, checkpoint=tmp_path).run(max_samples=30)
    again = StreamEngine(model(), late, checkpoint=tmp_path, resume=True)
    assert again.run()["per_target"] == report["per_target"]
    assert state_of(again) == state_of(whole)


def test_labels_may_be_delayed_by_rows():
    assert StreamEngine(model(), samples(), delay=10).run()["n_samples"] == N


@pytest.mark.parametrize(
    "y", [2.5, {}, {"heat": None}, {"heat": "warm"}, {"heat": 1e31}, {"heat": {"a": 1.0}}]
)
def test_labels_that_are_no_targets_are_refused(y):
    engine = StreamEngine(model(), [*samples()[:5], Sample({"u": 1.0}, y, 5)], strict=False)
    report = engine.run()
    assert (report["n_samples"], report["n_rejected"]) == (5, 1)
    with pytest.raises(InputError, match=r"target|mapping|value"):
        StreamEngine(model(), [Sample({"u": 1.0}, y, 0)]).run()


@pytest.mark.parametrize(("value", "shown"), [(1e31, "1e+31"), ("x", "'x'")])
def test_a_pair_with_a_target_out_of_range_is_refused(value, shown):
    pairs = [*rows(20), ({"u": 0.5, "v": 1.0}, {"heat": value, "flow": 1.0})]
    report = StreamEngine(model(), pairs, strict=False).run()
    assert report["n_samples"] == 20
    assert report["notes"] == [f"target 'heat' must be a number from -1e+30 to 1e+30, got {shown}"]


def test_models_of_river_run_too():
    chain = multioutput.RegressorChain(linear_model.LinearRegression(), order=["heat", "flow"])
    pairs = [(x, y) for x, y in rows() if len(y) == 2]
    report = StreamEngine(chain, pairs).run()
    assert report["per_target"]["heat"]["mae"] < report["per_target"]["heat"]["no_change_mae"]


def test_a_monitor_must_hold_out_nothing():
    monitor = TaskMonitor(problem="regression")
    with pytest.raises(ConfigError, match="holdout=0"):
        StreamEngine(model(), samples(), monitor=monitor)


def test_a_change_of_one_target_is_detected():
    pairs = [
        (x, {**y, "heat": -3.0 * y["heat"]} if i >= 1200 else y)
        for i, (x, y) in enumerate(rows(1800))
    ]
    report = StreamEngine(model(), samples(pairs)).run()
    concept = [drift["at"] for drift in report["drifts"] if drift["kind"] == "concept"]
    assert any(1200 <= at < 1500 for at in concept)


def test_a_diverging_target_is_counted_and_not_scored():
    class Diverging(multioutput.RegressorChain):
        def predict_one(self, x):
            return {"heat": float("inf")}

    chain = Diverging(linear_model.LinearRegression())
    report = StreamEngine(chain, [(x, {"heat": y["heat"]}) for x, y in rows(20)]).run()
    assert report["n_unusable"] == 20
    assert report.to_dict()["mae"] is None


def test_prometheus_has_a_gauge_per_target_and_score():
    engine, _, _ = run(samples())
    families = {family.name: family for family in EngineCollector(engine).collect()}
    found = {
        (sample.labels["target"], sample.labels["score"]): sample.value
        for sample in families["loco_target_score"].samples
    }
    assert found["heat", "mae"] == engine.report["per_target"]["heat"]["mae"]
    assert "loco_mean_absolute_error" in families


def test_scores_are_restored_exactly():
    score = Prequential(TARGETS, window=3)
    for i in range(20):
        y = {"heat": float(i), "flow": float(-i)} if i % 3 else {"heat": float(i)}
        score.update(y, {"heat": i + 0.5, "flow": 1.0}, None, {"heat": (i - 1.0, i + 1.0)})
    other = Prequential(TARGETS)
    other.restore_state(json.loads(json.dumps(score.export_state())))
    assert other.report() == score.report()
    assert json.dumps(other.classes()) == json.dumps(score.classes())


def test_the_summary_is_in_deviations_of_each_target():
    summary = TargetSummary()
    for i in range(1000):
        summary.update({"heat": float(i % 2), "flow": 1e6 * (i % 2)}, None)
    level, predicted = summary.update({"heat": 1.0, "flow": 1e6}, {"heat": 1.0, "flow": 0.0})
    assert level == pytest.approx(1.0, abs=0.02)
    assert level - predicted == pytest.approx(1.0, abs=0.02)  # one of two is 2 deviations off


def test_a_service_with_http_keeps_the_targets_of_its_source(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,heat,flow\n1,2,3\n")
    source = InboxSource(open_source(f"csv:{path}?target=heat,flow"), Inbox("http"))
    assert source.targets == ("heat", "flow")


def test_a_request_is_no_next_row_of_the_stream_unless_it_says_so():
    trained = model()
    walk = np.cumsum(np.random.default_rng(4).normal(size=(80, 2)), axis=0)
    X = np.random.default_rng(5).normal(size=(80, 2))
    trained.learn_array(X, walk, NAMES, ("heat", "flow"))
    adapter = TargetAdapter(trained)
    for in_stream in (False, True):
        values, targets = adapter.predict_values(X[:3], NAMES, {}, in_stream)
        expected = trained.predict_array(X[:3], NAMES, in_stream=in_stream)
        assert targets == ["heat", "flow"]
        np.testing.assert_array_equal(values, expected.astype(np.float32))
    assert (trained.predict_array(X[:3], in_stream=False) != expected).all()
