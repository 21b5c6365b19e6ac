"""Hidden layers as networks, and models of which there is no network."""

from __future__ import annotations

import re

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor
from loco_stream.errors import ConfigError, InputError
from tests.helpers.models import arrays_of, assert_same, blobs, classifier


@pytest.mark.parametrize("kind", [LOCOClassifier, LOCORegressor])
@pytest.mark.parametrize("sizes", [(12,), (12, 7)])
def test_a_network_fires_as_the_hidden_layer_does(kind, sizes):
    X, y = blobs(60)
    model = kind(hidden_sizes=sizes, seed=1)
    model.learn_array(X, y)
    before = arrays_of(model)
    net = model.to_network(layer=0)
    currents = model.encode_array(X)
    assert_same(before, arrays_of(model))
    for row, current in zip(X[:10], currents, strict=False):
        model.predict_one(dict(enumerate(row)))
        clean = model._core.scratch.clean
        record = net.run([], [], duration=20.0, currents=current)
        counts = np.bincount(record.indices, minlength=sizes[0])
        assert counts.sum() == clean.spikes[0]
        assert np.array_equal(counts > 0, clean.traces[: sizes[0]] > 0)


def test_a_delta_readout_is_exported_with_the_layer():
    X, y = blobs(60)
    model = classifier(hidden_sizes=12, readout="delta", readout_layers="hidden", seed=1)
    model.learn_array(X, y)
    net = model.to_network()
    for row, current in zip(X[:10], model.encode_array(X), strict=False):
        record = net.run([], [], duration=20.0, currents=current)
        predicted = net.readout.predict(record.times, record.indices, 20.0)
        assert predicted == model.predict_one(dict(enumerate(row)))


def test_a_later_layer_is_driven_by_the_layer_before():
    model = LOCOClassifier(hidden_sizes=(8, 6))
    model.learn_one({"a": 1.0, "b": 2.0}, "x")
    net = model.to_network(layer=1)
    assert net.sizes == (6,)
    assert net.n_inputs == 8


@pytest.mark.parametrize(
    ("options", "layer", "message"),
    [
        ({"hidden_sizes": (8, 6)}, None, "`layer` must be an integer from 0 to 1, got None"),
        ({"hidden_sizes": (8, 6)}, 2, "`layer` must be an integer from 0 to 1, got 2"),
        ({}, "1", "`layer` must be an integer from 0 to 0, got '1'"),
        ({}, 0.5, "`layer` must be an integer from 0 to 0, got 0.5"),
        (
            {"neuron": "alif"},
            None,
            "`neuron` must be a model whose layers run as a Network, got 'alif'",
        ),
        ({"memory": (1.0, 5.0)}, None, "`memory` must be None for a Network"),
        ({"max_delay": 2}, None, "`max_delay` must be 0 for a Network"),
    ],
    ids=str,
)
def test_models_without_such_a_network_are_refused(options, layer, message):
    model = LOCOClassifier(**options)
    model.learn_one({"a": 1.0, "b": 2.0}, "x")
    with pytest.raises(ConfigError, match=re.escape(message)):
        model.to_network(layer)


def test_a_model_that_has_seen_no_row_has_no_network_and_no_code():
    with pytest.raises(InputError, match="needs a model that has learned at least 1 row"):
        LOCOClassifier().to_network()
    with pytest.raises(InputError, match="needs a model that has learned at least 1 row"):
        LOCOClassifier().encode_array([[1.0]])
