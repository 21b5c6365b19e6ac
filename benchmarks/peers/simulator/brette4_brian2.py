"""Benchmark 4 of Brette et al. 2007 on Brian2 `cpp_standalone`: prints one JSON line.

Usage: brette4_brian2.py PROBLEM.npz SECONDS; the problem holds weights (CSR), delays, membranes at
the start. The time is that of the compiled binary's run function only.
"""

import json
import shutil
import sys
import tempfile

import brian2 as b2
import numpy as np


def main(path, seconds):
    problem = np.load(path)
    n = len(problem["v0"])
    folder = tempfile.mkdtemp()
    b2.set_device("cpp_standalone", directory=folder, build_on_run=False)
    b2.prefs.devices.cpp_standalone.openmp_threads = 0
    b2.defaultclock.dt = float(problem["dt"]) * b2.ms
    neurons = b2.NeuronGroup(
        n,
        "dv/dt = (drive - v) / tau : 1 (unless refractory)",
        threshold="v >= 10",
        reset="v = 0",
        refractory=float(problem["refractory"]) * b2.ms,
        method="exact",
        namespace={"drive": float(problem["drive"]), "tau": 20 * b2.ms},
    )
    neurons.v = problem["v0"]
    synapses = b2.Synapses(
        neurons, neurons, "w : 1", on_pre="v_post += w * int(not_refractory_post)"
    )
    synapses.connect(i=problem["source"], j=problem["target"])
    synapses.w = problem["weight"]
    delay = problem["delay"]
    synapses.delay = (delay if delay.ndim else float(delay)) * b2.ms
    spikes = b2.SpikeMonitor(neurons)
    net = b2.Network(neurons, synapses, spikes)
    net.run(seconds * b2.second)
    b2.device.build(directory=folder, compile=True, run=True, with_output=False)
    took = [float(b2.device._last_run_time)]
    for _ in range(int(problem["repeats"]) - 1):
        b2.device.run(directory=folder, with_output=False, run_args=[])
        took.append(float(b2.device._last_run_time))
    rate = len(spikes.t) / n / seconds
    print(json.dumps({"peer": "brian2", "version": b2.__version__, "rate": rate, "seconds": took}))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
