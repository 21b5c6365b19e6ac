"""`Network` equals its slow twins, spike by spike, and itself along every path of the code."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from loco_stream import Network, SpikeRecord
from loco_stream._simulator.event_loop import run_events
from loco_stream._simulator.queued_net import QueuedNet
from tests.helpers import naive_network
from tests.helpers.nets import membrane_now, queue_wiring, random_net, random_spikes


def assert_same_spikes(record, twin, atol=1e-8):
    """The same neurons fire at the same times."""
    for layer, (times, indices) in enumerate(twin):
        got_times, got = record.of(layer)
        np.testing.assert_array_equal(
            np.bincount(got, minlength=1), np.bincount(indices, minlength=1)
        )
        for neuron in np.unique(indices):
            np.testing.assert_allclose(
                got_times[got == neuron], np.sort(times[indices == neuron]), atol=atol, rtol=0
            )


sizes = st.lists(st.integers(1, 12), min_size=2, max_size=4)
common = {
    "seed": st.integers(0, 2**32 - 1),
    "sizes": sizes,
    "n": st.integers(0, 60),
    "grid": st.booleans(),
    "reset": st.sampled_from(["subtract", "zero"]),
}


@settings(deadline=None, max_examples=100)
@given(**common, scale=st.floats(0.2, 5.0), tau=st.floats(1.0, 50.0))
def test_lif_equals_its_twin(seed, sizes, n, grid, reset, scale, tau):
    rng = np.random.default_rng(seed)
    weights = random_net(rng, sizes, scale)
    times, indices = random_spikes(rng, sizes[0], n, 20, grid)
    net = Network.from_weights(weights, tau=tau, reset=reset, dtype=np.float64)
    twin = naive_network.run_net(weights, times, indices, 20.0, tau=tau, reset=reset)
    assert_same_spikes(net.run(times, indices, 20.0), twin)


@settings(deadline=None, max_examples=50)
@given(**common, scale=st.floats(0.2, 5.0))
def test_lif_in_single_precision_equals_its_twin(seed, sizes, n, grid, reset, scale):
    rng = np.random.default_rng(seed)
    weights = [w.astype(np.float32) for w in random_net(rng, sizes, scale)]
    times, indices = random_spikes(rng, sizes[0], n, 20, grid)
    margin = []
    times = times.astype(np.float32)
    twin = naive_network.run_net(
        weights, times.astype(float), indices, 20.0, reset=reset, margin=margin
    )
    assume(min(margin, default=1.0) > 1e-4)  # otherwise rounding decides
    assert_same_spikes(
        Network.from_weights(weights, reset=reset).run(times, indices, 20.0), twin, atol=1e-5
    )


@settings(deadline=None, max_examples=60)
@given(
    **common,
    scale=st.floats(0.2, 4.0),
    drive=st.sampled_from([0.0, 0.7, -0.5, 1.3, 3.0]),
    refractory=st.sampled_from([0.0, 1.7]),
    delayed=st.booleans(),
    recurrent=st.booleans(),
)
def test_queued_lif_equals_its_twin(
    seed, sizes, n, grid, reset, scale, drive, refractory, delayed, recurrent
):
    rng = np.random.default_rng(seed)
    weights = random_net(rng, sizes, scale)
    times, indices = random_spikes(rng, sizes[0], n, 20, grid)
    options = {"reset": reset, "drive": drive, "refractory": refractory}
    wiring = queue_wiring(rng, sizes, delayed, recurrent)
    net = Network.from_weights(weights, dtype=np.float64, **options, **wiring)
    twin = naive_network.run_net(weights, times, indices, 20.0, **options, **wiring)
    assert_same_spikes(net.run(times, indices, 20.0), twin)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    **common,
    scale=st.floats(0.5, 4.0),
    tau_adapt=st.sampled_from([5.0, 20.0, 100.0]),
    drive=st.sampled_from([0.0, 1.4]),
    refractory=st.sampled_from([0.0, 1.7]),
    delayed=st.booleans(),
    recurrent=st.booleans(),
)
def test_alif_equals_its_twin(
    seed, sizes, n, grid, reset, scale, tau_adapt, drive, refractory, delayed, recurrent
):
    rng = np.random.default_rng(seed)
    sizes = [min(s, 4) for s in sizes[:3]]
    weights = random_net(rng, sizes, scale)
    times, indices = random_spikes(rng, sizes[0], min(n, 30), 20, grid)
    options = {
        "reset": reset,
        "drive": drive,
        "refractory": refractory,
        "tau_adapt": tau_adapt,
        "adapt": 0.3,
    }
    wiring = queue_wiring(rng, sizes, delayed, recurrent)
    net = Network.from_weights(weights, neuron="alif", dtype=np.float64, **options, **wiring)
    twin = naive_network.run_net(weights, times, indices, 20.0, neuron="alif", **options, **wiring)
    assert_same_spikes(net.run(times, indices, 20.0), twin)


@pytest.mark.slow
@settings(deadline=None, max_examples=8)
@given(
    seed=st.integers(0, 2**32 - 1), drive=st.sampled_from([0.0, 3.0, 10.0]), recurrent=st.booleans()
)
def test_izhikevich_equals_its_twin(seed, drive, recurrent):
    rng = np.random.default_rng(seed)
    sizes = [4, 3]
    weights = [w * 15.0 for w in random_net(rng, sizes, 1.0)]
    times, indices = random_spikes(rng, sizes[0], 25, 40, grid=True)
    wiring = queue_wiring(rng, sizes, delayed=True, recurrent=recurrent)
    net = Network.from_weights(
        weights, neuron="izhikevich", dtype=np.float64, drive=drive, **wiring
    )
    twin = naive_network.run_net(
        weights,
        times,
        indices,
        40.0,
        neuron="izhikevich",
        drive=drive,
        **wiring,
        **naive_network.IZHIKEVICH,
    )
    assert_same_spikes(net.run(times, indices, 40.0), twin, atol=2e-4)


def test_izhikevich_spike_times_converge_with_the_tolerance():
    times = np.arange(0.0, 50.0, 5.0)
    indices = np.zeros(10, int)

    def spikes(tolerance):
        net = Network.from_weights(
            [[[8.0]]], neuron="izhikevich", drive=10.0, tolerance=tolerance, dtype=np.float64
        )
        return net.run(times, indices, 200.0).times

    best = spikes(1e-13)
    assert len(best) >= 5
    errors = [np.abs(spikes(10.0**-k) - best).max() for k in (2, 4, 6, 8)]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 1e-4  # ms, at the default tolerance
    assert errors[3] < 1e-6


@settings(deadline=None, max_examples=40)
@given(**common, scale=st.floats(0.3, 4.0))
def test_the_queue_and_the_dense_path_give_the_same_spikes(seed, sizes, n, grid, reset, scale):
    rng = np.random.default_rng(seed)
    net = Network.from_weights(random_net(rng, sizes, scale), reset=reset, dtype=np.float64)
    queued = Network(net._layers, np.float64)
    queued._net = QueuedNet(net._layers, np.float64)
    spikes = random_spikes(rng, sizes[0], n, 20, grid)
    direct = net.run(*spikes, 20.0)
    around = queued.run(*spikes, 20.0)
    np.testing.assert_array_equal(direct.indices, around.indices)
    np.testing.assert_array_equal(direct.times, around.times)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense_input_gives_bit_identical_spikes(dtype):
    """Dense groups of events are multiplied instead of summed, unless they are out of order."""
    rng = np.random.default_rng(4)
    weights = [rng.normal(size=(70, 83)) * 0.3, rng.normal(size=(83, 9)) * 0.3]
    net = Network.from_weights(weights, dtype=dtype)
    for density in (0.3, 0.6, 0.8, 1.0):
        times, indices = np.nonzero(rng.random((21, 70)) < density)
        times = times.astype(float)
        together = net.run(times, indices, 30.0)
        v = [net._net.membranes(k).copy() for k in range(2)]
        parts = [net.run([], [], 0.0)]
        for t in range(21):  # one time per call: too few to be multiplied
            now = times == t
            parts.append(net.run(times[now] - t, indices[now], 1.0 if t < 20 else 10.0, carry=True))
        for layer in range(2):
            of = [(part.of(layer)[0] + t - 1, part.of(layer)[1]) for t, part in enumerate(parts)]
            np.testing.assert_array_equal(np.concatenate([i for _, i in of]), together.of(layer)[1])
            np.testing.assert_array_equal(np.concatenate([t for t, _ in of]), together.of(layer)[0])
            np.testing.assert_allclose(
                net._net.membranes(layer), v[layer], rtol=1e-5 if dtype == np.float32 else 1e-12
            )
        twice = net.run(np.repeat(times, 2), np.repeat(indices, 2), 30.0)
        assert len(twice) > len(together) > 300


def test_sparse_weights_equal_dense_weights():
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(40, 30)) * (rng.random((40, 30)) < 0.2)
    delays = np.where(dense != 0.0, rng.integers(0, 3, dense.shape) * 0.5, 0.0)
    lateral = 0.3 * rng.normal(size=(30, 30)) * (rng.random((30, 30)) < 0.2)
    spikes = random_spikes(rng, 40, 400, 50, grid=True)
    # with reset "subtract" an arrival of zero weight could make a neuron fire again
    full = Network.from_weights(
        [dense], delays=[delays], recurrent=[lateral], reset="zero", dtype=np.float64
    )
    thin = Network.from_weights(
        sparse.csr_array(dense),
        delays=sparse.csr_array(delays),
        recurrent=sparse.csr_array(lateral),
        reset="zero",
        dtype=np.float64,
    )
    a = full.run(*spikes, 50.0)
    b = thin.run(*spikes, 50.0)
    assert len(a) > 50
    np.testing.assert_array_equal(a.indices, b.indices)
    np.testing.assert_array_equal(a.times, b.times)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    case=st.sampled_from(["dense", "queue", "driven", "alif", "izhikevich"]),
    cut=st.floats(0.5, 29.5),
)
def test_a_run_cut_in_two_with_carry_equals_one_run(seed, case, cut):
    rng = np.random.default_rng(seed)
    sizes = [6, 5, 4]
    weights = random_net(rng, sizes, 20.0 if case == "izhikevich" else 2.0)
    options = (
        {} if case == "dense" else queue_wiring(rng, sizes, delayed=True, recurrent=case != "queue")
    )
    for delays in (*options.get("delays", ()), *options.get("recurrent_delays", ())):
        # no coincidences, which would depend on rounding
        delays += rng.uniform(0.0, 0.1, delays.shape)
    if case == "driven":
        options |= {"drive": 1.2, "refractory": 1.0}
    if case in ("alif", "izhikevich"):
        options["neuron"] = case
    net = Network.from_weights(weights, dtype=np.float64, **options)
    times, indices = random_spikes(rng, sizes[0], 60, 30, grid=False)
    whole = net.run(times, indices, 30.0)
    early = times < cut
    first = net.run(times[early], indices[early], cut)
    second = net.run(times[~early] - cut, indices[~early], 30.0 - cut, carry=True)
    for layer in range(2):
        a = first.of(layer)
        b = second.of(layer)
        c = whole.of(layer)
        np.testing.assert_array_equal(np.concatenate((a[1], b[1])), c[1])
        atol = 1e-4 if case == "izhikevich" else 1e-8
        np.testing.assert_allclose(np.concatenate((a[0], b[0] + cut)), c[0], atol=atol)


def test_spikes_of_one_time_are_delivered_together():
    net = Network.from_weights([[[0.8], [-0.5], [0.8]]], dtype=np.float64)
    assert net.run([1.0, 1.0, 1.0], [0, 1, 2], 5.0).times.tolist() == [1.0]
    assert len(net.run([1.0, 1.0], [0, 1], 5.0)) == 0
    assert net.run([1.0, 1.0], [0, 0], 5.0).times.tolist() == [1.0]  # the same pair twice adds
    assert net.run([1.0, 2.0], [0, 2], 5.0).times.tolist() == [2.0]


@pytest.mark.parametrize("delays", [None, 0.5])
def test_spikes_at_both_ends_of_a_run_and_no_input(delays):
    late = 0.0 if delays is None else delays
    net = Network.from_weights([[[1.0]]], delays=delays)
    assert net.run([0.0, 4.0], [0, 0], 4.0 + late).times.tolist() == [late, 4.0 + late]
    assert len(net.run([], [], 0.0)) == 0
    assert [c.tolist() for c in net.run([], [], 3.0, record="counts")] == [[0]]


@pytest.mark.parametrize("delays", [None, 0.25])
def test_a_neuron_left_above_threshold_fires_again_at_the_next_event(delays):
    late = 0.0 if delays is None else delays
    net = Network.from_weights([[[3.5], [0.0]]], delays=delays, tau=1e6, dtype=np.float64)
    record = net.run([1.0, 2.0, 3.0, 4.0], [0, 1, 1, 1], 6.0)
    assert record.times.tolist() == [1.0 + late, 2.0 + late, 3.0 + late]


def test_refractory_neurons_lose_their_input():
    net = Network.from_weights([[[1.0]]], refractory=2.0, dtype=np.float64)
    assert net.run([1.0, 2.0, 2.9, 3.0, 4.0, 5.5], [0] * 6, 10.0).times.tolist() == [1.0, 3.0, 5.5]


def test_recurrence_without_delay_is_a_cascade_at_one_time():
    chain = np.diag(np.ones(4), k=1)
    net = Network.from_weights(
        [np.eye(5)[:1]], recurrent=chain, recurrent_delays=0.0, dtype=np.float64
    )
    record = net.run([1.0], [0], 5.0)
    assert record.times.tolist() == [1.0] * 5
    assert record.indices.tolist() == [0, 1, 2, 3, 4]
    ring = np.roll(np.eye(5), 1, axis=1)
    assert (
        len(
            Network.from_weights([np.eye(5)[:1]], recurrent=ring, recurrent_delays=0.0).run(
                [1.0], [0], 1.0
            )
        )
        == 5
    )


def test_room_grows_for_spikes_and_times():
    rng = np.random.default_rng(0)
    ring = 1.5 * np.roll(np.eye(3), 1, axis=1)
    net = Network.from_weights(
        [np.ones((1, 3))], recurrent=ring, recurrent_delays=0.01, dtype=np.float64
    )
    record = net.run([0.0], [0], 50.0)
    assert len(record) == 3 * 5001
    dense = Network.from_weights([np.ones((2, 3)), np.ones((3, 2))])
    assert len(dense.run(np.arange(5000.0), rng.integers(0, 2, 5000), 5000.0)) == 25000
    driven = Network.from_weights([[[0.0, 0.0]]], drive=50.0, reset="zero", tau=10.0)
    assert len(driven.run([], [], 1000.0)) == 2 * int(1000.0 / (10.0 * np.log(50.0 / 49.0)))


def test_counts_equal_the_record():
    rng = np.random.default_rng(3)
    spikes = random_spikes(rng, 20, 200, 20, grid=True)
    for options in ({}, {"delays": 0.5}):
        net = Network.from_weights(random_net(rng, [20, 17, 5], 3.0), **options)
        record = net.run(*spikes, 21.0)
        counts = net.run(*spikes, 21.0, record="counts")
        assert [len(c) for c in counts] == [17, 5]
        for layer, count in enumerate(counts):
            np.testing.assert_array_equal(
                count, np.bincount(record.of(layer)[1], minlength=len(count))
            )
        assert isinstance(record, SpikeRecord)
        assert (np.diff(record.layer) >= 0).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"delays": 0.5, "refractory": 1.0, "drive": 0.5},
        {"drive": 1.5, "recurrent": "lateral"},
        {"neuron": "alif", "recurrent": "lateral", "adapt": 0.5},
        {"neuron": "izhikevich", "drive": 5.0},
    ],
)
def test_recorded_membranes_equal_the_state_of_the_net(options):
    """A run that ends at the time of a sample leaves the sampled membrane in the net."""
    rng = np.random.default_rng(5)
    if options.get("recurrent"):
        options = options | {"recurrent": [0.2 * rng.normal(size=(4, 4)), None]}
    weights = random_net(rng, [5, 4, 3], 20.0 if options.get("neuron") == "izhikevich" else 3.0)
    net = Network.from_weights(weights, dtype=np.float64, **options)
    times, indices = random_spikes(rng, 5, 60, 20, grid=False)
    record = net.run(times, indices, 20.0, membranes={0: [0, 3], 1: [2]}, membrane_step=2.5)
    np.testing.assert_allclose(record.membrane_times, np.arange(9) * 2.5)
    assert record.membranes[0].shape == (9, 2)
    for k, t in enumerate(record.membrane_times):
        early = times <= t
        net.run(times[early], indices[early], t)
        got = [membrane_now(net, 0, 0), membrane_now(net, 0, 3), membrane_now(net, 1, 2)]
        np.testing.assert_allclose(
            [*record.membranes[0][k], record.membranes[1][k, 0]], got, atol=1e-4, rtol=1e-6
        )
    middle = net.run(times[times <= 10.0], indices[times <= 10.0], 10.0)
    later = net.run(
        times[times > 10.0] - 10.0,
        indices[times > 10.0],
        10.0,
        carry=True,
        membranes={0: [0]},
        membrane_step=2.5,
    )
    assert len(middle) + len(later) == len(record)
    np.testing.assert_allclose(
        later.membranes[0][:, 0], record.membranes[0][4:, 0], atol=1e-4, rtol=1e-6
    )


def test_each_run_starts_at_rest():
    net = Network.from_weights([np.ones((2, 2))], dtype=np.float64)
    first = net.run([1.0, 1.5], [0, 1], 5.0)
    second = net.run([1.0, 1.5], [0, 1], 5.0)
    np.testing.assert_array_equal(first.times, second.times)
    third = net.run([], [], 5.0, carry=True)
    assert len(third) == 0


def test_initial_membranes():
    net = Network.from_weights([np.full((1, 2), 0.2)], delays=1.0, dtype=np.float64)
    assert net.run([0.0], [0], 5.0, initial=[[0.9, 0.0]]).indices.tolist() == [0]
    driven = Network.from_weights(
        [[[0.0, 0.0]]], drive=2.0, reset="zero", tau=10.0, dtype=np.float64
    )
    record = driven.run([], [], 6.0, initial=[[0.5, 0.9]])
    np.testing.assert_allclose(record.times, [10 * np.log(1.1), 10 * np.log(1.5)])


def test_long_runs_keep_their_precision():
    """Long runs do not lose precision: the origin of the scaled membrane moves along."""
    net = Network.from_weights([[[0.0]]], drive=2.0, reset="zero", tau=10.0)
    record = net.run([], [], 50_000.0)
    np.testing.assert_allclose(np.diff(record.times.astype(float)), 10 * np.log(2.0), atol=0.01)


def test_importing_the_simulator_compiles_nothing():
    imports = "import loco_stream._simulator.network, loco_stream._simulator.event_loop as e"
    code = f"{imports}; assert not e.run_events.signatures"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert run_events.signatures is not None


ALLOCATIONS = """
import numpy as np
from numba.core.runtime import rtsys
from loco_stream import Network
rng = np.random.default_rng(0)
for options in ({}, {"delays": 1.0, "drive": 1.2, "recurrent": 0.1 * rng.normal(size=(9, 9))}):
    net = Network.from_weights([rng.normal(size=(20, 9))], **options)
    times, indices = np.sort(rng.uniform(0, 50, 100)), rng.integers(0, 20, 100)
    assert len(net.run(times, indices, 50.0)) > 20
    counts = []
    for n in (1, 100):
        before = rtsys.get_allocation_stats()
        net.run(times[:n], indices[:n], 50.0)
        counts.append(rtsys.get_allocation_stats().alloc - before.alloc)
    print(*counts)
"""


@pytest.mark.slow
def test_kernels_allocate_nothing():
    """What a call allocates does not depend on its number of events."""
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATIONS],
        env=os.environ | {"NUMBA_NRT_STATS": "1", "NUMBA_DISABLE_JIT": "0"},
        check=True,
        capture_output=True,
        text=True,
    )
    for line in done.stdout.splitlines():
        short, long = line.split()
        assert int(short) == int(long) < 40


REPLAY = """
import hashlib, numpy as np, sys
sys.path.insert(0, {root!r})
from tests.helpers.nets import membrane_now, queue_wiring, random_net, random_spikes
from loco_stream import Network
digest = hashlib.sha256()
for case in ("lif", "queue", "driven", "alif", "izhikevich"):
    rng = np.random.default_rng(7)
    sizes = [6, 19, 5]
    wiring = {{}} if case == "lif" else queue_wiring(rng, sizes, True, True)
    if case in ("alif", "izhikevich"):
        wiring["neuron"] = case
    if case == "driven":
        wiring |= {{"drive": 1.2, "refractory": 0.7}}
    scale = 20.0 if case == "izhikevich" else 2.0
    for dtype in (np.float32, np.float64):
        net = Network.from_weights(random_net(rng, sizes, scale), dtype=dtype, **wiring)
        record = net.run(*random_spikes(rng, 6, 60, 20, True), 20.0)
        assert len(record) > 5, case
        for a in (record.times, record.indices, record.layer):
            digest.update(a.tobytes())
        digest.update(np.array([membrane_now(net, 1, k) for k in range(5)]).tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_interpreted_and_compiled_runs_are_bit_identical():
    code = REPLAY.format(root=str(Path(__file__).parents[2]))
    runs = [
        subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-c", code],
            env=os.environ | {"NUMBA_DISABLE_JIT": off},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for off in ("0", "1")
    ]
    assert runs[0] == runs[1]
    assert len(runs[0]) == 65


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_recorded_membranes_of_single_precision_nets(reset):
    """The spikes of the record are rounded and may precede the arrivals that caused them."""
    rng = np.random.default_rng(1)
    net = Network.from_weights(
        random_net(rng, [9, 8], 4.0), delays=0.3, reset=reset, refractory=0.2
    )
    times, indices = random_spikes(rng, 9, 200, 50, grid=False)
    record = net.run(times, indices, 50.0, membranes={0: [2]}, membrane_step=5.0)
    for t, v in zip(record.membrane_times, record.membranes[0][:, 0], strict=True):
        net.run(times[times <= t], indices[times <= t], t)
        np.testing.assert_allclose(v, membrane_now(net, 0, 2), atol=1e-6)


def test_the_weights_are_read_only():
    sparse = csr_array(np.array([[0.0, 0.5], [0.25, 0.0]], np.float32))
    dense = np.array([[0.5, 0.25]], np.float32)
    first, second = Network.from_weights([dense, sparse]).weights
    np.testing.assert_array_equal(first, dense)
    np.testing.assert_array_equal(second.toarray(), sparse.toarray())
    for weights in (first, second.data):
        with pytest.raises(ValueError, match="read-only"):
            weights[0] = 1.0
