"""Bad descriptions and bad input are refused before anything runs, in words that name the field and the value."""

import numpy as np
import pytest

from loco_stream import Network
from loco_stream.errors import ConfigError, InputError
from loco_stream.simulator import queued_net

W = np.ones((3, 2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": []}, r"weights is empty"),
        ({"weights": 3.0}, r"weights must be a list of matrices"),
        ({"weights": [np.ones(3)]}, r"weights\[0\] has shape \(3,\)"),
        ({"weights": [np.ones((0, 3))]}, r"weights\[0\] has shape \(0, 3\)"),
        ({"weights": [[["a"]]]}, r"weights\[0\] is no matrix of real numbers"),
        ({"weights": [W, W]}, r"weights\[1\] has 3 rows, but layer 0 has 2 neurons"),
        (
            {"weights": [np.array([[1.0, np.nan]])]},
            r"weights\[0\] holds 1 weights that are NaN or infinite",
        ),
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
        (
            {"delays": np.ones((2, 2))},
            r"delays\[0\] has shape \(2, 2\); it must be one number, or that of its weights",
        ),
        (
            {"recurrent": np.ones((3, 3))},
            r"recurrent\[0\] has shape \(3, 3\); layer 0 needs \(2, 2\)",
        ),
        (
            {"recurrent": np.ones((2, 2)), "recurrent_delays": -2.0},
            r"recurrent_delays\[0\] holds -2.0",
        ),
        (
            {"recurrent": np.ones((2, 2)), "recurrent_delays": 0.0, "drive": 2.0},
            r"recurrent_delays\[0\] holds 0; it must be above 0 ms where neurons fire by themselves",
        ),
        ({"drive": np.nan}, r"drive\[0\] holds a value that is not finite"),
        ({"refractory": -1.0}, r"refractory\[0\] is -1.0; it must lie between 0 and"),
        (
            {"neuron": "izhikevich", "refractory": 1.0},
            r"neuron='izhikevich' has no refractory period",
        ),
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
        ({"weights": [W * 1e308]}, r"weights\[0\] holds 6 weights that are NaN or infinite"),
        ({"weights": [[[10**400]]]}, r"weights\[0\] is no matrix of real numbers"),
        ({"weights": [W * 1j]}, r"weights\[0\] is no matrix of real numbers"),
        (
            {"weights": [np.ma.masked_greater(W, 0)]},
            r"weights\[0\] is no matrix of real numbers, none of them masked",
        ),
        ({"tau": 10**400}, r"tau\[0\] is 10+; it must be a number"),
        ({"threshold": 1e-300}, r"threshold\[0\] holds 1e-300; it must be above 0"),
        ({"delays": 1e-9}, r"delays\[0\] holds 1e-09; .*allowed are 0 and 1e-06 to 1e\+09 ms"),
        ({"delays": 1e300}, r"delays\[0\] holds 1e\+300"),
        (
            {"recurrent": np.ones((2, 2)), "recurrent_delays": 1e-9},
            r"recurrent_delays\[0\] holds 1e-09",
        ),
        (
            {"neuron": "izhikevich", "a": 1e300},
            r"a is 1e\+300; allowed is at most 10000 either way",
        ),
        (
            {"neuron": "izhikevich", "tolerance": 1e-300},
            r"tolerance is 1e-300; allowed is 1e-14 mV or more",
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
        (
            [1.0],
            [0, 1],
            5.0,
            r"times has shape \(1,\) and indices \(2,\): give two lists of one length",
        ),
        ([[1.0]], [[0]], 5.0, r"times has shape \(1, 1\)"),
        (["soon"], [0], 5.0, r"times must be numbers, in ms"),
        (np.ma.masked_equal([1.0, 2.0], 2.0), [0, 1], 5.0, r"times holds masked values"),
        ([1.0, 2.0], np.ma.masked_equal([0, 1], 1), 5.0, r"indices holds masked values"),
        (
            [1.0, 2.0],
            [[0], [1, 2]],
            5.0,
            r"indices is \[\[0\], \[1, 2\]\]; it must be a list of numbers",
        ),
        ([1j], [0], 5.0, r"times must be numbers, in ms; they are of type complex128"),
        ([10**400], [0], 5.0, r"times must be numbers, in ms; they are of type object"),
        ([1.0], [2**70], 5.0, r"indices are of type object; they must be integers"),
        (
            [1.0],
            np.array([2**64 - 1], np.uint64),
            5.0,
            r"indices\[0\] is \d+; the net has the inputs 0 to 2",
        ),
        (
            [],
            [],
            1e300,
            r"duration is 1e\+300; it must be finite and 0 ms or more, at most 1e\+09 ms",
        ),
        ([], [], 10**400, r"duration is 10+...; it must be a number of ms"),
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
        (
            {"membranes": {0: [0]}, "membrane_step": 0.0},
            r"membrane_step is 0.0; it must be above 0 ms",
        ),
        (
            {"membranes": {0: [0]}, "record": "counts"},
            r"membranes are part of a SpikeRecord: use record='spikes'",
        ),
        ({"initial": [[0.0, 0.0], [0.0]]}, r"initial has 2 items for 1 layers"),
        ({"initial": [[0.0]]}, r"initial\[0\] must be \(2,\) finite numbers, not \(1,\)"),
        ({"membranes": {0.0: [0]}}, r"membranes names layer 0.0"),
        (
            {"membranes": {0: [0.7]}},
            r"membranes names neurons of type float64 in layer 0; give whole numbers",
        ),
        (
            {"membranes": {0: [0]}, "membrane_step": 1e-300},
            r"membrane_step is 1e-300; for 5 ms it must be 5e-07 ms",
        ),
        ({"initial": [["a", "b"]]}, r"initial\[0\] is \['a', 'b'\]; it must be numbers"),
        ({"initial": [[1e300, 0.0]]}, r"initial\[0\] must be \(2,\) finite numbers"),
        ({"initial": 3.0}, r"initial must be a list with one array a layer, not float"),
    ],
)
def test_bad_options_of_a_run(options, words):
    with pytest.raises(InputError, match=words):
        Network.from_weights([W]).run([1.0], [0], 5.0, **options)


def test_a_layer_that_is_not_there_has_no_spikes_to_show():
    with pytest.raises(InputError, match=r"layer is 1; the net has the layers 0 to 0"):
        Network.from_weights([W]).run([1.0], [0], 5.0).of(1)


@pytest.mark.parametrize("field", ["weights", "delays", "recurrent"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"indices": [0, 1, 99999, 1]}, r"it holds 99999, allowed are 0 to 1"),
        ({"indices": [0, 1, -7, 1]}, r"it holds -7, allowed are 0 to 1"),
        ({"indices": [0.0, 1.0, 0.0, 1.0]}, r"of types int32 and float64; they must be integers"),
        ({"indices": [0]}, r"indptr ends at 4 for 1 indices and 4 weights"),
        ({"indptr": [0, 3, 4]}, None),
        ({"indptr": [0, 4, 1]}, r"indptr must be 3 numbers that ascend from 0"),
        ({"indptr": [-5, 2, 4]}, r"indptr must be 3 numbers that ascend from 0"),
        ({"indptr": [0, 2, 400000]}, r"indptr ends at 400000 for 4 indices and 4 weights"),
        ({"indptr": [0, 4]}, r"indptr must be 3 numbers that ascend from 0"),
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
        with pytest.raises(
            ConfigError, match=rf"{field}\[0\] has a.* index.*{words}|{field}\[0\] has .*{words}"
        ):
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


def test_a_net_that_fires_without_end_is_stopped_and_goes_on_from_rest(monkeypatch):
    monkeypatch.setattr(queued_net, "_LARGEST_ROOM", 4096)
    net = Network.from_weights([W], drive=1e12, reset="zero")
    with pytest.raises(InputError, match=r"a layer of 2 neurons fired some \d+ times in one run"):
        net.run([1.0], [0], 5.0)
    assert len(net.run([], [], 0.0)) == 0


def test_a_run_of_too_many_windows_is_refused():
    net = Network.from_weights([W], recurrent=np.zeros((2, 2)), recurrent_delays=1e-3, drive=1.5)
    with pytest.raises(InputError, match=r"duration is 1e\+09 ms; .* at most 10000 ms are allowed"):
        net.run([], [], 1e9)


def test_no_membranes_chosen_are_no_membranes():
    record = Network.from_weights([W]).run([1.0], [0], 5.0, membranes={0: []}, membrane_step=1.0)
    assert record.membranes[0].shape == (6, 0)
