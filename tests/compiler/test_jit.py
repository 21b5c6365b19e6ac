"""Entries depend on all sources; a numba without the parts that are used is refused."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

import loco_stream
from loco_stream._compiler import jit
from tests.helpers.other_process import ROOT, SPIKES, Ran, run_net


def dispatchers():
    for info in pkgutil.walk_packages(loco_stream.__path__, "loco_stream."):
        is_heavy = any(part in info.name for part in ("adapters", "connectors", "demos"))
        if not is_heavy and not info.name.endswith("__main__"):
            module = importlib.import_module(info.name)
            yield from (
                (f"{info.name}.{name}", x)
                for name, x in vars(module).items()
                if isinstance(x, Dispatcher)
            )


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="interpreted, nothing is kept")
def test_all_code_on_disk_belongs_to_a_version_of_all_sources():
    found = dict(dispatchers())
    kept = {name: x for name, x in found.items() if not isinstance(x._cache, NullCache)}
    assert "loco_stream.neurons._lif_net.run_lif" in kept
    assert len(found) > len(kept) > 5
    versions = {name: Path(x._cache.cache_path).parent.name for name, x in kept.items()}
    assert [name for name, version in versions.items() if jit.digest() not in version] == []


def test_the_version_covers_every_folder_with_compiled_functions():
    package = Path(loco_stream.__file__).parent
    names = {folder.relative_to(package).as_posix() for folder in jit.compiled_folders()}
    assert {".", "_compiler", "_compiler/simd", "neurons", "_simulator", "_learner"} <= names
    # a field added to the state of a model shifts where compiled code finds all others
    assert {"_learner/arrays", "_learner/readout/experts"} <= names


# a later numba with the same names, which works differently
LATER = """
import numba
import numba.core.typed_passes as c
lower = c.NativeLowering.run_pass
def run_pass(self, state):
    if type(self) is not c.NativeLowering:
        raise TypeError("lowering takes no other library any more")
    return lower(self, state)
c.NativeLowering.run_pass = run_pass
numba.__version__ = "0.99.0"
"""


# imports of a network and of an estimator, and the errors of those that fail
IMPORTS = """
for name in ("Network", "LOCOClassifier"):
    try:
        exec(f"from loco_stream import {name}")
    except ImportError as error:
        print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken",
    [
        "import numba.core.codegen as c; del c.JITCodeLibrary",
        "import numba.core.compiler as c; del c.DefaultPassBuilder",
        "import numba.core.base as c; del c.BaseContext.get_abi_sizeof",
        "import numba.np.arrayobj as c; del c.populate_array",
        LATER,
    ],
)
def test_a_numba_that_is_not_as_expected_is_refused(broken):
    code = [sys.executable, "-c", f"{broken}\n{IMPORTS}"]
    done = subprocess.run(code, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300)
    network, estimator = done.stdout.splitlines()
    assert network == estimator
    expected = "ImportError: `numba` must be a version from 0.63 to 0.68, whose compiler"
    assert network.startswith(expected)


@pytest.mark.slow
def test_a_later_numba_that_passes_the_trial_is_used():
    assert run_net("import numba; numba.__version__ = '0.99.0'") == Ran(SPIKES, [])
