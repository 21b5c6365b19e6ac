"""The examples of docs/simulator.md run and print what the page describes."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest

from tests.helpers.pages import blocks

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"


def programs():
    """Return the blocks of code on the page."""
    return [block.text for block in blocks(PAGE)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs blocks one after the other and returns the names after each."""
    pytest.importorskip("nir")
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)

    def run_blocks(chosen):
        names = {}
        after = []
        for block in chosen:
            exec(compile(block, str(PAGE), "exec"), names)
            after.append(dict(names))
        return after

    return run_blocks


def test_the_examples_run(run, tmp_path):
    first, batch, raster, delays, izhikevich, events, exchange = run(programs()[:-1])
    assert len(first["record"]) > 100
    assert batch["first"].times.tobytes() == batch["record"].times.tobytes()
    assert raster["record"].membranes[1].shape[1] == 2
    assert len(delays["record"]) > 200
    gaps = np.diff(izhikevich["record"].times)
    assert gaps.max() > 3 * gaps.min()  # bursts
    assert events["record"].times.tolist() == [0.5, 0.5, 0.5]
    assert (exchange["spikes"].sum() > 0, exchange["same"].sizes) == (True, (10,))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.nir", "raster.png"]


@pytest.mark.slow
def test_a_trained_model_is_exported(run, tmp_path):
    first, *_, last = programs()
    _, trained = run([first, last])
    step = trained["step"]
    neuron = trained["neuron"]
    net = trained["net"]
    assert net.n_inputs == 27
    assert (tmp_path / "model.nir").exists()
    predicted = net.readout.predict((step + 1) * 0.1, neuron, 2.0)
    assert predicted == trained["model"].predict_array([[0.1, 0.2, 0.3]])[0]
