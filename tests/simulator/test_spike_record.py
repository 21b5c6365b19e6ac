"""Spike records by layer, as rates and as plots."""

import sys

import numpy as np
import pytest

from loco_stream import Network
from loco_stream.errors import ConfigError


@pytest.fixture
def record():
    net = Network.from_weights([np.full((2, 3), 0.6), np.full((3, 1), 0.5)])
    return net.run([1.0, 2.0, 3.0], [0, 1, 0], 10.0, membranes={0: [0, 1]}, membrane_step=0.5)


def test_repr_layers_and_rates(record):
    assert repr(record) == "SpikeRecord(4 spikes in 10 ms; by layer: 3, 1)"
    assert record.of(0)[1].tolist() == [0, 1, 2]
    np.testing.assert_allclose(record.rates(), [100.0, 100.0])
    assert Network.from_weights([[[1.0]]]).run([], [], 0.0).rates().tolist() == [0.0]


def test_the_plot_shows_every_spike_and_the_chosen_membranes(record, tmp_path):
    pytest.importorskip("matplotlib")
    figure = record.plot(str(tmp_path / "raster.png"))
    raster, membranes = figure.axes
    assert len(raster.collections[0].get_offsets()) == len(record)
    assert len(membranes.lines) == 2
    assert (tmp_path / "raster.png").stat().st_size > 5000
    with pytest.raises(ConfigError, match=r"cannot write the picture .*: it is a folder"):
        record.plot(tmp_path)


def test_without_matplotlib_the_error_names_the_extra(record, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"pip install 'loco-stream\[plot\]'"):
        record.plot()


def test_notebooks_show_the_plot(record, monkeypatch):
    assert record._repr_png_().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert record._repr_png_() is None
