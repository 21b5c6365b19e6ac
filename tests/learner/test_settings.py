"""Settings that follow from the options, and neurons that cannot run as requested."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from loco_stream import LOCOClassifier, neurons
from loco_stream._learner import settings
from loco_stream._learner.plasticity.projections import (
    CLUSTERS,
    NO_PROJECTION,
    PROJECTIONS,
    RECURSIVE,
)
from loco_stream._learner.settings import learning_rate
from loco_stream.errors import ConfigError
from tests.helpers.models import model_options, parameters, settings_of


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dt": 3.0}, "`dt` must be `window` (20 ms) divided by an integer from 1 to 20, got 3"),
        ({"dt": 0.5}, "`dt` must be `window` (20 ms) divided by an integer from 1 to 20, got 0.5"),
        ({"dt": 25.0}, "`dt` must be `window` (20 ms) divided by an integer from 1 to 20, got 25"),
        (
            {"dt": 1.0, "neuron": "alif"},
            "`dt` must be None with `neuron` 'alif', got 1.0",
        ),
        (
            {"reset": "zero", "neuron": "izhikevich"},
            "`reset` must be 'subtract' with `neuron` 'izhikevich', got 'zero'",
        ),
    ],
)
def test_grids_and_resets_that_a_neuron_cannot_run_are_refused(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        LOCOClassifier(**parameters(**options))


def test_a_neuron_gets_the_options_that_its_definition_names(monkeypatch):
    given = []

    def cell(tau, dt=None):
        given.append(dt)
        return neurons.find("lif").window.settings(tau, dt=dt)

    own = replace(neurons.find("lif").window, settings=cell, options=("dt",))
    monkeypatch.setattr(settings, "window_of", lambda kind: own)
    settings.check_neuron(model_options(dt=1.0))
    assert settings._cell(model_options(dt=1.0), 10.0).dt == 1.0
    assert given == [1.0]
    with pytest.raises(ConfigError, match="`reset` must be 'subtract' with `neuron` 'lif'"):
        settings.check_neuron(model_options(reset="zero"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, RECURSIVE),
        ({"projection": "clusters"}, CLUSTERS),
        ({"rule": "np"}, NO_PROJECTION),
        ({"rule": "frozen"}, NO_PROJECTION),
        ({"orthogonality": 0.0}, NO_PROJECTION),
        ({"projection": "clusters", "orthogonality": 0.0}, NO_PROJECTION),
    ],
)
def test_the_options_choose_a_projection(options, expected):
    assert settings_of(3, **options).projection == expected


def test_projections_stand_at_their_positions():
    names = {NO_PROJECTION: "none", RECURSIVE: "recursive", CLUSTERS: "clusters"}
    assert {position: PROJECTIONS[position].name for position in names} == names
    for projection in PROJECTIONS[1:]:
        assert model_options(projection=projection.name)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 300.0),
        ({"credit": "learned"}, 900.0),
        ({"credit": "perturbation"}, 900.0),
        ({"rule": "np"}, 10.0),
        ({"orthogonality": 0.0}, 10.0),
        ({"projection": "clusters", "credit": "learned"}, 30.0),
        ({"rule": "np", "credit": "perturbation"}, 0.1),
        ({"learning_rate": 7.0}, 7.0),
    ],
)
def test_the_learning_rate_in_force(options, expected):
    assert learning_rate(model_options(**options)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"rule": "frozen"}, False),
        ({"learning_rate": 0.0}, False),
        ({"plastic": 0.0}, False),
    ],
)
def test_hidden_layers_learn_unless_an_option_forbids_it(options, expected):
    assert settings_of(3, **options).learns == expected


def test_clusters_have_defaults_where_they_are_used():
    used = settings_of(3, projection="clusters")
    assert (used.n_clusters, used.rank) == (10, 1)
    assert settings_of(3).n_clusters == 0
