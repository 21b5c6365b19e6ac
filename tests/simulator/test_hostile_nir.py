"""NIR files that would divide by zero, fill the memory or never end are refused in words."""

from __future__ import annotations

import os
import sys
from itertools import pairwise

import numpy as np
import pytest

from loco_stream import Network
from loco_stream._simulator import nir_reader
from loco_stream.errors import InputError

nir = pytest.importorskip("nir")
h5py = pytest.importorskip("h5py")


def write(path, tau=1e-2, tau_trace=2e-2, **more):
    n = 2
    neurons = nir.LIF(tau=np.full(n, tau), r=np.ones(n), v_leak=np.zeros(n), v_threshold=np.ones(n))
    ones = np.ones(n)
    traces = nir.CubaLI(tau_syn=ones, tau_mem=ones, r=ones, v_leak=0 * ones)
    nodes = {
        "input": nir.Input(np.array([2])),
        "weights": nir.Linear(np.eye(2)),
        "neurons": neurons,
        "traces": traces,
        "readout": nir.Affine(np.eye(2), np.zeros(2)),
        "output": nir.Output(np.array([2])),
    }
    names = list(nodes)
    metadata = {"dt": 1e-3, "tau_trace": tau_trace, **({"classes": "a\nb"} | more)}
    edges = list(pairwise(names))
    nir.write(str(path), nir.NIRGraph(nodes, edges, metadata=metadata))


@pytest.mark.parametrize("tau_trace", [0.0, -1.0, np.inf, np.nan])
def test_a_time_constant_of_zero_is_refused(tmp_path, tau_trace):
    path = tmp_path / "net.nir"
    write(path)
    Network.from_nir(path)
    write(path, tau_trace=tau_trace)
    with pytest.raises(InputError, match="`tau_trace` must be above 0"):
        Network.from_nir(path)
    write(path, tau=0.0)
    with pytest.raises(InputError, match="must be longer than the time step"):
        Network.from_nir(path)


@pytest.mark.parametrize("more", [{"classes": "a"}, {"classes": "a\nb\nc"}, {"classes": ""}])
def test_a_readout_with_other_than_its_classes_is_refused(tmp_path, more):
    path = tmp_path / "net.nir"
    write(path, **more)
    with pytest.raises(InputError, match="`classes` must name the 2 classes of the readout, got"):
        Network.from_nir(path)


def test_a_readout_without_classes_is_refused(tmp_path):
    path = tmp_path / "net.nir"
    write(path)
    with h5py.File(path, "a") as file:
        del file["node/metadata/classes"]
    with pytest.raises(InputError, match="`classes` must name the 2 classes of the readout, got"):
        Network.from_nir(path)


def test_a_huge_data_set_is_refused_unread(tmp_path):
    path = tmp_path / "net.nir"
    write(path)
    with h5py.File(path, "a") as file:
        file.create_dataset("huge", shape=(200_000, 100_000), dtype="f8", chunks=(1000, 1000))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="must hold at most"):
        Network.from_nir(path)


@pytest.mark.skipif(sys.platform == "win32", reason="processes end by signals")
def test_a_file_that_crashes_its_library_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "net.nir"
    write(path)
    crashing = tmp_path / "reader.py"
    crashing.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(nir_reader, "__file__", str(crashing))
    with pytest.raises(InputError, match="the HDF5 library crashes"):
        Network.from_nir(path)


def test_a_file_that_keeps_its_library_busy_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "net.nir"
    write(path)
    waiting = tmp_path / "reader.py"
    waiting.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(nir_reader, "__file__", str(waiting))
    monkeypatch.setattr(nir_reader, "_SECONDS", 0.5)
    with pytest.raises(InputError, match=r"takes more than 0.5 s"):
        Network.from_nir(path)


def test_an_error_of_the_library_is_no_crash(tmp_path):
    path = tmp_path / "net.nir"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError, match="as a NIR file: OSError: "):
        Network.from_nir(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "net.nir"
    os.mkfifo(path)
    with pytest.raises(InputError, match="must be a regular file"):
        Network.from_nir(path)
