"""Make the files of this folder: nets, inputs, and the spikes of snnTorch and Norse.

Usage, from the root: python tests/data/nir/make_nir.py PYTHON, a Python with snntorch and norse.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.helpers.digits_net import DT, TRAINED, constant_currents, digits, trained

HERE = Path(__file__).parent
SCRIPT = HERE.parents[2] / "benchmarks" / "peers" / "nir_peers.py"
ROWS = 100
OWN_NET = """
import numpy as np, snntorch as snn, torch
from snntorch.export_nir import export_to_nir
import nir
torch.manual_seed(3)
def leaky(n, **more):  # one number per neuron, as nir's check of types requires
    return snn.Leaky(beta=torch.full((n,), 0.99), threshold=torch.full((n,), 1.0),
                     reset_mechanism="zero", reset_delay=False, init_hidden=True, **more)
net = torch.nn.Sequential(
    torch.nn.Linear(20, 30), leaky(30),
    torch.nn.Linear(30, 5), leaky(5, output=True),
)
for part in (net[0], net[2]):
    part.weight.data *= 1.5
spikes = (torch.rand(8, 100, 20) < 0.3).float()
nir.write({path!r}, export_to_nir(net, spikes[0, 0]))
fired = []
with torch.no_grad():
    net[1].reset_mem(), net[3].reset_mem()
    for step in range(100):
        fired.append(net(spikes[:, step])[0])
spikes, fired = spikes.numpy().astype(bool), torch.stack(fired, 1).numpy().astype(bool)
np.savez_compressed({out!r}, spikes=spikes, snntorch=fired)
"""


def main(python):
    """Write all files."""
    model, (X, _) = trained(), digits()
    net = model.to_network()
    path = HERE / "digits.nir"
    net.to_nir(path, dt=DT)
    inputs = constant_currents(model, X[TRAINED : TRAINED + ROWS])
    np.savez("/tmp/nir_run.npz", inputs=inputs, dt=DT)
    spikes = {}
    versions = {}
    for peer in ("snntorch", "norse"):
        files = [str(path), "/tmp/nir_run.npz", f"/tmp/nir_{peer}.npy"]
        call = [python, "-I", str(SCRIPT), peer, *files]
        done = subprocess.run(call, capture_output=True, text=True, check=True)
        versions[peer] = json.loads(done.stdout.splitlines()[-1])["version"]
        spikes[peer] = np.load(f"/tmp/nir_{peer}.npy")
    np.savez_compressed(HERE / "digits.npz", currents=inputs[:, 0], **spikes)
    own = OWN_NET.format(path=str(HERE / "snntorch.nir"), out=str(HERE / "snntorch.npz"))
    subprocess.run([python, "-I", "-c", own], check=True)
    (HERE / "versions.json").write_text(json.dumps(versions) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
