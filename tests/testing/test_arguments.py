"""A check refuses what is no definition, or no function that makes a source or sink."""

from __future__ import annotations

import pytest

from loco_stream import testing
from loco_stream.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("check_detector", "`definition` must be a DetectorDefinition"),
        ("check_expert", "`expert` must be an Expert"),
        ("check_neuron", "`model` must be a NeuronModel"),
        ("check_sink", "`make_sink` must be a function without arguments"),
        ("check_source", "`make_source` must be a function without arguments"),
    ],
)
def test_a_wrong_argument_is_named(name, sentence):
    with pytest.raises(ConfigError, match=f"^{sentence}, got 'ADWIN'$"):
        getattr(testing, name)("ADWIN")
