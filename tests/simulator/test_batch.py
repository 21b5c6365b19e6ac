"""`Network.run_many` gives the results of single runs, on any number of threads."""

import pickle
import threading

import numpy as np
import pytest
from scipy.sparse import random_array

from loco_stream import Network
from loco_stream.errors import InputError

NEURONS = 30


def dense(**options):
    rng = np.random.default_rng(0)
    return Network.from_weights(
        [rng.normal(0, 0.5, (12, NEURONS)), rng.normal(0, 0.5, (NEURONS, 5))], **options
    )


def delayed(**options):
    rng = np.random.default_rng(1)
    ring = random_array(
        (NEURONS, NEURONS), density=0.2, rng=rng, data_sampler=lambda size: rng.normal(0, 0.4, size)
    )
    return Network.from_weights(
        [rng.normal(0, 0.6, (12, NEURONS))], delays=1.5, recurrent=ring, **options
    )


NETS = {
    "float32": dense,
    "float64": lambda: dense(dtype="float64", reset="zero"),
    "delays": delayed,
    "drive": lambda: delayed(drive=1.2, refractory=1.0),
    "alif": lambda: dense(neuron="alif"),
}


def samples(n=23):
    """Return samples of different lengths; some are empty, one is long."""
    rng = np.random.default_rng(2)
    sizes = [*rng.integers(0, 60, n - 1), 3000]
    return [(np.sort(rng.uniform(0, 50, size)), rng.integers(0, 12, size)) for size in sizes]


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 5, None])
@pytest.mark.parametrize("name", NETS)
def test_results_equal_single_runs(name, threads):
    net = NETS[name]()
    ours = net.run_many(samples(), 50.0, threads=threads)
    single = [net.run(*sample, 50.0) for sample in samples()]
    counts = net.run_many(samples(), 50.0, record="counts", threads=threads)
    assert sum(map(len, single)) > 1000
    assert len(ours) == len(counts) == len(single)
    for batch, count, alone, sample in zip(ours, counts, single, samples(), strict=True):
        for field in ("times", "indices", "layer"):
            np.testing.assert_array_equal(getattr(batch, field), getattr(alone, field), strict=True)
        assert (batch.sizes, batch.duration) == (alone.sizes, alone.duration)
        for ours_of, theirs_of in zip(count, net.run(*sample, 50.0, record="counts"), strict=True):
            np.testing.assert_array_equal(ours_of, theirs_of, strict=True)


@pytest.mark.parametrize("name", NETS)
def test_a_pickled_network_runs_as_before(name):
    net = NETS[name]()
    again = pickle.loads(pickle.dumps(net)).run(*samples()[-1], 50.0)
    assert len(again) > 0
    assert again.times.tobytes() == net.run(*samples()[-1], 50.0).times.tobytes()


def test_samples_of_currents():
    net = Network.from_weights([np.random.default_rng(3).normal(size=(4, 6))], inputs="currents")
    currents = np.random.default_rng(4).uniform(0, 2, (9, 4))
    for batch, row in zip(net.run_many(currents, 40.0), currents, strict=True):
        alone = net.run([], [], 40.0, currents=row)
        assert batch.times.tobytes() == alone.times.tobytes()
        assert batch.indices.tolist() == alone.indices.tolist()


@pytest.mark.parametrize("name", ["float32", "delays"])
def test_the_state_of_the_net_is_unchanged(name):
    net = NETS[name]()
    twin = NETS[name]()
    for each in (net, twin):
        each.run(*samples()[3], 50.0)
    net.run_many(samples(), 50.0)
    ours, theirs = (each.run(*samples()[4], 50.0, carry=True) for each in (net, twin))
    assert ours.times.tobytes() == theirs.times.tobytes()


def test_copies_run_in_parallel():
    net = delayed(drive=1.2)
    alone = net.run([], [], 300.0)
    together = {}

    def work(k, own):
        together[k] = own.run([], [], 300.0)

    threads = [threading.Thread(target=work, args=(k, net.copy())) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[k].times.tobytes() == alone.times.tobytes() for k in range(4)] == [True] * 4
    assert len(alone) > 100


def test_samples_may_be_none_or_a_generator():
    assert dense().run_many([], 10.0) == []
    assert len(dense().run_many((sample for sample in samples()), 50.0)) == 23


def test_a_record_is_pickled_without_the_others():
    first = dense().run_many(samples(), 50.0)[0]
    assert len(pickle.dumps(first)) < 5000


@pytest.mark.parametrize("name", ["float32", "delays"])
@pytest.mark.parametrize(
    ("sample", "text"),
    [
        (([1.0], [99]), r"`samples\[7\]`: `indices\[0\]` must be an input from 0 to 11, got 99"),
        (([2.0, 1.0], [0, 0]), r"`samples\[7\]`: `times` must be sorted, got .* 1 after 2"),
        (([1.0], [0, 0]), r"`samples\[7\]`: `times` and `indices` must be lists of the same"),
        (3.0, r"`samples\[7\]`: it must be a pair \(times, indices\), got float"),
    ],
)
def test_errors_name_the_sample(name, sample, text):
    given = samples()
    given[7] = sample
    with pytest.raises(InputError, match=text):
        NETS[name]().run_many(given, 50.0)


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="`threads` must be None or a whole number from 1, got 0"):
        dense().run_many(samples(), 50.0, threads=0)
    with pytest.raises(InputError, match="`record` must be 'spikes' or 'counts', got 'all'"):
        dense().run_many(samples(), 50.0, record="all")
    with pytest.raises(InputError, match=r"`duration` must be .*, got -1"):
        dense().run_many(samples(), -1.0)
