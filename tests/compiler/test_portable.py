"""Portable code: compiled for a kind of processor, used where no code is for the very processor."""

import shutil
from pathlib import Path

import numba
import pytest
from click.testing import CliRunner

from loco_stream._cli.main import main
from loco_stream._compiler import portable
from loco_stream._compiler.processors import KINDS, NATIVE
from tests.helpers.other_process import ROOT, SPIKES, run_net

V3 = next(kind for kind in KINDS if kind.name == "x86-64-v3")
COMPILE_FOR = "from loco_stream._compiler.portable import compile_for; compile_for({!r})\n"
REPORTED = """
import atexit
from loco_stream._compiler.timing import compile_seconds
atexit.register(lambda: print("compiled" if compile_seconds() else "read"))
"""
OLD_PROCESSOR = """
from loco_stream._compiler import portable
features = portable.get_host_cpu_features()
portable.get_host_cpu_features = lambda: {**features, "avx2": False}
"""
CODE = "*.nb[ic]"


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return a folder with portable code."""
    if not portable.targets():
        pytest.skip(f"requires another processor: {portable.unfit(V3)}")
    folder = tmp_path_factory.mktemp("portable")
    ran = run_net(COMPILE_FOR.format(V3.name), LOCO_STREAM_CACHE_DIR=str(folder))
    assert (ran.spikes, ran.warnings) == (SPIKES, [])
    return folder


def run(before="", **environment):
    """Run the net; return its spikes, and whether its code was compiled or read."""
    ran = run_net(before + REPORTED, **environment)
    spikes, (how,) = ran.spikes, ran.warnings
    return spikes, how


def copied(filled, tmp_path):
    return shutil.copytree(filled, tmp_path / "copy")


def files(folder):
    return sorted(Path(folder).rglob(CODE))


def test_portable_code_is_read_instead_of_compiled(filled, tmp_path):
    folder = copied(filled, tmp_path)
    assert run(LOCO_STREAM_CACHE_DIR=str(folder)) == (SPIKES, "read")
    assert files(folder)
    assert len(files(folder)) == len(files(filled))


def test_a_processor_without_its_features_compiles(filled, tmp_path):
    folder = copied(filled, tmp_path)
    assert run(OLD_PROCESSOR, LOCO_STREAM_CACHE_DIR=str(folder)) == (SPIKES, "compiled")
    assert len(files(folder)) > len(files(filled))


def test_a_processor_that_the_environment_names_is_compiled_for(filled, tmp_path):
    folder = copied(filled, tmp_path)
    ran = run(LOCO_STREAM_CACHE_DIR=str(folder), NUMBA_CPU_NAME="generic")
    assert ran == (SPIKES, "compiled")


def test_code_that_came_with_the_package_is_read_and_left_as_it_is(filled, tmp_path):
    site = tmp_path / "site-packages"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "loco_stream", site / "loco_stream", ignore=ignored)
    prebuilt = shutil.copytree(filled, site / "loco_stream" / "_prebuilt")
    home = tmp_path / "home"
    here = {"cwd": site, "PYTHONPATH": "", "LOCO_STREAM_CACHE_DIR": str(home)}
    assert run(**here) == (SPIKES, "read")
    assert not files(home)
    for path in prebuilt.rglob("*.nbc"):
        path.write_bytes(path.read_bytes()[:-100])
    damaged = {path: path.read_bytes() for path in files(prebuilt)}
    assert run(**here) == (SPIKES, "compiled")
    assert {path: path.read_bytes() for path in files(prebuilt)} == damaged
    assert files(home)
    assert run(**here) == (SPIKES, "read")


def test_damaged_portable_code_is_compiled_anew(filled, tmp_path):
    folder = copied(filled, tmp_path)
    for path in folder.rglob("*.nbc"):
        path.write_bytes(b"no code")
    assert run(LOCO_STREAM_CACHE_DIR=str(folder)) == (SPIKES, "compiled")
    assert run(LOCO_STREAM_CACHE_DIR=str(folder)) == (SPIKES, "read")


def test_this_very_processor_can_be_asked_for(filled, tmp_path):
    folder = copied(filled, tmp_path)
    assert run(COMPILE_FOR.format(NATIVE), LOCO_STREAM_CACHE_DIR=str(folder))[1] == "compiled"
    for path in filled.rglob(CODE):  # what is left is the code for this processor
        same = folder / path.relative_to(filled)
        if path.suffix == ".nbc":
            same.unlink()
    assert run(LOCO_STREAM_CACHE_DIR=str(folder)) == (SPIKES, "read")


@pytest.fixture
def usual(monkeypatch):
    """Let numba compile for the host, and `warm` for nothing."""
    for name in ("CPU_NAME", "CPU_FEATURES"):
        monkeypatch.setattr(numba.config, name, None)
    monkeypatch.setattr(numba.config, "ENABLE_AVX", 1)
    monkeypatch.setattr("loco_stream._cli._warm_up.PARTS", ())
    monkeypatch.setattr(portable, "get_process_triple", lambda: "x86_64-unknown-linux-gnu")


def test_what_this_processor_cannot_run_is_not_compiled(usual, monkeypatch):
    monkeypatch.setattr(portable, "get_host_cpu_features", lambda: {"sse2": True})
    result = CliRunner().invoke(main, ["warm", "--processor", V3.name])
    assert result.exit_code == 2
    assert "code for x86-64-v3 cannot be compiled here: it needs a processor with cx16, popcnt" in (
        result.output
    )
    assert numba.config.CPU_NAME is None


def test_the_best_code_that_fits_comes_first(usual, monkeypatch):
    features = dict.fromkeys(KINDS[0].features, True)
    monkeypatch.setattr(portable, "get_host_cpu_features", lambda: features)
    assert [name for _, name, _ in portable.targets()] == ["x86-64-v4", "x86-64-v3"]
    features["avx512f"] = False
    assert [name for _, name, _ in portable.targets()] == ["x86-64-v3"]
    monkeypatch.setattr(portable, "get_process_triple", lambda: "aarch64-unknown-linux-gnu")
    assert portable.targets() == []
    assert portable.unfit(V3) == "it is for x86_64 and not for aarch64"


def test_portable_code_keeps_to_what_numba_may_use(usual, monkeypatch):
    features = dict.fromkeys(KINDS[0].features, True)
    monkeypatch.setattr(portable, "get_host_cpu_features", lambda: features)
    assert portable.targets() != []
    monkeypatch.setattr(numba.config, "ENABLE_AVX", 0)  # as on machines that wrongly report it
    assert portable.targets() == []
    monkeypatch.setattr(numba.config, "ENABLE_AVX", 1)
    monkeypatch.setattr(numba.config, "CPU_FEATURES", "-avx512f")
    assert portable.targets() == []
