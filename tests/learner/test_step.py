from __future__ import annotations

import itertools
import math
import threading

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream._learner import step
from loco_stream._learner.arrays.scratch import LayerBuffers
from loco_stream._learner.arrays.spec import flatten
from loco_stream._learner.kernel_args import KernelArgs, Model
from loco_stream._learner.plasticity import update
from loco_stream._learner.plasticity.projections import LayerInput
from tests.helpers.jitted import on_model
from tests.helpers.models import arrays_of, assert_same, blobs, classifier

# What a refused step may still change: counts, its draw of noise and the mean loss, and scales.
COUNTED = (
    "counts",
    "classes.",
    "statistics.",
    "scale_guard.",
    "kept_scales.",
    "target.",
    "net.feedback",
    "net.loss_baseline",
    "fixed.center",
    "fixed.factor",
    "fixed.n_values",
    "fixed.power",
    "fixed.n_rows",
)
READOUT = ("experts.", "stacks.", "mixture.", "calibration.")
HIDDEN = ("net.", "projections.")
GAINS = {"net.gain", "net.drive_power"}
LAYERS = {"net.weights", "net.deep_weights"}
PROJECTORS = {"projections.recursive.first", "projections.recursive.deep"}
MEMBERS = "experts.least_squares.weights"
OPEN_RANGES = (".lowest", ".highest", ".low", ".high")  # which start from infinity
CREDITS = ["mirror", "learned", "perturbation"]

run_change = on_model(update._change)


def small(**options):
    return classifier(**{"hidden_sizes": (16, 8), "seed": 1} | options)


def changed(a, b):
    return {name for name in a if a[name].tobytes() != b[name].tobytes()}


# Predictions


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"readout": "delta"},
        {"credit": "perturbation"},
        {"credit": "learned"},
        {"readout_layers": "last"},
        {"receptive_fields": 1},
        {"projection": "clusters", "n_input_clusters": 3},
    ],
)
def test_predicting_before_learning_changes_no_bit(options):
    X, y = blobs(60)
    learning, predicting, predicting_others = (small(**options) for _ in range(3))
    for i, (row, label) in enumerate(zip(X, y, strict=True)):
        x = dict(enumerate(row))
        predicting.predict_one(x)
        predicting.predict_proba_one(x)
        predicting_others.predict_one(dict(enumerate(X[i - 1])))  # the cache holds another row
        for model in (learning, predicting, predicting_others):
            model.learn_one(x, label)
    assert_same(arrays_of(learning), arrays_of(predicting))
    assert_same(arrays_of(learning), arrays_of(predicting_others))


def test_predicting_a_zero_of_another_sign_changes_no_bit():
    learning, predicting = (small() for _ in range(2))
    for i, value in enumerate((1.0, -0.0, 0.0, -0.0)):
        predicting.predict_one({0: -value})
        for model in (learning, predicting):
            model.learn_one({0: value}, i % 2)
    assert_same(arrays_of(learning), arrays_of(predicting))


def test_a_prediction_changes_nothing_of_the_state():
    X, y = blobs(40)
    model = small()
    model.learn_array(X, y)
    before = arrays_of(model)
    model.predict_array(X)
    model.predict_proba_one({0: 1.0, "unknown": 2.0})
    assert_same(before, arrays_of(model))


def test_scales_are_learned_last_so_a_row_is_not_scaled_by_itself():
    model = small()
    model.learn_one({0: 1.0}, "a")
    model.learn_one({0: 3.0}, "b")
    scratch = model._core.scratch
    assert scratch.scaled[0] == 0.0  # one value has no deviation
    model.predict_one({0: 3.0})
    assert scratch.scaled[0] == pytest.approx(1.0)  # (3 - 2) / 1


# What learning changes


@pytest.mark.parametrize("options", [{"rule": "frozen"}, {"learning_rate": 0.0}, {"plastic": 0.0}])
def test_frozen_layers_change_no_number_but_their_gain(options):
    X, y = blobs(450)
    model = small(**options)
    model.learn_array(X[:20], y[:20])  # all classes: the rest needs no more room
    before = arrays_of(model)
    model.learn_array(X[20:320], y[20:320])
    settled = arrays_of(model)
    hidden = {name for name in changed(before, settled) if name.startswith(HIDDEN)}
    assert hidden == GAINS  # which settle like scales
    model.learn_array(X[320:], y[320:])
    now = changed(settled, arrays_of(model))
    assert not any(name.startswith(HIDDEN) for name in now)
    assert MEMBERS in now


@pytest.mark.parametrize("readout", ["recursive", "delta"])
@pytest.mark.parametrize("readout_layers", ["all", "hidden", "last"])
@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("rule", ["np", "loco"])
def test_learning_changes_every_layer(rule, credit, readout_layers, readout):
    X, y = blobs(60)
    model = small(rule=rule, credit=credit, readout=readout, readout_layers=readout_layers)
    model.learn_array(X[:1], y[:1])
    before = arrays_of(model)
    model.learn_array(X[1:], y[1:])
    after = arrays_of(model)
    now = changed(before, after)
    assert now >= LAYERS
    assert now & PROJECTORS == (PROJECTORS if rule == "loco" else set())
    has_feedback = after["net.feedback"].any(axis=0)
    is_plain = (rule, credit) == ("np", "perturbation")
    assert has_feedback[:16].any() == has_feedback[16:].any() == (not is_plain)
    assert all(np.isfinite(a).all() for n, a in after.items() if not n.endswith(OPEN_RANGES))


def test_clusters_replace_the_projectors():
    X, y = blobs(60)
    model = small(projection="clusters", n_input_clusters=3)
    model.learn_array(X, y)
    arrays = arrays_of(model)
    assert arrays["projections.recursive.first"].size == 0
    assert arrays["projections.clusters.sizes"].sum() == 60
    assert np.any(arrays["projections.clusters.directions"])


@pytest.mark.parametrize("plastic", [0.0, 0.3, 1.0])
def test_only_the_plastic_share_of_each_layer_learns(plastic):
    X, y = blobs(100)
    model = small(plastic=plastic)
    model.learn_array(X[:1], y[:1])
    before = arrays_of(model)
    model.learn_array(X[1:], y[1:])
    after = arrays_of(model)
    for moved in (
        np.any(before["net.weights"] != after["net.weights"], axis=0),
        np.any(before["net.deep_weights"][0] != after["net.deep_weights"][0], axis=0),
    ):
        n_frozen = len(moved) - math.ceil(plastic * len(moved))
        assert not moved[:n_frozen].any()
        assert moved[n_frozen:].sum() >= len(moved[n_frozen:]) / 2  # some may never have fired


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("rule", ["np", "loco"])
def test_hidden_learning_alone_lowers_the_expected_loss(rule, credit):
    # Smaller than the defaults: the readout stands still.
    rates = {"mirror": 10.0, "learned": 30.0, "perturbation": 3.0 if rule == "np" else 30.0}
    drops = [
        drop_of_loss(seed, rule=rule, credit=credit, learning_rate=rates[credit])
        for seed in range(3)
    ]
    assert min(drops) > 0.0
    assert np.mean(drops) > 0.15


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["alif", "izhikevich"])
def test_every_neuron_model_learns(neuron):
    options = {"hidden_sizes": (16,), "neuron": neuron, "credit": "learned", "learning_rate": 30.0}
    for seed in range(3):
        learned = drop_of_loss(seed, rule="loco", **options)
        frozen = drop_of_loss(seed, rule="frozen", **options)
        assert learned > frozen + 0.01


def drop_of_loss(seed, learning_rate, **options):
    """Return how much 1200 updates of the hidden layers lower the held-out log-loss.

    The readout learns 400 rows beforehand and then stands still.
    """
    X, y = blobs(1500, seed=seed)
    common = {"readout": "delta", "readout_layers": "last", "seed": seed}
    model = small(**common, **options, learning_rate=0.0)
    model.learn_array(X[:400], y[:400])  # more than scales and gains need to settle
    config, arrays = model.export_state()
    config["parameters"]["learning_rate"] = learning_rate
    model = LOCOClassifier.from_state(config, arrays)
    state = model._core.state
    if options["credit"] == "mirror":  # as if it had been mirrored while the readout learned
        feedback = state.net.feedback.T
        feedback[16:] = arrays[MEMBERS][: len(feedback) - 16]
    slots = [model.classes.index(label) for label in y[1000:]]

    def loss():
        return -np.log(model.predict_proba_array(X[1000:])[np.arange(500), slots]).mean()

    before = loss()
    for i in [*range(400, 1000)] * 2:
        model.learn_array(X[i : i + 1], y[i : i + 1])
        state.experts.least_squares.weights[...] = arrays[MEMBERS]
    return before - loss()


@pytest.mark.parametrize("retention", [0.7, 0.0])
def test_hidden_layers_learn_while_a_known_class_is_dormant(retention):
    X, y = blobs(400)
    X = np.concatenate([X[y == 0], X[y != 0]])  # class 0 does not come again
    y = np.sort(np.minimum(y, 1))
    model = small(retention=retention)
    model.learn_array(X[:300], y[:300])
    before = arrays_of(model)
    model.learn_array(X[300:], y[300:])
    now = changed(before, arrays_of(model))
    assert now >= LAYERS | PROJECTORS | {MEMBERS}


# A step that is not finite is refused and counted


def damage_stack(state):
    state.stacks.log_weights[0] = np.nan


def damage_output(state):
    state.experts.least_squares.weights[:, 0] = np.inf


def damage_projector(state):
    """Take its positive definiteness, as rounding may do."""
    state.experts.least_squares.projectors[0] *= -1.0


@pytest.mark.parametrize("damage", [damage_stack, damage_output, damage_projector])
@pytest.mark.parametrize("credit", CREDITS)
def test_a_step_that_is_not_finite_is_refused_and_counted(damage, credit):
    X, y = blobs(50)
    model = small(credit=credit)
    model.learn_array(X[:41], y[:41])  # the next row takes no pending change into a projector
    healthy = arrays_of(model)
    state = model._core.state
    damage(state)
    before = arrays_of(model)
    model.learn_array(X[41:], y[41:])
    assert model.skipped_updates == 9
    assert model.n_seen == 50
    after = arrays_of(model)
    assert_same(before, after, but={name for name in after if name.startswith(COUNTED)})
    assert np.all(np.isfinite(after["net.feedback"]))
    assert np.all(np.isfinite(after["net.loss_baseline"]))

    # Repaired, it continues.
    for name, array in flatten(state).items():
        if name.startswith(READOUT):
            array[...] = healthy[name]
    model.learn_array(X[:5], y[:5])
    assert model.skipped_updates == 9
    assert MEMBERS in changed(before, arrays_of(model))


def test_a_regressor_counts_refused_steps():
    X, _ = blobs(30)
    model = LOCORegressor(hidden_sizes=(8,), seed=1)
    model.learn_array(X, X[:, 0])
    model._core.state.stacks.weights[0] = np.nan
    assert np.all(np.isfinite(model.predict_array(X)))  # never NaN
    model.learn_array(X, X[:, 0])
    assert model.skipped_updates == 30


# Layers are independent


class Layers:
    """A trained net in which each layer can be updated by itself."""

    def __init__(self, depth, seed=0, **options):
        X, y = blobs(80, seed=seed)
        common = {"credit": "perturbation", "readout": "delta", "seed": seed}
        model = classifier(hidden_sizes=(6,) * depth, **common, **options)
        model.learn_array(X, y)
        core = model._core
        self.settings = core.settings
        self.state = core.state
        self.scratch = core.scratch
        rng = np.random.default_rng(seed)
        n_hidden = self.settings.n_hidden
        self.scratch.neurons.credit[:] = rng.normal(size=n_hidden)
        self.scratch.clean.traces[:n_hidden] = rng.random(n_hidden)
        self.scratch.projections.clusters.row.cluster = 0

    def input_of(self, index):
        net = self.state.net
        if index == 0:
            code = self.scratch.code
            n_channels = self.state.counts.n_features * self.settings.n_fields
            n_rows = self.scratch.cache.n_channels
            return LayerInput(0, net.weights, code.channels, 0, n_channels, code.rows, n_rows)
        first = net.first[index - 1]
        n = int(net.n_post[index - 1])
        rows = np.arange(n, dtype=np.int32)
        traces = self.scratch.clean.traces
        return LayerInput(index, net.deep_weights[index - 1], traces, first, n, rows, n)

    def update(self, index, scratch=None):
        """Make a step of one layer, in other working memory if given."""
        args = KernelArgs(Model(self.settings, self.state, scratch or self.scratch))
        run_change(args, self.input_of(index), 1.0)

    def copy(self):
        return {name: array.copy() for name, array in flatten(self.state).items()}

    def restore(self, saved):
        for name, array in flatten(self.state).items():
            array[...] = saved[name]


@pytest.mark.slow
@pytest.mark.parametrize("projection", ["recursive", "clusters"])
def test_layers_updated_in_any_order_are_bit_identical(projection):
    layers = Layers(4, projection=projection)
    start = layers.copy()
    results = []
    for order in itertools.permutations(range(4)):
        layers.restore(start)
        for index in order:
            layers.update(index)
        results.append(layers.copy())
    of_projection = PROJECTORS if projection == "recursive" else {"projections.clusters.directions"}
    assert changed(start, results[0]) >= LAYERS | {"net.input_power"} | of_projection
    for other in results[1:]:
        assert_same(results[0], other)


def test_layers_updated_in_threads_are_bit_identical():
    layers = Layers(6)
    start = layers.copy()
    for index in range(6):
        layers.update(index)
    expected = layers.copy()
    for _ in range(5):
        layers.restore(start)
        own = [  # each thread has its own buffers; credit is only read
            layers.scratch._replace(
                layer=LayerBuffers(*(array.copy() for array in layers.scratch.layer))
            )
            for _ in range(6)
        ]
        threads = [threading.Thread(target=layers.update, args=(i, own[i])) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert_same(expected, layers.copy())


def longest_chain(depth):
    """Return the length of the longest chain of layers in which each needs the one before.

    Layer b needs layer a if other values of all numbers that a's update writes change what b's
    update writes.
    """
    layers = Layers(depth)
    start = layers.copy()

    def written_by(index, spoiled=None):
        layers.restore(start)
        for name, array in flatten(layers.state).items():
            if spoiled is not None and name in spoiled:
                array[spoiled[name]] += 1
        before = layers.copy()
        layers.update(index)
        after = layers.copy()
        where = {name: before[name] != after[name] for name in after}
        return where, {name: after[name][where[name]].tobytes() for name in after}

    alone = [written_by(index) for index in range(depth)]
    assert all(any(mask.any() for mask in where.values()) for where, _ in alone)
    needs = [
        [a for a in range(depth) if a != b and written_by(b, alone[a][0])[1] != alone[b][1]]
        for b in range(depth)
    ]
    chain = [1] * depth
    for _ in range(depth):
        chain = [1 + max((chain[a] for a in needs[b]), default=0) for b in range(depth)]
    return max(chain)


def test_the_longest_chain_of_an_update_does_not_grow_with_depth():
    assert [longest_chain(depth) for depth in (1, 2, 5, 12)] == [1, 1, 1, 1]


def test_each_call_crosses_into_compiled_code_once(monkeypatch):
    model = small()
    crossings = []
    run = step.run
    monkeypatch.setattr(step, "run", lambda *args: (crossings.append(len(args)), run(*args))[1])
    X, y = blobs(20)
    model.learn_array(X, y)
    model.predict_array(X)
    model.learn_one({0: 1.0}, 0)
    model.predict_one({0: 1.0})
    assert len(crossings) == 4
