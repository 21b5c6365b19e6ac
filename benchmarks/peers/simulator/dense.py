"""One dense net on one peer, fed sample by sample on one core: prints one JSON line.

Usage: dense.py PROBLEM.npz PEER SECONDS. The problem holds w0, w1, ... and spikes as rows (sample,
step, input). It prints samples per CPU second (the median over rounds) and the spike counts of the
first samples, layer by layer.
"""

import json
import statistics
import sys
import time

import numpy as np

TAU = 20.0
STEPS = 20
DECAY = float(np.exp(-1.0 / TAU))
CHECKED = 4  # samples whose spike counts are compared


def raster(problem, k):
    """Return sample k as (steps, inputs) zeros and ones."""
    spikes = problem["spikes"]
    x = np.zeros((STEPS, problem["w0"].shape[0]), np.float32)
    own = spikes[spikes[:, 0] == k]
    x[own[:, 1], own[:, 2]] = 1.0
    return x


def torch_net(problem):
    import torch

    torch.set_num_threads(1)
    return torch, [torch.from_numpy(w) for w in weights(problem)]


def weights(problem):
    return [problem[f"w{i}"] for i in range(len([k for k in problem.files if k.startswith("w")]))]


def spikingjelly(problem):
    torch, ws = torch_net(problem)
    from spikingjelly.activation_based import functional, layer, neuron

    parts = []
    for w in ws:
        linear = layer.Linear(*w.shape, bias=False)
        linear.weight.data = w.T.contiguous()
        node = neuron.LIFNode(tau=1 / (1 - DECAY), decay_input=False, v_threshold=1.0, v_reset=None)
        parts.append((linear, node))
    nodes = torch.nn.ModuleList([m for pair in parts for m in pair])
    functional.set_step_mode(nodes, "m")
    nodes.eval()

    def run(x):
        with torch.no_grad():
            s = torch.from_numpy(x)[:, None]
            counts = []
            for linear, node in parts:
                s = node(linear(s))
                counts.append(s.sum((0, 1)))
            functional.reset_net(nodes)
        return counts

    return run


def snntorch(problem):
    torch, ws = torch_net(problem)
    import snntorch as snn

    nodes = [
        snn.Leaky(beta=DECAY, threshold=1.0, reset_mechanism="subtract", reset_delay=False)
        for _ in ws
    ]

    def run(x):
        with torch.no_grad():
            steps = torch.from_numpy(x)
            mems = [torch.zeros(1, w.shape[1]) for w in ws]
            counts = [torch.zeros(w.shape[1]) for w in ws]
            for t in range(STEPS):
                s = steps[t : t + 1]
                for i, w in enumerate(ws):
                    s, mems[i] = nodes[i](s @ w, mems[i])
                    counts[i] += s[0]
        return counts

    return run


def torch_compiled(problem):
    torch, ws = torch_net(problem)

    def forward(x):
        counts = []
        s = x
        for w in ws:
            current = s @ w
            v = torch.zeros(w.shape[1])
            out = []
            for t in range(STEPS):
                v = v * DECAY + current[t]
                fired = (v >= 1.0).float()
                v = v - fired
                out.append(fired)
            s = torch.stack(out)
            counts.append(s.sum(0))
        return counts

    compiled = torch.compile(forward)

    def run(x):
        with torch.no_grad():
            return compiled(torch.from_numpy(x))

    return run


def nengo(problem):
    import nengo

    ws = weights(problem)
    now = {"x": np.zeros((STEPS, ws[0].shape[0])), "t": 0}

    def feed(t):
        return now["x"][(round(t * 1000) - 1) % STEPS]

    with nengo.Network() as net:
        source = nengo.Node(feed, size_out=ws[0].shape[0])
        probes = []
        for w in ws:
            group = nengo.Ensemble(
                w.shape[1],
                1,
                neuron_type=nengo.LIF(tau_rc=TAU / 1000, tau_ref=0.0, amplitude=0.001),
                gain=np.ones(w.shape[1]),
                bias=np.zeros(w.shape[1]),
            )
            nengo.Connection(source, group.neurons, transform=w.T * TAU, synapse=None)
            probes.append(nengo.Probe(group.neurons))
            source = group.neurons
    sim = nengo.Simulator(net, dt=0.001, progress_bar=False)

    def run(x):
        now["x"] = x
        sim.clear_probes()
        sim.run_steps(STEPS, progress_bar=False)
        return [np.asarray(sim.data[p]).astype(bool).sum(0) for p in probes]

    return run


def nest(problem):
    import nest as simulator

    simulator.set_verbosity("M_ERROR")
    simulator.ResetKernel()
    simulator.SetKernelStatus({"resolution": 1.0, "local_num_threads": 1})
    ws = weights(problem)
    gap = 300.0  # ms of silence, after which all membranes are at rest
    source = simulator.Create("spike_generator", ws[0].shape[0])
    layers = []
    recorders = []
    neuron = {
        "V_th": 1.0,
        "V_reset": 0.0,
        "E_L": 0.0,
        "V_m": 0.0,
        "tau_m": TAU,
        "t_ref": 0.0,
        "C_m": 1.0,
    }
    previous = source
    for w in ws:
        layer = simulator.Create("iaf_psc_delta", w.shape[1], params=neuron)
        simulator.Connect(
            previous, layer, "all_to_all", {"weight": w.T.astype(float), "delay": 1.0}
        )
        recorder = simulator.Create("spike_recorder")
        simulator.Connect(layer, recorder)
        layers.append(layer)
        recorders.append(recorder)
        previous = layer

    def run(x, rest=False):
        start = simulator.biological_time
        simulator.SetStatus(
            source,
            [
                {"spike_times": (start + 1.0 + np.flatnonzero(x[:, j])).tolist()}
                for j in range(x.shape[1])
            ],
        )
        simulator.Simulate(STEPS + len(ws) + 1.0)
        counts = []
        for layer, recorder in zip(layers, recorders, strict=True):
            senders = np.asarray(recorder.get("events", "senders"), dtype=int)
            counts.append(np.bincount(senders - layer[0].global_id, minlength=len(layer)))
            recorder.set(n_events=0)
        if rest:
            for layer in layers:
                layer.V_m = 0.0
            simulator.Simulate(gap)
            for layer, recorder in zip(layers, recorders, strict=True):
                layer.V_m = 0.0
                recorder.set(n_events=0)
        return counts

    run.rest = True
    return run


def brian2(problem):
    import brian2 as b2

    b2.prefs.codegen.target = "cython"
    b2.defaultclock.dt = 1 * b2.ms
    ws = weights(problem)
    generator = b2.SpikeGeneratorGroup(ws[0].shape[0], [], [] * b2.ms)
    objects = [generator]
    monitors = []
    groups = []
    previous = generator
    for w in ws:
        group = b2.NeuronGroup(
            w.shape[1],
            "dv/dt = -v / (20 * ms) : 1",
            threshold="v >= 1",
            reset="v = 0",
            method="exact",
        )
        synapses = b2.Synapses(previous, group, "w : 1", on_pre="v_post += w")
        synapses.connect()
        synapses.w = w[synapses.i, synapses.j]
        monitor = b2.SpikeMonitor(group, record=False)
        objects += [group, synapses, monitor]
        monitors.append(monitor)
        groups.append(group)
        previous = group
    net = b2.Network(*objects)
    # Synapses before thresholds: a jump at t can fire at t; what a layer fires then reaches the
    # next one at t + dt.
    net.schedule = ["start", "groups", "synapses", "thresholds", "resets", "end"]

    def run(x, rest=False):
        step, index = np.nonzero(x)
        now = net.t
        generator.set_spikes(index, step * b2.ms + now)
        for group in groups:
            group.v = 0
        before = [np.array(m.count) for m in monitors]
        net.run((STEPS + len(ws)) * b2.ms)
        return [np.array(m.count) - b for m, b in zip(monitors, before, strict=True)]

    return run


PEERS = {
    "spikingjelly": spikingjelly,
    "snntorch": snntorch,
    "torch.compile": torch_compiled,
    "nengo": nengo,
    "nest": nest,
    "brian2": brian2,
}


def main(path, peer, budget):
    problem = np.load(path)
    n = int(problem["spikes"][:, 0].max()) + 1
    samples = [raster(problem, k) for k in range(n)]
    run = PEERS[peer](problem)
    counts = []
    for x in samples[:CHECKED]:
        got = run(x, rest=True) if getattr(run, "rest", False) else run(x)
        counts.append([np.asarray(c).round().astype(int).tolist() for c in got])
    rates = []
    spent = 0.0
    k = 0
    while spent < budget or len(rates) < 7:
        chunk = max(1, min(16, int(0.1 * (statistics.median(rates) if rates else 1))))
        start = time.process_time()
        for _ in range(chunk):
            run(samples[k % n])
            k += 1
        took = time.process_time() - start
        rates.append(chunk / took)
        spent += took
    package = {"torch.compile": "torch", "nest": "nest-simulator"}.get(peer, peer)
    from importlib.metadata import version

    print(
        json.dumps(
            {
                "peer": peer,
                "version": version(package),
                "rate": statistics.median(rates),
                "counts": counts,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
