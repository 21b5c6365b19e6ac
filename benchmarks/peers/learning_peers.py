"""The peers' learning step of `python -m benchmarks learning`: backpropagation through time.

It runs in another environment (`pip install torch spikingjelly snntorch`), which does not need
loco_stream:

    python benchmarks/peers/learning_peers.py LIBRARY RASTERS.npz 784,256,256,10 [SECONDS]

The file holds `raster` (samples, 20, 784) of 0 and 1 and `y` (samples,). Every net is the same:
dense layers of leaky integrate-and-fire neurons, tau 20 ms, steps of 1 ms, subtractive reset,
arctan surrogate, cross-entropy on the output's spike counts, plain SGD, one sample per step, one
thread. It prints JSON: samples learned per CPU second.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

DECAY = math.exp(-1.0 / 20.0)
GAIN = 2.3  # norm of a neuron's weights, with which every layer fires


def linear_layers(sizes: list[int]) -> list[nn.Linear]:
    """Return dense layers whose neurons have incoming weights of norm `GAIN`."""
    layers = []
    for n_in, n_out in itertools.pairwise(sizes):
        layer = nn.Linear(n_in, n_out, bias=False)
        nn.init.normal_(layer.weight, std=GAIN / math.sqrt(n_in))
        layers.append(layer)
    return layers


class ArctanSpike(torch.autograd.Function):
    """A step forward, the slope of an arctan backward."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return (v >= 0).to(v.dtype)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        (v,) = ctx.saved_tensors
        return grad / (1.0 + (math.pi * v) ** 2)


class PlainTorch(nn.Module):
    """The net in plain torch: each layer applies its weights to all steps at once."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(linear_layers(sizes))

    def forward(self, raster: Tensor) -> Tensor:
        spikes = raster
        for layer in self.layers:
            current = layer(spikes)
            v = torch.zeros_like(current[0])
            out = []
            for step in current:
                v = v * DECAY + step
                fired = ArctanSpike.apply(v - 1.0)
                v = v - fired
                out.append(fired)
            spikes = torch.stack(out)
        return spikes.sum(0)


def spikingjelly_net(sizes: list[int]) -> Callable[[Tensor], Tensor]:
    """Return a multi-step net of SpikingJelly, its fastest kind on a CPU."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    parts: list[nn.Module] = []
    for dense in linear_layers(sizes):
        wrapped = layer.Linear(dense.in_features, dense.out_features, bias=False)
        wrapped.weight.data = dense.weight.data
        lif = neuron.LIFNode(
            tau=20.0, decay_input=False, v_reset=None, surrogate_function=surrogate.ATan()
        )
        parts += [wrapped, lif]
    net = nn.Sequential(*parts)
    functional.set_step_mode(net, "m")

    class Reset(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, raster: Tensor) -> Tensor:
            functional.reset_net(self.net)
            return self.net(raster).sum(0)

    return Reset()


def snntorch_net(sizes: list[int]) -> Callable[[Tensor], Tensor]:
    """Return a net of snnTorch that goes step by step, as in its tutorials."""
    import snntorch
    from snntorch import surrogate

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.ModuleList(linear_layers(sizes))
            grad = surrogate.atan()
            self.lif = nn.ModuleList(
                snntorch.Leaky(beta=DECAY, spike_grad=grad) for _ in self.dense
            )

        def forward(self, raster: Tensor) -> Tensor:
            memory = [lif.init_leaky() for lif in self.lif]
            total: Tensor | None = None
            for spikes in raster:
                for k, (dense, lif) in enumerate(zip(self.dense, self.lif, strict=True)):
                    spikes, memory[k] = lif(dense(spikes), memory[k])
                total = spikes if total is None else total + spikes
            assert total is not None
            return total

    return Steps()


NETS: dict[str, Callable[[list[int]], Callable[[Tensor], Tensor]]] = {
    "torch": PlainTorch,
    "spikingjelly": spikingjelly_net,
    "snntorch": snntorch_net,
}


def samples_per_second(library: str, path: str, sizes: list[int], seconds: float) -> float:
    """Learn sample after sample for about `seconds` of CPU time and return the rate."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with np.load(path) as file:
        rasters = torch.from_numpy(file["raster"].astype(np.float32))
        labels = torch.from_numpy(file["y"])
    net = NETS[library](sizes)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)

    def learn(i: int) -> None:
        counts = net(rasters[i % len(rasters)].unsqueeze(1))
        loss = nn.functional.cross_entropy(counts, labels[i % len(labels)].unsqueeze(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for i in range(5):
        learn(i)
    start = time.process_time()
    n = 0
    while time.process_time() - start < seconds:
        learn(n)
        n += 1
    return n / (time.process_time() - start)


if __name__ == "__main__":
    name, file_path, widths = sys.argv[1:4]
    limit = float(sys.argv[4]) if len(sys.argv) > 4 else 3.0
    rate = samples_per_second(name, file_path, [int(width) for width in widths.split(",")], limit)
    print(json.dumps({"samples_per_second": rate, "version": torch.__version__}))
