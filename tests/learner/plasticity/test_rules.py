"""Credit rules: feedback from perturbations, from the loss, and mirrored from the readout."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import AdvancedOptions
from loco_stream._compiler.jit import kernel
from loco_stream._learner.plasticity import noise
from loco_stream._learner.plasticity.feedback import FEEDBACK_RATE, broadcast_error, learn_feedback
from loco_stream._learner.plasticity.rules import CREDIT_RULES, PLAIN_PERTURBATION
from loco_stream._learner.plasticity.rules.perturbation import MIN_SQUARED_ERROR, learn_from_loss
from loco_stream._learner.plasticity.rules.plain import one_trial_credit
from loco_stream._learner.readout import recursive_steps
from loco_stream._learner.settings import credit_rule
from tests.helpers import naive
from tests.helpers.jitted import jitted, on_model
from tests.helpers.models import model_options, untrained

SEEDS = st.integers(0, 2**32 - 1)
N_HIDDEN = 6
N_CLASSES = 3
SIZE = 0.3  # of the noise


@kernel
def _one_trial(settings, state, scratch, change):
    one_trial_credit(settings, scratch, change)


@kernel
def _mirror(settings, state, scratch, k, scale, increment):
    recursive_steps.mirror(settings, state, k, scale, increment)


draw_noise = jitted(noise.draw_noise)
run_broadcast = on_model(broadcast_error)
run_feedback = on_model(learn_feedback)
run_from_loss = on_model(learn_from_loss)
run_mirror = on_model(_mirror)
run_one_trial = on_model(_one_trial)


def f32(values):
    return np.asarray(values, np.float32)


def untrained_layer(n=N_HIDDEN, n_classes=N_CLASSES, **options):
    return untrained(1, n_classes, hidden_sizes=n, perturbation_std=SIZE, **options)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(0, N_HIDDEN))
def test_feedback_and_credit_equal_the_twins(seed, n_learned):
    rng = np.random.default_rng(seed)
    args = untrained_layer()
    scratch = args.model.scratch
    traces = f32(np.maximum(rng.normal(size=N_HIDDEN), 0.0))
    scratch.clean.fresh[:] = traces
    scratch.neurons.noise[:] = SIZE * rng.choice([-1, 1], N_HIDDEN)
    drawn = scratch.neurons.noise.astype(float)
    feedback = args.model.state.net.feedback.T
    feedback[:] = rng.normal(size=feedback.shape)
    before = feedback.copy()
    change = rng.normal(size=N_CLASSES)

    expected = naive.learn_feedback(
        before.astype(float), traces, drawn, change, SIZE, FEEDBACK_RATE, n_learned
    )
    scratch.output_change[:] = change
    run_feedback(args, n_learned)
    assert np.allclose(feedback, expected, atol=1e-5)
    assert np.array_equal(feedback[n_learned:], before[n_learned:])
    assert np.array_equal(feedback[traces == 0], before[traces == 0])

    error = rng.normal(size=N_CLASSES)
    scratch.now.error[:] = error
    expected = naive.learn_from_loss(
        feedback.astype(float), traces, drawn, 0.4, error, SIZE, FEEDBACK_RATE, MIN_SQUARED_ERROR
    )
    run_from_loss(args, 0.4)
    assert np.allclose(feedback, expected, atol=1e-5)

    credit = scratch.neurons.credit
    run_broadcast(args)
    assert np.allclose(credit, (traces > 0) * (feedback @ error), atol=1e-5)

    credit[:] = 9.0
    run_one_trial(args, 0.7)
    assert np.allclose(credit, (traces > 0) * 0.7 * drawn / SIZE**2, rtol=1e-5)


@pytest.mark.parametrize("by_loss", [False, True])
def test_feedback_converges_to_the_derivative_of_the_outputs(by_loss):
    rng = np.random.default_rng(3)
    n = 16
    args = untrained_layer(n)
    scratch = args.model.scratch
    scratch.clean.fresh[:] = rng.uniform(0.3, 1, n)
    slope = rng.normal(size=(n, N_CLASSES))
    for t in range(20_000 if by_loss else 4000):
        draw_noise(5, t, n, n, SIZE, scratch.neurons.noise)
        change = scratch.neurons.noise @ slope
        if by_loss:
            scratch.now.error[:] = rng.normal(size=N_CLASSES)
            run_from_loss(args, change @ scratch.now.error)
        else:
            scratch.output_change[:] = change
            run_feedback(args, n)
    assert np.allclose(args.model.state.net.feedback.T, slope, atol=0.02)


def test_a_pass_that_overflowed_teaches_nothing():
    args = untrained_layer(3, 2)
    scratch = args.model.scratch
    scratch.clean.fresh[:] = 1.0
    scratch.neurons.noise[:] = 1.0
    scratch.now.error[:] = 0.5, -0.5
    feedback = args.model.state.net.feedback.T
    feedback[:] = 1.0
    for bad in (math.nan, math.inf):
        scratch.output_change[:] = 0.0, bad
        run_feedback(args, 3)
        run_from_loss(args, bad)
    assert (feedback == 1.0).all()


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.booleans())
def test_mirrored_feedback_receives_the_increments_of_the_readout(seed, reads_last_layer):
    rng = np.random.default_rng(seed)
    layers = "last" if reads_last_layer else "all"
    args = untrained(1, 4, hidden_sizes=(3, 4), readout_layers=layers)
    args.model.state.counts.n_classes = 3
    feedback = args.model.state.net.feedback.T
    feedback[:] = rng.normal(size=feedback.shape)
    k = f32(rng.normal(size=9))
    increment = f32(rng.normal(size=3))
    expected = feedback.astype(float)
    first = 3 if reads_last_layer else 0
    expected[first:, :3] += 0.3 * np.outer(k[: 7 - first].astype(float), increment)
    run_mirror(args, k, np.float32(0.3), increment)
    assert np.allclose(feedback, expected, atol=1e-5)


@pytest.mark.parametrize("rule", ["loco", "np"])
@pytest.mark.parametrize("credit", ["learned", "mirror", "perturbation"])
def test_options_name_a_credit_rule(rule, credit):
    """An unknown name used to become plain node perturbation."""
    chosen = credit_rule(model_options(rule=rule, credit=credit))
    if (rule, credit) == ("np", "perturbation"):
        assert chosen is PLAIN_PERTURBATION
    else:
        assert chosen.name == credit


def test_every_credit_rule_but_the_plain_one_can_be_chosen_by_name():
    names = [rule.name for rule in CREDIT_RULES]
    assert len(set(names)) == len(names)
    for name in names:
        if name != PLAIN_PERTURBATION.name:
            assert AdvancedOptions(credit=name).credit == name
