"""Bad descriptions and bad input are refused before anything runs, naming argument and value."""

import numpy as np
import pytest

from loco_stream import Network
from loco_stream._simulator import queued_net
from loco_stream.errors import ConfigError, InputError

W = np.ones((3, 2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": []}, r"`weights` must have one matrix .*, got none"),
        ({"weights": 3.0}, r"`weights` must be a list of matrices, one per layer, got float"),
        ({"weights": [np.ones(3)]}, r"`weights\[0\]` must be a matrix .*, got shape \(3,\)"),
        ({"weights": [np.ones((0, 3))]}, r"`weights\[0\]` must be a matrix .*, got shape \(0, 3\)"),
        ({"weights": [[["a"]]]}, r"`weights\[0\]` must be a matrix of real numbers"),
        ({"weights": [W, W]}, r"`weights\[1\]` must have 2 rows, one per neuron of layer 0, got 3"),
        (
            {"weights": [np.array([[1.0, np.nan]])]},
            r"`weights\[0\]` must be finite, got 1 weights that are NaN or infinite",
        ),
        ({"tau": 0.0}, r"`tau\[0\]` must be above 0 ms, got 0.0"),
        ({"tau": np.inf}, r"`tau\[0\]` must be finite, got inf"),
        ({"tau": "long"}, r"`tau\[0\]` must be a number, got 'long'"),
        (
            {"tau": [1.0, 2.0]},
            r"`tau` must be one value or a list of 1, one per layer, got 2 items",
        ),
        ({"threshold": 0.0}, r"`threshold\[0\]` must be above 0, .*, got 0.0"),
        ({"threshold": np.ones(5)}, r"`threshold\[0\]` must be a number or .*, got shape \(5,\)"),
        ({"threshold": np.nan}, r"`threshold\[0\]` must be finite, got nan"),
        ({"reset": "soft"}, r"`reset` must be 'subtract' or 'zero', got 'soft'"),
        ({"neuron": "hh"}, r"`neuron` must be one of 'lif', 'alif', 'izhikevich'.*, got 'hh'"),
        ({"delays": -1.0}, r"`delays\[0\]` must be 0 or between 1e-06 and 1e\+09 ms, got -1.0"),
        ({"delays": np.nan}, r"`delays\[0\]` must be .*, got nan"),
        (
            {"delays": np.ones((2, 2))},
            r"`delays\[0\]` must be .* in the shape of its weights, \(3, 2\), got shape \(2, 2\)",
        ),
        (
            {"recurrent": np.ones((3, 3))},
            r"`recurrent\[0\]` must have shape \(2, 2\), got \(3, 3\)",
        ),
        (
            {"recurrent": np.ones((2, 2)), "recurrent_delays": -2.0},
            r"`recurrent_delays\[0\]` must be .*, got -2.0",
        ),
        (
            {"recurrent": np.ones((2, 2)), "recurrent_delays": 0.0, "drive": 2.0},
            r"`recurrent_delays\[0\]` must be above 0 ms where neurons fire .*, got 0",
        ),
        ({"drive": np.nan}, r"`drive\[0\]` must be finite, got nan"),
        ({"refractory": -1.0}, r"`refractory\[0\]` must be between 0 and 10000 ms, got -1.0"),
        (
            {"neuron": "izhikevich", "refractory": 1.0},
            r"`refractory\[0\]` must be 0 for neuron='izhikevich', .*, got 1.0",
        ),
        (
            {"neuron": "izhikevich", "tau": 10.0},
            r"`tau`, `threshold` and `reset` must be left out for neuron='izhikevich', .*: a, b, c",
        ),
        ({"neuron": "izhikevich", "c": 40.0}, r"`c` must be below `peak` = 30.0, got 40.0"),
        ({"neuron": "izhikevich", "tolerance": 0.0}, r"`tolerance` must be above 0, got 0.0"),
        ({"neuron": "alif", "tau_adapt": -1.0}, r"`tau_adapt` must be above 0 ms, got -1.0"),
        ({"neuron": "alif", "adapt": -1.0}, r"`adapt` must be 0 or more, got -1.0"),
        ({"adapt": 1.0}, r"parameters of neuron='lif' must be among: none, got adapt"),
        (
            {"neuron": "alif", "beta": 1.0},
            r"parameters of neuron='alif' must be among: tau_adapt, adapt, got beta",
        ),
        (
            {"weights": [W * 1e308]},
            r"`weights\[0\]` must be finite, got 6 weights that are NaN or infinite",
        ),
        ({"weights": [[[10**400]]]}, r"`weights\[0\]` must be a matrix of real numbers"),
        ({"weights": [W * 1j]}, r"`weights\[0\]` must be a matrix of real numbers"),
        (
            {"weights": [np.ma.masked_greater(W, 0)]},
            r"`weights\[0\]` must be a matrix of real numbers without a mask, got MaskedArray",
        ),
        ({"tau": 10**400}, r"`tau\[0\]` must be a number, got 10+"),
        ({"threshold": 1e-300}, r"`threshold\[0\]` must be above 0, .*, got 1e-300"),
        ({"delays": 1e-9}, r"`delays\[0\]` must be .*, got 1e-09"),
        ({"delays": 1e300}, r"`delays\[0\]` must be .*, got 1e\+300"),
        (
            {"recurrent": np.ones((2, 2)), "recurrent_delays": 1e-9},
            r"`recurrent_delays\[0\]` must be .*, got 1e-09",
        ),
        (
            {"neuron": "izhikevich", "a": 1e300},
            r"`a` must be between -10000 and 10000, got 1e\+300",
        ),
        (
            {"neuron": "izhikevich", "tolerance": 1e-300},
            r"`tolerance` must be 1e-14 mV or more, got 1e-300",
        ),
        ({"dtype": np.int32}, r"`dtype` must be float32 or float64, got int32"),
        ({"dtype": "decimal"}, r"`dtype` must be float32 or float64, got 'decimal'"),
    ],
)
def test_bad_descriptions_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        Network.from_weights(**({"weights": [W]} | options))


@pytest.mark.parametrize("delays", [None, 1.0])
@pytest.mark.parametrize(
    ("times", "indices", "duration", "words"),
    [
        ([2.0, 1.0], [0, 0], 5.0, r"`times` must be sorted, got times\[1\] = 1 after 2"),
        ([-1.0], [0], 5.0, r"`times\[0\]` must be between 0 and the duration, 5 ms, got -1"),
        ([1.0, 6.0], [0, 0], 5.0, r"`times\[1\]` must be between 0 and the duration, 5 ms, got 6"),
        ([1.0, np.nan], [0, 0], 5.0, r"`times\[1\]` must be between .*, got nan"),
        ([np.inf], [0], 5.0, r"`times\[0\]` must be between .*, got inf"),
        ([1.0], [3], 5.0, r"`indices\[0\]` must be an input from 0 to 2, got 3"),
        ([1.0], [-1], 5.0, r"`indices\[0\]` must be an input from 0 to 2, got -1"),
        ([1.0], [2**40], 5.0, r"`indices\[0\]` must be an input from 0 to 2, got \d+"),
        ([1.0], [0.5], 5.0, r"`indices` must be integers, .*, got type float64"),
        (
            [1.0],
            [0, 1],
            5.0,
            r"`times` and `indices` must be lists of the same .*, got shapes \(1,\) and \(2,\)",
        ),
        (
            [[1.0]],
            [[0]],
            5.0,
            r"`times` and `indices` must be lists .*, got shapes \(1, 1\) and \(1, 1\)",
        ),
        (["soon"], [0], 5.0, r"`times` must be numbers of ms, got type <U4"),
        (
            np.ma.masked_equal([1.0, 2.0], 2.0),
            [0, 1],
            5.0,
            r"`times` must be .*, got masked values",
        ),
        (
            [1.0, 2.0],
            np.ma.masked_equal([0, 1], 1),
            5.0,
            r"`indices` must be .*, got masked values",
        ),
        (
            [1.0, 2.0],
            [[0], [1, 2]],
            5.0,
            r"`indices` must be a list of numbers, got \[\[0\], \[1, 2\]\]",
        ),
        ([1j], [0], 5.0, r"`times` must be numbers of ms, got type complex128"),
        ([10**400], [0], 5.0, r"`times` must be numbers of ms, got type object"),
        ([1.0], [2**70], 5.0, r"`indices` must be integers, .*, got type object"),
        (
            [1.0],
            np.array([2**64 - 1], np.uint64),
            5.0,
            r"`indices\[0\]` must be an input from 0 to 2, got \d+",
        ),
        (
            [],
            [],
            1e300,
            r"`duration` must be between 0 and 1e\+09 ms, got 1e\+300",
        ),
        ([], [], 10**400, r"`duration` must be a number of ms, got 10+\.\.\."),
        ([], [], -1.0, r"`duration` must be between .*, got -1.0"),
        ([], [], np.nan, r"`duration` must be between .*, got nan"),
        ([], [], None, r"`duration` must be a number of ms, got None"),
    ],
)
def test_bad_spikes_are_refused(delays, times, indices, duration, words):
    net = Network.from_weights([W], delays=delays)
    with pytest.raises(InputError, match=words):
        net.run(times, indices, duration)
    assert len(net.run([1.0, 2.0], [0, 2], 5.0)) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"record": "all"}, r"`record` must be 'spikes' or 'counts', got 'all'"),
        (
            {"membranes": [1, 2]},
            r"`membranes` must map layers to lists of neurons, .*, got \[1, 2\]",
        ),
        ({"membranes": {1: [0]}}, r"`membranes` must have layers from 0 to 0 as keys, got 1"),
        ({"membranes": {0: [2]}}, r"`membranes` must list neurons from 0 to 1 in layer 0, got 2"),
        (
            {"membranes": {0: [0]}, "membrane_step": 0.0},
            r"`membrane_step` must be above 0 ms, got 0.0",
        ),
        (
            {"membranes": {0: [0]}, "record": "counts"},
            r"`membranes` requires record='spikes', got record='counts'",
        ),
        ({"initial": [[0.0, 0.0], [0.0]]}, r"`initial` must have 1 items, one per layer, got 2"),
        ({"initial": [[0.0]]}, r"`initial\[0\]` must be \(2,\) finite numbers, got shape \(1,\)"),
        ({"membranes": {0.0: [0]}}, r"`membranes` must have layers .*, got 0.0"),
        (
            {"membranes": {0: [0.7]}},
            r"`membranes` must list whole numbers in layer 0, got type float64",
        ),
        (
            {"membranes": {0: [0]}, "membrane_step": 1e-300},
            r"`membrane_step` must be 5e-07 ms or more in a run of 5 ms, got 1e-300",
        ),
        ({"initial": [["a", "b"]]}, r"`initial\[0\]` must be numbers, got \['a', 'b'\]"),
        ({"initial": [[1e300, 0.0]]}, r"`initial\[0\]` must be \(2,\) finite numbers"),
        ({"initial": 3.0}, r"`initial` must be a list with one array per layer, got float"),
    ],
)
def test_bad_options_of_a_run_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        Network.from_weights([W]).run([1.0], [0], 5.0, **options)


@pytest.mark.parametrize("layers", [[], [3, 2], W, [W]], ids=repr)
def test_a_net_without_layers_is_refused(layers):
    with pytest.raises(ConfigError, match="`layers` must be a list of those that `"):
        Network(layers)


def test_an_unknown_layer_of_a_record_is_refused():
    with pytest.raises(InputError, match=r"`layer` must be from 0 to 0, got 1"):
        Network.from_weights([W]).run([1.0], [0], 5.0).of(1)


@pytest.mark.parametrize("field", ["weights", "delays", "recurrent"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"indices": [0, 1, 99999, 1]}, r"column 99999, outside 0 to 1"),
        ({"indices": [0, 1, -7, 1]}, r"column -7, outside 0 to 1"),
        ({"indices": [0.0, 1.0, 0.0, 1.0]}, r"of types int32 and float64 instead of integers"),
        ({"indices": [0]}, r"indptr ends at 4 for 1 indices and 4 weights"),
        ({"indptr": [0, 3, 4]}, None),
        ({"indptr": [0, 4, 1]}, r"indptr is not 3 numbers that ascend from 0"),
        ({"indptr": [-5, 2, 4]}, r"indptr is not 3 numbers that ascend from 0"),
        ({"indptr": [0, 2, 400000]}, r"indptr ends at 400000 for 4 indices and 4 weights"),
        ({"indptr": [0, 4]}, r"indptr is not 3 numbers that ascend from 0"),
    ],
)
def test_a_damaged_sparse_matrix_reaches_no_compiled_code(field, damage, words):
    sparse = pytest.importorskip("scipy.sparse")
    square = np.ones((2, 2))
    matrix = sparse.csr_array(square)
    for name, values in damage.items():
        values = np.array(values)
        setattr(matrix, name, values.astype(np.int32) if values.dtype.kind == "i" else values)
    options = {"weights": [sparse.csr_array(square)]} | {field: [matrix]}
    if words is None:
        Network.from_weights(**options)
    else:
        expected = rf"`{field}\[0\]` must be a valid sparse matrix, got one with .* index.*{words}"
        with pytest.raises(ConfigError, match=expected):
            Network.from_weights(**options)


@pytest.mark.parametrize("delays", [None, 1.0])
def test_arrays_of_any_layout_give_the_same_spikes(delays):
    net = Network.from_weights([W], delays=delays)
    expected = net.run([1.0, 2.0], [0, 2], 5.0).times.tolist()
    strided = np.array([1.0, 9.0, 2.0, 9.0])[::2], np.array([0, 9, 2, 9])[::2]
    fixed = np.array([1.0, 2.0]), np.array([0, 2])
    for array in fixed:
        array.setflags(write=False)
    foreign = np.array([1.0, 2.0], ">f4"), np.array([0, 2], ">i2")
    for times, indices in (
        strided,
        fixed,
        foreign,
        (np.float16([1, 2]), np.uint8([0, 2])),
        ((1, 2), (0, 2)),
    ):
        assert net.run(times, indices, 5.0).times.tolist() == expected


def test_a_net_that_fires_endlessly_is_stopped_and_is_at_rest_afterwards(monkeypatch):
    monkeypatch.setattr(queued_net, "_LARGEST_ROOM", 4096)
    net = Network.from_weights([W], drive=1e12, reset="zero")
    with pytest.raises(InputError, match=r"a layer of 2 neurons fired about \d+ times"):
        net.run([1.0], [0], 5.0)
    assert len(net.run([], [], 0.0)) == 0


def test_a_run_of_too_many_windows_is_refused():
    net = Network.from_weights([W], recurrent=np.zeros((2, 2)), recurrent_delays=1e-3, drive=1.5)
    with pytest.raises(
        InputError, match=r"`duration` must be at most 10000 ms with .*, got 1e\+09"
    ):
        net.run([], [], 1e9)


def test_an_empty_choice_of_membranes_is_an_empty_array():
    record = Network.from_weights([W]).run([1.0], [0], 5.0, membranes={0: []}, membrane_step=1.0)
    assert record.membranes[0].shape == (6, 0)
