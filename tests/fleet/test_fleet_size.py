"""Memory of many keys is bounded. LOCO_SOAK=1 runs the full count: 100,000 keys in 2 GiB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.engine_process import SOAK

N_KEYS = 100_000 if SOAK else 5000
# A thousand models of half a mebibyte stay in memory, and a checkpoint has copies of what it
# writes; 5,000 models would take 2,900 MiB.
MAX_MEBIBYTES = 2048

CODE = """
import json, sys
from pathlib import Path
import numpy as np
from loco_stream import Fleet, LOCOClassifier
X = np.random.default_rng(0).normal(size=(2, 4))
with Fleet(LOCOClassifier.preset("fast", seed=1), sys.argv[1]) as fleet:
    for device in range(int(sys.argv[2])):
        fleet.learn(device, X, ["ok", "worn"])
    known = len(fleet.keys())
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
# not ru_maxrss, which includes the peak of the parent
print(json.dumps([known, int(status["VmHWM"].split()[0]) / 1024]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
@pytest.mark.timeout(3600 if SOAK else 300)
def test_evicted_models_take_no_memory(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path), str(N_KEYS)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    known, mebibytes = json.loads(done.stdout)
    assert known == N_KEYS
    assert mebibytes <= MAX_MEBIBYTES
