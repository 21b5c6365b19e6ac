"""The page for those who want only the simulator: every example on it runs."""

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"


def blocks():
    """Return the indented blocks of code on the page."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub("^    ", "", block, flags=re.MULTILINE) for block in found]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Run the blocks one after the other, as a reader would, and return their names after each."""
    pytest.importorskip("nir")
    matplotlib.use("agg")
    names, after = {}, []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        for block in blocks():
            exec(compile(block, str(PAGE), "exec"), names)
            after.append(dict(names))
        after[-1]["files"] = sorted(path.name for path in Path.cwd().iterdir())
    return after


def test_the_page_has_its_five_examples_and_they_run(ran):
    first, batch, raster, delays, izhikevich, events, exchange, trained = ran
    assert len(first["record"]) > 100
    assert batch["first"].times.tobytes() == batch["record"].times.tobytes()
    assert raster["record"].membranes[1].shape[1] == 2
    assert len(delays["record"]) > 200
    gaps = np.diff(izhikevich["record"].times)
    assert gaps.max() > 3 * gaps.min()  # bursts
    assert events["record"].times.tolist() == [0.5, 0.5, 0.5]
    assert (exchange["spikes"].sum() > 0, exchange["same"].sizes) == (True, (10,))
    assert trained["net"].n_inputs == 27
    assert trained["files"] == ["model.nir", "net.nir", "raster.png"]


def test_the_page_says_what_the_model_answers(ran):
    trained = ran[-1]
    step, neuron = trained["step"], trained["neuron"]
    answer = trained["net"].readout.answer((step + 1) * 0.1, neuron, 2.0)
    assert answer == trained["model"].predict_array([[0.1, 0.2, 0.3]])[0]
