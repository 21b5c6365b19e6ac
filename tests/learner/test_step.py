from __future__ import annotations

import gc
import itertools
import math
import threading

import numpy as np
import pytest
from numba import errors, njit

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream._compiler import jit as compiled
from loco_stream.learner import kernel_args as packing
from loco_stream.learner import step
from loco_stream.learner.arrays.scratch import CREDIT, N_IN
from loco_stream.learner.arrays.spec import flatten
from loco_stream.learner.arrays.state import BASELINE, N_FEATURES, N_POST, START
from loco_stream.learner.plasticity import update as hidden
from tests.helpers.doors import door
from tests.helpers.models import arrays_of, assert_same, blobs

# What a refused step may still change: it counts, and keeps its own draw of noise, labels and
# scaling.
COUNTED = {"counts", "classes", "statistics", "target", "net.feedback"}
CREDITS = ["mirror", "learned", "perturbation"]


def small(**options):
    return LOCOClassifier(**{"hidden_sizes": (16, 8), "seed": 1} | options)


def changed(a, b):
    return {name for name in a if a[name].tobytes() != b[name].tobytes()}


# One written order


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"readout": "delta"},
        {"credit": "perturbation", "n_perturbations": 2},
        {"credit": "learned"},
        {"readout_layers": "last"},
        {"receptive_fields": 1},
        {"n_input_clusters": 3},
    ],
)
def test_a_prediction_before_learning_changes_no_bit(options):
    X, y = blobs(60)
    alone, asked, asked_else = (small(**options) for _ in range(3))
    for i, (row, label) in enumerate(zip(X, y, strict=True)):
        sample = dict(enumerate(row))
        asked.predict_one(sample)
        asked.predict_proba_one(sample)
        asked_else.predict_one(
            dict(enumerate(X[i - 1]))
        )  # what is cached belongs to another sample
        for model in (alone, asked, asked_else):
            model.learn_one(sample, label)
    assert_same(arrays_of(alone), arrays_of(asked))
    assert_same(arrays_of(alone), arrays_of(asked_else))


def test_a_prediction_changes_nothing_of_the_state():
    X, y = blobs(40)
    model = small()
    model.learn_array(X, y)
    before = arrays_of(model)
    model.predict_array(X)
    model.predict_proba_one({0: 1.0, "unknown": 2.0})
    assert_same(before, arrays_of(model))


def test_scaling_learns_last_so_a_sample_never_sees_itself():
    model = small()
    model.learn_one({0: 1.0}, "a")
    model.learn_one({0: 3.0}, "b")
    scratch = model._scratch
    assert scratch.scaled[0] == 0.0  # one value has no spread yet
    model.predict_one({0: 3.0})
    assert scratch.scaled[0] == pytest.approx(1.0)  # (3 - 2) / 1


# What may change


@pytest.mark.parametrize("options", [{"rule": "frozen"}, {"learning_rate": 0.0}, {"plastic": 0.0}])
def test_frozen_touches_no_hidden_number(options):
    X, y = blobs(450)
    model = small(**options)
    model.learn_array(X[:20], y[:20])  # all classes: what follows needs no more room
    before = arrays_of(model)
    model.learn_array(X[20:320], y[20:320])
    settled = arrays_of(model)
    hidden_numbers = {
        name for name in changed(before, settled) if name.startswith(("net.", "clusters."))
    }
    assert hidden_numbers == {"net.gains"}  # which settle as scaling does
    model.learn_array(X[320:], y[320:])
    now = changed(settled, arrays_of(model))
    assert not any(name.startswith(("net.", "clusters.")) for name in now)
    assert "bank.traces" in now


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
    for name in ("net.weights", "net.deep_weights"):
        assert np.any(before[name] != after[name])
    for name in ("net.projector", "net.deep_projectors"):
        assert np.any(before[name] != after[name]) == (rule == "loco")
    feeds = after["net.feedback"].any(axis=1)
    by_trials = (rule, credit) == ("np", "perturbation")
    assert feeds[:16].any() == feeds[16:].any() == (not by_trials)
    assert all(
        np.all(np.isfinite(a))
        for name, a in after.items()
        if name not in ("statistics", "target", "neighbors.ranges")
    )


def test_prototypes_take_the_projectors_place():
    X, y = blobs(60)
    model = small(n_input_clusters=3)
    model.learn_array(X, y)
    arrays = arrays_of(model)
    assert arrays["net.projector"].size == 0
    assert arrays["clusters.sizes"].sum() == 60
    assert np.any(arrays["clusters.directions"])


@pytest.mark.parametrize("plastic", [0.0, 0.3, 1.0])
def test_the_plastic_share_of_each_layer_learns_and_no_other_neuron(plastic):
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
        still = len(moved) - math.ceil(plastic * len(moved))
        assert not moved[:still].any()
        assert moved[still:].sum() >= len(moved[still:]) / 2  # some may never have fired


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("rule", ["np", "loco"])
def test_hidden_learning_alone_lowers_the_expected_loss(rule, credit):
    rates = {
        "mirror": 10.0,
        "learned": 30.0,
        "perturbation": 3.0 if rule == "np" else 30.0,
    }  # the readout stands
    falls = [
        loss_fall(seed, rule=rule, credit=credit, learning_rate=rates[credit]) for seed in range(3)
    ]
    assert min(falls) > 0.0
    assert np.mean(falls) > 0.15


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["alif", "izhikevich"])
def test_every_neuron_model_learns(neuron):
    for seed in range(3):
        fall, frozen = (
            loss_fall(
                seed,
                rule=rule,
                hidden_sizes=(16,),
                neuron=neuron,
                credit="learned",
                learning_rate=30.0,
            )
            for rule in ("loco", "frozen")
        )
        assert fall > frozen + 0.01


def loss_fall(seed, hidden_sizes=(16, 8), neuron="lif", **options):
    """Return by how much the held-out log-loss falls over 1200 hidden updates under a readout that stands still."""
    X, y = blobs(1500, seed=seed)
    common = {
        "readout": "delta",
        "readout_layers": "last",
        "seed": seed,
        "hidden_sizes": hidden_sizes,
        "neuron": neuron,
    }
    model = small(**common, rule="frozen", credit=options["credit"])
    model.learn_array(X[:400], y[:400])  # more than scaling and gains need to settle
    config, arrays = model.export_state()
    config["parameters"] |= options
    model = LOCOClassifier.from_state(config, arrays)
    if options["credit"] == "mirror":  # what it had mirrored, had the readout learned under it
        net = model._state.net
        traces = arrays["bank.traces"]
        net.feedback[16:] = traces[: len(net.feedback) - 16]
    slots = [model.classes.index(label) for label in y[1000:]]

    def loss():
        return -np.log(model.predict_proba_array(X[1000:])[np.arange(500), slots]).mean()

    before = loss()
    for i in [*range(400, 1000)] * 2:
        model.learn_array(X[i : i + 1], y[i : i + 1])
        model._state.bank.traces[...] = arrays["bank.traces"]
    return before - loss()


@pytest.mark.parametrize(("retention", "moves"), [(0.7, False), (0.0, True)])
def test_hidden_layers_stand_still_while_a_known_class_is_dormant(retention, moves):
    X, y = blobs(400)
    X = np.concatenate([X[y == 0], X[y != 0]])  # class 0 stays away from then on
    y = np.sort(np.minimum(y, 1))
    model = small(retention=retention)
    model.learn_array(X[:300], y[:300])
    before = arrays_of(model)
    model.learn_array(X[300:], y[300:])
    now = changed(before, arrays_of(model))
    for name in ("net.weights", "net.projector", "net.deep_weights", "net.deep_projectors"):
        assert (name in now) == moves
    assert "bank.traces" in now


# A bad step is refused and counted


def poison_stack(state):
    state.bank.log_stack[0, 0] = np.nan


def poison_output(state):
    state.bank.traces[:, 0] = np.inf


def poison_projector(state):
    state.bank.projectors[0] *= -1.0  # lost its positive definiteness, as rounding may do


@pytest.mark.parametrize("poison", [poison_stack, poison_output, poison_projector])
@pytest.mark.parametrize("credit", CREDITS)
def test_a_step_that_is_not_finite_is_refused_and_counted(poison, credit):
    X, y = blobs(50)
    model = small(credit=credit)
    model.learn_array(X[:40], y[:40])
    healthy = arrays_of(model)
    poison(model._state)
    before = arrays_of(model)
    model.learn_array(X[40:], y[40:])
    assert model.skipped_updates == 10
    assert model.n_seen == 50
    after = arrays_of(model)
    assert_same(before, after, but=COUNTED | {"net.gains"})
    assert_same({"": before["net.gains"][:BASELINE]}, {"": after["net.gains"][:BASELINE]})
    assert np.all(np.isfinite(after["net.feedback"]))
    assert np.all(np.isfinite(after["net.gains"]))

    # healed, it goes on
    for name, array in flatten(model._state).items():
        if name.startswith("bank."):
            array[...] = healthy[name]
    model.learn_array(X[:5], y[:5])
    assert model.skipped_updates == 10
    assert "bank.traces" in changed(before, arrays_of(model))


def test_a_regressor_counts_refused_steps_too():
    X, _ = blobs(30)
    model = LOCORegressor(hidden_sizes=(8,), seed=1)
    model.learn_array(X, X[:, 0])
    model._state.bank.stack[0] = np.nan
    assert np.all(np.isfinite(model.predict_array(X)))  # and never answers with NaN
    model.learn_array(X, X[:, 0])
    assert model.skipped_updates == 30


# Layers are independent: O(1) chain


def ready_to_update(depth, seed=0, **options):
    """Return a closure that updates one layer of a learned net, and its state."""
    X, y = blobs(80, seed=seed)
    model = LOCOClassifier(
        (6,) * depth, credit="perturbation", readout="delta", seed=seed, **options
    )
    model.learn_array(X, y)
    settings = model._settings
    state = model._state
    scratch = model._scratch
    rng = np.random.default_rng(seed)
    scratch.run.neurons[CREDIT] = rng.normal(size=settings.n_hidden)
    scratch.features[: settings.n_hidden] = rng.random(settings.n_hidden)
    change_layer = door(hidden._change_layer)
    net = state.net
    n_lines = state.counts[N_FEATURES] * settings.n_fields
    n_rows = scratch.flags[N_IN]
    dense = np.arange(6, dtype=np.int32)

    def update(layer, run=scratch.run):
        if layer == 0:
            change_layer(
                settings,
                state,
                0,
                net.weights,
                net.projector,
                settings.n_hidden - settings.n_last,
                scratch.code.lines,
                0,
                n_lines,
                scratch.code.rows,
                n_rows,
                0 if settings.n_clusters else -1,
                run,
                1.0,
            )
            return
        below = net.sizes[START, layer - 1]
        projectors = net.deep_projectors
        change_layer(
            settings,
            state,
            layer,
            net.deep_weights[layer - 1],
            projectors[layer - 1] if len(projectors) else net.projector,
            below,
            scratch.features,
            below,
            net.sizes[N_POST, layer - 1],
            dense,
            6,
            0 if settings.n_clusters else -1,
            run,
            1.0,
        )

    return update, state, scratch


def snapshot(state):
    return {name: array.copy() for name, array in flatten(state).items()}


def restore(state, saved):
    for name, array in flatten(state).items():
        array[...] = saved[name]


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [0, 3])
def test_layers_updated_in_any_order_give_the_same_bytes(clusters):
    update, state, _ = ready_to_update(4, n_input_clusters=clusters)
    start = snapshot(state)
    results = []
    for order in itertools.permutations(range(4)):
        restore(state, start)
        for layer in order:
            update(layer)
        results.append(snapshot(state))
    projectors = {"clusters.directions"} if clusters else {"net.projector", "net.deep_projectors"}
    assert changed(start, results[0]) >= {
        "net.weights",
        "net.deep_weights",
        "net.gains",
        *projectors,
    }
    for other in results[1:]:
        assert_same(results[0], other)


def test_layers_updated_in_threads_give_the_same_bytes():
    update, state, scratch = ready_to_update(6)
    start = snapshot(state)
    for layer in range(6):
        update(layer)
    expected = snapshot(state)
    for _ in range(5):
        restore(state, start)
        rooms = [  # each thread has its own working room; credit is only read
            scratch.run._replace(
                projected=scratch.run.projected.copy(), coefficients=scratch.run.coefficients.copy()
            )
            for _ in range(6)
        ]
        threads = [
            threading.Thread(target=update, args=(layer, rooms[layer])) for layer in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert_same(expected, snapshot(state))


def longest_chain(depth):
    """Return the number of layer updates in the longest chain in which each needs what the one before wrote.

    Layer b needs layer a if spoiling every number that a's update writes changes what b's update
    writes.
    """
    update, state, _ = ready_to_update(depth)
    start = snapshot(state)

    def written_by(layer, spoiled=None):
        restore(state, start)
        for name, array in flatten(state).items():
            if spoiled is not None and name in spoiled:
                array[spoiled[name]] += 1
        before = snapshot(state)
        update(layer)
        after = snapshot(state)
        where = {name: before[name] != after[name] for name in after}
        return where, {name: after[name][where[name]].tobytes() for name in after}

    alone = [written_by(layer) for layer in range(depth)]
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


# The handle


def parts(model):
    """Return settings, state and scratch of a model that has learned one row."""
    model.learn_array(*blobs(1))
    return model._settings, model._state, model._scratch


def test_a_handle_refuses_arrays_that_compiled_code_would_misread():
    settings, state, scratch = parts(small())
    wrong = state._replace(statistics=state.statistics.astype(np.float32))
    with pytest.raises(ValueError, match="of the types"):
        packing.Handle(packing.Model(settings, wrong, scratch))
    with pytest.raises(ValueError, match="C-contiguous"):
        packing.Handle(
            packing.Model(
                settings, state._replace(statistics=np.asfortranarray(state.statistics)), scratch
            )
        )


def test_a_handle_keeps_its_arrays_alive():
    model = parts(small())
    handle = packing.Handle(packing.Model(*model))
    words = handle.words.copy()
    del model
    gc.collect()
    assert handle.model.state.counts.ctypes.data in words.tolist()


def test_a_kernel_that_allocates_does_not_compile():
    allocates = compiled.kernel(lambda n: np.zeros(n).sum())
    with pytest.raises(errors.TypingError, match="zeros"):
        njit(lambda n: allocates(n))(3)
