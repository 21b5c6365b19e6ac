"""Texts as one channel each: equal to a slow twin, saved, grown, shown and exported."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from loco_stream import AdvancedOptions, LOCOClassifier, LOCORegressor
from loco_stream._compiler.jit import kernel
from loco_stream._learner import texts
from loco_stream._learner.readout.snapshots import keep_snapshot
from loco_stream._options import JOINT_FEATURES, JOINT_TEXTS
from loco_stream.errors import CheckpointError
from loco_stream.estimators import _core
from tests.helpers.jitted import on_model
from tests.helpers.models import parameters
from tests.helpers.tables import colours
from tests.helpers.twins import assert_same_state, make_twin


@kernel
def _keep_snapshot(settings, state, scratch, weights, slot):
    keep_snapshot(settings, state, weights, slot)


run_keep_snapshot = on_model(_keep_snapshot)

N_NUMBERS = 2
N_TEXTS = 3


def rows(n, seed=0):
    """Return rows by name, the same as numbers, and labels that depend on both kinds of feature.

    The first row has all texts, which are missing in some others.
    """
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n, N_NUMBERS))
    present = np.where(rng.random((n, N_TEXTS)) < 0.5, 1.0, np.nan)
    present[0] = 1.0
    given = [dict(enumerate(row)) for row in numbers.tolist()]
    for x, own in zip(given, present, strict=True):
        x.update({f"t{j}": "yes" if p == 1.0 else None for j, p in enumerate(own)})
    values = numbers[:, 0] + 2.0 * np.nan_to_num(present)[:, 0] - np.nan_to_num(present)[:, 1]
    unused = np.full((n, N_TEXTS), np.nan)  # slots for texts that were a number
    return given, np.hstack([numbers, unused, present]), values


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hidden_sizes": (6, 5), "credit": "perturbation"},
        {"rule": "np"},
        {"rule": "frozen"},
        {"plastic": 0.5},
        {"orthogonality": 0.5},
        {"memory": (2.0, 20.0)},
        {"learning_rate": 3.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_a_model_with_texts_equals_its_twin(make, options):
    regression = make is LOCORegressor
    options = {"seed": 3, "hidden_sizes": (6,), **options}
    if not regression:
        options["fixed_neurons"] = 16
    model = make(**parameters(**options))
    n = N_NUMBERS + N_TEXTS
    twin = make_twin(n, 1 if regression else 2, regression=regression, n_texts=N_TEXTS, **options)
    given, numbers, values = rows(150)
    targets = values if regression else (values > values[0]).astype(int)
    for x, row, target in zip(given, numbers, targets.tolist(), strict=True):
        expected = twin.predict(row)
        if regression:
            predicted = model.predict_one(x)
        else:
            predicted = list(model.predict_proba_one(x).values())
        np.testing.assert_allclose(predicted, expected, atol=1e-4)
        model.learn_one(x, target)
        twin.learn(row, target)
    assert_same_state(model, twin, 1e-4)
    assert model._core.state.texts.n[0] == N_TEXTS


def test_texts_that_a_row_does_not_have_cost_nothing_and_change_nothing():
    model = learned(60)
    own = model._core.state.texts
    before = own.weights.copy(), own.projector.copy()
    model.learn_one({"colour": "red", "size": 0.4}, "red")
    assert model._core.scratch.texts.n[0] == 1
    for array, old in zip((own.weights, own.projector), before, strict=True):
        assert np.flatnonzero((array != old).reshape(len(array), -1).any(axis=1)).tolist() == [
            model._core.scratch.texts.rows[0]
        ]


def test_a_weight_stays_within_bounds():
    model = learned(20)
    weights = model._core.state.texts.weights
    weights[:] = 10.0 * texts.MAX_NORM
    model.learn_one({"colour": "red", "size": 0.4}, "blue")
    changed = model._core.scratch.texts.rows[0]
    assert weights[changed].max() == texts.MAX_NORM


def test_a_snapshot_keeps_the_weights_of_texts():
    model = learned(30)
    own = model._core.state.texts
    kept = own.weights.copy()
    settings = model._core.settings
    weights = np.ones(2 * (settings.n_trace + settings.n_linear))
    run_keep_snapshot(model._core._args, weights, 1)
    model.learn_one({"colour": "red", "size": 0.4}, "blue")
    assert not np.array_equal(own.weights, kept)
    assert np.array_equal(own.snapshots[1], kept)


@pytest.mark.parametrize(
    ("make", "n_classes"), [(LOCOClassifier, 2), (LOCOClassifier, 20), (LOCORegressor, 1)]
)
def test_a_text_takes_2_to_16_kilobytes(make, n_classes):
    sizes = []
    rooms = []
    for n_texts in (100, 300):
        model = make(seed=1)
        for i in range(n_texts):
            model.learn_one({"id": f"i{i}", "size": float(i % 7)}, i % n_classes)
        arrays = model.export_state()[1]
        sizes.append(sum(array.nbytes for array in arrays.values()))
        rooms.append(len(arrays["texts.weights"]))
    assert 2e3 <= (sizes[1] - sizes[0]) / (rooms[1] - rooms[0]) <= 16e3


def test_weights_at_the_start_do_not_depend_on_the_room():
    settings = learned(1)._core.settings
    few, many = (texts.start_weights(settings, 18, n, 16) for n in (3, 7))
    assert np.array_equal(few, many[:3])
    sizes = many.std(axis=1) * np.sqrt(18) * (1.0 + np.arange(7) / texts.FIRST_TEXTS)
    assert sizes.min() > 0.5
    assert sizes.max() < 2.0


def learned(n, **options):
    model = LOCOClassifier(**{"hidden_sizes": 16, "seed": 1, **options})
    for x, y in colours(n):
        model.learn_one(x, y)
    return model


@pytest.mark.parametrize(
    "options", [{"max_delay": 2}, {"advanced": AdvancedOptions(receptive_fields=1)}], ids=str
)
def test_texts_are_features_with_delays_or_where_features_have_one_channel(options):
    model = learned(30, **options)
    assert len(model._core.slots.categories) > 0
    assert model._core.state.texts.n[0] == len(model._core.state.texts.weights) == 0


def state_of(model):
    return {name: array.tobytes() for name, array in model.export_state()[1].items()}


def test_a_model_from_before_goes_on_with_its_layout(monkeypatch):
    """Texts that it knows keep their receptive fields, and texts that are new have one channel."""
    monkeypatch.setattr(_core, "have_one_channel", lambda settings: False)
    old = learned(40)
    config, arrays = old.export_state()
    assert not any(name.startswith("texts.") for name in arrays)
    kept = pickle.loads(pickle.dumps(old))
    monkeypatch.undo()
    loaded = LOCOClassifier.from_state(config, arrays)
    for x, y in list(colours(90))[40:]:
        assert loaded.predict_proba_one(x) == kept.predict_proba_one(x)
        loaded.learn_one(x, y)
        kept.learn_one(x, y)
    assert state_of(loaded) == state_of(kept)
    loaded.learn_one({"colour": "mauve", "size": 0.1}, "red")
    own = loaded._core.state.texts
    assert own.n[0] == 1
    assert np.flatnonzero(own.is_text).tolist() == [len(loaded._core.slots) - 1]
    again = LOCOClassifier.from_state(*loaded.export_state())
    for model in (loaded, again):
        for x, y in colours(30, seed=5):
            model.learn_one(x, y)
    assert state_of(loaded) == state_of(again)


def test_a_model_without_texts_has_none_of_their_arrays_in_its_file():
    model = LOCOClassifier(hidden_sizes=4, seed=1)
    model.learn_one({"a": 1.0}, "x")
    assert not any(name.startswith("texts.") for name in model.export_state()[1])


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [("n", 0, 5), ("n", 0, -1), ("is_text", 0, 1), ("is_text", 3, 2)],
)
def test_a_damaged_number_of_texts_is_refused(name, place, value):
    config, arrays = learned(30).export_state()
    arrays[f"texts.{name}"][place] = value
    with pytest.raises(CheckpointError, match=r"texts\."):
        LOCOClassifier.from_state(config, arrays)


def test_a_mark_of_a_text_beyond_the_features_is_refused():
    model = learned(30)
    for j in range(4):  # the room for numbers doubles
        model.learn_one({"colour": "red", "size": 0.4, **{f"n{i}": 1.0 for i in range(j)}}, "red")
    config, arrays = model.export_state()
    assert len(arrays["texts.is_text"]) > len(config["features"])
    arrays["texts.is_text"][-1] = 1
    with pytest.raises(CheckpointError, match=r"texts\."):
        LOCOClassifier.from_state(config, arrays)


def test_the_network_fires_as_the_hidden_layer_does():
    model = learned(50)
    net = model.to_network()
    rows = [x for x, _ in colours(10, seed=3)]
    table = [[x["colour"], x["size"]] for x in rows]
    currents = model.encode_array(table, features=["colour", "size"])
    settings, state, _ = model._core.model
    assert currents.shape == (10, 2 * settings.n_fields + state.texts.n[0])
    for x, current in zip(rows, currents, strict=True):
        model.predict_one(x)
        clean = model._core.scratch.clean
        record = net.run([], [], duration=20.0, currents=current)
        assert len(record.indices) == clean.spikes[0] > 0
        fired = np.bincount(record.indices, minlength=16) > 0
        assert np.array_equal(fired, clean.traces[:16] > 0)


def test_fewer_features_share_a_projector_of_the_readout_if_the_first_row_has_a_text():
    rows = [({"id": f"i{i}", "size": float(i % 7)}, i % 2) for i in range(300)]
    early = LOCOClassifier(hidden_sizes=4, seed=1)
    late = LOCOClassifier(hidden_sizes=4, seed=1)
    late.learn_one({"id": None, "size": 1.0}, 0)
    for x, y in rows:
        early.learn_one(x, y)
        late.learn_one(x, y)
    for model, n_joint in ((early, JOINT_TEXTS), (late, JOINT_FEATURES)):
        config, arrays = model.export_state()
        assert arrays["experts.logistic.projector"].shape == (n_joint + 1, n_joint + 1)
        again = LOCOClassifier.from_state(config, arrays)
        assert state_of(again) == state_of(model)
        model.learn_one(*rows[0])
        again.learn_one(*rows[0])
        assert state_of(again) == state_of(model)
    observed = LOCOClassifier(hidden_sizes=4, seed=1)  # the row before the text is held out
    table = [[None, 1.0], ["i0", 2.0]]
    observed.learn_predict_array(table, [0, 1], ["id", "size"], held_out=[0])
    assert observed.export_state()[0]["early_texts"]
    wide = LOCOClassifier(hidden_sizes=4, seed=1)
    wide.learn_one({"id": "i0", **{f"n{j}": 1.0 for j in range(JOINT_TEXTS)}}, 0)  # all of its own
    assert len(wide.export_state()[1]["experts.logistic.projector"]) == 1 + JOINT_TEXTS + 1
    config, arrays = late.export_state()
    del config["early_texts"]  # as in files of 0.2
    assert state_of(LOCOClassifier.from_state(config, arrays)) == state_of(late)
    with pytest.raises(CheckpointError, match="`early_texts` must be True or False, got 1"):
        LOCOClassifier.from_state({**config, "early_texts": 1}, arrays)
