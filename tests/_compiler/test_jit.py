"""The compiled boundary.

Every entry knows its callees, plain njit is a way out, and no cache stops a run.
"""

import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

import loco_stream
from loco_stream._compiler import jit

ROOT = Path(loco_stream.__file__).parents[1]
RUN = """
import warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    from loco_stream import Network
    from loco_stream._compiler import jit
    net = Network.from_weights([[[0.6, 1.2], [0.7, 0.1]]])
    record = net.run([1.0, 2.0, 2.0, 3.0], [0, 0, 1, 1], 5.0)
print(record.times.tolist(), record.indices.tolist())
print(jit.PLAIN)
print(*[str(warning.message) for warning in said], sep="\\n")
"""
SPIKES = "[1.0, 2.0, 2.0, 3.0] [1, 0, 1, 0]"


def ran(before="", cwd=ROOT, as_user=(), without=(), **environment):
    """Run a small net in another process.

    Return its spikes, whether plain njit compiled it, and what it warned of.
    """
    kept = {name: value for name, value in os.environ.items() if name not in without}
    done = subprocess.run(
        [*as_user, sys.executable, "-B", "-c", f"{before}\n{RUN}"],
        cwd=cwd,
        env=kept | environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    spikes, plain, *said = done.stdout.splitlines()
    return spikes, plain == "True", [text for text in said if text]


def dispatchers():
    for info in pkgutil.walk_packages(loco_stream.__path__, "loco_stream."):
        if (
            "connectors" not in info.name
            and "demos" not in info.name
            and not info.name.endswith("__main__")
        ):
            module = importlib.import_module(info.name)
            yield from (
                (f"{info.name}.{name}", x)
                for name, x in vars(module).items()
                if isinstance(x, Dispatcher)
            )


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="interpreted, nothing is kept")
def test_whatever_is_kept_on_disk_knows_all_that_it_may_call():
    found = dict(dispatchers())
    kept = {name: x for name, x in found.items() if not isinstance(x._cache, NullCache)}
    assert "loco_stream.neurons.lif_net.run_lif" in kept
    assert len(found) > len(kept) > 5
    assert [name for name, x in kept.items() if jit.digest() not in x.py_func.__qualname__] == []


# Plain njit

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


@pytest.mark.slow
def test_plain_njit_is_used_where_it_is_asked_for():
    assert ran(LOCO_STREAM_PLAIN_JIT="1") == (SPIKES, True, [])
    assert ran(LOCO_STREAM_PLAIN_JIT="0") == (SPIKES, False, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken",
    [
        "import numba.core.codegen as c; del c.JITCodeLibrary",
        "import numba.core.compiler as c; del c.DefaultPassBuilder",
        "import numba.core.cgutils as c; del c.for_range",
        "import numba.np.arrayobj as c; del c.populate_array",
        # a later numba, whose names are the same and whose ways are not
        LATER,
    ],
)
def test_plain_njit_is_used_with_one_warning_where_numba_is_not_as_expected(broken):
    spikes, plain, said = ran(broken, LOCO_STREAM_PLAIN_JIT="0")
    assert (spikes, plain, len(said)) == (SPIKES, True, 1)
    assert "is not as expected" in said[0]
    assert "functions are compiled by plain njit" in said[0]


@pytest.mark.slow
def test_a_later_numba_that_is_as_expected_is_used_as_ever():
    assert ran("import numba; numba.__version__ = '0.99.0'", LOCO_STREAM_PLAIN_JIT="0") == (
        SPIKES,
        False,
        [],
    )


@pytest.mark.slow
def test_a_numba_without_its_cache_keeps_nothing():
    assert ran("import numba.core.caching as c; del c.CompileResultCacheImpl")[0] == SPIKES


# The cache


def truncated(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return a folder with the compiled code of one run."""
    folder = tmp_path_factory.mktemp("filled")
    assert ran(NUMBA_CACHE_DIR=str(folder))[::2] == (SPIKES, [])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize(
    "damage", [truncated, flipped, lambda content: b"", lambda content: b"no pickle at all"]
)
def test_a_damaged_cache_is_thrown_away(filled, tmp_path, kind, damage):
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    files = list(tmp_path.rglob(kind))
    assert files
    damaged = {path: damage(path.read_bytes()) for path in files}
    for path, content in damaged.items():
        path.write_bytes(content)
    assert ran(NUMBA_CACHE_DIR=str(tmp_path))[::2] == (SPIKES, [])
    assert [
        path for path, content in damaged.items() if path.read_bytes() == content
    ] == []  # written anew


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_to_any_more_is_said_once(tmp_path):
    """The folder is lost between the import and the first call, as where a disk is full."""
    lose = """
import numba.core.caching as c
def full(*args): raise OSError(28, "No space left on device")
c.IndexDataCacheFile.save = full
"""
    spikes, _, said = ran(lose, NUMBA_CACHE_DIR=str(tmp_path))
    assert spikes == SPIKES
    assert len(said) == 1
    assert "compiled code cannot be kept in" in said[0]
    assert "No space left on device" in said[0]


@pytest.fixture
def installed(tmp_path):
    """Return a copy of the package that nobody can write to, how to run as another user, and a temporary folder."""
    another = ()
    if os.getuid() == 0:  # who may write anywhere
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv to run as another user")
        reads = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
        another = ("setpriv", f"--reuid={ANOTHER}", f"--regid={ANOTHER}", "--clear-groups", *reads)
    shutil.copytree(
        ROOT / "loco_stream", tmp_path / "loco_stream", ignore=shutil.ignore_patterns("__pycache__")
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    folders = [
        folder
        for folder in (tmp_path, *tmp_path.rglob("*"))
        if folder.is_dir() and folder != temporary
    ]
    for folder in folders:
        folder.chmod(0o555)
    temporary.chmod(0o777)
    yield tmp_path, another, temporary
    for folder in folders:
        folder.chmod(0o755)


ANOTHER = 65533
HOMELESS = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent", "PYTHONPATH": ""}


@pytest.mark.slow
def test_a_read_only_install_without_a_home_has_a_cache_of_its_own(installed):
    place, another, temporary = installed
    arguments = {
        "cwd": place,
        "as_user": another,
        "without": ("NUMBA_CACHE_DIR",),
        "TMPDIR": str(temporary),
    } | HOMELESS
    spikes, _, said = ran(**arguments)
    assert spikes == SPIKES
    assert len(said) == 1
    assert f"compiled code is kept in {temporary}" in said[0]
    (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}
    assert ran(**arguments)[0] == SPIKES
    assert files
    assert {path: path.stat().st_mtime_ns for path in files} == files  # read, not written anew


@pytest.mark.slow
@pytest.mark.parametrize("trap", ["folder of another", "open to all", "link", "no folder at all"])
def test_a_cache_that_others_can_write_to_is_not_used(installed, trap, tmp_path_factory):
    place, another, temporary = installed
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    folder = temporary / f"loco-stream-compiled-{ANOTHER if another else os.getuid()}"
    if trap == "folder of another":
        if not another:
            pytest.skip("only the superuser can make folders for others")
        folder.mkdir(mode=0o700)
    elif trap == "open to all":
        folder.mkdir()
        if another:
            os.chown(folder, ANOTHER, ANOTHER)
        folder.chmod(0o777)
    elif trap == "link":
        folder.symlink_to(elsewhere)
    else:
        temporary.chmod(0o555)
    spikes, _, said = ran(
        cwd=place,
        as_user=another,
        without=("NUMBA_CACHE_DIR",),
        TMPDIR=str(temporary),
        **HOMELESS,
        before="import tempfile; tempfile.tempdir = __import__('os').environ['TMPDIR']",
    )
    assert spikes == SPIKES
    assert said == [
        "no folder for compiled code can be written to: it is compiled anew in every process"
    ]
    assert not list(elsewhere.iterdir())
