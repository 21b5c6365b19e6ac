"""Run a NIR file on snnTorch or Norse and compare its spike counts with a saved run.

Usage: nir_peers.py PEER FILE RUN.npz [SPIKES.npy]

PEER is snntorch or norse; the script runs in their environment and does not import loco_stream.
RUN.npz, written by `loco-stream nir FILE --save RUN.npz`, has `inputs` (samples, steps, inputs),
`dt` in ms, and optionally `counts`, the spikes of each neuron of the last layer in each sample.
Prints one JSON line with the counts and, given `counts`, how many of them differ; the exit code is
1 if any do. Spikes of all steps are saved to SPIKES.npy.
"""

import contextlib
import io
import json
import sys
from importlib.metadata import version

import numpy as np


def _snntorch(graph, dt):
    import torch
    from snntorch.import_nir import import_from_nir

    if abs(dt - 0.1) > 1e-9:
        raise SystemExit("snnTorch assumes a time step of 0.1 ms")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints warnings
        net = import_from_nir(graph)
    return torch, net.double()


def _norse(graph, dt):
    import norse.torch
    import torch

    return torch, norse.torch.from_nir(graph, dt=dt * 1e-3).double()


def main(peer, path, run, out=None):
    """Run every sample and print the spike counts of the last layer."""
    import nir

    saved = np.load(run)
    torch, net = {"snntorch": _snntorch, "norse": _norse}[peer](nir.read(path), float(saved["dt"]))
    samples = torch.from_numpy(saved["inputs"].astype(np.float64))
    state = None
    fired = []
    with torch.no_grad():
        for step in range(samples.shape[1]):
            spikes, state = net(samples[:, step], state)
            fired.append(spikes)
    raster = torch.stack(fired, 1).bool().numpy()
    if out is not None:
        np.save(out, raster)
    counts = raster.sum(1)
    result = {"peer": peer, "version": version(peer), "counts": counts.tolist()}
    if "counts" in saved:
        result["differ"] = int((counts != saved["counts"]).sum())
    print(json.dumps(result))
    return result.get("differ", 0) > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
