"""A NIR file on snnTorch or Norse: prints one JSON line.

It runs in their environment and imports nothing of ours.

Usage: nir_peers.py PEER FILE INPUTS.npy DT; the inputs are (samples, steps, inputs), DT is the step
in ms. Printed are the spikes of each neuron of the last layer in each sample; with a further
argument, who fired when is saved there.
"""

import json
import sys
from importlib.metadata import version
from typing import Any

import numpy as np

__all__ = ["main"]


def _snntorch(graph: Any, dt: float) -> Any:
    import contextlib
    import io

    import torch
    from snntorch.import_nir import import_from_nir

    if abs(dt - 0.1) > 1e-9:
        raise SystemExit("snnTorch takes every file for one of steps of 0.1 ms")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints warnings
        net = import_from_nir(graph)
    return torch, net.double()


def _norse(graph: Any, dt: float) -> Any:
    import norse.torch
    import torch

    return torch, norse.torch.from_nir(graph, dt=dt * 1e-3).double()


def main(peer: str, path: str, inputs: str, dt: float, out: str | None = None) -> None:
    """Run every sample and print how often each neuron of the last layer fired."""
    import nir

    torch, net = {"snntorch": _snntorch, "norse": _norse}[peer](nir.read(path), dt)
    samples = torch.from_numpy(np.load(inputs).astype(np.float64))
    state = None
    fired = []
    with torch.no_grad():
        for step in range(samples.shape[1]):
            spikes, state = net(samples[:, step], state)
            fired.append(spikes)
    raster = torch.stack(fired, 1).bool().numpy()
    if out is not None:
        np.save(out, raster)
    print(json.dumps({"peer": peer, "version": version(peer), "counts": raster.sum(1).tolist()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), *sys.argv[5:])
