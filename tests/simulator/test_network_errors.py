"""Bad descriptions and bad input are refused before anything runs, in words that name the field and the value."""

import numpy as np
import pytest

from loco_stream import Network
from loco_stream.errors import ConfigError, InputError

W = np.ones((3, 2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": []}, r"weights is empty"),
        ({"weights": 3.0}, r"weights must be a list of matrices"),
        ({"weights": [np.ones(3)]}, r"weights\[0\] has shape \(3,\)"),
        ({"weights": [np.ones((0, 3))]}, r"weights\[0\] has shape \(0, 3\)"),
        ({"weights": [[["a"]]]}, r"weights\[0\] is no matrix of numbers"),
        ({"weights": [W, W]}, r"weights\[1\] has 3 rows, but layer 0 has 2 neurons"),
        ({"weights": [np.array([[1.0, np.nan]])]}, r"weights\[0\] holds 1 weights that are NaN or infinite"),
        ({"tau": 0.0}, r"tau\[0\] is 0.0; it must be above 0 ms"),
        ({"tau": np.inf}, r"tau\[0\] is inf; it must be finite"),
        ({"tau": "long"}, r"tau\[0\] is 'long'; it must be a number"),
        ({"tau": [1.0, 2.0]}, r"tau has 2 items for 1 layers"),
        ({"threshold": 0.0}, r"threshold\[0\] holds 0.0; it must be above 0"),
        ({"threshold": np.ones(5)}, r"threshold\[0\] has shape \(5,\)"),
        ({"threshold": np.nan}, r"threshold\[0\] holds a value that is not finite"),
        ({"reset": "soft"}, r"reset is 'soft'; allowed are 'subtract' and 'zero'"),
        ({"neuron": "hh"}, r"neuron is 'hh'; allowed are 'lif', 'alif', 'izhikevich'"),
        ({"delays": -1.0}, r"delays\[0\] holds -1.0; delays must be finite and 0 ms or more"),
        ({"delays": np.nan}, r"delays\[0\] holds nan"),
        ({"delays": np.ones((2, 2))}, r"delays\[0\] has shape \(2, 2\); it must be one number, or that of its weights"),
        ({"recurrent": np.ones((3, 3))}, r"recurrent\[0\] has shape \(3, 3\); layer 0 needs \(2, 2\)"),
        ({"recurrent": np.ones((2, 2)), "recurrent_delays": -2.0}, r"recurrent_delays\[0\] holds -2.0"),
        (
            {"recurrent": np.ones((2, 2)), "recurrent_delays": 0.0, "drive": 2.0},
            r"recurrent_delays\[0\] holds 0; it must be above 0 ms where neurons fire by themselves",
        ),
        ({"drive": np.nan}, r"drive\[0\] holds a value that is not finite"),
        ({"refractory": -1.0}, r"refractory\[0\] is -1.0; it must lie between 0 and"),
        ({"neuron": "izhikevich", "refractory": 1.0}, r"neuron='izhikevich' has no refractory period"),
        (
            {"neuron": "izhikevich", "tau": 10.0},
            r"neuron='izhikevich' takes no tau, threshold or reset; its parameters are: a, b, c",
        ),
        ({"neuron": "izhikevich", "c": 40.0}, r"c is 40.0; the reset must lie below peak = 30.0"),
        ({"neuron": "izhikevich", "tolerance": 0.0}, r"tolerance is 0.0; it must be above 0"),
        ({"neuron": "alif", "tau_adapt": -1.0}, r"tau_adapt is -1.0; it must be above 0"),
        ({"neuron": "alif", "adapt": -1.0}, r"adapt is -1.0; it must be 0 or more"),
        ({"adapt": 1.0}, r"adapt is no parameter of neuron='lif'; its parameters are: none"),
        (
            {"neuron": "alif", "beta": 1.0},
            r"beta is no parameter of neuron='alif'; its parameters are: tau_adapt, adapt",
        ),
        ({"dtype": np.int32}, r"dtype is int32; allowed are float32 and float64"),
        ({"dtype": "decimal"}, r"dtype is 'decimal'; allowed are float32 and float64"),
    ],
)
def test_bad_descriptions(options, words):
    with pytest.raises(ConfigError, match=words):
        Network.from_weights(**({"weights": [W]} | options))


@pytest.mark.parametrize("delays", [None, 1.0])
@pytest.mark.parametrize(
    ("times", "indices", "duration", "words"),
    [
        ([2.0, 1.0], [0, 0], 5.0, r"times\[1\] is 1 after 2: times must be sorted"),
        ([-1.0], [0], 5.0, r"times\[0\] is -1; it must lie between 0 and the duration, 5 ms"),
        ([1.0, 6.0], [0, 0], 5.0, r"times\[1\] is 6; it must lie between 0 and the duration, 5 ms"),
        ([1.0, np.nan], [0, 0], 5.0, r"times\[1\] is nan; it must lie between"),
        ([np.inf], [0], 5.0, r"times\[0\] is inf; it must lie between"),
        ([1.0], [3], 5.0, r"indices\[0\] is 3; the net has the inputs 0 to 2"),
        ([1.0], [-1], 5.0, r"indices\[0\] is -1; the net has the inputs 0 to 2"),
        ([1.0], [2**40], 5.0, r"indices\[0\] is \d+; the net has the inputs 0 to 2"),
        ([1.0], [0.5], 5.0, r"indices are of type float64; they must be integers"),
        ([1.0], [0, 1], 5.0, r"times has shape \(1,\) and indices \(2,\): give two lists of one length"),
        ([[1.0]], [[0]], 5.0, r"times has shape \(1, 1\)"),
        (["soon"], [0], 5.0, r"times must be numbers, in ms"),
        ([], [], -1.0, r"duration is -1.0; it must be finite and 0 ms or more"),
        ([], [], np.nan, r"duration is nan; it must be finite"),
        ([], [], None, r"duration is None; it must be a number of ms"),
    ],
)
def test_bad_spikes(delays, times, indices, duration, words):
    net = Network.from_weights([W], delays=delays)
    with pytest.raises(InputError, match=words):
        net.run(times, indices, duration)
    assert len(net.run([1.0, 2.0], [0, 2], 5.0)) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"record": "all"}, r"record is 'all'; allowed are 'spikes' and 'counts'"),
        ({"membranes": [1, 2]}, r"membranes is \[1, 2\]; it must map layers to lists of neurons"),
        ({"membranes": {1: [0]}}, r"membranes names layer 1; the net has the layers 0 to 0"),
        ({"membranes": {0: [2]}}, r"membranes names neuron 2 of layer 0, which has 0 to 1"),
        ({"membranes": {0: [0]}, "membrane_step": 0.0}, r"membrane_step is 0.0; it must be above 0 ms"),
        ({"membranes": {0: [0]}, "record": "counts"}, r"membranes are part of a SpikeRecord: use record='spikes'"),
        ({"initial": [[0.0, 0.0], [0.0]]}, r"initial has 2 items for 1 layers"),
        ({"initial": [[0.0]]}, r"initial\[0\] must be \(2,\) finite numbers, not \(1,\)"),
        ({"initial": 3.0}, r"initial must be a list with one array a layer, not float"),
    ],
)
def test_bad_options_of_a_run(options, words):
    with pytest.raises(InputError, match=words):
        Network.from_weights([W]).run([1.0], [0], 5.0, **options)


def test_a_layer_that_is_not_there_has_no_spikes_to_show():
    with pytest.raises(InputError, match=r"layer is 1; the net has the layers 0 to 0"):
        Network.from_weights([W]).run([1.0], [0], 5.0).of(1)
