"""Experts run in the order of `EXPERTS`, each on its own blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream._compiler.jit import kernel
from loco_stream._learner.readout import ensemble
from loco_stream._learner.readout.ensemble import FIRST, FIRST_OPINION
from loco_stream._learner.readout.experts import EXPERTS, Expert
from loco_stream._learner.readout.experts._definition import is_ready, nothing
from loco_stream._learner.readout.stacks import StackState
from tests.helpers.jitted import on_model
from tests.helpers.models import blobs, parameters, settings_of, untrained

N_CLASSES = 3


class Nothing(NamedTuple):
    """No arrays."""


def expert(number, n_outputs, n_scores, n_opinions, *, ready=True, levels=False):
    """Return an expert that writes its number everywhere, and notes when it ran.

    `scratch.target[0]` holds the numbers of the experts that ran, as decimal digits.
    """

    @kernel
    def predict(settings, state, scratch, outputs, scores):
        scratch.target[0] = 10 * scratch.target[0] + number
        for i in range(outputs.shape[0]):
            outputs[i] += number
        for i in range(scores.shape[0]):
            scores[i] += 10 * number

    @kernel
    def opine(settings, state, outputs, scores, opinions):
        for i in range(opinions.shape[0]):
            for c in range(opinions.shape[1]):
                opinions[i, c] += number
                opinions[i, c] += 100 * outputs.shape[0] + 10_000 * scores.shape[0]

    @kernel
    def prepare(settings, state, scratch):
        scratch.target[0] = 10 * scratch.target[0] + number
        return ready

    @kernel
    def learn(settings, state, scratch, scores, opinions, label, value):
        scratch.target[0] = 10 * scratch.target[0] + number
        for i in range(opinions.shape[0]):
            opinions[i, label] += number * value
        for i in range(scores.shape[0]):
            scores[i] += number

    @kernel
    def level_unknown(scores, n_known):
        for c in range(n_known, scores.shape[0]):
            scores[c] = -number

    return Expert(
        name=f"expert_{number}",
        state=Nothing,
        scratch=Nothing,
        predict=predict,
        learn=learn,
        n_outputs=lambda settings: n_outputs,
        n_scores=lambda settings: n_scores,
        n_opinions=lambda settings: n_opinions,
        opine=opine if n_opinions else nothing,
        prepare=prepare,
        level_unknown=level_unknown if levels else nothing,
    )


TOYS = (expert(1, 2, 0, 1), expert(2, 0, 1, 0, levels=True), expert(3, 1, 1, 2))


@pytest.fixture
def args():
    made = untrained(2, N_CLASSES, hidden_sizes=4)
    now = made.model.scratch.now
    for array in (now.outputs, now.scores, now.opinions):
        array[...] = 0.0
    return made


def in_turn(link, end=nothing, toys=TOYS):
    return ensemble._chain_experts(link, end, toys)


def scores_of(args):
    """Return the scores of the toys; nobody wrote those behind them."""
    blocks = args.model.scratch.now.scores.reshape(-1, N_CLASSES)
    n = sum(toy.n_scores(args.model.settings) for toy in TOYS)
    assert not blocks[n:].any()
    return blocks[:n].tolist()


def test_each_expert_predicts_into_its_own_blocks_in_turn(args):
    composed = in_turn(ensemble._link_predict)

    @kernel
    def run(settings, state, scratch):
        composed(settings, state, scratch, FIRST)

    on_model(run)(args)
    scratch = args.model.scratch
    blocks = scratch.now.outputs.reshape(-1, N_CLASSES)
    assert blocks[:, 0].tolist() == [1, 1, 3] + [0] * (len(blocks) - 3)
    assert (blocks == blocks[:, :1]).all()
    assert scores_of(args) == [[20] * 3, [30] * 3]
    assert scratch.target[0] == 123


def test_each_expert_gives_opinions_on_its_own_blocks(args):
    composed = in_turn(ensemble._link_opine)

    @kernel
    def run(settings, state, scratch):
        composed(settings, state, scratch.now, FIRST)

    on_model(run)(args)
    opinions = args.model.scratch.now.opinions
    of_first = 1 + 100 * 2 * N_CLASSES
    of_third = 3 + 100 * N_CLASSES + 10_000 * N_CLASSES
    assert (opinions == opinions[:, :1]).all()
    n_rest = len(opinions) - FIRST_OPINION - 3
    assert opinions[:, 0].tolist() == [0, 0, of_first, of_third, of_third] + [0] * n_rest


def test_each_expert_learns_with_its_own_scores_and_opinions_in_turn(args):
    composed = in_turn(ensemble._link_learn)

    @kernel
    def run(settings, state, scratch, label, value):
        composed(settings, state, scratch, FIRST, label, value)

    on_model(run)(args, 1, 0.5)
    opinions = args.model.scratch.now.opinions
    n_rest = len(opinions) - FIRST_OPINION - 3
    assert opinions[:, 1].tolist() == [0, 0, 0.5, 1.5, 1.5] + [0] * n_rest
    assert not opinions[:, [0, 2]].any()
    assert scores_of(args) == [[2] * 3, [3] * 3]
    assert args.model.scratch.target[0] == 123


@pytest.mark.parametrize("not_ready", [None, 0, 1, 2])
def test_all_experts_prepare_and_one_that_is_not_ready_refuses_the_row(args, not_ready):
    toys = [expert(k + 1, 1, 0, 0, ready=k != not_ready) for k in range(3)]
    all_ready = on_model(in_turn(ensemble._link_prepare, is_ready, toys))(args)
    assert all_ready == (not_ready is None)
    assert args.model.scratch.target[0] == 123


def test_unknown_classes_are_levelled_by_experts_that_do(args):
    composed = in_turn(ensemble._link_level)

    @kernel
    def run(settings, state, scratch, n_known):
        composed(settings, state, scratch.now, FIRST, n_known)

    on_model(run)(args, 1)
    assert scores_of(args) == [[0, -2, -2], [0, 0, 0]]


# The experts of this package


def test_names_of_experts_are_distinct_identifiers():
    names = [own.name for own in EXPERTS]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"readout_layers": "hidden"},
        {"readout": "delta"},
        {"neighbors": 9, "centroids": 0},
        {"neighbors": 9},
    ],
    ids=str,
)
@pytest.mark.parametrize("regression", [False, True])
def test_the_settings_count_the_blocks_of_all_experts(options, regression):
    settings = settings_of(3, regression=regression, **options)
    scratch = untrained(3, 2, regression=regression, **options).model.scratch
    n_classes = len(scratch.target)
    for count, array in (("n_outputs", scratch.now.outputs), ("n_scores", scratch.now.scores)):
        total = sum(getattr(own, count)(settings) for own in EXPERTS)
        assert getattr(settings, count) == total
        assert len(array) == total * n_classes
    total = sum(own.n_opinions(settings) for own in EXPERTS)
    assert settings.n_opinions == total
    mixes = settings.recursive and not regression
    assert len(scratch.now.opinions) == (FIRST_OPINION + total if mixes else 0)


def test_the_mixture_names_the_opinions_in_the_order_of_the_experts():
    model = LOCOClassifier(hidden_sizes=4, seed=1)
    assert model.mixture_ == {}
    model.learn_array(*blobs(30))
    assert list(model.mixture_) == [
        "stack",
        "least-squares stack",
        "leak 0",
        "leak 0.0001",
        "leak 0.1",
        "linear, leak 0.0001",
        "linear, leak 0.01",
        "linear logistic",
        "naive Bayes",
    ]
    assert sum(model.mixture_.values()) == pytest.approx(1.0)
    of_values = LOCORegressor(hidden_sizes=4, seed=1, neighbors=9)
    of_values.learn_array(*blobs(30))
    assert list(of_values.mixture_)[-2:] == ["late neighbors", "neighbors"]
    assert len(of_values.mixture_) == 7
    delta = LOCOClassifier(**parameters(hidden_sizes=4, readout="delta"))
    delta.learn_array(*blobs(30))
    assert delta.mixture_ == {}


def test_a_default_expert_weight_is_an_equal_share_of_the_stack():
    state = untrained(3, 2, hidden_sizes=4, neighbors=9).model.state
    stacks: StackState = state.stacks
    members = 2 * len(stacks.weights)
    n_outputs = len(stacks.log_weights)
    np.testing.assert_allclose(stacks.log_weights[:members], 1.0 / n_outputs)
    np.testing.assert_allclose(stacks.log_weights[members:], [0.1] * 2 + [0.3] * 3)


def test_head_starts_stand_at_their_experts():
    state = untrained(3, 2, hidden_sizes=4).model.state
    mixture = state.mixture
    assert mixture.log_weights.tolist() == mixture.log_priors.tolist()
    assert mixture.log_priors[:-1].tolist() == [0.0] * (len(mixture.log_priors) - 1)
    assert mixture.log_priors[-1] == 2.0  # naive Bayes
