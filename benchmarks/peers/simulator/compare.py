"""The simulator compared with others on the same weights and spikes; writes JSON and a table.

Usage: compare.py PYTHON-OF-THE-PEERS OUT-DIRECTORY [--seconds S] [--seeds N]

Spike counts are compared where the models agree. spikingjelly, snntorch and torch step as we do (1
ms steps, decay, add, fire, subtract) in single precision: samples are compared with our counts,
neuron by neuron. NEST and Brian2 need a step per layer for a spike to arrive: they are compared
with the same net with delays of 1 ms. They reset to zero, and so does ours beside them: NEST's
neuron knows no other, and a clocked neuron that a subtraction leaves above threshold fires again at
every step, ours at the next arrival. snntorch fires above the threshold only and resets before the
next decay, so that its counts differ. nengo's neuron interpolates within a step and is only timed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.grid import Grid
from benchmarks.machine import cpu_seconds, record
from benchmarks.simulator import recurrent_net
from benchmarks.simulator_nets import SIZES, STEPS, brette4, workload
from loco_stream import Network

HERE = Path(__file__).parent
PEERS = ("spikingjelly", "snntorch", "torch.compile", "nengo", "nest", "brian2")
LIKE = {  # parameters of this package's net that match the peer's
    "spikingjelly": {},
    "snntorch": {},
    "torch.compile": {},
    "nest": {"delays": 1.0, "reset": "zero", "dtype": np.float64},
    "brian2": {"delays": 1.0, "reset": "zero", "dtype": np.float64},
}


def run_peer(python, script, *words):
    """Run a peer's script and return its JSON output, or print its error and return None."""
    command = [str(python), str(HERE / script), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        print(
            f"{script} {' '.join(map(str, words))} failed:\n{done.stderr[-500:]}", file=sys.stderr
        )
        return None
    return json.loads(lines[-1])


def our_rate(net, samples):
    """Return this package's samples per CPU second, with one Python call per sample."""

    def work():
        for times, indices in samples:
            net.run(times, indices, STEPS, record="counts")

    work()
    return statistics.median(len(samples) / cpu_seconds(work)[0] for _ in range(9))


def agreement(like, weights, samples, counts):
    """Return the share of neurons whose spike counts are equal, and the spikes on both sides."""
    net = Network.from_weights(weights, **like)
    late = 0.0 if "delays" not in like else float(len(weights))
    equal = total = ours = theirs = 0
    for spikes, theirs_of in zip(samples, counts, strict=False):
        mine = net.run(*spikes, STEPS - 1 + late, record="counts")
        for a, b in zip(mine, theirs_of, strict=True):
            equal += int((a == np.array(b)).sum())
            total += len(a)
            ours += int(a.sum())
            theirs += int(np.sum(b))
    return {"equal_neurons": equal / total, "spikes": ours, "peer_spikes": theirs}


def dense(name, python, seconds):
    """Return the rates of the peers, and this package's before and after each."""
    weights, samples = workload(name)
    net = Network.from_weights(weights)
    rows = [
        np.column_stack((np.full(len(t), k), t.astype(int), i)) for k, (t, i) in enumerate(samples)
    ]
    out = {"peers": {}}
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.npz"
        np.savez(path, spikes=np.concatenate(rows), **{f"w{i}": w for i, w in enumerate(weights)})
        for peer in PEERS:
            rates.append(our_rate(net, samples))
            answer = run_peer(python, "dense.py", path, peer, seconds)
            if answer is None:
                continue
            counts = answer.pop("counts")
            if peer in LIKE:
                answer |= agreement(LIKE[peer], weights, samples, counts)
            out["peers"][peer] = answer
    rates.append(our_rate(net, samples))
    return out | {"rate": statistics.median(rates)}


def benchmark4(delay, python, seeds, repeats=5):
    """Return seconds and firing rates of this package and of Brian2 `cpp_standalone`, by seed."""
    out = {"ours": [], "brian2": []}
    for seed in range(seeds):
        problem = brette4(seed, delay)
        net = recurrent_net(problem)
        result = net.run([], [], 1000.0, initial=[problem["v0"]])
        took = [
            cpu_seconds(lambda n=net, v=problem["v0"]: n.run([], [], 1000.0, initial=[v]))[0]
            for _ in range(repeats)
        ]
        out["ours"].append({"rate": float(result.rates()[0]), "seconds": took})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "problem.npz"
            np.savez(
                path,
                **problem,
                dt=0.1,
                refractory=5.0,
                drive=11.0,
                repeats=repeats if seed == 0 else 1,
            )
            answer = run_peer(python, "brette4_brian2.py", path, 1.0)
        if answer is not None:
            out["brian2"].append({"rate": answer["rate"], "seconds": answer["seconds"]})
    return out


def tables(results):
    grids = []
    for name in SIZES:
        if name not in results:
            continue
        r = results[name]
        grid = Grid(
            f"{name}, sample by sample, samples per CPU second",
            ["simulator", "samples/s", "ours is", "equal counts"],
        )
        grid.row("loco_stream", f"{r['rate']:,.0f}", "", "")
        for peer, p in r["peers"].items():
            equal = f"{100 * p['equal_neurons']:.2f} % of neurons" if "equal_neurons" in p else "-"
            grid.row(
                f"{peer} {p['version']}",
                f"{p['rate']:,.1f}",
                f"{r['rate'] / p['rate']:,.0f}x",
                equal,
            )
        grids.append(grid)
    grid = Grid(
        "benchmark 4, 1 s of 4000 neurons",
        ["delay, ms", "ours, s", "Brian2, s", "ratio", "rates, ours", "Brian2"],
    )
    for key, r in results.items():
        if not key.startswith("brette4") or not r["brian2"]:
            continue
        ours, theirs = (statistics.median(r[who][0]["seconds"]) for who in ("ours", "brian2"))
        rates = [np.mean([run["rate"] for run in r[who]]) for who in ("ours", "brian2")]
        cells = [
            f"{ours:.3f}",
            f"{theirs:.3f}",
            f"{theirs / ours:.2f}x",
            *(f"{rate:.3f}" for rate in rates),
        ]
        grid.row(key.partition("/")[2], *cells)
    return [*grids, grid]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--only",
        help="measure only one part (W1, W1-deep, brette4/1.0, ...) and keep the other results",
    )
    args = parser.parse_args()
    path = args.out / "simulator-peers.json"
    results = json.loads(path.read_text(encoding="utf-8")) if args.only and path.exists() else {}
    results["environment"] = record()
    for part in (
        [args.only] if args.only else [*SIZES, "brette4/0.1", "brette4/1.0", "brette4/spread"]
    ):
        if part in SIZES:
            results[part] = dense(part, args.python, args.seconds)
        else:
            results[part] = benchmark4(part.partition("/")[2], args.python, args.seeds)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for grid in tables(results):
        print(grid.markdown() + "\n")


if __name__ == "__main__":
    main()
