"""Model files with valid checksums and impossible content."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loco_stream import LOCOClassifier, load, save
from loco_stream.errors import CheckpointError
from tests.helpers import mutants

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus" / "models"
COUNT = 100_000 if os.environ.get("LOCO_SOAK") else 2_000


@pytest.mark.slow
@pytest.mark.timeout(7200)  # of the soak form; the short one takes half a minute
def test_files_with_valid_checksums_and_impossible_content_work_or_are_refused():
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # stacks of threads count as memory
    command = [sys.executable, "-X", "faulthandler", "-m", mutants.__name__, "0", str(COUNT)]
    run = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2]
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert f"{COUNT} mutants" in run.stdout


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.stem)
def test_files_that_once_caused_a_fault_work_or_are_refused(path, tmp_path):
    mutants.check(tmp_path / "model.loco", path.read_bytes())


@pytest.mark.parametrize("value", [2e31, -3e38])
def test_a_weight_with_which_a_sum_overflows_is_refused(value, tmp_path):
    model = LOCOClassifier(hidden_sizes=4, seed=1)
    for i in range(30):
        model.learn_one({"a": i % 3, "b": float(i)}, i % 3)
    path = tmp_path / "model.loco"
    save(model, path)
    header, arrays = mutants.split(path.read_bytes()[:-32])
    entry = arrays["experts.least_squares.weights"]
    weights = np.frombuffer(entry[2], entry[0]).copy()
    weights[1] = value
    entry[2] = weights.tobytes()
    path.write_bytes(mutants.signed(mutants.joined(header, arrays)))
    with pytest.raises(
        CheckpointError, match=r"least_squares.weights' must be finite, from -1e\+31 to 1e\+31"
    ):
        load(path)
