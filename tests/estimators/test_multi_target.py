"""Several targets: each as a regressor of its own predicts it, on one network."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from river import checks, preprocessing

from loco_stream import (
    AdvancedOptions,
    LOCOMultiTargetRegressor,
    LOCORegressor,
    load,
    save,
)
from loco_stream.errors import CheckpointError, ConfigError, InputError

NAMES = ("sum", "product", "lag")


def stream(n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    Y = np.stack([X.sum(axis=1), X[:, 0] * X[:, 1], np.roll(X[:, 2], 1)], axis=1)
    return X, Y + 0.05 * rng.normal(size=Y.shape)


def model(**options):
    return LOCOMultiTargetRegressor(**{"hidden_sizes": 16, "seed": 3, **options})


def rows(X, Y, names=NAMES):
    for x, y in zip(X.tolist(), Y.tolist(), strict=True):
        yield dict(enumerate(x)), dict(zip(names, y, strict=True))


def arrays_of(trained):
    return trained.export_state()[1]


def assert_same_state(one, two):
    a, b = arrays_of(one), arrays_of(two)
    assert a.keys() == b.keys()
    for name in a:
        assert np.array_equal(a[name], b[name]), name


OPTIONS = [
    {},
    {"memory": (0.3, 50.0)},
    {"max_delay": 3},
    {"memory": (0.3, 50.0), "max_delay": 2},
    {"hidden_sizes": (12, 8)},
    {"rule": "np"},
    {"rule": "frozen"},
    {"advanced": AdvancedOptions(readout_layers="hidden")},
    {"advanced": AdvancedOptions(recent_values=0)},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_one_target_is_bit_identical_to_the_regressor(options):
    X, Y = stream(420)
    t = np.cumsum(np.random.default_rng(1).uniform(0.5, 1.5, len(X)))
    single = LOCORegressor(**{"hidden_sizes": 16, "seed": 3, **options})
    several = model(**options)
    values, bounds = single.learn_predict_interval_array(X, Y[:, 2], t=t)
    found, intervals = several.learn_predict_interval_array(X, Y[:, 2:], t=t)
    assert np.array_equal(values, found[:, 0])
    assert np.array_equal(bounds, intervals[:, 0])
    assert np.array_equal(single.predict_array(X), several.predict_array(X)[:, 0])
    a, b = arrays_of(single), arrays_of(several)
    for name in a:
        others = ("target.", "residuals.", "stacks.", "delayed_values.")
        if not name.startswith(others):
            assert np.array_equal(a[name], b[name]), name


@pytest.mark.parametrize("wanders", [False, True])
def test_one_late_target_is_bit_identical_to_the_regressor(wanders):
    X, Y = stream()
    Y = np.cumsum(Y, axis=0) if wanders else Y  # errors of rows that wait together are alike then
    options = {"hidden_sizes": 16, "seed": 3, "memory": (0.3, 20.0)}
    single = LOCORegressor(**options)
    several = model(memory=(0.3, 20.0))
    for m, late in ((single, Y[:, 0]), (several, Y[:, :1])):
        m.learn_array(X[:100], late[:100])
        tickets = m.observe_array(X[100:])
        for ticket, value in zip(tickets, late[100:], strict=True):
            m.learn_one(ticket, float(value) if m is single else {0: float(value[0])})
    assert np.array_equal(single.predict_array(X), several.predict_array(X)[:, 0])


@pytest.mark.parametrize("options", [{}, {"memory": (0.3, 20.0)}], ids=str)
def test_a_ticket_that_is_learned_at_once_changes_nothing(options):
    X, Y = stream(120)
    at_once, with_tickets = model(**options), model(**options)
    for i, (x, y) in enumerate(rows(X, Y)):
        at_once.learn_one(x, y)
        if i % 2:
            with_tickets.learn_one(x, y)
        else:
            with_tickets.learn_one(with_tickets.observe_one(x), y)
    assert_same_state(at_once, with_tickets)


@pytest.mark.parametrize("options", OPTIONS[:4], ids=str)
def test_blocks_equal_rows_bit_for_bit(options):
    X, Y = stream(120)
    by_block, by_row = model(**options), model(**options)
    values = by_block.learn_predict_array(X, Y, targets=NAMES, t=np.arange(120.0))
    found = []
    for i, (x, y) in enumerate(rows(X, Y)):
        found.append(list(by_row.predict_one(x, t=float(i)).values()) or [0.0] * 3)
        by_row.learn_one(x, y, t=float(i))
    assert np.array_equal(values, np.array(found))
    assert_same_state(by_block, by_row)


def test_targets_are_learned():
    X, Y = stream(1500)
    found = model(hidden_sizes=64).learn_predict_array(X, Y)
    errors = np.abs(found - Y)[750:].mean(axis=0) / Y.std(axis=0)
    assert errors[0] < 0.1
    assert errors[1] < 0.3


def test_a_missing_target_learns_nothing_and_leaves_the_others_alone():
    X, Y = stream()
    Y[::3, 1] = np.nan
    trained = model()
    trained.learn_array(X, Y, targets=NAMES)
    assert trained.missing_values == 100
    assert trained.n_seen == 300
    before = trained.predict_array(X)
    weights = arrays_of(trained)["experts.least_squares.weights"].copy()
    trained.learn_one({0: 0.5, 1: 0.5, 2: 0.5}, {"sum": 1.5, "product": None})
    after = arrays_of(trained)["experts.least_squares.weights"]
    blocks = (after != weights).reshape(len(after), -1, 3).any(axis=(0, 1))
    assert blocks.tolist() == [True, False, False]
    assert np.isfinite(before).all()


def test_a_row_without_any_value_is_only_observed():
    X, Y = stream(60)
    Y[30:40] = np.nan
    several = model(memory=(0.3, 20.0))
    several.learn_array(X, Y)
    assert several.n_seen == 50
    other = model(memory=(0.3, 20.0))
    other.learn_array(X[:30], Y[:30])
    other.observe_array(X[30:40])
    other.learn_array(X[40:], Y[40:])
    assert np.array_equal(other.predict_array(X), several.predict_array(X))
    assert_same_state(several, other)
    assert several.missing_values == 0


def test_targets_and_features_may_appear_later():
    X, Y = stream()
    trained = model()
    for i, (x, y) in enumerate(rows(X, Y)):
        if i < 100:
            del y["lag"]
            x.pop(2)
        trained.learn_one(x, y)
    assert trained.targets == (*NAMES[:2], "lag")
    assert trained.features == (0, 1, 2)
    assert set(trained.predict_one({0: 1.0, 1: 0.0, 2: 0.0})) == set(NAMES)


def test_intervals_cover():
    X, Y = stream(1500)
    values, bounds = model(hidden_sizes=32).learn_predict_interval_array(X, Y, coverage=0.8)
    inside = (bounds[..., 0] <= Y) & (bounds[..., 1] >= Y)
    assert np.abs(inside[500:].mean(axis=0) - 0.8).max() < 0.03
    assert values.shape == (1500, 3)


@pytest.mark.parametrize("options", [{}, {"memory": (0.3, 20.0), "max_delay": 1}], ids=str)
def test_copies_and_files_continue_bit_identically(options, tmp_path):
    X, Y = stream()
    trained = model(**options)
    trained.learn_array(X[:150], Y[:150], targets=NAMES)
    late = trained.observe_one(dict(enumerate(X[150].tolist())))
    trained.learn_one(late, {"sum": 1.0})
    save(trained, tmp_path / "model.loco")
    others = [load(tmp_path / "model.loco"), pickle.loads(pickle.dumps(trained))]
    others += [copy.copy(trained), copy.deepcopy(trained)]
    expected = trained.learn_predict_array(X[150:], Y[150:])
    for other in others:
        assert np.array_equal(other.learn_predict_array(X[150:], Y[150:]), expected)
        assert_same_state(other, trained)


def test_damaged_targets_are_refused():
    X, Y = stream(30)
    trained = model()
    trained.learn_array(X, Y)
    config, arrays = trained.export_state()
    for name, harm in (
        ("targets.residuals.counters", -1),
        ("targets.residuals.risks", 2.0),
        ("targets.statistics.mean", np.nan),
        ("targets.statistics.squares", -1.0),
        ("next_value.counters", -1),
        ("next_value.errors", -1.0),
        ("next_value.joint_weights", np.nan),
    ):
        damaged = {**arrays, name: np.full_like(arrays[name], harm)}
        with pytest.raises(CheckpointError):
            LOCOMultiTargetRegressor.from_state(config, damaged)
    for changed in ({"classes": [0, 1]}, {"classes": [0, 1, 2, 3]}, {"classes": [0, 0, 1]}):
        with pytest.raises(CheckpointError):
            LOCOMultiTargetRegressor.from_state({**config, **changed}, arrays)


def test_wrong_names_of_targets_are_refused_as_such():
    X, Y = stream(30)
    with pytest.raises(InputError, match="`targets` must name the 3 columns of `Y`, got 1"):
        model().learn_array(X, Y, targets=["a"])
    with pytest.raises(InputError, match=r"`targets` must be a sequence of 3 names, .* got 'abc'"):
        model().learn_array(X, Y, targets="abc")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (1.0, "`y` must be a dict of numbers by target, got 1.0"),
        ({"a": None}, "`y` must have a value for at least one target"),
        ({}, "`y` must have a value for at least one target"),
        ({"a": math.inf}, "must be"),
        ({"a": "text"}, "must be"),
    ],
)
def test_bad_targets_are_refused(y, message):
    fresh = model()
    with pytest.raises(InputError, match=message):
        fresh.learn_one({"x": 1.0}, y)
    assert fresh.n_seen == 0
    assert fresh.targets == ()


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        (np.zeros(30), "`Y` must have 2 dimensions"),
        (np.zeros((29, 3)), "`Y` must have 30 rows"),
        (np.zeros((30, 0)), "`Y` must have 30 rows and a column or more"),
        (np.full((30, 3), 1e31), r"Y\[0, 0\]"),
        (np.zeros((30, 2)), "`Y` must have 3 columns"),
    ],
)
def test_bad_matrices_are_refused(Y, message):
    X, good = stream(30)
    trained = model()
    trained.learn_array(X, good)
    with pytest.raises(InputError, match=message):
        trained.learn_array(X, Y)
    assert trained.n_seen == 30


@pytest.mark.parametrize(
    "advanced", [{"credit": "learned"}, {"readout": "delta"}, {"readout_layers": "last"}], ids=str
)
def test_options_of_one_output_are_refused(advanced):
    with pytest.raises(ConfigError, match="with several targets, got"):
        LOCOMultiTargetRegressor(advanced=AdvancedOptions(**advanced))


def test_an_explanation_adds_up_to_each_prediction():
    X, Y = stream(400)
    trained = model(hidden_sizes=24)
    trained.learn_array(X, Y, targets=NAMES)
    row = dict(enumerate(X[-1].tolist()))
    why = trained.explain_one(row, in_stream=False)
    predicted = trained.predict_one(row, in_stream=False)
    for name in NAMES:
        assert why[name].score == pytest.approx(predicted[name], abs=1e-3)
        assert why[name].next_row == {}
    assert sum(trained.feature_importances_.values()) == pytest.approx(1.0)


def test_frames_are_taken():
    pandas = pytest.importorskip("pandas")
    X, Y = stream(60)
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    targets = pandas.DataFrame(Y, columns=NAMES)
    trained = model()
    trained.learn_many(frame, targets)
    predicted = trained.predict_many(frame)
    assert list(predicted.columns) == list(NAMES)
    assert np.array_equal(predicted.to_numpy(), trained.predict_array(X))


@pytest.mark.parametrize("kind", ["object", None])
@pytest.mark.parametrize(
    "wrong", [1j, 10**40, "", pd.Timestamp("2024-01-01"), pd.Timedelta("1s"), pd.Interval(0, 1)]
)
def test_what_is_no_number_is_refused_in_a_frame_of_targets(wrong, kind):
    frame = pd.DataFrame({"heat": [1.0, 2.0, 3.0]})
    targets = frame.assign(wear=pd.Series([wrong] * 3, dtype=kind))
    trained = model()
    with pytest.raises(InputError, match=r"`y\['wear'\]\[0\]` must be a finite number"):
        trained.learn_many(frame, targets)
    assert trained.features == ()


def test_a_sequence_is_learned_as_by_the_regressor():
    several = model(memory=(0.3, 20.0))
    options = {"hidden_sizes": 16, "seed": 3, "memory": (0.3, 20.0)}
    single = LOCORegressor(**options)
    for _ in range(20):
        for rows, value in (([[0.0], [1.0]], 1.0), ([[1.0], [0.0], [0.0]], -1.0)):
            several.learn_sequence(rows, {"rise": value})
            single.learn_sequence(rows, value)
    assert several.predict_sequence([[0.0], [1.0]]) == {
        "rise": single.predict_sequence([[0.0], [1.0]])
    }


def test_a_pipeline_with_several_targets_is_saved(tmp_path):
    X, Y = stream(80)
    pipeline = preprocessing.StandardScaler() | model()
    pairs = list(rows(X, Y))
    for x, y in pairs[:60]:
        pipeline.learn_one(x, y)
    save(pipeline, tmp_path / "pipeline.loco")
    loaded = load(tmp_path / "pipeline.loco")
    for x, y in pairs[60:]:
        assert loaded.predict_one(x) == pipeline.predict_one(x)
        for each in (loaded, pipeline):
            each.learn_one(x, y)


def test_river_checks():
    checks_of = list(checks.yield_checks(LOCOMultiTargetRegressor()))
    assert len(checks_of) > 25
    for check in checks_of:
        check(LOCOMultiTargetRegressor(hidden_sizes=8, seed=1))


def test_a_model_with_reserved_features_predicts_no_target_before_the_first():
    model = LOCOMultiTargetRegressor(hidden_sizes=4, seed=1)
    model.reserve(("a", "b"))
    assert model.predict_one({"a": 1.0}) == {}
    assert model.predict_array(np.ones((2, 2))).size == 0
    model.learn_one({"a": 1.0, "b": 2.0}, {"heat": 1.0, "flow": 2.0})
    assert list(model.predict_one({"a": 1.0})) == ["heat", "flow"]


@pytest.mark.parametrize("memory", [None, (1.0, 10.0)])
def test_recent_values_answer_for_the_next_row_alone(memory):
    X, Y = walks(60)
    model = LOCOMultiTargetRegressor(hidden_sizes=6, memory=memory, seed=1)
    model.learn_array(X, Y)
    row = dict(enumerate(X[7].tolist()))
    one = model.predict_one(row)
    intervals = model.predict_interval_array(X[:5])
    pooled = model.predict_sequence(X[:5])
    for in_stream in (True, False, None):
        found = model.predict_one(row, in_stream=in_stream)
        assert (found == one) == (in_stream is not False)
        low, high = model.predict_interval_one(row, in_stream=in_stream)[0]
        assert low < found[0] < high
        several = model.predict_array(X[7:8], in_stream=in_stream)
        np.testing.assert_array_equal(several, [list(found.values())])
        changed = model.predict_interval_array(X[:5], in_stream=in_stream) != intervals
        assert changed.any() == (in_stream is False)
        changed = model.predict_sequence(X[:5], in_stream=in_stream) != pooled
        assert changed == (in_stream is True)
    with pytest.raises(InputError, match="`in_stream` must be True, False or None"):
        model.predict_one(row, in_stream="next")


def walks(n, seed=5):
    """Return rows that say nothing, and targets: a walk, and the same a row later."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(size=n))
    X = rng.normal(size=(n, 3))
    return X, np.stack([walk, np.roll(walk, 1)], axis=1) + 0.05 * rng.normal(size=(n, 2))


def error_share(found, Y):
    """Return the mean squared error of each target over its variance, of the later rows."""
    late = slice(len(Y) // 3, None)
    return ((found - Y)[late] ** 2).mean(axis=0) / Y[late].var(axis=0)


def test_last_values_of_a_target_and_of_the_others_are_used():
    X, Y = walks(900)
    found = error_share(model().learn_predict_array(X, Y), Y)
    repeated = error_share(np.roll(Y, 1, axis=0), Y)
    assert found[0] < 1.05 * repeated[0]
    assert found[1] < 0.2 * repeated[1]  # it repeats the last value of the other
    without = model(advanced=AdvancedOptions(recent_values=0)).learn_predict_array(X, Y)
    assert (error_share(without, Y) > 3.0 * found).all()


def learn_late(trained, X, Y, delay):
    """Return predictions for rows whose values come `delay` rows later."""
    tickets = []
    found = np.zeros(Y.shape)
    for i, x in enumerate(X.tolist()):
        if i >= delay:
            trained.learn_one(tickets[i - delay], dict(enumerate(Y[i - delay].tolist())))
        tickets.append(trained.observe_one(dict(enumerate(x))))
        found[i] = list((tickets[-1].prediction or dict.fromkeys(range(Y.shape[1]), 0.0)).values())
    return found


def test_of_late_values_those_are_used_that_were_known_then():
    X, Y = walks(900)
    delay = 4
    steps = np.array([1, 0]) + delay  # by which the first target is ahead of what is known
    late = learn_late(model(), X, Y, delay)
    last_known = np.stack([np.roll(Y[:, 0], step) for step in steps], axis=1)
    known = error_share(last_known, Y)
    assert (error_share(late, Y) < 1.2 * known + 0.01).all()


def test_after_rows_that_came_at_once_late_values_are_learned_anew():
    X, Y = walks(1200)
    trained = model()
    trained.learn_array(X[:600], Y[:600])
    late = learn_late(trained, X[600:], Y[600:], 5)
    own = trained._core.state.next_value
    assert (own.counters["n_scored"] < 600).all()
    last_known = np.stack([np.roll(Y[:, 0], step) for step in (6, 5)], axis=1)[600:]
    assert (error_share(late, Y[600:]) < 2.0 * error_share(last_known, Y[600:])).all()


@pytest.mark.parametrize("seed", range(3))
def test_where_targets_are_independent_of_their_past_little_is_lost(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(1500, 4))
    Y = np.sin(X @ rng.normal(size=(4, 3))) + 0.3 * rng.normal(size=(1500, 3))
    found = error_share(model(seed=seed).learn_predict_array(X, Y), Y)
    without = model(seed=seed, advanced=AdvancedOptions(recent_values=0))
    assert (found < error_share(without.learn_predict_array(X, Y), Y) + 0.005).all()


def test_a_second_target_leaves_the_experts_of_the_first_as_they_are():
    X, Y = walks(300)
    trained = model()
    trained.learn_array(X, Y[:, :1])
    row = dict(enumerate(X[0].tolist()))
    predicted = trained.predict_one(row)[0]
    trained._core.admit((), [1])
    assert trained.predict_one(row)[0] == predicted  # the new one has not been learned
    trained.learn_one(row, {0: float(Y[-1, 0]), 1: 1.0})
    after = arrays_of(trained)["next_value.log_weights"][0]
    assert after[4:].max() < after.max() - 5.0


def test_a_ticket_from_before_a_target_was_known_is_learned():
    X, Y = walks(120)
    trained = model()
    trained.learn_array(X[:50], Y[:50, :1])
    tickets = trained.observe_array(X[50:60])
    for ticket, values in zip(tickets, Y[50:60].tolist(), strict=True):
        trained.learn_one(ticket, dict(enumerate(values)))
    assert trained.targets == (0, 1)
    assert trained.skipped_updates == 0
    assert np.isfinite(trained.predict_array(X[60:])).all()


def test_the_last_value_of_a_missing_target_is_the_last_one_known():
    X, Y = walks(300)
    Y[200:, 1] = np.nan
    Y[-1, 0] = 1000.0  # an outlier is kept as it came
    trained = model()
    found = trained.learn_predict_array(X, Y)
    own = trained._core.state.next_value
    assert own.known[:, 0].tolist() == [Y[-1, 0], Y[199, 1]]
    assert np.isfinite(found).all()


def test_an_explanation_has_the_weights_of_recent_values():
    X, Y = walks(400)
    trained = model()
    trained.learn_array(X, Y)
    row = dict(enumerate(X[-1].tolist()))
    for why in trained.explain_one(row).values():
        assert sum(why.next_row.values()) == pytest.approx(1.0)
        assert why.explained == pytest.approx(why.next_row["ensemble"])
    joint = [name for name in why.next_row if name.startswith("joint")]
    assert len(joint) == 2
    assert sum(why.next_row[name] for name in joint) > 0.9
    alone = model()
    alone.learn_array(X, Y[:, :1])
    assert set(alone.explain_one(row)[0].next_row) == set(why.next_row) - set(joint)


def test_only_presets_that_fit_are_offered():
    assert LOCOMultiTargetRegressor.preset("fast").hidden_sizes == (64,)
    with pytest.raises(ConfigError, match="one of the presets 'fast', 'default', got 'accurate'"):
        LOCOMultiTargetRegressor.preset("accurate")


def test_frames_pass_through_a_pipeline_of_river():
    X, Y = stream(40)
    frame, targets = pd.DataFrame(X, columns=list("abc")), pd.DataFrame(Y, columns=NAMES)
    model = preprocessing.StandardScaler() | LOCOMultiTargetRegressor(hidden_sizes=6, seed=1)
    model.learn_many(frame, targets)
    found = model.predict_many(frame)
    assert list(found.columns) == list(NAMES)
    assert found.shape == Y.shape
