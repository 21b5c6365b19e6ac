"""`python -m benchmarks simulator`.

The simulator compared with a plain loop that gathers rows of weights.
"""

from __future__ import annotations

import resource
from itertools import pairwise
from time import perf_counter
from typing import Any

import click
import numpy as np

from benchmarks.grid import Grid
from benchmarks.machine import cpu_seconds, median
from benchmarks.options import Settings, common
from benchmarks.runs import Run
from benchmarks.simulator_nets import SIZES, STEPS, bernoulli, brette4, row_gather, workload
from loco_stream import Network
from loco_stream._compiler.processors import n_processors
from loco_stream._simulator.queued_net import QueuedNet

__all__ = ["command", "grids", "recurrent_net", "run"]

_DENSITIES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
_OPERATIONS = ("effective_macs", "effective_acs", "dense", "spikes")
_DELAYS = ("0.1", "1.0", "spread")
_SIZES = (4_000, 10_000, 40_000)  # numbers of neurons; connections per neuron are constant
_SECOND = 1000.0  # ms
_WINDOW = 2.0  # ms
_DT = 0.1  # ms
_LEARNED = 1297  # rows of digits; 500 remain for testing


def feed_forward(name: str, repeats: int) -> dict[str, Any]:
    """Time a call per sample, counts only or all spikes recorded, and the row gather."""
    weights, samples = workload(name)
    net = Network.from_weights(weights)
    sizes = SIZES[name]
    events = np.zeros(len(weights))
    for spikes in samples:
        counts = net.run(*spikes, STEPS, record="counts")
        sent = [len(spikes[0]), *(int(count.sum()) for count in counts[:-1])]
        events += np.multiply(sent, sizes[1:]) / len(samples)
    taken: dict[str, list[float]] = {"counts": [], "spikes": []}
    gathers: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(repeats):
        for record, seconds in taken.items():
            passes = 5

            def work(record: Any = record, passes: int = passes) -> None:
                for _ in range(passes):
                    for times, indices in samples:
                        net.run(times, indices, STEPS, record=record)

            seconds.append(cpu_seconds(work)[0] / passes / len(samples))
        for on_lines, gathered in gathers.items():
            rates = {shape: row_gather(*shape, on_lines) for shape in set(pairwise(sizes[:-1]))}
            shapes = pairwise(sizes[:-1])
            gathered.append(sum(n / rates[shape] for n, shape in zip(events, shapes, strict=False)))
    ours = median(taken["counts"])
    return {
        "synaptic_events": float(events.sum()),
        "us_per_sample": 1e6 * ours,
        "us_per_sample_spikes": 1e6 * median(taken["spikes"]),
        "samples_per_second": 1 / ours,
        "events_per_second": float(events.sum()) / ours,
        "us_row_gather": 1e6 * median(gathers[False]),
        "share_of_row_gather": median(gathers[False]) / ours,
        "us_row_gather_on_lines": 1e6 * median(gathers[True]),
        "share_of_row_gather_on_lines": median(gathers[True]) / ours,
        "repeats": repeats,
    }


def batches(name: str, repeats: int) -> dict[str, Any]:
    """Time a thousand samples with one call each, and with one call on all cores, in turn.

    Elapsed time depends on the load of the cores, CPU time does not.
    """
    weights, samples = workload(name)
    net = Network.from_weights(weights)
    many = samples * 16
    net.run_many(samples, STEPS)
    timed: list[list[float]] = []
    for _ in range(repeats):
        for work in (
            lambda: [net.run(*spikes, STEPS) for spikes in many],
            lambda: net.run_many(many, STEPS),
        ):
            began = perf_counter()
            cpu = cpu_seconds(work)[0]
            timed.append([perf_counter() - began, cpu])
    alone, together = ((np.median(timed[k::2], axis=0) / len(many)).tolist() for k in (0, 1))
    return {
        "us_one_by_one": 1e6 * alone[0],
        "us_batch": 1e6 * together[0],
        "speed_up": alone[0] / together[0],
        "cpu_us_one_by_one": 1e6 * alone[1],
        "cpu_us_batch": 1e6 * together[1],
        "cores": n_processors(),
    }


def density(p: float, repeats: int) -> dict[str, Any]:
    """Time one layer, 784-256, whose inputs fire with probability `p` in each step."""
    rng = np.random.default_rng(1)
    net = Network.from_weights([(rng.normal(size=(784, 256)) / 28).astype(np.float32)])
    samples = [bernoulli(rng, 784, p) for _ in range(16)]

    def work() -> None:
        for _ in range(40):
            for times, indices in samples:
                net.run(times, indices, STEPS, record="counts")

    work()
    return {"us_per_sample": 1e6 * median([cpu_seconds(work)[0] for _ in range(repeats)]) / 640}


def recurrent_net(problem: dict[str, Any], dtype: Any = np.float64) -> Network:
    """Return benchmark 4 as a `Network`."""
    from scipy.sparse import csr_array

    n = len(problem["v0"])
    shape = (n, n)
    place = (problem["source"], problem["target"])
    delay = problem["delay"]
    delays = csr_array((delay, place), shape=shape) if np.ndim(delay) else float(delay)
    return Network.from_weights(
        [csr_array((1, n))],
        tau=20.0,
        threshold=10.0,
        reset="zero",
        drive=11.0,
        refractory=5.0,
        dtype=dtype,
        recurrent=csr_array((problem["weight"], place), shape=shape),
        recurrent_delays=delays,
    )


def benchmark4(delay: str, repeats: int) -> dict[str, Any]:
    """Time one second of benchmark 4, all spikes recorded, in double precision."""
    problem = brette4(0, delay)
    net = recurrent_net(problem)
    initial = [problem["v0"]]
    record = net.run([], [], _SECOND, initial=initial)
    seconds = [
        cpu_seconds(lambda: net.run([], [], _SECOND, initial=initial))[0] for _ in range(repeats)
    ]
    events = len(record) * len(problem["source"]) / len(problem["v0"])
    return {
        "seconds": median(seconds),
        "rate": float(record.rates()[0]),
        "spikes": len(record),
        "events_per_second": events / median(seconds),
    }


def size(n: int, repeats: int) -> dict[str, Any]:
    """Time one second of `n` neurons with the fan-out of benchmark 4, and measure memory.

    Every connection has its own delay.
    """
    problem = brette4(0, "spread", n)
    net = recurrent_net(problem)
    initial = [problem["v0"]]
    record = net.run([], [], _SECOND, initial=initial)
    seconds = median(
        [cpu_seconds(lambda: net.run([], [], _SECOND, initial=initial))[0] for _ in range(repeats)]
    )
    events = len(record) * len(problem["source"]) / n
    assert isinstance(net._net, QueuedNet)
    layer = net._net.layers[0]
    held = {
        "connections": layer.connections,
        "neurons": (layer.neurons.state,),
        "queue and spikes": (*layer.queue, *layer.run_state, *layer.arrivals),
    }
    return {
        "seconds": seconds,
        "spikes": len(record),
        "fan_out": len(problem["source"]) / n,
        "ns_per_event": 1e9 * seconds / events,
        "mib": {
            name: sum(array.nbytes for array in arrays) / 2**20 for name, arrays in held.items()
        },
    }


def operations(seed: int) -> dict[str, Any]:
    """Count synaptic operations per row in NeuroBench's terms for a net trained on digits.

    Input currents are constant within a window, so that each is multiplied by its weights once; a
    spike of a hidden neuron adds its row of the readout. Effective
    operations leave out multiplications by zero; dense operations count all weights, those of the
    readout in each step.

    References
    ----------
    Yik et al. 2025, The neurobench framework for benchmarking neuromorphic computing, Nature
    Communications 16.
    """
    from sklearn.datasets import load_digits

    from loco_stream import AdvancedOptions, LOCOClassifier

    X, y = load_digits(return_X_y=True)
    advanced = AdvancedOptions(
        readout="delta",
        readout_layers="hidden",
        receptive_fields=1,
        window=_WINDOW,
        dt=_DT,
        reset="zero",
    )
    model = LOCOClassifier(hidden_sizes=128, seed=seed, advanced=advanced)
    for _ in range(2):
        model.learn_array(X[:_LEARNED], y[:_LEARNED])
    net = model.to_network()
    currents = model.encode_array(X[_LEARNED:])
    steps = round(_WINDOW / _DT)
    spikes = net.run_clocked(np.repeat(currents[:, None], steps, axis=1), _DT)[0].sum(axis=(1, 2))
    n_classes = len(model.classes)
    return {
        "accuracy": float(np.mean(model.predict_array(X[_LEARNED:]) == y[_LEARNED:])),
        "effective_macs": float(np.count_nonzero(currents, axis=1).mean() * net.sizes[0]),
        "effective_acs": float(spikes.mean() * n_classes),
        "dense": net.n_inputs * net.sizes[0] + steps * net.sizes[0] * n_classes,
        "spikes": float(spikes.mean()),
    }


def memory(calls: int) -> dict[str, Any]:
    """Measure the memory that is not freed after many calls."""
    rng = np.random.default_rng(2)
    net = Network.from_weights([(rng.normal(size=(64, 64)) / 4).astype(np.float32)])
    samples = [bernoulli(rng, 64, 0.1) for _ in range(16)]
    peaks = []
    for _ in range(2):
        for k in range(calls // 2):
            net.run(*samples[k % 16], STEPS)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return {
        "calls": calls,
        "peak_kib_first_half": peaks[0],
        "peak_kib": peaks[1],
        "growth_kib": peaks[1] - peaks[0],
    }


def run(repeats: int = 9, calls: int = 1_000_000) -> dict[str, dict[str, Any]]:
    """Return all measurements by name, ready for JSON; times are medians of `repeats`."""
    return {
        name: job.measure(**job.arguments)
        for name, job in ((job.key, job) for job in _jobs(repeats, calls))
    }


def _jobs(repeats: int, calls: int) -> list[Run]:
    return [
        *(Run(name, feed_forward, {"name": name, "repeats": repeats}) for name in SIZES),
        *(Run(f"run_many/{name}", batches, {"name": name, "repeats": repeats}) for name in SIZES),
        *(Run(f"density/{p}", density, {"p": p, "repeats": repeats}) for p in _DENSITIES),
        *(
            Run(f"brette4/{delay}", benchmark4, {"delay": delay, "repeats": repeats})
            for delay in _DELAYS
        ),
        *(Run(f"size/{n}", size, {"n": n, "repeats": min(repeats, 5)}) for n in _SIZES),
        Run("operations", operations, {"seed": 1}),
        Run("memory", memory, {"calls": calls}),
    ]


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the tables of all measurements."""
    dense = Grid(
        "dense nets, one Python call per sample, CPU time; share of the row gather, which adds as "
        "many rows, eight per pass, in numpy's alignment (on cache lines)",
        [
            "net",
            "events",
            "us",
            "us, spikes recorded",
            "samples/s",
            "G events/s",
            "row gather us",
            "share",
        ],
    )
    batch = Grid(
        "1024 samples, all spikes recorded: one `run` each, and one `run_many`; elapsed us per "
        "sample (CPU us)",
        ["net", "cores", "run", "run_many", "faster"],
    )
    cost = Grid("784-256, 20 steps: us per sample by input density", ["density", "us"])
    recurrent = Grid(
        "Brette et al. 2007, benchmark 4: 4000 neurons, 1 s, double precision",
        ["delay, ms", "s", "spikes", "rate, 1/s", "M events/s"],
    )
    sizes = Grid(
        "the same with a delay per connection and constant fan-out, by size: time per synaptic "
        "event, and memory",
        [
            "neurons",
            "fan-out",
            "s",
            "spikes",
            "ns per event",
            "MiB: connections",
            "neurons",
            "queue and spikes",
        ],
    )
    counted = Grid(
        "synaptic operations per sample (NeuroBench): digits, 500 test rows",
        ["accuracy", "effective MACs", "effective ACs", "dense", "spikes"],
    )
    rest = Grid("memory", ["calls", "peak, KiB", "growth in their second half, KiB"])
    for key, r in results.items():
        name, _, part = key.partition("/")
        if name in SIZES:
            dense.row(
                name,
                f"{r['synaptic_events']:,.0f}",
                f"{r['us_per_sample']:.1f}",
                f"{r['us_per_sample_spikes']:.1f}",
                f"{r['samples_per_second']:,.0f}",
                f"{r['events_per_second'] / 1e9:.1f}",
                f"{r['us_row_gather']:.1f} ({r['us_row_gather_on_lines']:.1f})",
                f"{100 * r['share_of_row_gather']:.0f} % "
                f"({100 * r['share_of_row_gather_on_lines']:.0f} %)",
            )
        elif name == "run_many":
            batch.row(
                part,
                str(r["cores"]),
                f"{r['us_one_by_one']:.1f} ({r['cpu_us_one_by_one']:.1f})",
                f"{r['us_batch']:.1f} ({r['cpu_us_batch']:.1f})",
                f"{r['speed_up']:.2f}x",
            )
        elif name == "density":
            cost.row(part, f"{r['us_per_sample']:.1f}")
        elif name == "brette4":
            rate = f"{r['rate']:.2f}"
            recurrent.row(
                part,
                f"{r['seconds']:.4f}",
                str(r["spikes"]),
                rate,
                f"{r['events_per_second'] / 1e6:.0f}",
            )
        elif name == "size":
            held = (f"{mib:.1f}" for mib in r["mib"].values())
            fixed = (
                f"{int(part):,}",
                f"{r['fan_out']:.1f}",
                f"{r['seconds']:.3f}",
                f"{r['spikes']:,}",
            )
            sizes.row(*fixed, f"{r['ns_per_event']:.1f}", *held)
        elif name == "operations":
            counted.row(f"{r['accuracy']:.3f}", *(f"{r[k]:,.0f}" for k in _OPERATIONS))
        else:
            rest.row(f"{r['calls']:,}", f"{r['peak_kib']:,}", str(r["growth_kib"]))
    return [grid for grid in (dense, batch, cost, recurrent, sizes, counted, rest) if grid.rows]


@click.command("simulator")
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=9,
    show_default=True,
    help="Repeats of each measurement, of which the median is taken.",
)
@click.option(
    "--calls",
    type=click.IntRange(min=2),
    default=1_000_000,
    show_default=True,
    help="Calls in the measurement of memory.",
)
@common(seeds=1)
def command(settings: Settings, repeats: int, calls: int) -> None:
    """Time the simulator on dense and recurrent nets, and on batches.

    \b
    Examples
      python -m benchmarks simulator
      python -m benchmarks simulator --repeats 3 --calls 10000
    """
    settings.anew().run("simulator", _jobs(repeats, calls), grids)
