from __future__ import annotations

import copy
import datetime as dt
import json
import math
import os
import pickle
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import checks, compose, datasets, evaluate, metrics, preprocessing

from loco_stream import LOCOClassifier, LOCORegressor, load, save
from loco_stream.errors import CheckpointError, ConfigError, InputError
from loco_stream.learner.arrays.allocate import grow
from tests.helpers.models import arrays_of, assert_same, blobs

SMALL = {"hidden_sizes": (16, 8), "seed": 1}


def small(**options):
    return LOCOClassifier(**SMALL | options)


def number(**options):
    return LOCORegressor(**SMALL | options)


def stream_of(n=120, seed=0, **options):
    X, y = blobs(n, seed=seed, **options)
    return X, [f"class {label}" for label in y]


# River's contract


@pytest.mark.parametrize(
    ("model", "least"), [(small(), 56), (number(), 25)], ids=["classifier", "regressor"]
)
def test_river_checks_pass_and_none_is_missing(model, least):
    names = [
        check.__name__ if hasattr(check, "__name__") else repr(check)
        for check in checks.yield_checks(model)
    ]
    assert not model._unit_test_skips()
    assert len(names) >= least


@pytest.mark.parametrize(
    "model",
    [
        small(),
        number(),
        *(
            pytest.param(model, marks=pytest.mark.slow)
            for model in (LOCOClassifier(), LOCORegressor())
        ),
    ],
    ids=["small classifier", "small regressor", "classifier", "regressor"],
)
def test_river_accepts_the_estimator(model):
    checks.check_estimator(model)


def test_it_works_in_a_pipeline():
    pipeline = (
        compose.Select("anchor_from_other_domain", "https")
        | preprocessing.StandardScaler()
        | small()
    )
    for x, y in datasets.Phishing().take(200):
        pipeline.predict_one(x)
        pipeline.learn_one(x, y)
    assert pipeline["LOCOClassifier"].n_features_in == 2
    assert set(pipeline.predict_proba_one(x)) == {True, False}


def test_progressive_validation_with_and_without_delay():
    data = list(datasets.Phishing().take(400))
    plain = evaluate.progressive_val_score(data, small(), metrics.Accuracy())
    delayed = evaluate.progressive_val_score(
        [({**x, "moment": i}, y) for i, (x, y) in enumerate(data)],
        compose.Discard("moment") | small(),
        metrics.Accuracy(),
        moment="moment",
        delay=20,
    )
    *_, last = evaluate.iter_progressive_val_score(data, small(), metrics.Accuracy(), step=100)
    assert plain.get() > 0.8
    assert delayed.get() > 0.75
    assert last["Accuracy"].get() == plain.get()


def test_progressive_validation_of_the_regressor():
    score = evaluate.progressive_val_score(datasets.TrumpApproval(), number(), metrics.MAE())
    assert score.get() < 1.0


# Array doors


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.booleans())
def test_blocks_of_any_size_equal_one_by_one(sizes, predict_first):
    X, y = stream_of(80, n_classes=5)
    single = small()
    block = small()
    expected = []
    for row, label in zip(X, y, strict=True):
        sample = dict(enumerate(row))
        if predict_first:
            expected.append(single.predict_one(sample))
        single.learn_one(sample, label)
    answers = []
    first = 0
    for size in [*sizes, len(X)]:
        rows = X[first : first + size]
        labels = y[first : first + size]
        first += len(rows)
        if predict_first:
            answers.extend(block.learn_predict_array(rows, labels).tolist())
        else:
            block.learn_array(rows, labels)
    assert answers == expected
    assert_same(arrays_of(single), arrays_of(block))
    assert single.classes == block.classes


@pytest.mark.parametrize("make", [small, number], ids=["classifier", "regressor"])
def test_predictions_of_arrays_frames_and_samples_agree(make):
    X, y = stream_of(60)
    y = y if make is small else X.sum(axis=1).tolist()
    model = make()
    framed = make()
    model.learn_array(X, y, features=("a", "b", "c", "d"))
    frame = pd.DataFrame(X, columns=list("abcd"), index=range(100, 160))
    framed.learn_many(frame, pd.Series(y, index=frame.index))
    assert_same(arrays_of(model), arrays_of(framed))
    singles = [model.predict_one(dict(zip("abcd", row, strict=True))) for row in X]
    assert model.predict_array(X).tolist() == singles
    assert model.predict_many(frame).tolist() == singles
    assert model.predict_array(X[:, ::-1], features=tuple("dcba")).tolist() == singles
    assert list(model.predict_many(frame).index) == list(frame.index)
    if make is small:
        proba = model.predict_proba_array(X)
        assert proba.shape == (60, len(model.classes))
        assert np.allclose(proba.sum(axis=1), 1.0)
        assert np.all((proba >= 0.0) & (proba <= 1.0))
        assert dict(zip(model.classes, proba[7].tolist(), strict=True)) == model.predict_proba_one(
            dict(zip("abcd", X[7], strict=True))
        )
        assert list(model.predict_proba_many(frame).columns) == list(model.classes)


def test_a_fresh_model_answers():
    X = np.zeros((3, 2))
    assert small().predict_one({"a": 1}) is None
    assert small().predict_proba_one({"a": 1}) == {}
    assert small().predict_array(X).tolist() == [None] * 3
    assert small().predict_proba_array(X).shape == (3, 0)
    assert small().predict_many(pd.DataFrame(X)).isna().tolist() == [True] * 3
    assert number().predict_one({"a": 1}) == 0.0
    assert number().predict_array(X).tolist() == [0.0] * 3
    assert small().n_seen == 0
    assert small().spike_counts_.tolist() == [0, 0]


@pytest.mark.parametrize("rows", [0, 1])
def test_empty_and_single_blocks(rows):
    model = small()
    model.learn_array(np.ones((rows, 3)), ["a"] * rows)
    assert model.n_seen == rows
    assert len(model.predict_array(np.ones((rows, 3)))) == rows


# Growth


def test_features_and_classes_that_come_later_find_their_place():
    X, y = blobs(300, n_features=6, n_classes=6)
    model = small()
    for i, (row, label) in enumerate(zip(X, y, strict=True)):
        known = dict(zip("fedcba", row, strict=True))
        if i < 100:
            known = {key: known[key] for key in "fa"}
            label %= 2
        model.learn_one(known, int(label))
    assert model.n_features_in == 6
    assert sorted(model.classes) == list(range(6))
    assert model.skipped_updates == 0
    assert model.masked_values == 0
    right = [
        model.predict_one(dict(zip("fedcba", row, strict=True))) == label
        for row, label in zip(X, y, strict=True)
    ]
    assert np.mean(right[100:]) > 0.7


def test_growing_room_changes_no_prediction():
    X, y = blobs(60)
    model = small()
    model.learn_array(X, y, features=("a", "b", "c", "d"))
    before = model.predict_proba_array(X)
    workspace = arrays_of(model)["statistics"].shape[1]
    model.learn_one({"a": 0.0, **{f"new {i}": math.nan for i in range(workspace)}}, y[0])
    assert arrays_of(model)["statistics"].shape[1] > workspace
    after = model.predict_proba_array(X, features=("a", "b", "c", "d"))
    assert np.abs(after - before).max() < 0.3  # one sample's learning, no more


@pytest.mark.parametrize(
    "options", [{}, {"readout": "delta"}, {"n_input_clusters": 3}, {"readout_layers": "last"}]
)
@pytest.mark.parametrize("room", [(4, 16), (9, 4), (40, 32)])
def test_more_room_changes_no_bit_of_what_is_learned(room, options):
    X, y = blobs(120)
    narrow = small(**options)
    wide = small(**options)
    for model in (narrow, wide):
        model.learn_array(X[:60], y[:60])
    wide._adopt(wide._settings, grow(wide._layout, wide._settings, wide._state, *room))
    assert arrays_of(wide)["classes"].shape[1] == room[1]
    assert (
        narrow.learn_predict_array(X[60:], y[60:]).tolist()
        == wide.learn_predict_array(X[60:], y[60:]).tolist()
    )
    assert narrow.predict_proba_array(X).tobytes() == wide.predict_proba_array(X).tobytes()
    before = arrays_of(narrow)
    after = arrays_of(wide)
    assert_same(
        *(
            {name: state[name] for name in ("counts", "newness", "net.gains")}
            for state in (before, after)
        )
    )
    lines = len(before["net.weights"])
    assert np.array_equal(after["net.weights"][:lines], before["net.weights"])
    assert np.array_equal(after["net.deep_weights"], before["net.deep_weights"])
    assert np.array_equal(after["net.feedback"][:, :4], before["net.feedback"])


def test_the_order_of_a_dict_does_not_matter():
    X, y = blobs(60, n_features=12)
    rng = np.random.default_rng(0)
    straight = small()
    shuffled = small()
    for row, label in zip(X, y, strict=True):
        straight.learn_one(dict(enumerate(row)), label)
        order = rng.permutation(12)
        shuffled.learn_one({int(j): row[j] for j in order}, label)
    assert_same(arrays_of(straight), arrays_of(shuffled))
    assert list(straight._slots.index) == list(range(12))  # numbers as numbers: 2 before 10


def test_mixed_feature_names_and_labels():
    model = small()
    sample = {1: 0.1, "b": 0.2, ("t", 1): 0.3, 2.5: 0.4, None: 0.5, frozenset({1}): 0.7}
    for label in ("word", 3, 2.5, True, ("a", 1), np.str_("word"), np.int64(3), np.bool_(False)):
        model.learn_one(sample, label)
    assert model.classes == ("word", 3, 2.5, True, ("a", 1), False)
    assert model.predict_one(sample) in model.classes
    assert model.predict_array(np.zeros((2, len(sample)))).dtype == object


# Going on where it stopped


def by_file(model, folder):
    path = folder / "model.loco"
    save(model, path)
    return load(path)


ROADS = {
    "file": by_file,
    "state": lambda model, _: type(model).from_state(*model.export_state()),
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, _: copy.deepcopy(model),
}


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("make", [small, number], ids=["classifier", "regressor"])
@pytest.mark.parametrize(("seen", "clusters"), [(0, 0), (1, 0), (70, 0), (70, 3)])
def test_a_copy_goes_on_to_the_bit(road, make, seen, clusters, tmp_path):
    X, y = stream_of(140, n_classes=5)
    y = y if make is small else X.sum(axis=1).tolist()
    original = make(n_input_clusters=clusters, rank=2)
    original.learn_array(X[:seen], y[:seen])
    original.predict_array(X[:1])
    other = ROADS[road](original, tmp_path)
    assert other.n_seen == seen
    assert other._get_params() == original._get_params()
    assert (
        original.learn_predict_array(X[seen:], y[seen:]).tolist()
        == other.learn_predict_array(X[seen:], y[seen:]).tolist()
    )
    assert_same(arrays_of(original), arrays_of(other))


def test_a_clone_starts_anew():
    model = small()
    model.learn_one({"a": 1.0}, "x")
    clone = model.clone()
    assert clone.n_seen == 0
    assert clone._get_params() == model._get_params()


def test_seeds():
    X, y = blobs(50)

    def weights(seed):
        model = small(seed=seed)
        model.learn_array(X, y)
        return arrays_of(model)["net.weights"].tobytes()

    assert weights(3) == weights(3)
    assert len({weights(seed) for seed in (0, 1, 2**32, 2**32 + 1, 2**64 - 1)}) == 5
    assert weights(None) == weights(0)


DIGEST = """
import hashlib, json, sys
import numpy as np
import numba
from loco_stream import LOCOClassifier, LOCORegressor
print(bool(numba.config.DISABLE_JIT))
cases = json.loads(sys.argv[1])
for kind, options in cases:
    n, rng = options.pop("n", 24), np.random.default_rng(0)
    X = rng.normal(size=(n, 3)); X[5, 1] = np.nan; X[7, 0] = 1e300
    labels, values = rng.integers(0, 3, n), X[:, 2].tolist()
    labels[30:] = 2  # the others fall dormant, if the stream is long enough
    labels = labels.tolist()
    options["hidden_sizes"] = tuple(options["hidden_sizes"])
    model = {"c": LOCOClassifier, "r": LOCORegressor}[kind](**options)
    y = labels if kind == "c" else values
    model.learn_predict_array(X, y, t=np.arange(n) ** 1.5)
    for ticket, late in zip(model.observe_array(X), y):
        model.learn_one(ticket, late)
    digest = hashlib.sha256()
    for name, array in sorted(model.export_state()[1].items()):
        digest.update(name.encode() + array.tobytes())
    answers = model.predict_proba_array(X) if kind == "c" else model.predict_array(X)
    print(digest.hexdigest(), hashlib.sha256(np.ascontiguousarray(answers).tobytes()).hexdigest())
"""


def digests(cases, **environment):
    run = subprocess.run(
        [sys.executable, "-c", DIGEST, json.dumps(cases)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=500,
    )
    return run.stdout.split()


@pytest.mark.slow
def test_compiled_and_interpreted_give_the_same_bytes():
    base = {"hidden_sizes": [8, 4], "seed": 5}
    cases = [
        (
            kind,
            base | {"rule": rule, "credit": credit, "readout": readout, "readout_layers": layers},
        )
        for rule in ("loco", "np", "frozen")
        for credit in ("mirror", "learned", "perturbation")
        for readout in ("recursive", "delta")
        for kind, layers in (("c", "all"), ("c", "last"), ("c", "hidden"), ("r", "all"))
    ]
    cases += [
        ("c", base | extra)
        for extra in (
            {"hidden_sizes": [128]},  # the default
            {"hidden_sizes": [4, 4, 4, 4]},
            {"n_input_clusters": 4, "rank": 3},
            {"cluster_size": 5, "orthogonality": 0.7},
            {"plastic": 0.5},
            {"n_perturbations": 2, "antithetic": True, "credit": "perturbation"},
            {"receptive_fields": 1},
            {"tau": 11.0, "tau_trace": 30.0, "window": 25.0, "gain": 3.0},
            {"n": 260},
            {"memory": [0.3, 50.0]},
            {"max_delay": 5},
            {"neighbors": 25, "centroids": 5},
            {"memory": [0.3, 50.0], "max_delay": 5, "credit": "learned"},
            {"neuron": "alif"},
            {"dt": 1.0, "reset": "zero"},
            {"neuron": "izhikevich"},
        )
    ]
    (flag, *compiled), (no_flag, *interpreted) = (
        digests(cases),
        digests(cases, NUMBA_DISABLE_JIT="1"),
    )
    assert (flag, no_flag) == ("False", "True")
    assert len(compiled) == 2 * len(cases)
    wrong = [
        case
        for i, case in enumerate(cases)
        if compiled[2 * i : 2 * i + 2] != interpreted[2 * i : 2 * i + 2]
    ]
    assert wrong == []


# Dirty input


DIRT = [
    math.nan,
    math.inf,
    -math.inf,
    1e300,
    -1e300,
    None,
    "",
    b"x",
    [1, 2],
    {},
    object(),
    10**400,
    1j,
    dt.datetime(2020, 1, 1),
    np.datetime64(1, "D"),
    np.datetime64(1, "ns"),
    np.timedelta64(1, "h"),
    Decimal("NaN"),
]


@pytest.mark.parametrize("make", [small, number], ids=["classifier", "regressor"])
@pytest.mark.parametrize("value", DIRT, ids=lambda value: repr(value)[:20])
def test_what_is_no_number_is_masked_and_counted(make, value):
    X, y = blobs(60)
    dirty = make()
    missing = make()
    for i, (row, label) in enumerate(zip(X, y, strict=True)):
        x = dict(enumerate(row))
        dirty.predict_one({**x, 2: value})
        dirty.learn_one({**x, 2: value} if i % 3 == 1 else x, label)
        missing.learn_one({k: v for k, v in x.items() if k != 2} if i % 3 == 1 else x, label)
    assert dirty.masked_values == missing.masked_values == 20
    assert dirty.skipped_updates == 0
    assert_same(arrays_of(dirty), arrays_of(missing))


@pytest.mark.parametrize("value", [3, True, np.float32(3), np.int8(3), Decimal(3), np.bool_(True)])
def test_every_kind_of_number_counts(value):
    model = small()
    model.learn_one({"a": 1.0}, "x")
    model.learn_one({"a": value}, "x")
    assert model.masked_values == 0
    assert arrays_of(model)["statistics"][1, 0] == (1.0 + float(value)) / 2


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(
                st.sampled_from(["a", "b", "c", 1, 2]),
                st.one_of(
                    st.floats(), st.none(), st.text(max_size=3), st.integers(), st.booleans()
                ),
                max_size=5,
            ),
            st.one_of(st.integers(0, 5), st.text(max_size=2), st.booleans()),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_no_stream_however_dirty_poisons_a_model(samples):
    model = small()
    regressor = number()
    for x, y in samples:
        proba = model.predict_proba_one(x)
        assert all(0.0 <= p <= 1.0 for p in proba.values())
        assert not proba or sum(proba.values()) == pytest.approx(1.0)
        model.learn_one(x, y)
        value = float(hash(y) % 7)
        assert math.isfinite(regressor.predict_one(x))
        regressor.learn_one(x, value)
    for each in (model, regressor):
        assert each.skipped_updates == 0
        for name, array in arrays_of(each).items():
            if name not in (
                "statistics",
                "target",
                "neighbors.ranges",
            ):  # whose least and greatest start at infinity
                assert np.all(np.isfinite(array)), name


def test_arrays_of_objects_are_masked_like_samples():
    X = np.array([[1.0, "word"], [None, 2.0], ["3", math.inf]], object)
    array = small()
    single = small()
    array.learn_array(X, ["a", "b", "a"])
    for row, label in zip(X, ["a", "b", "a"], strict=True):
        single.learn_one(dict(enumerate(row)), label)
    assert_same(arrays_of(array), arrays_of(single))
    assert array.masked_values == 2
    assert list(array.categories_) == [1, 0]


@pytest.mark.parametrize("unit", ["D", "ns"])
def test_arrays_of_dates_are_masked_whatever_their_unit(unit):
    model = small()
    model.learn_array(np.array([["2020-01-01"], ["2020-01-02"]], f"M8[{unit}]"), ["a", "b"])
    assert model.masked_values == 2


def test_unknown_features_of_a_prediction_are_left_out():
    X, y = blobs(30)
    model = small()
    model.learn_array(X, y)
    x = dict(enumerate(X[0]))
    assert model.predict_proba_one(x) == model.predict_proba_one({**x, "new": 5.0})
    assert model.n_features_in == 4


@pytest.mark.parametrize(
    ("X", "y", "features", "words"),
    [
        (np.zeros(4), ["a"], None, "1 dimension"),
        (np.zeros((1, 3)), ["a"], None, "3 columns.*4 features"),
        (np.zeros((2, 4)), ["a"], None, "2 rows.*1 value"),
        (np.zeros((1, 4)), ["a"], ("p", "q"), "names 2"),
        (np.zeros((1, 4)), ["a"], ("p", "q", "r", "r"), "names 3"),
        (np.zeros((1, 4)), [None], None, "y is None"),
        (np.zeros((1, 4)), [math.nan], None, "y is nan"),
        (np.zeros((1, 4)), [[1]], None, "hashable"),
        (np.zeros((1, 4)), ["a"], ("p", "q", "r", ["s"]), "hashable"),
    ],
)
def test_a_refused_call_says_why_and_changes_nothing(X, y, features, words):
    model = small()
    model.learn_array(*blobs(20))
    before = arrays_of(model)
    classes = model.classes
    known = model.n_features_in
    for door in (model.learn_array, model.learn_predict_array):
        with pytest.raises(InputError, match=words):
            door(X, y, features)
    assert_same(before, arrays_of(model))
    assert (model.classes, model.n_features_in) == (classes, known)


@pytest.mark.parametrize("x", [5, "abc", [1.0], None])
def test_a_sample_must_be_a_mapping(x):
    for model in (small(), number()):
        for call in (
            lambda model=model: model.learn_one(x, 1.0),
            lambda model=model: model.predict_one(x),
        ):
            with pytest.raises(InputError, match="must be a dict"):
                call()
        assert (model.n_features_in, model.n_seen) == (0, 0)


def test_a_refused_first_call_leaves_a_fresh_model_fresh():
    model = small()
    for X, y, features in [(np.zeros((2, 3)), ["a"], None), (np.zeros((1, 3)), ["a"], ("p",))]:
        with pytest.raises(InputError):
            model.learn_array(X, y, features)
    assert (model.classes, model.n_features_in, model.n_seen) == ((), 0, 0)


@pytest.mark.parametrize("y", [None, math.nan, float("inf"), "word", [1.0], 1j])
def test_a_target_must_be_a_finite_number(y):
    model = number()
    with pytest.raises(InputError, match="finite number"):
        model.learn_one({"a": 1.0}, y)
    with pytest.raises(InputError, match="finite number"):
        model.learn_array([[1.0]], [y])
    assert (model.n_seen, model.n_features_in) == (0, 0)


@pytest.mark.parametrize("y", [None, math.nan, np.float64("nan"), [1], {}])
def test_a_label_must_be_hashable_and_known(y):
    model = small()
    with pytest.raises(InputError, match="class label"):
        model.learn_one({"a": 1.0}, y)
    assert (model.n_seen, model.classes) == (0, ())


def test_a_regressor_stays_near_the_range_it_has_seen():
    rng = np.random.default_rng(0)
    model = number()
    X = rng.normal(size=(300, 2))
    model.learn_array(X, X @ [3.0, -1.0] + 100.0)
    far = model.predict_array(1e6 * rng.normal(size=(50, 2)))
    y = X @ [3.0, -1.0] + 100.0
    margin = 0.25 * (y.max() - y.min())
    assert np.all((far >= y.min() - margin - 1e-9) & (far <= y.max() + margin + 1e-9))
    model.learn_array(X[:5], [1e30, -1e30, 0.0, 1e29, -1e29])
    with pytest.raises(InputError, match=r"`y\[1\]` must be a finite number .*, got -1e\+31"):
        model.learn_array(X[:2], [1.0, -1e31])
    assert np.all(np.isfinite(model.predict_array(X)))


# Files


@pytest.fixture
def saved(tmp_path):
    model = small()
    model.learn_array(*blobs(20))
    path = tmp_path / "model.loco"
    save(model, path)
    return path


@pytest.mark.parametrize(
    "harm", [lambda b: b[:-7], lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b + b"x"]
)
def test_a_damaged_file_is_refused(saved, harm):
    saved.write_bytes(harm(saved.read_bytes()))
    with pytest.raises(CheckpointError):
        load(saved)


def test_one_flipped_bit_is_refused(saved):
    content = saved.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(content), 20):
        harmed = bytearray(content)
        harmed[place] ^= 1 << int(place % 8)
        saved.write_bytes(harmed)
        with pytest.raises(CheckpointError):
            load(saved)


def test_a_missing_file_and_a_stranger_are_refused(tmp_path):
    with pytest.raises(CheckpointError):
        load(tmp_path / "none")
    with pytest.raises(
        InputError, match="cannot save object; allowed are LOCOClassifier, LOCORegressor"
    ):
        save(object(), Path(tmp_path / "x"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda config, arrays: arrays.pop("net.weights"),
        lambda config, arrays: arrays.update({"net.weights": arrays["net.weights"][:-1]}),
        lambda config, arrays: arrays.update({"counts": arrays["counts"].astype(float)}),
        lambda config, arrays: config.pop("classes"),
        lambda config, arrays: config["parameters"].update(rule="magic"),
        lambda config, arrays: config["parameters"].update(unknown=1),
    ],
)
def test_a_state_that_does_not_fit_is_refused(spoil):
    model = small()
    model.learn_array(*blobs(20))
    config, arrays = model.export_state()
    spoil(config, arrays)
    with pytest.raises(CheckpointError, match="cannot be restored"):
        LOCOClassifier.from_state(config, arrays)


# Settings


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("hidden_sizes", (), "1 to 64"),
        ("hidden_sizes", [256, 0], "tuple or list"),
        ("hidden_sizes", 0, "from 1"),
        ("hidden_sizes", "8", "whole"),
        ("hidden_sizes", 8.0, "whole"),
        ("hidden_sizes", (0,), "from 1"),
        ("hidden_sizes", (True,), "whole"),
        ("neuron", "hh", "'lif', 'alif', 'izhikevich'"),
        ("rule", "backprop", "'loco', 'np', 'frozen'"),
        ("credit", "global", "'learned', 'mirror', 'perturbation'"),
        ("readout", None, "'recursive', 'delta'"),
        ("readout_layers", "first", "'auto', 'all', 'last', 'hidden'"),
        ("cluster_size", 0, "None or a whole number from 1 to 4096"),
        ("cluster_size", 2.0, "whole number"),
        ("perturbation_std", 0.0, "1e-06 to 100"),
        ("perturbation_std", math.nan, "1e-06 to 100"),
        ("n_perturbations", 65, "1 to 64"),
        ("antithetic", 1, "True and False"),
        ("learning_rate", -1e-9, "None or a number from 0"),
        ("learning_rate", math.inf, "None or a number from 0"),
        ("orthogonality", 1.1, "0 to 1"),
        ("n_input_clusters", -1, "0 to 256"),
        ("rank", 17, "1 to 16"),
        ("receptive_fields", 0, "None or a whole number"),
        ("tau", 0, "None or a number"),
        ("tau_trace", "20", "None or a number"),
        ("gain", 1e4, "None or a number from 0.001 to 1000"),
        ("window", None, "0.001 to 1e"),
        ("leaks", (), "1 to 16"),
        ("leaks", (0.6,), "0 to 0.5"),
        ("leaks", 0.1, "tuple"),
        ("memory", (5.0, 1.0), "None or (shortest, longest), two numbers from 0.001 to 1e+06"),
        ("leaks", (1e-2, 0.0), "ascending"),
        ("leaks", (0.0, -1e-3), "0 to 0.5"),
        ("leaks", (1e-2, 1e-4), "ascending"),
        ("retention", 2, "0 to 1"),
        ("plastic", 1.1, "0 to 1"),
        ("plastic", math.nan, "0 to 1"),
        ("class_weight", "fair", "None, 'balanced', or a dict"),
        ("class_weight", {}, "a dict"),
        ("class_weight", {"fault": 0.0}, "from 1e-06"),
        ("class_weight", {"fault": math.inf}, "to 1e+06"),
        ("class_weight", {"fault": "10"}, "a number"),
        ("class_weight", {None: 1.0}, "labels"),
        ("class_weight", 5, "a dict"),
        ("seed", -1, "None or a whole number from 0"),
        ("seed", 2**64, "None or a whole number from 0"),
        ("seed", 1.5, "None or a whole number from 0"),
        ("categories", -1, "whole number from 0 to 1024"),
        ("reset", "none", "'subtract', 'zero'"),
        ("dt", 0.5, "None or a number from 1 to 20"),
        ("categories", None, "whole number from 0 to 1024"),
        ("max_delay", 257, "whole number from 0 to 256"),
        ("neighbors", -1, "whole number from 0 to 1000000"),
        ("centroids", -1, "None or a whole number from 0 to 100000"),
    ],
)
@pytest.mark.parametrize("kind", [LOCOClassifier, LOCORegressor])
def test_a_bad_setting_is_named_with_its_value_and_what_is_allowed(kind, field, value, allowed):
    with pytest.raises(ConfigError) as caught:
        kind(**{field: value})
    text = str(caught.value)
    assert text.startswith(f"{field} is {value!r}; allowed ")
    assert allowed in text


def test_every_setting_has_a_bad_value_in_the_table():
    (table,) = (
        mark.args[1]
        for mark in test_a_bad_setting_is_named_with_its_value_and_what_is_allowed.pytestmark
        if mark.args[0] != "kind"
    )
    assert {field for field, *_ in table} == set(LOCOClassifier()._get_params())


@pytest.mark.parametrize("sizes", [8, [8], (8,), [8, 4]])
def test_layers_may_be_a_number_a_list_or_a_tuple_and_are_kept_as_given(sizes):
    X, y = blobs(20)
    plain = LOCOClassifier(hidden_sizes=(8, 4) if sizes == [8, 4] else (8,), seed=1)
    model = LOCOClassifier(hidden_sizes=sizes, seed=1)
    for asked in (plain, model):
        asked.learn_array(X, y)
    assert model.hidden_sizes is sizes
    assert type(model.clone().hidden_sizes) is type(sizes)
    assert_same(arrays_of(plain), arrays_of(model))
    again = LOCOClassifier.from_state(*model.export_state())
    assert again.hidden_sizes == sizes
    assert_same(arrays_of(again), arrays_of(model))


def test_extreme_settings_run():
    X, y = blobs(20)
    for options in (
        {"hidden_sizes": (1,)},
        {"hidden_sizes": (3,) * 20},
        {"cluster_size": 1},
        {"cluster_size": 1024},
        {"n_input_clusters": 1},
        {"n_input_clusters": 256, "rank": 2},
        {"n_input_clusters": 3, "rank": 16},
        {"plastic": 0.01},
        {"learning_rate": 1e6},
        {"readout_layers": "hidden"},
        {"receptive_fields": 64},
        {"leaks": (0.5,)},
        {"leaks": (0.0,) * 16},
        {"orthogonality": 0.0},
        {"orthogonality": 1.0},
        {"perturbation_std": 1e-6, "learning_rate": 1e3},
        {"perturbation_std": 10.0, "credit": "perturbation", "learning_rate": 1e3},
        {"window": 1e-3},
        {"window": 1e6},
        {"tau": 1e-3, "tau_trace": 1e-3},
        {"tau": 1e6, "tau_trace": 1e6},
        {"gain": 1e3},
        {"gain": 1e-3},
    ):
        for readout in ("recursive", "delta"):
            model = small(**options, readout=readout)
            model.learn_array(X, y)
            assert np.allclose(model.predict_proba_array(X).sum(axis=1), 1.0), options


@pytest.mark.parametrize(
    "labels", [[3, 1, 3, 2], [True, False, True, True], ["b", "a", "b", "c"], [2, "a", 2, (1, 2)]]
)
def test_labels_in_arrays_take_slots_as_labels_in_lists(labels):
    X = np.arange(8.0).reshape(4, 2)
    one, other = (LOCOClassifier(hidden_sizes=(8,), seed=1) for _ in range(2))
    one.learn_array(X, labels)
    plain = len({type(label) for label in labels}) == 1
    other.learn_array(X, np.array(labels) if plain else labels)
    assert one.classes == other.classes == tuple(dict.fromkeys(labels))
    assert one.predict_array(X).tolist() == other.predict_array(X).tolist()
    assert {(type(label), label) for label in one.predict_array(X).tolist()} <= {
        (type(y), y) for y in labels
    }
